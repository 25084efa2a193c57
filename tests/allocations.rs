//! In the steady state neither a request nor a streamed event allocates memory: the real session is driven in memory,
//! with an allocator that counts. The first unexpected allocation is shown with its backtrace.

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ai_api_proxy::base::buffer::BlockPool;
use ai_api_proxy::base::now::Now;
use ai_api_proxy::base::queue::RunQueue;
use ai_api_proxy::base::work::SHARE_BYTES_MAX;
use ai_api_proxy::config;
use ai_api_proxy::exchange::core::Core;
use ai_api_proxy::exchange::request::Role;
use ai_api_proxy::ledger::Ledger;
use ai_api_proxy::net::connection::{Connection, Hints};
use ai_api_proxy::net::dial::{Dial, Dialed, Endpoint, Origin, Reuse};
use ai_api_proxy::net::network::Network;
use ai_api_proxy::net::transport::{Link, Transport};
use ai_api_proxy::policy::access::Clients;
use ai_api_proxy::policy::keyring::Keyring;
use ai_api_proxy::session::{Driven, Session};
use ai_api_proxy::site::{Lasting, Site};
use mio::Token;
use serde_json::json;

/// How many requests and events precede the steady state: by then the pools and the list of last requests are full.
const WARMING_UP: usize = 300;
const COUNTED: usize = 1000;

const CLIENT: Token = Token(0);
const PLATFORM: Token = Token(1);
const NEWS: Hints = Hints::new(true, true, false);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The system's allocator, with a count for each thread.
struct Counting;

thread_local! {
    static COUNTS: Cell<bool> = const { Cell::new(false) };
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is forwarded to `System` with the same arguments, so its guarantees hold unchanged for the caller.
// Everything else only touches thread-local cells that need neither initialisation nor a destructor, and hence allocate
// nothing; the backtrace allocates after counting was switched off, so it is not counted itself, and no layout or
// pointer depends on it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as the caller promised for this function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as the caller promised for this function.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        note(bytes);
        // SAFETY: as the caller promised for this function; the block came from `System`.
        unsafe { System.realloc(block, layout, bytes) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised for this function; the block came from `System`.
        unsafe { System.dealloc(block, layout) }
    }
}

fn note(bytes: usize) {
    if COUNTS.replace(false) {
        let count = ALLOCATIONS.get() + 1;
        ALLOCATIONS.set(count);
        if count == 1 {
            eprintln!("{bytes} bytes: {}", Backtrace::force_capture());
        }
        COUNTS.set(true);
    }
}

/// One client and one platform around a session.
struct World {
    session: Session,
    core: Core,
    network: OneLine,
    now: Now,
    client: Wire,
    phase: Phase,
    queue: RunQueue,
    allocations: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    WarmingUp,
    Steady,
}

/// The bytes between the proxy and a peer.
#[derive(Clone, Default)]
struct Wire(Rc<RefCell<Bytes>>);

#[derive(Default)]
struct Bytes {
    to_proxy: Vec<u8>,
    from_proxy: Vec<u8>,
}

/// A network with one connection to the platform.
struct OneLine {
    platform: Wire,
    idle: Option<Connection>,
}

impl Read for Wire {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let bytes = &mut self.0.borrow_mut().to_proxy;
        let count = bytes.len().min(space.len());
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        space[..count].copy_from_slice(&bytes[..count]);
        bytes.drain(..count);
        Ok(count)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().from_proxy.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Link for Wire {
    fn shutdown(&mut self) {}

    fn reset(&mut self) {}
}

impl Wire {
    fn send(&self, bytes: &[u8]) {
        self.0.borrow_mut().to_proxy.extend_from_slice(bytes);
    }

    /// Asserts that what was sent ends with `end`, and discards it.
    fn expect_end(&self, end: &[u8]) {
        let bytes = &mut self.0.borrow_mut().from_proxy;
        assert!(bytes.ends_with(end), "{}", bytes.escape_ascii());
        bytes.clear();
    }
}

impl Network for OneLine {
    fn dial(
        &mut self,
        _: &Rc<Endpoint>,
        _: Reuse,
        _: usize,
        _: &mut BlockPool,
        now: Now,
    ) -> Dialed {
        match self.idle.take() {
            Some(connection) => Dialed::Open(connection, Origin::Pooled),
            None => {
                let transport = Transport::Link(Box::new(self.platform.clone()));
                let connection = Connection::new(transport, PLATFORM, Hints::FRESH, now);
                Dialed::Open(connection, Origin::Fresh)
            }
        }
    }

    fn resume(&mut self, _: Dial, _: usize, _: &mut BlockPool, _: Now) -> Dialed {
        unreachable!("every dial succeeds at once")
    }

    fn release(&mut self, _: &Endpoint, connection: Connection, _: Now) {
        assert!(self.idle.replace(connection).is_none());
    }

    fn hangup(&mut self, _: Connection) {
        panic!("the platform's connection stays open");
    }

