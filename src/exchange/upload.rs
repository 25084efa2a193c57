//! The request on its way to the platform: its head rewritten, its body kept for a retry or streamed through.

use std::borrow::Cow;

use crate::base::buffer::{BlockPool, Buffer};
use crate::http::Framing;
use crate::http::body::Decoder;
use crate::net::dial::Reuse;
use crate::site::Site;

use super::kept::{Keeper, Kept, RetryMemory};
use super::reason::Reason;
use super::request::Request;
use super::transfer::{Coding, Sink, Stopped, transfer};

/// A body of at least this size that is not kept whole counts as large.
const LARGE_BYTES_MIN: u64 = 256 * 1024;

/// How much is kept of a body that is too large to be kept whole. Until a platform's first word can have come, the kernel
/// takes some 90 KB for a connection that has carried little, and our output one buffer; for one that has carried much it
/// may take the whole body. Keeping a megabyte was seen to cost a seventh of the CPU.
const BEGINNING_BYTES_MAX: u64 = 256 * 1024;

/// What one request sends.
pub struct Upload {
    decoder: Decoder,
    coding: Coding,
    kept: Kept,
    keeps: Keeps,
    /// Bytes of content received from the client.
    received: u64,
    limits: Limits,
}

/// How much is kept of a request.
#[derive(Clone, Copy)]
enum Keeps {
    /// All that has come of it: it can be sent again.
    All,
    /// The head, and of the body what the platform has not taken yet.
    Unsent,
}

/// How much of one request's body is accepted.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A body up to this size is kept whole.
    pub kept_bytes_max: u64,
    /// A larger body is refused.
    pub content_bytes_max: u64,
    /// Whose bound that is, as the client is told.
    pub bound: &'static str,
}

impl Limits {
    /// The limits of a request to a platform.
    pub fn of(site: &Site) -> Limits {
        Limits {
            kept_bytes_max: site.settings.retry_buffer_bytes,
            content_bytes_max: site.settings.max_body_bytes,
            bound: "the proxy's max_body_bytes",
        }
    }

    /// What a client whose body is larger is told.
    pub fn exceeded(self) -> Reason {
        Reason::BodyTooLarge {
            bytes_max: self.content_bytes_max,
            bound: self.bound,
        }
    }
}

impl Upload {
    /// An upload of `head`, which lacks only the key's lines and the empty line.
    pub fn new(
        head: &[u8],
        framing: Framing,
        limits: Limits,
        blocks: &mut BlockPool,
        memory: &RetryMemory,
    ) -> Upload {
        let expected = match framing {
            Framing::Length(length) => length,
            Framing::None | Framing::Chunked | Framing::Close => 0,
        };
        let fits = expected <= limits.kept_bytes_max && memory.has_room(expected, expected);
        let kept_bytes_max = match fits {
            true => limits.kept_bytes_max,
            false => limits.kept_bytes_max.min(BEGINNING_BYTES_MAX),
        };
        Upload {
            decoder: Decoder::new(framing),
            coding: match framing {
                Framing::Chunked => Coding::Chunked,
                Framing::None | Framing::Length(_) | Framing::Close => Coding::Identity,
            },
            kept: Kept::new(head, blocks, memory),
            keeps: Keeps::All,
            received: 0,
            limits: Limits {
                kept_bytes_max,
                ..limits
            },
        }
    }

    /// An upload that only collects content, for a service that answers the request itself.
    pub fn collecting(
        framing: Framing,
        limits: Limits,
        blocks: &mut BlockPool,
        memory: &RetryMemory,
    ) -> Upload {
        Upload {
            coding: Coding::Identity,
            ..Upload::new(&[], framing, limits, blocks, memory)
        }
    }

    /// An upload of a request that is known completely: a probe's.
    pub fn complete(
        head: &[u8],
        body: &[u8],
        blocks: &mut BlockPool,
        memory: &RetryMemory,
    ) -> Upload {
        let mut kept = Kept::new(head, blocks, memory);
        kept.put(body, blocks);
        Upload {
            decoder: Decoder::Done,
            coding: Coding::Identity,
            kept,
            keeps: Keeps::All,
            received: 0,
            limits: Limits {
                kept_bytes_max: u64::MAX,
                content_bytes_max: u64::MAX,
                bound: "",
            },
        }
    }

    /// Whether a connection that has been used before may carry this upload. If the platform is just closing it, a body
    /// that is not kept whole may be lost; compared with a large one, a handshake costs little.
    pub fn connection_reuse(&self) -> Reuse {
        match self.decoder {
            Decoder::Length(left) if left >= LARGE_BYTES_MIN && self.outgrows() => Reuse::Recent,
            Decoder::Length(_) | Decoder::Chunked(_) | Decoder::Close | Decoder::Done => Reuse::Yes,
        }
    }

    /// Whether the request can be sent once more from its beginning.
    pub fn is_repeatable(&self) -> bool {
        match self.keeps {
            Keeps::All => true,
            // An empty chunked body still has a last chunk, which is not kept: without it the next request on the
            // platform's connection would be read as a chunk.
            Keeps::Unsent => {
                let end_is_gone = self.coding == Coding::Chunked && self.decoder.is_done();
                self.received == 0 && !end_is_gone
            }
        }
    }

    /// Whether the client has sent its whole body.
    pub fn is_received(&self) -> bool {
        self.decoder.is_done()
    }

