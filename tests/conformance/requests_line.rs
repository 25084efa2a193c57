//! The first line without its target: method, spaces, version, and what may stand before it.

use crate::requests_run::{Row, row};

pub fn rows() -> Vec<Row> {
    let mut rows = before_the_line();
    rows.extend(methods());
    rows.extend(spaces());
    rows.extend(versions());
    rows
}

fn before_the_line() -> Vec<Row> {
    const EMPTY: &str = "9112 2.2";
    vec![
        row(
            "an empty line before",
            EMPTY,
            "|GET /test/a HTTP/1.1|Host: h||",
        )
        .passes("GET /v1/a"),
        row(
            "a few empty lines before",
            EMPTY,
            "||||GET /test/a HTTP/1.1|Host: h||",
        )
        .passes("GET /v1/a"),
        row(
            "many empty lines before",
            EMPTY,
            "||||||||GET /test/a HTTP/1.1|Host: h||",
        )
        .refused(400),
        row(
            "a bare LF before",
            EMPTY,
            "\nGET /test/a HTTP/1.1|Host: h||",
        )
        .refused(400),
        row(
            "a bare CR before",
            EMPTY,
            "\rGET /test/a HTTP/1.1|Host: h||",
        )
        .refused(400),
        row("a space before", EMPTY, " GET /test/a HTTP/1.1|Host: h||").refused(400),
        row("a line of blanks", EMPTY, "   ||").refused(400),
        row("a tab before", EMPTY, "\tGET /test/a HTTP/1.1|Host: h||").refused(400),
        row("a NUL before", EMPTY, "\0GET /test/a HTTP/1.1|Host: h||").refused(400),
        row(
            "a byte order mark before",
            EMPTY,
            "\u{feff}GET /test/a HTTP/1.1|Host: h||",
        )
        .refused(400),
        row(
            "TLS",
            "9112 2.2",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        )
        .refused(400),
        row("only empty lines", EMPTY, "||").waits(),
        row(
            "a head that does not end",
            "9112 2.1",
            "GET /test/a HTTP/1.1|Host: h|",
        )
        .waits(),
        row("a line that does not end", "9112 2.1", "GET /test/a HT").waits(),
    ]
}

/// Name, method.
const REFUSED_METHODS: [(&str, &str); 9] = [
    ("a parenthesis in the method", "GE(T"),
    ("a colon in the method", "GET:"),
    ("a quote in the method", "\"GET\""),
    ("a slash in the method", "GET/x"),
    ("a comma in the method", "GET,POST"),
    ("a bracket in the method", "[GET]"),
    ("a NUL in the method", "GE\0T"),
    ("DEL in the method", "GET\x7f"),
    ("a letter beyond ASCII in the method", "G\u{c9}T"),
];

fn methods() -> Vec<Row> {
    const METHOD: &str = "9110 9.1";
    let mut rows: Vec<Row> = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]
        .into_iter()
        .chain(["get", "PROPFIND", "M-SEARCH", "QUERY", "!#$%&'*+-.^_`~9"])
        .map(|method| {
            row(
                method,
                METHOD,
                format!("{method} /test/a HTTP/1.1|Host: h||"),
            )
            .passes(format!("{method} /v1/a"))
        })
        .collect();
    rows.extend(REFUSED_METHODS.into_iter().map(|(name, method)| {
        let bytes = format!("{method} /test/a HTTP/1.1|Host: h||");
        row(name, METHOD, bytes).refused(400)
    }));
    let long = "M".repeat(4096);
    rows.extend([
        row(
            "a method far too long",
            "9112 3",
            format!("{long} /test/a HTTP/1.1|Host: h||"),
        )
        .refused_with(&[400, 501]),
        row("TRACE", "9110 9.3.8", "TRACE /test/a HTTP/1.1|Host: h||").own(405),
        row(
            "TRACE with a body",
            "9110 9.3.8",
            "TRACE /test/a HTTP/1.1|Host: h|Content-Length: 5||hello",
        )
        .own(405),
        row("CONNECT", "9110 9.3.6", "CONNECT h:443 HTTP/1.1|Host: h||").own(405),
        row(
            "CONNECT of HTTP/1.0 and what it would carry",
            "9110 9.3.6",
            "CONNECT h:443 HTTP/1.0|Proxy-Authorization: Basic x||data",
        )
        .own(405)
        .closes(),
        row(
            "CONNECT with a path",
            "9112 3.2.3",
            "CONNECT /test/a HTTP/1.1|Host: h||",
        )
        .refused(400),
        row(
            "CONNECT without a port",
            "9112 3.2.3",
            "CONNECT h HTTP/1.1|Host: h||",
        )
        .refused(400),
        row(
            "CONNECT without Host",
            "9112 3.2",
            "CONNECT h:443 HTTP/1.1||",
        )
        .refused(400),
        row(
            "CONNECT with a user",
            "9112 3.2.3",
            "CONNECT u@h:443 HTTP/1.1|Host: h||",
        )
        .refused(400),
        row(
            "CONNECT with an absolute URL",
            "9112 3.2.3",
            "CONNECT http://h:443/ HTTP/1.1|Host: h||",
        )
        .refused(400),
    ]);
    rows
}

