//! What an engine counts.

use crate::bounds::Bound;

/// Counters of an engine; they only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Packets taken.
    pub packets: u64,
    /// Their octets, as captured.
    pub octets: u64,
    /// Octets of them that the capture cut off.
    pub cut_octets: u64,
    /// IPv4 packets.
    pub ipv4: u64,
    /// IPv6 packets.
    pub ipv6: u64,
    /// TCP segments.
    pub tcp: u64,
    /// UDP datagrams.
    pub udp: u64,
    /// ICMP messages.
    pub icmp: u64,
    /// ICMPv6 messages.
    pub icmp_v6: u64,
    /// Packets in a VLAN.
    pub vlan: u64,
    /// Fragments.
    pub fragments: u64,
    /// Datagrams put together from fragments.
    pub reassembled: u64,
    /// Datagrams in parts that were given up.
    pub abandoned: u64,
    /// Packets of other protocols, or of none.
    pub other: u64,
    /// Packets that a receiver drops because they are malformed.
    pub malformed: u64,
    /// Packets that a receiver drops because of their checksum.
    pub wrong_checksum: u64,
    /// Packets without a right checksum that were taken all the same: nothing their sender sent before had a right one, so
    /// that the capture, not the packet, is at fault.
    pub unverified_checksum: u64,
    /// TCP packets that belong to no flow and begin none.
    pub strays: u64,
    /// Flows that began.
    pub flows: u64,
    /// Flows of a protocol that a grammar describes.
    pub inspected_flows: u64,
    /// Flows joined in the middle.
    pub midstream_flows: u64,
    /// Octets of streams given to conversations.
    pub inspected_octets: u64,
    /// Octets missing in streams.
    pub gap_octets: u64,
    /// Gaps.
    pub gaps: u64,
    /// Events of protocols that somebody read.
    pub events: u64,
    /// Alerts.
    pub alerts: u64,
    /// Flows that a rule dropped, or a bound that was met.
    pub dropped_flows: u64,
    /// Of these: flows of which an address was blocked when they began.
    pub blocked_flows: u64,
    /// Edits of records and streams that rules have decided on.
    pub edits: u64,
    /// Edits that were refused because what was to come in does not fit what it would have come into.
    pub refused_edits: u64,
    /// Edits of connections that cannot be edited, because they were there before the gate or its rules.
    pub impossible_edits: u64,
    /// How often each bound was met, in the order of [`Bound::ALL`]. Timeouts that only end silent flows are not counted.
    pub met: [u64; Bound::COUNT],
}

impl Statistics {
    /// How often a bound was met.
    pub fn met(&self, bound: Bound) -> u64 {
        self.met.get(bound as usize).copied().unwrap_or(0)
    }

    pub(crate) fn count(&mut self, bound: Bound) {
        if let Some(counter) = self.met.get_mut(bound as usize) {
            *counter = counter.saturating_add(1);
        }
    }
}
