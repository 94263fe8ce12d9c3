//! Properties of the reassembly: any way of cutting, reordering and repeating a stream gives the
//! same bytes, and nothing that is sent breaks the promises of the table.

mod common;

use common::promises::Promises;
use common::{ACK, FIN, Lab, RST, SYN, Segment, URG, down, up};
use portcullis_lang::Direction;
use portcullis_stream::{Envelope, FlowTable, GapReason, Limits, StreamEvent, StreamEventKind, StreamEvents};
use portcullis_wire::{SequenceNumber, TcpFlags, TcpOptions, TcpSegment, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;

/// Cuts a stream into segments at the given places, the last with FIN.
fn cut(direction: Direction, stream: &[u8], cuts: &[usize]) -> Vec<Segment> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    places.dedup();
    let mut segments: Vec<Segment> =
        places.windows(2).map(|pair| segment(direction, pair[0], &stream[pair[0]..pair[1]])).collect();
    match segments.last_mut() {
        Some(last) => last.flags = ACK | FIN,
        None => segments.push(segment(direction, 0, b"").fin()),
    }
    segments
}

fn segment(direction: Direction, offset: usize, bytes: &[u8]) -> Segment {
    let mut segment = match direction {
        Direction::Up => up(offset as i64, ""),
        Direction::Down => down(offset as i64, ""),
    };
    segment.payload = bytes.to_vec();
    segment
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..3000)
}

/// Initial sequence numbers, most of them near the wrap.
fn isn() -> impl Strategy<Value = u32> {
    prop_oneof![
        any::<u32>(),
        (0_u32..4000).prop_map(|back| u32::MAX - back),
        (0_u32..4000).prop_map(|back| (1 << 31) - back),
    ]
}

