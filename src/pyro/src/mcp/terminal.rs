//! What guests put out, as text that does nothing to whoever reads it.

use vte::{Params, Parser, Perform};

/// What a terminal would show in the end: without escape sequences, and of a line that was written over
/// and over, as progress is, the last one.
pub fn plain(bytes: &[u8]) -> String {
    let mut screen = Screen::default();
    Parser::new().advance(&mut screen, bytes);
    screen.text.push_str(&screen.line);
    screen.text
}

/// The same characters, each control character but tabs and ends of lines as its picture.
pub fn visible(bytes: &[u8]) -> String {
    let picture = |it: char| match it {
        '\n' | '\t' | '\r' => it,
        '\0'..='\x1f' => char::from_u32(0x2400 + it as u32).unwrap_or('\u{fffd}'),
        '\x7f' => '\u{2421}',
        '\u{80}'..='\u{9f}' => '\u{fffd}',
        _ => it,
    };
    String::from_utf8_lossy(bytes).chars().map(picture).collect()
}

#[derive(Default)]
struct Screen {
    text: String,
    line: String,
    /// The next character is written at the beginning of the line.
    returned: bool,
}

impl Perform for Screen {
    fn print(&mut self, it: char) {
        if std::mem::take(&mut self.returned) {
            self.line.clear();
        }
        self.line.push(it);
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\n' => {
                self.returned = false;
                self.text.push_str(&self.line);
                self.text.push('\n');
                self.line.clear();
            }
            b'\r' => self.returned = true,
            b'\t' => self.print('\t'),
            b'\x08' => drop(self.line.pop()),
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, _: &Params, _: &[u8], _: bool, _: char) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_what_a_terminal_would_show_in_the_end() {
        for (bytes, text) in [
            (&b"\x1b[1;31mred\x1b[0m\tand \x1b]0;title\x07plain\n"[..], "red\tand plain\n"),
            (b"10%\r50%\r\x1b[K100%\ndone", "100%\ndone"),
            (b"dos\r\nlines\r\n", "dos\nlines\n"),
            (b"ab\x08c\0\x07", "ac"),
            (b"caf\xc3\xa9 \xff", "caf\u{e9} \u{fffd}"),
            (b"\x1bP1$r\x1b\\after", "after"),
        ] {
            assert_eq!(plain(bytes), text);
        }
    }

    #[test]
    fn a_file_keeps_its_characters_and_its_escapes_do_nothing() {
        assert_eq!(visible(b"a\x1b[1m\r\n\t\xc2\x9b"), "a\u{241b}[1m\r\n\t\u{fffd}");
    }
}
