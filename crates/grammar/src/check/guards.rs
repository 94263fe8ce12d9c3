//! Reasoning about guards: can these tests hold together?
//!
//! A test is turned into alternatives, each of which says for some subjects (a field, or whatever is compared with a
//! constant) in which set its value lies. Tests that compare nothing with a constant are taken as facts that are either
//! true or false. The answer "cannot hold" is therefore sure and the answer "can hold" is not: a check built on it never
//! complains about a rule that does apply.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_lang::{CaseValue, Comparison, Formula, Place, Type};

use crate::limits::MAX_ALTERNATIVES;
use crate::show::Names;

/// Texts, all in upper case where case does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Texts {
    /// These.
    Only(BTreeSet<Vec<u8>>),
    /// All but these.
    Except(BTreeSet<Vec<u8>>),
}

impl Texts {
    fn none() -> Texts {
        Texts::Only(BTreeSet::new())
    }

    fn all() -> Texts {
        Texts::Except(BTreeSet::new())
    }

    fn complement(&self) -> Texts {
        match self {
            Texts::Only(set) => Texts::Except(set.clone()),
            Texts::Except(set) => Texts::Only(set.clone()),
        }
    }

    fn intersection(&self, other: &Texts) -> Texts {
        match (self, other) {
            (Texts::Only(one), Texts::Only(two)) => Texts::Only(one & two),
            (Texts::Only(one), Texts::Except(two)) | (Texts::Except(two), Texts::Only(one)) => Texts::Only(one - two),
            (Texts::Except(one), Texts::Except(two)) => Texts::Except(one | two),
        }
    }

    fn is_empty(&self) -> bool {
        *self == Texts::none()
    }
}

/// A set of values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Set {
    absent: bool,
    no: bool,
    yes: bool,
    numbers: Vec<(i64, i64)>,
    texts: Texts,
    /// Addresses, lists, groups.
    other: bool,
}

impl Set {
    /// No value at all.
    fn none() -> Set {
        Set { absent: false, no: false, yes: false, numbers: Vec::new(), texts: Texts::none(), other: false }
    }

    /// Every value.
    fn all() -> Set {
        let numbers = vec![(i64::MIN, i64::MAX)];
        Set { absent: true, no: true, yes: true, numbers, texts: Texts::all(), other: true }
    }

    fn numbers(low: i64, high: i64) -> Set {
        Set { numbers: if low <= high { vec![(low, high)] } else { Vec::new() }, ..Set::none() }
    }

    /// The values of a type; `absent`: and none.
    fn of_type(kind: &Type, absent: bool) -> Set {
        let set = match kind {
            // A bit may be compared with 0 and 1.
            Type::Boolean => Set { no: true, yes: true, ..Set::numbers(0, 1) },
            Type::Number { min, max } => Set::numbers(*min, *max),
            Type::Enumeration(_) => Set::numbers(i64::MIN, i64::MAX),
            Type::Text { .. } | Type::Keyword { .. } => Set { texts: Texts::all(), ..Set::none() },
            Type::Address | Type::Group | Type::List(_) => Set { no: true, yes: true, other: true, ..Set::none() },
        };
        Set { absent, ..set }
    }

    /// The values of a branch.
    fn of_cases(cases: &[CaseValue], fold: bool) -> Set {
        let mut set = Set::none();
        let mut texts = BTreeSet::new();
        for case in cases {
            match case {
                CaseValue::Range(low, high) => {
                    set.numbers = unite(&set.numbers, (*low, *high));
                    set.no |= *low <= 0 && 0 <= *high;
                    set.yes |= *low <= 1 && 1 <= *high;
                }
                CaseValue::Text(text) => {
                    texts.insert(folded(text, fold));
                }
            }
        }
        set.texts = Texts::Only(texts);
        set
    }

    fn complement(&self) -> Set {
        Set {
            absent: !self.absent,
            no: !self.no,
            yes: !self.yes,
            numbers: gaps(&self.numbers),
            texts: self.texts.complement(),
            other: !self.other,
        }
    }

    fn intersection(&self, other: &Set) -> Set {
        let mut numbers = Vec::new();
        for one in &self.numbers {
            for two in &other.numbers {
                let (low, high) = (one.0.max(two.0), one.1.min(two.1));
                if low <= high {
                    numbers.push((low, high));
                }
            }
        }
        Set {
            absent: self.absent && other.absent,
            no: self.no && other.no,
            yes: self.yes && other.yes,
            numbers,
            texts: self.texts.intersection(&other.texts),
            other: self.other && other.other,
        }
    }

