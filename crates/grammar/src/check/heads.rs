//! What an input can begin with: the first octets that items accept, as patterns of a bounded length.
//!
//! The patterns accept too much rather than too little, so that "these two cannot be confused" is sure. Where they
//! meet, [`witness`] gives an input that shows it.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};

use portcullis_lang::Formula;

use crate::limits::{HEAD_OCTETS, MAX_HEADS};
use crate::model::{
    ClassSet, Delimiter, End, First, Item, Literal, Many, Next, Prefix, Protocol, RuleId, RuleKind, Shape,
};

use super::walk;

/// Rules within rules that are looked into.
const MAX_RULES: u8 = 6;

/// What comes after the octets of a [`Head`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Tail {
    /// The items are through: whatever follows them follows here.
    Through,
    /// Anything, or nothing.
    Open,
    /// The end of the window.
    End,
    /// What nothing else claims (`rest`): it never competes.
    Rest,
}

/// One way in which an input can begin.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Head {
    pub(super) octets: Vec<ClassSet>,
    pub(super) tail: Tail,
}

impl Head {
    fn new(octets: Vec<ClassSet>, tail: Tail) -> Head {
        Head { octets, tail }
    }
}

/// What is around items: those that come after them, and what is around those.
#[derive(Clone, Copy, Debug)]
pub(super) struct After<'a> {
    pub(super) items: &'a [Item],
    pub(super) outer: Option<&'a After<'a>>,
}

/// Computes heads for the rules of a protocol, each rule's once.
#[derive(Debug)]
pub(super) struct Heads<'a> {
    pub(super) protocol: &'a Protocol,
    /// Rules that are being looked into.
    nested: Cell<u8>,
    known: RefCell<HashMap<RuleId, Vec<Head>>>,
}

