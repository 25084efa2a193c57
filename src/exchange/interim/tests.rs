//! What an interim answer leaves open: whose time passes, and what is learned of the key.

use super::super::request::Role;
use super::super::testing::{PLATFORM, buffer, core, drain, ends, now, step_between};
use super::*;
use crate::base::buffer::{BUFFER_BYTES, Buffer};
use crate::exchange::upload::Upload;
use crate::net::dial::Origin;
use crate::policy::keyring::{KeyId, KeyState};

/// An exchange to which an interim answer has come.
fn begin(role: Role, core: &mut Core, begun: Now) -> Exchange {
    let mut request = core.new_request(role, begun);
    request.route = Some(0);
    let permit = core.keyring.permit(KeyId(0), begun);
    let upload = Upload::complete(b"", b"", &mut core.blocks, &core.retry_memory);
    let rest = Rest::of(Box::new(upload));
    Exchange::Interim(Interim::begin(request, rest, permit, begun))
}

/// A step at which `answer` has come of the platform.
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
