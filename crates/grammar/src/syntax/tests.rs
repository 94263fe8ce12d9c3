//! Tests over whole grammars.

mod samples;
