//! Platforms with TLS, as rustls' own server sees the proxy.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{
    AlertDescription, HandshakeKind, ServerConfig, ServerConnection, StreamOwned,
    SupportedProtocolVersion,
};
use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::client::Client;
use crate::support::proxy::{CLIENT_KEY, Proxy};
use crate::tls::Certificate;

const LARGE_BYTES: usize = 3_000_000;

type Stream = StreamOwned<ServerConnection, TcpStream>;

/// How a handshake between the proxy and a platform ended.
#[derive(Debug, PartialEq, Eq)]
enum Shaken {
    Full,
    Resumed,
    /// The proxy sent this alert.
    Refused(AlertDescription),
    /// The bytes were nothing that rustls understands, or the connection ended.
    Broken,
}

struct Platform {
    port: u16,
    shaken: Receiver<Shaken>,
}

impl Platform {
    fn serve(certificate: &Certificate, version: &'static SupportedProtocolVersion) -> Platform {
        let chain = CertificateDer::from_pem_slice(certificate.cert.as_bytes()).expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).expect("PEM");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .expect("a certificate");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it has an address").port();
        let (tell, shaken) = mpsc::channel();
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let (config, tell) = (Arc::clone(&config), tell.clone());
                thread::spawn(move || talk(socket, &config, &tell));
            }
        });
        Platform { port, shaken }
    }

    /// A proxy that reaches this platform under the name `host` and trusts `trusted`.
    fn proxied(&self, host: &str, trusted: &Certificate) -> Proxy {
        let entry: Value = json!([{
            "name": "test", "base_url": format!("https://{host}:{}", self.port), "api_path": "/v1",
            "ca_file": "ca.pem", "health_check_endpoint": "/once", "keys": ["platform-key-1"], "max_attempts": 1,
        }]);
        let keys = json!([{"key": CLIENT_KEY}]);
        // Large bodies are kept: one that is not might need a fresh connection.
        let config = json!({"retry_buffer_bytes": LARGE_BYTES});
        let mut proxy = Proxy::prepare(config, &keys, &entry);
        proxy.write("ca.pem", &trusted.cert);
        proxy.start_again();
        // The first probe has a connection of its own, which serves nothing else.
        self.next_shaken();
        proxy
    }

    fn next_shaken(&self) -> Shaken {
        self.shaken
            .recv_timeout(PATIENCE)
            .expect("somebody connects")
    }
}

/// Completes the handshake, reports how it ended, and answers requests.
fn talk(mut socket: TcpStream, config: &Arc<ServerConfig>, tell: &Sender<Shaken>) {
    socket.set_nodelay(true).expect("an option can be set");
    let mut session = ServerConnection::new(Arc::clone(config)).expect("the configuration fits");
    while session.is_handshaking() {
        if let Err(error) = session.complete_io(&mut socket) {
            let _ = tell.send(refused(&error));
            return;
        }
    }
    assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
    let _ = tell.send(match session.handshake_kind() {
        Some(HandshakeKind::Resumed) => Shaken::Resumed,
        _ => Shaken::Full,
    });
    let mut reader = BufReader::new(Stream::new(session, socket));
    while let Some((path, body)) = request(&mut reader) {
        if answer(&path, &body, reader.get_mut(), tell).is_none() {
            return;
        }
    }
}

fn refused(error: &std::io::Error) -> Shaken {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::AlertReceived(alert)) => Shaken::Refused(*alert),
        _ => Shaken::Broken,
    }
}

fn request(reader: &mut BufReader<Stream>) -> Option<(String, Vec<u8>)> {
    let (mut path, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().expect("a number");
            }
            Some(_) => {}
            None => path = line.split(' ').nth(1).expect("a target").to_string(),
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path, body))
}

/// `None` when the connection is to be closed.
fn answer(path: &str, body: &[u8], stream: &mut Stream, tell: &Sender<Shaken>) -> Option<()> {
    let to_the_end = b"HTTP/1.1 200 OK\r\n\r\nto the end";
    match path {
        "/v1/echo" => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).ok()?;
            stream.write_all(body).ok()
        }
        // Each byte of the records is sent by itself.
        "/v1/crumbs" => {
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ncrumbs";
            stream.conn.writer().write_all(answer).ok()?;
            let mut records = Vec::new();
            stream.conn.write_tls(&mut records).ok()?;
            records
                .iter()
                .try_for_each(|byte| stream.sock.write_all(&[*byte]))
                .ok()
        }
        "/v1/events" => {
            let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            stream.write_all(head).ok()?;
            for _ in 0..100 {
                stream.write_all(b"9\r\ndata: x\n\n\r\n").ok()?;
                stream.conn.refresh_traffic_keys().ok();
            }
            stream.write_all(b"0\r\n\r\n").ok()
        }
        "/v1/once" => {
            let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nonce";
            stream.write_all(answer).ok()?;
            stream.conn.send_close_notify();
            stream.flush().ok()?;
            None
        }
        "/v1/whole" => {
            stream.write_all(to_the_end).ok()?;
            stream.conn.send_close_notify();
            stream.flush().ok()?;
            None
        }
        // No close_notify says that this is the end.
        "/v1/cut" => {
            stream.write_all(to_the_end).ok()?;
            None
        }
        // A record with forged ciphertext.
        "/v1/forged" => {
            stream.sock.write_all(&[0x17, 3, 3, 0, 40]).ok()?;
            stream.sock.write_all(&[0; 40]).ok()?;
            let error = stream.read(&mut [0]).expect_err("it is refused");
            let _ = tell.send(refused(&error));
            None
        }
        _ => stream
            .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            .ok(),
    }
}

