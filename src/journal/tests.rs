//! The journal on real files.

mod compaction;
mod sharing;

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use super::*;
use crate::base::testing::{Folder, at};
use crate::policy::keyring::{Cause, Standing};

/// A time within the first hours of a day.
const START_MS: u64 = 20_000 * 86_400_000 + 2 * 3_600_000;

impl Folder {
    fn file(&self) -> PathBuf {
        self.at("usage.journal")
    }
}

fn start() -> Now {
    at(START_MS)
}

fn digest(number: usize) -> Digest {
    Digest::of(&number.to_le_bytes())
}

fn used(client: usize, requests: u32, now: Now) -> Record {
    Record::Used(Spent {
        client: digest(client),
        unix_ms: now.unix_ms,
        hour: (now.unix_seconds() / 3600) as u32,
        hour_used: requests,
        day: (now.unix_seconds() / 86_400) as u32,
        day_used: requests,
    })
}

fn key(number: usize, standing: Standing, now: Now) -> Record {
    Record::Key {
        key: digest(number),
        unix_ms: now.unix_ms,
        standing,
    }
}

fn unhealthy() -> Standing {
    Standing::Unhealthy {
        reason: "401".to_string(),
    }
}

/// Requests of the day, by client.
type Counts = HashMap<Digest, u64>;

fn add<'r>(counts: &mut Counts, records: impl IntoIterator<Item = &'r Record>) {
    for record in records {
        match record {
            Record::Used(spent) => {
                *counts.entry(spent.client).or_default() += u64::from(spent.day_used)
            }
            Record::Unused(spent) => {
                *counts.entry(spent.client).or_default() -= u64::from(spent.day_used)
            }
            Record::Key { .. } => {}
        }
    }
}

fn counts(records: &[Record]) -> Counts {
    let mut sums = Counts::default();
    add(&mut sums, records);
    sums
}

fn open(path: &Path, writer: u32, now: Now) -> Opened {
    Journal::open(path, writer, now).expect("it is a journal")
}

/// What a start finds counted in the file.
fn kept(folder: &Folder, now: Now) -> Counts {
    counts(&open(&folder.file(), 999, now).records)
}

/// What a start finds in a file with this content: records, findings, and the file afterwards.
fn replay(folder: &Folder, content: &[u8], now: Now) -> Result<(Vec<Record>, Vec<String>), String> {
    fs::write(folder.file(), content).expect("the folder can be written to");
    Journal::open(&folder.file(), 9, now).map(|opened| (opened.records, opened.findings))
}

/// A journal of five records, each of another client, and where each ends.
fn sample(folder: &Folder, now: Now) -> (Vec<u8>, Vec<usize>) {
    let mut journal = open(&folder.file(), 1, now).journal;
    let mut ends = Vec::new();
    for client in 0..5 {
        journal.note(&used(client, 1 + client as u32, now), now);
        journal.flush(now);
        ends.push(fs::read(folder.file()).expect("it is there").len());
    }
    (fs::read(folder.file()).expect("it is there"), ends)
}

#[test]
fn a_journal_cut_anywhere_keeps_its_whole_records() {
    let (folder, now) = (Folder::new(), start());
    let (content, ends) = sample(&folder, now);
    for length in 0..=content.len() {
        let (records, findings) =
            replay(&folder, &content[..length], now).expect("it is a journal");
        let whole = ends.iter().filter(|end| **end <= length).count();
        let found = counts(&records);
        assert_eq!(found.len(), whole, "cut at {length}");
        for client in 0..whole {
            assert_eq!(found[&digest(client)], 1 + client as u64);
        }
        let is_torn = length > HEADER.len() && !ends.contains(&length);
        assert_eq!(findings.len(), usize::from(is_torn), "cut at {length}");
        // The next process appends after the torn record, and compacting removes it.
        let mut opened = open(&folder.file(), 2, now);
        assert_eq!(opened.journal.wants_compaction(), is_torn);
        opened.journal.note(&used(0, 7, now), now);
        opened.journal.flush(now);
        let again = kept(&folder, now);
        assert_eq!(again[&digest(0)], found.get(&digest(0)).unwrap_or(&0) + 7);
        opened.journal.compact(now);
        let mended = open(&folder.file(), 4, now);
        assert_eq!((counts(&mended.records), mended.findings.len()), (again, 0));
    }
}

