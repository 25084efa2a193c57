//! Field lines of platforms, and interim answers.

use crate::answers_line::OK;
use crate::answers_run::{Row, row};

pub fn rows() -> Vec<Row> {
    let mut rows = fields();
    rows.extend(refused_fields());
    rows.extend(interims());
    rows.extend(refused_interims());
    rows
}

const VALUE: &str = "9110 5.5";

/// Name, section, what the platform sends, a line that the client sees.
const PASSED: [(&str, &str, &str, &str); 13] = [
    ("a field", VALUE, "X: y", "X: y"),
    ("blanks around a value", "9112 5.1", "X:\t y \t", "X: y"),
    ("an empty value", VALUE, "X:", "X: "),
    ("UTF-8 in a value", VALUE, "X: caf\u{e9}", "X: caf\u{e9}"),
    (
        "a name's letters are kept",
        "9110 5.1",
        "x-CuStOm: y",
        "x-CuStOm: y",
    ),
    (
        "Server",
        "9110 10.2.4",
        "Server: x/1.0 (y)",
        "Server: x/1.0 (y)",
    ),
    (
        "an encoding",
        "9110 8.4",
        "Content-Encoding: gzip",
        "Content-Encoding: gzip",
    ),
    (
        "an entity tag",
        "9110 8.8.3",
        "ETag: W/\"a\"",
        "ETag: W/\"a\"",
    ),
    (
        "a Date",
        "9110 6.6.1",
        "Date: Sun, 06 Nov 1994 08:49:37 GMT",
        "Date: Sun, 06 Nov 1994 08:49:37 GMT",
    ),
    (
        "a request's id",
        "9110 5.1",
        "x-request-id: req_1",
        "x-request-id: req_1",
    ),
    (
        "two ids of a request",
        "9110 5.3",
        "x-request-id: req_1|x-request-id: req_2",
        "x-request-id: req_1",
    ),
    (
        "a first cookie",
        "6265 3",
        "Set-Cookie: a=b|Set-Cookie: c=d",
        "Set-Cookie: a=b",
    ),
    (
        "a second cookie",
        "6265 3",
        "Set-Cookie: a=b|Set-Cookie: c=d",
        "Set-Cookie: c=d",
    ),
];

const HOP: &str = "9110 7.6.1";

/// Name, section, what the platform sends, a field that the client does not see.
const REMOVED: [(&str, &str, &str, &str); 7] = [
    ("Keep-Alive", HOP, "Keep-Alive: timeout=5", "keep-alive"),
    (
        "Connection: keep-alive",
        HOP,
        "Connection: keep-alive",
        "connection",
    ),
    (
        "Proxy-Connection",
        "9112 C.2.2",
        "Proxy-Connection: x",
        "proxy-connection",
    ),
    (
        "Proxy-Authenticate",
        "9110 11.7.1",
        "Proxy-Authenticate: Basic",
        "proxy-authenticate",
    ),
    (
        "Upgrade that is only an offer",
        "9110 7.8",
        "Connection: upgrade|Upgrade: h2c",
        "upgrade",
    ),
    (
        "a field that Connection names",
        HOP,
        "Connection: x-y|X-Y: z",
        "x-y",
    ),
    (
        "a field that Connection names later",
        HOP,
        "X-Y: z|connection: X-Y",
        "x-y",
    ),
];

fn fields() -> Vec<Row> {
    let mut rows: Vec<Row> = PASSED
        .into_iter()
        .map(|(name, section, line, want)| {
            row(name, section, format!("HTTP/1.1 200 OK|{line}|{OK}"))
                .delivered(200, "ok")
                .has(want)
        })
        .collect();
    rows.extend(REMOVED.into_iter().map(|(name, section, line, field)| {
        row(name, section, format!("HTTP/1.1 200 OK|{line}|{OK}"))
            .delivered(200, "ok")
            .lacks(field)
    }));
    rows.extend([
        row(
            "Connection names the length",
            HOP,
            format!("HTTP/1.1 200 OK|Connection: content-length|{OK}"),
        )
        .delivered(200, "ok")
        .has("Content-Length: 2"),
        row(
            "close",
            "9112 9.3",
            format!("HTTP/1.1 200 OK|Connection: close|{OK}"),
        )
        .then_closes()
        .delivered_once(200, "ok")
        .lacks("connection"),
        row(
            "close, and it stays open",
            "9112 9.6",
            format!("HTTP/1.1 200 OK|Connection: x, CLOSE|{OK}"),
        )
        .delivered_once(200, "ok")
        .lacks("connection"),
    ]);
    rows
}

