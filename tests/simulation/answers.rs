//! What a client reads on one connection: final answers one after the other, each after its interim ones.

use super::plan::{Flaw, Request};
use super::reader::{Body, Head};
use super::wire::End;

#[derive(Default)]
pub struct Answers {
    pub unread: Vec<u8>,
    current: Option<Current>,
    interims: usize,
    is_last: bool,
}

/// The answer whose body is being read.
struct Current {
    answer: Final,
    body: Body,
}

/// A final answer, whole.
#[derive(Clone, Debug)]
pub struct Final {
    pub status: u16,
    /// The tag that its platform gave it.
    pub tag: Option<String>,
    pub proxy_error: Option<String>,
    pub content: Vec<u8>,
    pub closes: bool,
}

impl Answers {
    /// Whether an interim answer has come to the present request.
    pub fn had_interim(&self) -> bool {
        self.interims > 0
    }

    /// Whether an answer has said that none follows.
    pub fn is_last(&self) -> bool {
        self.is_last
    }

    pub fn has_begun(&self) -> bool {
        self.current.is_some() || !self.unread.is_empty()
    }

    /// In words, for a failure.
    pub fn describe(&self) -> String {
        match &self.current {
            None => format!("{} bytes of a head", self.unread.len()),
            Some(Current { answer, body }) => format!(
                "{} bytes of a {}'s body, then {body:?}",
                answer.content.len(),
                answer.status
            ),
        }
    }

    /// Reads on; returns the answer to `request` once it is whole.
    pub fn read(&mut self, request: &Request) -> Option<Final> {
        while self.current.is_none() {
            let head = Head::take(&mut self.unread)?;
            self.begin(&head, request);
        }
        let current = self.current.as_mut()?;
        current
            .body
            .read(&mut self.unread, &mut current.answer.content);
        if !current.body.is_done() {
            return None;
        }
        self.interims = 0;
        self.current.take().map(|current| current.answer)
    }

    /// The connection has ended. An answer that lasts until then is whole if the end was orderly.
    pub fn end(&mut self, end: End) -> Option<Final> {
        let current = self
            .current
            .take_if(|current| end == End::Fin && current.body == Body::UntilEnd)?;
        Some(current.answer)
    }

    fn begin(&mut self, head: &Head, request: &Request) {
        let id = &request.id;
        let line = head.start.strip_prefix("HTTP/1.1 ").expect("a status line");
        assert_eq!(line.as_bytes()[3], b' ', "{id}: {line}");
        let status: u16 = line[..3].parse().expect("a status");
        if status < 200 {
            assert!(matches!(status, 100 | 103), "{id}: {status}");
            assert!(!request.is_http10, "{id}: an interim answer to HTTP/1.0");
            assert_eq!(head.framing(), None, "{id}");
            self.interims += 1;
            return;
        }
        assert!(!self.is_last, "{id}: an answer behind the last one");
        let closes = head.one("connection") == Some("close")
            || request.is_http10 && head.one("connection") != Some("keep-alive");
        // A request line that ends after the method is not a request.
        let is_head = request.method == "HEAD" && request.flaw != Some(Flaw::RequestLine);
        let has_body = !is_head && status != 204 && status != 304;
        let body = match head.framing() {
            // If the head did not arrive whole, the method may be known or not.
            _ if is_head && status == 408 && closes => Body::UntilEnd,
            _ if !has_body => Body::Length(0),
            Some(Body::Chunked(_)) if request.is_http10 => panic!("{id}: chunks for HTTP/1.0"),
            Some(body) => body,
            None => {
                assert!(
                    closes,
                    "{id}: a body until the end of a connection that stays"
                );
                Body::UntilEnd
            }
        };
        self.is_last = closes;
        self.current = Some(Current {
            body,
            answer: Final {
                status,
                tag: head.one("x-sim-answer").map(str::to_string),
                proxy_error: head.one("x-proxy-error").map(str::to_string),
                content: Vec::new(),
                closes,
            },
        });
    }
}
