//! Several processes on one journal.

use std::os::unix::fs::FileExt;

use super::*;

#[test]
fn a_file_that_is_taken_away_is_made_anew() {
    let (folder, now) = (Folder::new(), start());
    let mut one = open(&folder.file(), 1, now).journal;
    let mut two = open(&folder.file(), 2, now).journal;
    one.note(&used(1, 4, now), now);
    one.flush(now);
    assert_eq!(two.catch_up(now).count(), 1);
    fs::remove_file(folder.file()).expect("it was there");
    two.note(&used(1, 2, now), now);
    two.flush(now);
    assert_eq!(
        counts(&one.catch_up(now).collect::<Vec<_>>())[&digest(1)],
        2
    );
    // A file that was emptied is begun anew before it is written to.
    fs::write(folder.file(), b"").expect("the folder can be written to");
    one.note(&used(1, 1, now), now);
    one.flush(now);
    assert_eq!(kept(&folder, now)[&digest(1)], 7);
}

/// The file is overwritten unnoticed: a process does not read its own records until another process has written.
#[test]
fn a_process_does_not_read_what_it_has_written() {
    let (folder, now) = (Folder::new(), start());
    let mut journal = open(&folder.file(), 1, now).journal;
    for _ in 0..2 {
        journal.note(&used(1, 4, now), now);
        journal.flush(now);
    }
    let file = fs::OpenOptions::new().write(true).open(folder.file());
    let file = file.expect("it was begun");
    let written = file.metadata().expect("it is there").len() as usize;
    let damage = vec![b'\n'; written - HEADER.len()];
    file.write_all_at(&damage, HEADER.len() as u64)
        .expect("it can be written to");
    assert_eq!(journal.catch_up(now).count(), 0);
    assert!(!journal.wants_compaction());
    journal.note(&used(1, 4, now), now);
    journal.flush(now);
    let mut other = b"damage".to_vec();
    used(2, 3, now).encode(2, &mut other);
    file.write_all_at(&other, (written + USED_BYTES) as u64)
        .expect("it can be written to");
    assert_eq!(
        counts(&journal.catch_up(now).collect::<Vec<_>>())[&digest(2)],
        3
    );
    // Damage that has been read is removed by compacting.
    assert!(journal.wants_compaction());
    journal.compact(now);
    assert!(!journal.wants_compaction());
}

#[test]
fn what_another_file_says_in_the_place_of_ours_is_news_as_far_as_it_is_new() {
    let now = start();
    let later = now.after(Duration::from_secs(1));
    let rows = [
        (used(1, 4, now), used(1, 4, now), None),
        (used(1, 4, now), used(1, 6, now), Some(used(1, 2, now))),
        // A cooldown begins with the last request.
        (used(1, 4, now), used(1, 4, later), Some(used(1, 0, later))),
        (key(7, unhealthy(), now), key(7, unhealthy(), later), None),
        (
            key(7, Standing::Usable, now),
            key(7, unhealthy(), now),
            Some(key(7, unhealthy(), now)),
        ),
        // The key can be used again.
        (
            key(7, unhealthy(), now),
            key(7, Standing::Usable, now),
            Some(key(7, Standing::Usable, later)),
        ),
    ];
    for (ours, theirs, want) in rows {
        let folder = Folder::new();
        let mut journal = open(&folder.file(), 1, now).journal;
        let mut other = open(&folder.at("other"), 2, now).journal;
        for (journal, record) in [(&mut journal, &ours), (&mut other, &theirs)] {
            journal.note(record, now);
            journal.flush(now);
        }
        fs::rename(folder.at("other"), folder.file()).expect("it is there");
        let news: Vec<Record> = journal.catch_up(later).collect();
        assert_eq!(news, Vec::from_iter(want), "{ours:?} {theirs:?}");
    }
}

