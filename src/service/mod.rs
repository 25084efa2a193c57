//! The paths of the program's own. It renders what it is shown and knows no connection.

pub mod demo;
pub mod pages;
pub mod reply;
