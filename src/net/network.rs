//! How connections to platforms are obtained and given back.

use std::rc::Rc;
use std::time::Instant;

use mio::event::Source;
use mio::{Interest, Registry, Token};

use super::connection::{Connection, Filled, Hints};
use super::dial::{Dial, Dialed, Endpoint, Origin, Outcome, Race, Reuse, Stage, connect};
use super::fault::Fault;
use super::owners::{Owner, Owners};
use super::pool::Pool;
use super::resolver::{DnsFailure, Lookup, Resolver};
use crate::base::buffer::BlockPool;
use crate::base::now::Now;

/// What a session needs of the network: upstream connections.
pub trait Network {
    /// Gets a connection to `endpoint` for `session`: one from the pool, if `reuse` allows, or a dial.
    fn dial(
        &mut self,
        endpoint: &Rc<Endpoint>,
        reuse: Reuse,
        session: usize,
        blocks: &mut BlockPool,
        now: Now,
    ) -> Dialed;
    /// Continues a dial after an event, a result of the resolver or its deadline.
    fn resume(&mut self, dial: Dial, session: usize, blocks: &mut BlockPool, now: Now) -> Dialed;
    /// Keeps a connection for the next request.
    fn release(&mut self, endpoint: &Endpoint, connection: Connection, now: Now);
    /// Closes a connection.
    fn hangup(&mut self, connection: Connection);
    /// Gives up a dial.
    fn abandon(&mut self, dial: Dial, session: usize);
}

/// The real network.
pub struct Sockets {
    pub registry: Registry,
    pub owners: Owners,
    pub resolver: Resolver,
    pool: Pool,
}

impl Sockets {
    pub fn new(registry: Registry, resolver: Resolver) -> Sockets {
        Sockets {
            registry,
            owners: Owners::default(),
            resolver,
            pool: Pool::default(),
        }
    }

    /// Registers `source` for `owner`, for as long as the program runs.
    ///
    /// # Errors
    /// If the poll does not accept it.
    pub fn register_readable(
        &mut self,
        source: &mut impl Source,
        owner: Owner,
    ) -> std::io::Result<()> {
        let token = self.owners.insert(owner);
        self.registry.register(source, token, Interest::READABLE)
    }

    /// How many idle connections to platforms there are.
    pub fn idle_upstreams(&self) -> usize {
        self.pool.count()
    }

    /// Closes an idle connection; false if there is none.
    pub fn close_idle(&mut self) -> bool {
        match self.pool.take_oldest() {
            Some(connection) => {
                self.hangup(connection);
                true
            }
            None => false,
        }
    }

    /// When something has to be done without an event.
    pub fn deadline(&self) -> Option<Instant> {
        self.pool
            .deadline()
            .into_iter()
            .chain(self.resolver.deadline())
            .min()
    }

    /// Does what is due: closes an idle connection that is too old, repeats queries to name servers. A burst leaves
    /// hundreds that are too old together: the next one is due in the next turn, so that streams do not wait for all.
    pub fn expire(&mut self, now: Now) {
        if let Some(connection) = self.pool.expire(now) {
            self.hangup(connection);
        }
        self.resolver.expire(&self.registry, now);
    }

    /// Handles an event of an idle connection.
    #[inline(never)]
    pub fn on_idle_event(
        &mut self,
        endpoint: usize,
        token: Token,
        news: Hints,
        blocks: &mut BlockPool,
        now: Now,
    ) {
        let gone = self.pool.on_event(endpoint, token, news, |connection| {
            stays_idle(connection, blocks, now)
        });
        if let Some(connection) = gone {
            self.hangup(connection);
        }
    }

    /// Replaces the texts of the hosts file and resolv.conf. Who waits for a name may be woken by it.
    pub fn configure_names(&mut self, hosts: &str, resolv_conf: &str, now: Now) {
        self.resolver
            .configure(hosts, resolv_conf, &self.registry, now);
    }

    /// Handles an event of one of the resolver's sockets.
    #[inline(never)]
    pub fn on_resolver_event(&mut self, token: Token, now: Now) {
        self.resolver.on_event(token.0, &self.registry, now);
    }

    fn resolve(
        &mut self,
        endpoint: Rc<Endpoint>,
        session: usize,
        blocks: &mut BlockPool,
        now: Now,
    ) -> Dialed {
        let found = self
            .resolver
            .lookup(&endpoint.host, session, &self.registry, now);
        match found {
            Lookup::Pending => Dialed::Pending(Dial {
                endpoint,
                stage: Stage::Resolving,
            }),
            Lookup::Failed(failure) => Dialed::Failed(Fault::Dns(failure)),
            Lookup::Ready(addresses) => {
                let race = Race::new(addresses, endpoint.port, now);
                self.connect(endpoint, race, session, blocks, now)
            }
        }
    }

