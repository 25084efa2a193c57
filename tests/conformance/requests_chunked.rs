//! Chunked bodies: sizes, extensions, data, trailers.

use crate::requests_run::{Row, row};

const SIZE: &str = "9112 7.1";
const EXTENSION: &str = "9112 7.1.1";
const TRAILER: &str = "9112 7.1.2";

pub fn rows() -> Vec<Row> {
    let mut rows = passed();
    rows.extend(refused_sizes());
    rows.extend(refused_data());
    rows.extend(trailers());
    rows.extend(refused_trailers());
    rows.extend(incomplete());
    rows.extend(over_the_bound());
    rows
}

fn post(body: &str) -> String {
    format!("POST /test/a HTTP/1.1|Host: h|Transfer-Encoding: chunked||{body}")
}

/// Name, section, what the client sends, the body that it stands for.
const PASSED: [(&str, &str, &str, &str); 15] = [
    ("no chunk but the last", SIZE, "0||", ""),
    ("several chunks", SIZE, "2|he|3|llo|0||", "hello"),
    (
        "a size in small letters",
        SIZE,
        "a|0123456789|0||",
        "0123456789",
    ),
    ("a size in capitals", SIZE, "A|0123456789|0||", "0123456789"),
    ("a size with zeros before", SIZE, "00005|hello|0||", "hello"),
    (
        "a size of 16 digits",
        SIZE,
        "0000000000000005|hello|0||",
        "hello",
    ),
    (
        "a last size of several zeros",
        SIZE,
        "5|hello|000||",
        "hello",
    ),
    ("line ends as data", SIZE, "4||||0||", "\r\n\r\n"),
    ("an extension", EXTENSION, "5;a|hello|0||", "hello"),
    (
        "an extension with a value",
        EXTENSION,
        "5;a=b|hello|0||",
        "hello",
    ),
    (
        "an extension with a quoted value",
        EXTENSION,
        "5;a=\"b;c=\\\"d\\\"\"|hello|0||",
        "hello",
    ),
    (
        "several extensions",
        EXTENSION,
        "5;a;b=c;d=\"e\"|hello|0||",
        "hello",
    ),
    (
        "blanks around an extension",
        EXTENSION,
        "5 ;\ta = b|hello|0||",
        "hello",
    ),
    (
        "an extension of the last chunk",
        EXTENSION,
        "5|hello|0;a=b||",
        "hello",
    ),
    (
        "an extension that looks like a size",
        EXTENSION,
        "5;5=5|hello|0||",
        "hello",
    ),
];

fn passed() -> Vec<Row> {
    let long = "x".repeat(1000);
    let mut rows: Vec<Row> = PASSED
        .into_iter()
        .map(|(name, section, body, want)| {
            row(name, section, post(body))
                .passes("POST /v1/a")
                .body(want)
        })
        .collect();
    rows.push(
        row(
            "a long extension",
            EXTENSION,
            post(&format!("5;a={long}|hello|0||")),
        )
        .passes("POST /v1/a")
        .body("hello"),
    );
    rows.push(
        row("a last chunk as data", SIZE, post("5|0|||0||"))
            .passes("POST /v1/a")
            .body("0\r\n\r\n"),
    );
    rows
}

