//! Expressions of both languages, as they were written: names are not resolved, types not known.
//!
//! How strongly operators bind, from loosest to tightest; those of one row group to the left:
//!
//! | row | operators |
//! |---|---|
//! | 1 | `or` |
//! | 2 | `and` |
//! | 3 | `not E` |
//! | 4 | `== != < <= > >=`, `in`, `not in`, `contains`, `starts with`, `ends with`, `matches`, `is`, `has` (these do not chain), `every PATH test`, `any PATH test`, `all PATH test` |
//! | 5 | `&` |
//! | 6 | `<< >>` |
//! | 7 | `+ -` |
//! | 8 | `*` |
//! | 9 | `-E` |
//! | 10 | `before first E`, `after last E`, `trimmed`, `as CONVERSION default E` |
//! | 11 | `lowercase E`, `uppercase E`, `length of E`, `count of E`, `join E with E` |
//! | 12 | `.name`, `[E]` |
//!
//! An operator that is a word is read as a name if a `:` follows it, so that fields may be called `in` or `before`.
//! In `should TEST as NAME` the `as` names the anomaly; a conversion inside such a test stands in brackets.

use std::fmt;
use std::net::IpAddr;

use crate::source::Span;

/// A name and where it was written.
#[derive(Clone, Debug)]
pub struct Name {
    /// The name.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// Names are equal if their texts are, wherever they were written.
impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        self.text == other.text
    }
}

impl Eq for Name {}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Names joined by dots: `mime.message`, `lines.last.text`. Never empty.
#[derive(Clone, Debug)]
pub struct Path {
    /// The names, in order.
    pub names: Vec<Name>,
    /// All of it.
    pub span: Span,
}

/// Paths are equal if their names are, wherever they were written.
impl PartialEq for Path {
    fn eq(&self, other: &Path) -> bool {
        self.names == other.names
    }
}

impl Eq for Path {}

impl Path {
    /// The only name, if there is but one.
    pub fn single(&self) -> Option<&Name> {
        match self.names.as_slice() {
            [name] => Some(name),
            _ => None,
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.names.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            f.write_str(&name.text)?;
        }
        Ok(())
    }
}

/// A literal text: `"220 mx\r\n"`. Bytes, because `\xHH` can write any.
#[derive(Clone, Debug)]
pub struct Text {
    /// What it stands for, escapes resolved.
    pub bytes: Vec<u8>,
    /// Where, with its quotes.
    pub span: Span,
}

