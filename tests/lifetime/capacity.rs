//! The limits of the machine: connections and file descriptors.

use std::fs::File;
use std::io::{Read, Write};
use std::sync::Barrier;

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::platform::Platform;
use crate::support::proxy::{CLIENT_KEY, Proxy, ROOT_KEY};

const ROUTES: &str = "GET /routes HTTP/1.1\r\nHost: p\r\n\r\n";

fn prepared(config: serde_json::Value) -> Proxy {
    with_client(config, json!({"key": CLIENT_KEY}))
}

fn limited(config: serde_json::Value) -> Proxy {
    with_client(config, json!({"key": CLIENT_KEY, "daily_limit": 1000}))
}

fn with_client(config: serde_json::Value, client: serde_json::Value) -> Proxy {
    let keys = json!([{"key": ROOT_KEY, "is_root": true}, client]);
    let demo =
        json!([{"name": "demo", "base_url": "demo:", "api_path": "/v1", "keys": ["demo-key-1"]}]);
    Proxy::prepare(config, &keys, &demo)
}

fn is_answered(client: &mut Client) {
    client.send(ROUTES);
    assert_eq!(client.answer().status, 200);
}

/// Each of `count` clients sends a request; those beyond `served` wait at first, and all are served in the end.
fn all_are_served_in_turn(proxy: &Proxy, served: usize, count: usize) {
    let mut clients: Vec<Client> = (0..count).map(|_| proxy.connect()).collect();
    for client in &mut clients {
        client.send(ROUTES);
    }
    for client in &mut clients[..served] {
        assert_eq!(client.answer().status, 200);
    }
    // Those that are connected go on; by then the others would have been answered, had they been accepted.
    for client in &mut clients[..served] {
        is_answered(client);
    }
    for (number, client) in clients.iter().enumerate() {
        assert!(!client.has_news(), "client {number} waits");
    }
    let waiting = clients.split_off(served);
    drop(clients);
    for mut client in waiting {
        assert_eq!(client.answer().status, 200);
    }
}

#[test]
fn more_clients_than_max_connections_wait_in_the_listen_queue() {
    let mut proxy = prepared(json!({"max_connections": 3}));
    proxy.start_again();
    all_are_served_in_turn(&proxy, 3, 8);
}

#[test]
fn the_soft_limit_of_descriptors_is_raised_and_the_capacity_told() {
    let proxy = prepared(json!({"max_connections": 100})).after("ulimit -Sn 64; ulimit -Hn 1000");
    let line = proxy.log().await_line("capacity: ");
    assert_eq!(
        line,
        "capacity: 100 clients at once (1000 file descriptors)"
    );
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", proxy.id())).expect("it lives");
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let words: Vec<&str> = line.expect("it is listed").split_whitespace().collect();
    assert_eq!(words[3..5], ["1000", "1000"]);
}

#[test]
fn clients_stop_where_descriptors_for_their_requests_would_lack() {
    let proxy = prepared(json!({})).after("ulimit -Sn 64; ulimit -Hn 64");
    let line = proxy
        .log()
        .await_line("capacity: 16 clients at once instead of max_connections 10000");
    assert!(line.contains("20032 file descriptors"), "{line}");
    assert_eq!(proxy.page("/stats")["connections"]["max"], 16);
    all_are_served_in_turn(&proxy, 16, 40);
}

/// Descriptors that the program inherits are not in its plan: sixteen clients leave none free.
const FEW_ARE_FREE: &str = "for number in $(seq 20 57); do eval \"exec $number</dev/null\"; done; \
    ulimit -Sn 64; ulimit -Hn 64";

#[test]
fn without_a_free_descriptor_accepting_pauses_and_resumes_by_itself() {
    let proxy = prepared(json!({})).after(FEW_ARE_FREE);
    let mut clients: Vec<Client> = (0..16).map(|_| proxy.connect()).collect();
    for client in &mut clients {
        client.send(ROUTES);
    }
    proxy.log().await_line("no file descriptor is free");
    is_answered_again(&mut clients[0]);
    for mut client in clients.split_off(1) {
        assert_eq!(client.answer().status, 200);
    }
    is_answered(&mut clients[0]);
}

