//! The proxy's network: dials that take their time and fail, and the real pool.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::Token;
use slab::Slab;

use ai_api_proxy::base::buffer::{BUFFER_BYTES, BlockPool};
use ai_api_proxy::base::now::Now;
use ai_api_proxy::net::connection::{Connection, Hints};
use ai_api_proxy::net::dial::{Dial, Dialed, Endpoint, Origin, Stage};
use ai_api_proxy::net::fault::Fault;
use ai_api_proxy::net::network::{Network, Owner, stays_idle};
use ai_api_proxy::net::pool::Pool;
use ai_api_proxy::net::resolver::DnsFailure;
use ai_api_proxy::net::transport::Transport;

use super::random::Random;
use super::wire::{ProxyEnd, Shared, Wire};

pub struct Wires {
    pub owners: Slab<Owner>,
    /// Every connection that the proxy's side still holds, by its token.
    pub known: Vec<(Token, Shared)>,
    /// Connections that no platform has accepted yet.
    pub backlog: Vec<Shared>,
    pub calls: Rc<Cell<u64>>,
    pub has_faults: bool,
    pool: Pool,
    dials: BTreeMap<usize, Planned>,
    scratch: Vec<u8>,
    random: Random,
}

/// What becomes of a dial, and when; never when there is no time.
struct Planned {
    at: Option<Instant>,
    fault: Option<Fault>,
}

impl Wires {
    pub fn new(has_faults: bool, random: Random) -> Wires {
        Wires {
            owners: Slab::new(),
            known: Vec::new(),
            backlog: Vec::new(),
            calls: Rc::new(Cell::new(0)),
            has_faults,
            pool: Pool::default(),
            dials: BTreeMap::new(),
            scratch: vec![0; BUFFER_BYTES],
            random,
        }
    }

    /// A new connection that belongs to `owner`: both its ends.
    pub fn connect(&mut self, owner: Owner, hints: Hints, now: Now) -> (Connection, Shared) {
        let wire = Wire::new(&mut self.random, Rc::clone(&self.calls));
        let wire = Rc::new(RefCell::new(wire));
        let token = Token(self.owners.insert(owner));
        self.known.push((token, Rc::clone(&wire)));
        let link = Box::new(ProxyEnd(Rc::clone(&wire)));
        let connection = Connection::new(Transport::Link(link), token, hints, now);
        (connection, wire)
    }

    /// Sessions whose dials have come to something.
    pub fn due(&self, now: Now) -> Vec<usize> {
        let is_due = |planned: &Planned| planned.at.is_some_and(|at| at <= now.instant);
        let due = self.dials.iter().filter(|(_, planned)| is_due(planned));
        due.map(|(session, _)| *session).collect()
    }

    pub fn deadline(&self) -> Option<Instant> {
        let dials = self.dials.values().filter_map(|planned| planned.at);
        dials.chain(self.pool.deadline()).min()
    }

    pub fn expire(&mut self, now: Now) {
        while let Some(connection) = self.pool.expire(now) {
            self.hangup(connection);
        }
    }

    pub fn idle_count(&self) -> usize {
        self.pool.len()
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
        let scratch = &mut self.scratch;
        let gone = self.pool.on_event(endpoint, token, news, |connection| {
            stays_idle(connection, scratch, blocks, now)
        });
        if let Some(connection) = gone {
            self.hangup(connection);
        }
    }

    fn plan(&mut self, now: Now) -> Planned {
        let at = now.instant + self.random.milliseconds(0, 300);
        let in_time = |fault| Planned {
            at: Some(at),
            fault,
        };
        if !self.has_faults || self.random.percent(90) {
            return in_time(None);
        }
        match self.random.between(0, 5) {
            0 => in_time(Some(Fault::Dns(DnsFailure::NoSuchName))),
            1 => in_time(Some(Fault::Connect(ErrorKind::ConnectionRefused))),
            2 => in_time(Some(Fault::Tls("bad certificate".to_string()))),
            3 => in_time(Some(Fault::Lost(ErrorKind::ConnectionReset))),
            4 => in_time(Some(Fault::NoDescriptors)),
            _ => Planned {
                at: self.random.percent(50).then(|| at + Duration::from_secs(9)),
                fault: None,
            },
        }
    }
}

impl Network for Wires {
    fn dial(
        &mut self,
        endpoint: &Rc<Endpoint>,
        session: usize,
        blocks: &mut BlockPool,
        now: Now,
    ) -> Dialed {
        if let Some(connection) = self.pool.take(endpoint.id) {
            self.owners[connection.token().0] = Owner::Upstream(session);
            return Dialed::Open(connection, Origin::Pooled);
        }
        let planned = self.plan(now);
        let former = self.dials.insert(session, planned);
        assert!(former.is_none(), "a session dials once at a time");
        let dial = Dial {
            endpoint: Rc::clone(endpoint),
            stage: Stage::Resolving,
        };
        self.resume(dial, session, blocks, now)
    }

    fn resume(&mut self, dial: Dial, session: usize, _: &mut BlockPool, now: Now) -> Dialed {
        let planned = &self.dials[&session];
        if planned.at.is_none_or(|at| now.instant < at) {
            return Dialed::Pending(dial);
        }
        let planned = self.dials.remove(&session);
        if let Some(fault) = planned.and_then(|planned| planned.fault) {
            return Dialed::Failed(fault);
        }
        let writable = Hints::new(false, true, false);
        let (connection, wire) = self.connect(Owner::Upstream(session), writable, now);
        self.backlog.push(wire);
        Dialed::Open(connection, Origin::Fresh)
    }

    fn release(&mut self, endpoint: &Endpoint, connection: Connection, now: Now) {
        self.owners[connection.token().0] = Owner::Idle(endpoint.id);
        if let Some(surplus) = self.pool.release(endpoint.id, connection, now) {
            self.hangup(surplus);
        }
    }

    fn hangup(&mut self, connection: Connection) {
        let token = connection.token();
        self.owners.remove(token.0);
        self.known.retain(|(known, _)| *known != token);
    }

    fn abandon(&mut self, dial: Dial, session: usize) {
        assert!(
            dial.tokens().is_empty(),
            "a dial of the simulation holds no socket"
        );
        self.dials.remove(&session);
    }

    fn scratch(&mut self) -> &mut [u8] {
        &mut self.scratch
    }
}
