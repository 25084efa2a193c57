//! The chunked coding (RFC 9112 section 7.1): decodes it, and writes the line before a chunk. Every flaw is an error:
//! where two parsers could see different chunks, one of them can be made to see another request.

use super::body::Decoded;
use super::chunk_line::parse_size;
use super::field::{Storage, parse_section};
use super::malformed::Malformed;
use super::scan::LineScan;
use super::{CHUNK_LINE_BYTES_MAX, TRAILER_BYTES_MAX};

/// By how much chunk lines may outweigh the data. Without this bound 4 KiB of extensions could come with each byte of
/// data, which no bound on the body's size would notice.
const OVERHEAD_BYTES_MAX: usize = 16 * 1024;

/// What each chunk line may have at no cost: a size and a short extension.
const LINE_BYTES_FREE: usize = 16;

/// The state of one chunked body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunks {
    stage: Stage,
    /// By how much the chunk lines outweigh the data.
    overhead_bytes: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// In a chunk's size and extensions.
    Line(LineScan),
    /// This many bytes of the chunk are still to come, at least one.
    Data(u64),
    /// In the line end after a chunk's data.
    DataEnd,
    /// After the last chunk.
    Trailers(LineScan),
}

impl Default for Chunks {
    fn default() -> Chunks {
        Chunks {
            stage: Stage::Line(LineScan::default()),
            overhead_bytes: 0,
        }
    }
}

impl Chunks {
    /// Decodes the beginning of `input`, which starts where the previous call's `consumed` ended. After
    /// `Decoded::Trailers` the body has ended.
    ///
    /// # Errors
    /// A chunk line, what follows a chunk's data, or a trailer section is malformed.
    pub fn decode<'b>(&mut self, input: &'b [u8]) -> Result<Decoded<'b>, Malformed> {
        let mut consumed = 0;
        let mut begins_with_plain_line = false;
        loop {
            let rest = &input[consumed..];
            match &mut self.stage {
                Stage::Line(lines) => match next_chunk(lines, rest)? {
                    None => return Ok(pause(consumed)),
                    Some(line) => {
                        begins_with_plain_line = line.is_plain && consumed == 0;
                        consumed += line.bytes;
                        self.weigh(line.bytes, line.size)?;
                        self.stage = match line.size {
                            0 => Stage::Trailers(LineScan::default()),
                            size => Stage::Data(size),
                        };
                    }
                },
                Stage::Data(_) if rest.is_empty() => return Ok(pause(consumed)),
                Stage::Data(left) => {
                    let size = usize::try_from(*left).unwrap_or(usize::MAX);
                    let (data, after) = rest.split_at(rest.len().min(size));
                    *left -= data.len() as u64;
                    consumed += data.len();
                    if *left == 0 {
                        self.stage = Stage::DataEnd;
                    }
                    // The line end follows the data, and usually arrives with it.
                    let is_whole = after.starts_with(b"\r\n");
                    if is_whole {
                        consumed += 2;
                        self.stage = Stage::Line(LineScan::default());
                    }
                    return Ok(Decoded::Data {
                        consumed,
                        data,
                        is_chunk: begins_with_plain_line && is_whole,
                    });
                }
                Stage::DataEnd => match rest {
                    [b'\r', b'\n', ..] => {
                        consumed += 2;
                        self.stage = Stage::Line(LineScan::default());
                    }
                    [] | [b'\r'] => return Ok(pause(consumed)),
                    _ => return Err(Malformed::ChunkEnd),
                },
                Stage::Trailers(lines) => {
                    return Ok(match trailer_section(lines, rest)? {
                        None => pause(consumed),
                        Some(section) => Decoded::Trailers {
                            consumed: consumed + section.len() + 2,
                            section,
                        },
                    });
                }
            }
        }
    }

    /// How many bytes of the present chunk are still to come.
    pub fn announced(&self) -> u64 {
        match self.stage {
            Stage::Data(left) => left,
            Stage::Line(_) | Stage::DataEnd | Stage::Trailers(_) => 0,
        }
    }

    fn weigh(&mut self, line_bytes: usize, size: u64) -> Result<(), Malformed> {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let allowed = size.saturating_add(LINE_BYTES_FREE);
        self.overhead_bytes = (self.overhead_bytes + line_bytes).saturating_sub(allowed);
        match self.overhead_bytes > OVERHEAD_BYTES_MAX {
            true => Err(Malformed::ChunkOverhead),
            false => Ok(()),
        }
    }
}

