//! Connections whose server gets one record at a time: what a client pipelines is kept back, and each record leaves when the
//! one before it is answered.
//!
//! Which records ask for an answer is for the grammar's machine to say: a record leaves when the machine comes to it. An
//! [`Editor`] that edits nothing stands in such a connection. It acknowledges what is kept back, so that neither a client's
//! window of congestion nor its waiting for an acknowledgement (RFC 896) stops the conversation, and repeats it for the
//! client. The window that it tells the client bounds what is kept.

use portcullis_lang::Direction;
use portcullis_stream::{Editor, FlowId};
use portcullis_wire::Timestamp;

use super::Gate;
use crate::bounds::{Bound, WhenMet};
use crate::engine::Engine;
use crate::flow::{Inspection, Tracked, Verdict};
use crate::output::{GateAction, Output, PacketInfo};

/// What is known of a connection whose client is to speak in turn.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Most octets that are kept back.
    bound: usize,
    /// How far the client's octets had left when something of them began to wait, and when that was.
    since: Option<(u64, Timestamp)>,
    /// That the bound was met was counted.
    full: bool,
}

impl Engine {
    /// How a flow that begins is paced, if it is.
    pub(super) fn pace_of(&self, tracked: &Tracked) -> Option<Pace> {
        let flow = &tracked.flow;
        if !self.serialised.iter().any(|name| name == flow.protocol_name) {
            return None;
        }
        let Inspection::Dialogue(conversation) = &tracked.inspection else { return None };
        let program = conversation.rules.grammars.program(flow.protocol?)?;
        // More than the grammar lets wait would end the conversation; less than a record would never come to its end.
        let runs_ahead = usize::try_from(program.runs_ahead(Direction::Up)?).unwrap_or(usize::MAX);
        let longest = usize::try_from(program.longest_record(Direction::Up)).unwrap_or(usize::MAX);
        let bound = self.settings.engine.hold_octets.max(longest).min(runs_ahead);
        Some(Pace { bound, since: None, full: false })
    }
}

impl Pace {
    /// Up to where the client's octets may leave, of so many that have come.
    pub(super) fn limit(&self, inspection: &Inspection, editor: &Editor, offset: u64) -> u64 {
        match inspection {
            // Who has said its last word answers nothing any more.
            _ if editor.has_ended(Direction::Down) => offset,
            Inspection::Dialogue(conversation) => {
                offset.saturating_sub(conversation.dialogue.unanswered(Direction::Up))
            }
            Inspection::None | Inspection::Undecided(_) => offset,
        }
    }

    /// Bounds what the client may send now, and notes what waits; whether the bound was met.
    pub(super) fn note(&mut self, inspection: &Inspection, editor: &mut Editor, now: Timestamp) -> bool {
        let (flows, ahead) = match inspection {
            Inspection::Dialogue(conversation) => {
                let dialogue = &conversation.dialogue;
                (dialogue.is_flowing(Direction::Up), dialogue.is_ahead(Direction::Up))
            }
            Inspection::None | Inspection::Undecided(_) => (true, false),
        };
        // Content that the server waits for goes on at its own speed.
        editor.bound_ahead(Direction::Up, (!flows).then_some(self.bound));
        let left = editor.released(Direction::Up);
        let waits = ahead && editor.held(Direction::Up) > 0;
        self.since = match self.since {
            Some((at, since)) if waits && at == left => Some((at, since)),
            _ => waits.then_some((left, now)),
        };
        let full = waits && editor.held(Direction::Up) >= self.bound;
        !std::mem::replace(&mut self.full, full) && full
    }

    fn is_late(&self, now: Timestamp, patience: std::time::Duration) -> bool {
        self.since.is_some_and(|(_, since)| now >= since.saturating_add(patience))
    }
}

impl Gate {
    /// Gives up a pace that an answer takes too long for: what was kept back leaves together, it was judged, or the
    /// connection is reset.
    pub(super) fn hurry(&mut self, flow: FlowId, now: Timestamp, output: &mut dyn Output, send: &mut Vec<Vec<u8>>) {
        let patience = self.engine.settings.engine.serialise_time;
        let Some(tracked) = self.engine.tracked_mut(flow) else { return };
        let Some(gate) = tracked.gate.as_mut().filter(|gate| !gate.open) else { return };
        if !gate.pace.as_ref().is_some_and(|pace| pace.is_late(now, patience)) {
            return;
        }
        gate.pace = None;
        if let Some(editor) = &mut gate.editor {
            editor.bound_ahead(Direction::Up, None);
        }
        let packet = PacketInfo::of_time(now);
        output.gate_action(&tracked.flow, &packet, GateAction::SerialiseTimeout);
        let resets = self.engine.settings.failures.when_met(Bound::SerialiseTime) == WhenMet::Drop;
        self.statistics.hold_timeouts += 1;
        self.engine.work.statistics.count(Bound::SerialiseTime);
        if resets && let Some(tracked) = self.engine.tracked_mut(flow) {
            tracked.flow.verdict = Verdict::Reset;
            self.part(flow, None, &packet, output, send);
        }
    }
}
