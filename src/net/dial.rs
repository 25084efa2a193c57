//! How a connection is established: resolve, connect to one address after the other, do the TLS handshake. It knows
//! endpoints, not platforms.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};

use super::connection::{Connection, Hints};
use super::fault::Fault;
use super::owners::{Owner, Owners};
use super::records::Records;
use super::transport::{Transport, reset_when_closed};
use crate::base::file::is_out_of_descriptors;
use crate::base::now::Now;

/// An attempt's head start before the next address is tried in parallel (RFC 8305 section 5, connection attempt delay).
const STAGGER: Duration = Duration::from_millis(250);

/// Most addresses that are tried at the same time; each attempt holds a file descriptor.
const ATTEMPTS_MAX: usize = 8;

/// A place that connections lead to.
pub struct Endpoint {
    /// Its number in the pool; two endpoints with the same number are the same in everything else.
    pub id: usize,
    pub host: String,
    pub port: u16,
    pub security: Security,
}

/// Whether an endpoint is reached with TLS.
pub enum Security {
    Plain,
    Tls(Arc<ClientConfig>, ServerName<'static>),
}

/// A connection in the making.
pub struct Dial {
    pub endpoint: Rc<Endpoint>,
    pub stage: Stage,
}

/// Where a dial is, with what it holds there.
pub enum Stage {
    /// The resolver will wake the session.
    Resolving,
    Connecting(Race),
    Handshaking(Connection),
}

/// How far a dial has come: its stage, to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Resolving,
    Connecting,
    Handshaking,
}

/// The state of a dial.
pub enum Dialed {
    Pending(Dial),
    Open(Connection, Origin),
    Failed(Fault),
}

/// Where a connection came from: one from the pool may have died unnoticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Fresh,
    Pooled,
}

/// Whether a connection from the pool is acceptable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    Yes,
    /// Only one that was used just now, so that its platform will not be closing it.
    Recent,
    /// None: it must be a new connection.
    No,
}

impl Dial {
    /// When the dial has to be resumed even without an event.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Connecting(race) => race.next_at(),
            Stage::Resolving | Stage::Handshaking(_) => None,
        }
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        match &self.stage {
            Stage::Resolving => Progress::Resolving,
            Stage::Connecting(_) => Progress::Connecting,
            Stage::Handshaking(_) => Progress::Handshaking,
        }
    }

    /// Records what the poll reports of one of its sockets.
    pub fn hint(&mut self, token: Token, news: Hints) {
        match &mut self.stage {
            Stage::Resolving => {}
            Stage::Connecting(race) => race.hint(token, news),
            Stage::Handshaking(connection) => connection.hint(news),
        }
    }

    /// Turns the closes that follow into resets.
    pub fn reset(&mut self) {
        match &mut self.stage {
            Stage::Resolving => {}
            Stage::Connecting(race) => race.reset(),
            Stage::Handshaking(connection) => connection.reset(),
        }
    }

    /// The tokens of its sockets, to be forgotten with it.
    pub fn tokens(&self) -> Vec<Token> {
        match &self.stage {
            Stage::Resolving => Vec::new(),
            Stage::Connecting(race) => race.attempts.iter().map(|attempt| attempt.token).collect(),
            Stage::Handshaking(connection) => vec![connection.token()],
        }
    }
}

impl Endpoint {
    /// Makes a transport of a connected socket.
    pub fn secure(&self, socket: TcpStream) -> Result<Transport, Fault> {
        match &self.security {
            Security::Plain => Ok(Transport::Plain(socket)),
            Security::Tls(config, name) => {
                let records = Records::client(Arc::clone(config), name.clone())
                    .map_err(|error| Fault::Tls(error.to_string()))?;
                Ok(Transport::tls(socket, records))
            }
        }
    }
}

/// Addresses tried in turn, the next one also while an earlier one is still connecting; the first that connects wins.
pub struct Race {
    addresses: Rc<[IpAddr]>,
    port: u16,
    /// How many addresses have been tried so far.
    begun: usize,
    attempts: Vec<Attempt>,
    pub since: Instant,
    /// When the next address is tried even if no attempt has failed.
    stagger_until: Instant,
    /// The error of the address that failed last.
    failure: io::ErrorKind,
}

struct Attempt {
    socket: TcpStream,
    token: Token,
    hints: Hints,
}

/// What has become of a race.
pub enum Outcome {
    Pending(Race),
    Won(TcpStream, Token, Hints),
    Lost(Fault),
}

impl Race {
    pub fn new(addresses: Rc<[IpAddr]>, port: u16, now: Now) -> Race {
        Race {
            addresses,
            port,
            begun: 0,
            attempts: Vec::new(),
            since: now.instant,
            stagger_until: now.instant,
            failure: io::ErrorKind::AddrNotAvailable,
        }
    }

    fn next_at(&self) -> Option<Instant> {
        self.has_next().then_some(self.stagger_until)
    }

    /// Whether another address may be tried beside those that are being tried.
    fn has_next(&self) -> bool {
        self.begun < self.addresses.len() && self.attempts.len() < ATTEMPTS_MAX
    }

