//! The files of a machine through its agent, whatever kind it is: on real ext4 and EROFS in a
//! microVM, on the host's file system in namespaces.

use super::{ENVIRONMENT, Pyro};
use pyro_workspace::agent::{Agent, AgentError};
use pyro_workspace::{
    Bytes, Cancel, Changes, CreateSpec, Depth, Edit, Edits, Entry, EntryKind, Exec, ExecutionMode, Home,
    Read, Resources, Running, Session, Stamp, Status, Until, Walk, Workspace,
};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::thread;
use std::time::Duration;

/// A running machine, driven as a front end would.
pub struct Driven<'a> {
    running: Running,
    pub agent: Agent,
    pub until: Until<'a>,
}

/// Runs `test` on a fresh machine with a small disk.
fn with_machine(pyro: &Pyro, test: impl FnOnce(&Driven<'_>)) {
    let home = Home::open(&pyro.home).unwrap();
    let image = home.store().find(&ENVIRONMENT.parse().unwrap()).unwrap().unwrap();
    let execution_mode = match pyro.execution_mode {
        "host_compat" => ExecutionMode::HostCompat,
        _ => ExecutionMode::GuestVsock,
    };
    let resources = Resources { vcpu_count: 1, mem_mib: 1024, disk_mib: 256 };
    let spec = CreateSpec {
        name: None,
        labels: BTreeMap::new(),
        resources,
        execution_mode,
        seed: None,
        layers: Vec::new(),
        ephemeral: true,
        ttl_seconds: 600,
    };
    let workspace = Workspace::create(&home, &image, &spec).unwrap();
    let cancel = Cancel::new().unwrap();
    let until = Until { deadline: None, cancel: &cancel };
    let running = Running::start(&home, &image, workspace, until).unwrap();
    let agent = running.agent();
    test(&Driven { running, agent, until });
}

impl Drop for Driven<'_> {
    #[expect(clippy::print_stderr, reason = "whoever reads a failed test wants to see it")]
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the machine: {}", self.running.last_words());
        }
    }
}