fn pause<'b>(consumed: usize) -> Decoded<'b> {
    match consumed {
        0 => Decoded::NeedMore,
        consumed => Decoded::Skip { consumed },
    }
}

/// The line before a chunk, as it was read.
struct ChunkLine {
    /// Its length, with the line end.
    bytes: usize,
    size: u64,
    /// Whether [`chunk_head`] would write the same.
    is_plain: bool,
}

/// The line at the beginning of `input`, once it has ended.
fn next_chunk(lines: &mut LineScan, input: &[u8]) -> Result<Option<ChunkLine>, Malformed> {
    match plain_line(input) {
        Some(line) => Ok(Some(line)),
        None => other_line(lines, input),
    }
}

#[inline(never)]
fn other_line(lines: &mut LineScan, input: &[u8]) -> Result<Option<ChunkLine>, Malformed> {
    if input.first().is_some_and(|byte| !byte.is_ascii_hexdigit()) {
        return Err(Malformed::ChunkSize);
    }
    match lines.next(input, CHUNK_LINE_BYTES_MAX)? {
        Some(line) => Ok(Some(ChunkLine {
            bytes: line.end + 2,
            size: parse_size(&input[line])?,
            is_plain: false,
        })),
        None if input.len() >= CHUNK_LINE_BYTES_MAX => Err(Malformed::ChunkLineTooLong),
        None => Ok(None),
    }
}

/// The field lines at the beginning of `input`, without the empty line after them, once that has arrived.
#[inline(never)]
fn trailer_section<'b>(
    lines: &mut LineScan,
    input: &'b [u8],
) -> Result<Option<&'b [u8]>, Malformed> {
    match lines.empty_line(input, TRAILER_BYTES_MAX)? {
        Some(2) => Ok(Some(&[])),
        Some(end) => {
            let mut storage = Storage::EMPTY;
            parse_section(&input[..end], &mut storage)?;
            Ok(Some(&input[..end - 2]))
        }
        None if input.len() >= TRAILER_BYTES_MAX => Err(Malformed::TrailersTooLong),
        None => Ok(None),
    }
}

/// The line before a chunk of data.
#[derive(Clone, Copy, Debug)]
pub struct ChunkHead {
    bytes: [u8; CHUNK_HEAD_BYTES_MAX],
    start: usize,
}

const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Hexadecimal digits of the largest size.
const SIZE_DIGITS_MAX: usize = 16;

const CHUNK_HEAD_BYTES_MAX: usize = SIZE_DIGITS_MAX + 2;

/// The line before a chunk of `length` bytes, which must not be 0: that would end the body.
pub fn chunk_head(length: usize) -> ChunkHead {
    let mut bytes = [b'\n'; CHUNK_HEAD_BYTES_MAX];
    let mut start = CHUNK_HEAD_BYTES_MAX - 2;
    bytes[start] = b'\r';
    let mut left = length;
    loop {
        start -= 1;
        bytes[start] = HEX_DIGITS[left % 16];
        left /= 16;
        if left == 0 {
            return ChunkHead { bytes, start };
        }
    }
}

/// The line at the beginning of `input`, if [`chunk_head`] would write the same, as almost everybody does.
fn plain_line(input: &[u8]) -> Option<ChunkLine> {
    let (mut size, mut digits) = (0, 0);
    for byte in input.iter().take(SIZE_DIGITS_MAX) {
        let value = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => break,
        };
        size = size << 4 | u64::from(value);
        digits += 1;
    }
    let is_plain = input.first() != Some(&b'0') && input[digits..].starts_with(b"\r\n");
    (is_plain && digits > 0).then_some(ChunkLine {
        bytes: digits + 2,
        size,
        is_plain,
    })
}

impl ChunkHead {
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Framing;
    use crate::http::body::tests::take;
    use crate::http::splits::each_mutant;

    /// The body, its trailers in brackets and the bytes left over, or what is wrong.
    fn told(input: &[u8]) -> String {
        let taken = take(Framing::Chunked, input);
        match (taken.end, taken.trailers) {
            (Some(Err(malformed)), _) => format!("{malformed:?}"),
            (_, trailers) => format!(
                "{} [{}] {}",
                taken.body.escape_ascii(),
                trailers.unwrap_or_default().escape_ascii(),
                taken.left.escape_ascii()
            ),
        }
    }

