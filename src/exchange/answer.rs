//! Writes the heads of answers: the proxy's own and those that are passed on.

use crate::base::buffer::Buffer;
use crate::base::ids::sane_id;
use crate::base::now::Now;
use crate::http::body::Decoder;
use crate::http::name::{self, Names, begins_with, is_framing};
use crate::http::response::{Asked, ResponseHead};
use crate::http::{Framing, Version};
use crate::policy::access::Quota;
use crate::service::reply::{Content, Reply};

use super::core::{Core, Phase};
use super::discarding::DROPPED_BYTES_MAX;
use super::request::{Afterwards, Cors, Request};
use super::transfer::Coding;

/// Room that a head may need: 64 KiB from a platform and what is added to it. A request begins only while the client's
/// output has this much room, and after an interim answer nothing is passed on until it has that much again. So no
/// other state needs to check.
pub const HEAD_ROOM_BYTES: usize = 72 * 1024;

/// Fields that a browser's script may read besides the CORS-safelisted ones.
const EXPOSED: Names<5> = Names::new([
    "x-request-id",
    "x-proxy-error",
    "x-should-retry",
    "retry-after",
    "retry-after-ms",
]);

/// A field with a longer name does not count as a rate-limit field. The names of those that do are repeated in the
/// answer, in the list of fields that a browser's script may read, and as many as a head may have must fit there.
const LIMIT_NAME_BYTES_MAX: usize = 64;

/// The fields that state a client's limits, which a platform may have sent itself.
static QUOTA_FIELDS: [&str; 3] = [
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
];

const QUOTA: Names<3> = Names::new(QUOTA_FIELDS);

/// Writes the head of `reply`, one of the proxy's own answers. Returns how its body is to be written. `request_body`
/// tells how far the request's body has been read.
pub fn write_own_head(
    out: &mut Buffer,
    core: &mut Core,
    request: &mut Request,
    reply: &Reply,
    request_body: &Decoder,
    now: Now,
) -> Coding {
    settle_afterwards(core, request, request_body);
    put_status_line(out, reply.status, reason_phrase(reply.status).as_bytes());
    put_field(out, "date", core.date(now));
    for (name, value) in &reply.fields {
        put_field(out, name, value.as_bytes());
    }
    put_field(out, "x-request-id", request.id.as_bytes());
    let limits = put_quota(out, request.quota);
    let present = reply.fields.iter().map(|(name, _)| *name);
    let present = present.chain(["x-request-id"]);
    put_cors(out, request, present.chain(limits.iter().copied()));
    let coding = match (&reply.content, request.version) {
        (Content::None, _) => Coding::Identity,
        (Content::Whole(body), _) => {
            put_number(out, "content-length", body.len() as u64);
            Coding::Identity
        }
        (Content::Demo(_) | Content::Events, Version::Http11) => {
            put_field(out, "transfer-encoding", b"chunked");
            Coding::Chunked
        }
        (Content::Demo(_) | Content::Events, Version::Http10) => {
            request.afterwards = Afterwards::Close;
            Coding::Identity
        }
    };
    put_connection(out, request);
    out.put(b"\r\n");
    coding
}

/// Writes a platform's final head for the client. Returns how its body is to be written. `request_body` is as above.
pub fn relay_head(
    out: &mut Buffer,
    core: &mut Core,
    request: &mut Request,
    head: &ResponseHead<'_, '_>,
    request_body: &Decoder,
    now: Now,
) -> Coding {
    settle_afterwards(core, request, request_body);
    put_status_line(out, head.status, head.reason);
    let mut seen_date = false;
    let mut seen_id = false;
    for field in head.fields {
        if is_framing(field.name) {
            continue;
        }
        if !head.passes(field.name) {
            // It must say what the client is to switch to (RFC 9110 section 15.5.22).
            if head.status == 426 && name::is(field.name, "upgrade") {
                put_field(out, field.name, field.value);
                put_field(out, "connection", b"upgrade");
            }
            continue;
        }
        if name::is(field.name, "x-request-id") && !take_id(request, field.value, &mut seen_id) {
            continue;
        }
        if gives_way(field.name, &request.cors) {
            continue;
        }
        seen_date |= name::is(field.name, "date");
        put_field(out, field.name, field.value);
    }
    if !seen_date {
        put_field(out, "date", core.date(now));
    }
    if !seen_id {
        put_field(out, "x-request-id", request.id.as_bytes());
    }
    // A platform's page has the same origin as the program's own pages, and must not act as one of them. Every answer
    // has this field, whoever asked for it: a browser may show the answer later from its cache. If the platform sends a
    // policy of its own, both apply.
    put_field(out, "content-security-policy", b"sandbox");
    let own_limits = put_quota(out, quota_beside(request, head));
    let limits = head
        .fields
        .iter()
        .map(|field| field.name)
        .filter(|name| is_limit(name));
    let present = EXPOSED
        .iter()
        .filter(|name| *name == "x-request-id" || head.field(name).is_some());
    let limits = limits.chain(own_limits.iter().copied());
    put_cors(out, request, present.chain(limits));
    let coding = put_framing(out, request, head);
    put_connection(out, request);
    out.put(b"\r\n");
    coding
}

