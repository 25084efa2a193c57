//! One try: sends the request to the platform with one key, and awaits the answer's head. As long as a request is in
//! this state, the client has not received a byte of an answer, so that another key may still be tried.

use std::rc::Rc;
use std::time::Instant;

use crate::base::buffer::Buffer;
use crate::base::now::Now;
use crate::http::Version;
use crate::http::body::{Decoded, Decoder};
use crate::http::coding::decoded;
use crate::http::field::Storage;
use crate::http::response::{self, ResponseHead};
use crate::http::scan::HeadScan;
use crate::net::connection::Ended;
use crate::net::dial::{Origin, Progress, Reuse};
use crate::policy::keyring::{KeyId, Outcome, Permit};
use crate::policy::verdict::{INVALID_KEY_BODY_BYTES_MAX, names_invalid_key};

use super::core::Core;
use super::end::{End, log_end, log_failure};
use super::failure::{
    ENDLESS_INTERIMS, Failure, INTERIM_MAX, excused, has_waited_for_client, outcome_of,
};
use super::interim::Interim;
use super::reason::Reason;
use super::relaying::Relaying;
use super::replying::Replying;
use super::request::{Afterwards, Request, Role};
use super::rest::Rest;
use super::transfer::Stopped;
use super::tunnel::{Tunnel, UNASKED_SWITCH, switches};
use super::upload::Upload;
use super::{Cx, Ends, Exchange, Step, Upstream};

pub struct Trying {
    request: Box<Request>,
    upload: Box<Upload>,
    tried: Vec<KeyId>,
    permit: Permit,
    stage: Stage,
    scan: HeadScan,
}

/// How far the try has come.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Connecting since then.
    Dialing(Instant),
    /// The request is being sent since then. Silence before that does not count: the request may have waited behind
    /// another one, and the connection in the pool.
    Sending(Instant),
    /// The request's last byte left then.
    Awaiting(Instant),
    /// The head arrived then; what it means depends on the beginning of the body.
    Looking(Instant),
}

impl Trying {
    /// Begins a try with this permit, the first one or a later one.
    pub fn begin(
        mut request: Box<Request>,
        upload: Box<Upload>,
        tried: Vec<KeyId>,
        permit: Permit,
        now: Now,
    ) -> (Exchange, Step) {
        request.tries += 1;
        request.interims = 0;
        request.key = Some(permit.key());
        let endpoint = Rc::clone(&request.route().endpoint);
        let reuse = upload.connection_reuse();
        let trying = Trying::new(request, upload, tried, permit, now);
        (Exchange::Trying(trying), Step::Dial { endpoint, reuse })
    }

    fn new(
        request: Box<Request>,
        upload: Box<Upload>,
        tried: Vec<KeyId>,
        permit: Permit,
        now: Now,
    ) -> Trying {
        Trying {
            request,
            upload,
            tried,
            permit,
            stage: Stage::Dialing(now.instant),
            scan: HeadScan::default(),
        }
    }

    pub fn step(self, cx: &mut Cx<'_>) -> (Exchange, Step) {
        match std::mem::take(&mut cx.upstream) {
            Upstream::None => unreachable!("a try begins with a dial"),
            Upstream::Dialing(progress) => self.connect(progress, cx),
            Upstream::Failed(fault) => {
                let failure = match fault.is_own() {
                    true => Failure::Own,
                    false => Failure::Unreachable,
                };
                self.fail(failure(fault.to_string()), cx)
            }
            Upstream::Open(upstream, origin) => self.talk(upstream, origin, cx),
        }
    }

    pub fn wants_client(&self) -> bool {
        !self.upload.is_received()
    }

    pub fn deadline(&self, active_at: Instant) -> Instant {
        if let Some(at) = self.request.probe_ends_at() {
            return at;
        }
        let settings = &self.request.site.settings;
        match self.stage {
            Stage::Dialing(since) => since + settings.connect_timeout,
            Stage::Sending(since) => active_at.max(since) + settings.idle_timeout,
            Stage::Awaiting(since) => since + settings.response_timeout,
            Stage::Looking(since) => since + settings.idle_timeout,
        }
    }

