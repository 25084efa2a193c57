//! Which of a platform's keys serves the next try, and what became of each. It is told outcomes and time.

mod standing;

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::digest::{Digest, KeyLabel};
use crate::base::now::Now;
use crate::base::secret::Secret;

pub use standing::Standing;

/// A rate limit without a time cools a key for this long, doubling up to the maximum.
const RATE_LIMIT_COOLING: Duration = Duration::from_secs(30);
/// Failures in a row cool a key for this long, doubling up to the maximum.
const FAILURE_COOLING: Duration = Duration::from_secs(10);
const COOLING_MAX: Duration = Duration::from_secs(600);
/// So many failures in a row cool a key.
const FAILURES_MAX: u32 = 5;
/// A platform's own time is believed up to here: a date far off is likelier a wrong clock than a plan.
const STATED_WAIT_MAX: Duration = Duration::from_secs(24 * 3600);

const FORBIDDEN: &str = "403: the platform forbids it";
const RATE_LIMITED: &str = "429: rate-limited";

/// A platform's number; it stays the same as long as the platform is configured.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct PlatformId(pub u32);

/// A key's number; it stays the same as long as its platform has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct KeyId(pub u32);

/// All platforms' keys.
#[derive(Default)]
pub struct Keyring {
    rings: Vec<Ring>,
    keys: Vec<Key>,
    /// Keys whose standing has changed since it was last asked for, each change once.
    changed: Vec<KeyId>,
}

struct Ring {
    name: String,
    /// The keys of the present configuration, in its order.
    keys: Vec<KeyId>,
    /// Where the next pick begins.
    next: usize,
}

struct Key {
    platform: PlatformId,
    digest: Digest,
    /// What stands for platform and key where states are kept.
    mark: Digest,
    label: KeyLabel,
    preview: String,
    /// Whether the present configuration has it. Numbers are not given to other keys, since requests in flight and
    /// figures bear them.
    listed: bool,
    health: Health,
    cooling: Option<Cooling>,
    /// How often a rate limit, and failing, have cooled it since its last success.
    rate_limited_times: u32,
    failed_times: u32,
    failures_in_a_row: u32,
    last_error: Option<String>,
    last_check_unix_ms: Option<u64>,
    last_used_unix_ms: Option<u64>,
    /// How long the last probe took.
    probe_ms: Option<u64>,
    in_flight: Rc<Cell<u32>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Health {
    Unknown,
    Healthy,
    Unhealthy { reason: String, since: Instant },
}

#[derive(Clone, Copy, Debug)]
struct Cooling {
    since: Instant,
    until: Instant,
    until_unix_ms: u64,
    cause: Cause,
}

/// Why a key cools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    RateLimited,
    Failing,
}

/// A key's state as pages show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyState {
    Unknown,
    Healthy,
    Cooling { until_unix_ms: u64, cause: Cause },
    Unhealthy,
}

/// Whether a key serves, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Healthy, or not tried yet.
    Usable,
    Cooling,
    Unhealthy,
}

/// The right to use a key for one try. It is judged and released exactly once.
#[must_use]
#[derive(Debug)]
pub struct Permit {
    key: KeyId,
    given_at: Instant,
    /// The key's count; taken out when the permit is released.
    in_flight: Option<Rc<Cell<u32>>>,
}

/// Why no key can serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoKey {
    /// The platform has none.
    NoKeys,
    RateLimited {
        retry_after: Duration,
    },
    NoneHealthy {
        retry_after: Option<Duration>,
    },
}

/// What became of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer that the key has earned: 2xx, 3xx, or a 4xx that is the client's doing.
    Answered,
    /// The platform does not accept the key, and why.
    Rejected {
        reason: String,
    },
    /// 403: the key may be to blame or the request.
    Forbidden,
    /// 429, with the time that the platform gave.
    RateLimited {
        wait: Option<Duration>,
    },
    ServerError {
        status: u16,
    },
    /// No answer: connecting, TLS, DNS, or a connection lost.
    NetworkFailure {
        what: String,
    },
    /// No answer in time.
    Timeout {
        what: &'static str,
    },
    /// Nothing was learnt: the client went away, or it was settled before.
    Canceled,
}

