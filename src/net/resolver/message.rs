//! DNS messages: the query for one name and family, and what a reply to it says. It knows neither servers nor time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use simple_dns::rdata::{OPT, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, ResourceRecord, TYPE};

use super::failure::DnsFailure;

/// Most addresses of one family kept from an answer; more are never tried.
const ADDRESSES_MAX: usize = 16;

/// Most aliases that are followed; real chains have one to four, a loop has no end.
const ALIASES_MAX: usize = 16;

/// A datagram size that no sane path fragments (DNS Flag Day 2020).
pub const DATAGRAM_BYTES_MAX: u16 = 1232;

const HEADER_BYTES: usize = 12;

/// A record's root name, type, class, TTL and length: nothing shorter can be a record.
const RECORD_BYTES_MIN: usize = 11;

/// Response codes (RFC 1035 section 4.1.1).
const NO_ERROR: u8 = 0;
const NAME_ERROR: u8 = 3;

/// Which kind of address is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V6,
    V4,
}

/// How a query is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// With the extension that allows larger datagrams (RFC 6891).
    Extended,
    /// As understood by servers that do not know the extension.
    Plain,
}

/// One query, as it is sent.
pub struct Query {
    pub bytes: Vec<u8>,
    /// Where the question ends in `bytes`.
    question_end: usize,
    family: Family,
}

/// What a received message says.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is not the answer to this query: stale, or sent by an attacker who guesses.
    Foreign,
    /// The answer did not fit into a datagram.
    Truncated,
    /// At least one address. Times to live are in seconds, as the server gave them.
    Addresses {
        addresses: Vec<IpAddr>,
        ttl_seconds: u32,
    },
    /// `NoSuchName` or `NoAddress`.
    Absent {
        failure: DnsFailure,
        ttl_seconds: u32,
    },
    /// A response code other than success and NXDOMAIN.
    Error { code: u8 },
    /// It is the answer to this query but cannot be understood.
    Garbled,
}

impl Query {
    /// `name` is a host's name without a trailing dot (`name::is_host_name`).
    pub fn new(name: &str, family: Family, form: Form, id: u16) -> Query {
        let mut packet = Packet::new_query(id);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        let qname = Name::new(name).expect("a host's name is a DNS name");
        let kind = match family {
            Family::V6 => TYPE::AAAA,
            Family::V4 => TYPE::A,
        };
        packet
            .questions
            .push(Question::new(qname, kind.into(), CLASS::IN.into(), false));
        match form {
            Form::Plain => {}
            Form::Extended => {
                *packet.opt_mut() = Some(OPT {
                    opt_codes: Vec::new(),
                    udp_packet_size: DATAGRAM_BYTES_MAX,
                    version: 0,
                });
            }
        }
        Query {
            bytes: packet
                .build_bytes_vec()
                .expect("writing to memory does not fail"),
            // The labels' length bytes replace the dots, with one more in front and the root's at the end; type, class.
            question_end: HEADER_BYTES + name.len() + 2 + 4,
            family,
        }
    }

    /// What `message` says in answer to this query.
    pub fn read(&self, message: &[u8]) -> Reply {
        let Some((header, body)) = message.split_at_checked(HEADER_BYTES) else {
            return Reply::Foreign;
        };
        let number = |place: usize| u16::from_be_bytes([header[place], header[place + 1]]);
        let is_response = header[2] & 0b1111_1000 == 0b1000_0000; // of opcode QUERY
        if number(0) != self.id() || !is_response {
            return Reply::Foreign;
        }
        let code = header[3] & 0b1111;
        // A server that does not understand a query may not even repeat its question.
        if body.is_empty() && number(4) == 0 && code != NO_ERROR {
            return Reply::Error { code };
        }
        // The first name of a message cannot be compressed: the question is repeated as it was sent, except for case.
        let question = &self.bytes[HEADER_BYTES..self.question_end];
        let repeated = body.get(..question.len());
        if number(4) != 1 || !repeated.is_some_and(|bytes| bytes.eq_ignore_ascii_case(question)) {
            return Reply::Foreign;
        }
        if header[2] & 0b10 != 0 {
            return Reply::Truncated;
        }
        if code != NO_ERROR && code != NAME_ERROR {
            return Reply::Error { code };
        }
        // The library allocates room for as many records as the header announces.
        let promised = usize::from(number(6)) + usize::from(number(8)) + usize::from(number(10));
        if promised > body.len() / RECORD_BYTES_MIN {
            return Reply::Garbled;
        }
        match Packet::parse(message) {
            Ok(packet) => self.read_records(&packet, code),
            Err(_) => Reply::Garbled,
        }
    }

    /// The same for a message from a stream, where "truncated" has no remedy: it is read as far as it goes.
    pub fn read_whole(&self, message: &mut [u8]) -> Reply {
        if let Some(flags) = message.get_mut(2) {
            *flags &= !0b10;
        }
        self.read(message)
    }

    fn id(&self) -> u16 {
        u16::from_be_bytes([self.bytes[0], self.bytes[1]])
    }

