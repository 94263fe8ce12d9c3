//! What leaves a normaliser is what was delivered, whichever of several octets its receiver prefers.
#![allow(clippy::expect_used)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use portcullis_lang::Direction;
use portcullis_stream::{Envelope, FlowTable, Limits, NormaliserSettings, StreamEventKind, StreamEvents, Treatment};
use portcullis_wire::{
    IpPacket, LinkType, Network, SequenceNumber, TcpFlags, TcpPacket, TcpSegment, Timestamp, Transport, decode,
};
use proptest::prelude::*;

const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 40_000);
const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 25);
const ISN: [u32; 2] = [u32::MAX - 20, 5000];

/// A gateway between two hosts whose segments are written by hand.
struct Gateway {
    table: FlowTable,
    now: i64,
    delivered: [Vec<u8>; 2],
    /// What left, as offset, payload and flags, by direction.
    left: [Vec<(i64, Vec<u8>, TcpFlags)>; 2],
}

impl Gateway {
    fn new() -> Gateway {
        let table = FlowTable::new(Limits::default(), Some(3)).with_normaliser(NormaliserSettings::default());
        Gateway { table, now: 0, delivered: Default::default(), left: Default::default() }
    }

    fn connected() -> Gateway {
        let mut gateway = Gateway::new();
        gateway.send(Direction::Up, -1, 0, TcpFlags::SYN, b"");
        gateway.send(Direction::Down, -1, 0, TcpFlags::SYN | TcpFlags::ACK, b"");
        gateway.send(Direction::Up, 0, 0, TcpFlags::ACK, b"");
        gateway
    }

    fn send(&mut self, direction: Direction, offset: i64, ack: i64, flags: TcpFlags, payload: &[u8]) -> Treatment {
        let (source, destination) = match direction {
            Direction::Up => (CLIENT, SERVER),
            Direction::Down => (SERVER, CLIENT),
        };
        let number = |direction: Direction, offset: i64| {
            SequenceNumber(ISN[direction.index()].wrapping_add(1).wrapping_add(offset as u32))
        };
        let packet = TcpPacket {
            source,
            destination,
            sequence: number(direction, offset),
            acknowledgement: number(direction.other(), ack),
            flags,
            window: 64_240,
            options: &[],
            payload,
        };
        let octets = packet.build().expect("it fits");
        self.packet(direction, &octets)
    }

    fn packet(&mut self, direction: Direction, octets: &[u8]) -> Treatment {
        self.now += 1_000_000;
        let (ip, segment) = parsed(octets);
        let mut events = StreamEvents::new();
        let envelope = Envelope::new(Timestamp(self.now), 0, &ip);
        let normalised = self.table.normalise(&envelope, &ip, &segment, &mut events);
        for event in events {
            match event.kind {
                StreamEventKind::Data { direction, offset, bytes } => {
                    let delivered = &mut self.delivered[direction.index()];
                    assert_eq!(offset, delivered.len() as u64);
                    delivered.extend_from_slice(&bytes);
                }
                StreamEventKind::Gap { .. } => panic!("nothing is given up"),
                _ => {}
            }
        }
        match &normalised.treatment {
            Treatment::Forward => self.left(direction, &segment),
            Treatment::Change(rewrite) => {
                let changed = rewrite.apply(&ip, &segment);
                let (ip, segment) = parsed(&changed);
                assert!(ip.verify_header().is_acceptable() && ip.verify_transport().is_acceptable());
                self.left(direction, &segment);
            }
            Treatment::Drop(_) => {}
        }
        normalised.treatment
    }

    fn left(&mut self, direction: Direction, segment: &TcpSegment<'_>) {
        let first = SequenceNumber(ISN[direction.index()].wrapping_add(1));
        let offset = i64::from(segment.sequence.distance_from(first));
        self.left[direction.index()].push((offset, segment.payload.to_vec(), segment.flags));
    }

