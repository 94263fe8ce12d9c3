//! A gateway between a client and a server whose segments are written by hand, and what leaves it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use portcullis_lang::Direction;
use portcullis_stream::{
    Change, DropReason, EndReason, Envelope, FlowId, FlowSummary, FlowTable, Limits, Normalised, NormaliserSettings,
    StreamEventKind, StreamEvents, Treatment,
};
use portcullis_wire::{
    ChecksumState, IpPacket, LinkType, Network, SequenceNumber, TcpFlags, TcpPacket, TcpSegment, Timestamp, Transport,
    decode, internet_checksum,
};

use super::receivers::{Arrival, Receiver};
use super::{ACK, SYN, Segment, down, up};

/// A table with a normaliser, a clock, and both ends of its connection.
pub struct Gateway {
    pub table: FlowTable,
    pub now: Timestamp,
    pub client_port: u16,
    pub version_6: bool,
    /// The initial sequence numbers, up first.
    pub isn: [u32; 2],
    pub flow: Option<FlowId>,
    pub last: Option<Normalised>,
    pub ended: Vec<(EndReason, FlowSummary)>,
    /// What left, by direction.
    pub left: [Vec<Arrival>; 2],
    /// The last packet that left.
    pub packet: Vec<u8>,
    anomalies: Vec<String>,
    delivered: [Vec<u8>; 2],
    /// How far each stream was reported, gaps included.
    offsets: HashMap<FlowId, [u64; 2]>,
    gaps: usize,
}

impl Gateway {
    pub fn new() -> Gateway {
        Gateway::with(Limits::default(), NormaliserSettings::default())
    }

    pub fn with(limits: Limits, settings: NormaliserSettings) -> Gateway {
        let services = [25].into_iter().collect();
        Gateway {
            table: FlowTable::new(limits, Some(7)).with_services(services).with_normaliser(settings),
            now: Timestamp::from_seconds(1_700_000_000),
            client_port: 40_000,
            version_6: false,
            isn: [u32::MAX - 20, 5000],
            flow: None,
            last: None,
            ended: Vec::new(),
            left: Default::default(),
            packet: Vec::new(),
            anomalies: Vec::new(),
            delivered: Default::default(),
            offsets: HashMap::new(),
            gaps: 0,
        }
    }

    /// A gateway that has seen a handshake.
    pub fn connected() -> Gateway {
        let mut gateway = Gateway::new();
        gateway.connect();
        gateway
    }

    pub fn connect(&mut self) {
        self.connect_with(&[], &[]);
    }

    pub fn connect_with(&mut self, client: &[u8], server: &[u8]) {
        assert_eq!(self.send(&up(-1, "").flags(SYN).options(client)), "forward");
        assert_eq!(self.send(&down(-1, "").flags(SYN | ACK).options(server)), "forward");
        assert_eq!(self.send(&up(0, "")), "forward");
    }

    /// Sends a segment one millisecond after the one before; says what became of it.
    pub fn send(&mut self, segment: &Segment) -> String {
        let packet = self.build(segment);
        self.send_packet(&packet)
    }

    /// Sends segments; says what became of each.
    pub fn send_all(&mut self, segments: &[Segment]) -> Vec<String> {
        segments.iter().map(|segment| self.send(segment)).collect()
    }

