//! The checked model of a grammar: what a grammar file means, with every name resolved and every type known.
//!
//! It is made by `lower` from the syntax tree, judged by `check`, run as it stands by the naive `oracle`, and compiled
//! by `compile` into the programs that the machine runs. Groups used as fields are inlined here (`sender: path` gives
//! the slots `sender`, `sender.address` ...), relations are turned into what reads them (`measures` into
//! [`Item::Window`], `counts` into [`End::Count`]).

use std::sync::Arc;

use portcullis_lang::scheme::AnomalyInfo;
use portcullis_lang::{AnomalyId, CaseValue, EventId, Formula, Layout, ProtocolScheme, Span, StateId};

/// A grammar file, checked.
#[derive(Clone, Debug)]
pub struct Protocol {
    /// `smtp`.
    pub name: String,
    /// What it runs on; empty for protocols that others hand data to.
    pub transports: Vec<Transport>,
    /// What ends a line.
    pub newline: Newline,
    /// Named anomalies; [`AnomalyId`] is the index.
    pub anomalies: Vec<AnomalyInfo>,
    /// Lines, records, elements of lists and values; [`RuleId`] is the index.
    pub rules: Vec<Rule>,
    /// Streams; [`StreamId`] is the index.
    pub streams: Vec<Stream>,
    /// Channels; [`ChannelId`] is the index.
    pub channels: Vec<Channel>,
    /// What the flow keeps of records (`asked: last command keeping verb`).
    pub kept: Vec<Kept>,
    /// First values of the flow's own numbers (`answered: u1 = 0`): slot of [`ProtocolScheme::flow`] and value.
    pub variables: Vec<(u16, i64)>,
    /// The conversation.
    pub machine: Machine,
    /// What policies see.
    pub scheme: Arc<ProtocolScheme>,
    /// The dialogues that `check` runs.
    pub examples: Vec<Example>,
}

/// One transport of a protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transport {
    /// UDP if true, TCP if false.
    pub datagrams: bool,
    /// Ports of the server.
    pub ports: Vec<u16>,
    /// Octets of the length that stands before each record (`framed by u16`: 2), network order.
    pub framed: Option<u8>,
}

/// What ends a line, and which octets are reported in lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Newline {
    /// Whether CR LF ends a line.
    pub crlf: bool,
    /// Whether a LF alone ends a line of a record; in a stream's `lines until` it never ends one unless `crlf` is false.
    pub lf: bool,
    /// Reported where a LF comes without a CR.
    pub bare_lf: Option<AnomalyId>,
    /// Where a LF alone is allowed, if it is.
    pub lf_span: Option<Span>,
    /// Reported where a CR comes without a LF. It never ends a line.
    pub bare_cr: Option<AnomalyId>,
    /// Reported where an octet 0 comes.
    pub nul: Option<AnomalyId>,
}

/// The number of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(pub u16);

/// The number of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u16);

/// The number of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(pub u16);

/// How one record, line, element or value is parsed.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name in the grammar.
    pub name: String,
    /// What it is.
    pub kind: RuleKind,
    /// Most octets, including the newline of a line.
    pub max: u32,
    /// Its fields.
    pub layout: Arc<Layout>,
    /// What it consists of, in wire order.
    pub items: Vec<Item>,
    /// The value of a [`RuleKind::Value`], which reads the rule's own slots as [`Scope::Record`](portcullis_lang::Scope).
    pub result: Option<Formula>,
    /// Most levels of itself within itself; 0 if it never contains itself. A `follow` counts as a level.
    pub depth: u8,
    /// Where it stands.
    pub span: Span,
}

/// The kinds of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RuleKind {
    /// Exactly one line; its items see the line without its newline.
    Line,
    /// Held until complete.
    Record,
    /// The element of a list, if it is neither a line nor a record.
    Group,
    /// Fields that make up one value.
    Value,
}

pub use portcullis_lang::scheme::RAW_SLOT;

