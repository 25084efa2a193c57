//! Sockets: transport, connections, the pool of idle ones, dials, names. It moves bytes and knows nothing of HTTP.

pub mod certificate;
pub mod connection;
pub mod dial;
pub mod fault;
pub mod network;
pub mod owners;
pub mod pool;
pub mod records;
pub mod resolver;
#[cfg(test)]
pub mod testing;
pub mod tls;
pub mod transport;
