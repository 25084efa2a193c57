//! Who may pass when: keys, their platforms, dates and limits.

use super::Refusal::{KeyExpired, PlatformNotAllowed, SampleKey};
use super::*;
use crate::base::testing::at;
use crate::policy::testing::unlimited;

/// The first second of an hour and of a day, UTC.
const MIDNIGHT: u64 = 1_790_035_200;

fn cooldown(retry_after_seconds: u64) -> Result<(), Refusal> {
    Err(Refusal::Cooldown {
        retry_after_seconds,
    })
}

fn hourly(limit: u64, retry_after_seconds: u64) -> Result<(), Refusal> {
    Err(Refusal::HourlyLimit {
        limit,
        retry_after_seconds,
    })
}

fn daily(limit: u64, retry_after_seconds: u64) -> Result<(), Refusal> {
    Err(Refusal::DailyLimit {
        limit,
        retry_after_seconds,
    })
}

/// Asks for platform `p` with the first key, from this machine.
fn ask(clients: &mut Clients, now: Now) -> Result<(), Refusal> {
    let admitted = clients.admit(ClientId(0), "p", true, now);
    admitted.map(|_| ())
}

/// Asks at each of the times, in milliseconds since midnight.
fn run(name: &str, spec: ClientSpec, rows: &[(i64, Result<(), Refusal>)]) {
    let mut clients = Clients::new(vec![spec]);
    for (row, (offset_ms, want)) in rows.iter().enumerate() {
        let unix_ms = (MIDNIGHT * 1000).saturating_add_signed(*offset_ms);
        let found = ask(&mut clients, at(unix_ms));
        assert_eq!(found, *want, "{name}, row {row}: {offset_ms}");
    }
}

#[test]
fn midnight_is_the_beginning_of_a_day() {
    assert_eq!(MIDNIGHT % DAY_SECONDS, 0);
}

#[test]
fn fixed_hours_and_days() {
    let hours_two = ClientSpec {
        hourly_limit: 2,
        ..unlimited("hourly-key")
    };
    run(
        "hourly",
        hours_two,
        &[
            (0, Ok(())),
            (1000, Ok(())),
            (1001, hourly(2, 3599)),
            (3_599_999, hourly(2, 1)),
            (3_600_000, Ok(())),
            (3_600_000, Ok(())),
            (3_600_000, hourly(2, 3600)),
            (86_400_000, Ok(())),
        ],
    );
    let days_two = ClientSpec {
        daily_limit: 2,
        ..unlimited("daily-key")
    };
    run(
        "daily",
        days_two,
        &[
            (0, Ok(())),
            (3_600_000, Ok(())),
            (3_600_001, daily(2, 82_800)),
            (86_399_999, daily(2, 1)),
            (86_400_000, Ok(())),
            (86_400_001, Ok(())),
            (86_400_002, daily(2, 86_400)),
        ],
    );
}

#[test]
fn a_clock_that_is_set_back() {
    let limited = ClientSpec {
        hourly_limit: 1,
        cooldown_seconds: 10,
        ..unlimited("limited-key")
    };
    run(
        "a little: the hour that had begun goes on",
        limited.clone(),
        &[
            (0, Ok(())),
            (-1, hourly(1, 3601)),
            (-5000, hourly(1, 3605)),
            (3_599_000, hourly(1, 1)),
            (3_600_000, Ok(())),
        ],
    );
    for ahead_ms in [3_600_000, 86_400_000] {
        run(
            "by an hour, by a day: it was wrong, nobody is locked out",
            limited.clone(),
            &[
                (ahead_ms, Ok(())),
                (0, Ok(())),
                (9_999, cooldown(3591)),
                (10_000, hourly(1, 3590)),
            ],
        );
    }
}

