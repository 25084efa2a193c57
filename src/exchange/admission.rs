//! Who asks, and whether the request may go on: address, platform, client key, limits, in this order.

use std::net::IpAddr;

use crate::base::now::Now;
use crate::base::secret::KEY_BYTES_MAX;
use crate::http::FIELDS_MAX;
use crate::http::field::{list_items, values};
use crate::http::name::{self, Names, tells_of_client};
use crate::http::request::RequestHead;
use crate::policy::access::{ClientId, Clients};
use crate::site::{Route, Site};

use super::core::Core;
use super::reason::Reason;
use super::request::Request;

/// Fields in which a client key is looked for, besides the platform's own auth header.
const KEY_FIELDS: Names<4> =
    Names::new(["authorization", "x-api-key", "x-goog-api-key", "api-key"]);

/// The ranks of the places that are no such fields: if several places show a client key, the one of the lowest rank
/// counts, whatever the order of the fields in the head.
const SUBPROTOCOL_RANK: usize = KEY_FIELDS.count() + 1;
const QUERY_RANK: usize = KEY_FIELDS.count() + 2;

/// Where browsers' Realtime clients show a key, since they can set no other field of a WebSocket's request.
pub const SUBPROTOCOLS: &str = "sec-websocket-protocol";

/// Where a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub address: IpAddr,
    /// Whether it is a process on this machine that speaks for itself.
    pub is_loopback: bool,
}

const _: () = assert!(FIELDS_MAX <= u128::BITS as usize);

/// Where a request's head showed client keys. These places are left out of what goes to the platform.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// One bit for each field, by its place in the head.
    pub fields: u128,
    /// The query's parameter `key` showed one.
    pub in_query: bool,
    /// The known client key in the place of the lowest rank.
    pub client: Option<ClientId>,
    rank: usize,
    /// Something was shown that might have been a key.
    pub any: bool,
}

impl Peer {
    /// The client behind `socket_address`: that address itself, or the one that a trusted proxy names.
    pub fn of(socket_address: IpAddr, head: &RequestHead<'_, '_>, site: &Site) -> Peer {
        let socket_address = socket_address.to_canonical();
        let trusted = |address: &IpAddr| {
            site.settings
                .trusted_proxies
                .iter()
                .any(|net| net.contains(address))
        };
        let forwarded = head.field("x-forwarded-for").is_some();
        let mut names = head.fields.iter().map(|field| field.name);
        let is_forwarded = socket_address.is_loopback() && names.any(tells_of_client);
        if !trusted(&socket_address) {
            return Peer {
                address: socket_address,
                is_loopback: socket_address.is_loopback() && !is_forwarded,
            };
        }
        let mut client = None;
        let mut outermost_trusted = None;
        // The client counts as a process on this machine only if it comes by way of this machine alone: otherwise any
        // trusted proxy could pose as one.
        let mut is_local = socket_address.is_loopback();
        for hop in values(head.fields, "x-forwarded-for").flat_map(list_items) {
            match parse_address(hop) {
                Some(address) if trusted(&address) => {
                    outermost_trusted.get_or_insert(address);
                    is_local &= address.is_loopback();
                }
                Some(address) => {
                    client = Some(address);
                    is_local = socket_address.is_loopback() && address.is_loopback();
                }
                // The hop cannot be read: the socket's own address counts, but not as a process that speaks for itself.
                None => {
                    client = Some(socket_address);
                    is_local = false;
                }
            }
        }
        Peer {
            address: client.or(outermost_trusted).unwrap_or(socket_address),
            // What other fields say about a client is not read, but their presence shows that the peer speaks for
            // somebody else.
            is_loopback: is_local && (forwarded || !is_forwarded),
        }
    }
}

fn parse_address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let address: IpAddr = match text.parse() {
        Ok(address) => address,
        Err(_) => match text.parse::<std::net::SocketAddr>() {
            Ok(address) => address.ip(),
            Err(_) => text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()?,
        },
    };
    Some(address.to_canonical())
}

/// Admits a request for `route`, or says why not.
///
/// # Errors
/// The first refusal that applies.
pub fn admit(
    core: &mut Core,
    request: &mut Request,
    route: &Route,
    peer: Peer,
    shown: Shown,
    now: Now,
) -> Result<(), Reason> {
    let name = || route.platform.name.clone();
    if !route.platform.enabled {
        return Err(Reason::PlatformDisabled { name: name() });
    }
    if route.keys.is_empty() {
        return Err(Reason::NoKeys { name: name() });
    }
    if !request.site.settings.enable_key_validation {
        return Ok(());
    }
    let client = match shown {
        Shown {
            client: Some(client),
            ..
        } => client,
        Shown { any: true, .. } => return Err(Reason::InvalidApiKey),
        Shown { any: false, .. } => return Err(Reason::MissingApiKey),
    };
    let admitted = core
        .clients
        .admit(client, &route.platform.name, peer.is_loopback, now);
    request.client = Some(client);
    request.quota = admitted.map_err(Reason::Refused)?;
    core.ledger
        .admitted(client, request.quota, &core.clients, now);
    Ok(())
}

