//! Finds the end of a head in bytes that arrive in any pieces, looking at each byte once. It refuses immediately what
//! the rest of the head could not repair; otherwise it does not check whether the head is well-formed.

use std::ops::Range;

use super::field::is_token_byte;
use super::malformed::Malformed;
use super::request_line::split_version;
use super::search::until_line_feed;
use super::{HEAD_BYTES_MAX, METHOD_BYTES_MAX, TARGET_BYTES_MAX};

/// Most empty lines that are skipped before a request; RFC 9112 section 2.2 asks for one.
const EMPTY_LINES_MAX: usize = 4;

/// Longest request line: method, target, version, the spaces between and the line end.
const REQUEST_LINE_BYTES_MAX: usize = METHOD_BYTES_MAX + 1 + TARGET_BYTES_MAX + 1 + 8 + 2;

/// Looks for a head's end. It remembers how far it has looked, and is given the same bytes each time with what came
/// after them. When it has found a head it is ready for the next.
#[derive(Clone, Debug, Default)]
pub struct HeadScan {
    lines: LineScan,
    stage: Stage,
}

/// How much of a head has been seen.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The first line has not ended; this many empty lines came before it.
    FirstLine { empty_lines: usize },
    /// The first line, which began at `start`, has ended.
    Fields { start: usize },
}

impl Default for Stage {
    fn default() -> Stage {
        Stage::FirstLine { empty_lines: 0 }
    }
}

impl HeadScan {
    /// The range of a request's head in `input`, with its empty line; `None` if it has not ended yet. A few empty lines
    /// before it are skipped.
    ///
    /// # Errors
    /// A first byte that begins no request, a line that does not end in CRLF, a version other than HTTP/1.x, or a line
    /// or head that is too long.
    pub fn request(&mut self, input: &[u8]) -> Result<Option<Range<usize>>, Malformed> {
        while let Stage::FirstLine { empty_lines } = self.stage {
            let start = self.lines.start;
            if !may_begin_request(input.get(start..).unwrap_or_default()) {
                return Err(Malformed::NotRequest);
            }
            let bytes_max = start + REQUEST_LINE_BYTES_MAX;
            self.stage = match self.lines.next(input, bytes_max)? {
                None if input.len() >= bytes_max => return Err(Malformed::RequestLineTooLong),
                None => return Ok(None),
                Some(line) if line.is_empty() && empty_lines == EMPTY_LINES_MAX => {
                    return Err(Malformed::EmptyLines);
                }
                Some(line) if line.is_empty() => Stage::FirstLine {
                    empty_lines: empty_lines + 1,
                },
                Some(line) => {
                    split_version(&input[line])?;
                    Stage::Fields { start }
                }
            };
        }
        self.end(input)
    }

    /// The range of a response's head in `input`, with its empty line; `None` if it has not ended yet.
    ///
    /// # Errors
    /// It does not begin with `HTTP/`, has a line that does not end in CRLF, or is too long.
    pub fn response(&mut self, input: &[u8]) -> Result<Option<Range<usize>>, Malformed> {
        if let Stage::FirstLine { .. } = self.stage {
            if input.iter().zip(b"HTTP/").any(|(byte, want)| byte != want) {
                return Err(Malformed::NotResponse);
            }
            match self.lines.next(input, HEAD_BYTES_MAX)? {
                None if input.len() >= HEAD_BYTES_MAX => return Err(Malformed::HeadTooLong),
                None => return Ok(None),
                Some(_) => self.stage = Stage::Fields { start: 0 },
            }
        }
        self.end(input)
    }

    fn end(&mut self, input: &[u8]) -> Result<Option<Range<usize>>, Malformed> {
        match (self.stage, self.lines.empty_line(input, HEAD_BYTES_MAX)?) {
            (Stage::Fields { start }, Some(end)) => {
                *self = HeadScan::default();
                Ok(Some(start..end))
            }
            (Stage::Fields { .. }, None) if input.len() >= HEAD_BYTES_MAX => {
                Err(Malformed::HeadTooLong)
            }
            (Stage::Fields { .. } | Stage::FirstLine { .. }, _) => Ok(None),
        }
    }
}

/// A request begins with a method or an empty line.
fn may_begin_request(bytes: &[u8]) -> bool {
    match bytes {
        [] | [b'\r'] | [b'\r', b'\n', ..] => true,
        [first, ..] => is_token_byte(*first),
    }
}

/// Splits bytes into lines that end in CRLF. It is given the same bytes each time with what came after them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineScan {
    /// Where the present line begins.
    start: usize,
    /// How far line ends have been looked for.
    scanned: usize,
}

