//! What rules hold: nothing of it leaves before its end has come, however it is cut, and then all of it or nothing.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::time::Duration;

use portcullis_engine::{Bound, Failure, GateAction, GateSettings, Mode, Settings};
use portcullis_lang::{Code, Direction, Sources};
use portcullis_policy::{PolicySet, no_files};
use portcullis_tests::between::{CLIENT_FIRST, Line, SERVER_FIRST};
use portcullis_tests::edits::Chance;
use portcullis_tests::grammars::shipped;
use portcullis_wire::TcpFlags;

const POLICY: &str = r#"use smtp
policy p for smtp {
    rule whole id 1 { hold smtp.mail when flow.transport == "tcp" until smtp.mail max 64 KB   alert low "held" }
    rule mark  id 2 { on smtp.mail when contains "NIGHTFALL"   alert high "it leaves"   drop }
}
"#;

/// What stands before the mail.
const ENVELOPE: &[u8] = b"EHLO client\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n";

fn enforcing() -> GateSettings {
    GateSettings { mode: Mode::Enforce, ..GateSettings::default() }
}

/// A conversation that has come to the mail; what the server has said.
fn before_the_mail(policy: &str, settings: Settings, gate: GateSettings) -> (Line, Vec<u8>) {
    let mut line = Line::new(policy, settings, gate);
    let mut said = Vec::new();
    line.server(&mut said, b"220 mx\r\n");
    let mut at = 0;
    for command in ENVELOPE.split_inclusive(|octet| *octet == b'\n') {
        line.client(ENVELOPE, at, at + command.len());
        at += command.len();
        line.server(&mut said, if command == b"DATA\r\n" { b"354 go\r\n" } else { b"250 ok\r\n" });
    }
    assert_eq!(line.got[0], ENVELOPE);
    (line, said)
}

/// The client's whole stream with this mail.
fn with_mail(lines: usize, last: &str) -> Vec<u8> {
    let mut text = ENVELOPE.to_vec();
    text.extend(b"Subject: x\r\n\r\n");
    (0..lines).for_each(|line| text.extend(format!("..line {line}\r\n").bytes()));
    text.extend(last.bytes());
    text.extend(b"\r\n.\r\n");
    text
}

#[test]
fn however_a_mail_is_cut_nothing_of_it_leaves_before_all_of_it_was_judged() {
    for seed in 0..150 {
        let mut chance = Chance::new(seed);
        let is_marked = chance.below(2) == 0;
        let text = with_mail(chance.below(2_000) as usize, if is_marked { "NIGHTFALL" } else { "good night" });
        let (mut line, mut said) = before_the_mail(POLICY, Settings::default(), enforcing());
        let most = [40, 600, 1_460, 9_000][chance.below(4) as usize];
        let mut sent = ENVELOPE.len();
        while sent < text.len() {
            assert_eq!(line.got[0].len(), ENVELOPE.len(), "seed {seed}: something has left");
            let to = text.len().min(sent + 1 + chance.below(most) as usize);
            line.client(&text, sent, to);
            sent = to;
            if chance.below(4) == 0 {
                let from = sent - (1 + chance.below(2_000) as usize).min(sent);
                line.client(&text, from, sent.min(from + 1_000));
            }
            if chance.below(8) == 0 {
                line.tick(Duration::from_millis(100));
            }
        }
        if is_marked {
            assert_eq!(line.told.alerts, [1, 2], "seed {seed}");
            line.tick(Duration::from_secs(60));
            assert!(line.got[0] == ENVELOPE, "seed {seed}: {} octets", line.got[0].len());
        } else {
            assert_eq!(line.told.alerts, [1], "seed {seed}");
            line.server(&mut said, b"");
            assert!(
                line.got[0] == text,
                "seed {seed}: {} of {}, {most} at a time, {sent}",
                line.got[0].len(),
                text.len()
            );
        }
        assert!(line.told.actions.is_empty(), "{:?}", line.told.actions);
        assert!(line.gate.statistics().reconcile());
    }
}

#[test]
fn without_the_hold_what_comes_before_the_mark_leaves() {
    let policy = POLICY.replace("rule whole", "rule whole_  ").replace("whole_   id 1 {", "whole id 1 { mode observe");
    let text = with_mail(500, "NIGHTFALL");
    for (policy, gate) in [(policy.as_str(), enforcing()), (POLICY, GateSettings::default())] {
        let (mut line, _) = before_the_mail(policy, Settings::default(), gate);
        line.client(&text, ENVELOPE.len(), 2_000);
        assert_eq!(line.got[0], text[..2_000]);
    }
}

