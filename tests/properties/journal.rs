//! Any journal: it is opened or refused, never misread; whole records survive whatever stands between them, a
//! compaction changes nothing that is known, and pieces that are appended are read like the whole.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use ai_api_proxy::base::now::Now;
use ai_api_proxy::journal::{Journal, Opened, Record};

use super::folder::Folder;
use super::input::{choices, now, pieces, steps};

thread_local! {
    static FOLDER: Folder = Folder::new("journal");
}

const HEADER: &[u8] = b"ai-api-proxy journal 1\n";

/// The hour and day of the properties' time, so that a record can be one that still counts.
const HOUR: u32 = 1_790_000_000 / 3600;
const DAY: u32 = 1_790_000_000 / 86_400;

/// `data`: how it is cut, then steps: `h` other bytes in place of the header, `r` a record with this kind and payload,
/// `u` a count, `x` bytes as they are, `t` tears off the end.
pub fn check(mut data: &[u8]) {
    let [seed] = choices(&mut data);
    let mut content = HEADER.to_vec();
    for (kind, bytes) in steps(data) {
        match kind {
            b'h' => content = bytes.to_vec(),
            b'r' => content.extend(record(bytes)),
            b'u' => content.extend(record(&used(bytes))),
            b'x' => content.extend_from_slice(bytes),
            b't' => {
                let torn = bytes.first().copied().unwrap_or(1);
                content.truncate(content.len().saturating_sub(usize::from(torn)));
            }
            _ => {}
        }
    }
    FOLDER.with(|folder| {
        let path = folder.path().join("usage.journal");
        // The same time everywhere, since outdated records are left out.
        let now = now();
        check_content(&path, &content, now);
        if content.starts_with(HEADER) {
            check_pieces(&path, &content[HEADER.len()..], seed, now);
        }
    });
}

fn check_content(path: &PathBuf, content: &[u8], now: Now) {
    fs::write(path, content).expect("a file can be written");
    let opened = match Journal::open(path, 7, now) {
        Ok(opened) => opened,
        Err(_) => {
            assert!(!content.starts_with(HEADER), "a journal was refused");
            let after = fs::read(path).expect("it is there");
            assert_eq!(after, content, "it was refused and changed");
            return;
        }
    };
    let known = sorted(&opened.records);
    let mut journal = opened.journal;
    journal.compact(now);
    assert!(!journal.wants_compaction());
    drop(journal);
    let Opened {
        records, findings, ..
    } = Journal::open(path, 8, now).expect("a compacted journal is one");
    assert_eq!(sorted(&records), known, "the compaction lost something");
    assert!(findings.is_empty(), "{findings:?}");
}

/// Another process appends `records` in pieces.
fn check_pieces(path: &PathBuf, records: &[u8], seed: u8, now: Now) {
    fs::write(path, [HEADER, records].concat()).expect("a file can be written");
    let whole = Journal::open(path, 7, now).expect("it is a journal");
    let known = sorted(&whole.records);
    drop(whole);

    fs::write(path, HEADER).expect("a file can be written");
    let mut journal = Journal::open(path, 7, now)
        .expect("it is a journal")
        .journal;
    let open = fs::OpenOptions::new().append(true).open(path);
    let mut file = open.expect("the file is there");
    for piece in pieces(records, seed) {
        file.write_all(piece).expect("a file can be written");
        journal.catch_up(now).for_each(drop);
    }
    for record in &known {
        if let Record::Used(spent) = record
            && !has_own(records)
        {
            assert_eq!(
                journal.used_by(&spent.client),
                Some(*spent),
                "not the same in pieces"
            );
        }
    }
}

/// Whether a record may carry the number of the reading process, which takes it for its own.
fn has_own(records: &[u8]) -> bool {
    records.windows(4).any(|window| window == [7, 0, 0, 0])
}

fn sorted(records: &[Record]) -> Vec<Record> {
    let mut records = records.to_vec();
    records.sort_by_key(|record| format!("{record:?}"));
    records
}

/// A whole record with this kind and payload, framed as the journal's format demands.
fn record(bytes: &[u8]) -> Vec<u8> {
    let Some((kind, payload)) = bytes.split_first() else {
        return Vec::new();
    };
    let mut record = vec![0xa1, 0x9e, *kind];
    record.extend((payload.len() as u16).to_le_bytes());
    record.extend_from_slice(payload);
    let sum = crc32(&record[2..]);
    record.extend(sum.to_le_bytes());
    record
}

/// A count of this day: client, hour's and day's requests.
fn used(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes;
    let [writer, client, age, of_hour, of_day] = choices(&mut bytes);
    let mut payload = vec![1, writer, 0, 0, 0];
    payload.extend([client; 32]);
    payload.extend((1_790_000_000_000 - u64::from(age) * 1000).to_le_bytes());
    let numbers = [
        HOUR - u32::from(age % 2),
        u32::from(of_hour),
        DAY - u32::from(age % 3 / 2),
        u32::from(of_day),
    ];
    payload.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    payload
}

/// Bit by bit, from the definition.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 * (sum & 1))
        })
    })
}
