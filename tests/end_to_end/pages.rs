//! The proxy's own paths, from outside.

use serde_json::{Value, json};

use crate::support::platform::Platform;
use crate::support::proxy::{Proxy, ROOT_KEY};

fn demo() -> Value {
    json!([{
        "name": "demo", "base_url": "demo:", "api_path": "/v1",
        "keys": ["demo-key-1", "demo-key-2", "demo-key-revoked"],
    }])
}

#[test]
fn each_path_answers_its_methods() {
    let proxy = Proxy::start(&demo());
    for (path, kind) in [
        ("/info", "application/json"),
        ("/routes", "application/json"),
        ("/health/quick", "application/json"),
        ("/health", "application/json"),
        ("/stats", "application/json"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
        ("/dashboard", "text/html; charset=utf-8"),
        ("/static/dashboard.js", "text/javascript; charset=utf-8"),
    ] {
        let answer = proxy.answer(&format!("GET {path} HTTP/1.1"));
        assert_eq!(
            (answer.status, answer.field("content-type")),
            (200, Some(kind)),
            "{path}"
        );
        let head = proxy.answer(&format!("HEAD {path} HTTP/1.1"));
        assert_eq!(
            (head.status, head.field("content-type")),
            (200, Some(kind)),
            "{path}"
        );
        for request in [
            "POST {path} HTTP/1.1\r\nContent-Length: 0",
            "TRACE {path} HTTP/1.1",
        ] {
            let refused = proxy.answer(&request.replace("{path}", path));
            assert_eq!(
                (refused.status, refused.error_code().as_str()),
                (405, "method_not_allowed")
            );
            assert_eq!(
                refused.field("allow"),
                Some("GET, HEAD"),
                "{request} {path}"
            );
        }
    }
    let answer = proxy.answer("GET / HTTP/1.1");
    assert_eq!(
        (answer.status, answer.field("location")),
        (302, Some("/dashboard"))
    );
    for path in [
        "/static/none.js",
        "/static/",
        "/static/../Cargo.toml",
        "/dashboard/",
        "/info/x",
        "/health/slow",
    ] {
        let answer = proxy.answer(&format!("GET {path} HTTP/1.1"));
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (404, "not_found"),
            "{path}"
        );
        let answer = proxy.answer(&format!("POST {path} HTTP/1.1\r\nContent-Length: 0"));
        assert_eq!(answer.status, 404, "there is no method that it allows");
    }
    let head = proxy.answer("HEAD /events HTTP/1.1");
    assert_eq!(
        (head.status, head.field("content-type")),
        (200, Some("text/event-stream"))
    );
}

#[test]
fn info_and_routes_say_what_there_is() {
    let proxy = Proxy::start(&demo());
    let info = proxy.page("/info");
    assert_eq!(info["service"], "ai-api-proxy");
    assert_eq!(info["status"], "Running");
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(info["enabled_platforms"], json!(["demo"]));
    assert_eq!(info["endpoints"]["demo"], "/demo/v1/*");
    for name in [
        "health_full",
        "health_quick",
        "dashboard",
        "routes",
        "info",
        "metrics",
        "stats",
    ] {
        assert!(info["endpoints"][name].is_string(), "{name}");
    }
    assert!(info["features"].is_array() && info["config_error"].is_null());
    assert_eq!(
        proxy.page("/routes"),
        json!({"available_endpoints": {"demo": "/demo/v1/*"}})
    );
}

#[test]
fn health_finds_the_revoked_key_and_rounds_are_shared() {
    let proxy = Proxy::start(&demo());
    let mut clients: Vec<_> = (0..5).map(|_| proxy.connect()).collect();
    for client in &mut clients {
        client.send("GET /health HTTP/1.1\r\nHost: p\r\n\r\n");
    }
    let answers: Vec<Value> = clients
        .iter_mut()
        .map(|client| client.answer().json())
        .collect();
    for health in &answers {
        let demo = &health["platforms"]["demo"];
        assert_eq!(
            (&demo["healthy_keys"], &demo["unhealthy_keys"]),
            (&json!(2), &json!(1)),
            "{health}"
        );
        assert_eq!(health["overall_status"], "degraded");
        let key = &demo["keys"][2];
        assert_eq!(
            (&key["status"], &key["key_preview"]),
            (&json!("unhealthy"), &json!("demo…oked"))
        );
        assert!(key["error"].as_str().expect("a reason").contains("401"));
        assert_eq!(
            key["last_check"], answers[0]["platforms"]["demo"]["keys"][2]["last_check"],
            "one round for all"
        );
    }
    let quick = proxy.page("/health/quick");
    assert_eq!(quick["platforms"]["demo"]["unhealthy_keys"], 1);
}

