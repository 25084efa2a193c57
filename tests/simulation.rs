//! The real sessions, exchanges and policy over fake sockets and a fake clock: random clients and platforms, one world
//! for each seed. `SIM_SEEDS=20000` runs more of them, `SIM_SEED=7` one alone, with its story in the log.

#[path = "simulation/answers.rs"]
mod answers;
#[path = "simulation/client.rs"]
mod client;
#[path = "simulation/ledger.rs"]
mod ledger;
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

/// Worlds that each `cargo test` runs.
const SEEDS: u64 = 256;

/// Names its seed when the run of it fails.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "the world that failed: SIM_SEED={} cargo test --test simulation",
                self.0
            );
        }
    }
}

#[test]
fn every_world_ends_in_order() {
    let number = |name| {
        let text: Option<String> = std::env::var(name).ok();
        text.map(|text| text.parse().expect("a seed is a number"))
    };
    if let Some(seed) = number("SIM_SEED") {
        simple_logger::init_with_level(log::Level::Trace).expect("the first logger");
        println!("{:?}", run(seed));
        return;
    }
    let mut sum = world::Summary::default();
    for seed in 0..number("SIM_SEEDS").unwrap_or(SEEDS) {
        let done = run(seed);
        sum.turns += done.turns;
        sum.answered += done.answered;
        sum.answered_by_platform += done.answered_by_platform;
        sum.cut += done.cut;
        sum.canceled += done.canceled;
        sum.probes += done.probes;
    }
    println!("{sum:?}");
    assert!(sum.answered_by_platform > 0 && sum.cut > 0 && sum.canceled > 0 && sum.probes > 0);
}

fn run(seed: u64) -> world::Summary {
    let _replay = Replay(seed);
    world::run(seed)
}
