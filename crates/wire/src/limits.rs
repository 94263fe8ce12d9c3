//! The bounds of this layer: each walk over nested headers and each buffer has one.

use std::time::Duration;

/// The most VLAN tags that are walked; a packet with more has no network layer for us.
pub const VLAN_TAGS: usize = 8;

/// The most VLAN identifiers that are kept: the outer two, as QinQ has.
pub const VLAN_IDENTIFIERS: usize = 2;

/// The most IPv6 extension headers that are walked; a packet with more is malformed to us (attack T35).
pub const EXTENSION_HEADERS: usize = 8;

/// The most octets of TCP options, as the four bits of the data offset allow.
pub const TCP_OPTIONS: usize = 40;

/// The most blocks of one selective acknowledgement, as fit into 40 octets of options.
pub const SACK_BLOCKS: usize = 4;

/// The most octets an IP datagram may have when its fragments are put together (RFC 791; RFC 8200, section 4.5).
pub const DATAGRAM: usize = 65_535;

/// A packet of IPv4 whose length field is zero must be longer than this, an Ethernet MTU, to be read.
///
/// Only then can it have been captured before segmentation offload; a shorter one is a lie that every receiver drops.
pub const OFFLOAD_FLOOR: usize = 1_500;

/// What a [`Defragmenter`](crate::Defragmenter) may hold, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FragmentLimits {
    /// The most datagrams in parts at a time; the oldest is given up for a new one. Default 4,096.
    pub datagrams: usize,
    /// The most octets held for all datagrams together, with their bookkeeping; the oldest are given up. Default 16 MiB.
    pub bytes: usize,
    /// The most fragments of one datagram; with one more the datagram is given up. Default 1,024, which allows for a link
    /// with an MTU of 84 octets.
    pub fragments: usize,
    /// How long after its first fragment an IPv4 datagram is given up. Default 30 s, as Linux has it.
    pub timeout_ipv4: Duration,
    /// How long after its first fragment an IPv6 datagram is given up. Default 60 s (RFC 8200, section 4.5).
    pub timeout_ipv6: Duration,
}

impl Default for FragmentLimits {
    fn default() -> Self {
        Self {
            datagrams: 4_096,
            bytes: 16 << 20,
            fragments: 1_024,
            timeout_ipv4: Duration::from_secs(30),
            timeout_ipv6: Duration::from_secs(60),
        }
    }
}
