//! Extracts a body from the bytes that carry it, in whatever pieces they come. It holds no bytes: what cannot be
//! decoded yet stays in the caller's buffer and is passed in again together with what follows it.

use super::chunked::Chunks;
use super::framing::Framing;
use super::malformed::Malformed;

/// The state of one body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoder {
    /// This many bytes are still to come, at least one.
    Length(u64),
    Chunked(Chunks),
    /// The body ends with the connection.
    Close,
    Done,
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<'b> {
    /// A piece of the body, not empty. `consumed` includes the bytes that frame it.
    Data {
        consumed: usize,
        data: &'b [u8],
        /// Whether what was consumed is one whole chunk with a line as [`super::chunked::chunk_head`] writes it.
        is_chunk: bool,
    },
    /// Framing only.
    Skip { consumed: usize },
    /// The end of a chunked body. `section` holds its trailer fields, well-formed lines with line ends, or is empty.
    Trailers { consumed: usize, section: &'b [u8] },
    /// Nothing can be decoded before more bytes come.
    NeedMore,
    /// The body ended before these bytes.
    End,
}

impl Decoder {
    pub fn new(framing: Framing) -> Decoder {
        match framing {
            Framing::None | Framing::Length(0) => Decoder::Done,
            Framing::Length(length) => Decoder::Length(length),
            Framing::Chunked => Decoder::Chunked(Chunks::default()),
            Framing::Close => Decoder::Close,
        }
    }

    /// Whether the body has ended. What follows belongs to the next message.
    pub fn is_done(&self) -> bool {
        *self == Decoder::Done
    }

    /// How many bytes of the body are known to be still to come, from its length or its current chunk.
    pub fn announced(&self) -> u64 {
        match self {
            Decoder::Length(left) => *left,
            Decoder::Chunked(chunks) => chunks.announced(),
            Decoder::Close | Decoder::Done => 0,
        }
    }

    /// Decodes the beginning of `input`, which starts where the previous call's `consumed` ended.
    ///
    /// # Errors
    /// The framing is broken; all of the body before that has been returned.
    pub fn decode<'b>(&mut self, input: &'b [u8]) -> Result<Decoded<'b>, Malformed> {
        match self {
            Decoder::Done => Ok(Decoded::End),
            Decoder::Chunked(chunks) => {
                let decoded = chunks.decode(input)?;
                if let Decoded::Trailers { .. } = decoded {
                    *self = Decoder::Done;
                }
                Ok(decoded)
            }
            Decoder::Length(_) | Decoder::Close if input.is_empty() => Ok(Decoded::NeedMore),
            Decoder::Length(left) => {
                let data = &input[..input
                    .len()
                    .min(usize::try_from(*left).unwrap_or(usize::MAX))];
                *left -= data.len() as u64;
                if *left == 0 {
                    *self = Decoder::Done;
                }
                let consumed = data.len();
                Ok(Decoded::Data {
                    consumed,
                    data,
                    is_chunk: false,
                })
            }
            Decoder::Close => Ok(Decoded::Data {
                consumed: input.len(),
                data: input,
                is_chunk: false,
            }),
        }
    }

    /// Records that the connection has ended.
    ///
    /// # Errors
    /// The body has not ended.
    pub fn end_of_input(&mut self) -> Result<(), Malformed> {
        match self {
            Decoder::Length(_) | Decoder::Chunked(_) => Err(Malformed::Truncated),
            Decoder::Close | Decoder::Done => {
                *self = Decoder::Done;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::http::splits::every_split;

    /// A whole body, the bytes after it that belong to the next message, and how it ended.
    #[derive(Clone, Debug, Default, PartialEq)]
    pub struct Taken {
        pub body: Vec<u8>,
        pub trailers: Option<Vec<u8>>,
        pub left: Vec<u8>,
        pub end: Option<Result<(), Malformed>>,
    }

    /// Extracts a body from `input` in every split; the connection ends after it.
    pub fn take(framing: Framing, input: &[u8]) -> Taken {
        every_split(input, |pieces| take_pieces(framing, pieces))
    }

    fn take_pieces(framing: Framing, pieces: &[&[u8]]) -> Taken {
        let (mut decoder, mut buffer) = (Decoder::new(framing), Vec::new());
        let mut taken = Taken::default();
        for piece in pieces {
            buffer.extend_from_slice(piece);
            loop {
                let consumed = match decoder.decode(&buffer) {
                    Ok(Decoded::Data { consumed, data, .. }) => {
                        assert!(!data.is_empty() && data.len() <= consumed);
                        taken.body.extend_from_slice(data);
                        consumed
                    }
                    Ok(Decoded::Skip { consumed }) => {
                        assert!(consumed > 0);
                        consumed
                    }
                    Ok(Decoded::Trailers { consumed, section }) => {
                        assert_eq!(taken.trailers.replace(section.to_vec()), None);
                        assert!(decoder.is_done());
                        consumed
                    }
                    Ok(Decoded::NeedMore) => break,
                    Ok(Decoded::End) => {
                        assert!(decoder.is_done());
                        break;
                    }
                    Err(malformed) => {
                        taken.end = Some(Err(malformed));
                        return taken;
                    }
                };
                buffer.drain(..consumed);
            }
        }
        taken.end = Some(decoder.end_of_input());
        taken.left = buffer;
        taken
    }

    #[test]
    fn bodies_without_chunks() {
        let truncated = Err(Malformed::Truncated);
        let rows = [
            (Framing::None, "", "", "", Ok(())),
            (Framing::None, "GET", "", "GET", Ok(())),
            (Framing::Length(0), "", "", "", Ok(())),
            (Framing::Length(0), "GET", "", "GET", Ok(())),
            (Framing::Length(3), "abc", "abc", "", Ok(())),
            (Framing::Length(3), "abcGET", "abc", "GET", Ok(())),
            (Framing::Length(3), "\r\n\r\n", "\r\n\r", "\n", Ok(())),
            (Framing::Length(3), "", "", "", truncated),
            (Framing::Length(3), "ab", "ab", "", truncated),
            (Framing::Length(u64::MAX), "ab", "ab", "", truncated),
            (Framing::Close, "", "", "", Ok(())),
            (Framing::Close, "abc\r\n\r\n", "abc\r\n\r\n", "", Ok(())),
            (Framing::Chunked, "", "", "", truncated),
            (Framing::Chunked, "1\r\na\r\n0\r\n", "a", "", truncated),
        ];
        for (framing, input, body, left, end) in rows {
            let got = take(framing, input.as_bytes());
            let got = (
                str::from_utf8(&got.body),
                str::from_utf8(&got.left),
                got.end,
            );
            assert_eq!(got, (Ok(body), Ok(left), Some(end)), "{framing:?} {input}");
        }
    }

    #[test]
    fn only_a_body_without_bytes_is_done_at_once() {
        let rows = [
            (Framing::None, true),
            (Framing::Length(0), true),
            (Framing::Length(1), false),
            (Framing::Chunked, false),
            (Framing::Close, false),
        ];
        for (framing, want) in rows {
            assert_eq!(Decoder::new(framing).is_done(), want, "{framing:?}");
        }
    }
}
