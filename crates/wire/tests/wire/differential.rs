//! Three decoders agree: ours, `etherparse` and `pnet_packet`.

use std::net::IpAddr;

use crate::support::{ip_of, recipes};
use etherparse::{LaxNetSlice, LaxSlicedPacket, NetSlice, SlicedPacket, TransportSlice};
use pnet_packet::Packet;
use pnet_packet::{ipv4::Ipv4Packet, ipv6::Ipv6Packet, tcp::TcpPacket, udp::UdpPacket};
use portcullis_wire::{ChecksumState, IpPacket, LinkType, Transport, decode};
use proptest::prelude::*;

/// What all three are asked.
#[derive(Debug, PartialEq)]
pub(crate) struct Seen {
    source: IpAddr,
    destination: IpAddr,
    ports: (u16, u16),
    /// Sequence, acknowledgement, flags, window and options.
    tcp: Option<(u32, u32, u8, u16, Vec<u8>)>,
    payload: Vec<u8>,
}

pub(crate) fn ours(packet: &IpPacket<'_>) -> Option<Seen> {
    let (ports, tcp, payload) = match packet.transport() {
        Transport::Tcp(segment) => (
            (segment.source_port, segment.destination_port),
            Some((
                segment.sequence.0,
                segment.acknowledgement.0,
                segment.flags.bits(),
                segment.window,
                segment.options.as_bytes().to_vec(),
            )),
            segment.payload,
        ),
        Transport::Udp(datagram) => ((datagram.source_port, datagram.destination_port), None, datagram.payload),
        _ => return None,
    };
    Some(Seen { source: packet.source, destination: packet.destination, ports, tcp, payload: payload.to_vec() })
}

pub(crate) fn of_etherparse(addresses: (IpAddr, IpAddr), transport: Option<&TransportSlice<'_>>) -> Option<Seen> {
    let (ports, tcp, payload) = match transport? {
        TransportSlice::Tcp(segment) => (
            (segment.source_port(), segment.destination_port()),
            Some((
                segment.sequence_number(),
                segment.acknowledgment_number(),
                segment.slice()[13],
                segment.window_size(),
                segment.options().to_vec(),
            )),
            segment.payload(),
        ),
        TransportSlice::Udp(datagram) => {
            ((datagram.source_port(), datagram.destination_port()), None, datagram.payload())
        }
        _ => return None,
    };
    Some(Seen { source: addresses.0, destination: addresses.1, ports, tcp, payload: payload.to_vec() })
}

/// Source and destination address of what is an IP packet to `etherparse`.
pub(crate) fn addresses_of(net: Option<&LaxNetSlice<'_>>) -> Option<(IpAddr, IpAddr)> {
    match net? {
        LaxNetSlice::Ipv4(ip) => Some((ip.header().source_addr().into(), ip.header().destination_addr().into())),
        LaxNetSlice::Ipv6(ip) => Some((ip.header().source_addr().into(), ip.header().destination_addr().into())),
        _ => None,
    }
}

fn of_pnet(ip: &[u8]) -> Option<Seen> {
    let (source, destination, protocol, payload): (IpAddr, IpAddr, u8, Vec<u8>) = match ip.first()? >> 4 {
        4 => {
            let packet = Ipv4Packet::new(ip)?;
            let protocol = packet.get_next_level_protocol().0;
            (packet.get_source().into(), packet.get_destination().into(), protocol, packet.payload().to_vec())
        }
        _ => {
            let packet = Ipv6Packet::new(ip)?;
            let protocol = packet.get_next_header().0;
            (packet.get_source().into(), packet.get_destination().into(), protocol, packet.payload().to_vec())
        }
    };
    let (ports, tcp, payload) = match protocol {
        6 => {
            let segment = TcpPacket::new(&payload)?;
            (
                (segment.get_source(), segment.get_destination()),
                Some((
                    segment.get_sequence(),
                    segment.get_acknowledgement(),
                    segment.get_flags(),
                    segment.get_window(),
                    segment.get_options_raw().to_vec(),
                )),
                segment.payload().to_vec(),
            )
        }
        17 => {
            let datagram = UdpPacket::new(&payload)?;
            let length = usize::from(datagram.get_length()).saturating_sub(8);
            ((datagram.get_source(), datagram.get_destination()), None, datagram.payload()[..length].to_vec())
        }
        _ => return None,
    };
    Some(Seen { source, destination, ports, tcp, payload })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn all_agree_on_good_packets(recipe in recipes()) {
        let frame = recipe.frame();
        let decoded = decode(LinkType::Ethernet, &frame);
        prop_assert_eq!(decoded.vlans.as_slice(), &recipe.vlans[..]);
        let packet = ip_of(&decoded).expect("IP");
        let seen = ours(packet).expect("a transport");
        prop_assert_eq!(&seen.payload, &recipe.payload);
        prop_assert_eq!(packet.missing, 0);

        let theirs = SlicedPacket::from_ethernet(&frame).unwrap();
        let addresses = match theirs.net.as_ref().unwrap() {
            NetSlice::Ipv4(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
            NetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
            other => panic!("no IP: {other:?}"),
        };
        let seen = Some(seen);
        prop_assert_eq!(&seen, &of_etherparse(addresses, theirs.transport.as_ref()));
        prop_assert_eq!(&seen, &of_pnet(&frame[14 + 4 * recipe.vlans.len()..]));

        // Their checksums are right to us.
        prop_assert_ne!(packet.verify_header(), ChecksumState::Wrong);
        prop_assert_eq!(packet.verify_transport(), ChecksumState::Valid);
    }

    #[test]
    fn a_flipped_bit_breaks_the_checksum(recipe in recipes(), place in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut frame = recipe.frame();
        let start = 14 + 4 * recipe.vlans.len() + if recipe.version_6 { 40 } else { 20 + 4 * recipe.ip_options };
        // Not in the length fields, which make the packet malformed before it is summed up.
        let header = if recipe.is_tcp { 20 + 4 * recipe.tcp_options } else { 8 };
        prop_assume!(!recipe.payload.is_empty());
        let at = start + header + place.index(recipe.payload.len());
        frame[at] ^= 1 << bit;
        let decoded = decode(LinkType::Ethernet, &frame);
        let state = ip_of(&decoded).expect("IP").verify_transport();
        // By chance the broken field may look like an offloaded one.
        prop_assert!(matches!(state, ChecksumState::Wrong | ChecksumState::Partial), "{:?}", state);
    }

    /// With broken headers decoders may differ in what they refuse, but whatever both read they read alike.
    #[test]
    fn etherparse_agrees_on_what_both_can_read(
        recipe in recipes(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut frame = recipe.frame();
        for (place, value) in changes {
            let place = 12 + place.index(frame.len().min(80) - 12);
            frame[place] = value;
        }
        let decoded = decode(LinkType::Ethernet, &frame);
        let Some(packet) = ip_of(&decoded) else { return Ok(()) };
        let Ok(theirs) = LaxSlicedPacket::from_ethernet(&frame) else { return Ok(()) };
        let Some(addresses) = addresses_of(theirs.net.as_ref()) else { return Ok(()) };
        prop_assert_eq!((packet.source, packet.destination), addresses);
        if let (Some(seen), Some(theirs)) = (ours(packet), of_etherparse(addresses, theirs.transport.as_ref())) {
            prop_assert_eq!(seen, theirs);
        }
    }
}
