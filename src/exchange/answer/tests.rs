//! Heads as a client gets them, byte by byte.

use super::Afterwards::{Close, KeepAlive};
use super::Coding::{Chunked, Identity};
use super::*;
use crate::base::ids::RequestId;
use crate::exchange::testing::{PLATFORM, buffer, core, drain, now, request, shown};
use crate::http::field::Storage;
use crate::http::response;

const DATE: &str = "date: Mon, 21 Sep 2026 14:13:20 GMT\r\n";
const ID: &str = "x-request-id: req-1\r\n";
const SANDBOX: &str = "content-security-policy: sandbox\r\n";
const QUOTA: &str = "x-ratelimit-limit-requests: 100\r\nx-ratelimit-remaining-requests: 7\r\n\
                     x-ratelimit-reset-requests: 6m0s\r\n";

/// What is special about a request.
type Change = fn(&mut Request);

fn plain(_: &mut Request) {}

fn http10(request: &mut Request) {
    request.version = Version::Http10;
}

fn closing(request: &mut Request) {
    request.afterwards = Afterwards::Close;
}

fn for_head(request: &mut Request) {
    request.asked = Asked::Head;
}

fn any_origin(request: &mut Request) {
    request.cors = Cors::Any;
}

fn one_origin(request: &mut Request) {
    request.cors = Cors::Only("https://app.example".into());
}

fn foreign_origin(request: &mut Request) {
    request.cors = Cors::Refused;
}

fn limited(request: &mut Request) {
    request.quota = Some(Quota {
        limit: 100,
        remaining: 7,
        resets_in_seconds: 360,
    });
}

fn limited_any_origin(request: &mut Request) {
    limited(request);
    any_origin(request);
}

/// A request that is to be answered.
fn asked(change: Change) -> (Core, Box<Request>) {
    let mut core = core("{}", PLATFORM);
    let mut request = request(&mut core);
    request.id = RequestId::new("req-1");
    request.afterwards = Afterwards::KeepAlive;
    change(&mut request);
    (core, request)
}

/// A platform's head as the client gets it, without the field that every answer has; how its body is written, and what
/// becomes of the connection.
fn relayed(head: &str, change: Change) -> (String, Coding, Afterwards) {
    let (head, coding, afterwards) = relayed_whole(head, change);
    (head.replacen(SANDBOX, "", 1), coding, afterwards)
}

fn relayed_whole(head: &str, change: Change) -> (String, Coding, Afterwards) {
    let (mut core, mut request) = asked(change);
    let mut storage = Storage::EMPTY;
    let text = format!("{head}\r\n");
    let head = response::parse(text.as_bytes(), &mut storage, request.asked);
    let head = head.expect("a well-formed head");
    let mut out = buffer(b"");
    let coding = relay_head(
        &mut out,
        &mut core,
        &mut request,
        &head,
        &Decoder::Done,
        now(),
    );
    (shown(&drain(&mut out)), coding, request.afterwards)
}

const OK: &str = "HTTP/1.1 200 OK\r\n";

#[test]
fn what_a_browser_shows_has_no_origin() {
    let fields = "Content-Length: 2\r\ncontent-security-policy: default-src *\r\n";
    let (head, _, _) = relayed_whole(&format!("{OK}{fields}"), plain);
    let theirs = "content-security-policy: default-src *\r\n";
    let want = format!("{OK}{theirs}{DATE}{ID}{SANDBOX}Content-Length: 2\r\n\r\n");
    assert_eq!(head, want);
}

