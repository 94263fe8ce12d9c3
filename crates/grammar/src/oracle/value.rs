//! Values that own what they say.

use std::net::IpAddr;

use portcullis_lang::{Host, Place, Scope, Value};

use crate::model::{Protocol, RAW_SLOT};

/// What one slot holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Leaf {
    /// Nothing.
    #[default]
    Absent,
    /// What cannot be known; only a flow has such values.
    Unknown,
    /// A truth value.
    Boolean(bool),
    /// A number.
    Number(i64),
    /// Octets.
    Text(Vec<u8>),
    /// An address.
    Address(IpAddr),
    /// The elements of a list.
    List(Vec<Fields>),
}

/// The slots of a record, an element or a flow.
pub type Fields = Vec<Leaf>;

impl Leaf {
    /// The value as formulas see it.
    pub fn value(&self) -> Value<'_> {
        match self {
            Leaf::Absent => Value::Absent,
            Leaf::Unknown => Value::Unknown,
            Leaf::Boolean(value) => Value::Boolean(*value),
            Leaf::Number(number) => Value::Number(*number),
            Leaf::Text(text) => Value::bytes(text),
            Leaf::Address(address) => Value::Address(*address),
            Leaf::List(_) => Value::Boolean(true),
        }
    }

    /// The value by itself.
    pub(super) fn into_value<'a>(self) -> Value<'a> {
        match self {
            Leaf::Absent => Value::Absent,
            Leaf::Unknown => Value::Unknown,
            Leaf::Boolean(value) => Value::Boolean(value),
            Leaf::Number(number) => Value::Number(number),
            Leaf::Text(text) => Value::Bytes(text.into()),
            Leaf::Address(address) => Value::Address(address),
            Leaf::List(_) => Value::Boolean(true),
        }
    }

    /// What a computed field keeps of a value: what cannot be known is not there.
    pub fn of(value: &Value<'_>) -> Leaf {
        match value {
            Value::Absent | Value::Unknown => Leaf::Absent,
            Value::Boolean(value) => Leaf::Boolean(*value),
            Value::Number(number) => Leaf::Number(*number),
            Value::Bytes(text) => Leaf::Text(text.to_vec()),
            Value::Address(address) => Leaf::Address(*address),
        }
    }
}

/// What a flow of this protocol holds when it begins.
pub fn flow_fields(protocol: &Protocol) -> Fields {
    let mut fields = vec![Leaf::Absent; usize::from(protocol.scheme.flow.width)];
    for (slot, value) in &protocol.variables {
        put(&mut fields, *slot, Leaf::Number(*value));
    }
    fields
}

/// Sets a slot, if there is one of this number.
pub(super) fn put(fields: &mut Fields, slot: u16, leaf: Leaf) {
    if let Some(entry) = fields.get_mut(usize::from(slot)) {
        *entry = leaf;
    }
}

/// What formulas see.
pub(super) struct View<'a> {
    pub(super) record: Option<&'a Fields>,
    pub(super) element: Option<&'a Fields>,
    pub(super) flow: &'a Fields,
    pub(super) raw: &'a [u8],
}

impl View<'_> {
    fn fields(&self, scope: Scope) -> Option<&Fields> {
        match scope {
            Scope::Record => self.record,
            Scope::Element => self.element,
            Scope::Flow => Some(self.flow),
            Scope::Event | Scope::Connection => None,
        }
    }

    fn list(&self, list: Place) -> &[Fields] {
        match self.fields(list.scope).and_then(|fields| fields.get(usize::from(list.slot))) {
            Some(Leaf::List(elements)) => elements,
            _ => &[],
        }
    }
}

impl Host for View<'_> {
    fn read(&self, place: Place) -> Value<'_> {
        if place.scope == Scope::Record && place.slot == RAW_SLOT {
            return Value::bytes(self.raw);
        }
        let fields = self.fields(place.scope);
        fields.and_then(|fields| fields.get(usize::from(place.slot))).map_or(Value::Absent, Leaf::value)
    }

    fn count(&self, list: Place) -> u32 {
        u32::try_from(self.list(list).len()).unwrap_or(u32::MAX)
    }

    fn element(&self, list: Place, index: u32, slot: u16) -> Value<'_> {
        let element = usize::try_from(index).ok().and_then(|index| self.list(list).get(index));
        element.and_then(|fields| fields.get(usize::from(slot))).map_or(Value::Absent, Leaf::value)
    }
}
