//! Packets of our own: resets, data and ends of a stream put in a sender's name, UDP answers, and ICMP refusals.
//!
//! Fields are set through the views of `pnet_packet`; checksums are those of this crate. Every packet starts at its IP header.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use pnet_packet::icmp::{IcmpCode, IcmpTypes, MutableIcmpPacket};
use pnet_packet::icmpv6::{Icmpv6Code, Icmpv6Types, MutableIcmpv6Packet};
use pnet_packet::ip::IpNextHeaderProtocol;
use pnet_packet::ipv4::{Ipv4Flags, MutableIpv4Packet};
use pnet_packet::ipv6::MutableIpv6Packet;
use pnet_packet::tcp::MutableTcpPacket;
use pnet_packet::udp::MutableUdpPacket;

use crate::checksum::{internet_checksum, transport_checksum};
use crate::ip::{IpPacket, Transport, protocol};
use crate::limits::{DATAGRAM, TCP_OPTIONS};
use crate::sequence::SequenceNumber;
use crate::tcp::{TcpFlags, TcpSegment};
use crate::{icmp, ipv4, ipv6, tcp, udp};

/// The time to live of packets of our own, as Linux has it.
const TTL: u8 = 64;

/// The most octets of an ICMP error with all headers (RFC 1812, section 4.3.2.3).
const ICMP_ERROR_MAXIMUM: usize = 576;
/// The most octets of an ICMPv6 error with all headers (RFC 4443, section 2.4).
const ICMPV6_ERROR_MAXIMUM: usize = 1_280;

/// Why a packet cannot be built, or must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// An answer to an ICMP error could go round for ever (RFC 1122, section 3.2.2).
    #[error("cannot refuse an ICMP error with another ICMP error; drop it in silence")]
    AnswerToError,
    /// Only the first fragment says what the packet is (RFC 1122, section 3.2.2).
    #[error("cannot refuse a fragment that is not the first; refuse the first one or the whole datagram")]
    AnswerToFragment,
    /// A group must not be made to answer, nor be answered (RFC 1122, section 3.2.2).
    #[error("cannot refuse a packet from or to {0}, which is not the address of one host; drop it in silence")]
    AnswerToGroup(IpAddr),
    /// A reset must not be answered with a reset (RFC 9293, section 3.10.7.1).
    #[error("cannot answer a TCP reset with a reset; the connection is at its end already")]
    AnswerToReset,
    /// One address of IPv4, one of IPv6.
    #[error("cannot send from {from} to {to}: one is IPv4, the other IPv6")]
    MixedFamilies {
        /// The sender.
        from: IpAddr,
        /// The receiver.
        to: IpAddr,
    },
    /// TCP options of more than 40 octets, or whose number is no multiple of 4.
    #[error("cannot send {0} octets of TCP options: at most 40 fit, in multiples of 4; pad them with 1 (no operation)")]
    OptionsLength(usize),
    /// More than fits into one IP packet.
    #[error("cannot send a packet of {0} octets: at most 65,535 fit; cut the payload into several")]
    TooLong(usize),
}

/// A TCP packet to be made.
#[derive(Clone, Copy, Debug)]
pub struct TcpPacket<'a> {
    /// The sender, in whose name it is.
    pub source: SocketAddr,
    /// The receiver.
    pub destination: SocketAddr,
    /// The number of the first octet of the payload.
    pub sequence: SequenceNumber,
    /// The number of the next octet expected of the other side; written as it is, with or without ACK.
    pub acknowledgement: SequenceNumber,
    /// The control bits.
    pub flags: TcpFlags,
    /// The receive window as it stands in the header.
    pub window: u16,
    /// The options, a multiple of 4 octets and at most 40.
    pub options: &'a [u8],
    /// The data.
    pub payload: &'a [u8],
}

