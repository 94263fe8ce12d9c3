//! One test or more for each evasion of TCP that concerns this layer, by its number T1 to T36.
//!
//! The log lines are those of `common::Lab`: what the table handed on, in order.

mod common;

use common::{ACK, FIN, Lab, PSH, RST, SYN, Segment, URG, down, up};
use portcullis_lang::Direction;
use portcullis_stream::{FlowState, FlowTable, Limits, StreamAnomaly};
use portcullis_wire::TcpFlags;

#[test]
fn t1_of_overlapping_data_in_order_the_first_counts() {
    let mut lab = Lab::connected();
    lab.send_all(&[up(0, "abcdef"), up(3, "XXXghi"), up(0, "abcdef")]);
    assert_eq!(lab.log(), ["up 0 abcdef", "up 3 overlap_diff", "up 6 ghi"]);
}

#[test]
fn t1_an_overlap_with_equal_bytes_is_no_anomaly() {
    let mut lab = Lab::connected();
    lab.send_all(&[up(0, "abcdef"), up(3, "defghi"), up(1, "b")]);
    assert_eq!(lab.log(), ["up 0 abcdef", "up 6 ghi"]);
    assert_eq!(lab.summary().statistics.directions[0].repeated, 1);
}

#[test]
fn t1_what_was_acknowledged_is_not_compared_any_more() {
    let mut lab = Lab::connected();
    lab.send_all(&[up(0, "abcdef"), down(0, "").ack(4), up(0, "XXXXef")]);
    assert_eq!(lab.log(), ["up 0 abcdef"]);
    lab.send(&up(0, "XXXXeX"));
    assert_eq!(lab.log(), ["up 5 overlap_diff"]);
    assert_eq!(lab.table.memory(), 4096);
}

#[test]
fn t2_out_of_order_overlaps_are_read_as_linux_reads_them() {
    // A segment within a held one is dropped; one that covers it replaces it; of two that overlap
    // in part, the lower one counts.
    for (segments, read) in [
        (vec![up(1, "aaaa"), up(2, "BB"), up(0, "x")], "xaaaa"),
        (vec![up(2, "aa"), up(1, "BBBB"), up(0, "x")], "xBBBB"),
        (vec![up(1, "aaaa"), up(3, "BBBB"), up(0, "x")], "xaaaaBB"),
        (vec![up(3, "aaaa"), up(1, "BBBB"), up(0, "x")], "xBBBBaa"),
        (vec![up(2, "aaaa"), up(0, "xyBB")], "xyBBaa"),
    ] {
        let mut lab = Lab::connected();
        lab.send_all(&segments);
        assert_eq!(String::from_utf8_lossy(lab.stream(Direction::Up)), read, "{segments:?}");
        let differs = lab.log().iter().any(|line| line.ends_with("overlap_diff"));
        assert!(differs, "{segments:?}");
    }
}

#[test]
fn t3_a_decoy_before_the_real_data_is_reported() {
    let mut lab = Lab::connected();
    lab.send_all(&[up(0, "NOOP\r\n"), up(0, "VRFY\r\n"), down(0, "250 \r\n").ack(6)]);
    assert_eq!(lab.log(), ["up 0 NOOP\r\n", "up 0 overlap_diff", "down 0 250 \r\n"]);
}

#[test]
fn t4_what_may_end_on_its_way_is_told_once() {
    let with_ttl = |ttl, segment: Segment| Segment { ttl, ..segment };
    let mut lab = Lab::connected();
    // Ways differ, and what only acknowledges brings nothing.
    lab.send_all(&[
        with_ttl(60, up(0, "a")),
        with_ttl(3, up(1, "")),
        with_ttl(50, down(0, "b")),
        with_ttl(59, up(1, "NOOP")),
    ]);
    lab.send_all(&[
        with_ttl(3, up(1, "DATA")),
        with_ttl(3, up(5, "c")),
        with_ttl(3, down(1, "").flags(RST | ACK).ack(6)),
    ]);
    assert_eq!(
        lab.log(),
        [
            "up 0 a",
            "down 0 b",
            "up 1 ttl_low",
            "up 1 NOOP",
            "up 1 overlap_diff",
            "up 5 c",
            "down 1 ttl_low",
            "down reset"
        ]
    );
}

#[test]
fn t8_a_reset_counts_only_with_the_exact_number() {
    for (offset, expected) in [
        (-900, "up 0 rst_out_of_window"),
        (0, "up 0 rst_out_of_window"),
        (5, "up reset"),
        (6, "up 6 rst_inexact"),
        (60_000, "up 60000 rst_inexact"),
        (70_000, "up 70000 rst_out_of_window"),
    ] {
        let mut lab = Lab::connected();
        lab.send_all(&[up(0, "hello"), down(0, "").ack(5)]);
        lab.send(&up(offset, "").flags(RST));
        assert_eq!(lab.log(), ["up 0 hello", expected], "{offset}");
        lab.send(&up(5, "more"));
        let more = lab.log();
        assert_eq!(more.last().unwrap(), "up 5 more", "{offset}");
    }
}

