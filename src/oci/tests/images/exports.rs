//! What we write, read by others and by ourselves.

use super::support::{
    home::Home,
    layout::{Layout, Packing},
    run, skopeo,
};
use pyro_oci::{ExportFormat, Image, Reference, Silent, export, import};
use rustix::process::geteuid;
use std::fs;

fn sample_in(home: &Home) -> Image {
    let (layout, _) = Layout::sample(Packing::Gzip);
    let name: Reference = "example.org/team/sample:1".parse().unwrap();
    import(&home.store(), &layout.path(), Some(&name), &Silent).unwrap()
}

#[test]
fn every_form_comes_back_the_same() {
    let home = Home::new();
    let image = sample_in(&home);
    let directory = tempfile::tempdir().unwrap();
    for format in [ExportFormat::OciArchive, ExportFormat::OciDirectory, ExportFormat::DockerArchive] {
        let path = directory.path().join(format!("{format:?}"));
        export(&home.store(), &image, &path, format, &Silent).unwrap();
        let back = import(&Home::new().store(), &path, None, &Silent).unwrap();
        assert_eq!(back.manifest, image.manifest, "{format:?}");
        assert_eq!(back.reference, image.reference, "{format:?}");
        if path.is_file() {
            let again = directory.path().join(format!("{format:?}-again"));
            export(&home.store(), &image, &again, format, &Silent).unwrap();
            assert!(fs::read(&path).unwrap() == fs::read(&again).unwrap(), "{format:?} is always the same");
        }
        let error = export(&home.store(), &image, &path, format, &Silent).unwrap_err().to_string();
        assert!(error.ends_with("exists already"), "{error}");
    }
}

#[test]
fn skopeo_reads_what_we_write() {
    let home = Home::new();
    let image = sample_in(&home);
    let directory = tempfile::tempdir().unwrap();
    for (format, transport) in [
        (ExportFormat::OciArchive, "oci-archive"),
        (ExportFormat::OciDirectory, "oci"),
        (ExportFormat::DockerArchive, "docker-archive"),
    ] {
        let path = directory.path().join(format!("{format:?}"));
        export(&home.store(), &image, &path, format, &Silent).unwrap();
        let copy = directory.path().join(format!("{format:?}-copy"));
        skopeo(&[
            "copy",
            "-q",
            &format!("{transport}:{}", path.display()),
            &format!("oci:{}:x", copy.display()),
        ]);
        let back = import(&Home::new().store(), &copy, None, &Silent).unwrap();
        assert_eq!(back.diff_ids(), image.diff_ids(), "{format:?}");
    }
}

#[test]
fn a_merged_tar_has_the_same_tree() {
    let home = Home::new();
    let image = sample_in(&home);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("root.tar");
    export(&home.store(), &image, &path, ExportFormat::Root, &Silent).unwrap();
    let other = Home::new();
    let merged = import(&other.store(), &path, None, &Silent).unwrap();
    assert_eq!(merged.layers.len(), 1);
    let ours = super::trees::listing(&home.store().tree(&image).unwrap());
    assert_eq!(super::trees::listing(&other.store().tree(&merged).unwrap()), ours);
    assert!(ours.len() > 15);
    // GNU tar understands it too.
    let listed = run("tar", &["-tf", path.to_str().unwrap()]).stdout;
    // An ordinary user's tree lacks the device.
    let missing = usize::from(!geteuid().is_root());
    assert_eq!(String::from_utf8(listed).unwrap().lines().count(), ours.len() + missing);
}

#[test]
fn an_export_that_fails_leaves_nothing() {
    let home = Home::new();
    let image = sample_in(&home);
    fs::remove_file(home.store().blob(&image.layers[1].diff_id)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    for format in [
        ExportFormat::OciArchive,
        ExportFormat::OciDirectory,
        ExportFormat::DockerArchive,
        ExportFormat::Root,
    ] {
        let path = directory.path().join("out");
        export(&home.store(), &image, &path, format, &Silent).unwrap_err();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "{format:?}");
    }
}