impl<'a> TcpPacket<'a> {
    /// A data segment (PSH and ACK) put in the name of `source`.
    pub const fn data(
        source: SocketAddr,
        destination: SocketAddr,
        sequence: SequenceNumber,
        acknowledgement: SequenceNumber,
        window: u16,
        payload: &'a [u8],
    ) -> Self {
        let flags = TcpFlags::PSH.union(TcpFlags::ACK);
        Self { source, destination, sequence, acknowledgement, flags, window, options: &[], payload }
    }

    /// The end of the stream of `source`: its FIN takes the number `sequence`.
    pub const fn fin(
        source: SocketAddr,
        destination: SocketAddr,
        sequence: SequenceNumber,
        acknowledgement: SequenceNumber,
        window: u16,
    ) -> Self {
        let flags = TcpFlags::FIN.union(TcpFlags::ACK);
        Self { source, destination, sequence, acknowledgement, flags, window, options: &[], payload: &[] }
    }

    /// A reset in the name of `source`. The receiver obeys only if `sequence` is exactly the number it expects next (RFC 5961).
    pub const fn reset(
        source: SocketAddr,
        destination: SocketAddr,
        sequence: SequenceNumber,
        acknowledgement: SequenceNumber,
    ) -> Self {
        let flags = TcpFlags::RST.union(TcpFlags::ACK);
        Self { source, destination, sequence, acknowledgement, flags, window: 0, options: &[], payload: &[] }
    }

    /// Makes the packet, from the IP header on.
    ///
    /// # Errors
    ///
    /// [`BuildError::MixedFamilies`], [`BuildError::OptionsLength`] or [`BuildError::TooLong`].
    pub fn build(&self) -> Result<Vec<u8>, BuildError> {
        if self.options.len() > TCP_OPTIONS || !self.options.len().is_multiple_of(4) {
            return Err(BuildError::OptionsLength(self.options.len()));
        }
        let mut segment = vec![0; tcp::HEADER];
        if let Some(mut header) = MutableTcpPacket::new(&mut segment) {
            header.set_source(self.source.port());
            header.set_destination(self.destination.port());
            header.set_sequence(self.sequence.0);
            header.set_acknowledgement(self.acknowledgement.0);
            header.set_data_offset(((tcp::HEADER + self.options.len()) / 4) as u8);
            header.set_flags(self.flags.bits());
            header.set_window(self.window);
        }
        segment.extend_from_slice(self.options);
        segment.extend_from_slice(self.payload);
        let (source, destination) = (self.source.ip(), self.destination.ip());
        let checksum = transport_checksum(source, destination, protocol::TCP, &segment);
        if let Some(mut header) = MutableTcpPacket::new(&mut segment) {
            header.set_checksum(checksum);
        }
        with_ip_header(source, destination, protocol::TCP, &segment)
    }
}

/// A UDP packet to be made.
#[derive(Clone, Copy, Debug)]
pub struct UdpPacket<'a> {
    /// The sender, in whose name it is.
    pub source: SocketAddr,
    /// The receiver.
    pub destination: SocketAddr,
    /// The data.
    pub payload: &'a [u8],
}

impl UdpPacket<'_> {
    /// Makes the packet, from the IP header on.
    ///
    /// # Errors
    ///
    /// [`BuildError::MixedFamilies`] or [`BuildError::TooLong`].
    pub fn build(&self) -> Result<Vec<u8>, BuildError> {
        let length = udp::HEADER + self.payload.len();
        let mut datagram = vec![0; udp::HEADER];
        if let Some(mut header) = MutableUdpPacket::new(&mut datagram) {
            header.set_source(self.source.port());
            header.set_destination(self.destination.port());
            header.set_length(u16::try_from(length).map_err(|_| BuildError::TooLong(length))?);
        }
        datagram.extend_from_slice(self.payload);
        let (source, destination) = (self.source.ip(), self.destination.ip());
        let checksum = transport_checksum(source, destination, protocol::UDP, &datagram);
        if let Some(mut header) = MutableUdpPacket::new(&mut datagram) {
            header.set_checksum(checksum);
        }
        with_ip_header(source, destination, protocol::UDP, &datagram)
    }
}

