//! The proxy's real resolver, and name servers that answer it: late, wrongly, falsely or not at all.

use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use ai_api_proxy::base::now::Now;
use ai_api_proxy::net::resolver::core::Core;
use ai_api_proxy::net::resolver::{Lookup, SOCKETS_MAX};

use super::dns;
use super::random::Random;

const CONF: &str = "nameserver 10.0.0.1\nnameserver 10.0.0.2\noptions timeout:1 attempts:2";

/// Where every name leads in honest replies.
const TRUE: [IpAddr; 2] = both(1);

/// Where it leads in a name server's false replies.
const FALSE: [IpAddr; 2] = both(66);

/// Where it leads in replies from someone who does not know the question: these must never be believed.
const FORGED: [IpAddr; 2] = both(99);

/// An address of each family.
const fn both(number: u8) -> [IpAddr; 2] {
    let six = Ipv6Addr::new(0xfd00 + number as u16, 0, 0, 0, 0, 0, 0, 1);
    [IpAddr::V4(Ipv4Addr::new(10, number, 0, 1)), IpAddr::V6(six)]
}

pub struct Names {
    core: Core,
    /// By the resolver's socket: what is on its way to it.
    sockets: BTreeMap<usize, Socket>,
    lies: bool,
    random: Random,
}

/// A socket that has asked one question of one server.
struct Socket {
    nonce: u64,
    at: Instant,
    coming: VecDeque<Coming>,
}

enum Coming {
    Message(Vec<u8>),
    Fault(ErrorKind),
}

impl Names {
    pub fn new(lies: bool, mut random: Random) -> Names {
        Names {
            core: Core::new("", CONF, random.next()),
            sockets: BTreeMap::new(),
            lies,
            random,
        }
    }

    /// Whether someone other than the name's owner is at `address`.
    pub fn is_false(address: IpAddr) -> bool {
        FALSE.contains(&address)
    }

    pub fn lookup(&mut self, host: &str, session: usize, now: Now) -> Lookup {
        let found = self.core.lookup(host, session, now);
        self.ask(now);
        if let Lookup::Ready(addresses) = &found {
            assert!(!addresses.iter().any(|address| FORGED.contains(address)));
        }
        found
    }

    pub fn forget(&mut self, session: usize) {
        self.core.forget(session);
    }

    pub fn take_woken(&mut self) -> Option<usize> {
        self.core.take_woken()
    }

    pub fn deadline(&self) -> Option<Instant> {
        let replies = self
            .sockets
            .values()
            .filter(|socket| !socket.coming.is_empty());
        replies
            .map(|socket| socket.at)
            .chain(self.core.deadline())
            .min()
    }

    /// Lets replies arrive and time limits expire.
    pub fn expire(&mut self, now: Now) {
        let mut arrived = Vec::new();
        for (slot, socket) in &mut self.sockets {
            if socket.at <= now.instant {
                arrived.extend(
                    socket
                        .coming
                        .drain(..)
                        .map(|coming| (*slot, socket.nonce, coming)),
                );
            }
        }
        for (slot, nonce, coming) in arrived {
            // What comes to a socket that has been closed meanwhile is lost.
            if self
                .core
                .asking(slot)
                .is_none_or(|asking| asking.nonce != nonce)
            {
                continue;
            }
            match coming {
                Coming::Message(mut message) => self.core.on_message(slot, &mut message, now),
                Coming::Fault(kind) => self.core.on_fault(slot, &kind.into(), now),
            }
        }
        self.core.expire(now);
        self.ask(now);
    }

    /// Sends the queries that have not been sent yet.
    fn ask(&mut self, now: Now) {
        for slot in 0..SOCKETS_MAX {
            let Some(asking) = self.core.asking(slot) else {
                self.sockets.remove(&slot);
                continue;
            };
            if self
                .sockets
                .get(&slot)
                .is_some_and(|socket| socket.nonce == asking.nonce)
            {
                continue;
            }
            let socket = Socket {
                nonce: asking.nonce,
                at: now.instant + self.random.milliseconds(0, 20),
                coming: match self.lies && self.random.percent(25) {
                    true => lie(asking.message, &mut self.random),
                    false => [Coming::Message(truth(asking.message, &mut self.random))].into(),
                },
            };
            self.sockets.insert(slot, socket);
        }
    }
}

fn truth(query: &[u8], random: &mut Random) -> Vec<u8> {
    let seconds = random.pick(&[0, 1, 60, 86_400]);
    dns::addressed(query, seconds, &TRUE)
}

fn lie(query: &[u8], random: &mut Random) -> VecDeque<Coming> {
    let honest = truth(query, random);
    let messages = match random.between(0, 9) {
        // They arrive before the server's own reply.
        0 => {
            let mut messages = dns::forged(&dns::addressed(query, 60, &FORGED));
            messages.push(honest);
            messages
        }
        1 => {
            let length = random.between(0, honest.len() - 1);
            vec![honest[..length].to_vec(), honest]
        }
        2 => vec![dns::truncated(honest)],
        3 => vec![dns::no_such_name(query)],
        4 => vec![dns::server_failed(query)],
        5 => vec![dns::looped(query)],
        6 | 7 => vec![dns::addressed(query, 60, &FALSE)],
        8 => return [Coming::Fault(ErrorKind::ConnectionRefused)].into(),
        _ => vec![],
    };
    messages.into_iter().map(Coming::Message).collect()
}