    fn connect(
        &mut self,
        endpoint: Rc<Endpoint>,
        race: Race,
        session: usize,
        blocks: &mut BlockPool,
        now: Now,
    ) -> Dialed {
        let owner = Owner::Upstream(session);
        let connect = |address, token| connect(&self.registry, address, token);
        let outcome = race.resume(connect, &mut self.owners, owner, now);
        match outcome {
            Outcome::Pending(race) => Dialed::Pending(Dial {
                endpoint,
                stage: Stage::Connecting(race),
            }),
            Outcome::Lost(fault) => {
                if let Fault::Connect(_) = fault {
                    self.resolver.doubt(&endpoint.host, now.instant);
                }
                Dialed::Failed(fault)
            }
            Outcome::Won(socket, token, hints) => match endpoint.secure(socket) {
                Ok(transport) => {
                    let connection = Connection::new(transport, token, hints, now);
                    self.shake(endpoint, connection, blocks, now)
                }
                Err(fault) => {
                    self.owners.remove(token);
                    Dialed::Failed(fault)
                }
            },
        }
    }

    fn shake(
        &mut self,
        endpoint: Rc<Endpoint>,
        mut connection: Connection,
        blocks: &mut BlockPool,
        now: Now,
    ) -> Dialed {
        let outcome = connection.handshake(blocks, now);
        connection.settle_buffers(blocks);
        match outcome {
            Ok(()) if connection.is_handshaking() => Dialed::Pending(Dial {
                endpoint,
                stage: Stage::Handshaking(connection),
            }),
            Ok(()) => Dialed::Open(connection, Origin::Fresh),
            Err(error) => {
                self.hangup(connection);
                Dialed::Failed(Fault::of(&error))
            }
        }
    }
}

impl Network for Sockets {
    fn dial(
        &mut self,
        endpoint: &Rc<Endpoint>,
        reuse: Reuse,
        session: usize,
        blocks: &mut BlockPool,
        now: Now,
    ) -> Dialed {
        if let Some(connection) = self.pool.take(endpoint.id, reuse, now) {
            self.owners
                .pass_on(connection.token(), Owner::Upstream(session));
            return Dialed::Open(connection, Origin::Pooled);
        }
        let dial = Dial {
            endpoint: Rc::clone(endpoint),
            stage: Stage::Resolving,
        };
        self.resume(dial, session, blocks, now)
    }

    fn resume(
        &mut self,
        mut dial: Dial,
        session: usize,
        blocks: &mut BlockPool,
        now: Now,
    ) -> Dialed {
        loop {
            let endpoint = Rc::clone(&dial.endpoint);
            let dialed = match dial.stage {
                Stage::Resolving => self.resolve(endpoint, session, blocks, now),
                Stage::Connecting(race) => self.connect(endpoint, race, session, blocks, now),
                Stage::Handshaking(connection) => self.shake(endpoint, connection, blocks, now),
            };
            match dialed {
                Dialed::Failed(Fault::NoDescriptors) if self.close_idle() => {}
                Dialed::Failed(Fault::Dns(DnsFailure::NoDescriptors)) if self.close_idle() => {
                    self.resolver.forget_answer(&dial.endpoint.host);
                }
                Dialed::Pending(_) | Dialed::Open(..) | Dialed::Failed(_) => return dialed,
            }
            // A descriptor has become free: it begins anew.
            dial.stage = Stage::Resolving;
        }
    }

    fn release(&mut self, endpoint: &Endpoint, connection: Connection, now: Now) {
        self.owners
            .pass_on(connection.token(), Owner::Idle(endpoint.id));
        if let Some(surplus) = self.pool.release(endpoint.id, connection, now) {
            self.hangup(surplus);
        }
    }

    fn hangup(&mut self, connection: Connection) {
        // Closing the socket removes it from the poll; its token is free from then on.
        self.owners.remove(connection.token());
    }

    fn abandon(&mut self, mut dial: Dial, session: usize) {
        dial.reset();
        if let Stage::Connecting(race) = &dial.stage {
            self.resolver.doubt(&dial.endpoint.host, race.since);
        }
        for token in dial.tokens() {
            self.owners.remove(token);
        }
        self.resolver.forget(session);
    }
}

/// Most reads of an idle connection in one turn. TLS's own messages are few; a peer that sends more is given up.
const IDLE_READS_MAX: usize = 4;

/// Most bytes kept of an incomplete TLS message. A session ticket is shorter; the beginning of something long would be
/// held for as long as the connection is idle.
const IDLE_UNDECRYPTED_MAX: usize = 1024;

/// Whether an idle connection can serve another request after an event: only TLS's own messages may arrive on it.
pub fn stays_idle(connection: &mut Connection, blocks: &mut BlockPool, now: Now) -> bool {
    let mut alive = !connection.peer_closed();
    for _ in 0..IDLE_READS_MAX {
        if !alive || !connection.is_readable() {
            break;
        }
        alive = match connection.fill(usize::MAX, blocks, now) {
            Filled::Bytes(_) => connection.input.is_empty(),
            Filled::Blocked => true,
            Filled::End | Filled::Failed(_) => false,
        };
    }
    connection.input.consume(connection.input.len());
    connection.settle_buffers(blocks);
    alive
        && !connection.is_readable()
        && !connection.has_output()
        && connection.undecrypted_bytes() <= IDLE_UNDECRYPTED_MAX
}

