//! Failures of the surroundings: a platform that dies and comes back, storms of refusals, a slow key, a full disk.
//! Nothing hangs, no one is kept out longer than README says, and the counts are exact.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::platform::{Next, Platform};
use crate::support::proxy::{CLIENT_KEY, Proxy, ROOT_KEY};
use crate::support::unix_ms;

const KEYS: [&str; 3] = ["platform-key-1", "platform-key-2", "platform-key-3"];

/// A proxy with a client key that has no limits.
fn proxy_for(platform: &Value) -> Proxy {
    let keys = json!([{"key": ROOT_KEY, "is_root": true}, {"key": CLIENT_KEY}]);
    Proxy::with_keys(json!({}), &keys, &json!([platform]))
}

fn send(client: &mut Client) {
    client.send(format!(
        "GET /test/v1/x HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer {CLIENT_KEY}\r\n\r\n"
    ));
}

fn ask(client: &mut Client) -> Answer {
    send(client);
    client.answer()
}

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

/// How much longer each key cools, in milliseconds.
fn cooling(proxy: &Proxy) -> Vec<u64> {
    let stats = proxy.page("/stats");
    let keys = stats["platforms"]["test"]["keys"].as_array().expect("keys");
    let cooling = keys.iter().filter(|key| !key["cooling_until"].is_null());
    cooling
        .map(|key| unix_ms(&key["cooling_until"]).saturating_sub(unix_ms(&stats["timestamp"])))
        .collect()
}

/// The sum of a metric's lines.
fn metric(proxy: &Proxy, name: &str) -> u64 {
    let answer = proxy.answer("GET /metrics HTTP/1.1");
    let lines = answer.text().lines().filter(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
    });
    lines
        .map(|line| {
            let value = line.rsplit(' ').next().expect("a value");
            value.parse::<u64>().expect("a number")
        })
        .sum()
}

/// A platform that can be killed, with its connections, and started again on the same port.
struct Mortal {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
    life: Option<Life>,
}

struct Life {
    is_over: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    thread: JoinHandle<()>,
}

impl Mortal {
    fn new() -> Mortal {
        // Not an ephemeral port: an outgoing connection could take it meanwhile, or connect to itself.
        let first = 20_000 + std::process::id() as u16 % 9000;
        let mut ports = first..first + 100;
        let listener = ports.find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
        let listener = listener.expect("a port is free");
        let mut mortal = Mortal {
            address: listener.local_addr().expect("it has an address"),
            requests: Arc::default(),
            life: None,
        };
        mortal.live(listener);
        mortal
    }

    fn start(&mut self) {
        self.live(TcpListener::bind(self.address).expect("the port is still free"));
    }

    fn live(&mut self, listener: TcpListener) {
        let (is_over, streams) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let life = (Arc::clone(&is_over), Arc::clone(&streams));
        let requests = Arc::clone(&self.requests);
        let thread = thread::spawn(move || {
            let (is_over, streams): (_, Arc<Mutex<Vec<TcpStream>>>) = life;
            for stream in listener.incoming().map_while(Result::ok) {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                let mut streams = streams.lock().expect("no thread panicked");
                streams.push(stream.try_clone().expect("a second handle"));
                let requests = Arc::clone(&requests);
                thread::spawn(move || answer_all(stream, &requests));
            }
        });
        self.life = Some(Life {
            is_over,
            streams,
            thread,
        });
    }

