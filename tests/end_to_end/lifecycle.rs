//! Start, arguments, time limits, stop.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Output};
use std::sync::mpsc;

use serde_json::json;

use crate::support::platform::Platform;
use crate::support::proxy::{Proxy, ROOT_KEY, new_folder};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ai-api-proxy"))
        .args(arguments)
        .output()
        .expect("the program starts")
}

fn texts(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn the_command_line_tells_what_is_wrong() {
    for (arguments, status, part) in [
        (&["--help"][..], 0, "Usage: ai-api-proxy"),
        (&["--version"], 0, env!("CARGO_PKG_VERSION")),
        (&["--nonsense"], 2, "--nonsense"),
        (&["--dir"], 2, "--dir needs a folder"),
        (
            &["--dir", "/does/not/exist"],
            1,
            "/does/not/exist cannot be entered: No such file or directory (os error 2); name another folder with --dir",
        ),
        (
            &["--dir", "/dev/null"],
            1,
            "/dev/null is not a folder; name one with --dir",
        ),
        (
            &["--check", "--dir", "/does/not/exist"],
            1,
            "/does/not/exist",
        ),
    ] {
        let (code, output, errors) = texts(&run(arguments));
        assert_eq!(code, Some(status), "{arguments:?}");
        let all = format!("{output}{errors}");
        assert!(all.contains(part) && !all.contains("panicked"), "{all}");
    }
}

#[test]
fn output_that_cannot_be_written_is_told() {
    for argument in ["--help", "--check"] {
        let proxy = Proxy::prepare(json!({}), &json!([]), &json!([]));
        let full = fs::File::options().write(true).open("/dev/full");
        let output = Command::new(env!("CARGO_BIN_EXE_ai-api-proxy"))
            .args([argument, "--dir"])
            .arg(proxy.folder())
            .stdout(full.expect("it is always there"))
            .output()
            .expect("the program starts");
        let (code, _, errors) = texts(&output);
        assert_eq!(code, Some(1), "{argument}");
        assert!(
            errors.starts_with("ai-api-proxy: standard output cannot be written: "),
            "{errors}"
        );
    }
}

#[test]
fn check_prints_every_problem_and_the_start_refuses_them_too() {
    let folder = new_folder();
    let dir = folder.to_str().expect("text");
    fs::write(
        folder.join("config.json"),
        "{\"prot\": 1, \"max_attempts\": 0}",
    )
    .expect("written");
    fs::write(
        folder.join("key.json"),
        "[{\"key\": \"secret-key-1\", \"daily_limit\": \"ten\"}]",
    )
    .expect("written");
    let (code, output, errors) = texts(&run(&["--check", "--dir", dir]));
    let all = format!("{output}{errors}");
    assert_eq!(code, Some(1));
    for part in [
        "config.json: prot: ",
        "did you mean \"port\"?",
        "config.json: max_attempts: ",
        "key.json: [0].daily_limit: expected a whole number of requests, found \"ten\"; write 10, or 0 for no limit",
        "platform.json: ",
    ] {
        assert!(all.contains(part), "{part} in {all}");
    }
    assert!(!all.contains("secret-key-1"), "{all}");
    let (code, _, errors) = texts(&run(&["--dir", dir]));
    assert_eq!(code, Some(1));
    assert!(errors.contains("config.json: prot: "), "{errors}");

    fs::remove_file(folder.join("config.json")).expect("it was there");
    fs::write(folder.join("key.json"), "[{\"key\": \"secret-key-1\"}]").expect("written");
    fs::write(
        folder.join("platform.json"),
        "[{\"name\": \"a\", \"base_url\": \"demo:\", \"keys\": [\"UNSET_VARIABLE_OF_A_TEST\"]}]",
    )
    .expect("written");
    let (code, output, errors) = texts(&run(&["--check", "--dir", dir]));
    assert_eq!(code, Some(0), "{output}{errors}");
    assert!(format!("{output}{errors}").contains("UNSET_VARIABLE_OF_A_TEST"));

    let state_file = "{\"state_file\": \"missing/usage.journal\"}";
    fs::write(folder.join("config.json"), state_file).expect("written");
    let (code, output, _) = texts(&run(&["--check", "--dir", dir]));
    assert_eq!(code, Some(0), "{output}");
    let want = "missing/usage.journal: cannot be opened: No such file or directory (os error 2); \
        usage counts go on in memory and would not survive; \
        write the path of a file that can be written\n";
    assert!(output.contains(want), "{output}");
    fs::write(folder.join("config.json"), "{\"state_file\": \"key.json\"}").expect("written");
    let (code, output, errors) = texts(&run(&["--check", "--dir", dir]));
    assert_eq!(code, Some(1), "{output}{errors}");
    for part in [
        "key.json: it is not a journal of ai-api-proxy; ",
        "warning: ",
    ] {
        assert!(errors.contains(part), "{part} in {errors}");
    }
    assert!(!folder.join("usage.journal").exists());
    fs::remove_dir_all(&folder).expect("it was there");
}

/// A problem in one file hides none in the others, nor in the files that they name.
#[test]
fn check_tells_all_at_once() {
    let folder = new_folder();
    let dir = folder.to_str().expect("text");
    let broken = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n";
    let platform =
        |name: &str, url: &str| json!({"name": name, "base_url": url, "ca_file": "broken.pem"});
    let config = |cert: &str, state_file: &str| {
        let files = json!({
            "tls_cert": cert, "tls_key": "broken.pem", "state_file": state_file, "prot": 1,
        });
        files.to_string()
    };
    let platforms = json!([
        {"name": "none"}, platform("a", "https://h.example"), platform("b", "https://i.example"),
        platform("c", "https://-c"), {"name": "d", "base_url": "http://a..b"},
    ]);
    for (file, text) in [
        ("broken.pem", broken),
        ("key.json", "[{\"key\": \"short\"}]"),
        ("platform.json", &platforms.to_string()),
    ] {
        fs::write(folder.join(file), text).expect("written");
    }
    for (config, tls_cert, state_file) in [
        (
            config("broken.pem", "missing/usage.journal"),
            "\nconfig.json: tls_cert: not PEM: ",
            "warning: config.json: state_file: DIR/missing/usage.journal: cannot be opened",
        ),
        (
            config("missing.pem", "key.json"),
            "\nconfig.json: tls_cert: DIR/missing.pem cannot be read: ",
            "\nconfig.json: state_file: DIR/key.json: it is not a journal",
        ),
    ] {
        fs::write(folder.join("config.json"), config).expect("written");
        let (code, output, errors) = texts(&run(&["--check", "--dir", dir]));
        assert_eq!(code, Some(1), "{output}");
        for part in [
            "\nconfig.json: prot: ",
            tls_cert,
            "\nconfig.json: tls_key: holds no private key: ",
            "\nkey.json: [0].key: ",
            "\nplatform.json: [0].base_url: missing",
            "\nplatform.json: [1].ca_file: not PEM: ",
            "\nplatform.json: [2].ca_file: not PEM: a section is not Base64; write ",
            "\nplatform.json: [3].ca_file: not PEM: ",
            "\nplatform.json: [3].base_url: \"-c\" is neither a host name nor an address; write ",
            "\nplatform.json: [4].base_url: \"a..b\" is neither a host name nor an address; write ",
            state_file,
        ] {
            let part = part.replace("DIR", dir);
            assert_eq!(errors.matches(&part).count(), 1, "{part} in {errors}");
        }
        let told = errors.lines().filter(|line| line.contains(".json: "));
        let problems = told.filter(|line| !line.starts_with("warning: ")).count();
        assert!(
            errors.ends_with(&format!("\n{problems} to mend\n")),
            "{errors}"
        );
    }
    // Where the state file is cannot be known from a file that cannot be parsed.
    fs::write(folder.join("config.json"), "{").expect("written");
    let (_, _, errors) = texts(&run(&["--check", "--dir", dir]));
    assert!(!errors.contains("state_file"), "{errors}");
    fs::remove_dir_all(&folder).expect("it was there");
}

/// A variable that is set, but not as UTF-8, is not called unset.
#[test]
fn a_variable_that_is_no_text_is_a_problem_of_its_key() {
    let mut proxy = Proxy::prepare(
        json!({}),
        &json!([]),
        &json!([{"name": "a", "base_url": "demo:", "keys": ["LATIN_1_KEYS"]}]),
    );
    proxy.begin_after("export LATIN_1_KEYS=$'sk-\\xe9'");
    let line = proxy.log().await_line("LATIN_1_KEYS");
    let want = "platform.json: [0].keys[0]: the variable LATIN_1_KEYS: holds a space, a control character or a letter outside ASCII";
    assert!(line.starts_with(want), "{line}");
    assert_eq!(proxy.exit_status().code(), Some(1));
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_refused_and_waited_for_by_nobody() {
    let proxy = Proxy::start(&json!([
        {"name": "demo", "base_url": "demo:", "api_path": "/v1", "keys": ["demo-key-1"]},
    ]));
    let path = proxy.folder().join("platform.json");
    fs::remove_file(&path).expect("it was there");
    let made = Command::new("mkfifo").arg(&path).status();
    assert!(made.expect("mkfifo is there").success());
    proxy.signal("HUP");
    proxy
        .log()
        .await_line("platform.json: cannot be read: it is not a regular file");
    assert!(proxy.page("/info")["config_error"].is_string());
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = taken.local_addr().expect("an address").port();
    let folder = new_folder();
    let config = json!({"host": "127.0.0.1", "port": port});
    fs::write(folder.join("config.json"), config.to_string()).expect("written");
    fs::write(folder.join("key.json"), "[]").expect("written");
    fs::write(folder.join("platform.json"), "[]").expect("written");
    let (code, _, errors) = texts(&run(&["--dir", folder.to_str().expect("text")]));
    assert_eq!(code, Some(1));
    assert!(
        errors.contains(&port.to_string()) && errors.contains("in use"),
        "{errors}"
    );
    fs::remove_dir_all(&folder).expect("it was there");
}

/// A platform that begins to answer and ends when it is told to; at `/late` it begins only then.
fn patient_platform() -> (Platform, mpsc::Sender<()>) {
    let (sender, receiver) = mpsc::channel::<()>();
    let receiver = std::sync::Mutex::new(receiver);
    let platform = Platform::raw(move |connection, line, seen| {
        let Some(head) = line.head() else { return };
        if head.contains("/v1/probe") {
            return line.answer("200 OK", "{}");
        }
        let is_late = head.contains("/late ");
        let _ = seen.send(crate::support::platform::Seen {
            head,
            body: Vec::new(),
            connection,
        });
        if is_late {
            if receiver.lock().expect("no thread panicked").recv().is_ok() {
                line.answer("200 OK", "{}");
            }
            return;
        }
        line.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
        if receiver.lock().expect("no thread panicked").recv().is_ok() {
            line.send("3\r\ndef\r\n0\r\n\r\n");
        }
    });
    (platform, sender)
}

#[test]
fn a_stop_waits_for_requests_in_flight_and_refuses_new_ones() {
    let (platform, go_on) = patient_platform();
    let mut proxy = Proxy::start(&json!([platform.entry(&["platform-key-1"])]));
    let mut idle = proxy.connect();
    idle.send("GET /routes HTTP/1.1\r\nHost: p\r\n\r\n");
    idle.answer();
    let mut client = proxy.connect();
    client.send(format!(
        "GET /test/x HTTP/1.1\r\nHost: p\r\nx-api-key: {ROOT_KEY}\r\n\r\n"
    ));
    client.head();
    assert_eq!(client.chunk(), b"abc");
    let mut late = proxy.connect();
    late.send(format!(
        "GET /test/late HTTP/1.1\r\nHost: p\r\nx-api-key: {ROOT_KEY}\r\n\r\n"
    ));
    platform.next();
    platform.next();
    proxy.signal("TERM");
    idle.ends();
    // A SYN that comes too early for a refusal is dropped, and its retransmission refused.
    assert!(
        std::net::TcpStream::connect(("127.0.0.1", proxy.port())).is_err(),
        "the listener is closed"
    );
    for _ in 0..2 {
        go_on.send(()).expect("the platform waits");
    }
    assert_eq!(client.chunk(), b"def");
    assert_eq!(client.chunk(), b"");
    assert_eq!(client.rest(), b"\r\n");
    assert_eq!(late.answer().field("connection"), Some("close"));
    late.ends();
    assert_eq!(proxy.exit_status().code(), Some(0));
}

#[test]
fn a_stop_ends_when_its_time_is_over_or_at_a_second_signal() {
    for (seconds, signals, status) in [(1, 1, 0), (600, 2, 1)] {
        let (platform, _go_on) = patient_platform();
        let mut proxy = Proxy::with(
            json!({"drain_seconds": seconds}),
            &json!([platform.entry(&["platform-key-1"])]),
        );
        let mut client = proxy.connect();
        client.send(format!(
            "GET /test/x HTTP/1.1\r\nHost: p\r\nx-api-key: {ROOT_KEY}\r\n\r\n"
        ));
        client.head();
        client.chunk();
        proxy.signal("INT");
        if signals == 2 {
            proxy.log().await_line("stopping");
            proxy.signal("INT");
        }
        assert_eq!(
            proxy.exit_status().code(),
            Some(status),
            "{signals} signals"
        );
        proxy
            .log()
            .await_line("stopped; requests in flight that were cut off: 1");
        assert!(
            !client.rest().ends_with(b"0\r\n\r\n"),
            "it does not look whole"
        );
    }
}

#[test]
fn silence_has_its_limits() {
    let (platform, _go_on) = patient_platform();
    let config = json!({
        "header_timeout_seconds": 1, "keepalive_timeout_seconds": 1, "idle_timeout_seconds": 1,
        "response_timeout_seconds": 1, "connect_timeout_seconds": 1,
    });
    let deaf = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let base_url = format!("https://{}", deaf.local_addr().expect("it has one"));
    let deaf_entry = json!({"name": "deaf", "base_url": base_url, "keys": ["platform-key-3"]});
    let mute = Platform::raw(|_, line, _| {
        line.end();
    });
    let mut mute = mute.entry(&["platform-key-2"]);
    mute["name"] = json!("mute");
    let entries = json!([platform.entry(&["platform-key-1"]), mute, deaf_entry]);
    let proxy = Proxy::with(config, &entries);

    let mut slow = proxy.connect();
    slow.send("GET /routes HTT");
    let answer = slow.answer();
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (408, "request_timeout")
    );
    slow.ends();

    proxy.connect().ends();

    let mut idle = proxy.connect();
    idle.send("GET /routes HTTP/1.1\r\nHost: p\r\n\r\n");
    idle.answer();
    idle.ends();

    for (name, what) in [
        ("mute", "no answer in time"),
        ("deaf", "the TLS handshake took too long"),
    ] {
        let mut client = proxy.connect();
        client.send(format!(
            "GET /{name}/x HTTP/1.1\r\nHost: p\r\nx-api-key: {ROOT_KEY}\r\n\r\n"
        ));
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (504, "upstream_timeout")
        );
        assert!(answer.text().contains(what), "{}", answer.text());
    }

    let mut client = proxy.connect();
    client.send(format!(
        "GET /test/x HTTP/1.1\r\nHost: p\r\nx-api-key: {ROOT_KEY}\r\n\r\n"
    ));
    client.head();
    assert_eq!(client.chunk(), b"abc");
    assert_eq!(client.rest(), b"", "cut without a last chunk");
}

