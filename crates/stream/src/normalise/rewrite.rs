//! A changed segment as a packet.

use portcullis_wire::{IpPacket, TcpFlags, TcpSegment, internet_checksum, transport_checksum};

use super::reasons::{Change, ChangeSet};

/// Where things stand in the headers, in octets.
const IPV4_TOTAL_LENGTH: usize = 2;
const IPV4_FLAGS: usize = 6;
const IPV4_RESERVED: u8 = 0x80;
const IPV4_TTL: usize = 8;
const IPV4_CHECKSUM: usize = 10;
const IPV6_PAYLOAD_LENGTH: usize = 4;
const IPV6_HOP_LIMIT: usize = 7;
const IPV6_HEADER: usize = 40;
const TCP_OFFSET: usize = 12;
const TCP_FLAGS: usize = 13;
const TCP_CHECKSUM: usize = 16;
const TCP_URGENT: usize = 18;
const TCP_HEADER: usize = 20;

/// What is to be changed about a segment before it leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    pub(super) changes: ChangeSet,
    /// The payload, if it is another one; never longer than it was.
    pub(super) payload: Option<Vec<u8>>,
    /// The options, as many octets as there were.
    pub(super) options: Option<Vec<u8>>,
    /// Flags that are taken away.
    pub(super) without: TcpFlags,
    /// The time to live.
    pub(super) ttl: Option<u8>,
}

impl Rewrite {
    /// Notes what is to be changed about the IP header.
    pub(super) fn clean_ip(&mut self, ip: &IpPacket<'_>, minimum_ttl: Option<u8>) {
        if let Some(floor) = minimum_ttl
            && ip.ttl < floor
        {
            self.ttl = Some(floor);
            self.changes.insert(Change::TimeToLive);
        }
        if has_reserved_bit(ip) {
            self.changes.insert(Change::Reserved);
        }
    }

    /// What is changed.
    pub fn changes(&self) -> ChangeSet {
        self.changes
    }

    /// The payload that leaves.
    pub fn payload<'p>(&'p self, segment: &TcpSegment<'p>) -> &'p [u8] {
        self.payload.as_deref().unwrap_or(segment.payload)
    }

    /// The options that leave.
    pub fn options<'p>(&'p self, segment: &TcpSegment<'p>) -> &'p [u8] {
        self.options.as_deref().unwrap_or(segment.options.as_bytes())
    }

    /// The flags that leave.
    pub fn flags(&self, segment: &TcpSegment<'_>) -> TcpFlags {
        TcpFlags(segment.flags.0 & !self.without.0)
    }

    /// The packet as it leaves, from its IP header on, with right checksums. `segment` must be what `ip` carries.
    pub fn apply(&self, ip: &IpPacket<'_>, segment: &TcpSegment<'_>) -> Vec<u8> {
        let payload = self.payload(segment);
        let mut packet = Vec::with_capacity(ip.header.len() + segment.header.len() + payload.len());
        packet.extend_from_slice(ip.header);
        packet.extend_from_slice(segment.header);
        packet.extend_from_slice(payload);
        let length = packet.len();
        if let Some((header, rest)) = packet.split_at_mut_checked(ip.header.len()) {
            self.change_tcp(rest, segment);
            put(rest, TCP_CHECKSUM, &[0, 0]);
            let checksum = transport_checksum(ip.source, ip.destination, ip.protocol, rest);
            put(rest, TCP_CHECKSUM, &checksum.to_be_bytes());
            self.change_ip(header, ip.source.is_ipv4(), length);
        }
        packet
    }

    fn change_tcp(&self, tcp: &mut [u8], segment: &TcpSegment<'_>) {
        put(tcp, TCP_FLAGS, &[self.flags(segment).0]);
        if self.changes.contains(Change::Urgent) {
            put(tcp, TCP_URGENT, &[0, 0]);
        }
        if self.changes.contains(Change::Reserved)
            && let Some(octet) = tcp.get_mut(TCP_OFFSET)
        {
            *octet &= 0xf0;
        }
        if let Some(options) = &self.options {
            put(tcp, TCP_HEADER, options);
        }
    }

    fn change_ip(&self, header: &mut [u8], version_4: bool, length: usize) {
        // Never longer than it was, so that what fitted fits.
        if version_4 {
            put(header, IPV4_TOTAL_LENGTH, &u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
            if let Some(ttl) = self.ttl {
                put(header, IPV4_TTL, &[ttl]);
            }
            if self.changes.contains(Change::Reserved)
                && let Some(octet) = header.get_mut(IPV4_FLAGS)
            {
                *octet &= !IPV4_RESERVED;
            }
            put(header, IPV4_CHECKSUM, &[0, 0]);
            let checksum = internet_checksum(header);
            put(header, IPV4_CHECKSUM, &checksum.to_be_bytes());
        } else {
            let payload = length.saturating_sub(IPV6_HEADER);
            put(header, IPV6_PAYLOAD_LENGTH, &u16::try_from(payload).unwrap_or(0).to_be_bytes());
            if let Some(limit) = self.ttl {
                put(header, IPV6_HOP_LIMIT, &[limit]);
            }
        }
    }
}

/// Whether an IP header is to be changed.
pub(super) fn is_ip_odd(ip: &IpPacket<'_>, minimum_ttl: Option<u8>) -> bool {
    minimum_ttl.is_some_and(|floor| ip.ttl < floor) || has_reserved_bit(ip)
}

/// Whether the bit beside those of fragments is set, which has no meaning (RFC 791 section 3.1).
fn has_reserved_bit(ip: &IpPacket<'_>) -> bool {
    ip.source.is_ipv4() && ip.header.get(IPV4_FLAGS).is_some_and(|octet| octet & IPV4_RESERVED != 0)
}

/// Overwrites octets where they are there.
fn put(octets: &mut [u8], at: usize, with: &[u8]) {
    if let Some(place) = octets.get_mut(at..).and_then(|rest| rest.get_mut(..with.len())) {
        place.copy_from_slice(with);
    }
}
