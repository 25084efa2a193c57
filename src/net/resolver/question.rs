//! One question: one name's addresses of one family, asked of one server after the other until one answers. It sends
//! nothing itself: what to ask of which server is computed from its state.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Instant;

use super::failure::DnsFailure;
use super::message::{Family, Form, Query, Reply};
use super::resolv_conf::ResolvConf;
use crate::base::file::is_out_of_descriptors;
use crate::base::ids::Ids;

/// A question that is being asked.
pub struct Question {
    name: Rc<str>,
    family: Family,
    conf: Rc<ResolvConf>,
    /// The server that is asked first.
    first_server: usize,
    /// How many tries have ended.
    tries: usize,
    form: Form,
    carrier: Carrier,
    query: Query,
    nonce: u64,
    deadline: Instant,
}

/// How a query travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// One UDP datagram there, one back.
    Datagram,
    /// TCP, where each message is preceded by its length (RFC 1035 section 4.2.2).
    Stream,
}

/// What is to be sent to which server, over a socket that has carried nothing else.
pub struct Asking<'a> {
    /// Distinguishes this transmission from all others: another nonce needs another socket.
    pub nonce: u64,
    pub server: SocketAddr,
    pub carrier: Carrier,
    pub message: &'a [u8],
}

/// The result of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    pub found: Result<Vec<IpAddr>, DnsFailure>,
    /// As the server gave it; 0 for a fault.
    pub ttl_seconds: u32,
}

impl Question {
    /// `name` has no trailing dot; `turn` says which server is the first.
    pub fn new(
        name: &Rc<str>,
        family: Family,
        conf: &Rc<ResolvConf>,
        turn: usize,
        ids: &mut Ids,
        now: Instant,
    ) -> Question {
        let nonce = ids.next_u64();
        Question {
            name: Rc::clone(name),
            family,
            conf: Rc::clone(conf),
            first_server: turn % conf.servers.len(),
            tries: 0,
            form: Form::Extended,
            carrier: Carrier::Datagram,
            query: Query::new(name, family, Form::Extended, nonce as u16),
            nonce,
            deadline: now + conf.timeout,
        }
    }

    /// What is to be sent now.
    pub fn asking(&self) -> Asking<'_> {
        Asking {
            nonce: self.nonce,
            server: self.server(),
            carrier: self.carrier,
            message: &self.query.bytes,
        }
    }

    /// When `expire` is due.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// A message came from the server asked.
    pub fn on_message(
        &mut self,
        message: &mut [u8],
        ids: &mut Ids,
        now: Instant,
    ) -> Option<Ending> {
        let server = self.server().ip();
        let reply = match self.carrier {
            Carrier::Datagram => self.query.read(message),
            Carrier::Stream => self.query.read_whole(message),
        };
        match (reply, self.carrier) {
            (
                Reply::Addresses {
                    addresses,
                    ttl_seconds,
                },
                _,
            ) => Some(Ending {
                found: Ok(addresses),
                ttl_seconds,
            }),
            (
                Reply::Absent {
                    failure,
                    ttl_seconds,
                },
                _,
            ) => Some(Ending {
                found: Err(failure),
                ttl_seconds,
            }),
            // Anybody can send a datagram: the true answer may still be on its way.
            (Reply::Foreign, Carrier::Datagram) => None,
            (Reply::Truncated, Carrier::Datagram) => {
                self.ask(Carrier::Stream, ids, now);
                None
            }
            (Reply::Error { code }, carrier) if self.form == Form::Extended && is_of_form(code) => {
                self.form = Form::Plain;
                self.ask(carrier, ids, now);
                None
            }
            (Reply::Error { code }, _) => {
                self.try_next(DnsFailure::ServerError { server, code }, ids, now)
            }
            (Reply::Garbled, _) | (Reply::Foreign | Reply::Truncated, Carrier::Stream) => {
                self.try_next(DnsFailure::Garbled { server }, ids, now)
            }
        }
    }

    /// The socket failed, or could not be opened.
    pub fn on_fault(&mut self, error: &io::Error, ids: &mut Ids, now: Instant) -> Option<Ending> {
        if is_out_of_descriptors(error) {
            // No other server could be reached either.
            return Some(Ending {
                found: Err(DnsFailure::NoDescriptors),
                ttl_seconds: 0,
            });
        }
        let (server, kind) = (self.server().ip(), error.kind());
        self.try_next(DnsFailure::Unreachable { server, kind }, ids, now)
    }

    /// Checks whether the server asked has run out of time.
    pub fn expire(&mut self, ids: &mut Ids, now: Instant) -> Option<Ending> {
        if now < self.deadline {
            return None;
        }
        let server = self.server().ip();
        self.try_next(DnsFailure::TimedOut { server }, ids, now)
    }

    fn server(&self) -> SocketAddr {
        let servers = &self.conf.servers;
        servers[(self.first_server + self.tries) % servers.len()]
    }

    fn try_next(&mut self, failure: DnsFailure, ids: &mut Ids, now: Instant) -> Option<Ending> {
        self.tries += 1;
        if self.tries >= self.conf.servers.len() * self.conf.attempts {
            return Some(Ending {
                found: Err(failure),
                ttl_seconds: 0,
            });
        }
        self.ask(Carrier::Datagram, ids, now);
        None
    }

    fn ask(&mut self, carrier: Carrier, ids: &mut Ids, now: Instant) {
        // SplitMix64 yields each number once: it identifies the transmission, and its low bits are the message's id.
        self.nonce = ids.next_u64();
        self.query = Query::new(&self.name, self.family, self.form, self.nonce as u16);
        self.carrier = carrier;
        self.deadline = now + self.conf.timeout;
    }
}

