//! Records against rustls' own buffered connections, in every cut.

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{
    AlertDescription, ClientConnection, Connection, HandshakeKind, RootCertStore, ServerConnection,
    SupportedProtocolVersion,
};
use std::io::{Read, Write};

use super::*;

type Version = &'static SupportedProtocolVersion;

/// Both configurations for a certificate for `localhost`.
struct Configs {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Configs {
    fn new(version: Version) -> Configs {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_string()]).unwrap();
        let cert =
            CertificateDer::from_pem_slice(params.self_signed(&key).unwrap().pem().as_bytes());
        let cert = cert.unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert], key)
            .unwrap();
        Configs {
            client: Arc::new(client),
            server: Arc::new(server),
        }
    }

    /// Records at one end and rustls' buffered connection at the other, both ways round.
    fn pairs(&self) -> [Pair; 2] {
        let name = ServerName::try_from("localhost").unwrap();
        let client = Records::client(Arc::clone(&self.client), name.clone()).unwrap();
        let server = ServerConnection::new(Arc::clone(&self.server)).unwrap();
        let begins = Pair::new(client, server.into());
        let client = ClientConnection::new(Arc::clone(&self.client), name).unwrap();
        let server = Records::server(Arc::clone(&self.server)).unwrap();
        [begins, Pair::new(server, client.into())]
    }
}

struct Pair {
    records: Records,
    peer: Connection,
    pool: BlockPool,
    /// What our end has received.
    received: Vec<u8>,
    /// What the peer has received.
    peer_received: Vec<u8>,
    ended: bool,
}

impl Pair {
    fn new(records: Records, peer: Connection) -> Pair {
        Pair {
            records,
            peer,
            pool: BlockPool::default(),
            received: Vec::new(),
            peer_received: Vec::new(),
            ended: false,
        }
    }

    /// What the peer has to send.
    fn take_from_peer(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.peer.wants_write() {
            self.peer.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    /// Delivers `bytes` as turns do: with room for `room` bytes of plaintext, in reads as large as requested.
    fn deliver(&mut self, mut bytes: &[u8], room: usize) -> io::Result<()> {
        while !bytes.is_empty() {
            self.records.open_buffers(&mut self.pool);
            let space = self.records.space(room);
            let count = bytes.read(space)?;
            assert!(count > 0, "a record always has room");
            let mut plaintext = vec![0; room];
            let decrypted = self.records.decrypt(count, &mut plaintext);
            self.records.settle_buffers(&mut self.pool);
            let count = match decrypted? {
                Decrypted::Bytes(count) => count,
                Decrypted::End(count) => {
                    self.ended = true;
                    count
                }
            };
            self.received.extend_from_slice(&plaintext[..count]);
        }
        Ok(())
    }

    /// Gives the peer what our end has to send, in pieces of `piece` bytes.
    fn send_to_peer(&mut self, piece: usize) -> Result<(), rustls::Error> {
        self.records.open_buffers(&mut self.pool);
        while !self.records.outgoing().is_empty() {
            let outgoing = self.records.outgoing();
            let mut bytes = &outgoing.unread()[..piece.min(outgoing.len())];
            let count = self.peer.read_tls(&mut bytes).unwrap();
            outgoing.consume(count);
            let processed = self.peer.process_new_packets();
            if processed.is_err() {
                outgoing.consume(outgoing.len());
            }
            let mut plaintext = vec![0; processed?.plaintext_bytes_to_read()];
            self.peer.reader().read_exact(&mut plaintext).unwrap();
            self.peer_received.append(&mut plaintext);
        }
        self.records.settle_buffers(&mut self.pool);
        Ok(())
    }

    /// Completes the handshake, in pieces of `piece` bytes.
    fn shake_hands(&mut self, piece: usize) {
        while self.records.is_handshaking() || self.peer.is_handshaking() {
            self.send_to_peer(piece).unwrap();
            for bytes in self.take_from_peer().chunks(piece) {
                self.deliver(bytes, BUFFER_BYTES).unwrap();
            }
        }
        // Messages that may follow the handshake: tickets.
        self.send_to_peer(piece).unwrap();
        let bytes = self.take_from_peer();
        self.deliver(&bytes, BUFFER_BYTES).unwrap();
        assert_eq!(self.records.undecrypted_bytes(), 0);
        assert!(self.received.is_empty());
    }

    fn encrypt(&mut self, mut plaintext: &[u8]) {
        while !plaintext.is_empty() {
            self.records.open_buffers(&mut self.pool);
            let count = self.records.encrypt(plaintext).unwrap();
            assert!(count > 0);
            plaintext = &plaintext[count..];
            self.send_to_peer(usize::MAX).unwrap();
        }
    }

    /// The records that the peer makes of `plaintext`.
    fn records_of(&mut self, plaintext: &[u8]) -> Vec<u8> {
        self.peer.writer().write_all(plaintext).unwrap();
        self.take_from_peer()
    }

    fn take_received(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.received)
    }

    fn take_peer_received(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.peer_received)
    }
}

