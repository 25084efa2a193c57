//! Name servers that fail, lie, go and come back, in a network of the test's own: there it has port 53, and a folder of
//! its own as /etc. Known names go on working with what was known, others are refused with the reason, no key is blamed
//! beyond its due, and all is well as soon as a server is.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::platform::{Next, Platform};
use crate::support::proxy::{CLIENT_KEY, Proxy, ROOT_KEY, new_folder};
use crate::support::{PATIENCE, dns, unix_ms, untested};

/// Set for the process in a network of its own: the folder that serves as its /etc.
const INSIDE: &str = "HOSTILE_NAMES";

/// Brings the network up and hides the machine's resolver files; the command that follows runs there.
const ENTER: &str =
    "{ ip link set lo up || ifconfig lo up; } && mount --bind \"$0\" /etc && exec \"$@\"";

/// One server, asked once.
const RESOLV_CONF: &str = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n";

const KEYS: [&str; 2] = ["platform-key-1", "platform-key-2"];

/// How many failures in a row cool a key.
const FAILURES_MAX: usize = 5;

/// What a server says about a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    Truth,
    Failed,
    NoSuchName,
    Loop,
    /// A reply to this query that announces more records than it holds.
    Nonsense,
    /// More than fits into a datagram; nothing listens for TCP.
    TooMuch,
    /// A false address, from someone who does not know what was asked.
    Forged,
    Nothing,
    /// An address that the platform no longer has, with a long TTL.
    Former,
}

/// What a server can say instead of the truth, a name for it, and what a client is told then.
const LIES: [(Says, &str, &str); 7] = [
    (Says::Failed, "failed", "127.0.0.1 answered: server failure"),
    (Says::NoSuchName, "absent", "no such name"),
    (Says::Loop, "loop", "127.0.0.1 answered nonsense"),
    (Says::Nonsense, "nonsense", "127.0.0.1 answered nonsense"),
    (
        Says::TooMuch,
        "much",
        "127.0.0.1 cannot be asked: connection refused",
    ),
    (Says::Forged, "forged", "timed out asking 127.0.0.1"),
    (Says::Nothing, "nothing", "timed out asking 127.0.0.1"),
];

/// The name of a platform that has moved.
const MOVED: &str = "moved";

/// An address at which nothing listens, for lies and former addresses.
const NOWHERE: [u8; 4] = [127, 6, 6, 6];

/// Names about which no server lies: while there is no server, the first was known, the second not.
const GONE: [&str; 2] = ["gone-known", "gone-new"];

/// One server at its port. It ends when dropped.
struct NameServer {
    world: Arc<Mutex<World>>,
    thread: Option<JoinHandle<()>>,
}

/// What it is to say, by a name's first label, and how many times it was asked.
#[derive(Default)]
struct World {
    says: BTreeMap<String, Says>,
    asked: BTreeMap<String, u64>,
}

impl NameServer {
    fn start(says: BTreeMap<String, Says>) -> NameServer {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)).expect("the port is free");
        let world = World {
            says,
            ..World::default()
        };
        let world = Arc::new(Mutex::new(world));
        let shared = Arc::clone(&world);
        let thread = Some(thread::spawn(move || serve(&socket, &shared)));
        NameServer { world, thread }
    }

    fn says(&self, name: &str, what: Says) {
        let mut world = self.world.lock().expect("no thread panicked");
        world.says.insert(name.to_string(), what);
    }

    fn asked(&self, name: &str) -> u64 {
        let world = self.world.lock().expect("no thread panicked");
        world.asked.get(name).copied().unwrap_or_default()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let end = socket.send_to(&[], (Ipv4Addr::LOCALHOST, 53));
        end.expect("it is there");
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(ended, Some(Ok(()))));
    }
}

/// The first label of the name that is asked for.
fn first_label(query: &[u8]) -> String {
    let (length, rest) = query[12..].split_first().expect("a question");
    String::from_utf8_lossy(&rest[..usize::from(*length)]).into_owned()
}

fn serve(socket: &UdpSocket, world: &Mutex<World>) {
    let mut query = [0; 512];
    loop {
        let (count, client) = socket.recv_from(&mut query).expect("datagrams come");
        if count == 0 {
            return;
        }
        let query = &query[..count];
        let name = first_label(query);
        let mut world = world.lock().expect("no thread panicked");
        *world.asked.entry(name.clone()).or_default() += 1;
        let says = world.says.get(&name).copied();
        for message in messages(query, says.unwrap_or(Says::Truth)) {
            // A proxy that needs no more replies has closed its socket.
            let _ = socket.send_to(&message, client);
        }
    }
}

