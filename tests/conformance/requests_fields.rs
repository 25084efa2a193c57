//! Field lines.

use crate::requests_run::{Row, row};

pub fn rows() -> Vec<Row> {
    let mut rows = passed();
    rows.extend(refused());
    rows.extend(bounds());
    rows
}

const VALUE: &str = "9110 5.5";

/// Name, section, what the client sends, a line that the platform sees.
const PASSED: [(&str, &str, &str, &str); 16] = [
    ("no blank after the colon", "9112 5.1", "X:y", "X: y"),
    ("blanks around the value", "9112 5.1", "X: \t y \t", "X: y"),
    ("blanks within the value", VALUE, "X: a \t b", "X: a \t b"),
    ("an empty value", VALUE, "X:", "X: "),
    ("a blank value", VALUE, "X: \t ", "X: "),
    ("a colon in the value", VALUE, "X: a:b", "X: a:b"),
    ("a colon at once", VALUE, "X::", "X: :"),
    (
        "a value that looks like a request",
        VALUE,
        "X: GET / HTTP/1.1",
        "X: GET / HTTP/1.1",
    ),
    ("UTF-8 in the value", VALUE, "X: caf\u{e9}", "X: caf\u{e9}"),
    ("a quoted value", VALUE, "X: \"a, b\"", "X: \"a, b\""),
    (
        "all letters of a token",
        "9110 5.6.2",
        "!#$%&'*+-.^_`~09aZ: y",
        "!#$%&'*+-.^_`~09aZ: y",
    ),
    (
        "an underscore in the name",
        "9110 5.6.2",
        "X_Y: z",
        "X_Y: z",
    ),
    ("a name of digits", "9110 5.6.2", "1: 2", "1: 2"),
    (
        "the name's letters are kept",
        "9110 5.1",
        "x-CuStOm: y",
        "x-CuStOm: y",
    ),
    (
        "a field that nobody knows",
        "9110 5.1",
        "X-Unheard-Of: y",
        "X-Unheard-Of: y",
    ),
    (
        "an empty Connection",
        "9110 7.6.1",
        "Connection:|X: y",
        "X: y",
    ),
];

fn passed() -> Vec<Row> {
    let mut rows: Vec<Row> = PASSED
        .into_iter()
        .map(|(name, section, line, want)| {
            row(
                name,
                section,
                format!("GET /test/a HTTP/1.1|Host: h|{line}||"),
            )
            .passes("GET /v1/a")
            .has(want)
        })
        .collect();
    rows.extend([
        row(
            "a byte that is no UTF-8 in the value",
            VALUE,
            b"GET /test/a HTTP/1.1|Host: h|X: a\xffb||",
        )
        .passes("GET /v1/a")
        .has("X: a\u{fffd}b"),
        row(
            "equal names keep their lines and order",
            "9110 5.3",
            "GET /test/a HTTP/1.1|Host: h|X: 1|Y: 2|X: 3||",
        )
        .passes("GET /v1/a")
        .has("X: 1")
        .has("X: 3"),
        row(
            "a field before Host",
            "9110 5.3",
            "GET /test/a HTTP/1.1|X: y|Host: h||",
        )
        .passes("GET /v1/a")
        .has("X: y"),
    ]);
    rows
}

const LINE: &str = "9112 5";
const NAME: &str = "9112 5.1";
const FOLD: &str = "9112 5.2";
const END: &str = "9112 2.2";

