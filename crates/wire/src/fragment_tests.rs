use super::*;
use crate::build::{TcpPacket, UdpPacket};
use crate::checksum::ChecksumState;
use crate::decode::Network;
use crate::ip::Transport;
use crate::sequence::SequenceNumber;
use proptest::prelude::*;
use std::net::SocketAddr;

const HOSTS: [(&str, &str); 2] = [("192.0.2.1:53", "192.0.2.2:4000"), ("[2001:db8::1]:53", "[2001:db8::2]:4000")];

/// A UDP packet of IPv4 (0) or IPv6 (1) with a payload of that many octets, all different within 251.
fn udp(family: usize, length: usize) -> Vec<u8> {
    let payload: Vec<u8> = (0..length).map(|number| (number % 251) as u8).collect();
    let (source, destination) = HOSTS[family];
    UdpPacket { source: source.parse().unwrap(), destination: destination.parse().unwrap(), payload: &payload }
        .build()
        .unwrap()
}

/// A fragment of a packet: the octets `start..end` of its IP payload.
fn cut(packet: &[u8], identification: u16, start: usize, end: usize, more: bool) -> Vec<u8> {
    let header = if packet[0] >> 4 == 4 { 20 } else { 40 };
    piece(packet, identification, start, &packet[header + start..header + end], more)
}

/// A fragment of a packet with a payload of its own.
fn piece(packet: &[u8], identification: u16, start: usize, payload: &[u8], more: bool) -> Vec<u8> {
    assert_eq!(start % 8, 0);
    let mut fragment;
    if packet[0] >> 4 == 4 {
        fragment = packet[..20].to_vec();
        fragment[2..4].copy_from_slice(&((20 + payload.len()) as u16).to_be_bytes());
        fragment[4..6].copy_from_slice(&identification.to_be_bytes());
        let field = (start / 8) as u16 | if more { 0x2000 } else { 0 };
        fragment[6..8].copy_from_slice(&field.to_be_bytes());
    } else {
        fragment = packet[..40].to_vec();
        fragment[4..6].copy_from_slice(&((8 + payload.len()) as u16).to_be_bytes());
        fragment[6] = 44;
        fragment.extend([packet[6], 0]);
        fragment.extend((start as u16 | u16::from(more)).to_be_bytes());
        fragment.extend([0, 0]);
        fragment.extend(identification.to_be_bytes());
    }
    fragment.extend(payload);
    fragment
}

/// The whole packet as it is after reassembly: a defragmented IPv4 packet no longer says "do not fragment".
fn whole(packet: &[u8], identification: u16) -> Vec<u8> {
    let mut packet = packet.to_vec();
    if packet[0] >> 4 == 4 {
        packet[4..6].copy_from_slice(&identification.to_be_bytes());
        packet[6] = 0;
        packet[10..12].copy_from_slice(&[0, 0]);
        let checksum = crate::internet_checksum(&packet[..20]);
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    }
    packet
}

struct Bench {
    defragmenter: Defragmenter,
    abandoned: Vec<Abandoned>,
    now: Timestamp,
}

impl Bench {
    fn new(limits: FragmentLimits) -> Self {
        Self { defragmenter: Defragmenter::new(limits, Some(1)), abandoned: Vec::new(), now: Timestamp(0) }
    }

    fn insert(&mut self, packet: &[u8]) -> FragmentResult {
        let Network::Ip(packet) = decode(LinkType::RawIp, packet).network else { panic!("no IP") };
        self.defragmenter.insert(self.now, 0, &packet, &mut self.abandoned)
    }

    /// What became of a fragment in one word, and its anomalies.
    fn told(&mut self, packet: &[u8]) -> (&'static str, Vec<WireAnomaly>) {
        let result = self.insert(packet);
        let word = match result.outcome {
            FragmentOutcome::Complete(_) => "complete",
            FragmentOutcome::Discarded => "discarded",
            FragmentOutcome::Duplicate => "duplicate",
            FragmentOutcome::Held => "held",
            FragmentOutcome::Whole => "whole",
        };
        (word, result.anomalies.iter().collect())
    }
}

