//! Keys by their SHA-256: how they are named in figures and written to disk.

use std::fmt::Write;

use crate::base::text::Text;

/// The SHA-256 of a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Digest([u8; 32]);

/// The first 12 hex digits of a digest: what a key is called where it must not be shown.
pub type KeyLabel = Text<12>;

impl Digest {
    pub fn of(text: &[u8]) -> Digest {
        let digest = ring::digest::digest(&ring::digest::SHA256, text);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Digest(bytes)
    }

    /// A digest that was stored elsewhere.
    pub fn from_bytes(bytes: [u8; 32]) -> Digest {
        Digest(bytes)
    }

    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub fn label(&self) -> KeyLabel {
        let mut label = KeyLabel::default();
        for byte in &self.0[..6] {
            // There is room for all of them.
            let _ = write!(label, "{byte:02x}");
        }
        label
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
