//! The normaliser: what a gateway does to segments so that no receiver reads anything but what was inspected.
//!
//! The principle is one: *the octets that were recorded are the only ones that leave*. For each place of a stream the octet
//! that came first is recorded, delivered to whoever inspects, and let through; whatever comes later for the same place is
//! rewritten from the record. Then it does not matter which of several overlapping segments a receiver would prefer. What
//! remains are segments whose meaning receivers disagree about: they are brought into the form that all read alike
//! ([`Change`]), or do not leave ([`DropReason`]). A sender that means well repeats what was dropped.
//!
//! | file | is |
//! |---|---|
//! | `segment` | what becomes of each segment of a connection |
//! | `record` | what a segment brings to the record, and what the record says about it |
//! | `options` | which TCP options leave |
//! | `rewrite` | a changed segment as a packet |
//! | `table` | the way of a segment through the flow table |
//! | `reasons` | changes and reasons, by name, and their counters |

mod options;
mod reasons;
mod record;
mod rewrite;
mod segment;
mod table;

use portcullis_lang::Direction;
use portcullis_wire::TcpTimestamps;

use crate::flow::FlowId;
use crate::own::{self, OptionOctets};
pub use reasons::{Change, ChangeSet, DropReason, NormaliserStatistics};
pub use rewrite::Rewrite;
pub(crate) use table::Normaliser;

/// How a normaliser is set up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NormaliserSettings {
    /// The least time to live (or hop limit) of what leaves; none by default, because a gateway that raises it can make
    /// packets go round for ever in a network with a loop.
    pub minimum_ttl: Option<u8>,
    /// What becomes of connections that began before the gate.
    pub midstream: Midstream,
}

/// What becomes of connections that began before the gate (T31).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Midstream {
    /// They are followed from the first segment that was seen.
    #[default]
    Inspect,
    /// They pass without being followed.
    Pass,
    /// They do not pass.
    Drop,
}

/// What is to be done about a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// It leaves as it is.
    Forward,
    /// It leaves changed.
    Change(Box<Rewrite>),
    /// It does not leave.
    Drop(DropReason),
}

/// What a normaliser says about a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Normalised {
    /// The flow, if it has one.
    pub flow: Option<FlowId>,
    /// The direction of the segment in its flow.
    pub direction: Direction,
    /// Where the payload begins in the stream; 0 before its beginning.
    pub start: u64,
    /// Where the payload ends in the stream, as it came.
    pub end: u64,
    /// How far the stream had come, in order, before the segment.
    pub before: u64,
    /// What is to be done.
    pub treatment: Treatment,
}

/// The numbers of one side of a connection, for packets in its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SideNumbers {
    /// The number of the next octet that the other side expects of this one: all before it was let through.
    pub next: portcullis_wire::SequenceNumber,
    /// The offset of that octet in the stream of this direction.
    pub offset: u64,
    /// Up to where the other side has acknowledged, as an offset.
    pub acknowledged: u64,
    /// The end of the window that the other side has given, as an offset; 0 if it is not known.
    pub edge: u64,
    /// Whether the side has closed.
    pub finished: bool,
    /// What its clock said last, if both sides send timestamps.
    pub clock: Option<u32>,
}

impl SideNumbers {
    /// The options of a packet in the name of this side: timestamps, where both sides send them (RFC 7323, section 3.2).
    pub fn options(&self, other: &SideNumbers) -> OptionOctets {
        let timestamps = self.clock.zip(other.clock).map(|(value, echo)| TcpTimestamps { value, echo });
        own::options(timestamps, &[])
    }
}
