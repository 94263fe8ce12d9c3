//! What the layers below TCP and UDP say about a packet.

use std::net::IpAddr;

use portcullis_wire::{IpPacket, Timestamp};

/// What the flow table wants to know about a packet besides its segment or datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// When the packet was captured. Times that step back count as the latest one.
    pub time: Timestamp,
    /// The outermost VLAN, 0 for none. The same addresses on two VLANs are two flows.
    pub vlan: u16,
    /// The address of the sender.
    pub source: IpAddr,
    /// The address of the receiver.
    pub destination: IpAddr,
    /// The length of the packet on the wire in bytes, from its IP header on.
    pub length: u32,
    /// How many bytes at the end of the packet the capture cut off.
    pub missing: u32,
    /// The time to live, or hop limit.
    pub ttl: u8,
}

impl Envelope {
    /// Takes what is wanted from an IP packet.
    pub fn new(time: Timestamp, vlan: u16, packet: &IpPacket<'_>) -> Envelope {
        Envelope {
            time,
            vlan,
            source: packet.source,
            destination: packet.destination,
            length: u32::try_from(packet.length()).unwrap_or(u32::MAX),
            missing: u32::try_from(packet.missing).unwrap_or(u32::MAX),
            ttl: packet.ttl,
        }
    }
}