/// The reset that the sender of a segment gets, in the name of its receiver (RFC 9293, section 3.10.7.1).
///
/// Its number is the one that the sender acknowledged, which is the one it expects next, so that it obeys at once; a segment
/// without ACK, as the first SYN, is acknowledged instead.
///
/// # Errors
///
/// [`BuildError::AnswerToReset`] for a reset.
pub fn reset_to_sender(packet: &IpPacket<'_>, segment: &TcpSegment<'_>) -> Result<Vec<u8>, BuildError> {
    if segment.flags.contains(TcpFlags::RST) {
        return Err(BuildError::AnswerToReset);
    }
    let source = SocketAddr::new(packet.destination, segment.destination_port);
    let destination = SocketAddr::new(packet.source, segment.source_port);
    if segment.flags.contains(TcpFlags::ACK) {
        let reset = TcpPacket::reset(source, destination, segment.acknowledgement, SequenceNumber(0));
        return TcpPacket { flags: TcpFlags::RST, ..reset }.build();
    }
    let end = segment.sequence_end().wrapping_add(packet.missing as u32);
    TcpPacket::reset(source, destination, SequenceNumber(0), end).build()
}

/// The reset that the receiver of a segment gets instead of it, in the name of its sender.
///
/// Its number is that of the segment, which the receiver expects next if all before it has arrived; who held back more than this
/// one segment uses [`TcpPacket::reset`] with the first number held back.
///
/// # Errors
///
/// [`BuildError::AnswerToReset`] for a reset, which can be let through.
pub fn reset_to_receiver(packet: &IpPacket<'_>, segment: &TcpSegment<'_>) -> Result<Vec<u8>, BuildError> {
    if segment.flags.contains(TcpFlags::RST) {
        return Err(BuildError::AnswerToReset);
    }
    let source = SocketAddr::new(packet.source, segment.source_port);
    let destination = SocketAddr::new(packet.destination, segment.destination_port);
    let mut reset = TcpPacket::reset(source, destination, segment.sequence, segment.acknowledgement);
    if !segment.flags.contains(TcpFlags::ACK) {
        reset.flags = TcpFlags::RST;
        reset.acknowledgement = SequenceNumber(0);
    }
    reset.build()
}

/// Why a destination is said to be out of reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unreachable {
    /// A policy forbids it (IPv4 code 13, IPv6 code 1).
    Administratively,
    /// There is no such host (IPv4 code 1, IPv6 code 3).
    Host,
    /// Nobody listens there (IPv4 code 3, IPv6 code 4).
    Port,
}

impl Unreachable {
    const fn code(self) -> u8 {
        match self {
            Self::Administratively => 13,
            Self::Host => 1,
            Self::Port => 3,
        }
    }

    const fn code_version_6(self) -> u8 {
        match self {
            Self::Administratively => 1,
            Self::Host => 3,
            Self::Port => 4,
        }
    }
}