fn held() -> (&'static str, Vec<WireAnomaly>) {
    ("held", vec![])
}

#[test]
fn fragments_in_and_out_of_order_make_the_packet() {
    for family in [0, 1] {
        let packet = udp(family, 92);
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let pieces = [cut(&packet, 7, 0, 40, true), cut(&packet, 7, 40, 80, true), cut(&packet, 7, 80, 100, false)];
            let mut bench = Bench::new(FragmentLimits::default());
            assert_eq!(bench.told(&pieces[order[0]]), held());
            assert_eq!(bench.told(&pieces[order[1]]), held());
            let FragmentOutcome::Complete(made) = bench.insert(&pieces[order[2]]).outcome else { panic!("{order:?}") };
            assert_eq!(made.bytes, whole(&packet, 7));
            assert_eq!(made.fragments, 3);
            assert!(bench.defragmenter.is_empty() && bench.abandoned.is_empty());
            assert_eq!(bench.defragmenter.held_bytes(), 0);
            let Network::Ip(decoded) = made.decode().network else { panic!("no IP") };
            assert_eq!(decoded.verify_transport(), ChecksumState::Valid);
            assert_ne!(decoded.verify_header(), ChecksumState::Wrong);
        }
    }
}

#[test]
fn options_before_a_fragment_header_of_ipv6_stay() {
    let packet = udp(1, 92);
    let mut bench = Bench::new(FragmentLimits::default());
    let with_options = |fragment: Vec<u8>| {
        let mut longer = fragment[..40].to_vec();
        longer[5] += 8;
        longer[6] = 60;
        longer.extend([44, 0, 1, 4, 0, 0, 0, 0]);
        longer.extend(&fragment[40..]);
        longer
    };
    assert_eq!(bench.told(&with_options(cut(&packet, 7, 0, 40, true))), held());
    let FragmentOutcome::Complete(made) = bench.insert(&with_options(cut(&packet, 7, 40, 100, false))).outcome else {
        panic!("not complete")
    };
    let Network::Ip(decoded) = made.decode().network else { panic!("no IP") };
    assert_eq!((decoded.protocol, decoded.header.len(), decoded.missing), (17, 48, 0));
    assert_eq!(decoded.payload, &packet[40..]);
    assert_eq!(decoded.verify_transport(), ChecksumState::Valid);
}

#[test]
fn datagrams_are_told_apart_by_every_part_of_their_key() {
    let packet = udp(0, 92);
    let (first, last) = (cut(&packet, 7, 0, 40, true), cut(&packet, 7, 40, 100, false));
    let changed = |offset: usize, value: u8| {
        let mut other = last.clone();
        other[offset] = value;
        other
    };
    let mut bench = Bench::new(FragmentLimits::default());
    assert_eq!(bench.told(&first), held());
    for other in [changed(5, 8), changed(9, 6), changed(15, 9), changed(19, 9)] {
        assert_eq!(bench.told(&other), held());
    }
    let Network::Ip(other_vlan) = decode(LinkType::RawIp, &last).network else { panic!("no IP") };
    let result = bench.defragmenter.insert(bench.now, 5, &other_vlan, &mut bench.abandoned);
    assert!(matches!(result.outcome, FragmentOutcome::Held));
    assert_eq!(bench.told(&last).0, "complete");
}

#[test]
fn an_overlap_discards_the_datagram() {
    for family in [0, 1] {
        let packet = udp(family, 92);
        // Novak's patterns: over the end, over the begin, over both ends of what is held.
        for (start, end) in [(32, 48), (16, 32), (16, 48), (8, 40)] {
            let mut bench = Bench::new(FragmentLimits::default());
            assert_eq!(bench.told(&cut(&packet, 7, 24, 40, true)), held());
            let overlap = bench.told(&cut(&packet, 7, start, end, true));
            assert_eq!(overlap, ("discarded", vec![WireAnomaly::FragmentOverlap]), "{start}..{end}");
            assert!(bench.defragmenter.is_empty());
            assert_eq!(bench.defragmenter.held_bytes(), 0);
        }
    }
}

