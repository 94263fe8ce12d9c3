//! The life of flows in the table: who is the client, when they are forgotten, what is counted.

mod common;

use std::net::IpAddr;

use common::{ACK, Lab, RST, SYN, down, up};
use portcullis_lang::Direction;
use portcullis_stream::{
    EndReason, Envelope, FlowState, FlowTable, Limits, Protocol, ServicePorts, StreamEventKind, StreamEvents,
};
use portcullis_wire::{SequenceNumber, TcpFlags, TcpOptions, TcpSegment, Timestamp, UdpDatagram};

/// Sends a datagram between two hosts whose last octets are given.
fn datagram(lab: &mut Lab, source: (u8, u16), destination: (u8, u16), vlan: u16, payload: &[u8]) {
    let udp = UdpDatagram {
        source_port: source.1,
        destination_port: destination.1,
        length: 8 + payload.len() as u16,
        checksum: 0,
        header: &[],
        payload,
        missing: 0,
    };
    let envelope = Envelope {
        time: lab.now,
        vlan,
        source: [192, 0, 2, source.0].into(),
        destination: [192, 0, 2, destination.0].into(),
        length: 28 + payload.len() as u32,
        missing: 0,
        ttl: 64,
    };
    let mut events = StreamEvents::new();
    lab.flow = lab.table.udp(&envelope, &udp, &mut events);
    lab.note(events);
}

#[test]
fn datagrams_of_both_sides_are_a_flow_until_they_are_silent() {
    let mut lab = Lab::new();
    datagram(&mut lab, (1, 5000), (2, 53), 0, b"query");
    assert_eq!(lab.summary().statistics.state, FlowState::New);
    datagram(&mut lab, (2, 53), (1, 5000), 0, b"answer");
    datagram(&mut lab, (1, 5000), (2, 53), 9, b"other");
    assert_eq!(lab.log(), ["started", "up datagram query", "down datagram answer", "started", "up datagram other"]);
    assert_eq!(lab.table.len(), 2, "a VLAN of its own is a flow of its own");
    lab.sleep(59);
    datagram(&mut lab, (1, 5000), (2, 53), 9, b"");
    lab.sleep(2);
    assert_eq!(lab.log(), ["up datagram ", "ended timeout"]);
    let (reason, summary) = lab.ended[0];
    assert_eq!((reason, summary.key.protocol), (EndReason::Timeout, Protocol::Udp));
    assert_eq!(summary.key.to_string(), "udp 192.0.2.1:5000 -> 192.0.2.2:53");
    assert_eq!(summary.statistics.state, FlowState::Established);
    let counted = Direction::BOTH.map(|direction| *summary.statistics.direction(direction));
    assert_eq!(counted.map(|one| (one.packets, one.bytes, one.delivered)), [(1, 33, 5), (1, 34, 6)]);
}

#[test]
fn an_answer_that_comes_first_is_still_the_servers() {
    let services: ServicePorts = [53].into_iter().collect();
    let mut lab = Lab::of(FlowTable::new(Limits::default(), Some(1)).with_services(services));
    datagram(&mut lab, (2, 53), (1, 5000), 0, b"answer");
    assert_eq!(lab.log(), ["started", "down datagram answer"]);
    // Between two servers, who speaks first is the client.
    datagram(&mut lab, (2, 53), (1, 53), 0, b"query");
    assert_eq!(lab.log(), ["started", "up datagram query"]);
}

#[test]
fn the_sides_of_a_connection_are_told_by_its_syns_and_else_by_its_ports() {
    for (segment, server_is_25) in [
        (up(-1, "").flags(SYN), true),
        (down(-1, "").flags(SYN | ACK), true),
        // A SYN from port 25 makes it the client, whatever the grammars say.
        (down(-1, "").flags(SYN), false),
        (up(7, "x"), true),
        (down(7, "x"), true),
    ] {
        let mut lab = Lab::new();
        lab.send(&segment);
        assert_eq!(lab.summary().key.server.port() == 25, server_is_25, "{segment:?}");
    }
    let services = [40_000].into_iter().collect();
    let mut lab = Lab::of(FlowTable::new(Limits::default(), Some(1)).with_services(services));
    lab.send(&up(7, "x"));
    assert_eq!(lab.log(), ["started midstream", "down 0 x"]);
}

