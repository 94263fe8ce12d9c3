//! The bounds of this crate: no input, however long or damaged, makes it hold more than these.

/// The size of the buffer that a capture file is read through, in bytes.
///
/// One read of a plain file asks for this much. It is also all that a reader holds, unless a single
/// packet or block is longer (see [`BLOCK_BYTES`]).
pub const READ_BUFFER_BYTES: usize = 1 << 20;

/// The size of the buffer that compressed bytes are read through, in bytes.
pub const COMPRESSED_BUFFER_BYTES: usize = 128 << 10;

/// How many bytes are read to find out what a file is.
pub const SNIFF_BYTES: usize = 4096;

/// The longest packet that is believed when the capture announces no larger one, in bytes.
///
/// This is libpcap's own default (`MAXIMUM_SNAPLEN`), and what `tcpdump` records at most.
pub const PACKET_BYTES: u32 = 256 << 10;

/// The longest packet that is believed even if the snapshot length in the header is larger, in bytes.
///
/// The largest packets that the link types we read can carry are those of Linux BIG TCP, 512 KiB.
/// Many writers put 2^31-1 or 2^32-1 into the header: believing them would turn each flipped bit of a
/// length into "the file ends inside a packet of 1.9 GB" instead of the damage that it is.
pub const PACKET_BYTES_MAXIMUM: u32 = 1 << 20;

/// The longest pcapng block that is read as a whole, in bytes: a packet with all its options.
///
/// Blocks of types that are skipped may have any length, they are never held.
pub const BLOCK_BYTES: u32 = 4 << 20;

/// How many interfaces a section of a pcapng file may describe.
pub const INTERFACES: usize = 65_536;

/// The largest window of a zstd frame, as a power of two: 128 MiB, which is what the `zstd` tool itself
/// accepts without being told otherwise.
pub const ZSTD_WINDOW_LOG: u32 = 27;

/// The longest comment of a packet that is written, in bytes (pcapng options have 16-bit lengths).
pub const COMMENT_BYTES: usize = u16::MAX as usize;

/// The bound for the captured length of one packet, given the snapshot length of the capture.
///
/// ```
/// use portcullis_capture::limits::packet_limit;
///
/// assert_eq!(packet_limit(96), 256 << 10); // writers are known to exceed small ones
/// assert_eq!(packet_limit(600_000), 600_000);
/// assert_eq!(packet_limit(u32::MAX), 1 << 20);
/// ```
#[must_use]
pub const fn packet_limit(snapshot_length: u32) -> u32 {
    if snapshot_length < PACKET_BYTES {
        PACKET_BYTES
    } else if snapshot_length > PACKET_BYTES_MAXIMUM {
        PACKET_BYTES_MAXIMUM
    } else {
        snapshot_length
    }
}

/// The size of the kernel's buffer for packets of an interface, in bytes.
pub const LIVE_BUFFER_BYTES: usize = 64 << 20;

/// How many packets wait in the kernel for a verdict at most, per queue, unless the settings say otherwise.
///
/// It is more than the messages that fit into [`RECEIVE_BUFFER_BYTES`] (about 40,000 of the smallest packets), so that too many
/// packets overrun the buffer, which is seen, before they fill the queue, which is not.
pub const QUEUE_PACKETS: u32 = 65_536;

/// How many messages of the smallest packets a receive buffer of so many bytes can hold: the kernel doubles the buffer, and
/// counts no less than 768 bytes for a message.
pub const fn messages_in(receive_buffer: usize) -> u32 {
    let messages = receive_buffer.saturating_mul(2) / 768;
    if messages > u32::MAX as usize { u32::MAX } else { messages as u32 }
}

/// The size of the receive buffer of a queue, in bytes. The kernel doubles it for its own needs.
pub const RECEIVE_BUFFER_BYTES: usize = 16 << 20;

/// The largest receive buffer of a queue that can be set, in bytes.
pub const RECEIVE_BUFFER_BYTES_MAXIMUM: usize = 1 << 30;

/// The most that a queue copies of a packet, in octets: what fits into a netlink attribute.
pub const COPY_BYTES: u32 = 65_531;

/// The most octets that a packet of a queue can be replaced by: what fits into a netlink attribute.
pub const REPLACEMENT_BYTES: usize = 65_531;

/// The most packets that are received from a queue with one system call.
pub const BATCH_PACKETS: usize = 64;
