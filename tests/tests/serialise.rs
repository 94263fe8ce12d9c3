//! A gate that serialises, octet by octet: however a client cuts and repeats what it pipelines, its server gets one command
//! at a time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

use std::time::Duration;

use portcullis_engine::{Bound, Failure, GateAction, GateSettings, Mode, Settings};
use portcullis_lang::Direction;
use portcullis_tests::between::{CLIENT_FIRST, Line, SERVER_FIRST};
use portcullis_tests::edits::Chance;
use portcullis_wire::TcpFlags;

/// A connection whose server gets one command at a time.
fn serialised() -> Line {
    Line::new("", Settings::default(), serialising())
}

fn serialising() -> GateSettings {
    GateSettings { mode: Mode::Enforce, serialise: vec!["smtp".to_owned()], ..GateSettings::default() }
}

/// A server that answers what it has got, one command after the other, and insists on getting no more than that.
struct Server {
    said: Vec<u8>,
    /// Octets of the client that were answered.
    done: usize,
    in_mail: bool,
    commands: usize,
}

impl Server {
    fn new(line: &mut Line) -> Server {
        let mut server = Server { said: Vec::new(), done: 0, in_mail: false, commands: 0 };
        server.say(line, b"220 mx\r\n", &mut Chance::new(1));
        server
    }

    fn say(&mut self, line: &mut Line, text: &[u8], chance: &mut Chance) {
        let cut = chance.below(text.len() as u64) as usize;
        for part in [&text[..cut], &text[cut..]].into_iter().filter(|part| !part.is_empty()) {
            line.server(&mut self.said, part);
        }
    }

    /// Answers the next command if it has come; whether it had.
    fn answer(&mut self, line: &mut Line, chance: &mut Chance) -> bool {
        let new = line.got[0][self.done..].to_vec();
        let packets = std::mem::take(&mut line.at_server);
        if self.in_mail {
            let Some(end) = new.windows(5).position(|five| five == b"\r\n.\r\n") else { return false };
            assert_eq!(end + 5, new.len(), "something came behind the mail");
            self.in_mail = false;
            self.done += new.len();
            self.say(line, b"250 2.0.0 queued\r\n", chance);
            return true;
        }
        if new.is_empty() {
            return false;
        }
        let text = String::from_utf8_lossy(&new).into_owned();
        let verb = text.split([' ', '\r']).next().unwrap_or("").to_owned();
        let whole = match verb.as_str() {
            // The chunk may come behind its command.
            "BDAT" => {
                let (command, chunk) = text.split_once("\r\n").unwrap();
                let size: usize = command.split(' ').nth(1).unwrap().parse().unwrap();
                if chunk.len() < size {
                    return false;
                }
                assert_eq!(chunk.len(), size, "something came behind a chunk: {text:?}");
                true
            }
            _ => {
                assert_eq!(packets, std::slice::from_ref(&new), "a command that came in pieces, or several at once");
                text.ends_with("\r\n") && text.matches("\r\n").count() == 1
            }
        };
        assert!(whole, "this is not one command: {text:?}");
        self.commands += 1;
        self.done += new.len();
        let answer: &[u8] = match verb.as_str() {
            "EHLO" => b"250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n",
            "DATA" => {
                self.in_mail = true;
                b"354 go\r\n"
            }
            "QUIT" => b"221 bye\r\n",
            _ => b"250 2.1.0 ok\r\n",
        };
        self.say(line, answer, chance);
        true
    }
}

/// What a client says that waits for nothing but the answer to DATA; the places up to which it may go on at once.
fn talk(chance: &mut Chance) -> (Vec<u8>, Vec<usize>) {
    let (mut text, mut stops) = (b"EHLO client\r\n".to_vec(), Vec::new());
    for mail in 0..1 + chance.below(4) {
        text.extend(format!("MAIL FROM:<a{mail}@outside.test>\r\n").bytes());
        for to in 0..1 + chance.below(12) {
            text.extend(format!("RCPT TO:<user{to}@inside.test>\r\n").bytes());
        }
        if chance.below(2) == 0 {
            text.extend(b"DATA\r\n");
            stops.push(text.len());
            text.extend(b"Subject: x\r\n\r\n");
            (0..chance.below(200)).for_each(|line| text.extend(format!("..line {line}\r\n").bytes()));
            text.extend(b".\r\n");
        } else {
            let size = chance.below(4_000) as usize;
            text.extend(format!("BDAT {size}\r\n").bytes());
            text.extend(std::iter::repeat_n(b'x', size));
            text.extend(b"BDAT 4 LAST\r\nend\n");
        }
        if chance.below(3) == 0 {
            text.extend(b"RSET\r\nNOOP\r\n");
        }
    }
    text.extend(b"QUIT\r\n");
    stops.push(text.len());
    (text, stops)
}

