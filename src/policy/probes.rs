//! When which key is probed without a client asking for it: once after the start, again while it is unhealthy, at once
//! after a 403, and all of them in a round of `GET /health`. It is told outcomes and time; it sends nothing itself.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use super::keyring::{KeyId, PlatformId};
use crate::base::now::Now;

/// Probes of one platform under way at once.
pub const IN_FLIGHT_MAX: usize = 8;

/// How long a finished round is answered again without new probes.
const ROUND_KEPT: Duration = Duration::from_secs(5);

/// The pause after a probe that reached nobody, doubled with each further one up to the maximum. Those that were under
/// way together met one outage and double it once.
const UNREACHABLE_PAUSE: Duration = Duration::from_secs(60);
const UNREACHABLE_PAUSE_MAX: Duration = Duration::from_secs(3600);

/// Unhealthy keys come up again within this part of their period after it, each at a place of its own.
const SPREAD_PARTS: u32 = 8;

/// A platform whose keys are probed.
pub struct Probed {
    pub platform: PlatformId,
    /// Where it stands in the configuration.
    pub place: usize,
    pub keys: Vec<KeyId>,
}

/// Where the round of `GET /health` stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    Running,
    Finished,
}

/// The schedule of all probes.
#[derive(Default)]
pub struct Probes {
    keys: BTreeMap<KeyId, Schedule>,
    platforms: BTreeMap<PlatformId, Line>,
    round: RoundState,
    /// How often unhealthy keys are probed again; zero: never by timer.
    period: Duration,
    /// When a probe may begin next; kept, so that asking costs nothing.
    next_at: Option<Instant>,
}

/// One key's.
struct Schedule {
    platform: PlatformId,
    /// Where that stands in the configuration, as long as this key is there.
    place: usize,
    due: Due,
    /// Whether the platform has answered the probe that is under way.
    answered: bool,
}

/// When a key is probed next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// Not by timer.
    Never,
    /// It is new, or its last probe reached nobody.
    At(Instant),
    /// It was found unhealthy then: a period later.
    Again {
        since: Instant,
    },
    /// Now, whatever the platform's pause: somebody waits for it.
    AtOnce,
    UnderWay,
    /// Under way, and no longer part of the configuration.
    Leaving,
}

/// One platform's.
#[derive(Default)]
struct Line {
    in_flight: usize,
    unreachable_times: u32,
    /// Timed probes wait until then.
    paused_until: Option<Instant>,
}

#[derive(Default)]
enum RoundState {
    #[default]
    None,
    /// So many keys are still to be probed.
    Running {
        keys: Vec<KeyId>,
    },
    Kept {
        until: Instant,
    },
}

impl Probes {
    /// Takes a new configuration: the enabled platforms with their places and keys, and how often unhealthy ones are probed
    /// again; zero: never by timer. New keys are probed once.
    pub fn reload(&mut self, platforms: &[Probed], period: Duration, now: Now) {
        self.period = period;
        let listed: HashSet<KeyId> = platforms
            .iter()
            .flat_map(|probed| &probed.keys)
            .copied()
            .collect();
        self.keys
            .retain(|key, schedule| match (listed.contains(key), schedule.due) {
                (true, Due::Leaving) => {
                    schedule.due = Due::UnderWay;
                    true
                }
                (true, _) => true,
                (false, Due::UnderWay | Due::Leaving) => {
                    schedule.due = Due::Leaving;
                    true
                }
                (false, Due::Never | Due::At(_) | Due::Again { .. } | Due::AtOnce) => false,
            });
        for probed in platforms {
            self.platforms.entry(probed.platform).or_default();
            for key in &probed.keys {
                let schedule = self.keys.entry(*key).or_insert(Schedule {
                    platform: probed.platform,
                    place: probed.place,
                    due: Due::At(now.instant),
                    answered: false,
                });
                schedule.place = probed.place;
            }
        }
        if let RoundState::Running { keys } = &mut self.round {
            keys.retain(|key| listed.contains(key));
        }
        self.end_round(now);
    }

    /// The next key whose time has come and whose platform has room, and that platform's place. It is under way from now on.
    pub fn next(&mut self, now: Now) -> Option<(usize, KeyId)> {
        if self.next_at.is_none_or(|at| now.instant < at) {
            return None;
        }
        let found = self.keys.iter().find(|(key, schedule)| {
            self.begins_at(**key, schedule, now)
                .is_some_and(|at| at <= now.instant)
        });
        let found = found.map(|(key, schedule)| (schedule.platform, schedule.place, *key));
        if let Some((platform, _, key)) = found {
            if let Some(schedule) = self.keys.get_mut(&key) {
                schedule.due = Due::UnderWay;
                schedule.answered = false;
            }
            self.line(platform).in_flight += 1;
        }
        self.plan(now);
        found.map(|(_, place, key)| (place, key))
    }

    /// When [`Probes::next`] is worth asking again, if nothing else happens.
    pub fn deadline(&self) -> Option<Instant> {
        self.next_at
    }

    fn plan(&mut self, now: Now) {
        let keys = self.keys.iter();
        let begins_at = keys.filter_map(|(key, schedule)| self.begins_at(*key, schedule, now));
        self.next_at = begins_at.min();
    }