    /// Everything written for the platform has been sent.
    pub fn on_sent(&mut self, now: Now) {
        if let Stage::Sending(_) = self.stage
            && self.upload.is_done()
        {
            self.stage = Stage::Awaiting(now.instant);
        }
    }

    fn connect(mut self, progress: Progress, cx: &mut Cx<'_>) -> (Exchange, Step) {
        if self.deadline(cx.now.instant) <= cx.now.instant {
            let what = match progress {
                Progress::Resolving => "resolving its name took too long",
                Progress::Connecting => "connecting took too long",
                Progress::Handshaking => "the TLS handshake took too long",
            };
            return self.fail(Failure::TimedOut(what), cx);
        }
        match self.pump(None, cx) {
            Ok(stopped) => (Exchange::Trying(self), stopped.unless_paused(Step::Wait)),
            Err(reason) => self.give_up(reason, cx),
        }
    }

    fn talk(mut self, upstream: Ends<'_>, origin: Origin, cx: &mut Cx<'_>) -> (Exchange, Step) {
        if let Stage::Dialing(_) = self.stage {
            let lines = self.request.route().key_lines(self.permit.key());
            self.upload.begin_try(lines, upstream.output);
            self.stage = Stage::Sending(cx.now.instant);
        }
        let stopped = match self.pump(Some(upstream.output), cx) {
            Ok(stopped) => stopped,
            Err(reason) => return self.give_up(reason, cx),
        };
        let (exchange, step) = match self.scan.response(upstream.input.unread()) {
            Ok(Some(range)) => self.on_head(range, upstream, cx),
            Ok(None) => self.on_silence(upstream, origin, cx),
            Err(malformed) => self.fail(malformed.into(), cx),
        };
        (exchange, stopped.unless_paused(step))
    }

    fn pump(&mut self, output: Option<&mut Buffer>, cx: &mut Cx<'_>) -> Result<Stopped, Reason> {
        let core = &mut *cx.core;
        self.upload.pump(
            cx.client.input,
            output,
            &mut self.request,
            &mut core.blocks,
            &core.retry_memory,
        )
    }

    /// The head is not complete yet.
    fn on_silence(self, upstream: Ends<'_>, origin: Origin, cx: &mut Cx<'_>) -> (Exchange, Step) {
        let is_silent = upstream.input.is_empty() && self.request.interims == 0;
        let died_unused = origin == Origin::Pooled && is_silent;
        match upstream.ended {
            Some(_) if died_unused && self.upload.is_repeatable() => {
                // The platform closed the connection while it was pooled: that is nobody's failure and not a try. The
                // next one must be fresh: a request that makes the platform close would otherwise use up the pool.
                let endpoint = Rc::clone(&self.request.route().endpoint);
                let fresh = Trying::new(self.request, self.upload, self.tried, self.permit, cx.now);
                let reuse = Reuse::No;
                (Exchange::Trying(fresh), Step::Dial { endpoint, reuse })
            }
            ended if self.has_waited_for_client(ended.is_some(), &upstream, cx) => {
                self.give_up(Reason::RequestTimeout, cx)
            }
            Some(ended) => {
                let what = match ended {
                    Ended::Cleanly => "it closed without an answer".to_string(),
                    Ended::Broken(kind) => format!("the connection was lost: {kind}"),
                };
                // Such a connection was this program's choice, though the body is lost with it.
                let failure = match died_unused {
                    true => Failure::Own,
                    false => Failure::Unreachable,
                };
                self.fail(failure(what), cx)
            }
            None if self.deadline(cx.active_at(&upstream)) <= cx.now.instant => match self.stage {
                Stage::Sending(_) => {
                    self.fail(Failure::TimedOut("it stopped taking the request"), cx)
                }
                Stage::Dialing(_) | Stage::Awaiting(_) | Stage::Looking(_) => {
                    self.fail(Failure::TimedOut("no answer in time"), cx)
                }
            },
            None => {
                let step = match self.upload.is_done() {
                    true => Step::Starve,
                    false => Step::Wait,
                };
                (Exchange::Trying(self), step)
            }
        }
    }

