//! C8: tables, queues, recursion and jumps without a bound.

use portcullis_lang::{Code, Diagnostic, Diagnostics, Span};

use crate::model::{Expect, Expected, Item, Protocol, Rule, RuleId};

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
    let sizes = Sizes::new(protocol);
    let uses: Vec<Vec<Use>> = protocol.rules.iter().map(|rule| uses(&sizes, rule)).collect();
    for (at, rule) in protocol.rules.iter().enumerate() {
        if let Some(first) = leads_back(&uses, at, &|step| !step.jump && !step.behind_octets) {
            diagnostics.push(endless(&rule.name, first.span));
        } else if rule.depth == 0
            && let Some(first) = leads_back(&uses, at, &|_| true)
        {
            diagnostics.push(unbounded(&rule.name, rule.span, &first));
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
fn uses(sizes: &Sizes, rule: &Rule) -> Vec<Use> {
    let mut found = Vec::new();
    collect(sizes, rule, &rule.items, false, &mut found);
    found
}

fn collect(sizes: &Sizes, rule: &Rule, items: &[Item], behind: bool, found: &mut Vec<Use>) {
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
            collect(sizes, rule, part, behind_octets, found);
        }
        let empty = sizes.empty(std::slice::from_ref(item), &rule.layout);
        behind_octets |= !empty.before_more;
    }
}

/// The first step of a way from a rule to itself by steps of a kind.
fn leads_back(uses: &[Vec<Use>], from: usize, wanted: &dyn Fn(&Use) -> bool) -> Option<Use> {
    let of = |rule: usize| uses.get(rule).into_iter().flatten().filter(|step| wanted(step));
    let mut seen = vec![false; uses.len()];
    // Each rule to look at, and the step by which the way to it began.
    let mut to_do: Vec<(usize, Use)> = of(from).map(|step| (usize::from(step.rule.0), *step)).collect();
    while let Some((rule, first)) = to_do.pop() {
        if rule == from {
            return Some(first);
        }
        if let Some(seen) = seen.get_mut(rule).filter(|seen| !**seen) {
            *seen = true;
            to_do.extend(of(rule).map(|step| (usize::from(step.rule.0), first)));
        }
    }
    None
}

fn endless(name: &str, span: Span) -> Diagnostic {
    Diagnostic::error(Code::C8, format!("`{name}` contains itself before it has read anything"))
        .primary(span, format!("begins with `{name}`, which begins with `{name}`, ..."))
        .note("Each level begins at the same octet as the one around it, so that even the shortest input goes round for ever.")
        .help("let a literal or a number stand before it, as \"*\" does before the elements of an array")
}

fn unbounded(name: &str, rule: Span, first: &Use) -> Diagnostic {
    if first.jump {
        return Diagnostic::error(Code::C8, "this jump could go round very often")
            .primary(first.span, format!("`{name}` can lead to another `{name}`, which leads to another"))
            .secondary(rule, "has no greatest depth")
            .note("Each jump goes further back, but a message of 64 KB has room for tens of thousands of them.")
            .help("bound them where the rule is named: `max depth 64`");
    }
    Diagnostic::error(Code::C8, format!("nothing bounds how deep `{name}` contains itself"))
        .primary(first.span, format!("leads to `{name}` within `{name}`"))
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