    /// The packet of a segment.
    pub fn build(&self, segment: &Segment) -> Vec<u8> {
        let (client, server): (IpAddr, IpAddr) = if self.version_6 {
            let address = |last| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).into();
            (address(1), address(2))
        } else {
            (Ipv4Addr::new(192, 0, 2, 1).into(), Ipv4Addr::new(192, 0, 2, 2).into())
        };
        let (client, server) = (SocketAddr::new(client, self.client_port), SocketAddr::new(server, 25));
        let (source, destination) = match segment.direction {
            Direction::Up => (client, server),
            Direction::Down => (server, client),
        };
        let number = |direction: Direction, offset: i64| {
            SequenceNumber(self.isn[direction.index()].wrapping_add((1 + offset) as u32))
        };
        let has_ack = segment.flags.contains(ACK);
        let acknowledgement = number(segment.direction.other(), segment.ack);
        let mut options = segment.options.clone();
        options.resize(options.len().next_multiple_of(4), 1);
        let packet = TcpPacket {
            source,
            destination,
            sequence: number(segment.direction, segment.offset),
            acknowledgement: if has_ack { acknowledgement } else { SequenceNumber(0) },
            flags: segment.flags,
            window: segment.window,
            options: &options,
            payload: &segment.payload,
        };
        let mut octets = packet.build().expect("it fits");
        if segment.urgent != 0 {
            let at = octets.len() - segment.payload.len() - options.len() - 2;
            octets[at..at + 2].copy_from_slice(&segment.urgent.to_be_bytes());
            fix_checksums(&mut octets);
        }
        octets
    }

    /// Sends a packet; says what became of it.
    pub fn send_packet(&mut self, octets: &[u8]) -> String {
        self.now = Timestamp(self.now.0 + 1_000_000);
        let (ip, segment) = parsed(octets);
        let mut events = StreamEvents::new();
        let envelope = Envelope::new(self.now, 0, &ip);
        let normalised = self.table.normalise(&envelope, &ip, &segment, &mut events);
        self.note(events);
        let direction = if segment.destination_port == 25 { Direction::Up } else { Direction::Down };
        self.flow = normalised.flow;
        let said = match &normalised.treatment {
            Treatment::Forward => {
                self.leaves(direction, octets);
                "forward".to_string()
            }
            Treatment::Change(rewrite) => {
                let packet = rewrite.apply(&ip, &segment);
                assert!(packet.len() <= octets.len(), "it is never longer");
                let names: Vec<&str> = rewrite.changes().iter().map(Change::name).collect();
                assert!(!names.is_empty());
                self.leaves(direction, &packet);
                format!("change {}", names.join(" "))
            }
            Treatment::Drop(reason) => format!("drop {reason}"),
        };
        self.last = Some(normalised);
        said
    }

    pub fn wait_ms(&mut self, milliseconds: i64) {
        self.now = Timestamp(self.now.0 + milliseconds * 1_000_000);
        let mut events = StreamEvents::new();
        self.table.advance(self.now, &mut events);
        self.note(events);
    }

    /// What was reported of a direction, gaps left out.
    pub fn delivered(&self, direction: Direction) -> &[u8] {
        &self.delivered[direction.index()]
    }

    /// The anomalies since the last call.
    pub fn anomalies(&mut self) -> Vec<String> {
        std::mem::take(&mut self.anomalies)
    }

    pub fn gaps(&self) -> usize {
        self.gaps
    }

    pub fn changed(&self, change: Change) -> u64 {
        self.table.normaliser_statistics().expect("it has one").changed(change)
    }

    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.table.normaliser_statistics().expect("it has one").dropped(reason)
    }

    /// Checks that each receiver reads what was reported, and nothing else.
    pub fn check(&self) {
        for direction in Direction::BOTH {
            self.check_left(direction, &String::from_utf8_lossy(self.delivered(direction)));
        }
    }

    /// Checks that each receiver reads this in what left.
    pub fn check_left(&self, direction: Direction, expected: &str) {
        for mut receiver in Receiver::all() {
            self.left[direction.index()].iter().for_each(|arrival| receiver.take(arrival));
            let read = String::from_utf8_lossy(receiver.read());
            assert_eq!(read, expected, "{direction}: {:?} reads something else", receiver.policy());
        }
    }

    /// Checks what was reported of the client, and that each receiver reads it.
    pub fn check_up(&self, expected: &str) {
        assert_eq!(String::from_utf8_lossy(self.delivered(Direction::Up)), expected);
        self.check();
    }

    fn leaves(&mut self, direction: Direction, octets: &[u8]) {
        let (ip, segment) = parsed(octets);
        assert!(matches!(ip.verify_header(), ChecksumState::Valid | ChecksumState::Absent));
        assert_eq!(ip.verify_transport(), ChecksumState::Valid);
        let first = SequenceNumber(self.isn[direction.index()].wrapping_add(1));
        let arrival = Arrival {
            offset: i64::from(segment.sequence.distance_from(first)),
            flags: segment.flags,
            payload: segment.payload.to_vec(),
        };
        assert!(!segment.flags.contains(SYN) || arrival.payload.is_empty(), "data on a SYN");
        assert!(!segment.flags.contains(TcpFlags::URG) && segment.urgent == 0 || segment.flags.contains(TcpFlags::RST));
        self.left[direction.index()].push(arrival);
        self.packet = octets.to_vec();
    }

    fn note(&mut self, events: StreamEvents<'_>) {
        for event in events {
            let offsets = self.offsets.entry(event.flow).or_default();
            match event.kind {
                StreamEventKind::Started { .. } => {
                    self.delivered = Default::default();
                }
                StreamEventKind::Data { direction, offset, bytes } => {
                    assert_eq!(offset, offsets[direction.index()]);
                    offsets[direction.index()] += bytes.len() as u64;
                    self.delivered[direction.index()].extend_from_slice(&bytes);
                }
                StreamEventKind::Gap { direction, offset, length, .. } => {
                    assert_eq!(offset, offsets[direction.index()]);
                    offsets[direction.index()] += length;
                    self.gaps += 1;
                }
                StreamEventKind::Anomaly { kind, .. } => self.anomalies.push(kind.name().to_string()),
                StreamEventKind::Ended { reason, summary } => self.ended.push((reason, *summary)),
                _ => {}
            }
        }
    }
}

/// Reads a packet from its IP header on.
pub fn parsed(octets: &[u8]) -> (IpPacket<'_>, TcpSegment<'_>) {
    let Network::Ip(ip) = decode(LinkType::RawIp, octets).network else { panic!("an IP packet") };
    let Transport::Tcp(segment) = ip.transport() else { panic!("a segment") };
    (ip, segment)
}

/// Writes the checksums of a TCP packet whose octets were changed.
pub fn fix_checksums(octets: &mut [u8]) {
    let (ip, _) = parsed(octets);
    let (header, source, destination) = (ip.header.len(), ip.source, ip.destination);
    octets[header + 16..header + 18].fill(0);
    let checksum = portcullis_wire::transport_checksum(source, destination, 6, &octets[header..]);
    octets[header + 16..header + 18].copy_from_slice(&checksum.to_be_bytes());
    if source.is_ipv4() {
        octets[10..12].fill(0);
        let checksum = internet_checksum(&octets[..header]);
        octets[10..12].copy_from_slice(&checksum.to_be_bytes());
    }
}
