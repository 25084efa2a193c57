//! An answer's head, with the same strictness as a request's: what a platform sends decides where the next answer on
//! its connection begins.

use super::field::{self, ConnectionOptions};
use super::malformed::Malformed;
use super::request::{parse_version, split_line};
use super::{FIELDS_MAX, Field, Framing, Version};

/// What was asked for, as far as it decides whether the answer has a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Head,
    Other,
}

/// The facts of an answer's head.
#[derive(Debug)]
pub struct ResponseHead<'h, 'b> {
    /// 100 to 599.
    pub status: u16,
    pub reason: &'b [u8],
    pub version: Version,
    pub fields: &'h [Field<'b>],
    pub framing: Framing,
    /// Whether the connection can serve another request.
    pub persistent: bool,
    options: ConnectionOptions,
}

impl<'b> ResponseHead<'_, 'b> {
    /// The first field of that name, without blanks around it.
    pub fn field(&self, name: &str) -> Option<&'b [u8]> {
        let found = self
            .fields
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name));
        found.map(|field| field.value)
    }

    /// Whether a field goes on to the client as far as connections are concerned.
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
    asked: Asked,
) -> Result<ResponseHead<'h, 'b>, Malformed> {
    let (line, lines) = split_line(head).ok_or(Malformed::StatusLine)?;
    let (version, status, reason) = parse_line(line)?;
    let fields = field::parse(lines, storage)?;
    let options = field::connection_options(fields)?;
    let framing = framing(fields, version, status, asked)?;
    let persistent = match (framing, version) {
        (Framing::Close, _) => false,
        (_, Version::Http11) => !options.close,
        (_, Version::Http10) => options.keep_alive && !options.close,
    };
    Ok(ResponseHead {
        status,
        reason,
        version,
        fields,
        framing,
        persistent,
        options,
    })
}

/// `HTTP/1.1 200 OK`; the reason may be empty (RFC 9112 section 4).
fn parse_line(line: &[u8]) -> Result<(Version, u16, &[u8]), Malformed> {
    let (version, rest) = line.split_at_checked(8).ok_or(Malformed::StatusLine)?;
    let version = parse_version(version)?;
    let (digits, reason) = match rest {
        [b' ', a, b, c] => ([*a, *b, *c], &b""[..]),
        [b' ', a, b, c, b' ', reason @ ..] => ([*a, *b, *c], reason),
        _ => return Err(Malformed::StatusLine),
    };
    if !digits.iter().all(u8::is_ascii_digit) || !(b'1'..=b'5').contains(&digits[0]) {
        return Err(Malformed::Status);
    }
    if !reason.iter().copied().all(field::is_value_byte) {
        return Err(Malformed::StatusLine);
    }
    let status = digits
        .iter()
        .fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
    Ok((version, status, reason))
}

/// RFC 9112 section 6.3.
fn framing(
    fields: &[Field<'_>],
    version: Version,
    status: u16,
    asked: Asked,
) -> Result<Framing, Malformed> {
    let has_coding = fields
        .iter()
        .any(|field| field.name.eq_ignore_ascii_case("transfer-encoding"));
    let length = field::content_length(fields)?;
    if has_coding && length.is_some() {
        return Err(Malformed::LengthAndCoding);
    }
    if has_coding && version == Version::Http10 {
        return Err(Malformed::CodingInOldVersion);
    }
    if matches!(status, 100..=199 | 204) && has_coding {
        return Err(Malformed::CodingWithoutBody);
    }
    let chunked = field::is_chunked(fields)?;
    Ok(match (asked, status, chunked, length) {
        (Asked::Head, ..) | (_, 100..=199 | 204 | 304, ..) => Framing::None,
        (_, _, true, _) => Framing::Chunked,
        (_, _, false, Some(length)) => Framing::Length(length),
        (_, _, false, None) => Framing::Close,
    })
}
