//! Where an answer's body ends, for each way to say so.

use crate::answers_run::{Row, row};

const BODY: &str = "9112 6.3";

pub fn rows() -> Vec<Row> {
    let mut rows = framings();
    rows.extend(unframed());
    rows.extend(refused_framings());
    rows.extend(without_bodies());
    rows.extend(heads());
    rows.extend(for_old_clients());
    rows.extend(cut_off_for_old_clients());
    rows.extend(left_overs());
    rows
}

/// The head of a 200 with these field lines.
pub fn ok(lines: &str) -> String {
    format!("HTTP/1.1 200 OK|{lines}|")
}

fn framings() -> Vec<Row> {
    vec![
        row("a length", "9112 6.2", ok("Content-Length: 5|") + "hello")
            .delivered(200, "hello")
            .has("Content-Length: 5"),
        row("a length of 0", "9112 6.2", ok("Content-Length: 0|"))
            .delivered(200, "")
            .has("Content-Length: 0"),
        row(
            "a length with zeros before",
            "9112 6.2",
            ok("content-length: 0005|") + "hello",
        )
        .delivered(200, "hello")
        .has("Content-Length: 5"),
        row(
            "chunked",
            "9112 7.1",
            ok("Transfer-Encoding: chunked|") + "5|hello|0||",
        )
        .delivered(200, "hello")
        .lacks("content-length"),
        row(
            "chunked in other letters",
            "9112 7",
            ok("transfer-encoding:\tChUnKeD |") + "5|hello|0||",
        )
        .delivered(200, "hello"),
        row(
            "chunked that Connection names",
            "9110 7.6.1",
            ok("Connection: transfer-encoding|Transfer-Encoding: chunked|") + "5|hello|0||",
        )
        .delivered(200, "hello"),
        row(
            "chunked and what looks like a length",
            "9112 6.2",
            ok("Content-Length-X: 0|Transfer-Encoding: chunked|") + "5|hello|0||",
        )
        .delivered(200, "hello")
        .has("Content-Length-X: 0"),
        row(
            "chunked and close",
            "9112 9.6",
            ok("Transfer-Encoding: chunked|Connection: close|") + "5|hello|0||",
        )
        .then_closes()
        .delivered_once(200, "hello"),
    ]
}

fn unframed() -> Vec<Row> {
    vec![
        row("a body up to the end", BODY, ok("X: y|") + "hello")
            .then_closes()
            .delivered_once(200, "hello")
            .lacks("content-length"),
        row("an empty body up to the end", BODY, ok(""))
            .then_closes()
            .delivered_once(200, ""),
        row(
            "a body up to the end that looks like chunks",
            BODY,
            ok("") + "5|hello|0||",
        )
        .then_closes()
        .delivered_once(200, "5\r\nhello\r\n0\r\n\r\n"),
        row(
            "a body up to the end in HTTP/1.0",
            BODY,
            "HTTP/1.0 200 OK||hello",
        )
        .then_closes()
        .delivered_once(200, "hello"),
        row(
            "keep-alive and a body up to the end",
            BODY,
            ok("Connection: keep-alive|") + "hello",
        )
        .then_closes()
        .delivered_once(200, "hello"),
        row(
            "a length, and the end right after",
            BODY,
            ok("Content-Length: 5|") + "hello",
        )
        .then_closes()
        .delivered_once(200, "hello"),
        row(
            "chunks, and the end right after",
            BODY,
            ok("Transfer-Encoding: chunked|") + "5|hello|0||",
        )
        .then_closes()
        .delivered_once(200, "hello"),
    ]
}

fn refused_framings() -> Vec<Row> {
    let refused = [
        ("two equal lengths", "Content-Length: 5|Content-Length: 5|"),
        ("two other lengths", "Content-Length: 5|Content-Length: 4|"),
        ("a list of lengths", "Content-Length: 5, 5|"),
        ("an empty length", "Content-Length:|"),
        ("a negative length", "Content-Length: -5|"),
        ("a length with a plus", "Content-Length: +5|"),
        ("a hexadecimal length", "Content-Length: 0x5|"),
        ("a length that is no number", "Content-Length: five|"),
        ("a length with a fraction", "Content-Length: 5.0|"),
        (
            "a length that wraps",
            "Content-Length: 18446744073709551621|",
        ),
        ("a space before the length's colon", "Content-Length : 5|"),
        ("a folded length", "Content-Length: 5| 5|"),
        (
            "a length, then chunked",
            "Content-Length: 5|Transfer-Encoding: chunked|",
        ),
        (
            "chunked, then a length",
            "Transfer-Encoding: chunked|Content-Length: 5|",
        ),
        ("gzip", "Transfer-Encoding: gzip|"),
        ("identity", "Transfer-Encoding: identity|"),
        ("gzip before chunked", "Transfer-Encoding: gzip, chunked|"),
        ("gzip after chunked", "Transfer-Encoding: chunked, gzip|"),
        (
            "chunked twice",
            "Transfer-Encoding: chunked|Transfer-Encoding: chunked|",
        ),
        ("an empty coding", "Transfer-Encoding:|"),
        ("a coding that begins so", "Transfer-Encoding: chunkedx|"),
        (
            "chunked and chunked in one word",
            "Transfer-Encoding: chunkedchunked|",
        ),
        (
            "a fold and a word after chunked",
            "Transfer-Encoding: chunked|  abc|",
        ),
        (
            "a vertical tab before chunked",
            "Transfer-Encoding: \x0bchunked|",
        ),
        (
            "a space before the coding's colon",
            "Transfer-Encoding : chunked|",
        ),
    ];
    let mut rows: Vec<Row> = refused
        .into_iter()
        .map(|(name, lines)| row(name, BODY, ok(lines) + "5|hello|0||").bad_gateway())
        .collect();
    rows.push(
        row(
            "chunked in HTTP/1.0",
            "9112 6.1",
            "HTTP/1.0 200 OK|Transfer-Encoding: chunked||5|hello|0||",
        )
        .bad_gateway(),
    );
    rows
}

