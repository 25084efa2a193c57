//! What a proxy does with a request besides reading it: fields between two hops, expectations, the connection.

use crate::requests_run::{Row, row};

pub fn rows() -> Vec<Row> {
    let mut rows = hop_by_hop();
    rows.extend(end_to_end());
    rows.extend(persistence());
    rows.extend(expectations());
    rows.extend(refused_expectations());
    rows
}

fn get(lines: &str) -> String {
    format!("GET /test/a HTTP/1.1|Host: h|{lines}|")
}

const HOP: &str = "9110 7.6.1";

/// Name, section, lines after Host, a field that the platform does not see.
const REMOVED: [(&str, &str, &str, &str); 16] = [
    ("Keep-Alive", HOP, "Keep-Alive: timeout=5|", "keep-alive"),
    (
        "Proxy-Connection",
        "9112 C.2.2",
        "Proxy-Connection: keep-alive|",
        "proxy-connection",
    ),
    ("TE", "9110 10.1.4", "TE: trailers, deflate|", "te"),
    (
        "Proxy-Authorization",
        "9110 11.7.2",
        "Proxy-Authorization: Basic x|",
        "proxy-authorization",
    ),
    (
        "Upgrade alone",
        "9110 7.8",
        "Upgrade: websocket|",
        "upgrade",
    ),
    (
        "h2c",
        "9113 3.1",
        "Connection: Upgrade, HTTP2-Settings|Upgrade: h2c|HTTP2-Settings: AAMA|",
        "http2-settings",
    ),
    (
        "a field that Connection names",
        HOP,
        "Connection: X-Y|X-Y: z|",
        "x-y",
    ),
    (
        "a field that Connection names in other letters",
        HOP,
        "connection: x-y|X-Y: z|",
        "x-y",
    ),
    (
        "a field that Connection names afterwards",
        HOP,
        "X-Y: z|Connection: keep-alive, x-y|",
        "x-y",
    ),
    (
        "a field that a second Connection names",
        HOP,
        "Connection: a|Connection: x-y|X-Y: z|",
        "x-y",
    ),
    (
        "a field that Connection names among empty items",
        HOP,
        "Connection: ,, x-y ,|X-Y: z|",
        "x-y",
    ),
    (
        "a field that is there twice",
        HOP,
        "Connection: x-y|X-Y: z|X-Y: z|",
        "x-y",
    ),
    (
        "X-Forwarded-For",
        "9110 7.6.3",
        "X-Forwarded-For: 1.2.3.4|X-Forwarded-Host: h|",
        "x-forwarded-for",
    ),
    (
        "Forwarded",
        "7239 8.3",
        "Forwarded: for=1.2.3.4|",
        "forwarded",
    ),
    ("Via", "9110 7.6.3", "Via: 1.1 proxy|", "via"),
    (
        "a cookie that Connection names",
        HOP,
        "Connection: cookie|Cookie: a|",
        "cookie",
    ),
];

fn hop_by_hop() -> Vec<Row> {
    let mut rows: Vec<Row> = REMOVED
        .into_iter()
        .map(|(name, section, lines, field)| {
            row(name, section, get(lines))
                .passes("GET /v1/a")
                .lacks(field)
        })
        .collect();
    rows.extend([
        row(
            "Connection names Host",
            HOP,
            get("Connection: host|"),
        )
        .passes("GET /v1/a"),
        row(
            "Connection names Authorization",
            HOP,
            get("Connection: authorization|Authorization: Bearer x|"),
        )
        .passes("GET /v1/a"),
        row(
            "Connection names the length",
            HOP,
            "POST /test/a HTTP/1.1|Host: h|Connection: content-length|Content-Length: 5||hello",
        )
        .passes("POST /v1/a")
        .has("Content-Length: 5")
        .body("hello"),
        row(
            "Connection names the coding",
            HOP,
            "POST /test/a HTTP/1.1|Host: h|Connection: transfer-encoding|Transfer-Encoding: chunked||5|hello|0||",
        )
        .passes("POST /v1/a")
        .has("Transfer-Encoding: chunked")
        .body("hello"),
        row(
            "a protocol that HTTP/1.0 offers",
            "9110 7.8",
            "GET /test/a HTTP/1.0|Connection: upgrade|Upgrade: websocket||",
        )
        .passes("GET /v1/a")
        .lacks("upgrade")
        .closes(),
        row(
            "a client's own Authorization",
            "9110 11.6.2",
            get("Authorization: Bearer smuggled|AUTHORIZATION: Basic x|"),
        )
        .passes("GET /v1/a"),
        row("Connection that is no list of tokens", HOP, get("Connection: \"x\", a b|"))
            .passes("GET /v1/a"),
    ]);
    rows
}

