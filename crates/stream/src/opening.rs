//! The handshake of a connection, small enough for a million of them.
//!
//! Nothing is decided here about data. A flow that never gets beyond its SYN and SYN-ACK has this
//! and nothing else (T36).

use portcullis_lang::Direction;
use portcullis_wire::{SequenceNumber, TcpFlags, TcpSegment};

use crate::anomaly::{AnomalySet, StreamAnomaly};

/// Stands for "no window scale option on the SYN".
const NO_SCALE: u8 = u8::MAX;

/// After how many packets of one direction the small counters are given up.
const MOST_PACKETS: u8 = 200;

/// The same in bytes: as many as leave room for one more packet.
const MOST_BYTES: u16 = 1 << 14;

const SYNCHRONISED: [u16; 2] = [1 << 0, 1 << 1];
const SYN_SEEN: [u16; 2] = [1 << 2, 1 << 3];
const SACK: [u16; 2] = [1 << 4, 1 << 5];
const CANDIDATE: [u16; 2] = [1 << 6, 1 << 7];
const ANSWERED: u16 = 1 << 8;
const RESET: u16 = 1 << 9;
const TIMESTAMPS: [u16; 2] = [1 << 10, 1 << 11];
const CONFIRMED: [u16; 2] = [1 << 12, 1 << 13];
const UNSIGNED: u16 = 1 << 14;
const REPEATED: u16 = 1 << 15;

/// What is known of a connection before its first data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    /// The sequence number of the first byte after the SYN, per direction.
    next: [SequenceNumber; 2],
    /// Another such number that a second SYN or SYN-ACK proposed; the bits say whose it is.
    candidate: SequenceNumber,
    /// What was wrong.
    pub(crate) anomalies: AnomalySet,
    bytes: [u16; 2],
    window: [u16; 2],
    scale: [u8; 2],
    /// The timestamp of the client's SYN.
    stamp: u32,
    /// The TCP flags that were seen, per direction.
    pub(crate) flags: [TcpFlags; 2],
    packets: [u8; 2],
    bits: u16,
}

/// What a SYN or SYN-ACK means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Greeting {
    /// It was awaited.
    Accepted,
    /// It was seen before.
    Repeated,
    /// It counts, and is remarkable.
    Flagged(StreamAnomaly),
    /// It does not count.
    Ignored(StreamAnomaly),
}

/// What a reset means (RFC 5961 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResetVerdict {
    /// Its receiver accepts it.
    Exact,
    /// It is in the window, and challenged.
    Inexact,
    /// It is ignored.
    OutOfWindow,
}

impl Opening {
    /// Creates the state of a connection of which nothing was seen.
    pub(crate) fn new() -> Opening {
        Opening {
            next: [SequenceNumber(0); 2],
            candidate: SequenceNumber(0),
            anomalies: AnomalySet::default(),
            bytes: [0; 2],
            window: [0; 2],
            scale: [NO_SCALE; 2],
            stamp: 0,
            flags: [TcpFlags::default(); 2],
            packets: [0; 2],
            bits: 0,
        }
    }

    /// Notes the numbers of a segment of a connection whose beginning was not seen.
    pub(crate) fn join(&mut self, direction: Direction, segment: &TcpSegment<'_>) {
        self.synchronise(direction, segment.sequence);
        self.synchronise(direction.other(), segment.acknowledgement);
        self.confirm(direction.other());
    }

    /// Notes that the receiver of a direction has said itself what it expects.
    pub(crate) fn confirm(&mut self, direction: Direction) {
        self.bits |= CONFIRMED[direction.index()];
    }

    /// Whether the numbers of a direction are more than what its sender says: its SYN was seen, or its receiver counts alike.
    pub(crate) fn is_confirmed(&self, direction: Direction) -> bool {
        self.syn_seen(direction) || self.bits & CONFIRMED[direction.index()] != 0
    }