/// `count` bytes that repeat only every 251.
fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|place| (place % 251) as u8).collect()
}

#[test]
fn the_handshake_in_pieces_of_every_size() {
    for version in [&TLS13, &TLS12] {
        let configs = Configs::new(version);
        for piece in [1, 2, 3, 4, 5, 6, 7, 11, 64, 255, 1000, BUFFER_BYTES] {
            for mut pair in configs.pairs() {
                pair.shake_hands(piece);
                pair.encrypt(b"ping");
                assert_eq!(pair.take_peer_received(), b"ping");
                let pong = pair.records_of(b"pong");
                pair.deliver(&pong, BUFFER_BYTES).unwrap();
                assert_eq!(
                    pair.take_received(),
                    b"pong",
                    "{version:?} in pieces of {piece}"
                );
            }
        }
    }
}

#[test]
fn records_cut_at_every_place() {
    for version in [&TLS13, &TLS12] {
        for mut pair in Configs::new(version).pairs() {
            pair.shake_hands(BUFFER_BYTES);
            let mut cut = 0;
            loop {
                let mut bytes = pair.records_of(b"first");
                bytes.extend(pair.records_of(b"and second"));
                let Some((begin, end)) = bytes.split_at_checked(cut) else {
                    break;
                };
                pair.deliver(begin, BUFFER_BYTES).unwrap();
                assert!(pair.records.undecrypted_bytes() <= cut);
                pair.deliver(end, BUFFER_BYTES).unwrap();
                assert_eq!(
                    pair.take_received(),
                    b"firstand second",
                    "{version:?} cut at {cut}"
                );
                assert_eq!(pair.records.undecrypted_bytes(), 0);
                cut += 1;
            }
            assert!(cut > 2 * 5 + 15, "there was something to cut");
        }
    }
}

#[test]
fn every_length_arrives_with_little_and_with_much_room() {
    let lengths = [1, 100, 16_383, 16_384, 16_385, 40_000, 200_000];
    for version in [&TLS13, &TLS12] {
        for mut pair in Configs::new(version).pairs() {
            pair.shake_hands(BUFFER_BYTES);
            pair.peer.set_buffer_limit(None);
            for (length, room) in lengths.iter().flat_map(|length| {
                [RECORD_BYTES_MAX + 1, 30_000, BUFFER_BYTES].map(|room| (*length, room))
            }) {
                let sent = pattern(length);
                let bytes = pair.records_of(&sent);
                pair.deliver(&bytes, room).unwrap();
                assert!(
                    pair.take_received() == sent,
                    "{version:?}: {length} in {room}"
                );
                pair.encrypt(&sent);
                assert!(
                    pair.take_peer_received() == sent,
                    "{version:?}: {length} sent"
                );
            }
        }
    }
}

#[test]
fn an_idle_session_holds_no_block() {
    for mut pair in Configs::new(&TLS13).pairs() {
        pair.shake_hands(BUFFER_BYTES);
        assert_eq!(pair.records.undecrypted_bytes(), 0);
        assert!(!pair.records.holds_output());
        assert!(pair.records.space(BUFFER_BYTES).is_empty());
    }
}

#[test]
fn both_sides_close_in_order_and_what_came_before_counts() {
    for version in [&TLS13, &TLS12] {
        for mut pair in Configs::new(version).pairs() {
            pair.shake_hands(BUFFER_BYTES);
            let mut bytes = pair.records_of(b"the last words");
            pair.peer.send_close_notify();
            bytes.extend(pair.take_from_peer());
            pair.deliver(&bytes[..bytes.len() - 1], BUFFER_BYTES)
                .unwrap();
            assert!(!pair.ended, "the alert is not whole");
            pair.deliver(&bytes[bytes.len() - 1..], BUFFER_BYTES)
                .unwrap();
            assert!(pair.ended);
            assert_eq!(pair.take_received(), b"the last words");
            // Our direction is still open, and closes once.
            pair.encrypt(b"an answer");
            pair.records.open_buffers(&mut pair.pool);
            pair.records.close();
            pair.send_to_peer(usize::MAX).unwrap();
            pair.records.close();
            assert!(!pair.records.holds_output());
            assert_eq!(pair.take_peer_received(), b"an answer");
            assert_eq!(
                pair.peer.reader().read(&mut [0]).unwrap(),
                0,
                "closed in order"
            );
        }
    }
}

#[test]
fn broken_records_fail_with_an_alert() {
    for version in [&TLS13, &TLS12] {
        for mut pair in Configs::new(version).pairs() {
            pair.shake_hands(BUFFER_BYTES);
            let mut bytes = pair.records_of(b"some bytes");
            *bytes.last_mut().unwrap() ^= 1;
            // What follows it is not processed.
            bytes.extend(pair.records_of(b"more bytes"));
            let error = pair.deliver(&bytes, BUFFER_BYTES).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert_eq!(error.to_string(), "cannot decrypt peer's message");
            assert!(pair.received.is_empty());
            let told = pair.send_to_peer(usize::MAX).unwrap_err();
            assert_eq!(
                told,
                rustls::Error::AlertReceived(AlertDescription::BadRecordMac)
            );
            let error = pair.records.encrypt(b"more").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            pair.records.close();
            assert!(!pair.records.holds_output());
        }
    }
}

