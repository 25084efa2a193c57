//! The files as files: missing, not JSON, or as shipped.

use super::*;

fn load_alone(files: &[(&str, &[u8])]) -> Vec<String> {
    let folder = Folder::with(files);
    let found = lines(&load(&folder.0, &|_| None));
    let dir = folder.0.display().to_string();
    found
        .into_iter()
        .map(|line| line.replace(&dir, "DIR"))
        .collect()
}

#[test]
fn missing_files() {
    const HINT: &str =
        "missing in DIR; copy the one from the repository, or name the folder with --dir";
    let key = format!("key.json: {HINT}");
    let platform = format!("platform.json: {HINT}");
    let (keys, platforms) = (KEYS.as_bytes(), PLATFORMS.as_bytes());
    assert_eq!(load_alone(&[]), [key.clone(), platform.clone()]);
    assert_eq!(load_alone(&[("key.json", keys)]), [platform]);
    assert_eq!(load_alone(&[("platform.json", platforms)]), [key]);
    assert!(load_alone(&[("platform.json", platforms), ("key.json", keys)]).is_empty());
}

#[test]
fn files_that_are_no_json() {
    for (text, want) in [
        ("", "the file is empty; write { } or [ ]"),
        (" \r\n\t", "the file is empty; write { } or [ ]"),
        ("\u{feff}", "the file is empty; write { } or [ ]"),
        ("{", "EOF while parsing an object at line 1 column 1"),
        ("{\n  \"port\": 1,\n}", "trailing comma at line 3 column 1"),
        ("{\n  \"port\" 1\n}", "expected `:` at line 2 column 10"),
        ("{'port': 1}", "key must be a string at line 1 column 2"),
        ("{}\n{}", "trailing characters at line 2 column 1"),
        (
            "// none",
            "expected value at line 1 column 1; JSON has no comments: leave them out",
        ),
        (
            "{\n  \"port\": 1, # one\n}",
            "key must be a string at line 2 column 14; JSON has no comments: leave them out",
        ),
        (
            "{} /* none */",
            "trailing characters at line 1 column 4; JSON has no comments: leave them out",
        ),
        (
            "{\"port\": 0x10}",
            "expected `,` or `}` at line 1 column 11",
        ),
        (
            "{\"port\": 1e400}",
            "number out of range at line 1 column 14",
        ),
        (
            "{\"host\": \"a\nb\"}",
            "control character (\\u0000-\\u001F) found while parsing a string at line 2 column 0",
        ),
    ] {
        for (file, place) in [("config.json", 0), ("key.json", 0), ("platform.json", 0)] {
            let found = lines(&load_files(&[(file, text)], &[]));
            assert_eq!(
                found[place],
                format!("{file}: not JSON: {want}"),
                "{text:?}"
            );
        }
    }
    let deep = "[".repeat(100_000);
    let found = lines(&load_files(&[("key.json", &deep)], &[]));
    assert_eq!(
        found,
        ["key.json: not JSON: recursion limit exceeded at line 1 column 128"]
    );
}

#[test]
fn other_encodings() {
    let bom = format!("\u{feff}{KEYS}");
    assert!(lines(&load_files(&[("key.json", &bom)], &[])).is_empty());
    let (platforms, latin) = (PLATFORMS.as_bytes(), b"[{\"key\": \"schl\xfcssel\"}]");
    let found = load_alone(&[("platform.json", platforms), ("key.json", latin)]);
    assert_eq!(found, ["key.json: not UTF-8; save it as UTF-8"]);
}

#[test]
fn config_json_is_an_object() {
    for (text, kind) in [
        ("[]", "a list"),
        ("null", "null"),
        ("\"x\"", "a text"),
        ("1", "1"),
    ] {
        let found = lines(&load_files(&[("config.json", text)], &[]));
        assert_eq!(
            found,
            [format!(
                "config.json: expected an object, found {kind}; write {{ … }}"
            )]
        );
    }
}

