//! System calls that reach past namespaces. A machine here shares the host's kernel, so these are
//! answered as by a kernel that was built without them, which programs know how to live with.
//!
//! A list of what is denied, not of what is allowed: build tools and language runtimes use most
//! of the interface, and the namespaces do the confining. `no_new_privs` stays off, because
//! `sudo` and setuid programs lead only to root of the machine.

use pyro_sys::seccomp::Instruction;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
use std::collections::BTreeMap;

/// Marks a call of the x32 convention, which the same kernel may offer under other numbers.
const X32: i64 = 0x4000_0000;

/// What is denied, and why.
const DENIED: &[(i64, &str)] = &[
    (libc::SYS_add_key, "keyrings are per user id of the host"),
    (libc::SYS_request_key, "keyrings are per user id of the host; runs a helper on the host"),
    (libc::SYS_keyctl, "keyrings are per user id of the host"),
    (libc::SYS_bpf, "a compiler in the kernel, with a long list of escapes"),
    (libc::SYS_perf_event_open, "watches the whole machine, with a long list of escapes"),
    (libc::SYS_userfaultfd, "holds the kernel still in the middle of a copy, which exploits need"),
    (libc::SYS_io_uring_setup, "a second system call interface that this filter does not see"),
    (libc::SYS_io_uring_enter, "a second system call interface that this filter does not see"),
    (libc::SYS_io_uring_register, "a second system call interface that this filter does not see"),
    (libc::SYS_open_by_handle_at, "opens files by number, past every path"),
    (libc::SYS_kexec_load, "replaces the host's kernel"),
    (libc::SYS_kexec_file_load, "replaces the host's kernel"),
    (libc::SYS_init_module, "loads code into the host's kernel"),
    (libc::SYS_finit_module, "loads code into the host's kernel"),
    (libc::SYS_delete_module, "unloads code from the host's kernel"),
    (libc::SYS_iopl, "the host's hardware"),
    (libc::SYS_ioperm, "the host's hardware"),
    (libc::SYS_reboot, "the host's power switch, where the PID namespace is not asked"),
    (libc::SYS_swapon, "the host's memory"),
    (libc::SYS_swapoff, "the host's memory"),
    (libc::SYS_acct, "the host's accounting"),
    (libc::SYS_quotactl, "the host's disks"),
    (libc::SYS_quotactl_fd, "the host's disks"),
    (libc::SYS_syslog, "the host's kernel log"),
    (libc::SYS_settimeofday, "the host's clock"),
    (libc::SYS_clock_settime, "the host's clock"),
    (libc::SYS_adjtimex, "the host's clock; reading it goes through clock_gettime"),
    (libc::SYS_clock_adjtime, "the host's clock"),
    (libc::SYS_fanotify_init, "watches mounts of the host"),
    (libc::SYS_lookup_dcookie, "names files of the host by number"),
    (libc::SYS_nfsservctl, "the host's file server"),
    (libc::SYS_vhangup, "the host's terminals"),
    (libc::SYS_move_pages, "the host's memory placement"),
    (libc::SYS_mbind, "the host's memory placement"),
    (libc::SYS_set_mempolicy, "the host's memory placement"),
    (libc::SYS_migrate_pages, "the host's memory placement"),
];

/// The compiled filter.
pub fn filter() -> Vec<Instruction> {
    let numbers = DENIED.iter().flat_map(|&(number, _reason)| [number, number | X32]);
    let rules: BTreeMap<_, _> = numbers.map(|number| (number, Vec::new())).collect();
    let denied = SeccompAction::Errno(libc::ENOSYS as u32);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, denied, TargetArch::x86_64);
    let program: BpfProgram =
        filter.and_then(TryInto::try_into).expect("a constant list of calls compiles to a filter that fits");
    program.into_iter().map(|step| (step.code, step.jt, step.jf, step.k)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_no_call_twice_and_fits() {
        let numbers: std::collections::BTreeSet<_> = DENIED.iter().map(|(number, _)| number).collect();
        assert_eq!(numbers.len(), DENIED.len());
        assert!(filter().len() <= usize::from(u16::MAX));
    }
}
