//! First sets: by which octets something begins.

use std::cell::Cell;

use crate::model::{ClassSet, Delimiter, First, FirstArm, Item, Literal, Next, Prefix, RuleId, Shape};

use super::Lowering;
use super::types::digits;

/// Most items that are looked at for one decision; beyond it anything may come.
const MAX_STEPS: usize = 2000;
/// Most lists within lists that are looked through.
const MAX_LEVELS: usize = 16;

/// How far one look goes.
struct Look<'l, 'a> {
    low: &'l Lowering<'a>,
    steps: Cell<usize>,
}

impl<'l, 'a> Look<'l, 'a> {
    fn new(low: &'l Lowering<'a>) -> Look<'l, 'a> {
        Look { low, steps: Cell::new(0) }
    }

    /// Counts a step; true if it was one too many.
    fn is_over(&self, level: usize) -> bool {
        self.steps.set(self.steps.get().saturating_add(1));
        self.steps.get() > MAX_STEPS || level > MAX_LEVELS
    }
}

/// By what these items begin; where they may read nothing, by anything.
pub(super) fn of_items(items: &[Item], low: &Lowering<'_>) -> First {
    let mut heads = heads(items, &Look::new(low), 0);
    if heads.may_be_empty {
        heads.prefixes.push(any());
    }
    First { prefixes: without_repetition(heads.prefixes) }
}

/// By what an element of a list begins.
pub(super) fn of_rule(rule: RuleId, low: &Lowering<'_>) -> First {
    let mut heads = of_rule_heads(rule, &Look::new(low), 0);
    if heads.may_be_empty {
        heads.prefixes.push(any());
    }
    First { prefixes: without_repetition(heads.prefixes) }
}

struct Heads {
    prefixes: Vec<Prefix>,
    may_be_empty: bool,
}

fn any() -> Prefix {
    class(ClassSet::ALL, true)
}

fn class(set: ClassSet, anything: bool) -> Prefix {
    let literal = Literal { bytes: Box::default(), fold: false };
    Prefix { literal, next: if anything { Next::Any } else { Next::Class(set) } }
}

fn of_rule_heads(rule: RuleId, look: &Look<'_, '_>, level: usize) -> Heads {
    match look.low.rules.get(usize::from(rule.0)).and_then(|slot| slot.rule.as_ref()) {
        Some(rule) => heads(&rule.items, look, level.saturating_add(1)),
        // It is being lowered: it contains itself, and only running it tells.
        None => Heads { prefixes: vec![class(ClassSet::ALL, false)], may_be_empty: false },
    }
}

fn heads(items: &[Item], look: &Look<'_, '_>, level: usize) -> Heads {
    let mut all = Heads { prefixes: Vec::new(), may_be_empty: true };
    if look.is_over(level) {
        return all_of(all.prefixes);
    }
    for (index, item) in items.iter().enumerate() {
        if look.is_over(level) {
            return all_of(all.prefixes);
        }
        let behind = items.get(index.saturating_add(1)..).unwrap_or_default();
        let one = of_item(item, behind, look, level);
        all.prefixes.extend(one.prefixes);
        if !one.may_be_empty {
            all.may_be_empty = false;
            return all;
        }
    }
    all
}

/// Anything may come, but something has to.
fn all_of(mut prefixes: Vec<Prefix>) -> Heads {
    prefixes.push(class(ClassSet::ALL, false));
    Heads { prefixes, may_be_empty: false }
}

fn of_item(item: &Item, behind: &[Item], look: &Look<'_, '_>, level: usize) -> Heads {
    let single = |prefix: Prefix| Heads { prefixes: vec![prefix], may_be_empty: false };
    match item {
        Item::Literal(literal) => single(extended(literal, behind, look, level)),
        Item::Field(field) => of_shape(&field.shape, behind, look, level),
        Item::Let { .. } | Item::Check { .. } | Item::Follow { .. } => {
            Heads { prefixes: Vec::new(), may_be_empty: true }
        }
        Item::Fail { .. } => Heads { prefixes: Vec::new(), may_be_empty: false },
        Item::Optional { items, .. } | Item::When { items, .. } => {
            Heads { may_be_empty: true, ..heads(items, look, level.saturating_add(1)) }
        }
        Item::Window { items, .. } => heads(items, look, level.saturating_add(1)),
        Item::Line { items, .. } => {
            let mut inside = heads(items, look, level.saturating_add(1));
            if inside.may_be_empty {
                inside.prefixes.push(class(ClassSet::of(*b"\r\n"), false));
            }
            Heads { may_be_empty: false, ..inside }
        }
        Item::Switch { arms, otherwise, .. } => {
            let branches = arms.iter().map(|arm| arm.items.as_slice()).chain(otherwise.as_deref());
            union(branches.map(|items| heads(items, look, level.saturating_add(1))))
        }
        Item::Choose { arms, otherwise, .. } => {
            let firsts = arms.iter().map(|arm: &FirstArm| Heads {
                prefixes: arm.first.prefixes.clone(),
                may_be_empty: heads(&arm.items, look, level.saturating_add(1)).may_be_empty,
            });
            let rest = otherwise.iter().map(|items| heads(items, look, level.saturating_add(1)));
            union(firsts.chain(rest))
        }
        Item::Many(many) => {
            use crate::model::End;
            let element = of_rule_heads(many.element, look, level);
            let at_least_one = matches!(many.end, End::Until(_) | End::While(_));
            let mut prefixes = element.prefixes;
            match &many.end {
                End::UntilLiteral(literal) => prefixes.push(Prefix { literal: literal.clone(), next: Next::Any }),
                End::UntilEmptyLine => prefixes.push(class(ClassSet::of(*b"\r\n"), false)),
                _ => {}
            }
            let consumed = matches!(many.end, End::UntilLiteral(_) | End::UntilEmptyLine);
            Heads { prefixes, may_be_empty: element.may_be_empty || !(at_least_one || consumed) }
        }
        Item::Value { rule, .. } => of_rule_heads(*rule, look, level),
    }
}

