//! Listening sockets: options that the standard library does not set, and how to stop new handshakes.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;

use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};

/// Connections that may wait to be accepted; the kernel caps this by a setting of its own.
pub const BACKLOG: i32 = 4096;

/// Listens at `address`, together with any other process that does so (`SO_REUSEPORT`): a new process can start before
/// the old one has drained. Accepted sockets inherit `TCP_NODELAY`.
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
            "{} is not an address of this machine; set another `host` in config.json",
            address.ip()
        ),
        std::io::ErrorKind::PermissionDenied => format!(
            "port {} needs privileges; set a `port` of 1024 or more in config.json",
            address.port()
        ),
        _ => format!("cannot listen at {address}: {error}"),
    })
}

/// The offset of the flags in a TCP header, and two of the flags.
const FLAGS_AT: u32 = 13;
const SYN: u32 = 0x02;
const ACK: u32 = 0x10;

/// A classic BPF filter that the kernel runs on each packet for the listener: those that begin a handshake are dropped.
const DROP_FIRST_PACKETS: [SockFilter; 5] = [
    SockFilter::new(0x30, 0, 0, FLAGS_AT),
    SockFilter::new(0x54, 0, 0, SYN | ACK),
    SockFilter::new(0x15, 0, 1, SYN),
    SockFilter::new(0x06, 0, 0, 0),
    SockFilter::new(0x06, 0, 0, u32::MAX),
];

/// Stops new handshakes on this listener; those that have begun go on. The kernel gives each new connection to one of
/// the sockets that share a port, even between the last accept and the close, and the close would reset it. A SYN that
/// is dropped instead is sent again a second later, and then reaches another process or is refused.
///
/// # Errors
/// What the kernel says.
pub fn begin_no_more(listener: &impl AsFd) -> io::Result<()> {
    SockRef::from(listener).attach_filter(&DROP_FIRST_PACKETS)
}
