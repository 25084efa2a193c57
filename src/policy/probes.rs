//! When which key is probed without a client asking for it: once after the start, again while it is unhealthy, at once
//! after a 403, and all of them in a round of `GET /health`. It is told outcomes and time; it sends nothing itself.

use std::collections::{BTreeMap, BTreeSet, HashSet};
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
    /// Its keys that are due at once, whatever its pause.
    at_once: BTreeSet<KeyId>,
    /// Its keys that are due by timer, each with its time.
    timed: BTreeSet<(Instant, KeyId)>,
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
        keys: BTreeSet<KeyId>,
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
        for line in self.platforms.values_mut() {
            line.at_once.clear();
            line.timed.clear();
        }
        for (key, schedule) in &self.keys {
            let line = self.platforms.entry(schedule.platform).or_default();
            line.enter(*key, schedule.due, period);
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
        let (at, key) = self.first(now)?;
        if at > now.instant {
            return None;
        }
        let schedule = self.keys.get_mut(&key)?;
        schedule.answered = false;
        let (platform, place) = (schedule.platform, schedule.place);
        self.set_due(key, Due::UnderWay);
        self.line(platform).in_flight += 1;
        self.plan(now);
        Some((place, key))
    }

    /// When [`Probes::next`] is worth asking again, if nothing else happens.
    pub fn deadline(&self) -> Option<Instant> {
        self.next_at
    }

    fn plan(&mut self, now: Now) {
        self.next_at = self.first(now).map(|(at, _)| at);
    }

    /// The key whose probe may begin first, and when.
    fn first(&self, now: Now) -> Option<(Instant, KeyId)> {
        let lines = self.platforms.values();
        lines.filter_map(|line| line.first(now)).min()
    }

    /// Changes when `key` is probed next, if it is known, here and in its platform's line.
    fn set_due(&mut self, key: KeyId, due: Due) {
        let Some(schedule) = self.keys.get_mut(&key) else {
            return;
        };
        let former = std::mem::replace(&mut schedule.due, due);
        let line = self.platforms.entry(schedule.platform).or_default();
        line.leave(key, former, self.period);
        line.enter(key, due, self.period);
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
        if schedule.due == Due::Leaving {
            self.keys.remove(&key);
        }
        self.set_due(
            key,
            match (is_unhealthy, answered) {
                (true, _) => Due::Again { since: now.instant },
                (false, true) => Due::Never,
                (false, false) => Due::At(now.instant + UNREACHABLE_PAUSE),
            },
        );
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
            keys.remove(&key);
        }
        self.end_round(now);
    }

    /// The key has become unhealthy otherwise than by a probe. What is to be done at once, and what waits for its time
    /// already, stays.
    pub fn on_unhealthy(&mut self, key: KeyId, now: Now) {
        if let Some(schedule) = self.keys.get(&key)
            && matches!(schedule.due, Due::Never | Due::At(_))
        {
            self.set_due(key, Due::Again { since: now.instant });
            self.plan(now);
        }
    }

    /// A request's answer leaves it open whether the key or the request is to blame.
    pub fn on_doubt(&mut self, key: KeyId, now: Now) {
        if let Some(schedule) = self.keys.get(&key)
            && !schedule.due.is_under_way()
        {
            self.set_due(key, Due::AtOnce);
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
        let listed = |(_, schedule): &(&KeyId, &Schedule)| schedule.due != Due::Leaving;
        let keys: BTreeSet<KeyId> = self
            .keys
            .iter()
            .filter(listed)
            .map(|(key, _)| *key)
            .collect();
        for key in &keys {
            if !self.keys[key].due.is_under_way() {
                self.set_due(*key, Due::AtOnce);
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

impl Line {
    /// The key that begins first, and when; none while there is no room: a probe that ends makes some.
    fn first(&self, now: Now) -> Option<(Instant, KeyId)> {
        if self.in_flight >= IN_FLIGHT_MAX {
            return None;
        }
        if let Some(key) = self.at_once.first() {
            return Some((now.instant, *key));
        }
        let (at, key) = *self.timed.first()?;
        Some((self.paused_until.map_or(at, |until| until.max(at)), key))
    }

    fn enter(&mut self, key: KeyId, due: Due, period: Duration) {
        if due == Due::AtOnce {
            self.at_once.insert(key);
        }
        if let Some(at) = due.timed_at(key, period) {
            self.timed.insert((at, key));
        }
    }

    fn leave(&mut self, key: KeyId, due: Due, period: Duration) {
        self.at_once.remove(&key);
        if let Some(at) = due.timed_at(key, period) {
            self.timed.remove(&(at, key));
        }
    }
}

impl Due {
    /// When the key comes up by timer, as long as its platform does not pause.
    fn timed_at(self, key: KeyId, period: Duration) -> Option<Instant> {
        match self {
            Due::At(at) => Some(at),
            Due::Again { .. } if period.is_zero() => None,
            Due::Again { since } => Some(since + period + place_in_spread(key, period)),
            Due::Never | Due::AtOnce | Due::UnderWay | Due::Leaving => None,
        }
    }

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
