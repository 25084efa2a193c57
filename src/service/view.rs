//! What `/stats`, `/events` and `/metrics` show, collected by the caller from policy and figures at one moment. It is
//! plain data: nothing is computed or rendered here.

use std::time::Duration;

use serde::Serialize;

use crate::figures::Figures;
use crate::policy::access::Usage;
use crate::policy::digest::KeyLabel;
use crate::policy::keyring::KeyView;

#[derive(Clone, Debug)]
pub struct StatsView<'v> {
    pub unix_ms: u64,
    /// Since the process started.
    pub uptime: Duration,
    pub version: &'v str,
    pub connections: Connections,
    /// The total size of the request bodies that are kept for a retry.
    pub retry_memory_bytes: u64,
    /// In the order of the configuration, disabled ones included; so are the keys and the clients.
    pub platforms: Vec<PlatformRow<'v>>,
    pub clients: Vec<ClientRow<'v>>,
    pub figures: &'v Figures,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Connections {
    pub clients: u64,
    /// Those that are serving a request.
    pub upstreams: u64,
    /// Those that are waiting in the pool.
    pub idle_upstreams: u64,
    /// Most clients that may be connected.
    pub max: u64,
}

#[derive(Clone, Debug)]
pub struct PlatformRow<'v> {
    /// Its id in [`Figures`].
    pub id: u32,
    pub name: &'v str,
    pub display_name: &'v str,
    pub status: PlatformStatus,
    pub keys: Vec<KeyView<'v>>,
    /// Requests in flight with keys that are no longer configured.
    pub in_flight_leaving: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlatformStatus {
    Healthy,
    Degraded,
    Unhealthy,
    NoKeys,
    Disabled,
}

#[derive(Clone, Debug)]
pub struct ClientRow<'v> {
    /// Its id in [`Figures`].
    pub id: u32,
    pub name: Option<&'v str>,
    /// The client's name where a single text is needed.
    pub label: &'v str,
    pub key_label: KeyLabel,
    pub is_root: bool,
    pub usage: Usage,
}

impl PlatformStatus {
    pub fn label(self) -> &'static str {
        match self {
            PlatformStatus::Healthy => "healthy",
            PlatformStatus::Degraded => "degraded",
            PlatformStatus::Unhealthy => "unhealthy",
            PlatformStatus::NoKeys => "no_keys",
            PlatformStatus::Disabled => "disabled",
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::base::ids::RequestId;
    use crate::figures::counts::{Class, ErrorKind};
    use crate::figures::recent::{Method, Model, Path};
    use crate::figures::{Client, Finished};
    use crate::policy::access::WindowUsage;
    use crate::policy::digest::Digest;
    use crate::policy::keyring::{KeyId, KeyState};

    /// A name that needs escapes.
    pub const TEAM: &str = "team \"a\\b\"\n";

    /// 2023-11-14T22:13:20Z.
    pub const UNIX_SECONDS: u64 = 1_700_000_000;

    /// One request that was tried twice, first with a key that no longer exists, and one that was refused.
    pub fn figures() -> Figures {
        let mut figures = Figures::default();
        figures.finish(Finished {
            platform: 0,
            key: Some(7),
            client: Some(Client {
                id: 3,
                label: TEAM.into(),
            }),
            request_id: RequestId::new("r-1"),
            method: Method::new("POST"),
            path: Path::new("/open/v1/chat/completions"),
            model: Model::new("gpt-4o"),
            status: Some(429),
            code: Some("keys_rate_limited"),
            class: Class::ClientError,
            tries: 2,
            first_byte: Some(Duration::from_micros(1_234)),
            total: Duration::from_millis(2_500),
            bytes_in: 10,
            bytes_out: 20,
            tokens_in: Some(5),
            tokens_out: None,
            started_unix_ms: UNIX_SECONDS * 1000 + 7,
        });
        figures.retry(0, 6, ErrorKind::RateLimited);
        figures.refused("cooldown");
        figures
    }

    fn label(beginning: [u8; 6]) -> KeyLabel {
        let mut digest = [0; 32];
        digest[..6].copy_from_slice(&beginning);
        Digest::from_bytes(digest).label()
    }

    /// A platform with one key, a disabled one, and a client whose name needs escapes.
    pub fn view(figures: &Figures) -> StatsView<'_> {
        let unix_ms = UNIX_SECONDS * 1000 + 10_000;
        let key = KeyView {
            id: KeyId(7),
            label: label([0x00, 0x11, 0x22, 0x33, 0xaa, 0xbb]),
            preview: "sk-a…wxyz",
            state: KeyState::Cooling {
                until_unix_ms: unix_ms + 5_000,
            },
            error: Some("429: \"slow down\""),
            last_check_unix_ms: None,
            last_used_unix_ms: Some(unix_ms),
            probe_ms: None,
            in_flight: 2,
        };
        let platform = PlatformRow {
            id: 0,
            name: "open",
            display_name: "Open <AI>",
            status: PlatformStatus::Degraded,
            keys: vec![key],
            in_flight_leaving: 3,
        };
        let off = PlatformRow {
            id: 1,
            name: "off",
            display_name: "Off",
            status: PlatformStatus::Disabled,
            keys: Vec::new(),
            in_flight_leaving: 0,
        };
        let client = ClientRow {
            id: 3,
            name: Some(TEAM),
            label: TEAM,
            key_label: label([0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa]),
            is_root: false,
            usage: Usage {
                day: WindowUsage {
                    limit: 100,
                    used: 101,
                    resets_at_unix_seconds: UNIX_SECONDS + 6_400,
                },
                hour: WindowUsage {
                    limit: 0,
                    used: 1,
                    resets_at_unix_seconds: UNIX_SECONDS + 2_800,
                },
                cooldown_until_unix_ms: None,
            },
        };
        StatsView {
            unix_ms,
            uptime: Duration::from_millis(61_900),
            version: "0.1.0",
            connections: Connections {
                clients: 4,
                upstreams: 3,
                idle_upstreams: 2,
                max: 1000,
            },
            retry_memory_bytes: 512,
            platforms: vec![platform, off],
            clients: vec![client],
            figures,
        }
    }
}
