//! Who may pass, which key serves, what an answer means, and when keys are probed. State machines that are told facts
//! and time; they know no message, no socket and no configuration file.

pub mod access;
pub mod digest;
pub mod keyring;
pub mod limits;
pub mod probes;
#[cfg(test)]
pub mod testing;
pub mod verdict;
