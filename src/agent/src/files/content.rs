//! Sending what is in a regular file.

use crate::failure::{Stop, failed};
use crate::wire::Wire;
use pyro_protocol::frame::CHUNK_MAX;
use pyro_protocol::{Failure, Reply};
use rustix::io::{Errno, pread};
use serde_bytes::ByteBuf;
use std::mem;
use std::os::fd::AsFd;

/// A buffer for content on its way from files to frames.
#[derive(Default)]
pub struct Content {
    chunk: Vec<u8>,
}

impl Content {
    /// Sends up to `limit` bytes of `file`, named `path` in messages, from `offset` on, and their
    /// end. `still` is asked before every frame whether to go on.
    pub fn send(
        &mut self,
        wire: &mut Wire,
        (file, path): (impl AsFd, &[u8]),
        (mut offset, limit): (u64, u64),
        still: impl Fn() -> Result<(), Failure>,
    ) -> Result<(), Stop> {
        let mut left = limit;
        while left > 0 {
            still()?;
            // The buffer is as long as it was last time: almost always, nothing is filled with zeros.
            self.chunk.resize(left.min(CHUNK_MAX as u64) as usize, 0);
            match pread(&file, &mut self.chunk, offset) {
                Ok(0) => break,
                Ok(count) => self.chunk.truncate(count),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(failed(path, error).into()),
            }
            offset += self.chunk.len() as u64;
            left -= self.chunk.len() as u64;
            let reply = Reply::Data(ByteBuf::from(mem::take(&mut self.chunk)));
            wire.send(&reply)?;
            if let Reply::Data(bytes) = reply {
                self.chunk = bytes.into_vec();
            }
        }
        wire.send(&Reply::EndOfData)?;
        Ok(())
    }
}
