//! C4: two branches of a choice that accept the same input.

use portcullis_lang::{CaseValue, Code, Diagnostic, Diagnostics, Formula, Span};

use crate::model::{Arm, Expect, FirstArm, Item, Protocol, Rule};
use crate::show::{self, Names};

use super::heads::{self, After, Heads};
use super::walk;

pub(super) fn check(protocol: &Protocol, diagnostics: &mut Diagnostics) {
    for rule in &protocol.rules {
        of_items(protocol, rule, &rule.items, None, diagnostics);
    }
    for state in &protocol.machine.states {
        for expect in &state.expects {
            of_expect(expect, state.span, diagnostics);
        }
    }
}

fn of_items(
    protocol: &Protocol,
    rule: &Rule,
    items: &[Item],
    outer: Option<&After<'_>>,
    diagnostics: &mut Diagnostics,
) {
    for (at, item) in items.iter().enumerate() {
        let after = After { items: items.get(at.saturating_add(1)..).unwrap_or_default(), outer };
        match item {
            Item::Switch { on, fold, arms, .. } => by_value(protocol, rule, on, *fold, arms, diagnostics),
            Item::Choose { arms, .. } => by_first_octets(protocol, arms, &after, diagnostics),
            _ => {}
        }
        for part in walk::parts(item) {
            of_items(protocol, rule, part, Some(&after), diagnostics);
        }
    }
}

/// A value that two sets of cases share.
fn shared(one: &[CaseValue], two: &[CaseValue], fold: bool) -> Option<CaseValue> {
    one.iter().flat_map(|one| two.iter().map(move |two| (one, two))).find_map(|pair| match pair {
        (CaseValue::Range(low, high), CaseValue::Range(other_low, other_high)) => {
            let (low, high) = (*low.max(other_low), *high.min(other_high));
            (low <= high).then_some(CaseValue::Range(low, low))
        }
        (CaseValue::Text(one), CaseValue::Text(two)) => {
            let same = if fold { one.eq_ignore_ascii_case(two) } else { one == two };
            same.then(|| CaseValue::Text(one.clone()))
        }
        _ => None,
    })
}

fn by_value(protocol: &Protocol, rule: &Rule, on: &Formula, fold: bool, arms: &[Arm], diagnostics: &mut Diagnostics) {
    for (at, arm) in arms.iter().enumerate() {
        for earlier in arms.iter().take(at) {
            let Some(value) = shared(&earlier.values, &arm.values, fold) else { continue };
            let names = Names::of_layout(protocol, &rule.layout);
            let kind = match on {
                Formula::Place(place) => names.kind(*place),
                _ => None,
            };
            let on = show::formula(on, &names);
            let value = show::case(&value, kind);
            diagnostics.push(
                Diagnostic::error(Code::C4, "two branches of this choice take the same value")
                    .primary(arm.span, "... and so does this one, so that it is never reached with it".to_string())
                    .secondary(earlier.span, format!("this branch takes `{value}` ..."))
                    .note(format!("An input that shows it: `{on}` is {value}."))
                    .help(format!("take {value} out of one of the two branches")),
            );
        }
    }
}

fn by_first_octets(protocol: &Protocol, arms: &[FirstArm], after: &After<'_>, diagnostics: &mut Diagnostics) {
    let heads = Heads::new(protocol);
    for (at, arm) in arms.iter().enumerate() {
        for earlier in arms.iter().take(at) {
            let (one, two) = (heads::of_first(&earlier.first), heads::of_first(&arm.first));
            let Some(decided) = heads::witness(&one, &two) else { continue };
            // A longer input that both branches would go on with shows more than the octets that decide.
            let whole_one = heads::narrowed(&heads.of_all(&earlier.items, Some(after)), &one);
            let whole_two = heads::narrowed(&heads.of_all(&arm.items, Some(after)), &two);
            let longer = heads::witness(&whole_one, &whole_two).filter(|longer| longer.0.len() > decided.0.len());
            let (octets, ends) = longer.unwrap_or(decided);
            diagnostics.push(overlap(earlier.span, arm.span, &octets, ends));
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
            for (at, (values, expect)) in arms.iter().enumerate() {
                let same = arms.iter().take(at).find_map(|(earlier, _)| shared(earlier, values, *fold));
                if let Some(value) = same {
                    let value = show::case(&value, None);
                    diagnostics.push(
                        Diagnostic::error(Code::C4, "two branches of this choice take the same value")
                            .primary(state, format!("here, for {value}"))
                            .help(format!("take {value} out of one of the two branches")),
                    );
                }
                of_expect(expect, state, diagnostics);
            }
            of_expect(otherwise, state, diagnostics);
        }
        Expect::First { arms, otherwise } => {
            for (at, (first, expect)) in arms.iter().enumerate() {
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
