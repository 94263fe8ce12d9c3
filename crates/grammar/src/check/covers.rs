//! C18: a choice by value, without `else`, that does not cover every value.

use portcullis_lang::{Code, Diagnostic, Diagnostics, Formula, Place, Scope, Span, Type};

use crate::model::{Arm, Item, Protocol, Rule, Shape, Weight};
use crate::show::{self, Names};

use super::guards::Facts;
use super::walk;

/// More missing names than this are only counted.
const SHOWN_NAMES: usize = 4;

pub(super) fn check(protocol: &Protocol, diagnostics: &mut Diagnostics) {
    for rule in &protocol.rules {
        let mut known = Vec::new();
        of_items(protocol, rule, &rule.items, &mut known, diagnostics);
    }
}

/// Goes through items in order; `known` are the tests that have held so far, or the parse had failed.
fn of_items<'a>(
    protocol: &Protocol,
    rule: &'a Rule,
    items: &'a [Item],
    known: &mut Vec<&'a Formula>,
    diagnostics: &mut Diagnostics,
) {
    for item in items {
        match item {
            Item::Check { weight: Weight::Must, test, .. } => known.push(test),
            Item::Switch { on, fold, arms, otherwise: None, span } => {
                if let Some(missing) = missing(protocol, rule, on, *fold, arms, known) {
                    diagnostics.push(message(protocol, rule, on, *span, &missing));
                }
            }
            _ => {}
        }
        for part in walk::parts(item) {
            let before = known.len();
            of_items(protocol, rule, part, known, diagnostics);
            known.truncate(before);
        }
    }
}

/// What no branch takes.
enum Missing {
    /// Ranges of numbers.
    Numbers(Vec<(i64, i64)>),
    /// These texts.
    Texts(Vec<Vec<u8>>),
    /// All other texts.
    OtherTexts,
}

fn missing(
    protocol: &Protocol,
    rule: &Rule,
    on: &Formula,
    fold: bool,
    arms: &[Arm],
    known: &[&Formula],
) -> Option<Missing> {
    let mut facts = Facts::new(Names::of_layout(protocol, &rule.layout));
    let mut texts = None;
    if let Formula::Place(place) = on {
        match shape(rule, *place) {
            Some(Shape::Number { octets, signed: false, .. }) if *octets < 8 => {
                facts = facts.bounded(*place, 0, (1_i64 << (u32::from(*octets) * 8)) - 1);
            }
            Some(Shape::Bits(bits)) if *bits < 63 => facts = facts.bounded(*place, 0, (1_i64 << bits) - 1),
            Some(Shape::OneOf { texts: all, end }) => {
                let end = end.then(Vec::new);
                texts = Some(all.iter().map(|text| text.bytes.to_vec()).chain(end).collect::<Vec<_>>());
            }
            _ => {}
        }
        facts = facts.present([*place]);
    }
    known.iter().for_each(|test| facts.add(test, true));
    let set: Vec<_> = arms.iter().flat_map(|arm| arm.values.iter().cloned()).collect();
    if let Some(texts) = texts {
        let left =
            texts.into_iter().filter(|text| !portcullis_lang::is_in(&portcullis_lang::Value::bytes(text), &set, fold));
        let left: Vec<Vec<u8>> = left.collect();
        return (!left.is_empty()).then_some(Missing::Texts(left));
    }
    facts.add(&Formula::In { value: Box::new(on.clone()), set, fold }, false);
    if !facts.possible() {
        return None;
    }
    let values = facts.values(on, fold);
    let mut ranges: Vec<(i64, i64)> = values.iter().flat_map(|set| set.ranges().to_vec()).collect();
    ranges.sort_unstable();
    ranges.dedup();
    if let Some(kind) = kind(protocol, rule, on)
        && matches!(kind, Type::Text { .. } | Type::Keyword { .. })
    {
        return match values.iter().map(|set| set.texts()).collect::<Option<Vec<_>>>() {
            Some(few) => {
                let few: Vec<Vec<u8>> = few.into_iter().flatten().map(<[u8]>::to_vec).collect();
                (!few.is_empty()).then_some(Missing::Texts(few))
            }
            None => Some(Missing::OtherTexts),
        };
    }
    (!ranges.is_empty()).then_some(Missing::Numbers(ranges))
}

fn kind<'a>(protocol: &'a Protocol, rule: &'a Rule, on: &Formula) -> Option<&'a Type> {
    match on {
        Formula::Place(place) => Names::of_layout(protocol, &rule.layout).kind(*place),
        _ => None,
    }
}

/// How the field in a place looks on the wire.
fn shape(rule: &Rule, place: Place) -> Option<&Shape> {
    let mut shape = None;
    if place.scope == Scope::Record {
        walk::each_item(&rule.items, &mut |item| {
            if let Item::Field(field) = item
                && field.slot == Some(place.slot)
            {
                shape.get_or_insert(&field.shape);
            }
        });
    }
    shape
}

fn message(protocol: &Protocol, rule: &Rule, on: &Formula, span: Span, missing: &Missing) -> Diagnostic {
    let names = Names::of_layout(protocol, &rule.layout);
    let name = show::formula(on, &names);
    let kind = kind(protocol, rule, on);
    let (what, shows) = match missing {
        Missing::Numbers(ranges) => {
            let shows = ranges.first().map(|range| show::number(range.0, kind)).unwrap_or_default();
            (numbers(ranges, kind), shows)
        }
        Missing::Texts(texts) => {
            let all: Vec<String> = texts.iter().take(SHOWN_NAMES).map(|text| show::quoted(text)).collect();
            (all.join(", "), all.first().cloned().unwrap_or_default())
        }
        Missing::OtherTexts => ("any other text".to_owned(), show::quoted(b"?")),
    };
    Diagnostic::error(Code::C18, "this choice does not cover every value")
        .primary(span, format!("no branch for {what}"))
        .note(format!("An input that shows it: `{name}` is {shows}. The whole message would be malformed, and what it carries unseen."))
        .help("add `else => _: rest` for what is not known yet, or `else => error \"...\"` if it must not be")
        .help(format!("or say before the choice which values there are: `{name} must be in ...`"))
}

/// Missing numbers, by name where they have one.
fn numbers(ranges: &[(i64, i64)], kind: Option<&Type>) -> String {
    let mut parts = Vec::new();
    if let Some(Type::Enumeration(enumeration)) = kind {
        let named = enumeration
            .members
            .iter()
            .filter(|(_, value)| ranges.iter().any(|range| range.0 <= *value && *value <= range.1));
        parts.extend(named.map(|(name, _)| name.clone()));
    }
    let named = parts.len();
    parts.truncate(SHOWN_NAMES);
    if named > SHOWN_NAMES {
        parts.push(format!("{} more names", named - SHOWN_NAMES));
    }
    let all: Vec<String> = ranges
        .iter()
        .filter(|range| {
            range.0 < range.1 || kind.is_none_or(|kind| show::number(range.0, Some(kind)) == range.0.to_string())
        })
        .take(SHOWN_NAMES)
        .map(|range| match *range {
            (low, high) if low == high => low.to_string(),
            (low, i64::MAX) => format!("{low} and above"),
            (i64::MIN, high) => format!("{high} and below"),
            (low, high) => format!("{low}..{high}"),
        })
        .collect();
    if parts.is_empty() {
        return all.join(", ");
    }
    if !all.is_empty() {
        parts.push(format!("and unknown numbers ({})", all.join(", ")));
    }
    parts.join(", ")
}
