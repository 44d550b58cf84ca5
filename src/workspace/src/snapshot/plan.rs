//! What a snapshot's layer holds: what is new in the writable layer since the one before.
//!
//! The first snapshot of a writable layer holds all of it. Each later one holds what has another
//! [`Stamp`] than it had, and hides what is gone, so that it costs what has changed and not what is
//! there. A merge of the layers below, the earlier snapshots and this one gives the tree as it is.
//!
//! Three things make this more than a comparison of lists:
//! - A directory that hides what is below it (opaque) hides the earlier snapshots too. When it is
//!   newly so, all that is in it belongs to the layer, changed or not.
//! - Names of one inode belong together, since a layer cannot link to a file of another one.
//! - A name that is gone and was only ever in the writable layer leaves no trace there, but the
//!   earlier snapshots have it: it is hidden by us.

#[cfg(test)]
mod tests;

use pyro_protocol::path::{is_within, order, parent};
use pyro_protocol::{Entry, EntryKind, Stamp};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

/// What is remembered of a name from one snapshot to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    #[serde(with = "serde_bytes")]
    path: Vec<u8>,
    kind: SeenKind,
    stamp: Stamp,
}

/// As much of an [`EntryKind`] as its [`Stamp`] does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum SeenKind {
    Directory { opaque: bool },
    Whiteout,
    Other,
}

impl Seen {
    /// What to remember of `entries`.
    pub fn of(entries: &[Entry]) -> Vec<Self> {
        entries.iter().filter(|entry| fits(entry)).map(Self::from).collect()
    }
}

impl From<&Entry> for Seen {
    fn from(entry: &Entry) -> Self {
        let kind = match entry.kind {
            EntryKind::Directory { opaque } => SeenKind::Directory { opaque },
            EntryKind::Whiteout => SeenKind::Whiteout,
            _ => SeenKind::Other,
        };
        Self { path: entry.path.to_vec(), kind, stamp: entry.stamp }
    }
}

/// A member of the layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A directory.
    Directory {
        /// Which.
        entry: &'a Entry,
        /// Whether it hides what the layers below have in it.
        opaque: bool,
    },
    /// Anything else that is there.
    Entry(&'a Entry),
    /// Another name of an inode.
    HardLink {
        /// Which.
        entry: &'a Entry,
        /// The name that came first.
        target: &'a [u8],
    },
    /// Nothing of that name is there any more.
    Whiteout(&'a [u8]),
}

/// A layer to be written.
#[derive(Debug, Default)]
pub struct Plan<'a> {
    /// Its members, in the order of a layer.
    pub items: Vec<Item<'a>>,
    /// What no layer can hold: sockets, and names that mean something else in one.
    pub skipped: Vec<&'a [u8]>,
}

/// Whether a layer can hold it.
fn fits(entry: &Entry) -> bool {
    let reserved = || entry.path.split(|&byte| byte == b'/').any(|name| name.starts_with(b".wh."));
    entry.kind != EntryKind::Socket && !reserved()
}

/// Plans the layer that leads from `before` to `now`. Both are in the order of paths
/// ([`pyro_protocol::path::order`]); every parent of an entry of `now` is one, too.
pub fn plan<'a>(before: &'a [Seen], now: &'a [Entry]) -> Plan<'a> {
    let (now, skipped): (Vec<_>, Vec<_>) = now.iter().partition(|entry| fits(entry));
    let mut comparison = Comparison::new(&now);
    comparison.run(before);
    Plan { items: comparison.items(), skipped: skipped.into_iter().map(|entry| &**entry.path).collect() }
}

/// What becomes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The earlier layers have it as it is.
    Known,
    /// It goes into the layer.
    Told,
    /// The same, for a directory that is newly opaque.
    Opened,
}

struct Comparison<'s, 'a> {
    now: &'s [&'a Entry],
    fates: Vec<Fate>,
    /// Names of `before` to hide.
    gone: Vec<&'a [u8]>,
    /// The names of `before` at or below this are hidden already, or replaced.
    settled: Option<&'a [u8]>,
    /// Everything of `now` below this is told.
    opened: Option<&'a [u8]>,
}

