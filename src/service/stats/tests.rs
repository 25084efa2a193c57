//! The exact answer, and what it says where something is not known.

use serde_json::{Value, json};

use super::*;
use crate::figures::Figures;
use crate::service::testing::{bare, busy, view};

fn counts_json(head: Value, tail: Value, requests: u64) -> Value {
    let mut whole = head;
    let quantiles = |p50: f64, p95: f64, p99: f64| json!({"p50": p50, "p95": p95, "p99": p99});
    let nothing = json!({"p50": null, "p95": null, "p99": null});
    let counts = json!({
        "requests": requests,
        "errors": {"client": 0, "rate_limited": requests, "auth": 0, "server": 0, "network": 0, "timeout": 0, "canceled": 0},
        "bytes_in": 10 * requests, "bytes_out": 20 * requests, "tokens_in": 5 * requests, "tokens_out": 0,
        "first_byte_ms": if requests == 0 { nothing } else { quantiles(1.2, 1.3, 1.3) },
    });
    for part in [counts, tail] {
        let fields = part.as_object().expect("an object").clone();
        whole.as_object_mut().expect("an object").extend(fields);
    }
    whole
}

#[test]
fn the_whole_answer() {
    let cooling = counts_json(
        json!({
            "key_id": "eeae250357bc", "key_preview": "sk-a…wxyz", "status": "cooling", "error": "429: rate-limited",
            "last_check": "2023-11-14T22:13:30.000Z", "last_used": "2023-11-14T22:13:30.000Z",
            "cooling_until": "2023-11-14T22:13:35.000Z", "in_flight": 2,
        }),
        json!({}),
        1,
    );
    let unused = counts_json(
        json!({
            "key_id": "d6eb5b079628", "key_preview": "sk-b…wxyz", "status": "unknown", "error": null,
            "last_check": null, "last_used": null, "cooling_until": null, "in_flight": 0,
        }),
        json!({}),
        0,
    );
    let want = json!({
        "timestamp": "2023-11-14T22:13:30.000Z",
        "uptime_seconds": 61,
        "totals": counts_json(json!({}), json!({}), 1),
        "connections": {"clients": 4, "upstreams": 3, "idle_upstreams": 2, "max": 1000},
        "retry_memory_bytes": 512,
        "platforms": {
            "open": counts_json(json!({"display_name": "Open <AI>", "status": "degraded"}), json!({"keys": [cooling, unused]}), 1),
            "off": counts_json(json!({"display_name": "Off", "status": "disabled"}), json!({"keys": []}), 0),
        },
        "clients": [counts_json(
            json!({"name": "team \"a\\b\"\n", "key_id": "8eb943e7040b", "is_root": false}),
            json!({
                "day": {"limit": 100, "used": 101, "left": 0, "resets_at": "2023-11-15T00:00:00.000Z"},
                "hour": {"limit": 0, "used": 1, "left": null, "resets_at": "2023-11-14T23:00:00.000Z"},
                "cooldown_until": null,
            }),
            1,
        )],
        "recent": [{
            "time": "2023-11-14T22:13:20.007Z", "request_id": "r-1", "client": "team \"a\\b\"\n", "platform": "open",
            "key_id": "eeae250357bc", "method": "POST", "path": "/open/v1/chat/completions", "model": "gpt-4o",
            "status": 429, "code": "keys_rate_limited", "tries": 2, "first_byte_ms": 1.2, "total_ms": 2500.0,
            "bytes_in": 10, "bytes_out": 20, "tokens_in": 5, "tokens_out": null,
        }],
    });
    let json: Value = serde_json::from_str(&render(&view(&mut busy()))).expect("JSON");
    assert_eq!(json, want);
}

#[test]
fn names_that_are_gone_are_null() {
    let mut core = bare(busy().figures);
    let stats: Value = serde_json::from_str(&render(&view(&mut core))).expect("JSON");
    for field in ["client", "platform", "key_id"] {
        assert_eq!(stats["recent"][0][field], Value::Null, "{field}");
    }
    assert_eq!(stats["platforms"], json!({}));
}

#[test]
fn is_one_line_at_first_too() {
    let mut core = busy();
    core.figures = Figures::default();
    let text = render(&view(&mut core));
    assert!(!text.contains('\n'));
    assert!(text.ends_with("\"recent\":[]}"), "{text}");
}

#[test]
fn times() {
    let rows = [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_700_000_000_007, "2023-11-14T22:13:20.007Z"),
        (u64::MAX, "9999-12-31T23:59:59.999Z"),
    ];
    for (unix_ms, want) in rows {
        assert_eq!(timestamp(unix_ms), want);
    }
    for (microseconds, want) in [
        (0, 0.0),
        (40, 0.0),
        (50, 0.1),
        (1_234, 1.2),
        (600_000_000, 600_000.0),
    ] {
        assert_eq!(
            milliseconds(Duration::from_micros(microseconds)),
            want,
            "{microseconds}"
        );
    }
}
