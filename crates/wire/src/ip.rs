//! Packets of IP, of either version, and what they carry.

use std::net::IpAddr;

use crate::anomaly::{AnomalySet, WireAnomaly};
use crate::bytes::u16_at;
use crate::decode::Network;
use crate::icmp::IcmpMessage;
use crate::tcp::TcpSegment;
use crate::udp::UdpDatagram;
use crate::{ipv4, ipv6};

/// Numbers of the protocols above IP, from IANA's registry "Assigned Internet Protocol Numbers".
pub mod protocol {
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
}

/// A packet of IPv4 or IPv6: a view that borrows from the captured octets.
#[derive(Clone, Copy, Debug)]
pub struct IpPacket<'a> {
    /// The sender.
    pub source: IpAddr,
    /// The receiver; with a source route the next stop.
    pub destination: IpAddr,
    /// What the payload is, after all extension headers; see [`protocol`].
    pub protocol: u8,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// Type of service or traffic class.
    pub traffic_class: u8,
    /// The identification of the datagram, 16 bits for IPv4; for IPv6 that of the fragment header, or zero without one.
    pub identification: u32,
    /// Where the payload belongs if this is a part of a datagram.
    pub fragment: Option<FragmentInfo>,
    /// Whether routers must not fragment the packet (always for IPv6).
    pub dont_fragment: bool,
    /// Whether there are IPv4 options or IPv6 extension headers.
    pub has_options: bool,
    /// The IP header with options or extension headers.
    pub header: &'a [u8],
    /// The payload that was captured, without padding of the link layer.
    pub payload: &'a [u8],
    /// How many octets of the packet are not there: cut off by the capture's snaplen (or the length in the header is a lie).
    pub missing: usize,
    /// Why the walk over the headers ended before the transport layer, if it did.
    pub broken: Option<WireAnomaly>,
}

/// Where a fragment belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentInfo {
    /// The offset of the payload in that of the datagram, in octets; a multiple of 8.
    pub offset_bytes: u32,
    /// Whether more fragments follow.
    pub more: bool,
}

/// What an IP packet carries.
#[derive(Clone, Copy, Debug)]
pub enum Transport<'a> {
    /// A part of a datagram; see [`Defragmenter`](crate::Defragmenter).
    Fragment,
    /// ICMP or ICMPv6.
    Icmp(IcmpMessage<'a>),
    /// A header so broken that a receiver drops the packet, or too little of it captured.
    Malformed(WireAnomaly),
    /// A protocol that we do not know, by number.
    Other(u8),
    /// TCP.
    Tcp(TcpSegment<'a>),
    /// UDP.
    Udp(UdpDatagram<'a>),
}

impl<'a> IpPacket<'a> {
    /// Reads what the packet carries.
    #[inline]
    pub fn transport(&self) -> Transport<'a> {
        if let Some(anomaly) = self.broken {
            return Transport::Malformed(anomaly);
        }
        if self.fragment.is_some() {
            return Transport::Fragment;
        }
        let parsed = match self.protocol {
            protocol::TCP => TcpSegment::parse(self.payload).map(Transport::Tcp),
            protocol::UDP => UdpDatagram::parse(self.payload, self.missing).map(Transport::Udp),
            protocol::ICMP if self.source.is_ipv4() => IcmpMessage::parse(self.payload, false).map(Transport::Icmp),
            protocol::ICMPV6 if self.source.is_ipv6() => IcmpMessage::parse(self.payload, true).map(Transport::Icmp),
            other => Ok(Transport::Other(other)),
        };
        parsed.unwrap_or_else(|anomaly| Transport::Malformed(self.blame(anomaly)))
    }

    /// The ports of a TCP or UDP packet, even if no more than them was captured; `None` for later fragments.
    pub fn ports(&self) -> Option<(u16, u16)> {
        let is_start = self.fragment.is_none_or(|fragment| fragment.offset_bytes == 0);
        if !is_start || self.broken.is_some() || !matches!(self.protocol, protocol::TCP | protocol::UDP) {
            return None;
        }
        Some((u16_at(self.payload, 0)?, u16_at(self.payload, 2)?))
    }

    /// The length of the whole packet on the wire in octets, header and payload, as its header gives it.
    pub fn length(&self) -> usize {
        self.header.len().saturating_add(self.payload.len()).saturating_add(self.missing)
    }

    /// A header that is not whole because of the snaplen is the capture's fault, not the sender's.
    fn blame(&self, anomaly: WireAnomaly) -> WireAnomaly {
        use WireAnomaly::{IcmpTruncated, TcpDataOffset, TcpHeaderTruncated, UdpTruncated};
        match anomaly {
            IcmpTruncated | TcpHeaderTruncated | UdpTruncated if self.missing > 0 => WireAnomaly::CaptureCut,
            // Below 20 octets it is a lie however much was captured.
            TcpDataOffset if self.missing > 0 && self.payload.get(12).is_some_and(|octet| octet >> 4 >= 5) => {
                WireAnomaly::CaptureCut
            }
            other => other,
        }
    }
}

/// Reads a packet of the version that its first four bits say.
pub(crate) fn decode<'a>(data: &'a [u8], anomalies: &mut AnomalySet) -> Network<'a> {
    match data.first().map(|octet| octet >> 4) {
        Some(4) => ipv4::decode(data, anomalies),
        Some(6) => ipv6::decode(data, anomalies),
        Some(_) => {
            anomalies.insert(WireAnomaly::IpVersion);
            Network::None
        }
        None => {
            anomalies.insert(WireAnomaly::IpHeaderTruncated);
            Network::None
        }
    }
}
