//! When which key is probed without a client asking for it: once after the start, again while it is unhealthy, at once
//! after a 403, and all of them in a round of `GET /health`. It is told outcomes and time; it sends nothing itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::keyring::{KeyId, PlatformId};
use crate::base::now::Now;

/// Probes of one platform under way at once.
pub const IN_FLIGHT_MAX: usize = 8;

/// How long a finished round is answered again without new probes.
const ROUND_KEPT: Duration = Duration::from_secs(5);

/// The pause after a probe that reached nobody, doubled with each further one up to the maximum.
const UNREACHABLE_PAUSE: Duration = Duration::from_secs(60);
const UNREACHABLE_PAUSE_MAX: Duration = Duration::from_secs(3600);

/// Unhealthy keys come up again within this part of their period after it, each at a place of its own.
const SPREAD_PARTS: u32 = 8;

/// What a probe found, as far as the next one depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The platform answered, and the key is usable or cools.
    Usable,
    /// The platform does not accept the key.
    Unhealthy,
    /// Nobody answered.
    Unreachable,
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
    /// When a probe may begin next; kept, so that asking costs nothing.
    next_at: Option<Instant>,
}

/// One key's.
struct Schedule {
    platform: PlatformId,
    due: Due,
}

/// When a key is probed next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// Not by timer.
    Never,
    At(Instant),
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
    /// Takes a new configuration: the enabled platforms and their keys. New keys are probed once.
    pub fn reload(&mut self, platforms: &[(PlatformId, Vec<KeyId>)], now: Now) {
        let listed = |key: &KeyId| platforms.iter().any(|(_, keys)| keys.contains(key));
        self.keys
            .retain(|key, schedule| match (listed(key), schedule.due) {
                (true, Due::Leaving) => {
                    schedule.due = Due::UnderWay;
                    true
                }
                (true, _) => true,
                (false, Due::UnderWay | Due::Leaving) => {
                    schedule.due = Due::Leaving;
                    true
                }
                (false, Due::Never | Due::At(_) | Due::AtOnce) => false,
            });
        for (platform, keys) in platforms {
            self.platforms.entry(*platform).or_default();
            for key in keys {
                self.keys.entry(*key).or_insert(Schedule {
                    platform: *platform,
                    due: Due::At(now.instant),
                });
            }
        }
        if let RoundState::Running { keys } = &mut self.round {
            keys.retain(listed);
        }
        self.end_round(now);
    }

    /// The next key whose time has come and whose platform has room. It is under way from now on.
    pub fn next(&mut self, now: Now) -> Option<(PlatformId, KeyId)> {
        if self.next_at.is_none_or(|at| now.instant < at) {
            return None;
        }
        let may_begin = |schedule: &Schedule| {
            let line = &self.platforms[&schedule.platform];
            line.begins_at(schedule.due, now)
                .is_some_and(|at| at <= now.instant)
        };
        let found = self.keys.iter().find(|(_, schedule)| may_begin(schedule));
        let found = found.map(|(key, schedule)| (schedule.platform, *key));
        if let Some((platform, key)) = found {
            if let Some(schedule) = self.keys.get_mut(&key) {
                schedule.due = Due::UnderWay;
            }
            self.line(platform).in_flight += 1;
        }
        self.plan(now);
        found
    }

    /// When [`Probes::next`] is worth asking again, if nothing else happens.
    pub fn deadline(&self) -> Option<Instant> {
        self.next_at
    }

    fn plan(&mut self, now: Now) {
        let begins_at =
            |schedule: &Schedule| self.platforms[&schedule.platform].begins_at(schedule.due, now);
        self.next_at = self.keys.values().filter_map(begins_at).min();
    }

    /// A probe has ended. `period` is how often unhealthy keys are probed again; zero: never.
    pub fn done(&mut self, key: KeyId, found: Found, period: Duration, now: Now) {
        let Some(schedule) = self.keys.get_mut(&key) else {
            return;
        };
        let platform = schedule.platform;
        let leaves = schedule.due == Due::Leaving;
        schedule.due = match found {
            Found::Usable => Due::Never,
            Found::Unhealthy if period.is_zero() => Due::Never,
            Found::Unhealthy => Due::At(now.instant + period + place_in_spread(key, period)),
            Found::Unreachable => Due::At(now.instant + UNREACHABLE_PAUSE),
        };
        if leaves {
            self.keys.remove(&key);
        }
        let line = self.line(platform);
        line.in_flight -= 1;
        match found {
            Found::Usable | Found::Unhealthy => {
                line.unreachable_times = 0;
                line.paused_until = None;
            }
            Found::Unreachable => {
                line.unreachable_times += 1;
                let factor = 1 << (line.unreachable_times - 1).min(6);
                line.paused_until =
                    Some(now.instant + (UNREACHABLE_PAUSE * factor).min(UNREACHABLE_PAUSE_MAX));
            }
        }
        if let RoundState::Running { keys } = &mut self.round {
            keys.retain(|waiting| *waiting != key);
        }
        self.end_round(now);
    }

    /// A request's answer made the key unhealthy.
    pub fn on_unhealthy(&mut self, key: KeyId, period: Duration, now: Now) {
        if !period.is_zero() {
            self.set(
                key,
                Due::At(now.instant + period + place_in_spread(key, period)),
                now,
            );
        }
    }

    /// A request's answer leaves it open whether the key or the request is to blame.
    pub fn on_doubt(&mut self, key: KeyId, now: Now) {
        self.set(key, Due::AtOnce, now);
    }

    /// Moves a probe that has not begun.
    fn set(&mut self, key: KeyId, due: Due, now: Now) {
        if let Some(schedule) = self.keys.get_mut(&key)
            && !schedule.due.is_under_way()
        {
            schedule.due = due;
        }
        self.plan(now);
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
            if schedule.due != Due::UnderWay {
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
            Due::Never | Due::At(_) | Due::AtOnce => false,
        }
    }
}

