//! What the platform sees of a request, and the client of an answer, byte for byte.

use serde_json::json;

use crate::support::platform::{Next, Platform};
use crate::support::proxy::{CLIENT_KEY, Proxy, ROOT_KEY};

#[test]
fn heads_are_written_anew_and_in_order() {
    let platform = Platform::serve(|_, line| {
        line.send(
            "HTTP/1.1 201 Made It\r\nServer: x\r\nDate: Tue, 24 Nov 2026 10:00:00 GMT\r\nX-Odd-Case: 1\r\n\
             Connection: keep-alive, x-secret\r\nX-Secret: hop\r\nKeep-Alive: timeout=5\r\nSet-Cookie: a=1\r\n\
             Set-Cookie: b=2\r\nX-Request-Id: from-platform\r\nContent-Length: 2\r\n\r\nok",
        );
        Next::Await
    });
    let mut entry = platform.entry(&["platform-key-1"]);
    entry["headers"] = json!({"X-Fixed": "fixed", "user-agent": "proxy"});
    let proxy = Proxy::start(&json!([entry]));
    let mut client = proxy.connect();
    client.send(format!(
        "POST /test/v1/chat?a=b%20c&key=none HTTP/1.1\r\nHost: proxy.example\r\nuser-agent: me\r\n\
         AUTHORIZATION: Bearer {CLIENT_KEY}\r\nX-Forwarded-For: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\nVia: 1.1 x\r\n\
         Accept-Encoding: gzip, br\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\nProxy-Connection: x\r\n\
         x-Custom:  spaced  \r\nX-Request-Id: mine\r\nContent-Length: 4\r\n\r\nbody"
    ));
    let answer = client.answer();
    let seen = platform.next();
    assert_eq!(
        seen.head,
        format!(
            "POST /v1/chat?a=b%20c&key=none HTTP/1.1\r\nHost: {}\r\nAccept-Encoding: gzip, br\r\nx-Custom: spaced\r\n\
             X-Request-Id: mine\r\nContent-Length: 4\r\nAuthorization: Bearer platform-key-1\r\nX-Fixed: fixed\r\n\
             user-agent: proxy\r\n\r\n",
            platform.base_url().trim_start_matches("http://")
        )
    );
    assert_eq!(seen.body, b"body");
    assert_eq!(
        answer.head,
        "HTTP/1.1 201 Made It\r\nServer: x\r\nDate: Tue, 24 Nov 2026 10:00:00 GMT\r\nX-Odd-Case: 1\r\n\
         Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Request-Id: from-platform\r\n\
         content-security-policy: sandbox\r\nx-ratelimit-limit-requests: 100\r\nx-ratelimit-remaining-requests: 99\r\n"
            .to_string()
            + &format!(
                "x-ratelimit-reset-requests: {}\r\nContent-Length: 2\r\nconnection: close\r\n\r\n",
                answer.field("x-ratelimit-reset-requests").expect("a time")
            )
    );
    assert_eq!(answer.text(), "ok");
    client.ends();
}

#[test]
fn a_key_is_found_in_each_place_and_never_passed_on() {
    let platform = Platform::answering("{}");
    let mut entry = platform.entry(&["platform-key-1"]);
    entry["auth_header"] = json!("X-Auth");
    entry["auth_format"] = json!("Token {key}");
    let proxy = Proxy::start(&json!([entry]));
    let places = [
        format!("Authorization: Bearer {ROOT_KEY}\r\n"),
        format!("authorization: bEARER   {ROOT_KEY}\r\n"),
        format!("Authorization: {ROOT_KEY}\r\n"),
        format!("X-Auth: Token {ROOT_KEY}\r\n"),
        format!("x-auth: {ROOT_KEY}\r\n"),
        format!("x-api-key: {ROOT_KEY}\r\n"),
        format!("X-Goog-Api-Key: {ROOT_KEY}\r\n"),
        format!("api-key: {ROOT_KEY}\r\n"),
        format!("Authorization: Bearer dummy\r\nx-api-key: {ROOT_KEY}\r\n"),
        format!("Authorization: Bearer {ROOT_KEY}\r\napi-key: {ROOT_KEY}\r\n"),
    ];
    let mut client = proxy.connect();
    for place in places {
        client.send(format!(
            "GET /test/models HTTP/1.1\r\nHost: p\r\n{place}\r\n"
        ));
        assert_eq!(client.answer().status, 200, "{place}");
        let seen = platform.next();
        assert!(!seen.head.contains(ROOT_KEY), "{}", seen.head);
        assert_eq!(seen.fields("authorization"), [""; 0], "{place}");
        assert_eq!(seen.fields("x-auth"), ["Token platform-key-1"]);
    }
    for (query, want) in [
        (format!("?key={ROOT_KEY}"), ""),
        (format!("?a=1&key={ROOT_KEY}&b=%2F"), "?a=1&b=%2F"),
        (format!("?key={}", ROOT_KEY.replace('-', "%2d")), ""),
    ] {
        client.send(format!(
            "GET /test/v1/models{query} HTTP/1.1\r\nHost: p\r\n\r\n"
        ));
        assert_eq!(client.answer().status, 200, "{query}");
        assert_eq!(platform.next().path(), format!("/v1/models{want}"));
    }
}

#[test]
fn pipelined_requests_are_answered_in_order_over_one_connection() {
    let platform = Platform::serve(|seen, line| {
        line.answer("200 OK", &format!("{{\"path\": \"{}\"}}", seen.path()));
        Next::Await
    });
    let proxy = Proxy::start(&json!([platform.entry(&["platform-key-1"])]));
    // After this page the initial probe is over: its connection is in the pool.
    proxy.page("/health");
    let mut client = proxy.connect();
    let requests: String = (0..20)
        .map(|number| {
            format!(
                "POST /test/{number} HTTP/1.1\r\nHost: p\r\nx-api-key: {ROOT_KEY}\r\nContent-Length: 3\r\n\r\nabc"
            )
        })
        .collect();
    client.send(requests);
    for number in 0..20 {
        assert_eq!(client.answer().json()["path"], format!("/v1/{number}"));
    }
    let connections: Vec<_> = platform.all().iter().map(|seen| seen.connection).collect();
    assert!(
        connections.windows(2).all(|pair| pair[0] == pair[1]),
        "{connections:?}"
    );
}

#[test]
fn requests_keep_their_ids() {
    let platform = Platform::answering("{}");
    let proxy = Proxy::start(&json!([platform.entry(&["platform-key-1"])]));
    let mut client = proxy.connect();
    let mut ask = |field: &str| {
        client.send(format!(
            "GET /test/x HTTP/1.1\r\nHost: p\r\nx-api-key: {ROOT_KEY}\r\n{field}\r\n"
        ));
        client
            .answer()
            .field("x-request-id")
            .expect("an id")
            .to_string()
    };
    assert_eq!(ask("X-Request-ID: mine\r\n"), "mine");
    let (first, second) = (ask(""), ask(""));
    assert_ne!(first, second);
    let long = "x".repeat(129);
    assert_ne!(ask(&format!("X-Request-ID: {long}\r\n")), long);
    assert_ne!(ask("X-Request-ID: a b\r\n"), "a b");
}
