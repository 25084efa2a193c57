//! What tests of the whole binary share: a proxy in a folder of its own, a client that sends raw bytes, and a platform
//! that does what a test tells it. Each test program uses a part of it.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod client;
pub mod dns;
pub mod place;
pub mod platform;
pub mod proxy;

use std::fmt::Debug;
use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

/// How long anything may take for which no time is promised; a busy machine may need it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Says that `what` cannot be tested on this machine, and why. The harness, which hides what a test prints that passes,
/// does not see this line; `tests/run` repeats it at its end.
pub fn untested(what: &str, why: impl Debug) {
    let line = format!("\nNOT TESTED: {what}: {why:?}\n");
    let _ = io::stderr().write_all(line.as_bytes());
}

/// The time that a page shows, in milliseconds since 1970.
pub fn unix_ms(time: &Value) -> u64 {
    let time = humantime::parse_rfc3339(time.as_str().expect("a time")).expect("RFC 3339");
    let since = time.duration_since(UNIX_EPOCH).expect("later");
    since.as_millis() as u64
}