fn without_bodies() -> Vec<Row> {
    vec![
        row("204", "9110 15.3.5", "HTTP/1.1 204 No Content||").delivered(204, ""),
        row(
            "204 with a length of 0",
            "9110 8.6",
            "HTTP/1.1 204 No Content|Content-Length: 0||",
        )
        .delivered(204, "")
        .lacks("content-length"),
        row(
            "204 with a length",
            "9110 8.6",
            "HTTP/1.1 204 No Content|Content-Length: 5||",
        )
        .delivered(204, "")
        .lacks("content-length"),
        row(
            "204 with chunks",
            "9112 6.1",
            "HTTP/1.1 204 No Content|Transfer-Encoding: chunked||0||",
        )
        .bad_gateway(),
        row("204 with a body", BODY, "HTTP/1.1 204 No Content||hello")
            .in_one_piece()
            .delivered_once(204, ""),
        row(
            "304",
            "9110 15.4.5",
            "HTTP/1.1 304 Not Modified|ETag: \"a\"||",
        )
        .delivered(304, "")
        .has("ETag: \"a\""),
        row(
            "304 with a length",
            "9110 8.6",
            "HTTP/1.1 304 Not Modified|Content-Length: 5||",
        )
        .delivered(304, "")
        .has("Content-Length: 5"),
        row(
            "304 with a coding",
            "9112 6.1",
            "HTTP/1.1 304 Not Modified|Transfer-Encoding: chunked||",
        )
        .delivered(304, ""),
        row(
            "304 with two lengths",
            BODY,
            "HTTP/1.1 304 x|Content-Length: 5|Content-Length: 6||",
        )
        .bad_gateway(),
        row(
            "205",
            "9110 15.3.6",
            "HTTP/1.1 205 Reset Content|Content-Length: 0||",
        )
        .delivered(205, "")
        .has("Content-Length: 0"),
        row(
            "205 with an empty chunked body",
            "9110 15.3.6",
            "HTTP/1.1 205 x|Transfer-Encoding: chunked||0||",
        )
        .delivered(205, ""),
    ]
}

fn heads() -> Vec<Row> {
    const HEAD: &str = "9110 9.3.2";
    vec![
        row("the head of a length", HEAD, ok("Content-Length: 5|"))
            .to("HEAD")
            .delivered(200, "")
            .has("Content-Length: 5"),
        row(
            "the head of chunks",
            HEAD,
            ok("Transfer-Encoding: chunked|"),
        )
        .to("HEAD")
        .delivered(200, ""),
        row(
            "the head of what ends with the connection",
            HEAD,
            ok("X: y|"),
        )
        .to("HEAD")
        .delivered(200, "")
        .lacks("content-length"),
        row(
            "the head of an error",
            HEAD,
            "HTTP/1.1 404 x|Content-Length: 5||",
        )
        .to("HEAD")
        .delivered(404, ""),
        row(
            "the head of 204 with a length",
            "9110 8.6",
            "HTTP/1.1 204 No Content|Content-Length: 0||",
        )
        .to("HEAD")
        .delivered(204, "")
        .lacks("content-length"),
        row(
            "the head of two lengths",
            BODY,
            ok("Content-Length: 5|Content-Length: 5|"),
        )
        .to("HEAD")
        .bad_gateway(),
        row(
            "the head of a length and chunks",
            BODY,
            ok("Content-Length: 5|Transfer-Encoding: chunked|"),
        )
        .to("HEAD")
        .bad_gateway(),
        row("a body for HEAD", HEAD, ok("Content-Length: 5|") + "hello")
            .to("HEAD")
            .in_one_piece()
            .delivered_once(200, ""),
        row(
            "chunks for HEAD",
            HEAD,
            ok("Transfer-Encoding: chunked|") + "5|hello|0||",
        )
        .to("HEAD")
        .in_one_piece()
        .delivered_once(200, ""),
    ]
}

