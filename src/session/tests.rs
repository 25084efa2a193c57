//! What a session does on failures: a defect in its network, a lack of resources, clients that wait or read late.

mod defects;
mod ends;
mod streams;

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rustls::ClientConnection;

use super::*;
use crate::base::buffer::{BUFFER_BYTES, BlockPool};
use crate::base::work::SHARE_BYTES_MAX;
use crate::exchange::testing::{PLATFORM, core, now};
use crate::net::connection::Filled;
use crate::net::dial::{Dial, Dialed, Endpoint, Origin, Reuse};
use crate::net::fault::Fault;
use crate::net::records::Records;
use crate::net::resolver::DnsFailure;
use crate::net::testing::{tls_configs, told};
use crate::net::transport::Link;
use crate::policy::keyring::KeyState;

const REQUEST: &[u8] = b"POST /p/x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer client-key-1\r\n\
    Content-Length: 2\r\n\r\n{}";

/// The proxy's end of a connection, and what is seen of it.
struct Pipe(UnixStream, Rc<Seen>);

#[derive(Default)]
struct Seen {
    reads: Cell<usize>,
    read_bytes: Cell<usize>,
    /// Whether its close is to be a reset.
    is_reset: Cell<bool>,
}

impl Read for Pipe {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let (reads, read_bytes) = (&self.1.reads, &self.1.read_bytes);
        reads.set(reads.get() + 1);
        let count = self.0.read(space)?;
        read_bytes.set(read_bytes.get() + count);
        Ok(count)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Link for Pipe {
    fn shutdown(&mut self) {
        let _ = self.0.shutdown(std::net::Shutdown::Write);
    }

    fn reset(&mut self) {
        self.1.is_reset.set(true);
    }
}

/// Fails at whatever it is asked for, except for the one connection that it may have.
struct Defective(Option<Connection>);

impl Network for Defective {
    fn dial(&mut self, _: &Rc<Endpoint>, _: Reuse, _: usize, _: &mut BlockPool, _: Now) -> Dialed {
        match self.0.take() {
            Some(connection) => Dialed::Open(connection, Origin::Fresh),
            None => panic!("a defect in dial"),
        }
    }

    fn resume(&mut self, _: Dial, _: usize, _: &mut BlockPool, _: Now) -> Dialed {
        panic!("a defect in resume")
    }

    fn release(&mut self, _: &Endpoint, _: Connection, _: Now) {
        panic!("a defect in release")
    }

    fn hangup(&mut self, _: Connection) {}

    fn abandon(&mut self, _: Dial, _: usize) {}
}

/// Has one connection to the platform, before it is dialed and again after it is released.
struct Wired(Option<Connection>);

impl Network for Wired {
    fn dial(&mut self, _: &Rc<Endpoint>, _: Reuse, _: usize, _: &mut BlockPool, _: Now) -> Dialed {
        Dialed::Open(self.0.take().expect("it is asked for once"), Origin::Fresh)
    }

    fn resume(&mut self, _: Dial, _: usize, _: &mut BlockPool, _: Now) -> Dialed {
        unreachable!("no dial is pending")
    }

    fn release(&mut self, _: &Endpoint, connection: Connection, _: Now) {
        self.0 = Some(connection);
    }

    fn hangup(&mut self, _: Connection) {}

    fn abandon(&mut self, _: Dial, _: usize) {}
}

/// Cannot make a connection, for this reason.
struct Exhausted(fn() -> Fault);

impl Network for Exhausted {
    fn dial(&mut self, _: &Rc<Endpoint>, _: Reuse, _: usize, _: &mut BlockPool, _: Now) -> Dialed {
        Dialed::Failed((self.0)())
    }

    fn resume(&mut self, _: Dial, _: usize, _: &mut BlockPool, _: Now) -> Dialed {
        unreachable!("no dial is pending")
    }

    fn release(&mut self, _: &Endpoint, _: Connection, _: Now) {}

    fn hangup(&mut self, _: Connection) {}

