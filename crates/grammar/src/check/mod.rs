//! What is judged about a grammar whose every name and type is already right: can it run, does it end, does it mean
//! what it says.
//!
//! One file a check, each with a `check` of the same shape. All of them only read the model, so they neither depend on
//! each other nor on the order in which they run; every independent fault is reported, not only the first.

mod channels;
mod choices;
mod coverage;
mod covers;
mod depth;
mod empty_loops;
mod guards;
mod heads;
mod held;
mod line_ends;
mod reached;
mod relations;
mod repetitions;
mod sizes;
mod states;
mod unused;
mod walk;
mod windows;

#[cfg(test)]
pub(crate) mod tests;

use portcullis_lang::Diagnostics;

pub use coverage::{Branch, BranchKind, Coverage, coverage};
pub(crate) use reached::trigger_name;
pub(crate) use sizes::Sizes;
pub(crate) use walk::{Said, each_said, event_name, stream};

use crate::model::Protocol;

/// Runs every check that needs nothing but the model.
///
/// C20 (branches that no example exercises) needs the machine to run the examples and is asked for with [`coverage`].
pub fn check(protocol: &Protocol, diagnostics: &mut Diagnostics) {
    reached::check(protocol, diagnostics); // C2
    states::check(protocol, diagnostics); // C3
    choices::check(protocol, diagnostics); // C4
    repetitions::check(protocol, diagnostics); // C5
    empty_loops::check(protocol, diagnostics); // C6
    held::check(protocol, diagnostics); // C7
    depth::check(protocol, diagnostics); // C8
    unused::check(protocol, diagnostics); // C12
    windows::check(protocol, diagnostics); // C14
    line_ends::check(protocol, diagnostics); // C15
    channels::check(protocol, diagnostics); // C16
    covers::check(protocol, diagnostics); // C18
    relations::check(protocol, diagnostics); // C19
}
