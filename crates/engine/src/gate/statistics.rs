//! What a gate counts: every packet once.

use std::ops::AddAssign;

/// Counters of a gate; they only grow. `seen` is the sum of those that say what became of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GateStatistics {
    /// Packets that were taken.
    pub seen: u64,
    /// Packets that passed after they were inspected, those that were rewritten included.
    pub accepted: u64,
    /// Packets that did not pass: a rule said so, their receiver would not take them as the gate does, or their octets
    /// are held or leave in packets of the gate's own.
    pub dropped: u64,
    /// Packets of conversations that a rule has refused or reset: the gate answers them itself.
    pub refused: u64,
    /// Packets of flows that a rule has freed from inspection.
    pub bypassed: u64,
    /// Packets that could not be inspected, whatever became of them.
    pub uninspected: u64,

    /// Of the accepted: those that were changed.
    pub rewritten: u64,
    /// Of the dropped: because of a rule.
    pub dropped_by_rules: u64,
    /// Of the dropped: by the normaliser; its own statistics tell why.
    pub normalised_away: u64,
    /// Of the dropped: because their octets wait for an answer.
    pub held: u64,
    /// Of the dropped: because their octets left in packets of the gate's own, with edits.
    pub reissued: u64,
    /// Of the uninspected: those that passed all the same.
    pub passed_uninspected: u64,
    /// Of the uninspected: those that the kernel could not hand over, and that passed or were lost.
    pub missed: u64,
    /// Packets of the gate's own.
    pub sent: u64,
    /// Holds that took longer than they may.
    pub hold_timeouts: u64,
    /// Holds that met their bound of octets.
    pub hold_overruns: u64,
    /// Edits that rules have decided on and that were begun; one of a whole stream counts once.
    pub edits: u64,
    /// Edits that were refused because what was to come in does not fit what it would have come into.
    pub refused_edits: u64,
    /// Edits that could not be made: of connections that cannot be edited, or beyond a bound of what edits hold.
    pub failed_edits: u64,
    /// Conversations refused with a reply.
    pub refusals: u64,
    /// Conversations reset.
    pub resets: u64,
    /// Flows freed from inspection.
    pub bypasses: u64,
}

impl AddAssign for GateStatistics {
    /// Adds what another gate has counted.
    fn add_assign(&mut self, other: GateStatistics) {
        let GateStatistics {
            seen,
            accepted,
            dropped,
            refused,
            bypassed,
            uninspected,
            rewritten,
            dropped_by_rules,
            normalised_away,
            held,
            reissued,
            passed_uninspected,
            missed,
            sent,
            hold_timeouts,
            hold_overruns,
            edits,
            refused_edits,
            failed_edits,
            refusals,
            resets,
            bypasses,
        } = other;
        let pairs = [
            (&mut self.seen, seen),
            (&mut self.accepted, accepted),
            (&mut self.dropped, dropped),
            (&mut self.refused, refused),
            (&mut self.bypassed, bypassed),
            (&mut self.uninspected, uninspected),
            (&mut self.rewritten, rewritten),
            (&mut self.dropped_by_rules, dropped_by_rules),
            (&mut self.normalised_away, normalised_away),
            (&mut self.held, held),
            (&mut self.reissued, reissued),
            (&mut self.passed_uninspected, passed_uninspected),
            (&mut self.missed, missed),
            (&mut self.sent, sent),
            (&mut self.hold_timeouts, hold_timeouts),
            (&mut self.hold_overruns, hold_overruns),
            (&mut self.edits, edits),
            (&mut self.refused_edits, refused_edits),
            (&mut self.failed_edits, failed_edits),
            (&mut self.refusals, refusals),
            (&mut self.resets, resets),
            (&mut self.bypasses, bypasses),
        ];
        for (mine, others) in pairs {
            *mine = mine.saturating_add(others);
        }
    }
}

impl GateStatistics {
    /// Whether every packet is accounted for.
    pub fn reconcile(&self) -> bool {
        let sum = self.accepted + self.dropped + self.refused + self.bypassed + self.uninspected;
        self.seen == sum
    }
}
