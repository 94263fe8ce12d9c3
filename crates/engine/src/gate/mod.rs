//! An engine in the way of packets: every packet gets its fate, and what was judged is what leaves.
//!
//! ```text
//! packet ─► normalise ─► dialogue ─► rules ─► fate of the packet, packets of our own
//! ```
//!
//! A rule's verdict falls while the packet that brought it about waits, so that nothing has to be held for judgement:
//! the segment that completes a command or a mail is let go when its events were judged, or it is not. What has to be
//! held are octets that nobody can judge yet because an answer of the other side decides what they are.
//!
//! | file | is |
//! |---|---|
//! | `settings` | how a gate is set up |
//! | `passage` | the way of a packet through the engine |
//! | `hold` | octets that wait for an answer |
//! | `carry` | carrying out what rules have decided |
//! | `edited` | connections that rules may edit |
//! | `held_back` | what rules hold until it can be judged |
//! | `pace` | connections whose server gets one record at a time |
//! | `statistics` | what became of every packet |

mod carry;
mod edited;
mod held_back;
mod hold;
mod pace;
mod passage;
mod settings;
mod statistics;

use std::sync::Arc;

use portcullis_policy::PolicySet;
use portcullis_stream::{DropReason, FlowId, NormaliserStatistics, Treatment};
use portcullis_wire::{
    IpPacket, LinkType, Network, SequenceNumber, TcpFlags, TcpPacket, TcpSegment, Timestamp, Transport, decode,
};

use crate::blocks::Blocks;
use crate::bounds::WhenMet;
use crate::engine::{Engine, Settings};
use crate::flow::Verdict;
use crate::grammars::Grammars;
use crate::output::{Deed, Explained, Output, PacketInfo};
use crate::statistics::Statistics;
pub(crate) use carry::GateFlow;
pub(crate) use edited::Beginnings;
pub(crate) use held_back::RuleHold;
pub use passage::Arriving;
use passage::Passage;
pub use settings::{Failure, GateSettings, Mode};
pub use statistics::GateStatistics;

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on as it is.
    Accept,
    /// It goes on with these octets, from the IP header on.
    Replace(Vec<u8>),
    /// It goes no further.
    Drop,
    /// It goes on, and the rest of its flow need not be shown any more.
    Bypass,
}

/// An engine in the way of packets.
#[derive(Debug)]
pub struct Gate {
    engine: Engine,
    settings: GateSettings,
    statistics: GateStatistics,
    /// Flows in which time may decide something: octets are held, or the gate answers for a side.
    waiting: Vec<FlowId>,
    /// The flow of the last packet.
    last: Option<FlowId>,
    /// What was done about it, unless it passes as it is.
    deed: Option<Deed>,
    /// Edits that the editor did not take.
    unmade_edits: u64,
}

impl Gate {
    /// A gate without flows. The policies have to be compiled against the schemes of these grammars.
    pub fn new(grammars: Arc<Grammars>, policies: Arc<PolicySet>, engine: Settings, settings: GateSettings) -> Gate {
        let observe = settings.mode == Mode::Observe;
        let mut engine = Settings { observe, ..engine };
        if settings.on_failure == Failure::Closed {
            engine.failures.general = WhenMet::Drop;
        }
        let engine = Engine::new(grammars, policies, engine).in_the_way(&settings);
        Gate {
            engine,
            settings,
            statistics: GateStatistics::default(),
            waiting: Vec::new(),
            last: None,
            deed: None,
            unmade_edits: 0,
        }
    }

    /// Takes a packet and says what becomes of it; packets of the gate's own, from their IP header on, are appended to
    /// `send` and are to be sent after its verdict.
    pub fn packet(&mut self, arriving: &Arriving<'_>, output: &mut dyn Output, send: &mut Vec<Vec<u8>>) -> Fate {
        let sent = send.len();
        self.statistics.seen += 1;
        self.last = None;
        self.deed = None;
        let fate = if arriving.is_cut() {
            self.statistics.uninspected += 1;
            self.uninspectable(arriving, output)
        } else {
            self.judge(arriving, output, send)
        };
        // A gate that observes still has to end what it began while it enforced.
        let acts = self.settings.mode == Mode::Enforce || self.last.is_some_and(|flow| self.engine.is_in_hand(flow));
        let fate = match fate {
            _ if !acts => Fate::Accept,
            Fate::Replace(octets) if arriving.offloaded && octets.len() < arriving.octets.len() => {
                // The kernel would go on to cut it as large as it was.
                cut(&octets, self.settings.mtu, send);
                Fate::Drop
            }
            fate => fate,
        };
        if let Some(flow) = self.last {
            let mode = if acts { Mode::Enforce } else { Mode::Observe };
            self.tell(flow, &packet_info(arriving), mode, send.get(sent..).unwrap_or_default(), output);
        }
        self.statistics.sent += send.len().saturating_sub(sent) as u64;
        self.count_edits();
        fate
    }

