//! Writing of captures: pcapng with comments for evidence, classic pcap for whoever needs it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use portcullis_wire::{LinkType, Timestamp};

use crate::detect::CaptureFormat;
use crate::limits;
use crate::source::Packet;

/// Why a packet cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The system refused.
    #[error("writing the capture failed: {0}")]
    Io(#[from] io::Error),

    /// A classic capture has one link type.
    #[error(
        "a packet of link type {found} cannot be written to a pcap file of link type {expected}; write pcapng, which can hold both"
    )]
    LinkType {
        /// The link type of the file.
        expected: &'static str,
        /// That of the packet.
        found: &'static str,
    },

    /// A classic capture has no place for comments.
    #[error("a comment cannot be written to a pcap file; write pcapng")]
    Comment,

    /// The comment is too long.
    #[error("a comment of {length} bytes is too long, {} bytes are possible", limits::COMMENT_BYTES)]
    CommentTooLong {
        /// Its length in bytes.
        length: usize,
    },

    /// The packet is longer than readers accept.
    #[error("a packet of {length} bytes is too long, {} bytes are possible", limits::PACKET_BYTES_MAXIMUM)]
    PacketTooLong {
        /// Its length in bytes.
        length: usize,
    },

    /// The format cannot express the time.
    #[error("the time {seconds} s from 1970 cannot be written to a {format} file: {reason}")]
    Time {
        /// Whole seconds.
        seconds: i64,
        /// The format.
        format: &'static str,
        /// Which times can be written.
        reason: &'static str,
    },
}

/// Writes a capture file, times in nanoseconds.
///
/// The same packets give the same bytes.
#[derive(Debug)]
pub struct CaptureWriter<W: Write> {
    sink: W,
    format: Format,
    /// One block or record, put together before it is written as a whole.
    block: Vec<u8>,
}

#[derive(Debug)]
enum Format {
    Pcap(LinkType),
    /// With the link types of the interfaces so far.
    Pcapng(Vec<LinkType>),
}

impl CaptureWriter<BufWriter<File>> {
    /// Creates a pcapng file; one that exists is replaced.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be created or written.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, WriteError> {
        Self::pcapng(BufWriter::new(File::create(path)?))
    }
}

impl<W: Write> CaptureWriter<W> {
    /// Starts a pcapng file on `sink`, which should be buffered.
    ///
    /// An interface is described for each link type when its first packet comes.
    ///
    /// # Errors
    ///
    /// Fails if `sink` does.
    pub fn pcapng(sink: W) -> Result<Self, WriteError> {
        let mut writer = Self { sink, format: Format::Pcapng(Vec::new()), block: Vec::new() };
        writer.block.extend(0x1a2b_3c4d_u32.to_le_bytes());
        writer.block.extend(1_u16.to_le_bytes());
        writer.block.extend(0_u16.to_le_bytes());
        writer.block.extend(u64::MAX.to_le_bytes()); // section of unknown length
        writer.write_block(0x0a0d_0d0a)?;
        Ok(writer)
    }

    /// Starts a classic pcap file on `sink`, which should be buffered.
    ///
    /// # Errors
    ///
    /// Fails if `sink` does.
    pub fn pcap(mut sink: W, link: LinkType) -> Result<Self, WriteError> {
        let mut header = Vec::with_capacity(24);
        header.extend(0xa1b2_3c4d_u32.to_le_bytes());
        header.extend(2_u16.to_le_bytes());
        header.extend(4_u16.to_le_bytes());
        header.extend([0; 8]); // time zone and accuracy, which nobody uses
        header.extend(limits::PACKET_BYTES_MAXIMUM.to_le_bytes());
        header.extend(u32::from(link.dlt()).to_le_bytes());
        sink.write_all(&header)?;
        Ok(Self { sink, format: Format::Pcap(link), block: Vec::new() })
    }

    /// The format that is written.
    #[must_use]
    pub const fn format(&self) -> CaptureFormat {
        match self.format {
            Format::Pcap(_) => CaptureFormat::Pcap,
            Format::Pcapng(_) => CaptureFormat::Pcapng,
        }
    }