/// A platform that answers this many requests at once, each on its connection.
fn gathering(count: usize) -> Platform {
    let all = Barrier::new(count);
    Platform::raw(move |_, line, _| {
        while let Some(head) = line.head() {
            if head.starts_with("GET /v1/x ") {
                all.wait();
            }
            line.answer("200 OK", "{}");
        }
    })
}

/// Of some ten descriptors the clients take three, and each platform that is asked takes three more.
#[test]
fn without_a_free_descriptor_requests_and_clients_take_those_of_idle_connections() {
    const COUNT: usize = 3;
    let names = ["one", "two", "three"];
    let platforms = names.map(|_| gathering(COUNT));
    let entries: Vec<Value> = names
        .iter()
        .zip(&platforms)
        .map(|(name, platform)| {
            let mut entry = platform.entry(&["platform-key-1"]);
            entry["name"] = json!(name);
            entry
        })
        .collect();
    let keys = json!([{"key": ROOT_KEY, "is_root": true}, {"key": CLIENT_KEY}]);
    let proxy = Proxy::prepare(json!({}), &keys, &json!(entries)).after(FEW_ARE_FREE);
    let mut clients: Vec<Client> = (0..COUNT).map(|_| proxy.connect()).collect();
    for name in names.iter().chain(&names) {
        for client in &mut clients {
            client.send(format!(
                "GET /{name}/v1/x HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer {CLIENT_KEY}\r\n\r\n"
            ));
        }
        for client in &mut clients {
            let answer = client.answer();
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    }
    // Idle connections have all that is left.
    let mut late: Vec<Client> = (0..COUNT).map(|_| proxy.connect()).collect();
    late.iter_mut().for_each(is_answered);
    let lack = "no file descriptor is free";
    assert!(!proxy.log().text().contains(lack), "accepting has paused");
}

#[test]
fn a_start_that_could_serve_nobody_for_want_of_descriptors_is_refused() {
    // Only what refuses the start is printed before it: the warning that the journal finds no descriptor is not.
    let mut proxy = prepared(json!({"log_level": "error"}));
    let mut refusals = Vec::new();
    for limit in 8.. {
        proxy.begin_after(&format!("ulimit -n {limit}"));
        let line = proxy.log().await_line("ai-api-proxy");
        if !line.starts_with("ai-api-proxy: ") {
            break;
        }
        assert_eq!(proxy.exit_status().code(), Some(1), "{line}");
        refusals.push(line);
    }
    let last = refusals.last().expect("8 are too few");
    assert!(last.contains("file descriptors is too low"), "{last}");
    assert!(refusals.iter().all(|line| line.contains("open files")));
    proxy.await_start();
    assert_eq!(proxy.ask("/routes"), 200);
    assert_eq!(proxy.ask("/demo/v1/models"), 200);
}

#[test]
fn few_descriptors_suffice_to_probe_many_keys() {
    let platform = Platform::answering("{}");
    let names: Vec<String> = (0..12).map(|number| format!("p{number}")).collect();
    let entries: Vec<Value> = names
        .iter()
        .map(|name| {
            let keys: Vec<String> = (0..8).map(|key| format!("{name}-key-{key}")).collect();
            let mut entry = platform.entry(&Vec::from_iter(keys.iter().map(String::as_str)));
            entry["name"] = json!(name);
            entry
        })
        .collect();
    let keys = json!([{"key": ROOT_KEY, "is_root": true}]);
    let proxy = Proxy::prepare(json!({}), &keys, &json!(entries));
    let proxy = proxy.after("ulimit -Sn 64; ulimit -Hn 64");
    let health = proxy.page("/health");
    for name in names {
        let keys = &health["platforms"][&name]["keys"];
        for key in keys.as_array().expect("an array") {
            assert_eq!(key["status"], "healthy", "{name} {key}");
        }
    }
}

fn is_answered_again(client: &mut Client) {
    assert_eq!(client.answer().status, 200);
    is_answered(client);
}

#[test]
fn a_configuration_that_cannot_be_opened_is_taken_up_once_it_can() {
    let proxy = prepared(json!({})).after(FEW_ARE_FREE);
    let clients: Vec<Client> = (0..16).map(|_| proxy.connect()).collect();
    proxy.log().await_line("no file descriptor is free");
    proxy.write("platform.json", "[]");
    proxy.log().await_line("Too many open files");
    drop(clients);
    proxy.log().await_line("the new configuration is in force");
    assert_eq!(proxy.ask("/demo/v1/models"), 404);
}

#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    for script in ["exec 2>/dev/full", "exec 2> >(:); wait $!"] {
        let proxy = prepared(json!({})).after(script);
        proxy.write("platform.json", "[");
        proxy.signal("HUP");
        while proxy.page("/info")["config_error"].is_null() {}
        assert_eq!(proxy.ask("/demo/v1/models"), 200);
    }
}

