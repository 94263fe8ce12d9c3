//! Where the engine's findings go.

use std::sync::Arc;

use portcullis_grammar::Event;
use portcullis_lang::{Direction, EventId};
use portcullis_policy::{Decision, Reading, RuleInfo};
use portcullis_stream::{ChangeSet, DropReason, EndReason, FlowSummary, GapReason, StreamAnomaly};
use portcullis_wire::{LinkType, Timestamp, WireAnomaly};

use crate::bounds::{Bound, WhenMet};
use crate::flow::{Flow, StreamEdit};
use crate::gate::Mode;

/// The packet that something was found in.
#[derive(Clone, Copy, Debug)]
pub struct PacketInfo<'a> {
    /// Its number in the capture, from 1; 0 for what time alone brought about.
    pub number: u64,
    /// When it was captured.
    pub time: Timestamp,
    /// Its VLANs, the outer one first.
    pub vlans: &'a [u16],
    /// Its link layer.
    pub link: LinkType,
    /// Its octets.
    pub data: &'a [u8],
}

impl PacketInfo<'_> {
    /// What stands for a packet where time alone brought something about.
    pub fn of_time(time: Timestamp) -> PacketInfo<'static> {
        PacketInfo { number: 0, time, vlans: &[], link: LinkType::RawIp, data: &[] }
    }
}

/// What a gate does about a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateAction {
    /// The client was answered with the text of the verdict, and the connection is being closed.
    Refused,
    /// Both sides were told that the connection is broken.
    Reset,
    /// Octets waited too long for an answer that decides what they are, or for the event until which a rule holds them.
    HoldTimeout,
    /// A rule has held more octets than it may.
    HoldOverrun,
    /// What a rule held was let go, because the event that it waited for could not come any more.
    HoldInVain,
    /// Commands waited too long for the answer to the one before.
    SerialiseTimeout,
    /// An edit that a rule has decided on could not be made.
    EditFailed,
    /// All conversations together hold as much as they may ([`Bound::ConversationMemory`]), so that an edited connection,
    /// which cannot go on without what is kept of it, is reset.
    EditMemory,
}

impl GateAction {
    /// The action in records, in snake case.
    pub fn name(self) -> &'static str {
        match self {
            GateAction::Refused => "refused",
            GateAction::Reset => "reset",
            GateAction::HoldTimeout => "hold_timeout",
            GateAction::HoldOverrun => "hold_overrun",
            GateAction::HoldInVain => "hold_in_vain",
            GateAction::SerialiseTimeout => "serialise_timeout",
            GateAction::EditFailed => "edit_failed",
            GateAction::EditMemory => "edit_memory",
        }
    }
}

/// What a gate has done about a packet of a flow, beside letting it pass as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// The normaliser has changed something about it.
    Changed(ChangeSet),
    /// The normaliser has dropped it.
    Dropped(DropReason),
    /// It was dropped because a rule has stopped the flow.
    Stopped,
    /// It was dropped because the connection is refused or reset: the gate answers it itself.
    Answered,
    /// It was dropped, and its octets are held until an answer of the other side decides what they are.
    Held,
    /// What was judged of it has left, the rest is held.
    HeldInPart,
    /// It was dropped, and its octets leave in packets of the gate's own: rules may edit the connection, or its client is to speak in turn.
    Reissued,
}

/// How much somebody asks about why rules decide as they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Explained {
    /// Nobody asks.
    #[default]
    Nothing,
    /// What the rules on an event come to, if one of them alerts or acts.
    Decisions,
    /// What the rules on every event come to.
    Everything,
}

/// What became of an edit that a rule has decided on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EditOutcome {
    /// It is being made.
    Made,
    /// The rule, or the gate, only observes.
    Would,
    /// What was to come in does not fit what it would have come into, and why.
    Refused(&'static str),
    /// The connection cannot be edited: it was there before the gate, or before its rules.
    Impossible,
}

impl EditOutcome {
    /// The outcome in records, in snake case.
    pub fn name(self) -> &'static str {
        match self {
            EditOutcome::Made => "edited",
            EditOutcome::Would => "would_edit",
            EditOutcome::Refused(_) => "edit_refused",
            EditOutcome::Impossible => "edit_failed",
        }
    }
}

/// A decision of a rule about an event.
#[derive(Clone, Copy, Debug)]
pub struct Judgement<'a> {
    /// The rule and what it wants.
    pub decision: &'a Decision,
    /// Whether the same rule discards the event: of an alert, that it tells of something that was stopped.
    pub blocked: bool,
    /// Whether it would have, had it not been told to observe only.
    pub would_block: bool,
    /// All that the same rule decides about the event, this decision included.
    pub of_rule: &'a [Decision],
}

impl Judgement<'_> {
    /// The verdict of the rule, if it has one.
    pub fn verdict(&self) -> Option<&Decision> {
        self.of_rule.iter().find(|decision| decision.action.is_verdict())
    }
}

/// Takes what an engine finds, in the order of the packets.
pub trait Output {
    /// An event of a conversation.
    fn event(&mut self, flow: &Flow, packet: &PacketInfo<'_>, event: &Event<'_>);

