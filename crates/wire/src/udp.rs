//! Datagrams of UDP (RFC 768).

use crate::anomaly::WireAnomaly;
use crate::bytes::clamped;

/// Octets of a UDP header.
pub(crate) const HEADER: usize = 8;

/// A datagram of UDP: a view that borrows from the packet.
#[derive(Clone, Copy, Debug)]
pub struct UdpDatagram<'a> {
    /// The sender's port; zero when no answer is expected.
    pub source_port: u16,
    /// The receiver's port.
    pub destination_port: u16,
    /// The length of header and payload as it stands in the header; zero only in IPv6 jumbograms (RFC 2675).
    pub length: u16,
    /// The checksum as it stands in the header; zero for none (IPv4).
    pub checksum: u16,
    /// The header.
    pub header: &'a [u8],
    /// The octets of data that were captured, without what follows after the length that the header gives.
    pub payload: &'a [u8],
    /// How many octets of the payload the capture did not keep.
    pub missing: usize,
}

impl<'a> UdpDatagram<'a> {
    /// Reads a datagram from the payload of an IP packet of which `missing` more octets were not captured.
    ///
    /// # Errors
    ///
    /// [`WireAnomaly::UdpTruncated`] for less than 8 octets and [`WireAnomaly::UdpLength`] for a length below 8 or beyond the
    /// packet. A receiver drops both.
    #[inline]
    pub fn parse(data: &'a [u8], missing: usize) -> Result<Self, WireAnomaly> {
        let (fixed, rest) = data.split_first_chunk::<HEADER>().ok_or(WireAnomaly::UdpTruncated)?;
        let length = u16::from_be_bytes([fixed[4], fixed[5]]);
        let whole = data.len().saturating_add(missing);
        // Zero means "to the end" in a packet that 16 bits cannot count (RFC 2675, section 4); also from send offload.
        let claimed = match length {
            0 if whole > usize::from(u16::MAX) => whole,
            _ => usize::from(length),
        };
        if claimed < HEADER || claimed > whole {
            return Err(WireAnomaly::UdpLength);
        }
        let payload = clamped(rest, 0, claimed - HEADER);
        Ok(Self {
            source_port: u16::from_be_bytes([fixed[0], fixed[1]]),
            destination_port: u16::from_be_bytes([fixed[2], fixed[3]]),
            length,
            checksum: u16::from_be_bytes([fixed[6], fixed[7]]),
            header: fixed,
            payload,
            missing: (claimed - HEADER).saturating_sub(payload.len()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATAGRAM: [u8; 12] = [0x00, 0x35, 0x30, 0x39, 0x00, 0x0b, 0xab, 0xcd, b'a', b'b', b'c', 0x00];

    #[test]
    fn fields_are_where_they_belong_and_padding_is_cut() {
        let datagram = UdpDatagram::parse(&DATAGRAM, 0).unwrap();
        assert_eq!((datagram.source_port, datagram.destination_port), (53, 12345));
        assert_eq!((datagram.length, datagram.checksum), (11, 0xabcd));
        assert_eq!((datagram.payload, datagram.missing), (&b"abc"[..], 0));
        assert_eq!(datagram.header, &DATAGRAM[..8]);
    }

    #[test]
    fn impossible_lengths_are_named() {
        assert_eq!(UdpDatagram::parse(&DATAGRAM[..7], 0).unwrap_err(), WireAnomaly::UdpTruncated);
        assert_eq!(UdpDatagram::parse(&DATAGRAM[..10], 0).unwrap_err(), WireAnomaly::UdpLength);
        for length in [0, 7] {
            let mut short = DATAGRAM;
            short[5] = length;
            assert_eq!(UdpDatagram::parse(&short, 0).unwrap_err(), WireAnomaly::UdpLength);
        }
    }

    #[test]
    fn what_the_capture_cut_off_is_counted() {
        let datagram = UdpDatagram::parse(&DATAGRAM[..10], 1).unwrap();
        assert_eq!((datagram.payload, datagram.missing), (&b"ab"[..], 1));
    }

    #[test]
    fn a_jumbogram_reaches_to_the_end() {
        let mut data = vec![0; 70_000];
        data[3] = 53;
        assert_eq!(UdpDatagram::parse(&data, 0).unwrap().payload.len(), 70_000 - 8);
    }
}
