//! The turn: poll, hints, timers, accept, drive. It owns everything and knows no HTTP.

mod alarm;
mod door;
mod names;
pub mod scheduler;

use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::event::Event;
use mio::net::UnixStream;
use mio::{Events, Poll};

use crate::base::now::Now;
use crate::base::work::{REST_BESIDE_STREAMS_MAX, REST_MAX};
use crate::capacity::Capacity;
use crate::exchange::core::Core;
use crate::exchange::reason::Reason;
use crate::exchange::request::Role;
use crate::listen;
use crate::net::connection::Hints;
use crate::net::network::Sockets;
use crate::net::owners::Owner;
use crate::net::resolver::{Resolver, SOCKETS_MAX};
use crate::reload::Reloader;

use alarm::Alarm;
use door::{AJAR, Door, welcome};
use names::Names;
use scheduler::Scheduler;

/// Events taken from the kernel at once.
const EVENTS_PER_TURN: usize = 1024;

/// How long the time of day is not read again. It has no more digits than that.
const TIME_OF_DAY_STANDS: Duration = Duration::from_millis(1);

/// Connections accepted before the existing ones get their turn.
const ACCEPTS_PER_TURN: usize = 4;

/// The same while there are streams, which wait meanwhile: an accept takes the kernel as long as a stream's event does.
const ACCEPTS_BESIDE_STREAMS: usize = 1;

/// Connections accepted as the door closes; no more can be waiting by then.
const LAST_ACCEPTS_MAX: usize = listen::BACKLOG as usize;

/// The resolver's tokens lie above those of all slabs.
const RESOLVER_TOKEN: usize = usize::MAX / 2;

/// Tokens that live as long as the loop: the alarm, two listeners and two pipes.
const FIXED_OWNERS: usize = 5;

/// How the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Every request in flight was answered, or `drain_seconds` have passed.
    Drained,
    /// A second signal came.
    CutShort,
}

/// The program while it runs.
pub struct Server {
    poll: Poll,
    alarm: Alarm,
    events: Events,
    core: Core,
    network: Sockets,
    names: Names,
    scheduler: Scheduler,
    clients: Door,
    demo: Door,
    capacity: Capacity,
    /// One byte arrives for each signal.
    stop: UnixStream,
    reload: UnixStream,
    reloader: Reloader,
    /// Stop signals received so far.
    stop_signals: usize,
    /// When a stop in progress ends whatever happens.
    drained_by: Option<Instant>,
    /// When there is more to do in a turn than to drive sessions.
    due_at: Option<Instant>,
    now: Now,
    /// When the time of day is read again.
    time_of_day_until: Instant,
}

/// The listening sockets.
pub struct Doors {
    pub clients: std::net::TcpListener,
    pub demo: std::net::TcpListener,
}

/// Pipes that become readable when a signal arrives: one byte for each.
pub struct Signals {
    pub stop: std::os::unix::net::UnixStream,
    pub reload: std::os::unix::net::UnixStream,
}

/// Reads both clocks, outside of the loop.
pub fn read_clock() -> Now {
    Now {
        instant: moment(),
        unix_ms: time_of_day(),
    }
}

/// Reads the monotonic clock: once a turn for what is done in it, otherwise only to measure how long the turn takes.
fn moment() -> Instant {
    Instant::now()
}

/// Milliseconds since 1970-01-01T00:00:00Z.
fn time_of_day() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.unwrap_or_default().as_millis() as u64
}