impl<'a> Heads<'a> {
    pub(super) fn new(protocol: &'a Protocol) -> Heads<'a> {
        Heads { protocol, nested: Cell::new(0), known: RefCell::default() }
    }

    /// What items can begin with, and where they are through what comes after them.
    pub(super) fn of_all(&self, items: &[Item], after: Option<&After<'_>>) -> Vec<Head> {
        let mut heads = self.of_items(items);
        let mut next = after;
        while let Some(after) = next {
            if !heads.iter().any(|head| head.tail == Tail::Through) {
                break;
            }
            heads = join(heads, &self.of_items(after.items));
            next = after.outer;
        }
        heads
    }

    /// What items can begin with.
    pub(super) fn of_items(&self, items: &[Item]) -> Vec<Head> {
        let mut heads = vec![Head::new(Vec::new(), Tail::Through)];
        for item in items {
            if !heads.iter().any(|head| head.tail == Tail::Through) {
                break;
            }
            heads = join(heads, &self.of_item(item));
        }
        heads
    }

    /// What the elements of a rule begin with.
    pub(super) fn of_rule(&self, rule: RuleId) -> Vec<Head> {
        let Some(it) = self.protocol.rules.get(usize::from(rule.0)) else { return anything() };
        if let Some(known) = self.known.borrow().get(&rule) {
            return known.clone();
        }
        let nested = self.nested.get();
        if nested >= MAX_RULES {
            return anything();
        }
        // A rule that begins with itself finds this.
        self.known.borrow_mut().insert(rule, anything());
        self.nested.set(nested.saturating_add(1));
        let heads = self.of_items(&it.items);
        let heads = if it.kind == RuleKind::Line { self.line(heads) } else { heads };
        self.nested.set(nested);
        self.known.borrow_mut().insert(rule, heads.clone());
        heads
    }

    fn of_item(&self, item: &Item) -> Vec<Head> {
        match item {
            Item::Literal(literal) => vec![Head::new(octets_of(literal), Tail::Through)],
            Item::Field(field) => self.of_shape(&field.shape),
            Item::Let { .. } | Item::Check { .. } | Item::Follow { .. } => nothing(),
            Item::Optional { items, .. } | Item::When { items, .. } => either(self.of_items(items), nothing()),
            Item::Switch { .. } | Item::Choose { .. } => {
                walk::parts(item).into_iter().fold(Vec::new(), |heads, part| either(heads, self.of_items(part)))
            }
            Item::Window { items, size, .. } => {
                let mut heads = self.of_items(items);
                heads.iter_mut().for_each(|head| match head.tail {
                    // The end of this window is not the end of what is around it.
                    Tail::End | Tail::Rest => head.tail = Tail::Through,
                    Tail::Through | Tail::Open => {}
                });
                if matches!(size, Formula::Number(octets) if *octets > 0) { heads } else { either(heads, nothing()) }
            }
            Item::Line { items, .. } => self.line(self.of_items(items)),
            Item::Many(many) => self.of_many(many),
            Item::Value { rule, .. } => self.of_rule(*rule),
            Item::Fail { .. } => Vec::new(),
        }
    }

    /// The heads of a line: behind its end stands a newline.
    fn line(&self, heads: Vec<Head>) -> Vec<Head> {
        let mut inside = Vec::new();
        for head in heads {
            match head.tail {
                Tail::End => inside.push(Head { tail: Tail::Through, ..head }),
                // The rest of a line is anything but its end, or nothing.
                Tail::Rest => {
                    let mut more = head.octets.clone();
                    more.push(not_newline());
                    inside.push(Head { tail: Tail::Through, ..head });
                    inside.push(Head::new(more, Tail::Open));
                }
                Tail::Through | Tail::Open => inside.push(head),
            }
        }
        join(inside, &self.newline())
    }

    fn newline(&self) -> Vec<Head> {
        let newline = &self.protocol.newline;
        let mut heads = Vec::new();
        if newline.crlf || !newline.lf {
            heads.push(Head::new(vec![ClassSet::of([b'\r']), ClassSet::of([b'\n'])], Tail::Through));
        }
        if newline.lf {
            heads.push(Head::new(vec![ClassSet::of([b'\n'])], Tail::Through));
        }
        heads
    }

    fn of_many(&self, many: &Many) -> Vec<Head> {
        let elements = || {
            let mut heads = self.of_rule(many.element);
            heads.iter_mut().for_each(|head| {
                if head.tail == Tail::Through {
                    head.tail = Tail::Open;
                }
            });
            heads
        };
        match &many.end {
            End::Window => either(elements(), vec![Head::new(Vec::new(), Tail::End)]),
            End::Count(Formula::Number(count)) if *count > 0 => elements(),
            End::Count(_) => either(elements(), nothing()),
            End::Until(_) | End::While(_) => elements(),
            End::UntilLiteral(literal) => either(elements(), vec![Head::new(octets_of(literal), Tail::Through)]),
            End::UntilEmptyLine => either(elements(), self.newline()),
            End::First(first) => either(of_first(first), nothing()),
        }
    }

    fn of_shape(&self, shape: &Shape) -> Vec<Head> {
        match shape {
            Shape::Number { octets, .. } => any_octets(usize::from(*octets)),
            Shape::Bits(_) => vec![Head::new(vec![ClassSet::ALL], Tail::Open)],
            Shape::Ipv4 => any_octets(4),
            Shape::Ipv6 => any_octets(16),
            Shape::Bytes(Formula::Number(size)) => any_octets(usize::try_from(*size).unwrap_or(0)),
            Shape::Bytes(_) => either(vec![Head::new(vec![ClassSet::ALL], Tail::Open)], nothing()),
            Shape::Rest => vec![Head::new(Vec::new(), Tail::Rest)],
            Shape::Class { set, min, max } => of_class(*set, *min, *max),
            Shape::Until { delimiter, or_end, consume, .. } => {
                let (first, delimiter) = match delimiter {
                    Delimiter::Text(text) => (ClassSet::ALL, text.iter().map(|octet| ClassSet::of([*octet])).collect()),
                    Delimiter::Class(set) => (complement(set), vec![*set]),
                };
                let mut heads = vec![Head::new(vec![first], Tail::Open)];
                heads.push(Head::new(if *consume { delimiter } else { Vec::new() }, Tail::Through));
                if *or_end {
                    heads.push(Head::new(Vec::new(), Tail::End));
                }
                heads
            }
            Shape::Decimal { max } => of_class(digits(), 1, *max),
            Shape::Hex { max } => of_class(hex_digits(), 1, *max),
            Shape::OneOf { texts, end } => {
                let mut heads: Vec<Head> = texts.iter().map(|text| Head::new(octets_of(text), Tail::Through)).collect();
                if *end {
                    heads.push(Head::new(Vec::new(), Tail::End));
                }
                heads
            }
            Shape::Blanks => of_class(ClassSet::of(*b" \t"), 0, u32::MAX),
            Shape::Newline => self.newline(),
            Shape::End => vec![Head::new(Vec::new(), Tail::End)],
        }
    }
}

/// The heads, and behind those that are through, others.
pub(super) fn followed(heads: Vec<Head>, next: &[Head]) -> Vec<Head> {
    join(heads, next)
}

/// The heads that decide about a part.
pub(super) fn of_first(first: &First) -> Vec<Head> {
    first.prefixes.iter().map(of_prefix).collect()
}

fn of_prefix(prefix: &Prefix) -> Head {
    let mut octets = octets_of(&prefix.literal);
    match &prefix.next {
        Next::Any => Head::new(octets, Tail::Open),
        Next::End => Head::new(octets, Tail::End),
        Next::Class(set) => {
            octets.push(*set);
            Head::new(octets, Tail::Open)
        }
    }
}

/// The longest input with which two of the heads meet: first octets, and whether the input ends there.
pub(super) fn witness(one: &[Head], two: &[Head]) -> Option<(Vec<u8>, bool)> {
    let mut best: Option<(Vec<u8>, bool)> = None;
    for a in one {
        for b in two {
            if let Some(found) = meet(a, b)
                && best.as_ref().is_none_or(|best| best.0.len() < found.0.len())
            {
                best = Some(found);
            }
        }
    }
    best
}

/// An input with which both begin.
fn meet(one: &Head, two: &Head) -> Option<(Vec<u8>, bool)> {
    if one.tail == Tail::Rest || two.tail == Tail::Rest {
        return None;
    }
    let (short, long) = if one.octets.len() <= two.octets.len() { (one, two) } else { (two, one) };
    if short.tail == Tail::End && short.octets.len() < long.octets.len() {
        return None;
    }
    let mut octets = Vec::new();
    for (at, set) in long.octets.iter().enumerate() {
        let common = short.octets.get(at).map_or(*set, |other| set.intersection(other));
        octets.push(likely_at(&common, at)?);
    }
    Some((octets, one.tail == Tail::End || two.tail == Tail::End))
}

/// The heads that begin as one of `with` does, narrowed to it.
pub(super) fn narrowed(heads: &[Head], with: &[Head]) -> Vec<Head> {
    let mut narrowed = Vec::new();
    for head in heads {
        for other in with {
            let opened = match head.tail {
                Tail::Rest => Head { tail: Tail::Open, ..head.clone() },
                _ => head.clone(),
            };
            if meet(&opened, other).is_none() {
                continue;
            }
            let length = head.octets.len().max(other.octets.len());
            let octet = |at: usize| match (head.octets.get(at), other.octets.get(at)) {
                (Some(one), Some(two)) => one.intersection(two),
                (Some(one), None) | (None, Some(one)) => *one,
                (None, None) => ClassSet::ALL,
            };
            let tail = match (head.tail, other.tail) {
                (_, Tail::End) => Tail::End,
                // The rest of a window goes on with anything.
                (Tail::Rest, _) => Tail::Open,
                (tail, _) => tail,
            };
            narrowed.push(Head::new((0..length).map(octet).collect(), tail));
        }
    }
    narrowed
}

/// The same, another letter or digit at each place, so that an input does not look like one octet many times.
fn likely_at(set: &ClassSet, at: usize) -> Option<u8> {
    let at = u8::try_from(at).unwrap_or(0) % 8;
    let nth = [b'A', b'a', b'0'].map(|first| first.saturating_add(at));
    nth.into_iter().find(|octet| set.contains(*octet)).or_else(|| likely(set))
}

/// The shortest input that some items take, if it is short; none if it is not known for sure.
pub(super) fn shortest(heads: &[Head]) -> Option<Vec<u8>> {
    let whole = heads.iter().filter(|head| matches!(head.tail, Tail::Through | Tail::End));
    let least = whole.min_by_key(|head| head.octets.len())?;
    least.octets.iter().enumerate().map(|(at, set)| likely_at(set, at)).collect()
}

/// An octet of a set that a person can read, if there is one.
pub(super) fn likely(set: &ClassSet) -> Option<u8> {
    let readable = (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').chain(0x21..=0x7e).chain([b' ']);
    readable.into_iter().find(|octet| set.contains(*octet)).or_else(|| set.first())
}

/// The octets that a set does not have.
pub(super) fn complement(set: &ClassSet) -> ClassSet {
    ClassSet(set.0.map(|word| !word))
}

pub(super) fn digits() -> ClassSet {
    ClassSet::of(b'0'..=b'9')
}

pub(super) fn hex_digits() -> ClassSet {
    ClassSet::of((b'0'..=b'9').chain(b'a'..=b'f').chain(b'A'..=b'F'))
}

fn not_newline() -> ClassSet {
    complement(&ClassSet::of(*b"\r\n"))
}

fn octets_of(literal: &Literal) -> Vec<ClassSet> {
    let both = |octet: u8| ClassSet::of([octet.to_ascii_lowercase(), octet.to_ascii_uppercase()]);
    literal.bytes.iter().map(|octet| if literal.fold { both(*octet) } else { ClassSet::of([*octet]) }).collect()
}

fn any_octets(count: usize) -> Vec<Head> {
    vec![Head::new(
        vec![ClassSet::ALL; count.min(HEAD_OCTETS)],
        if count > HEAD_OCTETS { Tail::Open } else { Tail::Through },
    )]
}

fn of_class(set: ClassSet, min: u32, max: u32) -> Vec<Head> {
    let reach = HEAD_OCTETS as u32;
    let mut heads: Vec<Head> = (min..=max.min(reach))
        .map(|length| Head::new(vec![set; usize::try_from(length).unwrap_or(HEAD_OCTETS)], Tail::Through))
        .collect();
    if max > reach {
        heads.push(Head::new(vec![set; HEAD_OCTETS], Tail::Open));
    }
    heads
}

fn nothing() -> Vec<Head> {
    vec![Head::new(Vec::new(), Tail::Through)]
}

fn anything() -> Vec<Head> {
    vec![Head::new(Vec::new(), Tail::Open)]
}

fn either(mut one: Vec<Head>, two: Vec<Head>) -> Vec<Head> {
    one.extend(two);
    bounded(one)
}

/// One after the other.
fn join(one: Vec<Head>, two: &[Head]) -> Vec<Head> {
    let mut joined: Vec<Head> = Vec::new();
    for head in one {
        if head.tail != Tail::Through {
            joined.push(head);
            continue;
        }
        for next in two {
            let mut octets = head.octets.clone();
            octets.extend_from_slice(&next.octets);
            let tail = if octets.len() > HEAD_OCTETS { Tail::Open } else { next.tail };
            octets.truncate(HEAD_OCTETS);
            joined.push(Head::new(octets, tail));
        }
    }
    bounded(joined)
}

/// Each pattern once; too many are made shorter until there are few.
fn bounded(mut heads: Vec<Head>) -> Vec<Head> {
    let mut seen = HashSet::new();
    heads.retain(|head| seen.insert(head.clone()));
    let mut length = HEAD_OCTETS;
    while heads.len() > MAX_HEADS && length > 0 {
        length -= 1;
        let mut seen = HashSet::new();
        for head in heads.iter_mut().filter(|head| head.octets.len() > length) {
            head.octets.truncate(length);
            head.tail = Tail::Open;
        }
        heads.retain(|head| seen.insert(head.clone()));
    }
    heads
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> Vec<Head> {
        vec![Head::new(text.bytes().map(|octet| ClassSet::of([octet])).collect(), Tail::Open)]
    }

    #[test]
    fn the_longest_meeting_is_the_witness() {
        let letters = ClassSet::of(b'A'..=b'Z');
        let word = of_class(letters, 1, u32::MAX);
        assert_eq!(witness(&literal("PAS"), &word), Some((b"PASDEFGH".to_vec(), false)));
        assert_eq!(witness(&literal("+OK"), &word), None);
        assert_eq!(witness(&literal("+OK"), &literal("-ERR")), None);
    }

    #[test]
    fn the_end_is_not_the_beginning_of_more() {
        let end = vec![Head::new(Vec::new(), Tail::End)];
        assert_eq!(witness(&end, &literal("a")), None);
        assert_eq!(witness(&end, &end), Some((Vec::new(), true)));
        let rest = vec![Head::new(Vec::new(), Tail::Rest)];
        assert_eq!(witness(&rest, &literal("a")), None, "`rest` never competes");
    }

    #[test]
    fn patterns_are_bounded() {
        let word = of_class(ClassSet::of(b'A'..=b'Z'), 0, u32::MAX);
        let mut heads = nothing();
        for _ in 0..8 {
            heads = join(heads, &word);
        }
        assert!(heads.len() <= MAX_HEADS);
    }
}
