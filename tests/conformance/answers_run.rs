//! Runs the rows of answers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde_json::json;

use crate::support::client::{Answer, Client};
use crate::support::platform::{Line, Next, Platform, Seen};
use crate::support::proxy::Proxy;
use crate::{cuts, wire};

/// What a platform sends, and what the client receives of it.
pub struct Row {
    pub name: &'static str,
    pub section: &'static str,
    /// What is asked.
    method: &'static str,
    version: &'static str,
    /// More field lines of the request.
    lines: &'static str,
    /// The platform's entry that is used.
    platform: &'static str,
    bytes: Vec<u8>,
    after: After,
    want: Want,
    /// Heads of interim answers that come first, each with these field lines.
    interims: Vec<Vec<&'static str>>,
    has: Vec<&'static str>,
    lacks: Vec<&'static str>,
    trailers: &'static str,
    /// Whether the next request may use the platform's connection.
    reused: bool,
    /// Whether it is sent in two pieces, too.
    is_cut: bool,
}

/// What the platform does after it has sent its bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Stays,
    Closes,
}

enum Want {
    Delivered {
        status: u16,
        body: Vec<u8>,
    },
    BadGateway,
    /// The head, and a body that the client can tell is not whole.
    CutOff {
        status: u16,
    },
}

/// Makes a row; its `bytes` are in the tables' notation.
pub fn row(name: &'static str, section: &'static str, bytes: impl AsRef<[u8]>) -> Row {
    Row {
        name,
        section,
        method: "GET",
        version: "1.1",
        lines: "",
        platform: "test",
        bytes: wire(bytes.as_ref()),
        after: After::Stays,
        want: Want::BadGateway,
        interims: Vec::new(),
        has: Vec::new(),
        lacks: Vec::new(),
        trailers: "",
        reused: false,
        is_cut: true,
    }
}

impl Row {
    /// It is the answer to this method.
    pub fn to(mut self, method: &'static str) -> Row {
        self.method = method;
        self
    }

    /// The client speaks HTTP/1.0.
    pub fn for_http_1_0(mut self) -> Row {
        self.version = "1.0";
        self
    }

    /// The client speaks HTTP/1.0 and wants to keep its connection.
    pub fn for_http_1_0_that_stays(mut self) -> Row {
        self.lines = "Connection: keep-alive\r\n";
        self.for_http_1_0()
    }

    /// From a separate entry, since the answer makes the keys unusable.
    pub fn from(mut self, platform: &'static str) -> Row {
        self.platform = platform;
        self
    }

    /// The platform closes afterwards.
    pub fn then_closes(mut self) -> Row {
        self.after = After::Closes;
        self
    }

    /// Whole, and the connection to the platform serves the next request, unless the answer must have no body: some
    /// platforms send one all the same, which would be taken for the next answer.
    pub fn delivered(mut self, status: u16, body: impl AsRef<[u8]>) -> Row {
        self.reused = self.method != "HEAD" && !matches!(status, 204 | 304);
        self.whole(status, body)
    }

    /// Whole, and the connection to the platform is not used again.
    pub fn delivered_once(mut self, status: u16, body: impl AsRef<[u8]>) -> Row {
        self.reused = false;
        self.whole(status, body)
    }

    fn whole(mut self, status: u16, body: impl AsRef<[u8]>) -> Row {
        let body = body.as_ref().to_vec();
        self.want = Want::Delivered { status, body };
        self
    }

    pub fn bad_gateway(mut self) -> Row {
        self.want = Want::BadGateway;
        self
    }

    pub fn cut_off(mut self, status: u16) -> Row {
        self.want = Want::CutOff { status };
        self
    }

    /// An interim answer comes first whose head has these lines.
    pub fn interim(mut self, lines: &[&'static str]) -> Row {
        self.interims.push(lines.to_vec());
        self
    }

    /// The client sees this line in the head.
    pub fn has(mut self, line: &'static str) -> Row {
        self.has.push(line);
        self
    }

    /// The client sees no field of this name.
    pub fn lacks(mut self, name: &'static str) -> Row {
        self.lacks.push(name);
        self
    }

    /// The client sees these trailer lines, in the tables' notation.
    pub fn trailers(mut self, trailers: &'static str) -> Row {
        self.trailers = trailers;
        self
    }

    /// Surplus bytes must come with the rest: later they would reach the next request.
    pub fn in_one_piece(mut self) -> Row {
        self.is_cut = false;
        self
    }
}

/// What the platform is to send next.
#[derive(Default)]
struct Script {
    pieces: Vec<Vec<u8>>,
    closes: bool,
}

/// The proxy and the platform that all rows share.
pub struct Bench {
    proxy: Proxy,
    platform: Platform,
    script: Arc<Mutex<Script>>,
}

impl Bench {
    pub fn new() -> Bench {
        let script = Arc::<Mutex<Script>>::default();
        let port = Arc::<OnceLock<u16>>::default();
        let (scripted, proxy_port) = (Arc::clone(&script), Arc::clone(&port));
        let platform = Platform::serve(move |seen, line| match seen.path() {
            "/v1/row" => play(&scripted, &proxy_port, line),
            _ => {
                line.answer("200 OK", "{}");
                Next::Await
            }
        });
        let entries: Vec<_> = ["test", "denied", "limited"]
            .map(|name| {
                let mut entry = platform.entry(&[&format!("platform-key-of-{name}")]);
                entry["name"] = json!(name);
                entry
            })
            .into();
        let config = json!({"enable_key_validation": false, "max_attempts": 1});
        let proxy = Proxy::with(config, &json!(entries));
        port.set(proxy.port()).expect("it is set once");
        // Answered once the initial probes have ended, which would take up connections.
        proxy.page("/health");
        Bench {
            proxy,
            platform,
            script,
        }
    }

