//! A request to run a command, checked and turned into what the kernel takes.

use crate::failure::invalid;
use crate::files::make_directories;
use crate::users;
use pyro_protocol::users::Users;
use pyro_protocol::{Exec, Failure, FailureKind};
use pyro_sys::spawn::{Identity, SpawnError, Stage};
use rustix::io::Errno;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Where programs are looked for if the environment has no `PATH`.
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What to run, as whom, where.
#[derive(Debug)]
pub struct Command {
    /// Paths that may be the program, in order.
    pub candidates: Vec<CString>,
    /// Its arguments, the program's name first.
    pub argv: Vec<CString>,
    /// Its environment.
    pub env: Vec<CString>,
    /// Its working directory, absolute.
    pub cwd: CString,
    /// Its user and groups.
    pub identity: Identity,
}

impl Command {
    /// Checks `exec` and looks up its user in `database`.
    pub fn new(exec: &Exec, database: &Users) -> Result<Self, Failure> {
        let argv = exec
            .argv
            .iter()
            .map(|argument| c_string(argument, "an argument"))
            .collect::<Result<Vec<_>, _>>()?;
        let program = exec.argv.first().filter(|program| !program.is_empty());
        let program = program.ok_or_else(|| invalid("the command is empty"))?;
        let account = database.account(&exec.user).map_err(invalid)?;

        let mut env = Vec::with_capacity(exec.env.len() + 4);
        for (name, value) in &exec.env {
            if name.is_empty() || name.contains(&b'=') {
                return Err(invalid(format!("'{}' cannot name a variable", name.escape_ascii())));
            }
            env.push(variable(name, value)?);
        }
        let has = |name: &[u8]| exec.env.iter().any(|(key, _)| key.as_slice() == name);
        let login = account.name.as_deref();
        let terminal = exec.tty.is_some().then_some(&b"xterm"[..]);
        let added: [(&[u8], Option<&[u8]>); 4] =
            [(b"HOME", Some(&account.home)), (b"USER", login), (b"LOGNAME", login), (b"TERM", terminal)];
        for (name, value) in added {
            if let Some(value) = value.filter(|_| !has(name)) {
                env.push(variable(name, value)?);
            }
        }

        let path = exec.env.iter().find(|(name, _)| name.as_slice() == b"PATH");
        let path = path.map_or(DEFAULT_PATH, |(_, value)| value);
        // A relative working directory, as images may have, counts from the root.
        let cwd = [b"/", exec.cwd.strip_prefix(b"/").unwrap_or(&exec.cwd)].concat();
        Ok(Self {
            candidates: candidates(program, path)?,
            argv,
            env,
            cwd: c_string(&cwd, "the working directory")?,
            identity: users::identity(&account),
        })
    }

    /// Makes the working directory if it is missing; what is made belongs to the command's user.
    pub fn make_cwd(&self) -> Result<(), Failure> {
        make_directories(self.cwd.to_bytes(), &self.identity).map(drop)
    }

    /// What a failed start means to who asked for it.
    pub fn failure(&self, error: &SpawnError) -> Failure {
        let program = self.argv[0].to_string_lossy();
        let cause = &error.error;
        match error.stage {
            Stage::Prepare => {
                Failure { kind: FailureKind::Internal, message: format!("cannot start {program}: {error}") }
            }
            Stage::Directory => invalid(format!("working directory {}: {cause}", self.cwd.to_string_lossy())),
            Stage::Identity => {
                let (uid, gid) = (self.identity.uid.as_raw(), self.identity.gid.as_raw());
                invalid(format!("cannot run as user {uid}, group {gid} on this machine: {cause}"))
            }
            Stage::Execute => {
                let (kind, why) = self.not_executed(Errno::from_io_error(cause));
                let message = format!("{program}: {}", why.map_or_else(|| cause.to_string(), str::to_owned));
                Failure { kind, message }
            }
        }
    }

    /// Tells apart what exec's error numbers do not.
    fn not_executed(&self, error: Option<Errno>) -> (FailureKind, Option<&'static str>) {
        let cwd = Path::new(OsStr::from_bytes(self.cwd.to_bytes()));
        let existing = self
            .candidates
            .iter()
            .find_map(|path| rustix::fs::stat(cwd.join(OsStr::from_bytes(path.to_bytes()))).ok());
        let is_directory = existing.is_some_and(|status| {
            rustix::fs::FileType::from_raw_mode(status.st_mode) == rustix::fs::FileType::Directory
        });
        match error {
            Some(Errno::NOENT) if existing.is_some() => {
                (FailureKind::NotExecutable, Some("its interpreter is not in this workspace"))
            }
            Some(Errno::NOENT) => (FailureKind::NotFound, Some("not found")),
            Some(Errno::ACCESS) if is_directory => (FailureKind::NotExecutable, Some("is a directory")),
            Some(Errno::ACCESS) => (FailureKind::NotExecutable, Some("permission denied")),
            Some(Errno::NOEXEC) => (
                FailureKind::NotExecutable,
                Some("not a program for this machine, nor a script with a #! line"),
            ),
            Some(Errno::NOMEM | Errno::AGAIN | Errno::NFILE | Errno::MFILE | Errno::IO) | None => {
                (FailureKind::Internal, None)
            }
            Some(_) => (FailureKind::NotExecutable, None),
        }
    }
}

fn candidates(program: &[u8], path: &[u8]) -> Result<Vec<CString>, Failure> {
    if program.contains(&b'/') {
        return Ok(vec![c_string(program, "the command")?]);
    }
    path.split(|&byte| byte == b':')
        .map(|directory| {
            // An empty entry is the working directory, by long custom.
            let directory = if directory.is_empty() { b"." } else { directory };
            c_string(&[directory, b"/", program].concat(), "PATH")
        })
        .collect()
}

fn variable(name: &[u8], value: &[u8]) -> Result<CString, Failure> {
    c_string(&[name, b"=", value].concat(), "the environment")
}

fn c_string(bytes: &[u8], what: &str) -> Result<CString, Failure> {
    CString::new(bytes).map_err(|_| invalid(format!("{what} contains a NUL byte")))
}
