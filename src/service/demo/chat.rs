//! The demo platform's chat completions: the request and the reply. How a stream is paced is not known here.

use std::fmt::Write;

use serde::Deserialize;
use serde_json::{Value, json};

use super::fault::Fault;
use super::stream::DemoStream;
use super::{DemoRequest, Model, excerpt, parse};
use crate::service::reply::{Content, Reply};

/// How much of the last user message the reply quotes.
const QUOTE_CHARACTERS_MAX: usize = 200;

/// A reply and the contents of its envelope.
pub struct Completion {
    id: String,
    created_unix_seconds: u64,
    pub model: Model,
    pub text: String,
    pub finish: Finish,
    prompt_tokens: usize,
}

/// Why the text ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    Stop,
    Length,
}

/// What is read of a request's body; all else is accepted and ignored.
#[derive(Deserialize)]
struct ChatRequest {
    model: Option<String>,
    #[serde(default)]
    messages: Vec<Message>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<usize>,
    max_completion_tokens: Option<usize>,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: Option<MessageContent>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum MessageContent {
    Text(String),
    Parts(Vec<Part>),
}

/// A part of a message; those without text, such as images, are ignored.
#[derive(Deserialize)]
struct Part {
    text: Option<String>,
}

/// Answers `POST /v1/chat/completions`.
pub fn complete(request: &DemoRequest<'_>) -> Result<Reply, Fault> {
    let asked: ChatRequest = parse(request.body)?;
    let model = Model::find(asked.model.as_deref())?;
    if asked.messages.is_empty() {
        let message = "'messages' must hold one message at least.";
        return Err(Fault::invalid(Some("messages"), message));
    }
    let delay = model.delay();
    let completion = Completion::new(&asked, model, request);
    if !asked.stream.unwrap_or(false) {
        return Ok(Reply {
            delay,
            ..Reply::json(200, &completion.whole())
        });
    }
    let include_usage = asked
        .stream_options
        .is_some_and(|options| options.include_usage == Some(true));
    let stream = DemoStream::new(completion, include_usage, request.serial, request.now);
    let reply = Reply {
        content: Content::Demo(stream),
        delay,
        ..Reply::empty(200)
    };
    Ok(reply
        .with("content-type", "text/event-stream; charset=utf-8")
        .with("cache-control", "no-cache"))
}

impl Completion {
    fn new(asked: &ChatRequest, model: Model, request: &DemoRequest<'_>) -> Completion {
        let quote = asked.last_user_text();
        let text = reply_text(excerpt(quote.trim(), QUOTE_CHARACTERS_MAX).as_str());
        let words_max = asked
            .max_completion_tokens
            .or(asked.max_tokens)
            .unwrap_or(usize::MAX)
            .max(1);
        let end: usize = words(&text).take(words_max).map(str::len).sum();
        Completion {
            id: format!("chatcmpl-demo{:016x}", request.serial),
            created_unix_seconds: request.now.unix_seconds(),
            model,
            finish: match end == text.len() {
                true => Finish::Stop,
                false => Finish::Length,
            },
            text: text[..end].to_string(),
            prompt_tokens: asked.words(),
        }
    }

    fn whole(&self) -> Value {
        let choices = json!([{
            "index": 0,
            "message": {"role": "assistant", "content": self.text, "refusal": null},
            "logprobs": null,
            "finish_reason": self.finish.name(),
        }]);
        let mut whole = self.envelope("chat.completion", choices);
        whole["usage"] = self.usage();
        whole
    }

    pub fn envelope(&self, object: &str, choices: Value) -> Value {
        json!({
            "id": self.id,
            "object": object,
            "created": self.created_unix_seconds,
            "model": self.model.name(),
            "choices": choices,
        })
    }

    /// A word counts as a token here.
    pub fn usage(&self) -> Value {
        let completion_tokens = words(&self.text).count();
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": self.prompt_tokens + completion_tokens,
        })
    }
}

impl Finish {
    pub fn name(self) -> &'static str {
        match self {
            Finish::Stop => "stop",
            Finish::Length => "length",
        }
    }
}

impl ChatRequest {
    /// The text of the user's last message; empty if there is none.
    fn last_user_text(&self) -> &str {
        let from_user = |message: &&Message| message.role == "user";
        let last = self.messages.iter().rev().find(from_user);
        last.and_then(|message| message.texts().next())
            .unwrap_or_default()
    }

    fn words(&self) -> usize {
        let texts = self.messages.iter().flat_map(Message::texts);
        texts.map(|text| text.split_whitespace().count()).sum()
    }
}

