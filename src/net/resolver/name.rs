//! Host names as text: which are valid, and one normal form for all spellings.

/// The longest host name in text: 253 characters (255 octets on the wire, RFC 1035 section 2.3.4) and a trailing dot.
pub const NAME_BYTES_MAX: usize = 254;

/// The longest label (RFC 1035 section 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// The host's name in lower case, written into `buffer` so that a cached name is found without an allocation; `None` if
/// it cannot be a host name. A trailing dot is kept: it says that the search list is not to be used.
pub fn normalise<'a>(host: &str, buffer: &'a mut [u8; NAME_BYTES_MAX]) -> Option<&'a str> {
    if !is_host_name(host) {
        return None;
    }
    let name = &mut buffer[..host.len()];
    name.copy_from_slice(host.as_bytes());
    name.make_ascii_lowercase();
    std::str::from_utf8(name).ok()
}

/// Whether a name server can be asked for it: labels of letters, digits, `-` and, as seen in practice, `_`.
pub fn is_host_name(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.len() < NAME_BYTES_MAX && name.split('.').all(is_label)
}

/// Whether the (normalised) name means this machine and nothing else (RFC 6761 section 6.3).
pub fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_get_one_spelling_or_none() {
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "b".repeat(61));
        let rows = [
            ("api.Example.COM", Some("api.example.com")),
            ("api.example.com.", Some("api.example.com.")),
            ("a_b-c.1x", Some("a_b-c.1x")),
            ("", None),
            (".", None),
            ("a..b", None),
            (".a", None),
            ("a..", None),
            ("a b", None),
            ("a\\.b", None),
            ("a/b", None),
            ("[::1]", None),
            ("bücher.example", None),
            (label.as_str(), Some(label.as_str())),
            (&format!("{label}x"), None),
            (&longest, Some(longest.as_str())),
            (&format!("{longest}."), Some(&format!("{longest}."))),
            (&format!("{longest}c"), None),
        ];
        for (host, want) in rows {
            assert_eq!(normalise(host, &mut [0; NAME_BYTES_MAX]), want, "{host}");
        }
    }

    #[test]
    fn localhost_and_what_is_below_it() {
        let rows = [
            ("localhost", true),
            ("localhost.", true),
            ("a.b.localhost", true),
            ("a.localhost.", true),
            ("notlocalhost", false),
            ("localhost.example", false),
        ];
        for (name, want) in rows {
            assert_eq!(is_localhost(name), want, "{name}");
        }
    }
}
