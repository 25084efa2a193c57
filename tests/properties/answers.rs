//! Any answer's head: cuts do not change how it is read, and what is written of it for a client is, read strictly, one
//! head with the framing that was read.

use std::ops::Range;

use ai_api_proxy::base::buffer::{BlockPool, Buffer};
use ai_api_proxy::exchange::answer::{relay_head, relay_interim, relay_switch};
use ai_api_proxy::exchange::core::Core;
use ai_api_proxy::exchange::request::{Afterwards, Request, Role};
use ai_api_proxy::exchange::transfer::Coding;
use ai_api_proxy::http::body::Decoder;
use ai_api_proxy::http::field::Storage;
use ai_api_proxy::http::malformed::Malformed;
use ai_api_proxy::http::response::{self, Asked, ResponseHead};
use ai_api_proxy::http::scan::HeadScan;
use ai_api_proxy::http::{Framing, Version};

use super::input::{choices, in_any_cut, now};
use super::random::Random;
use super::reader::{Body, Chunk, Head};
use super::server::Server;

thread_local! {
    static SERVER: std::cell::RefCell<Server> =
        std::cell::RefCell::new(Server::new(1, false, &mut Random::new(1), now()));
}

/// `data`: how it is cut, the method and version of the request, then the head.
pub fn check(mut data: &[u8]) {
    let [seed, flags] = choices(&mut data);
    let found = in_any_cut(data, seed, scan);
    let Ok(Some(range)) = found else {
        return;
    };
    let asked = match flags & 1 {
        0 => Asked::Other,
        _ => Asked::Head,
    };
    let version = match flags & 2 {
        0 => Version::Http11,
        _ => Version::Http10,
    };
    let mut storage = Storage::EMPTY;
    if let Ok(head) = response::parse(&data[range], &mut storage, asked) {
        SERVER.with_borrow_mut(|server| check_relayed(&mut server.core, &head, asked, version));
    }
}

fn scan(pieces: &[&[u8]]) -> Result<Option<Range<usize>>, Malformed> {
    let (mut scan, mut seen) = (HeadScan::default(), Vec::new());
    for piece in pieces {
        seen.extend_from_slice(piece);
        match scan.response(&seen) {
            Ok(None) => {}
            done => return done,
        }
    }
    Ok(None)
}

fn check_relayed(core: &mut Core, head: &ResponseHead<'_, '_>, asked: Asked, version: Version) {
    let mut out = Buffer::default();
    out.open(&mut BlockPool::default());
    let mut request = core.new_request(Role::Proxy, now());
    (request.asked, request.version) = (asked, version);
    request.afterwards = Afterwards::KeepAlive;
    let coding = match head.status {
        101 => {
            relay_switch(&mut out, &mut request, head);
            None
        }
        100..=199 => {
            relay_interim(&mut out, head);
            None
        }
        _ => {
            let body = Decoder::Done;
            Some(relay_head(&mut out, core, &mut request, head, &body, now()))
        }
    };
    let mut written = out.unread().to_vec();
    let shown = written.escape_ascii().to_string();
    let read = Head::take(&mut written).expect("a head was written");
    assert!(written.is_empty(), "more than a head: {shown}");
    let status = format!("HTTP/1.1 {} ", head.status);
    assert!(read.start.starts_with(&status), "{shown}");
    match coding {
        Some(coding) => check_final(&read, head, &request, coding),
        None => assert_eq!(read.framing(), None, "{shown}"),
    }
}

fn check_final(read: &Head, head: &ResponseHead<'_, '_>, request: &Request, coding: Coding) {
    let (want, until_close) = match (head.framing, request.version) {
        (Framing::Length(length), _) => (Some(Body::Length(length as usize)), false),
        (Framing::Chunked, Version::Http11) => (Some(Body::Chunked(Chunk::Size)), false),
        (Framing::Chunked, Version::Http10) | (Framing::Close, _) => (None, true),
        (Framing::None, _) => {
            // The length that a body would have may be sent.
            let told = read.framing();
            let may_tell = request.asked == Asked::Head || head.status == 304;
            assert!(told.is_none() || may_tell, "{read:?}");
            (told, false)
        }
    };
    assert_eq!(read.framing(), want, "{read:?}");
    let is_chunked = matches!(want, Some(Body::Chunked(_))) && head.framing == Framing::Chunked;
    assert_eq!(coding == Coding::Chunked, is_chunked, "{read:?}");
    if until_close {
        assert_eq!(request.afterwards, Afterwards::Close);
        assert_eq!(read.one("connection"), Some("close"));
    }
    // A field that a platform sends twice, such as its date, is passed on twice; of the request's id there is one.
    let id = read.one("x-request-id");
    assert!(id.is_some_and(|id| !id.is_empty()), "{read:?}");
    assert!(
        read.fields.iter().any(|(name, _)| name == "date"),
        "{read:?}"
    );
}
