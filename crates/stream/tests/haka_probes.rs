//! The probes for the transport layer: each is named after what another engine does wrong with it.
//!
//! They are not part of the product; without them the tests say so and pass.

#![allow(clippy::expect_used)]

mod common;

use common::Lab;
use common::capture::{replay, shared};
use portcullis_stream::{FlowTable, StreamEvents};

/// What the table says about a probe, without the lines that all of them begin and end with.
fn read(name: &str) -> Option<Vec<String>> {
    let path = shared("lab/haka-probes")?.join(name);
    let mut lab = Lab::of(FlowTable::new(Default::default(), Some(3)));
    let mut table = FlowTable::new(Default::default(), Some(3));
    replay(&path, &mut table, |_, events| lab.note(events)).expect("a capture");
    assert_eq!(table.memory(), 0);
    Some(lab.log())
}

/// The common beginning.
const OPEN: [&str; 2] = ["started", "established"];

fn expect(name: &str, lines: &[&str]) {
    if let Some(log) = read(name) {
        assert_eq!(log, lines, "{name}");
    }
}

fn expect_after_open(name: &str, lines: &[&str]) {
    expect(name, &[&OPEN, lines].concat());
}

#[test]
fn bad_checksum_inserts_nothing() {
    // The receiver acknowledges all the same, so that the capture seems to lack the bytes; it is
    // too short for the gap to be certain before its end.
    expect_after_open(
        "net_tcp_bad_checksum.pcap",
        &["down finished", "up 0 gap of 4: lost", "up 4 more", "up finished", "ended fin"],
    );
}

#[test]
fn blind_rst_does_not_end_the_inspection() {
    expect_after_open(
        "net_tcp_blind_rst.pcap",
        &["up 0 a", "down 0 rst_out_of_window", "up 1 b", "up finished", "down finished", "ended fin"],
    );
}

#[test]
fn both_fin_closes() {
    expect_after_open("net_tcp_both_fin.pcap", &["up 0 x", "up finished", "down finished", "ended fin"]);
}

#[test]
fn eraseall_is_read_whole() {
    expect_after_open(
        "net_tcp_eraseall.pcap",
        &["up 0 erase me", "up 8 keep", "up finished", "down finished", "ended fin"],
    );
}

#[test]
fn fin_before_data_waits_for_the_data() {
    expect_after_open(
        "net_tcp_fin_before_data.pcap",
        &["up 0 0123456789", "up finished", "down finished", "ended fin"],
    );
}

#[test]
fn half_reads_both_sides() {
    expect_after_open(
        "net_tcp_half.pcap",
        &["up 0 hello", "down 0 world", "up finished", "down finished", "ended fin"],
    );
}

#[test]
fn half_close_then_data_reads_the_data() {
    expect_after_open(
        "net_tcp_half_close_then_data.pcap",
        &["up 0 req", "up finished", "down 0 resp1", "down 5 resp2", "down finished", "ended fin"],
    );
}

#[test]
fn keepalive_is_a_repetition() {
    expect_after_open("net_tcp_keepalive.pcap", &["up 0 x", "up 1 y", "up finished", "down finished", "ended fin"]);
}

#[test]
fn lost_segment_becomes_a_gap_and_the_rest_is_read() {
    expect_after_open(
        "net_tcp_lost_segment.pcap",
        &[
            "down finished",
            "up 0 gap of 100: lost",
            "up 100 later0",
            "up 106 later1",
            "up 112 later2",
            "up 118 later3",
            "up 124 later4",
            "up finished",
            "ended fin",
        ],
    );
}

#[test]
fn midstream_is_joined() {
    expect(
        "net_tcp_midstream.pcap",
        &["started midstream", "up 0 hello", "down 0 world", "up finished", "down finished", "ended fin"],
    );
}

#[test]
fn mtu_is_no_bound() {
    let big = format!("up 0 {}", "A".repeat(1460));
    expect_after_open("net_tcp_mtu.pcap", &[&big, "up 1460 BBBBBBBBBB", "up finished", "down finished", "ended fin"]);
}

#[test]
fn out_of_window_data_is_not_queued() {
    expect_after_open(
        "net_tcp_out_of_window.pcap",
        &["up 0 a", "up 50000001 out_of_window", "up 1 b", "up finished", "down finished", "ended fin"],
    );
}

#[test]
fn overlap_conflict_is_read_as_the_receiver_does() {
    expect_after_open(
        "net_tcp_overlap_conflict.pcap",
        &["up 0 aaaaabbbbb", "up 5 overlap_diff", "up 10 XYZ", "up finished", "down finished", "ended fin"],
    );
}

#[test]
fn partial_overlap_brings_its_new_bytes() {
    expect_after_open(
        "net_tcp_partial_overlap.pcap",
        &["up 0 0123456789", "up 10 abcde", "up 15 XYZ", "up finished", "down finished", "ended fin"],
    );
}

#[test]
fn retransmit_is_delivered_once() {
    expect_after_open("net_tcp_retransmit.pcap", &["up 0 hello", "up finished", "down finished", "ended fin"]);
}

#[test]
fn seq_wrap_goes_on() {
    let lines: Vec<String> = (0..6).map(|i| format!("up {} {}", 12 * i, format!("{i:04}").repeat(3))).collect();
    let mut lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    lines.extend(["up finished", "down finished", "ended fin"]);
    expect_after_open("net_tcp_seq_wrap.pcap", &lines);
}

#[test]
fn simultaneous_open_is_a_connection() {
    expect(
        "net_tcp_simultaneous_open.pcap",
        &["started", "down 0 simultaneous_open", "established", "up 0 x", "ended end_of_input"],
    );
}

#[test]
fn syn_data_that_was_acknowledged_is_read() {
    expect(
        "net_tcp_syn_data.pcap",
        &[
            "started",
            "up 0 syn_data",
            "up 0 early",
            "established",
            "up 5 late",
            "up finished",
            "down finished",
            "ended fin",
        ],
    );
}

#[test]
fn synflood_does_not_pile_up() {
    let Some(folder) = shared("lab/haka-probes") else {
        return;
    };
    let mut table = FlowTable::new(Default::default(), Some(3));
    let path = folder.join("net_tcp_synflood.pcap");
    let packets = replay(&path, &mut table, |_, _| {}).expect("a capture");
    let statistics = table.statistics();
    assert_eq!((packets, statistics.begun), (20_000, 20_000));
    // Ten a second for half a minute, and the tick of the wheel.
    assert!(statistics.most_flows <= 304, "{}", statistics.most_flows);
}

#[test]
fn every_capture_that_is_there_keeps_the_promises() {
    let mut files = 0;
    for folder in ["lab/haka-probes", "lab/pcap", "corpus"] {
        let Some(folder) = shared(folder) else {
            continue;
        };
        let mut folders = vec![folder];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "pcap") {
                    let mut table = FlowTable::new(Default::default(), Some(3));
                    let mut promises = common::promises::Promises::default();
                    let listen = |table: &FlowTable, events: StreamEvents<'_>| {
                        promises.check(table, &events);
                    };
                    if replay(&path, &mut table, listen).is_some() {
                        files += 1;
                    }
                    promises.check_end(&table);
                }
            }
        }
    }
    println!("{files} captures");
}
