//! Rotation over keys, and what each answer means for a key and for the request.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::Mutex;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::support::platform::{Next, Platform};
use crate::support::proxy::{CLIENT_KEY, Proxy, ROOT_KEY};

/// The names of the tests' keys say what the platform does with them.
fn by_key() -> Platform {
    let calls: Mutex<HashMap<String, u32>> = Mutex::default();
    Platform::serve(move |seen, line| {
        let call = {
            let mut calls = calls.lock().expect("no thread panicked");
            let call = calls.entry(seen.key().to_string()).or_insert(0);
            *call += 1;
            *call
        };
        if seen.path() == "/v1/probe" {
            line.answer("200 OK", "{}");
            return Next::Await;
        }
        match seen.key().split('-').nth(1).unwrap_or_default() {
            "good" => line.answer("200 OK", "{\"ok\": true}"),
            "401" => line.answer("401 Unauthorized", "{\"error\": \"revoked\"}"),
            "402" => line.answer("402 Payment Required", "{}"),
            "403" => line.answer("403 Forbidden", "{\"error\": \"region\"}"),
            "400" => line.answer(
                "400 Bad Request",
                "{\"error\": {\"details\": [{\"reason\": \"API_KEY_INVALID\"}]}}",
            ),
            "gzip" => {
                let mut body = GzEncoder::new(Vec::new(), Compression::best());
                body.write_all(b"{\"error\": {\"details\": [{\"reason\": \"API_KEY_INVALID\"}]}}")
                    .expect("memory can be written");
                let body = body.finish().expect("memory can be written");
                line.send(format!(
                    "HTTP/1.1 400 Bad Request\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                ));
                line.send(body);
            }
            "429" => {
                line.send(
                    "HTTP/1.1 429 Slow Down\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nslow",
                );
            }
            "500" => line.answer("500 Oh", "{\"error\": \"down\"}"),
            "524" => {
                line.send("HTTP/1.1 524 Oh\r\nX-Request-Id: theirs\r\nContent-Length: 0\r\n\r\n");
            }
            "early" => {
                line.send("HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 503 Oh\r\nContent-Length: 0\r\n\r\n");
            }
            "cut" => return Next::Close,
            "short" => {
                line.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
                return Next::Close;
            }
            "half" => {
                line.send("HTTP/1.1 200 OK\r\nContent-");
                return Next::Close;
            }
            "nonsense" => {
                line.send("SSH-2.0-OpenSSH\r\n\r\n");
            }
            "reused" => {
                line.answer("200 OK", &format!("{{\"call\": {call}}}"));
                return Next::Close;
            }
            other => panic!("no script for {other}"),
        }
        Next::Await
    })
}

fn ask(proxy: &Proxy) -> crate::support::client::Answer {
    let mut client = proxy.connect();
    client.send(format!(
        "POST /test/x HTTP/1.1\r\nHost: p\r\nx-api-key: {ROOT_KEY}\r\nContent-Length: 4\r\n\r\nbody"
    ));
    client.answer()
}

fn keys(proxy: &Proxy) -> Vec<Value> {
    let stats = proxy.page("/stats");
    stats["platforms"]["test"]["keys"]
        .as_array()
        .expect("keys")
        .clone()
}

#[test]
fn the_next_key_is_tried_before_the_client_notices() {
    for (bad, state, kind) in [
        ("key-401-aaaaaaaa", "unhealthy", "auth"),
        ("key-402-aaaaaaaa", "unhealthy", "auth"),
        ("key-400-aaaaaaaa", "unhealthy", "auth"),
        ("key-gzip-aaaaaaa", "unhealthy", "auth"),
        ("key-403-aaaaaaaa", "healthy", "auth"),
        ("key-429-aaaaaaaa", "cooling", "rate_limited"),
        ("key-500-aaaaaaaa", "healthy", "server"),
        ("key-cut-aaaaaaaa", "healthy", "network"),
        ("key-half-aaaaaaaa", "healthy", "network"),
        ("key-nonsense-aaaaaaaa", "healthy", "network"),
    ] {
        let platform = by_key();
        let proxy = Proxy::start(&json!([platform.entry(&[bad, "key-good-aaaaaaaa"])]));
        // After this page the initial probes are over.
        proxy.page("/health");
        for _ in 0..2 {
            let answer = ask(&proxy);
            assert_eq!(
                (answer.status, answer.text()),
                (200, "{\"ok\": true}"),
                "{bad}"
            );
        }
        let bodies: Vec<_> = platform.all().into_iter().map(|seen| seen.body).collect();
        assert!(
            bodies.len() >= 2 && bodies.iter().all(|body| body == b"body"),
            "{bad}"
        );
        let key = &keys(&proxy)[0];
        assert_eq!(key["status"], state, "{key}");
        assert!(key["errors"][kind].as_u64().expect("a count") >= 1, "{key}");
    }
}

#[test]
fn the_last_answer_is_the_clients() {
    for (names, status, body) in [
        (["key-500-a", "key-500-b"], 500, "{\"error\": \"down\"}"),
        (["key-429-a", "key-429-b"], 429, "slow"),
        (["key-403-a", "key-403-b"], 403, "{\"error\": \"region\"}"),
        (
            ["key-400-a", "key-400-b"],
            400,
            "{\"error\": {\"details\": [{\"reason\": \"API_KEY_INVALID\"}]}}",
        ),
    ] {
        let platform = by_key();
        let proxy = Proxy::start(&json!([platform.entry(&names)]));
        let answer = ask(&proxy);
        assert_eq!((answer.status, answer.text()), (status, body));
        assert_eq!(answer.field("x-proxy-error"), None);
        assert_eq!(platform.all().len(), 2);
    }
    let platform = by_key();
    let proxy = Proxy::start(&json!([platform.entry(&["key-cut-a", "key-cut-b"])]));
    let answer = ask(&proxy);
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (502, "upstream_error")
    );
    let host = platform.base_url().replace("http://", "");
    assert!(answer.text().contains(&host), "{}", answer.text());
}

/// An operator who is shown the id of a failed request finds out why.
#[test]
fn a_failure_that_reaches_the_client_is_in_the_log_with_its_id() {
    for (name, why, id) in [
        ("key-cut-a", "it closed without an answer", "ours"),
        ("key-short-a", "the answer broke off", "ours"),
        ("key-500-a", "failed, its answer is passed on: 500", "ours"),
        (
            "key-524-a",
            "failed, its answer is passed on: 524",
            "theirs",
        ),
        (
            "key-early-a",
            "failed, its answer is passed on: 503",
            "ours",
        ),
    ] {
        let platform = by_key();
        let proxy = Proxy::start(&json!([platform.entry(&[name])]));
        let mut client = proxy.connect();
        client.send(format!(
            "GET /test/x HTTP/1.1\r\nHost: p\r\nx-api-key: {ROOT_KEY}\r\nX-Request-Id: ours\r\nConnection: close\r\n\r\n"
        ));
        client.rest();
        let line = proxy.log().await_line(why);
        assert!(line.contains(&format!(" {id} ")), "{line}");
        assert!(!line.contains(": key "), "it blames the key: {line}");
    }
}

#[test]
fn attempts_are_bounded() {
    let platform = by_key();
    let names = [
        "key-500-a",
        "key-500-b",
        "key-500-c",
        "key-500-d",
        "key-500-e",
    ];
    let mut entry = platform.entry(&names);
    let proxy = Proxy::start(&json!([entry]));
    assert_eq!(ask(&proxy).status, 500);
    assert_eq!(platform.all().len(), 3);
    entry["max_attempts"] = json!(1);
    let proxy = Proxy::start(&json!([entry]));
    assert_eq!(ask(&proxy).status, 500);
    assert_eq!(platform.all().len(), 1);
}

#[test]
fn nobody_is_left() {
    let platform = by_key();
    let proxy = Proxy::start(&json!([platform.entry(&["key-429-a", "key-401-b"])]));
    ask(&proxy);
    let answer = ask(&proxy);
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (429, "keys_rate_limited")
    );
    let wait = answer.retry_after();
    assert!((1..=7).contains(&wait), "{wait}");

    let proxy = Proxy::start(&json!([platform.entry(&["key-401-b"])]));
    proxy.page("/health");
    ask(&proxy);
    let answer = ask(&proxy);
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (503, "no_healthy_keys")
    );
    let wait = answer.retry_after();
    assert!(
        (3590..=4050).contains(&wait),
        "until its next probe: {wait}"
    );
}

