//! Why a name could not be resolved, in words for the client and the log.

use std::fmt;
use std::io;
use std::net::IpAddr;

/// A lookup that ended without an address.
///
/// The variants are in order of gravity: if one lookup has two of them, the greater is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DnsFailure {
    /// A name server says that there is no such name (NXDOMAIN).
    NoSuchName,
    /// The name exists, but has neither an IPv6 nor an IPv4 address.
    NoAddress,
    /// The text cannot be a host name; no server was asked.
    BadName,
    /// The last server asked answered with this response code (RFC 1035 section 4.1.1).
    ServerError { server: IpAddr, code: u8 },
    /// The response of the last server asked cannot be understood.
    Garbled { server: IpAddr },
    /// The last server asked did not answer in time.
    TimedOut { server: IpAddr },
    /// The last server asked could not be reached.
    Unreachable { server: IpAddr, kind: io::ErrorKind },
    /// More names are being looked up than there is room for.
    Busy,
    /// The program is out of file descriptors.
    NoDescriptors,
}

impl DnsFailure {
    /// Whether this is what the DNS says about the name, rather than a fault on the way to it.
    pub fn is_answer(&self) -> bool {
        match self {
            DnsFailure::NoSuchName | DnsFailure::NoAddress | DnsFailure::BadName => true,
            DnsFailure::ServerError { .. }
            | DnsFailure::Garbled { .. }
            | DnsFailure::TimedOut { .. }
            | DnsFailure::Unreachable { .. }
            | DnsFailure::Busy
            | DnsFailure::NoDescriptors => false,
        }
    }

    /// Whether the proxy itself is the cause: no server could be asked.
    pub fn is_own(&self) -> bool {
        match self {
            DnsFailure::Busy | DnsFailure::NoDescriptors => true,
            DnsFailure::NoSuchName
            | DnsFailure::NoAddress
            | DnsFailure::BadName
            | DnsFailure::ServerError { .. }
            | DnsFailure::Garbled { .. }
            | DnsFailure::TimedOut { .. }
            | DnsFailure::Unreachable { .. } => false,
        }
    }

    /// Whether the next name of the search list is worth asking for: not if the servers do not answer at all.
    pub fn lets_search_go_on(&self) -> bool {
        match self {
            DnsFailure::NoSuchName
            | DnsFailure::NoAddress
            | DnsFailure::BadName
            | DnsFailure::ServerError { .. }
            | DnsFailure::Garbled { .. } => true,
            DnsFailure::TimedOut { .. }
            | DnsFailure::Unreachable { .. }
            | DnsFailure::Busy
            | DnsFailure::NoDescriptors => false,
        }
    }
}

impl fmt::Display for DnsFailure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DnsFailure::NoSuchName => write!(out, "no such name"),
            DnsFailure::NoAddress => write!(out, "the name has no address"),
            DnsFailure::BadName => write!(out, "not a host name"),
            DnsFailure::ServerError { server, code } => match code {
                1 => write!(out, "{server} answered: format error"),
                2 => write!(out, "{server} answered: server failure"),
                4 => write!(out, "{server} answered: not implemented"),
                5 => write!(out, "{server} answered: refused"),
                other => write!(out, "{server} answered: error {other}"),
            },
            DnsFailure::Garbled { server } => write!(out, "{server} answered nonsense"),
            DnsFailure::TimedOut { server } => write!(out, "timed out asking {server}"),
            DnsFailure::Unreachable { server, kind } => {
                write!(out, "{server} cannot be asked: {kind}")
            }
            DnsFailure::Busy => write!(out, "too many names are being looked up"),
            DnsFailure::NoDescriptors => write!(out, "no file descriptor is free"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_server_where_there_is_one() {
        let server = IpAddr::from([10, 0, 0, 1]);
        let kind = io::ErrorKind::ConnectionRefused;
        let rows = [
            (DnsFailure::NoSuchName, "no such name"),
            (DnsFailure::NoAddress, "the name has no address"),
            (DnsFailure::BadName, "not a host name"),
            (
                DnsFailure::ServerError { server, code: 2 },
                "10.0.0.1 answered: server failure",
            ),
            (
                DnsFailure::ServerError { server, code: 5 },
                "10.0.0.1 answered: refused",
            ),
            (
                DnsFailure::ServerError { server, code: 9 },
                "10.0.0.1 answered: error 9",
            ),
            (DnsFailure::Garbled { server }, "10.0.0.1 answered nonsense"),
            (DnsFailure::TimedOut { server }, "timed out asking 10.0.0.1"),
            (
                DnsFailure::Unreachable { server, kind },
                "10.0.0.1 cannot be asked: connection refused",
            ),
            (DnsFailure::Busy, "too many names are being looked up"),
            (DnsFailure::NoDescriptors, "no file descriptor is free"),
        ];
        for (failure, want) in rows {
            assert_eq!(failure.to_string(), want);
        }
    }
}
