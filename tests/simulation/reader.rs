//! A small, strict reader of HTTP/1.1 messages, written independently of the proxy's. All its input was written by the
//! proxy: what it does not understand is a failure.

/// A message's first line and fields, names in lower case.
#[derive(Clone, Debug)]
pub struct Head {
    pub start: String,
    pub fields: Vec<(String, String)>,
}

impl Head {
    /// Takes a complete head off the front of `buffer`, if there is one.
    pub fn take(buffer: &mut Vec<u8>) -> Option<Head> {
        let end = buffer.windows(4).position(|four| four == b"\r\n\r\n")?;
        let text = letters(buffer.drain(..end + 4));
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        let start = lines.next().unwrap_or_default().to_string();
        let fields = lines.map(field).collect();
        Some(Head { start, fields })
    }

    /// The value of a field that must not occur twice.
    pub fn one(&self, name: &str) -> Option<&str> {
        let mut found = self.fields.iter().filter(|(other, _)| other == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(
            found.next().is_none(),
            "{name} stands there twice: {self:?}"
        );
        value
    }

    /// What the two framing fields say.
    pub fn framing(&self) -> Option<Body> {
        match (self.one("content-length"), self.one("transfer-encoding")) {
            (None, None) => None,
            (Some(length), None) => {
                assert!(
                    length.bytes().all(|byte| byte.is_ascii_digit()),
                    "length {length:?}"
                );
                Some(Body::Length(length.parse().expect("a length is a number")))
            }
            (None, Some(coding)) => {
                assert_eq!(coding, "chunked");
                Some(Body::Chunked(Chunk::Size))
            }
            (Some(_), Some(_)) => panic!("two framings: {self:?}"),
        }
    }
}

/// How the rest of a body is delimited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// This many bytes are still to come.
    Length(usize),
    Chunked(Chunk),
    UntilEnd,
}

/// What comes next of a chunked body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunk {
    Size,
    Data(usize),
    DataEnd,
    Trailers,
    Done,
}

impl Body {
    pub fn is_done(&self) -> bool {
        matches!(self, Body::Length(0) | Body::Chunked(Chunk::Done))
    }

    /// Moves what is there of the body's content from `buffer` to `content`.
    pub fn read(&mut self, buffer: &mut Vec<u8>, content: &mut Vec<u8>) {
        match self {
            Body::UntilEnd => content.append(buffer),
            Body::Length(left) => {
                let count = buffer.len().min(*left);
                content.extend(buffer.drain(..count));
                *left -= count;
            }
            Body::Chunked(chunk) => {
                while let Some(next) = chunk.step(buffer, content) {
                    *chunk = next;
                }
            }
        }
    }
}

impl Chunk {
    fn step(&self, buffer: &mut Vec<u8>, content: &mut Vec<u8>) -> Option<Chunk> {
        match self {
            Chunk::Size => {
                let line = take_line(buffer)?;
                assert!((1..=16).contains(&line.len()), "chunk size {line:?}");
                assert!(
                    line.bytes().all(|byte| byte.is_ascii_hexdigit()),
                    "chunk size {line:?}"
                );
                Some(
                    match usize::from_str_radix(&line, 16).expect("it was looked at") {
                        0 => Chunk::Trailers,
                        size => Chunk::Data(size),
                    },
                )
            }
            Chunk::Data(0) => Some(Chunk::DataEnd),
            Chunk::Data(left) => {
                let count = buffer.len().min(*left);
                content.extend(buffer.drain(..count));
                (count > 0).then_some(Chunk::Data(left - count))
            }
            Chunk::DataEnd => {
                let line = take_line(buffer)?;
                assert_eq!(line, "", "a chunk's data has a line end after it");
                Some(Chunk::Size)
            }
            Chunk::Trailers => match take_line(buffer)?.as_str() {
                "" => Some(Chunk::Done),
                line => {
                    let (name, _) = field(line);
                    assert!(
                        !NOT_IN_TRAILERS.contains(&name.as_str()),
                        "trailer {line:?}"
                    );
                    Some(Chunk::Trailers)
                }
            },
            Chunk::Done => None,
        }
    }
}

/// Fields that RFC 9110 section 6.5.1 keeps out of trailers: those that frame, route or authenticate.
const NOT_IN_TRAILERS: [&str; 12] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "set-cookie",
    "transfer-encoding",
    "upgrade",
    "x-api-key",
];

/// Name and value of a field line.
fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(": ").expect("a field line has a colon");
    assert!(
        !name.is_empty() && name.chars().all(is_token_letter),
        "field name {name:?}"
    );
    assert!(
        value.chars().all(is_value_letter) && !has_outer_blanks(value),
        "value {value:?}"
    );
    (name.to_ascii_lowercase(), value.to_string())
}

/// Each byte as a character: one above 0x7f may occur in a value and nowhere else.
fn letters(bytes: impl Iterator<Item = u8>) -> String {
    bytes.map(char::from).collect()
}

/// RFC 9110 section 5.6.2.
fn is_token_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter)
}

/// RFC 9110 section 5.5.
fn is_value_letter(letter: char) -> bool {
    matches!(letter, '\t' | ' '..='~' | '\u{80}'..='\u{ff}')
}

fn has_outer_blanks(value: &str) -> bool {
    value.trim_matches([' ', '\t']) != value
}

fn take_line(buffer: &mut Vec<u8>) -> Option<String> {
    let end = buffer.windows(2).position(|two| two == b"\r\n")?;
    Some(letters(buffer.drain(..end + 2).take(end)))
}
