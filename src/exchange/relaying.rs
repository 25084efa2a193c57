//! Passes the platform's answer on to the client, piece by piece as it arrives. From here no other key can be tried:
//! what a retry would need is gone.

use std::fmt;
use std::time::{Duration, Instant};

use crate::base::now::Now;
use crate::http::Framing;
use crate::http::body::Decoder;
use crate::http::response::ResponseHead;
use crate::http::usage::{Format, UsageSieve};
use crate::net::connection::Ended;
use crate::policy::keyring::{Outcome, Permit};

use super::answer::relay_head;
use super::core::Core;
use super::end::{End, log_end, log_failure};
use super::reason::Reason;
use super::request::{Afterwards, Request};
use super::rest::Rest;
use super::transfer::{Coding, Stopped, nothing_withheld, transfer};
use super::{Cx, Ends, Exchange, Step, Upstream, after_answer};

/// How long a platform may take to end a stream whose last event its client has received before it left.
const LAST_CHUNK_PATIENCE: Duration = Duration::from_secs(1);

/// The body of the final answer. What each piece of it touches is here rather than in the request: with a thousand
/// streams, each cache line is one that the processor waits for.
pub struct Relaying {
    request: Box<Request>,
    pub(super) rest: Rest,
    permit: Permit,
    decoder: Decoder,
    coding: Coding,
    sieve: UsageSieve,
    /// Bytes of content passed on so far.
    passed: u64,
    patience: Patience,
    status: u16,
    /// What becomes of the platform's connection.
    afterwards: Afterwards,
}

/// How long the rest of a body may take.
enum Patience {
    /// For ever, as long as no pause without a byte exceeds this.
    Idle(Duration),
    /// Until then, whatever arrives: the answer to a probe.
    Until(Instant),
    /// The same where the client has gone with all it was waiting for.
    Alone(Instant),
}

impl Relaying {
    /// Writes the final head for the client, whose output has room for it. What a retry would need has been given up.
    pub fn begin(
        mut request: Box<Request>,
        rest: Rest,
        permit: Permit,
        head: &ResponseHead<'_, '_>,
        outcome: Outcome,
        cx: &mut Cx<'_>,
    ) -> Relaying {
        let encoding = head.field("content-encoding");
        let format = match request.method.as_str() {
            // What is only looked at, such as a batch that is polled, uses its tokens once.
            "GET" => Format::Ignored,
            _ => Format::of(head.field("content-type"), encoding),
        };
        let (out, core) = (&mut *cx.client.output, &mut *cx.core);
        let coding = relay_head(out, core, &mut request, head, rest.decoder(), cx.now);
        let (key, next) = (permit.key(), "its answer is passed on");
        if outcome.is_for_another_key() {
            log_failure(&request, key, next, &outcome, cx.core);
        } else if head.status >= 500 && matches!(outcome, Outcome::Answered) {
            log_failure(&request, key, next, &head.status, cx.core);
        }
        cx.core.learn(&request, &permit, outcome, cx.now);
        Relaying {
            rest,
            permit,
            decoder: Decoder::new(head.framing),
            coding,
            sieve: UsageSieve::new(format),
            passed: 0,
            patience: match request.probe_ends_at() {
                Some(at) => Patience::Until(at),
                None => Patience::Idle(request.site.settings.idle_timeout),
            },
            status: head.status,
            // A platform that sends a body where none is allowed would have it taken for the next request's answer.
            afterwards: match head.persistent && head.framing != Framing::None {
                true => Afterwards::KeepAlive,
                false => Afterwards::Close,
            },
            request,
        }
    }

    /// Takes one step where the state is. Returns none once the whole answer has been handed over.
    pub fn step(&mut self, cx: &mut Cx<'_>) -> Option<Step> {
        match std::mem::take(&mut cx.upstream) {
            Upstream::Open(mut upstream, _) => self.pass_on(&mut upstream, cx),
            Upstream::None | Upstream::Dialing(_) | Upstream::Failed(_) => {
                Some(self.cut_off("its connection is not there"))
            }
        }
    }

    /// The first step, with the beginning of the body that may have come with the head.
    pub fn go_on(mut self, mut upstream: Ends<'_>, cx: &mut Cx<'_>) -> (Exchange, Step) {
        match self.pass_on(&mut upstream, cx) {
            Some(step) => (Exchange::Relaying(self), step),
            None => self.complete(cx),
        }
    }

    /// Passes on what there is, in both directions. Returns none once the whole answer has been handed over.
    fn pass_on(&mut self, upstream: &mut Ends<'_>, cx: &mut Cx<'_>) -> Option<Step> {
        let sent = self.rest.send_on(upstream.output, &mut self.request, cx);
        let stopped = match sent {
            Ok(stopped) => stopped,
            Err(reason) => return Some(Step::Close(reason)),
        };
        let Some(step) = self.pass_back(upstream, cx) else {
            self.look_at_end(upstream);
            return None;
        };
        Some(stopped.unless_paused(step))
    }

