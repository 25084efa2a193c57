//! How a body is delimited, from the fields that say so (RFC 9112 sections 6.1 to 6.3). Anything that two parsers could
//! read differently is an error, not a guess.

use super::Version;
use super::field::{is_token, list_items, parse_decimal};
use super::malformed::Malformed;
use super::name;

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body, and no length was given.
    None,
    /// This many bytes; 0 is a length that was given.
    Length(u64),
    /// Chunks (RFC 9112 section 7.1).
    Chunked,
    /// The body ends with the connection; only in responses.
    Close,
}

/// What the framing fields of one head say, gathered line by line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Declared {
    length: Option<u64>,
    codings: Codings,
}

/// The transfer codings read so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Codings {
    /// No field.
    #[default]
    Absent,
    /// A field without a coding.
    Empty,
    Chunked,
    /// One or more others.
    Other,
    OtherThenChunked,
}

impl Declared {
    /// Adds a Content-Length line.
    ///
    /// # Errors
    /// It is not a number of bytes, or there was such a line before, even with the same number.
    pub fn add_length(&mut self, value: &[u8]) -> Result<(), Malformed> {
        let length = parse_decimal(value).ok_or(Malformed::Length)?;
        match self.length.replace(length) {
            None => Ok(()),
            Some(_) => Err(Malformed::LengthTwice),
        }
    }

    /// Adds a Transfer-Encoding line. Several lines form one list.
    ///
    /// # Errors
    /// It is not a list of codings, or it names one after chunked.
    pub fn add_codings(&mut self, value: &[u8]) -> Result<(), Malformed> {
        if self.codings == Codings::Absent {
            self.codings = Codings::Empty;
        }
        for item in list_items(value) {
            self.codings = self.codings.then(item)?;
        }
        Ok(())
    }

    /// The framing that the fields declare, `Framing::None` if they declare none.
    ///
    /// # Errors
    /// The fields contradict each other or the version, or the last coding is not chunked.
    pub fn framing(&self, version: Version) -> Result<Framing, Malformed> {
        match (self.codings, version, self.length) {
            (Codings::Absent, _, None) => Ok(Framing::None),
            (Codings::Absent, _, Some(length)) => Ok(Framing::Length(length)),
            (_, Version::Http10, _) => Err(Malformed::CodingInHttp10),
            (_, Version::Http11, Some(_)) => Err(Malformed::LengthWithCoding),
            (Codings::Empty, Version::Http11, None) => Err(Malformed::CodingMissing),
            (Codings::Other, Version::Http11, None) => Err(Malformed::CodingNotChunked),
            (Codings::OtherThenChunked, Version::Http11, None) => {
                Err(Malformed::CodingBeforeChunked)
            }
            (Codings::Chunked, Version::Http11, None) => Ok(Framing::Chunked),
        }
    }
}

