//! Bodies of every framing, read piece by piece from the caller's input. What cannot be decided yet stays there.

use super::Framing;
use super::chunked::Chunked;
use super::malformed::Malformed;

/// Where in a body the reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoder {
    Length {
        left: u64,
    },
    Chunked(Chunked),
    /// Until the connection ends.
    Close,
    Done,
}

/// What stands at the beginning of the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded<'b> {
    /// Content.
    Data {
        consumed: usize,
        data: &'b [u8],
    },
    /// Framing without content.
    Skip {
        consumed: usize,
    },
    /// The valid field lines at the end of a chunked body, maybe none, and the empty line.
    Trailers {
        consumed: usize,
        section: &'b [u8],
    },
    NeedMore,
    End,
}

impl Decoder {
    pub fn new(framing: Framing) -> Decoder {
        match framing {
            Framing::None | Framing::Length(0) => Decoder::Done,
            Framing::Length(left) => Decoder::Length { left },
            Framing::Chunked => Decoder::Chunked(Chunked::START),
            Framing::Close => Decoder::Close,
        }
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        matches!(self, Decoder::Done | Decoder::Chunked(Chunked::Done))
    }

    /// Reads what stands at the beginning of `input`, which the caller then consumes.
    ///
    /// # Errors
    /// The framing is broken.
    pub fn decode<'b>(&mut self, input: &'b [u8]) -> Result<Decoded<'b>, Malformed> {
        match self {
            Decoder::Done => Ok(Decoded::End),
            Decoder::Chunked(chunked) => chunked.decode(input),
            Decoder::Length { .. } | Decoder::Close if input.is_empty() => Ok(Decoded::NeedMore),
            Decoder::Close => Ok(Decoded::Data {
                consumed: input.len(),
                data: input,
            }),
            Decoder::Length { left } => {
                let count = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(input.len());
                *self = match *left - count as u64 {
                    0 => Decoder::Done,
                    left => Decoder::Length { left },
                };
                Ok(Decoded::Data {
                    consumed: count,
                    data: &input[..count],
                })
            }
        }
    }

    /// The peer ended its direction in order.
    ///
    /// # Errors
    /// The body had not ended.
    pub fn end_of_input(&mut self) -> Result<(), Malformed> {
        match self {
            Decoder::Close => {
                *self = Decoder::Done;
                Ok(())
            }
            Decoder::Done | Decoder::Chunked(Chunked::Done) => Ok(()),
            Decoder::Length { .. } | Decoder::Chunked(_) => Err(Malformed::CutOff),
        }
    }
}
