//! Carrying out what rules have decided about a connection, and what has to wait.

use portcullis_lang::Direction;
use portcullis_stream::{Editor, FlowId, FlowKey, Normalised, Parting, SideNumbers, Standing, Treatment};
use portcullis_wire::{IpPacket, SequenceNumber, TcpFlags, TcpPacket, TcpSegment, Timestamp};

use super::hold::{Held, Taken};
use super::pace::Pace;
use super::{Fate, Gate, Mode};
use crate::bounds::{Bound, WhenMet};
use crate::flow::{Inspection, Tracked, Verdict};
use crate::output::{Deed, GateAction, Output, PacketInfo};

/// What a gate keeps of a flow that it does something about.
#[derive(Debug, Default)]
pub(crate) struct GateFlow {
    /// By direction: octets that wait for an answer.
    held: [Option<Held>; 2],
    /// By direction: the last window field, for packets in the name of its sender.
    window: [u16; 2],
    /// The gate answers for both sides.
    parting: Option<Box<Parting>>,
    /// Whether the flow is among those that time decides something about.
    pub(super) listed: bool,
    /// Whether octets that wait are let go unread, because they waited for too long.
    pub(super) open: bool,
    /// What edits the connection, if rules may, or paces it.
    pub(super) editor: Option<Box<Editor>>,
    /// Whether rules may edit it.
    pub(super) edits: bool,
    /// Whether its client is to speak in turn.
    pub(super) pace: Option<Pace>,
}

impl GateFlow {
    /// That of a flow that is edited, paced or both.
    pub(super) fn edited(editor: Editor, edits: bool, pace: Option<Pace>) -> GateFlow {
        GateFlow { editor: Some(Box::new(editor)), edits, pace, ..GateFlow::default() }
    }

    /// Whether rules may edit it.
    pub(crate) fn is_edited(&self) -> bool {
        self.edits && self.editor.is_some()
    }

    /// Octets of memory that it takes.
    pub(crate) fn memory(&self) -> usize {
        let held = self.held.iter().flatten().map(Held::memory);
        let editor = self.editor.as_deref().map_or(0, Editor::memory);
        held.fold(size_of::<GateFlow>().saturating_add(editor), usize::saturating_add)
    }

    /// Whether octets lie in an editor that only it can repeat, or let go.
    pub(crate) fn keeps_edited(&self) -> bool {
        let keeps = |editor: &Editor| Direction::BOTH.iter().any(|way| editor.held(*way) + editor.recorded(*way) > 0);
        self.editor.as_deref().is_some_and(keeps)
    }

    fn is_idle(&self) -> bool {
        self.parting.is_none() && self.editor.is_none() && self.held.iter().all(Option::is_none)
    }
}

impl Gate {
    /// What becomes of a segment of a flow.
    #[expect(clippy::too_many_arguments, reason = "a segment with all that is known of it")]
    pub(super) fn segment(
        &mut self,
        flow: FlowId,
        ip: &IpPacket<'_>,
        segment: &TcpSegment<'_>,
        normalised: &Normalised,
        packet: &PacketInfo<'_>,
        output: &mut dyn Output,
        send: &mut Vec<Vec<u8>>,
    ) -> Fate {
        let direction = normalised.direction;
        let Some(tracked) = self.engine.tracked_mut(flow) else {
            // The flow ended with this segment, as one that begins another in its place.
            return self.treated(ip, segment, &normalised.treatment);
        };
        if let Some(parting) = tracked.gate.as_mut().and_then(|gate| gate.parting.as_mut()) {
            parting.packet(direction, segment, packet.time, send);
            self.deed = Some(Deed::Answered);
            self.statistics.refused += 1;
            return Fate::Drop;
        }
        match &tracked.flow.verdict {
            Verdict::Accept => {}
            // Its numbers have to be translated to its end.
            Verdict::Bypass if tracked.gate.as_ref().is_some_and(|gate| gate.editor.is_some()) => {
                if let Some(gate) = &mut tracked.gate {
                    gate.open = true;
                }
            }
            Verdict::Bypass => {
                self.statistics.bypassed += 1;
                return match &normalised.treatment {
                    Treatment::Change(rewrite) => {
                        self.deed = Some(Deed::Changed(rewrite.changes()));
                        Fate::Replace(rewrite.apply(ip, segment))
                    }
                    Treatment::Forward | Treatment::Drop(_) => Fate::Bypass,
                };
            }
            Verdict::Drop => {
                self.deed = Some(Deed::Stopped);
                self.statistics.dropped += 1;
                self.statistics.dropped_by_rules += 1;
                return Fate::Drop;
            }
            Verdict::Reset | Verdict::Refuse(_) => {
                self.part(flow, Some(normalised), packet, output, send);
                self.deed = Some(Deed::Answered);
                self.statistics.refused += 1;
                return Fate::Drop;
            }
        }
        if let Some(fate) = self.edited(flow, ip, segment, normalised, packet, output, send) {
            return fate;
        }
        if self.settings.mode == Mode::Observe {
            return self.treated(ip, segment, &normalised.treatment);
        }
        if let Some(fate) = self.hold(flow, segment, normalised, packet.time) {
            return fate;
        }
        self.treated(ip, segment, &normalised.treatment)
    }

