//! Packets of our own, in the name of a side of a connection.

use std::net::SocketAddr;

use portcullis_lang::Direction;
use portcullis_wire::{
    IpPacket, SequenceNumber, TcpFlags, TcpPacket, TcpSegment, TcpTimestamps, internet_checksum, protocol,
    transport_checksum,
};

/// The control bits of data and of acknowledgements.
pub(crate) const ACK: TcpFlags = TcpFlags::ACK;

/// Octets of an IPv4 header without options.
const IPV4_HEADER: usize = 20;
/// Octets of an IPv6 header without extension headers.
const IPV6_HEADER: usize = 40;
/// Octets of a TCP header without options.
const TCP_HEADER: usize = 20;
/// Where the checksum stands in a TCP header.
const CHECKSUM: std::ops::Range<usize> = 16..18;
/// The time to live of packets of which nothing else is known, as Linux has it.
const TTL: u8 = 64;
/// The bits of the traffic class that tell of congestion (RFC 3168, section 5).
const ECN: u8 = 0b11;

/// A packet that a gateway sends by itself, in the name of one side of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnPacket {
    /// The direction in which it goes.
    pub direction: Direction,
    /// The packet from the IP header on, with right checksums.
    pub octets: Vec<u8>,
}

impl OwnPacket {
    /// A TCP packet as it came, which must be whole, with the checksum of its segment in place: the kernel hands packets over
    /// whose checksum a network card was to compute.
    pub fn copy(direction: Direction, ip: &IpPacket<'_>) -> OwnPacket {
        let mut octets = [ip.header, ip.payload].concat();
        if let Some(segment) = octets.get_mut(ip.header.len()..)
            && let Some(field) = segment.get_mut(CHECKSUM)
        {
            field.fill(0);
            let checksum = transport_checksum(ip.source, ip.destination, protocol::TCP, segment);
            if let Some(field) = segment.get_mut(CHECKSUM) {
                field.copy_from_slice(&checksum.to_be_bytes());
            }
        }
        OwnPacket { direction, octets }
    }
}

/// From whom to whom, and how a sender marks its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    source: SocketAddr,
    destination: SocketAddr,
    traffic_class: u8,
    ttl: u8,
    flow_label: u32,
}

/// A segment to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) sequence: SequenceNumber,
    pub(crate) acknowledgement: SequenceNumber,
    pub(crate) flags: TcpFlags,
    pub(crate) window: u16,
    pub(crate) options: &'a [u8],
    pub(crate) payload: &'a [u8],
}

impl Route {
    /// The route of packets of which nothing but the ends is known.
    pub(crate) fn new(source: SocketAddr, destination: SocketAddr) -> Route {
        Route { source, destination, traffic_class: 0, ttl: TTL, flow_label: 0 }
    }

    /// The route that a packet takes.
    pub(crate) fn of(ip: &IpPacket<'_>, segment: &TcpSegment<'_>) -> Route {
        let flow_label = match *ip.header {
            [_, a, b, c, ..] if ip.source.is_ipv6() => u32::from_be_bytes([0, a & 0x0f, b, c]),
            _ => 0,
        };
        Route {
            source: SocketAddr::new(ip.source, segment.source_port),
            destination: SocketAddr::new(ip.destination, segment.destination_port),
            traffic_class: ip.traffic_class,
            ttl: ip.ttl,
            flow_label,
        }
    }

    /// The route of answers, of which nothing but the ends is known.
    pub(crate) fn back(self) -> Route {
        Route::new(self.destination, self.source)
    }

    /// The same without a word on congestion, as acknowledgements and repetitions must be (RFC 3168, section 6.1.4 and
    /// 6.1.5).
    pub(crate) fn without_ecn(self) -> Route {
        Route { traffic_class: self.traffic_class & !ECN, ..self }
    }

    /// How many octets of options and payload fit into a packet of so many octets.
    pub(crate) fn room(&self, mtu: u16) -> usize {
        let header = if self.source.is_ipv4() { IPV4_HEADER } else { IPV6_HEADER };
        usize::from(mtu).saturating_sub(header + TCP_HEADER)
    }

    /// Makes a packet. `None` if it is longer than any can be or if the addresses are of two families; callers keep it
    /// shorter, and take both addresses from one packet.
    pub(crate) fn packet(&self, segment: &Segment<'_>) -> Option<Vec<u8>> {
        let packet = TcpPacket {
            source: self.source,
            destination: self.destination,
            sequence: segment.sequence,
            acknowledgement: segment.acknowledgement,
            flags: segment.flags,
            window: segment.window,
            options: segment.options,
            payload: segment.payload,
        };
        let mut octets = packet.build().ok()?;
        self.mark(&mut octets);
        Some(octets)
    }

