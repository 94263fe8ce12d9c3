//! Formulas: expressions whose names are resolved and whose types are checked, and their evaluation.
//!
//! Both languages lower their expressions to formulas. Evaluation is total: no loops but over the elements of a held
//! list, no errors, no recursion beyond the depth that the parser allowed. It is a tree walk: guards are few per record
//! and a record's cost lies in its bytes; a policy merges its tests before it comes here.

use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use crate::needles::Needles;
use crate::scheme::CaseValue;
use crate::text_set::TextSet;
use crate::value::{Truth, Value};

/// Where a value lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Whose slots.
    pub scope: Scope,
    /// Which of them.
    pub slot: u16,
}

/// Whose slots a [`Place`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The record (or group, value, line) at hand.
    Record,
    /// The element of the list that an `every`, `any`, `join` or loop test is at.
    Element,
    /// What the flow keeps.
    Flow,
    /// What an event tells beside its record; see [`event_slots`](crate::scheme::event_slots).
    Event,
    /// Addresses and ports; see [`connection_slots`](crate::scheme::connection_slots).
    Connection,
}

/// Gives a formula the values of its places.
pub trait Host {
    /// The value in a place.
    fn read(&self, place: Place) -> Value<'_>;

    /// How many elements the list in a place has; 0 if there is none.
    fn count(&self, list: Place) -> u32;

    /// A slot of an element of the list in a place.
    fn element(&self, list: Place, index: u32, slot: u16) -> Value<'_>;

    /// Where the octets of a place are in the record at hand, from its first; nothing if they are not in it.
    fn octets(&self, _place: Place) -> Option<Range<u32>> {
        None
    }

    /// The same of an element of a list, or of a slot of it.
    fn octets_of_element(&self, _list: Place, _index: u32, _slot: Option<u16>) -> Option<Range<u32>> {
        None
    }

    /// Where in the record at hand the event happened, from its first octet; nothing if it is in no record.
    fn place_in_record(&self) -> Option<u32> {
        None
    }
}

/// A checked expression.
#[derive(Clone, Debug)]
pub enum Formula {
    /// A constant.
    Number(i64),
    /// A constant.
    Bytes(Box<[u8]>),
    /// A constant.
    Boolean(bool),
    /// A constant.
    Address(IpAddr),
    /// A field. As a condition: present and not false.
    Place(Place),
    /// `not A`
    Not(Box<Formula>),
    /// `A and B`
    And(Vec<Formula>),
    /// `A or B`
    Or(Vec<Formula>),
    /// A comparison of numbers or, for equality and order, of octets. `fold`: letters in any case.
    Compare {
        /// Which.
        operator: Comparison,
        /// Left side.
        left: Box<Formula>,
        /// Right side.
        right: Box<Formula>,
        /// Whether letters are the same in either case (keywords, domains).
        fold: bool,
    },
    /// Saturating arithmetic of 64 bits; the type checker has bounded the result.
    Arithmetic {
        /// Which.
        operator: Arithmetic,
        /// Left side.
        left: Box<Formula>,
        /// Right side.
        right: Box<Formula>,
    },
    /// `A in (1, 5..9, MAIL)`
    In {
        /// What is looked for.
        value: Box<Formula>,
        /// The set.
        set: Vec<CaseValue>,
        /// Whether letters are the same in either case.
        fold: bool,
    },
    /// `A in LIST`: text that an entry of a policy's list stands for, in any case.
    InList {
        /// What is looked for.
        value: Box<Formula>,
        /// The list's entries.
        entries: Arc<TextSet>,
    },
    /// `A in NETWORKS`: an address in one of these networks (address, prefix length in bits).
    InNetworks {
        /// The address.
        value: Box<Formula>,
        /// The networks.
        networks: Vec<(IpAddr, u8)>,
    },
    /// `A contains "x"`, `starts with`, `ends with`; of several needles one has to be there.
    Finds {
        /// Where it has to be.
        position: Position,
        /// The text.
        text: Box<Formula>,
        /// What is looked for.
        needles: Needles,
    },
    /// `A matches /re/`, anywhere in the text.
    Matches {
        /// The text.
        text: Box<Formula>,
        /// The expression.
        expression: Box<regex::bytes::Regex>,
    },
    /// `A is empty`: true for text of no octets, a list of no elements and what is absent.
    IsEmpty(Box<Formula>),
    /// `length of A` in octets.
    Length(Box<Formula>),
    /// The text without blanks (SP and TAB) at both ends.
    Trimmed(Box<Formula>),
    /// ASCII letters in lower case.
    Lowercase(Box<Formula>),
    /// ASCII letters in upper case.
    Uppercase(Box<Formula>),
    /// `A before first|last "x"`: the whole text if there is no x. `A after ...`: nothing if there is no x.
    Split {
        /// The text.
        text: Box<Formula>,
        /// What it is cut at.
        needle: Box<[u8]>,
        /// Whether the last one counts, not the first.
        last: bool,
        /// Whether the part after it is meant, not the one before.
        after: bool,
    },
    /// The text as a decimal number; absent if it is none or above `i64::MAX`.
    Decimal(Box<Formula>),
    /// `A + B` of texts.
    Concatenate(Vec<Formula>),
    /// `count of LIST`
    Count(Place),
    /// `every LIST.x == y`: `test` reads the element by [`Scope::Element`]; true for an empty list.
    Every {
        /// The list.
        list: Place,
        /// The test of each element.
        test: Box<Formula>,
    },
    /// `any LIST.x == y`
    Any {
        /// The list.
        list: Place,
        /// The test of each element.
        test: Box<Formula>,
    },
    /// `LIST.last.x` or `LIST.first.x`
    Edge {
        /// The list.
        list: Place,
        /// The slot of the element.
        slot: u16,
        /// Whether the last element is meant.
        last: bool,
    },
    /// `join LIST.x with "."`: the texts of all elements that have one which is not empty.
    Join {
        /// The list.
        list: Place,
        /// The slot of the element.
        slot: u16,
        /// What comes between.
        separator: Box<[u8]>,
    },
}

