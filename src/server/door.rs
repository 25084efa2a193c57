//! A listening socket: when accepting is worth an attempt, and what an accepted socket becomes.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::Interest;
use mio::net::TcpListener;
use rustls::ServerConfig;

use crate::base::file::is_out_of_descriptors;
use crate::base::now::Now;
use crate::exchange::request::Role;
use crate::listen;
use crate::net::connection::{Connection, Hints};
use crate::net::dial::keep_alive;
use crate::net::network::Sockets;
use crate::net::owners::Owner;
use crate::net::records::Records;
use crate::net::transport::Transport;
use crate::session::Session;

/// How long accepting pauses when no file descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A pause that begins this soon after the previous one is not reported again.
const SAME_LACK: Duration = Duration::from_secs(60);

/// How long a door stays ajar at a stop: a network round trip, in which TCP handshakes that have begun can complete.
/// The kernel resets those that are still under way at the close; a SYN that is dropped meanwhile is only late.
pub(super) const AJAR: Duration = Duration::from_millis(100);

/// A listening socket and what is known about it.
pub(super) struct Door {
    pub(super) listener: Option<TcpListener>,
    pub(super) role: Role,
    /// How clients are served with TLS; none: without TLS.
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// Sticky, as for connections: only `WouldBlock` clears it.
    pub(super) readable: bool,
    /// Open connections that came in here.
    pub(super) open: usize,
    pub(super) open_max: usize,
    /// Accepting failed, as a rule for want of a descriptor: no attempt before then.
    paused_until: Option<Instant>,
    /// When the door is to be closed; set at a stop. Until then it is ajar: no handshake begins any more.
    pub(super) closes_at: Option<Instant>,
}

impl Door {
    /// From now on the poll reports waiting connections, as `owner`'s, and the kernel probes whether accepted peers are
    /// still there (keep-alive). Nothing is accepted before the door's limit is set.
    pub(super) fn new(
        listener: std::net::TcpListener,
        role: Role,
        owner: Owner,
        network: &mut Sockets,
    ) -> io::Result<Door> {
        let mut listener = TcpListener::from_std(listener);
        keep_alive(&listener)?;
        network.register_readable(&mut listener, owner)?;
        Ok(Door {
            listener: Some(listener),
            role,
            tls: None,
            readable: true,
            open: 0,
            open_max: 0,
            paused_until: None,
            closes_at: None,
        })
    }

    /// The next connection that waits, if there is room for it.
    pub(super) fn accept(
        &mut self,
        network: &mut Sockets,
        now: Now,
    ) -> Option<(mio::net::TcpStream, SocketAddr)> {
        if !self.is_open(now) {
            return None;
        }
        let listener = self.listener.as_ref()?;
        let accepted = loop {
            match listener.accept() {
                // An idle connection to a platform makes room for a client that waits.
                Err(error) if is_out_of_descriptors(&error) && network.close_idle() => {}
                accepted => break accepted,
            }
        };
        match accepted {
            Ok(accepted) => Some(accepted),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                None
            }
            Err(error) if is_out_of_descriptors(&error) => {
                if self.pause(now) {
                    log::warn!("no file descriptor is free: accepting pauses");
                }
                None
            }
            // The client gave up before it was accepted; the next one may not have.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => None,
            Err(error) => {
                if self.pause(now) {
                    log::warn!("accepting a connection failed: {error}");
                }
                None
            }
        }
    }

    /// Pauses accepting. Returns whether that is news: pauses follow one another as long as the shortage lasts.
    fn pause(&mut self, now: Now) -> bool {
        let former = self.paused_until.replace(now.instant + ACCEPT_PAUSE);
        former.is_none_or(|until| now.instant >= until + SAME_LACK)
    }

    /// A descriptor may have become free.
    pub(super) fn end_pause(&mut self, now: Now) {
        self.paused_until = self.paused_until.map(|until| until.min(now.instant));
    }

    /// From now on only clients that have begun to connect are accepted.
    pub(super) fn leave_ajar(&mut self, now: Now) {
        if let Some(Err(error)) = self.listener.as_ref().map(listen::begin_no_more) {
            log::debug!("clients that connect as it closes may be reset: {error}");
        }
        self.closes_at = Some(now.instant + AJAR);
    }

    /// Whether accepting is worth an attempt.
    pub(super) fn is_open(&self, now: Now) -> bool {
        self.has_visitors() && self.paused_until.is_none_or(|until| until <= now.instant)
    }

    /// When a pause that keeps a client waiting is over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.paused_until.filter(|_| self.has_visitors())
    }

    /// Whether a client for which there is room may be waiting.
    fn has_visitors(&self) -> bool {
        self.listener.is_some() && self.readable && self.open < self.open_max
    }
}

