//! What every layer uses: buffers, time, secrets, ids. It knows nothing of HTTP, sockets or configuration.

pub mod now;
pub mod secret;
