//! The bytes' way in and out of one socket: plain, or through TLS. It knows nothing of HTTP.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;

use mio::net::TcpStream;

/// Anything else that carries bytes without blocking: the simulation's links.
pub trait Link: Read + Write {
    /// Ends the sending direction.
    fn shutdown(&mut self);
    /// Makes the close that follows a reset.
    fn reset(&mut self);
}

/// How the bytes of one connection travel.
pub enum Transport {
    Plain(TcpStream),
    Tls(Box<Tls>),
    Link(Box<dyn Link>),
    /// Nobody: what is written is dropped, and nothing ever comes. The client of a health probe.
    Nobody,
}

/// A TLS connection over a socket, as client or as server.
pub struct Tls {
    socket: TcpStream,
    session: rustls::Connection,
    /// Decrypted bytes that wait inside `session`; the poll does not report them.
    plaintext_bytes: usize,
}

/// What one read from a transport brought.
#[derive(Debug)]
pub enum Received {
    /// So many bytes, maybe none; `Drained::Yes` when the kernel has no more for now.
    Bytes(usize, Drained),
    /// The peer ended its direction, properly.
    End,
}

/// Whether a read took all that the kernel had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    Yes,
    No,
}

impl Transport {
    /// Wraps a connected socket for a TLS session.
    pub fn tls(socket: TcpStream, session: rustls::Connection) -> Transport {
        Transport::Tls(Box::new(Tls {
            socket,
            session,
            plaintext_bytes: 0,
        }))
    }

    /// Reads what is there into `space`. `scratch` holds a TLS connection's undecrypted bytes for the moment.
    ///
    /// # Errors
    /// `WouldBlock`, what the socket says, and for TLS also `InvalidData` (the peer broke the protocol) and
    /// `UnexpectedEof` (the connection ended without a closing alert: what came may be cut off).
    pub fn read(&mut self, space: &mut [u8], scratch: &mut [u8]) -> io::Result<Received> {
        match self {
            Transport::Plain(socket) => received(socket.read(space)?, space.len()),
            Transport::Link(link) => received(link.read(space)?, space.len()),
            Transport::Nobody => Err(io::ErrorKind::WouldBlock.into()),
            Transport::Tls(tls) => tls.read(space, scratch),
        }
    }

    /// Writes from `bytes` what is taken now.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is taken, and what the socket says.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(socket) => socket.write(bytes),
            Transport::Link(link) => link.write(bytes),
            Transport::Nobody => Ok(bytes.len()),
            Transport::Tls(tls) => tls.write(bytes),
        }
    }

    /// Sends what TLS holds back: handshake messages, alerts, records that the socket did not take.
    ///
    /// # Errors
    /// As [`Transport::write`].
    pub fn flush(&mut self) -> io::Result<()> {
        match self {
            Transport::Plain(_) | Transport::Link(_) | Transport::Nobody => Ok(()),
            Transport::Tls(tls) => tls.send_records(),
        }
    }

    /// Whether [`Transport::flush`] has something to send.
    pub fn holds_output(&self) -> bool {
        match self {
            Transport::Plain(_) | Transport::Link(_) | Transport::Nobody => false,
            Transport::Tls(tls) => tls.session.wants_write(),
        }
    }

    /// Whether a read brings bytes although the socket has none.
    pub fn holds_input(&self) -> bool {
        match self {
            Transport::Plain(_) | Transport::Link(_) | Transport::Nobody => false,
            Transport::Tls(tls) => tls.plaintext_bytes > 0,
        }
    }

    /// Whether the TLS handshake is still under way.
    pub fn is_handshaking(&self) -> bool {
        match self {
            Transport::Plain(_) | Transport::Link(_) | Transport::Nobody => false,
            Transport::Tls(tls) => tls.session.is_handshaking(),
        }
    }

    /// Whether a client that should speak TLS begins with a letter instead: no TLS record does, each HTTP method does.
    pub fn hears_plain_text(&self) -> bool {
        let mut first = [0];
        match self {
            Transport::Tls(tls) if tls.session.is_handshaking() => {
                matches!(tls.socket.peek(&mut first), Ok(1)) && first[0].is_ascii_alphabetic()
            }
            Transport::Plain(_) | Transport::Link(_) | Transport::Nobody | Transport::Tls(_) => {
                false
            }
        }
    }

    /// The same socket without TLS.
    pub fn without_tls(self) -> Transport {
        match self {
            Transport::Tls(tls) => Transport::Plain(tls.socket),
            other @ (Transport::Plain(_) | Transport::Link(_) | Transport::Nobody) => other,
        }
    }

    /// Tells the peer that all that was sent was meant (RFC 8446 section 6.1); without TLS the close itself does.
    pub fn notify_of_close(&mut self) {
        match self {
            Transport::Tls(tls) => {
                tls.session.send_close_notify();
                drop(tls.send_records());
            }
            Transport::Plain(_) | Transport::Link(_) | Transport::Nobody => {}
        }
    }

    /// Ends the sending direction; for TLS with a closing alert before it.
    pub fn shutdown(&mut self) {
        // The connection is about to be closed: a peer that takes neither alert nor FIN learns of it then.
        match self {
            Transport::Plain(socket) => drop(socket.shutdown(Shutdown::Write)),
            Transport::Link(link) => link.shutdown(),
            Transport::Nobody => {}
            Transport::Tls(tls) => {
                tls.session.send_close_notify();
                drop(tls.send_records());
                drop(tls.socket.shutdown(Shutdown::Write));
            }
        }
    }

    /// Makes the close that follows a reset, so that the peer cannot take what it got for the whole.
    pub fn reset(&mut self) {
        let socket = match self {
            Transport::Plain(socket) => socket,
            Transport::Tls(tls) => &mut tls.socket,
            Transport::Link(link) => return link.reset(),
            Transport::Nobody => return,
        };
        drop(socket2::SockRef::from(&*socket).set_linger(Some(std::time::Duration::ZERO)));
    }
}

