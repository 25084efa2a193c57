//! Request bodies that are kept, outgrow their bound, stream through, and are sent again.

use super::*;
use crate::exchange::core::Core;
use crate::exchange::testing::{PLATFORM, buffer, core, drain, request, shown};
use crate::exchange::transfer::nothing_withheld;
use crate::http::splits::every_split;

mod bounds;

const HEAD: &[u8] = b"POST / HTTP/1.1\r\n";
const LINES: &[u8] = b"Authorization: Bearer sk-1\r\n";
const SENT_HEAD: &str = "POST / HTTP/1.1\r\nAuthorization: Bearer sk-1\r\n\r\n";

const PLENTY: Limits = Limits {
    kept_bytes_max: 1000,
    content_bytes_max: 1000,
    bound: "a bound",
};

/// One upload and what it needs.
struct Bench {
    core: Core,
    request: Box<Request>,
    upload: Upload,
    input: Buffer,
    output: Buffer,
}

impl Bench {
    fn new(framing: Framing, limits: Limits, memory_max: u64) -> Bench {
        let mut core = core("{}", PLATFORM);
        core.retry_memory.max = memory_max;
        let request = request(&mut core);
        let upload = Upload::new(HEAD, framing, limits, &mut core.blocks, &core.retry_memory);
        Bench {
            core,
            request,
            upload,
            input: buffer(b""),
            output: buffer(b""),
        }
    }

    /// Pumps with a connection to the platform.
    fn pump(&mut self) -> Result<Stopped, Reason> {
        let (blocks, memory) = (&mut self.core.blocks, &self.core.retry_memory);
        let output = Some(&mut self.output);
        self.upload
            .pump(&mut self.input, output, &mut self.request, blocks, memory)
    }

    /// Pumps while there is none yet.
    fn collect(&mut self) -> Result<Stopped, Reason> {
        let (blocks, memory) = (&mut self.core.blocks, &self.core.retry_memory);
        self.upload
            .pump(&mut self.input, None, &mut self.request, blocks, memory)
    }

    fn begin(&mut self) {
        self.upload.begin_try(LINES, &mut self.output);
    }

    fn forget_sent(&mut self) {
        self.upload.forget_sent(&mut self.core.blocks);
    }

    /// The bytes of memory that the upload holds.
    fn held_bytes(&self) -> usize {
        self.upload.kept.held_bytes()
    }

    /// Gives the memory back and checks that nothing is left counted.
    fn discard(mut self) {
        let _ = self.upload.discard(&mut self.core.blocks);
        assert_eq!(self.core.retry_memory.used(), 0);
    }
}

fn limits(kept_bytes_max: u64) -> Limits {
    Limits {
        kept_bytes_max,
        ..PLENTY
    }
}

/// Framing, limits, memory, what the client sends; the body that is sent, what is left, whether it can be sent again.
const ROWS: [(Framing, u64, u64, &str, &str, &str, bool); 12] = [
    (Framing::None, 100, 100, "GET", "", "GET", true),
    (Framing::Length(0), 100, 100, "", "", "", true),
    (
        Framing::Length(5),
        100,
        100,
        "abcdeGET",
        "abcde",
        "GET",
        true,
    ),
    (Framing::Length(5), 5, 5, "abcde", "abcde", "", true),
    (Framing::Length(5), 4, 100, "abcde", "abcde", "", false),
    (Framing::Length(5), 100, 4, "abcde", "abcde", "", false),
    (Framing::Length(5), 0, 0, "abcdeGET", "abcde", "GET", false),
    (Framing::Length(0), 0, 0, "GET", "", "GET", true),
    (
        Framing::Chunked,
        100,
        1000,
        "3\r\nabc\r\n0\r\n\r\n",
        "abc",
        "",
        true,
    ),
    (
        Framing::Chunked,
        7,
        1000,
        "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\nGET",
        "abcdefg",
        "GET",
        true,
    ),
    (
        Framing::Chunked,
        4,
        1000,
        "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\nGET",
        "abcdefg",
        "GET",
        false,
    ),
    (
        Framing::Chunked,
        0,
        0,
        "3\r\nabc\r\n0\r\n\r\n",
        "abc",
        "",
        false,
    ),
];

/// What was sent after the head, with the chunks decoded.
fn body_of(framing: Framing, sent: &[u8]) -> String {
    let sent = shown(sent);
    let body = sent.strip_prefix(SENT_HEAD).expect("the head comes first");
    if framing != Framing::Chunked {
        return body.to_string();
    }
    let mut decoder = Decoder::new(framing);
    let (mut input, mut output) = (buffer(body.as_bytes()), buffer(b""));
    let stopped = transfer(
        &mut decoder,
        &mut input,
        &mut output,
        Coding::Identity,
        nothing_withheld,
        |_| {},
    );
    assert_eq!(stopped, Ok(Stopped::Done), "{body:?}");
    shown(&drain(&mut output))
}

