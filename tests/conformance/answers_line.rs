//! Platforms' status lines, and what is not one.

use crate::answers_run::{Row, row};

/// The end of an answer.
pub const OK: &str = "Content-Length: 2||ok";

pub fn rows() -> Vec<Row> {
    let mut rows = status_lines();
    rows.extend(refused_status_lines());
    rows.extend(no_answers());
    rows.extend(statuses());
    rows
}

fn status_lines() -> Vec<Row> {
    const LINE: &str = "9112 4";
    vec![
        row("a status line", LINE, format!("HTTP/1.1 200 OK|{OK}"))
            .delivered(200, "ok")
            .has("HTTP/1.1 200 OK"),
        row("an empty reason", LINE, format!("HTTP/1.1 200 |{OK}"))
            .delivered(200, "ok")
            .has("HTTP/1.1 200 "),
        row("no reason and no space", LINE, format!("HTTP/1.1 200|{OK}"))
            .delivered(200, "ok")
            .has("HTTP/1.1 200 "),
        row(
            "a long reason",
            LINE,
            format!("HTTP/1.1 200 all is \t well: 200|{OK}"),
        )
        .delivered(200, "ok")
        .has("HTTP/1.1 200 all is \t well: 200"),
        row(
            "two spaces before the reason",
            LINE,
            format!("HTTP/1.1 200  OK|{OK}"),
        )
        .delivered(200, "ok")
        .has("HTTP/1.1 200  OK"),
        row(
            "UTF-8 in the reason",
            LINE,
            format!("HTTP/1.1 200 caf\u{e9}|{OK}"),
        )
        .delivered(200, "ok")
        .has("HTTP/1.1 200 caf\u{e9}"),
        row("HTTP/1.2", "9110 2.5", format!("HTTP/1.2 200 OK|{OK}"))
            .delivered(200, "ok")
            .has("HTTP/1.1 200 OK"),
        row("HTTP/1.0", "9112 9.3", format!("HTTP/1.0 200 OK|{OK}"))
            .delivered_once(200, "ok")
            .has("HTTP/1.1 200 OK"),
        row(
            "HTTP/1.0 and keep-alive",
            "9112 9.3",
            format!("HTTP/1.0 200 OK|Connection: keep-alive|{OK}"),
        )
        .delivered(200, "ok")
        .lacks("connection"),
    ]
}

fn refused_status_lines() -> Vec<Row> {
    const LINE: &str = "9112 4";
    const STATUS: &str = "9110 15";
    let refused: [(&str, &str, &[u8]); 39] = [
        ("HTTP/2.0", "9110 2.5", b"HTTP/2.0 200 OK"),
        ("HTTP/0.9", "9110 2.5", b"HTTP/0.9 200 OK"),
        ("HTTP/2", "9112 2.3", b"HTTP/2 200 OK"),
        ("HTTP/1.10", "9112 2.3", b"HTTP/1.10 200 OK"),
        ("HTTP/1.01", "9112 2.3", b"HTTP/1.01 200 OK"),
        ("HTTP/01.1", "9112 2.3", b"HTTP/01.1 200 OK"),
        ("HTTP/11.1", "9112 2.3", b"HTTP/11.1 200 OK"),
        ("HTTPER", "9112 2.3", b"HTTPER/1.1 200 OK"),
        ("http in small letters", "9112 2.3", b"http/1.1 200 OK"),
        ("another protocol", "9112 2.3", b"ICY 200 OK"),
        ("RTSP", "9112 2.3", b"RTSP/1.0 200 OK"),
        ("a status of 0", STATUS, b"HTTP/1.1 000 x"),
        ("a status of 99", STATUS, b"HTTP/1.1 099 x"),
        ("a status of 600", STATUS, b"HTTP/1.1 600 x"),
        ("a status of 999", STATUS, b"HTTP/1.1 999 x"),
        ("a status of one digit", LINE, b"HTTP/1.1 2 OK"),
        ("a status of two digits", LINE, b"HTTP/1.1 20 OK"),
        ("a status of four digits", LINE, b"HTTP/1.1 2000 OK"),
        ("a status with a letter", LINE, b"HTTP/1.1 2x0 OK"),
        ("a negative status", LINE, b"HTTP/1.1 -20 OK"),
        ("a status with a plus", LINE, b"HTTP/1.1 +20 OK"),
        ("a status with a fraction", LINE, b"HTTP/1.1 200.1 OK"),
        ("no status", LINE, b"HTTP/1.1"),
        ("a reason instead of a status", LINE, b"HTTP/1.1 OK"),
        ("two spaces before the status", LINE, b"HTTP/1.1  200 OK"),
        ("a tab before the status", LINE, b"HTTP/1.1\t200 OK"),
        ("a tab after the status", LINE, b"HTTP/1.1 200\tOK"),
        ("a reason at once", LINE, b"HTTP/1.1 200OK"),
        ("NUL in the reason", LINE, b"HTTP/1.1 200 O\0K"),
        ("a bare CR in the reason", LINE, b"HTTP/1.1 200 O\rK"),
        ("a control byte in the reason", LINE, b"HTTP/1.1 200 O\x07K"),
        ("DEL in the reason", LINE, b"HTTP/1.1 200 O\x7fK"),
        (
            "a space before the status line",
            "9112 2.2",
            b" HTTP/1.1 200 OK",
        ),
        (
            "an empty line before the status line",
            "9112 2.2",
            b"|HTTP/1.1 200 OK",
        ),
        (
            "a bare LF after the status line",
            "9112 2.2",
            b"HTTP/1.1 200 OK\nX: y",
        ),
        (
            "a CR before the status line",
            "9112 2.2",
            b"\rHTTP/1.1 200 OK",
        ),
        (
            "a bare CR after the status line",
            "9112 2.2",
            b"HTTP/1.1 200 OK\rX: y",
        ),
        (
            "two CRs after the status line",
            "9112 2.2",
            b"HTTP/1.1 200 OK\r",
        ),
        (
            "a fold after the status line",
            "9112 5.2",
            b"HTTP/1.1 200 OK| X: y",
        ),
    ];
    refused
        .into_iter()
        .map(|(name, section, line)| {
            let bytes = [line, b"|", OK.as_bytes()].concat();
            row(name, section, bytes).bad_gateway()
        })
        .collect()
}