proptest! {
    // What fails is to become a test with a name, not a file of seeds.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cut_reordered_and_repeated_streams_give_the_same_bytes(
        streams in (stream(), stream()),
        isns in (isn(), isn()),
        cuts in (vec(0_usize..3000, 0..20), vec(0_usize..3000, 0..20)),
        again in (vec(0_usize..3000, 0..6), vec(0_usize..3000, 0..6)),
        order in vec(any::<u16>(), 100),
    ) {
        let mut segments = cut(Direction::Up, &streams.0, &cuts.0);
        segments.extend(cut(Direction::Down, &streams.1, &cuts.1));
        // The same bytes in other pieces, without the FIN of the first.
        let mut repeated = cut(Direction::Up, &streams.0, &again.0);
        repeated.extend(cut(Direction::Down, &streams.1, &again.1));
        segments.extend(repeated);
        let mut numbered: Vec<(u16, Segment)> = segments
            .into_iter()
            .enumerate()
            .map(|(i, segment)| (order.get(i).copied().unwrap_or(0), segment))
            .collect();
        numbered.sort_by_key(|(place, _)| *place);

        let mut lab = Lab::new();
        lab.isn = [isns.0, isns.1];
        lab.connect();
        for (_, segment) in &numbered {
            lab.send(segment);
        }
        prop_assert_eq!(lab.stream(Direction::Up), &streams.0);
        prop_assert_eq!(lab.stream(Direction::Down), &streams.1);
        let statistics = lab.summary().statistics;
        prop_assert!(statistics.anomalies.is_empty(), "{:?}", statistics.anomalies);
        prop_assert_eq!(statistics.state.name(), "closed");
        lab.finish();
        prop_assert_eq!(lab.table.memory(), 0);
    }

    #[test]
    fn what_a_lossy_capture_delivers_is_right_and_what_it_lacks_is_named(
        stream in vec(any::<u8>(), 1..5000),
        cuts in vec(0_usize..5000, 0..40),
        lost in vec(prop::bool::weighted(0.2), 100),
        isn in isn(),
    ) {
        let mut lab = Lab::new();
        lab.isn = [isn, 1];
        lab.connect();
        let segments = cut(Direction::Up, &stream, &cuts);
        let mut captured = 0;
        for (i, segment) in segments.iter().enumerate() {
            if !lost.get(i).copied().unwrap_or(false) {
                captured += segment.payload.len();
                lab.send(segment);
            }
            // The receiver has everything.
            let fin = i64::from(segment.flags.contains(FIN));
            let end = segment.offset + segment.payload.len() as i64 + fin;
            lab.send(&down(0, "").ack(end));
        }
        lab.sleep(1);
        for line in lab.log() {
            prop_assert!(!line.ends_with("overlap_diff"));
        }
        lab.finish();
        prop_assert_eq!(lab.stream(Direction::Up).len(), captured);
        // What is delivered is the stream without what was lost, in order.
        let mut rest = Vec::new();
        for (i, segment) in segments.iter().enumerate() {
            if !lost.get(i).copied().unwrap_or(false) {
                rest.extend_from_slice(&segment.payload);
            }
        }
        prop_assert_eq!(lab.stream(Direction::Up), &rest);
        let (_, summary) = &lab.ended[0];
        let up = summary.statistics.direction(Direction::Up);
        // A FIN that was lost with the last bytes cannot be told from one byte more.
        let lost_bytes = (stream.len() - captured) as u64;
        let fin_lost = lost.get(segments.len() - 1).copied().unwrap_or(false);
        let accepted = lost_bytes..=lost_bytes + u64::from(fin_lost);
        prop_assert!(accepted.contains(&up.missing), "{} of {lost_bytes}", up.missing);
    }

    #[test]
    fn two_directions_captured_out_of_step_make_no_gap(
        stream in vec(any::<u8>(), 1..5000),
        cuts in vec(0_usize..5000, 0..40),
        shifts in vec(0_usize..8, 200),
    ) {
        // Each segment is acknowledged at once, and the capture moves packets by up to eight.
        let mut packets: Vec<(usize, Segment)> = Vec::new();
        for segment in cut(Direction::Up, &stream, &cuts) {
            let end = segment.offset + segment.payload.len() as i64;
            let finished = i64::from(segment.flags.contains(FIN));
            packets.push((0, segment));
            packets.push((0, down(0, "").ack(end + finished)));
        }
        for (i, (place, _)) in packets.iter_mut().enumerate() {
            *place = i + shifts.get(i).copied().unwrap_or(0);
        }
        packets.sort_by_key(|(place, _)| *place);
        let mut lab = Lab::connected();
        for (_, packet) in &packets {
            lab.send(packet);
        }
        prop_assert_eq!(lab.stream(Direction::Up), &stream);
        prop_assert_eq!(lab.summary().statistics.directions[0].gaps, 0);
    }

    #[test]
    fn whatever_is_sent_the_promises_hold_and_the_seed_of_the_hash_is_not_seen(
        script in vec(wild_segment(), 1..150),
        limits in limits(),
    ) {
        let one = run(&script, limits.clone(), 1);
        let two = run(&script, limits, 2);
        prop_assert_eq!(one, two);
    }
}

#[derive(Clone, Debug)]
struct Wild {
    port: u16,
    from_client: bool,
    sequence: u32,
    acknowledgement: u32,
    flags: u8,
    window: u16,
    payload: Vec<u8>,
    options: Vec<u8>,
    missing: u32,
    pause: i64,
}

/// Segments that mean something often enough: few ports, numbers near each other, likely flags.
fn wild_segment() -> impl Strategy<Value = Wild> {
    let number = prop_oneof![
        8 => (0_u32..60).prop_map(|step| (u32::MAX - 20).wrapping_add(step)),
        1 => any::<u32>(),
    ];
    let likely = [SYN, SYN | ACK, ACK, ACK, ACK, ACK, ACK, ACK | FIN, RST, RST | ACK, ACK | URG];
    let flags = prop_oneof![
        9 => prop::sample::select(likely.to_vec()).prop_map(|flags| flags.bits()),
        1 => any::<u8>(),
    ];
    let options = prop_oneof![Just(Vec::new()), Just(vec![3, 3, 2, 4, 2, 1, 0, 0]), Just(vec![34, 6, 1, 2, 3, 4]),];
    let pause = prop_oneof![
        20 => 0_i64..50_000_000,
        2 => 0_i64..40_000_000_000,
        1 => any::<i64>(),
    ];
    let payload = prop_oneof![
        1 => Just(Vec::new()),
        3 => vec(any::<u8>(), 0..30),
    ];
    (
        (1_u16..4, any::<bool>(), number.clone(), number, flags),
        (
            prop_oneof![Just(60_000_u16), any::<u16>()],
            payload,
            options,
            prop_oneof![9 => Just(0_u32), 1 => 0_u32..20],
            pause,
        ),
    )
        .prop_map(|(head, tail)| Wild {
            port: head.0,
            from_client: head.1,
            sequence: head.2,
            acknowledgement: head.3,
            flags: head.4,
            window: tail.0,
            payload: tail.1,
            options: tail.2,
            missing: tail.3,
            pause: tail.4,
        })
}

