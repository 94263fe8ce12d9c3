//! Headers below IP: Ethernet, VLAN tags, PPPoE, Linux cooked capture and loopbacks.

use crate::anomaly::{AnomalySet, WireAnomaly};
use crate::bytes::{clamped, u16_at};
use crate::decode::{Decoded, Network, VlanIds};
use crate::limits::VLAN_TAGS;
use crate::link::LinkType;
use crate::{ip, ipv4, ipv6};

const ETHERNET_HEADER: usize = 14;
const LINUX_SLL_HEADER: usize = 16;
const LINUX_SLL2_HEADER: usize = 20;
const LOOPBACK_HEADER: usize = 4;
const VLAN_TAG: usize = 4;
const PPPOE_HEADER: usize = 6;

const TYPE_IPV4: u16 = 0x0800;
const TYPE_ARP: u16 = 0x0806;
const TYPE_VLAN: u16 = 0x8100;
const TYPE_IPV6: u16 = 0x86dd;
const TYPE_PPPOE_SESSION: u16 = 0x8864;
const TYPE_SERVICE_VLAN: u16 = 0x88a8;
const TYPE_OLD_SERVICE_VLAN: u16 = 0x9100;
/// Numbers below are lengths of IEEE 802.3 frames, not types.
const TYPE_MINIMUM: u16 = 0x0600;

const PPP_IPV4: u16 = 0x0021;
const PPP_IPV6: u16 = 0x0057;

const FAMILY_IPV4: u32 = 2;
/// AF_INET6 of Linux, NetBSD and OpenBSD, FreeBSD, and macOS: each system has its own.
const FAMILIES_IPV6: [u32; 4] = [10, 24, 28, 30];

/// Reads what the link layer carries.
#[inline]
pub(crate) fn decode(link: LinkType, data: &[u8]) -> Decoded<'_> {
    let mut frame = Frame { vlans: VlanIds::default(), anomalies: AnomalySet::EMPTY };
    let network = match link {
        LinkType::Ethernet => frame.typed(data, ETHERNET_HEADER, 12),
        LinkType::LinuxSll => frame.typed(data, LINUX_SLL_HEADER, 14),
        LinkType::LinuxSll2 => frame.typed(data, LINUX_SLL2_HEADER, 0),
        LinkType::Loop | LinkType::Null => frame.loopback(data),
        LinkType::RawIp => ip::decode(data, &mut frame.anomalies),
    };
    Decoded { vlans: frame.vlans, network, anomalies: frame.anomalies }
}

/// What is found on the way to the network layer. The large result is returned past it, so that it is written but once.
struct Frame {
    vlans: VlanIds,
    anomalies: AnomalySet,
}