impl Driven<'_> {
    /// Starts a shell script.
    fn begin(&self, script: &str) -> Session {
        let argv = ["sh", "-c", script].map(Bytes::from).to_vec();
        self.running.exec(Exec { argv, ..Exec::default() }).unwrap()
    }

    /// What a shell script prints, which must succeed.
    fn sh(&self, script: &str) -> String {
        let mut output = Vec::new();
        let ended = self.begin(script).wait(self.until, |_, bytes| {
            output.extend_from_slice(bytes);
            Ok(())
        });
        let output = String::from_utf8_lossy(&output).into_owned();
        assert_eq!(ended.unwrap().status, Status::Exited(0), "{script}: {output}");
        output
    }

    fn edit(&self, beneath: &str, edits: &[(Edit, &[u8])]) -> Result<(), AgentError> {
        let request = Edits { beneath: Bytes::from(beneath), user: String::new() };
        let mut editing = self.agent.edit(&request, self.until)?;
        for (edit, content) in edits {
            match edit {
                Edit::Write { path, mode } => editing.write(path, *mode, *content)?,
                other => editing.add(other.clone())?,
            }
        }
        editing.commit()
    }

    /// Every entry of the writable layer by its path.
    fn layer(&self, below: &str) -> BTreeMap<String, Entry> {
        let changes = Changes { below: Bytes::from(below), freeze: false };
        let mut changed = self.agent.changes(&changes, self.until).unwrap();
        let next = || changed.next_entry().unwrap();
        std::iter::from_fn(next).map(|entry| (text(&entry.path), entry)).collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn write(path: &str) -> Edit {
    Edit::Write { path: Bytes::from(path), mode: None }
}

fn remove(path: &str, recursive: bool) -> Edit {
    Edit::Remove { path: Bytes::from(path), recursive }
}

pub fn files_are_edited_walked_and_read(pyro: &Pyro) {
    with_machine(pyro, |machine| {
        let big: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let link = Edit::Symlink { path: Bytes::from("d/link"), target: Bytes::from("../big") };
        machine
            .edit("/workspace", &[(write("big"), &big), (write("d/small"), b"small\n"), (link, b"")])
            .unwrap();
        assert_eq!(
            machine.sh("cd /workspace; cat d/small; cmp big d/link; stat -c %a:%u big"),
            "small\n644:0\n"
        );

        let beneath = Bytes::from("/workspace");
        let walk = Walk { beneath: beneath.clone(), depth: Depth::All, content: true, ..Walk::default() };
        let mut files = machine.agent.walk(&walk, machine.until).unwrap();
        let mut found = Vec::new();
        while let Some(entry) = files.next_entry().unwrap() {
            let mut content = Vec::new();
            files.content().read_to_end(&mut content).unwrap();
            assert!(content.is_empty() || content == b"small\n" || content == big, "{entry:?}");
            found.push((text(&entry.path), content.len()));
        }
        let expected = [("", 0), ("big", 4_000_000), ("d", 0), ("d/link", 0), ("d/small", 6)];
        assert_eq!(found, expected.map(|(path, length)| (path.to_owned(), length)));

        let read = Read { beneath: beneath.clone(), path: Bytes::from("d/link"), offset: 8, limit: 4 };
        let (entry, content) = machine.agent.read(&read, machine.until).unwrap();
        assert_eq!(
            (entry.kind, content),
            (EntryKind::File { size: 4_000_000 }, 2_u32.to_le_bytes().to_vec())
        );
        for (path, words) in
            [("../etc/passwd", "leads out"), ("nothing", "no such file"), ("d", "no regular file")]
        {
            let read = Read { beneath: beneath.clone(), path: Bytes::from(path), offset: 0, limit: 10 };
            let error = machine.agent.read(&read, machine.until).unwrap_err().to_string();
            assert!(error.contains(words), "{path}: {error}");
        }
    });
}

pub fn an_edit_is_made_whole_or_not_at_all(pyro: &Pyro) {
    with_machine(pyro, |machine| {
        let tree = "cd / && find workspace usr/share/doc etc | sort | xargs -d '\\n' stat -c '%n %F %s %a %u' | md5sum; ls -A / | grep pyro || true";
        machine.sh("mkdir -p /workspace/full; cd /workspace; echo a > a; chmod 640 a; echo x > full/x");
        let before = machine.sh(tree);
        // Some of it is of the image, and all of it can be brought back.
        let good: [(Edit, &[u8]); 5] = [
            (write("workspace/a"), b"changed"),
            (write("workspace/new/file"), b"new"),
            (write("etc/passwd"), b""),
            (remove("etc/group", false), b""),
            (remove("workspace/full/x", false), b""),
        ];
        let with = |last: Edit| good.iter().cloned().chain([(last, &b""[..])]).collect::<Vec<_>>();
        let error = machine.edit("/", &with(remove("usr", false))).unwrap_err();
        assert!(error.to_string().contains("not empty"), "{error}");
        assert_eq!(machine.sh(tree), before);
        // A directory of the image cannot be put aside, only removed.
        machine.edit("/", &with(remove("usr/share/doc", true))).unwrap();
        assert_eq!(
            machine.sh("cd /workspace; cat a; stat -c %a a; cat new/file; ls -A full; ls -d /usr/share/doc /etc/group 2>&1 | grep -c 'No such'"),
            "changed640\nnew2\n"
        );
        let layer = machine.layer("usr/share");
        assert_eq!(layer["usr/share/doc"].kind, EntryKind::Whiteout);
        machine.edit("/", &[(write("usr/share/doc/again"), b"x")]).unwrap();
        assert_eq!(machine.layer("usr/share")["usr/share/doc"].kind, EntryKind::Directory { opaque: true });
    });
}

pub fn the_writable_layer_is_told_while_nobody_writes(pyro: &Pyro) {
    with_machine(pyro, |machine| {
        machine.sh("mkdir /workspace; cd /workspace; echo one > one; ln one two; mkfifo pipe; ln -s one link; rm /etc/group");
        let writer = machine.begin("i=0; while :; do i=$((i+1)); echo $i > /workspace/count; done");
        machine.sh("until test -s /workspace/count; do :; done");
        let changes = Changes { below: Bytes::new(), freeze: true };
        let mut changed = machine.agent.changes(&changes, machine.until).unwrap();
        let mut layer = BTreeMap::new();
        while let Some(entry) = changed.next_entry().unwrap() {
            layer.insert(text(&entry.path), entry);
        }
        assert_eq!(layer["etc/group"].kind, EntryKind::Whiteout);
        assert_eq!(layer["workspace/link"].kind, EntryKind::Symlink(Bytes::from("one")));
        assert_eq!(layer["workspace/one"].stamp, layer["workspace/two"].stamp);
        assert_eq!(layer["workspace"].kind, EntryKind::Directory { opaque: false });
        assert!(layer.values().all(|entry| entry.xattrs.is_empty()));
        // The same, for as long as it is frozen; a name more and it is another stamp.
        let wanted = ["workspace/count", "workspace/one", "workspace/pipe", "gone"].map(Bytes::from);
        let mut last: Option<(Stamp, Vec<u8>)> = None;
        for _ in 0..3 {
            thread::sleep(Duration::from_millis(100));
            let mut fetched = changed.fetch(&wanted).unwrap();
            let count = fetched.next_entry().unwrap().unwrap();
            let mut content = Vec::new();
            fetched.content().read_to_end(&mut content).unwrap();
            assert_eq!(text(&fetched.next_entry().unwrap().unwrap().path), "workspace/one");
            assert_eq!(fetched.next_entry().unwrap(), None);
            let now = (count.stamp, content);
            assert_eq!(last.get_or_insert_with(|| now.clone()), &now);
        }
        drop(changed);
        let (stamp, _) = last.unwrap();
        machine.sh("a=$(cat /workspace/count); while [ \"$a\" = \"$(cat /workspace/count)\" ]; do :; done");
        assert_ne!(machine.layer("workspace")["workspace/count"].stamp, stamp);
        drop(writer);
    });
}

pub fn a_freeze_ends_by_itself(pyro: &Pyro) {
    with_machine(pyro, |machine| {
        machine.sh("mkdir /workspace");
        let mut frozen = machine.agent.freeze(machine.until).unwrap();
        let waiting = machine.begin("echo late > /workspace/late");
        frozen.still().unwrap();
        let error = loop {
            match frozen.still() {
                Ok(()) => thread::sleep(Duration::from_millis(200)),
                Err(error) => break error,
            }
        };
        assert!(matches!(&error, AgentError::Failed(failure) if failure.message.contains("30 s")), "{error}");
        assert_eq!(waiting.wait(machine.until, |_, _| Ok(())).unwrap().status, Status::Exited(0));
        assert_eq!(machine.sh("cat /workspace/late"), "late\n");
    });
}

/// Only where a machine has a disk of its own.
#[allow(dead_code, reason = "namespaces have the host's")]
pub fn a_full_disk_is_a_clear_failure(pyro: &Pyro) {
    with_machine(pyro, |machine| {
        machine.sh("mkdir /workspace; echo a > /workspace/a");
        let request = Edits { beneath: Bytes::from("/workspace"), user: String::new() };
        let mut editing = machine.agent.edit(&request, machine.until).unwrap();
        editing.write(b"b", None, &b"x"[..]).unwrap();
        let huge = std::io::repeat(7).take(1 << 30);
        let error = editing.write(b"a", None, huge).unwrap_err();
        assert!(error.to_string().contains("a: no space is left"), "{error}");
        drop(editing);
        assert_eq!(machine.sh("cd /workspace; ls; cat a; ls -A / | grep pyro || true"), "a\na\n");
        machine.edit("/workspace", &[(write("a"), &vec![1; 1 << 20])]).unwrap();
    });
}
