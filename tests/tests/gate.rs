//! A gate in memory with the shipped grammars: what went past it unseen, and what its rules say over time.
#![allow(clippy::expect_used, reason = "a test may fail")]

use std::time::Duration;

use portcullis_engine::{Fate, GateAction};
use portcullis_lang::Direction::{Down, Up};
use portcullis_tests::passage::{Connection, Passage};

const NO_RULES: &str = "use smtp\npolicy none for smtp { }\n";

#[test]
fn a_hold_ends_in_time_whoever_repeats_what_is_held() {
    let mut passage = Passage::new(NO_RULES);
    let mut connection = Connection::new(1);
    passage.greet(&mut connection);
    for said in [&b"MAIL FROM:<a@outside.test>\r\n"[..], b"RCPT TO:<b@inside.test>\r\n"] {
        passage.say(&mut connection, Up, said);
        passage.say(&mut connection, Down, b"250 ok\r\n");
    }
    passage.say(&mut connection, Up, b"DATA\r\n");
    let early = connection.say(Up, b"Subject: early\r\n");
    for _ in 0..40 {
        assert_eq!(passage.put(&early), Fate::Drop, "it is held until the answer to DATA");
        passage.wait(Duration::from_secs(1));
        if !passage.sent.is_empty() {
            break;
        }
    }
    assert_eq!(passage.told.actions, [GateAction::HoldTimeout]);
    assert!(!passage.sent.is_empty());
    assert!(passage.gate.statistics().reconcile());
}

/// Of the packets of a conversation: the one that brings the mail.
const MAIL: usize = 12;

/// A conversation of which one packet goes past the gate unseen; it goes on to its end all the same.
fn goes_on_without(missed: usize) {
    let mut passage = Passage::new(NO_RULES);
    let mut connection = Connection::new(1);
    let mut packets = connection.handshake().to_vec();
    for (direction, said) in [
        (Down, &b"220 mx ESMTP\r\n"[..]),
        (Up, b"EHLO client\r\n"),
        (Down, b"250 mx\r\n"),
        (Up, b"MAIL FROM:<a@outside.test>\r\n"),
        (Down, b"250 ok\r\n"),
        (Up, b"RCPT TO:<b@inside.test>\r\n"),
        (Down, b"250 ok\r\n"),
        (Up, b"DATA\r\n"),
        (Down, b"354 go\r\n"),
        (Up, b"Subject: x\r\n\r\nhi\r\n.\r\n"),
        (Down, b"250 queued\r\n"),
    ] {
        packets.push(connection.say(direction, said));
    }
    for (index, packet) in packets.iter().enumerate() {
        if index == missed {
            passage.gate.packets_were_missed(1);
            continue;
        }
        // Whoever gets no answer repeats what it said.
        let mut times = 0;
        while !matches!(passage.put(packet), Fate::Accept) && passage.sent.is_empty() {
            times += 1;
            assert!(times < 5, "packet {index} does not pass where packet {missed} was missed: {:?}", passage.told);
            passage.wait(Duration::from_millis(300));
        }
        passage.sent.clear();
    }
    assert!(passage.gate.statistics().reconcile());
    if missed != MAIL {
        assert_eq!(passage.told.mails, 1, "where packet {missed} was missed, the mail was not found");
    }
}

#[test]
fn a_conversation_goes_on_whichever_of_its_packets_went_past_unseen() {
    for missed in 0..14 {
        goes_on_without(missed);
    }
}
