//! What a set of policies reads, so that nothing else has to be computed.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_lang::scheme::event_slots;
use portcullis_lang::{EventId, Formula, Place, Scope};

use crate::ProtocolId;

/// What a set of policies reads at all, by protocol and event.
///
/// An event that is not here is read by no rule: the engine need not raise it for the policy. A slot that is not here
/// need not be filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    protocols: BTreeMap<ProtocolId, BTreeMap<EventId, EventDemand>>,
}

/// What the rules on one event read of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventDemand {
    /// Slots of its record.
    pub slots: BTreeSet<u16>,
    /// Slots of elements: that of the list in its record, and that of the element.
    pub elements: BTreeSet<(u16, u16)>,
    /// What the event tells beside its record ([`event_slots`](portcullis_lang::scheme::event_slots)).
    pub facts: BTreeSet<u16>,
    /// What the flow keeps.
    pub flow: BTreeSet<u16>,
    /// Addresses and ports ([`connection_slots`](portcullis_lang::scheme::connection_slots)).
    pub connection: BTreeSet<u16>,
}

impl Demand {
    /// What the rules on an event read; nothing if there are no rules on it.
    pub fn event(&self, protocol: ProtocolId, event: EventId) -> Option<&EventDemand> {
        self.protocols.get(&protocol)?.get(&event)
    }

    /// The events of a protocol that some rule is on.
    pub fn events(&self, protocol: ProtocolId) -> impl Iterator<Item = (EventId, &EventDemand)> {
        self.protocols.get(&protocol).into_iter().flatten().map(|(event, demand)| (*event, demand))
    }

    /// Whether no rule reads anything.
    pub fn is_empty(&self) -> bool {
        self.protocols.values().all(BTreeMap::is_empty)
    }

    pub(crate) fn entry(&mut self, protocol: ProtocolId, event: EventId) -> &mut EventDemand {
        self.protocols.entry(protocol).or_default().entry(event).or_default()
    }
}

impl EventDemand {
    /// Adds all that a formula reads.
    pub(crate) fn add(&mut self, formula: &Formula) {
        let mut reader = |read: Read| match read {
            Read::Place(place) => self.place(place),
            Read::Element(list, slot) if list.scope == Scope::Record => {
                self.slots.insert(list.slot);
                self.elements.insert((list.slot, slot));
            }
            Read::Element(list, _) => self.place(list),
        };
        walk(formula, None, &mut reader);
    }

    fn place(&mut self, place: Place) {
        match place.scope {
            Scope::Record => self.slots.insert(place.slot),
            // What was found in a stream is read in its chunks.
            Scope::Event if place.slot >= event_slots::STREAM => false,
            Scope::Event => self.facts.insert(place.slot),
            Scope::Flow => self.flow.insert(place.slot),
            Scope::Connection => self.connection.insert(place.slot),
            // An element outside of its list is of no record; the typing has none.
            Scope::Element => false,
        };
    }
}

/// Whether all that a formula reads is known as soon as the flow is: addresses and ports.
pub(crate) fn reads_connection_alone(formula: &Formula) -> bool {
    let mut alone = true;
    walk(formula, None, &mut |read| match read {
        Read::Place(place) => alone &= matches!(place.scope, Scope::Connection),
        Read::Element(..) => alone = false,
    });
    alone
}

/// Whether a formula reads a place.
pub(crate) fn reads(formula: &Formula, wanted: Place) -> bool {
    let mut found = false;
    walk(formula, None, &mut |read| found |= matches!(read, Read::Place(place) if place == wanted));
    found
}

/// Whether a formula reads what was found in a stream.
pub(crate) fn reads_found(formula: &Formula) -> bool {
    let mut found = false;
    walk(formula, None, &mut |read| match read {
        Read::Place(place) => found |= place.scope == Scope::Event && place.slot >= event_slots::FOUND,
        Read::Element(..) => {}
    });
    found
}

/// One thing that a formula reads.
enum Read {
    /// A place.
    Place(Place),
    /// A slot of the elements of a list.
    Element(Place, u16),
}

/// Tells all that a formula reads. `list` is the one whose element [`Scope::Element`] stands for.
fn walk(formula: &Formula, list: Option<Place>, read: &mut dyn FnMut(Read)) {
    match formula {
        Formula::Number(_) | Formula::Bytes(_) | Formula::Boolean(_) | Formula::Address(_) => {}
        Formula::Place(place) => match list {
            Some(list) if place.scope == Scope::Element => read(Read::Element(list, place.slot)),
            _ => read(Read::Place(*place)),
        },
        Formula::And(parts) | Formula::Or(parts) | Formula::Concatenate(parts) => {
            parts.iter().for_each(|part| walk(part, list, read));
        }
        Formula::Compare { left, right, .. } | Formula::Arithmetic { left, right, .. } => {
            walk(left, list, read);
            walk(right, list, read);
        }
        Formula::In { value, .. } | Formula::InList { value, .. } | Formula::InNetworks { value, .. } => {
            walk(value, list, read);
        }
        Formula::Finds { text, .. } | Formula::Matches { text, .. } | Formula::Split { text, .. } => {
            walk(text, list, read);
        }
        Formula::Not(inner)
        | Formula::IsEmpty(inner)
        | Formula::Length(inner)
        | Formula::Trimmed(inner)
        | Formula::Lowercase(inner)
        | Formula::Uppercase(inner)
        | Formula::Decimal(inner) => walk(inner, list, read),
        Formula::Count(place) => read(Read::Place(*place)),
        Formula::Every { list, test } | Formula::Any { list, test } => {
            read(Read::Place(*list));
            walk(test, Some(*list), read);
        }
        Formula::Edge { list, slot, .. } | Formula::Join { list, slot, .. } => {
            read(Read::Place(*list));
            read(Read::Element(*list, *slot));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(scope: Scope, slot: u16) -> Place {
        Place { scope, slot }
    }

    #[test]
    fn every_place_is_found() {
        let list = place(Scope::Record, 7);
        let formula = Formula::And(vec![
            Formula::Not(Box::new(Formula::Place(place(Scope::Record, 1)))),
            Formula::Any {
                list,
                test: Box::new(Formula::Or(vec![
                    Formula::Place(place(Scope::Element, 3)),
                    Formula::Place(place(Scope::Flow, 2)),
                ])),
            },
            Formula::IsEmpty(Box::new(Formula::Edge { list, slot: 4, last: true })),
            Formula::Place(place(Scope::Event, 5)),
        ]);
        let mut demand = EventDemand::default();
        demand.add(&formula);
        assert_eq!(demand.slots, BTreeSet::from([1, 7]));
        assert_eq!(demand.elements, BTreeSet::from([(7, 3), (7, 4)]));
        assert_eq!((demand.flow, demand.facts), (BTreeSet::from([2]), BTreeSet::from([5])));
        assert!(!reads_connection_alone(&formula));
        assert!(reads_connection_alone(&Formula::Place(place(Scope::Connection, 0))));
    }
}
