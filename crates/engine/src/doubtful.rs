//! Segments whose checksum is wrong where others of the same sender are right.
//!
//! A receiver drops such a segment, and an attacker may send one to mislead whoever does not (attack T5). But captures are
//! also altered after the fact, to hide names, without new checksums. What tells them apart is what the receiver does:
//! it acknowledges a segment only if it took it, or one that covers it. So a doubtful segment is set aside, thrown
//! away when another one comes for its place, and taken when the other side acknowledges it and none has come.

use portcullis_lang::Direction;
use portcullis_stream::Envelope;
use portcullis_wire::{SequenceNumber, TcpFlags, TcpSegment};

use crate::bounds::Bound;
use crate::limits::EngineLimits;

/// A segment that was set aside.
#[derive(Debug)]
pub(crate) struct Doubtful {
    direction: Direction,
    begin: SequenceNumber,
    end: SequenceNumber,
    pub(crate) envelope: Envelope,
    /// The segment from its TCP header on.
    pub(crate) octets: Box<[u8]>,
}

/// The account of all segments that are set aside.
#[derive(Debug)]
pub(crate) struct Shelf {
    /// Most segments of one flow.
    most: usize,
    /// Most octets of all flows.
    most_octets: usize,
    octets: usize,
}

/// What a segment that is set aside takes beside its octets.
const COST: usize = size_of::<Doubtful>();

impl Shelf {
    pub(crate) fn new(limits: &EngineLimits) -> Shelf {
        Shelf { most: limits.doubtful_segments, most_octets: limits.doubtful_octets, octets: 0 }
    }

    /// Whether nothing is set aside, so that nothing has to be looked up.
    pub(crate) fn is_empty(&self) -> bool {
        self.octets == 0
    }

    /// Octets that are set aside.
    pub(crate) fn octets(&self) -> usize {
        self.octets
    }

    /// Sets a segment of a flow aside; `octets` are the segment from its TCP header on. Gives the bound that was met: by the
    /// oldest of the flow, which gives way and counts as dropped, or by this one.
    pub(crate) fn set_aside(
        &mut self,
        list: &mut Vec<Doubtful>,
        direction: Direction,
        envelope: &Envelope,
        segment: &TcpSegment<'_>,
        octets: &[u8],
    ) -> Option<Bound> {
        let mut met = None;
        while !list.is_empty() && list.len() >= self.most {
            self.give_back(&list.remove(0));
            met = Some(Bound::DoubtfulSegments);
        }
        if self.most == 0 {
            return Some(Bound::DoubtfulSegments);
        }
        let cost = COST.saturating_add(octets.len());
        if self.octets.saturating_add(cost) > self.most_octets {
            return Some(Bound::DoubtfulBytes);
        }
        self.octets = self.octets.saturating_add(cost);
        list.push(Doubtful {
            direction,
            begin: segment.sequence,
            end: segment.sequence_end(),
            envelope: *envelope,
            octets: octets.into(),
        });
        met
    }

    /// A segment is set aside no more.
    pub(crate) fn give_back(&mut self, doubtful: &Doubtful) {
        self.octets = self.octets.saturating_sub(COST.saturating_add(doubtful.octets.len()));
    }
}

/// A segment with a right checksum has come: throws away those whose place it takes, and gives those that it acknowledges.
pub(crate) fn settle(
    list: &mut Vec<Doubtful>,
    shelf: &mut Shelf,
    direction: Direction,
    segment: &TcpSegment<'_>,
) -> Vec<Doubtful> {
    let (begin, end) = (segment.sequence, segment.sequence_end());
    let acknowledges = segment.flags.contains(TcpFlags::ACK);
    let mut taken = Vec::new();
    for other in std::mem::take(list) {
        let same = other.direction == direction;
        let replaced = same && segment.sequence_length() > 0 && !end.le(other.begin) && !other.end.le(begin);
        if replaced {
            shelf.give_back(&other);
        } else if !same && acknowledges && other.end.le(segment.acknowledgement) {
            shelf.give_back(&other);
            taken.push(other);
        } else {
            list.push(other);
        }
    }
    taken
}
