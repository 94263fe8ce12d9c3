//! How many octets items can take, at least and at most; whether they may take none.

use portcullis_lang::{Arithmetic, Formula, Layout, Scope, Type};

use crate::limits::MAX_RULE_DEPTH;
use crate::model::{Delimiter, End, Item, Protocol, Rule, RuleId, RuleKind, Shape};

use super::walk;

/// Bits: least and most. No most: there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bits {
    least: u64,
    most: Option<u64>,
}

impl Bits {
    const NONE: Bits = Bits { least: 0, most: Some(0) };
    const ANY: Bits = Bits { least: 0, most: None };

    fn octets(least: u64, most: Option<u64>) -> Bits {
        Bits { least: least.saturating_mul(8), most: most.map(|most| most.saturating_mul(8)) }
    }

    fn then(self, next: Bits) -> Bits {
        let most = self.most.zip(next.most).map(|(one, two)| one.saturating_add(two));
        Bits { least: self.least.saturating_add(next.least), most }
    }

    fn or(self, other: Bits) -> Bits {
        let most = self.most.zip(other.most).map(|(one, two)| one.max(two));
        Bits { least: self.least.min(other.least), most }
    }

    fn times(self, least: u64, most: Option<u64>) -> Bits {
        let many = match (self.most, most) {
            (Some(0), _) | (_, Some(0)) => Some(0),
            (Some(size), Some(count)) => Some(size.saturating_mul(count)),
            _ => None,
        };
        Bits { least: self.least.saturating_mul(least), most: many }
    }
}

/// The sizes of the rules of a protocol.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    /// By rule. Too wide rather than too narrow, where rules nest deeper than was looked.
    bits: Vec<Bits>,
    /// By rule.
    empties: Vec<Empty>,
}

/// Whether items may take nothing at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Empty {
    /// Where the window has ended.
    pub(super) at_end: bool,
    /// Where there is more of it.
    pub(super) before_more: bool,
}

impl Empty {
    const NEVER: Empty = Empty { at_end: false, before_more: false };
    const ALWAYS: Empty = Empty { at_end: true, before_more: true };

    fn both(both: bool) -> Empty {
        Empty { at_end: both, before_more: both }
    }

    fn and(self, other: Empty) -> Empty {
        Empty { at_end: self.at_end && other.at_end, before_more: self.before_more && other.before_more }
    }

    fn or(self, other: Empty) -> Empty {
        Empty { at_end: self.at_end || other.at_end, before_more: self.before_more || other.before_more }
    }
}

