//! Transfer-Encoding, alone and beside a length.

use crate::requests_length::post;
use crate::requests_run::{Row, row};

const CODING: &str = "9112 6.1";
const BODY: &str = "9112 6.3";

pub fn rows() -> Vec<Row> {
    let mut rows = codings();
    rows.extend(refused_codings());
    rows.extend(both());
    rows
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

/// Name, lines after Host, the status.
const REFUSED: [(&str, &str, u16); 52] = [
    ("an empty coding", "Transfer-Encoding:", 400),
    ("only commas as codings", "Transfer-Encoding: ,,", 400),
    ("identity", "Transfer-Encoding: identity", 400),
    ("gzip alone", "Transfer-Encoding: gzip", 400),
    ("an unknown coding", "Transfer-Encoding: cow", 400),
    ("a coding that begins so", "Transfer-Encoding: chunk", 400),
    ("a coding that goes on", "Transfer-Encoding: chunkedx", 400),
    ("a coding that ends so", "Transfer-Encoding: xchunked", 400),
    (
        "chunked and chunked in one word",
        "Transfer-Encoding: chunkedchunked",
        400,
    ),
    ("a word after chunked", "Transfer-Encoding: chunked x", 400),
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
        "an unknown coding before chunked on two lines",
        "Transfer-Encoding: cow|Transfer-Encoding: chunked",
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
        "a fold and a word after chunked",
        "Transfer-Encoding: chunked|  abc",
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
        "a word after the coding's name",
        "Transfer-Encoding x: chunked",
        400,
    ),
    (
        "a backslash in the coding's name",
        "Transfer\\Encoding: chunked",
        400,
    ),
    (
        "a CR in the coding's name",
        "Transfer\rEncoding: chunked",
        400,
    ),
    (
        "an accent in the coding's name",
        "Transf\u{e9}r-Encoding: chunked",
        400,
    ),
    (
        "a LF before the coding's colon",
        "Transfer-Encoding\n: chunked",
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
        "a coding hidden behind an empty value and a CR",
        "X:\rTransfer-Encoding: chunked",
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

fn refused_codings() -> Vec<Row> {
    REFUSED
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
            "a length, and chunked with a blank behind",
            "Content-Length: 5|Transfer-Encoding: chunked ",
        ),
        (
            "a length, and chunked behind a tab",
            "Content-Length: 5|Transfer-Encoding:\tchunked",
        ),
        (
            "a length, and chunked in capitals",
            "Content-Length: 5|TRANSFER-ENCODING: CHUNKED",
        ),
        (
            "a length, and chunked behind a comma",
            "Content-Length: 5|Transfer-Encoding: , chunked",
        ),
        (
            "a length, and chunked before a comma",
            "Content-Length: 5|Transfer-Encoding: chunked,",
        ),
        (
            "a length, and chunked on the next line",
            "Content-Length: 5|Transfer-Encoding:| chunked",
        ),
        (
            "a length, and what only ends like chunked",
            "Content-Length: 5|Transfer-Encoding: xchunked",
        ),
        (
            "a length, chunked and identity",
            "Transfer-Encoding: chunked|Transfer-Encoding: identity|Content-Length: 5",
        ),
        (
            "a length and three empty codings",
            "Content-Length: 5|Transfer-Encoding:|Transfer-Encoding:|Transfer-Encoding:",
        ),
        (
            "a length with a plus, and chunked",
            "Content-Length: +46|Transfer-Encoding: chunked",
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
