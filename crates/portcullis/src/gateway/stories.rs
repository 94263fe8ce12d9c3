//! Stories of flows that a gate keeps, for people who ask why.
//!
//! Of a flow that nobody follows and no rule alerts about there is none, and it costs nothing. Of a flow that a rule alerts
//! about or stops there is a short one from then on: what was decided and why, and what the gate did. Of flows that are
//! followed everything is written down, as `portcullis explain` does of a capture.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use portcullis_engine::{Explained, Flow, PacketInfo};
use portcullis_lang::Direction;
use portcullis_stream::FlowId;
use portcullis_wire::{Network, Timestamp, Transport, decode};

use crate::trace::{Page, Room, Wanted};

/// Most octets of the story of a flow that is followed.
pub(crate) const FOLLOWED_OCTETS: usize = 256 << 10;

/// Most octets of the story of a flow that only had an alert.
pub(crate) const ALERTED_OCTETS: usize = 16 << 10;

/// Most flows that a worker follows at once.
pub(crate) const MOST_FOLLOWED: usize = 64;

/// Most octets of all stories of a worker, also of flows that have ended. The oldest give way.
pub(crate) const ALL_OCTETS: usize = 24 << 20;

/// Most orders to follow flows that are in force at once.
pub(crate) const MOST_WISHES: usize = 16;

/// Which flows that begin are to be followed.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    /// Those that are meant by a name.
    Named(Wanted),
    /// So many, of all workers together.
    Next(Arc<AtomicU32>),
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wish::Named(wanted) => wanted.fmt(f),
            Wish::Next(left) => write!(f, "next {}", left.load(Ordering::Relaxed)),
        }
    }
}

/// What a worker has of stories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoryCounts {
    /// Flows that are followed at the moment.
    pub(crate) followed: usize,
    /// Stories, also of flows that have ended.
    pub(crate) kept: usize,
    /// Octets that they take.
    pub(crate) octets: usize,
    /// Flows that were to be followed, but there were too many.
    pub(crate) not_followed: u64,
    /// Stories that gave way to others.
    pub(crate) given_up: u64,
}

impl StoryCounts {
    /// With those of another worker.
    pub(crate) fn plus(self, other: StoryCounts) -> StoryCounts {
        StoryCounts {
            followed: self.followed.saturating_add(other.followed),
            kept: self.kept.saturating_add(other.kept),
            octets: self.octets.saturating_add(other.octets),
            not_followed: self.not_followed.saturating_add(other.not_followed),
            given_up: self.given_up.saturating_add(other.given_up),
        }
    }
}

/// The story of a flow that has not ended.
#[derive(Debug)]
struct Open {
    flow: FlowId,
    followed: bool,
    page: Page,
}

/// Stories of one worker's flows.
#[derive(Debug)]
pub(crate) struct Stories {
    /// By slot of the flow table.
    open: Vec<Option<Box<Open>>>,
    /// Flows that are followed.
    followed: Vec<FlowId>,
    /// Flows that only had an alert, in the order in which they had it, to give up the oldest.
    alerted: VecDeque<FlowId>,
    /// Stories of flows that have ended, in the order in which they did.
    past: VecDeque<Box<Open>>,
    wishes: Vec<Wish>,
    most: usize,
    counts: StoryCounts,
}

impl Default for Stories {
    fn default() -> Stories {
        Stories {
            open: Vec::new(),
            followed: Vec::new(),
            alerted: VecDeque::new(),
            past: VecDeque::new(),
            wishes: Vec::new(),
            most: ALL_OCTETS,
            counts: StoryCounts::default(),
        }
    }
}

impl Stories {
    /// How much of a flow is written down.
    pub(crate) fn explains(&self, flow: &Flow) -> Explained {
        if self.follows(flow) { Explained::Everything } else { Explained::Decisions }
    }

    /// Whether a flow is followed.
    pub(crate) fn follows(&self, flow: &Flow) -> bool {
        !self.followed.is_empty() && self.of(flow.id).is_some_and(|open| open.followed)
    }

    /// A flow begins, maybe one that is to be followed.
    pub(crate) fn begins(&mut self, flow: &Flow) {
        if self.wishes.is_empty() {
            return;
        }
        let wished = self.wishes.iter().any(|wish| match wish {
            // Its number nobody could know.
            Wish::Named(wanted) => wanted.is(&flow.key, || 0),
            Wish::Next(left) => {
                left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
            }
        });
        self.wishes.retain(|wish| !matches!(wish, Wish::Next(left) if left.load(Ordering::Relaxed) == 0));
        if wished {
            self.follow(flow, None);
        }
    }

