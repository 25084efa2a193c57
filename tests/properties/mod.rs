//! What must hold for any input bytes: the fuzz targets (`fuzz/`) call it with arbitrary ones, and `tests/corpus.rs`
//! with those that are kept (`fuzz/corpus/`).

pub mod answers;
pub mod chunked;
pub mod configuration;
pub mod events;
pub mod exchange;
pub mod journal;
pub mod names;
pub mod requests;

mod folder;
mod input;

// The simulation's world, without its script: the exchange's property has one of its own.
#[path = "../support/dns.rs"]
mod dns;
#[path = "../simulation/nameservers.rs"]
mod nameservers;
#[allow(dead_code, reason = "only the script asks whether a dial goes astray")]
#[path = "../simulation/network.rs"]
mod network;
#[allow(
    dead_code,
    reason = "only the script plans requests; the platforms are of use here"
)]
#[path = "../simulation/plan.rs"]
mod plan;
#[allow(dead_code, reason = "only the script draws sizes")]
#[path = "../simulation/random.rs"]
mod random;
#[allow(
    dead_code,
    reason = "only the script has answers that last until the end"
)]
#[path = "../simulation/reader.rs"]
mod reader;
#[path = "../simulation/server.rs"]
mod server;
#[allow(
    dead_code,
    reason = "only the script asks why a wire broke and whether it is drained"
)]
#[path = "../simulation/wire.rs"]
mod wire;

/// A property takes any bytes and panics if it does not hold for them.
pub type Property = fn(&[u8]);

/// All properties, by the names of their fuzz targets.
pub const ALL: [(&str, Property); 8] = [
    ("answers", answers::check),
    ("chunked", chunked::check),
    ("configuration", configuration::check),
    ("events", events::check),
    ("exchange", exchange::check),
    ("journal", journal::check),
    ("names", names::check),
    ("requests", requests::check),
];
