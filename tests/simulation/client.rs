//! One client: what it sends and when, and what it requires of the answers.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ai_api_proxy::base::now::Now;

use super::answers::{Answers, Final};
use super::ledger::Ledger;
use super::plan::{Flaw, Request};
use super::random::Random;
use super::server::Server;
use super::wire::{End, Got, Shared};

/// A longer pause runs into time limits that cost answers, which is then no fault of the proxy.
const PROMPT: Duration = Duration::from_secs(4);

/// Within this time a request must make progress, whatever its platforms do: tries are few, and each is limited.
const PATIENCE: Duration = Duration::from_secs(20 * 60);

pub struct Client {
    pub address: IpAddr,
    requests: Vec<Request>,
    /// How many of the requests have been completed.
    done: usize,
    line: Option<Line>,
    manner: Manner,
    wakes_at: Option<Instant>,
    /// It was slow, or time has jumped: answers may be missing or cut short.
    is_excused: bool,
    has_gone: bool,
    random: Random,
}

/// How a client behaves.
struct Manner {
    /// Requests that it sends before the first is answered.
    pipelined: usize,
    /// The most bytes that it sends and takes at once.
    sends_max: usize,
    takes_max: usize,
    pauses_percent: u64,
    pause_max: usize,
    /// It leaves after this many bytes, sent and received together.
    leaves_after: Option<usize>,
    waits_at_end: bool,
}

/// One of its connections.
struct Line {
    wire: Shared,
    outgoing: VecDeque<u8>,
    /// The first request that has not begun on it.
    next: usize,
    /// A body that waits for a 100, and until when it waits.
    gate: Option<(Vec<u8>, Instant)>,
    answers: Answers,
    moved_bytes: usize,
    /// When bytes last moved.
    active_at: Instant,
    /// The proxy may close it before the next answer.
    may_close: bool,
}

impl Client {
    pub fn draw(
        number: usize,
        has_faults: bool,
        ledger: &mut Ledger,
        random: &mut Random,
    ) -> Client {
        let mut random = random.fork();
        let count = random.between(1, 5);
        let requests: Vec<Request> = (0..count)
            .map(|place| Request::draw(number, place, has_faults, &mut random))
            .collect();
        for request in &requests {
            ledger.add_request(request);
        }
        let leaves = has_faults && random.percent(20);
        let manner = Manner {
            pipelined: random.pick(&[0, 0, 1, 4]),
            sends_max: random.pick(&[20, 1_000, 100_000, 100_000]),
            takes_max: random.pick(&[50, 1_000, 100_000, 100_000]),
            pauses_percent: random.pick(&[0, 0, 2, 20]),
            pause_max: match has_faults && random.percent(15) {
                true => 70_000,
                false => random.pick(&[5, 500]),
            },
            leaves_after: leaves.then(|| random.size(100_000)),
            waits_at_end: random.percent(30),
        };
        Client {
            address: IpAddr::from([10, 0, 0, number as u8]),
            requests,
            done: 0,
            line: None,
            manner,
            wakes_at: None,
            is_excused: false,
            has_gone: false,
            random,
        }
    }

    pub fn has_gone(&self) -> bool {
        self.has_gone
    }

    pub fn wakes_at(&self) -> Option<Instant> {
        let gate = self.line.as_ref().and_then(|line| line.gate.as_ref());
        let gate_at = gate.map(|(_, until)| *until);
        self.wakes_at.or(gate_at).filter(|_| !self.has_gone)
    }

    /// Time has jumped: anything under way may be given up.
    pub fn excuse(&mut self) {
        self.is_excused = true;
    }

    /// In words, for a failure.
    pub fn describe(&self) -> String {
        let request = self.requests.get(self.done).map(|request| {
            (
                &request.id,
                request.method,
                request.is_http10,
                request.flaw,
                request.expects,
            )
        });
        let rest = self
            .line
            .as_ref()
            .map(|line| (line.outgoing.len(), line.next, line.may_close));
        format!(
            "{} of {} done, at {request:?}, line {rest:?}",
            self.done,
            self.requests.len()
        )
    }

    /// Does what it can; returns whether anything happened.
    pub fn act(&mut self, server: &mut Server, ledger: &mut Ledger, now: Now) -> bool {
        if self.has_gone || self.wakes_at.is_some_and(|at| now.instant < at) {
            return false;
        }
        self.wakes_at = None;
        if self.random.percent(self.manner.pauses_percent) {
            let pause = self.random.milliseconds(1, self.manner.pause_max);
            self.is_excused |= pause > PROMPT;
            self.wakes_at = Some(now.instant + pause);
            return true;
        }
        if self.line.is_none() {
            if self.done == self.requests.len() {
                self.has_gone = true;
                return true;
            }
            let wire = server.accept(self.address, now);
            log::trace!("client: connects for {}", self.requests[self.done].id);
            self.line = Some(Line::new(wire, self.done, now));
            return true;
        }
        let acted = self.send(now) | self.take(ledger, now);
        self.leave_if_due(ledger) || acted
    }

