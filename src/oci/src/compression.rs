//! Compressed streams, told apart by their first bytes: media types and file names lie.

use flate2::bufread::MultiGzDecoder;
use std::io::{self, BufReader, Read};

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// What a stream is that begins like this.
    pub fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame, or a skippable frame as seekable zstd formats begin with.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }
}

/// Bytes that tell.
const MAGIC: u64 = 4;

/// Bytes that are read from a compressed stream at once.
const INPUT: usize = 128 << 10;

/// Largest window of a zstd stream: 128 MiB, what `zstd -d` takes without being told to.
const ZSTD_WINDOW_LOG: u32 = 27;

/// The first bytes of a stream, and how it is compressed.
pub(crate) fn sniff(input: &mut impl Read) -> io::Result<(Vec<u8>, Compression)> {
    let mut start = Vec::with_capacity(MAGIC as usize);
    input.take(MAGIC).read_to_end(&mut start)?;
    let compression = Compression::of(&start);
    Ok((start, compression))
}

impl Compression {
    /// The content of a stream: all members of a gzip file, all frames of a zstd file.
    pub fn decode<'a>(self, input: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        let buffered = |input| BufReader::with_capacity(INPUT, input);
        Ok(match self {
            Self::None => Box::new(input),
            Self::Gzip => Box::new(MultiGzDecoder::new(buffered(input))),
            Self::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(buffered(input))?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Box::new(decoder)
            }
        })
    }
}
