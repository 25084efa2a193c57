//! Usage counts and key states that survive: a file to which records are appended. It knows no socket and no request.
//!
//! What is appended is with the kernel when [`Journal::flush`] returns. It survives the end of the process, kill -9
//! included; nothing waits for the disk (no fsync), so a power cut may lose the last seconds.
//!
//! Several processes may share the file. Each appends increments with one write, holding a shared lock on the file;
//! [`Journal::catch_up`] reads what the others have appended. A process that compacts holds the exclusive lock on the
//! file while it reads the rest, writes the sums to a new file and renames that over the old one. Hence no process
//! appends between the last read and the rename. A process that writes alone keeps its lock, so that each write is a
//! single system call; once it has seen another process's records, it releases the lock after each write. A writer that
//! takes the lock checks whether the file still stands at its path, and opens the new one if not: a file that was
//! replaced gets no more records, and no record is in two files.
//!
//! The sums of the records are kept in memory as well (the `Tally`: the file's records and those that are still to be
//! written). A process that opens a file that has replaced another compares both sums and reports what is new to it.

mod file;
mod patience;
mod record;
mod tally;
#[cfg(test)]
mod tests;
mod words;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::base::now::Now;
use crate::policy::access::Spent;
use crate::policy::digest::Digest;
use file::{Fault, HEADER, JournalFile, Lock, Opening};
use record::{Damage, NOBODY, Scan};
pub use record::{Record, USED_BYTES};
use tally::Tally;

/// A file is compacted when it is larger than this, and larger than its content by this factor.
const COMPACT_ABOVE_BYTES: u64 = 64 * 1024;
const COMPACT_ABOVE_TIMES: u64 = 4;

/// How long the disk is left alone after a failure.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long a lock that another process holds is retried, and at which intervals. After that nothing is written for a
/// while, as after any failure: a process that was stopped while it held the lock does not block the others for ever.
const LOCK_PATIENCE: Duration = Duration::from_millis(20);
const LOCK_PAUSE: Duration = Duration::from_millis(1);
/// After a failed compaction appending goes on; the next attempt comes this much later.
const COMPACT_RETRY_AFTER: Duration = Duration::from_secs(60);

/// How many bytes may wait while nothing can be written. Beyond that they are summed up, to one record for each key.
const PENDING_BYTES_MAX: usize = 1024 * 1024;

/// How long the file counts as shared after another process has written to it.
const SHARED_FOR: Duration = Duration::from_secs(60);

/// [`Journal::check`] does not read a larger file through: a running proxy would stand still meanwhile, and the next
/// start reads it anyway.
const CHECKED_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// If the file is replaced more often than this during one write, it is left alone for a while. Processes consider
/// compacting once a second, and one port is never shared by this many.
const REOPENS_MAX: usize = 64;

/// The journal of one process.
pub struct Journal {
    /// Where the file stands; without symbolic links once it has been opened.
    path: PathBuf,
    writer: u32,
    file: Option<JournalFile>,
    /// The file's records and those of `pending`, as far as they are known.
    tally: Tally,
    /// Records that are still to be written.
    pending: Vec<u8>,
    /// `pending` is summed up when it is longer than this. The value is raised where the sums themselves are long.
    pending_bytes_max: usize,
    /// Records of other processes, to be handed out.
    news: Vec<Record>,
    /// Set while writing fails: when it is next attempted.
    retry_at: Option<Instant>,
    /// Set while another process holds the lock: when that becomes a failure.
    busy_until: Option<Instant>,
    /// The file contains damage.
    is_damaged: bool,
    /// Set while compacting fails: when it is next attempted.
    compact_at: Option<Instant>,
    hold: Hold,
    /// The file counts as shared until then: another process has written recently.
    shared_until: Option<Instant>,
}

/// Whether the shared lock on the file is kept between two writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    Kept,
    Released,
}

/// What opening a journal found.
pub struct Opened {
    pub journal: Journal,
    /// The records of the file, summed up.
    pub records: Vec<Record>,
    /// Lines for the log: damage, and why counts are not kept.
    pub findings: Vec<String>,
}

impl Journal {
    /// Opens the journal at `path`, or creates it. `writer` is this process's number, drawn at random. A file that
    /// cannot be opened or written to is a finding: the counts stay in memory until it can.
    ///
    /// # Errors
    /// A file of a newer version or of another program, which is left as it is.
    pub fn open(path: &Path, writer: u32, now: Now) -> Result<Opened, String> {
        let mut journal = Journal::at(path, writer);
        let mut findings = Vec::new();
        match journal.open_patiently(now) {
            Ok(found) => findings.extend(found.into_iter().chain(of_device(path))),
            Err(fault) => findings.extend(journal.go_without(fault, u64::MAX, now)?),
        }
        journal.news.clear();
        journal.tally.prune(now);
        Ok(Opened {
            records: journal.tally.records().collect(),
            journal,
            findings,
        })
    }

