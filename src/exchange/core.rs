//! What all exchanges share: the configuration in force, the policy's state, memory, ids, figures.

use std::collections::{HashSet, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use crate::base::buffer::BlockPool;
use crate::base::ids::Ids;
use crate::base::now::Now;
use crate::base::queue::RunQueue;
use crate::base::spares::Spares;
use crate::base::text::Text;
use crate::figures::counts::ErrorKind;
use crate::figures::{self, Figures, Finished};
use crate::http::body::Decoder;
use crate::ledger::Ledger;
use crate::policy::access::{ClientId, Clients};
use crate::policy::keyring::{Condition, KeyId, Keyring, Outcome, Permit};
use crate::policy::probes::Probes;
use crate::service::stats;
use crate::service::view::{Connections, View};
use crate::site::Site;

use super::end::End;
use super::feed::Feed;
use super::kept::RetryMemory;
use super::request::{Request, Role};
use super::upload::Upload;

/// The most requests that have ended but are not in the figures yet.
const FINISHED_MAX: usize = 64;

/// Whether new requests are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Serving,
    /// A stop was requested then: requests in flight are the last ones.
    Draining {
        since: Instant,
    },
}

/// The state that every exchange may touch during its turn.
pub struct Core {
    pub site: Rc<Site>,
    pub phase: Phase,
    pub clients: Clients,
    pub keyring: Keyring,
    pub probes: Probes,
    /// What survives a restart.
    pub ledger: Ledger,
    pub figures: Figures,
    pub ids: Ids,
    pub blocks: BlockPool,
    pub retry_memory: RetryMemory,
    pub started: Now,
    /// How many connections there are, as the server counts them.
    pub connections: Connections,
    pub feed: Feed,
    round_waiters: Vec<usize>,
    /// Sessions whose requests go on once the ledger has been written.
    held_back: Vec<usize>,
    /// Sessions to be driven although nothing has happened on their own connections.
    woken: Vec<usize>,
    /// Why the newest configuration is not in force.
    pub config_error: Option<String>,
    /// Memory for a head while it is rewritten.
    pub draft: Vec<u8>,
    pub uploads: Spares<Upload>,
    requests: Spares<Request>,
    /// Requests that have ended, and when, but are not in the figures yet.
    finished: VecDeque<(Box<Request>, End, Now)>,
    date: Date,
}

impl Core {
    pub fn new(
        site: Rc<Site>,
        clients: Clients,
        keyring: Keyring,
        ledger: Ledger,
        seed: u64,
        now: Now,
    ) -> Core {
        let mut probes = Probes::default();
        probes.reload(&site.probed(), site.settings.unhealthy_key_retry, now);
        let max = site.settings.retry_memory_bytes;
        Core {
            site,
            phase: Phase::Serving,
            clients,
            keyring,
            probes,
            ledger,
            figures: Figures::default(),
            ids: Ids::new(seed),
            blocks: BlockPool::default(),
            retry_memory: RetryMemory::new(max),
            started: now,
            connections: Connections::default(),
            feed: Feed::default(),
            round_waiters: Vec::new(),
            held_back: Vec::new(),
            woken: Vec::new(),
            config_error: None,
            draft: Vec::new(),
            uploads: Spares::default(),
            requests: Spares::default(),
            finished: VecDeque::new(),
            date: Date::default(),
        }
    }

    /// Puts a new configuration in force. Requests in flight keep the one they began with.
    pub fn take_site(&mut self, site: Rc<Site>, now: Now) {
        let period = site.settings.unhealthy_key_retry;
        self.probes.reload(&site.probed(), period, now);
        self.retry_memory.max = site.settings.retry_memory_bytes;
        let (keys, clients) = (&self.keyring, &self.clients);
        let labels: HashSet<&str> = clients.ids().map(|id| &**clients.label(id)).collect();
        self.figures.retain(
            |platform| site.routes.iter().any(|route| route.id.0 == platform),
            |key| keys.is_listed(KeyId(key)),
            |client| clients.is_listed(ClientId(client)),
            |label| labels.contains(label),
        );
        // A spare request would keep the configuration that it began with alive, and the keys in it.
        self.requests = Spares::default();
        self.site = site;
    }

