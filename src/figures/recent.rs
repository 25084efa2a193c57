//! The last requests, to be shown one by one. It knows ids; names are looked up when a request is shown.

use super::Finished;
use crate::base::text::Text;

/// How many requests are remembered: as many as a person looks through, in about 60 KB.
pub const REQUESTS_MAX: usize = 100;

/// A request's method; a longer one is cut.
pub type Method = Text<16>;

/// A request's path without the query, which may hold a client's key; a longer one is cut.
pub type Path = Text<128>;

/// A ring of the last [`REQUESTS_MAX`] requests: a new one takes the place of the oldest one.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    requests: Vec<Finished>,
    /// The position of the oldest one once the ring is full.
    oldest: usize,
}

impl Recent {
    pub(super) fn push(&mut self, request: Finished) {
        if self.requests.len() < REQUESTS_MAX {
            self.requests.push(request);
        } else {
            self.requests[self.oldest] = request;
            self.oldest = (self.oldest + 1) % REQUESTS_MAX;
        }
    }

    pub fn newest_first(&self) -> impl Iterator<Item = &Finished> {
        let (newer, older) = self.requests.split_at(self.oldest);
        newer.iter().rev().chain(older.iter().rev())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::finished;
    use super::*;

    fn numbers(recent: &Recent) -> Vec<u64> {
        recent
            .newest_first()
            .map(|request| request.started_unix_ms)
            .collect()
    }

    #[test]
    fn keeps_the_last_hundred_newest_first() {
        let mut recent = Recent::default();
        for pushed in 0..350u64 {
            recent.push(Finished {
                started_unix_ms: pushed,
                ..finished()
            });
            let oldest = (pushed + 1).saturating_sub(REQUESTS_MAX as u64);
            let want: Vec<u64> = (oldest..=pushed).rev().collect();
            assert_eq!(numbers(&recent), want);
        }
    }
}
