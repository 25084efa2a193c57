//! Months of a proxy's life in a minute: kills, reloads, handovers, limits of the machine, certificates.

#[path = "lifetime/capacity.rs"]
mod capacity;
#[path = "lifetime/handover.rs"]
mod handover;
#[path = "lifetime/kills.rs"]
mod kills;
#[path = "lifetime/load.rs"]
mod load;
mod support;
#[path = "lifetime/tls.rs"]
mod tls;
#[path = "lifetime/tls_platform.rs"]
mod tls_platform;
