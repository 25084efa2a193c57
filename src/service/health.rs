//! What `/health` and `/health/quick` answer.

use serde_json::{Map, Value, json};

use super::gather::{Tally, View, overall};
use super::stats::timestamp;
use super::view::PlatformStatus;
use crate::policy::keyring::{KeyState, KeyView};
use crate::site::Route;

/// `/health/quick`: the states as they are known, without a probe.
pub fn quick(view: &View<'_>) -> Value {
    let mut platforms = Map::new();
    let mut statuses = Vec::new();
    let mut summary = Tally::default();
    for route in &view.site.routes {
        let tally = Tally::of(route, view.keyring, view.now);
        statuses.push(tally.status(route));
        summary.add(route, tally);
        platforms.insert(
            route.platform.name.clone(),
            json!({
                "display_name": route.platform.display_name,
                "status": tally.status(route).label(),
                "total_keys": tally.total,
                "healthy_keys": tally.healthy,
                "unhealthy_keys": tally.unhealthy,
                "base_url": route.platform.base_url,
            }),
        );
    }
    let status = overall(statuses.into_iter());
    json!({
        "timestamp": timestamp(view.now.unix_ms),
        "status": status.label(),
        "message": message(status, summary),
        "platforms": platforms,
    })
}

/// `/health`: the states after a round of probes.
pub fn full(view: &View<'_>) -> Value {
    let mut platforms = Map::new();
    let mut statuses = Vec::new();
    let mut summary = Tally::default();
    for route in &view.site.routes {
        let tally = Tally::of(route, view.keyring, view.now);
        let status = tally.status(route);
        if status != PlatformStatus::Disabled {
            statuses.push(status);
        }
        summary.add(route, tally);
        platforms.insert(route.platform.name.clone(), platform(view, route, tally));
    }
    let status = overall(statuses.iter().copied());
    let healthy_platforms = statuses
        .iter()
        .filter(|status| **status == PlatformStatus::Healthy)
        .count();
    json!({
        "timestamp": timestamp(view.now.unix_ms),
        "overall_status": status.label(),
        "message": message(status, summary),
        "platforms": platforms,
        "summary": {
            "total_platforms": statuses.len(),
            "healthy_platforms": healthy_platforms,
            "total_keys": summary.total,
            "healthy_keys": summary.healthy,
        },
    })
}

fn platform(view: &View<'_>, route: &Route, tally: Tally) -> Value {
    let keys: Vec<KeyView<'_>> = view.keyring.views(route.id, view.now).collect();
    let previews = |wanted: fn(&KeyState) -> bool| -> Vec<&str> {
        let found = keys.iter().filter(|key| wanted(&key.state));
        found.map(|key| key.preview).collect()
    };
    json!({
        "display_name": route.platform.display_name,
        "status": tally.status(route).label(),
        "base_url": route.platform.base_url,
        "health_endpoint": route.platform.health_path,
        "total_keys": tally.total,
        "healthy_keys": tally.healthy,
        "unhealthy_keys": tally.unhealthy,
        "healthy_key_list": previews(|state| matches!(state, KeyState::Healthy | KeyState::Unknown)),
        "unhealthy_key_list": previews(|state| matches!(state, KeyState::Unhealthy)),
        "keys": keys.iter().map(key).collect::<Vec<_>>(),
    })
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
