//! Walks JSON text in pieces of any size with bounded memory and stops at what its caller may want to look at. It
//! builds no document and does not know what the caller looks for.

use super::search::{until_bracket_or_quote, until_quote_or_backslash};

/// A walk over JSON text. Of the text itself it keeps at most one key, string or scalar of up to `TEXT_BYTES` bytes.
///
/// Only objects that the caller enters are looked into: all others, and arrays, are skipped however deep they nest.
/// Arrays around the outermost objects are the exception, since a list of objects is read as those objects one after
/// the other; so are several texts in a row.
#[derive(Clone, Debug)]
pub struct JsonScan<const TEXT_BYTES: usize> {
    state: State,
    /// How many objects are entered and not yet closed.
    entered: u32,
    /// A scalar, or a text with an escape or in several pieces: what has been read of it.
    text: [u8; TEXT_BYTES],
    /// Its length, including bytes that did not fit.
    text_length: usize,
}

/// Where the walk stopped. A key, a string (without the quotes, escapes as written) or a scalar of more than
/// `TEXT_BYTES` bytes reads as an empty one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop<'t> {
    /// An object begins: an outermost one, or the value of the last key. It is skipped unless the caller enters it.
    Open,
    /// The object that was entered last ends.
    Close,
    Key(&'t [u8]),
    /// A string as the value of the last key.
    Text(&'t [u8]),
    /// A number, `true`, `false` or `null` as the value of the last key.
    Scalar(&'t [u8]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Around the outermost objects.
    Outside,
    BeforeKey,
    AfterKey,
    BeforeValue,
    InScalar,
    AfterValue,
    InText(Role),
    /// The byte after a backslash.
    InEscape(Role),
    /// Inside an object or array that is skipped.
    Passing(Depth),
    /// This is not JSON: nothing more is read.
    Lost,
}

/// What a string is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Outside,
    Key,
    Value,
    Passed(Depth),
}

/// How many brackets are open in what is skipped. More than `u32::MAX` of them end the walk.
type Depth = u32;

impl<const TEXT_BYTES: usize> Default for JsonScan<TEXT_BYTES> {
    fn default() -> Self {
        JsonScan {
            state: State::Outside,
            entered: 0,
            text: [0; TEXT_BYTES],
            text_length: 0,
        }
    }
}

impl<const TEXT_BYTES: usize> JsonScan<TEXT_BYTES> {
    /// Forgets the text walked so far: the next byte begins a new one.
    pub fn restart(&mut self) {
        self.state = State::Outside;
        self.entered = 0;
    }

    /// Looks into the object that has just opened. To be called right after [`Stop::Open`].
    pub fn enter(&mut self) {
        self.entered = self.entered.saturating_add(1);
        self.state = State::BeforeKey;
    }

    /// Walks on to the next stop and removes what it has read from `input`; `None` when `input` is used up.
    pub fn next<'t, 'i: 't>(&'t mut self, input: &mut &'i [u8]) -> Option<Stop<'t>> {
        // Each arm removes exactly what it has read.
        while !input.is_empty() {
            match self.state {
                State::BeforeKey => match take_token(input)? {
                    b'"' => {
                        if let Some(key) = self.begin_string(Role::Key, input) {
                            return Some(Stop::Key(key));
                        }
                    }
                    b'}' => return Some(self.object_closed()),
                    _ => self.state = State::Lost,
                },
                State::AfterKey => match take_token(input)? {
                    b':' => self.state = State::BeforeValue,
                    _ => self.state = State::Lost,
                },
                State::BeforeValue => match take_token(input)? {
                    b'"' => {
                        if let Some(text) = self.begin_string(Role::Value, input) {
                            return Some(Stop::Text(text));
                        }
                    }
                    b'{' => return Some(self.object_opened()),
                    b'[' => self.state = State::Passing(1),
                    first @ (b'-' | b'0'..=b'9' | b'a'..=b'z') => {
                        self.state = State::InScalar;
                        self.text_length = 0;
                        self.keep(Role::Value, &[first]);
                    }
                    _ => self.state = State::Lost,
                },
                State::InText(role) => match (role, self.goes_through_string(role, input)) {
                    (Role::Key, true) => return Some(Stop::Key(self.kept())),
                    (Role::Value, true) => return Some(Stop::Text(self.kept())),
                    (Role::Outside | Role::Passed(_), true) | (_, false) => {}
                },
                State::InEscape(role) => {
                    let (escaped, rest) = input.split_at(1);
                    *input = rest;
                    self.keep(role, escaped);
                    self.state = State::InText(role);
                }
                State::InScalar => {
                    let end = input.iter().position(|byte| !is_of_scalar(*byte));
                    let (text, rest) = input.split_at(end.unwrap_or(input.len()));
                    *input = rest;
                    self.keep(Role::Value, text);
                    if end.is_some() {
                        // The byte that ended it belongs to what follows and is left in `input`.
                        self.member_ended(input);
                        return Some(Stop::Scalar(self.kept()));
                    }
                }
                State::AfterValue => match take_token(input)? {
                    b',' => self.state = State::BeforeKey,
                    b'}' => return Some(self.object_closed()),
                    _ => self.state = State::Lost,
                },
                State::Passing(depth) => self.pass(depth, input),
                State::Outside => match take_mark(input)? {
                    b'{' => return Some(self.object_opened()),
                    b'"' => self.state = State::InText(Role::Outside),
                    _ => {}
                },
                State::Lost => *input = &[],
            }
        }
        None
    }

    /// Begins a string. Returns it if it ends in this piece without an escape.
    fn begin_string<'i>(&mut self, role: Role, input: &mut &'i [u8]) -> Option<&'i [u8]> {
        self.state = State::InText(role);
        self.text_length = 0;
        let text = take_string(input)?;
        self.string_ended(role, input);
        Some(if text.len() <= TEXT_BYTES { text } else { &[] })
    }

    /// Continues in a string, up to an escape or its end. Returns whether it has ended.
    fn goes_through_string(&mut self, role: Role, input: &mut &[u8]) -> bool {
        let (text, rest) = input.split_at(until_quote_or_backslash(input));
        self.keep(role, text);
        *input = rest.get(1..).unwrap_or_default();
        match rest.first() {
            None => false,
            Some(b'"') => {
                self.string_ended(role, input);
                true
            }
            Some(_) => {
                self.keep(role, b"\\");
                self.state = State::InEscape(role);
                false
            }
        }
    }

    fn string_ended(&mut self, role: Role, input: &mut &[u8]) {
        match role {
            Role::Outside => self.state = State::Outside,
            Role::Passed(depth) => self.state = State::Passing(depth),
            // Mostly the colon follows at once.
            Role::Key if take_byte(b':', input) => self.state = State::BeforeValue,
            Role::Key => self.state = State::AfterKey,
            Role::Value => self.member_ended(input),
        }
    }

    /// A string or scalar as a value has ended. Mostly its comma follows at once.
    fn member_ended(&mut self, input: &mut &[u8]) {
        self.state = match take_byte(b',', input) {
            true => State::BeforeKey,
            false => State::AfterValue,
        };
    }

    /// Continues in what is skipped, up to its end or to a string that is not finished at once.
    fn pass(&mut self, mut depth: Depth, input: &mut &[u8]) {
        while let Some(mark) = take_mark(input) {
            match mark {
                b'"' => {
                    if take_string(input).is_none() {
                        self.state = State::InText(Role::Passed(depth));
                        return;
                    }
                }
                b'{' | b'[' => match depth.checked_add(1) {
                    Some(deeper) => depth = deeper,
                    None => {
                        self.state = State::Lost;
                        return;
                    }
                },
                _ => {
                    depth -= 1;
                    if depth == 0 {
                        self.value_ended();
                        return;
                    }
                }
            }
        }
        self.state = State::Passing(depth);
    }

    fn object_opened(&mut self) -> Stop<'static> {
        self.state = State::Passing(1);
        Stop::Open
    }

    fn object_closed(&mut self) -> Stop<'static> {
        self.entered = self.entered.saturating_sub(1);
        self.value_ended();
        Stop::Close
    }

    fn value_ended(&mut self) {
        self.state = if self.entered == 0 {
            State::Outside
        } else {
            State::AfterValue
        };
    }

    fn kept(&self) -> &[u8] {
        self.text.get(..self.text_length).unwrap_or_default()
    }

    /// Keeps as much of a key's or a value's text as fits and counts all of it.
    fn keep(&mut self, role: Role, text: &[u8]) {
        match role {
            Role::Outside | Role::Passed(_) => {}
            Role::Key | Role::Value => {
                if let Some(room) = self.text.get_mut(self.text_length..) {
                    let length = text.len().min(room.len());
                    room[..length].copy_from_slice(&text[..length]);
                }
                self.text_length = self.text_length.saturating_add(text.len());
            }
        }
    }
}