    #[test]
    fn chunked_bodies() {
        let rows: [(&[u8], &str); 34] = [
            (b"0\r\n\r\n", " [] "),
            (b"5\r\nhello\r\n0\r\n\r\n", "hello [] "),
            (b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\nGET", "abc [] GET"),
            (b"A\r\n0123456789\r\n0\r\n\r\n", "0123456789 [] "),
            (
                b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n",
                "\\r\\n0\\r\\n\\r\\n [] ",
            ),
            (b"1;a=b\r\nx\r\n0;c=\"d\"\r\n\r\n", "x [] "),
            (b"000\r\n\r\n\r\n", " [] \\r\\n"),
            (b"0\r\na: b\r\n\r\n", " [a: b\\r\\n] "),
            (b"0\r\na: b\r\nc:d\r\n\r\nGET", " [a: b\\r\\nc:d\\r\\n] GET"),
            (b"1\r\nx", "Truncated"),
            (b"1\r\nx\r\n", "Truncated"),
            (b"0\r\n\r", "Truncated"),
            (b"0\r\na: b\r\n", "Truncated"),
            (b"ffffffffffffffff\r\nab", "Truncated"),
            (b"\r\n", "ChunkSize"),
            (b"\n", "ChunkSize"),
            (b" 5\r\nhello\r\n0\r\n\r\n", "ChunkSize"),
            (b"x", "ChunkSize"),
            (b"1\r\nx\r\n\r\n0\r\n\r\n", "ChunkSize"),
            (b"5 \r\nhello\r\n", "ChunkExtension"),
            (b"5\r\r\nhello\r\n", "ChunkExtension"),
            (b"5\rX\nhello\r\n", "BareLineFeed"),
            (b"5\nhello\r\n", "BareLineFeed"),
            (b"5;a\nhello\r\n", "BareLineFeed"),
            (b"0\n\n", "BareLineFeed"),
            (b"0\r\n\n", "BareLineFeed"),
            (b"1\r\nxy\r\n", "ChunkEnd"),
            (b"1\r\nx\n0\r\n\r\n", "ChunkEnd"),
            (b"1\r\nx\r0\r\n\r\n", "ChunkEnd"),
            (b"0\r\n a: b\r\n\r\n", "FieldFolded"),
            (b"0\r\na : b\r\n\r\n", "FieldNameBlank"),
            (b"0\r\nab\r\n\r\n", "FieldColon"),
            (b"0\r\na: b\0\r\n\r\n", "FieldNul"),
            (b"0\r\na: b\n\r\n", "BareLineFeed"),
        ];
        for (input, want) in rows {
            assert_eq!(told(input), want, "{}", input.escape_ascii());
        }
    }

    #[test]
    fn too_much_around_the_data_is_refused() {
        let line = |bytes: usize| format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(bytes - 4));
        let trailers = |bytes: usize| format!("0\r\na:{}\r\n\r\n", "b".repeat(bytes - 6));
        let trailers_begun = |bytes: usize| format!("0\r\na:{}", "b".repeat(bytes - 2));
        let fields = |count: usize| format!("0\r\n{}\r\n", "a:\r\n".repeat(count));
        let extended = |count: usize, extension: &str| {
            format!("1;{extension}\r\nx\r\n").repeat(count) + "0\r\n\r\n"
        };
        let rows = [
            (line(4096), None),
            (line(4097), Some(Malformed::ChunkLineTooLong)),
            (
                format!("1;{}", "a".repeat(4093)),
                Some(Malformed::Truncated),
            ),
            (
                format!("1;{}", "a".repeat(4094)),
                Some(Malformed::ChunkLineTooLong),
            ),
            ("0".repeat(5000), Some(Malformed::ChunkLineTooLong)),
            (trailers(8192), None),
            (trailers(8193), Some(Malformed::TrailersTooLong)),
            (trailers_begun(8191), Some(Malformed::Truncated)),
            (trailers_begun(8192), Some(Malformed::TrailersTooLong)),
            (fields(100), None),
            (fields(101), Some(Malformed::FieldsTooMany)),
            (extended(3000, "abcdefghijk"), None),
            (extended(1000, &"a".repeat(20)), None),
            (
                extended(2000, &"a".repeat(25)),
                Some(Malformed::ChunkOverhead),
            ),
            (
                extended(5, &"a".repeat(4000)),
                Some(Malformed::ChunkOverhead),
            ),
            // A chunk with as many data bytes makes up for it.
            (
                format!("1000;{}\r\n{}\r\n", "a".repeat(4000), "x".repeat(4096)).repeat(20)
                    + "0\r\n\r\n",
                None,
            ),
        ];
        for (number, (input, want)) in rows.iter().enumerate() {
            let end = take(Framing::Chunked, input.as_bytes()).end;
            assert_eq!(end.and_then(Result::err), *want, "row {number}");
        }
    }

