//! Takes what a gate finds: for records, and for the stories of flows that somebody asks about.

use std::fmt::Write as _;
use std::sync::Arc;

use portcullis_engine::{
    Bound, Deed, EditOutcome, Explained, Flow, Gate, GateAction, Judgement, Mode, Output, PacketInfo, WhenMet,
};
use portcullis_grammar::Event;
use portcullis_lang::{Direction, EventId};
use portcullis_policy::{Reading, RuleInfo};
use portcullis_report::EventIdentity;
use portcullis_stream::{EndReason, FlowSummary, GapReason, StreamAnomaly};
use portcullis_wire::{Timestamp, WireAnomaly};
use serde_json::{Value, json};

use super::stories::{Stories, Wish};
use crate::read::reporter::Reporter;
use crate::trace::{Wanted, tell};

/// Most flows that a worker tells of in one answer.
pub(crate) const MOST_FLOWS: usize = 1000;

/// Most stories that a worker tells in one answer: some megabytes.
pub(crate) const MOST_STORIES: usize = 20;

/// What takes the findings of a gate.
pub(crate) struct Witness {
    pub(crate) reporter: Reporter,
    pub(crate) stories: Stories,
}

impl Witness {
    pub(crate) fn new(reporter: Reporter) -> Witness {
        Witness { reporter, stories: Stories::default() }
    }

    /// Flows at the moment that are meant; all, if nothing is.
    fn live<'g>(&'g self, gate: &'g Gate, wanted: Option<&'g Wanted>) -> impl Iterator<Item = &'g Flow> {
        gate.engine().live_flows().filter(move |flow| {
            let flow_id = || self.reporter.identity(flow.id).map_or(0, |identity| identity.flow_id());
            wanted.is_none_or(|wanted| wanted.is(&flow.key, flow_id))
        })
    }

    /// What flows are at the moment.
    pub(crate) fn flows(&self, gate: &Gate) -> Vec<Value> {
        self.live(gate, None).take(MOST_FLOWS).map(|flow| self.describe(flow)).collect()
    }

    /// The stories of flows, and how the others stand that are meant.
    pub(crate) fn explain(&self, gate: &Gate, wanted: &Wanted) -> Vec<Value> {
        let event = wanted.event();
        let past = self.stories.past_pages().filter(|page| page.is_of(wanted)).map(|page| {
            let text = page.text(event);
            json!({ "flow": page.key().to_string(), "flow_id": page.flow_id(), "ended": true, "story": lines(&text) })
        });
        let live = |has_story: bool| {
            let flows = self.live(gate, Some(wanted));
            flows.filter(move |flow| self.stories.page(flow).is_some() == has_story)
        };
        let told = live(true).map(|flow| self.explain_live(flow, event));
        let untold = live(false).map(|flow| self.explain_live(flow, event));
        told.chain(past).chain(untold).take(MOST_STORIES).collect()
    }

    /// The story of a flow that goes on, or why there is none.
    fn explain_live(&self, flow: &Flow, event: Option<EventIdentity>) -> Value {
        let mut value = self.describe(flow);
        let mut text = match self.stories.page(flow) {
            Some(page) => page.text(event),
            None => {
                let id = value.get("flow_id").and_then(Value::as_u64).unwrap_or(0);
                format!(
                    "flow {id}  {}\n  no story is kept of it: nobody follows it, and there was no alert. \
                     `portcullis ctl follow {id}` has it told from now on, `portcullis ctl follow HOST` tells new ones whole\n",
                    flow.key
                )
            }
        };
        let _ = writeln!(text, "  -- goes on; verdict {} so far, alerts {}", tell::verdict(flow), flow.alerts);
        if let Value::Object(fields) = &mut value {
            fields.insert("ended".to_owned(), json!(false));
            fields.insert("story".to_owned(), json!(lines(&text)));
        }
        value
    }

    /// Which stories there are.
    pub(crate) fn list(&self, gate: &Gate) -> Vec<Value> {
        let entry = |page: &crate::trace::Page, how: &str| {
            let (lines, left_out) = page.lines();
            let left = if left_out > 0 { format!(", {left_out} left out") } else { String::new() };
            let text = format!("flow {}  {}  {how}, {lines} lines{left}", page.flow_id(), page.key());
            json!({ "flow": page.key().to_string(), "flow_id": page.flow_id(), "story": [text] })
        };
        let past = self.stories.past_pages().map(|page| entry(page, "has ended"));
        let open = self.stories.open_pages().map(|(id, page)| {
            let followed = gate.engine().flow(id).is_some_and(|flow| self.stories.follows(flow));
            entry(page, if followed { "goes on, is followed" } else { "goes on" })
        });
        past.chain(open).take(MOST_FLOWS).collect()
    }

    /// Follows flows: those there are, and those that begin, as far as they can be told beforehand. How many there are, or why
    /// it cannot be done.
    pub(crate) fn follow(&mut self, gate: &Gate, wish: Wish, now: Timestamp) -> Result<usize, String> {
        let mut count = 0;
        if let Wish::Named(wanted) = &wish {
            let Witness { reporter, stories } = self;
            let live = gate.engine().live_flows().filter(|flow| {
                let flow_id = || reporter.identity(flow.id).map_or(0, |identity| identity.flow_id());
                wanted.is(&flow.key, flow_id)
            });
            for flow in live {
                stories.follow(flow, Some(now));
                count += usize::from(stories.follows(flow));
            }
            // A number is that of a flow which there is.
            if wanted.flow_id().is_some() {
                return Ok(count);
            }
        }
        match self.stories.wish(wish) {
            true => Ok(count),
            false => Err("too many orders to follow are in force; take back with `ctl unfollow`".to_owned()),
        }
    }

    fn describe(&self, flow: &Flow) -> Value {
        json!({
            "flow": flow.key.to_string(),
            "flow_id": self.reporter.identity(flow.id).map(|identity| identity.flow_id()),
            "protocol": flow.protocol_name,
            "midstream": flow.midstream,
            "verdict": flow.verdict.name(),
            "alerts": flow.alerts,
        })
    }
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