fn limits() -> impl Strategy<Value = Limits> {
    prop_oneof![
        Just(Limits::default()),
        (1_usize..4, 0_usize..10_000, 1_usize..6, 0_usize..300, 0_usize..64).prop_map(
            |(flows, memory, queue_segments, queue_bytes, compare_bytes)| Limits {
                flows,
                memory,
                queue_segments,
                queue_bytes,
                compare_bytes,
                ..Limits::default()
            }
        ),
    ]
}

/// Sends a script and returns what the table said, bytes included.
fn run(script: &[Wild], limits: Limits, seed: u64) -> Vec<String> {
    let services = [25].into_iter().collect();
    let mut table = FlowTable::new(limits, Some(seed)).with_services(services);
    let mut promises = Promises::default();
    let mut said = Vec::new();
    let mut time = Timestamp::from_seconds(1_700_000_000);
    for wild in script {
        time = Timestamp(time.0.saturating_add(wild.pause));
        let (client, server) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let (source, destination, ports) =
            if wild.from_client { (client, server, (wild.port, 25)) } else { (server, client, (25, wild.port)) };
        let segment = TcpSegment {
            source_port: ports.0,
            destination_port: ports.1,
            sequence: SequenceNumber(wild.sequence),
            acknowledgement: SequenceNumber(wild.acknowledgement),
            flags: TcpFlags(wild.flags),
            reserved: 0,
            window: wild.window,
            checksum: 0,
            urgent: 3,
            options: TcpOptions::new(&wild.options),
            header: &[],
            payload: &wild.payload,
        };
        let envelope = Envelope { time, vlan: 0, source, destination, length: 40, missing: wild.missing, ttl: 64 };
        let mut events = StreamEvents::new();
        table.tcp(&envelope, &segment, &mut events);
        promises.check(&table, &events);
        said.extend(events.iter().map(|event| format!("{event:?}")));
    }
    let mut events = StreamEvents::new();
    table.finish(&mut events);
    promises.check(&table, &events);
    promises.check_end(&table);
    said.extend(events.iter().map(|event| format!("{event:?}")));
    said
}

#[test]
fn bytes_that_the_capture_cut_off_are_a_gap_between_those_it_kept() {
    let mut lab = Lab::connected();
    lab.send_all(&[up(20, "cd").missing(8), up(0, "ab").missing(18), up(30, "ef")]);
    assert_eq!(
        lab.log(),
        ["up 0 ab", &format!("up 2 gap of 18: {}", GapReason::Cut), "up 20 cd", "up 22 gap of 8: cut", "up 30 ef"]
    );
}

#[test]
fn data_in_order_is_borrowed_from_the_packet() {
    let mut table = FlowTable::new(Limits::default(), Some(1));
    let payload = *b"hello";
    let segment = TcpSegment {
        source_port: 40_000,
        destination_port: 25,
        sequence: SequenceNumber(1),
        acknowledgement: SequenceNumber(1),
        flags: ACK,
        reserved: 0,
        window: 1000,
        checksum: 0,
        urgent: 0,
        options: TcpOptions::new(&[]),
        header: &[],
        payload: &payload,
    };
    let envelope = Envelope {
        time: Timestamp(0),
        vlan: 0,
        source: [192, 0, 2, 1].into(),
        destination: [192, 0, 2, 2].into(),
        length: 45,
        missing: 0,
        ttl: 64,
    };
    let mut events = StreamEvents::new();
    table.tcp(&envelope, &segment, &mut events);
    let borrowed = events.iter().any(|StreamEvent { kind, .. }| {
        matches!(kind, StreamEventKind::Data { bytes: std::borrow::Cow::Borrowed(bytes), .. }
            if bytes.as_ptr() == payload.as_ptr())
    });
    assert!(borrowed);
    assert!(!events.spilled(), "nothing was allocated");
}
