//! The checks that need no machine.

use super::Check;
use crate::catalog::Environment;
use crate::cli::context::Context;
use crate::explain::project_error;
use crate::mcp::args::ServeArgs;
use crate::project::{Source, Surroundings};
use crate::readiness::Readiness;
use crate::text::bytes;
use pyro_machine::firmware;
use pyro_workspace::{Home, Verdict};
use std::env;
use std::fs::{self, File};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

/// Below this much free space pulls and workspaces are likely to fail.
const FREE_MIN: u64 = 2 << 30;

/// How long to wait for a registry.
const REGISTRY_WAIT: Duration = Duration::from_secs(3);

/// Mends what can be mended without being root; says what was done.
pub fn fix(context: &Context) -> Vec<String> {
    let mut done = Vec::new();
    let missing = !context.home_path().exists();
    let Ok(home) = context.home() else { return done };
    if missing {
        done.push(format!("made the state directory {}", home.path().display()));
    }
    let reaped = pyro_workspace::reap(&home);
    if reaped > 0 {
        done.push(format!("removed {reaped} workspaces that killed processes left"));
    }
    if Verdict::load(&home).is_some() {
        Verdict::forget(&home);
        done.push("forgot that no microVM boots here; the next command tries again".into());
    }
    done
}

/// Operating system and processor.
pub fn platform() -> Check {
    let name = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let detail = format!("{} {} {}", text(name.sysname()), text(name.release()), text(name.machine()));
    match (env::consts::OS, env::consts::ARCH) {
        ("linux", "x86_64") => Check::pass("platform", detail),
        _ => Check::fail("platform", detail, "pyro runs on Linux x86_64"),
    }
}

/// The KVM device, by opening it as a machine would.
pub fn kvm() -> Check {
    let path = Path::new("/dev/kvm");
    if !path.exists() {
        let fix = "switch virtualization on in the firmware (or nested virtualization in the hypervisor), \
                   then: sudo modprobe kvm_amd || sudo modprobe kvm_intel";
        return Check::fail("kvm", "/dev/kvm does not exist", fix);
    }
    match File::options().read(true).write(true).open(path) {
        Ok(_) => Check::pass("kvm", "/dev/kvm can be read and written"),
        Err(error) => Check::fail(
            "kvm",
            format!("/dev/kvm cannot be opened: {error}"),
            "sudo usermod -aG kvm $USER, then log in again",
        ),
    }
}

/// The library that holds the guest kernel.
pub fn firmware(home: &Home) -> Check {
    match firmware::find(home.path()) {
        Ok(path) => Check::pass("libkrunfw", path.display().to_string()),
        Err(error) => Check::fail("libkrunfw", error.to_string(), firmware::HOW_TO_GET),
    }
}

