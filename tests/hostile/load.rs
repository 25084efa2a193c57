//! Load that hurts, while honest streams go on: each of them comes whole, and memory stays within the bound that README
//! computes from the configuration.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::attacks::{self, endless, generous, silent};
use crate::streams::Source;
use crate::support::proxy::{CLIENT_KEY, Proxy, ROOT_KEY};

/// Attackers of each kind: the short form, the long one.
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
            going: 10_000,
            broken: 100,
        },
    }
}

/// What README promises, in KB. Kept bodies aside, of which there are none here.
mod bound {
    /// Without any client.
    pub const PROGRAM: u64 = 16 * 1024;
    pub const IDLE: u64 = 4;
    /// Buffer of an end that is stalled, each way.
    pub const BUFFER: u64 = 88;
}

fn entry(name: &str, base_url: &str) -> serde_json::Value {
    json!({
        "name": name, "base_url": base_url, "api_path": "/v1", "health_check_endpoint": "/probe",
        "keys": [format!("key-of-platform-{name}")],
    })
}

#[test]
fn honest_streams_go_on_while_others_attack() {
    rlimit::increase_nofile_limit(u64::MAX).expect("the limit can be asked for");
    let (source, generous, endless, silent) = (Source::new(), generous(), endless(), silent());
    let platforms = json!([
        entry("honest", &source.platform.base_url()),
        entry("big", &generous.base_url()),
        entry("endless", &endless.base_url()),
        entry("silent", &silent.base_url().replace("http:", "https:")),
    ]);
    let keys = json!([{"key": ROOT_KEY, "is_root": true}, {"key": CLIENT_KEY}]);
    let config = json!({
        "header_timeout_seconds": 3, "response_timeout_seconds": 4, "connect_timeout_seconds": 3,
        "idle_timeout_seconds": 4,
    });
    let proxy = Proxy::with_keys(config, &keys, &platforms);
    let counts = counts();
    type Attack<'a> = (&'a str, Box<dyn Fn() + 'a>);
    let proxy = &proxy;
    let attacks: Vec<Attack> = vec![
        (
            "slow heads",
            Box::new(|| {
                let resident = attacks::slow_heads(proxy, counts.slow);
                is_within(resident, counts.slow, bound::IDLE);
            }),
        ),
        (
            "clients that come and go",
            Box::new(|| {
                attacks::coming_and_going(proxy, counts.going);
            }),
        ),
        (
            "clients that never read",
            Box::new(|| {
                let resident = attacks::never_reading(proxy, counts.never_reading);
                is_within(
                    resident,
                    counts.never_reading,
                    bound::IDLE + 2 * bound::BUFFER,
                );
            }),
        ),
        (
            "platforms' endless heads",
            Box::new(|| {
                attacks::endless_heads(proxy, counts.broken);
            }),
        ),
        (
            "platforms' stalled handshakes",
            Box::new(|| {
                attacks::stalled_platform_handshakes(proxy, counts.broken);
            }),
        ),
        (
            "chunks of one byte",
            Box::new(|| {
                attacks::one_byte_chunks(proxy, counts.broken);
            }),
        ),
        (
            "endless chunk lines",
            Box::new(|| {
                attacks::endless_chunk_lines(proxy, counts.broken);
            }),
        ),
        (
            "pipelined requests",
            Box::new(|| {
                attacks::pipelined(proxy, counts.broken);
            }),
        ),
    ];
    let streams = source.begin(proxy.port(), attacks.len() + 1);
    streams.go_on(Duration::from_secs(if is_long() { 10 } else { 1 }));
    for (_, attack) in &attacks {
        streams.next_phase();
        let until = Instant::now() + Duration::from_secs(if is_long() { 10 } else { 1 });
        while Instant::now() < until {
            attack();
        }
    }
    let delays = streams.end();
    let names = std::iter::once("no attack").chain(attacks.iter().map(|(name, _)| *name));
    for (name, delays) in names.zip(&delays) {
        assert!(!delays.is_empty(), "{name}: no event came");
        let at = |share: usize| delays[(delays.len() - 1) * share / 100].as_micros();
        println!(
            "{name}: {} events, delay p50 {} us, p99 {} us, the longest {} us",
            delays.len(),
            at(50),
            at(99),
            at(100)
        );
    }
    println!("resident in the end: {} KB", proxy.resident_kilobytes());
}

/// `count` clients need no more than `each` KB.
fn is_within(resident: u64, count: usize, each: u64) {
    let bound = bound::PROGRAM + (count as u64 + 200) * each;
    println!("{count} clients, {each} KB each at most: {resident} KB of {bound} KB");
    assert!(resident <= bound, "{resident} KB are more than {bound} KB");
}
