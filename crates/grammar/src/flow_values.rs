//! What a flow keeps: fields of the last record of a kind, and its own numbers.

use portcullis_lang::{EventId, Value};

use crate::limits::MAX_KEPT_TEXT;
use crate::model::{Kept, Protocol};
use crate::record::Record;

/// The kept values of one flow; slots are those of [`ProtocolScheme::flow`](portcullis_lang::ProtocolScheme).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FlowValues {
    slots: Box<[FlowValue]>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum FlowValue {
    #[default]
    Absent,
    Unknown,
    Boolean(bool),
    Number(i64),
    Text(Box<[u8]>),
}

impl FlowValues {
    /// The values of a new flow.
    pub(crate) fn new(protocol: &Protocol) -> FlowValues {
        let mut values = FlowValues { slots: vec![FlowValue::Absent; usize::from(protocol.scheme.flow.width)].into() };
        for (slot, value) in &protocol.variables {
            values.set_number(*slot, *value);
        }
        values
    }

    /// Octets of memory that they take at most, beside themselves.
    pub(crate) fn memory(&self) -> usize {
        self.slots.len().saturating_mul(size_of::<FlowValue>().saturating_add(MAX_KEPT_TEXT))
    }

    /// The value in a slot.
    pub(crate) fn read(&self, slot: u16) -> Value<'_> {
        match self.slots.get(usize::from(slot)) {
            None | Some(FlowValue::Absent) => Value::Absent,
            Some(FlowValue::Unknown) => Value::Unknown,
            Some(FlowValue::Boolean(value)) => Value::Boolean(*value),
            Some(FlowValue::Number(number)) => Value::Number(*number),
            Some(FlowValue::Text(text)) => Value::bytes(text),
        }
    }

    /// Sets a number.
    pub(crate) fn set_number(&mut self, slot: u16, number: i64) {
        self.set(slot, FlowValue::Number(number));
    }

    /// Keeps what is to be kept of a record.
    pub(crate) fn keep(&mut self, protocol: &Protocol, event: EventId, record: &Record<'_>) {
        for kept in protocol.kept.iter().filter(|kept| kept.event == event) {
            self.set(kept.slot, FlowValue::Boolean(true));
            for (from, to) in &kept.fields {
                let value = match record.value(*from) {
                    Value::Absent => FlowValue::Absent,
                    Value::Unknown => FlowValue::Unknown,
                    Value::Boolean(value) => FlowValue::Boolean(value),
                    Value::Number(number) => FlowValue::Number(number),
                    Value::Bytes(bytes) => FlowValue::Text(bytes.iter().copied().take(MAX_KEPT_TEXT).collect()),
                    Value::Address(_) => FlowValue::Absent,
                };
                self.set(*to, value);
            }
        }
    }

    /// Makes unknown what is kept of a record, because the last one may have been lost.
    pub(crate) fn forget(&mut self, kept: &Kept) {
        self.set(kept.slot, FlowValue::Unknown);
        for (_, to) in &kept.fields {
            self.set(*to, FlowValue::Unknown);
        }
    }

    fn set(&mut self, slot: u16, value: FlowValue) {
        if let Some(entry) = self.slots.get_mut(usize::from(slot)) {
            *entry = value;
        }
    }
}
