//! What records and streams consist of: fields, elements, types, repetitions, choices, pipes.

use portcullis_lang::{Expression, Name, Path, Span, Text};

use super::{Maximum, SpanOf};

/// One thing on the wire, or one statement about what was read: `name: TYPE ...`, `"literal"`, `let`, `must`, `choose`.
#[derive(Clone, Debug)]
pub struct Field {
    /// `name:` or `_:`, if there is one.
    pub label: Option<FieldLabel>,
    /// What it is.
    pub element: Element,
    /// All of it.
    pub span: Span,
}

impl PartialEq for Field {
    fn eq(&self, other: &Field) -> bool {
        self.label == other.label && self.element == other.element
    }
}

/// What stands before the `:` of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldLabel {
    /// `name:`.
    Name(Name),
    /// `_:`, read and not named.
    Ignored(SpanOf),
}

/// Something that can be read, with all that is said about it.
#[derive(Clone, Debug)]
pub struct Element {
    /// What it is.
    pub kind: ElementKind,
    /// What is said about it.
    pub modifiers: Modifiers,
    /// `| base64 | body`: where its bytes go.
    pub pipes: Vec<Stage>,
    /// All of it.
    pub span: Span,
}

impl PartialEq for Element {
    fn eq(&self, other: &Element) -> bool {
        self.kind == other.kind && self.modifiers == other.modifiers && self.pipes == other.pipes
    }
}

/// What an [`Element`] is.
#[derive(Clone, Debug, PartialEq)]
pub enum ElementKind {
    /// A type, a literal, or another definition by its name.
    Type(Type),
    /// `"-" or " " or end`: the first that is there; at least two.
    Alternatives(Vec<Type>),
    /// `{ ... }`.
    Block(Vec<Field>),
    /// `line { ... }` in the middle: one line.
    Line {
        /// Its bounds.
        maxima: Vec<Maximum>,
        /// What is on the line.
        fields: Vec<Field>,
    },
    /// `optional X`: there if its first bytes are.
    Optional(Box<Element>),
    /// `choose`.
    Choose(Choose),
    /// `many X until ...`.
    Many(Many),
    /// `within N { ... }`: a window of N bytes.
    Within {
        /// How many bytes.
        size: Expression,
        /// What is in the window.
        fields: Vec<Field>,
    },
    /// `table of header by name ignoring case until empty line`.
    Table {
        /// What each entry is.
        entry: Path,
        /// The field of an entry that is the key.
        key: Name,
        /// Whether keys are compared without case.
        ignoring_case: bool,
        /// How it ends.
        end: RepetitionEnd,
    },
    /// `follow domain at offset, backwards`: read it earlier in the same message.
    Follow {
        /// What is read there.
        target: Path,
        /// The offset from the start of the message.
        offset: Expression,
        /// Whether only earlier places are accepted, which proves that it ends.
        backwards: Option<SpanOf>,
    },
    /// `error "reserved label type"`.
    Error(Text),
    /// `nothing`.
    Nothing,
    /// `let domain = lowercase (address after last "@")`.
    Let(Name, Expression),
    /// A `must` or `should` that stands alone.
    Check(Check),
}

/// A type: how bytes become a value.
#[derive(Clone, Debug)]
pub struct Type {
    /// Which.
    pub kind: TypeKind,
    /// Where, without modifiers.
    pub span: Span,
}

impl PartialEq for Type {
    fn eq(&self, other: &Type) -> bool {
        self.kind == other.kind
    }
}

