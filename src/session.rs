//! A client's connection, its upstream connection and the exchange between them. It moves bytes until nothing moves any
//! more, and knows neither HTTP nor the poll.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use mio::Token;

use crate::base::now::Now;
use crate::base::work::{HANDSHAKE_BYTES, STEP_BYTES, STREAM_BYTES_MAX, STREAM_RECENT_BYTES_MAX};
use crate::exchange::core::Core;
use crate::exchange::reason::Reason;
use crate::exchange::request::{Request, Role};
use crate::exchange::{Cx, Exchange, Step};
use crate::net::connection::{Connection, Flushed, Hints};
use crate::net::dial::Progress;
use crate::net::network::Network;
use crate::net::transport::Transport;
use crate::policy::keyring::KeyId;

use self::upstream::{Upstream, ends};

mod upstream;

/// Output up to this size waits, in a block of its own size, to be sent together with other clients'. More is sent at once.
const LATER_BYTES_MAX: usize = 16 * 1024;

/// An open stream on which nothing moves holds a session, its request and little else: no buffer, no kept body.
const _: () = assert!(size_of::<Session>() + size_of::<Request>() <= 1600);

/// A client's connection with everything that belongs to it.
///
/// What an event needs comes first, in six cache lines. With a thousand streams none of them is near when its event comes:
/// each takes 40 to 200 ns unless it is fetched together with another, as those are that are looked at one after another.
#[repr(C, align(64))]
pub struct Session {
    exchange: Exchange,
    is_stream: bool,
    /// Whether the client could still be sent a whole answer if a defect ended the present step.
    owes_answer: bool,
    upstream: Upstream,
    turn: Turn,
    /// Bytes moved in the last turn, with other work expressed in bytes.
    worked_bytes: usize,
    /// The same for earlier turns, halved each turn.
    former_bytes: usize,
    /// By when the scheduler's timer wakes it. The timers know it, too, but in a line of their own.
    pub wakes_by: Option<Instant>,
    client: Connection,
    peer: IpAddr,
    role: Role,
}

/// How far a session's turn has come.
enum Turn {
    /// The next drive begins one.
    Over,
    /// The next drive sends what is waiting for the client, then goes on with what is left of this share, unless
    /// nothing is left to be done.
    Sending { share_bytes: usize, is_last: bool },
}

/// How a turn left a session.
pub enum Driven {
    /// It waits for an event, or for this time.
    Waiting(Option<Instant>),
    /// It has used up its share; more can be done at once.
    Again,
    /// It has a little output for its client, sent when it is driven again, in the same turn, after some others.
    Sending,
    Close(Reason),
}

impl Session {
    pub fn new(client: Connection, peer: IpAddr, role: Role, now: Now) -> Session {
        Session {
            exchange: Exchange::new(now),
            is_stream: false,
            owes_answer: false,
            upstream: Upstream::None,
            turn: Turn::Over,
            worked_bytes: 0,
            former_bytes: 0,
            wakes_by: None,
            client,
            peer,
            role,
        }
    }

    /// A session without a client, for a probe of `key`.
    pub fn probe(token: Token, key: KeyId, exchange: Exchange, now: Now) -> Session {
        let nobody = Connection::new(Transport::Nobody, token, Hints::FRESH, now);
        let here = IpAddr::from([127, 0, 0, 1]);
        Session {
            exchange,
            ..Session::new(nobody, here, Role::Probe(key), now)
        }
    }

    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether no request is under way.
    pub fn is_idle(&self) -> bool {
        self.exchange.is_idle()
    }

    /// Whether the client still awaits an answer, or the rest of one.
    pub fn awaits_answer(&self) -> bool {
        let is_answered = matches!(
            self.exchange,
            Exchange::Discarding(_) | Exchange::Closing(_)
        );
        !self.is_idle() && (!is_answered || self.client.has_output())
    }

    /// Whether an answer was under way, when this was driven last, that arrives little by little and whose client keeps
    /// up: a client that is behind has only itself to wait for.
    pub fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// The poll reported an event on the client's socket.
    pub fn hint_client(&mut self, news: Hints) {
        self.client.hint(news);
    }

    /// The poll reported an event on a socket of the upstream side.
    pub fn hint_upstream(&mut self, token: Token, news: Hints) {
        self.upstream.hint(token, news);
    }

