//! From fields of a TOML document to lines, and back.

use super::error::Step;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The line, from 1, in which a byte is.
pub fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// The line, from 1, of the field at the end of `path`; of the nearest one around it, if it is not there.
pub fn line(text: &str, path: &[Step]) -> usize {
    let Ok(root) = DeTable::parse(text) else { return 1 };
    let mut start = 0;
    let mut entry = path.split_first().and_then(|(step, rest)| Some((in_table(root.get_ref(), step)?, rest)));
    while let Some(((at, value), rest)) = entry {
        start = at;
        entry = rest.split_first().and_then(|(step, rest)| {
            let next = match (value.get_ref(), step) {
                (DeValue::Table(table), step) => in_table(table, step),
                (DeValue::Array(array), Step::Index(index)) => {
                    array.get(*index).map(|value| (value.span().start, value))
                }
                _ => None,
            };
            Some((next?, rest))
        });
    }
    line_of(text, start)
}

/// Where the key of an entry is, and its value.
fn in_table<'t, 'i>(table: &'t DeTable<'i>, step: &Step) -> Option<(usize, &'t Spanned<DeValue<'i>>)> {
    let Step::Key(key) = step else { return None };
    table.iter().find(|(name, _)| name.get_ref() == key).map(|(name, value)| (name.span().start, value))
}

/// The field that a part of the document belongs to; none where that is all of it, or no TOML.
pub fn path(text: &str, span: &Range<usize>) -> Vec<Step> {
    let mut found = Vec::new();
    if let Ok(root) = DeTable::parse(text)
        && root.span() != *span
    {
        search(root.get_ref(), span.start, &mut found);
    }
    found
}

/// Whether the byte is in this entry or value, or in what is below it: the span of a table says only
/// where its head is.
fn search(table: &DeTable<'_>, offset: usize, found: &mut Vec<Step>) -> bool {
    table.iter().any(|(name, value)| {
        found.push(Step::Key(name.get_ref().to_string()));
        // What is below first: it says more.
        let hit = below(value, offset, found) || contains(&name.span(), offset);
        if !hit {
            found.pop();
        }
        hit
    })
}

fn below(value: &Spanned<DeValue<'_>>, offset: usize, found: &mut Vec<Step>) -> bool {
    let deeper = match value.get_ref() {
        DeValue::Table(table) => search(table, offset, found),
        DeValue::Array(array) => array.iter().enumerate().any(|(index, value)| {
            found.push(Step::Index(index));
            let hit = below(value, offset, found);
            if !hit {
                found.pop();
            }
            hit
        }),
        _ => false,
    };
    deeper || contains(&value.span(), offset)
}

fn contains(span: &Range<usize>, offset: usize) -> bool {
    span.contains(&offset) || span.start == offset
}

/// A field as people write it: `tools[2].arguments.timeout_seconds`.
pub fn field(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(&plain(key)),
            Step::Key(key) => text.extend([".", &plain(key)]),
            Step::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

/// A key that may be anything, so that it steers no terminal and fills no screen.
fn plain(key: &str) -> String {
    const LONGEST: usize = 64;
    let bare = |it: char| it.is_ascii_alphanumeric() || it == '_' || it == '-';
    if key.len() <= LONGEST && !key.is_empty() && key.chars().all(bare) {
        return key.into();
    }
    format!("{:?}", key.chars().take(LONGEST).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a = 1\n[b]\nc = [\n  2,\n  3,\n]\n[[d]]\ne = { f = 4 }\n[[d]]\n\n[d.e]\nf = 5\n";

    #[track_caller]
    fn both_ways(at: &str, line_of_it: usize, name: &str) {
        let found = path(TEXT, &(TEXT.find(at).unwrap()..TEXT.len()));
        assert_eq!((field(&found).as_str(), line(TEXT, &found)), (name, line_of_it));
    }

    #[test]
    fn a_field_has_a_line_and_a_byte_has_a_field() {
        both_ways("1", 1, "a");
        both_ways("2", 4, "b.c[0]");
        both_ways("3", 5, "b.c[1]");
        both_ways("f = 4", 8, "d[0].e.f");
        both_ways("5", 12, "d[1].e.f");
    }

    #[test]
    fn what_is_not_there_has_the_line_of_what_is_around_it() {
        let missing = |path: &[Step]| line(TEXT, path);
        assert_eq!(missing(&["d".into(), 1.into(), "x".into()]), 9);
        assert_eq!(missing(&["x".into()]), 1);
        assert_eq!(line("no toml", &["x".into()]), 1);
    }

    #[test]
    fn odd_keys_are_quoted() {
        assert_eq!(field(&["a\u{1b}[31m".into(), "b".into()]), "\"a\\u{1b}[31m\".b");
        assert!(field(&[Step::Key("x".repeat(1000))]).len() < 80);
    }
}
