//! How many requests a client key has made in the running hour and day, UTC. It knows no key and no clock.

/// The length of a window.
pub const HOUR_SECONDS: u64 = 3600;
pub const DAY_SECONDS: u64 = 24 * HOUR_SECONDS;

/// A clock that is set back by no more than this was right before. So is the clock of another process that is ahead by
/// no more than this: its turn began later.
const AHEAD_SECONDS_MAX: u64 = 60;

/// A count within fixed windows of one length.
///
/// The window only moves forward: a clock that is set back a little goes on counting in the window that had begun, so
/// that nothing is forgotten. A clock that is set back by more was wrong before: counting restarts in the present
/// window, so that nobody is locked out for longer than that, or charged for a time yet to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The number of the window since 1970.
    index: u64,
    pub used: u64,
}

impl Window {
    /// Adds requests that were counted elsewhere, in the window with the number `index`. A past window adds nothing,
    /// nor does one that lies ahead: its clock was wrong.
    pub fn add(&mut self, seconds: u64, index: u64, used: u64, unix_seconds: u64) {
        self.roll(seconds, unix_seconds);
        if !is_present(index, seconds, unix_seconds) {
            return;
        }
        if index > self.index {
            *self = Window { index, used: 0 };
        }
        self.used += used;
    }

    /// Takes back requests that were counted in the window with the number `index`, if it is not over.
    pub fn take(&mut self, seconds: u64, index: u64, unused: u64, unix_seconds: u64) {
        self.roll(seconds, unix_seconds);
        if index == self.index {
            self.used = self.used.saturating_sub(unused);
        }
    }

    /// The number of the window since 1970.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Moves on to the window of `unix_seconds`, of length `seconds`.
    pub fn roll(&mut self, seconds: u64, unix_seconds: u64) {
        if !is_present(self.index, seconds, unix_seconds) {
            let index = unix_seconds / seconds;
            *self = Window { index, used: 0 };
        }
    }

    /// When the window ends.
    pub fn ends_at(&self, seconds: u64) -> u64 {
        (self.index + 1) * seconds
    }
}

/// Whether the window with this number is that of `unix_seconds`, or about to begin.
fn is_present(index: u64, seconds: u64, unix_seconds: u64) -> bool {
    index >= unix_seconds / seconds && index * seconds <= unix_seconds + AHEAD_SECONDS_MAX
}

/// The later of two times, ignoring those that lie ahead: their clock was wrong. 0 if both do.
pub fn latest_unix_ms(one: u64, other: u64, now_unix_ms: u64) -> u64 {
    let bound = now_unix_ms.saturating_add(AHEAD_SECONDS_MAX * 1000);
    let times = [one, other].into_iter().filter(|time| *time <= bound);
    times.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_move_forward_and_survive_a_clock_set_back() {
        // (time, requests then, used after them)
        let rows = [
            (7200, 2, 2),
            (10_799, 1, 3),
            (10_800, 1, 1),
            (10_790, 1, 2), // set back over the hour's end: still the hour that had begun
            (10_805, 0, 2),
            (10_740, 0, 2),    // set back by no more than a minute before it
            (10_739, 1, 1),    // and by more: that was wrong, counting begins anew
            (3_000_000, 1, 1), // set forward by weeks
            (10_900, 1, 1),    // and back
        ];
        let mut window = Window::default();
        for (at, requests, want) in rows {
            window.roll(HOUR_SECONDS, at);
            window.used += requests;
            assert_eq!(window.used, want, "at {at}");
        }
        assert_eq!(window.ends_at(HOUR_SECONDS), 14_400);
    }

    #[test]
    fn what_is_taken_back_is_of_the_window_that_goes_on() {
        // (hour in which they were counted, requests, when, used after them)
        let rows = [
            (10, 2, 36_000, 3),
            (9, 1, 36_000, 3),
            (11, 1, 36_000, 3),
            (10, 4, 36_000, 0),
            (10, 1, 39_600, 0),
        ];
        let mut window = Window::default();
        window.add(HOUR_SECONDS, 10, 5, 36_000);
        for (hour, requests, at, want) in rows {
            window.take(HOUR_SECONDS, hour, requests, at);
            assert_eq!(window.used, want, "{requests} of hour {hour} at {at}");
        }
    }

    #[test]
    fn counts_of_elsewhere_add_to_the_window_that_they_were_counted_in() {
        // (hour in which they were counted, requests, when, used after them)
        let rows = [
            (10, 2, 36_000, 2),
            (10, 3, 36_000, 5),
            (9, 7, 36_000, 5),  // past
            (11, 9, 36_000, 5), // a wrong clock
            (13, 9, 36_000, 5),
            (11, 1, 39_545, 1), // one a little ahead, or set back here: the next hour has begun
            (10, 1, 39_545, 2), // goes on in the one that has begun
            (12, 4, 43_200, 4),
        ];
        let mut window = Window::default();
        for (hour, requests, at, want) in rows {
            window.add(HOUR_SECONDS, hour, requests, at);
            assert_eq!(window.used, want, "{requests} of hour {hour} at {at}");
        }
    }
}
