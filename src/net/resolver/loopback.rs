//! The resolver with real sockets, against a small name server on the loopback interface.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::thread::JoinHandle;
use std::time::Duration;

use mio::{Events, Poll};

use super::pursuit::SIDES;
use super::testing::reply;
use super::{DnsFailure, Lookup, Resolver, SOCKETS_MAX};
use crate::base::now::Now;
use crate::base::testing::now;

const FIRST_TOKEN: usize = 1000;
const WAITER: usize = 7;

/// Longer than any of these lookups takes; a guard against a hanging test.
const PATIENCE: Duration = Duration::from_secs(20);

/// Answers every query; an empty datagram ends it.
struct NameServer {
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl NameServer {
    fn start() -> NameServer {
        // The port of the UDP socket is most probably free for TCP too; otherwise another one is tried.
        let (udp, tcp) = std::iter::repeat_with(|| {
            let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let tcp = TcpListener::bind(udp.local_addr().unwrap()).ok()?;
            Some((udp, tcp))
        })
        .flatten()
        .next()
        .expect("some port is free");
        let address = udp.local_addr().unwrap();
        // The other end of a test, which blocks: the program itself has one thread.
        let thread = Some(std::thread::spawn(move || serve(&udp, &tcp)));
        NameServer { address, thread }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.send_to(&[], self.address).unwrap();
        self.thread.take().map(JoinHandle::join);
    }
}

fn serve(udp: &UdpSocket, tcp: &TcpListener) {
    let mut query = [0; 512];
    loop {
        let (count, client) = udp.recv_from(&mut query).unwrap();
        if count == 0 {
            return;
        }
        let query = &query[..count];
        let host = &query[13..13 + usize::from(query[12])];
        let answer = |items| udp.send_to(&reply(query, items), client).unwrap();
        match host {
            b"plain" => answer("plain.example A 10.0.0.1 60; plain.example AAAA fd00::1 60"),
            b"noisy" => {
                answer("ID; noisy.example A 10.6.6.6 60");
                answer("QNAME; noisy.example A 10.6.6.6 60");
                udp.send_to(b"noise", client).unwrap();
                answer("noisy.example A 10.0.0.2 60")
            }
            b"large" => {
                answer("TC");
                serve_stream(tcp)
            }
            b"nobody" => answer("NXDOMAIN; SOA 9 9"),
            other => panic!("asked for {}", String::from_utf8_lossy(other)),
        };
    }
}

/// Answers one query, in pieces that end within the length and within the message.
fn serve_stream(tcp: &TcpListener) -> usize {
    let (mut stream, _) = tcp.accept().unwrap();
    stream.set_nodelay(true).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut query = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut query).unwrap();
    let items: String = (0..200).map(|_| "large.example A 10.0.0.3 60;").collect();
    let message = reply(&query, &items);
    let framed = [&(message.len() as u16).to_be_bytes(), &message[..]].concat();
    for piece in [&framed[..1], &framed[1..40], &framed[40..]] {
        stream.write_all(piece).unwrap();
    }
    framed.len()
}

/// Looks up as the proxy does: asks, turns the loop until it is woken, asks again. Time stands still, so a busy machine
/// changes nothing.
fn resolve(poll: &mut Poll, resolver: &mut Resolver, host: &str, now: Now) -> Lookup {
    let mut events = Events::with_capacity(64);
    let mut lookup = resolver.lookup(host, WAITER, poll.registry(), now);
    while lookup == Lookup::Pending {
        poll.poll(&mut events, Some(PATIENCE)).unwrap();
        assert!(!events.is_empty(), "{host} takes too long");
        for event in &events {
            resolver.on_event(event.token().0, poll.registry(), now);
        }
        if resolver.take_woken() == Some(WAITER) {
            lookup = resolver.lookup(host, WAITER, poll.registry(), now);
        }
    }
    lookup
}

