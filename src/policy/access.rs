//! Client keys: which one was shown, and whether it may pass now.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;

use subtle::ConstantTimeEq;

use super::digest::{Digest, KeyLabel};
use super::limits::{DAY_SECONDS, HOUR_SECONDS, Window, latest_unix_ms};
use crate::base::client::ClientSpec;
use crate::base::now::Now;
use crate::base::secret::Secret;
use crate::base::text::Text;

/// The key that the shipped `key.json` holds: accepted from this machine only.
pub const SAMPLE_KEY: &str = "root_key";

/// A client key's number; it stays the same as long as the key is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub u32);

/// All client keys and what they have used.
#[derive(Default)]
pub struct Clients {
    clients: Vec<Client>,
    by_digest: HashMap<Digest, ClientId>,
    /// Each key of the present configuration with the hash of its text, in the order of the hashes.
    by_hash: Vec<(u64, ClientId)>,
    /// The hash's seed. It is secret, so that the time that a search in `by_hash` takes reveals nothing about the keys.
    seed: RandomState,
}

struct Client {
    spec: ClientSpec,
    digest: Digest,
    key_label: KeyLabel,
    label: Rc<str>,
    is_sample: bool,
    /// Whether the present configuration has it. Numbers are never reused for other keys, since figures refer to them.
    listed: bool,
    used: Used,
}

/// What a client key has used of its limits: requests in the running hour and day.
#[derive(Clone, Copy, Default)]
pub struct Used {
    pub hour: Window,
    pub day: Window,
    /// When its last request was admitted.
    pub last_unix_ms: u64,
}

/// What is left of the limit that is closer to being used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub limit: u64,
    pub remaining: u64,
    pub resets_in_seconds: u64,
}

/// What a client key has used and may use, as pages show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub day: WindowUsage,
    pub hour: WindowUsage,
    pub cooldown_until_unix_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowUsage {
    /// 0 for none.
    pub limit: u64,
    pub used: u64,
    pub resets_at_unix_seconds: u64,
}

/// What a client key has used of its limits, as it is stored and shared: the numbers of an hour and a day since 1970
/// and the requests that count in each. Several records are added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    pub client: Digest,
    /// When the last of these requests was admitted.
    pub unix_ms: u64,
    pub hour: u32,
    pub hour_used: u32,
    pub day: u32,
    pub day_used: u32,
}

/// Why a known key may not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    SampleKey,
    KeyExpired,
    PlatformNotAllowed,
    Cooldown {
        retry_after_seconds: u64,
    },
    HourlyLimit {
        limit: u64,
        retry_after_seconds: u64,
    },
    DailyLimit {
        limit: u64,
        retry_after_seconds: u64,
    },
}

impl Clients {
    pub fn new(specs: Vec<ClientSpec>) -> Clients {
        let mut clients = Clients::default();
        clients.reload(specs);
        clients
    }

    /// Takes a new list; a key that stays keeps what it has used. Returns those that were never known before.
    pub fn reload(&mut self, specs: Vec<ClientSpec>) -> Vec<Digest> {
        let mut added = Vec::new();
        for client in &mut self.clients {
            client.listed = false;
        }
        for spec in specs {
            let digest = Digest::of(spec.key.expose().as_bytes());
            match self.by_digest.get(&digest) {
                Some(id) => {
                    let client = &mut self.clients[id.0 as usize];
                    client.label = label(&spec, &digest);
                    client.spec = spec;
                    client.listed = true;
                }
                None => {
                    let id = ClientId(self.clients.len() as u32);
                    self.by_digest.insert(digest, id);
                    self.clients.push(Client::new(spec, digest));
                    added.push(digest);
                }
            }
        }
        self.by_hash.clear();
        for (place, client) in self.clients.iter_mut().enumerate() {
            match client.listed {
                true => {
                    let hash = self.seed.hash_one(client.spec.key.expose().as_bytes());
                    self.by_hash.push((hash, ClientId(place as u32)));
                }
                false => client.forget_key(),
            }
        }
        self.by_hash.sort_by_key(|(hash, _)| *hash);
        added
    }

    /// The client whose key was shown. Only a key with the same hash is compared, and in constant time.
    pub fn identify(&self, shown: &[u8]) -> Option<ClientId> {
        let hash = self.seed.hash_one(shown);
        let from = self.by_hash.partition_point(|(other, _)| *other < hash);
        let alike = self.by_hash[from..].iter();
        let mut alike = alike.take_while(|(other, _)| *other == hash);
        let (_, id) = alike.find(|(_, id)| {
            let key = self.client(*id).spec.key.expose();
            bool::from(key.as_bytes().ct_eq(shown))
        })?;
        Some(*id)
    }

    /// Admits a request of `id` for `platform` and counts it, or says why not. Returns what its limits leave, if it has any.
    ///
    /// # Errors
    /// The first refusal that applies, in the order of the checks.
    pub fn admit(
        &mut self,
        id: ClientId,
        platform: &str,
        peer_is_loopback: bool,
        now: Now,
    ) -> Result<Option<Quota>, Refusal> {
        self.clients[id.0 as usize].admit(platform, peer_is_loopback, now)
    }

