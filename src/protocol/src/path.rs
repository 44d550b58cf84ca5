//! Paths as both sides take them: relative, and going down only.

use std::cmp::Ordering;

/// Longest path: the kernel's own limit without the final NUL.
pub const PATH_MAX: usize = 4095;

/// Why bytes are not such a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// It is absolute, or has a `..`.
    #[error("the path leads out of its directory")]
    Outside,
    /// It has an empty component, or a `.`.
    #[error("the path has an empty component or a '.'")]
    Empty,
    /// It has a NUL byte.
    #[error("the path contains a NUL byte")]
    Nul,
    /// It is longer than [`PATH_MAX`].
    #[error("the path is longer than {PATH_MAX} bytes")]
    Long,
}

/// Checks that `path` is relative and names something below, or is empty.
///
/// # Errors
/// [`BadPath`].
pub fn check(path: &[u8]) -> Result<(), BadPath> {
    if path.len() > PATH_MAX {
        return Err(BadPath::Long);
    }
    if path.contains(&0) {
        return Err(BadPath::Nul);
    }
    if path.first() == Some(&b'/') {
        return Err(BadPath::Outside);
    }
    let mut components = path.split(|&byte| byte == b'/').filter(|_| !path.is_empty());
    components.try_for_each(|component| match component {
        b".." => Err(BadPath::Outside),
        b"" | b"." => Err(BadPath::Empty),
        _ => Ok(()),
    })
}

/// The order in which trees are described: by components, each compared byte by byte. So a
/// directory comes before what is in it, and all of that before the directory's next sibling.
#[must_use]
pub fn order(left: &[u8], right: &[u8]) -> Ordering {
    let rank = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    left.iter().map(rank).cmp(right.iter().map(rank))
}

/// Whether `path` is `ancestor` or somewhere in it. Everything is in the empty path.
#[must_use]
pub fn is_within(path: &[u8], ancestor: &[u8]) -> bool {
    match path.strip_prefix(ancestor) {
        Some(rest) => ancestor.is_empty() || rest.is_empty() || rest[0] == b'/',
        None => false,
    }
}

/// The path of the directory that `path` is in; empty at the top.
#[must_use]
pub fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|&byte| byte == b'/').map_or(&[], |slash| &path[..slash])
}

/// The last component of `path`.
#[must_use]
pub fn name(path: &[u8]) -> &[u8] {
    path.iter().rposition(|&byte| byte == b'/').map_or(path, |slash| &path[slash + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_goes_down_only() {
        for good in ["", "a", "a/b", ".a", "..a", "a../b...", "a b\n", "\u{1}"] {
            assert_eq!(check(good.as_bytes()), Ok(()), "{good:?}");
        }
        assert_eq!(check(&[0xff, b'/', 0xfe]), Ok(()));
        for (bad, why) in [
            ("/", BadPath::Outside),
            ("/a", BadPath::Outside),
            ("..", BadPath::Outside),
            ("a/../b", BadPath::Outside),
            ("a/..", BadPath::Outside),
            (".", BadPath::Empty),
            ("a/./b", BadPath::Empty),
            ("a//b", BadPath::Empty),
            ("a/", BadPath::Empty),
            ("a\0b", BadPath::Nul),
        ] {
            assert_eq!(check(bad.as_bytes()), Err(why), "{bad:?}");
        }
        assert_eq!(check(&[b'a'; PATH_MAX]), Ok(()));
        assert_eq!(check(&[b'a'; PATH_MAX + 1]), Err(BadPath::Long));
    }

    #[test]
    fn a_directory_is_followed_by_what_is_in_it() {
        let sorted: [&[u8]; 7] = [b"", b"a", b"a/b", b"a/b/c", b"a/\xff", b"a.b", b"ab"];
        assert!(sorted.is_sorted_by(|left, right| order(left, right) == Ordering::Less));
    }

    #[test]
    fn only_whole_components_are_within() {
        assert!(
            is_within(b"a/b", b"a") && is_within(b"a", b"a") && is_within(b"a", b"") && is_within(b"", b"")
        );
        assert!(!is_within(b"ab", b"a") && !is_within(b"a", b"a/b") && !is_within(b"", b"a"));
        assert_eq!((parent(b"a/b/c"), name(b"a/b/c")), (&b"a/b"[..], &b"c"[..]));
        assert_eq!((parent(b"a"), name(b"a")), (&b""[..], &b"a"[..]));
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_component_lists(left in "[a-c./]{0,8}", right in "[a-c./]{0,8}") {
            prop_assume!(check(left.as_bytes()).is_ok() && check(right.as_bytes()).is_ok());
            let list = |path: &str| path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(order(left.as_bytes(), right.as_bytes()), list(&left).cmp(&list(&right)));
        }
    }
}
