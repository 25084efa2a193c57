//! Several requests at once: each has its own framing.

use crate::requests_length::post;
use crate::requests_run::{Row, row};

const BODY: &str = "9112 6.3";

const PIPELINE: &str = "9112 9.3.2";
const NEXT: &str = "GET /test/b HTTP/1.1|Host: h||";

pub fn rows() -> Vec<Row> {
    let mut rows = served();
    rows.extend(after_own_answers());
    rows.extend(not_served());
    rows
}

/// The request `first` with another one right behind it.
fn after(name: &'static str, first: &str) -> Row {
    row(name, PIPELINE, format!("{first}{NEXT}"))
}

fn served() -> Vec<Row> {
    let many = "GET /test/c HTTP/1.1|Host: h||".repeat(40);
    let forty = after("forty requests", &many);
    let forty = (0..40).fold(forty, |row, _| row.passes("GET /v1/c"));
    vec![
        forty.passes("GET /v1/b"),
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
            "chunks that hold a request",
            &post("Transfer-Encoding: chunked", &format!("21|{NEXT}|0||")),
        )
        .passes("POST /v1/a")
        .body(NEXT.replace('|', "\r\n"))
        .passes("GET /v1/b"),
        after(
            "a body of GET that begins a request",
            "GET /test/a HTTP/1.1|Host: h|Content-Length: 31||GET /test/c HTTP/1.1|Host: i|",
        )
        .passes("GET /v1/a")
        .body("GET /test/c HTTP/1.1\r\nHost: i\r\n")
        .passes("GET /v1/b"),
        // The byte belongs to the next request, whose method is then an unknown one.
        after(
            "a byte after an empty body",
            &post("Content-Length: 0", "X"),
        )
        .passes("POST /v1/a")
        .passes("XGET /v1/b"),
        after(
            "HEAD and the next request",
            "HEAD /test/a HTTP/1.1|Host: h||",
        )
        .passes("HEAD /v1/a")
        .passes("GET /v1/b"),
    ]
}

fn after_own_answers() -> Vec<Row> {
    vec![
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
    ]
}

fn not_served() -> Vec<Row> {
    vec![
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
            post("Content-Length: 4", "hello/test/b HTTP/1.1|Host : h||"),
        )
        .passes("POST /v1/a")
        .body("hell")
        .refused(400),
        row(
            "a body that is one request long",
            BODY,
            post("Content-Length: 33", NEXT),
        )
        .passes("POST /v1/a")
        .body("GET /test/b HTTP/1.1\r\nHost: h\r\n\r\n"),
        row(
            "no length, and what looks like a body",
            BODY,
            post("X: y", "x=1|y: z||"),
        )
        .passes("POST /v1/a")
        .refused(400),
    ]
}
