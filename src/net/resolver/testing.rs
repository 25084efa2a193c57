//! Replies written as text, for the tables in this folder's tests.

use simple_dns::rdata::{CNAME, NULL, RData, SOA};
use simple_dns::{CLASS, Name, Packet, PacketFlag, RCODE, ResourceRecord};

/// A reply to `query`: items separated by `;`. `NAME TYPE VALUE TTL` is an answer (`A`, `AAAA`, `CNAME`, or `RRSIG` for
/// a type that is not understood), `SOA TTL MINIMUM` goes into the authority section, and a single word corrupts the
/// reply or sets its code.
pub fn reply(query: &[u8], items: &str) -> Vec<u8> {
    let asked = Packet::parse(query).expect("a query of ours");
    let mut packet = Packet::new_query(asked.id());
    packet.set_flags(PacketFlag::RESPONSE | PacketFlag::RECURSION_AVAILABLE);
    packet.questions = asked.questions.clone();
    let items: Vec<Vec<&str>> = items
        .split(';')
        .map(|item| item.split_whitespace().collect())
        .collect();
    for item in &items {
        match item[..] {
            [] => {}
            [word] => spoil(&mut packet, word),
            ["SOA", ttl, minimum] => packet
                .name_servers
                .push(zone(ttl.parse().unwrap(), minimum.parse().unwrap())),
            [name, kind, value, ttl] => {
                packet
                    .answers
                    .push(record(name, kind, value, ttl.parse().unwrap()))
            }
            _ => panic!("no such item: {item:?}"),
        }
    }
    let mut bytes = packet
        .build_bytes_vec_compressed()
        .expect("a reply can be written");
    for item in &items {
        match item[..] {
            ["QNAME"] => bytes[13] ^= 1,
            ["QTYPE"] => question_end(&mut bytes)[1] ^= 0b10,
            ["QCLASS"] => question_end(&mut bytes)[3] ^= 0b10,
            ["HEADER"] => {
                bytes.truncate(12);
                bytes[4..12].fill(0);
            }
            ["NOTIFY"] => bytes[2] |= 4 << 3,
            _ => {}
        }
    }
    bytes
}

fn spoil(packet: &mut Packet, word: &str) {
    match word {
        "TC" => packet.set_flags(PacketFlag::TRUNCATION),
        "QUERY" => packet.remove_flags(PacketFlag::RESPONSE),
        "ID" => packet.set_id(packet.id() ^ 1),
        "TWICE" => packet.questions.push(packet.questions[0].clone()),
        "NXDOMAIN" => *packet.rcode_mut() = RCODE::NameError,
        "SERVFAIL" => *packet.rcode_mut() = RCODE::ServerFailure,
        "REFUSED" => *packet.rcode_mut() = RCODE::Refused,
        "FORMERR" => *packet.rcode_mut() = RCODE::FormatError,
        "QNAME" | "QTYPE" | "QCLASS" | "HEADER" | "NOTIFY" => {}
        _ => panic!("no such word: {word}"),
    }
}

fn record<'a>(name: &'a str, kind: &str, value: &'a str, ttl: u32) -> ResourceRecord<'a> {
    let rdata = match kind {
        "A" => RData::A(value.parse::<std::net::Ipv4Addr>().unwrap().into()),
        "AAAA" => RData::AAAA(value.parse::<std::net::Ipv6Addr>().unwrap().into()),
        "CNAME" => RData::CNAME(CNAME(Name::new(value).unwrap())),
        "RRSIG" => RData::NULL(65_280, NULL::new(b"opaque").unwrap()),
        _ => panic!("no such type: {kind}"),
    };
    ResourceRecord::new(Name::new(name).unwrap(), CLASS::IN, ttl, rdata)
}

fn zone(ttl: u32, minimum: u32) -> ResourceRecord<'static> {
    let name = || Name::new("zone.example").unwrap();
    let rdata = SOA {
        mname: name(),
        rname: name(),
        serial: 1,
        refresh: 1,
        retry: 1,
        expire: 1,
        minimum,
    };
    ResourceRecord::new(name(), CLASS::IN, ttl, RData::SOA(rdata))
}

/// The bytes of the question's type and class.
fn question_end(bytes: &mut [u8]) -> &mut [u8] {
    let root = 12
        + bytes[12..]
            .iter()
            .position(|byte| *byte == 0)
            .expect("the question's name ends");
    &mut bytes[root + 1..root + 5]
}
