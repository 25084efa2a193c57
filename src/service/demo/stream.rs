//! A demo completion as server-sent events at a human pace. It knows no clock: it is told the time.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Model;
use super::chat::{Completion, Finish, words};
use crate::base::now::Now;

/// The most that one call of [`DemoStream::produce`] appends: a few events of a few hundred bytes around one word. The
/// longest word is the user's quoted text with every character escaped.
pub const EVENTS_BYTES_MAX: usize = 8 * 1024;

/// The pause between two words: about that of a fast model. It varies from word to word, between these two.
const WORD_GAP_MS_MIN: u64 = 30;
const WORD_GAP_MS_MAX: u64 = 50;

/// Between two words of `demo-slow`.
const SLOW_WORD_GAP: Duration = Duration::from_millis(400);

/// A reply that is being streamed. Each word is sent when it is due, and none is hurried to catch up, so that a reader
/// who pauses gets no burst.
pub struct DemoStream {
    completion: Completion,
    include_usage: bool,
    serial: u64,
    stage: Stage,
    due: Instant,
}

#[derive(Clone, Copy)]
enum Stage {
    Opening,
    /// The next word's number, and where in the text it begins.
    Word {
        number: usize,
        start: usize,
    },
    Ended,
}

impl DemoStream {
    /// Streams `completion` from `now` on. `serial` determines the pacing.
    pub fn new(completion: Completion, include_usage: bool, serial: u64, now: Now) -> DemoStream {
        DemoStream {
            completion,
            include_usage,
            serial,
            stage: Stage::Opening,
            due: now.instant,
        }
    }

    /// When the next event is due.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Appends what is due at `now`, at most [`EVENTS_BYTES_MAX`]. Returns whether the stream has ended.
    pub fn produce(&mut self, now: Now, output: &mut Vec<u8>) -> bool {
        if now.instant < self.due {
            return false;
        }
        let (number, start) = match self.stage {
            Stage::Opening => {
                self.event(json!({"role": "assistant", "content": ""}), None, output);
                (0, 0)
            }
            Stage::Word { number, start } => (number, start),
            Stage::Ended => return true,
        };
        let rest = &self.completion.text[start..];
        let word = words(rest).next().unwrap_or_default();
        let next = start + word.len();
        self.event(json!({"content": word}), None, output);
        if word.len() == rest.len() {
            self.close(output);
            self.stage = Stage::Ended;
            return true;
        }
        self.stage = Stage::Word {
            number: number + 1,
            start: next,
        };
        self.due = now.instant + self.gap(number);
        false
    }

