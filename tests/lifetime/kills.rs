//! What is counted stays counted: across kill -9, and across processes that share one journal.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use serde_json::{Value, json};

use crate::load::request;
use crate::support::client::Client;
use crate::support::platform::Platform;
use crate::support::proxy::{CLIENT_KEY, Proxy, ROOT_KEY};

const KILLS: usize = 50;
/// In some rounds the kill waits for a compaction, which comes a second after the start at the earliest.
const COMPACTIONS: usize = 4;
const CLIENTS: usize = 4;
/// How many requests of a busy key may be counted that never came because of a kill.
const AHEAD_MAX: u64 = 31;

fn keys(daily_limit: u64) -> Value {
    json!([
        {"key": ROOT_KEY, "is_root": true},
        {"key": CLIENT_KEY, "name": "web app", "daily_limit": daily_limit},
    ])
}

fn used(proxy: &Proxy) -> u64 {
    let stats = proxy.page("/stats");
    let clients = stats["clients"].as_array().expect("a list").iter();
    let mut ours = clients.filter(|client| client["name"] == "web app");
    let used = &ours.next().expect("it is listed")["day"]["used"];
    used.as_u64().expect("a number")
}

/// Asks until the connection breaks.
fn ask_until_killed(port: u16, sent: &AtomicU64, answered: &mpsc::Sender<()>) {
    let Ok(mut client) = Client::try_connect(port) else {
        return;
    };
    loop {
        sent.fetch_add(1, Ordering::SeqCst);
        if !client.try_send(request("keep-alive")) {
            return;
        }
        match client.try_status() {
            Ok(status) => assert_eq!(status, 200),
            Err(_) => return,
        }
        if answered.send(()).is_err() {
            return;
        }
    }
}

#[test]
fn no_count_is_lost_by_fifty_kills_under_load() {
    let platform = Platform::answering("{}");
    let entry = json!([platform.entry(&["platform-key-1"])]);
    // A key without limits is counted like any other, since it may get one.
    let mut proxy = Proxy::with_keys(json!({}), &keys(0), &entry);
    let journal = proxy.folder().join("usage.journal");
    let size = || std::fs::metadata(&journal).map_or(0, |metadata| metadata.len());
    let sent = Arc::new(AtomicU64::new(0));
    let (mut answered, mut reached, mut compacted) = (0, 0, 0);
    for round in 0..KILLS {
        let (sender, receiver) = mpsc::channel();
        let threads: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (sent, sender) = (Arc::clone(&sent), sender.clone());
                let port = proxy.port();
                thread::spawn(move || ask_until_killed(port, &sent, &sender))
            })
            .collect();
        drop(sender);
        let awaits_compaction = round % (KILLS / COMPACTIONS) == KILLS / COMPACTIONS - 1;
        let mut largest = size();
        for number in 0.. {
            let is_enough = match awaits_compaction {
                true => size() < largest,
                false => number > 7 * round % 40,
            };
            if is_enough {
                compacted += usize::from(awaits_compaction);
                break;
            }
            largest = largest.max(size());
            receiver.recv().expect("the clients ask");
            answered += 1;
        }
        proxy.stop();
        for thread in threads {
            thread.join().expect("a client does not panic");
        }
        answered += receiver.try_iter().count() as u64;
        reached += platform.all().len() as u64;
        proxy.start_again();
        let (used, sent) = (used(&proxy), sent.load(Ordering::SeqCst));
        let ahead = AHEAD_MAX * (round as u64 + 1);
        assert!(
            answered <= reached && reached <= used && used <= sent + ahead,
            "round {round}: {answered} answered, {reached} reached the platform, {used} counted, {sent} sent"
        );
    }
    assert_eq!(compacted, COMPACTIONS);
    println!(
        "{KILLS} kills, {compacted} of them after a compaction; {answered} answered, {} counted, {} sent",
        used(&proxy),
        sent.load(Ordering::SeqCst)
    );
}

/// The guarantee: each process enforces the limit by what it has admitted itself and what it has read of the others, at
/// most a second old. Hence all processes together admit no less than the limit, and no more than that plus what the
/// others admit within one second.
#[test]
fn two_processes_share_a_limit_through_the_journal() {
    const LIMIT: u64 = 60;
    let platform = Platform::answering("{}");
    let entry = json!([platform.entry(&["platform-key-1"])]);
    let mut proxy = Proxy::with_keys(json!({}), &keys(LIMIT), &entry);
    let ask = |proxy: &Proxy| proxy.ask("/test/v1/x");
    // At most half the limit before the second process starts, which begins with that count.
    for _ in 0..LIMIT / 2 {
        assert_eq!(ask(&proxy), 200);
    }
    let _former = proxy.start_beside();
    assert_eq!(used(&proxy), LIMIT / 2, "either of them says the same");
    // Connections reach both. At worst each admits the other half by itself, before it reads the other's records.
    let mut admitted = LIMIT / 2;
    let mut refused_in_a_row = 0;
    while refused_in_a_row < 40 {
        match ask(&proxy) {
            200 => (admitted, refused_in_a_row) = (admitted + 1, 0),
            429 => refused_in_a_row += 1,
            status => panic!("status {status}"),
        }
    }
    println!("two processes admitted {admitted} of {LIMIT}");
    assert!(
        (LIMIT..=LIMIT + LIMIT / 2).contains(&admitted),
        "{admitted}"
    );
    // After the next look both know all counts: neither admits any more, and both show the same sum.
    while used(&proxy) != admitted || used(&proxy) != admitted {}
    for _ in 0..20 {
        assert_eq!(ask(&proxy), 429);
    }
}
