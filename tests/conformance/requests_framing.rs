//! Content-Length and Transfer-Encoding: where a body ends, and what could make two parsers disagree about it.

use crate::requests_run::{Row, row};

const LENGTH: &str = "9112 6.2";
const CODING: &str = "9112 6.1";
const BODY: &str = "9112 6.3";

pub fn rows() -> Vec<Row> {
    let mut rows = lengths();
    rows.extend(refused_lengths());
    rows.extend(codings());
    rows.extend(refused_codings());
    rows.extend(both());
    rows.extend(pipelines());
    rows
}

fn post(lines: &str, body: &str) -> String {
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
        length("a length of 0", "Content-Length: 0", ""),
        length("a length of -0 digits", "Content-Length: 00", ""),
        length(
            "a body that looks like a request",
            "Content-Length: 18",
            "GET / HTTP/1.1\r\n\r\n",
        ),
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
            "a body of an unknown method",
            BODY,
            "BREW /test/a HTTP/1.1|Host: h|Content-Length: 5||hello",
        )
        .passes("BREW /v1/a")
        .body("hello"),
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
        ("a length with a fraction", "Content-Length: 5.0"),
        ("a length with an exponent", "Content-Length: 5e0"),
        ("a length with an underscore", "Content-Length: 1_0"),
        ("a length with a comma", "Content-Length: 5,"),
        ("a comma before the length", "Content-Length: ,5"),
        ("a list of equal lengths", "Content-Length: 5, 5"),
        ("a list of other lengths", "Content-Length: 5, 6"),
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

fn codings() -> Vec<Row> {
    const CHUNKS: &str = "5|hello|0||";
    let chunked = |name, lines| {
        row(name, CODING, post(lines, CHUNKS))
            .passes("POST /v1/a")
            .has("Transfer-Encoding: chunked")
            .lacks("content-length")
            .body("hello")
    };
    vec![
        chunked("chunked", "Transfer-Encoding: chunked"),
        chunked("chunked in other letters", "TRANSFER-ENCODING: ChUnKeD"),
        chunked(
            "chunked with blanks around",
            "Transfer-Encoding: \t chunked \t",
        ),
        chunked("chunked without a blank", "Transfer-Encoding:chunked"),
        chunked(
            "an empty item before chunked",
            "Transfer-Encoding: , chunked",
        ),
        chunked("an empty item after chunked", "Transfer-Encoding: chunked,"),
        chunked(
            "an empty line of codings before chunked",
            "Transfer-Encoding:|Transfer-Encoding: chunked",
        ),
        chunked("chunked and TE", "Transfer-Encoding: chunked|TE: trailers"),
        row(
            "chunks of GET",
            BODY,
            format!("GET /test/a HTTP/1.1|Host: h|Transfer-Encoding: chunked||{CHUNKS}"),
        )
        .passes("GET /v1/a")
        .body("hello"),
        row(
            "a content coding of that name",
            "9110 8.4",
            "POST /test/a HTTP/1.1|Host: h|Content-Encoding: chunked|Content-Length: 5||hello",
        )
        .passes("POST /v1/a")
        .has("Content-Encoding: chunked")
        .body("hello"),
        row(
            "TE alone",
            "9110 10.1.4",
            "GET /test/a HTTP/1.1|Host: h|TE: chunked|Connection: TE||",
        )
        .passes("GET /v1/a")
        .lacks("te")
        .lacks("transfer-encoding"),
        row(
            "a coding under a name that looks like it",
            CODING,
            "GET /test/a HTTP/1.1|Host: h|Transfer_Encoding: chunked||0||",
        )
        .passes("GET /v1/a")
        .lacks("transfer-encoding")
        .refused(400),
    ]
}

