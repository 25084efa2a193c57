//! How bytes get in and out of one socket: plain, or through TLS. It knows nothing of HTTP.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use mio::net::TcpStream;

use super::records::{Decrypted, Records};
use crate::base::buffer::BlockPool;

/// Anything else that carries bytes without blocking: the simulation's links.
pub trait Link: Read + Write {
    /// Ends the sending direction.
    fn shutdown(&mut self);
    /// Turns the close that follows into a reset.
    fn reset(&mut self);
}

/// How the bytes of one connection travel.
pub enum Transport {
    Plain(TcpStream),
    Tls(Box<Tls>),
    Link(Box<dyn Link>),
    /// No peer: what is written is dropped, and nothing ever arrives. The client of a health probe.
    Nobody,
}

/// A TLS session and the socket that carries its records.
pub struct Tls {
    socket: TcpStream,
    records: Records,
    /// Our direction ends after the records that are still to be sent.
    is_ending: bool,
}

/// What one read from a transport brought.
#[derive(Debug)]
pub enum Received {
    /// This many bytes, possibly none; `Drained::Yes` if the kernel has no more for now.
    Bytes {
        count: usize,
        /// The bytes read from the socket for them, which are more if they were encrypted.
        wire_count: usize,
        drained: Drained,
    },
    /// This many bytes, possibly none; after them the peer ended its direction properly.
    End(usize),
}

/// Whether a read took all that the kernel had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    Yes,
    No,
}

impl Transport {
    /// Puts a TLS session on top of a connected socket.
    pub fn tls(socket: TcpStream, records: Records) -> Transport {
        Transport::Tls(Box::new(Tls {
            socket,
            records,
            is_ending: false,
        }))
    }

    /// Reads what is there into `space`, which must be larger than [`Transport::undecrypted_bytes`].
    ///
    /// # Errors
    /// `WouldBlock`, what the socket reports, and for TLS also `InvalidData` (the peer broke the protocol) and
    /// `UnexpectedEof` (the connection ended without a closing alert: what arrived may be truncated).
    pub fn read(&mut self, space: &mut [u8]) -> io::Result<Received> {
        match self {
            Transport::Plain(socket) => received(socket.read(space)?, space.len()),
            Transport::Link(link) => received(link.read(space)?, space.len()),
            Transport::Nobody => Err(io::ErrorKind::WouldBlock.into()),
            Transport::Tls(tls) => tls.read(space),
        }
    }

