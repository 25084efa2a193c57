//! Where the program under test runs: beside the test, or in a network namespace of its own, which the test reaches as
//! if from another machine.

use std::process::Command;

/// Set for a test whose programs run in the other network.
pub const APART: &str = "TEST_PROGRAMS_APART";

/// That network's name, and the addresses of both ends of the link to it.
pub const NETWORK: &str = "programs";
pub const TEST_HOST: &str = "10.0.0.1";
pub const PROGRAMS_HOST: &str = "10.0.0.2";

const HERE: &str = "127.0.0.1";

pub fn is_apart() -> bool {
    std::env::var_os(APART).is_some()
}

/// The address at which the test's own servers are reached.
pub fn test_host() -> &'static str {
    if is_apart() { TEST_HOST } else { HERE }
}

/// The address at which programs are reached.
pub fn programs_host() -> &'static str {
    if is_apart() { PROGRAMS_HOST } else { HERE }
}

/// The address on which programs listen, so that both networks reach them.
pub fn listening_host() -> &'static str {
    if is_apart() { "0.0.0.0" } else { HERE }
}

/// A command that runs `program` where programs run. Its own children run there, too.
pub fn command(program: &str) -> Command {
    if !is_apart() {
        return Command::new(program);
    }
    let mut command = Command::new("ip");
    command.args(["netns", "exec", NETWORK, program]);
    command.env_remove(APART);
    command
}
