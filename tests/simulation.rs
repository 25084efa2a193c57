//! The real sessions, exchanges and policy over fake sockets and a fake clock: random clients and platforms, one world
//! for each seed. `SIM_SEEDS=0..20000` runs more of them, `SIM_SEED=7` a single one, with a trace in the log.

#[path = "simulation/answers.rs"]
mod answers;
#[path = "simulation/client.rs"]
mod client;
#[path = "support/dns.rs"]
mod dns;
#[path = "simulation/ledger.rs"]
mod ledger;
#[path = "simulation/nameservers.rs"]
mod nameservers;
#[path = "simulation/network.rs"]
mod network;
#[path = "simulation/plan.rs"]
mod plan;
#[path = "simulation/platform.rs"]
mod platform;
#[path = "simulation/random.rs"]
mod random;
#[path = "simulation/reader.rs"]
mod reader;
#[path = "simulation/script.rs"]
mod script;
#[path = "simulation/server.rs"]
mod server;
#[path = "simulation/wire.rs"]
mod wire;
#[path = "simulation/world.rs"]
mod world;

use std::ops::Range;

use script::{Conduct, Ending, Form};

/// Worlds that each `cargo test` runs.
const SEEDS: Range<u64> = 0..256;

/// The longest answer, head and body, that is cut after each of its bytes.
const BROKEN_BYTES_MAX: usize = 190;

/// Names the world when its run fails.
struct Replay(String);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the world that failed: {}", self.0);
        }
    }
}

#[test]
fn every_world_ends_in_order() {
    if let Ok(seed) = std::env::var("SIM_SEED") {
        simple_logger::init_with_level(log::Level::Trace).expect("the first logger");
        println!("{:?}", run(number(&seed)));
        return;
    }
    let seeds = match std::env::var("SIM_SEEDS") {
        Ok(range) => {
            let (first, end) = range.split_once("..").expect("FIRST..END");
            number(first)..number(end)
        }
        Err(_) => SEEDS,
    };
    let mut sum = world::Summary::default();
    for seed in seeds {
        let done = run(seed);
        sum.turns += done.turns;
        sum.answered += done.answered;
        sum.answered_by_platform += done.answered_by_platform;
        sum.cut += done.cut;
        sum.canceled += done.canceled;
        sum.probes += done.probes;
        sum.turns_with_streams += done.turns_with_streams;
    }
    println!("{sum:?}");
    assert!(sum.answered_by_platform > 0 && sum.cut > 0 && sum.canceled > 0 && sum.probes > 0);
    assert!(sum.turns_with_streams > 0);
}

fn number(text: &str) -> u64 {
    text.parse().expect("a seed is a number")
}

fn run(seed: u64) -> world::Summary {
    let _replay = Replay(format!("SIM_SEED={seed} cargo test --test simulation"));
    world::run(seed)
}

#[test]
fn platforms_break_off_at_every_byte() {
    let (mut cut, mut whole) = (0, 0);
    for offset in 0..BROKEN_BYTES_MAX {
        for form in [Form::Length, Form::Chunked, Form::UntilEnd] {
            for ending in [Ending::Finish, Ending::Close, Ending::Reset] {
                let conduct = Conduct::BreaksOff(form, offset, ending);
                let _replay = Replay(format!("{conduct:?}"));
                let done = world::run_with(offset as u64, conduct);
                cut += done.cut;
                whole += done.answered_by_platform;
            }
        }
    }
    assert!(cut > 0 && whole > 0, "{cut} were cut, {whole} were not");
}