#[test]
fn problems_come_in_the_order_of_the_files() {
    let files = [
        ("platform.json", "{}"),
        ("key.json", "{}"),
        ("config.json", "[]"),
        (".env", "no assignment"),
    ];
    let found = lines(&load_files(&files, &[]));
    let names: Vec<&str> = found
        .iter()
        .filter_map(|line| line.split(':').next())
        .collect();
    assert_eq!(names, [".env", "config.json", "key.json", "platform.json"]);
}

#[test]
fn what_only_follows_from_a_problem_is_not_told() {
    let key = r#"[{"key": "client-key-1", "enable_platform_whitelist": true, "platform_whitelist": ["q"]}]"#;
    let platform = r#"[{"name": "q", "base_url": "https://h", "keys": ["UNSET"]}]"#;
    for (file, text) in [
        ("platform.json", "["),
        (
            "platform.json",
            r#"[{"name": "q", "base_url": "h", "enabled": false}]"#,
        ),
        (".env", "no assignment"),
        (
            "platform.json",
            r#"[{"name": "q", "base_url": "https://h", "keys": [7]}]"#,
        ),
        (
            "platform.json",
            r#"[{"name": "q", "base_url": "https://h", "keys": ["sk 1"]}]"#,
        ),
        (
            "platform.json",
            r#"[{"name": "q", "base_url": "https://h", "keys": "sk-1"}]"#,
        ),
    ] {
        let files = [("key.json", key), ("platform.json", platform), (file, text)];
        let found = lines(&load_files(&files, &[]));
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].starts_with(file), "{found:?}");
    }
}

#[test]
fn ca_files() {
    let pem: &[u8] = b"text before\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let files = |platform: &'static str| {
        let text = format!(
            r#"[{{"name": "p", "base_url": "https://h", "keys": ["sk-1"], "ca_file": "{platform}"}}]"#
        );
        Folder::with(&[
            ("key.json", KEYS.as_bytes()),
            ("platform.json", text.as_bytes()),
            ("ca.pem", pem),
            ("key.pem", b"-----BEGIN PRIVATE KEY-----"),
        ])
    };
    let folder = files("ca.pem");
    let config = load(&folder.0, &|_| None).expect("valid");
    assert_eq!(config.platforms[0].ca_pem.as_deref(), Some(pem));
    for (name, want) in [
        (
            "key.pem",
            "holds no PEM certificate; write the path of a file with -----BEGIN CERTIFICATE-----",
        ),
        (
            "no\\nne.pem",
            "DIR/no\\nne.pem cannot be read: No such file or directory (os error 2); write the path of a PEM file",
        ),
        (
            "none.pem",
            "DIR/none.pem cannot be read: No such file or directory (os error 2); write the path of a PEM file",
        ),
    ] {
        let folder = files(name);
        let found = lines(&load(&folder.0, &|_| None));
        let want = want.replace("DIR", &folder.0.display().to_string());
        assert_eq!(found, [format!("platform.json: [0].ca_file: {want}")]);
    }
    let folder = files("sk-proj-0123456789abcdef");
    let found = lines(&load(&folder.0, &|_| None)).concat();
    assert!(found.contains("…cdef\" cannot be read: "), "{found}");
    assert!(!found.contains("sk-proj"), "{found}");
}

