//! Walks JSON text in pieces of any size with bounded memory and stops at what its caller may want to look at. It
//! builds no document and does not know what the caller looks for.

use super::search::{until_bracket_or_quote, until_quote_or_backslash};

/// A walk over JSON text. Of the text itself it keeps one key or one scalar of up to `TEXT_BYTES` bytes.
///
/// Only objects that the caller enters are looked into: all others, and arrays, are skipped however deep they nest.
/// Arrays around the outermost objects are the exception, since a list of objects is read as those objects one after
/// the other; so are several texts in a row.
#[derive(Clone, Debug)]
pub struct JsonScan<const TEXT_BYTES: usize> {
    state: State,
    /// How many objects are entered and not yet closed.
    entered: u32,
    text: [u8; TEXT_BYTES],
    /// Length of the present text, including bytes that did not fit.
    text_length: usize,
}

/// Where the walk stopped. The text of a key, a string or a scalar can be read until the walk goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// An object begins: an outermost one, or the value of the last key. It is skipped unless the caller enters it.
    Open,
    /// The object that was entered last ends.
    Close,
    Key,
    /// A string as the value of the last key.
    Text,
    /// A number, `true`, `false` or `null` as the value of the last key.
    Scalar,
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
        self.text_length = 0;
    }

    /// The present key, string (without the quotes, escapes as written) or scalar; `None` if it did not fit.
    pub fn text(&self) -> Option<&[u8]> {
        self.text.get(..self.text_length)
    }

    /// Looks into the object that has just opened. To be called right after [`Stop::Open`].
    pub fn enter(&mut self) {
        self.entered = self.entered.saturating_add(1);
        self.state = State::BeforeKey;
    }

    /// Walks on to the next stop and removes what it has read from `input`; `None` when `input` is used up.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<Stop> {
        // Each arm removes exactly what it has read.
        while !input.is_empty() {
            match self.state {
                State::InText(role) => {
                    if let Some(stop) = self.go_through_text(role, input) {
                        return Some(stop);
                    }
                }
                State::InEscape(role) => {
                    let (escaped, rest) = input.split_at(1);
                    *input = rest;
                    self.keep(role, escaped);
                    self.state = State::InText(role);
                }
                State::Passing(depth) => self.pass(depth, input),
                State::InScalar => {
                    let end = input.iter().position(|byte| !is_of_scalar(*byte));
                    let (text, rest) = input.split_at(end.unwrap_or(input.len()));
                    *input = rest;
                    self.keep(Role::Value, text);
                    if end.is_some() {
                        // The byte that ended it belongs to what follows and is left in `input`.
                        self.state = State::AfterValue;
                        return Some(Stop::Scalar);
                    }
                }
                State::Lost => *input = &[],
                State::Outside => match take_token(input)? {
                    b'{' => return Some(self.object_opened()),
                    b'"' => self.state = State::InText(Role::Outside),
                    _ => {}
                },
                State::BeforeKey => match take_token(input)? {
                    b'"' => self.begin_text(State::InText(Role::Key)),
                    b'}' => return Some(self.object_closed()),
                    _ => self.state = State::Lost,
                },
                State::AfterKey => match take_token(input)? {
                    b':' => self.state = State::BeforeValue,
                    _ => self.state = State::Lost,
                },
                State::BeforeValue => match take_token(input)? {
                    b'"' => self.begin_text(State::InText(Role::Value)),
                    b'{' => return Some(self.object_opened()),
                    b'[' => self.state = State::Passing(1),
                    first @ (b'-' | b'0'..=b'9' | b'a'..=b'z') => {
                        self.begin_text(State::InScalar);
                        self.keep(Role::Value, &[first]);
                    }
                    _ => self.state = State::Lost,
                },
                State::AfterValue => match take_token(input)? {
                    b',' => self.state = State::BeforeKey,
                    b'}' => return Some(self.object_closed()),
                    _ => self.state = State::Lost,
                },
            }
        }
        None
    }

    /// Continues in a string, up to its end or to an escape.
    fn go_through_text(&mut self, role: Role, input: &mut &[u8]) -> Option<Stop> {
        let (text, rest) = input.split_at(until_quote_or_backslash(input));
        self.keep(role, text);
        *input = rest;
        let (&end, rest) = rest.split_first()?;
        *input = rest;
        if end == b'\\' {
            self.keep(role, b"\\");
            self.state = State::InEscape(role);
            return None;
        }
        self.text_ended(role)
    }

    /// Continues in what is skipped, up to its end or to a string that is not finished at once.
    fn pass(&mut self, mut depth: Depth, input: &mut &[u8]) {
        while let Some((&byte, rest)) = input
            .get(until_bracket_or_quote(input)..)
            .and_then(<[u8]>::split_first)
        {
            *input = rest;
            match byte {
                b'"' => {
                    // Most strings in here end in the same piece without an escape: no need to leave the loop.
                    let length = until_quote_or_backslash(rest);
                    if rest.get(length) != Some(&b'"') {
                        self.state = State::InText(Role::Passed(depth));
                        return;
                    }
                    *input = &rest[length + 1..];
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
        *input = &[];
        self.state = State::Passing(depth);
    }

    fn begin_text(&mut self, state: State) {
        self.text_length = 0;
        self.state = state;
    }

    fn text_ended(&mut self, role: Role) -> Option<Stop> {
        match role {
            Role::Outside => self.state = State::Outside,
            Role::Passed(depth) => self.state = State::Passing(depth),
            Role::Key => {
                self.state = State::AfterKey;
                return Some(Stop::Key);
            }
            Role::Value => {
                self.state = State::AfterValue;
                return Some(Stop::Text);
            }
        }
        None
    }

    fn object_opened(&mut self) -> Stop {
        self.state = State::Passing(1);
        Stop::Open
    }

    fn object_closed(&mut self) -> Stop {
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

/// Takes the next byte that is not whitespace, and the whitespace before it.
fn take_token(input: &mut &[u8]) -> Option<u8> {
    loop {
        let (&byte, rest) = input.split_first()?;
        *input = rest;
        if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            return Some(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stops of a walk that enters every object; the text is given in pieces that end at `cuts`.
    fn walk(json: &[u8], cuts: &[usize]) -> String {
        let mut scan = JsonScan::<8>::default();
        let mut out = String::new();
        let mut begin = 0;
        for &end in cuts.iter().chain([&json.len()]) {
            let mut input = &json[begin..end];
            while let Some(stop) = scan.next(&mut input) {
                let text = scan.text().map_or("(long)".into(), String::from_utf8_lossy);
                match stop {
                    Stop::Open => {
                        scan.enter();
                        out.push('{');
                    }
                    Stop::Close => out.push('}'),
                    Stop::Key => out.push_str(&format!("{text}:")),
                    Stop::Text => out.push_str(&format!("'{text}' ")),
                    Stop::Scalar => out.push_str(&format!("{text} ")),
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
            (r#"{"12345678":"123456789"}"#, "{12345678:'(long)' }"),
            (r#"{"123456789":12345678}"#, "{(long):12345678 }"),
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
                if stops.is_empty() {
                    scan.enter();
                }
                stops.push(stop);
            }
            stops.retain(|&stop| stop != Stop::Open);
            assert_eq!(
                stops,
                [Stop::Key, Stop::Key, Stop::Scalar, Stop::Close],
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
