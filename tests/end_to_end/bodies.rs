//! Bodies of every size and framing, both ways, at every pace.

use std::sync::mpsc;

use serde_json::json;

use crate::support::PATIENCE;
use crate::support::platform::{Next, Platform, Seen};
use crate::support::proxy::{Proxy, ROOT_KEY};

/// Bytes that any mistake in framing and any shift would change.
fn pattern(count: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_u32;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..count).map(next).collect()
}

fn post(path: &str, framing: &str) -> String {
    format!("POST /test/{path} HTTP/1.1\r\nHost: p\r\nx-api-key: {ROOT_KEY}\r\n{framing}\r\n\r\n")
}

fn chunks(body: &[u8], size: usize) -> Vec<u8> {
    let mut framed = Vec::new();
    for chunk in body.chunks(size) {
        framed.extend(format!("{:X};ext=\"a b\"\r\n", chunk.len()).as_bytes());
        framed.extend(chunk);
        framed.extend(b"\r\n");
    }
    framed.extend(b"0\r\n\r\n");
    framed
}

fn unchunk(mut framed: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = framed
            .windows(2)
            .position(|two| two == b"\r\n")
            .expect("a size line");
        let size = std::str::from_utf8(&framed[..end]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size");
        if size == 0 {
            return body;
        }
        body.extend(&framed[end + 2..][..size]);
        framed = &framed[end + 2 + size + 2..];
    }
}

#[test]
fn each_size_and_framing_arrives_whole() {
    let platform = Platform::serve(|seen, line| {
        let body = match seen.fields("transfer-encoding").is_empty() {
            true => seen.body.clone(),
            false => unchunk(&seen.body),
        };
        match seen.path() {
            "/v1/length" => {
                line.send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                ));
                line.send(body);
                Next::Await
            }
            "/v1/chunked" => {
                line.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                line.send(chunks(&body, 1000));
                Next::Await
            }
            _ => {
                line.send("HTTP/1.1 200 OK\r\n\r\n");
                line.send(body);
                Next::Close
            }
        }
    });
    let proxy = Proxy::with(
        json!({"retry_buffer_bytes": 100_000}),
        &json!([platform.entry(&["platform-key-1"])]),
    );
    for size in [0, 1, 1000, 65_536, 100_000, 100_001, 700_000] {
        let body = pattern(size);
        for path in ["length", "chunked", "close"] {
            let mut client = proxy.connect();
            client.send(post(path, &format!("Content-Length: {size}")));
            client.send(&body);
            assert_eq!(client.answer().body, body, "{path} {size}");
            let mut client = proxy.connect();
            client.send(post(path, "Transfer-Encoding: chunked"));
            client.send(chunks(&body, 777));
            assert_eq!(client.answer().body, body, "{path} {size} chunked");
        }
    }
}

/// Platforms refuse a key as soon as they have seen the head.
#[test]
fn a_large_upload_that_is_refused_early_goes_on_with_the_next_key() {
    const SIZE: usize = 2 << 20;
    const BEGUN: usize = 100_000;
    let (told, tries) = mpsc::channel();
    let platform = Platform::raw(move |_, line, _| {
        while let Some(head) = line.head() {
            if !head.starts_with("POST") {
                line.answer("200 OK", "{}");
                continue;
            }
            let mut body = line.bytes(BEGUN).expect("its beginning");
            let is_refused = head.contains("key-limited");
            told.send(is_refused).expect("the test goes on");
            if is_refused {
                line.answer("429 Slow Down", "{}");
                line.end();
                return;
            }
            body.extend(line.bytes(SIZE - BEGUN).expect("its rest"));
            let is_whole = body == pattern(SIZE);
            line.answer("200 OK", if is_whole { "whole" } else { "wrong" });
        }
    });
    let proxy = Proxy::start(&json!([platform.entry(&["key-limited-a", "key-good-b"])]));
    let body = pattern(SIZE);
    let mut client = proxy.connect();
    client.send(post("x", &format!("Content-Length: {SIZE}")));
    client.send(&body[..BEGUN]);
    for is_refused in [true, false] {
        assert_eq!(tries.recv_timeout(PATIENCE), Ok(is_refused));
    }
    client.send(&body[BEGUN..]);
    let answer = client.answer();
    assert_eq!((answer.status, answer.text()), (200, "whole"));
}

