//! C7: held data without a maximum.
//!
//! A maximum of 0 in the model is one that the grammar does not give.

use portcullis_lang::{Code, Diagnostic, Diagnostics, Span};

use crate::limits::MAX_RECORD_OCTETS;
use crate::model::{End, Expect, Item, Protocol, Rule, RuleKind, Shape};
use crate::show;

use super::sizes::Sizes;
use super::walk;

pub(super) fn check(protocol: &Protocol, diagnostics: &mut Diagnostics) {
    for rule in &protocol.rules {
        if matches!(rule.kind, RuleKind::Line | RuleKind::Record) && rule.max == 0 {
            diagnostics.push(held(protocol, rule));
        }
        walk::each_item(&rule.items, &mut |item| {
            if let Item::Line { max: 0, span, .. } = item {
                // Where the record around it is bounded, so is the line.
                if rule.max == 0 && !matches!(rule.kind, RuleKind::Line | RuleKind::Record) {
                    diagnostics.push(
                        Diagnostic::error(Code::C7, "a line must have a size limit, this one has none")
                            .primary(*span, "held in memory until its end")
                            .help("write `line max 1000 {`"),
                    );
                }
            }
        });
    }
    for state in &protocol.machine.states {
        for (side, expect) in ["client", "server"].iter().zip(&state.expects) {
            if matches!(expect, Expect::Waits { max: 0 }) {
                diagnostics.push(
                    Diagnostic::error(
                        Code::C7,
                        format!("what waits must have a size limit, `{}` gives none", state.name),
                    )
                    .primary(state.span, format!("the {side}'s octets are held here until the other side has spoken"))
                    .note(format!("Nothing stops a {side} from sending for ever without waiting for an answer."))
                    .help("write `waits max 64 KB`: at least what one window of TCP carries"),
                );
            }
        }
    }
}

fn held(protocol: &Protocol, rule: &Rule) -> Diagnostic {
    let kind = if rule.kind == RuleKind::Line { "line" } else { "record" };
    let mut diagnostic =
        Diagnostic::error(Code::C7, format!("a {kind} must have a size limit, `{}` has none", rule.name))
            .primary(rule.span, "held in memory until it is complete");
    let most = Sizes::new(protocol).most_of_rule(rule);
    if let Some(most) = most.filter(|most| *most <= u64::from(MAX_RECORD_OCTETS)) {
        return diagnostic
            .note(format!("By what it consists of it takes at most {}.", show::octets(most)))
            .help(format!("write `{kind} {} max {most} {{`", rule.name));
    }
    let suggestion = if rule.kind == RuleKind::Line { "4096" } else { "64 KB" };
    if let Some((span, what)) = endless(rule) {
        diagnostic = diagnostic.secondary(span, what);
    }
    let stream = "or make it a `stream` if no policy needs it as a whole";
    diagnostic.help(format!("write `{kind} {} max {suggestion} {{`, {stream}", rule.name))
}

/// The first part of a rule that has no end of its own.
fn endless(rule: &Rule) -> Option<(Span, String)> {
    let mut found = None;
    walk::each_item(&rule.items, &mut |item| {
        if found.is_some() {
            return;
        }
        found = match item {
            Item::Many(many) if !matches!(many.end, End::Count(_)) => {
                Some((many.span, format!("nothing stops a sender from adding to `{}` for ever", many.name)))
            }
            Item::Field(field) => match &field.shape {
                Shape::Rest | Shape::Until { .. } | Shape::Class { .. } | Shape::Blanks => {
                    Some((field.span, "nothing stops a sender from going on with this for ever".to_owned()))
                }
                _ => None,
            },
            _ => None,
        };
    });
    found
}
