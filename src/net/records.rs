//! A TLS session as bytes in and bytes out: records to plaintext, plaintext to records. It never sees a socket.
//!
//! rustls handles the keys and the handshake; the bytes are held here, in blocks of the pool. What arrives is decrypted
//! at once and in place, so that only the beginning of a record is kept between two turns.

use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, ReadTraffic, UnbufferedStatus};
use rustls::{ClientConfig, ServerConfig};

use crate::base::buffer::{BUFFER_BYTES, BlockPool, Buffer, ROOM_BYTES_MIN};

/// A record's header: its type, version and length.
const HEAD_BYTES: usize = 5;

/// The record types: change of cipher, alert, handshake, data (RFC 8446 section 5.1).
const KINDS: RangeInclusive<u8> = 20..=23;

/// The longest record that rustls accepts: header, 16 KiB, and what encryption may add (RFC 5246 section 6.2.3).
const RECORD_BYTES_MAX: usize = HEAD_BYTES + 16 * 1024 + 2048;

// While the rest of a message head is awaited, there must be room for the record that carries it: otherwise each would
// wait for the other.
const _: () = assert!(ROOM_BYTES_MIN > RECORD_BYTES_MAX);

/// Most plaintext that is encrypted at once: an empty buffer holds its records, with up to 64 bytes of overhead for
/// each 16 KiB, and a response to the peer's key update.
const ENCRYPTED_AT_ONCE_MAX: usize = BUFFER_BYTES - 8 * 1024;

/// How many records without plaintext, such as tickets and key updates, are allowed beside those that plaintext earns. A
/// peer that does little but update its keys causes 30 times the work that its bytes would.
const EMPTY_RECORDS_MAX: usize = 256;

/// How many bytes of plaintext earn one more of them.
const BYTES_FOR_EMPTY_RECORD: usize = 16;

/// One end of a TLS session.
pub struct Records {
    session: Session,
    /// How many bytes of plaintext are missing to make up for the records without any since the handshake.
    lacking_bytes: usize,
    /// Encrypted bytes received that do not yet form a whole record or a whole handshake message.
    incoming: Buffer,
    /// How many of them rustls has been shown: it is shown one record at a time.
    shown: usize,
    /// Records ready to be sent.
    outgoing: Buffer,
}

enum Session {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
    /// Nothing can be sent or received any more.
    Failed,
}

/// What the peer's records brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decrypted {
    /// This many bytes of plaintext, possibly none.
    Bytes(usize),
    /// The same, followed by the peer's closing alert: nothing was cut off.
    End(usize),
}