    fn kill(&mut self) {
        let life = self.life.take().expect("it lives");
        life.is_over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        life.thread.join().expect("it does not panic");
        for stream in life.streams.lock().expect("no thread panicked").drain(..) {
            // It may have been closed already.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

fn answer_all(stream: TcpStream, requests: &AtomicU64) {
    use std::io::{BufRead, BufReader, Write};
    let mut writer = stream.try_clone().expect("a second handle");
    let mut is_probe = false;
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        is_probe |= line.contains("/probe ");
        if line.is_empty() {
            if !std::mem::take(&mut is_probe) {
                requests.fetch_add(1, Ordering::SeqCst);
            }
            if writer
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                .is_err()
            {
                return;
            }
        }
    }
}

#[test]
fn a_platform_is_killed_and_started_again_under_load() {
    let mut platform = Mortal::new();
    let proxy = proxy_for(&json!({
        "name": "test", "base_url": format!("http://{}", platform.address), "api_path": "/v1",
        "health_check_endpoint": "/probe", "keys": KEYS,
    }));
    let is_over = Arc::new(AtomicBool::new(false));
    let (sender, statuses) = mpsc::channel();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (is_over, sender) = (Arc::clone(&is_over), sender.clone());
            let mut client = proxy.connect();
            thread::spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    let answer = ask(&mut client);
                    sender.send(answer.status).expect("they are counted");
                }
            })
        })
        .collect();
    drop(sender);
    let (mut good, mut bad) = (0, 0);
    let mut await_statuses = |want: u16, count: usize| {
        let mut seen = 0;
        while seen < count {
            let status = statuses.recv().expect("the clients ask");
            match status {
                200 => good += 1,
                502 => bad += 1,
                other => panic!("status {other}"),
            }
            seen += usize::from(status == want);
        }
    };
    for _ in 0..3 {
        await_statuses(200, 100);
        platform.kill();
        // More than it takes to cool all keys, which are tried all the same.
        await_statuses(502, 100);
        platform.start();
    }
    await_statuses(200, 100);
    is_over.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().expect("a client does not panic");
    }
    for status in statuses.try_iter() {
        match status {
            200 => good += 1,
            502 => bad += 1,
            other => panic!("status {other}"),
        }
    }
    let stats = proxy.page("/stats");
    let totals = &stats["totals"];
    assert_eq!(number(&totals["requests"]), good + bad);
    assert_eq!(number(&totals["errors"]["network"]), bad);
    assert!(platform.requests.load(Ordering::SeqCst) >= good);
    assert_eq!(metric(&proxy, "aiproxy_in_flight"), 0);
    assert!(cooling(&proxy).iter().all(|left| *left <= 600_000));
}

/// A platform that answers with one status until the storm is over.
struct Storm {
    platform: Platform,
    is_over: Arc<AtomicBool>,
}

