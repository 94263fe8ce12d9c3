//! From the events of a conversation to the decisions of rules.

use std::ops::Range;
use std::sync::Arc;

use portcullis_grammar::{Event, EventSink};
use portcullis_lang::{Direction, EventId, EventKind, Host, Place, Scope, Value};
use portcullis_policy::{
    Action, Applicable, Decision, Memory, Occurrence, PolicySet, ProtocolId, Scans, Splice, StreamChange,
};
use portcullis_wire::Timestamp;

use crate::blocks::Blocks;
use crate::bounds::Bound;
use crate::flow::{Connection, Flow, StreamEdit, Verdict};
use crate::gate::RuleHold;
use crate::output::{EditOutcome, Explained, Judgement, Output, PacketInfo};
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
    pub(crate) scans: &'a mut Scans,
    /// What rules hold of the flow.
    pub(crate) holds: &'a mut Vec<RuleHold>,
    pub(crate) memory: &'a mut Memory,
    pub(crate) decisions: &'a mut Vec<Decision>,
    pub(crate) statistics: &'a mut Statistics,
    pub(crate) blocks: &'a Blocks,
    /// Most of them.
    pub(crate) most_blocks: usize,
    /// Whether somebody is in the way of the packets, and whether this flow can be edited.
    pub(crate) in_the_way: bool,
    pub(crate) carries_edits: bool,
    /// Whether a rule wants newlines such as that of the event at hand put right.
    pub(crate) puts_right: bool,
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
        let held = self.holds.len();
        if self.policies.reads(self.protocol, event.id) {
            self.judge(event);
        }
        // What this event has begun ends with another.
        let mut number = 0;
        self.holds.retain(|hold| {
            number += 1;
            number > held || hold.until != event.id || hold.direction != event.direction
        });
    }

    fn wants(&self, event: EventId) -> bool {
        let ends_hold = || self.holds.iter().any(|hold| hold.until == event);
        self.output.wants(self.flow, event) || self.policies.reads(self.protocol, event) || ends_hold()
    }

    fn puts_right(&mut self) -> bool {
        std::mem::take(&mut self.puts_right)
    }

    fn change(&mut self, direction: Direction, offset: u64, removed: u32, inserted: Vec<u8>) {
        let beside = removed == 0;
        self.edit_stream(StreamEdit { direction, offset, removed, inserted, beside });
    }
}

