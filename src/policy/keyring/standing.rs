//! A key's state as it is stored across restarts and shared with other processes.

use std::time::Duration;

use super::key::STATED_WAIT_MAX;
use super::{Cause, Cooling, Digest, Health, Key, Keyring};
use crate::base::now::Now;

/// Whether a key can be used, or why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    Usable,
    Cooling { until_unix_ms: u64, cause: Cause },
    Unhealthy { reason: String },
}

impl Keyring {
    /// The next key whose standing has changed since this was last asked, named by its mark.
    pub fn next_change(&mut self) -> Option<(Digest, Standing)> {
        let key = self.changed.pop()?;
        let key = &self.keys[key.0 as usize];
        Some((key.mark, key.standing()))
    }

    /// Takes over what was learnt about a key before the start or by another process, as it stood at `noted_unix_ms`.
    /// That does not count as a change here, and an unknown key is passed over.
    pub fn restore(&mut self, mark: &Digest, standing: &Standing, noted_unix_ms: u64, now: Now) {
        if let Some(key) = self.by_mark.get(mark) {
            self.keys[key.0 as usize].restore(standing, noted_unix_ms, now);
        }
    }
}

impl Key {
    /// What distinguishes one standing from another, without an allocation.
    pub(super) fn summary(&self) -> (bool, Option<u64>) {
        let is_unhealthy = matches!(self.health, Health::Unhealthy { .. });
        (
            is_unhealthy,
            self.cooling.map(|cooling| cooling.until_unix_ms),
        )
    }

    fn standing(&self) -> Standing {
        match (&self.health, self.cooling) {
            (Health::Unhealthy { reason, .. }, _) => Standing::Unhealthy {
                reason: reason.clone(),
            },
            (Health::Unknown | Health::Healthy, Some(cooling)) => Standing::Cooling {
                until_unix_ms: cooling.until_unix_ms,
                cause: cooling.cause,
            },
            (Health::Unknown | Health::Healthy, None) => Standing::Usable,
        }
    }

    fn restore(&mut self, standing: &Standing, noted_unix_ms: u64, now: Now) {
        match standing {
            Standing::Usable => {
                if matches!(self.health, Health::Unhealthy { .. }) {
                    self.health = Health::Unknown;
                }
                self.cooling = None;
                self.last_error = None;
                self.failures_in_a_row = 0;
            }
            Standing::Cooling {
                until_unix_ms,
                cause,
            } => {
                if matches!(self.health, Health::Unhealthy { .. }) {
                    self.health = Health::Unknown;
                }
                self.last_error = match cause {
                    Cause::RateLimited => None,
                    Cause::Failing => Some("the platform failed".to_string()),
                };
                // If the clock was set back since, the key cools for as long as was left when this was noted.
                let since_unix_ms = noted_unix_ms.max(now.unix_ms);
                let left = Duration::from_millis(until_unix_ms.saturating_sub(since_unix_ms));
                let left = left.min(STATED_WAIT_MAX);
                self.cooling = (!left.is_zero()).then(|| Cooling {
                    since: now.instant,
                    until: now.instant + left,
                    until_unix_ms: now.unix_ms + left.as_millis() as u64,
                    cause: *cause,
                });
            }
            Standing::Unhealthy { reason } => {
                self.health = Health::Unhealthy {
                    reason: reason.clone(),
                    since: now.instant,
                };
            }
        }
    }
}

/// What identifies a key of a platform: the same key at another platform has another mark.
pub(super) fn mark(platform: &str, key: &Digest) -> Digest {
    let mut text = platform.as_bytes().to_vec();
    text.push(0);
    text.extend_from_slice(key.bytes());
    Digest::of(&text)
}
