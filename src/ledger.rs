//! Carries what must survive a restart between policy and the journal. It knows no request and no socket.

mod ahead;

use std::path::Path;
use std::time::{Duration, Instant};

use crate::base::now::Now;
use crate::journal::{Journal, Opened, Record};
use crate::policy::access::{ClientId, Clients, Quota, Spent};
use crate::policy::digest::Digest;
use crate::policy::keyring::Keyring;
use ahead::Ahead;

/// How often other processes' records are read.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is kept on disk, if anything is.
#[derive(Default)]
pub struct Ledger {
    journal: Option<Journal>,
    /// When other processes' records are read next.
    look_at: Option<Instant>,
    /// The last request admitted in this turn, together with those of the same client right before it: they become one
    /// record.
    last_admitted: Option<Spent>,
    ahead: Ahead,
    /// Set while another process's lock delays the write: when it is tried again.
    write_at: Option<Instant>,
}

impl Ledger {
    /// Opens the journal at `path` and takes over what it holds. `writer` is a random number. Also returns lines for
    /// the log: what was damaged, and why counts are not kept.
    ///
    /// # Errors
    /// A file of a newer version or of another program, which is left as it is.
    pub fn open(
        path: &Path,
        writer: u32,
        clients: &mut Clients,
        keyring: &mut Keyring,
        now: Now,
    ) -> Result<(Ledger, Vec<String>), String> {
        let Opened {
            mut journal,
            records,
            findings,
        } = Journal::open(path, writer, now)?;
        for record in &records {
            apply(record, clients, keyring, now);
        }
        // Before anything is appended: what follows a torn record would make it damage, to be told once more.
        if journal.wants_compaction() {
            journal.compact(now);
        }
        let ledger = Ledger {
            journal: Some(journal),
            look_at: Some(now.instant + LOOK_EVERY),
            last_admitted: None,
            ahead: Ahead::default(),
            write_at: None,
        };
        Ok((ledger, findings))
    }

    /// Counts the request of `client` that was just admitted, which has left it `quota`. It may go upstream once
    /// [`Ledger::holds_back`] is false.
    pub fn admitted(
        &mut self,
        client: ClientId,
        quota: Option<Quota>,
        clients: &Clients,
        now: Now,
    ) {
        let Some(journal) = &mut self.journal else {
            return;
        };
        let admission = clients.admission(client);
        let allowed = quota.map_or(u64::MAX, |quota| quota.remaining);
        let Some(admission) = self.ahead.count(client, admission, allowed, now.instant) else {
            return;
        };
        let joined = self
            .last_admitted
            .and_then(|former| former.join(&admission));
        if let (None, Some(former)) = (joined, self.last_admitted) {
            journal.note(&Record::Used(former), now);
        }
        self.last_admitted = joined.or(Some(admission));
    }

    /// Whether admitted requests wait until a [`Ledger::write`] has succeeded.
    pub fn holds_back(&self) -> bool {
        self.last_admitted.is_some() || self.write_at.is_some()
    }

    /// Writes what this turn has brought, with one write. Afterwards its requests are no longer held back, even if the
    /// write failed, unless another process holds the file's lock: then it is to be called again at
    /// [`Ledger::deadline`] or earlier, and the requests wait for no longer than some 20 ms.
    pub fn write(&mut self, keyring: &mut Keyring, now: Now) {
        self.note(keyring, now);
        let journal = self.journal.as_mut();
        self.write_at = journal.and_then(|journal| journal.flush(now));
    }

    /// The last [`Ledger::write`], after which no request is admitted.
    ///
    /// # Errors
    /// A line for the log: what is lost.
    pub fn finish(&mut self, keyring: &mut Keyring, now: Now) -> Result<(), String> {
        self.ahead.end(now.instant);
        self.note(keyring, now);
        let journal = self.journal.as_mut();
        journal.map_or(Ok(()), |journal| journal.finish(now))
    }

    /// Passes what this turn has brought to the journal.
    fn note(&mut self, keyring: &mut Keyring, now: Now) {
        while let Some((key, standing)) = keyring.next_change() {
            if let Some(journal) = &mut self.journal {
                let unix_ms = now.unix_ms;
                let record = Record::Key {
                    key,
                    unix_ms,
                    standing,
                };
                journal.note(&record, now);
            }
        }
        if let Some(journal) = &mut self.journal {
            if let Some(admission) = self.last_admitted.take() {
                journal.note(&Record::Used(admission), now);
            }
            while let Some(counted_ahead) = self.ahead.go_on(now.instant) {
                journal.note(&Record::Used(counted_ahead), now);
            }
            for unused in self.ahead.give_back(now.instant) {
                journal.note(&Record::Unused(unused), now);
            }
        }
    }

