//! Hostile conditions: floods and stalling peers, failures of the surroundings, and secrets that must not leak.
//! `HOSTILE_LONG=1` runs the long form, which prints what honest clients notice; it is meant for a release build.

#[path = "hostile/attacks.rs"]
mod attacks;
#[path = "hostile/clock.rs"]
mod clock;
#[path = "hostile/faults.rs"]
mod faults;
#[path = "hostile/handshakes.rs"]
mod handshakes;
#[path = "hostile/heads.rs"]
mod heads;
#[path = "hostile/honest.rs"]
mod honest;
#[path = "hostile/load.rs"]
mod load;
#[path = "hostile/machine.rs"]
mod machine;
#[path = "hostile/names.rs"]
mod names;
#[path = "hostile/secrets.rs"]
mod secrets;
#[path = "hostile/streams.rs"]
mod streams;
mod support;
