//! The boot probe: a tiny guest boots and answers, and its monitor says how it was confined.

use super::Check;
use crate::cli::context::Context;
use crate::error::UserError;
use pyro_machine::report::{Landlock, Reason};
use pyro_workspace::{BOOT_MAX, Cancel, Home, StartError, Until, Verdict, probe};
use std::time::Instant;

/// Boots a guest; says whether that worked, and what confined its monitor.
pub fn run(context: &Context, home: &Home) -> Vec<Check> {
    let cancel = Cancel::new().map_err(UserError::from);
    let armed = cancel.and_then(|cancel| Ok((context.until_signal(&cancel)?, cancel)));
    let Ok((armed, cancel)) = armed else {
        return vec![Check::fail("boot", "no descriptors are left", "raise `ulimit -n`")];
    };
    let until = Until { deadline: Some(Instant::now() + BOOT_MAX), cancel: &cancel };
    let probed = probe(home, until);
    drop(armed);
    match probed {
        Ok(probed) => {
            Verdict::forget(home);
            let detail = format!("a guest booted and answered after {} ms", probed.took.as_millis());
            let landlock = probed.confinement.map(|confinement| confinement.landlock);
            vec![Check::pass("boot", detail), confinement(landlock)]
        }
        Err(error) => vec![failed(&error)],
    }
}

/// Without the others a machine does not start at all; Landlock depends on the kernel.
fn confinement(landlock: Option<Landlock>) -> Check {
    let always = "user, mount, PID, network, IPC and UTS namespaces, pivoted root, seccomp, \
                  no capabilities, no_new_privs";
    match landlock {
        Some(Landlock::Full) => Check::pass("confinement", format!("{always}, Landlock")),
        Some(Landlock::Partial) => {
            Check::pass("confinement", format!("{always}, the part of Landlock that this kernel has"))
        }
        Some(Landlock::Absent) | None => Check::warn(
            "confinement",
            format!("{always}; this kernel has no Landlock"),
            "use a kernel from 5.13 on with landlock in its `lsm=` list",
        ),
    }
}

fn failed(error: &StartError) -> Check {
    let fix = match error {
        StartError::Firmware(_) => pyro_machine::firmware::HOW_TO_GET,
        StartError::Died { end, .. } if end.reason == Reason::KernelNotEntered => {
            "this KVM is not one that runs stock kernels (nested or para-virtualized): use a host with \
             hardware virtualization, or --allow-host-compat"
        }
        _ => "mend what is named above; --allow-host-compat runs commands without a virtual machine",
    };
    Check::fail("boot", error.to_string(), fix)
}