fn refused_codings() -> Vec<Row> {
    let refused = [
        ("an empty coding", "Transfer-Encoding:", 400),
        ("only commas as codings", "Transfer-Encoding: ,,", 400),
        ("identity", "Transfer-Encoding: identity", 400),
        ("gzip alone", "Transfer-Encoding: gzip", 400),
        ("an unknown coding", "Transfer-Encoding: cow", 400),
        ("a coding that begins so", "Transfer-Encoding: chunk", 400),
        ("a coding that goes on", "Transfer-Encoding: chunkedx", 400),
        ("a coding that ends so", "Transfer-Encoding: xchunked", 400),
        ("chunked in quotes", "Transfer-Encoding: \"chunked\"", 400),
        (
            "chunked in other quotes",
            "Transfer-Encoding: 'chunked'",
            400,
        ),
        (
            "chunked with a parameter",
            "Transfer-Encoding: chunked;q=1",
            400,
        ),
        (
            "chunked with a semicolon",
            "Transfer-Encoding: chunked;",
            400,
        ),
        ("chunked twice", "Transfer-Encoding: chunked, chunked", 400),
        (
            "chunked twice on two lines",
            "Transfer-Encoding: chunked|Transfer-Encoding: chunked",
            400,
        ),
        (
            "identity after chunked",
            "Transfer-Encoding: chunked, identity",
            400,
        ),
        (
            "gzip after chunked",
            "Transfer-Encoding: chunked, gzip",
            400,
        ),
        (
            "another coding on a second line",
            "Transfer-Encoding: chunked|Transfer-encoding: cow",
            400,
        ),
        (
            "identity on a second line",
            "Transfer-Encoding: chunked|Transfer-Encoding: identity",
            400,
        ),
        (
            "gzip before chunked",
            "Transfer-Encoding: gzip, chunked",
            501,
        ),
        (
            "gzip before chunked on two lines",
            "Transfer-Encoding: gzip|Transfer-Encoding: chunked",
            501,
        ),
        (
            "identity before chunked",
            "Transfer-Encoding: identity, chunked",
            501,
        ),
        (
            "an unknown coding before chunked",
            "Transfer-Encoding: x, chunked",
            501,
        ),
        (
            "two words as one coding",
            "Transfer-Encoding: x chunked",
            400,
        ),
        (
            "a vertical tab before chunked",
            "Transfer-Encoding: \x0bchunked",
            400,
        ),
        (
            "a form feed after chunked",
            "Transfer-Encoding: chunked\x0c",
            400,
        ),
        ("NUL before chunked", "Transfer-Encoding: \0chunked", 400),
        ("NUL after chunked", "Transfer-Encoding: chunked\0", 400),
        (
            "a wide blank before chunked",
            "Transfer-Encoding: \u{a0}chunked",
            400,
        ),
        (
            "a letter that becomes a k",
            "Transfer-Encoding: chun\u{212a}ed",
            400,
        ),
        ("a CR after chunked", "Transfer-Encoding: chunked\r", 400),
        ("a CR within chunked", "Transfer-Encoding: chu\rnked", 400),
        (
            "chunked on the next line",
            "Transfer-Encoding:| chunked",
            400,
        ),
        (
            "a fold after chunked",
            "Transfer-Encoding: chunked| , cow",
            400,
        ),
        (
            "a space before the coding's colon",
            "Transfer-Encoding : chunked",
            400,
        ),
        (
            "a tab before the coding's colon",
            "Transfer-Encoding\t: chunked",
            400,
        ),
        (
            "a space before the coding's name",
            " Transfer-Encoding: chunked",
            400,
        ),
        (
            "a space in the coding's name",
            "Transfer Encoding: chunked",
            400,
        ),
        (
            "NUL in the coding's name",
            "Transfer-\0Encoding: chunked",
            400,
        ),
        (
            "a coding hidden behind a bare LF",
            "X: y\nTransfer-Encoding: chunked",
            400,
        ),
        (
            "a coding hidden behind a bare CR",
            "X: y\rTransfer-Encoding: chunked",
            400,
        ),
        (
            "a coding behind LF and CR",
            "X: y\n\rTransfer-Encoding: chunked",
            400,
        ),
        (
            "a backtick instead of a colon",
            "Transfer-Encoding`: chunked|Transfer-Encoding chunked",
            400,
        ),
    ];
    refused
        .into_iter()
        .map(|(name, lines, status)| row(name, CODING, post(lines, "0||")).refused(status))
        .collect()
}

fn both() -> Vec<Row> {
    const SMUGGLED: &str = "0||GET /test/smuggled HTTP/1.1|Host: h||";
    let refused = [
        (
            "a length, then chunked",
            "Content-Length: 46|Transfer-Encoding: chunked",
        ),
        (
            "chunked, then a length",
            "Transfer-Encoding: chunked|Content-Length: 5",
        ),
        (
            "chunked and a length of 0",
            "Transfer-Encoding: chunked|Content-Length: 0",
        ),
        (
            "chunked and a length that is none",
            "Transfer-Encoding: chunked|Content-Length: x",
        ),
        (
            "a length and gzip",
            "Content-Length: 5|Transfer-Encoding: gzip",
        ),
        (
            "a length and an empty coding",
            "Content-Length: 5|Transfer-Encoding:",
        ),
        (
            "a length and identity",
            "Content-Length: 5|Transfer-Encoding: identity",
        ),
        (
            "a length that Connection names, and chunked",
            "Connection: content-length|Content-Length: 5|Transfer-Encoding: chunked",
        ),
        (
            "a length, and chunked that Connection names",
            "Connection: transfer-encoding|Content-Length: 5|Transfer-Encoding: chunked",
        ),
    ];
    let mut rows: Vec<Row> = refused
        .into_iter()
        .map(|(name, lines)| row(name, BODY, post(lines, SMUGGLED)).refused(400))
        .collect();
    let old = |name, lines: &str| {
        let bytes = format!("POST /test/a HTTP/1.0|{lines}||{SMUGGLED}");
        row(name, CODING, bytes).refused(400)
    };
    rows.extend([
        old("chunked in HTTP/1.0", "Transfer-Encoding: chunked"),
        old(
            "chunked in HTTP/1.0 that stays",
            "Connection: keep-alive|Transfer-Encoding: chunked",
        ),
        old(
            "chunked and a length in HTTP/1.0",
            "Transfer-Encoding: chunked|Content-Length: 5",
        ),
        old("identity in HTTP/1.0", "Transfer-Encoding: identity"),
    ]);
    rows
}

