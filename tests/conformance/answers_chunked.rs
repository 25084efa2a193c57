//! Chunks of answers, and answers that break off.

use crate::answers_body::ok;
use crate::answers_run::{Row, row};

pub fn rows() -> Vec<Row> {
    let mut rows = chunks();
    rows.extend(cut_offs());
    rows
}

fn chunks() -> Vec<Row> {
    const CHUNK: &str = "9112 7.1";
    const EXTENSION: &str = "9112 7.1.1";
    const TRAILER: &str = "9112 7.1.2";
    let chunked = |name, section, body: &str| {
        row(name, section, ok("Transfer-Encoding: chunked|") + body).delivered(200, "hello")
    };
    vec![
        chunked("several chunks", CHUNK, "2|he|3|llo|0||"),
        chunked("a size with zeros before", CHUNK, "0005|hello|00||"),
        chunked("an extension", EXTENSION, "5;a=b|hello|0;c||"),
        chunked("a quoted extension", EXTENSION, "5;a=\"b;\\\"c\"|hello|0||"),
        chunked(
            "blanks around an extension",
            EXTENSION,
            "5 ; a = b|hello|0||",
        ),
        chunked("a trailer", TRAILER, "5|hello|0|X: y||").trailers("X: y|"),
        chunked("several trailers", TRAILER, "5|hello|0|X: 1|X: 2||").trailers("X: 1|X: 2|"),
        chunked(
            "a length in the trailers",
            TRAILER,
            "5|hello|0|Content-Length: 9|X: y||",
        )
        .trailers("X: y|"),
        chunked(
            "a coding in the trailers",
            TRAILER,
            "5|hello|0|Transfer-Encoding: x|X: y||",
        )
        .trailers("X: y|"),
        chunked(
            "a cookie in the trailers",
            TRAILER,
            "5|hello|0|Set-Cookie: x|X: y||",
        )
        .trailers("X: y|"),
        chunked(
            "a place in the trailers",
            TRAILER,
            "5|hello|0|Location: /x|Connection: x|X: y||",
        )
        .trailers("X: y|"),
        row(
            "no chunk but the last",
            CHUNK,
            ok("Transfer-Encoding: chunked|") + "0||",
        )
        .delivered(200, ""),
        row(
            "line ends as data",
            CHUNK,
            ok("Transfer-Encoding: chunked|") + "4||||0||",
        )
        .delivered(200, "\r\n\r\n"),
    ]
}

fn cut_offs() -> Vec<Row> {
    const PARTIAL: &str = "9112 8";
    const CHUNK: &str = "9112 7.1";
    let ending = [
        ("no chunk at all", ""),
        ("a size that does not end", "5"),
        ("data that does not end", "5|hell"),
        ("data without its line end", "5|hello"),
        ("no last chunk", "5|hello|"),
        ("a last size alone", "5|hello|0|"),
        ("trailers that do not end", "5|hello|0|X: y|"),
    ];
    let mut rows: Vec<Row> = ending
        .into_iter()
        .map(|(name, body)| {
            row(name, PARTIAL, ok("Transfer-Encoding: chunked|") + body)
                .then_closes()
                .cut_off(200)
        })
        .collect();
    let malformed = [
        ("a size that is no number", "2|he|x|llo|0||"),
        ("a size with 0x", "2|he|0x3|llo|0||"),
        ("a size of 17 digits", "2|he|00000000000000003|llo|0||"),
        ("a space before a size", "2|he| 3|llo|0||"),
        ("a space after a size", "2|he|3 |llo|0||"),
        ("data longer than its size", "4|hello|0||"),
        ("no line end after the data", "5|hello0||"),
        ("a bare LF after the data", "5|hello\n0||"),
        ("a bare LF after a size", "2|he|3\nllo|0||"),
        ("a bare LF in an extension", "2|he|3;a\nllo|0||"),
        ("an extension without a name", "2|he|3;|llo|0||"),
        ("a trailer without a colon", "5|hello|0|X||"),
        ("a folded trailer", "5|hello|0|X: y| z||"),
        ("a space before a trailer's colon", "5|hello|0|X : y||"),
        ("NUL in a trailer", "5|hello|0|X: \0||"),
        ("a bare LF after the last size", "5|hello|0\n|"),
    ];
    rows.extend(malformed.into_iter().map(|(name, body)| {
        row(name, CHUNK, ok("Transfer-Encoding: chunked|") + body).cut_off(200)
    }));
    rows.extend([
        row(
            "a length that is not reached",
            PARTIAL,
            ok("Content-Length: 9|") + "hello",
        )
        .then_closes()
        .cut_off(200),
        row("a length and no byte", PARTIAL, ok("Content-Length: 9|"))
            .then_closes()
            .cut_off(200),
        row(
            "a length that is not reached, and HTTP/1.0",
            PARTIAL,
            "HTTP/1.0 200 OK|Content-Length: 9||hello",
        )
        .then_closes()
        .cut_off(200),
    ]);
    rows
}
