//! Connections that rules may edit: what was judged and changed leaves in packets of the gate's own.
//!
//! Whether a connection may be edited is known when it begins, from the rules on its protocol; then an
//! [`Editor`] stands in it from its first octet, because numbers that were let through as they are
//! cannot be translated later. Octets of a record that is not complete are kept back, since a rule may change it as a
//! whole.

use std::collections::{HashMap, VecDeque};

use portcullis_lang::Direction;
use portcullis_stream::edit::{EditLimits, EditSettings, Hello};
use portcullis_stream::{DropReason, Editor, FlowId, Normalised, OwnPacket, Treatment};
use portcullis_wire::{IpPacket, TcpSegment, Timestamp};

use super::carry::{GateFlow, waiting};
use super::{Failure, Fate, Gate};
use crate::bounds::Bound;
use crate::engine::Engine;
use crate::flow::{Inspection, Tracked, Verdict};
use crate::output::{Deed, GateAction, Output, PacketInfo};

/// Most connections whose beginnings are remembered until they are inspected: those of the last seconds.
const MOST_BEGINNINGS: usize = 65_536;

/// How much a side may send beyond what a rule holds, so that the bound of a hold is met and not its sender's window.
const BEYOND_HOLD: usize = 128 << 10;

/// What both sides have said at the beginnings of connections.
#[derive(Debug, Default)]
pub(crate) struct Beginnings {
    known: HashMap<FlowId, [Option<Hello>; 2]>,
    order: VecDeque<FlowId>,
}

impl Beginnings {
    fn note(&mut self, flow: FlowId, direction: Direction, hello: Hello) {
        if !self.known.contains_key(&flow) {
            while self.order.len() >= MOST_BEGINNINGS {
                if let Some(oldest) = self.order.pop_front() {
                    self.known.remove(&oldest);
                }
            }
            self.order.push_back(flow);
        }
        self.known.entry(flow).or_default()[direction.index()] = Some(hello);
    }

    fn take(&mut self, flow: FlowId) -> Option<(Hello, Hello)> {
        let [up, down] = self.known.remove(&flow)?;
        if self.order.front() == Some(&flow) {
            self.order.pop_front();
        }
        Some((up?, down?))
    }
}

impl Engine {
    /// Remembers what a SYN or SYN-ACK said, if rules may edit anything or something is serialised.
    pub(super) fn note_beginning(&mut self, normalised: &Normalised, segment: &TcpSegment<'_>) {
        let wanted = self.rules().policies.has_edits() || !self.serialised.is_empty();
        if !self.carries_edits || self.settings.observe || !wanted || matches!(normalised.treatment, Treatment::Drop(_))
        {
            return;
        }
        if let (Some(flow), Some(hello)) = (normalised.flow, Hello::of(segment)) {
            self.beginnings.note(flow, normalised.direction, hello);
        }
    }

    /// What a gate keeps of a flow from its beginning: an editor, if rules may edit it or its client is to speak in turn.
    pub(crate) fn gate_flow(&mut self, tracked: &Tracked) -> Option<Box<GateFlow>> {
        if !self.carries_edits || self.settings.observe {
            return None;
        }
        let (client, server) = self.beginnings.take(tracked.flow.id)?;
        // Nothing more is kept where no more may be kept: the connection passes, and it is told what could not be edited.
        if self.held > self.settings.engine.memory {
            return None;
        }
        let Inspection::Dialogue(conversation) = &tracked.inspection else { return None };
        let policies = &conversation.rules.policies;
        let protocol = tracked.flow.protocol?;
        let most_held = policies.most_held(protocol);
        // What is to be held has to be there from its first octet, even where its record comes in pieces.
        let edits = policies.edits(protocol) || most_held.is_some();
        let pace = self.pace_of(tracked);
        if !edits && pace.is_none() {
            return None;
        }
        // Text with a newline in each of its lines to put right is put in as a whole.
        let limits = EditLimits::default();
        let limits = EditLimits { inserted: limits.held, ..limits };
        let settings = EditSettings { mtu: self.edit_mtu, limits, ..EditSettings::default() };
        self.has_edited = true;
        let mut editor = Editor::new(client, server, settings);
        if let Some(most) = most_held {
            let room = (most as usize).saturating_add(BEYOND_HOLD);
            Direction::BOTH.into_iter().for_each(|direction| editor.allow_ahead(direction, room));
        }
        Some(Box::new(GateFlow::edited(editor, edits, pace)))
    }

