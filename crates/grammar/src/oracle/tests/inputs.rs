//! Inputs made by walking a model, and spoiled.

use portcullis_lang::{Formula, is_in};

use super::choices::Choices;
use super::models::ALPHABET;
use crate::model::{Delimiter, End, Field, Item, Many, Protocol, Rule, RuleKind, Shape};
use crate::oracle::value::{View, put};
use crate::oracle::{Fields, Leaf, flow_fields};

/// Octets that are mostly a record of the protocol's first rule.
pub(super) fn walk(protocol: &Protocol, choices: &mut Choices<'_>) -> Vec<u8> {
    let mut walker = Walker { protocol, flow: flow_fields(protocol), octets: Vec::new(), bits: Vec::new(), left: 300 };
    let rule = &protocol.rules[0];
    let mut fields = vec![Leaf::Absent; usize::from(rule.layout.width)];
    walker.items(&rule.items, &mut fields, choices);
    walker.octets
}

/// Changes a few octets.
pub(super) fn spoil(octets: &mut Vec<u8>, choices: &mut Choices<'_>) {
    while !choices.is_empty() {
        let place = choices.below(octets.len() + 1);
        let octet = choices.of(ALPHABET);
        match choices.below(6) {
            0 if place < octets.len() => octets[place] = octet,
            1 if place < octets.len() => drop(octets.remove(place)),
            2 => octets.truncate(place),
            3 => octets.extend([octet, b'a', b':']),
            4 => octets.insert(place, b'"'),
            _ => octets.insert(place, octet),
        }
    }
}

struct Walker<'a> {
    protocol: &'a Protocol,
    flow: Fields,
    octets: Vec<u8>,
    bits: Vec<u8>,
    left: usize,
}

