//! Headers of IPv4 (RFC 791, section 3.1).

use std::net::{IpAddr, Ipv4Addr};

use crate::anomaly::{AnomalySet, WireAnomaly};
use crate::bytes::clamped;
use crate::decode::Network;
use crate::ip::{FragmentInfo, IpPacket};
use crate::limits::OFFLOAD_FLOOR;

/// Octets of a header without options.
pub(crate) const HEADER: usize = 20;

const RESERVED: u8 = 0x80;
const DONT_FRAGMENT: u8 = 0x40;
const MORE_FRAGMENTS: u8 = 0x20;

const OPTION_END: u8 = 0;
const OPTION_NO_OPERATION: u8 = 1;
const OPTION_LOOSE_SOURCE_ROUTE: u8 = 131;
const OPTION_STRICT_SOURCE_ROUTE: u8 = 137;

/// Reads a packet of IPv4. Nothing when a receiver would drop it for its header, with the reason among the anomalies.
#[inline]
pub(crate) fn decode<'a>(data: &'a [u8], anomalies: &mut AnomalySet) -> Network<'a> {
    let Some(fixed) = data.first_chunk::<HEADER>() else {
        anomalies.insert(WireAnomaly::IpHeaderTruncated);
        return Network::None;
    };
    if fixed[0] >> 4 != 4 {
        anomalies.insert(WireAnomaly::IpVersion);
        return Network::None;
    }
    let header_length = usize::from(fixed[0] & 0x0f) * 4;
    let header = data.get(..header_length).filter(|header| header.len() >= HEADER);
    let Some(header) = header else {
        anomalies.insert(WireAnomaly::IpHeaderLength);
        return Network::None;
    };
    let total_length = match u16::from_be_bytes([fixed[2], fixed[3]]) {
        // Captured on the sending host before the network card cut it into packets (TSO): it reaches to the end.
        0 if data.len() > OFFLOAD_FLOOR => {
            anomalies.insert(WireAnomaly::IpLengthZero);
            data.len()
        }
        length => usize::from(length),
    };
    if total_length < header_length {
        anomalies.insert(WireAnomaly::IpTotalLength);
        return Network::None;
    }
    let missing = total_length.saturating_sub(data.len());
    if missing > 0 {
        anomalies.insert(WireAnomaly::IpTruncated);
    }

    let source = Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]);
    let destination = Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]);
    if source == destination && !source.is_loopback() {
        anomalies.insert(WireAnomaly::IpSameAddresses);
    }
    let flags = fixed[6];
    if flags & RESERVED != 0 {
        anomalies.insert(WireAnomaly::IpReservedFlag);
    }
    let offset_bytes = u32::from(u16::from_be_bytes([flags & 0x1f, fixed[7]])) * 8;
    let more = flags & MORE_FRAGMENTS != 0;
    let fragment = (more || offset_bytes > 0).then_some(FragmentInfo { offset_bytes, more });
    if fragment.is_some() && flags & DONT_FRAGMENT != 0 {
        anomalies.insert(WireAnomaly::IpDontFragmentFragment);
    }
    let has_options = header_length > HEADER;
    if has_options {
        read_options(clamped(header, HEADER, header_length), anomalies);
    }
    Network::Ip(IpPacket {
        source: IpAddr::V4(source),
        destination: IpAddr::V4(destination),
        protocol: fixed[9],
        ttl: fixed[8],
        traffic_class: fixed[1],
        identification: u32::from(u16::from_be_bytes([fixed[4], fixed[5]])),
        fragment,
        dont_fragment: flags & DONT_FRAGMENT != 0,
        has_options,
        header,
        payload: clamped(data, header_length, total_length),
        missing,
        broken: None,
    })
}

