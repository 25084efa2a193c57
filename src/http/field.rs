//! The small grammar that all fields share (RFC 9110 section 5): tokens, lists, hop-by-hop names.

use super::Field;
use super::malformed::Malformed;

/// Fields that concern one connection only (RFC 9110 section 7.6.1). `Upgrade` is among them; whoever tunnels sets it
/// anew.
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// A byte of a token (RFC 9110 section 5.6.2).
pub const fn is_token_byte(byte: u8) -> bool {
    matches!(byte,
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z')
}

/// Whether `text` is a token.
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().copied().all(is_token_byte)
}

/// A byte that may stand in a field's value (RFC 9110 section 5.5).
pub const fn is_value_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..=0xff)
}

/// The items of a comma-separated list, without the white space around them. Empty items are left out
/// (RFC 9110 section 5.6.1.2).
pub fn list_items(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(trim_blanks)
        .filter(|item| !item.is_empty())
}

/// Without spaces and tabs at both ends.
pub fn trim_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// Every item of every field of that name.
pub fn items<'f, 'b>(
    fields: &'f [Field<'b>],
    name: &'f str,
) -> impl Iterator<Item = &'b [u8]> + 'f {
    fields
        .iter()
        .filter(move |field| field.name.eq_ignore_ascii_case(name))
        .flat_map(|field| list_items(field.value))
}

/// What the `Connection` fields say (RFC 9112 section 9.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionOptions {
    pub close: bool,
    pub keep_alive: bool,
    pub upgrade: bool,
    /// Names that are no well-known option: fields that end here.
    pub names_fields: bool,
}

/// Reads the `Connection` fields.
///
/// # Errors
/// An item is no token.
pub fn connection_options(fields: &[Field<'_>]) -> Result<ConnectionOptions, Malformed> {
    let mut options = ConnectionOptions::default();
    for item in items(fields, "connection") {
        if !is_token(item) {
            return Err(Malformed::ConnectionInvalid);
        }
        match item {
            item if item.eq_ignore_ascii_case(b"close") => options.close = true,
            item if item.eq_ignore_ascii_case(b"keep-alive") => options.keep_alive = true,
            item if item.eq_ignore_ascii_case(b"upgrade") => options.upgrade = true,
            _ => options.names_fields = true,
        }
    }
    Ok(options)
}

/// Whether a field goes on to the other side: neither hop-by-hop nor named by `Connection`. What frames and routes
/// cannot be removed that way.
pub fn passes(fields: &[Field<'_>], options: ConnectionOptions, name: &str) -> bool {
    if HOP_BY_HOP.iter().any(|hop| name.eq_ignore_ascii_case(hop)) {
        return false;
    }
    let named = options.names_fields
        && !["content-length", "host"]
            .iter()
            .any(|kept| name.eq_ignore_ascii_case(kept))
        && items(fields, "connection").any(|item| item.eq_ignore_ascii_case(name.as_bytes()));
    !named
}

/// The one `Content-Length` (RFC 9110 section 8.6): several, even equal ones, and lists are refused.
///
/// # Errors
/// What is wrong with it.
pub fn content_length(fields: &[Field<'_>]) -> Result<Option<u64>, Malformed> {
    let mut values = fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case("content-length"));
    let Some(first) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Malformed::LengthTwice);
    }
    let digits = trim_blanks(first.value);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Malformed::LengthInvalid);
    }
    let text = std::str::from_utf8(digits).map_err(|_| Malformed::LengthInvalid)?;
    text.parse().map(Some).map_err(|_| Malformed::LengthInvalid)
}

/// Whether `Transfer-Encoding` is there; if so it is chunked and nothing else (RFC 9112 section 6.1).
///
/// # Errors
/// What is wrong with it.
pub fn is_chunked(fields: &[Field<'_>]) -> Result<bool, Malformed> {
    if !fields
        .iter()
        .any(|field| field.name.eq_ignore_ascii_case("transfer-encoding"))
    {
        return Ok(false);
    }
    let mut last_is_chunked = false;
    let mut chunked = 0;
    let mut others = 0;
    for item in items(fields, "transfer-encoding") {
        let name = trim_blanks(item.split(|byte| *byte == b';').next().unwrap_or_default());
        if !is_token(name) {
            return Err(Malformed::CodingInvalid);
        }
        last_is_chunked = item.eq_ignore_ascii_case(b"chunked");
        match name.eq_ignore_ascii_case(b"chunked") {
            true => chunked += 1,
            false => others += 1,
        }
    }
    match (last_is_chunked, chunked, others) {
        (true, 1, 0) => Ok(true),
        (true, 1, _) => Err(Malformed::CodingUnknown),
        _ => Err(Malformed::CodingNotChunkedLast),
    }
}

/// Parses field lines, the empty line at their end included.
///
/// # Errors
/// What is wrong with them. Line ends have been looked at before.
pub fn parse<'h, 'b>(
    lines: &'b [u8],
    storage: &'h mut [Field<'b>],
) -> Result<&'h [Field<'b>], Malformed> {
    match httparse::parse_headers(lines, storage) {
        Ok(httparse::Status::Complete((length, fields))) if length == lines.len() => {
            match fields
                .iter()
                .all(|field| field.value.iter().copied().all(is_value_byte))
            {
                true => Ok(fields),
                false => Err(Malformed::FieldValue),
            }
        }
        Ok(_) => Err(Malformed::FieldName),
        Err(httparse::Error::TooManyHeaders) => Err(Malformed::TooManyFields),
        Err(httparse::Error::HeaderValue) => Err(Malformed::FieldValue),
        Err(_) => match lines
            .windows(3)
            .any(|place| matches!(place, [b'\r', b'\n', b' ' | b'\t']))
        {
            true => Err(Malformed::FoldedLine),
            false => Err(Malformed::FieldName),
        },
    }
}
