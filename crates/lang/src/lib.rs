//! What both Portcullis languages share: source files, spans, tokens, diagnostics, types, expressions and the scheme.
#![forbid(unsafe_code)]

mod direction;
mod formula;
pub mod scheme;
mod value;

pub use direction::{Direction, Side};
pub use formula::{Arithmetic, Comparison, Formula, Host, Place, Position, Scope, decimal, is_in, trimmed};
pub use scheme::{
    AnomalyId, CaseValue, EventId, EventKind, EventType, FieldInfo, Layout, Presence, ProtocolScheme, StateId, Type,
};
pub use value::{Truth, Value};
