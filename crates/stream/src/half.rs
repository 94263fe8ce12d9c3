//! One direction of a connection as its receiver sees it: what is next, what is held, what was
//! acknowledged.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Duration;

use portcullis_lang::Direction;
use portcullis_wire::{SequenceNumber, Timestamp};

use crate::anomaly::{AnomalySet, StreamAnomaly};
use crate::buffers::Buffers;
use crate::event::{GapReason, StreamEvent, StreamEventKind, StreamEvents};
use crate::flow::{DirectionStatistics, FlowId};
use crate::limits::Limits;
use crate::queue::{Held, Queue, difference};
use crate::reassembly::{Reassembly, Winner};

/// How long a timestamp means something: 24 days (RFC 7323 section 5.5).
const TIMESTAMP_LIFE: Duration = Duration::from_secs(24 * 86_400);

/// How many segments with a doubtful acknowledgement are set aside in one direction, before the capture is to blame.
const DOUBTFUL_SEGMENTS: usize = 32;

/// What the table lends to a flow while it looks at a packet.
#[derive(Debug)]
pub(crate) struct Context<'c> {
    pub(crate) limits: &'c Limits,
    pub(crate) reassembly: Reassembly,
    pub(crate) buffers: &'c mut Buffers,
    pub(crate) now: Timestamp,
    pub(crate) flow: FlowId,
}

/// The payload of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Payload<'a> {
    /// The bytes that were captured.
    pub(crate) bytes: &'a [u8],
    /// How many bytes after these the capture cut off.
    pub(crate) missing: u32,
    /// Whether a FIN follows.
    pub(crate) fin: bool,
}

impl Payload<'_> {
    /// How many bytes of the stream it covers.
    pub(crate) fn length(&self) -> u64 {
        self.bytes.len() as u64 + u64::from(self.missing)
    }
}

/// One direction of a connection.
#[derive(Debug)]
pub(crate) struct Half {
    /// The direction.
    pub(crate) direction: Direction,
    /// Whether `next` is known.
    pub(crate) synchronised: bool,
    /// Whether the FIN was reached in order.
    pub(crate) finished: bool,
    /// The sequence number of the next byte to deliver.
    pub(crate) next: SequenceNumber,
    /// The offset of the next byte to deliver.
    pub(crate) offset: u64,
    /// The offset up to which the receiver has acknowledged; it may lie beyond `offset`.
    pub(crate) acknowledged: u64,
    /// The offset after the last byte that the receiver has ever allowed.
    pub(crate) edge: u64,
    /// The largest window that the receiver has advertised, in bytes.
    pub(crate) largest_window: u32,
    /// The offset after the furthest segment that was ignored because it lay beyond the window.
    pub(crate) beyond: u64,
    /// The furthest offset at which the sender has shown itself to be.
    pub(crate) shown: u64,
    /// The timestamp that the receiver remembers, and since when (`TS.Recent` of RFC 7323 section 4.3).
    pub(crate) recent: Option<(u32, Timestamp)>,
    /// Since when the receiver has acknowledged what we have not seen.
    overtaken: Option<Overtaken>,
    /// Since when the first held segment waits.
    held_since: Timestamp,
    /// The last gap, from and to.
    last_gap: (u64, u64),
    /// The bytes before `offset` that are not acknowledged, to compare repetitions with.
    pub(crate) kept: VecDeque<u8>,
    /// The segments beyond `offset`, if there are any.
    pub(crate) queue: Option<Box<Queue>>,
    /// Segments that their receiver has probably refused.
    doubtful: Option<Box<Doubtful>>,
    /// What was counted.
    pub(crate) statistics: DirectionStatistics,
    /// What was wrong.
    pub(crate) anomalies: AnomalySet,
    /// Whether a normaliser keeps segments out of order back.
    pub(crate) withholds: bool,
}

/// By how much the time to live may differ between packets of one side: ways change, and captures show a packet before and
/// behind a router.
const TTL_TOLERANCE: u8 = 4;

#[derive(Clone, Copy, Debug)]
struct Overtaken {
    since: Timestamp,
    packets: u32,
}

/// Segments that were set aside until their receiver shows that it has taken them.
#[derive(Debug, Default)]
struct Doubtful {
    segments: Vec<Held>,
    /// Whether there were too many, so that the capture is to blame, and nothing is set aside any more.
    given_up: bool,
}

