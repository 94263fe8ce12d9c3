//! An output that writes down what an engine finds, and a way to run captures through an engine.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use portcullis_capture::CaptureSet;
use portcullis_engine::{Engine, Flow, Judgement, Output, PacketInfo, Settings, Statistics};
use portcullis_grammar::Event;
use portcullis_lang::{Direction, EventId, EventKind};
use portcullis_policy::PolicySet;
use portcullis_stream::{EndReason, FlowSummary, GapReason, StreamAnomaly};
use portcullis_wire::WireAnomaly;

use crate::grammars::Shipped;

/// What an engine found, one line a finding, in order.
#[derive(Debug, Default)]
pub struct Findings {
    /// The lines.
    pub lines: Vec<String>,
    /// What the engine counted.
    pub statistics: Statistics,
    /// Octets of content of streams.
    pub content: u64,
}

impl Findings {
    /// How many lines have this in them.
    pub fn count(&self, what: &str) -> usize {
        self.lines.iter().filter(|line| line.contains(what)).count()
    }
}

/// Runs a capture through an engine with these grammars and policies. What cannot be read of it is left out.
pub fn find(shipped: &Shipped, policies: PolicySet, path: &Path) -> Findings {
    let mut engine = Engine::new(Arc::clone(&shipped.grammars), Arc::new(policies), Settings::default());
    let mut findings = Findings::default();
    if let Ok(mut capture) = CaptureSet::open(&[path]) {
        while let Ok(Some(packet)) = capture.next() {
            engine.packet(
                packet.number,
                packet.timestamp,
                packet.link,
                packet.data,
                packet.original_length,
                &mut findings,
            );
        }
    }
    engine.finish(&mut findings);
    findings.statistics = *engine.statistics();
    findings
}

impl Output for Findings {
    fn event(&mut self, flow: &Flow, packet: &PacketInfo<'_>, event: &Event<'_>) {
        if event.kind == EventKind::StreamChunk {
            self.content += event.size;
            return;
        }
        let mut line = format!(
            "{} {} {} {} at={} size={} {}",
            packet.number,
            flow.key,
            event.direction,
            event.event_name(),
            event.offset,
            event.size,
            event.reason
        );
        if let (Some(record), EventKind::Record) = (&event.record, event.kind) {
            let _ = write!(line, " {}", record.octets.escape_ascii());
        }
        self.lines.push(line);
    }

    fn wants(&self, _: &Flow, _: EventId) -> bool {
        true
    }

    fn judgement(&mut self, flow: &Flow, packet: &PacketInfo<'_>, event: &Event<'_>, judgement: &Judgement<'_>) {
        self.lines.push(format!(
            "{} {} judgement {} {:?} blocked={}",
            packet.number,
            flow.key,
            event.event_name(),
            judgement.decision.action,
            judgement.blocked
        ));
    }

    fn flow_ended(&mut self, flow: &Flow, summary: &FlowSummary, reason: EndReason, packet: &PacketInfo<'_>) {
        let statistics = &summary.statistics;
        self.lines.push(format!("{} {} ended {} {statistics:?}", packet.number, flow.key, reason.name()));
    }

    fn stream_anomaly(
        &mut self,
        flow: &Flow,
        packet: &PacketInfo<'_>,
        direction: Direction,
        anomaly: StreamAnomaly,
        offset: u64,
    ) {
        self.lines.push(format!("{} {} {direction} stream {} at={offset}", packet.number, flow.key, anomaly.name()));
    }

    fn gap(
        &mut self,
        flow: &Flow,
        packet: &PacketInfo<'_>,
        direction: Direction,
        offset: u64,
        length: u64,
        reason: GapReason,
    ) {
        let reason = reason.name();
        self.lines
            .push(format!("{} {} {direction} stream gap at={offset} size={length} {reason}", packet.number, flow.key));
    }

    fn wire_anomaly(&mut self, packet: &PacketInfo<'_>, anomaly: WireAnomaly) {
        self.lines.push(format!("{} packet {}", packet.number, anomaly.name()));
    }

    fn wrong_checksum(&mut self, packet: &PacketInfo<'_>) {
        self.lines.push(format!("{} packet wrong checksum", packet.number));
    }
}
