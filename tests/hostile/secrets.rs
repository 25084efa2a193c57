//! No secret is shown whole, wherever it occurs and whatever goes wrong: not in the log at its finest level, not in an
//! answer, a page, the journal, or what `--check` prints.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::support::client::Client;
use crate::support::platform::{Next, Platform};
use crate::support::proxy::{Proxy, new_folder};

const ROOT: &str = "root-SECRET-0123456789abcdef";
const CLIENT: &str = "client-SECRET-0123456789abcdef";
const EXPIRED: &str = "expired-SECRET-0123456789abcdef";
const LITERAL: &str = "sk-literal-SECRET-0123456789abcdef";
const FROM_PROCESS: &str = "sk-process-SECRET-0123456789abcdef";
const FROM_FILE: &str = "sk-file-SECRET-0123456789abcdef";
const REVOKED: &str = "sk-revoked-SECRET-0123456789abcdef";
const FIXED: &str = "fixed-SECRET-0123456789abcdef";
const IN_PROBE: &str = "probe-SECRET-0123456789abcdef";
const STRANGE: &str = "strange-SECRET-0123456789abcdef";

const SECRETS: [&str; 10] = [
    ROOT,
    CLIENT,
    EXPIRED,
    LITERAL,
    FROM_PROCESS,
    FROM_FILE,
    REVOKED,
    FIXED,
    IN_PROBE,
    STRANGE,
];

fn hides(place: &str, text: &str) {
    for secret in SECRETS {
        if let Some(at) = text.find(secret) {
            let from = text[..at].rfind('\n').map_or(0, |end| end + 1);
            panic!("{place} shows {secret}: {}", &text[from..at + secret.len()]);
        }
    }
}

/// A platform that fails as the path says, and reveals nothing of the keys that it sees.
fn failing() -> Platform {
    Platform::serve(|request, line| {
        let status = match request.path().rsplit('/').next() {
            _ if request.key() == REVOKED => "401 Unauthorized",
            Some("401") => "401 Unauthorized",
            Some("402") => "402 Payment Required",
            Some("403") => "403 Forbidden",
            Some("429") => "429 Too Many Requests",
            Some("500") => "500 Internal Server Error",
            Some("close") => return Next::Close,
            Some("nonsense") => {
                line.send("SSH-2.0-server\r\n\r\n");
                return Next::Close;
            }
            Some("cut") => {
                line.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
                return Next::Close;
            }
            _ => "200 OK",
        };
        line.answer(status, "{}");
        Next::Await
    })
}

/// Each place in which a client can show a key, with right keys and wrong ones.
fn showings() -> Vec<(String, String)> {
    let mut showings = Vec::new();
    for key in [ROOT, CLIENT, EXPIRED, LITERAL, FROM_FILE, STRANGE] {
        for field in [
            format!("Authorization: Bearer {key}"),
            format!("authorization: {key}"),
            format!("Authorization: Basic {key}"),
            format!("x-api-key: {key}"),
            format!("x-goog-api-key: {key}"),
            format!("api-key: {key}"),
            format!("X-Unknown: {key}"),
            format!("Cookie: key={key}"),
            format!(
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: realtime, openai-insecure-api-key.{key}"
            ),
        ] {
            showings.push((String::new(), field));
        }
        showings.push((format!("?a=b&key={key}"), "X-None: 1".to_string()));
    }
    showings
}

fn ask(proxy: &Proxy, request: &str) -> String {
    let answer = Client::ask_once(proxy.port(), request).unwrap_or_default();
    String::from_utf8_lossy(&answer).into_owned()
}

fn prepared() -> (Proxy, Platform) {
    let platform = failing();
    let keys = json!([
        {"key": ROOT, "name": "operator", "is_root": true},
        {"key": CLIENT, "daily_limit": 100_000},
        {"key": EXPIRED, "expiry_date": "2020-01-01"},
    ]);
    let platforms = json!([
        {
            "name": "test", "base_url": platform.base_url(), "api_path": "/v1",
            "health_check_endpoint": "/probe", "health_check_method": "POST",
            "health_check_body": {"token": IN_PROBE}, "headers": {"x-team": FIXED},
            "keys": [LITERAL, "PROCESS_KEYS", "FILE_KEYS", REVOKED],
        },
        {"name": "gone", "base_url": "http://127.0.0.1:1", "auth_header": "x-own", "keys": [LITERAL]},
        {"name": "off", "base_url": "http://127.0.0.1:1", "enabled": false, "keys": [LITERAL]},
        {"name": "nowhere", "base_url": "https://no-such-host.invalid", "keys": [LITERAL]},
    ]);
    let config = json!({"log_level": "trace", "header_timeout_seconds": 1, "drain_seconds": 1});
    let proxy = Proxy::prepare(config, &keys, &platforms);
    proxy.write(".env", &format!("FILE_KEYS={FROM_FILE},{FROM_FILE}2\n"));
    let proxy = proxy.after("export PROCESS_KEYS=sk-process-SECRET-0123456789abcdef");
    (proxy, platform)
}