impl Output for Witness {
    fn wants(&self, flow: &Flow, event: EventId) -> bool {
        self.reporter.wants(flow, event) || self.stories.follows(flow)
    }

    fn explains(&self, flow: &Flow) -> Explained {
        self.stories.explains(flow)
    }

    fn event(&mut self, flow: &Flow, packet: &PacketInfo<'_>, event: &Event<'_>) {
        if !self.stories.follows(flow) {
            return self.reporter.event(flow, packet, event);
        }
        self.stories.write(flow, |page, room| tell::event(page, room, flow, packet, event));
        // It is given events that records have no use for.
        if self.reporter.wants(flow, event.id) {
            self.reporter.event(flow, packet, event);
        }
    }

    fn readings(
        &mut self,
        flow: &Flow,
        packet: &PacketInfo<'_>,
        event: &Event<'_>,
        readings: &[(Arc<RuleInfo>, Reading)],
    ) {
        if self.stories.follows(flow) {
            return self.stories.write(flow, |page, room| tell::readings(page, room, flow, packet, event, readings));
        }
        self.stories.write_decision(flow, packet.time, |page, room| {
            tell::readings(page, room, flow, packet, event, readings);
        });
    }

    fn judgement(&mut self, flow: &Flow, packet: &PacketInfo<'_>, event: &Event<'_>, judgement: &Judgement<'_>) {
        if judgement.decision.is_notable() {
            self.stories.write_decision(flow, packet.time, |page, room| {
                tell::judgement(page, room, flow, packet, event, judgement);
            });
        } else {
            self.stories.write(flow, |page, room| tell::judgement(page, room, flow, packet, event, judgement));
        }
        self.reporter.judgement(flow, packet, event, judgement);
    }

