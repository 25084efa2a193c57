//! The log's messages about a journal. It knows no file.

use std::path::Path;

use super::file::Fault;
use super::record::Damage;

pub fn warning(path: &Path, fault: Fault) -> String {
    let path = path.display();
    let advice = match fault {
        Fault::Busy => "writing is attempted again every second",
        Fault::Refused(_) | Fault::Failed(_) => "write the path of a file that can be written",
    };
    let why = fault.why();
    format!("{path}: {why}; usage counts go on in memory and would not survive; {advice}")
}

pub fn refusal(path: &Path, why: &str) -> String {
    let path = path.display();
    format!("{path}: {why}; it stays as it is: move it away, or write the path of another file")
}

pub fn device(path: &Path) -> String {
    let path = path.display();
    format!(
        "{path}: it is a device, which keeps no usage counts; write the path of a file, or \"\" to keep them in memory"
    )
}

pub fn headless(path: &Path, damage: Damage) -> String {
    let path = path.display();
    let skipped = match damage.bytes {
        0 => String::new(),
        bytes => format!("; {bytes} bytes were skipped"),
    };
    format!("{path}: its header was missing and has been rewritten{skipped}")
}

pub fn unread(path: &Path, bytes: u64) -> String {
    let path = path.display();
    format!("{path}: it has {bytes} bytes, and was not read through; the next start will read it")
}

/// What to report of a file's damage.
pub fn finding(path: &Path, damage: Damage, torn_bytes: u64) -> Option<String> {
    let path = path.display();
    let Damage { stretches, bytes } = damage;
    let places = match stretches {
        1 => "1 place".to_string(),
        _ => format!("{stretches} places"),
    };
    match (stretches, torn_bytes) {
        (0, 0) => None,
        (0, _) => Some(format!(
            "{path}: its last record was torn; {torn_bytes} bytes were dropped"
        )),
        (_, 0) => Some(format!(
            "{path}: damaged in {places}; {bytes} bytes were skipped"
        )),
        (_, _) => Some(format!(
            "{path}: damaged in {places} and torn at its end; {bytes} bytes were skipped and {torn_bytes} dropped"
        )),
    }
}
