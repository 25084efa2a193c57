//! The connection's last answer is on its way. Closing at once, with bytes from the client unread, would reset the
//! connection and could cost the client that answer (RFC 9112 section 9.6). So the sending direction ends first, and
//! for a while what still arrives is dropped: many clients read the answer only once they have sent their body.

use std::time::{Duration, Instant};

use crate::base::now::Now;
use crate::http::body::Decoder;

use super::core::Core;
use super::reason::Reason;
use super::{Cx, Exchange, Step};

/// How long the client may send nothing while it reads its answer, before the connection is closed.
const LINGER: Duration = Duration::from_secs(5);

/// How long that may take in all, however the client sends.
const LINGER_MAX: Duration = Duration::from_secs(30);

/// How much of a request's body is read and dropped at most: more than usual ones have, pictures and files included.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The same where no body is under way, or where its end is not known.
const REST_BYTES_MAX: usize = 256 * 1024;

pub struct Closing {
    since: Instant,
    stage: Stage,
    /// How many more bytes may be dropped.
    patience_bytes: usize,
}

/// Which of the two directions is still to end.
#[derive(Clone, Copy)]
enum Stage {
    Sending,
    /// Our end was sent then; the client's is awaited.
    Lingering(Instant),
}

impl Closing {
    /// `decoder` tells how far the request's body has been read.
    pub(super) fn new(decoder: &Decoder, now: Now) -> Closing {
        Closing {
            since: now.instant,
            stage: Stage::Sending,
            patience_bytes: match decoder.is_done() {
                true => REST_BYTES_MAX,
                false => BODY_BYTES_MAX,
            },
        }
    }

    pub fn step(mut self, cx: &mut Cx<'_>) -> (Exchange, Step) {
        let dropped = cx.client.input.len();
        cx.client.input.consume(dropped);
        self.patience_bytes = self.patience_bytes.saturating_sub(dropped);
        let is_due = self.deadline(cx.core, cx.client.active_at) <= cx.now.instant;
        let finished = match self.stage {
            Stage::Sending => is_due,
            Stage::Lingering(_) => is_due || !self.wants_client(),
        };
        if finished {
            return (Exchange::Closed, Step::Close(Reason::Finished));
        }
        match self.stage {
            Stage::Sending if cx.client.has_sent_all() => {
                self.stage = Stage::Lingering(cx.now.instant);
                (Exchange::Closing(self), Step::Shutdown)
            }
            Stage::Sending | Stage::Lingering(_) => (Exchange::Closing(self), Step::Wait),
        }
    }

    /// Whether more bytes may still be read and dropped.
    pub fn wants_client(&self) -> bool {
        self.patience_bytes > 0
    }

    pub fn deadline(&self, core: &Core, client_at: Instant) -> Instant {
        match self.stage {
            Stage::Sending => client_at.max(self.since) + core.site.settings.idle_timeout,
            Stage::Lingering(since) => (client_at.max(since) + LINGER).min(since + LINGER_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::buffer::Buffer;
    use crate::exchange::testing::{self, PLATFORM, buffer, ends, step_between};
    use crate::exchange::{Ends, Upstream};

    #[test]
    fn who_still_sends_is_waited_for_longer() {
        // (when bytes from the client arrive, when the connection is closed), in seconds
        let rows: [(&[u64], u64); 4] = [
            (&[], 5),
            (&[4], 9),
            (&[4, 6, 11], 16),
            (&[4, 8, 12, 16, 20, 24, 28], 30),
        ];
        for (comes, ends_at) in rows {
            let mut core = testing::core("{}", PLATFORM);
            let begun = testing::now();
            let mut active_at = begun.instant;
            let mut step = |closing: Closing, milliseconds: u64, bytes: &[u8]| {
                let now = begun.after(Duration::from_millis(milliseconds));
                if !bytes.is_empty() {
                    active_at = now.instant;
                }
                let [mut input, mut output] = [bytes, b""].map(buffer);
                let client = Ends {
                    active_at,
                    ..ends(&mut input, &mut output, now)
                };
                let exchange = Exchange::Closing(closing);
                match step_between(exchange, client, Upstream::None, &mut core, now) {
                    (Exchange::Closing(closing), _) => Some(closing),
                    _ => None,
                }
            };
            let mut closing =
                step(Closing::new(&Decoder::Done, begun), 0, b"").expect("the end is sent");
            for at in comes {
                closing = step(closing, at * 1000, b"x").expect("it still sends");
            }
            closing = step(closing, ends_at * 1000 - 1, b"").expect("it is not over yet");
            assert!(step(closing, ends_at * 1000, b"").is_none(), "{ends_at}");
        }
    }

    #[test]
    fn who_sends_without_end_gets_its_answer_all_the_same() {
        const PIECE: &[u8] = &[b'x'; 64 * 1024];
        let mut core = testing::core("{}", PLATFORM);
        let now = testing::now();
        let mut output = buffer(b"the answer");
        let mut step = |exchange: Exchange, output: &mut Buffer| {
            let mut input = buffer(PIECE);
            let client = ends(&mut input, output, now);
            step_between(exchange, client, Upstream::None, &mut core, now)
        };
        let mut exchange = Exchange::Closing(Closing::new(&Decoder::Done, now));
        for _ in 0..2 * REST_BYTES_MAX / PIECE.len() {
            let (next, wish) = step(exchange, &mut output);
            assert!(matches!(wish, Step::Wait));
            exchange = next;
        }
        testing::drain(&mut output);
        let (exchange, wish) = step(exchange, &mut output);
        assert!(matches!(wish, Step::Shutdown));
        let (_, wish) = step(exchange, &mut output);
        assert!(matches!(wish, Step::Close(Reason::Finished)));
    }
}