/// Name, section, lines after Host.
const REFUSED: [(&str, &str, &[u8]); 46] = [
    ("a space before the colon", NAME, b"X : y|"),
    ("a tab before the colon", NAME, b"X\t: y|"),
    ("a space in the name", NAME, b"X Y: z|"),
    ("an empty name", LINE, b": y|"),
    ("no colon", LINE, b"X|"),
    ("no colon and a value", LINE, b"X y|"),
    ("a parenthesis in the name", NAME, b"X(: y|"),
    ("an at sign in the name", NAME, b"X@: y|"),
    ("a quote in the name", NAME, b"\"X\": y|"),
    ("a slash in the name", NAME, b"X/Y: z|"),
    ("a backslash in the name", NAME, b"X\\Y: z|"),
    ("an equals sign in the name", NAME, b"X=Y: z|"),
    ("a bracket in the name", NAME, b"X[0]: y|"),
    ("a brace in the name", NAME, b"{X}: y|"),
    ("a comma in the name", NAME, b"X,Y: z|"),
    ("a semicolon in the name", NAME, b"X;: y|"),
    ("a question mark in the name", NAME, b"X?: y|"),
    ("NUL in the name", NAME, b"X\0: y|"),
    ("a control byte in the name", NAME, b"X\x01: y|"),
    ("DEL in the name", NAME, b"X\x7f: y|"),
    ("UTF-8 in the name", NAME, b"X\xc3\xa9: y|"),
    ("a CR in the name", NAME, b"X\rY: z|"),
    ("a name that a CR breaks off", NAME, b"X\r\x1beep-Alive|"),
    ("a fold with a space", FOLD, b"X: y| z|"),
    ("a fold with a tab", FOLD, b"X: y|\tz|"),
    ("a fold of blanks only", FOLD, b"X: y| |"),
    ("a fold that looks like a field", FOLD, b"X: y| Y: z|"),
    ("a fold after Host", FOLD, b" X: y|"),
    ("a colon on the next line", FOLD, b"X| : y|"),
    ("NUL in the value", VALUE, b"X: a\0b|"),
    ("NUL at the value's end", VALUE, b"X: a\0|"),
    ("a bare CR in the value", VALUE, b"X: a\rb|"),
    ("a bare CR at the value's beginning", VALUE, b"X: \ra|"),
    ("a CR before the line end", VALUE, b"X: a\r|"),
    ("a bare LF in the value", VALUE, b"X: a\nb|"),
    ("a bare LF and a field", END, b"X: a\nY: b|"),
    ("a bare CR and a field", END, b"X: a\rY: b|"),
    ("BEL in the value", VALUE, b"X: a\x07|"),
    ("a vertical tab in the value", VALUE, b"X: a\x0b|"),
    ("a form feed in the value", VALUE, b"X: \x0ca|"),
    ("ESC in the value", VALUE, b"X: a\x1b[0m|"),
    ("DEL in the value", VALUE, b"X: a\x7f|"),
    ("LF and CR in the wrong order", END, b"X: y\n\r|"),
    (
        "a CR and a request line",
        END,
        b"\rZGET /test/b: HTTP/1.1|Host: h|",
    ),
    (
        "a bare LF and a length of another request",
        END,
        b"X: y\nContent-Length: 33||GET /test/b HTTP/1.1|X: GET /test/c HTTP/1.1|",
    ),
    ("an empty line of CR alone", END, b"X: y|\r\r\n"),
];

fn refused() -> Vec<Row> {
    let mut rows: Vec<Row> = REFUSED
        .into_iter()
        .map(|(name, section, line)| {
            let bytes = [b"GET /test/a HTTP/1.1|Host: h|".as_slice(), line, b"|"].concat();
            row(name, section, bytes).refused(400)
        })
        .collect();
    rows.extend([
        row(
            "a fold before all fields",
            FOLD,
            "GET /test/a HTTP/1.1| X: y|Host: h||",
        )
        .refused(400),
        row(
            "a blank line before all fields",
            FOLD,
            "GET /test/a HTTP/1.1| |Host: h||",
        )
        .refused(400),
        row(
            "a bare LF at the head's end",
            END,
            "GET /test/a HTTP/1.1|Host: h|\n",
        )
        .refused(400),
        row(
            "a bare LF after Host",
            END,
            "GET /test/a HTTP/1.1|Host: h\n|",
        )
        .refused(400),
        row(
            "a bare CR at the head's end",
            END,
            "GET /test/a HTTP/1.1|Host: h|\rX: y||",
        )
        .refused(400),
    ]);
    rows
}

fn bounds() -> Vec<Row> {
    const BOUND: &str = "9110 5.4";
    let lines = |count: usize| "X: y|".repeat(count);
    let value = |bytes: usize| "y".repeat(bytes);
    vec![
        row(
            "100 fields",
            BOUND,
            format!("GET /test/a HTTP/1.1|Host: h|{}|", lines(99)),
        )
        .passes("GET /v1/a")
        .has("X: y"),
        row(
            "101 fields",
            BOUND,
            format!("GET /test/a HTTP/1.1|Host: h|{}|", lines(100)),
        )
        .refused(431),
        row(
            "a value of 60 KiB",
            BOUND,
            format!("GET /test/a HTTP/1.1|Host: h|X: {}||", value(60 * 1024)),
        )
        .passes("GET /v1/a")
        .has(format!("X: {}", value(60 * 1024))),
        row(
            "a value of 65 KiB",
            BOUND,
            format!("GET /test/a HTTP/1.1|Host: h|X: {}||", value(65 * 1024)),
        )
        .refused(431),
        row(
            "a head over 64 KiB in many fields",
            BOUND,
            format!("GET /test/a HTTP/1.1|Host: h|{}|", lines(14 * 1024)),
        )
        .refused(431),
        row(
            "a name of 65 KiB",
            BOUND,
            format!("GET /test/a HTTP/1.1|Host: h|{}: y||", value(65 * 1024)),
        )
        .refused(431),
        row(
            "a field that does not end",
            BOUND,
            format!("GET /test/a HTTP/1.1|Host: h|X: {}", value(70 * 1024)),
        )
        .refused(431),
    ]
}
