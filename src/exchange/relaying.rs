//! Passes the platform's answer on to the client, piece by piece as it comes. There is no way back from here to
//! another key: what a retry would need is gone.

use std::time::{Duration, Instant};

use crate::base::buffer::Buffer;
use crate::base::now::Now;
use crate::http::Framing;
use crate::http::body::Decoder;
use crate::http::field::Storage;
use crate::http::response::{self, ResponseHead};
use crate::http::scan::HeadScan;
use crate::http::usage::{Format, UsageScan, UsageSieve};
use crate::net::connection::Ended;
use crate::policy::keyring::{Outcome, Permit};
use crate::policy::verdict::{Verdict, judge};

use super::answer::{HEAD_ROOM_BYTES, relay_head, relay_interim};
use super::core::Core;
use super::reason::Reason;
use super::replying::Replying;
use super::request::{Afterwards, Request};
use super::transfer::{Coding, Stopped, nothing, transfer};
use super::trying::{ENDLESS_INTERIMS, INTERIM_MAX, Trying, waits};
use super::tunnel::{Tunnel, UNASKED_SWITCH, switches};
use super::upload::{Progress, Upload};
use super::{Cx, End, Ends, Exchange, Step, Upstream, after_answer};

pub struct Relaying {
    request: Box<Request>,
    /// None once all of the request has been handed on, which it has before most answers.
    upload: Option<Box<Upload>>,
    permit: Permit,
    stage: Stage,
}

/// What comes next from the platform.
enum Stage {
    /// A head. The first interim one came then.
    Head {
        scan: HeadScan,
        since: Instant,
        /// The client must take what was sent before.
        is_blocked: bool,
    },
    Body(Body),
}

/// The body of the final answer. All that a piece of it touches is here and not in the request: with a thousand streams
/// each line of memory is one that the processor waits for.
struct Body {
    decoder: Decoder,
    coding: Coding,
    sieve: UsageSieve,
    /// Bytes of content.
    passed: u64,
    patience: Patience,
    status: u16,
    /// What becomes of the platform's connection.
    afterwards: Afterwards,
}

/// How long the rest of a body may take.
enum Patience {
    /// For ever, while no more than this passes without a byte.
    Idle(Duration),
    /// Until then, whatever comes: the answer to a probe.
    Until(Instant),
}

impl Relaying {
    /// Gives up the way back: an answer, or an interim one, goes to the client.
    pub fn begin(trying: Trying, now: Now) -> Relaying {
        let Trying {
            request,
            mut upload,
            permit,
            ..
        } = trying;
        upload.stop_keeping();
        Relaying {
            request,
            upload: Some(upload),
            permit,
            stage: Stage::Head {
                scan: HeadScan::default(),
                since: now.instant,
                is_blocked: false,
            },
        }
    }

    /// Writes the final head for the client, which has room for it, and goes over to the body.
    pub fn deliver(&mut self, head: &ResponseHead<'_, '_>, outcome: Outcome, cx: &mut Cx<'_>) {
        cx.core.judge(&self.request, &self.permit, outcome, cx.now);
        let encoding = head.field("content-encoding");
        let format = Format::of(head.field("content-type"), encoding);
        self.request.usage = UsageScan::default();
        let coding = relay_head(cx.client.output, cx.core, &mut self.request, head, cx.now);
        self.stage = Stage::Body(Body {
            decoder: Decoder::new(head.framing),
            coding,
            sieve: UsageSieve::new(format),
            passed: 0,
            patience: match self.request.probe_ends_at() {
                Some(at) => Patience::Until(at),
                None => Patience::Idle(self.request.site.settings.idle_timeout),
            },
            status: head.status,
            afterwards: match head.persistent && head.framing != Framing::Close {
                true => Afterwards::KeepAlive,
                false => Afterwards::Close,
            },
        });
    }

    pub fn step(self, cx: &mut Cx<'_>) -> (Exchange, Step) {
        match std::mem::replace(&mut cx.upstream, Upstream::None) {
            Upstream::Open(upstream, _) => self.go_on(upstream, cx),
            Upstream::None | Upstream::Dialing => {
                self.cut_off("its connection is not there".into())
            }
            Upstream::Failed(fault) => self.cut_off(fault.to_string()),
        }
    }

    /// Passes on what is there, both ways.
    pub fn go_on(mut self, upstream: Ends<'_>, cx: &mut Cx<'_>) -> (Exchange, Step) {
        let progress = match self.send_on(upstream.output, cx) {
            Ok(progress) => progress,
            Err(reason) => return (Exchange::Relaying(self), Step::Close(reason)),
        };
        let (exchange, step) = match self.stage {
            Stage::Head { .. } => self.on_interim(upstream, cx),
            Stage::Body(_) => self.pass_on(upstream, cx),
        };
        (exchange, progress.unless_paused(step))
    }