#[test]
fn each_piece_is_passed_on_as_it_comes() {
    let (go_on, steps) = mpsc::channel::<()>();
    let steps = std::sync::Mutex::new(steps);
    let platform = Platform::raw(move |_, line, _| {
        let head = line.head().expect("a request");
        if head.contains("/v1/probe") {
            return line.answer("200 OK", "{}");
        }
        let steps = steps.lock().expect("no thread panicked");
        assert_eq!(line.bytes(3).expect("a piece"), b"one");
        line.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
        for piece in ["data: a\n\n", "data: b\n\n", "data: c\n\n"] {
            line.send(format!("{:x}\r\n{piece}\r\n", piece.len()));
            steps.recv().expect("the test goes on");
        }
        assert_eq!(line.bytes(3).expect("a piece"), b"two");
        line.send("0\r\n\r\n");
    });
    let proxy = Proxy::start(&json!([platform.entry(&["platform-key-1"])]));
    let mut client = proxy.connect();
    client.send(post("x", "Content-Length: 6"));
    client.send("one");
    client.head();
    for piece in ["data: a\n\n", "data: b\n\n", "data: c\n\n"] {
        assert_eq!(
            client.chunk(),
            piece.as_bytes(),
            "before the next one was sent"
        );
        go_on.send(()).expect("the platform listens");
    }
    client.send("two");
    assert_eq!(client.chunk(), b"");
}

#[test]
fn a_large_body_needs_little_memory_however_slowly_it_is_read() {
    const SIZE: usize = 100 << 20;
    let platform = Platform::raw(|_, line, _| {
        let mut head = line.head();
        // A connection that ended after the probe, unannounced, could have been given to the upload, which is sent once.
        while head.as_ref().is_some_and(|head| head.contains("/v1/probe")) {
            line.answer("200 OK", "{}");
            head = line.head();
        }
        if head.is_none() {
            return;
        }
        let mut sum = 0_u64;
        let mut left = SIZE;
        while left > 0 {
            let piece = line.bytes(left.min(1 << 20)).expect("the body comes");
            sum += piece.iter().map(|byte| u64::from(*byte)).sum::<u64>();
            left -= piece.len();
        }
        line.send(format!(
            "HTTP/1.1 200 OK\r\nX-Sum: {sum}\r\nContent-Length: {SIZE}\r\n\r\n"
        ));
        let piece = pattern(1 << 20);
        for _ in 0..SIZE >> 20 {
            line.send(&piece);
        }
    });
    let proxy = Proxy::start(&json!([platform.entry(&["platform-key-1"])]));
    let piece = pattern(1 << 20);
    let before = proxy.resident_kilobytes();
    let mut client = proxy.connect();
    client.send(post("x", &format!("Content-Length: {SIZE}")));
    for _ in 0..SIZE >> 20 {
        client.send(&piece);
    }
    let head = client.head();
    let want: u64 = piece.iter().map(|byte| u64::from(*byte)).sum::<u64>() * 100;
    assert!(head.contains(&format!("X-Sum: {want}\r\n")), "{head}");
    let mut most = 0;
    for _ in 0..SIZE >> 20 {
        // Small reads: the socket's buffers are full all the time.
        let mut received = Vec::new();
        while received.len() < 1 << 20 {
            received.extend(client.bytes(((1 << 20) - received.len()).min(10_007)));
        }
        assert!(received == piece, "each byte is right");
        most = most.max(proxy.resident_kilobytes());
    }
    assert!(most < before + 2048, "{before} KB grew to {most} KB");
}