    /// Begins to answer for both sides of a connection that a rule has refused or reset, maybe because of a segment that
    /// does not leave.
    pub(super) fn part(
        &mut self,
        flow: FlowId,
        cause: Option<&Normalised>,
        packet: &PacketInfo<'_>,
        output: &mut dyn Output,
        send: &mut Vec<Vec<u8>>,
    ) {
        if self.settings.mode == Mode::Observe {
            return;
        }
        let Some(numbers) = self.engine.table().numbers(flow) else { return };
        let said = self.engine.table().unacknowledged(flow, Direction::Down);
        let mtu = self.settings.mtu;
        let Some(tracked) = self.engine.tracked_mut(flow) else { return };
        let standing = match tracked.gate.as_ref().and_then(|gate| gate.editor.as_ref()) {
            Some(editor) => editor.standing(),
            None => standing(&numbers, said, tracked.gate.as_deref(), cause),
        };
        let key = tracked.flow.key;
        let (parting, action) = match &tracked.flow.verdict {
            Verdict::Refuse(text) => {
                self.statistics.refusals += 1;
                let reply = format!("{text}\r\n");
                let parting = Parting::refuse(&key, &standing, reply.as_bytes(), mtu, packet.time, send);
                (parting, GateAction::Refused)
            }
            _ => {
                self.statistics.resets += 1;
                (Parting::reset(&key, &standing, packet.time, send), GateAction::Reset)
            }
        };
        let gate = tracked.gate.get_or_insert_default();
        gate.held = [None, None];
        gate.editor = None;
        gate.parting = Some(Box::new(parting));
        let listed = std::mem::replace(&mut gate.listed, true);
        output.gate_action(&tracked.flow, packet, action);
        if !listed {
            self.waiting.push(flow);
        }
        self.engine.table_mut().set_reset(flow);
    }