#[test]
fn t8_data_after_an_exact_reset_is_inspected_until_silence() {
    let mut lab = Lab::connected();
    lab.send_all(&[up(0, "a"), down(0, "").flags(RST), up(1, "b"), down(0, "c")]);
    assert_eq!(
        lab.log(),
        ["up 0 a", "down reset", "up 1 data_after_reset", "up 1 b", "down 0 data_after_reset", "down 0 c"]
    );
    assert_eq!(lab.summary().statistics.state, FlowState::Reset);
    lab.sleep(11);
    assert_eq!(lab.log(), ["ended reset"]);
}

#[test]
fn t8_a_reset_at_what_the_receiver_has_acknowledged_is_exact_though_bytes_were_lost() {
    let mut lab = Lab::connected();
    lab.send_all(&[down(0, "").ack(10), up(10, "").flags(RST)]);
    assert_eq!(lab.log(), ["up reset"]);
    lab.sleep(60);
    assert_eq!(lab.log(), ["up 0 gap of 10: lost", "ended reset"]);
}

#[test]
fn t8_a_reset_in_the_handshake_must_answer_it() {
    let mut lab = Lab::new();
    lab.send(&up(-1, "").flags(SYN));
    lab.send(&down(77, "").ack(5).flags(RST | ACK));
    assert_eq!(lab.log(), ["started", "down 0 rst_out_of_window"]);
    lab.send(&down(77, "").flags(RST));
    assert_eq!(lab.log(), ["down 0 rst_out_of_window"]);
    lab.send(&down(-5001, "").ack(0).flags(RST | ACK));
    assert_eq!(lab.log(), ["down reset"]);
    let anomalies = lab.summary().statistics.anomalies;
    assert!(anomalies.contains(StreamAnomaly::ResetOutOfWindow));
    lab.sleep(11);
    assert_eq!(lab.log(), ["ended reset"]);
}

#[test]
fn t10_a_fin_acts_only_when_all_before_it_is_there() {
    let mut lab = Lab::connected();
    lab.send(&up(5, "").fin());
    assert_eq!(lab.log(), [] as [&str; 0]);
    lab.send(&up(0, "hello"));
    assert_eq!(lab.log(), ["up 0 hello", "up finished"]);
}

#[test]
fn t10_data_beyond_a_fin_is_ignored() {
    let mut lab = Lab::connected();
    lab.send_all(&[up(0, "bye").fin(), up(4, "evil"), up(3, "evil"), up(1, "ye").fin()]);
    assert_eq!(lab.log(), ["up 0 bye", "up finished", "up 3 data_after_fin", "up 3 data_after_fin"]);
    lab.send(&up(1, "y").fin());
    assert_eq!(lab.log(), ["up 2 fin_moved"]);
}

#[test]
fn t10_what_is_held_beyond_a_fin_is_dropped() {
    let mut lab = Lab::connected();
    lab.send_all(&[up(4, "evil"), up(9, "evil"), up(0, "bye").fin()]);
    assert_eq!(lab.log(), ["up 0 bye", "up finished", "up 3 data_after_fin"]);
    lab.finish();
    assert_eq!(lab.log(), ["ended end_of_input"]);
    assert_eq!(lab.ended[0].1.statistics.state, FlowState::Closing);
}

#[test]
fn t10_a_fin_beyond_the_window_or_before_what_was_delivered_is_ignored() {
    let mut lab = Lab::connected();
    lab.send_all(&[up(90_000, "").fin(), up(0, "hello"), up(2, "").fin()]);
    assert_eq!(lab.log(), ["up 90000 out_of_window", "up 0 hello", "up 2 fin_moved"]);
    lab.send(&up(5, " world"));
    assert_eq!(lab.log(), ["up 5  world"]);
}

#[test]
fn t11_a_syn_within_a_connection_is_ignored() {
    let mut lab = Lab::connected();
    lab.send_all(&[up(0, "a"), up(1, "").flags(SYN), up(1, "b")]);
    assert_eq!(lab.log(), ["up 0 a", "up 1 syn_in_established", "up 1 b"]);
    lab.send(&down(300, "").flags(SYN));
    assert_eq!(lab.log(), ["down 300 syn_in_established"]);
    // The SYN of the handshake itself, repeated, is none.
    lab.send(&up(-1, "").flags(SYN));
    assert_eq!(lab.log(), [] as [&str; 0]);
}

#[test]
fn t12_data_on_a_syn_is_not_part_of_the_stream() {
    let mut lab = Lab::new();
    lab.send(&up(-1, "EHLO evil").flags(SYN));
    lab.send(&down(-1, "").flags(SYN | ACK));
    lab.send(&up(0, "EHLO good"));
    assert_eq!(lab.log(), ["started", "up 0 syn_data", "established", "up 0 EHLO good"]);
}

#[test]
fn t12_data_on_a_syn_counts_if_the_syn_ack_acknowledges_it() {
    for (options, anomaly) in [(&[34, 6, 1, 2, 3, 4, 1, 1][..], None), (&[], Some("up 0 syn_data"))] {
        let mut lab = Lab::new();
        lab.send(&up(-1, "EHLO good").flags(SYN).options(options));
        let expected: Vec<&str> = ["started"].into_iter().chain(anomaly).collect();
        assert_eq!(lab.log(), expected);
        // Six of nine bytes are taken (RFC 7413 section 4.2.2), the rest comes again.
        lab.send(&down(-1, "").ack(6).flags(SYN | ACK));
        assert_eq!(lab.log(), ["up 0 EHLO g"]);
        lab.send(&up(6, "ood"));
        assert_eq!(lab.log(), ["established", "up 6 ood"]);
        assert_eq!(lab.table.memory(), 4096, "only what is compared");
    }
}