/// Name, section, what the client sends.
const REFUSED_SIZES: [(&str, &str, &str); 48] = [
    ("an empty size", SIZE, "|hello|0||"),
    ("a size that is no number", SIZE, "x|hello|0||"),
    ("a size with a letter too far", SIZE, "5g|hello|0||"),
    ("a size with 0x", SIZE, "0x5|hello|0||"),
    ("a size with a plus", SIZE, "+5|hello|0||"),
    ("a negative size", SIZE, "-5|hello|0||"),
    ("a size with an underscore", SIZE, "0_5|hello|0||"),
    ("a size with a fraction", SIZE, "5.0|hello|0||"),
    ("a size with a comma", SIZE, "5,5|hello|0||"),
    ("a size in quotes", SIZE, "\"5\"|hello|0||"),
    ("a size in other digits", SIZE, "\u{665}|hello|0||"),
    ("a space before the size", SIZE, " 5|hello|0||"),
    ("a tab before the size", SIZE, "\t5|hello|0||"),
    ("a space after the size", SIZE, "5 |hello|0||"),
    ("a space and another size", SIZE, "5 5|hello|0||"),
    ("a size of 17 digits", SIZE, "10000000000000005|hello|0||"),
    (
        "a size of 17 digits with zeros before",
        SIZE,
        "00000000000000005|hello|0||",
    ),
    (
        "a size that wraps",
        SIZE,
        "100000000000000000000000000000005|hello|0||",
    ),
    ("a size with NUL", SIZE, "5\0|hello|0||"),
    ("a bare LF after the size", SIZE, "5\nhello|0||"),
    ("a bare CR after the size", SIZE, "5\rhello|0||"),
    ("two CRs after the size", SIZE, "5\r|hello|0||"),
    ("a bare LF after the last size", SIZE, "5|hello|0\n|"),
    ("a space after the last size", SIZE, "5|hello|0 ||"),
    ("a minus before the last size", SIZE, "5|hello|-0||"),
    ("a plus before the only size", SIZE, "+0||"),
    ("a LF and blanks after the size", SIZE, "5 \n  |hello|0||"),
    ("words after the sizes", SIZE, "5 x|hello|0 y||"),
    ("two CRs and an extension", SIZE, "5\r\r;abcd|34|e|0||"),
    ("an extension without a name", EXTENSION, "5;|hello|0||"),
    (
        "an extension with a value only",
        EXTENSION,
        "5;=b|hello|0||",
    ),
    ("an extension without a value", EXTENSION, "5;a=|hello|0||"),
    (
        "an extension without a semicolon",
        EXTENSION,
        "5 a=b|hello|0||",
    ),
    (
        "an extension that ends in a semicolon",
        EXTENSION,
        "5;a;|hello|0||",
    ),
    ("two semicolons", EXTENSION, "5;;a|hello|0||"),
    ("a blank after an extension", EXTENSION, "5;a |hello|0||"),
    ("two values", EXTENSION, "5;a=b=c|hello|0||"),
    (
        "a quote that does not close",
        EXTENSION,
        "5;a=\"b|hello|0||",
    ),
    (
        "something after the quote",
        EXTENSION,
        "5;a=\"b\"c|hello|0||",
    ),
    ("a bare LF in an extension", EXTENSION, "5;a\nhello|0||"),
    (
        "a bare LF in a quoted extension",
        EXTENSION,
        "5;a=\"\n\"|hello|0||",
    ),
    ("a bare CR in an extension", EXTENSION, "5;a\rb|hello|0||"),
    (
        "a bracket in an extension's name",
        EXTENSION,
        "5;a[=b|hello|0||",
    ),
    (
        "NUL before an extension's name",
        EXTENSION,
        "5;\0a|hello|0||",
    ),
    (
        "a quote that closes on the next line",
        EXTENSION,
        "5;a=\"b|c\"|hello|0||",
    ),
    ("NUL in an extension", EXTENSION, "5;a=\"\0\"|hello|0||"),
    (
        "UTF-8 in an extension's name",
        EXTENSION,
        "5;\u{e9}|hello|0||",
    ),
    (
        "a LF hidden in the last extension",
        EXTENSION,
        "5|hello|0;a\n|",
    ),
];

fn refused_sizes() -> Vec<Row> {
    let mut rows: Vec<Row> = REFUSED_SIZES
        .into_iter()
        .map(|(name, section, body)| row(name, section, post(body)).refused_in_body(400))
        .collect();
    let long = "x".repeat(5000);
    rows.push(
        row(
            "an extension over 4 KiB",
            EXTENSION,
            post(&format!("5;a={long}|hello|0||")),
        )
        .refused_in_body(400),
    );
    let many = format!("1;a={}|x|", "y".repeat(3000)).repeat(40);
    rows.push(
        row(
            "much more extensions than data",
            EXTENSION,
            post(&format!("{many}0||")),
        )
        .refused_in_body(400),
    );
    rows
}

fn refused_data() -> Vec<Row> {
    let refused = [
        ("data longer than its size", "4|hello|0||"),
        ("data far longer than its size", "1|hello|0||"),
        ("data one byte shorter than its size", "6|hello|0||"),
        ("no line end after the data", "5|hello0||"),
        ("a bare LF after the data", "5|hello\n0||"),
        ("a bare CR after the data", "5|hello\r0||"),
        ("LF and CR after the data", "5|hello\n\r0||"),
        ("a space after the data", "5|hello |0||"),
        ("two other bytes after the data", "5|helloXX0||"),
        ("an empty line after the data", "5|hello||0||"),
        (
            "the next request instead of a line end",
            "5|helloGET /test/b HTTP/1.1|Host: h||",
        ),
    ];
    refused
        .into_iter()
        .map(|(name, body)| row(name, SIZE, post(body)).refused_in_body(400))
        .collect()
}

