//! What keeping and going back to states must do, whatever kind of machine there is.

use super::workspaces::Made;
use super::{Pyro, Ran};
use std::process::Command;

/// Everything about the files that are looked at: kind, mode, owner, size, time, link, content.
const FINGERPRINT: &str = r#"cd /; for top in workspace usr/share/doc etc/odd; do
    find $top -xdev -type d -printf '%p %y %m %U %G %T@\n'
    find $top -xdev ! -type d -printf '%p %y %m %U %G %s %T@ %l\n'
    find $top -xdev -type f -exec md5sum {} +
done 2>/dev/null | LC_ALL=C sort"#;

/// Random changes of files, of the image as well as new ones: `perl -e CHANGES SEED COUNT`.
const CHANGES: &str = r#"
    use strict; use File::Find; use File::Path qw(remove_tree);
    my ($seed, $count) = @ARGV; srand($seed);
    mkdir "/workspace/t"; mkdir "/etc/odd";
    sub paths { my @all; find({ no_chdir => 1, wanted => sub { push @all, $_ } }, "/workspace/t", "/etc/odd", "/usr/share/doc"); sort @all }
    for my $n (1 .. $count) {
        my @all = paths();
        my @dirs = grep { -d $_ && ! -l $_ } @all;
        my @files = grep { -f $_ && ! -l $_ } @all;
        my $inner = sub { my @it = grep { !m{^(/workspace/t|/etc/odd|/usr/share/doc)$} } @_; $it[rand @it] };
        my $dir = $dirs[rand @dirs]; my $new = "$dir/n$seed-$n";
        my $op = int rand 13;
        if ($op == 0) { open my $f, ">", $new; print $f "x" x rand(5000) }
        elsif ($op == 1) { my $p = $inner->(@files) or next; open my $f, ">>", $p; print $f "more $n" }
        elsif ($op == 2) { my $p = $inner->(@files) or next; unlink $p }
        elsif ($op == 3) { mkdir $new; open my $f, ">", "$new/in"; print $f $n }
        elsif ($op == 4 && $n % 3 == 0) { my $p = $inner->(@dirs) or next; remove_tree($p) }
        elsif ($op == 5) { my $p = $inner->(@files) or next; rename $p, $new }
        elsif ($op == 6) { my $p = $inner->(@dirs) or next; rename $p, $new }
        elsif ($op == 7) { symlink "/usr/$n", $new }
        elsif ($op == 8) { my $p = $inner->(@files) or next; link $p, $new }
        elsif ($op == 9) { my $p = $inner->(@all) or next; chmod 0640, $p unless -l $p || -d $p }
        elsif ($op == 10) { my $p = $inner->(@files) or next; utime 1e9, 1e9 + $n, $p }
        elsif ($op == 11) { my $p = $inner->(@dirs) or next; remove_tree($p); open my $f, ">", $p; print $f "was a directory" }
        elsif ($op == 12) { my $p = $inner->(@files) or next; unlink $p; mkdir $p; open my $f, ">", "$p/was-a-file"; print $f $n }
    }
"#;

fn fingerprint(made: &Made<'_>) -> String {
    let ran = made.sh(FINGERPRINT).ended(0);
    assert!(ran.stdout.lines().count() > 100, "{ran:?}");
    ran.stdout
}

fn snapshot(made: &Made<'_>, verb: &str, words: &[&str]) -> Ran {
    let mut command = made.pyro.command(&["workspace", "snapshot", verb, &made.id]);
    Ran::of(&command.args(words).output().expect("pyro starts"))
}

/// The first line that differs, which says more than two trees.
fn same(left: &str, right: &str, when: &str) {
    let differing = left.lines().zip(right.lines()).find(|(left, right)| left != right);
    assert!(
        left == right,
        "{when}: {} and {} lines; {differing:?}",
        left.lines().count(),
        right.lines().count()
    );
}

pub fn a_reset_gives_back_every_byte(pyro: &Pyro) {
    let made = Made::new(pyro, &["--name", "kept"]);
    let baseline = fingerprint(&made);
    let mut states = Vec::new();
    for round in ["1", "2", "3"] {
        made.run("exec", &["--timeout-seconds", "600", "--", "perl", "-e", CHANGES, round, "60"]).ended(0);
        let name = format!("round-{round}");
        snapshot(&made, "create", &[&name]).ended(0);
        states.push((name, fingerprint(&made)));
    }
    made.sh("touch /tmp/here; sleep 1000 >/dev/null 2>&1 & rm -rf /workspace/t").ended(0);
    for (name, state) in states.iter().rev() {
        let status = made.run("reset", &["--snapshot", name, "--json"]).ended(0).json();
        assert_eq!((&status["id"], &status["name"]), (&made.id.as_str().into(), &"kept".into()));
        assert_eq!(status["execution_mode"], pyro.execution_mode);
        same(state, &fingerprint(&made), name);
    }
    assert_eq!(made.sh("ls /tmp; grep -l sleep /proc/[0-9]*/comm || true").ended(0).stdout, "");
    // What comes after a reset builds on what it went back to.
    made.sh("echo later > /workspace/later").ended(0);
    snapshot(&made, "create", &["later"]).ended(0);
    let later = fingerprint(&made);
    made.run("reset", &[]).ended(0);
    // `/workspace` itself is made anew, where no seed brings it.
    let without = |tree: &str| {
        tree.lines().filter(|line| !line.starts_with("workspace d ")).collect::<Vec<_>>().join("\n")
    };
    same(&without(&baseline), &without(&fingerprint(&made)), "the baseline");
    // The history is that since the reset: the fingerprint alone.
    assert_eq!(made.run("logs", &["--json"]).ended(0).json()["commands"].as_array().unwrap().len(), 1);
    // Others build on a snapshot that is deleted.
    snapshot(&made, "delete", &["round-1"]).ended(0);
    pyro.pyro(&["env", "prune"]).ended(0);
    made.run("reset", &["--snapshot", "later"]).ended(0);
    same(&later, &fingerprint(&made), "later");
    let ran = made.run("reset", &["--snapshot", "round-1"]).ended(1);
    assert!(
        ran.stderr.contains("round-2") && ran.stderr.contains("hint: pyro workspace snapshot list"),
        "{ran:?}"
    );
}