impl Codings {
    fn then(self, coding: &[u8]) -> Result<Codings, Malformed> {
        let token = coding
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default();
        let is_chunked = name::is(token.trim_ascii(), "chunked");
        // A quoted parameter could contain a comma, at which the list would be split wrongly. No coding has one.
        if !is_token(token.trim_ascii()) || coding.contains(&b'"') || is_chunked && token != coding
        {
            return Err(Malformed::Coding);
        }
        match (self, is_chunked) {
            (Codings::Absent | Codings::Empty, true) => Ok(Codings::Chunked),
            (Codings::Absent | Codings::Empty | Codings::Other, false) => Ok(Codings::Other),
            (Codings::Other, true) => Ok(Codings::OtherThenChunked),
            (Codings::Chunked | Codings::OtherThenChunked, true) => {
                Err(Malformed::CodingChunkedTwice)
            }
            (Codings::Chunked | Codings::OtherThenChunked, false) => {
                Err(Malformed::CodingNotChunked)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads lines as `L:value` (Content-Length) and `T:value` (Transfer-Encoding).
    fn declared(lines: &[&str], version: Version) -> Result<Framing, Malformed> {
        let mut declared = Declared::default();
        for line in lines {
            match line.split_at(2) {
                ("L:", value) => declared.add_length(value.as_bytes())?,
                ("T:", value) => declared.add_codings(value.as_bytes())?,
                _ => panic!("no such line: {line}"),
            }
        }
        declared.framing(version)
    }

    fn check(rows: &[(&[&str], Result<Framing, Malformed>)]) {
        for (lines, want) in rows {
            assert_eq!(declared(lines, Version::Http11), *want, "{lines:?}");
        }
    }

    #[test]
    fn lengths() {
        let rows: [(&[&str], Result<Framing, Malformed>); 28] = [
            (&[], Ok(Framing::None)),
            (&["L:0"], Ok(Framing::Length(0))),
            (&["L:5"], Ok(Framing::Length(5))),
            (&["L:005"], Ok(Framing::Length(5))),
            (&["L:18446744073709551615"], Ok(Framing::Length(u64::MAX))),
            (&["L:18446744073709551616"], Err(Malformed::Length)),
            (&["L:99999999999999999999"], Err(Malformed::Length)),
            (&["L:"], Err(Malformed::Length)),
            (&["L:+5"], Err(Malformed::Length)),
            (&["L:-5"], Err(Malformed::Length)),
            (&["L:-0"], Err(Malformed::Length)),
            (&["L:5 "], Err(Malformed::Length)),
            (&["L:5 5"], Err(Malformed::Length)),
            (&["L:1_000"], Err(Malformed::Length)),
            (&["L:0x5"], Err(Malformed::Length)),
            (&["L:a"], Err(Malformed::Length)),
            (&["L:5.0"], Err(Malformed::Length)),
            (&["L:1e3"], Err(Malformed::Length)),
            (&["L:\"5\""], Err(Malformed::Length)),
            (&["L:5,5"], Err(Malformed::Length)),
            (&["L:5, 5"], Err(Malformed::Length)),
            (&["L:5, 6"], Err(Malformed::Length)),
            (&["L:5;"], Err(Malformed::Length)),
            (&["L:\u{665}"], Err(Malformed::Length)),
            (&["L:5", "L:5"], Err(Malformed::LengthTwice)),
            (&["L:5", "L:6"], Err(Malformed::LengthTwice)),
            (&["L:0", "L:0"], Err(Malformed::LengthTwice)),
            (&["L:5", "L:x"], Err(Malformed::Length)),
        ];
        check(&rows);
    }

    #[test]
    fn codings() {
        let rows: [(&[&str], Result<Framing, Malformed>); 31] = [
            (&["T:chunked"], Ok(Framing::Chunked)),
            (&["T:Chunked"], Ok(Framing::Chunked)),
            (&["T:CHUNKED"], Ok(Framing::Chunked)),
            (&["T:, chunked ,"], Ok(Framing::Chunked)),
            (&["T:", "T:chunked"], Ok(Framing::Chunked)),
            (&["T:"], Err(Malformed::CodingMissing)),
            (&["T:,"], Err(Malformed::CodingMissing)),
            (&["T:identity"], Err(Malformed::CodingNotChunked)),
            (&["T:gzip"], Err(Malformed::CodingNotChunked)),
            (&["T:xchunked"], Err(Malformed::CodingNotChunked)),
            (&["T:chunkedx"], Err(Malformed::CodingNotChunked)),
            (&["T:chunked, gzip"], Err(Malformed::CodingNotChunked)),
            (&["T:chunked, identity"], Err(Malformed::CodingNotChunked)),
            (&["T:chunked", "T:gzip"], Err(Malformed::CodingNotChunked)),
            (&["T:gzip, chunked, gzip"], Err(Malformed::CodingNotChunked)),
            (&["T:gzip, chunked"], Err(Malformed::CodingBeforeChunked)),
            (
                &["T:identity, chunked"],
                Err(Malformed::CodingBeforeChunked),
            ),
            (
                &["T:gzip;q=1, chunked"],
                Err(Malformed::CodingBeforeChunked),
            ),
            (
                &["T:gzip", "T:chunked"],
                Err(Malformed::CodingBeforeChunked),
            ),
            (&["T:chunked, chunked"], Err(Malformed::CodingChunkedTwice)),
            (
                &["T:chunked", "T:Chunked"],
                Err(Malformed::CodingChunkedTwice),
            ),
            (
                &["T:gzip, chunked, chunked"],
                Err(Malformed::CodingChunkedTwice),
            ),
            (&["T:chunked;a=b"], Err(Malformed::Coding)),
            (&["T:chunked;"], Err(Malformed::Coding)),
            (&["T:chunked ;a"], Err(Malformed::Coding)),
            (&["T:\"chunked\""], Err(Malformed::Coding)),
            (&["T:chunked chunked"], Err(Malformed::Coding)),
            (&["T:gzip;a=\"b, chunked"], Err(Malformed::Coding)),
            (&["T:=, chunked"], Err(Malformed::Coding)),
            (&["L:5", "T:chunked"], Err(Malformed::LengthWithCoding)),
            (
                &["T:gzip, chunked", "L:0"],
                Err(Malformed::LengthWithCoding),
            ),
        ];
        check(&rows);
    }

    #[test]
    fn http_1_0_has_no_codings() {
        let rows: [(&[&str], Result<Framing, Malformed>); 7] = [
            (&[], Ok(Framing::None)),
            (&["L:5"], Ok(Framing::Length(5))),
            (&["T:chunked"], Err(Malformed::CodingInHttp10)),
            (&["T:chunked", "L:5"], Err(Malformed::CodingInHttp10)),
            (&["T:gzip, chunked"], Err(Malformed::CodingInHttp10)),
            (&["T:identity"], Err(Malformed::CodingInHttp10)),
            (&["T:"], Err(Malformed::CodingInHttp10)),
        ];
        for (lines, want) in rows {
            assert_eq!(declared(lines, Version::Http10), want, "{lines:?}");
        }
    }
}
