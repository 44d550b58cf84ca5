//! Progress of pulls and imports: bars on a terminal, plain lines elsewhere, nothing with `--json`.

use super::output::Output;
use crate::start::Listener;
use crate::text::bytes;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use pyro_oci::{Digest, Event, Progress};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Shows what a pull or an import does.
pub struct Shown {
    out: Output,
    bars: Option<MultiProgress>,
    layers: Mutex<HashMap<Digest, ProgressBar>>,
}

impl Shown {
    /// Bars if stderr is a terminal.
    pub fn new(out: Output) -> Self {
        let bars = out.can_draw().then(MultiProgress::new);
        Self { out, bars, layers: Mutex::default() }
    }

    fn line(&self, text: impl std::fmt::Display) {
        match &self.bars {
            // Printed above the bars.
            Some(bars) => drop(bars.println(text.to_string())),
            None if self.out.is_json() => {}
            None => self.out.note(text),
        }
    }

    fn bar(&self, layer: Digest, total: u64) -> Option<ProgressBar> {
        let bars = self.bars.as_ref()?;
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let style = "{prefix} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
            let style = ProgressStyle::with_template(style).expect("the template is constant");
            let bar = ProgressBar::new(total).with_style(style).with_prefix(layer.short());
            bars.add(bar)
        };
        Some(layers.entry(layer).or_insert_with(new).clone())
    }
}

impl Listener for Shown {
    fn note(&self, text: &dyn std::fmt::Display) {
        self.line(text);
    }
}

impl Progress for Shown {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Resolving { reference, from } => {
                self.line(format_args!("resolving {reference} at {from}"));
            }
            Event::Resolved { layers, bytes: total } => {
                let plural = if layers == 1 { "" } else { "s" };
                self.line(format_args!("{layers} layer{plural}, {}", bytes(total)));
            }
            Event::Present(layer) => self.line(format_args!("{} is here already", layer.short())),
            Event::Resumed { layer, bytes: done } => {
                self.line(format_args!("{} goes on at {}", layer.short(), bytes(done)));
            }
            Event::Layer { layer, done, total } => {
                if let Some(bar) = self.bar(layer, total) {
                    bar.set_position(done);
                }
            }
            Event::Stored(layer) => {
                if let Some(bar) = self.bar(layer, 0) {
                    bar.finish_and_clear();
                }
                self.line(format_args!("{} stored", layer.short()));
            }
            Event::Retrying { reason, wait } => {
                self.line(format_args!("{reason}; trying again in {} s", wait.as_secs_f32().ceil()));
            }
            Event::MirrorFailed { mirror, reason } => self.line(format_args!("mirror {mirror}: {reason}")),
            Event::Waiting(layer) => {
                self.line(format_args!("waiting for another pyro that fetches {}", layer.short()));
            }
        }
    }
}
