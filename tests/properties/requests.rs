//! Any request head: cuts do not change how it is read, and what is written of it for a platform is, read strictly, one
//! head with the framing that was read, the platform's host and the platform's key.

use std::ops::Range;

use ai_api_proxy::exchange::admission::Shown;
use ai_api_proxy::exchange::forward::{offered_protocols, tail_below, write_head};
use ai_api_proxy::http::Framing;
use ai_api_proxy::http::field::Storage;
use ai_api_proxy::http::malformed::Malformed;
use ai_api_proxy::http::request::{self, RequestHead};
use ai_api_proxy::http::scan::HeadScan;

use super::input::{choices, in_any_cut, now};
use super::plan::{PLATFORMS, client_key};
use super::random::Random;
use super::reader::{Body, Chunk, Head};
use super::server::Server;

/// Fields that end at the proxy, except those that an upgrade needs.
const ENDING: [&str; 8] = [
    "expect",
    "forwarded",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "via",
    "x-forwarded-for",
];

/// Where the client's key may be, besides `Authorization`.
const KEY_FIELDS: [&str; 3] = ["api-key", "x-api-key", "x-goog-api-key"];

thread_local! {
    static SERVER: Server = Server::new(1, false, &mut Random::new(1), now());
}

/// `data`: how it is cut, the platform, then the head.
pub fn check(mut data: &[u8]) {
    let [seed, platform] = choices(&mut data);
    let found = in_any_cut(data, seed, scan);
    let Ok(Some(range)) = found else {
        return;
    };
    let mut storage = Storage::EMPTY;
    if let Ok(head) = request::parse(&data[range], &mut storage) {
        SERVER.with(|server| check_forwarded(server, &head, usize::from(platform)));
    }
}

/// Where the head is; each call sees all that has come so far.
fn scan(pieces: &[&[u8]]) -> Result<Option<Range<usize>>, Malformed> {
    let (mut scan, mut seen) = (HeadScan::default(), Vec::new());
    for piece in pieces {
        seen.extend_from_slice(piece);
        match scan.request(&seen) {
            Ok(None) => {}
            done => return done,
        }
    }
    Ok(None)
}

fn check_forwarded(server: &Server, head: &RequestHead<'_, '_>, platform: usize) {
    let core = &server.core;
    let place = platform % PLATFORMS.len();
    let route = &core.site.routes[place];
    let shown = Shown::find(head, Some(route), &core.clients);
    let offered = offered_protocols(head);
    let tail = tail_below(head.target.path, route);
    let mut draft = Vec::new();
    write_head(&mut draft, head, route, tail, &shown, offered.as_deref());
    draft.extend_from_slice(route.key_lines(route.keys[0]));
    draft.extend_from_slice(b"\r\n");
    let written = draft.escape_ascii().to_string();

    let read = Head::take(&mut draft).expect("a head was written");
    assert!(draft.is_empty(), "more than a head: {written}");
    let (name, auth_header, auth_prefix) = PLATFORMS[place];
    check_start(&read, head.method);
    assert_eq!(read.framing(), body_of(head.framing), "{written}");
    assert_eq!(read.one("host"), Some(format!("{name}.test").as_str()));
    let key = read.one(&auth_header.to_ascii_lowercase());
    let want = format!("{auth_prefix}platform-key-{name}-0");
    assert_eq!(key, Some(want.as_str()), "{written}");
    assert!(
        ENDING.iter().all(|name| read.one(name).is_none()),
        "{written}"
    );
    let client_key = client_key(0);
    let mut fields = read.fields.iter();
    let is_shown = |(name, value): &(String, String)| {
        KEY_FIELDS.contains(&name.as_str()) && *value == client_key
    };
    assert!(!fields.any(is_shown), "{written}");
    for name in ["connection", "upgrade"] {
        assert_eq!(read.one(name).is_some(), offered.is_some(), "{written}");
    }
}

fn check_start(read: &Head, method: &str) {
    let parts: Vec<&str> = read.start.split(' ').collect();
    let [found, target, "HTTP/1.1"] = parts[..] else {
        panic!("request line {:?}", read.start);
    };
    assert_eq!(found, method);
    assert!(
        target.starts_with("/base/v1") && target.bytes().all(|byte| byte.is_ascii_graphic()),
        "target {target:?}"
    );
}

/// The framing as the reader represents it.
pub fn body_of(framing: Framing) -> Option<Body> {
    match framing {
        Framing::None | Framing::Close => None,
        Framing::Length(length) => Some(Body::Length(length as usize)),
        Framing::Chunked => Some(Body::Chunked(Chunk::Size)),
    }
}
