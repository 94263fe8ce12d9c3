//! What flows hold, one by one and together, and what becomes of a flow when that is too much.

use portcullis_lang::Direction;
use portcullis_stream::{Envelope, FlowId, FlowSummary, Protocol};
use portcullis_wire::TcpSegment;

use crate::bounds::{Bound, WhenMet};
use crate::engine::Engine;
use crate::flow::{Conversation, Flow, Inspection, Tracked, Verdict};
use crate::output::{GateAction, Output, PacketInfo};

impl Engine {
    /// Begins to keep a flow, of which there is more to tell than its handshake.
    pub(crate) fn begin(
        &mut self,
        summary: &FlowSummary,
        packet: &PacketInfo<'_>,
        output: &mut dyn Output,
    ) -> Box<Tracked> {
        let FlowSummary { flow: id, key, statistics } = *summary;
        let rules = self.rules();
        let protocol = rules.grammars.on_port(key.protocol, key.server.port());
        let flow = Flow {
            id,
            key,
            start: statistics.start,
            midstream: statistics.midstream,
            protocol: None,
            protocol_name: "",
            generation: rules.generation,
            verdict: Verdict::Accept,
            alerts: 0,
            edits: Vec::new(),
        };
        let mut tracked = Box::new(Tracked {
            flow,
            inspection: Inspection::None,
            doubtful: Vec::new(),
            gate: None,
            holds: Vec::new(),
            charged: 0,
        });
        match protocol {
            Some(protocol) => self.inspect(&mut tracked, protocol, statistics.start),
            None if self.settings.recognise && key.protocol == Protocol::Tcp && !statistics.midstream => {
                tracked.inspection = Inspection::Undecided(Vec::new());
            }
            None => {}
        }
        tracked.gate = self.gate_flow(&tracked);
        output.flow_started(&tracked.flow, packet);
        if let Some(rule) = self.blocks.find(&tracked.flow.key, packet.time)
            && !self.settings.observe
        {
            tracked.flow.verdict = Verdict::Drop;
            self.work.statistics.dropped_flows += 1;
            self.work.statistics.blocked_flows += 1;
            output.flow_blocked(&tracked.flow, packet, &rule);
        }
        tracked
    }

    /// Keeps a flow until its next event.
    pub(crate) fn keep(&mut self, tracked: Box<Tracked>) {
        let slot = tracked.flow.id.slot();
        while self.flows.len() <= slot {
            if self.flows.len() == self.flows.capacity() {
                let most = self.settings.streams.flows.max(1);
                let step = (self.flows.len() / 4).max(1024).min(most.saturating_sub(self.flows.len()));
                self.flows.reserve_exact(step.max(1));
            }
            self.flows.push(None);
        }
        if let Some(place) = self.flows.get_mut(slot) {
            *place = Some(tracked);
        }
    }

    /// Brings the account of what conversations hold up to what a flow holds now.
    pub(crate) fn charge(&mut self, tracked: &mut Tracked, packet: &PacketInfo<'_>, output: &mut dyn Output) {
        self.settle_account(tracked, output);
        if self.held > self.settings.engine.memory && !matches!(tracked.inspection, Inspection::None) {
            tracked.inspection = Inspection::None;
            self.limit_met(Bound::ConversationMemory, tracked, packet, output);
            self.settle_account(tracked, output);
        }
        // What was edited cannot go on without the record of what it has become: such a connection ends.
        let keeps = tracked.gate.as_ref().is_some_and(|gate| gate.keeps_edited());
        if self.held > self.settings.engine.memory && keeps && tracked.flow.verdict == Verdict::Accept {
            self.work.statistics.count(Bound::ConversationMemory);
            self.work.statistics.dropped_flows += 1;
            tracked.flow.verdict = Verdict::Reset;
            output.gate_action(&tracked.flow, packet, GateAction::EditMemory);
        }
    }

    /// Does so after a gate has taken octets of a segment, or let some go.
    pub(crate) fn charge_flow(&mut self, id: FlowId, packet: &PacketInfo<'_>, output: &mut dyn Output) {
        let kept = |tracked: &mut Box<Tracked>| tracked.flow.id == id && tracked.gate.is_some();
        let Some(mut tracked) = self.flows.get_mut(id.slot()).and_then(|place| place.take_if(kept)) else { return };
        self.charge(&mut tracked, packet, output);
        self.keep(tracked);
    }

    fn settle_account(&mut self, tracked: &mut Tracked, output: &dyn Output) {
        let told = output.held(&tracked.flow);
        let gate = tracked.gate.as_ref().map_or(0, |gate| gate.memory());
        let now = match &tracked.inspection {
            Inspection::None => 0,
            Inspection::Undecided(server) => server.capacity(),
            Inspection::Dialogue(conversation) => size_of::<Conversation>()
                .saturating_add(conversation.dialogue.memory())
                .saturating_add(conversation.scans.memory()),
        };
        let now = now.saturating_add(gate).saturating_add(told);
        self.held = self.held.saturating_sub(tracked.charged).saturating_add(now);
        tracked.charged = now;
    }

    /// Takes what a flow that has ended held out of all accounts.
    pub(crate) fn release(&mut self, tracked: &mut Tracked) {
        self.held = self.held.saturating_sub(tracked.charged);
        tracked.charged = 0;
        for doubtful in tracked.doubtful.drain(..) {
            self.shelf.give_back(&doubtful);
        }
    }

    /// Sets a segment with a wrong checksum aside.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn set_aside(
        &mut self,
        id: FlowId,
        direction: Direction,
        envelope: &Envelope,
        segment: &TcpSegment<'_>,
        octets: &[u8],
        packet: &PacketInfo<'_>,
        output: &mut dyn Output,
    ) {
        if segment.sequence_length() == 0 {
            return;
        }
        let known = self.flows.get_mut(id.slot()).and_then(Option::take);
        let begun = known.or_else(|| Some(self.begin(&self.table.flow(id)?, packet, output)));
        let Some(mut tracked) = begun else { return };
        if let Some(bound) = self.shelf.set_aside(&mut tracked.doubtful, direction, envelope, segment, octets) {
            self.work.statistics.count(bound);
        }
        self.keep(tracked);
    }

    /// A flow cannot be inspected as it should because a bound was met: tells it, and decides what becomes of the flow.
    pub(crate) fn limit_met(
        &mut self,
        bound: Bound,
        tracked: &mut Tracked,
        packet: &PacketInfo<'_>,
        output: &mut dyn Output,
    ) {
        let when_met = self.judge_bound(bound, tracked);
        output.limit(&tracked.flow, packet, bound, when_met);
    }

    /// Counts that a bound was met, and decides what becomes of the flow.
    pub(crate) fn judge_bound(&mut self, bound: Bound, tracked: &mut Tracked) -> WhenMet {
        self.work.statistics.count(bound);
        let when_met = self.settings.failures.when_met(bound);
        if when_met == WhenMet::Drop && tracked.flow.verdict == Verdict::Accept && !self.settings.observe {
            tracked.flow.verdict = Verdict::Drop;
            self.work.statistics.dropped_flows += 1;
        }
        when_met
    }
}
