//! How much of a long text a model gets to see: its beginning and its end, what lies between them
//! counted, with the cursor that fetches it.

use super::terminal::{plain, visible};
use std::collections::VecDeque;
use std::fmt::Write as _;

/// Bytes of guest text in an answer where the call says nothing.
pub const DEFAULT: usize = 8 << 10;

/// Most bytes that any answer has: some clients drop longer ones, or show their beginning alone.
pub const MAX: usize = 32 << 10;

/// Most bytes of guest text that a call can ask for: the rest of [`MAX`] is for what is said about it.
pub const ASKED_MAX: usize = 30 << 10;

/// Longest line: one of 50 KB makes opencode show nothing at all.
const LINE_MAX: usize = 2000;

/// Of what is shown, the part that shows the beginning; errors are at the end.
const HEAD: (usize, usize) = (2, 5);

/// Which part of a text that is too long is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// As much as fits from where it begins: the rest comes with the next cursor.
    Beginning,
    /// Beginning and end.
    Ends,
}

/// How text is made harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What a command wrote to a terminal, or so it thought.
    Output,
    /// A file or a patch, in which every character counts.
    File,
}

/// Takes a text of any length as it comes, and keeps the part that is shown.
#[derive(Debug)]
pub struct Window {
    part: Part,
    start: u64,
    end: u64,
    room: (usize, usize),
    head: Vec<u8>,
    tail: VecDeque<u8>,
    /// There is something between `head` and `tail` that is not shown.
    is_cut: bool,
    /// Bytes that nobody keeps any more.
    lost: u64,
}

/// What is shown of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The text, and where something is missing, a line that says so.
    pub text: String,
    /// How many of its bytes are shown.
    pub bytes: usize,
    /// Where what comes after it begins.
    pub cursor: u64,
}

impl Window {
    /// Of a text from byte `start` on, `room` bytes of it.
    pub fn new(part: Part, start: u64, room: usize) -> Self {
        let head = match part {
            Part::Beginning => room,
            Part::Ends => room * HEAD.0 / HEAD.1,
        };
        let room = (head, room - head);
        let (head, tail) = (Vec::new(), VecDeque::new());
        Self { part, start, end: start, room, head, tail, is_cut: false, lost: 0 }
    }

    /// Whether nothing of what comes would be shown.
    pub fn is_full(&self) -> bool {
        self.part == Part::Beginning && (self.is_cut || self.head.len() == self.room.0)
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        let room = if self.is_cut { 0 } else { self.room.0 - self.head.len() };
        let (first, rest) = bytes.split_at(bytes.len().min(room));
        self.head.extend_from_slice(first);
        if self.part == Part::Beginning {
            self.end += first.len() as u64;
            self.is_cut |= !rest.is_empty();
            return;
        }
        self.end += bytes.len() as u64;
        let last = &rest[rest.len().saturating_sub(self.room.1)..];
        let over = (self.tail.len() + last.len()).saturating_sub(self.room.1);
        self.is_cut |= over > 0 || last.len() < rest.len();
        self.tail.drain(..over);
        self.tail.extend(last);
    }

    /// Takes notice that the next `count` bytes are kept nowhere.
    pub fn lose(&mut self, count: u64) {
        match self.part {
            Part::Beginning if self.head.is_empty() => self.start += count,
            Part::Beginning => {
                self.is_cut = true;
                return;
            }
            Part::Ends => {
                self.is_cut = true;
                self.tail.clear();
            }
        }
        self.end += count;
        self.lost += count;
    }

    /// Makes text of it; `fetch` says how what was cut is had, from a cursor on.
    pub fn show(mut self, kind: Kind, fetch: impl FnOnce(u64) -> String) -> Shown {
        let clean = match kind {
            Kind::Output => plain,
            Kind::File => visible,
        };
        if self.part == Part::Beginning {
            if self.is_full() {
                self.head.truncate(line_end(&self.head));
            }
            let cursor = self.start + self.head.len() as u64;
            return Shown { text: short_lines(&clean(&self.head)), bytes: self.head.len(), cursor };
        }
        let tail: Vec<u8> = self.tail.into();
        if !self.is_cut {
            self.head.extend(tail);
            let bytes = self.head.len();
            return Shown { text: short_lines(&clean(&self.head)), bytes, cursor: self.end };
        }
        let head = &self.head[..line_end(&self.head)];
        let tail = &tail[line_start(&tail)..];
        let from = self.start + head.len() as u64;
        let cut = self.end - from - tail.len() as u64;
        let mut text = short_lines(&clean(head));
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        let lost = match self.lost {
            0 => String::new(),
            lost => format!(", {lost} of them kept nowhere"),
        };
        let _ = writeln!(text, "[… {cut} bytes cut{lost}; {} …]", fetch(from));
        text.push_str(&short_lines(&clean(tail)));
        Shown { text, bytes: head.len() + tail.len(), cursor: self.end }
    }
}

/// Where the last whole line ends, if that does not cost too much, else the last whole character.
fn line_end(bytes: &[u8]) -> usize {
    let least = bytes.len() - bytes.len() / 4;
    match bytes.iter().rposition(|it| *it == b'\n') {
        Some(at) if at + 1 >= least => at + 1,
        _ => bytes.len() - partial(bytes),
    }
}

