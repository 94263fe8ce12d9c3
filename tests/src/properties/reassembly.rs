//! Segments of TCP: the same stream however it is cut, and promises that hold for segments of any kind.

use std::collections::HashMap;
use std::time::Duration;

use portcullis_lang::Direction;
use portcullis_stream::{Envelope, FlowId, FlowTable, Limits, StreamEvent, StreamEventKind, StreamEvents};
use portcullis_wire::{SequenceNumber, TcpFlags, TcpOptions, TcpSegment, Timestamp};

use super::choices::{Choices, Dice};

/// Two ways of cutting the same two streams, one in order, one in any order and with repetitions, deliver the same bytes,
/// all of them, and find nothing odd.
pub fn reassembly(octets: &[u8]) {
    let mut choices = Choices::new(octets);
    let numbers = [choices.number(), choices.number()];
    let seed = u64::from(choices.number());
    let up = choices.take(3_000);
    let down = choices.take(3_000);
    let streams = [up, down];

    let mut ordered = Talk::new(numbers);
    ordered.connect();
    for direction in Direction::BOTH {
        for segment in cut(direction, streams[direction.index()], &mut Dice::new(seed), 1) {
            ordered.send(&segment);
        }
    }
    let mut shuffled = Talk::new(numbers);
    shuffled.connect();
    let mut dice = Dice::new(seed ^ 0x5555);
    let mut segments = Vec::new();
    for direction in Direction::BOTH {
        segments.extend(cut(direction, streams[direction.index()], &mut dice, 40));
        segments.extend(cut(direction, streams[direction.index()], &mut dice, 5));
    }
    for last in (1..segments.len()).rev() {
        segments.swap(last, dice.below(last + 1));
    }
    for segment in &segments {
        shuffled.send(segment);
    }
    for talk in [&mut ordered, &mut shuffled] {
        talk.finish();
        assert_eq!(talk.said[0], up);
        assert_eq!(talk.said[1], down);
        assert_eq!(talk.odd, 0, "an anomaly or a gap");
        assert_eq!(talk.table.memory(), 0);
    }
}

/// Segments of any kind: the events of each flow follow each other without a hole, counts agree with what was delivered,
/// and the bounds hold.
pub fn segments(octets: &[u8]) {
    let mut choices = Choices::new(octets);
    let limits = Limits {
        flows: 3,
        memory: 60_000,
        queue_segments: 8,
        queue_bytes: 8_000,
        compare_bytes: 100,
        syn_bytes: 50,
        reorder_packets: 4,
        queue_time: Duration::from_secs(3),
        ..Limits::default()
    };
    let midstream = choices.octet() & 1 == 0;
    let table = FlowTable::new(limits, Some(7)).with_midstream(midstream);
    let mut talk = Talk::of(table, [u32::MAX - 200, 1 << 31]);
    while !choices.is_empty() {
        let control = choices.octet();
        let flags = TcpFlags(choices.octet());
        let (offset, acknowledgement) = (choices.octet(), choices.octet());
        let length = usize::from(choices.octet());
        let step = if control & 64 != 0 { 64 } else { 1 };
        talk.milliseconds += if control & 128 != 0 { 700 } else { 1 };
        talk.port = 40_000 + u16::from(control >> 1 & 3);
        let segment = Segment {
            direction: if control & 1 == 0 { Direction::Up } else { Direction::Down },
            offset: i64::from(offset) * step - 8,
            acknowledgement: i64::from(acknowledgement) * step - 8,
            flags,
            payload: choices.take(length % 80),
            window: if control & 8 == 0 { 64_240 } else { u16::from(acknowledgement) },
            missing: u32::from(control & 48 == 48),
        };
        talk.send(&segment);
    }
    talk.finish();
    assert!(talk.table.is_empty() && talk.flows.is_empty());
    assert_eq!(talk.table.memory(), 0);
}

/// A segment; the numbers are offsets in the streams, so that -1 is the place of the SYN.
struct Segment<'a> {
    direction: Direction,
    offset: i64,
    acknowledgement: i64,
    flags: TcpFlags,
    payload: &'a [u8],
    window: u16,
    missing: u32,
}

/// Cuts a stream into at most so many segments, the last with FIN.
fn cut<'a>(direction: Direction, stream: &'a [u8], dice: &mut Dice, most: usize) -> Vec<Segment<'a>> {
    let mut places: Vec<usize> = (0..dice.below(most)).map(|_| dice.below(stream.len() + 1)).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    places.dedup();
    let segment = |from: usize, to: usize| Segment {
        direction,
        offset: i64::try_from(from).expect("a short stream"),
        acknowledgement: 0,
        flags: if to == stream.len() { TcpFlags::ACK | TcpFlags::FIN } else { TcpFlags::ACK },
        payload: &stream[from..to],
        window: 64_240,
        missing: 0,
    };
    match &places[..] {
        [only] => vec![segment(*only, *only)],
        _ => places.iter().zip(places.iter().skip(1)).map(|(from, to)| segment(*from, *to)).collect(),
    }
}

/// A table that is given segments, and what it said about them.
struct Talk {
    table: FlowTable,
    numbers: [u32; 2],
    milliseconds: i64,
    port: u16,
    said: [Vec<u8>; 2],
    odd: usize,
    flows: HashMap<usize, Followed>,
}