/// Requests for every path with every way to show a key, and heads that are refused before they are understood.
fn requests() -> Vec<String> {
    let mut requests = Vec::new();
    for (query, field) in showings() {
        for path in [
            "test/v1/x",
            "gone/x",
            "off/x",
            "nobody/x",
            "stats",
            "test/../../x",
        ] {
            requests.push(format!(
                "GET /{path}{query} HTTP/1.1\r\nHost: p\r\n{field}\r\nForwarded: for=1\r\nConnection: close\r\n\r\n"
            ));
        }
        for broken in [
            format!("GET /{query}\r\n{field}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nHost: p\r\n{field}\r\n folded\r\n\r\n"),
            format!("GET /{query} HTTP/1.1\r\nHost: a b\r\n{field}\r\n\r\n"),
            format!("GET /{query}# HTTP/1.1\r\nHost: p\r\n{field}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nHost: p\r\n{field}\0\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nHost: p\r\n{field} :\r\nbad name: 1\r\n\r\n"),
            format!("GET /{query} HTTP/3.0\r\nHost: p\r\n{field}\r\n\r\n"),
            format!(
                "{STRANGE} /{query} HTTP/1.1\r\nHost: p\r\n{field}\r\nConnection: close\r\n\r\n"
            ),
            format!("GET /{query} HTTP/1.1\r\nHost: p\r\n{field}\r\nExpect: {STRANGE}\r\n\r\n"),
            format!(
                "GET / HTTP/1.1\r\nHost: p\r\n{field}\r\nTransfer-Encoding: {STRANGE}, chunked\r\n\r\n"
            ),
            format!(
                "POST /test/v1/x HTTP/1.1\r\nHost: p\r\n{field}\r\nContent-Length: {STRANGE}\r\n\r\n"
            ),
        ] {
            requests.push(broken);
        }
    }
    for path in [
        "test/v1/401",
        "test/v1/402",
        "test/v1/403",
        "test/v1/429",
        "test/v1/500",
        "test/v1/close",
        "test/v1/nonsense",
        "test/v1/cut",
        "gone/x",
        "nowhere/x",
        "test/v1/x",
    ] {
        requests.push(format!(
            "POST /{path}?key={CLIENT} HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer {CLIENT}\r\n\
             Content-Type: application/json\r\nConnection: close\r\nContent-Length: 13\r\n\r\n{{\"model\":\"m\"}}"
        ));
    }
    requests.push(format!(
        "POST /test/v1/x HTTP/1.1\r\nHost: p\r\nx-api-key: {CLIENT}\r\nTransfer-Encoding: chunked\r\n\r\n{STRANGE}\r\n"
    ));
    requests.push(format!(
        "POST /test/v1/x HTTP/1.1\r\nHost: p\r\nx-api-key: {CLIENT}\r\nContent-Length: 999999999999\r\n\r\n"
    ));
    requests
}

