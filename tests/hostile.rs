//! What hurts: floods and stalling peers, faults of the world, and secrets that must not be seen.

#[path = "hostile/heads.rs"]
mod heads;
mod support;
