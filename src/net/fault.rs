//! What can go wrong on the way to a platform, in words for the client and the log.

use std::fmt;
use std::io;

use super::resolver::DnsFailure;

/// A failure of the transport. Code that reports it knows which host it concerns.
#[derive(Debug)]
pub enum Fault {
    /// The name has no address.
    Dns(DnsFailure),
    /// No address could be connected to; the kind of the last error.
    Connect(io::ErrorKind),
    /// The TLS handshake failed, or a record was broken.
    Tls(String),
    /// The connection ended before it was allowed to.
    Lost(io::ErrorKind),
    /// The program is out of file descriptors.
    NoDescriptors,
}

impl Fault {
    /// Whether the proxy itself is the cause, and neither the platform nor its key is to blame.
    pub fn is_own(&self) -> bool {
        match self {
            Fault::NoDescriptors => true,
            Fault::Dns(failure) => failure.is_own(),
            // No local port is free, or no local address is suitable.
            Fault::Connect(kind) => *kind == io::ErrorKind::AddrNotAvailable,
            Fault::Tls(_) | Fault::Lost(_) => false,
        }
    }

    /// What an error of an established or half-established connection means.
    pub fn of(error: &io::Error) -> Fault {
        match error.kind() {
            io::ErrorKind::InvalidData => Fault::Tls(tls_text(&error.to_string())),
            kind => Fault::Lost(kind),
        }
    }
}

/// The TLS library's message; for a common mistake, a clearer one.
fn tls_text(text: &str) -> String {
    match text.contains("CaUsedAsEndEntity") {
        true => "the platform shows an authority's certificate for its own (made by `openssl req -x509`?); \
            it needs one with CA:FALSE"
            .to_string(),
        false => text.to_string(),
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Dns(failure) => write!(out, "its name could not be resolved: {failure}"),
            Fault::Connect(kind) => write!(out, "connecting failed: {kind}"),
            Fault::Tls(text) => write!(out, "TLS failed: {text}"),
            Fault::Lost(kind) => write!(out, "the connection was lost: {kind}"),
            Fault::NoDescriptors => write!(out, "no file descriptor is free for a connection"),
        }
    }
}
