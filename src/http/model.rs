//! Finds the model that a request names: from the first bytes of a JSON body, or in the query. It knows nothing of the
//! rest.

use std::fmt::Write;

use super::json_scan::{JsonScan, Stop};
use super::search::until_backslash;
use crate::base::text::{MODEL_BYTES_MAX, Model};

/// Reads the beginning of one request body, given in pieces of any size.
#[derive(Clone, Debug)]
pub struct ModelScan {
    place: Place,
    /// Bytes of the body that may still be read.
    left_bytes: usize,
    /// A name that is longer with its escapes as written is ignored.
    json: JsonScan<MODEL_BYTES_MAX>,
    /// With its escapes resolved; empty while there is none.
    model: Model,
}

/// How much of a body is searched. SDKs write the model before or right after the messages; searching beyond very long
/// ones is not worth the work.
const BODY_BYTES_MAX: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Outside,
    /// In the outermost object, below the key that was read last.
    Top(Key),
    /// The model is found or will not be.
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Model,
    Other,
}

impl Default for ModelScan {
    fn default() -> Self {
        ModelScan {
            place: Place::Outside,
            left_bytes: BODY_BYTES_MAX,
            json: JsonScan::default(),
            model: Model::default(),
        }
    }
}

impl ModelScan {
    /// What the query of a request that has no body names, as it is written there.
    pub fn of_query(query: &str) -> ModelScan {
        let mut pairs = query.split('&');
        let name = pairs.find_map(|pair| pair.strip_prefix("model="));
        let name = name.filter(|name| name.len() <= MODEL_BYTES_MAX);
        ModelScan {
            place: Place::Done,
            model: Model::new(name.unwrap_or_default()),
            ..ModelScan::default()
        }
    }

    /// Reads the next bytes of the body, after transfer decoding.
    pub fn scan(&mut self, bytes: &[u8]) {
        let mut input = &bytes[..bytes.len().min(self.left_bytes)];
        self.left_bytes -= input.len();
        while self.place != Place::Done
            && let Some(stop) = self.json.next(&mut input)
        {
            match stop {
                Stop::Open if self.place == Place::Outside => {
                    self.json.enter();
                    self.place = Place::Top(Key::Other);
                }
                Stop::Open => {}
                Stop::Key(b"model") => self.place = Place::Top(Key::Model),
                Stop::Key(_) => self.place = Place::Top(Key::Other),
                Stop::Text(name) if self.place == Place::Top(Key::Model) => {
                    self.model = unescape(name).unwrap_or_default();
                    self.place = Place::Done;
                }
                Stop::Text(_) | Stop::Scalar(_) => {}
                Stop::Close => self.place = Place::Done,
            }
        }
    }

    /// The value of the first `model` in the outermost object, if it is a string and has been read; or in the query.
    pub fn model(&self) -> Option<Model> {
        (!self.model.is_empty()).then_some(self.model)
    }
}

/// A JSON string's text without its quotes (RFC 8259 section 7); `None` if it is malformed or holds control characters,
/// which no model name does.
fn unescape(text: &[u8]) -> Option<Model> {
    let mut rest = std::str::from_utf8(text).ok()?;
    let mut model = Model::default();
    while let Some(place) = until_backslash(rest.as_bytes()) {
        push(&mut model, &rest[..place])?;
        let mut escape = rest[place + 1..].chars();
        let char = match escape.next()? {
            quoted @ ('"' | '\\' | '/') => quoted,
            'u' => unicode_escape(&mut escape)?,
            _ => return None,
        };
        // An escape is never shorter than what it stands for, so this fits.
        push(&mut model, char.encode_utf8(&mut [0; 4]))?;
        rest = escape.as_str();
    }
    push(&mut model, rest)?;
    Some(model)
}

fn push(model: &mut Model, text: &str) -> Option<()> {
    // Almost all names consist of these bytes only, which need no decoding.
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if !is_plain && text.contains(char::is_control) {
        return None;
    }
    model.write_str(text).ok()
}

/// What follows `\u`: one code unit, or a pair of surrogates.
fn unicode_escape(rest: &mut std::str::Chars) -> Option<char> {
    let high = code_unit(rest)?;
    if !(0xD800..0xDC00).contains(&high) {
        return char::from_u32(high);
    }
    let pair = (rest.next()?, rest.next()?);
    let low = code_unit(rest)?;
    if pair != ('\\', 'u') || !(0xDC00..0xE000).contains(&low) {
        return None;
    }
    char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
}