fn for_old_clients() -> Vec<Row> {
    const OLD: &str = "9112 6.1";
    vec![
        row(
            "a length for HTTP/1.0 that stays",
            "9112 9.3",
            ok("Content-Length: 5|") + "hello",
        )
        .for_http_1_0_that_stays()
        .delivered(200, "hello")
        .has("connection: keep-alive"),
        row(
            "chunks for HTTP/1.0 that wants to stay",
            OLD,
            ok("Transfer-Encoding: chunked|") + "5|hello|0||",
        )
        .for_http_1_0_that_stays()
        .delivered(200, "hello")
        .has("connection: close"),
        row(
            "chunks",
            OLD,
            ok("Transfer-Encoding: chunked|") + "2|he|3|llo|0|X: y||",
        )
        .for_http_1_0()
        .delivered(200, "hello")
        .lacks("content-length"),
        row(
            "a length for HTTP/1.0",
            OLD,
            ok("Content-Length: 5|") + "hello",
        )
        .for_http_1_0()
        .delivered(200, "hello")
        .has("Content-Length: 5"),
        row("a body up to the end for HTTP/1.0", BODY, ok("") + "hello")
            .for_http_1_0()
            .then_closes()
            .delivered_once(200, "hello"),
        row("no body for HTTP/1.0", "9110 15.3.5", "HTTP/1.1 204 x||")
            .for_http_1_0()
            .delivered(204, ""),
        row(
            "a head for HTTP/1.0",
            OLD,
            ok("Transfer-Encoding: chunked|"),
        )
        .for_http_1_0()
        .to("HEAD")
        .delivered(200, ""),
    ]
}

fn cut_off_for_old_clients() -> Vec<Row> {
    vec![
        row(
            "chunks that do not end for HTTP/1.0",
            "9112 8",
            ok("Transfer-Encoding: chunked|") + "5|hello|",
        )
        .for_http_1_0()
        .then_closes()
        .cut_off(200),
        row(
            "malformed chunks for HTTP/1.0",
            "9112 8",
            ok("Transfer-Encoding: chunked|") + "5|hello|x|",
        )
        .for_http_1_0()
        .cut_off(200),
        row(
            "a length that is not reached for HTTP/1.0",
            "9112 8",
            ok("Content-Length: 9|") + "hello",
        )
        .for_http_1_0()
        .then_closes()
        .cut_off(200),
    ]
}

/// Bytes after the end of an answer belong to no answer.
fn left_overs() -> Vec<Row> {
    const LEFT: &str = "9112 6.3";
    const OTHER: &str = "HTTP/1.1 200 OK|Content-Length: 8||smuggled";
    let left = |name, bytes: String| row(name, LEFT, bytes).in_one_piece();
    vec![
        left("a byte after a length", ok("Content-Length: 5|") + "hello!")
            .delivered_once(200, "hello"),
        left(
            "a line end after a length",
            ok("Content-Length: 5|") + "hello|",
        )
        .delivered_once(200, "hello"),
        left(
            "another answer after a length",
            ok("Content-Length: 5|") + "hello" + OTHER,
        )
        .delivered_once(200, "hello"),
        left(
            "another answer after chunks",
            ok("Transfer-Encoding: chunked|") + "5|hello|0||" + OTHER,
        )
        .delivered_once(200, "hello"),
        left(
            "another answer after 204",
            format!("HTTP/1.1 204 x||{OTHER}"),
        )
        .delivered_once(204, ""),
        left(
            "another answer after 304",
            format!("HTTP/1.1 304 x|Content-Length: 5||{OTHER}"),
        )
        .delivered_once(304, ""),
        left(
            "another answer after a 304 with a coding",
            format!("HTTP/1.1 304 x|Transfer-Encoding: chunked||{OTHER}"),
        )
        .delivered_once(304, ""),
        left(
            "another answer after HTTP/1.0's 204",
            format!("HTTP/1.0 204 x|Connection: keep-alive||{OTHER}"),
        )
        .delivered_once(204, ""),
        left(
            "more than a length, and close",
            ok("Content-Length: 5|Connection: close|") + "hello-world",
        )
        .delivered_once(200, "hello"),
        left(
            "another answer after HEAD's",
            ok("Content-Length: 5|") + OTHER,
        )
        .to("HEAD")
        .delivered_once(200, ""),
        left(
            "an interim answer afterwards",
            ok("Content-Length: 5|") + "hello" + "HTTP/1.1 100 x||",
        )
        .delivered_once(200, "hello"),
    ]
}
