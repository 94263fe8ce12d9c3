//! A gate in memory, and connections through it packet by packet: no network, and no clock but that of the test.
//!
//! ```no_run
//! use portcullis_engine::Fate;
//! use portcullis_lang::Direction::{Down, Up};
//! use portcullis_tests::passage::{Connection, Passage};
//!
//! let mut passage = Passage::new("use smtp\npolicy p for smtp { }");
//! let mut connection = Connection::new(1);
//! passage.open(&mut connection);
//! assert_eq!(passage.say(&mut connection, Down, b"220 mx\r\n"), Fate::Accept);
//! ```
#![allow(clippy::expect_used, clippy::panic, reason = "a test without its policy is over")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use portcullis_engine::{
    Arriving, Bound, EditOutcome, Fate, Flow, Gate, GateAction, GateSettings, Grammars, Judgement, Mode, Output,
    PacketInfo, Settings, WhenMet,
};
use portcullis_grammar::Event;
use portcullis_lang::{Direction, EventId, EventKind, Sources, render_all};
use portcullis_policy::{Action, ListRequest, PolicySet, RuleInfo};
use portcullis_stream::{EndReason, FlowSummary, GapReason, StreamAnomaly};
use portcullis_wire::{SequenceNumber, TcpFlags, TcpPacket, Timestamp, WireAnomaly};

use crate::grammars::shipped;

/// A gate in memory.
#[derive(Debug)]
pub struct Passage {
    /// The gate.
    pub gate: Gate,
    /// What it told.
    pub told: Told,
    /// Packets of the gate's own that nobody has taken yet.
    pub sent: Vec<Vec<u8>>,
    /// The time of the last packet.
    pub now: Timestamp,
    packets: u64,
}

/// What a gate told.
#[derive(Debug, Default)]
pub struct Told {
    /// Numbers of rules that alerted, in order.
    pub alerts: Vec<u32>,
    /// Mails that came to their end.
    pub mails: u64,
    /// What the gate did about flows.
    pub actions: Vec<GateAction>,
    /// What became of edits that rules have decided on.
    pub edits: Vec<&'static str>,
    /// Blocks that gave way to others.
    pub displaced: u64,
    /// Flows that began while an address of them was blocked.
    pub blocked: u64,
    /// Octets that were missing.
    pub gaps: u64,
    /// Bounds that ended the inspection of a flow.
    pub limits: Vec<Bound>,
    /// Flows that ended.
    pub ended: u64,
    /// Of these, flows that gave way to others.
    pub evicted: u64,
}

impl Passage {
    /// A gate with the shipped grammars, a policy and the limits that are usual, that enforces.
    pub fn new(policy: &str) -> Passage {
        Passage::with(policy, Settings::default(), GateSettings { mode: Mode::Enforce, ..GateSettings::default() })
    }

    /// The same with settings.
    pub fn with(policy: &str, settings: Settings, gate: GateSettings) -> Passage {
        let gate = Gate::new(grammars(), policies(policy), settings, gate);
        let now = Timestamp::from_seconds(1_800_000_000);
        Passage { gate, told: Told::default(), sent: Vec::new(), now, packets: 0 }
    }

    /// A packet, from its IP header on, comes 1 µs after the one before.
    pub fn put(&mut self, octets: &[u8]) -> Fate {
        self.packets += 1;
        self.now = Timestamp(self.now.0 + 1_000);
        let arriving = Arriving {
            number: self.packets,
            time: self.now,
            octets,
            original_length: octets.len(),
            checksum_ready: true,
            offloaded: false,
        };
        self.gate.packet(&arriving, &mut self.told, &mut self.sent)
    }

    /// Both sides shake hands.
    pub fn open(&mut self, connection: &mut Connection) {
        for packet in connection.handshake() {
            self.put(&packet);
        }
    }

    /// A side says something.
    pub fn say(&mut self, connection: &mut Connection, direction: Direction, octets: &[u8]) -> Fate {
        let packet = connection.say(direction, octets);
        self.put(&packet)
    }

    /// A client comes so far that it may send its mail: what the gate said to its commands that name sender and recipient.
    pub fn begin_mail(&mut self, connection: &mut Connection, sender: &str) -> [Fate; 2] {
        use Direction::{Down, Up};

        let mail = self.say(connection, Up, format!("MAIL FROM:<{sender}>\r\n").as_bytes());
        if mail != Fate::Accept {
            return [mail, Fate::Drop];
        }
        self.say(connection, Down, b"250 ok\r\n");
        let recipient = self.say(connection, Up, b"RCPT TO:<b@inside.test>\r\n");
        self.say(connection, Down, b"250 ok\r\n");
        self.say(connection, Up, b"DATA\r\n");
        self.say(connection, Down, b"354 go\r\n");
        [mail, recipient]
    }

    /// Client and server greet each other.
    pub fn greet(&mut self, connection: &mut Connection) {
        self.open(connection);
        self.say(connection, Direction::Down, b"220 mx ESMTP\r\n");
        self.say(connection, Direction::Up, b"EHLO client\r\n");
        self.say(connection, Direction::Down, b"250 mx\r\n");
    }

    /// Time passes, in which the gate is asked every 100 ms.
    pub fn wait(&mut self, time: Duration) {
        let end = self.now.saturating_add(time);
        while self.now < end {
            self.now = self.now.saturating_add(Duration::from_millis(100));
            self.gate.tick(self.now, &mut self.told, &mut self.sent);
        }
    }

    /// Other rules.
    pub fn replace_rules(&mut self, policy: &str) {
        self.gate.replace_rules(grammars(), policies(policy));
    }

