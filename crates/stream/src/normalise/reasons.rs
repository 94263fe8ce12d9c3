//! What a normaliser does to segments, by name.

use std::fmt;
use std::ops::AddAssign;

/// Declares named reasons with the evasions that they stand against.
macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $text:literal, $evasions:literal, $description:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum $name {
            $(
                #[doc = $description]
                #[doc = ""]
                #[doc = concat!("Stands against ", $evasions, ".")]
                $(#[$variant_doc])*
                $variant,
            )*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            /// The name in records and counters, in snake case.
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }

            /// What it means, for people.
            pub fn description(self) -> &'static str {
                match self { $($name::$variant => $description,)* }
            }

            /// The numbers of the evasions in the list of `docs/evasions.md`, separated by blanks.
            pub fn evasions(self) -> &'static str {
                match self { $($name::$variant => $evasions,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

reasons! {
    /// Something that is changed about a segment before it leaves.
    Change {
        Overlap => "overlap", "T1 T2 T3",
            "Octets that had come before with other values are those that came first.";
        BeyondFin => "beyond_fin", "T10",
            "Octets beyond the end of the direction are cut off.";
        Fin => "fin", "T10",
            "A FIN that does not stand at the end of what has come is taken away; its sender repeats it.";
        SynData => "syn_data", "T12",
            "Data on a SYN is taken away; its sender repeats it when the connection stands.";
        ResetData => "reset_data", "T8",
            "Data on a reset, which no receiver reads as part of the stream (RFC 1122 section 4.2.2.12), is taken away.";
        Options => "options", "T12 T19 T21",
            "Options that were not agreed on, stand twice, do not belong there or are unknown are overwritten with no operation.";
        Urgent => "urgent", "T22",
            "The urgent flag and pointer are cleared, so that every receiver reads the octet in its place.";
        Reserved => "reserved", "T34",
            "Reserved bits of the TCP and IPv4 headers are cleared.";
        TimeToLive => "ttl", "T4",
            "A time to live below the floor is raised to it.";
    }
}

reasons! {
    /// Why a segment does not leave.
    DropReason {
        InvalidFlags => "invalid_flags", "T13",
            "A combination of flags that no host sends.";
        MissingAck => "missing_ack", "T14",
            "A segment of a connection without the ACK flag.";
        Signature => "signature", "T20",
            "A signature option (RFC 2385, RFC 5925), whose check cannot be foreseen.";
        SynInConnection => "syn_in_connection", "T11",
            "A SYN within a connection.";
        SynFromServer => "syn_from_server", "T23",
            "A SYN of the server's side: a split handshake, or both sides opening at once.";
        SynChanged => "syn_changed", "T21 T24 T26",
            "A SYN or SYN-ACK that comes again with another number or other options.";
        BeforeSyn => "before_syn", "T23 T25",
            "Data or an end of a side whose SYN was not let through.";
        SynAckWrongAck => "syn_ack_wrong_ack", "T24",
            "A SYN-ACK that acknowledges no SYN that was let through.";
        ResetInexact => "rst_inexact", "T8",
            "A reset whose number is not the one that its receiver expects next.";
        AckUnsent => "ack_unsent", "T15",
            "An acknowledgement of what was never let through.";
        AckTooOld => "ack_too_old", "T15",
            "An acknowledgement that lies behind by more than a window.";
        OutOfWindow => "out_of_window", "T16",
            "A segment beyond the window of its receiver, or before the beginning of the stream.";
        TimestampOld => "timestamp_old", "T18",
            "A timestamp older than one that was let through (PAWS, RFC 7323 section 5).";
        TimestampEcho => "timestamp_echo", "T18",
            "The echo of another timestamp than that of the SYN-ACK, before the handshake was complete.";
        DataAfterFin => "data_after_fin", "T10",
            "Data beyond the end of its direction.";
        EarlyFin => "early_fin", "T10",
            "A FIN alone, beyond what has come; its sender repeats it.";
        OutOfOrderLimit => "out_of_order_limit", "T29",
            "More out of order than is kept; its sender repeats it.";
        RecordLimit => "record_limit", "T1 T36",
            "More unacknowledged octets than are kept; their sender repeats them.";
        NotRecorded => "not_recorded", "T1 T36",
            "A repetition of octets that are not kept any more, so that it cannot be compared.";
        Withheld => "withheld", "T2",
            "A segment out of order of a flow that is edited: it leaves when its turn has come.";
        NotFollowed => "not_followed", "T31",
            "A segment of a connection that began before the gate, which is not to be followed.";
        Fragment => "fragment", "T7",
            "A part of a datagram that the kernel should have put together.";
        SourceRoute => "source_route", "T34 T35",
            "A source route.";
        Malformed => "malformed", "T6 T35",
            "A packet that its receiver would drop, or whose headers cannot be followed.";
        Checksum => "checksum", "T5 T6 T9",
            "A wrong checksum.";
    }
}

/// The changes made to one segment.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct ChangeSet(u16);

impl ChangeSet {
    /// Adds a change.
    pub fn insert(&mut self, change: Change) {
        self.0 |= 1 << change as u16;
    }

    /// Whether a change was made.
    pub fn contains(self, change: Change) -> bool {
        self.0 >> change as u16 & 1 == 1
    }

    /// Whether nothing was changed.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The changes.
    pub fn iter(self) -> impl Iterator<Item = Change> {
        Change::ALL.iter().copied().filter(move |change| self.contains(*change))
    }
}

impl fmt::Debug for ChangeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// What a normaliser has done, counted by reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NormaliserStatistics {
    changes: [u64; Change::ALL.len()],
    drops: [u64; DropReason::ALL.len()],
}

impl Default for NormaliserStatistics {
    fn default() -> NormaliserStatistics {
        NormaliserStatistics { changes: [0; Change::ALL.len()], drops: [0; DropReason::ALL.len()] }
    }
}

impl AddAssign<&NormaliserStatistics> for NormaliserStatistics {
    /// Adds what another normaliser has counted.
    fn add_assign(&mut self, other: &NormaliserStatistics) {
        let mine = self.changes.iter_mut().chain(&mut self.drops);
        let others = other.changes.iter().chain(&other.drops);
        mine.zip(others).for_each(|(mine, others)| *mine = mine.saturating_add(*others));
    }
}

impl NormaliserStatistics {
    /// Segments that were changed in this way.
    pub fn changed(&self, change: Change) -> u64 {
        self.changes.get(change as usize).copied().unwrap_or(0)
    }

    /// Segments that were dropped for this reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops.get(reason as usize).copied().unwrap_or(0)
    }

    /// All segments that were dropped.
    pub fn all_dropped(&self) -> u64 {
        self.drops.iter().sum()
    }

    /// Counts the changes made to a segment.
    pub fn count_changes(&mut self, changes: ChangeSet) {
        for change in changes.iter() {
            if let Some(counter) = self.changes.get_mut(change as usize) {
                *counter = counter.saturating_add(1);
            }
        }
    }

    /// Counts a segment that was dropped.
    pub fn count_drop(&mut self, reason: DropReason) {
        if let Some(counter) = self.drops.get_mut(reason as usize) {
            *counter = counter.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn reasons_are_named_once_described_and_name_evasions() {
        let all = Change::ALL.iter().map(|change| (change.name(), change.description(), change.evasions()));
        let all: Vec<_> =
            all.chain(DropReason::ALL.iter().map(|why| (why.name(), why.description(), why.evasions()))).collect();
        let names: HashSet<&str> = all.iter().map(|(name, _, _)| *name).collect();
        // `syn_data` and the like are what they are whether changed or dropped; within one set a name stands once.
        assert!(names.len() >= all.len() - 1, "{names:?}");
        for (name, description, evasions) in all {
            assert!(name.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'_'), "{name}");
            assert!(description.ends_with('.'), "{description}");
            assert!(evasions.split(' ').all(|id| id.starts_with('T') && id[1..].parse::<u8>().is_ok()), "{evasions}");
        }
        assert!(Change::ALL.len() <= 16, "ChangeSet has 16 bits");
    }

    #[test]
    fn what_is_counted_is_told() {
        let mut statistics = NormaliserStatistics::default();
        let mut changes = ChangeSet::default();
        assert!(changes.is_empty());
        changes.insert(Change::Urgent);
        changes.insert(Change::Overlap);
        assert_eq!(format!("{changes:?}"), "{Overlap, Urgent}");
        statistics.count_changes(changes);
        statistics.count_drop(DropReason::EarlyFin);
        assert_eq!((statistics.changed(Change::Urgent), statistics.changed(Change::Fin)), (1, 0));
        assert_eq!((statistics.dropped(DropReason::EarlyFin), statistics.all_dropped()), (1, 1));
    }
}
