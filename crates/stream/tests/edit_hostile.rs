//! Whatever hosts send to an editor, and whatever is asked of it: it stays within its bounds, and what it sends is sound.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use portcullis_lang::Direction;
use portcullis_stream::edit::{EditLimits, EditSettings, Hello};
use portcullis_stream::{Editor, OwnPacket};
use portcullis_wire::{
    ChecksumState, LinkType, Network, SequenceNumber, TcpFlags, TcpPacket, Timestamp, Transport, decode,
};
use proptest::prelude::*;

/// Something that happens to an editor.
#[derive(Clone, Debug)]
enum Step {
    /// A packet: its numbers lie near those that are in use, or anywhere.
    Packet {
        direction: Direction,
        flags: u8,
        sequence: u32,
        acknowledgement: u32,
        window: u16,
        options: Vec<u8>,
        length: usize,
    },
    Push {
        direction: Direction,
        length: usize,
    },
    Edit {
        direction: Direction,
        offset: u64,
        removed: u64,
        inserted: usize,
    },
    Release {
        direction: Direction,
        up_to: u64,
    },
    Finish {
        direction: Direction,
    },
    Time {
        milliseconds: u32,
    },
}

fn direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::Up), Just(Direction::Down)]
}

/// Distances from the beginning of a stream, most of them small.
fn distance() -> impl Strategy<Value = u32> {
    prop_oneof![6 => 0..3_000_u32, 2 => 0..200_000_u32, 1 => any::<u32>(), 1 => (u32::MAX - 3_000)..=u32::MAX]
}

fn options() -> impl Strategy<Value = Vec<u8>> {
    let sack = |start: u32, length: u32| {
        let mut octets = vec![1, 1, 5, 10];
        octets.extend(start.to_be_bytes());
        octets.extend(start.wrapping_add(length).to_be_bytes());
        octets
    };
    let clock = |value: u32| {
        let mut octets = vec![1, 1, 8, 10];
        octets.extend(value.to_be_bytes());
        octets.extend([0; 4]);
        octets
    };
    prop_oneof![
        Just(Vec::new()),
        (distance(), distance()).prop_map(move |(start, length)| sack(start, length)),
        any::<u32>().prop_map(clock),
        prop::collection::vec(any::<u8>(), 0..11).prop_map(|mut octets| {
            octets.truncate(octets.len() / 4 * 4);
            octets
        }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (direction(), prop_oneof![6 => Just(16_u8), 2 => Just(24), 1 => any::<u8>()], distance(), distance(), any::<u16>(), options(), 0..3_000_usize)
            .prop_map(|(direction, flags, sequence, acknowledgement, window, options, length)| Step::Packet {
                direction, flags, sequence, acknowledgement, window, options, length,
            }),
        6 => (direction(), 0..3_000_usize).prop_map(|(direction, length)| Step::Push { direction, length }),
        1 => direction().prop_map(|direction| Step::Push { direction, length: 70_000 }),
        4 => (direction(), 0..20_000_u64, 0..500_u64, 0..4_000_usize).prop_map(|(direction, offset, removed, inserted)| {
            Step::Edit { direction, offset, removed, inserted }
        }),
        4 => (direction(), prop_oneof![0..20_000_u64, Just(u64::MAX)])
            .prop_map(|(direction, up_to)| Step::Release { direction, up_to }),
        1 => direction().prop_map(|direction| Step::Finish { direction }),
        3 => (0..200_000_u32).prop_map(|milliseconds| Step::Time { milliseconds }),
    ]
}

const STARTS: [u32; 2] = [u32::MAX - 1_000, 77];

fn hello(next: u32, clock: Option<u32>) -> Hello {
    Hello { next: SequenceNumber(next), window: 4_000, window_scale: Some(3), mss: Some(1_000), sack: true, clock }
}

fn check(editor: &Editor, settings: &EditSettings, out: &[OwnPacket]) {
    for packet in out {
        assert!(packet.octets.len() <= 1_500);
        let Network::Ip(ip) = decode(LinkType::RawIp, &packet.octets).network else { panic!("an IP packet") };
        assert_eq!(ip.verify_transport(), ChecksumState::Valid);
        let Transport::Tcp(segment) = ip.transport() else { panic!("a TCP segment") };
        let from_client = segment.destination_port == 25;
        assert_eq!(from_client, packet.direction == Direction::Up);
        if !segment.flags.contains(TcpFlags::SYN) {
            assert!(segment.options.is_well_formed() && segment.reserved == 0 && segment.urgent == 0);
        }
    }
    for direction in Direction::BOTH {
        assert!(editor.held(direction) <= settings.limits.held);
        let most = settings.limits.record + settings.limits.inserted;
        assert!(editor.recorded(direction) <= most, "{}", editor.recorded(direction));
        assert!(editor.released(direction) <= editor.received(direction));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn nothing_breaks_an_editor(steps in prop::collection::vec(step(), 0..120), timestamps: bool) {
        let limits = EditLimits { held: 128 << 10, record: 128 << 10, inserted: 10_000, edits: 20 };
        let settings = EditSettings { limits, ..EditSettings::default() };
        let clock = timestamps.then_some(5);
        let mut editor = Editor::new(hello(STARTS[0], clock), hello(STARTS[1], clock), settings.clone());
        let mut now = Timestamp::from_seconds(1_700_000_000);
        let mut out = Vec::new();
        for step in steps {
            match step {
                Step::Packet { direction, flags, sequence, acknowledgement, window, options, length } => {
                    let ends = ["192.0.2.1:40000".parse().unwrap(), "192.0.2.2:25".parse().unwrap()];
                    let (own, other) = (direction.index(), direction.other().index());
                    let payload = vec![b'p'; length];
                    let packet = TcpPacket {
                        source: ends[own],
                        destination: ends[other],
                        sequence: SequenceNumber(STARTS[own].wrapping_add(sequence)),
                        acknowledgement: SequenceNumber(STARTS[other].wrapping_add(acknowledgement)),
                        flags: TcpFlags(flags),
                        window,
                        options: &options,
                        payload: &payload,
                    };
                    let octets = packet.build().unwrap();
                    let Network::Ip(ip) = decode(LinkType::RawIp, &octets).network else { panic!("an IP packet") };
                    let Transport::Tcp(segment) = ip.transport() else { panic!("a TCP segment") };
                    let _ = editor.restore(direction, &segment);
                    // A SYN leaves as it came, whatever its length.
                    if flags & 2 == 0 {
                        editor.packet(direction, &ip, &segment, now, &mut out);
                    }
                }
                Step::Push { direction, length } => {
                    let _ = editor.push(direction, &vec![b'o'; length]);
                }
                Step::Edit { direction, offset, removed, inserted } => {
                    let _ = editor.edit(direction, offset, removed, &vec![b'i'; inserted]);
                }
                Step::Release { direction, up_to } => editor.release(direction, up_to),
                Step::Finish { direction } => editor.finish(direction),
                Step::Time { milliseconds } => {
                    now = Timestamp(now.0 + i64::from(milliseconds) * 1_000_000);
                    editor.tick(now, &mut out);
                }
            }
            let _ = (editor.deadline(), editor.standing(), editor.is_over(), editor.given_up());
            check(&editor, &settings, &out);
            out.clear();
        }
    }
}