#[test]
fn t12_data_on_a_syn_counts_if_the_client_goes_on_after_it_and_the_syn_ack_was_not_captured() {
    let mut lab = Lab::new();
    lab.send(&up(-1, "early").flags(SYN).options(&[34, 6, 1, 2, 3, 4]));
    lab.send(&up(5, "late"));
    assert_eq!(lab.log(), ["started", "established", "up 0 early", "up 5 late"]);
}

#[test]
fn t12_data_on_a_second_syn_does_not_follow_a_fin() {
    let mut lab = Lab::new();
    lab.send_all(&[
        up(-1, "").flags(SYN),
        down(0, "").ack(1),
        up(-20, &"x".repeat(20)).fin(),
        up(-20, "evil").flags(SYN),
    ]);
    lab.finish();
    assert_eq!(
        lab.log(),
        ["started", "established", "up finished", "up 0 syn_changed", "up 0 syn_data", "ended end_of_input"]
    );
}

#[test]
fn t13_combinations_of_flags_that_nobody_sends_are_ignored() {
    let invalid = [TcpFlags::EMPTY, SYN | FIN, SYN | RST, SYN | FIN | ACK, FIN, FIN | PSH | URG, FIN | RST | ACK];
    for flags in invalid {
        let mut lab = Lab::connected();
        lab.send_all(&[up(0, "evil").flags(flags), up(0, "good")]);
        match flags.contains(RST) {
            // Linux obeys a reset whatever comes with it.
            true => {
                let expected = ["up 0 invalid_flags", "up reset", "up 0 data_after_reset", "up 0 good"];
                assert_eq!(lab.log(), expected, "{flags}");
            }
            false => assert_eq!(lab.log(), ["up 0 invalid_flags", "up 0 good"], "{flags}"),
        }
        let mut lab = Lab::new();
        lab.send(&up(-1, "").flags(flags));
        assert_eq!(lab.log(), [] as [&str; 0], "{flags} begins no flow");
        assert_eq!(lab.table.statistics().strays, 1);
        lab.send(&up(-1, "").flags(SYN));
        lab.send(&up(-1, "").flags(flags));
        assert_eq!(lab.log(), ["started", "up 0 invalid_flags"], "{flags}");
    }
}

#[test]
fn t14_data_without_the_ack_flag_is_ignored() {
    let mut lab = Lab::connected();
    lab.send_all(&[up(0, "evil").flags(PSH), up(0, "good")]);
    assert_eq!(lab.log(), ["up 0 missing_ack_flag", "up 0 good"]);
}

#[test]
fn t15_an_acknowledgement_of_what_was_not_sent_is_ignored_with_its_data() {
    let mut lab = Lab::connected();
    lab.send_all(&[up(0, "evil").ack(200_000), up(0, "good")]);
    assert_eq!(lab.log(), ["up 0 ack_unsent", "up 0 good"]);
    // And one that is far too old.
    lab.send_all(&[down(0, "x"), up(4, "evil").ack(-100_000), up(4, "?").ack(1)]);
    assert_eq!(lab.log(), ["down 0 x", "up 4 ack_too_old", "up 4 ?"]);
}

#[test]
fn t15_an_acknowledgement_within_the_window_makes_no_gap_if_its_bytes_were_not_sent() {
    let mut lab = Lab::connected();
    lab.send(&up(0, "a").ack(500));
    assert_eq!(lab.log(), ["up 0 ack_unsent"]);
    // The server says that its next byte is the first one; that it has taken the client's shows that it sent others before.
    lab.send(&down(0, "").ack(1));
    assert_eq!(lab.log(), ["up 0 a", "down 0 ack_unsent"]);
    lab.sleep(5);
    lab.send(&down(0, "220 hello"));
    assert_eq!(lab.log(), ["down 0 220 hello"]);
}

#[test]
fn t15_an_acknowledgement_alone_makes_no_gap_however_long_its_bytes_are_missing() {
    let mut lab = Lab::connected();
    lab.send(&up(0, "a").ack(500));
    lab.sleep(60);
    lab.send(&up(1, "b").ack(500));
    lab.send(&down(0, "220 hello").ack(2));
    assert_eq!(lab.log(), ["up 0 ack_unsent", "up 1 ack_unsent", "up 0 a", "up 1 b", "down 0 220 hello"]);
    // Only a server that is gone for good is believed to have sent them.
    for i in 0..64 {
        lab.send(&up(2 + i, "x").ack(500));
    }
    assert_eq!(lab.log().last().unwrap(), "down 9 gap of 491: lost");
}

#[test]
fn t16_data_beyond_the_window_is_ignored() {
    let mut lab = Lab::connected();
    lab.send_all(&[up(64_240, "evil"), up(64_239, "z"), up(0, "good")]);
    assert_eq!(lab.log(), ["up 64240 out_of_window", "up 0 good"]);
    lab.finish();
    assert_eq!(lab.log(), ["up 4 gap of 64235: end", "up 64239 z", "ended end_of_input"]);
}