#[test]
fn private_pages_need_this_machine_or_a_root_key() {
    let keys = json!([{"key": ROOT_KEY, "is_root": true}, {"key": "client-key-of-this-test"},
        {"key": "root_key", "is_root": true}]);
    let proxy = Proxy::with_keys(json!({}), &keys, &demo());
    let remote = "X-Forwarded-For: 9.9.9.9";
    for path in ["/health", "/stats", "/events", "/metrics"] {
        let answer = proxy.answer(&format!("GET {path} HTTP/1.1\r\n{remote}"));
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (401, "missing_api_key"),
            "{path}"
        );
        let answer = proxy.answer(&format!(
            "GET {path} HTTP/1.1\r\n{remote}\r\nx-api-key: client-key-of-this-test"
        ));
        assert_eq!(answer.error_code(), "invalid_api_key", "{path}");
        let answer = proxy.answer(&format!(
            "GET {path} HTTP/1.1\r\n{remote}\r\nx-api-key: root_key"
        ));
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (403, "sample_key"),
            "{path}"
        );
    }
    for path in ["/health", "/stats", "/metrics"] {
        let answer = proxy.answer(&format!(
            "GET {path} HTTP/1.1\r\n{remote}\r\nAuthorization: Bearer {ROOT_KEY}"
        ));
        assert_eq!(answer.status, 200, "{path}");
    }
    for path in [
        "/info",
        "/routes",
        "/health/quick",
        "/dashboard",
        "/static/dashboard.css",
    ] {
        assert_eq!(
            proxy
                .answer(&format!("GET {path} HTTP/1.1\r\n{remote}"))
                .status,
            200,
            "{path}"
        );
    }
    let has_client_keys = |proxy: &Proxy| {
        let features = proxy.answer("GET /info HTTP/1.1").json()["features"].take();
        let features = features.as_array().expect("an array").clone();
        features.contains(&json!("client keys with limits"))
    };
    assert!(has_client_keys(&proxy));
    // Without client keys there is no root key either.
    let proxy = Proxy::with(json!({"enable_key_validation": false}), &demo());
    assert!(!has_client_keys(&proxy));
    let answer = proxy.answer(&format!("GET /stats HTTP/1.1\r\n{remote}"));
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (401, "missing_api_key")
    );
    assert!(answer.text().contains("own machine only"));
    let answer = proxy.answer(&format!(
        "GET /stats HTTP/1.1\r\n{remote}\r\nAuthorization: Bearer {ROOT_KEY}"
    ));
    assert_eq!(answer.status, 401);
}

#[test]
fn pages_can_be_switched_off() {
    let proxy = Proxy::with(json!({"enable_gui": false}), &demo());
    assert_eq!(
        proxy.answer("GET /dashboard HTTP/1.1").error_code(),
        "disabled"
    );
    for path in ["/static/dashboard.js", "/static/nothing.js"] {
        let answer = proxy.answer(&format!("GET {path} HTTP/1.1"));
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (403, "disabled"),
            "{path}"
        );
    }
    assert_eq!(
        proxy.answer("GET / HTTP/1.1").json()["service"],
        "ai-api-proxy"
    );
    let proxy = Proxy::with(json!({"enable_json": false}), &demo());
    for path in [
        "/info",
        "/routes",
        "/health",
        "/health/quick",
        "/stats",
        "/events",
        "/metrics",
    ] {
        assert_eq!(
            proxy.answer(&format!("GET {path} HTTP/1.1")).error_code(),
            "disabled",
            "{path}"
        );
    }
    assert_eq!(proxy.answer("GET /dashboard HTTP/1.1").status, 200);
    let proxy = Proxy::with(json!({"enable_gui": false, "enable_json": false}), &demo());
    assert_eq!(proxy.answer("GET / HTTP/1.1").error_code(), "disabled");
}

