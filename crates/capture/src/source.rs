//! What a source of packets gives: packets, in order, one at a time, without copying.

use portcullis_wire::{LinkType, Timestamp};

use crate::error::CaptureError;
use crate::options::Comments;

/// A source of packets: capture files and interfaces. Queues, whose packets need an answer, are [`crate::queue::PacketQueue`].
///
/// The trait is what all of them share and no more: packets one after the other, each valid until the next is asked for.
/// How a packet is released or refused belongs to the sources that can do it.
pub trait PacketSource {
    /// Returns the next packet, or `None` at the end.
    ///
    /// After `None` it returns `None` again.
    ///
    /// # Errors
    ///
    /// An error takes the place of the packet that could not be read. A caller who wants all there is goes on:
    /// packets may follow, of other files, or of other interfaces ([`CaptureError::ends_file`]); where none can,
    /// the next call returns `None`. No source returns errors for ever.
    fn next(&mut self) -> Result<Option<Packet<'_>>, CaptureError>;

    /// Tells how much was read and how much there is; `None` for a source without an end.
    fn progress(&self) -> Option<Progress> {
        None
    }
}

/// A packet as it was captured, borrowed from its source.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// The number in its source, counted from 1: for one file the number that Wireshark shows, for several that of
    /// the files merged.
    pub number: u64,
    /// When it was captured, in nanoseconds since the Unix epoch.
    ///
    /// Times may go backwards from one packet to the next of a file, they are as they were recorded. A pcapng simple
    /// packet has none and takes that of the packet before it.
    pub timestamp: Timestamp,
    /// What the data start with.
    pub link: LinkType,
    /// The bytes that were captured, from the link layer on.
    pub data: &'a [u8],
    /// How many bytes the packet had on the wire; more than `data` if the capture cut it.
    pub original_length: u32,
    /// The interface it was captured on, counted from 0 in its file (through all sections of a pcapng file).
    pub interface: u32,
    /// The file it comes from, counted from 0 in the order in which they were named.
    pub file: u32,
    /// The number in its file, counted from 1.
    pub number_in_file: u64,
    /// The comments that a pcapng file keeps with it.
    pub comments: Comments<'a>,
}

impl<'a> Packet<'a> {
    /// Makes a packet that was not captured but is to be written, or stands in for one in a test: the first and only
    /// one of its source, complete.
    #[must_use]
    pub fn new(timestamp: Timestamp, link: LinkType, data: &'a [u8]) -> Self {
        Self {
            number: 1,
            timestamp,
            link,
            data,
            original_length: u32::try_from(data.len()).unwrap_or(u32::MAX),
            interface: 0,
            file: 0,
            number_in_file: 1,
            comments: Comments::default(),
        }
    }

    /// How many bytes of the packet the capture did not keep.
    #[must_use]
    pub fn missing(&self) -> u32 {
        self.original_length.saturating_sub(u32::try_from(self.data.len()).unwrap_or(u32::MAX))
    }
}

/// How far a source was read, in bytes of the files as they are (compressed bytes of compressed files).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// How many bytes were read.
    pub position: u64,
    /// How many there are; `None` for a pipe.
    pub total: Option<u64>,
}
