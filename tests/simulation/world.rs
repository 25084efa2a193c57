//! One run: clients, the proxy and platforms take turns until everyone has gone.

use std::time::{Duration, Instant};

use ai_api_proxy::base::now::Now;

use super::client::Client;
use super::ledger::Ledger;
use super::platform::Platform;
use super::random::Random;
use super::script::Conduct;
use super::server::Server;

/// More turns than any run needs; a run that exceeds it is an endless loop.
const TURNS_MAX: usize = 60_000;

/// What one run did, for the sum of all.
#[derive(Debug, Default)]
pub struct Summary {
    pub turns: usize,
    pub answered: u64,
    pub answered_by_platform: u64,
    pub cut: u64,
    pub canceled: u64,
    pub probes: u64,
    /// Turns at whose end some session was a stream.
    pub turns_with_streams: usize,
}

struct World {
    server: Server,
    clients: Vec<Client>,
    platforms: Vec<Platform>,
    ledger: Ledger,
    random: Random,
    now: Now,
    conduct: Conduct,
    /// The turn in which the clocks jump.
    jump: Option<(usize, Jump)>,
}

/// How the clocks jump by a day.
#[derive(Clone, Copy)]
enum Jump {
    /// The machine slept: all time has passed.
    Slept,
    /// Only the wall clock was set.
    Ahead,
    Back,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Runs the world of `seed` to its end.
pub fn run(seed: u64) -> Summary {
    // Every eighth world is without faults: there everything must succeed.
    let conduct = match seed.is_multiple_of(8) {
        true => Conduct::Flawless,
        false => Conduct::Anything,
    };
    run_with(seed, conduct)
}

/// Runs a world to its end in which all platforms behave as `conduct` says; unless that is `Anything`, all else is
/// flawless.
pub fn run_with(seed: u64, conduct: Conduct) -> Summary {
    let mut world = World::new(seed, conduct);
    let (mut turns, mut turns_with_streams) = (0, 0);
    while !world.is_over() {
        world.turn(turns);
        turns += 1;
        turns_with_streams += usize::from(world.server.scheduler.streams() > 0);
        assert!(
            turns < TURNS_MAX,
            "no end after {turns} turns: {}",
            world.describe()
        );
    }
    world.check();
    Summary {
        turns,
        answered: world.ledger.answered,
        answered_by_platform: world.ledger.answered_by_platform,
        cut: world.ledger.cut,
        canceled: world.ledger.doubtful,
        probes: world.ledger.probes,
        turns_with_streams,
    }
}

impl World {
    fn new(seed: u64, conduct: Conduct) -> World {
        let mut random = Random::new(seed);
        let has_faults = matches!(conduct, Conduct::Anything);
        let now = Now {
            instant: Instant::now(),
            unix_ms: 1_700_000_000_000,
        };
        let count = match conduct {
            Conduct::Flawless | Conduct::Anything => random.between(1, 8),
            // There are many such worlds, and a larger one would test nothing new.
            Conduct::BreaksOff(..) => 1,
        };
        let server = Server::new(count, has_faults, &mut random, now);
        let mut ledger = Ledger::new(!matches!(conduct, Conduct::Flawless));
        ledger.body_bytes_max = server.core.site.settings.max_body_bytes as usize;
        let clients = (0..count)
            .map(|number| Client::draw(number, has_faults, &mut ledger, &mut random))
            .collect();
        let jumps = has_faults && random.percent(10);
        let jump = jumps.then(|| {
            let kinds = [Jump::Slept, Jump::Ahead, Jump::Back];
            (random.between(1, 400), random.pick(&kinds))
        });
        World {
            clients,
            server,
            platforms: Vec::new(),
            ledger,
            now,
            conduct,
            jump,
            random,
        }
    }

    fn is_over(&self) -> bool {
        self.clients.iter().all(Client::has_gone) && self.server.scheduler.is_empty()
    }

    fn turn(&mut self, turn: usize) {
        // Not everyone acts in every turn; those that did not may have something to do.
        let all_come = self.random.percent(50);
        let mut acted = !all_come;
        for client in &mut self.clients {
            if all_come || self.random.percent(70) {
                acted |= client.act(&mut self.server, &mut self.ledger, self.now);
            }
        }
        for arrival in std::mem::take(&mut self.server.network.backlog) {
            self.platforms
                .push(Platform::new(arrival, self.conduct, &mut self.random));
        }
        for platform in &mut self.platforms {
            if all_come || self.random.percent(70) {
                acted |= platform.act(&mut self.ledger, self.now);
            }
        }
        self.platforms.retain(|platform| !platform.is_over());
        let worked = self.server.turn(&mut self.random, self.now);
        self.let_time_pass(acted || worked || self.server.has_work(), turn);
    }

    /// A little while anyone has something to do, else up to the next time at which anyone has.
    fn let_time_pass(&mut self, is_busy: bool, turn: usize) {
        match self.jump.filter(|(at, _)| *at == turn) {
            Some((_, Jump::Slept)) => {
                self.now = self.now.after(DAY);
                for client in &mut self.clients {
                    client.excuse();
                }
                return;
            }
            Some((_, Jump::Ahead)) => self.now.unix_ms += DAY.as_millis() as u64,
            Some((_, Jump::Back)) => self.now.unix_ms -= DAY.as_millis() as u64,
            None => {}
        }
        if is_busy {
            self.now = self.now.after(self.random.milliseconds(0, 2));
            return;
        }
        let clients = self.clients.iter().filter_map(Client::wakes_at);
        let platforms = self.platforms.iter().filter_map(Platform::wakes_at);
        let next = clients.chain(platforms).chain(self.server.deadline()).min();
        let next = next.unwrap_or_else(|| panic!("stuck: {}", self.describe()));
        let wait = next.saturating_duration_since(self.now.instant);
        // Whole milliseconds, rounded up, as the poll sleeps.
        let wait = Duration::from_millis(wait.as_nanos().div_ceil(1_000_000) as u64);
        self.now = self.now.after(wait);
    }

    fn describe(&self) -> String {
        let clients: Vec<String> = self.clients.iter().map(Client::describe).collect();
        format!(
            "{} sessions, clients:\n{}",
            self.server.scheduler.len(),
            clients.join("\n")
        )
    }

    fn check(&self) {
        self.server.check_settled(self.now);
        let totals = self.server.core.figures.totals();
        let (counted, doubtful) = (self.ledger.counted, self.ledger.doubtful);
        assert!(
            (counted..=counted + doubtful).contains(&totals.requests),
            "{counted} requests ended, up to {doubtful} more may have; counted: {}",
            totals.requests
        );
        if !self.ledger.has_faults {
            // What a client was too slow to take before the connection's end is the only loss.
            assert_eq!(
                self.ledger.answered_by_platform + self.ledger.cut,
                self.ledger.requests.len() as u64
            );
            assert!(self.ledger.requests.values().all(|entry| entry.tries == 1));
        }
    }
}
