//! Harmful load while honest streams go on: each of these arrives whole, and memory stays within the bound that README
//! computes from the configuration.

use std::thread;
use std::time::{Duration, Instant};

use ai_api_proxy::capacity::Capacity;
use serde_json::{Value, json};

use crate::attacks::{self, endless, generous, silent, unreading};
use crate::honest::{Delays, Honest};
use crate::machine;
use crate::streams::STREAMS;
use crate::support::place;
use crate::support::proxy::{CLIENT_KEY, Proxy, ROOT_KEY};

/// How long each attack lasts at least when it is measured, in each of several rounds: the machine's pace changes within
/// seconds.
const SPAN: Duration = Duration::from_secs(2);

/// No further round begins after this time.
const ROUNDS: Duration = Duration::from_secs(25);

/// What an attack leaves behind is cleared away in this time, which counts for no phase of it.
const AFTER: Duration = Duration::from_millis(200);

/// The streams' first phase, and what lies between the others.
const BETWEEN: usize = 0;

/// Without an attack, with an attack on another proxy, and with an attack on the honest clients' proxy.
const PHASES_PER_ATTACK: usize = 3;

/// The number of attackers of each kind.
struct Counts {
    slow: usize,
    never_reading: usize,
    going: usize,
    broken: usize,
}

pub fn is_long() -> bool {
    std::env::var_os("HOSTILE_LONG").is_some()
}

fn counts() -> Counts {
    match is_long() {
        false => Counts {
            slow: 5000,
            never_reading: 500,
            going: 1000,
            broken: 10,
        },
        true => Counts {
            slow: 5000,
            never_reading: 5000,
            going: 3000,
            broken: 100,
        },
    }
}

/// What README promises, in KB, apart from kept bodies, of which there are none here.
mod bound {
    /// Without any client.
    pub const PROGRAM: u64 = 16 * 1024;
    pub const IDLE: u64 = 4;
    /// The buffer of a stalled end, in each direction.
    pub const BUFFER: u64 = 88;
    /// An upload that the platform does not take; and the same with an answer that the client does not read.
    pub const UPLOAD: u64 = 268;
    pub const BOTH: u64 = 450;
}

fn entry(name: &str, base_url: &str) -> Value {
    json!({
        "name": name, "base_url": base_url, "api_path": "/v1", "health_check_endpoint": "/probe",
        "keys": [format!("key-of-platform-{name}")],
    })
}

#[test]
fn honest_streams_go_on_while_others_attack() {
    if is_long() && !place::is_apart() {
        let test = "load::honest_streams_go_on_while_others_attack";
        if machine::runs_apart(test) {
            return;
        }
    }
    Capacity::raise().expect("the limit can be asked for");
    let mut honest = Honest::start();
    let platforms = platforms(&honest);
    let proxy = start(&platforms);
    if is_long() {
        machine::give_a_core_to(&[proxy.id(), honest.id()], std::process::id());
        machine::comes_first(honest.id());
    }
    let attacks = attacks();
    honest.begin(proxy.port(), 1 + PHASES_PER_ATTACK * attacks.len());
    if is_long() {
        measure(&attacks, honest, &proxy, &platforms);
    } else {
        for (number, (_, attack)) in attacks.iter().enumerate() {
            honest.enter(1 + number);
            attack(&proxy);
        }
        for (name, delays) in attacks.iter().zip(honest.end().iter().skip(1)) {
            println!("{}: {delays}", name.0);
        }
    }
}

