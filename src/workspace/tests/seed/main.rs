//! Seeds against real git, real tars and the layers that they become.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod archives;
mod checkouts;
mod child;
mod clones;
mod directories;
mod limits;
mod repositories;
mod reuse;
mod support;
mod untracked;