impl Frame {
    /// A header of `length` octets with the type of what follows at `field`.
    #[inline]
    fn typed<'a>(&mut self, data: &'a [u8], length: usize, field: usize) -> Network<'a> {
        let (Some(ether_type), Some(payload)) = (u16_at(data, field), data.get(length..)) else {
            self.anomalies.insert(WireAnomaly::LinkTruncated);
            return Network::None;
        };
        self.walk(ether_type, payload)
    }

    fn loopback<'a>(&mut self, data: &'a [u8]) -> Network<'a> {
        let Some((family, payload)) = data.split_first_chunk::<LOOPBACK_HEADER>() else {
            self.anomalies.insert(WireAnomaly::LinkTruncated);
            return Network::None;
        };
        // A family is a small number, so the order of its octets shows.
        let family = u32::from_be_bytes(*family);
        let family = if family > 0xffff { family.swap_bytes() } else { family };
        match family {
            FAMILY_IPV4 => ipv4::decode(payload, &mut self.anomalies),
            family if FAMILIES_IPV6.contains(&family) => ipv6::decode(payload, &mut self.anomalies),
            family => Network::Other(u16::try_from(family).unwrap_or(u16::MAX)),
        }
    }

    /// Peels off VLAN tags, then reads what `ether_type` announces.
    #[inline]
    fn walk<'a>(&mut self, mut ether_type: u16, mut payload: &'a [u8]) -> Network<'a> {
        let mut tags = 0;
        while matches!(ether_type, TYPE_VLAN | TYPE_SERVICE_VLAN | TYPE_OLD_SERVICE_VLAN) {
            if tags == VLAN_TAGS {
                self.anomalies.insert(WireAnomaly::VlanNesting);
                return Network::None;
            }
            let Some((tag, rest)) = payload.split_first_chunk::<VLAN_TAG>() else {
                self.anomalies.insert(WireAnomaly::LinkTruncated);
                return Network::None;
            };
            self.vlans.push(u16::from_be_bytes([tag[0], tag[1]]) & 0x0fff);
            ether_type = u16::from_be_bytes([tag[2], tag[3]]);
            payload = rest;
            tags += 1;
        }
        match ether_type {
            TYPE_IPV4 => ipv4::decode(payload, &mut self.anomalies),
            TYPE_IPV6 => ipv6::decode(payload, &mut self.anomalies),
            TYPE_ARP => Network::Arp,
            TYPE_PPPOE_SESSION => self.pppoe(payload),
            length if length < TYPE_MINIMUM => self.ieee_802_3(length, payload),
            other => Network::Other(other),
        }
    }

    /// A frame of IEEE 802.3 with a length for a type: IP is found behind SNAP (RFC 1042).
    fn ieee_802_3<'a>(&mut self, length: u16, payload: &'a [u8]) -> Network<'a> {
        let payload = clamped(payload, 0, usize::from(length));
        let Some(([0xaa, 0xaa, 0x03, 0, 0, 0, high, low], payload)) = payload.split_first_chunk() else {
            return Network::None;
        };
        match u16::from_be_bytes([*high, *low]) {
            TYPE_IPV4 => ipv4::decode(payload, &mut self.anomalies),
            TYPE_IPV6 => ipv6::decode(payload, &mut self.anomalies),
            TYPE_ARP => Network::Arp,
            other => Network::Other(other),
        }
    }

    fn pppoe<'a>(&mut self, payload: &'a [u8]) -> Network<'a> {
        let Some((header, payload)) = payload.split_first_chunk::<PPPOE_HEADER>() else {
            self.anomalies.insert(WireAnomaly::LinkTruncated);
            return Network::None;
        };
        // Version 1, type 1, code 0: session data.
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        if header[0] != 0x11 || header[1] != 0 || length < 2 {
            self.anomalies.insert(WireAnomaly::PppoeMalformed);
            return Network::None;
        }
        let Some((ppp, payload)) = clamped(payload, 0, length).split_first_chunk::<2>() else {
            self.anomalies.insert(WireAnomaly::LinkTruncated);
            return Network::None;
        };
        match u16::from_be_bytes(*ppp) {
            PPP_IPV4 => ipv4::decode(payload, &mut self.anomalies),
            PPP_IPV6 => ipv6::decode(payload, &mut self.anomalies),
            _ => Network::Other(TYPE_PPPOE_SESSION),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IPV4: [u8; 20] = [0x45, 0, 0, 20, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
    const IPV6: [u8; 41] = {
        let mut packet = [0; 41];
        packet[0] = 0x60;
        packet[5] = 1;
        packet[6] = 6;
        packet[39] = 1;
        packet
    };

    fn frame(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    fn is_ip(decoded: &Decoded<'_>, version_6: bool) -> bool {
        matches!(&decoded.network, Network::Ip(packet) if packet.source.is_ipv6() == version_6)
    }

    #[test]
    fn both_versions_are_found_behind_ethernet() {
        let data = frame(&[&[0; 12], &[0x08, 0x00], &IPV4]);
        assert!(is_ip(&decode(LinkType::Ethernet, &data), false));
        let data = frame(&[&[0; 12], &[0x86, 0xdd], &IPV6]);
        assert!(is_ip(&decode(LinkType::Ethernet, &data), true));
        let data = frame(&[&[0; 12], &[0x08, 0x06], &[0; 28]]);
        assert!(matches!(decode(LinkType::Ethernet, &data).network, Network::Arp));
        let data = frame(&[&[0; 12], &[0x88, 0xcc], &[0; 28]]);
        assert!(matches!(decode(LinkType::Ethernet, &data).network, Network::Other(0x88cc)));
    }

    #[test]
    fn a_version_other_than_announced_is_named() {
        let data = frame(&[&[0; 12], &[0x86, 0xdd], &IPV4, &[0; 20]]);
        let decoded = decode(LinkType::Ethernet, &data);
        assert!(matches!(decoded.network, Network::None));
        assert!(decoded.anomalies.contains(WireAnomaly::IpVersion));
    }

    #[test]
    fn vlan_tags_are_peeled_off() {
        for types in [[0x81, 0x00], [0x88, 0xa8], [0x91, 0x00]] {
            let data = frame(&[&[0; 12], &types, &[0xe0, 0x05, 0x81, 0x00], &[0x00, 0x07, 0x08, 0x00], &IPV4]);
            let decoded = decode(LinkType::Ethernet, &data);
            assert!(is_ip(&decoded, false));
            assert_eq!(decoded.vlans.as_slice(), [5, 7]);
        }
    }

    #[test]
    fn eight_vlan_tags_are_walked_and_no_more() {
        for (count, good) in [(8, true), (9, false)] {
            let mut data = frame(&[&[0; 12], &[0x81, 0x00]]);
            for number in 1..=count {
                data.extend([0, number]);
                data.extend(if number == count { [0x08, 0x00] } else { [0x81, 0x00] });
            }
            data.extend(IPV4);
            let decoded = decode(LinkType::Ethernet, &data);
            assert_eq!(is_ip(&decoded, false), good);
            assert_eq!(decoded.anomalies.contains(WireAnomaly::VlanNesting), !good);
            assert_eq!(decoded.vlans.as_slice(), [1, 2], "the outer two are kept");
        }
    }

    #[test]
    fn linux_cooked_capture_of_both_versions() {
        let data = frame(&[&[0; 14], &[0x08, 0x00], &IPV4]);
        assert!(is_ip(&decode(LinkType::LinuxSll, &data), false));
        let data = frame(&[&[0; 14], &[0x81, 0x00], &[0, 9, 0x08, 0x00], &IPV4]);
        assert_eq!(decode(LinkType::LinuxSll, &data).vlans.as_slice(), [9]);
        let data = frame(&[&[0x86, 0xdd], &[0; 18], &IPV6]);
        assert!(is_ip(&decode(LinkType::LinuxSll2, &data), true));
    }

    #[test]
    fn loopbacks_of_either_order_of_octets() {
        for link in [LinkType::Null, LinkType::Loop] {
            assert!(is_ip(&decode(link, &frame(&[&[0, 0, 0, 2], &IPV4])), false));
            assert!(is_ip(&decode(link, &frame(&[&[2, 0, 0, 0], &IPV4])), false));
            for family in [10, 24, 28, 30] {
                assert!(is_ip(&decode(link, &frame(&[&[0, 0, 0, family], &IPV6])), true));
                assert!(is_ip(&decode(link, &frame(&[&[family, 0, 0, 0], &IPV6])), true));
            }
            assert!(matches!(decode(link, &[0, 0, 0, 7]).network, Network::Other(7)));
        }
    }

    #[test]
    fn raw_ip_goes_by_the_version() {
        assert!(is_ip(&decode(LinkType::RawIp, &IPV4), false));
        assert!(is_ip(&decode(LinkType::RawIp, &IPV6), true));
        assert!(decode(LinkType::RawIp, &[0x55; 40]).anomalies.contains(WireAnomaly::IpVersion));
        assert!(decode(LinkType::RawIp, &[]).anomalies.contains(WireAnomaly::IpHeaderTruncated));
    }

    #[test]
    fn pppoe_sessions() {
        let pppoe = |header: [u8; 8]| frame(&[&[0; 12], &[0x88, 0x64], &header, &IPV4, &[0; 8]]);
        let good = pppoe([0x11, 0, 0, 1, 0, 22, 0x00, 0x21]);
        assert!(is_ip(&decode(LinkType::Ethernet, &good), false));
        let control = pppoe([0x11, 0, 0, 1, 0, 22, 0xc0, 0x21]);
        assert!(matches!(decode(LinkType::Ethernet, &control).network, Network::Other(0x8864)));
        for bad in [[0x21, 0, 0, 1, 0, 22, 0, 0x21], [0x11, 9, 0, 1, 0, 22, 0, 0x21], [0x11, 0, 0, 1, 0, 1, 0, 0x21]] {
            let data = pppoe(bad);
            assert!(decode(LinkType::Ethernet, &data).anomalies.contains(WireAnomaly::PppoeMalformed));
        }
    }

    #[test]
    fn ip_behind_snap_and_no_other_frame_of_ieee_802_3() {
        let data = frame(&[&[0; 12], &[0, 28], &[0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0x00], &IPV4, &[0; 10]]);
        assert!(is_ip(&decode(LinkType::Ethernet, &data), false));
        let data = frame(&[&[0; 12], &[0, 38], &[0x42, 0x42, 3], &[0; 35]]);
        let spanning_tree = decode(LinkType::Ethernet, &data);
        assert!(matches!(spanning_tree.network, Network::None) && spanning_tree.anomalies.is_empty());
    }

    #[test]
    fn every_cut_in_a_header_is_named() {
        let ethernet = frame(&[&[0; 12], &[0x81, 0x00], &[0, 9, 0x08, 0x00]]);
        let pppoe = frame(&[&[0; 12], &[0x88, 0x64], &[0x11, 0, 0, 1, 0, 22, 0x00, 0x21]]);
        for (link, header) in [
            (LinkType::Ethernet, ethernet),
            (LinkType::Ethernet, pppoe),
            (LinkType::Loop, vec![0, 0, 0, 2]),
            (LinkType::LinuxSll, frame(&[&[0; 14], &[0x08, 0x00]])),
            (LinkType::LinuxSll2, frame(&[&[0x08, 0x00], &[0; 18]])),
        ] {
            for length in 0..header.len() {
                let cut = decode(link, &header[..length]);
                assert!(cut.anomalies.contains(WireAnomaly::LinkTruncated), "{link} {length}");
            }
            assert!(decode(link, &header).anomalies.contains(WireAnomaly::IpHeaderTruncated), "{link}");
        }
    }
}
