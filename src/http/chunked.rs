//! The chunked coding (RFC 9112 section 7.1), read to the letter: any flaw in a size line, an extension or a trailer is
//! an error, since two readers could see different ends of the body.

use super::Field;
use super::body::Decoded;
use super::field::{self, is_token_byte};
use super::malformed::Malformed;

/// The longest size line, extensions and line end included.
pub const CHUNK_LINE_BYTES_MAX: usize = 4096;

/// The longest trailer section, its empty line included.
pub const TRAILER_BYTES_MAX: usize = 8192;

/// The most trailer fields.
pub const TRAILER_FIELDS_MAX: usize = 64;

/// Trailer fields that frame, route, authenticate or modify the message: they must not come late (RFC 9110
/// section 6.5.1).
const FORBIDDEN_TRAILERS: [&str; 38] = [
    "age",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "expires",
    "forwarded",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "retry-after",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "www-authenticate",
    "x-api-key",
    "api-key",
];

/// Where in a chunked body the reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunked {
    /// Before a size line of which so many bytes have been looked at.
    Size {
        looked_at: usize,
    },
    Data {
        left: u64,
    },
    /// Before the CR LF after a chunk's data.
    DataEnd,
    /// Before the trailer section; so many bytes have been looked at, and its last line began there.
    Trailers {
        looked_at: usize,
        line_start: usize,
    },
    Done,
}

impl Chunked {
    pub const START: Chunked = Chunked::Size { looked_at: 0 };

    /// Reads what stands at the beginning of `input`.
    pub fn decode<'b>(&mut self, input: &'b [u8]) -> Result<Decoded<'b>, Malformed> {
        match *self {
            Chunked::Size { looked_at } => self.size(input, looked_at),
            Chunked::Data { .. } if input.is_empty() => Ok(Decoded::NeedMore),
            Chunked::Data { left } => {
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                *self = match left - count as u64 {
                    0 => Chunked::DataEnd,
                    left => Chunked::Data { left },
                };
                Ok(Decoded::Data {
                    consumed: count,
                    data: &input[..count],
                })
            }
            Chunked::DataEnd => match input {
                [] | [b'\r'] => Ok(Decoded::NeedMore),
                [b'\r', b'\n', ..] => {
                    *self = Chunked::START;
                    Ok(Decoded::Skip { consumed: 2 })
                }
                _ => Err(Malformed::ChunkEnd),
            },
            Chunked::Trailers {
                looked_at,
                line_start,
            } => self.trailers(input, looked_at, line_start),
            Chunked::Done => Ok(Decoded::End),
        }
    }

    fn size<'b>(&mut self, input: &'b [u8], looked_at: usize) -> Result<Decoded<'b>, Malformed> {
        let Some(offset) = input[looked_at..].iter().position(|byte| *byte == b'\n') else {
            *self = Chunked::Size {
                looked_at: input.len(),
            };
            return match input.len() > CHUNK_LINE_BYTES_MAX {
                true => Err(Malformed::ChunkLineTooLong),
                false => check_begun(input).map(|()| Decoded::NeedMore),
            };
        };
        let end = looked_at + offset;
        if end + 1 > CHUNK_LINE_BYTES_MAX {
            return Err(Malformed::ChunkLineTooLong);
        }
        let line = input[..end]
            .strip_suffix(b"\r")
            .ok_or(Malformed::ChunkSize)?;
        *self = match parse_size_line(line)? {
            0 => Chunked::Trailers {
                looked_at: 0,
                line_start: 0,
            },
            left => Chunked::Data { left },
        };
        Ok(Decoded::Skip { consumed: end + 1 })
    }

    fn trailers<'b>(
        &mut self,
        input: &'b [u8],
        mut looked_at: usize,
        mut line_start: usize,
    ) -> Result<Decoded<'b>, Malformed> {
        while let Some(offset) = input[looked_at..].iter().position(|byte| *byte == b'\n') {
            let line_feed = looked_at + offset;
            if line_feed == line_start || input[line_feed - 1] != b'\r' {
                return Err(Malformed::TrailerInvalid);
            }
            if line_feed == line_start + 1 {
                let consumed = line_feed + 1;
                if consumed > TRAILER_BYTES_MAX {
                    return Err(Malformed::TrailerTooLong);
                }
                let mut storage = [httparse::EMPTY_HEADER; TRAILER_FIELDS_MAX];
                field::parse(&input[..consumed], &mut storage)
                    .map_err(|_| Malformed::TrailerInvalid)?;
                *self = Chunked::Done;
                return Ok(Decoded::Trailers {
                    consumed,
                    section: &input[..consumed],
                });
            }
            looked_at = line_feed + 1;
            line_start = looked_at;
        }
        *self = Chunked::Trailers {
            looked_at: input.len(),
            line_start,
        };
        match input.len() > TRAILER_BYTES_MAX {
            true => Err(Malformed::TrailerTooLong),
            false => Ok(Decoded::NeedMore),
        }
    }
}

