//! Request targets, and where they lead.

use crate::requests_run::{Row, row};

pub fn rows() -> Vec<Row> {
    let mut rows = targets();
    rows.extend(refused_targets());
    rows.extend(own_paths());
    rows
}

/// Name, target, what the platform sees.
const ORIGIN_FORMS: [(&str, &str, &str); 17] = [
    ("a query", "/test/a?b=c&d", "/v1/a?b=c&d"),
    ("an empty query", "/test/a?", "/v1/a?"),
    ("a query with question marks", "/test/a?b?c", "/v1/a?b?c"),
    (
        "a query with a path and dots",
        "/test/a?/../..",
        "/v1/a?/../..",
    ),
    ("the platform alone", "/test", "/v1"),
    ("a slash at the end", "/test/", "/v1/"),
    ("the API path written out", "/test/v1/a", "/v1/a"),
    (
        "a path that only begins like the API path",
        "/test/v1beta/a",
        "/v1/v1beta/a",
    ),
    ("two slashes within", "/test/a//b", "/v1/a//b"),
    ("an encoded slash", "/test/a%2Fb%2fc", "/v1/a%2Fb%2fc"),
    ("an encoded letter", "/test/%41%7e", "/v1/%41%7e"),
    ("an encoded NUL", "/test/a%00b", "/v1/a%00b"),
    ("encoded CRLF", "/test/a%0d%0aX:%20y", "/v1/a%0d%0aX:%20y"),
    ("a broken escape", "/test/a%zz%", "/v1/a%zz%"),
    (
        "dots within the platform",
        "/test/a/../b/./c",
        "/v1/a/../b/./c",
    ),
    (
        "other visible bytes",
        "/test/a<>{}^\"`\\b",
        "/v1/a<>{}^\"`\\b",
    ),
    (
        "sub-delimiters",
        "/test/a;b=c:d@e!$&'()*+,",
        "/v1/a;b=c:d@e!$&'()*+,",
    ),
];

/// Name, target, what the platform sees.
const ABSOLUTE_FORMS: [(&str, &str, &str); 5] = [
    ("absolute-form", "http://h/test/a?b", "/v1/a?b"),
    (
        "absolute-form with another host than Host",
        "http://other:81/test/a",
        "/v1/a",
    ),
    ("absolute-form of https", "https://h/test/a", "/v1/a"),
    (
        "absolute-form with a scheme in capitals",
        "HTTP://h/test/a",
        "/v1/a",
    ),
    (
        "absolute-form with an IPv6 address",
        "http://[::1]:80/test/a",
        "/v1/a",
    ),
];

fn targets() -> Vec<Row> {
    const ORIGIN: &str = "9112 3.2.1";
    let mut rows: Vec<Row> = ORIGIN_FORMS
        .into_iter()
        .map(|(name, target, want)| {
            row(name, ORIGIN, format!("GET {target} HTTP/1.1|Host: h||"))
                .passes(format!("GET {want}"))
        })
        .collect();
    const ABSOLUTE: &str = "9112 3.2.2";
    rows.extend(ABSOLUTE_FORMS.into_iter().map(|(name, target, want)| {
        row(name, ABSOLUTE, format!("GET {target} HTTP/1.1|Host: h||"))
            .passes(format!("GET {want}"))
    }));
    let path = format!("a{}", "b".repeat(32 * 1024 - 7));
    rows.push(
        row(
            "a target of 32 KiB",
            "9112 3",
            format!("GET /test/{path} HTTP/1.1|Host: h||"),
        )
        .passes(format!("GET /v1/{path}")),
    );
    rows
}

