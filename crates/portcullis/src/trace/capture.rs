//! The stories of the flows of captures.

use std::collections::HashMap;
use std::sync::Arc;

use portcullis_engine::{Bound, Explained, Flow, GateAction, Judgement, Output, PacketInfo, WhenMet};
use portcullis_grammar::Event;
use portcullis_lang::{Direction, EventId};
use portcullis_policy::{Reading, RuleInfo};
use portcullis_report::{EventIdentity, FlowIdentity};
use portcullis_stream::{EndReason, FlowId, FlowSummary, GapReason, StreamAnomaly};
use portcullis_wire::WireAnomaly;

use super::page::{Page, Room};
use super::{Wanted, tell};

/// Most octets that the story of one flow takes.
pub(crate) const FLOW_TEXT: usize = 1 << 20;

/// Most octets that the stories of all flows take that have not ended. Beyond it stories grow no more, and none begin.
pub(crate) const ALL_TEXT: usize = 64 << 20;

/// Writes down flows that are asked for.
pub(crate) struct Story {
    /// Nothing: all flows.
    wanted: Option<Wanted>,
    /// Flows that are there, and are asked for or not.
    flows: HashMap<FlowId, Option<Box<Page>>>,
    octets: usize,
    most: usize,
    /// Flows of which there is no story because the bound was met.
    untold: u64,
    /// Stories of flows that have ended, in the order in which they did, with what they are asked about.
    done: Vec<Page>,
}

impl Story {
    pub(crate) fn of(wanted: Option<Wanted>) -> Story {
        Story { wanted, flows: HashMap::new(), octets: 0, most: ALL_TEXT, untold: 0, done: Vec::new() }
    }

    /// The stories that have ended since the last time.
    pub(crate) fn done(&mut self) -> impl Iterator<Item = String> + '_ {
        let event: Option<EventIdentity> = self.wanted.as_ref().and_then(Wanted::event);
        self.octets = self.done.iter().fold(self.octets, |octets, page| octets.saturating_sub(page.octets()));
        self.done.drain(..).map(move |page| page.text(event))
    }

    /// Flows of which there is no story because [`ALL_TEXT`] was met.
    pub(crate) fn untold(&self) -> u64 {
        self.untold
    }

    /// Writes something into the story of a flow, if it is asked for.
    fn tell(&mut self, flow: &Flow, write: impl FnOnce(&mut Page, Room)) {
        let room = if self.octets < self.most { Room::Enough } else { Room::None };
        let Story { wanted, flows, octets, untold, .. } = self;
        let page = flows.entry(flow.id).or_insert_with(|| {
            let flow_id = || FlowIdentity::new(flow.key, flow.start).flow_id();
            let is_asked = wanted.as_ref().is_none_or(|wanted| wanted.is(&flow.key, flow_id));
            if is_asked && room == Room::None {
                *untold = untold.saturating_add(1);
            }
            (is_asked && room == Room::Enough).then(|| {
                let page = Box::new(Page::new(flow, FLOW_TEXT));
                *octets = octets.saturating_add(page.octets());
                page
            })
        });
        let Some(page) = page else { return };
        *octets = octets.saturating_sub(page.octets());
        write(page, room);
        *octets = octets.saturating_add(page.octets());
    }
}

impl Output for Story {
    fn wants(&self, _: &Flow, _: EventId) -> bool {
        true
    }

    fn explains(&self, flow: &Flow) -> Explained {
        match self.flows.get(&flow.id) {
            Some(None) => Explained::Nothing,
            _ => Explained::Everything,
        }
    }

    fn event(&mut self, flow: &Flow, packet: &PacketInfo<'_>, event: &Event<'_>) {
        self.tell(flow, |page, room| tell::event(page, room, flow, packet, event));
    }

    fn readings(
        &mut self,
        flow: &Flow,
        packet: &PacketInfo<'_>,
        event: &Event<'_>,
        readings: &[(Arc<RuleInfo>, Reading)],
    ) {
        self.tell(flow, |page, room| tell::readings(page, room, flow, packet, event, readings));
    }

    fn judgement(&mut self, flow: &Flow, packet: &PacketInfo<'_>, event: &Event<'_>, judgement: &Judgement<'_>) {
        self.tell(flow, |page, room| tell::judgement(page, room, flow, packet, event, judgement));
    }

    fn gate_action(&mut self, flow: &Flow, packet: &PacketInfo<'_>, action: GateAction) {
        self.tell(flow, |page, room| tell::action(page, room, flow, packet, action));
    }

    fn flow_ended(&mut self, flow: &Flow, summary: &FlowSummary, reason: EndReason, packet: &PacketInfo<'_>) {
        self.tell(flow, |page, room| tell::ended(page, room, flow, summary, reason, packet));
        self.done.extend(self.flows.remove(&flow.id).flatten().map(|page| *page));
    }

    fn stream_anomaly(
        &mut self,
        flow: &Flow,
        packet: &PacketInfo<'_>,
        direction: Direction,
        anomaly: StreamAnomaly,
        offset: u64,
    ) {
        self.tell(flow, |page, room| tell::anomaly(page, room, packet, direction, anomaly, offset));
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
        self.tell(flow, |page, room| tell::gap(page, room, packet, direction, offset, length, reason));
    }

    fn limit(&mut self, flow: &Flow, packet: &PacketInfo<'_>, bound: Bound, when_met: WhenMet) {
        self.tell(flow, |page, room| tell::limit(page, room, packet, bound, when_met));
    }

    fn wire_anomaly(&mut self, _: &PacketInfo<'_>, _: WireAnomaly) {}

    fn wrong_checksum(&mut self, _: &PacketInfo<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::page::tests::flow;

    #[test]
    fn only_what_is_asked_for_is_kept_and_all_of_it_is_bounded() {
        let flow = flow();
        let mut story = Story::of(Some(Wanted::parse("203.0.113.9")));
        story.tell(&flow, |_, _| panic!("nobody asks about it"));
        assert_eq!((story.explains(&flow), story.octets), (Explained::Nothing, 0));

        let mut story = Story { most: 4096, ..Story::of(Some(Wanted::parse("192.0.2.1:1000"))) };
        for _ in 0..100 {
            story.tell(&flow, |page, room| tell::note(page, room, &PacketInfo::of_time(flow.start), "x".repeat(100)));
        }
        assert!((3000..5000).contains(&story.octets), "{}", story.octets);
        assert_eq!(story.untold(), 0);

        let mut story = Story { most: 0, ..Story::of(None) };
        story.tell(&flow, |_, _| panic!("there is no room"));
        assert_eq!(story.untold(), 1);
    }
}
