//! One direction of an edited connection: the octets that came, those that leave, and how far both sides are.

use std::collections::VecDeque;
use std::time::Duration;

use portcullis_wire::{SequenceNumber, Timestamp};

use super::map::Map;
use super::{EditError, EditLimits};

/// How much a sender may send while something of it is kept back: more than any record is long.
const RECORD: u64 = 128 << 10;

/// The most ranges that are remembered of what came out of order.
const RANGES: usize = 4;

/// An edit that has not been applied yet.
#[derive(Clone, Debug)]
struct Pending {
    at: u64,
    removed: u64,
    inserted: Vec<u8>,
}

/// Most octets of room that an empty buffer keeps.
const MOST_SPARE_OCTETS: usize = 4 << 10;

/// Gives the room of a buffer back that nothing is in any more: a connection may be silent for hours.
fn give_back(buffer: &mut VecDeque<u8>) {
    if buffer.is_empty() && buffer.capacity() > MOST_SPARE_OCTETS {
        *buffer = VecDeque::new();
    }
}

impl Pending {
    fn end(&self) -> u64 {
        self.at.saturating_add(self.removed)
    }
}

/// When something is to be repeated that nobody else would repeat.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    pub(super) due: Timestamp,
    pub(super) interval: Duration,
    pub(super) tries: u32,
}

/// One direction of an edited connection.
///
/// There are two streams of octets, the *original* that its sender sends and the *result* that its receiver gets. Both
/// count from the same first number, and an end of the stream counts as one more octet of both.
#[derive(Debug)]
pub(super) struct Course {
    /// The sequence number of offset 0, of both streams.
    origin: SequenceNumber,
    /// The first offset that matters.
    first: u64,

    /// How far the original has come.
    pub(super) received: u64,
    /// How far the original has been taken over into the result.
    pub(super) released: u64,
    /// How far the original may be taken over.
    allowed: u64,
    /// Whether the original ends at `received`.
    pub(super) finished: bool,
    /// The octets of the original from `released` to `received`.
    held: VecDeque<u8>,
    /// The edits that are not applied yet, in the order of their places.
    pending: Vec<Pending>,
    /// How many octets they put in.
    pending_inserted: usize,
    /// From where on the original came since the last packet.
    pub(super) fresh: Option<u64>,
    /// What has come beyond `received`, the latest first.
    pub(super) beyond: Vec<(u64, u64)>,
    /// Up to where octets were acknowledged selectively to their sender, so that it may not repeat them.
    pub(super) vouched: u64,
    /// How far the original was acknowledged to its sender.
    pub(super) told: u64,
    /// Up to where its sender may send, as far as it was told.
    pub(super) edge: u64,
    /// How much its sender may send beyond what was taken over, at most.
    pub(super) ahead: u64,
    /// How much it may send at least while something of it is kept back.
    pub(super) at_least: u64,
    /// Since when octets are kept back of which the sender knows nothing.
    pub(super) untold_since: Option<Timestamp>,

    map: Map,
    /// The octets of the result from `record_start` on that are not acknowledged.
    record: VecDeque<u8>,
    record_start: u64,
    /// How far the result was acknowledged by its receiver.
    pub(super) acknowledged: u64,
    /// How far the result was sent.
    pub(super) sent: u64,
    /// Up to where the receiver takes it.
    pub(super) window_edge: u64,
    /// How often in a row the receiver has acknowledged the same.
    pub(super) duplicates: u32,
    /// How far the result was sent when something of it was repeated that nobody else would repeat: what is acknowledged
    /// before that shows the next hole (RFC 6582).
    pub(super) recovery: Option<u64>,
    /// When to repeat what its sender believes to be done.
    pub(super) retry: Option<Retry>,
}

impl Course {
    /// The course of a stream of which the octet at `offset` has the number `next` in both forms, and nothing before it
    /// matters; its receiver takes `window` octets.
    pub(super) fn new(next: SequenceNumber, offset: u64, window: u32) -> Course {
        let edge = offset.saturating_add(u64::from(window));
        Course {
            // The circle of numbers is 32 bits wide: the cut is what is meant.
            origin: next - offset as u32,
            first: offset,
            received: offset,
            released: offset,
            allowed: offset,
            finished: false,
            held: VecDeque::new(),
            pending: Vec::new(),
            pending_inserted: 0,
            fresh: None,
            beyond: Vec::new(),
            vouched: offset,
            told: offset,
            edge,
            ahead: u64::MAX,
            at_least: RECORD,
            untold_since: None,
            map: Map::new(offset),
            record: VecDeque::new(),
            record_start: offset,
            acknowledged: offset,
            sent: offset,
            window_edge: edge,
            duplicates: 0,
            recovery: None,
            retry: None,
        }
    }

    /// The number of an offset of either stream.
    pub(super) fn number(&self, offset: u64) -> SequenceNumber {
        self.origin + offset as u32
    }

