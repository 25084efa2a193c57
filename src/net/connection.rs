//! One socket with what is known of its readiness, its unread input and its unsent output.

use std::io;
use std::time::Instant;

use mio::Token;
use mio::event::Event;

use super::transport::{Drained, Received, Transport};
use crate::base::buffer::{BlockPool, Buffer};
use crate::base::now::Now;

/// A connected socket. It is registered once, edge-triggered, for both directions.
pub struct Connection {
    transport: Transport,
    token: Token,
    hints: Hints,
    pub input: Buffer,
    pub output: Buffer,
    /// How the peer's direction ended, once a read has found it.
    ended: Option<Ended>,
    opened_at: Instant,
    /// When bytes last moved, either way.
    active_at: Instant,
}

/// How a peer's direction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// In order: everything that was sent has been read.
    Cleanly,
    /// By a fault; what was read may not be all.
    Broken(io::ErrorKind),
}

/// What the poll last said. A hint that is wrong does no harm: the attempt finds out.
#[derive(Clone, Copy, Debug)]
pub struct Hints {
    readable: bool,
    writable: bool,
    /// The peer has ended its direction, or the connection broke. It never goes back; while it is set, a short read
    /// says nothing and reading goes on to the end.
    peer_closed: bool,
}

impl Hints {
    /// Nothing is known; the poll will tell.
    pub const NONE: Hints = Hints {
        readable: false,
        writable: false,
        peer_closed: false,
    };

    /// Both directions are worth an attempt: a connection that was just accepted, or just made.
    pub const FRESH: Hints = Hints {
        readable: true,
        writable: true,
        peer_closed: false,
    };

    /// Bytes came, or room was made, or the peer has ended.
    pub const fn new(readable: bool, writable: bool, peer_closed: bool) -> Hints {
        Hints {
            readable,
            writable,
            peer_closed,
        }
    }

    /// Whether the poll said anything at all.
    pub fn any(&self) -> bool {
        self.readable || self.writable || self.peer_closed
    }

    pub fn join(&mut self, news: Hints) {
        self.readable |= news.readable;
        self.writable |= news.writable;
        self.peer_closed |= news.peer_closed;
    }
}

impl From<&Event> for Hints {
    fn from(event: &Event) -> Hints {
        let broken = event.is_error();
        Hints {
            readable: event.is_readable() || broken,
            writable: event.is_writable() || broken,
            peer_closed: event.is_read_closed() || broken,
        }
    }
}

/// What an attempt to read did.
#[derive(Debug)]
pub enum Filled {
    /// So many bytes were worked on; not all of them have become input.
    Bytes(usize),
    /// Nothing for now: the poll will tell.
    Blocked,
    End,
    Failed(io::Error),
}

/// What an attempt to write did.
#[derive(Debug)]
pub enum Flushed {
    /// Everything has left, so many bytes just now; one for what TLS held alone.
    All(usize),
    /// So many bytes; the kernel takes no more for now.
    Blocked(usize),
    Failed(io::Error),
}

impl Connection {
    pub fn new(transport: Transport, token: Token, hints: Hints, now: Now) -> Connection {
        Connection {
            transport,
            token,
            hints,
            input: Buffer::default(),
            output: Buffer::default(),
            ended: None,
            opened_at: now.instant,
            active_at: now.instant,
        }
    }

    pub fn token(&self) -> Token {
        self.token
    }

    /// How the peer's direction ended, once everything that came before has been read.
    pub fn ended(&self) -> Option<Ended> {
        self.ended
    }

    pub fn opened_at(&self) -> Instant {
        self.opened_at
    }

    pub fn active_at(&self) -> Instant {
        self.active_at
    }

    /// Takes note of what the poll reports.
    pub fn hint(&mut self, news: Hints) {
        self.hints.join(news);
    }

    /// The peer ended its direction or broke off, even if unread bytes are left.
    pub fn peer_closed(&self) -> bool {
        self.hints.peer_closed
    }

    /// How much has come of a TLS record whose rest has not.
    pub fn undecrypted_bytes(&self) -> usize {
        self.transport.undecrypted_bytes()
    }

    /// Whether a read is worth trying.
    pub fn may_read(&self) -> bool {
        self.ended.is_none() && self.input.wants_more() && self.is_readable()
    }

    /// Whether the socket is thought to have bytes.
    pub fn is_readable(&self) -> bool {
        self.hints.readable
    }

    /// Whether bytes wait to be sent.
    pub fn has_output(&self) -> bool {
        !self.output.is_empty() || self.holds_records()
    }

    /// Whether TLS has bytes to send that are not in the output buffer.
    pub fn holds_records(&self) -> bool {
        self.transport.holds_output()
    }

