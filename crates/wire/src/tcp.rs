//! Segments of TCP (RFC 9293, section 3.1).

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

use crate::anomaly::{AnomalySet, WireAnomaly};
use crate::bytes::clamped;
use crate::sequence::SequenceNumber;
use crate::tcp_options::TcpOptions;

/// Octets of a TCP header without options.
pub(crate) const HEADER: usize = 20;

/// A segment of TCP: a view that borrows from the packet.
#[derive(Clone, Copy, Debug)]
pub struct TcpSegment<'a> {
    /// The sender's port.
    pub source_port: u16,
    /// The receiver's port.
    pub destination_port: u16,
    /// The number of the first octet of the payload, or of the SYN before it.
    pub sequence: SequenceNumber,
    /// The number of the next octet that the sender expects; means something only with [`TcpFlags::ACK`].
    pub acknowledgement: SequenceNumber,
    /// The eight control bits.
    pub flags: TcpFlags,
    /// The four reserved bits after the data offset; zero from honest senders (the lowest is ECN's AE bit).
    pub reserved: u8,
    /// The receive window as it stands in the header, before any window scale.
    pub window: u16,
    /// The checksum as it stands in the header; see [`IpPacket::verify_transport`](crate::IpPacket::verify_transport).
    pub checksum: u16,
    /// The urgent pointer; means something only with [`TcpFlags::URG`].
    pub urgent: u16,
    /// The options, read when they are asked for.
    pub options: TcpOptions<'a>,
    /// The header with its options.
    pub header: &'a [u8],
    /// The octets of data that were captured; [`IpPacket::missing`](crate::IpPacket::missing) says how many were not.
    pub payload: &'a [u8],
}

impl<'a> TcpSegment<'a> {
    /// Reads a segment from the payload of an IP packet, which must be whole or cut at its end.
    ///
    /// # Errors
    ///
    /// [`WireAnomaly::TcpHeaderTruncated`] for less than 20 octets and [`WireAnomaly::TcpDataOffset`] for a header length
    /// below 20 or past the end. A receiver drops both.
    #[inline]
    pub fn parse(data: &'a [u8]) -> Result<Self, WireAnomaly> {
        let fixed: &[u8; HEADER] = data.first_chunk().ok_or(WireAnomaly::TcpHeaderTruncated)?;
        let header_length = usize::from(fixed[12] >> 4) * 4;
        if header_length < HEADER {
            return Err(WireAnomaly::TcpDataOffset);
        }
        let (header, payload) = data.split_at_checked(header_length).ok_or(WireAnomaly::TcpDataOffset)?;
        Ok(Self {
            source_port: u16::from_be_bytes([fixed[0], fixed[1]]),
            destination_port: u16::from_be_bytes([fixed[2], fixed[3]]),
            sequence: SequenceNumber(u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]])),
            acknowledgement: SequenceNumber(u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]])),
            flags: TcpFlags(fixed[13]),
            reserved: fixed[12] & 0x0f,
            window: u16::from_be_bytes([fixed[14], fixed[15]]),
            checksum: u16::from_be_bytes([fixed[16], fixed[17]]),
            urgent: u16::from_be_bytes([fixed[18], fixed[19]]),
            options: TcpOptions::new(clamped(header, HEADER, header_length)),
            header,
            payload,
        })
    }

    /// How much of the sequence space the segment takes: its captured payload, and one each for SYN and FIN (RFC 9293, "SEG.LEN").
    pub fn sequence_length(&self) -> u32 {
        let controls = u32::from(self.flags.contains(TcpFlags::SYN)) + u32::from(self.flags.contains(TcpFlags::FIN));
        // A payload never exceeds what 32 bits hold: an IPv6 jumbogram ends below 2^32.
        (self.payload.len() as u32).wrapping_add(controls)
    }

    /// The number after the last one of this segment.
    pub fn sequence_end(&self) -> SequenceNumber {
        self.sequence.wrapping_add(self.sequence_length())
    }

    /// What is odd about the header; looks at the options only when there are some.
    pub fn anomalies(&self) -> AnomalySet {
        let mut anomalies = AnomalySet::EMPTY;
        if self.flags.is_illegal() {
            anomalies.insert(WireAnomaly::TcpFlagsIllegal);
        }
        if self.reserved != 0 {
            anomalies.insert(WireAnomaly::TcpReserved);
        }
        if self.urgent != 0 && !self.flags.contains(TcpFlags::URG) {
            anomalies.insert(WireAnomaly::TcpUrgentPointer);
        }
        if self.source_port == 0 || self.destination_port == 0 {
            anomalies.insert(WireAnomaly::TransportPortZero);
        }
        if !self.options.is_well_formed() {
            anomalies.insert(WireAnomaly::TcpOptionsMalformed);
        }
        anomalies
    }
}