/// Which type.
#[derive(Clone, Debug, PartialEq)]
pub enum TypeKind {
    /// `u8`, `i32`, `u4`, and `bit` (as one unsigned bit that is a truth).
    Integer {
        /// 1 to 64.
        bits: u8,
        /// Whether it is two's complement.
        signed: bool,
    },
    /// `bit`.
    Bit,
    /// `f32` or `f64`: 32 or 64.
    Float(u8),
    /// `varint`: 7 bits a byte, low ones first (MQTT, protobuf).
    Varint,
    /// `quic_varint`: RFC 9000 section 16.
    QuicVarint,
    /// `ber_length`: X.690 8.1.3.
    BerLength,
    /// `ipv4`: four bytes.
    Ipv4,
    /// `ipv6`: sixteen bytes.
    Ipv6,
    /// `mac`: six bytes.
    Mac,
    /// `bytes 16`, `bytes (length - 2)`.
    Bytes(Expression),
    /// `bytes` alone: as many as something `measures`.
    BytesMeasured,
    /// `bytes to end`: to the end of the connection or window.
    BytesToEnd,
    /// `rest`: what nothing else claimed.
    Rest,
    /// `text`: the window as text.
    Text,
    /// `word`: letters.
    Word,
    /// `token`: RFC 9110 5.6.2.
    Token,
    /// `atom`: RFC 5322 3.2.3.
    Atom,
    /// `digit`.
    Digit,
    /// `[A-Za-z0-9-]`, without its brackets.
    Class(CharacterClass),
    /// `/regular expression/`, without its slashes.
    Regex(String),
    /// `"literal"`.
    Literal(Text),
    /// A bare keyword as a literal: `LAST`.
    Keyword(Name),
    /// `decimal`.
    Decimal,
    /// `hex`.
    Hex,
    /// `blanks`: spaces and tabs, possibly none.
    Blanks,
    /// `newline`: a line end as the grammar's `newline` says.
    Newline,
    /// `end`: of the window, no byte.
    End,
    /// `line`: text to the end of the line.
    Line,
    /// `until X`: the delimiter is consumed, not included.
    Until(Delimiter),
    /// `upto X`: the delimiter stays.
    Upto(Delimiter),
    /// `lines until "."`, `lines to end`: whole lines, flowing.
    Lines(Lines),
    /// Another definition or enumeration: `path`, `mime.message`.
    Named(Path),
}

/// A set of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CharacterClass {
    /// Ranges of bytes, both ends included, as written.
    pub ranges: Vec<(u8, u8)>,
    /// `[^...]`: every byte but these.
    pub negated: bool,
}

/// `lines until "." and lookalikes as anomaly NAME long lines over 998 as anomaly NAME`.
#[derive(Clone, Debug, PartialEq)]
pub struct Lines {
    /// The line that ends them; none for `to end`.
    pub until: Option<Delimiter>,
    /// The anomaly for an end of data that some receivers take and the protocol does not.
    pub lookalikes: Option<Name>,
    /// The length in bytes above which a line is an anomaly, and its name.
    pub long_lines: Option<(Expression, Name)>,
}

/// What ends a text or a repetition: one of these.
#[derive(Clone, Debug)]
pub struct Delimiter {
    /// The alternatives; at least one.
    pub alternatives: Vec<DelimiterKind>,
    /// All of it.
    pub span: Span,
}

impl PartialEq for Delimiter {
    fn eq(&self, other: &Delimiter) -> bool {
        self.alternatives == other.alternatives
    }
}

/// One delimiter.
#[derive(Clone, Debug, PartialEq)]
pub enum DelimiterKind {
    /// A literal text, `">"`.
    Literal(Text),
    /// A byte of a set, `[ ,;]`.
    Class(CharacterClass),
    /// A regular expression.
    Regex(String),
    /// `newline`.
    Newline,
    /// `empty line`.
    EmptyLine,
    /// Known at run time only: `"--" + boundary`.
    Computed(Expression),
}

/// `many X ...`.
#[derive(Clone, Debug, PartialEq)]
pub struct Many {
    /// What is repeated.
    pub element: Box<Element>,
    /// How it ends.
    pub end: RepetitionEnd,
}

/// How a repetition ends.
#[derive(Clone, Debug, PartialEq)]
pub enum RepetitionEnd {
    /// At the end of the window, or when something that `counts` it says so.
    Window,
    /// `until TEST`: after the element for which it holds.
    Until(Expression),
    /// `while TEST`: after the first element for which it does not hold.
    While(Expression),
    /// `until "literal"`, `until empty line`: which is consumed.
    Delimiter(Delimiter),
}

/// `choose EXPR { a, b => X  else => X }`, `choose { "a" => X }`.
#[derive(Clone, Debug, PartialEq)]
pub struct Choose {
    /// What is compared; without it the first bytes decide, or tests do.
    pub subject: Option<Expression>,
    /// In order.
    pub branches: Vec<Branch>,
}

/// `a, b => X`.
#[derive(Clone, Debug)]
pub struct Branch {
    /// What leads here; at least one.
    pub patterns: Vec<Pattern>,
    /// What is read then.
    pub field: Field,
    /// All of it.
    pub span: Span,
}

impl PartialEq for Branch {
    fn eq(&self, other: &Branch) -> bool {
        self.patterns == other.patterns && self.field == other.field
    }
}

/// What leads to a branch.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// What it is.
    pub kind: PatternKind,
    /// Where.
    pub span: Span,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.kind == other.kind
    }
}

/// What a [`Pattern`] is.
#[derive(Clone, Debug, PartialEq)]
pub enum PatternKind {
    /// `else`.
    Else,
    /// A value, a literal, a type by its name (`digit`), or a test: `status in (204, 304)`.
    Value(Expression),
    /// `10..19`, both included.
    Range(Expression, Expression),
    /// `[0-9]` as the first byte.
    Class(CharacterClass),
}

