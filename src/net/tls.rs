//! TLS configurations, for platforms and for clients: which authorities are trusted, which certificate is shown, what
//! is offered. It knows no sockets.

use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// The one protocol offered (ALPN, RFC 7301): a platform that prefers HTTP/2 must not choose it.
const ALPN: &[u8] = b"http/1.1";

/// A configuration that trusts the public authorities and the certificates in `extra_roots_pem`. It holds the sessions
/// that can be resumed, so connections to one platform should share it.
///
/// # Errors
/// A sentence that says what is wrong with the PEM text.
pub fn client_config(extra_roots_pem: Option<&[u8]>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(pem) = extra_roots_pem {
        add_roots(&mut roots, pem).map_err(|flaw| {
            format!("{flaw}; write the path of a PEM file with certificates of authorities")
        })?;
    }
    // The provider is named explicitly: automatic selection fails if two libraries each bring one.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// The fields of config.json that name the proxy's own certificate and key.
const CERT: &str = "tls_cert";
const KEY: &str = "tls_key";

/// A field of the configuration, and what is wrong with it.
pub type Fault = (&'static str, String);

/// A configuration for serving clients: TLS 1.3 and 1.2, HTTP/1.1, sessions resumed by tickets.
///
/// # Errors
/// Which files are wrong, and what to write instead.
pub fn server_config(cert_pem: &[u8], key_pem: &[u8]) -> Result<Arc<ServerConfig>, Vec<Fault>> {
    let cert = |text| (CERT, text);
    let key = |text| (KEY, text);
    let private = PrivateKeyDer::from_pem_slice(key_pem).map_err(|error| {
        key(match is_encrypted(key_pem) {
            true => "is encrypted; write what `openssl pkey -in FILE` makes of it".into(),
            false => format!(
                "holds no private key: {}; write a PEM file with one",
                flaw(&error)
            ),
        })
    });
    let (chain, private) = match (chain(cert_pem).map_err(cert), private) {
        (Ok(chain), Ok(private)) => (chain, private),
        (chain, private) => return Err(chain.err().into_iter().chain(private.err()).collect()),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| vec![cert(format!("TLS cannot be set up: {error}"))])?;
    let mut config = builder
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => vec![key(
                "does not match the first certificate in tls_cert; write its key, or put its certificate first".into(),
            )],
            rustls::Error::General(_) => vec![key(
                "is broken, or of a kind that is not supported; write RSA of 2048 to 4096 bits, ECDSA P-256 or P-384, or Ed25519"
                    .into(),
            )],
            other => vec![cert(format!("cannot be used: {other}"))],
        })?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.ticketer = rustls::crypto::ring::Ticketer::new()
        .map_err(|error| vec![cert(format!("tickets cannot be made: {error}"))])?;
    Ok(Arc::new(config))
}

/// Whether a PEM text has a private key with a passphrase: as PKCS #8 has it, or as OpenSSL wrote it before.
fn is_encrypted(key_pem: &[u8]) -> bool {
    let has = |mark| memchr::memmem::find(key_pem, mark).is_some();
    has(b"ENCRYPTED PRIVATE KEY") || has(b"Proc-Type: 4,ENCRYPTED")
}

fn chain(cert_pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(cert_pem).collect();
    match chain {
        Ok(chain) if chain.is_empty() => {
            Err("holds no certificate; write a file with the certificate and its chain".into())
        }
        Ok(chain) => Ok(chain),
        Err(error) => Err(format!(
            "not PEM: {}; write a file with the certificate and its chain",
            flaw(&error)
        )),
    }
}

/// When the first certificate of a PEM text expires, in Unix seconds; `None` if it cannot be read.
pub fn expires_unix_seconds(cert_pem: &[u8]) -> Option<u64> {
    let certificate = CertificateDer::from_pem_slice(cert_pem).ok()?;
    super::certificate::not_after(&certificate)
}

/// The name that a platform's certificate must be valid for: its host, which may be an IP address.
///
/// # Errors
/// A sentence, if no certificate can be valid for such a host.
pub fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    // The trailing dot of an absolute name is not part of the name in TLS (RFC 6066 section 3).
    let name = host.strip_suffix('.').unwrap_or(host);
    ServerName::try_from(name.to_string()).map_err(|_| invalid_host(host))
}

/// The message for a host that is neither a name nor an address.
pub fn invalid_host(host: &str) -> String {
    format!("{host:?} is neither a host name nor an address; write one such as api.example.com")
}

/// What is wrong with a PEM text. The library's own messages quote lines of it, which may be part of a private key.
fn flaw(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no END line",
        pem::Error::IllegalSectionStart { .. } => "BEGIN is not on a line of its own",
        pem::Error::Base64Decode(_) => "a section is not Base64",
        pem::Error::NoItemsFound => "there is none",
        _ => "it cannot be read",
    }
}

