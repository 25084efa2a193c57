//! What a try waits for, and which permit the next one has.

use super::*;
use crate::base::buffer::Buffer;
use crate::exchange::testing::{self, PLATFORM, buffer, drain, ends, step_between};
use crate::exchange::upload::Limits;
use crate::http::Framing;
use crate::policy::testing::rejected;
use std::time::Duration;

/// A step while the platform takes no output. It may have answered.
fn step(trying: Trying, output: &mut Buffer, answer: &[u8], core: &mut Core, now: Now) -> Exchange {
    step_at_end(trying, output, answer, None, core, now).0
}

/// The same where the platform may have ended the connection after its answer.
fn step_at_end(
    trying: Trying,
    output: &mut Buffer,
    answer: &[u8],
    ended: Option<Ended>,
    core: &mut Core,
    now: Now,
) -> (Exchange, Step) {
    let [mut from_client, mut to_client, mut input] = [b"", b"", answer].map(buffer);
    let active_at = trying.request.started;
    let client = ends(&mut from_client, &mut to_client, active_at);
    let upstream = Ends {
        ended,
        ..ends(&mut input, output, active_at)
    };
    let upstream = Upstream::Open(upstream, Origin::Pooled);
    step_between(Exchange::Trying(trying), client, upstream, core, now)
}

/// The first try of a request that has arrived completely.
fn begin(core: &mut Core, begun: Now) -> Trying {
    let (request, permit) = testing::permitted(core, begun);
    let upload = Upload::complete(b"", b"{}", &mut core.blocks, &core.retry_memory);
    match Trying::begin(request, Box::new(upload), Vec::new(), permit, begun).0 {
        Exchange::Trying(trying) => trying,
        _ => panic!("it tries"),
    }
}

#[test]
fn the_time_to_take_a_request_begins_with_it() {
    let mut core = testing::core("{}", PLATFORM);
    let patience = core.site.settings.idle_timeout;
    let begun = testing::now().after(patience * 2);
    let mut trying = begin(&mut core, begun);
    let mut output = buffer(b"");
    for (waited, is_over) in [
        (Duration::ZERO, false),
        (patience - Duration::from_millis(1), false),
        (patience, true),
    ] {
        let at = begun.after(waited);
        trying = match step(trying, &mut output, b"", &mut core, at) {
            Exchange::Trying(trying) if !is_over => trying,
            Exchange::Replying(_) if is_over => return,
            next => {
                next.abort(&Reason::Bug, &mut core, begun);
                panic!("after {waited:?}: it should be over: {is_over}");
            }
        };
    }
}

#[test]
fn a_dial_that_takes_too_long_says_what_it_is_at() {
    let rows = [
        (Progress::Resolving, "resolving its name took too long"),
        (Progress::Connecting, "connecting took too long"),
        (Progress::Handshaking, "the TLS handshake took too long"),
    ];
    for (progress, what) in rows {
        let mut core = testing::core("{}", PLATFORM);
        let patience = core.site.settings.connect_timeout;
        let begun = testing::now();
        let mut next = Exchange::Trying(begin(&mut core, begun));
        for waited in [patience - Duration::from_millis(1), patience] {
            assert!(matches!(next, Exchange::Trying(_)), "{what} {waited:?}");
            let [mut from_client, mut to_client] = [b"".as_slice(); 2].map(buffer);
            let client = ends(&mut from_client, &mut to_client, begun);
            let (upstream, at) = (Upstream::Dialing(progress), begun.after(waited));
            next = step_between(next, client, upstream, &mut core, at).0;
        }
        next.abort(&Reason::ClientGone, &mut core, begun);
        assert_eq!(core.keyring.error(KeyId(0), begun), Some(what));
    }
}