#[test]
fn what_passes_and_what_is_added() {
    const LENGTH: &str = "Content-Length: 2\r\n";
    let own_date = "Date: Tue, 01 Jan 2030 00:00:00 GMT\r\n";
    let own_id = "X-Request-Id: theirs\r\n";
    for (fields, want) in [
        ("", format!("{DATE}{ID}")),
        (
            "Server: x\r\nb: 2\r\nA: 1\r\nb: 3\r\n",
            format!("Server: x\r\nb: 2\r\nA: 1\r\nb: 3\r\n{DATE}{ID}"),
        ),
        (own_date, format!("{own_date}{ID}")),
        (own_id, format!("{own_id}{DATE}")),
        (
            "X-Request-Id: a\r\nx-request-id: b\r\n",
            format!("X-Request-Id: a\r\n{DATE}"),
        ),
        ("X-Request-Id: \r\n", format!("{DATE}{ID}")),
        (
            "X-Request-Id:\r\nx-request-id: b\r\n",
            format!("x-request-id: b\r\n{DATE}"),
        ),
        (
            "Connection: close, X-Hop\r\nKeep-Alive: 5\r\nX-Hop: 1\r\nA: 1\r\n",
            format!("A: 1\r\n{DATE}{ID}"),
        ),
        (
            "Connection: keep-alive\r\nUpgrade: h2\r\nProxy-Authenticate: x\r\n",
            format!("{DATE}{ID}"),
        ),
        (
            "Set-Cookie: a\r\nSet-Cookie: b\r\n",
            format!("Set-Cookie: a\r\nSet-Cookie: b\r\n{DATE}{ID}"),
        ),
        (
            "Content-Encoding: br\r\nVary: Accept\r\n",
            format!("Content-Encoding: br\r\nVary: Accept\r\n{DATE}{ID}"),
        ),
        (
            "Retry-After: 5\r\nx-ratelimit-reset: 1\r\n",
            format!("Retry-After: 5\r\nx-ratelimit-reset: 1\r\n{DATE}{ID}"),
        ),
        (
            "Access-Control-Allow-Origin: https://x\r\n",
            format!("Access-Control-Allow-Origin: https://x\r\n{DATE}{ID}"),
        ),
    ] {
        let (found, coding, afterwards) = relayed(&format!("{OK}{LENGTH}{fields}"), plain);
        assert_eq!(found, format!("{OK}{want}{LENGTH}\r\n"), "{fields:?}");
        assert_eq!(
            (coding, afterwards),
            (Coding::Identity, Afterwards::KeepAlive)
        );
    }
}

#[test]
fn a_switch_has_one_id_and_tells_the_limits() {
    let upgrade = "connection: upgrade\r\n";
    let theirs = "x-ratelimit-remaining-requests: 5\r\n";
    let rows: [(&str, Change, String, &str); 6] = [
        ("", plain, format!("{upgrade}{ID}"), "req-1"),
        ("", limited, format!("{upgrade}{ID}{QUOTA}"), "req-1"),
        (theirs, limited, format!("{theirs}{upgrade}{ID}"), "req-1"),
        // What would spoil a line of the log is passed on, and the log has the request's own id.
        (
            "X-Request-Id: a\u{9b}b\r\n",
            plain,
            format!("X-Request-Id: a\u{9b}b\r\n{upgrade}"),
            "req-1",
        ),
        (
            "X-Request-Id: \r\n",
            plain,
            format!("{upgrade}{ID}"),
            "req-1",
        ),
        (
            "X-Request-Id: a\r\nx-request-id: b\r\n",
            plain,
            format!("X-Request-Id: a\r\n{upgrade}"),
            "a",
        ),
    ];
    for (fields, change, want, id) in rows {
        let line = "HTTP/1.1 101 Switching Protocols\r\n";
        let (_core, mut request) = asked(change);
        let mut storage = Storage::EMPTY;
        let text = format!("{line}{fields}\r\n");
        let head = response::parse(text.as_bytes(), &mut storage, request.asked);
        let mut out = buffer(b"");
        relay_switch(&mut out, &mut request, &head.expect("a well-formed head"));
        assert_eq!(shown(&drain(&mut out)), format!("{line}{want}\r\n"));
        assert_eq!(request.id.as_str(), id);
    }
}

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
const CLOSE: &str = "connection: close\r\n";
const KEEP: &str = "connection: keep-alive\r\n";

