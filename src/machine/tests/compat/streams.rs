//! Standard streams and terminals.

use crate::support::{End, exec, sh, with_machines};
use pyro_protocol::frame::{CHUNK_MAX, FRAME_MAX};
use pyro_protocol::{Exec, Input, Reply, Window, frame};
use std::io::Write;

const WINDOW: Window = Window { rows: 24, columns: 80 };

#[test]
fn the_two_outputs_stay_apart() {
    with_machines(|machine| {
        let outcome = machine.sh("echo out; echo err >&2; echo out");
        assert_eq!((outcome.output().as_str(), outcome.error().as_str()), ("out\nout\n", "err\n"));
        let outcome = machine.sh("printf '\\377\\0'; printf '\\1' >&2");
        assert_eq!((outcome.stdout.as_slice(), outcome.stderr.as_slice()), (&b"\xff\0"[..], &b"\x01"[..]));
        assert!(machine.sh("exec >&- 2>&-; sleep 0.1; exit 4").code() == 4);
    });
}

#[test]
fn standard_input_arrives_and_ends() {
    let with_input = |command: &[&str]| Exec { stdin: true, ..exec(command) };
    with_machines(|machine| {
        let session = machine.begin(with_input(&["md5sum"]));
        let block = vec![b'x'; CHUNK_MAX];
        for _ in 0..64 {
            session.send(&Input::Stdin(block.clone().into()));
        }
        session.send(&Input::CloseStdin);
        // md5 of 4 MiB of x
        assert_eq!(session.outcome().output(), "44981362d3ba9b5bacaf017c2f29d355  -\n");

        let session = machine.begin(with_input(&["cat"]));
        session.send(&Input::Stdin(b"one\n".to_vec().into()));
        assert_eq!(session.until("one\n"), "one\n");
        session.send(&Input::CloseStdin);
        assert_eq!(session.outcome().code(), 0);

        // A command that reads only some of it, and one that reads none.
        let session = machine.begin(with_input(&["head", "-c", "3"]));
        for _ in 0..64 {
            session.send(&Input::Stdin(block.clone().into()));
        }
        assert_eq!(session.outcome().output(), "xxx");
        assert_eq!(machine.sh("cat").output(), "");
    });
}

#[test]
fn a_signal_passes_input_that_fits_the_buffers() {
    with_machines(|machine| {
        let session = machine.begin(Exec { stdin: true, ..sh("echo begun; sleep 999") });
        session.until("begun\n");
        session.send(&Input::Stdin(vec![0; 2 * CHUNK_MAX].into()));
        session.send(&Input::Signal(15));
        assert_eq!(session.outcome().code(), 128 + 15);
    });
}

#[test]
fn a_terminal_behaves_like_one() {
    let on_terminal = |script: &str| Exec { tty: Some(WINDOW), ..sh(script) };
    with_machines(|machine| {
        let outcome = machine
            .run(on_terminal("tty; stty size; echo $TERM; echo err >&2; [ -t 0 ] && [ -t 2 ] && exit 9"));
        assert_eq!(outcome.output(), "/dev/pts/0\r\n24 80\r\nxterm\r\nerr\r\n");
        assert_eq!((outcome.code(), outcome.error().as_str()), (9, ""));

        let session = machine
            .begin(on_terminal("trap 'stty size; exit' WINCH; echo begun; while :; do sleep 0.05; done"));
        session.until("begun\r\n");
        session.send(&Input::Resize(Window { rows: 50, columns: 132 }));
        assert_eq!(session.outcome().output(), "50 132\r\n");

        // Control-C is a character; the terminal makes a signal of it.
        let session = machine.begin(on_terminal("echo begun; sleep 999"));
        session.until("begun\r\n");
        session.send(&Input::Stdin(b"\x03".to_vec().into()));
        assert_eq!(session.outcome().code(), 128 + 2);

        let session = machine.begin(on_terminal("cat; echo ended"));
        session.send(&Input::Stdin(b"word".to_vec().into()));
        session.send(&Input::CloseStdin);
        let output = session.outcome().output();
        assert!(output.ends_with("wordended\r\n"), "{output:?}");

        let session = machine.begin(on_terminal("echo begun; sleep 998"));
        session.until("begun\r\n");
        drop(session);
        machine.until_gone("sleep 998");
    });
}

#[test]
fn much_output_passes_through_little_memory() {
    const BYTES: u64 = 1 << 30;
    with_machines(|machine| {
        let peak = "grep VmHWM /proc/1/status | tr -dc 0-9";
        let before: u64 = machine.text(peak).parse().unwrap();
        let session = machine.begin(exec(&["head", "-c", &BYTES.to_string(), "/dev/zero"]));
        let mut received = 0;
        let ended = loop {
            match session.reply() {
                Reply::Stdout(bytes) => {
                    assert!(bytes.len() <= CHUNK_MAX);
                    received += bytes.len() as u64;
                }
                Reply::Ended(ended) => break ended,
                _ => {}
            }
        };
        assert_eq!((received, ended.timed_out), (BYTES, false));
        let after: u64 = machine.text(peak).parse().unwrap();
        assert!(after < before + 1024, "the agent grew from {before} to {after} KiB");
    });
}

#[test]
fn a_peer_that_does_not_read_delays_only_its_own_command() {
    with_machines(|machine| {
        let stuck = machine.begin(Exec { timeout_ms: Some(200), ..sh("yes") });
        assert_eq!(machine.text("echo served"), "served\n");
        // Its time runs out all the same.
        machine.until_gone("yes");
        let outcome = stuck.outcome();
        assert!(outcome.ended().timed_out);
        assert!(outcome.stdout.iter().all(|byte| b"y\n".contains(byte)));
    });
}

#[test]
fn what_is_no_message_is_answered_and_does_no_harm() {
    let over = (FRAME_MAX as u32 + 1).to_le_bytes();
    let hostile: &[(&[u8], &str)] = &[
        (&over, "is over the limit"),
        (&[0xff; 8], "is over the limit"),
        (&[0, 0, 0, 0], "does not decode"),
        (&[3, 0, 0, 0, 0xff, 0xff, 0xff], "does not decode"),
    ];
    with_machines(|machine| {
        for (bytes, expected) in hostile {
            let stream = machine.connect();
            (&stream).write_all(bytes).unwrap();
            let Reply::Failed(failure) = frame::read(&stream).unwrap() else {
                panic!("not refused: {bytes:?}")
            };
            assert!(failure.message.contains(expected), "{}", failure.message);
        }
        for cut in [&[][..], &[9], &[9, 0, 0, 0], &[9, 0, 0, 0, 0, 1]] {
            (&machine.connect()).write_all(cut).unwrap();
        }
        // In the middle of a command, its end.
        let session = machine.begin(sh("echo begun; sleep 996"));
        session.until("begun\n");
        (&session.stream).write_all(&[1, 0, 0, 0, 0xff]).unwrap();
        let End::Failed(failure) = session.outcome().end else { panic!("not refused") };
        assert!(failure.message.contains("does not decode"), "{}", failure.message);
        machine.until_gone("sleep 996");
    });
}
