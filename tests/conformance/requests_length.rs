//! Content-Length: how many bytes a body has.

use crate::requests_run::{Row, row};

const LENGTH: &str = "9112 6.2";
const BODY: &str = "9112 6.3";

pub fn rows() -> Vec<Row> {
    let mut rows = lengths();
    rows.extend(other_lengths());
    rows.extend(lengths_elsewhere());
    rows.extend(refused_lengths());
    rows
}

/// A POST with these field lines and this body.
pub fn post(lines: &str, body: &str) -> String {
    format!("POST /test/a HTTP/1.1|Host: h|{lines}||{body}")
}

fn lengths() -> Vec<Row> {
    let length = |name, line, body| {
        row(name, LENGTH, post(line, body))
            .passes("POST /v1/a")
            .has(format!("Content-Length: {}", body.len()))
            .body(body)
    };
    vec![
        length("a length", "Content-Length: 5", "hello"),
        length("a length in other letters", "cOnTeNt-LeNgTh: 5", "hello"),
        length(
            "a length with blanks around",
            "Content-Length: \t 5 \t",
            "hello",
        ),
        length("a length without a blank", "Content-Length:5", "hello"),
        length(
            "a length with zeros before",
            "Content-Length: 0005",
            "hello",
        ),
        length(
            "a length that looks octal",
            "Content-Length: 010",
            "0123456789",
        ),
        length("a length of 0", "Content-Length: 0", ""),
        length("a length of 00", "Content-Length: 00", ""),
        length(
            "a body that looks like a request",
            "Content-Length: 18",
            "GET / HTTP/1.1\r\n\r\n",
        ),
    ]
}

fn other_lengths() -> Vec<Row> {
    vec![
        row(
            "no length and no body",
            BODY,
            "POST /test/a HTTP/1.1|Host: h||",
        )
        .passes("POST /v1/a")
        .lacks("content-length")
        .lacks("transfer-encoding"),
        row(
            "a body of GET",
            "9110 9.3.1",
            "GET /test/a HTTP/1.1|Host: h|Content-Length: 5||hello",
        )
        .passes("GET /v1/a")
        .body("hello"),
        row(
            "a body of HEAD",
            "9110 9.3.2",
            "HEAD /test/a HTTP/1.1|Host: h|Content-Length: 5||hello",
        )
        .passes("HEAD /v1/a")
        .body("hello"),
        row(
            "a body of DELETE",
            "9110 9.3.5",
            "DELETE /test/a HTTP/1.1|Host: h|Content-Length: 5||hello",
        )
        .passes("DELETE /v1/a")
        .body("hello"),
        row(
            "a body of OPTIONS",
            "9110 9.3.7",
            "OPTIONS /test/a HTTP/1.1|Host: h|Content-Length: 5||hello",
        )
        .passes("OPTIONS /v1/a")
        .body("hello"),
        row(
            "a body of an unknown method",
            BODY,
            "BREW /test/a HTTP/1.1|Host: h|Content-Length: 5||hello",
        )
        .passes("BREW /v1/a")
        .body("hello"),
    ]
}

fn lengths_elsewhere() -> Vec<Row> {
    vec![
        row(
            "a length in HTTP/1.0",
            LENGTH,
            "POST /test/a HTTP/1.0|Content-Length: 5||hello",
        )
        .passes("POST /v1/a")
        .body("hello")
        .closes(),
        row(
            "a body of OPTIONS *",
            "9110 9.3.7",
            "OPTIONS * HTTP/1.1|Host: h|Content-Length: 5||hello",
        )
        .own(204),
        row(
            "a body for a page",
            "9110 9.3.1",
            "GET /info HTTP/1.1|Host: h|Content-Length: 5||hello",
        )
        .own(200),
        row(
            "a body that does not end",
            BODY,
            post("Content-Length: 9", "hello"),
        )
        .waits(),
        row(
            "a length that looks like it",
            LENGTH,
            "GET /test/a HTTP/1.1|Host: h|Content_Length: 5||",
        )
        .passes("GET /v1/a")
        .has("Content_Length: 5")
        .lacks("content-length"),
        row(
            "a length beside one that looks like it",
            LENGTH,
            post("Content-Length: 5|Content_Length: 99", "hello"),
        )
        .passes("POST /v1/a")
        .has("Content-Length: 5")
        .has("Content_Length: 99")
        .body("hello"),
        row(
            "a CR in place of the empty line",
            "9112 2.2",
            "POST /test/a HTTP/1.1|Host: h|Content-Length: 3|\rabc||",
        )
        .refused(400),
        row(
            "a body over the bound",
            "9110 15.5.14",
            post("Content-Length: 104857601", ""),
        )
        .own(413)
        .may_close(),
        row(
            "a body far over the bound",
            "9110 15.5.14",
            post("Content-Length: 18446744073709551615", ""),
        )
        .own(413)
        .may_close(),
    ]
}