    fn has_waited_for_client(&self, gave_up: bool, upstream: &Ends<'_>, cx: &Cx<'_>) -> bool {
        let Stage::Sending(since) = self.stage else {
            return false;
        };
        let ours_ends = self.deadline(cx.active_at(upstream));
        self.upload.is_starved() && has_waited_for_client(since, ours_ends, gave_up, upstream, cx)
    }

    fn on_head(
        mut self,
        range: std::ops::Range<usize>,
        upstream: Ends<'_>,
        cx: &mut Cx<'_>,
    ) -> (Exchange, Step) {
        let mut storage = Storage::EMPTY;
        let bytes = upstream.input.unread();
        let head = match response::parse(&bytes[range.clone()], &mut storage, self.request.asked) {
            Ok(head) => head,
            Err(malformed) => {
                return self.fail(malformed.into(), cx);
            }
        };
        if head.status == 101 {
            if !switches(&head, self.request.offered.as_deref()) {
                return self.fail(Failure::Unreachable(UNASKED_SWITCH.into()), cx);
            }
            cx.core.discard(self.upload);
            let tunnel = Tunnel::begin(self.request, self.permit, &head, cx);
            upstream.input.consume(range.end);
            return (Exchange::Tunnel(tunnel), Step::Again);
        }
        if head.status < 200 && self.request.version == Version::Http10 {
            return self.pass_over(range.end, upstream, cx);
        }
        if head.status < 200 {
            // The client gets this interim answer, so no other key can be tried any more.
            let rest = Rest::of(self.upload);
            let interim = Interim::begin(self.request, rest, self.permit, cx.now);
            return (Exchange::Interim(interim), Step::Again);
        }
        let Some(outcome) = self.outcome(&head, &bytes[range.end..], &upstream, cx) else {
            return (Exchange::Trying(self), Step::Wait);
        };
        let has_waited = self.has_waited_for_client(true, &upstream, cx);
        if let Some(permit) = self.next_permit(&outcome, cx) {
            return self.retry(outcome, has_waited, permit, cx);
        }
        let outcome = excused(outcome, has_waited);
        let rest = Rest::of(self.upload);
        let relaying = Relaying::begin(self.request, rest, self.permit, &head, outcome, cx);
        upstream.input.consume(range.end);
        relaying.go_on(upstream, cx)
    }

    /// What an answer means, of which this much of the body has arrived; none if more of it has to be seen.
    fn outcome(
        &mut self,
        head: &ResponseHead<'_, '_>,
        body: &[u8],
        upstream: &Ends<'_>,
        cx: &Cx<'_>,
    ) -> Option<Outcome> {
        if let Some(outcome) = outcome_of(head, cx.now) {
            return Some(outcome);
        }
        match invalid_key(head, body, upstream.ended) {
            Look::Invalid => Some(Outcome::Rejected {
                reason: "400: the platform says API_KEY_INVALID".to_string(),
            }),
            Look::Other => Some(Outcome::Answered),
            Look::NeedMore => {
                let since = match self.stage {
                    Stage::Looking(since) => since,
                    Stage::Dialing(_) | Stage::Sending(_) | Stage::Awaiting(_) => cx.now.instant,
                };
                self.stage = Stage::Looking(since);
                let is_due = self.deadline(cx.active_at(upstream)) <= cx.now.instant;
                (is_due || !upstream.input.wants_more()).then_some(Outcome::Answered)
            }
        }
    }

    /// Skips an interim answer of `bytes` bytes, which HTTP/1.0 clients do not get: another key may still be tried.
    fn pass_over(mut self, bytes: usize, upstream: Ends<'_>, cx: &mut Cx<'_>) -> (Exchange, Step) {
        if self.request.interims == INTERIM_MAX {
            return self.fail(Failure::Unreachable(ENDLESS_INTERIMS.into()), cx);
        }
        self.request.interims += 1;
        self.scan = HeadScan::default();
        upstream.input.consume(bytes);
        (Exchange::Trying(self), Step::Again)
    }

