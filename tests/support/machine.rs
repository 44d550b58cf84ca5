//! A machine that outlives a command, started through the library: what one `pyro run` cannot show.

#![allow(dead_code, reason = "each of the test programs uses a part of it")]

use super::{ENVIRONMENT, Pyro};
use pyro_oci::{Digest, InUse, Reference};
use pyro_workspace::{
    Cancel, CreateSpec, Ended, Exec, ExecutionMode, Home, Resources, Running, Session, StartError, Status,
    Stream, Until, Workspace,
};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A running machine of the test environment. It goes when this does.
pub struct Machine {
    running: Running,
    cancel: Cancel,
    // Let go after the machine.
    _hold: InUse,
    _home: Home,
}

/// What a machine has.
pub struct Size {
    pub mem_mib: u32,
    pub disk_mib: u32,
}

impl Default for Size {
    fn default() -> Self {
        Self { mem_mib: 512, disk_mib: 1024 }
    }
}

impl Machine {
    /// Starts one with layers on top of the environment.
    pub fn start(pyro: &Pyro, delta: &[Digest]) -> Self {
        Self::try_start(pyro, delta, Size::default(), |_| {}).unwrap()
    }

    /// Starts one of another size.
    pub fn of_size(pyro: &Pyro, size: Size) -> Self {
        Self::try_start(pyro, &[], size, |_| {}).unwrap()
    }

    /// Starts one after something was done to its workspace.
    pub fn try_start(
        pyro: &Pyro,
        delta: &[Digest],
        size: Size,
        change: impl FnOnce(&Workspace),
    ) -> Result<Self, StartError> {
        let home = pyro.home();
        let hold = home.store().hold().unwrap();
        let reference: Reference = ENVIRONMENT.parse().unwrap();
        let image = home.store().find(&reference).unwrap().expect("the environment is installed");
        let execution_mode = match pyro.execution_mode {
            "host_compat" => ExecutionMode::HostCompat,
            _ => ExecutionMode::GuestVsock,
        };
        let spec = CreateSpec {
            name: None,
            labels: BTreeMap::new(),
            seed: None,
            layers: delta.to_vec(),
            resources: Resources { vcpu_count: 1, mem_mib: size.mem_mib, disk_mib: size.disk_mib },
            execution_mode,
            ephemeral: true,
            ttl_seconds: 600,
        };
        let cancel = Cancel::new().unwrap();
        let until = Until { deadline: Some(Instant::now() + Duration::from_secs(120)), cancel: &cancel };
        let workspace = Workspace::create(&home, &image, &spec).unwrap();
        change(&workspace);
        let running = Running::start(&home, &image, workspace, until)?;
        Ok(Self { running, cancel, _hold: hold, _home: home })
    }

    /// The machine and its workspace.
    pub const fn running(&self) -> &Running {
        &self.running
    }

    /// Starts a shell script.
    pub fn begin(&self, script: &str) -> Session {
        self.begin_for(script, None)
    }

    /// The same, for so many milliseconds at most.
    pub fn begin_for(&self, script: &str, timeout_ms: Option<u64>) -> Session {
        let exec = Exec {
            argv: ["sh", "-ec", script].map(|word| word.as_bytes().to_vec().into()).into(),
            env: vec![(b"PATH".to_vec().into(), b"/usr/sbin:/usr/bin:/sbin:/bin".to_vec().into())],
            timeout_ms,
            ..Exec::default()
        };
        self.running.exec(exec).unwrap()
    }

    /// Waits for the end of a script; `sink` gets its standard output, and its errors are shown.
    #[expect(clippy::print_stderr, reason = "whoever reads a failed test wants to see them")]
    pub fn wait(&self, session: Session, mut sink: impl FnMut(&[u8])) -> Ended {
        let until = Until { deadline: None, cancel: &self.cancel };
        let ended = session.wait(until, |stream, bytes| {
            match stream {
                Stream::Stdout => sink(bytes),
                Stream::Stderr => eprint!("{}", String::from_utf8_lossy(bytes)),
            }
            Ok(())
        });
        ended.unwrap_or_else(|error| panic!("{error}: {}", self.running.last_words()))
    }

    /// Waits for the end of a script that must succeed; `sink` gets its standard output.
    #[track_caller]
    pub fn finish(&self, session: Session, sink: impl FnMut(&[u8])) {
        assert_eq!(self.wait(session, sink).status, Status::Exited(0));
    }

    /// What a shell script prints, which must succeed.
    #[track_caller]
    pub fn text(&self, script: &str) -> String {
        let mut output = Vec::new();
        self.finish(self.begin(script), |bytes| output.extend_from_slice(bytes));
        String::from_utf8(output).expect("the script prints text")
    }
}