    /// What [`Journal::open`] would report, without changing the file. Of a very large file only the beginning is
    /// examined.
    ///
    /// # Errors
    /// As for [`Journal::open`].
    pub fn check(path: &Path, now: Now) -> Result<Vec<String>, String> {
        let mut journal = Journal::at(path, NOBODY);
        match JournalFile::probe(&journal.path) {
            Ok(()) => {
                let found = journal.read_without_writing(CHECKED_BYTES_MAX, now)?;
                Ok(found.into_iter().chain(of_device(path)).collect())
            }
            Err(fault) => journal.go_without(fault, CHECKED_BYTES_MAX, now),
        }
    }

    /// A journal whose file has not been opened.
    fn at(path: &Path, writer: u32) -> Journal {
        Journal {
            path: path.to_path_buf(),
            writer: writer.max(NOBODY + 1),
            file: None,
            tally: Tally::default(),
            pending: Vec::new(),
            pending_bytes_max: PENDING_BYTES_MAX,
            news: Vec::new(),
            retry_at: None,
            busy_until: None,
            is_damaged: false,
            compact_at: None,
            hold: Hold::Released,
            shared_until: None,
        }
    }

    /// What to report of a file that cannot be written to.
    fn go_without(
        &mut self,
        fault: Fault,
        bytes_max: u64,
        now: Now,
    ) -> Result<Vec<String>, String> {
        match fault {
            Fault::Refused(why) => Err(words::refusal(&self.path, &why)),
            Fault::Failed(_) | Fault::Busy => {
                self.retry_at = Some(now.instant + RETRY_AFTER);
                let found = self.read_without_writing(bytes_max, now)?;
                let warning = words::warning(&self.path, fault);
                Ok(found.into_iter().chain([warning]).collect())
            }
        }
    }

    /// Takes a record, to be written by the next [`Journal::flush`].
    pub fn note(&mut self, record: &Record, now: Now) {
        self.tally.add(record, now);
        record.encode(self.writer, &mut self.pending);
        if self.pending.len() > self.pending_bytes_max {
            tally::sum_up(&mut self.pending, self.writer, now);
            self.pending_bytes_max = PENDING_BYTES_MAX.max(2 * self.pending.len());
        }
    }

    /// Writes what was noted, with one write. It never waits: while another process holds the lock, it returns when it is
    /// to be called again. A failure to write is logged once, and the write is attempted again at most once a second;
    /// nobody need wait for that.
    pub fn flush(&mut self, now: Now) -> Option<Instant> {
        if !self.pending.is_empty() && !self.rests(now) {
            let outcome = self.write_pending(now);
            if outcome == Err(Fault::Busy) {
                let until = *self.busy_until.get_or_insert(now.instant + LOCK_PATIENCE);
                if now.instant < until {
                    return Some(now.instant + LOCK_PAUSE);
                }
            }
            self.settle(outcome, now);
        }
        self.busy_until = None;
        None
    }

