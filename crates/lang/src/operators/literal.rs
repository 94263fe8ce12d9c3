//! Words and numbers as literals.

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::expression::{ExpressionKind, Name};
use crate::parser::{Parsed, Parser, Reported};
use crate::token::{self, Symbol, Token, TokenKind, Unit};

impl Parser<'_> {
    pub(super) fn word_kind(&self, token: Token) -> ExpressionKind {
        let text = self.slice(token.span);
        let name = || Name { text: text.to_owned(), span: token.span };
        match text {
            "true" => ExpressionKind::Boolean(true),
            "false" => ExpressionKind::Boolean(false),
            _ if is_keyword(text) => ExpressionKind::Keyword(name()),
            _ => ExpressionKind::Name(name()),
        }
    }

    // A number and its unit. A word before `:`, `=` or `=>` is no unit, but begins what follows.
    pub(super) fn number_kind(&mut self, token: Token) -> Parsed<ExpressionKind> {
        let Some(value) = token::number_value(self.slice(token.span)) else { return Err(Reported) };
        let behind = self.second().kind;
        let begins_next =
            [Symbol::Colon, Symbol::Equal, Symbol::FatArrow].into_iter().any(|s| behind == TokenKind::Symbol(s));
        let unit = match self.word() {
            Some(word) if !begins_next => token::unit(word),
            _ => None,
        };
        let (product, nanoseconds) = match unit {
            None => return Ok(ExpressionKind::Number(value)),
            Some(Unit::Bytes(factor)) => (value.checked_mul(factor), false),
            Some(Unit::Nanoseconds(factor)) => (value.checked_mul(factor), true),
        };
        self.advance();
        match product {
            Some(nanos) if nanoseconds => Ok(ExpressionKind::Duration(nanos)),
            Some(bytes) => Ok(ExpressionKind::Number(bytes)),
            None => Err(self.report(
                Diagnostic::error(Code::S3, "this number is too large")
                    .primary(self.since(token.span), "64 bits are not enough for it")
                    .note("durations are counted in nanoseconds, sizes in bytes, both below 2^64"),
            )),
        }
    }
}

/// Whether a word is a keyword of a protocol: upper-case, as `MAIL` and `RFC822`.
pub fn is_keyword(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_uppercase())
        && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}
