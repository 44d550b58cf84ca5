//! What a guest can put into its workspace to hurt the host that looks at it. Whatever is there, a look
//! ends with a result or with an error that says what to do, in a bounded memory, and writes nothing
//! but what it was asked to.

use super::workspaces::Made;
use super::{Pyro, Ran};
use std::fs::{self, File};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// Names, links, and files that are none.
const ODD: &str = r#"
    use POSIX; use Socket; chdir "/workspace" or die;
    mkdir "names"; chdir "names";
    for my $n ("...", "..a", ".. ", "..\\..", "a\nb", "not-utf8-\xff\xfe", "\x1b[31mred", "-rf", "--help", "tab\t",
               " ", "C:\\x", "a\"b", "\$(touch x)", "..%2f..", "x" x 255, ".pyro-export-0123456789abcdef") {
        open(my $f, ">", $n) or die $n; print $f "$n\n"; close $f;
    }
    mkdir "...d"; for my $n (".wh.x", ".wh..wh..opq") { open(my $f, ">", "...d/$n"); }
    chdir ".."; mkdir "links"; chdir "links";
    symlink "b", "a"; symlink "a", "b"; symlink "self", "self"; symlink ".", "dot"; symlink "..", "up";
    symlink "/etc/passwd", "absolute"; symlink "../../../../etc/passwd", "relative"; symlink "x" x 4000, "long";
    symlink "/proc/self/root", "root"; symlink "farm/0/..", "through"; mkdir "farm";
    for (0 .. 999) { symlink "l" . ($_ + 1), "l$_"; symlink "..", "farm/$_"; }
    chdir ".."; mkdir "special"; chdir "special";
    POSIX::mkfifo("fifo", 0644); socket(my $s, PF_UNIX, SOCK_STREAM, 0); bind($s, sockaddr_un("socket"));
    system("mknod null c 1 3 2>/dev/null");
    mkdir "sparse"; open(my $h, ">", "sparse/tebibyte"); truncate $h, 1 << 40;
"#;

/// Deeper than a path can say.
const DEEP: &str = r#"
    chdir "/workspace"; for my $n ("d" x 200) { for (0 .. 99) { mkdir $n or die; chdir $n or die } }
    open(my $f, ">", "bottom") or die;
"#;

/// As deep as a path can say.
const NARROW: &str = r#"
    chdir "/workspace"; for (0 .. 1999) { mkdir "d" or die; chdir "d" or die } open(my $f, ">", "bottom") or die;
"#;

/// So many names of a few files, and as many empty files.
const MANY: &str = r#"
    my ($count) = @ARGV; chdir "/workspace"; my $first;
    for my $d (0 .. $count / 1000 - 1) {
        # A file of ext4 has at most 65,000 names.
        if ($d % 50 == 0) { $first = "first$d"; open(my $f, ">", $first); print $f "content\n" }
        mkdir "links$d"; mkdir "files$d";
        for (0 .. 999) { link $first, "links$d/$_" or die $!; open(my $e, ">", "files$d/$_") or die $! }
    }
"#;

/// Never the same twice, until a file says that it is enough.
const RESTLESS: &str = r#"
    use POSIX; chdir "/workspace"; mkdir "r"; chdir "r"; my $n = 0;
    while (!-e "/tmp/enough") {
        my $p = "f" . ($n % 7); my $kind = $n++ * 7 % 6;
        unlink $p; rmdir $p;
        if ($kind == 0) { symlink "/etc/passwd", $p } elsif ($kind == 1) { POSIX::mkfifo($p, 0644) }
        elsif ($kind == 2) { mkdir $p } elsif ($kind == 3) { open(my $f, ">", $p); truncate $f, 1 << 24 }
        else { open(my $f, ">", $p); print $f "x" x ($n % 100000); truncate $f, 10 if $n % 2 }
    }
"#;

/// Directories of the host beside which nothing may come.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("into")).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    /// Only these are here.
    #[track_caller]
    fn has(&self, names: &[&str]) {
        let mut found: Vec<_> = fs::read_dir(self.directory.path()).unwrap().flatten().collect();
        found.sort_by_key(fs::DirEntry::file_name);
        let found: Vec<_> = found.iter().map(|entry| entry.file_name()).collect();
        assert_eq!(found, names);
    }
}

