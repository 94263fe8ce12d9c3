//! The tree of a grammar file: what was written, name by name, before anything is known about the names.
//!
//! Spans are part of every node and no part of equality: two trees are equal if they say the same, wherever it was written. That
//! is what the formatter's tests compare.

use portcullis_lang::{Comment, Direction, Expression, Name, Path, SourceId, Span, Text};

mod element;
mod machine;

pub use element::*;
pub use machine::*;

/// A grammar file.
#[derive(Clone, Debug)]
pub struct File {
    /// The text that it was read from.
    pub source: SourceId,
    /// Its sections, in order.
    pub items: Vec<Item>,
    /// Its comments, in order; the formatter keeps them, nobody else looks.
    pub comments: Vec<Comment>,
}

impl PartialEq for File {
    fn eq(&self, other: &File) -> bool {
        self.items == other.items && self.comments == other.comments
    }
}

/// A section of a grammar file.
#[derive(Clone, Debug)]
pub struct Item {
    /// What it is.
    pub kind: ItemKind,
    /// All of it.
    pub span: Span,
}

impl PartialEq for Item {
    fn eq(&self, other: &Item) -> bool {
        self.kind == other.kind
    }
}

/// What a section is.
#[derive(Clone, Debug, PartialEq)]
pub enum ItemKind {
    /// `protocol dns over udp port 53, tcp port 53 framed by u16`.
    Protocol(Protocol),
    /// `use mime, tls`.
    Use(Vec<Name>),
    /// `keywords ignore case` (true) or `keywords match case` (false, as without it).
    KeywordsIgnoreCase(bool),
    /// `refuse with reply 400..599`.
    Refuse(RefuseItem),
    /// `newline CRLF, and LF as anomaly bare_lf`; the first is the one that is right.
    Newline(Vec<LineEnding>),
    /// `anomaly bare_lf severity medium "a line that ends in LF alone"`.
    Anomaly(AnomalyDeclaration),
    /// `enum rcode u4 { NOERROR = 0 }`.
    Enumeration(Enumeration),
    /// `group`, `line`, `record` and `value`.
    Definition(Definition),
    /// `stream content { ... }`.
    Stream(Stream),
    /// `pipe content { ... }`.
    Pipe(PipeDefinition),
    /// `flow { ... }`.
    Flow(Vec<FlowEntry>),
    /// `machine { ... }`.
    Machine(Machine),
    /// `example "pipelined mail" { ... }`.
    Example(Example),
}

/// `refuse with reply 400..599`: how the server says no.
#[derive(Clone, Debug, PartialEq)]
pub struct RefuseItem {
    /// The record of the server that says no.
    pub record: Name,
    /// Its least code.
    pub least: Expression,
    /// Its greatest code.
    pub most: Expression,
}

/// The head of a grammar: its name and what it runs on.
#[derive(Clone, Debug, PartialEq)]
pub struct Protocol {
    /// The name, which prefixes its events in policies.
    pub name: Name,
    /// What it runs on; empty if other protocols hand it its data.
    pub transports: Vec<Transport>,
}

/// `tcp port 25, 587 framed by u16`.
#[derive(Clone, Debug, PartialEq)]
pub struct Transport {
    /// TCP or UDP.
    pub kind: TransportKind,
    /// The ports on which it is expected, with their places.
    pub ports: Vec<(u16, SpanOf)>,
    /// The type of the length before each message on a byte stream.
    pub framed_by: Option<Name>,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransportKind {
    /// Byte streams.
    Tcp,
    /// Datagrams: each is one message.
    Udp,
}

/// A span that takes no part in equality.
#[derive(Clone, Copy, Debug)]
pub struct SpanOf(pub Span);

impl PartialEq for SpanOf {
    fn eq(&self, _: &SpanOf) -> bool {
        true
    }
}

/// One way to end a line.
#[derive(Clone, Debug, PartialEq)]
pub struct LineEnding {
    /// `CRLF`, `LF`, `CR` or `NUL`.
    pub kind: LineEndingKind,
    /// The anomaly that its use is; none if it is as good as the first.
    pub anomaly: Option<Name>,
    /// Where it was written.
    pub span: SpanOf,
}

/// The bytes that end a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LineEndingKind {
    /// Carriage return and line feed.
    CrLf,
    /// Line feed alone.
    Lf,
    /// Carriage return alone.
    Cr,
    /// `NUL`: an octet 0, which ends no line but is reported in them.
    Nul,
}

/// The description of an anomaly for reports.
#[derive(Clone, Debug, PartialEq)]
pub struct AnomalyDeclaration {
    /// Its name, as used in `as anomaly NAME`.
    pub name: Name,
    /// How bad it is, if said.
    pub severity: Option<AnomalySeverity>,
    /// One sentence for people.
    pub text: Text,
}

/// How bad an anomaly is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AnomalySeverity {
    /// A deviation that is common.
    Low,
    /// Worth a look.
    Medium,
    /// Hardly ever innocent.
    High,
    /// An attack.
    Critical,
}

