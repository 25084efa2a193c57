//! A response's head: its status, how its body is delimited, and which of its fields are forwarded. It does not know
//! what the forwarded fields mean.

use super::connection::ConnectionOptions;
use super::field::{self, Storage, is_value_byte, parse_section, split_first_line};
use super::framing::{Declared, Framing};
use super::malformed::Malformed;
use super::name;
use super::{Field, Version};

/// A well-formed response head.
#[derive(Clone, Debug)]
pub struct ResponseHead<'h, 'b> {
    /// From 100 to 599.
    pub status: u16,
    /// May be empty, and may hold any text.
    pub reason: &'b [u8],
    pub version: Version,
    /// All fields, in order.
    pub fields: &'h [Field<'b>],
    /// How the body is delimited. There may be no body even if the fields give a length.
    pub framing: Framing,
    /// The connection can serve another request after the body. Never with [`Framing::Close`].
    pub persistent: bool,
    connection: ConnectionOptions<'b>,
}

/// What of the request decides whether the response has a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// With HEAD.
    Head,
    /// With any other method except CONNECT.
    Other,
}

impl Asked {
    /// For a request with this method.
    pub fn by(method: &str) -> Asked {
        match method {
            "HEAD" => Asked::Head,
            _ => Asked::Other,
        }
    }
}

/// Parses a head that [`super::scan::HeadScan`] has found, with its empty line.
///
/// # Errors
/// The first flaw found. Where the body would end is then unknown.
pub fn parse<'h, 'b>(
    head: &'b [u8],
    storage: &'h mut Storage<'b>,
    asked: Asked,
) -> Result<ResponseHead<'h, 'b>, Malformed> {
    let (line, section) = split_first_line(head)?;
    let (version, status, reason) = split_status_line(line)?;
    let fields = parse_section(section, storage)?;
    let mut declared = Declared::default();
    let mut connection = ConnectionOptions::default();
    for field in fields {
        if name::is(field.name, "content-length") {
            declared.add_length(field.value)?;
        } else if name::is(field.name, "transfer-encoding") {
            declared.add_codings(field.value)?;
        } else if name::is(field.name, "connection") {
            connection.add(field.value)?;
        }
    }
    let framing = framing_of(declared.framing(version)?, status, asked)?;
    Ok(ResponseHead {
        status,
        reason,
        version,
        fields,
        framing,
        persistent: framing != Framing::Close && connection.is_persistent(version),
        connection,
    })
}

impl<'b> ResponseHead<'_, 'b> {
    /// Whether fields of this name are forwarded to the client. False for hop-by-hop fields, including those that
    /// Connection names. Never false for Content-Length and Transfer-Encoding: code that writes the next head writes
    /// these from `framing`.
    pub fn passes(&self, name: &str) -> bool {
        self.connection.passes(name)
    }

    /// Whether Upgrade fields may be honoured (RFC 9110 section 7.8).
    pub fn has_upgrade(&self) -> bool {
        self.connection.has_upgrade()
    }

    /// The value of the first field of this name, which is given in lower case.
    pub fn field(&self, name: &str) -> Option<&'b [u8]> {
        field::find(self.fields, name)
    }
}

/// RFC 9112 section 6.3. Where there is no body, the fields describe the one that a GET would have got.
fn framing_of(declared: Framing, status: u16, asked: Asked) -> Result<Framing, Malformed> {
    match (status, asked, declared) {
        (100..=199 | 204, _, Framing::Chunked) => Err(Malformed::CodingWithoutBody),
        (100..=199 | 204 | 304, _, _) | (_, Asked::Head, _) => Ok(Framing::None),
        (_, Asked::Other, Framing::None) => Ok(Framing::Close),
        (_, Asked::Other, Framing::Length(_) | Framing::Chunked | Framing::Close) => Ok(declared),
    }
}

