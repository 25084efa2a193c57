//! A clock that was ahead and is set back: the program meets what was recorded meanwhile, in the journal that it opens
//! or from a process beside it. It locks no one out for longer than README says, and counts what is of this day.
//!
//! No clock is set here, since it is the machine's. How a running program deals with a clock that is set is tested
//! where its parts are told the time: in the simulation, and in the tests of limits.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use ai_api_proxy::base::client::ClientSpec;
use ai_api_proxy::base::now::Now;
use ai_api_proxy::base::secret::Secret;
use ai_api_proxy::ledger::Ledger;
use ai_api_proxy::policy::access::Clients;
use ai_api_proxy::policy::keyring::{Keyring, Outcome};

use crate::support::client::Answer;
use crate::support::platform::Platform;
use crate::support::proxy::{Proxy, ROOT_KEY};
use crate::support::{PATIENCE, unix_ms};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How far the clock was ahead. The first is in no hour that begins while the test runs.
const AHEAD: [Duration; 3] = [Duration::from_secs(5400), DAY, DAY.saturating_mul(365)];

/// Keys with a daily limit, with an hourly limit, with a cooldown, and with none of them.
const DAILY: &str = "key-with-a-daily-limit";
const HOURLY: &str = "key-with-an-hourly-limit";
const PAUSING: &str = "key-with-a-pause";
const FREE: &str = "key-without-a-limit";

const LIMIT: u64 = 5;
/// Requests of the first key by the right clock.
const TODAY: u64 = 2;
const PAUSE_SECONDS: u64 = 3600;

/// A platform, and its key, which was rate-limited without a stated time: it cools for 30 s.
const LIMITED: &str = "limited";
const LIMITED_KEY: &str = "platform-key-limited";
const COOLING_MS: u64 = 30_000;

#[test]
fn a_journal_from_a_clock_that_was_ahead() {
    for ahead in AHEAD {
        within_a_day(|| {
            let platform = Platform::answering("{}");
            let mut proxy = prepare(&platform);
            let then = live(&proxy, ahead);
            proxy.start_again();
            meets(&mut proxy, then);
        });
    }
}

#[test]
fn another_process_whose_clock_is_ahead() {
    for ahead in AHEAD {
        within_a_day(|| {
            let platform = Platform::answering("{}");
            let mut proxy = prepare(&platform);
            proxy.start_again();
            let then = live(&proxy, ahead);
            let since = Instant::now();
            while client(&proxy.page("/stats"), FREE)["day"]["used"] != 1 {
                assert!(
                    since.elapsed() < PATIENCE,
                    "it does not read what others write"
                );
            }
            meets(&mut proxy, then);
        });
    }
}

/// Records count for their day: if a day ends meanwhile, the outcome differs, and the story is run again.
fn within_a_day(story: impl Fn()) {
    loop {
        let begun = day(now());
        match catch_unwind(AssertUnwindSafe(&story)) {
            Err(_) if day(now()) != begun => {}
            Err(failure) => resume_unwind(failure),
            Ok(()) => return,
        }
    }
}

fn prepare(platform: &Platform) -> Proxy {
    let keys = json!([
        {"key": ROOT_KEY, "is_root": true},
        {"key": DAILY, "name": DAILY, "daily_limit": LIMIT},
        {"key": HOURLY, "name": HOURLY, "hourly_limit": LIMIT},
        {"key": PAUSING, "name": PAUSING, "cooldown_seconds": PAUSE_SECONDS},
        {"key": FREE, "name": FREE},
    ]);
    let mut limited = platform.entry(&[LIMITED_KEY]);
    limited["name"] = json!(LIMITED);
    let platforms = json!([platform.entry(&["platform-key-1"]), limited]);
    Proxy::prepare(json!({}), &keys, &platforms)
}

