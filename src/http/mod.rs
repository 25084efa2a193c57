//! HTTP/1.1 as bytes in, facts out: heads, framing, bodies (RFC 9110, RFC 9112). It knows no sockets, no clock and no
//! configuration, and it is strict: anything that two parsers could read differently is refused.
//!
//! A head goes through [`scan::HeadScan`], which finds its end, then through [`request::parse`] or [`response::parse`];
//! a [`body::Decoder`] is made from the [`Framing`] that they return.

pub mod authority;
pub mod body;
pub mod chunk_line;
pub mod chunked;
pub mod coding;
pub mod connection;
pub mod event_stream;
pub mod field;
pub mod framing;
pub mod json_scan;
pub mod malformed;
pub mod model;
pub mod name;
pub mod request;
pub mod request_line;
pub mod response;
pub mod scan;
pub mod search;
pub mod target;
pub mod trailer;
pub mod usage;

#[cfg(test)]
pub mod splits;

pub use framing::Framing;

use malformed::Malformed;

/// One field line: its name, and its value without the whitespace around it.
pub type Field<'b> = httparse::Header<'b>;

/// Most field lines in a head or a trailer section; SDKs send about 20, browsers behind other proxies about 40.
pub const FIELDS_MAX: usize = 100;

/// Most bytes in a head, with its empty line and the empty lines before it. It fits an input buffer of the same size.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Longest request target. Half of a head, so that fields have room beside the longest target.
pub const TARGET_BYTES_MAX: usize = 32 * 1024;

/// Longest method; the longest that is registered has 17 bytes.
pub const METHOD_BYTES_MAX: usize = 64;

/// Longest chunk line: size, extensions and line end. Nobody is known to send more than a few dozen bytes.
pub const CHUNK_LINE_BYTES_MAX: usize = 4 * 1024;

/// Longest trailer section with its empty line: checksums and signatures fit many times over.
pub const TRAILER_BYTES_MAX: usize = 8 * 1024;

/// The version that a message is treated as. HTTP/1.2 and later are treated as 1.1 (RFC 9110 section 2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Http10,
    Http11,
}

impl Version {
    /// Reads `HTTP/1.1`, which is case-sensitive (RFC 9112 section 2.3).
    ///
    /// # Errors
    /// Not a version, or one with another major number.
    pub fn parse(text: &[u8]) -> Result<Version, Malformed> {
        match text {
            b"HTTP/1.0" => Ok(Version::Http10),
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => Ok(Version::Http11),
            [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
                Err(Malformed::VersionNotSupported)
            }
            _ => Err(Malformed::Version),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let rows: [(&[u8], Result<Version, Malformed>); 15] = [
            (b"HTTP/1.0", Ok(Version::Http10)),
            (b"HTTP/1.1", Ok(Version::Http11)),
            (b"HTTP/1.2", Ok(Version::Http11)),
            (b"HTTP/1.9", Ok(Version::Http11)),
            (b"HTTP/0.9", Err(Malformed::VersionNotSupported)),
            (b"HTTP/2.0", Err(Malformed::VersionNotSupported)),
            (b"HTTP/3.0", Err(Malformed::VersionNotSupported)),
            (b"HTTP/1.10", Err(Malformed::Version)),
            (b"HTTP/11.1", Err(Malformed::Version)),
            (b"HTTP/2", Err(Malformed::Version)),
            (b"HTTP/1,1", Err(Malformed::Version)),
            (b"HTTP/1.x", Err(Malformed::Version)),
            (b"http/1.1", Err(Malformed::Version)),
            (b"Http/1.1", Err(Malformed::Version)),
            (b"", Err(Malformed::Version)),
        ];
        for (text, want) in rows {
            assert_eq!(
                Version::parse(text),
                want,
                "{}",
                String::from_utf8_lossy(text)
            );
        }
    }
}
