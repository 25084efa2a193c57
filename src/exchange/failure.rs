//! Why a try fails without a final answer, and what a final one means for the key: for the states that await one.

use std::time::{Duration, Instant};

use crate::base::now::Now;
use crate::http::malformed::Malformed;
use crate::http::response::ResponseHead;
use crate::policy::keyring::Outcome;
use crate::policy::verdict::judge;

use super::reason::Reason;
use super::{Cx, Ends};

/// A platform that gives up after waiting this long for the client's next byte is taken to have timed out on the client.
/// Most platforms wait 10 seconds or more; one with a fault of its own does not wait that long.
const CLIENT_SILENCE_MAX: Duration = Duration::from_secs(5);

/// The same for one that waits for the client's next byte when the request has been under way for this long.
const CLIENT_SLOWNESS_MAX: Duration = Duration::from_secs(30);

/// The most interim answers to one request; a platform that sends more is taken to be faulty.
pub const INTERIM_MAX: u32 = 32;
pub const ENDLESS_INTERIMS: &str = "it sent interim answers without end";

/// Why a try failed without a final answer.
pub enum Failure {
    Unreachable(String),
    TimedOut(&'static str),
    /// The proxy's own failure: the key is not to blame, and another one would do no better.
    Own(String),
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Failure {
        Failure::Unreachable(malformed.message().to_string())
    }
}

impl Failure {
    /// What it means for the key, and what the client is told; `host` is the platform's.
    pub fn at(self, host: String) -> (Outcome, Reason) {
        match self {
            Failure::Unreachable(what) => (
                Outcome::NetworkFailure { what: what.clone() },
                Reason::Upstream { host, what },
            ),
            Failure::TimedOut(what) => (
                Outcome::Timeout { what },
                Reason::UpstreamTimeout { host, what },
            ),
            Failure::Own(what) => (Outcome::Canceled, Reason::Upstream { host, what }),
        }
    }
}

/// Whether the platform has been sent all that has arrived of an unfinished request, and the patience for the rest of
/// it is over: ours, at `ours_ends`, or the platform's, if that `gave_up`. What was before `since` does not count.
pub fn has_waited_for_client(
    since: Instant,
    ours_ends: Instant,
    gave_up: bool,
    upstream: &Ends<'_>,
    cx: &Cx<'_>,
) -> bool {
    let until = match gave_up {
        false => ours_ends,
        true => {
            let silent_at = cx.client.active_at.max(since) + CLIENT_SILENCE_MAX;
            silent_at.min(since + CLIENT_SLOWNESS_MAX)
        }
    };
    upstream.has_sent_all() && until <= cx.now.instant
}

/// What an answer's head means for the key; none where the beginning of the body decides.
pub fn outcome_of(head: &ResponseHead<'_, '_>, now: Now) -> Option<Outcome> {
    let fields = head.fields.iter().map(|field| (field.name, field.value));
    judge(head.status, fields, now)
}

/// What an answer's outcome means if the platform has waited for the client in vain: it has not failed.
pub fn excused(outcome: Outcome, has_waited: bool) -> Outcome {
    match outcome {
        Outcome::ServerError { .. } if has_waited => Outcome::Canceled,
        outcome => outcome,
    }
}
