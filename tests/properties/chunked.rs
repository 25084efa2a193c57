//! Any body: cuts do not change its content, its end or its fault; and what is written of it in chunks is, read
//! strictly, the same body.

use ai_api_proxy::base::buffer::{BlockPool, Buffer};
use ai_api_proxy::exchange::transfer::{Coding, Stopped, nothing_withheld, transfer};
use ai_api_proxy::http::Framing;
use ai_api_proxy::http::body::Decoder;
use ai_api_proxy::http::malformed::Malformed;

use super::input::{choices, in_any_cut};
use super::reader::{Body, Chunk};

/// The outcome of passing a body on.
#[derive(Debug, PartialEq)]
struct Moved {
    content: Vec<u8>,
    end: Result<Stopped, Malformed>,
    /// What follows the body, once it has ended.
    left: Vec<u8>,
}

/// `data`: how it is cut, how it is framed, then the body.
pub fn check(mut data: &[u8]) {
    let [seed, flags, length] = choices(&mut data);
    let framing = match flags % 4 {
        0 | 1 => Framing::Chunked,
        2 => Framing::Length(u64::from(length)),
        _ => Framing::Close,
    };
    let plain = in_any_cut(data, seed, |pieces| {
        moved(framing, Coding::Identity, pieces).0
    });
    let chunked = in_any_cut(data, seed, |pieces| {
        let (moved, out) = moved(framing, Coding::Chunked, pieces);
        if framing == Framing::Chunked {
            check_chunks(&moved, out);
        }
        moved
    });
    assert_eq!(plain, chunked, "the way out changes nothing");
}

/// The content that was seen, and the bytes that were written.
fn moved(framing: Framing, coding: Coding, pieces: &[&[u8]]) -> (Moved, Vec<u8>) {
    let mut blocks = BlockPool::default();
    let (mut input, mut output) = (Buffer::default(), Buffer::default());
    input.open(&mut blocks);
    output.open(&mut blocks);
    let mut decoder = Decoder::new(framing);
    let (mut content, mut out) = (Vec::new(), Vec::new());
    let mut end = Ok(Stopped::Starved);
    for piece in pieces {
        let mut piece = *piece;
        loop {
            let count = input.append(piece);
            piece = &piece[count..];
            if end.is_ok() {
                end = transfer(
                    &mut decoder,
                    &mut input,
                    &mut output,
                    coding,
                    nothing_withheld,
                    |data| {
                        content.extend_from_slice(data);
                    },
                );
            }
            out.extend_from_slice(output.unread());
            let goes_on = matches!(end, Ok(Stopped::Full | Stopped::Paused));
            let is_stuck = output.is_empty() && count == 0 && end != Ok(Stopped::Paused);
            output.consume(output.len());
            if is_stuck || (piece.is_empty() && !goes_on) {
                break;
            }
        }
    }
    if coding == Coding::Identity {
        assert_eq!(out, content);
    }
    let left = match end {
        Ok(Stopped::Done) => input.unread().to_vec(),
        Ok(Stopped::Starved | Stopped::Full | Stopped::Paused) | Err(_) => Vec::new(),
    };
    let moved = Moved { content, end, left };
    (moved, out)
}

fn check_chunks(moved: &Moved, mut out: Vec<u8>) {
    let mut body = Body::Chunked(Chunk::Size);
    let mut content = Vec::new();
    body.read(&mut out, &mut content);
    assert_eq!(content, moved.content);
    assert_eq!(body.is_done(), moved.end == Ok(Stopped::Done));
    assert!(out.is_empty(), "behind the body: {}", out.escape_ascii());
}
