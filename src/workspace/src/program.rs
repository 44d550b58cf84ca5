//! The agent's program, embedded here, and the forms in which a machine wants it.
//!
//! Host and agent come from one build, so neither can drift. Both forms are cache entries under the
//! program's digest: any pyro process may make them, and they can be deleted at any time.

use pyro_layer::{ImageError, write_image};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const AGENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/agent"));
const DIGEST: &str = env!("PYRO_AGENT_SHA256");

/// Why the agent's program is not there.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The build embedded no agent: `PYRO_AGENT` was not set.
    #[error("this pyro was built without its agent")]
    NotEmbedded,
    /// The cache could not be written.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was written.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The disk could not be laid out.
    #[error("the agent's disk: {0}")]
    Disk(#[from] ImageError),
}

/// The program itself, executable, for a machine of namespaces.
///
/// # Errors
/// [`ProgramError`].
pub fn file(cache: &Path) -> Result<PathBuf, ProgramError> {
    entry(cache, "bin", 0o700, |out| Ok(out.write_all(agent()?)?))
}

/// A read-only EROFS image with the program as `/pyro-agent`, for a microVM's first disk.
///
/// # Errors
/// [`ProgramError`].
pub fn disk(cache: &Path) -> Result<PathBuf, ProgramError> {
    entry(cache, "erofs", 0o600, |out| Ok(write_image(&archive(agent()?)?, out)?))
}

/// A tar of the root that a guest's kernel mounts: the program and mount points.
fn archive(agent: &[u8]) -> Result<Vec<u8>, ProgramError> {
    let mut tar = tar::Builder::new(Vec::new());
    for name in ["dev", "lower", "newroot", "proc", "run", "sys", "tmp"] {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        tar.append_data(&mut header, name, io::empty())?;
    }
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o755);
    header.set_size(agent.len() as u64);
    tar.append_data(&mut header, "pyro-agent", agent)?;
    Ok(tar.into_inner()?)
}

fn agent() -> Result<&'static [u8], ProgramError> {
    if AGENT.is_empty() { Err(ProgramError::NotEmbedded) } else { Ok(AGENT) }
}

/// The cache entry `agent-<digest>.<form>`, made by `fill` if it is not there.
fn entry(
    cache: &Path,
    form: &str,
    mode: u32,
    fill: impl FnOnce(&mut File) -> Result<(), ProgramError>,
) -> Result<PathBuf, ProgramError> {
    let path = cache.join(format!("agent-{}.{form}", &DIGEST[..16]));
    if path.exists() {
        return Ok(path);
    }
    let fresh = cache.join(format!("agent-{}.{form}.{}", &DIGEST[..16], std::process::id()));
    let io_error = |source| ProgramError::Io { path: fresh.clone(), source };
    let made = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&fresh)
        .map_err(io_error)
        .and_then(|mut file| {
            fill(&mut file)?;
            // An entry that a power cut left empty would be taken for the program for ever.
            file.sync_all().map_err(io_error)
        });
    match made.and_then(|()| fs::rename(&fresh, &path).map_err(io_error)) {
        Ok(()) => Ok(path),
        Err(error) => {
            let _ = fs::remove_file(&fresh);
            Err(error)
        }
    }
}

impl From<io::Error> for ProgramError {
    fn from(source: io::Error) -> Self {
        Self::Io { path: "the agent's program".into(), source }
    }
}