    fn read_records(&self, packet: &Packet, code: u8) -> Reply {
        let failure = match code {
            NAME_ERROR => DnsFailure::NoSuchName,
            _ => match self.follow(packet) {
                None => return Reply::Garbled,
                Some((addresses, ttl_seconds)) if !addresses.is_empty() => {
                    return Reply::Addresses {
                        addresses,
                        ttl_seconds,
                    };
                }
                Some((_none, _)) => DnsFailure::NoAddress,
            },
        };
        Reply::Absent {
            failure,
            ttl_seconds: negative_ttl_seconds(packet),
        }
    }

    /// The addresses at the end of the aliases, with the shortest time to live in the chain; `None` for a loop.
    fn follow(&self, packet: &Packet) -> Option<(Vec<IpAddr>, u32)> {
        let mut name = &packet.questions.first()?.qname;
        let mut ttl_seconds = u32::MAX;
        for _ in 0..=ALIASES_MAX {
            let records = || {
                packet
                    .answers
                    .iter()
                    .filter(|record| record.name == *name && record.class == CLASS::IN)
            };
            let mut addresses = Vec::new();
            for record in records() {
                if let Some(address) = self.address(record)
                    && addresses.len() < ADDRESSES_MAX
                {
                    addresses.push(address);
                    ttl_seconds = ttl_seconds.min(sane_ttl_seconds(record.ttl));
                }
            }
            let alias = records().find_map(|record| match &record.rdata {
                RData::CNAME(target) => Some((&target.0, record.ttl)),
                _ => None,
            });
            match alias {
                Some((target, ttl)) if addresses.is_empty() => {
                    name = target;
                    ttl_seconds = ttl_seconds.min(sane_ttl_seconds(ttl));
                }
                Some(_) | None => return Some((addresses, ttl_seconds)),
            }
        }
        None
    }

    fn address(&self, record: &ResourceRecord) -> Option<IpAddr> {
        match (self.family, &record.rdata) {
            (Family::V4, RData::A(found)) => Some(Ipv4Addr::from(found.address).into()),
            (Family::V6, RData::AAAA(found)) => Some(Ipv6Addr::from(found.address).into()),
            (Family::V4 | Family::V6, _) => None,
        }
    }
}

/// How long an absence holds (RFC 2308 section 5); zero if no SOA record says so.
fn negative_ttl_seconds(packet: &Packet) -> u32 {
    let of_zone = packet
        .name_servers
        .iter()
        .find_map(|record| match &record.rdata {
            RData::SOA(zone) => {
                Some(sane_ttl_seconds(record.ttl).min(sane_ttl_seconds(zone.minimum)))
            }
            _ => None,
        });
    of_zone.unwrap_or(0)
}

/// A time to live with its highest bit set is zero (RFC 2181 section 8).
fn sane_ttl_seconds(ttl: u32) -> u32 {
    if ttl > i32::MAX as u32 { 0 } else { ttl }
}

#[cfg(test)]
mod tests {
    use super::super::testing::reply;
    use super::*;

    const ID: u16 = 0x1234;

    fn query(family: Family) -> Query {
        Query::new("www.example", family, Form::Extended, ID)
    }

    fn addresses(texts: &[&str], ttl_seconds: u32) -> Reply {
        let addresses = texts.iter().map(|text| text.parse().unwrap()).collect();
        Reply::Addresses {
            addresses,
            ttl_seconds,
        }
    }

    fn absent(failure: DnsFailure, ttl_seconds: u32) -> Reply {
        Reply::Absent {
            failure,
            ttl_seconds,
        }
    }

    #[test]
    fn queries_are_written_to_the_byte() {
        let question = b"\x03www\x07example\x00\x00\x1c\x00\x01";
        let extension = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";
        let extended = [
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01",
            &question[..],
            extension,
        ]
        .concat();
        let plain = [
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00",
            &question[..],
        ]
        .concat();
        for (form, want) in [(Form::Extended, extended), (Form::Plain, plain)] {
            let query = Query::new("www.example", Family::V6, form, ID);
            assert_eq!(query.bytes, want, "{form:?}");
            assert_eq!(&query.bytes[HEADER_BYTES..query.question_end], question);
        }
    }

