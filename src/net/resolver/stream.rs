//! One query and its answer on a TCP stream, where each message is preceded by its length. It knows no socket.

/// A query being sent and an answer being received, piece by piece.
pub struct Framed {
    output: Vec<u8>,
    sent: usize,
    /// At most two bytes of length and the 65,535 bytes that they can announce.
    input: Vec<u8>,
}

const LENGTH_BYTES: usize = 2;

impl Framed {
    pub fn new(query: &[u8]) -> Framed {
        let length = u16::try_from(query.len()).expect("a query for one name is short");
        Framed {
            output: [&length.to_be_bytes(), query].concat(),
            sent: 0,
            input: Vec::new(),
        }
    }

    /// What is still to be sent.
    pub fn unsent(&self) -> &[u8] {
        &self.output[self.sent..]
    }

    /// The stream took `count` of the unsent bytes.
    pub fn advance(&mut self, count: usize) {
        self.sent += count;
    }

    /// Takes a piece of the stream; returns the answer once it is complete. Bytes after it are ignored.
    pub fn receive(&mut self, piece: &[u8]) -> Option<&mut [u8]> {
        let wanted = match self.length() {
            Some(length) => LENGTH_BYTES + length - self.input.len(),
            None => LENGTH_BYTES - self.input.len(),
        };
        let (now, later) = piece.split_at(wanted.min(piece.len()));
        self.input.extend_from_slice(now);
        match self.length() {
            Some(length) if self.input.len() == LENGTH_BYTES + length => {
                Some(&mut self.input[LENGTH_BYTES..])
            }
            Some(_) if !later.is_empty() => self.receive(later),
            Some(_) | None => None,
        }
    }

    fn length(&self) -> Option<usize> {
        let (length, _message) = self.input.split_first_chunk()?;
        Some(u16::from_be_bytes(*length).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_goes_in_pieces() {
        let mut framed = Framed::new(b"query");
        assert_eq!(framed.unsent(), b"\0\x05query");
        framed.advance(1);
        framed.advance(4);
        assert_eq!(framed.unsent(), b"ry");
        framed.advance(2);
        assert_eq!(framed.unsent(), b"");
    }

    #[test]
    fn input_comes_whole_byte_by_byte_and_cut_anywhere() {
        let rows: [(&[u8], Option<&[u8]>); 6] = [
            (b"\0\x06answer", Some(b"answer")),
            (b"\0\x06answermore", Some(b"answer")),
            (b"\0\0", Some(b"")),
            (b"\0\x06answe", None),
            (b"\0", None),
            (b"", None),
        ];
        for (stream, want) in rows {
            for cut in 0..=stream.len() {
                let mut framed = Framed::new(b"");
                let (head, tail) = stream.split_at(cut);
                let first = framed.receive(head).map(|message| message.to_vec());
                let got = first.or_else(|| framed.receive(tail).map(|message| message.to_vec()));
                assert_eq!(got.as_deref(), want, "{stream:?} cut at {cut}");
            }
            let mut framed = Framed::new(b"");
            let mut bytes = stream.chunks(1);
            let got = bytes.find_map(|byte| framed.receive(byte).map(|message| message.to_vec()));
            assert_eq!(got.as_deref(), want, "{stream:?} byte by byte");
        }
        let longest = [&[0xff, 0xff], &[7; 70_000][..]].concat();
        let mut framed = Framed::new(b"");
        assert_eq!(
            framed.receive(&longest).map(|message| message.len()),
            Some(65_535)
        );
    }
}
