//! What a command sees, and what its caller is told.

use crate::support::{End, exec, sh, with_machines};
use pyro_protocol::{Exec, FailureKind, Input, Reply, Status, Window};

#[test]
fn streams_and_exit_codes_come_back() {
    with_machines(|machine| {
        let outcome = machine.sh("echo out; echo err >&2; exit 7");
        assert_eq!((outcome.output(), outcome.error(), outcome.code()), ("out\n".into(), "err\n".into(), 7));
        assert_eq!(machine.sh("exit 0").code(), 0);
        assert_eq!(machine.sh("exit 255").code(), 255);
        assert_eq!(machine.sh("kill -TERM $$").ended().status, Status::Signaled(15));
        assert_eq!(machine.sh("kill -KILL $$").ended().status, Status::Signaled(9));
    });
}
