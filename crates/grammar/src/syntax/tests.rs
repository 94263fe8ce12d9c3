//! Tests over whole grammars.

mod formatting;
mod messages;
mod samples;
