//! The block format of captures (draft-ietf-opsawg-pcapng).
//!
//! Blocks that describe interfaces or carry packets are read, all others are passed over whatever their length.

use portcullis_wire::{LinkType, Timestamp};

use crate::buffer::ReadBuffer;
use crate::bytes::ByteOrder;
use crate::error::{Damage, What};
use crate::interface::Interface;
use crate::limits;
use crate::record::{Fault, Record, require, short};

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

const BYTE_ORDER_MARK: u32 = 0x1a2b_3c4d;
const MAJOR_VERSION: u16 = 1;

/// Type and length at the start of a block.
const HEADER_BYTES: usize = 8;
/// Type, two lengths.
const LEAST_BYTES: u32 = 12;
/// The second length.
const TRAILER_BYTES: usize = 4;
/// The least length of a section header: the above, byte order mark, version and section length.
const SECTION_BYTES: u32 = 28;
/// Where the packet of an enhanced packet block starts; that of the obsolete packet block too.
const PACKET_AT: usize = 28;
const SIMPLE_PACKET_AT: usize = 12;
const INTERFACE_OPTIONS_AT: usize = 16;

/// Reads the packets of a pcapng file.
#[derive(Debug)]
pub(crate) struct PcapngReader {
    order: ByteOrder,
    interfaces: Vec<Interface>,
    /// How many interfaces the sections before had.
    interfaces_before: u32,
    last_timestamp: Timestamp,
    /// Packets that were passed over because their link type is unknown.
    uninspected: u64,
}

/// A packet block, or none because the block was of another kind.
type Step = Option<Record>;

impl PcapngReader {
    /// Reads the header of the first section; the caller has recognised its type.
    pub(crate) fn open(buffer: &mut ReadBuffer) -> Result<Self, Fault> {
        let mut reader = Self {
            order: ByteOrder::Little,
            interfaces: Vec::new(),
            interfaces_before: 0,
            last_timestamp: Timestamp::from_nanos(0),
            uninspected: 0,
        };
        reader.section(buffer).map_err(|fault| match fault {
            Fault::Short { needed, available, .. } if !buffer.has_fault() => Fault::CutHeader { needed, available },
            other => other,
        })?;
        Ok(reader)
    }