fn read_options(mut rest: &[u8], anomalies: &mut AnomalySet) {
    loop {
        match *rest {
            [] | [OPTION_END, ..] => return,
            [OPTION_NO_OPERATION, ref after @ ..] => rest = after,
            [kind, length, ..] if length >= 2 && usize::from(length) <= rest.len() => {
                if matches!(kind, OPTION_LOOSE_SOURCE_ROUTE | OPTION_STRICT_SOURCE_ROUTE) {
                    anomalies.insert(WireAnomaly::IpSourceRoute);
                }
                rest = rest.get(usize::from(length)..).unwrap_or_default();
            }
            _ => {
                anomalies.insert(WireAnomaly::IpOptionsMalformed);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: [u8; 24] = [
        0x45, 0x10, 0x00, 0x17, // 23 octets
        0x12, 0x34, 0x40, 0x00, // identification, do not fragment
        0x40, 0x06, 0xab, 0xcd, // TTL 64, TCP
        192, 0, 2, 1, 192, 0, 2, 2, b'a', b'b', b'c', 0x00, // three octets and one of padding
    ];

    fn decoded(data: &[u8]) -> (Option<IpPacket<'_>>, Vec<WireAnomaly>) {
        let mut anomalies = AnomalySet::EMPTY;
        let packet = match decode(data, &mut anomalies) {
            Network::Ip(packet) => Some(packet),
            _ => None,
        };
        (packet, anomalies.iter().collect())
    }

    fn with(changes: &[(usize, u8)]) -> [u8; 24] {
        let mut packet = PACKET;
        for (offset, value) in changes {
            packet[*offset] = *value;
        }
        packet
    }

    #[test]
    fn fields_are_where_they_belong_and_padding_is_cut() {
        let (packet, anomalies) = decoded(&PACKET);
        let packet = packet.unwrap();
        assert_eq!(packet.source.to_string(), "192.0.2.1");
        assert_eq!(packet.destination.to_string(), "192.0.2.2");
        assert_eq!((packet.protocol, packet.ttl, packet.traffic_class), (6, 64, 0x10));
        assert_eq!((packet.identification, packet.dont_fragment, packet.fragment), (0x1234, true, None));
        assert_eq!((packet.payload, packet.missing, packet.length()), (&b"abc"[..], 0, 23));
        assert!(!packet.has_options && anomalies.is_empty());
    }

    #[test]
    fn headers_a_receiver_drops_are_named() {
        for (data, anomaly) in [
            (&PACKET[..19], WireAnomaly::IpHeaderTruncated),
            (&with(&[(0, 0x65)]), WireAnomaly::IpVersion),
            (&with(&[(0, 0x44)]), WireAnomaly::IpHeaderLength),
            (&with(&[(0, 0x4f)]), WireAnomaly::IpHeaderLength),
            (&with(&[(3, 19)]), WireAnomaly::IpTotalLength),
        ] {
            let (packet, anomalies) = decoded(data);
            assert!(packet.is_none());
            assert_eq!(anomalies, [anomaly]);
        }
    }

    #[test]
    fn what_the_capture_cut_off_is_counted() {
        let (packet, anomalies) = decoded(&PACKET[..21]);
        let packet = packet.unwrap();
        assert_eq!((packet.payload, packet.missing, packet.length()), (&b"a"[..], 2, 23));
        assert_eq!(anomalies, [WireAnomaly::IpTruncated]);
    }

    #[test]
    fn a_length_of_zero_reaches_to_the_end_of_an_offloaded_packet_only() {
        let mut data = with(&[(3, 0)]).to_vec();
        data.resize(1_501, 0);
        let (packet, anomalies) = decoded(&data);
        assert_eq!(packet.unwrap().payload.len(), 1_481);
        assert_eq!(anomalies, [WireAnomaly::IpLengthZero]);
        assert_eq!(decoded(&data[..1_500]).1, [WireAnomaly::IpTotalLength], "no card cuts a packet that fits");
    }

    #[test]
    fn fragments_are_told_by_offset_or_by_more_to_come() {
        let first = with(&[(6, 0x20)]);
        let expected = FragmentInfo { offset_bytes: 0, more: true };
        assert_eq!(decoded(&first).0.unwrap().fragment, Some(expected));
        let last = with(&[(6, 0x1f), (7, 0xff)]);
        let expected = FragmentInfo { offset_bytes: 65_528, more: false };
        assert_eq!(decoded(&last).0.unwrap().fragment, Some(expected));
        assert_eq!(decoded(&with(&[(6, 0x60)])).1, [WireAnomaly::IpDontFragmentFragment]);
    }

    #[test]
    fn odd_headers_are_named() {
        assert_eq!(decoded(&with(&[(6, 0x80)])).1, [WireAnomaly::IpReservedFlag]);
        assert_eq!(decoded(&with(&[(19, 1)])).1, [WireAnomaly::IpSameAddresses]);
        assert_eq!(decoded(&with(&[(12, 127), (16, 127), (19, 1)])).1, []);
    }

    #[test]
    fn options_are_walked() {
        for (options, expected) in [
            ([1, 1, 1, 0], None),
            ([131, 3, 4, 0], Some(WireAnomaly::IpSourceRoute)),
            ([1, 137, 3, 4], Some(WireAnomaly::IpSourceRoute)),
            ([7, 1, 0, 0], Some(WireAnomaly::IpOptionsMalformed)),
            ([7, 5, 0, 0], Some(WireAnomaly::IpOptionsMalformed)),
            ([1, 1, 1, 7], Some(WireAnomaly::IpOptionsMalformed)),
        ] {
            let mut data = with(&[(0, 0x46), (3, 24)]);
            data[20..].copy_from_slice(&options);
            let (packet, anomalies) = decoded(&data);
            assert!(packet.unwrap().has_options);
            assert_eq!(anomalies, Vec::from_iter(expected));
        }
    }
}
