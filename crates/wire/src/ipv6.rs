//! Headers of IPv6 and its extension headers (RFC 8200).

use std::net::{IpAddr, Ipv6Addr};

use crate::anomaly::{AnomalySet, WireAnomaly};
use crate::bytes::{clamped, u16_at, u32_at};
use crate::decode::Network;
use crate::ip::{FragmentInfo, IpPacket};
use crate::limits::EXTENSION_HEADERS;

/// Octets of the fixed header.
pub(crate) const HEADER: usize = 40;
/// Octets of the fragment header.
pub(crate) const FRAGMENT_HEADER: usize = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;

const ROUTING_TYPE_SOURCE_ROUTE: u8 = 0;
const OPTION_PAD1: u8 = 0;
const OPTION_JUMBO: u8 = 0xc2;

/// Reads a packet of IPv6. Nothing when a receiver would drop it for its fixed header, with the reason among the anomalies.
#[inline]
pub(crate) fn decode<'a>(data: &'a [u8], anomalies: &mut AnomalySet) -> Network<'a> {
    let Some(fixed) = data.first_chunk::<HEADER>() else {
        anomalies.insert(WireAnomaly::IpHeaderTruncated);
        return Network::None;
    };
    if fixed[0] >> 4 != 6 {
        anomalies.insert(WireAnomaly::IpVersion);
        return Network::None;
    }
    let payload_length = match u16::from_be_bytes([fixed[4], fixed[5]]) {
        0 if fixed[6] == HOP_BY_HOP => jumbo_length(data).unwrap_or(0),
        length => usize::from(length),
    };
    let total_length = HEADER.saturating_add(payload_length);
    let missing = total_length.saturating_sub(data.len());
    if missing > 0 {
        anomalies.insert(WireAnomaly::IpTruncated);
    }
    let source = address(fixed, SOURCE);
    let destination = address(fixed, SOURCE + 16);
    if source == destination && !source.is_loopback() {
        anomalies.insert(WireAnomaly::IpSameAddresses);
    }

    let data = clamped(data, 0, total_length);
    let chain = Chain::walk(data, fixed[6]);
    anomalies.extend(chain.anomalies);
    Network::Ip(IpPacket {
        source: IpAddr::V6(source),
        destination: IpAddr::V6(destination),
        protocol: chain.protocol,
        ttl: fixed[7],
        traffic_class: (fixed[0] << 4) | (fixed[1] >> 4),
        identification: chain.identification,
        fragment: chain.fragment,
        dont_fragment: true,
        has_options: chain.end > HEADER,
        header: clamped(data, 0, chain.end),
        payload: clamped(data, chain.end, data.len()),
        missing,
        broken: chain.broken(missing),
    })
}

/// Offset of the source address in the fixed header; the destination follows.
const SOURCE: usize = 8;

fn address(data: &[u8], offset: usize) -> Ipv6Addr {
    let octets: Option<&[u8; 16]> = data.get(offset..).and_then(<[u8]>::first_chunk);
    octets.map_or(Ipv6Addr::UNSPECIFIED, |octets| Ipv6Addr::from(*octets))
}

/// The extension headers of one packet, walked from the fixed header to the transport header or the first real fragment.
#[derive(Debug)]
struct Chain {
    protocol: u8,
    end: usize,
    identification: u32,
    fragment: Option<FragmentInfo>,
    anomalies: AnomalySet,
    stopped: Option<WireAnomaly>,
}

