//! Resolves names without blocking: hosts file, resolv.conf, UDP, TCP if a response does not fit into a datagram, a
//! cache. It owns its sockets and does not know who the addresses are for.
//!
//! `Core` decides and is given bytes and time; [`Resolver`] moves the bytes. Which sockets exist follows from what the
//! core asks: they are adjusted to it after each call.

mod cache;
pub mod core;
mod failure;
mod hosts;
#[cfg(test)]
mod loopback;
pub mod message;
pub mod name;
mod pursuit;
pub mod question;
mod resolv_conf;
mod stream;
#[cfg(test)]
mod testing;

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Instant;

use mio::net::{TcpStream, UdpSocket};
use mio::{Interest, Registry, Token};

use self::core::Core;
use self::question::{Asking, Carrier};
use self::stream::Framed;
use crate::base::now::Now;

pub use self::failure::DnsFailure;

/// Most sockets open at once: two for each name that is being looked up.
pub const SOCKETS_MAX: usize = 32;

/// Most datagrams read for one event. Only a flood brings more; the rest then counts as lost.
const DATAGRAMS_MAX: usize = 32;

/// Room for a datagram or a piece of a stream; a longer datagram was not asked for.
const RECEIVE_BYTES: usize = 2048;
const _: () = assert!(RECEIVE_BYTES > message::DATAGRAM_BYTES_MAX as usize);

/// Looks up names in the loop of its owner, which passes it events and deadlines.
pub struct Resolver {
    core: Core,
    sockets: [Option<Socket>; SOCKETS_MAX],
    first_token: usize,
}

/// What is known of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// At least one address, in the order to try them: the families take turns, IPv6 first (RFC 8305 section 4).
    Ready(Rc<[IpAddr]>),
    /// The waiter will be woken; it then looks up again.
    Pending,
    Failed(DnsFailure),
}

/// A socket that carries one query.
struct Socket {
    nonce: u64,
    line: Line,
}

enum Line {
    Datagram(UdpSocket),
    Stream(TcpStream, Framed),
}

impl Resolver {
    /// `hosts` and `resolv_conf` are the files' texts. `seed`, from the operating system's random source, is for
    /// message ids; ports are chosen by the system. Its sockets have the tokens from `first_token` up to, but not
    /// including, `first_token + SOCKETS_MAX`.
    pub fn new(hosts: &str, resolv_conf: &str, seed: u64, first_token: usize) -> Resolver {
        Resolver {
            core: Core::new(hosts, resolv_conf, seed),
            sockets: [const { None }; SOCKETS_MAX],
            first_token,
        }
    }

    /// Replaces the files' texts. With another resolv.conf, lookups in progress begin anew.
    pub fn configure(&mut self, hosts: &str, resolv_conf: &str, registry: &Registry, now: Now) {
        self.core.configure(hosts, resolv_conf, now);
        self.reconcile(registry, now);
    }

    /// IP addresses, names in the hosts file and cached names are answered at once, the last two without an allocation.
    /// For any other name a lookup is begun or joined; `waiter` is woken when it ends.
    pub fn lookup(&mut self, host: &str, waiter: usize, registry: &Registry, now: Now) -> Lookup {
        let lookup = self.core.lookup(host, waiter, now);
        if !matches!(lookup, Lookup::Pending) {
            return lookup;
        }
        self.reconcile(registry, now);
        // If no server can be reached, the lookup may have ended already.
        match self.core.unwake(waiter) {
            true => self.core.lookup(host, waiter, now),
            false => Lookup::Pending,
        }
    }

    /// Forgets the result of a name's lookup: the cause of its failure is gone.
    pub fn forget_answer(&mut self, host: &str) {
        self.core.forget_answer(host);
    }

    /// Nothing was reached at the addresses that the name had at `then`: they may have changed.
    pub fn doubt(&mut self, host: &str, then: Instant) {
        self.core.doubt(host, then);
    }

    /// Handles an event of one of its sockets.
    pub fn on_event(&mut self, token: usize, registry: &Registry, now: Now) {
        let slot = token - self.first_token;
        // An event of a socket that has been replaced does no harm: its successor has nothing to read.
        if let Some(mut socket) = self.sockets[slot].take() {
            let moved = match &mut socket.line {
                Line::Datagram(udp) => read_datagrams(udp, socket.nonce, slot, &mut self.core, now),
                Line::Stream(tcp, framed) => converse(tcp, framed, slot, &mut self.core, now),
            };
            self.sockets[slot] = Some(socket);
            if let Err(error) = moved {
                self.core.on_fault(slot, &error, now);
            }
        }
        self.reconcile(registry, now);
    }

