//! How long sessions wait for each other: streams in progress wait for no more than a bounded part of all other work.
//! The work of one session is measured in bytes: those that it moves, and for other work as many as could be moved in
//! the same time. The work of all sessions together is measured by the clock, since the same bytes may cost the kernel
//! ten times as much when the other end is at fault or memory is short.

use std::time::Duration;

use super::buffer::{BUFFER_BYTES, WIDE_BYTES};

/// What one session does before the others get their turn: at least one read into an empty buffer.
pub const SHARE_BYTES_MAX: usize = WIDE_BYTES;

/// The same while more than `FEW_WAITING` others wait for their turn: larger pieces save less than they make others wait.
const SHARE_AMONG_MANY_BYTES_MAX: usize = BUFFER_BYTES;
const FEW_WAITING: usize = 8;

/// The same while there are streams, and the most that one read takes then: the streams wait while the kernel copies it
/// and opens the other end's window.
pub const SHARE_BESIDE_STREAMS_BYTES_MAX: usize = 24 * 1024;

/// How long all sessions that are not streams may take in a turn together while there are no streams: requests that
/// begin, large bodies, connections that end. They delay only each other.
pub const REST_MAX: Duration = Duration::from_millis(2);

/// The same while there are streams. Shorter turns mean more of them, each with a poll and a write of the ledger.
pub const REST_BESIDE_STREAMS_MAX: Duration = Duration::from_micros(50);

/// A session that relays a response is a stream if its recent work is no more than this. Its last turn counts in full,
/// each earlier one half as much as the one after it, so that a pause does not make a large body a stream.
pub const STREAM_RECENT_BYTES_MAX: usize = 64 * 1024;

/// What a stream does in a turn before it waits with the rest: sessions that are served first must not take long.
pub const STREAM_BYTES_MAX: usize = 32 * 1024;

/// The cost of a step whatever it moves, for its share of system calls, so that tiny pieces do not gain extra time.
pub const STEP_BYTES: usize = 8 * 1024;

/// The cost of a part of a TLS handshake: signatures take long.
pub const HANDSHAKE_BYTES: usize = 1024 * 1024;

/// What a session does before the others get their turn, beside so many streams and while so many others wait.
pub fn share_bytes(streams: usize, waiting: usize) -> usize {
    match (streams, waiting) {
        (0, ..=FEW_WAITING) => SHARE_BYTES_MAX,
        (0, _) => SHARE_AMONG_MANY_BYTES_MAX,
        (1.., _) => SHARE_BESIDE_STREAMS_BYTES_MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_wait_the_smaller_is_a_share() {
        let shares = [
            (0, 0),
            (0, FEW_WAITING),
            (0, FEW_WAITING + 1),
            (1, 0),
            (1, 9),
        ];
        let shares = shares.map(|(streams, waiting)| share_bytes(streams, waiting));
        let beside = SHARE_BESIDE_STREAMS_BYTES_MAX;
        assert_eq!(
            shares,
            [WIDE_BYTES, WIDE_BYTES, BUFFER_BYTES, beside, beside]
        );
    }
}
