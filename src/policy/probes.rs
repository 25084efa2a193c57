//! When each key is probed without a client asking for it: once after the start; again while it is unhealthy, by timer
//! and with a new configuration; at once after a 403, unless a probe has just cleared the key; and all of them in a
//! round of `GET /health`. It is told outcomes and time; it sends nothing itself.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::keyring::{KeyId, PlatformId};
use crate::base::now::Now;
use crate::base::timers::Timers;

/// Probes of one platform under way at once.
pub const IN_FLIGHT_MAX: usize = 8;

/// How long a finished round serves as an answer without new probes.
const ROUND_KEPT: Duration = Duration::from_secs(5);

/// The pause after a probe that got no answer, doubled with each further one up to the maximum, and never longer than
/// unhealthy keys wait. Probes that were under way together met the same outage and count as one.
const UNREACHABLE_PAUSE: Duration = Duration::from_secs(60);
const UNREACHABLE_PAUSE_MAX: Duration = Duration::from_secs(3600);

/// How long further doubt about a key waits after a probe that has not confirmed it, doubled as long as doubt goes on, up
/// to the maximum. A client whose requests the platform forbids must not cause a probe for each of them.
const CLEARED_PAUSE: Duration = Duration::from_secs(1);
const CLEARED_PAUSE_MAX: Duration = Duration::from_secs(60);

/// After their period, unhealthy keys come up again spread over a fraction of it: one part in this many.
const SPREAD_PARTS: u32 = 8;

/// A platform whose keys are probed.
pub struct Probed {
    pub platform: PlatformId,
    /// Where it stands in the configuration.
    pub place: usize,
    pub keys: Vec<KeyId>,
}

/// The schedule of all probes.
#[derive(Default)]
pub struct Probes {
    keys: BTreeMap<KeyId, Schedule>,
    platforms: BTreeMap<PlatformId, Line>,
    /// When keys come due by timer, by their numbers.
    timers: Timers,
    round: Round,
    /// The most probes under way at once over all platforms, if that is bounded.
    pub in_flight_max: Option<usize>,
    /// How often unhealthy keys are probed again; zero: never by timer.
    period: Duration,
    /// When a probe may begin next; stored, so that asking costs nothing.
    next_at: Option<Instant>,
}

/// One key's schedule.
struct Schedule {
    platform: PlatformId,
    /// Where the platform stands in the configuration, as long as this key is there.
    place: usize,
    due: Due,
    /// Whether the platform has answered the probe that is under way.
    answered: bool,
    /// Whether the round waits for its verdict.
    in_round: bool,
    /// The first doubt about the key since its last probe that was answered.
    doubted_at: Option<Instant>,
    /// The pause since a probe last did not confirm a doubt.
    cleared: Option<Cleared>,
}

/// While it lasts, doubt about a key is no reason for a probe at once.
#[derive(Clone, Copy)]
struct Cleared {
    until: Instant,
    pause: Duration,
}

/// When a key is probed next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// Not by timer.
    Never,
    /// A period after this time, when it was found unhealthy.
    Again {
        since: Instant,
    },
    /// At this time: at once for a new key, and with a new configuration; for a key whose last probe got no answer, when
    /// the platform's pause was to end; for a doubted key, when its pause does.
    At(Instant),
    /// Its time has come: it waits for its turn in the platform's line.
    InTurn,
    /// Ahead of those, despite any pause of the platform: somebody waits for it.
    AtOnce,
    UnderWay,
    /// Under way, and no longer part of the configuration.
    Leaving,
}

/// One platform's line of probes.
#[derive(Default)]
struct Line {
    /// The keys that are due, in the order in which they begin.
    waiting: VecDeque<KeyId>,
    in_flight: usize,
    unreachable_times: u32,
    /// Keys that are not due at once wait until then.
    paused_until: Option<Instant>,
}

/// Where the round of `GET /health` stands.
#[derive(Default)]
enum Round {
    #[default]
    None,
    /// This many keys are still to be probed.
    Running {
        left: usize,
    },
    Kept {
        until: Instant,
    },
}

