//! What remains of a key across reloads, and what pages show of it.

use super::*;

#[test]
fn a_reload_keeps_what_stays() {
    let mut bench = Bench::new(0);
    let reload = |bench: &mut Bench, names: &[&str], want: &str| {
        bench.keys = bench.keyring.reload(&[("p", &secrets(names))]).remove(0).1;
        assert_eq!(bench.states(), want, "{names:?}");
    };
    reload(&mut bench, &["a", "b", "c"], "uuu");
    bench.run(
        "used",
        &[
            Try(0, Answered),
            Try(1, limited_for(60)),
            Try(2, rejected()),
        ],
    );
    let (first, last) = (bench.keys[0], bench.keys[2]);
    reload(&mut bench, &["c", "a", "b"], "xhc");
    assert_eq!((bench.keys[1], bench.keys[0]), (first, last));
    reload(&mut bench, &["a", "d"], "hu");
    assert!(!bench.keyring.is_listed(last));
    reload(&mut bench, &["a", "b", "c", "d"], "huuu");
    assert_eq!(bench.keys[2], last, "numbers are not given to other keys");
    let ids = bench
        .keyring
        .reload(&[("q", &secrets(&["a"])), ("p", &secrets(&["a"]))]);
    assert_ne!(
        ids[0].1, ids[1].1,
        "the same key of another platform is another one"
    );
    assert_eq!(bench.states(), "h");
    bench.keyring.reload(&[]);
    bench.keys.clear();
    assert_eq!(bench.states(), "");
    bench.run("gone", &[Refused(NoKey::NoKeys)]);
}

#[test]
fn a_permit_outlives_its_key() {
    let mut bench = Bench::new(2);
    let permit = bench.pick();
    bench.keyring.reload(&[("p", &secrets(&["sk-1"]))]);
    bench.keyring.reload(&[("p", &secrets(&["sk-0", "sk-1"]))]);
    let in_flight = |bench: &Bench| -> Vec<u32> {
        let views = bench.keyring.views(bench.platform, bench.now);
        views.map(|view| view.in_flight).collect()
    };
    assert_eq!(in_flight(&bench), [1, 0]);
    bench.end(permit, Answered);
    assert_eq!(in_flight(&bench), [0, 0]);
}

#[test]
fn a_request_begins_with_a_key_of_its_time_and_is_not_tried_again_with_removed_ones() {
    let mut bench = Bench::new(3);
    let listed = secrets(&["sk-2", "new"]);
    let new = bench.keyring.reload(&[("p", &listed)]).remove(0).1;
    let mut tried = Vec::new();
    for place in [0, 2] {
        let permit = bench
            .keyring
            .pick(bench.platform, &bench.keys, &tried, bench.now)
            .expect("it is usable");
        assert_eq!(permit.key(), bench.keys[place]);
        tried.push(permit.key());
        bench.end(permit, SERVER_ERROR);
    }
    let (platform, now) = (bench.platform, bench.now);
    let third = bench.keyring.pick(platform, &bench.keys, &tried, now);
    assert!(third.is_err());
    bench.keys = new;
    let permit = bench.pick();
    assert_eq!(permit.key(), bench.keys[0]);
    bench.end(permit, Answered);
}

#[test]
fn what_pages_show() {
    let mut bench = Bench::new(1);
    let names = secrets(&["sk-live-0123456789"]);
    bench.keys = bench.keyring.reload(&[("p", &names)]).remove(0).1;
    for (outcome, error) in [
        (LIMITED, Some("429: rate-limited")),
        (Forbidden, Some("403: the platform forbids it")),
        (SERVER_ERROR, Some("503: a fault of the platform")),
        (TIMEOUT, Some("no head")),
        (network(), Some("connection refused")),
        (Answered, None),
        (rejected(), Some("401")),
    ] {
        bench.pass(86_400);
        let permit = bench.pick();
        bench.pass(2);
        bench.end(permit, outcome);
        let view = bench
            .keyring
            .views(bench.platform, bench.now)
            .next()
            .expect("one key");
        assert_eq!((view.error, view.preview), (error, "sk-l…6789"));
        assert_eq!(view.last_check_unix_ms, Some(bench.now.unix_ms));
        assert_eq!(view.last_used_unix_ms, Some(bench.now.unix_ms - 2000));
    }
}

#[test]
fn what_was_noted_by_any_clock_cools_no_longer_than_it_was_to() {
    let now = now();
    // (how far ahead it was noted, for how long, what is left), in seconds
    let rows: [(i64, u64, u64); 7] = [
        (-40, 30, 0),
        (-10, 30, 20),
        (0, 30, 30),
        (5, 30, 30),
        (3600, 30, 30),
        (365 * 86_400, 30, 30),
        (0, u64::MAX / 2000, 86_400), // that was never written
    ];
    for (ahead, seconds, left) in rows {
        let mut bench = Bench::new(1);
        bench.now = now;
        let noted_unix_ms = now.unix_ms.saturating_add_signed(ahead * 1000);
        let standing = Standing::Cooling {
            until_unix_ms: noted_unix_ms + seconds * 1000,
            cause: Cause::RateLimited,
        };
        let mark = bench.keyring.keys[0].mark;
        let keyring = &mut bench.keyring;
        keyring.restore(&mark, &standing, noted_unix_ms, now);
        let until = now.unix_ms + left * 1000;
        let want = match left {
            0 => KeyState::Unknown,
            _ => KeyState::Cooling {
                until_unix_ms: until,
            },
        };
        let view = keyring.views(bench.platform, now).next();
        let found = view.expect("it is there").state;
        assert_eq!(found, want, "{ahead} {seconds}");
        let found = keyring.pick(bench.platform, &bench.keys, &[], now);
        let retry_after = Duration::from_secs(left);
        match found {
            Ok(permit) => {
                assert_eq!(left, 0, "{ahead} {seconds}");
                permit.release();
            }
            Err(why) => assert_eq!(why, NoKey::RateLimited { retry_after }),
        }
    }
}

