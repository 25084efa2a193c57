//! For tests of pages: a proxy of which everything that they show is known.

use std::time::Duration;

use crate::base::ids::RequestId;
use crate::base::testing::at;
use crate::base::text::Model;
use crate::exchange::core::Core;
use crate::exchange::testing::core_of;
use crate::figures::counts::{Class, ErrorKind};
use crate::figures::recent::{Method, Path};
use crate::figures::{Client, Figures, Finished};
use crate::policy::access::Spent;
use crate::policy::digest::Digest;
use crate::policy::keyring::{KeyId, Outcome};
use crate::policy::testing::secrets;

use super::view::{Connections, View};

/// A name that needs escapes.
pub const TEAM: &str = "team \"a\\b\"\n";

const KEYS: [&str; 3] = ["sk-gone", "sk-a-0123456789-wxyz", "sk-b-0123456789-wxyz"];

/// 2023-11-14T22:13:20Z.
const BEGUN_UNIX_MS: u64 = 1_700_000_000_000;

/// How long the proxy has been running.
const UPTIME: Duration = Duration::from_millis(61_900);

/// A platform with a key that has gone, one that cools and one that was never used; a disabled platform; and a client
/// that has used more than it may by now. There has been one request, as [`request`] says.
pub fn busy() -> Core {
    let [gone, cooling, unused] = KEYS;
    let platforms = format!(
        r#"[{{"name": "open", "display_name": "Open <AI>", "keys": ["{gone}", "{cooling}", "{unused}"],
              "base_url": "http://open.example"}},
            {{"name": "off", "display_name": "Off", "enabled": false, "base_url": "http://off.example"}}]"#
    );
    let clients = format!(r#"[{{"key": "client-key", "name": {TEAM:?}, "daily_limit": 100}}]"#);
    let mut core = core_of("{}", &platforms, &clients);
    core.started = at(BEGUN_UNIX_MS + 10_000 - UPTIME.as_millis() as u64);
    let now = core.started.after(UPTIME);
    let platform = core.site.routes[0].id;
    for key in [0, 0, 0, 1, 1] {
        let permit = core.keyring.pick(platform, &[KeyId(key)], &[], now);
        // Its request stays in flight.
        std::mem::forget(permit);
    }
    let permit = core.keyring.permit(KeyId(1), now);
    let wait = Some(Duration::from_secs(5));
    let limited = Outcome::RateLimited { wait };
    core.keyring.learn(&permit, limited, now);
    permit.release();
    let keys = secrets(&KEYS[1..]);
    core.keyring.reload(&[("open", &keys), ("off", &[])]);
    let (day, hour) = (now.unix_seconds() / 86_400, now.unix_seconds() / 3_600);
    let spent = Spent {
        client: Digest::of(b"client-key"),
        unix_ms: now.unix_ms,
        hour: hour as u32,
        hour_used: 1,
        day: day as u32,
        day_used: 101,
    };
    core.clients.restore(&spent, now);
    core.connections = Connections {
        clients: 4,
        upstreams: 3,
        idle_upstreams: 2,
        max: 1000,
    };
    core.figures.finish(request());
    core.figures.retry(0, 0, ErrorKind::RateLimited);
    core.figures.refused("cooldown");
    core
}

/// What pages show of `core`.
pub fn view(core: &mut Core) -> View<'_> {
    View {
        retry_memory_bytes: 512,
        ..core.view(core.started.after(UPTIME))
    }
}

/// A proxy without platforms and clients, which has these figures all the same.
pub fn bare(figures: Figures) -> Core {
    let mut core = core_of("{}", "[]", "[]");
    core.figures = figures;
    core
}

/// A request that was tried twice.
pub fn request() -> Finished {
    Finished {
        platform: 0,
        key: Some(1),
        client: Some(Client {
            id: 0,
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
        started_unix_ms: BEGUN_UNIX_MS + 7,
    }
}
