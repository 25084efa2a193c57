//! The last requests, to be shown one by one. It knows ids, not names: those are looked up when a request is shown.

use std::time::Duration;

use super::Finished;
use crate::base::ids::RequestId;
use crate::base::text::Text;

/// How many requests are remembered: as many as a person looks through, in about 60 KB.
pub const REQUESTS_MAX: usize = 100;

/// A request's method; a longer one is cut.
pub type Method = Text<16>;

/// A request's path without the query, which may hold a client's key; a longer one is cut.
pub type Path = Text<128>;

/// The model that a request names. Longer names are not looked for.
pub type Model = Text<128>;

/// A ring of the last [`REQUESTS_MAX`] requests: a new one takes the place of the oldest one.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    requests: Vec<Request>,
    /// The position of the oldest one once the ring is full.
    oldest: usize,
}

/// One request that has ended; its fields are those of [`Finished`], with owned texts.
#[derive(Clone, Debug)]
pub struct Request {
    pub started_unix_ms: u64,
    pub platform: u32,
    pub key: Option<u32>,
    pub client: Option<u32>,
    pub request_id: RequestId,
    pub method: Method,
    pub path: Path,
    /// Empty where none is known.
    pub model: Model,
    pub status: Option<u16>,
    pub code: Option<&'static str>,
    pub tries: u32,
    pub first_byte: Option<Duration>,
    pub total: Duration,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub tokens_in: Option<u64>,
    pub tokens_out: Option<u64>,
}

impl Recent {
    pub(super) fn push(&mut self, finished: &Finished) {
        let request = Request::of(finished);
        if self.requests.len() < REQUESTS_MAX {
            self.requests.push(request);
        } else {
            self.requests[self.oldest] = request;
            self.oldest = (self.oldest + 1) % REQUESTS_MAX;
        }
    }

    pub fn newest_first(&self) -> impl Iterator<Item = &Request> {
        let (newer, older) = self.requests.split_at(self.oldest);
        newer.iter().rev().chain(older.iter().rev())
    }
}

impl Request {
    fn of(finished: &Finished) -> Request {
        Request {
            started_unix_ms: finished.started_unix_ms,
            platform: finished.platform,
            key: finished.key,
            client: finished.client.as_ref().map(|client| client.id),
            request_id: *finished.request_id,
            method: *finished.method,
            path: *finished.path,
            model: finished.model.map(Model::new).unwrap_or_default(),
            status: finished.status,
            code: finished.code,
            tries: finished.tries,
            first_byte: finished.first_byte,
            total: finished.total,
            bytes_in: finished.bytes_in,
            bytes_out: finished.bytes_out,
            tokens_in: finished.tokens_in,
            tokens_out: finished.tokens_out,
        }
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
            recent.push(&Finished {
                started_unix_ms: pushed,
                ..finished()
            });
            let oldest = (pushed + 1).saturating_sub(REQUESTS_MAX as u64);
            let want: Vec<u64> = (oldest..=pushed).rev().collect();
            assert_eq!(numbers(&recent), want);
        }
    }
}
