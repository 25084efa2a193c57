//! The platform's side of a connection: plain, or TLS with the certificate next to this file.

use std::io::{self, Read, Write};
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

pub const AUTHORITY_PEM: &str = include_str!("ca.pem");
const CERTIFICATE_PEM: &str = include_str!("certificate.pem");
const KEY_PEM: &str = include_str!("key.pem");

/// A connection that does not block.
pub enum Wire {
    Plain(TcpStream),
    Tls(Box<(ServerConnection, TcpStream)>),
}

impl Wire {
    pub fn tls(socket: TcpStream, config: &Arc<ServerConfig>) -> Wire {
        let session =
            ServerConnection::new(Arc::clone(config)).expect("the configuration is valid");
        Wire::Tls(Box::new((session, socket)))
    }

    pub fn socket(&mut self) -> &mut TcpStream {
        match self {
            Wire::Plain(socket) => socket,
            Wire::Tls(tls) => &mut tls.1,
        }
    }

    pub fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(socket) => socket.read(space),
            Wire::Tls(tls) => rustls::Stream::new(&mut tls.0, &mut tls.1).read(space),
        }
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(socket) => socket.write(bytes),
            Wire::Tls(tls) => rustls::Stream::new(&mut tls.0, &mut tls.1).write(bytes),
        }
    }

    /// Sends what TLS has buffered.
    pub fn flush(&mut self) -> io::Result<()> {
        match self {
            Wire::Plain(_) => Ok(()),
            Wire::Tls(tls) => rustls::Stream::new(&mut tls.0, &mut tls.1).flush(),
        }
    }
}

/// The platform's TLS configuration.
pub fn server_config() -> Arc<ServerConfig> {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE_PEM.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(KEY_PEM.as_bytes());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the default versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.expect("the committed certificate is PEM")],
            key.expect("the committed key is PEM"),
        );
    Arc::new(config.expect("the committed key belongs to the certificate"))
}
