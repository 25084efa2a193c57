//! What `/health` and `/health/quick` answer.

use serde_json::{Map, Value, json};

use super::stats::timestamp;
use super::view::{PlatformStatus, Tally, View, overall};
use crate::policy::keyring::{KeyState, KeyView};
use crate::site::Route;

/// `/health/quick`: the states as they are known, without a probe.
pub fn quick(view: &View<'_>) -> Value {
    let survey = Survey::of(view, platform);
    let status = overall(&survey.statuses);
    json!({
        "timestamp": timestamp(view.now.unix_ms),
        "status": status.label(),
        "message": message(status, survey.keys),
        "platforms": survey.platforms,
    })
}

/// `/health`: the states after a round of probes.
pub fn full(view: &View<'_>) -> Value {
    let survey = Survey::of(view, |route, tally| with_keys(view, route, tally));
    let status = overall(&survey.statuses);
    let healthy = |status: &&PlatformStatus| **status == PlatformStatus::Healthy;
    json!({
        "timestamp": timestamp(view.now.unix_ms),
        "overall_status": status.label(),
        "message": message(status, survey.keys),
        "platforms": survey.platforms,
        "summary": {
            "total_platforms": survey.statuses.len(),
            "healthy_platforms": survey.statuses.iter().filter(healthy).count(),
            "total_keys": survey.keys.total,
            "healthy_keys": survey.keys.healthy,
        },
    })
}

/// All platforms as a page shows them, and what counts of them: the enabled ones.
struct Survey {
    platforms: Map<String, Value>,
    statuses: Vec<PlatformStatus>,
    keys: Tally,
}

impl Survey {
    fn of(view: &View<'_>, show: impl Fn(&Route, Tally) -> Value) -> Survey {
        let mut survey = Survey {
            platforms: Map::new(),
            statuses: Vec::new(),
            keys: Tally::default(),
        };
        for route in &view.site.routes {
            let tally = Tally::of(route, view);
            if route.platform.enabled {
                survey.statuses.push(tally.status(route));
                survey.keys.add(tally);
            }
            let name = route.platform.name.clone();
            survey.platforms.insert(name, show(route, tally));
        }
        survey
    }
}

/// What both pages show of a platform.
fn platform(route: &Route, tally: Tally) -> Value {
    json!({
        "display_name": route.platform.display_name,
        "status": tally.status(route).label(),
        "base_url": route.platform.base_url,
        "total_keys": tally.total,
        "healthy_keys": tally.healthy,
        "unhealthy_keys": tally.unhealthy,
    })
}

fn with_keys(view: &View<'_>, route: &Route, tally: Tally) -> Value {
    let keys: Vec<KeyView<'_>> = view.keyring.views(route.id, view.now).collect();
    let previews = |wanted: fn(&KeyState) -> bool| -> Value {
        let found = keys.iter().filter(|key| wanted(&key.state));
        found.map(|key| key.preview).collect()
    };
    let mut shown = platform(route, tally);
    shown["health_endpoint"] = route.platform.health_path.as_str().into();
    shown["healthy_key_list"] =
        previews(|state| matches!(state, KeyState::Healthy | KeyState::Unknown));
    shown["unhealthy_key_list"] = previews(|state| matches!(state, KeyState::Unhealthy));
    shown["keys"] = keys.iter().map(key).collect();
    shown
}

fn key(key: &KeyView<'_>) -> Value {
    json!({
        "key_id": key.label.as_str(),
        "key_preview": key.preview,
        "status": key.state.label(),
        "last_check": key.last_check_unix_ms.map(timestamp),
        "response_time_ms": key.probe_ms,
        "error": key.error,
    })
}

/// A missing answer says nothing about a key, so an outage alone makes no platform unhealthy; it is told all the same.
fn message(status: PlatformStatus, summary: Tally) -> String {
    let keys = match status {
        PlatformStatus::Degraded => "Some keys cannot be used at present.",
        PlatformStatus::Unhealthy | PlatformStatus::NoKeys => "Some platform has no usable key.",
        PlatformStatus::Healthy | PlatformStatus::Disabled => {
            "All keys of the enabled platforms may be used."
        }
    };
    match summary.failing {
        0 => keys.to_string(),
        count => format!(
            "{keys} The last try with {count} of the usable ones failed: see `error` in /health."
        ),
    }
}