/// Makes a session of an accepted socket.
pub(super) fn welcome(
    mut socket: mio::net::TcpStream,
    address: SocketAddr,
    door: &Door,
    slot: usize,
    network: &mut Sockets,
    now: Now,
) -> Option<Session> {
    let peer: IpAddr = address.ip();
    let tls = match door.tls.clone().map(Records::server).transpose() {
        Ok(tls) => tls,
        Err(error) => {
            log::warn!("TLS cannot be offered: {error}");
            return None;
        }
    };
    let token = network.owners.insert(Owner::Client(slot));
    let both = Interest::READABLE | Interest::WRITABLE;
    if let Err(error) = network.registry.register(&mut socket, token, both) {
        log::warn!("a connection could not be registered: {error}");
        network.owners.remove(token);
        return None;
    }
    let transport = match tls {
        None => Transport::Plain(socket),
        Some(records) => Transport::tls(socket, records),
    };
    let connection = Connection::new(transport, token, Hints::FRESH, now);
    Some(Session::new(connection, peer, door.role, now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::testing::now;
    use crate::net::resolver::Resolver;

    /// A door, its address, and what it needs.
    fn door() -> (Door, SocketAddr, Sockets, mio::Poll) {
        let poll = mio::Poll::new().expect("there are descriptors");
        let registry = poll.registry().try_clone().expect("there are descriptors");
        let mut network = Sockets::new(registry, Resolver::new("", "", 1, usize::MAX / 2));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has one");
        listener.set_nonblocking(true).expect("a socket may");
        let door = Door::new(listener, Role::Proxy, Owner::Listener, &mut network);
        (door.expect("the poll takes it"), address, network, poll)
    }

    #[test]
    fn a_pause_ends_for_those_who_wait_alone() {
        let (now, (mut door, ..)) = (now(), door());
        let until = now.instant + ACCEPT_PAUSE;
        door.paused_until = Some(until);
        assert_eq!(door.deadline(), None, "it is full");
        door.open_max = 1;
        assert_eq!(door.deadline(), Some(until));
        door.readable = false;
        assert_eq!(door.deadline(), None, "nobody waits");
        door.readable = true;
        door.listener = None;
        assert_eq!(door.deadline(), None, "it is closed");
    }

    #[test]
    fn pauses_that_follow_each_other_are_told_once() {
        let (mut now, (mut door, ..)) = (now(), door());
        // (the time that passes before the pause, whether it is news)
        let rows = [
            (Duration::ZERO, true),
            (ACCEPT_PAUSE, false),
            (ACCEPT_PAUSE + SAME_LACK / 2, false),
            (ACCEPT_PAUSE + SAME_LACK / 2, false),
            (ACCEPT_PAUSE + SAME_LACK, true),
            (ACCEPT_PAUSE, false),
        ];
        for (passed, is_news) in rows {
            now = now.after(passed);
            assert_eq!(door.pause(now), is_news);
        }
        door.open_max = 1;
        assert!(!door.is_open(now));
        door.end_pause(now);
        assert!(door.is_open(now), "a client has gone");
        assert!(!door.pause(now), "and others have come");
    }

    #[test]
    fn a_door_that_fails_is_not_tried_again_at_once() {
        let (now, (mut door, _, mut network, _poll)) = (now(), door());
        door.open_max = 1;
        let listener = door.listener.as_ref().expect("it is open");
        let shut = socket2::SockRef::from(listener).shutdown(std::net::Shutdown::Both);
        shut.expect("a socket may");
        assert!(door.accept(&mut network, now).is_none());
        assert_eq!(door.deadline(), Some(now.instant + ACCEPT_PAUSE));
    }

    #[test]
    fn who_comes_during_a_pause_is_let_in_when_it_is_over() {
        let (begun, (mut door, address, mut network, mut poll)) = (now(), door());
        door.open_max = 1;
        let _visitor = std::net::TcpStream::connect(address).expect("it listens");
        let mut events = mio::Events::with_capacity(1);
        poll.poll(&mut events, None)
            .expect("the visitor is told of");
        door.paused_until = Some(begun.instant + ACCEPT_PAUSE);
        assert!(door.accept(&mut network, begun).is_none());
        let over = begun.after(ACCEPT_PAUSE);
        assert!(door.accept(&mut network, over).is_some());
        assert!(door.is_open(over), "another one may wait");
        assert!(door.accept(&mut network, over).is_none());
        assert!(!door.is_open(over));
    }
}