#[test]
fn however_a_client_cuts_what_it_pipelines_one_command_comes_at_a_time() {
    let mut commands = 0;
    for seed in 0..300 {
        let mut chance = Chance::new(seed);
        let mut line = serialised();
        let (text, stops) = talk(&mut chance);
        let mut server = Server::new(&mut line);
        let most = [1, 7, 60, 600, 1_460][chance.below(5) as usize];
        let (mut sent, mut idle) = (0, 0);
        while server.done < text.len() {
            // The answer to DATA lets it go on with the mail.
            let go_ahead = line.got[1].windows(3).filter(|three| three == b"354").count();
            let stop = *stops.get(go_ahead).unwrap_or(&text.len());
            let mut moved = false;
            if sent < stop && chance.below(3) > 0 {
                let to = stop.min(sent + 1 + chance.below(most) as usize);
                line.client(&text, sent, to);
                (sent, moved) = (to, true);
            }
            if sent > 0 && chance.below(6) == 0 {
                // It repeats something, cut otherwise.
                let from = sent - (1 + chance.below(2_000) as usize).min(sent);
                let to = sent.min(from + 1 + chance.below(1_460) as usize);
                line.client(&text, from, to);
            }
            if chance.below(2) == 0 {
                moved |= server.answer(&mut line, &mut chance);
            }
            if chance.below(8) == 0 {
                line.tick(Duration::from_millis(100));
            }
            idle = if moved { 0 } else { idle + 1 };
            assert!(idle < 100, "seed {seed}: stalled at {} of {}, {sent} sent", server.done, text.len());
        }
        assert_eq!(line.got[0], text, "seed {seed}");
        assert_eq!(line.got[1], server.said, "seed {seed}");
        assert!(line.told.actions.is_empty(), "{:?}", line.told.actions);
        assert!(line.gate.statistics().reconcile());
        commands += server.commands;
    }
    assert!(commands > 3_000, "{commands}");
}

#[test]
fn without_the_mode_and_in_a_gate_that_observes_what_is_pipelined_passes_as_it_comes() {
    let observing = GateSettings { mode: Mode::Observe, ..serialising() };
    let plain = GateSettings { serialise: Vec::new(), ..serialising() };
    for settings in [observing, plain] {
        let mut line = Line::new("", Settings::default(), settings);
        let mut said = Vec::new();
        line.server(&mut said, b"220 mx\r\n");
        line.client(b"EHLO a\r\nNOOP\r\nQUIT\r\n", 0, 20);
        assert_eq!(line.at_server, [b"EHLO a\r\nNOOP\r\nQUIT\r\n"]);
        assert_eq!(line.gate.statistics().sent, 0);
    }
}

#[test]
fn what_waits_for_an_answer_that_does_not_come_leaves_together_or_the_connection_ends() {
    for (failure, together) in [(Failure::Open, true), (Failure::Closed, false)] {
        let mut settings = Settings::default();
        settings.engine.serialise_time = Duration::from_secs(5);
        let mut line = Line::new("", settings, GateSettings { on_failure: failure, ..serialising() });
        let mut said = Vec::new();
        line.server(&mut said, b"220 mx\r\n");
        line.client(b"EHLO a\r\nNOOP\r\nQUIT\r\n", 0, 20);
        (0..40).for_each(|_| line.tick(Duration::from_millis(100)));
        assert_eq!(line.at_server, [b"EHLO a\r\n"]);
        (0..20).for_each(|_| line.tick(Duration::from_millis(100)));
        let mut told = vec![GateAction::SerialiseTimeout];
        if !together {
            told.push(GateAction::Reset);
        }
        assert_eq!(line.told.actions, told);
        assert_eq!(line.at_server.len(), if together { 2 } else { 1 });
        assert_eq!(line.resets > 0, !together);
        assert_eq!(line.gate.engine_statistics().met(Bound::SerialiseTime), 1);
    }
}

#[test]
fn a_server_that_has_said_its_last_word_gets_what_was_kept_back() {
    let mut line = serialised();
    let mut said = Vec::new();
    line.server(&mut said, b"220 mx\r\n");
    line.client(b"EHLO a\r\nNOOP\r\nQUIT\r\n", 0, 20);
    let end = SERVER_FIRST + 1 + said.len() as u32;
    line.packet(Direction::Down, TcpFlags::ACK | TcpFlags::FIN, end, CLIENT_FIRST + 9, &[], b"");
    assert_eq!(line.at_server, [&b"EHLO a\r\n"[..], b"NOOP\r\nQUIT\r\n"]);
}

#[test]
fn a_client_is_told_a_window_that_bounds_what_is_kept() {
    let mut settings = Settings::default();
    settings.engine.hold_octets = 1 << 10;
    let mut line = Line::new("", settings, serialising());
    let mut said = Vec::new();
    line.server(&mut said, b"220 mx\r\n");
    let text = b"NOOP\r\n".repeat(60_000);
    let mut sent = 0;
    // It sends more than it was allowed to: what is behind the window does not get in.
    while sent + 1_200 < text.len() {
        line.client(&text, sent, sent + 1_200);
        sent += 1_200;
    }
    assert!(line.at_server == [b"NOOP\r\n"], "{} packets", line.at_server.len());
    assert!(line.gate.engine().memory() < 600 << 10, "{}", line.gate.engine().memory());
    assert_eq!(line.gate.statistics().hold_overruns, 1);
}
