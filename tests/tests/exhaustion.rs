//! What floods cost: the peak of memory lies within what the bounds add up to, and it is told that they were met.
//!
//! Each flood runs in a process of its own, so that the kernel's own account of its memory can be asked for (`VmHWM`).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use portcullis_engine::{Bound, Engine, Flow, Footprint, Judgement, Output, PacketInfo, Settings, WhenMet};
use portcullis_grammar::Event;
use portcullis_lang::{Direction, EventId};
use portcullis_policy::PolicySet;
use portcullis_stream::{EndReason, FlowSummary, GapReason, StreamAnomaly};
use portcullis_tests::command;
use portcullis_tests::floods::{FLOOD, measure, memory, tell};
use portcullis_tests::grammars::shipped;
use portcullis_wire::{LinkType, SequenceNumber, TcpFlags, TcpPacket, Timestamp, WireAnomaly};

const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;

/// What floods are made of.
struct Flood {
    engine: Engine,
    told: Told,
    packets: u64,
    now: Timestamp,
}

/// What the engine told of them.
#[derive(Default)]
struct Told {
    ended: u64,
    evicted: u64,
    gaps: u64,
    limited_gaps: u64,
    fragment_limits: u64,
    limits: u64,
}

impl Output for Told {
    fn event(&mut self, _: &Flow, _: &PacketInfo<'_>, _: &Event<'_>) {}

    fn wants(&self, _: &Flow, _: EventId) -> bool {
        true
    }

    fn judgement(&mut self, _: &Flow, _: &PacketInfo<'_>, _: &Event<'_>, _: &Judgement<'_>) {}

    fn flow_ended(&mut self, _: &Flow, _: &FlowSummary, reason: EndReason, _: &PacketInfo<'_>) {
        self.ended += 1;
        self.evicted += u64::from(reason == EndReason::Evicted);
    }

    fn stream_anomaly(&mut self, _: &Flow, _: &PacketInfo<'_>, _: Direction, _: StreamAnomaly, _: u64) {}

    fn gap(&mut self, _: &Flow, _: &PacketInfo<'_>, _: Direction, _: u64, _: u64, reason: GapReason) {
        self.gaps += 1;
        self.limited_gaps += u64::from(Bound::of_gap(reason).is_some());
    }

    fn wire_anomaly(&mut self, _: &PacketInfo<'_>, anomaly: WireAnomaly) {
        self.fragment_limits += u64::from(anomaly == WireAnomaly::FragmentLimit);
    }

    fn wrong_checksum(&mut self, _: &PacketInfo<'_>) {
        panic!("all checksums are right");
    }

    fn limit(&mut self, _: &Flow, _: &PacketInfo<'_>, _: Bound, _: WhenMet) {
        self.limits += 1;
    }
}

impl Flood {
    fn new(limits: &[(&str, &str)]) -> Flood {
        let engine = Engine::new(Arc::clone(&shipped().grammars), Arc::new(PolicySet::default()), settings(limits));
        Flood { engine, told: Told::default(), packets: 0, now: Timestamp::from_seconds(1_800_000_000) }
    }

    fn put(&mut self, packet: &[u8]) {
        self.packets += 1;
        self.now = Timestamp(self.now.0 + 1_000);
        let length = u32::try_from(packet.len()).unwrap();
        self.engine.packet(self.packets, self.now, LinkType::RawIp, packet, length, &mut self.told);
    }

    fn send(&mut self, client: u32, up: bool, flags: TcpFlags, numbers: (u32, u32), payload: &[u8]) {
        self.put(&segment(client, up, flags, numbers, payload));
    }

    fn connect(&mut self, client: u32) {
        self.send(client, true, SYN, (0, 0), b"");
        self.send(client, false, SYN | ACK, (0, 1), b"");
        self.send(client, true, ACK, (1, 1), b"");
    }

    fn met(&self, bound: Bound) -> u64 {
        self.engine.statistics().met(bound)
    }

    /// Lets all flows end.
    fn finish(&mut self) {
        self.engine.finish(&mut self.told);
    }
}

fn settings(limits: &[(&str, &str)]) -> Settings {
    let mut settings = Settings::default();
    for (name, value) in limits {
        Bound::parse(name).unwrap().set(&mut settings, value).unwrap();
    }
    settings
}

fn segment(client: u32, up: bool, flags: TcpFlags, numbers: (u32, u32), payload: &[u8]) -> Vec<u8> {
    let address = Ipv4Addr::from_bits(0x0a00_0000 | client);
    let (client, server): (SocketAddr, SocketAddr) = ((address, 40_000).into(), ([192, 0, 2, 2], 25).into());
    let (source, destination) = if up { (client, server) } else { (server, client) };
    let packet = TcpPacket {
        source,
        destination,
        sequence: SequenceNumber(numbers.0),
        acknowledgement: SequenceNumber(numbers.1),
        flags,
        window: 60_000,
        options: &[],
        payload,
    };
    packet.build().unwrap()
}

/// The first fragment of a datagram, the others of which never come.
fn fragment_head(number: u32, version: u8) -> Vec<u8> {
    let payload = [0_u8; 64];
    let mut packet = Vec::new();
    match IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 | number)) {
        IpAddr::V4(source) if version == 4 => {
            packet.extend([0x45, 0, 0, 84]);
            packet.extend((number as u16).to_be_bytes());
            packet.extend([0x20, 0, 64, 17, 0, 0]);
            packet.extend(source.octets());
            packet.extend([192, 0, 2, 2]);
            let sum: u32 = packet.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
            let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        _ => {
            packet.extend([0x60, 0, 0, 0, 0, 72, 44, 64]);
            packet.extend(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).octets());
            packet.extend(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2).octets());
            packet.extend([17, 0, 0, 1]);
            packet.extend(number.to_be_bytes());
        }
    }
    packet.extend(payload);
    packet
}

