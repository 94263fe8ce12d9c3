//! The scheme: the typed names that grammars export and policies are checked against.
//!
//! A grammar that loads yields a [`ProtocolScheme`]: its events, and for each event the fields that its record has, in
//! which of its variants. It is the single source of names and types; nothing at run time looks a name up.

use std::sync::Arc;

/// The slot that stands for the octets of the record itself, without the newline of a line (`raw`).
pub const RAW_SLOT: u16 = u16::MAX;

/// The type of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// True or false.
    Boolean,
    /// A number between two bounds, both inclusive.
    Number {
        /// Least value.
        min: i64,
        /// Greatest value.
        max: i64,
    },
    /// A number with names for some of its values.
    Enumeration(Arc<Enumeration>),
    /// Octets, at most `max` of them.
    Text {
        /// Most octets.
        max: u32,
    },
    /// A word that is compared with keywords, in any case where the grammar says so.
    Keyword {
        /// Most octets.
        max: u32,
    },
    /// An IPv4 or IPv6 address.
    Address,
    /// A group of fields, `sender` of `sender.domain`; as a value it is true where the group was there.
    Group,
    /// Elements, each with the fields of the layout.
    List(Arc<Layout>),
}

impl Type {
    /// How messages name the type.
    pub fn describe(&self) -> String {
        match self {
            Type::Boolean => "a truth value".into(),
            Type::Number { .. } => "a number".into(),
            Type::Enumeration(enumeration) => format!("a number with names ({})", enumeration.name),
            Type::Text { .. } => "text".into(),
            Type::Keyword { .. } => "a keyword".into(),
            Type::Address => "an address".into(),
            Type::Group => "a group of fields".into(),
            Type::List(_) => "a list".into(),
        }
    }
}

/// Names for values of a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enumeration {
    /// Its name in the grammar.
    pub name: String,
    /// Names and values, in the order of the grammar.
    pub members: Vec<(String, i64)>,
}

impl Enumeration {
    /// The name of a value, if it has one.
    pub fn name_of(&self, value: i64) -> Option<&str> {
        self.members.iter().find(|member| member.1 == value).map(|member| member.0.as_str())
    }

    /// The value of a name.
    pub fn value_of(&self, name: &str) -> Option<i64> {
        self.members.iter().find(|member| member.0 == name).map(|member| member.1)
    }
}

/// The fields of a record, of an element of a list, or of what a flow keeps.
///
/// A field of a group has a dotted path (`sender.domain`); all of a record's fields lie side by side in slots.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    /// The rule it belongs to.
    pub name: String,
    /// The fields, in the order of the grammar.
    pub fields: Vec<FieldInfo>,
    /// How many slots an instance takes; at least one more than the highest slot of a field.
    pub width: u16,
}

impl Layout {
    /// The field of a dotted path. A path may have several fields, one for each variant that has it; this is the first.
    pub fn field(&self, path: &str) -> Option<&FieldInfo> {
        self.fields.iter().find(|field| field.path == path)
    }
}

/// One field of a layout.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldInfo {
    /// Dotted path from the record, `sender.domain`.
    pub path: String,
    /// Where an instance holds it.
    pub slot: u16,
    /// Its type.
    pub kind: Type,
    /// What has to hold for the field to exist; empty if it always does.
    pub presence: Vec<Presence>,
}

/// One condition for a field to exist; all of a field's conditions have to hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Presence {
    /// The branch of a `choose` by value: the field in `slot` has one of these values (or none of them, if `negated`,
    /// for an `else`).
    Case {
        /// The slot of the field that is chosen by.
        slot: u16,
        /// Its path, for messages.
        path: String,
        /// The values of the branch, or for `else` those of all other branches.
        values: Vec<CaseValue>,
        /// True for an `else`.
        negated: bool,
    },
    /// An `optional` part, a branch by first bytes, or a `when`: present if this slot is.
    ///
    /// The field's own slot with an empty path: computed from a text that may be no number. Tests of it then fail, which
    /// is what they are for, so it may be named without asking first.
    Part {
        /// The slot that is present exactly if the part is.
        slot: u16,
        /// Its path, for messages.
        path: String,
    },
}

/// A value of a branch, or of a set after `in`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaseValue {
    /// A range of numbers, both ends inclusive.
    Range(i64, i64),
    /// A keyword or text. Keywords are upper-case here.
    Text(Box<[u8]>),
}

/// The number of an event within its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(pub u16);

/// The number of a state within its protocol's machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StateId(pub u16);

/// The number of a named anomaly within its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AnomalyId(pub u16);