    /// The offset of a number that lies near another offset; negative before the stream.
    pub(super) fn offset_near(&self, near: u64, number: SequenceNumber) -> i64 {
        i64::try_from(near).unwrap_or(i64::MAX).saturating_add(i64::from(number.distance_from(self.number(near))))
    }

    /// The first offset that matters: what is before it was acknowledged when the editing began.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The end of the original as far as it came, its end counted.
    pub(super) fn received_end(&self) -> u64 {
        self.received.saturating_add(u64::from(self.finished))
    }

    /// How much of the original is kept back.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// Octets of memory that it takes beside itself.
    pub(super) fn memory(&self) -> usize {
        let of_edits =
            self.pending.capacity().saturating_mul(size_of::<Pending>()).saturating_add(self.pending_inserted);
        let buffers = self.held.capacity().saturating_add(self.record.capacity());
        buffers.saturating_add(of_edits).saturating_add(self.map.memory())
    }

    /// How much of the result is not acknowledged.
    pub(super) fn recorded(&self) -> usize {
        self.record.len()
    }

    /// The end of the octets of the result.
    pub(super) fn produced(&self) -> u64 {
        self.record_start.saturating_add(self.record.len() as u64)
    }

    /// The end of the result as far as it may be sent, its end counted.
    pub(super) fn result_end(&self) -> u64 {
        self.produced().saturating_add(u64::from(self.ends()))
    }

    /// Whether the result ends at `produced`.
    pub(super) fn ends(&self) -> bool {
        self.finished && self.released == self.received && self.pending.is_empty()
    }

    /// Whether the receiver has acknowledged the end.
    pub(super) fn is_done(&self) -> bool {
        self.ends() && self.acknowledged > self.produced()
    }

    /// Takes the next octets of the original.
    pub(super) fn push(&mut self, octets: &[u8], limits: &EditLimits) -> Result<(), EditError> {
        if self.finished {
            return Err(EditError::Finished);
        }
        if self.held.len().saturating_add(octets.len()) > limits.held {
            return Err(EditError::HeldLimit);
        }
        self.fresh.get_or_insert(self.received);
        self.held.extend(octets);
        self.received = self.received.saturating_add(octets.len() as u64);
        let received = self.received;
        self.beyond.retain_mut(|(start, end)| {
            *start = (*start).max(received);
            *start < *end
        });
        Ok(())
    }

    /// Notes an edit.
    pub(super) fn edit(
        &mut self,
        at: u64,
        removed: u64,
        inserted: &[u8],
        limits: &EditLimits,
    ) -> Result<(), EditError> {
        let end = at.saturating_add(removed);
        if at < self.released {
            return Err(EditError::Released);
        }
        if end > self.received {
            return Err(EditError::NotReceived);
        }
        let meets = |other: &Pending| {
            let (start, stop) = (at.max(other.at), end.min(other.end()));
            start < stop
                || (removed == 0 && other.at < at && at < other.end())
                || (other.removed == 0 && at < other.at && other.at < end)
        };
        if self.pending.iter().any(meets) {
            return Err(EditError::Overlap);
        }
        if self.pending.len().saturating_add(self.map.len()) >= limits.edits {
            return Err(EditError::EditLimit);
        }
        if self.pending_inserted.saturating_add(inserted.len()) > limits.inserted {
            return Err(EditError::InsertedLimit);
        }
        if removed == 0 && inserted.is_empty() {
            return Ok(());
        }
        self.pending_inserted += inserted.len();
        // What is put in before an octet comes before what replaces it, and behind what was put in there before.
        let place = self.pending.partition_point(|other| (other.at, other.removed > 0) <= (at, removed > 0));
        self.pending.insert(place, Pending { at, removed, inserted: inserted.to_vec() });
        Ok(())
    }

    /// Allows the original up to an offset to leave.
    pub(super) fn release(&mut self, up_to: u64) {
        self.allowed = self.allowed.max(up_to);
    }

    /// Takes over into the result what is allowed, with its edits, as far as there is room in the record.
    pub(super) fn advance(&mut self, limits: &EditLimits) {
        loop {
            let room = limits.record.saturating_sub(self.record.len());
            let target = self.allowed.min(self.received);
            let Some(edit) = self.pending.first() else {
                self.take_over(target, room);
                break;
            };
            // An edit that is not wholly allowed, or has no room, keeps back all behind it.
            let due = edit.end() <= target;
            let before = edit.at.min(target);
            self.take_over(before, room);
            let room = limits.record.saturating_sub(self.record.len());
            if !due || self.released < before || room == 0 {
                break;
            }
            let edit = self.pending.remove(0);
            self.pending_inserted = self.pending_inserted.saturating_sub(edit.inserted.len());
            self.map.push(edit.at, edit.removed, self.produced(), edit.inserted.len() as u64);
            let removed = usize::try_from(edit.removed).unwrap_or(usize::MAX).min(self.held.len());
            self.held.drain(..removed);
            self.released = edit.end();
            self.record.extend(edit.inserted);
        }
        // What was deleted at the end of all that arrived is done.
        self.told = self.told.max(self.done());
        self.forget();
    }