/// The operators of [`Formula::Compare`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// The operators of [`Formula::Arithmetic`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arithmetic {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `&`
    And,
    /// `<<`, by 0 to 63 bits
    ShiftLeft,
    /// `>>`, by 0 to 63 bits
    ShiftRight,
    /// The smaller of both: a counter stops at its greatest value.
    Least,
}

/// Where a [`Formula::Finds`] looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Position {
    /// Anywhere.
    Anywhere,
    /// At the beginning.
    Start,
    /// At the end.
    End,
}

impl Formula {
    /// The truth of the formula as a condition.
    pub fn test(&self, host: &dyn Host) -> Truth {
        match self {
            Formula::And(parts) => {
                let mut all = Truth::True;
                for part in parts {
                    match part.test(host) {
                        Truth::False => return Truth::False,
                        Truth::Unknown => all = Truth::Unknown,
                        Truth::True => {}
                    }
                }
                all
            }
            Formula::Or(parts) => {
                let mut any = Truth::False;
                for part in parts {
                    match part.test(host) {
                        Truth::True => return Truth::True,
                        Truth::Unknown => any = Truth::Unknown,
                        Truth::False => {}
                    }
                }
                any
            }
            Formula::Not(inner) => !inner.test(host),
            Formula::Compare { operator, left, right, fold } => {
                compare(*operator, &left.value(host), &right.value(host), *fold)
            }
            Formula::In { value, set, fold } => with_known(&value.value(host), |value| is_in(value, set, *fold)),
            Formula::InList { value, entries } => with_known(&value.value(host), |value| match value {
                Value::Bytes(bytes) => entries.contains(bytes),
                _ => false,
            }),
            Formula::InNetworks { value, networks } => with_known(&value.value(host), |value| match value {
                Value::Address(address) => networks.iter().any(|network| in_network(*address, *network)),
                _ => false,
            }),
            Formula::Finds { position, text, needles } => with_known(&text.value(host), |value| match value {
                Value::Bytes(bytes) => needles.are_found(bytes, *position),
                _ => false,
            }),
            Formula::Matches { text, expression } => with_known(&text.value(host), |value| match value {
                Value::Bytes(bytes) => expression.is_match(bytes),
                _ => false,
            }),
            Formula::IsEmpty(inner) => match inner.as_ref() {
                Formula::Place(place) => match host.read(*place) {
                    Value::Unknown => Truth::Unknown,
                    Value::Bytes(bytes) => bytes.is_empty().into(),
                    Value::Absent => Truth::True,
                    _ => (host.count(*place) == 0).into(),
                },
                other => match other.value(host) {
                    Value::Unknown => Truth::Unknown,
                    Value::Bytes(bytes) => bytes.is_empty().into(),
                    value => (value == Value::Absent).into(),
                },
            },
            Formula::Every { list, .. } | Formula::Any { list, .. } if host.read(*list) == Value::Unknown => {
                Truth::Unknown
            }
            Formula::Every { list, test } => {
                let mut all = Truth::True;
                for index in 0..host.count(*list) {
                    match test.test(&AtElement { host, list: *list, index }) {
                        Truth::False => return Truth::False,
                        Truth::Unknown => all = Truth::Unknown,
                        Truth::True => {}
                    }
                }
                all
            }
            Formula::Any { list, test } => {
                let mut any = Truth::False;
                for index in 0..host.count(*list) {
                    match test.test(&AtElement { host, list: *list, index }) {
                        Truth::True => return Truth::True,
                        Truth::Unknown => any = Truth::Unknown,
                        Truth::False => {}
                    }
                }
                any
            }
            other => other.value(host).truth(),
        }
    }

