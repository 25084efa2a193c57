//! Fast searches for the next byte that matters. They do not know what the bytes mean.

use memchr::{memchr, memchr2, memrchr2};

/// How many bytes are tested at once. The compiler turns a test of this many without an early exit into a few vector
/// instructions, which passes long strings several times faster than byte by byte.
const STEP_BYTES: usize = 32;

/// Most brackets and quotes come within this many bytes, where byte by byte is faster; long lists of numbers have none.
const NEAR_BYTES: usize = 16;

/// The length of `bytes` up to the first quote or backslash: the search within a JSON string.
pub fn until_quote_or_backslash(bytes: &[u8]) -> usize {
    // Most keys and many values are shorter than two words, which are tested faster than the vector search is set up.
    for (place, word) in bytes.as_chunks().0.iter().take(2).enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = equal_bytes(word, b'"') | equal_bytes(word, b'\\');
        if found != 0 {
            return place * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len())
}

/// Sets the highest bit of the first byte of the eight that equals `byte` and of none before it; later ones may have
/// it.
fn equal_bytes(word: u64, byte: u8) -> u64 {
    const LOWEST: u64 = u64::from_le_bytes([1; 8]);
    let zero_where_equal = word ^ (LOWEST * u64::from(byte));
    zero_where_equal.wrapping_sub(LOWEST) & !zero_where_equal & (LOWEST << 7)
}

/// The length of `bytes` up to the first square or curly bracket or quote: the search in JSON outside of strings.
pub fn until_bracket_or_quote(bytes: &[u8]) -> usize {
    let first = |bytes: &[u8]| bytes.iter().position(|&byte| is_bracket_or_quote(byte));
    let (near, far) = bytes.split_at(bytes.len().min(NEAR_BYTES));
    if let Some(place) = first(near) {
        return place;
    }
    let mut passed = near.len();
    for step in far.chunks_exact(STEP_BYTES) {
        if step
            .iter()
            .fold(false, |found, &byte| found | is_bracket_or_quote(byte))
        {
            break;
        }
        passed += STEP_BYTES;
    }
    passed + first(&bytes[passed..]).unwrap_or(bytes.len() - passed)
}

/// Square brackets differ from curly ones in one bit.
fn is_bracket_or_quote(byte: u8) -> bool {
    (byte | 0x20 == b'{') | (byte | 0x20 == b'}') | (byte == b'"')
}

/// Whether `bytes` contain a dot or a percent sign.
pub fn holds_dot_or_percent(bytes: &[u8]) -> bool {
    memchr2(b'.', b'%', bytes).is_some()
}

/// The position of the first carriage return or line feed.
pub fn until_line_end(bytes: &[u8]) -> Option<usize> {
    memchr2(b'\r', b'\n', bytes)
}

/// What follows the last carriage return or line feed.
pub fn last_line(bytes: &[u8]) -> &[u8] {
    let start = memrchr2(b'\r', b'\n', bytes).map_or(0, |end| end + 1);
    &bytes[start..]
}

/// The position of the first backslash.
pub fn until_backslash(bytes: &[u8]) -> Option<usize> {
    memchr(b'\\', bytes)
}

/// The position of the first question mark.
pub fn until_question_mark(bytes: &[u8]) -> Option<usize> {
    memchr(b'?', bytes)
}

/// The position of the first line feed.
pub fn until_line_feed(bytes: &[u8]) -> Option<usize> {
    memchr(b'\n', bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_every_byte() {
        for length in 0..100 {
            for place in 0..=length {
                for byte in 0..=255 {
                    let mut bytes = vec![b'.'; length];
                    if place < length {
                        bytes[place] = byte;
                    }
                    let want = |set: &[u8]| if set.contains(&byte) { place } else { length };
                    assert_eq!(
                        until_quote_or_backslash(&bytes),
                        want(b"\"\\"),
                        "{byte} at {place} of {length}"
                    );
                    assert_eq!(
                        until_bracket_or_quote(&bytes),
                        want(b"\"[]{}"),
                        "{byte} at {place} of {length}"
                    );
                    let line = want(b"\r\n");
                    let start = if line < length { line + 1 } else { 0 };
                    assert_eq!(last_line(&bytes), &bytes[start..]);
                    assert_eq!(
                        until_line_end(&bytes),
                        (line < length).then_some(line),
                        "{byte} at {place} of {length}"
                    );
                }
            }
        }
    }
}
