//! What has to hold whatever the octets are: one function for each fuzz target of `fuzz/`.
//!
//! Each takes any octets and panics if its property does not hold. They lie here, and not beside the fuzzer, because an
//! ordinary test replays the corpus through them (`tests/tests/fuzz_corpus.rs`), and what the fuzzer finds becomes one
//! more file of that corpus.
//!
//! | module | has |
//! |---|---|
//! | `packets` | decoding of packets, fragments |
//! | `reassembly` | streams cut in different ways, segments of any kind |
//! | `normaliser` | segments of any kind through the normaliser |
//! | `captures` | capture files, plain and compressed |
//! | `languages` | both languages' front ends, and grammars that are run |
//! | `conversations` | the shipped grammars over any octets |
#![allow(clippy::expect_used, clippy::panic, reason = "a property that does not hold ends its test")]

mod captures;
mod choices;
mod conversations;
mod languages;
mod normaliser;
mod packets;
mod reassembly;

pub use captures::captures;
pub use choices::Choices;
pub use conversations::{dns, encode, smtp};
pub use languages::{expressions, grammars, layout, policies};
pub use normaliser::normaliser;
pub use packets::{fragments, packets};
pub use reassembly::{reassembly, segments};

/// What a fuzz target calls.
pub type Property = fn(&[u8]);

/// The targets, by the names of their folders in `fuzz/corpus/`.
pub const PROPERTIES: [(&str, Property); 12] = [
    ("captures", captures),
    ("dns", dns),
    ("expressions", expressions),
    ("fragments", fragments),
    ("grammars", grammars),
    ("layout", layout),
    ("normaliser", normaliser),
    ("packets", packets),
    ("policies", policies),
    ("reassembly", reassembly),
    ("segments", segments),
    ("smtp", smtp),
];