    /// The deadline has passed: asks again, asks the next server, or gives up.
    pub fn expire(&mut self, registry: &Registry, now: Now) {
        self.core.expire(now);
        self.reconcile(registry, now);
    }

    /// When `expire` is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.core.deadline()
    }

    /// A waiter whose lookup has ended, each once.
    pub fn take_woken(&mut self) -> Option<usize> {
        self.core.take_woken()
    }

    /// The waiter has gone.
    pub fn forget(&mut self, waiter: usize) {
        self.core.forget(waiter);
    }

    /// Closes the sockets whose query is no longer asked, and opens those that are missing. A socket that cannot be
    /// opened is a fault, which may change what is asked; tries are bounded, so this comes to an end.
    fn reconcile(&mut self, registry: &Registry, now: Now) {
        let mut slot = 0;
        while slot < SOCKETS_MAX {
            let asking = self.core.asking(slot);
            let nonce = asking.as_ref().map(|asking| asking.nonce);
            if self.sockets[slot].as_ref().map(|socket| socket.nonce) == nonce {
                slot += 1;
                continue;
            }
            self.sockets[slot] = None;
            let Some(asking) = asking else {
                continue;
            };
            match open(&asking, registry, Token(self.first_token + slot)) {
                Ok(socket) => self.sockets[slot] = Some(socket),
                Err(error) => {
                    self.core.on_fault(slot, &error, now);
                    // If this ended a lookup, another may have taken its place; that one's first slot may lie before.
                    slot = 0;
                }
            }
        }
    }
}

fn open(asking: &Asking, registry: &Registry, token: Token) -> io::Result<Socket> {
    let line = match asking.carrier {
        Carrier::Datagram => {
            let mut udp = UdpSocket::bind(any_port(asking.server))?;
            // From here on the kernel passes only datagrams of this server, and reports if nobody listens there.
            udp.connect(asking.server)?;
            registry.register(&mut udp, token, Interest::READABLE)?;
            match udp.send(asking.message) {
                Ok(_) => {}
                // Equivalent to a lost datagram: it is sent again after the timeout.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            Line::Datagram(udp)
        }
        Carrier::Stream => {
            let mut tcp = TcpStream::connect(asking.server)?;
            registry.register(&mut tcp, token, Interest::READABLE | Interest::WRITABLE)?;
            Line::Stream(tcp, Framed::new(asking.message))
        }
    };
    Ok(Socket {
        nonce: asking.nonce,
        line,
    })
}

fn any_port(server: SocketAddr) -> SocketAddr {
    match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

/// Passes what has arrived to the core, as long as it still asks through this socket.
fn read_datagrams(
    udp: &UdpSocket,
    nonce: u64,
    slot: usize,
    core: &mut Core,
    now: Now,
) -> io::Result<()> {
    let mut buffer = [0; RECEIVE_BYTES];
    for _ in 0..DATAGRAMS_MAX {
        match udp.recv(&mut buffer) {
            Ok(count) => core.on_message(slot, &mut buffer[..count], now),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
        if core.asking(slot).is_none_or(|asking| asking.nonce != nonce) {
            return Ok(());
        }
    }
    Ok(())
}

/// Sends what is unsent and reads until the answer is there or nothing moves.
fn converse(
    tcp: &mut TcpStream,
    framed: &mut Framed,
    slot: usize,
    core: &mut Core,
    now: Now,
) -> io::Result<()> {
    while !framed.unsent().is_empty() {
        match tcp.write(framed.unsent()) {
            Ok(count) => framed.advance(count),
            Err(error) if has_to_wait(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    let mut buffer = [0; RECEIVE_BYTES];
    loop {
        match tcp.read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                if let Some(message) = framed.receive(&buffer[..count]) {
                    core.on_message(slot, message, now);
                    return Ok(());
                }
            }
            Err(error) if has_to_wait(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Whether an event will tell when to continue; a stream that is not yet connected gives either error.
fn has_to_wait(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
    )
}

/// The families take turns, IPv6 first (RFC 8305 section 4); each keeps its order.
fn interleave(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let (sixes, fours): (Vec<IpAddr>, Vec<IpAddr>) =
        addresses.into_iter().partition(IpAddr::is_ipv6);
    let (mut sixes, mut fours) = (sixes.into_iter(), fours.into_iter());
    let mut mixed = Vec::new();
    loop {
        let before = mixed.len();
        mixed.extend(sixes.next());
        mixed.extend(fours.next());
        if mixed.len() == before {
            return mixed;
        }
    }
}