/// What attackers cost the machine shows when they attack another proxy; the rest is the proxy's own. What no attack
/// costs varies from minute to minute as well, and is measured anew before each attack.
fn measure(attacks: &[(&str, Attack)], mut honest: Honest, proxy: &Proxy, platforms: &Value) {
    machine::give_way();
    let other = start(platforms);
    for (number, (_, attack)) in attacks.iter().enumerate() {
        let first = 1 + PHASES_PER_ATTACK * number;
        let begun = Instant::now();
        while begun.elapsed() < ROUNDS {
            honest.enter(first);
            thread::sleep(SPAN);
            for (place, target) in [&other, proxy].into_iter().enumerate() {
                honest.enter(first + 1 + place);
                let until = Instant::now() + SPAN;
                while Instant::now() < until {
                    attack(target);
                }
                honest.enter(BETWEEN);
                thread::sleep(AFTER);
            }
        }
    }
    let mut delays = honest.end().into_iter().skip(1);
    let mut next = || delays.next().expect("each phase was counted");
    for (name, _) in attacks {
        let (quiet, apart, own) = (next(), next(), next());
        let over = |than: &Delays| own.p99_us as f64 / than.p99_us.max(1) as f64;
        println!(
            "{name}: {own}\n  another proxy attacked: {apart}\n  no attack: {quiet}\n  p99 {:.2} and {:.2} times theirs",
            over(&apart),
            over(&quiet)
        );
    }
}

/// The honest platform, and those that misbehave or help attackers.
fn platforms(honest: &Honest) -> Value {
    let begin = || (generous(), endless(), silent());
    let (generous, endless, silent) = match is_long() {
        true => machine::giving_way(begin),
        false => begin(),
    };
    json!([
        entry("honest", honest.base_url()),
        entry("big", &generous.base_url()),
        entry("endless", &endless.base_url()),
        entry("silent", &silent.base_url().replace("http:", "https:")),
    ])
}

fn start(platforms: &Value) -> Proxy {
    let keys = json!([{"key": ROOT_KEY, "is_root": true}, {"key": CLIENT_KEY}]);
    let config = json!({
        "header_timeout_seconds": 3, "response_timeout_seconds": 4, "connect_timeout_seconds": 3,
        "idle_timeout_seconds": 4,
    });
    Proxy::with_keys(config, &keys, platforms)
}

type Attack = fn(&Proxy);

fn attacks() -> [(&'static str, Attack); 9] {
    [
        ("slow heads", |proxy| {
            let count = counts().slow;
            let resident = attacks::slow_heads(proxy, count);
            is_within(resident, count + *STREAMS, bound::IDLE);
        }),
        ("clients that come and go", |proxy| {
            attacks::coming_and_going(proxy, counts().going);
        }),
        ("clients that never read", |proxy| {
            let count = counts().never_reading;
            let resident = attacks::never_reading(proxy, count);
            is_within(resident, count + *STREAMS, bound::IDLE + 2 * bound::BUFFER);
        }),
        ("a download at full speed", |proxy| {
            attacks::downloading(proxy, counts().broken);
        }),
        ("platforms' endless heads", |proxy| {
            attacks::endless_heads(proxy, counts().broken);
        }),
        ("platforms' stalled handshakes", |proxy| {
            attacks::stalled_platform_handshakes(proxy, counts().broken);
        }),
        ("chunks of one byte", |proxy| {
            attacks::one_byte_chunks(proxy, counts().broken);
        }),
        ("endless chunk lines", |proxy| {
            attacks::endless_chunk_lines(proxy, counts().broken);
        }),
        ("pipelined requests", |proxy| {
            attacks::pipelined(proxy, counts().broken);
        }),
    ]
}

/// Clients that send without end to platforms that read nothing, and that read nothing themselves.
#[test]
fn what_neither_end_takes_stays_within_the_bound() {
    const CLIENTS: usize = 100;
    let platform = unreading();
    let proxy = start(&json!([entry("stuck", &platform.base_url())]));
    for (path, each) in [
        ("/stuck/v1/silent", bound::UPLOAD),
        ("/stuck/v1/big", bound::BOTH),
    ] {
        let resident = attacks::sending_without_end(&proxy, path, CLIENTS);
        is_within(resident, CLIENTS, each);
        // The load was there: what came of the body, and what was to be sent of it.
        let least = CLIENTS as u64 * 2 * bound::BUFFER;
        assert!(
            resident > least,
            "{path}: {resident} KB are less than {least} KB"
        );
    }
}

/// Asserts that `count` clients need no more than `each` KB each.
fn is_within(resident: u64, count: usize, each: u64) {
    let bound = bound::PROGRAM + count as u64 * each;
    println!("{count} clients, {each} KB each at most: {resident} KB of {bound} KB");
    assert!(resident <= bound, "{resident} KB are more than {bound} KB");
}
