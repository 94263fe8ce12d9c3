//! The Internet checksum (RFC 1071) of headers and transports, and its update in place (RFC 1624).

use std::net::IpAddr;

use crate::bytes::u16_at;
use crate::ip::{IpPacket, protocol};
use crate::{icmp, ipv6, tcp, udp};

/// The checksum over `data`, which is to hold zero where the checksum goes.
pub fn internet_checksum(data: &[u8]) -> u16 {
    !Sum::default().add(data).fold()
}

/// The checksum over the pseudo-header and `data`, which is to hold zero where the checksum goes.
///
/// For UDP a result of zero is given as 0xffff, as zero says "no checksum" there (RFC 768). Addresses of different families
/// have no common pseudo-header; each is then summed as it is.
pub fn transport_checksum(source: IpAddr, destination: IpAddr, protocol: u8, data: &[u8]) -> u16 {
    let sum = pseudo_header(source, destination, protocol, data.len()).add(data);
    match (protocol, !sum.fold()) {
        (protocol::UDP, 0) => 0xffff,
        (_, checksum) => checksum,
    }
}

/// The checksum after one 16-bit word that it covers was changed (RFC 1624, equation 3).
///
/// For UDP the caller leaves a checksum of zero as it is, and writes 0xffff for a result of zero.
pub const fn update_checksum(checksum: u16, old: u16, new: u16) -> u16 {
    let mut sum = !checksum as u32 + !old as u32 + new as u32;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    !(sum as u16)
}

/// The checksum after a 32-bit word at an even offset was changed, as a sequence number or an address.
pub const fn update_checksum_32(checksum: u16, old: u32, new: u32) -> u16 {
    let checksum = update_checksum(checksum, (old >> 16) as u16, (new >> 16) as u16);
    update_checksum(checksum, old as u16, new as u16)
}

/// The checksum after octets that begin at an even offset were replaced by others.
///
/// The new octets may be more or fewer if nothing follows them; the length in the pseudo-header is then to be updated too.
pub fn update_checksum_bytes(checksum: u16, old: &[u8], new: &[u8]) -> u16 {
    update_checksum(checksum, Sum::default().add(old).fold(), Sum::default().add(new).fold())
}

/// What a check of a checksum finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChecksumState {
    /// There is none to check: IPv6 headers, and UDP over IPv4 with the field zero.
    Absent,
    /// Not computed yet: the packet was captured on the sending host, whose network card was to do it. The field holds only the
    /// sum of the pseudo-header, as Linux leaves it. One in about 32,768 wrong checksums looks like this too, and an attacker can
    /// send it on purpose: on a capture taken between hosts it is as good as wrong.
    Partial,
    /// It cannot be checked: the packet is a fragment, cut by the capture, malformed, or of an unknown protocol.
    Unknown,
    /// It is right.
    Valid,
    /// It is wrong: a receiver drops the packet.
    Wrong,
}

impl ChecksumState {
    /// Whether a receiver accepts the packet for all we know.
    pub const fn is_acceptable(self) -> bool {
        !matches!(self, Self::Wrong)
    }
}

