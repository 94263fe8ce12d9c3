//! The moment a packet was seen.

use std::fmt;
use std::time::Duration;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// The moment a packet was seen, in nanoseconds since the Unix epoch.
///
/// Every clock of Portcullis is the time of its packets, never that of the machine, so that a capture read twice gives the
/// same records. The range is from the year 1677 to 2262; arithmetic saturates at its ends instead of failing, because the
/// times of a capture file are data from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The earliest moment that can be written.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest moment that can be written.
    pub const MAX: Self = Self(i64::MAX);

    /// Makes a moment from nanoseconds since the epoch.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Makes a moment from microseconds since the epoch; saturates.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros.saturating_mul(1_000))
    }

    /// Makes a moment from milliseconds since the epoch; saturates.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Makes a moment from seconds since the epoch; saturates.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(NANOS_PER_SECOND))
    }

    /// Makes a moment from seconds since the epoch and nanoseconds after that second; saturates.
    ///
    /// More than a second of nanoseconds is carried over, as damaged captures hold such values.
    pub const fn from_parts(seconds: i64, nanos: u32) -> Self {
        Self(seconds.saturating_mul(NANOS_PER_SECOND).saturating_add(nanos as i64))
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Microseconds since the epoch, rounded down.
    pub const fn as_micros(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Whole seconds since the epoch, rounded down (so that [`Timestamp::subsecond_nanos`] is never negative).
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(NANOS_PER_SECOND)
    }

    /// Nanoseconds after the second that [`Timestamp::as_seconds`] gives, below 1,000,000,000.
    pub const fn subsecond_nanos(self) -> u32 {
        self.0.rem_euclid(NANOS_PER_SECOND) as u32
    }

    /// The moment `duration` later, or the latest there is.
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos_of(duration)))
    }

    /// The moment `duration` earlier, or the earliest there is.
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos_of(duration)))
    }

    /// How long after `earlier` this moment is; zero when it is before it, as clocks of captures step back.
    pub const fn since(self, earlier: Self) -> Duration {
        if self.0 <= earlier.0 {
            return Duration::ZERO;
        }
        // The distance of two i64 always fits u64 when it is positive.
        Duration::from_nanos(self.0.wrapping_sub(earlier.0) as u64)
    }
}

/// Seconds since the epoch with nine digits after the point, as `tcpdump -tt --nano` writes them.
impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        write!(formatter, "{sign}{}.{:09}", magnitude / NANOS_PER_SECOND as u64, magnitude % NANOS_PER_SECOND as u64)
    }
}

fn nanos_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_agree() {
        let moment = Timestamp::from_parts(1_700_000_000, 123_456_789);
        assert_eq!(moment.as_nanos(), 1_700_000_000_123_456_789);
        assert_eq!(moment.as_micros(), 1_700_000_000_123_456);
        assert_eq!(moment.as_seconds(), 1_700_000_000);
        assert_eq!(moment.subsecond_nanos(), 123_456_789);
        assert_eq!(Timestamp::from_micros(5), Timestamp::from_nanos(5_000));
        assert_eq!(Timestamp::from_millis(5), Timestamp::from_micros(5_000));
        assert_eq!(Timestamp::from_seconds(5), Timestamp::from_millis(5_000));
        assert_eq!(moment.to_string(), "1700000000.123456789");
    }

    #[test]
    fn moments_before_the_epoch_round_down() {
        let moment = Timestamp::from_nanos(-1);
        assert_eq!(moment.as_seconds(), -1);
        assert_eq!(moment.subsecond_nanos(), 999_999_999);
        assert_eq!(moment.to_string(), "-0.000000001");
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::MAX.saturating_add(Duration::from_nanos(1)), Timestamp::MAX);
        assert_eq!(Timestamp::MIN.saturating_sub(Duration::MAX), Timestamp::MIN);
        assert_eq!(Timestamp::from_parts(i64::MAX, u32::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::MAX.since(Timestamp::MIN), Duration::from_nanos(u64::MAX));
        assert_eq!(Timestamp(3).since(Timestamp(5)), Duration::ZERO);
        assert_eq!(Timestamp(5).since(Timestamp(3)), Duration::from_nanos(2));
    }

    #[test]
    fn microseconds_of_a_carried_second_are_kept() {
        assert_eq!(Timestamp::from_parts(1, 1_500_000_000), Timestamp::from_millis(2_500));
    }
}
