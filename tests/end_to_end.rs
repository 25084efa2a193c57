//! The binary from outside, over real sockets: a client that speaks bytes, and a platform that a test directs.

#[path = "end_to_end/admission.rs"]
mod admission;
#[path = "end_to_end/bodies.rs"]
mod bodies;
#[path = "end_to_end/cancelling.rs"]
mod cancelling;
#[path = "end_to_end/failover.rs"]
mod failover;
#[path = "end_to_end/forwarding.rs"]
mod forwarding;
#[path = "end_to_end/health.rs"]
mod health;
#[path = "end_to_end/lifecycle.rs"]
mod lifecycle;
#[path = "end_to_end/pages.rs"]
mod pages;
mod support;
#[path = "end_to_end/tunnel.rs"]
mod tunnel;
