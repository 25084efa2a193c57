//! What a response does to the key.

use super::*;

#[test]
fn rate_limits_without_a_time_cool_longer_each_time() {
    let mut script = Vec::new();
    let longest = [600; 40];
    for seconds in [30, 60, 120, 240, 480].into_iter().chain(longest) {
        script.extend([
            Try(0, LIMITED),
            free_in(seconds),
            Pass(seconds - 1),
            free_in(1),
            Pass(1),
        ]);
    }
    script.extend([Try(0, Answered), Try(0, LIMITED), free_in(30), Pass(30)]);
    // A stated time neither counts as one of them nor restarts their doubling.
    script.extend([
        Try(0, limited_for(7)),
        free_in(7),
        Pass(7),
        Try(0, LIMITED),
        free_in(60),
    ]);
    Bench::new(1).run("doubling", &script);
}

#[test]
fn stated_times_are_believed_up_to_a_day() {
    for (seconds, want) in [
        (1, 1),
        (86_400, 86_400),
        (86_401, 86_400),
        (1_000_000_000, 86_400),
    ] {
        Bench::new(1).run("stated", &[Try(0, limited_for(seconds)), free_in(want)]);
    }
    let script = [Try(0, limited_for(0)), Try(0, Answered), States("h")];
    Bench::new(1).run("no time at all", &script);
}

#[test]
fn failures_in_a_row_cool_longer_each_time() {
    let mut script = times(4, &Try(0, SERVER_ERROR));
    script.push(States("u"));
    for (failure, seconds) in [
        SERVER_ERROR,
        network(),
        TIMEOUT,
        SERVER_ERROR,
        network(),
        TIMEOUT,
        TIMEOUT,
        TIMEOUT,
    ]
    .into_iter()
    .zip([10, 20, 40, 80, 160, 320, 600, 600])
    {
        script.extend([
            Try(0, failure),
            States("f"),
            Pass(seconds - 1),
            States("f"),
            Pass(1),
            States("u"),
        ]);
    }
    script.extend([Try(0, Answered)]);
    script.extend(times(4, &Try(0, TIMEOUT)));
    script.extend([
        States("h"),
        Try(0, TIMEOUT),
        States("f"),
        Pass(10),
        States("h"),
    ]);
    Bench::new(1).run("doubling", &script);
}

#[test]
fn tries_made_all_the_same_while_a_key_cools_double_no_pause() {
    let mut script = times(5, &Try(0, SERVER_ERROR));
    for _ in 0..60 {
        script.extend([Pass(1), Try(0, network())]);
    }
    // The outage is over: the pause is as long as the first one, and the next one twice that.
    script.extend([Pass(9), States("f"), Pass(1), States("u")]);
    script.extend([Try(0, TIMEOUT), Pass(19), States("f"), Pass(1), States("u")]);
    Bench::new(1).run("an outage", &script);
}

#[test]
fn what_breaks_a_row_of_failures() {
    for (name, between, is_broken) in [
        ("an answer", Try(0, Answered), true),
        ("a rate limit", Try(0, limited_for(0)), true),
        ("a 403", Try(0, Forbidden), true),
        ("nothing learnt", Try(0, Canceled), false),
        ("time", Pass(3600), false),
        ("a probe that reaches nobody", Probe(0, network()), false),
        ("a probe that is answered", Probe(0, Answered), true),
    ] {
        let mut bench = Bench::new(1);
        let mut script = times(4, &Try(0, SERVER_ERROR));
        script.extend([between, Pass(1), Try(0, SERVER_ERROR)]);
        bench.run(name, &script);
        assert_eq!(bench.states() != "f", is_broken, "{name}");
    }
}

#[test]
fn probes_do_not_free_a_rate_limited_key() {
    let mut script = vec![Try(0, limited_for(3600)), Pass(1), Probe(0, Answered)];
    script.extend(times(6, &Probe(0, SERVER_ERROR)));
    script.extend([
        States("c"),
        free_in(3599),
        Pass(3599),
        Try(0, Answered),
        States("h"),
    ]);
    Bench::new(1).run("probes", &script);
}

#[test]
fn what_a_probe_meets_does_not_hide_why_a_key_cannot_be_used() {
    let reason = "401: no such key".to_string();
    for (outcome, want) in [
        (limited_for(600), "429: rate-limited"),
        (Outcome::Rejected { reason }, "401: no such key"),
    ] {
        for met in [TIMEOUT, SERVER_ERROR, limited_for(1)] {
            let mut bench = Bench::new(1);
            bench.run(want, &[Try(0, outcome.clone()), Probe(0, met)]);
            let view = bench.keyring.views(bench.platform, bench.now).next();
            assert_eq!(view.and_then(|view| view.error), Some(want));
        }
    }
}

#[test]
fn a_limit_that_is_over_is_no_error() {
    let mut bench = Bench::new(1);
    bench.run("limit", &[Try(0, SERVER_ERROR), Try(0, limited_for(5))]);
    for (seconds, want) in [(4, Some("429: rate-limited")), (1, None)] {
        bench.pass(seconds);
        let view = bench.keyring.views(bench.platform, bench.now).next();
        assert_eq!(view.and_then(|view| view.error), want);
    }
}

#[test]
fn tries_that_were_under_way_together() {
    let rows: [(&str, Vec<Outcome>, &str, u64); 9] = [
        (
            "an older success does not end a cooling",
            vec![limited_for(9), Answered],
            "c",
            9,
        ),
        (
            "limits met together double once",
            vec![LIMITED, LIMITED, LIMITED],
            "c",
            30,
        ),
        (
            "a newer stated time counts",
            vec![limited_for(9), limited_for(4)],
            "c",
            4,
        ),
        (
            "one without a time does not change a stated one",
            vec![limited_for(9), LIMITED],
            "c",
            9,
        ),
        (
            "failures after the fifth are of the same outage",
            vec![SERVER_ERROR; 9],
            "f",
            10,
        ),
        (
            "a limit met during an outage is one all the same",
            [vec![SERVER_ERROR; 5], vec![LIMITED; 2]].concat(),
            "c",
            30,
        ),
        (
            "an older failure does not end a cooling",
            vec![limited_for(9), SERVER_ERROR],
            "c",
            9,
        ),
        (
            "a rejection counts all the same",
            vec![limited_for(9), rejected()],
            "x",
            0,
        ),
        (
            "an older success does not undo a rejection",
            vec![rejected(), Answered],
            "x",
            0,
        ),
    ];
    for (name, outcomes, state, seconds) in rows {
        let mut bench = Bench::new(1);
        let permits: Vec<Permit> = outcomes.iter().map(|_| bench.pick()).collect();
        bench.pass(1);
        for (permit, outcome) in permits.into_iter().zip(outcomes) {
            bench.end(permit, outcome);
        }
        assert_eq!(bench.states(), state, "{name}");
        if seconds > 0 {
            bench.pass(seconds - 1);
            assert_eq!(bench.states(), state, "{name}, before its end");
            bench.pass(1);
            assert_ne!(bench.states(), state, "{name}, at its end");
        }
    }
}

#[test]
fn what_befalls_a_key_several_times_in_one_turn_befell_it_once() {
    for (outcome, state, seconds) in [(LIMITED, "c", 30), (SERVER_ERROR, "f", 10)] {
        let mut bench = Bench::new(1);
        let permits: Vec<Permit> = (0..20).map(|_| bench.pick()).collect();
        for permit in permits {
            bench.end(permit, outcome.clone());
        }
        bench.run(
            "in one turn",
            &[Pass(seconds - 1), States(state), Pass(1), States("u")],
        );
    }
}
