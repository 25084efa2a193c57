//! The JSON of `/stats`, and of the `stats` event of `/events`. It knows neither who asks nor the source of its
//! figures.

use std::collections::HashMap;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use super::view::{Connections, Tally, View};
use crate::figures::Finished;
use crate::figures::counts::{Counts, ErrorKind, Errors};
use crate::policy::access::{ClientId, WindowUsage};
use crate::policy::keyring::{KeyState, KeyView};
use crate::site::Route;

/// The whole answer in one line, so that it can stand in a `data:` field as it is.
pub fn render(view: &View<'_>) -> String {
    serde_json::to_string(&Stats::of(view)).expect("plain data with text keys is always JSON")
}

#[derive(Serialize)]
struct Stats<'v> {
    timestamp: String,
    uptime_seconds: u64,
    totals: CountsJson,
    connections: Connections,
    retry_memory_bytes: u64,
    #[serde(serialize_with = "as_object")]
    platforms: Vec<(&'v str, PlatformJson<'v>)>,
    clients: Vec<ClientJson<'v>>,
    recent: Vec<RequestJson<'v>>,
}

#[derive(Serialize)]
struct CountsJson {
    requests: u64,
    #[serde(serialize_with = "by_kind")]
    errors: Errors,
    bytes_in: u64,
    bytes_out: u64,
    tokens_in: u64,
    tokens_out: u64,
    first_byte_ms: QuantilesJson,
}

#[derive(Serialize)]
struct QuantilesJson {
    p50: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
}

#[derive(Serialize)]
struct PlatformJson<'v> {
    display_name: &'v str,
    status: &'static str,
    #[serde(flatten)]
    counts: CountsJson,
    keys: Vec<KeyJson<'v>>,
}

#[derive(Serialize)]
struct KeyJson<'v> {
    key_id: &'v str,
    key_preview: &'v str,
    status: &'static str,
    error: Option<&'v str>,
    last_check: Option<String>,
    last_used: Option<String>,
    cooling_until: Option<String>,
    in_flight: u32,
    #[serde(flatten)]
    counts: CountsJson,
}

#[derive(Serialize)]
struct ClientJson<'v> {
    name: Option<&'v str>,
    key_id: &'v str,
    is_root: bool,
    #[serde(flatten)]
    counts: CountsJson,
    day: WindowJson,
    hour: WindowJson,
    cooldown_until: Option<String>,
}

#[derive(Serialize)]
struct WindowJson {
    limit: u64,
    used: u64,
    left: Option<u64>,
    resets_at: String,
}

#[derive(Serialize)]
struct RequestJson<'v> {
    time: String,
    request_id: &'v str,
    client: Option<&'v str>,
    platform: Option<&'v str>,
    key_id: Option<&'v str>,
    method: &'v str,
    path: &'v str,
    model: Option<&'v str>,
    status: Option<u16>,
    code: Option<&'static str>,
    tries: u32,
    first_byte_ms: Option<f64>,
    total_ms: f64,
    bytes_in: u64,
    bytes_out: u64,
    tokens_in: Option<u64>,
    tokens_out: Option<u64>,
}

/// The names of what figures refer to by id.
pub struct Names<'v> {
    pub platforms: HashMap<u32, &'v str>,
    pub keys: HashMap<u32, &'v str>,
    clients: HashMap<u32, &'v str>,
}

impl<'v> Stats<'v> {
    fn of(view: &'v View<'_>) -> Stats<'v> {
        let names = Names::of(view);
        let routes = view.site.routes.iter();
        let requests = view.figures.recent().newest_first();
        Stats {
            timestamp: timestamp(view.now.unix_ms),
            uptime_seconds: view.uptime().as_secs(),
            totals: CountsJson::of(view.figures.totals()),
            connections: view.connections,
            retry_memory_bytes: view.retry_memory_bytes,
            platforms: routes
                .map(|route| (&*route.platform.name, PlatformJson::of(route, view)))
                .collect(),
            clients: view
                .clients
                .ids()
                .map(|id| ClientJson::of(id, view))
                .collect(),
            recent: requests
                .map(|request| RequestJson::of(request, &names))
                .collect(),
        }
    }
}

impl CountsJson {
    fn of(counts: &Counts) -> CountsJson {
        let quantile = |share| counts.first_byte.quantile(share).map(milliseconds);
        CountsJson {
            requests: counts.requests,
            errors: counts.errors.clone(),
            bytes_in: counts.bytes_in,
            bytes_out: counts.bytes_out,
            tokens_in: counts.tokens_in,
            tokens_out: counts.tokens_out,
            first_byte_ms: QuantilesJson {
                p50: quantile(0.5),
                p95: quantile(0.95),
                p99: quantile(0.99),
            },
        }
    }

    /// Zeros where nothing was counted yet.
    fn of_some(counts: Option<&Counts>) -> CountsJson {
        counts.map_or_else(|| CountsJson::of(&Counts::default()), CountsJson::of)
    }
}

