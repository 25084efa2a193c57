//! What an interim answer leaves open: whose time passes, and what is learned of the key.

use super::super::request::Role;
use super::super::testing::{self, PLATFORM, buffer, core, drain, ends, now, shown, step_between};
use super::*;
use crate::base::buffer::{BUFFER_BYTES, Buffer};
use crate::exchange::upload::{Limits, Upload};
use crate::http::Framing;
use crate::net::connection::Ended;
use crate::net::dial::Origin;
use crate::policy::keyring::{KeyId, KeyState};
use std::time::Duration;

/// An exchange that has received an interim answer, after the whole request was sent.
fn begin(role: Role, core: &mut Core, begun: Now) -> Exchange {
    begin_within(Framing::None, role, core, begun)
}

/// The same before a body has arrived.
fn begin_within(framing: Framing, role: Role, core: &mut Core, begun: Now) -> Exchange {
    let mut request = core.new_request(role, begun);
    request.route = Some(0);
    let permit = core.keyring.permit(KeyId(0), begun);
    let limits = Limits::of(&core.site);
    let upload = Upload::new(b"", framing, limits, &mut core.blocks, &core.retry_memory);
    let rest = Rest::of(Box::new(upload));
    Exchange::Interim(Interim::begin(request, rest, permit, begun))
}

/// A step at which `answer` has arrived from the platform.
fn step(
    exchange: Exchange,
    answer: &[u8],
    to_client: &mut Buffer,
    core: &mut Core,
    now: Now,
) -> Exchange {
    let [mut from_client, mut input, mut output] = [b"", answer, b""].map(buffer);
    let client = ends(&mut from_client, to_client, now);
    let upstream = Upstream::Open(ends(&mut input, &mut output, now), Origin::Fresh);
    step_between(exchange, client, upstream, core, now).0
}

#[test]
fn a_400_behind_an_interim_answer_says_nothing_good_of_its_key() {
    let answer =
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 28\r\n\r\n{\"reason\":\"API_KEY_INVALID\"}";
    let (mut core, begun) = (core("{}", PLATFORM), now());
    let (_, key) = core.probes.next(begun).expect("a new key is probed");
    let exchange = begin(Role::Probe(key), &mut core, begun);
    let exchange = step(exchange, answer, &mut buffer(b""), &mut core, begun);
    assert!(matches!(exchange, Exchange::Relaying(_)));
    let mut keys = core.keyring.views(core.site.routes[0].id, begun);
    let state = keys.next().map(|key| key.state);
    assert_eq!(state, Some(KeyState::Unknown));
    drop(keys);
    exchange.abort(&Reason::Idle, &mut core, begun);
}

#[test]
fn the_platforms_time_stands_still_until_the_client_has_taken_what_it_was_sent() {
    let (mut core, begun) = (core("{}", PLATFORM), now());
    let patience = core.site.settings.response_timeout;
    let mut to_client = buffer(&[0; BUFFER_BYTES]);
    let exchange = begin(Role::Proxy, &mut core, begun);
    let exchange = step(exchange, b"", &mut to_client, &mut core, begun);
    drain(&mut to_client);
    let taken = begun.after(patience);
    let exchange = step(exchange, b"", &mut to_client, &mut core, taken);
    assert!(matches!(exchange, Exchange::Interim(_)), "its time begins");
    let late = taken.after(patience);
    let exchange = step(exchange, b"", &mut to_client, &mut core, late);
    assert!(matches!(exchange, Exchange::Replying(_)), "it is over");
    exchange.abort(&Reason::Idle, &mut core, late);
}

#[test]
fn a_head_is_looked_for_while_the_client_is_behind() {
    let (mut core, begun) = (core("{}", PLATFORM), now());
    let exchange = begin(Role::Proxy, &mut core, begun);
    assert!(exchange.wants_upstream(true));
    exchange.abort(&Reason::Idle, &mut core, begun);
}

#[test]
fn the_platforms_time_does_not_pass_while_the_request_is_sent() {
    let settings = r#"{"response_timeout_seconds": 2, "idle_timeout_seconds": 10}"#;
    // (when each byte of a body of four arrives, whether the platform has taken them, when the exchange is looked at,
    // whether the platform has closed by then, what the client is told, whether the key is to blame)
    let (some, all) = (vec![5, 14], vec![5, 14, 20, 25]);
    let rows = [
        (&all, true, 26, false, None, false),
        (&all, true, 27, false, Some("upstream_timeout"), true),
        (&some, true, 23, false, None, false),
        (&some, true, 24, false, Some("request_timeout"), false),
        (&some, false, 24, false, Some("upstream_timeout"), true),
        (&some, true, 18, true, Some("upstream_error"), true),
        (&some, true, 19, true, Some("request_timeout"), false),
    ];
    for (bytes_at, is_taken, looked_at, has_closed, told, is_blamed) in rows {
        let (mut core, begun) = (core(settings, PLATFORM), now());
        let mut exchange = begin_within(Framing::Length(4), Role::Proxy, &mut core, begun);
        let [mut to_client, mut to_platform] = [b"", b""].map(|none| buffer(none));
        let mut active_at = begun;
        let bytes = bytes_at.iter().map(|second| (*second, &b"x"[..]));
        for (second, sent) in bytes.chain([(looked_at, &b""[..])]) {
            let now = begun.after(Duration::from_secs(second));
            let is_last = sent.is_empty();
            active_at = if is_last { active_at } else { now };
            let [mut from_client, mut input] = [sent, b""].map(buffer);
            let client = ends(&mut from_client, &mut to_client, active_at);
            let upstream = Ends {
                ended: (is_last && has_closed).then_some(Ended::Cleanly),
                ..ends(&mut input, &mut to_platform, active_at)
            };
            let upstream = Upstream::Open(upstream, Origin::Fresh);
            exchange = step_between(exchange, client, upstream, &mut core, now).0;
            if is_taken {
                drain(&mut to_platform);
            }
        }
        let over = begun.after(Duration::from_secs(looked_at));
        let row = format!("{bytes_at:?} {looked_at} {told:?}");
        let is_over = matches!(exchange, Exchange::Replying(_));
        assert_eq!(is_over, told.is_some(), "{row}");
        assert_eq!(
            core.keyring.error(KeyId(0), now()).is_some(),
            is_blamed,
            "{row}"
        );
        if let Some(told) = told {
            let answer;
            (exchange, answer) = testing::step(exchange, b"", &mut core, over);
            assert!(shown(&answer).contains(told), "{row}: {}", shown(&answer));
        }
        exchange.abort(&Reason::Idle, &mut core, begun);
    }
}

#[test]
fn a_platform_that_gives_up_on_a_silent_client_has_not_failed() {
    let answer = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n";
    for (given_up_at, is_blamed) in [(4, true), (5, false)] {
        let (mut core, begun) = (core("{}", PLATFORM), now());
        let exchange = begin_within(Framing::Length(4), Role::Proxy, &mut core, begun);
        let [mut from_client, mut to_client, mut output] = [b"", b"", b""].map(|none| buffer(none));
        let mut input = buffer(answer);
        let client = ends(&mut from_client, &mut to_client, begun);
        let upstream = Upstream::Open(ends(&mut input, &mut output, begun), Origin::Fresh);
        let now = begun.after(Duration::from_secs(given_up_at));
        let (exchange, _) = step_between(exchange, client, upstream, &mut core, now);
        let found = core.keyring.error(KeyId(0), now).is_some();
        exchange.abort(&Reason::ClientGone, &mut core, begun);
        assert_eq!(found, is_blamed, "{given_up_at}");
    }
}