/// Random bits from the operating system, for seeds. They are asked for as TLS does, without a file.
///
/// # Errors
/// If the operating system has none.
pub fn random_seed() -> std::io::Result<u64> {
    let mut bytes = [0; 8];
    let source = rustls::crypto::ring::default_provider().secure_random;
    source
        .fill(&mut bytes)
        .map_err(|_| std::io::Error::other("the operating system has no random bits"))?;
    Ok(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use super::*;
    use crate::base::testing::now;
    use crate::net::dial::Security;
    use crate::net::records::Records;
    use crate::net::testing::{tls_configs, told};
    use crate::net::tls::server_name;
    use crate::net::transport::Transport;

    /// A connection after its TLS handshake, and its other end. Both block when they read.
    fn shaken(now: Now) -> (Connection, TcpStream) {
        let (client_config, server_config) = tls_configs();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        // The other end needs a thread: each end waits for what the other sends.
        let peer = thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("somebody connects");
            let mut session = rustls::ServerConnection::new(server_config).expect("it can be used");
            while session.is_handshaking() || session.wants_write() {
                session.complete_io(&mut socket).expect("both agree");
            }
            socket
        });
        let socket =
            mio::net::TcpStream::from_std(TcpStream::connect(address).expect("it listens"));
        let name = server_name("localhost").expect("it is a name");
        let records = Records::client(client_config, name).expect("it can be used");
        let transport = Transport::tls(socket, records);
        let mut connection = Connection::new(transport, Token(0), Hints::FRESH, now);
        let mut blocks = BlockPool::default();
        while connection.is_handshaking() {
            connection.hint(Hints::FRESH);
            connection.handshake(&mut blocks, now).expect("both agree");
        }
        connection.flush(&mut blocks, now);
        (connection, peer.join().expect("it does not panic"))
    }

    #[test]
    fn of_connections_that_are_too_old_one_is_closed_in_a_turn_and_the_next_turn_comes_at_once() {
        let poll = mio::Poll::new().expect("there are descriptors");
        let registry = poll.registry().try_clone().expect("there are descriptors");
        let mut sockets = Sockets::new(registry, Resolver::new("", "", 1, usize::MAX / 2));
        let endpoint = Endpoint {
            id: 0,
            host: String::new(),
            port: 80,
            security: Security::Plain,
        };
        let begun = now();
        for _ in 0..3 {
            let token = sockets.owners.insert(Owner::Upstream(0));
            let connection = Connection::new(Transport::Nobody, token, Hints::FRESH, begun);
            sockets.release(&endpoint, connection, begun);
        }
        let instant = sockets.deadline().expect("they are idle");
        for left in [2, 1, 0] {
            assert_eq!(sockets.deadline(), Some(instant));
            sockets.expire(Now { instant, ..begun });
            assert_eq!(sockets.idle_upstreams(), left);
            assert_eq!(sockets.owners.len(), left);
        }
        sockets.expire(Now { instant, ..begun });
        assert_eq!(sockets.deadline(), None);
    }

    #[test]
    fn an_idle_connection_keeps_little_of_a_message_that_does_not_end() {
        let now = now();
        for (bytes, want) in [
            (5, true),
            (IDLE_UNDECRYPTED_MAX, true),
            (IDLE_UNDECRYPTED_MAX + 1, false),
            (16 * 1024, false),
        ] {
            let (mut connection, mut peer) = shaken(now);
            let mut record = vec![0x17, 3, 3, 0x41, 0];
            record.resize(bytes, 0);
            peer.write_all(&record).expect("there is room");
            let mut stays = true;
            while stays && connection.undecrypted_bytes() < bytes {
                connection.hint(Hints::FRESH);
                stays = stays_idle(&mut connection, &mut BlockPool::default(), now);
            }
            assert_eq!(stays, want, "{bytes}");
        }
    }

    #[test]
    fn a_connection_stays_idle_as_long_as_nothing_moves_on_it() {
        let now = now();
        let closed = Hints::new(false, false, true);
        // (bytes that came, whether the peer has ended, what the poll says, bytes still to be sent, whether it stays)
        for (came, has_ended, news, unsent, want) in [
            ("", false, Hints::NONE, "", true),
            ("", false, Hints::FRESH, "", true),
            (
                "HTTP/1.1 408 Request Timeout\r\n",
                false,
                Hints::FRESH,
                "",
                false,
            ),
            ("", true, Hints::FRESH, "", false),
            ("", false, closed, "", false),
            ("", false, Hints::NONE, "the rest of a body", false),
        ] {
            let transport = told(came, has_ended);
            let mut connection = Connection::new(transport, Token(0), news, now);
            let mut blocks = BlockPool::default();
            connection.output.open(&mut blocks);
            connection.output.put(unsent.as_bytes());
            let stays = stays_idle(&mut connection, &mut blocks, now);
            assert_eq!(stays, want, "{came:?} {has_ended} {news:?} {unsent:?}");
        }
    }
}
