//! Tests over whole grammars.

mod formatting;
mod messages;
mod pages;
mod samples;
