//! Heads within their bounds, whose answer, or whose list of exposed fields for a browser, could exceed them.

use serde_json::json;

use crate::support::platform::{Next, Platform};
use crate::support::proxy::{CLIENT_KEY, Proxy};

#[test]
fn a_preflight_that_asks_for_thousands_of_headers_is_answered() {
    let proxy =
        Proxy::start(&json!([{"name": "test", "base_url": "demo:", "keys": ["demo-key-1"]}]));
    let mut client = proxy.connect();
    let names = vec!["a"; 30_000].join(",");
    for _ in 0..2 {
        client.send(format!(
            "OPTIONS /test/x HTTP/1.1\r\nHost: p\r\nOrigin: https://app.example\r\n\
             Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: {names}\r\n\r\n"
        ));
        let answer = client.answer_to("OPTIONS");
        assert_eq!(answer.status, 204);
        let allowed = answer.field("access-control-allow-headers").expect("names");
        assert_eq!(allowed.split(',').count(), 30_001, "with authorization");
    }
}

#[test]
fn a_platform_s_endless_limits_are_passed_on_to_a_browser() {
    let platform = Platform::serve(|_, line| {
        let fields: Vec<String> = (10..99)
            .map(|number| format!("x-ratelimit-{number}{}:1\r\n", "a".repeat(700)))
            .collect();
        let fields = fields.concat();
        line.send(format!(
            "HTTP/1.1 200 OK\r\nx-ratelimit-limit-tokens: 5\r\n{fields}Content-Length: 2\r\n\r\n{{}}"
        ));
        Next::Await
    });
    let proxy = Proxy::start(&json!([platform.entry(&["platform-key-1"])]));
    let mut client = proxy.connect();
    for _ in 0..2 {
        client.send(format!(
            "GET /test/x HTTP/1.1\r\nHost: p\r\nOrigin: https://app.example\r\nx-api-key: {CLIENT_KEY}\r\n\r\n"
        ));
        let answer = client.answer();
        assert_eq!((answer.status, answer.text()), (200, "{}"));
        let names = answer.head.matches("\r\nx-ratelimit-").count();
        assert!(names > 89, "{names} limits were passed on");
        let exposed = answer
            .field("access-control-expose-headers")
            .expect("names");
        assert!(exposed.contains("x-ratelimit-limit-tokens"), "{exposed}");
    }
}
