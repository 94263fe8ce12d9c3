//! Event and alert records, their EVE encoding, sinks and statistics.
#![forbid(unsafe_code)]