#[test]
fn each_piece_goes_on_at_once_and_again_in_a_retry() {
    for (framing, kept_max, memory_max, sent, body, left, is_repeatable) in ROWS {
        every_split(sent.as_bytes(), |pieces| {
            let mut bench = Bench::new(framing, limits(kept_max), memory_max);
            let mut first = Vec::new();
            bench.begin();
            for piece in std::iter::once(&&b""[..]).chain(pieces) {
                bench.input.put(piece);
                bench.pump().expect("a well-formed body within its bounds");
                first.extend(drain(&mut bench.output));
            }
            assert!(
                bench.upload.is_done() && bench.upload.is_received(),
                "{sent:?}"
            );
            assert_eq!(body_of(framing, &first), body, "{framing:?} {sent:?}");
            assert_eq!(shown(bench.input.unread()), left, "{framing:?} {sent:?}");
            assert_eq!(bench.request.bytes_in, body.len() as u64);
            if !is_repeatable {
                // How it is cut decides whether a chunked body outgrows its bound before its end.
                assert!(
                    !bench.upload.is_repeatable() || framing == Framing::Chunked,
                    "{sent:?}"
                );
            } else {
                assert!(bench.upload.is_repeatable(), "{framing:?} {sent:?}");
                bench.begin();
                assert_eq!(bench.pump().ok(), Some(Stopped::Done));
                assert_eq!(drain(&mut bench.output), first, "the same bytes again");
            }
            bench.discard();
        });
    }
}

#[test]
fn a_body_that_comes_before_the_platform_is_kept() {
    for (framing, kept_max, memory_max, sent, body, left, _) in ROWS {
        every_split(sent.as_bytes(), |pieces| {
            let mut bench = Bench::new(framing, limits(kept_max), memory_max);
            for piece in pieces {
                bench.input.put(piece);
                bench
                    .collect()
                    .expect("a well-formed body within its bounds");
            }
            bench.begin();
            let stopped = bench.pump().expect("a well-formed body within its bounds");
            assert_eq!(stopped, Stopped::Done);
            let out = drain(&mut bench.output);
            assert_eq!(body_of(framing, &out), body, "{framing:?} {sent:?}");
            assert_eq!(shown(bench.input.unread()), left);
            bench.discard();
        });
    }
}

#[test]
fn a_retry_in_the_middle_sends_what_has_come_and_goes_on() {
    let body = "abcdefgh";
    for cut in 0..body.len() {
        let (before, after) = body.split_at(cut);
        let mut bench = Bench::new(Framing::Length(8), PLENTY, 100);
        bench.begin();
        bench.input.put(before.as_bytes());
        assert_eq!(bench.pump().ok(), Some(Stopped::Starved));
        assert_eq!(
            shown(&drain(&mut bench.output)),
            format!("{SENT_HEAD}{before}")
        );
        bench.begin();
        bench.input.put(after.as_bytes());
        assert_eq!(bench.pump().ok(), Some(Stopped::Done));
        assert_eq!(
            shown(&drain(&mut bench.output)),
            format!("{SENT_HEAD}{body}")
        );
        bench.discard();
    }
}

#[test]
fn a_large_body_streams_through_a_slow_platform() {
    let body: Vec<u8> = (0..300_000u32).map(|byte| byte as u8).collect();
    for kept_max in [0, 1000, 100_000, 1_000_000] {
        let limits = Limits {
            kept_bytes_max: kept_max,
            content_bytes_max: 300_000,
            ..PLENTY
        };
        let mut bench = Bench::new(Framing::Length(300_000), limits, 10_000_000);
        bench.begin();
        let (mut given, mut out) = (0, Vec::new());
        let mut turns = 0;
        while !bench.upload.is_done() {
            given += bench.input.append(&body[given..]);
            bench.pump().expect("within its bounds");
            let count = bench.output.len().min(20_000);
            out.extend_from_slice(&bench.output.unread()[..count]);
            bench.output.consume(count);
            turns += 1;
            assert!(turns < 1000, "{kept_max}: it does not end");
        }
        out.extend(drain(&mut bench.output));
        assert!(
            out.ends_with(&body) && out.len() == SENT_HEAD.len() + body.len(),
            "{kept_max}"
        );
        assert_eq!(bench.upload.is_repeatable(), kept_max == 1_000_000);
        bench.discard();
    }
}