#[test]
fn what_was_noted_by_a_clock_that_was_ahead() {
    let limited = ClientSpec {
        daily_limit: 9,
        cooldown_seconds: 10,
        ..unlimited("limited-key")
    };
    let now_ms = MIDNIGHT * 1000 + 5000;
    let spent = |unix_ms: u64| Spent {
        client: Digest::of(b"limited-key"),
        unix_ms,
        hour: (unix_ms / 3_600_000) as u32,
        hour_used: 1,
        day: (unix_ms / 86_400_000) as u32,
        day_used: 1,
    };
    // (how far ahead each request was noted, how many count today, how long the pause lasts)
    let rows: [(&[i64], u64, Option<u64>); 5] = [
        (&[-4000], 1, Some(6000)),
        (&[86_400_000], 0, None),
        (&[86_400_000, -4000], 1, Some(6000)),
        (&[-4000, 86_400_000, 3_600_000], 2, Some(6000)),
        (&[-4000, 365 * 86_400_000], 1, Some(6000)),
    ];
    for (noted, used, pause_ms) in rows {
        let mut clients = Clients::new(vec![limited.clone()]);
        for ahead_ms in noted {
            let unix_ms = now_ms.saturating_add_signed(*ahead_ms);
            clients.restore(&spent(unix_ms), at(now_ms));
        }
        let usage = clients.usage(ClientId(0), at(now_ms));
        let until = pause_ms.map(|pause_ms| now_ms + pause_ms);
        let found = (usage.day.used, usage.cooldown_until_unix_ms);
        assert_eq!(found, (used, until), "{noted:?}");
        let ends = usage.day.resets_at_unix_seconds;
        assert_eq!(ends, MIDNIGHT + DAY_SECONDS, "{noted:?}");
    }
    // A process whose turn began a little later has a clock that is right.
    let mut clients = Clients::new(vec![limited]);
    clients.restore(&spent(now_ms + 50), at(now_ms));
    assert_eq!(ask(&mut clients, at(now_ms + 50)), cooldown(10));
    let set_back = at(now_ms - 1000);
    let usage = clients.usage(ClientId(0), set_back);
    assert_eq!(usage.cooldown_until_unix_ms, None, "nobody is locked out");
}

#[test]
fn cooldown_counts_from_the_last_admitted_request() {
    let pausing = ClientSpec {
        cooldown_seconds: 5,
        ..unlimited("pausing-key")
    };
    run(
        "cooldown",
        pausing,
        &[
            (0, Ok(())),
            (1, cooldown(5)),
            (1000, cooldown(4)),
            (4999, cooldown(1)),
            (5000, Ok(())),
            (9999, cooldown(1)),
            (10_000, Ok(())),
        ],
    );
}

#[test]
fn the_pause_is_that_of_the_present_configuration() {
    for (former, present, later_ms, want) in [
        (60, 3, 1000, cooldown(2)),
        (60, 3, 3000, Ok(())),
        (0, 5, 1000, cooldown(4)),
        (5, 0, 1, Ok(())),
    ] {
        let pausing = |cooldown_seconds| ClientSpec {
            cooldown_seconds,
            ..unlimited("pausing-key")
        };
        let mut clients = Clients::new(vec![pausing(former)]);
        assert_eq!(ask(&mut clients, at(MIDNIGHT * 1000)), Ok(()));
        clients.reload(vec![pausing(present)]);
        let found = ask(&mut clients, at(MIDNIGHT * 1000 + later_ms));
        assert_eq!(found, want, "{former} {present} {later_ms}");
    }
}

#[test]
fn expiry_is_the_end_of_the_day() {
    let expiring = ClientSpec {
        expires_unix_seconds: Some(MIDNIGHT),
        ..unlimited("expiring-key")
    };
    run(
        "expiry",
        expiring,
        &[
            (-86_400_000, Ok(())),
            (-1, Ok(())),
            (0, Err(KeyExpired)),
            (1, Err(KeyExpired)),
        ],
    );
}

#[test]
fn whitelists() {
    for (allowed, want) in [
        (None, Ok(())),
        (Some(vec!["p"]), Ok(())),
        (Some(vec!["q", "p"]), Ok(())),
        (Some(vec!["P"]), Err(PlatformNotAllowed)),
        (Some(vec!["pp"]), Err(PlatformNotAllowed)),
        (Some(vec![]), Err(PlatformNotAllowed)),
    ] {
        let platforms = allowed.map(|names| names.into_iter().map(str::to_string).collect());
        let listed = ClientSpec {
            platforms,
            ..unlimited("listed-key")
        };
        run("whitelist", listed, &[(0, want)]);
    }
}

