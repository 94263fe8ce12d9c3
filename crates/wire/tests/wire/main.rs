//! Tests of the crate as its users see it.
// Helpers of tests are not within a test to clippy.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

/// Captures of other projects, where they lie beside the checkout: no panic, and agreement with another decoder.
mod corpus;
/// Agreement with other decoders on packets made at random.
mod differential;
/// Nothing on the wire can make us panic.
mod robustness;
/// Packets made by another implementation, and a walk over everything that can be asked of a packet.
mod support;