    /// Writes what the sender writes into its IP headers.
    fn mark(&self, octets: &mut [u8]) {
        if self.source.is_ipv4() {
            let Some(header) = octets.first_chunk_mut::<IPV4_HEADER>() else {
                return;
            };
            header[1] = self.traffic_class;
            header[8] = self.ttl;
            header[10..12].fill(0);
            let checksum = internet_checksum(header);
            header[10..12].copy_from_slice(&checksum.to_be_bytes());
        } else if let Some(header) = octets.first_chunk_mut::<IPV6_HEADER>() {
            let word = 6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label;
            header[..4].copy_from_slice(&word.to_be_bytes());
            header[7] = self.ttl;
        }
    }
}

/// The options of a segment behind the handshake: timestamps and selective acknowledgements, padded.
///
/// Of the blocks as many are written as fit, the first ones (RFC 2018, section 4).
pub(crate) fn options(timestamps: Option<TcpTimestamps>, sack: &[(SequenceNumber, SequenceNumber)]) -> OptionOctets {
    let mut octets = OptionOctets::new();
    if let Some(TcpTimestamps { value, echo }) = timestamps {
        octets.extend_from_slice(&[1, 1, 8, 10]);
        octets.extend_from_slice(&value.to_be_bytes());
        octets.extend_from_slice(&echo.to_be_bytes());
    }
    let blocks = sack.len().min(if timestamps.is_some() { 3 } else { 4 });
    if blocks > 0 {
        octets.extend_from_slice(&[1, 1, 5, 2 + 8 * blocks as u8]);
        for (start, end) in sack.iter().take(blocks) {
            octets.extend_from_slice(&start.0.to_be_bytes());
            octets.extend_from_slice(&end.0.to_be_bytes());
        }
    }
    octets
}

/// TCP options, at most 40 octets.
pub type OptionOctets = smallvec::SmallVec<[u8; 64]>;

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_wire::{ChecksumState, LinkType, Network, Transport, decode};

    #[test]
    fn a_packet_bears_the_marks_of_its_sender() {
        for (source, destination) in [("192.0.2.1:40000", "192.0.2.2:25"), ("[2001:db8::1]:40000", "[2001:db8::2]:25")]
        {
            let mut route = Route::new(source.parse().unwrap(), destination.parse().unwrap());
            route.traffic_class = 0x2b;
            route.ttl = 57;
            route.flow_label = if route.source.is_ipv6() { 0xabcde } else { 0 };
            let sack = [(SequenceNumber(5), SequenceNumber(9)); 5];
            let options = options(Some(TcpTimestamps { value: 1, echo: 2 }), &sack);
            let segment = Segment {
                sequence: SequenceNumber(7),
                acknowledgement: SequenceNumber(8),
                flags: ACK,
                window: 9,
                options: &options,
                payload: b"hello",
            };
            let octets = route.packet(&segment).unwrap();
            let Network::Ip(ip) = decode(LinkType::RawIp, &octets).network else { panic!("an IP packet") };
            assert!(matches!(ip.verify_header(), ChecksumState::Valid | ChecksumState::Absent));
            assert_eq!(ip.verify_transport(), ChecksumState::Valid);
            let Transport::Tcp(tcp) = ip.transport() else { panic!("a TCP segment") };
            assert_eq!(Route::of(&ip, &tcp), route);
            assert_eq!(tcp.options.sack().as_slice(), &sack[..3]);
            assert_eq!(tcp.options.timestamps(), Some(TcpTimestamps { value: 1, echo: 2 }));
            assert!(tcp.options.is_well_formed());
            assert_eq!(tcp.payload, b"hello");
            assert_eq!(route.without_ecn().traffic_class, 0x28);
            assert_eq!(octets.len() - options.len() - 5 + route.room(1500), 1500);
        }
    }

    #[test]
    fn a_copy_has_the_checksum_that_a_network_card_was_to_compute() {
        let route = Route::new("[2001:db8::1]:40000".parse().unwrap(), "[2001:db8::2]:25".parse().unwrap());
        let (sequence, acknowledgement) = (SequenceNumber(7), SequenceNumber(0));
        let flags = TcpFlags::SYN;
        let segment = Segment { sequence, acknowledgement, flags, window: 9, options: &[2, 4, 5, 180], payload: &[] };
        let right = route.packet(&segment).unwrap();
        let mut partial = right.clone();
        partial[40 + 16..40 + 18].copy_from_slice(&[1, 2]);
        let Network::Ip(ip) = decode(LinkType::RawIp, &partial).network else { panic!("an IP packet") };
        assert_eq!(OwnPacket::copy(Direction::Up, &ip), OwnPacket { direction: Direction::Up, octets: right });
    }

    #[test]
    fn four_blocks_fit_without_timestamps() {
        let sack = [(SequenceNumber(5), SequenceNumber(9)); 5];
        assert_eq!(options(None, &sack).len(), 36);
        assert!(options(None, &[]).is_empty());
    }
}