/// One step of a rule.
#[derive(Clone, Debug)]
pub enum Item {
    /// These octets.
    Literal(Literal),
    /// A field.
    Field(Field),
    /// `let`: a computed field. Absent if its formula is.
    Let {
        /// Where it goes.
        slot: u16,
        /// What it is.
        value: Formula,
        /// Where it stands.
        span: Span,
    },
    /// `must` or `should`.
    Check {
        /// Which of them.
        weight: Weight,
        /// What has to hold; unknown counts as holding.
        test: Formula,
        /// Where it stands.
        span: Span,
    },
    /// `optional X`, and a branch of several: there if its first octets are.
    Optional {
        /// Set to true if it is there.
        slot: u16,
        /// The prefix that decides.
        first: First,
        /// The part.
        items: Vec<Item>,
    },
    /// `X when TEST`
    When {
        /// Set to true if it is there.
        slot: u16,
        /// The test; unknown counts as false.
        test: Formula,
        /// The part.
        items: Vec<Item>,
    },
    /// `choose EXPR { ... }`: by value. No branch and no `else` that fits is a parse error.
    ///
    /// Fields of the same name and type in several branches share one slot and one [`FieldInfo`]: its presence is that of
    /// any of them, and where all branches have it, it is always there. The same holds for [`Item::Choose`].
    ///
    /// [`FieldInfo`]: portcullis_lang::FieldInfo
    Switch {
        /// What is chosen by.
        on: Formula,
        /// Whether texts are compared in any case.
        fold: bool,
        /// The branches, disjoint (C4).
        arms: Vec<Arm>,
        /// The `else`.
        otherwise: Option<Vec<Item>>,
        /// Where it stands.
        span: Span,
    },
    /// `choose { ... }`: by the first octets. No branch and no `else` that fits is a parse error.
    Choose {
        /// The branches, disjoint (C4).
        arms: Vec<FirstArm>,
        /// The `else`.
        otherwise: Option<Vec<Item>>,
        /// Where it stands.
        span: Span,
    },
    /// `within N { ... }` and the target of `measures`: a window of N octets; what the items leave is skipped if
    /// `rest` allows it and a parse error otherwise.
    Window {
        /// Octets.
        size: Formula,
        /// What lies in it.
        items: Vec<Item>,
        /// Where it stands.
        span: Span,
    },
    /// A `line` inside a record: a window to the end of the line; the newline is consumed.
    Line {
        /// Most octets with the newline.
        max: u32,
        /// What lies in it.
        items: Vec<Item>,
        /// Where it stands.
        span: Span,
    },
    /// `many X`: a list.
    Many(Many),
    /// A `value` rule: its result goes to the slot.
    Value {
        /// Where it goes.
        slot: u16,
        /// The rule.
        rule: RuleId,
        /// Where it stands.
        span: Span,
    },
    /// `follow X at OFFSET, backwards`: reads the value rule X at an earlier place of the message. The offset counts
    /// from the record's first octet and has to lie before the place where the value (or the one whose jump led here)
    /// began, so that every jump is shorter than the last; anything else is a parse error.
    Follow {
        /// Where the result goes.
        slot: u16,
        /// The value rule.
        rule: RuleId,
        /// Octets from the beginning of the record.
        offset: Formula,
        /// Where it stands.
        span: Span,
    },
    /// `error "text"`: a parse error.
    Fail {
        /// What is wrong.
        text: Template,
        /// Where it stands.
        span: Span,
    },
}

/// Octets that have to be there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Literal {
    /// The octets.
    pub bytes: Box<[u8]>,
    /// Whether letters match in either case.
    pub fold: bool,
}

/// A field that is read.
#[derive(Clone, Debug)]
pub struct Field {
    /// Where it goes; none for `_`.
    pub slot: Option<u16>,
    /// Name for messages.
    pub name: String,
    /// How it looks on the wire.
    pub shape: Shape,
    /// What is made of it.
    pub convert: Conversion,
    /// Where it stands.
    pub span: Span,
}