#[test]
fn of_what_two_processes_learn_of_a_key_the_last_word_in_the_file_counts_for_both() {
    let now = start();
    let words = [unhealthy(), Standing::Usable];
    for (first, last) in [(0, 1), (1, 0)] {
        let folder = Folder::new();
        let mut journals = [1, 2].map(|writer| open(&folder.file(), writer, now).journal);
        for (journal, number) in journals.iter_mut().zip([8, 9]) {
            journal.note(&key(number, unhealthy(), now), now);
        }
        for place in [first, last] {
            journals[place].note(&key(7, words[place].clone(), now), now);
            journals[place].flush(now);
        }
        let last_word = key(7, words[last].clone(), now);
        for (journal, other_number) in journals.iter_mut().zip([9, 8]) {
            let news: Vec<Record> = journal.catch_up(now).collect();
            assert_eq!(news.last(), Some(&last_word));
            let others: Vec<_> = news
                .iter()
                .filter(|news| news.platform_key() != last_word.platform_key())
                .collect();
            assert_eq!(others, [&key(other_number, unhealthy(), now)]);
            let known = journal
                .tally
                .records()
                .find(|record| record.platform_key() == last_word.platform_key());
            assert_eq!(known, Some(last_word.clone()));
        }
    }
}

/// A process, and what it has counted.
struct Process {
    journal: Journal,
    counts: Counts,
}

impl Process {
    fn start(path: &Path, writer: u32, now: Now) -> Process {
        let Opened {
            journal,
            records,
            findings,
        } = open(path, writer, now);
        assert_eq!(findings, Vec::<String>::new());
        Process {
            journal,
            counts: counts(&records),
        }
    }

    fn admit(&mut self, client: usize, now: Now) {
        let record = used(client, 1, now);
        add(&mut self.counts, [&record]);
        self.journal.note(&record, now);
    }

    /// Writes what was noted. A lock may outlive its journal: a test that starts a program briefly shares all open
    /// files with it. Time stands still here, so no write is given up.
    fn flush(&mut self, now: Now) {
        while self.journal.flush(now).is_some() {
            std::thread::yield_now();
        }
        assert!(self.journal.pending.is_empty());
    }

    fn look(&mut self, now: Now) {
        for record in self.journal.catch_up(now) {
            add(&mut self.counts, [&record]);
        }
    }
}

#[test]
fn processes_that_share_a_file_lose_no_count_whoever_compacts_and_dies() {
    for seed in 1..=64u64 {
        let (folder, now) = (Folder::new(), start());
        let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut below = |end: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random >> 33) as usize % end
        };
        let mut written = Counts::default();
        let mut processes: Vec<Process> = (1..=3)
            .map(|writer| Process::start(&folder.file(), writer, now))
            .collect();
        for turn in 0..300 {
            let place = below(3);
            let process = &mut processes[place];
            match below(8) {
                0..=3 => {
                    for _ in 0..=below(3) {
                        let client = below(4);
                        process.admit(client, now);
                        add(&mut written, [&used(client, 1, now)]);
                    }
                    process.flush(now);
                }
                4 => process.look(now),
                5 => process.journal.compact(now),
                6 => {
                    // Noted, and not written yet: a compaction writes it as well.
                    process.admit(0, now);
                    add(&mut written, [&used(0, 1, now)]);
                    match below(2) {
                        0 => process.journal.compact(now),
                        _ => process.look(now),
                    }
                    process.flush(now);
                }
                // kill -9 and a new start.
                _ => *process = Process::start(&folder.file(), 10 + turn, now),
            }
        }
        for process in &mut processes {
            process.look(now);
            assert_eq!(process.counts, written, "seed {seed}");
        }
        let kept = kept(&folder, now);
        assert_eq!(kept, written, "seed {seed}");
    }
}

#[test]
fn what_a_process_gives_back_nobody_counts() {
    let (folder, now) = (Folder::new(), start());
    let [mut writer, mut reader] = [1, 2].map(|writer| Process::start(&folder.file(), writer, now));
    let Record::Used(spent) = used(0, 5, now) else {
        unreachable!("it was made as one");
    };
    for (record, want) in [
        (Record::Used(spent), 5),
        (Record::Unused(spent.times(3)), 2),
    ] {
        writer.journal.note(&record, now);
        writer.flush(now);
        reader.look(now);
        assert_eq!(reader.counts[&digest(0)], want);
        assert_eq!(kept(&folder, now)[&digest(0)], want);
    }
    writer.journal.compact(now);
    assert_eq!(kept(&folder, now)[&digest(0)], 2);
    // Giving back more than was counted leaves zero.
    writer.journal.note(&Record::Unused(spent.times(3)), now);
    writer.flush(now);
    assert_eq!(kept(&folder, now)[&digest(0)], 0);
}