#[test]
fn a_damaged_byte_costs_one_record_and_is_told() {
    let (folder, now) = (Folder::new(), start());
    let (content, ends) = sample(&folder, now);
    for place in 0..content.len() {
        for flip in [0x01, 0x80, 0xFF] {
            let mut damaged = content.clone();
            damaged[place] ^= flip;
            let replayed = replay(&folder, &damaged, now);
            if place < HEADER.len() {
                let why = replayed.expect_err("the header is damaged");
                assert!(why.contains("it stays as it is"), "{why}");
                assert_eq!(fs::read(folder.file()).expect("it is there"), damaged);
                continue;
            }
            let (records, findings) = replayed.expect("it is a journal");
            let lost = ends.iter().filter(|end| **end <= place).count();
            let found = counts(&records);
            assert_eq!((found.len(), findings.len()), (4, 1), "byte {place}");
            for client in (0..5).filter(|client| *client != lost) {
                assert_eq!(found[&digest(client)], 1 + client as u64, "byte {place}");
            }
        }
    }
}

/// As a power cut leaves it where the file system had not written the file's first blocks.
#[test]
fn zeros_in_the_place_of_the_beginning_cost_the_records_that_were_there() {
    let (folder, now) = (Folder::new(), start());
    let (content, ends) = sample(&folder, now);
    for zeros in HEADER.len()..=content.len() {
        let mut damaged = content.clone();
        damaged[..zeros].fill(0);
        let whole = (1..5).filter(|client| ends[client - 1] >= zeros);
        let mut want: Counts = whole
            .map(|client| (digest(client), 1 + client as u64))
            .collect();
        if zeros == HEADER.len() {
            want.insert(digest(0), 1);
        }
        let replayed = replay(&folder, &damaged, now);
        if want.is_empty() {
            assert!(replayed.is_err_and(|why| why.contains("it stays as it is")));
            assert_eq!(fs::read(folder.file()).expect("it is there"), damaged);
            continue;
        }
        let (records, findings) = replayed.expect("it is a journal");
        assert_eq!(counts(&records), want, "{zeros} zeros");
        assert!(findings[0].contains("bytes were skipped"), "{findings:?}");
        let mended = open(&folder.file(), 2, now);
        assert_eq!((counts(&mended.records), mended.findings), (want, vec![]));
    }
    // Another file that happens to contain a journal, such as the image of a disk.
    let foreign = [&[0; 4096], &[b'x'; 300][..], &content].concat();
    assert!(replay(&folder, &foreign, now).is_err());
    assert_eq!(fs::read(folder.file()).expect("it is there"), foreign);
}

#[test]
fn what_is_not_ours_is_refused_and_stays() {
    let (folder, now) = (Folder::new(), start());
    let rows: [(&[u8], &str); 6] = [
        (b"ai-api-proxy journal 2\nwhatever", "a newer version"),
        (b"ai-api-proxy journal 10\n", "a newer version"),
        (b"{\"daily_limit\": 1}", "not a journal"),
        (b"ai-api-proxy journal one\n", "not a journal"),
        (b"\0", "not a journal"),
        (b"ai-api-proxy journal 1\r\n", "newer version"),
    ];
    for (content, want) in rows {
        let why = replay(&folder, content, now).expect_err("it is not ours");
        assert!(why.contains(want), "{why}");
        assert_eq!(fs::read(folder.file()).expect("it is there"), content);
    }
    assert!(Journal::open(&folder.at("usage.journal/x"), 1, now).is_ok());
    // Such a file appears while the program runs: nothing is written to it either.
    fs::remove_file(folder.file()).expect("it was there");
    let mut journal = open(&folder.file(), 1, now).journal;
    fs::remove_file(folder.file()).expect("it was made");
    fs::write(folder.file(), b"ai-api-proxy journal 2\n").expect("the folder can be written to");
    for _ in 0..3 {
        journal.note(&used(1, 1, now), now);
        journal.flush(now);
        assert_eq!(journal.catch_up(now).count(), 0);
        journal.compact(now);
    }
    let content = fs::read(folder.file()).expect("it is there");
    assert_eq!(content, b"ai-api-proxy journal 2\n");
}

