//! What comes out of the confined process: its reports, the guest's console and libkrun's errors,
//! all lines of one pipe.
//!
//! The process may belong to the guest, so the lines are claims: bounded, and good for messages.

use pyro_machine::report::{LINE_MAX, Report};

/// Where libkrun's log says that a line comes from the guest.
const CONSOLE: &str = "init_or_kernel";

/// The level of the lines of libkrun's log that tell of something wrong.
const ERROR: &str = " ERROR ";

/// What libkrun remarks when the guest's processor has met a fault in its handling of faults.
const TRIPLE_FAULT: &str = "KVM_EXIT_SHUTDOWN";

/// What libkrun's console puts before text that has no line end yet.
const UNFINISHED: &str = "[missing newline]";

/// A line, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// The monitor reports.
    Report(Report),
    /// The guest's console.
    Console(String),
    /// What libkrun complains of, or a panic's message.
    Monitor(String),
    /// The guest's processor ended by a triple fault.
    TripleFault,
    /// What libkrun finds worth a remark.
    Remark,
}

/// Cuts a stream of bytes into lines.
#[derive(Debug, Default)]
pub struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Takes bytes, and gives the lines that they complete. Lines are cut at [`LINE_MAX`].
    pub fn take(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        for byte in bytes {
            if *byte == b'\n' {
                lines.push(parse(&self.partial));
                self.partial.clear();
            } else if self.partial.len() < LINE_MAX {
                self.partial.push(*byte);
            }
        }
        lines
    }

    /// The last line, if it has no end.
    pub fn rest(self) -> Option<Line> {
        (!self.partial.is_empty()).then(|| parse(&self.partial))
    }
}

fn parse(line: &[u8]) -> Line {
    if let Some(report) = Report::from_line(line) {
        return Line::Report(report);
    }
    let text = String::from_utf8_lossy(line);
    // As in "[2026-01-01T00:00:00.000000Z ERROR krun_vmm::linux::vstate] Received …".
    let Some((source, message)) = text.strip_prefix('[').and_then(|text| text.split_once("] ")) else {
        return Line::Monitor(text.into_owned());
    };
    if source.ends_with(CONSOLE) {
        let message = message.strip_prefix(UNFINISHED).unwrap_or(message);
        return Line::Console(message.trim_end_matches('\r').to_owned());
    }
    if !source.contains(ERROR) {
        return if message.contains(TRIPLE_FAULT) { Line::TripleFault } else { Line::Remark };
    }
    Line::Monitor(message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart_however_they_arrive() {
        let text = b"[2026-01-01T00:00:00Z ERROR init_or_kernel] hello\r\n\
                     [2026-01-01T00:00:00Z ERROR krun_vmm::builder] no memory\n\
                     [2026-01-01T00:00:00Z INFO  krun_vmm::linux::vstate] Received KVM_EXIT_SHUTDOWN signal\n\
                     [2026-01-01T00:00:00Z INFO  krun_vmm] Vmm is stopping.\nthread panicked";
        let expected = [
            Line::Console("hello".into()),
            Line::Monitor("no memory".into()),
            Line::TripleFault,
            Line::Remark,
            Line::Monitor("thread panicked".into()),
        ];
        for size in [1, 7, text.len()] {
            let mut lines = Lines::default();
            let mut got: Vec<Line> = text.chunks(size).flat_map(|chunk| lines.take(chunk)).collect();
            got.extend(lines.rest());
            assert_eq!(got, expected);
        }
    }

    #[test]
    fn a_guest_cannot_forge_a_report_or_fill_the_memory() {
        let mut lines = Lines::default();
        let forged = r#"[t ERROR init_or_kernel] {"Ended":{"reason":"Guest","console":[],"peak_kib":0}}"#;
        assert!(matches!(&lines.take(format!("{forged}\n").as_bytes())[..], [Line::Console(_)]));
        assert!(lines.take(&vec![b'x'; 1 << 20]).is_empty());
        assert!(lines.partial.len() <= LINE_MAX);
    }
}
