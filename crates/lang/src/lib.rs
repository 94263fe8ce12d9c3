//! What both Portcullis languages share: source files, spans, tokens, diagnostics, types, expressions and the scheme.
#![forbid(unsafe_code)]

mod direction;

pub use direction::{Direction, Side};