impl Message {
    fn texts(&self) -> impl Iterator<Item = &str> {
        let (text, parts) = match &self.content {
            None => (None, &[][..]),
            Some(MessageContent::Text(text)) => (Some(text.as_str()), &[][..]),
            Some(MessageContent::Parts(parts)) => (None, parts.as_slice()),
        };
        let of_parts = parts.iter().filter_map(|part| part.text.as_deref());
        text.into_iter().chain(of_parts)
    }
}

fn reply_text(quote: &str) -> String {
    let mut text = "Hello from the demo platform inside ai-api-proxy! ".to_string();
    if !quote.is_empty() {
        write!(text, "You wrote: “{quote}” ").expect("a String takes all that fits into memory");
    }
    text.push_str(
        "I am no model, but this answer took the same way as a real one: the proxy picked a platform key for it, \
         passed on each word as it came and counted its tokens. Look at /dashboard to see that. The models demo-429, \
         demo-500 and demo-slow misbehave as they are called. To talk to a real model, add its platform and your key \
         to platform.json.",
    );
    text
}

/// The words of `text`, each with the spaces after it.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(' ')
}

#[cfg(test)]
mod tests {
    use super::super::answer;
    use super::super::stream::tests::{CHAT, chunks, hello, said, with};
    use super::super::tests::{request, whole};
    use super::*;

    #[test]
    fn the_reply_refers_to_the_last_user_message_within_bounds() {
        let long = "x".repeat(100_000);
        let rows = [
            (
                json!([{"role": "user", "content": "one"}]),
                Some("“one”".to_string()),
            ),
            (
                json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]),
                Some("“a”".to_string()),
            ),
            (
                json!([{"role": "user", "content": "a"}, {"role": "user", "content": " c\n"}]),
                Some("“c”".to_string()),
            ),
            (
                json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "d"}]}]),
                Some("“d”".to_string()),
            ),
            (
                json!([{"role": "user", "content": long}]),
                Some(format!("“{}…”", "x".repeat(200))),
            ),
            (
                json!([{"role": "user", "content": "\u{1}\"\\"}]),
                Some("“\u{1}\"\\”".to_string()),
            ),
            (json!([{"role": "user", "content": ""}]), None),
            (json!([{"role": "user", "content": null}]), None),
            (json!([{"role": "user"}]), None),
            (json!([{"role": "user", "content": []}]), None),
            (json!([{"role": "system", "content": "s"}]), None),
        ];
        for (messages, want) in rows {
            let body = with(hello(), "messages", messages);
            let reply = whole(&answer(&request("POST", CHAT, &body.to_string())));
            let text = reply["choices"][0]["message"]["content"]
                .as_str()
                .expect("a text");
            assert_eq!(text.contains("You wrote"), want.is_some(), "{body}");
            assert!(text.contains(&want.unwrap_or_default()), "{text}");
            let streamed = said(&chunks(&with(body, "stream", json!(true))));
            assert_eq!(streamed, text, "streamed and whole say the same");
        }
    }

    #[test]
    fn a_whole_completion_has_openai_shape() {
        let reply = whole(&answer(&request("POST", CHAT, &hello().to_string())));
        let text = reply["choices"][0]["message"]["content"]
            .as_str()
            .expect("a text");
        let completion_tokens = text.split(' ').count();
        let want = json!({
            "id": "chatcmpl-demo0000000000000007",
            "object": "chat.completion",
            "created": 1_800_000_000u64,
            "model": "demo",
            "choices": [{
                "index": 0,
                "message": {"role": "assistant", "content": text, "refusal": null},
                "logprobs": null,
                "finish_reason": "stop",
            }],
            "usage": {
                "prompt_tokens": 2,
                "completion_tokens": completion_tokens,
                "total_tokens": 2 + completion_tokens,
            },
        });
        assert_eq!(reply, want);
    }

    #[test]
    fn a_reply_is_cut_at_the_tokens_asked_for() {
        let rows = [
            ("max_tokens", json!(3), 3, "length"),
            ("max_completion_tokens", json!(1), 1, "length"),
            ("max_tokens", json!(0), 1, "length"),
            ("max_tokens", json!(100_000), 0, "stop"),
            ("max_tokens", json!(null), 0, "stop"),
        ];
        for (name, value, tokens, finish) in rows {
            let body = with(hello(), name, value);
            let reply = whole(&answer(&request("POST", CHAT, &body.to_string())));
            assert_eq!(reply["choices"][0]["finish_reason"], finish, "{body}");
            if finish == "length" {
                assert_eq!(reply["usage"]["completion_tokens"], tokens, "{body}");
            }
            let chunks = chunks(&with(body, "stream", json!(true)));
            assert_eq!(said(&chunks), reply["choices"][0]["message"]["content"]);
        }
    }
}