#[test]
fn bodies_have_bounds() {
    let platform = Platform::answering("{}");
    let proxy = Proxy::with(
        json!({"max_body_bytes": 1000, "retry_buffer_bytes": 100}),
        &json!([platform.entry(&["platform-key-1"])]),
    );
    let mut client = proxy.connect();
    client.send(post("x", "Content-Length: 1001"));
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (413, "body_too_large")
    );
    assert!(platform.all().is_empty());

    let mut client = proxy.connect();
    client.send(post("x", "Transfer-Encoding: chunked"));
    client.try_send(chunks(&pattern(5000), 100));
    assert_eq!(client.answer().status, 413);
    client.ends();

    // A client that reads the answer only after sending everything gets it.
    let mut client = proxy.connect();
    client.send(post("x", "Transfer-Encoding: chunked"));
    client.send(chunks(&pattern(8 << 20), 64 << 10));
    assert_eq!(client.answer().status, 413);
    client.ends();

    let mut client = proxy.connect();
    client.send(post("x", "Content-Length: 1000"));
    client.send(pattern(1000));
    assert_eq!(client.answer().status, 200);
}

#[test]
fn whose_bound_it_is_is_told() {
    let demo = json!({"name": "demo", "base_url": "demo:", "keys": ["demo-key-1"]});
    let of_proxy = "larger than 2000000 bytes, the proxy's max_body_bytes.";
    let of_demo = "larger than 1048576 bytes, the built-in demo platform's bound, \
        or than retry_memory_bytes has room for.";
    for (memory_bytes, body_bytes, want) in [
        (10_000_000, 2_000_001, of_proxy),
        (10_000_000, 1_048_577, of_demo),
        (1000, 1001, of_demo),
    ] {
        let proxy = Proxy::with(
            json!({"max_body_bytes": 2_000_000, "retry_memory_bytes": memory_bytes}),
            &json!([demo]),
        );
        let mut client = proxy.connect();
        client.send(format!(
            "POST /demo/chat HTTP/1.1\r\nHost: p\r\nx-api-key: {ROOT_KEY}\r\n\
             Content-Length: {body_bytes}\r\n\r\n"
        ));
        client.try_send(pattern(body_bytes));
        let answer = client.answer();
        let message = answer.json()["error"]["message"].to_string();
        assert_eq!(answer.status, 413, "{message}");
        assert!(message.contains(want), "{message}");
    }
}

#[test]
fn an_answer_before_the_body_was_read_reaches_the_client() {
    let platform = Platform::raw(|_, line, _| {
        let Some(head) = line.head() else { return };
        let status = if head.contains("/v1/probe") {
            "200 OK"
        } else {
            "422 No"
        };
        line.answer(status, "{\"early\": 1}");
    });
    let proxy = Proxy::start(&json!([platform.entry(&["platform-key-1"])]));
    for size in [100_000, 50 << 20] {
        let mut client = proxy.connect();
        client.send(post("x", &format!("Content-Length: {size}")));
        for _ in 0..size / 50_000 {
            if !client.try_send(pattern(50_000)) {
                break;
            }
        }
        let answer = client.answer();
        assert!(matches!(answer.status, 422 | 502), "{answer:?}");
    }
}

#[test]
fn an_early_answer_says_whether_the_connection_stays() {
    let platform = Platform::raw(|_, line, _| {
        while line.head().is_some() {
            line.answer("422 No", "{}");
        }
    });
    let proxy = Proxy::start(&json!([platform.entry(&["platform-key-1"])]));
    let chunk = format!(
        "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n",
        (256 << 10) + 1
    );
    for (framing, want) in [
        (format!("Content-Length: {}\r\n\r\n", 256 << 10), None),
        (
            format!("Content-Length: {}\r\n\r\n", (256 << 10) + 1),
            Some("close"),
        ),
        (chunk, Some("close")),
    ] {
        let mut client = proxy.connect();
        client.send(format!(
            "POST /test/v1/x HTTP/1.1\r\nHost: p\r\nx-api-key: {ROOT_KEY}\r\n{framing}"
        ));
        let answer = client.answer();
        let told = (answer.status, answer.field("connection"));
        assert_eq!(told, (422, want), "{framing}");
    }
}

