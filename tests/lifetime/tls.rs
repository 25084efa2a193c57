//! The port with TLS, as rustls and openssl see it.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore};
use serde_json::{Value, json};

use crate::load::request;
use crate::support::client::Client;
use crate::support::platform::{End, Line, Next, Platform, Seen};
use crate::support::proxy::{CLIENT_KEY, Proxy, ROOT_KEY};
use crate::support::{PATIENCE, untested};

/// A certificate for `localhost` and its key, as PEM texts.
pub struct Certificate {
    pub cert: String,
    pub key: String,
}

impl Certificate {
    pub fn until(year: i32) -> Certificate {
        Certificate::of(IsCa::NoCa, year)
    }

    /// One that claims to be allowed to sign others.
    pub fn of_an_authority() -> Certificate {
        Certificate::of(IsCa::Ca(BasicConstraints::Unconstrained), 2100)
    }

    fn of(is_ca: IsCa, year: i32) -> Certificate {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(["localhost".to_string()]).expect("a name");
        params.is_ca = is_ca;
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        Certificate {
            cert: params.self_signed(&key).expect("signed").pem(),
            key: key.serialize_pem(),
        }
    }

    fn write_to(&self, proxy: &Proxy) {
        proxy.write("cert.pem", &self.cert);
        proxy.write("key.pem", &self.key);
    }

    fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.cert.as_bytes()).expect("PEM")
    }

    /// A client that trusts this certificate alone.
    fn trusted(&self, versions: &[&'static rustls::SupportedProtocolVersion]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der()).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions");
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(config)
    }
}

const BOTH: &[&rustls::SupportedProtocolVersion] =
    &[&rustls::version::TLS13, &rustls::version::TLS12];

/// Not started yet: the certificate must be in place first.
fn prepared(config: Value, platform: &Platform, certificate: &Certificate) -> Proxy {
    let mut fields =
        json!({"tls_cert": "cert.pem", "tls_key": "key.pem", "header_timeout_seconds": 1});
    let more = config.as_object().expect("an object").clone();
    fields.as_object_mut().expect("an object").extend(more);
    let keys = json!([{"key": ROOT_KEY, "is_root": true}, {"key": CLIENT_KEY}]);
    let proxy = Proxy::prepare(fields, &keys, &json!([platform.entry(&["platform-key-1"])]));
    certificate.write_to(&proxy);
    proxy
}

fn started(platform: &Platform, certificate: &Certificate) -> Proxy {
    let mut proxy = prepared(json!({}), platform, certificate);
    proxy.start_again();
    proxy
}

/// `/v1/cut` breaks off within its body, `/v1/open` ends its body with the connection; all else streams two pieces.
fn platform() -> Platform {
    platform_with_reset().0
}

/// As [`platform`]; `/v1/reset` is reset within a body that ends with the connection, once the test says so.
fn platform_with_reset() -> (Platform, mpsc::Sender<()>) {
    let (tell, told) = mpsc::channel();
    let told = Mutex::new(told);
    let platform = Platform::serve(move |seen: &Seen, line: &mut Line| match seen.path() {
        "/v1/cut" => {
            line.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart");
            Next::Close
        }
        "/v1/open" => {
            line.send("HTTP/1.1 200 OK\r\n\r\nto the end");
            Next::Close
        }
        "/v1/reset" => {
            line.send("HTTP/1.1 200 OK\r\n\r\nto the");
            // The reset must not overtake the bytes: the test says when the client has them.
            let _ = told
                .lock()
                .expect("no thread panicked")
                .recv_timeout(PATIENCE);
            line.reset();
            Next::Close
        }
        "/v1/probe" => {
            line.answer("200 OK", "{}");
            Next::Await
        }
        _ => {
            line.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
            line.send("6\r\nsecond\r\n0\r\n\r\n");
            Next::Await
        }
    });
    (platform, tell)
}

fn get(client: &mut Client, path: &str) {
    client.send(format!(
        "GET /test/v1/{path} HTTP/1.1\r\nHost: p\r\nx-api-key: {CLIENT_KEY}\r\n\r\n"
    ));
}