    /// The request that was just admitted, in the form in which it is stored.
    pub fn admission(&self, id: ClientId) -> Spent {
        let client = self.client(id);
        client.used.spent(client.digest).times(1)
    }

    /// Takes back what was counted elsewhere, in advance, for requests that did not come.
    pub fn take_back(&mut self, unused: &Spent, now: Now) {
        if let Some(id) = self.by_digest.get(&unused.client) {
            self.clients[id.0 as usize].used.take(unused, now);
        }
    }

    /// Adds what was stored, or admitted elsewhere. Nothing is added for an unknown key.
    pub fn restore(&mut self, spent: &Spent, now: Now) {
        if let Some(id) = self.by_digest.get(&spent.client) {
            self.clients[id.0 as usize].used.add(spent, now);
        }
    }

    /// Whether the present configuration has it as a root key.
    pub fn is_root(&self, id: ClientId) -> bool {
        let client = self.client(id);
        client.listed && client.spec.is_root
    }

    /// Whether it is [`SAMPLE_KEY`].
    pub fn is_sample(&self, id: ClientId) -> bool {
        self.client(id).is_sample
    }

    pub fn name(&self, id: ClientId) -> Option<&str> {
        self.client(id).spec.name.as_deref()
    }

    pub fn key_label(&self, id: ClientId) -> &KeyLabel {
        &self.client(id).key_label
    }

    /// What the client is called on every page, never its key. Others may have the same name.
    pub fn label(&self, id: ClientId) -> &Rc<str> {
        &self.client(id).label
    }

    /// Whether the present configuration has it.
    pub fn is_listed(&self, id: ClientId) -> bool {
        self.client(id).listed
    }

    /// The keys of the present configuration.
    pub fn ids(&self) -> impl Iterator<Item = ClientId> + '_ {
        let listed = self
            .clients
            .iter()
            .enumerate()
            .filter(|(_, client)| client.listed);
        listed.map(|(place, _)| ClientId(place as u32))
    }

    /// A root key has no limits and no pause, whatever else is configured for it.
    pub fn usage(&self, id: ClientId, now: Now) -> Usage {
        let client = self.client(id);
        let is_bound = !client.spec.is_root;
        let window = |mut window: Window, seconds, limit| {
            window.roll(seconds, now.unix_seconds());
            WindowUsage {
                limit: if is_bound { limit } else { 0 },
                used: window.used,
                resets_at_unix_seconds: window.ends_at(seconds),
            }
        };
        Usage {
            day: window(client.used.day, DAY_SECONDS, client.spec.daily_limit),
            hour: window(client.used.hour, HOUR_SECONDS, client.spec.hourly_limit),
            cooldown_until_unix_ms: client
                .pause_left_ms(now)
                .filter(|_| is_bound)
                .map(|left| now.unix_ms + left),
        }
    }

    fn client(&self, id: ClientId) -> &Client {
        &self.clients[id.0 as usize]
    }
}

/// The client's name, or else its key's label.
fn label(spec: &ClientSpec, digest: &Digest) -> Rc<str> {
    match &spec.name {
        Some(name) => name.as_str().into(),
        None => digest.label().as_str().into(),
    }
}

impl Client {
    fn new(spec: ClientSpec, digest: Digest) -> Client {
        Client {
            is_sample: spec.key.expose() == SAMPLE_KEY,
            key_label: digest.label(),
            label: label(&spec, &digest),
            spec,
            digest,
            listed: true,
            used: Used::default(),
        }
    }

    /// A removed key is not kept in memory, nor what it allowed. Its requests in flight and what it has used keep its
    /// name.
    fn forget_key(&mut self) {
        self.spec.key = Secret::new(String::new());
        self.spec.platforms = Some(Vec::new());
    }

    fn admit(
        &mut self,
        platform: &str,
        peer_is_loopback: bool,
        now: Now,
    ) -> Result<Option<Quota>, Refusal> {
        if self.is_sample && !peer_is_loopback {
            return Err(Refusal::SampleKey);
        }
        let seconds = now.unix_seconds();
        self.used.roll(now);
        if self.spec.is_root {
            self.used.count(now);
            return Ok(None);
        }
        if self
            .spec
            .expires_unix_seconds
            .is_some_and(|end| end <= seconds)
        {
            return Err(Refusal::KeyExpired);
        }
        if let Some(allowed) = &self.spec.platforms
            && !allowed.iter().any(|name| name == platform)
        {
            return Err(Refusal::PlatformNotAllowed);
        }
        self.check_limits(now)?;
        self.used.count(now);
        Ok(self.quota(seconds))
    }

