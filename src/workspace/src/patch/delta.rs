//! git's binary deltas: a new file as copies from an old one and bytes between them.

/// Applies `delta` to `old`. `None` if it is malformed, does not belong to `old`, or makes more than
/// `most` bytes.
pub(super) fn apply(old: &[u8], delta: &[u8], most: usize) -> Option<Vec<u8>> {
    let mut rest = delta;
    if size(&mut rest)? != old.len() {
        return None;
    }
    let size = size(&mut rest)?;
    if size > most {
        return None;
    }
    let mut new = Vec::new();
    while let Some((&op, after)) = rest.split_first() {
        rest = after;
        let piece = if op & 0x80 != 0 {
            let offset = number(&mut rest, op, 4)?;
            let length = number(&mut rest, op >> 4, 3)?;
            let length = if length == 0 { 0x1_0000 } else { length };
            old.get(offset..)?.get(..length)?
        } else {
            let (piece, after) = rest.split_at_checked(op.into())?;
            rest = after;
            // Zero is reserved.
            if piece.is_empty() {
                return None;
            }
            piece
        };
        if new.len() + piece.len() > size {
            return None;
        }
        new.extend_from_slice(piece);
    }
    (new.len() == size).then_some(new)
}

/// Seven bits a byte, lowest first; the top bit says that more follow.
fn size(rest: &mut &[u8]) -> Option<usize> {
    let mut value = 0_usize;
    for shift in (0..=56).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Little endian, of those of `bytes` bytes that have their bit in `present`.
fn number(rest: &mut &[u8], present: u8, bytes: usize) -> Option<usize> {
    let mut value = 0;
    for at in (0..bytes).filter(|at| present >> at & 1 != 0) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= usize::from(*byte) << (8 * at);
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_and_insertions() {
        let old = b"hello world";
        let delta = [11, 8, 0x80 | 0x01 | 0x10, 6, 5, 3, b'!', b'!', b'!'];
        assert_eq!(apply(old, &delta, 100).as_deref(), Some(&b"world!!!"[..]));
        assert_eq!(apply(old, &delta, 7), None);
        assert_eq!(apply(b"other", &delta, 100), None);
        for cut in 0..delta.len() {
            assert_eq!(apply(old, &delta[..cut], 100), None);
        }
        assert_eq!(apply(old, &[11, 8, 0x80 | 0x01 | 0x10, 9, 5], 100), None);
        assert_eq!(apply(old, &[11, 0, 0], 100), None);
    }
}
