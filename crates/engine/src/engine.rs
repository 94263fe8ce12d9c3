//! The way of a packet.

use std::sync::Arc;

use portcullis_grammar::{Dialogue, Program, Scratch};
use portcullis_lang::Direction;
use portcullis_policy::{Decision, PolicySet, ProtocolId};
use portcullis_stream::{
    Envelope, FlowId, FlowTable, GapReason, Limits, Protocol, Reassembly, StreamEventKind, StreamEvents,
};
use portcullis_wire::{
    AnomalySet, Defragmenter, FragmentLimits, FragmentOutcome, IpPacket, LinkType, Network, TcpSegment, Timestamp,
    Transport, WireAnomaly, decode,
};
use smallvec::SmallVec;

use crate::doubtful::{set_aside, settle};
use crate::flow::{Connection, Conversation, Flow, Inspection, Tracked, Verdict};
use crate::grammars::Grammars;
use crate::inspect::Judge;
use crate::limits::EngineLimits;
use crate::output::{Output, PacketInfo};
use crate::recognise::recognise;
use crate::rules::{Memories, Rules};
use crate::statistics::Statistics;

/// How an engine is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bounds and timeouts of flows and streams.
    pub streams: Limits,
    /// Bounds and timeouts of fragments.
    pub fragments: FragmentLimits,
    /// Bounds of the engine itself.
    pub engine: EngineLimits,
    /// Whether flows whose beginning was not seen are followed.
    pub midstream: bool,
    /// Whose reading of overlapping segments is inspected.
    pub reassembly: Reassembly,
    /// Whether protocols are recognised on ports that no grammar names.
    pub recognise: bool,
    /// Whether rules only say what they would do.
    pub observe: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            streams: Limits::default(),
            fragments: FragmentLimits::default(),
            engine: EngineLimits::default(),
            midstream: true,
            reassembly: Reassembly::default(),
            recognise: true,
            observe: false,
        }
    }
}

/// Takes packets and gives what happened.
#[derive(Debug)]
pub struct Engine {
    /// What flows that begin now are read and judged by.
    rules: Arc<Rules>,
    pub(crate) settings: Settings,
    pub(crate) table: FlowTable,
    fragments: Defragmenter,
    /// By slot of the flow table.
    pub(crate) flows: Vec<Option<Box<Tracked>>>,
    /// Whether any flow has had a segment set aside: without one, nothing has to be looked up for them.
    doubts: bool,
    pub(crate) work: Work,
}

/// What is used again for every packet.
#[derive(Debug, Default)]
pub(crate) struct Work {
    scratch: Scratch,
    memories: Memories,
    decisions: Vec<Decision>,
    pub(crate) statistics: Statistics,
}

impl Engine {
    /// An engine without flows. The policies have to be compiled against the schemes of these grammars.
    pub fn new(grammars: Arc<Grammars>, policies: Arc<PolicySet>, settings: Settings) -> Engine {
        let table = FlowTable::new(settings.streams.clone(), None)
            .with_services(grammars.services())
            .with_midstream(settings.midstream)
            .with_reassembly(settings.reassembly);
        let rules = Arc::new(Rules { grammars, policies, generation: 0 });
        let mut work = Work::default();
        work.memories.begin(&rules);
        Engine {
            fragments: Defragmenter::new(settings.fragments.clone(), None),
            rules,
            settings,
            table,
            flows: Vec::new(),
            doubts: false,
            work,
        }
    }

    /// Takes other grammars and policies, for flows that begin from now on: the others keep those they began with.
    ///
    /// What rules have counted (`after`, `at most`) begins anew. Flows that are joined in the middle are told apart by the
    /// ports of the first grammars.
    pub fn replace_rules(&mut self, grammars: Arc<Grammars>, policies: Arc<PolicySet>) {
        let generation = self.rules.generation.wrapping_add(1);
        self.rules = Arc::new(Rules { grammars, policies, generation });
        self.work.memories.begin(&self.rules);
    }