    /// Passes on what the client still sends, and keeps nothing of it.
    fn send_on(&mut self, output: &mut Buffer, cx: &mut Cx<'_>) -> Result<Progress, Reason> {
        let Some(upload) = &mut self.upload else {
            return Ok(Progress::Done);
        };
        let core = &mut *cx.core;
        let (blocks, memory) = (&mut core.blocks, &core.retry_memory);
        let (input, request) = (&mut *cx.client.input, &mut self.request);
        let progress = upload.pump(input, Some(output), request, blocks, memory)?;
        match upload.is_done() {
            true => drop(discard(self.upload.take(), core)),
            false => upload.forget_sent(blocks),
        }
        Ok(progress)
    }

    /// Whether the client would take the end of its connection for the end of the answer.
    pub fn ends_with_connection(&self) -> bool {
        match &self.stage {
            Stage::Head { .. } => false,
            Stage::Body(body) => {
                body.coding == Coding::Identity && !matches!(body.decoder, Decoder::Length(_))
            }
        }
    }

    pub fn writes_upstream(&self) -> bool {
        self.upload.is_some()
    }

    pub fn wants_client(&self) -> bool {
        self.upload
            .as_ref()
            .is_some_and(|upload| !upload.is_received())
    }

    pub fn deadline(&self, active_at: Instant) -> Instant {
        match &self.stage {
            Stage::Body(body) => body.patience.ends_at(active_at),
            Stage::Head {
                since, is_blocked, ..
            } => {
                let settings = &self.request.site.settings;
                match (self.request.probe_ends_at(), is_blocked) {
                    (Some(at), _) => at,
                    (None, false) => *since + settings.response_timeout,
                    (None, true) => active_at + settings.idle_timeout,
                }
            }
        }
    }

    /// Awaits the final head after an interim one, or reads the first interim one.
    fn on_interim(mut self, upstream: Ends<'_>, cx: &mut Cx<'_>) -> (Exchange, Step) {
        let Stage::Head {
            scan,
            since,
            is_blocked,
        } = &mut self.stage
        else {
            unreachable!("asked for in this stage alone");
        };
        *is_blocked = cx.client.output.room() < HEAD_ROOM_BYTES;
        if *is_blocked {
            // The platform's time stands still meanwhile.
            *since = cx.now.instant;
            let active_at = upstream.active_at.max(cx.client.active_at);
            return match self.deadline(active_at) <= cx.now.instant {
                true => (Exchange::Relaying(self), Step::Close(Reason::Idle)),
                false => (Exchange::Relaying(self), Step::Wait),
            };
        }
        let range = match scan.response(upstream.input.unread()) {
            Ok(Some(range)) => range,
            Err(malformed) => return self.refuse(malformed.message().to_string(), cx),
            Ok(None) => {
                return match upstream.ended {
                    Some(_) => self.refuse("it closed without a final answer".into(), cx),
                    None if self.deadline(cx.now.instant) <= cx.now.instant => self.time_out(cx),
                    None => (Exchange::Relaying(self), Step::Wait),
                };
            }
        };
        let mut storage = Storage::EMPTY;
        let head = match response::parse(
            &upstream.input.unread()[range.clone()],
            &mut storage,
            self.request.asked,
        ) {
            Ok(head) => head,
            Err(malformed) => return self.refuse(malformed.message().to_string(), cx),
        };
        if head.status >= 200 {
            let outcome = match judge(head.status, &|| waits(&head), cx.now) {
                Verdict::Deliver(outcome) | Verdict::TryNext(outcome) => outcome,
                // It is on its way to the client, read or not.
                Verdict::LookAtBody => Outcome::Canceled,
            };
            self.deliver(&head, outcome, cx);
            upstream.input.consume(range.end);
            return (Exchange::Relaying(self), Step::Again);
        }
        if head.status == 101 {
            if !switches(&head, self.request.offered.as_deref()) {
                return self.refuse(UNASKED_SWITCH.into(), cx);
            }
            discard(self.upload, cx.core);
            let tunnel = Tunnel::begin(self.request, self.permit, &head, cx);
            upstream.input.consume(range.end);
            return (Exchange::Tunnel(tunnel), Step::Again);
        }
        if self.request.interims == INTERIM_MAX {
            return self.refuse(ENDLESS_INTERIMS.into(), cx);
        }
        relay_interim(cx.client.output, &head);
        self.request.interims += 1;
        *scan = HeadScan::default();
        upstream.input.consume(range.end);
        (Exchange::Relaying(self), Step::Again)
    }

