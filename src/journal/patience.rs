//! The only places that wait for a lock: the start and the stop, when no client is being served. While the loop runs, a
//! lock that another process holds is tried again later ([`Journal::flush`]).

use super::file::Fault;
use super::record::Scan;
use super::{Journal, LOCK_PATIENCE, LOCK_PAUSE, Record};
use crate::base::now::Now;

impl Journal {
    /// The last [`Journal::flush`]: it is attempted at once, even right after a failure.
    ///
    /// # Errors
    /// A line for the log: what is lost, and why.
    pub fn finish(&mut self, now: Now) -> Result<(), String> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let written = patiently(|| self.write_pending(now));
        let (path, requests) = (self.path.display(), self.pending_requests());
        written.map_err(|fault| {
            let why = fault.why();
            format!("{path}: {why}; what was counted since is lost (requests: {requests}), and what was learnt of keys")
        })
    }

    /// As [`Journal::open_file`].
    pub(super) fn open_patiently(&mut self, now: Now) -> Result<Option<String>, Fault> {
        patiently(|| self.open_file(now))
    }

    /// How many requests the pending records stand for.
    fn pending_requests(&self) -> u64 {
        let (mut used, mut unused) = (0, 0);
        for (_, record) in &mut Scan::new(&self.pending) {
            match record {
                Record::Used(spent) => used += u64::from(spent.day_used),
                Record::Unused(spent) => unused += u64::from(spent.day_used),
                Record::Key { .. } => {}
            }
        }
        used.saturating_sub(unused)
    }
}

fn patiently<T>(mut attempt: impl FnMut() -> Result<T, Fault>) -> Result<T, Fault> {
    for _ in 0..LOCK_PATIENCE.as_millis() / LOCK_PAUSE.as_millis() {
        match attempt() {
            Err(Fault::Busy) => std::thread::sleep(LOCK_PAUSE),
            outcome => return outcome,
        }
    }
    Err(Fault::Busy)
}