    pub(crate) fn links(&self) -> impl Iterator<Item = LinkType> + '_ {
        self.interfaces.iter().filter_map(|interface| interface.link)
    }

    pub(crate) const fn uninspected(&self) -> u64 {
        self.uninspected
    }

    /// Returns the next packet. `count` counts all packets of the file, also those that are passed over.
    #[inline]
    pub(crate) fn next(&mut self, buffer: &mut ReadBuffer, count: &mut u64) -> Result<Option<Record>, Fault> {
        loop {
            if buffer.ensure(HEADER_BYTES) == 0 && !buffer.has_fault() {
                return Ok(None);
            }
            let header = require(buffer, HEADER_BYTES, What::BlockHeader)?;
            let (Some(kind), Some(length)) = (self.order.u32(header, 0), self.order.u32(header, 4)) else {
                return Ok(None);
            };
            let step = match kind {
                ENHANCED_PACKET | PACKET => self.packet(buffer, kind, length, count)?,
                SIMPLE_PACKET => self.simple_packet(buffer, length, count)?,
                INTERFACE_DESCRIPTION => self.interface(buffer, length)?,
                SECTION_HEADER => self.section(buffer)?,
                _ => pass_over(buffer, self.order, kind, length)?,
            };
            if step.is_some() {
                return Ok(step);
            }
        }
    }

    fn section(&mut self, buffer: &mut ReadBuffer) -> Result<Step, Fault> {
        let what = What::Block(SECTION_HEADER);
        let start = require(buffer, SECTION_BYTES as usize, what)?;
        let mark = ByteOrder::Big.u32(start, 8).unwrap_or_default();
        let order = match mark {
            BYTE_ORDER_MARK => ByteOrder::Big,
            _ if mark.swap_bytes() == BYTE_ORDER_MARK => ByteOrder::Little,
            found => return Err(damaged(buffer, Damage::ByteOrderMark { found })),
        };
        let length = order.u32(start, 4).unwrap_or_default();
        let (major, minor) = (order.u16(start, 12).unwrap_or_default(), order.u16(start, 14).unwrap_or_default());
        if major != MAJOR_VERSION {
            return Err(Fault::Version { major, minor, readable: "1.0", offset: buffer.offset() });
        }
        whole_block(buffer, order, SECTION_HEADER, length, SECTION_BYTES)?;
        buffer.take(length as usize);
        self.order = order;
        self.interfaces_before =
            self.interfaces_before.saturating_add(u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX));
        self.interfaces.clear();
        Ok(None)
    }

    fn interface(&mut self, buffer: &mut ReadBuffer, length: u32) -> Result<Step, Fault> {
        const LEAST: u32 = 20;
        let block = whole_block(buffer, self.order, INTERFACE_DESCRIPTION, length, LEAST)?;
        let number = self.order.u16(block, 8).unwrap_or_default();
        let snapshot_length = self.order.u32(block, 12).unwrap_or_default();
        let options = block.get(INTERFACE_OPTIONS_AT..block.len().saturating_sub(TRAILER_BYTES)).unwrap_or_default();
        let interface =
            Interface::new(number, snapshot_length, options, self.order).map_err(|damage| damaged(buffer, damage))?;
        if self.interfaces.len() >= limits::INTERFACES {
            let limit = u32::try_from(limits::INTERFACES).unwrap_or(u32::MAX);
            return Err(damaged(buffer, Damage::TooManyInterfaces { limit }));
        }
        self.interfaces.push(interface);
        buffer.take(length as usize);
        Ok(None)
    }

    /// Reads an enhanced packet block (section 4.3) or the packet block that it replaced (appendix A).
    #[inline]
    fn packet(&mut self, buffer: &mut ReadBuffer, kind: u32, length: u32, count: &mut u64) -> Result<Step, Fault> {
        const LEAST: u32 = 32;
        let order = self.order;
        let block = whole_block(buffer, order, kind, length, LEAST)?;
        let (Some(high), Some(low), Some(captured), Some(original_length)) =
            (order.u32(block, 12), order.u32(block, 16), order.u32(block, 20), order.u32(block, 24))
        else {
            return Ok(None);
        };
        let number = if kind == PACKET {
            // The other half of the word counts dropped packets.
            order.u16(block, 8).map(u32::from)
        } else {
            order.u32(block, 8)
        };
        let room = length.saturating_sub(LEAST);
        let at = number.and_then(|number| usize::try_from(number).ok());
        let Some(interface) = at.and_then(|at| self.interfaces.get_mut(at)) else {
            return Err(self.no_such_interface(buffer, number.unwrap_or(u32::MAX)));
        };
        check_length(buffer, captured, room, interface.limit)?;
        let Some(link) = interface.link else {
            return self.unknown_link(buffer, length, number.unwrap_or(u32::MAX), count);
        };
        let timestamp = interface.clock.timestamp(u64::from(high) << 32 | u64::from(low));
        self.last_timestamp = timestamp;
        *count = count.saturating_add(1);
        let whole = buffer.take(length as usize);
        let start = whole.start.saturating_add(PACKET_AT);
        let end = start.saturating_add(captured as usize);
        let options = start.saturating_add(captured.next_multiple_of(4) as usize);
        Ok(Some(Record {
            timestamp,
            link,
            data: start..end,
            original_length,
            interface: self.interfaces_before.saturating_add(number.unwrap_or_default()),
            options: options..whole.end.saturating_sub(TRAILER_BYTES),
            order,
        }))
    }

    /// Reads a simple packet block (section 4.4): of the first interface, without time, cut to its snapshot length.
    fn simple_packet(&mut self, buffer: &mut ReadBuffer, length: u32, count: &mut u64) -> Result<Step, Fault> {
        const LEAST: u32 = 16;
        let order = self.order;
        let block = whole_block(buffer, order, SIMPLE_PACKET, length, LEAST)?;
        let original_length = order.u32(block, 8).unwrap_or_default();
        let room = length.saturating_sub(LEAST);
        let Some(interface) = self.interfaces.first() else {
            return Err(self.no_such_interface(buffer, 0));
        };
        let captured = match interface.snapshot_length {
            0 => original_length,
            snapshot_length => original_length.min(snapshot_length),
        };
        check_length(buffer, captured, room, interface.limit)?;
        let Some(link) = interface.link else {
            return self.unknown_link(buffer, length, 0, count);
        };
        *count = count.saturating_add(1);
        let whole = buffer.take(length as usize);
        let start = whole.start.saturating_add(SIMPLE_PACKET_AT);
        Ok(Some(Record {
            timestamp: self.last_timestamp,
            link,
            data: start..start.saturating_add(captured as usize),
            original_length,
            interface: self.interfaces_before,
            options: 0..0,
            order,
        }))
    }

    /// Passes over a packet whose link type is unknown; the first of each interface is reported.
    #[cold]
    fn unknown_link(&mut self, buffer: &mut ReadBuffer, length: u32, at: u32, count: &mut u64) -> Result<Step, Fault> {
        *count = count.saturating_add(1);
        self.uninspected = self.uninspected.saturating_add(1);
        buffer.take(length as usize);
        let reported = usize::try_from(at).ok().and_then(|at| self.interfaces.get_mut(at));
        match reported {
            Some(interface) if !interface.reported => {
                interface.reported = true;
                let number = u32::from(interface.link_number);
                Err(Fault::UnknownLinkType { number, interface: Some(self.interfaces_before.saturating_add(at)) })
            }
            _ => Ok(None),
        }
    }

    #[cold]
    fn no_such_interface(&self, buffer: &ReadBuffer, interface: u32) -> Fault {
        let known = u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX);
        damaged(buffer, Damage::NoSuchInterface { interface, known })
    }
}

