//! Views of packets from the link layer to TCP and UDP, checksums, fragments, and building of packets.
//!
//! This is the lowest layer of Portcullis that sees traffic. It knows nothing of flows: each packet is read by itself, except
//! that a [`Defragmenter`] puts the fragments of a datagram together. The way of a packet through it:
//!
//! * [`decode`] walks from the [`LinkType`] over VLAN tags to the [`Network`] layer: [`IpPacket`] is one view for both
//!   versions, with IPv6 extension headers walked.
//! * [`IpPacket::transport`] reads what it carries: a [`TcpSegment`], a [`UdpDatagram`], an [`IcmpMessage`], or a fragment.
//! * [`IpPacket::verify_header`] and [`IpPacket::verify_transport`] check checksums, which costs a walk over the payload and is
//!   therefore asked for.
//! * [`TcpPacket`], [`UdpPacket`], [`reset_to_sender`], [`reset_to_receiver`] and [`unreachable()`] make packets of our own.
//!
//! Three promises hold for every function:
//!
//! * **No octets can make it panic**, and every walk and buffer has a bound in [`limits`].
//! * **Views do not judge.** They borrow from the packet, allocate nothing, and name what is odd as a [`WireAnomaly`]; whether
//!   that matters is for a policy. What a receiver would drop is not handed on as if it were whole.
//! * **Where senders can be ambiguous, Linux decides**: which TCP options count, which fragments overlap.
//!
//! ```
//! use portcullis_wire::{LinkType, Network, SequenceNumber, TcpFlags, TcpPacket, Transport, decode};
//!
//! let greeting = TcpPacket::data(
//!     "192.0.2.25:25".parse()?,
//!     "192.0.2.1:40000".parse()?,
//!     SequenceNumber(1_000),
//!     SequenceNumber(500),
//!     65_535,
//!     b"220 mail.example ESMTP\r\n",
//! );
//! let packet = greeting.build()?;
//!
//! let decoded = decode(LinkType::RawIp, &packet);
//! assert!(decoded.anomalies.is_empty());
//! let Network::Ip(ip) = decoded.network else { panic!("an IP packet") };
//! let Transport::Tcp(segment) = ip.transport() else { panic!("a TCP segment") };
//! assert_eq!((segment.source_port, segment.flags), (25, TcpFlags::PSH | TcpFlags::ACK));
//! assert_eq!(segment.payload, b"220 mail.example ESMTP\r\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Not read: tunnels (GRE, VXLAN, IP in IP), MPLS, ARP beyond its name, options of IPv4 other than source routes,
//! authentication headers in IPv4, the LINKTYPE of bare PPP, and 802.11.
#![forbid(unsafe_code)]

mod anomaly;
mod build;
mod bytes;
mod checksum;
mod datagram;
mod decode;
mod ethernet;
mod fragment;
mod icmp;
mod ip;
mod ipv4;
mod ipv6;
pub mod limits;
mod link;
mod overlaps;
mod sequence;
mod tcp;
mod tcp_options;
mod time;
mod udp;

pub use anomaly::{AnomalySet, WireAnomaly};
pub use build::{BuildError, TcpPacket, UdpPacket, Unreachable, reset_to_receiver, reset_to_sender, unreachable};
pub use checksum::{
    ChecksumState, internet_checksum, transport_checksum, update_checksum, update_checksum_32, update_checksum_bytes,
};
pub use decode::{Decoded, Network, VlanIds, decode};
pub use fragment::{Abandoned, Defragmenter, FragmentOutcome, FragmentResult, Reassembled};
pub use icmp::IcmpMessage;
pub use ip::{FragmentInfo, IpPacket, Transport, protocol};
pub use limits::FragmentLimits;
pub use link::LinkType;
pub use overlaps::FragmentOverlaps;
pub use sequence::SequenceNumber;
pub use tcp::{TcpFlags, TcpSegment};
pub use tcp_options::{
    SackBlocks, TcpOption, TcpOptionIterator, TcpOptionValues, TcpOptions, TcpTimestamps, WINDOW_SCALE_MAXIMUM,
};
pub use time::Timestamp;
pub use udp::UdpDatagram;
