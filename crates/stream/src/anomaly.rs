//! What can be wrong with the segments of a connection, by name.

use std::fmt;

/// Declares the anomalies with their names, and the list of all of them.
macro_rules! anomalies {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// A segment that an honest host would not have sent, or that its receiver ignored.
        ///
        /// T-numbers name the evasions that the variants stand against.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum StreamAnomaly {
            $($(#[$doc])* $variant,)*
        }

        impl StreamAnomaly {
            /// All anomalies, in the order of their names.
            pub const ALL: &[StreamAnomaly] = &[$(StreamAnomaly::$variant,)*];

            /// The name in records and policies, in snake case.
            pub fn name(self) -> &'static str {
                match self {
                    $(StreamAnomaly::$variant => $name,)*
                }
            }
        }
    };
}

anomalies! {
    /// A segment acknowledges so much less than was acknowledged before that its receiver may ignore it (RFC 5961 section 5;
    /// T15): Linux does, unless the segment is the one it expects and memory is at hand. Its data is set aside, and delivered if
    /// the receiver acknowledges it.
    AckTooOld => "ack_too_old",
    /// A segment acknowledges bytes that were never sent: they lie beyond the advertised window,
    /// or their sender shows later that it has not sent them (RFC 9293 section 3.10.7.4; T15). Its receiver ignores it, but
    /// perhaps it is the capture that lacks what was sent: its data is set aside, and delivered if the receiver acknowledges it.
    AckUnsent => "ack_unsent",
    /// Data lies beyond the FIN of its direction (T10). Ignored.
    DataAfterFin => "data_after_fin",
    /// Data arrived for an offset that had been declared a gap. It is not delivered.
    DataAfterGap => "data_after_gap",
    /// Data goes on after a reset that should have ended it: the reset may never have arrived
    /// (T8). It is delivered.
    DataAfterReset => "data_after_reset",
    /// A FIN claims an end of the stream that contradicts what is known: another FIN, or data beyond it (T10). Ignored.
    FinMoved => "fin_moved",
    /// A combination of flags that no host sends: none at all, SYN with FIN or RST, FIN without
    /// ACK (T13). Ignored, but for a reset among them.
    InvalidFlags => "invalid_flags",
    /// A segment of a connection without the ACK flag (RFC 9293 section 3.10.7.4; T14). Ignored.
    MissingAckFlag => "missing_ack_flag",
    /// A segment lies beyond the window that its receiver advertised (T16). Ignored.
    OutOfWindow => "out_of_window",
    /// A segment brings other bytes for offsets that had been received (T1, T2, T3). What a Linux
    /// receiver reads is delivered.
    OverlapDiff => "overlap_diff",
    /// More is unacknowledged or out of order than a normaliser keeps to compare repetitions with. The segment is not let
    /// through; its sender repeats it.
    RecordLimit => "record_limit",
    /// A reset whose sequence number is in the window and not the next expected one, which is
    /// answered with a challenge (RFC 5961 section 3.2; T8). Ignored.
    ResetInexact => "rst_inexact",
    /// A reset whose sequence or acknowledgement number is out of the question (T8). Ignored.
    ResetOutOfWindow => "rst_out_of_window",
    /// The server side sent a SYN of its own: both sides open at once (RFC 9293 section 3.5; T23).
    SimultaneousOpen => "simultaneous_open",
    /// The server side acknowledged the SYN and sent its own apart: a handshake of four (T23).
    SplitHandshake => "split_handshake",
    /// A SYN-ACK of the same side came again with another sequence number (T24); the
    /// acknowledgement of the client picks one.
    SynAckChanged => "syn_ack_changed",
    /// A SYN-ACK acknowledges no SYN that was seen (T24). Ignored.
    SynAckWrongAck => "syn_ack_wrong_ack",
    /// A SYN came again with another sequence number before it was answered; the answer picks one.
    SynChanged => "syn_changed",
    /// A SYN carries data without a Fast Open cookie (RFC 7413; T12). The data is delivered only
    /// if the SYN-ACK acknowledges it.
    SynData => "syn_data",
    /// A SYN within a connection, which is answered with a challenge (RFC 5961 section 4; T11).
    /// Ignored.
    SynInEstablished => "syn_in_established",
    /// A segment that is to complete a handshake echoes another timestamp than that of the SYN-ACK (T18): Linux ignores it since
    /// 6.15. It is set aside, and delivered if the receiver acknowledges it.
    TimestampEcho => "timestamp_echo",
    /// A segment carries an older timestamp than one before it (PAWS, RFC 7323 section 5; T18). Ignored.
    TimestampOld => "timestamp_old",
    /// Data, a FIN or a reset has a lower time to live than other segments of its side, by more than a change of ways explains:
    /// it may have ended on the way to its receiver (T4), or is somebody else's. Told once for each direction; it counts all the
    /// same.
    TtlLow => "ttl_low",
    /// A segment carries a signature (RFC 2385, RFC 5925) that was not agreed on: a receiver without the key drops it (T20),
    /// one that knows no signatures does not. It is set aside, and delivered if the receiver acknowledges it.
    UnexpectedSignature => "unexpected_signature",
    /// A segment carries an urgent pointer (RFC 6093; T22): a receiver may leave the octet before
    /// it out of the stream. It is left in what is delivered; the offset is its own.
    UrgentData => "urgent_data",
}

impl fmt::Display for StreamAnomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The kinds of anomalies that a flow showed.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct AnomalySet(u32);

impl AnomalySet {
    /// Adds an anomaly.
    pub fn insert(&mut self, anomaly: StreamAnomaly) {
        self.0 |= 1 << anomaly as u32;
    }

    /// Whether the anomaly was seen.
    pub fn contains(self, anomaly: StreamAnomaly) -> bool {
        self.0 >> anomaly as u32 & 1 == 1
    }

    /// Returns what is in either set.
    pub fn union(self, other: AnomalySet) -> AnomalySet {
        AnomalySet(self.0 | other.0)
    }

    /// Whether no anomaly was seen.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the anomalies in the order of their names.
    pub fn iter(self) -> impl Iterator<Item = StreamAnomaly> {
        StreamAnomaly::ALL.iter().copied().filter(move |anomaly| self.contains(*anomaly))
    }
}

impl fmt::Debug for AnomalySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_snake_case_sorted_and_fit_the_set() {
        let names: Vec<&str> = StreamAnomaly::ALL.iter().map(|kind| kind.name()).collect();
        for name in &names {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        }
        let mut unique = names.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), names.len());
        assert!(names.len() <= 32, "AnomalySet has 32 bits");
        let mut set = AnomalySet::default();
        assert!(set.is_empty());
        for &kind in StreamAnomaly::ALL {
            assert!(!set.contains(kind));
            set.insert(kind);
        }
        assert_eq!(set.iter().count(), names.len());
    }
}
