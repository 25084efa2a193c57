//! Streams that honest clients read while others attack: every event comes, in order, and its delay is measured.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::support::PATIENCE;
use crate::support::platform::{Next, Platform};
use crate::support::proxy::CLIENT_KEY;

/// How many there are: 200, or as many as `HOSTILE_STREAMS` says.
pub static STREAMS: LazyLock<usize> = LazyLock::new(|| {
    let asked = std::env::var("HOSTILE_STREAMS").ok();
    asked.map_or(200, |count| count.parse().expect("a number of streams"))
});

/// How often each stream has an event.
const PERIOD: Duration = Duration::from_millis(100);

/// Where the streams come from.
pub struct Source {
    pub platform: Platform,
    pace: Arc<Pace>,
}

struct Pace {
    /// The origin of the times in events.
    begun: Instant,
    is_over: Mutex<bool>,
    ended: Condvar,
}

/// The streams while they go on.
pub struct Streams {
    pace: Arc<Pace>,
    reader: JoinHandle<Vec<Vec<Duration>>>,
    phase: Arc<AtomicUsize>,
    is_open: Arc<AtomicBool>,
}

impl Source {
    pub fn new() -> Source {
        let pace = Arc::new(Pace {
            begun: Instant::now(),
            is_over: Mutex::new(false),
            ended: Condvar::new(),
        });
        let (paced, next) = (Arc::clone(&pace), AtomicUsize::new(0));
        let platform = Platform::serve(move |request, line| {
            if request.path().ends_with("/probe") {
                line.answer("200 OK", "{}");
                return Next::Await;
            }
            let place = next.fetch_add(1, Ordering::Relaxed) % *STREAMS;
            let mut times = paced.times(place);
            line.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
            for number in 0.. {
                let nanoseconds = paced.begun.elapsed().as_nanos();
                line.send(format!("data: {number} {nanoseconds}\n\n"));
                if paced.is_over_at(times.next().expect("time goes on")) {
                    line.send(format!("data: end {}\n\n", number + 1));
                    break;
                }
            }
            Next::Close
        });
        Source { platform, pace }
    }

    /// Opens all streams and reads them from then on. Delays are recorded for each phase separately.
    pub fn begin(&self, port: u16, phases: usize) -> Streams {
        self.begin_over(port, phases, None)
    }

    /// As [`Source::begin`], over TLS if `tls` is given.
    pub fn begin_over(&self, port: u16, phases: usize, tls: Option<Arc<ClientConfig>>) -> Streams {
        let phase = Arc::new(AtomicUsize::new(0));
        let is_open = Arc::new(AtomicBool::new(false));
        let reader = Reader {
            poll: Poll::new().expect("a poll"),
            clients: Vec::new(),
            tls,
            pace: Arc::clone(&self.pace),
            phase: Arc::clone(&phase),
            delays: vec![Vec::new(); phases],
        };
        let opened = Arc::clone(&is_open);
        let streams = Streams {
            pace: Arc::clone(&self.pace),
            reader: thread::spawn(move || reader.read_all(port, &opened)),
            phase,
            is_open,
        };
        while !streams.is_open.load(Ordering::SeqCst) {
            assert!(!streams.reader.is_finished(), "the streams could not begin");
            thread::yield_now();
        }
        streams
    }
}

impl Pace {
    /// When the events of a stream are due: each stream has its place in the period, so that there are no bursts.
    fn times(&self, place: usize) -> impl Iterator<Item = Instant> {
        let offset = PERIOD * place as u32 / *STREAMS as u32;
        let passed = self.begun.elapsed().as_millis() / PERIOD.as_millis();
        let first = self.begun + PERIOD * passed as u32 + PERIOD + offset;
        (0..).map(move |number| first + PERIOD * number)
    }

    /// Waits until `time`, or until the end if that comes first. Returns whether the end has come.
    fn is_over_at(&self, time: Instant) -> bool {
        let left = time.saturating_duration_since(Instant::now());
        let is_over = self.is_over.lock().expect("no thread panicked");
        let (is_over, _) = self
            .ended
            .wait_timeout_while(is_over, left, |is_over| !*is_over)
            .expect("no thread panicked");
        *is_over
    }
}

impl Streams {
    /// What arrives from now on counts for this phase. No stream may have broken off.
    pub fn enter(&self, phase: usize) {
        self.phase.store(phase, Ordering::SeqCst);
        self.are_alive();
    }