    /// Whether a SYN has come, and nothing yet of the side that it asks.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.syn_seen(Direction::Up) && !self.syn_seen(Direction::Down) && self.bits & ANSWERED == 0
    }

    /// Whether a segment is the bare acknowledgement with which a connection was joined.
    pub(crate) fn is_joined_at(&self, direction: Direction, segment: &TcpSegment<'_>) -> bool {
        let first = u16::from(self.packets[0]) + u16::from(self.packets[1]) == 1;
        let bare = segment.payload.is_empty() && segment.flags == TcpFlags::ACK;
        first && bare && !self.any_syn_seen() && self.next(direction) == Some(segment.sequence)
    }

    /// Sets the first sequence number of a direction that has none.
    pub(crate) fn synchronise(&mut self, direction: Direction, next: SequenceNumber) {
        if !self.is_synchronised(direction) {
            self.set_next(direction, next);
        }
    }

    /// Counts a packet by its bytes on the wire.
    pub(crate) fn count(&mut self, direction: Direction, flags: TcpFlags, bytes: u32) {
        let i = direction.index();
        self.packets[i] = self.packets[i].saturating_add(1);
        self.bytes[i] = self.bytes[i].saturating_add(u16::try_from(bytes).unwrap_or(u16::MAX));
        self.flags[i] |= flags;
    }

    /// Whether the counters are full, so that the flow needs those of a connection.
    pub(crate) fn is_full(&self) -> bool {
        self.packets.iter().any(|packets| *packets >= MOST_PACKETS)
            || self.bytes.iter().any(|bytes| *bytes >= MOST_BYTES)
    }

    /// The packets of a direction.
    pub(crate) fn packets(&self, direction: Direction) -> u64 {
        u64::from(self.packets[direction.index()])
    }

    /// The bytes of a direction, as they were on the wire.
    pub(crate) fn bytes(&self, direction: Direction) -> u64 {
        u64::from(self.bytes[direction.index()])
    }

    /// The sequence number of the first byte of a direction, if it is known.
    pub(crate) fn next(&self, direction: Direction) -> Option<SequenceNumber> {
        self.is_synchronised(direction).then_some(self.next[direction.index()])
    }

    /// Whether the SYN of a direction was seen.
    pub(crate) fn syn_seen(&self, direction: Direction) -> bool {
        self.bits & SYN_SEEN[direction.index()] != 0
    }

    /// Whether any SYN was seen.
    pub(crate) fn any_syn_seen(&self) -> bool {
        self.syn_seen(Direction::Up) || self.syn_seen(Direction::Down)
    }

    /// Whether the receiver of a direction takes selective acknowledgements.
    pub(crate) fn sack(&self) -> bool {
        SACK.iter().all(|bit| self.bits & bit != 0)
    }

    /// Whether both sides have agreed on timestamps (RFC 7323 section 3.2).
    pub(crate) fn timestamps(&self) -> bool {
        TIMESTAMPS.iter().all(|bit| self.bits & bit != 0)
    }

    /// Whether a segment is signed (RFC 2385, RFC 5925) though a SYN was not (T20).
    pub(crate) fn is_signed_unexpectedly(&self, segment: &TcpSegment<'_>) -> bool {
        let octets = segment.options.as_bytes();
        // Nothing, or what is on nearly all segments: two paddings and a timestamp.
        if octets.is_empty() || (octets.len() == 12 && octets.starts_with(&[1, 1, 8, 10])) {
            return false;
        }
        let options = segment.options.values();
        self.bits & UNSIGNED != 0 && (options.md5 || options.authentication)
    }

    /// Whether a client may echo this timestamp to complete the handshake: that of a SYN-ACK.
    pub(crate) fn is_echo(&self, echo: u32) -> bool {
        // Only the first one is kept. Those of repetitions are later by what a server waits at most, in its units.
        let most = if self.bits & REPEATED != 0 { 1 << 17 } else { 0 };
        self.first_timestamp(Direction::Down).is_none_or(|sent| echo.wrapping_sub(sent) <= most)
    }

    /// The timestamp of the SYN of a direction, if both sides have agreed on timestamps.
    pub(crate) fn first_timestamp(&self, direction: Direction) -> Option<u32> {
        let stamp = match direction {
            Direction::Up => self.stamp,
            // It has its place where another number was proposed before, which is settled then.
            Direction::Down if self.bits & (CANDIDATE[0] | CANDIDATE[1]) == 0 && self.candidate.0 != 0 => {
                self.candidate.0
            }
            Direction::Down => return None,
        };
        self.timestamps().then_some(stamp)
    }

    /// The window that the receiver of a direction advertised on its SYN, which is never scaled.
    pub(crate) fn first_window(&self, direction: Direction) -> u16 {
        self.window[direction.other().index()]
    }

    /// By how many bits the windows that the sender of this direction advertises are shifted,
    /// known once both SYNs were seen.
    pub(crate) fn shift(&self, direction: Direction) -> Option<u8> {
        if !self.syn_seen(Direction::Up) || !self.syn_seen(Direction::Down) {
            return None;
        }
        if self.scale.contains(&NO_SCALE) {
            return Some(0);
        }
        Some(self.scale[direction.index()])
    }

    /// Whether a side refused the connection.
    pub(crate) fn is_reset(&self) -> bool {
        self.bits & RESET != 0
    }

    /// Notes that a side refused the connection.
    pub(crate) fn set_reset(&mut self) {
        self.bits |= RESET;
    }

    /// Whether a SYN comes in the place of one that was never answered.
    pub(crate) fn is_renewed(&self, direction: Direction, segment: &TcpSegment<'_>) -> bool {
        direction == Direction::Up && self.is_unanswered() && self.next(direction) != Some(segment.sequence + 1)
    }

    /// Whether a SYN that comes again asks for nothing that the first of its side did not: some systems leave options out
    /// when the first was not answered, and the answer shows which one was taken.
    pub(crate) fn greeted_less(&self, direction: Direction, segment: &TcpSegment<'_>) -> bool {
        let options = segment.options.values();
        let i = direction.index();
        options.window_scale.is_none_or(|scale| self.scale[i] == scale)
            && (!options.sack_permitted || self.bits & SACK[i] != 0)
            && (options.timestamps.is_none() || self.bits & TIMESTAMPS[i] != 0)
    }

    /// Whether a SYN or SYN-ACK that comes again says the same as the first of its side.
    pub(crate) fn greeted_alike(&self, direction: Direction, segment: &TcpSegment<'_>) -> bool {
        let options = segment.options.values();
        let i = direction.index();
        self.scale[i] == options.window_scale.unwrap_or(NO_SCALE)
            && (self.bits & SACK[i] != 0) == options.sack_permitted
            && (self.bits & TIMESTAMPS[i] != 0) == options.timestamps.is_some()
    }

    /// Takes a segment with SYN and without ACK.
    pub(crate) fn syn(&mut self, direction: Direction, segment: &TcpSegment<'_>) -> Greeting {
        let next = segment.sequence + 1;
        if !self.syn_seen(direction) {
            if self.next(direction) == Some(next) || !self.is_synchronised(direction) {
                self.greet(direction, segment);
                return match direction {
                    Direction::Up => Greeting::Accepted,
                    Direction::Down if self.syn_seen(Direction::Up) => {
                        Greeting::Flagged(StreamAnomaly::SimultaneousOpen)
                    }
                    Direction::Down => Greeting::Accepted,
                };
            }
            if direction == Direction::Down && self.syn_seen(Direction::Up) {
                self.greet(direction, segment);
                return Greeting::Flagged(StreamAnomaly::SplitHandshake);
            }
            return Greeting::Ignored(StreamAnomaly::SynInEstablished);
        }
        if self.next(direction) == Some(next) {
            return Greeting::Repeated;
        }
        if self.bits & ANSWERED == 0 {
            self.propose(direction, next);
            return Greeting::Flagged(StreamAnomaly::SynChanged);
        }
        Greeting::Ignored(StreamAnomaly::SynInEstablished)
    }

    /// Takes a segment with SYN and ACK, which may acknowledge so many bytes of data on the SYN.
    pub(crate) fn syn_ack(&mut self, direction: Direction, segment: &TcpSegment<'_>, syn_data: u32) -> Greeting {
        let next = segment.sequence + 1;
        let other = direction.other();
        let repeated = self.syn_seen(direction) && self.next(direction) == Some(next);
        let acknowledged = segment.acknowledgement;
        match self.next(other) {
            None => self.set_next(other, acknowledged),
            Some(first) if acknowledged.is_in(first, syn_data.saturating_add(1)) => {}
            Some(_) if self.candidate(other) == Some(acknowledged) => {
                self.pick(other, acknowledged);
            }
            // A repetition acknowledges what has come since.
            Some(first) if repeated && acknowledged.ge(first) => return Greeting::Repeated,
            Some(_) => return Greeting::Ignored(StreamAnomaly::SynAckWrongAck),
        }
        let first_answer = self.bits & ANSWERED == 0;
        self.bits |= ANSWERED;
        if !self.syn_seen(direction) {
            self.greet(direction, segment);
            return Greeting::Accepted;
        }
        if repeated {
            if direction == Direction::Down {
                self.bits |= REPEATED;
            }
            // The second half of a simultaneous open is no repetition.
            return if first_answer { Greeting::Accepted } else { Greeting::Repeated };
        }
        self.propose(direction, next);
        Greeting::Flagged(StreamAnomaly::SynAckChanged)
    }

    /// Lets the acknowledgement of the other side pick among two SYN-ACKs.
    pub(crate) fn pick(&mut self, direction: Direction, acknowledged: SequenceNumber) {
        if self.candidate(direction) == Some(acknowledged) {
            self.set_next(direction, acknowledged);
            self.bits &= !CANDIDATE[direction.index()];
            self.candidate = SequenceNumber(0);
        }
    }

    /// Judges a reset before there was data (RFC 9293 section 3.10.7.3).
    pub(crate) fn reset(&self, direction: Direction, segment: &TcpSegment<'_>) -> ResetVerdict {
        let is_next = self.next(direction) == Some(segment.sequence);
        let candidate = self.candidate(direction.other()) == Some(segment.acknowledgement);
        let answers = segment.flags.contains(TcpFlags::ACK)
            && (candidate || self.next(direction.other()) == Some(segment.acknowledgement));
        // A server that waits for the end of a handshake gives it up for any reset in its window.
        let ahead = self.next(direction).map_or(0, |next| segment.sequence.distance_from(next));
        let echoes = segment.options.timestamps().is_none_or(|timestamps| self.is_echo(timestamps.echo));
        if self.bits & ANSWERED != 0 && direction == Direction::Up && !echoes {
            return ResetVerdict::OutOfWindow;
        }
        let embryonic = self.bits & ANSWERED != 0
            && direction == Direction::Up
            && self.syn_seen(Direction::Down)
            && (answers || !segment.flags.contains(TcpFlags::ACK))
            && (0..i32::from(self.first_window(direction))).contains(&ahead);
        let expected = if self.is_synchronised(direction) { is_next || embryonic } else { answers };
        if expected { ResetVerdict::Exact } else { ResetVerdict::OutOfWindow }
    }

    fn candidate(&self, direction: Direction) -> Option<SequenceNumber> {
        (self.bits & CANDIDATE[direction.index()] != 0).then_some(self.candidate)
    }

    fn propose(&mut self, direction: Direction, next: SequenceNumber) {
        self.candidate = next;
        self.bits &= !CANDIDATE[direction.other().index()];
        self.bits |= CANDIDATE[direction.index()];
    }

    fn is_synchronised(&self, direction: Direction) -> bool {
        self.bits & SYNCHRONISED[direction.index()] != 0
    }

    fn set_next(&mut self, direction: Direction, next: SequenceNumber) {
        self.next[direction.index()] = next;
        self.bits |= SYNCHRONISED[direction.index()];
    }

    fn greet(&mut self, direction: Direction, segment: &TcpSegment<'_>) {
        let i = direction.index();
        self.set_next(direction, segment.sequence + 1);
        self.bits |= SYN_SEEN[i];
        self.window[i] = segment.window;
        let options = segment.options.values();
        self.scale[i] = options.window_scale.unwrap_or(NO_SCALE);
        if options.sack_permitted {
            self.bits |= SACK[i];
        }
        if !options.md5 && !options.authentication {
            self.bits |= UNSIGNED;
        }
        if let Some(timestamps) = options.timestamps {
            self.bits |= TIMESTAMPS[i];
            match direction {
                Direction::Up => self.stamp = timestamps.value,
                Direction::Down if self.bits & (CANDIDATE[0] | CANDIDATE[1]) == 0 => {
                    self.candidate = SequenceNumber(timestamps.value);
                }
                Direction::Down => {}
            }
        }
    }
}
