//! config.json, field by field.

use super::*;
use crate::config::fields::quoted;
use std::net::IpAddr;
use std::time::Duration;

const YEAR: u64 = 366 * 24 * 3600;
const TIB: u64 = 1 << 40;

/// What is reported for a field that resembles no known one.
const UNKNOWN: &str = "unknown field; the fields are: enable_gui, enable_json, enable_key_validation, restrict_ip, \
    allowed_ips, trusted_proxies, unhealthy_key_retry_minutes, host, port, tls_cert, tls_key, cors_origins, max_attempts, \
    retry_buffer_bytes, retry_memory_bytes, max_body_bytes, max_connections, connect_timeout_seconds, \
    response_timeout_seconds, idle_timeout_seconds, header_timeout_seconds, keepalive_timeout_seconds, drain_seconds, \
    state_file, log_level";

fn expect(rows: &[(&str, &[&str])]) {
    expect_lines("config.json", ("{", "}"), "config.json: ", rows);
}

#[test]
fn flags_are_true_or_false() {
    let flags = [
        ("enable_gui", true),
        ("enable_json", true),
        ("enable_key_validation", true),
        ("restrict_ip", false),
    ];
    for (name, default) in flags {
        for (wrong, found) in [
            ("1", "1"),
            (r#""yes""#, r#""yes""#),
            ("[]", "a list"),
            ("{}", "an object"),
            (r#""a-key-in-the-wrong-place""#, r#""a-ke…lace""#),
        ] {
            let want = format!("@{name}: expected true or false, found {found}; write {default}");
            expect(&[(&format!(r#""{name}": {wrong}"#), &[&want])]);
        }
        expect(&[
            (&format!(r#""{name}": null"#), &[]),
            (&format!(r#""{name}": {default}"#), &[]),
        ]);
    }
}

/// Field, unit, minimum, maximum, what to write instead.
const NUMBERS: [(&str, &str, u64, u64, &str); 13] = [
    (
        "unhealthy_key_retry_minutes",
        " of minutes",
        0,
        366 * 24 * 60,
        "write 60, or 0 for never",
    ),
    ("port", "", 0, 65535, "write 5000"),
    (
        "max_attempts",
        " of tries",
        1,
        100,
        "write 3, or 1 for no retry",
    ),
    ("retry_buffer_bytes", " of bytes", 0, TIB, "write 1048576"),
    ("retry_memory_bytes", " of bytes", 0, TIB, "write 67108864"),
    ("max_body_bytes", " of bytes", 0, TIB, "write 104857600"),
    (
        "max_connections",
        " of connections",
        1,
        1_000_000,
        "write 10000",
    ),
    (
        "connect_timeout_seconds",
        " of seconds",
        1,
        YEAR,
        "write 10",
    ),
    (
        "response_timeout_seconds",
        " of seconds",
        1,
        YEAR,
        "write 600",
    ),
    ("idle_timeout_seconds", " of seconds", 1, YEAR, "write 300"),
    ("header_timeout_seconds", " of seconds", 1, YEAR, "write 15"),
    (
        "keepalive_timeout_seconds",
        " of seconds",
        1,
        YEAR,
        "write 75",
    ),
    ("drain_seconds", " of seconds", 0, YEAR, "write 30"),
];

#[test]
fn numbers_are_whole() {
    for (name, unit, _, _, hint) in NUMBERS {
        for (wrong, found) in [
            (r#""ten""#, r#""ten""#),
            ("3.0", "3.0"),
            ("-1", "-1"),
            ("true", "true"),
            ("[5]", "a list"),
        ] {
            let want = format!("@{name}: expected a whole number{unit}, found {found}; {hint}");
            expect(&[(&format!(r#""{name}": {wrong}"#), &[&want])]);
        }
    }
}

#[test]
fn numbers_are_in_range() {
    for (name, unit, min, max, _) in NUMBERS {
        let outside = [min.checked_sub(1), Some(max + 1)];
        for wrong in outside.into_iter().flatten() {
            let want = format!(
                "@{name}: {wrong} is out of range; write a whole number{unit} from {min} to {max}"
            );
            expect(&[(&format!(r#""{name}": {wrong}"#), &[&want])]);
        }
        for right in [min, max] {
            let result = load_files(
                &[("config.json", &format!(r#"{{"{name}": {right}}}"#))],
                &[],
            );
            assert!(result.is_ok(), "{name}: {right}: {:?}", lines(&result));
        }
    }
}

#[test]
fn texts_are_texts() {
    for name in ["host", "tls_cert", "tls_key", "state_file", "log_level"] {
        let want = format!("@{name}: expected a text, found 7; write it in double quotes");
        expect(&[(&format!(r#""{name}": 7"#), &[&want])]);
    }
    for name in ["allowed_ips", "trusted_proxies", "cors_origins"] {
        let no_list = format!(r#"@{name}: expected a list, found "*"; write ["…", "…"]"#);
        let no_text = format!("@{name}[1]: expected a text, found 7; write it in double quotes");
        expect(&[
            (&format!(r#""{name}": "*""#), &[&no_list]),
            (
                &format!(r#""{name}": ["::1", 7]"#).replace("::1", known(name)),
                &[&no_text],
            ),
        ]);
    }
}

/// A valid entry of the list.
fn known(name: &str) -> &'static str {
    match name {
        "cors_origins" => "*",
        _ => "::1",
    }
}

#[test]
fn addresses_and_ranges() {
    for name in ["allowed_ips", "trusted_proxies"] {
        for wrong in [
            "10.0.0.0/33",
            "10.0.0",
            "10.0.0.256",
            "::/129",
            "fe80::1%eth0",
            "example.com",
            "10.0.0.1-10.0.0.9",
            "",
            " 10.0.0.1",
        ] {
            let shown = quoted(wrong);
            let want = format!(
                "@{name}[0]: {shown} is not an address or range; write 192.0.2.7 or 192.0.2.0/24"
            );
            expect(&[(&format!(r#""{name}": [{wrong:?}]"#), &[&want])]);
        }
        let right = r#"["192.0.2.7", "10.0.0.0/8", "::1", "2001:db8::/32"]"#;
        let is_in_force = name == "allowed_ips";
        expect(&[(
            &format!(r#""{name}": {right}, "restrict_ip": {is_in_force}"#),
            &[],
        )]);
    }
}

#[test]
fn ranges_of_mapped_addresses_are_ranges_of_ipv4() {
    for (text, holds, holds_not) in [
        ("::ffff:192.0.2.7", "192.0.2.7", "192.0.2.8"),
        ("::ffff:192.0.2.0/120", "192.0.2.9", "192.0.3.9"),
        ("::ffff:0:0/96", "192.0.2.9", "::1"),
        ("::/0", "2001:db8::1", "192.0.2.9"),
        ("::ffff:0:0/95", "::fffe:0:1", "192.0.2.9"),
    ] {
        let text = format!(r#"{{"allowed_ips": ["{text}"]}}"#);
        let allowed = valid(&[("config.json", &text)], &[]).settings.allowed_ips;
        let holds_address = |address: &str| {
            let address: IpAddr = address.parse().expect("an address");
            allowed.iter().any(|net| net.contains(&address))
        };
        let found = (holds_address(holds), holds_address(holds_not));
        assert_eq!(found, (true, false), "{text}");
    }
}

#[test]
fn listening_addresses() {
    for (text, want) in [
        ("0.0.0.0", "0.0.0.0"),
        ("::", "::"),
        ("localhost", "127.0.0.1"),
        ("::1", "::1"),
    ] {
        let config = valid(&[("config.json", &format!(r#"{{"host": "{text}"}}"#))], &[]);
        assert_eq!(
            config.settings.host,
            want.parse::<IpAddr>().expect("an address")
        );
    }
    for wrong in ["example.com", "127.0.0.1:5000", "[::]", "", "0"] {
        let shown = quoted(wrong);
        let want = format!("@host: {shown} is not an address; write 127.0.0.1, 0.0.0.0 or ::");
        expect(&[(&format!(r#""host": "{wrong}""#), &[&want])]);
    }
}

#[test]
fn origins() {
    for wrong in [
        "https://app.example/",
        "https://app.example/path",
        "app.example",
        "https://",
        "://app.example",
        "https://app\\example",
        "https://app.example?x",
        "https://*.example",
        "https://app .example",
        "",
        "NULL",
    ] {
        let shown = quoted(wrong);
        let want = format!(
            "@cors_origins[0]: {shown} is not an origin; write https://app.example (no path, no final slash), null or *"
        );
        expect(&[(&format!(r#""cors_origins": [{wrong:?}]"#), &[&want])]);
    }
    for right in [
        "*",
        "null",
        "https://app.example",
        "http://[::1]:3000",
        "app-x://y",
    ] {
        let text = format!(r#"{{"cors_origins": ["{right}"]}}"#);
        let config = valid(&[("config.json", &text)], &[]);
        assert_eq!(config.settings.cors_origins, [right]);
    }
}

#[test]
fn fields_that_belong_together() {
    expect(&[
        (
            r#""tls_cert": "c.pem""#,
            &["@tls_cert: given without tls_key; give both, or neither for plain HTTP"],
        ),
        (
            r#""tls_key": "k.pem""#,
            &["@tls_key: given without tls_cert; give both, or neither for plain HTTP"],
        ),
        (
            r#""tls_key": "/none/k.pem", "tls_cert": "/none/c.pem""#,
            &[
                "@tls_cert: /none/c.pem cannot be read: No such file or directory (os error 2); write the path of a PEM file",
                "@tls_key: /none/k.pem cannot be read: No such file or directory (os error 2); write the path of a PEM file",
            ],
        ),
        (
            r#""log_level": "INFO""#,
            &[r#"@log_level: "INFO" is not a log level; write error, warn, info, debug or trace"#],
        ),
        (
            r#""enable_key_validation": false"#,
            &[
                "warning: @enable_key_validation: whoever reaches this port may use your keys; set it to true, or host to 127.0.0.1",
            ],
        ),
        (r#""enable_key_validation": false, "host": "::1""#, &[]),
        (
            r#""restrict_ip": true"#,
            &["warning: @allowed_ips: empty: with restrict_ip only this machine may connect"],
        ),
        (
            r#""restrict_ip": true, "enable_key_validation": false, "allowed_ips": ["::/0"]"#,
            &[],
        ),
        (
            r#""allowed_ips": ["192.0.2.7"]"#,
            &[
                "warning: @allowed_ips: has no effect while restrict_ip is false; set that to true, or leave the list out",
            ],
        ),
        (r#""restrict_ip": false, "allowed_ips": []"#, &[]),
        // A warning that only follows from a problem is not given.
        (
            r#""restrict_ip": 1, "allowed_ips": ["192.0.2.7"]"#,
            &["@restrict_ip: expected true or false, found 1; write false"],
        ),
        (
            r#""restrict_ip": true, "allowed_ips": ["x"]"#,
            &[
                r#"@allowed_ips[0]: "x" is not an address or range; write 192.0.2.7 or 192.0.2.0/24"#,
            ],
        ),
        (
            r#""enable_key_validation": false, "host": "x""#,
            &[r#"@host: "x" is not an address; write 127.0.0.1, 0.0.0.0 or ::"#],
        ),
        (
            r#""max_body_bytes": 0"#,
            &["warning: @max_body_bytes: 0: every request with a body gets 413; write 104857600"],
        ),
        (
            r#""retry_buffer_bytes": 2, "retry_memory_bytes": 1"#,
            &[
                "warning: @retry_buffer_bytes: larger than three quarters of retry_memory_bytes, which bound it",
            ],
        ),
    ]);
}

#[test]
fn unknown_and_doubled_fields() {
    expect(&[
        (
            r#""prot": 5000"#,
            &[r#"@prot: unknown field; did you mean "port"?"#],
        ),
        (
            r#""Port": 5000"#,
            &[r#"@Port: unknown field; did you mean "port"?"#],
        ),
        (
            r#""max_atempts": 3, "enabel_gui": true"#,
            &[
                r#"@max_atempts: unknown field; did you mean "max_attempts"?"#,
                r#"@enabel_gui: unknown field; did you mean "enable_gui"?"#,
            ],
        ),
        (
            r#""connect_timeout": 3"#,
            &[r#"@connect_timeout: unknown field; did you mean "connect_timeout_seconds"?"#],
        ),
        (
            r#""port": 1, "port": 2"#,
            &["@port: given more than once; keep one"],
        ),
        (
            r#""port": 1, "port": 1, "port": 1"#,
            &["@port: given more than once; keep one"],
        ),
        (
            r#""a\r\nkey.json: b": 1, "port": 0"#,
            &[&format!("@a\\r\\nk…n: b: {UNKNOWN}")],
        ),
    ]);
}

#[test]
fn every_problem_is_told_at_once() {
    expect(&[(
        r#""port": 65536, "max_attempts": 0, "host": "x", "colour": 1"#,
        &[
            "@host: \"x\" is not an address; write 127.0.0.1, 0.0.0.0 or ::",
            "@port: 65536 is out of range; write a whole number from 0 to 65535",
            "@max_attempts: 0 is out of range; write a whole number of tries from 1 to 100",
            &format!("@colour: {UNKNOWN}"),
        ],
    )]);
}

#[test]
fn defaults_are_the_contract_s() {
    for text in ["{}", "{\"port\": null}"] {
        let settings = valid(&[("config.json", text)], &[]).settings;
        let flags = [
            settings.enable_gui,
            settings.enable_json,
            settings.enable_key_validation,
            !settings.restrict_ip,
            settings.allowed_ips.is_empty(),
            settings.trusted_proxies.is_empty(),
            settings.tls.is_none(),
        ];
        assert_eq!(flags, [true; 7]);
        assert_eq!(settings.host, IpAddr::from([0, 0, 0, 0]));
        assert_eq!((settings.port, settings.max_attempts), (5000, 3));
        assert_eq!(settings.cors_origins, ["*"]);
        assert_eq!(settings.unhealthy_key_retry, Duration::from_secs(3600));
        let bytes = [
            settings.retry_buffer_bytes,
            settings.retry_memory_bytes,
            settings.max_body_bytes,
        ];
        assert_eq!(bytes, [1_048_576, 67_108_864, 104_857_600]);
        assert_eq!(settings.max_connections, 10_000);
        let seconds = [
            settings.connect_timeout,
            settings.response_timeout,
            settings.idle_timeout,
            settings.header_timeout,
            settings.keepalive_timeout,
            settings.drain,
        ];
        assert_eq!(seconds, [10, 600, 300, 15, 75, 30].map(Duration::from_secs));
        assert_eq!(settings.log_level, log::LevelFilter::Info);
        let state_file = settings.state_file.expect("a state file by default");
        assert!(state_file.ends_with("usage.journal"));
    }
}

#[test]
fn paths_start_at_the_folder() {
    let text = r#"{"state_file": "", "tls_cert": "c.pem", "tls_key": "k.pem", "cors_origins": []}"#;
    let files = [
        ("config.json", text),
        ("c.pem", "certificate"),
        ("k.pem", "key"),
    ];
    let config = valid(&files, &[]);
    let settings = config.settings;
    assert_eq!(settings.state_file, None);
    let tls = settings.tls.expect("both are given");
    assert_eq!(
        (tls.cert_pem.as_slice(), tls.key_pem.expose()),
        (&b"certificate"[..], "key")
    );
    assert!(
        config
            .findings
            .named_files
            .iter()
            .all(|path| path.is_absolute())
    );
    assert!(settings.cors_origins.is_empty());
}
