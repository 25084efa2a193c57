//! Long random lives: permits in any order, whatever happens to the keys meanwhile.

use super::*;

const SEEDS: u64 = 256;
const STEPS: usize = 300;

/// xorshift64*: the same numbers for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

fn any_outcome(random: &mut Random) -> Outcome {
    match random.below(9) {
        0 => limited_for(random.below(100) as u64),
        1 => LIMITED,
        2 => rejected(),
        3 => Forbidden,
        4 => SERVER_ERROR,
        5 => network(),
        6 => TIMEOUT,
        7 => Canceled,
        _ => Answered,
    }
}

/// Picks, and compares what was picked with the states that the pages show.
fn pick(bench: &mut Bench, random: &mut Random, held: &mut Vec<Permit>) {
    let states = bench.states();
    let tried: Vec<KeyId> = bench
        .keys
        .iter()
        .copied()
        .filter(|_| random.below(4) == 0)
        .collect();
    let is_usable = |place: usize| matches!(states.as_bytes()[place], b'u' | b'h');
    let left = (0..bench.keys.len()).filter(|place| !tried.contains(&bench.keys[*place]));
    let has_usable = left.clone().any(is_usable);
    let now = bench.now;
    match bench.keyring.pick(bench.platform, &bench.keys, &tried, now) {
        Ok(permit) => {
            let place = bench.keys.iter().position(|key| *key == permit.key());
            let place = place.expect("only keys of the configuration are picked");
            let is_way_out = !has_usable && tried.is_empty() && states.as_bytes()[place] == b'f';
            assert!(
                is_way_out || is_usable(place) && !tried.contains(&permit.key()),
                "{states}"
            );
            held.push(permit);
        }
        Err(NoKey::NoKeys) => assert!(bench.keys.is_empty()),
        Err(NoKey::RateLimited { .. }) => assert!(!has_usable && states.contains('c'), "{states}"),
        Err(NoKey::NoneHealthy) => {
            assert!(!has_usable && !states.contains('c'), "{states}");
            assert!(!states.contains('f') || !tried.is_empty(), "{states}");
        }
    }
}

fn reload(bench: &mut Bench, random: &mut Random) {
    let names: Vec<String> = (0..5).map(|place| format!("sk-{place}")).collect();
    let chosen: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|_| random.below(3) > 0)
        .collect();
    bench.keys = bench
        .keyring
        .reload(&[("p", &secrets(&chosen))])
        .remove(0)
        .1;
}

/// The permits held for each key are as many as the pages show.
fn check(bench: &Bench, held: &[Permit], seed: u64) {
    for view in bench.keyring.views(bench.platform, bench.now) {
        let count = held.iter().filter(|permit| permit.key() == view.id).count();
        assert_eq!(view.in_flight as usize, count, "seed {seed}");
    }
}

#[test]
fn permits_are_counted_whatever_happens() {
    for seed in 1..=SEEDS {
        let mut random = Random(seed);
        let mut bench = Bench::new(5);
        let mut held: Vec<Permit> = Vec::new();
        for _ in 0..STEPS {
            match random.below(8) {
                0..=2 => pick(&mut bench, &mut random, &mut held),
                3 if !bench.keys.is_empty() => {
                    let key = bench.keys[random.below(bench.keys.len())];
                    let permit = bench.keyring.permit(key, bench.now);
                    bench
                        .keyring
                        .learn_by_probe(&permit, any_outcome(&mut random), bench.now);
                    held.push(permit);
                }
                4 | 5 if !held.is_empty() => {
                    let permit = held.swap_remove(random.below(held.len()));
                    if random.below(5) > 0 {
                        bench
                            .keyring
                            .learn(&permit, any_outcome(&mut random), bench.now);
                    }
                    permit.release();
                }
                6 => bench.pass(random.below(40) as u64),
                7 if random.below(10) == 0 => reload(&mut bench, &mut random),
                _ => {}
            }
            check(&bench, &held, seed);
        }
        while !held.is_empty() {
            held.swap_remove(random.below(held.len())).release();
        }
        check(&bench, &held, seed);
    }
}
