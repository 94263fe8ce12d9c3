//! What both Portcullis languages share: source files, spans, tokens, diagnostics, types, expressions and the scheme.
//!
//! From text to something checked it goes this way: [`Sources`] holds the texts, [`Diagnostic`]s say what is wrong with them, under
//! a stable [`Code`], and [`Expression`]s are what grammars and policies have in common.
#![forbid(unsafe_code)]

mod arrange;
mod codes;
mod diagnostic;
mod direction;
mod expression;
mod formula;
mod limits;
mod needles;
mod operators;
mod parser;
mod render;
pub mod scheme;
mod source;
mod suggest;
mod template;
mod text_set;
mod token;
pub mod typing;
mod value;

pub use arrange::{Alignment, arrange};
pub use codes::Code;
pub use diagnostic::{Diagnostic, Diagnostics, Label, Severity};
pub use direction::{Direction, Side};
pub use expression::{
    BinaryOperator, Expression, ExpressionKind, Member, Name, Occurrence, Path, Quantifier, Set, Template,
    TemplatePart, Text, TextOperator, UnaryOperator,
};
pub use formula::{Arithmetic, Comparison, Formula, Host, Place, Position, Scope, decimal, is_in, trimmed};
pub use limits::{MAX_DIAGNOSTICS, MAX_EXPRESSION_HEIGHT, MAX_NESTING, MAX_SOURCE_BYTES};
pub use needles::Needles;
pub use operators::is_keyword;
pub use parser::{Comment, Leftovers, Parsed, Parser, Reported, Separation};
pub use render::{render, render_all, render_json};
pub use scheme::{
    AnomalyId, CaseValue, EventId, EventKind, EventType, FieldInfo, Layout, Presence, ProtocolScheme, Refusal, StateId,
    Type,
};
pub use source::{LineColumn, Source, SourceId, Sources, Span};
pub use suggest::suggest;
pub use text_set::TextSet;
pub use token::{Fault, Symbol, Token, TokenKind, comments_between, lex, lex_class};
pub use value::{Truth, Value};