fn trailers() -> Vec<Row> {
    let passed = [
        ("a trailer", "X: y|", "X: y|"),
        ("several trailers", "X: 1|Y: 2|X: 3|", "X: 1|Y: 2|X: 3|"),
        ("a trailer with blanks around", "X: \t y \t|", "X: y|"),
        (
            "a trailer of a digest",
            "Content-Digest: sha-256=:x:|",
            "Content-Digest: sha-256=:x:|",
        ),
        (
            "a length in the trailers",
            "Content-Length: 5|X: y|",
            "X: y|",
        ),
        (
            "a coding in the trailers",
            "Transfer-Encoding: chunked|X: y|",
            "X: y|",
        ),
        ("a host in the trailers", "Host: i|X: y|", "X: y|"),
        (
            "a key in the trailers",
            "Authorization: Bearer z|x-api-key: z|X: y|",
            "X: y|",
        ),
        ("a cookie in the trailers", "Cookie: z|X: y|", "X: y|"),
        (
            "a content type in the trailers",
            "Content-Type: z|Content-Encoding: z|X: y|",
            "X: y|",
        ),
        (
            "Connection in the trailers",
            "Connection: close|Upgrade: z|X: y|",
            "X: y|",
        ),
        (
            "Expect in the trailers",
            "Expect: z|Max-Forwards: 0|X: y|",
            "X: y|",
        ),
        (
            "a client's address in the trailers",
            "X-Forwarded-For: 1.2.3.4|Forwarded: z|X: y|",
            "X: y|",
        ),
    ];
    passed
        .into_iter()
        .map(|(name, lines, want)| {
            row(name, TRAILER, post(&format!("5|hello|0|{lines}|")))
                .passes("POST /v1/a")
                .body("hello")
                .trailers(want)
        })
        .collect()
}

fn refused_trailers() -> Vec<Row> {
    let refused = [
        ("a trailer without a colon", "X|"),
        ("a trailer without a name", ": y|"),
        ("a space before a trailer's colon", "X : y|"),
        ("a space in a trailer's name", "X Y: z|"),
        ("a folded trailer", "X: y| z|"),
        ("a fold instead of a trailer", " X: y|"),
        ("NUL in a trailer", "X: \0|"),
        ("a control byte in a trailer", "X: \x01|"),
        ("a bare CR in a trailer", "X: y\rz|"),
        ("a bare LF after a trailer", "X: y\n"),
        ("a bare LF between trailers", "X: y\nY: z|"),
        (
            "a request line among the trailers",
            "GET /test/b HTTP/1.1|Host: h|",
        ),
        ("a bare LF instead of trailers", "\n"),
    ];
    let mut rows: Vec<Row> = refused
        .into_iter()
        .map(|(name, lines)| {
            row(name, TRAILER, post(&format!("5|hello|0|{lines}|"))).refused_in_body(400)
        })
        .collect();
    let long = "X: y|".repeat(2000);
    rows.push(
        row(
            "trailers over 8 KiB",
            TRAILER,
            post(&format!("5|hello|0|{long}|")),
        )
        .refused_in_body(400),
    );
    rows
}

fn incomplete() -> Vec<Row> {
    let waiting = [
        ("a size that does not end", "5"),
        ("a size and a CR", "5\r"),
        ("data that does not end", "5|hell"),
        ("data without its line end", "5|hello"),
        ("no last chunk", "5|hello|"),
        ("a last size alone", "5|hello|0|"),
        ("trailers that do not end", "5|hello|0|X: y|"),
        ("a chunk as large as can be", "6400000|hello"),
    ];
    waiting
        .into_iter()
        .map(|(name, body)| row(name, "9112 8", post(body)).waits())
        .collect()
}

/// The size that a line announces counts against the bound before the data comes.
fn over_the_bound() -> Vec<Row> {
    let refused = [
        ("a chunk over the bound", "6400001|"),
        ("a chunk far over the bound", "ffffffffffffffff|"),
        (
            "a chunk that comes to more with the last",
            "5|hello|63ffffc|",
        ),
        (
            "a chunk that wraps with the last",
            "5|hello|ffffffffffffffff|",
        ),
    ];
    refused
        .into_iter()
        .map(|(name, body)| row(name, "9110 15.5.14", post(body)).refused_in_body(413))
        .collect()
}