    /// Follows a flow, maybe one that has begun before: `now` says when it was asked for.
    pub(crate) fn follow(&mut self, flow: &Flow, now: Option<Timestamp>) {
        if self.follows(flow) {
            return;
        }
        if self.followed.len() >= MOST_FOLLOWED {
            self.counts.not_followed = self.counts.not_followed.saturating_add(1);
            return;
        }
        self.open(flow);
        let Some(open) = self.of_mut(flow.id) else { return };
        open.followed = true;
        open.page.extend(FOLLOWED_OCTETS);
        if let Some(now) = now {
            open.page.begins_late("somebody asked to follow it", now);
        }
        self.followed.push(flow.id);
    }

    /// Follows flows that begin from now on; whether there is room for one more order.
    pub(crate) fn wish(&mut self, wish: Wish) -> bool {
        if let Wish::Named(wanted) = &wish
            && self.wishes.iter().any(|wish| matches!(wish, Wish::Named(named) if named == wanted))
        {
            return true;
        }
        let room = self.wishes.len() < MOST_WISHES;
        if room {
            self.wishes.push(wish);
        }
        room
    }

    /// Orders that are in force.
    pub(crate) fn wishes(&self) -> &[Wish] {
        &self.wishes
    }

    /// Follows what is named no longer, or nothing any more. What was written down stays.
    pub(crate) fn unfollow(&mut self, wanted: Option<&Wanted>) {
        let is = |named: &Wanted| wanted.is_none_or(|wanted| wanted == named);
        self.wishes.retain(|wish| match wish {
            Wish::Named(named) => !is(named),
            Wish::Next(_) => wanted.is_some(),
        });
        for open in self.open.iter_mut().flatten().filter(|open| open.followed) {
            if wanted.is_none_or(|wanted| open.page.is_of(wanted)) {
                open.followed = false;
                self.followed.retain(|flow| *flow != open.flow);
                self.alerted.push_back(open.flow);
            }
        }
    }

    /// Writes into the story of a flow, if there is one.
    pub(crate) fn write(&mut self, flow: &Flow, write: impl FnOnce(&mut Page, Room)) {
        self.write_to(flow.id, write);
    }

    fn write_to(&mut self, flow: FlowId, write: impl FnOnce(&mut Page, Room)) {
        let Some(open) = self.of_mut(flow) else { return };
        let before = open.page.octets();
        write(&mut open.page, Room::Enough);
        let after = open.page.octets();
        self.counts.octets = self.counts.octets.saturating_sub(before).saturating_add(after);
        self.make_room();
    }

    /// Writes into the story of the followed flow that a packet belongs to, where nobody has looked for it: those that are
    /// dropped before.
    pub(crate) fn write_by_packet(&mut self, packet: &PacketInfo<'_>, write: impl FnOnce(&mut Page, Room, Direction)) {
        if self.followed.is_empty() {
            return;
        }
        let Some((source, destination)) = ends(packet) else { return };
        let found = self.followed.iter().find_map(|flow| {
            let key = self.of(*flow)?.page.key();
            let sender = if (key.client, key.server) == (source, destination) {
                Direction::Up
            } else if (key.server, key.client) == (source, destination) {
                Direction::Down
            } else {
                return None;
            };
            Some((*flow, sender))
        });
        let Some((flow, sender)) = found else { return };
        self.write_to(flow, |page, room| write(page, room, sender));
    }

    /// Writes into the story of a flow about which a rule has decided something; it may be the beginning of it.
    pub(crate) fn write_decision(&mut self, flow: &Flow, now: Timestamp, write: impl FnOnce(&mut Page, Room)) {
        if self.of(flow.id).is_none() {
            self.open(flow);
            self.alerted.push_back(flow.id);
            if let Some(open) = self.of_mut(flow.id) {
                open.page.begins_late("nobody followed it before its first alert (portcullis ctl follow)", now);
            }
        }
        self.write(flow, write);
    }

    /// A flow has ended: its story stays as long as there is room.
    pub(crate) fn ends(&mut self, flow: &Flow, write: impl FnOnce(&mut Page, Room)) {
        if self.of(flow.id).is_none() {
            return;
        }
        self.write(flow, write);
        if let Some(open) = self.open.get_mut(flow.id.slot()).and_then(Option::take) {
            self.followed.retain(|followed| *followed != flow.id);
            self.past.push_back(open);
        }
        self.make_room();
    }

    /// The story of a flow that has not ended.
    pub(crate) fn page(&self, flow: &Flow) -> Option<&Page> {
        self.of(flow.id).map(|open| &open.page)
    }

    /// Stories of flows that have not ended.
    pub(crate) fn open_pages(&self) -> impl Iterator<Item = (FlowId, &Page)> {
        self.open.iter().flatten().map(|open| (open.flow, &open.page))
    }

    /// Stories of flows that have ended, the latest first.
    pub(crate) fn past_pages(&self) -> impl Iterator<Item = &Page> {
        self.past.iter().rev().map(|open| &open.page)
    }

