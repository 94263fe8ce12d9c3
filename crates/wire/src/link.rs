//! What a captured packet begins with.

use std::fmt;

/// What a captured packet begins with: the link layer of the interface it was captured on.
///
/// The numbers are the LINKTYPE_ values of <https://www.tcpdump.org/linktypes.html>, which capture files carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkType {
    /// Ethernet, 14 octets of header (LINKTYPE_ETHERNET, 1).
    Ethernet,
    /// A loopback of OpenBSD: the address family as four octets in network order (LINKTYPE_LOOP, 108).
    Loop,
    /// Linux "cooked" capture of the pseudo-interface `any`, 16 octets (LINKTYPE_LINUX_SLL, 113).
    LinuxSll,
    /// Linux "cooked" capture, second version, 20 octets (LINKTYPE_LINUX_SLL2, 276).
    LinuxSll2,
    /// A loopback of BSD: the address family as four octets in the order of the capturing host (LINKTYPE_NULL, 0).
    Null,
    /// An IP header at once (LINKTYPE_RAW, 101; also 12, 14, LINKTYPE_IPV4 228 and LINKTYPE_IPV6 229).
    RawIp,
}

impl LinkType {
    /// Every link type that can be decoded, by name.
    pub const ALL: [Self; 6] = [Self::Ethernet, Self::Loop, Self::LinuxSll, Self::LinuxSll2, Self::Null, Self::RawIp];

    /// The link type of a LINKTYPE_ number, or of the DLT_ number that libpcap gives on this system; `None` when we cannot
    /// decode it.
    pub const fn from_dlt(number: u16) -> Option<Self> {
        match number {
            0 => Some(Self::Null),
            1 => Some(Self::Ethernet),
            12 | 14 | 101 | 228 | 229 => Some(Self::RawIp),
            108 => Some(Self::Loop),
            113 => Some(Self::LinuxSll),
            276 => Some(Self::LinuxSll2),
            _ => None,
        }
    }

    /// The LINKTYPE_ number to write into a capture file; the inverse of [`LinkType::from_dlt`].
    pub const fn dlt(self) -> u16 {
        match self {
            Self::Ethernet => 1,
            Self::Loop => 108,
            Self::LinuxSll => 113,
            Self::LinuxSll2 => 276,
            Self::Null => 0,
            Self::RawIp => 101,
        }
    }

    /// The name in records and messages, in snake_case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ethernet => "ethernet",
            Self::Loop => "loop",
            Self::LinuxSll => "linux_sll",
            Self::LinuxSll2 => "linux_sll2",
            Self::Null => "null",
            Self::RawIp => "raw_ip",
        }
    }
}

impl fmt::Display for LinkType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip() {
        for link in LinkType::ALL {
            assert_eq!(LinkType::from_dlt(link.dlt()), Some(link));
        }
    }

    #[test]
    fn all_numbers_of_raw_ip_are_known() {
        for number in [12, 14, 101, 228, 229] {
            assert_eq!(LinkType::from_dlt(number), Some(LinkType::RawIp));
        }
    }

    #[test]
    fn numbers_we_cannot_decode_are_refused() {
        for number in [2, 105, 127, 147, u16::MAX] {
            assert_eq!(LinkType::from_dlt(number), None);
        }
    }
}
