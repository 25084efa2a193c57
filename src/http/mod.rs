//! HTTP/1.1 as bytes: heads, fields, body framing, usage scanning. Bytes go in, facts come out; it knows no socket, no
//! clock and no configuration.

pub mod body;
pub mod chunked;
pub mod field;
pub mod malformed;
pub mod request;
pub mod response;
pub mod scan;
pub mod target;
pub mod usage;

#[cfg(test)]
pub mod splits;

/// One field line.
pub type Field<'b> = httparse::Header<'b>;

/// Field lines of one head; more are refused.
pub const FIELDS_MAX: usize = 100;

/// The longest head, its empty line included.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The longest request target.
pub const TARGET_BYTES_MAX: usize = 32 * 1024;

/// The versions that are told apart: 1.2 and on, within 1, is served as 1.1 (RFC 9110 section 2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Http10,
    Http11,
}

/// How a message's body is delimited (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none, and no length was given.
    None,
    Length(u64),
    Chunked,
    /// The connection's end delimits it: answers only.
    Close,
}