    fn is_empty(&self) -> bool {
        !self.absent && !self.no && !self.yes && !self.other && self.numbers.is_empty() && self.texts.is_empty()
    }

    /// The ranges of numbers in it, in order.
    pub(super) fn ranges(&self) -> &[(i64, i64)] {
        &self.numbers
    }

    /// The texts in it, if they are few enough to be counted.
    pub(super) fn texts(&self) -> Option<Vec<&[u8]>> {
        match &self.texts {
            Texts::Only(set) => Some(set.iter().map(Vec::as_slice).collect()),
            Texts::Except(_) => None,
        }
    }
}

fn folded(text: &[u8], fold: bool) -> Vec<u8> {
    if fold { text.to_ascii_uppercase() } else { text.to_vec() }
}

/// Ranges in order and apart, with one more.
fn unite(ranges: &[(i64, i64)], more: (i64, i64)) -> Vec<(i64, i64)> {
    let mut all = ranges.to_vec();
    all.push(more);
    all.sort_unstable();
    let mut united: Vec<(i64, i64)> = Vec::new();
    for (low, high) in all {
        match united.last_mut() {
            Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
            _ => united.push((low, high)),
        }
    }
    united
}

/// What lies between ranges that are in order and apart.
fn gaps(ranges: &[(i64, i64)]) -> Vec<(i64, i64)> {
    let mut gaps = Vec::new();
    let mut next = Some(i64::MIN);
    for (low, high) in ranges {
        if let Some(start) = next.filter(|start| start < low) {
            gaps.push((start, low.saturating_sub(1)));
        }
        next = high.checked_add(1);
    }
    gaps.extend(next.map(|start| (start, i64::MAX)));
    gaps
}

/// What a subject is known by: how it is written, and whether case counts.
type Subject = String;

/// One way in which tests can hold: where the value of each subject lies.
type Way = BTreeMap<Subject, Set>;

/// The tests that hold so far, as alternatives.
#[derive(Clone, Debug)]
pub(super) struct Facts<'a> {
    names: Names<'a>,
    /// None: too many to look into.
    ways: Option<Vec<Way>>,
    /// Closer bounds of places than their type has.
    bounds: Vec<(Place, i64, i64)>,
    /// Places that surely hold a value. A `let` may have none even where it is not optional.
    present: Vec<Place>,
}

impl<'a> Facts<'a> {
    /// Nothing is known but the types of places.
    pub(super) fn new(names: Names<'a>) -> Facts<'a> {
        Facts { names, ways: Some(vec![Way::new()]), bounds: Vec::new(), present: Vec::new() }
    }

    /// Bounds the number in a place.
    #[must_use]
    pub(super) fn bounded(mut self, place: Place, low: i64, high: i64) -> Facts<'a> {
        self.bounds.push((place, low, high));
        self
    }

