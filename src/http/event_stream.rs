//! Server-sent events (WHATWG HTML, 9.2) in pieces of any size: which bytes are an event's data, and where the event
//! ends. It holds no bytes and does not know what the data mean.

use super::search::until_line_end;

/// What has been seen of the present line of an event stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DataLines {
    #[default]
    LineBegin,
    /// A carriage return ended the line; a line feed that follows belongs to it.
    AfterReturn,
    /// The line so far is the first `matched` bytes of `data:`.
    Name {
        matched: u8,
    },
    /// Right after `data:`, where one space may follow.
    DataBegin,
    Data,
    /// A comment or another field.
    OtherLine,
}

/// A part of an event stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'b> {
    /// Some of an event's data. Each line includes the byte that ends it.
    Data(&'b [u8]),
    EventEnd,
}

const DATA: &[u8] = b"data:";

impl DataLines {
    /// The next part of `input`, which is removed from it; `None` when `input` is used up.
    pub fn next<'b>(&mut self, input: &mut &'b [u8]) -> Option<Part<'b>> {
        loop {
            let (&byte, rest) = input.split_first()?;
            match *self {
                DataLines::AfterReturn => {
                    if byte == b'\n' {
                        *input = rest;
                    }
                    *self = DataLines::LineBegin;
                }
                DataLines::LineBegin if is_line_end(byte) => {
                    *input = rest;
                    *self = after_line(byte);
                    return Some(Part::EventEnd);
                }
                DataLines::LineBegin => match input.strip_prefix(DATA) {
                    Some(rest) => {
                        *input = rest;
                        *self = DataLines::DataBegin;
                    }
                    None => *self = DataLines::Name { matched: 0 },
                },
                DataLines::Name { matched } if byte == DATA[usize::from(matched)] => {
                    *input = rest;
                    *self = match matched + 1 {
                        matched if usize::from(matched) == DATA.len() => DataLines::DataBegin,
                        matched => DataLines::Name { matched },
                    };
                }
                DataLines::Name { .. } => *self = DataLines::OtherLine,
                DataLines::DataBegin => {
                    if byte == b' ' {
                        *input = rest;
                    }
                    *self = DataLines::Data;
                }
                DataLines::Data => return Some(Part::Data(self.rest_of_line(input))),
                DataLines::OtherLine => {
                    self.rest_of_line(input);
                }
            }
        }
    }

    /// Takes the rest of the line with its end, or all of `input` if the line does not end there.
    fn rest_of_line<'b>(&mut self, input: &mut &'b [u8]) -> &'b [u8] {
        let whole = *input;
        let Some(end) = until_line_end(whole) else {
            *input = &[];
            return whole;
        };
        let (line, rest) = whole.split_at(end + 1);
        *input = rest;
        *self = after_line(line[end]);
        line
    }
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

fn after_line(end: u8) -> DataLines {
    if end == b'\r' {
        DataLines::AfterReturn
    } else {
        DataLines::LineBegin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data of each event, with `|` where an event ends. The stream is given in pieces that end at `cuts`.
    fn read(stream: &[u8], cuts: &[usize]) -> String {
        let mut machine = DataLines::default();
        let mut out = String::new();
        let mut begin = 0;
        for &end in cuts.iter().chain([&stream.len()]) {
            let mut input = &stream[begin..end];
            while let Some(part) = machine.next(&mut input) {
                match part {
                    Part::Data(data) => out.push_str(&String::from_utf8_lossy(data)),
                    Part::EventEnd => out.push('|'),
                }
            }
            assert!(input.is_empty());
            begin = end;
        }
        out
    }

    #[test]
    fn data_and_ends_in_every_cut() {
        let rows: &[(&str, &str)] = &[
            ("data: a\n\ndata: b\n\n", "a\n|b\n|"),
            ("data:a\r\n\r\ndata:b\r\n\r\n", "a\r|b\r|"),
            ("data: a\r\rdata: b\r\r", "a\r|b\r|"),
            ("data: a\ndata: b\n\n", "a\nb\n|"),
            ("data:  a\n\n", " a\n|"),
            ("event: data: a\nid: 1\n: data: b\ndata: c\n\n", "c\n|"),
            (
                "data\ndat: a\ndatum: b\ndataa: c\n data: d\nDATA: e\n\n",
                "|",
            ),
            ("data:\n\n", "\n|"),
            ("data: \n\n", "\n|"),
            ("\n\n", "||"),
            ("data: [DONE]", "[DONE]"),
            ("", ""),
        ];
        for (stream, want) in rows {
            let bytes = stream.as_bytes();
            assert_eq!(read(bytes, &[]), *want, "{stream:?} whole");
            let each: Vec<usize> = (0..bytes.len()).collect();
            assert_eq!(read(bytes, &each), *want, "{stream:?} byte by byte");
            for cut in each {
                assert_eq!(read(bytes, &[cut]), *want, "{stream:?} cut at {cut}");
            }
        }
    }
}
