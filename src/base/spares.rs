//! Boxes that are reused, so that the steady state allocates nothing.

/// Boxes that are kept; any beyond these go back to the allocator.
const SPARES_MAX: usize = 256;

/// Boxes that are free for reuse.
pub struct Spares<T> {
    boxes: Vec<Box<T>>,
}

impl<T> Default for Spares<T> {
    fn default() -> Self {
        Spares { boxes: Vec::new() }
    }
}

impl<T> Spares<T> {
    /// `value` in a box; one that was given back, if there is any.
    pub fn hold(&mut self, value: T) -> Box<T> {
        match self.boxes.pop() {
            Some(mut spare) => {
                *spare = value;
                spare
            }
            None => Box::new(value),
        }
    }

    /// Takes a box back. Its content is dropped only when the box is used again.
    pub fn give(&mut self, spare: Box<T>) {
        if self.boxes.len() < SPARES_MAX {
            self.boxes.push(spare);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_that_was_given_back_is_used_again() {
        let mut spares = Spares::default();
        let first = spares.hold(1);
        let place: *const i32 = &*first;
        spares.give(first);
        let second = spares.hold(2);
        assert_eq!((&*second as *const i32, *second), (place, 2));
        assert_ne!(&*spares.hold(3) as *const i32, place);
    }

    #[test]
    fn a_bounded_number_is_kept() {
        let mut spares = Spares::default();
        for _ in 0..SPARES_MAX + 1 {
            spares.give(Box::new(0));
        }
        assert_eq!(spares.boxes.len(), SPARES_MAX);
    }
}
