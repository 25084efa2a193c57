//! A short text stored inline, cut at its bound: for remembering parts of a request without an allocation.

use std::fmt;

/// At most `N` bytes of UTF-8 (`N` up to 255).
#[derive(Clone, Copy)]
pub struct Text<const N: usize> {
    length: u8,
    bytes: [u8; N],
}

impl<const N: usize> Text<N> {
    /// Holds `text`, cut at the last character that fits.
    pub const fn new(text: &str) -> Text<N> {
        const { assert!(N <= 255) };
        let mut length = if text.len() < N { text.len() } else { N };
        while !text.is_char_boundary(length) {
            length -= 1;
        }
        let mut bytes = [0; N];
        let (kept, _) = text.as_bytes().split_at(length);
        bytes.split_at_mut(length).0.copy_from_slice(kept);
        Text {
            length: length as u8,
            bytes,
        }
    }

    /// Appends 16 hexadecimal digits, the least significant first; the caller ensures that there is room.
    pub fn push_hex(&mut self, mut bits: u64) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let start = usize::from(self.length);
        for digit in &mut self.bytes[start..start + 16] {
            *digit = DIGITS[(bits & 15) as usize];
            bits >>= 4;
        }
        self.length += 16;
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

/// Appends what fits; an error if that is not everything.
impl<const N: usize> fmt::Write for Text<N> {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let start = usize::from(self.length);
        let mut count = more.len().min(N - start);
        while !more.is_char_boundary(count) {
            count -= 1;
        }
        self.bytes[start..start + count].copy_from_slice(&more.as_bytes()[..count]);
        self.length += count as u8;
        match count == more.len() {
            true => Ok(()),
            false => Err(fmt::Error),
        }
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Text {
            length: 0,
            bytes: [0; N],
        }
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), out)
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// The name of an AI platform's model. The longest in use, with a vendor's prefix and a variant, have about 80 bytes.
pub type Model = Text<MODEL_BYTES_MAX>;

pub const MODEL_BYTES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        for (text, want) in [
            ("", ""),
            ("abcd", "abcd"),
            ("abcdef", "abcd"),
            ("abcé", "abc"),
            ("éé", "éé"),
        ] {
            assert_eq!(Text::<4>::new(text).as_str(), want);
        }
    }

    #[test]
    fn writing_appends_up_to_the_bound() {
        use std::fmt::Write;
        let mut text = Text::<6>::default();
        assert_eq!(write!(text, "{}m{}", 1, 2), Ok(()));
        assert_eq!(text.as_str(), "1m2");
        assert_eq!(write!(text, "abé"), Err(fmt::Error));
        assert_eq!(text.as_str(), "1m2ab");
    }
}
