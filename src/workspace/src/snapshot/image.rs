//! The image of a snapshot.

use super::SnapshotError;
use crate::directory::WorkspaceError;
use crate::home::Home;
use crate::record::Record;
use crate::supervisor;
use jiff::Timestamp;
use pyro_oci::{Digest, Image, Layer, Reference};
use serde_json::{Value, json};
use std::fs;

/// Makes an image of a workspace's image with `layers` above its own, and calls it `reference`. The
/// caller holds the store.
pub fn assemble(
    home: &Home,
    record: &Record,
    layers: &[Digest],
    reference: &Reference,
) -> Result<Image, SnapshotError> {
    let (config, all) = extended(home, record, layers)?;
    Ok(home.store().assemble(reference, &config, &all)?)
}

/// The same under no name, for as long as the store is held.
pub fn assemble_unnamed(home: &Home, record: &Record, layers: &[Digest]) -> Result<Image, SnapshotError> {
    let (config, all) = extended(home, record, layers)?;
    Ok(home.store().assemble_unnamed(&record.environment, &config, &all)?)
}

/// The config of such an image, and all its layers.
fn extended(home: &Home, record: &Record, layers: &[Digest]) -> Result<(Vec<u8>, Vec<Layer>), SnapshotError> {
    let store = home.store();
    let image = supervisor::image(home, record)?;
    let path = store.blob(&image.config_digest);
    let config = fs::read(&path).map_err(WorkspaceError::at(&path))?;
    let config = extend(&config, layers)
        .map_err(|error| SnapshotError::Config(image.reference.clone().into(), error))?;
    let mut all = image.layers;
    for layer in layers {
        let path = store.blob(layer);
        let size = fs::metadata(&path).map_err(WorkspaceError::at(&path))?.len();
        all.push(Layer { diff_id: *layer, size });
    }
    Ok((config, all))
}

/// An image's config with more layers: everything else in it stays as it is, known to us or not.
fn extend(config: &[u8], layers: &[Digest]) -> Result<Vec<u8>, serde_json::Error> {
    use serde::de::Error;
    let mut config: Value = serde_json::from_slice(config)?;
    let now = Timestamp::now().to_string();
    let diff_ids = config.pointer_mut("/rootfs/diff_ids").and_then(Value::as_array_mut);
    let diff_ids = diff_ids.ok_or_else(|| serde_json::Error::custom("it has no rootfs.diff_ids"))?;
    diff_ids.extend(layers.iter().map(|layer| json!(layer.to_string())));
    let top = config.as_object_mut().ok_or_else(|| serde_json::Error::custom("it is no object"))?;
    // Old images have none, and then a part of it would be wrong.
    if let Some(history) = top.get_mut("history").and_then(Value::as_array_mut) {
        history.extend(layers.iter().map(|_| json!({ "created": now, "created_by": "pyro" })));
    }
    top.insert("created".into(), json!(now));
    serde_json::to_vec(&config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_keeps_what_nobody_knows() {
        let layer = Digest::of(b"layer");
        let before = br#"{"os":"linux","odd":{"x":[1]},"rootfs":{"type":"layers","diff_ids":["sha256:00"]},
            "history":[{"created_by":"somebody"}]}"#;
        let after: Value = serde_json::from_slice(&extend(before, &[layer]).unwrap()).unwrap();
        assert_eq!(after["odd"], json!({ "x": [1] }));
        assert_eq!(after["rootfs"]["diff_ids"], json!(["sha256:00", layer.to_string()]));
        assert_eq!(after["history"].as_array().unwrap().len(), 2);
        assert!(extend(b"{}", &[layer]).is_err());
        assert!(extend(b"[]", &[layer]).is_err());
    }
}
