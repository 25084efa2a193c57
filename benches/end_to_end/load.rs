//! A load generator: the connections of one thread, each with one request at a time. It counts and does not judge.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use ai_api_proxy::http::Framing;
use ai_api_proxy::http::body::{Decoded, Decoder};
use ai_api_proxy::http::field::Storage;
use ai_api_proxy::http::malformed::Malformed;
use ai_api_proxy::http::response::{self, Asked};
use ai_api_proxy::http::scan::HeadScan;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

const READ_BYTES: usize = 64 * 1024;

/// Clients of one entry.
pub struct Crowd {
    poll: Poll,
    clients: Vec<Option<Client>>,
    request: Vec<u8>,
    scratch: Vec<u8>,
}

/// The result of one run.
#[derive(Default)]
pub struct Tally {
    pub requests: u64,
    /// Connections that broke, and answers with another status than 200.
    pub failures: u64,
    pub latencies: Vec<Duration>,
    /// Bytes of the requests, and of the content of the answers.
    pub sent_bytes: u64,
    pub content_bytes: u64,
    /// Line feeds in the content: an event of the platform has two.
    line_feeds: u64,
    pub took: Duration,
}

struct Client {
    socket: TcpStream,
    input: Vec<u8>,
    /// How much of the request has been sent.
    sent: usize,
    since: Instant,
    stage: Stage,
}

enum Stage {
    Head,
    Body(Decoder),
}

impl Tally {
    pub fn events(&self) -> u64 {
        self.line_feeds / 2
    }

    pub fn per_second(&self) -> f64 {
        self.requests as f64 / self.took.as_secs_f64()
    }

    /// The latency that `share` of the requests do not exceed.
    pub fn latency(&mut self, share: f64) -> Option<Duration> {
        self.latencies.sort_unstable();
        let place = (self.latencies.len() as f64 * share) as usize;
        self.latencies.get(place).or(self.latencies.last()).copied()
    }
}

impl Crowd {
    /// Connects `count` clients; each sends `request` repeatedly.
    ///
    /// # Errors
    /// When a connection is refused.
    pub fn connect(port: u16, request: &[u8], count: usize) -> io::Result<Crowd> {
        let poll = Poll::new()?;
        let mut clients = Vec::with_capacity(count);
        for place in 0..count {
            let socket = std::net::TcpStream::connect(("127.0.0.1", port))?;
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            let mut socket = TcpStream::from_std(socket);
            let both = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut socket, Token(place), both)?;
            clients.push(Some(Client {
                socket,
                input: Vec::new(),
                sent: 0,
                since: Instant::now(),
                stage: Stage::Head,
            }));
        }
        Ok(Crowd {
            poll,
            clients,
            request: request.to_vec(),
            scratch: vec![0; READ_BYTES],
        })
    }

    /// Has each client send its first request, which is small, and read nothing.
    ///
    /// # Errors
    /// When a connection breaks.
    pub fn ask(&mut self) -> io::Result<()> {
        let mut tally = Tally::default();
        let mut clients = self.clients.iter_mut().flatten();
        clients.try_for_each(|client| client.send(&self.request, &mut tally))
    }

    /// Lets the clients work for this long.
    ///
    /// # Errors
    /// When the poll fails.
    pub fn run(&mut self, span: Duration) -> io::Result<Tally> {
        self.run_until(span, |_| false)
    }

    /// As [`Crowd::run`], but ends early when `enough` accepts the tally.
    ///
    /// # Errors
    /// When the poll fails.
    pub fn run_until(
        &mut self,
        span: Duration,
        enough: impl Fn(&Tally) -> bool,
    ) -> io::Result<Tally> {
        let mut events = Events::with_capacity(1024);
        let mut tally = Tally::default();
        let started = Instant::now();
        loop {
            let left = span.saturating_sub(started.elapsed());
            if left.is_zero() || enough(&tally) {
                break;
            }
            match self.poll.poll(&mut events, Some(left)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                Err(_) | Ok(()) => {}
            }
            for event in &events {
                let place = event.token().0;
                let Some(client) = &mut self.clients[place] else {
                    continue;
                };
                if let Err(error) = client.drive(&self.request, &mut self.scratch, &mut tally)
                    && error.kind() != io::ErrorKind::WouldBlock
                {
                    tally.failures += 1;
                    self.clients[place] = None;
                }
            }
        }
        tally.took = started.elapsed();
        Ok(tally)
    }
}

impl Client {
    /// Continues until the socket would block.
    fn drive(&mut self, request: &[u8], scratch: &mut [u8], tally: &mut Tally) -> io::Result<()> {
        loop {
            match self.send(request, tally) {
                // An answer may come before the request has left.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => other?,
            }
            let count = self.socket.read(scratch)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.take(&scratch[..count], request.len(), tally)?;
        }
    }

    fn send(&mut self, request: &[u8], tally: &mut Tally) -> io::Result<()> {
        while self.sent < request.len() {
            if self.sent == 0 {
                self.since = Instant::now();
            }
            let count = self.socket.write(&request[self.sent..])?;
            self.sent += count;
            tally.sent_bytes += count as u64;
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8], request_bytes: usize, tally: &mut Tally) -> io::Result<()> {
        if self.input.is_empty() && !matches!(self.stage, Stage::Head) {
            return self.take_body(bytes, request_bytes, tally);
        }
        // What is left of a head or of a framing line precedes the new bytes.
        let mut joined = std::mem::take(&mut self.input);
        joined.extend_from_slice(bytes);
        if let Stage::Head = self.stage {
            let Some(range) = HeadScan::default().response(&joined).map_err(broken)? else {
                self.input = joined;
                return Ok(());
            };
            let framing = read_head(&joined[range.clone()])?;
            self.stage = Stage::Body(Decoder::new(framing));
            joined.drain(..range.end);
        }
        self.take_body(&joined, request_bytes, tally)
    }

    fn take_body(
        &mut self,
        mut bytes: &[u8],
        request_bytes: usize,
        tally: &mut Tally,
    ) -> io::Result<()> {
        let Stage::Body(decoder) = &mut self.stage else {
            unreachable!("a head was read before");
        };
        while !decoder.is_done() {
            match decoder.decode(bytes).map_err(broken)? {
                Decoded::Data { consumed, data, .. } => {
                    tally.content_bytes += data.len() as u64;
                    tally.line_feeds += data.iter().filter(|byte| **byte == b'\n').count() as u64;
                    bytes = &bytes[consumed..];
                }
                Decoded::Skip { consumed } | Decoded::Trailers { consumed, .. } => {
                    bytes = &bytes[consumed..];
                }
                Decoded::End => break,
                Decoded::NeedMore => {
                    self.input.extend_from_slice(bytes);
                    return Ok(());
                }
            }
        }
        match self.sent == request_bytes {
            true => {
                self.begin_again(tally);
                Ok(())
            }
            false => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn begin_again(&mut self, tally: &mut Tally) {
        tally.requests += 1;
        tally.latencies.push(self.since.elapsed());
        self.sent = 0;
        self.stage = Stage::Head;
    }
}

fn read_head(head: &[u8]) -> io::Result<Framing> {
    let mut storage = Storage::EMPTY;
    match response::parse(head, &mut storage, Asked::Other) {
        Ok(head) if head.status == 200 => Ok(head.framing),
        Ok(_) | Err(_) => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn broken(_: Malformed) -> io::Error {
    io::ErrorKind::InvalidData.into()
}
