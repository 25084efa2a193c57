//! A session's upstream side: no connection, one that is being made, or an open one. It moves bytes when told to.

use std::rc::Rc;
use std::time::Instant;

use mio::Token;

use crate::base::buffer::BlockPool;
use crate::base::now::Now;
use crate::exchange::{self, Ends};
use crate::net::connection::{Connection, Flushed, Hints};
use crate::net::dial::{Dial, Dialed, Endpoint, Origin};
use crate::net::fault::Fault;
use crate::net::network::{Network, stays_idle};

/// A connection is there exactly while the exchange tries, relays (interim answers included) or tunnels.
pub enum Upstream {
    None,
    Dialing(Dial),
    Open {
        connection: Connection,
        origin: Origin,
        endpoint: Rc<Endpoint>,
    },
    Failed(Fault),
}

impl Upstream {
    /// What came of a dial to `endpoint`.
    pub fn dialed(dialed: Dialed, endpoint: Rc<Endpoint>) -> Upstream {
        match dialed {
            Dialed::Pending(dial) => Upstream::Dialing(dial),
            Dialed::Failed(fault) => Upstream::Failed(fault),
            Dialed::Open(connection, origin) => Upstream::Open {
                connection,
                origin,
                endpoint,
            },
        }
    }

    /// Takes it, and leaves none.
    pub fn take(&mut self) -> Upstream {
        std::mem::replace(self, Upstream::None)
    }

    /// The poll reported an event on one of its sockets.
    pub fn hint(&mut self, token: Token, news: Hints) {
        if let Upstream::Open { connection, .. } = self {
            connection.hint(news);
        } else if let Upstream::Dialing(dial) = self {
            dial.hint(token, news);
        }
    }

    /// What the exchange sees of it.
    pub fn shown(&mut self) -> exchange::Upstream<'_> {
        match self {
            Upstream::None => exchange::Upstream::None,
            Upstream::Dialing(dial) => exchange::Upstream::Dialing(dial.progress()),
            Upstream::Open {
                connection, origin, ..
            } => exchange::Upstream::Open(ends(connection), *origin),
            Upstream::Failed(fault) => exchange::Upstream::Failed(fault),
        }
    }

    /// Reads what is available, at most `bytes_max`. Returns the number of bytes, counting other news as 1.
    pub fn fill(&mut self, bytes_max: usize, blocks: &mut BlockPool, now: Now) -> usize {
        match self.connection() {
            Some(connection) if connection.may_read() => {
                connection.fill(bytes_max, blocks, now).progress()
            }
            Some(_) | None => 0,
        }
    }

    /// Sends what can be sent. Returns the number of bytes, counting a failure as 1.
    pub fn flush(&mut self, blocks: &mut BlockPool, now: Now) -> usize {
        match self.connection() {
            // A platform that takes no more may have answered before that: reading finds out.
            Some(connection) if connection.may_write() => match connection.flush(blocks, now) {
                Flushed::All(count) | Flushed::Blocked(count) => count,
                Flushed::Failed(_) => 1,
            },
            Some(_) | None => 0,
        }
    }

    /// Whether bytes wait to be sent.
    pub fn has_output(&self) -> bool {
        match self {
            Upstream::Open { connection, .. } => connection.has_output(),
            Upstream::None | Upstream::Dialing(_) | Upstream::Failed(_) => false,
        }
    }

    /// Whether bytes can move; `is_wanted` says whether incoming ones are wanted.
    pub fn could_move(&self, is_wanted: bool) -> bool {
        match self {
            Upstream::Open { connection, .. } => {
                connection.may_write() || (is_wanted && connection.may_read())
            }
            Upstream::None | Upstream::Dialing(_) | Upstream::Failed(_) => false,
        }
    }

    /// When bytes last moved, on an open connection.
    pub fn active_at(&self) -> Option<Instant> {
        match self {
            Upstream::Open { connection, .. } => Some(connection.active_at()),
            Upstream::None | Upstream::Dialing(_) | Upstream::Failed(_) => None,
        }
    }

    /// When a dial must be resumed even without an event.
    pub fn dial_deadline(&self) -> Option<Instant> {
        match self {
            Upstream::Dialing(dial) => dial.deadline(),
            Upstream::None | Upstream::Open { .. } | Upstream::Failed(_) => None,
        }
    }

    /// Ends our direction once everything has been sent.
    pub fn shutdown(&mut self, blocks: &mut BlockPool) {
        if let Some(connection) = self.connection() {
            connection.shutdown(blocks);
        }
    }

    /// Keeps the connection for another request, unless more has arrived: while the client was behind, nobody looked.
    pub fn release(&mut self, blocks: &mut BlockPool, network: &mut impl Network, now: Now) {
        if let Upstream::Open {
            mut connection,
            endpoint,
            ..
        } = self.take()
        {
            match stays_idle(&mut connection, blocks, now) {
                true => network.release(&endpoint, connection, now),
                false => {
                    connection.close_buffers(blocks);
                    network.hangup(connection);
                }
            }
        }
    }

    /// Closes what there is.
    pub fn hang_up(&mut self, slot: usize, blocks: &mut BlockPool, network: &mut impl Network) {
        match self.take() {
            Upstream::None | Upstream::Failed(_) => {}
            Upstream::Dialing(dial) => network.abandon(dial, slot),
            Upstream::Open { mut connection, .. } => {
                connection.close_buffers(blocks);
                network.hangup(connection);
            }
        }
    }

    /// The same by a reset: the platform learns at once that nobody awaits its answer, and no port stays in TIME_WAIT
    /// for what it may still send. Otherwise thousands of clients that come and go would use the ports up, and before
    /// that each connect would take milliseconds to find a free one.
    pub fn abandon(&mut self, slot: usize, blocks: &mut BlockPool, network: &mut impl Network) {
        if let Some(connection) = self.connection() {
            connection.reset();
        }
        self.hang_up(slot, blocks, network);
    }

    /// Gives the output its whole capacity.
    pub fn open_output(&mut self, blocks: &mut BlockPool) {
        if let Some(connection) = self.connection() {
            connection.output.open(blocks);
        }
    }

    pub fn settle_buffers(&mut self, blocks: &mut BlockPool) {
        if let Some(connection) = self.connection() {
            connection.settle_buffers(blocks);
        }
    }

    fn connection(&mut self) -> Option<&mut Connection> {
        match self {
            Upstream::Open { connection, .. } => Some(connection),
            Upstream::None | Upstream::Dialing(_) | Upstream::Failed(_) => None,
        }
    }
}

/// What the exchange sees of a connection.
pub fn ends(connection: &mut Connection) -> Ends<'_> {
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