    /// Moves bytes until nothing moves, the share of this turn is used up, or, unless it `is_alone`, there is something to
    /// send to the client together with what others send to theirs.
    pub fn drive(
        &mut self,
        slot: usize,
        share_bytes: usize,
        is_alone: bool,
        core: &mut Core,
        network: &mut impl Network,
        now: Now,
    ) -> Driven {
        let share_bytes = match std::mem::replace(&mut self.turn, Turn::Over) {
            Turn::Over => self.begin(slot, share_bytes, core, network, now),
            Turn::Sending {
                share_bytes,
                is_last,
            } => self.send(share_bytes, is_last, core, now),
        };
        let driven = match share_bytes {
            Ok(share_bytes) => self.run(share_bytes, is_alone, slot, core, network, now),
            Err(driven) => driven,
        };
        let keeps_up = !self.client.has_output() || matches!(driven, Driven::Sending);
        self.is_stream = keeps_up
            && self.exchange.is_relaying()
            && self.former_bytes + self.worked_bytes <= STREAM_RECENT_BYTES_MAX;
        self.client.settle_buffers(&mut core.blocks);
        self.upstream.settle_buffers(&mut core.blocks);
        driven
    }

    /// Begins a turn. Returns its share, or how it has ended already.
    fn begin(
        &mut self,
        slot: usize,
        share_bytes: usize,
        core: &mut Core,
        network: &mut impl Network,
        now: Now,
    ) -> Result<usize, Driven> {
        let share_bytes = match self.is_stream {
            true => STREAM_BYTES_MAX,
            false => share_bytes,
        };
        self.former_bytes = (self.former_bytes + self.worked_bytes) / 2;
        self.worked_bytes = 0;
        if self.client_has_gone() {
            return Err(Driven::Close(Reason::ClientGone));
        }
        if self.client.is_handshaking() {
            self.worked_bytes = HANDSHAKE_BYTES;
            return Err(self.greet(core, now));
        }
        if let Upstream::Dialing(_) = self.upstream {
            self.resume_dial(slot, core, network, now);
        }
        Ok(share_bytes)
    }

    /// Sends what is waiting for the client. Returns the share of the turn, if that goes on, or how it has ended.
    fn send(
        &mut self,
        share_bytes: usize,
        is_last: bool,
        core: &mut Core,
        now: Now,
    ) -> Result<usize, Driven> {
        let flushed = self.flush_client(core, now);
        self.worked_bytes += flushed.ok_or(Driven::Close(Reason::ClientGone))?;
        // During a stop this time has passed already: an idle client is not waited for.
        let until = self.deadline(core).filter(|at| *at > now.instant);
        if is_last && until.is_some() && !self.could_move() {
            return Err(Driven::Waiting(until));
        }
        match self.worked_bytes > share_bytes {
            true => Err(Driven::Again),
            false => Ok(share_bytes),
        }
    }

    /// Goes on after a defect has ended the step that was under way, and lost the state that the step held.
    #[cold]
    pub fn recover(
        &mut self,
        slot: usize,
        core: &mut Core,
        network: &mut impl Network,
        now: Now,
    ) -> Driven {
        log::error!("a defect ended one request; all others go on");
        self.is_stream = false;
        match std::mem::take(&mut self.owes_answer) {
            false => Driven::Close(Reason::Bug),
            true => {
                let exchange = std::mem::replace(&mut self.exchange, Exchange::Closed);
                exchange.abort(&Reason::Bug, core, now);
                self.upstream.abandon(slot, &mut core.blocks, network);
                // What the step has written of an answer is dropped.
                self.client.output.consume(self.client.output.len());
                self.exchange = Exchange::after_defect(self.role, core, now);
                Driven::Again
            }
        }
    }

