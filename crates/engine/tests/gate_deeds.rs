//! What a gate has done about a packet is told to whoever asks about its flow, and to nobody else.
#![allow(clippy::expect_used)]

use std::sync::Arc;

use portcullis_engine::{
    Arriving, Deed, Explained, Fate, Flow, Gate, GateSettings, Grammars, Judgement, Mode, Output, PacketInfo, Settings,
};
use portcullis_grammar::Event;
use portcullis_lang::{Direction, EventId};
use portcullis_policy::PolicySet;
use portcullis_stream::{Change, EndReason, FlowSummary, GapReason, StreamAnomaly};
use portcullis_wire::{SequenceNumber, TcpFlags, TcpPacket, Timestamp, WireAnomaly};

#[derive(Default)]
struct Told {
    asks: Explained,
    deeds: Vec<(u64, Deed, Mode)>,
}

impl Output for Told {
    fn event(&mut self, _: &Flow, _: &PacketInfo<'_>, _: &Event<'_>) {}

    fn wants(&self, _: &Flow, _: EventId) -> bool {
        false
    }

    fn explains(&self, _: &Flow) -> Explained {
        self.asks
    }

    fn deed(&mut self, _: &Flow, packet: &PacketInfo<'_>, deed: Deed, mode: Mode) {
        self.deeds.push((packet.number, deed, mode));
    }

    fn judgement(&mut self, _: &Flow, _: &PacketInfo<'_>, _: &Event<'_>, _: &Judgement<'_>) {}

    fn flow_ended(&mut self, _: &Flow, _: &FlowSummary, _: EndReason, _: &PacketInfo<'_>) {}

    fn stream_anomaly(&mut self, _: &Flow, _: &PacketInfo<'_>, _: Direction, _: StreamAnomaly, _: u64) {}

    fn gap(&mut self, _: &Flow, _: &PacketInfo<'_>, _: Direction, _: u64, _: u64, _: GapReason) {}

    fn wire_anomaly(&mut self, _: &PacketInfo<'_>, _: WireAnomaly) {}

    fn wrong_checksum(&mut self, _: &PacketInfo<'_>) {}
}

/// A packet of the client.
fn packet(flags: TcpFlags, offset: u32, payload: &[u8]) -> Vec<u8> {
    let packet = TcpPacket {
        source: ([192, 0, 2, 1], 40000).into(),
        destination: ([192, 0, 2, 2], 25).into(),
        sequence: SequenceNumber(1000 + offset),
        acknowledgement: SequenceNumber(u32::from(flags.contains(TcpFlags::ACK))),
        flags,
        window: 1000,
        options: &[],
        payload,
    };
    packet.build().expect("it fits")
}

/// Sends what a client may say in three ways: as it should be, with other octets in the same place, with odd flags.
fn conversation(mode: Mode, asks: Explained) -> (Vec<Fate>, Told) {
    let (grammars, policies) = (Arc::new(Grammars::default()), Arc::new(PolicySet::default()));
    let settings = GateSettings { mode, ..GateSettings::default() };
    let mut gate = Gate::new(grammars, policies, Settings::default(), settings);
    let mut told = Told { asks, ..Told::default() };
    let mut fates = Vec::new();
    let said = [
        packet(TcpFlags::SYN, 0, b""),
        packet(TcpFlags::ACK, 1, b"NOOP\r\n"),
        packet(TcpFlags::ACK, 1, b"QUIT\r\n"),
        packet(TcpFlags::SYN | TcpFlags::FIN, 1, b""),
    ];
    for (number, octets) in (1..).zip(&said) {
        let arriving = Arriving {
            number,
            time: Timestamp(number as i64),
            octets,
            original_length: octets.len(),
            checksum_ready: true,
            offloaded: false,
        };
        fates.push(gate.packet(&arriving, &mut told, &mut Vec::new()));
    }
    (fates, told)
}

#[test]
fn changes_and_drops_are_told_to_whoever_asks() {
    for asks in [Explained::Everything, Explained::Decisions] {
        let (fates, told) = conversation(Mode::Enforce, asks);
        assert_eq!(fates[..2], [Fate::Accept, Fate::Accept]);
        assert!(matches!(fates[2], Fate::Replace(_)) && fates[3] == Fate::Drop, "{fates:?}");
        let [(3, Deed::Changed(changes), Mode::Enforce), (4, Deed::Dropped(_), Mode::Enforce)] = told.deeds[..] else {
            panic!("{:?}", told.deeds)
        };
        assert!(changes.contains(Change::Overlap));
    }
    let (_, told) = conversation(Mode::Enforce, Explained::Nothing);
    assert!(told.deeds.is_empty(), "{:?}", told.deeds);
}

#[test]
fn a_gate_that_observes_says_that_it_only_would_have() {
    let (fates, told) = conversation(Mode::Observe, Explained::Everything);
    assert_eq!(fates, [Fate::Accept, Fate::Accept, Fate::Accept, Fate::Accept]);
    assert!(told.deeds.len() == 2 && told.deeds.iter().all(|(_, _, mode)| *mode == Mode::Observe), "{:?}", told.deeds);
}