    /// Says that these places hold a value.
    #[must_use]
    pub(super) fn present(mut self, places: impl IntoIterator<Item = Place>) -> Facts<'a> {
        self.present.extend(places);
        self
    }

    /// Adds that a test holds, or does not.
    pub(super) fn add(&mut self, test: &Formula, holds: bool) {
        let Some(ways) = self.ways.take() else { return };
        let Some(new) = self.alternatives(test, holds) else { return };
        let mut both = Vec::new();
        for way in &ways {
            for other in &new {
                both.extend(together(way, other));
                if both.len() > MAX_ALTERNATIVES {
                    return;
                }
            }
        }
        self.ways = Some(both);
    }

    /// Whether what was added can hold together.
    pub(super) fn possible(&self) -> bool {
        self.ways.as_ref().is_none_or(|ways| !ways.is_empty())
    }

    /// The values of a subject in all ways, if they are known.
    pub(super) fn values(&self, of: &Formula, fold: bool) -> Vec<&Set> {
        let subject = subject(of, fold);
        self.ways.iter().flatten().filter_map(|way| way.get(&subject)).collect()
    }

    /// The ways in which a test holds, or does not.
    fn alternatives(&self, test: &Formula, holds: bool) -> Option<Vec<Way>> {
        match test {
            Formula::Boolean(value) => Some(if *value == holds { vec![Way::new()] } else { Vec::new() }),
            Formula::Not(part) => self.alternatives(part, !holds),
            Formula::And(parts) if holds => self.product(parts, true),
            Formula::Or(parts) if !holds => self.product(parts, false),
            Formula::And(parts) | Formula::Or(parts) => {
                let mut ways = Vec::new();
                for part in parts {
                    ways.extend(self.alternatives(part, holds)?);
                    if ways.len() > MAX_ALTERNATIVES {
                        return None;
                    }
                }
                Some(ways)
            }
            Formula::Compare { operator, left, right, fold } => match (left.as_ref(), right.as_ref()) {
                (of, constant) if is_constant(constant) => self.compared(test, of, *operator, constant, *fold, holds),
                (constant, of) if is_constant(constant) => {
                    self.compared(test, of, mirrored(*operator), constant, *fold, holds)
                }
                _ => Some(self.fact(test, holds)),
            },
            Formula::In { value, set, fold } => Some(self.lies_in(value, *fold, &Set::of_cases(set, *fold), holds)),
            Formula::Place(_) => {
                let truth = Set { absent: false, no: false, ..Set::all() };
                Some(self.lies_in(test, false, &truth, holds))
            }
            other => Some(self.fact(other, holds)),
        }
    }

    fn product(&self, parts: &[Formula], holds: bool) -> Option<Vec<Way>> {
        let mut ways = vec![Way::new()];
        for part in parts {
            let new = self.alternatives(part, holds)?;
            let mut both = Vec::new();
            for way in &ways {
                both.extend(new.iter().filter_map(|other| together(way, other)));
                if both.len() > MAX_ALTERNATIVES {
                    return None;
                }
            }
            ways = both;
        }
        Some(ways)
    }

    fn compared(
        &self,
        test: &Formula,
        of: &Formula,
        operator: Comparison,
        constant: &Formula,
        fold: bool,
        holds: bool,
    ) -> Option<Vec<Way>> {
        let numbers = |low: Option<i64>, high: Option<i64>| match (low, high) {
            (Some(low), Some(high)) => Set::numbers(low, high),
            _ => Set::none(),
        };
        let set = match (operator, constant) {
            (Comparison::Equal, Formula::Number(value)) => Set::numbers(*value, *value),
            (Comparison::NotEqual, Formula::Number(value)) => Set { numbers: gaps(&[(*value, *value)]), ..Set::none() },
            (Comparison::Less, Formula::Number(value)) => numbers(Some(i64::MIN), value.checked_sub(1)),
            (Comparison::LessOrEqual, Formula::Number(value)) => Set::numbers(i64::MIN, *value),
            (Comparison::Greater, Formula::Number(value)) => numbers(value.checked_add(1), Some(i64::MAX)),
            (Comparison::GreaterOrEqual, Formula::Number(value)) => Set::numbers(*value, i64::MAX),
            (Comparison::Equal, Formula::Boolean(value)) => Set { yes: *value, no: !*value, ..Set::none() },
            (Comparison::NotEqual, Formula::Boolean(value)) => Set { yes: !*value, no: *value, ..Set::none() },
            (Comparison::Equal, Formula::Bytes(text)) => {
                Set { texts: Texts::Only([folded(text, fold)].into()), ..Set::none() }
            }
            (Comparison::NotEqual, Formula::Bytes(text)) => {
                Set { texts: Texts::Except([folded(text, fold)].into()), ..Set::none() }
            }
            _ => return Some(self.fact(test, holds)),
        };
        Some(self.lies_in(of, fold && matches!(constant, Formula::Bytes(_)), &set, holds))
    }

    /// The one way in which a subject lies in a set, or outside of it.
    fn lies_in(&self, of: &Formula, fold: bool, set: &Set, holds: bool) -> Vec<Way> {
        let set = if holds { set.clone() } else { set.complement() };
        let set = set.intersection(&self.domain(of));
        if set.is_empty() { Vec::new() } else { vec![Way::from([(subject(of, fold), set)])] }
    }

    /// A test that is taken as a whole.
    fn fact(&self, test: &Formula, holds: bool) -> Vec<Way> {
        vec![Way::from([(subject(test, false), Set { yes: holds, no: !holds, ..Set::none() })])]
    }

    /// The values that a subject can have.
    fn domain(&self, of: &Formula) -> Set {
        match of {
            Formula::Place(place) => match self.names.kind(*place) {
                Some(kind) => {
                    let set = Set::of_type(kind, !self.present.contains(place));
                    let bound = self.bounds.iter().find(|bound| bound.0 == *place);
                    bound.map_or(set.clone(), |(_, low, high)| Set {
                        numbers: Set::numbers(*low, *high).intersection(&set).numbers,
                        ..set
                    })
                }
                None => Set::all(),
            },
            Formula::Count(_) | Formula::Length(_) => Set { absent: true, ..Set::numbers(0, i64::MAX) },
            _ => Set::all(),
        }
    }
}