    fn run(
        &mut self,
        share_bytes: usize,
        is_alone: bool,
        slot: usize,
        core: &mut Core,
        network: &mut impl Network,
        now: Now,
    ) -> Driven {
        loop {
            self.open_outputs(core);
            let filled = self.fill(share_bytes, core, now);
            if self.client_has_gone() {
                return Driven::Close(Reason::ClientGone);
            }
            let step = self.step(slot, core, now);
            let is_starved = matches!(step, Step::Starve);
            let goes_on = !is_starved && !matches!(step, Step::Wait);
            // Whoever has the whole answer need not wait for what is done with the platform's connection.
            let is_answered = matches!(step, Step::Release | Step::Hangup);
            if matches!(step, Step::Close(_)) || (is_alone && is_answered) {
                self.worked_bytes += self.flush_client(core, now).unwrap_or(0);
            }
            if !matches!(step, Step::Wait | Step::Starve | Step::Again)
                && let Some(reason) = self.obey(step, slot, core, network, now)
            {
                return Driven::Close(reason);
            }
            self.worked_bytes += filled + STEP_BYTES;
            if goes_on && self.worked_bytes <= share_bytes {
                // What the next step adds is sent in the same write.
                continue;
            }
            let is_little = self.client.output.len() <= LATER_BYTES_MAX;
            if !is_alone && is_little && self.client.may_write() {
                self.turn = Turn::Sending {
                    share_bytes,
                    is_last: is_starved,
                };
                return Driven::Sending;
            }
            let Some(flushed) = self.flush(core, now) else {
                return Driven::Close(Reason::ClientGone);
            };
            self.worked_bytes += flushed;
            // A step that emptied a full buffer has made room for bytes that no further event will announce.
            let is_at_rest = is_starved || (!goes_on && filled + flushed == 0);
            if is_at_rest && !self.could_move() {
                return Driven::Waiting(self.deadline(core));
            }
            if self.worked_bytes > share_bytes {
                return Driven::Again;
            }
        }
    }

    /// Lets the client's TLS handshake go on.
    fn greet(&mut self, core: &mut Core, now: Now) -> Driven {
        if self.client.hears_plain_text() {
            self.client.drop_tls();
            self.client.fill(usize::MAX, &mut core.blocks, now);
            let unread = self.client.input.unread();
            self.exchange = Exchange::refuse_plain_text(unread, self.role, core, now);
            return Driven::Again;
        }
        match self.client.handshake(&mut core.blocks, now) {
            Ok(()) if self.client.is_handshaking() => {
                let until = self.deadline(core);
                match until.is_some_and(|until| until <= now.instant) {
                    true => Driven::Close(Reason::RequestTimeout),
                    false => Driven::Waiting(until),
                }
            }
            Ok(()) => Driven::Again,
            Err(_) => Driven::Close(Reason::ClientGone),
        }
    }

    /// Reads what is wanted and available, at most `bytes_max` per side. Returns the bytes, counting other news as 1.
    fn fill(&mut self, bytes_max: usize, core: &mut Core, now: Now) -> usize {
        let blocks = &mut core.blocks;
        let mut filled = 0;
        if self.client.may_read() && self.listens_to_client() {
            let at = match self.exchange.wants_client() {
                true => now,
                // Bytes that are of no use yet are no reason to postpone a deadline.
                false => Now {
                    instant: self.client.active_at(),
                    ..now
                },
            };
            filled += self.client.fill(bytes_max, blocks, at).progress();
        }
        if self.exchange.wants_upstream(self.client.has_output()) {
            filled += self.upstream.fill(bytes_max, blocks, now);
        }
        filled
    }

    /// Whether the client is read: when its bytes are of use; when it has left with the last event, since only a read tells
    /// the exchange; and over TLS also while a request is served, as long as nothing else waits, because TLS ends with a
    /// message that only a read finds.
    fn listens_to_client(&self) -> bool {
        let has_left = self.client.peer_closed() && self.exchange.outlives_client();
        let may_tell = self.client.ends_by_message() && self.client.input.is_empty();
        self.exchange.wants_client() || has_left || (may_tell && self.exchange.serves_client())
    }

    /// Gives room to what a step may write. It comes before the read, so that what both look at is fetched together.
    fn open_outputs(&mut self, core: &mut Core) {
        self.client.output.open(&mut core.blocks);
        if self.exchange.writes_upstream() {
            self.upstream.open_output(&mut core.blocks);
        }
    }

    fn step(&mut self, slot: usize, core: &mut Core, now: Now) -> Step {
        let mut cx = Cx {
            now,
            core,
            session: slot,
            role: &self.role,
            peer: &self.peer,
            client: ends(&mut self.client),
            upstream: self.upstream.shown(),
        };
        let has_input = !cx.client.input.is_empty();
        self.owes_answer = self.exchange.owes_answer(has_input) && cx.client.output.is_empty();
        self.exchange.step(&mut cx)
    }

