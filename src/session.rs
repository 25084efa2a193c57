//! Both ends of one client and the exchange between them. It moves bytes until nothing moves any more, and knows
//! neither HTTP nor the poll.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use mio::Token;

use crate::base::buffer::BlockPool;
use crate::base::now::Now;
use crate::base::work::{HANDSHAKE_BYTES, SHARE_BYTES_MAX, STEP_BYTES, STREAM_BYTES_MAX};
use crate::exchange::core::Core;
use crate::exchange::reason::Reason;
use crate::exchange::request::{Request, Role};
use crate::exchange::{self, Cx, Ends, Exchange, Step};
use crate::net::connection::{Connection, Filled, Flushed, Hints};
use crate::net::dial::{Dial, Dialed, Endpoint, Origin};
use crate::net::fault::Fault;
use crate::net::network::{Network, stays_idle};
use crate::net::transport::Transport;
use crate::policy::keyring::KeyId;

/// An open stream on which nothing moves holds a session, its request and little else: no buffer, no kept body.
const _: () = assert!(size_of::<Session>() + size_of::<Request>() <= 1600);

/// A client's connection with everything that hangs on it.
pub struct Session {
    client: Connection,
    peer: IpAddr,
    role: Role,
    upstream: Upstream,
    exchange: Exchange,
    owed: Owed,
    /// What the last turn moved, and other work in its measure.
    worked_bytes: usize,
}

/// What the client could still be told if the present step failed by a defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owed {
    /// Bytes of an answer may have left, or no request is under way.
    Nothing,
    /// The whole answer.
    Answer,
}

/// The other end. It is there exactly while the exchange tries, relays or tunnels.
enum Upstream {
    None,
    Dialing(Dial),
    Open {
        connection: Connection,
        origin: Origin,
        endpoint: Rc<Endpoint>,
    },
    Failed(Fault),
}

/// How a turn left a session.
pub enum Driven {
    /// It waits for an event, or for this time.
    Waiting(Option<Instant>),
    /// It has used up its share; more can be done at once.
    Again,
    Close(Reason),
}

impl Session {
    pub fn new(client: Connection, peer: IpAddr, role: Role, now: Now) -> Session {
        Session {
            client,
            peer,
            role,
            upstream: Upstream::None,
            exchange: Exchange::new(now),
            owed: Owed::Nothing,
            worked_bytes: 0,
        }
    }

    /// A session without a client, for a probe of `key`.
    pub fn probe(token: Token, key: KeyId, exchange: Exchange, now: Now) -> Session {
        Session {
            client: Connection::new(Transport::Nobody, token, Hints::FRESH, now),
            peer: IpAddr::from([127, 0, 0, 1]),
            role: Role::Probe(key),
            upstream: Upstream::None,
            exchange,
            owed: Owed::Nothing,
            worked_bytes: 0,
        }
    }

    pub fn role(&self) -> Role {
        self.role
    }

    pub fn client_token(&self) -> Token {
        self.client.token()
    }

    /// Whether no request is under way.
    pub fn is_idle(&self) -> bool {
        self.exchange.is_idle()
    }

    /// Whether an answer is under way of which little comes at a time.
    pub fn is_stream(&self) -> bool {
        self.worked_bytes <= STREAM_BYTES_MAX && self.exchange.is_relaying()
    }

    /// How much work the last turn was.
    pub fn worked_bytes(&self) -> usize {
        self.worked_bytes
    }

    /// The poll reported something of the client.
    pub fn hint_client(&mut self, news: Hints) {
        self.client.hint(news);
    }

    /// The poll reported something of a socket of the upstream side.
    pub fn hint_upstream(&mut self, token: Token, news: Hints) {
        match &mut self.upstream {
            Upstream::Dialing(dial) => dial.hint(token, news),
            Upstream::Open { connection, .. } => connection.hint(news),
            Upstream::None | Upstream::Failed(_) => {}
        }
    }

    /// Moves bytes until nothing moves, or the share of this turn is used up.
    pub fn drive(
        &mut self,
        slot: usize,
        core: &mut Core,
        network: &mut impl Network,
        now: Now,
    ) -> Driven {
        let share_bytes = match self.is_stream() {
            true => STREAM_BYTES_MAX,
            false => SHARE_BYTES_MAX,
        };
        self.worked_bytes = 0;
        if self.client_has_gone() {
            return Driven::Close(Reason::ClientGone);
        }
        if self.client.is_handshaking() {
            self.worked_bytes = HANDSHAKE_BYTES;
            return self.greet(core, now);
        }
        self.resume_dial(slot, core, network, now);
        self.open_buffers(&mut core.blocks);
        let driven = self.run(share_bytes, slot, core, network, now);
        self.settle_buffers(&mut core.blocks);
        driven
    }