/// How a field looks on the wire.
#[derive(Clone, Debug)]
pub enum Shape {
    /// An unsigned or signed number of 1 to 8 whole octets.
    Number {
        /// Octets.
        octets: u8,
        /// Least significant octet first.
        little: bool,
        /// Two's complement.
        signed: bool,
    },
    /// 1 to 63 bits, most significant first.
    Bits(u8),
    /// An IPv4 address, 4 octets.
    Ipv4,
    /// An IPv6 address, 16 octets.
    Ipv6,
    /// `bytes N`
    Bytes(Formula),
    /// To the end of the window, possibly nothing (`rest`, and `bytes` or `text` of a measured window).
    Rest,
    /// Octets of a class, as many as there are, up to `max`. More than `max` is a parse error, as are fewer than `min`.
    Class {
        /// Which octets.
        set: ClassSet,
        /// Fewest.
        min: u32,
        /// Most.
        max: u32,
    },
    /// To a delimiter within the window (`until`, `upto`); no delimiter is a parse error unless `or_end`.
    Until {
        /// The delimiter.
        delimiter: Delimiter,
        /// Whether the end of the window will do too. So it is where the delimiter is a class: `upto [^A-Z]` takes
        /// what is there of A to Z, possibly nothing.
        or_end: bool,
        /// The octet that begins and ends a stretch in which the delimiter does not count. A stretch without an end
        /// does not count as one: then the first delimiter after its beginning is taken.
        quote: Option<u8>,
        /// The octet that takes the meaning from the next one.
        escape: Option<u8>,
        /// Whether the delimiter is consumed.
        consume: bool,
        /// Most octets before the delimiter.
        max: u32,
    },
    /// Decimal digits, at least one; a value above `i64::MAX` is a parse error. `max`: most digits.
    Decimal {
        /// Most digits.
        max: u32,
    },
    /// Hexadecimal digits, at least one, at most `max` and never more than 16.
    Hex {
        /// Most digits.
        max: u32,
    },
    /// One of these texts, or nothing at the end of the window if `end`. The first that fits is taken.
    OneOf {
        /// The texts.
        texts: Vec<Literal>,
        /// Whether the end of the window will do too.
        end: bool,
    },
    /// SP and TAB, as many as there are, possibly none. (In `blanks`.)
    Blanks,
    /// A newline, as [`Newline`] has it.
    Newline,
    /// The end of the window.
    End,
}

/// What ends a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delimiter {
    /// This text; never empty.
    Text(Box<[u8]>),
    /// Any octet of a class.
    Class(ClassSet),
}

/// What is made of the octets of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Conversion {
    /// Nothing: numbers stay numbers and octets octets.
    None,
    /// Decimal digits to a number (`as number`).
    Number,
    /// SP and TAB cut off at both ends (`trimmed`).
    Trimmed,
    /// ASCII letters in lower case (`lowercase`).
    Lowercase,
}

/// `must` or `should`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Broken: a parse error.
    Must,
    /// Broken: this anomaly, and parsing goes on.
    Should(AnomalyId),
}

/// A branch of a choice by value.
#[derive(Clone, Debug)]
pub struct Arm {
    /// The values that lead here.
    pub values: Vec<CaseValue>,
    /// What follows.
    pub items: Vec<Item>,
    /// Where it stands.
    pub span: Span,
}

/// A branch of a choice by the first octets.
#[derive(Clone, Debug)]
pub struct FirstArm {
    /// What decides.
    pub first: First,
    /// Set to true if this branch was taken.
    pub slot: u16,
    /// What follows, from the first octet that decided.
    pub items: Vec<Item>,
    /// Where it stands.
    pub span: Span,
}

/// A decision by the first octets: one of these prefixes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct First {
    /// Any of them will do.
    pub prefixes: Vec<Prefix>,
}

/// Leading literal octets and the class of the octet after them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The octets.
    pub literal: Literal,
    /// What comes next.
    pub next: Next,
}

/// What has to come after a prefix's literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Anything, and nothing.
    Any,
    /// An octet of this class.
    Class(ClassSet),
    /// The end of the window.
    End,
}

/// A set of octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClassSet(pub [u64; 4]);

impl ClassSet {
    /// The set of no octets.
    pub const EMPTY: ClassSet = ClassSet([0; 4]);
    /// The set of all octets.
    pub const ALL: ClassSet = ClassSet([u64::MAX; 4]);

    /// Whether it has the octet.
    pub fn contains(&self, octet: u8) -> bool {
        self.0.get(usize::from(octet >> 6)).is_some_and(|word| word & (1 << (octet & 63)) != 0)
    }

    /// Puts an octet in.
    pub fn insert(&mut self, octet: u8) {
        if let Some(word) = self.0.get_mut(usize::from(octet >> 6)) {
            *word |= 1 << (octet & 63);
        }
    }

    /// The set of these octets.
    pub fn of(octets: impl IntoIterator<Item = u8>) -> ClassSet {
        let mut set = ClassSet::EMPTY;
        octets.into_iter().for_each(|octet| set.insert(octet));
        set
    }

    /// What both have.
    pub fn intersection(&self, other: &ClassSet) -> ClassSet {
        let mut set = *self;
        set.0.iter_mut().zip(other.0).for_each(|(word, other)| *word &= other);
        set
    }

    /// What either has.
    pub fn union(&self, other: &ClassSet) -> ClassSet {
        let mut set = *self;
        set.0.iter_mut().zip(other.0).for_each(|(word, other)| *word |= other);
        set
    }

    /// Whether it has no octet.
    pub fn is_empty(&self) -> bool {
        *self == ClassSet::EMPTY
    }

