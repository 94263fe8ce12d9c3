//! Fields of a grammar's records, looked up once by name.

use std::borrow::Cow;

use portcullis_grammar::Record;
use portcullis_lang::{Layout, Value};
use smallvec::SmallVec;

/// The slots of a field. There may be several, one for each variant of the record that has the field; none if the
/// grammar does not have it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(SmallVec<[u16; 2]>);

impl Fields {
    /// The slots of all fields of this path.
    pub(crate) fn of(layout: &Layout, path: &str) -> Fields {
        let mut slots = SmallVec::new();
        for field in layout.fields.iter().filter(|field| field.path == path) {
            if !slots.contains(&field.slot) {
                slots.push(field.slot);
            }
        }
        Fields(slots)
    }

    /// The value of the field of a record.
    pub(crate) fn value<'a>(&self, record: &Record<'a>) -> Value<'a> {
        self.value_at(record, 0)
    }

    /// The value of the field of an element; `base` is where its slots begin.
    pub(crate) fn value_at<'a>(&self, record: &Record<'a>, base: u32) -> Value<'a> {
        let values = self.0.iter().map(|slot| record.value_at(base, *slot));
        values.into_iter().find(Value::is_present).unwrap_or(Value::Absent)
    }

    /// The slot that the record has, for those that take a slot: lists.
    pub(crate) fn slot(&self, record: &Record<'_>) -> Option<u16> {
        self.slot_at(record, 0)
    }

    /// The slot that an element has; `base` is where its slots begin.
    pub(crate) fn slot_at(&self, record: &Record<'_>, base: u32) -> Option<u16> {
        self.0.iter().copied().find(|slot| record.value_at(base, *slot).is_present())
    }

    /// These fields, or others if the grammar does not have them.
    pub(crate) fn or(self, other: Fields) -> Fields {
        if self.0.is_empty() { other } else { self }
    }
}

/// The octets of a value; none for what is no text.
pub(crate) fn bytes(value: Value<'_>) -> Cow<'_, [u8]> {
    match value {
        Value::Bytes(bytes) => bytes,
        _ => Cow::default(),
    }
}
