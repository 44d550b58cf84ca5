//! One layer's way into the store: decompress, hash, write, index, verify, publish.
//!
//! Two threads per layer and a bounded queue between them: one reads, hashes and decompresses, the
//! other hashes the tar, writes it and reads its headers. Memory does not depend on the layer's size.
//! Nothing gets a name before both digests are right.

use crate::{
    Digest, FileError, Layer, Store,
    compression::{Compression, sniff},
    files::Temp,
    manifest::Blob,
};
use pyro_layer::{LayerWriter, Limits, TarError, Toc, TocError, WriteError};
use sha2::{Digest as _, Sha256};
use std::{
    cell::Cell,
    fs::{self, File},
    io::{self, BufReader, BufWriter, Cursor, Read, Write as _},
    os::unix::fs::FileExt as _,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, Sender, SyncSender},
    },
    thread,
};

/// Bytes that go from one thread to the other at once.
const CHUNK: usize = 256 << 10;

/// Chunks on their way: with [`CHUNK`], 2 MiB per layer.
const QUEUE: usize = 8;

/// Runs of zeros of this length, and aligned to it, are left as holes: the block of common file systems.
const HOLE: usize = 4 << 10;

/// A layer over [`RATIO_FREE`] may be this many times larger than its compressed form. gzip cannot do
/// more; zstd can, in bombs.
const RATIO_MAX: u64 = 1100;

/// Uncompressed bytes that are never called a bomb.
const RATIO_FREE: u64 = 1 << 30;

