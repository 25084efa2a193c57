//! Runs a case whole, byte by byte and cut at each place.
