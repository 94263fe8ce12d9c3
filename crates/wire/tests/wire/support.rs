//! Packets made by another implementation, and a walk over everything that can be asked of a packet.

use etherparse::{Ipv4Header, Ipv4Options, PacketBuilder, TcpHeader, VlanId};
use portcullis_wire::{Decoded, IpPacket, LinkType, Network, Transport, decode};
use proptest::prelude::*;

/// What a packet is made of.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) vlans: Vec<u16>,
    pub(crate) version_6: bool,
    pub(crate) source: [u8; 16],
    pub(crate) destination: [u8; 16],
    /// In units of 4 octets, each octet "no operation".
    pub(crate) ip_options: usize,
    pub(crate) is_tcp: bool,
    pub(crate) ports: (u16, u16),
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    /// In units of 4 octets.
    pub(crate) tcp_options: usize,
    pub(crate) payload: Vec<u8>,
    /// Octets of zero after the packet, as Ethernet pads.
    pub(crate) padding: usize,
}

/// Recipes of every kind of packet that `etherparse` can make and we can read.
pub(crate) fn recipes() -> impl Strategy<Value = Recipe> {
    let link = (prop::collection::vec(0..4096_u16, 0..3), 0..10_usize);
    let ip = (any::<bool>(), any::<[u8; 16]>(), any::<[u8; 16]>(), 0..11_usize);
    let transport =
        (any::<bool>(), any::<(u16, u16)>(), any::<u32>(), any::<u32>(), any::<u8>(), any::<u16>(), 0..11_usize);
    (link, ip, transport, prop::collection::vec(any::<u8>(), 0..200)).prop_map(|(link, ip, transport, payload)| {
        let (vlans, padding) = link;
        let (version_6, source, destination, ip_options) = ip;
        let (is_tcp, ports, sequence, acknowledgement, flags, window, tcp_options) = transport;
        Recipe {
            vlans,
            version_6,
            source,
            destination,
            ip_options,
            is_tcp,
            ports,
            sequence,
            acknowledgement,
            flags,
            window,
            tcp_options,
            payload,
            padding,
        }
    })
}

impl Recipe {
    /// Lets `etherparse` make the frame, with its checksums.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let vlan = |number: usize| VlanId::try_new(self.vlans[number]).unwrap();
        let ethernet = PacketBuilder::ethernet2([2; 6], [4; 6]);
        let ip = self.ip_headers();
        let ip = match self.vlans.len() {
            0 => ethernet.ip(ip),
            1 => ethernet.single_vlan(vlan(0)).ip(ip),
            _ => ethernet.double_vlan(vlan(0), vlan(1)).ip(ip),
        };
        let mut frame = Vec::new();
        if self.is_tcp {
            let mut header = TcpHeader::new(self.ports.0, self.ports.1, self.sequence, self.window);
            header.acknowledgment_number = self.acknowledgement;
            header.set_options_raw(&vec![1; self.tcp_options * 4]).unwrap();
            let bit = |number: u8| self.flags & (1 << number) != 0;
            (header.fin, header.syn, header.rst, header.psh) = (bit(0), bit(1), bit(2), bit(3));
            (header.ack, header.urg, header.ece, header.cwr) = (bit(4), bit(5), bit(6), bit(7));
            ip.tcp_header(header).write(&mut frame, &self.payload).unwrap();
        } else {
            ip.udp(self.ports.0, self.ports.1).write(&mut frame, &self.payload).unwrap();
        }
        frame.resize(frame.len() + self.padding, 0);
        frame
    }

    fn ip_headers(&self) -> etherparse::IpHeaders {
        if self.version_6 {
            let header = etherparse::Ipv6Header {
                source: self.source,
                destination: self.destination,
                hop_limit: 64,
                ..Default::default()
            };
            return etherparse::IpHeaders::Ipv6(header, Default::default());
        }
        let first = |octets: [u8; 16]| [octets[0], octets[1], octets[2], octets[3]];
        let mut header =
            Ipv4Header::new(0, 64, etherparse::IpNumber::TCP, first(self.source), first(self.destination)).unwrap();
        header.options = Ipv4Options::try_from(&vec![1; self.ip_options * 4][..]).unwrap();
        etherparse::IpHeaders::Ipv4(header, Default::default())
    }
}

/// Asks everything that can be asked of a packet, so that whatever could panic does.
pub(crate) fn ask_everything(link: LinkType, data: &[u8]) {
    let decoded = decode(link, data);
    let _ = format!("{decoded:?} {:?} {}", decoded.vlans.as_slice(), decoded.vlans.outer());
    for anomaly in decoded.anomalies.iter() {
        assert!(!anomaly.name().is_empty());
    }
    if let Some(packet) = ip_of(&decoded) {
        assert!(packet.header.len() + packet.payload.len() <= data.len());
        ask_ip(packet);
    }
}

fn ask_ip(packet: &IpPacket<'_>) {
    let _ = (packet.ports(), packet.length(), packet.verify_header(), packet.verify_transport());
    let _ = portcullis_wire::unreachable(packet, portcullis_wire::Unreachable::Port);
    match packet.transport() {
        Transport::Tcp(segment) => {
            assert_eq!(segment.header.len() + segment.payload.len(), packet.payload.len());
            let _ = format!("{segment:?} {:?} {:?}", segment.options.values(), segment.anomalies());
            let _ = (segment.sequence_end(), segment.options.is_well_formed(), segment.options.iter().count());
            let _ = portcullis_wire::reset_to_sender(packet, &segment);
            let _ = portcullis_wire::reset_to_receiver(packet, &segment);
        }
        Transport::Udp(datagram) => {
            assert!(datagram.header.len() + datagram.payload.len() <= packet.payload.len());
        }
        Transport::Icmp(message) => {
            if let Some(quoted) = message.quoted() {
                let _ = (quoted.ports(), quoted.verify_transport(), format!("{:?}", quoted.transport()));
            }
        }
        Transport::Fragment | Transport::Malformed(_) | Transport::Other(_) => {}
    }
}

/// The IP packet in a frame, if there is one.
pub(crate) fn ip_of<'a, 'b>(decoded: &'b Decoded<'a>) -> Option<&'b IpPacket<'a>> {
    match &decoded.network {
        Network::Ip(packet) => Some(packet),
        _ => None,
    }
}
