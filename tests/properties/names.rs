//! Any DNS replies: a foreign one is recognised as such, what is found is of the family that was asked for, and every
//! lookup ends, with its waiter woken once.

use std::io::ErrorKind;
use std::time::Duration;

use ai_api_proxy::base::now::Now;
use ai_api_proxy::net::resolver::core::Core;
use ai_api_proxy::net::resolver::message::{Family, Form, Query, Reply};
use ai_api_proxy::net::resolver::{Lookup, SOCKETS_MAX};

use super::input::{choices, now, steps};

const CONF: &str = "nameserver 10.0.0.1\nnameserver 10.0.0.2\nsearch a.example b.example\noptions timeout:1 attempts:2";

/// The most addresses of one family that are kept.
const ADDRESSES_MAX: usize = 16;

/// The most deadlines that two names on two servers may meet; far more than there are.
const DEADLINES_MAX: usize = 1000;

/// `data`: how queries are asked, then steps: `m` a message as it is, `r` one with the query's id and question, `f` a
/// fault, `w` time, `l` another lookup.
pub fn check(mut data: &[u8]) {
    let [flags] = choices(&mut data);
    for (kind, bytes) in steps(data) {
        check_message(kind, bytes, flags);
    }
    check_lookups(data, flags);
}

fn check_message(kind: u8, bytes: &[u8], flags: u8) {
    let family = match flags & 1 {
        0 => Family::V4,
        _ => Family::V6,
    };
    let form = match flags & 2 {
        0 => Form::Extended,
        _ => Form::Plain,
    };
    let query = Query::new("www.example", family, form, 0x1234);
    let mut message = match kind {
        b'r' => answering(&query.bytes, bytes),
        _ => bytes.to_vec(),
    };
    let reply = query.read(&message);
    let is_foreign = message.len() < 12 || message[..2] != query.bytes[..2] || message[2] < 0x80;
    if is_foreign {
        assert_eq!(reply, Reply::Foreign);
    }
    check_reply(&reply, family);
    let whole = query.read_whole(&mut message);
    assert_ne!(whole, Reply::Truncated);
    check_reply(&whole, family);
}

fn check_reply(reply: &Reply, family: Family) {
    match reply {
        Reply::Addresses {
            addresses,
            ttl_seconds,
        } => {
            assert!((1..=ADDRESSES_MAX).contains(&addresses.len()));
            let is_asked = family == Family::V6;
            assert!(
                addresses
                    .iter()
                    .all(|address| address.is_ipv6() == is_asked)
            );
            assert!(*ttl_seconds <= i32::MAX as u32);
        }
        Reply::Absent { ttl_seconds, .. } => assert!(*ttl_seconds <= i32::MAX as u32),
        Reply::Error { code } => assert!((1..16).contains(code)),
        Reply::Foreign | Reply::Truncated | Reply::Garbled => {}
    }
}

/// A message with the id and question of `query`; `bytes` are flags, counts of records, and the records.
fn answering(query: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes;
    let [flags, code, answers, authorities, additional] = choices(&mut bytes);
    let root = 12
        + query[12..]
            .iter()
            .position(|byte| *byte == 0)
            .expect("a name ends");
    let mut message = query[..2].to_vec();
    message.extend([
        0x80 | flags,
        code,
        0,
        1,
        0,
        answers,
        0,
        authorities,
        0,
        additional,
    ]);
    message.extend_from_slice(&query[12..root + 5]);
    message.extend_from_slice(bytes);
    message
}

fn check_lookups(data: &[u8], flags: u8) {
    let mut now = now();
    let mut core = Core::new("10.1.1.1 known.example", CONF, u64::from(flags));
    let mut waiting = vec![false; 3];
    let mut looked_up = 0;
    for (kind, bytes) in [(b'l', &b""[..])].into_iter().chain(steps(data)) {
        let mut bytes = bytes;
        let [choice] = choices(&mut bytes);
        let slot = usize::from(choice) % SOCKETS_MAX;
        match kind {
            b'l' if looked_up < waiting.len() => {
                let names = ["www.example", "short", "known.example"];
                let name = names[usize::from(choice) % names.len()];
                let found = core.lookup(name, looked_up, now);
                waiting[looked_up] = found == Lookup::Pending;
                looked_up += 1;
            }
            b'r' => {
                let answer = core
                    .asking(slot)
                    .map(|asking| answering(asking.message, bytes));
                if let Some(mut answer) = answer {
                    core.on_message(slot, &mut answer, now);
                }
            }
            b'm' => core.on_message(slot, &mut bytes.to_vec(), now),
            b'f' => core.on_fault(slot, &ErrorKind::ConnectionRefused.into(), now),
            b'w' => {
                now = now.after(Duration::from_millis(u64::from(choice) * 20));
                core.expire(now);
            }
            _ => {}
        }
        take_woken(&mut core, &mut waiting);
    }
    end(&mut core, &mut waiting, now);
}

fn take_woken(core: &mut Core, waiting: &mut [bool]) {
    while let Some(waiter) = core.take_woken() {
        assert!(std::mem::take(&mut waiting[waiter]), "woken for nothing");
    }
}

/// No more replies come: everything ends by itself.
fn end(core: &mut Core, waiting: &mut [bool], mut now: Now) {
    let mut deadlines = 0;
    while let Some(at) = core.deadline() {
        now = now.after(at.saturating_duration_since(now.instant));
        core.expire(now);
        deadlines += 1;
        assert!(deadlines < DEADLINES_MAX, "it asks for ever");
    }
    take_woken(core, waiting);
    assert!(!waiting.contains(&true), "somebody waits for ever");
    assert!((0..SOCKETS_MAX).all(|slot| core.asking(slot).is_none()));
}
