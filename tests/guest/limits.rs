//! What a machine with a kernel and a disk of its own does when it runs out of something.

use crate::pyro;
use crate::support::machine::{Machine, Size};
use pyro_workspace::Status;
use std::fs;
use std::os::unix::fs::MetadataExt;

#[test]
fn a_full_disk_is_an_error_that_the_machine_survives() {
    let machine = Machine::of_size(&pyro(), Size { disk_mib: 160, ..Size::default() });
    let script =
        "head -c 1G /dev/zero > /root/full 2> /run/why && echo full || grep -o 'No space left.*' /run/why";
    assert_eq!(machine.text(script), "No space left on device\n");
    assert_eq!(
        machine.text("echo more > /root/more 2>/dev/null || echo refused; rm /root/full"),
        "refused\n"
    );
    assert_eq!(machine.text("echo more > /root/more; sync; cat /root/more"), "more\n");
}

#[test]
fn deleted_space_returns_to_the_host() {
    const WRITTEN: u64 = 64 << 20;
    let machine = Machine::start(&pyro(), &[]);
    let allocated =
        || fs::metadata(machine.running().workspace().generation().upper()).unwrap().blocks() * 512;
    let before = allocated();
    machine.text("head -c 32M /dev/urandom > /root/file; head -c 32M /dev/urandom > /tmp/file; sync");
    assert!(allocated() >= before + WRITTEN, "{before} became {}", allocated());
    machine.text("rm /root/file /tmp/file");
    // The journal's next commit discards the blocks.
    while allocated() >= before + WRITTEN / 4 {
        machine.text("sync");
    }
}

#[test]
fn as_many_processes_as_fit_do_not_end_the_machine() {
    let machine = Machine::of_size(&pyro(), Size { mem_mib: 256, ..Size::default() });
    // Until no more can be made. Then all of them are killed, and so is this one.
    let bomb = r"perl -e '
        $| = 1;
        while ($count < 30000) { $child = fork; last unless defined $child; sleep unless $child; $count++ }
        print $count < 30000 ? qq(refused\n) : qq(no limit\n);
        kill KILL => 0'";
    let session = machine.begin(&format!("exec {bomb}"));
    let mut said = Vec::new();
    let status = machine.wait(session, |bytes| said.extend_from_slice(bytes)).status;
    // Out of memory, the kernel may have taken the parent first.
    assert_eq!(status, Status::Signaled(9), "{}", String::from_utf8_lossy(&said));
    assert_ne!(said, b"no limit\n");
    assert_eq!(machine.text("echo still there"), "still there\n");
}
