//! From a captured packet to its network layer.

use crate::anomaly::AnomalySet;
use crate::ethernet;
use crate::ip::IpPacket;
use crate::limits::VLAN_IDENTIFIERS;
use crate::link::LinkType;

/// Reads a captured packet down to its network layer.
///
/// Never fails and never panics, whatever the octets are, and allocates nothing: what cannot be read is named in
/// [`Decoded::anomalies`].
#[inline]
pub fn decode(link: LinkType, data: &[u8]) -> Decoded<'_> {
    ethernet::decode(link, data)
}

/// A captured packet, read down to its network layer.
#[derive(Clone, Copy, Debug)]
pub struct Decoded<'a> {
    /// The VLANs that the packet is tagged with.
    pub vlans: VlanIds,
    /// What the link layer carries.
    pub network: Network<'a>,
    /// What is odd about link and network layer.
    pub anomalies: AnomalySet,
}

/// What the link layer carries.
// A packet lives on the stack for as long as it is handled: boxing the large variant would cost an allocation for each.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Copy, Debug)]
pub enum Network<'a> {
    /// Address resolution of IPv4, not read further.
    Arp,
    /// A packet of IPv4 or IPv6.
    Ip(IpPacket<'a>),
    /// Nothing to read: a frame without a type (spanning tree and the like), or one that is broken as its anomalies say.
    None,
    /// A protocol that we do not know, by its EtherType; on a loopback by its address family.
    Other(u16),
}

/// The identifiers of the outer two VLAN tags; inner ones are walked but not kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct VlanIds {
    identifiers: [u16; VLAN_IDENTIFIERS],
    count: u8,
}

impl VlanIds {
    /// The identifiers from the outer to the inner, each below 4,096.
    pub fn as_slice(&self) -> &[u16] {
        self.identifiers.get(..usize::from(self.count)).unwrap_or_default()
    }

    /// The outer VLAN, or 0 for an untagged packet (0 is also what a tag for priority only says).
    pub const fn outer(&self) -> u16 {
        self.identifiers[0]
    }

    /// Whether there is no tag.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn push(&mut self, identifier: u16) {
        if let Some(slot) = self.identifiers.get_mut(usize::from(self.count)) {
            *slot = identifier;
            self.count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outer_two_vlans_are_kept() {
        let mut vlans = VlanIds::default();
        assert!(vlans.is_empty());
        assert_eq!((vlans.outer(), vlans.as_slice()), (0, &[][..]));
        for identifier in [5, 7, 9] {
            vlans.push(identifier);
        }
        assert_eq!((vlans.outer(), vlans.as_slice()), (5, &[5, 7][..]));
    }
}