pub fn a_snapshot_costs_what_has_changed(pyro: &Pyro) {
    let made = Made::new(pyro, &[]);
    made.sh("mkdir -p big; for n in 1 2 3 4; do head -c 8M /dev/urandom > big/$n; done; ln big/1 big/link")
        .ended(0);
    let first = snapshot(&made, "create", &["first", "--json"]).ended(0).json();
    assert!(first["snapshot"]["bytes"].as_u64().unwrap() > 32 << 20, "{first}");
    made.sh("head -c 256K /dev/urandom > small; rm big/2; mkfifo pipe").ended(0);
    let second = snapshot(&made, "create", &["second", "--json"]).ended(0).json();
    assert!(second["snapshot"]["bytes"].as_u64().unwrap() < 1 << 20, "{second}");
    let nothing = snapshot(&made, "create", &["nothing", "--json"]).ended(0).json();
    assert_eq!(nothing["snapshot"]["bytes"], 0, "{nothing}");
    assert_eq!(nothing["snapshot"]["layers"], second["snapshot"]["layers"]);
    let ran = snapshot(&made, "create", &["second"]).ended(1);
    assert!(ran.stderr.contains("hint:"), "{ran:?}");
    snapshot(&made, "create", &["baseline"]).ended(2);
    // While it is stopped, too; and it stays so.
    made.run("stop", &[]).ended(0);
    snapshot(&made, "create", &["stopped"]).ended(0);
    assert_eq!(made.status()["state"], "stopped");
    assert_eq!(
        snapshot(&made, "list", &["--json"]).ended(0).json()["snapshots"].as_array().unwrap().len(),
        4
    );
    made.run("reset", &["--snapshot", "second"]).ended(0);
    let looked = made.sh("ls big; stat -c %h big/1 big/link; test -p pipe && wc -c < small").ended(0);
    assert_eq!(looked.stdout, "1\n3\n4\nlink\n2\n2\n262144\n");
}

pub fn a_fork_goes_its_own_way(pyro: &Pyro) {
    let made = Made::new(pyro, &["--label", "of=tests"]);
    made.sh("echo one > file; rm -rf /usr/share/doc").ended(0);
    snapshot(&made, "create", &["one"]).ended(0);
    made.sh("echo two > file").ended(0);
    let fork = |words: &[&str]| {
        let status = made.run("fork", &[&["--json"], words].concat()).ended(0).json();
        assert_eq!(status["labels"]["of"], "tests");
        Made { pyro, id: status["id"].as_str().unwrap().to_owned() }
    };
    let (old, new) = (fork(&["--snapshot", "one", "--name", "forked"]), fork(&[]));
    new.sh("echo three > file").ended(0);
    for (workspace, text) in [(&made, "two\n"), (&old, "one\n"), (&new, "three\n")] {
        assert_eq!(workspace.sh("cat file; ls /usr/share/doc 2>/dev/null || true").ended(0).stdout, text);
    }
    // The source's end is nothing to its forks.
    made.run("delete", &[]).ended(0);
    let listed = pyro.pyro(&["env", "list"]).ended(0);
    assert!(!listed.stdout.contains("pyro.local/ws_"), "{listed:?}");
    pyro.pyro(&["env", "prune"]).ended(0);
    new.run("reset", &[]).ended(0);
    assert_eq!(new.sh("cat file").ended(0).stdout, "two\n");
    assert_eq!(old.status()["name"], "forked");
}

pub fn a_commit_is_an_image_like_any_other(pyro: &Pyro) {
    let made = Made::new(pyro, &[]);
    made.sh("echo made > /workspace/here; rm /etc/hostname /etc/issue; ln -s here /workspace/link").ended(0);
    made.run("commit", &["-t", "localhost/committed:1"]).ended(0);
    made.run("delete", &[]).ended(0);
    let listed = pyro.pyro(&["env", "list"]).ended(0);
    assert!(listed.stdout.contains("localhost/committed:1"), "{listed:?}");
    let script = "cat /workspace/link; test ! -e /etc/issue";
    let mut run = pyro.command(&["run"]);
    run.args(pyro.flags).args(["localhost/committed:1", "--", "sh", "-c", script]);
    assert_eq!(Ran::of(&run.output().expect("pyro starts")).ended(0).stdout, "made\n");
    // Others read it as well; the lab does not have them.
    if pyro.execution_mode == "host_compat" {
        others_read(pyro);
    }
    pyro.pyro(&["env", "rm", "localhost/committed:1"]).ended(0);
}

fn others_read(pyro: &Pyro) {
    let out = pyro.home.join("committed.oci.tar");
    pyro.pyro(&["env", "export", "localhost/committed:1", out.to_str().unwrap()]).ended(0);
    let mut inspect = Command::new("skopeo");
    inspect.args(["inspect", "--config"]).arg(format!("oci-archive:{}", out.display()));
    let output = inspect.output().expect("skopeo is installed");
    assert!(output.status.success(), "{output:?}");
    std::fs::remove_file(out).unwrap();
}