    fn check_limits(&self, now: Now) -> Result<(), Refusal> {
        let seconds = now.unix_seconds();
        let left = |window: &Window, length, limit: u64| {
            let is_used_up = limit > 0 && window.used >= limit;
            is_used_up.then(|| window.ends_at(length).saturating_sub(seconds))
        };
        let pause = self
            .pause_left_ms(now)
            .map(|left_ms| left_ms.div_ceil(1000));
        let hour = left(&self.used.hour, HOUR_SECONDS, self.spec.hourly_limit);
        let day = left(&self.used.day, DAY_SECONDS, self.spec.daily_limit);
        // Whoever waits for the last of them is not refused for another one then.
        let Some(retry_after_seconds) = pause.max(hour).max(day) else {
            return Ok(());
        };
        Err(match (pause, hour) {
            (Some(_), _) => Refusal::Cooldown {
                retry_after_seconds,
            },
            (None, Some(_)) => Refusal::HourlyLimit {
                limit: self.spec.hourly_limit,
                retry_after_seconds,
            },
            (None, None) => Refusal::DailyLimit {
                limit: self.spec.daily_limit,
                retry_after_seconds,
            },
        })
    }

    /// How much is left of the pause after its last request. More than the whole pause can be left only if the clock
    /// was set back: then nobody is locked out.
    fn pause_left_ms(&self, now: Now) -> Option<u64> {
        let pause_ms = self.spec.cooldown_seconds * 1000;
        let left_ms = (self.used.last_unix_ms + pause_ms).checked_sub(now.unix_ms)?;
        (1..=pause_ms).contains(&left_ms).then_some(left_ms)
    }

    fn quota(&self, unix_seconds: u64) -> Option<Quota> {
        let of = |window: &Window, length, limit: u64| {
            (limit > 0).then(|| Quota {
                limit,
                remaining: limit.saturating_sub(window.used),
                resets_in_seconds: window.ends_at(length).saturating_sub(unix_seconds),
            })
        };
        let hour = of(&self.used.hour, HOUR_SECONDS, self.spec.hourly_limit);
        let day = of(&self.used.day, DAY_SECONDS, self.spec.daily_limit);
        hour.into_iter()
            .chain(day)
            .min_by_key(|quota| (quota.remaining, Reverse(quota.resets_in_seconds)))
    }
}

impl Used {
    /// Moves on to the present hour and day.
    pub fn roll(&mut self, now: Now) {
        self.hour.roll(HOUR_SECONDS, now.unix_seconds());
        self.day.roll(DAY_SECONDS, now.unix_seconds());
    }

    /// Counts a request in the present hour and day.
    fn count(&mut self, now: Now) {
        self.hour.used += 1;
        self.day.used += 1;
        self.last_unix_ms = now.unix_ms;
    }

    /// Adds what was stored, or admitted elsewhere.
    pub fn add(&mut self, spent: &Spent, now: Now) {
        let (hour, day, seconds) = (spent.hour.into(), spent.day.into(), now.unix_seconds());
        self.hour
            .add(HOUR_SECONDS, hour, spent.hour_used.into(), seconds);
        self.day
            .add(DAY_SECONDS, day, spent.day_used.into(), seconds);
        self.last_unix_ms = latest_unix_ms(self.last_unix_ms, spent.unix_ms, now.unix_ms);
    }

    /// Takes back what was counted in advance for requests that did not come.
    pub fn take(&mut self, unused: &Spent, now: Now) {
        let (hour, day, seconds) = (unused.hour.into(), unused.day.into(), now.unix_seconds());
        self.hour
            .take(HOUR_SECONDS, hour, unused.hour_used.into(), seconds);
        self.day
            .take(DAY_SECONDS, day, unused.day_used.into(), seconds);
    }

    /// The same in the form in which it is stored, for `client`. Numbers that are too large are capped.
    pub fn spent(&self, client: Digest) -> Spent {
        let fit = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Spent {
            client,
            unix_ms: self.last_unix_ms,
            hour: fit(self.hour.index()),
            hour_used: fit(self.hour.used),
            day: fit(self.day.index()),
            day_used: fit(self.day.used),
        }
    }
}

impl Spent {
    /// Both in one, if they are of the same key, hour and day.
    pub fn join(&self, later: &Spent) -> Option<Spent> {
        let place = |spent: &Spent| (spent.client, spent.hour, spent.day);
        (place(self) == place(later)).then(|| Spent {
            unix_ms: self.unix_ms.max(later.unix_ms),
            hour_used: self.hour_used.saturating_add(later.hour_used),
            day_used: self.day_used.saturating_add(later.day_used),
            ..*self
        })
    }

    /// This many requests of the same hour and day.
    pub fn times(&self, requests: u32) -> Spent {
        Spent {
            hour_used: requests,
            day_used: requests,
            ..*self
        }
    }
}

impl Quota {
    /// The time until the reset as OpenAI writes it: `1h2m3s`, `6m0s`, `59s`.
    pub fn reset_text(&self) -> Text<32> {
        let seconds = self.resets_in_seconds;
        let parts = [
            (seconds / 3600, "h"),
            (seconds / 60 % 60, "m"),
            (seconds % 60, "s"),
        ];
        let first = parts.iter().position(|(number, _)| *number > 0);
        let mut text = Text::default();
        for (number, unit) in &parts[first.unwrap_or(2)..] {
            // Even the longest text fits.
            let _ = text.write_str(itoa::Buffer::new().format(*number));
            let _ = text.write_str(unit);
        }
        text
    }
}

#[cfg(test)]
mod tests;