/// How many bytes at the end begin a character that is not whole.
fn partial(bytes: &[u8]) -> usize {
    let from = bytes.len().saturating_sub(3);
    let lead = bytes[from..].iter().rposition(|it| *it >= 0xc0).map(|at| from + at);
    match lead.map(|at| std::str::from_utf8(&bytes[at..])) {
        Some(Err(error)) if error.error_len().is_none() => bytes.len() - lead.unwrap_or_default(),
        _ => 0,
    }
}

/// Where the first whole line begins, if that does not cost too much, else the first whole character.
fn line_start(bytes: &[u8]) -> usize {
    match bytes.iter().position(|it| *it == b'\n') {
        Some(at) if at < bytes.len() / 4 => at + 1,
        _ => bytes.iter().take(3).take_while(|it| (0x80..0xc0).contains(*it)).count(),
    }
}

fn short_lines(text: &str) -> String {
    let mut short = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (body, end) = line.strip_suffix('\n').map_or((line, ""), |body| (body, "\n"));
        match body.char_indices().nth(LINE_MAX) {
            Some((at, _)) => {
                let more = body[at..].chars().count();
                let _ = write!(short, "{}[… {more} characters of this line cut]{end}", &body[..at]);
            }
            None => short.push_str(line),
        }
    }
    short
}

/// An answer that is not too long, whatever went into it.
pub fn clamp(mut text: String) -> String {
    const NOTE: usize = 64;
    if text.len() > MAX {
        let at = text.floor_char_boundary(MAX - NOTE);
        let more = text.len() - at;
        text.truncate(at);
        let _ = write!(text, "\n[… {more} bytes cut]");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(part: Part, start: u64, room: usize, pieces: &[&[u8]]) -> Window {
        let mut window = Window::new(part, start, room);
        for piece in pieces {
            window.push(piece);
        }
        window
    }

    fn show(window: Window) -> Shown {
        window.show(Kind::Output, |cursor| format!("from {cursor}"))
    }

    #[test]
    fn what_fits_is_shown_as_it_is() {
        let shown = show(window(Part::Ends, 7, 10, &[b"1234", b"", b"567890"]));
        assert_eq!(shown, Shown { text: "1234567890".into(), bytes: 10, cursor: 17 });
    }

    #[test]
    fn of_what_does_not_fit_the_ends_are_shown_and_the_rest_is_counted() {
        let lines: Vec<u8> = (0..100).flat_map(|it| format!("line {it:02}\n").into_bytes()).collect();
        for size in [1, 7, 800] {
            let pieces: Vec<&[u8]> = lines.chunks(size).collect();
            let shown = show(window(Part::Ends, 0, 100, &pieces));
            let expected = "line 00\nline 01\nline 02\nline 03\nline 04\n[… 704 bytes cut; from 40 …]\n";
            assert!(shown.text.starts_with(expected), "{}", shown.text);
            assert!(shown.text.ends_with("line 98\nline 99\n"), "{}", shown.text);
            assert_eq!((shown.bytes, shown.cursor), (96, 800));
        }
    }

    #[test]
    fn pages_one_after_the_other_are_the_whole() {
        let text: String = (0..200).map(|it| format!("{it} caf\u{e9}\n")).collect();
        let (mut cursor, mut pages) = (0, String::new());
        while (cursor as usize) < text.len() {
            let mut page = Window::new(Part::Beginning, cursor, 101);
            page.push(&text.as_bytes()[cursor as usize..]);
            assert!(page.is_full() || page.end as usize == text.len());
            let shown = show(page);
            assert!(shown.cursor > cursor);
            cursor = shown.cursor;
            pages.push_str(&shown.text);
        }
        assert_eq!(pages, text);
    }

    #[test]
    fn bytes_that_nobody_keeps_are_counted() {
        let mut lossy = window(Part::Ends, 0, 100, &[b"first\n"]);
        lossy.lose(1000);
        lossy.push(b"last\n");
        let shown = show(lossy);
        assert_eq!(shown.text, "first\n[… 1000 bytes cut, 1000 of them kept nowhere; from 6 …]\nlast\n");
        assert_eq!(shown.cursor, 1011);
        let mut page = Window::new(Part::Beginning, 6, 100);
        page.lose(1000);
        page.push(b"last\n");
        assert_eq!(show(page), Shown { text: "last\n".into(), bytes: 5, cursor: 1011 });
    }

    #[test]
    fn characters_stay_whole_where_text_is_cut() {
        let text = "\u{20ac}".repeat(100);
        for room in 20..32 {
            let shown = show(window(Part::Ends, 0, room, &[text.as_bytes()]));
            assert!(!shown.text.contains('\u{fffd}'), "{room}: {}", shown.text);
        }
    }

    #[test]
    fn a_very_long_line_is_cut() {
        let shown = show(window(Part::Ends, 0, 9000, &["x".repeat(5000).as_bytes(), b"\nshort\n"]));
        assert!(shown.text.contains("xx[… 3000 characters of this line cut]\nshort\n"));
    }

    #[test]
    fn no_answer_is_longer_than_the_most() {
        let clamped = clamp("\u{20ac}".repeat(MAX));
        assert!(clamped.len() <= MAX && clamped.ends_with("bytes cut]"), "{}", clamped.len());
        assert_eq!(clamp("short".into()), "short");
    }
}
