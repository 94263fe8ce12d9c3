//! An interface of a pcapng file and its clock (draft-ietf-opsawg-pcapng, section 4.2).

use portcullis_wire::{LinkType, Timestamp};

use crate::bytes::ByteOrder;
use crate::error::Damage;
use crate::limits;
use crate::link;
use crate::options::Options;

/// if_tsresol: the unit of timestamps.
const TIME_RESOLUTION: u16 = 9;
/// if_tsoffset: seconds to add to timestamps.
const TIME_OFFSET: u16 = 14;

const NANOSECONDS: i128 = 1_000_000_000;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Interface {
    pub(crate) link_number: u16,
    /// `None` if packets of this link type are not read.
    pub(crate) link: Option<LinkType>,
    /// How much of each packet was kept at most, in bytes; 0 for no limit.
    pub(crate) snapshot_length: u32,
    pub(crate) limit: u32,
    pub(crate) clock: Clock,
    /// Whether the unknown link type was reported.
    pub(crate) reported: bool,
}

impl Interface {
    pub(crate) fn new(
        link_number: u16,
        snapshot_length: u32,
        options: &[u8],
        order: ByteOrder,
    ) -> Result<Self, Damage> {
        let mut clock = Clock::MICROSECONDS;
        let mut options = Options::new(options, order);
        loop {
            match options.next_option() {
                Ok(None) => break,
                Ok(Some((TIME_RESOLUTION, [resolution, ..]))) => clock.unit = Unit::new(*resolution)?,
                Ok(Some((TIME_OFFSET, value))) => {
                    // Signed: two's complement.
                    clock.offset_seconds = order.u64(value, 0).map_or(0, u64::cast_signed);
                }
                Ok(Some(_)) => {}
                Err(long) => {
                    let room = u32::try_from(long.room).unwrap_or(u32::MAX);
                    return Err(Damage::Option { code: long.code, length: long.length, room });
                }
            }
        }
        let link = link::from_number(u32::from(link_number));
        let limit = limits::packet_limit(snapshot_length);
        Ok(Self { link_number, link, snapshot_length, limit, clock, reported: false })
    }
}

/// How an interface counts time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    unit: Unit,
    offset_seconds: i64,
}

#[derive(Clone, Copy, Debug)]
enum Unit {
    /// A unit is this many nanoseconds.
    Nanoseconds(u32),
    /// A nanosecond is this many units.
    PerNanosecond(u64),
    /// A second is two to this power units.
    BinaryFraction(u8),
}

impl Unit {
    fn new(resolution: u8) -> Result<Self, Damage> {
        let exponent = resolution & 0x7f;
        if resolution & 0x80 != 0 {
            return if exponent < 64 {
                Ok(Self::BinaryFraction(exponent))
            } else {
                Err(Damage::TimeResolution { base: 2, exponent })
            };
        }
        let power = |exponent: u8| 10_u64.checked_pow(u32::from(exponent));
        let unit = match exponent {
            0..=9 => power(9_u8.saturating_sub(exponent)).and_then(|n| u32::try_from(n).ok()).map(Self::Nanoseconds),
            _ => power(exponent.saturating_sub(9)).map(Self::PerNanosecond),
        };
        unit.ok_or(Damage::TimeResolution { base: 10, exponent })
    }
}

impl Clock {
    const MICROSECONDS: Self = Self { unit: Unit::Nanoseconds(1000), offset_seconds: 0 };

    /// The time of a count of units. Times beyond the years 1678 to 2262 become the nearest of them.
    #[inline]
    pub(crate) fn timestamp(self, count: u64) -> Timestamp {
        let since_offset = match self.unit {
            Unit::Nanoseconds(nanoseconds) => i128::from(count).saturating_mul(i128::from(nanoseconds)),
            Unit::PerNanosecond(units) => i128::from(count.checked_div(units).unwrap_or_default()),
            // At most 2^64 * 10^9, which fits.
            Unit::BinaryFraction(exponent) => i128::from(count).saturating_mul(NANOSECONDS) >> exponent,
        };
        let offset = i128::from(self.offset_seconds).saturating_mul(NANOSECONDS);
        let nanoseconds = since_offset.saturating_add(offset);
        Timestamp::from_nanos(i64::try_from(nanoseconds).unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(code: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = code.to_le_bytes().to_vec();
        bytes.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn nanos(resolution: u8, offset: i64, count: u64) -> i64 {
        let mut options = option(2, b"eth0");
        options.extend(option(TIME_RESOLUTION, &[resolution]));
        options.extend(option(TIME_OFFSET, &offset.to_le_bytes()));
        let interface = Interface::new(1, 0, &options, ByteOrder::Little).unwrap();
        interface.clock.timestamp(count).as_nanos()
    }

    #[test]
    fn clocks_count_in_their_unit() {
        assert_eq!(nanos(0, 0, 7), 7_000_000_000);
        assert_eq!(nanos(3, 0, 7), 7_000_000);
        assert_eq!(nanos(6, 0, 7), 7_000);
        assert_eq!(nanos(9, 0, 7), 7);
        assert_eq!(nanos(12, 0, 7_999), 7);
        assert_eq!(nanos(19, 0, u64::MAX), 1_844_674_407);
        assert_eq!(nanos(0x80, 0, 7), 7_000_000_000);
        assert_eq!(nanos(0x81, 0, 3), 1_500_000_000);
        assert_eq!(nanos(0x80 | 63, 0, 1 << 63), 1_000_000_000);
        assert_eq!(nanos(6, -3, 5_000_000), 2_000_000_000);
        assert_eq!(nanos(6, -3, 0), -3_000_000_000);
        assert_eq!(nanos(0, 0, u64::MAX), i64::MAX);
        assert_eq!(nanos(0, i64::MIN, 0), i64::MIN);
    }

    #[test]
    fn microseconds_are_the_default() {
        let interface = Interface::new(1, 0, &[], ByteOrder::Big).unwrap();
        assert_eq!(interface.clock.timestamp(1).as_nanos(), 1000);
    }

    #[test]
    fn impossible_resolutions_are_damage() {
        for resolution in [29, 0x7f, 0x80 | 64, 0xff] {
            let options = option(TIME_RESOLUTION, &[resolution]);
            let result = Interface::new(1, 0, &options, ByteOrder::Little);
            assert!(matches!(result, Err(Damage::TimeResolution { .. })), "{resolution}: {result:?}");
        }
    }

    #[test]
    fn an_option_beyond_the_block_is_damage() {
        let result = Interface::new(1, 0, &[9, 0, 200, 0, 6, 0, 0, 0], ByteOrder::Little);
        assert!(matches!(result, Err(Damage::Option { code: 9, length: 200, room: 4 })), "{result:?}");
    }
}