/// Writes an interim answer (RFC 9110 section 15.2) for the client.
pub fn relay_interim(out: &mut Buffer, head: &ResponseHead<'_, '_>) {
    put_status_line(out, head.status, head.reason);
    for field in head.fields {
        if !is_framing(field.name) && head.passes(field.name) {
            put_field(out, field.name, field.value);
        }
    }
    out.put(b"\r\n");
}

/// Writes a 101 (RFC 9110 section 15.2.2) for the client.
pub fn relay_switch(out: &mut Buffer, request: &mut Request, head: &ResponseHead<'_, '_>) {
    put_status_line(out, head.status, head.reason);
    let mut seen_id = false;
    for field in head.fields {
        let is_upgrade = name::is(field.name, "upgrade");
        if is_framing(field.name) || !(is_upgrade || head.passes(field.name)) {
            continue;
        }
        if name::is(field.name, "x-request-id") && !take_id(request, field.value, &mut seen_id) {
            continue;
        }
        put_field(out, field.name, field.value);
    }
    put_field(out, "connection", b"upgrade");
    if !seen_id {
        put_field(out, "x-request-id", request.id.as_bytes());
    }
    put_quota(out, quota_beside(request, head));
    out.put(b"\r\n");
}

/// Takes a platform's request id as the request's own if it is sane; false drops the field. Only the first non-empty id
/// counts.
fn take_id(request: &mut Request, id: &[u8], seen_id: &mut bool) -> bool {
    if id.is_empty() || std::mem::replace(seen_id, true) {
        return false;
    }
    if let Some(id) = sane_id(id) {
        if request.tries > 1 && id.as_bytes() != request.id.as_bytes() {
            // Its failed tries are in the log.
            log::info!("{} is answered as {}", request.id, id);
        }
        request.id = id;
    }
    true
}

/// The client's limits to be stated in a platform's answer; none if the answer states limits of its own.
fn quota_beside(request: &Request, head: &ResponseHead<'_, '_>) -> Option<Quota> {
    let sends_quota = head.fields.iter().any(|field| is_quota(field.name));
    request.quota.filter(|_| !sends_quota)
}

fn put_framing(out: &mut Buffer, request: &mut Request, head: &ResponseHead<'_, '_>) -> Coding {
    match (head.framing, request.version) {
        (Framing::Length(length), _) => {
            put_number(out, "Content-Length", length);
            Coding::Identity
        }
        (Framing::Chunked, Version::Http11) => {
            put_field(out, "Transfer-Encoding", b"chunked");
            Coding::Chunked
        }
        (Framing::Chunked, Version::Http10) | (Framing::Close, _) => {
            request.afterwards = Afterwards::Close;
            Coding::Identity
        }
        (Framing::None, _) => {
            // What the length of the body would be, had it been asked for (RFC 9110 section 8.6).
            let tells_length =
                (request.asked == Asked::Head || head.status == 304) && head.status != 204;
            if let Some(length) = head.field("content-length")
                && tells_length
            {
                put_field(out, "Content-Length", length);
            }
            Coding::Identity
        }
    }
}

/// An answer is the connection's last, and says so (RFC 9112 section 9.6), during a stop and where more of the request's
/// body is to come than is read and dropped: the next request would be lost.
fn settle_afterwards(core: &Core, request: &mut Request, request_body: &Decoder) {
    let is_long = request_body.announced() > DROPPED_BYTES_MAX as u64;
    if is_long || matches!(core.phase, Phase::Draining { .. }) {
        request.afterwards = Afterwards::Close;
    }
}

