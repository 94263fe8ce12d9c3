use super::*;
use crate::checksum::ChecksumState;
use crate::decode::{Network, decode};
use crate::link::LinkType;
use crate::udp::UdpDatagram;
use proptest::prelude::*;

const CLIENT_4: &str = "192.0.2.1:40000";
const SERVER_4: &str = "192.0.2.25:25";
const CLIENT_6: &str = "[2001:db8::1]:40000";
const SERVER_6: &str = "[2001:db8::25]:25";

fn ip(packet: &[u8]) -> IpPacket<'_> {
    let decoded = decode(LinkType::RawIp, packet);
    assert!(decoded.anomalies.is_empty(), "{:?}", decoded.anomalies);
    match decoded.network {
        Network::Ip(packet) => packet,
        other => panic!("no IP: {other:?}"),
    }
}

fn tcp_of(packet: &[u8]) -> (IpPacket<'_>, TcpSegment<'_>) {
    let packet = ip(packet);
    assert_eq!(packet.verify_transport(), ChecksumState::Valid);
    match packet.transport() {
        Transport::Tcp(segment) => (packet, segment),
        other => panic!("no TCP: {other:?}"),
    }
}

fn udp_of(packet: &[u8]) -> UdpDatagram<'_> {
    match ip(packet).transport() {
        Transport::Udp(datagram) => datagram,
        other => panic!("no UDP: {other:?}"),
    }
}

/// A segment from client to server over both families.
fn segments(flags: TcpFlags, payload: &[u8]) -> Vec<Vec<u8>> {
    [(CLIENT_4, SERVER_4), (CLIENT_6, SERVER_6)]
        .iter()
        .map(|(client, server)| {
            let (client, server) = (client.parse().unwrap(), server.parse().unwrap());
            let data = TcpPacket::data(client, server, SequenceNumber(1000), SequenceNumber(77), 500, payload);
            TcpPacket { flags, ..data }.build().unwrap()
        })
        .collect()
}

#[test]
fn a_reset_to_the_sender_has_the_number_it_expects() {
    for data in segments(TcpFlags::PSH | TcpFlags::ACK, b"DATA\r\n") {
        let (packet, segment) = tcp_of(&data);
        let reset = reset_to_sender(&packet, &segment).unwrap();
        let (reset_packet, reset) = tcp_of(&reset);
        assert_eq!((reset.source_port, reset.destination_port), (25, 40000));
        assert_eq!((reset_packet.source, reset_packet.destination), (packet.destination, packet.source));
        assert_eq!((reset.flags, reset.sequence), (TcpFlags::RST, SequenceNumber(77)));
        assert_ne!(reset_packet.verify_header(), ChecksumState::Wrong);
    }
}

#[test]
fn a_reset_for_a_segment_without_ack_acknowledges_it() {
    for data in segments(TcpFlags::SYN, b"abc") {
        let (packet, segment) = tcp_of(&data);
        let reset = reset_to_sender(&packet, &segment).unwrap();
        let reset = tcp_of(&reset).1;
        assert_eq!(reset.flags, TcpFlags::RST | TcpFlags::ACK);
        assert_eq!((reset.sequence, reset.acknowledgement), (SequenceNumber(0), SequenceNumber(1004)));
    }
}

#[test]
fn a_reset_to_the_receiver_takes_the_place_of_the_segment() {
    for data in segments(TcpFlags::PSH | TcpFlags::ACK, b"DATA\r\n") {
        let (packet, segment) = tcp_of(&data);
        let reset = reset_to_receiver(&packet, &segment).unwrap();
        let (reset_packet, reset) = tcp_of(&reset);
        assert_eq!((reset.source_port, reset.destination_port), (40000, 25));
        assert_eq!((reset_packet.source, reset_packet.destination), (packet.source, packet.destination));
        assert_eq!(reset.flags, TcpFlags::RST | TcpFlags::ACK);
        assert_eq!((reset.sequence, reset.acknowledgement), (SequenceNumber(1000), SequenceNumber(77)));
    }
    for data in segments(TcpFlags::SYN, b"") {
        let (packet, segment) = tcp_of(&data);
        let reset = reset_to_receiver(&packet, &segment).unwrap();
        assert_eq!(tcp_of(&reset).1.flags, TcpFlags::RST);
    }
}

#[test]
fn a_reset_is_not_answered() {
    for data in segments(TcpFlags::RST, b"") {
        let (packet, segment) = tcp_of(&data);
        assert_eq!(reset_to_sender(&packet, &segment), Err(BuildError::AnswerToReset));
        assert_eq!(reset_to_receiver(&packet, &segment), Err(BuildError::AnswerToReset));
    }
}

#[test]
fn an_end_of_stream_takes_one_number() {
    let (client, server) = (CLIENT_6.parse().unwrap(), SERVER_6.parse().unwrap());
    let fin = TcpPacket::fin(client, server, SequenceNumber(u32::MAX), SequenceNumber(5), 100).build().unwrap();
    let segment = tcp_of(&fin).1;
    assert_eq!(segment.flags, TcpFlags::FIN | TcpFlags::ACK);
    assert_eq!((segment.sequence_end(), segment.window), (SequenceNumber(0), 100));
}