    /// Does what the exchange asks for. Returns a reason if the session is to be closed.
    #[inline(never)]
    fn obey(
        &mut self,
        step: Step,
        slot: usize,
        core: &mut Core,
        network: &mut impl Network,
        now: Now,
    ) -> Option<Reason> {
        match step {
            Step::Wait | Step::Starve | Step::Again => {}
            Step::Dial { endpoint, reuse } => {
                self.upstream.abandon(slot, &mut core.blocks, network);
                let dialed = network.dial(&endpoint, reuse, slot, &mut core.blocks, now);
                self.upstream = Upstream::dialed(dialed, endpoint);
            }
            Step::Hangup => self.upstream.hang_up(slot, &mut core.blocks, network),
            Step::Abandon => self.upstream.abandon(slot, &mut core.blocks, network),
            Step::Release => self.upstream.release(&mut core.blocks, network, now),
            Step::Shutdown => self.client.shutdown(&mut core.blocks),
            Step::ShutdownUpstream => self.upstream.shutdown(&mut core.blocks),
            Step::Close(reason) => return Some(reason),
        }
        None
    }

    /// Goes on with the dial that is under way.
    #[inline(never)]
    fn resume_dial(&mut self, slot: usize, core: &mut Core, network: &mut impl Network, now: Now) {
        if let Upstream::Dialing(dial) = self.upstream.take() {
            if dial.progress() == Progress::Handshaking {
                self.worked_bytes = HANDSHAKE_BYTES;
            }
            let endpoint = Rc::clone(&dial.endpoint);
            let dialed = network.resume(dial, slot, &mut core.blocks, now);
            self.upstream = Upstream::dialed(dialed, endpoint);
        }
    }

    /// Whether the client has gone. Ending its direction counts as that, except where something is left to be done.
    fn client_has_gone(&self) -> bool {
        self.client.peer_closed() && !self.exchange.outlives_client()
    }

    /// Sends what can be sent. Returns the number of bytes, or none if the client has gone.
    fn flush(&mut self, core: &mut Core, now: Now) -> Option<usize> {
        let flushed = self.upstream.flush(&mut core.blocks, now);
        if flushed > 0 && !self.upstream.has_output() {
            self.exchange.on_sent_upstream(now);
        }
        self.flush_client(core, now).map(|count| flushed + count)
    }

    fn flush_client(&mut self, core: &mut Core, now: Now) -> Option<usize> {
        if !self.client.may_write() {
            return Some(0);
        }
        self.owes_answer = false;
        match self.client.flush(&mut core.blocks, now) {
            Flushed::All(count) => {
                self.exchange.on_sent_to_client(now);
                Some(count)
            }
            Flushed::Blocked(count) => Some(count),
            Flushed::Failed(_) => None,
        }
    }

    fn deadline(&self, core: &Core) -> Option<Instant> {
        let client_at = self.client.active_at();
        let upstream_at = self.upstream.active_at().unwrap_or(client_at);
        let exchange_at = self.exchange.deadline(core, client_at, upstream_at);
        let dial_at = self.upstream.dial_deadline();
        exchange_at.into_iter().chain(dial_at).min()
    }

    /// Whether some connection has bytes to move and can move them: the session must not wait then.
    fn could_move(&self) -> bool {
        let is_wanted = self.exchange.wants_upstream(self.client.has_output());
        self.upstream.could_move(is_wanted)
            || self.client.may_write()
            || (self.client.may_read() && self.listens_to_client())
    }

    /// Ends the session: whatever is under way is settled, both connections are closed.
    pub fn close(
        mut self,
        slot: usize,
        reason: &Reason,
        core: &mut Core,
        network: &mut impl Network,
        now: Now,
    ) {
        let exchange = std::mem::replace(&mut self.exchange, Exchange::Closed);
        let is_cut = exchange.ends_with_connection(self.client.has_output());
        if is_cut || matches!(reason, Reason::Bug) {
            // The client must not take what it has received for the whole answer.
            self.client.reset();
        } else {
            self.client.notify_of_close(&mut core.blocks);
        }
        match exchange.is_tunnel() {
            // What was sent last must still arrive.
            true => self.upstream.hang_up(slot, &mut core.blocks, network),
            false => self.upstream.abandon(slot, &mut core.blocks, network),
        }
        exchange.abort(reason, core, now);
        self.client.close_buffers(&mut core.blocks);
        network.hangup(self.client);
        if let Role::Probe(key) = self.role {
            core.end_probe(key, now);
        }
    }
}

#[cfg(test)]
mod tests;
