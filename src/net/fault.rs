//! What can go wrong on the way to a platform, in words for the client and the log.

use std::fmt;
use std::io;

use super::resolver::DnsFailure;

/// A failure of the transport. Which host it concerns is known where it is told.
#[derive(Debug)]
pub enum Fault {
    /// The name has no address.
    Dns(DnsFailure),
    /// No address could be connected to; the last one's reason.
    Connect(io::ErrorKind),
    /// The TLS handshake failed, or a record was broken.
    Tls(String),
    /// The connection ended where it must not.
    Lost(io::ErrorKind),
    /// The program is out of file descriptors.
    NoDescriptors,
}

impl Fault {
    /// Whether it is the program's own doing: neither the platform nor its key is to blame.
    pub fn is_own(&self) -> bool {
        match self {
            Fault::NoDescriptors => true,
            Fault::Dns(failure) => failure.is_own(),
            // No local port is free, or no local address leads there.
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

/// What the TLS library says, in words where it has none.
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