#[test]
fn both_versions_stream_keep_alive_and_resume() {
    let ((platform, tell), certificate) = (platform_with_reset(), Certificate::until(2100));
    let proxy = started(&platform, &certificate);
    for (version, want) in [
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
    ] {
        let config = certificate.trusted(&[version]);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut client = proxy.connect().secure(&config).expect("a handshake");
            assert_eq!(client.session().protocol_version(), Some(want));
            assert_eq!(client.session().alpn_protocol(), Some(&b"http/1.1"[..]));
            for _ in 0..3 {
                get(&mut client, "stream");
                assert_eq!(client.answer().text(), "firstsecond");
            }
            assert_eq!(client.session().handshake_kind(), Some(kind));
            // Its close_notify ends the connection, and the proxy's answers it: otherwise `ends` would meet an error.
            client.notify_of_close();
            client.ends();
        }
        let mut client = proxy.connect().secure(&config).expect("a handshake");
        client.send(request("close"));
        assert_eq!(client.answer().text(), "firstsecond");
        client.ends();
        let mut client = proxy.connect().secure(&config).expect("a handshake");
        get(&mut client, "cut");
        assert!(client.head().contains("100\r\n"));
        assert_eq!(client.rest(), b"part", "less than its length");
        let mut client = proxy.connect().secure(&config).expect("a handshake");
        get(&mut client, "open");
        assert_eq!(client.answer().text(), "to the end");
        let mut client = proxy.connect().secure(&config).expect("a handshake");
        get(&mut client, "reset");
        client.head();
        assert_eq!(client.bytes(6), b"to the");
        tell.send(()).expect("the platform waits");
        assert!(client.is_reset(), "no alert makes it look whole");
    }
}

/// Some clients cancel like this: they await the proxy's close_notify before they close the socket.
#[test]
fn an_alert_alone_ends_the_request_under_way() {
    let (sender, cuts) = mpsc::channel();
    let platform = Platform::serve(move |seen: &Seen, line: &mut Line| match seen.path() {
        "/v1/probe" => {
            line.answer("200 OK", "{}");
            Next::Await
        }
        path => {
            if path == "/v1/stream" {
                line.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart");
            }
            let _ = sender.send(line.end());
            Next::Close
        }
    });
    let certificate = Certificate::until(2100);
    let proxy = started(&platform, &certificate);
    for version in BOTH {
        let config = certificate.trusted(&[version]);
        for path in ["silence", "stream"] {
            let mut client = proxy.connect().secure(&config).expect("a handshake");
            get(&mut client, path);
            platform.next();
            if path == "stream" {
                client.head();
                assert_eq!(client.bytes(4), b"part");
            }
            client.notify_of_close();
            let cut = cuts.recv_timeout(PATIENCE);
            assert_eq!(cut, Ok(Some(End::Reset)), "{version:?} {path}");
        }
    }
}

#[test]
fn what_is_no_handshake_is_answered_or_closed() {
    let (platform, certificate) = (platform(), Certificate::until(2100));
    let proxy = started(&platform, &certificate);
    let mut plain = proxy.connect();
    plain.send(request("keep-alive"));
    let answer = plain.answer();
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (400, "bad_request")
    );
    assert_eq!(answer.field("x-proxy-error"), Some("bad_request"));
    assert!(answer.field("x-request-id").is_some());
    assert!(answer.text().contains("https"), "{}", answer.text());
    plain.ends();
    let mut plain = proxy.connect();
    plain.send("HEAD / HTTP/1.1\r\nHost: p\r\n\r\n");
    assert_eq!(plain.answer_to("HEAD").status, 400);
    plain.ends();
    // A handshake that has begun and stalls, and one that never begins.
    for bytes in [&[0x16, 3, 1, 1][..], &[]] {
        let began = Instant::now();
        let mut stalled = proxy.connect();
        stalled.send(bytes);
        stalled.rest();
        let seconds = began.elapsed().as_secs_f64();
        assert!((1.0..4.0).contains(&seconds), "closed after {seconds} s");
    }
    let mut nonsense = proxy.connect();
    nonsense.send([0x16, 3, 1, 0, 5, 1, 2, 3, 4, 5]);
    nonsense.rest();
}