    /// Whether a gate has begun something in a flow that it has to go on with, even if it only observes by now.
    pub(super) fn is_in_hand(&self, flow: FlowId) -> bool {
        let tracked = self.flows.get(flow.slot()).and_then(Option::as_ref);
        tracked.is_some_and(|tracked| tracked.flow.id == flow && tracked.is_in_hand())
    }

    /// A segment of an edited connection in the numbers that the flow table knows.
    pub(super) fn restored<'a>(
        &self,
        envelope: &portcullis_stream::Envelope,
        segment: &TcpSegment<'a>,
    ) -> Option<TcpSegment<'a>> {
        if !self.has_edited {
            return None;
        }
        let (id, direction) = self.table.find_flow(
            portcullis_stream::Protocol::Tcp,
            envelope,
            segment.source_port,
            segment.destination_port,
        )?;
        let tracked = self.flows.get(id.slot())?.as_ref().filter(|tracked| tracked.flow.id == id)?;
        let editor = tracked.gate.as_ref()?.editor.as_ref()?;
        Some(editor.restore(direction, segment))
    }
}

impl Tracked {
    fn is_in_hand(&self) -> bool {
        self.flow.verdict.stops() || self.gate.as_ref().is_some_and(|gate| gate.editor.is_some())
    }

    /// Gives octets to the editor, if there is one.
    pub(crate) fn push_to_editor(&mut self, direction: Direction, octets: &[u8]) {
        let Some(editor) = self.gate.as_mut().and_then(|gate| gate.editor.as_mut()) else { return };
        if editor.push(direction, octets).is_err() && self.flow.verdict == Verdict::Accept {
            // Octets that are lost cannot be made good.
            self.flow.verdict = Verdict::Reset;
        }
    }

    /// Tells the editor, if there is one, that a direction has ended.
    pub(crate) fn finish_editor(&mut self, direction: Direction) {
        if let Some(editor) = self.gate.as_mut().and_then(|gate| gate.editor.as_mut()) {
            editor.finish(direction);
        }
    }
}

impl Gate {
    /// Turns a packet of an edited connection into packets of the gate's own; `None` if the connection is not edited.
    #[expect(clippy::too_many_arguments, reason = "a segment with all that is known of it")]
    pub(super) fn edited(
        &mut self,
        flow: FlowId,
        ip: &IpPacket<'_>,
        segment: &TcpSegment<'_>,
        normalised: &Normalised,
        packet: &PacketInfo<'_>,
        output: &mut dyn Output,
        send: &mut Vec<Vec<u8>>,
    ) -> Option<Fate> {
        let tracked = self.engine.tracked_mut(flow)?;
        tracked.gate.as_ref()?.editor.as_ref()?;
        if let Treatment::Drop(reason) = normalised.treatment
            && reason != DropReason::Withheld
        {
            return Some(self.drop_normalised(reason));
        }
        self.end_holds(flow, packet, output, send);
        if self.engine.tracked_mut(flow)?.gate.as_ref()?.editor.is_none() {
            // It was reset just now, and the gate answers for both sides.
            self.statistics.refused += 1;
            return Some(Fate::Drop);
        }
        if self.make_edits(flow, packet, output) {
            self.part(flow, Some(normalised), packet, output, send);
            self.statistics.refused += 1;
            return Some(Fate::Drop);
        }
        let tracked = self.engine.tracked_mut(flow)?;
        let gate = tracked.gate.as_mut()?;
        let listed = std::mem::replace(&mut gate.listed, true);
        let editor = gate.editor.as_mut()?;
        let mut own = Vec::new();
        editor.packet(normalised.direction, ip, segment, packet.time, &mut own);
        let edges = Direction::BOTH.map(|direction| editor.edge(direction));
        for direction in Direction::BOTH {
            self.engine.table_mut().allow(flow, direction, edges[direction.index()]);
        }
        take(own, send);
        if !listed {
            self.waiting.push(flow);
        }
        self.deed = Some(Deed::Reissued);
        self.statistics.dropped += 1;
        self.statistics.reissued += 1;
        Some(Fate::Drop)
    }

