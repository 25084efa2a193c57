//! key.json.

use super::*;

fn expect(rows: &[(&str, &[&str])]) {
    let frame = (r#"[{"key": "client-key-1", "#, "}]");
    expect_lines("key.json", frame, "key.json: [0].", rows);
}

fn expect_file(rows: &[(&str, &[&str])]) {
    expect_lines("key.json", ("", ""), "key.json: ", rows);
}

#[test]
fn keys() {
    const UNSENDABLE: &str = "holds a space, a control character or a letter outside ASCII, which no header carries; write visible ASCII";
    let unsendable = format!("@[0].key: {UNSENDABLE}");
    let long = format!(r#"[{{"key": "{}"}}]"#, "x".repeat(4097));
    let longest = format!(r#"[{{"key": "{}"}}]"#, "x".repeat(4096));
    expect_file(&[
        ("[]", &[]),
        (r#"[{"key": "8-letter"}]"#, &[]),
        (
            r#"[{"key": "7letter"}]"#,
            &["@[0].key: too short; write 8 characters or more"],
        ),
        (
            r#"[{"key": ""}]"#,
            &["@[0].key: too short; write 8 characters or more"],
        ),
        (r#"[{"key": "ключключ"}]"#, &[&unsendable]),
        (r#"[{"key": "a key with blanks"}]"#, &[&unsendable]),
        (r#"[{"key": "a-key\r\nX-Injected: 1"}]"#, &[&unsendable]),
        (r#"[{"key": "client-key\u0000"}]"#, &[&unsendable]),
        (
            &long,
            &["@[0].key: longer than 4096 bytes; write a shorter one"],
        ),
        (&longest, &[]),
        (
            "[{}]",
            &["@[0].key: missing; write a secret of 8 characters or more"],
        ),
        (
            r#"[{"key": null}]"#,
            &["@[0].key: missing; write a secret of 8 characters or more"],
        ),
        (
            r#"[{"key": 12345678}]"#,
            &["@[0].key: expected a text, found a number; write it in double quotes"],
        ),
        (
            r#"[{"key": "client-key-1", "key": "client-key-2"}]"#,
            &["@[0].key: given more than once; keep one"],
        ),
        (
            r#"[{"key": "client-key-1"}, {"key": "client-key-2"}, {"key": "client-key-1"}]"#,
            &["@[2].key: the same key as [0].key; remove one of the two"],
        ),
        (
            r#"[{"key": "short"}, {"key": "client-key-1"}, {"key": "client-key-1"}]"#,
            &[
                "@[0].key: too short; write 8 characters or more",
                "@[2].key: the same key as [1].key; remove one of the two",
            ],
        ),
    ]);
}

#[test]
fn the_whole_file() {
    expect_file(&[
        (
            "{}",
            &[r#"@expected a list of keys, found an object; write [ { "key": "…" } ]"#],
        ),
        (
            "null",
            &[r#"@expected a list of keys, found null; write [ { "key": "…" } ]"#],
        ),
        (
            r#""client-key-1""#,
            &[r#"@expected a list of keys, found a text; write [ { "key": "…" } ]"#],
        ),
        (
            r#"["client-key-1", 7]"#,
            &[
                "@[0]: expected an object, found a text; write { … }",
                "@[1]: expected an object, found 7; write { … }",
            ],
        ),
    ]);
}

#[test]
fn types_and_ranges() {
    const MOST: u64 = 1 << 53;
    for name in ["daily_limit", "hourly_limit"] {
        let not_whole = |found: &str| {
            format!(
                "@{name}: expected a whole number of requests, found {found}; write 10, or 0 for no limit"
            )
        };
        let over = format!(
            "@{name}: {} is out of range; write a whole number of requests from 0 to {MOST}",
            MOST + 1
        );
        for (wrong, want) in [
            (r#""ten""#, not_whole(r#""ten""#)),
            ("-1", not_whole("-1")),
            ("1.5", not_whole("1.5")),
            ("{}", not_whole("an object")),
            ("9007199254740993", over),
        ] {
            expect(&[(&format!(r#""{name}": {wrong}"#), &[&want])]);
        }
    }
    expect(&[
        (
            r#""cooldown_seconds": "5""#,
            &[
                r#"@cooldown_seconds: expected a whole number of seconds, found "5"; write 5, or 0 for none"#,
            ],
        ),
        (
            r#""cooldown_seconds": 86401"#,
            &[
                "@cooldown_seconds: 86401 is out of range; write a whole number of seconds from 0 to 86400",
            ],
        ),
        (
            r#""name": 1"#,
            &["@name: expected a text, found 1; write it in double quotes"],
        ),
        (
            r#""is_root": 1"#,
            &["@is_root: expected true or false, found 1; write false"],
        ),
        (
            r#""enable_platform_whitelist": "no""#,
            &[r#"@enable_platform_whitelist: expected true or false, found "no"; write false"#],
        ),
        (
            r#""platform_whitelist": "p""#,
            &[r#"@platform_whitelist: expected a list, found "p"; write ["…", "…"]"#],
        ),
        (
            r#""platform_whitelist": ["p", null]"#,
            &["@platform_whitelist[1]: expected a text, found null; write it in double quotes"],
        ),
        (
            r#""dayly_limit": 1"#,
            &[r#"@dayly_limit: unknown field; did you mean "daily_limit"?"#],
        ),
        (
            r#""expires": "0""#,
            &[
                "@expires: unknown field; the fields are: key, name, is_root, daily_limit, \
               hourly_limit, cooldown_seconds, expiry_date, enable_platform_whitelist, \
               platform_whitelist",
            ],
        ),
    ]);
}

/// A key in the place of a field's name is no more shown than one in the place of a value.
#[test]
fn unknown_names_are_shown_where_they_are_no_secret() {
    let too_long = "a".repeat(41);
    for (name, shown) in [
        ("sk-secretsecretsecret42", "sk-s…et42"),
        ("key-secretsecretsecret42", "key-…et42"),
        ("secret-42", "…"),
        (too_long.as_str(), "aaaa…aaaa"),
        ("requests_per_minute", "requests_per_minute"),
        ("limit-1", "limit-1"),
        ("Daily-Limit", "Daily-Limit"),
        ("expiry date", "expiry date"),
    ] {
        let text = format!(r#"[{{"key": "client-key-1", "{name}": "bob"}}]"#);
        let found = lines(&load_files(&[("key.json", &text)], &[]));
        let want = format!("key.json: [0].{shown}: unknown field; ");
        assert!(found[0].starts_with(&want), "{found:?}");
        assert_eq!(found[0].contains(name), shown == name, "{found:?}");
    }
}

#[test]
fn expiry_dates() {
    for wrong in [
        "2026-02-30",
        "2026-02-29",
        "2026-04-31",
        "2026-13-01",
        "2026-00-10",
        "2026-01-00",
        "2026-1-01",
        "26-01-01",
        "2026/01/01",
        "2026-01-01T00:00:00Z",
        "01.02.2026",
        "+026-01-01",
        "2026-01-1é",
        "never",
        "",
        " 0",
    ] {
        let shown = crate::config::fields::quoted(wrong);
        let want =
            format!(r#"@expiry_date: {shown} is not a date; write YYYY-MM-DD, or "0" for never"#);
        expect(&[(&format!(r#""expiry_date": "{wrong}""#), &[&want])]);
    }
    expect(&[(
        r#""expiry_date": 0"#,
        &["@expiry_date: expected a text, found 0; write it in double quotes"],
    )]);
    for (text, want) in [
        (r#""0""#, None),
        ("null", None),
        (r#""1970-01-01""#, Some(86_400)),
        (r#""2024-02-29""#, Some(1_709_251_200)),
        (r#""2026-12-31""#, Some(1_798_761_600)),
    ] {
        let text = format!(r#"[{{"key": "client-key-1", "expiry_date": {text}}}]"#);
        let clients = valid(&[("key.json", &text)], &[]).clients;
        assert_eq!(clients[0].expires_unix_seconds, want, "{text}");
    }
}

#[test]
fn doubts() {
    const ROOT: &str =
        "warning: @is_root: limits, expiry date and whitelist do not apply to a root key";
    expect(&[
        (
            r#""daily_limit": 5, "hourly_limit": 6"#,
            &["warning: @hourly_limit: larger than daily_limit: it is never reached"],
        ),
        (r#""daily_limit": 5, "hourly_limit": 5"#, &[]),
        (r#""hourly_limit": 5"#, &[]),
        (r#""is_root": true"#, &[]),
        (r#""is_root": true, "daily_limit": 5"#, &[ROOT]),
        (r#""is_root": true, "cooldown_seconds": 5"#, &[ROOT]),
        (r#""is_root": true, "expiry_date": "2030-01-01""#, &[ROOT]),
        (r#""is_root": true, "expiry_date": "0""#, &[]),
        (
            r#""is_root": true, "enable_platform_whitelist": true, "platform_whitelist": ["p"]"#,
            &[ROOT],
        ),
        (
            r#""enable_platform_whitelist": true"#,
            &["warning: @platform_whitelist: empty: this key may use no platform"],
        ),
        (
            r#""enable_platform_whitelist": true, "platform_whitelist": ["p", "q"]"#,
            &[
                r#"warning: @platform_whitelist[1]: no platform of platform.json is called "q"; write a name that stands there"#,
            ],
        ),
        (
            r#""enable_platform_whitelist": true, "platform_whitelist": [7]"#,
            &["@platform_whitelist[0]: expected a text, found 7; write it in double quotes"],
        ),
        (
            r#""enable_platform_whitelist": true, "platform_whitelist": ["P"]"#,
            &[
                r#"warning: @platform_whitelist[0]: no platform of platform.json is called "P"; did you mean "p"?"#,
            ],
        ),
        (
            r#""enable_platform_whitelist": false, "platform_whitelist": ["q"]"#,
            &[
                "warning: @platform_whitelist: has no effect while enable_platform_whitelist is false; set that to true, or leave the list out",
            ],
        ),
        (
            r#""enable_platform_whitelist": false, "platform_whitelist": []"#,
            &[],
        ),
        (
            r#""enable_platform_whitelist": 1, "platform_whitelist": ["p"]"#,
            &["@enable_platform_whitelist: expected true or false, found 1; write false"],
        ),
    ]);
}

#[test]
fn what_is_read() {
    let text = r#"[{"key": "client-key-1", "name": "one", "is_root": false, "daily_limit": 9, "hourly_limit": 3,
        "cooldown_seconds": 2, "enable_platform_whitelist": true, "platform_whitelist": ["p"]},
        {"key": "client-key-2", "name": "", "is_root": true, "platform_whitelist": ["p"]}]"#;
    let clients = valid(&[("key.json", text)], &[]).clients;
    assert_eq!(clients[0].key.expose(), "client-key-1");
    assert_eq!(clients[0].name.as_deref(), Some("one"));
    let limits = [
        clients[0].daily_limit,
        clients[0].hourly_limit,
        clients[0].cooldown_seconds,
    ];
    assert_eq!(limits, [9, 3, 2]);
    assert_eq!(clients[0].platforms, Some(vec!["p".to_string()]));
    assert!(clients[1].is_root && clients[1].name.is_none() && clients[1].platforms.is_none());
}
