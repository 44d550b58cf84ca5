//! `pyro env`: the environments that machines are made from.

use super::context::Context;
use super::progress::Shown;
use crate::catalog::{Environment, display_name, official};
use crate::error::UserError;
use crate::exit::Exit;
use crate::explain::{STATE, full, repository_error, store_error};
use crate::start::{fetch, hold};
use crate::text::{bytes, table};
use pyro_oci::{
    ExportFormat, Image, ImageSummary, ImportError, LayerError, ManifestError, Prune, export, import,
};
use pyro_workspace::{Home, idle_clones, in_use, reap, records, snapshot, snapshot::SnapshotError};
use serde::Serialize;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Arguments of `pyro env`.
#[derive(Debug, clap::Args)]
pub struct EnvArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// The official environments, installed or not, and every other installed image
    List,
    /// Fetch an environment from its registry
    Pull(Named),
    /// Digests, platform, configuration and layers of an installed image, and which workspaces use it
    Inspect(Named),
    /// Remove what nothing refers to: partial downloads, layers, caches, clones that were not used for a month
    Prune(PruneArgs),
    /// Write an installed image to a new file or directory
    Export(ExportArgs),
    /// Install an image from a file or directory
    Import(ImportArgs),
    /// Forget an installed image; `prune` then frees its space
    Rm(Named),
}

/// One environment.
#[derive(Debug, clap::Args)]
struct Named {
    /// An official environment or any OCI image reference
    #[arg(value_name = "ENV")]
    environment: String,
}

/// Arguments of `pyro env import`.
#[derive(Debug, clap::Args)]
struct ImportArgs {
    /// OCI archive or directory, `docker save` archive, or tar of a root file system; gzip and zstd too
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Name to install it under [default: the one in the file]
    #[arg(short, long = "tag", value_name = "NAME")]
    tag: Option<String>,
}

/// Arguments of `pyro env prune`.
#[derive(Debug, clap::Args)]
struct PruneArgs {
    /// Also every image that no workspace uses, and every clone of `--repo-url` that no server uses now
    #[arg(long)]
    all: bool,
    /// Only tell what would go
    #[arg(long)]
    dry_run: bool,
}

/// Arguments of `pyro env export`.
#[derive(Debug, clap::Args)]
struct ExportArgs {
    #[command(flatten)]
    named: Named,
    /// Where nothing is yet
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Form of the file
    #[arg(long, value_enum, default_value_t = Format::OciArchive)]
    format: Format,
}

/// Forms of exported images.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// A tar with an OCI image layout
    OciArchive,
    /// A directory with an OCI image layout
    OciDir,
    /// What docker load reads
    DockerArchive,
    /// A tar with the files of the image
    Rootfs,
}

impl From<Format> for ExportFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::OciArchive => Self::OciArchive,
            Format::OciDir => Self::OciDirectory,
            Format::DockerArchive => Self::DockerArchive,
            Format::Rootfs => Self::Root,
        }
    }
}

/// Runs `pyro env`.
///
/// # Errors
/// Whatever the store or a registry says.
pub fn run(context: &Context, args: EnvArgs) -> Result<Exit, UserError> {
    match args.verb {
        Verb::List => list(context),
        Verb::Pull(named) => pull(context, &named),
        Verb::Inspect(named) => inspect(context, &named),
        Verb::Prune(args) => prune(context, &args),
        Verb::Export(args) => send(context, &args),
        Verb::Import(args) => bring(context, &args),
        Verb::Rm(named) => remove(context, &named),
    }
}

/// One line of `pyro env list`.
#[derive(Serialize)]
struct Listed {
    name: String,
    official: bool,
    installed: bool,
    summary: String,
    digest: Option<String>,
    size_bytes: Option<u64>,
    disk_bytes: Option<u64>,
}

impl Listed {
    fn new(name: String, summary: &str, official: bool, image: Option<&ImageSummary>) -> Self {
        Self {
            name,
            official,
            installed: image.is_some(),
            summary: summary.into(),
            digest: image.map(|image| image.manifest.to_string()),
            size_bytes: image.map(|image| image.size),
            disk_bytes: image.map(|image| image.unique_disk + image.shared_disk),
        }
    }

    fn row(&self) -> Vec<String> {
        let state = if self.installed { "installed" } else { "not installed" };
        let size = self.size_bytes.map(bytes).unwrap_or_default();
        vec![self.name.clone(), state.into(), size, self.summary.clone()]
    }
}

