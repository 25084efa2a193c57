//! Awaits a request's head and decides what becomes of the request: an answer of our own, or a try at a platform.

use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::base::ids::{RequestId, sane_id};
use crate::base::now::Now;
use crate::figures::recent::{Method, Path};
use crate::http::Framing;
use crate::http::body::Decoder;
use crate::http::field::Storage;
use crate::http::model::ModelScan;
use crate::http::request::{self, RequestHead};
use crate::http::response::Asked;
use crate::http::scan::HeadScan;
use crate::http::target::{Form, climbs};
use crate::http::usage::Format;
use crate::policy::access::Refusal;
use crate::service::assets::Preferences;
use crate::service::pages::{self, Page};
use crate::service::reply::Reply;
use crate::site::{Route, Site};

use super::admission::{Peer, Shown, admit};
use super::answer::HEAD_ROOM_BYTES;
use super::choosing::Choosing;
use super::collecting::{self, Collecting};
use super::core::{Core, Phase};
use super::forward::{offered_protocols, tail_below, write_head};
use super::reason::Reason;
use super::replying::{Replying, preflight_reply};
use super::request::{Afterwards, Cors, Request, Role};
use super::upload::{Limits, Upload};
use super::{Cx, Exchange, Step};

/// The methods that a platform's path accepts, listed in the answer to any other method.
const PROXIED_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How long a stop waits for the request of a client that has just connected.
const LAST_REQUEST_PATIENCE: Duration = Duration::from_secs(1);

pub struct Reading {
    stage: Stage,
    since: Instant,
    scan: HeadScan,
    /// Earlier answers have been on their way to the client since then: the wait for the next request has not begun.
    leaving_since: Option<Instant>,
}

/// What has arrived so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing on a new connection.
    Opening,
    /// Nothing since the last answer.
    Idle,
    /// The beginning of a head.
    Head,
}

/// What to do with a request whose head has been read.
enum Decision {
    Refuse(Reason),
    Reply(Reply),
    Forward(Box<Upload>),
    /// `/health`, once the round of probes has ended.
    AwaitRound,
    /// The body is needed first.
    Collect {
        upload: Box<Upload>,
        authorization: Option<Box<[u8]>>,
    },
}

impl Reading {
    pub fn opening(now: Now) -> Reading {
        Reading {
            stage: Stage::Opening,
            since: now.instant,
            scan: HeadScan::default(),
            leaving_since: None,
        }
    }

    pub fn idle(now: Now) -> Reading {
        Reading {
            stage: Stage::Idle,
            ..Reading::opening(now)
        }
    }

    /// Whether no byte of a request has arrived, empty lines aside.
    pub fn is_idle(&self) -> bool {
        self.stage != Stage::Head
    }

    /// `client_at` says when bytes last moved on the client's connection.
    pub fn deadline(&self, core: &Core, client_at: Instant) -> Instant {
        let settings = &core.site.settings;
        if let Some(since) = self.leaving_since {
            return client_at.max(since) + settings.idle_timeout;
        }
        let usual = self.since
            + match self.stage {
                Stage::Opening | Stage::Head => settings.header_timeout,
                Stage::Idle => settings.keepalive_timeout,
            };
        match (core.phase, self.stage) {
            (Phase::Serving, _) | (Phase::Draining { .. }, Stage::Head) => usual,
            // A client that has just connected is about to send a request, and would take the close for a failure.
            (Phase::Draining { since }, Stage::Opening) => {
                usual.min(since.max(self.since) + LAST_REQUEST_PATIENCE)
            }
            (Phase::Draining { since }, Stage::Idle) => usual.min(since),
        }
    }

    /// The earlier answers have left: the wait for the next request begins.
    pub fn on_sent(&mut self, now: Now) {
        if self.leaving_since.take().is_some() {
            self.since = now.instant;
        }
    }

    pub fn step(mut self, cx: &mut Cx<'_>) -> (Exchange, Step) {
        let has_room = cx.client.output.room() >= CONTINUE.len() + HEAD_ROOM_BYTES;
        let is_leaving = match self.stage {
            Stage::Opening | Stage::Idle => !cx.client.has_sent_all(),
            Stage::Head => !has_room,
        };
        if is_leaving {
            self.leaving_since.get_or_insert(cx.now.instant);
            self.since = cx.now.instant;
        } else {
            self.leaving_since = None;
        }
        if !has_room {
            // A pipelined request waits until the answers before it leave room for its own.
            return match self.deadline(cx.core, cx.client.active_at) <= cx.now.instant {
                true => (Exchange::Closed, Step::Close(Reason::Idle)),
                false => (Exchange::Reading(self), Step::Wait),
            };
        }
        match self.scan.request(cx.client.input.unread()) {
            Err(malformed) => refuse_unread(Reason::Malformed(malformed), None, Cors::NotAsked, cx),
            Ok(Some(range)) => on_head(range, cx),
            Ok(None) => self.wait(cx),
        }
    }

