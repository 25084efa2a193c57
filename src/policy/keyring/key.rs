//! One key's states: what each outcome makes of its health, and how long it cools.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::outcome::RATE_LIMITED;
use super::{Cause, Digest, KeyId, KeyLabel, KeyState, KeyView, Outcome};
use crate::base::now::Now;

/// A rate limit without a stated time cools a key for this long, doubling up to the maximum.
const RATE_LIMIT_COOLING: Duration = Duration::from_secs(30);
/// Failures in a row cool a key for this long, doubling up to the maximum.
const FAILURE_COOLING: Duration = Duration::from_secs(10);
const COOLING_MAX: Duration = Duration::from_secs(600);
/// This many failures in a row cool a key.
const FAILURES_MAX: u32 = 5;
/// A wait that a platform states is believed up to this: a date further off is likelier a wrong clock than a plan.
pub(super) const STATED_WAIT_MAX: Duration = Duration::from_secs(24 * 3600);

/// A key and all that is known about it.
pub(super) struct Key {
    /// What identifies platform and key where states are stored.
    pub(super) mark: Digest,
    pub(super) label: KeyLabel,
    pub(super) preview: String,
    /// Whether the present configuration has it. Numbers are never reused for other keys, since requests in flight and
    /// figures refer to them.
    pub(super) listed: bool,
    pub(super) health: Health,
    pub(super) cooling: Option<Cooling>,
    /// How often rate limits without a stated wait, and failures, have cooled it since its last success.
    pub(super) rate_limited_times: u32,
    pub(super) failed_times: u32,
    pub(super) failures_in_a_row: u32,
    /// What failed since its last success, but for rejections and rate limits, which are states.
    pub(super) last_error: Option<String>,
    pub(super) last_check_unix_ms: Option<u64>,
    pub(super) last_used_unix_ms: Option<u64>,
    /// How long the last probe took.
    pub(super) probe_ms: Option<u64>,
    pub(super) in_flight: Rc<Cell<u32>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Unknown,
    Healthy,
    Unhealthy { reason: String, since: Instant },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Cooling {
    pub(super) since: Instant,
    pub(super) until: Instant,
    pub(super) until_unix_ms: u64,
    pub(super) cause: Cause,
}

impl Key {
    pub(super) fn new(label: KeyLabel, mark: Digest, preview: String) -> Key {
        Key {
            mark,
            label,
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

    /// Resets the state; what is in flight stays counted.
    pub(super) fn forget(&mut self) {
        let preview = std::mem::take(&mut self.preview);
        let in_flight = Rc::clone(&self.in_flight);
        *self = Key {
            in_flight,
            ..Key::new(self.label, self.mark, preview)
        };
    }

    /// An unhealthy key does not cool: no wait makes it usable.
    pub(super) fn cooling_now(&self, now: Now) -> Option<Cooling> {
        match self.health {
            Health::Unhealthy { .. } => None,
            Health::Unknown | Health::Healthy => {
                self.cooling.filter(|cooling| now.instant < cooling.until)
            }
        }
    }

    pub(super) fn is_rate_limited(&self, now: Now) -> bool {
        self.cooling_now(now).map(|cooling| cooling.cause) == Some(Cause::RateLimited)
    }

    pub(super) fn is_usable(&self, now: Now) -> bool {
        match self.health {
            Health::Unhealthy { .. } => false,
            Health::Unknown | Health::Healthy => self.cooling_now(now).is_none(),
        }
    }

    pub(super) fn learn(&mut self, outcome: Outcome, given_at: Instant, now: Now) {
        if outcome.breaks_a_row_of_failures() {
            self.failures_in_a_row = 0;
        }
        match outcome {
            Outcome::Canceled => return,
            Outcome::Answered => self.succeed(given_at),
            Outcome::Rejected { reason } => {
                self.health = Health::Unhealthy {
                    reason,
                    since: now.instant,
                };
            }
            Outcome::Forbidden => self.last_error = Some(outcome.to_string()),
            Outcome::RateLimited { wait } => self.on_rate_limit(wait, given_at, now),
            Outcome::ServerError { .. } => self.on_failure(outcome.to_string(), given_at, now),
            Outcome::NetworkFailure { what } => self.on_failure(what, given_at, now),
            Outcome::Timeout { what } => self.on_failure(what.to_string(), given_at, now),
        }
        self.last_check_unix_ms = Some(now.unix_ms);
    }

    /// An answer to a try that began before the present cooling does not end it: the try was sent before the limit was
    /// met. The same holds for a key rejected meanwhile: the first probe, above all, is easily overtaken by a request.
    fn succeed(&mut self, given_at: Instant) {
        match self.health {
            Health::Unhealthy { since, .. } if given_at < since => return,
            Health::Unknown | Health::Healthy | Health::Unhealthy { .. } => {}
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
        self.last_error = None;
        if let (Some(cooling), None) = (self.cooling, wait)
            && given_at <= cooling.since
            && cooling.cause == Cause::RateLimited
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
        let is_old = self
            .cooling
            .is_some_and(|cooling| given_at <= cooling.since);
        if is_old || self.is_rate_limited(now) {
            // A probe that fails does not free a key before the time that its platform gave.
            return;
        }
        self.failures_in_a_row += 1;
        if self.failures_in_a_row >= FAILURES_MAX {
            // A try made in spite of the cooling puts its end off, so that other keys are tried next. It says nothing
            // about whether the pause was long enough.
            if self.cooling_now(now).is_none() {
                self.failed_times += 1;
            }
            let pause = doubled(FAILURE_COOLING, self.failed_times);
            self.cool(pause, Cause::Failing, now);
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

    /// Why it cannot be used, or else what went wrong since its last success.
    pub(super) fn error(&self, now: Now) -> Option<&str> {
        match &self.health {
            Health::Unhealthy { reason, .. } => Some(reason),
            Health::Unknown | Health::Healthy if self.is_rate_limited(now) => Some(RATE_LIMITED),
            Health::Unknown | Health::Healthy => self.last_error.as_deref(),
        }
    }

    pub(super) fn view(&self, id: KeyId, now: Now) -> KeyView<'_> {
        let state = match (&self.health, self.cooling_now(now)) {
            (Health::Unhealthy { .. }, _) => KeyState::Unhealthy,
            (_, Some(cooling)) => KeyState::Cooling {
                until_unix_ms: cooling.until_unix_ms,
            },
            (Health::Unknown, None) => KeyState::Unknown,
            (Health::Healthy, None) => KeyState::Healthy,
        };
        KeyView {
            id,
            label: &self.label,
            preview: &self.preview,
            state,
            error: self.error(now),
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
