//! Upgrade: WebSocket and any other protocol that client and platform agree on.

use serde_json::json;

use crate::support::client::{Client, fields};
use crate::support::platform::{Platform, Seen};
use crate::support::proxy::{Proxy, ROOT_KEY};

/// A platform that agrees to an upgrade as its paths say, and then echoes everything.
fn echo() -> Platform {
    Platform::raw(|connection, line, seen| {
        while let Some(head) = line.head() {
            if head.contains("/v1/probe") {
                line.answer("200 OK", "{}");
                continue;
            }
            let path = head.split(' ').nth(1).unwrap_or_default().to_string();
            let bad_key = head.contains("Bearer bad-key");
            let asks = !fields(&head, "upgrade").is_empty();
            let _ = seen.send(Seen {
                head,
                body: Vec::new(),
                connection,
            });
            if bad_key {
                line.answer("401 Unauthorized", "{}");
                continue;
            }
            let mut version = "1.1";
            let protocol = match path.as_str() {
                "/v1/refuses" => {
                    line.send(
                        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
                         Content-Length: 0\r\n\r\n",
                    );
                    continue;
                }
                "/v1/other" => "irc",
                "/v1/old" => {
                    version = "1.0";
                    "WebSocket"
                }
                "/v1/hints" | "/v1/hints-other" => {
                    line.send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
                    match path.ends_with("other") {
                        true => "irc",
                        false => "WebSocket",
                    }
                }
                _ if !asks && path != "/v1/unasked" => {
                    line.answer("200 OK", "{\"plain\": true}");
                    continue;
                }
                _ => "WebSocket",
            };
            line.send(format!(
                "HTTP/{version} 101 Switching Protocols\r\nUpgrade: {protocol}\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: realtime\r\n\r\nhello"
            ));
            while let Some(byte) = line.bytes(1) {
                if !line.send(byte) {
                    return;
                }
            }
            // The client has ended its direction; the platform's continues.
            line.send("bye");
            return;
        }
    })
}