/// The file is read in pieces: no record across two of them is lost, and no piece without a record is read twice.
#[test]
fn a_file_of_any_size_is_read_to_its_end() {
    let (folder, now) = (Folder::new(), start());
    let (content, ends) = sample(&folder, now);
    let records = &content[HEADER.len()..];
    let (first, others) = records.split_at(ends[0] - HEADER.len());
    let hole = vec![0; 3_000_000];
    let content = [HEADER, &first.repeat(40_000), &hole, others, &hole].concat();
    let (records, findings) = replay(&folder, &content, now).expect("it is a journal");
    let found = counts(&records);
    assert_eq!((found.len(), found[&digest(0)]), (5, 40_000));
    assert_eq!(findings.len(), 1, "{findings:?}");
    let mut journal = open(&folder.file(), 2, now).journal;
    // Records that another process appends while this one runs.
    let added = [&content[..], &hole, &first.repeat(40_000), &hole].concat();
    fs::write(folder.file(), added).expect("it can be written");
    let news: Vec<Record> = journal.catch_up(now).collect();
    assert_eq!(counts(&news)[&digest(0)], 40_000);
    journal.compact(now);
    assert_eq!(kept(&folder, now)[&digest(0)], 80_000);
}

#[test]
fn a_check_says_what_a_start_would_and_leaves_no_trace() {
    let (folder, now) = (Folder::new(), start());
    let (mut torn, _) = sample(&folder, now);
    torn.pop();
    let at = |name: &str| folder.at(name);
    fs::create_dir(at("folder")).expect("the folder can be written to");
    symlink("/dev/null", at("device")).expect("a link can be made");
    for (name, content) in [
        ("torn", &torn[..]),
        ("newer", b"ai-api-proxy journal 2\n"),
        ("foreign", b"{}"),
        ("empty", b""),
    ] {
        fs::write(at(name), content).expect("the folder can be written to");
    }
    let told = |name: &str| {
        let facts = fs::metadata(at(name));
        (
            fs::read(at(name)).ok(),
            facts.and_then(|facts| facts.modified()).ok(),
        )
    };
    for (name, want) in [
        ("usage.journal", None),
        ("torn", Some("its last record was torn")),
        ("newer", Some("a newer version of ai-api-proxy wrote it")),
        ("foreign", Some("it is not a journal")),
        ("empty", None),
        ("none", None),
        ("folder", Some("cannot be opened: Is a directory")),
        ("missing/none", Some("cannot be opened: No such file")),
        ("empty/none", Some("cannot be opened: Not a directory")),
        ("device", Some("it is a device")),
    ] {
        let before = (told(name), told("."));
        let checked = Journal::check(&at(name), now);
        assert_eq!((told(name), told(".")), before, "{name}");
        let opened = Journal::open(&at(name), 1, now).map(|opened| opened.findings);
        assert_eq!(checked, opened, "{name}");
        let lines = checked.unwrap_or_else(|problem| vec![problem]);
        assert_eq!(
            lines.len(),
            usize::from(want.is_some()),
            "{name}: {lines:?}"
        );
        assert!(
            lines
                .iter()
                .zip(want)
                .all(|(line, want)| line.contains(want)),
            "{lines:?}"
        );
    }
}

#[test]
fn a_check_does_not_look_through_what_is_very_large() {
    let (folder, now) = (Folder::new(), start());
    // (how it begins, what is told)
    for (begin, want) in [
        (HEADER, "was not read through"),
        (&b"{}"[..], "it is not a journal"),
    ] {
        fs::write(folder.file(), begin).expect("the folder can be written to");
        let file = OpenOptions::new().write(true).open(folder.file());
        let file = file.expect("it was made");
        file.set_len(CHECKED_BYTES_MAX + 1)
            .expect("it has no content");
        let told = Journal::check(&folder.file(), now);
        let told = told.map_or_else(|problem| problem, |warnings| warnings.concat());
        assert!(told.contains(want), "{told}");
    }
}

#[test]
fn where_nothing_can_be_written_counting_goes_on() {
    let (folder, mut now) = (Folder::new(), start());
    fs::write(folder.at("a file"), b"").expect("the folder can be written to");
    let paths = [
        PathBuf::from("/dev/full"),
        PathBuf::from("/proc/usage.journal"),
        folder.0.clone(),
        folder.at("missing/usage.journal"),
        folder.at("a file/usage.journal"),
    ];
    for path in paths {
        let mut opened = open(&path, 1, now);
        assert_eq!(opened.findings.len(), 1, "{path:?}");
        assert!(opened.findings[0].contains("in memory"));
        for _ in 0..20_000 {
            opened.journal.note(&used(1, 1, now), now);
            opened.journal.flush(now);
        }
        now = now.after(Duration::from_secs(2));
        opened.journal.flush(now);
        assert_eq!(opened.journal.catch_up(now).count(), 0);
        opened.journal.compact(now);
        let spent = opened.journal.used_by(&digest(1)).expect("it is counted");
        assert_eq!(spent.day_used, 20_000);
        assert!(opened.journal.pending.len() < PENDING_BYTES_MAX + 100);
    }
    // Once the folder exists, all that was counted is written.
    let path = folder.at("later/usage.journal");
    let mut journal = open(&path, 1, now).journal;
    journal.note(&used(1, 3, now), now);
    fs::create_dir(folder.at("later")).expect("the folder can be written to");
    now = now.after(Duration::from_secs(2));
    journal.flush(now);
    journal.note(&used(1, 4, now), now);
    journal.flush(now);
    assert_eq!(counts(&open(&path, 2, now).records)[&digest(1)], 7);
}

