//! Flow table, TCP tracking and reassembly in order, timers on packet time.
#![forbid(unsafe_code)]
