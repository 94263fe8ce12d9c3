//! Moments as records and people read them.

use std::fmt;

use jiff::tz::Offset;
use portcullis_wire::Timestamp;
use serde::{Serialize, Serializer};

/// When something happened, and in which packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// The time of the packet.
    pub time: Timestamp,
    /// The number of the packet in the capture, from 1; 0 if no packet brought it about.
    pub packet: u64,
}

/// A time in the form that every reader of EVE takes: ISO 8601 with microseconds and an offset without colon, UTC.
///
/// `2026-11-20T12:00:00.000000+0000`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsoTime(pub Timestamp);

impl fmt::Display for IsoTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = civil(self.0);
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}+0000",
            moment.year(),
            moment.month(),
            moment.day(),
            moment.hour(),
            moment.minute(),
            moment.second(),
            self.0.subsecond_nanos() / 1_000,
        )
    }
}

impl Serialize for IsoTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `2026-11-20 12:00:00`, UTC.
pub(crate) fn date_and_time(time: Timestamp) -> String {
    let moment = civil(time);
    format!("{:04}-{:02}-{:02} {}", moment.year(), moment.month(), moment.day(), clock(time))
}

/// `12:00:00`, UTC.
pub(crate) fn clock(time: Timestamp) -> String {
    let moment = civil(time);
    format!("{:02}:{:02}:{:02}", moment.hour(), moment.minute(), moment.second())
}

/// Years and days. Every [`Timestamp`] lies within the range of `jiff`, so that the epoch is never taken instead.
fn civil(time: Timestamp) -> jiff::civil::DateTime {
    let moment = jiff::Timestamp::from_second(time.as_seconds()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    Offset::UTC.to_datetime(moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_microseconds_and_an_offset() {
        let shown = |nanos| IsoTime(Timestamp::from_nanos(nanos)).to_string();
        assert_eq!(shown(0), "1970-01-01T00:00:00.000000+0000");
        assert_eq!(shown(1_795_176_000_000_000_000), "2026-11-20T12:00:00.000000+0000");
        assert_eq!(shown(1_795_176_000_123_456_789), "2026-11-20T12:00:00.123456+0000");
        assert_eq!(shown(-1), "1969-12-31T23:59:59.999999+0000");
        assert_eq!(shown(951_782_400_000_000_000), "2000-02-29T00:00:00.000000+0000");
        assert_eq!(shown(i64::MIN), "1677-09-21T00:12:43.145224+0000");
        assert_eq!(shown(i64::MAX), "2262-04-11T23:47:16.854775+0000");
    }
}