    /// Whether [`Output::event`] does anything with an event; what nobody reads is not made.
    fn wants(&self, flow: &Flow, event: EventId) -> bool;

    /// Whether somebody asks why rules decide as they do about a flow, so that [`Output::readings`] is told. It is asked for
    /// every event that rules read, and for every packet that a gate does something about.
    fn explains(&self, _flow: &Flow) -> Explained {
        Explained::Nothing
    }

    /// What the tests of each rule on an event come to, in the order in which rules are read.
    fn readings(
        &mut self,
        _flow: &Flow,
        _packet: &PacketInfo<'_>,
        _event: &Event<'_>,
        _readings: &[(Arc<RuleInfo>, Reading)],
    ) {
    }

    /// A rule has decided something about an event.
    fn judgement(&mut self, flow: &Flow, packet: &PacketInfo<'_>, event: &Event<'_>, judgement: &Judgement<'_>);

    /// There is something to tell of a flow, or it has ended: once for each flow, before all others. Of a flow that never
    /// gets beyond its handshake it comes at its end.
    fn flow_started(&mut self, _flow: &Flow, _packet: &PacketInfo<'_>) {}

    /// A flow has begun that is dropped because a rule has blocked an address of it.
    fn flow_blocked(&mut self, _flow: &Flow, _packet: &PacketInfo<'_>, _rule: &RuleInfo) {}

    /// A rule has blocked one address more than there may be ([`Bound::Blocks`]): another block ended before its time.
    fn block_displaced(&mut self, _flow: &Flow, _packet: &PacketInfo<'_>) {}

    /// A flow has ended, or the input has.
    fn flow_ended(&mut self, flow: &Flow, summary: &FlowSummary, reason: EndReason, packet: &PacketInfo<'_>);

    /// The next octets of a stream, as their receiver reads them, of whatever protocol; together with [`Output::gap`] they
    /// follow each other without a hole.
    fn stream_octets(
        &mut self,
        _flow: &Flow,
        _packet: &PacketInfo<'_>,
        _direction: Direction,
        _offset: u64,
        _octets: &[u8],
    ) {
    }

    /// Something is odd about a segment.
    fn stream_anomaly(
        &mut self,
        flow: &Flow,
        packet: &PacketInfo<'_>,
        direction: Direction,
        anomaly: StreamAnomaly,
        offset: u64,
    );

    /// Octets of a stream are missing.
    fn gap(
        &mut self,
        flow: &Flow,
        packet: &PacketInfo<'_>,
        direction: Direction,
        offset: u64,
        length: u64,
        reason: GapReason,
    );

    /// Something is odd about a packet below its flow.
    fn wire_anomaly(&mut self, packet: &PacketInfo<'_>, anomaly: WireAnomaly);

    /// A gate has done something about a flow.
    fn gate_action(&mut self, _flow: &Flow, _packet: &PacketInfo<'_>, _action: GateAction) {}

    /// A gate has done something about a packet of a flow that somebody asks about; one that only observes would have done it.
    fn deed(&mut self, _flow: &Flow, _packet: &PacketInfo<'_>, _deed: Deed, _mode: Mode) {}

    /// A gate sends a packet of its own, from its IP header on, in a flow that somebody asks about.
    fn own_packet(&mut self, _flow: &Flow, _packet: &PacketInfo<'_>, _octets: &[u8]) {}

    /// A rule has decided on an edit, in the way of the packets: what became of it. An edit of a whole stream is told once.
    fn edited(&mut self, _flow: &Flow, _packet: &PacketInfo<'_>, _rule: &Arc<RuleInfo>, _outcome: EditOutcome) {}

    /// Whether somebody wants to see what becomes of streams, though nobody is in the way of their packets:
    /// [`Output::stream_edited`].
    fn wants_stream_edits(&self) -> bool {
        false
    }

    /// A stream is edited; see [`Output::wants_stream_edits`].
    fn stream_edited(&mut self, _flow: &Flow, _edit: &StreamEdit) {}

    /// A packet is longer than what was copied of it, and cannot be inspected.
    fn uninspected(&mut self, _packet: &PacketInfo<'_>, _original_length: usize) {}

    /// The checksum of a packet is wrong, so that its receiver drops it; it was not looked at.
    fn wrong_checksum(&mut self, packet: &PacketInfo<'_>);

    /// The checksum of this packet is not right, and neither were those of all others that its sender has sent: they were
    /// captured before the network interface computed them, and were taken all the same. It is told of the first such
    /// packet of the input only; [`Statistics::unverified_checksum`](crate::Statistics::unverified_checksum) counts them.
    fn unverified_checksums(&mut self, _packet: &PacketInfo<'_>) {}

    /// Octets of memory that it keeps of a flow that has not ended, beside what it keeps of every flow. They count as what
    /// the conversation holds; [`Output::limit`] is the time to give them back.
    fn held(&self, _flow: &Flow) -> usize {
        0
    }

    /// A bound was met, so that a flow is not inspected from here on; its verdict is decided already.
    fn limit(&mut self, _flow: &Flow, _packet: &PacketInfo<'_>, _bound: Bound, _when_met: WhenMet) {}
}
