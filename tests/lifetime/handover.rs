//! Nothing breaks while the configuration, the process or both change.

use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::load::{Load, Use, request};
use crate::support::PATIENCE;
use crate::support::client::Client;
use crate::support::platform::{Line, Next, Platform, Seen};
use crate::support::proxy::{CLIENT_KEY, Proxy, ROOT_KEY};

const STREAMS: usize = 200;
/// Pieces of each stream; something changes before each but the first.
const PIECES: usize = 8;

fn keys() -> Value {
    json!([{"key": ROOT_KEY, "is_root": true}, {"key": CLIENT_KEY, "name": "web app", "daily_limit": 1_000_000}])
}

/// How many pieces every stream may have sent.
#[derive(Default)]
struct Pace {
    allowed: Mutex<usize>,
    grown: Condvar,
}

impl Pace {
    fn allow(&self, pieces: usize) {
        *self.allowed.lock().expect("no thread panicked") = pieces;
        self.grown.notify_all();
    }

    fn await_piece(&self, piece: usize) {
        let allowed = self.allowed.lock().expect("no thread panicked");
        let patience = PATIENCE * 3;
        let _ = self
            .grown
            .wait_timeout_while(allowed, patience, |allowed| *allowed <= piece)
            .expect("no thread panicked");
    }
}

/// A piece that names its stream and its position.
fn piece(stream: &str, number: usize) -> String {
    format!("{stream} {number} {}", "x".repeat(100 * number))
}

/// `/v1/stream/N` streams at `pace`, `/v1/tunnel` upgrades and echoes, all else answers at once.
fn platform(pace: &Arc<Pace>) -> Platform {
    let pace = Arc::clone(pace);
    Platform::serve(move |seen: &Seen, line: &mut Line| {
        if seen.path() == "/v1/tunnel" {
            line.send(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            );
            while line.bytes(1).is_some_and(|byte| line.send(byte)) {}
            return Next::Close;
        }
        let Some(stream) = seen.path().strip_prefix("/v1/stream/") else {
            line.answer("200 OK", "{}");
            return Next::Await;
        };
        line.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for number in 0..PIECES {
            pace.await_piece(number);
            let piece = piece(stream, number);
            line.send(format!("{:x}\r\n{piece}\r\n", piece.len()));
        }
        line.send("0\r\n\r\n");
        Next::Await
    })
}

fn open_streams(proxy: &Proxy, count: usize) -> Vec<Client> {
    let open = |number: usize| {
        let mut client = proxy.connect();
        client.send(format!(
            "GET /test/v1/stream/{number} HTTP/1.1\r\nHost: p\r\nx-api-key: {CLIENT_KEY}\r\n\r\n"
        ));
        client
    };
    (0..count).map(open).collect()
}

/// Lets every stream advance by one piece, and reads it.
fn advance(streams: &mut [Client], pace: &Pace, number: usize) {
    pace.allow(number + 1);
    for (stream, client) in streams.iter_mut().enumerate() {
        let chunk = client.chunk();
        assert_eq!(chunk, piece(&stream.to_string(), number).as_bytes());
    }
}

#[test]
fn streams_outlive_reloads_and_a_handover_that_loses_no_connection() {
    let pace = Arc::new(Pace::default());
    let platform = platform(&pace);
    let entry = json!([platform.entry(&["platform-key-1"])]);
    let config = json!({"drain_seconds": 60});
    let mut proxy = Proxy::with_keys(config, &keys(), &entry);
    let mut streams = open_streams(&proxy, STREAMS);
    for client in &mut streams {
        client.head();
    }
    advance(&mut streams, &pace, 0);
    let load = Load::begin(proxy.port(), &[Use::Once, Use::Once, Use::Once]);
    let began = Instant::now();
    for reload in 1..=5 {
        let key = format!("platform-key-{}", reload + 1);
        proxy.write(
            "platform.json",
            &json!([platform.entry(&[&key])]).to_string(),
        );
        proxy.signal("HUP");
        proxy
            .log()
            .await_lines("new configuration is in force", reload);
        load.go_on(100);
        advance(&mut streams, &pace, reload);
    }
    let mut former = proxy.start_beside();
    load.go_on(100);
    former.signal("TERM");
    former.log.await_line("stopping");
    load.go_on(300);
    advance(&mut streams, &pace, 6);
    assert!(!former.has_ended(), "its streams go on");
    advance(&mut streams, &pace, 7);
    for client in &mut streams {
        assert_eq!(client.chunk(), b"", "the stream ends in order");
    }
    assert_eq!(former.exit_status().code(), Some(0));
    load.go_on(50);
    let seconds = began.elapsed().as_secs_f64();
    let answered = load.end();
    println!("{answered} connections in {seconds:.1} s, none lost");
}

#[test]
fn twenty_handovers_under_load_lose_no_connection() {
    let platform = Platform::answering("{}");
    let entry = json!([platform.entry(&["platform-key-1"])]);
    let mut proxy = Proxy::with_keys(json!({}), &keys(), &entry);
    let load = Load::begin(proxy.port(), &[Use::Once; 4]);
    let began = Instant::now();
    for _ in 0..20 {
        let mut former = proxy.start_beside();
        load.go_on(20);
        former.signal("TERM");
        assert_eq!(former.exit_status().code(), Some(0));
    }
    let answered = load.end();
    println!(
        "{answered} connections in {:.1} s",
        began.elapsed().as_secs_f64()
    );
}