#[test]
fn t16_the_window_is_scaled_if_both_sides_say_so() {
    let scale = |shift| [3, 3, shift, 1];
    for (client, server, inside) in [(Some(7), Some(4), true), (None, Some(4), false)] {
        let mut lab = Lab::new();
        let client = client.map_or(Vec::new(), |shift| scale(shift).to_vec());
        let server = server.map_or(Vec::new(), |shift| scale(shift).to_vec());
        lab.send(&up(-1, "").flags(SYN).options(&client));
        lab.send(&down(-1, "").flags(SYN | ACK).options(&server));
        lab.send_all(&[up(0, ""), up(0, "x"), down(0, "").ack(1).window(10_000)]);
        lab.log();
        // The window of the server is 160,000 bytes with scaling and 64,240 (from its SYN) without.
        lab.send(&up(100_000, "y"));
        let expected: &[&str] = if inside { &[] } else { &["up 100000 out_of_window"] };
        assert_eq!(lab.log(), expected);
        lab.send(&up(160_001, "z"));
        assert_eq!(lab.log(), ["up 160001 out_of_window"]);
    }
}

#[test]
fn t16_a_capture_that_lost_more_than_a_window_of_both_sides_goes_on() {
    let mut lab = Lab::connected();
    lab.send_all(&[up(0, "a"), down(0, "").ack(1)]);
    lab.log();
    // Everything up to 500,000 is lost: neither side is believed alone, both are together.
    lab.send_all(&[up(500_000, "lost"), down(0, "").ack(500_004), up(500_004, "on it goes")]);
    lab.sleep(1);
    assert_eq!(lab.log(), ["up 500000 out_of_window", "up 1 gap of 500003: lost", "up 500004 on it goes"]);
}

#[test]
fn t17_keep_alives_and_probes_of_the_window_bring_nothing_new() {
    let mut lab = Lab::connected();
    lab.send_all(&[up(0, "abc"), down(0, "").ack(3).window(0)]);
    // A keep-alive repeats the last byte, often as zero; or has none at all.
    lab.send_all(&[up(2, "\0"), up(2, ""), down(0, "").ack(3).window(0)]);
    assert_eq!(lab.log(), ["up 0 abc"]);
    // A probe of the window carries the next byte, again and again.
    lab.send_all(&[up(3, "d"), up(3, "d"), down(0, "").ack(4), up(4, "e")]);
    assert_eq!(lab.log(), ["up 3 d", "up 4 e"]);
    assert_eq!(lab.summary().statistics.directions[0].repeated, 2);
}

#[test]
fn t17_a_window_that_shrinks_takes_nothing_back() {
    let mut lab = Lab::connected();
    lab.send_all(&[down(0, "").window(10), up(50, "x"), up(0, &"y".repeat(50))]);
    assert_eq!(lab.stream(Direction::Up).len(), 51);
    assert!(lab.summary().statistics.anomalies.is_empty());
}

#[test]
fn t17_a_side_that_has_closed_into_a_full_window_still_acknowledges() {
    let mut lab = Lab::connected();
    lab.send_all(&[
        up(0, "QUIT").fin(),
        down(0, "").ack(5).window(0),
        down(0, "221 Bye").ack(5).window(0),
        up(5, "").ack(7),
    ]);
    assert_eq!(lab.log(), ["up 0 QUIT", "up finished", "down 0 221 Bye"]);
    // Nor is it beyond the window to say at its edge that something is missing.
    let mut lab = Lab::connected();
    lab.send_all(&[up(64_240, ""), up(64_241, ""), up(64_240, "x")]);
    assert_eq!(lab.log(), ["up 64241 out_of_window", "up 64240 out_of_window"]);
}

#[test]
fn t10_what_the_other_side_says_is_read_until_it_closes_too() {
    let mut lab = Lab::connected();
    lab.send_all(&[up(0, "QUIT\r\n").fin(), down(0, "221 ").ack(7)]);
    lab.sleep(200);
    lab.send_all(&[down(4, "Bye\r\n").ack(7), up(7, "").ack(9), down(9, "").ack(7).fin()]);
    assert_eq!(lab.log(), ["up 0 QUIT\r\n", "up finished", "down 0 221 ", "down 4 Bye\r\n", "down finished"]);
    assert_eq!(lab.summary().statistics.state, FlowState::Closed);
}

#[test]
fn t18_a_segment_with_an_older_timestamp_is_ignored_if_both_sides_agreed_on_them() {
    let stamp = |value: u32| {
        let mut option = vec![1, 1, 8, 10];
        option.extend(value.to_be_bytes());
        option.extend([0, 0, 0, 1]);
        option
    };
    for agreed in [true, false] {
        for (old, is_old) in [
            (1_000, false),
            (999, false),
            (998, true),
            (1_000 + (1 << 31), false),
            (1_001 + (1 << 31), true),
            (0, true),
        ] {
            let mut lab = Lab::new();
            lab.send(&up(-1, "").flags(SYN).options(&stamp(5)));
            lab.send(&down(-1, "").flags(SYN | ACK).options(if agreed {
                &[8, 10, 0, 0, 0, 1, 0, 0, 0, 5]
            } else {
                &[]
            }));
            lab.send_all(&[up(0, "").options(&stamp(1_000)), up(0, "EHLO").options(&stamp(old))]);
            let expected = if agreed && is_old { "up 0 timestamp_old" } else { "up 0 EHLO" };
            assert_eq!(lab.log(), ["started", "established", expected], "{agreed} {old}");
        }
    }
}

