//! Sends an answer of the program's own: a page, an error, the demo platform's words.

use std::borrow::Cow;
use std::time::Instant;

use crate::base::buffer::Buffer;
use crate::base::now::Now;
use crate::http::body::Decoder;
use crate::http::chunked::chunk_head;
use crate::http::request::RequestHead;
use crate::http::response::Asked;
use crate::service::demo::{DemoStream, Pace};
use crate::service::reply::{Content, Reply};

use super::answer::{Extent, HEAD_ROOM_BYTES, write_own_head};
use super::core::Core;
use super::reason::Reason;
use super::request::{Cors, Request};
use super::transfer::{Coding, ROOM_MIN};
use super::{Cx, End, Exchange, Step, after_answer};

pub struct Replying {
    request: Box<Request>,
    end: End,
    decoder: Decoder,
    stage: Stage,
}

enum Stage {
    /// The answer is held back until then.
    Held(Instant, Reply),
    Whole {
        body: Cow<'static, [u8]>,
        sent: usize,
    },
    Demo {
        stream: DemoStream,
        coding: Coding,
        due: Instant,
    },
}

impl Replying {
    /// Answers `request` with `reply`; `decoder` stands in the request's body.
    pub fn new(request: Box<Request>, reply: Reply, decoder: Decoder, now: Now) -> Replying {
        Replying {
            end: End::answered(reply.status),
            request,
            decoder,
            stage: Stage::Held(now.instant + reply.delay, reply),
        }
    }

    /// Answers `request` with the error that `reason` is.
    pub fn refuse(
        request: Box<Request>,
        reason: Reason,
        decoder: Decoder,
        cx: &mut Cx<'_>,
    ) -> Replying {
        log::debug!(
            "{} {} {}: {}",
            request.id,
            request.method,
            request.path,
            reason.message()
        );
        if request.tries == 0 {
            cx.core.figures.refused(reason.code());
        }
        Replying {
            end: End::failed(&reason),
            ..Replying::new(request, error_reply(&reason), decoder, cx.now)
        }
    }

    pub fn step(mut self, cx: &mut Cx<'_>) -> (Exchange, Step) {
        if let Stage::Held(until, _) = &self.stage
            && (cx.now.instant < *until || cx.client.output.room() < HEAD_ROOM_BYTES)
        {
            return (Exchange::Replying(self), Step::Wait);
        }
        self.stage = match self.stage {
            Stage::Held(_, reply) => begin(reply, &mut self.request, cx),
            begun @ (Stage::Whole { .. } | Stage::Demo { .. }) => begun,
        };
        let stalled =
            cx.client.active_at + self.request.site.settings.idle_timeout <= cx.now.instant;
        let done = match &mut self.stage {
            Stage::Held(..) => false,
            Stage::Whole { body, sent } => {
                *sent += cx.client.output.append(&body[*sent..]);
                *sent == body.len()
            }
            Stage::Demo {
                stream,
                coding,
                due,
            } => produce(stream, *coding, due, cx.client.output, cx.now),
        };
        match done {
            true => self.complete(cx),
            false if stalled => (Exchange::Replying(self), Step::Close(Reason::Idle)),
            false => (Exchange::Replying(self), Step::Wait),
        }
    }

    pub fn deadline(&self, client_at: Instant) -> Instant {
        let stalls_at = client_at + self.request.site.settings.idle_timeout;
        match &self.stage {
            Stage::Held(until, _) => *until,
            Stage::Whole { .. } => stalls_at,
            Stage::Demo { due, .. } => stalls_at.min(*due),
        }
    }

    fn complete(self, cx: &mut Cx<'_>) -> (Exchange, Step) {
        let next = after_answer(&self.request, self.decoder, cx.core.phase, cx.now);
        cx.core.finish(self.request, self.end, cx.now);
        (next, Step::Again)
    }

    pub fn abort(self, reason: &Reason, core: &mut Core, now: Now) {
        core.finish(self.request, End::failed(reason), now);
    }
}