/// A key with every reason for a refusal; later rows take the first reasons away.
#[test]
fn the_first_reason_counts_and_the_longest_wait() {
    let worst = ClientSpec {
        daily_limit: 1,
        hourly_limit: 1,
        cooldown_seconds: 9,
        ..unlimited(SAMPLE_KEY)
    };
    let spoiled = ClientSpec {
        expires_unix_seconds: Some(0),
        platforms: Some(vec![]),
        ..worst.clone()
    };
    let not_expired = ClientSpec {
        expires_unix_seconds: None,
        ..spoiled.clone()
    };
    let no_pause = ClientSpec {
        cooldown_seconds: 0,
        ..worst.clone()
    };
    let no_hour = ClientSpec {
        hourly_limit: 0,
        ..no_pause.clone()
    };
    let root = ClientSpec {
        is_root: true,
        ..spoiled.clone()
    };
    for (name, spec, is_loopback, want) in [
        ("from elsewhere", spoiled.clone(), false, Err(SampleKey)),
        ("root from elsewhere", root.clone(), false, Err(SampleKey)),
        ("expired", spoiled, true, Err(KeyExpired)),
        ("not for p", not_expired, true, Err(PlatformNotAllowed)),
        ("too soon", worst.clone(), true, cooldown(86_400)),
        ("hour", no_pause, true, hourly(1, 86_400)),
        ("day", no_hour, true, daily(1, 86_400)),
        ("root", root, true, Ok(())),
    ] {
        let mut clients = Clients::new(vec![worst.clone()]);
        let now = at(MIDNIGHT * 1000);
        assert_eq!(ask(&mut clients, now), Ok(()), "{name}");
        clients.reload(vec![spec]);
        let found = clients.admit(ClientId(0), "p", is_loopback, now);
        assert_eq!(found.map(|_| ()), want, "{name}");
    }
}

#[test]
fn the_sample_key_is_this_machine_s() {
    for (key, is_loopback, want) in [
        ("root_key", true, Ok(())),
        ("root_key", false, Err(SampleKey)),
        ("root_key2", false, Ok(())),
        ("ROOT_KEY", false, Ok(())),
    ] {
        let mut clients = Clients::new(vec![unlimited(key)]);
        let found = clients.admit(ClientId(0), "p", is_loopback, at(0));
        assert_eq!(found.map(|_| ()), want, "{key}");
    }
}

#[test]
fn refused_requests_are_not_counted() {
    let mut clients = Clients::new(vec![ClientSpec {
        daily_limit: 9,
        hourly_limit: 2,
        ..unlimited("counted-key")
    }]);
    let now = at(MIDNIGHT * 1000);
    for _ in 0..5 {
        // Three of them are refused.
        let _ = ask(&mut clients, now);
    }
    let usage = clients.usage(ClientId(0), now);
    assert_eq!((usage.hour.used, usage.day.used), (2, 2));
    assert_eq!((usage.hour.limit, usage.day.limit), (2, 9));
    assert_eq!(usage.hour.resets_at_unix_seconds, MIDNIGHT + HOUR_SECONDS);
    assert_eq!(usage.day.resets_at_unix_seconds, MIDNIGHT + DAY_SECONDS);
    let later = clients.usage(ClientId(0), at((MIDNIGHT + HOUR_SECONDS) * 1000));
    assert_eq!((later.hour.used, later.day.used), (0, 2));
}

#[test]
fn what_does_not_bind_a_root_key_is_not_shown_either() {
    for (is_root, want) in [(true, (0, 0, false)), (false, (3, 2, true))] {
        let mut clients = Clients::new(vec![ClientSpec {
            is_root,
            daily_limit: 3,
            hourly_limit: 2,
            cooldown_seconds: 5,
            ..unlimited("operator-key")
        }]);
        let now = at(MIDNIGHT * 1000);
        assert_eq!(ask(&mut clients, now), Ok(()));
        let usage = clients.usage(ClientId(0), now);
        let pauses = usage.cooldown_until_unix_ms.is_some();
        assert_eq!((usage.day.limit, usage.hour.limit, pauses), want);
    }
}

