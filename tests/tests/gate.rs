//! A gate in memory with the shipped grammars: what went past it unseen, and what its rules say over time.
#![allow(clippy::expect_used, reason = "a test may fail")]

use std::time::Duration;

use portcullis_engine::{Bound, Fate, GateAction, GateSettings, Mode, Settings};
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

/// A conversation of which some packets go past the gate unseen; it goes on to its end all the same.
fn goes_on_without(missed: &[usize]) {
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
        if missed.contains(&index) {
            passage.gate.packets_were_missed(1);
            continue;
        }
        // Whoever gets no answer repeats what it said.
        let mut times = 0;
        while !matches!(passage.put(packet), Fate::Accept) && passage.sent.is_empty() {
            times += 1;
            assert!(times < 5, "packet {index} does not pass where {missed:?} were missed: {:?}", passage.told);
            passage.wait(Duration::from_millis(300));
        }
        passage.sent.clear();
    }
    assert!(passage.gate.statistics().reconcile());
    // Where more is missing, nobody can tell where a line begins.
    if missed.iter().all(|one| *one == missed[0] && *one != MAIL) {
        assert_eq!(passage.told.mails, 1, "where {missed:?} were missed, the mail was not found");
    }
}

#[test]
fn a_conversation_goes_on_whichever_of_its_packets_went_past_unseen() {
    for first in 0..14 {
        for second in first..14 {
            goes_on_without(&[first, second]);
        }
    }
}

/// Rules under which a domain is refused.
fn refusing(domain: &str) -> String {
    format!(
        r#"use smtp
policy gate for smtp {{
    rule banned id 1701 {{
        on smtp.command
        when verb == MAIL and sender.domain == "{domain}"
        alert high "mail from {{sender.domain}}"
        refuse "550 5.7.1 no"
    }}
    rule marker id 1702 {{
        on smtp.content
        when contains "MARKER"
        alert high "marked"
    }}
}}
"#
    )
}

#[test]
fn rules_that_are_replaced_hold_for_the_next_mail_of_a_session() {
    let mut passage = Passage::new(&refusing("other.test"));
    let mut connection = Connection::new(1);
    passage.greet(&mut connection);
    assert_eq!(passage.begin_mail(&mut connection, "x@banned.test"), [Fate::Accept, Fate::Accept]);
    passage.say(&mut connection, Up, b"Subject: x\r\n\r\nMAR");
    // In the middle of a mail: what was begun under the old rules is judged by them to its end.
    passage.replace_rules(&refusing("banned.test"));
    passage.say(&mut connection, Up, b"KER\r\n.\r\n");
    passage.say(&mut connection, Down, b"250 queued\r\n");
    assert_eq!((passage.told.mails, &passage.told.alerts[..]), (1, &[1702][..]));
    assert_ne!(passage.begin_mail(&mut connection, "x@banned.test")[0], Fate::Accept);
    assert_eq!(passage.told.alerts, [1702, 1701]);
    assert_eq!(passage.told.actions, [GateAction::Refused]);
    // And those who begin now.
    let mut other = Connection::new(2);
    passage.greet(&mut other);
    assert_ne!(passage.begin_mail(&mut other, "x@banned.test")[0], Fate::Accept);
    assert!(passage.gate.statistics().reconcile());
}

#[test]
fn edits_that_come_too_late_for_a_connection_are_told() {
    let edits = std::fs::read_to_string(portcullis_tests::project().join("policies/smtp-no-chunking.policy"));
    let mut passage = Passage::new(NO_RULES);
    let mut connection = Connection::new(1);
    passage.open(&mut connection);
    passage.say(&mut connection, Down, b"220 mx ESMTP\r\n");
    passage.replace_rules(&edits.expect("a policy"));
    passage.say(&mut connection, Up, b"EHLO client\r\n");
    assert_eq!(passage.say(&mut connection, Down, b"250-mx\r\n250 CHUNKING\r\n"), Fate::Accept);
    assert_eq!(passage.told.edits, ["edit_failed"]);
}

const BLOCKING: &str = r#"use smtp
policy gate for smtp {
    rule guessing id 1711 {
        on smtp.command
        when verb == VRFY
        alert medium "somebody asks for users"
        block client.address for 1 min
    }
}
"#;

#[test]
fn a_blocked_client_has_no_second_connection_until_the_time_is_over_and_another_has() {
    let mut passage = Passage::new(BLOCKING);
    let mut first = Connection::new(1);
    passage.greet(&mut first);
    passage.say(&mut first, Up, b"VRFY root\r\n");
    assert_eq!(passage.told.alerts, [1711]);
    assert_eq!(passage.say(&mut first, Down, b"252 ok\r\n"), Fate::Accept, "what has begun goes on");
    let mut second = Connection::from_port(1, 40_001);
    passage.open(&mut second);
    assert_eq!(passage.say(&mut second, Down, b"220 mx\r\n"), Fate::Drop);
    assert_eq!(passage.say(&mut second, Up, b"EHLO client\r\n"), Fate::Drop);
    let mut other = Connection::new(2);
    passage.greet(&mut other);
    assert_eq!(passage.begin_mail(&mut other, "a@outside.test"), [Fate::Accept, Fate::Accept]);
    assert_eq!(passage.told.blocked, 1);
    passage.wait(Duration::from_secs(61));
    let mut third = Connection::from_port(1, 40_002);
    passage.greet(&mut third);
    assert_eq!(passage.begin_mail(&mut third, "a@outside.test"), [Fate::Accept, Fate::Accept]);
    assert_eq!(passage.told.blocked, 1);
    assert!(passage.gate.statistics().reconcile());
}

#[test]
fn a_block_that_gives_way_is_told_and_counted() {
    let mut settings = Settings::default();
    settings.engine.blocks = 2;
    let gate = GateSettings { mode: Mode::Enforce, ..GateSettings::default() };
    let mut passage = Passage::with(BLOCKING, settings, gate);
    for client in 1..=3 {
        let mut connection = Connection::new(client);
        passage.greet(&mut connection);
        passage.say(&mut connection, Up, b"VRFY root\r\n");
    }
    assert_eq!((passage.told.displaced, passage.gate.engine_statistics().met(Bound::Blocks)), (1, 1));
    for (client, said) in [(1, Fate::Accept), (2, Fate::Drop), (3, Fate::Drop)] {
        let mut again = Connection::from_port(client, 40_001);
        passage.open(&mut again);
        assert_eq!(passage.say(&mut again, Down, b"220 mx\r\n"), said, "{client}");
    }
}
