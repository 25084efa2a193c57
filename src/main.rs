//! The program: arguments and exit status.

fn main() {}
