//! Workspaces: what is on the disk of one ([`Workspace`]), its running machine ([`Running`]), and
//! commands in it ([`Session`]).
//!
//! Invariants: state changes by rename alone; whatever an agent sends is a claim that is checked
//! before use; nothing here reads arguments, the environment or the terminal.
#![forbid(unsafe_code)]

mod home;
mod id;
mod in_use;
mod program;
mod record;
mod running;
mod session;
pub mod trace;
mod until;
mod upper;
mod verdict;
mod workspace;

pub use home::{Home, HomeError};
pub use id::{BadId, BadName, NAME_PATTERN, Name, WorkspaceId};
pub use in_use::{in_use, records};
pub use program::ProgramError;
pub use pyro_machine::report::Stage;
pub use pyro_protocol::{Ended, Exec, Failure, FailureKind, Status, Step, Window};
pub use record::{ExecutionMode, Record, RecordError, Resources};
pub use running::{BOOT_MAX, Probed, Running, StartError, probe};
/// Bytes of the wire: an argument, a variable.
pub use serde_bytes::ByteBuf as Bytes;
pub use session::{InputWriter, Session, SessionError, Stream};
pub use until::{Cancel, Until, Woken};
pub use upper::{DISK_MIB_MAX, DISK_MIB_MIN};
pub use verdict::Verdict;
pub use workspace::{CreateSpec, Workspace, WorkspaceError, reap};
