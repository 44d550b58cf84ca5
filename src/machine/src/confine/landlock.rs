//! Landlock: the same rules once more, held by a part of the kernel that has nothing to do with
//! mounts, so that one mistake is not enough.

use super::{Access, Step};
use crate::report::{Failure, Landlock};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

/// The newest version that the rules were written and tried for. Older kernels enforce what they
/// know of it.
const VERSION: ABI = ABI::V6;

/// Denies all files but those of `rules`, all TCP, abstract sockets, and signals to others.
pub fn restrict(rules: &[(String, Access)]) -> Result<Landlock, Failure> {
    let files = rules.iter().map(|(path, access)| {
        let file = PathFd::new(path).step(format!("open {path}"))?;
        Ok(PathBeneath::new(file, rights(*access)))
    });
    let files = files.collect::<Result<Vec<_>, Failure>>()?;
    Ok(match apply(files).step("set Landlock rules")? {
        RulesetStatus::FullyEnforced => Landlock::Full,
        RulesetStatus::PartiallyEnforced => Landlock::Partial,
        RulesetStatus::NotEnforced => Landlock::Absent,
    })
}

fn apply(files: Vec<PathBeneath<PathFd>>) -> Result<RulesetStatus, RulesetError> {
    let mut ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(VERSION))?
        .handle_access(AccessNet::from_all(VERSION))?
        .scope(Scope::from_all(VERSION))?
        .create()?
        .no_new_privs(true);
    for file in files {
        ruleset = ruleset.add_rule(file)?;
    }
    Ok(ruleset.restrict_self()?.ruleset)
}

fn rights(access: Access) -> BitFlags<AccessFs> {
    match access {
        Access::Read => AccessFs::ReadFile.into(),
        Access::Write => AccessFs::ReadFile | AccessFs::WriteFile,
        Access::Device => AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev,
        Access::Sockets => AccessFs::MakeSock.into(),
    }
}
