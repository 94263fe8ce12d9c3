//! Link types as capture files number them (LINKTYPE_ values, draft-ietf-opsawg-pcaplinktype).

use portcullis_wire::LinkType;

/// The link type that a capture file calls `number`.
pub(crate) fn from_number(number: u32) -> Option<LinkType> {
    LinkType::from_dlt(u16::try_from(number).ok()?)
}

/// The name of a link type that is not read, to say what a capture is of.
pub(crate) fn name_of_unknown(number: u32) -> &'static str {
    match number {
        3 => "AX.25",
        6 => "IEEE 802.5 token ring",
        7 => "ARCNET",
        8 => "SLIP",
        9 => "PPP",
        10 => "FDDI",
        50 => "PPP in HDLC framing",
        51 => "PPPoE",
        100 => "RFC 1483 ATM",
        104 => "Cisco HDLC",
        105 => "IEEE 802.11 Wi-Fi",
        107 => "frame relay",
        117 => "OpenBSD pflog",
        119 => "IEEE 802.11 Wi-Fi with Prism header",
        122 => "IP over Fibre Channel",
        127 => "IEEE 802.11 Wi-Fi with radiotap header",
        138 => "IP over FireWire",
        140 => "SS7 MTP2",
        143 => "DOCSIS",
        147..=162 => "a user's own",
        163 => "IEEE 802.11 Wi-Fi with AVS header",
        165 => "BACnet MS/TP",
        166 => "PPP by pppd",
        187 => "Bluetooth HCI",
        189 => "USB, Linux",
        192 => "per-packet information",
        195 => "IEEE 802.15.4 with check sequence",
        197 => "ERF",
        201 => "Bluetooth HCI with direction",
        204 => "PPP with direction",
        220 => "USB, Linux, memory-mapped",
        227 => "CAN bus",
        230 => "IEEE 802.15.4",
        231 => "D-Bus",
        239 => "NFLOG",
        245 => "NFC",
        247 => "InfiniBand",
        249 => "USB, Windows",
        251 => "Bluetooth low energy",
        252 => "Wireshark upper PDU",
        253 => "Netlink",
        258 => "IPMB",
        266 => "USB, macOS",
        272 => "Bluetooth, Apple",
        _ => "a number without a name known here",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_taken_whole() {
        for link in LinkType::ALL {
            assert_eq!(from_number(u32::from(link.dlt())), Some(link));
        }
        assert_eq!(from_number(105), None);
        assert_eq!(from_number(0x1_0001), None, "must not be cut to 16 bits");
    }
}