    /// How far the client's body has been read.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Whether the next byte is the client's to send.
    pub fn is_starved(&self) -> bool {
        !self.is_received() && self.kept.is_sent()
    }

    /// Whether every byte has been handed on.
    pub fn is_done(&self) -> bool {
        self.is_received() && self.kept.is_sent()
    }

    /// The content so far, for a service that answers the request itself.
    pub fn content(&self) -> Cow<'_, [u8]> {
        self.kept.body()
    }

    /// Writes the head with the key's `lines` and restarts the body from its beginning.
    pub fn begin_try(&mut self, lines: &[u8], output: &mut Buffer) {
        self.kept.begin_try(lines, output);
    }

    /// Takes what the client has sent and hands on what `output` has room for. Without an output the body is only kept,
    /// and what cannot be handed on counts as `Full`. It is `Done` once everything has been handed on.
    ///
    /// # Errors
    /// The body is malformed or too large. Nothing more of the client's connection can be understood then.
    pub fn pump(
        &mut self,
        input: &mut Buffer,
        mut output: Option<&mut Buffer>,
        request: &mut Request,
        blocks: &mut BlockPool,
        memory: &RetryMemory,
    ) -> Result<Stopped, Reason> {
        if self.is_done() {
            return Ok(Stopped::Done);
        }
        let mut stopped = Stopped::Full;
        if self.keeps_more(input, memory) {
            let mut keeper = Keeper {
                kept: &mut self.kept,
                blocks,
                output: output.as_deref_mut(),
            };
            let (decoder, received) = (&mut self.decoder, &mut self.received);
            stopped = receive(decoder, received, input, &mut keeper, self.coding, request)?;
            self.check_size()?;
        }
        if let Some(output) = output.as_deref_mut() {
            self.kept.hand_on(output);
            // Until the platform has taken what is kept, no more is read, and the request can be sent again.
            if self.kept.is_sent() && !self.keeps_more(input, memory) {
                self.stop_keeping();
            }
        }
        match (self.keeps, output) {
            (Keeps::All, _) if stopped == Stopped::Done && !self.is_done() => Ok(Stopped::Full),
            (Keeps::All, _) => Ok(stopped),
            (Keeps::Unsent, None) => Ok(Stopped::Full),
            (Keeps::Unsent, Some(_)) if !self.kept.is_sent() => Ok(Stopped::Full),
            (Keeps::Unsent, Some(output)) => {
                self.kept.drop_body(blocks);
                let (decoder, received) = (&mut self.decoder, &mut self.received);
                let stopped = receive(decoder, received, input, output, self.coding, request)?;
                if self.received > 0 {
                    // The request cannot be sent again, and much of its body may still arrive.
                    self.forget_sent(blocks);
                }
                self.check_size()?;
                Ok(stopped)
            }
        }
    }

    /// Gives up the possibility of sending the request again: an answer has begun, or the body has become too large.
    pub fn stop_keeping(&mut self) {
        self.keeps = Keeps::Unsent;
    }

    /// Gives back the memory of what was kept once all of it has been handed on: it will not be sent again.
    pub fn forget_sent(&mut self, blocks: &mut BlockPool) {
        match self.keeps {
            Keeps::Unsent if self.kept.is_sent() => self.kept.clear(blocks),
            Keeps::All | Keeps::Unsent => {}
        }
    }

    /// Gives all memory back. Returns how far the client's body has been read.
    pub fn discard(&mut self, blocks: &mut BlockPool) -> Decoder {
        self.kept.clear(blocks);
        std::mem::replace(&mut self.decoder, Decoder::Done)
    }

    /// Whether the body is kept and may grow by what waits in `input`. The bound on all bodies together holds whatever
    /// one read has brought; the body's own bound may be exceeded by that much.
    fn keeps_more(&self, input: &Buffer, memory: &RetryMemory) -> bool {
        match self.keeps {
            Keeps::All => {
                let more = input.len() as u64;
                let to_come = self.decoder.announced().max(more);
                let total = self.received.saturating_add(to_come);
                let has_room = self.is_received() || memory.has_room(more, total);
                has_room && self.received <= self.limits.kept_bytes_max
            }
            Keeps::Unsent => false,
        }
    }

    /// Whether the body is larger than what is kept of it at most, as far as its length is known.
    fn outgrows(&self) -> bool {
        let size = self.received.saturating_add(self.decoder.announced());
        size > self.limits.kept_bytes_max
    }

    /// Bytes that are announced count as if they had been received.
    fn check_size(&self) -> Result<(), Reason> {
        let size = self.received.saturating_add(self.decoder.announced());
        match size > self.limits.content_bytes_max {
            true => Err(self.limits.exceeded()),
            false => Ok(()),
        }
    }
}

/// Moves what the client has sent and counts it.
fn receive(
    decoder: &mut Decoder,
    received: &mut u64,
    input: &mut Buffer,
    sink: &mut impl Sink,
    coding: Coding,
    request: &mut Request,
) -> Result<Stopped, Reason> {
    let withheld = request.replaced_fields();
    let moved = transfer(decoder, input, sink, coding, withheld, |data| {
        *received += data.len() as u64;
        request.on_request_content(data);
    });
    moved.map_err(Reason::Malformed)
}

#[cfg(test)]
mod tests;
