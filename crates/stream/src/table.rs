//! The flow table: finds the flow of a packet, begins and ends flows, and keeps their timers.

use hashbrown::HashTable;
use portcullis_lang::Direction;
use portcullis_wire::{TcpFlags, TcpSegment, Timestamp, UdpDatagram};

use crate::anomaly::StreamAnomaly;
use crate::buffers::Buffers;
use crate::connection::{Connection, is_invalid, is_syn, is_syn_ack};
use crate::envelope::Envelope;
use crate::event::{EndReason, StreamEvent, StreamEventKind, StreamEvents};
use crate::flow::{DirectionStatistics, FlowId, FlowKey, FlowSummary, Protocol};
use crate::half::Context;
use crate::limits::Limits;
use crate::list::{Links, List, make_room};
use crate::normalise::Normaliser;
use crate::opening::{Greeting, Opening, ResetVerdict};
use crate::reassembly::Reassembly;
use crate::services::ServicePorts;
use crate::slot::{Body, Class, Slot};
use crate::tuple::Tuple;
use crate::wheel::Wheel;

/// Among how many of the oldest flows of a class the one that was silent longest is evicted.
const EVICTION_CANDIDATES: usize = 16;

/// How many timers act at one call: a packet is not to wait until a million flows have ended, and
/// the events of so many would take more memory than the flows.
const EXPIRIES: usize = 256;

/// How many events those timers may make before the others have to wait.
const EXPIRY_EVENTS: usize = 1024;

/// Tracks flows: takes packets in the order of their capture and gives events.
///
/// The common packet, a segment in order on a connection that is known, costs one look-up
/// in a hash table, no allocation and no copy but the one that
/// [`Limits::compare_bytes`] asks for. The hash is keyed, at random unless a seed is given,
/// and nothing that is handed on depends on it.
#[derive(Debug)]
pub struct FlowTable {
    pub(crate) limits: Limits,
    random: ahash::RandomState,
    services: ServicePorts,
    pub(crate) midstream: bool,
    pub(crate) reassembly: Reassembly,
    index: HashTable<u32>,
    pub(crate) slots: Vec<Slot>,
    free: Vec<u32>,
    pub(crate) wheel: Wheel,
    classes: [List; Class::ALL.len()],
    class_links: Links,
    pub(crate) buffers: Buffers,
    pub(crate) now: Timestamp,
    /// Flows whose timer has fired and has not acted yet, the next one last.
    fired: Vec<u32>,
    /// Whether the input has ended, and `fired` holds all flows.
    finishing: bool,
    statistics: TableStatistics,
    /// That of a gateway.
    pub(crate) normaliser: Option<Box<Normaliser>>,
}

/// What a table has counted over all flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableStatistics {
    /// Flows that are tracked now.
    pub flows: usize,
    /// The most flows that were tracked at a time.
    pub most_flows: usize,
    /// Flows that began.
    pub begun: u64,
    /// Flows that were evicted because [`Limits::flows`] was met.
    pub evicted: u64,
    /// TCP packets that belong to no flow and begin none: resets, segments with impossible flags
    /// or, with [`FlowTable::with_midstream`] off, of connections that began before.
    pub strays: u64,
    /// How often delivered bytes were not kept for comparison with repetitions because half of
    /// [`Limits::memory`] was used up.
    pub uncompared: u64,
}

/// Where a packet goes.
pub(crate) struct Place {
    pub(crate) index: u32,
    pub(crate) direction: Direction,
}

impl FlowTable {
    /// Creates an empty table. The keys of the hash are random unless a seed is given.
    ///
    /// An attacker who knows the keys can choose ports such that every look-up is slow, so a seed
    /// is for tests.
    pub fn new(limits: Limits, seed: Option<u64>) -> FlowTable {
        let random = match seed {
            Some(seed) => ahash::RandomState::with_seeds(seed, 1, 2, 3),
            None => ahash::RandomState::new(),
        };
        FlowTable {
            buffers: Buffers::new(limits.memory),
            random,
            services: ServicePorts::new(),
            midstream: true,
            reassembly: Reassembly::default(),
            index: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            wheel: Wheel::new(limits.flows.max(1)),
            classes: Default::default(),
            class_links: Links::new(limits.flows.max(1)),
            now: Timestamp(i64::MIN),
            fired: Vec::new(),
            finishing: false,
            limits,
            statistics: TableStatistics::default(),
            normaliser: None,
        }
    }