    /// The value of the formula.
    pub fn value<'a>(&'a self, host: &'a dyn Host) -> Value<'a> {
        match self {
            Formula::Number(number) => Value::Number(*number),
            Formula::Bytes(bytes) => Value::bytes(bytes),
            Formula::Boolean(value) => Value::Boolean(*value),
            Formula::Address(address) => Value::Address(*address),
            Formula::Place(place) => host.read(*place),
            Formula::Arithmetic { operator, left, right } => match (left.value(host), right.value(host)) {
                (Value::Unknown, _) | (_, Value::Unknown) => Value::Unknown,
                (Value::Number(left), Value::Number(right)) => Value::Number(arithmetic(*operator, left, right)),
                _ => Value::Absent,
            },
            Formula::Length(inner) => match inner.value(host) {
                Value::Bytes(bytes) => Value::Number(i64::try_from(bytes.len()).unwrap_or(i64::MAX)),
                Value::Unknown => Value::Unknown,
                _ => Value::Absent,
            },
            Formula::Trimmed(inner) => map_bytes(inner.value(host), trimmed),
            Formula::Lowercase(inner) => match inner.value(host) {
                Value::Bytes(bytes) if bytes.iter().any(u8::is_ascii_uppercase) => {
                    Value::Bytes(Cow::Owned(bytes.to_ascii_lowercase()))
                }
                other => other,
            },
            Formula::Uppercase(inner) => match inner.value(host) {
                Value::Bytes(bytes) if bytes.iter().any(u8::is_ascii_lowercase) => {
                    Value::Bytes(Cow::Owned(bytes.to_ascii_uppercase()))
                }
                other => other,
            },
            Formula::Split { text, needle, last, after } => {
                map_bytes(text.value(host), |bytes| split(bytes, needle, *last, *after))
            }
            Formula::Decimal(inner) => match inner.value(host) {
                Value::Bytes(bytes) => decimal(&bytes).map_or(Value::Absent, Value::Number),
                other => other,
            },
            Formula::Concatenate(parts) => {
                let mut joined = Vec::new();
                for part in parts {
                    match part.value(host) {
                        Value::Bytes(bytes) => joined.extend_from_slice(&bytes),
                        Value::Unknown => return Value::Unknown,
                        _ => return Value::Absent,
                    }
                }
                Value::Bytes(Cow::Owned(joined))
            }
            Formula::Count(list) | Formula::Join { list, .. } if host.read(*list) == Value::Unknown => Value::Unknown,
            Formula::Count(list) => Value::Number(i64::from(host.count(*list))),
            Formula::Edge { list, slot, last } => {
                let count = host.count(*list);
                let index = if *last { count.checked_sub(1) } else { (count > 0).then_some(0) };
                match index {
                    Some(index) => host.element(*list, index, *slot),
                    None => match host.read(*list) {
                        Value::Unknown => Value::Unknown,
                        _ => Value::Absent,
                    },
                }
            }
            Formula::Join { list, slot, separator } => {
                let mut joined = Vec::new();
                for index in 0..host.count(*list) {
                    if let Value::Bytes(bytes) = host.element(*list, index, *slot)
                        && !bytes.is_empty()
                    {
                        if !joined.is_empty() {
                            joined.extend_from_slice(separator);
                        }
                        joined.extend_from_slice(&bytes);
                    }
                }
                Value::Bytes(Cow::Owned(joined))
            }
            condition => condition.test(host).into(),
        }
    }
}

/// A host in which [`Scope::Element`] is one element of a list.
struct AtElement<'a> {
    host: &'a dyn Host,
    list: Place,
    index: u32,
}

impl Host for AtElement<'_> {
    fn read(&self, place: Place) -> Value<'_> {
        match place.scope {
            Scope::Element => self.host.element(self.list, self.index, place.slot),
            _ => self.host.read(place),
        }
    }

    fn count(&self, list: Place) -> u32 {
        self.host.count(list)
    }

    fn element(&self, list: Place, index: u32, slot: u16) -> Value<'_> {
        self.host.element(list, index, slot)
    }
}

fn with_known(value: &Value<'_>, test: impl FnOnce(&Value<'_>) -> bool) -> Truth {
    match value {
        Value::Unknown => Truth::Unknown,
        Value::Absent => Truth::False,
        value => test(value).into(),
    }
}