/// Why a layer was refused.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// A file of the state directory could not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The input could not be read to its end.
    #[error("layer {0} cannot be read: {1}")]
    Read(String, #[source] io::Error),
    /// The bytes are not those that were promised.
    #[error("layer {expected} has wrong content: its digest is {found}")]
    Digest {
        /// What the manifest says.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// The bytes were right, but what they decompress to is not what the config promises.
    #[error("layer {expected} has wrong content: once decompressed, its digest is {found}")]
    DiffId {
        /// What the config says.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// The compressed stream is malformed.
    #[error("layer {0} cannot be decompressed: {1}")]
    Compression(String, #[source] io::Error),
    /// Decompression would not end.
    #[error("layer {0} decompresses to more than {RATIO_MAX} times its size; this is a bomb")]
    Bomb(String),
    /// The tar is malformed or not acceptable.
    #[error("layer {0}: {1}")]
    Tar(String, #[source] TarError),
    /// What was to be written is not acceptable.
    #[error(transparent)]
    Written(#[from] WriteError),
}

/// What is known about a layer before it is read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Expected {
    /// The blob as it is read, perhaps compressed.
    pub blob: Option<Blob>,
    /// The tar.
    pub diff_id: Option<Digest>,
}

impl Expected {
    fn name(&self) -> String {
        self.blob
            .map(|blob| blob.digest)
            .or(self.diff_id)
            .map_or_else(|| "of the file".into(), |it| it.to_string())
    }
}

/// Reads a layer into the store.
pub(crate) fn ingest(
    store: &Store,
    input: impl Read + Send,
    expected: Expected,
) -> Result<(Layer, Toc), LayerError> {
    take_in(store, input, expected)?.publish(store)
}

/// Reads a layer, and gives it no name yet.
pub(crate) fn take_in(
    store: &Store,
    input: impl Read + Send,
    expected: Expected,
) -> Result<Written, LayerError> {
    let abandoned = AtomicBool::new(false);
    let (chunks, received) = mpsc::sync_channel(QUEUE);
    let (returned, empties) = mpsc::channel();
    let (read, written) = thread::scope(|scope| {
        let reader = scope.spawn(|| unpack(input, &expected, chunks, empties, &abandoned));
        let written = write(store, &expected, received, returned);
        // Content that was refused is still read to its end: if its digest is wrong, that is the reason.
        // But when the disk is full, reading on is of no use.
        abandoned.store(matches!(written, Err(LayerError::File(_))), Ordering::Relaxed);
        (reader.join().expect("the reading thread does not panic"), written)
    });
    let unread = match (&written, read) {
        (Err(LayerError::File(_)), _) => return written,
        (_, Err(error)) => return Err(LayerError::Read(expected.name(), error)),
        (_, Ok(read)) => read,
    };
    if let (Some(blob), Some(found)) = (expected.blob, unread.digest)
        && blob.digest != found
    {
        return Err(LayerError::Digest { expected: blob.digest, found });
    }
    match unread.trouble {
        Some(Trouble::Malformed(error)) => return Err(LayerError::Compression(expected.name(), error)),
        Some(Trouble::Bomb) => return Err(LayerError::Bomb(expected.name())),
        None => {}
    }
    let written = written?;
    if let Some(diff_id) = expected.diff_id.filter(|it| *it != written.diff_id) {
        return Err(LayerError::DiffId { expected: diff_id, found: written.diff_id });
    }
    Ok(written)
}

/// Reads the layer that `fill` writes into the store.
pub(crate) fn ingest_written<E: From<LayerError>>(
    store: &Store,
    fill: impl FnOnce(&mut LayerWriter<'_>) -> Result<(), E>,
) -> Result<(Layer, Toc), E> {
    let (chunks, received) = mpsc::sync_channel(QUEUE);
    let (returned, empties) = mpsc::channel();
    thread::scope(|scope| {
        let reader = scope.spawn(|| write(store, &Expected::default(), received, returned));
        let mut feed = Feed { chunks, empties, chunk: Vec::with_capacity(CHUNK), cut_off: false };
        let mut writer = LayerWriter::new(&mut feed);
        let filled =
            fill(&mut writer).and_then(|()| writer.finish().map_err(|it| LayerError::from(it).into()));
        let cut_off = feed.cut_off;
        drop(feed);
        let written = reader.join().expect("the writing thread does not panic");
        // A writer that was cut off only knows that; a reader that was cut off saw half a tar.
        if !cut_off {
            filled?;
        }
        Ok(written?.publish(store)?)
    })
}

/// Takes a tar that is being written, and passes it on in chunks.
struct Feed {
    chunks: SyncSender<Vec<u8>>,
    empties: Receiver<Vec<u8>>,
    chunk: Vec<u8>,
    /// Whether the other side has refused it.
    cut_off: bool,
}

impl io::Write for Feed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..count]);
        if self.chunk.len() == CHUNK {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        // To the other side, an empty chunk would be the end.
        if self.chunk.is_empty() {
            return Ok(());
        }
        let mut next = self.empties.try_recv().unwrap_or_else(|_| Vec::with_capacity(CHUNK));
        next.clear();
        self.chunks.send(std::mem::replace(&mut self.chunk, next)).map_err(|_| {
            self.cut_off = true;
            io::ErrorKind::BrokenPipe.into()
        })
    }
}

/// What the reading thread saw.
struct Seen {
    /// Digest of the blob as it was read, where one was promised.
    digest: Option<Digest>,
    trouble: Option<Trouble>,
}

enum Trouble {
    Malformed(io::Error),
    Bomb,
}

fn unpack(
    mut input: impl Read,
    expected: &Expected,
    chunks: SyncSender<Vec<u8>>,
    empties: Receiver<Vec<u8>>,
    abandoned: &AtomicBool,
) -> io::Result<Seen> {
    let (start, compression) = sniff(&mut input)?;
    let bytes = Cell::new(0);
    let mut source = Source {
        input: Cursor::new(start).chain(input),
        hasher: expected.blob.map(|_| Sha256::new()),
        bytes: &bytes,
        failed: None,
        abandoned,
    };
    let trouble = pump(&mut source, compression, chunks, &empties).err();
    // Whatever the decoder left: it counts too.
    let drained = io::copy(&mut source, &mut io::sink());
    if let Some(error) = source.failed.take() {
        return Err(error);
    }
    drained?;
    Ok(Seen { digest: source.hasher.map(Digest::finish), trouble })
}

fn pump<R: Read>(
    source: &mut Source<'_, R>,
    compression: Compression,
    chunks: SyncSender<Vec<u8>>,
    empties: &Receiver<Vec<u8>>,
) -> Result<(), Trouble> {
    let bytes = source.bytes;
    let mut decoder = compression.decode(source).map_err(Trouble::Malformed)?;
    let mut total = 0;
    loop {
        let mut chunk = empties.try_recv().unwrap_or_else(|_| Vec::with_capacity(CHUNK));
        chunk.clear();
        let read = decoder.by_ref().take(CHUNK as u64).read_to_end(&mut chunk).map_err(Trouble::Malformed)?;
        total += read as u64;
        if compression != Compression::None && total > RATIO_FREE && total / RATIO_MAX > bytes.get() {
            return Err(Trouble::Bomb);
        }
        // The other end hangs up when it has refused the tar.
        if read == 0 || chunks.send(chunk).is_err() {
            return Ok(());
        }
    }
}

/// The blob as it is read: hashed, counted, and its own failures told from the decoder's.
struct Source<'a, R> {
    input: R,
    hasher: Option<Sha256>,
    bytes: &'a Cell<u64>,
    failed: Option<io::Error>,
    abandoned: &'a AtomicBool,
}

impl<R: Read> Read for Source<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.failed.is_some() || self.abandoned.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        match self.input.read(buffer) {
            Ok(read) => {
                if let Some(hasher) = &mut self.hasher {
                    hasher.update(&buffer[..read]);
                }
                self.bytes.set(self.bytes.get() + read as u64);
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                self.failed = Some(error);
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }
    }
}

