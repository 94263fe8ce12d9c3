//! A client and a server with a gate between them, octet by octet and without a network: what the gate lets through and
//! sends itself arrives at once, and nothing is lost.
#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portcullis_engine::{
    Arriving, Fate, Flow, Gate, GateAction, GateSettings, Judgement, Output, PacketInfo, Settings,
};
use portcullis_grammar::Event;
use portcullis_lang::{Direction, EventId, Sources};
use portcullis_policy::{Action, PolicySet, no_files};
use portcullis_stream::{EndReason, FlowSummary, GapReason, StreamAnomaly};
use portcullis_wire::{
    LinkType, Network, SequenceNumber, TcpFlags, TcpPacket, Timestamp, Transport, WireAnomaly, decode,
};

use crate::grammars::shipped;

const CLIENT: &str = "192.0.2.1:40000";
const SERVER: &str = "192.0.2.2:25";
/// The number of the client's SYN.
pub const CLIENT_FIRST: u32 = 5_000;
/// The number of the server's SYN.
pub const SERVER_FIRST: u32 = 900_000;

/// What a gate has told.
#[derive(Debug, Default)]
pub struct Told {
    /// What it has done, in order.
    pub actions: Vec<GateAction>,
    /// Numbers of rules that have alerted, in order.
    pub alerts: Vec<u32>,
}

impl Output for Told {
    fn event(&mut self, _: &Flow, _: &PacketInfo<'_>, _: &Event<'_>) {}

    fn wants(&self, _: &Flow, _: EventId) -> bool {
        false
    }

    fn judgement(&mut self, _: &Flow, _: &PacketInfo<'_>, _: &Event<'_>, judgement: &Judgement<'_>) {
        if matches!(judgement.decision.action, Action::Alert { .. }) {
            self.alerts.push(judgement.decision.rule.id.0);
        }
    }

    fn flow_ended(&mut self, _: &Flow, _: &FlowSummary, _: EndReason, _: &PacketInfo<'_>) {}

    fn stream_anomaly(&mut self, _: &Flow, _: &PacketInfo<'_>, _: Direction, _: StreamAnomaly, _: u64) {}

    fn gap(&mut self, _: &Flow, _: &PacketInfo<'_>, _: Direction, _: u64, _: u64, _: GapReason) {}

    fn wire_anomaly(&mut self, _: &PacketInfo<'_>, _: WireAnomaly) {}

    fn wrong_checksum(&mut self, _: &PacketInfo<'_>) {}

    fn gate_action(&mut self, _: &Flow, _: &PacketInfo<'_>, action: GateAction) {
        self.actions.push(action);
    }
}

/// What a packet brought to a host: its place in the stream, and its octets.
type Payload = (u32, Vec<u8>);

/// Both hosts and the gate.
#[derive(Debug)]
pub struct Line {
    /// The gate.
    pub gate: Gate,
    /// What it has told.
    pub told: Told,
    now: i64,
    packets: u64,
    /// By direction: octets that its receiver has got.
    pub got: [Vec<u8>; 2],
    /// Packets that brought the server new octets, since it was last asked.
    pub at_server: Vec<Vec<u8>>,
    /// Resets that came to either.
    pub resets: usize,
}

impl Line {
    /// A connection that was just opened, with these policies; an empty text is none.
    ///
    /// # Panics
    ///
    /// If a policy is wrong.
    pub fn new(policy: &str, settings: Settings, gate: GateSettings) -> Line {
        let grammars = shipped().grammars;
        let mut sources = Sources::new();
        let file = sources.add("test.policy", policy);
        let compiled = PolicySet::compile(&sources, &[file], &grammars.schemes(), &mut no_files);
        let policies =
            compiled.unwrap_or_else(|found| panic!("{}", portcullis_lang::render_all(&found, &sources, false)));
        let gate = Gate::new(grammars, Arc::new(policies.policies), settings, gate);
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

    /// A side sends a packet.
    ///
    /// # Panics
    ///
    /// If it is none.
    pub fn packet(
        &mut self,
        direction: Direction,
        flags: TcpFlags,
        sequence: u32,
        acknowledgement: u32,
        options: &[u8],
        payload: &[u8],
    ) {
        let address = |text: &str| text.parse::<SocketAddr>().expect("in a test");
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
        let octets = packet.build().expect("in a test");
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

    /// Lets time pass.
    pub fn tick(&mut self, time: Duration) {
        self.now += i64::try_from(time.as_nanos()).expect("in a test");
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
    pub fn client(&mut self, stream: &[u8], from: usize, to: usize) {
        let acknowledged = SERVER_FIRST + 1 + self.got[1].len() as u32;
        let sequence = CLIENT_FIRST + 1 + from as u32;
        self.packet(Direction::Up, TcpFlags::ACK | TcpFlags::PSH, sequence, acknowledged, &[], &stream[from..to]);
    }

    /// The server says something, after what it has said.
    pub fn server(&mut self, said: &mut Vec<u8>, text: &[u8]) {
        let sequence = SERVER_FIRST + 1 + said.len() as u32;
        said.extend(text);
        let acknowledged = CLIENT_FIRST + 1 + self.got[0].len() as u32;
        self.packet(Direction::Down, TcpFlags::ACK | TcpFlags::PSH, sequence, acknowledged, &[], text);
    }
}