/// The eight control bits of a TCP header.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// No flag.
    pub const EMPTY: Self = Self(0x00);
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push function.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgement number means something.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer means something.
    pub const URG: Self = Self(0x20);
    /// Echo of congestion (RFC 3168).
    pub const ECE: Self = Self(0x40);
    /// Congestion window reduced (RFC 3168).
    pub const CWR: Self = Self(0x80);

    const LETTERS: [(Self, char); 8] = [
        (Self::SYN, 'S'),
        (Self::FIN, 'F'),
        (Self::RST, 'R'),
        (Self::PSH, 'P'),
        (Self::ACK, 'A'),
        (Self::URG, 'U'),
        (Self::ECE, 'E'),
        (Self::CWR, 'C'),
    ];

    /// The bits as they stand in the header.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether all of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether one of `other` is set.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The flags of both.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These flags without those of `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether none is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether no implementation sends these flags together: none of SYN, ACK, RST and FIN; SYN with FIN or RST; FIN without
    /// ACK (the NULL, XMAS and SYN+FIN scans; attack T13).
    pub const fn is_illegal(self) -> bool {
        let controls = self.0 & (Self::SYN.0 | Self::ACK.0 | Self::RST.0 | Self::FIN.0);
        let syn_with_end = self.contains(Self::SYN) && self.intersects(Self(Self::FIN.0 | Self::RST.0));
        let bare_fin = self.contains(Self::FIN) && !self.intersects(Self(Self::ACK.0 | Self::RST.0));
        controls == 0 || syn_with_end || bare_fin
    }
}

impl BitOr for TcpFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

impl BitOrAssign for TcpFlags {
    fn bitor_assign(&mut self, other: Self) {
        *self = self.union(other);
    }
}

/// One letter a flag, as `SA` for SYN and ACK; `.` for none.
impl fmt::Display for TcpFlags {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return formatter.write_str(".");
        }
        Self::LETTERS.iter().filter(|(flag, _)| self.contains(*flag)).try_for_each(|(_, letter)| {
            use fmt::Write;
            formatter.write_char(*letter)
        })
    }
}

impl fmt::Debug for TcpFlags {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TcpFlags({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: [u8; 26] = [
        0x30, 0x39, 0x00, 0x19, // 12345 to 25
        0x00, 0x00, 0x00, 0x07, // sequence 7
        0xff, 0xff, 0xff, 0xff, // acknowledgement 2^32 - 1
        0x60, 0x19, 0x01, 0x02, // 24 octets, FIN PSH ACK, window 258
        0xab, 0xcd, 0x00, 0x00, // checksum, no urgent pointer
        0x02, 0x04, 0x05, 0xb4, // MSS 1460
        b'h', b'i',
    ];

    #[test]
    fn fields_are_where_they_belong() {
        let segment = TcpSegment::parse(&SEGMENT).unwrap();
        assert_eq!((segment.source_port, segment.destination_port), (12345, 25));
        assert_eq!(segment.sequence, SequenceNumber(7));
        assert_eq!(segment.acknowledgement, SequenceNumber(u32::MAX));
        assert_eq!(segment.flags, TcpFlags::FIN | TcpFlags::PSH | TcpFlags::ACK);
        assert_eq!((segment.window, segment.checksum, segment.urgent), (258, 0xabcd, 0));
        assert_eq!(segment.options.mss(), Some(1460));
        assert_eq!((segment.header.len(), segment.payload), (24, &b"hi"[..]));
        assert_eq!(segment.sequence_length(), 3);
        assert_eq!(segment.sequence_end(), SequenceNumber(10));
        assert!(segment.anomalies().is_empty());
    }

    #[test]
    fn impossible_header_lengths_are_named() {
        assert_eq!(TcpSegment::parse(&SEGMENT[..19]).unwrap_err(), WireAnomaly::TcpHeaderTruncated);
        assert_eq!(TcpSegment::parse(&SEGMENT[..23]).unwrap_err(), WireAnomaly::TcpDataOffset);
        let mut short = SEGMENT;
        short[12] = 0x40;
        assert_eq!(TcpSegment::parse(&short).unwrap_err(), WireAnomaly::TcpDataOffset);
    }

    #[test]
    fn odd_headers_are_named() {
        let mut odd = SEGMENT;
        odd[1] = 0;
        odd[0] = 0;
        odd[12] = 0x61;
        odd[13] = 0;
        odd[19] = 1;
        odd[21] = 1; // option length below 2
        let anomalies: Vec<_> = TcpSegment::parse(&odd).unwrap().anomalies().iter().collect();
        assert_eq!(
            anomalies,
            [
                WireAnomaly::TcpFlagsIllegal,
                WireAnomaly::TcpOptionsMalformed,
                WireAnomaly::TcpReserved,
                WireAnomaly::TcpUrgentPointer,
                WireAnomaly::TransportPortZero,
            ]
        );
    }

    #[test]
    fn scans_have_illegal_flags_and_handshakes_do_not() {
        let null = TcpFlags::EMPTY;
        let xmas = TcpFlags::FIN | TcpFlags::PSH | TcpFlags::URG;
        for flags in [null, xmas, TcpFlags::SYN | TcpFlags::FIN, TcpFlags::SYN | TcpFlags::RST, TcpFlags::FIN] {
            assert!(flags.is_illegal(), "{flags}");
        }
        for flags in [
            TcpFlags::SYN,
            TcpFlags::SYN | TcpFlags::ACK,
            TcpFlags::SYN | TcpFlags::ECE | TcpFlags::CWR,
            TcpFlags::ACK,
            TcpFlags::FIN | TcpFlags::ACK,
            TcpFlags::RST,
            TcpFlags::RST | TcpFlags::ACK,
        ] {
            assert!(!flags.is_illegal(), "{flags}");
        }
    }

    #[test]
    fn flags_print_as_letters() {
        assert_eq!((TcpFlags::SYN | TcpFlags::ACK).to_string(), "SA");
        assert_eq!(TcpFlags(0xff).to_string(), "SFRPAUEC");
        assert_eq!(TcpFlags::EMPTY.to_string(), ".");
        assert_eq!(TcpFlags(0xff).without(TcpFlags::CWR).bits(), 0x7f);
    }
}
