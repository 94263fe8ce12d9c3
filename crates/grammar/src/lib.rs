//! Grammar files: from text to checked model to programs, and the resumable machine that runs them.
#![forbid(unsafe_code)]

mod check;
mod cost;
mod describe;
mod dialogue;
mod event;
mod flow_values;
mod flowing;
pub mod graph;
pub mod limits;
mod load;
mod lower;
pub mod model;
#[doc(hidden)]
pub mod oracle;
mod program;
mod record;
mod show;
pub mod syntax;
mod template;

pub use check::{Branch, BranchKind, Coverage, check, coverage};
pub use cost::{CostCard, Held};
pub use describe::describe;
pub use dialogue::{Dialogue, Scratch};
pub use event::{Event, EventSink};
pub use load::load;
pub use program::Program;
pub use record::{Record, Slot, Slots};
