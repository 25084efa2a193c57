//! Probes and rounds of them, and the streams of figures, from outside.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::client::Client;
use crate::support::platform::{Next, Platform};
use crate::support::proxy::{Proxy, ROOT_KEY};

/// The most probes of one platform that may be under way at once.
const IN_FLIGHT_MAX: usize = 8;

/// A platform that answers probes only once its gate is open, and everything else at once.
struct Held {
    platform: Platform,
    arrivals: Receiver<()>,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
    waiting: AtomicUsize,
    waiting_max: AtomicUsize,
    passed: AtomicUsize,
}

impl Held {
    fn start() -> Held {
        let gate = Arc::new(Gate::default());
        let (sender, arrivals) = mpsc::channel();
        let script_gate = Arc::clone(&gate);
        let platform = Platform::serve(move |seen, line| {
            if seen.path().ends_with("/probe") {
                script_gate.pass(&sender);
            }
            line.answer("200 OK", "{}");
            Next::Await
        });
        Held {
            platform,
            arrivals,
            gate,
        }
    }

    /// Waits until this many more probes have come.
    fn await_probes(&self, count: usize) {
        for _ in 0..count {
            self.arrivals.recv_timeout(PATIENCE).expect("a probe comes");
        }
    }
}

impl Gate {
    fn open(&self) {
        *self.is_open.lock().expect("no thread panicked") = true;
        self.opened.notify_all();
    }