fn by_kind<S: Serializer>(errors: &Errors, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(ErrorKind::ALL.map(|kind| (kind.label(), errors.of(kind))))
}

impl<'v> PlatformJson<'v> {
    fn of(route: &'v Route, view: &'v View<'_>) -> PlatformJson<'v> {
        let figures = view.figures.platform(route.id.0);
        let keys = view.keyring.views(route.id, view.now);
        PlatformJson {
            display_name: &route.platform.display_name,
            status: Tally::of(route, view).status(route).label(),
            counts: CountsJson::of_some(figures.map(|figures| &figures.counts)),
            keys: keys.map(|key| KeyJson::of(&key, view)).collect(),
        }
    }
}

impl<'v> KeyJson<'v> {
    fn of(key: &KeyView<'v>, view: &View<'_>) -> KeyJson<'v> {
        let cooling_until = match key.state {
            KeyState::Cooling { until_unix_ms } => Some(timestamp(until_unix_ms)),
            KeyState::Unknown | KeyState::Healthy | KeyState::Unhealthy => None,
        };
        KeyJson {
            key_id: key.label.as_str(),
            key_preview: key.preview,
            status: key.state.label(),
            error: key.error,
            last_check: key.last_check_unix_ms.map(timestamp),
            last_used: key.last_used_unix_ms.map(timestamp),
            cooling_until,
            in_flight: key.in_flight,
            counts: CountsJson::of_some(view.figures.key(key.id.0)),
        }
    }
}

impl<'v> ClientJson<'v> {
    fn of(id: ClientId, view: &'v View<'_>) -> ClientJson<'v> {
        let usage = view.clients.usage(id, view.now);
        ClientJson {
            name: view.clients.name(id),
            key_id: view.clients.key_label(id).as_str(),
            is_root: view.clients.is_root(id),
            counts: CountsJson::of_some(view.figures.client(id.0)),
            day: WindowJson::of(usage.day),
            hour: WindowJson::of(usage.hour),
            cooldown_until: usage.cooldown_until_unix_ms.map(timestamp),
        }
    }
}

impl WindowJson {
    fn of(window: WindowUsage) -> WindowJson {
        WindowJson {
            limit: window.limit,
            used: window.used,
            // A limit that was lowered by a reload may already be exceeded.
            left: (window.limit > 0).then(|| window.limit.saturating_sub(window.used)),
            resets_at: timestamp(window.resets_at_unix_seconds.saturating_mul(1000)),
        }
    }
}

impl<'v> RequestJson<'v> {
    fn of(request: &'v Finished, names: &Names<'v>) -> RequestJson<'v> {
        let name = |id: Option<u32>, names: &HashMap<u32, &'v str>| {
            id.and_then(|id| names.get(&id).copied())
        };
        RequestJson {
            time: timestamp(request.started_unix_ms),
            request_id: request.request_id.as_str(),
            client: name(
                request.client.as_ref().map(|client| client.id),
                &names.clients,
            ),
            platform: names.platforms.get(&request.platform).copied(),
            key_id: name(request.key, &names.keys),
            method: request.method.as_str(),
            path: request.path.as_str(),
            model: (!request.model.is_empty()).then_some(request.model.as_str()),
            status: request.status,
            code: request.code,
            tries: request.tries,
            first_byte_ms: request.first_byte.map(milliseconds),
            total_ms: milliseconds(request.total),
            bytes_in: request.bytes_in,
            bytes_out: request.bytes_out,
            tokens_in: request.tokens_in,
            tokens_out: request.tokens_out,
        }
    }
}

impl<'v> Names<'v> {
    pub fn of(view: &'v View<'_>) -> Names<'v> {
        let routes = &view.site.routes;
        let keys = routes
            .iter()
            .flat_map(|route| view.keyring.views(route.id, view.now));
        let clients = view.clients.ids();
        Names {
            platforms: routes
                .iter()
                .map(|route| (route.id.0, &*route.platform.name))
                .collect(),
            keys: keys.map(|key| (key.id.0, key.label.as_str())).collect(),
            clients: clients
                .map(|id| (id.0, &**view.clients.label(id)))
                .collect(),
        }
    }
}

fn as_object<S: Serializer>(
    rows: &[(&str, PlatformJson)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(rows.iter().map(|(name, row)| (name, row)))
}

/// RFC 3339 in UTC with milliseconds.
pub fn timestamp(unix_ms: u64) -> String {
    /// The last time that RFC 3339 can express: 9999-12-31T23:59:59.999Z.
    const UNIX_MS_MAX: u64 = 253_402_300_799_999;
    let time = UNIX_EPOCH + Duration::from_millis(unix_ms.min(UNIX_MS_MAX));
    humantime::format_rfc3339_millis(time).to_string()
}

/// With one decimal: answers of a nearby platform take less than one millisecond.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

#[cfg(test)]
mod tests;
