//! What `portcullis explain` writes: a flow as a story, with what rules made of each event.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use portcullis_engine::{Flow, GateAction, Judgement, Output, PacketInfo, Verdict};
use portcullis_grammar::{Event, Record};
use portcullis_lang::{Direction, EventId, EventKind, Layout, Type, Value};
use portcullis_policy::{Action, Reading, RuleInfo};
use portcullis_report::FlowIdentity;
use portcullis_stream::{EndReason, FlowId, FlowSummary, GapReason, StreamAnomaly};
use portcullis_wire::WireAnomaly;

/// Most octets of one value that are shown.
const MOST_OCTETS: usize = 120;

/// Most elements of a list that are shown.
const MOST_ELEMENTS: u32 = 20;

/// Most octets that the story of one flow takes; what comes behind is left out, and it is told.
const MOST_TEXT: usize = 1 << 20;

/// Writes down flows that are asked for.
pub(crate) struct Story {
    /// A number of records (`flow_id`), or a part of addresses and ports; all flows if it is empty.
    asked: String,
    flows: HashMap<FlowId, Told>,
    /// Flows that have ended, in the order in which they did.
    pub(crate) done: Vec<String>,
}

struct Told {
    text: String,
    /// Octets of a stream that is going on.
    flowing: u64,
    state: String,
}

impl Told {
    fn line(&mut self, packet: &PacketInfo<'_>, what: &str) {
        if self.text.len() < MOST_TEXT {
            let _ = writeln!(self.text, "  {:>6}  {what}", packet.number);
        } else if !self.text.ends_with("...\n") {
            self.text.push_str("  there is more, which is left out ...\n");
        }
    }
}

impl Story {
    pub(crate) fn of(asked: &str) -> Story {
        Story { asked: asked.to_owned(), flows: HashMap::new(), done: Vec::new() }
    }

    fn told(&mut self, flow: &Flow) -> Option<&mut Told> {
        if !self.flows.contains_key(&flow.id) {
            let identity = FlowIdentity::new(flow.key, flow.start);
            let name = flow.key.to_string();
            let is_asked =
                self.asked.is_empty() || self.asked == identity.flow_id.to_string() || name.contains(&self.asked);
            if !is_asked {
                return None;
            }
            let mut text = format!("flow {}  {name}", identity.flow_id);
            if flow.midstream {
                text.push_str("  (joined in the middle)");
            }
            text.push('\n');
            self.flows.insert(flow.id, Told { text, flowing: 0, state: String::new() });
        }
        self.flows.get_mut(&flow.id)
    }
}

impl Output for Story {
    fn wants(&self, _: &Flow, _: EventId) -> bool {
        true
    }

    fn explains(&self) -> bool {
        true
    }

    fn event(&mut self, flow: &Flow, packet: &PacketInfo<'_>, event: &Event<'_>) {
        let Some(told) = self.told(flow) else { return };
        if event.kind == EventKind::StreamChunk {
            told.flowing = told.flowing.saturating_add(event.size);
            return;
        }
        if told.state != event.state_name() {
            event.state_name().clone_into(&mut told.state);
            let state = format!("-- {}", told.state);
            told.line(packet, &state);
        }
        // The line of the state has told that.
        if matches!(event.kind, EventKind::Enter | EventKind::Leave) {
            return;
        }
        let side = match event.direction {
            Direction::Up => "client",
            Direction::Down => "server",
        };
        let mut line = format!("{side} {}.{}", flow.protocol_name, event.event_name());
        if event.kind == EventKind::StreamEnd {
            let _ = write!(line, " octets={} complete={}", told.flowing, event.complete);
            told.flowing = 0;
        }
        if !event.reason.is_empty() {
            let _ = write!(line, " reason={:?}", event.reason);
        }
        if let (Some(record), EventKind::Record) = (&event.record, event.kind)
            && let Some(kind) = event.scheme().events.get(usize::from(event.id.0))
        {
            fields(&mut line, &kind.layout, record, None);
        }
        told.line(packet, &line);
    }

