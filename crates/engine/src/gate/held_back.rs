//! What rules hold: the octets of a side from a record or stream on, until an event that lets the whole be judged.
//!
//! The [`Editor`](portcullis_stream::Editor) of the connection keeps them back, acknowledges them so that their sender goes
//! on, and sends them on when the event has come and its rules were read: an edit of anything that is held can still be made.
//!
//! A hold ends without its event where that cannot come any more: its sender has ended or waits for an answer, which the
//! other side cannot give to what it has not got. No verdict depends on octets that nobody will send.

use portcullis_lang::{Direction, EventId};
use portcullis_stream::FlowId;
use portcullis_wire::Timestamp;

use super::Gate;
use crate::bounds::{Bound, WhenMet};
use crate::flow::{Inspection, Tracked, Verdict};
use crate::output::{GateAction, Output, PacketInfo};

/// A hold that a rule has begun.
#[derive(Clone, Debug)]
pub(crate) struct RuleHold {
    /// Of which side.
    pub(crate) direction: Direction,
    /// Octets of that side before what is held.
    pub(crate) offset: u64,
    /// What ends it.
    pub(crate) until: EventId,
    /// How many octets are held at most.
    pub(crate) max: u32,
    pub(crate) since: Timestamp,
}

/// Why a hold ends without its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Early {
    /// It cannot come.
    InVain,
    TooLong,
    TooMuch,
}

impl Gate {
    /// Ends holds whose event cannot come, took too long or too much; their octets leave with the next packet, or the
    /// connection is reset.
    pub(super) fn end_holds(
        &mut self,
        flow: FlowId,
        packet: &PacketInfo<'_>,
        output: &mut dyn Output,
        send: &mut Vec<Vec<u8>>,
    ) {
        let patience = self.engine.settings.engine.hold_time;
        let resets = self.engine.settings.failures.when_met(Bound::HoldTime) == WhenMet::Drop;
        let Some(tracked) = self.engine.tracked_mut(flow).filter(|tracked| !tracked.holds.is_empty()) else {
            return;
        };
        if tracked.gate.as_ref().is_none_or(|gate| gate.open) {
            tracked.holds.clear();
            return;
        }
        let Some(numbers) = self.engine.table().numbers(flow) else { return };
        let Some(tracked) = self.engine.tracked_mut(flow) else { return };
        let mut ended = Vec::new();
        let holds = std::mem::take(&mut tracked.holds);
        let (stay, gone): (Vec<RuleHold>, Vec<RuleHold>) = holds.into_iter().partition(|hold| {
            let come = numbers[hold.direction.index()].offset;
            let early = early(hold, tracked, come, packet.time, patience);
            ended.extend(early);
            early.is_none()
        });
        tracked.holds = stay;
        drop(gone);
        for why in &ended {
            let action = match why {
                Early::InVain => GateAction::HoldInVain,
                Early::TooLong => GateAction::HoldTimeout,
                Early::TooMuch => GateAction::HoldOverrun,
            };
            output.gate_action(&tracked.flow, packet, action);
        }
        let reset = resets && ended.iter().any(|why| *why != Early::InVain) && tracked.flow.verdict == Verdict::Accept;
        if reset {
            tracked.flow.verdict = Verdict::Reset;
        }
        for why in ended {
            let statistics = &mut self.engine.work.statistics;
            match why {
                Early::InVain => {}
                Early::TooLong => {
                    self.statistics.hold_timeouts += 1;
                    statistics.count(Bound::HoldTime);
                }
                Early::TooMuch => {
                    self.statistics.hold_overruns += 1;
                    statistics.count(Bound::HoldBytes);
                }
            }
        }
        if reset {
            self.part(flow, None, packet, output, send);
        }
    }
}

fn early(
    hold: &RuleHold,
    tracked: &Tracked,
    come: u64,
    now: Timestamp,
    patience: std::time::Duration,
) -> Option<Early> {
    let Inspection::Dialogue(conversation) = &tracked.inspection else { return Some(Early::InVain) };
    let dialogue = &conversation.dialogue;
    let program = tracked.flow.protocol.and_then(|protocol| conversation.rules.grammars.program(protocol));
    // What the machine has not come to yet waits for answers to what has left: they will come.
    let machine_at = come.saturating_sub(dialogue.unanswered(hold.direction));
    let waits = program.is_some_and(|program| dialogue.awaits_answer(program, hold.direction));
    let ended = tracked.gate.as_ref().and_then(|gate| gate.editor.as_ref());
    let ended = ended.is_some_and(|editor| editor.has_ended(hold.direction));
    if dialogue.is_over() || ended || (waits && machine_at > hold.offset) {
        return Some(Early::InVain);
    }
    if come.saturating_sub(hold.offset) > u64::from(hold.max) {
        return Some(Early::TooMuch);
    }
    (now >= hold.since.saturating_add(patience)).then_some(Early::TooLong)
}
