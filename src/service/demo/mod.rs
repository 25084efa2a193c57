//! The built-in demo platform: a small OpenAI-compatible platform as a pure function of a request, so that the proxy can
//! be tried without an account. It knows no socket and no clock, and nothing of the proxy in front of it.

mod chat;
mod embeddings;
mod fault;
mod stream;

use std::time::Duration;

use serde_json::{Value, json};

use super::reply::Reply;
use crate::base::now::Now;

use fault::Fault;
pub use stream::{DemoStream, EVENTS_BYTES_MAX};

/// What the platform is told of a request.
pub struct DemoRequest<'r> {
    pub method: &'r str,
    /// With or without the leading `/v1`, and without the query.
    pub path: &'r str,
    /// The value of `Authorization`.
    pub authorization: Option<&'r [u8]>,
    /// The whole content; whoever reads it bounds it.
    pub body: &'r [u8],
    pub now: Now,
    /// Determines the answer's id and its pacing; it need not be secret.
    pub serial: u64,
}

/// The keys that it accepts. They are public, so comparing them need not take constant time.
const KEYS: [&[u8]; 2] = [b"demo-key-1", b"demo-key-2"];

/// How long `demo-slow` waits before it sends its answer's head.
const SLOW_DELAY: Duration = Duration::from_secs(5);

/// The models' creation time that the list reports: 2025-01-01T00:00:00Z.
const MODELS_CREATED_UNIX_SECONDS: u64 = 1_735_689_600;

/// How much of an unknown model's name the error repeats.
const MODEL_CHARACTERS_MAX: usize = 64;

/// How much of serde's message an error repeats: it quotes what does not fit, which may be the whole body.
const PROBLEM_CHARACTERS_MAX: usize = 200;

/// How a model behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    Plain,
    RateLimited,
    Failing,
    Slow,
}

/// A path that the platform has.
#[derive(Clone, Copy)]
enum Endpoint {
    Models,
    Chat,
    Embeddings,
}

/// Answers `request` as OpenAI would, in the same shapes, errors included.
pub fn answer(request: &DemoRequest<'_>) -> Reply {
    respond(request).unwrap_or_else(Fault::reply)
}

fn respond(request: &DemoRequest<'_>) -> Result<Reply, Fault> {
    let endpoint = Endpoint::find(request.path).ok_or(Fault::UnknownPath)?;
    endpoint.check_method(request.method)?;
    check_key(request.authorization)?;
    match endpoint {
        Endpoint::Models => Ok(Reply::json(200, &model_list())),
        Endpoint::Chat => chat::complete(request),
        Endpoint::Embeddings => embeddings::embed(request),
    }
}

fn check_key(authorization: Option<&[u8]>) -> Result<(), Fault> {
    let (scheme, key) = authorization
        .and_then(|value| value.split_at_checked(b"bearer ".len()))
        .ok_or(Fault::InvalidKey)?;
    match scheme.eq_ignore_ascii_case(b"bearer ") && KEYS.contains(&key.trim_ascii()) {
        true => Ok(()),
        false => Err(Fault::InvalidKey),
    }
}

fn model_list() -> Value {
    let models = Model::ALL.map(|model| {
        json!({
            "id": model.name(),
            "object": "model",
            "created": MODELS_CREATED_UNIX_SECONDS,
            "owned_by": "ai-api-proxy",
        })
    });
    json!({"object": "list", "data": models})
}

/// Parses a JSON body; serde's message tells what does not fit and where.
fn parse<'r, T: serde::Deserialize<'r>>(body: &'r [u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| {
        let problem = excerpt(&error.to_string(), PROBLEM_CHARACTERS_MAX);
        Fault::invalid(
            None,
            format!("We could not parse the JSON body of your request: {problem}"),
        )
    })
}

impl Model {
    /// In the order of the list: the one that works comes first.
    const ALL: [Model; 4] = [
        Model::Plain,
        Model::RateLimited,
        Model::Failing,
        Model::Slow,
    ];

    fn name(self) -> &'static str {
        match self {
            Model::Plain => "demo",
            Model::RateLimited => "demo-429",
            Model::Failing => "demo-500",
            Model::Slow => "demo-slow",
        }
    }

    /// The model that a body names. Those that misbehave do so before the rest of the body is examined.
    fn find(name: Option<&str>) -> Result<Model, Fault> {
        let name = name
            .ok_or_else(|| Fault::invalid(Some("model"), "You must provide a model parameter."))?;
        match Model::ALL.into_iter().find(|model| model.name() == name) {
            Some(Model::RateLimited) => Err(Fault::RateLimited),
            Some(Model::Failing) => Err(Fault::Failing),
            Some(model @ (Model::Plain | Model::Slow)) => Ok(model),
            None => Err(Fault::UnknownModel(excerpt(name, MODEL_CHARACTERS_MAX))),
        }
    }

    /// How long the answer's head is held back.
    fn delay(self) -> Duration {
        match self {
            Model::Slow => SLOW_DELAY,
            Model::Plain | Model::RateLimited | Model::Failing => Duration::ZERO,
        }
    }
}

