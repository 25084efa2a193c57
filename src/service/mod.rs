//! The program's own paths. It renders what it is shown and knows no connection.

pub mod assets;
pub mod demo;
pub mod health;
pub mod metrics;
pub mod pages;
pub mod process;
pub mod reply;
pub mod stats;
#[cfg(test)]
mod testing;
pub mod view;