    /// Lets time pass: to be called about every 100 ms, and after it packets in `send` are to be sent.
    pub fn tick(&mut self, now: Timestamp, output: &mut dyn Output, send: &mut Vec<Vec<u8>>) {
        let sent = send.len();
        self.engine.advance(now, output);
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|flow| {
            let before = send.len();
            self.deed = None;
            let more = self.time_passes(*flow, now, output, send);
            let mode = self.settings.mode;
            self.tell(*flow, &PacketInfo::of_time(now), mode, send.get(before..).unwrap_or_default(), output);
            more
        });
        waiting.append(&mut self.waiting);
        self.waiting = waiting;
        self.statistics.sent += send.len().saturating_sub(sent) as u64;
        self.count_edits();
    }

    /// Says that so many packets went past, or were lost, that the gate has not seen.
    pub fn packets_were_missed(&mut self, packets: u64) {
        self.statistics.seen += packets;
        self.statistics.uninspected += packets;
        self.statistics.missed += packets;
        if self.settings.on_failure == Failure::Open {
            self.engine.table_mut().packets_were_missed();
        }
    }

    /// Ends all flows: what is held is let go or not, as for what could not be inspected.
    pub fn finish(&mut self, output: &mut dyn Output, send: &mut Vec<Vec<u8>>) {
        for flow in std::mem::take(&mut self.waiting) {
            if self.settings.on_failure == Failure::Open {
                self.release_all(flow, send);
            }
        }
        self.engine.finish(output);
    }

    /// Observes or enforces from now on. Flows that a rule has stopped while the gate enforced stay stopped, those that it
    /// edited go on with translated numbers, and what is held is let go by a gate that is to observe: it is appended to
    /// `send`.
    pub fn set_mode(&mut self, mode: Mode, send: &mut Vec<Vec<u8>>) {
        self.settings.mode = mode;
        self.engine.set_observe(mode == Mode::Observe);
        if mode == Mode::Observe {
            let sent = send.len();
            for flow in self.waiting.clone() {
                self.release_all(flow, send);
            }
            self.statistics.sent += send.len().saturating_sub(sent) as u64;
            self.count_edits();
        }
    }

    /// Whether the gate observes or enforces.
    pub fn mode(&self) -> Mode {
        self.settings.mode
    }

    /// The engine, for what it counts and for replacing its rules.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The flow of the last packet, if it has one.
    pub fn last_flow(&self) -> Option<FlowId> {
        self.last
    }

    /// Shares the addresses that are blocked with other gates; see [`Engine::share_blocks`].
    #[must_use]
    pub fn sharing(mut self, blocks: &Blocks) -> Gate {
        self.engine.share_blocks(blocks);
        self
    }

    /// Takes other grammars and policies; see [`Engine::replace_rules`].
    pub fn replace_rules(&mut self, grammars: Arc<Grammars>, policies: Arc<PolicySet>) {
        self.engine.replace_rules(grammars, policies);
    }

    /// What became of packets.
    pub fn statistics(&self) -> &GateStatistics {
        &self.statistics
    }

    /// What the engine has counted.
    pub fn engine_statistics(&self) -> &Statistics {
        self.engine.statistics()
    }

    /// What the normaliser has done.
    pub fn normaliser_statistics(&self) -> Option<&NormaliserStatistics> {
        self.engine.table().normaliser_statistics()
    }

    /// Tells whoever asks about a flow what was done about its packet, and what is sent.
    fn tell(&mut self, flow: FlowId, packet: &PacketInfo<'_>, mode: Mode, sent: &[Vec<u8>], output: &mut dyn Output) {
        if self.deed.is_none() && sent.is_empty() {
            return;
        }
        let Some(flow) = self.engine.flow(flow).filter(|flow| output.explains(flow) != Explained::Nothing) else {
            return;
        };
        if let Some(deed) = self.deed {
            output.deed(flow, packet, deed, mode);
        }
        for octets in sent {
            output.own_packet(flow, packet, octets);
        }
    }

    /// Takes over what the engine has counted of edits.
    fn count_edits(&mut self) {
        let counted = self.engine.statistics();
        self.statistics.edits = counted.edits;
        self.statistics.refused_edits = counted.refused_edits;
        self.statistics.failed_edits = self.unmade_edits.saturating_add(counted.impossible_edits);
    }

    fn judge(&mut self, arriving: &Arriving<'_>, output: &mut dyn Output, send: &mut Vec<Vec<u8>>) -> Fate {
        let dropped = |gate: &mut Gate, reason| {
            gate.engine.table_mut().count_drop(reason);
            gate.drop_normalised(reason)
        };
        match self.engine.pass(arriving, output) {
            Passage::Segment { flow, ip, segment, normalised } => {
                self.last = Some(flow);
                let packet = packet_info(arriving);
                let fate = self.segment(flow, &ip, &segment, &normalised, &packet, output, send);
                self.engine.charge_flow(flow, &packet, output);
                self.release(flow, arriving.time, send);
                fate
            }
            Passage::Stray { ip, segment, treatment } => self.treated(&ip, &segment, &treatment),
            Passage::Datagram { flow } => {
                self.last = flow;
                self.datagram(flow)
            }
            Passage::Other => {
                self.statistics.accepted += 1;
                Fate::Accept
            }
            Passage::Fragment => dropped(self, DropReason::Fragment),
            Passage::SourceRoute => dropped(self, DropReason::SourceRoute),
            Passage::Malformed => dropped(self, DropReason::Malformed),
            Passage::WrongChecksum => dropped(self, DropReason::Checksum),
        }
    }

    /// A packet that is longer than what was copied of it.
    fn uninspectable(&mut self, arriving: &Arriving<'_>, output: &mut dyn Output) -> Fate {
        output.uninspected(&packet_info(arriving), arriving.original_length);
        match self.settings.on_failure {
            Failure::Open => {
                self.statistics.passed_uninspected += 1;
                self.engine.table_mut().packets_were_missed();
                Fate::Accept
            }
            Failure::Closed => Fate::Drop,
        }
    }

    fn datagram(&mut self, flow: Option<FlowId>) -> Fate {
        let verdict = flow.and_then(|flow| self.engine.flow(flow)).map(|flow| &flow.verdict);
        match verdict {
            Some(verdict) if verdict.stops() => {
                self.deed = Some(Deed::Stopped);
                self.statistics.dropped += 1;
                self.statistics.dropped_by_rules += 1;
                Fate::Drop
            }
            Some(Verdict::Bypass) => {
                self.statistics.bypassed += 1;
                Fate::Bypass
            }
            _ => {
                self.statistics.accepted += 1;
                Fate::Accept
            }
        }
    }

    /// Carries out what the normaliser says, and counts it.
    fn treated(&mut self, ip: &IpPacket<'_>, segment: &TcpSegment<'_>, treatment: &Treatment) -> Fate {
        match treatment {
            Treatment::Forward => {
                self.statistics.accepted += 1;
                Fate::Accept
            }
            Treatment::Change(rewrite) => {
                self.deed = Some(Deed::Changed(rewrite.changes()));
                self.statistics.accepted += 1;
                self.statistics.rewritten += 1;
                Fate::Replace(rewrite.apply(ip, segment))
            }
            Treatment::Drop(reason) => self.drop_normalised(*reason),
        }
    }

    fn drop_normalised(&mut self, reason: DropReason) -> Fate {
        self.deed = Some(Deed::Dropped(reason));
        self.statistics.dropped += 1;
        self.statistics.normalised_away += 1;
        Fate::Drop
    }
}

