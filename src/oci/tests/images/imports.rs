//! Images from files that other tools made.

use super::support::{
    home::Home,
    layout::{Layout, Packing},
    skopeo,
    tarball::{Tarball, sample},
};
use pyro_oci::{Image, ImportError, Reference, Silent, import};
use std::{fs, path::Path};

fn imported(home: &Home, path: &Path, name: Option<&str>) -> Result<Image, ImportError> {
    let name: Option<Reference> = name.map(|name| name.parse().unwrap());
    import(&home.store(), path, name.as_ref(), &Silent)
}

/// Writes the sample image with skopeo, in the form that `destination` says.
fn converted(packing: Packing, destination: &str) -> Image {
    let (layout, made) = Layout::sample(packing);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    let (form, name) = destination.split_once(' ').unwrap();
    let from = format!("oci:{}:latest", layout.path().display());
    skopeo(&["copy", "-q", &from, &format!("{form}:{}{name}", path.display())]);
    let image = imported(&Home::new(), &path, None).unwrap();
    assert_eq!(image.diff_ids(), made.diff_ids, "{packing:?} {destination}");
    image
}

#[test]
fn archives_and_directories_of_skopeo_are_read() {
    for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
        let image = converted(packing, "oci-archive :example.org/team/app:2");
        assert_eq!(image.reference.to_string(), "example.org/team/app:2");
        let image = converted(packing, "oci :3");
        assert_eq!(image.reference.to_string(), "pyro.local/image:3", "a tag alone names no repository");
    }
    for packing in [Packing::Plain, Packing::Gzip] {
        let image = converted(packing, "docker-archive :app:2");
        assert_eq!(image.reference.to_string(), "docker.io/library/app:2");
    }
}

#[test]
fn a_root_file_system_becomes_an_image_of_one_layer() {
    let directory = tempfile::tempdir().unwrap();
    let tar = &sample()[0];
    let mut images = Vec::new();
    for (name, packing) in [
        ("My Root.tar", Packing::Plain),
        ("my_root.tar.gz", Packing::Gzip),
        ("my.root.tar.zst", Packing::Zstd),
    ] {
        let path = directory.path().join(name);
        fs::write(&path, packing.pack(tar)).unwrap();
        let image = imported(&Home::new(), &path, None).unwrap();
        assert_eq!(image.reference.to_string(), "pyro.local/my-root:latest");
        images.push(image.manifest);
    }
    images.dedup();
    assert_eq!(images.len(), 1, "the same files are the same image");
}

#[test]
fn of_several_images_one_must_be_named() {
    let mut layout = Layout::new();
    let make =
        |text: &str| layout.image(&[Tarball::new().file("which", text.as_bytes()).bytes()], Packing::Gzip);
    let (one, two) = (make("one"), make("two"));
    layout.tag("example.org/one:1", &one.descriptor);
    layout.tag("example.org/two:2", &two.descriptor);
    let home = Home::new();
    let error = imported(&home, &layout.path(), None).unwrap_err().to_string();
    assert!(error.contains("several images (example.org/one:1, example.org/two:2)"), "{error}");
    let image = imported(&home, &layout.path(), Some("example.org/two:2")).unwrap();
    assert_eq!(image.diff_ids(), two.diff_ids);
}

#[test]
fn platforms_are_chosen_as_in_a_registry() {
    let mut layout = Layout::new();
    let ours = layout.image(&sample(), Packing::Gzip);
    let other = layout.image_for("arm64", &sample(), Packing::Gzip);
    let index = layout.index(&[(&other, "linux", "arm64"), (&ours, "linux", "amd64")]);
    layout.tag("latest", &index);
    let image = imported(&Home::new(), &layout.path(), Some("a/b:1")).unwrap();
    assert_eq!(image.config_digest, ours.config);
    assert_eq!(image.reference.to_string(), "docker.io/a/b:1");
}

#[test]
fn a_real_image_is_imported_and_its_disk_made() {
    let path = std::env::var("PYRO_TEST_IMAGE")
        .expect("PYRO_TEST_IMAGE names an image; `make test` makes and sets it");
    let home = Home::new();
    let image = imported(&home, Path::new(&path), Some("debian:12")).unwrap();
    let store = home.store();
    let disk = store.disk(&image).unwrap();
    assert_eq!(disk.parts.len(), image.layers.len() + 1, "the index and each layer: {:?}", disk.parts);
    assert_eq!(store.disk(&image).unwrap(), disk, "it is made once");
    let tree = store.tree(&image).unwrap();
    assert_eq!(fs::read_to_string(tree.join("etc/debian_version")).unwrap().split('.').next(), Some("12"));
}