#[test]
fn reloads_under_load_fail_no_request() {
    let platform = Platform::answering("{}");
    let mut proxy = Proxy::with_keys(
        json!({}),
        &keys(),
        &json!([platform.entry(&["platform-key-0"])]),
    );
    let load = Load::begin(proxy.port(), &[Use::Kept, Use::Kept, Use::Kept, Use::Once]);
    let mut refused = 0;
    for reload in 1..=10 {
        load.go_on(50);
        let platforms = json!([platform.entry(&[&format!("platform-key-{reload}")])]).to_string();
        match reload % 3 {
            0 => {
                // A version with a problem is refused as a whole.
                proxy.write("platform.json", "[{\"name\": 1}]");
                proxy.signal("HUP");
                refused += 1;
                proxy.log().await_lines("is refused", refused);
                assert_ne!(proxy.page("/info")["config_error"], Value::Null);
                proxy.write("platform.json", &platforms);
            }
            1 => proxy.write("platform.json", &platforms),
            _ => {
                proxy.write("platform.json.new", &platforms);
                let path = |name| proxy.folder().join(name);
                std::fs::rename(path("platform.json.new"), path("platform.json")).expect("renamed");
            }
        }
        if reload != 1 {
            proxy.signal("HUP");
        } else {
            // Without a signal it takes up to two seconds.
            let began = Instant::now();
            proxy.log().await_line("new configuration is in force");
            assert!(began.elapsed() < Duration::from_secs(3));
        }
        platform.all();
        loop {
            let seen = platform.next();
            if seen.key() == format!("platform-key-{reload}") {
                break;
            }
        }
    }
    proxy.configure(json!({"tls_cert": "c.pem", "tls_key": "k.pem"}));
    let answered = load.end();
    println!("{answered} requests over 10 reloads, none failed");
}

/// Opens a tunnel to the platform that echoes.
fn open_tunnel(proxy: &Proxy) -> Client {
    let mut tunnel = proxy.connect();
    tunnel.send(format!(
        "GET /test/v1/tunnel HTTP/1.1\r\nHost: p\r\nx-api-key: {CLIENT_KEY}\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
    ));
    assert!(tunnel.head().starts_with("HTTP/1.1 101 "));
    tunnel
}

#[test]
fn what_is_due_comes_beside_bytes_that_never_pause() {
    let platform = platform(&Arc::new(Pace::default()));
    let entry = |key: &str| json!([platform.entry(&[key])]);
    let config = json!({"drain_seconds": 1});
    let mut proxy = Proxy::with_keys(config, &keys(), &entry("platform-key-1"));
    let mut tunnel = open_tunnel(&proxy);
    let (sender, turns) = mpsc::channel();
    let echo = thread::spawn(move || {
        // Until the proxy stops, one byte is always on its way.
        while tunnel.try_send([7]) && tunnel.try_byte() {
            let _ = sender.send(());
        }
    });
    turns.recv_timeout(PATIENCE).expect("a byte comes back");
    // No signal: the time to look at the files comes in the midst of these bytes, and so does the end of the drain.
    proxy.write("platform.json", &entry("platform-key-2").to_string());
    proxy.log().await_line("new configuration is in force");
    assert!(turns.try_iter().count() > 100, "they have not paused");
    proxy.signal("TERM");
    proxy.log().await_line("were cut off: 1");
    assert_eq!(proxy.exit_status().code(), Some(0));
    echo.join().expect("it ends with its connection");
}

#[test]
fn a_drain_awaits_streams_and_tunnels_but_not_for_ever() {
    let pace = Arc::new(Pace::default());
    let platform = platform(&pace);
    let entry = json!([platform.entry(&["platform-key-1"])]);
    let mut proxy = Proxy::with_keys(json!({"drain_seconds": 3}), &keys(), &entry);
    let mut streams = open_streams(&proxy, 3);
    let mut tunnel = open_tunnel(&proxy);
    let mut fresh = proxy.connect();
    // A client that has connected and not asked yet is still answered.
    proxy.page("/info");
    let began = Instant::now();
    proxy.signal("TERM");
    proxy.log().await_line("stopping");
    fresh.send(request("keep-alive"));
    let answer = fresh.answer();
    assert_eq!(
        (answer.status, answer.field("connection")),
        (200, Some("close"))
    );
    fresh.ends();
    for client in &mut streams {
        client.head();
    }
    for number in 0..PIECES {
        advance(&mut streams, &pace, number);
        tunnel.send([number as u8]);
        assert_eq!(tunnel.bytes(1), [number as u8]);
    }
    for client in &mut streams {
        assert_eq!(client.chunk(), b"");
        assert_eq!(client.rest(), b"\r\n");
    }
    let tunnel_end = thread::spawn(move || tunnel.rest());
    assert_eq!(proxy.exit_status().code(), Some(0));
    assert!(
        began.elapsed() >= Duration::from_secs(3),
        "the tunnel was awaited"
    );
    assert_eq!(tunnel_end.join().expect("no panic"), b"");
}