    /// What a receiver reads that prefers the first or the last of several octets, up to the first FIN in order.
    fn read(&self, direction: Direction, last: bool) -> Vec<u8> {
        let mut octets: Vec<Option<u8>> = Vec::new();
        let mut read = 0;
        for (offset, payload, flags) in &self.left[direction.index()] {
            if flags.contains(TcpFlags::SYN) || flags.contains(TcpFlags::RST) {
                continue;
            }
            for (at, octet) in (*offset..).zip(payload) {
                // What was read is not taken back.
                let Ok(at) = usize::try_from(at) else { continue };
                if at < read {
                    continue;
                }
                if octets.len() <= at {
                    octets.resize(at + 1, None);
                }
                if octets[at].is_none() || last {
                    octets[at] = Some(*octet);
                }
            }
            while octets.get(read).is_some_and(Option::is_some) {
                read += 1;
            }
            let end = offset + payload.len() as i64;
            if flags.contains(TcpFlags::FIN) && usize::try_from(end).is_ok_and(|end| end <= read) {
                octets.truncate(usize::try_from(end).unwrap_or(0));
                return octets.into_iter().flatten().collect();
            }
        }
        octets.truncate(read);
        octets.into_iter().flatten().collect()
    }
}

fn parsed(octets: &[u8]) -> (IpPacket<'_>, TcpSegment<'_>) {
    let Network::Ip(ip) = decode(LinkType::RawIp, octets).network else { panic!("an IP packet") };
    let Transport::Tcp(segment) = ip.transport() else { panic!("a segment") };
    (ip, segment)
}

#[test]
fn an_overlap_with_other_octets_is_rewritten() {
    let mut gateway = Gateway::connected();
    assert_eq!(gateway.send(Direction::Up, 0, 0, TcpFlags::ACK, b"hello"), Treatment::Forward);
    assert_eq!(gateway.send(Direction::Up, 0, 0, TcpFlags::ACK, b"hello"), Treatment::Forward);
    assert!(matches!(gateway.send(Direction::Up, 2, 0, TcpFlags::ACK, b"XXXYY"), Treatment::Change(_)));
    assert_eq!(gateway.delivered[0], b"helloYY");
    assert_eq!(gateway.read(Direction::Up, true), b"helloYY");
    assert_eq!(gateway.left[0].last().expect("it left").1, b"lloYY");
}

#[test]
fn out_of_order_leaves_at_once_and_stands() {
    let mut gateway = Gateway::connected();
    assert_eq!(gateway.send(Direction::Up, 4, 0, TcpFlags::ACK, b"late"), Treatment::Forward);
    assert!(matches!(gateway.send(Direction::Up, 2, 0, TcpFlags::ACK, b"abXXXXzz"), Treatment::Change(_)));
    assert_eq!(gateway.delivered[0], b"");
    assert_eq!(gateway.send(Direction::Up, 0, 0, TcpFlags::ACK, b"01"), Treatment::Forward);
    assert_eq!(gateway.delivered[0], b"01ablatezz");
    assert_eq!(gateway.read(Direction::Up, true), b"01ablatezz");
    assert_eq!(gateway.read(Direction::Up, false), b"01ablatezz");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    /// Any segments, with overlaps, flags and acknowledgements as they come.
    #[test]
    fn any_receiver_reads_what_was_delivered(
        segments in prop::collection::vec(
            (any::<bool>(), 0i64..40, 0usize..12, any::<u8>(), -2i64..40, prop::sample::select(vec![0u8, 0, 0, 0, 0, 1, 4, 32, 33])),
            1..60,
        )
    ) {
        let mut gateway = Gateway::connected();
        for (index, (up, offset, length, octet, ack, extra)) in segments.into_iter().enumerate() {
            let direction = if up { Direction::Up } else { Direction::Down };
            let payload: Vec<u8> = (0..length).map(|at| octet.wrapping_add(at as u8).wrapping_add(index as u8)).collect();
            gateway.send(direction, offset, ack, TcpFlags(TcpFlags::ACK.0 | extra), &payload);
        }
        for direction in Direction::BOTH {
            for last in [false, true] {
                prop_assert_eq!(&gateway.read(direction, last), &gateway.delivered[direction.index()]);
            }
        }
    }
}