#[test]
fn the_limit_that_is_nearer_its_end() {
    for (hourly_limit, daily_limit, requests, want) in [
        (0, 0, 1, None),
        (10, 0, 1, Some((10, 9, "30m0s"))),
        (0, 10, 1, Some((10, 9, "23h30m0s"))),
        (10, 100, 1, Some((10, 9, "30m0s"))),
        (10, 10, 1, Some((10, 9, "23h30m0s"))),
        (10, 5, 2, Some((5, 3, "23h30m0s"))),
        (1, 1, 1, Some((1, 0, "23h30m0s"))),
    ] {
        let mut clients = Clients::new(vec![ClientSpec {
            hourly_limit,
            daily_limit,
            ..unlimited("quota-key")
        }]);
        let now = at((MIDNIGHT + 1800) * 1000);
        let admitted = (0..requests).map(|_| clients.admit(ClientId(0), "p", true, now));
        let quota = admitted
            .last()
            .expect("one request at least")
            .expect("within its limits");
        let reset = quota.map(|quota| quota.reset_text());
        let found = quota.map(|quota| (quota.limit, quota.remaining));
        let found = found
            .zip(reset.as_ref().map(|reset| reset.as_str()))
            .map(|((limit, left), reset)| (limit, left, reset));
        assert_eq!(found, want, "{hourly_limit} {daily_limit}");
    }
}

#[test]
fn resets_as_openai_writes_them() {
    for (resets_in_seconds, want) in [
        (0, "0s"),
        (1, "1s"),
        (59, "59s"),
        (60, "1m0s"),
        (360, "6m0s"),
        (3599, "59m59s"),
        (3600, "1h0m0s"),
        (3723, "1h2m3s"),
        (86_400, "24h0m0s"),
    ] {
        let quota = Quota {
            limit: 1,
            remaining: 0,
            resets_in_seconds,
        };
        assert_eq!(quota.reset_text().as_str(), want);
    }
}

#[test]
fn keys_are_known_by_all_their_bytes() {
    let mut clients = Clients::new(vec![unlimited("first-key"), unlimited("second-key")]);
    for (shown, want) in [
        ("first-key", Some(ClientId(0))),
        ("second-key", Some(ClientId(1))),
        ("first-ke", None),
        ("first-key ", None),
        ("First-key", None),
        ("", None),
    ] {
        assert_eq!(clients.identify(shown.as_bytes()), want, "{shown:?}");
    }
    clients.reload(vec![unlimited("second-key"), unlimited("third-key")]);
    let found =
        ["first-key", "second-key", "third-key"].map(|key| clients.identify(key.as_bytes()));
    assert_eq!(found, [None, Some(ClientId(1)), Some(ClientId(2))]);
    assert!(clients.ids().eq([ClientId(1), ClientId(2)]));
}

#[test]
fn a_reload_keeps_what_was_used() {
    let limited = |hourly_limit| ClientSpec {
        hourly_limit,
        ..unlimited("kept-key")
    };
    let mut clients = Clients::new(vec![limited(1)]);
    let now = at(MIDNIGHT * 1000);
    assert_eq!(ask(&mut clients, now), Ok(()));
    clients.reload(vec![limited(1)]);
    assert_eq!(ask(&mut clients, now), hourly(1, 3600));
    clients.reload(vec![limited(2)]);
    assert_eq!(ask(&mut clients, now), Ok(()));
    assert_eq!(ask(&mut clients, now), hourly(2, 3600));
}

#[test]
fn a_key_that_was_removed_is_not_kept_in_memory() {
    let root = ClientSpec {
        is_root: true,
        ..unlimited("first-key")
    };
    let mut clients = Clients::new(vec![root, unlimited("second-key")]);
    let (first, now) = (ClientId(0), at(MIDNIGHT * 1000));
    assert_eq!(ask(&mut clients, now), Ok(()));
    clients.reload(vec![unlimited("second-key")]);
    assert_eq!(clients.client(first).spec.key.expose(), "");
    assert!(!clients.is_root(first), "a stream that it has opened ends");
    assert_eq!(clients.by_hash.len(), 1);
    for shown in ["first-key", ""] {
        assert_eq!(clients.identify(shown.as_bytes()), None, "{shown}");
    }
    // The key comes back.
    let named = ClientSpec {
        name: Some("first".to_string()),
        ..unlimited("first-key")
    };
    let both = vec![unlimited("second-key"), named];
    assert!(clients.reload(both).is_empty());
    assert_eq!(clients.identify(b"first-key"), Some(first));
    assert_eq!(&**clients.label(first), "first");
    assert_eq!(clients.usage(first, now).day.used, 1);
    assert_eq!(ask(&mut clients, now), Ok(()));
}
