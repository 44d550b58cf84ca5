//! Raw Linux calls behind safe types.
//!
//! Mechanism only: nothing here knows of workspaces, layers or frames. `unsafe` is allowed per
//! file, each opening with the reason.

pub mod clone;
pub mod ext4;
pub mod fds;
pub mod freeze;
pub mod loopback;
pub mod pty;
pub mod root;
pub mod seccomp;
pub mod spawn;
pub mod trap;
pub mod tree;
pub mod usage;
pub mod vsock;
pub mod wait;