    fn abandon(&mut self, _: Dial, _: usize) {
        unreachable!("every dial succeeds at once")
    }
}

impl World {
    /// A world with one platform that has two keys, and with a journal; `client` is the client key's entry.
    fn new(name: &str, client: &serde_json::Value) -> World {
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("allocations-{name}"));
        std::fs::create_dir_all(&dir).expect("the folder can be made");
        let platforms = json!([{
            "name": "mock", "base_url": "http://127.0.0.1:9", "api_path": "/v1",
            "keys": ["sk-first-key-of-this-test", "sk-second-key-of-this-test"],
        }]);
        for (file, content) in [
            ("platform.json", &platforms),
            ("key.json", &json!([client])),
        ] {
            std::fs::write(dir.join(file), content.to_string()).expect("it can be written");
        }
        let now = Now {
            instant: Instant::now(),
            unix_ms: 1_767_225_600_000,
        };
        let config = config::load(&dir, &|_| None).expect("the configuration is valid");
        let mut clients = Clients::new(config.clients.clone());
        let mut keyring = Keyring::default();
        let site = Site::compile(config, &mut keyring, &mut Lasting::default(), 0, now);
        let site = Rc::new(site.expect("there is no certificate file"));
        let path = dir.join("usage.journal");
        let _ = std::fs::remove_file(&path);
        let opened = Ledger::open(&path, 1, &mut clients, &mut keyring, now);
        let (ledger, findings) = opened.expect("a new journal");
        assert!(findings.is_empty(), "{findings:?}");
        let client = Wire::default();
        let transport = Transport::Link(Box::new(client.clone()));
        let connection = Connection::new(transport, CLIENT, Hints::FRESH, now);
        World {
            session: Session::new(connection, IpAddr::from([192, 0, 2, 7]), Role::Proxy, now),
            core: Core::new(site, clients, keyring, ledger, 1, now),
            network: OneLine {
                platform: Wire::default(),
                idle: None,
            },
            now,
            client,
            phase: Phase::WarmingUp,
            queue: RunQueue::default(),
            allocations: 0,
        }
    }

    /// Does what the server's turn does for a session with this event, and counts its allocations.
    fn turn(&mut self, token: Token) {
        self.now = self.now.after(Duration::from_micros(100));
        match token {
            CLIENT => self.session.hint_client(NEWS),
            other => self.session.hint_upstream(other, NEWS),
        }
        COUNTS.set(self.phase == Phase::Steady);
        let mut driven = self.drive();
        if self.core.ledger.holds_back() {
            self.core.write_ledger(self.now);
            self.core.wake(&mut self.queue);
            assert_eq!(self.queue.pop_second(), Some(0), "it was held back");
            driven = self.drive();
        }
        COUNTS.set(false);
        self.allocations += ALLOCATIONS.take();
        assert!(matches!(driven, Driven::Waiting(Some(_))));
    }

    fn drive(&mut self) -> Driven {
        loop {
            let (core, network) = (&mut self.core, &mut self.network);
            match self
                .session
                .drive(0, SHARE_BYTES_MAX, false, core, network, self.now)
            {
                Driven::Again | Driven::Sending => {}
                driven => return driven,
            }
        }
    }

    fn ask(&mut self, request: &[u8], end: &[u8]) {
        self.client.send(request);
        self.turn(CLIENT);
        self.network.platform.expect_end(end);
    }

    fn answer(&mut self, answer: &[u8], end: &[u8]) {
        self.network.platform.send(answer);
        self.turn(PLATFORM);
        self.client.expect_end(end);
    }
}

fn chat(head: &str) -> Vec<u8> {
    let body =
        r#"{"model": "mock-1", "messages": [{"role": "user", "content": "What is a proxy?"}]}"#;
    let length = body.len();
    format!(
        "POST /mock/v1/chat/completions HTTP/1.1\r\nHost: proxy.example\r\nAccept: application/json\r\n\
         Authorization: Bearer sk-client-key-of-this-test\r\nContent-Type: application/json\r\n\
         {head}Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

const JSON: &str = r#"{"choices": [{"message": {"content": "A go-between."}}], "usage": {"prompt_tokens": 9, "completion_tokens": 5}}"#;

#[test]
fn requests_allocate_nothing() {
    let unlimited = json!({"key": "sk-client-key-of-this-test", "name": "web app"});
    let limited = json!({"key": "sk-client-key-of-this-test", "hourly_limit": 100_000});
    let rows = [
        (
            "plain",
            &unlimited,
            "",
            "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n",
        ),
        (
            "limited",
            &limited,
            "",
            "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n",
        ),
        ("browser", &unlimited, "Origin: https://app.example\r\n", ""),
    ];
    for (name, client, asked, answered) in rows {
        let mut world = World::new(name, client);
        let request = chat(asked);
        let length = JSON.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\n{answered}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{JSON}"
        );
        for round in 0..WARMING_UP + COUNTED {
            if round == WARMING_UP {
                world.phase = Phase::Steady;
            }
            world.ask(&request, br#"What is a proxy?"}]}"#);
            world.answer(answer.as_bytes(), JSON.as_bytes());
        }
        assert_eq!(world.allocations, 0, "{name}: in {COUNTED} requests");
    }
}

#[test]
fn streamed_events_allocate_nothing() {
    let client = json!({"key": "sk-client-key-of-this-test", "name": "web app"});
    let mut world = World::new("stream", &client);
    world.ask(&chat(""), br#"What is a proxy?"}]}"#);
    let head =
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    world.answer(head, b"\r\n\r\n");
    let event = "data: {\"choices\": [{\"delta\": {\"content\": \" word\"}}]}\n\n";
    let last =
        "data: {\"choices\": [], \"usage\": {\"prompt_tokens\": 9, \"completion_tokens\": 5}}\n\n";
    for round in 0..WARMING_UP + COUNTED {
        if round == WARMING_UP {
            world.phase = Phase::Steady;
        }
        let event = if round % 100 == 0 { last } else { event };
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        world.answer(chunk.as_bytes(), chunk.as_bytes());
    }
    assert_eq!(world.allocations, 0, "in {COUNTED} events");
    world.phase = Phase::WarmingUp;
    world.answer(b"0\r\n\r\n", b"0\r\n\r\n");
}