    /// A new request, in memory left over from a former one.
    pub fn new_request(&mut self, role: Role, now: Now) -> Box<Request> {
        let request = Request::new(Rc::clone(&self.site), role, self.ids.request_id(), now);
        self.requests.hold(request)
    }

    /// `request` has ended. It is written into the figures after this turn's answers have left, see
    /// [`Core::enter_finished`].
    pub fn finish(&mut self, request: Box<Request>, end: End, now: Now) {
        if self.finished.len() == FINISHED_MAX {
            self.enter_finished();
        }
        self.finished.push_back((request, end, now));
    }

    /// Writes the requests that have ended into the figures.
    pub fn enter_finished(&mut self) {
        while let Some((request, end, now)) = self.finished.pop_front() {
            self.enter(request, end, now);
        }
    }

    /// Writes a request's line into the figures and takes its memory back. Only clients' requests to platforms count.
    fn enter(&mut self, request: Box<Request>, end: End, now: Now) {
        if let (Role::Proxy, Some(place)) = (request.role, request.route) {
            let tokens = request.usage.tokens();
            let since = |at: Instant| at.duration_since(request.started.instant);
            // If the key has been removed meanwhile, the next reload would forget what is counted for it.
            let key = request.key.filter(|key| self.keyring.is_listed(*key));
            let client = |client: ClientId| figures::Client {
                id: client.0,
                label: Rc::clone(self.clients.label(client)),
            };
            self.figures.finish(Finished {
                platform: request.site.routes[place].id.0,
                key: key.map(|key| key.0),
                client: request.client.map(client),
                request_id: request.id,
                method: request.method,
                path: request.path,
                model: request.model().unwrap_or_default(),
                status: end.status,
                code: end.code,
                class: end.class,
                tries: request.tries,
                first_byte: request.first_byte_at.map(since),
                total: since(now.instant),
                bytes_in: request.bytes_in,
                bytes_out: request.bytes_out,
                tokens_in: tokens.input,
                tokens_out: tokens.output,
                started_unix_ms: request.started.unix_ms,
            });
        }
        if Rc::ptr_eq(&request.site, &self.site) {
            self.requests.give(request);
        }
    }

    /// Takes back all memory of an upload. Returns how far the client's body has been read.
    pub fn discard(&mut self, mut upload: Box<Upload>) -> Decoder {
        let decoder = upload.discard(&mut self.blocks);
        self.uploads.give(upload);
        decoder
    }

    /// Counts that another key is tried after this outcome.
    pub fn note_retry(&mut self, request: &Request, key: KeyId, outcome: &Outcome) {
        let kind = match outcome {
            Outcome::Rejected { .. } | Outcome::Forbidden => ErrorKind::Auth,
            Outcome::RateLimited { .. } => ErrorKind::RateLimited,
            Outcome::ServerError { .. } => ErrorKind::Server,
            Outcome::NetworkFailure { .. } => ErrorKind::Network,
            Outcome::Timeout { .. } => ErrorKind::Timeout,
            Outcome::Answered | Outcome::Canceled => return,
        };
        self.figures.retry(request.route().id.0, key.0, kind);
    }

    /// Writes what must be in the file before this turn's requests go on, and wakes their sessions; none if it could
    /// not be written yet.
    pub fn write_ledger(&mut self, now: Now) {
        self.ledger.write(&mut self.keyring, now);
        if !self.ledger.holds_back() {
            self.woken.append(&mut self.held_back);
        }
    }

    /// Writes what is left once no request is admitted any more.
    pub fn finish_ledger(&mut self, now: Now) {
        if let Err(lost) = self.ledger.finish(&mut self.keyring, now) {
            log::warn!("state_file {lost}");
        }
    }

    /// Takes over what other processes have counted, if it is time.
    pub fn look_at_ledger(&mut self, now: Now) {
        let news = self.ledger.look(&mut self.clients, &mut self.keyring, now);
        if news > 0 {
            for key in self.keyring.unhealthy() {
                self.probes.on_unhealthy_elsewhere(key, now);
            }
        }
    }

    /// Has `session` woken by the next [`Core::write_ledger`] that succeeds.
    pub fn await_ledger(&mut self, session: usize) {
        self.held_back.push(session);
    }

    /// Has `session` woken when the round of probes ends.
    pub fn await_round(&mut self, session: usize) {
        self.round_waiters.push(session);
    }