#[test]
fn what_is_in_flight_with_removed_keys_is_the_platform_s_still() {
    let mut bench = Bench::new(2);
    let permits = [bench.pick(), bench.pick()];
    let (platform, both) = (bench.platform, secrets(&["sk-0", "sk-1"]));
    // (keys of a new configuration, requests in flight with other keys)
    for (keys, want) in [
        (0..2, 0),
        (1..2, 1),
        (1..2, 1),
        (0..0, 2),
        (0..2, 0),
        (0..1, 1),
    ] {
        bench.keyring.reload(&[("p", &both[keys.clone()])]);
        assert_eq!(bench.keyring.in_flight_leaving(platform), want, "{keys:?}");
    }
    for permit in permits {
        bench.end(permit, Answered);
    }
    assert_eq!(bench.keyring.in_flight_leaving(platform), 0);
}

/// What happened to a key here, what happened to it at another process, its state here afterwards and the error shown,
/// what happens then, and its state in the end.
type Heard = (
    Vec<Do>,
    Vec<Do>,
    &'static str,
    Option<&'static str>,
    Do,
    &'static str,
);

#[test]
fn who_hears_of_a_key_knows_what_its_teller_knows() {
    let fail = |count| times(count, &Try(0, SERVER_ERROR));
    let rows: [Heard; 6] = [
        (
            vec![Try(0, rejected())],
            vec![Try(0, rejected()), Probe(0, Answered)],
            "u",
            None,
            Try(0, Answered),
            "h",
        ),
        (
            vec![Try(0, limited_for(60))],
            vec![Try(0, LIMITED), Pass(30), Try(0, Answered)],
            "u",
            None,
            Try(0, Answered),
            "h",
        ),
        (
            fail(4),
            vec![Try(0, rejected()), Probe(0, Answered)],
            "u",
            None,
            Try(0, SERVER_ERROR),
            "u",
        ),
        (
            vec![Try(0, rejected())],
            vec![Try(0, limited_for(60))],
            "c",
            Some("429: rate-limited"),
            Pass(60),
            "u",
        ),
        (
            vec![Try(0, Answered)],
            fail(5),
            "f",
            Some("the platform failed"),
            Try(0, Answered),
            "h",
        ),
        (
            vec![Try(0, Answered)],
            vec![Try(0, rejected())],
            "x",
            Some("401"),
            Probe(0, Answered),
            "h",
        ),
    ];
    for (row, (ours, theirs, state, error, after, end)) in rows.into_iter().enumerate() {
        let (name, begun) = (format!("row {row}"), now());
        let [mut teller, mut hearer] = [theirs, ours].map(|script| {
            let mut bench = Bench::new(1);
            bench.now = begun;
            bench.run(&name, &script);
            bench
        });
        hearer.now = teller.now;
        while let Some((mark, standing)) = teller.keyring.next_change() {
            let now = hearer.now;
            hearer.keyring.restore(&mark, &standing, now.unix_ms, now);
        }
        assert_eq!(hearer.states(), state, "{name}");
        let view = hearer.keyring.views(hearer.platform, hearer.now).next();
        assert_eq!(view.expect("it is there").error, error, "{name}");
        hearer.run(&name, &[after]);
        assert_eq!(hearer.states(), end, "{name}");
    }
}

#[test]
fn what_is_noted_of_a_key_is_what_changes_it() {
    let mut bench = Bench::new(1);
    let is_noted = |bench: &mut Bench, script: &[Do]| {
        bench.run("noted", script);
        let noted = bench.keyring.next_change().map(|(_, standing)| standing);
        assert_eq!(bench.keyring.next_change(), None);
        noted
    };
    let reason = "401".to_string();
    assert_eq!(
        is_noted(&mut bench, &[Try(0, Answered), Try(0, Answered)]),
        None
    );
    let unhealthy = Standing::Unhealthy { reason };
    assert_eq!(is_noted(&mut bench, &[Try(0, rejected())]), Some(unhealthy));
    // A key that is removed and comes back starts afresh, for the next start as well.
    bench.keyring.reload(&[("p", &[])]);
    assert_eq!(is_noted(&mut bench, &[]), None);
    bench.keyring.reload(&[("p", &secrets(&["sk-0"]))]);
    assert_eq!(is_noted(&mut bench, &[]), Some(Standing::Usable));
}

#[test]
fn keys_go_on_taking_turns_after_a_reload() {
    let mut bench = Bench::new(3);
    bench.run("before", &[Try(0, Answered)]);
    let names = secrets(&["sk-0", "sk-1", "sk-2"]);
    bench.keyring.reload(&[("p", &names)]);
    bench.run("after", &[Try(1, Answered)]);
    bench.keys = bench.keyring.reload(&[("p", &names[..1])]).remove(0).1;
    bench.run("with fewer keys than turns", &[Try(0, Answered)]);
}