#[test]
fn a_client_that_stops_reading_is_no_timeout_of_the_platform() {
    let platform = Platform::serve(|_, line| {
        line.answer("200 OK", &"x".repeat(20_000_000));
        crate::support::platform::Next::Await
    });
    let proxy = Proxy::with(
        json!({"idle_timeout_seconds": 1, "log_level": "debug"}),
        &json!([platform.entry(&["platform-key-1"])]),
    );
    let mut client = proxy.connect();
    client.send(format!(
        "GET /test/x HTTP/1.1\r\nHost: p\r\nx-api-key: {ROOT_KEY}\r\n\r\n"
    ));
    proxy
        .log()
        .await_line("the client took nothing for too long");
    let stats = proxy.page("/stats");
    assert_eq!(stats["recent"][0]["code"], "canceled");
    let errors = &stats["platforms"]["test"]["keys"][0]["errors"];
    assert_eq!(
        (&errors["timeout"], &errors["canceled"]),
        (&json!(0), &json!(1))
    );
}

#[test]
fn a_client_that_stops_sending_costs_no_key_its_health() {
    let platform = Platform::answering("{}");
    let proxy = Proxy::with(
        json!({"idle_timeout_seconds": 1}),
        &json!([platform.entry(&["platform-key-1", "platform-key-2"])]),
    );
    // One body is kept for a retry, the other is not.
    for length in [1_000, 10_000_000] {
        let mut client = proxy.connect();
        client.send(format!(
            "POST /test/x HTTP/1.1\r\nHost: p\r\nx-api-key: {ROOT_KEY}\r\nContent-Length: {length}\r\n\r\nhalf"
        ));
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (408, "request_timeout"),
            "{length}"
        );
        client.ends();
    }
    let stats = proxy.page("/stats");
    for key in stats["platforms"]["test"]["keys"].as_array().expect("keys") {
        assert_eq!(key["error"], json!(null), "{key}");
    }
    for request in stats["recent"].as_array().expect("requests") {
        assert_eq!(request["tries"], 1, "{request}");
    }
}

#[test]
fn the_banner_says_where_and_what_without_secrets() {
    let platform = Platform::answering("{}");
    let mut empty = platform.entry(&["UNSET_VARIABLE_OF_A_TEST"]);
    empty["name"] = json!("empty");
    let proxy = Proxy::with(
        json!({"log_level": "trace"}),
        &json!([platform.entry(&["platform-key-1", "platform-key-2"]), empty]),
    );
    for part in [
        "/dashboard",
        "test 2 keys",
        "empty 0 keys",
        "UNSET_VARIABLE_OF_A_TEST",
    ] {
        proxy.log().await_line(part);
    }
    proxy.ask("/test/v1/x");
    let text = proxy.log().text();
    assert!(
        !text.contains("platform-key-1") && !text.contains(ROOT_KEY),
        "{text}"
    );
}
