//! How long a head may take, and what the answer to it leaves of the connection.

use super::super::testing::{PLATFORM, core, now, step, step_behind};
use super::*;
use crate::base::buffer::BUFFER_BYTES;

#[test]
fn the_time_of_a_head_begins_with_its_first_byte() {
    let mut core = core(r#"{"header_timeout_seconds": 2}"#, PLATFORM);
    let begun = now();
    let after = |seconds| begun.after(Duration::from_secs(seconds));
    let mut exchange = Exchange::Reading(Reading::idle(begun));
    // (seconds since the previous answer, what has arrived, whether it is late)
    let rows: [(u64, &[u8], bool); 5] = [
        (0, b"", false),
        (1, b"\r\n", false),
        (3, b"\r\nG", false),
        (4, b"\r\nGET", false),
        (5, b"\r\nGET", true),
    ];
    for (seconds, sent, is_late) in rows {
        (exchange, _) = step(exchange, sent, &mut core, after(seconds));
        let is_reading = matches!(exchange, Exchange::Reading(_));
        assert_eq!(!is_reading, is_late, "after {seconds} s");
    }
    let (_, answer) = step(exchange, b"", &mut core, after(5));
    assert!(answer.starts_with(b"HTTP/1.1 408 "), "{answer:?}");
}

#[test]
fn a_connection_with_empty_lines_alone_is_idle() {
    let settings = r#"{"header_timeout_seconds": 1, "keepalive_timeout_seconds": 9}"#;
    let mut core = core(settings, PLATFORM);
    let begun = now();
    let mut exchange = Exchange::Reading(Reading::idle(begun));
    // (seconds since the previous answer, what has arrived, whether the connection ends)
    let rows: [(u64, &[u8], bool); 4] = [
        (0, b"\r", false),
        (2, b"\r\n", false),
        (8, b"\r\n\r\n\r\n\r\n", false),
        (9, b"\r\n\r\n\r\n\r\n", true),
    ];
    for (seconds, sent, ends) in rows {
        let at = begun.after(Duration::from_secs(seconds));
        let (next, answer) = step(exchange, sent, &mut core, at);
        assert_eq!(answer, b"", "after {seconds} s");
        assert!(next.is_idle(), "after {seconds} s");
        assert_eq!(matches!(next, Exchange::Closed), ends, "after {seconds} s");
        exchange = next;
    }
}

#[test]
fn who_was_told_not_to_go_on_may_send_its_body_or_not() {
    let ask = "POST /nobodys/x HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n";
    for (expectation, is_last) in [("", false), ("Expect: 100-continue\r\n", true)] {
        let mut core = core("{}", PLATFORM);
        let sent = format!("{ask}{expectation}\r\n");
        let exchange = Exchange::Reading(Reading::opening(now()));
        let (exchange, _) = step(exchange, sent.as_bytes(), &mut core, now());
        let (_, answer) = step(exchange, b"", &mut core, now());
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        assert_eq!(
            answer.contains("connection: close\r\n"),
            is_last,
            "{answer}"
        );
    }
}

#[test]
fn a_request_begins_where_its_answer_finds_room() {
    let asked = b"POST /p/x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer client-key-1\r\n\
        Expect: 100-continue\r\nContent-Length: 9\r\n\r\n";
    let unsent_max = BUFFER_BYTES - CONTINUE.len() - HEAD_ROOM_BYTES;
    for (unsent, begins) in [(unsent_max, true), (unsent_max + 1, false)] {
        let mut core = core("{}", PLATFORM);
        let exchange = Exchange::Reading(Reading::idle(now()));
        let (exchange, _) = step_behind(&vec![0; unsent], exchange, asked, &mut core, now());
        assert_eq!(!matches!(exchange, Exchange::Reading(_)), begins);
        exchange.abort(&Reason::ClientGone, &mut core, now());
    }
}

#[test]
fn models_outside_of_bodies() {
    // (method and target, further fields, the model)
    let rows = [
        (
            "GET /p/realtime?model=gpt-realtime",
            "Connection: Upgrade\r\nUpgrade: websocket\r\n",
            "gpt-realtime",
        ),
        // Java's HTTP client offers this with every request.
        (
            "GET /p/realtime?model=gpt-realtime",
            "Connection: Upgrade\r\nUpgrade: h2c\r\n",
            "",
        ),
        ("GET /p/files?model=gpt-4o", "", ""),
        (
            "POST /p/v1beta/models/gemini-2.5-pro:generateContent?a=b",
            "",
            "gemini-2.5-pro",
        ),
        ("DELETE /p/v1/models/ft:gpt-4o:acme::1", "", ""),
    ];
    for (line, fields, want) in rows {
        let mut core = core("{}", PLATFORM);
        let sent = format!("{line} HTTP/1.1\r\nHost: h\r\nx-api-key: client-key-1\r\n{fields}\r\n");
        let exchange = Exchange::Reading(Reading::opening(now()));
        let (exchange, _) = step(exchange, sent.as_bytes(), &mut core, now());
        exchange.abort(&Reason::ClientGone, &mut core, now());
        core.enter_finished();
        let mut recent = core.figures.recent().newest_first();
        let request = recent.next().expect("it is over");
        assert_eq!(request.model.as_str(), want, "{line}");
    }
}