impl IpPacket<'_> {
    /// Checks the checksum of the IPv4 header.
    pub fn verify_header(&self) -> ChecksumState {
        if self.source.is_ipv6() {
            return ChecksumState::Absent;
        }
        state_of(Sum::default().add(self.header))
    }

    /// Checks the checksum of the TCP segment, UDP datagram or ICMP message in the payload.
    pub fn verify_transport(&self) -> ChecksumState {
        if self.fragment.is_some() || self.missing > 0 || self.broken.is_some() {
            return ChecksumState::Unknown;
        }
        match self.protocol {
            protocol::TCP => self.verify_over_pseudo_header(self.payload, tcp::HEADER, 16),
            protocol::UDP => self.verify_udp(),
            protocol::ICMP if self.source.is_ipv4() && self.payload.len() >= icmp::HEADER => {
                state_of(Sum::default().add(self.payload))
            }
            protocol::ICMPV6 if self.source.is_ipv6() => self.verify_over_pseudo_header(self.payload, icmp::HEADER, 2),
            _ => ChecksumState::Unknown,
        }
    }

    fn verify_udp(&self) -> ChecksumState {
        let length = match u16_at(self.payload, 4) {
            Some(0) if self.payload.len() > usize::from(u16::MAX) => self.payload.len(),
            Some(length) => usize::from(length),
            None => return ChecksumState::Unknown,
        };
        let Some(datagram) = self.payload.get(..length) else {
            return ChecksumState::Unknown;
        };
        if self.source.is_ipv4() && u16_at(datagram, 6) == Some(0) {
            return ChecksumState::Absent;
        }
        self.verify_over_pseudo_header(datagram, udp::HEADER, 6)
    }

    fn verify_over_pseudo_header(&self, data: &[u8], least: usize, field: usize) -> ChecksumState {
        let Some(written) = u16_at(data, field).filter(|_| data.len() >= least) else {
            return ChecksumState::Unknown;
        };
        let Some(destination) = self.final_destination() else {
            return ChecksumState::Unknown;
        };
        let pseudo_header = pseudo_header(self.source, destination, self.protocol, data.len());
        let state = state_of(pseudo_header.add(data));
        if state == ChecksumState::Valid {
            return state;
        }
        // Some drivers leave the length out, as the card adds that of each packet it makes of this one.
        let without_length = self::pseudo_header(self.source, destination, self.protocol, 0);
        if written == pseudo_header.fold() || written == without_length.fold() {
            return ChecksumState::Partial;
        }
        state
    }

    fn final_destination(&self) -> Option<IpAddr> {
        match self.destination {
            IpAddr::V6(_) if self.has_options => ipv6::final_destination(self.header).map(IpAddr::V6),
            destination => Some(destination),
        }
    }
}

fn state_of(sum: Sum) -> ChecksumState {
    if sum.fold() == 0xffff { ChecksumState::Valid } else { ChecksumState::Wrong }
}

fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> Sum {
    // Both layouts, RFC 9293 section 3.1 and RFC 8200 section 8.1, give the same sum.
    Sum::default()
        .add_address(source)
        .add_address(destination)
        .add(&[0, protocol])
        .add(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes())
}

/// A sum of 16-bit words in one's complement that is not folded yet.
///
/// Such a sum does not depend on the order of octets in the machine (RFC 1071, section 2), so words are added as they lie in
/// memory, two at a time. 64 bits cannot overflow below 2^32 additions, more than any packet has.
#[derive(Clone, Copy, Default)]
struct Sum(u64);

impl Sum {
    /// Adds octets; all but the last addition must be of an even number of them.
    fn add(self, data: &[u8]) -> Self {
        let (words, rest) = data.as_chunks::<4>();
        let sum: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
        let mut last = [0; 4];
        for (octet, value) in last.iter_mut().zip(rest) {
            *octet = *value;
        }
        Self(self.0.wrapping_add(sum).wrapping_add(u64::from(u32::from_ne_bytes(last))))
    }

