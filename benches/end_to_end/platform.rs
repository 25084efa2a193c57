//! A small platform to measure against: one thread, plain and TLS. The path determines the answer: `…/events/N/US` is a
//! stream of N events, one every US microseconds; `…/bytes/N` a body of N bytes; everything else a short JSON text.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use rustls::ServerConfig;
use slab::Slab;

use super::wire::{self, Wire};

/// About 700 bytes, as a short answer of a chat API has.
const ANSWER: &str = include_str!("answer.json");
const EVENT: &str = concat!(
    r#"data: {"id":"chatcmpl-AbCdEfGhIjKlMnOpQrStUv","object":"chat.completion.chunk","created":1767225600,"#,
    r#""model":"mock-1","choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}"#,
    "\n\n"
);
const PIECE_BYTES: usize = 64 * 1024;

/// Tokens of the listeners, above those of connections.
const PLAIN: Token = Token(usize::MAX - 1);
const TLS: Token = Token(usize::MAX - 2);

static ACCEPTED: AtomicU64 = AtomicU64::new(0);

/// Where the platform listens. Its thread ends with the program.
#[derive(Clone, Copy)]
pub struct Platform {
    pub plain_port: u16,
    pub tls_port: u16,
}

struct Server {
    poll: Poll,
    tls: Arc<ServerConfig>,
    visitors: Slab<Visitor>,
    timers: BinaryHeap<Reverse<(Instant, usize, u64)>>,
    /// Distinguishes a connection from an earlier one in the same slot.
    visits: u64,
    event: Vec<u8>,
    scratch: Vec<u8>,
}

struct Visitor {
    wire: Wire,
    visit: u64,
    input: Vec<u8>,
    output: Vec<u8>,
    sent: usize,
    doing: Doing,
    /// The latest time for which a timer was set.
    timer_at: Option<Instant>,
}

#[derive(Clone, Copy)]
enum Doing {
    Reading,
    /// This many bytes of the request's body are still to come.
    Taking(u64),
    /// This many bytes of the answer's body are not in the output yet.
    Giving(u64),
    Streaming {
        left: u64,
        every: Duration,
        next: Instant,
    },
}

impl Platform {
    /// Starts it.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start() -> io::Result<Platform> {
        let mut plain = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
        let mut tls = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
        let platform = Platform {
            plain_port: plain.local_addr()?.port(),
            tls_port: tls.local_addr()?.port(),
        };
        let poll = Poll::new()?;
        poll.registry()
            .register(&mut plain, PLAIN, Interest::READABLE)?;
        poll.registry()
            .register(&mut tls, TLS, Interest::READABLE)?;
        let mut server = Server {
            poll,
            tls: wire::server_config(),
            visitors: Slab::new(),
            timers: BinaryHeap::new(),
            visits: 0,
            event: format!("{:x}\r\n{EVENT}\r\n", EVENT.len()).into_bytes(),
            scratch: vec![0; PIECE_BYTES],
        };
        thread::spawn(move || {
            let ended = server.run(&plain, &tls);
            eprintln!("the platform ended: {ended:?}");
        });
        Ok(platform)
    }

    /// How many connections it has accepted so far.
    pub fn accepted() -> u64 {
        ACCEPTED.load(Ordering::Relaxed)
    }
}

impl Server {
    fn run(&mut self, plain: &TcpListener, tls: &TcpListener) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            let next = self.timers.peek().map(|Reverse((at, ..))| *at);
            let timeout = next.map(|at| at.saturating_duration_since(Instant::now()));
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                Err(_) | Ok(()) => {}
            }
            for event in &events {
                match event.token() {
                    PLAIN => self.accept(plain, false)?,
                    TLS => self.accept(tls, true)?,
                    Token(slot) => self.serve(slot),
                }
            }
            self.fire();
        }
    }

    fn accept(&mut self, listener: &TcpListener, secure: bool) -> io::Result<()> {
        while let Ok((socket, _)) = listener.accept() {
            let _ = socket.set_nodelay(true);
            let mut wire = match secure {
                false => Wire::Plain(socket),
                true => Wire::tls(socket, &self.tls),
            };
            let entry = self.visitors.vacant_entry();
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll
                .registry()
                .register(wire.socket(), Token(entry.key()), both)?;
            self.visits += 1;
            ACCEPTED.store(self.visits, Ordering::Relaxed);
            entry.insert(Visitor {
                wire,
                visit: self.visits,
                input: Vec::new(),
                output: Vec::new(),
                sent: 0,
                doing: Doing::Reading,
                timer_at: None,
            });
        }
        Ok(())
    }

    /// Serves the streams whose next event is due.
    fn fire(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((at, slot, visit))) = self.timers.peek().copied() {
            if at > now {
                return;
            }
            self.timers.pop();
            if self
                .visitors
                .get(slot)
                .is_some_and(|visitor| visitor.visit == visit)
            {
                self.serve(slot);
            }
        }
    }

    fn serve(&mut self, slot: usize) {
        let Some(visitor) = self.visitors.get_mut(slot) else {
            return;
        };
        match visitor.serve(&self.event, &mut self.scratch) {
            Ok(Some(at)) if visitor.timer_at != Some(at) => {
                visitor.timer_at = Some(at);
                self.timers.push(Reverse((at, slot, visitor.visit)));
            }
            Ok(_) => {}
            Err(_) => drop(self.visitors.remove(slot)),
        }
    }
}