    /// The permit for one more try, if one is allowed. It is taken at once: after other sessions have run, the last key
    /// left might be unhealthy, and this answer, which the client could have received, would be gone.
    fn next_permit(&self, outcome: &Outcome, cx: &mut Cx<'_>) -> Option<Permit> {
        let route = self.request.route();
        let is_probe = matches!(self.request.role, Role::Probe(_));
        let may_retry = outcome.is_for_another_key()
            && !is_probe
            && self.upload.is_repeatable()
            && self.request.tries < route.platform.max_attempts;
        if !may_retry {
            return None;
        }
        let failed = [self.tried.as_slice(), &[self.permit.key()]].concat();
        let keyring = &mut cx.core.keyring;
        keyring.pick(route.id, &route.keys, &failed, cx.now).ok()
    }

    /// Whether the platform `has_waited` for the client makes no difference to the client, only to the key.
    fn retry(
        mut self,
        outcome: Outcome,
        has_waited: bool,
        next: Permit,
        cx: &mut Cx<'_>,
    ) -> (Exchange, Step) {
        let key = self.permit.key();
        log_failure(&self.request, key, "trying the next one", &outcome, cx.core);
        cx.core.note_retry(&self.request, key, &outcome);
        self.tried.push(key);
        let outcome = excused(outcome, has_waited);
        cx.core.settle(&self.request, self.permit, outcome, cx.now);
        Trying::begin(self.request, self.upload, self.tried, next, cx.now)
    }

    /// The try ended without an answer.
    fn fail(self, failure: Failure, cx: &mut Cx<'_>) -> (Exchange, Step) {
        let (outcome, reason) = failure.at(self.request.route().authority.clone());
        if let Some(permit) = self.next_permit(&outcome, cx) {
            return self.retry(outcome, false, permit, cx);
        }
        cx.core.settle(&self.request, self.permit, outcome, cx.now);
        let decoder = cx.core.discard(self.upload);
        let replying = Replying::refuse(self.request, reason, decoder, cx);
        (Exchange::Replying(replying), Step::Abandon)
    }

    /// The client's body cannot be passed on, or does not arrive. The key is not to blame.
    fn give_up(mut self, reason: Reason, cx: &mut Cx<'_>) -> (Exchange, Step) {
        cx.core
            .settle(&self.request, self.permit, Outcome::Canceled, cx.now);
        let rest = cx.core.discard(self.upload);
        // A body that is merely too large has an end that can be found; most clients send up to it before they read.
        let decoder = match matches!(reason, Reason::BodyTooLarge { .. }) {
            true => rest,
            false => Decoder::Done,
        };
        self.request.afterwards = Afterwards::Close;
        let replying = Replying::refuse(self.request, reason, decoder, cx);
        (Exchange::Replying(replying), Step::Abandon)
    }

    pub fn abort(self, reason: &Reason, core: &mut Core, now: Now) {
        log_end(&self.request, reason, core);
        core.settle(&self.request, self.permit, Outcome::Canceled, now);
        core.discard(self.upload);
        core.finish(self.request, End::failed(reason), now);
    }
}

/// What the beginning of a 400's body says.
enum Look {
    Invalid,
    Other,
    NeedMore,
}

fn invalid_key(head: &ResponseHead<'_, '_>, mut bytes: &[u8], ended: Option<Ended>) -> Look {
    let mut decoder = Decoder::new(head.framing);
    let mut body = Vec::new();
    while body.len() < INVALID_KEY_BODY_BYTES_MAX && !decoder.is_done() {
        match decoder.decode(bytes) {
            Ok(Decoded::Data { consumed, data, .. }) => {
                body.extend_from_slice(data);
                bytes = &bytes[consumed..];
            }
            Ok(Decoded::Skip { consumed }) => bytes = &bytes[consumed..],
            Ok(Decoded::Trailers { .. } | Decoded::End) | Err(_) => break,
            Ok(Decoded::NeedMore) if ended.is_none() => return Look::NeedMore,
            Ok(Decoded::NeedMore) => break,
        }
    }
    body.truncate(INVALID_KEY_BODY_BYTES_MAX);
    // Google's front ends compress the body for clients that accept that, as the official SDKs do.
    let coding = head.field("content-encoding");
    match names_invalid_key(&decoded(coding, body, INVALID_KEY_BODY_BYTES_MAX)) {
        true => Look::Invalid,
        false => Look::Other,
    }
}

#[cfg(test)]
mod tests;