    /// What there is.
    pub(crate) fn counts(&self) -> StoryCounts {
        StoryCounts { followed: self.followed.len(), ..self.counts }
    }

    fn of(&self, flow: FlowId) -> Option<&Open> {
        self.open.get(flow.slot())?.as_deref().filter(|open| open.flow == flow)
    }

    fn of_mut(&mut self, flow: FlowId) -> Option<&mut Open> {
        self.open.get_mut(flow.slot())?.as_deref_mut().filter(|open| open.flow == flow)
    }

    fn open(&mut self, flow: &Flow) {
        if self.of(flow.id).is_some() {
            return;
        }
        let slot = flow.id.slot();
        if self.open.len() <= slot {
            self.open.resize_with(slot.saturating_add(1), || None);
        }
        let Some(entry) = self.open.get_mut(slot) else { return };
        let page = Page::new(flow, ALERTED_OCTETS);
        let octets = page.octets();
        let old = entry.replace(Box::new(Open { flow: flow.id, followed: false, page }));
        self.counts.octets = self.counts.octets.saturating_add(octets);
        self.counts.kept = self.counts.kept.saturating_add(1);
        // A flow whose end nobody told of cannot be; if it were, its octets are not to count for ever.
        if let Some(old) = old {
            self.counts.octets = self.counts.octets.saturating_sub(old.page.octets());
            self.counts.kept = self.counts.kept.saturating_sub(1);
            self.followed.retain(|flow| *flow != old.flow);
        }
    }

    fn make_room(&mut self) {
        while self.counts.octets > self.most {
            let oldest = self.past.pop_front().or_else(|| self.oldest_alerted());
            let Some(oldest) = oldest else { break };
            self.counts.octets = self.counts.octets.saturating_sub(oldest.page.octets());
            self.counts.kept = self.counts.kept.saturating_sub(1);
            self.counts.given_up = self.counts.given_up.saturating_add(1);
        }
        // Behind a flow that lasts, those that have ended would collect.
        if self.alerted.len() > MOST_FOLLOWED.saturating_add(self.most / size_of::<Page>()) {
            let mut alerted = std::mem::take(&mut self.alerted);
            alerted.retain(|flow| self.of(*flow).is_some_and(|open| !open.followed));
            self.alerted = alerted;
        }
    }

    fn oldest_alerted(&mut self) -> Option<Box<Open>> {
        while let Some(flow) = self.alerted.pop_front() {
            if self.of(flow).is_some_and(|open| !open.followed) {
                return self.open.get_mut(flow.slot())?.take();
            }
        }
        None
    }
}

/// Sender and receiver of a packet, if it has ports.
fn ends(packet: &PacketInfo<'_>) -> Option<(SocketAddr, SocketAddr)> {
    let Network::Ip(ip) = decode(packet.link, packet.data).network else { return None };
    let (source, destination) = match ip.transport() {
        Transport::Tcp(segment) => (segment.source_port, segment.destination_port),
        Transport::Udp(datagram) => (datagram.source_port, datagram.destination_port),
        _ => return None,
    };
    Some(((ip.source, source).into(), (ip.destination, destination).into()))
}

#[cfg(test)]
mod tests {
    use portcullis_wire::{TcpFlags, TcpPacket};

    use super::*;
    use crate::trace::page::tests::flows;
    use crate::trace::tell;

    fn note(page: &mut Page, room: Room, text: &str) {
        let packet = PacketInfo::of_time(Timestamp(1));
        tell::note(page, room, &packet, text.to_owned());
    }

    #[test]
    fn nothing_is_kept_of_flows_that_nobody_follows_and_no_rule_alerts_about() {
        let mut stories = Stories::default();
        for flow in &flows(1000..1010) {
            stories.begins(flow);
            stories.write(flow, |_, _| panic!("nobody asked"));
            stories.ends(flow, |_, _| panic!("nobody asked"));
            assert_eq!(stories.explains(flow), Explained::Decisions);
        }
        assert_eq!(stories.counts(), StoryCounts::default());
        assert!(stories.open.is_empty());
    }