#[test]
fn a_peer_that_is_somebody_else_is_told_so() {
    let (ours, theirs) = (Configs::new(&TLS13), Configs::new(&TLS13));
    let name = ServerName::try_from("localhost").unwrap();
    let records = Records::client(ours.client, name).unwrap();
    let server = ServerConnection::new(theirs.server).unwrap();
    let mut pair = Pair::new(records, server.into());
    pair.send_to_peer(usize::MAX).unwrap();
    let bytes = pair.take_from_peer();
    let error = pair.deliver(&bytes, BUFFER_BYTES).unwrap_err();
    assert!(
        error.to_string().starts_with("invalid peer certificate"),
        "{error}"
    );
    let told = pair.send_to_peer(usize::MAX).unwrap_err();
    assert!(matches!(told, rustls::Error::AlertReceived(_)), "{told}");
}

#[test]
fn keys_change_while_bytes_flow() {
    for mut pair in Configs::new(&TLS13).pairs() {
        pair.shake_hands(BUFFER_BYTES);
        for round in 0..3 {
            let mut bytes = pair.records_of(b"old keys, ");
            pair.peer.refresh_traffic_keys().unwrap();
            bytes.extend(pair.records_of(b"new keys"));
            pair.deliver(&bytes, BUFFER_BYTES).unwrap();
            assert_eq!(pair.take_received(), b"old keys, new keys", "{round}");
            pair.encrypt(b"with new keys, too");
            assert_eq!(pair.take_peer_received(), b"with new keys, too");
        }
    }
}

#[test]
fn a_peer_that_does_little_but_change_its_keys_is_given_up() {
    // (key updates before each piece, a piece, whether this is allowed)
    for (changes, piece, may_go_on) in [
        (1, "data: some words\n\n", true),
        (30, "x", false),
        (2 * EMPTY_RECORDS_MAX, "x", false),
    ] {
        for mut pair in Configs::new(&TLS13).pairs() {
            pair.shake_hands(BUFFER_BYTES);
            let outcome = (0..2 * EMPTY_RECORDS_MAX / changes).try_for_each(|_| {
                (0..changes).for_each(|_| pair.peer.refresh_traffic_keys().unwrap());
                let bytes = pair.records_of(piece.as_bytes());
                pair.deliver(&bytes, BUFFER_BYTES)
            });
            assert_eq!(outcome.is_ok(), may_go_on, "{changes}: {outcome:?}");
        }
    }
}

#[test]
fn a_byte_in_each_record_is_little_and_no_flood() {
    for version in [&TLS13, &TLS12] {
        for mut pair in Configs::new(version).pairs() {
            pair.shake_hands(BUFFER_BYTES);
            let sent = pattern(10 * EMPTY_RECORDS_MAX);
            let bytes: Vec<u8> = sent
                .chunks(1)
                .flat_map(|byte| pair.records_of(byte))
                .collect();
            pair.deliver(&bytes, BUFFER_BYTES).unwrap();
            assert!(pair.take_received() == sent);
        }
    }
}

#[test]
fn sessions_are_resumed() {
    for version in [&TLS13, &TLS12] {
        let configs = Configs::new(version);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            for mut pair in configs.pairs() {
                pair.shake_hands(BUFFER_BYTES);
                assert_eq!(pair.peer.handshake_kind(), Some(kind));
            }
        }
    }
}

#[test]
fn nothing_can_be_sent_before_the_handshake_has_ended() {
    for mut pair in Configs::new(&TLS13).pairs() {
        pair.records.open_buffers(&mut pair.pool);
        let error = pair.records.encrypt(b"too early").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        pair.records.close();
        pair.shake_hands(BUFFER_BYTES);
    }
}

#[test]
fn a_handshake_message_without_end_takes_no_more_than_a_buffer() {
    let configs = Configs::new(&TLS13);
    let mut records = Records::server(configs.server).unwrap();
    let mut pool = BlockPool::default();
    records.open_buffers(&mut pool);
    // A ClientHello of 65,000 bytes that comes one byte a record.
    let mut message = vec![1, 0, 0xfd, 0xe8];
    message.resize(65_004, 0);
    let mut bytes: Vec<u8> = message
        .iter()
        .flat_map(|byte| [22, 3, 1, 0, 1, *byte])
        .collect();
    bytes.truncate(4 * BUFFER_BYTES);
    let mut rest = &bytes[..];
    loop {
        let space = records.space(BUFFER_BYTES);
        if space.is_empty() {
            break;
        }
        let count = rest.read(space).unwrap();
        assert!(count > 0, "it ends before the bytes do");
        let decrypted = records.decrypt(count, &mut [0; BUFFER_BYTES]);
        if decrypted.is_err() {
            break;
        }
    }
    assert!(bytes.len() - rest.len() <= BUFFER_BYTES);
}
