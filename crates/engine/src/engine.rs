//! The way of a packet.

use std::sync::Arc;

use portcullis_grammar::{Dialogue, Program, Scratch};
use portcullis_lang::Direction;
use portcullis_policy::{Decision, PolicySet, ProtocolId, Scans};
use portcullis_stream::{
    EndReason, Envelope, FlowId, FlowSummary, FlowTable, GapReason, Limits, Protocol, Reassembly, StreamEvent,
    StreamEventKind, StreamEvents,
};
use portcullis_wire::{
    AnomalySet, ChecksumState, Defragmenter, FragmentLimits, FragmentOutcome, FragmentOverlaps, IpPacket, LinkType,
    Network, TcpSegment, Timestamp, Transport, WireAnomaly, decode,
};
use smallvec::SmallVec;

use crate::blocks::Blocks;
use crate::bounds::{Bound, Failures};
use crate::doubtful::{Shelf, settle};
use crate::flow::{Connection, Conversation, Inspection, Tracked, Verdict};
use crate::gate::Beginnings;
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
    /// What becomes of flows when bounds are met.
    pub failures: Failures,
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
            failures: Failures::default(),
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
    /// By slot of the flow table: flows of which something was told. Of a handshake that is all, there is none.
    pub(crate) flows: Vec<Option<Box<Tracked>>>,
    /// Segments that were set aside, of all flows.
    pub(crate) shelf: Shelf,
    /// Octets that conversations hold, of all flows.
    pub(crate) held: usize,
    /// Addresses whose flows are dropped.
    pub(crate) blocks: Blocks,
    /// Whether somebody carries out edits.
    pub(crate) carries_edits: bool,
    /// Most octets of packets that an editor makes.
    pub(crate) edit_mtu: u16,
    /// Names of protocols whose servers get one record at a time.
    pub(crate) serialised: Vec<String>,
    /// What both sides have said at the beginnings of connections that may be edited.
    pub(crate) beginnings: Beginnings,
    /// Whether any flow was edited yet: without one, nothing has to be translated.
    pub(crate) has_edited: bool,
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
            fragments: Defragmenter::new(settings.fragments.clone(), None)
                .with_overlaps(overlaps_of(settings.reassembly)),
            shelf: Shelf::new(&settings.engine),
            rules,
            settings,
            table,
            flows: Vec::new(),
            held: 0,
            blocks: Blocks::default(),
            carries_edits: false,
            edit_mtu: 1500,
            serialised: Vec::new(),
            beginnings: Beginnings::default(),
            has_edited: false,
            work,
        }
    }

    /// Shares the addresses that are blocked with other engines.
    pub fn share_blocks(&mut self, blocks: &Blocks) {
        self.blocks = blocks.clone();
    }

    /// The addresses that are blocked.
    pub fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// Takes other grammars and policies. Where the grammars are the same, flows that are there are judged by the new policies
    /// too, from the next packet on at which none of their streams is in its middle; otherwise they keep what they began with,
    /// because where they are in one grammar says nothing in another.
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
        let cut = (original_length as usize).saturating_sub(data.len());
        statistics.cut_octets += cut as u64;
        let decoded = decode(link, data);
        statistics.vlan += u64::from(!decoded.vlans.as_slice().is_empty());
        let packet = PacketInfo { number, time, vlans: decoded.vlans.as_slice(), link, data };
        report_wire(output, &packet, decoded.anomalies);
        match &decoded.network {
            // It says that it is longer than what the link carried, and every receiver drops it. Taken for one that the
            // capture has cut, it would make a gap that nobody else sees.
            Network::Ip(ip) if ip.missing > cut => self.work.statistics.malformed += 1,
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
        let mut more = true;
        while more {
            let mut events = StreamEvents::new();
            more = self.table.finish_some(&mut events);
            self.take_events(events, &packet, output);
        }
    }

    /// What was counted.
    pub fn statistics(&self) -> &Statistics {
        &self.work.statistics
    }

    /// Flows at the moment.
    pub fn flows(&self) -> usize {
        self.table.len()
    }

    /// Octets held in buffers of streams, for conversations and of fragments at the moment.
    pub fn memory(&self) -> usize {
        let streams = self.table.memory().saturating_add(self.shelf.octets());
        streams.saturating_add(self.held).saturating_add(self.fragments.held_bytes())
    }

    fn fragment(&mut self, ip: &IpPacket<'_>, vlan: u16, packet: &PacketInfo<'_>, output: &mut dyn Output) {
        self.work.statistics.fragments += 1;
        let mut abandoned = Vec::new();
        let full = self.fragments.len() >= self.settings.fragments.datagrams;
        let result = self.fragments.insert(packet.time, vlan, ip, &mut abandoned);
        let statistics = &mut self.work.statistics;
        statistics.abandoned += abandoned.len() as u64;
        for datagram in abandoned.iter().filter(|datagram| datagram.anomaly == WireAnomaly::FragmentLimit) {
            let all = if full { Bound::FragmentDatagrams } else { Bound::FragmentBytes };
            let alone = datagram.fragments >= self.settings.fragments.fragments;
            statistics.count(if alone { Bound::FragmentCount } else { all });
        }
        let too_many = result.anomalies.contains(WireAnomaly::FragmentLimit) && abandoned.is_empty();
        if too_many {
            statistics.count(Bound::FragmentCount);
        }
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
                if !right {
                    self.unverified_checksum(packet, output);
                }
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

    /// A packet has a wrong checksum, as all have that its sender has sent so far: that is told once.
    fn unverified_checksum(&mut self, packet: &PacketInfo<'_>, output: &mut dyn Output) {
        if self.work.statistics.unverified_checksum == 0 {
            output.unverified_checksums(packet);
        }
        self.work.statistics.unverified_checksum += 1;
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
        // One that was not computed yet is as good as wrong where the sender's others are right: an attacker can send it.
        let state = ip.verify_transport();
        let header = ip.verify_header().is_acceptable();
        let right = header && state.is_acceptable() && state != ChecksumState::Partial;
        if !right {
            if let Some((id, direction)) = self.verified_sender(Protocol::Tcp, envelope, ports) {
                self.set_aside(id, direction, envelope, segment, ip.payload, packet, output);
                self.wrong_checksum(packet, output);
                return;
            }
            self.unverified_checksum(packet, output);
        }
        // A sender whose checksums say nothing acknowledges as well as one whose are right: the capture was made beside it.
        if !self.shelf.is_empty() {
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
        for taken in settle(&mut tracked.doubtful, &mut self.shelf, direction, segment) {
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
        (self.table.mark(id) & mark_of(direction) != 0).then_some((id, direction))
    }

    fn verified(&mut self, id: Option<FlowId>, sender: (std::net::IpAddr, u16), right: bool) {
        let Some(id) = id.filter(|id| right && self.table.mark(*id) != MARKS) else { return };
        if let Some(key) = self.table.key(id) {
            let from_client = (key.client.ip(), key.client.port()) == sender;
            self.table.set_mark(id, mark_of(if from_client { Direction::Up } else { Direction::Down }));
        }
    }

    pub(crate) fn take_events(&mut self, events: StreamEvents<'_>, packet: &PacketInfo<'_>, output: &mut dyn Output) {
        let mut events = events.into_iter();
        while let Some(event) = events.next() {
            match event.kind {
                StreamEventKind::Started { midstream, .. } => {
                    self.work.statistics.flows += 1;
                    self.work.statistics.midstream_flows += u64::from(midstream);
                }
                // What a million half-open flows have, the table has; here they have nothing.
                StreamEventKind::Established | StreamEventKind::Reset { .. } => {}
                StreamEventKind::Ended { reason, summary } => {
                    let known = self.flows.get_mut(event.flow.slot()).and_then(Option::take);
                    let mut tracked = known.unwrap_or_else(|| self.begin(&summary, packet, output));
                    let time = summary.statistics.last;
                    let at_end = PacketInfo { time, ..*packet };
                    self.converse(&mut tracked, &at_end, output, |dialogue, program, scratch, judge| {
                        dialogue.close(program, scratch, judge);
                    });
                    if reason == EndReason::Evicted {
                        self.work.statistics.count(Bound::Flows);
                    }
                    output.flow_ended(&tracked.flow, &summary, reason, &at_end);
                    self.release(&mut tracked);
                }
                kind => {
                    let id = event.flow;
                    let known = self.flows.get_mut(id.slot()).and_then(Option::take);
                    let begun = known.or_else(|| {
                        // If it ends with this packet, the table knows no more of it than its last event.
                        let summary = self.table.flow(id).or_else(|| last_words(events.as_slice(), id))?;
                        Some(self.begin(&summary, packet, output))
                    });
                    let Some(mut tracked) = begun else { continue };
                    self.take_event(&mut tracked, kind, packet, output);
                    self.charge(&mut tracked, packet, output);
                    self.keep(tracked);
                }
            }
        }
    }

    /// What is kept of a flow that has not ended.
    pub(crate) fn tracked_mut(&mut self, id: FlowId) -> Option<&mut Tracked> {
        self.flows.get_mut(id.slot())?.as_deref_mut().filter(|tracked| tracked.flow.id == id)
    }

    /// Begins to inspect a flow.
    pub(crate) fn inspect(&mut self, tracked: &mut Tracked, protocol: ProtocolId, now: Timestamp) {
        let rules = Arc::clone(&self.rules);
        let Some(program) = rules.grammars.program(protocol) else { return };
        self.work.statistics.inspected_flows += 1;
        tracked.flow.protocol = Some(protocol);
        tracked.flow.protocol_name = rules.grammars.name(protocol);
        tracked.flow.generation = rules.generation;
        let connection = Connection::of(&tracked.flow);
        let applicable = rules.policies.applicable(protocol, &connection);
        let midstream = tracked.flow.midstream && tracked.flow.key.protocol == Protocol::Tcp;
        let dialogue = Dialogue::new(program, midstream, now.0);
        tracked.inspection =
            Inspection::Dialogue(Box::new(Conversation { dialogue, applicable, scans: Scans::default(), rules }));
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
            StreamEventKind::Data { direction, offset, bytes } => {
                output.stream_octets(&tracked.flow, packet, direction, offset, &bytes);
                tracked.push_to_editor(direction, &bytes);
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
                if let Some(bound) = Bound::of_gap(reason) {
                    self.judge_bound(bound, tracked);
                }
                if matches!(tracked.inspection, Inspection::Undecided(_)) {
                    tracked.inspection = Inspection::None;
                }
                self.converse(tracked, packet, output, |dialogue, program, scratch, judge| {
                    dialogue.gap(program, scratch, direction, length, judge);
                });
            }
            StreamEventKind::Finished { direction } => {
                tracked.finish_editor(direction);
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
            self.limit_met(Bound::RecogniseBytes, tracked, packet, output);
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

    pub(crate) fn converse(
        &mut self,
        tracked: &mut Tracked,
        packet: &PacketInfo<'_>,
        output: &mut dyn Output,
        what: impl FnOnce(&mut Dialogue, &Program, &mut Scratch, &mut Judge<'_>),
    ) {
        let Tracked { flow, inspection: Inspection::Dialogue(conversation), gate, holds, .. } = tracked else { return };
        let carries_edits = gate.as_ref().is_some_and(|gate| gate.is_edited());
        let Some(protocol) = flow.protocol else { return };
        // What is stopped goes nowhere, and what is freed nobody looks at.
        if flow.verdict != Verdict::Accept {
            return;
        }
        if conversation.renew(&self.rules, flow) {
            flow.generation = self.rules.generation;
        }
        let Conversation { dialogue, applicable, scans, rules } = conversation.as_mut();
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
            scans,
            holds,
            memory,
            decisions,
            statistics,
            blocks: &self.blocks,
            most_blocks: self.settings.engine.blocks,
            in_the_way: self.carries_edits,
            carries_edits,
            puts_right: false,
            output,
        };
        what(dialogue, program, scratch, &mut judge);
    }
}

/// Of flows in the table: whether the client, or the server, has sent a packet with a right checksum.
fn mark_of(direction: Direction) -> u8 {
    match direction {
        Direction::Up => 1,
        Direction::Down => 2,
    }
}

/// Both sides have.
const MARKS: u8 = 3;

/// What was counted of a flow that ends among these events.
fn last_words(events: &[StreamEvent<'_>], id: FlowId) -> Option<FlowSummary> {
    events.iter().find_map(|event| match &event.kind {
        StreamEventKind::Ended { summary, .. } if event.flow == id => Some(**summary),
        _ => None,
    })
}

/// What the receiver whose reading of streams is wanted makes of fragments.
const fn overlaps_of(reassembly: Reassembly) -> FragmentOverlaps {
    match reassembly {
        Reassembly::Linux => FragmentOverlaps::Discard,
        Reassembly::Windows | Reassembly::First => FragmentOverlaps::First,
        Reassembly::Bsd => FragmentOverlaps::BeginsFirst,
        Reassembly::Last => FragmentOverlaps::Last,
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
