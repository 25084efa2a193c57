//! platform.json.

use super::*;

/// Rows of fields that follow a valid name, base_url and keys.
pub fn expect(rows: &[(&str, &[&str])]) {
    let frame = (
        r#"[{"name": "p", "base_url": "https://h.example", "keys": ["sk-platform-1"], "#,
        "}]",
    );
    expect_lines("platform.json", frame, "platform.json: [0].", rows);
}

fn expect_file(rows: &[(&str, &[&str])]) {
    expect_lines("platform.json", ("", ""), "platform.json: ", rows);
}

/// The first platform, with `fields` besides its name and key, and a base_url unless they give one.
pub fn read(fields: &str) -> Platform {
    let base_url = match fields.contains("base_url") {
        true => "",
        false => r#", "base_url": "https://h.example""#,
    };
    let text = format!(r#"[{{"name": "p", "keys": ["sk-platform-1"]{base_url}, {fields}}}]"#);
    valid(&[("platform.json", &text)], &[]).platforms.remove(0)
}

#[test]
fn the_whole_file() {
    expect_file(&[
        ("[]", &[]),
        (
            "{}",
            &[r#"@expected a list of platforms, found an object; write [ { "name": … } ]"#],
        ),
        (
            "7",
            &[r#"@expected a list of platforms, found 7; write [ { "name": … } ]"#],
        ),
        (
            "[[]]",
            &["@[0]: expected an object, found a list; write { … }"],
        ),
        (
            "[{}]",
            &[
                r#"@[0].name: missing; write the first part of the platform's path, such as "openai""#,
                r#"@[0].base_url: missing; write a URL such as "https://api.example.com""#,
                "warning: @[0].keys: no usable key: the platform answers 503 until it has one",
            ],
        ),
        (
            r#"[{"name": 1, "base_url": false, "enabled": false}]"#,
            &[
                "@[0].name: expected a text, found 1; write it in double quotes",
                "@[0].base_url: expected a text, found false; write it in double quotes",
            ],
        ),
        (
            r#"[{"name": "a", "base_url": "demo:", "enabled": false},
                {"name": "A", "base_url": "demo:", "enabled": false},
                {"name": "a", "base_url": "demo:", "enabled": false}]"#,
            &[r#"@[2].name: the same name as [0].name; choose another one"#],
        ),
    ]);
}

#[test]
fn names() {
    let with = |name: &str| {
        let text = format!(r#"[{{"name": {name:?}, "base_url": "demo:", "enabled": false}}]"#);
        lines(&load_files(&[("platform.json", &text)], &[]))
    };
    for own in [
        "info",
        "routes",
        "health",
        "stats",
        "events",
        "metrics",
        "dashboard",
        "static",
        "health_full",
        "health_quick",
    ] {
        let want = format!(
            "platform.json: [0].name: {own} is a page of the proxy's own; choose another name"
        );
        assert_eq!(with(own), [want]);
    }
    for wrong in ["", "a b", "a/b", "a.b", "é", "a%20", "a:b", ".."] {
        let want = format!(
            "platform.json: [0].name: {wrong:?} cannot be part of a path; write letters, digits, _ and - only"
        );
        assert_eq!(with(wrong), [want]);
    }
    for right in ["a", "A-1_b", "-", "_", "infos", "Health", "0"] {
        assert!(with(right).is_empty(), "{right}");
    }
}

const NO_SCHEME: &str = "begins with no scheme; write https:// or http:// before it, or demo: for the built-in platform";

const COLONS: &str =
    "more than one colon in the host; write an IPv6 address in brackets, as in https://[::1]:8080";

const WRONG_URLS: &[(&str, &str)] = &[
    (
        "ftp://h",
        r#"the scheme "ftp" is not known; write https:// or http://"#,
    ),
    (
        "://h",
        r#"the scheme "" is not known; write https:// or http://"#,
    ),
    ("h.example", NO_SCHEME),
    ("", NO_SCHEME),
    ("demo", NO_SCHEME),
    ("https:/h", NO_SCHEME),
    (
        "https://h?q=1",
        "a query or fragment has no place here; end the URL with its path",
    ),
    (
        "https://h/v1#f",
        "a query or fragment has no place here; end the URL with its path",
    ),
    (
        "https://user@h",
        "a user name or password has no place here; put keys into `keys`",
    ),
    (
        "https://u:p@h/v1",
        "a user name or password has no place here; put keys into `keys`",
    ),
    (
        "https://",
        "the host name is missing or too long; write https://api.example.com",
    ),
    (
        "https:///v1",
        "the host name is missing or too long; write https://api.example.com",
    ),
    (
        "https://:443",
        "the host name is missing or too long; write https://api.example.com",
    ),
    (
        "https://h:0",
        r#""0" is not a port; write a number from 1 to 65535"#,
    ),
    (
        "https://h:65536",
        r#""65536" is not a port; write a number from 1 to 65535"#,
    ),
    (
        "https://h:x",
        r#""x" is not a port; write a number from 1 to 65535"#,
    ),
    (
        "https://h:+80",
        r#""+80" is not a port; write a number from 1 to 65535"#,
    ),
    (
        "https://https://h",
        "the scheme stands there twice; write it once",
    ),
    ("https://h:1:2", COLONS),
    ("https://::1", COLONS),
    ("https://2001:db8::1:8080/v1", COLONS),
    (
        "https://[::1",
        "the address has no closing bracket; write https://[::1]:8080",
    ),
    (
        "https://[h]",
        r#""h" is not an IPv6 address; write https://[::1]:8080"#,
    ),
    (
        "https://[::1]x",
        "something other than a port follows the address; write https://[::1]:8080",
    ),
    (
        "https://h .example",
        "holds ' ', which no URL may; write a plain URL",
    ),
    (
        "https://h\r\nX: 1",
        "holds '\\r', which no URL may; write a plain URL",
    ),
    (
        "https://hä.example",
        "holds 'ä', which no URL may; write a plain URL",
    ),
    (
        "https://h/{x}",
        "holds '{', which no URL may; write a plain URL",
    ),
];

#[test]
fn base_urls_that_are_wrong() {
    for (url, want) in WRONG_URLS {
        let text = format!(r#"[{{"name": "p", "base_url": {url:?}, "enabled": false}}]"#);
        let found = lines(&load_files(&[("platform.json", &text)], &[]));
        assert_eq!(
            found,
            [format!("platform.json: [0].base_url: {want}")],
            "{url}"
        );
    }
    for host in [
        "10.0.0.256",
        "10.0.0",
        "10.0.0.1.",
        "010.0.0.1",
        "1",
        "api.0x7F",
        "h.0x",
    ] {
        let text =
            format!(r#"[{{"name": "p", "base_url": "http://{host}:80/v1", "enabled": false}}]"#);
        let found = lines(&load_files(&[("platform.json", &text)], &[]));
        let want = format!(
            "platform.json: [0].base_url: {host:?} is not an IPv4 address, and no host name ends in a number; write one such as 192.0.2.7"
        );
        assert_eq!(found, [want]);
    }
    let long_label = format!("https://{}.example", "a".repeat(64));
    let long_name = format!("https://{}example", "abcdefg.".repeat(32));
    for url in [long_label, long_name] {
        let text = format!(r#"[{{"name": "p", "base_url": {url:?}, "enabled": false}}]"#);
        let found = lines(&load_files(&[("platform.json", &text)], &[]));
        assert_eq!(
            found,
            [
                "platform.json: [0].base_url: the host name is missing or too long; write https://api.example.com"
            ]
        );
    }
}

#[test]
fn base_urls_that_are_right() {
    for (url, tls, host, port, path) in [
        ("https://h.example", true, "h.example", 443, ""),
        ("https://h.example/", true, "h.example", 443, ""),
        ("HTTPS://h.example/", true, "h.example", 443, ""),
        (
            "https://h.example:8443/api/",
            true,
            "h.example",
            8443,
            "/api",
        ),
        ("http://localhost:1/a/b", false, "localhost", 1, "/a/b"),
        ("http://127.0.0.1:", false, "127.0.0.1", 80, ""),
        ("http://[::1]:65535/x", false, "::1", 65535, "/x"),
        ("https://[2001:db8::1]", true, "2001:db8::1", 443, ""),
        (
            "http://[::ffff:127.0.0.1]",
            false,
            "::ffff:127.0.0.1",
            80,
            "",
        ),
        ("https://1.h0", true, "1.h0", 443, ""),
        ("https://10.0.0.1x", true, "10.0.0.1x", 443, ""),
    ] {
        let platform = read(&format!(r#""base_url": "{url}""#));
        let host = host.to_string();
        assert_eq!(platform.origin, Origin::Web { tls, host, port }, "{url}");
        assert_eq!(
            (platform.base_path.as_str(), platform.base_url.as_str()),
            (path, url)
        );
    }
    assert_eq!(read(r#""base_url": "demo:""#).origin, Origin::Demo);
    const UNENCRYPTED: &str = "warning: platform.json: [0].base_url: keys travel unencrypted over http://; write https://";
    for (url, want) in [
        ("http://h.example", vec![UNENCRYPTED]),
        ("http://10.0.0.1", vec![UNENCRYPTED]),
        ("http://[::1]", vec![]),
        ("http://127.9.9.9", vec![]),
    ] {
        let text = format!(r#"[{{"name": "p", "base_url": "{url}", "keys": ["sk-platform-1"]}}]"#);
        assert_eq!(
            lines(&load_files(&[("platform.json", &text)], &[])),
            want,
            "{url}"
        );
    }
}

const WRONG_FIELDS: &[(&str, &[&str])] = &[
    (
        r#""enabled": "on""#,
        &[r#"@enabled: expected true or false, found "on"; write true"#],
    ),
    (
        r#""max_attempts": 0"#,
        &["@max_attempts: 0 is out of range; write a whole number of tries from 1 to 100"],
    ),
    (
        r#""max_attempts": "3""#,
        &[
            r#"@max_attempts: expected a whole number of tries, found "3"; write 3, or 1 for no retry"#,
        ],
    ),
    (
        r#""headers": []"#,
        &[r#"@headers: expected an object, found a list; write { "name": "value" }"#],
    ),
    (
        r#""enable": true"#,
        &[r#"@enable: unknown field; did you mean "enabled"?"#],
    ),
    (
        r#""header": {}"#,
        &[r#"@header: unknown field; did you mean "headers"?"#],
    ),
    (r#""name": "p""#, &["@name: given more than once; keep one"]),
    (r#""keys": []"#, &["@keys: given more than once; keep one"]),
];

#[test]
fn types() {
    for name in [
        "display_name",
        "api_path",
        "auth_header",
        "auth_format",
        "health_check_endpoint",
        "health_check_method",
        "ca_file",
    ] {
        let want = format!("@{name}: expected a text, found a list; write it in double quotes");
        expect(&[(&format!(r#""{name}": []"#), &[&want])]);
    }
    expect(WRONG_FIELDS);
    for method in [
        "",
        "GET POST",
        "get",
        "CONNECT",
        "TRACE",
        "SEVENTEEN-LETTERS",
        "G\u{e9}T",
    ] {
        let shown = crate::config::fields::quoted(method);
        let want = format!("@health_check_method: {shown} cannot be used; write GET or POST");
        expect(&[(&format!(r#""health_check_method": "{method}""#), &[&want])]);
    }
}

#[test]
fn defaults_are_the_contract_s() {
    let text = r#"[{"name": "p", "base_url": "https://h.example", "keys": ["sk-platform-1"]}]"#;
    let files = [
        ("platform.json", text),
        ("config.json", r#"{"max_attempts": 7}"#),
    ];
    let platform = valid(&files, &[]).platforms.remove(0);
    let texts = [
        &platform.display_name,
        &platform.api_path,
        &platform.auth_header,
        &platform.auth_prefix,
        &platform.auth_suffix,
        &platform.health_path,
        &platform.health_method,
    ];
    assert_eq!(
        texts,
        ["p", "", "Authorization", "Bearer ", "", "/models", "GET"]
    );
    assert_eq!((platform.health_body, platform.ca_pem), (None, None));
    assert!(platform.enabled && platform.headers.is_empty());
    assert_eq!(platform.max_attempts, 7);
    let body = r#""health_check_body": {"b": [1, 2.5, "x\n", null], "a": true}, "max_attempts": 1"#;
    let platform = read(body);
    let want = r#"{"b":[1,2.5,"x\n",null],"a":true}"#;
    assert_eq!(platform.health_body.as_deref(), Some(want));
    assert_eq!(platform.max_attempts, 1);
}

#[test]
fn a_body_that_is_a_text_is_told_of() {
    let want = "warning: @health_check_body: sent as a JSON text, in its quotes; write the object itself, { … }";
    expect(&[
        (r#""health_check_body": "{\"model\": \"m\"}""#, &[want]),
        (r#""health_check_body": {"model": "m"}"#, &[]),
        (r#""health_check_body": ["m"]"#, &[]),
    ]);
}

#[test]
fn what_becomes_part_of_a_head_is_not_too_long() {
    let fill = |before: &str, bytes: usize| format!("{before}{}", "x".repeat(bytes - before.len()));
    for (name, before) in [
        ("base_url", "https://h.example/"),
        ("api_path", "/"),
        ("auth_header", "x"),
        ("auth_format", "{key}"),
        ("health_check_endpoint", "/"),
    ] {
        let with = |bytes: usize| {
            let base_url = match name {
                "base_url" => String::new(),
                _ => r#", "base_url": "https://h.example""#.to_string(),
            };
            let value = fill(before, bytes);
            let text = format!(
                r#"[{{"name": "p", "keys": ["sk-platform-1"], "{name}": "{value}"{base_url}}}]"#
            );
            lines(&load_files(&[("platform.json", &text)], &[]))
        };
        assert_eq!(with(2048), [""; 0], "{name}");
        let want =
            format!("platform.json: [0].{name}: longer than 2048 bytes; write a shorter one");
        assert_eq!(with(2049), [want]);
    }
}
