//! Which key a request shows, and what admits it.

use super::*;
use crate::exchange::testing::{core, now, request, with_head};

mod peers;

const PLATFORM: &str = r#""base_url": "http://h.example", "api_path": "/v1""#;

/// What was found to be a key in a head: the fields by place (Host is 0), the query, the client, anything at all.
type Found = (u128, bool, Option<u32>, bool);

fn expect_shown(platform: &str, rows: &[(&str, &str, Found)]) {
    let core = core("{}", platform);
    for (query, fields, want) in rows {
        let line = format!("GET /p/v1/models{query} HTTP/1.1");
        let found = with_head(&line, fields, |head| {
            Shown::find(head, core.site.routes.first(), &core.clients)
        });
        let client = found.client.map(|client| client.0);
        assert_eq!(
            (found.fields, found.in_query, client, found.any),
            *want,
            "{query} {fields:?}"
        );
    }
}

const NOTHING: Found = (0, false, None, false);
const UNKNOWN: Found = (0, false, None, true);
const FIRST_FIELD: Found = (0b10, false, Some(0), true);
const SECOND_FIELD: Found = (0b100, false, Some(0), true);
const IN_QUERY: Found = (0, true, Some(0), true);

#[test]
fn keys_in_fields() {
    expect_shown(
        PLATFORM,
        &[
            ("", "", NOTHING),
            ("", "Authorization: Bearer client-key-1\r\n", FIRST_FIELD),
            ("", "AUTHORIZATION: bEaReR client-key-1\r\n", FIRST_FIELD),
            (
                "",
                "Authorization: Bearer \t client-key-1 \r\n",
                FIRST_FIELD,
            ),
            ("", "Authorization: client-key-1\r\n", FIRST_FIELD),
            ("", "Authorization: Bearerclient-key-1\r\n", UNKNOWN),
            ("", "Authorization: Basic client-key-1\r\n", UNKNOWN),
            ("", "Authorization: Bearer Client-Key-1\r\n", UNKNOWN),
            ("", "Authorization: Bearer client-key-1x\r\n", UNKNOWN),
            ("", "Authorization: Bearer\r\n", NOTHING),
            ("", "Authorization:\r\n", NOTHING),
            ("", "x-api-key: client-key-1\r\n", FIRST_FIELD),
            ("", "X-Api-Key: Bearer client-key-1\r\n", FIRST_FIELD),
            ("", "x-goog-api-key: client-key-1\r\n", FIRST_FIELD),
            ("", "Api-Key: client-key-1\r\n", FIRST_FIELD),
            ("", "X-Other: client-key-1\r\n", NOTHING),
            ("", "Cookie: client-key-1\r\n", NOTHING),
            (
                "",
                "Authorization: Bearer dummy\r\nx-api-key: client-key-1\r\n",
                SECOND_FIELD,
            ),
            (
                "",
                "x-api-key: dummy\r\nAuthorization: Bearer client-key-1\r\n",
                SECOND_FIELD,
            ),
            (
                "",
                "Authorization: Bearer x\r\nAuthorization: Bearer client-key-1\r\n",
                SECOND_FIELD,
            ),
            (
                "",
                "api-key: client-key-1\r\nx-api-key: client-key-1\r\n",
                (0b110, false, Some(0), true),
            ),
            // Whatever comes first in the head, the places have an order of their own.
            (
                "",
                "api-key: client-key-2\r\nx-api-key: client-key-1\r\n",
                (0b110, false, Some(0), true),
            ),
            (
                "",
                "x-api-key: client-key-2\r\nAuthorization: client-key-1\r\n",
                (0b110, false, Some(0), true),
            ),
            (
                "",
                "x-api-key: client-key-2\r\nx-api-key: client-key-1\r\n",
                (0b110, false, Some(1), true),
            ),
            (
                "?key=client-key-2",
                "Sec-WebSocket-Protocol: openai-insecure-api-key.client-key-1\r\n",
                (0, true, Some(0), true),
            ),
            ("", "api-key: root_key\r\n", (0b10, false, Some(2), true)),
        ],
    );
}

#[test]
fn keys_in_the_query() {
    expect_shown(
        PLATFORM,
        &[
            ("?key=client-key-1", "", IN_QUERY),
            ("?a=b&key=client-key-1&c=d", "", IN_QUERY),
            ("?key=client%2Dkey%2d1", "", IN_QUERY),
            ("?key=%63%6cient-key-1", "", IN_QUERY),
            ("?k%65y=client-key-1", "", IN_QUERY),
            ("?%6B%65%79=client-key-1", "", IN_QUERY),
            ("?k%2565y=client-key-1", "", NOTHING),
            ("?key=client%2-key-1", "", UNKNOWN),
            ("?key=dummy&key=client-key-1", "", IN_QUERY),
            ("?key=client-key-1&key=dummy", "", IN_QUERY),
            ("?key=", "", NOTHING),
            ("?key", "", NOTHING),
            ("?", "", NOTHING),
            ("?akey=client-key-1", "", NOTHING),
            ("?Key=client-key-1", "", NOTHING),
            ("?key=Bearer%20client-key-1", "", UNKNOWN),
            ("?key=dummy", "x-api-key: client-key-1\r\n", FIRST_FIELD),
            ("?key=client-key-1", "x-api-key: dummy\r\n", IN_QUERY),
            (
                "?key=client-key-2",
                "x-api-key: client-key-1\r\n",
                (0b10, true, Some(0), true),
            ),
        ],
    );
    let long = format!("?key={}&key=client-key-1", "x".repeat(KEY_BYTES_MAX + 1));
    expect_shown(PLATFORM, &[(&long, "", IN_QUERY)]);
}

