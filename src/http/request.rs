//! A request's head: its method and target, how its body is delimited, and which of its fields are forwarded. It does
//! not know what the forwarded fields mean.

use super::authority::is_authority;
use super::connection::ConnectionOptions;
use super::field::{self, Storage, list_items, parse_section, split_first_line};
use super::framing::{Declared, Framing};
use super::malformed::Malformed;
use super::name;
use super::request_line::RequestLine;
use super::target::Target;
use super::{Field, Version};

/// A well-formed request head.
#[derive(Clone, Debug)]
pub struct RequestHead<'h, 'b> {
    /// A token, case-sensitive.
    pub method: &'b str,
    pub target: Target<'b>,
    pub version: Version,
    /// All fields, in order.
    pub fields: &'h [Field<'b>],
    /// Never [`Framing::Close`].
    pub framing: Framing,
    /// The client allows the connection to stay open after the response.
    pub persistent: bool,
    /// The client waits for a 100 before it sends a body (RFC 9110 section 10.1.1). Never in HTTP/1.0.
    pub expects_continue: bool,
    /// The client offers to switch to a protocol that Upgrade names (RFC 9110 section 7.8). Never in HTTP/1.0.
    pub upgrade: bool,
    connection: ConnectionOptions<'b>,
}

/// Parses a head that [`super::scan::HeadScan`] has found, with its empty line.
///
/// # Errors
/// The first flaw found; [`Malformed::kind`] tells which response fits. Where the request's body would end is then
/// unknown. `storage` has the fields that could be read all the same.
pub fn parse<'h, 'b>(
    head: &'b [u8],
    storage: &'h mut Storage<'b>,
) -> Result<RequestHead<'h, 'b>, Malformed> {
    let (line, section) = split_first_line(head)?;
    let request_line = RequestLine::parse(line);
    let fields = parse_section(section, storage);
    let RequestLine {
        method,
        target,
        version,
    } = request_line?;
    let fields = fields?;
    let facts = Facts::gather(fields, version)?;
    if !facts.has_host && version == Version::Http11 {
        return Err(Malformed::HostMissing);
    }
    Ok(RequestHead {
        method,
        target,
        version,
        fields,
        framing: facts.declared.framing(version)?,
        persistent: facts.connection.is_persistent(version),
        expects_continue: facts.expects_continue,
        upgrade: facts.upgrade && facts.connection.has_upgrade() && version == Version::Http11,
        connection: facts.connection,
    })
}

impl<'b> RequestHead<'_, 'b> {
    /// Whether fields of this name are forwarded. False for hop-by-hop fields, including those that Connection names.
    /// Never false for Content-Length, Transfer-Encoding and Host: code that writes the next head writes these from
    /// what is known here.
    pub fn passes(&self, name: &str) -> bool {
        self.connection.passes(name)
    }

    /// The value of the first field of this name, which is given in lower case.
    pub fn field(&self, name: &str) -> Option<&'b [u8]> {
        field::find(self.fields, name)
    }
}

/// What the fields that matter here say.
#[derive(Default)]
struct Facts<'b> {
    has_host: bool,
    declared: Declared,
    connection: ConnectionOptions<'b>,
    expects_continue: bool,
    upgrade: bool,
}

