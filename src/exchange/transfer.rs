//! Moves a body's bytes from one side's input to where they go, decoding one framing and writing the other.
//! Requests and answers pass through the same function.

use crate::base::buffer::Buffer;
use crate::http::body::{Decoded, Decoder};
use crate::http::chunked::chunk_head;
use crate::http::malformed::Malformed;
use crate::http::trailer::trailer_fields;

use super::Step;

/// How a body is written to the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// As it is: a length was announced, or the connection's end delimits it.
    Identity,
    Chunked,
}

/// Room that must be there before a piece is decoded: the longest chunk line or trailer section and what frames it.
pub const ROOM_MIN: usize = 16 * 1024;

/// The most pieces that one call moves: tens of thousands of one byte each may be waiting.
const PIECES_MAX: usize = 16;

/// The most that framing adds to one piece: size line, and the line end after it.
const FRAMING_BYTES_MAX: usize = 32;

/// For bodies whose trailer fields are all passed on, except those that never are.
pub fn nothing_withheld(_: &str) -> bool {
    false
}

/// Where decoded bytes go.
pub trait Sink {
    /// How many bytes may be put now.
    fn room(&self) -> usize;
    fn put(&mut self, bytes: &[u8]);
    /// Puts the first `count` bytes of `input`, and takes them off it.
    fn take(&mut self, input: &mut Buffer, count: usize) {
        self.put(&input.unread()[..count]);
        input.consume(count);
    }
}

impl Sink for Buffer {
    fn room(&self) -> usize {
        Buffer::room(self)
    }

    fn put(&mut self, bytes: &[u8]) {
        Buffer::put(self, bytes);
    }

    fn take(&mut self, input: &mut Buffer, count: usize) {
        Buffer::take(self, input, count);
    }
}

/// Why a transfer stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The input is used up, as far as it can be read.
    Starved,
    /// The sink has no room.
    Full,
    /// Nothing stands in the way: the next call goes on.
    Paused,
    /// The body has ended.
    Done,
}

impl Stopped {
    /// `step`, but without waiting while more can be moved.
    pub fn unless_paused(self, step: Step) -> Step {
        match (self, step) {
            (Stopped::Paused, Step::Wait | Step::Starve) => Step::Again,
            (_, step) => step,
        }
    }
}

/// Moves what can be moved. `watch` sees each piece of content; trailer fields that are `withheld` are not passed on.
///
/// # Errors
/// The framing is broken; what came before has been moved.
pub fn transfer(
    decoder: &mut Decoder,
    input: &mut Buffer,
    sink: &mut impl Sink,
    coding: Coding,
    withheld: impl Fn(&str) -> bool,
    mut watch: impl FnMut(&[u8]),
) -> Result<Stopped, Malformed> {
    for _ in 0..PIECES_MAX {
        let room = sink.room();
        if decoder.is_done() {
            return Ok(Stopped::Done);
        }
        if room < ROOM_MIN {
            return Ok(Stopped::Full);
        }
        let waiting = input.unread();
        if waiting.is_empty() {
            return Ok(Stopped::Starved);
        }
        let window = &waiting[..waiting.len().min(room - FRAMING_BYTES_MAX)];
        let consumed = match decoder.decode(window)? {
            Decoded::Data {
                consumed,
                data,
                is_chunk,
            } => {
                watch(data);
                // It may have arrived in exactly the form in which it would be put.
                let is_as_put = match coding {
                    Coding::Identity => consumed == data.len(),
                    Coding::Chunked => is_chunk,
                };
                if is_as_put {
                    sink.take(input, consumed);
                    continue;
                }
                put_piece(sink, coding, data);
                consumed
            }
            Decoded::Skip { consumed } => consumed,
            Decoded::Trailers { consumed, section } => {
                put_end(sink, coding, section, &withheld);
                consumed
            }
            Decoded::NeedMore => return Ok(Stopped::Starved),
            Decoded::End => return Ok(Stopped::Done),
        };
        input.consume(consumed);
    }
    Ok(Stopped::Paused)
}

/// Writes a piece of content.
#[inline(never)]
pub fn put_piece(sink: &mut impl Sink, coding: Coding, data: &[u8]) {
    match coding {
        Coding::Identity => sink.put(data),
        // A chunk of no bytes would end the body.
        Coding::Chunked if data.is_empty() => {}
        Coding::Chunked => {
            sink.put(chunk_head(data.len()).as_bytes());
            sink.put(data);
            sink.put(b"\r\n");
        }
    }
}

#[inline(never)]
fn put_end(sink: &mut impl Sink, coding: Coding, section: &[u8], withheld: &impl Fn(&str) -> bool) {
    match coding {
        Coding::Identity => {}
        Coding::Chunked => {
            sink.put(b"0\r\n");
            for field in trailer_fields(section).filter(|field| !withheld(field.name)) {
                sink.put(field.name.as_bytes());
                sink.put(b": ");
                sink.put(field.value);
                sink.put(b"\r\n");
            }
            sink.put(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests;
