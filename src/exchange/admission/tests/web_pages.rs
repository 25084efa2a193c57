//! Requests that a browser on this machine sends for web pages.

use super::PLATFORM;
use crate::exchange::admission::Peer;
use crate::exchange::testing::core;

/// What a browser on this machine sends for a page from elsewhere, and what programs and own pages send.
#[test]
fn peers_that_speak_for_web_pages() {
    let rows = [
        ("127.0.0.1:5000", "", true),
        ("[::1]:5000", "", true),
        ("localhost:5000", "", true),
        ("LOCALHOST.", "", true),
        ("app.localhost", "", true),
        ("192.0.2.1:5000", "", true),
        ("workstation:5000", "", true),
        // Rebound: the page's own name leads here.
        ("evil.example:5000", "", false),
        ("evil.example.", "", false),
        ("127.0.0.1.evil.example", "", false),
        ("localhost.evil.example", "", false),
        // Any page may send, though not read, without its origin's consent.
        ("127.0.0.1:5000", "https://evil.example", false),
        ("127.0.0.1:5000", "http://192.0.2.66", false),
        ("127.0.0.1:5000", "http://wiki", false),
        ("127.0.0.1:5000", "https://localhost.evil.example", false),
        ("127.0.0.1:5000", "null", false),
        ("127.0.0.1:5000", "", true),
        ("127.0.0.1:5000", "http://localhost:3000", true),
        ("127.0.0.1:5000", "http://[::1]:3000", true),
        ("127.0.0.1:5000", "tauri://localhost", true),
        ("workstation:5000", "http://workstation:5000", true),
        ("evil.example:5000", "http://evil.example:5000", false),
    ];
    let core = core("{}", PLATFORM);
    for (host, origin, want) in rows {
        let origin = match origin {
            "" => String::new(),
            origin => format!("Origin: {origin}\r\n"),
        };
        let text = format!("GET / HTTP/1.1\r\nHost: {host}\r\n{origin}\r\n");
        let mut storage = [httparse::EMPTY_HEADER; crate::http::FIELDS_MAX];
        let head = crate::http::request::parse(text.as_bytes(), &mut storage).expect("a head");
        for address in ["127.0.0.1", "::1"] {
            let peer = Peer::of(address.parse().expect("an address"), &head, &core.site);
            assert_eq!(peer.is_loopback, want, "{text:?}");
        }
    }
}
