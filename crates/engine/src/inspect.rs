//! From the events of a conversation to the decisions of rules.

use portcullis_grammar::{Event, EventSink};
use portcullis_lang::{EventId, Host, Place, Scope, Value};
use portcullis_policy::{Action, Applicable, Decision, Memory, Occurrence, PolicySet, ProtocolId};

use crate::flow::{Connection, Flow, Verdict};
use crate::output::{Judgement, Output, PacketInfo};
use crate::statistics::Statistics;

/// Takes the events of one flow: hands them on, and asks the rules about them.
pub(crate) struct Judge<'a> {
    pub(crate) protocol: ProtocolId,
    pub(crate) flow: &'a mut Flow,
    pub(crate) packet: PacketInfo<'a>,
    /// Whether rules only say what they would do.
    pub(crate) observe: bool,
    pub(crate) policies: &'a PolicySet,
    pub(crate) applicable: &'a Applicable,
    pub(crate) memory: &'a mut Memory,
    pub(crate) decisions: &'a mut Vec<Decision>,
    pub(crate) statistics: &'a mut Statistics,
    pub(crate) output: &'a mut dyn Output,
}

impl EventSink for Judge<'_> {
    fn event(&mut self, event: &Event<'_>) {
        // What a gateway has stopped never gets far enough to mean anything, and what it has freed nobody asked for.
        if self.flow.verdict != Verdict::Accept {
            return;
        }
        self.statistics.events += 1;
        if self.output.wants(self.flow, event.id) {
            self.output.event(self.flow, &self.packet, event);
        }
        if self.policies.reads(self.protocol, event.id) {
            self.judge(event);
        }
    }

    fn wants(&self, event: EventId) -> bool {
        self.output.wants(self.flow, event) || self.policies.reads(self.protocol, event)
    }
}

impl Judge<'_> {
    fn judge(&mut self, event: &Event<'_>) {
        let occurrence = Occurrence { protocol: self.protocol, event: event.id, time: self.packet.time.0 };
        self.decisions.clear();
        {
            let connection = Connection { key: &self.flow.key, protocol: self.flow.protocol_name };
            let host = EventOfFlow { event, connection };
            self.policies.judge(occurrence, &host, self.applicable, self.memory, self.decisions);
        }
        if self.observe {
            self.decisions.iter_mut().for_each(|decision| decision.observe = true);
        }
        for index in 0..self.decisions.len() {
            let Some(decision) = self.decisions.get(index) else { break };
            let dropped = |observe: bool| {
                let same = |other: &&Decision| other.rule.id == decision.rule.id;
                self.decisions
                    .iter()
                    .filter(same)
                    .any(|other| matches!(other.action, Action::Drop) && other.observe == observe)
            };
            let judgement = Judgement { decision, blocked: dropped(false), would_block: dropped(true) };
            if matches!(decision.action, Action::Alert { .. }) {
                self.statistics.alerts += 1;
                self.flow.alerts = self.flow.alerts.saturating_add(1);
            }
            self.output.judgement(self.flow, &self.packet, event, &judgement);
            if matches!(decision.action, Action::Drop) && !decision.observe && self.flow.verdict == Verdict::Accept {
                self.flow.verdict = Verdict::Drop;
                self.statistics.dropped_flows += 1;
            }
        }
    }
}

/// An event together with the flow it happened in.
struct EventOfFlow<'a, 'e> {
    event: &'a Event<'e>,
    connection: Connection<'a>,
}

impl Host for EventOfFlow<'_, '_> {
    fn read(&self, place: Place) -> Value<'_> {
        match place.scope {
            Scope::Connection => self.connection.value(place.slot),
            _ => self.event.read(place),
        }
    }

    fn count(&self, list: Place) -> u32 {
        self.event.count(list)
    }

    fn element(&self, list: Place, index: u32, slot: u16) -> Value<'_> {
        self.event.element(list, index, slot)
    }
}