fn add_roots(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), String> {
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        count += 1;
        let certificate = certificate.map_err(|error| format!("not PEM: {}", flaw(&error)))?;
        roots
            .add(certificate)
            .map_err(|error| format!("certificate {count} cannot be a root: {error}"))?;
    }
    match count {
        0 => Err("it holds no certificate".to_string()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use rustls::ProtocolVersion::{TLSv1_2, TLSv1_3};

    use super::*;

    /// A self-signed certificate whose private key was not kept.
    const ROOT: &str = "\
-----BEGIN CERTIFICATE-----
MIIBfjCCASWgAwIBAgIUKjd+GWvByXeYGAJaEwvdM1qMpCYwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJdGVzdCByb290MCAXDTI2MTEyNDE0NDUwNloYDzIxMjYxMDMx
MTQ0NTA2WjAUMRIwEAYDVQQDDAl0ZXN0IHJvb3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARrX/a8wchBgdGz/S/PRojOHor+LNbltHE0AOGzv0ptOvHf7S/NYN0I
f+6pYEvws2ePpNWGPq0Y8tTGmfdgc7G9o1MwUTAdBgNVHQ4EFgQUZMCIoXuuanii
c93aVpFO78TZigEwHwYDVR0jBBgwFoAUZMCIoXuuaniic93aVpFO78TZigEwDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiAhF62qdb8bgmgGle8zwl/X
YEVzRKt6dvsw5RtOFkSJTgIgV6wnaBLoyXRphHYsUTvNss/P2mHAisaVhxJaKHKh
RM8=
-----END CERTIFICATE-----
";

    #[test]
    fn roots_are_added_or_the_fault_is_told() {
        let broken = ROOT.replace("MII", "MI!");
        let other = ROOT.replace("CERTIFICATE", "PUBLIC KEY");
        let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let rows: [(Option<String>, Result<(), &str>); 8] = [
            (None, Ok(())),
            (Some(ROOT.to_string()), Ok(())),
            (
                Some(format!("words before\n{other}{ROOT}{ROOT}words behind")),
                Ok(()),
            ),
            (Some(String::new()), Err("it holds no certificate")),
            (Some(other.clone()), Err("it holds no certificate")),
            (Some(broken), Err("not PEM: ")),
            (
                Some(ROOT.replace("-----END CERTIFICATE-----", "")),
                Err("not PEM: "),
            ),
            (
                Some(format!("{ROOT}{empty}")),
                Err("certificate 2 cannot be a root: "),
            ),
        ];
        for (pem, want) in rows {
            let got = client_config(pem.as_deref().map(str::as_bytes));
            match (got, want) {
                (Ok(_), Ok(())) => {}
                (Err(error), Err(want)) => assert!(error.starts_with(want), "{error}"),
                (got, want) => panic!("{pem:?}: {:?} instead of {want:?}", got.map(|_| ())),
            }
        }
        let mut roots = RootCertStore::empty();
        add_roots(&mut roots, format!("{ROOT}{ROOT}").as_bytes()).unwrap();
        assert_eq!(roots.len(), 2);
    }

    /// A key over the curve P-521, which the provider does not know.
    const P521: &str = "\
-----BEGIN PRIVATE KEY-----
MIHuAgEAMBAGByqGSM49AgEGBSuBBAAjBIHWMIHTAgEBBEIB2we8+oU2SfvmaoBp
ywEOjpDvlmzXNgSaUKhsulhoGohD0efPdxPM9sR8B+BboAxRTeOrMAm6mvRwMyZ2
beuZDjGhgYkDgYYABABDyyvvDf98WaTQ2RTVQmHYToc7Q7cbfnNMmtZaOp4AeiOq
yYgs/z6v4b/PIQ3/UEoSJOH3+2dA2LeY6m/npNI8ewHi9D9IHVRMnlhLvyb5mUWD
uVytLA0yKEjOcWQQ5s59ZNT9ePjwuOH51avqzPA4F+zoquXvkxgEL+0lvjkb9ZIe
Nw==
-----END PRIVATE KEY-----
";

    #[test]
    fn what_is_wrong_with_the_private_key() {
        let another = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let encrypted = P521.replace("PRIVATE", "ENCRYPTED PRIVATE");
        for (pem, want) in [
            (
                another.as_str(),
                "does not match the first certificate in tls_cert; ",
            ),
            (P521, "is broken, or of a kind that is not supported; "),
            (&encrypted, "is encrypted; "),
            (ROOT, "holds no private key: there is none; "),
        ] {
            let found = server_config(ROOT.as_bytes(), pem.as_bytes());
            let faults = found.map(|_| ()).expect_err("it cannot be used");
            let [(field, flaw)] = &faults[..] else {
                panic!("{faults:?}");
            };
            assert_eq!(*field, KEY, "{flaw}");
            assert!(flaw.starts_with(want), "{flaw}");
        }
    }

    #[test]
    fn the_first_message_offers_what_it_should() {
        let config = client_config(None).unwrap();
        for host in ["api.example.com", "10.0.0.1"] {
            let name = server_name(host).unwrap();
            let mut session = rustls::ClientConnection::new(Arc::clone(&config), name).unwrap();
            let mut hello = Vec::new();
            session.write_tls(&mut hello).unwrap();
            let offers = |bytes: &[u8]| hello.windows(bytes.len()).any(|window| window == bytes);
            assert!(
                offers(b"\x00\x10\x00\x0b\x00\x09\x08http/1.1"),
                "HTTP/1.1 and nothing else"
            );
            let versions = [u16::from(TLSv1_3), u16::from(TLSv1_2)]
                .map(u16::to_be_bytes)
                .concat();
            assert!(
                offers(&[b"\x00\x2b\x00\x05\x04", &versions[..]].concat()),
                "TLS 1.3 and 1.2"
            );
            assert_eq!(
                offers(host.as_bytes()),
                host.ends_with("com"),
                "an address is not named"
            );
        }
    }

    #[test]
    fn names_for_certificates() {
        let rows = [
            ("api.example.com", Some("api.example.com")),
            ("api.example.com.", Some("api.example.com")),
            ("localhost", Some("localhost")),
            ("10.0.0.1", Some("10.0.0.1")),
            ("fd00::1", Some("fd00::1")),
            ("[fd00::1]", None),
            ("", None),
            ("a b", None),
            ("a..b", None),
        ];
        for (host, want) in rows {
            let name = server_name(host).ok();
            let text = name.as_ref().map(|name| name.to_str());
            assert_eq!(text.as_deref(), want, "{host}");
        }
    }
}
