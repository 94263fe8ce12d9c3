//! Records to lines.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::head::Head;

/// What a record tells beside its [`Head`].
pub trait Body {
    /// The `event_type`.
    fn event_type(&self) -> &'static str;

    /// Writes the entries of the record's object that come after the head.
    ///
    /// # Errors
    ///
    /// Only those of the map.
    fn entries<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error>;
}

/// Writes records as lines of JSON into memory that it uses again for the next.
#[derive(Debug, Default)]
pub struct Encoder {
    line: Vec<u8>,
}

impl Encoder {
    /// An encoder without memory yet.
    pub fn new() -> Encoder {
        Encoder::default()
    }

    /// The line of a record, with its newline: one JSON object, valid UTF-8, without any other control character.
    pub fn line<B: Body>(&mut self, head: &Head<'_>, body: &B) -> &[u8] {
        self.line.clear();
        // Neither memory nor our own types can fail; were they to, the reader gets no half line.
        if serde_json::to_writer(&mut self.line, &Record { head, body }).is_err() {
            self.line.clear();
            return &self.line;
        }
        self.line.push(b'\n');
        &self.line
    }
}

struct Record<'a, B> {
    head: &'a Head<'a>,
    body: &'a B,
}

impl<B: Body> Serialize for Record<'_, B> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.head.entries(&mut map, self.body.event_type())?;
        self.body.entries(&mut map)?;
        map.end()
    }
}
