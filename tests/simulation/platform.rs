//! The platform's end of one connection: it checks what it is asked and answers by a script.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ai_api_proxy::base::now::Now;

use super::ledger::{Answer, Ledger};
use super::network::Arrival;
use super::plan::{PLATFORMS, Request};
use super::random::Random;
use super::reader::{Body, Head};
use super::script::{self, Action, Conduct, Ending};
use super::wire::{Got, Shared};

pub struct Platform {
    wire: Shared,
    conduct: Conduct,
    /// It is not a platform, and speaks without being asked.
    is_stranger: bool,
    unread: Vec<u8>,
    asked: Option<Asked>,
    script: VecDeque<Action>,
    /// Nothing happens before then.
    sleeps_until: Option<Instant>,
    /// It stops reading after this many bytes.
    deaf_after: usize,
    has_ended: bool,
    random: Random,
}

/// The request that is being read or answered.
struct Asked {
    /// None for a probe.
    request: Option<Request>,
    body: Body,
    content: Vec<u8>,
}

impl Platform {
    pub fn new(arrival: Arrival, conduct: Conduct, random: &mut Random) -> Platform {
        let is_deaf = matches!(conduct, Conduct::Anything) && random.percent(2);
        Platform {
            wire: arrival.wire,
            conduct,
            is_stranger: arrival.is_astray,
            unread: Vec::new(),
            asked: None,
            script: match arrival.is_astray {
                true => script::strange(random).into(),
                false => VecDeque::new(),
            },
            sleeps_until: None,
            deaf_after: if is_deaf {
                random.size(50_000)
            } else {
                usize::MAX
            },
            has_ended: false,
            random: random.fork(),
        }
    }

    pub fn wakes_at(&self) -> Option<Instant> {
        self.sleeps_until
    }

    /// Both sides have closed.
    pub fn is_over(&self) -> bool {
        self.has_ended && self.wire.borrow().proxy_has_closed
    }

    /// Does what it can; returns whether anything happened.
    pub fn act(&mut self, ledger: &mut Ledger, now: Now) -> bool {
        let mut acted = self.read();
        if !self.is_stranger && (!self.has_ended || !self.unread.is_empty()) {
            acted |= self.understand(ledger);
        }
        let is_drained = self.wire.borrow().is_drained();
        let does_anything = matches!(self.conduct, Conduct::Anything);
        if does_anything && self.is_idle() && is_drained && self.random.percent(1) {
            // It closes while the connection is idle in the pool.
            let ending = self
                .random
                .pick(&[Ending::Finish, Ending::Close, Ending::Reset]);
            self.end(ending);
            return true;
        }
        while !self.has_ended && self.go_on(now) {
            acted = true;
        }
        acted
    }

    fn is_idle(&self) -> bool {
        self.asked.is_none() && self.script.is_empty() && self.unread.is_empty() && !self.has_ended
    }

    fn read(&mut self) -> bool {
        if self.deaf_after == 0 || (self.has_ended && self.wire.borrow().proxy_has_closed) {
            return false;
        }
        let max = self.random.between(1, 50_000).min(self.deaf_after);
        let got = self.wire.borrow_mut().receive(max);
        match got {
            Got::Nothing => false,
            Got::Bytes(bytes) => {
                if self.deaf_after != usize::MAX {
                    self.deaf_after -= bytes.len();
                }
                self.unread.extend(bytes);
                true
            }
            Got::End(_) if self.has_ended => false,
            Got::End(_) => {
                self.end(Ending::Close);
                true
            }
        }
    }

    /// Reads on in the request, checking it.
    fn understand(&mut self, ledger: &mut Ledger) -> bool {
        if self.asked.is_none() {
            let Some(head) = Head::take(&mut self.unread) else {
                return false;
            };
            assert!(
                self.script.is_empty(),
                "a request before the former one was answered"
            );
            self.begin(&head, ledger);
        }
        let Some(asked) = &mut self.asked else {
            return false;
        };
        asked.body.read(&mut self.unread, &mut asked.content);
        if let Some(request) = &asked.request {
            let is_beginning = request.content.starts_with(&asked.content);
            assert!(is_beginning, "{}: other content than was sent", request.id);
            if asked.body.is_done() {
                let length = asked.content.len();
                assert_eq!(length, request.content.len(), "{}", request.id);
                assert!(length <= ledger.body_bytes_max, "{}: {length}", request.id);
            }
        }
        if !asked.body.is_done() {
            return false;
        }
        if self.script.is_empty() {
            // It was answered before it was read completely: what follows is the next request.
            self.asked = None;
            return !self.unread.is_empty();
        }
        assert!(
            self.unread.is_empty(),
            "{} bytes behind the request {:?}: {}",
            self.unread.len(),
            asked.request.as_ref().map(|request| &request.id),
            self.unread[..self.unread.len().min(300)].escape_ascii()
        );
        false
    }

