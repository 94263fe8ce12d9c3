//! Examples: dialogues and the events that they raise.

use portcullis_lang::{Direction, Parsed, Parser, Symbol, TokenKind, is_keyword};

use super::super::tree::{Example, ExampleStep, ExpectedEvent, ItemKind, SpanOf};
use super::{comma_separated, item, loose_block, unknown_word};

pub(super) fn example(p: &mut Parser<'_>) -> Parsed<ItemKind> {
    p.advance();
    let title = p.text("what the example shows, in quotes")?;
    let over = match p.eat_word("over") {
        Some(_) => Some(item::transport_kind(p)?),
        None => None,
    };
    let begins = |p: &mut Parser<'_>| matches!(p.word(), Some("up" | "down" | "gives"));
    let (steps, _) = loose_block(p, "this example", begins, step)?;
    Ok(ItemKind::Example(Example { title, over, steps }))
}

fn step(p: &mut Parser<'_>) -> Parsed<ExampleStep> {
    match p.word() {
        Some("up") => send(p, Direction::Up),
        Some("down") => send(p, Direction::Down),
        Some("gives") => {
            let start = p.advance().span;
            let events = match p.eat_word("nothing") {
                Some(_) => Vec::new(),
                None => comma_separated(p, event)?,
            };
            Ok(ExampleStep::Gives { events, span: SpanOf(p.since(start)) })
        }
        _ => Err(unknown_word(p, "step of an example", &["up", "down", "gives"])),
    }
}

// Texts that follow each other are one, so that long ones can be broken into lines.
fn send(p: &mut Parser<'_>, direction: Direction) -> Parsed<ExampleStep> {
    p.advance();
    let mut bytes = p.text("the bytes that are sent, in quotes")?;
    while matches!(p.peek().kind, TokenKind::Text | TokenKind::Raw) {
        let more = p.text("more bytes")?;
        bytes.bytes.extend_from_slice(&more.bytes);
        bytes.span = bytes.span.to(more.span);
    }
    Ok(ExampleStep::Send { direction, bytes })
}

// command MAIL { sender.domain == "y" }
fn event(p: &mut Parser<'_>) -> Parsed<ExpectedEvent> {
    let start = p.peek().span;
    let name = p.path("the name of an event")?;
    let valued = match p.peek().kind {
        TokenKind::Number | TokenKind::Text | TokenKind::Raw => true,
        TokenKind::Word => p.word().is_some_and(is_keyword),
        _ => false,
    };
    let value = if valued { Some(p.operand()?) } else { None };
    let tests = if p.at(Symbol::BraceOpen) {
        let begins = |p: &mut Parser<'_>| p.at_operand();
        let (tests, _) = loose_block(p, "this event", begins, |p| {
            let test = p.expression()?;
            p.eat(Symbol::Comma);
            Ok(test)
        })?;
        tests
    } else {
        Vec::new()
    };
    Ok(ExpectedEvent { name, value, tests, span: SpanOf(p.since(start)) })
}
