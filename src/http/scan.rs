//! Finds where a head ends, and goes on where it stopped: a head that drips in costs no more than one that comes whole.

use std::ops::Range;

use super::field::is_token_byte;
use super::malformed::Malformed;
use super::{HEAD_BYTES_MAX, TARGET_BYTES_MAX};

/// Empty lines that are skipped before a request (RFC 9112 section 2.2).
const EMPTY_LINES_MAX: usize = 4;

/// The longest request line: a method, the longest target, a version.
const REQUEST_LINE_BYTES_MAX: usize = TARGET_BYTES_MAX + 128;

/// How far a head has been looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadScan {
    /// Where the head begins, after empty lines.
    start: usize,
    /// Up to here every line has been looked at.
    looked_at: usize,
    /// Where the line that is looked at begins.
    line_start: usize,
}

impl HeadScan {
    /// Finds a request's head. `input` begins where it began in former calls.
    ///
    /// # Errors
    /// What can be seen to be wrong before the head is complete.
    pub fn request(&mut self, input: &[u8]) -> Result<Option<Range<usize>>, Malformed> {
        while self.looked_at == self.start && input[self.start..].starts_with(b"\r\n") {
            if self.start == EMPTY_LINES_MAX * 2 {
                return Err(Malformed::RequestLine);
            }
            self.start += 2;
            self.looked_at = self.start;
            self.line_start = self.start;
        }
        match input.get(self.start) {
            None => return Ok(None),
            Some(b'\r') if input.len() == self.start + 1 => return Ok(None),
            Some(first) if !is_token_byte(*first) => {
                return Err(match first {
                    b'\n' => Malformed::BareLineFeed,
                    b'\r' => Malformed::BareCarriageReturn,
                    _ => Malformed::FirstByte,
                });
            }
            Some(_) => {}
        }
        let found = self.find_end(input)?;
        let in_first_line = self.line_start == self.start && found.is_none();
        if in_first_line && input.len() - self.start > REQUEST_LINE_BYTES_MAX {
            return Err(Malformed::TargetTooLong);
        }
        Ok(found)
    }

    /// Finds an answer's head.
    ///
    /// # Errors
    /// What can be seen to be wrong before the head is complete.
    pub fn response(&mut self, input: &[u8]) -> Result<Option<Range<usize>>, Malformed> {
        const START: &[u8] = b"HTTP/1.";
        let seen = input.len().min(START.len());
        if input[..seen] != START[..seen] {
            return Err(Malformed::StatusLine);
        }
        self.find_end(input)
    }

    fn find_end(&mut self, input: &[u8]) -> Result<Option<Range<usize>>, Malformed> {
        while let Some(offset) = input[self.looked_at..]
            .iter()
            .position(|byte| *byte == b'\n')
        {
            let line_feed = self.looked_at + offset;
            if line_feed == self.line_start || input[line_feed - 1] != b'\r' {
                return Err(Malformed::BareLineFeed);
            }
            let is_empty = line_feed == self.line_start + 1;
            self.looked_at = line_feed + 1;
            self.line_start = line_feed + 1;
            if self.looked_at - self.start > HEAD_BYTES_MAX {
                return Err(Malformed::HeadTooLong);
            }
            if is_empty {
                return Ok(Some(self.start..line_feed + 1));
            }
        }
        self.looked_at = input.len();
        match input.len() - self.start > HEAD_BYTES_MAX {
            true => Err(Malformed::HeadTooLong),
            false => Ok(None),
        }
    }
}