impl Judge<'_> {
    fn judge(&mut self, event: &Event<'_>) {
        let occurrence = Occurrence { protocol: self.protocol, event: event.id, time: self.packet.time.0 };
        let explained = self.output.explains(self.flow);
        if explained == Explained::Everything {
            self.tell_readings(event);
        }
        let Judge { policies, applicable, scans, memory, decisions, .. } = self;
        let connection = Connection::of(self.flow);
        let host = EventOfFlow { event, connection };
        decisions.clear();
        if !policies.scans(self.protocol, event.id) {
            policies.judge(occurrence, &host, applicable, memory, decisions);
            if explained == Explained::Decisions && decisions.iter().any(Decision::is_notable) {
                self.tell_readings(event);
            }
            return self.carry_out_all(event);
        }
        // Rules on a stream act as soon as what they look for has come.
        let stream = policies.scan(occurrence, &host, applicable, memory, scans, decisions);
        if let Some(id) = stream.filter(|_| !decisions.is_empty()) {
            let mut of_stream = *event;
            of_stream.id = id;
            of_stream.kind = EventKind::StreamEnd;
            self.carry_out_all(&of_stream);
        }
        if self.flow.verdict != Verdict::Accept {
            return;
        }
        let Judge { policies, applicable, scans, memory, decisions, .. } = self;
        let connection = Connection::of(self.flow);
        let host = EventOfFlow { event, connection };
        decisions.clear();
        policies.judge_stream(occurrence, &host, applicable, memory, scans, decisions);
        self.carry_out_all(event);
    }

    /// Tells what the rules on an event come to.
    fn tell_readings(&mut self, event: &Event<'_>) {
        let connection = Connection::of(self.flow);
        let host = EventOfFlow { event, connection };
        let readings = self.policies.readings(self.protocol, event.id, &host, self.applicable);
        self.output.readings(self.flow, &self.packet, event, &readings);
    }

    /// Tells of all decisions about an event, and carries them out.
    fn carry_out_all(&mut self, event: &Event<'_>) {
        if self.observe {
            self.decisions.iter_mut().for_each(|decision| decision.observe = true);
        }
        let decisions = std::mem::take(self.decisions);
        // One rule's decisions stand side by side.
        for of_rule in decisions.chunk_by(|one, other| one.rule.id == other.rule.id) {
            let stops = |observe: bool| of_rule.iter().any(|other| other.action.stops() && other.observe == observe);
            let (blocked, would_block) = (stops(false), stops(true));
            for decision in of_rule {
                if matches!(decision.action, Action::Alert { .. }) {
                    self.statistics.alerts += 1;
                    self.flow.alerts = self.flow.alerts.saturating_add(1);
                }
                let judgement = Judgement { decision, blocked, would_block, of_rule };
                self.output.judgement(self.flow, &self.packet, event, &judgement);
                self.tell_edit(decision);
                if !decision.observe {
                    self.carry_out(decision, event);
                }
            }
        }
        *self.decisions = decisions;
    }

    fn carry_out(&mut self, decision: &Decision, event: &Event<'_>) {
        let verdict = match &decision.action {
            Action::Alert { .. } | Action::Log { .. } | Action::Pass | Action::EditRefused(_) => return,
            Action::Block { end, address, time } => {
                let now = self.packet.time;
                let until = Timestamp(now.0.saturating_add(*time));
                if self.blocks.add(*end, *address, until, now, &decision.rule, self.most_blocks) {
                    self.statistics.count(Bound::Blocks);
                    self.output.block_displaced(self.flow, &self.packet);
                }
                return;
            }
            Action::Edit(splices) => return self.edit(splices, event),
            Action::EditStream(change) => return self.change_stream(change, event),
            Action::Hold { until, max } => return self.hold(*until, *max, event),
            Action::Bypass => Verdict::Bypass,
            Action::Drop => Verdict::Drop,
            Action::Reset => Verdict::Reset,
            Action::Refuse { text } => Verdict::Refuse(Arc::clone(text)),
        };
        if self.flow.verdict == Verdict::Accept {
            self.statistics.dropped_flows += u64::from(verdict.stops());
            self.flow.verdict = verdict;
        }
    }

    /// Begins to hold what an event begins, unless that is held already.
    fn hold(&mut self, until: EventId, max: u32, event: &Event<'_>) {
        let Event { direction, offset, .. } = *event;
        let holds = &mut *self.holds;
        // Rules with the same end hold as much together as the one that began first.
        let held = |hold: &RuleHold| hold.direction == direction && hold.until == until && hold.max == max;
        if self.carries_edits && !holds.iter().any(held) {
            holds.push(RuleHold { direction, offset, until, max, since: self.packet.time });
        }
    }

    /// Says what of the record of an event has to be changed in its stream.
    fn edit(&mut self, splices: &[Splice], event: &Event<'_>) {
        if !self.carries_edits {
            return;
        }
        let direction = event.direction;
        for splice in splices {
            let offset = event.begin.saturating_add(u64::from(splice.offset));
            let Splice { removed, beside, .. } = *splice;
            self.push_edit(StreamEdit { direction, offset, removed, inserted: splice.inserted.to_vec(), beside });
        }
    }

    /// Says what of the stream of an event has to be changed.
    fn change_stream(&mut self, change: &StreamChange, event: &Event<'_>) {
        let (offset, inserted) = match change {
            StreamChange::Start(octets) => (event.offset, octets),
            StreamChange::End { octets, last_line } => (event.end.saturating_sub(u64::from(*last_line)), octets),
            StreamChange::Newlines => {
                self.puts_right = self.carries_edits || self.output.wants_stream_edits();
                return;
            }
        };
        let direction = event.direction;
        self.edit_stream(StreamEdit { direction, offset, removed: 0, inserted: inserted.to_vec(), beside: true });
    }

    fn edit_stream(&mut self, edit: StreamEdit) {
        if self.output.wants_stream_edits() {
            self.output.stream_edited(self.flow, &edit);
        }
        if self.carries_edits {
            self.push_edit(edit);
        }
    }

    /// Notes an edit. What an earlier rule made of the same octets is overtaken.
    fn push_edit(&mut self, edit: StreamEdit) {
        self.flow.edits.retain(|earlier| !edit.overtakes(earlier));
        self.flow.edits.push(edit);
    }

    /// Counts what becomes of an edit and tells it, where somebody is in the way of the packets: nothing is changed in silence.
    fn tell_edit(&mut self, decision: &Decision) {
        let outcome = match &decision.action {
            Action::EditRefused(why) => EditOutcome::Refused(why),
            Action::Edit(_) | Action::EditStream(_) if decision.observe => EditOutcome::Would,
            Action::Edit(_) | Action::EditStream(_) if self.in_the_way && !self.carries_edits => {
                EditOutcome::Impossible
            }
            Action::Edit(_) | Action::EditStream(_) => EditOutcome::Made,
            _ => return,
        };
        match outcome {
            EditOutcome::Refused(_) => self.statistics.refused_edits += 1,
            EditOutcome::Impossible => self.statistics.impossible_edits += 1,
            EditOutcome::Made => self.statistics.edits += 1,
            EditOutcome::Would => {}
        }
        if self.in_the_way {
            self.output.edited(self.flow, &self.packet, &decision.rule, outcome);
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

    fn octets(&self, place: Place) -> Option<Range<u32>> {
        self.event.octets(place)
    }

    fn octets_of_element(&self, list: Place, index: u32, slot: Option<u16>) -> Option<Range<u32>> {
        self.event.octets_of_element(list, index, slot)
    }

    fn place_in_record(&self) -> Option<u32> {
        self.event.place_in_record()
    }
}