#[test]
fn the_longest_key_works_wherever_it_stands() {
    let longest = "x".repeat(KEY_BYTES_MAX);
    let escaped = format!("?key={}", "%78".repeat(KEY_BYTES_MAX));
    expect_shown(PLATFORM, &[(&escaped, "", (0, true, Some(3), true))]);
    let fields = [
        format!("Authorization: Bearer {longest}\r\n"),
        format!("x-goog-api-key: {longest}\r\n"),
    ];
    for field in &fields {
        expect_shown(PLATFORM, &[("", field, (0b10, false, Some(3), true))]);
    }
    let item = format!("Sec-WebSocket-Protocol: openai-insecure-api-key.{longest}\r\n");
    expect_shown(PLATFORM, &[("", &item, (0, false, Some(3), true))]);
}

#[test]
fn keys_in_the_platform_s_own_field() {
    let token = r#""base_url": "http://h.example", "auth_header": "X-Token", "auth_format": "Token <{key}>""#;
    expect_shown(
        token,
        &[
            ("", "x-token: Token <client-key-1>\r\n", FIRST_FIELD),
            ("", "x-token: client-key-1\r\n", FIRST_FIELD),
            ("", "X-TOKEN: Bearer client-key-1\r\n", FIRST_FIELD),
            ("", "x-token: Token <client-key-1\r\n", UNKNOWN),
            (
                "",
                "x-token: Token <dummy>\r\nAuthorization: Bearer client-key-1\r\n",
                SECOND_FIELD,
            ),
            ("", "x-api-key: Token <client-key-1>\r\n", UNKNOWN),
            (
                "",
                "x-api-key: client-key-2\r\nx-token: client-key-1\r\n",
                (0b110, false, Some(0), true),
            ),
            (
                "",
                "x-token: client-key-2\r\nAuthorization: client-key-1\r\n",
                (0b110, false, Some(0), true),
            ),
        ],
    );
    expect_shown(PLATFORM, &[("", "x-token: client-key-1\r\n", NOTHING)]);
}

#[test]
fn queries_without_the_key() {
    for (query, want) in [
        ("key=k", ""),
        ("a=1&key=k", "a=1"),
        ("key=k&a=1", "a=1"),
        ("a=%2F&key=k&b", "a=%2F&b"),
        ("key=k&key=l", ""),
        ("a=1&&key=k", "a=1&"),
        ("a=1&k%65y=k&b", "a=1&b"),
        ("akey=1&key2=2&key", "akey=1&key2=2&key"),
    ] {
        let left: Vec<&str> = query_without_key(query).collect();
        assert_eq!(left.join("&"), want, "{query}");
    }
}

/// The code of the refusal, or an empty one.
fn admitted(
    settings: &str,
    platform: &str,
    has_keys: bool,
    shown: Shown,
    is_loopback: bool,
) -> &'static str {
    // The route comes from a core of its own, so that its keys can be taken away.
    let mut other = core(settings, platform);
    let site = std::rc::Rc::get_mut(&mut other.site).expect("nobody shares it yet");
    let mut route = site.routes.remove(0);
    if !has_keys {
        route.keys.clear();
    }
    let mut core = core(settings, platform);
    let mut request = request(&mut core);
    let peer = Peer {
        address: IpAddr::from([127, 0, 0, 1]),
        is_loopback,
    };
    let found = admit(&mut core, &mut request, &route, peer, shown, now());
    found.map_or_else(|reason| reason.code(), |()| "")
}

#[test]
fn refusals_in_their_order() {
    let shown = |client: Option<u32>, any| Shown {
        client: client.map(ClientId),
        any,
        ..Shown::default()
    };
    let disabled = format!(r#"{PLATFORM}, "enabled": false"#);
    let no_validation = r#"{"enable_key_validation": false}"#;
    for (settings, platform, has_keys, shown, is_loopback, want) in [
        (
            "{}",
            disabled.as_str(),
            false,
            shown(None, false),
            true,
            "platform_disabled",
        ),
        ("{}", PLATFORM, false, shown(None, false), true, "no_keys"),
        (
            "{}",
            PLATFORM,
            true,
            shown(None, false),
            true,
            "missing_api_key",
        ),
        (
            "{}",
            PLATFORM,
            true,
            shown(None, true),
            true,
            "invalid_api_key",
        ),
        ("{}", PLATFORM, true, shown(Some(0), true), false, ""),
        ("{}", PLATFORM, true, shown(Some(2), true), true, ""),
        (
            "{}",
            PLATFORM,
            true,
            shown(Some(2), true),
            false,
            "sample_key",
        ),
        (no_validation, PLATFORM, true, shown(None, true), false, ""),
        (
            no_validation,
            PLATFORM,
            false,
            shown(None, false),
            false,
            "no_keys",
        ),
        (
            no_validation,
            disabled.as_str(),
            true,
            shown(None, false),
            false,
            "platform_disabled",
        ),
    ] {
        let code = admitted(settings, platform, has_keys, shown, is_loopback);
        assert_eq!(code, want, "{platform} {shown:?}");
    }
}
