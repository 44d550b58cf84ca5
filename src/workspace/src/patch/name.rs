//! Names of files in patches: git's quoting, and which names are accepted.

/// Longest path that Linux passes to a system call, with its final zero.
const PATH_MAX: usize = 4096;
/// Longest name in a directory on Linux file systems.
const COMPONENT_MAX: usize = 255;

/// Why a path is refused; reads on after "its path".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It starts with `/`.
    #[error("is absolute")]
    Absolute,
    /// It has a `..` component.
    #[error("has a `..` component")]
    Parent,
    /// It has an empty or `.` component.
    #[error("is not a plain path: it has an empty or `.` component")]
    Unclean,
    /// It has a zero byte.
    #[error("has a zero byte")]
    Nul,
    /// It is longer than Linux allows.
    #[error("is too long")]
    Long,
}

/// Whether `path` is relative and leads to one place below where it starts, and nowhere else.
///
/// # Errors
/// [`PathError`].
pub fn check(path: &[u8]) -> Result<(), PathError> {
    if path.first() == Some(&b'/') {
        return Err(PathError::Absolute);
    }
    if path.contains(&0) {
        return Err(PathError::Nul);
    }
    if path.len() >= PATH_MAX {
        return Err(PathError::Long);
    }
    path.split(|byte| *byte == b'/').try_for_each(|component| match component {
        b"" | b"." => Err(PathError::Unclean),
        b".." => Err(PathError::Parent),
        _ if component.len() > COMPONENT_MAX => Err(PathError::Long),
        _ => Ok(()),
    })
}

/// Whether a component of `path` is `.git`, in any case: the repository, not the tree. git itself
/// refuses patches of it.
#[must_use]
pub fn is_repository(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|component| component.eq_ignore_ascii_case(b".git"))
}

/// For messages: text as it is, other bytes as git quotes them.
#[must_use]
pub fn display(path: &[u8]) -> String {
    match std::str::from_utf8(path) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => String::from_utf8_lossy(&quoted(path, b"")).into_owned(),
    }
}

/// `prefix` and `name` as git writes them: in quotes if there are bytes in it that it quotes.
pub(crate) fn quoted(name: &[u8], prefix: &[u8]) -> Vec<u8> {
    let odd = |byte: &u8| matches!(byte, 0..=0x1f | b'"' | b'\\' | 0x7f..);
    let mut out = Vec::with_capacity(prefix.len() + name.len() + 2);
    if !name.iter().any(odd) {
        out.extend_from_slice(prefix);
        out.extend_from_slice(name);
        return out;
    }
    out.push(b'"');
    out.extend_from_slice(prefix);
    for byte in name {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            _ if !odd(byte) => out.push(*byte),
            _ => match ESCAPES.iter().find(|(_, value)| value == byte) {
                Some((letter, _)) => out.extend([b'\\', *letter]),
                None => out.extend(format!("\\{byte:03o}").into_bytes()),
            },
        }
    }
    out.push(b'"');
    out
}

const ESCAPES: [(u8, u8); 7] =
    [(b'a', 7), (b'b', 8), (b't', b'\t'), (b'n', b'\n'), (b'v', 11), (b'f', 12), (b'r', b'\r')];

/// Takes a quoted name from the start of `text`: the name, and what follows its last quote.
pub(crate) fn unquote(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut rest = text.strip_prefix(b"\"")?;
    let mut name = Vec::new();
    loop {
        let (byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b'"' => return Some((name, rest)),
            b'\\' => {
                let (escape, after) = rest.split_first()?;
                if let b'0'..=b'3' = escape {
                    let digits = rest.first_chunk::<3>()?;
                    let number = digits.iter().try_fold(0_u8, |number, digit| match digit {
                        b'0'..=b'7' => Some(number << 3 | (digit - b'0')),
                        _ => None,
                    })?;
                    name.push(number);
                    rest = &rest[3..];
                    continue;
                }
                rest = after;
                match escape {
                    b'"' | b'\\' => name.push(*escape),
                    _ => name.push(ESCAPES.iter().find(|(letter, _)| letter == escape)?.1),
                }
            }
            _ => name.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_as_git_does() {
        let table: &[(&[u8], &[u8])] = &[
            (b"plain", b"a/plain"),
            (b"with space", b"a/with space"),
            (b"q\"b\\", b"\"a/q\\\"b\\\\\""),
            (b"\t\n\r\x01\x7f\xff", b"\"a/\\t\\n\\r\\001\\177\\377\""),
            ("é".as_bytes(), b"\"a/\\303\\251\""),
        ];
        for (name, expected) in table {
            assert_eq!(quoted(name, b"a/"), *expected);
        }
    }

    #[test]
    fn quoting_is_undone() {
        let all: Vec<u8> = (0..=255).collect();
        let text = [&quoted(&all, b"a/")[..], b"\t rest"].concat();
        assert_eq!(unquote(&text), Some(([b"a/", &all[..]].concat(), &b"\t rest"[..])));
        for bad in [&b"x"[..], b"\"", b"\"\\", b"\"\\x\"", b"\"\\18\"", b"\"\\400\"", b"\"abc"] {
            assert_eq!(unquote(bad), None);
        }
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        assert_eq!(check(b"a/.git/..b"), Ok(()));
        assert_eq!(check(b"/a"), Err(PathError::Absolute));
        assert_eq!(check(b"a/../b"), Err(PathError::Parent));
        assert_eq!(check(b""), Err(PathError::Unclean));
        assert_eq!(check(b"a//b"), Err(PathError::Unclean));
        assert_eq!(check(b"a\0"), Err(PathError::Nul));
        assert_eq!(check(&[b'a'; 256]), Err(PathError::Long));
        assert!(is_repository(b"x/.GIT/hooks/y") && !is_repository(b".gitignore"));
    }
}
