//! What the table hands on: the life of each flow, its bytes in order, and what is wrong with it.

use std::borrow::Cow;
use std::fmt;

use portcullis_lang::Direction;
use portcullis_wire::Timestamp;
use smallvec::SmallVec;

use crate::anomaly::StreamAnomaly;
use crate::flow::{FlowId, FlowKey, FlowSummary};

/// The events of one packet.
///
/// It lives on the stack of the caller and allocates only beyond four events, so that a fresh
/// one per packet (its lifetime is that of the packet's bytes) costs nothing.
pub type StreamEvents<'a> = SmallVec<[StreamEvent<'a>; 4]>;

/// Something that happened to a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEvent<'a> {
    /// The flow.
    pub flow: FlowId,
    /// What happened.
    pub kind: StreamEventKind<'a>,
}

/// What happened to a flow.
///
/// Each flow begins with `Started` and finishes with `Ended`. The `Data` and `Gap` events of a
/// direction follow each other without hole or overlap: the offset of each is the offset
/// of the one before plus its length.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamEventKind<'a> {
    /// The first packet of a flow was seen.
    Started {
        /// Who talks to whom.
        key: FlowKey,
        /// The time of the packet.
        start: Timestamp,
        /// Whether the flow began before the capture, so that offset 0 is only where we joined.
        midstream: bool,
    },
    /// The TCP handshake is complete. Flows joined in the middle have no such event.
    Established,
    /// The next bytes of a stream.
    Data {
        /// The direction in which they go.
        direction: Direction,
        /// The offset of the first byte, counted from the first byte after the SYN.
        offset: u64,
        /// The bytes, borrowed from the packet unless they had been held; never empty.
        bytes: Cow<'a, [u8]>,
    },
    /// The next bytes of a stream are missing.
    Gap {
        /// The direction in which they went.
        direction: Direction,
        /// The offset of the first missing byte.
        offset: u64,
        /// How many are missing, never 0.
        length: u64,
        /// Why they are not waited for.
        reason: GapReason,
    },
    /// A side has closed: the stream of this direction is complete.
    Finished {
        /// The direction that is complete.
        direction: Direction,
    },
    /// A side has reset the connection, by a segment that its receiver accepts. `Ended` follows
    /// when the flow is silent.
    Reset {
        /// The direction in which the reset went.
        direction: Direction,
    },
    /// A UDP datagram.
    Datagram {
        /// The direction in which it went.
        direction: Direction,
        /// Its payload, which may be empty.
        bytes: &'a [u8],
        /// How many bytes at its end the capture cut off.
        missing: u32,
    },
    /// Something is wrong with a segment.
    Anomaly {
        /// The direction of the segment.
        direction: Direction,
        /// What is wrong.
        kind: StreamAnomaly,
        /// Where in the stream of this direction: the offset of the segment's first byte, of the
        /// first differing byte or of the urgent byte; 0 where it lies before the stream.
        offset: u64,
    },
    /// The flow is forgotten; its id names nothing any more.
    Ended {
        /// Why.
        reason: EndReason,
        /// What was counted about it.
        summary: Box<FlowSummary>,
    },
}

/// Why missing bytes are not waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum GapReason {
    /// The receiver has acknowledged them: the capture lost them.
    Lost,
    /// The capture kept only the beginning of the packet.
    Cut,
    /// [`Limits::queue_segments`](crate::Limits::queue_segments) was met.
    SegmentLimit,
    /// [`Limits::queue_bytes`](crate::Limits::queue_bytes) was met.
    ByteLimit,
    /// [`Limits::memory`](crate::Limits::memory) was met.
    MemoryLimit,
    /// [`Limits::queue_time`](crate::Limits::queue_time) was met.
    TimeLimit,
    /// The flow ended before they came.
    End,
}

impl GapReason {
    /// The name in records, in snake case.
    pub fn name(self) -> &'static str {
        match self {
            GapReason::Lost => "lost",
            GapReason::Cut => "cut",
            GapReason::SegmentLimit => "segment_limit",
            GapReason::ByteLimit => "byte_limit",
            GapReason::MemoryLimit => "memory_limit",
            GapReason::TimeLimit => "time_limit",
            GapReason::End => "end",
        }
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a flow is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum EndReason {
    /// Both sides had closed.
    Fin,
    /// A side had reset the connection.
    Reset,
    /// It was silent for too long.
    Timeout,
    /// [`Limits::flows`](crate::Limits::flows) was met and the place was needed.
    Evicted,
    /// Another connection between the same ports began, though the end of this one was not seen.
    Replaced,
    /// The input ended.
    EndOfInput,
}

impl EndReason {
    /// The name in records, in snake case.
    pub fn name(self) -> &'static str {
        match self {
            EndReason::Fin => "fin",
            EndReason::Reset => "reset",
            EndReason::Timeout => "timeout",
            EndReason::Evicted => "evicted",
            EndReason::Replaced => "replaced",
            EndReason::EndOfInput => "end_of_input",
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