    #[test]
    fn a_decision_begins_a_story_that_says_it_is_late_and_outlives_the_flow() {
        let mut stories = Stories::default();
        let [flow] = &flows(1000..1001)[..] else { panic!("one flow") };
        stories.write_decision(flow, Timestamp(2_000_000_000), |page, room| note(page, room, "decided"));
        stories.write(flow, |page, room| note(page, room, "refused"));
        assert_eq!(stories.explains(flow), Explained::Decisions);
        assert!(stories.page(flow).is_some());
        stories.ends(flow, |page, room| note(page, room, "over"));
        assert!(stories.page(flow).is_none());
        let text = stories.past_pages().next().unwrap().text(None);
        for part in ["later than the flow, at +2.000000", "first alert", "decided", "refused", "over"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn orders_are_obeyed_and_taken_back() {
        let mut stories = Stories::default();
        let all = flows(1000..1006);
        assert!(stories.wish(Wish::Next(Arc::new(AtomicU32::new(2)))));
        all.iter().take(3).for_each(|flow| stories.begins(flow));
        let followed: Vec<bool> = all.iter().map(|flow| stories.follows(flow)).collect();
        assert_eq!(followed, [true, true, false, false, false, false]);
        assert!(stories.wishes().is_empty(), "two flows have begun");
        assert!(stories.wish(Wish::Named(Wanted::parse("192.0.2.1:1004"))));
        all.iter().skip(3).for_each(|flow| stories.begins(flow));
        assert_eq!(all.iter().filter(|flow| stories.follows(flow)).count(), 3);
        assert_eq!(stories.counts().followed, 3);
        stories.unfollow(Some(&Wanted::parse("192.0.2.1:1004")));
        assert!(stories.wishes().is_empty());
        assert!(!stories.follows(&all[4]) && stories.follows(&all[0]));
        assert!(stories.page(&all[4]).is_some(), "what was written stays");
        stories.unfollow(None);
        assert_eq!(stories.counts().followed, 0);
        for number in 0..MOST_WISHES {
            assert!(stories.wish(Wish::Named(Wanted::Text(number.to_string()))));
        }
        assert!(!stories.wish(Wish::Named(Wanted::parse("192.0.2.1"))));
        assert!(stories.wish(Wish::Named(Wanted::Text("0".to_owned()))), "that is in force already");
    }

    #[test]
    fn a_flow_that_has_begun_is_followed_from_now_on() {
        let mut stories = Stories::default();
        let [flow] = &flows(1000..1001)[..] else { panic!("one flow") };
        stories.follow(flow, Some(Timestamp(3_000_000_000)));
        assert_eq!(stories.explains(flow), Explained::Everything);
        let text = stories.page(flow).unwrap().text(None);
        assert!(text.contains("later than the flow, at +3.000000: somebody asked"), "{text}");
    }

    #[test]
    fn a_packet_that_nobody_reads_is_told_of_the_flow_that_it_claims() {
        let mut stories = Stories::default();
        let all = flows(1000..1002);
        stories.follow(&all[1], None);
        for (flow, expected) in [(&all[0], None), (&all[1], Some(Direction::Up))] {
            let packet = TcpPacket {
                source: flow.key.client,
                destination: flow.key.server,
                sequence: portcullis_wire::SequenceNumber(7),
                acknowledgement: portcullis_wire::SequenceNumber(0),
                flags: TcpFlags::ACK,
                window: 100,
                options: &[],
                payload: b"x",
            };
            let octets = packet.build().unwrap();
            let packet = PacketInfo { data: &octets, ..PacketInfo::of_time(Timestamp(1)) };
            let mut sender = None;
            stories.write_by_packet(&packet, |page, room, from| {
                sender = Some(from);
                tell::wrong_checksum(page, room, from, &packet);
            });
            assert_eq!(sender, expected);
        }
        let text = stories.page(&all[1]).unwrap().text(None);
        assert!(text.contains("gate: packet of the client dropped, unread: its checksum is wrong"), "{text}");
    }

    #[test]
    fn the_bounds_hold() {
        let mut stories = Stories { most: 64 << 10, ..Stories::default() };
        let all = flows(1000..1400);
        for flow in all.iter().take(MOST_FOLLOWED + 5) {
            stories.follow(flow, None);
        }
        let counts = stories.counts();
        assert_eq!((counts.followed, counts.not_followed), (MOST_FOLLOWED, 5));
        stories.unfollow(None);
        for (number, flow) in all.iter().enumerate().skip(100) {
            for _ in 0..20 {
                stories.write_decision(flow, Timestamp(1), |page, room| note(page, room, &"x".repeat(200)));
            }
            if number % 2 == 0 {
                stories.ends(flow, |page, room| note(page, room, "over"));
            }
            assert!(stories.counts().octets <= 64 << 10, "{:?}", stories.counts());
        }
        let counts = stories.counts();
        assert!(counts.given_up > 200 && counts.kept > 5, "{counts:?}");
        let sum = stories.open_pages().map(|(_, page)| page.octets()).chain(stories.past_pages().map(Page::octets));
        assert_eq!(sum.sum::<usize>(), counts.octets);
        assert!(stories.page(&all[399]).is_some(), "the latest is there");
        const { assert!(MOST_FOLLOWED * FOLLOWED_OCTETS < ALL_OCTETS, "what is followed never has to give way") }
    }
}