/// A layer that is whole on disk, but still without a name.
pub(crate) struct Written {
    diff_id: Digest,
    pub tar: Temp,
    pub aux: Temp,
    pub toc: Toc,
}

fn write(
    store: &Store,
    expected: &Expected,
    chunks: Receiver<Vec<u8>>,
    empties: Sender<Vec<u8>>,
) -> Result<Written, LayerError> {
    let blobs = store.blobs();
    let tar = Temp::new(&blobs)?;
    let aux = Temp::new(&store.tocs())?;
    let mut sink = Sink {
        chunks,
        empties,
        chunk: Vec::new(),
        read: 0,
        hasher: Sha256::new(),
        file: &tar.file,
        length: 0,
        failed: None,
    };
    let mut expanded = BufWriter::new(&aux.file);
    let scanned = pyro_layer::scan(&mut sink, &Limits::default(), &mut expanded);
    if let Some(error) = sink.failed.take() {
        return Err(FileError::at("write to", &blobs)(error).into());
    }
    let toc = match scanned {
        Ok(toc) => toc,
        Err(TarError::Aux(error)) => return Err(FileError::at("write to", &store.tocs())(error).into()),
        Err(error) => return Err(LayerError::Tar(expected.name(), error)),
    };
    expanded.flush().map_err(FileError::at("write to", &store.tocs()))?;
    drop(expanded);
    // A hole at the end is not written; neither is one in the expanded part.
    tar.file.set_len(sink.length).map_err(FileError::at("write to", &blobs))?;
    aux.file.set_len(toc.aux_bytes()).map_err(FileError::at("write to", &store.tocs()))?;
    let diff_id = Digest::finish(sink.hasher);
    Ok(Written { diff_id, tar, aux, toc })
}

impl Written {
    /// Gives it its name.
    pub fn publish(self, store: &Store) -> Result<(Layer, Toc), LayerError> {
        keep_toc(store, &self.diff_id, &self.toc, self.aux)?;
        self.tar.publish(&store.blob(&self.diff_id))?;
        Ok((Layer { diff_id: self.diff_id, size: self.toc.tar_bytes() }, self.toc))
    }
}

/// Where decompressed chunks arrive: each is hashed and written, then lent to the tar reader.
struct Sink<'a> {
    chunks: Receiver<Vec<u8>>,
    empties: Sender<Vec<u8>>,
    chunk: Vec<u8>,
    read: usize,
    hasher: Sha256,
    file: &'a File,
    length: u64,
    failed: Option<io::Error>,
}