/// What pages show of a key.
#[derive(Clone, Debug)]
pub struct KeyView<'k> {
    pub id: KeyId,
    pub label: KeyLabel,
    pub preview: &'k str,
    pub state: KeyState,
    pub error: Option<&'k str>,
    pub last_check_unix_ms: Option<u64>,
    pub last_used_unix_ms: Option<u64>,
    /// How long the last probe took.
    pub probe_ms: Option<u64>,
    pub in_flight: u32,
}

impl Keyring {
    pub fn new() -> Keyring {
        Keyring::default()
    }

    /// Takes a new configuration: names and keys of all platforms. States stay for what stays. The numbers are
    /// returned in the same order.
    pub fn reload(&mut self, platforms: &[(&str, &[Secret])]) -> Vec<(PlatformId, Vec<KeyId>)> {
        for ring in &mut self.rings {
            ring.keys.clear();
        }
        let known: Vec<bool> = self.keys.iter().map(|key| key.listed).collect();
        for key in &mut self.keys {
            key.listed = false;
        }
        let mut ids = Vec::new();
        for (name, secrets) in platforms {
            let platform = self.platform(name);
            let keys: Vec<KeyId> = secrets
                .iter()
                .map(|secret| self.key_of(platform, secret))
                .collect();
            self.rings[platform.0 as usize].keys.clone_from(&keys);
            ids.push((platform, keys));
        }
        for (place, was_listed) in known.into_iter().enumerate() {
            if self.keys[place].listed && !was_listed {
                // It was gone: nothing of its former life is known.
                self.keys[place].forget();
                self.changed.push(KeyId(place as u32));
            }
        }
        ids
    }

    fn platform(&mut self, name: &str) -> PlatformId {
        let place = self
            .rings
            .iter()
            .position(|ring| ring.name == name)
            .unwrap_or_else(|| {
                self.rings.push(Ring {
                    name: name.to_string(),
                    keys: Vec::new(),
                    next: 0,
                });
                self.rings.len() - 1
            });
        PlatformId(place as u32)
    }

    fn key_of(&mut self, platform: PlatformId, secret: &Secret) -> KeyId {
        let digest = Digest::of(secret.expose().as_bytes());
        let known = |key: &Key| key.platform == platform && key.digest == digest;
        let place = self.keys.iter().position(known).unwrap_or_else(|| {
            let mark = standing::mark(&self.rings[platform.0 as usize].name, &digest);
            self.keys
                .push(Key::new(platform, digest, mark, secret.preview()));
            self.keys.len() - 1
        });
        self.keys[place].listed = true;
        KeyId(place as u32)
    }

    /// Picks the next usable key that is not among `tried`. For a first try (`tried` is empty) there is a way out when
    /// none is usable: keys that cool only because the platform failed are tried all the same, since an outage must
    /// not lock everybody out.
    ///
    /// # Errors
    /// Why there is none, and when there may be one.
    pub fn pick(
        &mut self,
        platform: PlatformId,
        tried: &[KeyId],
        now: Now,
    ) -> Result<Permit, NoKey> {
        let ring = &self.rings[platform.0 as usize];
        let count = ring.keys.len();
        let places = (0..count).map(|offset| (ring.next + offset) % count.max(1));
        let usable = |key: &KeyId| !tried.contains(key) && self.keys[key.0 as usize].is_usable(now);
        if let Some(place) = places.clone().find(|place| usable(&ring.keys[*place])) {
            let key = ring.keys[place];
            self.rings[platform.0 as usize].next = (place + 1) % count;
            return Ok(self.give(key, now));
        }
        match self.first_free_of_failing(platform, now) {
            Some(key) if tried.is_empty() => Ok(self.give(key, now)),
            Some(_) | None => Err(self.why_none(platform, now)),
        }
    }

    /// Whether a key besides those of `tried` could serve now.
    pub fn has_usable(&self, platform: PlatformId, tried: &[KeyId], now: Now) -> bool {
        let keys = &self.rings[platform.0 as usize].keys;
        keys.iter()
            .any(|key| !tried.contains(key) && self.keys[key.0 as usize].is_usable(now))
    }

