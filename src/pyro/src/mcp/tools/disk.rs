//! `workspace_disk_list`, `workspace_disk_read`, `workspace_disk_export`: files of a stopped workspace.

use super::super::tool::{About, Answer, Call, Operation, Reach};
use super::file::Shelf;
use super::output::room;
use super::record::record;
use crate::error::UserError;
use crate::explain::{disk_error, disk_export_error, disk_open_error};
use crate::files::{LISTED_MAX, READ_MAX};
use pyro_workspace::Depth;
use pyro_workspace::disk::{Disk, ExportFormat, RootPath, export};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

fn absolute(text: &str) -> Result<RootPath, UserError> {
    RootPath::new(text.as_bytes())
        .map_err(|error| UserError::usage(format_args!("path has to be an absolute path: {error}")))
}

fn open<T>(
    call: &Call<'_>,
    workspace: &str,
    work: impl FnOnce(&Disk) -> Result<T, UserError>,
) -> Result<T, UserError> {
    let (home, directory) = call.find(workspace)?;
    call.phase.is("opening the disk");
    let disk = Disk::open(&home, &directory, call.until()).map_err(|error| disk_open_error(&error))?;
    work(&disk)
}

/// Arguments of `workspace_disk_list`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct List {
    workspace_id: String,
    /// Absolute; default /.
    path: Option<String>,
    recursive: Option<bool>,
    /// Entry to begin at.
    cursor: Option<usize>,
}

impl Operation for List {
    const ABOUT: About = About {
        name: "workspace_disk_list",
        text: "List files of a stopped workspace, anywhere in its root.",
        reach: Reach::Look,
        output: None,
        example: r#"{"workspace_id":"ID","path":"/etc"}"#,
        up_front: false,
    };

    fn run(self, call: &Call<'_>) -> Result<Answer, UserError> {
        let path = absolute(self.path.as_deref().unwrap_or("/"))?;
        let depth = if self.recursive == Some(true) { Depth::All } else { Depth::Children };
        open(call, &self.workspace_id, |disk| {
            let listing = disk
                .list(&path, depth, LISTED_MAX, call.until())
                .map_err(|error| disk_error(disk, &error))?;
            let shelf = Shelf { tool: Self::ABOUT.name, record: disk.record(), path: &path };
            Ok(shelf.list(&listing, depth, self.cursor.unwrap_or_default()))
        })
    }
}

/// Arguments of `workspace_disk_read`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Read {
    workspace_id: String,
    /// Absolute.
    path: String,
    /// Byte to begin at.
    cursor: Option<usize>,
    /// Up to 30720.
    max_bytes: Option<usize>,
}

impl Operation for Read {
    const ABOUT: About = About {
        name: "workspace_disk_read",
        text: "Read a text file of a stopped workspace.",
        reach: Reach::Look,
        output: None,
        example: r#"{"workspace_id":"ID","path":"/etc/passwd"}"#,
        up_front: false,
    };

    fn run(self, call: &Call<'_>) -> Result<Answer, UserError> {
        let (path, room) = (absolute(&self.path)?, room(self.max_bytes)?);
        open(call, &self.workspace_id, |disk| {
            let content =
                disk.read(&path, READ_MAX, call.until()).map_err(|error| disk_error(disk, &error))?;
            let shelf = Shelf { tool: Self::ABOUT.name, record: disk.record(), path: &path };
            shelf.read(&content, self.cursor, room)
        })
    }
}

/// Arguments of `workspace_disk_export`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Export {
    workspace_id: String,
    /// New path on the host.
    output: String,
    /// ext4: the writable disk alone.
    format: Option<Format>,
}

/// What is written.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Format {
    Ext4,
    Oci,
    Tar,
}

impl Operation for Export {
    const ABOUT: About = About {
        name: "workspace_disk_export",
        text: "Write the disk of a stopped workspace to a new file of the host.",
        reach: Reach::Host,
        output: Some(
            r#"{"type":"object","properties":{"output":{"type":"string"},"bytes":{"type":"integer"}},"required":["output"]}"#,
        ),
        example: r#"{"workspace_id":"ID","output":"/tmp/disk.tar","format":"tar"}"#,
        up_front: false,
    };

    fn run(self, call: &Call<'_>) -> Result<Answer, UserError> {
        let format = match self.format {
            None | Some(Format::Ext4) => ExportFormat::Ext4,
            Some(Format::Oci) => ExportFormat::Oci,
            Some(Format::Tar) => ExportFormat::Tar,
        };
        let output = call.session.host_path(&self.output);
        let (home, directory) = call.find(&self.workspace_id)?;
        call.phase.is("exporting the disk");
        let exported = export(&home, &directory, format, &output, call.until())
            .map_err(|error| disk_export_error(&error))?;
        Ok(Answer::Record(json!({
            "workspace_id": directory.id(),
            "execution_mode": record(&directory)?.execution_mode.as_str(),
            "output": output.to_string_lossy(),
            "format": format.as_str(),
            "bytes": exported.bytes,
            "skipped": exported.skipped.len(),
            "trusted": exported.trusted,
        })))
    }
}