fn ask(client: &mut Client, path: &str, body: &[u8]) {
    let length = body.len();
    client.send(format!(
        "POST /test/v1/{path} HTTP/1.1\r\nHost: p\r\nx-api-key: {CLIENT_KEY}\r\nContent-Length: {length}\r\n\r\n"
    ));
    client.send(body);
}

#[test]
fn one_connection_carries_crumbs_events_and_large_bodies() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let certificate = Certificate::until(2100);
        let platform = Platform::serve(&certificate, version);
        // The proxy itself finds the name in the machine's hosts file.
        let proxy = platform.proxied("localhost", &certificate);
        let mut client = proxy.connect();
        let large: Vec<u8> = (0..LARGE_BYTES).map(|place| (place % 251) as u8).collect();
        for _ in 0..3 {
            ask(&mut client, "crumbs", b"");
            assert_eq!(client.answer().text(), "crumbs");
            ask(&mut client, "events", b"{}");
            assert_eq!(client.answer().text(), "data: x\n\n".repeat(100));
            ask(&mut client, "echo", &large);
            assert!(client.answer().body == large, "the same bytes");
        }
        platform.next_shaken();
        assert!(
            platform.shaken.try_recv().is_err(),
            "one connection served all"
        );
    }
}

#[test]
fn the_end_of_a_body_is_the_closing_alert_and_nothing_else() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let certificate = Certificate::until(2100);
        let platform = Platform::serve(&certificate, version);
        let proxy = platform.proxied("localhost", &certificate);
        let mut client = proxy.connect();
        ask(&mut client, "whole", b"");
        assert_eq!(client.answer().text(), "to the end");
        let mut client = proxy.connect();
        ask(&mut client, "cut", b"");
        assert!(client.is_reset(), "it must not look whole");
    }
}

#[test]
fn a_forged_record_is_an_upstream_error_and_answered_with_an_alert() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let certificate = Certificate::until(2100);
        let platform = Platform::serve(&certificate, version);
        let proxy = platform.proxied("localhost", &certificate);
        let mut client = proxy.connect();
        ask(&mut client, "forged", b"");
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (502, "upstream_error")
        );
        platform.next_shaken();
        let alert = Shaken::Refused(AlertDescription::BadRecordMac);
        assert_eq!(platform.next_shaken(), alert);
    }
}

#[test]
fn new_connections_resume_the_session() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let certificate = Certificate::until(2100);
        let platform = Platform::serve(&certificate, version);
        let proxy = platform.proxied("localhost", &certificate);
        let mut client = proxy.connect();
        for round in 0..3 {
            ask(&mut client, "once", b"");
            assert_eq!(client.answer().text(), "once");
            let shaken = platform.next_shaken();
            // The first one may have begun before the session tickets of the probe came.
            assert!(round == 0 || shaken == Shaken::Resumed, "{shaken:?}");
        }
    }
}

#[test]
fn a_platform_that_is_not_the_one_gets_no_request_and_is_told_why() {
    let (certificate, other) = (Certificate::until(2100), Certificate::until(2100));
    let authority = Certificate::of_an_authority();
    // Another authority, another name (the certificate is for `localhost`), an authority's certificate as the
    // platform's.
    let rows = [
        (
            &certificate,
            "localhost",
            &other,
            "invalid peer certificate: ",
        ),
        (
            &certificate,
            "127.0.0.1",
            &certificate,
            "certificate not valid for name",
        ),
        (
            &authority,
            "localhost",
            &authority,
            "it needs one with CA:FALSE",
        ),
    ];
    for (shown, host, trusted, message) in rows {
        let platform = Platform::serve(shown, &rustls::version::TLS13);
        let proxy = platform.proxied(host, trusted);
        let mut client = proxy.connect();
        ask(&mut client, "echo", b"a secret");
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (502, "upstream_error")
        );
        assert!(answer.text().contains(message), "{}", answer.text());
        let shaken = platform.next_shaken();
        assert!(matches!(shaken, Shaken::Refused(_)), "{shaken:?}");
    }
}

#[test]
fn a_platform_without_tls_is_an_upstream_error() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it has an address").port();
    let (tell, shaken) = mpsc::channel();
    thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            let _ = tell.send(Shaken::Broken);
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            let _ = socket.read_to_end(&mut Vec::new());
        }
    });
    let platform = Platform { port, shaken };
    let proxy = platform.proxied("localhost", &Certificate::until(2100));
    let mut client = proxy.connect();
    ask(&mut client, "echo", b"");
    let answer = client.answer();
    assert_eq!(answer.error_code(), "upstream_error");
    assert!(answer.text().contains("TLS failed"), "{}", answer.text());
}