    /// Goes on after a defect has ended the step that was under way, and lost what it had in its hands.
    pub fn recover(
        &mut self,
        slot: usize,
        core: &mut Core,
        network: &mut impl Network,
        now: Now,
    ) -> Driven {
        match std::mem::replace(&mut self.owed, Owed::Nothing) {
            Owed::Nothing => Driven::Close(Reason::Bug),
            Owed::Answer => {
                let exchange = std::mem::replace(&mut self.exchange, Exchange::Closed);
                exchange.abort(&Reason::Bug, core, now);
                self.hang_up(slot, &mut core.blocks, network);
                // What the step has written of an answer goes with it.
                self.client.output.consume(self.client.output.len());
                self.exchange = Exchange::after_defect(self.role, core, now);
                Driven::Again
            }
        }
    }

    fn run(
        &mut self,
        share_bytes: usize,
        slot: usize,
        core: &mut Core,
        network: &mut impl Network,
        now: Now,
    ) -> Driven {
        loop {
            let filled = self.fill(now);
            if self.client_has_gone() {
                return Driven::Close(Reason::ClientGone);
            }
            let step = self.step(slot, core, now);
            let is_starved = matches!(step, Step::Starve);
            let goes_on = !is_starved && !matches!(step, Step::Wait);
            if let Some(reason) = self.obey(step, slot, core, network, now) {
                self.flush_client(now);
                return Driven::Close(reason);
            }
            self.worked_bytes += filled + STEP_BYTES;
            if goes_on && self.worked_bytes <= share_bytes {
                // What the next step adds leaves in the same write.
                continue;
            }
            let Some(flushed) = self.flush(now) else {
                return Driven::Close(Reason::ClientGone);
            };
            self.worked_bytes += flushed;
            // A step that emptied a full buffer has made room for what no event will tell of again.
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
        self.client.open_buffers(&mut core.blocks);
        if self.client.hears_plain_text() {
            self.client.drop_tls();
            self.exchange = Exchange::refuse_plain_text(&mut self.client.output, core, now);
            return Driven::Again;
        }
        let outcome = self.client.handshake(now);
        self.client.settle_buffers(&mut core.blocks);
        match outcome {
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

    /// Reads what is wanted and there; the number of bytes, and one for news without bytes.
    fn fill(&mut self, now: Now) -> usize {
        let mut filled = 0;
        if self.exchange.wants_client() && self.client.may_read() {
            filled += count(self.client.fill(now));
        }
        let client_is_behind = self.client.has_output();
        if let Upstream::Open { connection, .. } = &mut self.upstream
            && self.exchange.wants_upstream(client_is_behind)
            && connection.may_read()
        {
            filled += count(connection.fill(now));
        }
        filled
    }

    fn step(&mut self, slot: usize, core: &mut Core, now: Now) -> Step {
        let upstream = match &mut self.upstream {
            Upstream::None => exchange::Upstream::None,
            Upstream::Dialing(_) => exchange::Upstream::Dialing,
            Upstream::Open {
                connection, origin, ..
            } => exchange::Upstream::Open(ends(connection), *origin),
            Upstream::Failed(_) => match std::mem::replace(&mut self.upstream, Upstream::None) {
                Upstream::Failed(fault) => exchange::Upstream::Failed(fault),
                Upstream::None | Upstream::Dialing(_) | Upstream::Open { .. } => {
                    exchange::Upstream::None
                }
            },
        };
        let mut cx = Cx {
            now,
            core,
            session: slot,
            role: self.role,
            peer: self.peer,
            client: ends(&mut self.client),
            upstream,
        };
        self.owed = match self.exchange.owes_answer() && cx.client.output.is_empty() {
            true => Owed::Answer,
            false => Owed::Nothing,
        };
        let exchange = std::mem::replace(&mut self.exchange, Exchange::Closed);
        let (exchange, step) = exchange.step(&mut cx);
        self.exchange = exchange;
        step
    }

    /// Does what the exchange asks for; a reason when it asks for the end.
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
                self.hang_up(slot, &mut core.blocks, network);
                let dialed = network.dial(&endpoint, reuse, slot, &mut core.blocks, now);
                self.take_dialed(dialed, endpoint, &mut core.blocks);
            }
            Step::Hangup => self.hang_up(slot, &mut core.blocks, network),
            Step::Release => self.release(core, network, now),
            Step::Shutdown => self.client.shutdown(),
            Step::ShutdownUpstream => self.shut_upstream_down(),
            Step::Close(reason) => return Some(reason),
        }
        None
    }

    fn resume_dial(&mut self, slot: usize, core: &mut Core, network: &mut impl Network, now: Now) {
        if let Upstream::Dialing(_) = self.upstream
            && let Upstream::Dialing(dial) = std::mem::replace(&mut self.upstream, Upstream::None)
        {
            if dial.is_handshaking() {
                self.worked_bytes = HANDSHAKE_BYTES;
            }
            let endpoint = Rc::clone(&dial.endpoint);
            let dialed = network.resume(dial, slot, &mut core.blocks, now);
            self.take_dialed(dialed, endpoint, &mut core.blocks);
        }
    }

    fn take_dialed(&mut self, dialed: Dialed, endpoint: Rc<Endpoint>, blocks: &mut BlockPool) {
        self.upstream = match dialed {
            Dialed::Pending(dial) => Upstream::Dialing(dial),
            Dialed::Failed(fault) => Upstream::Failed(fault),
            Dialed::Open(mut connection, origin) => {
                connection.open_buffers(blocks);
                Upstream::Open {
                    connection,
                    origin,
                    endpoint,
                }
            }
        };
    }

