//! Values that expressions yield while a grammar or a policy runs.

use std::borrow::Cow;
use std::net::IpAddr;

/// A value, borrowed from the record it was read from wherever that is possible.
///
/// There is no error value: expressions are total. What is not there is [`Value::Absent`], and every test of it is
/// false; what cannot be known (the answer to a question was lost) is [`Value::Unknown`], and a test of it is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// The value was never seen, because it was lost or has not come yet.
    Unknown,
    /// The field does not exist in this variant of the record, or its optional part was not there.
    Absent,
    /// A truth value.
    Boolean(bool),
    /// A number; unsigned 64-bit fields above `i64::MAX` saturate.
    Number(i64),
    /// Octets: text is not decoded, a gate sees bytes.
    Bytes(Cow<'a, [u8]>),
    /// An IPv4 or IPv6 address.
    Address(IpAddr),
}

impl<'a> Value<'a> {
    /// Borrowed octets.
    pub fn bytes(bytes: &'a [u8]) -> Value<'a> {
        Value::Bytes(Cow::Borrowed(bytes))
    }

    /// The truth of a value in a condition: three-valued, so that a lost answer is neither taken nor refused.
    ///
    /// A present field that is not a truth value counts as true, an absent one as false.
    pub fn truth(&self) -> Truth {
        match self {
            Value::Unknown => Truth::Unknown,
            Value::Absent | Value::Boolean(false) => Truth::False,
            _ => Truth::True,
        }
    }

    /// The number, if this is one.
    pub fn as_number(&self) -> Option<i64> {
        match self {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The octets, if these are octets.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// True if the value is neither absent nor unknown.
    pub fn is_present(&self) -> bool {
        !matches!(self, Value::Absent | Value::Unknown)
    }
}

/// The outcome of a test (Kleene's three values).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It depends on something that was not seen.
    Unknown,
}

impl Truth {
    /// True only if the test surely holds.
    pub fn holds(self) -> bool {
        self == Truth::True
    }

    /// True unless the test surely fails.
    pub fn possible(self) -> bool {
        self != Truth::False
    }
}

impl std::ops::Not for Truth {
    type Output = Truth;

    fn not(self) -> Truth {
        match self {
            Truth::True => Truth::False,
            Truth::False => Truth::True,
            Truth::Unknown => Truth::Unknown,
        }
    }
}

impl From<bool> for Truth {
    fn from(value: bool) -> Truth {
        if value { Truth::True } else { Truth::False }
    }
}

impl From<Truth> for Value<'_> {
    fn from(value: Truth) -> Self {
        match value {
            Truth::True => Value::Boolean(true),
            Truth::False => Value::Boolean(false),
            Truth::Unknown => Value::Unknown,
        }
    }
}
