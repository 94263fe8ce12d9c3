//! What can be wrong with a capture, each with a message that says what, where, why and what to do.

use std::io;

use crate::name::{Compression, FileName, Offset};

/// A reason why a capture, or the rest of it, cannot be read.
///
/// Packets are delivered up to the place of the error. [`CaptureError::ends_file`] tells whether more can follow.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The path names nothing.
    #[error(
        "cannot open capture file {file}: there is no such file; check the path, it is taken from the current directory"
    )]
    Missing {
        /// The file.
        file: FileName,
    },

    /// The path names a directory.
    #[error("cannot open capture file {file}: it is a directory; name the files in it, as in {file}/*.pcap")]
    Directory {
        /// The directory.
        file: FileName,
    },

    /// The file may not be read.
    #[error(
        "cannot open capture file {file}: permission denied; run as a user who may read it, or pipe it in and read from \"-\""
    )]
    PermissionDenied {
        /// The file.
        file: FileName,
    },

    /// The system refused to open the file for another reason.
    #[error("cannot open capture file {file}: {source}")]
    Open {
        /// The file.
        file: FileName,
        /// The reason of the system.
        source: io::Error,
    },

    /// The same standard input cannot be read as two files.
    #[error("standard input (\"-\") is named {times} times among the capture files; it can be read only once")]
    StandardInputTwice {
        /// How often it was named.
        times: usize,
    },

    /// No file was named.
    #[error("no capture file is named; name at least one, or \"-\" for standard input")]
    NoFiles,

    /// There is not a single byte.
    #[error("{file} is empty{}: a capture has at least a header; was the capture stopped before it wrote anything?", within(*.compression))]
    Empty {
        /// The file.
        file: FileName,
        /// The compression whose content is empty.
        compression: Option<Compression>,
    },

    /// The content is something else than a capture.
    #[error("{file} is not a capture file{}: {looks_like}; pcap and pcapng are read, plain or compressed once with gzip or zstd", within(*.compression))]
    NotACapture {
        /// The file.
        file: FileName,
        /// The compression that was opened already.
        compression: Option<Compression>,
        /// What the first bytes look like, with advice where there is one.
        looks_like: String,
    },

    /// The format has a version that nobody has defined.
    #[error(
        "{file} is a {format} file of version {major}.{minor}, at {offset}; only version {readable} is known: the header may be damaged"
    )]
    Version {
        /// The file.
        file: FileName,
        /// "pcap" or "pcapng".
        format: &'static str,
        /// The major version.
        major: u16,
        /// The minor version.
        minor: u16,
        /// The versions that are read.
        readable: &'static str,
        /// Where the header is.
        offset: Offset,
    },

    /// Packets come from a kind of network that is not dissected.
    #[error("{file} holds packets of link type {number} ({name}){}, which cannot be read; known are Ethernet, raw IP, BSD loopback and Linux cooked captures. Record again on another interface, or convert the packets first", on_interface(*.interface))]
    UnknownLinkType {
        /// The file.
        file: FileName,
        /// The number of the link type as registered for capture files.
        number: u32,
        /// Its name, or "a number without a known name".
        name: &'static str,
        /// The interface and its first packet, for pcapng. Packets of other interfaces are still delivered.
        interface: Option<(u32, u64)>,
    },

    /// The file ends inside its header.
    #[error(
        "{file} ends inside its {format} header: it has {available} of at least {needed} bytes and holds no packet; copy or record it again"
    )]
    CutHeader {
        /// The file.
        file: FileName,
        /// "pcap" or "pcapng".
        format: &'static str,
        /// How many bytes there are.
        available: u64,
        /// How many are needed.
        needed: u64,
    },

    /// The file ends inside a packet or block.
    #[error("{file} ends inside {what} ({}): it starts at {offset} and needs {needed} bytes, {available} are there. {}; the file was cut while it was copied, or is still being written", packet_place(*.packet), all_before(*.packet))]
    Cut {
        /// The file.
        file: FileName,
        /// What was cut: "a packet's header", "a packet", "a block of type ...".
        what: What,
        /// The number of the packet that could not be read, counted from 1.
        packet: u64,
        /// Where the cut item starts.
        offset: Offset,
        /// How many bytes the item has.
        needed: u64,
        /// How many of them are there.
        available: u64,
    },

    /// A length or a reference in the file cannot be right.
    #[error("{file} is damaged at {offset} ({}): {damage}. {}; what follows cannot be found again", packet_place(*.packet), all_before(*.packet))]
    Damaged {
        /// The file.
        file: FileName,
        /// The number of the packet that could not be read, counted from 1.
        packet: u64,
        /// Where the damaged item starts.
        offset: Offset,
        /// What is wrong.
        damage: Damage,
    },

    /// The system failed to read.
    #[error("reading {file} failed at {offset} ({}): {source}. {}", packet_place(*.packet), all_before(*.packet))]
    Read {
        /// The file.
        file: FileName,
        /// The number of the packet that could not be read, counted from 1.
        packet: u64,
        /// How far it was read.
        offset: Offset,
        /// The reason of the system.
        source: io::Error,
    },

    /// The compressed data are not valid.
    #[error("the {compression} data of {file} are damaged near byte {compressed_byte} of the file: {reason}; {offset} was reached ({}). {}; test the file with `{compression} -t`", packet_place(*.packet), all_before(*.packet))]
    Compression {
        /// The file.
        file: FileName,
        /// The compression.
        compression: Compression,
        /// Where in the file as it is, in bytes.
        compressed_byte: u64,
        /// What the decompressor says.
        reason: String,
        /// The number of the packet that could not be read, counted from 1.
        packet: u64,
        /// How far the decompressed data were read.
        offset: Offset,
    },

    /// The compressed data end too early.
    #[error("the {compression} data of {file} end too early, at byte {compressed_byte} of the file; {offset} was reached ({}). {}; the file was cut while it was copied, or is still being written", packet_place(*.packet), all_before(*.packet))]
    CompressionCut {
        /// The file.
        file: FileName,
        /// The compression.
        compression: Compression,
        /// The length of the file as it is, in bytes.
        compressed_byte: u64,
        /// The number of the packet that could not be read, counted from 1.
        packet: u64,
        /// How far the decompressed data were read.
        offset: Offset,
    },

    /// An interface cannot be captured from, or no more.
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    Live(#[from] crate::live::LiveError),
}