    fn abandon(&mut self, _: Dial, _: usize) {}
}

/// A client's connection and its other end.
fn client(now: Now) -> (Session, UnixStream) {
    let (session, theirs, _) = seen_client(now);
    (session, theirs)
}

fn seen_client(now: Now) -> (Session, UnixStream, Rc<Seen>) {
    let (connection, theirs, seen) = seen_connection(Token(0), now);
    let session = Session::new(connection, [127, 0, 0, 1].into(), Role::Proxy, now);
    (session, theirs, seen)
}

fn connection(token: Token, now: Now) -> (Connection, UnixStream) {
    let (connection, theirs, _) = seen_connection(token, now);
    (connection, theirs)
}

fn seen_connection(token: Token, now: Now) -> (Connection, UnixStream, Rc<Seen>) {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    ours.set_nonblocking(true).expect("a socket may");
    let seen = Rc::default();
    let transport = Transport::Link(Box::new(Pipe(ours, Rc::clone(&seen))));
    let connection = Connection::new(transport, token, Hints::FRESH, now);
    (connection, theirs, seen)
}

fn in_flight(core: &Core, now: Now) -> u32 {
    let keys = core.keyring.views(core.site.routes[0].id, now);
    keys.map(|key| key.in_flight).sum()
}

/// Drives a session as the server does. Returns how many defects were caught, and why it is to be closed, if so.
fn drive(
    session: &mut Session,
    core: &mut Core,
    network: &mut impl Network,
    now: Now,
) -> (usize, Option<Reason>) {
    let mut defects = 0;
    loop {
        let driven = catch_unwind(AssertUnwindSafe(|| {
            session.drive(0, SHARE_BYTES_MAX, false, core, network, now)
        }));
        let driven = driven.unwrap_or_else(|_| {
            defects += 1;
            session.recover(0, core, network, now)
        });
        match driven {
            Driven::Again | Driven::Sending => {}
            Driven::Waiting(_) => return (defects, None),
            Driven::Close(reason) => return (defects, Some(reason)),
        }
    }
}

#[test]
fn a_stop_waits_for_no_client_that_has_its_answer() {
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
    // (what follows the request that the stop ends, the number of answers)
    for (behind, answers) in [(String::new(), 1), (ask("/routes"), 2)] {
        let (mut core, now) = (core("{}", PLATFORM), now());
        let (mut session, mut theirs) = client(now);
        let requests = ask("/events") + &behind;
        theirs
            .write_all(requests.as_bytes())
            .expect("there is room");
        let (defects, closed) = drive(&mut session, &mut core, &mut Defective(None), now);
        assert!(defects == 0 && closed.is_none(), "{closed:?}");
        assert!(session.awaits_answer(), "the stream goes on");
        core.drain(now);
        let (defects, closed) = drive(&mut session, &mut core, &mut Defective(None), now);
        // A client that was told that the connection ends may still send: it is read until the client has gone.
        assert_eq!((defects, closed.is_some()), (0, answers == 1), "{closed:?}");
        assert!(!session.awaits_answer());
        drop(session);
        let mut text = String::new();
        theirs.read_to_string(&mut text).expect("the answers end");
        assert_eq!(text.matches("HTTP/1.1 200 OK\r\n").count(), answers);
        assert!(text.contains("\r\n0\r\n\r\n"), "{text}");
        assert_eq!(text.contains("connection: close\r\n"), answers == 2);
    }
}

/// A connected pair of sockets with small buffers.
fn narrow_sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has one");
    let theirs = TcpStream::connect(address).expect("it listens");
    let (ours, _) = listener.accept().expect("somebody connects");
    for socket in [&ours, &theirs] {
        socket.set_nonblocking(true).expect("a socket may");
        let socket = socket2::SockRef::from(socket);
        socket.set_send_buffer_size(1).expect("the least is taken");
        socket.set_recv_buffer_size(1).expect("the least is taken");
    }
    (ours, theirs)
}

/// Sends what the client's TLS has to send and gives it what has arrived. Returns whether anything has.
fn exchange_records(tls: &mut ClientConnection, socket: &mut TcpStream) -> bool {
    while tls.wants_write() {
        tls.write_tls(socket).expect("there is room");
    }
    let has_come = tls.read_tls(socket).is_ok();
    tls.process_new_packets().expect("the proxy speaks TLS");
    has_come
}