impl Doubtful {
    /// A segment that an acknowledgement shows to have been taken at an offset; best one that ends where that does.
    fn find(&self, offset: u64, acknowledged: u64) -> Option<usize> {
        let fits = |held: &Held| held.start <= offset && held.end() > offset && held.end() <= acknowledged;
        let exact = self.segments.iter().position(|held| fits(held) && held.end() == acknowledged);
        exact.or_else(|| self.segments.iter().position(fits))
    }
}

impl Half {
    /// Creates a direction of which nothing is known.
    pub(crate) fn new(direction: Direction) -> Half {
        Half {
            direction,
            synchronised: false,
            finished: false,
            next: SequenceNumber(0),
            offset: 0,
            acknowledged: 0,
            edge: 0,
            largest_window: 0,
            beyond: 0,
            shown: 0,
            recent: None,
            overtaken: None,
            held_since: Timestamp(0),
            last_gap: (0, 0),
            kept: VecDeque::new(),
            queue: None,
            doubtful: None,
            statistics: DirectionStatistics::default(),
            anomalies: AnomalySet::default(),
            withholds: false,
        }
    }

    /// Sets the sequence number of the byte at offset 0, unless bytes have come already.
    pub(crate) fn synchronise(&mut self, next: SequenceNumber) {
        if !self.synchronised || self.is_fresh() {
            self.synchronised = true;
            self.next = next;
        }
    }

    /// Whether no octet of it was delivered or is held, so that its numbers can still be set.
    pub(crate) fn is_fresh(&self) -> bool {
        self.offset == 0 && self.queue.is_none() && !self.finished
    }

    /// Where a sequence number lies in the stream; negative before its beginning.
    pub(crate) fn position(&self, sequence: SequenceNumber) -> i64 {
        let offset = i64::try_from(self.offset).unwrap_or(i64::MAX);
        offset.saturating_add(i64::from(sequence.distance_from(self.next)))
    }

    /// Where a sequence number lies in the stream, 0 before its beginning.
    pub(crate) fn offset_of(&self, sequence: SequenceNumber) -> u64 {
        u64::try_from(self.position(sequence)).unwrap_or(0)
    }

    /// The offset after the last byte that is held, or of the next byte if none is.
    pub(crate) fn held_end(&self) -> u64 {
        let end = self.queue.as_ref().and_then(|queue| queue.end());
        end.unwrap_or(self.offset)
    }

    /// The offset after all that was seen of the sender, also what its receiver has probably refused.
    pub(crate) fn seen_end(&self) -> u64 {
        let doubtful = self.doubtful.iter().flat_map(|doubtful| &doubtful.segments).map(Held::end).max().unwrap_or(0);
        self.held_end().max(self.offset.saturating_add(u64::from(self.finished))).max(doubtful)
    }

    /// The offset of the first byte that is held.
    pub(crate) fn held_start(&self) -> Option<u64> {
        self.queue.as_ref().and_then(|queue| queue.start())
    }

    /// Whether data is held or was acknowledged unseen, so that time may decide something.
    pub(crate) fn is_waiting(&self) -> bool {
        self.queue.is_some() || self.overtaken.is_some()
    }

    /// Looks at the time to live of a packet whose first octet has an offset. `counts` says that it carries data or ends
    /// something.
    pub(crate) fn note_ttl(
        &mut self,
        context: &Context<'_>,
        ttl: u8,
        counts: bool,
        offset: u64,
        out: &mut StreamEvents<'_>,
    ) {
        let largest = self.statistics.largest_ttl;
        if largest.saturating_sub(ttl) > TTL_TOLERANCE && counts && !self.anomalies.contains(StreamAnomaly::TtlLow) {
            self.report(context, StreamAnomaly::TtlLow, offset, out);
        }
        self.statistics.largest_ttl = largest.max(ttl);
    }

    /// Reports an anomaly.
    pub(crate) fn report(
        &mut self,
        context: &Context<'_>,
        kind: StreamAnomaly,
        offset: u64,
        out: &mut StreamEvents<'_>,
    ) {
        self.anomalies.insert(kind);
        out.push(StreamEvent {
            flow: context.flow,
            kind: StreamEventKind::Anomaly { direction: self.direction, kind, offset },
        });
    }