    fn begin(&mut self, head: &Head, ledger: &mut Ledger) {
        check_secrets(head);
        let body = head.framing().unwrap_or(Body::Length(0));
        let is_head = head.start.starts_with("HEAD ");
        let Some(id) = head.one("x-sim-id") else {
            assert_eq!(head.start, "GET /base/v1/models HTTP/1.1");
            ledger.probes += 1;
            let tag = format!("probe{}", ledger.probes);
            let (script, _) = self.draw(&tag, false);
            self.take(None, body, script);
            return;
        };
        let (request, tag) = ledger.begin_try(id);
        let target = format!("{} /base/v1/r/{id} HTTP/1.1", request.method);
        assert_eq!(head.start, target);
        let (name, ..) = PLATFORMS[request.platform];
        assert_eq!(head.one("host"), Some(format!("{name}.test").as_str()));
        let (script, answer) = self.draw(&tag, is_head);
        log::trace!(
            "platform: {tag}: {} whole {}",
            answer.status,
            answer.is_whole
        );
        ledger.add_answer(tag, answer);
        self.take(Some(request), body, script);
    }

    fn draw(&mut self, tag: &str, is_head: bool) -> (Vec<Action>, Answer) {
        let (script, mut answer) = script::draw(self.conduct, tag, is_head, &mut self.random);
        answer.is_whole &= self.deaf_after == usize::MAX;
        (script, answer)
    }

    fn take(&mut self, request: Option<Request>, body: Body, script: Vec<Action>) {
        self.script = script.into();
        self.asked = Some(Asked {
            request,
            body,
            content: Vec::new(),
        });
        let sends_stray = |action: &Action| match action {
            Action::Send(bytes) => bytes.ends_with(b"stray"),
            Action::AwaitBody | Action::Wait(_) | Action::End(_) | Action::Silence => false,
        };
        if self.script.iter().any(sends_stray) {
            // If a read split the two answers, the second would arrive while the connection is idle in the pool, where
            // it cannot be told from the answer to the next request.
            self.wire.borrow_mut().become_smooth();
        }
    }

    /// Does the script's next action; returns whether it was done.
    fn go_on(&mut self, now: Now) -> bool {
        if self.sleeps_until.is_some_and(|until| now.instant < until) {
            return false;
        }
        self.sleeps_until = None;
        let Some(action) = self.script.pop_front() else {
            return false;
        };
        match action {
            Action::AwaitBody => {
                if self
                    .asked
                    .as_ref()
                    .is_none_or(|asked| !asked.body.is_done())
                {
                    self.script.push_front(Action::AwaitBody);
                    return false;
                }
            }
            Action::Wait(time) => {
                self.sleeps_until = Some(now.instant + time.max(Duration::from_millis(1)));
            }
            Action::Send(mut bytes) => {
                let count = self.wire.borrow_mut().send(&bytes);
                bytes.drain(..count);
                if !bytes.is_empty() {
                    self.script.push_front(Action::Send(bytes));
                    return count > 0;
                }
            }
            Action::End(ending) => self.end(ending),
            Action::Silence => {
                self.script.push_front(Action::Silence);
                return false;
            }
        }
        if self.script.is_empty()
            && self
                .asked
                .as_ref()
                .is_some_and(|asked| asked.body.is_done())
        {
            self.asked = None;
        }
        true
    }

    fn end(&mut self, ending: Ending) {
        let mut wire = self.wire.borrow_mut();
        match ending {
            Ending::Finish => wire.finish(),
            Ending::Close => wire.close(),
            Ending::Reset => wire.reset(),
        }
        self.has_ended = true;
        self.script.clear();
        self.sleeps_until = None;
    }
}

/// Asserts that a platform's key is sent in its field, and nothing of the client's.
fn check_secrets(head: &Head) {
    let host = head.one("host").expect("a Host field");
    let (name, auth_header, auth_prefix) = PLATFORMS
        .into_iter()
        .find(|(name, ..)| host == format!("{name}.test"))
        .expect("a platform's host");
    let shown = head
        .one(&auth_header.to_ascii_lowercase())
        .expect("a key is shown");
    assert!(
        shown.starts_with(&format!("{auth_prefix}platform-key-{name}-")),
        "{shown}"
    );
    let everything = format!("{head:?}");
    assert!(
        !everything.contains("client-key"),
        "a client's key went out: {everything}"
    );
}
