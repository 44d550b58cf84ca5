//! What host and agent say to each other.
//!
//! One connection carries one [`Request`] from the host, then [`Input`] frames from the host and
//! [`Reply`] frames from the agent, until the agent's final reply ([`Reply::Ended`],
//! [`Reply::Done`] or [`Reply::Failed`]). Closing the connection cancels the request. Before any of that, the agent
//! dials the host once and sends one [`Ready`].
//!
//! Invariant: bytes from the other side are hostile. No length in them chooses an allocation
//! before it was checked against [`frame::FRAME_MAX`].
#![forbid(unsafe_code)]

pub mod frame;
mod message;
pub mod path;
pub mod users;

pub use message::{
    Changes, Depth, Edit, Edits, Ended, Entry, EntryKind, Exec, Failure, FailureKind, Input, Read, Ready,
    Reply, Request, Stamp, Status, Step, Walk, Window,
};

/// The vsock port (CID 3, the guest) on which the agent serves requests.
pub const AGENT_PORT: u32 = 1024;

/// The vsock port (CID 2, the host) that the agent dials once to say [`Ready`].
pub const READY_PORT: u32 = 1025;

/// Name of this build's vocabulary; host and agent with different ones do not talk.
pub const BUILD_ID: &str = env!("PYRO_BUILD_ID");
