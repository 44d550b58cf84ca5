//! How a layer says that something of the layers below is gone: by names that begin with `.wh.`.

/// Starts the name of everything that is not a file.
pub(crate) const PREFIX: &[u8] = b".wh.";
/// Starts what AUFS kept for itself; found in images of old Docker versions.
const META: &[u8] = b".wh..wh.";
/// Empties a directory of what the layers below have in it.
pub(crate) const OPAQUE: &[u8] = b".wh..wh..opq";

/// What an entry's path means. `directory` is empty for the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning<'a> {
    /// The root directory.
    Root,
    /// An entry.
    Entry { directory: &'a [u8], name: &'a [u8] },
    /// The layers below do not have this name.
    Whiteout { directory: &'a [u8], name: &'a [u8] },
    /// The layers below have nothing in this directory.
    Opaque { directory: &'a [u8] },
    /// Of no meaning.
    Ignored,
    /// A whiteout of nothing that can be named, or something inside a whiteout.
    Broken,
}

impl<'a> Meaning<'a> {
    /// `path` is in the form of [`crate::Entry::path`].
    pub(crate) fn of(path: &'a [u8]) -> Self {
        if path.is_empty() {
            return Self::Root;
        }
        let slash = path.iter().rposition(|&byte| byte == b'/');
        let (directory, name) = slash.map_or((&b""[..], path), |at| (&path[..at], &path[at + 1..]));
        let parents = || directory.split(|&byte| byte == b'/');
        if directory.len() >= PREFIX.len() && parents().any(|parent| parent.starts_with(PREFIX)) {
            let ignored = parents().any(|parent| parent.starts_with(META));
            return if ignored { Self::Ignored } else { Self::Broken };
        }
        match name.strip_prefix(PREFIX) {
            None => Self::Entry { directory, name },
            Some(_) if name == OPAQUE => Self::Opaque { directory },
            Some(_) if name.starts_with(META) => Self::Ignored,
            Some(b"" | b"." | b"..") => Self::Broken,
            Some(name) => Self::Whiteout { directory, name },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_their_meaning() {
        let table: &[(&[u8], Meaning<'_>)] = &[
            (b"", Meaning::Root),
            (b"a", Meaning::Entry { directory: b"", name: b"a" }),
            (b"a/b/c", Meaning::Entry { directory: b"a/b", name: b"c" }),
            (b".wh", Meaning::Entry { directory: b"", name: b".wh" }),
            (b".wh.a", Meaning::Whiteout { directory: b"", name: b"a" }),
            (b"a/.wh.b", Meaning::Whiteout { directory: b"a", name: b"b" }),
            (b"a/.wh..b", Meaning::Whiteout { directory: b"a", name: b".b" }),
            (b".wh..wh..opq", Meaning::Opaque { directory: b"" }),
            (b"a/.wh..wh..opq", Meaning::Opaque { directory: b"a" }),
            (b".wh..wh.plnk", Meaning::Ignored),
            (b".wh..wh.plnk/12.34", Meaning::Ignored),
            (b".wh..wh.aufs", Meaning::Ignored),
            (b"a/.wh.", Meaning::Broken),
            (b"a/.wh..", Meaning::Broken),
            (b"a/.wh...", Meaning::Broken),
            (b".wh.a/b", Meaning::Broken),
            (b".wh.a/.wh.b", Meaning::Broken),
        ];
        for (path, expected) in table {
            assert_eq!(Meaning::of(path), *expected, "{}", crate::name::display(path));
        }
    }
}
