//! `test "..." { ... }`

use portcullis_lang::{Code, Diagnostic, Direction, Parsed, Parser, Span, Symbol, TokenKind};

use super::clauses::id;
use super::tree::{Expectation, ExpectationKind, TestItem, TestStep};
use crate::limits::MAX_TEST_STEPS;

/// Parses a `test` block.
pub(super) fn test_item(parser: &mut Parser<'_>) -> Parsed<TestItem> {
    let start = parser.advance().span;
    let name = parser.text("what the test shows, in quotes")?;
    let span = parser.since(start);
    parser.expect(Symbol::BraceOpen, "before the steps of a test")?;
    let mut steps = Vec::new();
    while parser.eat(Symbol::BraceClose).is_none() {
        if steps.len() >= MAX_TEST_STEPS {
            let title = format!("a test can have {MAX_TEST_STEPS} steps, this one has more");
            return Err(parser.report(Diagnostic::error(Code::S5, title).primary(span, "")));
        }
        steps.push(step(parser, span)?);
    }
    Ok(TestItem { name, steps, span })
}

fn step(parser: &mut Parser<'_>, test: Span) -> Parsed<TestStep> {
    match parser.word() {
        Some("policy") => {
            parser.advance();
            parser.name("the name of a policy").map(TestStep::Policy)
        }
        Some(word @ ("up" | "down")) => {
            let direction = if word == "up" { Direction::Up } else { Direction::Down };
            parser.advance();
            let text = parser.text(&format!("what is sent, in quotes, after `{word}`"))?;
            Ok(TestStep::Send(direction, text))
        }
        Some("expect") => {
            parser.advance();
            let mut expected = vec![expectation(parser)?];
            while parser.eat(Symbol::Comma).is_some() {
                expected.push(expectation(parser)?);
            }
            Ok(TestStep::Expect(expected))
        }
        Some(word @ ("capture" | "read")) => {
            let place = parser.advance().span;
            Err(parser.report(
                Diagnostic::error(Code::S6, format!("`{word}` in a test is not supported yet"))
                    .primary(place, "")
                    .help("write the dialogue: `up \"EHLO a\\r\\n\"   down \"250 mx\\r\\n\"`"),
            ))
        }
        _ => {
            let diagnostic = parser
                .unexpected_here("a step of the test, or `}`")
                .secondary(test, "in this test")
                .help("the steps are `policy NAME`, `up \"...\"`, `down \"...\"` and `expect ...`");
            Err(parser.report_at_token(diagnostic))
        }
    }
}

fn expectation(parser: &mut Parser<'_>) -> Parsed<Expectation> {
    let start = parser.peek().span;
    let kind = match parser.word() {
        Some("alert") => {
            parser.advance();
            ExpectationKind::Alert(id(parser, "the number of a rule after `alert`")?.0)
        }
        Some("no") => {
            parser.advance();
            parser.expect_word("alert", "after `no`")?;
            match parser.peek().kind {
                TokenKind::Number => ExpectationKind::NoAlert(Some(id(parser, "the number of a rule")?.0)),
                _ => ExpectationKind::NoAlert(None),
            }
        }
        Some("pass") => {
            parser.advance();
            ExpectationKind::Pass
        }
        Some("drop") => {
            parser.advance();
            ExpectationKind::Drop
        }
        Some("reset") => {
            parser.advance();
            ExpectationKind::Reset
        }
        Some("bypass") => {
            parser.advance();
            ExpectationKind::Bypass
        }
        Some("block") => {
            parser.advance();
            ExpectationKind::Block
        }
        Some(word @ ("refuse" | "edit")) => {
            let refuse = word == "refuse";
            parser.advance();
            let text = match parser.peek().kind {
                TokenKind::Text | TokenKind::Raw => Some(parser.text("a text")?),
                _ => None,
            };
            if refuse { ExpectationKind::Refuse(text) } else { ExpectationKind::Edit(text) }
        }
        _ => {
            let diagnostic = parser
                .unexpected_here("what the test expects")
                .help("`expect alert 1001`, `expect no alert`, `expect refuse \"550\"`, `expect edit \"...\"`, or one of `pass`, `drop`, `reset`, `bypass` and `block`");
            return Err(parser.report_at_token(diagnostic));
        }
    };
    Ok(Expectation { kind, span: parser.since(start) })
}
