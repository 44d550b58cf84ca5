//! Registries: the only file with a socket.
//!
//! Everything outside is blocking. The async client runs on a small runtime of its own; each caller's
//! thread waits for its own request there. What a registry sends is not trusted: callers check digests.

use crate::{
    Digest, Event, Progress, Reference, RegistryConfig,
    credentials::{self, CredentialError},
    manifest::{ACCEPTED, Blob},
};
use futures_util::StreamExt as _;
use oci_distribution::{
    Client, Reference as RemoteReference, RegistryOperation,
    client::{BlobResponse, Certificate, CertificateEncoding, ClientConfig, ClientProtocol, SizedStream},
    errors::{OciDistributionError, OciErrorCode},
    secrets::RegistryAuth,
};
use reqwest::header::RETRY_AFTER;
use std::{
    error::Error,
    fs, io,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};
use tokio::runtime::{Builder, Runtime};

/// Most characters of a server's own words in an error.
const WORDS_MAX: usize = 200;

/// A registry did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The client could not be set up.
    #[error("the registry client cannot start: {0}")]
    Setup(String),
    /// A certificate file cannot be used.
    #[error("certificate file {} cannot be used: {why}", .path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The credentials cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// 401.
    #[error("{registry} refuses access to {repository}: {}", if *.known { "the stored credentials are not accepted" } else { "it does not exist there, or it needs a login" })]
    Unauthorized {
        /// Host and port.
        registry: String,
        /// Path of the image there.
        repository: String,
        /// Whether credentials were sent.
        known: bool,
    },
    /// 403.
    #[error("{registry} denies access to {repository}")]
    Denied {
        /// Host and port.
        registry: String,
        /// Path of the image there.
        repository: String,
    },
    /// 404.
    #[error("{registry} has no {what}")]
    NotFound {
        /// Host and port.
        registry: String,
        /// The image, or the blob of an image.
        what: String,
    },
    /// 429, again and again.
    #[error("{registry} refuses for now: too many requests")]
    RateLimited {
        /// Host and port.
        registry: String,
        /// What was asked.
        url: String,
    },
    /// Any other answer that is not a success.
    #[error("{registry} failed with status {code}: {message}")]
    Server {
        /// Host and port.
        registry: String,
        /// HTTP status.
        code: u16,
        /// Its words, cut short.
        message: String,
    },
    /// No answer, or not all of it.
    #[error("{registry} cannot be reached: {why}")]
    Unreachable {
        /// Host and port.
        registry: String,
        /// What failed.
        why: String,
    },
    /// The connection ended early.
    #[error("{registry} broke off the transfer of {what} after {done} of {size} bytes: {why}")]
    Cut {
        /// Host and port.
        registry: String,
        /// The blob.
        what: Digest,
        /// Bytes that came.
        done: u64,
        /// Bytes that should have come.
        size: u64,
        /// What failed.
        why: String,
    },
    /// A blob has another size than its manifest says.
    #[error("{registry} sends {found} bytes for {what}, but the manifest says {size}")]
    Size {
        /// Host and port.
        registry: String,
        /// The blob.
        what: Digest,
        /// Bytes that the server announces or sends.
        found: u64,
        /// Bytes that the manifest promises.
        size: u64,
    },
    /// The answer is not what was asked for.
    #[error("{registry} sends something else than {what}: {why}")]
    Wrong {
        /// Host and port.
        registry: String,
        /// What was asked.
        what: String,
        /// How it differs.
        why: String,
    },
    /// Another layer of the image failed.
    #[error("stopped, because another layer failed")]
    Stopped,
}

impl RegistryError {
    /// Whether the same request may succeed later.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::RateLimited { .. } | Self::Cut { .. } | Self::Unreachable { .. } => true,
            Self::Server { code, .. } => matches!(code, 408 | 500..=599),
            _ => false,
        }
    }
}

/// The async side of a pull.
pub(crate) struct Network {
    runtime: Runtime,
    config: RegistryConfig,
}

/// One repository at one registry or mirror.
pub(crate) struct Remote<'a> {
    network: &'a Network,
    progress: &'a dyn Progress,
    client: Client,
    /// For the one header that the client does not pass on.
    bare: reqwest::Client,
    auth: RegistryAuth,
    token: Option<String>,
    registry: String,
    repository: String,
    /// Whether it ever answered: then a refused connection is a hiccup.
    answered: AtomicBool,
}