impl Read for Sink<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read == self.chunk.len() {
            let Ok(next) = self.chunks.recv() else { return Ok(0) };
            // The other side may have ended: then nobody needs the empty one.
            let _unneeded = self.empties.send(std::mem::replace(&mut self.chunk, next));
            self.read = 0;
            self.hasher.update(&self.chunk);
            if let Err(error) = write_sparse(self.file, &self.chunk, self.length) {
                self.failed = Some(error);
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.length += self.chunk.len() as u64;
        }
        let rest = &self.chunk[self.read..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.read += count;
        Ok(count)
    }
}

/// Writes `bytes` at `offset`, leaving holes for blocks of zeros.
pub(crate) fn write_sparse(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let zero = |block: &[u8]| block.len() == HOLE && block.iter().all(|byte| *byte == 0);
    // Blocks are those of the file, not of the chunk.
    let head = (offset.next_multiple_of(HOLE as u64) - offset).min(bytes.len() as u64) as usize;
    let (mut start, mut end) = (0, head);
    for block in bytes[head..].chunks(HOLE) {
        let next = end + block.len();
        if zero(block) {
            file.write_all_at(&bytes[start..end], offset + start as u64)?;
            start = next;
        }
        end = next;
    }
    file.write_all_at(&bytes[start..end], offset + start as u64)
}

fn keep_toc(store: &Store, diff_id: &Digest, toc: &Toc, aux: Temp) -> Result<(), FileError> {
    let path = store.tocs().join(format!("{}.toc", diff_id.hex()));
    if toc.aux_bytes() > 0 {
        aux.publish(&path.with_extension("aux"))?;
    }
    let temp = Temp::new(&store.tocs())?;
    let mut out = BufWriter::new(&temp.file);
    toc.write_to(&mut out).and_then(|()| out.flush()).map_err(FileError::at("write", &path))?;
    drop(out);
    temp.publish(&path)
}

/// The table of contents of a layer in the store; made again from the tar if the cache has lost it.
pub(crate) fn toc(store: &Store, layer: &Layer) -> Result<Toc, LayerError> {
    let path = store.tocs().join(format!("{}.toc", layer.diff_id.hex()));
    let aux = path.with_extension("aux");
    let cached =
        File::open(&path).map_err(TocError::from).and_then(|file| Toc::read_from(BufReader::new(file)));
    if let Ok(toc) = cached
        && toc.tar_bytes() == layer.size
        && (toc.aux_bytes() == 0 || fs::metadata(&aux).is_ok_and(|aux| aux.len() == toc.aux_bytes()))
    {
        return Ok(toc);
    }
    for stale in [&path, &aux] {
        store.discard(stale)?;
    }
    let tar = store.blob(&layer.diff_id);
    let file = File::open(&tar).map_err(FileError::at("open", &tar))?;
    let temp = Temp::new(&store.tocs())?;
    let mut expanded = BufWriter::new(&temp.file);
    let toc = pyro_layer::scan(BufReader::with_capacity(CHUNK, file), &Limits::default(), &mut expanded)
        .map_err(|error| LayerError::Tar(layer.diff_id.to_string(), error))?;
    expanded.flush().map_err(FileError::at("write", &aux))?;
    drop(expanded);
    temp.file.set_len(toc.aux_bytes()).map_err(FileError::at("write", &aux))?;
    keep_toc(store, &layer.diff_id, &toc, temp)?;
    Ok(toc)
}

/// Whether a blob is there and is what its name says.
pub(crate) fn is_intact(store: &Store, digest: &Digest) -> Result<bool, FileError> {
    let path = store.blob(digest);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(FileError::at("open", &path)(error)),
    };
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Digest::finish(hasher) == *digest),
            Ok(read) => hasher.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(FileError::at("read", &path)(error)),
        }
    }
}