fn of_shape(shape: &Shape, behind: &[Item], look: &Look<'_, '_>, level: usize) -> Heads {
    let of = |set: ClassSet, may_be_empty: bool| Heads { prefixes: vec![class(set, false)], may_be_empty };
    match shape {
        Shape::Number { .. } | Shape::Bits(_) | Shape::Ipv4 | Shape::Ipv6 => of(ClassSet::ALL, false),
        Shape::Bytes(portcullis_lang::Formula::Number(size)) => of(ClassSet::ALL, *size <= 0),
        Shape::Bytes(_) | Shape::Rest => of(ClassSet::ALL, true),
        Shape::Class { set, min, .. } => of(*set, *min == 0),
        Shape::Until { delimiter: Delimiter::Class(set), or_end, consume, .. } => {
            let content = if *consume { ClassSet::ALL } else { ClassSet(set.0.map(|word| !word)) };
            of(content, *or_end || !consume)
        }
        // The delimiter has to come, so something does.
        Shape::Until { or_end, .. } => of(ClassSet::ALL, *or_end),
        Shape::Decimal { .. } => of(digits(), false),
        Shape::Hex { .. } => of(digits().union(&ClassSet::of((b'A'..=b'F').chain(b'a'..=b'f'))), false),
        Shape::OneOf { texts, end } => {
            let mut prefixes: Vec<Prefix> = texts.iter().map(|text| extended(text, behind, look, level)).collect();
            if *end {
                prefixes.push(Prefix { literal: Literal { bytes: Box::default(), fold: false }, next: Next::End });
            }
            Heads { prefixes, may_be_empty: false }
        }
        Shape::Blanks => of(ClassSet::of(*b" \t"), true),
        Shape::Newline => of(ClassSet::of(*b"\r\n"), false),
        Shape::End => Heads {
            prefixes: vec![Prefix { literal: Literal { bytes: Box::default(), fold: false }, next: Next::End }],
            may_be_empty: false,
        },
    }
}

/// A literal and the octet behind it; literals that follow each other are one.
fn extended(literal: &Literal, behind: &[Item], look: &Look<'_, '_>, level: usize) -> Prefix {
    let mut bytes = literal.bytes.to_vec();
    let mut behind = behind;
    while let [Item::Literal(next), rest @ ..] = behind {
        let letters = |bytes: &[u8]| bytes.iter().any(u8::is_ascii_alphabetic);
        if next.fold != literal.fold && (letters(&next.bytes) || letters(&bytes)) {
            break;
        }
        bytes.extend_from_slice(&next.bytes);
        behind = rest;
    }
    let literal = Literal { bytes: bytes.into(), fold: literal.fold };
    let next = heads(behind, look, level.saturating_add(1));
    if next.may_be_empty {
        return Prefix { literal, next: Next::Any };
    }
    let mut set = ClassSet::EMPTY;
    for prefix in &next.prefixes {
        match (prefix.literal.bytes.first(), &prefix.next) {
            (Some(octet), _) if prefix.literal.fold => {
                set.insert(octet.to_ascii_lowercase());
                set.insert(octet.to_ascii_uppercase());
            }
            (Some(octet), _) => set.insert(*octet),
            (None, Next::Class(class)) => set = set.union(class),
            (None, Next::Any | Next::End) => return Prefix { literal, next: Next::Any },
        }
    }
    let next = if set == ClassSet::EMPTY { Next::Any } else { Next::Class(set) };
    Prefix { literal, next }
}

fn union(branches: impl Iterator<Item = Heads>) -> Heads {
    let mut all = Heads { prefixes: Vec::new(), may_be_empty: false };
    for branch in branches {
        all.prefixes.extend(branch.prefixes);
        all.may_be_empty |= branch.may_be_empty;
    }
    all
}

fn without_repetition(prefixes: Vec<Prefix>) -> Vec<Prefix> {
    // Where anything will do, nothing else matters.
    if prefixes.iter().any(|prefix| prefix.literal.bytes.is_empty() && prefix.next == Next::Any) {
        return vec![any()];
    }
    let mut kept: Vec<Prefix> = Vec::new();
    for prefix in prefixes {
        if !kept.contains(&prefix) {
            kept.push(prefix);
        }
    }
    kept
}
