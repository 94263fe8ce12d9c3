//! Models made of choices.

use std::sync::Arc;

use portcullis_lang::{
    AnomalyId, Arithmetic, CaseValue, Comparison, Formula, Layout, Place, ProtocolScheme, Scope, SourceId, Span,
};

use super::choices::Choices;
use crate::model::{
    Arm, ClassSet, Conversion, Delimiter, End, Field, First, FirstArm, Item, Literal, Machine, Many, Newline, Next,
    Prefix, Protocol, RAW_SLOT, Rule, RuleId, RuleKind, Shape, Weight,
};

pub(super) const SPAN: Span = Span { source: SourceId(0), start: 0, end: 0 };

/// Octets that inputs and grammars are made of: few, so that they meet.
pub(super) const ALPHABET: &[u8] = b"ab01\r\n \"\\,:A\0\xff";

pub(super) fn literal(text: &[u8], fold: bool) -> Literal {
    Literal { bytes: text.into(), fold }
}

pub(super) fn record(slot: u16) -> Formula {
    Formula::Place(Place { scope: Scope::Record, slot })
}

/// A protocol of these rules and nothing else; the flow keeps the number 3 and something absent.
pub(super) fn protocol(rules: Vec<Rule>, newline: Newline) -> Arc<Protocol> {
    let scheme = ProtocolScheme { flow: Layout { width: 2, ..Layout::default() }, ..ProtocolScheme::default() };
    Arc::new(Protocol {
        name: "made_up".into(),
        transports: Vec::new(),
        newline,
        anomalies: Vec::new(),
        rules,
        streams: Vec::new(),
        channels: Vec::new(),
        kept: Vec::new(),
        variables: vec![(0, 3)],
        machine: Machine::default(),
        scheme: Arc::new(scheme),
        examples: Vec::new(),
    })
}

pub(super) fn rule(name: &str, kind: RuleKind, width: u16, items: Vec<Item>) -> Rule {
    let layout = Arc::new(Layout { name: name.into(), fields: Vec::new(), width });
    Rule { name: name.into(), kind, max: 1000, layout, items, result: None, depth: 0, span: SPAN }
}

pub(super) fn field(slot: u16, shape: Shape) -> Item {
    Item::Field(Field { slot: Some(slot), name: format!("f{slot}"), shape, convert: Conversion::None, span: SPAN })
}

/// A protocol whose rule 0 is the record to read.
pub(super) fn make(choices: &mut Choices<'_>) -> Arc<Protocol> {
    let newline = match choices.below(4) {
        0 => Newline { crlf: true, lf: true, ..Newline::default() },
        1 => Newline { crlf: true, ..Newline::default() },
        2 => Newline { lf: true, ..Newline::default() },
        _ => Newline {
            crlf: true,
            lf: true,
            bare_lf: Some(AnomalyId(0)),
            bare_cr: Some(AnomalyId(1)),
            nul: Some(AnomalyId(2)),
            ..Newline::default()
        },
    };
    let mut maker = Maker { rules: Vec::new() };
    maker.rule(choices, RuleKind::Record, 0);
    protocol(maker.rules, newline)
}

struct Maker {
    rules: Vec<Rule>,
}

/// The rule being made.
#[derive(Default)]
struct Making {
    width: u16,
    numbers: Vec<u16>,
    texts: Vec<u16>,
    lists: Vec<u16>,
    is_value: bool,
}

impl Making {
    fn slot(&mut self) -> u16 {
        self.width += 1;
        self.width - 1
    }
}