#[test]
fn a_host_that_talks_to_itself_is_one_flow() {
    let mut table = FlowTable::new(Limits::default(), Some(1));
    let address: IpAddr = [127, 0, 0, 1].into();
    let envelope = Envelope {
        time: Timestamp(0),
        vlan: 0,
        source: address,
        destination: address,
        length: 30,
        missing: 0,
        ttl: 64,
    };
    let udp = UdpDatagram {
        source_port: 7,
        destination_port: 7,
        length: 10,
        checksum: 0,
        header: &[],
        payload: b"hi",
        missing: 0,
    };
    let mut events = StreamEvents::new();
    let first = table.udp(&envelope, &udp, &mut events);
    assert_eq!(table.udp(&envelope, &udp, &mut events), first);
    assert_eq!(table.len(), 1);
}

#[test]
fn silent_connections_are_forgotten_by_their_state() {
    let limits = Limits::default();
    for (segments, timeout, reason) in [
        (vec![], limits.established, "ended timeout"),
        (vec![up(0, "").fin()], limits.closing, "ended timeout"),
        (vec![up(0, "").fin(), down(0, "").ack(1).fin()], limits.closed, "ended fin"),
        (vec![up(0, "").flags(RST)], limits.closed, "ended reset"),
    ] {
        let mut lab = Lab::connected();
        lab.send_all(&segments);
        lab.log();
        lab.sleep(timeout.as_secs() as i64 - 1);
        assert_eq!(lab.log(), [] as [&str; 0], "not before its time");
        lab.sleep(2);
        assert_eq!(lab.log(), [reason]);
        assert!(lab.table.is_empty());
    }
}

#[test]
fn a_packet_extends_the_life_of_its_flow() {
    let mut lab = Lab::connected();
    for i in 0..20 {
        lab.sleep(7_000);
        lab.send(&up(i, "x"));
        assert_eq!(lab.log(), [format!("up {i} x")]);
    }
    lab.sleep(7_441);
    assert_eq!(lab.log(), ["ended timeout"]);
}

#[test]
fn a_packet_ends_other_flows_whose_time_is_over_before_its_own_events() {
    let mut lab = Lab::new();
    lab.send(&up(-1, "").flags(SYN));
    lab.log();
    lab.wait_ms(31_000);
    lab.client_port = 50_000;
    lab.send(&up(-1, "").flags(SYN));
    assert_eq!(lab.log(), ["ended timeout", "started"]);
}

#[test]
fn times_that_step_back_or_leap_do_no_harm() {
    let mut lab = Lab::connected();
    lab.now = Timestamp::from_seconds(1_600_000_000);
    lab.send(&up(0, "a"));
    lab.now = Timestamp(i64::MIN + 5_000_000_000);
    lab.send(&up(1, "b"));
    assert_eq!(lab.log(), ["up 0 a", "up 1 b"]);
    assert!(lab.summary().statistics.last >= lab.summary().statistics.start);
    lab.now = Timestamp(i64::MAX - 5_000_000_000);
    lab.send(&up(2, "c"));
    assert_eq!(lab.log(), ["ended timeout", "started midstream", "up 0 c"]);
}

#[test]
fn when_the_table_is_full_the_oldest_unfinished_handshake_goes_first() {
    let mut lab = Lab::with(Limits { flows: 3, ..Limits::default() });
    for port in [1001, 1002, 1003] {
        lab.client_port = port;
        lab.send(&up(-1, "").flags(SYN));
    }
    // The first becomes a connection, so that the second is the oldest handshake.
    lab.client_port = 1001;
    lab.send(&down(-1, "").flags(SYN | ACK));
    lab.send(&up(0, "x"));
    lab.log();
    lab.client_port = 1004;
    lab.send(&up(-1, "").flags(SYN));
    assert_eq!(lab.log(), ["ended evicted", "started"]);
    assert_eq!(lab.ended[0].1.key.client.port(), 1002);
    assert_eq!(lab.table.statistics().evicted, 1);
    assert_eq!((lab.table.len(), lab.table.statistics().most_flows), (3, 3));
}

#[test]
fn among_connections_the_one_that_was_silent_longest_is_evicted() {
    let mut lab = Lab::with(Limits { flows: 3, ..Limits::default() });
    for port in [1001, 1002, 1003] {
        lab.client_port = port;
        lab.connect();
    }
    lab.client_port = 1001;
    lab.send(&up(0, "x"));
    lab.client_port = 1004;
    lab.send(&up(5, "").flags(SYN));
    assert_eq!(lab.log(), ["up 0 x", "ended evicted", "started"]);
    assert_eq!(lab.ended[0].1.key.client.port(), 1002);
}