const FRAMINGS: &[(&str, &str, Change, &str, Coding, Afterwards)] = &[
    (
        "200 OK",
        "content-length: 007\r\n",
        plain,
        "Content-Length: 7\r\n",
        Identity,
        KeepAlive,
    ),
    ("200 OK", CHUNKED, plain, CHUNKED, Chunked, KeepAlive),
    ("200 OK", "", plain, CLOSE, Identity, Close),
    (
        "200 OK",
        "Content-Length: 7\r\n",
        closing,
        "Content-Length: 7\r\nconnection: close\r\n",
        Identity,
        Close,
    ),
    (
        "200 OK",
        "Content-Length: 7\r\n",
        http10,
        "Content-Length: 7\r\nconnection: keep-alive\r\n",
        Identity,
        KeepAlive,
    ),
    ("200 OK", CHUNKED, http10, CLOSE, Identity, Close),
    ("200 OK", "", http10, CLOSE, Identity, Close),
    ("204 No Content", "", plain, "", Identity, KeepAlive),
    (
        "204 No Content",
        "Content-Length: 0\r\n",
        plain,
        "",
        Identity,
        KeepAlive,
    ),
    ("204 No Content", "", http10, KEEP, Identity, KeepAlive),
    ("304 Not Modified", "", plain, "", Identity, KeepAlive),
    (
        "304 Not Modified",
        "Content-Length: 9\r\n",
        plain,
        "Content-Length: 9\r\n",
        Identity,
        KeepAlive,
    ),
    (
        "200 OK",
        "Content-Length: 9\r\n",
        for_head,
        "Content-Length: 9\r\n",
        Identity,
        KeepAlive,
    ),
    ("200 OK", "", for_head, "", Identity, KeepAlive),
    (
        "204 No Content",
        "Content-Length: 9\r\n",
        for_head,
        "",
        Identity,
        KeepAlive,
    ),
    (
        "404 Nope",
        "Content-Length: 0\r\n",
        plain,
        "Content-Length: 0\r\n",
        Identity,
        KeepAlive,
    ),
    (
        "529 ",
        "Content-Length: 1\r\n",
        plain,
        "Content-Length: 1\r\n",
        Identity,
        KeepAlive,
    ),
];

#[test]
fn framings() {
    for (status, fields, change, want, coding, afterwards) in FRAMINGS {
        let found = relayed(&format!("HTTP/1.1 {status}\r\n{fields}"), *change);
        let head = format!("HTTP/1.1 {status}\r\n{DATE}{ID}{want}\r\n");
        assert_eq!(found, (head, *coding, *afterwards), "{status} {fields:?}");
    }
    let (found, _, _) = relayed("HTTP/1.0 200\r\nContent-Length: 1\r\n", plain);
    assert!(found.starts_with("HTTP/1.1 200 \r\n"), "{found}");
}

#[test]
fn cors_and_quota() {
    const ANY: &str = "access-control-allow-origin: *\r\n";
    const ONE: &str = "access-control-allow-origin: https://app.example\r\nvary: Origin\r\n";
    const FOREIGN: &str = "vary: Origin\r\n";
    const THEIRS: &str = "X-RateLimit-Remaining-Requests: 3\r\n";
    let exposes = |names: &str| format!("access-control-expose-headers: {names}\r\n");
    let with_id = exposes("x-request-id");
    let rows: [(&str, Change, String); 12] = [
        ("", any_origin, format!("{DATE}{ID}{ANY}{with_id}")),
        ("", one_origin, format!("{DATE}{ID}{ONE}{with_id}")),
        ("", foreign_origin, format!("{DATE}{ID}{FOREIGN}")),
        (
            "Access-Control-Allow-Origin: https://x\r\n",
            any_origin,
            format!("{DATE}{ID}{ANY}{with_id}"),
        ),
        (
            "access-control-allow-origin: *\r\nAccess-Control-Expose-Headers: a\r\n",
            one_origin,
            format!("Access-Control-Expose-Headers: a\r\n{DATE}{ID}{ONE}{with_id}"),
        ),
        (
            "access-control-allow-origin: *\r\nAccess-Control-Expose-Headers: a\r\n",
            foreign_origin,
            format!("{DATE}{ID}{FOREIGN}"),
        ),
        (
            "Retry-After: 1\r\nretry-after-ms: 5\r\nX-Other: 1\r\n",
            any_origin,
            format!("Retry-After: 1\r\nretry-after-ms: 5\r\nX-Other: 1\r\n{DATE}{ID}{ANY}")
                + &exposes("x-request-id, retry-after, retry-after-ms"),
        ),
        (
            "x-ratelimit-reset-tokens: 1s\r\n",
            any_origin,
            format!("x-ratelimit-reset-tokens: 1s\r\n{DATE}{ID}{ANY}")
                + &exposes("x-request-id, x-ratelimit-reset-tokens"),
        ),
        ("", limited, format!("{DATE}{ID}{QUOTA}")),
        (THEIRS, limited, format!("{THEIRS}{DATE}{ID}")),
        (
            "x-ratelimit-reset-tokens: 1s\r\n",
            limited,
            format!("x-ratelimit-reset-tokens: 1s\r\n{DATE}{ID}{QUOTA}"),
        ),
        (
            "",
            limited_any_origin,
            format!("{DATE}{ID}{QUOTA}{ANY}")
                + &exposes(
                    "x-request-id, x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests",
                ),
        ),
    ];
    for (fields, change, want) in rows {
        let (found, _, _) = relayed(&format!("{OK}Content-Length: 0\r\n{fields}"), change);
        assert_eq!(
            found,
            format!("{OK}{want}Content-Length: 0\r\n\r\n"),
            "{fields:?}"
        );
    }
}

