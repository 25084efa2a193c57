//! Which slot's deadline comes next. It knows slots by number and nothing of what waits in them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Stale times that may stay in the heap in addition to as many as there are slots.
const FORMER_MAX: usize = 64;

/// Wake-up times of numbered slots.
///
/// A deadline that moves later costs nothing: the earlier wake-up comes, its owner looks, and sets the timer again.
/// Each slot is woken only at its one scheduled time. Stale entries in the heap are dropped when they come up, or as
/// soon as there are more of them than slots: otherwise connections that come and go would leave there all that they
/// set within the longest deadline.
#[derive(Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(Instant, usize)>>,
    scheduled: Vec<Option<Instant>>,
}

impl Timers {
    /// Asks for `slot` to be woken at `at` or earlier.
    pub fn set(&mut self, slot: usize, at: Instant) {
        if slot >= self.scheduled.len() {
            self.scheduled.resize(slot + 1, None);
        }
        if self.scheduled[slot].is_none_or(|earlier| at < earlier) {
            self.scheduled[slot] = Some(at);
            self.heap.push(Reverse((at, slot)));
            if self.heap.len() > 2 * self.scheduled.len() + FORMER_MAX {
                self.drop_former();
            }
        }
    }

    /// Rebuilds the heap from the scheduled times. Enough entries have been added since the last rebuild that the cost
    /// is constant for each of them.
    fn drop_former(&mut self) {
        self.heap.clear();
        let scheduled = self.scheduled.iter().enumerate();
        self.heap
            .extend(scheduled.filter_map(|(slot, at)| Some(Reverse(((*at)?, slot)))));
    }

    /// The next wake-up.
    pub fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// A slot whose time has come; it is no longer scheduled.
    pub fn pop(&mut self, now: Instant) -> Option<usize> {
        while let Some(Reverse((at, slot))) = self.heap.peek().copied() {
            if at > now {
                return None;
            }
            self.heap.pop();
            if self.scheduled[slot] == Some(at) {
                self.scheduled[slot] = None;
                return Some(slot);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn slots_come_up_in_order_and_once() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timers = Timers::default();
        timers.set(4, at(30));
        timers.set(2, at(10));
        timers.set(4, at(20)); // earlier: replaces
        timers.set(2, at(99)); // later: the owner will ask again when it is woken
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.pop(at(9)), None);
        assert_eq!(timers.pop(at(25)), Some(2));
        assert_eq!(timers.pop(at(25)), Some(4));
        assert_eq!(timers.pop(at(25)), None);
        assert_eq!(timers.pop(at(31)), None, "the replaced time wakes nobody");
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_deadline_that_only_moves_later_does_not_grow_the_heap() {
        let start = Instant::now();
        let mut timers = Timers::default();
        for step in 0..10_000 {
            timers.set(0, start + Duration::from_millis(5000 + step));
        }
        assert_eq!(timers.heap.len(), 1);
    }

    #[test]
    fn who_comes_and_goes_leaves_no_more_than_a_bounded_number_of_times() {
        const SLOTS: usize = 10;
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut timers = Timers::default();
        for step in 0..100_000 {
            // The client's deadline for a head passes, a request's is far off; then another client takes the same slot.
            let slot = step as usize % SLOTS;
            while timers.pop(at(step)).is_some() {}
            timers.set(slot, at(step + 300_000));
            timers.set(slot, at(step + SLOTS as u64));
            assert!(timers.heap.len() <= 2 * SLOTS + FORMER_MAX);
        }
        let mut woken: Vec<usize> = std::iter::from_fn(|| timers.pop(at(101_000))).collect();
        woken.sort_unstable();
        assert_eq!(woken, (0..SLOTS).collect::<Vec<_>>());
        timers.pop(at(1_000_000));
        assert_eq!(timers.next(), None, "each was scheduled once");
    }
}