impl<'b> Facts<'b> {
    fn gather(fields: &[Field<'b>], version: Version) -> Result<Facts<'b>, Malformed> {
        let mut facts = Facts::default();
        for field in fields {
            let is = |known| name::is(field.name, known);
            if is("content-length") {
                facts.declared.add_length(field.value)?;
            } else if is("transfer-encoding") {
                facts.declared.add_codings(field.value)?;
            } else if is("connection") {
                facts.connection.add(field.value)?;
            } else if is("host") {
                facts.add_host(field.value)?;
            } else if is("upgrade") {
                facts.upgrade |= list_items(field.value).next().is_some();
            } else if is("expect") && version == Version::Http11 {
                facts.add_expectations(field.value)?;
            }
        }
        Ok(facts)
    }

    fn add_host(&mut self, value: &[u8]) -> Result<(), Malformed> {
        if std::mem::replace(&mut self.has_host, true) {
            return Err(Malformed::HostTwice);
        }
        match is_authority(value) {
            true => Ok(()),
            false => Err(Malformed::Host),
        }
    }

    fn add_expectations(&mut self, value: &[u8]) -> Result<(), Malformed> {
        for expectation in list_items(value) {
            if !name::is(expectation, "100-continue") {
                return Err(Malformed::Expectation);
            }
            self.expects_continue = true;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::malformed::Kind;
    use crate::http::scan::HeadScan;
    use crate::http::splits::{each_mutant, every_split};

    /// Reads the first head of `input`, which comes in `pieces`, as a connection would.
    fn read<T>(
        pieces: &[&[u8]],
        tell: impl Fn(&RequestHead<'_, '_>) -> T,
    ) -> Option<Result<T, Malformed>> {
        let (mut scan, mut buffer) = (HeadScan::default(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            match scan.request(&buffer) {
                Err(malformed) => return Some(Err(malformed)),
                Ok(None) => {}
                Ok(Some(range)) => {
                    let mut storage = Storage::EMPTY;
                    return Some(parse(&buffer[range], &mut storage).map(|head| tell(&head)));
                }
            }
        }
        None
    }

    /// Method, path, version, framing, and the flags that are set.
    fn told(head: &RequestHead<'_, '_>) -> String {
        let marks = [
            (head.persistent, " stays"),
            (head.expects_continue, " expects"),
            (head.upgrade, " upgrades"),
        ];
        let marks = marks.map(|(is, mark)| if is { mark } else { "" }).concat();
        let (path, framing) = (head.target.path, head.framing);
        let (method, version) = (head.method, head.version);
        format!("{method} {path} {version:?} {framing:?}{marks}")
    }

    fn check(input: &[u8], want: &str) {
        let got = every_split(input, |pieces| match read(pieces, told) {
            Some(Ok(told)) => told,
            Some(Err(malformed)) => format!("{malformed:?}"),
            None => "waits".to_string(),
        });
        assert_eq!(got, want, "{}", input.escape_ascii());
    }

    /// Reads the field lines `lines`, separated by `|`, in a request of this version.
    fn check_fields(version: &str, lines: &str, want: &str) {
        let lines: String = lines
            .split_terminator('|')
            .map(|line| format!("{line}\r\n"))
            .collect();
        let want = want.replace("= ", &format!("GET / Http{} ", version.replace('.', "")));
        check(
            format!("GET / HTTP/{version}\r\n{lines}\r\n").as_bytes(),
            &want,
        );
    }

    #[test]
    fn hosts() {
        let rows = [
            ("1.1", "Host: h", "= None stays"),
            ("1.1", "hOST:h", "= None stays"),
            ("1.1", "Host: [::1]:80", "= None stays"),
            ("1.1", "", "HostMissing"),
            ("1.1", "Hosts: h", "HostMissing"),
            ("1.1", "Host: h|Host: h", "HostTwice"),
            ("1.1", "Host: h|X: y|host: i", "HostTwice"),
            ("1.1", "Host:", "Host"),
            ("1.1", "Host: a, b", "Host"),
            ("1.1", "Host: a,b", "Host"),
            ("1.1", "Host: u@h", "Host"),
            ("1.1", "Host: h/a", "Host"),
            ("1.1", "Host: http://h", "Host"),
            ("1.1", "Host: h:x", "Host"),
            ("1.1", "Host: h\0", "FieldNul"),
            ("1.1", "Host: h| i", "FieldFolded"),
            ("1.1", " Host: h", "FieldFolded"),
            ("1.1", "Host : h", "FieldNameBlank"),
            ("1.0", "", "= None"),
            ("1.0", "Host: h", "= None"),
            ("1.0", "Host:", "Host"),
            ("1.0", "Host: h|Host: h", "HostTwice"),
        ];
        for (version, lines, want) in rows {
            check_fields(version, lines, want);
        }
    }

    #[test]
    fn framing_and_connection() {
        let rows = [
            ("1.1", "Content-Length: 3", "= Length(3) stays"),
            ("1.1", "content-length:\t3\t", "= Length(3) stays"),
            ("1.1", "Content-Length: 0", "= Length(0) stays"),
            (
                "1.1",
                "Content-Length: 3|X: y|CONTENT-LENGTH: 3",
                "LengthTwice",
            ),
            ("1.1", "Content-Length: 3, 3", "Length"),
            ("1.1", "Content-Length : 3", "FieldNameBlank"),
            ("1.1", "Content_Length: 3", "= None stays"),
            ("1.1", "Transfer-Encoding: chunked", "= Chunked stays"),
            (
                "1.1",
                "Transfer-Encoding: chunked|Content-Length: 3",
                "LengthWithCoding",
            ),
            (
                "1.1",
                "Content-Length: 3|transfer-encoding: chunked",
                "LengthWithCoding",
            ),
            (
                "1.1",
                "Transfer-Encoding: gzip, chunked",
                "CodingBeforeChunked",
            ),
            ("1.1", "Transfer-Encoding: \x0bchunked", "FieldValue"),
            ("1.1", "Transfer-Encoding:| chunked", "FieldFolded"),
            ("1.1", "Transfer-Encoding : chunked", "FieldNameBlank"),
            ("1.0", "Transfer-Encoding: chunked", "CodingInHttp10"),
            ("1.0", "Content-Length: 3", "= Length(3)"),
            ("1.0", "Connection: keep-alive", "= None stays"),
            ("1.0", "Connection: keep-alive, close", "= None"),
            ("1.0", "Proxy-Connection: keep-alive", "= None"),
            ("1.1", "Connection: a|Connection: b, Close", "= None"),
            ("1.1", "Expect: 100-continue", "= None stays expects"),
            ("1.1", "Expect: 100-Continue, ,", "= None stays expects"),
            ("1.1", "Expect:", "= None stays"),
            ("1.1", "Expect: 100-continued", "Expectation"),
            ("1.1", "Expect: 100-continue, a=b", "Expectation"),
            ("1.1", "Expect: 100-continue|Expect: x", "Expectation"),
            ("1.0", "Expect: 100-continue", "= None"),
            ("1.0", "Expect: x", "= None"),
            (
                "1.1",
                "Connection: Upgrade|Upgrade: x",
                "= None stays upgrades",
            ),
            ("1.1", "Upgrade: x", "= None stays"),
            ("1.1", "Connection: upgrade|Upgrade:", "= None stays"),
            ("1.0", "Connection: upgrade|Upgrade: x", "= None"),
        ];
        for (version, lines, want) in rows {
            check_fields(version, &format!("Host: h|{lines}"), want);
        }
    }

    #[test]
    fn a_target_that_names_the_host_needs_host_too() {
        check(
            b"GET http://a:1/b?c HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /b Http11 None stays",
        );
        check(b"GET http://a HTTP/1.0\r\n\r\n", "GET / Http10 None");
        check(b"GET http://a/ HTTP/1.1\r\n\r\n", "HostMissing");
        check(b"GET http://a/ HTTP/1.1\r\nHost: b c\r\n\r\n", "Host");
        check(b"CONNECT a:1 HTTP/1.1\r\n\r\n", "HostMissing");
    }

    #[test]
    fn bounds_and_their_answers() {
        let head = |method: &str, target: &str, lines: &str| {
            format!("{method} {target} HTTP/1.1\r\nHost: h\r\n{lines}\r\n")
        };
        let method = |bytes: usize| head(&"M".repeat(bytes), "/", "");
        let target = |bytes: usize| head("GET", &"/".repeat(bytes), "");
        let field = |line: &str| head("GET", "/", &format!("{line}\r\n"));
        let fields = |count: usize| head("GET", "/", &"a: b\r\n".repeat(count - 1));
        let rows = [
            (fields(100), None),
            (fields(101), Some(Kind::HeadersTooLarge)),
            (field(&"a".repeat(70 * 1024)), Some(Kind::HeadersTooLarge)),
            (
                field(&("Connection: ".to_string() + &"b,".repeat(17))),
                Some(Kind::HeadersTooLarge),
            ),
            (method(64), None),
            (method(65), Some(Kind::NotImplemented)),
            (target(32 * 1024), None),
            (target(32 * 1024 + 1), Some(Kind::UriTooLong)),
            (target(40 * 1024), Some(Kind::UriTooLong)),
            (target(70 * 1024), Some(Kind::UriTooLong)),
            (
                field("Transfer-Encoding: a, chunked"),
                Some(Kind::NotImplemented),
            ),
            (field("Transfer-Encoding: a"), Some(Kind::BadRequest)),
            (field("Expect: x"), Some(Kind::ExpectationFailed)),
            (field("a b: c"), Some(Kind::BadRequest)),
        ];
        for (number, (input, want)) in rows.iter().enumerate() {
            let got = every_split(input.as_bytes(), |pieces| read(pieces, |_| ()));
            let got = got.expect("it ends").err().map(Malformed::kind);
            assert_eq!(got, *want, "row {number}");
        }
    }

    #[test]
    fn a_head_is_asked_for_its_fields() {
        let input =
            b"GET / HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-a: 2\r\nConnection: x-a, host\r\n\r\n";
        let got = read(&[input], |head| {
            let passing = ["x-a", "x-b", "host", "connection"].map(|name| head.passes(name));
            let found = ["x-a", "x-b"].map(|name| head.field(name).map(<[u8]>::to_vec));
            (head.fields.len(), passing, found)
        });
        let want = (4, [false, true, true, false], [Some(b"1".to_vec()), None]);
        assert_eq!(got, Some(Ok(want)));
    }

    #[test]
    fn mutants_do_no_harm() {
        let seeds: [&[u8]; 4] = [
            b"POST /v1/chat?a=b HTTP/1.1\r\nHost: h:80\r\nContent-Length: 12\r\nConnection: x, close\r\nX: y\r\n\r\n",
            b"\r\nGET http://[::1]:5/%2e HTTP/1.0\r\nHost: [::1]\r\nConnection: keep-alive\r\n\r\n",
            b"PUT * HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\nExpect: 100-continue\r\nHost: a%20b\r\n\r\n",
            b"CONNECT h:443 HTTP/1.2\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        ];
        each_mutant(&seeds, 3000, |mutant| {
            every_split(mutant, |pieces| read(pieces, told));
        });
    }
}