/// The way in which both hold, if there is one.
fn together(one: &Way, two: &Way) -> Option<Way> {
    let mut both = one.clone();
    for (subject, set) in two {
        let set = match both.get(subject) {
            Some(known) => known.intersection(set),
            None => set.clone(),
        };
        if set.is_empty() {
            return None;
        }
        both.insert(subject.clone(), set);
    }
    Some(both)
}

fn subject(of: &Formula, fold: bool) -> Subject {
    format!("{of:?}{}", if fold { " in any case" } else { "" })
}

fn is_constant(formula: &Formula) -> bool {
    matches!(formula, Formula::Number(_) | Formula::Bytes(_) | Formula::Boolean(_))
}

/// `5 < x` as a test of x.
fn mirrored(operator: Comparison) -> Comparison {
    match operator {
        Comparison::Equal => Comparison::Equal,
        Comparison::NotEqual => Comparison::NotEqual,
        Comparison::Less => Comparison::Greater,
        Comparison::LessOrEqual => Comparison::GreaterOrEqual,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterOrEqual => Comparison::LessOrEqual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_lang::{FieldInfo, Layout, Scope};

    fn layout() -> Layout {
        let field = |path: &str, slot, kind| FieldInfo { path: path.into(), slot, kind, presence: Vec::new() };
        Layout {
            name: "reply".into(),
            fields: vec![
                field("code", 0, Type::Number { min: 200, max: 599 }),
                field("verb", 1, Type::Keyword { max: 16 }),
            ],
            width: 2,
        }
    }

    fn place(slot: u16) -> Box<Formula> {
        Box::new(Formula::Place(Place { scope: Scope::Record, slot }))
    }

    fn code(operator: Comparison, value: i64) -> Formula {
        Formula::Compare { operator, left: place(0), right: Box::new(Formula::Number(value)), fold: false }
    }

    fn verb(word: &str) -> Formula {
        let right = Box::new(Formula::Bytes(word.as_bytes().into()));
        Formula::Compare { operator: Comparison::Equal, left: place(1), right, fold: true }
    }

    fn possible(holding: &[&Formula], broken: &[&Formula]) -> bool {
        let layout = layout();
        let code = Place { scope: Scope::Record, slot: 0 };
        let mut facts = Facts::new(Names { flow: None, record: Some(&layout), element: None }).present([code]);
        holding.iter().for_each(|test| facts.add(test, true));
        broken.iter().for_each(|test| facts.add(test, false));
        facts.possible()
    }

    #[test]
    fn numbers_are_intervals() {
        let (high, higher) = (code(Comparison::GreaterOrEqual, 400), code(Comparison::Greater, 500));
        assert!(!possible(&[&higher], &[&high]));
        assert!(possible(&[&high], &[&higher]));
        assert!(!possible(&[&code(Comparison::Equal, 99)], &[]), "the type says 200 to 599");
        assert!(!possible(&[&code(Comparison::Less, i64::MIN)], &[]));
        // Two rules together take everything.
        assert!(!possible(&[], &[&high, &code(Comparison::Less, 400)]));
    }

    #[test]
    fn keywords_are_sets() {
        let set = vec![CaseValue::Text((*b"MAIL").into()), CaseValue::Text((*b"RCPT").into())];
        let either = Formula::In { value: place(1), set, fold: true };
        assert!(!possible(&[&verb("mail")], &[&either]));
        assert!(!possible(&[&either], &[&verb("MAIL"), &verb("RCPT")]));
        assert!(possible(&[&either], &[&verb("MAIL")]));
        let mail_and_rcpt = Formula::And(vec![verb("MAIL"), verb("RCPT")]);
        assert!(!possible(&[&mail_and_rcpt], &[]));
    }

    #[test]
    fn other_tests_are_facts() {
        let equal = Formula::Compare { operator: Comparison::Equal, left: place(0), right: place(1), fold: false };
        assert!(!possible(&[&equal], &[&equal]));
        assert!(possible(&[&equal], &[&code(Comparison::Equal, 250)]));
        let either = Formula::Or(vec![equal.clone(), code(Comparison::Equal, 250)]);
        assert!(!possible(&[&equal], &[&either]));
    }
}
