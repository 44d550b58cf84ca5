//! Numbers in tar headers and in extended headers.

use super::TarProblem;
use crate::Time;

/// A field of octal digits, or of base-256 as GNU tar writes what octal cannot hold. Blank is 0.
pub(super) fn field(bytes: &[u8], what: &'static str) -> Result<u64, TarProblem> {
    let value = signed(bytes, what)?;
    u64::try_from(value)
        .map_err(|_| if value < 0 { TarProblem::Negative(what) } else { TarProblem::TooLarge(what) })
}

/// The same, for a field that may be below zero.
pub(super) fn seconds(bytes: &[u8], what: &'static str) -> Result<i64, TarProblem> {
    i64::try_from(signed(bytes, what)?).map_err(|_| TarProblem::TooLarge(what))
}

fn signed(bytes: &[u8], what: &'static str) -> Result<i128, TarProblem> {
    if bytes.first().is_some_and(|first| first & 0x80 != 0) {
        return base256(bytes).ok_or(TarProblem::TooLarge(what));
    }
    let blank = |byte: &u8| matches!(byte, b' ' | 0);
    let start = bytes.iter().position(|byte| !blank(byte)).unwrap_or(bytes.len());
    let digits = &bytes[start..];
    let digits = &digits[..digits.iter().position(blank).unwrap_or(digits.len())];
    digits.iter().try_fold(0_i128, |value, digit| match digit {
        // A field has at most twelve digits, 36 bits.
        b'0'..=b'7' => Ok(value << 3 | i128::from(digit - b'0')),
        b'-' => Err(TarProblem::Negative(what)),
        _ => Err(TarProblem::Number(what)),
    })
}

/// Two's complement, big endian; the top bit of the first byte is only a mark.
fn base256(bytes: &[u8]) -> Option<i128> {
    let negative = bytes[0] & 0x40 != 0;
    let first = if negative { bytes[0] } else { bytes[0] & 0x7f };
    let start = if negative { -1 } else { 0 };
    // Fields are 8 or 12 bytes: 96 bits at most.
    let value = [first].iter().chain(&bytes[1..]).fold(start, |value, &byte| value << 8 | i128::from(byte));
    (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value).then_some(value)
}

/// A decimal number without a sign.
pub(super) fn decimal(text: &[u8], what: &'static str) -> Result<u64, TarProblem> {
    match text {
        [] => Err(TarProblem::Number(what)),
        [b'-', ..] => Err(TarProblem::Negative(what)),
        _ => text.iter().try_fold(0_u64, |value, digit| match digit {
            b'0'..=b'9' => value
                .checked_mul(10)
                .and_then(|value| value.checked_add(u64::from(digit - b'0')))
                .ok_or(TarProblem::TooLarge(what)),
            _ => Err(TarProblem::Number(what)),
        }),
    }
}

/// A time as PAX writes it: decimal, perhaps below zero, perhaps with a fraction.
pub(super) fn time(text: &[u8]) -> Result<Time, TarProblem> {
    const WHAT: &str = "modification time";
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let point = text.iter().position(|&byte| byte == b'.');
    let (whole, fraction) = point.map_or((text, &b""[..]), |point| (&text[..point], &text[point + 1..]));
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(TarProblem::Number(WHAT));
    }
    // Digits beyond nanoseconds are dropped, as the kernel would.
    let nanos = (0..9)
        .fold(0, |nanos, place| nanos * 10 + u32::from(fraction.get(place).map_or(0, |digit| digit - b'0')));
    let seconds = i64::try_from(decimal(whole, WHAT)?).map_err(|_| TarProblem::TooLarge(WHAT))?;
    Ok(match (negative, nanos) {
        (false, _) => Time { seconds, nanos },
        (true, 0) => Time { seconds: -seconds, nanos },
        (true, _) => Time { seconds: -seconds - 1, nanos: 1_000_000_000 - nanos },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_fields() {
        let table: &[(&[u8], Result<u64, TarProblem>)] = &[
            (b"0000644\0", Ok(0o644)),
            (b"   644 \0", Ok(0o644)),
            (b"\0\0\0\0\0\0\0\0", Ok(0)),
            (b"77777777", Ok(0o7777_7777)),
            (b"12 garbage", Ok(0o12)),
            (b"\x80\0\0\0\0\0\0\0\0\x01\0\0", Ok(0x10000)),
            (b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", Ok(u64::MAX)),
            (b"\x80\0\0\x01\0\0\0\0\0\0\0\0", Err(TarProblem::TooLarge("size"))),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", Err(TarProblem::Negative("size"))),
            (b"-0000001", Err(TarProblem::Negative("size"))),
            (b"0000008\0", Err(TarProblem::Number("size"))),
        ];
        for (bytes, expected) in table {
            assert_eq!(&field(bytes, "size"), expected, "{bytes:?}");
        }
        assert_eq!(seconds(&[0xff; 12], "time"), Ok(-1));
    }

    #[test]
    fn decimals_and_times() {
        assert_eq!(decimal(b"18446744073709551615", "size"), Ok(u64::MAX));
        assert_eq!(decimal(b"18446744073709551616", "size"), Err(TarProblem::TooLarge("size")));
        assert_eq!(decimal(b"+1", "size"), Err(TarProblem::Number("size")));
        assert_eq!(decimal(b"", "size"), Err(TarProblem::Number("size")));
        let table: &[(&[u8], i64, u32)] = &[
            (b"1.5", 1, 500_000_000),
            (b"1700000000.1234567899", 1_700_000_000, 123_456_789),
            (b"-1.25", -2, 750_000_000),
            (b"-3", -3, 0),
            (b"-0.5", -1, 500_000_000),
            (b"7.", 7, 0),
        ];
        for &(text, seconds, nanos) in table {
            assert_eq!(time(text), Ok(Time { seconds, nanos }), "{text:?}");
        }
        assert_eq!(time(b"1.5x"), Err(TarProblem::Number("modification time")));
        assert_eq!(time(b".5"), Err(TarProblem::Number("modification time")));
    }
}