/// Whether servers refuse the extension with this code (RFC 6891 section 7): format error, not implemented.
fn is_of_form(code: u8) -> bool {
    matches!(code, 1 | 4)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::reply;
    use super::*;

    const TWO_SERVERS: &str =
        "nameserver 10.0.0.1\nnameserver 10.0.0.2\noptions attempts:2 timeout:3";

    /// Plays the steps of a script and returns where each leads: which server is asked and how, or how it ended.
    fn play(question: &mut Question, script: &str, start: Instant) -> Vec<String> {
        let mut ids = Ids::new(7);
        let mut now = start;
        let mut seen = Vec::new();
        for step in script.split('|').map(str::trim) {
            let ending = match step {
                "late" => {
                    now = question.deadline();
                    question.expire(&mut ids, now)
                }
                "early" => {
                    question.expire(&mut ids, question.deadline() - Duration::from_millis(1))
                }
                "refused" => {
                    let refused = io::ErrorKind::ConnectionRefused.into();
                    question.on_fault(&refused, &mut ids, now)
                }
                "noise" => question.on_message(&mut [0xff; 40], &mut ids, now),
                items => {
                    let mut message = reply(question.asking().message, items);
                    question.on_message(&mut message, &mut ids, now)
                }
            };
            seen.push(match ending {
                Some(Ending {
                    found: Ok(addresses),
                    ttl_seconds,
                }) => format!("{addresses:?} {ttl_seconds}"),
                Some(Ending {
                    found: Err(failure),
                    ttl_seconds,
                }) => format!("{failure} {ttl_seconds}"),
                None => {
                    assert!(
                        question.deadline() >= now,
                        "{script}: a question that goes on has time left"
                    );
                    let asking = question.asking();
                    let plain = if asking.message[11] == 0 {
                        " plain"
                    } else {
                        ""
                    };
                    format!("{} {:?}{plain}", asking.server.ip(), asking.carrier)
                }
            });
        }
        seen
    }

    #[test]
    fn a_question_goes_from_server_to_server() {
        let (first, second) = ("10.0.0.1 Datagram", "10.0.0.2 Datagram");
        let rows: [(&str, &[&str]); 16] = [
            ("a.example A 1.2.3.4 60", &["[1.2.3.4] 60"]),
            ("noise | a.example A 1.2.3.4 60", &[first, "[1.2.3.4] 60"]),
            ("ID | QNAME | QUERY | early", &[first, first, first, first]),
            ("NXDOMAIN; SOA 9 9", &["no such name 9"]),
            ("SOA 9 9", &["the name has no address 9"]),
            (
                "SERVFAIL | a.example A 1.2.3.4 60",
                &[second, "[1.2.3.4] 60"],
            ),
            (
                "a.example CNAME a.example 5 | NXDOMAIN",
                &[second, "no such name 0"],
            ),
            (
                "refused | a.example A 1.2.3.4 60",
                &[second, "[1.2.3.4] 60"],
            ),
            (
                "late | late | late | late",
                &[second, first, second, "timed out asking 10.0.0.2 0"],
            ),
            (
                "late | late | late | REFUSED",
                &[second, first, second, "10.0.0.2 answered: refused 0"],
            ),
            (
                "refused | refused | refused | refused",
                &[
                    second,
                    first,
                    second,
                    "10.0.0.2 cannot be asked: connection refused 0",
                ],
            ),
            (
                "TC | a.example A 1.2.3.4 60",
                &["10.0.0.1 Stream", "[1.2.3.4] 60"],
            ),
            (
                "TC | TC; a.example A 1.2.3.4 60",
                &["10.0.0.1 Stream", "[1.2.3.4] 60"],
            ),
            (
                "TC | ID | TC | late",
                &["10.0.0.1 Stream", second, "10.0.0.2 Stream", first],
            ),
            (
                "FORMERR; HEADER | FORMERR | a.example A 1.2.3.4 60",
                &[
                    "10.0.0.1 Datagram plain",
                    "10.0.0.2 Datagram plain",
                    "[1.2.3.4] 60",
                ],
            ),
            (
                "SERVFAIL | TC | FORMERR",
                &[second, "10.0.0.2 Stream", "10.0.0.2 Stream plain"],
            ),
        ];
        let start = Instant::now();
        let conf = Rc::new(ResolvConf::parse(TWO_SERVERS));
        for (script, want) in rows {
            let mut question = Question::new(
                &"a.example".into(),
                Family::V4,
                &conf,
                0,
                &mut Ids::new(1),
                start,
            );
            assert_eq!(play(&mut question, script, start), want, "{script}");
        }
    }

    #[test]
    fn each_sending_has_its_own_number_and_time() {
        let start = Instant::now();
        let conf = Rc::new(ResolvConf::parse(TWO_SERVERS));
        let mut ids = Ids::new(1);
        let mut question =
            Question::new(&"a.example".into(), Family::V6, &conf, 3, &mut ids, start);
        assert_eq!(
            question.asking().server.ip(),
            IpAddr::from([10, 0, 0, 2]),
            "the turn says who is first"
        );
        let mut seen = std::collections::BTreeSet::new();
        for tries in 1..=4 {
            let asking = question.asking();
            assert!(seen.insert(asking.nonce));
            assert_eq!(asking.message[..2], (asking.nonce as u16).to_be_bytes());
            assert_eq!(question.deadline(), start + Duration::from_secs(3 * tries));
            let ending = question.expire(&mut ids, question.deadline());
            assert_eq!(ending.is_some(), tries == 4);
        }
    }
}
