//! Grammar files: from text to checked model to programs, and the resumable machine that runs them.
#![forbid(unsafe_code)]

pub mod model;
mod record;
pub mod syntax;

pub use record::{Record, Slot, Slots};