impl Maker {
    fn rule(&mut self, choices: &mut Choices<'_>, kind: RuleKind, depth: usize) -> RuleId {
        let id = self.rules.len();
        self.rules.push(rule(&format!("r{id}"), kind, 0, Vec::new()));
        let mut making = Making { is_value: kind == RuleKind::Value, ..Making::default() };
        // Elements begin with a number, which their list can ask for.
        let slot = making.slot();
        let mut items = match choices.below(3) {
            _ if depth == 0 => Vec::new(),
            0 => vec![field(slot, Shape::Number { octets: 1, little: false, signed: false })],
            1 => vec![field(slot, Shape::Decimal { max: 3 })],
            _ => vec![field(slot, Shape::Bits(4)), field(making.slot(), Shape::Bits(4))],
        };
        if depth > 0 {
            making.numbers.push(slot);
        }
        items.extend(self.items(choices, &mut making, depth));
        let last = making.slot();
        if choices.one_in(3) || kind == RuleKind::Line {
            items.push(field(last, Shape::Rest));
        }
        let result = (kind == RuleKind::Value).then(|| match (making.texts.last(), making.lists.last()) {
            (_, Some(list)) => {
                Formula::Join { list: Place { scope: Scope::Record, slot: *list }, slot: 0, separator: (*b".").into() }
            }
            (Some(text), _) => Formula::Lowercase(Box::new(record(*text))),
            _ => record(0),
        });
        let made = &mut self.rules[id];
        made.layout = Arc::new(Layout { name: String::new(), fields: Vec::new(), width: making.width });
        made.items = items;
        made.result = result;
        made.max = choices.of(&[1000, 40, 12]);
        made.depth = if kind == RuleKind::Value { 3 } else { 0 };
        RuleId(u16::try_from(id).unwrap_or(0))
    }

    fn items(&mut self, choices: &mut Choices<'_>, making: &mut Making, depth: usize) -> Vec<Item> {
        let count = choices.below(4) + usize::from(depth == 0);
        (0..count).flat_map(|_| self.item(choices, making, depth)).collect()
    }

    /// What stands behind a decision by first octets.
    fn part(&mut self, choices: &mut Choices<'_>, making: &mut Making, depth: usize, literal: &Literal) -> Vec<Item> {
        let mut items = vec![Item::Literal(literal.clone())];
        items.extend(self.items(choices, making, depth + 1));
        items
    }

