//! Texts of a recipe, which a model reads as if the user had written them: short, and nothing in them
//! that a person who reads the file does not see.

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It says nothing.
    #[error("the text is empty")]
    Empty,
    /// It is too long for what it is for.
    #[error("{0} characters are more than {1}")]
    Long(usize, usize),
    /// It has a line break, where one line is wanted.
    #[error("the text must be one line")]
    Lines,
    /// It has a character that nobody sees, or that steers terminals.
    #[error("the character U+{0:04X} is not allowed: it cannot be seen")]
    Hidden(u32),
}

/// What a text may be.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Most characters.
    pub longest: usize,
    /// Whether it may have line breaks.
    pub lines: bool,
}

/// A line of `pyro mode list`.
pub const SUMMARY: Rule = Rule { longest: 120, lines: false };
/// Hosts repeat it, one of them in the text of every tool.
pub const INSTRUCTIONS: Rule = Rule { longest: 600, lines: true };
/// What a tool may cost in a model's context.
pub const DESCRIPTION: Rule = Rule { longest: 600, lines: true };
/// A line of a host's menu.
pub const PROMPT_DESCRIPTION: Rule = Rule { longest: 200, lines: false };
/// A page.
pub const PROMPT: Rule = Rule { longest: 4000, lines: true };

impl Rule {
    /// Whether a text is what this asks for.
    ///
    /// # Errors
    /// The first thing that it is not.
    pub fn holds(self, text: &str) -> Result<(), Fault> {
        let count = text.chars().count();
        if text.trim().is_empty() {
            return Err(Fault::Empty);
        }
        if count > self.longest {
            return Err(Fault::Long(count, self.longest));
        }
        if !self.lines && text.contains('\n') {
            return Err(Fault::Lines);
        }
        match text.chars().find(|it| is_hidden(*it)) {
            Some(it) => Err(Fault::Hidden(it.into())),
            None => Ok(()),
        }
    }
}

/// Whether a character shows nothing, though a model reads it, or changes how its neighbours look.
fn is_hidden(it: char) -> bool {
    let shows_nothing = matches!(
        it,
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}'
    );
    shows_nothing || (it.is_control() && it != '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_short_and_seen() {
        let rule = Rule { longest: 5, lines: false };
        assert_eq!(rule.holds("äöü€!"), Ok(()));
        assert_eq!(rule.holds("äöü€!?"), Err(Fault::Long(6, 5)));
        assert_eq!(rule.holds(" \n"), Err(Fault::Empty));
        assert_eq!(rule.holds("a\nb"), Err(Fault::Lines));
        assert_eq!(Rule { lines: true, ..rule }.holds("a\nb"), Ok(()));
    }

    #[test]
    fn what_cannot_be_seen_is_named() {
        // A terminal's escape, an override of direction, a blank of no width, letters of the tag block.
        for (text, code) in
            [("\u{1b}[2J", 0x1b), ("a\u{202e}b", 0x202e), ("a\u{200b}", 0x200b), ("a\u{e0041}", 0xe0041)]
        {
            let fault = PROMPT.holds(text).unwrap_err();
            assert_eq!(fault, Fault::Hidden(code));
            assert!(fault.to_string().contains(&format!("U+{code:04X}")));
        }
        assert_eq!(PROMPT.holds("tab\there"), Err(Fault::Hidden(9)));
    }
}