    /// When [`Ledger::write`] or [`Ledger::look`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let deadlines = [self.look_at, self.write_at, self.ahead.deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Takes over what other processes have written, and compacts the file when needed. Returns the number of records.
    pub fn look(&mut self, clients: &mut Clients, keyring: &mut Keyring, now: Now) -> usize {
        let Some(journal) = &mut self.journal else {
            return 0;
        };
        if self.look_at.is_some_and(|at| now.instant < at) {
            return 0;
        }
        self.look_at = Some(now.instant + LOOK_EVERY);
        if journal.wants_compaction() {
            journal.compact(now);
        }
        let mut records = 0;
        for record in journal.catch_up(now) {
            apply(&record, clients, keyring, now);
            records += 1;
        }
        records
    }

    /// Restores the earlier usage of client keys that a new configuration has added.
    pub fn restore_added(&mut self, added: &[Digest], clients: &mut Clients, now: Now) {
        let Some(journal) = &mut self.journal else {
            return;
        };
        for spent in added.iter().filter_map(|key| journal.used_by(key)) {
            clients.restore(&spent, now);
        }
    }
}

fn apply(record: &Record, clients: &mut Clients, keyring: &mut Keyring, now: Now) {
    match record {
        Record::Used(spent) => clients.restore(spent, now),
        Record::Unused(spent) => clients.take_back(spent, now),
        Record::Key {
            key,
            unix_ms,
            standing,
        } => keyring.restore(key, standing, *unix_ms, now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::client::ClientSpec;
    use crate::base::testing::{Folder, now};
    use crate::policy::keyring::{KeyId, NoKey, Outcome, PlatformId};
    use crate::policy::testing::{rejected, secrets, unlimited};

    const CLIENT: &str = "client-one";

    fn limited() -> ClientSpec {
        ClientSpec {
            daily_limit: 3,
            cooldown_seconds: 10,
            ..unlimited(CLIENT)
        }
    }

    /// The state of a new process whose configuration has only this client's key.
    fn open(
        path: &Path,
        writer: u32,
        spec: ClientSpec,
        keyring: &mut Keyring,
        now: Now,
    ) -> (Ledger, Clients, ClientId) {
        let mut clients = Clients::new(vec![spec]);
        let opened = Ledger::open(path, writer, &mut clients, keyring, now);
        let (ledger, findings) = opened.expect("it is a journal");
        assert!(findings.is_empty(), "{findings:?}");
        let id = clients.identify(CLIENT.as_bytes()).expect("it is known");
        (ledger, clients, id)
    }

    fn ask(ledger: &mut Ledger, clients: &mut Clients, id: ClientId, now: Now) {
        let quota = clients.admit(id, "demo", false, now).expect("it may pass");
        ledger.admitted(id, quota, clients, now);
    }

    fn ring(keys: &[&str]) -> (Keyring, PlatformId, Vec<KeyId>) {
        let mut keyring = Keyring::default();
        let mut ids = keyring.reload(&[("demo", &secrets(keys))]);
        let (platform, keys) = ids.remove(0);
        (keyring, platform, keys)
    }

    #[test]
    fn a_restart_forgets_neither_requests_nor_dead_keys() {
        let folder = Folder::new();
        let path = folder.at("usage.journal");
        let mut now = now();
        let waits = [None, Some(Duration::from_secs(600))];
        // Each round is a process that is killed after its write.
        for round in 0..3 {
            let (mut keyring, platform, keys) = ring(&["dead", "limited", "good"]);
            let (mut ledger, mut clients, id) = open(&path, round, limited(), &mut keyring, now);
            assert_eq!(clients.usage(id, now).day.used, u64::from(round));
            if round > 0 {
                assert!(
                    clients.admit(id, "demo", false, now).is_err(),
                    "the pause goes on"
                );
                now = now.after(Duration::from_secs(10));
            }
            ask(&mut ledger, &mut clients, id, now);
            assert!(ledger.holds_back());
            let mut tried = Vec::new();
            for wait in waits {
                let Ok(permit) = keyring.pick(platform, &keys, &tried, now) else {
                    panic!("the good key is there");
                };
                let outcome = match (round, wait) {
                    (0, None) => rejected(),
                    (0, Some(_)) => Outcome::RateLimited { wait },
                    (_, _) => Outcome::Answered,
                };
                tried.push(permit.key());
                keyring.learn(&permit, outcome, now);
                permit.release();
                if round > 0 {
                    let label = keyring.label(tried[0]);
                    assert_eq!(label.as_str(), Digest::of(b"good").label().as_str());
                    let none = keyring.pick(platform, &keys, &tried, now).err();
                    assert!(matches!(none, Some(NoKey::RateLimited { .. })));
                    break;
                }
            }
            ledger.write(&mut keyring, now);
            assert!(!ledger.holds_back() && keyring.next_change().is_none());
            // A configuration that adds the key again while the program runs restores the same usage.
            let (mut clients, key) = (Clients::default(), Digest::of(CLIENT.as_bytes()));
            assert_eq!(clients.reload(vec![limited()]), [key]);
            ledger.restore_added(&[key], &mut clients, now);
            let id = clients.identify(CLIENT.as_bytes()).expect("it is known");
            assert_eq!(clients.usage(id, now).day.used, u64::from(round) + 1);
        }
    }

    #[test]
    fn a_torn_record_is_told_at_the_start_alone() {
        let folder = Folder::new();
        let (path, now) = (folder.at("usage.journal"), now());
        let keyring = &mut Keyring::default();
        let (mut ledger, mut clients, id) = open(&path, 1, unlimited(CLIENT), keyring, now);
        for _ in 0..2 {
            ask(&mut ledger, &mut clients, id, now);
            ledger.write(keyring, now);
        }
        drop(ledger);
        let file = std::fs::OpenOptions::new().write(true).open(&path);
        let file = file.expect("it was begun");
        let length = file.metadata().expect("it is there").len();
        file.set_len(length - 1).expect("it can be written to");
        let mut clients = Clients::new(vec![unlimited(CLIENT)]);
        let opened = Ledger::open(&path, 2, &mut clients, keyring, now);
        let (mut ledger, findings) = opened.expect("it is a journal");
        assert_eq!(findings.len(), 1, "{findings:?}");
        ask(&mut ledger, &mut clients, id, now);
        ledger.write(keyring, now);
        // The other process finds no damage.
        let (_, clients, id) = open(&path, 3, unlimited(CLIENT), keyring, now);
        assert_eq!(clients.usage(id, now).day.used, 2);
    }

    #[test]
    fn what_a_busy_key_has_not_used_is_given_back() {
        const REQUESTS: u64 = 100;
        let now = now();
        let open = |path: &Path, writer| {
            let keyring = &mut Keyring::default();
            open(path, writer, unlimited(CLIENT), keyring, now)
        };
        let later = now.after(Duration::from_millis(20));
        // (how the process ends, whether more requests may be counted than came)
        type End = fn(&mut Ledger, Now, Now);
        let ends: [(End, bool); 3] = [
            (|_, _, _| {}, true),
            (
                |ledger, _, later| ledger.write(&mut Keyring::default(), later),
                false,
            ),
            (
                |ledger, now, _| {
                    let finished = ledger.finish(&mut Keyring::default(), now);
                    finished.expect("it can be written");
                },
                false,
            ),
        ];
        for (end, may_be_more) in ends {
            let folder = Folder::new();
            let path = folder.at("usage.journal");
            let (mut ledger, mut clients, id) = open(&path, 1);
            let (mut other, mut others, _) = open(&path, 2);
            let mut unwritten = 0;
            for _ in 0..REQUESTS {
                ask(&mut ledger, &mut clients, id, now);
                unwritten += u64::from(!ledger.holds_back());
                ledger.write(&mut Keyring::default(), now);
            }
            assert!(unwritten > REQUESTS / 8, "{unwritten}");
            end(&mut ledger, now, later);
            drop(ledger);
            assert_eq!(clients.usage(id, now).day.used, REQUESTS);
            let (_, restored, id) = open(&path, 3);
            let used = restored.usage(id, now).day.used;
            assert_eq!(used > REQUESTS, may_be_more, "{used}");
            other.look(&mut others, &mut Keyring::default(), now.after(LOOK_EVERY));
            assert_eq!(others.usage(id, now).day.used, used);
        }
    }

    #[test]
    fn requests_of_one_turn_are_counted_for_whom_they_are_whatever_their_order() {
        let folder = Folder::new();
        let path = folder.at("usage.journal");
        let now = now();
        let keys = ["client-one", "client-two"];
        let specs = keys.map(|key| ClientSpec {
            daily_limit: 100,
            ..unlimited(key)
        });
        let known = || Clients::new(specs.to_vec());
        // (who asks in one turn, number of records)
        let rows: [(&[usize], u64); 4] = [
            (&[0], 1),
            (&[0, 0, 0], 1),
            (&[0, 0, 1, 1], 2),
            (&[0, 1, 0, 1, 1], 4),
        ];
        for (turn, records) in rows {
            let _ = std::fs::remove_file(&path);
            let (mut clients, mut keyring) = (known(), Keyring::default());
            let opened = Ledger::open(&path, 1, &mut clients, &mut keyring, now);
            let (mut ledger, _) = opened.expect("a new journal");
            let length = || std::fs::metadata(&path).expect("it is there").len();
            let empty = length();
            let ids = keys.map(|key| clients.identify(key.as_bytes()).expect("it is known"));
            for place in turn {
                ask(&mut ledger, &mut clients, ids[*place], now);
            }
            ledger.write(&mut keyring, now);
            assert!(!ledger.holds_back());
            let record_bytes = crate::journal::USED_BYTES as u64;
            assert_eq!(length() - empty, records * record_bytes, "{turn:?}");
            let mut clients = known();
            Ledger::open(&path, 2, &mut clients, &mut Keyring::default(), now).expect("a journal");
            for (place, id) in ids.into_iter().enumerate() {
                let want = turn.iter().filter(|who| **who == place).count() as u64;
                assert_eq!(clients.usage(id, now).day.used, want, "{turn:?}");
            }
        }
    }

    #[test]
    fn requests_wait_for_a_write_that_another_process_holds_up() {
        let folder = Folder::new();
        let path = folder.at("usage.journal");
        let now = now();
        let mut keyring = Keyring::default();
        let (mut ledger, mut clients, id) = open(&path, 1, limited(), &mut keyring, now);
        ask(&mut ledger, &mut clients, id, now);
        let other = std::fs::File::open(&path).expect("it was begun");
        other.lock().expect("a file has locks");
        ledger.write(&mut keyring, now);
        assert!(ledger.holds_back());
        let looks_at = now.instant + LOOK_EVERY;
        assert!(ledger.deadline().is_some_and(|again| again < looks_at));
        other.unlock().expect("it was locked");
        ledger.write(&mut keyring, now);
        assert!(!ledger.holds_back());
        assert_eq!(ledger.deadline(), Some(looks_at));
    }

    /// A write that finds the file replaced learns of other processes' requests before the next look hands them out.
    #[test]
    fn requests_of_a_key_that_is_added_after_a_write_are_counted_once() {
        const OTHER: &str = "client-two";
        let folder = Folder::new();
        let (path, copy) = (folder.at("usage.journal"), folder.at("copy"));
        let now = now();
        let keyring = &mut Keyring::default();
        let (mut ledger, mut clients, id) = open(&path, 1, unlimited(CLIENT), keyring, now);
        let mut others = Clients::new(vec![unlimited(CLIENT), unlimited(OTHER)]);
        let opened = Ledger::open(&path, 2, &mut others, keyring, now);
        let (mut other, _) = opened.expect("it is a journal");
        for name in [CLIENT, OTHER] {
            let id = others.identify(name.as_bytes()).expect("it is known");
            ask(&mut other, &mut others, id, now);
            other.write(keyring, now);
        }
        std::fs::copy(&path, &copy).expect("the folder can be written to");
        std::fs::rename(&copy, &path).expect("the folder can be written to");
        ask(&mut ledger, &mut clients, id, now);
        ledger.write(keyring, now);
        let added = clients.reload(vec![unlimited(CLIENT), unlimited(OTHER)]);
        ledger.restore_added(&added, &mut clients, now);
        ledger.look(&mut clients, keyring, now.after(LOOK_EVERY));
        for (name, want) in [(CLIENT, 2), (OTHER, 1)] {
            let id = clients.identify(name.as_bytes()).expect("it is known");
            assert_eq!(clients.usage(id, now).day.used, want, "{name}");
        }
    }

    #[test]
    fn a_look_once_a_second_keeps_the_file_small() {
        const REQUESTS: u64 = 1000;
        let folder = Folder::new();
        let path = folder.at("usage.journal");
        let mut now = now();
        let mut keyring = Keyring::default();
        let (mut ledger, mut clients, id) = open(&path, 1, unlimited(CLIENT), &mut keyring, now);
        let length = || std::fs::metadata(&path).expect("it is there").len();
        for _ in 0..REQUESTS {
            now = now.after(LOOK_EVERY);
            ask(&mut ledger, &mut clients, id, now);
            ledger.write(&mut keyring, now);
            assert!(length() <= 66 * 1024);
            assert_eq!(ledger.look(&mut clients, &mut keyring, now), 0);
            assert_eq!(ledger.deadline(), Some(now.instant + LOOK_EVERY));
        }
        assert!(length() < 10 * 1024, "it was compacted");
        assert_eq!(clients.usage(id, now).day.used, REQUESTS);
    }
}