/// Not a test of its own, but the process that a flood runs in.
#[test]
fn a_flood() {
    let Ok(name) = std::env::var(FLOOD) else { return };
    let Case { limits, make, .. } = case(&name);
    // What is the same for all: grammars, and the first pages of everything.
    let mut warm = Flood::new(limits);
    warm.connect(1);
    drop(warm);
    let mut state = Flood::new(limits);
    let before = memory("self", "VmRSS").unwrap();
    make(&mut state);
    tell(before);
}

/// A flood, with what is set for it.
struct Case {
    name: &'static str,
    limits: &'static [(&'static str, &'static str)],
    make: fn(&mut Flood),
}

/// The floods. Where a bound were far from what the flood needs, the measurement would say nothing.
const FLOODS: [Case; 6] = [
    Case {
        name: "half-open flows",
        limits: &[],
        make: |flood| {
            for client in 0..1_000_000 {
                flood.send(client, true, SYN, (client, 0), b"");
            }
            assert_eq!((flood.engine.flows(), flood.told.ended), (1_000_000, 0), "all of them fit");
            assert_eq!(flood.engine.memory(), 0, "nothing lies in buffers");
            // Some more, and the oldest give way; then all are forgotten at once.
            for client in 1_000_000..1_010_000 {
                flood.send(client, true, SYN, (client, 0), b"");
            }
            assert_eq!((flood.told.evicted, flood.met(Bound::Flows)), (10_000, 10_000));
            flood.now = Timestamp(flood.now.0 + 60_000_000_000);
            let mut calls = 0;
            while flood.engine.flows() > 0 && calls < 1_000 {
                flood.engine.advance(flood.now, &mut flood.told);
                calls += 1;
            }
            assert!(calls > 10, "they end in portions: {calls}");
            assert_eq!((flood.engine.flows(), flood.told.ended), (0, 1_010_000));
        },
    },
    Case {
        name: "flows with a segment out of order",
        limits: &[
            ("flows", "100000"),
            ("stream-memory", "48MiB"),
            ("conversation-memory", "64KiB"),
            ("fragment-bytes", "64KiB"),
            ("doubtful-bytes", "0"),
            ("blocks", "1"),
        ],
        make: |flood| {
            for client in 0..100_000 {
                flood.connect(client);
                flood.send(client, true, ACK, (101, 1), &[b'x'; 256]);
            }
            assert_eq!((flood.engine.flows(), flood.told.gaps), (100_000, 0), "all of them are held");
            flood.finish();
            assert_eq!((flood.told.ended, flood.told.gaps), (100_000, 100_000));
        },
    },
    Case {
        name: "segments out of order with holes",
        limits: &[
            ("flows", "1000"),
            ("stream-memory", "16MiB"),
            ("conversation-memory", "64KiB"),
            ("fragment-bytes", "64KiB"),
            ("doubtful-bytes", "0"),
            ("blocks", "1"),
        ],
        make: |flood| {
            // The smallest of them cost the most beside what they carry.
            for client in 0..1_000 {
                flood.connect(client);
                for hole in 0..200 {
                    flood.send(client, true, ACK, (101 + 2 * hole, 1), b"x");
                }
            }
            assert!(flood.met(Bound::StreamMemory) > 0 && flood.told.limited_gaps > 0);
            flood.finish();
        },
    },
    Case {
        name: "heads of fragments",
        limits: &[
            ("flows", "1"),
            ("stream-memory", "64KiB"),
            ("conversation-memory", "64KiB"),
            ("doubtful-bytes", "0"),
            ("blocks", "1"),
            ("fragment-datagrams", "100000"),
            ("fragment-bytes", "64MiB"),
        ],
        make: |flood| {
            for number in 0..100_000 {
                flood.put(&fragment_head(number, 4));
                flood.put(&fragment_head(number, 6));
            }
            let limits = flood.met(Bound::FragmentDatagrams) + flood.met(Bound::FragmentBytes);
            assert!(limits >= 100_000, "half of them have to give way: {limits}");
            assert_eq!(flood.told.fragment_limits, limits);
        },
    },
    Case {
        name: "commands that never end",
        limits: &[
            ("flows", "100000"),
            ("stream-memory", "64KiB"),
            ("conversation-memory", "96MiB"),
            ("fragment-bytes", "64KiB"),
            ("doubtful-bytes", "0"),
            ("blocks", "1"),
        ],
        make: |flood| {
            for client in 0..100_000 {
                flood.connect(client);
                flood.send(client, false, ACK, (1, 1), b"220 mx\r\n");
                flood.send(client, true, ACK, (1, 9), &[b'x'; 600]);
            }
            assert!(flood.told.limits > 0, "not all of them can be held");
            assert_eq!(flood.met(Bound::ConversationMemory), flood.told.limits);
            assert!(flood.engine.memory() <= 100 << 20, "{}", flood.engine.memory());
            flood.finish();
            assert_eq!((flood.told.ended, flood.engine.memory()), (100_000, 0));
        },
    },
    Case {
        name: "servers that never stop",
        limits: &[
            ("flows", "20000"),
            ("stream-memory", "64KiB"),
            ("conversation-memory", "16MiB"),
            ("fragment-bytes", "64KiB"),
            ("doubtful-bytes", "0"),
            ("blocks", "1"),
        ],
        make: |flood| {
            for client in 0..20_000 {
                flood.connect(client);
                flood.send(client, false, ACK, (1, 1), &[b'2'; 1400]);
                flood.send(client, false, ACK, (1401, 1), &[b'2'; 1400]);
            }
            assert!(flood.told.limits > 0);
            flood.finish();
        },
    },
];