/// The payload of a datagram made of fragments, each `(start, octet, length)` in units of eight octets, as one letter a unit;
/// the datagram ends with the one that reaches furthest.
fn read_by(overlaps: FragmentOverlaps, family: usize, fragments: &[(usize, u8, usize)]) -> Option<String> {
    let packet = udp(family, 92);
    let mut bench = Bench::new(FragmentLimits::default());
    bench.defragmenter = bench.defragmenter.with_overlaps(overlaps);
    let end = fragments.iter().map(|(start, _, length)| start + length).max().unwrap();
    for (start, octet, length) in fragments {
        let more = start + length < end;
        let made = piece(&packet, 7, 8 * start, &vec![*octet; 8 * length], more);
        if let FragmentOutcome::Complete(made) = bench.insert(&made).outcome {
            let header = if family == 0 { 20 } else { 40 };
            return Some(made.bytes[header..].chunks(8).map(|unit| char::from(unit[0])).collect());
        }
    }
    None
}

/// Novak's fragments: a hole at 3, filled last, so that all others compete.
const NOVAK: [(usize, u8, usize); 7] =
    [(0, b'1', 3), (4, b'2', 2), (6, b'3', 3), (1, b'4', 4), (6, b'5', 3), (9, b'6', 3), (0, b'0', 1)];

#[test]
fn overlaps_are_read_as_the_receiver_that_is_named_does() {
    // By unit: the fragments that were sent for it, in order, are 0: 1 0; 1, 2: 1 4; 3: 4; 4: 2 4; 5: 2; 6 to 8: 3 5; 9 on: 6.
    let order = [NOVAK[0], NOVAK[1], NOVAK[2], NOVAK[4], NOVAK[6], NOVAK[5], NOVAK[3]];
    let read = |overlaps| read_by(overlaps, 0, &order);
    assert_eq!(read(FragmentOverlaps::Discard), None);
    assert_eq!(read(FragmentOverlaps::First).as_deref(), Some("111422333666"));
    assert_eq!(read(FragmentOverlaps::BeginsFirst).as_deref(), Some("111442333666"));
    assert_eq!(read(FragmentOverlaps::Last).as_deref(), Some("044442555666"));
}

#[test]
fn ipv6_discards_overlaps_whoever_is_named() {
    let overlapping = [(0, b'1', 2), (1, b'2', 2), (0, b'3', 1), (3, b'4', 1)];
    for overlaps in
        [FragmentOverlaps::Discard, FragmentOverlaps::First, FragmentOverlaps::BeginsFirst, FragmentOverlaps::Last]
    {
        assert_eq!(read_by(overlaps, 1, &overlapping), None, "{overlaps:?}");
    }
}

#[test]
fn overlaps_are_told_under_every_reading() {
    for overlaps in [FragmentOverlaps::First, FragmentOverlaps::BeginsFirst, FragmentOverlaps::Last] {
        let packet = udp(0, 92);
        let mut bench = Bench::new(FragmentLimits::default());
        bench.defragmenter = bench.defragmenter.with_overlaps(overlaps);
        assert_eq!(bench.told(&cut(&packet, 7, 0, 40, true)), held());
        assert_eq!(bench.told(&cut(&packet, 7, 0, 40, true)), ("duplicate", vec![]), "a plain repetition");
        assert_eq!(bench.told(&cut(&packet, 7, 32, 48, true)), ("held", vec![WireAnomaly::FragmentOverlap]));
        let other = bench.told(&piece(&packet, 7, 8, &[0xff; 8], true));
        assert_eq!(other, ("held", vec![WireAnomaly::FragmentDuplicateDiffers, WireAnomaly::FragmentOverlap]));
        assert_eq!(bench.told(&cut(&packet, 7, 48, 100, false)).0, "complete");
        assert_eq!(bench.defragmenter.held_bytes(), 0, "all that was counted was given back");
    }
}

