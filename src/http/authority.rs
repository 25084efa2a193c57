//! The grammar of `host[:port]`, as used in Host fields and targets (RFC 3986 section 3.2, RFC 9110 section 7.2). User
//! information before an `@` is refused: HTTP forbids it.

use std::net::Ipv6Addr;

use super::field::is_host_byte;

/// Whether `text` is a non-empty host, with or without a port. A port may be empty, as in RFC 3986.
pub fn is_authority(text: &[u8]) -> bool {
    match split_port(text) {
        (host, Some(port)) => is_host(host) && (port.is_empty() || is_port(port)),
        (host, None) => is_host(host),
    }
}

/// Whether `text` is a host and a port, as a CONNECT request names them (RFC 9112 section 3.2.3).
pub fn is_authority_with_port(text: &[u8]) -> bool {
    match split_port(text) {
        (host, Some(port)) => is_host(host) && is_port(port),
        (_, None) => false,
    }
}

fn split_port(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    // The colons within brackets belong to an IPv6 address.
    let bracket = text.iter().rposition(|byte| *byte == b']').unwrap_or(0);
    match text[bracket..].iter().position(|byte| *byte == b':') {
        Some(offset) => (
            &text[..bracket + offset],
            Some(&text[bracket + offset + 1..]),
        ),
        None => (text, None),
    }
}

fn is_port(port: &[u8]) -> bool {
    port.iter().all(u8::is_ascii_digit)
        && str::from_utf8(port).is_ok_and(|port| port.parse::<u16>().is_ok())
}

fn is_host(host: &[u8]) -> bool {
    match host {
        [] => false,
        // IPvFuture ("v1.x") is refused: RFC 3986 requires that for unknown versions, and all are unknown.
        [b'[', address @ .., b']'] => {
            str::from_utf8(address).is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok())
        }
        name => is_registered_name(name),
    }
}

fn is_registered_name(name: &[u8]) -> bool {
    let mut bytes = name.iter();
    let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    while let Some(byte) = bytes.next() {
        let is_allowed = match byte {
            b'%' => is_digit(bytes.next()) && is_digit(bytes.next()),
            byte => is_host_byte(*byte),
        };
        if !is_allowed {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities() {
        // Text, whether it is an authority, whether it is one with a port.
        let rows: [(&str, bool, bool); 46] = [
            ("h", true, false),
            ("api.example.com", true, false),
            ("api.example.com.", true, false),
            ("API.Example.COM", true, false),
            ("a_b-c~d", true, false),
            ("a%2Db", true, false),
            ("127.0.0.1", true, false),
            ("1.2.3.4.5", true, false),
            ("h:80", true, true),
            ("h:0", true, true),
            ("h:65535", true, true),
            ("127.0.0.1:5000", true, true),
            ("[::1]", true, false),
            ("[::1]:5000", true, true),
            ("[::]:1", true, true),
            ("[2001:db8::8:800:200C:417A]", true, false),
            ("[::ffff:1.2.3.4]:80", true, true),
            ("h:", true, false),
            ("[::1]:", true, false),
            ("", false, false),
            (":80", false, false),
            ("h:65536", false, false),
            ("h:99999999999999999999", false, false),
            ("h:+80", false, false),
            ("h:-1", false, false),
            ("h:8o", false, false),
            ("h: 80", false, false),
            ("h:80:80", false, false),
            ("::1", false, false),
            ("[::1", false, false),
            ("::1]", false, false),
            ("[]", false, false),
            ("[h]", false, false),
            ("[1.2.3.4]", false, false),
            ("[::1%25eth0]", false, false),
            ("[fe80::1%eth0]", false, false),
            ("[v1.x]", false, false),
            ("[::1]x:80", false, false),
            ("x[::1]:80", false, false),
            ("user@h", false, false),
            ("h/", false, false),
            ("h?", false, false),
            ("a b", false, false),
            ("a,b", false, false),
            ("a%2", false, false),
            ("caf\u{e9}", false, false),
        ];
        for (text, want, want_with_port) in rows {
            assert_eq!(is_authority(text.as_bytes()), want, "{text}");
            assert_eq!(
                is_authority_with_port(text.as_bytes()),
                want_with_port,
                "{text}"
            );
        }
        for byte in b"\0\t\r\n \"#/<>?@[\\]^`{|},\x7f\x80" {
            assert!(!is_authority(&[b'a', *byte, b'b']), "{byte}");
        }
    }
}
