//! Workspaces: what is on the disk of one ([`Directory`], [`Record`]), its running machine
//! ([`Running`]) and who answers for it ([`supervise`]), commands in it ([`Command`]) and what is kept
//! of them ([`journal`]).
//!
//! Invariants: state changes by rename alone; whatever an agent sends is a claim that is checked
//! before use; nothing here reads arguments, the environment or the terminal.
#![forbid(unsafe_code)]

pub mod agent;
mod aside;
mod command;
pub mod diff;
mod directory;
pub mod disk;
pub mod exports;
pub mod failpoint;
mod full;
mod home;
mod id;
mod in_use;
pub mod journal;
mod lifecycle;
pub mod live;
mod lock;
mod overview;
pub mod patch;
mod program;
mod reap;
mod record;
mod repository;
mod reset;
mod running;
mod seed;
mod session;
pub mod snapshot;
pub mod summary;
mod supervisor;
pub mod trace;
mod until;
mod upper;
mod verdict;
mod workspace;

pub use command::{Command, CommandError, exit_code, failure_code, variables};
pub use directory::{Directory, Generation, WorkspaceError};
pub use full::is_full;
pub use home::{Home, HomeError};
pub use id::{BadId, BadName, NAME_PATTERN, Name, WorkspaceId};
pub use in_use::{in_use, records};
pub use lifecycle::{LifecycleError, Sent, Update, check_name, claim, delete, detach, running, stop, update};
pub use overview::{FindError, Overview, find, list};
pub use program::ProgramError;
pub use pyro_machine::report::Stage;
pub use pyro_protocol::{
    Changes, Depth, Edit, Edits, Ended, Entry, EntryKind, Exec, Failure, FailureKind, Read, Stamp, Status,
    Step, Walk, Window,
};
pub use reap::{expiry, reap};
pub use record::{ExecutionMode, NetworkPolicy, Record, RecordError, Resources, SnapshotRecord, State};
pub use repository::{Cloned, IdleClone, Repository, RepositoryError, idle_clones};
pub use reset::{ResetError, fork, reset};
pub use running::{BOOT_MAX, Cause, NotStarted, Probed, Running, StartError, probe};
pub use seed::{
    ArchiveError, GitError, OriginKind, Owner, Seed, SeedError, SeedFacts, SeedMode, Seeded, Skipped,
};
/// Bytes of the wire: an argument, a variable.
pub use serde_bytes::ByteBuf as Bytes;
pub use session::{InputWriter, Session, SessionError, Stream};
pub use supervisor::{Booted, SupervisorError, boot, image, supervise};
pub use until::{Cancel, Until, Woken};
pub use upper::{DISK_MIB_MAX, DISK_MIB_MIN};
pub use verdict::Verdict;
pub use workspace::{CreateSpec, Workspace};
