//! What the readers of both formats hand to [`crate::CaptureFile`]: where a packet lies, or what is wrong.

use std::ops::Range;

use portcullis_wire::{LinkType, Timestamp};

use crate::buffer::ReadBuffer;
use crate::bytes::ByteOrder;
use crate::error::{Damage, What};
use crate::name::Offset;

/// Where a packet lies in the read buffer, and what its header says.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) timestamp: Timestamp,
    pub(crate) link: LinkType,
    pub(crate) data: Range<usize>,
    pub(crate) original_length: u32,
    pub(crate) interface: u32,
    pub(crate) options: Range<usize>,
    pub(crate) order: ByteOrder,
}

/// What is wrong, before the name of the file and the number of the packet are known.
#[derive(Debug)]
pub(crate) enum Fault {
    /// No more bytes come; the buffer knows whether because of the end or of a failure.
    Short {
        what: What,
        offset: Offset,
        needed: u64,
        available: u64,
    },
    /// The file ends inside its first header.
    CutHeader {
        needed: u64,
        available: u64,
    },
    Damaged {
        offset: Offset,
        damage: Damage,
    },
    Version {
        major: u16,
        minor: u16,
        readable: &'static str,
        offset: Offset,
    },
    UnknownLinkType {
        number: u32,
        interface: Option<u32>,
    },
}

/// Makes `count` bytes available, which belong to an item that starts at the read position.
#[inline]
pub(crate) fn require(buffer: &mut ReadBuffer, count: usize, what: What) -> Result<&[u8], Fault> {
    let available = buffer.ensure(count);
    if available < count {
        return Err(short(buffer, count as u64, available as u64, what));
    }
    Ok(buffer.peek(count).unwrap_or_default())
}

#[cold]
pub(crate) fn short(buffer: &ReadBuffer, needed: u64, available: u64, what: What) -> Fault {
    Fault::Short { what, offset: buffer.offset(), needed, available }
}