#[test]
fn too_large_or_malformed() {
    let small = Limits {
        content_bytes_max: 4,
        ..PLENTY
    };
    let streamed = Limits {
        kept_bytes_max: 0,
        ..small
    };
    for limits in [small, streamed] {
        for (sent, status) in [
            ("5\r\nabcde\r\n", 413),
            ("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 413),
            ("5\r\n", 413),
            ("3\r\nabc\r\n2\r\n", 413),
            ("1\r\na\r\nffffffffffffffff\r\n", 413),
            ("x\r\n", 400),
            ("1\r\naX\r\n", 400),
        ] {
            let mut bench = Bench::new(Framing::Chunked, limits, 1000);
            bench.begin();
            bench.input.put(sent.as_bytes());
            let mut result = bench.pump();
            if result.is_ok() {
                result = bench.pump();
            }
            let status_told = result.err().and_then(|reason| reason.status());
            assert_eq!(status_told, Some(status), "{sent:?} {limits:?}");
            bench.discard();
        }
        let mut bench = Bench::new(Framing::Chunked, limits, 1000);
        bench.begin();
        for piece in ["4\r\n", "ab", "cd\r\n0\r\n\r\n"] {
            bench.input.put(piece.as_bytes());
            assert!(
                bench.pump().is_ok() && bench.pump().is_ok(),
                "as large as may be"
            );
        }
        bench.discard();
    }
}

#[test]
fn an_answer_that_begins_ends_the_keeping() {
    let mut bench = Bench::new(Framing::Length(6), PLENTY, 100);
    bench.begin();
    bench.input.put(b"abc");
    assert_eq!(bench.pump().ok(), Some(Stopped::Starved));
    assert_eq!(bench.core.retry_memory.used(), 3);
    bench.upload.stop_keeping();
    assert!(!bench.upload.is_repeatable());
    bench.input.put(b"def");
    assert_eq!(bench.pump().ok(), Some(Stopped::Done));
    assert_eq!(bench.core.retry_memory.used(), 0);
    assert_eq!(
        shown(&drain(&mut bench.output)),
        format!("{SENT_HEAD}abcdef")
    );
    bench.discard();
}

#[test]
fn a_probe_s_request_is_whole() {
    for body in ["", "{}"] {
        let mut bench = Bench::new(Framing::None, PLENTY, 100);
        let (blocks, memory) = (&mut bench.core.blocks, &bench.core.retry_memory);
        bench.upload = Upload::complete(HEAD, body.as_bytes(), blocks, memory);
        for _ in 0..2 {
            bench.begin();
            assert_eq!(bench.pump().ok(), Some(Stopped::Done));
            assert_eq!(
                shown(&drain(&mut bench.output)),
                format!("{SENT_HEAD}{body}")
            );
        }
        bench.discard();
    }
}

#[test]
fn a_service_gets_the_content_alone() {
    let sent = b"3\r\nabc\r\n2\r\nde\r\n0\r\nX: 1\r\n\r\n";
    let found = every_split(sent, |pieces| {
        let mut bench = Bench::new(Framing::None, PLENTY, 1000);
        let (blocks, memory) = (&mut bench.core.blocks, &bench.core.retry_memory);
        bench.upload = Upload::collecting(Framing::Chunked, PLENTY, blocks, memory);
        for piece in pieces {
            bench.input.put(piece);
            bench.collect().expect("a well-formed body");
        }
        let content = shown(&bench.upload.content());
        bench.discard();
        content
    });
    assert_eq!(found, "abcde");
}

#[test]
fn no_trailer_speaks_for_the_platform_s_own_fields() {
    let platform =
        r#""base_url": "http://h.example", "auth_header": "X-Auth", "headers": {"X-Version": "1"}"#;
    let body = b"1\r\na\r\n0\r\nx-auth: stolen\r\nX-VERSION: 2\r\nX-Sum: 1\r\n\r\n";
    for kept_bytes_max in [1000, 0] {
        let mut bench = Bench::new(Framing::Chunked, limits(kept_bytes_max), 1000);
        bench.request = request(&mut core("{}", platform));
        bench.request.route = Some(0);
        bench.begin();
        bench.input.put(body);
        assert_eq!(bench.pump().expect("well-formed"), Stopped::Done);
        assert_eq!(
            shown(&drain(&mut bench.output)),
            format!("{SENT_HEAD}1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n"),
            "{kept_bytes_max}"
        );
        bench.discard();
    }
}

#[test]
fn once_an_answer_has_begun_nothing_is_held_of_what_has_left() {
    let mut bench = Bench::new(Framing::Length(5), PLENTY, 100);
    bench.begin();
    bench.input = buffer(b"abc");
    assert_eq!(bench.pump().unwrap(), Stopped::Starved);
    bench.forget_sent();
    assert!(bench.held_bytes() > 0, "it may have to be sent again");
    bench.upload.stop_keeping();
    bench.forget_sent();
    assert_eq!((bench.held_bytes(), bench.core.retry_memory.used()), (0, 0));
    bench.input = buffer(b"deGET");
    assert_eq!(bench.pump().unwrap(), Stopped::Done);
    bench.forget_sent();
    assert_eq!(
        shown(&drain(&mut bench.output)),
        format!("{SENT_HEAD}abcde")
    );
    assert_eq!(shown(bench.input.unread()), "GET");
    bench.discard();
}
