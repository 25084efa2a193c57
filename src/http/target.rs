//! Request targets (RFC 9112 section 3.2) and the hosts in them.

use super::malformed::Malformed;

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'b> {
    pub form: Form,
    /// The path, `/` where an absolute form has none.
    pub path: &'b str,
    pub query: Option<&'b str>,
}

/// The four forms of RFC 9112 section 3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Origin,
    Absolute,
    /// CONNECT only.
    Authority,
    /// OPTIONS only.
    Asterisk,
}

impl<'b> Target<'b> {
    /// Parses the target of a request with `method`.
    ///
    /// # Errors
    /// A byte that does not belong there, or a form that does not go with the method.
    pub fn parse(method: &str, text: &'b str) -> Result<Target<'b>, Malformed> {
        if !text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#')
            || text.is_empty()
        {
            return Err(Malformed::TargetByte);
        }
        if method == "CONNECT" {
            let port = text.rsplit_once(':').filter(|(_, port)| !port.is_empty());
            return match port.is_some() && is_host_and_port(text.as_bytes()) {
                true => Ok(Target {
                    form: Form::Authority,
                    path: "",
                    query: None,
                }),
                false => Err(Malformed::Authority),
            };
        }
        if text == "*" {
            return match method == "OPTIONS" {
                true => Ok(Target {
                    form: Form::Asterisk,
                    path: "*",
                    query: None,
                }),
                false => Err(Malformed::TargetForm),
            };
        }
        if text.starts_with('/') {
            return Ok(Target::of_path(Form::Origin, text));
        }
        let (scheme, rest) = text.split_once("://").ok_or(Malformed::TargetForm)?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return Err(Malformed::TargetForm);
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        if !is_host_and_port(rest[..end].as_bytes()) {
            return Err(Malformed::Authority);
        }
        Ok(Target::of_path(Form::Absolute, &rest[end..]))
    }

    fn of_path(form: Form, text: &'b str) -> Target<'b> {
        let (path, query) = match text.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (text, None),
        };
        let path = if path.is_empty() { "/" } else { path };
        Target { form, path, query }
    }
}

/// `uri-host [":" port]` of RFC 9110 section 7.2, without user information.
pub fn is_host_and_port(text: &[u8]) -> bool {
    let (host, port) = match text {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|byte| *byte == b']') else {
                return false;
            };
            let literal = std::str::from_utf8(&rest[..end]).unwrap_or_default();
            if literal.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            match &rest[end + 1..] {
                [] => return true,
                [b':', port @ ..] => return is_port(port),
                _ => return false,
            }
        }
        _ => match text.iter().position(|byte| *byte == b':') {
            Some(colon) => (&text[..colon], &text[colon + 1..]),
            None => (text, &b""[..]),
        },
    };
    !host.is_empty() && host.iter().copied().all(is_host_byte) && is_port(port)
}

fn is_port(text: &[u8]) -> bool {
    text.len() <= 5
        && text.iter().all(u8::is_ascii_digit)
        && std::str::from_utf8(text)
            .is_ok_and(|text| text.is_empty() || text.parse::<u16>().is_ok())
}

/// A byte of a registered name (RFC 3986 section 3.2.2).
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte)
}

/// Whether `.` and `..` segments would lead out of the start of `path`, however they are written.
pub fn climbs(path: &str) -> bool {
    let mut depth = 0i32;
    let bytes = path.as_bytes();
    let mut at = 0;
    loop {
        let (end, next) = segment_end(bytes, at);
        match dots(&bytes[at..end]) {
            Some(1) => {}
            Some(_) => depth -= 1,
            None if end > at => depth += 1,
            None => {}
        }
        if depth < 0 {
            return true;
        }
        match next {
            Some(next) => at = next,
            None => return false,
        }
    }
}

/// Where the segment that begins at `start` ends, and where the next one begins. Encoded slashes and backslashes
/// separate too: some platforms read them so.
fn segment_end(bytes: &[u8], start: usize) -> (usize, Option<usize>) {
    let mut at = start;
    while at < bytes.len() {
        match bytes[at..] {
            [b'/' | b'\\', ..] => return (at, Some(at + 1)),
            [b'%', b'2', b'f' | b'F', ..] | [b'%', b'5', b'c' | b'C', ..] => {
                return (at, Some(at + 3));
            }
            _ => at += 1,
        }
    }
    (at, None)
}

/// How many dots a segment of nothing but one or two of them has; parameters after them (`..;x`) do not count.
fn dots(segment: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut count = 0;
    while at < segment.len() {
        match segment[at..] {
            [b'.', ..] => at += 1,
            [b'%', b'2', b'e' | b'E', ..] => at += 3,
            [b';', ..] if count > 0 => break,
            _ => return None,
        }
        count += 1;
    }
    (1..=2).contains(&count).then_some(count)
}
