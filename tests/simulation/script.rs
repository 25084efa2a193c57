//! What a platform answers to one try: drawn at random, some of it wrong.

use std::time::Duration;

use super::ledger::Answer;
use super::plan::{chunked, filler};
use super::random::Random;

/// A platform's next action.
#[derive(Clone, Debug)]
pub enum Action {
    /// Reads the request to its end.
    AwaitBody,
    Wait(Duration),
    Send(Vec<u8>),
    /// Ends its direction, closes or resets.
    End(Ending),
    /// Sends nothing more, ever.
    Silence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Finish,
    Close,
    Reset,
}

/// What a platform does.
#[derive(Clone, Copy, Debug)]
pub enum Conduct {
    Flawless,
    Anything,
    /// Each answer ends before the byte at this offset.
    BreaksOff(Form, usize, Ending),
}

/// How the answer's body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Nothing,
    Length,
    Chunked,
    UntilEnd,
}

/// An answer under construction: the pieces are sent one after the other.
struct Draft {
    actions: Vec<Action>,
    pieces: Vec<Vec<u8>>,
    answer: Answer,
    form: Form,
    closes: bool,
    /// It is sent at once, in one piece.
    is_prompt: bool,
}

/// The most content of an answer, and of one that breaks off at a certain byte.
const CONTENT_BYTES_MAX: usize = 120_000;
const BROKEN_BYTES_MAX: usize = 50;

/// Draws an answer.
pub fn draw(
    conduct: Conduct,
    tag: &str,
    is_head: bool,
    random: &mut Random,
) -> (Vec<Action>, Answer) {
    match conduct {
        Conduct::Flawless => clean(tag, is_head, random),
        Conduct::Anything => any(tag, is_head, random),
        Conduct::BreaksOff(form, offset, ending) => {
            let mut draft = Draft::new(tag, 200, form, is_head, BROKEN_BYTES_MAX, random);
            draft.actions.push(Action::AwaitBody);
            draft.end_at(offset, ending);
            draft.finish(random)
        }
    }
}

/// Draws a flawless 200.
fn clean(tag: &str, is_head: bool, random: &mut Random) -> (Vec<Action>, Answer) {
    let form = random.pick(&[Form::Length, Form::Chunked, Form::Chunked, Form::UntilEnd]);
    let mut draft = Draft::new(tag, 200, form, is_head, CONTENT_BYTES_MAX, random);
    draft.actions.push(Action::AwaitBody);
    draft.finish(random)
}

/// Draws what someone does who speaks another protocol and was not asked anything.
pub fn strange(random: &mut Random) -> Vec<Action> {
    let banners = [
        "",
        "220 mail.example ESMTP\r\n",
        "SSH-2.0-OpenSSH_9\r\n",
        "\x15\x03\x03\0\x02\x02\x46",
    ];
    let last = match random.percent(50) {
        true => Action::Silence,
        false => Action::End(random.pick(&[Ending::Finish, Ending::Close, Ending::Reset])),
    };
    vec![
        Action::Wait(random.milliseconds(0, 500)),
        Action::Send(random.pick(&banners).as_bytes().to_vec()),
        last,
    ]
}

/// Draws anything that a platform may do.
fn any(tag: &str, is_head: bool, random: &mut Random) -> (Vec<Action>, Answer) {
    if random.percent(40) {
        return clean(tag, is_head, random);
    }
    let statuses = [
        200, 200, 200, 204, 304, 400, 401, 402, 403, 404, 429, 429, 500, 503, 529,
    ];
    let status = random.pick(&statuses);
    let form = match status {
        204 | 304 => Form::Nothing,
        _ => random.pick(&[Form::Length, Form::Chunked, Form::UntilEnd]),
    };
    let mut draft = Draft::new(tag, status, form, is_head, CONTENT_BYTES_MAX, random);
    if random.percent(85) {
        draft.actions.push(Action::AwaitBody);
    } else {
        draft.answer.is_early = true;
        // Closing with the request unread is a reset, which may cost the answer.
        draft.answer.is_whole = !draft.closes;
    }
    if random.percent(30) {
        draft
            .actions
            .push(Action::Wait(random.milliseconds(0, 9_000)));
    }
    if random.percent(15) {
        draft.add_interims(random);
    }
    match random.between(0, 11) {
        0 => draft.cut(random),
        1 => return (draft.begun(Action::Silence), draft.cut_answer()),
        2 => return (draft.garbage(random), draft.cut_answer()),
        3 => draft.break_chunk(random),
        4 if form == Form::Length || form == Form::Nothing => draft.answer_twice(),
        _ => {}
    }
    draft.finish(random)
}

