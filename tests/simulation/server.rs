//! The server's turn without a poll and listening sockets, with a clock that is set.

use std::net::IpAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::Token;

use ai_api_proxy::base::buffer::BUFFER_BYTES;
use ai_api_proxy::base::client::ClientSpec;
use ai_api_proxy::base::now::Now;
use ai_api_proxy::base::secret::Secret;
use ai_api_proxy::config::findings::Findings;
use ai_api_proxy::config::json::Json;
use ai_api_proxy::config::{Config, Origin, Platform, settings};
use ai_api_proxy::exchange::core::Core;
use ai_api_proxy::exchange::request::Role;
use ai_api_proxy::ledger::Ledger;
use ai_api_proxy::net::connection::Hints;
use ai_api_proxy::net::owners::Owner;
use ai_api_proxy::policy::access::Clients;
use ai_api_proxy::policy::keyring::Keyring;
use ai_api_proxy::server::scheduler::Scheduler;
use ai_api_proxy::session::Session;
use ai_api_proxy::site::{Lasting, Site};

use super::network::Wires;
use super::plan::{PLATFORMS, client_key};
use super::random::Random;
use super::wire::Shared;

/// The most reads and writes of one session in one turn; more is an endless loop.
const CALLS_PER_TURN_MAX: u64 = 20_000;

/// By how much a session may exceed the bound of kept bodies: what it had read already, and the framing of a chunk that
/// was cut where that ended.
const OVERSTEP_BYTES_MAX: u64 = BUFFER_BYTES as u64 + 100;

/// The most consecutive turns in which a session may ask for another one although nothing moves: what is in its buffers
/// already may come in pieces of one byte, of which a share takes some hundred.
const IDLE_TURNS_MAX: u32 = 12;

pub struct Server {
    pub core: Core,
    pub network: Wires,
    pub scheduler: Scheduler,
    idle_turns: u32,
}

impl Server {
    pub fn new(clients: usize, has_faults: bool, random: &mut Random, now: Now) -> Server {
        let config = config(clients, has_faults, random);
        let specs = Clients::new(config.clients.clone());
        let mut keyring = Keyring::default();
        let mut lasting = Lasting::default();
        let site = Site::compile(config, &mut keyring, &mut lasting, 1, now).expect("it is valid");
        Server {
            core: Core::new(
                Rc::new(site),
                specs,
                keyring,
                Ledger::default(),
                random.next(),
                now,
            ),
            network: Wires::new(has_faults, random.fork()),
            scheduler: Scheduler::default(),
            idle_turns: 0,
        }
    }

    /// A client connects.
    pub fn accept(&mut self, address: IpAddr, now: Now) -> Shared {
        let mut wire = None;
        self.scheduler.begin(|slot| {
            let (connection, end) = self.network.connect(Owner::Client(slot), Hints::FRESH, now);
            wire = Some(end);
            Some(Session::new(connection, address, Role::Proxy, now))
        });
        wire.expect("each client is let in")
    }

    pub fn has_work(&self) -> bool {
        let pending = |(_, wire): &(Token, Shared)| wire.borrow().pending.any();
        self.scheduler.has_work() || self.network.known.iter().any(pending)
    }

