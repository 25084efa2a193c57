//! Who waits for whom, and how long: streams that are under way wait for no more than a bounded part of all the rest. What
//! one session does is measured in bytes that are moved, and what takes as long as to move so many; what all do, by the
//! clock: the same bytes may cost the kernel ten times as much, if the other end or want of memory makes it so.

use std::time::Duration;

use super::buffer::BUFFER_BYTES;

/// What one session does before the others get their turn: one read into an empty buffer, at least.
pub const SHARE_BYTES_MAX: usize = BUFFER_BYTES;

/// The same beside streams, also in one read: while the kernel copies, and frees the other end's window, they wait.
pub const SHARE_BESIDE_STREAMS_BYTES_MAX: usize = 24 * 1024;

/// How long sessions that are no streams have in a turn together while there are none: requests that begin, large bodies,
/// connections that end. Nobody waits but they themselves.
pub const REST_MAX: Duration = Duration::from_millis(2);

/// The same beside streams. The shorter a turn, the more of them, each with a poll and a write of the ledger.
pub const REST_BESIDE_STREAMS_MAX: Duration = Duration::from_micros(50);

/// A session that passes an answer on is a stream, if it did no more than this of late: its last turn counts whole, and
/// each turn before half as much as the next, so that a moment without bytes makes no stream of a large body.
pub const STREAM_RECENT_BYTES_MAX: usize = 64 * 1024;

/// What it does then before it waits with the rest: whoever comes first must not come with much.
pub const STREAM_BYTES_MAX: usize = 32 * 1024;

/// A step, whatever it moves, with its share of system calls, so that tiny pieces do not buy extra time.
pub const STEP_BYTES: usize = 8 * 1024;

/// A part of a TLS handshake: signatures take long.
pub const HANDSHAKE_BYTES: usize = 1024 * 1024;
