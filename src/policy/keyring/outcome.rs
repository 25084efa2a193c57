//! The possible outcomes of a try.

use std::fmt;
use std::time::Duration;

/// The outcome of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer that speaks for the key: 2xx, 3xx, or a 4xx that is the client's doing.
    Answered,
    /// The platform does not accept the key, and why.
    Rejected {
        reason: String,
    },
    /// 403: the key or the request may be to blame.
    Forbidden,
    /// 429, with the wait that the platform stated, if any.
    RateLimited {
        wait: Option<Duration>,
    },
    ServerError {
        status: u16,
    },
    /// No answer: connecting, TLS, DNS, a connection lost, or bytes that are no answer.
    NetworkFailure {
        what: String,
    },
    /// No answer in time.
    Timeout {
        what: &'static str,
    },
    /// Nothing was learnt about the key: the client went away or sent no body, or the proxy's own resources failed.
    Canceled,
}

impl Outcome {
    /// Whether the outcome shows that the platform works, whatever it said.
    pub(super) fn breaks_a_row_of_failures(&self) -> bool {
        match self {
            Outcome::Answered
            | Outcome::Rejected { .. }
            | Outcome::Forbidden
            | Outcome::RateLimited { .. } => true,
            Outcome::ServerError { .. }
            | Outcome::NetworkFailure { .. }
            | Outcome::Timeout { .. }
            | Outcome::Canceled => false,
        }
    }

    /// Whether another key may do better.
    pub fn is_for_another_key(&self) -> bool {
        match self {
            Outcome::Answered | Outcome::Canceled => false,
            Outcome::Rejected { .. }
            | Outcome::Forbidden
            | Outcome::RateLimited { .. }
            | Outcome::ServerError { .. }
            | Outcome::NetworkFailure { .. }
            | Outcome::Timeout { .. } => true,
        }
    }
}

/// What is said of a key that is rate-limited.
pub const RATE_LIMITED: &str = "429: rate-limited";

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Answered => out.write_str("answered"),
            Outcome::Rejected { reason } => out.write_str(reason),
            Outcome::Forbidden => out.write_str("403: the platform forbids it"),
            Outcome::RateLimited { .. } => out.write_str(RATE_LIMITED),
            Outcome::ServerError { status } => write!(out, "{status}: a fault of the platform"),
            Outcome::NetworkFailure { what } => out.write_str(what),
            Outcome::Timeout { what } => out.write_str(what),
            Outcome::Canceled => out.write_str("canceled"),
        }
    }
}