/// Whether `byte` may occur in a number or a literal.
fn is_of_scalar(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'.' | b'+' | b'-' | b'E')
}

/// Takes what is left of a string, with its quote, if it ends in this piece without an escape, as most do.
fn take_string<'i>(input: &mut &'i [u8]) -> Option<&'i [u8]> {
    let length = until_quote_or_backslash(input);
    match input.get(length) {
        Some(b'"') => {
            let text = &input[..length];
            *input = &input[length + 1..];
            Some(text)
        }
        Some(_) | None => None,
    }
}

/// Takes the next byte if it is this one.
fn take_byte(byte: u8, input: &mut &[u8]) -> bool {
    let rest = input.strip_prefix(&[byte]);
    *input = rest.unwrap_or(input);
    rest.is_some()
}

/// Takes the next bracket or quote and what comes before it, or all that is left: what is no JSON at all, such as a file,
/// is passed as fast as a string.
fn take_mark(input: &mut &[u8]) -> Option<u8> {
    let (mark, rest) = input[until_bracket_or_quote(input)..].split_first().unzip();
    *input = rest.unwrap_or_default();
    mark.copied()
}

/// Takes the next byte that is not whitespace, and the whitespace before it.
fn take_token(input: &mut &[u8]) -> Option<u8> {
    loop {
        let (&byte, rest) = input.split_first()?;
        *input = rest;
        if byte > b' ' || !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            return Some(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stops of a walk that enters every object; the text is given in pieces that end at `cuts`.
    fn walk(json: &[u8], cuts: &[usize]) -> String {
        let shown = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
        let mut scan = JsonScan::<8>::default();
        let mut out = String::new();
        let mut begin = 0;
        for &end in cuts.iter().chain([&json.len()]) {
            let mut input = &json[begin..end];
            while let Some(stop) = scan.next(&mut input) {
                match stop {
                    Stop::Open => {
                        scan.enter();
                        out.push('{');
                    }
                    Stop::Close => out.push('}'),
                    Stop::Key(key) => out.push_str(&format!("{}:", shown(key))),
                    Stop::Text(text) => out.push_str(&format!("'{}' ", shown(text))),
                    Stop::Scalar(text) => out.push_str(&format!("{} ", shown(text))),
                }
            }
            assert!(input.is_empty());
            begin = end;
        }
        out
    }

    #[test]
    fn stops_in_every_cut() {
        let rows: &[(&str, &str)] = &[
            (r#"{}"#, "{}"),
            (r#"{"a":1}"#, "{a:1 }"),
            (r#" { "a" : -1.5e3 , "b" : true } "#, "{a:-1.5e3 b:true }"),
            (r#"{"a":{"b":{"c":null}},"d":""}"#, "{a:{b:{c:null }}d:'' }"),
            (r#"{"a":[{"b":1},"}]",[[]]],"c":2}"#, "{a:c:2 }"),
            (r#"{"a":"x\"y","b\\":"\\"}"#, r#"{a:'x\"y' b\\:'\\' }"#),
            (r#"{"a":["\\","\"]","{"],"b":1}"#, "{a:b:1 }"),
            (r#"{"12345678":"123456789"}"#, "{12345678:'' }"),
            (r#"{"123456789":12345678}"#, "{:12345678 }"),
            (r#"[{"a":1},{"b":2}]"#, "{a:1 }{b:2 }"),
            ("{\"a\":1}\n{\"b\":2}\n", "{a:1 }{b:2 }"),
            (r#""{\"a\":1}" 7 {"b":2}"#, "{b:2 }"),
            // Not JSON: nothing more is reported from there on.
            (r#"{a:1}"#, "{"),
            (r#"{"a"1}{"b":1}"#, "{a:"),
            (r#"{"a":}{"b":1}"#, "{a:"),
            (r#"{"a":1]{"b":1}"#, "{a:1 "),
            (r#"{"a":"x" "b":1}"#, "{a:'x' "),
            (r#"{"a":'x'}"#, "{a:"),
            (r#"{"a":1"#, "{a:"),
            (r#"{"a":"unfinished"#, "{a:"),
            ("", ""),
        ];
        for (json, want) in rows {
            let bytes = json.as_bytes();
            assert_eq!(walk(bytes, &[]), *want, "{json} whole");
            let each: Vec<usize> = (0..bytes.len()).collect();
            assert_eq!(walk(bytes, &each), *want, "{json} byte by byte");
            for cut in each {
                assert_eq!(walk(bytes, &[cut]), *want, "{json} cut at {cut}");
            }
        }
    }

    #[test]
    fn what_is_not_entered_is_passed_over_at_any_depth() {
        let depth = 200_000;
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = format!("{}\"]}}\"{}", open.repeat(depth), close.repeat(depth));
            let json = format!("{{\"a\":{nested},\"b\":1}}");
            let mut scan = JsonScan::<8>::default();
            let mut stops = Vec::new();
            let mut input = json.as_bytes();
            while let Some(stop) = scan.next(&mut input) {
                stops.push(format!("{stop:?}"));
                if stops.len() == 1 {
                    scan.enter();
                }
            }
            stops.retain(|stop| stop != "Open");
            assert_eq!(
                stops.join(" "),
                "Key([97]) Key([98]) Scalar([49]) Close",
                "{open}"
            );
        }
    }

    #[test]
    fn too_many_brackets_end_the_walk() {
        let mut scan = JsonScan::<8> {
            state: State::Passing(u32::MAX - 1),
            ..JsonScan::default()
        };
        let mut input: &[u8] = b"[]][[{\"a\":1}";
        assert_eq!(scan.next(&mut input), None);
        assert_eq!(scan.state, State::Lost);
    }
}
