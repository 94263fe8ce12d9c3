//! Parsed records: slots beside the octets they point into.

use std::borrow::Cow;
use std::ops::Range;

use portcullis_lang::Value;

use crate::model::RAW_SLOT;

/// What a slot of a record holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Slot {
    /// Nothing: not in this variant.
    #[default]
    Absent,
    /// A truth value, or the presence of a part.
    Boolean(bool),
    /// A number.
    Number(i64),
    /// Octets of the record.
    Piece {
        /// First octet, from the record's first.
        start: u32,
        /// Octet after the last.
        end: u32,
    },
    /// Octets that were computed.
    Computed {
        /// First octet in the record's scratch text.
        start: u32,
        /// Octet after the last.
        end: u32,
    },
    /// An IPv4 address in the record.
    Ipv4 {
        /// First octet, from the record's first.
        start: u32,
    },
    /// An IPv6 address in the record.
    Ipv6 {
        /// First octet, from the record's first.
        start: u32,
    },
    /// A list.
    List {
        /// Its first entry in the record's table of elements.
        first: u32,
        /// How many elements.
        count: u32,
    },
}

/// The slots of a record and of all elements of its lists, in memory that is used again for the next record.
#[derive(Clone, Debug, Default)]
pub struct Slots {
    /// All slots; the record's own come first.
    pub(crate) slots: Vec<Slot>,
    /// Where each element's slots begin, list by list.
    pub(crate) elements: Vec<u32>,
    /// By element: its octets, from the record's first.
    pub(crate) spans: Vec<(u32, u32)>,
    /// Computed text.
    pub(crate) scratch: Vec<u8>,
    /// The record's octets without a newline at the end, for `raw`.
    pub(crate) raw_end: u32,
}

impl Slots {
    /// Octets of memory that they take beside themselves.
    pub(crate) fn memory(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
            + self.elements.capacity() * size_of::<u32>()
            + self.scratch.capacity()
    }

    /// Empties it and makes room for a record of this many slots.
    pub fn reset(&mut self, width: u16) {
        self.slots.clear();
        self.elements.clear();
        self.spans.clear();
        self.scratch.clear();
        self.slots.resize(usize::from(width), Slot::Absent);
    }
}

/// A record with its octets: what events carry.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its octets, with the newline of a line.
    pub octets: &'a [u8],
    /// Its slots.
    pub slots: &'a Slots,
}

impl<'a> Record<'a> {
    /// The value in one of the record's own slots.
    pub fn value(&self, slot: u16) -> Value<'a> {
        if slot == RAW_SLOT {
            return Value::bytes(self.octets.get(..self.slots.raw_end as usize).unwrap_or_default());
        }
        self.value_at(0, slot)
    }

    /// How many elements the list in a slot has; 0 if there is none.
    pub fn count(&self, slot: u16) -> u32 {
        match self.slots.slots.get(usize::from(slot)) {
            Some(Slot::List { count, .. }) => *count,
            _ => 0,
        }
    }

    /// A slot of an element of the list in a slot.
    pub fn element(&self, list: u16, index: u32, slot: u16) -> Value<'a> {
        match self.element_base(list, index) {
            Some(base) => self.value_at(base, slot),
            None => Value::Absent,
        }
    }

    /// Where the octets of a slot are in the record; nothing if it was computed, or is not there.
    pub fn octets_of(&self, slot: u16) -> Option<Range<u32>> {
        self.octets_at(0, slot)
    }

    /// Where the octets of an element of the list in a slot are, newlines included.
    pub fn octets_of_element(&self, list: u16, index: u32) -> Option<Range<u32>> {
        match self.slots.slots.get(usize::from(list)) {
            Some(Slot::List { first, count }) if index < *count => {
                let (start, end) = *self.slots.spans.get(first.checked_add(index)? as usize)?;
                Some(start..end)
            }
            _ => None,
        }
    }

    /// Where the octets of a slot of an element are; see [`Record::octets_of`].
    pub fn octets_in_element(&self, list: u16, index: u32, slot: u16) -> Option<Range<u32>> {
        self.octets_at(self.element_base(list, index)?, slot)
    }

    fn octets_at(&self, base: u32, slot: u16) -> Option<Range<u32>> {
        match self.slots.slots.get((base as usize).checked_add(usize::from(slot))?) {
            Some(Slot::Piece { start, end }) => Some(*start..*end),
            _ => None,
        }
    }

    /// Where the slots of an element of a list in the record's own slots begin; use with [`Record::value_at`].
    pub fn element_base(&self, list: u16, index: u32) -> Option<u32> {
        self.element_base_at(0, list, index)
    }

    /// The same for a list of an element.
    pub fn element_base_at(&self, base: u32, list: u16, index: u32) -> Option<u32> {
        match self.slots.slots.get((base as usize).checked_add(usize::from(list))?) {
            Some(Slot::List { first, count }) if index < *count => {
                self.slots.elements.get(first.checked_add(index)? as usize).copied()
            }
            _ => None,
        }
    }

    /// How many elements a list of an element has.
    pub fn count_at(&self, base: u32, list: u16) -> u32 {
        match self.slots.slots.get(base as usize + usize::from(list)) {
            Some(Slot::List { count, .. }) => *count,
            _ => 0,
        }
    }

    /// The value in a slot of an element.
    pub fn value_at(&self, base: u32, slot: u16) -> Value<'a> {
        let slot = (base as usize).checked_add(usize::from(slot)).and_then(|index| self.slots.slots.get(index));
        let piece = |start: u32, end: u32| self.octets.get(start as usize..end as usize).unwrap_or_default();
        match slot.copied().unwrap_or_default() {
            Slot::Absent => Value::Absent,
            Slot::Boolean(value) => Value::Boolean(value),
            Slot::Number(number) => Value::Number(number),
            Slot::Piece { start, end } => Value::Bytes(Cow::Borrowed(piece(start, end))),
            Slot::Computed { start, end } => {
                Value::bytes(self.slots.scratch.get(start as usize..end as usize).unwrap_or_default())
            }
            Slot::Ipv4 { start } => match piece(start, start.saturating_add(4)).first_chunk::<4>() {
                Some(octets) => Value::Address((*octets).into()),
                None => Value::Absent,
            },
            Slot::Ipv6 { start } => match piece(start, start.saturating_add(16)).first_chunk::<16>() {
                Some(octets) => Value::Address((*octets).into()),
                None => Value::Absent,
            },
            // A list is a condition: it was parsed.
            Slot::List { .. } => Value::Boolean(true),
        }
    }
}