impl Network {
    pub fn new(config: &RegistryConfig) -> Result<Self, RegistryError> {
        // The process may have chosen a provider; any will do.
        let _chosen = rustls::crypto::ring::default_provider().install_default();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| RegistryError::Setup(error.to_string()))?;
        Ok(Self { runtime, config: config.clone() })
    }

    /// Where an image may be found: mirrors first, as pairs of host and repository.
    pub fn places(&self, reference: &Reference) -> Vec<(String, String)> {
        let mirrors = self.config.mirrors.get(reference.registry()).into_iter().flatten();
        let mirrors = mirrors.map(|mirror| match mirror.trim_end_matches('/').split_once('/') {
            Some((host, prefix)) => (host.to_owned(), format!("{prefix}/{}", reference.repository())),
            None => (mirror.to_owned(), reference.repository().to_owned()),
        });
        let own = (reference.registry().to_owned(), reference.repository().to_owned());
        mirrors.chain([own]).collect()
    }

    /// Opens a repository: finds credentials, and logs in where the registry asks for it.
    pub fn open<'a>(
        &'a self,
        (registry, repository): (String, String),
        progress: &'a dyn Progress,
    ) -> Result<Remote<'a>, RegistryError> {
        let config = &self.config;
        let auth = credentials::find(&registry, config.credentials.as_deref())?;
        let read = |path: &PathBuf| {
            let unusable =
                |error: &dyn Error| RegistryError::Certificate { path: path.clone(), why: chain(error) };
            let data = fs::read(path).map_err(|error| unusable(&error))?;
            let parsed = reqwest::Certificate::from_pem(&data).map_err(|error| unusable(&error))?;
            Ok((Certificate { encoding: CertificateEncoding::Pem, data }, parsed))
        };
        let certificates = config.certificates.iter().map(read).collect::<Result<Vec<_>, RegistryError>>()?;
        let (ours, bare): (Vec<_>, Vec<_>) = certificates.into_iter().unzip();
        let connect_timeout = Duration::from_secs(config.connect_timeout_seconds);
        let read_timeout = Duration::from_secs(config.read_timeout_seconds);
        let setup = |error: &dyn Error| RegistryError::Setup(chain(error));
        let client = Client::try_from(ClientConfig {
            protocol: ClientProtocol::HttpsExcept(config.insecure.clone()),
            extra_root_certificates: ours,
            connect_timeout: Some(connect_timeout),
            read_timeout: Some(read_timeout),
            user_agent: concat!("pyro/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        });
        let client = client.map_err(|error| setup(&error))?;
        let bare = reqwest::Client::builder()
            .tls_certs_merge(bare)
            .connect_timeout(connect_timeout)
            .timeout(read_timeout)
            .build()
            .map_err(|error| setup(&error))?;
        let answered = AtomicBool::new(false);
        let mut remote = Remote {
            network: self,
            progress,
            client,
            bare,
            auth,
            token: None,
            registry,
            repository,
            answered,
        };
        // Asked first and by itself: inside other requests the client swallows a failed login.
        let image = remote.image(&Wanted::Tag("latest"));
        remote.token = remote.retry(&remote.repository, || {
            let login = remote.client.auth(&image, &remote.auth, RegistryOperation::Pull);
            self.runtime.block_on(login)
        })?;
        Ok(remote)
    }
}

/// What to ask a repository for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted<'a> {
    Tag(&'a str),
    Digest(Digest),
}

impl Remote<'_> {
    /// Fetches a manifest or index. When a digest was asked for, it is the right one.
    pub fn manifest(&self, wanted: Wanted<'_>) -> Result<Vec<u8>, RegistryError> {
        let image = self.image(&wanted);
        let what = image.to_string();
        let (bytes, _) = self.retry(&what, || {
            self.network.runtime.block_on(self.client.pull_manifest_raw(&image, &self.auth, &ACCEPTED))
        })?;
        if let Wanted::Digest(digest) = wanted
            && Digest::of(&bytes) != digest
        {
            return Err(self.wrong(what, format!("its digest is {}", Digest::of(&bytes))));
        }
        Ok(bytes.into())
    }

    /// Opens a blob at an offset.
    pub fn blob<'a>(&'a self, blob: Blob, offset: u64, stop: &'a AtomicBool) -> BlobReader<'a> {
        let digest = blob.digest.to_string();
        let image = self.image(&Wanted::Digest(blob.digest));
        BlobReader {
            remote: self,
            image,
            blob,
            digest,
            offset,
            chunk: Default::default(),
            stream: None,
            attempt: 0,
            stop,
        }
    }

    fn image(&self, wanted: &Wanted<'_>) -> RemoteReference {
        let (registry, repository) = (self.registry.clone(), self.repository.clone());
        match wanted {
            Wanted::Tag(tag) => RemoteReference::with_tag(registry, repository, (*tag).to_owned()),
            Wanted::Digest(digest) => RemoteReference::with_digest(registry, repository, digest.to_string()),
        }
    }

    fn retry<T>(
        &self,
        what: &str,
        mut request: impl FnMut() -> Result<T, OciDistributionError>,
    ) -> Result<T, RegistryError> {
        let mut attempt = 0;
        loop {
            match request() {
                Ok(answer) => {
                    self.answered.store(true, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) => self.again(self.explain(what, error), &mut attempt)?,
            }
        }
    }

    /// Waits until a failed request may be made again; gives the error back if it should not be.
    fn again(&self, error: RegistryError, attempt: &mut u32) -> Result<(), RegistryError> {
        // Who never answered is down, or not there at all; who did will be back.
        let down =
            matches!(error, RegistryError::Unreachable { .. }) && !self.answered.load(Ordering::Relaxed);
        if down || !error.may_pass() || *attempt >= self.network.config.retries {
            return Err(error);
        }
        let asked = match &error {
            RegistryError::RateLimited { url, .. } => self.retry_after(url),
            _ => None,
        };
        let wait = self.network.config.delay(*attempt, asked);
        *attempt += 1;
        self.progress.event(Event::Retrying { reason: &error.to_string(), wait });
        thread::sleep(wait);
        Ok(())
    }

    /// How long a registry that is out of patience wants us to wait. The client hides the header, so it
    /// is asked for with a request that costs the registry little.
    fn retry_after(&self, url: &str) -> Option<Duration> {
        let request = self.bare.head(url);
        let request = match (&self.token, &self.auth) {
            (Some(token), _) => request.bearer_auth(token),
            (None, RegistryAuth::Basic(user, password)) => request.basic_auth(user, Some(password)),
            _ => request,
        };
        // Its timer belongs to the runtime: it must be made there.
        let answer = self.network.runtime.block_on(async { request.send().await }).ok()?;
        let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
        Some(Duration::from_secs(seconds))
    }

    fn wrong(&self, what: impl Into<String>, why: String) -> RegistryError {
        RegistryError::Wrong { registry: self.registry.clone(), what: what.into(), why }
    }

    fn explain(&self, what: &str, error: OciDistributionError) -> RegistryError {
        let registry = self.registry.clone();
        let repository = self.repository.clone();
        let known = self.auth != RegistryAuth::Anonymous;
        let status = |code: u16, url: String, message: &str| match code {
            401 => RegistryError::Unauthorized {
                registry: registry.clone(),
                repository: repository.clone(),
                known,
            },
            403 => RegistryError::Denied { registry: registry.clone(), repository: repository.clone() },
            404 => RegistryError::NotFound { registry: registry.clone(), what: what.to_owned() },
            429 => RegistryError::RateLimited { registry: registry.clone(), url },
            code => RegistryError::Server { registry: registry.clone(), code, message: words(message) },
        };
        match error {
            OciDistributionError::UnauthorizedError { url } => status(401, url, ""),
            OciDistributionError::AuthenticationFailure(_) => status(401, String::new(), ""),
            OciDistributionError::ServerError { code, url, message } => status(code, url, &message),
            OciDistributionError::RegistryError { envelope, url } => {
                let code = envelope.errors.first().map(|error| match error.code {
                    OciErrorCode::Unauthorized => 401,
                    OciErrorCode::Denied => 403,
                    OciErrorCode::Toomanyrequests => 429,
                    OciErrorCode::BlobUnknown
                    | OciErrorCode::ManifestBlobUnknown
                    | OciErrorCode::ManifestUnknown
                    | OciErrorCode::NameUnknown
                    | OciErrorCode::NotFound => 404,
                    _ => 400,
                });
                let message = envelope.errors.first().map_or("", |error| &error.message);
                status(code.unwrap_or(400), url, message)
            }
            OciDistributionError::DigestError(error) => self.wrong(what, error.to_string()),
            error => RegistryError::Unreachable { registry, why: words(&chain(&error)) },
        }
    }
}

/// The bytes of a blob, over as many connections as it takes: never more than its size, and an error if
/// they are fewer.
pub(crate) struct BlobReader<'a> {
    remote: &'a Remote<'a>,
    image: RemoteReference,
    blob: Blob,
    digest: String,
    offset: u64,
    chunk: Chunk,
    stream: Option<SizedStream>,
    attempt: u32,
    stop: &'a AtomicBool,
}