fn end_to_end() -> Vec<Row> {
    let passed = [
        (
            "Accept-Encoding",
            "9110 12.5.3",
            "Accept-Encoding: gzip, br;q=0.5",
        ),
        ("Accept", "9110 12.5.1", "Accept: text/event-stream"),
        ("User-Agent", "9110 10.1.5", "User-Agent: test/1.0 (x; y)"),
        ("Cookie", "6265 5.4", "Cookie: a=b; c=d"),
        ("Max-Forwards", "9110 7.6.2", "Max-Forwards: 0"),
        ("Date", "9110 6.6.1", "Date: Sun, 06 Nov 1994 08:49:37 GMT"),
        ("Range", "9110 14.2", "Range: bytes=0-4"),
        ("a range of nothing", "9110 14.1.1", "Range: bytes=x-y"),
        ("cookies that are none", "6265 5.4", "Cookie: ===;;;"),
        (
            "two content types",
            "9110 5.3",
            "Content-Type: a/b|Content-Type: c/d",
        ),
        (
            "If-None-Match",
            "9110 13.1.2",
            "If-None-Match: \"a\", W/\"b\"",
        ),
        ("Cache-Control", "9111 5.2", "Cache-Control: no-transform"),
        (
            "Content-Type without a body",
            "9110 8.3",
            "Content-Type: application/json",
        ),
        ("Trailer", "9110 6.6.2", "Trailer: X"),
        ("Pragma", "9111 5.4", "Pragma: no-cache"),
        (
            "a field that an app named",
            "9110 5.1",
            "OpenAI-Organization: org",
        ),
        ("Origin", "9110 5.1", "Origin: http://example.com"),
    ];
    passed
        .into_iter()
        .map(|(name, section, line)| {
            let row = row(name, section, get(&format!("{line}|"))).passes("GET /v1/a");
            line.split('|').fold(row, |row, line| row.has(line))
        })
        .collect()
}

fn persistence() -> Vec<Row> {
    const PERSISTENCE: &str = "9112 9.3";
    let old = |lines: &str| format!("GET /test/a HTTP/1.0|{lines}|");
    let asked = |name, bytes: String| row(name, PERSISTENCE, bytes).passes("GET /v1/a");
    vec![
        asked("nothing is said", get("")),
        asked("keep-alive", get("Connection: keep-alive|")),
        asked("close", get("Connection: close|")).closes(),
        asked("close in other letters", get("Connection: ClOsE|")).closes(),
        asked("close among others", get("Connection: x, close, y|")).closes(),
        asked(
            "close on a second line",
            get("Connection: keep-alive|Connection: close|"),
        )
        .closes(),
        asked("a word that begins with close", get("Connection: closed|")),
        asked("HTTP/1.0 and nothing is said", old("")).closes(),
        asked("HTTP/1.0 and keep-alive", old("Connection: keep-alive|")),
        asked(
            "HTTP/1.0 and keep-alive in other letters",
            old("Connection: Keep-Alive|"),
        ),
        asked(
            "HTTP/1.0, keep-alive and close",
            old("Connection: keep-alive, close|"),
        )
        .closes(),
        asked(
            "HTTP/1.0 and Proxy-Connection",
            old("Proxy-Connection: keep-alive|"),
        )
        .closes(),
        asked("HTTP/1.0 and Keep-Alive", old("Keep-Alive: timeout=5|")).closes(),
        row(
            "close after a page",
            PERSISTENCE,
            "GET /info HTTP/1.1|Host: h|Connection: close||",
        )
        .own(200)
        .closes(),
        row("HTTP/1.0 after a page", PERSISTENCE, "GET /info HTTP/1.0||")
            .own(200)
            .closes(),
    ]
}