/// Texts are equal if their bytes are, wherever they were written.
impl PartialEq for Text {
    fn eq(&self, other: &Text) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Text {}

impl Text {
    /// The text for showing it; bytes that are not UTF-8 are replaced.
    pub fn lossy(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// A text with holes: `"mail to {recipient.address}"`. `{{` and `}}` write braces.
#[derive(Clone, Debug)]
pub struct Template {
    /// Texts and holes, in order.
    pub parts: Vec<TemplatePart>,
    /// Where, with its quotes.
    pub span: Span,
}

/// Templates are equal if their parts are, wherever they were written.
impl PartialEq for Template {
    fn eq(&self, other: &Template) -> bool {
        self.parts == other.parts
    }
}

/// A piece of a [`Template`].
#[derive(Clone, Debug, PartialEq)]
pub enum TemplatePart {
    /// Bytes that stand for themselves.
    Text(Vec<u8>),
    /// What is filled in.
    Value(Expression),
}

/// An expression and where it was written.
#[derive(Clone, Debug)]
pub struct Expression {
    /// What it is.
    pub kind: ExpressionKind,
    /// Where, without brackets around it.
    pub span: Span,
}

/// Expressions are equal if they say the same, wherever they were written.
impl PartialEq for Expression {
    fn eq(&self, other: &Expression) -> bool {
        self.kind == other.kind
    }
}

/// What an expression is.
#[derive(Clone, Debug, PartialEq)]
pub enum ExpressionKind {
    /// `25`, `0x1F`, `64 KB` (65,536).
    Number(u64),
    /// `5 min`, `30 s`, in nanoseconds.
    Duration(u64),
    /// `"text"` or `'raw'`.
    Text(Text),
    /// `/[a-z]+/`, without its slashes.
    Regex(String),
    /// `10.0.0.1`, `fd00::1`.
    Address(IpAddr),
    /// `10.0.0.0/8`; bits behind the prefix may be set, as written.
    Network(IpAddr, u8),
    /// `true` or `false`.
    Boolean(bool),
    /// `verb`.
    Name(Name),
    /// A bare upper-case word, `MAIL`.
    Keyword(Name),
    /// What a test without a subject of its own is about: the field before `must be 0`, each element of `every PATH == 1`.
    Subject,
    /// `a.b`.
    Field(Box<Expression>, Name),
    /// `t["key"]`.
    Index(Box<Expression>, Box<Expression>),
    /// `[".exe", ".scr"]`.
    List(Vec<Expression>),
    /// An operator before one operand.
    Unary(UnaryOperator, Box<Expression>),
    /// An operator between two operands.
    Binary(BinaryOperator, Box<Expression>, Box<Expression>),
    /// `E in SET`; `not in` is [`UnaryOperator::Not`] around it.
    In(Box<Expression>, Set),
    /// `E contains P`, `E starts with P`, `E ends with any P`.
    TextTest {
        /// Where in the text.
        operator: TextOperator,
        /// The text.
        value: Box<Expression>,
        /// Whether one or every entry of the list `pattern` has to be there; none if it is one text.
        quantifier: Option<Quantifier>,
        /// What is looked for.
        pattern: Box<Expression>,
    },
    /// `E matches /re/`.
    Matches(Box<Expression>, Box<Expression>),
    /// `E is "multipart/*"`, with `*` for any text. `is not` is [`UnaryOperator::Not`] around it.
    Is(Box<Expression>, Text),
    /// `E is empty`.
    IsEmpty(Box<Expression>),
    /// `E has "key"`: a table, list or set has this entry.
    Has(Box<Expression>, Box<Expression>),
    /// `E has several "key"`: a table has it more than once.
    HasSeveral(Box<Expression>, Box<Expression>),
    /// `E before last "@"`: all of it if there is no "@".
    Before(Box<Expression>, Occurrence, Box<Expression>),
    /// `E after first "@"`: nothing if there is no "@".
    After(Box<Expression>, Occurrence, Box<Expression>),
    /// `join labels.text with "."`.
    Join(Box<Expression>, Box<Expression>),
    /// `every lines.code == code`, `any recipients.domain in banned`.
    Quantified {
        /// One or all.
        quantifier: Quantifier,
        /// The list.
        path: Box<Expression>,
        /// The test, in which [`ExpressionKind::Subject`] stands for the element.
        test: Box<Expression>,
    },
    /// `E as CONVERSION`, `E as parameters default "text/plain"`.
    As {
        /// What is converted.
        value: Box<Expression>,
        /// The name of the conversion.
        conversion: Name,
        /// What it is if there is no value or it cannot be converted.
        default: Option<Box<Expression>>,
    },
}

/// An operator before (or, `trimmed`, behind) one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOperator {
    /// `not E`.
    Not,
    /// `-E`.
    Negate,
    /// `lowercase E`.
    Lowercase,
    /// `uppercase E`.
    Uppercase,
    /// `length of E`, in bytes.
    LengthOf,
    /// `count of E`, elements.
    CountOf,
    /// `E trimmed`: without blanks at both ends.
    Trimmed,
}

/// An operator between two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOperator {
    /// `or`; between texts the first that is there.
    Or,
    /// `and`.
    And,
    /// `==`.
    Equal,
    /// `!=`.
    NotEqual,
    /// `<`.
    Less,
    /// `<=`.
    LessOrEqual,
    /// `>`.
    Greater,
    /// `>=`.
    GreaterOrEqual,
    /// `&`, bit by bit.
    BitAnd,
    /// `<<`.
    ShiftLeft,
    /// `>>`.
    ShiftRight,
    /// `+`; joins texts.
    Add,
    /// `-`.
    Subtract,
    /// `*`.
    Multiply,
}

impl BinaryOperator {
    /// The operator as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            BinaryOperator::Or => "or",
            BinaryOperator::And => "and",
            BinaryOperator::Equal => "==",
            BinaryOperator::NotEqual => "!=",
            BinaryOperator::Less => "<",
            BinaryOperator::LessOrEqual => "<=",
            BinaryOperator::Greater => ">",
            BinaryOperator::GreaterOrEqual => ">=",
            BinaryOperator::BitAnd => "&",
            BinaryOperator::ShiftLeft => "<<",
            BinaryOperator::ShiftRight => ">>",
            BinaryOperator::Add => "+",
            BinaryOperator::Subtract => "-",
            BinaryOperator::Multiply => "*",
        }
    }
}

/// Where a text is looked for in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TextOperator {
    /// Anywhere.
    Contains,
    /// At the start.
    StartsWith,
    /// At the end.
    EndsWith,
}

/// One of them or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quantifier {
    /// At least one.
    Any,
    /// `all` or `every`: each of them, true of an empty list.
    All,
}

/// Which occurrence of a separator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Occurrence {
    /// The first.
    First,
    /// The last.
    Last,
}

/// What stands on the right of `in`.
#[derive(Clone, Debug, PartialEq)]
pub enum Set {
    /// `(A, B, 200..299)`, or a single range `1..5`.
    Members(Vec<Member>),
    /// A list, network or table by name, or a list literal.
    Of(Box<Expression>),
}

/// An entry of a [`Set`].
#[derive(Clone, Debug, PartialEq)]
pub enum Member {
    /// One value.
    Value(Expression),
    /// `from..to`, both included.
    Range(Expression, Expression),
}