    /// Writes as much of `bytes` as is taken now.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is taken, and what the socket reports.
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
            Transport::Tls(tls) => tls.send(),
        }
    }

    /// Whether [`Transport::flush`] has something to send.
    pub fn holds_output(&self) -> bool {
        match self {
            Transport::Plain(_) | Transport::Link(_) | Transport::Nobody => false,
            Transport::Tls(tls) => tls.records.holds_output(),
        }
    }

    /// How many bytes have been read that are not plaintext yet: the beginning of a TLS record. The next read needs
    /// room for their plaintext, too.
    pub fn undecrypted_bytes(&self) -> usize {
        match self {
            Transport::Plain(_) | Transport::Link(_) | Transport::Nobody => 0,
            Transport::Tls(tls) => tls.records.undecrypted_bytes(),
        }
    }

    /// Whether the TLS handshake is still under way.
    pub fn is_handshaking(&self) -> bool {
        match self {
            Transport::Plain(_) | Transport::Link(_) | Transport::Nobody => false,
            Transport::Tls(tls) => tls.records.is_handshaking(),
        }
    }

    /// Whether a client that should speak TLS begins with a letter instead: no TLS record does, every HTTP method does.
    pub fn hears_plain_text(&self) -> bool {
        let mut first = [0];
        match self {
            // Inside a record that has begun, any byte may come next.
            Transport::Tls(tls)
                if tls.records.is_handshaking() && tls.records.undecrypted_bytes() == 0 =>
            {
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

    /// Tells the peer that nothing of what was sent is missing (RFC 8446 section 6.1); without TLS the close itself
    /// says so.
    pub fn notify_of_close(&mut self) {
        match self {
            Transport::Tls(tls) => tls.notify_of_close(),
            Transport::Plain(_) | Transport::Link(_) | Transport::Nobody => {}
        }
    }

    /// Ends the sending direction; with TLS a closing alert is sent first, as soon as the kernel takes it.
    pub fn shutdown(&mut self) {
        // The connection is about to be closed: a peer that receives neither alert nor FIN learns of it then.
        match self {
            Transport::Plain(socket) => drop(socket.shutdown(Shutdown::Write)),
            Transport::Link(link) => link.shutdown(),
            Transport::Nobody => {}
            Transport::Tls(tls) => {
                tls.is_ending = true;
                tls.notify_of_close();
            }
        }
    }

    /// Turns the close that follows into a reset, so that the peer cannot take what it received for the whole.
    pub fn reset(&mut self) {
        let socket = match self {
            Transport::Plain(socket) => socket,
            Transport::Tls(tls) => &mut tls.socket,
            Transport::Link(link) => return link.reset(),
            Transport::Nobody => return,
        };
        reset_when_closed(socket);
    }

    /// Takes the memory that TLS needs while the connection is driven.
    pub fn open_buffers(&mut self, pool: &mut BlockPool) {
        match self {
            Transport::Tls(tls) => tls.records.open_buffers(pool),
            Transport::Plain(_) | Transport::Link(_) | Transport::Nobody => {}
        }
    }

    /// Gives back the memory that is not needed until the next turn.
    pub fn settle_buffers(&mut self, pool: &mut BlockPool) {
        match self {
            Transport::Tls(tls) => tls.records.settle_buffers(pool),
            Transport::Plain(_) | Transport::Link(_) | Transport::Nobody => {}
        }
    }

    /// Gives all memory back: the connection is about to be closed.
    pub fn close_buffers(&mut self, pool: &mut BlockPool) {
        match self {
            Transport::Tls(tls) => tls.records.close_buffers(pool),
            Transport::Plain(_) | Transport::Link(_) | Transport::Nobody => {}
        }
    }
}

/// Turns the close of `socket` into a reset, whatever state the socket is in.
pub fn reset_when_closed(socket: &TcpStream) {
    // This is not known to fail; if it does, the close is an orderly one.
    let _ = socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

fn received(count: usize, asked: usize) -> io::Result<Received> {
    Ok(match count {
        0 => Received::End(0),
        count => Received::Bytes {
            count,
            wire_count: count,
            drained: drained(count, asked),
        },
    })
}

fn drained(count: usize, asked: usize) -> Drained {
    match count < asked {
        true => Drained::Yes,
        false => Drained::No,
    }
}

impl Tls {
    #[inline(never)]
    fn read(&mut self, space: &mut [u8]) -> io::Result<Received> {
        let encrypted = self.records.space(space.len());
        let asked = encrypted.len();
        if asked == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a handshake message without end",
            ));
        }
        let count = self.socket.read(encrypted)?;
        if count == 0 {
            // Without a closing alert before the end, anybody on the path may have cut the connection.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match self.records.decrypt(count, space) {
            Ok(Decrypted::Bytes(bytes)) => Ok(Received::Bytes {
                count: bytes,
                wire_count: count,
                drained: drained(count, asked),
            }),
            Ok(Decrypted::End(bytes)) => Ok(Received::End(bytes)),
            Err(error) => {
                // The alert that gives the reason is worth one attempt; the connection ends in any case.
                drop(self.send());
                Err(error)
            }
        }
    }

    #[inline(never)]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send()?;
        let count = self.records.encrypt(bytes)?;
        match self.send() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            Ok(()) | Err(_) => Ok(count),
        }
    }

    /// Sends the records that are ready.
    #[inline(never)]
    fn send(&mut self) -> io::Result<()> {
        let records = self.records.outgoing();
        while !records.is_empty() {
            match self.socket.write(records.unread()) {
                Ok(count) => records.consume(count),
                // Records that were made must not be made again: to the caller this is not an error.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if std::mem::take(&mut self.is_ending) {
            drop(self.socket.shutdown(Shutdown::Write));
        }
        Ok(())
    }

    fn notify_of_close(&mut self) {
        self.records.close();
        drop(self.send());
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream as Blocking};

    use super::*;
    use crate::net::testing::tls_configs;

    /// (bytes already read, bytes that come next, whether they are plain text): a later piece may begin with any byte.
    #[test]
    fn only_the_first_byte_tells_plain_text_from_tls() {
        let (_, config) = tls_configs();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let rows: [(&[u8], &[u8], bool); 5] = [
            (b"", b"GET", true),
            (b"", b"\x16", false),
            (b"\x16", b"\x03", false),
            (b"\x16\x03\x01\x02", b"A", false),
            (b"\x16\x03\x01\x02\x00\x01\x00", b"GET", false),
        ];
        for (before, next, want) in rows {
            let mut theirs = Blocking::connect(address).expect("it listens");
            let (ours, _) = listener.accept().expect("somebody connects");
            let records = Records::server(config.clone()).expect("the configuration fits");
            let mut transport = Transport::tls(TcpStream::from_std(ours), records);
            transport.open_buffers(&mut BlockPool::default());
            if !before.is_empty() {
                theirs.write_all(before).expect("there is room");
                let read = transport.read(&mut [0; 1024]);
                assert!(matches!(read, Ok(Received::Bytes { .. })), "{read:?}");
            }
            theirs.write_all(next).expect("there is room");
            assert_eq!(transport.hears_plain_text(), want, "{before:x?} {next:x?}");
        }
    }
}
