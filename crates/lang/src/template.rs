//! Texts with holes: `"mail to {recipient.address}"`.

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::expression::{Template, TemplatePart};
use crate::parser::{Parsed, Parser, Reported};
use crate::source::Span;
use crate::token::TokenKind;

/// Templates.
impl Parser<'_> {
    /// Reads a text in which `{EXPRESSION}` is filled in; `{{` and `}}` write braces. Texts inside a hole are 'single quoted'.
    pub fn template(&mut self, what: &str) -> Parsed<Template> {
        let token = self.peek();
        if token.kind == TokenKind::Raw {
            let text = self.text(what)?;
            return Ok(Template { parts: vec![TemplatePart::Text(text.bytes)], span: text.span });
        }
        if token.kind != TokenKind::Text {
            return Err(self.unexpected(what));
        }
        self.advance();
        let mut parts = Vec::new();
        let mut bytes = Vec::new();
        let end = token.span.end.saturating_sub(1);
        let mut at = token.span.start + 1;
        while at < end {
            let rest = self.slice(Span::new(token.span.source, at, end));
            let plain = rest.find(['{', '}']).unwrap_or(rest.len());
            self.unescape(rest.get(..plain).unwrap_or(""), at, &mut bytes)?;
            at += width(plain);
            let rest = rest.get(plain..).unwrap_or("");
            if rest.starts_with("{{") || rest.starts_with("}}") {
                bytes.extend(rest.bytes().take(1));
                at += 2;
            } else if rest.starts_with('{') {
                let Some(length) = rest.find('}') else {
                    let span = Span::new(token.span.source, at, end);
                    return Err(self.brace(span, "this `{` has no `}`"));
                };
                if !bytes.is_empty() {
                    parts.push(TemplatePart::Text(std::mem::take(&mut bytes)));
                }
                parts.push(self.hole(Span::new(token.span.source, at, at + width(length) + 1))?);
                at += width(length) + 1;
            } else if rest.starts_with('}') {
                let span = Span::new(token.span.source, at, at + 1);
                return Err(self.brace(span, "this `}` has no `{`"));
            }
        }
        if !bytes.is_empty() {
            parts.push(TemplatePart::Text(bytes));
        }
        Ok(Template { parts, span: token.span })
    }

    // What stands between braces, read as an expression by a parser that sees nothing behind it.
    fn hole(&mut self, span: Span) -> Parsed<TemplatePart> {
        let text = self.source_text().get(..span.end.saturating_sub(1) as usize).unwrap_or("");
        let mut inner = Parser::within(self.source(), text, span.start + 1);
        *inner.depth_mut() = *self.depth_mut();
        let value = if inner.at_end() {
            let title = "there is nothing between these braces";
            Err(inner.report(Diagnostic::error(Code::S1, title).primary(span, "").help(HELP)))
        } else {
            inner.expression()
        };
        if value.is_ok() && !inner.at_end() {
            let diagnostic = inner.unexpected_here("the end of the hole").help(HELP);
            inner.report_at_token(diagnostic);
        }
        let leftovers = inner.finish();
        let failed = leftovers.diagnostics.has_errors();
        self.adopt(leftovers.diagnostics);
        if failed {
            return Err(Reported);
        }
        value.map(TemplatePart::Value)
    }

    fn brace(&mut self, span: Span, title: &str) -> Reported {
        self.report(Diagnostic::error(Code::S2, title).primary(span, "").help(HELP))
    }
}

const HELP: &str = "`{name}` in a text is filled in; braces that stand for themselves are written `{{` and `}}`";

fn width(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SourceId;

    fn template(text: &str) -> Result<Vec<TemplatePart>, String> {
        let mut parser = Parser::new(SourceId(0), text);
        let parsed = parser.template("a text");
        let diagnostics = parser.finish().diagnostics;
        match (parsed, diagnostics.iter().next()) {
            (Ok(template), None) => Ok(template.parts),
            (_, Some(first)) => Err(first.title.clone()),
            (Err(Reported), None) => panic!("an error without a diagnostic"),
        }
    }

    #[test]
    fn holes_and_braces() {
        let parts = template(r#""a\t{{ {x.y} b {t['k']}""#).unwrap();
        assert_eq!(parts.len(), 4);
        assert_eq!(parts[0], TemplatePart::Text(b"a\t{ ".to_vec()));
        assert_eq!(parts[2], TemplatePart::Text(b" b ".to_vec()));
        assert_eq!(template("\"\"").unwrap(), []);
        assert_eq!(template("'{x'").unwrap(), [TemplatePart::Text(b"{x".to_vec())]);
    }

    #[test]
    fn what_is_wrong_with_them() {
        assert_eq!(template("\"a {x\"").unwrap_err(), "this `{` has no `}`");
        assert_eq!(template("\"a } x\"").unwrap_err(), "this `}` has no `{`");
        assert_eq!(template("\"{ }\"").unwrap_err(), "there is nothing between these braces");
        assert_eq!(template("\"{a b}\"").unwrap_err(), "expected the end of the hole, found `b`");
        assert_eq!(template("\"{a\\q}\"").unwrap_err(), "`\\` means nothing here");
    }
}
