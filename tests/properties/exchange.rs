//! The whole exchange: the real sessions and policy between two clients and platforms that send any bytes at any time.
//! What goes upstream is whole requests, strictly well-formed, nothing of one client reaches the other, and in the end
//! nothing is left over.

use std::net::IpAddr;
use std::time::Duration;

use ai_api_proxy::base::now::Now;

use super::input::{choices, now, steps};
use super::plan::PLATFORMS;
use super::random::Random;
use super::reader::{Body, Head};
use super::server::Server;
use super::wire::{Got, Shared};

/// The most turns for one step; more is an endless loop.
const TURNS_MAX: usize = 20_000;

/// The most steps that are taken of an input, and the most bytes of one of them after repetition.
const STEPS_MAX: usize = 64;
const STEP_BYTES_MAX: usize = 100_000;

/// The time within which an ordinary dial succeeds or fails.
const DIAL: Duration = Duration::from_millis(300);

/// Replaced by the sender's mark in what is sent. Nothing else that is sent contains `~`.
const PLACEHOLDER: &[u8] = b"@@";

/// The two clients' marks.
const MARKS: [&[u8]; 2] = [b"~a~", b"~b~"];
const MARK_OF_NOBODY: &[u8] = b"~-~";

/// `data`: the random seed, then steps. `a` and `b` send as the clients, `p` and `q` as the newest and the oldest
/// connection to a platform; `A`, `B`, `P`, `Q` end these in order and `x`, `y`, `r`, `s` reset them. `w` lets time
/// pass, `n` has the next step's bytes sent several times, `m` says who reads.
pub fn check(mut data: &[u8]) {
    let [low, high] = choices(&mut data);
    let mut world = World::new(u64::from(low) + 256 * u64::from(high));
    for (kind, bytes) in steps(data).take(STEPS_MAX) {
        world.take_step(kind, bytes);
        world.settle();
    }
    world.end();
}

struct World {
    server: Server,
    random: Random,
    now: Now,
    clients: [Client; 2],
    platforms: Vec<Platform>,
    platforms_read: bool,
    repeat: usize,
}

#[derive(Default)]
struct Client {
    wire: Option<Shared>,
    unsent: Vec<u8>,
    received: Vec<u8>,
    is_deaf: bool,
}

/// The platform's end of a connection.
struct Platform {
    wire: Shared,
    unsent: Vec<u8>,
    unread: Vec<u8>,
    request: Option<Request>,
    /// Something has been sent since the last request came.
    has_answered: bool,
    /// How many more times something was sent: it may answer requests that have not been read yet.
    answers_ahead: usize,
    /// Both sides may have switched to another protocol.
    is_switched: bool,
    has_ended: bool,
}

