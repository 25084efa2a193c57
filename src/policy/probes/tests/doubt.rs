//! Doubt about a key: at once, in a pause, and beside what is due already.

use super::*;

#[test]
fn doubt_about_a_key_that_is_being_probed_begins_no_second_probe() {
    let now = now();
    let mut probes = probes(1, now);
    assert_eq!(begin(&mut probes, now), [0]);
    probes.on_doubt(KeyId(0), now);
    assert_eq!(begin(&mut probes, now), NONE);
}

/// Forbidden requests come every 100 ms for five minutes, and for a moment a day later.
#[test]
fn doubt_that_a_probe_clears_causes_fewer_and_fewer_probes() {
    let start = now();
    let mut probes = probes(1, start);
    let first = begin(&mut probes, start);
    end(&mut probes, &first, Found::Usable, start);
    // In tenths of a second.
    let took_tenths = 15;
    let mut begun_at: Vec<u64> = Vec::new();
    let days = [(0, 3000), (24 * 3600, 17)];
    for (day_s, requests) in days {
        for tenths in 0..requests {
            let now = start.after(Duration::from_millis(day_s * 1000 + tenths * 100));
            probes.on_doubt(KeyId(0), now);
            let ends_at = begun_at.last().map(|begun_at| begun_at + took_tenths);
            if ends_at == Some(day_s * 10 + tenths) {
                end(&mut probes, &[0], Found::Usable, now);
            }
            if begin(&mut probes, now) == [0] {
                begun_at.push(day_s * 10 + tenths);
            }
        }
    }
    let pauses: Vec<u64> = begun_at
        .windows(2)
        .map(|pair| (pair[1] - pair[0] - took_tenths) / 10)
        .collect();
    assert_eq!(pauses[..8], [1, 2, 4, 8, 16, 32, 60, 60], "{begun_at:?}");
    assert_eq!(begun_at.last(), Some(&(24 * 36000)));
    // The last doubt is not forgotten, and what is found unhealthy then has no such pause.
    let next = probes.deadline().expect("there is doubt");
    let now = start.after(next - start.instant);
    assert_eq!(begin(&mut probes, now), [0]);
    end(&mut probes, &[0], Found::Unhealthy, now);
    probes.on_doubt(KeyId(0), now);
    assert_eq!(begin(&mut probes, now), [0]);
}

#[test]
fn doubt_in_a_pause_postpones_no_probe_that_is_due_sooner() {
    // (whether a new configuration comes before the doubt, how long the key waits then)
    for (is_reloaded, pause) in [(false, CLEARED_PAUSE), (true, Duration::ZERO)] {
        let now = now();
        let mut probes = probes(1, now);
        // A probe clears the key, and nobody answers the next one.
        probes.on_doubt(KeyId(0), now);
        assert_eq!(begin(&mut probes, now), [0]);
        end(&mut probes, &[0], Found::Usable, now);
        assert!(probes.begin_round(now));
        assert_eq!(begin(&mut probes, now), [0]);
        end(&mut probes, &[0], Found::Unreachable, now);
        if is_reloaded {
            probes.reload(&listed(1), PERIOD, now);
        }
        probes.on_doubt(KeyId(0), now);
        assert_eq!(probes.deadline(), Some(now.after(pause).instant));
    }
}