    /// A platform may already have accepted connections that are given up here.
    fn reset(&self) {
        for attempt in &self.attempts {
            reset_when_closed(&attempt.socket);
        }
    }

    fn hint(&mut self, token: Token, news: Hints) {
        if let Some(attempt) = self
            .attempts
            .iter_mut()
            .find(|attempt| attempt.token == token)
        {
            attempt.hints.join(news);
        }
    }

    /// Checks the attempts and begins the next one with `connect` when it is due. Their sockets belong to `owner`.
    pub fn resume(
        mut self,
        mut connect: impl FnMut(SocketAddr, Token) -> io::Result<TcpStream>,
        owners: &mut Owners,
        owner: Owner,
        now: Now,
    ) -> Outcome {
        if let Some(won) = self.look(owners) {
            self.reset();
            for loser in &self.attempts {
                owners.remove(loser.token);
            }
            return Outcome::Won(won.socket, won.token, won.hints);
        }
        while self.has_next() && (self.attempts.is_empty() || self.stagger_until <= now.instant) {
            let address = SocketAddr::new(self.addresses[self.begun], self.port);
            self.begun += 1;
            let token = owners.insert(owner);
            match connect(address, token) {
                Ok(socket) => {
                    self.stagger_until = now.instant + STAGGER;
                    self.attempts.push(Attempt {
                        socket,
                        token,
                        hints: Hints::NONE,
                    });
                }
                Err(error) => {
                    owners.remove(token);
                    // Attempts in progress may still succeed.
                    if is_out_of_descriptors(&error) && self.attempts.is_empty() {
                        return Outcome::Lost(Fault::NoDescriptors);
                    }
                    self.failure = error.kind();
                }
            }
        }
        match self.attempts.is_empty() {
            true => Outcome::Lost(Fault::Connect(self.failure)),
            false => Outcome::Pending(self),
        }
    }

    /// Handles the attempts that have news: failed ones are dropped, a connected one is removed and returned.
    fn look(&mut self, owners: &mut Owners) -> Option<Attempt> {
        let mut place = 0;
        while place < self.attempts.len() {
            let attempt = &mut self.attempts[place];
            if !attempt.hints.any() {
                place += 1;
                continue;
            }
            let failure = match attempt.socket.take_error() {
                Ok(None) => match attempt.socket.peer_addr() {
                    Ok(_) => return Some(self.attempts.swap_remove(place)),
                    Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                        attempt.hints = Hints::NONE;
                        place += 1;
                        continue;
                    }
                    Err(error) => error,
                },
                Ok(Some(error)) | Err(error) => error,
            };
            self.failure = failure.kind();
            owners.remove(attempt.token);
            self.attempts.swap_remove(place);
        }
        None
    }
}

/// A socket that is connecting, registered as `token`.
///
/// # Errors
/// What the operating system reports immediately.
pub fn connect(registry: &Registry, address: SocketAddr, token: Token) -> io::Result<TcpStream> {
    let mut socket = TcpStream::connect(address)?;
    registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
    // Each piece is written whole as it comes; waiting for more would only delay it.
    socket.set_nodelay(true)?;
    keep_alive(&socket)?;
    Ok(socket)
}

