//! Linux itself as the oracle of what a receiver reads.
//!
//! A client of raw frames plays generated cases (`cases`, `rows`) over a veth pair to a listening socket in a network namespace of
//! its own (`lab`, `player`, `receiver`). What `recv()` gave there has to be what the flow table reports from the same packets,
//! and with its normaliser in between also what it let through (`judge`).

pub mod cases;
pub mod judge;
pub mod lab;
pub mod player;
pub mod receiver;
mod rows;
pub mod run;