impl Probes {
    /// Takes a new configuration: the enabled platforms with their places and keys, and how often unhealthy ones are
    /// probed again; zero: never by timer. New keys are probed once, and again those that are unhealthy or got no answer,
    /// whatever pause their platforms are in: they may work by now.
    pub fn reload(&mut self, platforms: &[Probed], period: Duration, now: Now) {
        self.period = period;
        let listed: HashSet<KeyId> = platforms
            .iter()
            .flat_map(|probed| &probed.keys)
            .copied()
            .collect();
        self.keys.retain(|key, schedule| {
            let (is_listed, is_under_way) = (listed.contains(key), schedule.due().is_under_way());
            schedule.due = match schedule.due() {
                Due::UnderWay | Due::Leaving if is_listed => Due::UnderWay,
                Due::UnderWay | Due::Leaving => Due::Leaving,
                Due::Again { .. } | Due::At(_) => Due::At(now.instant),
                due @ (Due::Never | Due::InTurn | Due::AtOnce) => due,
            };
            schedule.in_round &= is_listed;
            is_listed || is_under_way
        });
        for line in self.platforms.values_mut() {
            line.waiting.retain(|key| listed.contains(key));
            line.paused_until = None;
            line.unreachable_times = 0;
        }
        self.timers = Timers::default();
        for probed in platforms {
            self.platforms.entry(probed.platform).or_default();
            for key in &probed.keys {
                let schedule = self.keys.entry(*key).or_insert(Schedule {
                    platform: probed.platform,
                    place: probed.place,
                    due: Due::At(now.instant),
                    answered: false,
                    in_round: false,
                    doubted_at: None,
                    cleared: None,
                });
                schedule.place = probed.place;
                self.set_timer(*key);
            }
        }
        if let Round::Running { left } = &mut self.round {
            *left = self.keys.values().filter(|key| key.in_round).count();
        }
        self.end_round(now);
    }

    /// The next key whose time has come and whose platform has room, and that platform's place. It is under way from now on.
    pub fn next(&mut self, now: Now) -> Option<(usize, KeyId)> {
        if self.next_at.is_none_or(|at| now.instant < at) {
            return None;
        }
        self.line_up(now);
        let has_room = self.has_room();
        let begins = |line: &&mut Line| {
            let begins_at = line.begins_at(&self.keys, now).filter(|_| has_room);
            begins_at.is_some_and(|at| at <= now.instant)
        };
        let found = self.platforms.values_mut().find(begins).and_then(|line| {
            line.in_flight += 1;
            let key = line.waiting.pop_front()?;
            let schedule = self.keys.get_mut(&key)?;
            schedule.due = Due::UnderWay;
            schedule.answered = false;
            Some((schedule.place, key))
        });
        self.plan(now);
        found
    }

    /// Puts the keys whose time has come into their platforms' lines.
    fn line_up(&mut self, now: Now) {
        while let Some(slot) = self.timers.pop(now.instant) {
            let key = KeyId(slot as u32);
            match self.timed_at(key) {
                // It has been probed since the timer was set.
                Some(at) if at > now.instant => self.timers.set(slot, at),
                Some(_) => self.set_due(key, Due::InTurn),
                None => {}
            }
        }
    }

    /// When `key` is due by timer, if it is.
    fn timed_at(&self, key: KeyId) -> Option<Instant> {
        match self.keys.get(&key)?.due() {
            Due::At(at) => Some(at),
            Due::Again { .. } if self.period.is_zero() => None,
            Due::Again { since } => Some(since + self.period + place_in_spread(key, self.period)),
            Due::Never | Due::InTurn | Due::AtOnce | Due::UnderWay | Due::Leaving => None,
        }
    }

    fn set_timer(&mut self, key: KeyId) {
        if let Some(at) = self.timed_at(key) {
            self.timers.set(key.0 as usize, at);
        }
    }

    /// Changes when `key` is due, and sets its timer or its place in the line accordingly.
    fn set_due(&mut self, key: KeyId, due: Due) {
        let Some(schedule) = self.keys.get_mut(&key) else {
            return;
        };
        let Some(line) = self.platforms.get_mut(&schedule.platform) else {
            return;
        };
        if schedule.due().is_in_line() {
            line.waiting.retain(|other| *other != key);
        }
        schedule.due = due;
        match due {
            Due::InTurn => line.waiting.push_back(key),
            Due::AtOnce => line.waiting.push_front(key),
            Due::At(_) | Due::Again { .. } => self.set_timer(key),
            Due::Never | Due::UnderWay | Due::Leaving => {}
        }
    }

