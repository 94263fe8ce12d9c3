//! Typing: from an expression as it was written to a formula that can be evaluated.
//!
//! A [`Checker`] is given what names mean ([`Names`]) and what is known where the expression stands ([`Facts`]), and gives
//! back a [`Formula`](crate::Formula) with its type, or messages. It finds unknown names (C1), arithmetic that leaves its
//! range (C9), fields that may be absent (C10), types that do not fit (C11), words that can never be there (C13) and tests
//! that are decided before anything is read (C21).
//!
//! Narrowing: in `verb == MAIL and sender.domain == "x"` the second test is read knowing the first, so `sender`, which
//! only MAIL has, may be named there.
//!
//! ```
//! use portcullis_lang::typing::{Checker, Facts, Names, Resolution, candidates_in, resolve_in};
//! use portcullis_lang::{BinaryOperator, Code, Diagnostics, Expression, ExpressionKind, FieldInfo, Layout, Name, Scope};
//! use portcullis_lang::{SourceId, Span, Type};
//!
//! struct OneRecord(Layout);
//!
//! impl Names for OneRecord {
//!     fn resolve(&self, path: &[Name]) -> Resolution {
//!         resolve_in(&self.0, Scope::Record, path)
//!     }
//!     fn candidates(&self, path: &[Name]) -> Vec<String> {
//!         candidates_in(&self.0, path)
//!     }
//!     fn keywords_ignore_case(&self) -> bool {
//!         true
//!     }
//! }
//!
//! let size = FieldInfo { path: "size".into(), slot: 0, kind: Type::Number { min: 0, max: 255 }, presence: vec![] };
//! let names = OneRecord(Layout { name: "part".into(), fields: vec![size], width: 1 });
//! let span = Span::new(SourceId(0), 0, 4);
//! let name = |text: &str| Expression { kind: ExpressionKind::Name(Name { text: text.into(), span }), span };
//! let number = Expression { kind: ExpressionKind::Number(2), span };
//! let less = |left| ExpressionKind::Binary(BinaryOperator::Less, Box::new(left), Box::new(number.clone()));
//!
//! let mut diagnostics = Diagnostics::new();
//! let mut facts = Facts::new();
//! let mut checker = Checker::new(&names, &mut diagnostics);
//! assert!(checker.condition(&Expression { kind: less(name("size")), span }, &mut facts).is_some());
//! assert!(checker.condition(&Expression { kind: less(name("siez")), span }, &mut facts).is_none());
//! assert_eq!(diagnostics.sorted()[0].code, Code::C1);
//! ```

mod checker;
mod compare;
mod domain;
mod facts;
mod names;
mod paths;
mod sets;
mod values;

#[cfg(test)]
mod tests;

pub use checker::{Absence, Checker, Piece, Typed};
pub use domain::Domain;
pub use facts::{Facts, Subject};
pub use names::{Found, NamedSet, Names, Resolution, candidates_in, dotted, found, resolve_event, resolve_in};
