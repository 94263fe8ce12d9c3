//! The way of a segment through the flow table of a gateway.

use portcullis_lang::Direction;
use portcullis_wire::{IpPacket, TcpFlags, TcpSegment, Timestamp};

use crate::connection::{Connection, is_invalid};
use crate::envelope::Envelope;
use crate::event::StreamEvents;
use crate::flow::FlowId;
use crate::half::Context;
use crate::slot::{Body, Class};
use crate::table::{FlowTable, Place};

use super::reasons::{DropReason, NormaliserStatistics};
use super::rewrite::{Rewrite, is_ip_odd};
use super::segment::{Opened, normalise_opening};
use super::{Midstream, Normalised, NormaliserSettings, SideNumbers, Treatment};

/// What a table keeps for its normaliser.
#[derive(Debug, Default)]
pub(crate) struct Normaliser {
    pub(crate) settings: NormaliserSettings,
    statistics: NormaliserStatistics,
    /// Flows that began until then may have had packets that nobody saw.
    missed: Option<Timestamp>,
}

impl FlowTable {
    /// Makes the table that of a gateway, whose segments go through [`FlowTable::normalise`] and not [`FlowTable::tcp`].
    pub fn with_normaliser(mut self, settings: NormaliserSettings) -> FlowTable {
        self.midstream = settings.midstream == Midstream::Inspect;
        self.normaliser = Some(Box::new(Normaliser { settings, ..Normaliser::default() }));
        self
    }