    fn take_over(&mut self, target: u64, room: usize) {
        let count = usize::try_from(target.saturating_sub(self.released)).unwrap_or(usize::MAX);
        let count = count.min(room).min(self.held.len());
        self.record.extend(self.held.drain(..count));
        give_back(&mut self.held);
        self.released = self.released.saturating_add(count as u64);
    }

    /// How much of the original is done, by what the receiver has acknowledged.
    pub(super) fn done(&self) -> u64 {
        if self.is_done() {
            return self.received_end();
        }
        self.map.acknowledged(self.acknowledged.min(self.produced())).min(self.released)
    }

    /// Takes an acknowledgement of the receiver, an offset of the result that was sent.
    pub(super) fn acknowledge(&mut self, out: u64) {
        self.duplicates = 0;
        self.acknowledged = out;
        let count = usize::try_from(out.saturating_sub(self.record_start)).unwrap_or(usize::MAX);
        let count = count.min(self.record.len());
        self.record.drain(..count);
        give_back(&mut self.record);
        self.record_start = self.record_start.saturating_add(count as u64);
        self.told = self.told.max(self.done());
        self.forget();
    }

    fn forget(&mut self) {
        self.map.forget(self.done(), self.record_start);
    }

    /// How far the original would be acknowledged to its sender if the receiver acknowledged the result up to an offset.
    pub(super) fn told_after(&self, out: u64) -> u64 {
        if self.ends() && out > self.produced() {
            return self.received_end();
        }
        self.told.max(self.map.acknowledged(out.min(self.produced())).min(self.released))
    }

    /// Up to where the sender may send, if the receiver takes the result up to `window_edge` and has acknowledged it up to
    /// `acknowledged`. It never goes back.
    pub(super) fn promise(&self, acknowledged: u64, window_edge: u64, limits: &EditLimits) -> u64 {
        let most = window_edge.min(acknowledged.saturating_add(limits.record as u64));
        let taken = self.produced().saturating_add(self.pending_inserted as u64);
        let room = most.saturating_sub(taken);
        // A record must be able to come to its end, however small the receiver's window is.
        let room = if self.held.is_empty() { room } else { room.max(self.at_least) };
        let room = room.min(limits.promised() as u64).min(self.ahead);
        self.edge.max(self.released.saturating_add(room))
    }

    /// The range of the result that stands for a range of the original that was sent already, as far as it is not
    /// acknowledged.
    pub(super) fn repeated(&self, start: u64, end: u64) -> (u64, u64) {
        let last =
            if self.ends() && end > self.received { self.result_end() } else { self.map.done(end.min(self.released)) };
        (self.map.first(start).max(self.acknowledged), last.min(self.sent))
    }

    /// The ranges of the original that are wholly done when ranges of the result have arrived out of order.
    pub(super) fn selected(&self, start: u64, end: u64) -> Option<(u64, u64)> {
        let (start, end) = (start.max(self.record_start), end.min(self.produced()));
        let (first, last) = self.map.selected(start, end)?;
        // A block that begins where the acknowledgement ends would be taken for a repetition (RFC 2883).
        (first > self.told).then_some((first, last))
    }

    /// What was sent and is not acknowledged.
    pub(super) fn unacknowledged(&self) -> Vec<u8> {
        let length = usize::try_from(self.sent.saturating_sub(self.record_start)).unwrap_or(usize::MAX);
        self.octets(self.record_start, length).collect()
    }

    /// Octets of the record.
    pub(super) fn octets(&self, start: u64, length: usize) -> impl Iterator<Item = u8> + '_ {
        let skip = usize::try_from(start.saturating_sub(self.record_start)).unwrap_or(usize::MAX);
        let skip = skip.min(self.record.len());
        let end = skip.saturating_add(length).min(self.record.len());
        self.record.range(skip..end).copied()
    }

    /// Notes that a range of the original came before what is before it.
    pub(super) fn note_beyond(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let (mut from, mut to) = (start, end);
        self.beyond.retain(|&(first, last)| {
            let apart = last < from || to < first;
            if !apart {
                from = from.min(first);
                to = to.max(last);
            }
            apart
        });
        self.vouched = self.vouched.max(to);
        self.beyond.insert(0, (from, to));
        self.beyond.truncate(RANGES);
    }

    /// Whether there is something that the sender believes to be done though it is not, so that it will not repeat it.
    pub(super) fn is_orphaned(&self) -> bool {
        let end = if self.told >= self.received_end() {
            self.result_end()
        } else {
            self.map.first(self.told.max(self.vouched).min(self.released))
        };
        self.acknowledged < end
    }
}
