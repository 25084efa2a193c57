//! The honest platform and its clients in a process of their own, controlled over a connection: otherwise they would
//! measure what the attackers' threads do to the memory and the locks of a shared process.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

use ai_api_proxy::capacity::Capacity;
use serde_json::{Value, json};

use crate::streams::Source;
use crate::support::{PATIENCE, place};

/// The environment variable with the address from which the other process takes its instructions.
const CONTROL: &str = "HOSTILE_CONTROL";

/// That process. It is killed when dropped.
pub struct Honest {
    child: Child,
    line: Line,
    base_url: String,
    /// The number of phases.
    phases: usize,
}

/// How late the events of one phase were.
pub struct Delays {
    pub count: u64,
    pub p50_us: u64,
    pub p99_us: u64,
    pub longest_us: u64,
}

impl Honest {
    /// Starts the platform.
    pub fn start() -> Honest {
        let listener = TcpListener::bind((place::test_host(), 0)).expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let program = std::env::current_exe().expect("it has a path");
        let program = program.to_str().expect("a path in UTF-8");
        let child = place::command(program)
            .args(["--exact", "honest::the_other_process"])
            .env(CONTROL, address.to_string())
            .stdout(Stdio::null())
            .spawn()
            .expect("this program starts once more");
        let (stream, _) = listener.accept().expect("it connects");
        let mut line = Line::new(stream);
        let base_url = line.hear().as_str().expect("text").to_string();
        Honest {
            child,
            line,
            base_url,
            phases: 0,
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Opens all streams through the proxy at `port`, in the first of this many phases.
    pub fn begin(&mut self, port: u16, phases: usize) {
        self.phases = phases;
        // One more is the end, when all threads of the platform wake at once and the reader waits for its core.
        self.line.ask(json!([port, phases + 1]));
    }

    /// What arrives from now on counts for this phase. No stream may have broken off.
    pub fn enter(&mut self, phase: usize) {
        self.line.ask(json!(phase));
    }

    /// Ends the streams, each of which must have arrived whole. Returns what was measured in each phase.
    pub fn end(&mut self) -> Vec<Delays> {
        self.enter(self.phases);
        let mut phases = self.line.ask(json!("end"));
        let delays = |phase: &Value| {
            let number = |name: &str| phase[name].as_u64().expect("a number");
            Delays {
                count: number("count"),
                p50_us: number("p50"),
                p99_us: number("p99"),
                longest_us: number("longest"),
            }
        };
        let phases = phases.as_array_mut().expect("phases");
        phases.pop();
        phases.iter().map(delays).collect()
    }
}

impl Drop for Honest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl std::fmt::Display for Delays {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "{} events, delay p50 {} us, p99 {} us, the longest {} us",
            self.count, self.p50_us, self.p99_us, self.longest_us
        )
    }
}

/// What the other process does; nothing if this is not that process.
#[test]
fn the_other_process() {
    let Ok(address) = std::env::var(CONTROL) else {
        return;
    };
    let mut line = Line::new(TcpStream::connect(address).expect("it listens"));
    Capacity::raise().expect("the limit can be asked for");
    let source = Source::new();
    line.say(&json!(source.platform.base_url()));
    let begin = line.hear();
    let number = |place: usize| begin[place].as_u64().expect("a number");
    let streams = source.begin(number(0) as u16, number(1) as usize);
    line.say(&json!("begun"));
    while let Some(phase) = line.hear().as_u64() {
        streams.enter(phase as usize);
        line.say(&json!("entered"));
    }
    let measured = |delays: &Vec<Duration>| {
        let at = |share: usize| {
            let place = delays.len().saturating_sub(1) * share / 100;
            delays.get(place).map_or(0, Duration::as_micros) as u64
        };
        json!({"count": delays.len(), "p50": at(50), "p99": at(99), "longest": at(100)})
    };
    let phases: Vec<Value> = streams.end().iter().map(measured).collect();
    line.say(&json!(phases));
}

/// One JSON text per line, in each direction.
struct Line {
    stream: BufReader<TcpStream>,
}

impl Line {
    fn new(stream: TcpStream) -> Line {
        stream
            .set_read_timeout(Some(10 * PATIENCE))
            .expect("an option can be set");
        Line {
            stream: BufReader::new(stream),
        }
    }

    fn say(&mut self, what: &Value) {
        let sent = writeln!(self.stream.get_mut(), "{what}");
        sent.expect("the other process lives");
    }

    fn hear(&mut self) -> Value {
        let mut text = String::new();
        let read = self.stream.read_line(&mut text);
        read.expect("the other process lives");
        serde_json::from_str(&text).expect("the other process has failed")
    }

    fn ask(&mut self, what: Value) -> Value {
        self.say(&what);
        self.hear()
    }
}