fn refused_fields() -> Vec<Row> {
    const NAME: &str = "9112 5.1";
    const VALUE: &str = "9110 5.5";
    let refused: [(&str, &str, &[u8]); 17] = [
        ("a space before the colon", NAME, b"X : y|"),
        ("a tab before the colon", NAME, b"X\t: y|"),
        ("a space in the name", NAME, b"X Y: z|"),
        ("an empty name", "9112 5", b": y|"),
        ("no colon", "9112 5", b"X|"),
        ("a fold", "9112 5.2", b"X: y| z|"),
        ("a fold with a tab", "9112 5.2", b"X: y|\tz|"),
        ("NUL in a name", NAME, b"X\0: y|"),
        ("UTF-8 in a name", NAME, b"X\xc3\xa9: y|"),
        ("a parenthesis in a name", NAME, b"X(: y|"),
        ("NUL in a value", VALUE, b"X: \0|"),
        ("a bare CR in a value", VALUE, b"X: a\rb|"),
        ("a CR before the line end", VALUE, b"X: a\r|"),
        ("a control byte in a value", VALUE, b"X: a\x01|"),
        ("DEL in a value", VALUE, b"X: a\x7f|"),
        ("a bare LF after a field", "9112 2.2", b"X: a\nY: b|"),
        ("a space before the first field", "9112 2.2", b" X: y|"),
    ];
    let mut rows: Vec<Row> = refused
        .into_iter()
        .map(|(name, section, line)| {
            let bytes = [b"HTTP/1.1 200 OK|".as_slice(), line, OK.as_bytes()].concat();
            row(name, section, bytes).bad_gateway()
        })
        .collect();
    let many = "X: y|".repeat(100);
    let long = "y".repeat(70 * 1024);
    rows.extend([
        row(
            "101 fields",
            "9110 5.4",
            format!("HTTP/1.1 200 OK|{many}{OK}"),
        )
        .bad_gateway(),
        row(
            "99 fields",
            "9110 5.4",
            format!("HTTP/1.1 200 OK|{}{OK}", &many[5..]),
        )
        .delivered(200, "ok"),
        row(
            "a value of 70 KiB",
            "9110 5.4",
            format!("HTTP/1.1 200 OK|X: {long}|{OK}"),
        )
        .bad_gateway(),
    ]);
    rows
}

fn interims() -> Vec<Row> {
    const INTERIM: &str = "9110 15.2";
    let ok = format!("HTTP/1.1 200 OK|{OK}");
    let after = |name, interims: &str| row(name, INTERIM, format!("{interims}{ok}"));
    vec![
        after("100", "HTTP/1.1 100 Continue||")
            .interim(&["HTTP/1.1 100 Continue"])
            .delivered(200, "ok"),
        after("102", "HTTP/1.1 102 Processing||")
            .interim(&["HTTP/1.1 102 Processing"])
            .delivered(200, "ok"),
        after("103", "HTTP/1.1 103 Early Hints|Link: </a>; rel=preload||")
            .interim(&["HTTP/1.1 103 Early Hints", "Link: </a>; rel=preload"])
            .delivered(200, "ok"),
        after(
            "an interim status that nobody knows",
            "HTTP/1.1 199 x|X: y||",
        )
        .interim(&["HTTP/1.1 199 x", "X: y"])
        .delivered(200, "ok"),
        after(
            "two interim answers",
            "HTTP/1.1 100 Continue||HTTP/1.1 103 Early Hints|X: y||",
        )
        .interim(&["HTTP/1.1 100 Continue"])
        .interim(&["HTTP/1.1 103 Early Hints", "X: y"])
        .delivered(200, "ok"),
        after(
            "an interim answer with a length",
            "HTTP/1.1 103 x|Content-Length: 5||",
        )
        .interim(&["HTTP/1.1 103 x"])
        .delivered(200, "ok"),
        after(
            "an interim answer with Connection",
            "HTTP/1.1 103 x|Connection: X-Y|X-Y: z||",
        )
        .interim(&["HTTP/1.1 103 x"])
        .delivered(200, "ok"),
        after(
            "an interim answer for HTTP/1.0",
            "HTTP/1.1 100 Continue||HTTP/1.1 103 x||",
        )
        .for_http_1_0()
        .delivered(200, "ok"),
        row(
            "an interim answer before HEAD's",
            INTERIM,
            "HTTP/1.1 103 x||HTTP/1.1 200 OK|Content-Length: 2||",
        )
        .to("HEAD")
        .interim(&["HTTP/1.1 103 x"])
        .delivered(200, ""),
    ]
}

fn refused_interims() -> Vec<Row> {
    const INTERIM: &str = "9110 15.2";
    const SWITCH: &str = "9110 15.2.2";
    let ok = format!("HTTP/1.1 200 OK|{OK}");
    let after = |name, interims: &str| row(name, INTERIM, format!("{interims}{ok}"));
    let endless = "HTTP/1.1 103 x||".repeat(33);
    let endless = after("interim answers without end", &endless).in_one_piece();
    let endless = (0..32).fold(endless, |row, _| row.interim(&["HTTP/1.1 103 x"]));
    vec![
        endless.bad_gateway(),
        after(
            "an interim answer with a coding",
            "HTTP/1.1 103 x|Transfer-Encoding: chunked||",
        )
        .bad_gateway(),
        after("a malformed interim answer", "HTTP/1.1 103 x|X : y||").bad_gateway(),
        row(
            "an interim answer and nothing else",
            INTERIM,
            "HTTP/1.1 103 x||",
        )
        .then_closes()
        .interim(&["HTTP/1.1 103 x"])
        .bad_gateway(),
        row(
            "an interim answer and nonsense",
            INTERIM,
            "HTTP/1.1 103 x||nonsense|",
        )
        .interim(&["HTTP/1.1 103 x"])
        .bad_gateway(),
        row(
            "a switch that nobody asked for",
            SWITCH,
            "HTTP/1.1 101 x|Connection: upgrade|Upgrade: x||",
        )
        .bad_gateway(),
        row("a switch to nothing", SWITCH, "HTTP/1.1 101 x||").bad_gateway(),
        row(
            "a switch after an interim answer",
            SWITCH,
            "HTTP/1.1 103 x||HTTP/1.1 101 x|Upgrade: x||",
        )
        .interim(&["HTTP/1.1 103 x"])
        .bad_gateway(),
    ]
}