    fn send(&mut self, now: Now) -> bool {
        let Some(line) = &mut self.line else {
            return false;
        };
        if line
            .gate
            .as_ref()
            .is_some_and(|(_, until)| *until <= now.instant)
        {
            line.open_gate();
        }
        let may_begin = line.next < self.requests.len()
            && line.next <= self.done + self.manner.pipelined
            && line.gate.is_none()
            && !line.answers.is_last();
        if may_begin && (line.outgoing.is_empty() || self.manner.pipelined > 0) {
            line.begin(&self.requests[line.next], now);
        }
        let max = self
            .random
            .between(1, line.piece_max(self.manner.sends_max));
        let count = line.outgoing.len().min(max);
        let bytes: Vec<u8> = line.outgoing.iter().take(count).copied().collect();
        let sent = line.wire.borrow_mut().send(&bytes);
        line.outgoing.drain(..sent);
        line.note_moved(sent, now);
        sent > 0
    }

    fn take(&mut self, ledger: &mut Ledger, now: Now) -> bool {
        let Some(line) = &mut self.line else {
            return false;
        };
        let max = self
            .random
            .between(1, line.piece_max(self.manner.takes_max));
        let got = line.wire.borrow_mut().receive(max);
        let silence = now.instant.duration_since(line.active_at);
        assert!(
            self.is_excused || silence < PATIENCE,
            "nothing for {silence:?}: {}",
            self.describe()
        );
        let Some(line) = &mut self.line else {
            return false;
        };
        match got {
            Got::Nothing => false,
            Got::Bytes(bytes) => {
                line.note_moved(bytes.len(), now);
                line.answers.unread.extend(bytes);
                self.read_answers(ledger, now);
                true
            }
            Got::End(end) => {
                self.on_end(end, ledger, now);
                true
            }
        }
    }

    fn read_answers(&mut self, ledger: &mut Ledger, now: Now) {
        while let Some(line) = &mut self.line {
            let Some(request) = self
                .requests
                .get(self.done)
                .filter(|_| self.done < line.next)
            else {
                assert!(line.answers.unread.is_empty(), "an answer to nothing");
                return;
            };
            let answer = line.answers.read(request);
            if line.answers.had_interim() {
                line.open_gate();
            }
            let Some(answer) = answer else {
                return;
            };
            self.finish_request(&answer, ledger, now);
        }
    }

    /// An answer has arrived, whole by its framing.
    fn finish_request(&mut self, answer: &Final, ledger: &mut Ledger, now: Now) {
        let request = self.requests[self.done].clone();
        log::trace!(
            "client: {} got {} {:?}",
            request.id,
            answer.status,
            answer.proxy_error
        );
        check_answer(&request, answer, ledger);
        // What timed out may be a head, which is not counted, or a body that followed a head.
        let came_late = answer.proxy_error.as_deref() == Some("request_timeout");
        match came_late && ledger.requests[&request.id].tries == 0 {
            true => ledger.doubtful += 1,
            false => ledger.counted += u64::from(request.is_counted()),
        }
        ledger.answered += 1;
        self.done += 1;
        let Some(line) = &mut self.line else {
            return;
        };
        // The gate belongs to the last request that was begun.
        let is_last_begun = line.next <= self.done;
        let was_gated = is_last_begun && line.gate.is_some();
        let came_early = match &answer.tag {
            Some(tag) => ledger.answer(tag).is_early,
            None => !request.body_bytes.is_empty(),
        };
        if came_early || !line.outgoing.is_empty() {
            // The answer came before the request was sent completely: the rest may cost the connection.
            line.may_close = true;
        }
        if answer.closes || was_gated {
            line.may_close = true;
            if was_gated || self.random.percent(60) {
                self.hang_up();
            }
        } else if self.done == self.requests.len() && !self.manner.waits_at_end {
            self.hang_up();
        } else if self.random.percent(5) {
            self.wakes_at = Some(now.instant + self.random.milliseconds(1, 3_000));
        }
    }

    fn hang_up(&mut self) {
        if let Some(line) = self.line.take() {
            line.wire.borrow_mut().close();
        }
    }

    /// The proxy has ended the connection.
    fn on_end(&mut self, end: End, ledger: &mut Ledger, now: Now) {
        let Some(line) = &mut self.line else {
            return;
        };
        let request = self
            .requests
            .get(self.done)
            .filter(|_| self.done < line.next)
            .cloned();
        log::trace!(
            "client: {:?} ends by {end:?}",
            request.as_ref().map(|request| &request.id)
        );
        if request.is_some()
            && let Some(answer) = line.answers.end(end)
        {
            self.finish_request(&answer, ledger, now);
        } else if let Some(request) = request {
            self.on_missing(&request, end, ledger);
        }
        self.hang_up();
    }