    /// The least octet it has.
    pub fn first(&self) -> Option<u8> {
        (0..=u8::MAX).find(|octet| self.contains(*octet))
    }
}

/// `many X`.
#[derive(Clone, Debug)]
pub struct Many {
    /// Where the list goes.
    pub slot: u16,
    /// Name for messages.
    pub name: String,
    /// The rule of an element.
    pub element: RuleId,
    /// When it ends.
    pub end: End,
    /// Most elements; more is a parse error.
    pub max: u32,
    /// Where it stands.
    pub span: Span,
}

/// When a repetition ends.
#[derive(Clone, Debug)]
pub enum End {
    /// At the end of the window.
    Window,
    /// After this many.
    Count(Formula),
    /// After the element for which it holds ([`Scope::Element`](portcullis_lang::Scope)); the element belongs to it.
    Until(Formula),
    /// After the element for which it no longer holds; that element belongs to it, as the last line of a reply does.
    While(Formula),
    /// Before this text, which is consumed.
    UntilLiteral(Literal),
    /// Before an empty line, which is consumed.
    UntilEmptyLine,
    /// As long as the first octets are those of an element.
    First(First),
}

/// A stream: flows through, is never held.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Its name.
    pub name: String,
    /// Where it ends.
    pub source: Source,
    /// `remove leading "."`: this octet is cut off where a line begins with it. Only for [`Source::Lines`].
    pub remove_leading: Option<u8>,
    /// The channel that takes its octets.
    pub channel: Option<ChannelId>,
    /// Its events: start, chunk, end. The end is the event that the machine's rules name.
    pub events: StreamEvents,
    /// Where it stands.
    pub span: Span,
}

/// The events of a stream or channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamEvents {
    /// `NAME.start`
    pub start: EventId,
    /// `NAME.chunk`
    pub chunk: EventId,
    /// `NAME`
    pub end: EventId,
}

/// Where a stream ends.
#[derive(Clone, Debug)]
pub enum Source {
    /// After this many octets; the formula reads the flow. Absent or negative is a parse error.
    Bytes(Formula),
    /// With the direction.
    ToEnd,
    /// `lines until "."`: at the line that is this text and nothing else. Only canonical newlines (CR LF unless the
    /// grammar says LF alone) begin and end that line; the newline before it belongs to the content.
    Lines {
        /// The text of the last line.
        text: Box<[u8]>,
        /// Reported where another reader could see the end: the text between two line breaks of any kind (CR, LF,
        /// with or without NUL), other than the canonical end.
        lookalikes: Option<AnomalyId>,
        /// Lines of more octets than this (without newline) are reported.
        long: Option<(u32, AnomalyId)>,
    },
    /// `until LITERAL`: the text ends it and is consumed.
    Literal(Box<[u8]>),
}

/// A channel: pieces of several messages make one stream. It opens with its first piece.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// Its events.
    pub events: StreamEvents,
    /// Where it stands.
    pub span: Span,
}

/// `asked: last command keeping verb, size`
#[derive(Clone, Debug)]
pub struct Kept {
    /// `asked`
    pub name: String,
    /// The record whose last one is kept.
    pub event: EventId,
    /// The slot of [`ProtocolScheme::flow`] that is true once there was one.
    pub slot: u16,
    /// Slots of the record and of the flow.
    pub fields: Vec<(u16, u16)>,
}

/// The conversation.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// Where it begins; none for protocols without a machine.
    pub start: Option<StateId>,
    /// The states; [`StateId`] is the index. The last two are `fail` and `finish`.
    pub states: Vec<State>,
    /// The states that may be entered blind, and the record that opens them, in the order of the grammar.
    pub join: Vec<(StateId, EventId)>,
}

/// One state.
#[derive(Clone, Debug)]
pub struct State {
    /// Its name.
    pub name: String,
    /// What each side may say; by [`Direction::index`](portcullis_lang::Direction::index).
    pub expects: [Expect; 2],
    /// Its rules, then those of `any state`.
    pub rules: Vec<Transition>,
    /// After this many nanoseconds without a packet the target is taken.
    pub timeout: Option<(i64, Target)>,
    /// The records that are looked for after a gap; empty: those that the state and its neighbours expect.
    pub resync: Vec<EventId>,
    /// Where it stands.
    pub span: Span,
}

