//! The map.
#![forbid(unsafe_code)]

pub mod base;