fn case(name: &str) -> &'static Case {
    FLOODS.iter().find(|case| case.name == name).unwrap()
}

fn total(name: &str) -> u64 {
    Footprint::of(&settings(case(name).limits)).total()
}

#[test]
fn a_million_half_open_flows() {
    // Nothing but the table: no conversation begins, and nothing is kept of them elsewhere.
    measure("half-open flows", Footprint::of(&Settings::default()).table);
}

#[test]
fn a_hundred_thousand_flows_with_a_segment_out_of_order() {
    measure("flows with a segment out of order", total("flows with a segment out of order"));
}

#[test]
fn the_smallest_segments_out_of_order() {
    measure("segments out of order with holes", total("segments out of order with holes"));
}

#[test]
fn a_hundred_thousand_heads_of_fragments_of_both_families() {
    measure("heads of fragments", total("heads of fragments"));
}

#[test]
fn a_hundred_thousand_commands_that_never_end() {
    measure("commands that never end", total("commands that never end"));
}

#[test]
fn replies_that_never_end() {
    measure("servers that never stop", total("servers that never stop"));
}

/// The program as a whole, with what its records and its screen keep.
#[test]
fn the_program_in_a_flood_of_a_million_syns() {
    if memory("self", "VmHWM").is_none() {
        println!("skipped: the system does not say how much memory a process takes");
        return;
    }
    let few = peak_of_the_program(1);
    let many = peak_of_the_program(1_000_000);
    // Beside the table, the screen tells 100,000 hosts apart, and records know a flow by its place in the table.
    let bound = Footprint::of(&Settings::default()).table + (16 << 20);
    let taken = many.saturating_sub(few);
    println!("the program: peak of {} KiB more than for one SYN, bound of {} KiB", taken >> 10, bound >> 10);
    assert!(taken * 5 <= bound * 6, "{taken} of {bound}");
}

fn peak_of_the_program(syns: u32) -> u64 {
    let mut child = command()
        .args(["read", "-", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let process = child.id().to_string();
    let input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        let mut input = std::io::BufWriter::with_capacity(1 << 16, input);
        let mut header = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0];
        header.extend(101_u32.to_le_bytes());
        input.write_all(&header).unwrap();
        for client in 0..syns {
            let packet = segment(client, true, SYN, (client, 0), b"");
            let length = u32::try_from(packet.len()).unwrap();
            for word in [1_800_000_000, client % 1_000_000, length, length] {
                input.write_all(&word.to_le_bytes()).unwrap();
            }
            input.write_all(&packet).unwrap();
        }
    });
    let mut peak = 0;
    loop {
        peak = memory(&process, "VmHWM").unwrap_or(0).max(peak);
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    writer.join().unwrap();
    peak
}