fn put_connection(out: &mut Buffer, request: &Request) {
    match (request.afterwards, request.version) {
        (Afterwards::Close, _) => put_field(out, "connection", b"close"),
        (Afterwards::KeepAlive, Version::Http10) => put_field(out, "connection", b"keep-alive"),
        (Afterwards::KeepAlive, Version::Http11) => {}
    }
}

/// Tells the client where it stands within its limits. Returns the names of the fields written.
fn put_quota(out: &mut Buffer, quota: Option<Quota>) -> &'static [&'static str] {
    let Some(quota) = quota else {
        return &[];
    };
    put_number(out, QUOTA_FIELDS[0], quota.limit);
    put_number(out, QUOTA_FIELDS[1], quota.remaining);
    put_field(out, QUOTA_FIELDS[2], quota.reset_text().as_bytes());
    &QUOTA_FIELDS
}

/// What a browser needs to let a script see the answer (Fetch standard, CORS protocol).
fn put_cors<'n>(out: &mut Buffer, request: &Request, exposed: impl Iterator<Item = &'n str>) {
    match &request.cors {
        Cors::NotAsked => return,
        Cors::Refused if request.site.settings.cors_origins.is_empty() => return,
        // A cache must not give this answer to an origin that may see it.
        Cors::Refused => return put_field(out, "vary", b"Origin"),
        Cors::Any => put_field(out, "access-control-allow-origin", b"*"),
        Cors::Only(origin) => {
            put_field(out, "access-control-allow-origin", origin.as_bytes());
            put_field(out, "vary", b"Origin");
        }
    }
    // An answer always has a request id: the list is never empty.
    let mut before: &[u8] = b"access-control-expose-headers: ";
    for name in exposed.filter(|name| is_exposed(name)) {
        out.put(before);
        out.put(name.as_bytes());
        before = b", ";
    }
    out.put(b"\r\n");
}

fn is_exposed(name: &str) -> bool {
    is_limit(name) || EXPOSED.has(name)
}

fn is_limit(name: &str) -> bool {
    name.len() <= LIMIT_NAME_BYTES_MAX && begins_with(name, "x-ratelimit-")
}

fn is_quota(name: &str) -> bool {
    QUOTA.has(name)
}

/// Whether a platform's field is dropped in favour of the proxy's own CORS fields. Unless the origin is refused, the
/// list of fields that the platform exposes stays beside the proxy's own.
fn gives_way(name: &str, cors: &Cors) -> bool {
    let is = |other| name::is(name, other);
    match cors {
        Cors::NotAsked => false,
        Cors::Any | Cors::Only(_) => is("access-control-allow-origin"),
        Cors::Refused => is("access-control-allow-origin") || is("access-control-expose-headers"),
    }
}

fn put_status_line(out: &mut Buffer, status: u16, reason: &[u8]) {
    debug_assert!(out.room() >= HEAD_ROOM_BYTES, "nothing else came before");
    let digits = [status / 100, status / 10 % 10, status % 10].map(|digit| b'0' + digit as u8);
    put_pieces(out, [b"HTTP/1.1 ", &digits, b" ", reason, b"\r\n"]);
}

/// As [`Buffer::put`] for each piece, with a single check of the room.
fn put_pieces<const COUNT: usize>(out: &mut Buffer, pieces: [&[u8]; COUNT]) {
    let space = out.space();
    let mut end = 0;
    for piece in pieces {
        space[end..end + piece.len()].copy_from_slice(piece);
        end += piece.len();
    }
    out.filled(end);
}

/// Writes one field line.
fn put_field(out: &mut Buffer, name: &str, value: &[u8]) {
    put_pieces(out, [name.as_bytes(), b": ", value, b"\r\n"]);
}

/// Writes one field line with a decimal number.
fn put_number(out: &mut Buffer, name: &str, number: u64) {
    put_field(out, name, itoa::Buffer::new().format(number).as_bytes());
}

/// The standard reason phrases of the statuses that the proxy itself sends (RFC 9110 section 15, RFC 6585).
fn reason_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        302 => "Found",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests;
