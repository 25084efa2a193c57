//! The connection's last answer is on its way. Closing at once, with bytes of the client unread, would reset the
//! connection and could cost the client that answer (RFC 9112 section 9.6): so the sending direction ends first, and
//! for a while what still comes is dropped.

use std::time::{Duration, Instant};

use crate::base::now::Now;

use super::core::Core;
use super::reason::Reason;
use super::{Cx, Exchange, Step};

/// How long the client may take to read its answer and close.
const LINGER: Duration = Duration::from_secs(5);

/// What is read and dropped at most.
const DROPPED_BYTES_MAX: usize = 256 * 1024;

pub struct Closing {
    since: Instant,
    stage: Stage,
    dropped_bytes: usize,
}

/// Which of the two directions still lives.
#[derive(Clone, Copy)]
enum Stage {
    Sending,
    /// Our end was sent; the client's is awaited until then.
    Lingering(Instant),
}

impl Closing {
    pub(super) fn new(now: Now) -> Closing {
        Closing {
            since: now.instant,
            stage: Stage::Sending,
            dropped_bytes: 0,
        }
    }

    pub fn step(mut self, cx: &mut Cx<'_>) -> (Exchange, Step) {
        self.dropped_bytes += cx.client.input.len();
        cx.client.input.consume(cx.client.input.len());
        let finished = match self.stage {
            Stage::Sending => self.deadline(cx.core, cx.client.active_at) <= cx.now.instant,
            Stage::Lingering(until) => until <= cx.now.instant || !self.wants_client(),
        };
        if finished {
            return (Exchange::Closed, Step::Close(Reason::Finished));
        }
        match self.stage {
            Stage::Sending if cx.client.output.is_empty() => {
                self.stage = Stage::Lingering(cx.now.instant + LINGER);
                (Exchange::Closing(self), Step::Shutdown)
            }
            Stage::Sending | Stage::Lingering(_) => (Exchange::Closing(self), Step::Wait),
        }
    }

    /// Whether there is patience for more that is dropped.
    pub fn wants_client(&self) -> bool {
        self.dropped_bytes <= DROPPED_BYTES_MAX
    }

    pub fn deadline(&self, core: &Core, client_at: Instant) -> Instant {
        match self.stage {
            Stage::Sending => client_at.max(self.since) + core.site.settings.idle_timeout,
            Stage::Lingering(until) => until,
        }
    }
}
