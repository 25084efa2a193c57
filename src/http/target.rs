//! The forms of a request target (RFC 9112 section 3.2), and whether a path climbs above its start.

use super::TARGET_BYTES_MAX;
use super::authority::{is_authority, is_authority_with_port};
use super::field::{is_blank, is_target_byte};
use super::malformed::Malformed;
use super::name;
use super::search::{holds_dot_or_percent, until_question_mark};

/// A request target in its parts, byte for byte as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'b> {
    pub form: Form,
    /// What follows the scheme and authority, beginning with `/`. In asterisk-form and authority-form it is the whole
    /// target.
    pub path: &'b str,
    /// What follows the first `?`.
    pub query: Option<&'b str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `/path?query`
    Origin,
    /// `http://host/path?query`
    Absolute,
    /// `host:port`, for CONNECT
    Authority,
    /// `*`, for OPTIONS
    Asterisk,
}

impl<'b> Target<'b> {
    /// Reads the target of a request with this method.
    ///
    /// # Errors
    /// It is too long, has a byte that is not allowed, or is in no form that the method allows.
    pub fn parse(target: &'b [u8], method: &str) -> Result<Target<'b>, Malformed> {
        if target.len() > TARGET_BYTES_MAX {
            return Err(Malformed::TargetTooLong);
        }
        if let Some(byte) = target.iter().find(|byte| !is_target_byte(**byte)) {
            return Err(match is_blank(*byte) {
                true => Malformed::TargetBlank,
                false => Malformed::TargetByte,
            });
        }
        let text = str::from_utf8(target).map_err(|_| Malformed::TargetByte)?;
        match (text, method) {
            ("", _) => Err(Malformed::TargetBlank),
            (_, "CONNECT") if is_authority_with_port(target) => {
                Ok(Target::whole(Form::Authority, text))
            }
            (_, "CONNECT") => Err(Malformed::TargetConnect),
            ("*", "OPTIONS") => Ok(Target::whole(Form::Asterisk, text)),
            ("*", _) => Err(Malformed::TargetAsterisk),
            _ if text.starts_with('/') => Ok(Target::split(Form::Origin, text)),
            _ => Target::absolute(text, method),
        }
    }

    fn absolute(text: &'b str, method: &str) -> Result<Target<'b>, Malformed> {
        let (scheme, rest) = text.split_once("://").ok_or(Malformed::TargetForm)?;
        if !name::is(scheme, "http") && !name::is(scheme, "https") {
            return Err(Malformed::TargetForm);
        }
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if !is_authority(authority.as_bytes()) {
            return Err(Malformed::TargetAuthority);
        }
        match (rest, method) {
            // RFC 9112 section 3.2.4: this asks through a proxy about the server as a whole.
            ("", "OPTIONS") => Ok(Target::whole(Form::Asterisk, "*")),
            _ => Ok(Target::split(Form::Absolute, rest)),
        }
    }

    fn whole(form: Form, path: &'b str) -> Target<'b> {
        let query = None;
        Target { form, path, query }
    }

    fn split(form: Form, text: &'b str) -> Target<'b> {
        let (path, query) = match until_question_mark(text.as_bytes()) {
            Some(end) => (&text[..end], Some(&text[end + 1..])),
            None => (text, None),
        };
        // An empty path, which absolute-form may have, means `/` (RFC 9110 section 4.2.3).
        let path = if path.is_empty() { "/" } else { path };
        Target { form, path, query }
    }
}

/// Whether the dot segments of `path` would lead above the place where it starts, as any server might read it.
///
/// Servers differ in what separates segments, and each way of reading can hide a climb that another sees, so all are
/// tried. Otherwise the path is read in the way that climbs the most: an encoded dot is a dot, several separators are
/// one, and what follows a `;` does not belong to a segment's name.
pub fn climbs(path: &str) -> bool {
    let path = path.as_bytes();
    holds_dot_or_percent(path) && READINGS.iter().any(|reading| reading.climbs(path))
}

/// What separates segments apart from `/`.
struct Reading {
    backslash: bool,
    encoded: bool,
}

const READINGS: [Reading; 4] = [
    Reading {
        backslash: false,
        encoded: false,
    },
    Reading {
        backslash: false,
        encoded: true,
    },
    Reading {
        backslash: true,
        encoded: false,
    },
    Reading {
        backslash: true,
        encoded: true,
    },
];

impl Reading {
    fn climbs(&self, path: &[u8]) -> bool {
        let mut depth = 0_usize;
        let mut rest = Some(path);
        while let Some(path) = rest {
            let (segment, after) = self.split_segment(path);
            depth = match (dots_only(segment), depth.checked_sub(1)) {
                (Some(0 | 1), _) => depth,
                (Some(2), Some(parent)) => parent,
                (Some(2), None) => return true,
                (Some(_) | None, _) => depth + 1,
            };
            rest = after;
        }
        false
    }

    /// The first segment, and what comes after its separator if there is one.
    fn split_segment<'p>(&self, path: &'p [u8]) -> (&'p [u8], Option<&'p [u8]>) {
        for place in 0..path.len() {
            let (segment, rest) = path.split_at(place);
            let separates = match rest {
                [b'/', ..] => 1,
                [b'\\', ..] if self.backslash => 1,
                [b'%', b'2', b'f' | b'F', ..] if self.encoded => 3,
                [b'%', b'5', b'c' | b'C', ..] if self.encoded && self.backslash => 3,
                _ => continue,
            };
            return (segment, Some(&rest[separates..]));
        }
        (path, None)
    }
}

/// How many dots a segment consists of, if it consists of dots only.
fn dots_only(mut segment: &[u8]) -> Option<usize> {
    let mut dots = 0;
    loop {
        segment = match segment {
            [] | [b';', ..] | [b'%', b'3', b'b' | b'B', ..] => return Some(dots),
            [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] => rest,
            _ => return None,
        };
        dots += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let rows = [
            ("GET", "/", "Origin / None"),
            ("GET", "/a/b", "Origin /a/b None"),
            ("GET", "/a?b=c", "Origin /a Some(\"b=c\")"),
            ("GET", "/a?", "Origin /a Some(\"\")"),
            ("GET", "/a?b?c", "Origin /a Some(\"b?c\")"),
            ("GET", "//a", "Origin //a None"),
            ("GET", "/a:b@c", "Origin /a:b@c None"),
            ("GET", "/%00%zz{|}", "Origin /%00%zz{|} None"),
            ("OPTIONS", "/a", "Origin /a None"),
            ("GET", "http://h", "Absolute / None"),
            ("GET", "http://h/", "Absolute / None"),
            ("GET", "http://h:1/a?b", "Absolute /a Some(\"b\")"),
            ("GET", "HTTPS://h/a", "Absolute /a None"),
            ("GET", "http://[::1]:2/a", "Absolute /a None"),
            ("GET", "http://h?b", "Absolute / Some(\"b\")"),
            ("GET", "http://h?b/c", "Absolute / Some(\"b/c\")"),
            ("OPTIONS", "http://h", "Asterisk * None"),
            ("OPTIONS", "http://h/", "Absolute / None"),
            ("OPTIONS", "http://h?a", "Absolute / Some(\"a\")"),
            ("OPTIONS", "*", "Asterisk * None"),
            ("CONNECT", "h:443", "Authority h:443 None"),
            ("CONNECT", "[::1]:443", "Authority [::1]:443 None"),
        ];
        for (method, target, want) in rows {
            let t = Target::parse(target.as_bytes(), method).unwrap();
            let got = format!("{:?} {} {:?}", t.form, t.path, t.query);
            assert_eq!(got, want, "{method} {target}");
        }
    }

    #[test]
    fn targets_that_are_refused() {
        let rows: [(&str, &[u8], Malformed); 25] = [
            ("CONNECT", b"h", Malformed::TargetConnect),
            ("CONNECT", b"h:", Malformed::TargetConnect),
            ("CONNECT", b"/", Malformed::TargetConnect),
            ("CONNECT", b"http://h:443/", Malformed::TargetConnect),
            ("CONNECT", b"u@h:443", Malformed::TargetConnect),
            ("GET", b"h:443", Malformed::TargetForm),
            ("GET", b"*", Malformed::TargetAsterisk),
            ("options", b"*", Malformed::TargetAsterisk),
            ("OPTIONS", b"*/", Malformed::TargetForm),
            ("GET", b"a", Malformed::TargetForm),
            ("GET", b"?a", Malformed::TargetForm),
            ("GET", b"http:/h/", Malformed::TargetForm),
            ("GET", b"http:h", Malformed::TargetForm),
            ("GET", b"ftp://h/", Malformed::TargetForm),
            ("GET", b"://h/", Malformed::TargetForm),
            ("GET", b"http://", Malformed::TargetAuthority),
            ("GET", b"http:///a", Malformed::TargetAuthority),
            ("GET", b"http://u:p@h/", Malformed::TargetAuthority),
            ("GET", b"http://h:x/", Malformed::TargetAuthority),
            ("GET", b"", Malformed::TargetBlank),
            ("GET", b" /", Malformed::TargetBlank),
            ("GET", b"/a b", Malformed::TargetBlank),
            ("GET", b"/\t", Malformed::TargetBlank),
            ("GET", b"/a#b", Malformed::TargetByte),
            ("GET", b"/caf\xc3\xa9", Malformed::TargetByte),
        ];
        for (method, target, want) in rows {
            let shown = target.escape_ascii();
            assert_eq!(Target::parse(target, method), Err(want), "{method} {shown}");
        }
    }

    #[test]
    fn only_visible_ascii_passes() {
        for byte in 0..=255u8 {
            let passes = (0x21..=0x7e).contains(&byte) && byte != b'#';
            assert_eq!(
                Target::parse(&[b'/', byte], "GET").is_ok(),
                passes,
                "{byte}"
            );
        }
    }

    #[test]
    fn a_target_has_32_kib_at_most() {
        let longest = "/".repeat(TARGET_BYTES_MAX);
        assert!(Target::parse(longest.as_bytes(), "GET").is_ok());
        let longer = longest + "/";
        assert_eq!(
            Target::parse(longer.as_bytes(), "GET"),
            Err(Malformed::TargetTooLong)
        );
    }

    #[test]
    fn paths_that_climb() {
        let rows = [
            ("", false),
            ("/", false),
            ("/a/b", false),
            ("a/../b", false),
            ("/a/..", false),
            ("/a/../", false),
            ("/./a/.", false),
            ("/...", false),
            ("/.../..", false),
            ("/..a/b..", false),
            ("/a..b", false),
            ("/a/b/../../c", false),
            ("/%2e", false),
            ("/%2e%2ea", false),
            ("/a/%2e%2E", false),
            ("/a%2f..", false),
            ("/%252e%252e/", false),
            ("/a;x/..", false),
            ("..", true),
            ("/..", true),
            ("/../a", true),
            ("/a/../..", true),
            ("/a/../../b/c", true),
            ("/./..", true),
            ("/a/./../..", true),
            ("/.%2e", true),
            ("/%2e.", true),
            ("/%2E%2e/a", true),
            ("/a/%2e%2e/%2e%2e", true),
            ("/%2e/..", true),
            ("/..%2fa", true),
            ("/..%2Fa", true),
            ("/a%2f..%2f..", true),
            ("/..\\a", true),
            ("/a\\..\\..", true),
            ("/..%5ca", true),
            ("/a%5C..%5C..", true),
            ("//..", true),
            ("/a//../..", true),
            ("/a/%2f../..", true),
            ("/a%2fb/../..", true),
            ("/a%2fb/..", false),
            ("/a\\b/../..", true),
            ("/a%5cb/../..", true),
            ("/a\\b%2f..%2f..", true),
            ("/a\\b%2fc/../..", true),
            ("/a\\b%2f..", false),
            ("/a%2fb\\..\\..", true),
            ("/org%2Fmodel-1.5", false),
            ("/..;/a", true),
            ("/..;x=1/a", true),
            ("/..%3bx/a", true),
            ("/.;x/..", true),
            ("/;x/..", true),
        ];
        for (path, want) in rows {
            assert_eq!(climbs(path), want, "{path}");
        }
    }
}