    /// Runs a row whole and in two pieces.
    pub fn run(&self, row: &Row) {
        let mut cuts = cuts(row.bytes.len());
        if !row.is_cut {
            cuts.truncate(1);
        }
        for cut in cuts {
            let (first, rest) = row.bytes.split_at(cut);
            let pieces = [first, rest].into_iter().filter(|piece| !piece.is_empty());
            *self.script.lock().unwrap_or_else(PoisonError::into_inner) = Script {
                pieces: pieces.map(<[u8]>::to_vec).collect(),
                closes: row.after == After::Closes,
            };
            self.run_once(row, cut);
        }
    }

    fn run_once(&self, row: &Row, cut: usize) {
        self.platform.all();
        let mut client = self.proxy.connect();
        client.send(format!(
            "{} /{}/row HTTP/{}\r\nHost: h\r\n{}\r\n",
            row.method, row.platform, row.version, row.lines
        ));
        for lines in &row.interims {
            check_interim(&client.head(), lines);
        }
        match &row.want {
            Want::Delivered { status, body } => check_delivered(row, *status, body, &mut client),
            Want::BadGateway => {
                let answer = client.answer_at_once_to(row.method);
                assert_eq!(answer.status, 502, "cut at {cut}: {answer:?}");
                assert_eq!(answer.field("x-proxy-error"), Some("upstream_error"));
            }
            Want::CutOff { status } => check_cut_off(*status, &mut client),
        }
        let served = self.platform.next();
        assert_eq!(self.proxy.ask("/test/next"), 200, "cut at {cut}");
        let next = self.next_request();
        let reused = next.connection == served.connection;
        assert_eq!(reused, row.reused, "cut at {cut}: used again");
    }

    /// The request after a row's own, which the proxy may have sent again on a new connection.
    fn next_request(&self) -> Seen {
        loop {
            let seen = self.platform.next();
            if seen.path() == "/v1/next" {
                return seen;
            }
        }
    }
}

/// Sends a row's bytes.
fn play(script: &Mutex<Script>, port: &OnceLock<u16>, line: &mut Line) -> Next {
    let script = script.lock().unwrap_or_else(PoisonError::into_inner);
    for (number, piece) in script.pieces.iter().enumerate() {
        if number > 0 {
            await_turn(*port.get().expect("the proxy runs"));
        }
        line.send(piece);
    }
    match script.closes {
        true => Next::Close,
        false => Next::Await,
    }
}

/// Returns once the proxy has had a turn: it has one thread, and has seen what was sent before.
fn await_turn(port: u16) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the proxy accepts");
    let _ = stream.write_all(b"GET /routes HTTP/1.0\r\n\r\n");
    let _ = stream.read_to_end(&mut Vec::new());
}

fn check_interim(head: &str, lines: &[&str]) {
    for line in lines {
        let found = head.split("\r\n").any(|seen| seen == *line);
        assert!(found, "no {line:?} in {head:?}");
    }
    for name in ["content-length", "transfer-encoding", "connection"] {
        let name = format!("\r\n{name}:");
        assert!(!head.to_ascii_lowercase().contains(&name), "{head:?}");
    }
}

fn check_delivered(row: &Row, status: u16, body: &[u8], client: &mut Client) {
    let answer = client.answer_at_once_to(row.method);
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.text(), String::from_utf8_lossy(body), "{answer:?}");
    for name in ["date", "x-request-id"] {
        assert_eq!(answer.fields(name).len(), 1, "{name} in {answer:?}");
    }
    for line in &row.has {
        let found = answer.head.split("\r\n").any(|seen| seen == *line);
        assert!(found, "no {line:?} in {answer:?}");
    }
    for name in &row.lacks {
        assert!(answer.fields(name).is_empty(), "{name} in {answer:?}");
    }
    assert_eq!(answer.trailers, row.trailers.replace('|', "\r\n"));
    check_end(row, &answer, client);
}

/// Checks that the client's connection goes on, or that its end was announced and comes.
fn check_end(row: &Row, answer: &Answer, client: &mut Client) {
    if answer.status == 204 {
        assert!(answer.fields("content-length").is_empty(), "{answer:?}");
    }
    if row.version == "1.0" {
        assert!(answer.fields("transfer-encoding").is_empty(), "{answer:?}");
    }
    match (answer.field("connection"), row.version) {
        (Some("close"), _) => client.ends(),
        (None, "1.1") | (Some("keep-alive"), "1.0") => {
            client.send("GET /routes HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(client.answer().status, 200, "after it");
        }
        (other, version) => panic!("{other:?} in {version}: {answer:?}"),
    }
}

fn check_cut_off(status: u16, client: &mut Client) {
    let head = client.head();
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head:?}");
    let length = crate::support::client::fields(&head, "content-length");
    let codings = crate::support::client::fields(&head, "transfer-encoding");
    match (length.as_slice(), codings.as_slice()) {
        ([], []) => assert!(client.is_reset(), "its end would be taken for the body's"),
        ([length], []) => {
            let length: usize = length.parse().expect("a length");
            assert!(client.rest().len() < length, "it looks whole");
        }
        ([], ["chunked"]) => {
            let rest = client.rest();
            assert!(!rest.ends_with(b"0\r\n\r\n"), "it looks whole");
        }
        _ => panic!("framed in two ways: {head:?}"),
    }
}
