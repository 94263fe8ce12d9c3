//! What leaves a gate whose rules put text in and put right what deviates, however the octets are cut.
#![allow(clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use portcullis_engine::{
    Arriving, EditOutcome, Failure, Fate, Flow, Gate, GateAction, GateSettings, Grammars, Judgement, Mode, Output,
    PacketInfo, Settings,
};
use portcullis_grammar::{Dialogue, Event, Program, Scratch};
use portcullis_lang::{Direction, EventId, EventKind, Sources, render_all};
use portcullis_policy::{PolicySet, RuleInfo, no_files};
use portcullis_stream::{EndReason, FlowSummary, GapReason, StreamAnomaly};
use portcullis_wire::{
    LinkType, Network, SequenceNumber, TcpFlags, TcpPacket, Timestamp, Transport, WireAnomaly, decode,
};
use proptest::prelude::*;

/// The numbers of the SYN of both sides.
const FIRST: [u32; 2] = [1_000, 2_000_000];

/// What becomes of edits, as it is told.
#[derive(Default)]
struct Told(Vec<String>);

impl Output for Told {
    fn event(&mut self, _: &Flow, _: &PacketInfo<'_>, _: &Event<'_>) {}

    fn wants(&self, _: &Flow, _: EventId) -> bool {
        false
    }