#[test]
fn key_states_come_back_and_end() {
    let (folder, now) = (Folder::new(), start());
    let cooling = |seconds: u64| Standing::Cooling {
        until_unix_ms: now.unix_ms + seconds * 1000,
        cause: Cause::RateLimited,
    };
    let mut journal = open(&folder.file(), 1, now).journal;
    for record in [
        key(1, unhealthy(), now),
        key(2, cooling(60), now),
        key(3, unhealthy(), now),
        key(3, Standing::Usable, now),
        key(4, cooling(5), now),
    ] {
        journal.note(&record, now);
    }
    journal.flush(now);
    // (seconds later, the keys that are remembered)
    for (later, want) in [(0, vec![1, 2, 4]), (10, vec![1, 2]), (100, vec![1])] {
        let now = now.after(Duration::from_secs(later));
        for is_compacted in [false, true] {
            let mut opened = open(&folder.file(), 2, now);
            let known = |number: &usize| {
                let is_it = |record: &Record| matches!(record, Record::Key { key, .. } if *key == digest(*number));
                opened.records.iter().any(is_it)
            };
            let found: Vec<usize> = (1..=4).filter(known).collect();
            assert_eq!(found, want, "{later} s, compacted: {is_compacted}");
            if later > 0 {
                opened.journal.compact(now);
            }
        }
    }
    let week = now.after(Duration::from_secs(8 * 86_400));
    assert!(open(&folder.file(), 2, week).records.is_empty());
    // Noted by a clock that was ahead: the key would otherwise cool at each start.
    let set_back = Now {
        unix_ms: now.unix_ms - 8 * 86_400_000,
        ..now
    };
    assert!(open(&folder.file(), 2, set_back).records.is_empty());
}

#[test]
fn what_was_noted_ahead_of_the_clock_hides_nothing() {
    let (folder, now) = (Folder::new(), start());
    let ahead = [3600, 86_400, 365 * 86_400].map(|s| now.after(Duration::from_secs(s)));
    let orders = [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2]];
    for order in orders {
        let _ = fs::remove_file(folder.file());
        let mut journal = open(&folder.file(), 1, now).journal;
        let times = [now, ahead[0], ahead[1], ahead[2]];
        for place in order {
            journal.note(&used(1, 1, times[place]), times[place]);
        }
        journal.flush(now);
        for is_compacted in [false, true] {
            let mut journal = open(&folder.file(), 2, now).journal;
            let spent = journal.used_by(&digest(1)).expect("it is kept");
            // The request noted an hour ahead falls on the same day.
            let found = (spent.hour_used, spent.day_used, spent.unix_ms);
            assert_eq!(found, (1, 2, now.unix_ms), "{order:?}, {is_compacted}");
            journal.compact(now);
        }
    }
}

#[test]
fn a_file_that_can_only_be_read_still_counts() {
    let (folder, now) = (Folder::new(), start());
    let (content, _) = sample(&folder, now);
    let set = |path: &Path, mode| {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(path, permissions).expect("it is ours");
    };
    set(&folder.file(), 0o400);
    set(&folder.0, 0o500);
    let mut opened = open(&folder.file(), 2, now);
    assert_eq!(counts(&opened.records).len(), 5);
    opened.journal.note(&used(7, 1, now), now);
    opened.journal.flush(now);
    // Root may write regardless of the mode.
    let is_root = fs::metadata(&folder.0).expect("it is there").uid() == 0;
    assert_eq!(opened.findings.is_empty(), is_root);
    let left = fs::read(folder.file()).expect("it is there");
    assert_eq!(left == content, !is_root);
    set(&folder.0, 0o700);
    set(&folder.file(), 0o600);
    let now = now.after(Duration::from_secs(2));
    opened.journal.flush(now);
    assert_eq!(kept(&folder, now).len(), 6);
}
