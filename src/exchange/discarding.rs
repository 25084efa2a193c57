//! The answer has left before the request's body was read. The rest is read and dropped, within bounds, so that the
//! connection can serve the next request.

use std::time::{Duration, Instant};

use crate::base::buffer::Buffer;
use crate::base::now::Now;
use crate::http::body::Decoder;

use super::closing::Closing;
use super::reading::Reading;
use super::transfer::{Coding, ROOM_MIN, Sink, Stopped, nothing_withheld, transfer};
use super::{Cx, Exchange, Step};

/// How long to read before the connection is given up instead.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much to read before that. If the client announces more, the answer says that the connection ends with it.
pub const DROPPED_BYTES_MAX: usize = 256 * 1024;

pub struct Discarding {
    decoder: Decoder,
    until: Instant,
    dropped: Dropped,
}

/// Counts what is thrown away.
struct Dropped {
    bytes: usize,
}

impl Sink for Dropped {
    fn room(&self) -> usize {
        ROOM_MIN + DROPPED_BYTES_MAX
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
    }
}

impl Discarding {
    pub fn new(decoder: Decoder, now: Now) -> Discarding {
        Discarding {
            decoder,
            until: now.instant + PATIENCE,
            dropped: Dropped { bytes: 0 },
        }
    }

    pub fn step(mut self, cx: &mut Cx<'_>) -> (Exchange, Step) {
        let input: &mut Buffer = cx.client.input;
        let moved = transfer(
            &mut self.decoder,
            input,
            &mut self.dropped,
            Coding::Identity,
            nothing_withheld,
            |_| {},
        );
        let given_up = self.until <= cx.now.instant || self.dropped.bytes > DROPPED_BYTES_MAX;
        match moved {
            Ok(Stopped::Done) => (Exchange::Reading(Reading::idle(cx.now)), Step::Again),
            Ok(Stopped::Paused) if !given_up => (Exchange::Discarding(self), Step::Again),
            Ok(Stopped::Starved | Stopped::Full) if !given_up => {
                (Exchange::Discarding(self), Step::Wait)
            }
            Ok(Stopped::Starved | Stopped::Full | Stopped::Paused) => {
                let closing = Closing::new(&self.decoder, cx.now);
                (Exchange::Closing(closing), Step::Again)
            }
            Err(_) => {
                let closing = Closing::new(&Decoder::Done, cx.now);
                (Exchange::Closing(closing), Step::Again)
            }
        }
    }

    pub fn deadline(&self) -> Instant {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PLATFORM, core, now, step};
    use super::*;
    use crate::http::Framing;

    #[test]
    fn no_more_is_dropped_than_its_bound() {
        const PIECE: usize = 1024;
        let mut core = core("{}", PLATFORM);
        // No time passes in either case.
        for (bytes, is_too_long) in [
            (DROPPED_BYTES_MAX, false),
            (DROPPED_BYTES_MAX + PIECE, true),
        ] {
            let decoder = Decoder::new(Framing::Length(bytes as u64 + 1));
            let now = now();
            let mut exchange = Exchange::Discarding(Discarding::new(decoder, now));
            for _ in 0..bytes / PIECE {
                assert!(matches!(exchange, Exchange::Discarding(_)));
                (exchange, _) = step(exchange, &[b'x'; PIECE], &mut core, now);
            }
            let is_given_up = matches!(exchange, Exchange::Closing(_));
            assert_eq!(is_given_up, is_too_long);
        }
    }
}
