//! What one direction of a conversation holds.

use portcullis_lang::EventId;

use super::Position;
use crate::flowing::Flowing;
use crate::flowing::canonise::Canoniser;
use crate::model::{RuleId, StreamId};
use crate::program::Run;

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Side {
    /// Octets of the direction before the first one held, or before the next one if none is.
    pub(super) offset: u64,
    /// Octets that arrived and are not yet parsed: the beginning of a record, or what waits for the other side.
    pub(super) held: Vec<u8>,
    /// How many of the held octets were searched for the end of a line.
    pub(super) scanned: usize,
    /// A record that is not complete.
    pub(super) record: Option<Box<InRecord>>,
    /// A stream that is not complete.
    pub(super) stream: Option<Box<InStream>>,
    /// Where this side is ahead of the machine.
    pub(super) cursor: Option<Box<Position>>,
    /// What is held waits for the other side.
    pub(super) stalled: bool,
    /// The rest of a line over its bound is being passed over.
    pub(super) skipping: bool,
    /// A record is being looked for, after a gap or in the middle of a flow.
    pub(super) search: Option<Search>,
    /// How often it had to be looked for.
    pub(super) searches: u32,
    /// Octets seen at all.
    pub(super) seen: u64,
    /// The other side says no more after this one: a record that goes to the end is complete.
    pub(super) ended: bool,
    /// Octets after the end were reported.
    pub(super) spoke_after_end: bool,
    /// That it speaks out of turn was reported; once for each time it does, however its octets are cut.
    pub(super) out_of_turn: bool,
}

#[derive(Debug)]
pub(super) struct InRecord {
    pub(super) run: Run,
    pub(super) rule: RuleId,
}

impl InRecord {
    /// Octets of memory that it takes.
    pub(super) fn memory(&self) -> usize {
        size_of::<InRecord>().saturating_add(self.run.memory())
    }
}

#[derive(Debug)]
pub(super) struct InStream {
    pub(super) id: StreamId,
    pub(super) flowing: Flowing,
    /// Octets of the direction before its first.
    pub(super) begin: u64,
    /// Octets of it so far, on the wire.
    pub(super) size: u64,
    /// Octets of content so far.
    pub(super) content: u64,
    pub(super) end: EventId,
    /// What puts its newlines right, if that was asked for, and how far it has come.
    pub(super) canoniser: Option<Box<(u64, Canoniser)>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    /// Whether the next octet begins a line.
    pub(super) fresh: bool,
    /// Octets searched.
    pub(super) octets: u64,
}

impl Side {
    /// Drops what was begun of a record; its octets stay held.
    pub(super) fn forget_record(&mut self) {
        self.record = None;
        self.scanned = 0;
    }
}