#[test]
fn what_the_client_did_wrong_costs_no_key_its_health() {
    let platform = Platform::serve(|seen, line| {
        let status = seen.path().rsplit('/').next().unwrap_or_default();
        match status.parse::<u16>() {
            Ok(status) => line.answer(&format!("{status} X"), "{}"),
            Err(_) => line.answer("200 OK", "{}"),
        }
        Next::Await
    });
    let proxy = Proxy::start(&json!([platform.entry(&["key-1", "key-2"])]));
    for status in [400, 404, 405, 409, 413, 415, 422, 451, 418] {
        assert_eq!(proxy.ask(&format!("/test/v1/{status}")), status);
        assert_eq!(platform.all().len(), 1, "{status} is not tried again");
    }
    for key in keys(&proxy) {
        assert_eq!(key["status"], "healthy", "{key}");
    }
}

#[test]
fn a_connection_that_died_in_the_pool_costs_no_try() {
    let platform = by_key();
    let mut entry = platform.entry(&["key-reused-a"]);
    entry["max_attempts"] = json!(1);
    let proxy = Proxy::start(&json!([entry]));
    for call in 1..20 {
        let answer = ask(&proxy);
        assert_eq!(answer.status, 200, "call {call}: {}", answer.text());
    }
}

/// A connection that was idle for a while may be about to be closed, and a body that cannot be repeated would be lost.
#[test]
fn a_large_body_takes_a_connection_that_was_used_just_now() {
    let platform = Platform::raw(|connection, line, _| {
        while let Some(head) = line.head() {
            if head.starts_with("POST") {
                line.bytes(2 << 20);
            }
            line.answer("200 OK", &connection.to_string());
        }
    });
    let proxy = Proxy::start(&json!([platform.entry(&["platform-key-1"])]));
    let body = vec![b'a'; 2 << 20];
    let upload = || {
        let mut client = proxy.connect();
        client.send(format!(
            "POST /test/v1/files HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer {CLIENT_KEY}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ));
        client.send(&body);
        let answer = client.answer();
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text().to_string()
    };
    let connections: Vec<String> = (0..10).map(|_| upload()).collect();
    let is_shared = connections.windows(2).any(|pair| pair[0] == pair[1]);
    assert!(is_shared, "{connections:?}");
}

#[test]
fn limits_are_told_and_kept() {
    let platform = by_key();
    let client = json!([
        {"key": ROOT_KEY, "is_root": true},
        {"key": CLIENT_KEY, "name": "limited", "daily_limit": 3, "hourly_limit": 100},
    ]);
    let proxy = Proxy::with_keys(
        json!({}),
        &client,
        &json!([platform.entry(&["key-good-a"])]),
    );
    for left in ["2", "1", "0"] {
        let answer = proxy.get("/test/v1/x");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.field("x-ratelimit-limit-requests"), Some("3"));
        assert_eq!(answer.field("x-ratelimit-remaining-requests"), Some(left));
    }
    let answer = proxy.get("/test/v1/x");
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (429, "daily_limit")
    );
    let wait = answer.retry_after();
    assert!((1..=86_400).contains(&wait));
    assert_eq!(
        answer.field("x-should-retry"),
        (wait > 60).then_some("false")
    );
    assert_eq!(platform.all().len(), 3);
}

#[test]
fn the_log_names_the_id_that_a_retried_request_is_answered_with() {
    let platform = Platform::serve(|seen, line| {
        match seen.key() {
            "key-1" => line.send("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"),
            _ => {
                line.send("HTTP/1.1 200 OK\r\nX-Request-Id: theirs\r\nContent-Length: 2\r\n\r\n{}")
            }
        };
        Next::Await
    });
    let proxy = Proxy::start(&json!([platform.entry(&["key-1", "key-2"])]));
    for id in ["mine", "theirs"] {
        let answer = proxy.answer(&format!(
            "GET /test/x HTTP/1.1\r\nx-api-key: {ROOT_KEY}\r\nX-Request-Id: {id}"
        ));
        assert_eq!(answer.field("x-request-id"), Some("theirs"));
        proxy
            .log()
            .await_line(&format!(" {id} test: a try with key "));
    }
    proxy.log().await_line(" mine is answered as theirs");
    assert!(!proxy.log().text().contains(" theirs is answered"));
}
