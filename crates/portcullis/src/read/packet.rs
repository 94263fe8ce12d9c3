//! Addresses of packets that belong to no flow: they are read once more, because only odd packets get here.

use portcullis_engine::PacketInfo;
use portcullis_report::Ends;
use portcullis_wire::{IpPacket, Network, Transport, decode, protocol};

/// Sender and receiver of a packet, as far as it can be read.
pub(super) fn ends(packet: &PacketInfo<'_>) -> Option<Ends> {
    let Network::Ip(ip) = decode(packet.link, packet.data).network else { return None };
    let (source, destination) = match ip.transport() {
        Transport::Tcp(segment) => (Some(segment.source_port), Some(segment.destination_port)),
        Transport::Udp(datagram) => (Some(datagram.source_port), Some(datagram.destination_port)),
        _ => (None, None),
    };
    Some(Ends { source: (ip.source, source), destination: (ip.destination, destination), protocol: name(&ip) })
}

/// Which header of a packet has a wrong checksum.
pub(super) fn wrong_checksum(packet: &PacketInfo<'_>) -> &'static str {
    let Network::Ip(ip) = decode(packet.link, packet.data).network else { return "ipv4" };
    match (ip.verify_header().is_acceptable(), ip.protocol) {
        (false, _) => "ipv4",
        (true, protocol::TCP) => "tcp",
        (true, protocol::UDP) => "udp",
        (true, protocol::ICMPV6) => "icmpv6",
        (true, _) => "icmpv4",
    }
}

fn name(ip: &IpPacket<'_>) -> Option<&'static str> {
    match ip.protocol {
        protocol::TCP => Some("TCP"),
        protocol::UDP => Some("UDP"),
        protocol::ICMP => Some("ICMP"),
        protocol::ICMPV6 => Some("IPv6-ICMP"),
        _ => None,
    }
}
