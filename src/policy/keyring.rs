//! Which of a platform's keys serves the next try, and what became of each. It is told outcomes and time.

mod key;
mod outcome;
mod standing;

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::digest::{Digest, KeyLabel};
use crate::base::now::Now;
use crate::base::secret::Secret;

use key::{Cooling, Health, Key};
pub use outcome::Outcome;
pub use standing::Standing;

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
    /// Keys by their marks, which identify a key and its platform.
    by_mark: HashMap<Digest, KeyId>,
    /// Keys whose standing has changed since it was last asked for, each change once.
    changed: Vec<KeyId>,
}

struct Ring {
    name: String,
    /// The keys of the present configuration, in its order.
    keys: Vec<KeyId>,
    /// Keys of earlier configurations that had something in flight when they were removed.
    leaving: Vec<KeyId>,
    /// Where the next pick begins.
    next: usize,
}

/// Why a key cools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    RateLimited,
    Failing,
}

/// A key's state as pages show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    Unknown,
    Healthy,
    Cooling { until_unix_ms: u64 },
    Unhealthy,
}

impl KeyState {
    pub const LABELS: [&'static str; 4] = ["unknown", "healthy", "cooling", "unhealthy"];

    pub fn label(self) -> &'static str {
        match self {
            KeyState::Unknown => "unknown",
            KeyState::Healthy => "healthy",
            KeyState::Cooling { .. } => "cooling",
            KeyState::Unhealthy => "unhealthy",
        }
    }
}

/// Whether a key can serve, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Healthy, or not tried yet.
    Usable,
    Cooling,
    Unhealthy,
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

/// The right to use a key for one try. Its outcome is reported and it is released exactly once.
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
    /// The platform accepts none of them or, at a further try, fails with those that it accepts.
    NoneHealthy,
}

/// What pages show of a key.
#[derive(Clone, Debug)]
pub struct KeyView<'k> {
    pub id: KeyId,
    pub label: &'k KeyLabel,
    pub preview: &'k str,
    pub state: KeyState,
    /// Why it cannot be used, or else what went wrong since its last success.
    pub error: Option<&'k str>,
    pub last_check_unix_ms: Option<u64>,
    pub last_used_unix_ms: Option<u64>,
    /// How long the last probe took.
    pub probe_ms: Option<u64>,
    pub in_flight: u32,
}

