//! The property of the normaliser: whatever is sent, any receiver behind it reads what was reported, byte for byte.

mod common;

use common::gateway::Gateway;
use common::receivers::{Arrival, Policy, Receiver};
use common::{ACK, Segment, down, up};
use portcullis_lang::Direction;
use portcullis_stream::{Limits, NormaliserSettings};
use portcullis_wire::TcpFlags;
use proptest::collection::vec;
use proptest::prelude::*;

/// A segment that means something often enough, and what the network does with it behind the gateway.
#[derive(Clone, Debug)]
struct Wild {
    from_client: bool,
    offset: i64,
    ack: i64,
    flags: TcpFlags,
    payload: Vec<u8>,
    window: u16,
    urgent: u16,
    options: Vec<u8>,
    lost: bool,
    late: u8,
}

impl Wild {
    fn segment(&self) -> Segment {
        let empty = if self.from_client { up(self.offset, "") } else { down(self.offset, "") };
        Segment {
            payload: self.payload.clone(),
            urgent: self.urgent,
            ack: self.ack,
            window: self.window,
            options: self.options.clone(),
            ..empty
        }
        .flags(self.flags)
    }
}

fn wild() -> impl Strategy<Value = Wild> {
    let likely: Vec<u8> = vec![16, 16, 16, 16, 16, 16, 16, 24, 17, 17, 48, 2, 18, 4, 20, 0, 8, 41, 3];
    let flags = prop_oneof![12 => prop::sample::select(likely), 1 => any::<u8>()].prop_map(TcpFlags);
    let offset = prop_oneof![20 => -3_i64..60, 1 => 64_000_i64..64_300, 1 => any::<i32>().prop_map(i64::from)];
    let ack = prop_oneof![20 => Just(0), 10 => -3_i64..30, 1 => any::<i32>().prop_map(i64::from)];
    let options = prop_oneof![
        8 => Just(Vec::new()),
        1 => Just(vec![1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0]),
        1 => Just(vec![3, 3, 2]),
        1 => vec(any::<u8>(), 0..12),
    ];
    let window = prop_oneof![8 => Just(64_240_u16), 1 => Just(0), 1 => any::<u16>()];
    let urgent = prop_oneof![8 => Just(0_u16), 1 => 1_u16..10];
    (
        (prop::bool::weighted(0.8), offset, ack, flags, vec(any::<u8>(), 0..14)),
        (window, urgent, options, prop::bool::weighted(0.2), 0_u8..4),
    )
        .prop_map(|((from_client, offset, ack, flags, payload), (window, urgent, options, lost, late))| Wild {
            from_client,
            offset,
            ack,
            flags,
            payload,
            window,
            urgent,
            options,
            lost,
            late,
        })
}

fn limits() -> impl Strategy<Value = Limits> {
    prop_oneof![
        2 => Just(Limits::default()),
        1 => (0_usize..100_000, 1_usize..5, 60_usize..400, 8_usize..80).prop_map(
            |(memory, queue_segments, queue_bytes, record_bytes)| Limits {
                memory,
                queue_segments,
                queue_bytes,
                record_bytes,
                ..Limits::default()
            }
        ),
    ]
}

fn gateway(limits: Limits, version_6: bool, handshake: bool) -> Gateway {
    let mut gateway = Gateway::with(limits, NormaliserSettings::default());
    gateway.version_6 = version_6;
    if handshake {
        gateway.connect();
    }
    gateway
}

proptest! {
    // What fails is to become a test with a name, not a file of seeds.
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Nothing is lost behind the gateway, acknowledgements are made up: what leaves can be read in one way only.
    #[test]
    fn any_receiver_reads_what_was_reported(
        segments in vec(wild(), 1..60),
        limits in limits(),
        version_6 in any::<bool>(),
    ) {
        let memory = limits.memory;
        let mut gateway = gateway(limits, version_6, true);
        for wild in &segments {
            gateway.send(&wild.segment());
            prop_assert!(gateway.table.memory() <= memory);
        }
        if gateway.ended.is_empty() && gateway.gaps() == 0 {
            gateway.check();
        }
    }

    /// The network behind the gateway loses and reorders, and the server acknowledges what it has really read: that is when
    /// the record may forget.
    #[test]
    fn a_receiver_behind_a_bad_network_reads_nothing_but_what_was_reported(
        segments in vec(wild(), 1..80),
        limits in limits(),
        policy in prop::sample::select(Policy::ALL.to_vec()),
    ) {
        let mut gateway = gateway(limits, false, true);
        let mut server = Receiver::new(policy);
        let mut under_way: Vec<(u8, Arrival)> = Vec::new();
        for wild in segments {
            let from = gateway.left[0].len();
            gateway.send(&Wild { from_client: true, ack: 0, ..wild.clone() }.segment());
            let new = gateway.left[0].iter().skip(from).cloned();
            under_way.extend(new.filter(|_| !wild.lost).map(|arrival| (wild.late, arrival)));
            for (late, _) in &mut under_way {
                *late = late.saturating_sub(1);
            }
            let (arrived, rest) = under_way.into_iter().partition(|(late, _)| *late == 0);
            under_way = rest;
            let arrived: Vec<(u8, Arrival)> = arrived;
            for (_, arrival) in &arrived {
                server.take(arrival);
            }
            let reported = gateway.delivered(Direction::Up).to_vec();
            if !gateway.ended.is_empty() {
                return Ok(());
            }
            prop_assert!(
                reported.starts_with(server.read()),
                "{policy:?} reads {:?}, reported is {reported:?}", server.read()
            );
            gateway.send(&down(0, "").ack(server.acknowledges()));
        }
    }

    /// Streams that nobody tampers with arrive whole, however they are cut, lost, repeated and reordered before the gateway.
    #[test]
    fn honest_streams_pass_unchanged(
        stream in vec(any::<u8>(), 1..400),
        cuts in vec(0_usize..400, 0..20),
        order in vec(any::<u16>(), 64),
    ) {
        let mut gateway = gateway(Limits::default(), false, true);
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut % stream.len()).chain([0, stream.len()]).collect();
        places.sort_unstable();
        places.dedup();
        let pieces: Vec<Segment> = places
            .windows(2)
            .map(|pair| Segment { payload: stream[pair[0]..pair[1]].to_vec(), ..up(pair[0] as i64, "") })
            .collect();
        let mut sent: Vec<(u16, Segment)> =
            pieces.iter().chain(&pieces).zip(order.iter().cycle()).map(|(piece, place)| (*place, piece.clone())).collect();
        sent.sort_by_key(|(place, _)| *place);
        for (_, segment) in &sent {
            prop_assert_eq!(gateway.send(segment), "forward");
        }
        prop_assert_eq!(gateway.send(&up(stream.len() as i64, "").flags(ACK | TcpFlags::FIN)), "forward");
        prop_assert_eq!(gateway.delivered(Direction::Up), &stream);
        gateway.check();
        prop_assert!(gateway.anomalies().is_empty());
    }
}
