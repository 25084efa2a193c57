//! Who may pass: the order of refusals, browsers' preflights, addresses behind other proxies.

use serde_json::{Value, json};

use crate::support::platform::Platform;
use crate::support::proxy::{CLIENT_KEY, Proxy, ROOT_KEY};

fn platforms(platform: &Platform) -> Value {
    let mut off = platform.entry(&["key-1"]);
    off["name"] = json!("off");
    off["enabled"] = json!(false);
    let mut empty = platform.entry(&["UNSET_VARIABLE_OF_A_TEST"]);
    empty["name"] = json!("empty");
    json!([platform.entry(&["key-1"]), off, empty])
}

#[test]
fn refusals_in_their_order() {
    let platform = Platform::answering("{}");
    let keys = json!([
        {"key": "root_key", "is_root": true},
        {"key": "old-key-1", "expiry_date": "2020-02-29"},
        {"key": "elsewhere", "enable_platform_whitelist": true, "platform_whitelist": ["other"]},
        {"key": "slow-key-1", "cooldown_seconds": 3600},
        {"key": "hour-key-1", "hourly_limit": 1},
    ]);
    let proxy = Proxy::with_keys(json!({}), &keys, &platforms(&platform));
    let rows = [
        ("GET /nowhere/x HTTP/1.1", 404, "unknown_platform"),
        ("CONNECT p:1 HTTP/1.1", 405, "method_not_allowed"),
        ("TRACE /test/x HTTP/1.1", 405, "method_not_allowed"),
        ("GET /off/x HTTP/1.1", 403, "platform_disabled"),
        ("GET /empty/x HTTP/1.1", 503, "no_keys"),
        ("GET /test/x HTTP/1.1", 401, "missing_api_key"),
        (
            "GET /test/x HTTP/1.1\r\nAuthorization: Bearer",
            401,
            "missing_api_key",
        ),
        (
            "GET /test/x HTTP/1.1\r\nAuthorization: Bearer unknown",
            401,
            "invalid_api_key",
        ),
        (
            "GET /test/x HTTP/1.1\r\nx-api-key: old-key-1",
            401,
            "key_expired",
        ),
        (
            "GET /test/x HTTP/1.1\r\nx-api-key: elsewhere",
            403,
            "platform_not_allowed",
        ),
        (
            "GET /test/x HTTP/1.1\r\nX-Forwarded-For: 1.2.3.4\r\nx-api-key: root_key",
            403,
            "sample_key",
        ),
        ("GET /test/x HTTP/1.1\r\nx-api-key: root_key", 200, ""),
        ("GET /test/x HTTP/1.1\r\nx-api-key: slow-key-1", 200, ""),
        (
            "GET /test/x HTTP/1.1\r\nx-api-key: slow-key-1",
            429,
            "cooldown",
        ),
        ("GET /test/x HTTP/1.1\r\nx-api-key: hour-key-1", 200, ""),
        (
            "GET /test/x HTTP/1.1\r\nx-api-key: hour-key-1",
            429,
            "hourly_limit",
        ),
    ];
    for (head, status, code) in rows {
        let answer = proxy.answer(head);
        assert_eq!(answer.status, status, "{head}: {}", answer.text());
        if code.is_empty() {
            continue;
        }
        assert_eq!(answer.error_code(), code, "{head}");
        assert_eq!(answer.field("content-type"), Some("application/json"));
        assert!(answer.field("x-request-id").is_some());
        let error = &answer.json()["error"];
        let kind = match status {
            401 => "authentication_error",
            403 => "permission_error",
            429 => "rate_limit_error",
            500.. => "api_error",
            _ => "invalid_request_error",
        };
        assert_eq!(
            (error["type"].as_str(), &error["param"]),
            (Some(kind), &Value::Null)
        );
        let starts = error["message"]
            .as_str()
            .expect("a message")
            .starts_with("Incorrect API key provided");
        assert_eq!(starts, code == "invalid_api_key");
        let challenge = (status == 401).then_some("Bearer");
        assert_eq!(answer.field("www-authenticate"), challenge, "{head}");
        let waits = code == "cooldown" || code == "hourly_limit";
        assert_eq!(answer.field("retry-after").is_some(), waits, "{code}");
        let forbids = code == "no_keys" || code == "cooldown";
        assert_eq!(
            answer.field("x-should-retry").is_some() || code == "hourly_limit",
            forbids || code == "hourly_limit"
        );
    }
    assert!(
        proxy
            .answer("GET /nowhere/x HTTP/1.1")
            .text()
            .contains("/test/v1/*")
    );
}

