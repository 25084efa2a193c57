//! Clients that ask without pause, and count.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crate::support::client::Client;
use crate::support::proxy::CLIENT_KEY;

/// Threads that ask until they are told to stop.
pub struct Load {
    tally: Arc<Tally>,
    threads: Vec<JoinHandle<()>>,
}

/// What has happened so far.
#[derive(Default)]
pub struct Tally {
    pub answered: AtomicU64,
    pub failed: AtomicU64,
    is_over: AtomicBool,
}

/// How clients use their connections.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// One for all requests.
    Kept,
    /// A new one for each request.
    Once,
}

/// A request that is counted.
pub fn request(connection: &str) -> String {
    format!(
        "GET /test/v1/x HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer {CLIENT_KEY}\r\nConnection: {connection}\r\n\r\n"
    )
}

impl Load {
    pub fn begin(port: u16, kinds: &[Use]) -> Load {
        let tally = Arc::new(Tally::default());
        let begin = |kind: &Use| {
            let (tally, kind) = (Arc::clone(&tally), *kind);
            thread::spawn(move || match kind {
                Use::Kept => ask_on_one(port, &tally),
                Use::Once => ask_on_many(port, &tally),
            })
        };
        let threads = kinds.iter().map(begin).collect();
        Load { tally, threads }
    }

    pub fn answered(&self) -> u64 {
        self.tally.answered.load(Ordering::SeqCst)
    }

    /// Waits until this many more requests have been answered.
    pub fn go_on(&self, requests: u64) {
        let until = self.answered() + requests;
        while self.answered() < until && self.tally.failed.load(Ordering::SeqCst) == 0 {
            thread::yield_now();
        }
    }

    /// Ends the load; returns how many requests were answered, none having failed.
    pub fn end(self) -> u64 {
        self.tally.is_over.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().expect("a client does not panic");
        }
        assert_eq!(
            self.tally.failed.load(Ordering::SeqCst),
            0,
            "failed requests"
        );
        self.tally.answered.load(Ordering::SeqCst)
    }
}

impl Tally {
    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::SeqCst)
    }

    fn count(&self, is_answered: bool, what: impl FnOnce() -> String) {
        match is_answered {
            true => self.answered.fetch_add(1, Ordering::SeqCst),
            false => {
                eprintln!("failed: {}", what());
                self.failed.fetch_add(1, Ordering::SeqCst)
            }
        };
    }
}

fn ask_on_one(port: u16, tally: &Tally) {
    let mut client = Client::connect(port);
    while tally.goes_on() {
        client.send(request("keep-alive"));
        let status = client.try_status();
        tally.count(matches!(status, Ok(200)), || format!("{status:?}"));
        if status.is_err() {
            return;
        }
    }
}

fn ask_on_many(port: u16, tally: &Tally) {
    while tally.goes_on() {
        let answer = Client::ask_once(port, &request("close"));
        let is_whole = answer.as_ref().is_ok_and(|bytes| {
            bytes.starts_with(b"HTTP/1.1 200 ") && bytes.ends_with(b"\r\n\r\n{}")
        });
        tally.count(is_whole, || format!("{answer:?}"));
    }
}