#[test]
fn names_are_resolved_over_datagrams_and_streams() {
    let server = NameServer::start();
    let mut poll = Poll::new().unwrap();
    let now = now();
    let conf = format!("nameserver {}", server.address);
    let mut resolver = Resolver::new("", &conf, 1, FIRST_TOKEN);
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let rows = [
        (
            "plain.example",
            Ok(vec![address("fd00::1"), address("10.0.0.1")]),
        ),
        ("noisy.example", Ok(vec![address("10.0.0.2")])),
        ("large.example", Ok(vec![address("10.0.0.3"); 16])),
        ("nobody.example", Err(DnsFailure::NoSuchName)),
    ];
    for (host, want) in rows {
        let want = match want {
            Ok(addresses) => Lookup::Ready(addresses.into()),
            Err(failure) => Lookup::Failed(failure),
        };
        assert_eq!(resolve(&mut poll, &mut resolver, host, now), want, "{host}");
        assert!(
            resolver.sockets.iter().all(Option::is_none),
            "{host}: nothing is left open"
        );
    }
}

#[test]
fn a_server_that_is_not_there_is_passed_over() {
    let server = NameServer::start();
    let closed = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap();
    let mut poll = Poll::new().unwrap();
    let now = now();
    let conf = format!("nameserver {closed}\nnameserver {}", server.address);
    let mut resolver = Resolver::new("", &conf, 1, FIRST_TOKEN);
    let found = resolve(&mut poll, &mut resolver, "noisy.example", now);
    assert_eq!(found, Lookup::Ready([IpAddr::from([10, 0, 0, 2])].into()));

    let conf = format!("nameserver {closed}");
    resolver.configure("", &conf, poll.registry(), now);
    let found = resolve(&mut poll, &mut resolver, "noisy.example", now);
    let kind = std::io::ErrorKind::ConnectionRefused;
    assert_eq!(
        found,
        Lookup::Failed(DnsFailure::Unreachable {
            server: closed.ip(),
            kind
        })
    );
}

#[test]
fn lookups_end_at_once_when_no_socket_can_be_had() {
    // Sending to the broadcast address fails without the socket option for it.
    let unreachable = "nameserver 255.255.255.255";
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let poll = Poll::new().unwrap();
    let now = now();
    let mut resolver = Resolver::new("", unreachable, 1, FIRST_TOKEN);
    let lookup = resolver.lookup("a.example", WAITER, poll.registry(), now);
    let is_fault = matches!(lookup, Lookup::Failed(DnsFailure::Unreachable { .. }));
    assert!(is_fault, "{lookup:?}");
    assert_eq!(
        resolver.take_woken(),
        None,
        "who has the answer is not woken"
    );

    // Twice as many names as places and one more: the last takes a place that becomes free while sockets open.
    let conf = format!("nameserver {}", silent.local_addr().unwrap());
    resolver.configure("", &conf, poll.registry(), now);
    let names = SOCKETS_MAX + 1;
    for number in 0..names {
        let lookup = resolver.lookup(
            &format!("host{number}.example"),
            number,
            poll.registry(),
            now,
        );
        assert_eq!(lookup, Lookup::Pending);
    }
    resolver.configure("", unreachable, poll.registry(), now);
    assert_eq!(resolver.deadline(), None);
    assert_eq!(std::iter::from_fn(|| resolver.take_woken()).count(), names);
}

#[test]
fn what_a_former_server_answers_goes_nowhere() {
    let former = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    former.set_read_timeout(Some(PATIENCE)).unwrap();
    let server = NameServer::start();
    let mut poll = Poll::new().unwrap();
    let now = now();
    let conf = format!("nameserver {}", former.local_addr().unwrap());
    let mut resolver = Resolver::new("", &conf, 1, FIRST_TOKEN);
    let lookup = resolver.lookup("noisy.example", WAITER, poll.registry(), now);
    assert_eq!(lookup, Lookup::Pending);
    let conf = format!("nameserver {}", server.address);
    resolver.configure("", &conf, poll.registry(), now);
    let mut query = [0; 512];
    for _ in 0..SIDES {
        let (count, asker) = former.recv_from(&mut query).unwrap();
        let items = "noisy.example A 10.0.0.9 3600; noisy.example AAAA fd00::9 3600";
        // It may learn that nobody listens there any more.
        let _ = former.send_to(&reply(&query[..count], items), asker);
    }
    let found = resolve(&mut poll, &mut resolver, "noisy.example", now);
    assert_eq!(found, Lookup::Ready([IpAddr::from([10, 0, 0, 2])].into()));
}
