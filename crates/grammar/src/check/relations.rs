//! C19: a length or a count that depends on itself, or stands behind what it describes.

use portcullis_lang::{Code, Diagnostic, Diagnostics, Formula, Place, Scope, Span};

use crate::model::{End, Item, Protocol, Rule, Shape};
use crate::show::Names;

use super::walk::{self, Read};

pub(super) fn check(protocol: &Protocol, diagnostics: &mut Diagnostics) {
    for rule in &protocol.rules {
        let mut filled = Vec::new();
        of_items(protocol, rule, &rule.items, &mut filled, diagnostics);
    }
}

/// Goes through items in the order of the wire; `filled` are the slots that have a value by then.
fn of_items(protocol: &Protocol, rule: &Rule, items: &[Item], filled: &mut Vec<u16>, diagnostics: &mut Diagnostics) {
    for item in items {
        let described = match item {
            Item::Window { size, items, span } => Some((size, items.as_slice(), *span, true)),
            Item::Many(many) => match &many.end {
                End::Count(count) => Some((count, [].as_slice(), many.span, false)),
                _ => None,
            },
            Item::Field(field) => match &field.shape {
                Shape::Bytes(size) => Some((size, [].as_slice(), field.span, true)),
                _ => None,
            },
            _ => None,
        };
        if let Some((number, inside, span, length)) = described {
            judge(protocol, rule, number, inside, span, length, filled, diagnostics);
        }
        for part in walk::parts(item) {
            of_items(protocol, rule, part, filled, diagnostics);
        }
        filled.extend(walk::fills(item));
    }
}

#[allow(clippy::too_many_arguments)]
fn judge(
    protocol: &Protocol,
    rule: &Rule,
    number: &Formula,
    inside: &[Item],
    span: Span,
    length: bool,
    filled: &[u16],
    diagnostics: &mut Diagnostics,
) {
    let mut missing = Vec::new();
    walk::each_read(number, &mut |read| {
        if let Read::Place(place @ Place { scope: Scope::Record, slot }) = read
            && !filled.contains(&slot)
        {
            missing.push(place);
        }
    });
    let (what, verb) = if length { ("length", "measures") } else { ("count", "counts") };
    for place in missing {
        let name = Names::of_layout(protocol, &rule.layout).place(place);
        let in_itself = place_of(inside, place.slot);
        let behind = in_itself.or_else(|| place_of(&rule.items, place.slot));
        let diagnostic = if in_itself.is_some() {
            Diagnostic::error(Code::C19, format!("the {what} `{name}` stands in what it {verb}"))
                .primary(span, format!("ends where `{name}` says ..."))
        } else {
            Diagnostic::error(Code::C19, format!("the {what} `{name}` stands behind what it {verb}"))
                .primary(span, format!("needs `{name}` to find its end ..."))
        };
        let diagnostic = match behind {
            Some(at) => diagnostic.secondary(at, "... which is read only here"),
            None => diagnostic,
        };
        diagnostics.push(
            diagnostic
                .note("Octets are read in the order of the wire; where this ends has to be known when it begins.")
                .help(format!("a {what} has to stand before what it {verb}")),
        );
    }
}

/// Where a slot is filled.
fn place_of(items: &[Item], slot: u16) -> Option<Span> {
    let mut place = None;
    walk::each_item(items, &mut |item| {
        if place.is_none() && walk::fills(item).contains(&slot) {
            place = walk::span(item);
        }
    });
    place
}