impl Line {
    /// When a probe that is due so may begin; never while the platform has no room: a probe that ends makes some.
    fn begins_at(&self, due: Due, now: Now) -> Option<Instant> {
        if self.in_flight >= IN_FLIGHT_MAX {
            return None;
        }
        match due {
            Due::AtOnce => Some(now.instant),
            Due::At(at) => Some(self.paused_until.map_or(at, |until| until.max(at))),
            Due::Never | Due::UnderWay | Due::Leaving => None,
        }
    }
}

/// Keys that became unhealthy together do not come up together.
fn place_in_spread(key: KeyId, period: Duration) -> Duration {
    period / SPREAD_PARTS * (key.0 % SPREAD_PARTS) / SPREAD_PARTS
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(3600);
    const PLATFORM: PlatformId = PlatformId(0);

    fn start() -> Now {
        Now {
            instant: Instant::now(),
            unix_ms: 0,
        }
    }

    fn probes(keys: u32, now: Now) -> Probes {
        let mut probes = Probes::default();
        probes.reload(&[(PLATFORM, (0..keys).map(KeyId).collect())], now);
        probes
    }

    /// Begins whatever may begin.
    fn begin(probes: &mut Probes, now: Now) -> Vec<u32> {
        std::iter::from_fn(|| probes.next(now).map(|(_, key)| key.0)).collect()
    }

    const NONE: [u32; 0] = [];

    fn end(probes: &mut Probes, keys: &[u32], found: Found, now: Now) {
        for key in keys {
            probes.done(KeyId(*key), found, PERIOD, now);
        }
    }

    #[test]
    fn every_key_is_probed_once_after_the_start_eight_at_a_time() {
        let now = start();
        let mut probes = probes(20, now);
        let mut sizes = Vec::new();
        loop {
            let begun = begin(&mut probes, now);
            if begun.is_empty() {
                break;
            }
            sizes.push(begun.len());
            end(&mut probes, &begun, Found::Usable, now);
        }
        assert_eq!(sizes, [8, 8, 4]);
        assert_eq!(
            probes.deadline(),
            None,
            "a usable key is not probed again by timer"
        );
    }

    #[test]
    fn unhealthy_keys_come_up_again_spread_out() {
        let now = start();
        let mut probes = probes(4, now);
        let begun = begin(&mut probes, now);
        end(&mut probes, &begun, Found::Unhealthy, now);
        assert_eq!(
            begin(&mut probes, now.after(PERIOD - Duration::from_secs(1))),
            NONE
        );
        assert_eq!(begin(&mut probes, now.after(PERIOD)), [0]);
        assert!(
            probes
                .deadline()
                .is_some_and(|at| at > now.after(PERIOD).instant)
        );
        assert_eq!(
            begin(&mut probes, now.after(PERIOD + PERIOD / 8)),
            [1, 2, 3]
        );
    }

    #[test]
    fn a_platform_that_is_down_is_asked_less_and_less() {
        let mut now = start();
        let mut probes = probes(1, now);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            assert_eq!(begin(&mut probes, now), [0]);
            end(&mut probes, &[0], Found::Unreachable, now);
            let next = probes.deadline().expect("it is asked again");
            pauses.push(next.duration_since(now.instant).as_secs());
            assert_eq!(begin(&mut probes, now), NONE);
            now = now.after(next.duration_since(now.instant));
        }
        assert_eq!(pauses, [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
        // Somebody who asks is answered all the same.
        probes.on_doubt(KeyId(0), now);
        assert_eq!(begin(&mut probes, now), [0]);
        end(&mut probes, &[0], Found::Usable, now);
        assert_eq!(probes.deadline(), None);
    }

    #[test]
    fn a_round_is_shared_and_kept_for_a_while() {
        let now = start();
        let mut probes = probes(10, now);
        let first = begin(&mut probes, now);
        assert_eq!(
            probes.begin_round(now),
            Round::Running,
            "what is under way is part of it"
        );
        assert_eq!(probes.begin_round(now), Round::Running);
        end(&mut probes, &first, Found::Usable, now);
        let rest = begin(&mut probes, now);
        assert_eq!(rest, [8, 9]);
        end(&mut probes, &rest[..1], Found::Unreachable, now);
        assert_eq!(probes.round(), Round::Running);
        end(&mut probes, &rest[1..], Found::Unhealthy, now);
        assert_eq!(probes.round(), Round::Finished);
        assert_eq!(
            probes.begin_round(now.after(Duration::from_secs(4))),
            Round::Finished
        );
        assert_eq!(begin(&mut probes, now.after(Duration::from_secs(4))), NONE);
        assert_eq!(
            probes.begin_round(now.after(Duration::from_secs(5))),
            Round::Running
        );
        assert_eq!(
            begin(&mut probes, now.after(Duration::from_secs(5))).len(),
            8
        );
    }

    #[test]
    fn a_round_without_keys_ends_at_once_and_a_lost_key_does_not_hold_one_up() {
        let now = start();
        let mut empty = probes(0, now);
        assert_eq!(empty.begin_round(now), Round::Finished);
        let mut probes = probes(2, now);
        assert_eq!(probes.begin_round(now), Round::Running);
        let begun = begin(&mut probes, now);
        end(&mut probes, &begun[..1], Found::Usable, now);
        probes.reload(&[(PLATFORM, vec![KeyId(0)])], now);
        assert_eq!(probes.round(), Round::Finished);
        end(&mut probes, &begun[1..], Found::Usable, now);
        assert_eq!(begin(&mut probes, now), NONE);
    }

    #[test]
    fn period_zero_means_never() {
        let now = start();
        let mut probes = probes(1, now);
        begin(&mut probes, now);
        probes.done(KeyId(0), Found::Unhealthy, Duration::ZERO, now);
        probes.on_unhealthy(KeyId(0), Duration::ZERO, now);
        assert_eq!(probes.deadline(), None);
    }
}