    /// The right to probe a key, whatever its state.
    pub fn permit_for_probe(&mut self, key: KeyId, now: Now) -> Permit {
        let key_state = &self.keys[key.0 as usize];
        key_state.in_flight.set(key_state.in_flight.get() + 1);
        Permit {
            key,
            given_at: now.instant,
            in_flight: Some(Rc::clone(&key_state.in_flight)),
        }
    }

    /// Takes note of what became of a try. The permit is released when the answer's body has ended, too.
    pub fn judge(&mut self, permit: &Permit, outcome: Outcome, now: Now) {
        self.learn(permit, outcome, now);
    }

    /// As [`Keyring::judge`], for a probe: one that reached nobody says nothing of the key, and a 403 here does.
    pub fn judge_probe(&mut self, permit: &Permit, outcome: Outcome, now: Now) {
        let key = &mut self.keys[permit.key.0 as usize];
        key.probe_ms = Some(now.instant.duration_since(permit.given_at).as_millis() as u64);
        match outcome {
            Outcome::NetworkFailure { .. } | Outcome::Timeout { .. } => {
                key.last_error = Some(outcome.to_string());
                key.last_check_unix_ms = Some(now.unix_ms);
            }
            Outcome::Forbidden => {
                let reason = "403: the platform forbids this key its health check too".to_string();
                self.learn(permit, Outcome::Rejected { reason }, now);
            }
            other => self.learn(permit, other, now),
        }
    }

    /// Takes back a permit whose outcome has been judged.
    pub fn release(&mut self, mut permit: Permit) {
        permit.give_back();
    }

    /// Whether the present configuration has it.
    pub fn is_listed(&self, key: KeyId) -> bool {
        self.keys[key.0 as usize].listed
    }

    pub fn is_unhealthy(&self, key: KeyId) -> bool {
        matches!(self.keys[key.0 as usize].health, Health::Unhealthy { .. })
    }

    pub fn condition(&self, key: KeyId, now: Now) -> Condition {
        let key = &self.keys[key.0 as usize];
        match (&key.health, key.cooling_now(now)) {
            (Health::Unhealthy { .. }, _) => Condition::Unhealthy,
            (Health::Unknown | Health::Healthy, Some(_)) => Condition::Cooling,
            (Health::Unknown | Health::Healthy, None) => Condition::Usable,
        }
    }

    pub fn last_error(&self, key: KeyId) -> Option<&str> {
        self.keys[key.0 as usize].last_error.as_deref()
    }

    pub fn preview(&self, key: KeyId) -> &str {
        &self.keys[key.0 as usize].preview
    }

    pub fn label(&self, key: KeyId) -> KeyLabel {
        self.keys[key.0 as usize].label
    }

    /// What pages show of a platform's keys, in the configuration's order.
    pub fn views(&self, platform: PlatformId, now: Now) -> impl Iterator<Item = KeyView<'_>> {
        let keys = &self.rings[platform.0 as usize].keys;
        keys.iter()
            .map(move |id| self.keys[id.0 as usize].view(*id, now))
    }

    fn give(&mut self, key: KeyId, now: Now) -> Permit {
        self.keys[key.0 as usize].last_used_unix_ms = Some(now.unix_ms);
        self.permit_for_probe(key, now)
    }

    fn first_free_of_failing(&self, platform: PlatformId, now: Now) -> Option<KeyId> {
        let keys = self.rings[platform.0 as usize].keys.iter();
        let failing = keys.filter_map(|id| {
            let cooling = self.keys[id.0 as usize].cooling_now(now)?;
            (cooling.cause == Cause::Failing).then_some((cooling.until, *id))
        });
        failing.min().map(|(_, id)| id)
    }

    fn why_none(&self, platform: PlatformId, now: Now) -> NoKey {
        let keys = &self.rings[platform.0 as usize].keys;
        if keys.is_empty() {
            return NoKey::NoKeys;
        }
        let coolings = || {
            keys.iter()
                .filter_map(|id| self.keys[id.0 as usize].cooling_now(now))
        };
        let first_free = |cause: Option<Cause>| {
            let waits =
                coolings().filter(|cooling| cause.is_none_or(|cause| cooling.cause == cause));
            waits
                .map(|cooling| cooling.until.saturating_duration_since(now.instant))
                .min()
        };
        match first_free(Some(Cause::RateLimited)) {
            Some(retry_after) => NoKey::RateLimited { retry_after },
            None => NoKey::NoneHealthy {
                retry_after: first_free(None),
            },
        }
    }
}