impl Storm {
    fn of(head: &'static str) -> Storm {
        let is_over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&is_over);
        let platform = Platform::serve(move |request, line| {
            let is_fair = ended.load(Ordering::SeqCst) || request.path().ends_with("/probe");
            line.answer(if is_fair { "200 OK" } else { head }, "{}");
            Next::Await
        });
        Storm { platform, is_over }
    }

    /// Runs this many clients at once, each with this many requests; returns their answers.
    fn rage(&self, proxy: &Proxy, clients: usize, requests: usize) -> Vec<Answer> {
        let threads: Vec<_> = (0..clients)
            .map(|_| {
                let mut client = proxy.connect();
                thread::spawn(move || (0..requests).map(|_| ask(&mut client)).collect::<Vec<_>>())
            })
            .collect();
        let answers = threads.into_iter().map(|thread| thread.join());
        answers
            .flat_map(|answers| answers.expect("answers"))
            .collect()
    }

    fn ends(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_storm_of_429_on_all_keys_cools_them_once() {
    let storm = Storm::of("429 Too Many Requests");
    let proxy = proxy_for(&storm.platform.entry(&KEYS));
    let answers = storm.rage(&proxy, 20, 20);
    let own = answers
        .iter()
        .filter(|answer| answer.field("x-proxy-error").is_some());
    let own = own.inspect(|answer| {
        assert_eq!(answer.error_code(), "keys_rate_limited");
        let wait = answer.retry_after();
        assert!((1..=30).contains(&wait), "{wait}");
    });
    let own = own.count() as u64;
    assert!(answers.iter().all(|answer| answer.status == 429));
    let left = cooling(&proxy);
    assert!(
        left.len() == 3 && left.iter().all(|left| *left <= 30_000),
        "{left:?}"
    );
    // Each request that reached the platform was a try, and none of the proxy's own refusals was.
    let reached = storm.platform.all().len() as u64;
    let retries = metric(&proxy, "aiproxy_retries_total");
    assert!(own >= 400 - 20 * 3, "{own} were refused without a try");
    let stats = proxy.page("/stats");
    assert_eq!(number(&stats["totals"]["requests"]), 400);
    let answered = 400 - own;
    assert!(
        reached >= answered && reached <= answered + retries,
        "{reached} {answered} {retries}"
    );
    assert_eq!(metric(&proxy, "aiproxy_in_flight"), 0);
}

#[test]
fn a_storm_of_429_with_a_time_ends_by_then() {
    let storm = Storm::of("429 Too Many Requests\r\nretry-after-ms: 1500");
    let proxy = proxy_for(&storm.platform.entry(&KEYS));
    storm.rage(&proxy, 10, 10);
    let left = cooling(&proxy);
    assert!(left.iter().all(|left| *left <= 1500), "{left:?}");
    storm.ends();
    let mut client = proxy.connect();
    loop {
        let answer = ask(&mut client);
        let left = cooling(&proxy);
        match answer.status {
            200 => break,
            429 => assert!(left.iter().all(|left| *left <= 1500), "{left:?}"),
            other => panic!("status {other}"),
        }
    }
}

#[test]
fn a_storm_of_500_on_all_keys_locks_nobody_out() {
    let storm = Storm::of("500 Internal Server Error");
    let proxy = proxy_for(&storm.platform.entry(&KEYS));
    let answers = storm.rage(&proxy, 10, 20);
    for answer in &answers {
        assert_eq!(
            (answer.status, answer.field("x-proxy-error")),
            (500, None),
            "the platform's"
        );
    }
    assert_eq!(cooling(&proxy).len(), 3);
    let tries = storm.platform.all().len() as u64;
    assert_eq!(tries, 200 + metric(&proxy, "aiproxy_retries_total"));
    storm.ends();
    let mut client = proxy.connect();
    for _ in 0..10 {
        assert_eq!(
            ask(&mut client).status,
            200,
            "the next request finds a platform that works"
        );
    }
    let stats = proxy.page("/stats");
    assert_eq!(number(&stats["totals"]["requests"]), 210);
    assert_eq!(number(&stats["totals"]["errors"]["server"]), 200);
    assert_eq!(storm.platform.all().len(), 10);
}

#[test]
fn one_slow_key_delays_only_its_own_requests() {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let opened = Arc::clone(&gate);
    let platform = Platform::serve(move |request, line| {
        if request.key() == KEYS[0] && !request.path().ends_with("/probe") {
            let is_open = opened.0.lock().expect("no thread panicked");
            let awaited = opened
                .1
                .wait_timeout_while(is_open, Duration::from_secs(60), |open| !*open);
            drop(awaited.expect("no thread panicked"));
        }
        line.answer("200 OK", "{}");
        Next::Await
    });
    let proxy = proxy_for(&platform.entry(&KEYS));
    let mut clients: Vec<Client> = (0..30).map(|_| proxy.connect()).collect();
    let mut slow = Vec::new();
    for mut client in clients.drain(..) {
        send(&mut client);
        match platform.next().key() == KEYS[0] {
            true => slow.push(client),
            false => assert_eq!(client.answer().status, 200),
        }
    }
    assert_eq!(slow.len(), 10, "they take turns");
    assert!(slow.iter().all(|client| !client.has_news()));
    assert_eq!(metric(&proxy, "aiproxy_in_flight"), 10);
    *gate.0.lock().expect("no thread panicked") = true;
    gate.1.notify_all();
    for mut client in slow {
        assert_eq!(client.answer().status, 200);
    }
    assert_eq!(number(&proxy.page("/stats")["totals"]["requests"]), 30);
}

/// The file size limit stands in for a full disk: writing fails, and later it works again.
#[test]
fn a_full_disk_stops_no_request_and_no_limit() {
    let platform = Platform::answering("{}");
    let keys = json!([{"key": ROOT_KEY, "is_root": true}, {"key": CLIENT_KEY, "daily_limit": 150}]);
    let entry = json!([platform.entry(&["platform-key-1"])]);
    let mut proxy = Proxy::prepare(json!({}), &keys, &entry).after("trap '' XFSZ; ulimit -Sf 2");
    for _ in 0..100 {
        assert_eq!(proxy.ask("/test/v1/x"), 200);
    }
    let warning = proxy.log().await_line("usage.journal");
    assert!(warning.contains("WARN"), "{warning}");
    let unlimited = rlimit::INFINITY;
    let id = i32::try_from(proxy.id()).expect("a process");
    rlimit::prlimit(
        id,
        rlimit::Resource::FSIZE,
        Some((unlimited, unlimited)),
        None,
    )
    .expect("an own process can be given more");
    proxy.log().await_line("are kept in");
    for _ in 0..40 {
        assert_eq!(proxy.ask("/test/v1/x"), 200);
    }
    proxy.stop();
    proxy.start_again_unbounded();
    for _ in 0..10 {
        assert_eq!(proxy.ask("/test/v1/x"), 200);
    }
    assert_eq!(
        proxy.ask("/test/v1/x"),
        429,
        "150 were counted, over the fault and the kill"
    );
}
