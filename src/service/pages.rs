//! The program's own paths: which exist, who may see them, and what they answer.

use serde_json::{Map, Value, json};

use super::assets::{self, Asset, Preferences};
use super::process::{ProcTexts, Process};
use super::reply::{Content, Reply};
use super::view::View;
use super::{health, metrics, stats};
use crate::config::Settings;
use crate::config::platforms::OWN_SEGMENTS;
use crate::site::{Route, Site};

/// The feature that tells the dashboard that the keys of `key.json` open something.
const CLIENT_KEYS: &str = "client keys with limits";

/// One of the program's own paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    Home,
    Info,
    Routes,
    /// The states as currently known.
    HealthQuick,
    /// The states after a round of probes.
    Health,
    Stats,
    /// The same as a stream.
    Events,
    Metrics,
    Dashboard,
    /// Below `/static/`: a file, or nothing.
    Static(Option<&'static Asset>),
    /// Below another of the program's own paths, where there is no page.
    Nothing,
}

/// The part of `path` between its first and its second `/`.
pub fn first_segment(path: &str) -> &str {
    let below = path.strip_prefix('/').unwrap_or_default();
    let end = below.bytes().position(|byte| byte == b'/');
    &below[..end.unwrap_or(below.len())]
}

/// The page at `path`, if it is one of the program's own.
pub fn find(path: &str) -> Option<Page> {
    let page = match path {
        "/" => Page::Home,
        "/info" => Page::Info,
        "/routes" => Page::Routes,
        "/health/quick" => Page::HealthQuick,
        "/health" => Page::Health,
        "/stats" => Page::Stats,
        "/events" => Page::Events,
        "/metrics" => Page::Metrics,
        "/dashboard" => Page::Dashboard,
        _ => match path.strip_prefix("/static/") {
            Some(name) => Page::Static(assets::find(name)),
            None => {
                let is_own = OWN_SEGMENTS.contains(&first_segment(path));
                return is_own.then_some(Page::Nothing);
            }
        },
    };
    Some(page)
}

impl Page {
    /// The setting that switches it off, if one does.
    pub fn switched_off_by(self, settings: &Settings) -> Option<&'static str> {
        match self {
            // It redirects to the dashboard, or else answers as `/info` does.
            Page::Home => {
                let is_off = !settings.enable_gui && !settings.enable_json;
                is_off.then_some("enable_json")
            }
            Page::Nothing => None,
            Page::Info
            | Page::Routes
            | Page::HealthQuick
            | Page::Health
            | Page::Stats
            | Page::Events
            | Page::Metrics => (!settings.enable_json).then_some("enable_json"),
            Page::Dashboard | Page::Static(_) => (!settings.enable_gui).then_some("enable_gui"),
        }
    }

    /// Whether there is something at its path.
    pub fn exists(self) -> bool {
        match self {
            Page::Home
            | Page::Info
            | Page::Routes
            | Page::HealthQuick
            | Page::Health
            | Page::Stats
            | Page::Events
            | Page::Metrics
            | Page::Dashboard
            | Page::Static(Some(_)) => true,
            Page::Static(None) | Page::Nothing => false,
        }
    }

    /// Whether it shows what only the operator may see.
    pub fn is_private(self) -> bool {
        match self {
            Page::Health | Page::Stats | Page::Events | Page::Metrics => true,
            Page::Home
            | Page::Info
            | Page::Routes
            | Page::HealthQuick
            | Page::Dashboard
            | Page::Static(_)
            | Page::Nothing => false,
        }
    }
}

/// The answer of a page; none if there is no such page.
pub fn reply(page: Page, view: &View<'_>, preferences: Preferences<'_>) -> Option<Reply> {
    match page {
        Page::Home if view.site.settings.enable_gui => {
            Some(Reply::empty_body(302).with("location", "/dashboard"))
        }
        Page::Home | Page::Info => Some(Reply::json(200, &info(view))),
        Page::Routes => {
            let routes = json!({"available_endpoints": patterns(view.site)});
            Some(Reply::json(200, &routes))
        }
        Page::HealthQuick => Some(Reply::json(200, &health::quick(view))),
        Page::Health => Some(Reply::json(200, &health::full(view))),
        Page::Stats => {
            let text = stats::render(view);
            Some(
                Reply::whole(200, "application/json", text.into_bytes())
                    .with("cache-control", "no-store"),
            )
        }
        Page::Events => {
            let events = Reply {
                content: Content::Events,
                ..Reply::empty(200)
            };
            Some(
                events
                    .with("content-type", "text/event-stream")
                    .with("cache-control", "no-store")
                    // An nginx in front would otherwise hold events back.
                    .with("x-accel-buffering", "no"),
            )
        }
        Page::Metrics => {
            let text = metrics::render(view, &read_process());
            Some(Reply::whole(200, metrics::CONTENT_TYPE, text.into_bytes()))
        }
        Page::Dashboard => Some(assets::reply(assets::dashboard(), preferences)),
        Page::Static(asset) => asset.map(|asset| assets::reply(asset, preferences)),
        Page::Nothing => None,
    }
}

/// What the kernel reports about this process. `/proc` is held in memory: reading it does not wait for a disk.
fn read_process() -> Process {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    Process::read(&ProcTexts {
        stat: &read("/proc/self/stat"),
        status: &read("/proc/self/status"),
        limits: &read("/proc/self/limits"),
        system_stat: &read("/proc/stat"),
        open_fds: std::fs::read_dir("/proc/self/fd")
            .ok()
            .map(|entries| entries.count() as u64),
    })
}

/// The enabled platforms' routes in words, for errors.
pub fn route_list(site: &Site) -> String {
    let patterns: Vec<String> = enabled(site).map(Route::pattern).collect();
    match patterns.is_empty() {
        true => "no platform; enable one in platform.json".to_string(),
        false => patterns.join(", "),
    }
}

fn enabled(site: &Site) -> impl Iterator<Item = &Route> {
    site.routes.iter().filter(|route| route.platform.enabled)
}

fn patterns(site: &Site) -> Map<String, Value> {
    enabled(site)
        .map(|route| (route.platform.name.clone(), route.pattern().into()))
        .collect()
}

fn info(view: &View<'_>) -> Value {
    let mut endpoints = patterns(view.site);
    for (name, path) in [
        ("health_full", "/health"),
        ("health_quick", "/health/quick"),
        ("dashboard", "/dashboard"),
        ("routes", "/routes"),
        ("info", "/info"),
        ("metrics", "/metrics"),
        ("stats", "/stats"),
    ] {
        let hidden = endpoints.insert(name.to_string(), path.into());
        debug_assert!(hidden.is_none(), "no platform may have this name");
    }
    let names: Vec<&str> = enabled(view.site)
        .map(|route| route.platform.name.as_str())
        .collect();
    let mut features = vec![
        "key rotation",
        "failover",
        "rate-limit cooling",
        "health probes",
        "streaming",
        "token counting",
        "dashboard",
    ];
    if view.site.settings.enable_key_validation {
        features.push(CLIENT_KEYS);
    }
    json!({
        "service": "ai-api-proxy",
        "status": "Running",
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": view.uptime().as_secs(),
        "enabled_platforms": names,
        "endpoints": endpoints,
        "features": features,
        "config_error": view.config_error,
    })
}