    /// What flows that begin now are read and judged by.
    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// Takes a packet. `number`: its number in the capture, from 1; `original_length`: its octets on the wire, of which
    /// `data` may be the first ones only.
    pub fn packet(
        &mut self,
        number: u64,
        time: Timestamp,
        link: LinkType,
        data: &[u8],
        original_length: u32,
        output: &mut dyn Output,
    ) {
        let statistics = &mut self.work.statistics;
        statistics.packets += 1;
        statistics.octets += data.len() as u64;
        statistics.cut_octets += u64::from(original_length).saturating_sub(data.len() as u64);
        let decoded = decode(link, data);
        statistics.vlan += u64::from(!decoded.vlans.as_slice().is_empty());
        let packet = PacketInfo { number, time, vlans: decoded.vlans.as_slice(), link, data };
        report_wire(output, &packet, decoded.anomalies);
        match &decoded.network {
            Network::Ip(ip) if ip.fragment.is_some() => self.fragment(ip, decoded.vlans.outer(), &packet, output),
            Network::Ip(ip) => self.ip(ip, decoded.vlans.outer(), &packet, output),
            Network::Arp | Network::None | Network::Other(_) => self.work.statistics.other += 1,
        }
    }

    /// Ends all flows at the end of the input.
    pub fn finish(&mut self, output: &mut dyn Output) {
        let mut abandoned = Vec::new();
        self.fragments.finish(&mut abandoned);
        let packet = PacketInfo { number: 0, time: Timestamp::MIN, vlans: &[], link: LinkType::RawIp, data: &[] };
        self.work.statistics.abandoned += abandoned.len() as u64;
        for datagram in &abandoned {
            output.wire_anomaly(&PacketInfo { time: datagram.first, ..packet }, datagram.anomaly);
        }
        let mut events = StreamEvents::new();
        self.table.finish(&mut events);
        self.take_events(events, &packet, output);
    }

    /// What was counted.
    pub fn statistics(&self) -> &Statistics {
        &self.work.statistics
    }

    /// Flows at the moment.
    pub fn flows(&self) -> usize {
        self.table.len()
    }

    /// Octets held in buffers of streams at the moment.
    pub fn memory(&self) -> usize {
        self.table.memory()
    }

    fn fragment(&mut self, ip: &IpPacket<'_>, vlan: u16, packet: &PacketInfo<'_>, output: &mut dyn Output) {
        self.work.statistics.fragments += 1;
        let mut abandoned = Vec::new();
        let result = self.fragments.insert(packet.time, vlan, ip, &mut abandoned);
        self.work.statistics.abandoned += abandoned.len() as u64;
        for datagram in &abandoned {
            output.wire_anomaly(packet, datagram.anomaly);
        }
        report_wire(output, packet, result.anomalies);
        match result.outcome {
            FragmentOutcome::Complete(whole) => {
                self.work.statistics.reassembled += 1;
                let decoded = whole.decode();
                report_wire(output, packet, decoded.anomalies);
                if let Network::Ip(ip) = &decoded.network {
                    self.ip(ip, vlan, packet, output);
                }
            }
            FragmentOutcome::Whole => self.ip(ip, vlan, packet, output),
            FragmentOutcome::Discarded | FragmentOutcome::Duplicate | FragmentOutcome::Held => {}
        }
    }

    fn ip(&mut self, ip: &IpPacket<'_>, vlan: u16, packet: &PacketInfo<'_>, output: &mut dyn Output) {
        let statistics = &mut self.work.statistics;
        match ip.source.is_ipv4() {
            true => statistics.ipv4 += 1,
            false => statistics.ipv6 += 1,
        }
        let envelope = Envelope::new(packet.time, vlan, ip);
        let mut events = StreamEvents::new();
        match ip.transport() {
            Transport::Tcp(segment) => {
                statistics.tcp += 1;
                report_wire(output, packet, segment.anomalies());
                self.tcp(ip, &envelope, &segment, packet, output);
            }
            Transport::Udp(datagram) => {
                statistics.udp += 1;
                let right = ip.verify_header().is_acceptable() && ip.verify_transport().is_acceptable();
                let ports = (datagram.source_port, datagram.destination_port);
                if !right && self.verified_sender(Protocol::Udp, &envelope, ports).is_some() {
                    self.wrong_checksum(packet, output);
                    return;
                }
                self.work.statistics.unverified_checksum += u64::from(!right);
                let id = self.table.udp(&envelope, &datagram, &mut events);
                self.take_events(events, packet, output);
                self.verified(id, (ip.source, datagram.source_port), right);
            }
            Transport::Icmp(_) if ip.source.is_ipv4() => statistics.icmp += 1,
            Transport::Icmp(_) => statistics.icmp_v6 += 1,
            Transport::Other(_) | Transport::Fragment => statistics.other += 1,
            Transport::Malformed(anomaly) => {
                statistics.malformed += 1;
                output.wire_anomaly(packet, anomaly);
            }
        }
    }

