//! Every bound and every timeout of this crate, in one place.

use std::time::Duration;

use crate::connection::Connection;
use crate::list::Links;
use crate::slot::Slot;

/// What an allocator adds to what it gives, in bytes.
const ALLOCATION: usize = 16;

/// The bounds of a [`FlowTable`](crate::FlowTable).
///
/// Every buffer of the crate has its bound here, and every bound that is met shows itself: as the
/// [`GapReason`](crate::GapReason) of a gap, as the [`EndReason`](crate::EndReason) of a flow or
/// in the [`TableStatistics`](crate::TableStatistics). All times are packet time, so a capture
/// gives the same events however fast it is read. A timer acts up to 0.27 seconds late, never
/// early, unless another packet of the flow makes it act at once.
///
/// ```
/// let limits = portcullis_stream::Limits { flows: 10_000, ..Default::default() };
/// assert_eq!(limits.queue_segments, 1024);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most flows that are tracked at a time, default 1,000,000 and at least 1.
    ///
    /// When it is met, the oldest flow that never got beyond its handshake is evicted, or else the
    /// oldest closed one, UDP flow or idle connection, and ends with
    /// [`EndReason::Evicted`](crate::EndReason::Evicted).
    pub flows: usize,
    /// The most bytes that all buffers of the table hold together, default 256 MiB.
    ///
    /// When it is met, data that arrives out of order is not held: what is missing before it
    /// becomes a gap with [`GapReason::MemoryLimit`](crate::GapReason::MemoryLimit). The copies
    /// that overlaps are compared with are given up first.
    pub memory: usize,
    /// The most segments held out of order, per direction of a flow, default 1024.
    ///
    /// Met, it makes a gap with [`GapReason::SegmentLimit`](crate::GapReason::SegmentLimit).
    pub queue_segments: usize,
    /// The most bytes held out of order, per direction of a flow, default 4 MiB: a lost packet on
    /// a path of 400 Mbit/s and 80 ms.
    ///
    /// Each held segment counts 192 bytes more than it carries, because that is what it costs at worst. Met,
    /// it makes a gap with [`GapReason::ByteLimit`](crate::GapReason::ByteLimit).
    pub queue_bytes: usize,
    /// How long data is held behind missing bytes that nobody acknowledges, default 30 seconds: a
    /// sender repeats a lost segment four times within it.
    ///
    /// Met, it makes a gap with [`GapReason::TimeLimit`](crate::GapReason::TimeLimit).
    pub queue_time: Duration,
    /// The same where only one side of the flow was captured, so that no acknowledgement can tell
    /// a loss of the capture from a loss of the network, default 2 seconds.
    pub queue_time_one_sided: Duration,
    /// How long acknowledged bytes that were not captured are waited for, default 200 ms.
    ///
    /// Captures of several receive queues show an acknowledgement before the data that it
    /// acknowledges. After this time, or [`Limits::reorder_packets`], the bytes are a gap with
    /// [`GapReason::Lost`](crate::GapReason::Lost).
    pub reorder_time: Duration,
    /// How many packets of the flow acknowledged bytes are waited for, default 64.
    pub reorder_packets: u32,
    /// The most delivered and unacknowledged bytes kept per direction of a flow, default 64 KiB.
    ///
    /// A segment that brings other bytes for an offset that was delivered is an attempt to show
    /// the inspector something else than the receiver, and only these bytes can tell. With 0,
    /// nothing is kept and nothing compared; beyond the bound, the oldest bytes are given up.
    pub compare_bytes: usize,
    /// The most delivered and unacknowledged bytes that a normaliser keeps per direction of a flow, default 8 MiB: more than
    /// the 6 MiB that Linux lets a receiver have under way.
    ///
    /// Only these bytes may be repeated. Beyond the bound nothing new is let through until the receiver has acknowledged
    /// some, as if the network had lost it.
    pub record_bytes: usize,
    /// The most bytes of data on a SYN that are held until the SYN-ACK accepts them, default 1460.
    pub syn_bytes: usize,
    /// How long an unfinished handshake is remembered without a packet, default 30 seconds.
    pub embryonic: Duration,
    /// How long an established connection may be silent, default 2 hours and 4 minutes (RFC 5382
    /// section 5), which also covers the 10 minutes that a mail server may take (RFC 5321 section
    /// 4.5.3.2).
    pub established: Duration,
    /// How long a connection that one side has closed may be silent, default 4 minutes (RFC 5382
    /// section 5); the other side may go on for ever as long as it sends.
    pub closing: Duration,
    /// How long a connection that both sides closed, or that was reset, is remembered, so that its
    /// last packets find it, default 10 seconds.
    pub closed: Duration,
    /// How long a UDP flow may be silent, default 60 seconds (RFC 4787 section 4.3 allows less
    /// than its two minutes for well-known ports).
    pub datagram: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            flows: 1_000_000,
            memory: 256 << 20,
            queue_segments: 1024,
            queue_bytes: 4 << 20,
            queue_time: Duration::from_secs(30),
            queue_time_one_sided: Duration::from_secs(2),
            reorder_time: Duration::from_millis(200),
            reorder_packets: 64,
            compare_bytes: 64 << 10,
            record_bytes: 8 << 20,
            syn_bytes: 1460,
            embryonic: Duration::from_secs(30),
            established: Duration::from_secs(7_440),
            closing: Duration::from_secs(240),
            closed: Duration::from_secs(10),
            datagram: Duration::from_secs(60),
        }
    }
}

impl Limits {
    /// What the table keeps of a flow before its first data, in bytes: its state, and its places in the lists by age
    /// and of timers. Its entry in the hash table comes on top; see [`Limits::table_bytes`].
    pub const HALF_OPEN_BYTES: usize = size_of::<Slot>() + 2 * Links::BYTES;

    /// What a connection beyond its handshake has besides, in bytes, without what lies in buffers.
    pub const CONNECTION_BYTES: usize = size_of::<Connection>() + ALLOCATION;

    /// The most bytes that the table takes for as many flows as there may be, before their first data: their state,
    /// the hash table, and lists of free places and of timers that fire together.
    ///
    /// The hash table has room for a power of two of entries, is full at seven eighths and may double once more
    /// for the traces of removed entries.
    pub fn table_bytes(&self) -> usize {
        let flows = self.flows.max(1);
        let entries = (flows.saturating_mul(8) / 7).max(8).checked_next_power_of_two().unwrap_or(usize::MAX);
        let hash = entries.saturating_mul(2 * (size_of::<u32>() + 1));
        flows.saturating_mul(Limits::HALF_OPEN_BYTES + 2 * size_of::<u32>()).saturating_add(hash)
    }

    /// The most bytes that the buffers of one TCP flow can hold, both directions together.
    ///
    /// The global bound [`Limits::memory`] holds as well.
    pub fn bytes_per_flow(&self) -> usize {
        let direction = self.queue_bytes.saturating_add(self.compare_bytes.saturating_mul(2));
        direction.saturating_mul(2).saturating_add(self.syn_bytes)
    }
}