fn refused_lengths() -> Vec<Row> {
    let refused = [
        ("an empty length", "Content-Length:"),
        ("a blank length", "Content-Length: \t"),
        ("a length with a plus", "Content-Length: +5"),
        ("a negative length", "Content-Length: -5"),
        ("a length of minus 0", "Content-Length: -0"),
        ("a hexadecimal length", "Content-Length: 0x5"),
        ("a hexadecimal digit", "Content-Length: a"),
        ("an octal length", "Content-Length: 0o5"),
        ("a letter after the length", "Content-Length: 5x"),
        ("a length with a fraction", "Content-Length: 5.0"),
        ("a length with an exponent", "Content-Length: 5e0"),
        ("a length with an underscore", "Content-Length: 1_0"),
        ("a length with a comma", "Content-Length: 5,"),
        ("a comma before the length", "Content-Length: ,5"),
        ("a list of equal lengths", "Content-Length: 5, 5"),
        ("a list of other lengths", "Content-Length: 5, 6"),
        ("a list of three lengths", "Content-Length: 5, 5, 5"),
        ("a space in the length", "Content-Length: 5 5"),
        ("a word after the length", "Content-Length: 5 bytes"),
        ("a semicolon after the length", "Content-Length: 5;"),
        ("a length in quotes", "Content-Length: \"5\""),
        ("a length in other digits", "Content-Length: \u{665}"),
        ("a word as the length", "Content-Length: five"),
        ("a length of 2^64", "Content-Length: 18446744073709551616"),
        (
            "a length that wraps to 5",
            "Content-Length: 18446744073709551621",
        ),
        (
            "a length of a hundred digits",
            "Content-Length: 1000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
        ),
        ("a vertical tab before the length", "Content-Length: \x0b5"),
        ("NUL after the length", "Content-Length: 5\0"),
        ("a CR after the length", "Content-Length: 5\r"),
        ("a folded length", "Content-Length: 5| 6"),
        ("a length on the next line", "Content-Length:| 5"),
        ("a space before the length's colon", "Content-Length : 5"),
        ("a space in the length's name", "Content Length: 5"),
        ("a tab in the length's name", "Content\tLength: 5"),
        ("a CR in the length's name", "Content\rLength: 5"),
        (
            "a length, and one with a space before the colon",
            "Content-Length: 5|Content-Length : 6",
        ),
        ("two equal lengths", "Content-Length: 5|Content-Length: 5"),
        ("two other lengths", "Content-Length: 5|Content-Length: 6"),
        (
            "two lengths apart",
            "Content-Length: 5|X: y|CONTENT-LENGTH: 5",
        ),
        (
            "a length of 0 and another",
            "Content-Length: 0|Content-Length: 5",
        ),
        (
            "an empty length and another",
            "Content-Length:|Content-Length: 5",
        ),
        (
            "a length hidden behind a bare LF",
            "X: y\nContent-Length: 5",
        ),
        (
            "a length hidden behind a bare CR",
            "X: y\rContent-Length: 5",
        ),
    ];
    refused
        .into_iter()
        .map(|(name, lines)| row(name, BODY, post(lines, "hello")).refused(400))
        .collect()
}
