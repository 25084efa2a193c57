//! The last requests, to be shown one by one. It knows ids, not names: those are looked up when it is shown.

use std::time::Duration;

use super::Finished;

/// How many requests are remembered: what a person looks through, in about 60 KB.
pub const REQUESTS_MAX: usize = 100;

// Longest texts kept of a request, in bytes; what is longer is cut and ends with `…`.
const REQUEST_ID_BYTES_MAX: usize = 128; // what is taken over from a client
const METHOD_BYTES_MAX: usize = 32;
const PATH_BYTES_MAX: usize = 256; // several times the longest path of a known API
const MODEL_BYTES_MAX: usize = 128;

/// A ring of the last [`REQUESTS_MAX`] requests. Once it is full it allocates nothing: a new request is written over the
/// oldest one.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    requests: Vec<Request>,
    /// Where the oldest one stands once the ring is full.
    oldest: usize,
}

/// One request that has ended; its fields are those of [`Finished`], with the texts in bounds.
#[derive(Clone, Debug)]
pub struct Request {
    pub started_unix_ms: u64,
    pub platform: Option<u32>,
    pub key: Option<u32>,
    pub client: Option<u32>,
    pub request_id: String,
    pub method: String,
    /// Without the query, which may hold a client's key.
    pub path: String,
    /// Empty where none is known.
    pub model: String,
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
        if self.requests.len() < REQUESTS_MAX {
            let mut request = Request::with_room();
            request.write(finished);
            self.requests.push(request);
        } else {
            self.requests[self.oldest].write(finished);
            self.oldest = (self.oldest + 1) % REQUESTS_MAX;
        }
    }

    pub fn newest_first(&self) -> impl Iterator<Item = &Request> {
        let (newer, older) = self.requests.split_at(self.oldest);
        newer.iter().rev().chain(older.iter().rev())
    }

    /// Forgets the ids that are no more, so that a request is never shown under the name of who has the id next.
    pub(super) fn retain(
        &mut self,
        platforms: impl Fn(u32) -> bool,
        keys: impl Fn(u32) -> bool,
        clients: impl Fn(u32) -> bool,
    ) {
        for request in &mut self.requests {
            request.platform = request.platform.filter(|&id| platforms(id));
            request.key = request.key.filter(|&id| keys(id));
            request.client = request.client.filter(|&id| clients(id));
        }
    }
}

impl Request {
    /// An empty one whose texts never have to grow.
    fn with_room() -> Request {
        Request {
            started_unix_ms: 0,
            platform: None,
            key: None,
            client: None,
            request_id: String::with_capacity(REQUEST_ID_BYTES_MAX),
            method: String::with_capacity(METHOD_BYTES_MAX),
            path: String::with_capacity(PATH_BYTES_MAX),
            model: String::with_capacity(MODEL_BYTES_MAX),
            status: None,
            code: None,
            tries: 0,
            first_byte: None,
            total: Duration::ZERO,
            bytes_in: 0,
            bytes_out: 0,
            tokens_in: None,
            tokens_out: None,
        }
    }

    fn write(&mut self, finished: &Finished) {
        let path = finished.path.split('?').next().unwrap_or_default();
        write_cut(
            &mut self.request_id,
            finished.request_id,
            REQUEST_ID_BYTES_MAX,
        );
        write_cut(&mut self.method, finished.method, METHOD_BYTES_MAX);
        write_cut(&mut self.path, path, PATH_BYTES_MAX);
        write_cut(
            &mut self.model,
            finished.model.unwrap_or_default(),
            MODEL_BYTES_MAX,
        );
        self.started_unix_ms = finished.started_unix_ms;
        self.platform = finished.platform;
        self.key = finished.key;
        self.client = finished.client;
        self.status = finished.status;
        self.code = finished.code;
        self.tries = finished.tries;
        self.first_byte = finished.first_byte;
        self.total = finished.total;
        self.bytes_in = finished.bytes_in;
        self.bytes_out = finished.bytes_out;
        self.tokens_in = finished.tokens_in;
        self.tokens_out = finished.tokens_out;
    }
}

/// Replaces what `slot` holds by `text`, cut so that it fits into `bytes_max`.
fn write_cut(slot: &mut String, text: &str, bytes_max: usize) {
    const CUT: &str = "…";
    slot.clear();
    if text.len() <= bytes_max {
        slot.push_str(text);
    } else {
        let mut end = bytes_max - CUT.len();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        slot.push_str(&text[..end]);
        slot.push_str(CUT);
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

    #[test]
    fn texts_are_cut_and_nothing_grows() {
        let mut recent = Recent::default();
        for _ in 0..REQUESTS_MAX {
            recent.push(&finished());
        }
        let room = |recent: &Recent| -> usize {
            let texts = |request: &Request| {
                [
                    &request.request_id,
                    &request.method,
                    &request.path,
                    &request.model,
                ]
                .map(String::capacity)
            };
            recent.requests.iter().flat_map(texts).sum()
        };
        let before = room(&recent);
        let rows = [
            ("/v1/models", "/v1/models".to_string()),
            ("/v1/models?key=secret", "/v1/models".to_string()),
            (&"x".repeat(256), "x".repeat(256)),
            (&"x".repeat(257), format!("{}…", "x".repeat(253))),
            (&"é".repeat(200), format!("{}…", "é".repeat(126))),
        ];
        for (path, want) in rows {
            let long = "y".repeat(1000);
            recent.push(&Finished {
                path,
                request_id: &long,
                method: &long,
                model: Some(&long),
                ..finished()
            });
            let request = recent.newest_first().next().expect("one was pushed");
            assert_eq!(request.path, want);
            assert_eq!(
                [
                    request.request_id.len(),
                    request.method.len(),
                    request.model.len()
                ],
                [128, 32, 128]
            );
        }
        assert_eq!(room(&recent), before);
    }

    #[test]
    fn ids_that_are_gone_are_forgotten() {
        let mut recent = Recent::default();
        recent.push(&finished());
        recent.retain(|_| true, |_| false, |_| true);
        let request = recent.newest_first().next().expect("one was pushed");
        assert_eq!(
            (request.platform, request.key, request.client),
            (Some(1), None, Some(3))
        );
    }
}
