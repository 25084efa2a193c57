//! What every layer uses: buffers, deadlines, time, secrets, client keys, ids, files. It knows nothing of HTTP, sockets
//! or configuration.

pub mod buffer;
pub mod client;
pub mod file;
pub mod ids;
pub mod now;
pub mod queue;
pub mod secret;
pub mod spares;
#[cfg(test)]
pub mod testing;
pub mod text;
pub mod timers;
pub mod work;
