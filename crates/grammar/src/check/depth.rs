//! C8: tables, queues, recursion and jumps without a bound.

use portcullis_lang::{Code, Diagnostic, Diagnostics, Span};

use crate::model::{Expect, Expected, Item, Protocol, RuleId};

use super::sizes::Sizes;
use super::walk;

/// How one rule leads to another.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Use {
    rule: RuleId,
    span: Span,
    jump: bool,
    /// Whether something is read before it.
    behind_octets: bool,
}

pub(super) fn check(protocol: &Protocol, diagnostics: &mut Diagnostics) {
    let uses: Vec<Vec<Use>> = protocol.rules.iter().map(|rule| uses(protocol, rule)).collect();
    let of = |rule: RuleId| uses.get(usize::from(rule.0)).map(Vec::as_slice).unwrap_or_default();
    for (at, rule) in protocol.rules.iter().enumerate() {
        let Ok(id) = u16::try_from(at) else { continue };
        for first in of(RuleId(id)) {
            let leads_back =
                |wanted: &dyn Fn(&Use) -> bool| wanted(first) && reaches(&of, first.rule, RuleId(id), wanted);
            if leads_back(&|step| !step.jump && !step.behind_octets) {
                diagnostics.push(endless(&rule.name, first.span));
            } else if rule.depth == 0 && leads_back(&|_| true) {
                diagnostics.push(unbounded(&rule.name, rule.span, first));
            }
        }
    }
    for state in &protocol.machine.states {
        for expect in &state.expects {
            each_expected(expect, &mut |expected| {
                if let Some(matching) = expected.matches.as_ref().filter(|matching| matching.max == 0) {
                    let question = walk::event_name(protocol, matching.question);
                    let answer = walk::event_name(protocol, expected.event);
                    diagnostics.push(
                        Diagnostic::error(
                            Code::C8,
                            format!("nothing bounds how many of `{question}` wait for an answer"),
                        )
                        .primary(state.span, format!("`{answer}` is matched with what was asked"))
                        .note("A client that asks without end, and gets no answer, would fill the memory.")
                        .help(format!(
                            "write `{answer} matches {question} ... max 256`; the oldest question gives way"
                        )),
                    );
                }
            });
        }
    }
}

/// The rules that a rule leads to.
fn uses(protocol: &Protocol, rule: &crate::model::Rule) -> Vec<Use> {
    let mut found = Vec::new();
    collect(protocol, rule, &rule.items, false, &mut found);
    found
}

fn collect(protocol: &Protocol, rule: &crate::model::Rule, items: &[Item], behind: bool, found: &mut Vec<Use>) {
    let mut behind_octets = behind;
    for item in items {
        let used = match item {
            Item::Many(many) => Some((many.element, many.span, false)),
            Item::Value { rule, span, .. } => Some((*rule, *span, false)),
            Item::Follow { rule, span, .. } => Some((*rule, *span, true)),
            _ => None,
        };
        found.extend(used.map(|(rule, span, jump)| Use { rule, span, jump, behind_octets }));
        for part in walk::parts(item) {
            collect(protocol, rule, part, behind_octets, found);
        }
        let empty = Sizes::new(protocol).empty(std::slice::from_ref(item), &rule.layout);
        behind_octets |= !empty.before_more;
    }
}

fn reaches<'a>(of: &dyn Fn(RuleId) -> &'a [Use], from: RuleId, to: RuleId, wanted: &dyn Fn(&Use) -> bool) -> bool {
    let mut seen = Vec::new();
    let mut to_do = vec![from];
    while let Some(rule) = to_do.pop() {
        if rule == to {
            return true;
        }
        if !seen.contains(&rule) {
            seen.push(rule);
            to_do.extend(of(rule).iter().filter(|step| wanted(step)).map(|step| step.rule));
        }
    }
    false
}

fn endless(name: &str, span: Span) -> Diagnostic {
    Diagnostic::error(Code::C8, format!("`{name}` contains itself before it has read anything"))
        .primary(span, format!("begins with a `{name}`, which begins with a `{name}`, ..."))
        .note("Each level begins at the same octet as the one around it, so that even the shortest input goes round for ever.")
        .help("let a literal or a number stand before it, as \"*\" does before the elements of an array")
}

fn unbounded(name: &str, rule: Span, first: &Use) -> Diagnostic {
    if first.jump {
        return Diagnostic::error(Code::C8, "this jump could go round very often")
            .primary(first.span, format!("a `{name}` can lead to another `{name}`, which leads to another"))
            .secondary(rule, "has no greatest depth")
            .note("Each jump goes further back, but a message of 64 KB has room for tens of thousands of them.")
            .help("bound them where the rule is named: `max depth 64`");
    }
    Diagnostic::error(Code::C8, format!("nothing bounds how deep `{name}` contains itself"))
        .primary(first.span, format!("leads to a `{name}` within a `{name}`"))
        .secondary(rule, "has no greatest depth")
        .note("A sender who opens one level after another, and never closes one, would fill the memory.")
        .help("write `max depth 16` where the rule is named; what is deeper is a parse error")
}

fn each_expected<'a>(expect: &'a Expect, visit: &mut dyn FnMut(&'a Expected)) {
    walk::each_said(expect, &mut |said| {
        if let walk::Said::Record(expected) = said {
            visit(expected);
        }
    });
}
