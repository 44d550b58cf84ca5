//! What a call is doing, told to those who wait for it.

use super::terminal::plain;
use crate::start::Listener;
use pyro_oci::{Event, Progress};
use rmcp::RoleServer;
use rmcp::model::ProgressNotificationParam;
use rmcp::service::RequestContext;
use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often clients hear of a call that asked for it: often enough for those that give up after a
/// minute of silence.
pub const EVERY: Duration = Duration::from_secs(5);

/// Bytes at the end of what a command puts out in which its last line is looked for.
const LOOK: usize = 400;

/// What a call is doing.
#[derive(Debug, Default)]
pub struct Phase {
    now: Mutex<Vec<u8>>,
}

impl Phase {
    /// From now on it does this.
    pub fn is(&self, what: impl Display) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = what.to_string().into_bytes();
    }

    /// It waits for a command, which has put this out.
    pub fn output(&self, bytes: &[u8]) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.extend_from_slice(&bytes[bytes.len().saturating_sub(LOOK)..]);
        let over = now.len().saturating_sub(LOOK);
        now.drain(..over);
    }

    /// In one line.
    fn line(&self) -> String {
        let text = plain(&self.now.lock().unwrap_or_else(PoisonError::into_inner));
        text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("working").trim().to_owned()
    }
}

/// What a pull and a start say on their way.
impl Progress for Phase {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Resolving { reference, .. } => self.is(format_args!("pulling {reference}")),
            Event::Layer { layer, done, total } => {
                self.is(format_args!("pulling layer {}: {done} of {total} bytes", layer.short()));
            }
            Event::Retrying { reason, .. } => self.is(format_args!("trying again: {reason}")),
            Event::Waiting(layer) => {
                self.is(format_args!("waiting for another pyro that fetches {}", layer.short()));
            }
            _ => {}
        }
    }
}

impl Listener for Phase {
    fn note(&self, text: &dyn Display) {
        tracing::info!("{text}");
        self.is(text);
    }
}

/// Tells the client how a call goes on, if it asked for that. Never ends.
pub async fn report(context: &RequestContext<RoleServer>, phase: &Phase) {
    let Some(token) = context.meta.get_progress_token() else { return std::future::pending().await };
    let began = Instant::now();
    loop {
        tokio::time::sleep(EVERY).await;
        let told = ProgressNotificationParam::new(token.clone(), began.elapsed().as_secs_f64());
        if let Err(error) = context.peer.notify_progress(told.with_message(phase.line())).await {
            tracing::debug!(%error, "the client does not hear of progress");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_told_in_its_last_line() {
        let phase = Phase::default();
        assert_eq!(phase.line(), "working");
        phase.is("booting");
        assert_eq!(phase.line(), "booting");
        phase.output(b"\x1b[1mone\ntwo");
        phase.output(b" three\n\n");
        assert_eq!(phase.line(), "two three");
        phase.output(&[b'x'; 5000]);
        assert_eq!(phase.line().len(), LOOK);
    }
}