    /// Writes a packet, with a comment if it is pcapng. Comments that the packet was read with are not copied.
    ///
    /// # Errors
    ///
    /// Fails if the sink does, or if the format cannot hold the packet, its time, or the comment; then nothing was written.
    pub fn write(&mut self, packet: &Packet<'_>, comment: Option<&str>) -> Result<(), WriteError> {
        let captured = u32::try_from(packet.data.len())
            .ok()
            .filter(|length| *length <= limits::PACKET_BYTES_MAXIMUM)
            .ok_or(WriteError::PacketTooLong { length: packet.data.len() })?;
        match &self.format {
            Format::Pcap(link) => {
                let expected = *link;
                if packet.link != expected {
                    return Err(WriteError::LinkType { expected: expected.name(), found: packet.link.name() });
                }
                if comment.is_some() {
                    return Err(WriteError::Comment);
                }
                self.write_record(packet, captured)
            }
            Format::Pcapng(_) => self.write_enhanced(packet, captured, comment),
        }
    }

    /// Flushes what was written and gives the sink back.
    ///
    /// # Errors
    ///
    /// Fails if the sink does.
    pub fn finish(mut self) -> Result<W, WriteError> {
        self.sink.flush()?;
        Ok(self.sink)
    }

    fn write_record(&mut self, packet: &Packet<'_>, captured: u32) -> Result<(), WriteError> {
        let nanoseconds = packet.timestamp.as_nanos();
        let seconds = nanoseconds.div_euclid(1_000_000_000);
        let whole = u32::try_from(seconds).map_err(|_| WriteError::Time {
            seconds,
            format: "pcap",
            reason: "it counts seconds from 1970 to 2106",
        })?;
        let fraction = u32::try_from(nanoseconds.rem_euclid(1_000_000_000)).unwrap_or_default();
        self.block.clear();
        for word in [whole, fraction, captured, packet.original_length] {
            self.block.extend(word.to_le_bytes());
        }
        self.block.extend(packet.data);
        self.sink.write_all(&self.block)?;
        Ok(())
    }

    fn write_enhanced(&mut self, packet: &Packet<'_>, captured: u32, comment: Option<&str>) -> Result<(), WriteError> {
        let comment_length = match comment {
            None => None,
            Some(comment) => {
                Some(u16::try_from(comment.len()).map_err(|_| WriteError::CommentTooLong { length: comment.len() })?)
            }
        };
        let count = time_count(packet.timestamp)?;
        let interface = self.interface(packet.link)?;
        self.block.clear();
        self.block.extend(interface.to_le_bytes());
        let [high, low] = [count >> 32, count & 0xffff_ffff].map(|half| u32::try_from(half).unwrap_or_default());
        for word in [high, low, captured, packet.original_length] {
            self.block.extend(word.to_le_bytes());
        }
        self.block.extend(packet.data);
        self.pad();
        if let Some((comment, length)) = comment.zip(comment_length) {
            self.block.extend(1_u16.to_le_bytes());
            self.block.extend(length.to_le_bytes());
            self.block.extend(comment.as_bytes());
            self.pad();
            self.block.extend([0; 4]); // end of options
        }
        self.write_block(6)
    }

    /// The number of the interface for a link type, which is described if it is new.
    fn interface(&mut self, link: LinkType) -> Result<u32, WriteError> {
        let Format::Pcapng(links) = &mut self.format else { return Ok(0) };
        if let Some(at) = links.iter().position(|known| *known == link) {
            return Ok(u32::try_from(at).unwrap_or_default());
        }
        let number = u32::try_from(links.len()).unwrap_or_default();
        links.push(link);
        self.block.clear();
        self.block.extend(link.dlt().to_le_bytes());
        self.block.extend([0; 2]);
        self.block.extend(limits::PACKET_BYTES_MAXIMUM.to_le_bytes());
        self.block.extend([9, 0, 1, 0, 9, 0, 0, 0]); // if_tsresol: 10^-9 s
        self.block.extend([0; 4]); // end of options
        self.write_block(1)?;
        Ok(number)
    }

    fn pad(&mut self) {
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }

    /// Writes the block whose body was put together.
    fn write_block(&mut self, kind: u32) -> Result<(), WriteError> {
        // Packets and comments are bounded, so this is far below 2^32.
        let length = u32::try_from(self.block.len().saturating_add(12)).unwrap_or(u32::MAX);
        self.sink.write_all(&kind.to_le_bytes())?;
        self.sink.write_all(&length.to_le_bytes())?;
        self.sink.write_all(&self.block)?;
        self.sink.write_all(&length.to_le_bytes())?;
        self.block.clear();
        Ok(())
    }
}

/// The time as pcapng counts it here, in nanoseconds from 1970.
fn time_count(timestamp: Timestamp) -> Result<u64, WriteError> {
    let nanoseconds = timestamp.as_nanos();
    u64::try_from(nanoseconds).map_err(|_| WriteError::Time {
        seconds: nanoseconds.div_euclid(1_000_000_000),
        format: "pcapng",
        reason: "it is before 1970",
    })
}
