//! The classic capture format: a header, then packets, each behind a header of its own (draft-ietf-opsawg-pcap).

use portcullis_wire::{LinkType, Timestamp};

use crate::buffer::ReadBuffer;
use crate::bytes::ByteOrder;
use crate::error::{Damage, What};
use crate::limits;
use crate::link;
use crate::record::{Fault, Record, require};

const FILE_HEADER_BYTES: usize = 24;
const RECORD_HEADER_BYTES: usize = 16;
/// Kuznetzov's variant adds the interface index, the protocol and the packet type.
const MODIFIED_RECORD_HEADER_BYTES: usize = 24;

const MAGIC_MICROSECONDS: u32 = 0xa1b2_c3d4;
const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
const MAGIC_MODIFIED: u32 = 0xa1b2_cd34;

const MAJOR_VERSION: u16 = 2;

/// Reads the packets of a classic capture.
#[derive(Debug)]
pub(crate) struct PcapReader {
    order: ByteOrder,
    nanoseconds_per_fraction: u32,
    record_header_bytes: usize,
    length_order: LengthOrder,
    limit: u32,
    link: LinkType,
    /// What two captures put together would have where a packet's time should be.
    second_header: (u32, u32),
}

/// The order of captured and original length; it was the other way round before version 2.3, and version 2.3 files
/// exist in both ways (libpcap, `sf-pcap.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LengthOrder {
    CapturedFirst,
    OriginalFirst,
    SmallerIsCaptured,
}

impl PcapReader {
    /// Reads the header of the file; the caller has recognised the magic number.
    pub(crate) fn open(buffer: &mut ReadBuffer) -> Result<Self, Fault> {
        let available = buffer.ensure(FILE_HEADER_BYTES);
        let offset = buffer.offset();
        let header = buffer.peek(FILE_HEADER_BYTES);
        let cut = Fault::CutHeader { needed: FILE_HEADER_BYTES as u64, available: available as u64 };
        let Some(header) = header else { return Err(cut) };
        let order = match ByteOrder::Big.u32(header, 0) {
            Some(MAGIC_MICROSECONDS | MAGIC_NANOSECONDS | MAGIC_MODIFIED) => ByteOrder::Big,
            _ => ByteOrder::Little,
        };
        let (Some(magic), Some(major), Some(minor), Some(versions), Some(snapshot_length), Some(network)) = (
            order.u32(header, 0),
            order.u16(header, 4),
            order.u16(header, 6),
            order.u32(header, 4),
            order.u32(header, 16),
            order.u32(header, 20),
        ) else {
            return Err(cut);
        };
        if major != MAJOR_VERSION {
            return Err(Fault::Version { major, minor, readable: "2.0 to 2.4", offset });
        }
        // The upper bits hold the length of a frame check sequence, which the lengths in the packet bound anyway.
        let number = network & 0xffff;
        let Some(link) = link::from_number(number) else {
            return Err(Fault::UnknownLinkType { number, interface: None });
        };
        buffer.take(FILE_HEADER_BYTES);
        Ok(Self {
            order,
            nanoseconds_per_fraction: if magic == MAGIC_NANOSECONDS { 1 } else { 1000 },
            record_header_bytes: if magic == MAGIC_MODIFIED {
                MODIFIED_RECORD_HEADER_BYTES
            } else {
                RECORD_HEADER_BYTES
            },
            length_order: match minor {
                0..=2 => LengthOrder::OriginalFirst,
                3 => LengthOrder::SmallerIsCaptured,
                _ => LengthOrder::CapturedFirst,
            },
            limit: limits::packet_limit(snapshot_length),
            link,
            second_header: (magic, versions),
        })
    }

    pub(crate) const fn link(&self) -> LinkType {
        self.link
    }

    #[inline]
    pub(crate) fn next(&mut self, buffer: &mut ReadBuffer) -> Result<Option<Record>, Fault> {
        if buffer.ensure(self.record_header_bytes) == 0 && !buffer.has_fault() {
            return Ok(None);
        }
        let order = self.order;
        let header = require(buffer, self.record_header_bytes, What::PacketHeader)?;
        let (Some(seconds), Some(fraction), Some(first), Some(second)) =
            (order.u32(header, 0), order.u32(header, 4), order.u32(header, 8), order.u32(header, 12))
        else {
            return Ok(None);
        };
        let (captured, original_length) = match self.length_order {
            LengthOrder::CapturedFirst => (first, second),
            LengthOrder::OriginalFirst => (second, first),
            LengthOrder::SmallerIsCaptured => (first.min(second), first.max(second)),
        };
        if captured > self.limit || (seconds, fraction) == self.second_header {
            return Err(self.damaged(buffer, captured, (seconds, fraction)));
        }
        // Cannot overflow: the length is below the limit of 1 MiB.
        let length = self.record_header_bytes.saturating_add(captured as usize);
        require(buffer, length, What::Packet)?;
        buffer.take(self.record_header_bytes);
        let data = buffer.take(captured as usize);
        // 2^32 seconds and 2^32 times 1000 ns fit 63 bits.
        let nanoseconds = i64::from(seconds)
            .saturating_mul(1_000_000_000)
            .saturating_add(i64::from(fraction).saturating_mul(i64::from(self.nanoseconds_per_fraction)));
        Ok(Some(Record {
            timestamp: Timestamp::from_nanos(nanoseconds),
            link: self.link,
            data,
            original_length,
            interface: 0,
            options: 0..0,
            order,
        }))
    }

    #[cold]
    fn damaged(&self, buffer: &ReadBuffer, captured: u32, time: (u32, u32)) -> Fault {
        let damage = if time == self.second_header {
            Damage::SecondHeader
        } else {
            Damage::PacketTooLong { captured, limit: self.limit }
        };
        Fault::Damaged { offset: buffer.offset(), damage }
    }
}