impl Shown {
    /// Looks at every place where a client key may stand.
    pub fn find(head: &RequestHead<'_, '_>, route: Option<&Route>, clients: &Clients) -> Shown {
        let mut shown = Shown::default();
        let own_name = route.map(|route| route.platform.auth_header.as_str());
        // It nearly always is one of the known ones, which are recognised faster.
        let own_place = own_name.and_then(|own| KEY_FIELDS.place_of(own));
        for (place, field) in head.fields.iter().enumerate() {
            if name::is(field.name, SUBPROTOCOLS) {
                // These items are never passed on, whatever they show.
                for key in list_items(field.value).filter_map(subprotocol_key) {
                    shown.look_at(key, SUBPROTOCOL_RANK, clients);
                }
                continue;
            }
            let known_place = KEY_FIELDS.place_of(field.name);
            let is_own = match own_place {
                Some(_) => known_place == own_place,
                None => own_name.is_some_and(|own| field.name.eq_ignore_ascii_case(own)),
            };
            // `Authorization` comes first, then the platform's own, then the others.
            let rank = match (known_place, is_own) {
                (Some(0), _) => 0,
                (_, true) => 1,
                (Some(place), false) => place + 1,
                (None, false) => continue,
            };
            let value = field.value.trim_ascii();
            let plain = without_bearer(value);
            if plain.is_empty() {
                // An SDK without a key sends the scheme alone: it has shown none.
                continue;
            }
            let mut is_key = shown.look_at(plain, rank, clients);
            if !is_key {
                let bare = match route.filter(|_| is_own) {
                    Some(route) => without_format(value, route),
                    None => value,
                };
                is_key = bare != plain && shown.look_at(bare, rank, clients);
            }
            if is_key {
                shown.fields |= 1 << place;
            }
        }
        let pairs = head
            .target
            .query
            .into_iter()
            .flat_map(|query| query.split('&'));
        for value in pairs.filter_map(key_parameter) {
            let mut decoded = [0; KEY_BYTES_MAX];
            if let Some(length) = percent_decode(value.as_bytes(), &mut decoded) {
                shown.in_query |= shown.look_at(&decoded[..length], QUERY_RANK, clients);
            }
        }
        shown
    }

    /// Whether `candidate`, in a place of this rank, is a client key.
    fn look_at(&mut self, candidate: &[u8], rank: usize, clients: &Clients) -> bool {
        if candidate.is_empty() {
            return false;
        }
        self.any = true;
        let Some(found) = clients.identify(candidate) else {
            return false;
        };
        if self.client.is_none() || rank < self.rank {
            (self.client, self.rank) = (Some(found), rank);
        }
        true
    }
}

/// The key in an item `openai-insecure-api-key.KEY`.
pub fn subprotocol_key(item: &[u8]) -> Option<&[u8]> {
    item.strip_prefix(b"openai-insecure-api-key.")
}

/// The key in `Bearer KEY`, or the value itself. A key contains no space, so only one of the two can be a key.
fn without_bearer(value: &[u8]) -> &[u8] {
    const SCHEME: &str = "bearer";
    match value.split_at_checked(SCHEME.len()) {
        Some((scheme, rest)) if name::is(scheme, SCHEME) => match rest.first() {
            None | Some(b' ' | b'\t') => rest.trim_ascii(),
            Some(_) => value,
        },
        _ => value,
    }
}

fn without_format<'v>(value: &'v [u8], route: &Route) -> &'v [u8] {
    let (prefix, suffix) = (
        route.platform.auth_prefix.as_bytes(),
        route.platform.auth_suffix.as_bytes(),
    );
    let stripped = value
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_suffix(suffix));
    stripped.unwrap_or(value)
}

/// The value of a `key` parameter, as whoever decodes its name reads it. There may be several: a leftover one does not
/// hide the real one.
fn key_parameter(pair: &str) -> Option<&str> {
    const NAME: &[u8] = b"key";
    let (name, value) = pair.split_once('=')?;
    let mut decoded = [0; NAME.len()];
    let length = percent_decode(name.as_bytes(), &mut decoded)?;
    (decoded[..length] == *NAME).then_some(value)
}

/// The query without its `key` parameters, in pieces that are to be joined by `&`.
pub fn query_without_key(query: &str) -> impl Iterator<Item = &str> {
    let pairs = query.split('&');
    pairs.filter(|pair| key_parameter(pair).is_none())
}

/// Returns the decoded length, if there is room for it.
fn percent_decode(text: &[u8], decoded: &mut [u8]) -> Option<usize> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (mut at, mut length) = (0, 0);
    while at < text.len() {
        let escaped = match text[at..] {
            [b'%', high, low, ..] => digit(high)
                .zip(digit(low))
                .map(|(high, low)| high << 4 | low),
            _ => None,
        };
        *decoded.get_mut(length)? = escaped.unwrap_or(text[at]);
        at += if escaped.is_some() { 3 } else { 1 };
        length += 1;
    }
    Some(length)
}

#[cfg(test)]
mod tests;
