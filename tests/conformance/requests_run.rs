//! Runs the rows of requests.

use serde_json::json;

use crate::arrivals::{Arrival, Arrivals, Request};
use crate::support::client::{Answer, Client, fields};
use crate::support::platform::Platform;
use crate::support::proxy::Proxy;
use crate::{cuts, wire};

/// A request, or several on one connection, and what becomes of each.
pub struct Row {
    pub name: &'static str,
    pub section: &'static str,
    bytes: Vec<u8>,
    /// What is sent only after a 100 has come.
    held_back: Vec<u8>,
    /// Whether a 100 may come although nothing is held back.
    may_continue: bool,
    wants: Vec<Want>,
    end: End,
}

/// What becomes of one request.
enum Want {
    /// One of these errors of the proxy's own; nothing reaches the platform.
    Refused(Vec<u16>),
    /// The same, but its head may have gone on before its body turned out to be malformed.
    RefusedInBody(Vec<u16>),
    /// An answer of the proxy's own.
    Own(u16),
    Passed(Passed),
    /// Nothing: it is not complete.
    Waits,
}

/// What the platform sees.
#[derive(Default)]
struct Passed {
    /// Method and target.
    line: String,
    has: Vec<String>,
    lacks: Vec<&'static str>,
    body: Vec<u8>,
    trailers: String,
}

/// What becomes of the connection after the last answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Stays,
    Closes,
    /// Either is allowed.
    Open,
}

/// Makes a row; its `bytes` are in the tables' notation.
pub fn row(name: &'static str, section: &'static str, bytes: impl AsRef<[u8]>) -> Row {
    Row {
        name,
        section,
        bytes: wire(bytes.as_ref()),
        held_back: Vec::new(),
        may_continue: false,
        wants: Vec::new(),
        end: End::Stays,
    }
}

impl Row {
    pub fn refused(self, status: u16) -> Row {
        self.refused_with(&[status])
    }

    pub fn refused_with(mut self, statuses: &[u16]) -> Row {
        self.wants.push(Want::Refused(statuses.to_vec()));
        self.closes()
    }

    pub fn refused_in_body(mut self, status: u16) -> Row {
        self.wants.push(Want::RefusedInBody(vec![status]));
        self.closes()
    }

    pub fn own(mut self, status: u16) -> Row {
        self.wants.push(Want::Own(status));
        self
    }

    pub fn waits(mut self) -> Row {
        self.wants.push(Want::Waits);
        self.closes()
    }

    /// One more request reaches the platform, with this method and target.
    pub fn passes(mut self, line: impl Into<String>) -> Row {
        self.wants.push(Want::Passed(Passed {
            line: line.into(),
            ..Passed::default()
        }));
        self
    }

    /// The platform sees this field line.
    pub fn has(mut self, line: impl Into<String>) -> Row {
        self.passed().has.push(line.into());
        self
    }

