//! Who waits for whom, and how long: streams that are under way wait for no more than a bounded part of all the rest. What
//! one session does is measured in bytes: those that it moves, and for other work as many as could be moved in the same
//! time. What all sessions do together is measured by the clock, since the same bytes may cost the kernel ten times as much,
//! by the fault of the other end or for want of memory.

use std::time::Duration;

use super::buffer::BUFFER_BYTES;

/// What one session does before the others get their turn: one read into an empty buffer, at least.
pub const SHARE_BYTES_MAX: usize = BUFFER_BYTES;

/// The same while there are streams, and the most that one read brings then: they wait while the kernel copies it and opens
/// the other end's window.
pub const SHARE_BESIDE_STREAMS_BYTES_MAX: usize = 24 * 1024;

/// How long sessions that are no streams have in a turn together while there are none: requests that begin, large bodies,
/// connections that end. Nobody waits but they themselves.
pub const REST_MAX: Duration = Duration::from_millis(2);

/// The same beside streams. The shorter a turn, the more of them, each with a poll and a write of the ledger.
pub const REST_BESIDE_STREAMS_MAX: Duration = Duration::from_micros(50);

/// A session that passes an answer on is a stream, if it did no more than this of late: its last turn counts whole, and
/// each turn before half as much as the next, so that a moment without bytes makes no stream of a large body.
pub const STREAM_RECENT_BYTES_MAX: usize = 64 * 1024;

/// What a stream does in a turn before it waits with the rest: who is served first must not take long.
pub const STREAM_BYTES_MAX: usize = 32 * 1024;

/// A step, whatever it moves, with its share of system calls, so that tiny pieces do not buy extra time.
pub const STEP_BYTES: usize = 8 * 1024;

/// A part of a TLS handshake: signatures take long.
pub const HANDSHAKE_BYTES: usize = 1024 * 1024;