impl Walker<'_> {
    fn value(&self, formula: &Formula, fields: &Fields) -> Leaf {
        Leaf::of(&formula.value(&View { record: Some(fields), element: None, flow: &self.flow, raw: &[] }))
    }

    fn number(&self, formula: &Formula, fields: &Fields) -> usize {
        match self.value(formula, fields) {
            Leaf::Number(number) => usize::try_from(number).unwrap_or(0).min(40),
            _ => 0,
        }
    }

    fn items(&mut self, items: &[Item], fields: &mut Fields, choices: &mut Choices<'_>) {
        for item in items {
            self.item(item, fields, choices);
        }
    }

    /// Walks items whose octets have to be looked at before they go on.
    fn apart(&mut self, walk: impl FnOnce(&mut Self)) -> Vec<u8> {
        let before = std::mem::take(&mut self.octets);
        walk(self);
        std::mem::replace(&mut self.octets, before)
    }

    fn item(&mut self, item: &Item, fields: &mut Fields, choices: &mut Choices<'_>) {
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        match item {
            Item::Literal(literal) => self.octets.extend_from_slice(&literal.bytes),
            Item::Field(field) => {
                let leaf = self.field(field, fields, choices);
                if let Some(slot) = field.slot {
                    put(fields, slot, leaf);
                }
            }
            Item::Let { slot, value, .. } => {
                let leaf = self.value(value, fields);
                put(fields, *slot, leaf);
            }
            Item::Check { .. } | Item::Fail { .. } => {}
            Item::Optional { slot, items, .. } => {
                if choices.below(2) == 1 {
                    put(fields, *slot, Leaf::Boolean(true));
                    self.items(items, fields, choices);
                }
            }
            Item::When { slot, test, items } => {
                if self.value(test, fields) == Leaf::Boolean(true) {
                    put(fields, *slot, Leaf::Boolean(true));
                    self.items(items, fields, choices);
                }
            }
            Item::Switch { on, fold, arms, otherwise, .. } => {
                let value = self.value(on, fields);
                match arms.iter().find(|arm| is_in(&value.value(), &arm.values, *fold)) {
                    Some(arm) => self.items(&arm.items, fields, choices),
                    None => self.items(otherwise.as_deref().unwrap_or_default(), fields, choices),
                }
            }
            Item::Choose { arms, otherwise, .. } => match arms.get(choices.below(arms.len() + 1)) {
                Some(arm) => {
                    put(fields, arm.slot, Leaf::Boolean(true));
                    self.items(&arm.items, fields, choices);
                }
                None => self.items(otherwise.as_deref().unwrap_or_default(), fields, choices),
            },
            Item::Window { size, items, .. } => {
                let size = self.number(size, fields);
                let mut octets = self.apart(|walker| walker.items(items, fields, choices));
                octets.resize(size, b'a');
                self.octets.extend(octets);
            }
            Item::Line { items, .. } => self.line(items, fields, choices),
            Item::Many(many) => self.many(many, fields, choices),
            Item::Value { slot, rule, .. } => {
                let rule = &self.protocol.rules[usize::from(rule.0)];
                let inner = self.rule(rule, choices);
                let leaf = rule.result.as_ref().map_or(Leaf::Boolean(true), |result| self.value(result, &inner));
                put(fields, *slot, leaf);
            }
            Item::Follow { .. } => {}
        }
    }

    fn rule(&mut self, rule: &Rule, choices: &mut Choices<'_>) -> Fields {
        let mut fields = vec![Leaf::Absent; usize::from(rule.layout.width)];
        if rule.kind == RuleKind::Line {
            self.line(&rule.items, &mut fields, choices);
        } else {
            self.items(&rule.items, &mut fields, choices);
        }
        fields
    }

    fn line(&mut self, items: &[Item], fields: &mut Fields, choices: &mut Choices<'_>) {
        let octets = self.apart(|walker| walker.items(items, fields, choices));
        self.octets.extend(octets.into_iter().filter(|octet| *octet != b'\n'));
        let newline = if self.protocol.newline.crlf && !choices.one_in(5) { &b"\r\n"[..] } else { b"\n" };
        self.octets.extend_from_slice(newline);
    }

    fn many(&mut self, many: &Many, fields: &mut Fields, choices: &mut Choices<'_>) {
        let rule = &self.protocol.rules[usize::from(many.element.0)];
        let count = match &many.end {
            End::Count(count) => self.number(count, fields),
            _ => choices.below(4),
        };
        let mut elements = Vec::new();
        for _ in 0..count {
            let element = self.rule(rule, choices);
            let ended = match &many.end {
                End::Until(test) => self.ask(test, &element),
                End::While(test) => !self.ask(test, &element),
                _ => false,
            };
            elements.push(element);
            if ended || self.left == 0 {
                break;
            }
        }
        match &many.end {
            End::UntilLiteral(literal) => self.octets.extend_from_slice(&literal.bytes),
            End::UntilEmptyLine => self.octets.extend_from_slice(b"\r\n"),
            _ => {}
        }
        put(fields, many.slot, Leaf::List(elements));
    }

    fn ask(&self, test: &Formula, element: &Fields) -> bool {
        test.test(&View { record: None, element: Some(element), flow: &self.flow, raw: &[] }).holds()
    }

    fn some(&mut self, count: usize, from: &[u8], choices: &mut Choices<'_>) -> Vec<u8> {
        let octets: Vec<u8> = (0..count).map(|_| choices.of(from)).collect();
        self.octets.extend_from_slice(&octets);
        octets
    }

    fn field(&mut self, field: &Field, fields: &Fields, choices: &mut Choices<'_>) -> Leaf {
        match &field.shape {
            Shape::Number { octets, little, signed } => {
                let count = usize::from(*octets);
                let mut octets = vec![0; count];
                let place = if *little { 0 } else { count - 1 };
                octets[place] = choices.of(&[2, 5, 0, 49, 255]);
                let value = if *signed && count == 1 { -1 } else { i64::from(octets[place]) };
                self.octets.extend_from_slice(&octets);
                Leaf::Number(value)
            }
            Shape::Bits(bits) => {
                let value = choices.below(1 << bits.min(&4));
                for bit in (0..*bits).rev() {
                    self.bits.push(u8::try_from((value >> bit.min(31)) & 1).unwrap_or(0));
                }
                while self.bits.len() >= 8 {
                    let octet = self.bits.drain(..8).fold(0u8, |octet, bit| octet << 1 | bit);
                    self.octets.push(octet);
                }
                Leaf::Number(i64::try_from(value).unwrap_or(0))
            }
            Shape::Ipv4 => Leaf::Text(self.some(4, ALPHABET, choices)),
            Shape::Ipv6 => Leaf::Text(self.some(16, ALPHABET, choices)),
            Shape::Bytes(size) => {
                let size = self.number(size, fields);
                Leaf::Text(self.some(size, ALPHABET, choices))
            }
            Shape::Rest | Shape::Blanks => {
                let count = choices.below(4);
                Leaf::Text(self.some(count, b" ab", choices))
            }
            Shape::Class { set, min, max } => {
                let from: Vec<u8> = (0..=255).filter(|octet| set.contains(*octet)).collect();
                let count = (*min as usize).max(choices.below(4).min(*max as usize));
                Leaf::Text(self.some(count, &from, choices))
            }
            Shape::Until { delimiter, max, consume, .. } => {
                let count = choices.below(4).min(*max as usize);
                let text = self.some(count, b"xa\"\\0", choices);
                if *consume || choices.below(2) == 1 {
                    match delimiter {
                        Delimiter::Text(text) => self.octets.extend_from_slice(text),
                        Delimiter::Class(set) => self.octets.extend(set.first()),
                    }
                }
                Leaf::Text(text)
            }
            Shape::Decimal { .. } | Shape::Hex { .. } => {
                let text = choices.of(&["2", "07", "50", "9223372036854775807", "9223372036854775808", "0", "1"]);
                self.octets.extend_from_slice(text.as_bytes());
                Leaf::Number(text.parse().unwrap_or(0))
            }
            Shape::OneOf { texts, .. } => {
                let text = choices.of(texts).bytes;
                self.octets.extend_from_slice(&text);
                Leaf::Text(text.to_vec())
            }
            Shape::Newline => {
                self.octets.extend_from_slice(if self.protocol.newline.crlf { b"\r\n" } else { b"\n" });
                Leaf::Absent
            }
            Shape::End => Leaf::Absent,
        }
    }
}