#[test]
fn nothing_that_runs_shows_a_secret() {
    let (mut proxy, _platform) = prepared();
    for request in requests() {
        hides(&request, &ask(&proxy, &request));
    }
    let mut listener = proxy.connect();
    listener.send("GET /events HTTP/1.1\r\nHost: p\r\n\r\n");
    listener.head();
    hides("/events", &String::from_utf8_lossy(&listener.chunk()));
    for page in [
        "/info",
        "/routes",
        "/health/quick",
        "/health",
        "/stats",
        "/metrics",
        "/dashboard",
    ] {
        let answer = ask(
            &proxy,
            &format!("GET {page} HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n"),
        );
        assert!(answer.starts_with("HTTP/1.1 200 "), "{page}: {answer}");
        hides(page, &answer);
    }
    // A new version with a problem is refused, and `/info` reports that publicly.
    proxy.write(
        "key.json",
        &json!([{"key": ROOT}, {"key": ROOT, "kye": 1}]).to_string(),
    );
    proxy.signal("HUP");
    proxy.log().await_line("the former one stays in force");
    hides("/info", &proxy.page("/info").to_string());
    proxy.signal("TERM");
    assert_eq!(proxy.exit_status().code(), Some(0));
    let log = proxy.log().text();
    assert!(
        log.contains("TRACE") && log.contains("is unhealthy now"),
        "{log}"
    );
    hides("the log", &log);
    let journal = fs::read(proxy.folder().join("usage.journal")).expect("it was written");
    assert!(!journal.is_empty());
    hides("the journal", &String::from_utf8_lossy(&journal));
}

/// Files, and the mistakes that a tired operator may make in them.
fn mistakes() -> Vec<(&'static str, String)> {
    let mut mistakes = Vec::new();
    for text in [
        format!("[{{\"key\": \"{STRANGE}\""),
        format!("[{{\"key\": \"{STRANGE}\" \"is_root\": true}}]"),
        format!("[{{\"key\": {STRANGE}}}]"),
        format!("[{{\"key\": '{STRANGE}'}}]"),
        format!("[{{\"key\": \"{STRANGE}\u{1}\"}}]"),
        format!("\"{STRANGE}\""),
        STRANGE.to_string(),
        format!("[\"{STRANGE}\"]"),
        format!("[{{\"kye\": \"{STRANGE}\"}}]"),
        format!("[{{\"key\": [\"{STRANGE}\"]}}]"),
        format!("[{{\"key\": \"{STRANGE} with a blank\"}}]"),
        format!("[{{\"key\": \"{STRANGE}\"}}, {{\"key\": \"{STRANGE}\"}}]"),
        format!("[{{\"key\": \"{STRANGE}\", \"key\": \"{STRANGE}2\"}}]"),
        format!("[{{\"key\": \"{STRANGE}\", \"is_root\": \"{STRANGE}\"}}]"),
        format!("[{{\"key\": \"{STRANGE}\", \"daily_limit\": \"{STRANGE}\"}}]"),
        format!("[{{\"key\": \"{STRANGE}\", \"expiry_date\": \"{STRANGE}\"}}]"),
        format!("[{{\"key\": \"{STRANGE}\", \"platform_whitelist\": \"{STRANGE}\"}}]"),
        format!(
            "[{{\"key\": \"{STRANGE}\", \"enable_platform_whitelist\": true, \"platform_whitelist\": [\"{STRANGE}\"]}}]"
        ),
    ] {
        mistakes.push(("key.json", text));
    }
    for fields in [
        format!("\"name\": \"{STRANGE}!\""),
        format!("\"base_url\": \"{STRANGE}\""),
        format!("\"base_url\": \"{STRANGE}://h\""),
        format!("\"base_url\": \"https://user:{STRANGE}@h\""),
        format!("\"base_url\": \"https://user:{STRANGE}/@h\""),
        format!("\"base_url\": \"https://h:{STRANGE}\""),
        format!("\"base_url\": \"https://[{STRANGE}]\""),
        format!("\"base_url\": \"https://h/?key={STRANGE}\""),
        format!("\"auth_header\": \"Authorization: Bearer {STRANGE}\""),
        format!("\"auth_format\": \"Bearer {STRANGE}\""),
        format!("\"auth_format\": [\"{STRANGE}\"]"),
        format!("\"api_path\": \"/v1?key={STRANGE}\""),
        format!("\"health_check_endpoint\": \"/models?key={STRANGE} \""),
        format!("\"health_check_method\": \"{STRANGE}\""),
        format!("\"health_check_body\": \"{STRANGE}\", \"enabled\": \"{STRANGE}\""),
        format!("\"headers\": \"{STRANGE}\""),
        format!("\"headers\": {{\"x\": [\"{STRANGE}\"]}}"),
        format!("\"headers\": {{\"a b\": \"{STRANGE}\"}}"),
        format!("\"headers\": {{\"x\": \"{STRANGE}\u{7f}\"}}"),
        format!("\"headers\": {{\"authorization\": \"{STRANGE}\"}}"),
        format!("\"keys\": \"{STRANGE}\""),
        format!("\"keys\": [\"{STRANGE} with a blank\"]"),
        format!("\"keys\": [{{\"key\": \"{STRANGE}\"}}]"),
        format!("\"keys\": [\"{STRANGE}\", \"{STRANGE}\"]"),
        format!("\"kyes\": [\"{STRANGE}\"]"),
        format!("\"ca_file\": \"-----BEGIN CERTIFICATE-----\\n{STRANGE}\""),
        format!("\"max_attempts\": \"{STRANGE}\""),
    ] {
        let name = match fields.contains("\"name\"") {
            true => "",
            false => "\"name\": \"test\", ",
        };
        let base_url = match fields.contains("\"base_url\"") {
            true => "",
            false => "\"base_url\": \"demo:\", ",
        };
        mistakes.push(("platform.json", format!("[{{{name}{base_url}{fields}}}]")));
    }
    for text in [
        STRANGE.to_string(),
        format!("{STRANGE} = x"),
        format!("1X={STRANGE}"),
        format!("NAME={STRANGE} and more"),
        format!("NAME=\"{STRANGE}"),
        format!("NAME='{STRANGE}"),
        format!("NAME={STRANGE}$x"),
        format!("export {STRANGE}"),
    ] {
        mistakes.push((".env", text));
    }
    for fields in [
        format!("\"port\": \"{STRANGE}\", \"host\": \"{STRANGE}\""),
        format!("\"allowed_ips\": [\"{STRANGE}\"], \"trusted_proxies\": [\"{STRANGE}\"]"),
        format!("\"cors_origins\": [\"{STRANGE}\"], \"log_level\": \"{STRANGE}\""),
        format!(
            "\"tls_cert\": \"cert.pem\", \"tls_key\": \"-----BEGIN PRIVATE KEY-----\\n{STRANGE}\\n\""
        ),
        "\"tls_cert\": \"cert.pem\", \"tls_key\": \"one-line.pem\"".to_string(),
        "\"tls_cert\": \"one-line.pem\", \"tls_key\": \"one-line.pem\"".to_string(),
        "\"tls_cert\": \"cert.pem\", \"tls_key\": \"broken.pem\"".to_string(),
        "\"tls_cert\": \"cert.pem\", \"tls_key\": \"cut.pem\"".to_string(),
        "\"tls_cert\": \"broken.pem\", \"tls_key\": \"broken.pem\"".to_string(),
    ] {
        mistakes.push(("config.json", format!("{{{fields}}}")));
    }
    mistakes
}

