//! The map.
#![forbid(unsafe_code)]

pub mod arguments;
pub mod base;
pub mod capacity;
pub mod config;
pub mod exchange;
pub mod figures;
pub mod http;
pub mod journal;
pub mod ledger;
pub mod listen;
pub mod net;
pub mod policy;
pub mod reload;
pub mod server;
pub mod service;
pub mod session;
pub mod site;
pub mod start;