/// The ICMP message "destination unreachable" that the sender of a packet gets, in the name of its receiver.
///
/// It quotes as much of the packet as an error may: up to 576 octets in all for IPv4, 1,280 for IPv6.
///
/// # Errors
///
/// [`BuildError::AnswerToError`], [`BuildError::AnswerToFragment`] and [`BuildError::AnswerToGroup`]: what RFC 1122, section
/// 3.2.2, and RFC 4443, section 2.4, forbid to answer.
pub fn unreachable(packet: &IpPacket<'_>, reason: Unreachable) -> Result<Vec<u8>, BuildError> {
    if packet.fragment.is_some_and(|fragment| fragment.offset_bytes > 0) {
        return Err(BuildError::AnswerToFragment);
    }
    if matches!(packet.transport(), Transport::Icmp(message) if message.is_error()) {
        return Err(BuildError::AnswerToError);
    }
    if let Some(group) = [packet.source, packet.destination].into_iter().find(|address| !is_one_host(*address)) {
        return Err(BuildError::AnswerToGroup(group));
    }
    let (source, destination) = (packet.destination, packet.source);
    let (ip_header, maximum) = match source {
        IpAddr::V4(_) => (ipv4::HEADER, ICMP_ERROR_MAXIMUM),
        IpAddr::V6(_) => (ipv6::HEADER, ICMPV6_ERROR_MAXIMUM),
    };
    let mut message = vec![0; icmp::HEADER];
    message.extend(packet.header.iter().chain(packet.payload).take(maximum - ip_header - icmp::HEADER));
    if source.is_ipv4() {
        if let Some(mut header) = MutableIcmpPacket::new(&mut message) {
            header.set_icmp_type(IcmpTypes::DestinationUnreachable);
            header.set_icmp_code(IcmpCode::new(reason.code()));
        }
        let checksum = internet_checksum(&message);
        if let Some(mut header) = MutableIcmpPacket::new(&mut message) {
            header.set_checksum(checksum);
        }
        return with_ip_header(source, destination, protocol::ICMP, &message);
    }
    if let Some(mut header) = MutableIcmpv6Packet::new(&mut message) {
        header.set_icmpv6_type(Icmpv6Types::DestinationUnreachable);
        header.set_icmpv6_code(Icmpv6Code::new(reason.code_version_6()));
    }
    let checksum = transport_checksum(source, destination, protocol::ICMPV6, &message);
    if let Some(mut header) = MutableIcmpv6Packet::new(&mut message) {
        header.set_checksum(checksum);
    }
    with_ip_header(source, destination, protocol::ICMPV6, &message)
}

fn is_one_host(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || is_broadcast)
}

fn with_ip_header(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Result<Vec<u8>, BuildError> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => with_ipv4_header(source, destination, protocol, payload),
        (IpAddr::V6(source), IpAddr::V6(destination)) => with_ipv6_header(source, destination, protocol, payload),
        (from, to) => Err(BuildError::MixedFamilies { from, to }),
    }
}

fn with_ipv4_header(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    payload: &[u8],
) -> Result<Vec<u8>, BuildError> {
    let length = ipv4::HEADER + payload.len();
    let mut packet = Vec::with_capacity(length);
    packet.resize(ipv4::HEADER, 0);
    if let Some(mut header) = MutableIpv4Packet::new(&mut packet) {
        header.set_version(4);
        header.set_header_length((ipv4::HEADER / 4) as u8);
        header.set_total_length(u16::try_from(length).map_err(|_| BuildError::TooLong(length))?);
        // Never to be fragmented, so that it needs no identification (RFC 6864, section 4.1).
        header.set_flags(Ipv4Flags::DontFragment);
        header.set_ttl(TTL);
        header.set_next_level_protocol(IpNextHeaderProtocol::new(protocol));
        header.set_source(source);
        header.set_destination(destination);
    }
    let checksum = internet_checksum(&packet);
    if let Some(mut header) = MutableIpv4Packet::new(&mut packet) {
        header.set_checksum(checksum);
    }
    packet.extend_from_slice(payload);
    Ok(packet)
}

fn with_ipv6_header(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    protocol: u8,
    payload: &[u8],
) -> Result<Vec<u8>, BuildError> {
    let length = ipv6::HEADER + payload.len();
    let payload_length = u16::try_from(payload.len()).map_err(|_| BuildError::TooLong(length))?;
    if length > DATAGRAM {
        return Err(BuildError::TooLong(length));
    }
    let mut packet = Vec::with_capacity(length);
    packet.resize(ipv6::HEADER, 0);
    if let Some(mut header) = MutableIpv6Packet::new(&mut packet) {
        header.set_version(6);
        header.set_payload_length(payload_length);
        header.set_next_header(IpNextHeaderProtocol::new(protocol));
        header.set_hop_limit(TTL);
        header.set_source(source);
        header.set_destination(destination);
    }
    packet.extend_from_slice(payload);
    Ok(packet)
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;