#[test]
fn pieces_that_overlaps_make_are_bounded() {
    let packet = udp(0, 92);
    let limits = FragmentLimits { fragments: 3, ..FragmentLimits::default() };
    let mut bench = Bench::new(limits);
    bench.defragmenter = bench.defragmenter.with_overlaps(FragmentOverlaps::Last);
    assert_eq!(bench.told(&cut(&packet, 7, 0, 80, true)), held());
    let split = bench.told(&cut(&packet, 7, 8, 16, true));
    assert_eq!(split, ("duplicate", vec![]), "the same octets are no new ones");
    assert_eq!(bench.told(&piece(&packet, 7, 8, &[1; 8], true)).0, "held", "three pieces");
    let told = bench.told(&piece(&packet, 7, 24, &[1; 8], true));
    assert_eq!(told.0, "discarded");
    assert!(told.1.contains(&WireAnomaly::FragmentLimit) && bench.defragmenter.is_empty());
}

#[test]
fn an_identification_that_comes_again_is_another_datagram() {
    // CVE-2024-37151: what was put together must not be mixed with what comes after it under the same number.
    for overlaps in [FragmentOverlaps::Discard, FragmentOverlaps::First, FragmentOverlaps::Last] {
        for family in [0, 1] {
            let mut bench = Bench::new(FragmentLimits::default());
            bench.defragmenter = bench.defragmenter.with_overlaps(overlaps);
            for length in [92, 60, 92, 84] {
                let packet = udp(family, length);
                assert_eq!(bench.told(&cut(&packet, 7, 0, 40, true)), held());
                let FragmentOutcome::Complete(made) = bench.insert(&cut(&packet, 7, 40, length + 8, false)).outcome
                else {
                    panic!("not complete")
                };
                assert_eq!(made.bytes, whole(&packet, 7));
            }
            assert!(bench.defragmenter.is_empty() && bench.abandoned.is_empty());
        }
    }
}

#[test]
fn a_teardrop_is_discarded() {
    let packet = udp(0, 92);
    let mut bench = Bench::new(FragmentLimits::default());
    assert_eq!(bench.told(&cut(&packet, 242, 0, 40, true)), held());
    let told = bench.told(&cut(&packet, 242, 24, 28, false));
    assert_eq!(told, ("discarded", vec![WireAnomaly::FragmentTwoEnds]), "the end lies in what is held");
}

#[test]
fn duplicates_are_ignored_and_told_from_forgeries() {
    let packet = udp(0, 92);
    let mut bench = Bench::new(FragmentLimits::default());
    let first = cut(&packet, 7, 0, 40, true);
    assert_eq!(bench.told(&first), held());
    assert_eq!(bench.told(&first), ("duplicate", vec![]));
    assert_eq!(bench.told(&cut(&packet, 7, 8, 24, true)), ("duplicate", vec![]));
    let mut forged = first.clone();
    forged[30] ^= 1;
    assert_eq!(bench.told(&forged), ("duplicate", vec![WireAnomaly::FragmentDuplicateDiffers]));
    assert_eq!(bench.told(&cut(&packet, 7, 40, 80, true)), held());
    assert_eq!(bench.told(&cut(&packet, 7, 32, 64, true)), ("duplicate", vec![]), "over two that came in order");
    let FragmentOutcome::Complete(made) = bench.insert(&cut(&packet, 7, 80, 100, false)).outcome else { panic!() };
    assert_eq!(made.bytes, whole(&packet, 7), "the first copy counts");
}

#[test]
fn a_copy_over_two_fragments_that_came_out_of_order_is_an_overlap_as_in_linux() {
    let packet = udp(0, 92);
    let mut bench = Bench::new(FragmentLimits::default());
    assert_eq!(bench.told(&cut(&packet, 7, 40, 80, true)), held());
    assert_eq!(bench.told(&cut(&packet, 7, 0, 40, true)), held());
    assert_eq!(bench.told(&cut(&packet, 7, 32, 48, true)), ("discarded", vec![WireAnomaly::FragmentOverlap]));
}

#[test]
fn two_ends_discard_the_datagram() {
    let packet = udp(0, 192);
    for (second, more) in [((96, 120), false), ((40, 48), false), ((96, 120), true)] {
        let mut bench = Bench::new(FragmentLimits::default());
        assert_eq!(bench.told(&cut(&packet, 7, 56, 80, false)), held());
        let told = bench.told(&cut(&packet, 7, second.0, second.1, more));
        assert_eq!(told, ("discarded", vec![WireAnomaly::FragmentTwoEnds]));
    }
}

