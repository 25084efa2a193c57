//! What the program's own pages show, lent by the caller at one moment. Nothing is rendered here.

use std::time::Duration;

use serde::Serialize;

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
    /// The total size of the request bodies that are kept for a retry.
    pub retry_memory_bytes: u64,
    /// Why the newest version of the configuration is not in force.
    pub config_error: Option<&'v str>,
    pub started: Now,
    pub now: Now,
}

impl View<'_> {
    /// Since the process started.
    pub fn uptime(&self) -> Duration {
        self.now.instant.duration_since(self.started.instant)
    }
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
    pub fn of(route: &Route, view: &View<'_>) -> Tally {
        let mut tally = Tally::default();
        for key in view.keyring.views(route.id, view.now) {
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlatformStatus {
    Healthy,
    Degraded,
    Unhealthy,
    NoKeys,
    Disabled,
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