    pub(crate) fn wrong_checksum(&mut self, packet: &PacketInfo<'_>, output: &mut dyn Output) {
        self.work.statistics.wrong_checksum += 1;
        output.wrong_checksum(packet);
    }

    fn tcp(
        &mut self,
        ip: &IpPacket<'_>,
        envelope: &Envelope,
        segment: &TcpSegment<'_>,
        packet: &PacketInfo<'_>,
        output: &mut dyn Output,
    ) {
        let ports = (segment.source_port, segment.destination_port);
        let right = ip.verify_header().is_acceptable() && ip.verify_transport().is_acceptable();
        if !right {
            if let Some((id, direction)) = self.verified_sender(Protocol::Tcp, envelope, ports) {
                if let Some(tracked) = self.flows.get_mut(id.slot()).and_then(Option::as_mut) {
                    set_aside(&mut tracked.doubtful, direction, envelope, segment, ip.payload);
                    self.doubts = true;
                }
                self.wrong_checksum(packet, output);
                return;
            }
            self.work.statistics.unverified_checksum += 1;
        } else if self.doubts {
            self.settle_doubts(envelope, segment, packet, output);
        }
        let mut events = StreamEvents::new();
        let id = self.table.tcp(envelope, segment, &mut events);
        self.work.statistics.strays += u64::from(id.is_none());
        self.take_events(events, packet, output);
        self.verified(id, (ip.source, segment.source_port), right);
    }

    /// Takes the segments with a wrong checksum that this one shows to have been received.
    fn settle_doubts(
        &mut self,
        envelope: &Envelope,
        segment: &TcpSegment<'_>,
        packet: &PacketInfo<'_>,
        output: &mut dyn Output,
    ) {
        let found = self.table.find_flow(Protocol::Tcp, envelope, segment.source_port, segment.destination_port);
        let Some((id, direction)) = found else { return };
        let Some(tracked) = self.flows.get_mut(id.slot()).and_then(Option::as_mut) else { return };
        if tracked.doubtful.is_empty() {
            return;
        }
        for taken in settle(&mut tracked.doubtful, direction, segment) {
            self.work.statistics.unverified_checksum += 1;
            if let Ok(segment) = TcpSegment::parse(&taken.octets) {
                let mut events = StreamEvents::new();
                // The table's clock does not run backwards: it counts as arriving now.
                let envelope = Envelope { time: packet.time, ..taken.envelope };
                self.table.tcp(&envelope, &segment, &mut events);
                self.take_events(events, packet, output);
            }
        }
    }

    /// The flow of a packet with a wrong checksum, if its sender has shown in that flow that the capture has right ones.
    /// If it has not, the capture was made where checksums are not yet (or no longer) right, and they say nothing.
    fn verified_sender(
        &self,
        protocol: Protocol,
        envelope: &Envelope,
        ports: (u16, u16),
    ) -> Option<(FlowId, Direction)> {
        let (id, direction) = self.table.find_flow(protocol, envelope, ports.0, ports.1)?;
        let tracked = self.flows.get(id.slot()).and_then(Option::as_ref)?;
        tracked.verified.get(direction.index()).copied().unwrap_or(false).then_some((id, direction))
    }

    fn verified(&mut self, id: Option<FlowId>, sender: (std::net::IpAddr, u16), right: bool) {
        if !right {
            return;
        }
        let tracked = id.and_then(|id| self.flows.get_mut(id.slot())).and_then(Option::as_mut);
        if let Some(tracked) = tracked {
            let client = tracked.flow.key.client;
            let direction = if (client.ip(), client.port()) == sender { Direction::Up } else { Direction::Down };
            if let Some(entry) = tracked.verified.get_mut(direction.index()) {
                *entry = true;
            }
        }
    }