/// `version SP status [SP reason]` (RFC 9112 section 4). The second space is not required: many omit it together with
/// the reason, and this can be read in one way only.
fn split_status_line(line: &[u8]) -> Result<(Version, u16, &[u8]), Malformed> {
    let (version, rest) = line.split_at_checked(8).ok_or(Malformed::StatusLine)?;
    let version = Version::parse(version)?;
    let rest = rest.strip_prefix(b" ").ok_or(Malformed::StatusLine)?;
    let (status, rest) = rest.split_at_checked(3).ok_or(Malformed::Status)?;
    let status = match status {
        [
            hundreds @ b'1'..=b'5',
            tens @ b'0'..=b'9',
            ones @ b'0'..=b'9',
        ] => [hundreds, tens, ones]
            .iter()
            .fold(0, |number, digit| number * 10 + u16::from(**digit - b'0')),
        _ => return Err(Malformed::Status),
    };
    let reason = match rest {
        [] => rest,
        [b' ', reason @ ..] if reason.iter().all(|byte| is_value_byte(*byte)) => reason,
        [b'0'..=b'9', ..] => return Err(Malformed::Status),
        _ => return Err(Malformed::StatusLine),
    };
    Ok((version, status, reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::scan::HeadScan;
    use crate::http::splits::{each_mutant, every_split};

    /// The result of `tell` for the response to `asked`, or what is wrong with it.
    fn read(input: &[u8], asked: Asked, tell: fn(&ResponseHead<'_, '_>) -> String) -> String {
        every_split(input, |pieces| {
            let (mut scan, mut buffer) = (HeadScan::default(), Vec::new());
            for piece in pieces {
                buffer.extend_from_slice(piece);
                match scan.response(&buffer) {
                    Err(malformed) => return format!("{malformed:?}"),
                    Ok(None) => {}
                    Ok(Some(range)) => {
                        let mut storage = Storage::EMPTY;
                        return match parse(&buffer[range], &mut storage, asked) {
                            Ok(head) => tell(&head),
                            Err(malformed) => format!("{malformed:?}"),
                        };
                    }
                }
            }
            "waits".to_string()
        })
    }

    fn first_line(head: &ResponseHead<'_, '_>) -> String {
        let (version, status, reason) = (head.version, head.status, head.reason);
        format!("{version:?} {status} [{}]", reason.escape_ascii())
    }

    fn body(head: &ResponseHead<'_, '_>) -> String {
        let stays = if head.persistent { " stays" } else { "" };
        format!("{:?}{stays}", head.framing)
    }

    #[test]
    fn status_lines() {
        let rows: [(&[u8], &str); 31] = [
            (b"HTTP/1.1 200 OK", "Http11 200 [OK]"),
            (b"HTTP/1.1 200 ", "Http11 200 []"),
            (b"HTTP/1.1 200", "Http11 200 []"),
            (b"HTTP/1.1 404 Not Found", "Http11 404 [Not Found]"),
            (b"HTTP/1.1 200  OK\t!", "Http11 200 [ OK\\t!]"),
            (b"HTTP/1.1 200 caf\xc3\xa9", "Http11 200 [caf\\xc3\\xa9]"),
            (b"HTTP/1.1 100 Continue", "Http11 100 [Continue]"),
            (
                b"HTTP/1.1 101 Switching Protocols",
                "Http11 101 [Switching Protocols]",
            ),
            (b"HTTP/1.1 599 x", "Http11 599 [x]"),
            (b"HTTP/1.7 200 OK", "Http11 200 [OK]"),
            (b"HTTP/1.0 200 OK", "Http10 200 [OK]"),
            (b"HTTP/1.1 099 x", "Status"),
            (b"HTTP/1.1 000 x", "Status"),
            (b"HTTP/1.1 600 x", "Status"),
            (b"HTTP/1.1 999 x", "Status"),
            (b"HTTP/1.1 20 OK", "Status"),
            (b"HTTP/1.1 2000 OK", "Status"),
            (b"HTTP/1.1 20x OK", "Status"),
            (b"HTTP/1.1 +20 OK", "Status"),
            (b"HTTP/1.1  200 OK", "Status"),
            (b"HTTP/1.1 ", "Status"),
            (b"HTTP/1.1", "StatusLine"),
            (b"HTTP/1.1\t200 OK", "StatusLine"),
            (b"HTTP/1.1 200\tOK", "StatusLine"),
            (b"HTTP/1.1 200OK", "StatusLine"),
            (b"HTTP/1.1 200 O\0K", "StatusLine"),
            (b"HTTP/1.1 200 O\rK", "StatusLine"),
            (b"HTTP/1.1 200 OK\r", "StatusLine"),
            (b"HTTP/1.10 200 OK", "StatusLine"),
            (b"HTTP/2.0 200 OK", "VersionNotSupported"),
            (b"HTTP/2 200 OK", "Version"),
        ];
        for (line, want) in rows {
            let input = [line, b"\r\n\r\n"].concat();
            let got = read(&input, Asked::Other, first_line);
            assert_eq!(got, want, "{}", line.escape_ascii());
        }
    }

    /// Reads responses with these statuses and field lines, which are separated by `|`.
    fn check_bodies(rows: &[(&str, &str, &str)], asked: Asked) {
        for (status, lines, want) in rows {
            let lines = lines
                .split_terminator('|')
                .map(|line| format!("{line}\r\n"));
            let input = format!("HTTP/{status}\r\n{}\r\n", lines.collect::<String>());
            assert_eq!(
                read(input.as_bytes(), asked, body),
                *want,
                "{asked:?} {input}"
            );
        }
    }

    #[test]
    fn bodies() {
        let rows = [
            ("1.1 200", "Content-Length: 5", "Length(5) stays"),
            ("1.1 200", "Content-Length: 0", "Length(0) stays"),
            ("1.1 200", "Transfer-Encoding: chunked", "Chunked stays"),
            ("1.1 200", "", "Close"),
            ("1.1 200", "Connection: keep-alive", "Close"),
            ("1.1 205", "", "Close"),
            ("1.1 205", "Content-Length: 0", "Length(0) stays"),
            (
                "1.1 500",
                "Content-Length: 5|Connection: close",
                "Length(5)",
            ),
            (
                "1.1 200",
                "Transfer-Encoding: chunked|Connection: Close",
                "Chunked",
            ),
            ("1.0 200", "Content-Length: 5", "Length(5)"),
            (
                "1.0 200",
                "Content-Length: 5|Connection: keep-alive",
                "Length(5) stays",
            ),
            ("1.0 200", "Connection: keep-alive", "Close"),
            ("1.1 204", "", "None stays"),
            ("1.1 204", "Content-Length: 0", "None stays"),
            ("1.1 204", "Content-Length: 5", "None stays"),
            ("1.1 304", "Content-Length: 5", "None stays"),
            ("1.1 304", "Transfer-Encoding: chunked", "None stays"),
            ("1.1 304", "Connection: close", "None"),
            ("1.1 103", "Content-Length: 5", "None stays"),
            ("1.1 100", "Transfer-Encoding: chunked", "CodingWithoutBody"),
            ("1.1 101", "Transfer-Encoding: chunked", "CodingWithoutBody"),
            ("1.1 204", "Transfer-Encoding: chunked", "CodingWithoutBody"),
            (
                "1.1 200",
                "Transfer-Encoding: chunked|Content-Length: 5",
                "LengthWithCoding",
            ),
            (
                "1.1 304",
                "Content-Length: 5|Content-Length: 6",
                "LengthTwice",
            ),
            (
                "1.1 200",
                "Content-Length: 5|Content-Length: 5",
                "LengthTwice",
            ),
            ("1.1 200", "Content-Length: 5, 5", "Length"),
            ("1.1 200", "Content-Length: -1", "Length"),
            ("1.0 200", "Transfer-Encoding: chunked", "CodingInHttp10"),
            ("1.1 200", "Transfer-Encoding: gzip", "CodingNotChunked"),
            (
                "1.1 200",
                "Transfer-Encoding: gzip, chunked",
                "CodingBeforeChunked",
            ),
            (
                "1.1 200",
                "Transfer-Encoding: chunked, chunked",
                "CodingChunkedTwice",
            ),
            ("1.1 200", "X : y", "FieldNameBlank"),
            ("1.1 200", "X: y| z", "FieldFolded"),
            ("1.1 200", "X: y\0", "FieldNul"),
        ];
        check_bodies(&rows, Asked::Other);
    }

    #[test]
    fn answers_to_head_have_no_body() {
        let rows = [
            ("1.1 200", "", "None stays"),
            ("1.1 200", "Content-Length: 5", "None stays"),
            ("1.1 200", "Transfer-Encoding: chunked", "None stays"),
            ("1.0 200", "Content-Length: 5", "None"),
            ("1.1 204", "Transfer-Encoding: chunked", "CodingWithoutBody"),
            (
                "1.1 200",
                "Transfer-Encoding: chunked|Content-Length: 5",
                "LengthWithCoding",
            ),
            (
                "1.1 200",
                "Content-Length: 5|Content-Length: 5",
                "LengthTwice",
            ),
        ];
        check_bodies(&rows, Asked::Head);
    }

    #[test]
    fn a_head_is_asked_for_its_fields() {
        let head =
            b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nConnection: x-a, content-length\r\n\r\n";
        let mut storage = Storage::EMPTY;
        let head = parse(head, &mut storage, Asked::Other).unwrap();
        let rows = [
            ("x-a", false),
            ("x-b", true),
            ("content-length", true),
            ("Connection", false),
        ];
        for (name, want) in rows {
            assert_eq!(head.passes(name), want, "{name}");
        }
        assert_eq!(head.field("x-a"), Some(b"1".as_slice()));
        assert_eq!(head.field("x-b"), None);
    }

    #[test]
    fn mutants_do_no_harm() {
        let seeds: [&[u8]; 3] = [
            b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: x, close\r\nX: y\r\n\r\n",
            b"HTTP/1.0 404\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.2 304 Not Modified\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        ];
        each_mutant(&seeds, 3000, |mutant| {
            read(mutant, Asked::Other, body);
        });
    }
}