/// What can be seen of an unfinished size line: it begins with hexadecimal digits.
fn check_begun(line: &[u8]) -> Result<(), Malformed> {
    match line.first() {
        Some(first) if !first.is_ascii_hexdigit() => Err(Malformed::ChunkSize),
        _ => Ok(()),
    }
}

fn parse_size_line(line: &[u8]) -> Result<u64, Malformed> {
    let digits = line
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    if !(1..=16).contains(&digits) {
        return Err(Malformed::ChunkSize);
    }
    let size = line[..digits].iter().fold(0u64, |size, digit| {
        size << 4 | u64::from(char::from(*digit).to_digit(16).unwrap_or_default())
    });
    if !is_extension(&line[digits..]) {
        return Err(match line.get(digits) {
            Some(b';' | b' ' | b'\t') => Malformed::ChunkExtension,
            _ => Malformed::ChunkSize,
        });
    }
    Ok(size)
}

/// `chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )` (RFC 9112 section 7.1.1).
fn is_extension(mut text: &[u8]) -> bool {
    while !text.is_empty() {
        let Some((b';', rest)) = skip_blanks(text).split_first() else {
            return false;
        };
        let Some(rest) = skip_token(skip_blanks(rest)) else {
            return false;
        };
        text = match skip_blanks(rest).split_first() {
            Some((b'=', value)) => match skip_value(skip_blanks(value)) {
                Some(rest) => rest,
                None => return false,
            },
            _ => rest,
        };
    }
    true
}

fn skip_blanks(text: &[u8]) -> &[u8] {
    let count = text
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    &text[count..]
}

fn skip_token(text: &[u8]) -> Option<&[u8]> {
    let count = text.iter().take_while(|byte| is_token_byte(**byte)).count();
    (count > 0).then_some(&text[count..])
}

/// A token or a quoted string (RFC 9110 section 5.6.4).
fn skip_value(text: &[u8]) -> Option<&[u8]> {
    let [b'"', quoted @ ..] = text else {
        return skip_token(text);
    };
    let mut at = 0;
    loop {
        match quoted.get(at..)? {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', escaped, ..] if field::is_value_byte(*escaped) => at += 2,
            [byte, ..] if *byte != b'\\' && field::is_value_byte(*byte) => at += 1,
            _ => return None,
        }
    }
}

/// The size line of a chunk, without an allocation.
pub struct ChunkHead {
    bytes: [u8; 18],
    start: usize,
}

impl ChunkHead {
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// The size line of a chunk of `length` bytes.
pub fn chunk_head(length: usize) -> ChunkHead {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut bytes = [0; 18];
    bytes[16..].copy_from_slice(b"\r\n");
    let (mut start, mut left) = (16, length);
    loop {
        start -= 1;
        bytes[start] = DIGITS[left & 15];
        left >>= 4;
        if left == 0 {
            return ChunkHead { bytes, start };
        }
    }
}

/// The trailer fields that may be passed on.
pub fn trailer_fields<'h, 'b>(
    section: &'b [u8],
    storage: &'h mut [Field<'b>],
) -> impl Iterator<Item = &'h Field<'b>> {
    let fields: &'h [Field<'b>] = field::parse(section, storage).unwrap_or_default();
    fields.iter().filter(|field| may_trail(field.name))
}

fn may_trail(name: &str) -> bool {
    const PREFIX: &[u8] = b"x-forwarded-";
    let start = name.as_bytes().get(..PREFIX.len());
    !start.is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
        && !name.eq_ignore_ascii_case("x-goog-api-key")
        && !FORBIDDEN_TRAILERS
            .iter()
            .any(|forbidden| name.eq_ignore_ascii_case(forbidden))
}
