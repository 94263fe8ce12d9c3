//! What the machine of a conversation looks at: formulas, first octets, pairings.

use portcullis_lang::scheme::event_slots;
use portcullis_lang::{Direction, EventId, Host, Place, Scope, Value};

use super::dialogue::Lockstep;
use super::value::{Fields, Leaf, View};
use crate::model::{Expect, First, Matching, Next, Prefix};

/// What formulas of the machine see of what happens.
#[derive(Clone, Default)]
pub(super) struct Scene {
    pub(super) fields: Option<Fields>,
    pub(super) raw: Vec<u8>,
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) name: String,
    pub(super) reason: String,
    pub(super) complete: bool,
}

/// What the formulas of the machine see.
pub(super) struct Stage<'a> {
    pub(super) talk: &'a Lockstep<'a>,
    pub(super) direction: Direction,
    pub(super) scene: &'a Scene,
}

impl Stage<'_> {
    fn view(&self) -> View<'_> {
        View { record: self.scene.fields.as_ref(), element: None, flow: &self.talk.flow, raw: &self.scene.raw }
    }

    fn waiting(&self, direction: Direction) -> Value<'_> {
        // What stands behind a record in its own direction was not asked for either, but nobody is late yet.
        let octets = if direction == self.direction { 0 } else { self.talk.rest(direction).len() };
        Value::Number(i64::try_from(octets).unwrap_or(i64::MAX))
    }
}

impl Host for Stage<'_> {
    fn read(&self, place: Place) -> Value<'_> {
        let number = |value: u64| Value::Number(i64::try_from(value).unwrap_or(i64::MAX));
        match (place.scope, place.slot) {
            (Scope::Event, event_slots::STATE) => {
                let state = self.talk.protocol.scheme.states.get(usize::from(self.talk.state.0));
                Value::bytes(state.map_or(b"", |state| state.as_bytes()))
            }
            (Scope::Event, event_slots::REASON) => Value::bytes(self.scene.reason.as_bytes()),
            (Scope::Event, event_slots::OFFSET) => number(self.scene.offset),
            (Scope::Event, event_slots::SIZE) => number(self.scene.size),
            (Scope::Event, event_slots::SIDE) => Value::bytes(match self.direction {
                Direction::Up => b"client",
                Direction::Down => b"server",
            }),
            (Scope::Event, event_slots::RECORD) => Value::bytes(self.scene.name.as_bytes()),
            (Scope::Event, event_slots::UP_WAITING) => self.waiting(Direction::Up),
            (Scope::Event, event_slots::DOWN_WAITING) => self.waiting(Direction::Down),
            (Scope::Event, event_slots::COMPLETE) => Value::Boolean(self.scene.complete),
            (Scope::Event, _) => Value::Absent,
            _ => Leaf::of(&self.view().read(place)).into_value(),
        }
    }

    fn count(&self, list: Place) -> u32 {
        self.view().count(list)
    }

    fn element(&self, list: Place, index: u32, slot: u16) -> Value<'_> {
        Leaf::of(&self.view().element(list, index, slot)).into_value()
    }
}

/// How the answer to a question finds it, if the expectation is that answer.
pub(super) fn matching_of(expect: &Expect, question: EventId) -> Option<&Matching> {
    match expect {
        Expect::Record(expected) => expected.matches.as_ref().filter(|matching| matching.question == question),
        Expect::Then(expected, then) => {
            let own = expected.matches.as_ref().filter(|matching| matching.question == question);
            own.or_else(|| matching_of(then, question))
        }
        Expect::Choose { arms, otherwise, .. } => {
            let arm = arms.iter().find_map(|(_, expect)| matching_of(expect, question));
            arm.or_else(|| matching_of(otherwise, question))
        }
        Expect::First { arms, otherwise } => {
            let arm = arms.iter().find_map(|(_, expect)| matching_of(expect, question));
            arm.or_else(|| matching_of(otherwise, question))
        }
        Expect::Nothing | Expect::Waits { .. } | Expect::Stream(_) => None,
    }
}

/// Whether octets begin with one of the prefixes; nothing if more of them have to come before it can be told.
pub(super) fn begins(first: &First, octets: &[u8], more: bool) -> Option<bool> {
    let fits = |prefix: &Prefix| {
        let literal = &prefix.literal;
        for (at, wanted) in literal.bytes.iter().enumerate() {
            match octets.get(at) {
                Some(octet) if octet == wanted || (literal.fold && octet.eq_ignore_ascii_case(wanted)) => {}
                Some(_) => return Some(false),
                None => return if more { None } else { Some(false) },
            }
        }
        match (&prefix.next, octets.get(literal.bytes.len())) {
            (Next::Any, _) => Some(true),
            (_, None) if more => None,
            (Next::End, octet) => Some(octet.is_none()),
            (Next::Class(set), octet) => Some(octet.is_some_and(|octet| set.contains(*octet))),
        }
    };
    let answers: Vec<Option<bool>> = first.prefixes.iter().map(fits).collect();
    if answers.contains(&Some(true)) {
        Some(true)
    } else if answers.contains(&None) {
        None
    } else {
        Some(false)
    }
}