/// `enum rcode u4 { NOERROR = 0  FORMERR = 1 }`. Unknown numbers are kept as numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Enumeration {
    /// Its name, used as a type.
    pub name: Name,
    /// The integer type that is on the wire.
    pub representation: Name,
    /// Its members, in order.
    pub members: Vec<EnumerationMember>,
}

/// `NXDOMAIN = 3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnumerationMember {
    /// The name of the number.
    pub name: Name,
    /// The number.
    pub value: u64,
}

/// A named `group`, `line`, `record` or `value`.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// Which of them.
    pub kind: DefinitionKind,
    /// Its name.
    pub name: Name,
    /// Its bounds, as written: `max 64 KB`, `max depth 32, max 1000000 elements`.
    pub maxima: Vec<Maximum>,
    /// `folded`: a line goes on in following lines that begin with a blank.
    pub folded: Option<SpanOf>,
    /// What it consists of, in the order on the wire.
    pub fields: Vec<Field>,
    /// `= EXPRESSION` of a `value`.
    pub result: Option<Expression>,
}

/// What a [`Definition`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DefinitionKind {
    /// Fields to reuse; no event.
    Group,
    /// Exactly one line, held.
    Line,
    /// Held until complete, then one event.
    Record,
    /// Fields that make up one value.
    Value,
}

impl DefinitionKind {
    /// The word that begins it.
    pub fn as_str(self) -> &'static str {
        match self {
            DefinitionKind::Group => "group",
            DefinitionKind::Line => "line",
            DefinitionKind::Record => "record",
            DefinitionKind::Value => "value",
        }
    }
}

/// `max 64 KB`, `max 16 digits`, `max depth 32`, `max 1000 elements`.
#[derive(Clone, Debug, PartialEq)]
pub struct Maximum {
    /// How much.
    pub amount: Expression,
    /// Of what.
    pub of: MaximumOf,
    /// All of it.
    pub span: SpanOf,
}

/// What a [`Maximum`] bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MaximumOf {
    /// Bytes, or elements where it stands at a repetition: without a word of its own.
    Size,
    /// `depth N`: how often it may contain itself.
    Depth,
    /// `N elements`.
    Elements,
    /// `N digits`.
    Digits,
}

/// `stream content { lines until "." | remove leading "." | mail }`.
///
/// Its fields are read in order; each may carry pipes. Unnamed bytes are its content.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// Its name: events NAME.start, NAME.chunk, NAME.
    pub name: Name,
    /// Its bounds: `max depth 16`.
    pub maxima: Vec<Maximum>,
    /// Sources, records and groups, in the order on the wire.
    pub fields: Vec<Field>,
}

/// `pipe content { gzip | body }`.
#[derive(Clone, Debug, PartialEq)]
pub struct PipeDefinition {
    /// Its name.
    pub name: Name,
    /// Stages, in the order in which data flows.
    pub stages: Vec<Stage>,
}

/// An entry of `flow { ... }`.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowEntry {
    /// Its name.
    pub name: Name,
    /// What is kept.
    pub kind: FlowEntryKind,
    /// All of it.
    pub span: SpanOf,
}

/// What a flow keeps under a name.
#[derive(Clone, Debug, PartialEq)]
pub enum FlowEntryKind {
    /// `last command keeping verb, size`.
    Last {
        /// The record.
        record: Path,
        /// The fields that outlive it.
        keeping: Vec<Path>,
    },
    /// `channel to mime.message, one per direction`.
    Channel {
        /// Who reads it; none makes it an event stream of its own.
        target: Option<Path>,
        /// Whether each direction has its own.
        per_direction: bool,
    },
    /// `u8 = 0`.
    Variable {
        /// Its integer type.
        kind: Name,
        /// What it is when the flow begins.
        initial: Option<Expression>,
    },
}

/// `example "pipelined mail" { up "..." down "..." gives ... }`.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// What it shows.
    pub title: Text,
    /// `over udp`, where the protocol runs on more than one transport.
    pub over: Option<TransportKind>,
    /// What is sent and expected, in order.
    pub steps: Vec<ExampleStep>,
}

/// A step of an [`Example`].
#[derive(Clone, Debug, PartialEq)]
pub enum ExampleStep {
    /// `up "EHLO a\r\n"`.
    Send {
        /// Who speaks.
        direction: Direction,
        /// The bytes; texts that follow each other are joined.
        bytes: Text,
    },
    /// `gives command EHLO, reply 250, mail { body == "x" }`: the events that there were, in order.
    Gives {
        /// The events; empty for `gives nothing`.
        events: Vec<ExpectedEvent>,
        /// All of it.
        span: SpanOf,
    },
}

/// An event that an example is expected to raise.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedEvent {
    /// Its name.
    pub name: Path,
    /// `command EHLO`, `reply 250`: the value of what tells its variants apart.
    pub value: Option<Expression>,
    /// `{ sender.domain == "y" }`: what has to hold.
    pub tests: Vec<Expression>,
    /// All of it.
    pub span: SpanOf,
}