/// What is not an answer at all.
fn no_answers() -> Vec<Row> {
    const PARTIAL: &str = "9112 8";
    vec![
        row("nothing", PARTIAL, "").then_closes().bad_gateway(),
        row("a line that does not end", PARTIAL, "HTTP/1.1 20")
            .then_closes()
            .bad_gateway(),
        row(
            "a head that does not end",
            PARTIAL,
            "HTTP/1.1 200 OK|Content-Length: 2|",
        )
        .then_closes()
        .bad_gateway(),
        row(
            "a head without its last LF",
            PARTIAL,
            "HTTP/1.1 200 OK|Content-Length: 2|\r",
        )
        .then_closes()
        .bad_gateway(),
        row("a body of HTTP/0.9", "9112 2.1", "<html>hello</html>").bad_gateway(),
        row(
            "an alert of TLS",
            "9112 2.1",
            b"\x15\x03\x03\x00\x02\x02\x46",
        )
        .bad_gateway(),
        row("a banner of SSH", "9112 2.1", "SSH-2.0-x|").bad_gateway(),
        row(
            "a preface of HTTP/2",
            "9112 2.1",
            b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0d",
        )
        .bad_gateway(),
        row(
            "bare LFs only",
            "9112 2.2",
            "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        )
        .bad_gateway(),
        row("a request", "9112 2.1", "GET / HTTP/1.1|Host: h||").bad_gateway(),
    ]
}

fn statuses() -> Vec<Row> {
    let delivered = [
        ("201", 201),
        ("202", 202),
        ("206", 206),
        ("299", 299),
        ("301", 301),
        ("307", 307),
        ("400", 400),
        ("404", 404),
        ("407", 407),
        ("418", 418),
        ("426", 426),
        ("499", 499),
        ("500", 500),
        ("501", 501),
        ("503", 503),
        ("505", 505),
        ("599", 599),
    ];
    let mut rows: Vec<Row> = delivered
        .into_iter()
        .map(|(name, status)| {
            row(name, "9110 15", format!("HTTP/1.1 {status} x|{OK}")).delivered(status, "ok")
        })
        .collect();
    rows.extend([
        row(
            "a place elsewhere",
            "9110 10.2.2",
            format!("HTTP/1.1 302 Found|Location: http://i/a#b|{OK}"),
        )
        .delivered(302, "ok")
        .has("Location: http://i/a#b"),
        row(
            "a key that is refused",
            "9110 11.6.1",
            format!("HTTP/1.1 401 x|WWW-Authenticate: Bearer|{OK}"),
        )
        .from("denied")
        .in_one_piece()
        .delivered(401, "ok")
        .has("WWW-Authenticate: Bearer"),
        row(
            "a rate limit",
            "6585 4",
            format!("HTTP/1.1 429 x|Retry-After: 7|{OK}"),
        )
        .from("limited")
        .in_one_piece()
        .delivered(429, "ok")
        .has("Retry-After: 7"),
    ]);
    rows
}
