//! How git writes the bytes of binary files into a patch: zlib, then base 85, 52 bytes a line.

use flate2::{Compression, write::ZlibEncoder};
use std::io::{Read, Write as _};

const ALPHABET: &[u8; 85] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";

/// Bytes in a line: 26 for `A` to `Z`, 26 for `a` to `z`.
const LINE: usize = 52;

/// Appends the lines of `content`, and the empty line that ends them.
pub(super) fn write(content: &[u8], out: &mut Vec<u8>) {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    let deflated = zlib.write_all(content).and_then(|()| zlib.finish());
    for line in deflated.expect("writing to memory does not fail").chunks(LINE) {
        let length = line.len() as u8;
        out.push(if length <= 26 { b'A' + length - 1 } else { b'a' + length - 27 });
        for group in line.chunks(4) {
            let mut word = [0; 4];
            word[..group.len()].copy_from_slice(group);
            let mut rest = u32::from_be_bytes(word);
            let mut digits = [0; 5];
            for digit in digits.iter_mut().rev() {
                *digit = ALPHABET[(rest % 85) as usize];
                rest /= 85;
            }
            out.extend_from_slice(&digits);
        }
        out.push(b'\n');
    }
    out.push(b'\n');
}

/// The bytes of one line without its line end; `None` if it is malformed.
fn line(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (length, digits) = text.split_first()?;
    let length = match length {
        b'A'..=b'Z' => length - b'A' + 1,
        b'a'..=b'z' => length - b'a' + 27,
        _ => return None,
    };
    let length = usize::from(length);
    if digits.len() != length.div_ceil(4) * 5 {
        return None;
    }
    let start = out.len();
    for group in digits.chunks(5) {
        let word = group.iter().try_fold(0_u32, |word, digit| {
            let value = ALPHABET.iter().position(|each| each == digit)? as u32;
            word.checked_mul(85)?.checked_add(value)
        })?;
        out.extend_from_slice(&word.to_be_bytes());
    }
    out.truncate(start + length);
    Some(())
}

/// Decodes `lines`, which must inflate to exactly `size` bytes.
pub(super) fn read<'a>(lines: impl Iterator<Item = &'a [u8]>, size: usize) -> Option<Vec<u8>> {
    let mut deflated = Vec::new();
    for text in lines {
        line(text, &mut deflated)?;
    }
    let mut content = Vec::new();
    // One byte more than promised is enough to see that there are more.
    flate2::read::ZlibDecoder::new(&deflated[..]).take(size as u64 + 1).read_to_end(&mut content).ok()?;
    (content.len() == size).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let content: Vec<u8> =
            (0..100_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for size in [0, 1, 51, 52, 53, 1000, content.len()] {
            let mut text = Vec::new();
            write(&content[..size], &mut text);
            let lines = || text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            assert_eq!(read(lines(), size).as_deref(), Some(&content[..size]));
            assert_eq!(read(lines(), size + 1), None);
            assert_eq!(read(lines(), size.saturating_sub(1)).is_some(), size == 0);
        }
    }

    #[test]
    fn malformed_lines_are_refused() {
        for bad in [&b""[..], b"A", b"A0000", b"A00 00", b"B~~~~~", b"?00000", b"A0000000000"] {
            assert_eq!(line(bad, &mut Vec::new()), None, "{}", String::from_utf8_lossy(bad));
        }
    }
}