#[test]
fn t18_only_a_segment_at_the_last_acknowledgement_moves_the_timestamp() {
    let stamp = |value: u8| [8, 10, 0, 0, 0, value, 0, 0, 0, 1, 0, 0];
    let mut lab = Lab::new();
    lab.send(&up(-1, "").flags(SYN).options(&stamp(1)));
    lab.send(&down(-1, "").flags(SYN | ACK).options(&stamp(1)));
    lab.send(&up(0, "").options(&stamp(10)));
    // The second is out of order, and its time does not make the first old.
    lab.send_all(&[up(4, "\r\n").options(&stamp(20)), up(0, "EHLO").options(&stamp(15))]);
    assert_eq!(lab.log(), ["started", "established", "up 0 EHLO", "up 4 \r\n"]);
    // Nor does a segment without one.
    lab.send_all(&[down(0, "").ack(6), up(6, "a"), up(7, "b").options(&stamp(13)), up(7, "c").options(&stamp(15))]);
    assert_eq!(lab.log(), ["up 6 a", "up 7 timestamp_old", "up 7 c"]);
}

#[test]
fn t18_a_handshake_is_completed_by_the_echo_of_the_syn_ack_alone() {
    let stamps = |echo: u8| [8, 10, 0, 0, 0, 9, 0, 0, 0, echo, 0, 0];
    let mut lab = Lab::new();
    lab.send(&up(-1, "").flags(SYN).options(&stamps(0)));
    lab.send(&down(-1, "").flags(SYN | ACK).options(&stamps(9)));
    lab.send_all(&[
        up(0, "evil").options(&stamps(8)),
        up(0, "good").options(&stamps(9)),
        up(4, "!").options(&stamps(8)),
    ]);
    assert_eq!(lab.log(), ["started", "up 0 timestamp_echo", "established", "up 0 good", "up 4 !"]);
    lab.finish();
    assert_eq!(lab.table.memory(), 0, "what was set aside is given back");
    // A server that takes it nevertheless shows that.
    let mut lab = Lab::new();
    lab.send(&up(-1, "").flags(SYN).options(&stamps(0)));
    lab.send(&down(-1, "").flags(SYN | ACK).options(&stamps(9)));
    lab.send_all(&[up(0, "taken").options(&stamps(8)), down(0, "").ack(5).options(&stamps(9))]);
    assert!(lab.log().contains(&"up 0 taken".to_owned()));
}

#[test]
fn t20_a_signature_that_was_not_agreed_on_sets_a_segment_aside() {
    let signed = [vec![19, 18], vec![7; 16], vec![1, 1]].concat();
    let mut lab = Lab::connected();
    lab.send_all(&[up(0, "evil").options(&signed), up(0, "good"), up(4, "").flags(RST).options(&signed), up(4, "!")]);
    let signature = "unexpected_signature";
    assert_eq!(lab.log(), [&format!("up 0 {signature}"), "up 0 good", &format!("up 4 {signature}"), "up 4 !"]);
    // A receiver that knows no signatures takes it, and that shows.
    let mut lab = Lab::connected();
    lab.send_all(&[up(0, "taken").options(&signed), down(0, "").ack(5)]);
    assert_eq!(lab.log(), [&format!("up 0 {signature}"), "up 0 taken"]);
    lab.finish();
    assert_eq!(lab.table.memory(), 0);
}

#[test]
fn t2_linux_compares_a_segment_with_what_lies_on_its_way_down_the_tree() {
    // The third follows the first, which is at the root, and hides what the second has there.
    let mut lab = Lab::connected();
    lab.send_all(&[up(1, "bcde"), up(3, "DEF"), up(5, "Y"), up(0, "a")]);
    assert_eq!(lab.stream(Direction::Up), b"abcdeY");
    // With the second one at the root, the third lies within it.
    let mut lab = Lab::connected();
    lab.send_all(&[up(8, "z"), up(3, "DEF"), up(1, "bcde"), up(5, "Y"), up(0, "a")]);
    assert_eq!(lab.stream(Direction::Up), b"abcdeF");
}

#[test]
fn t10_data_behind_a_waiting_fin_is_read_as_if_the_fin_had_no_number() {
    let mut lab = Lab::connected();
    lab.send_all(&[up(1, "bc").fin(), up(4, "de"), up(0, "a")]);
    assert_eq!(lab.stream(Direction::Up), b"abcde");
    assert_eq!(lab.log().last().unwrap(), "up finished");
}

#[test]
fn t25_what_completes_a_handshake_lies_in_the_window_and_acknowledges_the_syn_ack() {
    for odd in [up(0, "evil").ack(-1), up(0, "evil").ack(7), up(-4, "evil"), up(-1, "").fin()] {
        let mut lab = Lab::new();
        lab.send(&up(-1, "").flags(SYN));
        lab.send(&down(-1, "").flags(SYN | ACK));
        lab.send_all(&[odd.clone(), up(0, "good")]);
        let log = lab.log();
        assert_eq!(&log[log.len() - 2..], ["established", "up 0 good"], "{odd:?}");
    }
}

