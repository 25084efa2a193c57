//! How long a platform may take for a probe, or for the end of a stream whose client has left, and when a body began.

use std::time::Duration;

use super::super::testing::{PLATFORM, buffer, core, drain, ends, now, permitted, step_between};
use super::super::trying::Trying;
use super::super::upload::Upload;
use super::*;
use crate::figures::recent::Method;
use crate::net::dial::Origin;
use crate::policy::keyring::KeyId;

/// A probe that gets `answer` and then nothing.
fn probed(answer: &str, core: &mut Core, begun: Now) -> (Exchange, Step) {
    let (_, key) = core.probes.next(begun).expect("a new key is probed");
    let mut exchange = Exchange::probe(0, key, core, begun);
    let (mut client_input, mut client_output) = (buffer(b""), buffer(b""));
    let (mut input, mut output) = (buffer(answer.as_bytes()), buffer(b""));
    let late = begun.after(Duration::from_secs(20));
    for now in [begun, begun, begun, begun, begun, late] {
        let client = ends(&mut client_input, &mut client_output, now);
        // Bytes keep coming, so that it is never idle.
        let upstream = Upstream::Open(ends(&mut input, &mut output, now), Origin::Fresh);
        let (next, step) = step_between(exchange, client, upstream, core, now);
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
        let mut core = core("{}", PLATFORM);
        let begun = now();
        let (exchange, step) = probed(answer, &mut core, begun);
        assert_eq!(core.keyring.error(KeyId(0), now()), error, "{answer:?}");
        // Nobody awaits what the platform may still send.
        let is_given_up = matches!(
            step,
            Step::Abandon | Step::Close(Reason::Idle | Reason::Unread)
        );
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

#[test]
fn the_first_byte_is_the_body_s_and_the_time_of_the_first_one() {
    let (mut core, begun) = (core("{}", PLATFORM), now());
    let (mut request, permit) = permitted(&mut core, begun);
    request.started = begun;
    let upload = Upload::complete(b"", b"", &mut core.blocks, &core.retry_memory);
    let (mut exchange, _) = Trying::begin(request, Box::new(upload), Vec::new(), permit, begun);
    let second = Duration::from_secs(1);
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n".as_slice();
    for (seconds, bytes) in [(1, head), (2, b"ab"), (3, b"cd")] {
        let now = begun.after(second * seconds);
        let [mut one, mut two, mut three, mut input] = [b"", b"", b"", bytes].map(buffer);
        let client = ends(&mut one, &mut two, now);
        let upstream = Upstream::Open(ends(&mut input, &mut three, now), Origin::Fresh);
        (exchange, _) = step_between(exchange, client, upstream, &mut core, now);
    }
    core.enter_finished();
    let last = core.figures.recent().newest_first().next();
    let last = last.map(|request| (request.first_byte, request.total));
    assert_eq!(last, Some((Some(second * 2), second * 3)));
}

#[test]
fn the_end_of_a_stream_is_awaited_for_a_while_if_its_client_has_left_with_the_last_event() {
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let last = "e\r\ndata: [DONE]\n\n\r\n";
    // (what comes before the client leaves, whether all of it has been sent, what comes afterwards, whether the end of the
    // body is awaited, and whether the client counts as answered)
    for (before, is_sent, after, is_awaited, is_answered) in [
        (last, true, "", true, true),
        (last, true, "0\r\n\r\n", false, true),
        (last, false, "", false, false),
        ("9\r\ndata: x\n\n\r\n", true, "", false, false),
    ] {
        let (mut core, begun) = (core("{}", PLATFORM), now());
        let (mut request, permit) = permitted(&mut core, begun);
        request.method = Method::new("POST");
        let upload = Upload::complete(b"", b"", &mut core.blocks, &core.retry_memory);
        let (mut next, _) = Trying::begin(request, Box::new(upload), vec![], permit, begun);
        let [mut sent, mut got] = [b"".as_slice(); 2].map(buffer);
        let mut step = Step::Again;
        let text = [head, before].concat();
        for (bytes, ended) in [(text.as_str(), None), (after, Some(Ended::Cleanly))] {
            let [mut input, mut output] = [bytes.as_bytes(), b""].map(buffer);
            let client = Ends {
                ended,
                ..ends(&mut sent, &mut got, begun)
            };
            let upstream = Upstream::Open(ends(&mut input, &mut output, begun), Origin::Fresh);
            (next, step) = step_between(next, client, upstream, &mut core, begun);
            if is_sent {
                drain(&mut got);
            }
        }
        assert_eq!(matches!(step, Step::Wait | Step::Starve), is_awaited);
        if is_awaited {
            let until = next.deadline(&core, begun.instant, begun.instant);
            assert_eq!(until, Some(begun.instant + LAST_CHUNK_PATIENCE));
        }
        next.abort(&Reason::ClientGone, &mut core, begun);
        core.enter_finished();
        let last = core.figures.recent().newest_first().next();
        let code = last.map(|request| request.code);
        let want = (!is_answered).then_some("canceled");
        assert_eq!(code, Some(want), "{before:?} {after:?}");
    }
}

#[test]
fn what_is_only_looked_at_uses_no_tokens() {
    let body = r#"{"usage":{"prompt_tokens":7,"completion_tokens":5}}"#;
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    for (method, want) in [("GET", (None, None)), ("POST", (Some(7), Some(5)))] {
        let (mut core, begun) = (core("{}", PLATFORM), now());
        let (mut request, permit) = permitted(&mut core, begun);
        request.method = Method::new(method);
        let upload = Upload::complete(b"", b"", &mut core.blocks, &core.retry_memory);
        let (exchange, _) = Trying::begin(request, Box::new(upload), Vec::new(), permit, begun);
        let [mut one, mut two, mut three] = [b"", b"", b""].map(|bytes| buffer(bytes));
        let mut input = buffer(answer.as_bytes());
        let client = ends(&mut one, &mut two, begun);
        let upstream = Upstream::Open(ends(&mut input, &mut three, begun), Origin::Fresh);
        let _ = step_between(exchange, client, upstream, &mut core, begun);
        core.enter_finished();
        let last = core.figures.recent().newest_first().next();
        let tokens = last.map(|request| (request.tokens_in, request.tokens_out));
        assert_eq!(tokens, Some(want), "{method}");
    }
}