impl Server {
    /// Puts the parts together.
    ///
    /// # Errors
    /// When the poll cannot be set up.
    pub fn new(
        core: Core,
        reloader: Reloader,
        doors: Doors,
        capacity: Capacity,
        signals: Signals,
        dns_seed: u64,
        now: Now,
    ) -> io::Result<Server> {
        let poll = Poll::new()?;
        let mut names = Names::new(Path::new("/etc"), now);
        let (hosts, resolv_conf) = names.read().unwrap_or_default();
        let resolver = Resolver::new(&hosts, &resolv_conf, dns_seed, RESOLVER_TOKEN);
        let mut network = Sockets::new(poll.registry().try_clone()?, resolver);
        let alarm = Alarm::new(&mut network)?;
        let mut clients = Door::new(doors.clients, Role::Proxy, Owner::Listener, &mut network)?;
        clients.tls.clone_from(&core.site.tls);
        let demo = Door::new(doors.demo, Role::Demo, Owner::DemoListener, &mut network)?;
        let mut stop = UnixStream::from_std(signals.stop);
        network.register_readable(&mut stop, Owner::StopSignal)?;
        let mut reload = UnixStream::from_std(signals.reload);
        network.register_readable(&mut reload, Owner::ReloadSignal)?;
        let mut server = Server {
            poll,
            alarm,
            events: Events::with_capacity(EVENTS_PER_TURN),
            core,
            network,
            names,
            scheduler: Scheduler::default(),
            clients,
            demo,
            capacity,
            stop,
            reload,
            reloader,
            stop_signals: 0,
            drained_by: None,
            due_at: Some(now.instant),
            now,
            time_of_day_until: now.instant,
        };
        server.set_limits();
        Ok(server)
    }

    /// Sets how many clients may be connected: as configured, or fewer, if there are too few descriptors; and how many
    /// probes may be under way.
    fn set_limits(&mut self) {
        let configured = self.core.site.settings.max_connections as usize;
        let open_max = self.capacity.clients_max(configured);
        self.clients.open_max = open_max;
        self.demo.open_max = open_max;
        self.core.connections.max = open_max as u64;
        self.core.probes.in_flight_max = Some(self.capacity.probes_max());
    }

    /// Runs until a stop.
    ///
    /// # Errors
    /// When the poll itself fails.
    pub fn run(&mut self) -> io::Result<Stopped> {
        loop {
            if let Some(stopped) = self.turn()? {
                let (core, network) = (&mut self.core, &mut self.network);
                let cut = self
                    .scheduler
                    .close_all(&Reason::Stopping, core, network, self.now);
                if cut > 0 {
                    log::warn!("stopped; requests in flight that were cut off: {cut}");
                }
                self.core.finish_ledger(self.now);
                return Ok(stopped);
            }
        }
    }

