//! Listening sockets: one option more than the standard library sets.

use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Clients that may wait to be accepted; the kernel bounds it by its own setting.
pub const BACKLOG: i32 = 4096;

/// Listens at `address`, together with any other process that does (`SO_REUSEPORT`), so that a new process can start
/// before the old one has drained. Accepted sockets inherit `TCP_NODELAY`.
///
/// # Errors
/// What is wrong and what to do, with the address.
pub fn open(address: SocketAddr) -> Result<TcpListener, String> {
    let listener = || -> std::io::Result<TcpListener> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_tcp_nodelay(true)?;
        if address.ip() == std::net::IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED) {
            socket.set_only_v6(false)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    listener().map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => format!(
            "port {} is in use at {}; stop the other program or set another `port` in config.json",
            address.port(),
            address.ip()
        ),
        std::io::ErrorKind::AddrNotAvailable => format!(
            "{} is no address of this machine; set another `host` in config.json",
            address.ip()
        ),
        std::io::ErrorKind::PermissionDenied => format!(
            "port {} needs privileges; set a `port` of 1024 or more in config.json",
            address.port()
        ),
        _ => format!("cannot listen at {address}: {error}"),
    })
}
