//! A machine that outlives a command, started through the library: what one `pyro run` cannot show.

use super::{ENVIRONMENT, Pyro};
use pyro_oci::{Digest, InUse, Reference};
use pyro_workspace::{
    Cancel, CreateSpec, Exec, ExecutionMode, Home, Resources, Running, Session, StartError, Status, Stream,
    Until, Workspace,
};
use std::time::{Duration, Instant};

/// A running machine of the test environment. It goes when this does.
pub struct Machine {
    running: Running,
    cancel: Cancel,
    // Let go after the machine.
    _hold: InUse,
    _home: Home,
}

impl Machine {
    /// Starts one with layers on top of the environment.
    pub fn start(pyro: &Pyro, delta: &[Digest]) -> Self {
        Self::try_start(pyro, delta, |_| {}).unwrap()
    }

    /// The same, with something done to its workspace before.
    pub fn try_start(
        pyro: &Pyro,
        delta: &[Digest],
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
            delta: delta.to_vec(),
            resources: Resources { vcpu_count: 1, mem_mib: 512, disk_mib: 1024 },
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
        let exec = Exec {
            argv: ["sh", "-ec", script].map(|word| word.as_bytes().to_vec().into()).into(),
            env: vec![(b"PATH".to_vec().into(), b"/usr/sbin:/usr/bin:/sbin:/bin".to_vec().into())],
            ..Exec::default()
        };
        self.running.exec(exec).unwrap()
    }

    /// Waits for the end of a script that must succeed; `sink` gets its standard output.
    pub fn finish(&self, session: Session, mut sink: impl FnMut(&[u8])) {
        let mut errors = Vec::new();
        let until = Until { deadline: None, cancel: &self.cancel };
        let ended = session.wait(until, |stream, bytes| {
            match stream {
                Stream::Stdout => sink(bytes),
                Stream::Stderr => errors.extend_from_slice(bytes),
            }
            Ok(())
        });
        let errors = String::from_utf8_lossy(&errors);
        assert_eq!(ended.expect("the machine lives").status, Status::Exited(0), "{errors}");
    }

    /// What a shell script prints, which must succeed.
    pub fn text(&self, script: &str) -> String {
        let mut output = Vec::new();
        self.finish(self.begin(script), |bytes| output.extend_from_slice(bytes));
        String::from_utf8(output).expect("the script prints text")
    }
}