/// Bytes that came and were not read yet.
#[derive(Default)]
struct Chunk {
    bytes: io::Cursor<Vec<u8>>,
}

impl BlobReader<'_> {
    /// Opens a connection at the offset.
    fn connect(&mut self) -> Result<SizedStream, RegistryError> {
        let remote = self.remote;
        let (client, runtime) = (&remote.client, &remote.network.runtime);
        let request = client.pull_blob_stream_partial(&self.image, &*self.digest, self.offset, None);
        let what = format!("blob {} of {}", self.digest, remote.repository);
        let answer = runtime.block_on(request).map_err(|error| remote.explain(&what, error))?;
        remote.answered.store(true, Ordering::Relaxed);
        let (mut stream, skip) = match answer {
            BlobResponse::Partial(stream) => (stream, 0),
            // It knows no ranges and starts anew.
            BlobResponse::Full(stream) => (stream, self.offset),
        };
        if let Some(length) = stream.content_length
            && length != self.blob.size - self.offset + skip
        {
            return Err(self.size(length + self.offset - skip));
        }
        let mut skipped = 0;
        while skipped < skip {
            let next = runtime.block_on(stream.next());
            let bytes = next.transpose().map_err(|error| self.cut(&chain(&error)))?;
            let bytes = bytes.ok_or_else(|| self.cut("the connection was closed"))?;
            skipped += bytes.len() as u64;
            if skipped > skip {
                let rest = bytes.len() - (skipped - skip) as usize;
                self.chunk.bytes = io::Cursor::new(bytes[rest..].to_vec());
            }
        }
        Ok(stream)
    }

    fn fill(&mut self) -> Result<(), RegistryError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(RegistryError::Stopped);
        }
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect()?,
        };
        if self.has_chunk() {
            self.stream = Some(stream);
            return Ok(());
        }
        match self.remote.network.runtime.block_on(stream.next()) {
            Some(Ok(bytes)) => {
                self.attempt = 0;
                self.chunk.bytes = io::Cursor::new(bytes.into());
                self.stream = Some(stream);
                Ok(())
            }
            Some(Err(error)) => Err(self.cut(&chain(&error))),
            None => Err(self.cut("the connection was closed")),
        }
    }

    fn has_chunk(&self) -> bool {
        self.chunk.bytes.position() < self.chunk.bytes.get_ref().len() as u64
    }

    fn cut(&self, why: &str) -> RegistryError {
        RegistryError::Cut {
            registry: self.remote.registry.clone(),
            what: self.blob.digest,
            done: self.offset,
            size: self.blob.size,
            why: words(why),
        }
    }

    fn size(&self, found: u64) -> RegistryError {
        let registry = self.remote.registry.clone();
        RegistryError::Size { registry, what: self.blob.digest, found, size: self.blob.size }
    }
}

impl io::Read for BlobReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.offset == self.blob.size || buffer.is_empty() {
            return Ok(0);
        }
        while !self.has_chunk() {
            if let Err(error) = self.fill() {
                self.stream = None;
                self.remote.again(error, &mut self.attempt).map_err(io::Error::other)?;
            }
        }
        let read = self.chunk.bytes.read(buffer)?;
        self.offset += read as u64;
        if self.offset > self.blob.size {
            return Err(io::Error::other(self.size(self.offset)));
        }
        Ok(read)
    }
}

/// An error and what caused it, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// A server's words, safe to show: one line, no control characters, not endless.
fn words(text: &str) -> String {
    let printable = text.chars().map(|char| if char.is_control() { ' ' } else { char });
    let mut text: String = printable.take(WORDS_MAX).collect();
    text.truncate(text.trim_end().len());
    text
}