#[test]
fn lengths_that_are_no_multiple_of_eight_are_cut_for_ipv4_and_refused_for_ipv6() {
    let packet = udp(0, 92);
    let mut bench = Bench::new(FragmentLimits::default());
    assert_eq!(bench.told(&cut(&packet, 7, 0, 43, true)), ("held", vec![WireAnomaly::FragmentLength]));
    assert_eq!(bench.told(&cut(&packet, 7, 40, 100, false)), ("complete", vec![]));

    let packet = udp(1, 92);
    let mut bench = Bench::new(FragmentLimits::default());
    assert_eq!(bench.told(&cut(&packet, 7, 40, 83, true)), ("discarded", vec![WireAnomaly::FragmentLength]));
    assert_eq!(bench.told(&cut(&packet, 7, 0, 40, true)), held());
    assert_eq!(bench.told(&cut(&packet, 7, 40, 100, false)), ("complete", vec![]), "the rest was left as it was");
}

#[test]
fn empty_fragments_discard_the_datagram() {
    let packet = udp(0, 92);
    let mut bench = Bench::new(FragmentLimits::default());
    assert_eq!(bench.told(&cut(&packet, 7, 0, 40, true)), held());
    assert_eq!(bench.told(&cut(&packet, 7, 48, 48, true)), ("discarded", vec![WireAnomaly::FragmentLength]));
    assert!(bench.defragmenter.is_empty());
}

#[test]
fn the_ping_of_death_is_named() {
    for family in [0, 1] {
        let packet = udp(family, 92);
        let mut bench = Bench::new(FragmentLimits::default());
        let told = bench.told(&piece(&packet, 7, 65_528, &[0; 8], false));
        assert_eq!(told, ("discarded", vec![WireAnomaly::FragmentTooBig]));
        assert!(bench.defragmenter.is_empty());
    }
}

#[test]
fn a_datagram_too_long_with_its_header_is_named() {
    let packet = udp(0, 92);
    let mut bench = Bench::new(FragmentLimits::default());
    assert_eq!(bench.told(&piece(&packet, 7, 0, &vec![0; 65_512], true)), held());
    assert_eq!(
        bench.told(&piece(&packet, 7, 65_512, &[0; 8], false)),
        ("discarded", vec![WireAnomaly::FragmentTooBig])
    );

    let mut bench = Bench::new(FragmentLimits::default());
    assert_eq!(bench.told(&piece(&packet, 7, 0, &vec![0; 65_512], true)), held());
    assert_eq!(bench.told(&piece(&packet, 7, 65_512, &[0; 3], false)).0, "complete", "65,535 octets fit");
}

#[test]
fn tiny_fragments_are_named() {
    let segment = |family: usize| {
        let (source, destination) = HOSTS[family];
        let (source, destination): (SocketAddr, SocketAddr) = (source.parse().unwrap(), destination.parse().unwrap());
        TcpPacket::data(source, destination, SequenceNumber(1), SequenceNumber(1), 9, &[7; 40]).build().unwrap()
    };
    let packet = segment(0);
    let mut bench = Bench::new(FragmentLimits::default());
    assert_eq!(bench.told(&cut(&packet, 7, 0, 8, true)), ("held", vec![WireAnomaly::FragmentTiny]));
    assert_eq!(bench.told(&cut(&packet, 7, 8, 60, false)), ("complete", vec![WireAnomaly::FragmentTiny]));

    let packet = segment(1);
    let mut bench = Bench::new(FragmentLimits::default());
    assert_eq!(bench.told(&cut(&packet, 7, 0, 8, true)), ("discarded", vec![WireAnomaly::FragmentTiny]));
    assert_eq!(bench.told(&cut(&packet, 7, 0, 24, true)), held());
}

