//! Where a request comes from.

use super::*;

/// `X-Forwarded-For` lines or others, the socket's address; the client's address, and whether it is on this machine.
fn expect_peers(settings: &str, rows: &[(&str, &str, &str, bool)]) {
    let core = core(settings, PLATFORM);
    for (fields, socket_address, address, is_loopback) in rows {
        let socket_address: IpAddr = socket_address.parse().expect("an address");
        let peer = with_head("GET / HTTP/1.1", fields, |head| {
            Peer::of(socket_address, head, &core.site)
        });
        let want = Peer {
            address: address.parse().expect("an address"),
            is_loopback: *is_loopback,
        };
        assert_eq!(peer, want, "{fields:?} from {socket_address}");
    }
}

#[test]
fn peers_without_trusted_proxies() {
    expect_peers(
        "{}",
        &[
            ("", "192.0.2.1", "192.0.2.1", false),
            ("", "127.0.0.1", "127.0.0.1", true),
            ("", "127.1.2.3", "127.1.2.3", true),
            ("", "::1", "::1", true),
            ("", "::ffff:127.0.0.1", "127.0.0.1", true),
            ("", "::ffff:192.0.2.1", "192.0.2.1", false),
            (
                "X-Forwarded-For: 127.0.0.1\r\n",
                "192.0.2.1",
                "192.0.2.1",
                false,
            ),
            (
                "X-Forwarded-For: 192.0.2.9\r\n",
                "127.0.0.1",
                "127.0.0.1",
                false,
            ),
            (
                "x-forwarded-for: 127.0.0.1\r\n",
                "127.0.0.1",
                "127.0.0.1",
                false,
            ),
            ("X-Forwarded-For:\r\n", "::1", "::1", false),
            (
                "Forwarded: for=192.0.2.9\r\n",
                "127.0.0.1",
                "127.0.0.1",
                false,
            ),
            ("X-Real-IP: 192.0.2.9\r\n", "127.0.0.1", "127.0.0.1", false),
            ("x-forwarded-proto: https\r\n", "::1", "::1", false),
            ("Via: 1.1 x\r\n", "127.0.0.1", "127.0.0.1", false),
            ("X-Real: 192.0.2.9\r\n", "127.0.0.1", "127.0.0.1", true),
        ],
    );
}

const FORWARDED: &[(&str, &str, &str, bool)] = &[
    ("", "10.0.0.1", "10.0.0.1", false),
    ("", "127.0.0.1", "127.0.0.1", true),
    (
        "X-Forwarded-For: 192.0.2.9\r\n",
        "10.0.0.1",
        "192.0.2.9",
        false,
    ),
    (
        "X-Forwarded-For: 192.0.2.9\r\n",
        "::ffff:10.0.0.1",
        "192.0.2.9",
        false,
    ),
    (
        "X-Forwarded-For: 192.0.2.9\r\n",
        "2001:db8::1",
        "192.0.2.9",
        false,
    ),
    (
        "X-Forwarded-For: 2001:db9::9\r\n",
        "10.0.0.1",
        "2001:db9::9",
        false,
    ),
    (
        "X-Forwarded-For: ::ffff:192.0.2.9\r\n",
        "10.0.0.1",
        "192.0.2.9",
        false,
    ),
    (
        "X-Forwarded-For: 192.0.2.9:4711\r\n",
        "10.0.0.1",
        "192.0.2.9",
        false,
    ),
    (
        "X-Forwarded-For: [2001:db9::9]:4711\r\n",
        "10.0.0.1",
        "2001:db9::9",
        false,
    ),
    (
        "X-Forwarded-For: [2001:db9::9]\r\n",
        "10.0.0.1",
        "2001:db9::9",
        false,
    ),
    (
        "X-Forwarded-For: 192.0.2.8, 192.0.2.9\r\n",
        "10.0.0.1",
        "192.0.2.9",
        false,
    ),
    (
        "X-Forwarded-For: 192.0.2.8,192.0.2.9 , 10.9.9.9\r\n",
        "10.0.0.1",
        "192.0.2.9",
        false,
    ),
    (
        "X-Forwarded-For: 192.0.2.8\r\nx-forwarded-for: 192.0.2.9, 10.1.1.1\r\n",
        "10.0.0.1",
        "192.0.2.9",
        false,
    ),
    (
        "X-Forwarded-For: garbage, 192.0.2.9\r\n",
        "10.0.0.1",
        "192.0.2.9",
        false,
    ),
    (
        "X-Forwarded-For: 192.0.2.9, garbage\r\n",
        "10.0.0.1",
        "10.0.0.1",
        false,
    ),
    (
        "X-Forwarded-For: 192.0.2.9, unknown, 10.1.1.1\r\n",
        "127.0.0.1",
        "127.0.0.1",
        false,
    ),
    (
        "X-Forwarded-For: 192.0.2.9, 999.1.1.1\r\n",
        "127.0.0.1",
        "127.0.0.1",
        false,
    ),
    (
        "X-Forwarded-For: 10.2.2.2, 10.1.1.1\r\n",
        "10.0.0.1",
        "10.2.2.2",
        false,
    ),
    (
        "X-Forwarded-For: 10.2.2.2\r\n",
        "127.0.0.1",
        "10.2.2.2",
        false,
    ),
    (
        "X-Forwarded-For: 127.0.0.1\r\n",
        "127.0.0.1",
        "127.0.0.1",
        true,
    ),
    (
        "X-Forwarded-For: 127.0.0.1, 10.2.2.2\r\n",
        "127.0.0.1",
        "127.0.0.1",
        false,
    ),
    (
        "X-Forwarded-For: ::1, 10.2.2.2\r\n",
        "127.0.0.1",
        "::1",
        false,
    ),
    (
        "X-Forwarded-For: 10.2.2.2, ::1\r\n",
        "127.0.0.1",
        "::1",
        true,
    ),
    ("X-Forwarded-For:\r\n", "127.0.0.1", "127.0.0.1", true),
    (
        "X-Forwarded-For: 192.0.2.9\r\n",
        "127.0.0.1",
        "192.0.2.9",
        false,
    ),
    ("X-Forwarded-For: ::1\r\n", "127.0.0.1", "::1", true),
    ("X-Forwarded-For: ::1\r\n", "10.0.0.1", "::1", false),
    (
        "X-Forwarded-For: 127.0.0.1\r\n",
        "10.0.0.1",
        "127.0.0.1",
        false,
    ),
    (
        "X-Forwarded-For: 10.0.0.1\r\n",
        "192.0.2.7",
        "192.0.2.7",
        false,
    ),
    (
        "Forwarded: for=192.0.2.9\r\n",
        "127.0.0.1",
        "127.0.0.1",
        false,
    ),
    ("X-Real-IP: 192.0.2.9\r\n", "127.0.0.1", "127.0.0.1", false),
];

#[test]
fn peers_behind_trusted_proxies() {
    expect_peers(
        r#"{"trusted_proxies": ["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"]}"#,
        FORWARDED,
    );
}