/// Makes a block available whose length is plausible and the same at both ends.
#[inline]
fn whole_block(buffer: &mut ReadBuffer, order: ByteOrder, kind: u32, length: u32, least: u32) -> Result<&[u8], Fault> {
    if length < least || length > limits::BLOCK_BYTES || !length.is_multiple_of(4) {
        return Err(bad_length(buffer, kind, length, least));
    }
    let size = length as usize;
    require(buffer, size, What::Block(kind))?;
    let trailer = buffer.peek(size).and_then(|block| order.u32(block, size.saturating_sub(TRAILER_BYTES)));
    match trailer {
        Some(trailer) if trailer != length => Err(damaged(buffer, Damage::BlockTrailer { kind, length, trailer })),
        _ => Ok(buffer.peek(size).unwrap_or_default()),
    }
}

/// Passes over a block of a type that does not concern us, which may be of any length.
fn pass_over(buffer: &mut ReadBuffer, order: ByteOrder, kind: u32, length: u32) -> Result<Step, Fault> {
    if length < LEAST_BYTES || !length.is_multiple_of(4) {
        return Err(bad_length(buffer, kind, length, LEAST_BYTES));
    }
    let (what, offset) = (What::Block(kind), buffer.offset());
    let body = u64::from(length).saturating_sub(TRAILER_BYTES as u64);
    let passed = buffer.skip(body);
    let rest = if passed < body { 0 } else { buffer.ensure(TRAILER_BYTES).min(TRAILER_BYTES) };
    if rest < TRAILER_BYTES {
        let available = passed.saturating_add(rest as u64);
        return Err(match short(buffer, u64::from(length), available, what) {
            Fault::Short { what, needed, available, .. } => Fault::Short { what, offset, needed, available },
            other => other,
        });
    }
    let trailer = buffer.peek(TRAILER_BYTES).and_then(|bytes| order.u32(bytes, 0)).unwrap_or_default();
    if trailer != length {
        return Err(Fault::Damaged { offset, damage: Damage::BlockTrailer { kind, length, trailer } });
    }
    buffer.take(TRAILER_BYTES);
    Ok(None)
}

#[inline]
fn check_length(buffer: &ReadBuffer, captured: u32, room: u32, limit: u32) -> Result<(), Fault> {
    if captured > room {
        return Err(damaged(buffer, Damage::PacketBeyondBlock { captured, room }));
    }
    if captured > limit {
        return Err(damaged(buffer, Damage::PacketTooLong { captured, limit }));
    }
    Ok(())
}

#[cold]
fn bad_length(buffer: &ReadBuffer, kind: u32, length: u32, least: u32) -> Fault {
    let damage = if length < least {
        Damage::BlockTooShort { kind, length, least }
    } else if length.is_multiple_of(4) {
        Damage::BlockTooLong { kind, length, limit: limits::BLOCK_BYTES }
    } else {
        Damage::BlockUnaligned { kind, length }
    };
    damaged(buffer, damage)
}

#[cold]
fn damaged(buffer: &ReadBuffer, damage: Damage) -> Fault {
    Fault::Damaged { offset: buffer.offset(), damage }
}
