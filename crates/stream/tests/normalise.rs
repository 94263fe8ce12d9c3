//! What the normaliser does against each evasion of TCP, by its number T1 to T36.
//!
//! Each test says what becomes of each segment (`forward`, `change` with the names of the changes, `drop` with the reason), what
//! is reported, and that receivers of five kinds read exactly that. Every packet that leaves is checked: its checksums are right,
//! and it is no longer than it was. T5, T6, T7, T33 and T35 are about packets; see the tests of the engine's gate.

mod common;

use common::gateway::{Gateway, fix_checksums, parsed};
use common::{ACK, FIN, PSH, RST, SYN, Segment, URG, down, up};
use portcullis_lang::Direction;
use portcullis_stream::{
    Change, DropReason, EndReason, FlowState, Limits, Midstream, NormaliserSettings, StreamAnomaly,
};
use portcullis_wire::TcpFlags;

const MD5: [u8; 18] = [19, 18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn stamp(value: u32) -> Vec<u8> {
    let mut option = vec![1, 1, 8, 10];
    option.extend(value.to_be_bytes());
    option.extend([0; 4]);
    option
}

/// The ways in which a later segment can lie to one at 10 to 14, as start and length: each begins before, with or within it
/// and ends before its end, with it or behind it; and those that only touch it.
const RELATIONS: [(i64, usize); 12] =
    [(8, 4), (8, 6), (8, 8), (10, 2), (10, 4), (10, 6), (11, 2), (11, 3), (11, 6), (6, 4), (14, 4), (8, 3)];

#[test]
fn t1_inline_what_was_delivered_stands_against_every_overlap() {
    for (start, length) in RELATIONS {
        let mut gateway = Gateway::connected();
        gateway.send_all(&[up(0, "0123456789"), up(10, "aaaa")]);
        let text = "B".repeat(length);
        let end = start + length as i64;
        let treatment = if start == 14 { "forward" } else { "change overlap" };
        assert_eq!(gateway.send(&up(start, &text)), treatment, "{start} {length}");
        let new = usize::try_from(end - 14).unwrap_or(0);
        gateway.check_up(&format!("0123456789aaaa{}", "B".repeat(new)));
        let told: &[&str] = if start == 14 { &[] } else { &["overlap_diff"] };
        assert_eq!(gateway.anomalies(), told, "{start} {length}");
    }
}

#[test]
fn t1_inline_a_repetition_in_other_pieces_passes_unchanged() {
    let mut gateway = Gateway::connected();
    let said = gateway.send_all(&[up(0, "abcdef"), up(3, "defghi"), up(1, "b"), up(0, "abcdefghi")]);
    assert_eq!(said, ["forward"; 4]);
    gateway.check_up("abcdefghi");
    assert!(gateway.anomalies().is_empty());
}

#[test]
fn t2_inline_what_waits_behind_a_hole_stands_against_every_overlap() {
    for (start, length) in RELATIONS {
        let mut gateway = Gateway::connected();
        assert_eq!(gateway.send(&up(10, "aaaa")), "forward", "so that its receiver asks for what is missing");
        let text = "B".repeat(length);
        let treatment = if start == 6 || start == 14 { "forward" } else { "change overlap" };
        assert_eq!(gateway.send(&up(start, &text)), treatment, "{start} {length}");
        assert_eq!(gateway.delivered(Direction::Up), b"");
        assert_eq!(gateway.send(&up(0, "0123456789")), if start < 10 { "change overlap" } else { "forward" });
        let mut expected = b"0123456789aaaa".to_vec();
        for at in start as usize..start as usize + length {
            match at {
                0..10 => expected[at] = b'B',
                10..14 => {}
                _ => expected.push(b'B'),
            }
        }
        gateway.check_up(&String::from_utf8_lossy(&expected));
    }
}

#[test]
fn t2_inline_segments_of_an_edited_flow_wait_until_their_turn() {
    let mut gateway = Gateway::connected();
    gateway.table.withhold_out_of_order(gateway.flow.unwrap());
    assert_eq!(
        gateway.send_all(&[up(3, "def"), up(3, "def"), up(0, "abc")]),
        ["drop withheld", "drop withheld", "forward"]
    );
    assert_eq!(gateway.delivered(Direction::Up), b"abcdef", "whoever edits sends it");
    assert_eq!(gateway.dropped(DropReason::Withheld), 2);
}

#[test]
fn t3_inline_a_retransmission_with_other_data_carries_what_came_first() {
    let mut gateway = Gateway::connected();
    assert_eq!(gateway.send(&up(0, "NOOP\r\n")), "forward");
    assert_eq!(gateway.send(&up(0, "VRFY\r\n")), "change overlap");
    assert_eq!(gateway.left[0].last().unwrap().payload, b"NOOP\r\n");
    gateway.check_up("NOOP\r\n");
    assert_eq!(gateway.changed(Change::Overlap), 1);
}

#[test]
fn t3_inline_what_the_receiver_has_acknowledged_is_not_kept() {
    let mut gateway = Gateway::connected();
    gateway.send_all(&[up(0, "abcdef"), down(0, "").ack(4)]);
    // It has these four and ignores them; of the rest only what was recorded leaves.
    assert_eq!(gateway.send(&up(0, "XXXX")), "forward");
    assert_eq!(gateway.send(&up(0, "XXXXXX")), "change overlap");
    assert_eq!(gateway.left[0].last().unwrap().payload, b"XXXXef");
    gateway.send(&down(0, "").ack(6));
    assert_eq!(gateway.table.memory(), 4096, "a buffer for whoever comes next");
    gateway.check_up("abcdef");
}

#[test]
fn t4_inline_a_low_time_to_live_is_raised_if_a_floor_is_set() {
    for version_6 in [false, true] {
        for (floor, treatment, left) in [(None, "forward", 1), (Some(5), "change ttl", 5)] {
            let settings = NormaliserSettings { minimum_ttl: floor, ..NormaliserSettings::default() };
            let mut gateway = Gateway::with(Limits::default(), settings);
            gateway.version_6 = version_6;
            gateway.connect();
            let mut decoy = gateway.build(&up(0, "NOOP\r\n"));
            decoy[if version_6 { 7 } else { 8 }] = 1;
            fix_checksums(&mut decoy);
            assert_eq!(gateway.send_packet(&decoy), treatment);
            assert_eq!(parsed(&gateway.packet).0.ttl, left);
            // And if it dies on the way, the record wins all the same.
            assert_eq!(gateway.send(&up(0, "VRFY\r\n")), "change overlap");
            gateway.check_up("NOOP\r\n");
        }
    }
}

#[test]
fn t8_inline_only_an_exact_reset_leaves_and_inspection_goes_on() {
    for (offset, treatment, told) in [
        (-900, "drop rst_inexact", "rst_out_of_window"),
        (6, "drop rst_inexact", "rst_inexact"),
        (60_000, "drop rst_inexact", "rst_inexact"),
        (70_000, "drop rst_inexact", "rst_out_of_window"),
    ] {
        let mut gateway = Gateway::connected();
        gateway.send_all(&[up(0, "hello"), down(0, "").ack(5)]);
        assert_eq!(gateway.send(&up(offset, "").flags(RST)), treatment, "{offset}");
        assert_eq!(gateway.anomalies(), [told]);
        gateway.send(&up(5, " world"));
        gateway.check_up("hello world");
    }
    let mut gateway = Gateway::connected();
    gateway.send(&up(0, "hello"));
    assert_eq!(gateway.send(&up(5, "").flags(RST)), "forward");
    assert_eq!(gateway.send(&up(5, " world")), "forward", "a receiver that has not got the reset reads it");
    assert_eq!(gateway.send(&up(5, " WORLD")), "change overlap");
    gateway.check_up("hello world");
}

#[test]
fn t8_inline_a_reset_at_what_its_receiver_may_expect_leaves_but_is_not_believed() {
    // What was let through may have been lost behind the gateway; then the receiver expects less.
    let mut gateway = Gateway::connected();
    gateway.send_all(&[up(0, "hello"), down(0, "").ack(2)]);
    assert_eq!(gateway.send(&up(2, "").flags(RST)), "forward");
    let state = gateway.table.flow(gateway.flow.unwrap()).unwrap().statistics.state;
    assert_eq!(state, FlowState::Established);
    assert_eq!(gateway.send(&up(1, "").flags(RST)), "drop rst_inexact");
}

#[test]
fn t8_inline_data_on_a_reset_is_taken_away() {
    let mut gateway = Gateway::connected();
    gateway.send(&up(0, "hello"));
    assert_eq!(gateway.send(&up(5, "text of a reset").flags(RST)), "change reset_data");
    gateway.check_up("hello");
    let mut gateway = Gateway::new();
    gateway.send(&up(-1, "").flags(SYN));
    assert_eq!(gateway.send(&down(0, "no such port").ack(0).flags(RST | ACK)), "change reset_data");
}

#[test]
fn t9_inline_a_reset_with_a_signature_does_not_leave() {
    let mut gateway = Gateway::connected();
    assert_eq!(gateway.send(&up(0, "").flags(RST).options(&MD5)), "drop signature");
    let mut gateway = Gateway::new();
    gateway.send(&up(-1, "").flags(SYN));
    assert_eq!(gateway.send(&down(-1, "").ack(0).flags(RST | ACK).options(&MD5)), "drop signature");
    assert_eq!(gateway.send(&down(-1, "").flags(SYN | ACK)), "forward");
}

#[test]
fn t10_inline_a_fin_leaves_only_where_its_stream_ends() {
    let mut gateway = Gateway::connected();
    assert_eq!(gateway.send(&up(5, "").fin()), "drop early_fin");
    assert_eq!(gateway.send(&up(5, " world").fin()), "change fin");
    assert_eq!(gateway.left[0].last().unwrap().flags, ACK);
    assert_eq!(gateway.send(&up(0, "hello")), "forward");
    assert_eq!(gateway.send(&up(2, "").fin()), "change fin", "before the end");
    assert_eq!(gateway.send(&up(11, "").fin()), "forward");
    gateway.check_up("hello world");
    assert_eq!(gateway.changed(Change::Fin), 2);
}

#[test]
fn t10_inline_data_beyond_a_fin_is_cut_off_or_dropped() {
    let mut gateway = Gateway::connected();
    let said = gateway.send_all(&[
        up(0, "bye").fin(),
        up(3, "evil"),
        up(4, "evil"),
        up(1, "yeEVIL").fin(),
        up(1, "YE").fin(),
        up(3, "").fin(),
    ]);
    assert_eq!(
        said,
        ["forward", "drop data_after_fin", "drop data_after_fin", "change beyond_fin fin", "change overlap", "forward"]
    );
    gateway.check_up("bye");
}

#[test]
fn t10_inline_a_fin_before_what_has_left_already_is_none() {
    // CVE-2019-18625 and its kind: receivers differ in what becomes of what waits behind a FIN.
    let mut gateway = Gateway::connected();
    assert_eq!(gateway.send(&up(5, "later")), "forward");
    assert_eq!(gateway.send(&up(0, "bye").fin()), "change fin");
    assert_eq!(gateway.send(&up(3, "").fin()), "change fin");
    assert_eq!(gateway.send(&up(3, "..")), "forward");
    assert_eq!(gateway.send(&up(10, "").fin()), "forward");
    gateway.check_up("bye..later");
    assert!(gateway.anomalies().iter().any(|kind| kind == "fin_moved"));
}

#[test]
fn t11_inline_a_syn_within_a_connection_is_dropped() {
    let mut gateway = Gateway::connected();
    gateway.send(&up(0, "a"));
    for syn in [up(1, ""), up(500, "data"), down(300, "")] {
        assert_eq!(gateway.send(&syn.flags(SYN)), "drop syn_in_connection");
    }
    // The SYN of the handshake itself, repeated, is none.
    assert_eq!(gateway.send(&up(-1, "").flags(SYN)), "forward");
    gateway.send(&up(1, "b"));
    gateway.check_up("ab");
}

#[test]
fn t12_inline_data_on_a_syn_and_fast_open_are_taken_away() {
    for cookie in [&[34, 2, 1, 1][..], &[34, 6, 1, 2, 3, 4, 1, 1], &[254, 4, 0xf9, 0x89], &[]] {
        let mut gateway = Gateway::new();
        let mut options = vec![2, 4, 5, 180];
        options.extend_from_slice(cookie);
        let said = gateway.send(&up(-1, "EHLO evil").flags(SYN).options(&options));
        assert_eq!(said, if cookie.is_empty() { "change syn_data" } else { "change syn_data options" });
        let options = parsed(&gateway.packet).1.options;
        assert_eq!((options.mss(), options.values().fast_open_cookie), (Some(1460), None));
        gateway.send_all(&[down(-1, "220 early").flags(SYN | ACK), up(0, "EHLO good")]);
        gateway.check_up("EHLO good");
        assert_eq!(gateway.delivered(Direction::Down), b"");
    }
}

#[test]
fn t13_inline_combinations_of_flags_that_nobody_sends_are_dropped() {
    let invalid = [TcpFlags::EMPTY, SYN | FIN, SYN | RST, SYN | FIN | ACK, FIN, FIN | PSH | URG, FIN | RST | ACK];
    for flags in invalid {
        let mut gateway = Gateway::new();
        assert_eq!(gateway.send(&up(-1, "").flags(flags)), "drop invalid_flags", "{flags} begins no flow");
        gateway.send(&up(-1, "").flags(SYN));
        assert_eq!(gateway.send(&up(-1, "").flags(flags)), "drop invalid_flags", "{flags}");
        gateway.send_all(&[down(-1, "").flags(SYN | ACK), up(0, "")]);
        assert_eq!(gateway.send(&up(0, "evil").flags(flags)), "drop invalid_flags", "{flags}");
        gateway.send(&up(0, "good"));
        gateway.check_up("good");
    }
}

#[test]
fn t14_inline_data_without_the_ack_flag_is_dropped() {
    let mut gateway = Gateway::connected();
    assert_eq!(gateway.send(&up(0, "evil").flags(PSH)), "drop missing_ack");
    assert_eq!(gateway.send(&up(0, "evil").flags(PSH | URG)), "drop missing_ack");
    gateway.send(&up(0, "good"));
    gateway.check_up("good");
}

#[test]
fn t15_inline_acknowledgements_of_what_was_not_sent_are_dropped_with_their_data() {
    let mut gateway = Gateway::connected();
    for ack in [1, 500, 200_000] {
        assert_eq!(gateway.send(&up(0, "evil").ack(ack)), "drop ack_unsent", "{ack}");
    }
    // What waits behind a hole nobody can have read.
    gateway.send(&down(4, "late"));
    assert_eq!(gateway.send(&up(0, "evil").ack(8)), "drop ack_unsent");
    gateway.send(&down(0, "x"));
    assert_eq!(gateway.send(&up(0, "evil").ack(-100_000)), "drop ack_too_old");
    gateway.send(&up(0, "good").ack(1));
    gateway.check_up("good");
    assert_eq!(gateway.gaps(), 0);
}

#[test]
fn t16_inline_what_lies_beyond_the_window_is_dropped() {
    let mut gateway = Gateway::connected();
    assert_eq!(gateway.send(&up(64_240, "evil")), "drop out_of_window");
    assert_eq!(gateway.send(&up(64_241, "")), "drop out_of_window");
    assert_eq!(gateway.send(&up(64_239, "z")), "forward");
    assert_eq!(gateway.send(&up(64_240, "")), "forward", "at the edge, and brings nothing");
    // Before the beginning only a keep-alive may stand.
    assert_eq!(gateway.send(&up(-1, "\0")), "forward");
    assert_eq!(gateway.send(&up(-2, "evil")), "drop out_of_window");
    assert_eq!(gateway.send(&up(-70_000, "evil")), "drop out_of_window");
    gateway.send(&up(0, "good"));
    gateway.check_up("good");
}

#[test]
fn t16_inline_nobody_fills_the_record_with_what_no_receiver_takes() {
    let mut gateway = Gateway::connected();
    gateway.send(&down(0, "").window(1000));
    let chunk = "x".repeat(1000);
    let mut dropped = 0;
    for i in 0..200 {
        let said = gateway.send(&up(1000 * i, &chunk));
        dropped += usize::from(said == "drop out_of_window");
    }
    assert_eq!(dropped, 135, "all beyond the 64,240 octets that were once allowed");
    assert_eq!(gateway.delivered(Direction::Up).len(), 65_000);
}

#[test]
fn t17_inline_keep_alives_and_probes_of_the_window_pass() {
    let mut gateway = Gateway::connected();
    let mut sent = Vec::new();
    // The window is full to the last octet.
    for i in 0..64 {
        sent.push(gateway.send(&up(1000 * i, &"x".repeat(1000))));
    }
    sent.push(gateway.send(&up(64_000, &"x".repeat(240))));
    sent.push(gateway.send(&down(0, "").ack(64_240).window(0)));
    // A keep-alive repeats the last octet, often as zero, or has none at all.
    sent.extend(gateway.send_all(&[up(64_239, "\0"), up(64_239, ""), down(0, "").ack(64_240).window(0)]));
    // A probe carries the next octet, again and again.
    sent.extend(gateway.send_all(&[up(64_240, "d"), up(64_240, "d"), down(0, "").ack(64_240).window(0)]));
    assert!(sent.iter().all(|said| said == "forward"), "{sent:?}");
    assert_eq!(gateway.send(&up(64_240, "D")), "change overlap", "it is data like any other");
    assert_eq!(gateway.send(&up(64_241, "de")), "drop out_of_window");
    assert_eq!(gateway.send_all(&[down(0, "").ack(64_241), up(64_241, "e")]), ["forward"; 2]);
    gateway.check();
}

#[test]
fn t17_inline_a_side_that_has_closed_into_a_full_window_still_acknowledges() {
    let mut gateway = Gateway::connected();
    let said = gateway.send_all(&[
        up(0, "QUIT").fin(),
        down(0, "").ack(5).window(0),
        down(0, "221 Bye").ack(5).window(0),
        up(5, "").ack(7),
    ]);
    assert_eq!(said, ["forward"; 4]);
}

#[test]
fn t18_inline_a_segment_with_an_older_timestamp_is_dropped() {
    for (old, is_old) in
        [(1_000, false), (999, false), (998, true), (1_000 + (1 << 31), false), (1_001 + (1 << 31), true), (0, true)]
    {
        let mut gateway = Gateway::new();
        gateway.connect_with(&stamp(5), &stamp(1));
        gateway.send(&up(0, "").options(&stamp(1_000)));
        let said = gateway.send(&up(0, "EHLO").options(&stamp(old)));
        assert_eq!(said, if is_old { "drop timestamp_old" } else { "forward" }, "{old}");
        gateway.check_up(if is_old { "" } else { "EHLO" });
    }
}

#[test]
fn t18_inline_what_is_dropped_does_not_move_the_time() {
    let mut gateway = Gateway::new();
    gateway.connect_with(&stamp(1), &stamp(1));
    assert_eq!(gateway.send(&up(0, "evil").ack(5_000).options(&stamp(1 << 30))), "drop ack_unsent");
    assert_eq!(gateway.send(&up(0, "good").options(&stamp(2))), "forward");
    gateway.check_up("good");
}

#[test]
fn t18_inline_acknowledgements_that_overtake_each_other_do_no_harm() {
    let mut gateway = Gateway::new();
    gateway.connect_with(&stamp(1), &stamp(1));
    gateway.send_all(&[up(0, "abcd").options(&stamp(2)), down(0, "").ack(4).options(&stamp(20))]);
    assert_eq!(gateway.send(&down(0, "").ack(2).options(&stamp(10))), "forward");
    assert_eq!(gateway.send(&down(0, "evil").ack(4).options(&stamp(10))), "drop timestamp_old");
    assert_eq!(gateway.anomalies(), ["timestamp_old"]);
}

#[test]
fn t19_inline_timestamps_that_were_not_agreed_on_are_overwritten() {
    let mut gateway = Gateway::connected();
    assert_eq!(gateway.send(&up(0, "EHLO").options(&stamp(9))), "change options");
    assert_eq!(parsed(&gateway.packet).1.options.as_bytes(), [1; 12]);
    let mut gateway = Gateway::new();
    gateway.connect_with(&stamp(1), &stamp(1));
    assert_eq!(gateway.send(&up(0, "EHLO").options(&stamp(9))), "forward");
    assert_eq!(gateway.send(&up(4, "!")), "forward", "Linux takes a segment without them");
    gateway.check_up("EHLO!");
}

#[test]
fn t20_inline_signatures_are_dropped() {
    for options in [&MD5[..], &[29, 16, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]] {
        let mut gateway = Gateway::new();
        assert_eq!(gateway.send(&up(-1, "").flags(SYN).options(options)), "drop signature");
        gateway.connect();
        assert_eq!(gateway.send(&up(0, "evil").options(options)), "drop signature");
        gateway.send(&up(0, "good"));
        gateway.check_up("good");
        assert_eq!(gateway.dropped(DropReason::Signature), 2);
    }
}

#[test]
fn t21_inline_options_that_do_not_belong_there_are_overwritten() {
    let mut gateway = Gateway::new();
    gateway.connect_with(&[3, 3, 7], &[3, 3, 4]);
    assert_eq!(gateway.send(&up(0, "a").options(&[3, 3, 14])), "change options");
    assert_eq!(gateway.send(&up(1, "b").options(&[2, 4, 0, 1])), "change options");
    assert_eq!(gateway.send(&up(2, "c").options(&[253, 6, 1, 2, 3, 4])), "change options");
    assert_eq!(parsed(&gateway.packet).1.options.as_bytes(), [1; 8]);
    gateway.check_up("abc");
    // A scale that stands twice is read differently by different receivers.
    let mut gateway = Gateway::new();
    assert_eq!(gateway.send(&up(-1, "").flags(SYN).options(&[3, 3, 14, 3, 3, 0])), "change options");
    assert_eq!(parsed(&gateway.packet).1.options.as_bytes(), [1, 1, 1, 3, 3, 0, 1, 1]);
}

#[test]
fn t21_inline_a_syn_that_asks_for_other_options_is_dropped_one_that_asks_for_less_is_not() {
    let mut gateway = Gateway::new();
    let full = [2, 4, 5, 180, 4, 2, 3, 3, 7, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0];
    gateway.send(&up(-1, "").flags(SYN).options(&full));
    assert_eq!(gateway.send(&up(-1, "").flags(SYN).options(&[3, 3, 8])), "drop syn_changed");
    // BSD and Darwin leave the options out when the third SYN was not answered.
    assert_eq!(gateway.send(&up(-1, "").flags(SYN).options(&[2, 4, 5, 180])), "forward");
    assert_eq!(gateway.send(&down(-1, "").flags(SYN | ACK)), "forward");
    // The server took the second, so nothing is scaled.
    gateway.send(&up(0, ""));
    assert_eq!(gateway.send(&up(64_240, "evil")), "drop out_of_window");
    assert_eq!(gateway.send(&up(-1, "").flags(SYN)), "drop syn_changed", "it was answered");
}

#[test]
fn t22_inline_urgent_data_is_made_data_like_any_other() {
    let mut gateway = Gateway::connected();
    gateway.send(&up(0, "abc"));
    assert_eq!(gateway.send(&up(3, "dXe").urgent(2)), "change urgent");
    let (_, left) = parsed(&gateway.packet);
    assert_eq!((left.flags, left.urgent), (ACK, 0));
    assert_eq!(gateway.anomalies(), ["urgent_data"]);
    gateway.check_up("abcdXe");
}

#[test]
fn t22_inline_a_pointer_without_data_or_without_the_flag_is_cleared_too() {
    // It would take an octet out of what comes later.
    let mut gateway = Gateway::connected();
    assert_eq!(gateway.send(&up(0, "").urgent(3)), "change urgent");
    assert_eq!(gateway.send(&Segment { urgent: 3, ..up(0, "abc") }), "change urgent");
    assert_eq!(gateway.changed(Change::Urgent), 2);
    gateway.check_up("abc");
}

#[test]
fn t23_inline_a_syn_of_the_server_is_dropped() {
    // A simultaneous open, and the split handshake in four and in five steps.
    for first in [None, Some(down(900, ""))] {
        let mut gateway = Gateway::new();
        gateway.send(&up(-1, "").flags(SYN));
        if let Some(first) = first {
            assert_eq!(gateway.send(&first), "forward", "an acknowledgement alone");
        }
        assert_eq!(gateway.send(&down(-1, "").flags(SYN)), "drop syn_from_server");
        assert_eq!(gateway.send(&up(-1, "").flags(SYN | ACK)), "drop syn_from_server");
        assert_eq!(gateway.anomalies()[0], "split_handshake");
        // The ordinary way is still open.
        gateway.send_all(&[down(-1, "").flags(SYN | ACK), up(0, ""), up(0, "EHLO")]);
        gateway.check_up("EHLO");
    }
}

#[test]
fn t23_inline_a_server_says_nothing_before_its_syn() {
    let mut gateway = Gateway::new();
    gateway.send(&up(-1, "").flags(SYN));
    // The client ignores it; were it counted, what comes later would be counted from the wrong number.
    assert_eq!(gateway.send(&down(7_000, "220 decoy\r\n")), "drop before_syn");
    assert_eq!(gateway.send(&down(7_000, "").fin()), "drop before_syn");
    gateway.send_all(&[down(-1, "").flags(SYN | ACK), up(0, ""), down(0, "220 real\r\n")]);
    assert_eq!(gateway.delivered(Direction::Down), b"220 real\r\n");
    gateway.check();
    // Nor if the client has acknowledged something that nobody said.
    let mut gateway = Gateway::new();
    gateway.send_all(&[up(-1, "").flags(SYN), up(0, "").ack(7_000)]);
    gateway.send_all(&[down(-1, "").flags(SYN | ACK), up(0, ""), down(0, "220 real\r\n")]);
    assert_eq!(gateway.delivered(Direction::Down), b"220 real\r\n");
    gateway.check();
}

#[test]
fn t24_inline_only_the_first_syn_ack_that_fits_leaves() {
    let mut gateway = Gateway::new();
    gateway.send(&up(-1, "").flags(SYN));
    assert_eq!(gateway.send(&down(700, "").ack(33).flags(SYN | ACK)), "drop syn_ack_wrong_ack");
    assert_eq!(gateway.send(&down(-1, "").flags(SYN | ACK)), "forward");
    assert_eq!(gateway.send(&down(999, "").flags(SYN | ACK)), "drop syn_changed");
    assert_eq!(gateway.send(&down(-1, "").flags(SYN | ACK)), "forward", "the same again");
    assert_eq!(gateway.send(&down(-1, "").flags(SYN | ACK).options(&[3, 3, 1])), "drop syn_changed");
    gateway.send_all(&[up(0, ""), down(0, "220")]);
    assert_eq!(gateway.send(&down(999, "").flags(SYN | ACK)), "drop syn_changed");
    assert_eq!(gateway.delivered(Direction::Down), b"220");
    gateway.check();
}

#[test]
fn t24_inline_a_syn_ack_out_of_nothing_leaves_only_where_connections_are_joined() {
    for (midstream, said) in
        [(Midstream::Inspect, "forward"), (Midstream::Pass, "forward"), (Midstream::Drop, "drop syn_ack_wrong_ack")]
    {
        let mut gateway =
            Gateway::with(Limits::default(), NormaliserSettings { midstream, ..NormaliserSettings::default() });
        assert_eq!(gateway.send(&down(-1, "").flags(SYN | ACK)), said, "{midstream:?}");
        assert_eq!(gateway.flow.is_some(), midstream == Midstream::Inspect);
    }
}

#[test]
fn t25_inline_data_with_and_before_the_last_segment_of_the_handshake_counts() {
    let mut gateway = Gateway::new();
    let said = gateway.send_all(&[
        up(-1, "").flags(SYN),
        down(-1, "").flags(SYN | ACK),
        down(0, "220 early\r\n"),
        up(0, "EHLO\r\n").ack(11),
    ]);
    assert_eq!(said, ["forward"; 4]);
    assert_eq!(gateway.delivered(Direction::Down), b"220 early\r\n");
    gateway.check_up("EHLO\r\n");
}

#[test]
fn t26_inline_a_new_syn_on_a_closed_connection_is_a_new_flow() {
    for isn in [77_777, u32::MAX - 20] {
        let mut gateway = Gateway::connected();
        let first = gateway.flow;
        gateway.send_all(&[up(0, "a").fin(), down(0, "b").ack(2).fin(), up(2, "").ack(2)]);
        gateway.isn = [isn, 88_888];
        gateway.left = Default::default();
        gateway.connect();
        assert_eq!(gateway.ended[0].0, EndReason::Fin);
        assert_ne!(gateway.flow, first);
        gateway.send(&up(0, "again"));
        gateway.check_up("again");
    }
    // Nobody remembers a connection that was reset: even the same number begins another.
    let mut gateway = Gateway::connected();
    gateway.send_all(&[up(0, "a"), down(0, "").flags(RST)]);
    gateway.left = Default::default();
    gateway.isn[1] = 99;
    gateway.connect();
    gateway.send(&up(0, "again"));
    gateway.check_up("again");
}

#[test]
fn t26_inline_a_syn_in_the_place_of_one_that_was_never_answered_begins_anew() {
    let mut gateway = Gateway::new();
    gateway.send(&up(-1, "").flags(SYN));
    gateway.isn[0] = 4_000;
    assert_eq!(gateway.send(&up(-1, "").flags(SYN)), "forward");
    assert_eq!(gateway.ended[0].0, EndReason::Replaced);
    // An answer to the first is none any more.
    assert_eq!(gateway.send(&down(-1, "").ack(5_000).flags(SYN | ACK)), "drop syn_ack_wrong_ack");
    gateway.send_all(&[down(-1, "").flags(SYN | ACK), up(0, ""), up(0, "EHLO")]);
    gateway.check_up("EHLO");
    // Once it was answered, another is none.
    assert_eq!(gateway.send(&up(50, "").flags(SYN)), "drop syn_in_connection");
}

#[test]
fn t26_inline_a_client_that_has_forgotten_its_connection_gets_through() {
    // RFC 9293 section 3.5.1: the server acknowledges the old connection, the client resets it and tries again.
    let mut gateway = Gateway::new();
    let said = gateway.send_all(&[
        up(-1, "").flags(SYN),
        down(123_456, "").ack(-700_000),
        up(-700_000, "").flags(RST),
        up(-1, "").flags(SYN),
        down(-1, "").flags(SYN | ACK),
        up(0, ""),
    ]);
    assert_eq!(said, ["forward"; 6]);
    gateway.send(&up(0, "EHLO"));
    gateway.check_up("EHLO");
}

#[test]
fn t27_inline_sequence_numbers_wrap() {
    for isn in [u32::MAX, u32::MAX - 1, u32::MAX - 5, u32::MAX - 6, 0, 1 << 31] {
        let mut gateway = Gateway::new();
        gateway.isn = [isn, isn.wrapping_add(3)];
        gateway.connect();
        let said =
            gateway.send_all(&[up(4, "efgh"), up(0, "abcd"), up(2, "XXXX"), down(0, "").ack(8), up(8, "i").fin()]);
        assert_eq!(said, ["forward", "forward", "change overlap", "forward", "forward"], "{isn}");
        gateway.check_up("abcdefghi");
    }
}

#[test]
fn t28_inline_segments_of_one_octet_pass() {
    let mut gateway = Gateway::connected();
    let text = "MAIL FROM:<a@example.org>\r\n";
    for (i, byte) in text.char_indices() {
        assert_eq!(gateway.send(&up(i as i64, &byte.to_string())), "forward");
    }
    gateway.check_up(text);
    assert_eq!(gateway.table.memory(), 4096);
}

#[test]
fn t29_inline_what_waits_behind_holes_is_bounded_and_nothing_is_skipped() {
    let limits = Limits { queue_segments: 4, queue_bytes: 1000, ..Limits::default() };
    let mut gateway = Gateway::with(limits.clone(), NormaliserSettings::default());
    gateway.connect();
    for i in 1..7 {
        let said = gateway.send(&up(10 * i, "x"));
        assert_eq!(said, if i < 5 { "forward" } else { "drop out_of_order_limit" });
    }
    assert_eq!(gateway.anomalies(), ["record_limit"; 2]);
    // What comes in its order is never refused for it.
    assert_eq!(gateway.send(&up(0, &"-".repeat(50))), "change overlap");
    assert_eq!(gateway.gaps(), 0);
    gateway.check();
    let mut gateway = Gateway::with(limits, NormaliserSettings::default());
    gateway.connect();
    let said = gateway.send_all(&[up(10, &"y".repeat(500)), up(600, &"z".repeat(500)), up(0, &"-".repeat(10))]);
    assert_eq!(said, ["forward", "drop out_of_order_limit", "forward"]);
    assert_eq!(gateway.delivered(Direction::Up).len(), 510);
    gateway.check();
}

#[test]
fn t29_inline_flows_that_take_what_they_can_leave_something_for_others() {
    let limits = Limits { memory: 1 << 20, ..Limits::default() };
    let mut gateway = Gateway::with(limits, NormaliserSettings::default());
    let chunk = "x".repeat(1000);
    for port in 1..30 {
        gateway.client_port = 1000 + port;
        gateway.connect();
        // Half of them hold what waits behind a hole, half what nobody acknowledges.
        let start = i64::from(port % 2);
        for i in 0..60 {
            gateway.send(&up(start + 1000 * i, &chunk));
        }
    }
    assert!(gateway.dropped(DropReason::OutOfOrderLimit) > 0 && gateway.dropped(DropReason::RecordLimit) > 0);
    assert!(gateway.table.memory() <= 1 << 19, "{}", gateway.table.memory());
    gateway.client_port = 7;
    gateway.left = Default::default();
    gateway.connect();
    assert_eq!(gateway.send(&up(0, "EHLO client.example\r\n")), "forward");
    gateway.check_up("EHLO client.example\r\n");
}

#[test]
fn t29_inline_what_is_not_acknowledged_is_bounded() {
    let limits = Limits { record_bytes: 8, ..Limits::default() };
    let mut gateway = Gateway::with(limits, NormaliserSettings::default());
    gateway.connect();
    assert_eq!(gateway.send_all(&[up(0, "12345678"), up(8, "9")]), ["forward", "drop record_limit"]);
    assert_eq!(gateway.send_all(&[down(0, "").ack(4), up(8, "9ab")]), ["forward", "forward"]);
    gateway.check_up("123456789ab");
}

#[test]
fn t29_inline_what_could_not_be_kept_is_not_let_through_again() {
    let limits = Limits { memory: 98_000, ..Limits::default() };
    let mut gateway = Gateway::with(limits, NormaliserSettings::default());
    gateway.connect();
    // One flow has left 2,900 octets behind a hole; then others use up what there is.
    let (first, second) = ("a".repeat(2_000), "b".repeat(2_900));
    assert_eq!(gateway.send_all(&[up(0, &first), up(2_010, &second)]), ["forward"; 2]);
    let (left, flow) = (std::mem::take(&mut gateway.left), gateway.flow);
    for port in 1..11 {
        gateway.client_port = port;
        gateway.connect();
        assert_eq!(gateway.send(&up(0, "EHLO")), "forward");
    }
    gateway.client_port = 40_000;
    gateway.left = left;
    // The hole is filled: all of it is reported, but not all can be kept.
    assert_eq!(gateway.send(&up(2_000, "0123456789")), "forward");
    assert_eq!(gateway.flow, flow);
    assert_eq!(gateway.anomalies(), ["record_limit"]);
    assert_eq!(gateway.send(&up(3_000, "EVIL")), "drop not_recorded");
    assert_eq!(gateway.send(&up(3_000, "bbbb")), "drop not_recorded", "nobody can tell whether it is the same");
    // What its receiver acknowledges need not be known.
    assert_eq!(gateway.send_all(&[down(0, "").ack(4_910), up(3_000, "bbbb"), up(4_910, "more")]), ["forward"; 3]);
    gateway.check_left(Direction::Up, &[first.as_str(), "0123456789", &second, "more"].concat());
}

#[test]
fn t30_inline_nothing_passes_a_hole_however_long_it_stays() {
    let mut gateway = Gateway::connected();
    gateway.send_all(&[up(0, "a"), up(5, "fgh")]);
    assert_eq!(gateway.send(&down(0, "").ack(8)), "drop ack_unsent");
    gateway.wait_ms(600_000);
    assert_eq!((gateway.delivered(Direction::Up), gateway.gaps()), (&b"a"[..], 0));
    assert_eq!(gateway.send(&up(1, "bcdeX")), "change overlap");
    gateway.check_up("abcdefgh");
}

#[test]
fn t30_inline_packets_that_went_past_unseen_are_a_gap() {
    let mut gateway = Gateway::connected();
    gateway.send(&up(0, "a"));
    gateway.table.packets_were_missed();
    assert_eq!(gateway.send_all(&[down(0, "").ack(8), up(8, "ijk")]), ["forward", "forward"]);
    assert_eq!((gateway.delivered(Direction::Up), gateway.gaps()), (&b"aijk"[..], 1));
}

#[test]
fn t31_inline_connections_from_before_are_joined_passed_or_dropped() {
    for (midstream, said, read) in [
        (Midstream::Inspect, "forward", "QUIT\r\n"),
        (Midstream::Pass, "forward", ""),
        (Midstream::Drop, "drop not_followed", ""),
    ] {
        let mut gateway =
            Gateway::with(Limits::default(), NormaliserSettings { midstream, ..NormaliserSettings::default() });
        assert_eq!(gateway.send(&up(50, "QUIT\r\n").ack(108)), said);
        assert_eq!(gateway.delivered(Direction::Up), read.as_bytes());
        assert_eq!(gateway.flow.is_some(), midstream == Midstream::Inspect);
    }
}

#[test]
fn t31_inline_what_was_agreed_on_before_is_left_alone() {
    let mut gateway = Gateway::new();
    let sack = [1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2];
    let said = gateway.send_all(&[
        up(50, "").ack(108).options(&stamp(5)),
        up(50, "QUIT\r\n").ack(108).options(&stamp(5)),
        down(108, "").ack(50).options(&sack),
    ]);
    assert_eq!(said, ["forward"; 3]);
}

#[test]
fn t31_inline_a_connection_joined_too_far_ahead_is_joined_again() {
    // The server does not read the decoy, which lies behind a hole or beyond its window.
    let mut gateway = Gateway::new();
    assert_eq!(gateway.send(&up(900_000, "decoy").ack(10)), "forward");
    assert_eq!(gateway.send(&down(10, "").ack(50)), "forward");
    assert_eq!(gateway.send(&up(50, "RCPT TO:<x>\r\n").ack(10)), "forward");
    assert_eq!(gateway.ended[0].0, EndReason::Replaced);
    assert_eq!(gateway.delivered(Direction::Up), b"RCPT TO:<x>\r\n");
    // Once the server has confirmed where it is, what lies before is old.
    gateway.send(&down(10, "").ack(63));
    assert_eq!(gateway.send(&up(20, "old").ack(10)), "forward");
    assert_eq!(gateway.ended.len(), 1);
    assert_eq!(gateway.delivered(Direction::Up), b"RCPT TO:<x>\r\n");
}

#[test]
fn t31_inline_a_lone_acknowledgement_joins_nothing_that_lasts() {
    let mut gateway = Gateway::new();
    for port in 1..1000 {
        gateway.client_port = port;
        assert_eq!(gateway.send(&up(50, "").ack(7)), "forward");
    }
    gateway.wait_ms(35_000);
    assert_eq!(gateway.table.len(), 0, "forgotten as unfinished handshakes are");
    // And a client that was only thought to have a connection can open one.
    gateway.client_port = 5;
    gateway.send(&up(50, "").ack(7));
    gateway.left = Default::default();
    gateway.connect();
    gateway.send(&up(0, "EHLO"));
    gateway.check_up("EHLO");
}

#[test]
fn t32_inline_a_connection_of_which_one_side_comes_by_passes() {
    let mut gateway = Gateway::new();
    let said = gateway.send_all(&[
        up(-1, "").flags(SYN),
        up(0, "").ack(0),
        up(0, "EHLO\r\n").ack(20),
        up(6, "MAIL\r\n").ack(90),
        up(6, "RCPT\r\n").ack(90),
    ]);
    assert_eq!(said, ["forward", "forward", "forward", "forward", "change overlap"]);
    assert_eq!(gateway.delivered(Direction::Up), b"EHLO\r\nMAIL\r\n");
    assert_eq!(gateway.gaps(), 2, "what the server said was not seen");
    // Once the other side was seen, it is believed only what passes.
    let mut gateway = Gateway::connected();
    assert_eq!(gateway.send(&up(0, "EHLO\r\n").ack(20)), "drop ack_unsent");
}

#[test]
fn t33_inline_segments_as_large_as_an_ip_packet_are_ordinary() {
    let mut gateway = Gateway::new();
    gateway.connect_with(&[3, 3, 7], &[3, 3, 7]);
    gateway.send(&down(0, "").window(60_000));
    let large = "x".repeat(65_495);
    assert_eq!(gateway.send(&up(0, &large)), "forward");
    assert_eq!(gateway.send(&up(60_000, &"Y".repeat(65_495))), "change overlap");
    assert_eq!(gateway.delivered(Direction::Up).len(), 60_000 + 65_495);
    gateway.check();
}

#[test]
fn t34_inline_reserved_bits_are_cleared_and_ecn_is_not() {
    let mut gateway = Gateway::connected();
    let mut packet = gateway.build(&up(0, "EHLO").flags(ACK | TcpFlags::ECE | TcpFlags::CWR));
    assert_eq!(gateway.send_packet(&packet), "forward");
    packet[20 + 12] |= 0x0f;
    fix_checksums(&mut packet);
    assert_eq!(gateway.send_packet(&packet), "change reserved");
    assert_eq!(parsed(&gateway.packet).1.reserved, 0);
    let mut packet = gateway.build(&up(4, " x"));
    packet[6] |= 0x80;
    fix_checksums(&mut packet);
    assert_eq!(gateway.send_packet(&packet), "change reserved");
    assert_eq!(gateway.packet[6] & 0xe0, 0x40, "only the reserved bit");
    gateway.check_up("EHLO x");
}

#[test]
fn t36_inline_handshakes_hold_nothing_and_expire() {
    let mut gateway = Gateway::new();
    for port in 1..1000 {
        gateway.client_port = port;
        gateway.send_all(&[up(-1, "data").flags(SYN), down(-1, "").flags(SYN | ACK)]);
    }
    assert_eq!((gateway.table.len(), gateway.table.memory()), (999, 0));
    gateway.wait_ms(35_000);
    assert_eq!((gateway.table.len(), gateway.ended.len()), (0, 999));
}

#[test]
fn both_versions_of_ip_are_rewritten_alike() {
    for version_6 in [false, true] {
        let mut gateway = Gateway::new();
        gateway.version_6 = version_6;
        gateway.connect_with(&stamp(1), &stamp(1));
        gateway.send(&up(0, "hello").options(&stamp(2)).fin());
        let said = gateway.send(&up(2, "XXXYYYY").options(&[5, 10, 0, 0, 0, 0, 0, 0, 0, 0]).urgent(1).fin());
        assert_eq!(said, "change overlap beyond_fin fin options urgent");
        gateway.check_up("hello");
    }
}

#[test]
fn what_was_done_is_counted_and_told() {
    let mut gateway = Gateway::connected();
    gateway.send_all(&[up(0, "abc"), up(0, "XYZ").urgent(1), up(2, "").flags(RST)]);
    assert_eq!((gateway.changed(Change::Overlap), gateway.changed(Change::Urgent)), (1, 1));
    assert_eq!(gateway.send(&up(1_000, "").flags(RST)), "drop rst_inexact");
    assert_eq!(gateway.dropped(DropReason::ResetInexact), 1);
    let anomalies = gateway.table.flow(gateway.flow.unwrap()).unwrap().statistics.anomalies;
    assert!(anomalies.contains(StreamAnomaly::OverlapDiff) && anomalies.contains(StreamAnomaly::ResetInexact));
    let last = gateway.last.unwrap();
    assert_eq!((last.direction, last.start, last.end), (Direction::Up, 1_000, 1_000));
}
