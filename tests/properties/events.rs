//! Any event stream, any JSON: cuts do not change what the scanners find, events are read like the JSON texts that they
//! hold, and the model is the one that a full parse finds.

use ai_api_proxy::config::json::Json;
use ai_api_proxy::http::event_stream::{DataLines, Part};
use ai_api_proxy::http::model::ModelScan;
use ai_api_proxy::http::usage::{Format, Tokens, UsageScan, UsageSieve};

use super::input::{choices, in_any_cut};

/// The longest model name that is taken, with escapes as they are written.
const MODEL_BYTES_MAX: usize = 128;

/// How much of a body is searched for it.
const MODEL_WITHIN_BYTES: usize = 64 * 1024;

/// `data`: how it is cut, then the body.
pub fn check(mut data: &[u8]) {
    let [seed] = choices(&mut data);
    let scanned = |format| in_any_cut(data, seed, |pieces| tokens(format, pieces));
    let model = in_any_cut(data, seed, |pieces| {
        let mut scan = ModelScan::default();
        pieces.iter().for_each(|piece| scan.scan(piece));
        scan.model().map(|model| model.to_string())
    });
    let events = in_any_cut(data, seed, events);
    assert_eq!(events, split_events(data));
    scanned(Format::Json);
    assert_eq!(scanned(Format::EventStream), tokens_of_events(&events));
    check_model(data, model);
}

fn tokens(format: Format, pieces: &[&[u8]]) -> Tokens {
    let (mut sieve, mut scan) = (UsageSieve::new(format), UsageScan::default());
    pieces.iter().for_each(|piece| sieve.pass(piece, &mut scan));
    scan.tokens()
}

/// The data of each event; the last one is unterminated.
fn events(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let (mut lines, mut events) = (DataLines::default(), vec![Vec::new()]);
    for piece in pieces {
        let mut input = *piece;
        while let Some(part) = lines.next(&mut input) {
            match part {
                Part::Data(data) => events
                    .last_mut()
                    .expect("there is one")
                    .extend_from_slice(data),
                Part::EventEnd => events.push(Vec::new()),
            }
        }
        assert!(input.is_empty(), "all is read");
    }
    events
}

/// The same from the stream as a whole.
fn split_events(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut events = vec![Vec::new()];
    let mut rest = stream;
    while !rest.is_empty() {
        let length = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let (line, end, after) = match length {
            None => (rest, &rest[rest.len()..], &rest[rest.len()..]),
            Some(length) => {
                let after = &rest[length + 1..];
                let is_pair = rest[length] == b'\r' && after.starts_with(b"\n");
                let after = if is_pair { &after[1..] } else { after };
                (&rest[..length], &rest[length..=length], after)
            }
        };
        match line.strip_prefix(b"data:") {
            Some(data) => {
                let data = data.strip_prefix(b" ").unwrap_or(data);
                events
                    .last_mut()
                    .expect("there is one")
                    .extend([data, end].concat());
            }
            None if line.is_empty() => events.push(Vec::new()),
            None => {}
        }
        rest = after;
    }
    events
}

/// Reads each event by itself, as JSON. A later value replaces an earlier one.
fn tokens_of_events(events: &[Vec<u8>]) -> Tokens {
    let mut sum = Tokens::default();
    for event in events {
        let found = tokens(Format::Json, &[event]);
        sum.input = found.input.or(sum.input);
        sum.output = found.output.or(sum.output);
    }
    sum
}

fn check_model(data: &[u8], model: Option<String>) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if text.len() > MODEL_WITHIN_BYTES || text.starts_with('\u{feff}') {
        return;
    }
    // A name written with an escape may be `model`, too, and is not recognised.
    if let (Ok(Json::Object(fields)), false) = (Json::parse(text), text.contains('\\')) {
        let first = fields.iter().find_map(|(name, value)| match value {
            Json::Text(value) if name == "model" => Some(value),
            _ => None,
        });
        let is_taken = |name: &&String| {
            (1..=MODEL_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
        };
        assert_eq!(model.as_ref(), first.filter(is_taken));
    }
}