#[test]
fn t8_any_reset_in_the_window_ends_a_handshake() {
    for (offset, ends) in [(0, true), (1000, true), (-5, false), (70_000, false)] {
        let mut lab = Lab::new();
        lab.send(&up(-1, "").flags(SYN));
        lab.send(&down(-1, "").flags(SYN | ACK));
        lab.send(&up(offset, "").flags(RST));
        assert_eq!(lab.log().contains(&"up reset".to_owned()), ends, "{offset}");
    }
}

#[test]
fn t22_urgent_data_stays_in_the_stream_and_is_named() {
    let mut lab = Lab::connected();
    lab.send_all(&[up(0, "abc"), up(3, "dXe").urgent(2)]);
    assert_eq!(lab.log(), ["up 0 abc", "up 4 urgent_data", "up 3 dXe"]);
}

#[test]
fn t23_a_simultaneous_open_is_a_connection() {
    let mut lab = Lab::new();
    lab.send_all(&[
        up(-1, "").flags(SYN),
        down(-1, "").flags(SYN),
        up(-1, "").flags(SYN | ACK),
        down(-1, "").flags(SYN | ACK),
        up(0, "x"),
        down(0, "y").ack(1),
    ]);
    assert_eq!(lab.log(), ["started", "down 0 simultaneous_open", "established", "up 0 x", "down 0 y"]);
}

#[test]
fn t23_a_split_handshake_does_not_turn_the_sides_around() {
    let mut lab = Lab::new();
    // The server acknowledges (with any sequence number) and sends its SYN apart.
    lab.send_all(&[
        up(-1, "").flags(SYN),
        down(900, ""),
        down(-1, "").flags(SYN),
        up(-1, "").flags(SYN | ACK),
        down(0, ""),
        down(0, "220 hi"),
        up(0, "EHLO").ack(6),
    ]);
    assert_eq!(lab.log(), ["started", "down 0 split_handshake", "down 0 220 hi", "established", "up 0 EHLO"]);
    assert_eq!(lab.summary().key.server.port(), 25);
}

#[test]
fn t24_a_syn_ack_that_answers_no_syn_is_ignored() {
    let mut lab = Lab::new();
    lab.send(&up(-1, "").flags(SYN));
    lab.send(&down(700, "").ack(33).flags(SYN | ACK));
    lab.send(&down(-1, "").flags(SYN | ACK));
    lab.send_all(&[up(0, ""), down(0, "220")]);
    assert_eq!(lab.log(), ["started", "down 0 syn_ack_wrong_ack", "established", "down 0 220"]);
}

#[test]
fn t24_among_two_syn_acks_the_client_picks() {
    for (picked, expected) in [(0, "down 0 abc"), (1000, "down 0 abc")] {
        let mut lab = Lab::new();
        lab.send(&up(-1, "").flags(SYN));
        lab.send(&down(-1, "").flags(SYN | ACK));
        lab.send(&down(999, "").flags(SYN | ACK));
        assert_eq!(lab.log(), ["started", "down 0 syn_ack_changed"]);
        lab.send(&up(0, "").ack(picked));
        lab.send(&down(picked, "abc"));
        assert_eq!(lab.log(), ["established", expected]);
    }
}

#[test]
fn t24_among_two_syns_the_server_picks() {
    for (answered, evil) in [(0, 50), (50, 0)] {
        let mut lab = Lab::new();
        lab.send(&up(-1, "").flags(SYN));
        lab.send(&up(49, "").flags(SYN));
        assert_eq!(lab.log(), ["started", "up 0 syn_changed"]);
        lab.send(&down(-1, "").ack(answered).flags(SYN | ACK));
        lab.send(&up(answered, "good"));
        assert_eq!(lab.log(), ["established", "up 0 good"], "{answered} {evil}");
    }
}

#[test]
fn t25_data_with_and_before_the_last_segment_of_the_handshake_counts() {
    let mut lab = Lab::new();
    lab.send(&up(-1, "").flags(SYN));
    lab.send(&down(-1, "").flags(SYN | ACK));
    // CVE-2018-6794: the server speaks before the handshake is over.
    lab.send_all(&[down(0, "220 early\r\n"), up(0, "EHLO\r\n").ack(11)]);
    assert_eq!(lab.log(), ["started", "down 0 220 early\r\n", "established", "up 0 EHLO\r\n"]);
}

#[test]
fn t25_data_is_read_from_the_syn_though_the_rest_of_the_handshake_was_not_captured() {
    let mut lab = Lab::new();
    lab.send_all(&[up(-1, "").flags(SYN), up(3, "lo"), up(0, "hel")]);
    assert_eq!(lab.log(), ["started", "established", "up 0 hel", "up 3 lo"]);
    let mut lab = Lab::new();
    lab.send_all(&[down(-1, "").flags(SYN | ACK), down(1, "20"), down(0, "2")]);
    assert_eq!(lab.log(), ["started", "established", "down 0 2", "down 1 20"]);
    assert!(!lab.summary().statistics.midstream);
}