    /// When [`Probes::next`] is worth asking again, if nothing else happens.
    pub fn deadline(&self) -> Option<Instant> {
        self.next_at
    }

    /// When the first of `keys` is probed by timer, if one is.
    pub fn first_of(&self, keys: &[KeyId]) -> Option<Instant> {
        keys.iter().filter_map(|key| self.timed_at(*key)).min()
    }

    /// Whether one more probe may be under way, whichever platform's.
    fn has_room(&self) -> bool {
        let in_flight = self.platforms.values().map(|line| line.in_flight).sum();
        self.in_flight_max.is_none_or(|max: usize| max > in_flight)
    }

    fn plan(&mut self, now: Now) {
        let has_room = self.has_room();
        let lines = self.platforms.values().filter(|_| has_room);
        let begins_at = lines.filter_map(|line| line.begins_at(&self.keys, now));
        self.next_at = begins_at.chain(self.timers.next()).min();
    }

    /// The probe of `key` has its verdict: a round waits for no more. `answered`: whether the platform answered.
    pub fn judged(&mut self, key: KeyId, answered: bool, now: Now) {
        if let Some(schedule) = self.keys.get_mut(&key) {
            schedule.answered = answered;
        }
        self.leave_round(key, now);
    }

    /// The session of the probe of `key` has ended, whatever ended it: one call for each [`Probes::next`].
    pub fn done(&mut self, key: KeyId, is_unhealthy: bool, now: Now) {
        let Some(schedule) = self.keys.get_mut(&key) else {
            return;
        };
        let (answered, leaves) = (schedule.answered, schedule.due() == Due::Leaving);
        let Some(line) = self.platforms.get_mut(&schedule.platform) else {
            return;
        };
        line.in_flight -= 1;
        if answered {
            schedule.settle_doubt(is_unhealthy, now);
            line.unreachable_times = 0;
            line.paused_until = None;
        } else if line.paused_until <= Some(now.instant) {
            line.unreachable_times += 1;
            let factor = 1 << (line.unreachable_times - 1).min(6);
            let longest = match self.period.is_zero() {
                true => UNREACHABLE_PAUSE_MAX,
                false => UNREACHABLE_PAUSE_MAX.min(self.period),
            };
            line.paused_until = Some(now.instant + (UNREACHABLE_PAUSE * factor).min(longest));
        }
        let due = match (is_unhealthy, line.paused_until) {
            (true, _) => Due::Again { since: now.instant },
            (false, Some(until)) => Due::At(until),
            (false, None) => Due::Never,
        };
        if leaves {
            self.keys.remove(&key);
        }
        self.set_due(key, due);
        self.leave_round(key, now);
    }

    fn leave_round(&mut self, key: KeyId, now: Now) {
        if let Round::Running { left } = &mut self.round
            && let Some(schedule) = self.keys.get_mut(&key)
        {
            *left -= usize::from(schedule.in_round);
            schedule.in_round = false;
        }
        self.end_round(now);
    }

    /// The key has become unhealthy other than by a probe. A probe that is due at once, under way, or waiting out its
    /// period already stays as it is.
    pub fn on_unhealthy(&mut self, key: KeyId, now: Now) {
        if let Some(schedule) = self.keys.get(&key)
            && matches!(schedule.due(), Due::Never | Due::At(_) | Due::InTurn)
        {
            self.set_due(key, Due::Again { since: now.instant });
            self.plan(now);
        }
    }

    /// Another process has found the key unhealthy, at some time. It may be gone when the key is to be probed again. A
    /// probe that is scheduled here already stays: it comes sooner.
    pub fn on_unhealthy_elsewhere(&mut self, key: KeyId, now: Now) {
        if let Some(schedule) = self.keys.get(&key)
            && schedule.due() == Due::Never
        {
            self.set_due(key, Due::Again { since: now.instant });
            self.plan(now);
        }
    }