impl Key {
    fn new(platform: PlatformId, digest: Digest, mark: Digest, preview: String) -> Key {
        Key {
            platform,
            mark,
            label: digest.label(),
            digest,
            preview,
            listed: true,
            health: Health::Unknown,
            cooling: None,
            rate_limited_times: 0,
            failed_times: 0,
            failures_in_a_row: 0,
            last_error: None,
            last_check_unix_ms: None,
            last_used_unix_ms: None,
            probe_ms: None,
            in_flight: Rc::new(Cell::new(0)),
        }
    }

    /// Begins anew; what is in flight stays counted.
    fn forget(&mut self) {
        let preview = std::mem::take(&mut self.preview);
        let in_flight = Rc::clone(&self.in_flight);
        *self = Key {
            in_flight,
            ..Key::new(self.platform, self.digest, self.mark, preview)
        };
    }

    /// An unhealthy key does not cool: no time makes it well.
    fn cooling_now(&self, now: Now) -> Option<Cooling> {
        match self.health {
            Health::Unhealthy { .. } => None,
            Health::Unknown | Health::Healthy => {
                self.cooling.filter(|cooling| now.instant < cooling.until)
            }
        }
    }

    fn is_usable(&self, now: Now) -> bool {
        match self.health {
            Health::Unhealthy { .. } => false,
            Health::Unknown | Health::Healthy => self.cooling_now(now).is_none(),
        }
    }

    fn learn(&mut self, outcome: Outcome, given_at: Instant, now: Now) {
        if outcome.breaks_a_row_of_failures() {
            self.failures_in_a_row = 0;
        }
        match outcome {
            Outcome::Canceled => return,
            Outcome::Answered => self.succeed(given_at),
            Outcome::Rejected { reason } => {
                self.last_error = Some(reason.clone());
                self.health = Health::Unhealthy {
                    reason,
                    since: now.instant,
                };
            }
            Outcome::Forbidden => self.last_error = Some(FORBIDDEN.to_string()),
            Outcome::RateLimited { wait } => self.on_rate_limit(wait, given_at, now),
            Outcome::ServerError { .. } => self.on_failure(outcome.to_string(), given_at, now),
            Outcome::NetworkFailure { what } => self.on_failure(what, given_at, now),
            Outcome::Timeout { what } => self.on_failure(what.to_string(), given_at, now),
        }
        self.last_check_unix_ms = Some(now.unix_ms);
    }

    /// An answer to a try that began before the present cooling does not end it: it left before the limit was met.
    fn succeed(&mut self, given_at: Instant) {
        match self.health {
            // It was asked before the platform refused the key.
            Health::Unhealthy { since, .. } if given_at < since => return,
            Health::Unhealthy { .. } | Health::Unknown | Health::Healthy => {}
        }
        self.health = Health::Healthy;
        if self.cooling.is_none_or(|cooling| cooling.since <= given_at) {
            self.cooling = None;
            self.rate_limited_times = 0;
            self.failed_times = 0;
            self.last_error = None;
        }
    }

    fn on_rate_limit(&mut self, wait: Option<Duration>, given_at: Instant, now: Now) {
        self.last_error = Some(RATE_LIMITED.to_string());
        if let (Some(cooling), None) = (self.cooling, wait)
            && given_at <= cooling.since
        {
            // One of many that were under way together: they meet one limit, not many.
            return;
        }
        let wait = match wait {
            Some(wait) => wait.min(STATED_WAIT_MAX),
            None => {
                self.rate_limited_times += 1;
                doubled(RATE_LIMIT_COOLING, self.rate_limited_times)
            }
        };
        self.cool(wait, Cause::RateLimited, now);
    }

