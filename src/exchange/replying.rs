//! Sends an answer that the program itself generates: a page, an error, or the demo platform's text.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::base::buffer::Buffer;
use crate::base::now::Now;
use crate::http::body::Decoder;
use crate::http::chunked::chunk_head;
use crate::http::name;
use crate::http::request::RequestHead;
use crate::http::response::Asked;
use crate::service::assets::Preferences;
use crate::service::demo::{DemoStream, EVENTS_BYTES_MAX};
use crate::service::pages::{self, Page};
use crate::service::reply::{Content, Reply};

use super::answer::write_own_head;
use super::core::Core;
use super::end::{End, log_end};
use super::reason::Reason;
use super::request::{Cors, Request, Role};
use super::transfer::{Coding, ROOM_MIN, put_piece};
use super::{Cx, Exchange, Step, after_answer};

/// How long a listener of `/events` may go without reading.
const LISTENER_PATIENCE: Duration = Duration::from_secs(10);

/// The demo platform's events fit into the room that is required, framing included.
const _: () = assert!(EVENTS_BYTES_MAX + 64 <= ROOM_MIN);

const CHUNK_END: &[u8] = b"\r\n";
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

pub struct Replying {
    request: Box<Request>,
    end: End,
    decoder: Decoder,
    stage: Stage,
    /// When the stage began: time before that does not count as the client's idleness.
    since: Instant,
}

enum Stage {
    /// No byte of the answer has been written.
    Before(Before),
    /// The head has been written, and this body follows.
    Body(Body),
}

/// What an answer waits for before its head is written, for which there is room.
enum Before {
    /// The answer is held back until then.
    Held(Instant, Reply),
    /// `/health`: the round of probes is under way.
    Round,
}

enum Body {
    Whole {
        body: Cow<'static, [u8]>,
        sent: usize,
    },
    Demo {
        stream: DemoStream,
        coding: Coding,
        /// The client must take what has been written before more is produced.
        is_behind: bool,
    },
    /// `/events`: this event is being sent.
    Event {
        event: Rc<[u8]>,
        sent: usize,
        coding: Coding,
    },
}

impl Replying {
    /// Answers `request` with `reply`; `decoder` tells how far the request's body has been read.
    pub fn new(request: Box<Request>, reply: Reply, decoder: Decoder, now: Now) -> Box<Replying> {
        let end = End::answered(reply.status);
        let held = Before::Held(now.instant + reply.delay, reply);
        Replying::before(held, end, request, decoder, now)
    }

    /// Answers `request` with the error for `reason`.
    pub fn refuse(
        request: Box<Request>,
        reason: Reason,
        decoder: Decoder,
        cx: &mut Cx<'_>,
    ) -> Box<Replying> {
        log_end(&request, &reason, cx.core);
        if request.role == Role::Proxy && request.tries == 0 {
            cx.core.figures.refused(reason.code());
        }
        let mut replying = Replying::new(request, error_reply(&reason), decoder, cx.now);
        replying.end = End::failed(&reason);
        replying
    }

    /// Answers with the states of all keys once the round of probes has ended.
    pub fn after_round(request: Box<Request>, decoder: Decoder, cx: &mut Cx<'_>) -> Box<Replying> {
        cx.core.await_round(cx.session);
        Replying::before(Before::Round, End::answered(200), request, decoder, cx.now)
    }

    fn before(
        before: Before,
        end: End,
        request: Box<Request>,
        decoder: Decoder,
        now: Now,
    ) -> Box<Replying> {
        Box::new(Replying {
            request,
            end,
            decoder,
            stage: Stage::Before(before),
            since: now.instant,
        })
    }

    pub fn step(mut self: Box<Self>, cx: &mut Cx<'_>) -> (Exchange, Step) {
        let mut body = match self.stage {
            Stage::Body(body) => body,
            Stage::Before(before) if before.is_over(cx) => {
                self.since = cx.now.instant;
                before.begin(&mut self.request, &self.decoder, cx)
            }
            Stage::Before(_) => return self.wait(cx),
        };
        let is_sent = match &mut body {
            Body::Whole { body, sent } => {
                *sent += cx.client.output.append(&body[*sent..]);
                *sent == body.len()
            }
            Body::Demo {
                stream,
                coding,
                is_behind,
            } => {
                *is_behind = cx.client.output.room() < ROOM_MIN;
                !*is_behind && produce(stream, *coding, cx.client.output, cx.now)
            }
            Body::Event {
                event,
                sent,
                coding,
            } => {
                let may_go_on = cx.core.may_listen(&self.request);
                send_event(event, sent, *coding, may_go_on, cx)
            }
        };
        self.stage = Stage::Body(body);
        match is_sent {
            true => self.complete(cx),
            false => self.wait(cx),
        }
    }

