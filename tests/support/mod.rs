//! What tests of the whole binary share: a proxy in a folder of its own, a client that speaks bytes, and a platform
//! that does what a test tells it. Each test program uses a part of it.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod client;
pub mod dns;
pub mod platform;
pub mod proxy;

use std::time::Duration;

/// How long anything may take that has no promised time; a busy machine may need it.
pub const PATIENCE: Duration = Duration::from_secs(20);