#[test]
fn t26_a_new_syn_on_a_closed_connection_is_a_new_flow() {
    let mut lab = Lab::connected();
    lab.send_all(&[up(0, "a").fin(), down(0, "b").ack(2).fin(), up(2, "").ack(2)]);
    let first = lab.flow;
    assert_eq!(lab.log(), ["up 0 a", "up finished", "down 0 b", "down finished"]);
    // The old SYN, captured late, is none.
    lab.send(&up(-1, "").flags(SYN));
    assert_eq!(lab.log(), [] as [&str; 0]);
    lab.isn = [77_777, 88_888];
    lab.send(&up(-1, "").flags(SYN));
    assert_eq!(lab.log(), ["ended fin", "started"]);
    assert_ne!(lab.flow, first);
    assert_eq!(lab.table.flow(first.unwrap()), None);
    lab.send_all(&[down(-1, "").flags(SYN | ACK), up(0, "again")]);
    assert_eq!(lab.log(), ["established", "up 0 again"]);
}

#[test]
fn t26_a_syn_ack_to_an_ignored_syn_shows_that_the_old_connection_is_over() {
    let mut lab = Lab::connected();
    lab.send(&up(0, "old"));
    lab.isn = [500_000, 600_000];
    lab.send(&up(-1, "").flags(SYN));
    lab.send(&down(-1, "").flags(SYN | ACK));
    lab.send(&up(0, "new"));
    let log = lab.log();
    assert!(log[1].ends_with("syn_in_established"), "{log:?}");
    assert_eq!(log[2..], ["ended replaced", "started", "established", "up 0 new"]);
}

#[test]
fn t27_sequence_numbers_wrap() {
    for isn in [u32::MAX, u32::MAX - 1, u32::MAX - 5, u32::MAX - 6, 0, 1 << 31] {
        let mut lab = Lab::new();
        lab.isn = [isn, isn.wrapping_add(3)];
        lab.connect();
        lab.send_all(&[
            up(4, "efgh"),
            up(0, "abcd"),
            down(0, "").ack(8),
            down(0, "0123456789").ack(8),
            up(8, "i").ack(10),
            up(9, "").ack(10).fin(),
        ]);
        assert_eq!(lab.log(), ["up 0 abcd", "up 4 efgh", "down 0 0123456789", "up 8 i", "up finished"], "{isn}");
        assert!(lab.summary().statistics.anomalies.is_empty(), "{isn}");
    }
}

#[test]
fn t27_streams_longer_than_the_sequence_space_go_on() {
    let mut lab = Lab::connected();
    let chunk = "x".repeat(60_000);
    let mut offset = 0;
    // A large gap brings the stream near 4 GiB without sending it.
    while offset < (1 << 32) - 100_000 {
        offset += 1 << 30;
        lab.send_all(&[up(offset, "y"), down(0, "").ack(offset + 1), up(offset + 1, "z"), down(0, "").ack(offset + 2)]);
        lab.sleep(1);
        offset += 2;
    }
    lab.log();
    for _ in 0..4 {
        lab.send_all(&[up(offset, &chunk), down(0, "").ack(offset + 60_000)]);
        assert_eq!(lab.log(), [format!("up {offset} {chunk}")]);
        offset += 60_000;
    }
    assert!(offset > 1 << 32);
}

#[test]
fn t28_segments_of_one_byte_are_delivered_one_by_one() {
    let mut lab = Lab::connected();
    let text = "MAIL FROM:<a@example.org>\r\n";
    for (i, byte) in text.char_indices() {
        lab.send(&up(i as i64, &byte.to_string()));
    }
    assert_eq!(lab.stream(Direction::Up), text.as_bytes());
}

#[test]
fn t29_holes_are_bounded_in_segments_bytes_and_time() {
    let limits = Limits { queue_segments: 4, queue_bytes: 1000, ..Limits::default() };
    let mut lab = Lab::with(limits.clone());
    lab.connect();
    for i in 0..5 {
        lab.send(&up(10 * i + 10, "x"));
    }
    assert_eq!(lab.log(), ["up 0 gap of 10: segment_limit", "up 10 x"]);
    let mut lab = Lab::with(limits);
    lab.connect();
    lab.send_all(&[up(10, &"y".repeat(500)), up(600, &"z".repeat(500))]);
    assert_eq!(lab.log()[0], "up 0 gap of 10: byte_limit");
    lab.sleep(29);
    assert_eq!(lab.log(), [] as [&str; 0]);
    lab.sleep(2);
    assert_eq!(lab.log()[0], "up 510 gap of 90: time_limit");
    assert_eq!(lab.summary().statistics.directions[0].gaps, 2);
}

#[test]
fn t29_the_memory_of_the_table_is_bounded() {
    let limits = Limits { memory: 11_000, ..Limits::default() };
    let mut lab = Lab::with(limits);
    for port in 0..20 {
        lab.client_port = 1000 + port;
        lab.send(&up(-1, "").flags(SYN));
        lab.send(&down(-1, "").flags(SYN | ACK));
        lab.send(&up(5, &"x".repeat(900)));
        assert!(lab.table.memory() <= 11_000);
    }
    let log = lab.log();
    let limited = log.iter().filter(|line| line.ends_with("memory_limit"));
    assert_eq!(limited.count(), 10, "the others are held");
    lab.finish();
    assert_eq!(lab.stream(Direction::Up).len(), 20 * 900);
    assert_eq!(lab.table.memory(), 0);
}