/// Several requests at once: each has its own framing.
fn pipelines() -> Vec<Row> {
    const PIPELINE: &str = "9112 9.3.2";
    const NEXT: &str = "GET /test/b HTTP/1.1|Host: h||";
    let after = |name, first: &str| row(name, PIPELINE, format!("{first}{NEXT}"));
    vec![
        after("two requests", "GET /test/a HTTP/1.1|Host: h||")
            .passes("GET /v1/a")
            .passes("GET /v1/b"),
        after(
            "three requests",
            "GET /test/a HTTP/1.1|Host: h||GET /test/c?d HTTP/1.1|Host: h||",
        )
        .passes("GET /v1/a")
        .passes("GET /v1/c?d")
        .passes("GET /v1/b"),
        after(
            "a length and the next request",
            &post("Content-Length: 5", "hello"),
        )
        .passes("POST /v1/a")
        .body("hello")
        .passes("GET /v1/b"),
        after(
            "chunks and the next request",
            &post("Transfer-Encoding: chunked", "5|hello|0||"),
        )
        .passes("POST /v1/a")
        .body("hello")
        .passes("GET /v1/b"),
        after(
            "trailers and the next request",
            &post("Transfer-Encoding: chunked", "0|X: y||"),
        )
        .passes("POST /v1/a")
        .trailers("X: y||")
        .passes("GET /v1/b"),
        after(
            "an empty line after a body",
            &post("Content-Length: 5", "hello|"),
        )
        .passes("POST /v1/a")
        .body("hello")
        .passes("GET /v1/b"),
        after(
            "HEAD and the next request",
            "HEAD /test/a HTTP/1.1|Host: h||",
        )
        .passes("HEAD /v1/a")
        .passes("GET /v1/b"),
        after(
            "a page and the next request",
            "GET /info HTTP/1.1|Host: h||",
        )
        .own(200)
        .passes("GET /v1/b"),
        after(
            "a refused body is not the next request",
            "GET /nobody HTTP/1.1|Host: h|Content-Length: 5||GET /",
        )
        .own(404)
        .passes("GET /v1/b"),
        after(
            "refused chunks are not the next request",
            "POST /nobody HTTP/1.1|Host: h|Transfer-Encoding: chunked||5|GET /|0||",
        )
        .own(404)
        .passes("GET /v1/b"),
        after(
            "HTTP/1.0 that stays",
            "GET /test/a HTTP/1.0|Connection: keep-alive||",
        )
        .passes("GET /v1/a")
        .passes("GET /v1/b"),
        after(
            "nothing after close",
            "GET /test/a HTTP/1.1|Host: h|Connection: close||",
        )
        .passes("GET /v1/a")
        .closes(),
        after("nothing after HTTP/1.0", "GET /test/a HTTP/1.0||")
            .passes("GET /v1/a")
            .closes(),
        after("nothing after a refusal", "GET /test/a HTTP/1.1||").refused(400),
        row(
            "a good request, then a bad one",
            PIPELINE,
            format!("{NEXT}GET /test/a HTTP/1.1|Host : h||"),
        )
        .passes("GET /v1/b")
        .refused(400),
        row(
            "a body that is one byte short",
            BODY,
            post("Content-Length: 4", "hello").as_str().to_owned() + "/test/b HTTP/1.1|Host : h||",
        )
        .passes("POST /v1/a")
        .body("hell")
        .refused(400),
        row(
            "a body that is one request long",
            BODY,
            post("Content-Length: 30", "GET /test/b HTTP/1.1|Host: h||"),
        )
        .passes("POST /v1/a")
        .body(
            "GET /test/b HTTP/1.1\r\nHost: h\r\n\r\n"
                .get(..30)
                .expect("so long"),
        )
        .may_close(),
        row(
            "no length, and what looks like a body",
            BODY,
            post("X: y", "x=1|y: z||"),
        )
        .passes("POST /v1/a")
        .refused(400),
    ]
}