fn spaces() -> Vec<Row> {
    let refused = [
        ("two spaces after the method", "GET  /test/a HTTP/1.1"),
        ("two spaces before the version", "GET /test/a  HTTP/1.1"),
        ("a tab after the method", "GET\t/test/a HTTP/1.1"),
        ("a tab before the version", "GET /test/a\tHTTP/1.1"),
        ("a vertical tab as a space", "GET\x0b/test/a HTTP/1.1"),
        ("a form feed as a space", "GET /test/a\x0cHTTP/1.1"),
        ("a CR as a space", "GET /test/a\rHTTP/1.1"),
        ("a CR within the line", "GET\r /test/a HTTP/1.1"),
        ("a space after the version", "GET /test/a HTTP/1.1 "),
        ("a tab after the version", "GET /test/a HTTP/1.1\t"),
        ("a CR after the version", "GET /test/a HTTP/1.1\r"),
        ("a space in the target", "GET /test/a b HTTP/1.1"),
        ("no target", "GET HTTP/1.1"),
        ("an empty target", "GET  HTTP/1.1"),
        ("no version", "GET /test/a"),
        ("only a method", "GET"),
        ("no method", "/test/a HTTP/1.1"),
        (
            "two request lines in one",
            "GET /test/a HTTP/1.1 GET /test/b HTTP/1.1",
        ),
    ];
    let mut rows: Vec<Row> = refused
        .into_iter()
        .map(|(name, line)| row(name, "9112 3", format!("{line}|Host: h||")).refused(400))
        .collect();
    rows.extend([
        row("a line of HTTP/0.9", "9112 3", "GET /test/a|").refused(400),
        row(
            "a bare LF after the line",
            "9112 2.2",
            "GET /test/a HTTP/1.1\nHost: h||",
        )
        .refused(400),
        row(
            "bare LFs only",
            "9112 2.2",
            "GET /test/a HTTP/1.1\nHost: h\n\n",
        )
        .refused(400),
    ]);
    rows
}

fn versions() -> Vec<Row> {
    const VERSION: &str = "9112 2.3";
    let refused = [
        ("HTTP/1.10", 400),
        ("HTTP/1.01", 400),
        ("HTTP/01.1", 400),
        ("HTTP/11.1", 400),
        ("HTTP/1", 400),
        ("HTTP/1.", 400),
        ("HTTP/.1", 400),
        ("HTTP/1,1", 400),
        ("HTTP/+1.1", 400),
        ("HTTP/-1.1", 400),
        ("HTTP/1.1.1", 400),
        ("HTTP/1.x", 400),
        ("HTTP/0x1.1", 400),
        ("HTTP1.1", 400),
        ("HTTP 1.1", 400),
        ("HTTP/ 1.1", 400),
        ("http/1.1", 400),
        ("HtTp/1.1", 400),
        ("HTP/1.1", 400),
        ("IHTTP/1.1", 400),
        ("ICE/1.0", 400),
        ("HTTPS/1.1", 400),
        ("RTSP/1.0", 400),
        ("SIP/2.0", 400),
        ("HTTP/\u{661}.1", 400),
        ("HTTP/0.9", 505),
        ("HTTP/2.0", 505),
        ("HTTP/3.0", 505),
        ("HTTP/9.9", 505),
    ];
    let mut rows: Vec<Row> = refused
        .into_iter()
        .map(|(version, status)| {
            row(version, VERSION, format!("GET /test/a {version}|Host: h||")).refused(status)
        })
        .collect();
    rows.extend([
        row(
            "HTTP/1.2 is served as 1.1",
            "9110 2.5",
            "GET /test/a HTTP/1.2|Host: h||",
        )
        .passes("GET /v1/a"),
        row(
            "HTTP/1.9 is served as 1.1",
            "9110 2.5",
            "GET /test/a HTTP/1.9|Host: h||",
        )
        .passes("GET /v1/a"),
        row("HTTP/1.2 needs Host", "9112 3.2", "GET /test/a HTTP/1.2||").refused(400),
        row("HTTP/1.0", "9112 9.3", "GET /test/a HTTP/1.0||")
            .passes("GET /v1/a")
            .closes(),
        row("the preface of HTTP/2", "9113 3.4", "PRI * HTTP/2.0||SM||").refused(505),
        row(
            "the preface of HTTP/2 as HTTP/1.1",
            "9112 3.2.4",
            "PRI * HTTP/1.1|Host: h||SM||",
        )
        .refused(400),
    ]);
    rows
}
