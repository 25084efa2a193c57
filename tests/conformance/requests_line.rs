//! The first line: method, target, version, and what may stand before it.

use crate::requests_run::{Row, row};

pub fn rows() -> Vec<Row> {
    let mut rows = before_the_line();
    rows.extend(methods());
    rows.extend(spaces());
    rows.extend(versions());
    rows.extend(targets());
    rows.extend(refused_targets());
    rows.extend(own_paths());
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
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
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
    let refused = [
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
    rows.extend(refused.into_iter().map(|(name, method)| {
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
        row("CONNECT", "9110 9.3.6", "CONNECT h:443 HTTP/1.1|Host: h||").own(405),
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
        ("HTTP/01.1", 400),
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
    ]);
    rows
}

fn targets() -> Vec<Row> {
    const ORIGIN: &str = "9112 3.2.1";
    let passed = [
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
    let mut rows: Vec<Row> = passed
        .into_iter()
        .map(|(name, target, want)| {
            row(name, ORIGIN, format!("GET {target} HTTP/1.1|Host: h||"))
                .passes(format!("GET {want}"))
        })
        .collect();
    const ABSOLUTE: &str = "9112 3.2.2";
    let passed = [
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
    rows.extend(passed.into_iter().map(|(name, target, want)| {
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

fn refused_targets() -> Vec<Row> {
    let refused: [(&str, &str, &[u8]); 25] = [
        ("a fragment", "9112 3.2", b"/test/a#b"),
        ("UTF-8 in the target", "9112 3.2", b"/test/caf\xc3\xa9"),
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
    let mut rows: Vec<Row> = refused
        .into_iter()
        .map(|(name, section, target)| {
            let bytes = [b"GET ".as_slice(), target, b" HTTP/1.1|Host: h||"].concat();
            match section {
                // Its end is known: whether the connection goes on is the proxy's choice.
                "9110 17.1" => row(name, section, bytes).own(400),
                _ => row(name, section, bytes).refused(400),
            }
        })
        .collect();
    let target = |bytes: usize| {
        let path = "a".repeat(bytes - "/test/".len());
        format!("GET /test/{path} HTTP/1.1|Host: h||")
    };
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
