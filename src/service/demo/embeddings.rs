//! The demo platform's embeddings: vectors that depend only on their input. They mean nothing.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::fault::Fault;
use super::{DemoRequest, Model, parse};
use crate::service::reply::Reply;

/// The most inputs of one request: with the longest vectors the answer stays below 3 MiB.
const INPUTS_MAX: usize = 64;

/// The length of a vector, unless the request says otherwise.
const DIMENSIONS: usize = 256;

/// The longest vector that may be asked for, as with OpenAI's small model.
const DIMENSIONS_MAX: usize = 1536;

/// What is read of a request's body; all else is accepted and ignored.
#[derive(Deserialize)]
struct EmbeddingRequest {
    model: Option<String>,
    input: Option<Input>,
    dimensions: Option<usize>,
    encoding_format: Option<EncodingFormat>,
}

/// Text or tokens, one or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Tokens(Vec<u32>),
    Texts(Vec<String>),
    TokenLists(Vec<Vec<u32>>),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum EncodingFormat {
    Float,
    Base64,
}

#[derive(Serialize)]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Vector,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector {
    Float(Vec<f32>),
    Base64(String),
}

/// What a vector is made from.
struct Seed {
    hash: u64,
    tokens: usize,
}

/// Answers `POST /v1/embeddings`.
pub fn embed(request: &DemoRequest<'_>) -> Result<Reply, Fault> {
    let asked: EmbeddingRequest = parse(request.body)?;
    let model = Model::find(asked.model.as_deref())?;
    let dimensions = asked.dimensions.unwrap_or(DIMENSIONS);
    if !(1..=DIMENSIONS_MAX).contains(&dimensions) {
        let message = format!("'dimensions' must be 1 to {DIMENSIONS_MAX}.");
        return Err(Fault::invalid(Some("dimensions"), message));
    }
    let seeds = asked.input.map(Input::seeds).unwrap_or_default();
    if seeds.is_empty() || seeds.len() > INPUTS_MAX {
        let message = format!("'input' must hold 1 to {INPUTS_MAX} texts or token lists.");
        return Err(Fault::invalid(Some("input"), message));
    }
    if seeds.iter().any(|seed| seed.tokens == 0) {
        return Err(Fault::invalid(Some("input"), "'input' cannot be empty."));
    }
    let format = asked.encoding_format.unwrap_or(EncodingFormat::Float);
    let tokens: usize = seeds.iter().map(|seed| seed.tokens).sum();
    let embeddings = seeds.iter().enumerate().map(|(index, seed)| Embedding {
        object: "embedding",
        index,
        embedding: Vector::new(seed.hash, dimensions, format),
    });
    let data: Vec<Embedding> = embeddings.collect();
    let body = json!({
        "object": "list",
        "data": data,
        "model": model.name(),
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    });
    Ok(Reply {
        delay: model.delay(),
        ..Reply::json(200, &body)
    })
}

impl Input {
    fn seeds(self) -> Vec<Seed> {
        match self {
            Input::Text(text) => vec![Seed::of_text(&text)],
            Input::Texts(texts) => texts.iter().map(|text| Seed::of_text(text)).collect(),
            Input::Tokens(tokens) if tokens.is_empty() => Vec::new(),
            Input::Tokens(tokens) => vec![Seed::of_tokens(&tokens)],
            Input::TokenLists(lists) => lists.iter().map(|list| Seed::of_tokens(list)).collect(),
        }
    }
}

impl Seed {
    /// A word counts as a token, and a text of spaces as one.
    fn of_text(text: &str) -> Seed {
        Seed {
            hash: hash(text.bytes()),
            tokens: text
                .split_whitespace()
                .count()
                .max(usize::from(!text.is_empty())),
        }
    }

    fn of_tokens(tokens: &[u32]) -> Seed {
        Seed {
            hash: hash(tokens.iter().flat_map(|token| token.to_le_bytes())),
            tokens: tokens.len(),
        }
    }
}

impl Vector {
    /// `dimensions` numbers derived from `seed`, normalised to length 1 as OpenAI's are.
    fn new(seed: u64, dimensions: usize, format: EncodingFormat) -> Vector {
        let mut state = seed;
        let mut numbers: Vec<f32> = (0..dimensions)
            .map(|_| {
                // Knuth's generator; its high half is random enough for a demonstration.
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                // An odd number over a power of two: never zero, so that the length is not zero either.
                ((state >> 40) as f32 + 0.5) / (1u32 << 23) as f32 - 1.0
            })
            .collect();
        let length = numbers
            .iter()
            .map(|number| number * number)
            .sum::<f32>()
            .sqrt();
        numbers.iter_mut().for_each(|number| *number /= length);
        match format {
            EncodingFormat::Float => Vector::Float(numbers),
            EncodingFormat::Base64 => {
                let bytes: Vec<u8> = numbers
                    .iter()
                    .flat_map(|number| number.to_le_bytes())
                    .collect();
                Vector::Base64(base64(&bytes))
            }
        }
    }
}

