//! For tests: TLS configurations for both ends, and a peer whose bytes are given in advance.

use std::io::{self, Cursor, Read, Write};
use std::sync::Arc;

use rustls::{ClientConfig, ServerConfig};

use super::tls::{client_config, server_config};
use super::transport::{Link, Transport};

/// Configurations for the two ends of connections to `localhost`.
pub fn tls_configs() -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_string()]).expect("a name");
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let client = client_config(Some(cert.as_bytes())).expect("a root");
    let server = server_config(cert.as_bytes(), key.as_bytes()).expect("a certificate");
    (client, server)
}

/// A transport to a peer that has sent `words`, has then ended if `has_ended`, and accepts everything.
pub fn told(words: impl Into<Vec<u8>>, has_ended: bool) -> Transport {
    let words = Cursor::new(words.into());
    Transport::Link(Box::new(Told { words, has_ended }))
}

struct Told {
    words: Cursor<Vec<u8>>,
    has_ended: bool,
}

impl Read for Told {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        match self.words.read(space)? {
            0 if !self.has_ended => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for Told {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Link for Told {
    fn shutdown(&mut self) {}

    fn reset(&mut self) {}
}