    #[test]
    fn a_whole_chunk_takes_one_call() {
        let input = b"5\r\nhello\r\n3\r\nabc";
        let mut chunks = Chunks::default();
        let chunk = |consumed, data| Ok(piece(consumed, data, true));
        let data = |consumed, data| Ok(piece(consumed, data, false));
        assert_eq!(chunks.decode(input), chunk(10, b"hello"));
        assert_eq!(chunks.decode(&input[10..]), data(6, b"abc"));
        assert_eq!(chunks.decode(b""), Ok(Decoded::NeedMore));
        assert_eq!(chunks.decode(b"\r\n2"), Ok(Decoded::Skip { consumed: 2 }));
        assert_eq!(chunks.decode(b"2"), Ok(Decoded::NeedMore));
        assert_eq!(chunks.decode(b"2\r\nxy"), data(5, b"xy"));
        // The end of one chunk and the whole next one.
        assert_eq!(chunks.decode(b"\r\n1\r\nz\r\n"), data(8, b"z"));
        assert_eq!(chunks.decode(b"01\r\nz\r\n"), data(7, b"z"));
        assert_eq!(chunks.decode(b"3\r\n"), Ok(Decoded::Skip { consumed: 3 }));
        assert_eq!(chunks.decode(b"abc\r\n"), data(5, b"abc"));
        assert_eq!(chunks.decode(b"1"), Ok(Decoded::NeedMore));
        assert_eq!(chunks.decode(b"1\r\nz\r\n"), chunk(6, b"z"));
        let trailers = Decoded::Trailers {
            consumed: 5,
            section: b"",
        };
        assert_eq!(chunks.decode(b"0\r\n\r\nGET"), Ok(trailers));
    }

    fn piece(consumed: usize, data: &[u8], is_chunk: bool) -> Decoded<'_> {
        Decoded::Data {
            consumed,
            data,
            is_chunk,
        }
    }

    #[test]
    fn chunk_heads() {
        let rows = [
            (1, "1\r\n"),
            (9, "9\r\n"),
            (10, "a\r\n"),
            (16, "10\r\n"),
            (255, "ff\r\n"),
            (81920, "14000\r\n"),
            (usize::MAX, "ffffffffffffffff\r\n"),
        ];
        for (length, want) in rows {
            let head = chunk_head(length);
            assert_eq!(str::from_utf8(head.as_bytes()), Ok(want));
            assert_eq!(parse_size(want.trim_end().as_bytes()), Ok(length as u64));
            let line = plain_line(want.as_bytes()).map(|line| (line.bytes, line.size));
            assert_eq!(line, Some((want.len(), length as u64)));
        }
    }

    #[test]
    fn other_lines_are_not_plain() {
        let rows: [&[u8]; 13] = [
            b"",
            b"\r\n",
            b"0\r\n",
            b"a",
            b"a\r",
            b"a\n",
            b"\na\r\n",
            b"A\r\n",
            b"0a\r\n",
            b"a;x\r\n",
            b"a \r\n",
            b" a\r\n",
            b"ffffffffffffffff0\r\n",
        ];
        for line in rows {
            assert!(plain_line(line).is_none(), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn mutants_do_no_harm() {
        let seeds: [&[u8]; 3] = [
            b"5\r\nhello\r\n1a;a=b;c=\"d\\\"\"\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n",
            b"1\r\na\r\n2 ; x\r\nbc\r\n0\r\nA: b\r\nC:d\r\n\r\nGET / HTTP/1.1\r\n",
            b"000\r\n\r\nleft over",
        ];
        each_mutant(&seeds, 5000, |mutant| {
            take(Framing::Chunked, mutant);
        });
    }
}
