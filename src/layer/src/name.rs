//! Paths inside a layer, as bytes: relative, clean, bounded.

use crate::limits::{DEPTH_MAX, NAME_MAX, PATH_MAX};

/// Why a path is not acceptable; reads on after "its path".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It has a `..` component.
    #[error("has a `..` component")]
    Parent,
    /// It has a zero byte.
    #[error("has a zero byte")]
    Nul,
    /// A component is over 255 bytes.
    #[error("has a component of more than {NAME_MAX} bytes")]
    Component,
    /// It is over 4096 bytes.
    #[error("is longer than {PATH_MAX} bytes")]
    Long,
    /// It has more than 256 components.
    #[error("has more than {DEPTH_MAX} components")]
    Deep,
    /// It is empty where only a directory may be the root.
    #[error("is empty")]
    Empty,
}

/// The path without leading, trailing and doubled `/` and without `.`; empty for the root.
pub(crate) fn normalise(raw: &[u8]) -> Result<Box<[u8]>, NameError> {
    if raw.contains(&0) {
        return Err(NameError::Nul);
    }
    let mut path = Vec::with_capacity(raw.len());
    let mut depth = 0;
    for component in raw.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => continue,
            b".." => return Err(NameError::Parent),
            _ => {}
        }
        depth += 1;
        if depth > DEPTH_MAX {
            return Err(NameError::Deep);
        }
        if component.len() > NAME_MAX {
            return Err(NameError::Component);
        }
        if depth > 1 {
            path.push(b'/');
        }
        path.extend_from_slice(component);
    }
    if path.len() > PATH_MAX {
        return Err(NameError::Long);
    }
    Ok(path.into_boxed_slice())
}

/// For messages: text as it is, other bytes replaced, cut to a length that a terminal bears.
pub(crate) fn display(path: &[u8]) -> String {
    const SHOWN: usize = 200;
    let mut text = String::from_utf8_lossy(&path[..path.len().min(SHOWN)]).into_owned();
    if path.len() > SHOWN {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &[u8], expected: Result<&str, NameError>) {
        let found = normalise(raw).map(|path| String::from_utf8(path.into()).unwrap());
        assert_eq!(found, expected.map(str::to_owned), "{}", display(raw));
    }

    #[test]
    fn paths_become_relative_and_clean() {
        check(b"", Ok(""));
        check(b"./", Ok(""));
        check(b"/", Ok(""));
        check(b"./a/b", Ok("a/b"));
        check(b"//a/.//b/", Ok("a/b"));
        check(b"..a/b..", Ok("..a/b.."));
        check(b".wh..wh..opq", Ok(".wh..wh..opq"));
    }

    #[test]
    fn paths_that_escape_or_overflow_are_refused() {
        check(b"..", Err(NameError::Parent));
        check(b"a/../b", Err(NameError::Parent));
        check(b"a\0b", Err(NameError::Nul));
        check(&[b'a'; 256], Err(NameError::Component));
        check(&b"a/".repeat(257), Err(NameError::Deep));
        check(&[&[b'a'; 250][..], b"/"].concat().repeat(17), Err(NameError::Long));
        assert!(normalise(&[&[b'a'; 255][..], b"/"].concat().repeat(16)).is_ok());
    }
}