/// What TLS has encrypted and the kernel has not taken is part of the answer, too: here it is all that is left of it.
#[test]
fn the_last_answer_over_tls_reaches_a_client_that_reads_late() {
    let (client_config, server_config) = tls_configs();
    for length in [20_000, 40_000, 60_000, 80_000] {
        let (mut core, now) = (core("{}", PLATFORM), now());
        let (ours, mut theirs) = narrow_sockets();
        let records = Records::server(Arc::clone(&server_config)).expect("it fits");
        let transport = Transport::tls(mio::net::TcpStream::from_std(ours), records);
        let client = Connection::new(transport, Token(0), Hints::FRESH, now);
        let mut session = Session::new(client, [127, 0, 0, 1].into(), Role::Proxy, now);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        let answer = [head.into_bytes(), vec![b'x'; length]].concat();
        let platform = Connection::new(told(answer, false), Token(1), Hints::FRESH, now);
        let network = &mut Wired(Some(platform));

        let name = "localhost".try_into().expect("a name");
        let mut tls = ClientConnection::new(Arc::clone(&client_config), name).expect("it fits");
        let request = b"GET /p/x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer client-key-1\r\n\
            Connection: close\r\n\r\n";
        tls.writer().write_all(request).expect("there is room");
        // The client reads nothing more once it has sent its request.
        while session.is_idle() {
            exchange_records(&mut tls, &mut theirs);
            session.hint_client(Hints::FRESH);
            let (_, closed) = drive(&mut session, &mut core, network, now);
            assert!(closed.is_none(), "{length}: {closed:?}");
        }
        let mut got = Vec::new();
        loop {
            if !exchange_records(&mut tls, &mut theirs) {
                session.hint_client(Hints::FRESH);
                let (_, closed) = drive(&mut session, &mut core, network, now);
                assert!(closed.is_none(), "{length}: {closed:?} after {}", got.len());
            }
            match tls.reader().read_to_end(&mut got) {
                // The closing alert.
                Ok(_) => break,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        assert!(
            got.ends_with(&vec![b'x'; length]),
            "{length}: {}",
            got.len()
        );
    }
}

#[test]
fn no_key_is_to_blame_for_what_the_proxy_lacks() {
    let faults: [fn() -> Fault; 4] = [
        || Fault::NoDescriptors,
        || Fault::Connect(io::ErrorKind::AddrNotAvailable),
        || Fault::Dns(DnsFailure::NoDescriptors),
        || Fault::Dns(DnsFailure::Busy),
    ];
    for fault in faults {
        no_key_is_to_blame_for(fault);
    }
}

fn no_key_is_to_blame_for(fault: fn() -> Fault) {
    let (mut core, now) = (core("{}", PLATFORM), now());
    let (mut session, mut theirs) = client(now);
    // More often than a key may fail in a row.
    for _ in 0..10 {
        theirs.write_all(REQUEST).expect("there is room");
        session.hint_client(Hints::FRESH);
        let (defects, closed) = drive(&mut session, &mut core, &mut Exhausted(fault), now);
        assert!(defects == 0 && closed.is_none(), "{closed:?}");
        let mut answer = [0; 4096];
        let count = theirs.read(&mut answer).expect("it is answered");
        assert!(answer[..count].starts_with(b"HTTP/1.1 502 "));
    }
    let states = core.keyring.views(core.site.routes[0].id, now);
    let states: Vec<_> = states.map(|key| (key.state, key.in_flight)).collect();
    assert_eq!(states, [(KeyState::Unknown, 0)]);
}

#[test]
fn no_key_is_to_blame_for_a_client_that_keeps_its_platform_waiting() {
    // (for how many seconds none of the body has arrived when the platform closes, the answer, why the key failed)
    let rows = [
        (1, "HTTP/1.1 502 ", Some("it closed without an answer")),
        (5, "HTTP/1.1 408 ", None),
    ];
    for (silent_seconds, want, error) in rows {
        let (mut core, begun) = (core("{}", PLATFORM), now());
        let (mut session, mut theirs) = client(begun);
        let (connection, mut platform) = connection(Token(1), begun);
        let network = &mut Wired(Some(connection));
        let (part, _rest) = REQUEST.split_at(REQUEST.len() - 1);
        theirs.write_all(part).expect("there is room");
        let (_, closed) = drive(&mut session, &mut core, network, begun);
        assert!(closed.is_none(), "{closed:?}");
        let read = platform.read(&mut [0; 4096]).expect("it is asked");
        assert!(read > 0);
        drop(platform);
        session.hint_upstream(Token(1), Hints::FRESH);
        let later = begun.after(std::time::Duration::from_secs(silent_seconds));
        let (_, closed) = drive(&mut session, &mut core, network, later);
        assert!(closed.is_none(), "{closed:?}");
        let mut answer = [0; 4096];
        let count = theirs.read(&mut answer).expect("it is answered");
        assert!(answer[..count].starts_with(want.as_bytes()), "{want}");
        let mut keys = core.keyring.views(core.site.routes[0].id, later);
        assert_eq!(keys.next().expect("there is one").error, error);
    }
}

#[test]
fn a_connection_on_which_more_came_than_an_answer_is_not_used_again() {
    let now = now();
    let stray = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nnobody";
    let mut came_in_time = 0;
    for length in (500_000..600_000).step_by(4000) {
        let answer = [
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".as_slice(),
            &b"8\r\n8 bytes.\r\n".repeat(length / 13),
            b"0\r\n\r\n",
        ]
        .concat();
        let mut core = core("{}", PLATFORM);
        let (mut session, mut theirs) = client(now);
        let (connection, mut platform, seen) = seen_connection(Token(1), now);
        let mut network = Wired(Some(connection));
        theirs.write_all(REQUEST).expect("there is room");
        for socket in [&platform, &theirs] {
            socket.set_nonblocking(true).expect("a socket may");
        }
        let mut outgoing = answer.as_slice();
        loop {
            let (defects, closed) = drive(&mut session, &mut core, &mut network, now);
            assert!(defects == 0 && closed.is_none(), "{closed:?}");
            if session.is_idle() {
                break;
            }
            if seen.read_bytes.get() == answer.len() {
                // All of the answer has been read, and some of it waits for the client, which takes a little each time.
                came_in_time += 1;
                outgoing = stray;
            }
            while let Ok(count @ 1..) = platform.write(outgoing) {
                outgoing = &outgoing[count..];
            }
            session.hint_upstream(Token(1), Hints::FRESH);
            let _ = theirs.read(&mut [0; 4096]);
            session.hint_client(Hints::FRESH);
        }
        if let Some(mut connection) = network.0 {
            connection.hint(Hints::FRESH);
            let found = connection.fill(usize::MAX, &mut core.blocks, now);
            assert!(matches!(found, Filled::Blocked), "{length}: {found:?}");
        }
    }
    assert!(came_in_time > 0);
}