    /// Waits for the client, or for whatever else the stage needs.
    fn wait(self: Box<Self>, cx: &Cx<'_>) -> (Exchange, Step) {
        match self.has_begun() && self.stalls_at(cx.client.active_at) <= cx.now.instant {
            true => (Exchange::Replying(self), Step::Close(Reason::Idle)),
            false => (Exchange::Replying(self), Step::Wait),
        }
    }

    /// Whether the head has been written.
    pub fn has_begun(&self) -> bool {
        matches!(self.stage, Stage::Body(_))
    }

    /// None where something other than time ends the wait.
    pub fn deadline(&self, client_at: Instant) -> Option<Instant> {
        let stalls_at = self.stalls_at(client_at);
        match &self.stage {
            Stage::Before(Before::Held(until, _)) => Some(*until),
            Stage::Before(Before::Round) => None,
            Stage::Body(Body::Demo {
                stream,
                is_behind: false,
                ..
            }) => Some(stalls_at.min(stream.due())),
            Stage::Body(_) => Some(stalls_at),
        }
    }

    /// Whether the client would take the end of its connection for the end of the answer.
    pub fn ends_with_connection(&self) -> bool {
        match &self.stage {
            Stage::Before(_) | Stage::Body(Body::Whole { .. }) => false,
            Stage::Body(Body::Demo { coding, .. } | Body::Event { coding, .. }) => {
                *coding == Coding::Identity
            }
        }
    }

    fn stalls_at(&self, client_at: Instant) -> Instant {
        client_at.max(self.since) + self.patience()
    }

    /// How long the client may go without reading. A listener that does not read is dropped, not waited for.
    fn patience(&self) -> Duration {
        match &self.stage {
            Stage::Body(Body::Event { .. }) => LISTENER_PATIENCE,
            Stage::Before(_) | Stage::Body(Body::Whole { .. } | Body::Demo { .. }) => {
                self.request.site.settings.idle_timeout
            }
        }
    }

    fn complete(self: Box<Self>, cx: &mut Cx<'_>) -> (Exchange, Step) {
        let next = after_answer(&self.request, self.decoder, cx.now);
        cx.core.finish(self.request, self.end, cx.now);
        (next, Step::Again)
    }

    pub fn abort(self: Box<Self>, reason: &Reason, core: &mut Core, now: Now) {
        core.finish(self.request, End::failed(reason), now);
    }
}

impl Body {
    const EMPTY: Body = Body::Whole {
        body: Cow::Borrowed(&[]),
        sent: 0,
    };
}

impl Before {
    /// Whether what it waits for has happened.
    fn is_over(&self, cx: &Cx<'_>) -> bool {
        match self {
            Before::Held(until, _) => *until <= cx.now.instant,
            Before::Round => !cx.core.probes.is_in_round(),
        }
    }

    /// Writes the head; what remains is the body.
    fn begin(self, request: &mut Request, request_body: &Decoder, cx: &mut Cx<'_>) -> Body {
        match self {
            Before::Held(_, reply) => begin(reply, request, request_body, cx),
            Before::Round => {
                let view = cx.core.view(cx.now);
                let page = pages::reply(Page::Health, &view, Preferences::default());
                let page = page.expect("the page is always there");
                begin(page, request, request_body, cx)
            }
        }
    }
}

fn begin(reply: Reply, request: &mut Request, request_body: &Decoder, cx: &mut Cx<'_>) -> Body {
    let (out, core) = (&mut *cx.client.output, &mut *cx.core);
    let coding = write_own_head(out, core, request, &reply, request_body, cx.now);
    match (reply.content, request.asked) {
        (Content::None, _) | (_, Asked::Head) => Body::EMPTY,
        (Content::Whole(body), Asked::Other) => Body::Whole { body, sent: 0 },
        (Content::Demo(stream), Asked::Other) => Body::Demo {
            stream,
            coding,
            is_behind: false,
        },
        (Content::Events, Asked::Other) => {
            let event = cx.core.fresh_event(cx.now);
            put_chunk_head(cx.client.output, coding, event.len());
            Body::Event {
                event,
                sent: 0,
                coding,
            }
        }
    }
}

