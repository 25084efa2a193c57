//! Clients whose TLS handshake stops half way, while honest streams over TLS go on.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ai_api_proxy::capacity::Capacity;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;

use crate::attacks::{connect, read_out};
use crate::load::is_long;
use crate::streams::Source;
use crate::support::proxy::{CLIENT_KEY, Proxy, ROOT_KEY};

const HEADER_TIMEOUT_SECONDS: u64 = 3;

/// Places where the first message is cut: within the record's header, after it, within the handshake message's header,
/// and in what follows; zero and negative ones count from the end.
const CUTS: [isize; 8] = [1, 3, 5, 6, 9, 60, -1, 0];

/// What README promises, in KB: for a connection, for TLS while nothing is stalled, and for a stalled buffer.
const IDLE: u64 = 4;
const TLS: u64 = 4;
const BUFFER: u64 = 88;

/// A first message may be so long that it takes several records; one protocol name can hold this much.
const NAME_BYTES: usize = 255;
const NAMES_IN_A_LONG_HELLO: usize = 240;

/// A client that trusts this certificate alone.
fn trusting(cert: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let cert = CertificateDer::from_pem_slice(cert.as_bytes()).expect("PEM");
    roots.add(cert).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions");
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

/// A proxy that speaks TLS, and a client's view of it.
fn proxy(source: &Source) -> (Proxy, Arc<ClientConfig>) {
    let names = vec!["localhost".to_string()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let config = json!({
        "tls_cert": "cert.pem", "tls_key": "key.pem", "header_timeout_seconds": HEADER_TIMEOUT_SECONDS,
    });
    let keys = json!([{"key": ROOT_KEY, "is_root": true}, {"key": CLIENT_KEY}]);
    let platforms = json!([{
        "name": "honest", "base_url": source.platform.base_url(), "api_path": "/v1",
        "health_check_endpoint": "/probe", "keys": ["key-of-platform-honest"],
    }]);
    let mut proxy = Proxy::prepare(config, &keys, &platforms);
    proxy.write("cert.pem", &made.cert.pem());
    proxy.write("key.pem", &made.signing_key.serialize_pem());
    proxy.start_again();
    (proxy, trusting(&made.cert.pem()))
}

/// A ClientHello that names this many protocols.
fn client_hello(config: &Arc<ClientConfig>, protocols: usize) -> Vec<u8> {
    let mut config = ClientConfig::clone(config);
    config.alpn_protocols = vec![vec![b'p'; NAME_BYTES]; protocols];
    let name = ServerName::try_from("localhost").expect("a name");
    let mut session = ClientConnection::new(Arc::new(config), name).expect("it fits");
    let mut bytes = Vec::new();
    while session.wants_write() {
        session.write_tls(&mut bytes).expect("it has room");
    }
    bytes
}

/// Opens `count` connections for each beginning of a handshake, and as many to which the last one is sent slowly, byte
/// by byte. Waits until the proxy has closed each of them. Returns how many bytes it held for one of them at most, if
/// it held `before` KB before all of them.
fn stalled_handshakes(proxy: &Proxy, before: u64, beginnings: &[&[u8]], count: usize) -> u64 {
    let begun = Instant::now();
    let mut stalled: Vec<TcpStream> = Vec::new();
    for beginning in beginnings {
        for _ in 0..count {
            let mut stream = connect(proxy);
            stream.write_all(beginning).expect("it reads");
            stalled.push(stream);
        }
    }
    let mut slow: Vec<TcpStream> = (0..count).map(|_| connect(proxy)).collect();
    let mut resident = before;
    for byte in beginnings[beginnings.len() - 1] {
        // The first ones may be over already.
        let taken = slow
            .iter_mut()
            .filter_map(|stream| stream.write_all(&[*byte]).ok());
        let goes_on = taken.count() > 0;
        resident = resident.max(proxy.resident_kilobytes());
        if !goes_on {
            break;
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
    let patience = Duration::from_secs(HEADER_TIMEOUT_SECONDS);
    assert!(
        begun.elapsed() >= patience,
        "they were given less than their time"
    );
    for stream in stalled.iter_mut().chain(&mut slow) {
        let answer = read_out(stream);
        assert!(!answer.starts_with(b"HTTP"), "it was taken for plain text");
    }
    let connections = stalled.len() + slow.len();
    let bytes = (resident - before) * 1024 / connections as u64;
    println!(
        "{connections} stalled handshakes, {bytes} bytes each, were over after {:?}",
        begun.elapsed()
    );
    bytes
}

/// Sends one byte at a time.
struct Dripping(TcpStream);

impl Read for Dripping {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.0.read(space)
    }
}

impl Write for Dripping {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&bytes[..bytes.len().min(1)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_handshake_byte_by_byte_is_one() {
    let source = Source::new();
    let (proxy, config) = proxy(&source);
    for _ in 0..20 {
        let stream = connect(&proxy);
        stream.set_nodelay(true).expect("an option can be set");
        let name = ServerName::try_from("localhost").expect("a name");
        let session = ClientConnection::new(Arc::clone(&config), name).expect("it fits");
        let mut client = StreamOwned::new(session, Dripping(stream));
        let request = b"GET /info HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n";
        client.write_all(request).expect("it reads");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
}

#[test]
fn honest_streams_go_on_while_handshakes_stall() {
    Capacity::raise().expect("the limit can be asked for");
    let source = Source::new();
    let (proxy, config) = proxy(&source);
    let hello = client_hello(&config, 0);
    let beginning = |cut: isize| match cut {
        1.. => &hello[..cut as usize],
        _ => &hello[..hello.len() - cut.unsigned_abs()],
    };
    let long_hello = client_hello(&config, NAMES_IN_A_LONG_HELLO);
    let streams = source.begin_over(proxy.port(), 3, Some(Arc::clone(&config)));
    streams.go_on(Duration::from_secs(1));
    let before = proxy.resident_kilobytes();
    let (count, rounds) = if is_long() { (400, 5) } else { (40, 1) };
    streams.enter(1);
    for _ in 0..rounds {
        let bytes = stalled_handshakes(&proxy, before, &CUTS.map(beginning), count);
        assert!(bytes <= (IDLE + TLS) * 1024, "{bytes} bytes");
    }
    streams.enter(2);
    for _ in 0..rounds {
        let all_but_its_end = &long_hello[..long_hello.len() - 1];
        let bytes = stalled_handshakes(&proxy, before, &[all_but_its_end; 4], count);
        assert!(bytes <= (IDLE + TLS + BUFFER) * 1024, "{bytes} bytes");
    }
    let names = ["no attack", "stalled handshakes", "long ones"];
    for (name, delays) in names.iter().zip(streams.end()) {
        let at = |share: usize| delays[(delays.len() - 1) * share / 100].as_micros();
        let (events, p50, p99, max) = (delays.len(), at(50), at(99), at(100));
        println!("{name}: {events} events, delay p50 {p50} us, p99 {p99} us, the longest {max} us");
    }
}