    pub(crate) fn take_events(&mut self, events: StreamEvents<'_>, packet: &PacketInfo<'_>, output: &mut dyn Output) {
        for event in events {
            match event.kind {
                StreamEventKind::Started { key, start, midstream } => {
                    self.start(event.flow, key, start, midstream, packet, output);
                }
                StreamEventKind::Ended { reason, summary } => {
                    let Some(mut tracked) = self.flows.get_mut(event.flow.slot()).and_then(Option::take) else {
                        continue;
                    };
                    let time = summary.statistics.last;
                    let at_end = PacketInfo { time, ..*packet };
                    self.converse(&mut tracked, &at_end, output, |dialogue, program, scratch, judge| {
                        dialogue.close(program, scratch, judge);
                    });
                    output.flow_ended(&tracked.flow, &summary, reason, &at_end);
                }
                kind => {
                    let Some(mut tracked) = self.flows.get_mut(event.flow.slot()).and_then(Option::take) else {
                        continue;
                    };
                    self.take_event(&mut tracked, kind, packet, output);
                    if let Some(slot) = self.flows.get_mut(event.flow.slot()) {
                        *slot = Some(tracked);
                    }
                }
            }
        }
    }

    /// What is kept of a flow that has not ended.
    pub(crate) fn tracked_mut(&mut self, id: FlowId) -> Option<&mut Tracked> {
        self.flows.get_mut(id.slot())?.as_deref_mut().filter(|tracked| tracked.flow.id == id)
    }

    fn start(
        &mut self,
        id: FlowId,
        key: portcullis_stream::FlowKey,
        start: Timestamp,
        midstream: bool,
        packet: &PacketInfo<'_>,
        output: &mut dyn Output,
    ) {
        let statistics = &mut self.work.statistics;
        statistics.flows += 1;
        statistics.midstream_flows += u64::from(midstream);
        let protocol = self.rules.grammars.on_port(key.protocol, key.server.port());
        let flow = Flow {
            id,
            key,
            start,
            midstream,
            protocol: None,
            protocol_name: "",
            generation: self.rules.generation,
            verdict: Verdict::Accept,
            alerts: 0,
        };
        let mut tracked = Box::new(Tracked {
            flow,
            inspection: Inspection::None,
            verified: [false; 2],
            doubtful: Vec::new(),
            gate: None,
        });
        match protocol {
            Some(protocol) => self.inspect(&mut tracked, protocol, start),
            None if self.settings.recognise && key.protocol == Protocol::Tcp && !midstream => {
                tracked.inspection = Inspection::Undecided(Vec::new());
            }
            None => {}
        }
        output.flow_started(&tracked.flow, packet);
        let slot = id.slot();
        if self.flows.len() <= slot {
            self.flows.resize_with(slot.saturating_add(1), || None);
        }
        if let Some(entry) = self.flows.get_mut(slot) {
            *entry = Some(tracked);
        }
    }

    /// Begins to inspect a flow.
    fn inspect(&mut self, tracked: &mut Tracked, protocol: ProtocolId, now: Timestamp) {
        let rules = Arc::clone(&self.rules);
        let Some(program) = rules.grammars.program(protocol) else { return };
        self.work.statistics.inspected_flows += 1;
        tracked.flow.protocol = Some(protocol);
        tracked.flow.protocol_name = rules.grammars.name(protocol);
        tracked.flow.generation = rules.generation;
        let connection = Connection { key: &tracked.flow.key, protocol: tracked.flow.protocol_name };
        let applicable = rules.policies.applicable(protocol, &connection);
        let midstream = tracked.flow.midstream && tracked.flow.key.protocol == Protocol::Tcp;
        let dialogue = Dialogue::new(program, midstream, now.0);
        tracked.inspection = Inspection::Dialogue(Box::new(Conversation { dialogue, applicable, rules }));
    }