/// What the session is processed for.
enum Task<'b> {
    /// To decrypt what has arrived into this space.
    Receive(&'b mut [u8]),
    /// To encrypt this.
    Send(&'b [u8]),
    /// To announce that nothing more will be sent.
    Close,
}

/// What processing the session once did.
enum Looked {
    /// There may be more to do.
    Going,
    /// This many bytes of plaintext were received.
    Received(usize),
    /// The peer will send nothing more.
    PeerClosed,
    /// Nothing is to be done until more comes from the peer; this many bytes of plaintext were sent.
    Resting(usize),
}

impl Records {
    /// The client's end.
    ///
    /// # Errors
    /// If the configuration cannot be used.
    pub fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Records, rustls::Error> {
        UnbufferedClientConnection::new(config, name)
            .map(|session| Records::new(Session::Client(session)))
    }

    /// The server's end.
    ///
    /// # Errors
    /// If the configuration cannot be used.
    pub fn server(config: Arc<ServerConfig>) -> Result<Records, rustls::Error> {
        UnbufferedServerConnection::new(config)
            .map(|session| Records::new(Session::Server(session)))
    }

    fn new(session: Session) -> Records {
        Records {
            session,
            lacking_bytes: 0,
            incoming: Buffer::default(),
            shown: 0,
            outgoing: Buffer::default(),
        }
    }

    pub fn is_handshaking(&self) -> bool {
        match &self.session {
            Session::Client(session) => session.is_handshaking(),
            Session::Server(session) => session.is_handshaking(),
            Session::Failed => false,
        }
    }

    /// Whether [`Records::outgoing`] has something to send.
    // It is called from many places, and inlining it in each would enlarge the program.
    #[inline(never)]
    pub fn holds_output(&self) -> bool {
        !self.outgoing.is_empty() || self.wants_to_speak()
    }

    /// Whether rustls has messages of its own that are not in `outgoing` yet: a client's first one, or an alert.
    fn wants_to_speak(&self) -> bool {
        match &self.session {
            Session::Client(session) => session.wants_write(),
            Session::Server(session) => session.wants_write(),
            Session::Failed => false,
        }
    }

    pub fn undecrypted_bytes(&self) -> usize {
        self.incoming.len()
    }

    /// The space to read encrypted bytes into: as many as are sure to fit into `plaintext_room` once decrypted,
    /// together with those received before. Empty if those alone could fill it.
    pub fn space(&mut self, plaintext_room: usize) -> &mut [u8] {
        let waiting = self.incoming.len();
        let space = self.incoming.space();
        let asked = plaintext_room.saturating_sub(waiting).min(space.len());
        &mut space[..asked]
    }

    /// Decrypts into `plaintext` what has been received, including `count` bytes just read. Handshake records are
    /// answered.
    ///
    /// # Errors
    /// `InvalidData`: the peer broke the protocol, or cannot be trusted. An alert that says so is then to be sent.
    pub fn decrypt(&mut self, count: usize, plaintext: &mut [u8]) -> io::Result<Decrypted> {
        self.incoming.filled(count);
        let mut received = 0;
        while self.show_more()? {
            loop {
                match self.look(Task::Receive(&mut plaintext[received..]))? {
                    Looked::Going => {}
                    Looked::Received(count) => {
                        received += count;
                        self.weigh(count);
                        if self.shown == 0 {
                            break;
                        }
                    }
                    Looked::PeerClosed => return Ok(Decrypted::End(received)),
                    Looked::Resting(_) => break,
                }
            }
        }
        Ok(Decrypted::Bytes(received))
    }

    /// Shows rustls the next whole record and returns whether there is one. It counts as a record without plaintext
    /// until some has come of it.
    fn show_more(&mut self) -> io::Result<bool> {
        let hidden = &self.incoming.unread()[self.shown..];
        let Some(length) = record_bytes(hidden) else {
            return Ok(false);
        };
        self.shown += length;
        if !self.is_handshaking() {
            self.lacking_bytes += BYTES_FOR_EMPTY_RECORD;
        }
        match self.lacking_bytes <= EMPTY_RECORDS_MAX * BYTES_FOR_EMPTY_RECORD {
            true => Ok(true),
            false => Err(broken("records that carry nothing")),
        }
    }

    /// Accounts for plaintext that came from a record.
    fn weigh(&mut self, bytes: usize) {
        if bytes > 0 {
            let paid = BYTES_FOR_EMPTY_RECORD + bytes;
            self.lacking_bytes = self.lacking_bytes.saturating_sub(paid);
        }
    }

    /// Encrypts the beginning of `plaintext` and returns its length. All earlier records must have been sent.
    ///
    /// # Errors
    /// `WouldBlock` before the end of the handshake, `InvalidData` if the session has failed.
    pub fn encrypt(&mut self, plaintext: &[u8]) -> io::Result<usize> {
        let piece = &plaintext[..plaintext.len().min(ENCRYPTED_AT_ONCE_MAX)];
        loop {
            match self.look(Task::Send(piece))? {
                Looked::Going | Looked::Received(_) | Looked::PeerClosed => {}
                Looked::Resting(0) => return Err(io::ErrorKind::WouldBlock.into()),
                Looked::Resting(count) => return Ok(count),
            }
        }
    }

    /// Adds the closing alert, after which nothing more can be sent. During a handshake there is none.
    pub fn close(&mut self) {
        // A session that has failed has said so already.
        while let Ok(Looked::Going | Looked::PeerClosed) = self.look(Task::Close) {}
    }

    /// The records ready to be sent.
    pub fn outgoing(&mut self) -> &mut Buffer {
        // What fails here fails again at the next read.
        while self.wants_to_speak() && self.look(Task::Receive(&mut [])).is_ok() {}
        &mut self.outgoing
    }

    /// Takes memory for the time in which the connection is driven.
    pub fn open_buffers(&mut self, pool: &mut BlockPool) {
        self.incoming.open(pool);
        self.outgoing.open(pool);
    }

    /// Gives back the memory that is not needed until the next turn.
    pub fn settle_buffers(&mut self, pool: &mut BlockPool) {
        self.incoming.settle(pool);
        self.outgoing.settle(pool);
    }

    /// Gives all memory back: the session is over.
    pub fn close_buffers(&mut self, pool: &mut BlockPool) {
        self.incoming.close(pool);
        self.outgoing.close(pool);
    }

    fn look(&mut self, task: Task<'_>) -> io::Result<Looked> {
        let looked = self.look_once(task);
        if looked.is_err() {
            // The peer gets an alert with the reason, and nothing else.
            while self.wants_to_speak() && self.look_once(Task::Receive(&mut [])).is_ok() {}
            self.session = Session::Failed;
        }
        looked
    }

    fn look_once(&mut self, task: Task<'_>) -> io::Result<Looked> {
        let (incoming, outgoing) = (&mut self.incoming, &mut self.outgoing);
        let bytes = &mut incoming.unread_mut()[..self.shown];
        let (done_with, looked) = match &mut self.session {
            Session::Client(session) => handle(session.process_tls_records(bytes), task, outgoing)?,
            Session::Server(session) => handle(session.process_tls_records(bytes), task, outgoing)?,
            Session::Failed => return Err(broken("the session has failed")),
        };
        incoming.consume(done_with);
        self.shown -= done_with;
        Ok(looked)
    }
}

/// Does what rustls asks for, or `task` if it asks for nothing. Also returns how many incoming bytes are used up.
fn handle<Side>(
    status: UnbufferedStatus<'_, '_, Side>,
    task: Task<'_>,
    outgoing: &mut Buffer,
) -> io::Result<(usize, Looked)> {
    let UnbufferedStatus { discard, state } = status;
    let looked = match (state.map_err(broken)?, task) {
        (ConnectionState::EncodeTlsData(mut message), _) => {
            let count = message.encode(outgoing.space()).map_err(broken)?;
            outgoing.filled(count);
            Looked::Going
        }
        (ConnectionState::TransmitTlsData(messages), _) => {
            // They are in `outgoing`, where nothing overtakes them.
            messages.done();
            Looked::Going
        }
        (ConnectionState::ReadTraffic(traffic), Task::Receive(plaintext)) => {
            let (more_discard, received) = receive(traffic, plaintext)?;
            return Ok((discard + more_discard, Looked::Received(received)));
        }
        (ConnectionState::WriteTraffic(mut traffic), Task::Send(plaintext)) => {
            let count = traffic
                .encrypt(plaintext, outgoing.space())
                .map_err(broken)?;
            outgoing.filled(count);
            Looked::Resting(plaintext.len())
        }
        (ConnectionState::WriteTraffic(mut traffic), Task::Close) => {
            let count = traffic
                .queue_close_notify(outgoing.space())
                .map_err(broken)?;
            outgoing.filled(count);
            Looked::Resting(0)
        }
        (ConnectionState::PeerClosed, _) => Looked::PeerClosed,
        (ConnectionState::WriteTraffic(_), Task::Receive(_))
        | (ConnectionState::BlockedHandshake | ConnectionState::Closed, _) => Looked::Resting(0),
        // Plaintext cannot be left when something is to be sent; early data is not offered; later versions of rustls
        // may have more states.
        (state, _) => return Err(broken(format!("it cannot be in {state:?}"))),
    };
    Ok((discard, looked))
}

/// Copies what was decrypted; returns how many more incoming bytes are used up, and how many bytes were copied.
fn receive<Side>(
    mut traffic: ReadTraffic<'_, '_, Side>,
    plaintext: &mut [u8],
) -> io::Result<(usize, usize)> {
    let (mut discard, mut received) = (0, 0);
    while let Some(record) = traffic.next_record() {
        let record = record.map_err(broken)?;
        let end = received + record.payload.len();
        let space = plaintext.get_mut(received..end);
        space
            .ok_or_else(|| broken("plaintext is longer than its record"))?
            .copy_from_slice(record.payload);
        received = end;
        discard += record.discard;
    }
    Ok((discard, received))
}

/// The length of the record at the beginning of `bytes`, if it is whole (RFC 8446 section 5.1). If it cannot be a
/// record, all of `bytes` count as one: rustls will say what is wrong with it.
fn record_bytes(bytes: &[u8]) -> Option<usize> {
    let [kind, _, _, high, low, ..] = bytes else {
        return None;
    };
    let length = HEAD_BYTES + usize::from(u16::from_be_bytes([*high, *low]));
    match KINDS.contains(kind) && length <= RECORD_BYTES_MAX {
        true => (length <= bytes.len()).then_some(length),
        false => Some(bytes.len()),
    }
}

fn broken(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests;