impl LineScan {
    /// The next line of `input`, without its line end; `None` if it has not ended within the first `bytes_max` bytes.
    ///
    /// # Errors
    /// A line feed without a carriage return before it.
    pub fn next(
        &mut self,
        input: &[u8],
        bytes_max: usize,
    ) -> Result<Option<Range<usize>>, Malformed> {
        let window = &input[..input.len().min(bytes_max)];
        let Some(unseen) = window.get(self.scanned..) else {
            return Ok(None);
        };
        let Some(offset) = until_line_feed(unseen) else {
            self.scanned = window.len();
            return Ok(None);
        };
        let line_feed = self.scanned + offset;
        if !window[self.start..line_feed].ends_with(b"\r") {
            return Err(Malformed::BareLineFeed);
        }
        let line = self.start..line_feed - 1;
        self.start = line_feed + 1;
        self.scanned = self.start;
        Ok(Some(line))
    }

    /// Where the next empty line of `input` ends; `None` if it has not ended within the first `bytes_max` bytes.
    ///
    /// # Errors
    /// A line feed without a carriage return before it.
    pub fn empty_line(
        &mut self,
        input: &[u8],
        bytes_max: usize,
    ) -> Result<Option<usize>, Malformed> {
        while let Some(line) = self.next(input, bytes_max)? {
            if line.is_empty() {
                return Ok(Some(self.start));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::splits::every_split;

    /// The first head, if there is one, or what is wrong.
    type Found<'b> = Result<Option<&'b [u8]>, Malformed>;
    type Look = fn(&mut HeadScan, &[u8]) -> Result<Option<Range<usize>>, Malformed>;

    /// Every head in `input`, and how it ends: with an error, or waiting for more.
    fn heads(input: &[u8], look: Look) -> (Vec<Vec<u8>>, Option<Malformed>) {
        every_split(input, |pieces| {
            let (mut scan, mut buffer) = (HeadScan::default(), Vec::new());
            let mut found = Vec::new();
            for piece in pieces {
                buffer.extend_from_slice(piece);
                loop {
                    match look(&mut scan, &buffer) {
                        Err(malformed) => return (found, Some(malformed)),
                        Ok(None) => break,
                        Ok(Some(range)) => {
                            found.push(buffer[range.clone()].to_vec());
                            buffer.drain(..range.end);
                        }
                    }
                }
            }
            (found, None)
        })
    }

    fn check(rows: &[(&[u8], Found<'_>)], look: Look) {
        for (input, want) in rows {
            let (found, malformed) = heads(input, look);
            let got = match malformed {
                Some(malformed) => Err(malformed),
                None => Ok(found.first().map(Vec::as_slice)),
            };
            assert_eq!(got, *want, "{}", input.escape_ascii());
        }
    }

    #[test]
    fn requests() {
        let head = Some(b"GET / HTTP/1.1\r\na: b\r\n\r\n".as_slice());
        let rows: [(&[u8], Found<'_>); 34] = [
            (b"", Ok(None)),
            (b"G", Ok(None)),
            (b"GET / HTTP/1.1\r\na: b\r\n\r", Ok(None)),
            (b"GET / HTTP/1.1\r\na: b\r\n\r\n", Ok(head)),
            (b"GET / HTTP/1.1\r\na: b\r\n\r\nbody", Ok(head)),
            (
                b"GET / HTTP/1.1\r\n\r\n",
                Ok(Some(b"GET / HTTP/1.1\r\n\r\n")),
            ),
            (
                b"GET / HTTP/1.7\r\n\r\n",
                Ok(Some(b"GET / HTTP/1.7\r\n\r\n")),
            ),
            (b"\r", Ok(None)),
            (b"\r\n", Ok(None)),
            (b"\r\nGET / HTTP/1.1\r\na: b\r\n\r\n", Ok(head)),
            (b"\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\na: b\r\n\r\n", Ok(head)),
            (b"\r\n\r\n\r\n\r\n\r", Ok(None)),
            (b"\r\n\r\n\r\n\r\n\r\n", Err(Malformed::EmptyLines)),
            (
                b"\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n",
                Err(Malformed::EmptyLines),
            ),
            (b"\n", Err(Malformed::NotRequest)),
            (b"\nGET / HTTP/1.1\r\n\r\n", Err(Malformed::NotRequest)),
            (b"\rG", Err(Malformed::NotRequest)),
            (b"\r\r\n", Err(Malformed::NotRequest)),
            (b" GET / HTTP/1.1\r\n\r\n", Err(Malformed::NotRequest)),
            (b"\r\n GET / HTTP/1.1\r\n\r\n", Err(Malformed::NotRequest)),
            (b"\x16\x03\x01\x02", Err(Malformed::NotRequest)),
            (b"\0", Err(Malformed::NotRequest)),
            (b"\xff", Err(Malformed::NotRequest)),
            (b"{\"a\":1}", Err(Malformed::NotRequest)),
            (b"GET / HTTP/1.1\n", Err(Malformed::BareLineFeed)),
            (b"GET / HTTP/1.1\r\na: b\n", Err(Malformed::BareLineFeed)),
            (
                b"GET / HTTP/1.1\r\na: b\r\n\n",
                Err(Malformed::BareLineFeed),
            ),
            (b"GET / HTTP/1.1\r\n\n", Err(Malformed::BareLineFeed)),
            (b"GET /\r\n", Err(Malformed::Version)),
            (b"GET\r\n", Err(Malformed::RequestLine)),
            (b"GET / http/1.1\r\n", Err(Malformed::Version)),
            (b"GET / HTTP/1.10\r\n", Err(Malformed::Version)),
            (b"GET / HTTP/2.0\r\n", Err(Malformed::VersionNotSupported)),
            (
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                Err(Malformed::VersionNotSupported),
            ),
        ];
        check(&rows, HeadScan::request);
    }

    #[test]
    fn responses() {
        let head = Some(b"HTTP/1.1 200 OK\r\na: b\r\n\r\n".as_slice());
        let rows: [(&[u8], Found<'_>); 14] = [
            (b"", Ok(None)),
            (b"HTT", Ok(None)),
            (b"HTTP/1.1 200 OK\r\na: b\r\n\r", Ok(None)),
            (b"HTTP/1.1 200 OK\r\na: b\r\n\r\n", Ok(head)),
            (b"HTTP/1.1 204\r\n\r\n", Ok(Some(b"HTTP/1.1 204\r\n\r\n"))),
            (b"\r\nHTTP/1.1 200 OK\r\n\r\n", Err(Malformed::NotResponse)),
            (b"http/1.1 200 OK\r\n\r\n", Err(Malformed::NotResponse)),
            (b"HTML", Err(Malformed::NotResponse)),
            (b"ICY 200 OK\r\n\r\n", Err(Malformed::NotResponse)),
            (b"\x15\x03\x01\x00\x02", Err(Malformed::NotResponse)),
            (b"<html>", Err(Malformed::NotResponse)),
            (b"HTTP/1.1 200 OK\n", Err(Malformed::BareLineFeed)),
            (b"HTTP/1.1 200 OK\r\na: b\n", Err(Malformed::BareLineFeed)),
            (b"HTTP/1.1 200 OK\r\n\n", Err(Malformed::BareLineFeed)),
        ];
        check(&rows, HeadScan::response);
    }

    #[test]
    fn one_scan_finds_head_after_head() {
        let one =
            b"GET /1 HTTP/1.1\r\n\r\n\r\nGET /2 HTTP/1.1\r\nab: c\r\n\r\nGET /3 HTTP/1.0\r\n\r\nG";
        let want = [
            b"GET /1 HTTP/1.1\r\n\r\n".to_vec(),
            b"GET /2 HTTP/1.1\r\nab: c\r\n\r\n".to_vec(),
            b"GET /3 HTTP/1.0\r\n\r\n".to_vec(),
        ];
        assert_eq!(heads(one, HeadScan::request), (want.to_vec(), None));
    }

    #[test]
    fn too_long_is_refused_at_the_bound() {
        let line = |bytes: usize| format!("GET /{} HTTP/1.1\r\n", "a".repeat(bytes - 16));
        let head = |first: &str, bytes: usize| {
            let value = "a".repeat(bytes - first.len() - 7);
            format!("{first}a: {value}\r\n\r\n")
        };
        let request = "GET / HTTP/1.1\r\n";
        let skipped = "\r\nGET / HTTP/1.1\r\n";
        let response = "HTTP/1.1 200 OK\r\n";
        let (line_max, head_max) = (REQUEST_LINE_BYTES_MAX, HEAD_BYTES_MAX);
        let line_too_long = Some(Malformed::RequestLineTooLong);
        let too_long = Some(Malformed::HeadTooLong);
        let check = |look: Look, rows: &[(String, usize, Option<Malformed>)]| {
            for (number, (input, count, malformed)) in rows.iter().enumerate() {
                let (found, ended) = heads(input.as_bytes(), look);
                assert_eq!((found.len(), ended), (*count, *malformed), "row {number}");
            }
        };
        let rows = [
            (line(line_max), 0, None),
            (line(line_max + 1), 0, line_too_long),
            ("\r\n".repeat(4) + &line(line_max), 0, None),
            ("\r\n".repeat(4) + &line(line_max + 1), 0, line_too_long),
            ("G".repeat(line_max - 1), 0, None),
            ("G".repeat(line_max), 0, line_too_long),
            ("G".repeat(line_max + 9) + "\n", 0, line_too_long),
            (head(request, head_max), 1, None),
            (head(request, head_max + 1), 0, too_long),
            (head(request, head_max + 9) + "\n", 0, too_long),
            (head(skipped, head_max), 1, None),
            (head(skipped, head_max + 1), 0, too_long),
        ];
        check(HeadScan::request, &rows);
        let rows = [
            (head(response, head_max), 1, None),
            (head(response, head_max + 1), 0, too_long),
            (
                "HTTP/1.1 200 ".to_string() + &"a".repeat(head_max),
                0,
                too_long,
            ),
        ];
        check(HeadScan::response, &rows);
    }
}
