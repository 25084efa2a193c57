//! How many requests a client key has made in the running hour and day, UTC. It knows no key and no clock.

/// The length of a window.
pub const HOUR_SECONDS: u64 = 3600;
pub const DAY_SECONDS: u64 = 24 * HOUR_SECONDS;

/// A count within fixed windows of one length.
///
/// The window only moves forward: a clock that is set back a little goes on counting in the window that had begun, so
/// that nothing is forgotten. A clock that is set back by more than a window was wrong before, and counting begins
/// anew, so that nobody is locked out for longer than a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The number of the window since 1970.
    index: u64,
    pub used: u64,
}

impl Window {
    /// Adds requests that were counted elsewhere, in the window with the number `index`. What is past adds nothing, nor
    /// what lies further ahead than the next window: that clock was wrong.
    pub fn add(&mut self, seconds: u64, index: u64, used: u64, unix_seconds: u64) {
        self.roll(seconds, unix_seconds);
        let present = unix_seconds / seconds;
        if !(present..=present + 1).contains(&index) {
            return;
        }
        if index > self.index {
            *self = Window { index, used: 0 };
        }
        self.used += used;
    }

    /// The number of the window since 1970.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Goes over to the window of `unix_seconds`, of length `seconds`.
    pub fn roll(&mut self, seconds: u64, unix_seconds: u64) {
        let index = unix_seconds / seconds;
        if index > self.index || index + 1 < self.index {
            *self = Window { index, used: 0 };
        }
    }

    /// When the window ends.
    pub fn ends_at(&self, seconds: u64) -> u64 {
        (self.index + 1) * seconds
    }
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
            (3_000_000, 1, 1), // set forward by weeks
            (10_900, 1, 1),    // and back: that was wrong, counting begins anew
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
    fn counts_of_elsewhere_add_to_the_window_that_they_were_counted_in() {
        // (hour of it, requests, the present hour, used after them)
        let rows = [
            (10, 2, 10, 2),
            (10, 3, 10, 5),
            (9, 7, 10, 5),   // past
            (11, 1, 10, 1),  // a clock a little ahead, or set back here: the next hour has begun
            (10, 1, 10, 2),  // goes on in the one that has begun
            (13, 50, 10, 2), // a wrong clock
            (12, 4, 12, 4),
        ];
        let mut window = Window::default();
        for (hour, requests, present, want) in rows {
            window.add(HOUR_SECONDS, hour, requests, present * HOUR_SECONDS);
            assert_eq!(window.used, want, "{requests} of hour {hour} at {present}");
        }
    }
}