#[test]
fn a_connection_that_still_awaits_a_body_is_nobody_elses() {
    let platform = Platform::raw(|connection, line, seen| {
        while let Some(head) = line.head() {
            let body = match head.contains("/v1/early") {
                true => line.bytes(10).expect("the beginning comes"),
                false => Vec::new(),
            };
            let is_probe = head.contains("/v1/probe");
            let _ = seen.send(Seen {
                head,
                body,
                connection,
            });
            line.answer("200 OK", "{}");
            if is_probe {
                // Otherwise its connection would be available for the next request.
                return;
            }
        }
    });
    let proxy = Proxy::start(&json!([platform.entry(&["platform-key-1"])]));
    let mut early = proxy.connect();
    early.send(post("early", "Content-Length: 100"));
    early.send(pattern(10));
    assert_eq!(early.answer().status, 200);
    let mut other = proxy.connect();
    other.send(post("other", "Content-Length: 0"));
    assert_eq!(other.answer().status, 200);
    let (first, second) = (platform.next(), platform.next());
    assert!(second.head.starts_with("POST /v1/other "), "{second:?}");
    assert_ne!(second.connection, first.connection);
}

#[test]
fn who_sends_all_of_a_refused_body_first_gets_the_answer() {
    let proxy = Proxy::start(&json!([Platform::answering("{}").entry(&["key-1"])]));
    for framing in ["Content-Length: 12000000", "Transfer-Encoding: chunked"] {
        let mut client = proxy.connect();
        client.send(format!(
            "POST /test/x HTTP/1.1\r\nHost: p\r\nx-api-key: nobodys\r\n{framing}\r\n\r\n"
        ));
        for _ in 0..12 {
            if framing.starts_with('T') {
                client.send("f4240\r\n");
            }
            client.send(pattern(1_000_000));
            if framing.starts_with('T') {
                client.send("\r\n");
            }
        }
        assert_eq!(client.answer().error_code(), "invalid_api_key", "{framing}");
        assert_eq!(client.rest(), b"");
    }
}

#[test]
fn a_refused_body_is_dropped_unless_the_answer_announces_the_close() {
    let proxy = Proxy::start(&json!([]));
    for (size, want) in [(256 << 10, None), ((256 << 10) + 1, Some("close"))] {
        let mut client = proxy.connect();
        client.send(format!(
            "POST /info HTTP/1.1\r\nHost: p\r\nContent-Length: {size}\r\n\r\n"
        ));
        let answer = client.answer();
        assert_eq!((answer.status, answer.field("connection")), (405, want));
        if want.is_none() {
            client.send(pattern(size));
            client.send("GET /info HTTP/1.1\r\nHost: p\r\n\r\n");
            assert_eq!(client.answer().status, 200, "after {size} bytes");
        }
    }
}

#[test]
fn what_broke_off_never_looks_whole() {
    let platform = Platform::raw(|_, line, _| {
        let Some(head) = line.head() else { return };
        let path = head.split(' ').nth(1).unwrap_or_default().to_string();
        match path.as_str() {
            "/v1/length" => line.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"),
            "/v1/chunked" => line
                .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n5\r\nde"),
            "/v1/nonsense" => {
                line.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n")
            }
            _ => line.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        };
    });
    let proxy = Proxy::start(&json!([platform.entry(&["platform-key-1"])]));
    for path in ["length", "chunked", "nonsense"] {
        let mut client = proxy.connect();
        client.send(post(path, "Content-Length: 0"));
        client.head();
        let body = String::from_utf8(client.rest()).expect("text");
        assert!(
            body.contains("abc") && !body.contains("\r\n0\r\n"),
            "{path}: {body:?}"
        );
        let mut old = proxy.connect();
        old.send(format!(
            "GET /test/{path} HTTP/1.0\r\nx-api-key: {ROOT_KEY}\r\n\r\n"
        ));
        old.head();
        match path {
            "length" => assert_eq!(old.rest(), b"abc"),
            _ => assert!(old.is_reset(), "{path}: its end would look like the body's"),
        }
    }
}
