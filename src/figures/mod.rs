//! What has happened so far, in plain integers: counts, durations, the last requests. It knows ids, not names, and
//! renders nothing.
//!
//! Ids are assigned by the caller: a number stays with its platform, key or client key as long as that is configured,
//! and is unique among its kind across all platforms. So everything here is bounded by the configuration and does not
//! grow with what clients send. A client comes with its label, by which series are told apart and which several may share.

pub mod counts;
pub mod histogram;
pub mod recent;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::base::ids::RequestId;
use crate::base::text::Model;
use counts::{Class, Counts, ErrorKind, Errors, add_tokens};
use histogram::{Histogram, Observed};
use recent::{Method, Path, Recent};

/// All figures of one process since its start.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    totals: Counts,
    platforms: BTreeMap<u32, PlatformFigures>,
    keys: BTreeMap<u32, Counts>,
    clients: BTreeMap<u32, Counts>,
    series: BTreeMap<SeriesId, Series>,
    refused: BTreeMap<&'static str, u64>,
    recent: Recent,
}

/// The facts of a request that has ended. What is unknown is `None`.
#[derive(Clone, Debug)]
pub struct Finished {
    pub platform: u32,
    /// The platform's key that the last try used.
    pub key: Option<u32>,
    pub client: Option<Client>,
    pub request_id: RequestId,
    pub method: Method,
    pub path: Path,
    /// Empty where none is known.
    pub model: Model,
    /// The status that the client was sent, or would have been.
    pub status: Option<u16>,
    /// The code of the proxy's own error, if the answer was one or was cut short by one.
    pub code: Option<&'static str>,
    pub class: Class,
    /// How many times a platform was asked.
    pub tries: u32,
    /// From the request's beginning to the first byte of its answer's body.
    pub first_byte: Option<Duration>,
    /// From the request's beginning to the end of its answer.
    pub total: Duration,
    /// Body bytes from the client.
    pub bytes_in: u64,
    /// Body bytes to the client.
    pub bytes_out: u64,
    pub tokens_in: Option<u64>,
    pub tokens_out: Option<u64>,
    pub started_unix_ms: u64,
}

/// Whose request it was.
#[derive(Clone, Debug)]
pub struct Client {
    pub id: u32,
    /// Its display name.
    pub label: Rc<str>,
}

/// What is counted of one platform.
#[derive(Clone, Debug, Default)]
pub struct PlatformFigures {
    pub counts: Counts,
    /// The total durations of its requests.
    pub total: Histogram,
    /// Tries that were followed by another one, by why they failed.
    pub retries: Errors,
}

/// Which requests are counted together for `/metrics`. Clients with the same label share a series: its counts must not
/// fall when one of them is removed or renamed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeriesId {
    pub platform: u32,
    pub key: Option<u32>,
    pub client: Option<Rc<str>>,
}

/// The counts of one [`SeriesId`].
#[derive(Clone, Debug, Default)]
pub struct Series {
    requests: [u64; Class::ALL.len()],
    pub tokens_in: u64,
    pub tokens_out: u64,
}

impl Figures {
    /// Counts a request that has ended, admitted or not.
    pub fn finish(&mut self, finished: Finished) {
        let first_byte = finished.first_byte.map(Observed::new);
        self.totals.add(&finished, first_byte);
        let platform = self.platforms.entry(finished.platform).or_default();
        platform.counts.add(&finished, first_byte);
        platform.total.observe(Observed::new(finished.total));
        let client = finished.client.as_ref();
        let id = SeriesId {
            platform: finished.platform,
            key: finished.key,
            client: client.map(|client| Rc::clone(&client.label)),
        };
        self.series.entry(id).or_default().add(&finished);
        if let Some(key) = finished.key {
            self.keys.entry(key).or_default().add(&finished, first_byte);
        }
        if let Some(client) = client {
            self.clients
                .entry(client.id)
                .or_default()
                .add(&finished, first_byte);
        }
        self.recent.push(finished);
    }

    /// Counts that a platform is asked again, and an error of the key with which the try failed. The last try's error
    /// is counted by [`Figures::finish`].
    pub fn retry(&mut self, platform: u32, key: u32, kind: ErrorKind) {
        let platform = self.platforms.entry(platform).or_default();
        platform.retries.add(kind);
        self.keys.entry(key).or_default().errors.add(kind);
    }

    /// Counts a refusal at admission, in addition to what [`Figures::finish`] counts of it.
    pub fn refused(&mut self, code: &'static str) {
        *self.refused.entry(code).or_default() += 1;
    }

    /// Forgets the figures of ids that no longer exist, which are never reused, and of labels that no client has any
    /// more; the totals keep what they counted.
    pub fn retain(
        &mut self,
        platforms: impl Fn(u32) -> bool,
        keys: impl Fn(u32) -> bool,
        clients: impl Fn(u32) -> bool,
        labels: impl Fn(&str) -> bool,
    ) {
        self.platforms.retain(|&id, _| platforms(id));
        self.keys.retain(|&id, _| keys(id));
        self.clients.retain(|&id, _| clients(id));
        self.series.retain(|id, _| {
            let label = id.client.as_deref();
            platforms(id.platform) && id.key.is_none_or(&keys) && label.is_none_or(&labels)
        });
    }

    pub fn totals(&self) -> &Counts {
        &self.totals
    }

    /// `None` where nothing was counted yet; the same holds for the next two.
    pub fn platform(&self, id: u32) -> Option<&PlatformFigures> {
        self.platforms.get(&id)
    }

    pub fn key(&self, id: u32) -> Option<&Counts> {
        self.keys.get(&id)
    }

    pub fn client(&self, id: u32) -> Option<&Counts> {
        self.clients.get(&id)
    }

    pub fn series(&self) -> impl Iterator<Item = (&SeriesId, &Series)> {
        self.series.iter()
    }

    /// Refusals by code, sorted by code.
    pub fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.refused.iter().map(|(&code, &count)| (code, count))
    }

    pub fn recent(&self) -> &Recent {
        &self.recent
    }
}

impl Series {
    pub fn requests(&self, class: Class) -> u64 {
        self.requests[class as usize]
    }

    fn add(&mut self, finished: &Finished) {
        self.requests[finished.class as usize] += 1;
        add_tokens(&mut self.tokens_in, finished.tokens_in);
        add_tokens(&mut self.tokens_out, finished.tokens_out);
    }
}

#[cfg(test)]
pub(crate) mod tests;