impl Sizes {
    /// Computes the sizes of all rules.
    pub(crate) fn new(protocol: &Protocol) -> Sizes {
        let count = protocol.rules.len();
        let mut sizes = Sizes { bits: vec![Bits::ANY; count], empties: vec![Empty::NEVER; count] };
        for _ in 0..MAX_RULE_DEPTH {
            let mut changed = false;
            for (at, rule) in protocol.rules.iter().enumerate() {
                let (bits, empty) = (sizes.bits_of(rule), sizes.empty_of(rule));
                if let Some(known) = sizes.bits.get_mut(at).filter(|known| **known != bits) {
                    *known = bits;
                    changed = true;
                }
                if let Some(known) = sizes.empties.get_mut(at).filter(|known| **known != empty) {
                    *known = empty;
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        sizes
    }

    /// The most octets that a rule can take by what it consists of; none if there is no most.
    pub(crate) fn most_of_rule(&self, rule: &Rule) -> Option<u64> {
        let bits = self.of_items(&rule.items, &rule.layout);
        let newline = if rule.kind == RuleKind::Line { 2 } else { 0 };
        bits.most.map(|most| most.div_ceil(8).saturating_add(newline))
    }

    /// The least octets that an element of a rule takes.
    pub(crate) fn least_of_rule(&self, rule: RuleId) -> u64 {
        self.of_rule(rule).least / 8
    }

    /// The least and most octets that items can take.
    pub(super) fn octets(&self, items: &[Item], layout: &Layout) -> (u64, Option<u64>) {
        let bits = self.of_items(items, layout);
        (bits.least / 8, bits.most.map(|most| most.div_ceil(8)))
    }

    /// Whether items may take nothing.
    pub(super) fn empty(&self, items: &[Item], layout: &Layout) -> Empty {
        items.iter().fold(Empty::ALWAYS, |empty, item| empty.and(self.empty_item(item, layout)))
    }

    /// Whether the elements of a rule may take nothing.
    pub(super) fn empty_rule(&self, rule: RuleId) -> Empty {
        self.empties.get(usize::from(rule.0)).copied().unwrap_or(Empty::NEVER)
    }

    fn empty_of(&self, rule: &Rule) -> Empty {
        // A line takes its newline.
        if rule.kind == RuleKind::Line { Empty::NEVER } else { self.empty(&rule.items, &rule.layout) }
    }

    fn of_items(&self, items: &[Item], layout: &Layout) -> Bits {
        items.iter().fold(Bits::NONE, |bits, item| bits.then(self.of_item(item, layout)))
    }

    fn of_rule(&self, rule: RuleId) -> Bits {
        self.bits.get(usize::from(rule.0)).copied().unwrap_or(Bits::ANY)
    }

    fn bits_of(&self, rule: &Rule) -> Bits {
        let newline = if rule.kind == RuleKind::Line { Bits::octets(1, Some(2)) } else { Bits::NONE };
        let bits = self.of_items(&rule.items, &rule.layout).then(newline);
        match rule.max {
            0 => bits,
            max => Bits { most: Some(bits.most.unwrap_or(u64::MAX).min(u64::from(max).saturating_mul(8))), ..bits },
        }
    }

    fn of_item(&self, item: &Item, layout: &Layout) -> Bits {
        match item {
            Item::Literal(literal) => {
                let length = literal.bytes.len() as u64;
                Bits::octets(length, Some(length))
            }
            Item::Field(field) => of_shape(&field.shape, layout),
            Item::Let { .. } | Item::Check { .. } | Item::Follow { .. } => Bits::NONE,
            Item::Optional { items, .. } | Item::When { items, .. } => self.of_items(items, layout).or(Bits::NONE),
            // A part that is an error by intention takes nothing, and nothing comes of it.
            Item::Switch { .. } | Item::Choose { .. } => walk::parts(item)
                .into_iter()
                .filter(|part| !part.iter().any(|item| matches!(item, Item::Fail { .. })))
                .map(|part| self.of_items(part, layout))
                .reduce(Bits::or)
                .unwrap_or(Bits::NONE),
            Item::Window { size, .. } => {
                let (low, high) = interval(size, layout);
                Bits::octets(unsigned(low), high.map(unsigned))
            }
            Item::Line { max, items, .. } => {
                let inner = self.of_items(items, layout).then(Bits::octets(1, Some(2)));
                match max {
                    0 => inner,
                    max => Bits { most: Some(inner.most.unwrap_or(u64::MAX).min(u64::from(*max) * 8)), ..inner },
                }
            }
            Item::Many(many) => {
                let (least, most) = match &many.end {
                    End::Count(count) => {
                        let (low, high) = interval(count, layout);
                        (unsigned(low), high.map(unsigned))
                    }
                    End::Until(_) | End::While(_) => (1, None),
                    End::Window | End::UntilLiteral(_) | End::UntilEmptyLine | End::First(_) => (0, None),
                };
                let limit = (1..u32::MAX).contains(&many.max).then_some(u64::from(many.max));
                let most = match (most, limit) {
                    (Some(most), Some(limit)) => Some(most.min(limit)),
                    (most, limit) => most.or(limit),
                };
                let end = match &many.end {
                    End::UntilLiteral(literal) => {
                        Bits::octets(literal.bytes.len() as u64, Some(literal.bytes.len() as u64))
                    }
                    End::UntilEmptyLine => Bits::octets(1, Some(2)),
                    _ => Bits::NONE,
                };
                self.of_rule(many.element).times(least, most).then(end)
            }
            Item::Value { rule, .. } => self.of_rule(*rule),
            Item::Fail { .. } => Bits::NONE,
        }
    }

    fn empty_item(&self, item: &Item, layout: &Layout) -> Empty {
        match item {
            Item::Literal(literal) => Empty::both(literal.bytes.is_empty()),
            Item::Field(field) => empty_shape(&field.shape, layout),
            Item::Let { .. } | Item::Check { .. } | Item::Follow { .. } | Item::Optional { .. } | Item::When { .. } => {
                Empty::ALWAYS
            }
            Item::Switch { .. } | Item::Choose { .. } => walk::parts(item)
                .into_iter()
                .map(|part| self.empty(part, layout))
                .reduce(Empty::or)
                .unwrap_or(Empty::ALWAYS),
            Item::Window { size, .. } => Empty::both(interval(size, layout).0 <= 0),
            Item::Line { .. } | Item::Fail { .. } => Empty::NEVER,
            Item::Many(many) => match &many.end {
                End::Window => {
                    let element = self.empty_rule(many.element);
                    Empty { at_end: true, before_more: element.before_more }
                }
                End::Count(count) => {
                    let none = interval(count, layout).0 <= 0;
                    Empty::both(none).or(self.empty_rule(many.element))
                }
                End::Until(_) | End::While(_) => self.empty_rule(many.element),
                End::UntilLiteral(literal) => Empty::both(literal.bytes.is_empty()),
                End::UntilEmptyLine => Empty::NEVER,
                End::First(_) => Empty::ALWAYS,
            },
            Item::Value { rule, .. } => self.empty_rule(*rule),
        }
    }
}

fn of_shape(shape: &Shape, layout: &Layout) -> Bits {
    let up_to = |least: u64, max: u32| Bits::octets(least, (max > 0 && max < u32::MAX).then_some(u64::from(max)));
    match shape {
        Shape::Number { octets, .. } => Bits::octets(u64::from(*octets), Some(u64::from(*octets))),
        Shape::Bits(bits) => Bits { least: u64::from(*bits), most: Some(u64::from(*bits)) },
        Shape::Ipv4 => Bits::octets(4, Some(4)),
        Shape::Ipv6 => Bits::octets(16, Some(16)),
        Shape::Bytes(size) => {
            let (low, high) = interval(size, layout);
            Bits::octets(unsigned(low), high.map(unsigned))
        }
        Shape::Rest => Bits::ANY,
        Shape::Class { min, max, .. } => up_to(u64::from(*min), *max),
        Shape::Until { delimiter, consume, max, .. } => {
            let delimiter = match delimiter {
                Delimiter::Text(text) => text.len() as u64,
                Delimiter::Class(_) => 1,
            };
            let delimiter = if *consume { delimiter } else { 0 };
            up_to(0, *max).then(Bits::octets(delimiter, Some(delimiter)))
        }
        Shape::Decimal { max } => up_to(1, *max),
        Shape::Hex { max } => up_to(1, (*max).min(16)),
        Shape::OneOf { texts, end } => {
            let lengths = || texts.iter().map(|text| text.bytes.len() as u64);
            let least = if *end { 0 } else { lengths().min().unwrap_or(0) };
            Bits::octets(least, Some(lengths().max().unwrap_or(0)))
        }
        Shape::Blanks => Bits::ANY,
        Shape::Newline => Bits::octets(1, Some(2)),
        Shape::End => Bits::NONE,
    }
}

fn empty_shape(shape: &Shape, layout: &Layout) -> Empty {
    match shape {
        Shape::Number { .. } | Shape::Bits(_) | Shape::Ipv4 | Shape::Ipv6 => Empty::NEVER,
        Shape::Bytes(size) => Empty::both(interval(size, layout).0 <= 0),
        // Where there is more, the rest takes it.
        Shape::Rest | Shape::End => Empty { at_end: true, before_more: false },
        Shape::Class { min, .. } => Empty::both(*min == 0),
        Shape::Until { consume, or_end, .. } => Empty { at_end: *or_end, before_more: !*consume },
        Shape::Decimal { .. } | Shape::Hex { .. } | Shape::Newline => Empty::NEVER,
        Shape::OneOf { texts, end } => {
            let empty = texts.iter().any(|text| text.bytes.is_empty());
            Empty { at_end: *end || empty, before_more: empty }
        }
        Shape::Blanks => Empty::ALWAYS,
    }
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The least and the greatest value of a number; no greatest if it is not known. Nothing is known of what a flow keeps.
pub(super) fn interval(formula: &Formula, layout: &Layout) -> (i64, Option<i64>) {
    match formula {
        Formula::Number(number) => (*number, Some(*number)),
        Formula::Place(place) if place.scope == Scope::Record => {
            let field = layout.fields.iter().find(|field| field.slot == place.slot);
            match field.map(|field| &field.kind) {
                Some(Type::Number { min, max }) => (*min, Some(*max)),
                Some(Type::Boolean) => (0, Some(1)),
                _ => (0, None),
            }
        }
        Formula::Arithmetic { operator, left, right } => {
            let ((low, high), (other_low, other_high)) = (interval(left, layout), interval(right, layout));
            match operator {
                Arithmetic::Add => {
                    let high = high.zip(other_high).map(|(one, two)| one.saturating_add(two));
                    (low.saturating_add(other_low), high)
                }
                Arithmetic::Subtract => {
                    let low = other_high.map_or(0, |other| low.saturating_sub(other));
                    (low, high.map(|high| high.saturating_sub(other_low)))
                }
                Arithmetic::Multiply if low >= 0 && other_low >= 0 => {
                    let high = high.zip(other_high).map(|(one, two)| one.saturating_mul(two));
                    (low.saturating_mul(other_low), high)
                }
                Arithmetic::And if other_low >= 0 => (0, other_high),
                Arithmetic::ShiftLeft => match right.as_ref() {
                    Formula::Number(bits @ 0..=62) if low >= 0 => {
                        let shifted = |number: i64| number.saturating_mul(1_i64 << bits);
                        (shifted(low), high.map(shifted))
                    }
                    _ => (0, None),
                },
                Arithmetic::ShiftRight if low >= 0 => (0, high),
                _ => (0, None),
            }
        }
        Formula::Count(_) | Formula::Length(_) => (0, None),
        _ => (0, None),
    }
}
