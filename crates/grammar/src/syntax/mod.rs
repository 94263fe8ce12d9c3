//! Grammar files as text: the tree, the parser that makes it, the formatter that writes it back.
//!
//! [`parse`] makes a [`tree::File`] of any text and says what is wrong with it; what is wrong stays out of the tree, the rest is
//! there. Nothing here knows what the names mean. [`format()`] brings a text without errors into the canonical layout.
//!
//! ```
//! # use portcullis_grammar::syntax;
//! # use portcullis_lang::Sources;
//! let mut sources = Sources::new();
//! let source = sources.add("echo.grammar", "protocol echo over udp port 7\nrecord message max 64 KB { id:u16 body:rest }");
//! let (file, diagnostics) = syntax::parse(source, sources.text(source));
//! assert!(diagnostics.is_empty());
//! assert_eq!(file.items.len(), 2);
//! ```

mod format;
mod parse;
pub mod tree;

pub use format::format;
pub use parse::parse;

#[cfg(test)]
mod tests;