    /// When a key's probe may begin; never while the platform has no room: a probe that ends makes some.
    fn begins_at(&self, key: KeyId, schedule: &Schedule, now: Now) -> Option<Instant> {
        let line = &self.platforms[&schedule.platform];
        if line.in_flight >= IN_FLIGHT_MAX {
            return None;
        }
        let at = match schedule.due {
            Due::AtOnce => return Some(now.instant),
            Due::At(at) => at,
            Due::Again { .. } if self.period.is_zero() => return None,
            Due::Again { since } => since + self.period + place_in_spread(key, self.period),
            Due::Never | Due::UnderWay | Due::Leaving => return None,
        };
        Some(line.paused_until.map_or(at, |until| until.max(at)))
    }

    /// The probe of `key` has its verdict: a round waits for no more than that. `answered`: by the platform.
    pub fn judged(&mut self, key: KeyId, answered: bool, now: Now) {
        if let Some(schedule) = self.keys.get_mut(&key) {
            schedule.answered = answered;
        }
        self.leave_round(key, now);
    }

    /// The session of the probe of `key` has ended, whatever ended it. Each call takes one [`Probes::next`] back.
    pub fn done(&mut self, key: KeyId, is_unhealthy: bool, now: Now) {
        let Some(schedule) = self.keys.get_mut(&key) else {
            return;
        };
        let (platform, answered) = (schedule.platform, schedule.answered);
        let leaves = schedule.due == Due::Leaving;
        schedule.due = match (is_unhealthy, answered) {
            (true, _) => Due::Again { since: now.instant },
            (false, true) => Due::Never,
            (false, false) => Due::At(now.instant + UNREACHABLE_PAUSE),
        };
        if leaves {
            self.keys.remove(&key);
        }
        let line = self.line(platform);
        line.in_flight -= 1;
        if answered {
            line.unreachable_times = 0;
            line.paused_until = None;
        } else if line.paused_until <= Some(now.instant) {
            line.unreachable_times += 1;
            let factor = 1 << (line.unreachable_times - 1).min(6);
            line.paused_until =
                Some(now.instant + (UNREACHABLE_PAUSE * factor).min(UNREACHABLE_PAUSE_MAX));
        }
        self.leave_round(key, now);
    }

    fn leave_round(&mut self, key: KeyId, now: Now) {
        if let RoundState::Running { keys } = &mut self.round {
            keys.retain(|waiting| *waiting != key);
        }
        self.end_round(now);
    }

    /// The key has become unhealthy otherwise than by a probe. What is to be done at once, and what waits for its time
    /// already, stays.
    pub fn on_unhealthy(&mut self, key: KeyId, now: Now) {
        if let Some(schedule) = self.keys.get_mut(&key)
            && matches!(schedule.due, Due::Never | Due::At(_))
        {
            schedule.due = Due::Again { since: now.instant };
            self.plan(now);
        }
    }

    /// A request's answer leaves it open whether the key or the request is to blame.
    pub fn on_doubt(&mut self, key: KeyId, now: Now) {
        if let Some(schedule) = self.keys.get_mut(&key)
            && !schedule.due.is_under_way()
        {
            schedule.due = Due::AtOnce;
            self.plan(now);
        }
    }

    /// Begins a round, or joins the one that runs or has just ended.
    pub fn begin_round(&mut self, now: Now) -> Round {
        match &self.round {
            RoundState::Running { .. } => return Round::Running,
            RoundState::Kept { until } if now.instant < *until => return Round::Finished,
            RoundState::Kept { .. } | RoundState::None => {}
        }
        let mut keys = Vec::new();
        for (key, schedule) in &mut self.keys {
            if schedule.due == Due::Leaving {
                continue;
            }
            keys.push(*key);
            if !schedule.due.is_under_way() {
                schedule.due = Due::AtOnce;
            }
        }
        self.round = RoundState::Running { keys };
        self.end_round(now);
        self.round()
    }

    /// Whether a round is under way.
    pub fn round(&self) -> Round {
        match self.round {
            RoundState::Running { .. } => Round::Running,
            RoundState::None | RoundState::Kept { .. } => Round::Finished,
        }
    }

    /// Ends a round of which nothing is left to be done, and plans anew.
    fn end_round(&mut self, now: Now) {
        if matches!(&self.round, RoundState::Running { keys } if keys.is_empty()) {
            self.round = RoundState::Kept {
                until: now.instant + ROUND_KEPT,
            };
        }
        self.plan(now);
    }

    fn line(&mut self, platform: PlatformId) -> &mut Line {
        self.platforms.entry(platform).or_default()
    }
}

impl Due {
    fn is_under_way(self) -> bool {
        match self {
            Due::UnderWay | Due::Leaving => true,
            Due::Never | Due::At(_) | Due::Again { .. } | Due::AtOnce => false,
        }
    }
}

/// Keys that became unhealthy together do not come up together.
fn place_in_spread(key: KeyId, period: Duration) -> Duration {
    period / SPREAD_PARTS * (key.0 % SPREAD_PARTS) / SPREAD_PARTS
}

#[cfg(test)]
mod tests;