#[test]
fn the_shipped_files_are_valid() {
    let config = valid(
        &[
            ("config.json", include_str!("../../../config.json")),
            ("key.json", include_str!("../../../key.json")),
            ("platform.json", include_str!("../../../platform.json")),
            (".env", include_str!("../../../.env.example")),
        ],
        &[],
    );
    assert!(
        config.findings.warnings.is_empty(),
        "{:?}",
        config.findings.warnings
    );
    assert_eq!(config.settings.port, 5000);
    let platforms: Vec<(&str, &str, &str, bool, &str)> = config
        .platforms
        .iter()
        .map(|platform| {
            (
                platform.name.as_str(),
                platform.auth_header.as_str(),
                platform.auth_prefix.as_str(),
                platform.enabled,
                platform.health_path.as_str(),
            )
        })
        .collect();
    let want = [
        ("demo", "Authorization", "Bearer ", true, "/v1/models"),
        ("openrouter", "Authorization", "Bearer ", false, "/v1/key"),
        ("openai", "Authorization", "Bearer ", false, "/v1/models"),
        ("anthropic", "x-api-key", "", false, "/v1/models"),
        ("gemini", "x-goog-api-key", "", false, "/v1beta/models"),
    ];
    assert_eq!(platforms, want);
    let demo: Vec<&str> = config.platforms[0]
        .keys
        .iter()
        .map(|key| key.expose())
        .collect();
    assert_eq!(demo, ["demo-key-1", "demo-key-2", "demo-key-revoked"]);
    assert_eq!(config.platforms[0].origin, Origin::Demo);
    let clients = &config.clients;
    assert_eq!(
        (clients[0].key.expose(), clients[0].is_root),
        ("root_key", true)
    );
    assert_eq!(clients[1].platforms, Some(vec!["demo".to_string()]));
}

#[test]
fn the_shipped_variables_serve_their_platforms() {
    let platforms =
        include_str!("../../../platform.json").replace("\"enabled\": false", "\"enabled\": true");
    let example = include_str!("../../../.env.example").replace("=\n", "=sk-one,sk-two\n");
    let config = valid(&[("platform.json", &platforms), (".env", &example)], &[]);
    assert!(
        config.findings.warnings.is_empty(),
        "{:?}",
        config.findings.warnings
    );
    let counts: Vec<usize> = config
        .platforms
        .iter()
        .map(|platform| platform.keys.len())
        .collect();
    assert_eq!(counts, [3, 2, 2, 2, 2]);
}

/// Opening a pipe would block until somebody opens it for writing, and a device may never end.
#[test]
fn pipes_and_devices_are_refused() {
    let pem: &[u8] = b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";
    let config = r#"{"tls_cert": "cert.pem", "tls_key": "key.pem"}"#;
    let platforms = r#"[{"name": "p", "base_url": "https://h", "keys": ["sk-platform-1"], "ca_file": "ca.pem"}]"#;
    let files: [(&str, &[u8]); 7] = [
        (".env", b""),
        ("config.json", config.as_bytes()),
        ("key.json", KEYS.as_bytes()),
        ("platform.json", platforms.as_bytes()),
        ("cert.pem", pem),
        ("key.pem", pem),
        ("ca.pem", pem),
    ];
    assert_eq!(load_alone(&files), [""; 0]);
    let pem_hint = "it is not a regular file; write the path of a PEM file";
    let wants = [
        ".env: cannot be read: it is not a regular file".to_string(),
        "config.json: cannot be read: it is not a regular file".to_string(),
        "key.json: cannot be read: it is not a regular file".to_string(),
        "platform.json: cannot be read: it is not a regular file".to_string(),
        format!("config.json: tls_cert: DIR/cert.pem cannot be read: {pem_hint}"),
        format!("config.json: tls_key: DIR/key.pem cannot be read: {pem_hint}"),
        format!("platform.json: [0].ca_file: DIR/ca.pem cannot be read: {pem_hint}"),
    ];
    for ((name, _), want) in files.iter().zip(wants) {
        let folder = Folder::with(&files);
        let path = folder.at(name);
        let pipe = std::process::Command::new("mkfifo")
            .arg(folder.at("pipe"))
            .status();
        assert!(
            pipe.is_ok_and(|status| status.success()),
            "a pipe can be made"
        );
        for target in ["/dev/zero", "pipe"] {
            std::fs::remove_file(&path).expect("it was just written");
            std::os::unix::fs::symlink(target, &path).expect("a link can be made");
            let found = lines(&load(&folder.0, &|_| None));
            let dir = folder.0.display().to_string();
            let found = found.first().map(|line| line.replace(&dir, "DIR"));
            assert_eq!(found.as_ref(), Some(&want), "{target}");
        }
    }
}
