//! What a gate does with packets that are odd below their flow: T5, T6, T7, T9, T33, T34 and T35 of the evasions.
#![allow(clippy::expect_used)]

use std::net::SocketAddr;
use std::sync::Arc;

use portcullis_engine::{
    Arriving, Fate, Flow, Gate, GateSettings, Grammars, Judgement, Mode, Output, PacketInfo, Settings,
};
use portcullis_grammar::Event;
use portcullis_lang::{Direction, EventId};
use portcullis_policy::PolicySet;
use portcullis_stream::{DropReason, EndReason, FlowSummary, GapReason, StreamAnomaly};
use portcullis_wire::{SequenceNumber, TcpFlags, TcpPacket, Timestamp, WireAnomaly, internet_checksum};

/// Where the TCP header begins, and its checksum in it.
const IPV4: usize = 20;
const IPV6: usize = 40;
const CHECKSUM: usize = 16;

struct Nobody;

impl Output for Nobody {
    fn event(&mut self, _: &Flow, _: &PacketInfo<'_>, _: &Event<'_>) {}

    fn wants(&self, _: &Flow, _: EventId) -> bool {
        false
    }

    fn judgement(&mut self, _: &Flow, _: &PacketInfo<'_>, _: &Event<'_>, _: &Judgement<'_>) {}

    fn flow_ended(&mut self, _: &Flow, _: &FlowSummary, _: EndReason, _: &PacketInfo<'_>) {}

    fn stream_anomaly(&mut self, _: &Flow, _: &PacketInfo<'_>, _: Direction, _: StreamAnomaly, _: u64) {}

    fn gap(&mut self, _: &Flow, _: &PacketInfo<'_>, _: Direction, _: u64, _: u64, _: GapReason) {}

    fn wire_anomaly(&mut self, _: &PacketInfo<'_>, _: WireAnomaly) {}

    fn wrong_checksum(&mut self, _: &PacketInfo<'_>) {}
}

struct Line {
    gate: Gate,
    packets: u64,
}

impl Line {
    fn new() -> Line {
        let (grammars, policies) = (Arc::new(Grammars::default()), Arc::new(PolicySet::default()));
        let settings = GateSettings { mode: Mode::Enforce, ..GateSettings::default() };
        let gate = Gate::new(grammars, policies, Settings::default(), settings);
        Line { gate, packets: 0 }
    }

    /// A line on which a client has said SYN.
    fn opened(version_6: bool) -> Line {
        let mut line = Line::new();
        let syn = packet(version_6, TcpFlags::SYN, 0, b"");
        assert_eq!(line.send(&syn, true), Fate::Accept);
        line
    }

    fn send(&mut self, octets: &[u8], checksum_ready: bool) -> Fate {
        self.packets += 1;
        let arriving = Arriving {
            number: self.packets,
            time: Timestamp(self.packets as i64 * 1_000_000),
            octets,
            original_length: octets.len(),
            checksum_ready,
            offloaded: false,
        };
        let mut own = Vec::new();
        let fate = self.gate.packet(&arriving, &mut Nobody, &mut own);
        assert!(own.is_empty());
        fate
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.gate.normaliser_statistics().map_or(0, |statistics| statistics.dropped(reason))
    }
}

/// A packet of the client.
fn packet(version_6: bool, flags: TcpFlags, offset: u32, payload: &[u8]) -> Vec<u8> {
    let (client, server) = match version_6 {
        true => ("[2001:db8::1]:40000", "[2001:db8::2]:25"),
        false => ("192.0.2.1:40000", "192.0.2.2:25"),
    };
    let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
    let packet = TcpPacket {
        source: address(client),
        destination: address(server),
        sequence: SequenceNumber(1000 + offset),
        acknowledgement: SequenceNumber(u32::from(flags.contains(TcpFlags::ACK))),
        flags,
        window: 1000,
        options: &[],
        payload,
    };
    packet.build().expect("it fits")
}

fn fix_ipv4_header(octets: &mut [u8], length: usize) {
    octets[10..12].fill(0);
    let checksum = internet_checksum(&octets[..length]);
    octets[10..12].copy_from_slice(&checksum.to_be_bytes());
}

#[test]
fn t5_inline_wrong_checksums_are_dropped_where_they_are_ready() {
    for version_6 in [false, true] {
        let at = CHECKSUM + if version_6 { IPV6 } else { IPV4 };
        let mut line = Line::opened(version_6);
        let right = packet(version_6, TcpFlags::ACK, 1, b"NOOP\r\n");
        let mut wrong = right.clone();
        wrong[at] ^= 0x10;
        assert_eq!(line.send(&wrong, true), Fate::Drop);
        assert_eq!(line.dropped(DropReason::Checksum), 1);
        assert_eq!(line.send(&right, true), Fate::Accept);
    }
}

#[test]
fn t5_inline_a_checksum_that_looks_as_if_it_were_still_to_be_computed_is_wrong_too() {
    // Linux leaves the sum of the pseudo-header in a packet whose checksum the network card computes. Whoever sends that on
    // purpose sends what its receiver drops.
    let mut octets = packet(false, TcpFlags::ACK, 1, b"NOOP\r\n");
    let length = (octets.len() - IPV4) as u16;
    let mut pseudo_header = octets[12..20].to_vec();
    pseudo_header.extend([0, 6]);
    pseudo_header.extend(length.to_be_bytes());
    let sum = !internet_checksum(&pseudo_header);
    octets[IPV4 + CHECKSUM..IPV4 + CHECKSUM + 2].copy_from_slice(&sum.to_be_bytes());
    let mut line = Line::opened(false);
    assert_eq!(line.send(&octets, true), Fate::Drop);
    assert_eq!(line.dropped(DropReason::Checksum), 1);
    assert_eq!(line.send(&octets, false), Fate::Accept, "where the kernel says so, it is still to be computed");
}

#[test]
fn t6_inline_lies_in_the_ip_header_are_dropped() {
    let honest = packet(false, TcpFlags::SYN, 0, b"");
    let lies: [(usize, u8); 4] = [(0, 0x55), (0, 0x41), (3, 200), (3, 10)];
    for (at, octet) in lies {
        let mut octets = honest.clone();
        octets[at] = octet;
        fix_ipv4_header(&mut octets, IPV4);
        let mut line = Line::new();
        assert_eq!(line.send(&octets, true), Fate::Drop, "{at} {octet}");
        assert_eq!(line.dropped(DropReason::Malformed), 1);
    }
    let mut octets = honest;
    octets[10] ^= 1;
    let mut line = Line::new();
    assert_eq!(line.send(&octets, true), Fate::Drop, "the checksum of the header");
    assert_eq!(line.dropped(DropReason::Checksum), 1);
}

#[test]
fn t7_inline_fragments_are_dropped() {
    // The kernel has put them together before; what still comes in parts went another way.
    for field in [0x2000_u16, 0x2001, 0x0001, 0x00b9] {
        let mut octets = packet(false, TcpFlags::ACK, 1, b"NOOP\r\n");
        octets[6..8].copy_from_slice(&field.to_be_bytes());
        fix_ipv4_header(&mut octets, IPV4);
        let mut line = Line::opened(false);
        assert_eq!(line.send(&octets, true), Fate::Drop, "{field:x}");
        assert_eq!(line.dropped(DropReason::Fragment), 1);
    }
    let mut octets = with_extensions(&[(44, [6, 0, 0, 1, 0, 0, 0, 9])]);
    assert_eq!(Line::new().send(&octets, true), Fate::Drop);
    // One that is whole all the same (RFC 6946) is a packet as any other.
    octets[IPV6 + 3] = 0;
    assert_eq!(Line::new().send(&octets, true), Fate::Accept);
}

#[test]
fn t9_inline_a_reset_with_a_wrong_checksum_is_dropped() {
    let mut line = Line::opened(false);
    let mut reset = packet(false, TcpFlags::RST, 1, b"");
    reset[IPV4 + CHECKSUM] ^= 1;
    assert_eq!(line.send(&reset, true), Fate::Drop);
    assert_eq!(line.dropped(DropReason::Checksum), 1);
}

#[test]
fn t33_inline_packets_without_a_checksum_yet_leave_as_they_are_and_changed_ones_have_it() {
    let mut line = Line::opened(false);
    let mut octets = packet(false, TcpFlags::ACK, 1, &[b'x'; 60_000]);
    octets[IPV4 + CHECKSUM] ^= 0x55;
    assert_eq!(line.send(&octets, false), Fate::Accept);
    let mut other = packet(false, TcpFlags::ACK, 1, &[b'Y'; 60_000]);
    other[IPV4 + CHECKSUM] ^= 0x55;
    let whole = packet(false, TcpFlags::ACK, 1, &[b'x'; 60_000]);
    assert_eq!(line.send(&other, false), Fate::Replace(whole), "what came first, with a checksum");
}

#[test]
fn t34_inline_source_routes_are_dropped() {
    for kind in [131, 137] {
        let plain = packet(false, TcpFlags::SYN, 0, b"");
        let mut octets = plain[..IPV4].to_vec();
        octets.extend([kind, 7, 4, 10, 0, 0, 9, 0]);
        octets.extend_from_slice(&plain[IPV4..]);
        octets[0] = 0x47;
        octets[3] += 8;
        fix_ipv4_header(&mut octets, IPV4 + 8);
        let mut line = Line::new();
        assert_eq!(line.send(&octets, true), Fate::Drop, "{kind}");
        assert_eq!(line.dropped(DropReason::SourceRoute), 1);
    }
}

/// A SYN behind extension headers of eight octets, given as number and content; the next header is set.
fn with_extensions(extensions: &[(u8, [u8; 8])]) -> Vec<u8> {
    let plain = packet(true, TcpFlags::SYN, 0, b"");
    let mut octets = plain[..IPV6].to_vec();
    let mut announced = 6;
    for (number, content) in extensions {
        match octets.len() {
            IPV6 => octets[6] = *number,
            length => octets[length - 8] = *number,
        }
        octets.extend(content);
        announced = octets.len() - 8;
    }
    octets[announced] = 6;
    octets.extend_from_slice(&plain[IPV6..]);
    let length = (octets.len() - IPV6) as u16;
    octets[4..6].copy_from_slice(&length.to_be_bytes());
    octets
}

#[test]
fn t35_inline_chains_of_headers_are_walked_to_their_bound_and_no_further() {
    let options = (60, [0, 0, 1, 4, 0, 0, 0, 0]);
    assert_eq!(Line::new().send(&with_extensions(&[options; 8]), true), Fate::Accept);
    let mut line = Line::new();
    assert_eq!(line.send(&with_extensions(&[options; 9]), true), Fate::Drop);
    assert_eq!(line.dropped(DropReason::Malformed), 1);
    // A source route, and a chain whose end is not there.
    let mut line = Line::new();
    assert_eq!(line.send(&with_extensions(&[(43, [0, 0, 0, 1, 0, 0, 0, 0])]), true), Fate::Drop);
    let mut torn = with_extensions(&[options]);
    torn[IPV6 + 1] = 200;
    assert_eq!(line.send(&torn, true), Fate::Drop);
}
