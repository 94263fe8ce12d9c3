//! What a packet of a conversation costs in allocations, from the packet to the rules.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

use std::net::SocketAddr;
use std::sync::Arc;

use allocation_counter::{AllocationInfo, measure};
use portcullis_engine::{Engine, Flow, Judgement, Output, PacketInfo, Settings};
use portcullis_grammar::Event;
use portcullis_lang::{Direction, EventId};
use portcullis_policy::PolicySet;
use portcullis_stream::{EndReason, FlowSummary, GapReason, StreamAnomaly};
use portcullis_tests::grammars::shipped;
use portcullis_wire::{LinkType, SequenceNumber, TcpFlags, TcpPacket, Timestamp, WireAnomaly};

const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;

/// Counts events.
#[derive(Default)]
struct Counts {
    reads: bool,
    events: u64,
}

impl Output for Counts {
    fn event(&mut self, _: &Flow, _: &PacketInfo<'_>, _: &Event<'_>) {
        self.events += 1;
    }

    fn wants(&self, _: &Flow, _: EventId) -> bool {
        self.reads
    }

    fn judgement(&mut self, _: &Flow, _: &PacketInfo<'_>, _: &Event<'_>, _: &Judgement<'_>) {}

    fn flow_ended(&mut self, _: &Flow, _: &FlowSummary, _: EndReason, _: &PacketInfo<'_>) {}

    fn stream_anomaly(&mut self, _: &Flow, _: &PacketInfo<'_>, _: Direction, anomaly: StreamAnomaly, _: u64) {
        panic!("{anomaly:?}");
    }

    fn gap(&mut self, _: &Flow, _: &PacketInfo<'_>, _: Direction, _: u64, _: u64, reason: GapReason) {
        panic!("{reason:?}");
    }

    fn wire_anomaly(&mut self, _: &PacketInfo<'_>, anomaly: WireAnomaly) {
        panic!("{anomaly:?}");
    }

    fn wrong_checksum(&mut self, _: &PacketInfo<'_>) {
        panic!("all checksums are right");
    }
}

/// A conversation of which the packets are made before they are counted.
struct Talk {
    next: [u32; 2],
    packets: Vec<Vec<u8>>,
}

impl Talk {
    fn begin(server_port: u16) -> (Talk, impl Fn(&mut Talk, bool, TcpFlags, &[u8])) {
        let send = move |talk: &mut Talk, up: bool, flags: TcpFlags, payload: &[u8]| {
            let (client, server): (SocketAddr, SocketAddr) =
                (([192, 0, 2, 1], 40_000).into(), ([192, 0, 2, 2], server_port).into());
            let (source, destination) = if up { (client, server) } else { (server, client) };
            let (mine, other) = if up { (0, 1) } else { (1, 0) };
            let packet = TcpPacket {
                source,
                destination,
                sequence: SequenceNumber(talk.next[mine]),
                acknowledgement: SequenceNumber(talk.next[other]),
                flags,
                window: 60_000,
                options: &[],
                payload,
            };
            talk.packets.push(packet.build().unwrap());
            let length = u32::try_from(payload.len()).unwrap() + u32::from(flags.contains(SYN));
            talk.next[mine] = talk.next[mine].wrapping_add(length);
        };
        let mut talk = Talk { next: [1000, 5000], packets: Vec::new() };
        send(&mut talk, true, SYN, b"");
        send(&mut talk, false, SYN | ACK, b"");
        send(&mut talk, true, ACK, b"");
        (talk, send)
    }
}

/// An engine that has taken the packets up to `warm`; what the others allocate.
fn count(talk: &Talk, warm: usize, reads: bool) -> (AllocationInfo, u64) {
    let mut engine = Engine::new(Arc::clone(&shipped().grammars), Arc::new(PolicySet::default()), Settings::default());
    let mut counts = Counts { reads, events: 0 };
    let mut time = Timestamp::from_seconds(1_800_000_000);
    let mut take = |number: usize, packet: &[u8]| {
        time = Timestamp(time.0 + 10_000);
        let length = u32::try_from(packet.len()).unwrap();
        engine.packet(number as u64, time, LinkType::RawIp, packet, length, &mut counts);
    };
    let (before, behind) = talk.packets.split_at(warm);
    before.iter().enumerate().for_each(|(number, packet)| take(number, packet));
    let allocations = measure(|| {
        behind.iter().enumerate().for_each(|(number, packet)| take(warm + number, packet));
    });
    assert!(engine.statistics().inspected_octets > 0 || warm == 3);
    (allocations, counts.events)
}

#[test]
fn octets_of_a_mail_allocate_nothing() {
    let (mut talk, send) = Talk::begin(25);
    for (up, line) in [
        (false, "220 mx.example ESMTP\r\n"),
        (true, "EHLO client.example\r\n"),
        (false, "250 mx.example\r\n"),
        (true, "MAIL FROM:<a@client.example>\r\n"),
        (false, "250 ok\r\n"),
        (true, "RCPT TO:<b@mx.example>\r\n"),
        (false, "250 ok\r\n"),
        (true, "DATA\r\n"),
        (false, "354 go on\r\n"),
    ] {
        send(&mut talk, up, ACK, line.as_bytes());
    }
    let text = "all work and no play makes jack a dull boy, as they say\r\n".repeat(25);
    let mut mail = |rounds: u32| {
        for _ in 0..rounds {
            send(&mut talk, true, ACK, text.as_bytes());
            send(&mut talk, false, ACK, b"");
        }
        talk.packets.len()
    };
    let warm = mail(3);
    mail(500);
    for reads in [false, true] {
        let (allocations, events) = count(&talk, warm, reads);
        assert_eq!(allocations.count_total, 0, "reads: {reads}, {allocations:?}");
        assert_eq!(events > 0, reads, "{events}");
    }
}

#[test]
fn packets_of_a_protocol_that_nobody_knows_allocate_nothing() {
    let (mut talk, send) = Talk::begin(9999);
    send(&mut talk, true, ACK, b"hello\n");
    send(&mut talk, false, ACK, b"hello\n");
    let warm = talk.packets.len() + 4;
    for _ in 0..500 {
        send(&mut talk, true, ACK, &[b'x'; 1400]);
        send(&mut talk, false, ACK, &[b'x'; 1400]);
    }
    assert_eq!(count(&talk, warm, false).0.count_total, 0);
}

#[test]
fn commands_and_replies_allocate_little_and_keep_nothing() {
    let (mut talk, send) = Talk::begin(25);
    send(&mut talk, false, ACK, b"220 mx.example ESMTP\r\n");
    let mut noop = |rounds: u32| {
        for _ in 0..rounds {
            send(&mut talk, true, ACK, b"NOOP\r\n");
            send(&mut talk, false, ACK, b"250 ok\r\n");
        }
        talk.packets.len()
    };
    let warm = noop(10);
    let all = noop(500);
    let (allocations, _) = count(&talk, warm, true);
    let each = allocations.count_total as f64 / (all - warm) as f64;
    println!("{each:.2} allocations a packet with a command or a reply");
    // Small texts that the flow keeps of records (which command was it?), copied as the machine looks ahead.
    assert!(each <= 8.0 && allocations.count_current == 0, "{allocations:?}");
}