    /// All flows end.
    pub fn finish(&mut self) {
        self.gate.finish(&mut self.told, &mut self.sent);
    }
}

/// A connection through the gate, of which both sides count.
#[derive(Clone, Debug)]
pub struct Connection {
    client: SocketAddr,
    server: SocketAddr,
    /// By direction: the number of the next octet, and where its sequence numbers began.
    next: [u32; 2],
}

impl Connection {
    /// That of a client with a number, which becomes its address, to port 25.
    pub fn new(client: u32) -> Connection {
        Connection::from_port(client, 40_000)
    }

    /// The same from another port.
    pub fn from_port(client: u32, port: u16) -> Connection {
        let client = (Ipv4Addr::from_bits(0x0a00_0000 | client), port).into();
        Connection { client, server: ([192, 0, 2, 2], 25).into(), next: [1_000, 2_000] }
    }

    /// SYN, SYN-ACK and ACK.
    pub fn handshake(&mut self) -> [Vec<u8>; 3] {
        let syn = self.packet(Direction::Up, TcpFlags::SYN, 0, b"");
        self.next[0] += 1;
        let answer = self.packet(Direction::Down, TcpFlags::SYN | TcpFlags::ACK, 0, b"");
        self.next[1] += 1;
        [syn, answer, self.packet(Direction::Up, TcpFlags::ACK, 0, b"")]
    }

    /// A packet in which a side says something.
    pub fn say(&mut self, direction: Direction, octets: &[u8]) -> Vec<u8> {
        let packet = self.packet(direction, TcpFlags::ACK | TcpFlags::PSH, 0, octets);
        self.next[direction.index()] = self.next[direction.index()].wrapping_add(octets.len() as u32);
        packet
    }

    /// A packet that says something so many octets behind what was said.
    pub fn ahead(&self, direction: Direction, octets: u32, payload: &[u8]) -> Vec<u8> {
        self.packet(direction, TcpFlags::ACK, octets, payload)
    }

    fn packet(&self, direction: Direction, flags: TcpFlags, ahead: u32, payload: &[u8]) -> Vec<u8> {
        let (source, destination) = match direction {
            Direction::Up => (self.client, self.server),
            Direction::Down => (self.server, self.client),
        };
        let [own, other] = [direction, direction.other()].map(|direction| self.next[direction.index()]);
        let packet = TcpPacket {
            source,
            destination,
            sequence: SequenceNumber(own.wrapping_add(ahead)),
            acknowledgement: SequenceNumber(if flags.contains(TcpFlags::ACK) { other } else { 0 }),
            flags,
            window: 60_000,
            options: &[],
            payload,
        };
        packet.build().expect("it fits")
    }
}

fn grammars() -> Arc<Grammars> {
    static GRAMMARS: OnceLock<Arc<Grammars>> = OnceLock::new();
    Arc::clone(GRAMMARS.get_or_init(|| shipped().grammars))
}

/// Compiles a policy without lists for the shipped grammars.
fn policies(text: &str) -> Arc<PolicySet> {
    let mut sources = Sources::new();
    let file = sources.add("test.policy", text);
    let mut lists = |_: &ListRequest<'_>| Err("there are no lists".to_owned());
    match PolicySet::compile(&sources, &[file], &grammars().schemes(), &mut lists) {
        Ok(compiled) => Arc::new(compiled.policies),
        Err(diagnostics) => panic!("{}", render_all(&diagnostics, &sources, false)),
    }
}

impl Output for Told {
    fn event(&mut self, _: &Flow, _: &PacketInfo<'_>, event: &Event<'_>) {
        self.mails += u64::from(event.event_name() == "mail" && event.kind == EventKind::StreamEnd);
    }

    fn wants(&self, _: &Flow, _: EventId) -> bool {
        true
    }

    fn judgement(&mut self, _: &Flow, _: &PacketInfo<'_>, _: &Event<'_>, judgement: &Judgement<'_>) {
        if matches!(judgement.decision.action, Action::Alert { .. }) {
            self.alerts.push(judgement.decision.rule.id.0);
        }
    }

    fn edited(&mut self, _: &Flow, _: &PacketInfo<'_>, _: &Arc<RuleInfo>, outcome: EditOutcome) {
        self.edits.push(outcome.name());
    }

    fn flow_blocked(&mut self, _: &Flow, _: &PacketInfo<'_>, _: &RuleInfo) {
        self.blocked += 1;
    }

    fn block_displaced(&mut self, _: &Flow, _: &PacketInfo<'_>) {
        self.displaced += 1;
    }

    fn flow_ended(&mut self, _: &Flow, _: &FlowSummary, reason: EndReason, _: &PacketInfo<'_>) {
        self.ended += 1;
        self.evicted += u64::from(reason == EndReason::Evicted);
    }

    fn stream_anomaly(&mut self, _: &Flow, _: &PacketInfo<'_>, _: Direction, _: StreamAnomaly, _: u64) {}

    fn gap(&mut self, _: &Flow, _: &PacketInfo<'_>, _: Direction, _: u64, length: u64, _: GapReason) {
        self.gaps += length;
    }

    fn wire_anomaly(&mut self, _: &PacketInfo<'_>, _: WireAnomaly) {}

    fn gate_action(&mut self, _: &Flow, _: &PacketInfo<'_>, action: GateAction) {
        self.actions.push(action);
    }

    fn wrong_checksum(&mut self, _: &PacketInfo<'_>) {}

    fn limit(&mut self, _: &Flow, _: &PacketInfo<'_>, bound: Bound, _: WhenMet) {
        self.limits.push(bound);
    }
}
