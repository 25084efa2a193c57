//! The schedule on a fake clock: rounds, outages, periods.

use std::cell::Cell;

use super::*;
use crate::base::testing::now;

mod doubt;

const PERIOD: Duration = Duration::from_secs(3600);
const PLATFORM: PlatformId = PlatformId(0);

fn listed(keys: u32) -> [Probed; 1] {
    listed_at(0, keys)
}

fn listed_at(place: usize, keys: u32) -> [Probed; 1] {
    [Probed {
        platform: PLATFORM,
        place,
        keys: (0..keys).map(KeyId).collect(),
    }]
}

fn probes(keys: u32, now: Now) -> Probes {
    let mut probes = Probes::default();
    probes.reload(&listed(keys), PERIOD, now);
    probes
}

thread_local! {
    static LOOKS: Cell<usize> = const { Cell::new(0) };
}

/// Counts a look at when one key is due.
pub fn count_look() {
    LOOKS.set(LOOKS.get() + 1);
}

/// Begins whatever may begin.
fn begin(probes: &mut Probes, now: Now) -> Vec<u32> {
    std::iter::from_fn(|| probes.next(now).map(|(_, key)| key.0)).collect()
}

const NONE: [u32; 0] = [];

/// How a probe ends.
#[derive(Clone, Copy)]
enum Found {
    Usable,
    Unhealthy,
    /// Nobody answered, and the key was not unhealthy before.
    Unreachable,
}

fn end(probes: &mut Probes, keys: &[u32], found: Found, now: Now) {
    for key in keys {
        let (answered, is_unhealthy) = match found {
            Found::Usable => (true, false),
            Found::Unhealthy => (true, true),
            Found::Unreachable => (false, false),
        };
        probes.judged(KeyId(*key), answered, now);
        probes.done(KeyId(*key), is_unhealthy, now);
    }
}

