//! What a queue counts.

/// What was counted since a queue was opened.
///
/// `received` is the sum of `accepted`, `replaced`, `dropped` and the packets that wait for a verdict. What the firewall rule sent to
/// the queue is `received` and `uninspected` together, but for packets beyond the length of the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStatistics {
    /// Packets received.
    pub received: u64,
    /// Octets received, from the IP header on.
    pub octets: u64,
    /// Packets accepted as they were.
    pub accepted: u64,
    /// Packets accepted with other octets.
    pub replaced: u64,
    /// Packets dropped.
    pub dropped: u64,
    /// Packets received that are longer than what was copied of them.
    pub cut: u64,
    /// Packets received that stand for several segments of the wire.
    pub offloaded: u64,
    /// Packets that the kernel could not hand over, seen as gaps in the numbers of packets: they **passed uninspected** if the queue
    /// fails open, and were dropped otherwise.
    pub uninspected: u64,
    /// How often packets were missing: how many gaps there were, however many packets each had.
    pub overruns: u64,
    /// Verdicts that the kernel refused: there was no such packet any more.
    pub refused_verdicts: u64,
    /// Messages from the kernel that could not be read.
    pub damaged_messages: u64,
    /// System calls that received something.
    pub receive_calls: u64,
    /// System calls that sent verdicts.
    pub send_calls: u64,
}

impl QueueStatistics {
    /// The sum with those of another queue.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            received: self.received.saturating_add(other.received),
            octets: self.octets.saturating_add(other.octets),
            accepted: self.accepted.saturating_add(other.accepted),
            replaced: self.replaced.saturating_add(other.replaced),
            dropped: self.dropped.saturating_add(other.dropped),
            cut: self.cut.saturating_add(other.cut),
            offloaded: self.offloaded.saturating_add(other.offloaded),
            uninspected: self.uninspected.saturating_add(other.uninspected),
            overruns: self.overruns.saturating_add(other.overruns),
            refused_verdicts: self.refused_verdicts.saturating_add(other.refused_verdicts),
            damaged_messages: self.damaged_messages.saturating_add(other.damaged_messages),
            receive_calls: self.receive_calls.saturating_add(other.receive_calls),
            send_calls: self.send_calls.saturating_add(other.send_calls),
        }
    }
}