impl CaptureError {
    /// Tells whether nothing can follow from the same file.
    ///
    /// It is false only for an unknown link type in a pcapng file, whose other interfaces go on.
    #[must_use]
    pub const fn ends_file(&self) -> bool {
        !matches!(self, Self::UnknownLinkType { interface: Some(_), .. })
    }
}

/// What a file was cut in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// The header of a packet record (pcap).
    PacketHeader,
    /// A packet record (pcap).
    Packet,
    /// The type and length of a block (pcapng).
    BlockHeader,
    /// A block of this type (pcapng).
    Block(u32),
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PacketHeader => f.write_str("the header of a packet"),
            Self::Packet => f.write_str("a packet"),
            Self::BlockHeader => f.write_str("the header of a block"),
            Self::Block(kind) => write!(f, "a block of type {kind:#x}"),
        }
    }
}

/// A contradiction in a capture file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// A packet is longer than a packet can be.
    #[error("a packet claims {captured} captured bytes, at most {limit} are possible here")]
    PacketTooLong {
        /// The captured length that is claimed.
        captured: u32,
        /// The bound.
        limit: u32,
    },

    /// The header of a second capture stands where a packet should.
    #[error(
        "another pcap header stands here, as if two captures were put together with `cat`; name them one after the other instead, or join them with `mergecap`"
    )]
    SecondHeader,

    /// A block is shorter than its type allows.
    #[error("a block of type {kind:#x} claims a length of {length} bytes, it has at least {least}")]
    BlockTooShort {
        /// The type of the block.
        kind: u32,
        /// The length that is claimed.
        length: u32,
        /// The least length.
        least: u32,
    },

    /// A block is longer than a block may be.
    #[error("a block of type {kind:#x} claims a length of {length} bytes, at most {limit} are read")]
    BlockTooLong {
        /// The type of the block.
        kind: u32,
        /// The length that is claimed.
        length: u32,
        /// The bound.
        limit: u32,
    },

    /// The length of a block is not a multiple of four.
    #[error("a block of type {kind:#x} claims a length of {length} bytes, which is not a multiple of 4")]
    BlockUnaligned {
        /// The type of the block.
        kind: u32,
        /// The length that is claimed.
        length: u32,
    },

    /// The two lengths of a block differ.
    #[error("a block of type {kind:#x} claims a length of {length} bytes at its start and of {trailer} at its end")]
    BlockTrailer {
        /// The type of the block.
        kind: u32,
        /// The length at the start.
        length: u32,
        /// The length at the end.
        trailer: u32,
    },

    /// A packet does not fit into its block.
    #[error("a packet claims {captured} captured bytes, its block has room for {room}")]
    PacketBeyondBlock {
        /// The captured length that is claimed.
        captured: u32,
        /// The room in the block.
        room: u32,
    },

    /// A packet belongs to an interface that was not described.
    #[error("a packet belongs to interface {interface}, the section describes {known} so far")]
    NoSuchInterface {
        /// The number of the interface in its section.
        interface: u32,
        /// How many there are.
        known: u32,
    },

    /// There are more interfaces than the bound.
    #[error("the section describes more than {limit} interfaces")]
    TooManyInterfaces {
        /// The bound.
        limit: u32,
    },

    /// The byte order mark of a section is neither.
    #[error("a section header has the byte order mark {found:#010x}, which is neither 0x1a2b3c4d nor that reversed")]
    ByteOrderMark {
        /// The mark, read as big endian.
        found: u32,
    },

    /// An option of an interface goes beyond its block.
    #[error("option {code} of an interface claims {length} bytes, its block has {room} left")]
    Option {
        /// The code of the option.
        code: u16,
        /// The length that is claimed.
        length: u16,
        /// How many bytes are left.
        room: u32,
    },

    /// The unit of an interface's timestamps cannot be represented.
    #[error("an interface counts time in units of {base}^-{exponent} s, which is finer than any clock")]
    TimeResolution {
        /// 2 or 10.
        base: u8,
        /// The negated exponent.
        exponent: u8,
    },
}

fn within(compression: Option<Compression>) -> &'static str {
    match compression {
        Some(Compression::Gzip) => " inside its gzip compression",
        Some(Compression::Zstd) => " inside its zstd compression",
        None => "",
    }
}

fn on_interface(interface: Option<(u32, u64)>) -> String {
    interface
        .map_or_else(String::new, |(interface, packet)| format!(" on interface {interface}, from packet {packet} on"))
}

fn packet_place(packet: u64) -> String {
    format!("packet {packet}")
}

fn all_before(packet: u64) -> String {
    match packet.saturating_sub(1) {
        0 => "No packet was read before".to_owned(),
        1 => "The packet before was read".to_owned(),
        count => format!("The {count} packets before were read"),
    }
}
