//! How much of a turn a piece of work takes, in one measure: bytes that are moved, and what takes as long as to move so
//! many. It decides who waits for whom: streams that are under way wait for no more than a bounded part of all the rest.

/// What one session does before the others get their turn.
pub const SHARE_BYTES_MAX: usize = 256 * 1024;

/// What sessions that are no streams do in a turn together while there are none: requests that begin, large bodies,
/// connections that end. Nobody waits but they themselves.
pub const REST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The same beside streams. The shorter a turn, the more of them, each with a poll and a write of the ledger.
pub const REST_BESIDE_STREAMS_BYTES_MAX: usize = 256 * 1024;

/// A session that did no more than this is a stream, if it passes an answer on. In the next turn it does no more either
/// before it waits with the rest: whoever comes first must not come with much.
pub const STREAM_BYTES_MAX: usize = 32 * 1024;

/// A step, whatever it moves, with its share of system calls: who has the program do much with few bytes does not get more of
/// its time.
pub const STEP_BYTES: usize = 8 * 1024;

/// A part of a TLS handshake: signatures take long.
pub const HANDSHAKE_BYTES: usize = 1024 * 1024;

/// Closing a connection.
pub const CLOSE_BYTES: usize = 64 * 1024;