    fn wait(mut self, cx: &mut Cx<'_>) -> (Exchange, Step) {
        // Empty lines begin no request (RFC 9112 section 2.2); the scan lets a few of them pass.
        let unread = cx.client.input.unread();
        let begun = unread.iter().any(|byte| !matches!(byte, b'\r' | b'\n'));
        if begun && self.stage == Stage::Idle {
            self.since = cx.now.instant;
        }
        if begun {
            self.stage = Stage::Head;
            self.leaving_since = None;
        }
        let is_due = self.deadline(cx.core, cx.client.active_at) <= cx.now.instant;
        match (is_due, self.stage) {
            (true, Stage::Opening | Stage::Idle) if self.leaving_since.is_some() => {
                (Exchange::Closed, Step::Close(Reason::Idle))
            }
            (false, _) => (Exchange::Reading(self), Step::Starve),
            (true, Stage::Head) => refuse_unread(Reason::RequestTimeout, None, Cors::NotAsked, cx),
            (true, Stage::Opening | Stage::Idle) => (Exchange::Closed, Step::Close(Reason::Unused)),
        }
    }
}

/// Answers bytes that are not understood as a request. Their end is unknown, so the connection ends with the answer.
fn refuse_unread(
    reason: Reason,
    id: Option<RequestId>,
    cors: Cors,
    cx: &mut Cx<'_>,
) -> (Exchange, Step) {
    let mut request = cx.core.new_request(*cx.role, cx.now);
    request.id = id.unwrap_or(request.id);
    request.cors = cors;
    request.asked = asked_by(cx.client.input.unread());
    cx.client.input.consume(cx.client.input.len());
    let replying = Replying::refuse(request, reason, Decoder::Done, cx);
    (Exchange::Replying(replying), Step::Again)
}

/// What a request that cannot be understood asks for. Empty lines may precede it. Whatever else is wrong with it, HEAD
/// gets no body (RFC 9110 section 9.3.2).
pub(super) fn asked_by(unread: &[u8]) -> Asked {
    match unread.trim_ascii_start().starts_with(b"HEAD ") {
        true => Asked::Head,
        false => Asked::Other,
    }
}

fn on_head(range: std::ops::Range<usize>, cx: &mut Cx<'_>) -> (Exchange, Step) {
    let mut storage = Storage::EMPTY;
    let head = match request::parse(&cx.client.input.unread()[range.clone()], &mut storage) {
        Ok(head) => head,
        Err(malformed) => {
            let id = storage.find("x-request-id").and_then(sane_id);
            let cors = cors_of(storage.find("origin"), &cx.core.site);
            return refuse_unread(Reason::Malformed(malformed), id, cors, cx);
        }
    };
    let mut request = cx.core.new_request(*cx.role, cx.now);
    note(&mut request, &head);
    let decision = match *cx.role {
        Role::Demo => Decision::Collect {
            upload: cx.core.uploads.hold(Upload::collecting(
                head.framing,
                collecting::LIMITS,
                &mut cx.core.blocks,
                &cx.core.retry_memory,
            )),
            authorization: head.field("authorization").map(Box::from),
        },
        Role::Proxy | Role::Probe(_) => decide(&mut request, &head, *cx.peer, cx.core, cx.now),
    };
    let decoder = Decoder::new(head.framing);
    let continues =
        head.expects_continue && !matches!(head.framing, Framing::None | Framing::Length(0));
    let reads_body = matches!(decision, Decision::Forward(_) | Decision::Collect { .. });
    if continues && !reads_body {
        // The client may or may not send its body, so what comes next could be either.
        request.afterwards = Afterwards::Close;
    }
    cx.client.input.consume(range.end);
    match decision {
        Decision::Refuse(reason) => {
            let replying = Replying::refuse(request, reason, decoder, cx);
            (Exchange::Replying(replying), Step::Again)
        }
        Decision::Reply(reply) => {
            let replying = Replying::new(request, reply, decoder, cx.now);
            (Exchange::Replying(replying), Step::Again)
        }
        Decision::AwaitRound => {
            let replying = Replying::after_round(request, decoder, cx);
            (Exchange::Replying(replying), Step::Again)
        }
        Decision::Forward(upload) => {
            if continues {
                cx.client.output.put(CONTINUE);
            }
            Choosing::new(request, upload).step(cx)
        }
        Decision::Collect {
            upload,
            authorization,
        } => {
            let collecting = Collecting::new(request, authorization, upload);
            (Exchange::Collecting(collecting), Step::Again)
        }
    }
}

/// Records the facts that are needed after the head is gone.
fn note(request: &mut Request, head: &RequestHead<'_, '_>) {
    request.method = Method::new(head.method);
    request.path = Path::new(head.target.path);
    request.version = head.version;
    request.body_format = Format::of(head.field("content-type"), head.field("content-encoding"));
    request.asked = Asked::by(head.method);
    if head.persistent {
        request.afterwards = Afterwards::KeepAlive;
    }
    if let Some(id) = head.field("x-request-id").and_then(sane_id) {
        request.id = id;
    }
}

