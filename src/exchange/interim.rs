//! Passes interim answers on, and awaits the final one. The client has received, or is about to receive, bytes of an
//! answer to this try, so that no other key can be tried.

use std::time::Instant;

use crate::base::now::Now;
use crate::http::field::Storage;
use crate::http::response;
use crate::http::scan::HeadScan;
use crate::policy::keyring::{Outcome, Permit};

use super::answer::{HEAD_ROOM_BYTES, relay_interim};
use super::core::Core;
use super::end::{End, log_end};
use super::failure::{
    ENDLESS_INTERIMS, Failure, INTERIM_MAX, excused, has_waited_for_client, outcome_of,
};
use super::reason::Reason;
use super::relaying::Relaying;
use super::replying::Replying;
use super::request::{Afterwards, Request};
use super::rest::Rest;
use super::tunnel::{Tunnel, UNASKED_SWITCH, switches};
use super::{Cx, Ends, Exchange, Step, Upstream};

pub struct Interim {
    request: Box<Request>,
    pub(super) rest: Rest,
    permit: Permit,
    scan: HeadScan,
    /// When the platform's time to answer began: with the first interim answer, or when the client had taken what was
    /// sent to it, or when the request had been sent.
    since: Instant,
    /// Nothing is passed on until the client has taken what was written before.
    is_blocked: bool,
}

impl Interim {
    /// The first interim answer is still unread in the platform's input.
    pub fn begin(request: Box<Request>, rest: Rest, permit: Permit, now: Now) -> Interim {
        Interim {
            request,
            rest,
            permit,
            scan: HeadScan::default(),
            since: now.instant,
            is_blocked: false,
        }
    }

    pub fn step(mut self, cx: &mut Cx<'_>) -> (Exchange, Step) {
        let Upstream::Open(upstream, _) = std::mem::take(&mut cx.upstream) else {
            let host = self.request.route().authority.clone();
            let what = "its connection is not there".into();
            let reason = Reason::Upstream { host, what };
            return (Exchange::Interim(self), Step::Close(reason));
        };
        let was_sent = self.rest.is_sent();
        let sent = self.rest.send_on(upstream.output, &mut self.request, cx);
        let stopped = match sent {
            Ok(stopped) => stopped,
            Err(reason) => return (Exchange::Interim(self), Step::Close(reason)),
        };
        if !was_sent && self.rest.is_sent() {
            self.since = cx.now.instant;
        }
        let (exchange, step) = self.go_on(upstream, cx);
        (exchange, stopped.unless_paused(step))
    }

    pub fn deadline(&self, active_at: Instant) -> Instant {
        let settings = &self.request.site.settings;
        let is_its_time = self.rest.is_sent() && !self.is_blocked;
        match (self.request.probe_ends_at(), is_its_time) {
            (Some(at), _) => at,
            (None, true) => self.since + settings.response_timeout,
            (None, false) => active_at.max(self.since) + settings.idle_timeout,
        }
    }

