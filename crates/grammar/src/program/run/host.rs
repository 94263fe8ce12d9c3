//! What formulas see while a rule runs, and what becomes of their values.

use super::*;

/// A value that was made while the record's slots were being read.
pub(super) enum Made {
    Slot(Slot),
    Text(Vec<u8>),
}

impl Made {
    pub(super) fn of(value: Value<'_>, octets: &[u8]) -> Made {
        match value {
            Value::Boolean(value) => Made::Slot(Slot::Boolean(value)),
            Value::Number(number) => Made::Slot(Slot::Number(number)),
            Value::Bytes(Cow::Owned(text)) => Made::Text(text),
            Value::Bytes(Cow::Borrowed(text)) => match Made::piece(text, octets) {
                Some(slot) => Made::Slot(slot),
                None => Made::Text(text.to_vec()),
            },
            Value::Unknown | Value::Absent | Value::Address(_) => Made::Slot(Slot::Absent),
        }
    }

    /// The slot of text that lies in the record.
    pub(super) fn piece(text: &[u8], octets: &[u8]) -> Option<Slot> {
        let start = (text.as_ptr() as usize).checked_sub(octets.as_ptr() as usize)?;
        let end = start.checked_add(text.len())?;
        (end <= octets.len()).then(|| Slot::Piece { start: to_u32(start), end: to_u32(end) })
    }

    pub(super) fn length(&self) -> usize {
        match self {
            Made::Slot(Slot::Piece { start, end }) => end.saturating_sub(*start) as usize,
            Made::Slot(_) => 0,
            Made::Text(text) => text.len(),
        }
    }

    pub(super) fn store(self, slots: &mut Slots) -> Slot {
        match self {
            Made::Slot(slot) => slot,
            Made::Text(text) => {
                let start = to_u32(slots.scratch.len());
                slots.scratch.extend_from_slice(&text);
                Slot::Computed { start, end: to_u32(slots.scratch.len()) }
            }
        }
    }
}

/// What formulas see while a rule runs.
pub(super) struct RunHost<'a> {
    pub(super) run: &'a Run,
    pub(super) octets: &'a [u8],
    pub(super) flow: &'a FlowValues,
    pub(super) element: Option<u32>,
    pub(super) raw_end: u32,
}

impl RunHost<'_> {
    fn record(&self) -> Record<'_> {
        Record { octets: self.octets, slots: &self.run.slots }
    }
}

impl Host for RunHost<'_> {
    fn read(&self, place: Place) -> Value<'_> {
        match place.scope {
            Scope::Record if place.slot == RAW_SLOT => {
                let raw = self.octets.get(self.run.start as usize..self.raw_end as usize);
                Value::bytes(raw.unwrap_or_default())
            }
            Scope::Record => self.record().value_at(self.run.base, place.slot),
            Scope::Element => match self.element {
                Some(base) => self.record().value_at(base, place.slot),
                None => Value::Absent,
            },
            Scope::Flow => self.flow.read(place.slot),
            Scope::Event | Scope::Connection => Value::Absent,
        }
    }

    fn count(&self, list: Place) -> u32 {
        match (list.scope, self.element) {
            (Scope::Record, _) => self.record().count_at(self.run.base, list.slot),
            (Scope::Element, Some(base)) => self.record().count_at(base, list.slot),
            _ => 0,
        }
    }

    fn element(&self, list: Place, index: u32, slot: u16) -> Value<'_> {
        let base = match (list.scope, self.element) {
            (Scope::Record, _) => self.record().element_base_at(self.run.base, list.slot, index),
            (Scope::Element, Some(base)) => self.record().element_base_at(base, list.slot, index),
            _ => None,
        };
        base.map_or(Value::Absent, |base| self.record().value_at(base, slot))
    }
}