    pub fn deadline(&self) -> Option<Instant> {
        let deadlines = [
            self.scheduler.deadline(),
            self.network.deadline(),
            self.core.probes.deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Runs one turn; returns whether there was anything to do.
    pub fn turn(&mut self, random: &mut Random, now: Now) -> bool {
        self.deliver_events(random, now);
        self.scheduler.fire_timers(now);
        self.network.expire(now);
        for slot in self.network.due(now) {
            self.scheduler.wake(slot);
        }
        let (core, network) = (&mut self.core, &mut self.network);
        self.scheduler.begin_probes(core, &mut network.owners, now);
        let (has_work, calls_before) = (self.scheduler.has_work(), network.calls.get());
        self.scheduler.drive_first(core, network, now);
        // Occasionally the turn's time is over before all sessions have been driven.
        self.scheduler
            .drive_rest(core, network, now, || random.percent(10));
        self.scheduler.enter_finished(core);
        self.scheduler.wake_by(core);
        let calls = network.calls.get() - calls_before;
        self.check_progress(calls, now);
        self.check_bounds();
        has_work
    }

    /// No session may keep the server awake without making progress.
    fn check_progress(&mut self, calls: u64, now: Now) {
        let sessions = self.scheduler.len().max(1) as u64;
        assert!(
            calls <= sessions * CALLS_PER_TURN_MAX,
            "{calls} calls in one turn of {sessions} sessions"
        );
        assert!(
            self.scheduler.deadline().is_none_or(|at| at > now.instant),
            "a session waits for the past: a busy loop"
        );
        match calls == 0 && self.scheduler.has_work() {
            true => self.idle_turns += 1,
            false => self.idle_turns = 0,
        }
        assert!(self.idle_turns <= IDLE_TURNS_MAX, "a session spins");
    }

    /// What must hold at the end of every turn.
    fn check_bounds(&self) {
        let memory = &self.core.retry_memory;
        let allowed = memory.max + self.scheduler.len() as u64 * OVERSTEP_BYTES_MAX;
        assert!(memory.used() <= allowed, "{memory:?}, {allowed} allowed");
        let in_flight: u32 = self
            .core
            .site
            .routes
            .iter()
            .flat_map(|route| self.core.keyring.views(route.id, self.core.started))
            .map(|view| view.in_flight)
            .sum();
        assert!(
            in_flight as usize <= self.scheduler.len(),
            "{in_flight} permits of {} sessions",
            self.scheduler.len()
        );
        assert_eq!(self.scheduler.defects(), 0, "a defect ended a step");
    }

    /// Most edges arrive at once, some late; occasionally a hint comes for nothing.
    fn deliver_events(&mut self, random: &mut Random, now: Now) {
        for (token, wire) in self.network.known.clone() {
            let mut news = Hints::NONE;
            let has_news = wire.borrow().pending.any();
            if has_news && random.percent(85) {
                news = std::mem::replace(&mut wire.borrow_mut().pending, Hints::NONE);
            } else if random.percent(1) {
                news = Hints::new(random.percent(50), random.percent(50), false);
            }
            let owner = self.network.owners.get(token);
            let Some(owner) = owner.filter(|_| news.any()) else {
                continue;
            };
            match owner {
                Owner::Client(slot) => self.scheduler.hint_client(slot, news),
                Owner::Upstream(slot) => self.scheduler.hint_upstream(slot, token, news),
                Owner::Idle(endpoint) => {
                    let blocks = &mut self.core.blocks;
                    self.network
                        .on_idle_event(endpoint, token, news, blocks, now);
                }
                Owner::Alarm
                | Owner::Listener
                | Owner::DemoListener
                | Owner::StopSignal
                | Owner::ReloadSignal => {
                    unreachable!("the simulation has none")
                }
            }
        }
    }

    /// What must hold when no session is left.
    pub fn check_settled(&self, now: Now) {
        assert!(self.scheduler.is_empty(), "a session remains");
        assert_eq!(self.scheduler.streams(), 0, "a stream remains");
        assert_eq!(self.network.dial_count(), 0, "a dial remains");
        assert_eq!(
            self.network.known.len(),
            self.network.idle_count(),
            "a connection remains"
        );
        assert_eq!(
            self.network.owners.len(),
            self.network.idle_count(),
            "a token remains"
        );
        assert_eq!(self.core.retry_memory.used(), 0, "retry memory remains");
        for route in &self.core.site.routes {
            for view in self.core.keyring.views(route.id, now) {
                assert_eq!(view.in_flight, 0, "a permit remains: {view:?}");
            }
        }
    }
}

fn config(clients: usize, has_faults: bool, random: &mut Random) -> Config {
    let nothing = Json::parse("{}").expect("it is JSON");
    let mut findings = Findings::of("config.json");
    let mut settings = settings::read(&nothing, Path::new("."), &mut findings);
    settings.response_timeout = Duration::from_secs(60);
    settings.idle_timeout = Duration::from_secs(30);
    settings.retry_buffer_bytes = random.pick(&[0, 100, 5_000, 1 << 20]);
    settings.retry_memory_bytes = random.pick(&[0, 500, 20_000, 64 << 20]);
    if has_faults && random.percent(10) {
        settings.max_body_bytes = 5_000;
    }
    let clients = (0..clients).map(|client| ClientSpec {
        key: Secret::new(client_key(client)),
        name: None,
        is_root: false,
        daily_limit: 0,
        hourly_limit: 0,
        cooldown_seconds: 0,
        expires_unix_seconds: None,
        platforms: None,
    });
    Config {
        settings,
        clients: clients.collect(),
        platforms: (0..PLATFORMS.len())
            .map(|place| platform(place, random))
            .collect(),
        findings,
    }
}

fn platform(place: usize, random: &mut Random) -> Platform {
    let (name, auth_header, auth_prefix) = PLATFORMS[place];
    let key = |number| Secret::new(format!("platform-key-{name}-{number}"));
    Platform {
        place,
        name: name.to_string(),
        display_name: name.to_string(),
        base_url: format!("http://{name}.test"),
        origin: Origin::Web {
            tls: false,
            host: format!("{name}.test"),
            port: 80,
        },
        base_path: "/base".to_string(),
        api_path: "/v1".to_string(),
        auth_header: auth_header.to_string(),
        auth_prefix: auth_prefix.to_string(),
        auth_suffix: String::new(),
        health_path: "/v1/models".to_string(),
        health_method: "GET".to_string(),
        health_body: None,
        enabled: true,
        keys: (0..random.between(1, 4)).map(key).collect(),
        headers: Vec::new(),
        default_headers: Vec::new(),
        ca_pem: None,
        max_attempts: random.between(1, 4) as u32,
    }
}