/// Sends what there is room for, and moves on to the next event once this one has been handed over. Returns whether the
/// stream has ended: it ends after the present event if it may not go on.
fn send_event(
    event: &mut Rc<[u8]>,
    sent: &mut usize,
    coding: Coding,
    may_go_on: bool,
    cx: &mut Cx<'_>,
) -> bool {
    if *sent == event.len() {
        let has_room = cx.client.output.room() >= ROOM_MIN;
        match (may_go_on, cx.core.feed.latest(cx.now)) {
            (false, _) if has_room => {
                if coding == Coding::Chunked {
                    cx.client.output.put(LAST_CHUNK);
                }
                return true;
            }
            (true, Some(latest)) if !Rc::ptr_eq(&latest, event) && has_room => {
                put_chunk_head(cx.client.output, coding, latest.len());
                *event = latest;
                *sent = 0;
            }
            (true | false, _) => {
                cx.core.feed.listen(cx.session);
                return false;
            }
        }
    }
    let room = cx.client.output.room().saturating_sub(CHUNK_END.len());
    let count = room.min(event.len() - *sent);
    cx.client.output.put(&event[*sent..*sent + count]);
    *sent += count;
    if *sent == event.len() {
        if coding == Coding::Chunked {
            cx.client.output.put(CHUNK_END);
        }
        cx.core.feed.listen(cx.session);
    }
    false
}

fn put_chunk_head(out: &mut Buffer, coding: Coding, length: usize) {
    if coding == Coding::Chunked {
        out.put(chunk_head(length).as_bytes());
    }
}

/// Writes the events that are due. Returns whether the stream has ended.
fn produce(stream: &mut DemoStream, coding: Coding, out: &mut Buffer, now: Now) -> bool {
    let mut events = Vec::new();
    let is_over = stream.produce(now, &mut events);
    put_piece(out, coding, &events);
    if is_over && coding == Coding::Chunked {
        out.put(LAST_CHUNK);
    }
    is_over
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
    // A reason without a status has no client left to be answered.
    let status = reason.status().unwrap_or(500);
    let mut reply = Reply::json(status, &body).with("x-proxy-error", reason.code());
    if let Some(seconds) = reason.retry_after_seconds() {
        reply = reply.with("retry-after", seconds.to_string());
    }
    if reason.forbids_retry() {
        reply = reply.with("x-should-retry", "false");
    }
    if let Reason::MethodNotAllowed(allow) = reason {
        reply = reply.with("allow", *allow);
    }
    if status == 401 {
        // RFC 9110 section 11.6.1: a 401 names the scheme.
        reply = reply.with("www-authenticate", "Bearer");
    }
    reply
}

/// The answer to a CORS preflight request (Fetch standard), if this is one.
pub fn preflight_reply(request: &Request, head: &RequestHead<'_, '_>) -> Option<Reply> {
    let text = |name| {
        head.field(name)
            .and_then(|value| std::str::from_utf8(value).ok())
    };
    if head.method != "OPTIONS" {
        return None;
    }
    let method = text("access-control-request-method")?;
    let reply = match request.cors {
        Cors::NotAsked => return None,
        Cors::Refused => return Some(Reply::empty(204)),
        Cors::Any | Cors::Only(_) => {
            Reply::empty(204).with("access-control-allow-methods", method.to_string())
        }
    };
    let asked = text("access-control-request-headers").unwrap_or_default();
    let names = asked.split(',').map(str::trim);
    let others = names.filter(|name| !name.is_empty() && !name::is(name, "authorization"));
    let allowed: Vec<&str> = std::iter::once("authorization").chain(others).collect();
    // Without spaces the list is hardly longer than the one asked for, which fitted into a head.
    Some(
        reply
            .with("access-control-allow-headers", allowed.join(","))
            .with("access-control-max-age", "600"),
    )
}
