//! Frames: a length (four bytes, little endian), then that many bytes of `postcard`.

use serde::{Serialize, de::DeserializeOwned};
use std::io::{self, Read, Write};
use std::mem;

/// Largest frame accepted. A hostile peer must not choose our allocation.
pub const FRAME_MAX: usize = 1 << 20;

/// Most bytes of a stream put in one frame: leaves room for the envelope, and is small enough
/// that output appears as it comes.
pub const CHUNK_MAX: usize = 64 << 10;

/// Why a frame could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The connection ended between frames.
    #[error("the connection was closed")]
    Closed,
    /// The connection failed, or ended inside a frame.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// The peer announced, or we tried to send, more than [`FRAME_MAX`] bytes.
    #[error("a frame of {0} bytes is over the limit of {FRAME_MAX}")]
    TooLong(usize),
    /// The bytes are not a message of this vocabulary.
    #[error("a frame does not decode: {0}")]
    Malformed(#[from] postcard::Error),
    /// The message decoded, and bytes were left.
    #[error("a frame has {0} bytes too many")]
    Trailing(usize),
}

/// Writes `message` as one frame, in one `write_all`.
///
/// # Errors
/// [`FrameError::TooLong`] if it encodes to more than [`FRAME_MAX`] bytes, else what `writer` says.
pub fn write<T: Serialize>(mut writer: impl Write, message: &T) -> Result<(), FrameError> {
    let mut bytes = Vec::new();
    append(&mut bytes, message)?;
    writer.write_all(&bytes)?;
    Ok(())
}

/// Appends `message` as one frame to `buffer`, for writers that must not block.
///
/// # Errors
/// [`FrameError::TooLong`] if it encodes to more than [`FRAME_MAX`] bytes; `buffer` is then as it
/// was before.
pub fn append<T: Serialize>(buffer: &mut Vec<u8>, message: &T) -> Result<(), FrameError> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; 4]);
    *buffer = postcard::to_extend(message, mem::take(buffer))?;
    let length = buffer.len() - start - 4;
    if length > FRAME_MAX {
        buffer.truncate(start);
        return Err(FrameError::TooLong(length));
    }
    buffer[start..start + 4].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(())
}

/// Reads one frame and decodes it whole.
///
/// # Errors
/// [`FrameError::Closed`] at a clean end; every other kind for what its name says.
pub fn read<T: DeserializeOwned>(mut reader: impl Read) -> Result<T, FrameError> {
    let mut head = [0; 4];
    let mut filled = 0;
    while filled < head.len() {
        match reader.read(&mut head[filled..]) {
            Ok(0) if filled == 0 => return Err(FrameError::Closed),
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let length = u32::from_le_bytes(head) as usize;
    if length > FRAME_MAX {
        return Err(FrameError::TooLong(length));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    decode(&body)
}

/// Decodes the body of one frame.
///
/// # Errors
/// [`FrameError::Malformed`] or [`FrameError::Trailing`].
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    let (message, rest) = postcard::take_from_bytes(body)?;
    if rest.is_empty() { Ok(message) } else { Err(FrameError::Trailing(rest.len())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Exec, Input, Reply, Request, Status};
    use proptest::prelude::*;

    fn sample() -> Request {
        Request::Exec(Exec { argv: vec![b"sh".to_vec().into(), vec![0xff].into()], ..Exec::default() })
    }

    #[test]
    fn a_message_survives_the_wire() {
        let mut wire = Vec::new();
        write(&mut wire, &sample()).unwrap();
        write(&mut wire, &Input::CloseStdin).unwrap();
        let mut reader = wire.as_slice();
        assert_eq!(read::<Request>(&mut reader).unwrap(), sample());
        assert_eq!(read::<Input>(&mut reader).unwrap(), Input::CloseStdin);
        assert!(matches!(read::<Input>(&mut reader), Err(FrameError::Closed)));
    }

    #[test]
    fn a_long_frame_is_refused_before_it_is_allocated() {
        let wire = u32::MAX.to_le_bytes();
        assert!(matches!(read::<Request>(&wire[..]), Err(FrameError::TooLong(_))));
        let long = Input::Stdin(vec![0; FRAME_MAX + 1].into());
        assert!(matches!(write(io::sink(), &long), Err(FrameError::TooLong(_))));
    }

    #[test]
    fn a_cut_frame_is_an_error_and_not_an_end() {
        let mut wire = Vec::new();
        write(&mut wire, &Reply::Started { pid: 7 }).unwrap();
        for cut in 1..wire.len() {
            assert!(matches!(read::<Reply>(&wire[..cut]), Err(FrameError::Io(_))), "cut at {cut}");
        }
    }

    #[test]
    fn bytes_after_the_message_are_an_error() {
        let mut body = postcard::to_stdvec(&Status::Exited(3)).unwrap();
        body.push(0);
        assert!(matches!(decode::<Status>(&body), Err(FrameError::Trailing(1))));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_fail_without_a_panic(body in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = decode::<Request>(&body);
            let _ = decode::<Reply>(&body);
            let _ = decode::<Input>(&body);
            let _ = decode::<crate::Ready>(&body);
        }
    }
}