/// What a process records whose clock is right at first and then ahead, until every limit is used up. Returns the time
/// that it had in the end.
fn live(proxy: &Proxy, ahead: Duration) -> Now {
    let spec = |key: &str, hourly_limit, daily_limit, cooldown_seconds| ClientSpec {
        key: Secret::new(key),
        name: None,
        is_root: false,
        daily_limit,
        hourly_limit,
        cooldown_seconds,
        expires_unix_seconds: None,
        platforms: None,
    };
    let mut clients = Clients::new(vec![
        spec(DAILY, 0, LIMIT, 0),
        spec(HOURLY, LIMIT, 0, 0),
        spec(PAUSING, 0, 0, PAUSE_SECONDS),
        spec(FREE, 0, 0, 0),
    ]);
    let mut keyring = Keyring::default();
    let (platform, keys) = keyring
        .reload(&[(LIMITED, &[Secret::new(LIMITED_KEY)])])
        .remove(0);
    let right = now();
    let path = proxy.folder().join("usage.journal");
    let opened = Ledger::open(&path, 1, &mut clients, &mut keyring, right);
    let (mut ledger, _) = opened.expect("a journal");
    let mut ask = |key: &str, times, now| {
        let id = clients.identify(key.as_bytes()).expect("it is known");
        for _ in 0..times {
            let Ok(quota) = clients.admit(id, "test", true, now) else {
                return;
            };
            ledger.admitted(id, quota, &clients, now);
        }
    };
    let wrong = right.after(ahead);
    ask(DAILY, TODAY, right);
    for key in [DAILY, HOURLY, PAUSING] {
        ask(key, u64::MAX, wrong);
    }
    ask(FREE, 1, right);
    let permit = keyring
        .pick(platform, &keys, &[], wrong)
        .expect("it is usable");
    keyring.learn(&permit, Outcome::RateLimited { wait: None }, wrong);
    permit.release();
    ledger.write(&mut keyring, wrong);
    wrong
}

fn day(now: Now) -> u64 {
    now.unix_seconds() / DAY.as_secs()
}

fn now() -> Now {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Now {
        instant: Instant::now(),
        unix_ms: since.expect("later").as_millis() as u64,
    }
}

/// How a process with the right clock deals with that, and those after it.
fn meets(proxy: &mut Proxy, then: Now) {
    let is_today = day(then) == day(now());
    let mut used = if is_today { LIMIT } else { TODAY };
    let stats = proxy.page("/stats");
    let is_kept = |stats: &Value, used: u64| {
        let today = &client(stats, DAILY)["day"];
        assert_eq!(today["used"], used, "{today}");
        let ends = unix_ms(&today["resets_at"]) / 1000;
        assert_eq!(ends, (day(now()) + 1) * DAY.as_secs(), "{today}");
    };
    is_kept(&stats, used);
    assert_eq!(client(&stats, HOURLY)["hour"]["used"], 0);
    for key in [DAILY, HOURLY, PAUSING, FREE] {
        let until = &client(&stats, key)["cooldown_until"];
        assert!(until.is_null(), "{key}: {until}");
    }
    let cooling = &stats["platforms"][LIMITED]["keys"][0]["cooling_until"];
    if !cooling.is_null() {
        let left_ms = unix_ms(cooling).saturating_sub(unix_ms(&stats["timestamp"]));
        assert!(left_ms <= COOLING_MS, "{left_ms} ms");
    }
    assert_eq!(ask(proxy, HOURLY).status, 200);
    assert_eq!(ask(proxy, PAUSING).status, 200);
    while used < LIMIT {
        assert_eq!(ask(proxy, DAILY).status, 200);
        used += 1;
    }
    for _ in 0..3 {
        refuses(proxy, DAILY, "daily_limit", DAY.as_secs());
        refuses(proxy, PAUSING, "cooldown", PAUSE_SECONDS);
        proxy.stop();
        proxy.start_again();
        is_kept(&proxy.page("/stats"), used);
    }
}

fn ask(proxy: &Proxy, key: &str) -> Answer {
    proxy.answer(&format!(
        "GET /test/v1/x HTTP/1.1\r\nAuthorization: Bearer {key}"
    ))
}

fn refuses(proxy: &Proxy, key: &str, code: &str, seconds_max: u64) {
    let answer = ask(proxy, key);
    assert_eq!((answer.status, answer.error_code().as_str()), (429, code));
    let wait = answer.retry_after();
    assert!((1..=seconds_max).contains(&wait), "{key}: {wait} s");
}

/// What `/stats` reports on a client key.
fn client<'s>(stats: &'s Value, name: &str) -> &'s Value {
    let clients = stats["clients"].as_array().expect("clients");
    let client = clients.iter().find(|client| client["name"] == name);
    client.expect("it is known")
}
