//! What can be wrong with a packet, by name.

use std::fmt;

macro_rules! anomalies {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Something a packet does that a well-behaved sender would not, or that keeps us from reading it.
        ///
        /// Views never judge; they name what they saw and go on where they can. What to do about it is for a policy.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum WireAnomaly {
            $($(#[$doc])* $variant,)*
        }

        impl WireAnomaly {
            /// Every anomaly, in the order of their names' declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in records and policies, in snake_case.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

anomalies! {
    /// The capture kept only the beginning of the packet (snaplen), so that a header is not whole. Nobody's fault on the wire.
    CaptureCut = "capture_cut",
    /// A fragment that repeats octets already held, but with other values. The first are kept, as Linux does.
    FragmentDuplicateDiffers = "fragment_duplicate_differs",
    /// A datagram in fragments was not complete when the input ended.
    FragmentIncomplete = "fragment_incomplete",
    /// A fragment that carries nothing, or whose length is no multiple of 8 though more follow (RFC 791, section 3.2).
    FragmentLength = "fragment_length",
    /// A datagram in fragments was given up because a bound of the defragmenter was met.
    FragmentLimit = "fragment_limit",
    /// A fragment covers a part of another: the whole datagram is discarded (RFC 5722).
    FragmentOverlap = "fragment_overlap",
    /// The first fragment is too small for the transport header (RFC 1858; for IPv6 forbidden by RFC 7112).
    FragmentTiny = "fragment_tiny",
    /// The missing fragments of a datagram did not come in time.
    FragmentTimeout = "fragment_timeout",
    /// The fragments would make a datagram of more than 65,535 octets (the "ping of death").
    FragmentTooBig = "fragment_too_big",
    /// Two fragments disagree about where the datagram ends.
    FragmentTwoEnds = "fragment_two_ends",
    /// An ICMP message shorter than its header.
    IcmpTruncated = "icmp_truncated",
    /// A fragment that also says "do not fragment" (RFC 791).
    IpDontFragmentFragment = "ip_dont_fragment_fragment",
    /// The IP header's length field is below 20 octets or reaches past the packet.
    IpHeaderLength = "ip_header_length",
    /// Less data than an IP header needs.
    IpHeaderTruncated = "ip_header_truncated",
    /// The total length is zero: a packet captured before segmentation offload gave it one. It is taken to reach to the end
    /// if it is longer than [`limits::OFFLOAD_FLOOR`](crate::limits::OFFLOAD_FLOOR).
    IpLengthZero = "ip_length_zero",
    /// An IPv4 option without or with an impossible length (RFC 791, section 3.1).
    IpOptionsMalformed = "ip_options_malformed",
    /// The reserved flag of the IPv4 header is set (RFC 791; RFC 3514's "evil bit").
    IpReservedFlag = "ip_reserved_flag",
    /// Source and destination address are the same and not of a loopback (the "land" attack).
    IpSameAddresses = "ip_same_addresses",
    /// A loose or strict source route option (IPv4), or a routing header of type 0 (IPv6, forbidden by RFC 5095).
    IpSourceRoute = "ip_source_route",
    /// The total length is less than the header's own.
    IpTotalLength = "ip_total_length",
    /// The packet is longer than what is there: cut by the capture, or its length is a lie.
    IpTruncated = "ip_truncated",
    /// The version in the IP header is not what the link layer announced, or neither 4 nor 6.
    IpVersion = "ip_version",
    /// An IPv6 fragment header in a packet that is not fragmented (RFC 6946). Harmless, but seldom honest.
    Ipv6AtomicFragment = "ipv6_atomic_fragment",
    /// More IPv6 extension headers than [`limits::EXTENSION_HEADERS`](crate::limits::EXTENSION_HEADERS).
    Ipv6ExtensionChain = "ipv6_extension_chain",
    /// A hop-by-hop header that is not the first extension header (RFC 8200, section 4.1).
    Ipv6ExtensionOrder = "ipv6_extension_order",
    /// An IPv6 extension header that reaches past the packet.
    Ipv6ExtensionTruncated = "ipv6_extension_truncated",
    /// Less data than the link layer's header needs.
    LinkTruncated = "link_truncated",
    /// A PPPoE session frame with an impossible version, code or length (RFC 2516, section 4).
    PppoeMalformed = "pppoe_malformed",
    /// A TCP header length below 20 octets or past the end of the packet (RFC 9293, section 3.1).
    TcpDataOffset = "tcp_data_offset",
    /// Flags that no implementation sends: none at all, SYN with FIN or RST, FIN without ACK (scanners do).
    TcpFlagsIllegal = "tcp_flags_illegal",
    /// Less data than a TCP header needs.
    TcpHeaderTruncated = "tcp_header_truncated",
    /// A TCP option without or with an impossible length; options after it are not read, as in Linux.
    TcpOptionsMalformed = "tcp_options_malformed",
    /// A reserved bit of the TCP header is set (RFC 9293, section 3.1).
    TcpReserved = "tcp_reserved",
    /// An urgent pointer without the URG flag.
    TcpUrgentPointer = "tcp_urgent_pointer",
    /// The port number zero, which is reserved (RFC 6335, section 6).
    TransportPortZero = "transport_port_zero",
    /// A UDP length below 8 or longer than the packet (RFC 768).
    UdpLength = "udp_length",
    /// Less data than a UDP header needs.
    UdpTruncated = "udp_truncated",
    /// More VLAN tags than [`limits::VLAN_TAGS`](crate::limits::VLAN_TAGS).
    VlanNesting = "vlan_nesting",
}

impl fmt::Display for WireAnomaly {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A set of anomalies, eight octets wide, so that each packet can carry one at no cost.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct AnomalySet(u64);

// A 65th anomaly would need a wider set.
const _: () = assert!(WireAnomaly::ALL.len() <= u64::BITS as usize);

impl AnomalySet {
    /// The set of nothing.
    pub const EMPTY: Self = Self(0);

    /// Adds one anomaly.
    pub const fn insert(&mut self, anomaly: WireAnomaly) {
        self.0 |= 1 << anomaly as u8;
    }

    /// Adds all of another set.
    pub const fn extend(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether an anomaly is in the set.
    pub const fn contains(self, anomaly: WireAnomaly) -> bool {
        self.0 & (1 << anomaly as u8) != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many there are.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// The anomalies, in the order of their declaration.
    pub fn iter(self) -> impl Iterator<Item = WireAnomaly> {
        WireAnomaly::ALL.iter().copied().filter(move |anomaly| self.contains(*anomaly))
    }
}

impl From<WireAnomaly> for AnomalySet {
    fn from(anomaly: WireAnomaly) -> Self {
        let mut set = Self::EMPTY;
        set.insert(anomaly);
        set
    }
}

impl fmt::Debug for AnomalySet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_distinct_and_in_snake_case() {
        let names: HashSet<_> = WireAnomaly::ALL.iter().map(|anomaly| anomaly.name()).collect();
        assert_eq!(names.len(), WireAnomaly::ALL.len());
        for name in names {
            assert!(name.bytes().all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'_'));
        }
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let mut set = AnomalySet::EMPTY;
        assert!(set.is_empty());
        for anomaly in WireAnomaly::ALL {
            assert!(!set.contains(*anomaly));
            set.insert(*anomaly);
            assert!(set.contains(*anomaly));
        }
        assert_eq!(set.len(), WireAnomaly::ALL.len());
        assert_eq!(set.iter().collect::<Vec<_>>(), WireAnomaly::ALL);
    }

    #[test]
    fn sets_are_printed_by_name() {
        assert_eq!(format!("{:?}", AnomalySet::from(WireAnomaly::UdpLength)), "{UdpLength}");
    }
}