#[test]
fn no_mistake_in_the_files_makes_check_show_a_secret() {
    let folder = new_folder();
    let sound = [
        ("key.json", "[{\"key\": \"a-key-of-a-client\"}]".to_string()),
        (
            "platform.json",
            "[{\"name\": \"test\", \"base_url\": \"demo:\"}]".to_string(),
        ),
        (".env", String::new()),
        ("config.json", "{}".to_string()),
        (
            "one-line.pem",
            format!("-----BEGIN PRIVATE KEY----- {STRANGE} -----END PRIVATE KEY-----"),
        ),
        (
            "broken.pem",
            format!("-----BEGIN PRIVATE KEY-----\n{STRANGE}!\n-----END PRIVATE KEY-----\n"),
        ),
        (
            "cut.pem",
            format!("-----BEGIN PRIVATE KEY-----\n{STRANGE}\n"),
        ),
        (
            "cert.pem",
            rcgen::generate_simple_self_signed(vec!["localhost".to_string()])
                .expect("a certificate")
                .cert
                .pem(),
        ),
    ];
    for (file, text) in mistakes() {
        for (name, content) in &sound {
            fs::write(folder.join(name), content).expect("it can be written");
        }
        fs::write(folder.join(file), &text).expect("it can be written");
        let output = Command::new(env!("CARGO_BIN_EXE_ai-api-proxy"))
            .args(["--check", "--dir"])
            .arg(&folder)
            .output()
            .expect("it runs");
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed).into_owned();
        hides(&text, &printed);
        // A list of the text's byte values would reveal the text, too.
        let numbers = STRANGE.bytes().take(8).map(|byte| byte.to_string());
        let numbers = numbers.collect::<Vec<_>>().join(", ");
        assert!(!printed.contains(&numbers), "{text}: {printed}");
    }
    fs::remove_dir_all(folder).expect("it can be removed");
}
