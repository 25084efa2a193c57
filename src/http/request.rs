//! A request's head: strict where two parsers could read it differently (RFC 9112 sections 3, 5, 6 and 11.2).

use super::field::{self, ConnectionOptions, is_token};
use super::malformed::Malformed;
use super::target::{Form, Target, is_host_and_port};
use super::{FIELDS_MAX, Field, Framing, TARGET_BYTES_MAX, Version};

/// The longest method; the longest registered one has 17 bytes.
const METHOD_BYTES_MAX: usize = 64;

/// The facts of a request's head.
#[derive(Debug)]
pub struct RequestHead<'h, 'b> {
    pub method: &'b str,
    pub target: Target<'b>,
    pub version: Version,
    pub fields: &'h [Field<'b>],
    pub framing: Framing,
    /// Whether the client keeps its connection for another request (RFC 9112 section 9.3).
    pub persistent: bool,
    /// `Expect: 100-continue` (RFC 9110 section 10.1.1).
    pub expects_continue: bool,
    /// `Connection: upgrade` with an `Upgrade` field, in HTTP/1.1 (RFC 9110 section 7.8).
    pub upgrade: bool,
    options: ConnectionOptions,
}

impl<'b> RequestHead<'_, 'b> {
    /// The first field of that name, without blanks around it.
    pub fn field(&self, name: &str) -> Option<&'b [u8]> {
        let found = self
            .fields
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name));
        found.map(|field| field.value)
    }

    /// Whether a field goes on to the platform as far as connections are concerned.
    pub fn passes(&self, name: &str) -> bool {
        field::passes(self.fields, self.options, name)
    }
}

/// Parses a whole head, its empty line included; its line ends were looked at when it was found.
///
/// # Errors
/// What is wrong with it.
pub fn parse<'h, 'b>(
    head: &'b [u8],
    storage: &'h mut [Field<'b>; FIELDS_MAX],
) -> Result<RequestHead<'h, 'b>, Malformed> {
    let (line, lines) = split_line(head).ok_or(Malformed::RequestLine)?;
    let (method, target, version) = parse_line(line)?;
    let fields = field::parse(lines, storage)?;
    let target = Target::parse(method, target)?;
    check_host(fields, version)?;
    let options = field::connection_options(fields)?;
    let framing = framing(fields, version)?;
    let persistent = match version {
        Version::Http11 => !options.close,
        Version::Http10 => options.keep_alive && !options.close,
    };
    Ok(RequestHead {
        method,
        target,
        version,
        fields,
        framing,
        persistent,
        expects_continue: expects_continue(fields, version)?,
        upgrade: version == Version::Http11
            && options.upgrade
            && field::items(fields, "upgrade").next().is_some(),
        options,
    })
}

/// The first line without its end, and what follows.
pub(super) fn split_line(head: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = head.iter().position(|byte| *byte == b'\n')?;
    let line = head[..end].strip_suffix(b"\r")?;
    Some((line, &head[end + 1..]))
}

fn parse_line(line: &[u8]) -> Result<(&str, &str, Version), Malformed> {
    let method_end = line
        .iter()
        .position(|byte| *byte == b' ')
        .ok_or(Malformed::RequestLine)?;
    let (method, rest) = (&line[..method_end], &line[method_end + 1..]);
    if method.len() > METHOD_BYTES_MAX || !is_token(method) {
        return Err(Malformed::Method);
    }
    let target_end = rest
        .iter()
        .rposition(|byte| *byte == b' ')
        .ok_or(Malformed::RequestLine)?;
    let (target, version) = (&rest[..target_end], &rest[target_end + 1..]);
    if target.len() > TARGET_BYTES_MAX {
        return Err(Malformed::TargetTooLong);
    }
    if target.iter().any(u8::is_ascii_whitespace) || target.is_empty() {
        return Err(Malformed::RequestLine);
    }
    let version = parse_version(version)?;
    let method = std::str::from_utf8(method).map_err(|_| Malformed::Method)?;
    let target = std::str::from_utf8(target).map_err(|_| Malformed::TargetByte)?;
    Ok((method, target, version))
}

/// `HTTP/` and two digits (RFC 9112 section 2.3).
pub(super) fn parse_version(text: &[u8]) -> Result<Version, Malformed> {
    match text {
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => Ok(Version::Http11),
        [b'H', b'T', b'T', b'P', b'/', b'2'..=b'9', b'.', b'0'..=b'9'] => {
            Err(Malformed::VersionTooHigh)
        }
        _ => Err(Malformed::VersionSyntax),
    }
}

/// One valid Host in HTTP/1.1, at most one in HTTP/1.0 (RFC 9112 section 3.2).
fn check_host(fields: &[Field<'_>], version: Version) -> Result<(), Malformed> {
    let mut hosts = fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case("host"));
    match (hosts.next(), hosts.next(), version) {
        (Some(_), Some(_), _) => Err(Malformed::HostTwice),
        (Some(host), None, _) if is_host_and_port(host.value) => Ok(()),
        (Some(_), None, _) => Err(Malformed::HostInvalid),
        (None, _, Version::Http10) => Ok(()),
        (None, _, Version::Http11) => Err(Malformed::HostMissing),
    }
}

fn framing(fields: &[Field<'_>], version: Version) -> Result<Framing, Malformed> {
    let has_coding = fields
        .iter()
        .any(|field| field.name.eq_ignore_ascii_case("transfer-encoding"));
    let length = field::content_length(fields)?;
    match (has_coding, length, version) {
        (true, Some(_), _) => Err(Malformed::LengthAndCoding),
        (true, None, Version::Http10) => Err(Malformed::CodingInOldVersion),
        (true, None, Version::Http11) => field::is_chunked(fields).map(|_| Framing::Chunked),
        (false, Some(length), _) => Ok(Framing::Length(length)),
        (false, None, _) => Ok(Framing::None),
    }
}

/// An expectation in HTTP/1.0 is ignored (RFC 9110 section 10.1.1).
fn expects_continue(fields: &[Field<'_>], version: Version) -> Result<bool, Malformed> {
    if version == Version::Http10 {
        return Ok(false);
    }
    let mut expects = false;
    for item in field::items(fields, "expect") {
        match item.eq_ignore_ascii_case(b"100-continue") {
            true => expects = true,
            false => return Err(Malformed::Expectation),
        }
    }
    Ok(expects)
}

/// Whether a target of this form names its authority itself.
pub fn names_authority(form: Form) -> bool {
    match form {
        Form::Absolute | Form::Authority => true,
        Form::Origin | Form::Asterisk => false,
    }
}