impl Keyring {
    /// Takes a new configuration: names and keys of all platforms. What stays keeps its state. The numbers are returned
    /// in the same order.
    pub fn reload(&mut self, platforms: &[(&str, &[Secret])]) -> Vec<(PlatformId, Vec<KeyId>)> {
        for ring in &mut self.rings {
            ring.leaving.append(&mut ring.keys);
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
        for ring in &mut self.rings {
            let keys = &self.keys;
            ring.leaving.retain(|id| {
                let key = &keys[id.0 as usize];
                !key.listed && key.in_flight.get() > 0
            });
        }
        for (place, was_listed) in known.into_iter().enumerate() {
            if self.keys[place].listed && !was_listed {
                // It had been removed: its earlier state is forgotten.
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
                    leaving: Vec::new(),
                    next: 0,
                });
                self.rings.len() - 1
            });
        PlatformId(place as u32)
    }

    fn key_of(&mut self, platform: PlatformId, secret: &Secret) -> KeyId {
        let digest = Digest::of(secret.expose().as_bytes());
        let mark = standing::mark(&self.rings[platform.0 as usize].name, &digest);
        let id = *self.by_mark.entry(mark).or_insert_with(|| {
            let key = Key::new(digest.label(), mark, secret.preview());
            self.keys.push(key);
            KeyId((self.keys.len() - 1) as u32)
        });
        self.keys[id.0 as usize].listed = true;
        id
    }

    /// Picks the next usable one of `keys` that is not among `tried`. `keys` are the platform's as the request knows
    /// them: a later configuration may have others. If none is usable, a first try (`tried` is empty) may still use a
    /// key that cools only because the platform failed, since an outage must not lock everybody out.
    ///
    /// # Errors
    /// Why there is none, and when there may be one if that is known.
    pub fn pick(
        &mut self,
        platform: PlatformId,
        keys: &[KeyId],
        tried: &[KeyId],
        now: Now,
    ) -> Result<Permit, NoKey> {
        let count = keys.len();
        let next = self.rings[platform.0 as usize].next;
        let mut places = (0..count).map(|offset| (next + offset) % count.max(1));
        let usable = |id: &KeyId| {
            let key = &self.keys[id.0 as usize];
            // A request overtaken by a reload may begin with a key removed since, but makes no further try with one.
            let is_meant = key.listed || tried.is_empty();
            is_meant && !tried.contains(id) && key.is_usable(now)
        };
        if let Some(place) = places.find(|place| usable(&keys[*place])) {
            self.rings[platform.0 as usize].next = (place + 1) % count;
            return Ok(self.give(keys[place], now));
        }
        match self.first_free_of_failing(keys, now) {
            Some(key) if tried.is_empty() => Ok(self.give(key, now)),
            Some(_) | None => Err(self.why_none(keys, now)),
        }
    }

    /// The right to use this very key, whatever its state: for a probe.
    pub fn permit(&mut self, key: KeyId, now: Now) -> Permit {
        let key_state = &self.keys[key.0 as usize];
        key_state.in_flight.set(key_state.in_flight.get() + 1);
        Permit {
            key,
            given_at: now.instant,
            in_flight: Some(Rc::clone(&key_state.in_flight)),
        }
    }

    /// Records the outcome of a try. The permit is released later, once the answer's body has ended too.
    pub fn learn(&mut self, permit: &Permit, outcome: Outcome, now: Now) {
        let key = &mut self.keys[permit.key.0 as usize];
        let former = key.summary();
        key.learn(outcome, permit.given_at, now);
        if key.summary() != former {
            self.changed.push(permit.key);
        }
    }

    /// As [`Keyring::learn`], for a probe: a missing answer says nothing about the key, whereas a 403 does.
    pub fn learn_by_probe(&mut self, permit: &Permit, outcome: Outcome, now: Now) {
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
            // What a health check asks for is seldom what the platform limits.
            Outcome::Answered if key.is_rate_limited(now) => {
                key.last_check_unix_ms = Some(now.unix_ms);
            }
            other => self.learn(permit, other, now),
        }
    }

    /// Whether the present configuration has it.
    pub fn is_listed(&self, key: KeyId) -> bool {
        self.keys[key.0 as usize].listed
    }

    pub fn is_unhealthy(&self, key: KeyId) -> bool {
        matches!(self.keys[key.0 as usize].health, Health::Unhealthy { .. })
    }

    /// The unhealthy keys of the present configuration.
    pub fn unhealthy(&self) -> impl Iterator<Item = KeyId> {
        let listed = self.rings.iter().flat_map(|ring| &ring.keys).copied();
        listed.filter(|key| self.is_unhealthy(*key))
    }

    pub fn condition(&self, key: KeyId, now: Now) -> Condition {
        let key = &self.keys[key.0 as usize];
        match (&key.health, key.cooling_now(now)) {
            (Health::Unhealthy { .. }, _) => Condition::Unhealthy,
            (Health::Unknown | Health::Healthy, Some(_)) => Condition::Cooling,
            (Health::Unknown | Health::Healthy, None) => Condition::Usable,
        }
    }

    /// Why the key cannot be used, or else what went wrong since its last success.
    pub fn error(&self, key: KeyId, now: Now) -> Option<&str> {
        self.keys[key.0 as usize].error(now)
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

    /// How many of a platform's requests are in flight with keys that its configuration no longer has.
    pub fn in_flight_leaving(&self, platform: PlatformId) -> u32 {
        let leaving = self.rings[platform.0 as usize].leaving.iter();
        leaving
            .map(|key| self.keys[key.0 as usize].in_flight.get())
            .sum()
    }

    fn give(&mut self, key: KeyId, now: Now) -> Permit {
        self.keys[key.0 as usize].last_used_unix_ms = Some(now.unix_ms);
        self.permit(key, now)
    }

    fn first_free_of_failing(&self, keys: &[KeyId], now: Now) -> Option<KeyId> {
        let failing = keys.iter().filter_map(|id| {
            let cooling = self.keys[id.0 as usize].cooling_now(now)?;
            (cooling.cause == Cause::Failing).then_some((cooling.until, *id))
        });
        failing.min().map(|(_, id)| id)
    }

    fn why_none(&self, keys: &[KeyId], now: Now) -> NoKey {
        if keys.is_empty() {
            return NoKey::NoKeys;
        }
        let coolings = keys
            .iter()
            .filter_map(|id| self.keys[id.0 as usize].cooling_now(now));
        let limits = coolings.filter(|cooling| cooling.cause == Cause::RateLimited);
        match limits.map(|limit| limit.until).min() {
            Some(until) => NoKey::RateLimited {
                retry_after: until.saturating_duration_since(now.instant),
            },
            None => NoKey::NoneHealthy,
        }
    }
}

impl Permit {
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// Ends it, once its outcome has been reported.
    pub fn release(mut self) {
        self.give_back();
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

#[cfg(test)]
mod tests;