    /// Reads what other processes have appended, and hands it out. To be called regularly, for instance once a second.
    pub fn catch_up(&mut self, now: Now) -> impl Iterator<Item = Record> + '_ {
        if self.file.is_some() || !self.rests(now) {
            match self.read_news(now) {
                // Another process holds the lock and is about to write the header: the next call finds it.
                Ok(()) | Err(Fault::Busy) => {}
                failure @ Err(_) => self.settle(failure, now),
            }
        }
        self.let_go_if_shared(now);
        self.news.drain(..)
    }

    /// Whether the file is much larger than its content, or damaged.
    pub fn wants_compaction(&self) -> bool {
        let Some(file) = &self.file else {
            return false;
        };
        let content = (HEADER.len() + self.tally.bytes()) as u64;
        let is_large = file.read_to > COMPACT_ABOVE_BYTES.max(COMPACT_ABOVE_TIMES * content);
        is_large || self.is_damaged
    }

    /// Replaces the records by their sums, unless another process is about to write or to compact. A failure is logged,
    /// and the file stays as it is.
    pub fn compact(&mut self, now: Now) {
        if self.compact_at.is_some_and(|at| now.instant < at) {
            return;
        }
        let file = self.file.as_ref();
        let outcome = match file.map(|file| file.lock(Lock::Exclusive)) {
            // The failed attempt has dropped the lock that was held before.
            None | Some(Err(Fault::Busy)) => return self.release(),
            Some(Ok(())) => self.compact_locked(now),
            Some(Err(fault)) => Err(fault),
        };
        self.release();
        match outcome {
            // The new file holds all that was pending, so that an earlier failure to write is over.
            Ok(true) => {
                self.compact_at = None;
                self.settle(Ok(()), now);
            }
            Ok(false) => {}
            Err(fault) => {
                if self.compact_at.is_none() {
                    let (path, why) = (self.path.display(), fault.why());
                    log::warn!("state_file {path}: {why}; it grows until it can be compacted");
                }
                self.compact_at = Some(now.instant + COMPACT_RETRY_AFTER);
            }
        }
    }

    /// What a client key has used, none of which is handed out any more: for a key that was not yet configured when its
    /// records were handed out.
    pub fn used_by(&mut self, client: &Digest) -> Option<Spent> {
        self.news.retain(|record| record.client() != Some(client));
        self.tally.used_by(client)
    }

    fn rests(&self, now: Now) -> bool {
        self.retry_at.is_some_and(|at| now.instant < at)
    }

    /// Logs when writing begins to fail, and when it works again.
    fn settle(&mut self, outcome: Result<(), Fault>, now: Now) {
        match outcome {
            Ok(()) => {
                if self.retry_at.take().is_some() {
                    log::info!("usage counts are kept in {} again", self.path.display());
                }
            }
            Err(fault) => {
                if self.retry_at.is_none() {
                    log::warn!("state_file {}", words::warning(&self.path, fault));
                }
                self.retry_at = Some(now.instant + RETRY_AFTER);
            }
        }
    }

    /// Opens the file at the path, begins it if it is empty, and takes in its records. Returns findings.
    fn open_file(&mut self, now: Now) -> Result<Option<String>, Fault> {
        self.file = None;
        self.hold = Hold::Released;
        let mut file = JournalFile::open(&self.path)?;
        // A symbolic link is kept when the file that it leads to is replaced. There is such a file from now on.
        if let Ok(path) = self.path.canonicalize() {
            self.path = path;
        }
        let mut opening = file.opening()?;
        if opening.lacks_header() {
            file.lock(Lock::Exclusive)?;
            opening = file.opening()?;
            if opening.lacks_header() {
                let damage = self.take_in_others(&mut file, now)?;
                file.begin(&self.snapshot(now))?;
                file.unlock();
                // The sums include what was pending.
                self.pending.clear();
                self.is_damaged = false;
                self.file = Some(file);
                let is_headless = opening == Opening::Headless;
                return Ok(is_headless.then(|| words::headless(&self.path, damage)));
            }
            file.unlock();
        }
        let finding = self.take_over(&mut file, opening, now)?;
        self.file = Some(file);
        Ok(finding)
    }

    /// Takes over a complete file, which begins with `opening`, as the current state; what is new in it goes to `news`.
    fn take_over(
        &mut self,
        file: &mut JournalFile,
        opening: Opening,
        now: Now,
    ) -> Result<Option<String>, Fault> {
        if let Opening::Foreign(why) = opening {
            return Err(Fault::Refused(why.to_string()));
        }
        let mut tally = Tally::default();
        file.read_to = HEADER.len() as u64;
        let (damage, torn_bytes) = file.read_rest(&mut |_, record| tally.add(&record, now))?;
        tally.add_all(&mut Scan::new(&self.pending), now);
        self.is_damaged = damage != Damage::default() || torn_bytes > 0;
        self.tally.prune(now);
        tally.prune(now);
        self.news.extend(tally.beyond(&self.tally, now));
        self.tally = tally;
        Ok(words::finding(&self.path, damage, torn_bytes))
    }

    /// Takes in the file's records as far as it can be read, unless it is longer than `bytes_max`.
    fn read_without_writing(&mut self, bytes_max: u64, now: Now) -> Result<Option<String>, String> {
        let Ok(mut file) = JournalFile::open_to_read(&self.path) else {
            return Ok(None);
        };
        match file.opening() {
            Ok(Opening::Foreign(why)) => return Err(words::refusal(&self.path, why)),
            Ok(Opening::Unbegun) | Err(_) => return Ok(None),
            Ok(Opening::Headless) => {}
            Ok(Opening::Known) => file.read_to = HEADER.len() as u64,
        }
        if file.length_min > bytes_max {
            return Ok(Some(words::unread(&self.path, file.length_min)));
        }
        let read = file.read_rest(&mut |_, record| self.tally.add(&record, now));
        let (damage, torn_bytes) = read.unwrap_or_default();
        Ok(words::finding(&self.path, damage, torn_bytes))
    }

    fn write_pending(&mut self, now: Now) -> Result<(), Fault> {
        for _ in 0..REOPENS_MAX {
            self.take_hold()?;
            if let (Some(file), Hold::Kept) = (&mut self.file, self.hold) {
                let (written, outcome) = file.append(&self.pending);
                match outcome {
                    Ok(()) => {
                        self.pending.clear();
                        self.let_go_if_shared(now);
                    }
                    // The torn record is written again as a whole.
                    Err(_) => {
                        let mut scan = Scan::new(&self.pending[..written]);
                        scan.by_ref().for_each(drop);
                        let whole = scan.at;
                        file.cut_off(written - whole);
                        self.pending.drain(..whole);
                        self.release();
                    }
                }
                return outcome;
            }
            self.reopen(now)?;
            if self.pending.is_empty() {
                return Ok(());
            }
        }
        Err(Fault::Failed("is replaced all the time".to_string()))
    }

    /// Takes the shared lock, unless it is held, and keeps it if the file still stands at its path: while it is held,
    /// no process of this program replaces the file. If something else does, the next [`Journal::catch_up`] notices it,
    /// and the sums include what was written meanwhile.
    fn take_hold(&mut self) -> Result<(), Fault> {
        if let (Some(file), Hold::Released) = (&self.file, self.hold) {
            file.lock(Lock::Shared)?;
            if self.is_current() {
                self.hold = Hold::Kept;
            }
        }
        Ok(())
    }

    fn release(&mut self) {
        if let Some(file) = &self.file {
            file.unlock();
        }
        self.hold = Hold::Released;
    }

    /// Releases the lock while other processes write too, so that one of them may compact.
    fn let_go_if_shared(&mut self, now: Now) {
        if self.shared_until.is_some_and(|until| now.instant < until) {
            self.release();
        }
    }

    fn reopen(&mut self, now: Now) -> Result<(), Fault> {
        let finding = self.open_file(now)?;
        if let Some(finding) = finding {
            log::warn!("state_file {finding}");
        }
        Ok(())
    }

    fn read_news(&mut self, now: Now) -> Result<(), Fault> {
        match self.is_current() {
            true => self.read_appended(now),
            false => self.reopen(now),
        }
    }

    /// Whether the open file is the one at the path, and has not become shorter.
    fn is_current(&self) -> bool {
        let file = self.file.as_ref();
        file.is_some_and(|file| file.stands_at(&self.path))
    }

    fn read_appended(&mut self, now: Now) -> Result<(), Fault> {
        if let Some(mut file) = self.file.take() {
            let read = self.take_in_others(&mut file, now);
            self.file = Some(file);
            if let Some(finding) = words::finding(&self.path, read?, 0) {
                log::warn!("state_file {finding}");
                self.is_damaged = true;
            }
        }
        Ok(())
    }

    /// Takes in what other processes have written since the last read; this process's own records are in the tally
    /// already. But one that follows another's about the same platform's key is taken in as well: the last word in the
    /// file counts, for every process. Returns the damage found.
    fn take_in_others(&mut self, file: &mut JournalFile, now: Now) -> Result<Damage, Fault> {
        let (damage, _) = file.read_rest(&mut |writer, record| {
            let key = record.platform_key();
            let follows = key.is_some() && self.news.iter().any(|news| news.platform_key() == key);
            if writer != self.writer {
                self.shared_until = Some(now.instant + SHARED_FOR);
            }
            if writer != self.writer || follows {
                self.tally.add(&record, now);
                self.news.push(record);
            }
        })?;
        Ok(damage)
    }

    /// As [`Journal::compact`], with the exclusive lock held. Returns whether the file was compacted.
    fn compact_locked(&mut self, now: Now) -> Result<bool, Fault> {
        if !self.is_current() {
            // Another process was faster; the next [`Journal::catch_up`] opens the new file.
            return Ok(false);
        }
        self.read_appended(now)?;
        let content = self.snapshot(now);
        let file = self.file.as_ref().expect("the current file is open");
        let new = file.replace(&self.path, &content)?;
        self.pending.clear();
        self.is_damaged = false;
        // Closing the old file releases its lock.
        self.file = Some(new);
        Ok(true)
    }

    /// A complete file that holds the current state.
    fn snapshot(&mut self, now: Now) -> Vec<u8> {
        self.tally.prune(now);
        let mut content = HEADER.to_vec();
        self.tally.encode(NOBODY, &mut content);
        content
    }
}

/// What to report of a path that leads to a device.
fn of_device(path: &Path) -> Option<String> {
    file::is_device(path).then(|| words::device(path))
}
