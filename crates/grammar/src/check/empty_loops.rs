//! C6: a repetition of something that may be empty, which goes round without going on.

use portcullis_lang::{Code, Diagnostic, Diagnostics};

use crate::model::{ClassSet, End, Item, Many, Protocol};
use crate::show;

use super::heads::{self, Heads};
use super::sizes::Sizes;
use super::walk;

pub(super) fn check(protocol: &Protocol, diagnostics: &mut Diagnostics) {
    let sizes = Sizes::new(protocol);
    for rule in &protocol.rules {
        walk::each_item(&rule.items, &mut |item| {
            let Item::Many(many) = item else { return };
            let empty = sizes.empty_rule(many.element);
            let stalls = match &many.end {
                // At the end of the window they are over, and before a literal or a newline there is more.
                End::Window | End::First(_) | End::UntilLiteral(_) | End::UntilEmptyLine => empty.before_more,
                End::Count(_) | End::Until(_) | End::While(_) => empty.before_more || empty.at_end,
            };
            if stalls {
                diagnostics.push(message(protocol, many, empty.before_more));
            }
        });
    }
}

fn message(protocol: &Protocol, many: &Many, before_more: bool) -> Diagnostic {
    let element = protocol.rules.get(usize::from(many.element.0));
    let mut diagnostic = Diagnostic::error(Code::C6, format!("an element of `{}` may be empty", many.name))
        .primary(many.span, "could go round without reading a single octet");
    if let Some(element) = element.filter(|element| element.span != many.span) {
        diagnostic = diagnostic.secondary(element.span, "every part of an element may be missing");
    }
    let shows = match (&many.end, before_more) {
        (End::Count(_), _) => "An input that shows it: a count of 65535, and not one octet behind it.".to_owned(),
        (_, false) => "An input that shows it: one that ends where an element would begin.".to_owned(),
        (_, true) => match stranger(protocol, many) {
            Some(octet) => format!("An input that shows it: {} where an element would begin.", show::quoted(&[octet])),
            None => "An input that shows it: one with other octets where an element would begin.".to_owned(),
        },
    };
    diagnostic
        .note(shows)
        .help("let each element begin with something that has to be there: a literal, a number, a word")
}

/// An octet with which no part of an element begins.
fn stranger(protocol: &Protocol, many: &Many) -> Option<u8> {
    let heads = Heads::new(protocol).of_rule(many.element);
    let firsts = heads.iter().filter_map(|head| head.octets.first());
    let all = firsts.fold(ClassSet::EMPTY, |all, first| all.union(first));
    heads::likely(&heads::complement(&all))
}