    fn judgement(&mut self, _: &Flow, _: &PacketInfo<'_>, _: &Event<'_>, _: &Judgement<'_>) {}

    fn edited(&mut self, _: &Flow, _: &PacketInfo<'_>, rule: &Arc<RuleInfo>, outcome: EditOutcome) {
        self.0.push(format!("{} {}", rule.id, outcome.name()));
    }

    fn gate_action(&mut self, _: &Flow, _: &PacketInfo<'_>, action: GateAction) {
        self.0.push(action.name().to_owned());
    }

    fn flow_ended(&mut self, _: &Flow, _: &FlowSummary, _: EndReason, _: &PacketInfo<'_>) {}

    fn stream_anomaly(&mut self, _: &Flow, _: &PacketInfo<'_>, _: Direction, _: StreamAnomaly, _: u64) {}

    fn gap(&mut self, _: &Flow, _: &PacketInfo<'_>, _: Direction, _: u64, _: u64, _: GapReason) {}

    fn wire_anomaly(&mut self, _: &PacketInfo<'_>, _: WireAnomaly) {}

    fn wrong_checksum(&mut self, _: &PacketInfo<'_>) {}
}

fn program() -> Arc<Program> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../grammars/smtp.grammar");
    let text = std::fs::read_to_string(path).expect("the grammar");
    let mut sources = Sources::new();
    match portcullis_grammar::load(&mut sources, "smtp", &text) {
        Ok((protocol, _)) => Arc::new(Program::compile(Arc::new(protocol))),
        Err(diagnostics) => panic!("{}", render_all(&diagnostics, &sources, false)),
    }
}

fn policies(program: &Program, rules: &str) -> Arc<PolicySet> {
    let mut sources = Sources::new();
    let file = sources.add("edits.policy", format!("use smtp\npolicy edits for smtp {{\n{rules}\n}}\n"));
    let schemes = [Arc::clone(&program.protocol().scheme)];
    match PolicySet::compile(&sources, &[file], &schemes, &mut no_files) {
        Ok(compiled) => Arc::new(compiled.policies),
        Err(diagnostics) => panic!("{}", render_all(&diagnostics, &sources, false)),
    }
}

/// Two sides that speak to each other through a gate, and what arrives.
struct Line {
    gate: Gate,
    packets: u64,
    next: [u32; 2],
    arrived: [Vec<u8>; 2],
    resets: usize,
    told: Told,
}

impl Line {
    fn new(program: &Arc<Program>, policies: &Arc<PolicySet>, mode: Mode) -> Line {
        Line::that_fails(program, policies, mode, Failure::Open)
    }

    fn that_fails(program: &Arc<Program>, policies: &Arc<PolicySet>, mode: Mode, on_failure: Failure) -> Line {
        let grammars = Arc::new(Grammars::new(vec![Arc::clone(program)]));
        let settings = GateSettings { mode, on_failure, ..GateSettings::default() };
        let gate = Gate::new(grammars, Arc::clone(policies), Settings::default(), settings);
        Line { gate, packets: 0, next: FIRST, arrived: Default::default(), resets: 0, told: Told::default() }
    }

    fn open(mut self) -> Line {
        self.segment(Direction::Up, TcpFlags::SYN, b"");
        self.segment(Direction::Down, TcpFlags::SYN | TcpFlags::ACK, b"");
        self.segment(Direction::Up, TcpFlags::ACK, b"");
        self
    }

    /// Says octets in pieces, which are cut at places that are given in turn.
    fn say(&mut self, direction: Direction, octets: &[u8], cuts: &[usize]) {
        let mut rest = octets;
        let mut cuts = cuts.iter().copied().cycle();
        while !rest.is_empty() {
            let length = cuts.next().unwrap_or(1_000).clamp(1, 1_000).min(rest.len());
            let (piece, behind) = rest.split_at(length);
            let before = self.arrived[direction.index()].len();
            self.segment(direction, TcpFlags::ACK | TcpFlags::PSH, piece);
            if self.arrived[direction.index()].len() > before {
                self.segment(direction.other(), TcpFlags::ACK, b"");
            }
            rest = behind;
        }
    }

    fn segment(&mut self, direction: Direction, flags: TcpFlags, payload: &[u8]) {
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let ends = [address("192.0.2.1:40000"), address("192.0.2.2:25")];
        let (me, other) = (direction.index(), direction.other().index());
        let acknowledges = flags.contains(TcpFlags::ACK);
        // What has arrived is acknowledged in the numbers that its receiver knows.
        let acknowledged = FIRST[other].wrapping_add(1).wrapping_add(self.arrived[other].len() as u32);
        let packet = TcpPacket {
            source: ends[me],
            destination: ends[other],
            sequence: SequenceNumber(self.next[me]),
            acknowledgement: SequenceNumber(if acknowledges { acknowledged } else { 0 }),
            flags,
            window: u16::MAX,
            options: &[],
            payload,
        };
        self.next[me] = self.next[me].wrapping_add(payload.len() as u32);
        self.next[me] = self.next[me].wrapping_add(u32::from(flags.contains(TcpFlags::SYN)));
        self.give(&packet.build().expect("it fits"));
    }

    fn give(&mut self, octets: &[u8]) {
        self.packets += 1;
        let time = Timestamp(self.packets as i64 * 1_000_000);
        let arriving = Arriving {
            number: self.packets,
            time,
            octets,
            original_length: octets.len(),
            checksum_ready: true,
            offloaded: false,
        };
        let mut own = Vec::new();
        match self.gate.packet(&arriving, &mut self.told, &mut own) {
            Fate::Accept | Fate::Bypass => self.arrives(octets),
            Fate::Replace(octets) => self.arrives(&octets),
            Fate::Drop => {}
        }
        self.gate.tick(time, &mut self.told, &mut own);
        own.iter().for_each(|packet| self.arrives(packet));
    }

    fn arrives(&mut self, octets: &[u8]) {
        let Network::Ip(ip) = decode(LinkType::RawIp, octets).network else { panic!("no packet") };
        let Transport::Tcp(segment) = ip.transport() else { panic!("no segment") };
        self.resets += usize::from(segment.flags.contains(TcpFlags::RST));
        let direction = if segment.destination_port == 25 { 0 } else { 1 };
        let first = FIRST[direction].wrapping_add(1);
        let at = segment.sequence.0.wrapping_sub(first) as usize;
        let arrived = &mut self.arrived[direction];
        if !segment.payload.is_empty() {
            assert!(at <= arrived.len(), "a hole");
            arrived.truncate(at);
            arrived.extend_from_slice(segment.payload);
        }
    }

    /// What has arrived in a direction since a number of octets had.
    fn since(&self, direction: Direction, before: usize) -> Vec<u8> {
        self.arrived[direction.index()].get(before..).expect("more than before").to_vec()
    }

    /// The server greets, and the client goes on to its mail.
    fn reach_the_mail(&mut self) {
        self.say(Direction::Down, b"220 mx ESMTP\r\n", &[]);
        for (said, answer) in [
            ("EHLO a\r\n", "250-mx\r\n250 SIZE\r\n"),
            ("MAIL FROM:<x@y>\r\n", "250 ok\r\n"),
            ("RCPT TO:<u@v>\r\n", "250 ok\r\n"),
            ("DATA\r\n", "354 go\r\n"),
        ] {
            self.say(Direction::Up, said.as_bytes(), &[]);
            self.say(Direction::Down, answer.as_bytes(), &[]);
        }
    }
}

/// What the engine reads in what a client says behind DATA: events of records, anomalies and the end of streams, and the
/// content.
fn read(program: &Program, said: &[u8]) -> (Vec<String>, Vec<u8>) {
    let mut dialogue = Dialogue::new(program, false, 0);
    let mut scratch = Scratch::default();
    let (mut events, mut content) = (Vec::new(), Vec::new());
    let mut take = |event: &Event<'_>| match event.kind {
        EventKind::StreamChunk if event.event_name() == "content.chunk" => content.extend_from_slice(event.data),
        EventKind::Record if event.direction == Direction::Up => {
            let octets = event.record.map_or(&b""[..], |record| record.octets);
            events.push(String::from_utf8_lossy(octets).into_owned());
        }
        EventKind::StreamEnd if event.event_name() == "content" => events.push(format!("content {}", event.complete)),
        EventKind::Anomaly(_) | EventKind::ParseError | EventKind::Fail => events.push(event.event_name().to_owned()),
        _ => {}
    };
    let mut say = |direction, octets: &[u8]| dialogue.octets(program, &mut scratch, direction, octets, 0, &mut take);
    say(Direction::Down, b"220 mx ESMTP\r\n");
    say(Direction::Up, b"EHLO a\r\n");
    say(Direction::Down, b"250 ok\r\n");
    for command in [&b"MAIL FROM:<x@y>\r\n"[..], b"RCPT TO:<u@v>\r\n"] {
        say(Direction::Up, command);
        say(Direction::Down, b"250 ok\r\n");
    }
    say(Direction::Up, b"DATA\r\n");
    say(Direction::Down, b"354 go\r\n");
    say(Direction::Up, said);
    say(Direction::Down, b"250 queued\r\n");
    say(Direction::Up, b"QUIT\r\n");
    (events.split_off(4), content)
}

/// Content with CR LF in the place of each CR or LF that stands alone.
fn with_whole_newlines(content: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    for (at, octet) in content.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| content.get(at));
        match octet {
            b'\n' if before != Some(&b'\r') => whole.extend_from_slice(b"\r\n"),
            b'\r' if content.get(at + 1) != Some(&b'\n') => whole.extend_from_slice(b"\r\n"),
            octet => whole.push(*octet),
        }
    }
    whole
}

const NEWLINES: &str = "rule newlines id 1 { on smtp.bare_lf, smtp.bare_cr  edit fix }";

/// Sends a mail whose newlines are put right; what arrives behind DATA.
fn put_right(program: &Arc<Program>, policies: &Arc<PolicySet>, mail: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut line = Line::new(program, policies, Mode::Enforce).open();
    line.reach_the_mail();
    let before = line.arrived[0].len();
    line.say(Direction::Up, mail, cuts);
    let arrived = line.since(Direction::Up, before);
    let counted = line.gate.statistics();
    assert_eq!(line.resets, 0, "{:?}", line.told.0);
    assert!(counted.reconcile() && counted.failed_edits == 0 && counted.refused_edits == 0, "{counted:?}");
    arrived
}

/// The beginning of octets, for messages.
fn shown(octets: &[u8]) -> String {
    octets.get(..200).unwrap_or(octets).escape_ascii().to_string()
}

/// What was judged leaves, with whole newlines: one mail, the same content, nothing odd.
fn check(program: &Arc<Program>, policies: &Arc<PolicySet>, mail: &[u8], cuts: &[usize]) {
    let arrived = put_right(program, policies, mail, cuts);
    let (events, content) = read(program, &arrived);
    assert_eq!(events, ["content true", "QUIT\r\n"], "{} became {}", shown(mail), shown(&arrived));
    let (_, judged) = read(program, mail);
    assert!(content == with_whole_newlines(&judged), "{} became {}", shown(mail), shown(&arrived));
}

#[test]
fn smuggled_mails_become_lines_of_the_one_that_was_judged() {
    let program = program();
    let policies = policies(&program, NEWLINES);
    let smuggled = "MAIL FROM:<evil@x>\r\nRCPT TO:<u@v>\r\nDATA\r\nbad\r\n";
    for end in
        ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\n.\r", "\r.\n", "\r\r\n.\n", "\n\r.\r\n"]
    {
        let mail = format!("Subject: x\r\n\r\na{end}{smuggled}.\r\n");
        for length in [1, 2, 3, 5, 1_000] {
            check(&program, &policies, mail.as_bytes(), &[length]);
        }
    }
    let arrived = put_right(&program, &policies, b"a\n.\nb\r\n.\r\n", &[1_000]);
    assert_eq!(arrived, b"a\r\n..\r\nb\r\n.\r\n");
}

#[test]
fn a_mail_of_nothing_but_newlines_is_put_right_within_the_bounds() {
    let program = program();
    let policies = policies(&program, NEWLINES);
    let mut mail = b"\n.".repeat(20_000);
    mail.extend_from_slice(b"\r\n.\r\n");
    check(&program, &policies, &mail, &[1_000]);
}

/// A server that acknowledges nothing, until more edits wait than may.
#[test]
fn an_edit_that_cannot_be_made_is_told_and_ends_the_connection_where_nothing_may_pass() {
    let program = program();
    let policies = policies(&program, NEWLINES);
    for (on_failure, resets) in [(Failure::Open, 0), (Failure::Closed, 2)] {
        let mut line = Line::that_fails(&program, &policies, Mode::Enforce, on_failure).open();
        line.reach_the_mail();
        for _ in 0..5_000 {
            line.segment(Direction::Up, TcpFlags::ACK, b"\n");
            if line.told.0.contains(&"edit_failed".to_owned()) {
                break;
            }
        }
        assert!(line.told.0.contains(&"edit_failed".to_owned()));
        assert_eq!(line.gate.statistics().failed_edits, 1);
        assert_eq!((line.resets, line.arrived[0].ends_with(b"\r\n")), (resets, on_failure == Failure::Closed));
    }
}

#[test]
fn a_rule_that_wants_one_kind_of_newline_leaves_the_other() {
    let program = program();
    let policies = policies(&program, "rule newlines id 1 { on smtp.bare_lf  edit fix }");
    for cut in [1, 2, 1_000] {
        let arrived = put_right(&program, &policies, b"a\rb\n.\n.\rc\r\n.\n\r\n.\r\n", &[cut]);
        assert_eq!(arrived.escape_ascii().to_string(), r"a\rb\r\n..\r\n..\rc\r\n\r\n\r\n.\r\n");
    }
}

#[test]
fn commands_are_put_right() {
    let program = program();
    let rules = "rule all id 1 {
        on   smtp.bare_lf, smtp.leading_blanks, smtp.odd_separator, smtp.trailing_text
        edit fix
    }";
    let policies = policies(&program, rules);
    for cut in 1..8 {
        let mut line = Line::new(&program, &policies, Mode::Enforce).open();
        line.say(Direction::Down, b"220 mx\n", &[cut]);
        for (said, becomes) in [
            (" \tEHLO a\n", "EHLO a\r\n"),
            ("MAIL \t FROM : <x@y> SIZE=3 \n", "MAIL FROM:<x@y> SIZE=3 \r\n"),
            ("RCPT TO:<u@v>\r\n", "RCPT TO:<u@v>\r\n"),
            (" RSET now  or never \r\n", "RSET\r\n"),
            ("QUIT\n", "QUIT\r\n"),
        ] {
            let before = line.arrived[0].len();
            line.say(Direction::Up, said.as_bytes(), &[cut]);
            assert_eq!(String::from_utf8(line.since(Direction::Up, before)).expect("text"), becomes);
            line.say(Direction::Down, b"250-a\n250 b\n", &[cut]);
        }
        let expected = format!("220 mx\r\n{}", "250-a\r\n250 b\r\n".repeat(5));
        assert_eq!(String::from_utf8(line.arrived[1].clone()).expect("text"), expected);
    }
}

#[test]
fn what_has_no_canonical_form_here_stays_and_is_told() {
    let program = program();
    let policies = policies(&program, NEWLINES);
    let mut line = Line::new(&program, &policies, Mode::Enforce).open();
    line.say(Direction::Down, b"220 mx\r\n", &[]);
    line.say(Direction::Up, b"EHLO a\rRSET\r\n", &[]);
    assert_eq!(line.arrived[0], b"EHLO a\rRSET\r\n");
    assert_eq!(line.told.0, ["1 edit_refused"]);
    assert_eq!(line.gate.statistics().refused_edits, 1);
}

const INSERTS: &str = r#"
    rule first   id 1 { on smtp.content.start                     edit insert "X-Seen: {client.address}\r\n.by us" at start }
    rule last    id 2 { on smtp.content                           edit insert "." at end }
    rule greets  id 3 { on smtp.reply when asked.verb == EHLO     edit insert "X-SEEN" after lines where text starts with "SIZE" }
    rule more    id 4 { on smtp.reply when asked.verb == EHLO     edit insert "X-MORE" after lines where text starts with "SIZE" }
    rule names   id 5 { on smtp.command when verb == EHLO         edit insert ".inside" after domain  edit insert " {domain}" at end }
    rule tells   id 6 { on smtp.reply when asked.verb == EHLO     edit insert "hello" before lines }
"#;

#[test]
fn text_is_put_in_wherever_octets_are_cut() {
    let program = program();
    let policies = policies(&program, INSERTS);
    let mail = b"Subject: hi\r\n\r\n..a\r\n.\r\n";
    for cut in 1..=mail.len() {
        let mut line = Line::new(&program, &policies, Mode::Enforce).open();
        line.reach_the_mail();
        assert_eq!(line.arrived[0].get(..24), Some(&b"EHLO a.inside a.inside\r\n"[..]), "{:?}", line.told.0);
        let greeted = b"250-hello\r\n250-mx\r\n250-SIZE\r\n250-X-SEEN\r\n250 X-MORE\r\n";
        assert_eq!(line.arrived[1].get(14..14 + greeted.len()), Some(&greeted[..]));
        let before = line.arrived[0].windows(6).position(|window| window == b"DATA\r\n").expect("DATA") + 6;
        line.say(Direction::Up, mail, &[cut, 1_000]);
        let arrived = line.since(Direction::Up, before);
        let expected = "X-Seen: 192.0.2.1\r\n..by us\r\nSubject: hi\r\n\r\n..a\r\n..\r\n.\r\n";
        assert_eq!(String::from_utf8(arrived).expect("text"), expected, "cut at {cut}");
        assert!(line.gate.statistics().reconcile());
        assert_eq!(line.gate.statistics().failed_edits, 0);
    }
}

#[test]
fn a_mail_without_a_line_gets_them_too() {
    let program = program();
    let policies = policies(&program, INSERTS);
    let mut line = Line::new(&program, &policies, Mode::Enforce).open();
    line.reach_the_mail();
    line.say(Direction::Up, b".\r\n", &[1]);
    assert!(line.arrived[0].ends_with(b"DATA\r\nX-Seen: 192.0.2.1\r\n..by us\r\n..\r\n.\r\n"), "{:?}", line.arrived[0]);
}

#[test]
fn a_value_that_would_break_a_line_is_not_put_in_and_that_is_told() {
    let program = program();
    let rules = r#"rule names id 7 { on smtp.command when verb == EHLO  edit insert " ({domain})" at end }"#;
    let policies = policies(&program, rules);
    let mut line = Line::new(&program, &policies, Mode::Enforce).open();
    line.say(Direction::Down, b"220 mx\r\n", &[]);
    line.say(Direction::Up, b"EHLO a\rQUIT\r\n", &[3]);
    line.say(Direction::Up, b"EHLO b\r\n", &[3]);
    assert_eq!(line.arrived[0], b"EHLO a\rQUIT\r\nEHLO b (b)\r\n");
    assert_eq!(line.told.0, ["7 edit_refused", "7 edited"]);
    let counted = line.gate.statistics();
    assert_eq!((counted.edits, counted.refused_edits, counted.failed_edits), (1, 1, 0));
}

#[test]
fn a_gate_that_observes_tells_what_it_would_have_edited() {
    let program = program();
    let policies = policies(&program, INSERTS);
    let mut line = Line::new(&program, &policies, Mode::Observe).open();
    line.reach_the_mail();
    line.say(Direction::Up, b"a\r\n.\r\n", &[]);
    assert!(line.arrived[0].ends_with(b"DATA\r\na\r\n.\r\n"));
    let told = ["5", "3", "4", "6", "1", "2"].map(|rule| format!("{rule} would_edit"));
    assert_eq!(line.told.0, told);
    assert_eq!(line.gate.statistics().edits, 0);
}

#[test]
fn a_connection_from_before_the_gate_is_told_to_be_beyond_it() {
    let program = program();
    let policies =
        policies(&program, r#"rule names id 8 { on smtp.command when verb == EHLO  edit insert " b" at end }"#);
    let mut line = Line::new(&program, &policies, Mode::Enforce);
    line.next = FIRST.map(|first| first + 1);
    line.segment(Direction::Down, TcpFlags::ACK, b"220 mx\r\n");
    line.say(Direction::Up, b"EHLO a\r\n", &[]);
    assert_eq!(line.arrived[0], b"EHLO a\r\n");
    assert_eq!(line.told.0, ["8 edit_failed"]);
    assert_eq!(line.gate.statistics().failed_edits, 1);
}

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(&b"\r\n"[..]),
        Just(&b"\n"[..]),
        Just(&b"\r"[..]),
        Just(&b"."[..]),
        Just(&b".."[..]),
        Just(&b"a"[..]),
        Just(&b"QUIT"[..]),
        Just(&b"\r\n."[..]),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Whether content has the end of data in it.
fn ends_early(content: &[u8]) -> bool {
    [b"\r\n", content].concat().windows(5).any(|window| window == b"\r\n.\r\n")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn newlines_that_are_put_right_end_nothing_and_lose_nothing(
        content in pieces(),
        cuts in proptest::collection::vec(1usize..9, 1..6),
    ) {
        let mail = [&content[..], b"\r\n.\r\n"].concat();
        prop_assume!(!ends_early(&mail[..mail.len() - 1]));
        let program = program();
        let policies = policies(&program, NEWLINES);
        check(&program, &policies, &mail, &cuts);
    }

    #[test]
    fn lines_that_are_put_in_are_lines_of_the_mail(
        content in pieces(),
        cuts in proptest::collection::vec(1usize..9, 1..6),
    ) {
        let mail = [&content[..], b"\r\n.\r\n"].concat();
        prop_assume!(!ends_early(&mail[..mail.len() - 1]));
        let program = program();
        let policies = policies(&program, &format!("{INSERTS}{}", NEWLINES.replace("id 1", "id 11")));
        let mut line = Line::new(&program, &policies, Mode::Enforce).open();
        line.reach_the_mail();
        let data = line.arrived[0].windows(6).position(|window| window == b"DATA\r\n").expect("DATA") + 6;
        line.say(Direction::Up, &mail, &cuts);
        let (events, arrived) = read(&program, &line.since(Direction::Up, data));
        prop_assert_eq!(events, ["content true", "QUIT\r\n"]);
        let (_, judged) = read(&program, &mail);
        let expected = [&b"X-Seen: 192.0.2.1\r\n.by us\r\n"[..], &with_whole_newlines(&judged), b".\r\n"].concat();
        prop_assert_eq!(arrived, expected);
        prop_assert_eq!(line.gate.statistics().failed_edits, 0);
    }
}