fn upgrade(proxy: &Proxy, path: &str, more: &str) -> Client {
    let mut client = proxy.connect();
    client.send(format!(
        "GET /test/{path} HTTP/1.1\r\nHost: p\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    ));
    client
}

#[test]
fn both_sides_speak_until_both_have_ended() {
    let platform = echo();
    let proxy = Proxy::start(&json!([platform.entry(&["bad-key-1", "good-key-1"])]));
    for _ in 0..2 {
        let mut client = upgrade(
            &proxy,
            "realtime?model=x",
            &format!("x-api-key: {ROOT_KEY}\r\n"),
        );
        let head = client.head();
        assert!(
            head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
            "{head}"
        );
        assert_eq!(fields(&head, "upgrade"), ["WebSocket"]);
        assert_eq!(fields(&head, "connection"), ["upgrade"]);
        assert_eq!(fields(&head, "sec-websocket-accept"), ["x"]);
        assert_eq!(fields(&head, "x-request-id").len(), 1);
        assert_eq!(client.bytes(5), b"hello");
        for piece in [&b"a"[..], b"\x00\xff\r\n", &[b'x'; 50_000]] {
            client.send(piece);
            assert_eq!(client.bytes(piece.len()), piece);
        }
        client.half_close();
        assert_eq!(client.rest(), b"bye");
    }
    let seen = platform.all();
    let last = seen.last().expect("a request");
    assert_eq!(last.path(), "/v1/realtime?model=x");
    assert_eq!(last.fields("upgrade"), ["websocket"]);
    assert_eq!(last.fields("connection"), ["Upgrade"]);
    assert_eq!(
        (last.key(), last.fields("sec-websocket-version")),
        ("good-key-1", vec!["13"])
    );
    let recent = proxy.page("/stats")["recent"][0].clone();
    assert_eq!(
        (&recent["status"], &recent["code"], &recent["model"]),
        (&json!(101), &json!(null), &json!("x"))
    );
    assert_eq!(
        (&recent["bytes_in"], &recent["bytes_out"]),
        (&json!(50_005), &json!(50_013))
    );
}

#[test]
fn an_interim_answer_may_come_before_the_switch() {
    let platform = echo();
    let proxy = Proxy::start(&json!([platform.entry(&["good-key-1"])]));
    let mut client = upgrade(&proxy, "hints", &format!("x-api-key: {ROOT_KEY}\r\n"));
    assert!(client.head().starts_with("HTTP/1.1 103 "));
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(client.bytes(5), b"hello");
    client.half_close();
    assert_eq!(client.rest(), b"bye");
}

#[test]
fn browsers_show_their_key_among_the_subprotocols() {
    let platform = echo();
    let proxy = Proxy::start(&json!([platform.entry(&["good-key-1"])]));
    let offer = format!(
        "Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{ROOT_KEY}, openai-beta.realtime-v1\r\n"
    );
    let mut client = upgrade(&proxy, "realtime", &offer);
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    let seen = platform.next();
    assert_eq!(
        seen.fields("sec-websocket-protocol"),
        ["realtime, openai-beta.realtime-v1"]
    );
    assert_eq!(seen.key(), "good-key-1");
    assert!(!seen.head.contains(ROOT_KEY));

    let offer = "Sec-WebSocket-Protocol: openai-insecure-api-key.unknown-key\r\n";
    assert_eq!(
        upgrade(&proxy, "realtime", offer).answer().error_code(),
        "invalid_api_key"
    );
}

#[test]
fn what_is_no_switch_is_an_ordinary_answer_or_a_fault() {
    let platform = echo();
    let proxy = Proxy::start(&json!([platform.entry(&["good-key-1"])]));
    let key = format!("x-api-key: {ROOT_KEY}\r\n");
    let refusal = upgrade(&proxy, "refuses", &key).answer();
    let told = ["upgrade", "connection"].map(|name| refusal.field(name));
    assert_eq!(
        (refusal.status, told),
        (426, [Some("WebSocket"), Some("upgrade")])
    );
    for path in ["other", "old"] {
        let answer = upgrade(&proxy, path, &key).answer();
        assert_eq!(answer.error_code(), "upstream_error", "{path}");
    }
    let mut hinted = upgrade(&proxy, "hints-other", &key);
    assert!(hinted.head().starts_with("HTTP/1.1 103 "));
    let answer = hinted.answer();
    assert!(answer.text().contains("unasked"), "{}", answer.text());
    let mut client = proxy.connect();
    client.send(format!(
        "GET /test/unasked HTTP/1.1\r\nHost: p\r\n{key}\r\n"
    ));
    assert_eq!(client.answer().error_code(), "upstream_error");
    platform.all();

    for (fields, version) in [
        (
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
            "1.1",
        ),
        ("Upgrade: websocket\r\n", "1.1"),
        (
            "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n",
            "1.1",
        ),
        ("Connection: upgrade\r\nUpgrade: websocket\r\n", "1.0"),
    ] {
        let mut client = proxy.connect();
        client.send(format!(
            "GET /test/x HTTP/{version}\r\nHost: p\r\n{key}{fields}\r\n"
        ));
        if fields.contains("Content-Length") {
            client.send("{}");
        }
        assert_eq!(client.answer().text(), "{\"plain\": true}", "{fields}");
        let seen = platform.next();
        assert!(
            seen.fields("upgrade").is_empty() && seen.fields("http2-settings").is_empty(),
            "{}",
            seen.head
        );
    }
}

#[test]
fn a_tunnel_ends_with_either_side_and_in_silence() {
    let platform = echo();
    let proxy = Proxy::with(
        json!({"idle_timeout_seconds": 1}),
        &json!([platform.entry(&["good-key-1"])]),
    );
    let key = format!("x-api-key: {ROOT_KEY}\r\n");
    let mut silent = upgrade(&proxy, "x", &key);
    silent.head();
    assert_eq!(silent.bytes(5), b"hello");
    silent.ends();
    let mut client = upgrade(&proxy, "x", &key);
    client.head();
    client.reset();
    while proxy.page("/stats")["connections"]["upstreams"] != 0 {}
}
