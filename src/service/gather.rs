//! Combines policy's states and the figures for the pages that show them.

use super::view::{ClientRow, Connections, PlatformRow, PlatformStatus, StatsView};
use crate::base::now::Now;
use crate::figures::Figures;
use crate::policy::access::Clients;
use crate::policy::keyring::{KeyState, Keyring};
use crate::site::{Route, Site};

/// Everything that the pages show, at one moment.
#[derive(Clone, Copy)]
pub struct View<'v> {
    pub site: &'v Site,
    pub clients: &'v Clients,
    pub keyring: &'v Keyring,
    pub figures: &'v Figures,
    /// The number of connections, as the server last counted them.
    pub connections: Connections,
    pub retry_memory_bytes: u64,
    /// Why the newest version of the configuration is not in force.
    pub config_error: Option<&'v str>,
    pub started: Now,
    pub now: Now,
}

impl<'v> View<'v> {
    /// The rows of `/stats`, `/events` and `/metrics`.
    pub fn stats(&self) -> StatsView<'v> {
        let routes = self.site.routes.iter();
        StatsView {
            unix_ms: self.now.unix_ms,
            uptime: self.now.instant.duration_since(self.started.instant),
            version: env!("CARGO_PKG_VERSION"),
            connections: self.connections,
            retry_memory_bytes: self.retry_memory_bytes,
            clients: self.clients.ids().map(|id| self.client(id)).collect(),
            platforms: routes.map(|route| self.platform(route)).collect(),
            figures: self.figures,
        }
    }

    fn platform(&self, route: &'v Route) -> PlatformRow<'v> {
        PlatformRow {
            id: route.id.0,
            name: &route.platform.name,
            display_name: &route.platform.display_name,
            status: Tally::of(route, self.keyring, self.now).status(route),
            keys: self.keyring.views(route.id, self.now).collect(),
            in_flight_leaving: self.keyring.in_flight_leaving(route.id).into(),
        }
    }

    fn client(&self, id: crate::policy::access::ClientId) -> ClientRow<'v> {
        ClientRow {
            id: id.0,
            name: self.clients.name(id),
            label: self.clients.label(id),
            key_label: self.clients.key_label(id),
            is_root: self.clients.is_root(id),
            usage: self.clients.usage(id, self.now),
        }
    }
}

/// What the states of a platform's keys add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub total: usize,
    /// `healthy` and `unknown` ones.
    pub healthy: usize,
    pub unhealthy: usize,
    /// `healthy` and `unknown` ones whose last try or probe failed all the same.
    pub failing: usize,
}

impl Tally {
    pub fn of(route: &Route, keyring: &Keyring, now: Now) -> Tally {
        let mut tally = Tally::default();
        for key in keyring.views(route.id, now) {
            tally.total += 1;
            match key.state {
                KeyState::Unknown | KeyState::Healthy => {
                    tally.healthy += 1;
                    tally.failing += usize::from(key.error.is_some());
                }
                KeyState::Cooling { .. } => {}
                KeyState::Unhealthy => tally.unhealthy += 1,
            }
        }
        tally
    }

    pub fn add(&mut self, other: Tally) {
        self.total += other.total;
        self.healthy += other.healthy;
        self.unhealthy += other.unhealthy;
        self.failing += other.failing;
    }

    pub fn status(&self, route: &Route) -> PlatformStatus {
        match (route.platform.enabled, self.total, self.healthy) {
            (false, ..) => PlatformStatus::Disabled,
            (true, 0, _) => PlatformStatus::NoKeys,
            (true, total, healthy) if total == healthy => PlatformStatus::Healthy,
            (true, _, 0) => PlatformStatus::Unhealthy,
            (true, ..) => PlatformStatus::Degraded,
        }
    }
}

/// What the enabled platforms' statuses add up to.
pub fn overall(statuses: &[PlatformStatus]) -> PlatformStatus {
    let mut overall = PlatformStatus::Healthy;
    for status in statuses {
        match status {
            PlatformStatus::Disabled | PlatformStatus::Healthy => {}
            PlatformStatus::Degraded => overall = PlatformStatus::Degraded,
            PlatformStatus::Unhealthy | PlatformStatus::NoKeys => return PlatformStatus::Unhealthy,
        }
    }
    overall
}
