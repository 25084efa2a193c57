//! Which sessions have work, each queued at most once. It knows them by number.

use std::collections::VecDeque;

/// Slots to run, in the order in which they asked, in two lines: in a turn all slots of the first line run, and as many
/// of the second as there is time for.
#[derive(Default)]
pub struct RunQueue {
    first: Vec<usize>,
    second: VecDeque<usize>,
    queued: Vec<bool>,
}

impl RunQueue {
    /// Adds `slot` to the first line unless it waits already.
    pub fn push_first(&mut self, slot: usize) {
        if self.is_new(slot) {
            self.first.push(slot);
        }
    }

    /// Adds `slot` to the second line unless it waits already.
    pub fn push(&mut self, slot: usize) {
        if self.is_new(slot) {
            self.second.push_back(slot);
        }
    }

    /// Adds `slot` to the second line before all others, unless it waits already.
    pub fn push_next(&mut self, slot: usize) {
        if self.is_new(slot) {
            self.second.push_front(slot);
        }
    }

    fn is_new(&mut self, slot: usize) -> bool {
        if slot >= self.queued.len() {
            self.queued.resize(slot + 1, false);
        }
        !std::mem::replace(&mut self.queued[slot], true)
    }

    pub fn is_empty(&self) -> bool {
        self.first.is_empty() && self.second.is_empty()
    }

    /// Moves the first line into `slots`, so that slots pushed meanwhile run in the next turn.
    pub fn take_first_into(&mut self, slots: &mut Vec<usize>) {
        slots.clear();
        std::mem::swap(&mut self.first, slots);
        for slot in slots.iter() {
            self.queued[*slot] = false;
        }
    }

    /// The length of the second line.
    pub fn second_len(&self) -> usize {
        self.second.len()
    }

    /// The next slot of the second line.
    pub fn pop_second(&mut self) -> Option<usize> {
        let slot = self.second.pop_front()?;
        self.queued[slot] = false;
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slot_waits_once_in_the_line_where_it_asked_first() {
        let mut queue = RunQueue::default();
        let mut first = Vec::new();
        for slot in [3, 1, 3, 3, 0, 1] {
            queue.push(slot);
        }
        for slot in [7, 0, 5, 7] {
            queue.push_first(slot);
        }
        queue.push(5);
        queue.take_first_into(&mut first);
        assert_eq!(first, [7, 5]);
        queue.push(5);
        queue.push_next(1);
        queue.push_next(8);
        assert_eq!(queue.second_len(), 5);
        let second: Vec<usize> = std::iter::from_fn(|| queue.pop_second()).collect();
        assert_eq!(second, [8, 3, 1, 0, 5]);
        assert!(queue.is_empty());
        queue.push_first(3);
        assert!(!queue.is_empty());
        queue.take_first_into(&mut first);
        assert_eq!(first, [3]);
    }
}
