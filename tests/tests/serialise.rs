//! A gate that serialises, octet by octet: however a client cuts and repeats what it pipelines, its server gets one command
//! at a time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portcullis_engine::{
    Arriving, Bound, Failure, Fate, Flow, Gate, GateAction, GateSettings, Judgement, Mode, Output, PacketInfo, Settings,
};
use portcullis_grammar::Event;
use portcullis_lang::{Direction, EventId};
use portcullis_policy::PolicySet;
use portcullis_stream::{EndReason, FlowSummary, GapReason, StreamAnomaly};
use portcullis_tests::edits::Chance;
use portcullis_tests::grammars::shipped;
use portcullis_wire::{
    LinkType, Network, SequenceNumber, TcpFlags, TcpPacket, Timestamp, Transport, WireAnomaly, decode,
};

const CLIENT: &str = "192.0.2.1:40000";
const SERVER: &str = "192.0.2.2:25";
/// The numbers of both SYNs.
const CLIENT_FIRST: u32 = 5_000;
const SERVER_FIRST: u32 = 900_000;

#[derive(Default)]
struct Told(Vec<GateAction>);

impl Output for Told {
    fn event(&mut self, _: &Flow, _: &PacketInfo<'_>, _: &Event<'_>) {}

    fn wants(&self, _: &Flow, _: EventId) -> bool {
        false
    }