/// What machines of namespaces need.
pub fn host_compat() -> Check {
    let limit = fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap_or_default();
    let switched_off = fs::read_to_string("/proc/sys/kernel/unprivileged_userns_clone")
        .is_ok_and(|text| text.trim() == "0")
        || fs::read_to_string("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
            .is_ok_and(|text| text.trim() == "1");
    let root = rustix::process::geteuid().is_root();
    let overlay = fs::read_to_string("/proc/filesystems")
        .is_ok_and(|text| text.lines().any(|line| line.ends_with("\toverlay")));
    if limit.trim() == "0" || (switched_off && !root) {
        let fix = "sudo sysctl user.max_user_namespaces=15000 kernel.unprivileged_userns_clone=1 \
                   kernel.apparmor_restrict_unprivileged_userns=0";
        return Check::warn("host-compat", "user namespaces are switched off", fix);
    }
    if !overlay {
        return Check::warn("host-compat", "this kernel has no overlayfs loaded", "sudo modprobe overlay");
    }
    Check::pass("host-compat", "namespaces and overlayfs work; used only with --allow-host-compat")
}

/// Networking of machines.
pub fn network() -> Check {
    Check::pass("network", "machines have no network interface; no helper is needed")
}

/// Whether Docker Hub, or the mirror that is asked first, takes connections.
pub fn registry(context: &Context) -> Check {
    let config = &context.config.registry;
    let mirror = config.mirrors.get("docker.io").and_then(|mirrors| mirrors.first());
    let host = mirror.map_or("registry-1.docker.io", String::as_str);
    let host = host.split('/').next().unwrap_or(host);
    let port = if config.insecure.iter().any(|name| name == host) { 80 } else { 443 };
    let address = if host.contains(':') { host.to_owned() } else { format!("{host}:{port}") };
    let reached = address
        .to_socket_addrs()
        .and_then(|mut found| found.next().ok_or_else(|| std::io::Error::other("the name has no address")))
        .and_then(|found| TcpStream::connect_timeout(&found, REGISTRY_WAIT));
    match reached {
        Ok(_) => Check::pass("registry", format!("{address} takes connections")),
        Err(error) => Check::warn(
            "registry",
            format!("{address} cannot be reached: {error}"),
            "set a mirror in config.toml ([registry.mirrors]), or make environments as images/README.md says",
        ),
    }
}

/// Space for state, and what takes it.
pub fn state(home: &Home) -> Check {
    let path = home.path();
    let free = rustix::fs::statvfs(path).map(|stat| stat.f_bavail * stat.f_frsize).unwrap_or(0);
    let size = |part: &str| bytes(disk_usage(&path.join(part)));
    let detail = format!(
        "{}: {} free; store {}, cache {}, workspaces {}",
        path.display(),
        bytes(free),
        size("store"),
        size("cache"),
        size("workspaces")
    );
    if free < FREE_MIN {
        Check::warn("state", detail, "pyro env prune --all, or another --home")
    } else {
        Check::pass("state", detail)
    }
}

/// Bytes that are allocated at and below `path`; nothing is followed.
fn disk_usage(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(data) = path.symlink_metadata() else { return 0 };
    let below = match fs::read_dir(path) {
        Ok(entries) if data.is_dir() => entries.flatten().map(|entry| disk_usage(&entry.path())).sum(),
        _ => 0,
    };
    data.blocks() * 512 + below
}

/// Where a server that is started here takes the files of its workspaces from.
pub fn project_source() -> Check {
    let source = Source::find(&ServeArgs::default(), &Surroundings::look());
    match &source {
        Source::Unusable(error) => {
            let error = project_error(error);
            Check::warn("project", error.message, error.hint.unwrap_or_default())
        }
        _ => Check::pass("project", source.to_string()),
    }
}

/// Whether an environment is ready for work.
pub fn environment(home: &Home, name: &str) -> Check {
    let environment = match Environment::parse(name) {
        Ok(environment) => environment,
        Err(error) => return Check::fail("environment", error.to_string(), "pyro env list"),
    };
    let image = match home.store().find(environment.local()) {
        Ok(image) => image,
        Err(error) => {
            let fix = format!("pyro env pull {name}");
            return Check::fail("environment", format!("{name}: {error}"), fix);
        }
    };
    let prepare = format!("pyro prepare {name}");
    match Readiness::of(home, &environment, image.as_ref()) {
        Readiness::Cold { installed: false } => {
            Check::warn("environment", format!("{name}: cold: not installed"), prepare)
        }
        Readiness::Cold { installed: true } => {
            Check::warn("environment", format!("{name}: cold: installed, but not tried yet"), prepare)
        }
        Readiness::Stale { changes } => {
            Check::warn("environment", format!("{name}: stale: {}", changes.join("; ")), prepare)
        }
        Readiness::Warm(proof) => {
            let (mode, since) = (proof.execution_mode.as_str(), proof.prepared_at);
            Check::pass("environment", format!("{name}: warm since {since:.0}, execution_mode={mode}"))
        }
    }
}