/// Appends a segment that is longer than a packet may be as several.
fn cut(octets: &[u8], mtu: u16, send: &mut Vec<Vec<u8>>) {
    let Network::Ip(ip) = decode(LinkType::RawIp, octets).network else { return };
    let Transport::Tcp(segment) = ip.transport() else { return };
    let headers = ip.header.len().saturating_add(segment.header.len());
    let most = usize::from(mtu).saturating_sub(headers).max(1);
    let at_end = TcpFlags::FIN | TcpFlags::PSH;
    let mut sequence = segment.sequence;
    let mut chunks = segment.payload.chunks(most).peekable();
    while let Some(payload) = chunks.next() {
        let flags = match chunks.peek() {
            Some(_) => TcpFlags(segment.flags.0 & !at_end.0),
            None => segment.flags,
        };
        let packet = TcpPacket {
            source: (ip.source, segment.source_port).into(),
            destination: (ip.destination, segment.destination_port).into(),
            sequence,
            acknowledgement: segment.acknowledgement,
            flags,
            window: segment.window,
            options: segment.options.as_bytes(),
            payload,
        };
        send.extend(packet.build());
        sequence = SequenceNumber(sequence.0.wrapping_add(payload.len() as u32));
    }
}

fn packet_info<'a>(arriving: &Arriving<'a>) -> PacketInfo<'a> {
    PacketInfo {
        number: arriving.number,
        time: arriving.time,
        vlans: &[],
        link: LinkType::RawIp,
        data: arriving.octets,
    }
}