    fn on_failure(&mut self, what: String, given_at: Instant, now: Now) {
        self.last_error = Some(what);
        let is_waiting =
            self.cooling_now(now).map(|cooling| cooling.cause) == Some(Cause::RateLimited);
        let is_old = self
            .cooling
            .is_some_and(|cooling| given_at <= cooling.since);
        if is_old || is_waiting {
            // A probe that fails does not free a key before the time that its platform gave.
            return;
        }
        self.failures_in_a_row += 1;
        if self.failures_in_a_row >= FAILURES_MAX {
            self.failed_times += 1;
            self.cool(
                doubled(FAILURE_COOLING, self.failed_times),
                Cause::Failing,
                now,
            );
        }
    }

    fn cool(&mut self, wait: Duration, cause: Cause, now: Now) {
        self.cooling = Some(Cooling {
            since: now.instant,
            until: now.instant + wait,
            until_unix_ms: now.unix_ms + wait.as_millis() as u64,
            cause,
        });
    }

    fn view(&self, id: KeyId, now: Now) -> KeyView<'_> {
        let state = match (&self.health, self.cooling_now(now)) {
            (Health::Unhealthy { .. }, _) => KeyState::Unhealthy,
            (_, Some(cooling)) => KeyState::Cooling {
                until_unix_ms: cooling.until_unix_ms,
                cause: cooling.cause,
            },
            (Health::Unknown, None) => KeyState::Unknown,
            (Health::Healthy, None) => KeyState::Healthy,
        };
        KeyView {
            id,
            label: self.label,
            preview: &self.preview,
            state,
            error: self.last_error.as_deref(),
            last_check_unix_ms: self.last_check_unix_ms,
            last_used_unix_ms: self.last_used_unix_ms,
            probe_ms: self.probe_ms,
            in_flight: self.in_flight.get(),
        }
    }
}

/// `base` the first time, doubled each further time, up to the maximum.
fn doubled(base: Duration, times: u32) -> Duration {
    let factor = 1u32 << times.saturating_sub(1).min(10);
    (base * factor).min(COOLING_MAX)
}

impl Permit {
    pub fn key(&self) -> KeyId {
        self.key
    }

    fn give_back(&mut self) {
        if let Some(in_flight) = self.in_flight.take() {
            in_flight.set(in_flight.get() - 1);
        }
    }
}

impl Drop for Permit {
    /// Only a defect drops a permit that was not released: while it unwinds, the count at least stays right.
    fn drop(&mut self) {
        debug_assert!(
            self.in_flight.is_none() || std::thread::panicking(),
            "a permit is released, not dropped"
        );
        self.give_back();
    }
}

impl Outcome {
    /// Whether the platform spoke as one that works, whatever it said.
    fn breaks_a_row_of_failures(&self) -> bool {
        match self {
            Outcome::Answered
            | Outcome::Rejected { .. }
            | Outcome::Forbidden
            | Outcome::RateLimited { .. } => true,
            Outcome::ServerError { .. }
            | Outcome::NetworkFailure { .. }
            | Outcome::Timeout { .. }
            | Outcome::Canceled => false,
        }
    }

    /// Whether another key may do better.
    pub fn is_for_another_key(&self) -> bool {
        match self {
            Outcome::Answered | Outcome::Canceled => false,
            Outcome::Rejected { .. }
            | Outcome::Forbidden
            | Outcome::RateLimited { .. }
            | Outcome::ServerError { .. }
            | Outcome::NetworkFailure { .. }
            | Outcome::Timeout { .. } => true,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Condition::Usable => "usable",
            Condition::Cooling => "cooling",
            Condition::Unhealthy => "unhealthy",
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Answered => out.write_str("answered"),
            Outcome::Rejected { reason } => out.write_str(reason),
            Outcome::Forbidden => out.write_str(FORBIDDEN),
            Outcome::RateLimited { .. } => out.write_str(RATE_LIMITED),
            Outcome::ServerError { status } => write!(out, "{status}: a fault of the platform"),
            Outcome::NetworkFailure { what } => out.write_str(what),
            Outcome::Timeout { what } => out.write_str(what),
            Outcome::Canceled => out.write_str("canceled"),
        }
    }
}

#[cfg(test)]
mod tests;
