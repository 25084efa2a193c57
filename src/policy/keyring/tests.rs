//! Scripts of requests' tries: which key is picked, and what an outcome does to it.

mod answers;
mod property;
mod reloads;

use super::*;
use crate::base::testing::now;
use crate::policy::testing::{rejected, secrets};

/// A platform's keys and the time.
struct Bench {
    keyring: Keyring,
    platform: PlatformId,
    keys: Vec<KeyId>,
    now: Now,
}

/// What a script does; keys are named by their place.
#[derive(Clone, Debug)]
enum Do {
    /// A first try gets this key, and has this outcome.
    Try(usize, Outcome),
    /// A first try gets no key.
    Refused(NoKey),
    /// A probe of this key has this outcome.
    Probe(usize, Outcome),
    /// This many seconds pass.
    Pass(u64),
    /// The keys are in these states: `u`nknown, `h`ealthy, `c`ooling (rate-limited), `f` (cooling for failures), or `x`
    /// (unhealthy).
    States(&'static str),
}

use Do::{Pass, Probe, Refused, States, Try};

const SERVER_ERROR: Outcome = Outcome::ServerError { status: 503 };
const TIMEOUT: Outcome = Outcome::Timeout { what: "no head" };
const LIMITED: Outcome = Outcome::RateLimited { wait: None };
use Outcome::{Answered, Canceled, Forbidden};

fn limited_for(seconds: u64) -> Outcome {
    Outcome::RateLimited {
        wait: Some(Duration::from_secs(seconds)),
    }
}

fn network() -> Outcome {
    Outcome::NetworkFailure {
        what: "connection refused".to_string(),
    }
}

fn free_in(seconds: u64) -> Do {
    Refused(NoKey::RateLimited {
        retry_after: Duration::from_secs(seconds),
    })
}

impl Bench {
    fn new(count: usize) -> Bench {
        let names: Vec<String> = (0..count).map(|place| format!("sk-{place}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut keyring = Keyring::default();
        let mut ids = keyring.reload(&[("p", &secrets(&names))]);
        let (platform, keys) = ids.remove(0);
        Bench {
            keyring,
            platform,
            keys,
            now: now(),
        }
    }

    fn pick(&mut self) -> Permit {
        let picked = self.keyring.pick(self.platform, &self.keys, &[], self.now);
        picked.expect("a key is usable")
    }

    fn end(&mut self, permit: Permit, outcome: Outcome) {
        self.keyring.learn(&permit, outcome, self.now);
        permit.release();
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now.after(Duration::from_secs(seconds));
    }

    fn states(&self) -> String {
        let cause = |id: KeyId| {
            let key = &self.keyring.keys[id.0 as usize];
            key.cooling_now(self.now).map(|cooling| cooling.cause)
        };
        let letter = |view: KeyView<'_>| match (view.state, cause(view.id)) {
            (KeyState::Unknown, _) => 'u',
            (KeyState::Healthy, _) => 'h',
            (KeyState::Cooling { .. }, Some(Cause::RateLimited)) => 'c',
            (KeyState::Cooling { .. }, Some(Cause::Failing) | None) => 'f',
            (KeyState::Unhealthy, _) => 'x',
        };
        self.keyring
            .views(self.platform, self.now)
            .map(letter)
            .collect()
    }

    fn run(&mut self, name: &str, script: &[Do]) {
        for (step, what) in script.iter().enumerate() {
            let place = format!("{name}, step {step}: {what:?}");
            match what {
                Try(key, outcome) => {
                    let permit = self.pick();
                    assert_eq!(permit.key(), self.keys[*key], "{place}");
                    self.end(permit, outcome.clone());
                }
                Refused(want) => {
                    let refused = self.keyring.pick(self.platform, &self.keys, &[], self.now);
                    assert_eq!(refused.map(|permit| permit.key()), Err(*want), "{place}");
                }
                Probe(key, outcome) => {
                    let permit = self.keyring.permit(self.keys[*key], self.now);
                    self.keyring
                        .learn_by_probe(&permit, outcome.clone(), self.now);
                    permit.release();
                }
                Pass(seconds) => self.pass(*seconds),
                States(want) => assert_eq!(self.states(), *want, "{place}"),
            }
        }
    }
}

fn times(count: usize, what: &Do) -> Vec<Do> {
    vec![what.clone(); count]
}

#[test]
fn round_robin_over_what_is_usable() {
    let rows: [(&str, usize, Vec<Do>); 4] = [
        ("no key", 0, vec![Refused(NoKey::NoKeys)]),
        (
            "one key",
            1,
            vec![Try(0, Answered), Try(0, Answered), States("h")],
        ),
        (
            "in turn",
            3,
            vec![
                States("uuu"),
                Try(0, Answered),
                Try(1, Canceled),
                Try(2, Answered),
                Try(0, Answered),
                States("huh"),
            ],
        ),
        (
            "a cooling one is skipped until it is free",
            3,
            vec![
                Try(0, Answered),
                Try(1, limited_for(5)),
                Try(2, Answered),
                Try(0, Answered),
                Try(2, Answered),
                States("hch"),
                Pass(5),
                Try(0, Answered),
                Try(1, Answered),
                States("hhh"),
            ],
        ),
    ];
    for (name, count, script) in rows {
        Bench::new(count).run(name, &script);
    }
}

#[test]
fn keys_that_probes_look_at() {
    let rows: [(&str, usize, Vec<Do>); 4] = [
        (
            "an unhealthy one is skipped until a probe finds it well",
            2,
            vec![
                Try(0, rejected()),
                Try(1, Answered),
                Try(1, Answered),
                Pass(100_000),
                States("xh"),
                Probe(0, Answered),
                Try(0, Answered),
                States("hh"),
            ],
        ),
        (
            "a 403 costs nothing before its probe",
            2,
            vec![
                Try(0, Forbidden),
                States("uu"),
                Probe(0, Forbidden),
                States("xu"),
                Try(1, Answered),
            ],
        ),
        (
            "a 403 whose probe succeeds",
            1,
            vec![Try(0, Forbidden), Probe(0, Answered), States("h")],
        ),
        (
            "a probe that reaches nobody says nothing",
            1,
            vec![
                Probe(0, network()),
                Probe(0, TIMEOUT),
                States("u"),
                Probe(0, rejected()),
                Probe(0, network()),
                States("x"),
            ],
        ),
    ];
    for (name, count, script) in rows {
        Bench::new(count).run(name, &script);
    }
}

#[test]
fn when_none_is_usable() {
    let rows: [(&str, usize, Vec<Vec<Do>>); 4] = [
        (
            "all unhealthy",
            2,
            vec![vec![
                Try(0, rejected()),
                Try(1, rejected()),
                Refused(NoKey::NoneHealthy),
            ]],
        ),
        (
            "all rate-limited: the first one that is free says when",
            3,
            vec![vec![
                Try(0, limited_for(50)),
                Try(1, limited_for(20)),
                Try(2, limited_for(90)),
                free_in(20),
                Pass(7),
                free_in(13),
                Pass(13),
                Try(1, Answered),
            ]],
        ),
        (
            "one rate-limited, one unhealthy",
            2,
            vec![vec![Try(0, limited_for(9)), Try(1, rejected()), free_in(9)]],
        ),
        (
            "an unhealthy key that was cooling is not waited for",
            1,
            vec![vec![
                Try(0, limited_for(9)),
                Probe(0, rejected()),
                Refused(NoKey::NoneHealthy),
            ]],
        ),
    ];
    for (name, count, script) in rows {
        Bench::new(count).run(name, &script.concat());
    }
}

#[test]
fn failing_keys_are_tried_anyway() {
    let fail = |key| times(5, &Try(key, SERVER_ERROR));
    let rows: [(&str, usize, Vec<Vec<Do>>); 4] = [
        (
            "failing ones are tried anyway",
            1,
            vec![fail(0), vec![States("f"), Try(0, Answered), States("h")]],
        ),
        (
            "the one that is free first, and not the rate-limited one",
            3,
            vec![
                vec![Try(0, limited_for(1)), Try(1, rejected())],
                fail(2),
                vec![
                    States("cxf"),
                    Try(2, Canceled),
                    Try(2, Canceled),
                    Pass(1),
                    Try(0, Answered),
                ],
            ],
        ),
        (
            "of two failing ones the one that is free first",
            2,
            vec![
                (0..4)
                    .flat_map(|_| [Try(0, SERVER_ERROR), Try(1, TIMEOUT)])
                    .collect(),
                vec![Try(0, network()), Pass(1), Try(1, network()), States("ff")],
                vec![
                    Try(0, Canceled),
                    Try(0, Canceled),
                    Pass(9),
                    Try(0, SERVER_ERROR),
                    States("ff"),
                ],
                vec![Try(1, Canceled), States("ff")],
            ],
        ),
        (
            "a usable key comes before the failing one",
            2,
            vec![
                vec![Try(0, limited_for(3)), Pass(0)],
                fail(1),
                vec![Pass(3), Try(0, Answered), Try(0, Answered), States("hf")],
            ],
        ),
    ];
    for (name, count, script) in rows {
        Bench::new(count).run(name, &script.concat());
    }
}

#[test]
fn keys_that_were_tried_are_not_picked_again() {
    let mut bench = Bench::new(3);
    bench.run("one cools", &[Try(0, Answered), Try(1, limited_for(9))]);
    let keys = bench.keys.clone();
    for (tried, want) in [
        (vec![], Ok(2)),
        (vec![2], Ok(0)),
        (vec![0], Ok(2)),
        (
            vec![0, 2],
            Err(NoKey::RateLimited {
                retry_after: Duration::from_secs(9),
            }),
        ),
    ] {
        let tried: Vec<KeyId> = tried.into_iter().map(|place: usize| keys[place]).collect();
        let (platform, now) = (bench.platform, bench.now);
        let picked = bench.keyring.pick(platform, &bench.keys, &tried, now);
        let found = picked.map(|permit| {
            let key = permit.key();
            bench.end(permit, Canceled);
            key
        });
        assert_eq!(found, want.map(|place: usize| keys[place]), "{tried:?}");
    }
}

#[test]
fn a_retry_does_not_fall_back_on_failing_keys() {
    let mut bench = Bench::new(2);
    bench.run("one fails", &[Try(0, rejected())]);
    bench.run("the other too", &times(5, &Try(1, SERVER_ERROR)));
    let tried = [bench.keys[0]];
    let found = bench
        .keyring
        .pick(bench.platform, &bench.keys, &tried, bench.now);
    assert_eq!(found.map(|permit| permit.key()), Err(NoKey::NoneHealthy));
}

#[test]
fn labels_of_states_are_all_listed() {
    let cooling = KeyState::Cooling { until_unix_ms: 0 };
    let all = [
        KeyState::Unknown,
        KeyState::Healthy,
        cooling,
        KeyState::Unhealthy,
    ];
    assert_eq!(all.map(KeyState::label), KeyState::LABELS);
}