    /// The platform sees no field of this name.
    pub fn lacks(mut self, name: &'static str) -> Row {
        self.passed().lacks.push(name);
        self
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Row {
        self.passed().body = body.as_ref().to_vec();
        self
    }

    /// The platform sees these trailer lines, in the tables' notation.
    pub fn trailers(mut self, trailers: &str) -> Row {
        self.passed().trailers = trailers.replace('|', "\r\n");
        self
    }

    pub fn closes(mut self) -> Row {
        self.end = End::Closes;
        self
    }

    pub fn may_close(mut self) -> Row {
        self.end = End::Open;
        self
    }

    /// These bytes follow once a 100 has come.
    pub fn after_continue(mut self, bytes: &str) -> Row {
        self.held_back = wire(bytes.as_bytes());
        self
    }

    /// A 100 may come, but need not.
    pub fn may_continue(mut self) -> Row {
        self.may_continue = true;
        self
    }

    /// Whether a request may begin at the platform that never ends. When the platform notices is not known, so these
    /// rows come last.
    pub fn may_begin(&self) -> bool {
        let may_begin = |want: &Want| matches!(want, Want::RefusedInBody(_) | Want::Waits);
        self.wants.iter().any(may_begin)
    }

    fn passed(&mut self) -> &mut Passed {
        match self.wants.last_mut() {
            Some(Want::Passed(passed)) => passed,
            _ => panic!("{} passes nothing yet", self.name),
        }
    }
}

/// The proxy and the platform that all rows share.
pub struct Bench {
    proxy: Proxy,
    authority: String,
    arrivals: Arrivals,
}

impl Bench {
    pub fn new() -> Bench {
        let arrivals = Arrivals::default();
        let seen = arrivals.clone();
        let platform = Platform::raw(move |_, line, _| {
            while let Some(request) = seen.read(line) {
                let body = match request.head.starts_with("HEAD ") {
                    true => "",
                    false => "ok",
                };
                line.send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{body}"
                ));
            }
        });
        let base_url = platform.base_url();
        let authority = base_url.trim_start_matches("http://").to_string();
        let config = json!({"enable_key_validation": false, "max_attempts": 1});
        let proxy = Proxy::with(config, &json!([platform.entry(&["platform-key-1"])]));
        // Answered once the initial probes have ended: they would be among the arrivals.
        proxy.page("/health");
        Bench {
            proxy,
            authority,
            arrivals,
        }
    }

    /// Runs a row whole and in two pieces.
    pub fn run(&self, row: &Row) {
        for cut in cuts(row.bytes.len()) {
            self.run_cut(row, cut);
        }
    }

    fn run_cut(&self, row: &Row, cut: usize) {
        self.arrivals.take();
        let mut client = self.proxy.connect();
        client.try_send(&row.bytes[..cut]);
        if cut < row.bytes.len() {
            // The proxy has one thread: when it has answered this, it has seen the first piece.
            assert_eq!(self.proxy.ask("/routes"), 200);
            client.try_send(&row.bytes[cut..]);
        }
        if !row.held_back.is_empty() {
            let head = client.head();
            assert_eq!(head, "HTTP/1.1 100 Continue\r\n\r\n", "cut at {cut}");
            client.send(&row.held_back);
        }
        for want in &row.wants {
            check_answer(row, want, &mut client);
        }
        self.check_end(row, &mut client);
        // What a request left behind on the way to the platform would get into this one.
        assert_eq!(self.proxy.ask("/test/next"), 200, "cut at {cut}");
        self.check_arrivals(row, cut);
    }

    fn check_end(&self, row: &Row, client: &mut Client) {
        match row.end {
            End::Stays => {
                client.send("GET /routes HTTP/1.1\r\nHost: h\r\n\r\n");
                assert_eq!(client.answer().status, 200, "after it");
            }
            End::Closes if matches!(row.wants.last(), Some(Want::Waits)) => {
                assert_eq!(self.proxy.ask("/routes"), 200);
                client.half_close();
                client.ends();
            }
            End::Closes => client.ends(),
            End::Open => {}
        }
    }

    fn check_arrivals(&self, row: &Row, cut: usize) {
        let mut arrivals = self.arrivals.take();
        if row.may_begin() {
            arrivals.retain(|arrival| *arrival != Arrival::Begun);
        }
        let (last, arrivals) = arrivals.split_last().expect("the last request arrived");
        assert!(
            matches!(last, Arrival::Whole(request) if request.first_line() == "GET /v1/next HTTP/1.1"),
            "cut at {cut}: {last:?}"
        );
        let mut arrivals = arrivals.iter();
        for want in &row.wants {
            match want {
                Want::Passed(passed) => match arrivals.next() {
                    Some(Arrival::Whole(request)) => self.check_request(passed, request),
                    other => panic!("cut at {cut}: arrived {other:?}"),
                },
                Want::Refused(_) | Want::RefusedInBody(_) | Want::Own(_) | Want::Waits => {}
            }
        }
        let others: Vec<_> = arrivals.collect();
        assert!(others.is_empty(), "cut at {cut}: also arrived: {others:?}");
    }

    fn check_request(&self, passed: &Passed, request: &Request) {
        assert_eq!(request.first_line(), format!("{} HTTP/1.1", passed.line));
        assert_eq!(fields(&request.head, "host"), [&self.authority]);
        assert_eq!(
            fields(&request.head, "authorization"),
            ["Bearer platform-key-1"]
        );
        for line in &passed.has {
            let found = request.head.split("\r\n").any(|seen| seen == line);
            assert!(found, "no {line:?} in {}", request.head);
        }
        for name in &passed.lacks {
            let values = fields(&request.head, name);
            assert!(values.is_empty(), "{name} in {}", request.head);
        }
        let body = String::from_utf8_lossy(&request.body);
        assert_eq!(body, String::from_utf8_lossy(&passed.body));
        assert_eq!(
            request.trailers.trim_end_matches("\r\n"),
            passed.trailers.trim_end_matches("\r\n")
        );
    }
}

/// Reads the answer that is due, strictly.
fn read_answer(row: &Row, want: &Want, client: &mut Client) -> Answer {
    let is_head = match want {
        Want::Passed(passed) => passed.line.starts_with("HEAD "),
        Want::Own(_) | Want::Refused(_) | Want::RefusedInBody(_) | Want::Waits => {
            row.bytes.starts_with(b"HEAD ")
        }
    };
    let method = if is_head { "HEAD" } else { "GET" };
    let answer = match row.may_continue {
        true => client.answer_to(method),
        false => client.answer_at_once_to(method),
    };
    for name in ["date", "x-request-id"] {
        assert_eq!(answer.fields(name).len(), 1, "{name} in {answer:?}");
    }
    if answer.status == 204 {
        assert_eq!(answer.field("content-length"), None);
    }
    // RFC 9110 section 15.5.6.
    assert!(answer.status != 405 || answer.field("allow").is_some());
    answer
}

fn check_answer(row: &Row, want: &Want, client: &mut Client) {
    match want {
        Want::Refused(statuses) | Want::RefusedInBody(statuses) => {
            let answer = read_answer(row, want, client);
            assert!(statuses.contains(&answer.status), "{answer:?}");
            assert!(answer.field("x-proxy-error").is_some(), "{answer:?}");
            assert_eq!(answer.field("connection"), Some("close"));
        }
        Want::Own(status) => {
            let answer = read_answer(row, want, client);
            assert_eq!(answer.status, *status, "{answer:?}");
        }
        Want::Passed(passed) => {
            let answer = read_answer(row, want, client);
            let body = if passed.line.starts_with("HEAD ") {
                ""
            } else {
                "ok"
            };
            assert_eq!((answer.status, answer.text()), (200, body), "{answer:?}");
        }
        Want::Waits => {}
    }
}
