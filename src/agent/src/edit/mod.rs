//! Changing files, all or none.
//!
//! New content is staged in a directory beside everything else, on the root's own file system, so
//! that a rename puts it in its place. Whatever a change replaces or removes is renamed into that
//! directory, so that another rename brings it back. What a killed machine leaves there is removed
//! by the next edit, and is no part of what the workspace has changed.

mod carry;
mod plan;
mod stage;

pub use stage::STAGING;

use crate::failure::{Named, Stop, invalid};
use crate::files::check_root;
use crate::gate::Gate;
use crate::users;
use crate::wire::Wire;
use plan::Plan;
use pyro_protocol::{Edit, Edits, Input, Reply, path};

/// Answers `edits` on `wire`.
pub fn run(wire: &mut Wire, gate: &Gate, edits: &Edits) -> Result<(), Stop> {
    check_root(&edits.beneath)?;
    let owner = users::identity(&users::load().account(&edits.user).map_err(invalid)?);
    let mut plan = {
        let _pass = gate.pass();
        Plan::new(&edits.beneath, owner)?
    };
    while let Some(input) = wire.receive(None)? {
        // For each frame: whoever wants to freeze the machine shall not wait for the peer.
        let _pass = gate.pass();
        match input {
            Input::Edit(edit) => {
                let path = target(&edit);
                path::check(path).of(path)?;
                if path.is_empty() {
                    return Err(invalid("a change without a path").into());
                }
                plan.add(edit)?;
            }
            Input::Data(bytes) => plan.write(&bytes)?,
            Input::EndOfData => plan.end_of_data()?,
            Input::Commit => {
                plan.commit()?;
                wire.send(&Reply::Done)?;
                return Ok(wire.drain()?);
            }
            _ => return Err(invalid("this is no change of files").into()),
        }
    }
    Ok(())
}

/// What `edit` changes.
fn target(edit: &Edit) -> &[u8] {
    match edit {
        Edit::Write { path, .. }
        | Edit::Symlink { path, .. }
        | Edit::Directory { path, .. }
        | Edit::Remove { path, .. } => path,
    }
}