#[test]
fn more_than_a_hold_may_have_leaves_or_ends_the_connection() {
    let text = with_mail(8_000, "end");
    assert!(text.len() > 100_000);
    for (failure, leaves) in [(Failure::Open, true), (Failure::Closed, false)] {
        let gate = GateSettings { on_failure: failure, ..enforcing() };
        let (mut line, _) = before_the_mail(POLICY, Settings::default(), gate);
        let mut sent = ENVELOPE.len();
        while sent < 90_000 {
            line.client(&text, sent, sent + 1_400);
            sent += 1_400;
            let held = sent - ENVELOPE.len() <= 64 << 10;
            assert_eq!(line.got[0].len() == ENVELOPE.len(), held || !leaves, "{sent}");
        }
        let mut told = vec![GateAction::HoldOverrun];
        told.extend((!leaves).then_some(GateAction::Reset));
        assert_eq!(line.told.actions, told);
        assert_eq!(line.resets > 0, !leaves);
        assert_eq!(line.gate.statistics().hold_overruns, 1);
        assert!(!leaves || line.got[0] == text[..line.got[0].len()]);
    }
}

#[test]
fn a_hold_that_takes_too_long_leaves_or_ends_the_connection() {
    let text = with_mail(100, "end");
    for (failure, leaves) in [(Failure::Open, true), (Failure::Closed, false)] {
        let gate = GateSettings { on_failure: failure, ..enforcing() };
        let (mut line, _) = before_the_mail(POLICY, Settings::default(), gate);
        line.client(&text, ENVELOPE.len(), 500);
        (0..299).for_each(|_| line.tick(Duration::from_millis(100)));
        assert_eq!(line.got[0], ENVELOPE);
        (0..10).for_each(|_| line.tick(Duration::from_millis(100)));
        assert_eq!(line.got[0].len(), if leaves { 500 } else { ENVELOPE.len() });
        assert_eq!(line.told.actions[0], GateAction::HoldTimeout);
        assert_eq!(line.resets > 0, !leaves);
        assert_eq!(line.gate.engine_statistics().met(Bound::HoldTime), 1);
    }
}

#[test]
fn chunks_are_held_one_by_one_because_their_answers_are_waited_for() {
    let mut line = Line::new(POLICY, Settings::default(), enforcing());
    let mut said = Vec::new();
    line.server(&mut said, b"220 mx\r\n");
    let text = b"EHLO a\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nBDAT 9\r\nSubject: BDAT 6 LAST\r\n\r\nhi\r\n";
    let mut at = 0;
    // Up to the command of the first chunk, in it, its end, the second with its command.
    let cuts = [8, 30, 50, 58, 62, 67, text.len()];
    for (number, to) in cuts.into_iter().enumerate() {
        line.client(text, at, to);
        at = to;
        let in_chunk = number == 4;
        assert_eq!(line.got[0].len(), if in_chunk { 58 } else { to }, "cut {number}");
        if !in_chunk && number != 3 {
            line.server(&mut said, b"250 ok\r\n");
        }
    }
    assert_eq!(line.told.actions, [GateAction::HoldInVain]);
    assert_eq!(line.got[0], text);
}

#[test]
fn what_its_sender_does_not_go_on_with_is_delivered_with_its_end() {
    let (mut line, said) = before_the_mail(POLICY, Settings::default(), enforcing());
    let text = with_mail(10, "no end");
    line.client(&text, ENVELOPE.len(), 150);
    let acknowledged = SERVER_FIRST + 1 + said.len() as u32;
    line.packet(Direction::Up, TcpFlags::ACK | TcpFlags::FIN, CLIENT_FIRST + 151, acknowledged, &[], b"");
    assert_eq!(line.got[0], text[..150]);
}

#[test]
fn what_can_be_held_until_what_is_read_from_the_grammar() {
    let grammars = shipped().grammars;
    let verdict = |hold: &str| {
        let mut sources = Sources::new();
        let file = sources.add("test.policy", format!("policy p for smtp {{ rule r id 1 {{ {hold} max 8 KB }} }}"));
        let compiled = PolicySet::compile(&sources, &[file], &grammars.schemes(), &mut no_files);
        compiled.err().map(|found| found.sorted().first().unwrap().code)
    };
    for ends in [
        "hold smtp.mail until smtp.mail",
        "hold smtp.content until smtp.content",
        "hold smtp.chunk until smtp.mail",
        "hold smtp.command when verb == BDAT until smtp.chunk",
        "hold smtp.mail.start until smtp.mail.chunk",
    ] {
        assert_eq!(verdict(ends), None, "{ends}");
    }
    for stalls in [
        "hold smtp.command until smtp.reply",
        "hold smtp.reply until smtp.command",
        "hold smtp.reply until smtp.content",
        "hold smtp.credentials until smtp.command",
        "hold smtp.chunk until smtp.credentials",
        "hold smtp.mail until smtp.finish",
        "hold smtp.enter until smtp.mail",
    ] {
        assert_eq!(verdict(stalls), Some(Code::C24), "{stalls}");
    }
}
