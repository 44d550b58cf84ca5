use crate::{ExportFormat, Image, Reference, Silent, Store, export, import};
use std::{fs, io::Write as _, path::Path};

/// A tar with one file.
fn root(directory: &Path) -> std::path::PathBuf {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    header.set_mode(0o644);
    archive.append_data(&mut header, "etc/name", &b"hello"[..]).unwrap();
    let path = directory.join("root.tar");
    fs::write(&path, archive.into_inner().unwrap()).unwrap();
    path
}

fn imported(home: &Path, file: &Path) -> (Store, Image) {
    let store = Store::open(home).unwrap();
    let name: Reference = "pyro.local/test:1".parse().unwrap();
    let image = import(&store, file, Some(&name), &Silent).unwrap();
    (store, image)
}

#[test]
fn every_form_leads_to_the_same_image_plain_or_compressed() {
    let work = tempfile::tempdir().unwrap();
    let (store, image) = imported(&work.path().join("first"), &root(work.path()));
    for format in [ExportFormat::OciArchive, ExportFormat::DockerArchive] {
        let file = work.path().join(format!("{format:?}.tar"));
        export(&store, &image, &file, format, &Silent).unwrap();
        let bytes = fs::read(&file).unwrap();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&bytes).unwrap();
        let packed = [gzip.finish().unwrap(), zstd::encode_all(&bytes[..], 1).unwrap(), bytes];
        for (number, bytes) in packed.iter().enumerate() {
            fs::write(&file, bytes).unwrap();
            let (_, again) = imported(&work.path().join(format!("{format:?}-{number}")), &file);
            assert_eq!(again.config_digest, image.config_digest, "{format:?} {number}");
            assert_eq!(again.layers, image.layers, "{format:?} {number}");
        }
    }
    let directory = work.path().join("layout");
    export(&store, &image, &directory, ExportFormat::OciDirectory, &Silent).unwrap();
    let (_, again) = imported(&work.path().join("from-directory"), &directory);
    assert_eq!(again.manifest, image.manifest);
}

#[test]
fn a_file_that_is_cut_off_is_refused_and_leaves_no_name() {
    let work = tempfile::tempdir().unwrap();
    let file = root(work.path());
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..600]).unwrap();
    let store = Store::open(&work.path().join("home")).unwrap();
    assert!(import(&store, &file, None, &Silent).is_err());
    assert!(store.list().unwrap().is_empty());
    assert_eq!(fs::read_dir(store.layout().join("blobs/sha256")).unwrap().count(), 0);
}