#[test]
fn the_key_of_the_next_try_cannot_be_lost_to_others() {
    let mut core = testing::core_with_keys("{}", r#"["sk-1", "sk-2"]"#, PLATFORM);
    let now = testing::now();
    let trying = begin(&mut core, now);
    let answer = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";
    let next = step(trying, &mut buffer(b""), answer, &mut core, now);
    // Now another request runs, for which the platform rejects the last key that is left.
    let last = core.site.routes[0].keys[1];
    let permit = core.keyring.permit(last, now);
    core.keyring.learn(&permit, rejected(), now);
    permit.release();
    let in_flight = |core: &Core| -> Vec<u32> {
        let keys = core.keyring.views(core.site.routes[0].id, now);
        keys.map(|key| key.in_flight).collect()
    };
    assert_eq!(in_flight(&core), [0, 1], "its permit is the last key's");
    next.abort(&Reason::ClientGone, &mut core, now);
    assert_eq!(in_flight(&core), [0, 0]);
}

#[test]
fn interim_answers_that_the_client_does_not_get_leave_the_way_to_other_keys() {
    let failed = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".as_slice();
    let interim = b"HTTP/1.1 103 Early Hints\r\n\r\n".as_slice();
    // (interim answers, what follows, how that ends)
    let rows = [
        (1, failed, None),
        (2, failed, None),
        (INTERIM_MAX, interim, None),
        (1, b"".as_slice(), Some(Ended::Cleanly)),
    ];
    for (interims, last, ended) in rows {
        let mut core = testing::core_with_keys("{}", r#"["sk-1", "sk-2"]"#, PLATFORM);
        let now = testing::now();
        let mut trying = begin(&mut core, now);
        trying.request.version = Version::Http10;
        let [first, second] = [0, 1].map(|place| core.site.routes[0].keys[place]);
        let answers = std::iter::repeat_n((interim, None), interims as usize);
        for (answer, ended) in answers.chain([(last, ended)]) {
            assert_eq!(trying.permit.key(), first);
            let next = step_at_end(trying, &mut buffer(b""), answer, ended, &mut core, now);
            trying = match next.0 {
                Exchange::Trying(trying) => trying,
                _ => panic!("nothing has been sent to the client"),
            };
        }
        assert_eq!((trying.permit.key(), trying.request.tries), (second, 2));
        assert_eq!(trying.request.interims, 0);
        Exchange::Trying(trying).abort(&Reason::ClientGone, &mut core, now);
    }
}

#[test]
fn a_connection_is_used_again_if_nothing_is_left_on_it_either_way() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".as_slice();
    let with_more = &[answer, b"HTTP"].concat();
    // (whether the request has been sent, what arrives and how that ends, whether the connection is kept)
    let without_body = b"HTTP/1.1 204 No\r\n\r\n".as_slice();
    for (is_taken, answer, ended, is_kept) in [
        (true, answer, None, true),
        // Some platforms send a body where none is allowed, a little later.
        (true, without_body, None, false),
        (false, answer, None, false),
        (true, with_more, None, false),
        (true, answer, Some(Ended::Cleanly), false),
    ] {
        let mut core = testing::core("{}", PLATFORM);
        let now = testing::now();
        let trying = begin(&mut core, now);
        let mut output = buffer(b"");
        let Exchange::Trying(trying) = step(trying, &mut output, b"", &mut core, now) else {
            panic!("nothing has come");
        };
        if is_taken {
            drain(&mut output);
        }
        let (_, step) = step_at_end(trying, &mut output, answer, ended, &mut core, now);
        assert_eq!(matches!(step, Step::Release), is_kept);
    }
}

#[test]
fn a_pooled_connection_that_died_unused_is_replaced_by_a_fresh_one() {
    let mut core = testing::core("{}", PLATFORM);
    let now = testing::now();
    let trying = begin(&mut core, now);
    let (ended, mut output) = (Some(Ended::Cleanly), buffer(b""));
    let (next, step) = step_at_end(trying, &mut output, b"", ended, &mut core, now);
    let Exchange::Trying(trying) = next else {
        panic!("it has failed nobody");
    };
    assert_eq!(trying.request.tries, 1);
    let is_fresh = matches!(
        step,
        Step::Dial {
            reuse: Reuse::No,
            ..
        }
    );
    assert!(is_fresh, "the others in the pool may have died with it");
    Exchange::Trying(trying).abort(&Reason::ClientGone, &mut core, now);
}

/// Of a body that is too large to be kept whole, the beginning has been sent.
#[test]
fn a_large_upload_survives_a_pooled_connection_that_was_closing() {
    // (the settings, whether the connection comes from the pool, whether another one is dialed, whether the key failed)
    for (settings, origin, is_dialed, has_failed) in [
        ("{}", Origin::Pooled, true, false),
        // Without what is gone it cannot be sent again, which is not the platform's failure.
        (
            r#"{"retry_buffer_bytes": 1000}"#,
            Origin::Pooled,
            false,
            false,
        ),
        (
            r#"{"retry_buffer_bytes": 1000}"#,
            Origin::Fresh,
            false,
            true,
        ),
    ] {
        let mut core = testing::core(settings, PLATFORM);
        let now = testing::now();
        let (request, permit) = testing::permitted(&mut core, now);
        let (framing, limits) = (Framing::Length(2 << 20), Limits::of(&core.site));
        let upload = Upload::new(b"", framing, limits, &mut core.blocks, &core.retry_memory);
        let next = Trying::begin(request, Box::new(upload), vec![], permit, now).0;
        let [mut from_client, mut to_client] = [&[b'a'; 50_000][..], b""].map(buffer);
        let [mut input, mut output] = [b"".as_slice(); 2].map(buffer);
        let client = ends(&mut from_client, &mut to_client, now);
        let upstream = Ends {
            ended: Some(Ended::Broken(std::io::ErrorKind::ConnectionReset)),
            ..ends(&mut input, &mut output, now)
        };
        let upstream = Upstream::Open(upstream, origin);
        let (next, step) = step_between(next, client, upstream, &mut core, now);
        assert!(output.len() > 50_000, "it has been handed on");
        assert_eq!(matches!(step, Step::Dial { .. }), is_dialed);
        assert_eq!(core.keyring.error(KeyId(0), now).is_some(), has_failed);
        next.abort(&Reason::ClientGone, &mut core, now);
    }
}

#[test]
fn a_try_that_failed_counts_as_one_and_not_as_a_refusal() {
    let mut core = testing::core("{}", PLATFORM);
    let now = testing::now();
    // Even a pooled connection was not closed unused if something arrived on it.
    let (trying, ended) = (begin(&mut core, now), Some(Ended::Cleanly));
    let mut output = buffer(b"");
    let (mut next, _) = step_at_end(trying, &mut output, b"HTTP", ended, &mut core, now);
    assert!(matches!(next, Exchange::Replying(_)));
    while let Exchange::Replying(_) = next {
        (next, _) = testing::step(next, b"", &mut core, now);
    }
    assert_eq!(core.figures.refusals().next(), None);
    core.enter_finished();
    let last = core.figures.recent().newest_first().next();
    let last = last.map(|request| (request.status, request.code, request.tries));
    assert_eq!(last, Some((Some(502), Some("upstream_error"), 1)));
}

#[test]
fn a_400_is_looked_into_as_long_as_more_of_it_may_come_and_may_matter() {
    let mut core = testing::core("{}", PLATFORM);
    let begun = testing::now();
    let patience = core.site.settings.idle_timeout + Duration::from_secs(1);
    let part = "HTTP/1.1 400 Bad Request\r\nContent-Length: 9\r\n\r\n{\"a".to_string();
    let long = "HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n".to_string()
        + &"1;extension=1\r\nx\r\n".repeat(4000);
    let rows = [
        (&part, None, Duration::ZERO, false),
        (&part, None, patience, true),
        (&part, Some(Ended::Cleanly), Duration::ZERO, true),
        (&long, None, Duration::ZERO, true),
    ];
    for (answer, ended, waited, is_passed_on) in rows {
        let (trying, mut output) = (begin(&mut core, begun), buffer(b""));
        let answer = answer.as_bytes();
        let (mut next, _) = step_at_end(trying, &mut output, answer, ended, &mut core, begun);
        if let Exchange::Trying(trying) = next {
            next = step(trying, &mut output, answer, &mut core, begun.after(waited));
        }
        assert_eq!(matches!(next, Exchange::Relaying(_)), is_passed_on);
        next.abort(&Reason::ClientGone, &mut core, begun);
    }
}

#[test]
fn a_platform_that_gives_up_on_a_slow_client_has_not_failed() {
    // (when the client's last byte arrives, when the platform gives up, in seconds, whether its key is to blame)
    let rows = [(0, 4, true), (0, 5, false), (28, 29, true), (28, 30, false)];
    let answers: [(&[u8], Option<Ended>); 2] = [
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", None),
        (b"", Some(Ended::Cleanly)),
    ];
    for (answer, ended) in answers {
        for (last_byte_at, given_up_at, is_blamed) in rows {
            let mut core = testing::core_with_keys("{}", r#"["sk-1", "sk-2"]"#, PLATFORM);
            let begun = testing::now();
            let (request, permit) = testing::permitted(&mut core, begun);
            let (framing, limits) = (Framing::Length(9), Limits::of(&core.site));
            let upload = Upload::new(b"", framing, limits, &mut core.blocks, &core.retry_memory);
            let mut next = Trying::begin(request, Box::new(upload), vec![], permit, begun).0;
            let key = KeyId(0);
            let at = |seconds| begun.after(Duration::from_secs(seconds));
            // What the platform says in the end comes after two bytes of nine, each of which it takes.
            let (nothing, some) = (&b""[..], &b"x"[..]);
            for (seconds, active_at, sent, (answer, ended)) in [
                (0, 0, some, (nothing, None)),
                (last_byte_at, last_byte_at, some, (nothing, None)),
                (given_up_at, last_byte_at, nothing, (answer, ended)),
            ] {
                let [mut from_client, mut to_client] = [sent, b""].map(buffer);
                let [mut input, mut output] = [answer, b""].map(buffer);
                let client = ends(&mut from_client, &mut to_client, at(active_at));
                let upstream = Ends {
                    ended,
                    ..ends(&mut input, &mut output, at(seconds))
                };
                let upstream = Upstream::Open(upstream, Origin::Fresh);
                next = step_between(next, client, upstream, &mut core, at(seconds)).0;
            }
            let found = core.keyring.error(key, at(given_up_at)).is_some();
            // An answer is one to try another key for, whoever is to blame.
            let is_retried = matches!(next, Exchange::Trying(_));
            assert_eq!(
                is_retried,
                ended.is_none() || is_blamed,
                "{last_byte_at} {given_up_at}"
            );
            next.abort(&Reason::ClientGone, &mut core, begun);
            assert_eq!(found, is_blamed, "{last_byte_at} {given_up_at} {ended:?}");
        }
    }
}
