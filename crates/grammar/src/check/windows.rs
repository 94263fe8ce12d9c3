//! C14: a window whose rest nobody reads.
//!
//! Octets that no item takes are a parse error while the grammar runs, so nothing passes in silence. But whoever writes a
//! line should have said so: other readers of the same line skip what they do not know, and that is a difference.

use portcullis_lang::{Code, Diagnostic, Diagnostics, Span};

use crate::model::{End, Item, Protocol, Rule, RuleKind, Shape};
use crate::show;

use super::heads::{self, Heads};
use super::sizes::{self, Sizes};
use super::walk::{self, Said};

pub(super) fn check(protocol: &Protocol, diagnostics: &mut Diagnostics) {
    let heads = Heads::new(protocol);
    let sizes = Sizes::new(protocol);
    let framed = !protocol.transports.is_empty()
        && protocol.transports.iter().all(|transport| transport.datagrams || transport.framed.is_some());
    for rule in &protocol.rules {
        if rule.kind == RuleKind::Line && !reaches_end(&rule.items) {
            diagnostics.push(line(&heads, &rule.name, rule.span, &rule.items));
        }
        if rule.kind == RuleKind::Record && framed && is_said(protocol, rule) && !reaches_end(&rule.items) {
            diagnostics.push(datagram(rule));
        }
        walk::each_item(&rule.items, &mut |item| match item {
            Item::Line { items, span, .. } if !reaches_end(items) => {
                diagnostics.push(line(&heads, "this line", *span, items))
            }
            Item::Window { size, items, span } if !reaches_end(items) => {
                let (low, high) = sizes::interval(size, &rule.layout);
                let (_, most) = sizes.octets(items, &rule.layout);
                if let Some(most) = most.filter(|most| u64::try_from(low).is_ok_and(|low| low > *most)) {
                    diagnostics.push(never_filled(*span, low, high, most));
                }
            }
            _ => {}
        });
    }
}

/// Whether the items, if they succeed at all, always come to the end of their window.
fn reaches_end(items: &[Item]) -> bool {
    items.iter().any(|item| match item {
        Item::Field(field) => match &field.shape {
            Shape::Rest | Shape::End => true,
            Shape::OneOf { texts, end } => *end && texts.is_empty(),
            _ => false,
        },
        Item::Many(many) => matches!(many.end, End::Window),
        Item::Switch { .. } | Item::Choose { .. } => {
            let parts = walk::parts(item);
            !parts.is_empty() && parts.into_iter().all(reaches_end)
        }
        Item::Fail { .. } => true,
        Item::Literal(_)
        | Item::Let { .. }
        | Item::Check { .. }
        | Item::Optional { .. }
        | Item::When { .. }
        | Item::Window { .. }
        | Item::Line { .. }
        | Item::Value { .. }
        | Item::Follow { .. } => false,
    })
}

/// Whether a side says the record by itself, so that a datagram is its window.
fn is_said(protocol: &Protocol, rule: &Rule) -> bool {
    let mut said = false;
    for state in &protocol.machine.states {
        for expect in &state.expects {
            walk::each_said(expect, &mut |one| {
                if let Said::Record(expected) = one {
                    said |=
                        protocol.rules.get(usize::from(expected.rule.0)).is_some_and(|other| other.span == rule.span);
                }
            });
        }
    }
    said
}

/// The last item that reads something.
fn last_place(items: &[Item]) -> Option<Span> {
    items.iter().rev().filter(|item| !matches!(item, Item::Check { .. } | Item::Let { .. })).find_map(walk::span)
}

fn line(heads: &Heads<'_>, name: &str, span: Span, items: &[Item]) -> Diagnostic {
    let shown = if name.contains(' ') { name.to_owned() } else { format!("`{name}`") };
    let diagnostic = Diagnostic::warning(Code::C14, format!("nothing is said about the rest of {shown}"))
        .primary(span, "the line may go on behind its last field");
    let diagnostic = match last_place(items).filter(|last| *last != span) {
        Some(last) => diagnostic.secondary(last, "the last that is read"),
        None => diagnostic,
    };
    let diagnostic = match heads::shortest(&heads.of_items(items)) {
        Some(mut shows) => {
            shows.extend_from_slice(b" more");
            diagnostic.note(format!("An input that shows it: {}", show::quoted(&shows)))
        }
        None => diagnostic,
    };
    diagnostic
        .note("Such a line is refused as malformed, where other readers skip what they do not know.")
        .help("say what may follow: `rest should be empty as trailing_text`, `_: rest`, or `end` if nothing may")
}

fn datagram(rule: &Rule) -> Diagnostic {
    let diagnostic = Diagnostic::warning(Code::C14, format!("nothing is said about octets behind `{}`", rule.name))
        .primary(rule.span, "its datagram or frame may go on behind its last field");
    let diagnostic = match last_place(&rule.items) {
        Some(last) => diagnostic.secondary(last, "the last that is read"),
        None => diagnostic,
    };
    diagnostic
        .note("Octets behind the last field make the message malformed, where other readers skip them.")
        .help("say what may follow: `rest should be empty as trailing_bytes`, `_: rest`, or `end` if nothing may")
}

fn never_filled(span: Span, low: i64, high: Option<i64>, most: u64) -> Diagnostic {
    let size = match high {
        Some(high) if high == low => show::octets(u64::try_from(low).unwrap_or(0)).to_string(),
        _ => format!("at least {}", show::octets(u64::try_from(low).unwrap_or(0))),
    };
    Diagnostic::error(Code::C14, "this window is never read to its end")
        .primary(span, format!("a window of {size}, and what is in it takes at most {}", show::octets(most)))
        .note("What is left over makes every message malformed.")
        .help("add `_: rest` if the remaining octets do not matter, or correct the size")
}