/// Name, section, target.
const REFUSED: [(&str, &str, &[u8]); 26] = [
    ("a fragment", "9112 3.2", b"/test/a#b"),
    ("UTF-8 in the target", "9112 3.2", b"/test/caf\xc3\xa9"),
    (
        "overlong UTF-8 in the target",
        "9112 3.2",
        b"/test/\xc0\xaf",
    ),
    (
        "a byte beyond ASCII in the query",
        "9112 3.2",
        b"/test/a?\xff",
    ),
    ("DEL in the target", "9112 3.2", b"/test/\x7f"),
    ("NUL in the target", "9112 3.2", b"/test/a\0"),
    ("a control byte in the target", "9112 3.2", b"/test/a\x01"),
    ("a tab in the target", "9112 3.2", b"/test/a\tb"),
    ("a path without a slash", "9112 3.2.1", b"test/a"),
    ("only a query", "9112 3.2.1", b"?a"),
    ("an authority for GET", "9112 3.2.3", b"h:80"),
    ("an asterisk for GET", "9112 3.2.4", b"*"),
    ("an asterisk and a path", "9112 3.2.4", b"*/test/a"),
    ("a scheme that is no HTTP", "9112 3.2.2", b"ftp://h/test/a"),
    ("file", "9112 3.2.2", b"file:///etc/hosts"),
    ("a scheme with one slash", "9112 3.2.2", b"http:/h/test/a"),
    (
        "a scheme without an authority",
        "9110 4.2.1",
        b"http:///test/a",
    ),
    (
        "a user in the authority",
        "9110 4.2.4",
        b"http://u:p@h/test/a",
    ),
    ("an absolute fragment", "9112 3.2.2", b"http://h/test/a#b"),
    (
        "a port that is no number",
        "9110 4.2.1",
        b"http://h:x/test/a",
    ),
    (
        "a port that is too large",
        "9110 4.2.1",
        b"http://h:65536/test/a",
    ),
    (
        "a backslash in the authority",
        "9110 4.2.1",
        b"http://h\\@i/test/a",
    ),
    (
        "dots that leave the platform",
        "9110 17.1",
        b"/test/../info",
    ),
    (
        "encoded dots that leave the platform",
        "9110 17.1",
        b"/test/%2e%2E/info",
    ),
    (
        "dots behind an encoded slash",
        "9110 17.1",
        b"/test/..%2finfo",
    ),
    (
        "dots that leave the API path",
        "9110 17.1",
        b"/test/v1/a/../../b",
    ),
];

fn refused_targets() -> Vec<Row> {
    let mut rows: Vec<Row> = REFUSED
        .into_iter()
        .map(|(name, section, target)| {
            let bytes = [b"GET ".as_slice(), target, b" HTTP/1.1|Host: h||"].concat();
            match section {
                // The request's end is known, so the proxy may choose whether the connection goes on.
                "9110 17.1" => row(name, section, bytes).own(400),
                _ => row(name, section, bytes).refused(400),
            }
        })
        .collect();
    let target = |bytes: usize| {
        let path = "a".repeat(bytes - "/test/".len());
        format!("GET /test/{path} HTTP/1.1|Host: h||")
    };
    rows.push(
        row(
            "an asterisk for another method",
            "9112 3.2.4",
            "M-SEARCH * HTTP/1.1|Host: h||",
        )
        .refused(400),
    );
    rows.push(row("a target over 32 KiB", "9112 3", target(32 * 1024 + 1)).refused(414));
    rows.push(row("a target of 70 KiB", "9112 3", target(70 * 1024)).refused(414));
    rows
}

fn own_paths() -> Vec<Row> {
    const ASTERISK: &str = "9112 3.2.4";
    let own = [
        ("OPTIONS for the server", ASTERISK, "OPTIONS *", 204),
        (
            "OPTIONS for the server, absolute",
            ASTERISK,
            "OPTIONS http://h",
            204,
        ),
        ("an empty absolute path", "9110 4.2.3", "GET http://h", 302),
        (
            "an empty absolute path with a query",
            "9110 4.2.3",
            "GET http://h?a",
            302,
        ),
        ("the start page", "9110 15.4.3", "GET /", 302),
        ("a page", "9110 9.3.1", "GET /info", 200),
        ("a page with a query", "9110 9.3.1", "GET /info?a", 200),
        ("the head of a page", "9110 9.3.2", "HEAD /info", 200),
        ("POST to a page", "9110 15.5.6", "POST /info", 405),
        (
            "another method to a page",
            "9110 15.5.6",
            "BREW /metrics",
            405,
        ),
        (
            "an unknown platform",
            "9110 15.5.5",
            "GET /nobody/v1/models",
            404,
        ),
        ("an empty first segment", "9110 15.5.5", "GET //test/a", 404),
        (
            "a platform's name in other letters",
            "9110 4.2.3",
            "GET /TEST/a",
            404,
        ),
        (
            "the head of nothing",
            "9110 9.3.2",
            "HEAD /static/nothing",
            404,
        ),
    ];
    own.into_iter()
        .map(|(name, section, line, status)| {
            row(name, section, format!("{line} HTTP/1.1|Host: h||")).own(status)
        })
        .collect()
}