    /// The connection ended within an answer or before it.
    fn on_missing(&mut self, request: &Request, end: End, ledger: &mut Ledger) {
        let Some(line) = &self.line else {
            return;
        };
        let was_asked = ledger.requests[&request.id].tries > 0;
        // An answer that is cut short takes earlier ones along that have not left yet.
        let begun = &self.requests[self.done..line.next];
        let platform_cut = begun.iter().any(|request| {
            ledger
                .last_answer(&request.id)
                .is_some_and(|answer| !answer.is_whole)
        });
        if !self.is_excused {
            // The requests behind it may have been answered, even by the proxy itself, and will be asked again.
            ledger.doubtful += begun.len().saturating_sub(1) as u64;
        }
        let client_cut =
            request.flaw == Some(Flaw::ChunkSize) || request.content.len() > ledger.body_bytes_max;
        if self.is_excused {
            // Those behind it may have been served, too, with their answers lost.
            ledger.doubtful += (line.next - self.done) as u64;
        }
        // A client that sends more after a last answer and takes that answer slowly may lose it to the reset.
        let outlived_linger =
            end == End::Reset && self.manner.pauses_percent > 0 && line.next > self.done + 1;
        let may_miss = outlived_linger || self.is_excused || (line.may_close && !was_asked);
        if line.answers.has_begun() || was_asked {
            assert!(
                platform_cut || client_cut || may_miss,
                "{}: a whole answer was cut off by {end:?}: {} at {}",
                request.id,
                self.describe(),
                line.answers.describe()
            );
            log::trace!("client: {} was cut off", request.id);
            ledger.cut += 1;
            ledger.counted += u64::from(was_asked);
            ledger.doubtful += u64::from(!was_asked);
            self.done += 1;
        } else {
            assert!(
                may_miss,
                "{}: no answer, {end:?}: {}",
                request.id,
                self.describe()
            );
            // The request was not read: another connection may do better.
            self.done += usize::from(self.is_excused);
        }
    }

    fn leave_if_due(&mut self, ledger: &mut Ledger) -> bool {
        let Some(line) = &self.line else {
            return false;
        };
        if self
            .manner
            .leaves_after
            .is_none_or(|bytes| line.moved_bytes < bytes)
        {
            return false;
        }
        let mut wire = line.wire.borrow_mut();
        log::trace!(
            "client: leaves at {:?}",
            self.requests.get(self.done).map(|r| &r.id)
        );
        match self.random.between(0, 2) {
            0 => wire.close(),
            1 => wire.finish(),
            _ => wire.reset(),
        }
        drop(wire);
        ledger.doubtful += (line.next - self.done) as u64;
        self.has_gone = true;
        true
    }
}

impl Line {
    fn new(wire: Shared, next: usize, now: Now) -> Line {
        Line {
            wire,
            outgoing: VecDeque::new(),
            next,
            gate: None,
            answers: Answers::default(),
            moved_bytes: 0,
            active_at: now.instant,
            may_close: false,
        }
    }

    fn note_moved(&mut self, bytes: usize, now: Now) {
        self.moved_bytes += bytes;
        if bytes > 0 {
            self.active_at = now.instant;
        }
    }

    /// Small pieces at first; a long body in such pieces would take too many turns.
    fn piece_max(&self, max: usize) -> usize {
        match self.moved_bytes < 5_000 {
            true => max,
            false => max.max(5_000),
        }
    }

    fn begin(&mut self, request: &Request, now: Now) {
        self.next += 1;
        self.outgoing.extend(&request.head_bytes);
        match request.expects && !request.body_bytes.is_empty() {
            true => {
                let until = now.instant + Duration::from_secs(2);
                self.gate = Some((request.body_bytes.clone(), until));
            }
            false => self.outgoing.extend(&request.body_bytes),
        }
    }

    fn open_gate(&mut self) {
        if let Some((body, _)) = self.gate.take() {
            self.outgoing.extend(body);
        }
    }
}

/// Asserts that the answer is the proxy's own, or the platform's to the last try, to the last byte.
fn check_answer(request: &Request, answer: &Final, ledger: &mut Ledger) {
    let id = &request.id;
    let Some(tag) = &answer.tag else {
        assert!(
            answer.proxy_error.is_some(),
            "{id}: an answer of nobody's: {answer:?}"
        );
        assert!(ledger.has_faults, "{id}: {answer:?} without a fault");
        assert!(
            answer.status >= 400 && answer.content.starts_with(b"{") || request.method == "HEAD"
        );
        return;
    };
    assert_eq!(
        answer.proxy_error, None,
        "{id}: both the platform's and the proxy's"
    );
    assert_eq!(
        Some(tag),
        ledger.requests[id].last.as_ref(),
        "{id}: not the last try's"
    );
    let meant = ledger.answer(tag);
    assert_eq!(answer.status, meant.status, "{id}");
    assert!(
        answer.content == meant.content,
        "{id}: {} bytes look whole, {} were meant (whole: {})",
        answer.content.len(),
        meant.content.len(),
        meant.is_whole
    );
    assert!(ledger.has_faults || answer.status == 200);
    ledger.answered_by_platform += 1;
}
