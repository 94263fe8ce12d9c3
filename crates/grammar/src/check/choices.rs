//! C4: two branches of a choice that accept the same input.

use std::collections::HashMap;

use portcullis_lang::{CaseValue, Code, Diagnostic, Diagnostics, Formula, Span};

use crate::limits::MAX_BRANCHES;
use crate::model::{Arm, Expect, FirstArm, Item, Protocol, Rule};
use crate::show::{self, Names};

use super::heads::{self, After, Head, Heads};
use super::walk;

pub(super) fn check(protocol: &Protocol, diagnostics: &mut Diagnostics) {
    let heads = Heads::new(protocol);
    for rule in &protocol.rules {
        of_items(&heads, rule, &rule.items, None, diagnostics);
    }
    for state in &protocol.machine.states {
        for expect in &state.expects {
            of_expect(expect, state.span, diagnostics);
        }
    }
}

fn of_items(heads: &Heads<'_>, rule: &Rule, items: &[Item], outer: Option<&After<'_>>, diagnostics: &mut Diagnostics) {
    for (at, item) in items.iter().enumerate() {
        let after = After { items: items.get(at.saturating_add(1)..).unwrap_or_default(), outer };
        match item {
            Item::Switch { on, fold, arms, .. } => by_value(heads.protocol, rule, on, *fold, arms, diagnostics),
            Item::Choose { arms, span, .. } => by_first_octets(heads, arms, *span, &after, diagnostics),
            _ => {}
        }
        for part in walk::parts(item) {
            of_items(heads, rule, part, Some(&after), diagnostics);
        }
    }
}

/// The first two branches that share a value, and the value; branches are numbered in order.
fn shared<'a>(branches: impl Iterator<Item = &'a [CaseValue]>, fold: bool) -> Vec<(usize, usize, CaseValue)> {
    let mut texts: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut ranges: Vec<(i64, i64, usize)> = Vec::new();
    let mut found = Vec::new();
    for (at, values) in branches.enumerate() {
        for value in values {
            match value {
                CaseValue::Range(low, high) => ranges.push((*low, *high, at)),
                CaseValue::Text(text) => {
                    let key = if fold { text.to_ascii_uppercase() } else { text.to_vec() };
                    match texts.get(&key) {
                        Some(earlier) if *earlier != at => found.push((*earlier, at, value.clone())),
                        Some(_) => {}
                        None => {
                            texts.insert(key, at);
                        }
                    }
                }
            }
        }
    }
    ranges.sort_unstable();
    // The range so far that reaches farthest.
    let mut farthest: Option<(i64, usize)> = None;
    for (low, high, at) in ranges {
        if let Some((_, other)) = farthest.filter(|(end, other)| *end >= low && *other != at) {
            found.push((other.min(at), other.max(at), CaseValue::Range(low, low)));
        }
        if farthest.is_none_or(|(end, _)| end < high) {
            farthest = Some((high, at));
        }
    }
    found
}

fn by_value(protocol: &Protocol, rule: &Rule, on: &Formula, fold: bool, arms: &[Arm], diagnostics: &mut Diagnostics) {
    for (earlier, later, value) in shared(arms.iter().map(|arm| arm.values.as_slice()), fold) {
        let (Some(earlier), Some(later)) = (arms.get(earlier), arms.get(later)) else { continue };
        let names = Names::of_layout(protocol, &rule.layout);
        let kind = match on {
            Formula::Place(place) => names.kind(*place),
            _ => None,
        };
        let on = show::formula(on, &names);
        let value = show::case(&value, kind);
        diagnostics.push(
            Diagnostic::error(Code::C4, "two branches of this choice take the same value")
                .primary(later.span, "... and so does this one, which is never reached with it")
                .secondary(earlier.span, format!("this branch takes {value} ..."))
                .note(format!("An input that shows it: `{on}` is {value}."))
                .help(format!("take {value} out of one of the two branches")),
        );
    }
}