    /// Holds what an answer of the other side has to decide about; the fate of a segment that has such octets.
    fn hold(
        &mut self,
        flow: FlowId,
        segment: &TcpSegment<'_>,
        normalised: &Normalised,
        now: Timestamp,
    ) -> Option<Fate> {
        let Normalised { direction, start, end, .. } = *normalised;
        let most = self.engine.settings.engine.hold_octets;
        let tracked = self.engine.tracked_mut(flow)?;
        let waits = waiting(tracked, direction);
        let (holds, open) =
            tracked.gate.as_ref().map_or((false, false), |gate| (gate.held[direction.index()].is_some(), gate.open));
        if open || (waits == 0 && !holds) {
            return None;
        }
        let offset = self.engine.table().numbers(flow)?[direction.index()].offset;
        let tracked = self.engine.tracked_mut(flow)?;
        let limit = offset.saturating_sub(waits);
        let fin = segment.flags.contains(TcpFlags::FIN);
        // Behind a hole nothing is read, and what lies before the limit was judged.
        let concerns = start < offset.max(limit) || holds;
        if (limit >= offset && !holds) || end < limit || (end == limit && !(fin && holds)) || !concerns {
            return None;
        }
        let payload = match &normalised.treatment {
            Treatment::Forward => segment.payload,
            Treatment::Change(rewrite) => rewrite.payload(segment),
            Treatment::Drop(_) => return None,
        };
        let fin = match &normalised.treatment {
            Treatment::Change(rewrite) => rewrite.flags(segment).contains(TcpFlags::FIN),
            _ => fin,
        };
        let judged = usize::try_from(limit.saturating_sub(start)).unwrap_or(usize::MAX).min(payload.len());
        let (before, behind) = payload.split_at_checked(judged).unwrap_or((payload, &[]));
        let gate = tracked.gate.get_or_insert_default();
        gate.window[direction.index()] = segment.window;
        let held = gate.held[direction.index()].get_or_insert_with(|| Held::new(limit, now));
        let taken = held.take(start.max(limit), behind, fin, most);
        let listed = std::mem::replace(&mut gate.listed, true);
        let key = tracked.flow.key;
        if !listed {
            self.waiting.push(flow);
        }
        if taken == Taken::TooMany {
            self.statistics.hold_overruns += 1;
            self.engine.work.statistics.count(Bound::HoldBytes);
        }
        if before.is_empty() {
            self.deed = Some(Deed::Held);
            self.statistics.dropped += 1;
            self.statistics.held += 1;
            return Some(Fate::Drop);
        }
        // What was judged leaves at once: the answer that the rest waits for is an answer to it.
        self.deed = Some(Deed::HeldInPart);
        self.statistics.accepted += 1;
        self.statistics.rewritten += 1;
        let flags = TcpFlags(segment.flags.0 & !(TcpFlags::FIN.0 | TcpFlags::URG.0));
        let (source, destination) = ends(&key, direction);
        let options = match &normalised.treatment {
            Treatment::Change(rewrite) => rewrite.options(segment),
            _ => segment.options.as_bytes(),
        };
        let packet = TcpPacket {
            source,
            destination,
            sequence: segment.sequence,
            acknowledgement: segment.acknowledgement,
            flags,
            window: segment.window,
            options,
            payload: before,
        };
        Some(packet.build().map_or(Fate::Drop, Fate::Replace))
    }

    /// Lets go what was judged in the meantime.
    pub(super) fn release(&mut self, flow: FlowId, now: Timestamp, send: &mut Vec<Vec<u8>>) {
        let Some(tracked) = self.engine.tracked_mut(flow) else { return };
        if tracked.gate.as_ref().is_none_or(|gate| gate.is_idle()) || tracked.flow.verdict.stops() {
            return;
        }
        let Some(numbers) = self.engine.table().numbers(flow) else { return };
        let mtu = self.settings.mtu;
        let Some(tracked) = self.engine.tracked_mut(flow) else { return };
        for direction in Direction::BOTH {
            let limit = numbers[direction.index()].offset.saturating_sub(waiting(tracked, direction));
            let key = tracked.flow.key;
            let Some(gate) = tracked.gate.as_mut() else { return };
            let limit = if gate.open { u64::MAX } else { limit };
            let window = gate.window[direction.index()];
            let Some(held) = &mut gate.held[direction.index()] else { continue };
            let begin = held.begin();
            let (octets, end) = held.release(limit, now);
            if held.is_empty() {
                gate.held[direction.index()] = None;
            }
            let packets = Emission { key: &key, direction, numbers: &numbers, window, mtu };
            packets.emit(begin, &octets, end, send);
        }
    }

    /// Lets everything that is held go, unread.
    pub(super) fn release_all(&mut self, flow: FlowId, send: &mut Vec<Vec<u8>>) {
        if let Some(gate) = self.engine.tracked_mut(flow).and_then(|tracked| tracked.gate.as_mut()) {
            gate.open = true;
        }
        self.release(flow, Timestamp::MIN, send);
    }

    /// What time decides about a flow; whether it still has to be looked after.
    pub(super) fn time_passes(
        &mut self,
        flow: FlowId,
        now: Timestamp,
        output: &mut dyn Output,
        send: &mut Vec<Vec<u8>>,
    ) -> bool {
        let hold_time = self.engine.settings.engine.hold_time;
        let when_met = self.engine.settings.failures.when_met(Bound::HoldTime);
        let Some(tracked) = self.engine.tracked_mut(flow) else { return false };
        let Some(gate) = &mut tracked.gate else { return false };
        if let Some(parting) = &mut gate.parting {
            gate.listed = parting.tick(now, send);
            return gate.listed;
        }
        if let Some(more) = self.edited_tick(flow, now, output, send) {
            return more;
        }
        let Some(tracked) = self.engine.tracked_mut(flow) else { return false };
        let Some(gate) = &mut tracked.gate else { return false };
        let late = |held: &Held| now >= held.since().saturating_add(hold_time);
        if gate.held.iter().flatten().any(late) {
            self.statistics.hold_timeouts += 1;
            let packet = PacketInfo::of_time(now);
            self.engine.work.statistics.count(Bound::HoldTime);
            let Some(tracked) = self.engine.tracked_mut(flow) else { return false };
            match when_met {
                WhenMet::Accept => {
                    output.gate_action(&tracked.flow, &packet, GateAction::HoldTimeout);
                    self.release_all(flow, send);
                }
                WhenMet::Drop => {
                    output.gate_action(&tracked.flow, &packet, GateAction::HoldTimeout);
                    tracked.flow.verdict = Verdict::Reset;
                    self.part(flow, None, &packet, output, send);
                    return true;
                }
            }
        }
        let Some(tracked) = self.engine.tracked_mut(flow) else { return false };
        let Some(gate) = &mut tracked.gate else { return false };
        gate.listed = !gate.is_idle();
        gate.listed
    }
}