    /// Moves the sessions whose wait has ended into `queue`, ahead of requests that begin: those could make them wait
    /// for the ledger once more.
    pub fn wake(&mut self, queue: &mut RunQueue) {
        if !self.probes.is_in_round() {
            self.woken.append(&mut self.round_waiters);
        }
        for session in self.woken.drain(..).rev() {
            queue.push_next(session);
        }
    }

    /// The latest event of `/events`, rendered now unless there is a fresh one.
    pub fn fresh_event(&mut self, now: Now) -> Rc<[u8]> {
        if let Some(event) = self.feed.latest(now) {
            return event;
        }
        self.publish(now);
        self.feed.latest(now).expect("it was just published")
    }

    /// Renders the figures for all listeners, and wakes them.
    pub fn publish(&mut self, now: Now) {
        let stats = stats::render(&self.view(now));
        let listeners = self.feed.publish(stats.as_bytes(), now);
        self.woken.extend(listeners);
    }

    /// Whether the stream of figures that `request` opened, with a root key if one was needed, may go on.
    pub fn may_listen(&self, request: &Request) -> bool {
        let settings = &self.site.settings;
        let counts = |client| settings.enable_key_validation && self.clients.is_root(client);
        self.phase == Phase::Serving
            && settings.enable_json
            && request
                .peer
                .is_some_and(|peer| self.site.allows_address(peer.address, peer.is_loopback))
            && request.client.is_none_or(counts)
    }

    /// Begins a stop. No further event will come: listeners that were not woken would hold it up until its deadline.
    pub fn drain(&mut self, now: Now) {
        self.phase = Phase::Draining { since: now.instant };
        self.woken.append(&mut self.feed.take_listeners());
    }

    /// Whether probes may begin. During a stop a round that somebody awaits goes on; nothing else is worth a probe.
    pub fn begins_probes(&self) -> bool {
        match self.phase {
            Phase::Serving => true,
            Phase::Draining { .. } => self.probes.is_in_round(),
        }
    }

    /// Records the outcome of a try, and logs it if it changes whether the key can serve. The permit is released later,
    /// once the answer's body has ended too.
    pub fn learn(&mut self, request: &Request, permit: &Permit, outcome: Outcome, now: Now) {
        let key = permit.key();
        let before = self.keyring.condition(key, now);
        self.tell_policy(request, permit, outcome, now);
        let after = self.keyring.condition(key, now);
        if after != before {
            let (platform, keyring) = (&request.route().platform.name, &self.keyring);
            let label = keyring.label(key);
            let what = keyring.error(key, now).unwrap_or("it works");
            let level = match after {
                Condition::Usable => log::Level::Info,
                Condition::Cooling | Condition::Unhealthy => log::Level::Warn,
            };
            let preview = keyring.preview(key);
            log::log!(
                level,
                "{platform}: key {label} ({preview}) is {after} now: {what}"
            );
        }
    }

    fn tell_policy(&mut self, request: &Request, permit: &Permit, outcome: Outcome, now: Now) {
        let key = permit.key();
        if let Role::Probe(_) = request.role {
            let answered = !matches!(
                outcome,
                Outcome::NetworkFailure { .. } | Outcome::Timeout { .. } | Outcome::Canceled
            );
            self.keyring.learn_by_probe(permit, outcome, now);
            self.probes.judged(key, answered, now);
            return;
        }
        match &outcome {
            Outcome::Rejected { .. } => self.probes.on_unhealthy(key, now),
            Outcome::Forbidden => self.probes.on_doubt(key, now),
            Outcome::Answered
            | Outcome::RateLimited { .. }
            | Outcome::ServerError { .. }
            | Outcome::NetworkFailure { .. }
            | Outcome::Timeout { .. }
            | Outcome::Canceled => {}
        }
        self.keyring.learn(permit, outcome, now);
    }

    /// The session that probed `key` ends.
    pub fn end_probe(&mut self, key: KeyId, now: Now) {
        let is_unhealthy = self.keyring.is_unhealthy(key);
        self.probes.done(key, is_unhealthy, now);
    }

    /// As [`Core::learn`], at the end of a try: releases the permit as well.
    pub fn settle(&mut self, request: &Request, permit: Permit, outcome: Outcome, now: Now) {
        self.learn(request, &permit, outcome, now);
        permit.release();
    }