    fn item(&mut self, choices: &mut Choices<'_>, making: &mut Making, depth: usize) -> Vec<Item> {
        let simple = if depth < 3 { 24 } else { 13 };
        let number = |making: &Making, choices: &mut Choices<'_>| match making.numbers.len() {
            0 => Formula::Number(choices.below(5) as i64),
            count => record(making.numbers[choices.below(count)]),
        };
        vec![match choices.below(simple) {
            0 => Item::Literal(self.literal(choices)),
            1 => {
                let octets = choices.of(&[1u8, 1, 2, 3, 4, 8]);
                let slot = making.slot();
                if octets < 3 {
                    making.numbers.push(slot);
                }
                field(slot, Shape::Number { octets, little: choices.one_in(3), signed: choices.one_in(4) })
            }
            2 => {
                let parts = choices.of(&[&[4u8, 4][..], &[1, 7], &[8], &[2, 12, 2], &[3, 6, 7], &[1, 1, 6]]);
                return parts
                    .iter()
                    .map(|bits| {
                        let slot = making.slot();
                        making.numbers.push(slot);
                        field(slot, Shape::Bits(*bits))
                    })
                    .collect();
            }
            3 => {
                let size = Formula::Arithmetic {
                    operator: Arithmetic::And,
                    left: Box::new(number(making, choices)),
                    right: Box::new(Formula::Number(7)),
                };
                let size = match choices.below(6) {
                    4 => Formula::Place(Place { scope: Scope::Flow, slot: 0 }),
                    5 => Formula::Arithmetic {
                        operator: Arithmetic::Subtract,
                        left: Box::new(size),
                        right: Box::new(Formula::Number(1)),
                    },
                    _ => size,
                };
                self.text(choices, making, Shape::Bytes(size))
            }
            4 => {
                let set = class(choices);
                let (min, max) = choices.of(&[(0, u32::MAX), (1, 3), (0, 2), (2, 2), (0, 0)]);
                self.text(choices, making, Shape::Class { set, min, max })
            }
            5 | 6 => {
                let delimiter = match choices.below(5) {
                    0 => Delimiter::Text((*b":").into()),
                    1 => Delimiter::Text((*b"ab").into()),
                    2 => Delimiter::Text((*b"\r\n").into()),
                    3 => Delimiter::Text((*b"aab").into()),
                    // Not the octets that quote and escape.
                    _ => Delimiter::Class(ClassSet::of(choices.of(&[&b"ab"[..], b"01", b" :\r"]).iter().copied())),
                };
                let shape = Shape::Until {
                    delimiter,
                    or_end: choices.one_in(3),
                    quote: choices.of(&[None, None, Some(b'"')]),
                    escape: choices.of(&[None, None, Some(b'\\')]),
                    consume: !choices.one_in(3),
                    max: choices.of(&[u32::MAX, 3, 0, 8]),
                };
                self.text(choices, making, shape)
            }
            7 => {
                let slot = making.slot();
                making.numbers.push(slot);
                match choices.below(3) {
                    0 => field(slot, Shape::Decimal { max: 3 }),
                    1 => field(slot, Shape::Decimal { max: 30 }),
                    _ => field(slot, Shape::Hex { max: choices.of(&[2, 16, 40]) }),
                }
            }
            8 => {
                let texts = (0..=choices.below(3)).map(|_| self.literal(choices)).collect();
                field(making.slot(), Shape::OneOf { texts, end: choices.one_in(3) })
            }
            9 => {
                field(making.slot(), choices.of(&[Shape::Blanks, Shape::Newline, Shape::Ipv4, Shape::Ipv6, Shape::End]))
            }
            10 => {
                let slot = making.slot();
                let value = match (choices.below(5), making.texts.last(), making.lists.last()) {
                    (0, _, _) => number(making, choices),
                    (1, Some(text), _) => Formula::Split {
                        text: Box::new(record(*text)),
                        needle: (*b"a").into(),
                        last: true,
                        after: true,
                    },
                    (2, Some(text), _) => Formula::Uppercase(Box::new(record(*text))),
                    (3, _, Some(list)) => {
                        Formula::Edge { list: Place { scope: Scope::Record, slot: *list }, slot: 0, last: true }
                    }
                    (_, _, Some(list)) => Formula::Count(Place { scope: Scope::Record, slot: *list }),
                    _ => Formula::Place(Place { scope: Scope::Flow, slot: 1 }),
                };
                Item::Let { slot, value, span: SPAN }
            }
            11 => {
                let weight = if choices.one_in(4) { Weight::Must } else { Weight::Should(AnomalyId(3)) };
                let left = match (choices.below(4), making.texts.last()) {
                    (0, Some(text)) => Formula::Length(Box::new(record(*text))),
                    (1, _) => Formula::Length(Box::new(record(RAW_SLOT))),
                    _ => number(making, choices),
                };
                let right = Box::new(Formula::Number(choices.of(&[4, 0, 60, 200])));
                let test = Formula::Compare {
                    operator: choices.of(&[Comparison::LessOrEqual, Comparison::NotEqual]),
                    left: Box::new(left),
                    right,
                    fold: false,
                };
                Item::Check { weight, test, span: SPAN }
            }
            12 => field(making.slot(), Shape::Rest),
            13 => {
                let literal = self.literal(choices);
                let next = self.next(choices);
                let slot = making.slot();
                let items = self.part(choices, making, depth, &literal);
                let first = First { prefixes: vec![Prefix { literal, next }] };
                Item::Optional { slot, first, items }
            }
            14 => {
                let test = Formula::Compare {
                    operator: Comparison::Greater,
                    left: Box::new(number(making, choices)),
                    right: Box::new(Formula::Number(choices.of(&[2, 50]))),
                    fold: false,
                };
                let slot = making.slot();
                Item::When { slot, test, items: self.items(choices, making, depth + 1) }
            }
            15 => {
                let (on, values) = match (choices.below(2), making.texts.last()) {
                    (1, Some(text)) => {
                        (record(*text), [CaseValue::Text((*b"A").into()), CaseValue::Text((*b"").into())])
                    }
                    _ => (number(making, choices), [CaseValue::Range(0, 4), CaseValue::Range(48, 60)]),
                };
                let arms = values
                    .into_iter()
                    .map(|value| {
                        let items = self.items(choices, making, depth + 1);
                        Arm { values: vec![value], items, span: SPAN }
                    })
                    .collect();
                let otherwise = (!choices.one_in(4)).then(|| self.items(choices, making, depth + 1));
                Item::Switch { on, fold: choices.one_in(2), arms, otherwise, span: SPAN }
            }
            16 => {
                let arms = (0..=choices.below(3))
                    .map(|_| {
                        let literal = self.literal(choices);
                        let next = self.next(choices);
                        let slot = making.slot();
                        let items = self.part(choices, making, depth, &literal);
                        FirstArm { first: First { prefixes: vec![Prefix { literal, next }] }, slot, items, span: SPAN }
                    })
                    .collect();
                let otherwise = (!choices.one_in(3)).then(|| self.items(choices, making, depth + 1));
                Item::Choose { arms, otherwise, span: SPAN }
            }
            17 => {
                let size = Formula::Arithmetic {
                    operator: Arithmetic::And,
                    left: Box::new(number(making, choices)),
                    right: Box::new(Formula::Number(15)),
                };
                let mut items = self.items(choices, making, depth + 1);
                if !choices.one_in(4) {
                    items.push(field(making.slot(), Shape::Rest));
                }
                Item::Window { size, items, span: SPAN }
            }
            18 => {
                let mut items = self.items(choices, making, depth + 1);
                if !choices.one_in(4) {
                    items.push(field(making.slot(), Shape::Rest));
                }
                Item::Line { max: choices.of(&[1000, 10]), items, span: SPAN }
            }
            19..=21 => {
                let kind = choices.of(&[RuleKind::Group, RuleKind::Line, RuleKind::Group, RuleKind::Record]);
                let element = self.rule(choices, kind, depth + 1);
                let asked = Formula::Compare {
                    operator: choices.of(&[Comparison::Less, Comparison::Equal]),
                    left: Box::new(Formula::Place(Place { scope: Scope::Element, slot: 0 })),
                    right: Box::new(Formula::Number(choices.of(&[3, 50, 0]))),
                    fold: false,
                };
                let end = match choices.below(8) {
                    0 => End::Window,
                    1 => End::Count(number(making, choices)),
                    2 => End::Until(asked),
                    3 => End::While(asked),
                    4 => End::UntilLiteral(self.literal(choices)),
                    5 => End::UntilEmptyLine,
                    _ => {
                        let literal = literal(b"", false);
                        let next = self.next(choices);
                        End::First(First { prefixes: vec![Prefix { literal, next }] })
                    }
                };
                let slot = making.slot();
                making.lists.push(slot);
                let max = choices.of(&[1000, 3]);
                Item::Many(Many { slot, name: "many".into(), element, end, max, span: SPAN })
            }
            22 => {
                let rule = self.rule(choices, RuleKind::Value, depth + 1);
                let slot = making.slot();
                making.texts.push(slot);
                Item::Value { slot, rule, span: SPAN }
            }
            _ if making.is_value && !self.rules.is_empty() => {
                let values: Vec<usize> =
                    (0..self.rules.len()).filter(|index| self.rules[*index].kind == RuleKind::Value).collect();
                let index = values[choices.below(values.len())];
                let offset = number(making, choices);
                let rule = RuleId(u16::try_from(index).unwrap_or(0));
                Item::Follow { slot: making.slot(), rule, offset, span: SPAN }
            }
            _ => Item::Literal(self.literal(choices)),
        }]
    }

    fn literal(&self, choices: &mut Choices<'_>) -> Literal {
        let text = choices.of(&[&b"a"[..], b":", b"ab", b"\r\n", b"1", b"aa", b" "]);
        literal(text, choices.one_in(3))
    }

    fn next(&self, choices: &mut Choices<'_>) -> Next {
        match choices.below(4) {
            0 | 1 => Next::Any,
            2 => Next::Class(class(choices)),
            _ => Next::End,
        }
    }

    fn text(&self, choices: &mut Choices<'_>, making: &mut Making, shape: Shape) -> Item {
        let slot = making.slot();
        making.texts.push(slot);
        let convert = choices.of(&[Conversion::None, Conversion::None, Conversion::Trimmed, Conversion::Lowercase]);
        let slot = (!choices.one_in(8)).then_some(slot);
        Item::Field(Field { slot, name: "text".into(), shape, convert, span: SPAN })
    }
}

fn class(choices: &mut Choices<'_>) -> ClassSet {
    let sets: [&[u8]; 5] = [b"ab", b"01", b" :\r", b"aA\"", b"\n\\,b"];
    ClassSet::of(choices.of(&sets).iter().copied())
}