impl<'s, 'a> Comparison<'s, 'a> {
    fn new(now: &'s [&'a Entry]) -> Self {
        Self { now, fates: Vec::with_capacity(now.len()), gone: Vec::new(), settled: None, opened: None }
    }

    fn run(&mut self, before: &'a [Seen]) {
        let mut before = before.iter().peekable();
        for entry in self.now {
            // What comes before it in the order and was not met is gone.
            while let Some(seen) = before.next_if(|seen| order(&seen.path, &entry.path).is_lt()) {
                self.miss(seen);
            }
            let same = before.next_if(|seen| order(&seen.path, &entry.path) == Ordering::Equal);
            self.meet(same, entry);
        }
        before.for_each(|seen| self.miss(seen));
        self.join_links();
    }

    /// A name that was there and is not.
    fn miss(&mut self, seen: &'a Seen) {
        let within = |place: Option<&[u8]>| place.is_some_and(|place| is_within(&seen.path, place));
        if !within(self.settled) && !within(self.opened) && seen.kind != SeenKind::Whiteout {
            self.gone.push(&seen.path);
            self.settled = Some(&seen.path);
        }
    }

    /// A name that is there, and how it was if it was.
    fn meet(&mut self, seen: Option<&'a Seen>, entry: &'a Entry) {
        let forced = self.opened.is_some_and(|place| is_within(&entry.path, place));
        let kind = Seen::from(entry).kind;
        let known = seen.is_some_and(|seen| {
            // All whiteouts of a file system may be one inode.
            seen.kind == kind && (seen.stamp == entry.stamp || kind == SeenKind::Whiteout)
        });
        let fate = match (kind, seen.map(|seen| (seen.kind, seen.stamp.inode))) {
            (SeenKind::Directory { opaque: true }, Some((SeenKind::Directory { opaque: true }, inode)))
                if inode == entry.stamp.inode && !forced =>
            {
                if known {
                    Fate::Known
                } else {
                    Fate::Told
                }
            }
            (SeenKind::Directory { opaque: true }, _) => Fate::Opened,
            _ if known && !forced => Fate::Known,
            _ => Fate::Told,
        };
        if fate == Fate::Opened && !forced {
            self.opened = Some(&entry.path);
        }
        if !matches!(kind, SeenKind::Directory { .. }) {
            self.settled = Some(&entry.path);
        }
        self.fates.push(fate);
    }

    /// Tells all names of an inode if one is told.
    fn join_links(&mut self) {
        let is_link = |entry: &Entry| {
            entry.stamp.links > 1 && !matches!(entry.kind, EntryKind::Directory { .. } | EntryKind::Whiteout)
        };
        let told: HashSet<u64> = (self.now.iter().zip(&self.fates))
            .filter(|(entry, fate)| is_link(entry) && **fate == Fate::Told)
            .map(|(entry, _)| entry.stamp.inode)
            .collect();
        for (entry, fate) in self.now.iter().zip(&mut self.fates) {
            if is_link(entry) && told.contains(&entry.stamp.inode) {
                *fate = Fate::Told;
            }
        }
    }

    fn items(&self) -> Vec<Item<'a>> {
        let mut items = Items { list: Vec::new(), parents: Vec::new(), links: HashMap::new() };
        let mut gone = self.gone.iter().copied().peekable();
        for (entry, &fate) in self.now.iter().zip(&self.fates) {
            while let Some(path) = gone.next_if(|path| order(path, &entry.path).is_lt()) {
                items.hide(path);
            }
            items.meet(entry, fate);
        }
        gone.for_each(|path| items.hide(path));
        items.list
    }
}

struct Items<'a> {
    list: Vec<Item<'a>>,
    /// The directories on the way to here that nobody needed yet.
    parents: Vec<&'a Entry>,
    /// The first name of each inode that may have several.
    links: HashMap<u64, &'a [u8]>,
}

impl<'a> Items<'a> {
    fn hide(&mut self, path: &'a [u8]) {
        self.describe_parents(path);
        self.list.push(Item::Whiteout(path));
    }

    fn meet(&mut self, entry: &'a Entry, fate: Fate) {
        let directory = matches!(entry.kind, EntryKind::Directory { .. });
        if fate == Fate::Known {
            if directory {
                self.parents.push(entry);
            }
            return;
        }
        self.describe_parents(&entry.path);
        let item = match entry.kind {
            EntryKind::Directory { .. } => Item::Directory { entry, opaque: fate == Fate::Opened },
            EntryKind::Whiteout => Item::Whiteout(&entry.path),
            _ if entry.stamp.links > 1 => match self.links.get(&entry.stamp.inode) {
                Some(target) => Item::HardLink { entry, target },
                None => {
                    self.links.insert(entry.stamp.inode, &entry.path);
                    Item::Entry(entry)
                }
            },
            _ => Item::Entry(entry),
        };
        self.list.push(item);
    }

    /// A layer describes every directory that it puts something into.
    fn describe_parents(&mut self, path: &[u8]) {
        let waiting = std::mem::take(&mut self.parents);
        let on_the_way = waiting.into_iter().filter(|entry| is_within(parent(path), &entry.path));
        self.list.extend(on_the_way.map(|entry| Item::Directory { entry, opaque: false }));
    }
}
