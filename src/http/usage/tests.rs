//! Bodies as the platforms send them, and bodies that must not mislead the scan, in every cut.

use super::*;

/// The tokens after `pieces`, as `input/output`.
fn count(format: Format, pieces: &[&[u8]]) -> String {
    let (mut sieve, mut scan) = (UsageSieve::new(format), UsageScan::default());
    for piece in pieces {
        sieve.pass(piece, &mut scan);
    }
    let show = |tokens: Option<u64>| tokens.map_or("-".to_string(), |tokens| tokens.to_string());
    let Tokens { input, output } = scan.tokens();
    format!("{}/{}", show(input), show(output))
}

fn check_every_cut(format: Format, body: &str, want: &str) {
    let bytes = body.as_bytes();
    assert_eq!(count(format, &[bytes]), want, "whole: {body}");
    let each: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(count(format, &each), want, "byte by byte: {body}");
    for cut in 0..bytes.len() {
        let (left, right) = bytes.split_at(cut);
        assert_eq!(count(format, &[left, right]), want, "cut at {cut}: {body}");
    }
}

#[test]
fn json_bodies() {
    let rows = [
        // OpenAI: chat, responses, embeddings.
        (
            r#"{"id":"c","choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21,"prompt_tokens_details":{"cached_tokens":1}}}"#,
            "9/12",
        ),
        (
            r#"{"object":"response","output":[],"usage":{"input_tokens":36,"input_tokens_details":{"input_tokens":1},"output_tokens":87,"output_tokens_details":{"reasoning_tokens":5}}}"#,
            "36/87",
        ),
        (
            r#"{"data":[{"embedding":[0.1,-2e-3]}],"usage":{"prompt_tokens":8,"total_tokens":8}}"#,
            "8/-",
        ),
        // Anthropic.
        (
            r#"{"type":"message","content":[{"type":"tool_use","input":{"usage":{"input_tokens":1}}}],"usage":{"input_tokens":10,"cache_creation_input_tokens":5,"cache_read_input_tokens":7,"cache_creation":{"output_tokens":3},"output_tokens":20}}"#,
            "10/20",
        ),
        // Gemini: one response, and the list that it sends when no SSE was asked for.
        (
            r#"{"candidates":[],"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":5,"totalTokenCount":16,"thoughtsTokenCount":7,"promptTokensDetails":[{"modality":"TEXT","tokenCount":4}]}}"#,
            "4/12",
        ),
        (
            "[{\"usageMetadata\":{\"promptTokenCount\":4}}\n,\r\n{\"usageMetadata\":{\"promptTokenCount\":4,\"candidatesTokenCount\":9}}\n]",
            "4/9",
        ),
        // Gemini's interactions, which name the sums of all modalities.
        (
            r#"{"object":"interaction","outputs":[{"text":"x"}],"usage":{"total_input_tokens":11,"input_tokens_by_modality":[{"modality":"text","tokens":11}],"total_cached_tokens":3,"total_output_tokens":4,"total_thought_tokens":5,"total_tokens":20}}"#,
            "11/9",
        ),
        // Whitespace, order and other members beside them.
        (
            " { \"usage\" : { \"prompt_tokens\" : 1 ,\n\"completion_tokens\" : 2 } } ",
            "1/2",
        ),
        (
            r#"{"usage":{"completion_tokens":2,"prompt_tokens":1,"cost":0.5},"x":1}"#,
            "1/2",
        ),
        (
            r#"{"usage":{"prompt_tokens":7,"completion_tokens":8,"input_tokens":0,"output_tokens":0}}"#,
            "7/8",
        ),
        (r#"{"usage":{"input_tokens":0,"output_tokens":0}}"#, "0/0"),
        (
            r#"{"usage":{"prompt_tokens":18446744073709551615,"completion_tokens":18446744073709551616}}"#,
            "18446744073709551615/-",
        ),
        (
            r#"{"usageMetadata":{"candidatesTokenCount":18446744073709551615,"thoughtsTokenCount":1}}"#,
            "-/18446744073709551615",
        ),
        (
            r#"{"usage":{"prompt_tokens":184467440737095516150,"completion_tokens":3}}"#,
            "-/3",
        ),
        (r#"{"usageMetadata":{"thoughtsTokenCount":7}}"#, "-/7"),
        // The last one counts.
        (
            r#"[{"usage":{"prompt_tokens":9}},{"usage":{"prompt_tokens":4}}]"#,
            "4/-",
        ),
        // Content that looks like a usage.
        (
            r#"{"content":"\"usage\":{\"prompt_tokens\":1}","x":"{\"usage\":{\"prompt_tokens\":1}}"}"#,
            "-/-",
        ),
        (
            r#"{"choices":[{"usage":{"prompt_tokens":1}}],"choice":{"usage":{"prompt_tokens":1}}}"#,
            "-/-",
        ),
        (
            r#"{"x":"usage","y":{"prompt_tokens":1},"z":["usage",{"prompt_tokens":1}]}"#,
            "-/-",
        ),
        (
            r#"{"usage":[{"prompt_tokens":1}],"prompt_tokens":1}"#,
            "-/-",
        ),
        (r#"{"usage":"x","y":{"prompt_tokens":1}}"#, "-/-"),
        (r#"{"usage":null,"y":{"prompt_tokens":1}}"#, "-/-"),
        (
            r#"{"usage":{"x":"\\","prompt_tokens":"1","completion_tokens":2}}"#,
            "-/2",
        ),
        (
            r#"{"usage":{"prompt_tokens":-1,"completion_tokens":1.5}}"#,
            "-/-",
        ),
        (
            r#"{"usage":{"prompt_tokens":null,"completion_tokens":true}}"#,
            "-/-",
        ),
        (
            r#"{"usage":{"x":{"prompt_tokens":1},"completion_tokens":2}}"#,
            "-/2",
        ),
        (
            r#"{"response":{"message":{"usage":{"prompt_tokens":1}}}}"#,
            "-/-",
        ),
        (
            r#"{"usage_":{"prompt_tokens":1},"usag":{"prompt_tokens":1},"Usage":{"prompt_tokens":1}}"#,
            "-/-",
        ),
        (r#""{\"usage\":{\"prompt_tokens\":1}}""#, "-/-"),
        // Cut off or broken.
        (r#"{"usage":{"prompt_tokens":1"#, "-/-"),
        (r#"{"usage":{"prompt_tokens":1}"#, "1/-"),
        (r#"{"a" {"usage":{"prompt_tokens":1}}}"#, "-/-"),
        (r#"{"a":]}{"usage":{"prompt_tokens":1}}"#, "-/-"),
        ("", "-/-"),
    ];
    for (body, want) in rows {
        check_every_cut(Format::Json, body, want);
    }
}

#[test]
fn event_streams() {
    let rows = [
        (
            concat!(
                "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\":{\"}}],\"usage\":null}\n\n",
                "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":6}}\n\n",
                "data: [DONE]\n\n",
            ),
            "5/6",
        ),
        (
            concat!(
                "event: response.created\r\ndata: {\"type\":\"response.created\",\"response\":{\"usage\":null}}\r\n\r\n",
                "event: response.completed\r\ndata: {\"type\":\"response.completed\",\"response\":{\"output\":[{\"x\":1}],",
                "\"usage\":{\"input_tokens\":37,\"output_tokens\":11}},\"sequence_number\":9}\r\n\r\n",
            ),
            "37/11",
        ),
        (
            concat!(
                "data: {\"event_type\":\"content.delta\",\"delta\":{\"text\":\"token\"}}\n\n",
                "data: {\"event_type\":\"interaction.completed\",\"interaction\":{\"status\":\"completed\",",
                "\"usage\":{\"total_input_tokens\":3,\"total_output_tokens\":4}}}\n\n",
            ),
            "3/4",
        ),
        (
            concat!(
                "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"content\":[],",
                "\"usage\":{\"input_tokens\":25,\"cache_read_input_tokens\":3,\"output_tokens\":1}}}\n\n",
                "event: ping\ndata: {\"type\": \"ping\"}\n\n",
                "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},",
                "\"usage\":{\"output_tokens\":15}}\n\n",
            ),
            "25/15",
        ),
        (
            concat!(
                "data: {\"usageMetadata\":{\"promptTokenCount\":7,\"candidatesTokenCount\":1,\"thoughtsTokenCount\":2}}\r\n\r\n",
                "data: {\"usageMetadata\":{\"promptTokenCount\":7,\"candidatesTokenCount\":30,\"thoughtsTokenCount\":2}}\r\n\r\n",
            ),
            "7/32",
        ),
        // Broken data end with their event.
        (
            "data: {\"x\":\"\n\ndata: {\"usage\":{\"prompt_tokens\":1}}\n\n",
            "1/-",
        ),
        (
            "data: {\"usage\":{\"prompt_tokens\":\n\ndata: {\"prompt_tokens\":2}}\n\n",
            "-/-",
        ),
        // Data of several lines are one text; fields other than data are ignored.
        (
            "data: {\"usage\":\ndata: {\"prompt_tokens\":1\ndata:}}\n\n",
            "1/-",
        ),
        (
            "data: {\"usage\":\r\ndata: {\"prompt_tokens\":1\r\ndata:}}\r\n\r\n",
            "1/-",
        ),
        (
            "id: {\"usage\":{\"prompt_tokens\":1}}\n: {\"usage\":{\"prompt_tokens\":1}}\n\n",
            "-/-",
        ),
        // A stream that ends without its last empty line.
        ("data:{\"usage\":{\"prompt_tokens\":1}}", "1/-"),
    ];
    for (body, want) in rows {
        check_every_cut(Format::EventStream, body, want);
    }
}

#[test]
fn formats() {
    let rows: &[(Option<&str>, Option<&str>, Format)] = &[
        (Some("application/json"), None, Format::Json),
        (
            Some("Application/JSON; charset=utf-8"),
            Some("identity"),
            Format::Json,
        ),
        (Some("application/problem+json"), Some(""), Format::Json),
        (
            Some("text/event-stream;charset=utf-8"),
            None,
            Format::EventStream,
        ),
        (Some(" text/event-stream "), None, Format::EventStream),
        (Some("text/event-stream"), Some("gzip"), Format::Ignored),
        (
            Some("application/json"),
            Some("identity, br"),
            Format::Ignored,
        ),
        (Some("application/jsonl"), None, Format::Ignored),
        (Some("text/plain"), None, Format::Ignored),
        (Some(""), None, Format::Ignored),
        (None, None, Format::Ignored),
    ];
    for (content_type, content_encoding, want) in rows {
        let got = Format::of(
            content_type.map(str::as_bytes),
            content_encoding.map(str::as_bytes),
        );
        assert_eq!(got, *want, "{content_type:?} {content_encoding:?}");
    }
    let body = br#"{"usage":{"prompt_tokens":1}}"#;
    assert_eq!(count(Format::Ignored, &[body]), "-/-");
}

#[test]
fn any_bytes_in_any_cuts_count_the_same() {
    const WORDS: [&str; 22] = [
        "{",
        "}",
        "[",
        "]",
        "\"",
        "\\",
        ":",
        ",",
        "\n",
        "\r",
        "data:",
        " ",
        "1",
        "x",
        "\"usage\":{",
        "\"prompt_tokens\":1",
        "\"output_tokens\":2",
        "\"message\":{",
        "\"response\":{",
        "\"usageMetadata\":{",
        "\u{e9}",
        "\0",
    ];
    let mut seed = 1u64;
    let mut random = |below: usize| {
        // Knuth's generator: enough to mix words, and the same on every run.
        seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (seed >> 33) as usize % below
    };
    let mut counted = 0;
    for round in 0..20_000 {
        let mut body = Vec::new();
        for _ in 0..random(24) {
            body.extend_from_slice(WORDS[random(WORDS.len())].as_bytes());
        }
        for format in [Format::Json, Format::EventStream] {
            let whole = count(format, &[&body]);
            let (left, right) = body.split_at(random(body.len() + 1));
            assert_eq!(
                count(format, &[left, right]),
                whole,
                "round {round}: {:?}",
                String::from_utf8_lossy(&body)
            );
            let each: Vec<&[u8]> = body.chunks(1).collect();
            assert_eq!(
                count(format, &each),
                whole,
                "round {round}: {:?}",
                String::from_utf8_lossy(&body)
            );
            counted += usize::from(whole != "-/-");
        }
    }
    assert!(counted > 0, "some of the texts hold a usage");
}

#[test]
fn the_last_event_is_known_if_it_comes_in_one_piece() {
    let rows: [(&[&str], bool); 18] = [
        (&["data: [DONE]\n\n"], true),
        (&["data: {}\n\n"], false),
        (&["data: {}\r\n\r\n", "data: [DONE]\r\n\r\n"], true),
        (&["data: [DONE]\n\n", ": {}\n\n"], true),
        (&["data: [DONE]\n\n", "data: {}\n\n"], false),
        (&["data: [DONE]\n\n: {}\n\n"], true),
        (&["data: [DONE]\r\r: {}\n\n"], true),
        (&["data: [DONE]\ndata: {}\n\n"], false),
        (&["data:[DONE]\r\n\r\n"], true),
        (&["data: {\"a\":1}\n\n", "data: [DONE]\r\r"], true),
        (&["data: {\"oken\":1}\n\ndata: [DONE]\n\n: bye\n\n"], true),
        (&["data: [DONE]\n\ndata: {}\n\n"], false),
        (&["data: [DONE]\n\n", "data: "], true),
        (&["data: [DONE]\n\n", "data: {"], false),
        (&["data: [DONE]\n"], false),
        (&["data: [DO", "NE]\n\n"], false),
        (&["data: x", "[DONE]\n\n"], false),
        (&["data: x\ndata: [DONE]\n\n"], false),
    ];
    for (pieces, want) in rows {
        let (mut sieve, mut scan) = (UsageSieve::new(Format::EventStream), UsageScan::default());
        for piece in pieces {
            sieve.pass(piece.as_bytes(), &mut scan);
        }
        assert_eq!(sieve.is_over(), want, "{pieces:?}");
    }
}

#[test]
fn stays_small() {
    assert!(
        size_of::<UsageScan>() < 200,
        "{} bytes",
        size_of::<UsageScan>()
    );
}
