//! The program's own paths: which there are, who may see them, and what the simple ones answer.

use serde_json::{Map, Value, json};

use super::reply::Reply;
use crate::base::now::Now;
use crate::config::Settings;
use crate::policy::keyring::{KeyState, Keyring};
use crate::site::{Route, Site};

/// One of the program's own paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    Home,
    Info,
    Routes,
    HealthQuick,
    Dashboard,
    /// A file below `/static/`.
    Static(&'static Asset),
    /// Below one of the program's paths, but nothing is there.
    Nothing,
}

/// A file in the binary.
#[derive(Debug, PartialEq, Eq)]
pub struct Asset {
    pub path: &'static str,
    pub content_type: &'static str,
    pub bytes: &'static [u8],
}

/// The first segments that belong to the program itself; no platform may have such a name.
const OWN_SEGMENTS: [&str; 8] = [
    "info",
    "routes",
    "health",
    "stats",
    "events",
    "metrics",
    "dashboard",
    "static",
];

const ASSETS: [Asset; 1] = [Asset {
    path: "/dashboard",
    content_type: "text/html; charset=utf-8",
    bytes: include_bytes!("../../static/index.html"),
}];

/// What pages show.
pub struct View<'v> {
    pub site: &'v Site,
    pub keyring: &'v Keyring,
    pub config_error: Option<&'v str>,
    pub started: Now,
    pub now: Now,
}

/// The page at `path`, if it is one of the program's own.
pub fn find(path: &str) -> Option<Page> {
    let page = match path {
        "/" => Page::Home,
        "/info" => Page::Info,
        "/routes" => Page::Routes,
        "/health/quick" => Page::HealthQuick,
        "/dashboard" => Page::Dashboard,
        _ => {
            let first = path.split('/').nth(1).unwrap_or_default();
            if !OWN_SEGMENTS.contains(&first) {
                return None;
            }
            let asset = ASSETS
                .iter()
                .find(|asset| asset.path == path && first == "static");
            asset.map_or(Page::Nothing, Page::Static)
        }
    };
    Some(page)
}

impl Page {
    /// The setting that switches it off, if one does.
    pub fn switched_off_by(self, settings: &Settings) -> Option<&'static str> {
        match self {
            Page::Home | Page::Nothing => None,
            Page::Info | Page::Routes | Page::HealthQuick => {
                (!settings.enable_json).then_some("enable_json")
            }
            Page::Dashboard | Page::Static(_) => (!settings.enable_gui).then_some("enable_gui"),
        }
    }

    /// Whether it shows what only the operator may see.
    pub fn is_private(self) -> bool {
        match self {
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

/// The answer of a page; none when nothing is there.
pub fn reply(page: Page, view: &View<'_>) -> Option<Reply> {
    match page {
        Page::Home if view.site.settings.enable_gui => {
            Some(Reply::empty_body(302).with("location", "/dashboard"))
        }
        Page::Home | Page::Info => Some(Reply::json(200, &info(view))),
        Page::Routes => Some(Reply::json(
            200,
            &json!({"available_endpoints": patterns(view.site)}),
        )),
        Page::HealthQuick => Some(Reply::json(200, &health_quick(view))),
        Page::Dashboard => Some(asset(&ASSETS[0])),
        Page::Static(file) => Some(asset(file)),
        Page::Nothing => None,
    }
}

/// The enabled platforms' routes in words, for errors.
pub fn route_list(site: &Site) -> String {
    let patterns: Vec<String> = enabled(site).map(Route::pattern).collect();
    match patterns.is_empty() {
        true => "no platform; enable one in platform.json".to_string(),
        false => patterns.join(", "),
    }
}

fn asset(file: &'static Asset) -> Reply {
    Reply::whole(200, file.content_type, file.bytes)
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
        endpoints.insert(name.to_string(), path.into());
    }
    json!({
        "service": "ai-api-proxy",
        "status": "Running",
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": view.now.instant.duration_since(view.started.instant).as_secs(),
        "enabled_platforms": enabled(view.site).map(|route| route.platform.name.as_str()).collect::<Vec<_>>(),
        "endpoints": endpoints,
        "features": [
            "key rotation", "failover", "rate-limit cooling", "client keys with limits", "streaming", "dashboard",
        ],
        "config_error": view.config_error,
    })
}

/// What the states of a platform's keys add up to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub total: usize,
    pub healthy: usize,
    pub cooling: usize,
    pub unhealthy: usize,
}

impl Tally {
    /// Counts the keys of `route`.
    pub fn of(route: &Route, keyring: &Keyring, now: Now) -> Tally {
        let mut tally = Tally::default();
        for key in keyring.views(route.id, now) {
            tally.total += 1;
            match key.state {
                KeyState::Unknown | KeyState::Healthy => tally.healthy += 1,
                KeyState::Cooling { .. } => tally.cooling += 1,
                KeyState::Unhealthy => tally.unhealthy += 1,
            }
        }
        tally
    }

    /// The platform's status.
    pub fn status(&self, route: &Route) -> &'static str {
        match (route.platform.enabled, self.total, self.healthy) {
            (false, ..) => "disabled",
            (true, 0, _) => "no_keys",
            (true, total, healthy) if total == healthy => "healthy",
            (true, _, 0) => "unhealthy",
            (true, ..) => "degraded",
        }
    }
}

/// The overall status of some platforms' statuses: disabled ones do not count.
pub fn overall<'s>(statuses: impl Iterator<Item = &'s str>) -> &'static str {
    let mut overall = "healthy";
    for status in statuses {
        match status {
            "disabled" | "healthy" => {}
            "unhealthy" | "no_keys" => return "unhealthy",
            _ => overall = "degraded",
        }
    }
    overall
}

fn health_quick(view: &View<'_>) -> Value {
    let mut platforms = Map::new();
    let mut statuses = Vec::new();
    for route in &view.site.routes {
        let tally = Tally::of(route, view.keyring, view.now);
        let status = tally.status(route);
        statuses.push(status);
        platforms.insert(
            route.platform.name.clone(),
            json!({
                "display_name": route.platform.display_name,
                "status": status,
                "total_keys": tally.total,
                "healthy_keys": tally.healthy,
                "unhealthy_keys": tally.unhealthy,
                "base_url": route.platform.base_url,
            }),
        );
    }
    json!({
        "timestamp": timestamp(view.now.unix_ms),
        "status": overall(statuses.into_iter()),
        "message": "States of the keys as last seen; GET /health probes each of them.",
        "platforms": platforms,
    })
}

/// RFC 3339, UTC, milliseconds.
pub fn timestamp(unix_ms: u64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(unix_ms);
    humantime::format_rfc3339_millis(time).to_string()
}
