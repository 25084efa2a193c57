//! What reaches the platform, read strictly: one request with one framing, nothing between and nothing left over.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::support::client::fields;
use crate::support::platform::Line;

/// What a connection to the platform has carried since the last look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Its first byte has come.
    Begun,
    Whole(Request),
    /// Not a well-formed request.
    Flawed(String),
}

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// With U+FFFD for each byte that is not UTF-8.
    pub head: String,
    /// Without its framing.
    pub body: Vec<u8>,
    pub trailers: String,
}

/// Everything that arrives, in the order of the first bytes.
#[derive(Clone, Default)]
pub struct Arrivals(Arc<Mutex<Log>>);

/// The arrivals since the last look, each with its number.
#[derive(Default)]
struct Log {
    entries: Vec<(u64, Arrival)>,
    count: u64,
}

impl Request {
    pub fn first_line(&self) -> &str {
        self.head.split("\r\n").next().unwrap_or_default()
    }
}

impl Arrivals {
    /// Reads one request and records what it is; returns it if it is well-formed.
    pub fn read(&self, line: &mut Line) -> Option<Request> {
        let first = line.bytes(1)?;
        let number = self.begin();
        let read = read(first, line);
        let (arrival, request) = match read {
            Some(Ok(request)) => (Arrival::Whole(request.clone()), Some(request)),
            Some(Err(flaw)) => (Arrival::Flawed(flaw), None),
            None => return None,
        };
        let mut log = self.lock();
        // The entry may have been taken meanwhile: then what ended here belongs to an earlier row.
        if let Some(entry) = log.entries.iter_mut().find(|(other, _)| *other == number) {
            entry.1 = arrival;
        }
        request
    }

    /// Everything since the last look.
    pub fn take(&self) -> Vec<Arrival> {
        let entries = std::mem::take(&mut self.lock().entries);
        entries.into_iter().map(|(_, arrival)| arrival).collect()
    }

    fn begin(&self) -> u64 {
        let mut log = self.lock();
        log.count += 1;
        let number = log.count;
        log.entries.push((number, Arrival::Begun));
        number
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rest of a request whose first byte has come; nothing when the connection ends within it.
fn read(first: Vec<u8>, line: &mut Line) -> Option<Result<Request, String>> {
    let head = section(first, line)?;
    let head = String::from_utf8_lossy(&head).into_owned();
    if let Err(flaw) = check_head(&head) {
        return Some(Err(format!("{flaw}: {head:?}")));
    }
    let lengths = fields(&head, "content-length");
    let codings = fields(&head, "transfer-encoding");
    let (body, trailers) = match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => (Vec::new(), String::new()),
        ([length], []) => match length.parse() {
            Ok(length) => (line.bytes(length)?, String::new()),
            Err(_) => return Some(Err(format!("length {length:?}"))),
        },
        ([], ["chunked"]) => match chunks(line)? {
            Ok(body) => body,
            Err(flaw) => return Some(Err(flaw)),
        },
        _ => return Some(Err(format!("framed in two ways: {head:?}"))),
    };
    Some(Ok(Request {
        head,
        body,
        trailers,
    }))
}

/// Bytes up to and including the first empty line.
fn section(mut bytes: Vec<u8>, line: &mut Line) -> Option<Vec<u8>> {
    while !bytes.ends_with(b"\r\n\r\n") && bytes != b"\r\n" {
        bytes.extend(line.bytes(1)?);
    }
    Some(bytes)
}

fn check_head(head: &str) -> Result<(), String> {
    let mut lines = head.trim_end_matches("\r\n").split("\r\n");
    let first = lines.next().unwrap_or_default();
    let parts: Vec<&str> = first.split(' ').collect();
    if !matches!(parts[..], [method, target, "HTTP/1.1"] if is_token(method) && target.starts_with('/'))
    {
        return Err(format!("request line {first:?}"));
    }
    for line in lines {
        check_field(line)?;
    }
    for name in ["host", "authorization"] {
        if fields(head, name).len() != 1 {
            return Err(format!("not one {name}"));
        }
    }
    const ENDING: [&str; 11] = [
        "connection",
        "expect",
        "forwarded",
        "http2-settings",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "upgrade",
        "via",
        "x-forwarded-for",
    ];
    match ENDING.iter().find(|name| !fields(head, name).is_empty()) {
        Some(name) => Err(format!("{name} went on")),
        None => Ok(()),
    }
}

fn check_field(line: &str) -> Result<(), String> {
    let (name, value) = line.split_once(':').ok_or(format!("no colon: {line:?}"))?;
    let is_blank_free = value
        .strip_prefix(' ')
        .is_some_and(|value| value.trim_matches([' ', '\t']) == value);
    let is_plain = value
        .chars()
        .all(|letter| letter == '\t' || !letter.is_ascii_control());
    match is_token(name) && is_blank_free && is_plain {
        true => Ok(()),
        false => Err(format!("field line {line:?}")),
    }
}

fn is_token(text: &str) -> bool {
    let others = "!#$%&'*+-.^_`|~";
    !text.is_empty()
        && text
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || others.contains(letter))
}

/// A chunked body and its trailer lines.
fn chunks(line: &mut Line) -> Option<Result<(Vec<u8>, String), String>> {
    let mut body = Vec::new();
    loop {
        let mut size_line = Vec::new();
        while !size_line.ends_with(b"\r\n") {
            size_line.extend(line.bytes(1)?);
        }
        let digits = String::from_utf8_lossy(&size_line).trim_end().to_string();
        if digits.is_empty() || !digits.chars().all(|digit| digit.is_ascii_hexdigit()) {
            return Some(Err(format!("chunk line {size_line:?}")));
        }
        let Ok(size) = usize::from_str_radix(&digits, 16) else {
            return Some(Err(format!("chunk size {digits}")));
        };
        if size == 0 {
            let trailers = section(Vec::new(), line)?;
            let trailers = String::from_utf8_lossy(&trailers).into_owned();
            return Some(Ok((body, trailers)));
        }
        body.extend(line.bytes(size)?);
        if line.bytes(2)? != b"\r\n" {
            return Some(Err("a chunk without its end".to_string()));
        }
    }
}