#[test]
fn refusals_quote_the_packet_and_point_back() {
    for (data, code) in segments(TcpFlags::ACK, &[b'x'; 2000]).iter().zip([13, 1]) {
        let refused = ip(data);
        let refusal = unreachable(&refused, Unreachable::Administratively).unwrap();
        let packet = ip(&refusal);
        assert_eq!(packet.verify_transport(), ChecksumState::Valid);
        assert_eq!((packet.source, packet.destination), (refused.destination, refused.source));
        assert_eq!(refusal.len(), if packet.source.is_ipv4() { 576 } else { 1280 });
        let Transport::Icmp(message) = packet.transport() else { panic!("no ICMP") };
        assert_eq!((message.kind, message.code), (if packet.source.is_ipv4() { 3 } else { 1 }, code));
        assert_eq!(message.quoted().unwrap().ports(), Some((40000, 25)));
        assert_eq!(unreachable(&packet, Unreachable::Port), Err(BuildError::AnswerToError));
    }
}

#[test]
fn codes_of_refusals() {
    let packets = segments(TcpFlags::SYN, b"");
    for (reason, codes) in [(Unreachable::Host, [1, 3]), (Unreachable::Port, [3, 4])] {
        for (data, code) in packets.iter().zip(codes) {
            let refusal = unreachable(&ip(data), reason).unwrap();
            let Transport::Icmp(message) = ip(&refusal).transport() else { panic!("no ICMP") };
            assert_eq!(message.code, code);
        }
    }
}

#[test]
fn groups_and_later_fragments_are_not_refused() {
    let udp = |destination: &str| {
        let source = "192.0.2.1:53".parse().unwrap();
        UdpPacket { source, destination: destination.parse().unwrap(), payload: b"?" }.build().unwrap()
    };
    for address in ["224.0.0.251:5353", "255.255.255.255:67", "0.0.0.0:67"] {
        let packet = udp(address);
        let expected = BuildError::AnswerToGroup(address.parse::<SocketAddr>().unwrap().ip());
        assert_eq!(unreachable(&ip(&packet), Unreachable::Port), Err(expected));
    }
    let mut packet = ip(&segments(TcpFlags::ACK, b"")[0]).header.to_vec();
    packet.extend([0; 20]);
    packet[6..8].copy_from_slice(&[0, 5]);
    assert_eq!(unreachable(&ip(&packet), Unreachable::Port), Err(BuildError::AnswerToFragment));
}

#[test]
fn what_cannot_be_sent_says_why() {
    let (client, server) = (CLIENT_4.parse().unwrap(), SERVER_4.parse().unwrap());
    let data = TcpPacket::data(client, server, SequenceNumber(0), SequenceNumber(0), 0, b"");
    for length in [3, 44] {
        let options = vec![1; length];
        assert_eq!(TcpPacket { options: &options, ..data }.build(), Err(BuildError::OptionsLength(length)));
    }
    let payload = vec![0; 65_536 - 40];
    assert_eq!(TcpPacket { payload: &payload, ..data }.build(), Err(BuildError::TooLong(65_536)));
    assert!(TcpPacket { payload: &payload[1..], ..data }.build().is_ok());
    let mixed = TcpPacket { destination: SERVER_6.parse().unwrap(), ..data }.build().unwrap_err();
    assert_eq!(mixed.to_string(), "cannot send from 192.0.2.1 to 2001:db8::25: one is IPv4, the other IPv6");
    let long = UdpPacket { source: client, destination: server, payload: &vec![0; 65_528] }.build();
    assert_eq!(long, Err(BuildError::TooLong(65_536)));
}

proptest! {
    #[test]
    fn segments_come_out_as_they_went_in(
        version_6: bool, a: [u8; 16], b: [u8; 16], ports: (u16, u16), sequence: u32, acknowledgement: u32, flags: u8,
        window: u16, options in prop::collection::vec(any::<u8>(), 0..10),
        payload in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let address = |octets: [u8; 16]| match version_6 {
            true => IpAddr::from(octets),
            false => IpAddr::from([octets[0], octets[1], octets[2], octets[3]]),
        };
        // Both ends the same is an anomaly that `ip` asserts against.
        prop_assume!(address(a) != address(b));
        let options: Vec<u8> = options.iter().flat_map(|octet| [*octet; 4]).collect();
        let wanted = TcpPacket {
            source: SocketAddr::new(address(a), ports.0),
            destination: SocketAddr::new(address(b), ports.1),
            sequence: SequenceNumber(sequence),
            acknowledgement: SequenceNumber(acknowledgement),
            flags: TcpFlags(flags),
            window,
            options: &options,
            payload: &payload,
        };
        let built = wanted.build().unwrap();
        let (packet, segment) = tcp_of(&built);
        prop_assert_eq!(packet.verify_header(), if version_6 { ChecksumState::Absent } else { ChecksumState::Valid });
        prop_assert_eq!((packet.source, segment.source_port), (wanted.source.ip(), wanted.source.port()));
        prop_assert_eq!((packet.destination, segment.destination_port), (wanted.destination.ip(), wanted.destination.port()));
        prop_assert_eq!((segment.sequence, segment.acknowledgement), (wanted.sequence, wanted.acknowledgement));
        prop_assert_eq!((segment.flags, segment.window), (wanted.flags, wanted.window));
        prop_assert_eq!(segment.options.as_bytes(), &options[..]);
        prop_assert_eq!(segment.payload, &payload[..]);
        prop_assert_eq!((segment.urgent, segment.reserved), (0, 0));
    }

    #[test]
    fn datagrams_come_out_as_they_went_in(a: [u8; 4], b: [u8; 4], payload in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assume!(a != b);
        let wanted = UdpPacket { source: (a, 53).into(), destination: (b, 4053).into(), payload: &payload };
        let built = wanted.build().unwrap();
        prop_assert_eq!(ip(&built).verify_transport(), ChecksumState::Valid);
        let datagram = udp_of(&built);
        prop_assert_eq!((datagram.source_port, datagram.destination_port), (53, 4053));
        prop_assert_eq!(datagram.payload, &payload[..]);
    }
}