    /// Takes the payload of a segment: delivers it, holds it or finds that it is known.
    ///
    /// `compare` says whether the other side is there to acknowledge, so that it makes sense to
    /// keep what is delivered until it does.
    pub(crate) fn receive<'a>(
        &mut self,
        context: &mut Context<'_>,
        sequence: SequenceNumber,
        payload: Payload<'a>,
        compare: bool,
        out: &mut StreamEvents<'a>,
    ) {
        let position = self.position(sequence);
        let length = payload.length();
        let offset = i64::try_from(self.offset).unwrap_or(i64::MAX);
        let end = position.saturating_add(i64::try_from(length).unwrap_or(i64::MAX));
        if self.finished {
            self.receive_after_fin(context, position, end, payload, out);
        } else if position > offset {
            let start = u64::try_from(position).unwrap_or(0);
            self.hold(context, start, payload, compare, out);
        } else if end < offset || (end == offset && !payload.fin) {
            self.statistics.repeated = self.statistics.repeated.saturating_add(1);
            self.compare(context, position, payload.bytes, out);
            if payload.fin {
                let at = u64::try_from(end).unwrap_or(0);
                self.report(context, StreamAnomaly::FinMoved, at, out);
            }
        } else {
            let known = usize::try_from(offset - position).unwrap_or(usize::MAX);
            if known > 0 {
                self.compare(context, position, payload.bytes, out);
            }
            let held_counts = context.reassembly.winner() == Some(Winner::Held);
            let end = u64::try_from(end).unwrap_or(0);
            if held_counts && self.held_start().is_some_and(|start| start < end.saturating_add(u64::from(payload.fin)))
            {
                self.receive_around_held(context, payload, known, compare, out);
                return;
            }
            if let Some(bytes) = payload.bytes.get(known..)
                && !bytes.is_empty()
            {
                self.deliver(context, Cow::Borrowed(bytes), compare, out);
            }
            self.complete(context, end, payload.fin, out);
            if self.queue.is_some() {
                self.release_held(context, compare, out);
            }
        }
    }

    /// Delivers of a segment, of which so many bytes are known, what is not held already, and what is held in its place.
    fn receive_around_held<'a>(
        &mut self,
        context: &mut Context<'_>,
        payload: Payload<'a>,
        known: usize,
        compare: bool,
        out: &mut StreamEvents<'a>,
    ) {
        let mut bytes = payload.bytes.get(known..).unwrap_or_default();
        let mut start = self.offset;
        let unknown = payload.length().saturating_sub(known as u64);
        let end = start.saturating_add(unknown);
        if let Some(at) = self.queue.as_ref().and_then(|queue| queue.difference(start, bytes)) {
            self.report(context, StreamAnomaly::OverlapDiff, at, out);
        }
        loop {
            let held = self.held_start();
            let stop = held.map_or(end, |held| held.min(end));
            let skip = usize::try_from(self.offset.saturating_sub(start)).unwrap_or(usize::MAX);
            bytes = bytes.get(skip..).unwrap_or_default();
            start = self.offset;
            let length = usize::try_from(stop.saturating_sub(start)).unwrap_or(usize::MAX);
            if let Some(part) = bytes.get(..length.min(bytes.len()))
                && !part.is_empty()
            {
                self.deliver(context, Cow::Borrowed(part), compare, out);
            }
            if stop > self.offset {
                self.skip(context, stop, GapReason::Cut, out);
            }
            if held.is_none_or(|held| held > end) || self.offset >= end {
                break;
            }
            self.release_held(context, compare, out);
            if self.finished || self.offset >= end {
                break;
            }
        }
        // What is held may begin where this segment ends, or say something else about the end of the stream.
        self.release_held(context, compare, out);
        if payload.fin && self.offset == end && !self.finished {
            self.finish(context, out);
        } else if payload.fin && self.offset != end {
            self.report(context, StreamAnomaly::FinMoved, end, out);
        }
    }

    /// Sets a segment aside that its receiver has probably refused, and says why. Returns whether it did; else the segment is
    /// to be taken, as so many of them are the fault of the capture.
    pub(crate) fn doubt(
        &mut self,
        context: &mut Context<'_>,
        kind: StreamAnomaly,
        start: u64,
        payload: Payload<'_>,
        out: &mut StreamEvents<'_>,
    ) -> bool {
        if self.doubtful.as_ref().is_some_and(|doubtful| doubtful.given_up) || self.finished {
            return false;
        }
        self.report(context, kind, start, out);
        if payload.length() == 0 && !payload.fin {
            return true;
        }
        let doubtful = self.doubtful.get_or_insert_default();
        let cost = Queue::cost(payload.bytes.len());
        if doubtful.segments.len() < DOUBTFUL_SEGMENTS && context.buffers.reserve(cost) {
            let bytes = payload.bytes.to_vec();
            doubtful.segments.push(Held { start, bytes, missing: payload.missing, fin: payload.fin });
            return true;
        }
        doubtful.given_up = true;
        for held in std::mem::take(&mut doubtful.segments) {
            self.take_doubtful(context, held, out);
        }
        false
    }

    /// Takes the segments that were set aside and that the receiver has acknowledged, which it can only if it has taken them.
    pub(crate) fn settle_doubts(&mut self, context: &mut Context<'_>, out: &mut StreamEvents<'_>) {
        while self.acknowledged > self.offset
            && !self.finished
            && let (offset, acknowledged) = (self.offset, self.acknowledged)
            && let Some(doubtful) = &mut self.doubtful
            && let Some(found) = doubtful.find(offset, acknowledged)
        {
            let held = doubtful.segments.remove(found);
            self.take_doubtful(context, held, out);
        }
    }

    fn take_doubtful(&mut self, context: &mut Context<'_>, held: Held, out: &mut StreamEvents<'_>) {
        context.buffers.release(Queue::cost(held.bytes.len()));
        let end = held.end();
        if held.start > self.offset || end <= self.offset || self.finished {
            return;
        }
        let known = usize::try_from(self.offset - held.start).unwrap_or(usize::MAX);
        let mut bytes = held.bytes;
        bytes.drain(..known.min(bytes.len()));
        if !bytes.is_empty() {
            self.deliver(context, Cow::Owned(bytes), false, out);
        }
        self.complete(context, end - u64::from(held.fin), held.fin, out);
        self.release_held(context, false, out);
    }

    /// Forgets what was set aside: its receiver has not taken it.
    pub(crate) fn drop_doubtful(&mut self, context: &mut Context<'_>) {
        for held in self.doubtful.take().map(|doubtful| doubtful.segments).unwrap_or_default() {
            context.buffers.release(Queue::cost(held.bytes.len()));
        }
    }

    /// Sets the timestamp that the receiver remembers to that of the SYN.
    pub(crate) fn set_recent(&mut self, timestamp: u32, now: Timestamp) {
        self.recent = Some((timestamp, now));
    }

    /// Whether the receiver ignores a segment because of its timestamp (RFC 7323 section 5.3).
    ///
    /// Linux tolerates a timestamp that is older by one.
    pub(crate) fn is_outdated(&self, timestamp: u32, now: Timestamp) -> bool {
        self.age(timestamp, now) > 1
    }

    /// Remembers the timestamp of a segment from one offset to another, if the receiver does: it does where the segment
    /// holds the byte that it acknowledged last.
    pub(crate) fn remember(&mut self, timestamp: u32, start: u64, end: u64, now: Timestamp) {
        if start <= self.acknowledged && end >= self.acknowledged && self.age(timestamp, now) <= 0 {
            self.recent = Some((timestamp, now));
        }
    }

    /// By how much a timestamp is older than the one that is remembered, as long as that means something.
    ///
    /// Exactly half of the circle away counts as newer, as in Linux.
    fn age(&self, timestamp: u32, now: Timestamp) -> i32 {
        match self.recent {
            Some((recent, since)) if recent != 0 && now < since.saturating_add(TIMESTAMP_LIFE) => {
                recent.wrapping_sub(timestamp) as i32
            }
            _ => 0,
        }
    }

    /// Notes up to where the receiver has acknowledged.
    pub(crate) fn acknowledge(&mut self, context: &mut Context<'_>, offset: u64) {
        let offset = if self.finished { offset.min(self.offset) } else { offset };
        if offset > self.acknowledged {
            self.acknowledged = offset;
            if !self.kept.is_empty() {
                let remaining = self.offset.saturating_sub(offset);
                let remaining = usize::try_from(remaining).unwrap_or(usize::MAX);
                context.buffers.trim(&mut self.kept, remaining);
            }
        }
    }

    /// Takes an acknowledgement back that the sender has shown to be false: it has not sent that
    /// much. Returns whether there was one.
    pub(crate) fn retract_acknowledgement(&mut self) -> bool {
        self.overtaken = None;
        let was_false = self.acknowledged > self.offset;
        self.acknowledged = self.acknowledged.min(self.offset);
        was_false
    }

    /// Decides what is not waited for any more, by the time and the number of packets so far.
    ///
    /// An acknowledgement alone does not make a gap, as anyone can send one: the sender must have gone on, too, or be
    /// `absent` from the capture. `one_sided` says the same of the receiver.
    pub(crate) fn settle(
        &mut self,
        context: &mut Context<'_>,
        packets: u32,
        absent: bool,
        one_sided: bool,
        out: &mut StreamEvents<'_>,
    ) {
        if self.acknowledged > self.offset && !self.finished {
            let since = *self.overtaken.get_or_insert(Overtaken { since: context.now, packets });
            let late = packets.wrapping_sub(since.packets) >= context.limits.reorder_packets
                || context.now >= since.since.saturating_add(context.limits.reorder_time);
            if late && self.has_gone_on(absent) {
                self.skip_to(context, self.acknowledged, GapReason::Lost, out);
                self.overtaken = None;
            }
        } else {
            self.overtaken = None;
        }
        while let Some(queue) = &self.queue
            && let Some(start) = queue.start()
        {
            let reason = if queue.segments() > context.limits.queue_segments {
                GapReason::SegmentLimit
            } else if queue.bytes() > context.limits.queue_bytes {
                GapReason::ByteLimit
            } else if context.now >= self.held_until(context.limits, one_sided) {
                GapReason::TimeLimit
            } else {
                break;
            };
            self.skip_to(context, start, reason, out);
        }
    }

    /// When [`Half::settle`] has something to do without a packet.
    pub(crate) fn deadline(&self, limits: &Limits, absent: bool, one_sided: bool) -> Option<Timestamp> {
        let overtaken = self.overtaken.filter(|_| self.has_gone_on(absent));
        let overtaken = overtaken.map(|overtaken| overtaken.since.saturating_add(limits.reorder_time));
        let held = self.queue.as_ref().map(|_| self.held_until(limits, one_sided));
        overtaken.into_iter().chain(held).min()
    }

    /// Delivers everything that is held, with gaps where bytes are missing, at the end of a flow.
    pub(crate) fn flush(&mut self, context: &mut Context<'_>, out: &mut StreamEvents<'_>) {
        // The one number more that was acknowledged is that of a FIN which was not captured.
        let is_fin = self.acknowledged == self.offset.saturating_add(1) && !self.has_gone_on(false);
        if self.acknowledged > self.offset && !self.finished && !is_fin {
            self.skip_to(context, self.acknowledged, GapReason::Lost, out);
        }
        while let Some(start) = self.held_start() {
            self.skip_to(context, start, GapReason::End, out);
        }
        context.buffers.hand_back(&mut self.kept);
        self.drop_doubtful(context);
    }

    /// Delivers bytes that lie at the next offset and were held elsewhere, and what follows them.
    pub(crate) fn deliver_owned(&mut self, context: &mut Context<'_>, bytes: Vec<u8>, out: &mut StreamEvents<'_>) {
        self.deliver(context, Cow::Owned(bytes), false, out);
        self.release_held(context, false, out);
    }

    /// Delivers bytes that lie at the next offset.
    fn deliver<'a>(
        &mut self,
        context: &mut Context<'_>,
        bytes: Cow<'a, [u8]>,
        compare: bool,
        out: &mut StreamEvents<'a>,
    ) {
        let offset = self.offset;
        let end = offset.saturating_add(bytes.len() as u64);
        if compare && self.acknowledged < end && context.limits.compare_bytes > 0 {
            let most = context.limits.compare_bytes;
            context.buffers.keep(&mut self.kept, &bytes, most);
        } else {
            context.buffers.hand_back(&mut self.kept);
        }
        self.statistics.delivered = self.statistics.delivered.saturating_add(bytes.len() as u64);
        self.next += bytes.len() as u32;
        self.offset = end;
        out.push(StreamEvent {
            flow: context.flow,
            kind: StreamEventKind::Data { direction: self.direction, offset, bytes },
        });
    }

    /// Goes on to the end of a segment whose bytes were delivered as far as they were captured.
    fn complete(&mut self, context: &mut Context<'_>, end: u64, fin: bool, out: &mut StreamEvents<'_>) {
        if end > self.offset {
            self.skip(context, end, GapReason::Cut, out);
        }
        if fin {
            self.finish(context, out);
        }
    }

    pub(crate) fn finish(&mut self, context: &mut Context<'_>, out: &mut StreamEvents<'_>) {
        self.finished = true;
        self.overtaken = None;
        // What was acknowledged beyond the last byte is the FIN.
        self.acknowledged = self.acknowledged.min(self.offset);
        out.push(StreamEvent { flow: context.flow, kind: StreamEventKind::Finished { direction: self.direction } });
        let Some(queue) = self.queue.take() else {
            return;
        };
        context.buffers.release(queue.bytes());
        // The FIN itself may be held twice; only what lies beyond it is remarkable.
        let fin_end = self.offset.saturating_add(1);
        if queue.end().is_some_and(|end| end > fin_end) {
            self.report(context, StreamAnomaly::DataAfterFin, self.offset, out);
        }
    }

    fn receive_after_fin(
        &mut self,
        context: &mut Context<'_>,
        position: i64,
        end: i64,
        payload: Payload<'_>,
        out: &mut StreamEvents<'_>,
    ) {
        let last = i64::try_from(self.offset).unwrap_or(i64::MAX);
        if end > last {
            self.report(context, StreamAnomaly::DataAfterFin, self.offset, out);
            return;
        }
        self.statistics.repeated = self.statistics.repeated.saturating_add(1);
        self.compare(context, position, payload.bytes, out);
        if payload.fin && end != last {
            let at = u64::try_from(end).unwrap_or(0);
            self.report(context, StreamAnomaly::FinMoved, at, out);
        }
    }

    /// Holds a segment that lies beyond the next byte.
    fn hold<'a>(
        &mut self,
        context: &mut Context<'_>,
        start: u64,
        payload: Payload<'a>,
        compare: bool,
        out: &mut StreamEvents<'a>,
    ) {
        let reassembly = context.reassembly;
        let cost = match &self.queue {
            Some(queue) => queue.most_cost(payload, start, reassembly),
            None => Queue::cost(payload.bytes.len()),
        };
        if !context.buffers.reserve(cost) {
            self.skip_to(context, start, GapReason::MemoryLimit, out);
            if self.finished {
                return;
            }
            // What was held may have reached further than the start.
            let known = self.offset.saturating_sub(start);
            let known = usize::try_from(known).unwrap_or(usize::MAX);
            if let Some(bytes) = payload.bytes.get(known..)
                && !bytes.is_empty()
            {
                self.deliver(context, Cow::Borrowed(bytes), compare, out);
            }
            let end = start.saturating_add(payload.length());
            if end >= self.offset {
                self.complete(context, end, payload.fin, out);
            }
            self.release_held(context, compare, out);
            return;
        }
        if self.queue.is_none() {
            self.held_since = context.now;
        }
        let queue = self.queue.get_or_insert_default();
        let before = queue.bytes();
        let inserted = queue.insert(payload, start, reassembly);
        let surplus = before.saturating_add(cost).saturating_sub(queue.bytes());
        context.buffers.release(surplus);
        if inserted.held {
            self.statistics.out_of_order = self.statistics.out_of_order.saturating_add(1);
        } else {
            self.statistics.repeated = self.statistics.repeated.saturating_add(1);
        }
        if let Some(at) = inserted.difference {
            self.report(context, StreamAnomaly::OverlapDiff, at, out);
        }
        if inserted.fin_dropped {
            self.report(context, StreamAnomaly::FinMoved, start, out);
        }
    }

    /// Goes on to an offset: what is held before it is delivered, what is not is a gap.
    fn skip_to(&mut self, context: &mut Context<'_>, target: u64, reason: GapReason, out: &mut StreamEvents<'_>) {
        while self.offset < target && !self.finished {
            let held = self.held_start();
            let stop = held.map_or(target, |start| start.min(target));
            self.skip(context, stop, reason, out);
            self.release_held(context, false, out);
        }
        // A FIN alone may be what lies at the target.
        self.release_held(context, false, out);
    }

    /// Makes a gap up to an offset.
    pub(crate) fn skip(
        &mut self,
        context: &mut Context<'_>,
        target: u64,
        reason: GapReason,
        out: &mut StreamEvents<'_>,
    ) {
        let length = target.saturating_sub(self.offset);
        if length == 0 {
            return;
        }
        context.buffers.hand_back(&mut self.kept);
        out.push(StreamEvent {
            flow: context.flow,
            kind: StreamEventKind::Gap { direction: self.direction, offset: self.offset, length, reason },
        });
        self.statistics.gaps = self.statistics.gaps.saturating_add(1);
        self.statistics.missing = self.statistics.missing.saturating_add(length);
        self.last_gap = (self.offset, target);
        self.offset = target;
        // The sequence space is 32 bits wide: the cut is what is meant.
        self.next += length as u32;
    }

    /// Delivers the held segments that the stream has reached.
    fn release_held(&mut self, context: &mut Context<'_>, compare: bool, out: &mut StreamEvents<'_>) {
        let mut released = false;
        while !self.finished
            && let Some(queue) = &mut self.queue
            && let Some(held) = queue.pop_until(self.offset)
        {
            released = true;
            context.buffers.release(Queue::cost(held.bytes.len()));
            let end = held.end();
            if end <= self.offset {
                self.compare(context, position_of(&held), &held.bytes, out);
                self.statistics.repeated = self.statistics.repeated.saturating_add(1);
                continue;
            }
            let known = usize::try_from(self.offset - held.start).unwrap_or(usize::MAX);
            if known > 0 {
                self.compare(context, position_of(&held), &held.bytes, out);
            }
            let fin = held.fin;
            let mut bytes = held.bytes;
            if known < bytes.len() {
                bytes.drain(..known);
                self.deliver(context, Cow::Owned(bytes), compare, out);
            }
            self.complete(context, end - u64::from(fin), fin, out);
        }
        if released {
            self.held_since = context.now;
        }
        if self.queue.as_ref().is_some_and(|queue| queue.is_empty()) {
            self.queue = None;
        }
    }

    /// Compares bytes with those that were delivered and reports the first difference, and bytes
    /// that come too late for a gap.
    fn compare(&mut self, context: &Context<'_>, position: i64, bytes: &[u8], out: &mut StreamEvents<'_>) {
        if bytes.is_empty() {
            return;
        }
        let start = u64::try_from(position).unwrap_or(0);
        let skip = start.wrapping_sub(position as u64);
        let Some(bytes) = usize::try_from(skip).ok().and_then(|skip| bytes.get(skip..)) else {
            return;
        };
        if !self.kept.is_empty() {
            let kept_start = self.offset.saturating_sub(self.kept.len() as u64);
            let (first, second) = self.kept.as_slices();
            let second_start = kept_start.saturating_add(first.len() as u64);
            let found =
                difference(kept_start, first, start, bytes).or_else(|| difference(second_start, second, start, bytes));
            if let Some(at) = found {
                self.report(context, StreamAnomaly::OverlapDiff, at, out);
            }
        }
        let end = start.saturating_add(bytes.len() as u64);
        if start < self.last_gap.1 && end > self.last_gap.0 {
            let at = start.max(self.last_gap.0);
            self.report(context, StreamAnomaly::DataAfterGap, at, out);
        }
    }

    /// Whether the sender has sent more than we have seen, as far as it shows.
    fn has_gone_on(&self, absent: bool) -> bool {
        absent || self.shown.max(self.beyond) > self.offset
    }

    fn held_until(&self, limits: &Limits, one_sided: bool) -> Timestamp {
        let time = if one_sided { limits.queue_time_one_sided } else { limits.queue_time };
        self.held_since.saturating_add(time)
    }
}

fn position_of(held: &Held) -> i64 {
    i64::try_from(held.start).unwrap_or(i64::MAX)
}