/// What has come of a request.
struct Request {
    body: Body,
    content: Vec<u8>,
    owner: Option<usize>,
    offers_switch: bool,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Random::new(seed);
        let now = now();
        World {
            server: Server::new(2, seed & 1 == 1, &mut random, now),
            random,
            now,
            clients: Default::default(),
            platforms: Vec::new(),
            platforms_read: true,
            repeat: 1,
        }
    }

    fn take_step(&mut self, kind: u8, bytes: &[u8]) {
        let choice = bytes.first().copied().unwrap_or_default();
        match kind {
            b'a' => self.send_as_client(0, bytes),
            b'b' => self.send_as_client(1, bytes),
            b'A' => self.clients[0].leave(|wire| wire.borrow_mut().finish()),
            b'B' => self.clients[1].leave(|wire| wire.borrow_mut().finish()),
            b'x' => self.clients[0].leave(|wire| wire.borrow_mut().reset()),
            b'y' => self.clients[1].leave(|wire| wire.borrow_mut().reset()),
            b'p' | b'q' => {
                let bytes = self.repeated(bytes);
                if let Some(platform) = self.platform(kind == b'p') {
                    platform.send(&bytes);
                }
            }
            b'P' | b'Q' | b'r' | b's' => {
                if let Some(platform) = self.platform(matches!(kind, b'P' | b'r')) {
                    platform.end(matches!(kind, b'r' | b's'));
                }
            }
            b'w' => {
                // Up to a day and a half.
                let time = Duration::from_millis(1 << (choice % 28));
                self.now = self.now.after(time);
            }
            b'n' => self.repeat = 1 << (choice % 12),
            b'm' => {
                self.clients[0].is_deaf = choice & 1 != 0;
                self.clients[1].is_deaf = choice & 2 != 0;
                self.platforms_read = choice & 4 == 0;
            }
            _ => {}
        }
    }

    fn repeated(&mut self, bytes: &[u8]) -> Vec<u8> {
        let times = std::mem::replace(&mut self.repeat, 1);
        let mut bytes = bytes.repeat(times.min(STEP_BYTES_MAX / bytes.len().max(1) + 1));
        bytes.truncate(STEP_BYTES_MAX);
        bytes
    }

    fn send_as_client(&mut self, place: usize, bytes: &[u8]) {
        let bytes = self.repeated(bytes);
        let has_wire = self.clients[place].wire.is_some();
        if !has_wire {
            // A client from outside: the proxy's private pages are closed to it.
            let address = IpAddr::from([203, 0, 113, place as u8]);
            let wire = self.server.accept(address, self.now);
            self.clients[place].wire = Some(wire);
        }
        let marked = marked(&bytes, MARKS[place]);
        self.clients[place].unsent.extend(marked);
    }

    /// The newest connection that is open, or the oldest.
    fn platform(&mut self, newest: bool) -> Option<&mut Platform> {
        let mut open = self.platforms.iter_mut().filter(|end| !end.has_ended);
        match newest {
            true => open.next_back(),
            false => open.next(),
        }
    }

    /// Lets everyone act until nothing moves; meanwhile ordinary dials succeed or fail.
    fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            if self.turn() {
                continue;
            }
            let dial_at = self.server.network.deadline();
            let Some(at) = dial_at.filter(|at| *at <= self.now.instant + DIAL) else {
                return;
            };
            let wait = at.saturating_duration_since(self.now.instant);
            self.now = self.now.after(wait.max(Duration::from_millis(1)));
        }
        panic!("no end after {TURNS_MAX} turns");
    }

    /// Runs one turn; returns whether anything happened, or could.
    fn turn(&mut self) -> bool {
        let mut acted = false;
        for client in &mut self.clients {
            acted |= client.act();
        }
        for arrival in std::mem::take(&mut self.server.network.backlog) {
            self.platforms.push(Platform::new(arrival.wire));
        }
        for platform in &mut self.platforms {
            acted |= platform.act(self.platforms_read);
        }
        acted |= self.server.turn(&mut self.random, self.now);
        acted || self.server.has_work()
    }

    /// Everyone leaves, and all that is under way ends in time.
    fn end(mut self) {
        self.platforms_read = true;
        for client in &mut self.clients {
            client.is_deaf = false;
        }
        self.settle();
        for client in &mut self.clients {
            client.leave(|wire| wire.borrow_mut().close());
        }
        self.settle();
        for _ in 0..TURNS_MAX {
            if self.server.scheduler.is_empty() {
                break;
            }
            let at = self.server.deadline().expect("a session has a deadline");
            let wait = at.saturating_duration_since(self.now.instant);
            self.now = self.now.after(wait + Duration::from_millis(1));
            self.settle();
        }
        self.server.check_settled(self.now);
        for (place, client) in self.clients.iter().enumerate() {
            let foreign = MARKS[1 - place];
            assert!(
                !holds(&client.received, foreign),
                "a client got another's: {}",
                client.received.escape_ascii()
            );
        }
    }
}

impl Client {
    fn act(&mut self) -> bool {
        let Some(wire) = &self.wire else {
            return false;
        };
        let mut wire = wire.borrow_mut();
        let sent = match self.unsent.is_empty() {
            true => 0,
            false => wire.send(&self.unsent),
        };
        self.unsent.drain(..sent);
        if self.is_deaf {
            return sent > 0;
        }
        match wire.receive(usize::MAX) {
            Got::Bytes(bytes) => {
                self.received.extend(bytes);
                true
            }
            Got::Nothing => sent > 0,
            Got::End(_) => {
                drop(wire);
                self.leave(|wire| wire.borrow_mut().close());
                true
            }
        }
    }

    /// Ends the connection; the next bytes begin a new one.
    fn leave(&mut self, end: impl FnOnce(&Shared)) {
        if let Some(wire) = self.wire.take() {
            end(&wire);
        }
        self.unsent.clear();
    }
}