#[test]
fn datagrams_time_out_by_packet_time() {
    for (family, seconds) in [(0, 30), (1, 60)] {
        let packet = udp(family, 92);
        let mut bench = Bench::new(FragmentLimits::default());
        bench.now = Timestamp::from_seconds(1000);
        assert_eq!(bench.told(&cut(&packet, 7, 0, 40, true)), held());
        bench.now = Timestamp::from_seconds(1000 + seconds - 1);
        assert_eq!(bench.told(&cut(&packet, 7, 40, 48, true)), held(), "later fragments do not wind the timer up");
        bench.now = Timestamp::from_seconds(990);
        bench.defragmenter.advance(bench.now, &mut bench.abandoned);
        bench.now = Timestamp::from_seconds(1000 + seconds);
        assert_eq!(bench.told(&cut(&packet, 7, 48, 100, false)), held(), "of a new datagram");
        let [given_up] = &bench.abandoned[..] else { panic!("{:?}", bench.abandoned) };
        assert_eq!(given_up.anomaly, WireAnomaly::FragmentTimeout);
        assert_eq!((given_up.fragments, given_up.payload_bytes, given_up.protocol), (2, 48, 17));
        assert_eq!((given_up.first, given_up.identification), (Timestamp::from_seconds(1000), 7));
    }
}

#[test]
fn the_oldest_datagram_yields_to_a_new_one() {
    let limits = FragmentLimits { datagrams: 2, ..FragmentLimits::default() };
    let mut bench = Bench::new(limits);
    for (number, family) in [(1, 1), (2, 0), (3, 1), (4, 0)] {
        bench.now = Timestamp::from_seconds(i64::from(number));
        assert_eq!(bench.told(&cut(&udp(family, 92), number, 0, 40, true)), held());
    }
    assert_eq!(bench.defragmenter.len(), 2);
    let given_up: Vec<_> =
        bench.abandoned.iter().map(|abandoned| (abandoned.identification, abandoned.anomaly)).collect();
    assert_eq!(given_up, [(1, WireAnomaly::FragmentLimit), (2, WireAnomaly::FragmentLimit)]);
    assert_eq!(bench.told(&cut(&udp(0, 92), 4, 40, 100, false)).0, "complete");
}

#[test]
fn the_bound_on_octets_holds() {
    let limits = FragmentLimits { bytes: 20_000, ..FragmentLimits::default() };
    let mut bench = Bench::new(limits);
    for number in 0..100 {
        bench.insert(&cut(&udp(0, 2000), number, 0, 1600, true));
        assert!(bench.defragmenter.held_bytes() <= 20_000);
    }
    assert!(bench.defragmenter.len() >= 8);
    assert_eq!(bench.abandoned.len() + bench.defragmenter.len(), 100);

    let mut bench = Bench::new(FragmentLimits { bytes: 1_000, ..FragmentLimits::default() });
    let told = bench.told(&cut(&udp(0, 2000), 1, 0, 1600, true));
    assert_eq!(told, ("discarded", vec![WireAnomaly::FragmentLimit]), "larger than all the room there is");
    assert_eq!((bench.defragmenter.held_bytes(), bench.abandoned.len()), (0, 1));
}

#[test]
fn the_bound_on_fragments_holds() {
    let packet = udp(0, 92);
    let mut bench = Bench::new(FragmentLimits { fragments: 3, ..FragmentLimits::default() });
    for start in [0, 16, 32] {
        assert_eq!(bench.told(&cut(&packet, 7, start, start + 8, true)), held());
    }
    assert_eq!(bench.told(&cut(&packet, 7, 48, 56, true)), ("discarded", vec![WireAnomaly::FragmentLimit]));
    assert!(bench.defragmenter.is_empty());
}

#[test]
fn what_is_left_at_the_end_is_told_by_age() {
    let mut bench = Bench::new(FragmentLimits::default());
    for (number, family) in [(1, 1), (2, 0), (3, 1)] {
        bench.now = Timestamp::from_seconds(i64::from(number));
        bench.insert(&cut(&udp(family, 92), number, 0, 40, true));
    }
    bench.defragmenter.finish(&mut bench.abandoned);
    let told: Vec<_> = bench.abandoned.iter().map(|abandoned| (abandoned.identification, abandoned.anomaly)).collect();
    assert_eq!(told, [1, 2, 3].map(|number| (number, WireAnomaly::FragmentIncomplete)));
    assert!(bench.defragmenter.is_empty());
}