fn received(count: usize, asked: usize) -> io::Result<Received> {
    Ok(match count {
        0 => Received::End,
        short if short < asked => Received::Bytes(short, Drained::Yes),
        full => Received::Bytes(full, Drained::No),
    })
}

impl Tls {
    /// Reads at most as many encrypted bytes as there is space for plaintext, so that it all fits.
    fn read(&mut self, space: &mut [u8], scratch: &mut [u8]) -> io::Result<Received> {
        let mut filled = self.take_plaintext(space)?;
        if filled > 0 {
            return Ok(Received::Bytes(filled, Drained::No));
        }
        if self.peer_has_closed() {
            return Ok(Received::End);
        }
        let asked = space.len().min(scratch.len());
        let count = self.socket.read(&mut scratch[..asked])?;
        if count == 0 {
            // Without a closing alert before it, anybody on the way may have cut the connection.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut encrypted = &scratch[..count];
        while !encrypted.is_empty() {
            if self.session.read_tls(&mut encrypted)? == 0 {
                break;
            }
            self.decrypt()?;
            filled += self.take_plaintext(&mut space[filled..])?;
        }
        // After the closing alert the next read finds the end, without a word from the kernel.
        let more = count == asked || (filled < space.len() && self.peer_has_closed());
        Ok(Received::Bytes(
            filled,
            if more { Drained::No } else { Drained::Yes },
        ))
    }

    fn decrypt(&mut self) -> io::Result<()> {
        match self.session.process_new_packets() {
            Ok(state) => {
                self.plaintext_bytes = state.plaintext_bytes_to_read();
                Ok(())
            }
            Err(error) => {
                // The alert that says why is worth one attempt; the connection ends in any case.
                drop(self.send_records());
                Err(io::Error::new(io::ErrorKind::InvalidData, error))
            }
        }
    }

    fn take_plaintext(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < space.len() && self.plaintext_bytes > 0 {
            let count = self.session.reader().read(&mut space[filled..])?;
            filled += count;
            self.plaintext_bytes = self.plaintext_bytes.saturating_sub(count);
            if count == 0 {
                break;
            }
        }
        Ok(filled)
    }

    /// Whether the peer's closing alert was read: the reader then ends instead of blocking. Asked only when no
    /// plaintext waits, else the byte read here would be lost.
    fn peer_has_closed(&mut self) -> bool {
        matches!(self.session.reader().read(&mut [0]), Ok(0))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send_records()?;
        let count = self.session.writer().write(bytes)?;
        match self.send_records() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(count),
        }
    }

    fn send_records(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut Vectored(&mut self.socket))?;
        }
        Ok(())
    }
}

/// One system call for all records: the default `write_vectored` would send the first alone.
struct Vectored<'s>(&'s mut TcpStream);

impl Write for Vectored<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