fn expectations() -> Vec<Row> {
    const EXPECT: &str = "9110 10.1.1";
    let post = |lines: &str, body: &str| format!("POST /test/a HTTP/1.1|Host: h|{lines}||{body}");
    vec![
        row(
            "100-continue",
            EXPECT,
            post("Expect: 100-continue|Content-Length: 5", ""),
        )
        .after_continue("hello")
        .passes("POST /v1/a")
        .lacks("expect")
        .body("hello"),
        row(
            "100-continue and chunks",
            EXPECT,
            post("Expect: 100-Continue|Transfer-Encoding: chunked", ""),
        )
        .after_continue("5|hello|0||")
        .passes("POST /v1/a")
        .lacks("expect")
        .body("hello"),
        row(
            "100-continue and the body at once",
            EXPECT,
            post("Expect: 100-continue|Content-Length: 5", "hello"),
        )
        .may_continue()
        .passes("POST /v1/a")
        .body("hello"),
        row(
            "100-continue without a body",
            EXPECT,
            get("Expect: 100-continue|"),
        )
        .passes("GET /v1/a"),
        row(
            "100-continue, and a body that is empty",
            EXPECT,
            post("Expect: 100-continue|Content-Length: 0", ""),
        )
        .may_continue()
        .passes("POST /v1/a"),
        row(
            "100-continue in HTTP/1.0",
            EXPECT,
            "POST /test/a HTTP/1.0|Expect: 100-continue|Content-Length: 5||hello",
        )
        .passes("POST /v1/a")
        .body("hello")
        .closes(),
        row(
            "100-continue to nobody",
            EXPECT,
            "POST /nobody HTTP/1.1|Host: h|Expect: 100-continue|Content-Length: 5||",
        )
        .own(404)
        .may_close(),
    ]
}

fn refused_expectations() -> Vec<Row> {
    const EXPECT: &str = "9110 10.1.1";
    let post = |lines: &str, body: &str| format!("POST /test/a HTTP/1.1|Host: h|{lines}||{body}");
    vec![
        row(
            "an expectation that nobody knows",
            EXPECT,
            post("Expect: x|Content-Length: 5", ""),
        )
        .refused(417),
        row(
            "an expectation with a value",
            EXPECT,
            post("Expect: 100-continue=x|Content-Length: 5", ""),
        )
        .refused(417),
        row(
            "an expectation beside 100-continue",
            EXPECT,
            post("Expect: 100-continue, x|Content-Length: 5", ""),
        )
        .refused(417),
        row(
            "a number close to 100",
            EXPECT,
            post("Expect: 200-ok|Content-Length: 5", ""),
        )
        .refused(417),
        row(
            "100-continue with a space",
            EXPECT,
            post("Expect: 100 continue|Content-Length: 5", ""),
        )
        .refused(417),
        row(
            "a word before 100-continue",
            EXPECT,
            post("Expect: y 100-continue|Content-Length: 5", ""),
        )
        .refused(417),
        row(
            "100-continue on the next line",
            "9112 5.2",
            post("Expect:| 100-continue|Content-Length: 5", ""),
        )
        .refused(400),
        row("an empty expectation", EXPECT, get("Expect:|")).passes("GET /v1/a"),
        row(
            "a HTTP/1.0 expectation that nobody knows",
            EXPECT,
            "GET /test/a HTTP/1.0|Expect: x||",
        )
        .passes("GET /v1/a")
        .closes(),
    ]
}
