//! Replies of name servers, honest and false, to a query with one question.

use std::net::IpAddr;

/// Record types.
const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;

/// The bits to flip in a reply's header, in byte 2 or 3 counted from 0, to change what it says.
const TRUNCATED: u8 = 0b10;
const NO_SUCH_NAME: u8 = 3;
const SERVER_FAILED: u8 = 2;

/// The addresses of the family that is asked for, valid for this many seconds.
pub fn addressed(query: &[u8], seconds: u32, addresses: &[IpAddr]) -> Vec<u8> {
    let end = question_end(query);
    let asked = u16::from_be_bytes([query[end - 4], query[end - 3]]);
    let records = addresses.iter().map(|address| match address {
        IpAddr::V4(four) => (A, seconds, four.octets().to_vec()),
        IpAddr::V6(six) => (AAAA, seconds, six.octets().to_vec()),
    });
    let records: Vec<_> = records.filter(|(kind, ..)| *kind == asked).collect();
    reply(query, &records)
}

/// A reply in which the name is an alias of itself.
pub fn looped(query: &[u8]) -> Vec<u8> {
    reply(query, &[(CNAME, 60, vec![0xc0, 12])])
}

pub fn no_such_name(query: &[u8]) -> Vec<u8> {
    changed(reply(query, &[]), 3, NO_SUCH_NAME)
}

pub fn server_failed(query: &[u8]) -> Vec<u8> {
    changed(reply(query, &[]), 3, SERVER_FAILED)
}

/// The same reply, marked as too long for a datagram.
pub fn truncated(reply: Vec<u8>) -> Vec<u8> {
    changed(reply, 2, TRUNCATED)
}

/// The same reply to questions that were not asked: with another id, name or class.
pub fn forged(reply: &[u8]) -> Vec<Vec<u8>> {
    let class_end = question_end(reply) - 1;
    let places = [(0, 1), (13, 1), (class_end, 2)];
    let changed = places.map(|(place, bits)| changed(reply.to_vec(), place, bits));
    changed.into()
}

fn changed(mut message: Vec<u8>, place: usize, bits: u8) -> Vec<u8> {
    message[place] ^= bits;
    message
}

/// Where the question of `message` ends, which follows the header.
fn question_end(message: &[u8]) -> usize {
    let name_end = message[12..].iter().position(|byte| *byte == 0);
    12 + name_end.expect("a name ends") + 5
}

/// A reply to `query` with records of the name in its question: type, seconds, data.
fn reply(query: &[u8], records: &[(u16, u32, Vec<u8>)]) -> Vec<u8> {
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