fn list(context: &Context) -> Result<Exit, UserError> {
    let home = context.home()?;
    let _held = hold(&home)?;
    let mut installed = home.store().list().map_err(|error| store_error(&error))?;
    let mut listed = Vec::new();
    for entry in official() {
        let environment = entry.environment().map_err(|error| UserError::new("environment", error))?;
        let at = installed.iter().position(|image| image.reference == *environment.local());
        let image = at.map(|at| installed.remove(at));
        listed.push(Listed::new(entry.name.clone(), &entry.description, true, image.as_ref()));
    }
    // Those are its workspace's affair.
    installed.retain(|image| !snapshot::is_snapshot(&image.reference));
    installed.sort_by(|one, other| one.reference.cmp(&other.reference));
    listed.extend(
        installed.iter().map(|image| Listed::new(image.reference.to_string(), "", false, Some(image))),
    );
    context.out.result(&json!({ "environments": listed }), || {
        let rows: Vec<Vec<String>> = listed.iter().map(Listed::row).collect();
        table(&["ENVIRONMENT", "STATE", "SIZE", "WHAT"], &rows)
    })?;
    Ok(Exit::Done)
}

fn pull(context: &Context, named: &Named) -> Result<Exit, UserError> {
    let environment = parse(&named.environment)?;
    let home = context.home()?;
    let _held = hold(&home)?;
    let image = fetch(&context.config, &Shown::new(context.out), &home, &environment)?;
    installed(context, &image)
}

fn bring(context: &Context, args: &ImportArgs) -> Result<Exit, UserError> {
    let environment = args.tag.as_deref().map(parse).transpose()?;
    let home = context.home()?;
    let _held = hold(&home)?;
    let shown = Shown::new(context.out);
    let name = environment.as_ref().map(Environment::local);
    let imported = import(home.store(), &args.file, name, &shown);
    let image = imported.map_err(|error| match error {
        ImportError::Store(error) => store_error(&error),
        error if full(&error, STATE).is_some() => UserError::new("disk_full", &error).hint(STATE),
        error => UserError::new("import", &error).hint(import_hint(&error)),
    })?;
    installed(context, &image)
}

fn import_hint(error: &ImportError) -> &'static str {
    match error {
        ImportError::File(_) => {
            "check that FILE is there, whole and readable; if not, export or download it again"
        }
        ImportError::Manifest {
            source: ManifestError::Platform { .. } | ManifestError::NoPlatform(_),
            ..
        } => {
            "fetch the one for linux/amd64: docker pull --platform linux/amd64, skopeo copy --override-arch amd64"
        }
        ImportError::NotAnImage { .. } => {
            "pyro env import takes OCI archives and directories, docker save archives and root file systems"
        }
        ImportError::Ambiguous { .. } => "pyro env import FILE -t NAME takes the one of that name",
        ImportError::Name(_) => "pyro env import FILE -t NAME gives it a name of your own",
        ImportError::Layer(LayerError::File(_)) => {
            "pyro env prune frees space; pyro doctor shows what there is"
        }
        _ => "the file is damaged, or not made for pyro: export or download it again; nothing was installed",
    }
}

fn installed(context: &Context, image: &Image) -> Result<Exit, UserError> {
    context.out.result(&describe(image), || {
        let name = display_name(&image.reference);
        let plural = if image.layers.len() == 1 { "" } else { "s" };
        format!("{name} is installed: {} in {} layer{plural}\n", bytes(image.size()), image.layers.len())
    })?;
    Ok(Exit::Done)
}

fn inspect(context: &Context, named: &Named) -> Result<Exit, UserError> {
    let environment = parse(&named.environment)?;
    let home = context.home()?;
    // A killed `run` uses nothing any more.
    reap(&home);
    let _held = hold(&home)?;
    let image = find(&home, &environment)?;
    let mut value = describe(&image);
    value["workspaces"] = users(context, &home, &image);
    context.out.result(&value, || text_of(&value))?;
    Ok(Exit::Done)
}

/// The workspaces that run on an image; null if a record that cannot be read may be of one more.
fn users(context: &Context, home: &Home, image: &Image) -> Value {
    match records(home) {
        Ok(records) => records
            .iter()
            .filter(|record| record.manifest == image.manifest)
            .map(|record| json!({ "id": record.id, "created_at": record.created_at }))
            .collect(),
        Err(error) => {
            context.out.note(format_args!("note: which workspaces use it is unknown: {error}"));
            Value::Null
        }
    }
}

fn remove(context: &Context, named: &Named) -> Result<Exit, UserError> {
    let environment = parse(&named.environment)?;
    let home = context.home()?;
    // Also one that is damaged.
    if !home.store().remove(environment.local()).map_err(|error| store_error(&error))? {
        return Err(not_installed(&environment));
    }
    let name = environment.to_string();
    context.out.result(&json!({ "removed": name }), || {
        format!("{name} is no longer installed; pyro env prune frees its space\n")
    })?;
    Ok(Exit::Done)
}

