//! Field names, which are compared without regard to case (RFC 9110 section 5.1), and groups of them that are treated
//! alike. Other tokens in values that case does not matter to are compared in the same way: options, codings, types.

/// Several names, all in lower case.
#[derive(Debug)]
pub struct Names<const COUNT: usize> {
    names: [&'static str; COUNT],
    /// The bit of each length that one of them has: most names that are not among them are known by that.
    lengths: u64,
}

impl<const COUNT: usize> Names<COUNT> {
    /// Each of at most 63 bytes, which are as for [`is`].
    pub const fn new(names: [&'static str; COUNT]) -> Self {
        let (mut lengths, mut place) = (0, 0);
        while place < COUNT {
            assert!(is_known(names[place]));
            lengths |= 1 << names[place].len();
            place += 1;
        }
        Names { names, lengths }
    }

    /// The place of `name` among them. It is as for [`is`].
    #[inline]
    pub fn place_of(&self, name: impl AsRef<[u8]>) -> Option<usize> {
        let name = name.as_ref();
        let is_length = self.lengths.checked_shr(name.len() as u32).unwrap_or(0) & 1 == 1;
        match is_length {
            true => self.names.iter().position(|known| is(name, known)),
            false => None,
        }
    }

    /// Whether `name` is one of them. It is as for [`is`].
    #[inline]
    pub fn has(&self, name: impl AsRef<[u8]>) -> bool {
        self.place_of(name).is_some()
    }

    pub const fn count(&self) -> usize {
        COUNT
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.into_iter()
    }
}

const fn is_known(name: &str) -> bool {
    let (bytes, mut place) = (name.as_bytes(), 0);
    while place < bytes.len() {
        if !matches!(bytes[place], b'a'..=b'z' | b'0'..=b'9' | b'-' | b'+' | b'/') {
            return false;
        }
        place += 1;
    }
    true
}

/// Whether `name`, which holds no control characters but tabs, is `known`, which consists of lower-case letters, digits,
/// `-`, `+` and `/`.
#[inline]
pub fn is(name: impl AsRef<[u8]>, known: &str) -> bool {
    debug_assert!(is_known(known), "{known}");
    // All bytes of `known` have this bit. A byte that lacks it and becomes one of them with it is a letter.
    const LOWER: u64 = u64::from_le_bytes([0x20; 8]);
    let same_word = |name: &[u8; 8], known: &[u8; 8]| {
        u64::from_le_bytes(*name) | LOWER == u64::from_le_bytes(*known)
    };
    let (name, known) = (name.as_ref(), known.as_bytes());
    if name.len() != known.len() {
        return false;
    }
    match (name.last_chunk(), known.last_chunk()) {
        // The last word may overlap the one before it.
        (Some(name_end), Some(known_end)) => {
            let words = name.as_chunks().0.iter().zip(known.as_chunks().0);
            words
                .into_iter()
                .all(|(name, known)| same_word(name, known))
                && same_word(name_end, known_end)
        }
        _ => name
            .iter()
            .zip(known)
            .all(|(name, known)| name | 0x20 == *known),
    }
}

/// Whether `name` begins with `prefix`. Both are as for [`is`].
#[inline]
pub fn begins_with(name: &str, prefix: &str) -> bool {
    let start = name.as_bytes().get(..prefix.len());
    start.is_some_and(|start| is(start, prefix))
}

const FRAMING: Names<2> = Names::new(["content-length", "transfer-encoding"]);

/// Whether fields of this name say where a body ends. Code that writes a head writes its own.
#[inline]
pub fn is_framing(name: &str) -> bool {
    FRAMING.has(name)
}

/// Fields in which servers on a request's way identify the client that they serve.
const OF_CLIENT: Names<10> = Names::new([
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "x-original-forwarded-for",
    "x-envoy-external-address",
    "true-client-ip",
    "fly-client-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
]);

/// Whether a field of this name identifies a client for whom its sender speaks.
#[inline]
pub fn tells_of_client(name: &str) -> bool {
    begins_with(name, "x-forwarded-") || OF_CLIENT.has(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_regard_to_case() {
        let rows = [
            ("te", "te", true),
            ("TE", "te", true),
            ("tE", "te", true),
            ("ta", "te", false),
            ("t", "te", false),
            ("", "te", false),
            ("x-key", "x-key", true),
            ("X-Key", "x-key", true),
            ("x_key", "x-key", false),
            ("x-Key1234", "x-key1234", true),
            ("x-Key1235", "x-key1234", false),
            ("y-Key1234", "x-key1234", false),
            ("Transfer-Encoding", "transfer-encoding", true),
            ("Transfer-Encodinh", "transfer-encoding", false),
            ("Transfer-encodin", "transfer-encoding", false),
            ("Transfer_Encoding", "transfer-encoding", false),
        ];
        for (name, known, want) in rows {
            assert_eq!(is(name, known), want, "{name}");
            assert_eq!(Names::new(["a", known]).has(name), want, "{name}");
        }
    }

    #[test]
    fn every_byte_of_a_token_is_told_apart() {
        let tokens = (0..=255).filter(|byte| super::super::field::is_token_byte(*byte));
        for byte in tokens {
            for place in 0..10 {
                let mut name = *b"abcdefgh-1";
                let want = byte.to_ascii_lowercase() == name[place];
                name[place] = byte;
                assert_eq!(is(name, "abcdefgh-1"), want, "{}", name.escape_ascii());
            }
        }
    }

    #[test]
    fn a_name_has_its_place() {
        let names = Names::new(["host", "date", "x-a"]);
        let rows = [
            ("Date", Some(1)),
            ("X-A", Some(2)),
            ("etag", None),
            ("age", None),
        ];
        for (name, want) in rows {
            assert_eq!(names.place_of(name), want, "{name}");
        }
        assert_eq!(names.place_of("x".repeat(1000)), None);
        assert_eq!(names.iter().count(), 3);
    }

    #[test]
    fn prefixes() {
        let rows = [
            ("X-Forwarded-For", true),
            ("x-forwarded-", true),
            ("x-forwarded", false),
            ("x_forwarded-for", false),
        ];
        for (name, want) in rows {
            assert_eq!(begins_with(name, "x-forwarded-"), want, "{name}");
        }
    }
}