#[test]
fn t30_bytes_that_the_receiver_has_and_we_do_not_are_a_gap() {
    let mut lab = Lab::connected();
    lab.send_all(&[up(0, "a"), up(5, "fgh"), down(0, "").ack(8)]);
    assert_eq!(lab.log(), ["up 0 a"]);
    // The capture may have mixed the two directions up: only after 64 packets or 200 ms it counts.
    lab.wait_ms(199);
    lab.send(&up(8, "i"));
    assert_eq!(lab.log(), ["up 1 gap of 4: lost", "up 5 fgh", "up 8 i"]);
    lab.send(&up(1, "late"));
    assert_eq!(lab.log(), ["up 1 data_after_gap"]);
}

#[test]
fn t30_sixty_four_packets_are_as_good_as_200_ms() {
    let mut lab = Lab::connected();
    lab.send(&down(0, "").ack(3));
    for i in 0..63 {
        lab.send(&down(i, "x").ack(3));
        let log = lab.log();
        match i {
            // Either the server lies, or the capture: so many lies are none.
            0..32 => assert_eq!(log, [format!("down {i} ack_unsent")]),
            32 => assert_eq!((log.len(), log.last().unwrap().as_str()), (34, "down 32 x")),
            _ => assert_eq!(log, [format!("down {i} x")]),
        }
    }
    lab.send(&down(63, "x").ack(3));
    assert_eq!(lab.log(), ["down 63 x", "up 0 gap of 3: lost"]);
}

#[test]
fn t30_an_acknowledgement_captured_before_its_data_makes_no_gap() {
    let mut lab = Lab::connected();
    lab.send_all(&[up(0, "").ack(3), down(0, "abc"), down(0, "").ack(5), up(3, "de").ack(3), up(0, "abc").ack(3)]);
    assert_eq!(lab.log(), ["down 0 abc", "up 0 abc", "up 3 de"]);
}

#[test]
fn t30_a_flow_that_falls_silent_is_not_waited_for_by_packets() {
    let mut lab = Lab::connected();
    lab.send_all(&[up(0, "a"), up(5, "fgh"), down(0, "").ack(8)]);
    lab.log();
    lab.sleep(1);
    assert_eq!(lab.log(), ["up 1 gap of 4: lost", "up 5 fgh"]);
}

#[test]
fn t30_a_fin_that_was_not_captured_is_no_gap() {
    let mut lab = Lab::connected();
    lab.send_all(&[up(0, "a"), down(0, "").ack(2)]);
    lab.sleep(8000);
    assert_eq!(lab.log(), ["up 0 a", "ended timeout"]);
}

#[test]
fn t31_a_connection_joined_in_the_middle_is_read_from_there() {
    let mut lab = Lab::of(FlowTable::new(Limits::default(), Some(1)).with_services([25].into_iter().collect()));
    lab.send_all(&[
        down(100, "250 ok\r\n").ack(50),
        up(50, "QUIT\r\n").ack(108),
        up(40, "old"),
        down(108, "221\r\n").ack(56),
    ]);
    assert_eq!(lab.log(), ["started midstream", "down 0 250 ok\r\n", "up 0 QUIT\r\n", "down 8 221\r\n"]);
    let summary = lab.summary();
    assert_eq!(summary.key.server.port(), 25);
    assert!(summary.statistics.midstream);
    assert_eq!(summary.statistics.state, FlowState::Established);
}

#[test]
fn t31_connections_that_began_before_can_be_left_alone() {
    let mut lab = Lab::of(FlowTable::new(Limits::default(), Some(1)).with_midstream(false));
    lab.send(&up(50, "QUIT\r\n").ack(108));
    assert_eq!((lab.flow, lab.log()), (None, vec![]));
    lab.connect();
}

#[test]
fn t31_a_syn_replaces_a_connection_of_which_only_an_acknowledgement_was_seen() {
    let mut lab = Lab::new();
    lab.send(&up(50, "").ack(7));
    assert_eq!(lab.log(), ["started midstream"]);
    lab.send(&up(-1, "").flags(SYN));
    assert_eq!(lab.log(), ["ended replaced", "started"]);
}

#[test]
fn t32_one_side_alone_is_read_and_the_other_is_a_gap() {
    let mut lab = Lab::new();
    lab.send_all(&[up(-1, "").flags(SYN), up(0, "").ack(0), up(0, "EHLO\r\n").ack(20), up(6, "MAIL\r\n").ack(90)]);
    lab.sleep(1);
    assert_eq!(lab.log(), ["started", "established", "up 0 EHLO\r\n", "up 6 MAIL\r\n", "down 0 gap of 90: lost"]);
    // Nobody acknowledges what the client says: a hole is waited for shorter.
    lab.send(&up(20, "x").ack(90));
    lab.sleep(3);
    assert_eq!(lab.log(), ["up 12 gap of 8: time_limit", "up 20 x"]);
    lab.finish();
    assert_eq!(lab.log(), ["ended end_of_input"]);
}

#[test]
fn t36_a_handshake_that_never_ends_holds_nothing_and_expires() {
    let mut lab = Lab::new();
    for port in 1..1000 {
        lab.client_port = port;
        lab.send(&up(-1, "").flags(SYN));
        lab.send(&down(-1, "").flags(SYN | ACK));
    }
    assert_eq!((lab.table.len(), lab.table.memory()), (999, 0));
    lab.sleep(35);
    assert_eq!(lab.table.len(), 0);
    assert_eq!(lab.ended.len(), 999);
}