impl Visitor {
    /// Does what can be done; returns the time at which more can be.
    fn serve(&mut self, event: &[u8], space: &mut [u8]) -> io::Result<Option<Instant>> {
        loop {
            let blocked = self.send()?;
            let read = match self.wire.read(space) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.take(&space[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
                Err(error) => return Err(error),
            };
            let due = (!blocked).then(|| self.produce(event)).flatten();
            if due.is_some() && self.output.is_empty() || blocked && !read {
                return Ok(due);
            }
            if !read && self.output.is_empty() {
                return Ok(None);
            }
        }
    }

    /// Sends the output; returns whether the peer takes no more for now.
    fn send(&mut self) -> io::Result<bool> {
        while self.sent < self.output.len() {
            match self.wire.write(&self.output[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.sent = 0;
        match self.wire.flush() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            other => other.map(|()| false),
        }
    }

    fn take(&mut self, bytes: &[u8]) -> bool {
        match &mut self.doing {
            Doing::Taking(left) => {
                *left = left.saturating_sub(bytes.len() as u64);
                if *left == 0 {
                    self.doing = Doing::Reading;
                    self.answer("/");
                }
            }
            _ => {
                self.input.extend_from_slice(bytes);
                self.begin();
            }
        }
        true
    }

    /// Reads a request's head once it is complete.
    fn begin(&mut self) {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut fields);
        let Ok(httparse::Status::Complete(head)) = request.parse(&self.input) else {
            return;
        };
        let length = request
            .headers
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case("content-length"))
            .and_then(|field| std::str::from_utf8(field.value).ok()?.parse().ok())
            .unwrap_or(0u64);
        let path = request.path.unwrap_or("/").to_string();
        let left = length.saturating_sub((self.input.len() - head) as u64);
        self.input.clear();
        match left {
            0 => self.answer(&path),
            left => self.doing = Doing::Taking(left),
        }
    }

    fn answer(&mut self, path: &str) {
        let number = |text: &str| text.parse::<u64>().unwrap_or(0);
        let parts: Vec<&str> = path.rsplit('/').collect();
        let (kind, framing) = match parts[..] {
            [every, count, "events", ..] => {
                self.doing = Doing::Streaming {
                    left: number(count),
                    every: Duration::from_micros(number(every)),
                    next: Instant::now(),
                };
                (
                    "text/event-stream",
                    "Transfer-Encoding: chunked".to_string(),
                )
            }
            [count, "bytes", ..] => {
                self.doing = Doing::Giving(number(count));
                (
                    "application/octet-stream",
                    format!("Content-Length: {}", number(count)),
                )
            }
            _ => (
                "application/json",
                format!("Content-Length: {}", ANSWER.len()),
            ),
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: {kind}\r\n{framing}\r\n\
             x-request-id: req_0123456789abcdef\r\nopenai-processing-ms: 12\r\n\r\n"
        );
        self.output.extend_from_slice(head.as_bytes());
        if kind == "application/json" {
            self.output.extend_from_slice(ANSWER.as_bytes());
        }
    }

    /// Puts more of the answer into the output, which is empty or holds a head; returns the time at which more is due.
    fn produce(&mut self, event: &[u8]) -> Option<Instant> {
        match &mut self.doing {
            Doing::Reading | Doing::Taking(_) | Doing::Giving(0) => {
                if let Doing::Giving(0) = self.doing {
                    self.doing = Doing::Reading;
                }
                None
            }
            Doing::Giving(left) => {
                let count = (*left).min(PIECE_BYTES as u64);
                *left -= count;
                self.output.resize(self.output.len() + count as usize, b'x');
                None
            }
            Doing::Streaming { left: 0, .. } => {
                self.output
                    .extend_from_slice(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n");
                self.doing = Doing::Reading;
                None
            }
            Doing::Streaming { left, every, next } => {
                if *next <= Instant::now() {
                    self.output.extend_from_slice(event);
                    *left -= 1;
                    *next += *every;
                }
                Some(*next)
            }
        }
    }
}