/// Octets of a direction that wait for an answer of the other side.
pub(super) fn waiting(tracked: &Tracked, direction: Direction) -> u64 {
    match &tracked.inspection {
        Inspection::Dialogue(conversation) => conversation.dialogue.stalled(direction),
        Inspection::None | Inspection::Undecided(_) => 0,
    }
}

/// Where both sides stand: what came, and what their receivers have of it; given what the server has said that the client
/// has not acknowledged.
fn standing(
    numbers: &[SideNumbers; 2],
    mut said: Vec<u8>,
    gate: Option<&GateFlow>,
    cause: Option<&Normalised>,
) -> Standing {
    let let_through = Direction::BOTH.map(|direction| {
        let held = gate.and_then(|gate| gate.held[direction.index()].as_ref()).map(Held::begin);
        let before = cause.filter(|cause| cause.direction == direction).map(|cause| cause.before);
        [held, before].into_iter().flatten().fold(numbers[direction.index()].offset, u64::min)
    });
    let expected = Direction::BOTH.map(|direction| number(&numbers[direction.index()], let_through[direction.index()]));
    // What did not leave is not said.
    let [_, down] = numbers;
    let kept_back = usize::try_from(down.offset.saturating_sub(let_through[1])).unwrap_or(usize::MAX);
    said.truncate(said.len().saturating_sub(kept_back));
    let (came, clocks) = (numbers.map(|side| side.next), numbers.map(|side| side.clock));
    Standing { came, expected, clocks, unacknowledged: said }
}

/// The sequence number of an offset.
fn number(side: &SideNumbers, offset: u64) -> SequenceNumber {
    SequenceNumber(side.next.0.wrapping_sub(side.offset.wrapping_sub(offset) as u32))
}

fn ends(key: &FlowKey, direction: Direction) -> (std::net::SocketAddr, std::net::SocketAddr) {
    match direction {
        Direction::Up => (key.client, key.server),
        Direction::Down => (key.server, key.client),
    }
}

/// Packets in the name of a sender.
struct Emission<'a> {
    key: &'a FlowKey,
    direction: Direction,
    numbers: &'a [SideNumbers; 2],
    window: u16,
    mtu: u16,
}

impl Emission<'_> {
    /// Appends packets with octets that begin at an offset of the direction, and its end if it has come.
    fn emit(&self, offset: u64, octets: &[u8], end: bool, send: &mut Vec<Vec<u8>>) {
        let own = self.numbers[self.direction.index()];
        let other = self.numbers[self.direction.other().index()];
        let (source, destination) = ends(self.key, self.direction);
        let headers = if source.is_ipv4() { 40 } else { 60 };
        let options = own.options(&other);
        let most = usize::from(self.mtu).saturating_sub(headers + options.len()).max(1);
        // Only what the sender has acknowledged itself: what it has not got must be repeated to it.
        let acknowledgement = number(&other, other.acknowledged);
        let mut at = offset;
        for chunk in octets.chunks(most) {
            let packet = TcpPacket::data(source, destination, number(&own, at), acknowledgement, self.window, chunk);
            send.extend(TcpPacket { options: &options, ..packet }.build());
            at = at.saturating_add(chunk.len() as u64);
        }
        if end {
            let fin = TcpPacket::fin(source, destination, number(&own, at), acknowledgement, self.window);
            send.extend(TcpPacket { options: &options, ..fin }.build());
        }
    }
}