fn decide(
    request: &mut Request,
    head: &RequestHead<'_, '_>,
    socket_address: std::net::IpAddr,
    core: &mut Core,
    now: Now,
) -> Decision {
    let site = Rc::clone(&request.site);
    let peer = Peer::of(socket_address, head, &site);
    request.peer = Some(peer);
    let page = pages::find(head.target.path);
    if page.is_none() {
        request.cors = cors_of(head.field("origin"), &site);
    }
    if !site.allows_address(peer.address, peer.is_loopback) {
        return Decision::Refuse(Reason::IpNotAllowed);
    }
    if let Some(page) = page {
        return on_page(page, request, head, peer, core, now);
    }
    if matches!(head.method, "CONNECT" | "TRACE") {
        return Decision::Refuse(Reason::MethodNotAllowed(PROXIED_METHODS));
    }
    if head.target.form == Form::Asterisk {
        return Decision::Reply(Reply::empty(204).with("allow", PROXIED_METHODS));
    }
    if let Some(reply) = preflight_reply(request, head) {
        return Decision::Reply(reply);
    }
    let Some(place) = site.find(pages::first_segment(head.target.path)) else {
        return Decision::Refuse(Reason::UnknownPlatform {
            routes: pages::route_list(&site),
        });
    };
    request.route = Some(place);
    let route = &site.routes[place];
    forward(request, head, route, peer, core, now).unwrap_or_else(Decision::Refuse)
}

/// Admits a request for `route` and rewrites its head.
fn forward(
    request: &mut Request,
    head: &RequestHead<'_, '_>,
    route: &Route,
    peer: Peer,
    core: &mut Core,
    now: Now,
) -> Result<Decision, Reason> {
    let tail = tail_below(head.target.path, route);
    if climbs(tail) {
        return Err(Reason::PathClimbs);
    }
    let shown = Shown::find(head, Some(route), &core.clients);
    admit(core, request, route, peer, shown, now)?;
    let limits = Limits::of(&request.site);
    if matches!(head.framing, Framing::Length(length) if length > limits.content_bytes_max) {
        return Err(limits.exceeded());
    }
    let mut draft = std::mem::take(&mut core.draft);
    draft.clear();
    request.offered = offered_protocols(head);
    let offered = request.offered.as_deref();
    if let (Some(_), Some(query)) = (offered, head.target.query) {
        request.model = ModelScan::of_query(query);
    }
    write_head(&mut draft, head, route, tail, &shown, offered);
    let (blocks, memory) = (&mut core.blocks, &core.retry_memory);
    let upload = Upload::new(&draft, head.framing, limits, blocks, memory);
    core.draft = draft;
    Ok(Decision::Forward(core.uploads.hold(upload)))
}

fn cors_of(origin: Option<&[u8]>, site: &Site) -> Cors {
    match origin.map(std::str::from_utf8) {
        None => Cors::NotAsked,
        Some(Ok(origin)) if site.allows_origin(origin) => match site.allows_origin("*") {
            true => Cors::Any,
            false => Cors::Only(origin.into()),
        },
        Some(_) => Cors::Refused,
    }
}

/// One of the program's own pages.
fn on_page(
    page: Page,
    request: &mut Request,
    head: &RequestHead<'_, '_>,
    peer: Peer,
    core: &mut Core,
    now: Now,
) -> Decision {
    if page.exists() && !matches!(head.method, "GET" | "HEAD") {
        return Decision::Refuse(Reason::MethodNotAllowed("GET, HEAD"));
    }
    if let Some(setting) = page.switched_off_by(&request.site.settings) {
        return Decision::Refuse(Reason::PageDisabled(setting));
    }
    if page.is_private() && !peer.is_loopback {
        let shown = Shown::find(head, None, &core.clients);
        let counts = request.site.settings.enable_key_validation;
        request.client = shown
            .client
            .filter(|client| counts && core.clients.is_root(*client));
        match (request.client, shown.any) {
            (Some(client), _) if core.clients.is_sample(client) => {
                return Decision::Refuse(Reason::Refused(Refusal::SampleKey));
            }
            (Some(_), _) => {}
            (None, true) => return Decision::Refuse(Reason::NoRootKey),
            (None, false) if counts => return Decision::Refuse(Reason::MissingApiKey),
            (None, false) => return Decision::Refuse(Reason::LocalOnly),
        }
    }
    let preferences = Preferences {
        accept_encoding: head.field("accept-encoding"),
        if_none_match: head.field("if-none-match"),
    };
    if page == Page::Health && core.probes.begin_round(now) {
        return Decision::AwaitRound;
    }
    match pages::reply(page, &core.view(now), preferences) {
        Some(reply) => Decision::Reply(reply),
        None => Decision::Refuse(Reason::NotFound),
    }
}

#[cfg(test)]
mod tests;