    fn judgement(&mut self, _: &Flow, _: &PacketInfo<'_>, _: &Event<'_>, _: &Judgement<'_>) {}

    fn flow_ended(&mut self, _: &Flow, _: &FlowSummary, _: EndReason, _: &PacketInfo<'_>) {}

    fn stream_anomaly(&mut self, _: &Flow, _: &PacketInfo<'_>, _: Direction, _: StreamAnomaly, _: u64) {}

    fn gap(&mut self, _: &Flow, _: &PacketInfo<'_>, _: Direction, _: u64, _: u64, _: GapReason) {}

    fn wire_anomaly(&mut self, _: &PacketInfo<'_>, _: WireAnomaly) {}

    fn wrong_checksum(&mut self, _: &PacketInfo<'_>) {}

    fn gate_action(&mut self, _: &Flow, _: &PacketInfo<'_>, action: GateAction) {
        self.0.push(action);
    }
}

/// What a packet brought to a host: its place in the stream, and its octets.
type Payload = (u32, Vec<u8>);

/// A client and a server with a gate between them. Nothing is lost; what the gate sends arrives at once.
struct Line {
    gate: Gate,
    told: Told,
    now: i64,
    packets: u64,
    /// By direction: octets that its receiver has got.
    got: [Vec<u8>; 2],
    /// Packets that brought the server new octets, since it was last asked.
    at_server: Vec<Vec<u8>>,
    resets: usize,
}

impl Line {
    fn new(settings: Settings, gate: GateSettings) -> Line {
        let gate = Gate::new(shipped().grammars, Arc::new(PolicySet::default()), settings, gate);
        let mut line = Line {
            gate,
            told: Told::default(),
            now: 0,
            packets: 0,
            got: [Vec::new(), Vec::new()],
            at_server: Vec::new(),
            resets: 0,
        };
        let scale = [2, 4, 5, 180, 1, 3, 3, 7];
        line.packet(Direction::Up, TcpFlags::SYN, CLIENT_FIRST, 0, &scale, b"");
        line.packet(Direction::Down, TcpFlags::SYN | TcpFlags::ACK, SERVER_FIRST, CLIENT_FIRST + 1, &scale, b"");
        line.packet(Direction::Up, TcpFlags::ACK, CLIENT_FIRST + 1, SERVER_FIRST + 1, &[], b"");
        line
    }

    fn serialised() -> Line {
        Line::new(Settings::default(), serialising())
    }

    fn packet(
        &mut self,
        direction: Direction,
        flags: TcpFlags,
        sequence: u32,
        acknowledgement: u32,
        options: &[u8],
        payload: &[u8],
    ) {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (source, destination) = match direction {
            Direction::Up => (address(CLIENT), address(SERVER)),
            Direction::Down => (address(SERVER), address(CLIENT)),
        };
        let packet = TcpPacket {
            source,
            destination,
            sequence: SequenceNumber(sequence),
            acknowledgement: SequenceNumber(acknowledgement),
            flags,
            window: 500,
            options,
            payload,
        };
        let octets = packet.build().unwrap();
        self.packets += 1;
        self.now += 1_000_000;
        let arriving = Arriving {
            number: self.packets,
            time: Timestamp(self.now),
            octets: &octets,
            original_length: octets.len(),
            checksum_ready: true,
            offloaded: false,
        };
        let mut own = Vec::new();
        match self.gate.packet(&arriving, &mut self.told, &mut own) {
            Fate::Accept | Fate::Bypass => self.arrive(&octets),
            Fate::Replace(octets) => self.arrive(&octets),
            Fate::Drop => {}
        }
        own.iter().for_each(|octets| self.arrive(octets));
    }

    fn tick(&mut self, time: Duration) {
        self.now += i64::try_from(time.as_nanos()).unwrap();
        let mut own = Vec::new();
        self.gate.tick(Timestamp(self.now), &mut self.told, &mut own);
        own.iter().for_each(|octets| self.arrive(octets));
    }

    /// What a host makes of a packet: what it has got already it drops.
    fn arrive(&mut self, octets: &[u8]) {
        let Network::Ip(ip) = decode(LinkType::RawIp, octets).network else { panic!("no packet") };
        let Transport::Tcp(segment) = ip.transport() else { panic!("no segment") };
        self.resets += usize::from(segment.flags.contains(TcpFlags::RST));
        let (direction, first) = match segment.destination_port {
            25 => (Direction::Up, CLIENT_FIRST),
            _ => (Direction::Down, SERVER_FIRST),
        };
        let (offset, payload): Payload = (segment.sequence.0.wrapping_sub(first + 1), segment.payload.to_vec());
        let got = &mut self.got[direction.index()];
        let known = got.len().saturating_sub(offset as usize);
        assert!(payload.is_empty() || offset as usize <= got.len(), "a hole at {offset}");
        if let Some(new) = payload.get(known..).filter(|new| !new.is_empty()) {
            got.extend(new);
            if direction == Direction::Up {
                self.at_server.push(payload);
            }
        }
    }

    /// The client sends a part of its stream.
    fn client(&mut self, stream: &[u8], from: usize, to: usize) {
        let acknowledged = SERVER_FIRST + 1 + self.got[1].len() as u32;
        let sequence = CLIENT_FIRST + 1 + from as u32;
        self.packet(Direction::Up, TcpFlags::ACK | TcpFlags::PSH, sequence, acknowledged, &[], &stream[from..to]);
    }

    /// The server says something.
    fn server(&mut self, said: &mut Vec<u8>, text: &[u8]) {
        let sequence = SERVER_FIRST + 1 + said.len() as u32;
        said.extend(text);
        let acknowledged = CLIENT_FIRST + 1 + self.got[0].len() as u32;
        self.packet(Direction::Down, TcpFlags::ACK | TcpFlags::PSH, sequence, acknowledged, &[], text);
    }
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
        let mut line = Line::serialised();
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
        assert!(line.told.0.is_empty(), "{:?}", line.told.0);
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
        let mut line = Line::new(Settings::default(), settings);
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
        let mut line = Line::new(settings, GateSettings { on_failure: failure, ..serialising() });
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
        assert_eq!(line.told.0, told);
        assert_eq!(line.at_server.len(), if together { 2 } else { 1 });
        assert_eq!(line.resets > 0, !together);
        assert_eq!(line.gate.engine_statistics().met(Bound::SerialiseTime), 1);
    }
}

#[test]
fn a_server_that_has_said_its_last_word_gets_what_was_kept_back() {
    let mut line = Line::serialised();
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
    let mut line = Line::new(settings, serialising());
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