impl Chain {
    fn walk(data: &[u8], next_header: u8) -> Self {
        let mut chain = Self {
            protocol: next_header,
            end: HEADER,
            identification: 0,
            fragment: None,
            anomalies: AnomalySet::EMPTY,
            stopped: None,
        };
        let mut walked = 0;
        while is_extension(chain.protocol) && chain.fragment.is_none() {
            if walked == EXTENSION_HEADERS {
                chain.stop(WireAnomaly::Ipv6ExtensionChain);
                break;
            }
            if chain.protocol == HOP_BY_HOP && walked > 0 {
                chain.stop(WireAnomaly::Ipv6ExtensionOrder);
                break;
            }
            let Some(header) = extension(data, chain.end, chain.protocol) else {
                chain.stop(WireAnomaly::Ipv6ExtensionTruncated);
                break;
            };
            match chain.protocol {
                FRAGMENT => chain.read_fragment(header),
                ROUTING if header.get(2) == Some(&ROUTING_TYPE_SOURCE_ROUTE) => {
                    chain.anomalies.insert(WireAnomaly::IpSourceRoute);
                }
                _ => {}
            }
            chain.protocol = header.first().copied().unwrap_or_default();
            chain.end += header.len();
            walked += 1;
        }
        chain
    }

    fn read_fragment(&mut self, header: &[u8]) {
        let field = u16_at(header, 2).unwrap_or_default();
        let info = FragmentInfo { offset_bytes: u32::from(field & 0xfff8), more: field & 1 != 0 };
        self.identification = u32_at(header, 4).unwrap_or_default();
        if info.offset_bytes == 0 && !info.more {
            // Not fragmented at all: processed at once, without regard to others of that identification (RFC 6946).
            self.anomalies.insert(WireAnomaly::Ipv6AtomicFragment);
        } else {
            self.fragment = Some(info);
        }
    }

    fn stop(&mut self, anomaly: WireAnomaly) {
        self.anomalies.insert(anomaly);
        self.stopped = Some(anomaly);
    }

    fn broken(&self, missing: usize) -> Option<WireAnomaly> {
        match self.stopped {
            Some(WireAnomaly::Ipv6ExtensionTruncated) if missing > 0 => Some(WireAnomaly::CaptureCut),
            stopped => stopped,
        }
    }
}

const fn is_extension(protocol: u8) -> bool {
    matches!(protocol, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION)
}

/// The octets of the extension header of kind `protocol` at `offset`; `None` when it is not whole.
fn extension(data: &[u8], offset: usize, protocol: u8) -> Option<&[u8]> {
    let rest = data.get(offset..)?;
    let length = usize::from(*rest.get(1)?);
    let length = match protocol {
        FRAGMENT => FRAGMENT_HEADER,
        // Counted in units of 4 octets, less 2 (RFC 4302, section 2.2).
        AUTHENTICATION => (length + 2) * 4,
        _ => (length + 1) * 8,
    };
    rest.get(..length)
}

/// The payload length of the jumbo option in a hop-by-hop header that comes first (RFC 2675).
fn jumbo_length(data: &[u8]) -> Option<usize> {
    let mut rest = extension(data, HEADER, HOP_BY_HOP)?.get(2..)?;
    loop {
        match *rest {
            [OPTION_PAD1, ref after @ ..] => rest = after,
            [OPTION_JUMBO, 4, ..] => return usize::try_from(u32_at(rest, 2)?).ok(),
            [_, length, ..] => rest = rest.get(usize::from(length) + 2..)?,
            _ => return None,
        }
    }
}

/// The address at which the packet ends its way: what checksums are made with (RFC 8200, section 8.1).
///
/// It differs from the destination when a routing header of type 0, 2 (RFC 6275) or 4 (RFC 8754) still has stops to make.
/// `header` is the fixed header with its extension headers.
pub(crate) fn final_destination(header: &[u8]) -> Option<Ipv6Addr> {
    let mut protocol = *header.get(6)?;
    let mut offset = HEADER;
    for _ in 0..EXTENSION_HEADERS {
        if !is_extension(protocol) || offset >= header.len() {
            break;
        }
        let extension = extension(header, offset, protocol)?;
        if protocol == ROUTING && *extension.get(3)? > 0 {
            return match *extension.get(2)? {
                0 | 2 => Some(address(extension, extension.len().checked_sub(16)?)),
                4 => Some(address(extension, 8)),
                _ => None,
            };
        }
        protocol = *extension.first()?;
        offset += extension.len();
    }
    Some(address(header, SOURCE + 16))
}