/// Runs a verb; it may take this much memory.
#[track_caller]
fn bounded(made: &Made<'_>, verb: &[&str], words: &[&str], mib: u64) -> Ran {
    let place = tempfile::tempdir().unwrap();
    let path = |name| place.path().join(name);
    let mut command: Command = made.pyro.command(&[&["workspace"], verb, &[&made.id], words].concat());
    let (out, err) = (File::create(path("out")).unwrap(), File::create(path("err")).unwrap());
    let mut child = command.stdout(out).stderr(err).spawn().unwrap();
    let mut most = 0;
    let status = loop {
        most = most.max(peak_kib(child.id()).unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let [stdout, stderr] =
        ["out", "err"].map(|name| String::from_utf8_lossy(&fs::read(path(name)).unwrap()).into_owned());
    let ran = Ran { code: status.code().unwrap_or(-1), stdout, stderr };
    assert!(most < mib << 10, "{verb:?} {words:?} took {most} KiB: {ran:?}");
    assert!(ran.code == 0 || ran.code == 1, "{verb:?}: {ran:?}");
    if ran.code == 1 {
        let in_words = ran.stderr.contains("error: ") && ran.stderr.contains("hint: ");
        let in_json = ran.stdout.contains(r#""error": {"#) && ran.stdout.contains(r#""hint": "#);
        assert!((in_words || in_json) && ran.stderr.len() < 4000, "{verb:?}: {ran:?}");
    }
    // A terminal is not the guest's to write to.
    assert!(!ran.stderr.contains('\x1b'), "{verb:?}: {ran:?}");
    ran
}

/// Most memory that a process has had.
fn peak_kib(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// Every look that there is, with what it says.
fn looks(made: &Made<'_>, place: &Place, mib: u64) -> Vec<(&'static str, Ran)> {
    let (files, tar, patch, into) = (place.path("f"), place.path("t"), place.path("p"), place.path("into"));
    let looks: [(&str, &[&str], &[&str]); 10] = [
        ("diff", &["diff"], &[]),
        ("diff --stat", &["diff"], &["--stat"]),
        ("diff --json", &["diff"], &["--json"]),
        ("list", &["file", "list"], &["--recursive"]),
        ("summary", &["summary"], &[]),
        ("snapshot", &["snapshot", "create"], &["kept"]),
        ("files", &["export"], &[".", "--output", &files]),
        ("tar", &["export"], &[".", "--output", &tar, "--format", "tar"]),
        ("patch", &["export"], &[".", "--output", &patch, "--format", "patch"]),
        ("apply", &["apply"], &["--to", &into]),
    ];
    let ran = looks.map(|(name, verb, words)| (name, bounded(made, verb, words, mib)));
    let came = [("files", "f"), ("patch", "p"), ("tar", "t")];
    let came = came.iter().filter(|(name, _)| ran.iter().any(|(it, ran)| it == name && ran.code == 0));
    let mut names: Vec<&str> = came.map(|(_, name)| *name).collect();
    names.push("into");
    names.sort_unstable();
    place.has(&names);
    ran.into()
}

fn look<'a>(looks: &'a [(&str, Ran)], name: &str) -> &'a Ran {
    &looks.iter().find(|(it, _)| *it == name).unwrap().1
}

/// No link leads out, and nothing is a device, a pipe or a socket.
fn stays_inside(directory: &Path) {
    let top = directory.canonicalize().unwrap();
    for entry in walkdir::WalkDir::new(directory) {
        let entry = entry.unwrap();
        let kind = entry.file_type();
        assert!(!(kind.is_fifo() || kind.is_socket() || kind.is_char_device()), "{entry:?}");
        if let Ok(target) = entry.path().canonicalize() {
            assert!(target.starts_with(&top), "{entry:?} leads to {target:?}");
        }
    }
}

pub fn odd_names_links_and_files_hurt_nobody(pyro: &Pyro) {
    let made = Made::new(pyro, &[]);
    made.run("exec", &["--timeout-seconds", "600", "--", "perl", "-e", ODD]).ended(0);
    for path in ["links/a", "links/self", "links/absolute", "special/fifo", "special/socket", "names"] {
        let ran = bounded(&made, &["file", "read"], &[path], 64);
        assert!(ran.code == 1 && !ran.stdout.contains("root:"), "{path}: {ran:?}");
    }
    let place = Place::new();
    let all = looks(&made, &place, 128);
    // A file of a tebibyte is in no layer, no patch and no export.
    for (name, expected) in [("diff", 0), ("files", 1), ("tar", 1), ("snapshot", 1), ("apply", 1)] {
        assert_eq!(look(&all, name).code, expected, "{name}: {all:?}");
    }
    let exported = look(&all, "files");
    assert!(exported.stderr.contains("tebibyte: with it there are over 64 GiB"), "{exported:?}");
    let kept = look(&all, "snapshot");
    assert!(kept.stderr.contains("hint: remove it from the workspace"), "{kept:?}");
    made.sh("rm -r sparse special/sparse names/.pyro* 2>/dev/null; true").ended(0);
    let place = Place::new();
    let all = looks(&made, &place, 128);
    assert!(all.iter().all(|(_, ran)| ran.code == 0), "{all:?}");
    stays_inside(Path::new(&place.path("f")));
    assert!(Path::new(&place.path("f")).join("names/...").exists());
    // What was applied is what there was, but for what no patch has.
    assert_eq!(fs::read(Path::new(&place.path("into")).join("names/a\nb")).unwrap(), b"a\nb\n");
}

pub fn directories_without_end_hurt_nobody(pyro: &Pyro) {
    for (script, exports) in [(DEEP, 1), (NARROW, 0)] {
        let made = Made::new(pyro, &[]);
        made.run("exec", &["--timeout-seconds", "600", "--", "perl", "-e", script]).ended(0);
        let place = Place::new();
        let all = looks(&made, &place, 128);
        for (name, expected) in [("diff", 1), ("snapshot", 1), ("files", exports)] {
            assert_eq!(look(&all, name).code, expected, "{name}: {all:?}");
        }
        drop(place);
        made.sh("rm -r /workspace/d*").ended(0);
        let all = looks(&made, &Place::new(), 128);
        assert!(all.iter().all(|(_, ran)| ran.code == 0), "{all:?}");
    }
}

/// `count` names of a few files, and as many files.
pub fn very_many_files_take_a_bounded_memory(pyro: &Pyro, count: u64) {
    let made = Made::new(pyro, &[]);
    let count = count.to_string();
    made.run("exec", &["--timeout-seconds", "600", "--", "perl", "-e", MANY, &count]).ended(0);
    let place = Place::new();
    // About 1.2 KiB for each.
    let mib = 64 + count.parse::<u64>().unwrap() * 2 * 12 / 10 / 1024;
    for (verb, words) in [
        (&["diff"][..], &["--stat"][..]),
        (&["file", "list"], &["--recursive"]),
        (&["snapshot", "create"], &["kept"]),
        (&["export"], &[".", "--format", "tar", "--output", &place.path("t")]),
    ] {
        let ran = bounded(&made, verb, words, mib);
        assert_eq!(ran.code, 0, "{verb:?}: {ran:?}");
    }
    place.has(&["into", "t"]);
}

pub fn files_that_are_replaced_all_the_time_hurt_nobody(pyro: &Pyro) {
    let made = Made::new(pyro, &[]);
    made.run("exec", &["--detach", "--timeout-seconds", "600", "--", "perl", "-e", RESTLESS]).ended(0);
    for round in 0..5 {
        let place = Place::new();
        // Sixteen mebibytes are compared and put into the patch whole, seven times.
        for (name, ran) in looks(&made, &place, 512) {
            assert!(!ran.stderr.contains("cannot be believed"), "{round} {name}: {ran:?}");
        }
        let exported = place.path("f");
        if Path::new(&exported).exists() {
            stays_inside(Path::new(&exported));
        }
        let _ = made.pyro.pyro(&["workspace", "snapshot", "delete", &made.id, "kept"]);
    }
    made.sh("touch /tmp/enough").ended(0);
}
