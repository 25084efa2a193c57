//! For tests: a core with a configuration from texts, heads from texts, buffers as bytes.

use std::path::Path;
use std::rc::Rc;

use crate::base::buffer::{BlockPool, Buffer};
use crate::base::now::Now;
use crate::base::secret::KEY_BYTES_MAX;
use crate::config::environment::Environment;
use crate::config::json::Json;
use crate::config::{Config, Findings, clients, platforms, settings};
use crate::http::field::Storage;
use crate::http::request::{self, RequestHead};
use crate::ledger::Ledger;
use crate::policy::access::Clients;
use crate::policy::keyring::{Keyring, Permit};
use crate::site::{Lasting, Site};

pub use crate::base::testing::now;

use super::core::Core;
use super::request::{Request, Role};
use super::{Cx, Ends, Exchange, Step, Upstream};

/// The fields of a platform with nothing particular about it.
pub const PLATFORM: &str = r#""base_url": "http://platform.example""#;

/// A core with these files. The platform `p` has the key `sk-1`; `platform` holds its other fields.
pub fn core(settings: &str, platform: &str) -> Core {
    core_with_keys(settings, r#"["sk-1"]"#, platform)
}

/// The same with these keys.
pub fn core_with_keys(settings: &str, keys: &str, platform: &str) -> Core {
    let platforms = format!(r#"[{{"name": "p", "keys": {keys}, {platform}}}]"#);
    let longest = "x".repeat(KEY_BYTES_MAX);
    let keys = format!(
        r#"[{{"key": "client-key-1"}}, {{"key": "client-key-2"}}, {{"key": "root_key", "is_root": true}},
            {{"key": "{longest}"}}]"#
    );
    core_of(settings, &platforms, &keys)
}

/// A core with these files.
pub fn core_of(settings: &str, platforms: &str, keys: &str) -> Core {
    let config = config(settings, platforms, keys);
    let clients = Clients::new(config.clients.clone());
    let mut keyring = Keyring::default();
    let site = Site::compile(config, &mut keyring, &mut Lasting::default(), 1, now());
    let site = site.expect("plain HTTP needs no certificate");
    Core::new(Rc::new(site), clients, keyring, Ledger::default(), 7, now())
}

fn config(settings: &str, platforms: &str, keys: &str) -> Config {
    let (dir, mut findings) = (Path::new("/nowhere"), Findings::default());
    let environment = Environment::read(dir, &|_| None, &mut findings);
    let parse = |text: &str| Json::parse(text).expect("JSON");
    let settings = settings::read(&parse(settings), dir, &mut findings);
    let tries = settings.max_attempts;
    let platforms = platforms::read(&parse(platforms), dir, &environment, tries, &mut findings);
    let clients = clients::read(&parse(keys), Some(&["p"]), &mut findings);
    assert!(findings.problems.is_empty(), "{:?}", findings.problems);
    Config {
        settings,
        clients,
        platforms,
        findings,
    }
}

/// A client's request about which nothing is known yet.
pub fn request(core: &mut Core) -> Box<Request> {
    core.new_request(Role::Proxy, now())
}

/// A client's request to the platform, and a permit for the key whose turn it is.
pub fn permitted(core: &mut Core, begun: Now) -> (Box<Request>, Permit) {
    let mut request = request(core);
    request.route = Some(0);
    let route = &request.site.routes[0];
    let permit = core.keyring.pick(route.id, &route.keys, &[], begun);
    (request, permit.expect("its keys are new"))
}

/// Calls `tell` with the head of `line` and `fields` (each of which ends in CRLF).
pub fn with_head<T>(line: &str, fields: &str, tell: impl FnOnce(&RequestHead<'_, '_>) -> T) -> T {
    let text = format!("{line}\r\nHost: proxy.example\r\n{fields}\r\n");
    let mut storage = Storage::EMPTY;
    let head = request::parse(text.as_bytes(), &mut storage);
    tell(&head.expect("a well-formed head"))
}

/// A healthy connection, on which bytes last moved at `active_at`.
pub fn ends<'b>(input: &'b mut Buffer, output: &'b mut Buffer, active_at: Now) -> Ends<'b> {
    Ends {
        input,
        output,
        holds_records: false,
        ended: None,
        active_at: active_at.instant,
    }
}

/// A step of an exchange whose client has sent `sent`. Returns also what the client gets from it.
pub fn step(exchange: Exchange, sent: &[u8], core: &mut Core, now: Now) -> (Exchange, Vec<u8>) {
    step_behind(b"", exchange, sent, core, now)
}

/// The same where the client has not taken `unsent`.
pub fn step_behind(
    unsent: &[u8],
    exchange: Exchange,
    sent: &[u8],
    core: &mut Core,
    now: Now,
) -> (Exchange, Vec<u8>) {
    let [mut from_client, mut to_client] = [sent, unsent].map(buffer);
    let client = ends(&mut from_client, &mut to_client, now);
    let (next, _) = step_between(exchange, client, Upstream::None, core, now);
    (next, drain(&mut to_client))
}

/// A step of an exchange between these two connections.
pub fn step_between(
    mut exchange: Exchange,
    client: Ends<'_>,
    upstream: Upstream<'_>,
    core: &mut Core,
    now: Now,
) -> (Exchange, Step) {
    let step = exchange.step(&mut Cx {
        now,
        core,
        session: 0,
        role: &Role::Proxy,
        peer: &[192, 0, 2, 1].into(),
        client,
        upstream,
    });
    (exchange, step)
}

/// An open buffer that holds `bytes`.
pub fn buffer(bytes: &[u8]) -> Buffer {
    let mut buffer = Buffer::default();
    buffer.open(&mut BlockPool::default());
    buffer.put(bytes);
    buffer
}

/// Takes everything out of `buffer`.
pub fn drain(buffer: &mut Buffer) -> Vec<u8> {
    let bytes = buffer.unread().to_vec();
    buffer.consume(bytes.len());
    bytes
}

/// Bytes as a text that a row can hold.
pub fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
