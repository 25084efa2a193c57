//! Rewrites a client's head for the platform: hop-by-hop fields removed, the platform's key in place of the client's,
//! all else unchanged and in order.

use crate::http::field::{list_items, values};
use crate::http::name::{self, Names, is_framing, tells_of_client};
use crate::http::request::RequestHead;
use crate::http::{Field, Framing};
use crate::site::Route;

use super::admission::{SUBPROTOCOLS, Shown, query_without_key, subprotocol_key};

/// The part of `path` below the platform's API path: `/name/v1/models` and `/name/models` both give `/models`.
pub fn tail_below<'p>(path: &'p str, route: &Route) -> &'p str {
    let below_name = &path[(1 + route.platform.name.len()).min(path.len())..];
    match below_name.strip_prefix(route.platform.api_path.as_str()) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        Some(_) | None => below_name,
    }
}

/// Writes the head up to, and without, the key's lines and the empty line.
pub fn write_head(
    draft: &mut Vec<u8>,
    head: &RequestHead<'_, '_>,
    route: &Route,
    tail: &str,
    shown: &Shown,
    offered: Option<&str>,
) {
    write_request_line(draft, head, route, tail, shown);
    put_line(draft, "Host", route.authority.as_bytes());
    let mut framed = false;
    for (place, field) in head.fields.iter().enumerate() {
        if is_framing(field.name) {
            if !std::mem::replace(&mut framed, true) {
                put_framing(draft, head.framing);
            }
        } else if head.passes(field.name)
            && shown.fields & (1 << place) == 0
            && !ends_here(field.name)
            && !route.platform.sets_field(field.name)
        {
            match name::is(field.name, SUBPROTOCOLS) {
                true => put_subprotocols(draft, field),
                false => put_line(draft, field.name, field.value),
            }
        }
    }
    for (name, value) in &route.platform.default_headers {
        let mut names = head.fields.iter().map(|field| field.name);
        if !names.any(|sent| sent.eq_ignore_ascii_case(name)) {
            put_line(draft, name, value.as_bytes());
        }
    }
    if let Some(protocols) = offered {
        put_line(draft, "Connection", b"Upgrade");
        put_line(draft, "Upgrade", protocols.as_bytes());
    }
}

/// A longer list of protocols is not offered: it is kept as long as the request, and compared with the answer's.
const OFFERED_MAX: usize = 16;
const OFFERED_BYTES_MAX: usize = 256;

/// The protocols to which a client offers to switch, as they are passed on. A request with a body keeps to HTTP/1.1,
/// and HTTP/2 is never offered.
pub fn offered_protocols(head: &RequestHead<'_, '_>) -> Option<Box<str>> {
    if !head.upgrade || !matches!(head.framing, Framing::None | Framing::Length(0)) {
        return None;
    }
    let mut offered = String::new();
    let mut count = 0;
    for protocol in values(head.fields, "upgrade").flat_map(list_items) {
        let Ok(protocol) = std::str::from_utf8(protocol) else {
            continue;
        };
        if name::is(protocol, "h2c") {
            continue;
        }
        if count > 0 {
            offered.push(',');
        }
        offered.push_str(protocol);
        count += 1;
        if count > OFFERED_MAX || offered.len() > OFFERED_BYTES_MAX {
            return None;
        }
    }
    (count > 0).then(|| offered.into())
}

/// Leaves out the items that show a key; the others stay as they were written.
fn put_subprotocols(draft: &mut Vec<u8>, field: &Field<'_>) {
    let shows_key = |item: &&[u8]| list_items(item).any(|item| subprotocol_key(item).is_some());
    let items = field.value.split(|byte| *byte == b',');
    let others: Vec<&[u8]> = items.filter(|item| !shows_key(item)).collect();
    let value = others.join(&b","[..]);
    if list_items(&value).next().is_some() {
        put_line(draft, field.name, value.trim_ascii());
    }
}

fn write_request_line(
    draft: &mut Vec<u8>,
    head: &RequestHead<'_, '_>,
    route: &Route,
    tail: &str,
    shown: &Shown,
) {
    draft.extend_from_slice(head.method.as_bytes());
    draft.push(b' ');
    draft.extend_from_slice(route.path_prefix.as_bytes());
    draft.extend_from_slice(tail.as_bytes());
    if route.path_prefix.is_empty() && tail.is_empty() {
        draft.push(b'/');
    }
    // Where keys are also taken from the query, the client's one there would be a second one.
    let is_credential = name::is(&route.platform.auth_header, "x-goog-api-key");
    match head.target.query {
        None => {}
        Some(query) if !shown.in_query && !is_credential => {
            draft.push(b'?');
            draft.extend_from_slice(query.as_bytes());
        }
        Some(query) => {
            let mut before = b'?';
            for pair in query_without_key(query) {
                draft.push(before);
                draft.extend_from_slice(pair.as_bytes());
                before = b'&';
            }
        }
    }
    draft.extend_from_slice(b" HTTP/1.1\r\n");
}

/// Fields that the proxy handles itself.
const OWN: Names<3> = Names::new(["host", "expect", "authorization"]);

fn ends_here(name: &str) -> bool {
    tells_of_client(name) || OWN.has(name)
}

fn put_framing(draft: &mut Vec<u8>, framing: Framing) {
    match framing {
        Framing::None | Framing::Close => {}
        Framing::Length(length) => {
            let mut digits = itoa::Buffer::new();
            put_line(draft, "Content-Length", digits.format(length).as_bytes());
        }
        Framing::Chunked => put_line(draft, "Transfer-Encoding", b"chunked"),
    }
}

fn put_line(draft: &mut Vec<u8>, name: &str, value: &[u8]) {
    draft.extend_from_slice(name.as_bytes());
    draft.extend_from_slice(b": ");
    draft.extend_from_slice(value);
    draft.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
