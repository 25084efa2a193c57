//! The binary from outside, over real sockets: a client that sends raw bytes, and a platform that the test controls.

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
