//! Becomes a microVM or a namespace machine, as the owner on standard input says. Started by pyro.

mod krun;
mod microvm;
mod warden;

use pyro_machine::compat::{self, Ended};
use pyro_machine::report::{End, Failure, Reason, Report};
use pyro_machine::spec::{Namespaces, Spec};
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

/// Longest spec accepted: a thousand layers with long paths, many times over.
const SPEC_MAX: u64 = 16 << 20;

fn main() -> ExitCode {
    owner().and_then(|owner| serve(&owner)).map_or_else(complain, |()| ExitCode::SUCCESS)
}

/// The socket that is our standard input.
fn owner() -> io::Result<UnixStream> {
    Ok(UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?))
}

fn serve(owner: &UnixStream) -> io::Result<()> {
    warden::tell(owner, &Report::stage("started"));
    let mut line = Vec::new();
    BufReader::new(owner.take(SPEC_MAX)).read_until(b'\n', &mut line)?;
    let end = match serde_json::from_slice(&line)? {
        Spec::MicroVm(spec) => warden::run(&spec, owner),
        Spec::Namespaces(spec) => run_namespaces(&spec, owner),
    };
    warden::tell(owner, &Report::Ended(end));
    Ok(())
}

fn run_namespaces(spec: &Namespaces, owner: &UnixStream) -> End {
    let reason = match compat::run(spec, owner.as_fd()) {
        Ok(Ended::Abandoned) => Reason::Killed,
        Ok(Ended::Exited(0)) => Reason::Guest,
        Ok(Ended::Exited(status)) => Reason::Monitor { status, message: String::new() },
        Ok(Ended::Signaled(signal)) => Reason::Signal(signal),
        Err(error) => Reason::NotStarted(Failure {
            step: "start the namespace machine".into(),
            reason: error.to_string(),
        }),
    };
    End { reason, console: Vec::new(), peak_kib: 0 }
}

#[expect(clippy::print_stderr, reason = "without an owner there is nobody else to tell")]
fn complain(error: io::Error) -> ExitCode {
    eprintln!("pyro-machine is started by pyro and takes its orders from standard input: {error}");
    ExitCode::FAILURE
}