fn by_first_octets(
    heads: &Heads<'_>,
    arms: &[FirstArm],
    choice: Span,
    after: &After<'_>,
    diagnostics: &mut Diagnostics,
) {
    if arms.len() > MAX_BRANCHES {
        diagnostics.push(
            Diagnostic::error(Code::S5, "too many branches")
                .primary(choice, format!("by first octets there can be {MAX_BRANCHES}"))
                .help("read a word or number first, and choose by its value"),
        );
        return;
    }
    let firsts: Vec<Vec<Head>> = arms.iter().map(|arm| heads::of_first(&arm.first)).collect();
    for (at, (arm, two)) in arms.iter().zip(&firsts).enumerate() {
        for (earlier, one) in arms.iter().zip(&firsts).take(at) {
            let Some(decided) = heads::witness(one, two) else { continue };
            // A longer input that both branches would go on with shows more than the octets that decide.
            let whole_one = heads::narrowed(&heads.of_all(&earlier.items, Some(after)), one);
            let whole_two = heads::narrowed(&heads.of_all(&arm.items, Some(after)), two);
            let longer = heads::witness(&whole_one, &whole_two).filter(|longer| longer.0.len() > decided.0.len());
            let (octets, ends) = longer.unwrap_or(decided);
            diagnostics.push(overlap(earlier.span, arm.span, &octets, ends));
            // One message for a branch is enough.
            break;
        }
    }
}

fn overlap(earlier: Span, arm: Span, octets: &[u8], ends: bool) -> Diagnostic {
    let both = match (octets.is_empty(), ends) {
        (true, true) => "... and this one both accept the end of what there is".to_owned(),
        (true, false) => "... and this one both accept anything".to_owned(),
        (false, true) => format!("... and this one both accept  {}  and nothing behind it", show::quoted(octets)),
        (false, false) => format!("... and this one both start with  {}", show::quoted(octets)),
    };
    Diagnostic::error(Code::C4, "two branches of this choice accept the same input")
        .primary(arm, both)
        .secondary(earlier, "this branch ...")
        .note("The parser decides by looking at the first octets, and never goes back.")
        .help("branches by value are tried by name. Read the word first: `verb: word max 8`, then `choose verb { PASV => ...   else => ... }`")
        .help("or let one of them be the `else`")
}

/// What a side says in a state may be chosen by the first octets too.
fn of_expect(expect: &Expect, state: Span, diagnostics: &mut Diagnostics) {
    match expect {
        Expect::Nothing | Expect::Waits { .. } | Expect::Record(_) | Expect::Stream(_) => {}
        Expect::Then(_, then) => of_expect(then, state, diagnostics),
        Expect::Choose { fold, arms, otherwise, .. } => {
            for (_, _, value) in shared(arms.iter().map(|(values, _)| values.as_slice()), *fold) {
                let value = show::case(&value, None);
                diagnostics.push(
                    Diagnostic::error(Code::C4, "two branches of this choice take the same value")
                        .primary(state, format!("two things that a side may say here are chosen by {value}"))
                        .help(format!("take {value} out of one of the two branches")),
                );
            }
            arms.iter().for_each(|(_, expect)| of_expect(expect, state, diagnostics));
            of_expect(otherwise, state, diagnostics);
        }
        Expect::First { arms, otherwise } => {
            for (at, (first, expect)) in arms.iter().take(MAX_BRANCHES).enumerate() {
                let meets = |(earlier, _): &(crate::model::First, Expect)| {
                    heads::witness(&heads::of_first(earlier), &heads::of_first(first))
                };
                if let Some((octets, _)) = arms.iter().take(at).find_map(meets) {
                    diagnostics.push(
                        Diagnostic::error(Code::C4, "two branches of this choice accept the same input")
                            .primary(
                                state,
                                format!(
                                    "two things that a side may say here both start with  {}",
                                    show::quoted(&octets)
                                ),
                            )
                            .note("The parser decides by looking at the first octets, and never goes back.")
                            .help("write more of the first octets of each, or let one of them be the `else`"),
                    );
                }
                of_expect(expect, state, diagnostics);
            }
            of_expect(otherwise, state, diagnostics);
        }
    }
}
