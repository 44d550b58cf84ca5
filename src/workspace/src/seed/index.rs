//! git's index: what it lists, and listings that are kept, since most lookers find it unchanged.

use super::Owner;
use super::cache::{Cache, Key};
use super::git::{Git, GitError};
use super::stamp::Stamp;
use pyro_layer::layer_order;
use rustix::fs::{AtFlags, CWD, statat};
use std::path::Path;

/// An entry of the index: `TAG MODE OBJECT STAGE<tab>PATH`.
pub(super) struct Tracked<'a> {
    pub is_module: bool,
    pub object: &'a [u8],
    pub path: &'a [u8],
}

impl<'a> Tracked<'a> {
    pub fn all(listing: &'a [u8]) -> impl Iterator<Item = Self> {
        listing.split(|byte| *byte == 0).filter_map(Self::parse)
    }

    fn parse(line: &'a [u8]) -> Option<Self> {
        let tab = line.iter().position(|byte| *byte == b'\t')?;
        let mut words = line[..tab].split(|byte| *byte == b' ').skip(1);
        let (mode, object) = (words.next()?, words.next()?);
        Some(Self { is_module: mode == b"160000", object, path: &line[tab + 1..] })
    }
}

/// The index of `git`'s directory as `git ls-files -z -s -t` lists it, but in the order of layers.
pub(super) fn listing(
    cache: &Cache<'_>,
    git: &Git,
    directory: &Path,
    index: &Path,
) -> Result<Vec<u8>, GitError> {
    let Ok(stat) = statat(CWD, index, AtFlags::SYMLINK_NOFOLLOW) else {
        // Without an index there are no entries, which git may say.
        return list(git);
    };
    let places = [directory, index].map(|path| path.as_os_str().as_encoded_bytes());
    let mut place = Key::new(Owner::default());
    places.iter().for_each(|path| place.add(path));
    let mut state = Key::new(Owner::default());
    state.add_file(b"", &Stamp::of(&stat));
    if let Some((known, listing)) = cache.said(&place)
        && known == state.digest()
    {
        return Ok(listing);
    }
    let listing = list(git)?;
    cache.say(&place, &state, &[&listing]);
    Ok(listing)
}

fn list(git: &Git) -> Result<Vec<u8>, GitError> {
    let listing = git.read(&["ls-files", "-z", "-s", "-t"])?;
    let mut lines: Vec<&[u8]> = listing.split_inclusive(|byte| *byte == 0).collect();
    let path = |line: &[u8]| line.iter().position(|byte| *byte == b'\t').map_or(0, |tab| tab + 1);
    // Stable: the sides of what is not merged stay in their order.
    lines.sort_by(|a, b| layer_order(&a[path(a)..], &b[path(b)..]));
    Ok(lines.concat())
}