#[test]
fn at_the_end_flows_end_in_the_order_of_their_beginning() {
    let mut lab = Lab::new();
    // The second slot is used again by the fourth flow.
    for port in [1001, 1002, 1003] {
        lab.client_port = port;
        lab.send(&up(-1, "").flags(SYN));
    }
    lab.client_port = 1002;
    let old = lab.table.len();
    lab.send(&down(0, "").flags(RST | ACK).ack(0));
    lab.client_port = 1004;
    assert_eq!(old, 3);
    lab.sleep(11);
    lab.send(&up(-1, "").flags(SYN));
    lab.client_port = 1001;
    lab.send(&down(-1, "").flags(SYN | ACK));
    lab.send(&up(3, "held"));
    lab.log();
    lab.ended.clear();
    lab.finish();
    assert_eq!(
        lab.log(),
        ["up 0 gap of 3: end", "up 3 held", "ended end_of_input", "ended end_of_input", "ended end_of_input"]
    );
    let ports: Vec<u16> = lab.ended.iter().map(|(_, summary)| summary.key.client.port()).collect();
    assert_eq!(ports, [1001, 1003, 1004]);
    assert_eq!(lab.ended[2].1.flow.slot(), 1);
    assert_eq!(lab.ended[2].1.flow.generation(), 3);
    // The table can be used again.
    lab.client_port = 9;
    lab.connect();
}

#[test]
fn a_connection_is_counted_from_its_first_packet_to_its_last() {
    let mut lab = Lab::connected();
    lab.send_all(&[up(0, "hello"), up(0, "hello"), up(9, "x"), down(0, "yes").ack(5), up(5, "").flags(TcpFlags::PSH)]);
    let summary = lab.summary();
    let [up, down] = summary.statistics.directions;
    assert_eq!((up.packets, up.bytes, up.delivered), (6, 6 * 40 + 11, 5));
    assert_eq!((up.repeated, up.out_of_order, up.gaps), (1, 1, 0));
    assert_eq!((down.packets, down.bytes, down.delivered), (2, 83, 3));
    assert_eq!(up.flags, TcpFlags::SYN | TcpFlags::ACK | TcpFlags::PSH);
    assert_eq!(summary.statistics.start, Timestamp(lab.now.0 - 7_000_000));
    assert_eq!(summary.statistics.last, lab.now);
    assert!(!summary.statistics.midstream);
    let names: Vec<&str> = summary.statistics.anomalies.iter().map(|kind| kind.name()).collect();
    assert_eq!(names, ["missing_ack_flag"]);
}

#[test]
fn what_is_compared_is_bounded_and_given_up_before_data_is() {
    let mut lab = Lab::with(Limits { compare_bytes: 8, ..Limits::default() });
    lab.connect();
    lab.send_all(&[up(0, "0123456789"), up(0, "XX2"), up(1, "X2345678X")]);
    assert_eq!(lab.log(), ["up 0 0123456789", "up 9 overlap_diff"]);
    let mut lab = Lab::with(Limits { memory: 0, ..Limits::default() });
    lab.connect();
    lab.send_all(&[up(0, "abc"), up(0, "XXX"), up(5, "fg")]);
    assert_eq!(lab.log(), ["up 0 abc", "up 3 gap of 2: memory_limit", "up 5 fg"]);
    assert_eq!(lab.table.statistics().uncompared, 2);
    let mut lab = Lab::with(Limits { compare_bytes: 0, ..Limits::default() });
    lab.connect();
    lab.send_all(&[up(0, "abc"), up(0, "XXX")]);
    assert_eq!((lab.log(), lab.table.memory()), (vec!["up 0 abc".to_string()], 0));
}

#[test]
fn the_slots_of_flows_are_used_again_under_other_ids() {
    let mut lab = Lab::with(Limits { embryonic: std::time::Duration::from_secs(1), ..Limits::default() });
    let mut ids = Vec::new();
    for port in 1..500 {
        lab.client_port = port;
        lab.send(&up(-1, "").flags(SYN));
        ids.extend(lab.flow);
        lab.sleep(1);
    }
    assert!(ids.iter().all(|id| id.slot() < 3));
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 499);
}