    fn pass_on(mut self, upstream: Ends<'_>, cx: &mut Cx<'_>) -> (Exchange, Step) {
        let Stage::Body(body) = &mut self.stage else {
            unreachable!("asked for in this stage alone");
        };
        let (sieve, passed, request) = (&mut body.sieve, &mut body.passed, &mut self.request);
        let moved = transfer(
            &mut body.decoder,
            upstream.input,
            cx.client.output,
            body.coding,
            nothing,
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
            Err(malformed) => return self.cut_off(malformed.message().to_string()),
        };
        match (stopped, upstream.ended) {
            (Stopped::Done, _) => self.complete(upstream, cx),
            (Stopped::Paused, _) => (Exchange::Relaying(self), Step::Again),
            (Stopped::Starved, Some(Ended::Cleanly)) => match body.decoder.end_of_input() {
                Ok(()) => self.complete(upstream, cx),
                Err(malformed) => self.cut_off(malformed.message().to_string()),
            },
            (Stopped::Starved, Some(Ended::Broken(kind))) => {
                self.cut_off(format!("the connection was lost: {kind}"))
            }
            (stopped @ (Stopped::Starved | Stopped::Full), _) => {
                if self.deadline(upstream.active_at.max(cx.client.active_at)) <= cx.now.instant {
                    return (Exchange::Relaying(self), Step::Close(Reason::Idle));
                }
                let is_starved = stopped == Stopped::Starved && self.upload.is_none();
                let step = match is_starved {
                    true => Step::Starve,
                    false => Step::Wait,
                };
                (Exchange::Relaying(self), step)
            }
        }
    }

    /// The answer has been handed over whole.
    fn complete(mut self, upstream: Ends<'_>, cx: &mut Cx<'_>) -> (Exchange, Step) {
        let Stage::Body(body) = self.stage else {
            unreachable!("only a body completes");
        };
        self.request.bytes_out = body.passed;
        let reusable = body.afterwards == Afterwards::KeepAlive
            && self.upload.is_none()
            && upstream.has_sent_all()
            && upstream.input.is_empty()
            && upstream.ended.is_none();
        cx.core.keyring.release(self.permit);
        let decoder = discard(self.upload, cx.core);
        let next = after_answer(&self.request, decoder, cx.now);
        cx.core
            .finish(self.request, End::answered(body.status), cx.now);
        (
            next,
            if reusable {
                Step::Release
            } else {
                Step::Hangup
            },
        )
    }

    /// The answer broke off: the client must not take what it has for the whole.
    fn cut_off(self, what: String) -> (Exchange, Step) {
        let reason = Reason::AnswerCutOff {
            host: self.request.route().authority.clone(),
            what,
        };
        (Exchange::Relaying(self), Step::Close(reason))
    }

    /// No final answer came after an interim one.
    fn refuse(self, what: String, cx: &mut Cx<'_>) -> (Exchange, Step) {
        let host = self.request.route().authority.clone();
        let outcome = Outcome::NetworkFailure { what: what.clone() };
        self.end_without_answer(outcome, Reason::Upstream { host, what }, cx)
    }

    fn time_out(self, cx: &mut Cx<'_>) -> (Exchange, Step) {
        let host = self.request.route().authority.clone();
        let what = "no final answer in time";
        self.end_without_answer(
            Outcome::Timeout { what },
            Reason::UpstreamTimeout { host, what },
            cx,
        )
    }

    fn end_without_answer(
        self,
        outcome: Outcome,
        reason: Reason,
        cx: &mut Cx<'_>,
    ) -> (Exchange, Step) {
        cx.core.settle(&self.request, self.permit, outcome, cx.now);
        let decoder = discard(self.upload, cx.core);
        let replying = Replying::refuse(self.request, reason, decoder, cx);
        (Exchange::Replying(replying), Step::Abandon)
    }

    pub fn abort(mut self, reason: &Reason, core: &mut Core, now: Now) {
        let end = match self.stage {
            // No final answer has come: the try ends here.
            Stage::Head { .. } => {
                core.settle(&self.request, self.permit, Outcome::Canceled, now);
                End::failed(reason)
            }
            Stage::Body(body) => {
                self.request.bytes_out = body.passed;
                core.keyring.release(self.permit);
                End::cut_off(body.status, reason)
            }
        };
        discard(self.upload, core);
        core.finish(self.request, end, now);
    }
}

impl Patience {
    fn ends_at(&self, active_at: Instant) -> Instant {
        match self {
            Patience::Idle(timeout) => active_at + *timeout,
            Patience::Until(at) => *at,
        }
    }
}

/// Gives back what is left of the upload; how far the client's body has been read.
fn discard(upload: Option<Box<Upload>>, core: &mut Core) -> Decoder {
    upload.map_or(Decoder::Done, |upload| core.discard(upload))
}

#[cfg(test)]
mod tests;
