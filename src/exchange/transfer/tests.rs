//! Bodies transferred from one framing to another, in every split.

use super::*;
use crate::exchange::testing::{buffer, drain, shown};
use crate::http::Framing;
use crate::http::splits::every_split;

/// What went out, what was watched, what is left, and how it ended.
type Moved = (String, String, String, Result<Stopped, Malformed>);

fn moved(framing: Framing, coding: Coding, pieces: &[&[u8]]) -> Moved {
    let mut decoder = Decoder::new(framing);
    let (mut input, mut output) = (buffer(b""), buffer(b""));
    let (mut out, mut watched) = (Vec::new(), Vec::new());
    let mut stopped = Ok(Stopped::Starved);
    // The first look comes before any byte has arrived, as for a request without a body.
    for piece in std::iter::once(&&b""[..]).chain(pieces) {
        input.put(piece);
        if stopped.is_ok() {
            stopped = transfer(
                &mut decoder,
                &mut input,
                &mut output,
                coding,
                nothing_withheld,
                |data| {
                    watched.extend_from_slice(data);
                },
            );
        }
        out.extend(drain(&mut output));
    }
    (
        shown(&out),
        shown(&watched),
        shown(&drain(&mut input)),
        stopped,
    )
}

#[test]
fn bodies_that_keep_their_bytes() {
    let done = Ok(Stopped::Done);
    let starved = Ok(Stopped::Starved);
    for (framing, input, body, left, end) in [
        (Framing::None, "GET", "", "GET", done),
        (Framing::Length(0), "", "", "", done),
        (Framing::Length(5), "abcdeGET", "abcde", "GET", done),
        (Framing::Length(5), "abcd", "abcd", "", starved),
        (Framing::Close, "abc", "abc", "", starved),
        (
            Framing::Chunked,
            "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\nGET",
            "abcde",
            "GET",
            done,
        ),
        (
            Framing::Chunked,
            "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
            "abc",
            "",
            done,
        ),
        (Framing::Chunked, "0\r\n\r\n", "", "", done),
        (Framing::Chunked, "3\r\nabc\r\n0\r\n", "abc", "", starved),
    ] {
        let found = every_split(input.as_bytes(), |pieces| {
            let (out, watched, left, end) = moved(framing, Coding::Identity, pieces);
            assert_eq!(out, watched);
            // Whether a line that has not ended is left depends on how it was cut.
            (out, if end == done { left } else { String::new() }, end)
        });
        assert_eq!(
            found,
            (body.to_string(), left.to_string(), end),
            "{framing:?} {input:?}"
        );
    }
}

#[test]
fn chunks_as_they_come() {
    for (framing, input, want, watched) in [
        (
            Framing::Chunked,
            "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n",
            "3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n",
            "abc0123456789",
        ),
        (
            Framing::Chunked,
            "0003 ;a=\"b\"\r\nabc\r\n00\r\n\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            "abc",
        ),
        (
            Framing::Chunked,
            "1\r\na\r\n0\r\nX-Sum: 1 \r\nContent-Length: 9\r\nx-api-key: k\r\nServer-Timing: t\r\n\r\n",
            "1\r\na\r\n0\r\nX-Sum: 1\r\nServer-Timing: t\r\n\r\n",
            "a",
        ),
        (
            Framing::Chunked,
            "0\r\nConnection: x\r\n\r\n",
            "0\r\n\r\n",
            "",
        ),
        // As long as the line that is written for it, but different.
        (Framing::Chunked, "3;x\r\nabc", "3\r\nabc\r\n", "abc"),
        (Framing::Close, "abc", "3\r\nabc\r\n", "abc"),
    ] {
        let (out, seen, left, _) = moved(framing, Coding::Chunked, &[input.as_bytes()]);
        assert_eq!(
            (out.as_str(), seen.as_str(), left.as_str()),
            (want, watched, ""),
            "{input:?}"
        );
    }
}

/// However the pieces are cut, a reader of what went out finds the same body.
#[test]
fn chunks_in_every_split() {
    let input = b"3\r\nabc\r\n5;x\r\ndefgh\r\n0\r\nX-Sum: 1\r\nHost: x\r\n\r\n";
    let found = every_split(input, |pieces| {
        let (out, watched, left, end) = moved(Framing::Chunked, Coding::Chunked, pieces);
        let again = moved(Framing::Chunked, Coding::Identity, &[out.as_bytes()]);
        assert_eq!(
            (again.0.as_str(), again.3),
            ("abcdefgh", Ok(Stopped::Done)),
            "{out:?}"
        );
        assert!(out.ends_with("\r\n0\r\nX-Sum: 1\r\n\r\n"), "{out:?}");
        (watched, left, end)
    });
    assert_eq!(
        found,
        ("abcdefgh".to_string(), String::new(), Ok(Stopped::Done))
    );
}

#[test]
fn flaws_stop_it_after_what_was_whole() {
    for (input, body, want) in [
        ("3\r\nabcX\r\n", "abc", Malformed::ChunkEnd),
        ("3\r\nabc\r\nx\r\n", "abc", Malformed::ChunkSize),
        ("-1\r\n", "", Malformed::ChunkSize),
        ("11111111111111111\r\n", "", Malformed::ChunkSizeTooLarge),
        ("1\na\r\n", "", Malformed::BareLineFeed),
        ("1\r\na\r\n0\r\nX Y: 1\r\n\r\n", "a", Malformed::FieldName),
    ] {
        let found = every_split(input.as_bytes(), |pieces| {
            let (out, _, _, end) = moved(Framing::Chunked, Coding::Identity, pieces);
            (out, end)
        });
        assert_eq!(found, (body.to_string(), Err(want)), "{input:?}");
    }
}

#[test]
fn a_full_sink_is_waited_for() {
    let body = vec![b'x'; 200_000];
    for (framing, coding) in [
        (Framing::Length(200_000), Coding::Identity),
        (Framing::Close, Coding::Chunked),
        (Framing::Length(200_000), Coding::Chunked),
    ] {
        let mut decoder = Decoder::new(framing);
        let (mut input, mut output) = (buffer(b""), buffer(b""));
        let (mut sent, mut watched, mut seen_full) = (0, 0, false);
        while watched < body.len() {
            sent += input.append(&body[sent..]);
            let stopped = transfer(
                &mut decoder,
                &mut input,
                &mut output,
                coding,
                nothing_withheld,
                |data| watched += data.len(),
            );
            seen_full |= stopped == Ok(Stopped::Full);
            // A slow reader.
            output.consume(output.len().min(30_000));
        }
        assert!(seen_full, "{framing:?} {coding:?}");
        assert_eq!(watched, body.len());
    }
}