impl Platform {
    fn new(wire: Shared) -> Platform {
        // If a read split two answers, the second would arrive while the connection waits for another request, where it
        // cannot be told from the answer to that.
        wire.borrow_mut().become_smooth();
        Platform {
            wire,
            unsent: Vec::new(),
            unread: Vec::new(),
            request: None,
            has_answered: false,
            answers_ahead: 0,
            is_switched: false,
            has_ended: false,
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        let owner = self.request.as_ref().and_then(|request| request.owner);
        let mark = owner.map_or(MARK_OF_NOBODY, |owner| MARKS[owner]);
        self.unsent.extend(marked(bytes, mark));
        match self.request.is_some() && !self.has_answered {
            true => self.has_answered = true,
            false => self.answers_ahead += 1,
        }
        self.is_switched |= self
            .request
            .as_ref()
            .is_some_and(|request| request.offers_switch);
    }

    fn end(&mut self, resets: bool) {
        let mut wire = self.wire.borrow_mut();
        match resets {
            true => wire.reset(),
            false => wire.finish(),
        }
        drop(wire);
        self.has_ended = true;
        self.unsent.clear();
    }

    fn act(&mut self, reads: bool) -> bool {
        let mut acted = false;
        if !self.unsent.is_empty() {
            let sent = self.wire.borrow_mut().send(&self.unsent);
            self.unsent.drain(..sent);
            acted = sent > 0;
        }
        if !reads {
            return acted;
        }
        let got = self.wire.borrow_mut().receive(usize::MAX);
        match got {
            Got::Bytes(bytes) => {
                self.unread.extend(bytes);
                self.understand();
                true
            }
            Got::Nothing => acted,
            Got::End(_) if self.has_ended => acted,
            Got::End(_) => {
                self.wire.borrow_mut().close();
                self.has_ended = true;
                self.unsent.clear();
                true
            }
        }
    }

    /// Reads strictly what has come.
    fn understand(&mut self) {
        while !self.is_switched {
            let is_free = match &self.request {
                None => true,
                Some(request) => request.body.is_done() && self.has_answered,
            };
            if is_free && !self.unread.is_empty() {
                let Some(head) = Head::take(&mut self.unread) else {
                    return;
                };
                self.request = Some(Request::begin(&head));
                self.has_answered = self.answers_ahead > 0;
                self.answers_ahead = self.answers_ahead.saturating_sub(1);
            }
            let Some(request) = &mut self.request else {
                return;
            };
            request.body.read(&mut self.unread, &mut request.content);
            note_owner(&mut request.owner, &request.content);
            if !request.body.is_done() || self.unread.is_empty() {
                return;
            }
            assert!(
                self.has_answered,
                "behind a request without an answer: {}",
                self.unread.escape_ascii()
            );
        }
    }
}

impl Request {
    fn begin(head: &Head) -> Request {
        let parts: Vec<&str> = head.start.split(' ').collect();
        assert!(
            matches!(parts[..], [method, target, "HTTP/1.1"]
                if !method.is_empty() && target.starts_with("/base/v1")),
            "request line {:?}",
            head.start
        );
        let host = head.one("host").expect("a Host field");
        let (name, auth_header, auth_prefix) = PLATFORMS
            .into_iter()
            .find(|(name, ..)| host == format!("{name}.test"))
            .expect("a platform's host");
        let key = head.one(&auth_header.to_ascii_lowercase());
        let want = format!("{auth_prefix}platform-key-{name}-");
        assert!(key.is_some_and(|key| key.starts_with(&want)), "{head:?}");
        let mut owner = None;
        note_owner(&mut owner, format!("{head:?}").as_bytes());
        Request {
            body: head.framing().unwrap_or(Body::Length(0)),
            content: Vec::new(),
            owner,
            offers_switch: head.one("upgrade").is_some(),
        }
    }
}

/// Whose request it is, by the marks in it, all of which must be of one client.
fn note_owner(owner: &mut Option<usize>, bytes: &[u8]) {
    for (place, mark) in MARKS.iter().enumerate() {
        if owner.is_none_or(|owner| owner != place) && holds(bytes, mark) {
            assert_eq!(*owner, None, "two clients in one: {}", bytes.escape_ascii());
            *owner = Some(place);
        }
    }
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// `bytes` with the mark in place of each placeholder.
fn marked(bytes: &[u8], mark: &[u8]) -> Vec<u8> {
    let mut marked = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(&byte) = rest.first() {
        let step = match rest.strip_prefix(PLACEHOLDER) {
            Some(after) => {
                marked.extend_from_slice(mark);
                after
            }
            None => {
                marked.push(if byte == b'~' { b'-' } else { byte });
                &rest[1..]
            }
        };
        rest = step;
    }
    marked
}