fn prune(context: &Context, args: &PruneArgs) -> Result<Exit, UserError> {
    let home = context.home()?;
    let failed = |error| store_error(&error);
    // A killed `run` needs nothing any more.
    reap(&home);
    // From here on nobody can start to use an image; only then is it known what is in use.
    let waiting = || context.out.note("waiting for other pyro commands that use the store");
    let sweep = home.store().sweep(waiting).map_err(failed)?;
    let unknown = |error: &dyn std::fmt::Display| {
        UserError::new("workspace", error).hint(
            "nothing was removed, since what that workspace needs is unknown; mend its record, or remove its directory",
        )
    };
    let in_use = in_use(&home).map_err(|error| unknown(&error))?;
    if !args.dry_run {
        snapshot::forget_orphans(&home).map_err(|error| match error {
            SnapshotError::Store(error) => store_error(&error),
            error => unknown(&error),
        })?;
    }
    let clones = idle_clones(&home, args.all).map_err(|error| repository_error(&error))?;
    let sweep = sweep.also(clones.iter().map(|clone| clone.path.clone()));
    let what = Prune { all: args.all, dry_run: args.dry_run };
    let pruned = sweep.prune(what, &in_use).map_err(failed)?;
    drop(clones);
    let result = json!({ "dry_run": args.dry_run, "freed_bytes": pruned.bytes, "items": pruned.items });
    context.out.result(&result, || {
        let kind = |item| serde_json::to_value(item).ok().as_ref().map(word).unwrap_or_default();
        let row = |item: &pyro_oci::PrunedItem| vec![kind(item.kind), bytes(item.bytes), item.name.clone()];
        let rows: Vec<Vec<String>> = pruned.items.iter().map(row).collect();
        let listed = if rows.is_empty() { String::new() } else { table(&["KIND", "SIZE", "NAME"], &rows) };
        let verb = if args.dry_run { "would free" } else { "freed" };
        format!("{listed}{verb} {}\n", bytes(pruned.bytes))
    })?;
    Ok(Exit::Done)
}

fn send(context: &Context, args: &ExportArgs) -> Result<Exit, UserError> {
    let environment = parse(&args.named.environment)?;
    let home = context.home()?;
    let _held = hold(&home)?;
    let image = find(&home, &environment)?;
    let shown = Shown::new(context.out);
    export(home.store(), &image, &args.file, args.format.into(), &shown).map_err(|error| {
        UserError::new("export", error).hint("choose a FILE that does not exist, on a disk with room")
    })?;
    let file = args.file.display().to_string();
    context.out.result(&json!({ "exported": environment.to_string(), "file": file }), || {
        format!("{environment} is in {file}\n")
    })?;
    Ok(Exit::Done)
}

fn parse(name: &str) -> Result<Environment, UserError> {
    Environment::parse(name)
        .map_err(|error| UserError::usage(error).hint("pyro env list shows the official environments"))
}

fn find(home: &Home, environment: &Environment) -> Result<Image, UserError> {
    let image = home.store().find(environment.local()).map_err(|error| store_error(&error))?;
    image.ok_or_else(|| not_installed(environment))
}

fn not_installed(environment: &Environment) -> UserError {
    let fetch = match environment.source().is_local() {
        true => String::new(),
        false => format!("; pyro env pull {environment} installs it"),
    };
    UserError::new("not_installed", format_args!("{environment} is not installed"))
        .hint(format!("pyro env list shows what is{fetch}"))
}

fn describe(image: &Image) -> Value {
    json!({
        "name": display_name(&image.reference),
        "reference": image.reference,
        "digest": image.manifest,
        "config_digest": image.config_digest,
        "platform": image.platform,
        "created": image.created,
        "size_bytes": image.size(),
        "layers": image.layers.iter().map(|layer| json!({ "diff_id": layer.diff_id, "size_bytes": layer.size })).collect::<Vec<_>>(),
        "config": image.config,
    })
}

/// The same for people: a line for each fact, lists indented.
fn text_of(value: &Value) -> String {
    let mut text = String::new();
    lines(value, "", &mut text);
    text
}

fn lines(value: &Value, indent: &str, text: &mut String) {
    let Value::Object(fields) = value else { return };
    for (name, value) in fields {
        let deeper = format!("{indent}  ");
        match value {
            Value::Null => {}
            Value::Array(items) if items.is_empty() => {}
            Value::Object(fields) if fields.is_empty() => {}
            Value::String(word) if word.is_empty() => {}
            Value::Object(_) => {
                text.push_str(&format!("{indent}{name}:\n"));
                lines(value, &deeper, text);
            }
            Value::Array(items) => {
                text.push_str(&format!("{indent}{name}:\n"));
                for item in items {
                    match item {
                        Value::Object(fields) => {
                            let words: Vec<String> = fields.values().map(word).collect();
                            text.push_str(&format!("{deeper}{}\n", words.join("  ")));
                        }
                        other => text.push_str(&format!("{deeper}{}\n", word(other))),
                    }
                }
            }
            other => text.push_str(&format!("{indent}{name}: {}\n", word(other))),
        }
    }
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