fn code_unit(rest: &mut std::str::Chars) -> Option<u32> {
    let mut unit = 0;
    for _ in 0..4 {
        unit = unit * 16 + rest.next()?.to_digit(16)?;
    }
    Some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model_in(pieces: &[&[u8]]) -> Option<String> {
        let mut scan = ModelScan::default();
        for piece in pieces {
            scan.scan(piece);
        }
        scan.model().map(|model| model.to_string())
    }

    #[test]
    fn finds_the_model_in_every_cut() {
        let rows: &[(&str, Option<&str>)] = &[
            (r#"{"model":"gpt-4o","messages":[]}"#, Some("gpt-4o")),
            (
                r#"{ "stream" : true , "model" : "a/b:free" }"#,
                Some("a/b:free"),
            ),
            (
                r#"{"messages":[{"model":"no","x":"}]\"{"}],"model":"yes"}"#,
                Some("yes"),
            ),
            (r#"{"model":"first","model":"second"}"#, Some("first")),
            (r#"{"model":{"model":"no"},"model":"yes"}"#, Some("yes")),
            (r#"{"x":"\"model\":\"no\"","model":"yes"}"#, Some("yes")),
            (r#"{"models":"no","mode":"no","Model":"no"}"#, None),
            (r#"{"options":{"model":"no"}} {"model":"late"}"#, None),
            (r#"{"model":null}"#, None),
            (r#"{"model":7}"#, None),
            (r#"{"model":""}"#, None),
            (r#"{"model":"openai\/gpt"}"#, Some("openai/gpt")),
            (r#"{"model":"a\"b\\c"}"#, Some("a\"b\\c")),
            (r#"{"model":"\u0041\u00e9\u6a21"}"#, Some("Aé模")),
            (r#"{"model":"\ud83d\ude00"}"#, Some("😀")),
            (r#"{"model":"\ud83d"}"#, None),
            (r#"{"model":"\ud83d\u0041"}"#, None),
            (r#"{"model":"\ud83dxx0041"}"#, None),
            (r#"{"model":"\udc00"}"#, None),
            (r#"{"model":"\u+041"}"#, None),
            (r#"{"model":"a\nb"}"#, None),
            (r#"{"model":"a\u0000b"}"#, None),
            (r#"{"model":"a\xb"}"#, None),
            (r#"{"model":"模型"}"#, Some("模型")),
            (r#"{"model":"unfinished"#, None),
            (r#"{"model" "no"}"#, None),
            (r#"model=no"#, None),
            ("", None),
        ];
        for (body, want) in rows {
            let bytes = body.as_bytes();
            assert_eq!(model_in(&[bytes]).as_deref(), *want, "{body} whole");
            let each: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(model_in(&each).as_deref(), *want, "{body} byte by byte");
            for cut in 0..bytes.len() {
                let (left, right) = bytes.split_at(cut);
                assert_eq!(
                    model_in(&[left, right]).as_deref(),
                    *want,
                    "{body} cut at {cut}"
                );
            }
        }
    }

    #[test]
    fn finds_the_model_in_a_query() {
        let longest = "m".repeat(MODEL_BYTES_MAX);
        let (fits, is_longer) = (format!("model={longest}"), format!("model={longest}m"));
        let rows = [
            ("model=gpt-realtime", Some("gpt-realtime")),
            ("a=b&model=a%2Fb&model=c", Some("a%2Fb")),
            ("a_model=a&Model=b&models=c&model", None),
            ("model=", None),
            ("", None),
            (&fits, Some(longest.as_str())),
            (&is_longer, None),
        ];
        for (query, want) in rows {
            let model = ModelScan::of_query(query).model();
            assert_eq!(model.as_ref().map(Model::as_str), want, "{query}");
        }
    }

    #[test]
    fn bounds() {
        let name = |length: usize| "m".repeat(length);
        let behind = |length: usize| {
            let body = format!(r#"{{"x":"{}","model":"m"}}"#, "x".repeat(length));
            let offset = body.len() - 1;
            (body, offset)
        };
        let fits = (0..)
            .find(|&length| behind(length).1 == BODY_BYTES_MAX)
            .expect("the body grows by one each time");
        let rows = [
            (
                format!(r#"{{"model":"{}"}}"#, name(MODEL_BYTES_MAX)),
                Some(name(MODEL_BYTES_MAX)),
            ),
            (
                format!(r#"{{"model":"{}"}}"#, name(MODEL_BYTES_MAX + 1)),
                None,
            ),
            (
                format!(r#"{{"{}":1,"model":"m"}}"#, name(100_000 / 2)),
                Some(name(1)),
            ),
            (behind(fits).0, Some(name(1))),
            (behind(fits + 1).0, None),
        ];
        for (body, want) in &rows {
            assert_eq!(model_in(&[body.as_bytes()]), *want);
            let pieces: Vec<&[u8]> = body.as_bytes().chunks(1000).collect();
            assert_eq!(model_in(&pieces), *want);
        }
        assert_eq!(model_in(&[b"{\"model\":\"\xff\"}"]), None);
    }
}