/// What is known of a flow by its events.
struct Followed {
    flow: FlowId,
    next: [u64; 2],
    delivered: [u64; 2],
    missing: [u64; 2],
    gaps: [u32; 2],
    finished: [bool; 2],
}

impl Talk {
    fn new(numbers: [u32; 2]) -> Talk {
        Talk::of(FlowTable::new(Limits::default(), Some(7)), numbers)
    }

    fn of(table: FlowTable, numbers: [u32; 2]) -> Talk {
        let flows = HashMap::new();
        Talk { table, numbers, milliseconds: 0, port: 40_000, said: Default::default(), odd: 0, flows }
    }

    fn connect(&mut self) {
        let segment = |direction, offset, flags| Segment {
            direction,
            offset,
            acknowledgement: 0,
            flags,
            payload: &[],
            window: 64_240,
            missing: 0,
        };
        self.send(&segment(Direction::Up, -1, TcpFlags::SYN));
        self.send(&segment(Direction::Down, -1, TcpFlags::SYN | TcpFlags::ACK));
        self.send(&segment(Direction::Up, 0, TcpFlags::ACK));
    }

    fn send(&mut self, segment: &Segment<'_>) {
        self.milliseconds += 1;
        let [up, down] = self.numbers;
        let (mine, other) = if segment.direction == Direction::Up { (up, down) } else { (down, up) };
        // Modulo 2^32, as sequence numbers are.
        let place = |first: u32, offset: i64| SequenceNumber(first.wrapping_add(1).wrapping_add(offset as u32));
        let (client, server) = (([192, 0, 2, 1], self.port), ([192, 0, 2, 2], 25));
        let (source, destination) =
            if segment.direction == Direction::Up { (client, server) } else { (server, client) };
        let tcp = TcpSegment {
            source_port: source.1,
            destination_port: destination.1,
            sequence: place(mine, segment.offset),
            acknowledgement: place(other, segment.acknowledgement),
            flags: segment.flags,
            reserved: 0,
            window: segment.window,
            checksum: 0,
            urgent: 0,
            options: TcpOptions::new(&[]),
            header: &[],
            payload: segment.payload,
        };
        let envelope = Envelope {
            time: Timestamp::from_micros(1_700_000_000_000_000 + 1_000 * self.milliseconds),
            vlan: 0,
            source: source.0.into(),
            destination: destination.0.into(),
            length: u32::try_from(40 + segment.payload.len()).expect("a short segment"),
            missing: segment.missing,
            ttl: 64,
        };
        let mut events = StreamEvents::new();
        self.table.tcp(&envelope, &tcp, &mut events);
        self.follow(&events);
    }

    fn finish(&mut self) {
        let mut events = StreamEvents::new();
        self.table.finish(&mut events);
        self.follow(&events);
    }

    fn follow(&mut self, events: &StreamEvents<'_>) {
        for StreamEvent { flow, kind } in events {
            if let StreamEventKind::Started { .. } = kind {
                let followed = Followed {
                    flow: *flow,
                    next: [0; 2],
                    delivered: [0; 2],
                    missing: [0; 2],
                    gaps: [0; 2],
                    finished: [false; 2],
                };
                assert!(self.flows.insert(flow.slot(), followed).is_none(), "two flows in a slot");
                continue;
            }
            let followed = self.flows.get_mut(&flow.slot()).expect("an event of a flow that started");
            assert_eq!(followed.flow, *flow, "an event of a flow that ended");
            match kind {
                StreamEventKind::Data { direction, offset, bytes } => {
                    assert!(!bytes.is_empty());
                    followed.go_on(*direction, *offset, bytes.len() as u64);
                    followed.delivered[direction.index()] += bytes.len() as u64;
                    self.said[direction.index()].extend_from_slice(bytes);
                }
                StreamEventKind::Gap { direction, offset, length, .. } => {
                    assert!(*length > 0);
                    followed.go_on(*direction, *offset, *length);
                    followed.missing[direction.index()] += length;
                    followed.gaps[direction.index()] += 1;
                    self.odd += 1;
                }
                StreamEventKind::Finished { direction } => {
                    assert!(!followed.finished[direction.index()], "finished twice");
                    followed.finished[direction.index()] = true;
                }
                StreamEventKind::Anomaly { .. } => self.odd += 1,
                StreamEventKind::Ended { summary, .. } => {
                    for direction in Direction::BOTH {
                        let counted = summary.statistics.direction(direction);
                        let index = direction.index();
                        assert_eq!(counted.delivered, followed.delivered[index]);
                        assert_eq!(counted.missing, followed.missing[index]);
                        assert_eq!(counted.gaps, followed.gaps[index]);
                    }
                    assert_eq!(self.table.flow(*flow), None);
                    self.flows.remove(&flow.slot());
                }
                _ => {}
            }
        }
        assert_eq!(self.flows.len(), self.table.len());
        assert!(self.table.len() <= self.table.limits().flows);
        assert!(self.table.memory() <= self.table.limits().memory);
    }
}

impl Followed {
    fn go_on(&mut self, direction: Direction, offset: u64, length: u64) {
        let next = &mut self.next[direction.index()];
        assert_eq!(*next, offset, "a hole or an overlap {direction}");
        assert!(!self.finished[direction.index()], "more after the end");
        *next += length;
    }
}