    fn pass(&self, arrivals: &Sender<()>) {
        let waiting = self.waiting.fetch_add(1, Ordering::SeqCst) + 1;
        self.waiting_max.fetch_max(waiting, Ordering::SeqCst);
        // Sent once the probe counts as waiting: a test that awaited eight may open the gate before this thread runs
        // on.
        let _ = arrivals.send(());
        let mut is_open = self.is_open.lock().expect("no thread panicked");
        while !*is_open {
            is_open = self.opened.wait(is_open).expect("no thread panicked");
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        self.passed.fetch_add(1, Ordering::SeqCst);
    }
}

fn many_keys(platform: &Platform, count: usize) -> Value {
    let keys: Vec<String> = (0..count).map(|key| format!("key-number-{key}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    json!([platform.entry(&keys)])
}

fn ask_for_health(proxy: &Proxy) -> Client {
    let mut client = proxy.connect();
    client.send("GET /health HTTP/1.1\r\nHost: p\r\n\r\n");
    // Once a request that came later is answered, this one has been read.
    proxy.page("/info");
    client
}

#[test]
fn a_round_goes_eight_at_a_time_and_outlives_who_asked_for_it() {
    const KEYS: usize = 30;
    let held = Held::start();
    let proxy = Proxy::start(&many_keys(&held.platform, KEYS));
    held.await_probes(IN_FLIGHT_MAX);
    let leaver = ask_for_health(&proxy);
    leaver.reset();
    let mut stayer = ask_for_health(&proxy);
    assert_eq!(proxy.ask("/test/v1/x"), 200, "others are served meanwhile");
    assert!(!stayer.has_news(), "the round is under way");
    held.gate.open();
    let health = stayer.answer().json();
    let test = &health["platforms"]["test"];
    let keys = test["keys"].as_array().expect("an array");
    assert_eq!(keys.len(), KEYS);
    for key in keys {
        assert_eq!(key["status"], "healthy", "{key}");
        assert!(key["response_time_ms"].is_u64(), "{key}");
    }
    assert_eq!(
        health["summary"],
        json!({"total_platforms": 1, "healthy_platforms": 1, "total_keys": KEYS, "healthy_keys": KEYS})
    );
    assert_eq!(
        held.gate.waiting_max.load(Ordering::SeqCst),
        IN_FLIGHT_MAX,
        "no more at once"
    );
    assert_eq!(
        held.gate.passed.load(Ordering::SeqCst),
        KEYS,
        "the first probes and two callers shared one round"
    );
}

/// The names of an object's fields, in alphabetical order.
fn names(object: &Value) -> Vec<&str> {
    let fields = object.as_object().expect("an object").keys();
    let mut names: Vec<&str> = fields.map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn pages_have_the_fields_that_they_promise() {
    let proxy = Proxy::start(&json!([
        {"name": "demo", "base_url": "demo:", "api_path": "/v1", "keys": ["demo-key-1"]},
        {"name": "off", "base_url": "http://127.0.0.1:9", "enabled": false, "keys": ["key-1"]},
        {"name": "empty", "base_url": "http://127.0.0.1:9", "keys": ["NOT_SET_ANYWHERE"]},
    ]));
    let info = proxy.page("/info");
    let want =
        "config_error enabled_platforms endpoints features service status uptime_seconds version";
    assert_eq!(names(&info).join(" "), want);
    let endpoints = "dashboard demo empty health_full health_quick info metrics routes stats";
    assert_eq!(names(&info["endpoints"]).join(" "), endpoints);
    let quick = proxy.page("/health/quick");
    assert_eq!(
        names(&quick).join(" "),
        "message platforms status timestamp"
    );
    let health = proxy.page("/health");
    let want = "message overall_status platforms summary timestamp";
    assert_eq!(names(&health).join(" "), want);
    for (name, status) in [
        ("demo", "healthy"),
        ("off", "disabled"),
        ("empty", "no_keys"),
    ] {
        let platform = &quick["platforms"][name];
        let want = "base_url display_name healthy_keys status total_keys unhealthy_keys";
        assert_eq!(
            (names(platform).join(" ").as_str(), &platform["status"]),
            (want, &json!(status))
        );
        let platform = &health["platforms"][name];
        let want = "base_url display_name health_endpoint healthy_key_list healthy_keys keys status \
                    total_keys unhealthy_key_list unhealthy_keys";
        assert_eq!(
            (names(platform).join(" ").as_str(), &platform["status"]),
            (want, &json!(status))
        );
        for key in platform["keys"].as_array().expect("an array") {
            let want = "error key_id key_preview last_check response_time_ms status";
            assert_eq!(names(key).join(" "), want);
        }
    }
    // A disabled platform is listed and not counted; one without a key makes everything unhealthy.
    assert_eq!(health["overall_status"], "unhealthy");
    assert_eq!(
        health["summary"],
        json!({"total_platforms": 2, "healthy_platforms": 1, "total_keys": 1, "healthy_keys": 1})
    );
}

#[test]
fn a_stop_waits_for_the_round_that_somebody_awaits() {
    const KEYS: usize = 20;
    let held = Held::start();
    let mut proxy = Proxy::start(&many_keys(&held.platform, KEYS));
    held.await_probes(IN_FLIGHT_MAX);
    let mut client = ask_for_health(&proxy);
    proxy.signal("TERM");
    proxy.log().await_line("stopping");
    held.gate.open();
    let health = client.answer().json();
    assert_eq!(health["summary"]["healthy_keys"], KEYS);
    assert_eq!(held.gate.passed.load(Ordering::SeqCst), KEYS);
    assert!(proxy.exit_status().success());
}

#[test]
fn a_403_is_decided_by_a_probe_at_once() {
    let platform = Platform::serve(|seen, line| {
        match (seen.key(), seen.path().ends_with("/probe")) {
            ("key-of-another-region", false) | ("key-without-rights", _) => {
                line.answer("403 Forbidden", "{}");
            }
            _ => line.answer("200 OK", "{}"),
        }
        Next::Await
    });
    let entry = platform.entry(&["key-of-another-region", "key-without-rights", "key-good"]);
    let proxy = Proxy::start(&json!([entry]));
    // The first probes take the key without rights out of use before a client asks.
    proxy.log().await_line("is unhealthy now: 403");
    for _ in 0..4 {
        assert_eq!(proxy.ask("/test/v1/x"), 200);
    }
    let health = proxy.page("/health");
    let states: Vec<&Value> = health["platforms"]["test"]["keys"]
        .as_array()
        .expect("an array")
        .iter()
        .map(|key| &key["status"])
        .collect();
    assert_eq!(states, ["healthy", "unhealthy", "healthy"]);
    assert_eq!(health["overall_status"], "degraded");
}

#[test]
fn a_probe_that_fails_is_logged_with_its_key() {
    let platform =
        json!({"name": "gone", "base_url": "http://127.0.0.1:9", "keys": ["key-of-nobody"]});
    let proxy = Proxy::with(json!({"log_level": "debug"}), &json!([platform]));
    let line = proxy.log().await_line(" gone: the probe of key ");
    assert!(
        line.contains(" (key-…body) failed: 127.0.0.1:9: connecting failed: "),
        "{line}"
    );
}

#[test]
fn who_listens_and_does_not_read_is_dropped() {
    // Events so long that the kernel's buffers hold only a few of them.
    let keys: Vec<String> = (0..6000).map(|key| format!("key-number-{key}")).collect();
    let proxy = Proxy::start(&json!([{
        "name": "off", "base_url": "http://127.0.0.1:9", "enabled": false, "keys": keys,
    }]));
    let listen = || {
        let mut client = proxy.connect();
        client.send("GET /events HTTP/1.1\r\nHost: p\r\n\r\n");
        client
    };
    let mut reader = listen();
    assert!(reader.head().contains("text/event-stream"));
    let mut clients = || {
        let event = String::from_utf8(reader.chunk()).expect("text");
        let data = event
            .strip_prefix("event: stats\ndata: ")
            .expect("a stats event");
        let stats: Value = serde_json::from_str(data.trim()).expect("JSON");
        stats["connections"]["clients"].as_u64().expect("a number")
    };
    let sleepers = [listen(), listen()];
    while clients() < 3 {}
    let started = std::time::Instant::now();
    while clients() > 1 {
        assert!(started.elapsed() < 3 * PATIENCE, "they are still there");
    }
    drop(sleepers);
}

#[test]
fn a_stop_ends_the_streams_of_figures() {
    let mut proxy = Proxy::with(json!({"drain_seconds": 3600}), &json!([]));
    let mut listener = proxy.connect();
    listener.send("GET /events HTTP/1.1\r\nHost: p\r\n\r\n");
    assert!(listener.head().contains("text/event-stream"));
    proxy.signal("TERM");
    while !listener.chunk().is_empty() {}
    assert!(proxy.exit_status().success());
}

#[test]
fn a_root_key_that_counts_no_more_ends_its_stream_of_figures() {
    let changes: [fn(&mut Proxy); 2] = [
        |proxy| proxy.write("key.json", "[]"),
        |proxy| proxy.configure(json!({"enable_key_validation": false})),
    ];
    for change in changes {
        let mut proxy = Proxy::start(&json!([]));
        let mut listener = proxy.connect();
        listener.send(format!(
            "GET /events HTTP/1.1\r\nHost: p\r\nX-Forwarded-For: 192.0.2.1\r\nx-api-key: {ROOT_KEY}\r\n\r\n"
        ));
        assert!(listener.head().contains("text/event-stream"));
        change(&mut proxy);
        proxy.signal("HUP");
        // Some events may still come before the change is in force.
        let has_ended = (0..20).any(|_| listener.chunk().is_empty());
        assert!(has_ended, "it goes on");
    }
}

#[test]
fn an_address_that_is_forbidden_ends_its_stream_of_figures() {
    let config = json!({"restrict_ip": true, "allowed_ips": ["192.0.2.1"], "trusted_proxies": ["127.0.0.1"]});
    let mut proxy = Proxy::with(config, &json!([]));
    let mut listener = proxy.connect();
    listener.send(format!(
        "GET /events HTTP/1.1\r\nHost: p\r\nX-Forwarded-For: 192.0.2.1\r\nx-api-key: {ROOT_KEY}\r\n\r\n"
    ));
    assert!(listener.head().contains("text/event-stream"));
    proxy.configure(json!({"allowed_ips": []}));
    proxy.signal("HUP");
    while !listener.chunk().is_empty() {}
}
