//! Views of packets from the link layer to TCP and UDP, checksums, fragments, and building of packets.
//!
//! This is the lowest layer of Portcullis that sees traffic. It knows nothing of flows: each packet is read by itself, except
//! that a [`Defragmenter`] puts the fragments of a datagram together.
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
pub use sequence::SequenceNumber;
pub use tcp::{TcpFlags, TcpSegment};
pub use tcp_options::{
    SackBlocks, TcpOption, TcpOptionIterator, TcpOptionValues, TcpOptions, TcpTimestamps, WINDOW_SCALE_MAXIMUM,
};
pub use time::Timestamp;
pub use udp::UdpDatagram;