    /// The finish reason, the usage and the end mark.
    fn close(&self, output: &mut Vec<u8>) {
        self.event(json!({}), Some(self.completion.finish), output);
        if self.include_usage {
            // OpenAI's form for clients that ask for the usage: a chunk of its own, without choices.
            let mut chunk = self.completion.envelope("chat.completion.chunk", json!([]));
            chunk["usage"] = self.completion.usage();
            push(&chunk, output);
        }
        output.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn event(&self, delta: Value, finish: Option<Finish>, output: &mut Vec<u8>) {
        let choices = json!([{
            "index": 0,
            "delta": delta,
            "logprobs": null,
            "finish_reason": finish.map(Finish::name),
        }]);
        let mut chunk = self.completion.envelope("chat.completion.chunk", choices);
        match (self.include_usage, finish) {
            (true, _) => chunk["usage"] = Value::Null,
            // A client that did not ask may not expect a chunk without choices: the last one with choices carries
            // usage.
            (false, Some(_)) => chunk["usage"] = self.completion.usage(),
            (false, None) => {}
        }
        push(&chunk, output);
    }

    /// The pause after word `number`.
    fn gap(&self, number: usize) -> Duration {
        let spread = WORD_GAP_MS_MAX - WORD_GAP_MS_MIN + 1;
        // Fibonacci hashing: neighbouring numbers differ in their high bits.
        let mixed = (self.serial ^ number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        match self.completion.model {
            Model::Slow => SLOW_WORD_GAP,
            Model::Plain | Model::RateLimited | Model::Failing => {
                Duration::from_millis(WORD_GAP_MS_MIN + mixed % spread)
            }
        }
    }
}

fn push(chunk: &Value, output: &mut Vec<u8>) {
    output.extend_from_slice(b"data: ");
    serde_json::to_writer(&mut *output, chunk).expect("a Value is written to memory");
    output.extend_from_slice(b"\n\n");
}

#[cfg(test)]
pub mod tests {
    use super::super::answer;
    use super::super::tests::request;
    use super::*;
    use crate::service::reply::Content;

    pub const CHAT: &str = "/v1/chat/completions";

    /// All chunks of a stream that is polled exactly when each is due, with the time at which each came.
    pub fn chunks(body: &Value) -> Vec<(Duration, Value)> {
        let body = body.to_string();
        let asked = request("POST", CHAT, &body);
        let reply = answer(&asked);
        let Content::Demo(mut stream) = reply.content else {
            panic!("{body} asks for a stream");
        };
        let mut passed = reply.delay;
        let mut chunks = Vec::new();
        loop {
            let mut output = Vec::new();
            let is_over = stream.produce(asked.now.after(passed), &mut output);
            assert!(output.len() <= EVENTS_BYTES_MAX);
            let text = String::from_utf8(output).expect("events are UTF-8");
            assert!(text.ends_with("\n\n"));
            for event in text.split_terminator("\n\n") {
                let data = event
                    .strip_prefix("data: ")
                    .expect("an event is one data line");
                let value = match data {
                    "[DONE]" => Value::Null,
                    data => serde_json::from_str(data).expect("a chunk is JSON"),
                };
                chunks.push((passed, value));
            }
            if is_over {
                return chunks;
            }
            passed = stream.due() - asked.now.instant;
        }
    }

    pub fn said(chunks: &[(Duration, Value)]) -> String {
        let pieces = chunks
            .iter()
            .filter_map(|(_, chunk)| chunk["choices"][0]["delta"]["content"].as_str());
        pieces.collect()
    }

    pub fn with(mut body: Value, name: &str, value: Value) -> Value {
        body[name] = value;
        body
    }

    pub fn hello() -> Value {
        json!({"model": "demo", "messages": [{"role": "user", "content": "hi  there"}]})
    }

    #[test]
    fn a_stream_has_openai_chunks_and_usage_in_the_last() {
        let rows = [
            (json!(null), false),
            (json!({}), false),
            (json!({"include_usage": false}), false),
            (json!({"include_usage": true}), true),
        ];
        for (options, asked_for_usage) in rows {
            let body = with(
                with(hello(), "stream", json!(true)),
                "stream_options",
                options,
            );
            let chunks = chunks(&body);
            let values: Vec<&Value> = chunks.iter().map(|(_, chunk)| chunk).collect();
            let [first, middle @ .., last, Value::Null] = &values[..] else {
                panic!("a stream ends with [DONE]");
            };
            assert_eq!(
                first["choices"][0]["delta"],
                json!({"role": "assistant", "content": ""})
            );
            let finish = match asked_for_usage {
                true => *middle.last().expect("there is a finish"),
                false => *last,
            };
            assert_eq!(finish["choices"][0]["delta"], json!({}));
            assert_eq!(finish["choices"][0]["finish_reason"], "stop");
            assert_eq!(last["choices"] == json!([]), asked_for_usage);
            assert_eq!(last["usage"]["prompt_tokens"], 2);
            let others = values
                .iter()
                .filter(|chunk| !chunk.is_null() && **chunk != *last);
            for chunk in others {
                assert_eq!(chunk["object"], "chat.completion.chunk");
                assert_eq!(chunk["id"], last["id"]);
                assert_eq!(chunk.get("usage"), asked_for_usage.then_some(&Value::Null));
            }
        }
    }

    #[test]
    fn words_come_at_a_human_pace() {
        let rows = [("demo", 0, 30, 50), ("demo-slow", 5000, 400, 400)];
        for (model, delay_ms, gap_ms_min, gap_ms_max) in rows {
            let body = with(with(hello(), "model", json!(model)), "stream", json!(true));
            let times: Vec<Duration> = chunks(&body)
                .into_iter()
                .map(|(passed, _)| passed)
                .collect();
            assert_eq!(times[0], Duration::from_millis(delay_ms));
            let gaps = times
                .windows(2)
                .map(|pair| (pair[1] - pair[0]).as_millis() as u64);
            let gaps: Vec<u64> = gaps.filter(|gap| *gap > 0).collect();
            assert!(gaps.len() > 50);
            assert!(
                gaps.iter()
                    .all(|gap| (gap_ms_min..=gap_ms_max).contains(gap)),
                "{gaps:?}"
            );
        }
    }

    #[test]
    fn a_stream_that_is_asked_early_or_late_neither_repeats_nor_hurries() {
        let body = with(hello(), "stream", json!(true)).to_string();
        let asked = request("POST", CHAT, &body);
        let Content::Demo(mut stream) = answer(&asked).content else {
            panic!("the body asks for a stream");
        };
        let mut output = Vec::new();
        assert!(!stream.produce(asked.now, &mut output), "there is more");
        let second = stream.due();
        output.clear();
        assert!(!stream.produce(asked.now, &mut output));
        assert_eq!(stream.due(), second);
        assert!(output.is_empty(), "nothing is due yet");
        let late = asked.now.after(Duration::from_secs(60));
        assert!(!stream.produce(late, &mut output));
        assert_eq!(
            output
                .windows(5)
                .filter(|window| window == b"data:")
                .count(),
            1
        );
        assert!(stream.due() > late.instant);
    }
}