/// The first `characters_max` characters of `text`, with `…` where some are left out.
fn excerpt(text: &str, characters_max: usize) -> String {
    match text.char_indices().nth(characters_max) {
        None => text.to_string(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

impl Endpoint {
    fn find(path: &str) -> Option<Endpoint> {
        match path.strip_prefix("/v1").unwrap_or(path) {
            "/models" => Some(Endpoint::Models),
            "/chat/completions" => Some(Endpoint::Chat),
            "/embeddings" => Some(Endpoint::Embeddings),
            _ => None,
        }
    }

    fn check_method(self, method: &str) -> Result<(), Fault> {
        match (self, method) {
            (Endpoint::Models, "GET" | "HEAD") => Ok(()),
            (Endpoint::Chat | Endpoint::Embeddings, "POST") => Ok(()),
            (Endpoint::Models, _) => Err(Fault::WrongMethod { allow: "GET, HEAD" }),
            (Endpoint::Chat | Endpoint::Embeddings, _) => Err(Fault::WrongMethod { allow: "POST" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::reply::Content;
    use super::*;
    use crate::base::testing::at;

    /// A request with a valid key; each table changes the fields that it tests.
    pub fn request<'r>(method: &'r str, path: &'r str, body: &'r str) -> DemoRequest<'r> {
        DemoRequest {
            method,
            path,
            authorization: Some(b"Bearer demo-key-1"),
            body: body.as_bytes(),
            now: at(1_800_000_000_500),
            serial: 7,
        }
    }

    pub fn whole(reply: &Reply) -> Value {
        match &reply.content {
            Content::Whole(body) => serde_json::from_slice(body).expect("an answer is JSON"),
            Content::None | Content::Demo(_) | Content::Events => panic!("the answer is not whole"),
        }
    }

    fn field<'r>(reply: &'r Reply, wanted: &str) -> Option<&'r str> {
        let found = reply.fields.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| value.as_ref())
    }

    const CHAT: &str = "/v1/chat/completions";
    const HELLO: &str = r#"{"model": "demo", "messages": [{"role": "user", "content": "hi"}]}"#;

    #[test]
    fn paths_methods_and_mistakes_have_openai_statuses() {
        // Method, path, body, status, `code`, `param`.
        let rows = [
            ("GET", "/v1/models", "", 200, None, None),
            ("GET", "/models", "", 200, None, None),
            ("HEAD", "/v1/models", "", 200, None, None),
            ("POST", "/v1/models", "", 405, None, None),
            ("DELETE", "/models", "", 405, None, None),
            ("GET", "/v1/v1/models", "", 404, None, None),
            ("GET", "/v1/models/", "", 404, None, None),
            ("GET", "/v1", "", 404, None, None),
            ("GET", "", "", 404, None, None),
            ("GET", "/v1models", "", 404, None, None),
            ("GET", CHAT, "", 405, None, None),
            ("POST", CHAT, HELLO, 200, None, None),
            ("POST", "/chat/completions", HELLO, 200, None, None),
            ("POST", CHAT, "", 400, None, None),
            ("POST", CHAT, "{", 400, None, None),
            ("POST", CHAT, "[]", 400, None, None),
            ("POST", CHAT, "\u{0}", 400, None, None),
            ("POST", CHAT, "{}", 400, None, Some("model")),
            ("POST", CHAT, r#"{"model": 5}"#, 400, None, None),
            ("POST", CHAT, r#"{"model": null}"#, 400, None, Some("model")),
            (
                "POST",
                CHAT,
                r#"{"model": "demo"}"#,
                400,
                None,
                Some("messages"),
            ),
            (
                "POST",
                CHAT,
                r#"{"model": "demo", "messages": []}"#,
                400,
                None,
                Some("messages"),
            ),
            (
                "POST",
                CHAT,
                r#"{"model": "demo", "messages": "hi"}"#,
                400,
                None,
                None,
            ),
            (
                "POST",
                CHAT,
                r#"{"model": "gpt"}"#,
                404,
                Some("model_not_found"),
                Some("model"),
            ),
            (
                "POST",
                CHAT,
                r#"{"model": "demo-429"}"#,
                429,
                Some("rate_limit_exceeded"),
                None,
            ),
            ("POST", CHAT, r#"{"model": "demo-500"}"#, 500, None, None),
            ("PUT", "/v1/embeddings", "", 405, None, None),
            (
                "POST",
                "/v1/embeddings",
                r#"{"model": "demo-500"}"#,
                500,
                None,
                None,
            ),
            (
                "POST",
                "/v1/embeddings",
                r#"{"model": "x"}"#,
                404,
                Some("model_not_found"),
                Some("model"),
            ),
        ];
        for (method, path, body, status, code, parameter) in rows {
            let reply = answer(&request(method, path, body));
            assert_eq!(reply.status, status, "{method} {path} {body}");
            assert_eq!(field(&reply, "content-type"), Some("application/json"));
            if status == 200 {
                continue;
            }
            let error = &whole(&reply)["error"];
            assert_eq!(error["code"].as_str(), code, "{method} {path} {body}");
            assert_eq!(error["param"].as_str(), parameter, "{method} {path} {body}");
            assert!(error["type"].is_string() && error["message"].is_string());
            assert_eq!(error.as_object().map(|error| error.len()), Some(4));
        }
    }

    #[test]
    fn refusals_carry_their_fields() {
        let rows = [
            ("GET", CHAT, "", "allow", "POST"),
            ("PUT", "/v1/models", "", "allow", "GET, HEAD"),
            ("POST", CHAT, r#"{"model": "demo-429"}"#, "retry-after", "2"),
        ];
        for (method, path, body, name, want) in rows {
            let reply = answer(&request(method, path, body));
            assert_eq!(field(&reply, name), Some(want), "{method} {path} {body}");
        }
    }

    #[test]
    fn two_keys_are_accepted() {
        let rows: [(Option<&[u8]>, u16); 12] = [
            (Some(b"Bearer demo-key-1"), 200),
            (Some(b"Bearer demo-key-2"), 200),
            (Some(b"bearer demo-key-2"), 200),
            (Some(b"Bearer  demo-key-2 "), 200),
            (Some(b"Bearer demo-key-revoked"), 401),
            (Some(b"Bearer demo-key-3"), 401),
            (Some(b"Bearer demo-key-12"), 401),
            (Some(b"Bearer "), 401),
            (Some(b"Basic demo-key-1"), 401),
            (Some(b"demo-key-1"), 401),
            (Some(b"\xff"), 401),
            (None, 401),
        ];
        for (authorization, status) in rows {
            let reply = answer(&DemoRequest {
                authorization,
                ..request("GET", "/v1/models", "")
            });
            assert_eq!(reply.status, status, "{authorization:?}");
            if status == 401 {
                assert_eq!(whole(&reply)["error"]["code"], "invalid_api_key");
                assert_eq!(field(&reply, "www-authenticate"), Some("Bearer"));
            }
        }
    }

    #[test]
    fn the_list_names_the_model_that_works_first() {
        let list = whole(&answer(&request("GET", "/models", "")));
        assert_eq!(list["object"], "list");
        let models = list["data"].as_array().expect("a list");
        let names: Vec<_> = models.iter().map(|model| &model["id"]).collect();
        assert_eq!(names, ["demo", "demo-429", "demo-500", "demo-slow"]);
        for model in models {
            assert_eq!(model["object"], "model");
            assert!(model["created"].is_u64() && model["owned_by"].is_string());
        }
    }

    #[test]
    fn an_unknown_model_is_repeated_within_bounds() {
        let rows = [
            (10, format!("`{}`", "ж".repeat(10))),
            (64, format!("`{}`", "ж".repeat(64))),
            (65, format!("`{}…`", "ж".repeat(64))),
            (9000, format!("`{}…`", "ж".repeat(64))),
        ];
        for (characters, want) in rows {
            let body = json!({"model": "ж".repeat(characters)}).to_string();
            let reply = whole(&answer(&request("POST", CHAT, &body)));
            let message = reply["error"]["message"].as_str().expect("a text");
            assert!(message.contains(&want), "{message}");
        }
    }

    #[test]
    fn what_does_not_fit_is_repeated_within_bounds() {
        let long = "x".repeat(100_000);
        let rows = [
            json!({"model": "demo", "messages": long}),
            json!({"model": "demo", "stream": long}),
            json!(long),
        ];
        for body in rows {
            let reply = whole(&answer(&request("POST", CHAT, &body.to_string())));
            let message = reply["error"]["message"].as_str().expect("a text");
            assert!(message.ends_with('…') && message.len() < 300, "{message}");
        }
    }

    #[test]
    fn only_the_slow_model_is_held_back() {
        let rows = [
            (CHAT, "demo", 0),
            (CHAT, "demo-slow", 5),
            ("/v1/embeddings", "demo", 0),
            ("/v1/embeddings", "demo-slow", 5),
        ];
        for (path, model, seconds) in rows {
            let body = json!({
                "model": model,
                "messages": [{"role": "user", "content": "hi"}],
                "input": "hi",
            });
            let reply = answer(&request("POST", path, &body.to_string()));
            assert_eq!(reply.status, 200);
            assert_eq!(reply.delay, Duration::from_secs(seconds), "{path} {model}");
        }
    }
}