/// Where in a header that ends with a fragment header the number stands that announces that header.
pub(crate) fn next_header_field_before_fragment(header: &[u8]) -> Option<usize> {
    let mut field = 6;
    let mut offset = HEADER;
    for _ in 0..EXTENSION_HEADERS {
        let protocol = *header.get(field)?;
        let extension = extension(header, offset, protocol).filter(|_| is_extension(protocol))?;
        let end = offset + extension.len();
        // An atomic fragment header may stand before the real one, which is the last.
        if protocol == FRAGMENT && end == header.len() {
            return Some(field);
        }
        field = offset;
        offset = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(next_header: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x61, 0x23, 0x45, 0x67];
        packet.extend((payload.len() as u16).to_be_bytes());
        packet.extend([next_header, 64]);
        packet.extend("2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend("2001:db8::2".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend(payload);
        packet
    }

    fn decoded(data: &[u8]) -> (Option<IpPacket<'_>>, Vec<WireAnomaly>) {
        let mut anomalies = AnomalySet::EMPTY;
        let packet = match decode(data, &mut anomalies) {
            Network::Ip(packet) => Some(packet),
            _ => None,
        };
        (packet, anomalies.iter().collect())
    }

    #[test]
    fn fields_are_where_they_belong_and_padding_is_cut() {
        let mut data = packet(6, b"abc");
        data.push(0);
        let (packet, anomalies) = decoded(&data);
        let packet = packet.unwrap();
        assert_eq!(packet.source.to_string(), "2001:db8::1");
        assert_eq!(packet.destination.to_string(), "2001:db8::2");
        assert_eq!((packet.protocol, packet.ttl, packet.traffic_class), (6, 64, 0x12));
        assert_eq!((packet.payload, packet.header.len(), packet.missing), (&b"abc"[..], 40, 0));
        assert!(!packet.has_options && packet.fragment.is_none() && anomalies.is_empty());
    }

    #[test]
    fn headers_a_receiver_drops_are_named() {
        let data = packet(6, b"abc");
        assert_eq!(decoded(&data[..39]).1, [WireAnomaly::IpHeaderTruncated]);
        let mut wrong = data.clone();
        wrong[0] = 0x40;
        assert_eq!(decoded(&wrong).1, [WireAnomaly::IpVersion]);
        let (cut, anomalies) = decoded(&data[..41]);
        assert_eq!((cut.unwrap().missing, anomalies), (2, vec![WireAnomaly::IpTruncated]));
    }

    #[test]
    fn extension_headers_are_walked() {
        let mut payload = vec![60, 0, 1, 4, 0, 0, 0, 0]; // hop-by-hop, then destination options
        payload.extend([43, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]); // then routing
        payload.extend([51, 0, 3, 0, 0, 0, 0, 0]); // then authentication, of 24 octets
        payload.extend([17, 4, 0, 0]);
        payload.extend([0; 20]);
        payload.extend(b"udp");
        let data = packet(0, &payload);
        let (packet, anomalies) = decoded(&data);
        let packet = packet.unwrap();
        assert_eq!((packet.protocol, packet.payload, packet.header.len()), (17, &b"udp"[..], 40 + 8 + 16 + 8 + 24));
        assert!(packet.has_options && packet.broken.is_none() && anomalies.is_empty());
    }

    #[test]
    fn eight_extension_headers_are_walked_and_no_more() {
        for (count, broken) in [(8, None), (9, Some(WireAnomaly::Ipv6ExtensionChain))] {
            let mut payload = Vec::new();
            for number in 1..=count {
                payload.extend([if number == count { 6 } else { 60 }, 0, 1, 4, 0, 0, 0, 0]);
            }
            let data = packet(60, &payload);
            let (packet, anomalies) = decoded(&data);
            assert_eq!(packet.unwrap().broken, broken);
            assert_eq!(anomalies, Vec::from_iter(broken));
        }
    }

    #[test]
    fn broken_chains_are_named() {
        let late_hop_by_hop = packet(60, &[0, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0]);
        let (late, anomalies) = decoded(&late_hop_by_hop);
        assert_eq!(late.unwrap().broken, Some(WireAnomaly::Ipv6ExtensionOrder));
        assert_eq!(anomalies, [WireAnomaly::Ipv6ExtensionOrder]);

        for payload in [&[][..], &[6], &[6, 1, 0, 0, 0, 0, 0, 0]] {
            let data = packet(60, payload);
            let (short, anomalies) = decoded(&data);
            assert_eq!(short.unwrap().broken, Some(WireAnomaly::Ipv6ExtensionTruncated));
            assert_eq!(anomalies, [WireAnomaly::Ipv6ExtensionTruncated]);
        }
        let whole = packet(60, &[6, 0, 1, 4, 0, 0, 0, 0]);
        assert_eq!(decoded(&whole[..41]).0.unwrap().broken, Some(WireAnomaly::CaptureCut));
    }

    #[test]
    fn fragments_end_the_walk_and_atomic_ones_do_not() {
        let data = packet(44, &[60, 0, 0x05, 0xa9, 0xde, 0xad, 0xbe, 0xef, 1, 2, 3]);
        let (packet_, anomalies) = decoded(&data);
        let packet_ = packet_.unwrap();
        assert_eq!(packet_.fragment, Some(FragmentInfo { offset_bytes: 0x05a8, more: true }));
        assert_eq!((packet_.identification, packet_.protocol), (0xdead_beef, 60));
        assert_eq!((packet_.header.len(), packet_.payload), (48, &[1, 2, 3][..]));
        assert!(anomalies.is_empty());

        let data = packet(44, &[6, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3]);
        let (atomic, anomalies) = decoded(&data);
        let atomic = atomic.unwrap();
        assert_eq!((atomic.fragment, atomic.protocol, atomic.payload), (None, 6, &[1, 2, 3][..]));
        assert_eq!(anomalies, [WireAnomaly::Ipv6AtomicFragment]);
    }

    #[test]
    fn the_announcing_field_of_a_fragment_header_is_found() {
        let plain = packet(44, &[17, 0, 0, 9, 0, 0, 0, 1]);
        assert_eq!(next_header_field_before_fragment(&plain), Some(6));
        let after_options = packet(60, &[44, 0, 1, 4, 0, 0, 0, 0, 17, 0, 0, 9, 0, 0, 0, 1]);
        assert_eq!(next_header_field_before_fragment(&after_options), Some(40));
        assert_eq!(next_header_field_before_fragment(&packet(17, &[0; 8])), None);
        assert_eq!(next_header_field_before_fragment(&[]), None);
    }

    #[test]
    fn source_routes_are_named_and_lead_to_another_destination() {
        let mut payload = vec![17, 2, 0, 1, 0, 0, 0, 0];
        payload.extend("2001:db8::99".parse::<Ipv6Addr>().unwrap().octets());
        let mut data = packet(43, &payload);
        let (routed, anomalies) = decoded(&data);
        assert_eq!(anomalies, [WireAnomaly::IpSourceRoute]);
        let header = routed.unwrap().header;
        assert_eq!(final_destination(header).unwrap().to_string(), "2001:db8::99");
        data[43] = 0; // no stop left
        assert_eq!(final_destination(&data).unwrap().to_string(), "2001:db8::2");
    }

    #[test]
    fn a_jumbogram_reaches_as_far_as_its_option_says() {
        let mut data = packet(0, &[59, 0, 0xc2, 4, 0, 1, 0x11, 0x70]);
        data.resize(40 + 70_000 + 10, 0xaa);
        data[4] = 0;
        data[5] = 0;
        let (jumbo, anomalies) = decoded(&data);
        assert_eq!((jumbo.unwrap().payload.len(), anomalies.len()), (70_000 - 8, 0));
        data[6] = 6; // without a hop-by-hop header zero is zero
        assert_eq!(decoded(&data).0.unwrap().payload, b"");
    }
}