    fn hang_up(&mut self, slot: usize, blocks: &mut BlockPool, network: &mut impl Network) {
        match std::mem::replace(&mut self.upstream, Upstream::None) {
            Upstream::None | Upstream::Failed(_) => {}
            Upstream::Dialing(dial) => network.abandon(dial, slot),
            Upstream::Open { mut connection, .. } => {
                connection.close_buffers(blocks);
                network.hangup(connection);
            }
        }
    }

    fn shut_upstream_down(&mut self) {
        match &mut self.upstream {
            Upstream::Open { connection, .. } => connection.shutdown(),
            Upstream::None | Upstream::Dialing(_) | Upstream::Failed(_) => {}
        }
    }

    /// A client that ends its direction has gone, unless both sides speak a protocol of their own.
    fn client_has_gone(&self) -> bool {
        self.client.peer_closed() && !self.exchange.outlives_half_close()
    }

    /// Keeps the upstream for another request, if nothing more has come of it: while the client was behind nobody looked.
    fn release(&mut self, core: &mut Core, network: &mut impl Network, now: Now) {
        let upstream = std::mem::replace(&mut self.upstream, Upstream::None);
        if let Upstream::Open {
            mut connection,
            endpoint,
            ..
        } = upstream
        {
            match stays_idle(&mut connection, &mut core.blocks, now) {
                true => network.release(&endpoint, connection, now),
                false => network.hangup(connection),
            }
        }
    }

    /// Sends what can be sent; the number of bytes, or nothing when the client has gone.
    fn flush(&mut self, now: Now) -> Option<usize> {
        let mut flushed = 0;
        if let Upstream::Open { connection, .. } = &mut self.upstream
            && connection.may_write()
        {
            // A platform that takes no more may have answered before: reading finds out.
            flushed += match connection.flush(now) {
                Flushed::All(count) | Flushed::Blocked(count) => count,
                Flushed::Failed(_) => 1,
            };
        }
        self.flush_client(now).map(|count| flushed + count)
    }

    fn flush_client(&mut self, now: Now) -> Option<usize> {
        if !self.client.may_write() {
            return Some(0);
        }
        self.owed = Owed::Nothing;
        match self.client.flush(now) {
            Flushed::All(count) | Flushed::Blocked(count) => Some(count),
            Flushed::Failed(_) => None,
        }
    }

    fn deadline(&self, core: &Core) -> Option<Instant> {
        let client_at = self.client.active_at();
        let (upstream_at, dial_at) = match &self.upstream {
            Upstream::Open { connection, .. } => (connection.active_at(), None),
            Upstream::Dialing(dial) => (client_at, dial.deadline()),
            Upstream::None | Upstream::Failed(_) => (client_at, None),
        };
        let exchange_at = self.exchange.deadline(core, client_at, upstream_at);
        exchange_at.into_iter().chain(dial_at).min()
    }

    /// Whether a connection both wants and can move: a session does not wait then.
    fn could_move(&self) -> bool {
        let client_is_behind = self.client.has_output();
        let upstream = match &self.upstream {
            Upstream::Open { connection, .. } => {
                connection.may_write()
                    || (self.exchange.wants_upstream(client_is_behind) && connection.may_read())
            }
            Upstream::None | Upstream::Dialing(_) | Upstream::Failed(_) => false,
        };
        upstream
            || self.client.may_write()
            || (self.exchange.wants_client() && self.client.may_read())
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
            // The client must not take what it got for the whole.
            self.client.reset();
        } else {
            self.client.notify_of_close(&mut core.blocks);
        }
        exchange.abort(reason, core, now);
        self.hang_up(slot, &mut core.blocks, network);
        self.client.close_buffers(&mut core.blocks);
        network.hangup(self.client);
        if let Role::Probe(key) = self.role {
            core.end_probe(key, now);
        }
    }

    fn open_buffers(&mut self, blocks: &mut BlockPool) {
        self.client.open_buffers(blocks);
        if let Upstream::Open { connection, .. } = &mut self.upstream {
            connection.open_buffers(blocks);
        }
    }

    fn settle_buffers(&mut self, blocks: &mut BlockPool) {
        self.client.settle_buffers(blocks);
        if let Upstream::Open { connection, .. } = &mut self.upstream {
            connection.settle_buffers(blocks);
        }
    }
}

fn ends(connection: &mut Connection) -> Ends<'_> {
    let (ended, active_at) = (connection.ended(), connection.active_at());
    let holds_records = connection.holds_records();
    Ends {
        input: &mut connection.input,
        output: &mut connection.output,
        holds_records,
        ended,
        active_at,
    }
}

fn count(filled: Filled) -> usize {
    match filled {
        // A read that brought no plaintext has brought the next one nearer.
        Filled::Bytes(count) => count.max(1),
        Filled::Blocked => 0,
        Filled::End | Filled::Failed(_) => 1,
    }
}

#[cfg(test)]
mod tests;
