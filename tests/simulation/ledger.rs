//! What was asked and what the platforms answered: the clients check what they get against it.

use std::collections::BTreeMap;

use super::plan::Request;

/// All requests and answers of one run.
#[derive(Default)]
pub struct Ledger {
    pub requests: BTreeMap<String, Entry>,
    answers: BTreeMap<String, Answer>,
    /// Requests that clients saw answered, whole or cut short, and that the figures must count.
    pub counted: u64,
    /// Requests that may or may not have been counted: their clients left.
    pub doubtful: u64,
    pub answered: u64,
    pub answered_by_platform: u64,
    pub cut: u64,
    pub probes: u64,
    pub has_faults: bool,
    /// A larger body is refused.
    pub body_bytes_max: usize,
}

/// One request as the platforms see it.
pub struct Entry {
    pub request: Request,
    /// How many times a platform got its head.
    pub tries: usize,
    /// The tag of the last answer to it.
    pub last: Option<String>,
}

/// What a platform intended to answer to one try.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub content: Vec<u8>,
    /// Nothing cuts it off: the client must get all of it.
    pub is_whole: bool,
    /// It may be sent before the request was read.
    pub is_early: bool,
}

impl Ledger {
    pub fn new(has_faults: bool) -> Ledger {
        Ledger {
            has_faults,
            ..Ledger::default()
        }
    }

    pub fn add_request(&mut self, request: &Request) {
        let entry = Entry {
            request: request.clone(),
            tries: 0,
            last: None,
        };
        self.requests.insert(request.id.clone(), entry);
    }

    /// Records that a platform has got the head of the request `id`. Returns the request and the tag of its answer.
    pub fn begin_try(&mut self, id: &str) -> (Request, String) {
        let entry = self.requests.get_mut(id).expect("a request that was sent");
        entry.tries += 1;
        let tag = format!("{id}t{}", entry.tries);
        entry.last = Some(tag.clone());
        (entry.request.clone(), tag)
    }

    pub fn add_answer(&mut self, tag: String, answer: Answer) {
        self.answers.insert(tag, answer);
    }

    pub fn answer(&self, tag: &str) -> &Answer {
        &self.answers[tag]
    }

    /// The answer to the last try of `id`, if the platform has decided on one.
    pub fn last_answer(&self, id: &str) -> Option<&Answer> {
        let last = self.requests[id].last.as_ref()?;
        self.answers.get(last)
    }
}
