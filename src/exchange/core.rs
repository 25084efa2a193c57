//! What all exchanges share: the configuration in force, the policy's state, memory, ids, figures.

use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use crate::base::buffer::BlockPool;
use crate::base::ids::Ids;
use crate::base::now::Now;
use crate::base::text::Text;
use crate::figures::Figures;
use crate::policy::access::Clients;
use crate::policy::keyring::{Keyring, Outcome, Permit};
use crate::policy::probes::{Found, Probes};
use crate::service::pages::View;
use crate::site::Site;

use super::End;
use super::request::{Request, Role};
use super::upload::RetryMemory;

/// Requests whose memory is kept for the next ones.
const SPARE_REQUESTS_MAX: usize = 256;

/// Whether new requests are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Serving,
    /// A stop was asked for: requests in flight are the last ones.
    Draining,
}

/// The state that every exchange may touch during its turn.
pub struct Core {
    pub site: Rc<Site>,
    pub phase: Phase,
    pub clients: Clients,
    pub keyring: Keyring,
    pub probes: Probes,
    pub figures: Figures,
    pub ids: Ids,
    pub blocks: BlockPool,
    pub retry_memory: RetryMemory,
    pub started: Now,
    /// Why the newest configuration is not in force.
    pub config_error: Option<String>,
    /// Memory for a head while it is written anew.
    pub draft: Vec<u8>,
    spare_requests: Vec<Box<Request>>,
    date: Date,
}

impl Core {
    pub fn new(site: Rc<Site>, clients: Clients, keyring: Keyring, seed: u64, now: Now) -> Core {
        let mut probes = Probes::default();
        probes.reload(&site.probed_keys(), now);
        let max = site.settings.retry_memory_bytes;
        Core {
            site,
            phase: Phase::Serving,
            clients,
            keyring,
            probes,
            figures: Figures::default(),
            ids: Ids::new(seed),
            blocks: BlockPool::default(),
            retry_memory: RetryMemory { used: 0, max },
            started: now,
            config_error: None,
            draft: Vec::new(),
            spare_requests: Vec::new(),
            date: Date::default(),
        }
    }

    /// A new request's facts, in memory that a former one has left.
    pub fn new_request(&mut self, role: Role, now: Now) -> Box<Request> {
        let request = Request::new(Rc::clone(&self.site), role, self.ids.request_id(), now);
        match self.spare_requests.pop() {
            Some(mut spare) => {
                *spare = request;
                spare
            }
            None => Box::new(request),
        }
    }

    /// Takes a request's memory back.
    fn recycle(&mut self, request: Box<Request>) {
        if self.spare_requests.len() < SPARE_REQUESTS_MAX {
            self.spare_requests.push(request);
        }
    }

    /// Writes a request's line into the figures and takes its memory back.
    pub fn finish(&mut self, request: Box<Request>, end: End, now: Now) {
        let _ = (end, now);
        self.recycle(request);
    }

    /// Takes note of what became of a try. The permit is released when the answer's body has ended, too.
    pub fn judge(&mut self, request: &Request, permit: &Permit, outcome: Outcome, now: Now) {
        let period = Duration::from_secs(request.site.settings.unhealthy_key_retry_minutes * 60);
        let key = permit.key();
        if let Role::Probe(_) = request.role {
            let reached = !matches!(
                outcome,
                Outcome::NetworkFailure { .. } | Outcome::Timeout { .. } | Outcome::Canceled
            );
            self.keyring.judge_probe(permit, outcome, now);
            let found = match (reached, self.keyring.is_unhealthy(key)) {
                (false, _) => Found::Unreachable,
                (true, true) => Found::Unhealthy,
                (true, false) => Found::Usable,
            };
            self.probes.done(key, found, period, now);
            return;
        }
        match &outcome {
            Outcome::Rejected { .. } => self.probes.on_unhealthy(key, period, now),
            Outcome::Forbidden => self.probes.on_doubt(key, now),
            Outcome::Answered
            | Outcome::RateLimited { .. }
            | Outcome::ServerError { .. }
            | Outcome::NetworkFailure { .. }
            | Outcome::Timeout { .. }
            | Outcome::Canceled => {}
        }
        self.keyring.judge(permit, outcome, now);
    }

    /// As [`Core::judge`], at the end of a try.
    pub fn settle(&mut self, request: &Request, permit: Permit, outcome: Outcome, now: Now) {
        self.judge(request, &permit, outcome, now);
        self.keyring.release(permit);
    }

    /// What pages show.
    pub fn view(&self, now: Now) -> View<'_> {
        View {
            site: &self.site,
            keyring: &self.keyring,
            config_error: self.config_error.as_deref(),
            started: self.started,
            now,
        }
    }

    /// The value of `Date` (RFC 9110 section 5.6.7), written once a second.
    pub fn date(&mut self, now: Now) -> &str {
        if self.date.unix_seconds != now.unix_seconds() {
            let time = UNIX_EPOCH + Duration::from_secs(now.unix_seconds());
            self.date.unix_seconds = now.unix_seconds();
            self.date.text = Text::new(&httpdate::fmt_http_date(time));
        }
        self.date.text.as_str()
    }
}

#[derive(Default)]
struct Date {
    unix_seconds: u64,
    text: Text<32>,
}