#[test]
fn a_log_that_nobody_reads_holds_nobody_up() {
    // A pipe whose other end is held only by the program itself.
    let proxy = prepared(json!({"log_level": "trace"})).after("exec 3<> <(:) 2>&3");
    // Ten times what a pipe holds.
    for _ in 0..1000 {
        assert_eq!(proxy.ask("/routes"), 200);
    }
    let pipe = format!("/proc/{}/fd/2", proxy.id());
    let mut pipe = std::fs::File::open(pipe).expect("it can be read from");
    let mut log = vec![0; 256 * 1024];
    let count = pipe.read(&mut log).expect("it is full");
    let text = String::from_utf8_lossy(&log[..count]);
    assert!(text.ends_with('\n') && !text.contains("were dropped"));
    assert_eq!(proxy.ask("/routes"), 200);
    let count = pipe.read(&mut log).expect("there is room again");
    let text = String::from_utf8_lossy(&log[..count]);
    let first = text.lines().next().expect("a line");
    assert!(
        first.ends_with(" lines of the log were dropped: nobody read it"),
        "{first}"
    );
}

#[test]
fn a_start_whose_output_nobody_reads_is_not_held_up() {
    let mut proxy = prepared(json!({}));
    proxy.start_again();
    proxy.stop();
    // A full pipe whose other end is held only by the program itself.
    proxy.begin_after(
        "exec 3<> <(:); dd if=/dev/zero of=/dev/fd/3 oflag=nonblock 2>/dev/null; exec >&3",
    );
    proxy.log().await_line("standard output is full");
    assert_eq!(proxy.ask("/demo/v1/models"), 200);
    proxy.signal("TERM");
    assert!(proxy.exit_status().success());
}

#[test]
fn a_journal_that_may_not_grow_is_a_warning() {
    let proxy = limited(json!({})).after("ulimit -f 1");
    for _ in 0..40 {
        assert_eq!(proxy.ask("/demo/v1/models"), 200);
    }
    let line = proxy.log().await_line("File too large");
    assert!(line.contains("go on in memory"), "{line}");
    let journal = proxy.folder().join("usage.journal");
    // The record for which there was no room is not left there in part.
    let length = std::fs::metadata(journal).expect("it is there").len();
    assert!((900..1024).contains(&length), "{length}");
    let used = &proxy.page("/stats")["clients"][1]["day"]["used"];
    assert_eq!(used, 40);
}

#[test]
fn a_journal_that_is_larger_than_memory_is_a_warning() {
    const BYTES: u64 = 500_000_000;
    let proxy = limited(json!({}));
    let journal = File::create(proxy.folder().join("usage.journal")).expect("the folder is there");
    let header = (&journal).write_all(b"ai-api-proxy journal 1\n");
    header
        .and_then(|()| journal.set_len(BYTES))
        .expect("it takes no room");
    // In kilobytes: the program takes 5,000.
    let proxy = proxy.after("ulimit -v 100000");
    proxy.log().await_line("bytes were skipped");
    assert_eq!(proxy.ask("/demo/v1/models"), 200);
}