#[test]
fn every_key_is_probed_once_after_the_start_eight_at_a_time() {
    let now = now();
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
fn all_platforms_together_have_no_more_under_way_than_they_may() {
    let now = now();
    let mut probes = probes(0, now);
    probes.in_flight_max = Some(5);
    let platform = |number| Probed {
        platform: PlatformId(number),
        place: 0,
        keys: vec![KeyId(2 * number), KeyId(2 * number + 1)],
    };
    probes.reload(&[0, 1, 2, 3].map(platform), PERIOD, now);
    let begun = begin(&mut probes, now);
    assert_eq!((begun.len(), probes.deadline()), (5, None));
    end(&mut probes, &begun[..2], Found::Usable, now);
    assert_eq!(begin(&mut probes, now).len(), 2, "they made room");
}

#[test]
fn unhealthy_keys_come_up_again_spread_out() {
    let now = now();
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
    let mut now = now();
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
    // A probe that somebody waits for begins all the same.
    probes.on_doubt(KeyId(0), now);
    assert_eq!(begin(&mut probes, now), [0]);
    end(&mut probes, &[0], Found::Usable, now);
    assert_eq!(probes.deadline(), None);
}

#[test]
fn a_new_configuration_ends_the_pause_of_a_platform_that_was_down() {
    for is_unhealthy in [true, false] {
        let start = now();
        let mut probes = probes(2, start);
        for second in 0..4 {
            let now = start.after(Duration::from_secs(second));
            probes.reload(&listed(2), PERIOD, now);
            assert_eq!(begin(&mut probes, now), [0, 1], "second {second}");
            for key in [KeyId(0), KeyId(1)] {
                probes.judged(key, false, now);
                probes.done(key, is_unhealthy, now);
            }
        }
        // The next pause is a first one again.
        let next = probes.deadline().map(|at| at - start.instant);
        let seconds = if is_unhealthy { 3 + 3600 } else { 3 + 60 };
        assert_eq!(next, Some(Duration::from_secs(seconds)));
    }
}

#[test]
fn unhealthy_keys_wait_for_a_platform_that_is_down_no_longer_than_they_do_anyway() {
    let (start, period) = (now(), Duration::from_secs(120));
    let mut now = start;
    let mut probes = probes(1, now);
    probes.reload(&listed(1), period, now);
    for pause in [60, 120, 120, 120] {
        assert_eq!(begin(&mut probes, now), [0]);
        end(&mut probes, &[0], Found::Unreachable, now);
        now = now.after(Duration::from_secs(pause));
        assert_eq!(probes.deadline(), Some(now.instant));
    }
}

#[test]
fn a_round_is_shared_and_kept_for_a_while() {
    let now = now();
    let mut probes = probes(10, now);
    let first = begin(&mut probes, now);
    assert!(probes.begin_round(now), "what is under way is part of it");
    assert!(probes.begin_round(now));
    end(&mut probes, &first, Found::Usable, now);
    let rest = begin(&mut probes, now);
    assert_eq!(rest, [8, 9]);
    end(&mut probes, &rest[..1], Found::Unreachable, now);
    assert!(probes.is_in_round());
    end(&mut probes, &rest[1..], Found::Unhealthy, now);
    assert!(!probes.is_in_round());
    assert!(!probes.begin_round(now.after(Duration::from_secs(4))));
    assert_eq!(begin(&mut probes, now.after(Duration::from_secs(4))), NONE);
    assert!(probes.begin_round(now.after(Duration::from_secs(5))));
    assert_eq!(
        begin(&mut probes, now.after(Duration::from_secs(5))).len(),
        8
    );
}

#[test]
fn a_round_waits_for_verdicts_and_the_next_probe_for_sessions() {
    let now = now();
    let mut probes = probes(9, now);
    assert!(probes.begin_round(now));
    let begun = begin(&mut probes, now);
    for key in &begun {
        probes.judged(KeyId(*key), true, now);
    }
    assert_eq!(begin(&mut probes, now), NONE, "their answers still come");
    probes.done(KeyId(3), false, now);
    assert_eq!(begin(&mut probes, now), [8]);
    // A probe that ends without a verdict ends for the round all the same.
    probes.done(KeyId(8), false, now);
    assert!(!probes.is_in_round());
    assert_eq!(probes.deadline(), Some(now.instant + UNREACHABLE_PAUSE));
}

#[test]
fn a_key_s_platform_is_where_the_newest_configuration_has_it() {
    let now = now();
    let mut probes = probes(1, now);
    probes.reload(&listed_at(3, 2), PERIOD, now);
    assert_eq!(probes.next(now), Some((3, KeyId(0))));
    // A probe that is under way is not lost by a reload, and the next one begins at the new place.
    probes.reload(&listed_at(1, 2), PERIOD, now);
    end(&mut probes, &[0], Found::Usable, now);
    probes.on_doubt(KeyId(0), now);
    assert_eq!(probes.next(now), Some((1, KeyId(0))));
    assert_eq!(probes.next(now), Some((1, KeyId(1))));
}

#[test]
fn a_round_without_keys_ends_at_once_and_a_lost_key_does_not_hold_one_up() {
    let now = now();
    let mut empty = probes(0, now);
    assert!(!empty.begin_round(now));
    let mut probes = probes(2, now);
    assert!(probes.begin_round(now));
    let begun = begin(&mut probes, now);
    end(&mut probes, &begun[..1], Found::Usable, now);
    probes.reload(&listed(1), PERIOD, now);
    assert!(!probes.is_in_round());
    end(&mut probes, &begun[1..], Found::Usable, now);
    assert_eq!(begin(&mut probes, now), NONE);
}

#[test]
fn an_outage_that_many_probes_meet_together_doubles_the_pause_once() {
    let start = now();
    let mut now = start;
    let mut probes = probes(20, now);
    for pause in [60, 120, 240] {
        let begun = begin(&mut probes, now);
        assert_eq!(begun.len(), IN_FLIGHT_MAX, "{pause}");
        end(&mut probes, &begun, Found::Unreachable, now);
        let next = now.after(Duration::from_secs(pause));
        assert_eq!(probes.deadline(), Some(next.instant));
        now = next;
    }
    // Once the platform answers, all other keys are probed without a pause.
    let begun = begin(&mut probes, now);
    end(&mut probes, &begun, Found::Usable, now);
    assert_eq!(begin(&mut probes, now).len(), IN_FLIGHT_MAX);
}

#[test]
fn a_rejection_during_a_round_does_not_hold_it_up() {
    let now = now();
    let mut probes = probes(9, now);
    assert!(probes.begin_round(now));
    let begun = begin(&mut probes, now);
    // A key that is being probed, and the one that still waits for room to be probed.
    probes.on_unhealthy(KeyId(0), now);
    probes.on_unhealthy(KeyId(8), now);
    end(&mut probes, &begun, Found::Unhealthy, now);
    assert_eq!(begin(&mut probes, now), [8]);
    end(&mut probes, &[8], Found::Unhealthy, now);
    assert!(!probes.is_in_round());
}

#[test]
fn a_new_configuration_may_have_mended_what_is_unhealthy() {
    let begun = now();
    let mut probes = probes(2, begun);
    assert_eq!(begin(&mut probes, begun), [0, 1]);
    end(&mut probes, &[0, 1], Found::Usable, begun);
    probes.on_unhealthy(KeyId(0), begun);
    let minute = Duration::from_secs(60);
    let later = begun.after(minute / 2);
    for (period, due) in [
        (minute, Some(minute)),
        (Duration::ZERO, None),
        (PERIOD, Some(PERIOD)),
    ] {
        probes.reload(&listed(2), period, later);
        assert_eq!(begin(&mut probes, later), [0]);
        end(&mut probes, &[0], Found::Unhealthy, later);
        assert_eq!(probes.deadline(), due.map(|due| later.after(due).instant));
    }
    // A second rejection, of a request that was under way, changes nothing.
    probes.on_unhealthy(KeyId(0), later.after(minute));
    assert_eq!(probes.deadline(), Some(later.after(PERIOD).instant));
}

#[test]
fn what_another_process_found_unhealthy_is_probed_in_its_turn_or_a_period_later() {
    let now = now();
    let mut probes = probes(10, now);
    let begun = begin(&mut probes, now);
    end(&mut probes, &begun[..7], Found::Usable, now);
    end(&mut probes, &begun[7..], Found::Unreachable, now);
    let later = now.after(PERIOD / 2);
    // Two keys wait for room, one until the platform's pause ends; the others were probed.
    for at in [now, later] {
        for key in 0..10 {
            probes.on_unhealthy_elsewhere(KeyId(key), at);
        }
    }
    assert_eq!(begin(&mut probes, later), [8, 9, 7]);
    assert_eq!(begin(&mut probes, now.after(PERIOD)), [0]);
}

#[test]
fn the_first_probe_of_some_keys() {
    let now = now();
    let mut probes = probes(3, now);
    assert_eq!(begin(&mut probes, now), [0, 1, 2]);
    let all = [0, 1, 2].map(KeyId);
    assert_eq!(probes.first_of(&all), None, "they are under way");
    end(&mut probes, &[0], Found::Usable, now);
    end(&mut probes, &[1], Found::Unhealthy, now.after(PERIOD / 2));
    end(&mut probes, &[2], Found::Unhealthy, now);
    let again = |key| now.instant + PERIOD + place_in_spread(KeyId(key), PERIOD);
    assert_eq!(probes.first_of(&all), Some(again(2)));
    assert_eq!(probes.first_of(&all[..2]), Some(again(1) + PERIOD / 2));
    assert_eq!(probes.first_of(&all[..1]), None, "it is healthy");
}

#[test]
fn period_zero_means_never() {
    let now = now();
    let mut probes = Probes::default();
    probes.reload(&listed(2), Duration::ZERO, now);
    assert_eq!(begin(&mut probes, now), [0, 1]);
    end(&mut probes, &[0], Found::Unhealthy, now);
    // Nobody answered this probe, and the key was unhealthy before.
    probes.done(KeyId(1), true, now);
    probes.on_unhealthy(KeyId(0), now);
    assert_eq!(probes.deadline(), None);
}

#[test]
fn a_probe_that_nobody_answers_is_told_from_the_one_before() {
    let now = now();
    let mut probes = probes(1, now);
    assert_eq!(begin(&mut probes, now), [0]);
    end(&mut probes, &[0], Found::Usable, now);
    probes.on_doubt(KeyId(0), now);
    assert_eq!(begin(&mut probes, now), [0]);
    // This one ends without a verdict.
    probes.done(KeyId(0), false, now);
    let again = now.instant + UNREACHABLE_PAUSE;
    assert_eq!(probes.deadline(), Some(again), "it is asked again");
}

#[test]
fn an_outage_that_is_over_leaves_no_pause() {
    let mut now = now();
    let mut probes = probes(2, now);
    for _ in 0..3 {
        let begun = begin(&mut probes, now);
        end(&mut probes, &begun, Found::Unreachable, now);
        let next = probes.deadline().expect("it is asked again");
        now = now.after(next.duration_since(now.instant));
    }
    assert_eq!(begin(&mut probes, now), [0, 1]);
    end(&mut probes, &[0, 1], Found::Unreachable, now);
    // Somebody waits, and the platform answers for one of its keys: the other one comes up when the pause was to end.
    probes.on_doubt(KeyId(0), now);
    assert_eq!(begin(&mut probes, now), [0]);
    end(&mut probes, &[0], Found::Usable, now);
    let later = now.after(8 * UNREACHABLE_PAUSE);
    assert_eq!(probes.deadline(), Some(later.instant));
    // The next outage begins with the shortest pause.
    assert_eq!(begin(&mut probes, later), [1]);
    end(&mut probes, &[1], Found::Unreachable, later);
    let next = later.instant + UNREACHABLE_PAUSE;
    assert_eq!(probes.deadline(), Some(next));
}

#[test]
fn a_key_that_leaves_and_comes_back_while_it_is_probed_is_one_that_was_probed() {
    let now = now();
    for comes_back in [true, false] {
        let mut probes = probes(1, now);
        assert_eq!(begin(&mut probes, now), [0]);
        probes.reload(&listed(0), PERIOD, now);
        if comes_back {
            probes.reload(&listed(1), PERIOD, now);
        }
        end(&mut probes, &[0], Found::Unhealthy, now);
        let again = comes_back.then(|| now.after(PERIOD).instant);
        assert_eq!(probes.deadline(), again, "{comes_back}");
    }
}

#[test]
fn a_key_that_becomes_unhealthy_before_its_first_probe_waits_for_its_period() {
    let now = now();
    let mut probes = probes(1, now);
    probes.on_unhealthy(KeyId(0), now);
    assert_eq!(begin(&mut probes, now), NONE);
    assert_eq!(probes.deadline(), Some(now.after(PERIOD).instant));
}

#[test]
fn whoever_finds_a_key_unhealthy_it_waits_for_its_period() {
    for find in [Probes::on_unhealthy, Probes::on_unhealthy_elsewhere] {
        let now = now();
        let mut probes = probes(1, now);
        assert_eq!(begin(&mut probes, now), [0]);
        end(&mut probes, &[0], Found::Usable, now);
        assert_eq!(probes.deadline(), None);
        find(&mut probes, KeyId(0), now);
        assert_eq!(probes.deadline(), Some(now.after(PERIOD).instant));
    }
}

#[test]
fn who_waits_for_room_is_asked_once_and_who_is_doubted_first() {
    let now = now();
    let mut probes = probes(20, now);
    let begun = begin(&mut probes, now);
    probes.on_doubt(KeyId(15), now);
    probes.on_doubt(KeyId(15), now);
    // Keys 18 and 19 are removed before their turn, and 18 is added again.
    probes.reload(&listed(18), PERIOD, now);
    probes.reload(&listed(19), PERIOD, now);
    // Key 10 comes up a period later instead.
    probes.on_unhealthy(KeyId(10), now);
    let mut all = Vec::new();
    let mut ended = begun;
    while !ended.is_empty() {
        end(&mut probes, &ended, Found::Usable, now);
        ended = begin(&mut probes, now);
        all.append(&mut ended.clone());
    }
    assert_eq!(all, [15, 8, 9, 11, 12, 13, 14, 16, 17, 18]);
    assert_eq!(begin(&mut probes, now.after(PERIOD * 2)), [10]);
}

/// Ends all that is under way, and begins what may begin, until nothing does. Returns how many have begun.
fn run(probes: &mut Probes, found: Found, now: Now) -> usize {
    let begun = std::iter::from_fn(|| {
        let begun = begin(probes, now);
        end(probes, &begun, found, now);
        (!begun.is_empty()).then_some(begun.len())
    });
    begun.sum()
}

#[test]
fn a_probe_looks_at_few_keys_however_many_there_are() {
    const KEYS: usize = 8000;
    const LOOKS_MAX: usize = 16 * KEYS;
    let now = now();
    let mut probes = probes(KEYS as u32, now);
    assert!(probes.begin_round(now));
    assert_eq!(run(&mut probes, Found::Unhealthy, now), KEYS);
    assert!(!probes.is_in_round());
    assert!(LOOKS.get() < LOOKS_MAX, "in a round: {}", LOOKS.get());
    LOOKS.set(0);
    let later = now.after(PERIOD * 2);
    assert_eq!(run(&mut probes, Found::Usable, later), KEYS);
    assert!(LOOKS.get() < LOOKS_MAX, "by timer: {}", LOOKS.get());
}
