//! The proxy's network: dials that take their time and fail, and the real resolver and pool.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::Token;

use ai_api_proxy::base::buffer::BlockPool;
use ai_api_proxy::base::now::Now;
use ai_api_proxy::net::connection::{Connection, Hints};
use ai_api_proxy::net::dial::{self, Dial, Dialed, Endpoint, Origin, Reuse};
use ai_api_proxy::net::fault::Fault;
use ai_api_proxy::net::network::{Network, stays_idle};
use ai_api_proxy::net::owners::{Owner, Owners};
use ai_api_proxy::net::pool::Pool;
use ai_api_proxy::net::resolver::Lookup;
use ai_api_proxy::net::transport::Transport;

use super::nameservers::Names;
use super::random::Random;
use super::wire::{ProxyEnd, Shared, Wire};

pub struct Wires {
    pub owners: Owners,
    /// Every connection that the proxy's side still holds, by its token.
    pub known: Vec<(Token, Shared)>,
    /// Connections that nobody has accepted yet.
    pub backlog: Vec<Arrival>,
    pub calls: Rc<Cell<u64>>,
    pub has_faults: bool,
    names: Names,
    pool: Pool,
    dials: BTreeMap<usize, Stage>,
    random: Random,
}

/// A connection of the proxy, seen from its other end.
pub struct Arrival {
    pub wire: Shared,
    /// A false reply has led it to someone other than a platform.
    pub is_astray: bool,
}

/// How far a dial is.
enum Stage {
    /// The resolver will wake its session.
    Resolving,
    Connecting(Planned),
}

/// The outcome of a dial, and when it comes; never if there is no time.
struct Planned {
    at: Option<Instant>,
    fault: Option<Fault>,
    is_astray: bool,
}

impl Wires {
    pub fn new(has_faults: bool, mut random: Random) -> Wires {
        Wires {
            names: Names::new(has_faults, random.fork()),
            owners: Owners::default(),
            known: Vec::new(),
            backlog: Vec::new(),
            calls: Rc::new(Cell::new(0)),
            has_faults,
            pool: Pool::default(),
            dials: BTreeMap::new(),
            random,
        }
    }

    /// A new connection that belongs to `owner`: both its ends.
    pub fn connect(&mut self, owner: Owner, hints: Hints, now: Now) -> (Connection, Shared) {
        let wire = Wire::new(&mut self.random, Rc::clone(&self.calls));
        let wire = Rc::new(RefCell::new(wire));
        let token = self.owners.insert(owner);
        self.known.push((token, Rc::clone(&wire)));
        let link = Box::new(ProxyEnd(Rc::clone(&wire)));
        let connection = Connection::new(Transport::Link(link), token, hints, now);
        (connection, wire)
    }

    /// Sessions whose dials can continue.
    pub fn due(&mut self, now: Now) -> Vec<usize> {
        let connecting = self.dials.iter().filter(|(_, stage)| {
            let at = stage.ends_at();
            at.is_some_and(|at| at <= now.instant)
        });
        let mut due: Vec<usize> = connecting.map(|(session, _)| *session).collect();
        while let Some(session) = self.names.take_woken() {
            due.push(session);
        }
        due
    }

    pub fn deadline(&self) -> Option<Instant> {
        let dials = self.dials.values().filter_map(Stage::ends_at);
        let others = [self.pool.deadline(), self.names.deadline()];
        dials.chain(others.into_iter().flatten()).min()
    }

    pub fn expire(&mut self, now: Now) {
        self.names.expire(now);
        while let Some(connection) = self.pool.expire(now) {
            self.hangup(connection);
        }
    }

    pub fn idle_count(&self) -> usize {
        self.pool.count()
    }

    pub fn dial_count(&self) -> usize {
        self.dials.len()
    }

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

    fn plan(&mut self, addresses: &[IpAddr], now: Now) -> Planned {
        let at = now.instant + self.random.milliseconds(0, 300);
        let mut planned = Planned {
            at: Some(at),
            fault: None,
            // Any address that connects is as good as another to the proxy.
            is_astray: Names::is_false(self.random.pick(addresses)),
        };
        if !self.has_faults || self.random.percent(90) {
            return planned;
        }
        match self.random.between(0, 4) {
            0 => planned.fault = Some(Fault::Connect(ErrorKind::ConnectionRefused)),
            1 => planned.fault = Some(Fault::Tls("bad certificate".to_string())),
            2 => planned.fault = Some(Fault::Lost(ErrorKind::ConnectionReset)),
            3 => planned.fault = Some(Fault::NoDescriptors),
            _ => planned.at = self.random.percent(50).then(|| at + Duration::from_secs(9)),
        }
        planned
    }
}

impl Stage {
    fn ends_at(&self) -> Option<Instant> {
        match self {
            Stage::Resolving => None,
            Stage::Connecting(planned) => planned.at,
        }
    }
}

impl Network for Wires {
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
        let former = self.dials.insert(session, Stage::Resolving);
        assert!(former.is_none(), "a session dials once at a time");
        let dial = Dial {
            endpoint: Rc::clone(endpoint),
            stage: dial::Stage::Resolving,
        };
        self.resume(dial, session, blocks, now)
    }

    fn resume(&mut self, dial: Dial, session: usize, _: &mut BlockPool, now: Now) -> Dialed {
        let stage = self.dials.remove(&session).expect("it is under way");
        let planned = match stage {
            Stage::Connecting(planned) => planned,
            Stage::Resolving => match self.names.lookup(&dial.endpoint.host, session, now) {
                Lookup::Ready(addresses) => self.plan(&addresses, now),
                Lookup::Failed(failure) => return Dialed::Failed(Fault::Dns(failure)),
                Lookup::Pending => {
                    self.dials.insert(session, Stage::Resolving);
                    return Dialed::Pending(dial);
                }
            },
        };
        if planned.at.is_none_or(|at| now.instant < at) {
            self.dials.insert(session, Stage::Connecting(planned));
            return Dialed::Pending(dial);
        }
        if let Some(fault) = planned.fault {
            return Dialed::Failed(fault);
        }
        let writable = Hints::new(false, true, false);
        let (connection, wire) = self.connect(Owner::Upstream(session), writable, now);
        self.backlog.push(Arrival {
            wire,
            is_astray: planned.is_astray,
        });
        Dialed::Open(connection, Origin::Fresh)
    }

    fn release(&mut self, endpoint: &Endpoint, connection: Connection, now: Now) {
        self.owners
            .pass_on(connection.token(), Owner::Idle(endpoint.id));
        if let Some(surplus) = self.pool.release(endpoint.id, connection, now) {
            self.hangup(surplus);
        }
    }

    fn hangup(&mut self, connection: Connection) {
        let token = connection.token();
        self.owners.remove(token);
        self.known.retain(|(known, _)| *known != token);
    }

    fn abandon(&mut self, dial: Dial, session: usize) {
        assert!(
            dial.tokens().is_empty(),
            "a dial of the simulation holds no socket"
        );
        self.dials.remove(&session);
        self.names.forget(session);
    }
}