    /// Says on which ports servers listen, to tell the sides of flows joined in the middle.
    pub fn with_services(mut self, services: ServicePorts) -> FlowTable {
        self.services = services;
        self
    }

    /// Says whether connections whose SYN was not seen are tracked, default true (T31).
    pub fn with_midstream(mut self, midstream: bool) -> FlowTable {
        self.midstream = midstream;
        self
    }

    /// Says whose reading of overlapping segments is reported, by default that of Linux (T1, T2, T3).
    pub fn with_reassembly(mut self, reassembly: Reassembly) -> FlowTable {
        self.reassembly = reassembly;
        self
    }

    /// Takes a TCP segment and returns its flow, if it has one.
    ///
    /// The events are appended in the order in which they happened; events of other flows, whose
    /// time is over, come first. Whether the checksum is right is for the caller to
    /// judge: a segment that its receiver drops is not to be given.
    pub fn tcp<'a>(
        &mut self,
        envelope: &Envelope,
        segment: &TcpSegment<'a>,
        out: &mut StreamEvents<'a>,
    ) -> Option<FlowId> {
        let place = self.locate(envelope, segment, out)?;
        self.receive(&place, envelope, segment, out)
    }

    /// The flow of a segment; begins one, and ends the one before, where the segment does so.
    pub(crate) fn locate(
        &mut self,
        envelope: &Envelope,
        segment: &TcpSegment<'_>,
        out: &mut StreamEvents<'_>,
    ) -> Option<Place> {
        self.advance_some(envelope.time, out);
        let source = (envelope.source, segment.source_port);
        let destination = (envelope.destination, segment.destination_port);
        let (tuple, source_is_low) = Tuple::new(Protocol::Tcp, envelope.vlan, source, destination);
        let hash = tuple.hash_with(&self.random);
        let mut found = self.find(hash, &tuple, source_is_low);
        if let Some(place) = &found
            && let Some(slot) = self.slots.get(place.index as usize)
        {
            let replaced = match &slot.body {
                Body::Opening(opening) if is_syn(segment.flags) && !is_invalid(segment.flags) => {
                    !opening.any_syn_seen()
                        || opening.is_reset()
                        || (self.normaliser.is_some() && opening.is_renewed(place.direction, segment))
                }
                Body::Connection(connection) if self.normaliser.is_some() => {
                    connection.begins_anew(place.direction, segment)
                }
                Body::Connection(connection) => connection.is_replaced_by(place.direction, segment),
                _ => false,
            };
            let overdue = self.is_overdue(place.index);
            if overdue || replaced {
                let reason = if overdue { EndReason::Timeout } else { EndReason::Replaced };
                self.end(place.index, reason, out);
                found = None;
            }
        }
        match found {
            Some(place) => Some(place),
            None => self.begin_tcp(hash, tuple, source_is_low, segment, out),
        }
    }

    /// The flow of a packet with these ports and the direction the packet goes in, if there is one.
    pub fn find_flow(
        &self,
        protocol: Protocol,
        envelope: &Envelope,
        source_port: u16,
        destination_port: u16,
    ) -> Option<(FlowId, Direction)> {
        let source = (envelope.source, source_port);
        let destination = (envelope.destination, destination_port);
        let (tuple, source_is_low) = Tuple::new(protocol, envelope.vlan, source, destination);
        let place = self.find(tuple.hash_with(&self.random), &tuple, source_is_low)?;
        let slot = self.slots.get(place.index as usize)?;
        Some((slot.id(place.index), place.direction))
    }

    /// Takes a UDP datagram and returns its flow.
    pub fn udp<'a>(
        &mut self,
        envelope: &Envelope,
        datagram: &UdpDatagram<'a>,
        out: &mut StreamEvents<'a>,
    ) -> Option<FlowId> {
        self.advance_some(envelope.time, out);
        let source = (envelope.source, datagram.source_port);
        let destination = (envelope.destination, datagram.destination_port);
        let (tuple, source_is_low) = Tuple::new(Protocol::Udp, envelope.vlan, source, destination);
        let hash = tuple.hash_with(&self.random);
        let mut found = self.find(hash, &tuple, source_is_low);
        if let Some(place) = &found
            && self.is_overdue(place.index)
        {
            self.end(place.index, EndReason::Timeout, out);
            found = None;
        }
        let place = match found {
            Some(place) => place,
            None => {
                let services = &self.services;
                let from_server =
                    services.contains(datagram.source_port) && !services.contains(datagram.destination_port);
                let client_is_low = source_is_low != from_server;
                let body = Body::Datagrams(Box::default());
                let index = self.begin(hash, tuple, client_is_low, body, false, out);
                let direction = if from_server { Direction::Down } else { Direction::Up };
                Place { index, direction }
            }
        };
        let slot = self.slots.get_mut(place.index as usize)?;
        slot.last = self.now;
        let flow = slot.id(place.index);
        let Body::Datagrams(directions) = &mut slot.body else {
            return None;
        };
        let missing = u32::try_from(datagram.missing).unwrap_or(u32::MAX);
        let statistics = pick(directions, place.direction);
        statistics.packets = statistics.packets.saturating_add(1);
        let length = u64::from(envelope.length);
        statistics.bytes = statistics.bytes.saturating_add(length);
        let delivered = datagram.payload.len() as u64;
        statistics.delivered = statistics.delivered.saturating_add(delivered);
        statistics.missing = statistics.missing.saturating_add(u64::from(missing));
        out.push(StreamEvent {
            flow,
            kind: StreamEventKind::Datagram { direction: place.direction, bytes: datagram.payload, missing },
        });
        Some(flow)
    }

    /// Moves the time on: flows that were silent for too long end, and what was waited for too
    /// long becomes a gap.
    ///
    /// Packets do the same, so that this is needed only where none come. A million flows may end
    /// at once; [`FlowTable::advance_some`] hands them out in portions.
    pub fn advance(&mut self, now: Timestamp, out: &mut StreamEvents<'_>) {
        while self.advance_some(now, out) {}
    }

    /// Moves the time on as [`FlowTable::advance`] does, but makes no more than some thousand events;
    /// returns whether there are more to come at once.
    ///
    /// Each packet does this, so that none has to wait long behind flows that end. A flow whose time
    /// is over is found by no packet any more, even if its end comes in a later portion.
    pub fn advance_some(&mut self, now: Timestamp, out: &mut StreamEvents<'_>) -> bool {
        self.now = self.now.max(now);
        let before = out.len();
        let mut acted = 0;
        loop {
            while let Some(index) = self.fired.pop() {
                self.fire(index, out);
                acted += 1;
                if acted >= EXPIRIES || out.len().saturating_sub(before) >= EXPIRY_EVENTS {
                    return !self.fired.is_empty() || self.wheel.is_behind(self.now.0);
                }
            }
            if !self.wheel.is_behind(self.now.0) {
                return false;
            }
            self.next_tick();
        }
    }

    /// Moves the wheel on to the next tick in which timers fire, the last of which is to act first.
    fn next_tick(&mut self) {
        let mut fired = std::mem::take(&mut self.fired);
        self.wheel.advance(self.now.0, &mut fired);
        // Within one tick, what happened first comes first.
        fired.sort_unstable_by_key(|index| {
            std::cmp::Reverse(self.slots.get(*index as usize).map(|slot| (self.idle_until(slot), slot.serial())))
        });
        self.fired = fired;
    }

    /// Whether the time of a flow is over but its timer, one of many, has not acted yet.
    fn is_overdue(&self, index: u32) -> bool {
        let slot = if self.fired.is_empty() { None } else { self.slots.get(index as usize) };
        slot.is_some_and(|slot| self.idle_until(slot) <= self.now)
    }

    /// Ends all flows, in the order in which they began, at the end of the input.
    ///
    /// Data that is held is delivered after the gap that it was held for. The table is empty
    /// afterwards and can be used again.
    pub fn finish(&mut self, out: &mut StreamEvents<'_>) {
        while self.finish_some(out) {}
    }

    /// Ends flows as [`FlowTable::finish`] does, but makes no more than some thousand events; returns whether
    /// it has to be called again. No packet may come in between.
    pub fn finish_some(&mut self, out: &mut StreamEvents<'_>) -> bool {
        if !self.finishing {
            if self.advance_some(self.now, out) {
                return true;
            }
            self.finishing = true;
            self.fired.reserve_exact(self.index.len());
            self.fired.extend(self.index.iter().copied());
            let slots = &self.slots;
            self.fired.sort_unstable_by_key(|index| std::cmp::Reverse(slots.get(*index as usize).map(Slot::serial)));
        }
        let before = out.len();
        for _ in 0..EXPIRIES {
            let Some(index) = self.fired.pop() else { break };
            self.end(index, EndReason::EndOfInput, out);
            if out.len().saturating_sub(before) >= EXPIRY_EVENTS {
                break;
            }
        }
        self.finishing = !self.fired.is_empty();
        if !self.finishing {
            self.buffers.drop_spares();
        }
        self.finishing
    }

    /// Two bits that the caller keeps with a flow, 0 at its beginning and for flows that there are not.
    pub fn mark(&self, id: FlowId) -> u8 {
        self.slots.get(id.slot()).filter(|slot| slot.id(id.index) == id).map_or(0, Slot::mark)
    }

    /// Sets those of the two bits that are set in `bits`; the others stay as they are.
    pub fn set_mark(&mut self, id: FlowId, bits: u8) {
        if let Some(slot) = self.slots.get_mut(id.slot()).filter(|slot| slot.id(id.index) == id) {
            slot.set_mark(bits);
        }
    }

    /// What is known of a flow, until its `Ended` event was handed out.
    pub fn flow(&self, id: FlowId) -> Option<FlowSummary> {
        let slot = self.slots.get(id.slot())?;
        let is_it = !matches!(slot.body, Body::Free) && slot.id(id.index) == id;
        is_it.then(|| slot.summary(id.index))
    }

    /// Who talks to whom in a flow, until its `Ended` event was handed out.
    pub fn key(&self, id: FlowId) -> Option<FlowKey> {
        let slot = self.slots.get(id.slot())?;
        let is_it = !matches!(slot.body, Body::Free) && slot.id(id.index) == id;
        is_it.then(|| slot.key())
    }

    /// The number of flows tracked now.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether no flow is tracked.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The bytes held in all buffers, at most [`Limits::memory`].
    ///
    /// The table itself comes on top: 128 bytes for each flow and some 10 for its entry in the hash table,
    /// and up to 550 more for each connection beyond its handshake.
    pub fn memory(&self) -> usize {
        self.buffers.held()
    }

    /// What was counted over all flows.
    pub fn statistics(&self) -> TableStatistics {
        TableStatistics { flows: self.index.len(), uncompared: self.buffers.refused_copies(), ..self.statistics }
    }

    /// The bounds of the table.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    fn find(&self, hash: u64, tuple: &Tuple, source_is_low: bool) -> Option<Place> {
        let slots = &self.slots;
        let index =
            *self.index.find(hash, |&index| slots.get(index as usize).is_some_and(|slot| slot.tuple == *tuple))?;
        let direction = slots.get(index as usize)?.direction(source_is_low);
        Some(Place { index, direction })
    }

    /// Begins the flow of a segment that has none, if it is one to begin a flow with.
    fn begin_tcp(
        &mut self,
        hash: u64,
        tuple: Tuple,
        source_is_low: bool,
        segment: &TcpSegment<'_>,
        out: &mut StreamEvents<'_>,
    ) -> Option<Place> {
        let flags = segment.flags;
        let midstream = !flags.contains(TcpFlags::SYN);
        let acceptable = !is_invalid(flags)
            && !flags.contains(TcpFlags::RST)
            && (!midstream || (self.midstream && flags.contains(TcpFlags::ACK)))
            && (self.midstream || self.normaliser.is_none() || !is_syn_ack(flags));
        if !acceptable {
            self.statistics.strays += 1;
            return None;
        }
        let from_server = if midstream {
            self.services.is_server(segment.source_port, segment.destination_port)
        } else {
            is_syn_ack(flags)
        };
        let direction = if from_server { Direction::Down } else { Direction::Up };
        let mut opening = Opening::new();
        if midstream {
            opening.join(direction, segment);
        }
        let client_is_low = source_is_low != from_server;
        let body = Body::Opening(opening);
        let index = self.begin(hash, tuple, client_is_low, body, midstream, out);
        Some(Place { index, direction })
    }

    fn begin(
        &mut self,
        hash: u64,
        tuple: Tuple,
        client_is_low: bool,
        body: Body,
        midstream: bool,
        out: &mut StreamEvents<'_>,
    ) -> u32 {
        while self.index.len() >= self.limits.flows.max(1) && self.evict(out) {}
        let serial = self.statistics.begun;
        self.statistics.begun += 1;
        let slot = Slot::new(tuple, serial, client_is_low, self.now, body);
        let class = slot.class();
        let index = match self.free.pop() {
            Some(index) => index,
            None => self.slots.len() as u32,
        };
        out.push(StreamEvent {
            flow: slot.id(index),
            kind: StreamEventKind::Started { key: slot.key(), start: self.now, midstream },
        });
        match self.slots.get_mut(index as usize) {
            Some(free) => *free = slot,
            None => {
                make_room(&mut self.slots, self.limits.flows.max(1));
                self.slots.push(slot);
            }
        }
        let (slots, random) = (&self.slots, &self.random);
        self.index.insert_unique(hash, index, |&index| {
            slots.get(index as usize).map_or(0, |slot| slot.tuple.hash_with(random))
        });
        self.statistics.most_flows = self.statistics.most_flows.max(self.index.len());
        self.list(index, class);
        let deadline = self.now.saturating_add(class.timeout(&self.limits));
        self.wheel.schedule(index, deadline.0);
        index
    }

    /// Gives a packet to its flow.
    fn receive<'a>(
        &mut self,
        place: &Place,
        envelope: &Envelope,
        segment: &TcpSegment<'a>,
        out: &mut StreamEvents<'a>,
    ) -> Option<FlowId> {
        let Place { index, direction } = *place;
        let slot = self.slots.get_mut(index as usize)?;
        let flow = slot.id(index);
        slot.last = self.now;
        if let Body::Opening(opening) = &mut slot.body {
            opening.count(direction, segment.flags, envelope.length);
            match receive_opening(opening, flow, direction, segment, out) {
                Opened::Done => return Some(flow),
                Opened::Refused => {
                    let deadline = self.now.saturating_add(self.limits.closed);
                    self.list(index, Class::Closed);
                    self.wheel.schedule(index, deadline.0);
                    return Some(flow);
                }
                Opened::Beyond => {
                    let midstream = !opening.any_syn_seen() && !segment.flags.contains(TcpFlags::SYN);
                    let timer = slot.start.saturating_add(self.limits.embryonic);
                    let connection = Connection::new(opening, midstream, timer);
                    slot.body = Body::Connection(Box::new(connection));
                }
            }
        } else if let Body::Connection(connection) = &mut slot.body {
            connection.count(direction, segment.flags, envelope.length);
        }
        let Body::Connection(connection) = &mut slot.body else {
            return None;
        };
        let mut context = Context {
            limits: &self.limits,
            reassembly: self.reassembly,
            buffers: &mut self.buffers,
            now: self.now,
            flow,
        };
        connection.note_ttl(&context, direction, envelope.ttl, segment, out);
        connection.receive(&mut context, direction, segment, envelope.missing, out);
        if connection.is_waiting() || connection.class() != connection.listed {
            self.set_timer(index);
        }
        Some(flow)
    }

    /// Brings the class and the timer of a connection up to its state.
    pub(crate) fn set_timer(&mut self, index: u32) {
        let Some(slot) = self.slots.get(index as usize) else {
            return;
        };
        let class = slot.class();
        let idle = self.idle_until(slot);
        let Some(Slot { body: Body::Connection(connection), .. }) = self.slots.get_mut(index as usize) else {
            return;
        };
        // Nothing is given up for lost while its sender can still repeat it.
        let deadline = if self.normaliser.is_none() { connection.deadline(&self.limits) } else { None };
        let deadline = deadline.map_or(idle, |deadline| deadline.min(idle));
        if deadline < connection.timer {
            connection.timer = deadline;
            self.wheel.schedule(index, deadline.0);
        }
        if connection.listed != class {
            connection.listed = class;
            self.list(index, class);
        }
    }

    /// Does what the timer of a flow was set for, and sets it again.
    fn fire(&mut self, index: u32, out: &mut StreamEvents<'_>) {
        let Some(slot) = self.slots.get(index as usize) else {
            return;
        };
        if matches!(slot.body, Body::Free) {
            return;
        }
        let idle = self.idle_until(slot);
        if idle <= self.now {
            self.end(index, EndReason::Timeout, out);
            return;
        }
        let flow = slot.id(index);
        if let Some(Slot { body: Body::Connection(connection), .. }) = self.slots.get_mut(index as usize) {
            if self.normaliser.is_none() {
                let mut context = Context {
                    limits: &self.limits,
                    reassembly: self.reassembly,
                    buffers: &mut self.buffers,
                    now: self.now,
                    flow,
                };
                connection.settle(&mut context, out);
            }
            // A FIN may have been reached, which shortens the time.
            connection.timer = Timestamp(i64::MAX);
            self.set_timer(index);
            return;
        }
        self.wheel.schedule(index, idle.0);
    }

    /// Until when a flow may be silent.
    fn idle_until(&self, slot: &Slot) -> Timestamp {
        slot.last.saturating_add(slot.class().timeout(&self.limits))
    }

    fn evict(&mut self, out: &mut StreamEvents<'_>) -> bool {
        let found = self.classes.iter().find_map(List::front);
        let Some(front) = found else {
            return false;
        };
        let mut victim = front;
        let mut oldest = self.last(front);
        let mut next = self.class_links.next(front);
        for _ in 1..EVICTION_CANDIDATES {
            let Some(candidate) = next else {
                break;
            };
            let last = self.last(candidate);
            if last < oldest {
                (victim, oldest) = (candidate, last);
            }
            next = self.class_links.next(candidate);
        }
        self.statistics.evicted += 1;
        self.end(victim, EndReason::Evicted, out);
        true
    }

    /// What is kept of a flow, if it is still that flow.
    pub(crate) fn slot_of(&self, flow: FlowId) -> Option<&Slot> {
        let slot = self.slots.get(flow.slot())?;
        (!matches!(slot.body, Body::Free) && slot.id(flow.index) == flow).then_some(slot)
    }

    fn last(&self, index: u32) -> Option<Timestamp> {
        Some(self.slots.get(index as usize)?.last)
    }

    /// Moves a flow to the end of the list of its class.
    pub(crate) fn list(&mut self, index: u32, class: Class) {
        self.unlist(index);
        if let Some(list) = self.classes.get_mut(class as usize) {
            list.push_back(&mut self.class_links, index, class as u16);
        }
    }

    fn unlist(&mut self, index: u32) {
        if let Some(class) = self.class_links.list_of(index)
            && let Some(list) = self.classes.get_mut(usize::from(class))
        {
            list.remove(&mut self.class_links, index);
        }
    }

    /// Ends a flow: hands out what is held and what was counted, and frees its place.
    pub(crate) fn end(&mut self, index: u32, reason: EndReason, out: &mut StreamEvents<'_>) {
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return;
        };
        let flow = slot.id(index);
        let mut natural = None;
        match &mut slot.body {
            Body::Free => return,
            Body::Opening(opening) => {
                natural = opening.is_reset().then_some(EndReason::Reset);
            }
            Body::Datagrams(_) => {}
            Body::Connection(connection) => {
                let mut context = Context {
                    limits: &self.limits,
                    reassembly: self.reassembly,
                    buffers: &mut self.buffers,
                    now: self.now,
                    flow,
                };
                match &self.normaliser {
                    // What waits behind a hole no receiver has read.
                    Some(_) => connection.forget(&mut context),
                    None => connection.flush(&mut context, out),
                }
                natural = connection.natural_end();
            }
        }
        let summary = Box::new(slot.summary(index));
        out.push(StreamEvent { flow, kind: StreamEventKind::Ended { reason: natural.unwrap_or(reason), summary } });
        slot.body = Body::Free;
        let hash = slot.tuple.hash_with(&self.random);
        if let Ok(entry) = self.index.find_entry(hash, |&other| other == index) {
            entry.remove();
        }
        self.wheel.cancel(index);
        self.unlist(index);
        make_room(&mut self.free, self.limits.flows.max(1));
        self.free.push(index);
    }
}