    /// Leaves the streams alone for a while.
    pub fn go_on(&self, time: Duration) {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            self.are_alive();
            thread::park_timeout(left.min(PERIOD));
        }
    }

    fn are_alive(&self) {
        assert!(!self.reader.is_finished(), "the streams have broken off");
    }

    /// Ends the streams, each of which must have arrived whole. Returns the delays of each phase, sorted.
    pub fn end(self) -> Vec<Vec<Duration>> {
        *self.pace.is_over.lock().expect("no thread panicked") = true;
        self.pace.ended.notify_all();
        let mut delays = self.reader.join().expect("each stream came whole");
        for phase in &mut delays {
            phase.sort_unstable();
        }
        delays
    }
}

/// One thread that reads all streams.
struct Reader {
    poll: Poll,
    clients: Vec<Client>,
    tls: Option<Arc<ClientConfig>>,
    pace: Arc<Pace>,
    phase: Arc<AtomicUsize>,
    delays: Vec<Vec<Duration>>,
}

struct Client {
    /// What the poll watches; `stream` reads the same socket.
    _watched: TcpStream,
    stream: Box<dyn Stream>,
    unread: Vec<u8>,
    /// Events that have come.
    events: usize,
    stage: Stage,
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Head,
    Events,
    /// The event that says how many there were has come.
    Told,
    Ended,
}

impl Reader {
    fn read_all(mut self, port: u16, is_open: &AtomicBool) -> Vec<Vec<Duration>> {
        for number in 0..*STREAMS {
            let socket = std::net::TcpStream::connect(("127.0.0.1", port)).expect("a proxy");
            let watched = socket.try_clone().expect("a second handle");
            let mut stream = self.open(socket);
            let request = format!(
                "GET /honest/v1/stream HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer {CLIENT_KEY}\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).expect("it reads");
            watched.set_nonblocking(true).expect("an option can be set");
            let mut watched = TcpStream::from_std(watched);
            let registry = self.poll.registry();
            registry
                .register(&mut watched, Token(number), Interest::READABLE)
                .expect("it can be watched");
            self.clients.push(Client {
                _watched: watched,
                stream,
                unread: Vec::new(),
                events: 0,
                stage: Stage::Head,
            });
        }
        let mut events = Events::with_capacity(*STREAMS);
        let lives = |client: &Client| client.stage != Stage::Ended;
        while self.clients.iter().any(lives) {
            self.poll
                .poll(&mut events, Some(PATIENCE))
                .expect("a poll works");
            assert!(!events.is_empty(), "the streams stand still");
            for event in &events {
                self.read(event.token().0);
            }
            let has_begun = |client: &Client| client.events > 0;
            if self.clients.iter().all(has_begun) {
                is_open.store(true, Ordering::SeqCst);
            }
        }
        self.delays
    }

    fn open(&self, socket: std::net::TcpStream) -> Box<dyn Stream> {
        let Some(config) = &self.tls else {
            return Box::new(socket);
        };
        let name = ServerName::try_from("localhost").expect("a name");
        let session = ClientConnection::new(Arc::clone(config), name);
        Box::new(StreamOwned::new(session.expect("it fits"), socket))
    }

    fn read(&mut self, number: usize) {
        let client = &mut self.clients[number];
        let mut piece = [0; 16 * 1024];
        let mut has_ended = false;
        while !has_ended {
            match client.stream.read(&mut piece) {
                Ok(0) => has_ended = true,
                Ok(count) => client.unread.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => panic!("stream {number}: {error}"),
            }
        }
        let now = self.pace.begun.elapsed();
        let delays = &mut self.delays[self.phase.load(Ordering::SeqCst)];
        client.take_events(|sent| delays.push(now.saturating_sub(sent)));
        if has_ended {
            // The poll may report the end more than once.
            assert!(
                matches!(client.stage, Stage::Told | Stage::Ended),
                "stream {number} broke off after {} events",
                client.events
            );
            client.stage = Stage::Ended;
        }
    }
}

impl Client {
    fn take_events(&mut self, mut take: impl FnMut(Duration)) {
        if self.stage == Stage::Head {
            let Some(end) = position(&self.unread, b"\r\n\r\n") else {
                return;
            };
            assert!(self.unread.starts_with(b"HTTP/1.1 200 "));
            self.unread.drain(..end + 4);
            self.stage = Stage::Events;
        }
        while let Some(end) = position(&self.unread, b"\n\n") {
            let event: Vec<u8> = self.unread.drain(..end + 2).collect();
            let text = std::str::from_utf8(&event).expect("text").trim_end();
            let mut words = text.split(' ').skip(1);
            let (first, second) = (words.next(), words.next());
            let number: u64 = second.expect("two words").parse().expect("a number");
            if first == Some("end") {
                assert_eq!(number, self.events as u64, "events");
                self.stage = Stage::Told;
                return;
            }
            assert_eq!(first, Some(self.events.to_string().as_str()), "in order");
            self.events += 1;
            take(Duration::from_nanos(number));
        }
    }
}

fn position(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}