    fn flow_started(&mut self, flow: &Flow, packet: &PacketInfo<'_>) {
        self.stories.begins(flow);
        self.reporter.flow_started(flow, packet);
    }

    fn flow_blocked(&mut self, flow: &Flow, packet: &PacketInfo<'_>, rule: &RuleInfo) {
        self.stories.write(flow, |page, room| tell::blocked(page, room, packet, rule));
        self.reporter.flow_blocked(flow, packet, rule);
    }

    fn flow_ended(&mut self, flow: &Flow, summary: &FlowSummary, reason: EndReason, packet: &PacketInfo<'_>) {
        self.stories.ends(flow, |page, room| tell::ended(page, room, flow, summary, reason, packet));
        self.reporter.flow_ended(flow, summary, reason, packet);
    }

    fn stream_octets(
        &mut self,
        flow: &Flow,
        packet: &PacketInfo<'_>,
        direction: Direction,
        offset: u64,
        octets: &[u8],
    ) {
        self.reporter.stream_octets(flow, packet, direction, offset, octets);
    }

    fn stream_anomaly(
        &mut self,
        flow: &Flow,
        packet: &PacketInfo<'_>,
        direction: Direction,
        anomaly: StreamAnomaly,
        offset: u64,
    ) {
        self.stories.write(flow, |page, room| tell::anomaly(page, room, packet, direction, anomaly, offset));
        self.reporter.stream_anomaly(flow, packet, direction, anomaly, offset);
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
        self.stories.write(flow, |page, room| tell::gap(page, room, packet, direction, offset, length, reason));
        self.reporter.gap(flow, packet, direction, offset, length, reason);
    }

    fn wire_anomaly(&mut self, packet: &PacketInfo<'_>, anomaly: WireAnomaly) {
        self.reporter.wire_anomaly(packet, anomaly);
    }

    fn gate_action(&mut self, flow: &Flow, packet: &PacketInfo<'_>, action: GateAction) {
        self.stories.write(flow, |page, room| tell::action(page, room, flow, packet, action));
        self.reporter.gate_action(flow, packet, action);
    }

    fn edited(&mut self, flow: &Flow, packet: &PacketInfo<'_>, rule: &Arc<RuleInfo>, outcome: EditOutcome) {
        self.stories.write(flow, |page, room| tell::edited(page, room, packet, rule, outcome));
        self.reporter.edited(flow, packet, rule, outcome);
    }

    fn deed(&mut self, flow: &Flow, packet: &PacketInfo<'_>, deed: Deed, mode: Mode) {
        self.stories.write(flow, |page, room| tell::deed(page, room, flow, packet, deed, mode));
    }

    fn own_packet(&mut self, flow: &Flow, packet: &PacketInfo<'_>, octets: &[u8]) {
        self.stories.write(flow, |page, room| tell::own_packet(page, room, flow, packet, octets));
    }

    fn uninspected(&mut self, packet: &PacketInfo<'_>, original_length: usize) {
        self.reporter.uninspected(packet, original_length);
    }

    fn wrong_checksum(&mut self, packet: &PacketInfo<'_>) {
        self.stories.write_by_packet(packet, |page, room, sender| tell::wrong_checksum(page, room, sender, packet));
        self.reporter.wrong_checksum(packet);
    }

    fn unverified_checksums(&mut self, packet: &PacketInfo<'_>) {
        self.reporter.unverified_checksums(packet);
    }

    fn held(&self, flow: &Flow) -> usize {
        self.reporter.held(flow)
    }

    fn limit(&mut self, flow: &Flow, packet: &PacketInfo<'_>, bound: Bound, when_met: WhenMet) {
        self.stories.write(flow, |page, room| tell::limit(page, room, packet, bound, when_met));
        self.reporter.limit(flow, packet, bound, when_met);
    }
}