/// What a segment did to a handshake.
enum Opened {
    /// All there was to do.
    Done,
    /// A side refused the connection.
    Refused,
    /// The flow needs the state of a connection, which then takes the segment.
    Beyond,
}

fn receive_opening(
    opening: &mut Opening,
    flow: FlowId,
    direction: Direction,
    segment: &TcpSegment<'_>,
    out: &mut StreamEvents<'_>,
) -> Opened {
    let flags = segment.flags;
    let anomaly = if opening.is_full() || !segment.payload.is_empty() {
        return Opened::Beyond;
    } else if is_invalid(flags) {
        StreamAnomaly::InvalidFlags
    } else if flags.contains(TcpFlags::SYN) {
        let greeting =
            if is_syn(flags) { opening.syn(direction, segment) } else { opening.syn_ack(direction, segment, 0) };
        match greeting {
            Greeting::Accepted | Greeting::Repeated => return Opened::Done,
            Greeting::Flagged(kind) => kind,
            // A connection keeps in mind what it ignored.
            Greeting::Ignored(_) => return Opened::Beyond,
        }
    } else if opening.is_signed_unexpectedly(segment) {
        StreamAnomaly::UnexpectedSignature
    } else if flags.contains(TcpFlags::RST) {
        match opening.reset(direction, segment) {
            ResetVerdict::Exact if opening.is_reset() => return Opened::Done,
            ResetVerdict::Exact => {
                opening.set_reset();
                out.push(StreamEvent { flow, kind: StreamEventKind::Reset { direction } });
                return Opened::Refused;
            }
            ResetVerdict::Inexact => StreamAnomaly::ResetInexact,
            ResetVerdict::OutOfWindow => StreamAnomaly::ResetOutOfWindow,
        }
    } else if opening.is_joined_at(direction, segment) {
        // A bare acknowledgement from a connection that began before the capture.
        return Opened::Done;
    } else {
        return Opened::Beyond;
    };
    opening.anomalies.insert(anomaly);
    out.push(StreamEvent { flow, kind: StreamEventKind::Anomaly { direction, kind: anomaly, offset: 0 } });
    Opened::Done
}

fn pick(directions: &mut [DirectionStatistics; 2], direction: Direction) -> &mut DirectionStatistics {
    let [up, down] = directions;
    match direction {
        Direction::Up => up,
        Direction::Down => down,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_the_hash_are_random_unless_a_seed_is_given() {
        let address = ([192, 0, 2, 1].into(), 25);
        let (tuple, _) = Tuple::new(Protocol::Tcp, 0, address, address);
        let hash = |seed| tuple.hash_with(&FlowTable::new(Limits::default(), seed).random);
        assert_eq!(hash(Some(7)), hash(Some(7)));
        assert_ne!(hash(Some(7)), hash(Some(8)));
        assert_ne!(hash(None), hash(None), "each table has keys of its own");
    }
}