    /// What pages show.
    pub fn view(&mut self, now: Now) -> View<'_> {
        self.enter_finished();
        View {
            site: &self.site,
            clients: &self.clients,
            keyring: &self.keyring,
            figures: &self.figures,
            connections: self.connections,
            retry_memory_bytes: self.retry_memory.used(),
            config_error: self.config_error.as_deref(),
            started: self.started,
            now,
        }
    }

    /// The value of `Date` (RFC 9110 section 5.6.7), formatted at most once a second.
    pub fn date(&mut self, now: Now) -> &[u8] {
        if self.date.unix_seconds != now.unix_seconds() {
            let time = UNIX_EPOCH + Duration::from_secs(now.unix_seconds());
            self.date.unix_seconds = now.unix_seconds();
            self.date.text = Text::new(&httpdate::fmt_http_date(time));
        }
        self.date.text.as_bytes()
    }
}

#[derive(Default)]
struct Date {
    unix_seconds: u64,
    text: Text<32>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::testing::Folder;
    use crate::exchange::testing::{self, PLATFORM, core, now, request};
    use crate::policy::testing::rejected;

    #[test]
    fn keys_that_another_process_found_unhealthy_are_probed() {
        let begun = now().after(Duration::from_secs(1));
        for is_probed in [true, false] {
            let folder = Folder::new();
            let [mut ours, mut theirs] = [1, 2].map(|writer| {
                let mut core = core("{}", PLATFORM);
                let path = folder.at("usage.journal");
                let (clients, keyring) = (&mut core.clients, &mut core.keyring);
                let opened = Ledger::open(&path, writer, clients, keyring, begun);
                core.ledger = opened.expect("it is a journal").0;
                if is_probed {
                    // The probe that every new key gets.
                    let (_, key) = core.probes.next(begun).expect("it is due");
                    core.probes.judged(key, true, begun);
                    core.end_probe(key, begun);
                }
                core
            });
            assert_eq!(ours.probes.deadline().is_none(), is_probed);
            let permit = theirs.keyring.permit(KeyId(0), begun);
            theirs.keyring.learn(&permit, rejected(), begun);
            permit.release();
            theirs.write_ledger(begun);
            let later = begun.after(Duration::from_secs(1));
            ours.look_at_ledger(later);
            assert!(ours.keyring.is_unhealthy(KeyId(0)));
            assert!(ours.probes.deadline().is_some(), "it may be well again");
            let begins = ours.probes.next(later).is_some();
            assert_eq!(begins, !is_probed, "what is due stays so");
        }
    }

    #[test]
    fn a_key_that_has_gone_counts_nothing_that_a_reload_would_forget() {
        let mut core = core("{}", PLATFORM);
        for is_listed in [true, false] {
            if !is_listed {
                core.keyring.reload(&[("p", &[])]);
            }
            let mut request = request(&mut core);
            (request.route, request.key) = (Some(0), Some(KeyId(0)));
            core.finish(request, End::answered(200), now());
            core.enter_finished();
        }
        let keys: Vec<Option<u32>> = core.figures.series().map(|(id, _)| id.key).collect();
        assert_eq!(keys, [None, Some(0)]);
    }

    #[test]
    fn a_former_configuration_goes_with_its_last_request() {
        let mut core = core("{}", PLATFORM);
        let [done, under_way] = [request(&mut core), request(&mut core)];
        core.finish(done, End::answered(200), now());
        core.enter_finished();
        let former = Rc::downgrade(&core.site);
        let new = testing::core(r#"{"retry_memory_bytes": 1000}"#, PLATFORM);
        core.take_site(new.site, now());
        assert_eq!(core.retry_memory.max, 1000);
        assert!(former.upgrade().is_some(), "a request still goes by it");
        core.finish(under_way, End::answered(200), now());
        core.enter_finished();
        assert!(former.upgrade().is_none());
    }

    #[test]
    fn a_stop_wakes_who_listens() {
        let mut core = core("{}", PLATFORM);
        core.feed.listen(3);
        core.drain(now());
        let mut queue = RunQueue::default();
        core.wake(&mut queue);
        assert_eq!(queue.pop_second(), Some(3));
    }
}
