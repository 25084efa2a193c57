//! What the proxy does with each of several hundred raw requests and answers, over real sockets. The cases come from
//! RFC 9110 and 9112 and from public collections that probe servers; where these leave a choice, the outcome is the
//! project's own.
//!
//! In the tables a `|` stands for CRLF. The rows of one table share a proxy and a platform, one after the other, each
//! on a connection of its own; each row is sent whole and cut in two at several places.

#[path = "conformance/answers_body.rs"]
mod answers_body;
#[path = "conformance/answers_chunked.rs"]
mod answers_chunked;
#[path = "conformance/answers_fields.rs"]
mod answers_fields;
#[path = "conformance/answers_line.rs"]
mod answers_line;
#[path = "conformance/answers_run.rs"]
mod answers_run;
#[path = "conformance/arrivals.rs"]
mod arrivals;
#[path = "conformance/requests_chunked.rs"]
mod requests_chunked;
#[path = "conformance/requests_coding.rs"]
mod requests_coding;
#[path = "conformance/requests_fields.rs"]
mod requests_fields;
#[path = "conformance/requests_forwarding.rs"]
mod requests_forwarding;
#[path = "conformance/requests_host.rs"]
mod requests_host;
#[path = "conformance/requests_length.rs"]
mod requests_length;
#[path = "conformance/requests_line.rs"]
mod requests_line;
#[path = "conformance/requests_pipelined.rs"]
mod requests_pipelined;
#[path = "conformance/requests_run.rs"]
mod requests_run;
#[path = "conformance/requests_target.rs"]
mod requests_target;
mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// How many rows each kind must have at least.
const REQUESTS_MIN: usize = 200;
const ANSWERS_MIN: usize = 80;

#[test]
fn requests() {
    let mut rows: Vec<_> = [
        requests_line::rows(),
        requests_target::rows(),
        requests_host::rows(),
        requests_fields::rows(),
        requests_length::rows(),
        requests_coding::rows(),
        requests_chunked::rows(),
        requests_pipelined::rows(),
        requests_forwarding::rows(),
    ]
    .into_iter()
    .flatten()
    .collect();
    rows.sort_by_key(requests_run::Row::may_begin);
    assert!(rows.len() >= REQUESTS_MIN, "{} requests", rows.len());
    let names: Vec<_> = rows.iter().map(|row| row.name).collect();
    assert_distinct(&names);
    let bench = requests_run::Bench::new();
    let failed: Vec<String> = rows
        .iter()
        .filter_map(|row| failure(row.name, row.section, || bench.run(row)))
        .collect();
    assert!(failed.is_empty(), "{} rows: {failed:#?}", failed.len());
    println!("{} requests", rows.len());
}

#[test]
fn answers() {
    let rows: Vec<_> = [
        answers_line::rows(),
        answers_fields::rows(),
        answers_body::rows(),
        answers_chunked::rows(),
    ]
    .into_iter()
    .flatten()
    .collect();
    assert!(rows.len() >= ANSWERS_MIN, "{} answers", rows.len());
    let names: Vec<_> = rows.iter().map(|row| row.name).collect();
    assert_distinct(&names);
    let bench = answers_run::Bench::new();
    let failed: Vec<String> = rows
        .iter()
        .filter_map(|row| failure(row.name, row.section, || bench.run(row)))
        .collect();
    assert!(failed.is_empty(), "{} rows: {failed:#?}", failed.len());
    println!("{} answers", rows.len());
}

/// Runs one row and names it if it fails, so that one failure does not hide the others.
fn failure(name: &str, section: &str, run: impl FnOnce()) -> Option<String> {
    let caught = catch_unwind(AssertUnwindSafe(run)).err()?;
    let message = caught.downcast_ref::<String>().cloned();
    Some(format!(
        "{name} (RFC {section}): {}",
        message.unwrap_or_default()
    ))
}

/// A failing row must be found by its name.
fn assert_distinct(names: &[&str]) {
    for (place, name) in names.iter().enumerate() {
        assert!(!names[..place].contains(name), "two rows are called {name}");
    }
}

/// The bytes that a table's notation stands for.
fn wire(notation: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(notation.len());
    for byte in notation {
        match byte {
            b'|' => bytes.extend_from_slice(b"\r\n"),
            byte => bytes.push(*byte),
        }
    }
    bytes
}

/// Where a row's bytes are cut in two: nowhere, and around the thirds and the end.
fn cuts(length: usize) -> Vec<usize> {
    let mut cuts = vec![
        length,
        length / 3,
        length * 2 / 3,
        length.saturating_sub(2),
        length.saturating_sub(1),
    ];
    cuts.retain(|cut| *cut > 0);
    cuts.dedup();
    cuts
}
