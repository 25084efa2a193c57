//! The time of one turn of the loop. State machines are given it; they never read a clock.

use std::time::{Duration, Instant};

/// One instant on both clocks: the monotonic one for deadlines, UTC for limits and timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    pub instant: Instant,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub unix_ms: u64,
}

impl Now {
    /// Whole seconds since 1970-01-01T00:00:00Z.
    pub fn unix_seconds(&self) -> u64 {
        self.unix_ms / 1000
    }

    /// The time `later` after this one: both clocks advance alike.
    pub fn after(&self, later: Duration) -> Now {
        Now {
            instant: self.instant + later,
            unix_ms: self.unix_ms + later.as_millis() as u64,
        }
    }
}