    /// Whether a write is worth trying.
    pub fn may_write(&self) -> bool {
        self.hints.writable && self.has_output()
    }

    pub fn is_handshaking(&self) -> bool {
        self.transport.is_handshaking()
    }

    /// Reads once into the input buffer, `bytes_max` at most, which are more than a TLS record has.
    pub fn fill(&mut self, bytes_max: usize, pool: &mut BlockPool, now: Now) -> Filled {
        self.input.open(pool);
        self.transport.open_buffers(pool);
        let space = self.input.space();
        let length = space.len().min(bytes_max);
        let outcome = self.transport.read(&mut space[..length]);
        match outcome {
            Ok(Received::Bytes {
                count,
                wire_count,
                drained,
            }) => {
                self.input.filled(count);
                self.active_at = now.instant;
                if drained == Drained::Yes && !self.hints.peer_closed {
                    self.hints.readable = false;
                }
                // A peer may wrap each byte, or none, in a record of its own.
                Filled::Bytes(count.max(wire_count))
            }
            Ok(Received::End(count)) => {
                self.input.filled(count);
                self.end(Ended::Cleanly);
                Filled::End
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.hints.readable = false;
                Filled::Blocked
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Filled::Bytes(0),
            Err(error) => {
                self.end(Ended::Broken(error.kind()));
                Filled::Failed(error)
            }
        }
    }

    fn end(&mut self, how: Ended) {
        self.ended = Some(how);
        self.hints.peer_closed = true;
        self.hints.readable = false;
    }

    /// Writes what the kernel takes of the output buffer.
    pub fn flush(&mut self, pool: &mut BlockPool, now: Now) -> Flushed {
        self.transport.open_buffers(pool);
        let mut sent = 0;
        loop {
            let outcome = if self.output.is_empty() {
                self.transport.flush().map(|()| 0)
            } else {
                self.transport.write(self.output.unread())
            };
            match outcome {
                Ok(count) => {
                    self.output.consume(count);
                    sent += count;
                    if count > 0 {
                        self.active_at = now.instant;
                    }
                    if !self.has_output() {
                        return Flushed::All(sent.max(1));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.hints.writable = false;
                    return Flushed::Blocked(sent);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // What the peer sent before may still be there to be read.
                    self.hints = Hints::new(true, false, true);
                    return Flushed::Failed(error);
                }
            }
        }
    }

    /// Moves the handshake on as far as it goes without waiting.
    ///
    /// # Errors
    /// What broke it; `UnexpectedEof` when the peer closed.
    pub fn handshake(&mut self, pool: &mut BlockPool, now: Now) -> io::Result<()> {
        while self.is_handshaking() {
            if self.may_write()
                && let Flushed::Failed(error) = self.flush(pool, now)
            {
                return Err(error);
            }
            if !self.is_readable() {
                return Ok(());
            }
            match self.fill(usize::MAX, pool, now) {
                Filled::Bytes(_) | Filled::Blocked => {}
                Filled::End => return Err(io::ErrorKind::UnexpectedEof.into()),
                Filled::Failed(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether the peer ends its direction by a message, before the socket tells of it or without that.
    pub fn ends_by_message(&self) -> bool {
        matches!(self.transport, Transport::Tls(_))
    }

    /// Whether the peer speaks plain text where TLS was agreed.
    pub fn hears_plain_text(&self) -> bool {
        self.transport.hears_plain_text()
    }

    /// Goes on without TLS.
    pub fn drop_tls(&mut self) {
        let transport = std::mem::replace(&mut self.transport, Transport::Nobody);
        self.transport = transport.without_tls();
    }

    /// Tells a TLS peer that the close which follows is meant.
    pub fn notify_of_close(&mut self, pool: &mut BlockPool) {
        self.transport.open_buffers(pool);
        self.transport.notify_of_close();
    }

    /// Ends the sending direction.
    pub fn shutdown(&mut self, pool: &mut BlockPool) {
        self.transport.open_buffers(pool);
        self.transport.shutdown();
    }

    /// Makes the close that follows a reset.
    pub fn reset(&mut self) {
        self.transport.reset();
    }

    /// Gives back the memory that is not needed until the next turn.
    pub fn settle_buffers(&mut self, pool: &mut BlockPool) {
        self.output.settle(pool);
        self.settle_all_but_output(pool);
    }

    /// The same for a connection whose output leaves in this turn.
    pub fn settle_all_but_output(&mut self, pool: &mut BlockPool) {
        self.input.settle(pool);
        self.transport.settle_buffers(pool);
    }

    /// Gives all memory back, whatever waits: the connection is about to be closed.
    pub fn close_buffers(&mut self, pool: &mut BlockPool) {
        self.input.close(pool);
        self.output.close(pool);
        self.transport.close_buffers(pool);
    }
}
