//! Events: what a conversation tells those who judge and report it.

use std::ops::Range;

use portcullis_lang::scheme::event_slots;
use portcullis_lang::{Direction, EventId, EventKind, Host, Place, ProtocolScheme, Scope, StateId, Value};

use crate::flow_values::FlowValues;
use crate::record::Record;

/// One event. It borrows everything: who wants to keep something copies it.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Which of the protocol's events.
    pub id: EventId,
    /// What it tells.
    pub kind: EventKind,
    /// The direction it happened in. Of a machine's event, that of what led to it.
    pub direction: Direction,
    /// Octets of the direction before it.
    pub offset: u64,
    /// Octets of the direction before the record it happened in; as [`Event::offset`] where there is none.
    pub begin: u64,
    /// Of the end of a stream: octets of the direction up to it, with what ends it.
    pub end: u64,
    /// Octets of the record, chunk, stream or gap.
    pub size: u64,
    /// The record, of a record's event and of the anomalies in it.
    pub record: Option<Record<'a>>,
    /// The octets of a chunk.
    pub data: &'a [u8],
    /// Name of the record or stream it happened in; empty if there is none.
    pub name: &'a str,
    /// Of a fail, a parse error, an overrun: what was wrong. Of a finish: the protocol that takes over.
    pub reason: &'a str,
    /// Whether a stream came to its own end.
    pub complete: bool,
    /// The state that the machine is in for this side.
    pub state: StateId,
    /// Octets that each side has sent before they were asked for.
    pub waiting: [u64; 2],
    pub(crate) scheme: &'a ProtocolScheme,
    pub(crate) flow: &'a FlowValues,
}

impl<'a> Event<'a> {
    /// The protocol's scheme, in which [`Event::id`] and [`Event::state`] are.
    pub fn scheme(&self) -> &'a ProtocolScheme {
        self.scheme
    }

    /// The name of the event without its protocol.
    pub fn event_name(&self) -> &'a str {
        self.scheme.events.get(usize::from(self.id.0)).map_or("", |event| event.name.as_str())
    }

    /// The name of the state.
    pub fn state_name(&self) -> &'a str {
        self.scheme.states.get(usize::from(self.state.0)).map_or("", String::as_str)
    }

    /// What the flow keeps in a slot of [`ProtocolScheme::flow`].
    pub fn flow_value(&self, slot: u16) -> Value<'a> {
        self.flow.read(slot)
    }

    fn own(&self, slot: u16) -> Value<'a> {
        let number = |value: u64| Value::Number(i64::try_from(value).unwrap_or(i64::MAX));
        match slot {
            event_slots::STATE => Value::bytes(self.state_name().as_bytes()),
            event_slots::REASON => Value::bytes(self.reason.as_bytes()),
            event_slots::OFFSET => number(self.offset),
            event_slots::SIZE => number(self.size),
            event_slots::SIDE => Value::bytes(match self.direction {
                Direction::Up => b"client",
                Direction::Down => b"server",
            }),
            event_slots::RECORD => Value::bytes(self.name.as_bytes()),
            event_slots::UP_WAITING => number(self.waiting[0]),
            event_slots::DOWN_WAITING => number(self.waiting[1]),
            event_slots::COMPLETE => Value::Boolean(self.complete),
            event_slots::DATA => Value::bytes(self.data),
            _ => Value::Absent,
        }
    }
}

/// An event gives formulas everything but the connection, which whoever knows it adds.
impl Host for Event<'_> {
    fn read(&self, place: Place) -> Value<'_> {
        match (place.scope, &self.record) {
            (Scope::Record, Some(record)) => record.value(place.slot),
            (Scope::Flow, _) => self.flow.read(place.slot),
            (Scope::Event, _) => self.own(place.slot),
            _ => Value::Absent,
        }
    }

    fn count(&self, list: Place) -> u32 {
        match (list.scope, &self.record) {
            (Scope::Record, Some(record)) => record.count(list.slot),
            _ => 0,
        }
    }

    fn element(&self, list: Place, index: u32, slot: u16) -> Value<'_> {
        match (list.scope, &self.record) {
            (Scope::Record, Some(record)) => record.element(list.slot, index, slot),
            _ => Value::Absent,
        }
    }

    fn octets(&self, place: Place) -> Option<Range<u32>> {
        match (place.scope, &self.record) {
            (Scope::Record, Some(record)) => record.octets_of(place.slot),
            _ => None,
        }
    }

    fn octets_of_element(&self, list: Place, index: u32, slot: Option<u16>) -> Option<Range<u32>> {
        match (list.scope, &self.record, slot) {
            (Scope::Record, Some(record), None) => record.octets_of_element(list.slot, index),
            (Scope::Record, Some(record), Some(slot)) => record.octets_in_element(list.slot, index, slot),
            _ => None,
        }
    }

    fn place_in_record(&self) -> Option<u32> {
        self.record?;
        u32::try_from(self.offset.checked_sub(self.begin)?).ok()
    }
}

/// Takes the events of a conversation, in order.
pub trait EventSink {
    /// Takes one.
    fn event(&mut self, event: &Event<'_>);

    /// Whether anybody reads this event: what nobody reads is not made.
    fn wants(&self, _event: EventId) -> bool {
        true
    }

    /// Whether somebody wants newlines such as the one that was just told of put right, from there on to the end of the
    /// stream; asked after each anomaly of a stream.
    fn puts_right(&mut self) -> bool {
        false
    }

    /// Takes a change of a stream that follows from [`EventSink::puts_right`]: octets of a direction that others take the
    /// place of. Changes come in order; only octets that [`Dialogue::partial`](crate::Dialogue::partial) counts may lie
    /// before those that were given last.
    fn change(&mut self, _direction: Direction, _offset: u64, _removed: u32, _inserted: Vec<u8>) {}
}

impl<F: FnMut(&Event<'_>)> EventSink for F {
    fn event(&mut self, event: &Event<'_>) {
        self(event);
    }
}