/// Writes the head; what remains is the body.
fn begin(reply: Reply, request: &mut Request, cx: &mut Cx<'_>) -> Stage {
    let extent = match &reply.content {
        Content::None => Extent::NoBody,
        Content::Whole(body) => Extent::Bytes(body.len()),
        Content::Demo(_) => Extent::Stream,
    };
    let mut fields = reply
        .fields
        .iter()
        .map(|(name, value)| (*name, value.as_ref()));
    let out = &mut *cx.client.output;
    let coding = write_own_head(
        out,
        cx.core,
        request,
        reply.status,
        extent,
        &mut fields,
        cx.now,
    );
    match (reply.content, request.asked) {
        (Content::None, _) | (_, Asked::Head) => Stage::Whole {
            body: Cow::Borrowed(&[]),
            sent: 0,
        },
        (Content::Whole(body), Asked::Other) => Stage::Whole { body, sent: 0 },
        (Content::Demo(stream), Asked::Other) => Stage::Demo {
            stream,
            coding,
            due: cx.now.instant,
        },
    }
}

/// Writes the events that are due; whether the stream has ended.
fn produce(
    stream: &mut DemoStream,
    coding: Coding,
    due: &mut Instant,
    out: &mut Buffer,
    now: Now,
) -> bool {
    if now.instant < *due || out.room() < ROOM_MIN {
        return false;
    }
    let mut events = Vec::new();
    let pace = stream.produce(now, &mut events);
    if coding == Coding::Chunked && !events.is_empty() {
        out.put(chunk_head(events.len()).as_bytes());
    }
    out.put(&events);
    if coding == Coding::Chunked && !events.is_empty() {
        out.put(b"\r\n");
    }
    match pace {
        Pace::Until(next) => {
            *due = next;
            false
        }
        Pace::End => {
            if coding == Coding::Chunked {
                out.put(b"0\r\n\r\n");
            }
            true
        }
    }
}

/// An error in OpenAI's shape, which SDKs turn into their usual exceptions.
pub fn error_reply(reason: &Reason) -> Reply {
    let body = serde_json::json!({
        "error": {
            "message": reason.message(),
            "type": reason.kind(),
            "param": null,
            "code": reason.code(),
        }
    });
    let mut reply = Reply::json(reason.status(), &body).with("x-proxy-error", reason.code());
    if let Some(seconds) = reason.retry_after_seconds() {
        reply = reply.with("retry-after", seconds.to_string());
    }
    if reason.forbids_retry() {
        reply = reply.with("x-should-retry", "false");
    }
    match reason {
        Reason::MethodNotAllowed(allow) => reply.with("allow", *allow),
        // RFC 9110 section 11.6.1: a 401 names the scheme.
        _ if reason.status() == 401 => reply.with("www-authenticate", "Bearer"),
        _ => reply,
    }
}

/// The answer to a browser's question whether its script may call (Fetch standard, CORS preflight).
pub fn preflight_reply(request: &Request, head: &RequestHead<'_, '_>) -> Option<Reply> {
    let text = |name| {
        head.field(name)
            .and_then(|value| std::str::from_utf8(value).ok())
    };
    let method = text("access-control-request-method").filter(|_| head.method == "OPTIONS")?;
    let reply = match request.cors {
        Cors::NotAsked => return None,
        Cors::Refused => return Some(Reply::empty(204)),
        Cors::Any | Cors::Only(_) => {
            Reply::empty(204).with("access-control-allow-methods", method.to_string())
        }
    };
    let asked = text("access-control-request-headers").unwrap_or_default();
    let names = asked.split(',').map(str::trim);
    let others =
        names.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("authorization"));
    let allowed: Vec<&str> = std::iter::once("authorization").chain(others).collect();
    Some(
        reply
            .with("access-control-allow-headers", allowed.join(", "))
            .with("access-control-max-age", "600"),
    )
}