#[test]
fn more_than_four_events_of_one_packet_are_all_kept() {
    let mut lab = Lab::connected();
    for i in (1..30).rev() {
        lab.send(&up(i, "x"));
    }
    assert_eq!(lab.log(), [] as [&str; 0]);
    lab.send(&up(0, "x"));
    assert_eq!(lab.log().len(), 30);
}

#[test]
fn the_size_of_an_event_stays_small() {
    assert!(size_of::<StreamEventKind<'_>>() <= 96, "{}", size_of::<StreamEventKind<'_>>());
}

/// Sends a SYN of one of many clients and returns what the table says.
fn syn_of(table: &mut FlowTable, client: u32, now: Timestamp) -> StreamEvents<'static> {
    let syn = TcpSegment {
        source_port: 40_000,
        destination_port: 25,
        sequence: SequenceNumber(1),
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
    let source = IpAddr::from((0x0a00_0000 | client).to_be_bytes());
    let destination = [192, 0, 2, 2].into();
    let envelope = Envelope { time: now, vlan: 0, source, destination, length: 40, missing: 0, ttl: 64 };
    let mut events = StreamEvents::new();
    table.tcp(&envelope, &syn, &mut events);
    events
}

/// The clients of the flows that end, in this order.
fn ended(events: &StreamEvents<'_>) -> Vec<(EndReason, u32)> {
    let ended = events.iter().filter_map(|event| match &event.kind {
        StreamEventKind::Ended { reason, summary } => match summary.key.client.ip() {
            IpAddr::V4(address) => Some((*reason, address.to_bits() & 0xff_ffff)),
            IpAddr::V6(_) => None,
        },
        _ => None,
    });
    ended.collect()
}

#[test]
fn flows_that_end_at_once_end_in_portions_and_in_order() {
    let begin = Timestamp::from_seconds(1_700_000_000);
    let mut table = FlowTable::new(Limits::default(), None);
    for client in 0..10_000 {
        syn_of(&mut table, client, Timestamp(begin.0 + i64::from(client)));
    }
    let later = Timestamp::from_seconds(1_700_000_060);
    // Its own flow is over too, although its turn has not come: it is not taken for an old acquaintance.
    let events = syn_of(&mut table, 9_000, later);
    let mut all = ended(&events);
    assert!(all.len() < 1_000, "{}", all.len());
    assert_eq!(all.last(), Some(&(EndReason::Timeout, 9_000)));
    assert!(matches!(events.last().unwrap().kind, StreamEventKind::Started { .. }));
    let mut calls = 0;
    loop {
        let mut events = StreamEvents::new();
        let more = table.advance_some(later, &mut events);
        assert!(events.len() < 1_000, "{}", events.len());
        all.append(&mut ended(&events));
        calls += 1;
        if !more {
            break;
        }
    }
    assert!(calls > 10, "{calls}");
    assert_eq!((all.len(), table.len()), (10_000, 1));
    all.retain(|(_, client)| *client != 9_000);
    assert!(all.is_sorted(), "the oldest is the first");
    assert!(all.iter().all(|(reason, _)| *reason == EndReason::Timeout));
}

#[test]
fn at_the_end_flows_can_be_had_in_portions() {
    let now = Timestamp::from_seconds(1_700_000_000);
    let mut table = FlowTable::new(Limits::default(), None);
    for client in 0..5_000 {
        syn_of(&mut table, client, now);
    }
    let mut all = Vec::new();
    let mut more = true;
    while more {
        let mut events = StreamEvents::new();
        more = table.finish_some(&mut events);
        assert!(events.len() < 1_000);
        all.append(&mut ended(&events));
    }
    assert_eq!((all.len(), table.len()), (5_000, 0));
    assert!(all.is_sorted());
    assert_eq!(ended(&syn_of(&mut table, 1, now)), [], "the table can be used again");
}

#[test]
fn the_callers_marks_last_as_long_as_the_flow() {
    let mut lab = Lab::new();
    lab.send(&up(-1, "").flags(SYN));
    let first = lab.flow.unwrap();
    assert_eq!(lab.table.mark(first), 0);
    lab.table.set_mark(first, 1);
    lab.table.set_mark(first, 2);
    assert_eq!(lab.table.mark(first), 3);
    assert_eq!(lab.table.flow(first).unwrap().flow, first, "its number is the same");
    lab.sleep(60);
    lab.send(&up(-1, "").flags(SYN));
    let second = lab.flow.unwrap();
    assert_eq!((lab.table.mark(first), lab.table.mark(second)), (0, 0));
}