    #[test]
    fn what_replies_say() {
        let none = DnsFailure::NoAddress;
        let chain: String = (0..16)
            .map(|n| format!("a{n}.x CNAME a{}.x 5; ", n + 1))
            .collect();
        let too_long = format!("www.example CNAME a0.x 5; {chain} a16.x A 1.2.3.4 5");
        let many: String = (0..20)
            .map(|n| format!("www.example A 10.0.0.{n} 5; "))
            .collect();
        let rows = [
            ("www.example A 1.2.3.4 60", addresses(&["1.2.3.4"], 60)),
            ("WWW.Example A 1.2.3.4 60", addresses(&["1.2.3.4"], 60)),
            (
                "www.example A 1.2.3.4 60; www.example A 1.2.3.5 30",
                addresses(&["1.2.3.4", "1.2.3.5"], 30),
            ),
            (
                "www.example CNAME e.x 20; e.x A 1.2.3.4 60",
                addresses(&["1.2.3.4"], 20),
            ),
            (
                "e.x A 1.2.3.4 60; f.x CNAME e.x 9; www.example CNAME f.x 70",
                addresses(&["1.2.3.4"], 9),
            ),
            (
                "www.example A 1.2.3.4 4294967295",
                addresses(&["1.2.3.4"], 0),
            ),
            (
                "www.example A 1.2.3.4 2147483647",
                addresses(&["1.2.3.4"], i32::MAX as u32),
            ),
            (
                "www.example RRSIG - 5; www.example A 1.2.3.4 60",
                addresses(&["1.2.3.4"], 60),
            ),
            ("other.example A 1.2.3.4 60", absent(none, 0)),
            ("www.example AAAA ::1 60", absent(none, 0)),
            ("www.example CNAME e.x 20", absent(none, 0)),
            ("www.example CNAME e.x 20; SOA 15 40", absent(none, 15)),
            ("", absent(none, 0)),
            ("SOA 300 20", absent(none, 20)),
            ("NXDOMAIN; SOA 7 900", absent(DnsFailure::NoSuchName, 7)),
            (
                "NXDOMAIN; www.example A 1.2.3.4 60",
                absent(DnsFailure::NoSuchName, 0),
            ),
            ("www.example CNAME www.example 5", Reply::Garbled),
            (
                "www.example CNAME e.x 5; e.x CNAME www.example 5",
                Reply::Garbled,
            ),
            (&too_long, Reply::Garbled),
            ("SERVFAIL", Reply::Error { code: 2 }),
            ("REFUSED", Reply::Error { code: 5 }),
            ("FORMERR; HEADER", Reply::Error { code: 1 }),
            ("TC; www.example A 1.2.3.4 60", Reply::Truncated),
            ("HEADER", Reply::Foreign),
            ("QUERY; www.example A 1.2.3.4 60", Reply::Foreign),
            ("NOTIFY; www.example A 1.2.3.4 60", Reply::Foreign),
            ("ID; www.example A 1.2.3.4 60", Reply::Foreign),
            ("TC; ID", Reply::Foreign),
            ("QNAME; www.example A 1.2.3.4 60", Reply::Foreign),
            ("QTYPE; www.example A 1.2.3.4 60", Reply::Foreign),
            ("QCLASS; www.example A 1.2.3.4 60", Reply::Foreign),
            ("TWICE; www.example A 1.2.3.4 60", Reply::Foreign),
        ];
        let query_v4 = query(Family::V4);
        for (text, want) in rows {
            assert_eq!(query_v4.read(&reply(&query_v4.bytes, text)), want, "{text}");
        }
        let Reply::Addresses {
            addresses: found, ..
        } = query_v4.read(&reply(&query_v4.bytes, &many))
        else {
            panic!("a long answer is an answer");
        };
        assert_eq!(found.len(), ADDRESSES_MAX);
        let query_v6 = query(Family::V6);
        let both = reply(
            &query_v6.bytes,
            "www.example A 1.2.3.4 60; www.example AAAA fd00::1 60",
        );
        assert_eq!(query_v6.read(&both), addresses(&["fd00::1"], 60));
    }

    #[test]
    fn the_longest_name_can_be_asked_for() {
        let label = "a".repeat(63);
        let name = format!("{label}.{label}.{label}.{}", "b".repeat(61));
        let query = Query::new(&name, Family::V4, Form::Plain, ID);
        assert_eq!(query.question_end, query.bytes.len());
        let answer = reply(&query.bytes, &format!("{name} A 1.2.3.4 60"));
        assert_eq!(query.read(&answer), addresses(&["1.2.3.4"], 60));
    }

    #[test]
    fn a_stream_has_no_larger_place_to_go_to() {
        let query = query(Family::V4);
        let mut message = reply(&query.bytes, "TC; www.example A 1.2.3.4 60");
        assert_eq!(query.read_whole(&mut message), addresses(&["1.2.3.4"], 60));
        assert_eq!(query.read_whole(&mut []), Reply::Foreign);
    }

    #[test]
    fn cut_and_broken_replies_are_refused_everywhere() {
        let query = query(Family::V4);
        let whole = reply(
            &query.bytes,
            "www.example CNAME e.x 20; e.x A 1.2.3.4 60; SOA 300 20",
        );
        for end in 0..whole.len() {
            let want = if end < query.question_end {
                Reply::Foreign
            } else {
                Reply::Garbled
            };
            assert_eq!(query.read(&whole[..end]), want, "cut at {end}");
        }
        for place in 0..whole.len() {
            for bit in 0..8 {
                let mut broken = whole.clone();
                broken[place] ^= 1 << bit;
                let _any_but_a_panic = query.read(&broken);
            }
        }
        let mut promising = whole.clone();
        promising[6..12].fill(0xff);
        assert_eq!(
            query.read(&promising),
            Reply::Garbled,
            "records that are not there"
        );
    }
}