    /// Whether all that the client waits for has been passed on, though not the end of the body.
    pub fn is_over(&self) -> bool {
        self.sieve.is_over()
    }

    /// Whether the client would take the end of its connection for the end of the answer.
    pub fn ends_with_connection(&self) -> bool {
        self.coding == Coding::Identity && !matches!(self.decoder, Decoder::Length(_))
    }

    pub fn deadline(&self, active_at: Instant) -> Instant {
        match self.patience {
            Patience::Idle(timeout) => active_at + timeout,
            Patience::Until(at) | Patience::Alone(at) => at,
        }
    }

    /// The answer's direction. Returns none at the end of the body.
    fn pass_back(&mut self, upstream: &mut Ends<'_>, cx: &mut Cx<'_>) -> Option<Step> {
        let (sieve, passed, request) = (&mut self.sieve, &mut self.passed, &mut self.request);
        let moved = transfer(
            &mut self.decoder,
            upstream.input,
            cx.client.output,
            self.coding,
            nothing_withheld,
            |data| {
                if *passed == 0 {
                    request.first_byte_at = Some(cx.now.instant);
                }
                *passed += data.len() as u64;
                sieve.pass(data, &mut request.usage);
            },
        );
        let stopped = match moved {
            Ok(stopped) => stopped,
            Err(malformed) => return Some(self.cut_off(malformed.message())),
        };
        Some(match (stopped, upstream.ended) {
            (Stopped::Done, _) => return None,
            (Stopped::Paused, _) => Step::Again,
            (Stopped::Starved, Some(Ended::Cleanly)) => match self.decoder.end_of_input() {
                Ok(()) => return None,
                Err(malformed) => self.cut_off(malformed.message()),
            },
            (Stopped::Starved, Some(Ended::Broken(kind))) => {
                self.cut_off(format_args!("the connection was lost: {kind}"))
            }
            (Stopped::Starved | Stopped::Full, _) if self.is_abandoned(cx) => {
                Step::Close(Reason::ClientGone)
            }
            (Stopped::Starved | Stopped::Full, _)
                if self.deadline(cx.active_at(upstream)) <= cx.now.instant =>
            {
                Step::Close(match cx.client.has_sent_all() {
                    true => Reason::Idle,
                    false => Reason::Unread,
                })
            }
            (Stopped::Starved, _) if self.rest.is_sent() => Step::Starve,
            (Stopped::Starved | Stopped::Full, _) => Step::Wait,
        })
    }

    /// Whether the client has left although it needs more of the answer. Some SDKs close their connection with the last
    /// event: if they have received it, nothing is canceled, and the platform's connection can be used again once the body
    /// has ended.
    fn is_abandoned(&mut self, cx: &Cx<'_>) -> bool {
        if cx.client.ended.is_none() {
            return false;
        }
        if let Patience::Idle(_) = self.patience
            && self.sieve.is_over()
            && cx.client.has_sent_all()
        {
            self.patience = Patience::Alone(cx.now.instant + LAST_CHUNK_PATIENCE);
        }
        !matches!(self.patience, Patience::Alone(_))
    }

    /// The body has ended: decides what becomes of the platform's connection.
    fn look_at_end(&mut self, upstream: &Ends<'_>) {
        let is_reusable = self.rest.is_sent()
            && upstream.has_sent_all()
            && upstream.input.is_empty()
            && upstream.ended.is_none();
        if !is_reusable {
            self.afterwards = Afterwards::Close;
        }
    }

    /// The whole answer has been handed over.
    pub fn complete(mut self, cx: &mut Cx<'_>) -> (Exchange, Step) {
        self.request.bytes_out = self.passed;
        self.permit.release();
        let decoder = self.rest.discard(cx.core);
        let next = after_answer(&self.request, decoder, cx.now);
        cx.core
            .finish(self.request, End::answered(self.status), cx.now);
        let step = match self.afterwards {
            Afterwards::KeepAlive => Step::Release,
            Afterwards::Close => Step::Hangup,
        };
        (next, step)
    }

    /// The answer broke off: the client must not take what it has received for the whole answer.
    #[cold]
    fn cut_off(&self, what: impl fmt::Display) -> Step {
        Step::Close(Reason::Upstream {
            host: self.request.route().authority.clone(),
            what: format!("the answer broke off: {what}"),
        })
    }

    pub fn abort(mut self, reason: &Reason, core: &mut Core, now: Now) {
        let end = match self.patience {
            Patience::Alone(_) => End::answered(self.status),
            Patience::Idle(_) | Patience::Until(_) => {
                log_end(&self.request, reason, core);
                End::cut_off(self.status, reason)
            }
        };
        self.request.bytes_out = self.passed;
        self.permit.release();
        self.rest.discard(core);
        core.finish(self.request, end, now);
    }
}

#[cfg(test)]
mod tests;
