//! Which sessions have work, each at most once. It knows them by number.

/// Slots to run, in the order in which they asked.
#[derive(Default)]
pub struct RunQueue {
    order: Vec<usize>,
    queued: Vec<bool>,
}

impl RunQueue {
    /// Adds `slot` unless it waits already.
    pub fn push(&mut self, slot: usize) {
        if slot >= self.queued.len() {
            self.queued.resize(slot + 1, false);
        }
        if !std::mem::replace(&mut self.queued[slot], true) {
            self.order.push(slot);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Moves everything that waits into `slots`, so that what is pushed meanwhile runs in the next turn.
    pub fn take_into(&mut self, slots: &mut Vec<usize>) {
        slots.clear();
        std::mem::swap(&mut self.order, slots);
        for slot in slots.iter() {
            self.queued[*slot] = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slot_waits_once() {
        let mut queue = RunQueue::default();
        let mut slots = Vec::new();
        for slot in [3, 1, 3, 3, 0, 1] {
            queue.push(slot);
        }
        queue.take_into(&mut slots);
        assert_eq!(slots, [3, 1, 0]);
        assert!(queue.is_empty());
        queue.push(3);
        queue.take_into(&mut slots);
        assert_eq!(slots, [3]);
    }
}