    fn go_on(mut self, upstream: Ends<'_>, cx: &mut Cx<'_>) -> (Exchange, Step) {
        let is_blocked = cx.client.output.room() < HEAD_ROOM_BYTES;
        if std::mem::replace(&mut self.is_blocked, is_blocked) {
            // The platform's time to answer has stood still until now.
            self.since = cx.now.instant;
        }
        let due_at = self.deadline(cx.active_at(&upstream));
        let is_due = due_at <= cx.now.instant;
        if is_blocked {
            return match is_due {
                true => (Exchange::Interim(self), Step::Close(Reason::Unread)),
                false => (Exchange::Interim(self), Step::Wait),
            };
        }
        let range = match self.scan.response(upstream.input.unread()) {
            Ok(Some(range)) => range,
            Err(malformed) => return self.fail(malformed.into(), cx),
            Ok(None) => return self.on_silence(due_at, upstream, cx),
        };
        let bytes = &upstream.input.unread()[range.clone()];
        let mut storage = Storage::EMPTY;
        let head = match response::parse(bytes, &mut storage, self.request.asked) {
            Ok(head) => head,
            Err(malformed) => return self.fail(malformed.into(), cx),
        };
        if head.status >= 200 {
            // For a 400, the body that would decide goes to the client in any case: nothing is learnt of the key.
            let outcome = outcome_of(&head, cx.now).unwrap_or(Outcome::Canceled);
            let outcome = excused(
                outcome,
                self.has_waited_for_client(true, due_at, &upstream, cx),
            );
            let (request, rest, permit) = (self.request, self.rest, self.permit);
            let relaying = Relaying::begin(request, rest, permit, &head, outcome, cx);
            upstream.input.consume(range.end);
            return (Exchange::Relaying(relaying), Step::Again);
        }
        if head.status == 101 {
            if !switches(&head, self.request.offered.as_deref()) {
                return self.fail(Failure::Unreachable(UNASKED_SWITCH.into()), cx);
            }
            self.rest.discard(cx.core);
            let tunnel = Tunnel::begin(self.request, self.permit, &head, cx);
            upstream.input.consume(range.end);
            return (Exchange::Tunnel(tunnel), Step::Again);
        }
        if self.request.interims == INTERIM_MAX {
            return self.fail(Failure::Unreachable(ENDLESS_INTERIMS.into()), cx);
        }
        relay_interim(cx.client.output, &head);
        self.request.interims += 1;
        self.scan = HeadScan::default();
        upstream.input.consume(range.end);
        (Exchange::Interim(self), Step::Again)
    }

    /// The next head is not complete yet.
    fn on_silence(self, due_at: Instant, upstream: Ends<'_>, cx: &mut Cx<'_>) -> (Exchange, Step) {
        let is_due = due_at <= cx.now.instant;
        match upstream.ended {
            ended if self.has_waited_for_client(ended.is_some(), due_at, &upstream, cx) => {
                self.give_up(cx)
            }
            Some(_) => {
                let what = "it closed without a final answer".into();
                self.fail(Failure::Unreachable(what), cx)
            }
            None if is_due && !self.rest.is_sent() => {
                self.fail(Failure::TimedOut("it stopped taking the request"), cx)
            }
            None if is_due => self.fail(Failure::TimedOut("no final answer in time"), cx),
            None => (Exchange::Interim(self), Step::Wait),
        }
    }

    fn has_waited_for_client(
        &self,
        gave_up: bool,
        due_at: Instant,
        upstream: &Ends<'_>,
        cx: &Cx<'_>,
    ) -> bool {
        self.rest.is_starved() && has_waited_for_client(self.since, due_at, gave_up, upstream, cx)
    }

    fn fail(self, failure: Failure, cx: &mut Cx<'_>) -> (Exchange, Step) {
        let (outcome, reason) = failure.at(self.request.route().authority.clone());
        self.end(outcome, reason, cx)
    }

    /// The client's body does not arrive. The key is not to blame.
    fn give_up(mut self, cx: &mut Cx<'_>) -> (Exchange, Step) {
        self.request.afterwards = Afterwards::Close;
        self.end(Outcome::Canceled, Reason::RequestTimeout, cx)
    }

    /// No final answer came.
    fn end(self, outcome: Outcome, reason: Reason, cx: &mut Cx<'_>) -> (Exchange, Step) {
        cx.core.settle(&self.request, self.permit, outcome, cx.now);
        let decoder = self.rest.discard(cx.core);
        let replying = Replying::refuse(self.request, reason, decoder, cx);
        (Exchange::Replying(replying), Step::Abandon)
    }

    pub fn abort(self, reason: &Reason, core: &mut Core, now: Now) {
        log_end(&self.request, reason, core);
        core.settle(&self.request, self.permit, Outcome::Canceled, now);
        self.rest.discard(core);
        core.finish(self.request, End::failed(reason), now);
    }
}

#[cfg(test)]
mod tests;
