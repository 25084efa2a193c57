//! What is counted of requests, and how they can end. It does not know whose requests they are.

use super::Finished;
use super::histogram::{Histogram, Observed};

/// Sums over the finished requests of one platform, key or client, or of all.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub requests: u64,
    pub errors: Errors,
    /// Body bytes from the client to the platform.
    pub bytes_in: u64,
    /// Body bytes from the platform to the client.
    pub bytes_out: u64,
    pub tokens_in: u64,
    pub tokens_out: u64,
    /// From the request's beginning to the first byte of its answer's body, where one came.
    pub first_byte: Histogram,
}

/// How a request ended, as `/metrics` reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Success,
    Redirect,
    ClientError,
    ServerError,
    /// No answer: connect, TLS, DNS or protocol failure, or a body cut short.
    Network,
    Timeout,
    /// The client left.
    Canceled,
}

/// What went wrong, as `/stats` reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// 4xx other than those named below.
    Client,
    /// 429.
    RateLimited,
    /// 401, 402, 403.
    Auth,
    /// 5xx.
    Server,
    Network,
    Timeout,
    Canceled,
}

/// Errors by their kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errors([u64; ErrorKind::ALL.len()]);

impl Counts {
    /// `first_byte` is the one of `finished`.
    pub(super) fn add(&mut self, finished: &Finished, first_byte: Option<Observed>) {
        self.requests += 1;
        if let Some(kind) = ErrorKind::of(finished.class, finished.status) {
            self.errors.add(kind);
        }
        self.bytes_in = self.bytes_in.saturating_add(finished.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(finished.bytes_out);
        add_tokens(&mut self.tokens_in, finished.tokens_in);
        add_tokens(&mut self.tokens_out, finished.tokens_out);
        if let Some(first_byte) = first_byte {
            self.first_byte.observe(first_byte);
        }
    }
}

/// A platform may claim any number of tokens.
pub(super) fn add_tokens(sum: &mut u64, more: Option<u64>) {
    *sum = sum.saturating_add(more.unwrap_or(0));
}

impl Class {
    pub const ALL: [Class; 7] = [
        Class::Success,
        Class::Redirect,
        Class::ClientError,
        Class::ServerError,
        Class::Network,
        Class::Timeout,
        Class::Canceled,
    ];

    /// The class of an answer that was delivered whole. A 101 is a success: the client got the tunnel it asked for.
    pub fn of_status(status: u16) -> Class {
        match status {
            0..300 => Class::Success,
            300..400 => Class::Redirect,
            400..500 => Class::ClientError,
            500.. => Class::ServerError,
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Class::Success => "2xx",
            Class::Redirect => "3xx",
            Class::ClientError => "4xx",
            Class::ServerError => "5xx",
            Class::Network => "network",
            Class::Timeout => "timeout",
            Class::Canceled => "canceled",
        }
    }
}

impl ErrorKind {
    pub const ALL: [ErrorKind; 7] = [
        ErrorKind::Client,
        ErrorKind::RateLimited,
        ErrorKind::Auth,
        ErrorKind::Server,
        ErrorKind::Network,
        ErrorKind::Timeout,
        ErrorKind::Canceled,
    ];

    /// The kind of error with which a request ended, if any. `status` is what the client was sent.
    pub fn of(class: Class, status: Option<u16>) -> Option<ErrorKind> {
        match class {
            Class::Success | Class::Redirect => None,
            Class::ClientError => Some(match status {
                Some(429) => ErrorKind::RateLimited,
                Some(401..=403) => ErrorKind::Auth,
                Some(_) | None => ErrorKind::Client,
            }),
            Class::ServerError => Some(ErrorKind::Server),
            Class::Network => Some(ErrorKind::Network),
            Class::Timeout => Some(ErrorKind::Timeout),
            Class::Canceled => Some(ErrorKind::Canceled),
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            ErrorKind::Client => "client",
            ErrorKind::RateLimited => "rate_limited",
            ErrorKind::Auth => "auth",
            ErrorKind::Server => "server",
            ErrorKind::Network => "network",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Canceled => "canceled",
        }
    }
}

impl Errors {
    pub(super) fn add(&mut self, kind: ErrorKind) {
        self.0[kind as usize] += 1;
    }

    pub fn of(&self, kind: ErrorKind) -> u64 {
        self.0[kind as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_have_classes_and_errors() {
        let rows = [
            (101, "2xx", None),
            (200, "2xx", None),
            (299, "2xx", None),
            (304, "3xx", None),
            (400, "4xx", Some("client")),
            (401, "4xx", Some("auth")),
            (402, "4xx", Some("auth")),
            (403, "4xx", Some("auth")),
            (404, "4xx", Some("client")),
            (429, "4xx", Some("rate_limited")),
            (500, "5xx", Some("server")),
            (529, "5xx", Some("server")),
            (599, "5xx", Some("server")),
        ];
        for (status, class, error) in rows {
            let got = Class::of_status(status);
            assert_eq!(got.label(), class, "{status}");
            assert_eq!(
                ErrorKind::of(got, Some(status)).map(ErrorKind::label),
                error,
                "{status}"
            );
        }
        for class in [Class::Network, Class::Timeout, Class::Canceled] {
            // The answer's status does not matter when the failure was not the answer itself.
            for status in [None, Some(200), Some(502), Some(429)] {
                assert_eq!(
                    ErrorKind::of(class, status).map(ErrorKind::label),
                    Some(class.label())
                );
            }
        }
    }

    #[test]
    fn lists_are_in_the_order_of_the_variants() {
        for (place, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, place);
        }
        for (place, kind) in ErrorKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
        }
    }
}