    /// A request's answer leaves it open whether the key or the request is to blame.
    pub fn on_doubt(&mut self, key: KeyId, now: Now) {
        let Some(schedule) = self.keys.get_mut(&key) else {
            return;
        };
        if schedule.due().is_under_way() {
            return;
        }
        schedule.doubted_at.get_or_insert(now.instant);
        let cleared = schedule
            .cleared
            .filter(|cleared| now.instant < cleared.until);
        let due = match (cleared, schedule.due()) {
            (None, _) => Due::AtOnce,
            (Some(cleared), Due::Never) => Due::At(cleared.until),
            (Some(cleared), Due::At(at)) => Due::At(at.min(cleared.until)),
            (Some(_), _) => return,
        };
        self.set_due(key, due);
        self.plan(now);
    }

    /// Begins a round, or joins the one that runs or has just ended. Returns whether it is under way.
    pub fn begin_round(&mut self, now: Now) -> bool {
        match &self.round {
            Round::Running { .. } => return true,
            Round::Kept { until } if now.instant < *until => return false,
            Round::Kept { .. } | Round::None => {}
        }
        for line in self.platforms.values_mut() {
            line.waiting.clear();
        }
        let mut left = 0;
        for (key, schedule) in &mut self.keys {
            schedule.in_round = schedule.due() != Due::Leaving;
            left += usize::from(schedule.in_round);
            if !schedule.due().is_under_way() {
                schedule.due = Due::AtOnce;
                if let Some(line) = self.platforms.get_mut(&schedule.platform) {
                    line.waiting.push_back(*key);
                }
            }
        }
        self.round = Round::Running { left };
        self.end_round(now);
        self.is_in_round()
    }

    /// Whether a round is under way.
    pub fn is_in_round(&self) -> bool {
        matches!(self.round, Round::Running { .. })
    }

    /// Ends a round in which nothing is left to be done, and plans anew.
    fn end_round(&mut self, now: Now) {
        if matches!(self.round, Round::Running { left: 0 }) {
            self.round = Round::Kept {
                until: now.instant + ROUND_KEPT,
            };
        }
        self.plan(now);
    }
}

impl Schedule {
    fn due(&self) -> Due {
        #[cfg(test)]
        tests::count_look();
        self.due
    }

    /// The platform has answered a probe of the key.
    fn settle_doubt(&mut self, is_unhealthy: bool, now: Now) {
        let doubted_at = self.doubted_at.take();
        if is_unhealthy {
            self.cleared = None;
        } else if let Some(doubted_at) = doubted_at {
            let pause = match self.cleared {
                Some(last) if doubted_at < last.until + last.pause => last.pause * 2,
                Some(_) | None => CLEARED_PAUSE,
            };
            let pause = pause.min(CLEARED_PAUSE_MAX);
            let until = now.instant + pause;
            self.cleared = Some(Cleared { until, pause });
        }
    }
}

impl Line {
    /// When the first waiting key may begin; none while there is no room: a probe that ends makes some.
    fn begins_at(&self, keys: &BTreeMap<KeyId, Schedule>, now: Now) -> Option<Instant> {
        if self.in_flight >= IN_FLIGHT_MAX {
            return None;
        }
        let first = keys.get(self.waiting.front()?)?;
        let pause = self.paused_until.filter(|_| first.due() != Due::AtOnce);
        Some(pause.map_or(now.instant, |until| until.max(now.instant)))
    }
}

impl Due {
    /// Whether its key stands in its platform's line.
    fn is_in_line(self) -> bool {
        match self {
            Due::InTurn | Due::AtOnce => true,
            Due::Never | Due::At(_) | Due::Again { .. } | Due::UnderWay | Due::Leaving => false,
        }
    }

    fn is_under_way(self) -> bool {
        match self {
            Due::UnderWay | Due::Leaving => true,
            Due::Never | Due::At(_) | Due::Again { .. } | Due::InTurn | Due::AtOnce => false,
        }
    }
}

/// How much later than others a key comes up: keys that became unhealthy together are not probed together.
fn place_in_spread(key: KeyId, period: Duration) -> Duration {
    period / SPREAD_PARTS * (key.0 % SPREAD_PARTS) / SPREAD_PARTS
}

#[cfg(test)]
mod tests;
