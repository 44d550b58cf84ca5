//! Files that have moved: one is gone and one is new, with the same content. Only files of one length
//! are looked at, and only those that have changed.

use super::DiffError;
use super::compare::Pair;
use super::contents::{BATCH, Contents, content_of, path_of, size_of};
use super::view::{Content, View};
use crate::patch::{BINARY_MAX, is_binary};
use pyro_protocol::path::name as name_of;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

/// What has moved, by the numbers of its pairs.
#[derive(Debug, Default)]
pub(super) struct Renames {
    /// Where a new one was.
    from: BTreeMap<usize, Moved>,
    /// Where one that is gone is now.
    to: BTreeMap<usize, Moved>,
}

/// The other place of what has moved, and its content.
#[derive(Clone, Debug)]
pub(super) struct Moved {
    pub(super) other: usize,
    pub(super) sha256: [u8; 32],
    pub(super) binary: bool,
}

impl Renames {
    /// Where the new file of this pair was.
    pub(super) fn from(&self, at: usize) -> Option<&Moved> {
        self.from.get(&at)
    }

    /// Where the file of this pair, which is gone, is now.
    pub(super) fn to(&self, at: usize) -> Option<&Moved> {
        self.to.get(&at)
    }

    fn add(&mut self, old: usize, new: usize, (sha256, binary): ([u8; 32], bool)) {
        self.from.insert(new, Moved { other: old, sha256, binary });
        self.to.insert(old, Moved { other: new, sha256, binary });
    }
}

/// What is known of a content when all of it was read.
type Known = ([u8; 32], bool);

/// Finds what has moved. Empty files are all alike, and what is too large for a patch stays what it is.
pub(super) fn find(
    (old, new): (&View, &View),
    below: &[u8],
    pairs: &[Pair<'_>],
    contents: &mut dyn Contents,
) -> Result<Renames, DiffError> {
    let sized = |content: Option<Content>| {
        content.map(|content| (size_of(content), content)).filter(|(size, _)| (1..=BINARY_MAX).contains(size))
    };
    let gone = |pair: &Pair<'_>| if pair.new.is_none() { sized(content_of(pair.old.as_ref())) } else { None };
    let come = |pair: &Pair<'_>| if pair.old.is_none() { sized(content_of(pair.new.as_ref())) } else { None };
    let sizes = |of: &dyn Fn(&Pair<'_>) -> Option<(u64, Content)>| -> BTreeSet<u64> {
        pairs.iter().filter_map(of).map(|(size, _)| size).collect()
    };
    let common: BTreeSet<u64> = sizes(&gone).intersection(&sizes(&come)).copied().collect();
    let mut renames = Renames::default();
    if common.is_empty() {
        return Ok(renames);
    }
    let chosen = |of: &dyn Fn(&Pair<'_>) -> Option<(u64, Content)>| -> Vec<(usize, u64, Content)> {
        let of = |(at, pair)| of(pair).map(|(size, content)| (at, size, content));
        pairs.iter().enumerate().filter_map(of).filter(|(_, size, _)| common.contains(size)).collect()
    };
    // Those of one content that are gone, in the order of their paths.
    let mut left: BTreeMap<[u8; 32], Vec<usize>> = BTreeMap::new();
    for (at, _, content) in chosen(&gone) {
        if let Some((sha256, _)) = of_layer(old, content)? {
            left.entry(sha256).or_default().push(at);
        }
    }
    let mut known: BTreeMap<usize, Known> = BTreeMap::new();
    let mut upper = Vec::new();
    for (at, size, content) in chosen(&come) {
        match content {
            Content::Upper { .. } => upper.push((at, size)),
            Content::Lower { .. } => known.extend(of_layer(new, content)?.map(|found| (at, found))),
        }
    }
    for batch in upper.chunks(BATCH) {
        let paths: Vec<Vec<u8>> = batch.iter().map(|(at, _)| path_of(below, &pairs[*at])).collect();
        let mut failed = None;
        let fetched = contents.fetch(&paths, &mut |number, reader| {
            let Some((at, size)) = batch.get(number) else { return Ok(()) };
            match read(reader, *size) {
                Ok(found) => known.extend(found.map(|found| (*at, found))),
                // The agent's own words are in it.
                Err(error) => failed = Some(error),
            }
            if failed.is_some() { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
        });
        match failed {
            Some(error) => return Err(DiffError::Contents(error)),
            None => fetched.map_err(DiffError::Contents)?,
        }
    }
    // What has kept its name first, as git does.
    for same_name in [true, false] {
        for (at, found) in &known {
            let Some(olds) = left.get_mut(&found.0).filter(|_| !renames.from.contains_key(at)) else {
                continue;
            };
            let fits = |old: &usize| !same_name || name_of(&pairs[*old].path) == name_of(&pairs[*at].path);
            if let Some(place) = olds.iter().position(fits) {
                renames.add(olds.remove(place), *at, *found);
            }
        }
    }
    Ok(renames)
}

fn of_layer(view: &View, content: Content) -> Result<Option<Known>, DiffError> {
    let Content::Lower { number, extent } = content else { return Ok(None) };
    let reader = view.lower(number).content(extent);
    reader.and_then(|mut reader| read(&mut reader, extent.size)).map_err(DiffError::Base)
}

/// Reads a content to its end; none if it has another length by now.
fn read(reader: &mut dyn Read, size: u64) -> io::Result<Option<Known>> {
    let mut bytes = Vec::new();
    reader.take(BINARY_MAX + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 == size).then(|| (Sha256::digest(&bytes).into(), is_binary(&bytes))))
}
