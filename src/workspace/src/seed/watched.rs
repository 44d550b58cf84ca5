//! Reading until somebody cancels.

use crate::until::Until;
use std::io::{self, Read};

/// Input that fails as soon as somebody has cancelled.
pub(super) struct Watched<'a, R> {
    pub input: R,
    pub until: Until<'a>,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.until.is_cancelled() {
            return Err(io::ErrorKind::Other.into());
        }
        self.input.read(buffer)
    }
}
