//! Sequence numbers of TCP and their arithmetic.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// A sequence number of TCP, on a circle of 2^32 (RFC 9293, section 3.4).
///
/// Numbers on a circle have no order of their own, so this type is deliberately not `Ord`: `a.lt(b)` means "a comes before b
/// by less than half of the circle", which is not transitive and must not be given to a sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SequenceNumber(pub u32);

impl SequenceNumber {
    /// The number `octets` further along the circle.
    pub const fn wrapping_add(self, octets: u32) -> Self {
        Self(self.0.wrapping_add(octets))
    }

    /// The number `octets` back along the circle.
    pub const fn wrapping_sub(self, octets: u32) -> Self {
        Self(self.0.wrapping_sub(octets))
    }

    /// How many octets this number is after `other`; negative when it is before it.
    ///
    /// The result is right whenever the two are less than 2^31 apart, as numbers within one window always are. Exactly
    /// opposite numbers give `i32::MIN` both ways.
    pub const fn distance_from(self, other: Self) -> i32 {
        self.0.wrapping_sub(other.0) as i32
    }

    /// Whether this number comes before `other`.
    pub const fn lt(self, other: Self) -> bool {
        self.distance_from(other) < 0
    }

    /// Whether this number comes before `other` or equals it.
    pub const fn le(self, other: Self) -> bool {
        self.distance_from(other) <= 0
    }

    /// Whether this number comes after `other`.
    pub const fn gt(self, other: Self) -> bool {
        self.distance_from(other) > 0
    }

    /// Whether this number comes after `other` or equals it.
    pub const fn ge(self, other: Self) -> bool {
        self.distance_from(other) >= 0
    }

    /// Whether this number lies in the window of `length` octets that begins at `start`.
    ///
    /// An empty window holds nothing. Unlike [`SequenceNumber::lt`] this is right for any length up to 2^32 - 1.
    pub const fn is_in(self, start: Self, length: u32) -> bool {
        self.0.wrapping_sub(start.0) < length
    }
}

impl Add<u32> for SequenceNumber {
    type Output = Self;

    fn add(self, octets: u32) -> Self {
        self.wrapping_add(octets)
    }
}

impl AddAssign<u32> for SequenceNumber {
    fn add_assign(&mut self, octets: u32) {
        *self = self.wrapping_add(octets);
    }
}

impl Sub<u32> for SequenceNumber {
    type Output = Self;

    fn sub(self, octets: u32) -> Self {
        self.wrapping_sub(octets)
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn arithmetic_crosses_the_wrap() {
        let last = SequenceNumber(u32::MAX);
        let first = last + 1;
        assert_eq!(first, SequenceNumber(0));
        assert_eq!(first - 1, last);
        assert!(last.lt(first) && last.le(first) && first.gt(last) && first.ge(last));
        assert_eq!(first.distance_from(last), 1);
        assert_eq!(last.distance_from(first), -1);
        assert!(first.is_in(last, 2) && !first.is_in(last, 1) && !last.is_in(last, 0));
    }

    #[test]
    fn equal_numbers_are_neither_before_nor_after() {
        let number = SequenceNumber(7);
        assert!(!number.lt(number) && !number.gt(number) && number.le(number) && number.ge(number));
    }

    proptest! {
        #[test]
        fn distance_undoes_addition(start: u32, octets in 0..i32::MAX as u32) {
            let start = SequenceNumber(start);
            let end = start + octets;
            prop_assert_eq!(end.distance_from(start), octets as i32);
            prop_assert_eq!(start.lt(end), octets > 0);
            prop_assert!(start.le(end) && end.ge(start));
            prop_assert_eq!(end - octets, start);
        }
    }
}
