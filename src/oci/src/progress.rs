//! What a long operation tells its watcher.

use crate::{Digest, Reference};
use std::time::Duration;

/// Someone who watches a pull, import or export. Called from several threads.
pub trait Progress: Sync {
    /// Something happened.
    fn event(&self, event: Event<'_>);
}

/// A watcher that looks away.
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: Event<'_>) {}
}

/// What happened. Layers are named by the digest of the blob that is read, in its compressed form.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// Asking a registry (its host and port) for the manifest.
    Resolving {
        /// The image.
        reference: &'a Reference,
        /// The registry or mirror that is asked.
        from: &'a str,
    },
    /// The manifest is known.
    Resolved {
        /// Layers that must be read.
        layers: usize,
        /// Their compressed bytes in total.
        bytes: u64,
    },
    /// A layer is in the store already.
    Present(Digest),
    /// A layer's download goes on where an earlier one ended.
    Resumed {
        /// The layer.
        layer: Digest,
        /// Bytes that need not be transferred again.
        bytes: u64,
    },
    /// Bytes of a layer were read.
    Layer {
        /// The layer.
        layer: Digest,
        /// Bytes so far.
        done: u64,
        /// Bytes in total.
        total: u64,
    },
    /// A layer is verified and in the store.
    Stored(Digest),
    /// A request failed and will be made again.
    Retrying {
        /// What failed, and why.
        reason: &'a str,
        /// How long until the next attempt.
        wait: Duration,
    },
    /// A mirror failed; the next source is tried.
    MirrorFailed {
        /// Host and port of the mirror.
        mirror: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// Waiting for another process that works on the same thing.
    Waiting(Digest),
}