#[test]
fn threads_that_write_and_compact_at_once_lose_no_count() {
    const REQUESTS: u64 = 1500;
    let (folder, now) = (Folder::new(), start());
    let work = |writer: u32| {
        let mut process = Process::start(&folder.file(), writer, now);
        for request in 0..REQUESTS as usize {
            process.admit(request % 2, now);
            process.flush(now);
            if request % 7 == 0 {
                process.journal.compact(now);
            }
            if request % 5 == 0 {
                process.look(now);
            }
        }
        process
    };
    let mut processes: Vec<Process> = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..=3)
            .map(|writer| scope.spawn(move || work(writer)))
            .collect();
        let ends = threads.into_iter().map(|thread| thread.join());
        ends.map(|end| end.expect("it did not panic")).collect()
    });
    let want = Counts::from([(digest(0), 3 * REQUESTS / 2), (digest(1), 3 * REQUESTS / 2)]);
    for process in &mut processes {
        process.look(now);
        assert_eq!(process.counts, want);
    }
    assert_eq!(kept(&folder, now), want);
}

/// Has another process write one record and end.
fn write_as_another(folder: &Folder, now: Now) {
    let mut other = open(&folder.file(), 2, now).journal;
    other.note(&used(2, 1, now), now);
    assert_eq!(other.flush(now), None);
}

#[test]
fn who_writes_alone_keeps_the_lock_until_another_writes() {
    let (folder, mut now) = (Folder::new(), start());
    let mut journal = open(&folder.file(), 1, now).journal;
    let other = JournalFile::open(&folder.file()).expect("it is there");
    let mut is_free_after_a_write = |now| {
        journal.note(&used(1, 1, now), now);
        assert_eq!(journal.flush(now), None);
        journal.catch_up(now).for_each(drop);
        let is_free = other.lock(Lock::Exclusive).is_ok();
        other.unlock();
        is_free
    };
    assert!(!is_free_after_a_write(now));
    write_as_another(&folder, now);
    assert!(is_free_after_a_write(now));
    now = now.after(SHARED_FOR);
    assert!(!is_free_after_a_write(now), "it is alone again");
    assert_eq!(kept(&folder, now)[&digest(1)], 3);
}

#[test]
fn a_lock_that_another_process_keeps_is_waited_for_without_sleeping_and_not_for_ever() {
    let (folder, mut now) = (Folder::new(), start());
    let mut journal = open(&folder.file(), 1, now).journal;
    write_as_another(&folder, now);
    journal.catch_up(now).for_each(drop);
    let other = JournalFile::open(&folder.file()).expect("it is there");
    for is_freed in [true, false, true] {
        other.lock(Lock::Exclusive).expect("it is free");
        journal.note(&used(1, 1, now), now);
        assert_eq!(journal.flush(now), Some(now.instant + LOCK_PAUSE));
        now = now.after(LOCK_PATIENCE / 2);
        assert_eq!(journal.flush(now), Some(now.instant + LOCK_PAUSE));
        now = now.after(LOCK_PATIENCE / 2);
        if is_freed {
            other.unlock();
            assert_eq!(journal.flush(now), None);
            assert!(journal.pending.is_empty());
            continue;
        }
        // Requests no longer wait; the record is written when that becomes possible.
        assert_eq!(journal.flush(now), None);
        assert!(!journal.pending.is_empty());
        other.unlock();
        now = now.after(RETRY_AFTER);
        assert_eq!(journal.flush(now), None);
        assert!(journal.pending.is_empty());
    }
    assert_eq!(kept(&folder, now)[&digest(1)], 3);
}

#[test]
fn the_last_write_is_tried_right_after_a_failure_and_says_what_is_lost() {
    let (folder, now) = (Folder::new(), start());
    let mut journal = open(&folder.file(), 1, now).journal;
    write_as_another(&folder, now);
    journal.catch_up(now).for_each(drop);
    let other = JournalFile::open(&folder.file()).expect("it is there");
    other.lock(Lock::Exclusive).expect("it is free");
    journal.note(&used(1, 3, now), now);
    journal.settle(Err(Fault::Failed("is full".to_string())), now);
    assert_eq!(journal.flush(now), None);
    let lost = journal.finish(now).expect_err("the lock is taken");
    assert!(
        lost.contains("; what was counted since is lost (requests: 3)"),
        "{lost}"
    );
    other.unlock();
    assert_eq!(journal.finish(now), Ok(()));
    assert_eq!(journal.finish(now), Ok(()), "nothing is left");
    assert_eq!(kept(&folder, now)[&digest(1)], 3);
}