impl Draft {
    fn new(
        tag: &str,
        status: u16,
        form: Form,
        is_head: bool,
        content_bytes_max: usize,
        random: &mut Random,
    ) -> Draft {
        let form = if is_head && form == Form::UntilEnd {
            Form::Length
        } else {
            form
        };
        let size = random.size(content_bytes_max);
        let content = filler(tag, size, random);
        let closes = form == Form::UntilEnd || random.percent(10);
        let mut head = format!("HTTP/1.1 {status} Some reason\r\nx-sim-answer: {tag}\r\n");
        if closes {
            head.push_str("Connection: close\r\n");
        }
        if status == 429 && random.percent(60) {
            head.push_str(&format!(
                "Retry-After: {}\r\n",
                random.pick(&[0, 1, 30, 4000])
            ));
        }
        let body = match form {
            Form::Nothing => Vec::new(),
            Form::Length => {
                head.push_str(&format!("Content-Length: {size}\r\n"));
                content.clone()
            }
            Form::Chunked => {
                head.push_str("Transfer-Encoding: chunked\r\n");
                chunked(&content, random)
            }
            Form::UntilEnd => content.clone(),
        };
        head.push_str("\r\n");
        let has_body = form != Form::Nothing && !is_head;
        let (body, content) = if has_body {
            (body, content)
        } else {
            (Vec::new(), Vec::new())
        };
        Draft {
            actions: Vec::new(),
            pieces: vec![head.into_bytes(), body],
            answer: Answer {
                status,
                content,
                is_whole: true,
                is_early: false,
            },
            form: if has_body { form } else { Form::Nothing },
            closes,
            is_prompt: false,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        self.pieces.concat()
    }

    fn add_interims(&mut self, random: &mut Random) {
        let count = random.pick(&[1, 1, 2, 5, 40]);
        let padding = random.pick(&[10, 10, 9_000, 30_000]);
        for _ in 0..count {
            let text = match random.percent(50) {
                true => "HTTP/1.1 100 Continue\r\n\r\n".to_string(),
                false => {
                    format!(
                        "HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n",
                        "l".repeat(padding)
                    )
                }
            };
            self.actions.push(Action::Send(text.into_bytes()));
        }
        if count > 32 {
            self.answer.is_whole = false;
        }
    }

    /// Ends the answer before one of its bytes.
    fn cut(&mut self, random: &mut Random) {
        let bytes = self.bytes();
        let end = random.between(0, bytes.len() - 1);
        self.actions.push(Action::Send(bytes[..end].to_vec()));
        // An orderly end would complete a body that lasts until the end.
        let last = match (self.form, random.between(0, 2)) {
            (_, 0) => Action::End(Ending::Reset),
            (Form::UntilEnd, _) | (_, 1) => Action::Silence,
            (_, _) => Action::End(random.pick(&[Ending::Close, Ending::Finish])),
        };
        self.actions.push(last);
        self.pieces.clear();
        self.answer.is_whole = false;
    }

    /// Ends the answer after `offset` bytes, or after its end if it is shorter.
    fn end_at(&mut self, offset: usize, ending: Ending) {
        let (head, mut bytes) = (self.pieces[0].len(), self.bytes());
        bytes.truncate(offset);
        let is_all = offset >= head + self.pieces[1].len();
        let ends_body = self.form == Form::UntilEnd && offset >= head;
        // A reset may discard what was sent before it.
        self.answer.is_whole = (is_all || ends_body) && ending != Ending::Reset;
        if ends_body {
            self.answer.content.truncate(offset - head);
        }
        self.actions
            .extend([Action::Send(bytes), Action::End(ending)]);
        self.pieces.clear();
        self.closes = false;
    }

    fn begun(&self, last: Action) -> Vec<Action> {
        [self.actions.as_slice(), &[last]].concat()
    }

    fn cut_answer(&self) -> Answer {
        Answer {
            is_whole: false,
            ..self.answer.clone()
        }
    }

    fn garbage(&self, random: &mut Random) -> Vec<Action> {
        let nonsense = [
            "SSH-2.0-OpenSSH_9\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: gzip\r\n\r\nhello",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
            "HTTP/2 200\r\n\r\n",
            "\0\0\0",
        ];
        let text = random.pick(&nonsense).as_bytes().to_vec();
        let end = random.pick(&[Ending::Finish, Ending::Close, Ending::Reset]);
        [self.begun(Action::Send(text)), vec![Action::End(end)]].concat()
    }

    /// Puts nonsense in place of a chunk's size.
    fn break_chunk(&mut self, random: &mut Random) {
        if self.form == Form::Chunked {
            let body = &mut self.pieces[1];
            body.truncate(body.len() - 5);
            body.extend_from_slice(
                random
                    .pick(&["x\r\n", "-1\r\n", "0\n\r\n\n", "fffffffffffffffff\r\n"])
                    .as_bytes(),
            );
            self.answer.is_whole = false;
        }
    }

    /// Appends a second answer, so that the proxy has it before the connection could be used again.
    fn answer_twice(&mut self) {
        if self.bytes().len() < 2_000 {
            let stray = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nx-sim-answer: stray\r\n\r\nstray";
            self.pieces = vec![self.bytes(), Vec::new()];
            self.pieces[0].extend_from_slice(stray);
            self.is_prompt = true;
        }
    }

    fn finish(self, random: &mut Random) -> (Vec<Action>, Answer) {
        let Draft {
            mut actions,
            pieces,
            answer,
            closes,
            is_prompt,
            ..
        } = self;
        for piece in pieces {
            let mut rest = piece.as_slice();
            // Event streams come in pieces over time.
            let is_slow = !is_prompt && random.percent(25);
            while !rest.is_empty() {
                let size = match is_slow {
                    true => random.between(1, rest.len().min(1 + rest.len() / 5)),
                    false => rest.len(),
                };
                actions.push(Action::Send(rest[..size].to_vec()));
                if is_slow {
                    actions.push(Action::Wait(random.milliseconds(0, 2_000)));
                }
                rest = &rest[size..];
            }
        }
        if let Some(Action::Wait(_)) = actions.last() {
            // Once the answer is out, the next request may come.
            actions.pop();
        }
        if closes {
            actions.push(Action::End(random.pick(&[Ending::Close, Ending::Finish])));
        }
        (actions, answer)
    }
}
