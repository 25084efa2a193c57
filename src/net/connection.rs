//! One socket with its readiness, its unread input and its unsent output.

use std::io;
use std::time::Instant;

use mio::Token;
use mio::event::Event;

use super::transport::{Drained, Received, Transport};
use crate::base::buffer::{BUFFER_BYTES, BlockPool, Buffer, UNFINISHED_BYTES_MAX};
use crate::base::now::Now;

/// A connected socket. It is registered once, edge-triggered, for both directions. What each event needs comes first, in
/// one cache line if the connection begins with one.
#[repr(C)]
pub struct Connection {
    transport: Transport,
    hints: Hints,
    /// Whether the last read got more than any head: a large body, of which the next one may get still more.
    reads_much: bool,
    /// How the peer's direction ended, once a read has found that out.
    ended: Option<Ended>,
    pub input: Buffer,
    pub output: Buffer,
    /// When bytes last moved, either way.
    active_at: Instant,
    token: Token,
    opened_at: Instant,
}

/// How a peer's direction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// In order: everything that was sent has been read.
    Cleanly,
    /// By a fault; what was read may be incomplete.
    Broken(io::ErrorKind),
}

/// What the poll has reported, until an attempt shows otherwise. A wrong hint does no harm.
#[derive(Clone, Copy, Debug)]
pub struct Hints {
    readable: bool,
    writable: bool,
    /// The peer has ended its direction, or the connection broke. It is never cleared; while it is set, a short read
    /// means nothing and reading goes on to the end.
    peer_closed: bool,
}

impl Hints {
    /// Nothing is known yet; the poll will tell.
    pub const NONE: Hints = Hints {
        readable: false,
        writable: false,
        peer_closed: false,
    };

    /// Both directions are worth an attempt: for a connection that was just accepted or established.
    pub const FRESH: Hints = Hints {
        readable: true,
        writable: true,
        peer_closed: false,
    };

    /// Bytes arrived, there is room to write, or the peer has ended its direction.
    pub const fn new(readable: bool, writable: bool, peer_closed: bool) -> Hints {
        Hints {
            readable,
            writable,
            peer_closed,
        }
    }

    /// Whether the poll reported anything at all.
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
    /// This many bytes were processed; not all of them need have become input.
    Bytes(usize),
    /// Nothing for now: the poll will tell when to try again.
    Blocked,
    End,
    Failed(io::Error),
}

impl Filled {
    /// How many bytes have moved, counting other news as 1.
    pub fn progress(&self) -> usize {
        match self {
            // A read that yields no plaintext is progress all the same.
            Filled::Bytes(count) => (*count).max(1),
            Filled::Blocked => 0,
            Filled::End | Filled::Failed(_) => 1,
        }
    }
}

/// What an attempt to write did.
#[derive(Debug)]
pub enum Flushed {
    /// Everything has been sent, this many bytes just now; 1 if only TLS held something.
    All(usize),
    /// This many bytes were sent; the kernel takes no more for now.
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
            reads_much: false,
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

    /// Records what the poll reports.
    pub fn hint(&mut self, news: Hints) {
        self.hints.join(news);
    }

    /// Whether the peer ended its direction or broke the connection, even if unread bytes are left.
    pub fn peer_closed(&self) -> bool {
        self.hints.peer_closed
    }

    /// How many bytes of an incomplete TLS record have arrived.
    pub fn undecrypted_bytes(&self) -> usize {
        self.transport.undecrypted_bytes()
    }

    /// Whether a read is worth trying.
    pub fn may_read(&self) -> bool {
        self.is_readable() && self.ended.is_none() && self.input.wants_more()
    }

    /// Whether the socket is believed to have bytes.
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

    /// Reads once into the input buffer, at most `bytes_max`, which must exceed the size of a TLS record.
    pub fn fill(&mut self, bytes_max: usize, pool: &mut BlockPool, now: Now) -> Filled {
        match self.reads_much && bytes_max > BUFFER_BYTES {
            true => self.input.open_wide(pool),
            false => self.input.open(pool),
        }
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
                self.reads_much = count >= UNFINISHED_BYTES_MAX;
                self.active_at = now.instant;
                if drained == Drained::Yes && !self.hints.peer_closed {
                    self.hints.readable = false;
                }
                // A peer may put each byte, or none, in a record of its own.
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

    /// Writes as much of the output buffer as the kernel takes.
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
                    // What the peer sent before may still be readable.
                    self.hints = Hints::new(true, false, true);
                    return Flushed::Failed(error);
                }
            }
        }
    }

    /// Advances the handshake as far as possible without waiting.
    ///
    /// # Errors
    /// What broke it; `UnexpectedEof` if the peer closed.
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

    /// Whether the peer ends its direction with a message, which comes before the socket's end of stream or without it.
    pub fn ends_by_message(&self) -> bool {
        matches!(self.transport, Transport::Tls(_))
    }

    /// Whether the peer speaks plain text where TLS is expected.
    pub fn hears_plain_text(&self) -> bool {
        self.transport.hears_plain_text()
    }

    /// Goes on without TLS.
    pub fn drop_tls(&mut self) {
        let transport = std::mem::replace(&mut self.transport, Transport::Nobody);
        self.transport = transport.without_tls();
    }

    /// Tells a TLS peer that the close which follows is intended.
    pub fn notify_of_close(&mut self, pool: &mut BlockPool) {
        self.transport.open_buffers(pool);
        self.transport.notify_of_close();
    }

    /// Ends the sending direction.
    pub fn shutdown(&mut self, pool: &mut BlockPool) {
        self.transport.open_buffers(pool);
        self.transport.shutdown();
    }

    /// Turns the close that follows into a reset.
    pub fn reset(&mut self) {
        self.transport.reset();
    }

    /// Gives back the memory that is not needed until the next turn.
    pub fn settle_buffers(&mut self, pool: &mut BlockPool) {
        self.output.settle(pool);
        self.input.settle(pool);
        self.transport.settle_buffers(pool);
    }

    /// Gives all memory back, whatever is buffered: the connection is about to be closed.
    pub fn close_buffers(&mut self, pool: &mut BlockPool) {
        self.input.close(pool);
        self.output.close(pool);
        self.transport.close_buffers(pool);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::buffer::WIDE_BYTES;
    use crate::base::testing::now;
    use crate::base::work::{SHARE_BESIDE_STREAMS_BYTES_MAX, SHARE_BYTES_MAX};
    use crate::net::testing::told;

    #[test]
    fn a_large_body_is_read_in_large_pieces_unless_streams_wait() {
        let large = WIDE_BYTES + BUFFER_BYTES;
        let small = SHARE_BESIDE_STREAMS_BYTES_MAX;
        // (how much comes, the most that may be read at once, what the reads get)
        let rows = [
            (
                large + 1000,
                SHARE_BYTES_MAX,
                vec![BUFFER_BYTES, WIDE_BYTES, 1000],
            ),
            (3 * small, small, vec![small; 3]),
            (3 * BUFFER_BYTES, BUFFER_BYTES, vec![BUFFER_BYTES; 3]),
        ];
        for (comes, bytes_max, want) in rows {
            let (mut pool, now) = (BlockPool::default(), now());
            let transport = told(vec![b'x'; comes], false);
            let mut connection = Connection::new(transport, Token(0), Hints::FRESH, now);
            let mut got = Vec::new();
            while let Filled::Bytes(count) = connection.fill(bytes_max, &mut pool, now) {
                got.push(count);
                connection.input.consume(count);
                connection.settle_buffers(&mut pool);
            }
            assert_eq!(got, want);
        }
    }
}
