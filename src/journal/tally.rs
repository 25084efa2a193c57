//! The sums of a journal's records: usage for each client key, the last state of each platform's key. It knows no file.

use std::collections::BTreeMap;

use super::record::{Record, Scan, USED_BYTES};
use crate::base::now::Now;
use crate::policy::access::{Spent, Used};
use crate::policy::digest::Digest;
use crate::policy::keyring::Standing;
use crate::policy::limits::{DAY_SECONDS, latest_unix_ms};

/// What is older no longer matters: the last use of a client key (cooldowns are shorter), and that a platform rejected
/// a key.
const KEPT_MS: u64 = 7 * DAY_SECONDS * 1000;

/// The assumed size of a record of a platform's key: larger than one with a usual reason.
const KEY_BYTES: usize = 128;

/// The sums and states.
#[derive(Default)]
pub struct Tally {
    clients: BTreeMap<Digest, Used>,
    keys: BTreeMap<Digest, (u64, Standing)>,
}

impl Tally {
    /// Takes in one more record. A key that has become usable again is kept, too, until the next [`Tally::prune`].
    pub fn add(&mut self, record: &Record, now: Now) {
        match record {
            Record::Used(spent) => self
                .clients
                .entry(spent.client)
                .or_default()
                .add(spent, now),
            Record::Unused(spent) => {
                if let Some(used) = self.clients.get_mut(&spent.client) {
                    used.take(spent, now);
                }
            }
            Record::Key {
                key,
                unix_ms,
                standing,
            } => {
                self.keys.insert(*key, (*unix_ms, standing.clone()));
            }
        }
    }

    /// Takes in the rest of `scan`.
    // Inlined at each call, it would make the binary larger.
    #[inline(never)]
    pub fn add_all(&mut self, scan: &mut Scan<'_>, now: Now) {
        for (_, record) in scan {
            self.add(&record, now);
        }
    }

    /// Forgets what has expired.
    pub fn prune(&mut self, now: Now) {
        self.clients.retain(|_, used| {
            roll(used, now);
            used.day.used > 0 || used.hour.used > 0 || is_recent(used.last_unix_ms, now)
        });
        self.keys.retain(|_, (unix_ms, standing)| match standing {
            Standing::Usable => false,
            Standing::Cooling { until_unix_ms, .. } => {
                *until_unix_ms > now.unix_ms && is_recent(*unix_ms, now)
            }
            Standing::Unhealthy { .. } => is_recent(*unix_ms, now),
        });
    }

    /// All of it as records, one for each client key and each platform's key.
    pub fn records(&self) -> impl Iterator<Item = Record> {
        let clients = self.clients.iter();
        let clients = clients.map(|(client, used)| Record::Used(used.spent(*client)));
        let keys = self.keys.iter();
        clients.chain(keys.map(|(key, (unix_ms, standing))| Record::Key {
            key: *key,
            unix_ms: *unix_ms,
            standing: standing.clone(),
        }))
    }

    /// Appends all of it to `output`.
    #[inline(never)]
    pub fn encode(&self, writer: u32, output: &mut Vec<u8>) {
        for record in self.records() {
            record.encode(writer, output);
        }
    }

    /// What a client key has used.
    pub fn used_by(&self, client: &Digest) -> Option<Spent> {
        self.clients.get(client).map(|used| used.spent(*client))
    }

    /// What must be added to `former` to reach at least this tally. Nothing is taken back: where another process gave
    /// requests back and compacted the file at once, a few requests too many are counted.
    pub fn beyond(&self, former: &Tally, now: Now) -> Vec<Record> {
        let mut records = Vec::new();
        for (client, used) in &self.clients {
            let known = former.clients.get(client).copied().unwrap_or_default();
            if let Some(more) = more_than(*used, known, now) {
                records.push(Record::Used(more.spent(*client)));
            }
        }
        for (key, (unix_ms, standing)) in &self.keys {
            if former.keys.get(key).map(|(_, standing)| standing) != Some(standing) {
                records.push(Record::Key {
                    key: *key,
                    unix_ms: *unix_ms,
                    standing: standing.clone(),
                });
            }
        }
        for key in former.keys.keys() {
            if !self.keys.contains_key(key) {
                records.push(Record::Key {
                    key: *key,
                    unix_ms: now.unix_ms,
                    standing: Standing::Usable,
                });
            }
        }
        records
    }

    /// About how many bytes the [`Tally::records`] take.
    pub fn bytes(&self) -> usize {
        self.clients.len() * USED_BYTES + self.keys.len() * KEY_BYTES
    }
}

/// Sums `records` up, to one for each key, written by `writer`.
pub fn sum_up(records: &mut Vec<u8>, writer: u32, now: Now) {
    let mut sums = Tally::default();
    sums.add_all(&mut Scan::new(records), now);
    records.clear();
    sums.encode(writer, records);
}

/// Also forgets a last use that lies in the future: the clock was wrong.
fn roll(used: &mut Used, now: Now) {
    used.roll(now);
    used.last_unix_ms = latest_unix_ms(used.last_unix_ms, 0, now.unix_ms);
}

/// By how much `used` exceeds `former`; none if by nothing.
fn more_than(mut used: Used, mut former: Used, now: Now) -> Option<Used> {
    roll(&mut used, now);
    roll(&mut former, now);
    for (new, old) in [(&mut used.hour, &former.hour), (&mut used.day, &former.day)] {
        if new.index() <= old.index() {
            new.used = new.used.saturating_sub(old.used);
        }
    }
    let is_more = used.hour.used > 0 || used.day.used > 0;
    (is_more || used.last_unix_ms > former.last_unix_ms).then_some(used)
}

/// Neither long ago nor, by a clock that was wrong, far ahead.
fn is_recent(unix_ms: u64, now: Now) -> bool {
    unix_ms.abs_diff(now.unix_ms) < KEPT_MS
}