/// What a protocol exports.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProtocolScheme {
    /// `smtp`.
    pub name: String,
    /// Its events; [`EventId`] is the index.
    pub events: Vec<EventType>,
    /// Its states; [`StateId`] is the index. The last two are `fail` and `finish`.
    pub states: Vec<String>,
    /// Its named anomalies; [`AnomalyId`] is the index.
    pub anomalies: Vec<AnomalyInfo>,
    /// What a flow keeps (`asked.verb`): slots of [`Scope::Flow`](crate::Scope::Flow).
    pub flow: Layout,
    /// Whether keywords are the same in any case (`keywords ignore case`).
    pub keywords_ignore_case: bool,
    /// How the protocol says no (`refuse with reply 400..599`); none if it cannot.
    pub refusal: Option<Refusal>,
    /// What can be changed of the records of events, by [`EventId`]; nothing of those beyond its end.
    pub writable: Vec<Writable>,
    /// How anomalies are put right, by [`AnomalyId`]; those beyond its end cannot be.
    pub canonical: Vec<Vec<Canonical>>,
    /// By [`EventId`], of records and streams: what the same side can still bring about behind it, before the other side has
    /// to speak. Nothing of those beyond its end.
    pub follows: Vec<Vec<EventId>>,
}

/// How a protocol says no to its client: by one line that begins with a code of three digits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// The record that such a line is, `reply`.
    pub record: String,
    /// Least code.
    pub least: u16,
    /// Greatest code.
    pub most: u16,
    /// States in which another protocol may have taken over: such a line would not be understood there.
    pub not_in: Vec<StateId>,
    /// Events with which another protocol takes over.
    pub not_on: Vec<EventId>,
}

/// What can be changed of a record: what its octets have as it is, and nothing that is computed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writable {
    /// Slots of fields that are octets of the record.
    pub slots: Vec<u16>,
    /// Lists whose elements follow each other, so that one can be left out or put in.
    pub lists: Vec<WritableList>,
    /// Whether it is one line, so that text can be put in at its start and before its newline.
    pub line: bool,
    /// Of the start and the end of a stream of lines: how text is put in there.
    pub stream: Option<LineStream>,
}

/// A stream of lines up to a line of its own, in which lines that look like it are hidden: `lines until "."` with
/// `remove leading "."`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineStream {
    /// The octet that the last line is, and that stands twice where another line begins with it.
    pub hidden: u8,
    /// Whether CR LF ends a line; else LF does.
    pub crlf: bool,
}

impl LineStream {
    /// What ends a line.
    pub fn newline(&self) -> &'static [u8] {
        if self.crlf { b"\r\n" } else { b"\n" }
    }

    /// How many octets the last line has.
    pub fn last_line(&self) -> u32 {
        if self.crlf { 3 } else { 2 }
    }
}

/// The form that a deviation can be brought to without a change of what was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Canonical {
    /// This octet alone, a LF or a CR, becomes CR LF.
    Newline {
        /// The octet.
        octet: u8,
        /// What hides lines of a stream that look like its end; the same in all streams of the protocol.
        hidden: Option<u8>,
    },
    /// A field of a record becomes so many blanks, or nothing.
    Blanks {
        /// The record.
        record: String,
        /// The slot of the field.
        slot: u16,
        /// How many.
        count: u32,
    },
}

/// A list of which elements can be left out, and into which others can be put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WritableList {
    /// The slot of the list.
    pub slot: u16,
    /// The mark of all elements but the last, if the list goes on for as long as it is there.
    pub mark: Option<ListMark>,
    /// What ends an element that is a line; nothing if elements are no lines.
    pub newline: &'static [u8],
}

/// What says that another element follows: the `-` of `250-SIZE`. A blank in its place makes an element the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListMark {
    /// The slot of the field of the element right behind which it stands.
    pub behind: u16,
    /// The octet.
    pub octet: u8,
}

impl ProtocolScheme {
    /// The event of a name, without the protocol (`command`).
    pub fn event(&self, name: &str) -> Option<(EventId, &EventType)> {
        let index = self.events.iter().position(|event| event.name == name)?;
        Some((EventId(u16::try_from(index).ok()?), self.events.get(index)?))
    }

    /// Whether an event can come behind another of the same side while the other side says nothing.
    pub fn can_follow(&self, event: EventId, later: EventId) -> bool {
        self.follows.get(usize::from(event.0)).is_some_and(|behind| behind.contains(&later))
    }

