//! Where the program under test runs: beside the test, or in a network of its own, which the test reaches as from another
//! machine.

use std::process::Command;

/// Set for a test whose programs run in the other network.
pub const APART: &str = "TEST_PROGRAMS_APART";

/// That network's name, and both ends of the way there.
pub const NETWORK: &str = "programs";
pub const TEST_HOST: &str = "10.0.0.1";
pub const PROGRAMS_HOST: &str = "10.0.0.2";

const HERE: &str = "127.0.0.1";

pub fn is_apart() -> bool {
    std::env::var_os(APART).is_some()
}

/// Where what the test serves is reached.
pub fn test_host() -> &'static str {
    if is_apart() { TEST_HOST } else { HERE }
}

/// Where programs are reached.
pub fn programs_host() -> &'static str {
    if is_apart() { PROGRAMS_HOST } else { HERE }
}

/// Where programs listen: from both networks they are reached.
pub fn listening_host() -> &'static str {
    if is_apart() { "0.0.0.0" } else { HERE }
}

/// Starts `program` where programs run. What it starts itself is there, too.
pub fn command(program: &str) -> Command {
    if !is_apart() {
        return Command::new(program);
    }
    let mut command = Command::new("ip");
    command.args(["netns", "exec", NETWORK, program]);
    command.env_remove(APART);
    command
}
