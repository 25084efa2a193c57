//! Heads as a platform gets them, byte by byte.

use super::*;
use crate::base::buffer::BUFFER_BYTES;
use crate::base::secret::KEY_BYTES_MAX;
use crate::config::platforms::{HEADERS_BYTES_MAX, PART_BYTES_MAX};
use crate::exchange::testing::{core, shown, with_head};
use crate::http::{FIELDS_MAX, HEAD_BYTES_MAX};

const PLAIN: &str = r#""base_url": "http://h.example:8080/api/", "api_path": "/v1""#;
const OWN: &str = r#""base_url": "http://h.example", "auth_header": "x-api-key", "auth_format": "{key}",
    "headers": {"Version": "2023", "x-extra": "1"}"#;
const HOST: &str = "Host: h.example:8080\r\n";

#[test]
fn what_is_below_the_api_path() {
    for (api_path, path, want) in [
        ("/v1", "/p/v1/models", "/models"),
        ("/v1", "/p/models", "/models"),
        ("/v1", "/p/v1", ""),
        ("/v1", "/p", ""),
        ("/v1", "/p/", "/"),
        ("/v1", "/p/v1/", "/"),
        ("/v1", "/p/v1beta/x", "/v1beta/x"),
        ("/v1", "/p/v1/v1/x", "/v1/x"),
        ("/v1", "/p//v1/x", "//v1/x"),
        ("/v1", "/p/V1/x", "/V1/x"),
        ("/v1", "/p/%761/x", "/%761/x"),
        ("", "/p/v1/x", "/v1/x"),
        ("", "/p", ""),
        ("/a/b", "/p/a/b/c", "/c"),
        ("/a/b", "/p/a/c", "/a/c"),
    ] {
        let platform = format!(r#""base_url": "http://h.example", "api_path": "{api_path}""#);
        let core = core("{}", &platform);
        assert_eq!(
            tail_below(path, &core.site.routes[0]),
            want,
            "{api_path} {path}"
        );
    }
}

/// It takes keys from the query, too.
const GOOGLE: &str = r#""base_url": "http://h.example", "auth_header": "X-Goog-Api-Key""#;

fn written(platform: &str, line: &str, fields: &str) -> String {
    let core = core("{}", platform);
    let route = &core.site.routes[0];
    with_head(line, fields, |head| {
        let found = Shown::find(head, Some(route), &core.clients);
        let mut draft = Vec::new();
        let tail = tail_below(head.target.path, route);
        let offered = offered_protocols(head);
        write_head(&mut draft, head, route, tail, &found, offered.as_deref());
        shown(&draft)
    })
}

#[test]
fn request_lines() {
    for (platform, line, want) in [
        (
            PLAIN,
            "GET /p/v1/models HTTP/1.1",
            "GET /api/v1/models HTTP/1.1",
        ),
        (
            PLAIN,
            "GET /p/models HTTP/1.0",
            "GET /api/v1/models HTTP/1.1",
        ),
        (
            PLAIN,
            "PROPFIND /p/a%2Fb/;c?d=%zz&e HTTP/1.1",
            "PROPFIND /api/v1/a%2Fb/;c?d=%zz&e HTTP/1.1",
        ),
        (PLAIN, "GET /p/v1? HTTP/1.1", "GET /api/v1? HTTP/1.1"),
        (OWN, "GET /p HTTP/1.1", "GET / HTTP/1.1"),
        (OWN, "GET /p?a HTTP/1.1", "GET /?a HTTP/1.1"),
        (
            PLAIN,
            "GET http://proxy.example/p/v1/x HTTP/1.1",
            "GET /api/v1/x HTTP/1.1",
        ),
        (
            PLAIN,
            "GET /p/x?key=client-key-1 HTTP/1.1",
            "GET /api/v1/x HTTP/1.1",
        ),
        (
            PLAIN,
            "GET /p/x?a=1&key=client-key-1&b=2 HTTP/1.1",
            "GET /api/v1/x?a=1&b=2 HTTP/1.1",
        ),
        (
            PLAIN,
            "GET /p/x?key=client-key-1&key=x HTTP/1.1",
            "GET /api/v1/x HTTP/1.1",
        ),
        (
            PLAIN,
            "GET /p/x?key=other&b=2 HTTP/1.1",
            "GET /api/v1/x?key=other&b=2 HTTP/1.1",
        ),
        (
            GOOGLE,
            "GET /p/x?key=dummy&b=2 HTTP/1.1",
            "GET /x?b=2 HTTP/1.1",
        ),
    ] {
        let found = written(platform, line, "");
        assert_eq!(found.lines().next(), Some(want), "{line}");
    }
}

const FIELDS: &[(&str, &str)] = &[
    ("", ""),
    (
        "User-Agent: a\r\naCCept: */*\r\n",
        "User-Agent: a\r\naCCept: */*\r\n",
    ),
    ("B: 2\r\nA: 1\r\nB: 1\r\n", "B: 2\r\nA: 1\r\nB: 1\r\n"),
    ("Empty:\r\nBlank:  x  \r\n", "Empty: \r\nBlank: x\r\n"),
    (
        "Accept-Encoding: gzip, br\r\n",
        "Accept-Encoding: gzip, br\r\n",
    ),
    (
        "Cookie: a=b\r\nOrigin: https://o\r\n",
        "Cookie: a=b\r\nOrigin: https://o\r\n",
    ),
    ("Max-Forwards: 3\r\n", "Max-Forwards: 3\r\n"),
    (
        "Content-Length: 5\r\nA: 1\r\n",
        "Content-Length: 5\r\nA: 1\r\n",
    ),
    (
        "A: 1\r\ncontent-length: 05\r\n",
        "A: 1\r\nContent-Length: 5\r\n",
    ),
    ("Content-Length: 0\r\n", "Content-Length: 0\r\n"),
    (
        "transfer-encoding: Chunked\r\nA: 1\r\n",
        "Transfer-Encoding: chunked\r\nA: 1\r\n",
    ),
    (
        "Connection: close\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\n",
        "",
    ),
    ("TE: trailers\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n", ""),
    ("Connection: upgrade\r\nUpgrade: h2c\r\n", ""),
    (
        "Connection: upgrade\r\nUpgrade: h2c, a\r\nB: c\r\nUpgrade: d\r\n",
        "B: c\r\nConnection: Upgrade\r\nUpgrade: a,d\r\n",
    ),
    (
        "Sec-WebSocket-Protocol: a, openai-insecure-api-key.x\r\nSec-WebSocket-Protocol: openai-insecure-api-key.y\r\n",
        "Sec-WebSocket-Protocol: a\r\n",
    ),
    (
        "Sec-WebSocket-Protocol: openai-insecure-api-key.x, a,b ,openai-insecure-api-key.y , c\r\n",
        "Sec-WebSocket-Protocol: a,b , c\r\n",
    ),
    (
        "Sec-WebSocket-Protocol: , openai-insecure-api-key.x\r\n",
        "",
    ),
    (
        "Sec-WebSocket-Protocol: a,,b\r\n",
        "Sec-WebSocket-Protocol: a,,b\r\n",
    ),
    (
        "Proxy-Authorization: Basic x\r\nProxy-Authenticate: x\r\n",
        "",
    ),
    (
        "Connection: X-Hop, A\r\nx-hop: 1\r\nA: 1\r\nB: 1\r\n",
        "B: 1\r\n",
    ),
    ("X-Hop: 1\r\nConnection: x\r\nConnection: X-HOP\r\n", ""),
    (
        "Connection: Content-Length, host\r\nContent-Length: 1\r\n",
        "Content-Length: 1\r\n",
    ),
    (
        "X-Forwarded-For: 1\r\nx-forwarded-proto: 2\r\nX-Forwarded-Any: 3\r\n",
        "",
    ),
    ("Forwarded: for=x\r\nVia: 1.1 x\r\n", ""),
    (
        "X-Real-IP: 1\r\nTrue-Client-IP: 1\r\nCF-Connecting-IP: 1\r\nCF-Connecting-IPv6: 1\r\n",
        "",
    ),
    (
        "X-Client-IP: 1\r\nX-Original-Forwarded-For: 1\r\nFly-Client-IP: 1\r\nX-Envoy-External-Address: 1\r\n",
        "",
    ),
    (
        "X-Forwarded: 1\r\nX-Real: 2\r\n",
        "X-Forwarded: 1\r\nX-Real: 2\r\n",
    ),
    (
        "Expect: 100-continue\r\nContent-Length: 1\r\n",
        "Content-Length: 1\r\n",
    ),
    ("Authorization: Bearer client-key-1\r\n", ""),
    ("AUTHORIZATION: Basic other\r\nA: 1\r\n", "A: 1\r\n"),
    ("x-api-key: client-key-1\r\nA: 1\r\n", "A: 1\r\n"),
    (
        "x-api-key: dummy\r\nAuthorization: client-key-1\r\n",
        "x-api-key: dummy\r\n",
    ),
    (
        "x-goog-api-key: client-key-1\r\napi-key: client-key-1\r\n",
        "",
    ),
    ("Version: 2024\r\n", "Version: 2024\r\n"),
];

#[test]
fn fields() {
    const LINE: &str = "POST /p/v1/x HTTP/1.1";
    for (fields, want) in FIELDS {
        let found = written(PLAIN, LINE, fields);
        assert_eq!(
            found,
            format!("POST /api/v1/x HTTP/1.1\r\n{HOST}{want}"),
            "{fields:?}"
        );
    }
}

#[test]
fn the_platform_s_own_fields() {
    for (fields, want) in [
        ("version: 2024\r\nX-EXTRA: 2\r\nA: 1\r\n", "A: 1\r\n"),
        (
            "x-api-key: dummy\r\nAuthorization: Bearer client-key-1\r\n",
            "",
        ),
        ("Connection: x-api-key\r\nA: 1\r\n", "A: 1\r\n"),
        (
            "Transfer-Encoding: chunked\r\nVersion-2: x\r\n",
            "Transfer-Encoding: chunked\r\nVersion-2: x\r\n",
        ),
    ] {
        let found = written(OWN, "POST /p/x HTTP/1.1", fields);
        assert_eq!(
            found,
            format!("POST /x HTTP/1.1\r\nHost: h.example\r\n{want}"),
            "{fields:?}"
        );
    }
    let core = core("{}", OWN);
    let route = &core.site.routes[0];
    assert_eq!(
        shown(route.key_lines(route.keys[0])),
        "x-api-key: sk-1\r\nVersion: 2023\r\nx-extra: 1\r\n"
    );
}

#[test]
fn what_stands_in_for_a_client_s_own_fields() {
    const DEFAULTS: &str =
        r#""base_url": "http://h.example", "default_headers": {"Version": "2023", "x-extra": "1"}"#;
    for (fields, want) in [
        ("A: 1\r\n", "A: 1\r\nVersion: 2023\r\nx-extra: 1\r\n"),
        ("version: 2024\r\n", "version: 2024\r\nx-extra: 1\r\n"),
        ("X-Extra: 2\r\nVersion: \r\n", "X-Extra: 2\r\nVersion: \r\n"),
    ] {
        let found = written(DEFAULTS, "POST /p/x HTTP/1.1", fields);
        let (_, found) = found.split_once("example\r\n").expect("Host comes first");
        assert_eq!(found, want, "{fields:?}");
    }
}

/// A platform for which everything that is written into a head is as long as it may be.
fn largest_platform() -> String {
    let fill = |before: &str, bytes: usize| format!("{before}{}", "x".repeat(bytes - before.len()));
    let label = "h".repeat(63);
    let url = fill(
        &format!("http://{label}.{label}.{label}:65535/"),
        PART_BYTES_MAX,
    );
    let path = fill("/", PART_BYTES_MAX);
    let auth_header = fill("", PART_BYTES_MAX);
    let auth_format = fill("{key}", PART_BYTES_MAX);
    let value = fill("", HEADERS_BYTES_MAX - "V: \r\n".len());
    format!(
        r#""base_url": "{url}", "api_path": "{path}", "auth_header": "{auth_header}",
           "auth_format": "{auth_format}", "headers": {{"V": "{value}"}}"#
    )
}

#[test]
fn the_largest_head_finds_room_with_the_largest_configuration() {
    let platform = largest_platform();
    let core = core("{}", &platform);
    let route = &core.site.routes[0];
    let key_bytes = route.key_lines(route.keys[0]).len() - "sk-1".len() + KEY_BYTES_MAX;
    let line = "GET /p/ HTTP/1.1";
    let others = format!("{line}\r\nHost: proxy.example\r\n\r\n").len();
    let short_fields = "a:\r\n".repeat(FIELDS_MAX - 3);
    // (what comes before and after what fills the head)
    let rows = [
        ("Connection:upgrade\r\nUpgrade:", ""),
        ("Sec-WebSocket-Protocol:openai-insecure-api-key.k,", ""),
        ("a:", &short_fields),
    ];
    for (before, after) in rows {
        let left = HEAD_BYTES_MAX - others - before.len() - after.len() - 2;
        let fields = format!("{before}{}\r\n{after}", "a,".repeat(left / 2));
        let draft = written(&platform, line, &fields);
        let bytes = draft.len() + key_bytes + 2;
        assert!(bytes <= BUFFER_BYTES, "{before}: {bytes} bytes");
    }
}

#[test]
fn a_long_list_of_protocols_is_not_offered() {
    let offered = |list: &str| {
        let fields = format!("Connection: upgrade\r\nUpgrade: {list}\r\n");
        with_head("GET / HTTP/1.1", &fields, offered_protocols).map(|list| list.len())
    };
    let many = |count| vec!["a"; count].join(", ");
    assert_eq!(offered(&many(OFFERED_MAX)), Some(2 * OFFERED_MAX - 1));
    assert_eq!(offered(&many(OFFERED_MAX + 1)), None);
    let long = |count| "a".repeat(count);
    assert_eq!(offered(&long(OFFERED_BYTES_MAX)), Some(OFFERED_BYTES_MAX));
    assert_eq!(offered(&long(OFFERED_BYTES_MAX + 1)), None);
}