    fn readings(
        &mut self,
        flow: &Flow,
        packet: &PacketInfo<'_>,
        event: &Event<'_>,
        readings: &[(Arc<RuleInfo>, Reading)],
    ) {
        if event.kind == EventKind::StreamChunk {
            return;
        }
        let Some(told) = self.told(flow) else { return };
        let mut others = String::new();
        for (rule, reading) in readings {
            let _ = match reading {
                Reading::NotForFlow => Ok(()),
                Reading::Fails(test) => write!(others, " {} (test {test})", rule.id),
                Reading::Unknown(test) => write!(others, " {} (test {test} asks for what was not seen)", rule.id),
                Reading::Holds => {
                    told.line(packet, &format!("    rule {} {}/{} holds", rule.id, rule.policy, rule.name));
                    Ok(())
                }
            };
        }
        if !others.is_empty() {
            told.line(packet, &format!("    rules that do not:{others}"));
        }
    }

    fn judgement(&mut self, flow: &Flow, packet: &PacketInfo<'_>, _: &Event<'_>, judgement: &Judgement<'_>) {
        let Some(told) = self.told(flow) else { return };
        let decision = judgement.decision;
        let would = if decision.observe { "would " } else { "" };
        let what = match &decision.action {
            Action::Alert { severity, text } => format!("alert {severity} {text:?}"),
            Action::Log { text } => format!("log {text:?}"),
            Action::Refuse { text } => format!("{would}refuse {text:?}"),
            Action::Block { end, address, .. } => format!("{would}block {} {address}", end.name()),
            action => format!("{would}{}", action.name()),
        };
        told.line(packet, &format!("    => rule {}: {what}", decision.rule.id));
    }

    fn gate_action(&mut self, flow: &Flow, packet: &PacketInfo<'_>, action: GateAction) {
        if let Some(told) = self.told(flow) {
            told.line(packet, &format!("    => gate: {}", action.name()));
        }
    }

    fn flow_ended(&mut self, flow: &Flow, summary: &FlowSummary, reason: EndReason, packet: &PacketInfo<'_>) {
        if self.told(flow).is_none() {
            return;
        }
        let Some(mut told) = self.flows.remove(&flow.id) else { return };
        let [up, down] = &summary.statistics.directions;
        let verdict = match &flow.verdict {
            Verdict::Refuse(text) => format!("refuse {text:?}"),
            verdict => verdict.name().to_owned(),
        };
        let end = format!(
            "-- end ({reason}), verdict {verdict}; client {} octets in {} packets, server {} in {}",
            up.delivered, up.packets, down.delivered, down.packets
        );
        told.line(&PacketInfo { number: 0, ..*packet }, &end);
        self.done.push(told.text);
    }

    fn stream_anomaly(
        &mut self,
        flow: &Flow,
        packet: &PacketInfo<'_>,
        direction: Direction,
        anomaly: StreamAnomaly,
        offset: u64,
    ) {
        if let Some(told) = self.told(flow) {
            told.line(packet, &format!("{direction} stream.{anomaly} at octet {offset}"));
        }
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
        if let Some(told) = self.told(flow) {
            told.line(packet, &format!("{direction} {length} octets are missing at {offset} ({reason})"));
        }
    }

    fn wire_anomaly(&mut self, _: &PacketInfo<'_>, _: WireAnomaly) {}

    fn wrong_checksum(&mut self, _: &PacketInfo<'_>) {}
}

/// Writes the fields of a record, or of the element of a list whose slots begin at `base`.
fn fields(line: &mut String, layout: &Layout, record: &Record<'_>, base: Option<u32>) {
    for field in &layout.fields {
        let value = record.value_at(base.unwrap_or(0), field.slot);
        if let Type::List(element) = &field.kind {
            let count = record.count_at(base.unwrap_or(0), field.slot);
            let _ = write!(line, " {}={count}[", field.path);
            for index in 0..count.min(MOST_ELEMENTS) {
                if let Some(base) = record.element_base_at(base.unwrap_or(0), field.slot, index) {
                    fields(line, element, record, Some(base));
                    line.push(';');
                }
            }
            line.push(']');
            continue;
        }
        let _ = match value {
            Value::Absent | Value::Unknown => continue,
            Value::Boolean(value) => write!(line, " {}={value}", field.path),
            Value::Number(number) => write!(line, " {}={number}", field.path),
            Value::Bytes(octets) => {
                let shown = octets.get(..octets.len().min(MOST_OCTETS)).unwrap_or_default();
                let more = if shown.len() < octets.len() { "..." } else { "" };
                write!(line, " {}=\"{}\"{more}", field.path, shown.escape_ascii())
            }
            Value::Address(address) => write!(line, " {}={address}", field.path),
        };
    }
}