/// What may follow an element. Each at most once, except checks and maxima.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Modifiers {
    /// `max N`.
    pub maxima: Vec<Maximum>,
    /// `x 3`: exactly so many.
    pub times: Option<Expression>,
    /// `little`: the low byte comes first.
    pub little: Option<SpanOf>,
    /// `trimmed`.
    pub trimmed: Option<SpanOf>,
    /// `unfolded`.
    pub unfolded: Option<SpanOf>,
    /// `ignoring case`: of a literal.
    pub ignoring_case: Option<SpanOf>,
    /// `quoted by '"'`.
    pub quoted_by: Option<Text>,
    /// `escaped by '\'`.
    pub escaped_by: Option<Text>,
    /// `as decimal default 0`, or the event name in `message as part`.
    pub conversion: Option<Conversion>,
    /// `measures a, b`, `counts items`, `checksum crc16 of a..b`.
    pub relations: Vec<Relation>,
    /// `must be 0`, `should be empty as trailing_text`, in order.
    pub checks: Vec<Check>,
    /// `when TEST`: there if it holds.
    pub when: Option<Expression>,
    /// `within lines until "--" + boundary`: the window that it lies in.
    pub within: Option<Box<Type>>,
}

/// `as NAME [default E]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversion {
    /// The conversion.
    pub name: Name,
    /// What it is if there is nothing to convert.
    pub default: Option<Expression>,
}

/// A relation between a number and what it describes.
#[derive(Clone, Debug)]
pub struct Relation {
    /// Which.
    pub kind: RelationKind,
    /// All of it.
    pub span: Span,
}

impl PartialEq for Relation {
    fn eq(&self, other: &Relation) -> bool {
        self.kind == other.kind
    }
}

/// Which relation.
#[derive(Clone, Debug, PartialEq)]
pub enum RelationKind {
    /// The size in bytes of these fields.
    Measures(Vec<FieldRange>),
    /// The number of elements of this field.
    Counts(Name),
    /// A checksum of these fields.
    Checksum {
        /// The algorithm.
        algorithm: Name,
        /// What it covers.
        of: Vec<FieldRange>,
    },
}

/// `a` or `a..b`, both included.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldRange {
    /// The first field.
    pub from: Name,
    /// The last one, if it is a range.
    pub to: Option<Name>,
}

/// A `must` or `should`.
#[derive(Clone, Debug)]
pub struct Check {
    /// Which, and what follows if it is broken.
    pub kind: CheckKind,
    /// What has to hold; [`portcullis_lang::ExpressionKind::Subject`] stands for the element it is attached to.
    pub test: Expression,
    /// All of it.
    pub span: Span,
}

impl PartialEq for Check {
    fn eq(&self, other: &Check) -> bool {
        self.kind == other.kind && self.test == other.test
    }
}

/// How binding a [`Check`] is, as RFC 2119 weighs these words.
#[derive(Clone, Debug, PartialEq)]
pub enum CheckKind {
    /// A parse error if broken.
    Must,
    /// An anomaly if broken; under this name, or one made from the field's.
    Should(Option<Name>),
}

/// One stage of a pipe.
#[derive(Clone, Debug)]
pub struct Stage {
    /// What it does.
    pub kind: StageKind,
    /// All of it.
    pub span: Span,
}

impl PartialEq for Stage {
    fn eq(&self, other: &Stage) -> bool {
        self.kind == other.kind
    }
}

/// What a [`Stage`] does.
#[derive(Clone, Debug, PartialEq)]
pub enum StageKind {
    /// `remove leading "."`: of each line.
    RemoveLeading(Text),
    /// `nothing`: hands on what comes.
    Nothing,
    /// `base64`, `mail`, `mime.message`: a pipe of the library, or a target. Which, only the names can tell.
    Named(Path),
    /// `xor KEY`.
    Xor(Expression),
    /// `choose EXPR { "gzip" => gzip  else => nothing }`.
    Choose {
        /// What is compared; without it, tests decide.
        subject: Option<Expression>,
        /// In order: patterns, and the stages then.
        branches: Vec<StageBranch>,
    },
}

/// `"gzip" => gzip | body`.
#[derive(Clone, Debug)]
pub struct StageBranch {
    /// What leads here; at least one.
    pub patterns: Vec<Pattern>,
    /// The stages then; at least one.
    pub stages: Vec<Stage>,
    /// All of it.
    pub span: Span,
}

impl PartialEq for StageBranch {
    fn eq(&self, other: &StageBranch) -> bool {
        self.patterns == other.patterns && self.stages == other.stages
    }
}