    fn take_event(
        &mut self,
        tracked: &mut Tracked,
        kind: StreamEventKind<'_>,
        packet: &PacketInfo<'_>,
        output: &mut dyn Output,
    ) {
        let now = packet.time.0;
        match kind {
            StreamEventKind::Data { direction, bytes, .. } => {
                if let Inspection::Undecided(server) = &mut tracked.inspection {
                    if !self.decide(server, direction, &bytes) {
                        return;
                    }
                    self.take_recognised(tracked, &bytes, packet, output);
                    return;
                }
                self.work.statistics.inspected_octets += bytes.len() as u64;
                self.converse(tracked, packet, output, |dialogue, program, scratch, judge| {
                    dialogue.tick(program, scratch, now, judge);
                    dialogue.octets(program, scratch, direction, &bytes, now, judge);
                });
            }
            StreamEventKind::Datagram { direction, bytes, missing } => {
                if missing > 0 {
                    // A part of a record is none; what was not inspected is told.
                    let length = u64::from(missing);
                    self.work.statistics.gaps += 1;
                    self.work.statistics.gap_octets += length;
                    let offset = bytes.len() as u64;
                    output.gap(&tracked.flow, packet, direction, offset, length, GapReason::Cut);
                    return;
                }
                self.work.statistics.inspected_octets += bytes.len() as u64;
                self.converse(tracked, packet, output, |dialogue, program, scratch, judge| {
                    dialogue.tick(program, scratch, now, judge);
                    dialogue.datagram(program, scratch, direction, bytes, now, judge);
                });
            }
            StreamEventKind::Gap { direction, offset, length, reason } => {
                self.work.statistics.gaps += 1;
                self.work.statistics.gap_octets += length;
                output.gap(&tracked.flow, packet, direction, offset, length, reason);
                if matches!(tracked.inspection, Inspection::Undecided(_)) {
                    tracked.inspection = Inspection::None;
                }
                self.converse(tracked, packet, output, |dialogue, program, scratch, judge| {
                    dialogue.gap(program, scratch, direction, length, judge);
                });
            }
            StreamEventKind::Finished { direction } => {
                self.converse(tracked, packet, output, |dialogue, program, scratch, judge| {
                    dialogue.end(program, scratch, direction, judge);
                });
            }
            StreamEventKind::Anomaly { direction, kind, offset } => {
                output.stream_anomaly(&tracked.flow, packet, direction, kind, offset);
            }
            _ => {}
        }
    }

    /// Takes octets of a flow whose protocol is not known; gives whether the client has spoken, which decides.
    fn decide(&self, server: &mut Vec<u8>, direction: Direction, bytes: &[u8]) -> bool {
        if direction == Direction::Down {
            let room = self.settings.engine.recognise_octets.saturating_sub(server.len());
            server.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
        }
        direction == Direction::Up || server.len() >= self.settings.engine.recognise_octets
    }

    fn take_recognised(
        &mut self,
        tracked: &mut Tracked,
        bytes: &[u8],
        packet: &PacketInfo<'_>,
        output: &mut dyn Output,
    ) {
        let Inspection::Undecided(server) = std::mem::replace(&mut tracked.inspection, Inspection::None) else {
            return;
        };
        if server.len() >= self.settings.engine.recognise_octets {
            return;
        }
        let Some(protocol) = recognise(&self.rules.grammars, &server, bytes) else { return };
        self.inspect(tracked, protocol, packet.time);
        let now = packet.time.0;
        self.work.statistics.inspected_octets += (server.len() + bytes.len()) as u64;
        self.converse(tracked, packet, output, |dialogue, program, scratch, judge| {
            dialogue.octets(program, scratch, Direction::Down, &server, now, judge);
            dialogue.octets(program, scratch, Direction::Up, bytes, now, judge);
        });
    }

    fn converse(
        &mut self,
        tracked: &mut Tracked,
        packet: &PacketInfo<'_>,
        output: &mut dyn Output,
        what: impl FnOnce(&mut Dialogue, &Program, &mut Scratch, &mut Judge<'_>),
    ) {
        let Tracked { flow, inspection: Inspection::Dialogue(conversation), .. } = tracked else { return };
        let Some(protocol) = flow.protocol else { return };
        let Conversation { dialogue, applicable, rules } = conversation.as_mut();
        let Some(program) = rules.grammars.program(protocol) else { return };
        let Work { scratch, memories, decisions, statistics } = &mut self.work;
        let Some(memory) = memories.of(rules) else { return };
        let mut judge = Judge {
            protocol,
            flow,
            packet: *packet,
            observe: self.settings.observe,
            policies: &rules.policies,
            applicable,
            memory,
            decisions,
            statistics,
            output,
        };
        what(dialogue, program, scratch, &mut judge);
    }
}

pub(crate) fn report_wire(output: &mut dyn Output, packet: &PacketInfo<'_>, anomalies: AnomalySet) {
    if anomalies != AnomalySet::EMPTY {
        let anomalies: SmallVec<[WireAnomaly; 4]> = anomalies.iter().collect();
        for anomaly in anomalies {
            output.wire_anomaly(packet, anomaly);
        }
    }
}
