//! Segments whose checksum is wrong where others of the same sender are right.
//!
//! A receiver drops such a segment, and an attacker may send one to mislead whoever does not (attack T5). But captures are
//! also altered after the fact, to hide names, without new checksums. What tells them apart is what the receiver does:
//! it acknowledges a segment only if it took it, or one that covers it. So a doubtful segment is set aside, thrown
//! away when another one comes for its place, and taken when the other side acknowledges it and none has come.

use portcullis_lang::Direction;
use portcullis_stream::Envelope;
use portcullis_wire::{SequenceNumber, TcpFlags, TcpSegment};

/// Most segments set aside of one flow; the oldest gives way and counts as dropped by its receiver.
const MOST: usize = 32;

/// Most octets of one of them; a longer one counts as dropped.
const MOST_OCTETS: usize = 64 * 1024;

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

/// Sets a segment aside; `octets` are the segment from its TCP header on.
pub(crate) fn set_aside(
    list: &mut Vec<Doubtful>,
    direction: Direction,
    envelope: &Envelope,
    segment: &TcpSegment<'_>,
    octets: &[u8],
) {
    if octets.len() > MOST_OCTETS || segment.sequence_length() == 0 {
        return;
    }
    if list.len() >= MOST {
        list.remove(0);
    }
    list.push(Doubtful {
        direction,
        begin: segment.sequence,
        end: segment.sequence_end(),
        envelope: *envelope,
        octets: octets.into(),
    });
}

/// A segment with a right checksum has come: throws away those whose place it takes, and gives those that it acknowledges.
pub(crate) fn settle(list: &mut Vec<Doubtful>, direction: Direction, segment: &TcpSegment<'_>) -> Vec<Doubtful> {
    if segment.sequence_length() > 0 {
        let (begin, end) = (segment.sequence, segment.sequence_end());
        list.retain(|other| other.direction != direction || end.le(other.begin) || other.end.le(begin));
    }
    if !segment.flags.contains(TcpFlags::ACK) {
        return Vec::new();
    }
    let acknowledged = |other: &Doubtful| other.direction != direction && other.end.le(segment.acknowledgement);
    let (taken, kept) = std::mem::take(list).into_iter().partition(acknowledged);
    *list = kept;
    taken
}
