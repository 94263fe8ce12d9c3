//! Messages of ICMP (RFC 792) and ICMPv6 (RFC 4443).

use crate::anomaly::{AnomalySet, WireAnomaly};
use crate::decode::Network;
use crate::ip::{self, IpPacket};

/// Octets of an ICMP header, of which the last four depend on the kind.
pub(crate) const HEADER: usize = 8;

/// A message of ICMP, of either family: a view that borrows from the packet.
#[derive(Clone, Copy, Debug)]
pub struct IcmpMessage<'a> {
    /// Whether this is ICMPv6, whose kinds are numbered otherwise.
    pub version_6: bool,
    /// The type of the message.
    pub kind: u8,
    /// The code within the type.
    pub code: u8,
    /// The checksum as it stands in the header.
    pub checksum: u16,
    /// The second four octets of the header: identifier and sequence of an echo, or the next hop's MTU.
    pub parameter: [u8; 4],
    /// What follows the header.
    pub payload: &'a [u8],
}

impl<'a> IcmpMessage<'a> {
    /// Reads a message from the payload of an IP packet.
    ///
    /// # Errors
    ///
    /// [`WireAnomaly::IcmpTruncated`] for less than 8 octets.
    pub fn parse(data: &'a [u8], version_6: bool) -> Result<Self, WireAnomaly> {
        let (fixed, payload) = data.split_first_chunk::<HEADER>().ok_or(WireAnomaly::IcmpTruncated)?;
        Ok(Self {
            version_6,
            kind: fixed[0],
            code: fixed[1],
            checksum: u16::from_be_bytes([fixed[2], fixed[3]]),
            parameter: [fixed[4], fixed[5], fixed[6], fixed[7]],
            payload,
        })
    }

    /// Whether the message reports an error about another packet, which it quotes.
    pub const fn is_error(&self) -> bool {
        if self.version_6 { self.kind < 128 } else { matches!(self.kind, 3 | 4 | 5 | 11 | 12) }
    }

    /// The packet that an error is about, mostly cut after its first octets of transport header; use [`IpPacket::ports`] on it.
    pub fn quoted(&self) -> Option<IpPacket<'a>> {
        if !self.is_error() {
            return None;
        }
        // What is odd about the quoted packet was told when it came by itself.
        match ip::decode(self.payload, &mut AnomalySet::default()) {
            Network::Ip(packet) => Some(packet),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNREACHABLE: [u8; 36] = [
        3, 3, 0xab, 0xcd, 0, 0, 0, 0, // port unreachable
        0x45, 0, 0, 60, 0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, // IPv4
        0x30, 0x39, 0x00, 0x35, 0, 40, 0, 0, // UDP 12345 to 53
    ];

    #[test]
    fn an_error_quotes_its_packet() {
        let message = IcmpMessage::parse(&UNREACHABLE, false).unwrap();
        assert_eq!((message.kind, message.code, message.checksum), (3, 3, 0xabcd));
        let quoted = message.quoted().unwrap();
        assert_eq!(quoted.ports(), Some((12345, 53)));
        assert_eq!(quoted.destination.to_string(), "192.0.2.2");
        assert_eq!(quoted.missing, 32);
    }

    #[test]
    fn an_echo_quotes_nothing() {
        let mut echo = UNREACHABLE;
        echo[0] = 8;
        assert!(IcmpMessage::parse(&echo, false).unwrap().quoted().is_none());
        echo[0] = 128;
        assert!(IcmpMessage::parse(&echo, true).unwrap().quoted().is_none());
    }

    #[test]
    fn short_messages_are_named() {
        assert_eq!(IcmpMessage::parse(&UNREACHABLE[..7], false).unwrap_err(), WireAnomaly::IcmpTruncated);
    }
}