    /// The beginning of the stream that an event is the end of.
    pub fn stream_start(&self, end: EventId) -> Option<(EventId, &EventType)> {
        let event = self.events.get(usize::from(end.0)).filter(|event| event.kind == EventKind::StreamEnd)?;
        self.event(&format!("{}.start", event.name))
    }

    /// The state of a name.
    pub fn state(&self, name: &str) -> Option<StateId> {
        let index = self.states.iter().position(|state| state == name)?;
        u16::try_from(index).ok().map(StateId)
    }
}

/// A named anomaly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnomalyInfo {
    /// `bare_lf`.
    pub name: String,
    /// What it means, for people; empty if the grammar does not say.
    pub text: String,
}

/// An event that policies can name.
#[derive(Clone, Debug, PartialEq)]
pub struct EventType {
    /// Name without the protocol: `command`, `content.chunk`, `bare_lf`, `enter`.
    pub name: String,
    /// What it tells.
    pub kind: EventKind,
    /// The record's fields; empty layout where the event has none of its own.
    pub layout: Arc<Layout>,
    /// The states in which it can occur; empty for any.
    pub states: Vec<StateId>,
}

/// The kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A record is complete.
    Record,
    /// A stream begins.
    StreamStart,
    /// A piece of a stream.
    StreamChunk,
    /// A stream has ended.
    StreamEnd,
    /// A broken *should*.
    Anomaly(AnomalyId),
    /// A record did not parse.
    ParseError,
    /// A side spoke where its grammar says nothing.
    MissingGrammar,
    /// Bytes are missing.
    Gap,
    /// A bound was met.
    Overrun,
    /// The timeout of a state has passed.
    Timeout,
    /// A state is entered.
    Enter,
    /// A state is left.
    Leave,
    /// The machine has failed; the flow is opaque from here.
    Fail,
    /// The machine has finished.
    Finish,
}

/// Slots of [`Scope::Event`](crate::Scope::Event): what every event of a machine tells beside its record.
pub mod event_slots {
    /// `state`: name of the machine's state, text.
    pub const STATE: u16 = 0;
    /// `reason`: of a fail, a parse error or an anomaly, text.
    pub const REASON: u16 = 1;
    /// `offset`: octets of the direction before the event's place, number.
    pub const OFFSET: u16 = 2;
    /// `size`: octets of the record, chunk, stream or gap, number.
    pub const SIZE: u16 = 3;
    /// `side`: `client` or `server`, text.
    pub const SIDE: u16 = 4;
    /// `record`: name of the record or stream it happened in, text.
    pub const RECORD: u16 = 5;
    /// `up.waiting`: octets that the client sent before they were asked for, number.
    pub const UP_WAITING: u16 = 6;
    /// `down.waiting`: the same of the server.
    pub const DOWN_WAITING: u16 = 7;
    /// `complete`: whether a stream ended by itself, truth value.
    pub const COMPLETE: u16 = 8;
    /// `data`: the octets of a chunk.
    pub const DATA: u16 = 9;
    /// `position`: octets of a stream up to the end of what a rule found in it, number.
    pub const POSITION: u16 = 10;
    /// The content of a whole stream, for `contains` and `matches` without a subject; it has no name and is never held.
    pub const STREAM: u16 = 0x4000;
    /// From here on: whether a pattern was found in a stream, by its number. Only rules that were planned read these.
    pub const FOUND: u16 = 0x8000;
    /// The names, by slot.
    pub const NAMES: [&str; 11] = [
        "state",
        "reason",
        "offset",
        "size",
        "side",
        "record",
        "up.waiting",
        "down.waiting",
        "complete",
        "data",
        "position",
    ];
}

/// Slots of [`Scope::Connection`](crate::Scope::Connection): what policies know of the flow itself.
pub mod connection_slots {
    /// `client.address`.
    pub const CLIENT_ADDRESS: u16 = 0;
    /// `client.port`.
    pub const CLIENT_PORT: u16 = 1;
    /// `server.address`.
    pub const SERVER_ADDRESS: u16 = 2;
    /// `server.port`.
    pub const SERVER_PORT: u16 = 3;
    /// `flow.transport`: `tcp` or `udp`, text.
    pub const TRANSPORT: u16 = 4;
    /// `flow.protocol`: name of the grammar, text.
    pub const PROTOCOL: u16 = 5;
    /// `flow.midstream`: whether its beginning was not seen, a truth value.
    pub const MIDSTREAM: u16 = 6;
    /// The names, by slot.
    pub const NAMES: [&str; 7] = [
        "client.address",
        "client.port",
        "server.address",
        "server.port",
        "flow.transport",
        "flow.protocol",
        "flow.midstream",
    ];
}
