//! A text that cannot be printed by accident: formatting it gives its preview.

use std::fmt;

/// A shorter key could be guessed. Anything shorter is not treated as a key and may be shown.
pub const KEY_CHARACTERS_MIN: usize = 8;

/// A longer key would crowd the head of every request.
pub const KEY_BYTES_MAX: usize = 4096;

/// A client's or a platform's key.
///
/// `Debug` and `Display` show the preview; the text itself is reached by [`Secret::expose`] alone, so that a search
/// for that word finds every place that touches it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(Box<str>);

impl Secret {
    pub fn new(text: impl Into<Box<str>>) -> Secret {
        Secret(text.into())
    }

    /// The text itself, for the wire and for hashing only.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// First 4 and last 4 characters with `…` between; `…` alone for 12 characters or fewer.
    pub fn preview(&self) -> String {
        let length = self.0.chars().count();
        if length <= 12 {
            return "…".to_string();
        }
        let first: String = self.0.chars().take(4).collect();
        let last: String = self.0.chars().skip(length - 4).collect();
        format!("{first}…{last}")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.preview())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn previews_never_hold_the_whole() {
        let rows = [
            ("", "…"),
            ("twelve-chars", "…"),
            ("thirteen-char", "thir…char"),
            ("sk-proj-0123456789", "sk-p…6789"),
            ("ключ-ключ-ключ", "ключ…ключ"),
        ];
        for (text, want) in rows {
            let secret = Secret::new(text);
            assert_eq!(secret.preview(), want);
            assert_eq!(format!("{secret} {secret:?}"), format!("{want} {want}"));
        }
    }
}