#[test]
fn whole_and_cut_packets_are_not_taken_in() {
    let packet = udp(0, 92);
    let mut bench = Bench::new(FragmentLimits::default());
    assert_eq!(bench.told(&packet), ("whole", vec![]));
    assert_eq!(bench.told(&cut(&packet, 7, 0, 40, true)[..50]), ("discarded", vec![WireAnomaly::CaptureCut]));
    assert!(bench.defragmenter.is_empty());
}

/// Pieces of a payload of that many octets, cut at multiples of 8.
fn pieces_of(length: usize, cuts: &[usize]) -> Vec<(usize, usize)> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| (cut % length) & !7).filter(|cut| *cut >= 8).collect();
    ends.push(length);
    ends.sort_unstable();
    ends.dedup();
    let starts = [0].into_iter().chain(ends.iter().copied());
    starts.zip(ends.iter().copied()).collect()
}

proptest! {
    #[test]
    fn any_cutting_and_order_with_duplicates_gives_the_packet(
        family in 0..2_usize, length in 9..3000_usize, cuts in prop::collection::vec(any::<usize>(), 1..40),
        order in prop::collection::vec(any::<usize>(), 80), duplicates in prop::collection::vec(any::<usize>(), 0..10),
    ) {
        let packet = udp(family, length);
        let pieces = pieces_of(length + 8, &cuts);
        prop_assume!(pieces.len() > 1);
        let mut fragments: Vec<_> =
            pieces.iter().map(|(start, end)| cut(&packet, 7, *start, *end, *end < length + 8)).collect();
        let copies: Vec<_> = duplicates.iter().map(|number| fragments[number % fragments.len()].clone()).collect();
        fragments.extend(copies);
        for place in (1..fragments.len()).rev() {
            fragments.swap(place, order[place % order.len()] % (place + 1));
        }
        let mut bench = Bench::new(FragmentLimits::default());
        let mut made = Vec::new();
        for fragment in &fragments {
            let result = bench.insert(fragment);
            prop_assert!(result.anomalies.is_empty(), "{:?}", result.anomalies);
            if let FragmentOutcome::Complete(whole) = result.outcome {
                made.push(whole);
            }
        }
        // Duplicates that come after the last missing one begin a datagram that never ends, or may even end again.
        prop_assert_eq!(&made[0].bytes, &whole(&packet, 7));
        prop_assert_eq!(made[0].fragments, pieces.len());
    }

    #[test]
    fn no_fragments_break_the_bounds(
        fragments in prop::collection::vec((0..2_usize, 0..4_u16, 0..30_usize, 0..80_usize, any::<bool>(), 0..40_i64), 1..200),
    ) {
        let limits = FragmentLimits { datagrams: 3, bytes: 2_500, fragments: 5, ..FragmentLimits::default() };
        let mut bench = Bench::new(limits.clone());
        let packets = [udp(0, 300), udp(1, 300)];
        for (family, identification, start, length, more, seconds) in fragments {
            bench.now = bench.now.saturating_add(Duration::from_secs(seconds as u64 / 10));
            let fragment = cut(&packets[family], identification, start * 8, (start * 8 + length).min(308), more);
            if let FragmentOutcome::Complete(made) = bench.insert(&fragment).outcome {
                let Network::Ip(decoded) = made.decode().network else { panic!("no IP") };
                prop_assert_eq!(decoded.missing, 0);
                prop_assert!(!matches!(decoded.transport(), Transport::Fragment));
            }
            prop_assert!(bench.defragmenter.len() <= limits.datagrams);
            prop_assert!(bench.defragmenter.held_bytes() <= limits.bytes);
        }
        bench.defragmenter.finish(&mut bench.abandoned);
        prop_assert!(bench.defragmenter.is_empty());
        prop_assert_eq!(bench.defragmenter.held_bytes(), 0);
    }
}
