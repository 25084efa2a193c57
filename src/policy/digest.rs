//! Keys by their SHA-256: how they are named in figures and written to disk.

use std::fmt;

/// The SHA-256 of a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Digest([u8; 32]);

/// The first 12 hex digits of a digest: what a key is called where it must not be shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyLabel([u8; 12]);

impl Digest {
    pub fn of(text: &[u8]) -> Digest {
        let digest = ring::digest::digest(&ring::digest::SHA256, text);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Digest(bytes)
    }

    /// One that was kept elsewhere.
    pub fn from_bytes(bytes: [u8; 32]) -> Digest {
        Digest(bytes)
    }

    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub fn label(&self) -> KeyLabel {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut label = [0; 12];
        for (place, digit) in label.iter_mut().enumerate() {
            let byte = self.0[place / 2];
            *digit = DIGITS[usize::from(if place % 2 == 0 { byte >> 4 } else { byte & 15 })];
        }
        KeyLabel(label)
    }
}

impl KeyLabel {
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for KeyLabel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl fmt::Debug for KeyLabel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_the_first_twelve_hex_digits_of_sha256() {
        for (text, want) in [("", "e3b0c44298fc"), ("abc", "ba7816bf8f01")] {
            assert_eq!(Digest::of(text.as_bytes()).label().as_str(), want);
        }
    }
}