    fn turn(&mut self) -> io::Result<Option<Stopped>> {
        let timeout = self.timeout()?;
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            Err(error) => return Err(error),
        }
        self.look_at_clocks();
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            self.dispatch(event);
        }
        self.events = events;
        self.scheduler.fire_timers(self.now);
        self.scheduler
            .drive_first(&mut self.core, &mut self.network, self.now);
        let is_due = self.due_at.is_some_and(|at| at <= self.now.instant);
        if self.scheduler.is_calm() && !is_due {
            return Ok(None);
        }
        let stopped = self.go_on();
        self.due_at = self.next_due();
        Ok(stopped)
    }

    /// Reads the clocks; that of the day once in a while.
    fn look_at_clocks(&mut self) {
        self.now.instant = moment();
        if self.time_of_day_until <= self.now.instant {
            self.now.unix_ms = time_of_day();
            self.time_of_day_until = self.now.instant + TIME_OF_DAY_STANDS;
        }
    }

    /// Does what a turn has to do beside passing on what streams bring.
    #[inline(never)]
    fn go_on(&mut self) -> Option<Stopped> {
        if let Some(stopped) = self.on_stop_signals() {
            return Some(stopped);
        }
        self.close_door();
        let network_at = self.network.deadline();
        if network_at.is_some_and(|at| at <= self.now.instant) {
            self.network.expire(self.now);
        }
        self.make_room();
        self.scheduler
            .begin_probes(&mut self.core, &mut self.network.owners, self.now);
        if self.is_open() || self.scheduler.has_work() || self.core.ledger.holds_back() {
            self.work_on_rest();
        }
        self.scheduler.enter_finished(&mut self.core);
        self.look_at_files();
        self.core.write_ledger(self.now);
        self.wake();
        self.is_drained().then_some(Stopped::Drained)
    }

    /// Takes over what has changed in files, when it is time to look. It comes after the turn's requests, which need not
    /// wait for it.
    fn look_at_files(&mut self) {
        if let Some((hosts, resolv_conf)) = self.names.look(self.now) {
            self.network.configure_names(&hosts, &resolv_conf, self.now);
        }
        if self.reloader.look(&mut self.core, self.now) {
            self.after_reload();
        }
        self.core.look_at_ledger(self.now);
    }

    /// Accepts clients and drives sessions that are not streams, for as long as that may take.
    fn work_on_rest(&mut self) {
        let rest_max = match self.scheduler.streams() {
            0 => REST_MAX,
            _ => REST_BESIDE_STREAMS_MAX,
        };
        let rest_ends = moment() + rest_max;
        self.accept();
        self.drive_rest(rest_ends);
        if self.core.ledger.holds_back() {
            self.core.write_ledger(self.now);
            self.scheduler.wake_by(&mut self.core);
            if moment() < rest_ends {
                self.drive_rest(rest_ends);
            }
        }
        self.make_room();
    }

    fn drive_rest(&mut self, until: Instant) {
        let (core, network) = (&mut self.core, &mut self.network);
        self.scheduler
            .drive_rest(core, network, self.now, || until <= moment());
    }

    /// Takes note of clients that have gone: there is room for others, and a descriptor is free again.
    fn make_room(&mut self) {
        let ended = self.scheduler.take_ended();
        if ended.proxy + ended.demo > 0 {
            self.clients.open -= ended.proxy;
            self.demo.open -= ended.demo;
            self.clients.end_pause(self.now);
            self.demo.end_pause(self.now);
        }
    }

    /// Whether accepting is worth an attempt at some door.
    fn is_open(&self) -> bool {
        self.clients.is_open(self.now) || self.demo.is_open(self.now)
    }

    /// How long the poll may sleep: not at all while something is due, otherwise until an event. One of them is the alarm.
    fn timeout(&mut self) -> io::Result<Option<Duration>> {
        let deadlines = [self.scheduler.deadline(), self.due_at];
        let next = deadlines.into_iter().flatten().min();
        if self.scheduler.has_work() || next.is_some_and(|at| at <= self.now.instant) {
            return Ok(Some(Duration::ZERO));
        }
        if let Some(at) = next {
            self.alarm.set(at, self.now)?;
        }
        Ok(None)
    }

    /// When there is something to do that is no session's. A calm turn does not change it.
    fn next_due(&self) -> Option<Instant> {
        if self.is_open() {
            return Some(self.now.instant);
        }
        let doors = [&self.clients, &self.demo];
        let pauses = doors.into_iter().filter_map(Door::deadline);
        let probes_at = self
            .core
            .probes
            .deadline()
            .filter(|_| self.core.begins_probes());
        let deadlines = [
            self.network.deadline(),
            self.core.feed.deadline(),
            self.core.ledger.deadline(),
            Some(self.reloader.deadline()),
            Some(self.names.deadline()),
            self.clients.closes_at,
            self.drained_by,
            probes_at,
        ];
        deadlines.into_iter().flatten().chain(pauses).min()
    }

    /// Passes an event to its owner. Any but a session's makes more of the turn due.
    fn dispatch(&mut self, event: &Event) {
        let token = event.token();
        let owner = self.network.owners.get(token);
        let news = Hints::from(event);
        match owner {
            Some(Owner::Client(slot)) => return self.scheduler.hint_client(slot, news),
            Some(Owner::Upstream(slot)) => return self.scheduler.hint_upstream(slot, token, news),
            Some(Owner::Alarm) => return self.alarm.on_event(),
            Some(Owner::Listener) => self.clients.readable = true,
            Some(Owner::DemoListener) => self.demo.readable = true,
            Some(Owner::StopSignal) => self.stop_signals += read_count(&mut self.stop),
            Some(Owner::ReloadSignal) => self.on_reload_signals(),
            Some(Owner::Idle(endpoint)) => {
                let blocks = &mut self.core.blocks;
                self.network
                    .on_idle_event(endpoint, token, news, blocks, self.now);
            }
            None if (RESOLVER_TOKEN..RESOLVER_TOKEN + SOCKETS_MAX).contains(&token.0) => {
                self.network.on_resolver_event(token, self.now);
            }
            None => {}
        }
        self.due_at = Some(self.now.instant);
    }

    fn accept(&mut self) {
        let accepts_max = match self.scheduler.streams() {
            0 => ACCEPTS_PER_TURN,
            _ => ACCEPTS_BESIDE_STREAMS,
        };
        for door in [&mut self.clients, &mut self.demo] {
            for _ in 0..accepts_max {
                let Some((socket, address)) = door.accept(&mut self.network, self.now) else {
                    break;
                };
                let (network, now) = (&mut self.network, self.now);
                let is_welcome = self
                    .scheduler
                    .begin(|slot| welcome(socket, address, door, slot, network, now));
                door.open += usize::from(is_welcome);
            }
        }
        self.count_connections();
    }

    /// Counts the connections, for the pages that show them.
    fn count_connections(&mut self) {
        self.core.connections.clients = self.clients.open as u64;
        let idle = self.network.idle_upstreams();
        self.core.connections.idle_upstreams = idle as u64;
        // Every session owns one token for its client's side; a probe's belongs to no socket.
        let others = FIXED_OWNERS + self.scheduler.len() + idle;
        self.core.connections.upstreams = (self.network.owners.len() - others) as u64;
    }

    /// Publishes the figures when it is time, and wakes the sessions that wait for something other than their own
    /// connections.
    fn wake(&mut self) {
        self.count_connections();
        if self
            .core
            .feed
            .deadline()
            .is_some_and(|at| at <= self.now.instant)
        {
            self.core.publish(self.now);
        }
        self.scheduler.wake_by(&mut self.core);
        while let Some(slot) = self.network.resolver.take_woken() {
            self.scheduler.wake(slot);
        }
    }

    #[cold]
    fn on_reload_signals(&mut self) {
        if read_count(&mut self.reload) > 0 {
            self.reloader.reload(&mut self.core, self.now);
            self.after_reload();
        }
    }

    /// The first signal begins a stop, the second one ends it.
    fn on_stop_signals(&mut self) -> Option<Stopped> {
        match (self.stop_signals, self.drained_by) {
            (0, _) | (1, Some(_)) => return None,
            (1, None) => {}
            (2.., _) => return Some(Stopped::CutShort),
        }
        let patience = self.core.site.settings.drain;
        log::info!(
            "stopping: requests in flight have {} s to end",
            patience.as_secs()
        );
        self.drained_by = Some(self.now.instant + patience.max(AJAR));
        self.core.drain(self.now);
        self.clients.leave_ajar(self.now);
        self.scheduler.end_idle_clients();
        None
    }

    /// Closes the clients' door once it has been ajar. Connections that wait there are accepted first: the kernel would
    /// reset them, even if another process is listening already.
    fn close_door(&mut self) {
        if self
            .clients
            .closes_at
            .is_none_or(|at| self.now.instant < at)
        {
            return;
        }
        self.clients.closes_at = None;
        self.clients.readable = true;
        for _ in 0..LAST_ACCEPTS_MAX {
            if !self.clients.is_open(self.now) {
                break;
            }
            self.accept();
        }
        self.clients.listener = None;
    }

    /// What a new configuration changes here.
    fn after_reload(&mut self) {
        self.set_limits();
        if let (Some(former), Some(new)) = (&mut self.clients.tls, &self.core.site.tls) {
            // A reload cannot change whether clients speak TLS at all.
            former.clone_from(new);
        }
    }

    fn is_drained(&self) -> bool {
        let is_empty = self.clients.listener.is_none() && self.clients.open == 0;
        self.drained_by
            .is_some_and(|by| is_empty || by <= self.now.instant)
    }
}

/// Reads what a pipe has. Returns the number of bytes.
#[cold]
fn read_count(pipe: &mut UnixStream) -> usize {
    io::Read::read(pipe, &mut [0; 64]).unwrap_or(0)
}
