//! The common packet allocates nothing: a segment in order on a known connection, and its acknowledgement.

use std::net::SocketAddr;

use allocation_counter::measure;
use portcullis_stream::{Envelope, FlowTable, Limits, NormaliserSettings, StreamEventKind, StreamEvents, Treatment};
use portcullis_wire::{
    LinkType, Network, SequenceNumber, TcpFlags, TcpOptions, TcpPacket, TcpSegment, Timestamp, Transport, UdpDatagram,
    decode,
};

const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;

/// A table and a clock; the flows are numbered.
struct Wire {
    table: FlowTable,
    now: Timestamp,
}

impl Wire {
    fn new() -> Wire {
        Wire { table: FlowTable::new(Limits::default(), None), now: Timestamp::from_seconds(1_700_000_000) }
    }

    fn envelope(&mut self, flow: u8, up: bool, length: usize) -> Envelope {
        self.now = Timestamp(self.now.0 + 100_000);
        let (client, server) = ([10, 0, 0, flow].into(), [192, 0, 2, 2].into());
        let (source, destination) = if up { (client, server) } else { (server, client) };
        Envelope { time: self.now, vlan: 0, source, destination, length: 40 + length as u32, missing: 0, ttl: 64 }
    }

    /// Sends a segment; gives the octets that are delivered.
    fn send(&mut self, flow: u8, up: bool, flags: TcpFlags, numbers: (u32, u32), payload: &[u8]) -> usize {
        let envelope = self.envelope(flow, up, payload.len());
        let segment = TcpSegment {
            source_port: if up { 40_000 } else { 25 },
            destination_port: if up { 25 } else { 40_000 },
            sequence: SequenceNumber(numbers.0),
            acknowledgement: SequenceNumber(numbers.1),
            flags,
            reserved: 0,
            window: 65_535,
            checksum: 0,
            urgent: 0,
            options: TcpOptions::new(&[]),
            header: &[],
            payload,
        };
        let mut events = StreamEvents::new();
        self.table.tcp(&envelope, &segment, &mut events);
        delivered(&events)
    }

    fn connect(&mut self, flow: u8) {
        self.send(flow, true, SYN, (0, 0), b"");
        self.send(flow, false, SYN | ACK, (0, 1), b"");
        self.send(flow, true, ACK, (1, 1), b"");
    }

    /// Rounds of two full segments of each flow and one acknowledgement; gives the octets that are delivered.
    fn transfer(&mut self, flows: u8, rounds: std::ops::Range<u32>) -> usize {
        let payload = [b'x'; 1460];
        let mut octets = 0;
        for round in rounds {
            let at = 1 + round * 2 * 1460;
            for flow in 0..flows {
                octets += self.send(flow, true, ACK, (at, 1), &payload);
                octets += self.send(flow, true, ACK, (at + 1460, 1), &payload);
                octets += self.send(flow, false, ACK, (1, at + 2 * 1460), b"");
            }
        }
        octets
    }
}

fn delivered(events: &StreamEvents<'_>) -> usize {
    let octets = events.iter().map(|event| match &event.kind {
        StreamEventKind::Data { bytes, .. } => bytes.len(),
        StreamEventKind::Datagram { bytes, .. } => bytes.len(),
        _ => 0,
    });
    octets.sum()
}

#[test]
fn segments_in_order_allocate_nothing() {
    let mut wire = Wire::new();
    (0..50).for_each(|flow| wire.connect(flow));
    wire.transfer(50, 0..3);
    let mut octets = 0;
    let allocations = measure(|| octets = wire.transfer(50, 3..203));
    assert_eq!(octets, 50 * 200 * 2 * 1460, "all of it was delivered");
    assert_eq!(allocations.count_total, 0, "in {} packets", 50 * 200 * 3);
}

/// The packet of a segment, from its IP header on.
fn packet(up: bool, flags: TcpFlags, numbers: (u32, u32), payload: &[u8]) -> Vec<u8> {
    let client = SocketAddr::from(([10, 0, 0, 1], 40_000));
    let server = SocketAddr::from(([192, 0, 2, 2], 25));
    let (source, destination) = if up { (client, server) } else { (server, client) };
    let (sequence, acknowledgement) = (SequenceNumber(numbers.0), SequenceNumber(numbers.1));
    let packet =
        TcpPacket { source, destination, sequence, acknowledgement, flags, window: 65_535, options: &[], payload };
    packet.build().unwrap_or_default()
}