/// Has the kernel probe the other end once nothing has come from it for a minute (RFC 9293 section 3.8.4). A peer that
/// vanished is found out after two minutes, and middleboxes that drop silent connections see that this one is in use:
/// connections are silent while a platform thinks. What a listening socket accepts inherits the setting.
///
/// # Errors
/// What the operating system reports.
pub fn keep_alive(socket: &impl AsFd) -> io::Result<()> {
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15))
        .with_retries(4);
    SockRef::from(socket).set_tcp_keepalive(&keepalive)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::testing::now;
    use crate::net::owners::Owner::Upstream;

    #[test]
    fn without_a_free_descriptor_a_race_goes_on_with_what_it_has() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it has one").port();
        let begun = now();
        // The number of attempts that get a descriptor.
        for attempts in 0..3 {
            let mut owners = Owners::default();
            let mut left = attempts;
            let addresses = [[127, 0, 0, 1].into(); 4];
            let mut race = Race::new(addresses.into(), port, begun);
            for round in 0..5 {
                let connect = |address, _| match left {
                    0 => Err(io::Error::from_raw_os_error(libc::EMFILE)),
                    _ => {
                        left -= 1;
                        TcpStream::connect(address)
                    }
                };
                let now = begun.after(STAGGER * round);
                race = match race.resume(connect, &mut owners, Upstream(0), now) {
                    Outcome::Pending(race) => race,
                    Outcome::Lost(Fault::NoDescriptors) if attempts == 0 => break,
                    Outcome::Lost(fault) => panic!("{attempts}: {fault}"),
                    Outcome::Won(..) => panic!("the poll has said nothing"),
                };
            }
            assert_eq!(owners.len(), attempts);
        }
    }

    #[test]
    fn who_loses_a_race_or_is_given_up_is_reset_and_forgotten() {
        let begun = now();
        for has_winner in [true, false] {
            let first = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
            let port = first.local_addr().expect("it has one").port();
            let second = std::net::TcpListener::bind(("127.0.0.2", port)).expect("it is free");
            let addresses = [[127, 0, 0, 1].into(), [127, 0, 0, 2].into()];
            let mut owners = Owners::default();
            let mut race = Race::new(addresses.into(), port, begun);
            let connect = |address, _| TcpStream::connect(address);
            for round in 0..2 {
                let now = begun.after(STAGGER * round);
                race = match race.resume(connect, &mut owners, Upstream(0), now) {
                    Outcome::Pending(race) => race,
                    Outcome::Lost(_) | Outcome::Won(..) => panic!("the poll has said nothing"),
                };
            }
            let (mut winner, _) = first.accept().expect("it is connected");
            let (mut loser, _) = second.accept().expect("it is connected");
            let is_reset = |socket: &mut std::net::TcpStream| {
                let error = io::Read::read(socket, &mut [0]).err();
                error.map(|error| error.kind()) == Some(io::ErrorKind::ConnectionReset)
            };
            if has_winner {
                let token = race.attempts[0].token;
                race.hint(token, Hints::FRESH);
                match race.resume(connect, &mut owners, Upstream(0), begun) {
                    Outcome::Won(socket, won, _) => {
                        assert_eq!((won, owners.len()), (token, 1));
                        drop(socket);
                    }
                    Outcome::Pending(_) | Outcome::Lost(_) => panic!("it is connected"),
                }
                assert!(!is_reset(&mut winner));
            } else {
                let endpoint = Rc::new(Endpoint {
                    id: 0,
                    host: String::new(),
                    port,
                    security: Security::Plain,
                });
                let stage = Stage::Connecting(race);
                let mut dial = Dial { endpoint, stage };
                dial.reset();
                drop(dial);
                assert!(is_reset(&mut winner));
            }
            assert!(is_reset(&mut loser));
        }
    }

    #[test]
    fn the_next_address_is_tried_after_a_failure_at_once_and_beside_a_late_one() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let open = listener.local_addr().expect("it has one");
        let closed = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a port is free");
        let begun = now();
        let addresses: Vec<IpAddr> = (0..11).map(|last| [127, 0, 1, last].into()).collect();
        let [first, second] = [addresses[0], addresses[1]];
        // The first address refuses at once and the second in the end, the others do not answer.
        let connect = |address: SocketAddr, _| match address.ip() {
            ip if ip == first => Err(io::ErrorKind::ConnectionRefused.into()),
            ip if ip == second => TcpStream::connect(closed),
            _ => TcpStream::connect(open),
        };
        let mut owners = Owners::default();
        let mut race = Race::new(addresses.into(), open.port(), begun);
        for round in 0..10 {
            let (since, until) = (STAGGER * round, STAGGER * (round + 1));
            let tried = (1 + ATTEMPTS_MAX).min(2 + round as usize);
            for at in [since, until - Duration::from_millis(1)] {
                let now = begun.after(at);
                race = match race.resume(connect, &mut owners, Upstream(0), now) {
                    Outcome::Pending(race) => race,
                    Outcome::Lost(_) | Outcome::Won(..) => panic!("the poll has said nothing"),
                };
                assert_eq!((race.begun, owners.len()), (tried, tried - 1), "{at:?}");
                let next_at = (tried < 1 + ATTEMPTS_MAX).then(|| begun.after(until).instant);
                assert_eq!(race.next_at(), next_at);
            }
        }
        let token = race.attempts[0].token;
        race.hint(token, Hints::FRESH);
        match race.resume(connect, &mut owners, Upstream(0), begun.after(STAGGER * 10)) {
            Outcome::Pending(race) => {
                assert_eq!((race.begun, owners.len()), (10, ATTEMPTS_MAX));
            }
            Outcome::Lost(_) | Outcome::Won(..) => panic!("one has refused"),
        }
    }

    #[test]
    fn a_race_is_lost_when_all_have_refused_and_says_why_and_holds_nothing() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let closed = listener.local_addr().expect("it has one");
        drop(listener);
        let now = now();
        let mut owners = Owners::default();
        // More than may be tried at once, if they did not refuse.
        let addresses: [IpAddr; ATTEMPTS_MAX + 2] =
            std::array::from_fn(|place| [127, 0, 0, 1 + place as u8].into());
        let mut race = Race::new(addresses.into(), closed.port(), now);
        let mut tried = Vec::new();
        let fault = loop {
            let connect = |address: SocketAddr, _| {
                tried.push(address.ip());
                TcpStream::connect(address)
            };
            race = match race.resume(connect, &mut owners, Upstream(0), now) {
                Outcome::Pending(race) => race,
                Outcome::Lost(fault) => break fault,
                Outcome::Won(..) => panic!("nobody listens"),
            };
            let token = race.attempts[0].token;
            race.hint(token, Hints::FRESH);
        };
        assert!(
            matches!(fault, Fault::Connect(io::ErrorKind::ConnectionRefused)),
            "{fault}"
        );
        assert_eq!((tried.as_slice(), owners.len()), (&addresses[..], 0));
    }
}
