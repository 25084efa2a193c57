//! The proxy's real resolver, and name servers that answer it: late, wrongly, falsely or not at all.

use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use ai_api_proxy::base::now::Now;
use ai_api_proxy::net::resolver::core::Core;
use ai_api_proxy::net::resolver::{Lookup, SOCKETS_MAX};

use super::random::Random;

const CONF: &str = "nameserver 10.0.0.1\nnameserver 10.0.0.2\noptions timeout:1 attempts:2";

/// Where every name leads by the truth.
const TRUE_V4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
const TRUE_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);

/// Where it leads by a lie.
const FALSE_V4: Ipv4Addr = Ipv4Addr::new(10, 66, 0, 1);
const FALSE_V6: Ipv6Addr = Ipv6Addr::new(0xfd66, 0, 0, 0, 0, 0, 0, 1);

/// Where it leads by somebody who does not know what was asked: nobody may believe that.
const FORGED_V4: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
const FORGED_V6: Ipv6Addr = Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, 1);

/// Types of records.
const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;

/// What is flipped in a reply's header, its second and third byte, to make it another.
const TRUNCATED: u8 = 0b10;
const NO_SUCH_NAME: u8 = 3;
const SERVER_FAILED: u8 = 2;

pub struct Names {
    core: Core,
    /// By the resolver's sockets: what is on its way to each.
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

    /// Whether somebody else than the name's owner is at `address`.
    pub fn is_false(address: IpAddr) -> bool {
        [IpAddr::V4(FALSE_V4), IpAddr::V6(FALSE_V6)].contains(&address)
    }

    pub fn lookup(&mut self, host: &str, session: usize, now: Now) -> Lookup {
        let found = self.core.lookup(host, session, now);
        self.ask(now);
        if let Lookup::Ready(addresses) = &found {
            let forged = [IpAddr::V4(FORGED_V4), IpAddr::V6(FORGED_V6)];
            assert!(!addresses.iter().any(|address| forged.contains(address)));
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

    /// Replies arrive, time limits pass.
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
            // What comes to a socket that has been closed meanwhile reaches nobody.
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

    /// Sends what is to be asked and has not been.
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
    addressed(query, seconds, TRUE_V4, TRUE_V6)
}

fn lie(query: &[u8], random: &mut Random) -> VecDeque<Coming> {
    let mut honest = truth(query, random);
    let changed = |mut message: Vec<u8>, place: usize, bits: u8| {
        message[place] ^= bits;
        message
    };
    let forged = addressed(query, 60, FORGED_V4, FORGED_V6);
    let end = question_end(query);
    let messages = match random.between(0, 9) {
        // Another id, name or class, before the server's own reply.
        0 => vec![
            changed(forged.clone(), 0, 1),
            changed(forged.clone(), 13, 1),
            changed(forged, end - 1, 2),
            honest,
        ],
        1 => {
            let length = random.between(0, honest.len() - 1);
            vec![honest[..length].to_vec(), honest]
        }
        2 => {
            honest[2] |= TRUNCATED;
            vec![honest]
        }
        3 => vec![changed(reply(query, &[]), 3, NO_SUCH_NAME)],
        4 => vec![changed(reply(query, &[]), 3, SERVER_FAILED)],
        // The name is another name of itself.
        5 => vec![reply(query, &[(CNAME, 60, &[0xc0, 12])])],
        6 | 7 => vec![addressed(query, 60, FALSE_V4, FALSE_V6)],
        8 => return [Coming::Fault(ErrorKind::ConnectionRefused)].into(),
        _ => vec![],
    };
    messages.into_iter().map(Coming::Message).collect()
}

/// A reply with the address of the family that is asked for.
fn addressed(query: &[u8], seconds: u32, v4: Ipv4Addr, v6: Ipv6Addr) -> Vec<u8> {
    match asked_type(query) {
        A => reply(query, &[(A, seconds, &v4.octets())]),
        _ => reply(query, &[(AAAA, seconds, &v6.octets())]),
    }
}

/// Where the question of `query` ends, which stands behind the header.
fn question_end(query: &[u8]) -> usize {
    let name_end = query[12..].iter().position(|byte| *byte == 0);
    12 + name_end.expect("a name ends") + 5
}

fn asked_type(query: &[u8]) -> u16 {
    let end = question_end(query);
    u16::from_be_bytes([query[end - 4], query[end - 3]])
}

/// A reply to `query` with records of the name asked: type, seconds, data.
fn reply(query: &[u8], records: &[(u16, u32, &[u8])]) -> Vec<u8> {
    let mut bytes = query[..2].to_vec();
    bytes.extend([0x81, 0x80, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
    bytes.extend_from_slice(&query[12..question_end(query)]);
    for (kind, seconds, data) in records {
        bytes.extend([0xc0, 12]);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        bytes.extend(seconds.to_be_bytes());
        bytes.extend((data.len() as u16).to_be_bytes());
        bytes.extend_from_slice(data);
    }
    bytes
}
