//! A root of an image and layers on top of it, as seeds and snapshots are.

use super::Pyro;
use super::machine::Machine;
use pyro_oci::{Digest, Silent, import};
use pyro_workspace::Home;

/// What is done to files of Debian's, and of the layer below. Every name ends in what it must be.
const LAYERS: [&[Member]; 2] = [
    &[
        // The image's.
        Member::Dir("etc"),
        Member::Gone("etc/debian_version"),
        Member::Gone("etc/services"),
        Member::Dir("etc/apt"),
        Member::Opaque("etc/apt"),
        Member::File("etc/apt/ours", "1"),
        Member::File("etc/issue", "1"),
        Member::File("etc/default", "no directory any more"),
        Member::Dir("etc/issue.net"),
        Member::File("etc/issue.net/inside", "1"),
        // The layer's own.
        // Where this leads is for the machine to say, and not for who makes its root.
        Member::Link("tmp", "/var/elsewhere"),
        Member::Dir("var"),
        Member::Dir("var/elsewhere"),
        Member::Dir("workspace"),
        Member::File("workspace/kept", "1"),
        Member::File("workspace/gone", "1"),
        Member::File("workspace/changed", "1"),
        Member::Dir("workspace/emptied"),
        Member::File("workspace/emptied/old", "1"),
        Member::Dir("workspace/merged"),
        Member::File("workspace/merged/old", "1"),
        Member::File("workspace/file-then-directory", "1"),
        Member::Dir("workspace/directory-then-file"),
        Member::File("workspace/directory-then-file/old", "1"),
    ],
    &[
        Member::Dir("etc"),
        Member::File("etc/debian_version", "back"),
        Member::Dir("etc/default"),
        Member::File("etc/default/new", "2"),
        Member::File("etc/issue.net", "back"),
        Member::Dir("workspace"),
        Member::Gone("workspace/gone"),
        Member::File("workspace/changed", "2"),
        Member::Dir("workspace/emptied"),
        Member::Opaque("workspace/emptied"),
        Member::File("workspace/emptied/new", "2"),
        Member::Dir("workspace/merged"),
        Member::File("workspace/merged/new", "2"),
        Member::Dir("workspace/file-then-directory"),
        Member::File("workspace/file-then-directory/new", "2"),
        Member::File("workspace/directory-then-file", "2"),
    ],
];

/// Shows what the layers have touched: a path and, of files, the content.
const SHOW: &str = r"
    for path in $(find /workspace /etc/apt /etc/default /etc/issue /etc/issue.net /etc/debian_version | sort); do
        if test -d $path; then echo $path/; else echo $path $(cat $path); fi
    done
    test ! -e /etc/services || echo /etc/services is there
    # What is below can still be changed, and what is hidden stays so.
    rm -r /workspace/emptied /workspace/changed && mkdir /workspace/emptied && ls -A /workspace/emptied
    echo x > /tmp/there && ls /var/elsewhere
    mv /etc/apt /etc/apt.moved 2>/dev/null || cp -r /etc/apt /etc/apt.moved && ls -A /etc/apt.moved
";

const SHOWN: &str = "\
/etc/apt/
/etc/apt/ours 1
/etc/debian_version back
/etc/default/
/etc/default/new 2
/etc/issue 1
/etc/issue.net back
/workspace/
/workspace/changed 2
/workspace/directory-then-file 2
/workspace/emptied/
/workspace/emptied/new 2
/workspace/file-then-directory/
/workspace/file-then-directory/new 2
/workspace/kept 1
/workspace/merged/
/workspace/merged/new 2
/workspace/merged/old 1
there
ours
";

enum Member {
    Dir(&'static str),
    File(&'static str, &'static str),
    Link(&'static str, &'static str),
    Gone(&'static str),
    Opaque(&'static str),
}

pub fn layers_lie_on_an_image(pyro: &Pyro) {
    let delta = install(&pyro.home());
    // Twice: what the first start made is found by the second.
    for _ in 0..2 {
        assert_eq!(Machine::start(pyro, &delta).text(SHOW), SHOWN);
    }
}

/// Puts the layers into the store.
fn install(home: &Home) -> Vec<Digest> {
    let work = tempfile::tempdir().unwrap();
    let layers = LAYERS.iter().zip(1..).map(|(members, number)| {
        let file = work.path().join(format!("{number}.tar"));
        std::fs::write(&file, tar(members)).unwrap();
        let name = format!("pyro.local/test/delta:{number}").parse().unwrap();
        import(home.store(), &file, Some(&name), &Silent).unwrap().layers[0].diff_id
    });
    layers.collect()
}

fn tar(members: &[Member]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for member in members {
        let (name, text, mode) = match member {
            Member::Dir(name) => (format!("{name}/"), "", 0o755),
            Member::File(name, text) => ((*name).to_owned(), *text, 0o644),
            Member::Link(name, _) => ((*name).to_owned(), "", 0o777),
            Member::Gone(name) => {
                let (directory, name) = name.rsplit_once('/').unwrap();
                (format!("{directory}/.wh.{name}"), "", 0o644)
            }
            Member::Opaque(name) => (format!("{name}/.wh..wh..opq"), "", 0o644),
        };
        let mut header = tar::Header::new_gnu();
        if let Member::Dir(_) = member {
            header.set_entry_type(tar::EntryType::Directory);
        }
        if let Member::Link(_, target) = member {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_link_name(target).unwrap();
        }
        header.set_mode(mode);
        header.set_size(text.len() as u64);
        archive.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap()
}