#[test]
fn addresses() {
    let platform = Platform::answering("{}");
    let restricted = json!({"restrict_ip": true, "allowed_ips": ["10.0.0.0/8", "2001:db8::/32"], "trusted_proxies": ["127.0.0.1"]});
    let proxy = Proxy::with(restricted, &platforms(&platform));
    for (forwarded, status) in [
        ("", 200),
        ("X-Forwarded-For: 10.1.2.3\r\n", 200),
        ("X-Forwarded-For: ::ffff:10.1.2.3\r\n", 200),
        ("X-Forwarded-For: [2001:db8::1]:4711\r\n", 200),
        ("X-Forwarded-For: 11.1.2.3\r\n", 403),
        ("X-Forwarded-For: 10.1.2.3, 11.1.2.3\r\n", 403),
        ("X-Forwarded-For: 11.1.2.3, 10.1.2.3\r\n", 200),
        (
            "X-Forwarded-For: 11.1.2.3\r\nX-Forwarded-For: 10.1.2.3, 127.0.0.1\r\n",
            200,
        ),
    ] {
        let head = format!("GET /test/x HTTP/1.1\r\n{forwarded}x-api-key: {ROOT_KEY}");
        let answer = proxy.answer(&head);
        assert_eq!(answer.status, status, "{forwarded:?}");
        if status == 403 {
            assert_eq!(answer.error_code(), "ip_not_allowed");
            assert_eq!(
                proxy
                    .answer(&format!("GET /info HTTP/1.1\r\n{}", forwarded.trim_end()))
                    .status,
                403
            );
        }
    }
    // Without trust in the peer its field is ignored, and the peer does not count as a local process either.
    let proxy = Proxy::with(json!({"restrict_ip": true}), &platforms(&platform));
    let head =
        format!("GET /test/x HTTP/1.1\r\nX-Forwarded-For: 127.0.0.1\r\nx-api-key: {ROOT_KEY}");
    assert_eq!(proxy.answer(&head).error_code(), "ip_not_allowed");
}

#[test]
fn browsers() {
    let platform = Platform::serve(|_, line| {
        line.send(
            "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: https://elsewhere\r\nx-ratelimit-limit-tokens: 5\r\n\
             retry-after-ms: 5\r\nx-should-retry: false\r\nContent-Length: 2\r\n\r\n{}",
        );
        crate::support::platform::Next::Await
    });
    let proxy = Proxy::with(
        json!({"cors_origins": ["https://app.example", "null"]}),
        &platforms(&platform),
    );
    let preflight = |origin: &str| {
        proxy.answer(&format!(
                "OPTIONS /test/x HTTP/1.1\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: POST\r\n\
                 Access-Control-Request-Headers: content-type, X-Stainless-Os"
            ),
        )
    };
    for origin in ["https://app.example", "null"] {
        let answer = preflight(origin);
        assert_eq!((answer.status, answer.field("content-length")), (204, None));
        assert_eq!(answer.field("access-control-allow-origin"), Some(origin));
        let allowed = answer
            .field("access-control-allow-headers")
            .expect("headers")
            .to_ascii_lowercase();
        for name in ["authorization", "content-type", "x-stainless-os"] {
            assert!(
                allowed.split(',').any(|item| item.trim() == name),
                "{name} in {allowed}"
            );
        }
        assert!(
            answer
                .field("access-control-allow-methods")
                .expect("methods")
                .contains("POST")
        );
        assert!(
            answer
                .field("vary")
                .expect("vary")
                .to_ascii_lowercase()
                .contains("origin")
        );

        let answer = proxy.answer(&format!(
            "GET /test/x HTTP/1.1\r\nx-api-key: {CLIENT_KEY}\r\nOrigin: {origin}"
        ));
        assert_eq!(answer.field("access-control-allow-origin"), Some(origin));
        let exposed = answer
            .field("access-control-expose-headers")
            .expect("headers")
            .to_ascii_lowercase();
        for name in [
            "x-request-id",
            "x-should-retry",
            "retry-after-ms",
            "x-ratelimit-limit-tokens",
            "x-ratelimit-limit-requests",
        ] {
            assert!(
                exposed.split(',').any(|item| item.trim() == name),
                "{name} in {exposed}"
            );
        }
        for (path, status) in [("/test/x", 401), ("/nobody/x", 404)] {
            let answer = proxy.answer(&format!("GET {path} HTTP/1.1\r\nOrigin: {origin}"));
            assert_eq!(
                (answer.status, answer.field("access-control-allow-origin")),
                (status, Some(origin)),
                "{path}"
            );
        }
    }
    assert_eq!(
        preflight("https://foreign.example").field("access-control-allow-origin"),
        None
    );
    let answer = proxy.answer(&format!(
        "GET /test/x HTTP/1.1\r\nx-api-key: {CLIENT_KEY}\r\nOrigin: https://foreign.example"
    ));
    assert_eq!(
        (answer.status, answer.field("access-control-allow-origin")),
        (200, None)
    );

    let open = Proxy::start(&platforms(&platform));
    let answer = open.answer(&format!(
        "GET /test/x HTTP/1.1\r\nx-api-key: {CLIENT_KEY}\r\nOrigin: https://any"
    ));
    assert_eq!(answer.field("access-control-allow-origin"), Some("*"));
}