/// FNV-1a: the same for the same bytes in every build.
fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// RFC 4648 section 4, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |place: usize| u32::from(group.get(place).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            text.push(match digit <= group.len() {
                true => char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63]),
                false => '=',
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::answer;
    use super::super::tests::{request, whole};
    use super::*;
    use serde_json::Value;

    fn embedded(body: &Value) -> (u16, Value) {
        let reply = answer(&request("POST", "/v1/embeddings", &body.to_string()));
        (reply.status, whole(&reply))
    }

    #[test]
    fn inputs_and_dimensions_are_honoured_within_bounds() {
        // Input, dimensions, number of vectors (0: refused), their length, tokens.
        let rows = [
            (json!("a b c"), json!(null), 1, 256, 3),
            (json!(" "), json!(null), 1, 256, 1),
            (json!(["a", "b c"]), json!(8), 2, 8, 3),
            (json!([1, 2, 3]), json!(1), 1, 1, 3),
            (json!([[1, 2], [3]]), json!(1536), 2, 1536, 3),
            (json!(vec!["x"; 64]), json!(2), 64, 2, 64),
            (json!(vec!["x"; 65]), json!(2), 0, 0, 0),
            (json!([]), json!(2), 0, 0, 0),
            (json!([[]]), json!(2), 0, 0, 0),
            (json!(""), json!(2), 0, 0, 0),
            (json!(["a", ""]), json!(2), 0, 0, 0),
            (json!(null), json!(2), 0, 0, 0),
            (json!({"a": 1}), json!(2), 0, 0, 0),
            (json!("a"), json!(0), 0, 0, 0),
            (json!("a"), json!(1537), 0, 0, 0),
            (json!("a"), json!(-1), 0, 0, 0),
            (json!("a"), json!(1.5), 0, 0, 0),
        ];
        for (input, dimensions, vectors, length, tokens) in rows {
            let body = json!({"model": "demo", "input": input, "dimensions": dimensions});
            let (status, reply) = embedded(&body);
            assert_eq!(status, if vectors == 0 { 400 } else { 200 }, "{body}");
            if vectors == 0 {
                assert_eq!(reply["error"]["type"], "invalid_request_error", "{body}");
                continue;
            }
            let data = reply["data"].as_array().expect("a list");
            assert_eq!(
                (reply["object"].as_str(), data.len()),
                (Some("list"), vectors),
                "{body}"
            );
            assert_eq!(
                reply["usage"],
                json!({"prompt_tokens": tokens, "total_tokens": tokens})
            );
            for (index, embedding) in data.iter().enumerate() {
                assert_eq!(
                    (&embedding["object"], &embedding["index"]),
                    (&json!("embedding"), &json!(index))
                );
                let numbers = embedding["embedding"].as_array().expect("numbers");
                let squares = numbers
                    .iter()
                    .map(|number| number.as_f64().expect("a number").powi(2));
                assert_eq!(numbers.len(), length, "{body}");
                assert!((squares.sum::<f64>() - 1.0).abs() < 1e-5, "{body}");
            }
        }
    }

    #[test]
    fn a_vector_follows_from_its_input_alone() {
        let vector =
            |input: Value| embedded(&json!({"model": "demo", "input": input})).1["data"].clone();
        assert_eq!(vector(json!("a")), vector(json!("a")));
        assert_ne!(vector(json!("a")), vector(json!("b")));
        assert_eq!(
            vector(json!("a"))[0]["embedding"],
            vector(json!(["b", "a"]))[1]["embedding"]
        );
        assert_eq!(vector(json!([7])), vector(json!([[7]])));
    }

    #[test]
    fn both_encodings_hold_the_same_numbers() {
        let with = |format: Value| {
            let body =
                json!({"model": "demo", "input": "a", "dimensions": 2, "encoding_format": format});
            let (status, reply) = embedded(&body);
            (status, reply["data"][0]["embedding"].clone())
        };
        let (status, numbers) = with(json!("float"));
        assert_eq!(status, 200);
        assert_eq!(with(json!(null)), (200, numbers.clone()));
        let bytes: Vec<u8> = numbers
            .as_array()
            .expect("numbers")
            .iter()
            .flat_map(|number| (number.as_f64().expect("a number") as f32).to_le_bytes())
            .collect();
        assert_eq!(with(json!("base64")), (200, json!(base64(&bytes))));
        assert_eq!(with(json!("hex")).0, 400);
    }

    #[test]
    fn base64_is_rfc_4648() {
        // The RFC's own test vectors (section 10), and the two digits that are neither letters nor numbers.
        let rows: [(&[u8], &str); 8] = [
            (b"", ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg=="),
            (b"fooba", "Zm9vYmE="),
            (b"foobar", "Zm9vYmFy"),
            (b"\xfb\xff", "+/8="),
        ];
        for (bytes, want) in rows {
            assert_eq!(base64(bytes), want);
        }
    }
}