    /// Takes a TCP segment as [`FlowTable::tcp`] does, and says what is to be done to it before it leaves.
    ///
    /// What the events deliver is, octet for octet, what leaves. A packet with a wrong checksum is not to be given.
    pub fn normalise<'a>(
        &mut self,
        envelope: &Envelope,
        ip: &IpPacket<'_>,
        segment: &TcpSegment<'a>,
        out: &mut StreamEvents<'a>,
    ) -> Normalised {
        let mut normalised = match self.locate(envelope, segment, out) {
            Some(place) => self.normalise_in(&place, envelope, segment, out),
            None => Normalised {
                flow: None,
                direction: Direction::Up,
                start: 0,
                end: 0,
                before: 0,
                treatment: self.stray(segment),
            },
        };
        let Some(normaliser) = &mut self.normaliser else { return normalised };
        let minimum_ttl = normaliser.settings.minimum_ttl;
        if is_ip_odd(ip, minimum_ttl) && !matches!(normalised.treatment, Treatment::Drop(_)) {
            let mut rewrite = match normalised.treatment {
                Treatment::Change(rewrite) => rewrite,
                Treatment::Forward | Treatment::Drop(_) => Box::default(),
            };
            rewrite.clean_ip(ip, minimum_ttl);
            normalised.treatment = Treatment::Change(rewrite);
        }
        match &normalised.treatment {
            Treatment::Forward => {}
            Treatment::Change(rewrite) => normaliser.statistics.count_changes(rewrite.changes),
            Treatment::Drop(reason) => normaliser.statistics.count_drop(*reason),
        }
        normalised
    }

    /// Counts a packet that was dropped before it came to its flow.
    pub fn count_drop(&mut self, reason: DropReason) {
        if let Some(normaliser) = &mut self.normaliser {
            normaliser.statistics.count_drop(reason);
        }
    }

    /// Says that packets of any flow may have gone past unseen up to now, so that what their receivers acknowledge counts.
    pub fn packets_were_missed(&mut self) {
        let now = self.now;
        if let Some(normaliser) = &mut self.normaliser {
            normaliser.missed = Some(now);
        }
    }

    /// What the normaliser has done; `None` without one.
    pub fn normaliser_statistics(&self) -> Option<&NormaliserStatistics> {
        self.normaliser.as_deref().map(|normaliser| &normaliser.statistics)
    }

    /// The numbers of both sides of a connection, up first; `None` for what has no numbers yet.
    pub fn numbers(&self, flow: FlowId) -> Option<[SideNumbers; 2]> {
        match &self.slot_of(flow)?.body {
            Body::Connection(connection) => Some(connection.numbers()),
            Body::Opening(opening) => {
                let of = |direction| SideNumbers {
                    next: opening.next(direction).unwrap_or_default(),
                    offset: 0,
                    acknowledged: 0,
                    edge: 0,
                    finished: false,
                    clock: None,
                };
                Some(Direction::BOTH.map(of))
            }
            Body::Free | Body::Datagrams(_) => None,
        }
    }

    /// The octets of a direction before [`SideNumbers::next`] that their receiver has not acknowledged, as far as they are kept
    /// (see [`Limits::compare_bytes`](crate::Limits::compare_bytes)): what nobody but the gateway can repeat when it ends a
    /// connection.
    pub fn unacknowledged(&self, flow: FlowId, direction: Direction) -> Vec<u8> {
        match self.slot_of(flow).map(|slot| &slot.body) {
            Some(Body::Connection(connection)) => connection.unacknowledged(direction),
            _ => Vec::new(),
        }
    }

    /// From now on segments of this flow that are out of order do not leave; what they bring is delivered in its turn.
    pub fn withhold_out_of_order(&mut self, flow: FlowId) {
        let index = flow.index;
        let Some(slot) = self.slots.get_mut(flow.slot()).filter(|slot| slot.id(index) == flow) else { return };
        if let Body::Opening(opening) = &mut slot.body {
            let midstream = !opening.any_syn_seen();
            let timer = slot.start.saturating_add(self.limits.embryonic);
            slot.body = Body::Connection(Box::new(Connection::new(opening, midstream, timer)));
        }
        if let Body::Connection(connection) = &mut slot.body {
            connection.withhold();
        }
    }

    /// Says that the gateway has told a sender that it may send up to an offset of its stream, as an
    /// [`Editor`](crate::Editor) does in the receiver's name.
    pub fn allow(&mut self, flow: FlowId, direction: Direction, edge: u64) {
        let index = flow.index;
        if let Some(slot) = self.slots.get_mut(flow.slot()).filter(|slot| slot.id(index) == flow)
            && let Body::Connection(connection) = &mut slot.body
        {
            connection.allow(direction, edge);
        }
    }

    /// Says that the gateway has reset a connection: it is remembered as long as one that a side has reset.
    pub fn set_reset(&mut self, flow: FlowId) {
        let index = flow.index;
        let Some(slot) = self.slots.get_mut(flow.slot()).filter(|slot| slot.id(index) == flow) else { return };
        if let Body::Connection(connection) = &mut slot.body {
            connection.mark_reset();
            self.set_timer(index);
        }
    }

    fn normalise_in<'a>(
        &mut self,
        place: &Place,
        envelope: &Envelope,
        segment: &TcpSegment<'a>,
        out: &mut StreamEvents<'a>,
    ) -> Normalised {
        let Place { index, direction } = *place;
        let (missed, limits) = (self.normaliser.as_ref().and_then(|normaliser| normaliser.missed), &self.limits);
        let nothing = |treatment| Normalised { flow: None, direction, start: 0, end: 0, before: 0, treatment };
        let Some(slot) = self.slots.get_mut(index as usize) else { return nothing(Treatment::Forward) };
        let flow = slot.id(index);
        slot.last = self.now;
        let mut context =
            Context { limits, reassembly: self.reassembly, buffers: &mut self.buffers, now: self.now, flow };
        let treated = |result: Result<Rewrite, DropReason>| match result {
            Ok(rewrite) if rewrite.changes.is_empty() => Treatment::Forward,
            Ok(rewrite) => Treatment::Change(Box::new(rewrite)),
            Err(reason) => Treatment::Drop(reason),
        };
        let began = slot.start;
        let unseen = missed.is_some_and(|missed| began <= missed);
        if let Body::Opening(opening) = &mut slot.body {
            opening.count(direction, segment.flags, envelope.length);
            match normalise_opening(opening, &context, direction, segment, unseen, out) {
                Opened::Done(result) => {
                    return Normalised { flow: Some(flow), ..nothing(treated(result)) };
                }
                Opened::Refused(rewrite) => {
                    let deadline = self.now.saturating_add(self.limits.closed);
                    self.list(index, Class::Closed);
                    self.wheel.schedule(index, deadline.0);
                    return Normalised { flow: Some(flow), ..nothing(treated(Ok(rewrite))) };
                }
                Opened::Beyond => {
                    let midstream = !opening.any_syn_seen() && !segment.flags.contains(TcpFlags::SYN);
                    let timer = slot.start.saturating_add(self.limits.embryonic);
                    slot.body = Body::Connection(Box::new(Connection::new(opening, midstream, timer)));
                }
            }
        } else if let Body::Connection(connection) = &mut slot.body {
            connection.count(direction, segment.flags, envelope.length);
        }
        let Body::Connection(connection) = &mut slot.body else { return nothing(Treatment::Forward) };
        let resumes = connection.is_midstream() || unseen;
        let before = connection.half(direction).offset;
        connection.note_ttl(&context, direction, envelope.ttl, segment, out);
        let result = connection.normalise(&mut context, direction, segment, resumes, out);
        let start = connection.offset_of(direction, segment.sequence);
        let end = start.saturating_add(segment.payload.len() as u64);
        if connection.class() != connection.listed {
            self.set_timer(index);
        }
        Normalised { flow: Some(flow), direction, start, end, before, treatment: treated(result) }
    }

    /// What becomes of a segment that has no flow and begins none.
    fn stray(&self, segment: &TcpSegment<'_>) -> Treatment {
        let midstream = self.normaliser.as_ref().map(|normaliser| normaliser.settings.midstream).unwrap_or_default();
        if is_invalid(segment.flags) {
            return Treatment::Drop(DropReason::InvalidFlags);
        }
        match (segment.flags.contains(TcpFlags::RST), segment.flags.contains(TcpFlags::ACK), midstream) {
            // Whether it is exact only its receiver can tell; nothing that was inspected depends on it.
            (true, _, _) => Treatment::Forward,
            (false, false, _) => Treatment::Drop(DropReason::MissingAck),
            (false, true, Midstream::Pass | Midstream::Inspect) => Treatment::Forward,
            (false, true, Midstream::Drop) if segment.flags.contains(TcpFlags::SYN) => {
                Treatment::Drop(DropReason::SynAckWrongAck)
            }
            (false, true, Midstream::Drop) => Treatment::Drop(DropReason::NotFollowed),
        }
    }
}