fn messages(query: &[u8], says: Says) -> Vec<Vec<u8>> {
    let truth = dns::addressed(query, 1, &[IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    match says {
        Says::Truth => vec![truth],
        Says::Failed => vec![dns::server_failed(query)],
        Says::NoSuchName => vec![dns::no_such_name(query)],
        Says::Loop => vec![dns::looped(query)],
        Says::Nonsense => {
            let mut message = truth;
            message[7] = 9;
            vec![message]
        }
        Says::TooMuch => vec![dns::truncated(truth)],
        Says::Forged => {
            let elsewhere = [IpAddr::from(NOWHERE)];
            dns::forged(&dns::addressed(query, 60, &elsewhere))
        }
        Says::Nothing => vec![],
        Says::Former => vec![dns::addressed(query, 3600, &[IpAddr::from(NOWHERE)])],
    }
}

#[test]
fn names_fail_and_come_back() {
    if let Some(folder) = std::env::var_os(INSIDE) {
        return fail_and_come_back(Path::new(&folder));
    }
    let folder = new_folder();
    fs::write(folder.join("resolv.conf"), RESOLV_CONF).expect("a file can be written");
    let entered = enter(&folder, Path::new("true"), &[]);
    if entered.as_ref().is_ok_and(|output| output.status.success()) {
        let program = std::env::current_exe().expect("it has a path");
        let arguments = ["--exact", "names::names_fail_and_come_back", "--nocapture"];
        let output = enter(&folder, &program, &arguments).expect("it was there");
        let text =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(
            output.status.success(),
            "in its own network:\n{}",
            text.concat()
        );
        assert!(text[0].contains("1 passed"), "{}", text.concat());
    } else {
        untested("names that fail and come back", entered);
    }
    let _ = fs::remove_dir_all(folder);
}

/// Runs a program in a network and with an /etc of its own, which nothing else can see.
fn enter(folder: &Path, program: &Path, arguments: &[&str]) -> std::io::Result<Output> {
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--mount", "--net"])
        .args(["sh", "-c", ENTER])
        .arg(folder)
        .arg(program)
        .args(arguments)
        .env(INSIDE, folder);
    command.output()
}

/// A proxy whose platforms are all the same one by different names, and what was asked of it.
struct Asking {
    proxy: Proxy,
    client: Client,
    requests: u64,
    refused: u64,
}

impl Asking {
    fn new(platform: &Platform, names: &[String]) -> Asking {
        let base_url = platform.base_url();
        let (_, port) = base_url.rsplit_once(':').expect("a port");
        let entry = |name: &String| json!({"name": name, "base_url": format!("http://{name}.example:{port}"), "keys": KEYS});
        let platforms: Vec<Value> = names.iter().map(entry).collect();
        let keys = json!([{"key": ROOT_KEY, "is_root": true}, {"key": CLIENT_KEY, "daily_limit": 1_000_000_000}]);
        let proxy = Proxy::with_keys(json!({"log_level": "error"}), &keys, &json!(platforms));
        Asking {
            client: proxy.connect(),
            proxy,
            requests: 0,
            refused: 0,
        }
    }

    /// A request is either answered by the platform or refused for want of an address.
    fn ask(&mut self, name: &str) -> Answer {
        self.client.send(format!(
            "GET /{name}/x HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer {CLIENT_KEY}\r\n\r\n"
        ));
        let answer = self.client.answer();
        self.requests += 1;
        match answer.status {
            200 => assert_eq!(answer.field("x-proxy-error"), None),
            502 => {
                assert_eq!(answer.error_code(), "upstream_error");
                let host = format!("{name}.example");
                assert!(answer.text().contains(&host), "{}", answer.text());
                self.refused += 1;
            }
            other => panic!("{name}: status {other}: {}", answer.text()),
        }
        answer
    }

    /// Asks until `is_so` holds for the answer.
    fn ask_until(&mut self, name: &str, is_so: impl Fn(&Answer) -> bool) {
        let since = Instant::now();
        while !is_so(&self.ask(name)) {
            assert!(
                since.elapsed() < PATIENCE,
                "{name}: it does not come to that"
            );
        }
    }

    fn refuses(&mut self, name: &str, why: &str) {
        let answer = self.ask(name);
        assert_eq!(answer.status, 502, "{name}");
        assert!(answer.text().contains(why), "{}", answer.text());
    }

    fn serves(&mut self, name: &str) {
        let answer = self.ask(name);
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
    }

    /// Each key's state, and for how many more milliseconds it cools.
    fn keys(&self, name: &str) -> Vec<(String, u64)> {
        let stats = self.proxy.page("/stats");
        let keys = stats["platforms"][name]["keys"].as_array().expect("keys");
        let now = unix_ms(&stats["timestamp"]);
        let state = |key: &Value| {
            let until = &key["cooling_until"];
            let until = if until.is_null() { now } else { unix_ms(until) };
            let status = key["status"].as_str().expect("a status").to_string();
            (status, until.saturating_sub(now))
        };
        keys.iter().map(state).collect()
    }

    fn blames_no_key(&self, name: &str) {
        let keys = self.keys(name);
        let is_usable = |key: &(String, u64)| ["unknown", "healthy"].contains(&key.0.as_str());
        assert!(
            keys.len() == 2 && keys.iter().all(is_usable),
            "{name}: {keys:?}"
        );
    }

    /// Nothing was lost and nothing was counted twice.
    fn counts_exactly(&self) {
        let stats = self.proxy.page("/stats");
        let client = &stats["clients"][1];
        let counts = [
            &stats["totals"]["requests"],
            &client["requests"],
            &client["day"]["used"],
        ];
        assert_eq!(counts, [self.requests; 3]);
        let errors = &stats["totals"]["errors"];
        assert_eq!(errors["network"], self.refused, "{errors}");
        let all: u64 = errors
            .as_object()
            .expect("counts")
            .values()
            .filter_map(Value::as_u64)
            .sum();
        assert_eq!(all, self.refused, "{errors}");
    }
}

fn fail_and_come_back(etc: &Path) {
    // Each request needs a new connection, and hence its name resolved.
    let platform = Platform::serve(|_, line| {
        line.answer("200 OK\r\nConnection: close", "{}");
        Next::Close
    });
    let known = |name: &str| format!("{name}-known");
    let new = |name: &str| format!("{name}-new");
    let lies = LIES.map(|(says, name, why)| (says, known(name), new(name), why));
    let names = lies
        .iter()
        .flat_map(|(_, known, new, _)| [known.clone(), new.clone()]);
    let others = GONE.into_iter().chain([MOVED]).map(str::to_string);
    let names: Vec<String> = names.chain(others).collect();
    let says = lies.iter().map(|(says, _, new, _)| (new.clone(), *says));
    // Nothing must be known of this name when the server goes, although its keys are probed.
    let says = says.chain([(GONE[1].to_string(), Says::Failed)]);
    let says = says.chain([(MOVED.to_string(), Says::Former)]);
    let server = NameServer::start(says.collect());
    let mut asking = Asking::new(&platform, &names);

    for (_, known, ..) in &lies {
        asking.serves(known);
    }
    asking.serves(GONE[0]);
    asking.refuses(MOVED, "connection refused");
    server.says(MOVED, Says::Truth);
    asking.ask_until(MOVED, |answer| answer.status == 200);
    server_lies(&server, &mut asking, &lies);
    drop(server);
    nobody_is_there(etc, &mut asking);

    let server = NameServer::start(BTreeMap::new());
    for name in &names {
        asking.ask_until(name, |answer| answer.status == 200);
        let keys = asking.keys(name);
        let healthy = keys.iter().filter(|key| key.0 == "healthy").count();
        assert!(healthy > 0, "{name}: {keys:?}");
    }
    drop(server);
    asking.counts_exactly();
}

type Lie = (Says, String, String, &'static str);

/// Has the server lie about the new names, and then about the known ones.
fn server_lies(server: &NameServer, asking: &mut Asking, lies: &[Lie]) {
    for (says, known, new, why) in lies {
        asking.refuses(new, why);
        asking.blames_no_key(new);
        server.says(known, *says);
    }
    for (says, known, _, why) in lies {
        match says {
            // An absence is an answer, and replaces an earlier one.
            Says::NoSuchName => {
                asking.ask_until(known, |answer| answer.status == 502);
                asking.refuses(known, why);
            }
            _ => {
                let before = server.asked(known);
                asking.ask_until(known, |answer| {
                    assert_eq!(answer.status, 200, "{known}: {}", answer.text());
                    server.asked(known) > before
                });
                asking.serves(known);
            }
        }
        asking.blames_no_key(known);
    }
    // After a row of failures keys cool, as after any failure, and are tried all the same.
    let (_, _, failing, why) = &lies[0];
    for _ in 0..FAILURES_MAX {
        asking.refuses(failing, why);
    }
    for (status, left_ms) in asking.keys(failing) {
        assert!(
            status != "unhealthy" && left_ms <= 20_000,
            "{status} {left_ms}"
        );
    }
    server.says(failing, Says::Truth);
    asking.ask_until(failing, |answer| answer.status == 200);
}

fn nobody_is_there(etc: &Path, asking: &mut Asking) {
    let [known, new] = GONE;
    asking.serves(known);
    asking.ask_until(new, |answer| {
        let why = "127.0.0.1 cannot be asked: connection refused";
        answer.text().contains(why)
    });
    // What the operator can do meanwhile.
    let hosts = format!("127.0.0.1 {new}.example\n");
    fs::write(etc.join("hosts"), hosts).expect("a file can be written");
    asking.ask_until(new, |answer| answer.status == 200);
    asking.serves(known);
}