/// When a disk becomes full within a record, the torn part leaves no damage.
#[test]
fn what_was_torn_is_cut_off_unless_another_has_written_since() {
    for is_alone in [true, false] {
        let (folder, now) = (Folder::new(), start());
        let mut journal = open(&folder.file(), 1, now).journal;
        journal.note(&used(1, 3, now), now);
        journal.flush(now);
        let file = journal.file.as_mut().expect("it is open");
        file.append(b"a piece").1.expect("there is room");
        if !is_alone {
            write_as_another(&folder, now);
        }
        file.cut_off(7);
        journal.release();
        journal.note(&used(1, 4, now), now);
        journal.flush(now);
        let opened = open(&folder.file(), 3, now);
        let found = counts(&opened.records);
        assert_eq!(
            (found[&digest(1)], found.len()),
            (7, 2 - usize::from(is_alone))
        );
        assert_eq!(
            opened.findings.is_empty(),
            is_alone,
            "{:?}",
            opened.findings
        );
    }
}

#[test]
fn who_writes_alone_notices_that_its_file_was_emptied_or_removed() {
    let (folder, now) = (Folder::new(), start());
    let mut journal = open(&folder.file(), 1, now).journal;
    let empty = || fs::write(folder.file(), b"").expect("the folder can be written to");
    let remove = || fs::remove_file(folder.file()).expect("it was there");
    let harms: [(&str, &dyn Fn()); 2] = [("emptied", &empty), ("removed", &remove)];
    for (round, (what, harm)) in harms.into_iter().enumerate() {
        journal.note(&used(1, 1, now), now);
        journal.flush(now);
        harm();
        journal.note(&used(1, 1, now), now);
        journal.flush(now);
        assert_eq!(journal.catch_up(now).count(), 0, "its own are no news");
        let opened = open(&folder.file(), 2, now);
        assert_eq!(opened.findings, Vec::<String>::new(), "{what}");
        let want = 2 * (round as u64 + 1);
        assert_eq!(counts(&opened.records)[&digest(1)], want, "{what}");
    }
}

#[test]
fn records_without_a_header_count_and_get_one() {
    let (folder, now) = (Folder::new(), start());
    let mut journal = open(&folder.file(), 1, now).journal;
    let mut write = |requests| {
        journal.note(&used(1, requests, now), now);
        journal.flush(now);
    };
    write(1);
    fs::write(folder.file(), b"").expect("the folder can be written to");
    write(2);
    // The process is killed before it has checked its file.
    drop(journal);
    for findings in [1, 0] {
        let opened = open(&folder.file(), 2, now);
        assert_eq!(opened.findings.len(), findings, "{:?}", opened.findings);
        assert_eq!(counts(&opened.records)[&digest(1)], 2);
    }
}

/// The file appears late, for instance when its disk is mounted, and holds counts already.
#[test]
fn what_waited_is_added_to_a_file_that_comes_late() {
    let (folder, mut now) = (Folder::new(), start());
    let late = folder.at("late/usage.journal");
    let mut waiting = open(&late, 1, now).journal;
    for _ in 0..20_000 {
        waiting.note(&used(1, 1, now), now);
    }
    waiting.note(&key(7, Standing::Usable, now), now);
    let mut former = open(&folder.file(), 2, now).journal;
    former.note(&used(1, 5, now), now);
    former.note(&key(7, unhealthy(), now), now);
    former.flush(now);
    fs::create_dir(folder.at("late")).expect("the folder can be written to");
    fs::rename(folder.file(), &late).expect("it is there");
    now = now.after(Duration::from_secs(2));
    waiting.flush(now);
    let records = open(&late, 3, now).records;
    assert_eq!(counts(&records)[&digest(1)], 20_005);
    assert_eq!(records.len(), 1, "the key can be used: {records:?}");
}