#[test]
fn interim_answers() {
    let mut storage = Storage::EMPTY;
    let text = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\nX: 1\r\nContent-Length: 5\r\n\r\n";
    let head = response::parse(text, &mut storage, Asked::Other).expect("a well-formed head");
    let mut out = buffer(b"");
    relay_interim(&mut out, &head);
    assert_eq!(
        shown(&drain(&mut out)),
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    );
}

#[test]
fn heads_of_the_proxy_s_own() {
    let close = "connection: close\r\n";
    let whole = |bytes: &'static [u8]| Content::Whole(bytes.into());
    let rows: [(u16, Content, Change, &str, Coding); 9] = [
        (
            200,
            whole(b"twelve bytes"),
            plain,
            "content-length: 12\r\n",
            Coding::Identity,
        ),
        (
            200,
            whole(b""),
            plain,
            "content-length: 0\r\n",
            Coding::Identity,
        ),
        (204, Content::None, plain, "", Coding::Identity),
        (
            200,
            Content::Events,
            plain,
            "transfer-encoding: chunked\r\n",
            Coding::Chunked,
        ),
        (200, Content::Events, http10, close, Coding::Identity),
        (
            429,
            whole(b"x"),
            closing,
            "content-length: 1\r\nconnection: close\r\n",
            Coding::Identity,
        ),
        (
            503,
            whole(b"x"),
            any_origin,
            "access-control-allow-origin: *\r\naccess-control-expose-headers: x-proxy-error, x-request-id\r\ncontent-length: 1\r\n",
            Coding::Identity,
        ),
        (
            502,
            whole(b"x"),
            limited_any_origin,
            "x-ratelimit-limit-requests: 100\r\nx-ratelimit-remaining-requests: 7\r\nx-ratelimit-reset-requests: 6m0s\r\naccess-control-allow-origin: *\r\naccess-control-expose-headers: x-proxy-error, x-request-id, x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests\r\ncontent-length: 1\r\n",
            Coding::Identity,
        ),
        (
            403,
            whole(b"x"),
            foreign_origin,
            "vary: Origin\r\ncontent-length: 1\r\n",
            Coding::Identity,
        ),
    ];
    for (status, content, change, want, coding) in rows {
        let (mut core, mut request) = asked(change);
        let mut out = buffer(b"");
        let error = Reply::whole(status, "text/plain", b"").with("x-proxy-error", "code");
        let reply = Reply { content, ..error };
        let found = write_own_head(
            &mut out,
            &mut core,
            &mut request,
            &reply,
            &Decoder::Done,
            now(),
        );
        let own = "content-type: text/plain\r\nx-proxy-error: code\r\n";
        let reason = reason_phrase(status);
        let head = format!("HTTP/1.1 {status} {reason}\r\n{DATE}{own}{ID}{want}\r\n");
        assert_eq!((shown(&drain(&mut out)), found), (head, coding), "{status}");
    }
}

#[test]
fn numbers() {
    for (number, want) in [
        (0, "n: 0\r\n"),
        (9, "n: 9\r\n"),
        (10, "n: 10\r\n"),
        (u64::MAX, "n: 18446744073709551615\r\n"),
    ] {
        let mut out = buffer(b"");
        put_number(&mut out, "n", number);
        assert_eq!(shown(&drain(&mut out)), want);
    }
}