#[test]
fn segments_that_a_normaliser_lets_through_allocate_nothing() {
    let mut packets =
        vec![packet(true, SYN, (0, 0), b""), packet(false, SYN | ACK, (0, 1), b""), packet(true, ACK, (1, 1), b"")];
    for round in 0..200 {
        let at = 1 + round * 2920;
        packets.push(packet(true, ACK, (at, 1), &[b'x'; 1460]));
        packets.push(packet(true, ACK, (at + 1460, 1), &[b'y'; 1460]));
        // A repetition that says the same is let through as well.
        packets.push(packet(true, ACK, (at, 1), &[b'x'; 1460]));
        packets.push(packet(false, ACK, (1, at + 2920), b""));
    }
    let mut table = FlowTable::new(Limits::default(), None).with_normaliser(NormaliserSettings::default());
    let mut now = 0;
    let mut octets = 0;
    let mut pass = |packets: &[Vec<u8>]| {
        for packet in packets {
            now += 100_000;
            let Network::Ip(ip) = decode(LinkType::RawIp, packet).network else { continue };
            let Transport::Tcp(segment) = ip.transport() else { continue };
            let mut events = StreamEvents::new();
            let envelope = Envelope::new(Timestamp(now), 0, &ip);
            let normalised = table.normalise(&envelope, &ip, &segment, &mut events);
            assert_eq!(normalised.treatment, Treatment::Forward);
            octets += delivered(&events);
        }
    };
    pass(&packets[..11]);
    let allocations = measure(|| pass(&packets[11..]));
    assert_eq!(octets, 200 * 2920, "all of it was delivered");
    assert_eq!(allocations.count_total, 0, "in {} packets", packets.len() - 11);
}

#[test]
fn timers_that_pass_on_the_way_allocate_nothing() {
    let mut wire = Wire::new();
    (0..50).for_each(|flow| wire.connect(flow));
    wire.transfer(50, 0..3);
    // Ten minutes pass, in which timers are looked at and set again; connections live for two hours.
    let allocations = measure(|| {
        for round in 3..203 {
            wire.now = Timestamp(wire.now.0 + 3_000_000_000);
            wire.transfer(50, round..round + 1);
        }
    });
    // The list of the timers that fire grows to the most that ever fired in one tick.
    assert!(allocations.count_total <= 8, "{allocations:?}");
}

#[test]
fn datagrams_of_a_known_flow_allocate_nothing() {
    let mut wire = Wire::new();
    let mut ask = |rounds: u32| {
        let mut octets = 0;
        for _ in 0..rounds {
            for up in [true, false] {
                let envelope = wire.envelope(1, up, 30);
                let datagram = UdpDatagram {
                    source_port: if up { 5000 } else { 53 },
                    destination_port: if up { 53 } else { 5000 },
                    length: 38,
                    checksum: 0,
                    header: &[],
                    payload: &[b'q'; 30],
                    missing: 0,
                };
                let mut events = StreamEvents::new();
                wire.table.udp(&envelope, &datagram, &mut events);
                octets += delivered(&events);
            }
        }
        octets
    };
    ask(1);
    let mut octets = 0;
    let allocations = measure(|| octets = ask(1000));
    assert_eq!((octets, allocations.count_total), (1000 * 2 * 30, 0));
}

#[test]
fn a_million_half_open_flows_take_what_is_promised() {
    // 104 bytes of state, 24 of lists and timers, and the hash table: 5 bytes an entry, half of them free at worst, and
    // while it grows there is the smaller one as well.
    let mut table = FlowTable::new(Limits { flows: 200_000, ..Limits::default() }, None);
    let syn = |table: &mut FlowTable, client: u32| {
        let segment = TcpSegment {
            source_port: 40_000,
            destination_port: 25,
            sequence: SequenceNumber(client),
            acknowledgement: SequenceNumber(0),
            flags: SYN,
            reserved: 0,
            window: 1024,
            checksum: 0,
            urgent: 0,
            options: TcpOptions::new(&[]),
            header: &[],
            payload: &[],
        };
        let time = Timestamp::from_seconds(1_700_000_000);
        let source = std::net::Ipv4Addr::from_bits(client).into();
        let envelope =
            Envelope { time, vlan: 0, source, destination: [192, 0, 2, 2].into(), length: 40, missing: 0, ttl: 64 };
        let mut events = StreamEvents::new();
        table.tcp(&envelope, &segment, &mut events);
    };
    let allocations = measure(|| (0..200_000).for_each(|client| syn(&mut table, client)));
    let per_flow = allocations.bytes_current as f64 / 200_000.0;
    println!("{per_flow:.1} bytes a flow, with the hash table");
    let hash = 5.0 * 262_144.0 / 200_000.0;
    assert!(per_flow <= 128.0 + hash + 1.0, "{per_flow}");
    // When the table is full, each new flow takes the place of an old one; the hash table doubles once, for the traces that
    // removed entries leave.
    let more = measure(|| (200_000..400_000).for_each(|client| syn(&mut table, client)));
    assert_eq!((table.len(), table.statistics().evicted), (200_000, 200_000));
    assert!(more.bytes_current <= 5 * 262_144 + 8192, "{more:?}");
}