fn map_bytes<'a>(value: Value<'a>, cut: impl Fn(&[u8]) -> &[u8]) -> Value<'a> {
    match value {
        Value::Bytes(Cow::Borrowed(bytes)) => Value::bytes(cut(bytes)),
        Value::Bytes(Cow::Owned(bytes)) => Value::Bytes(Cow::Owned(cut(&bytes).to_vec())),
        other => other,
    }
}

fn compare(operator: Comparison, left: &Value<'_>, right: &Value<'_>, fold: bool) -> Truth {
    if matches!(left, Value::Unknown) || matches!(right, Value::Unknown) {
        return Truth::Unknown;
    }
    let ordering = match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.cmp(right),
        (Value::Boolean(left), Value::Boolean(right)) => left.cmp(right),
        // A single bit is a number on the wire and may be compared with a truth value.
        (Value::Address(left), Value::Address(right)) => left.cmp(right),
        (Value::Bytes(left), Value::Bytes(right)) if fold => {
            let lowercase = |octet: &u8| octet.to_ascii_lowercase();
            left.iter().map(lowercase).cmp(right.iter().map(lowercase))
        }
        (Value::Bytes(left), Value::Bytes(right)) => left.as_ref().cmp(right.as_ref()),
        // What is absent equals nothing; it does differ from everything that is there.
        _ => return Truth::False,
    };
    match operator {
        Comparison::Equal => ordering.is_eq(),
        Comparison::NotEqual => ordering.is_ne(),
        Comparison::Less => ordering.is_lt(),
        Comparison::LessOrEqual => ordering.is_le(),
        Comparison::Greater => ordering.is_gt(),
        Comparison::GreaterOrEqual => ordering.is_ge(),
    }
    .into()
}

/// Whether a value is in a set of cases; `fold`: the texts of the set are in upper case and letters of either case match.
pub fn is_in(value: &Value<'_>, set: &[CaseValue], fold: bool) -> bool {
    match value {
        Value::Number(number) => {
            set.iter().any(|case| matches!(case, CaseValue::Range(low, high) if low <= number && number <= high))
        }
        Value::Boolean(value) => {
            let number = i64::from(*value);
            set.iter().any(|case| matches!(case, CaseValue::Range(low, high) if *low <= number && number <= *high))
        }
        Value::Bytes(bytes) => set.iter().any(|case| match case {
            CaseValue::Text(text) if fold => text.eq_ignore_ascii_case(bytes),
            CaseValue::Text(text) => text.as_ref() == bytes.as_ref(),
            CaseValue::Range(..) => false,
        }),
        _ => false,
    }
}

fn in_network(address: IpAddr, (network, prefix): (IpAddr, u8)) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let shift = 32u32.saturating_sub(u32::from(prefix));
            shift >= 32 || (u32::from(address) >> shift) == (u32::from(network) >> shift)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let shift = 128u32.saturating_sub(u32::from(prefix));
            shift >= 128 || (u128::from(address) >> shift) == (u128::from(network) >> shift)
        }
        _ => false,
    }
}

fn arithmetic(operator: Arithmetic, left: i64, right: i64) -> i64 {
    let shift = || u32::try_from(right).ok().filter(|bits| *bits < 64);
    match operator {
        Arithmetic::Add => left.saturating_add(right),
        Arithmetic::Subtract => left.saturating_sub(right),
        Arithmetic::Multiply => left.saturating_mul(right),
        Arithmetic::And => left & right,
        Arithmetic::ShiftLeft => shift().map_or(0, |bits| left.wrapping_shl(bits)),
        Arithmetic::ShiftRight => shift().map_or(0, |bits| left >> bits),
        Arithmetic::Least => left.min(right),
    }
}

/// The text without SP and TAB at both ends.
pub fn trimmed(text: &[u8]) -> &[u8] {
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let start = text.iter().position(|byte| !blank(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    text.get(start..end).unwrap_or_default()
}

fn split<'a>(text: &'a [u8], needle: &[u8], last: bool, after: bool) -> &'a [u8] {
    let found = if last { memchr::memmem::rfind(text, needle) } else { memchr::memmem::find(text, needle) };
    match (found, after) {
        (Some(at), true) => text.get(at.saturating_add(needle.len())..).unwrap_or_default(),
        (Some(at), false) => text.get(..at).unwrap_or_default(),
        (None, true) => &[],
        (None, false) => text,
    }
}

/// The value of a text of decimal digits alone; nothing if it is empty, has another octet or exceeds `i64::MAX`.
pub fn decimal(text: &[u8]) -> Option<i64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0i64, |value, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        value.checked_mul(10)?.checked_add(i64::from(digit))
    })
}