#[test]
fn new_certificate_files_serve_new_connections_and_keep_the_old_ones() {
    let platform = platform();
    let (first, second) = (Certificate::until(2100), Certificate::until(2101));
    let proxy = started(&platform, &first);
    let trusts_first = first.trusted(BOTH);
    let mut old = proxy.connect().secure(&trusts_first).expect("a handshake");
    get(&mut old, "stream");
    old.answer();
    let mismatch = Certificate::until(2102);
    proxy.write("key.pem", &mismatch.key);
    proxy.signal("HUP");
    proxy
        .log()
        .await_line("config.json: tls_key: does not match the first certificate in tls_cert");
    proxy.log().await_line("is refused");
    second.write_to(&proxy);
    // Without a signal: the files are watched.
    proxy.log().await_line("new configuration is in force");
    let mut new = proxy
        .connect()
        .secure(&second.trusted(BOTH))
        .expect("a handshake");
    assert!(
        proxy.connect().secure(&first.trusted(BOTH)).is_err(),
        "no new one with the old"
    );
    for client in [&mut old, &mut new] {
        get(client, "stream");
        assert_eq!(client.answer().text(), "firstsecond");
    }
    proxy.write(
        "config.json",
        &json!({"host": "127.0.0.1", "port": proxy.port()}).to_string(),
    );
    proxy.signal("HUP");
    proxy
        .log()
        .await_line("tls_cert has changed: it takes effect with the next start");
    get(&mut new, "stream");
    assert_eq!(new.answer().text(), "firstsecond");
}

fn check(proxy: &Proxy, arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_ai-api-proxy"));
    program.args(arguments).arg("--dir").arg(proxy.folder());
    program.output().expect("the program starts")
}

#[test]
fn an_expired_certificate_is_a_warning_and_a_foreign_key_an_error() {
    let (platform, expired) = (platform(), Certificate::until(2021));
    let mut proxy = prepared(json!({"host": "127.0.0.1", "port": 0}), &platform, &expired);
    proxy.start_again();
    proxy
        .log()
        .await_line("warning: config.json: tls_cert: the certificate expired at 2021-01-01");
    let output = check(&proxy, &["--check"]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("the certificate expired"));
    let refused = proxy.connect().secure(&expired.trusted(BOTH));
    assert!(refused.is_err_and(|error| error.to_string().contains("xpired")));
    proxy.write("key.pem", &Certificate::until(2100).key);
    for arguments in [&["--check"][..], &[]] {
        let output = check(&proxy, arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(
            text.contains("config.json: tls_key: does not match the first certificate in tls_cert"),
            "{text}"
        );
    }
}

#[test]
fn openssl_and_curl_are_served() {
    let (platform, certificate) = (platform(), Certificate::until(2100));
    let proxy = started(&platform, &certificate);
    let address = format!("127.0.0.1:{}", proxy.port());
    for version in ["-tls1_3", "-tls1_2"] {
        let mut openssl = Command::new("openssl");
        openssl.args([
            "s_client",
            "-connect",
            &address,
            "-servername",
            "localhost",
            "-alpn",
            "http/1.1",
        ]);
        openssl.args([version, "-quiet", "-ign_eof"]);
        let piped = openssl
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = match piped.spawn() {
            Ok(child) => child,
            Err(error) => return untested("openssl and curl as clients", error),
        };
        let mut input = child.stdin.take().expect("it is piped");
        input
            .write_all(request("close").as_bytes())
            .expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            text.starts_with("HTTP/1.1 200 ") && text.ends_with("6\r\nsecond\r\n0\r\n\r\n"),
            "{text}"
        );
        assert!(output.status.success(), "it ended in order");
    }
    let url = format!("https://{address}/test/v1/stream");
    let began = Instant::now();
    let curl = Command::new("curl")
        .args([
            "--insecure",
            "--silent",
            "--show-error",
            "--no-buffer",
            "-H",
        ])
        .args([&format!("x-api-key: {CLIENT_KEY}"), &url, &url])
        .output();
    let output = match curl {
        Ok(output) => output,
        Err(error) => return untested("curl as a client", error),
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "firstsecondfirstsecond",
        "{errors}"
    );
    assert!(began.elapsed() < Duration::from_secs(5));
}