#[test]
fn events_come_every_second() {
    let proxy = Proxy::start(&demo());
    let mut listener = proxy.connect();
    listener.send("GET /events HTTP/1.1\r\nHost: p\r\n\r\n");
    assert!(listener.head().contains("text/event-stream"));
    let times: Vec<String> = (0..3)
        .map(|_| {
            let event = String::from_utf8(listener.chunk()).expect("text");
            let data = event
                .strip_prefix("event: stats\ndata: ")
                .expect("a stats event")
                .trim();
            let stats: Value = serde_json::from_str(data).expect("JSON");
            stats["timestamp"].as_str().expect("a time").to_string()
        })
        .collect();
    assert!(times[0] < times[1] && times[1] < times[2], "{times:?}");
}

#[test]
fn tokens_and_models_are_counted() {
    let platform = Platform::serve(|seen, line| {
        match seen.path() {
            "/v1/chat/completions?secret=1" => line.answer(
                "200 OK",
                "{\"usage\": {\"prompt_tokens\": 11, \"completion_tokens\": 22}}",
            ),
            _ => line.answer("200 OK", "{}"),
        }
        crate::support::platform::Next::Await
    });
    let proxy = Proxy::start(&json!([platform.entry(&["key-1"])]));
    let mut client = proxy.connect();
    let body = "{\"messages\": [], \"model\": \"gpt-test\"}";
    client.send(format!(
        "POST /test/v1/chat/completions?secret=1 HTTP/1.1\r\nHost: p\r\nx-api-key: {ROOT_KEY}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert_eq!(client.answer().status, 200);
    let stats = proxy.page("/stats");
    let recent = &stats["recent"][0];
    assert_eq!(recent["model"], "gpt-test");
    assert_eq!(recent["path"], "/test/v1/chat/completions");
    assert_eq!(
        (&recent["tokens_in"], &recent["tokens_out"]),
        (&json!(11), &json!(22))
    );
    assert_eq!(
        (&recent["client"], &recent["status"], &recent["tries"]),
        (&json!("operator"), &json!(200), &json!(1))
    );
    assert_eq!(stats["totals"]["tokens_out"], 22);
    assert_eq!(stats["platforms"]["test"]["tokens_in"], 11);
    // Who looks at it once more uses no tokens.
    let answer = proxy.answer(&format!(
        "GET /test/v1/chat/completions?secret=1 HTTP/1.1\r\nx-api-key: {ROOT_KEY}"
    ));
    assert_eq!(answer.status, 200);
    let totals = &proxy.page("/stats")["totals"];
    assert_eq!(
        (&totals["requests"], &totals["tokens_out"]),
        (&json!(2), &json!(22))
    );
}

#[test]
fn what_the_demo_platform_refuses_is_no_refusal_of_the_proxy() {
    let proxy = Proxy::start(&demo());
    let refuse = |path: &str, length: usize| {
        let mut client = proxy.connect();
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: p\r\nx-api-key: {ROOT_KEY}\r\nContent-Length: {length}\r\n\r\n{}",
            "x".repeat(length)
        ));
        client.answer().status
    };
    assert_eq!(refuse("/nobody/v1/x", 0), 404);
    assert_eq!(refuse("/demo/v1/chat/completions", 1_200_000), 413);
    let metrics = proxy.answer("GET /metrics HTTP/1.1");
    let text = metrics.text();
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("aiproxy_refused_total"))
        .collect();
    assert_eq!(
        lines,
        ["aiproxy_refused_total{code=\"unknown_platform\"} 1"]
    );
}

#[test]
fn an_outage_that_all_probes_meet_is_told() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("it has an address");
    let proxy = Proxy::start(&json!([
        {"name": "away", "base_url": format!("http://{closed}"), "keys": ["key-1"]},
    ]));
    let health = proxy.page("/health");
    assert_eq!(
        health["platforms"]["away"]["keys"][0]["error"],
        "connecting failed: connection refused"
    );
    assert_eq!(
        health["overall_status"], "healthy",
        "nothing is known about the key"
    );
    for page in [health, proxy.page("/health/quick")] {
        let message = page["message"].as_str().expect("text");
        assert!(
            message.contains("The last try with 1 of the usable ones failed"),
            "{message}"
        );
    }
}