    /// Has the edits made that rules have decided on, and lets go what was judged. Gives whether the connection ends because
    /// one could not be made, where nothing may pass that is not as rules want it.
    fn make_edits(&mut self, flow: FlowId, packet: &PacketInfo<'_>, output: &mut dyn Output) -> bool {
        let closed = self.settings.on_failure == Failure::Closed;
        let Some(numbers) = self.engine.table().numbers(flow) else { return false };
        let Some(tracked) = self.engine.tracked_mut(flow) else { return false };
        let edits = std::mem::take(&mut tracked.flow.edits);
        let offsets = numbers.map(|side| side.offset);
        let is_edited = tracked.gate.as_ref().is_some_and(|gate| gate.edits);
        let mut limits = Direction::BOTH.map(|direction| {
            let partial = if is_edited { partial(tracked, direction) } else { 0 };
            let back = waiting(tracked, direction).saturating_add(partial);
            offsets[direction.index()].saturating_sub(back)
        });
        let Tracked { flow: told, inspection, holds, gate: Some(gate), .. } = tracked else { return false };
        let GateFlow { open, editor: Some(editor), pace, .. } = gate.as_mut() else { return false };
        let open = *open;
        for hold in holds.iter() {
            let limit = &mut limits[hold.direction.index()];
            *limit = (*limit).min(hold.offset);
        }
        if let Some(pace) = pace {
            let [up, _] = &mut limits;
            *up = (*up).min(pace.limit(inspection, editor, offsets[0]));
        }
        let mut failed = 0;
        for edit in edits {
            let made = editor.edit(edit.direction, edit.offset, u64::from(edit.removed), &edit.inserted);
            failed += u64::from(made.is_err());
        }
        if failed > 0 {
            self.unmade_edits += failed;
            output.gate_action(told, packet, GateAction::EditFailed);
            if closed && !open {
                told.verdict = Verdict::Reset;
                return true;
            }
        }
        for direction in Direction::BOTH {
            editor.release(direction, if open { u64::MAX } else { limits[direction.index()] });
        }
        let overrun = pace.as_mut().filter(|_| !open).is_some_and(|pace| pace.note(inspection, editor, packet.time));
        if overrun {
            self.statistics.hold_overruns += 1;
            self.engine.work.statistics.count(Bound::HoldBytes);
        }
        false
    }

    /// What time brings about in an edited connection; whether there is more to come.
    pub(super) fn edited_tick(
        &mut self,
        flow: FlowId,
        now: Timestamp,
        output: &mut dyn Output,
        send: &mut Vec<Vec<u8>>,
    ) -> Option<bool> {
        let tracked = self.engine.tracked_mut(flow)?;
        let gate = tracked.gate.as_mut().filter(|gate| gate.editor.is_some())?;
        if tracked.flow.verdict.stops() {
            // What is kept back was judged, and does not leave; time is no reason to.
            gate.editor = None;
            gate.listed = false;
            return Some(false);
        }
        self.hurry(flow, now, output, send);
        self.end_holds(flow, &PacketInfo::of_time(now), output, send);
        if self.make_edits(flow, &PacketInfo::of_time(now), output) {
            self.part(flow, None, &PacketInfo::of_time(now), output, send);
            return Some(true);
        }
        let tracked = self.engine.tracked_mut(flow)?;
        if tracked.gate.as_ref()?.editor.is_none() {
            // It was reset just now, and the gate answers for both sides.
            return Some(true);
        }
        let editor = tracked.gate.as_mut()?.editor.as_mut()?;
        let mut own = Vec::new();
        editor.tick(now, &mut own);
        take(own, send);
        if editor.given_up().is_some() {
            tracked.flow.verdict = Verdict::Reset;
            self.part(flow, None, &PacketInfo::of_time(now), output, send);
        }
        Some(true)
    }
}

fn take(own: Vec<OwnPacket>, send: &mut Vec<Vec<u8>>) {
    send.extend(own.into_iter().map(|packet| packet.octets));
}

/// Octets of a record that is not complete.
fn partial(tracked: &Tracked, direction: Direction) -> u64 {
    match &tracked.inspection {
        Inspection::Dialogue(conversation) => conversation.dialogue.partial(direction),
        Inspection::None | Inspection::Undecided(_) => 0,
    }
}
