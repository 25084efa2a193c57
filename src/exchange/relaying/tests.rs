//! How long a platform may take for a probe.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::super::request::Role;
use super::super::testing::{buffer, core, drain, now};
use super::*;
use crate::net::dial::Origin;
use crate::policy::keyring::KeyId;

/// A probe that is shown `answer` and then nothing.
fn probed(answer: &str, core: &mut Core, begun: Now) -> (Exchange, Step) {
    let (_, key) = core.probes.next(begun).expect("a new key is probed");
    let mut exchange = Exchange::probe(0, key, core, begun);
    let (mut client_input, mut client_output) = (buffer(b""), buffer(b""));
    let (mut input, mut output) = (buffer(answer.as_bytes()), buffer(b""));
    for now in [
        begun,
        begun,
        begun,
        begun,
        begun,
        begun.after(Duration::from_secs(20)),
    ] {
        let mut cx = Cx {
            now,
            core: &mut *core,
            session: 0,
            role: Role::Probe(key),
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            client: Ends {
                input: &mut client_input,
                output: &mut client_output,
                holds_records: false,
                ended: None,
                active_at: now.instant,
            },
            upstream: Upstream::Open(
                Ends {
                    input: &mut input,
                    output: &mut output,
                    holds_records: false,
                    ended: None,
                    // Bytes keep coming, so that it is never idle.
                    active_at: now.instant,
                },
                Origin::Fresh,
            ),
        };
        let (next, step) = exchange.step(&mut cx);
        exchange = next;
        drain(&mut output);
        exchange.on_sent_upstream(now);
        if let Step::Close(_) | Step::Hangup | Step::Abandon | Step::Release = step {
            return (exchange, step);
        }
    }
    panic!("it waits for longer than a probe may take: {answer:?}");
}

#[test]
fn a_probe_ends_in_time_whatever_comes() {
    for (answer, error) in [
        ("", Some("no answer in time")),
        (
            "HTTP/1.1 103 Early Hints\r\n\r\n",
            Some("no final answer in time"),
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", None),
    ] {
        let mut core = core("{}", r#""base_url": "http://platform.example""#);
        let begun = now();
        let (exchange, step) = probed(answer, &mut core, begun);
        assert_eq!(core.keyring.last_error(KeyId(0)), error, "{answer:?}");
        // Nobody awaits what it may still say.
        let is_given_up = matches!(step, Step::Abandon | Step::Close(Reason::Idle));
        assert!(is_given_up, "{answer:?}");
        exchange.abort(&Reason::Idle, &mut core, begun);
    }
}

#[test]
fn a_probe_with_head_awaits_no_body() {
    let platform = r#""base_url": "http://platform.example", "health_check_method": "HEAD""#;
    let mut core = core("{}", platform);
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
    let (exchange, _) = probed(answer, &mut core, now());
    assert!(matches!(exchange, Exchange::Closed), "the answer is whole");
}