#[test]
fn whoever_asks_is_among_the_clients() {
    let proxy = Proxy::start(&demo());
    // All of them arrive in one turn.
    proxy.signal("STOP");
    let ask = |_| {
        let mut client = proxy.connect();
        client.send("GET /stats HTTP/1.1\r\nHost: p\r\n\r\n");
        client
    };
    let mut clients = [0, 1, 2].map(ask);
    proxy.signal("CONT");
    let counted = clients
        .each_mut()
        .map(|client| client.answer().json()["connections"]["clients"].clone());
    assert_eq!(counted, [3, 3, 3]);
}

#[test]
fn an_answer_that_was_cut_is_listed_with_the_status_that_was_delivered() {
    let platform = Platform::serve(|seen, line| {
        let status = seen.path().rsplit('/').next().unwrap_or_default();
        line.send(format!(
            "HTTP/1.1 {status} X\r\nContent-Length: 9\r\n\r\nabc"
        ));
        crate::support::platform::Next::Close
    });
    let proxy = Proxy::start(&json!([platform.entry(&["key-1"])]));
    for status in [200, 404] {
        let mut client = proxy.connect();
        let head = format!("GET /test/v1/{status} HTTP/1.1\r\nHost: p\r\nx-api-key: {ROOT_KEY}");
        client.send(format!("{head}\r\n\r\n"));
        client.head();
        client.rest();
        let stats = proxy.page("/stats");
        let recent = &stats["recent"][0];
        let told = (&recent["status"], &recent["code"], &recent["bytes_out"]);
        assert_eq!(told, (&json!(status), &json!("upstream_error"), &json!(3)));
    }
    assert_eq!(proxy.page("/stats")["totals"]["errors"]["network"], 2);
}

#[test]
fn a_counter_of_two_clients_does_not_fall_when_one_of_them_goes() {
    let platform = Platform::answering("{}");
    let team =
        ["key-of-the-team-1", "key-of-the-team-2"].map(|key| json!({"key": key, "name": "team"}));
    let platforms = json!([platform.entry(&["key-1"])]);
    let proxy = Proxy::with_keys(json!({}), &json!(team), &platforms);
    let ask_with = |key: &Value| {
        let key = key["key"].as_str().expect("a text");
        let head = format!("GET /test/v1/x HTTP/1.1\r\nAuthorization: Bearer {key}");
        assert_eq!(proxy.answer(&head).status, 200);
    };
    team.iter().for_each(ask_with);
    proxy.write("key.json", &json!([team[1]]).to_string());
    proxy.signal("HUP");
    proxy.log().await_line("new configuration is in force");
    ask_with(&team[1]);
    let metrics = proxy.answer("GET /metrics HTTP/1.1");
    assert!(
        metrics
            .text()
            .contains("client=\"team\",class=\"2xx\"} 3\n"),
        "{}",
        metrics.text()
    );
}

#[test]
fn whose_body_may_come_or_not_is_answered_for_the_last_time() {
    let proxy = Proxy::start(&demo());
    for path in ["/info", "/health", "/events"] {
        let mut client = proxy.connect();
        client.send(format!(
            "HEAD {path} HTTP/1.1\r\nHost: p\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        ));
        let answer = client.answer_to("HEAD");
        assert_eq!(
            (answer.status, answer.field("connection")),
            (200, Some("close")),
            "{path}"
        );
    }
}

#[test]
fn a_refused_head_keeps_the_clients_id_and_can_be_read_by_its_script() {
    let proxy = Proxy::start(&demo());
    let many = "a: b\r\n".repeat(98);
    for (line, fields, status) in [
        ("POST /demo/x HTTP/1.1", "Expect: cake\r\n", 417),
        (
            "POST /demo/x HTTP/1.1",
            "Transfer-Encoding: gzip, chunked\r\n",
            501,
        ),
        ("POST /demo/x HTTP/1.1", "Content-Length: x\r\n", 400),
        ("POST /demo/x HTTP/1.1", &many, 431),
        ("POST demo HTTP/1.1", "", 400),
    ] {
        let mut client = proxy.connect();
        client.send(format!(
            "{line}\r\nHost: p\r\nX-Request-Id: mine\r\nOrigin: http://a\r\n{fields}\r\n"
        ));
        let answer = client.answer();
        let told = ["x-request-id", "access-control-allow-origin"].map(|name| answer.field(name));
        assert_eq!(
            (answer.status, told),
            (status, [Some("mine"), Some("*")]),
            "{line} {fields}"
        );
    }
}