/// What a side may say in a state.
#[derive(Clone, Debug, Default)]
pub enum Expect {
    /// Nothing: speaking is `missing_grammar`.
    #[default]
    Nothing,
    /// It may run ahead; its octets wait, at most this many.
    Waits {
        /// Octets.
        max: u32,
    },
    /// A record.
    Record(Expected),
    /// A stream.
    Stream(StreamId),
    /// A record, then what its fields announce.
    Then(Expected, Box<Expect>),
    /// Which one depends on the flow.
    Choose {
        /// What is chosen by.
        on: Formula,
        /// Whether texts are compared in any case.
        fold: bool,
        /// The branches.
        arms: Vec<(Vec<CaseValue>, Expect)>,
        /// None of them.
        otherwise: Box<Expect>,
    },
    /// `up choose { "\x16" => tls_hello  else => command }`: the first octets decide.
    First {
        /// The branches, disjoint (C4).
        arms: Vec<(First, Expect)>,
        /// None of them.
        otherwise: Box<Expect>,
    },
}

/// A record that is expected.
#[derive(Clone, Debug)]
pub struct Expected {
    /// How it is parsed.
    pub rule: RuleId,
    /// The event it is (`message as query`).
    pub event: EventId,
    /// The question that it answers.
    pub matches: Option<Matching>,
}

/// `matches Q by id` or `in order`.
#[derive(Clone, Debug)]
pub struct Matching {
    /// The question's event.
    pub question: EventId,
    /// The key's slot in the question and in the answer; none for `in order`.
    pub key: Option<(u16, u16)>,
    /// Answers for which this holds do not count (`except status in 100..199`).
    pub except: Option<Formula>,
    /// Most questions without an answer; the oldest gives way.
    pub max: u32,
    /// A question is forgotten after this many nanoseconds; 0: never.
    pub patience: i64,
    /// Raised for an answer without a question.
    pub unmatched: AnomalyId,
}

/// One `on`.
#[derive(Clone, Debug)]
pub struct Transition {
    /// What it waits for.
    pub triggers: Vec<Trigger>,
    /// Its guard.
    pub when: Option<Formula>,
    /// What it does.
    pub actions: Vec<Action>,
    /// Where it leads.
    pub target: Target,
    /// Where it stands.
    pub span: Span,
}

/// What a rule of the machine waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// A record is complete, or a stream has ended.
    Event(EventId),
    /// A record did not parse.
    ParseError,
    /// A side spoke out of turn.
    MissingGrammar,
    /// Bytes are missing.
    Gap,
    /// A bound was met.
    Overrun,
    /// The state is entered.
    Enter,
    /// The state is left.
    Leave,
}

/// What a rule of the machine does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Reports it.
    Anomaly(AnomalyId),
    /// Reports it if the test fails; unknown counts as holding.
    Should {
        /// The test.
        test: Formula,
        /// What is reported.
        anomaly: AnomalyId,
    },
    /// The channel's stream is complete.
    Close(ChannelId),
    /// The channel's stream ends incomplete.
    Abort(ChannelId),
    /// A number of the flow.
    Set {
        /// Slot of [`ProtocolScheme::flow`].
        slot: u16,
        /// Its new value.
        value: Formula,
    },
}

/// Where a rule leads.
#[derive(Clone, Debug)]
pub enum Target {
    /// Nowhere.
    Stay,
    /// To a state.
    State(StateId),
    /// To `fail`.
    Fail(Template),
    /// To `finish`; both directions go to the other protocol, if there is one.
    Finish(Option<String>),
}

/// Text with values in it.
#[derive(Clone, Debug, Default)]
pub struct Template {
    /// The parts.
    pub parts: Vec<TemplatePart>,
}

/// A part of a template.
#[derive(Clone, Debug)]
pub enum TemplatePart {
    /// As it stands.
    Text(String),
    /// A value; octets that are not printable ASCII are escaped.
    Value(Formula),
}

/// A dialogue in the grammar that `check` runs at every segmentation.
#[derive(Clone, Debug)]
pub struct Example {
    /// Its name.
    pub name: String,
    /// Whether each of its lines is a datagram (`over udp`, or the first transport is UDP).
    pub datagrams: bool,
    /// What is sent, in order.
    pub lines: Vec<(portcullis_lang::Direction, Box<[u8]>)>,
    /// The events that it has to give, in order; others may come between.
    pub gives: Vec<ExampleEvent>,
    /// Where it stands.
    pub span: Span,
}

/// An event that an example gives.
#[derive(Clone, Debug)]
pub struct ExampleEvent {
    /// Which.
    pub event: EventId,
    /// What has to hold for its record.
    pub test: Option<Formula>,
    /// Where it stands.
    pub span: Span,
}