    fn add_address(self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => self.add(&address.octets()),
            IpAddr::V6(address) => self.add(&address.octets()),
        }
    }

    fn fold(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        u16::from_be(sum as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Network, decode};
    use crate::link::LinkType;
    use pnet_packet::util;
    use proptest::prelude::*;

    /// Hand-made: UDP 192.0.2.1:4660 to 192.0.2.2:53, payload "abc".
    fn datagram(checksum: u16) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 31, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
        let header_checksum = internet_checksum(&packet);
        packet[10..12].copy_from_slice(&header_checksum.to_be_bytes());
        packet.extend([0x12, 0x34, 0, 53, 0, 11]);
        packet.extend(checksum.to_be_bytes());
        packet.extend(b"abc");
        packet
    }

    fn verified(packet: &[u8]) -> (ChecksumState, ChecksumState) {
        match decode(LinkType::RawIp, packet).network {
            Network::Ip(packet) => (packet.verify_header(), packet.verify_transport()),
            other => panic!("no IP: {other:?}"),
        }
    }

    #[test]
    fn the_example_of_rfc_1071() {
        let data = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(internet_checksum(&data), !0xddf2);
        assert_eq!(internet_checksum(&[]), 0xffff);
    }

    #[test]
    fn the_examples_of_rfc_1624() {
        assert_eq!(update_checksum(0xdd2f, 0x5555, 0x3285), 0x0000);
        assert_eq!(update_checksum_32(0xdd2f, 0x0000_5555, 0x0000_3285), 0x0000);
    }

    #[test]
    fn states_of_a_datagram() {
        let right = transport_checksum(
            "192.0.2.1".parse().unwrap(),
            "192.0.2.2".parse().unwrap(),
            protocol::UDP,
            &datagram(0)[20..],
        );
        assert_eq!(verified(&datagram(right)), (ChecksumState::Valid, ChecksumState::Valid));
        assert_eq!(verified(&datagram(right ^ 1)).1, ChecksumState::Wrong);
        assert_eq!(verified(&datagram(0)).1, ChecksumState::Absent);
        // 192.0 + 2.1 + 192.0 + 2.2 + 17 + 11
        let pseudo = 0xc000_u32 + 0x0201 + 0xc000 + 0x0202 + 17 + 11;
        let pseudo = ((pseudo & 0xffff) + (pseudo >> 16)) as u16;
        assert_eq!(verified(&datagram(pseudo)).1, ChecksumState::Partial);
        assert_eq!(verified(&datagram(pseudo - 11)).1, ChecksumState::Partial);
        let mut other_header = datagram(right);
        other_header[8] = 63;
        assert_eq!(verified(&other_header), (ChecksumState::Wrong, ChecksumState::Valid));
        let mut fragment = datagram(right);
        fragment[6] = 0x20;
        assert_eq!(verified(&fragment).1, ChecksumState::Unknown);
        assert_eq!(verified(&datagram(right)[..30]).1, ChecksumState::Unknown);
        assert!(!ChecksumState::Wrong.is_acceptable() && ChecksumState::Unknown.is_acceptable());
    }

    #[test]
    fn a_udp_checksum_of_zero_is_written_as_ones() {
        let (source, destination) = ("0.0.0.0".parse().unwrap(), "0.0.0.0".parse().unwrap());
        // Pseudo-header 17 + 2, so that the word 0xffff - 19 makes the sum all ones.
        let data = (0xffff_u16 - 19).to_be_bytes();
        assert_eq!(transport_checksum(source, destination, protocol::UDP, &data), 0xffff);
        assert_eq!(transport_checksum(source, destination, 19 - 2, &data), 0xffff);
        assert_eq!(transport_checksum(source, destination, protocol::TCP, &(0xffff_u16 - 8).to_be_bytes()), 0);
    }

    proptest! {
        #[test]
        fn sums_agree_with_another_implementation(data in prop::collection::vec(any::<u8>(), 1..200)) {
            prop_assert_eq!(internet_checksum(&data), util::checksum(&data, usize::MAX));
        }

        #[test]
        fn transports_agree_with_another_implementation(
            a: [u8; 16], b: [u8; 16], data in prop::collection::vec(any::<u8>(), 20..200),
        ) {
            let (a, b) = (std::net::Ipv6Addr::from(a), std::net::Ipv6Addr::from(b));
            let next = pnet_packet::ip::IpNextHeaderProtocols::Tcp;
            let theirs = util::ipv6_checksum(&data, usize::MAX, &[], &a, &b, next);
            prop_assert_eq!(transport_checksum(a.into(), b.into(), protocol::TCP, &data), theirs);
            let (a, b) = ([a.octets()[0]; 4].into(), [b.octets()[0]; 4].into());
            let theirs = util::ipv4_checksum(&data, usize::MAX, &[], &a, &b, next);
            prop_assert_eq!(transport_checksum(a.into(), b.into(), protocol::TCP, &data), theirs);
        }

        #[test]
        fn an_update_equals_a_new_sum(
            mut data in prop::collection::vec(any::<u8>(), 12..200),
            at in 0_usize..4,
            word: u16, double: u32, tail in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            // One's complement has two zeros; a sum that is not empty never folds to the positive one.
            data[11] |= 1;
            let before = internet_checksum(&data);
            let old = u16::from_be_bytes([data[2 * at], data[2 * at + 1]]);
            data[2 * at..2 * at + 2].copy_from_slice(&word.to_be_bytes());
            let mut updated = update_checksum(before, old, word);
            prop_assert_eq!(updated, internet_checksum(&data));
            let old = u32::from_be_bytes([data[4], data[5], data[6], data[7]]);
            data[4..8].copy_from_slice(&double.to_be_bytes());
            updated = update_checksum_32(updated, old, double);
            prop_assert_eq!(updated, internet_checksum(&data));
            let old = data.split_off(12);
            data.extend(&tail);
            prop_assert_eq!(update_checksum_bytes(updated, &old, &tail), internet_checksum(&data));
        }
    }
}
