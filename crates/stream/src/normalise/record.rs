//! What a segment brings to the record of its direction, and what the record says about it.
//!
//! The record are the octets that were let through and are not acknowledged: in order those that were delivered, and
//! behind holes those that wait. For each place the octet that came first stands, whatever comes later; so it does not
//! matter which of several a receiver would prefer.

use std::borrow::Cow;

use crate::anomaly::StreamAnomaly;
use crate::event::{GapReason, StreamEvent, StreamEventKind, StreamEvents};
use crate::half::{Context, Half, Payload};
use crate::queue::Queue;
use crate::reassembly::Reassembly;

use super::reasons::{Change, ChangeSet, DropReason};

/// What is to become of the payload and the FIN of a segment.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    /// The payload that leaves, if it is another one.
    pub(super) payload: Option<Vec<u8>>,
    /// Why it is another one.
    pub(super) changes: ChangeSet,
    /// Whether the FIN is to be taken away.
    pub(super) without_fin: bool,
}

impl Half {
    /// Takes the payload of a segment that its receiver would take, at a position of the stream, and says what leaves.
    pub(super) fn record<'a>(
        &mut self,
        context: &mut Context<'_>,
        position: i64,
        bytes: &'a [u8],
        fin: bool,
        out: &mut StreamEvents<'a>,
    ) -> Result<Recorded, DropReason> {
        let offset = i64::try_from(self.offset).unwrap_or(i64::MAX);
        let end = position.saturating_add(i64::try_from(bytes.len()).unwrap_or(i64::MAX));
        if self.finished {
            return self.record_after_fin(context, position, end, bytes, fin, out);
        }
        if position == offset && self.queue.is_none() && !bytes.is_empty() {
            // The common case: what comes next, and nothing waits.
            self.let_through(context, Cow::Borrowed(bytes), out)?;
            if fin {
                self.finish(context, out);
            }
            return Ok(Recorded::default());
        }
        if self.is_unrecorded(position, end) {
            return Err(DropReason::NotRecorded);
        }
        let mut recorded = Recorded { payload: self.overlaid(context, position, bytes, out), ..Recorded::default() };
        if recorded.payload.is_some() {
            recorded.changes.insert(Change::Overlap);
        }
        // What has left behind this end shows that it is none.
        let early_fin = fin && i64::try_from(self.held_end()).unwrap_or(i64::MAX) > end;
        if position > offset {
            self.record_behind_a_hole(context, position, bytes, fin, &mut recorded, out)?;
        } else if end <= offset {
            self.statistics.repeated = self.statistics.repeated.saturating_add(1);
            if fin && end == offset && !early_fin {
                self.finish(context, out);
            } else if fin {
                self.report(context, StreamAnomaly::FinMoved, u64::try_from(end).unwrap_or(0), out);
                recorded.without_fin = true;
            }
        } else {
            let known = usize::try_from(offset.saturating_sub(position)).unwrap_or(usize::MAX);
            let new = match &recorded.payload {
                Some(payload) => Cow::Owned(payload.get(known..).unwrap_or_default().to_vec()),
                None => Cow::Borrowed(bytes.get(known..).unwrap_or_default()),
            };
            self.let_through(context, new, out)?;
            if early_fin {
                self.report(context, StreamAnomaly::FinMoved, u64::try_from(end).unwrap_or(0), out);
                recorded.without_fin = true;
            }
            self.absorb(context, out);
            if fin && !early_fin {
                self.finish(context, out);
            }
        }
        Ok(recorded)
    }

    fn record_after_fin<'a>(
        &mut self,
        context: &mut Context<'_>,
        position: i64,
        end: i64,
        bytes: &'a [u8],
        fin: bool,
        out: &mut StreamEvents<'a>,
    ) -> Result<Recorded, DropReason> {
        let last = i64::try_from(self.offset).unwrap_or(i64::MAX);
        let mut recorded = Recorded { without_fin: fin && end != last, ..Recorded::default() };
        if end > last {
            self.report(context, StreamAnomaly::DataAfterFin, self.offset, out);
            if position >= last {
                return Err(DropReason::DataAfterFin);
            }
        } else if recorded.without_fin {
            self.report(context, StreamAnomaly::FinMoved, u64::try_from(end).unwrap_or(0), out);
        }
        if self.is_unrecorded(position, end.min(last)) {
            return Err(DropReason::NotRecorded);
        }
        self.statistics.repeated = self.statistics.repeated.saturating_add(1);
        let length = usize::try_from(last.saturating_sub(position)).unwrap_or(0).min(bytes.len());
        let within = bytes.get(..length).unwrap_or_default();
        recorded.payload = self.overlaid(context, position, within, out);
        if recorded.payload.is_some() {
            recorded.changes.insert(Change::Overlap);
        }
        if within.len() < bytes.len() {
            recorded.payload.get_or_insert_with(|| within.to_vec());
            recorded.changes.insert(Change::BeyondFin);
        }
        Ok(recorded)
    }

    /// Records what lies behind a hole. It leaves at once, so that its receiver asks for what is missing.
    fn record_behind_a_hole<'a>(
        &mut self,
        context: &mut Context<'_>,
        position: i64,
        bytes: &'a [u8],
        fin: bool,
        recorded: &mut Recorded,
        out: &mut StreamEvents<'a>,
    ) -> Result<(), DropReason> {
        let start = u64::try_from(position).unwrap_or(0);
        if fin {
            // Where the direction ends is known when what lies before is there.
            recorded.without_fin = true;
        }
        if bytes.is_empty() {
            return Err(DropReason::EarlyFin);
        }
        let end = start.saturating_add(bytes.len() as u64);
        let holes = match &self.queue {
            Some(queue) => queue.holes(start, end),
            None => [(start, end)].into_iter().collect(),
        };
        if holes.is_empty() {
            self.statistics.repeated = self.statistics.repeated.saturating_add(1);
            return self.leave(DropReason::Withheld);
        }
        let cost: usize = holes.iter().map(|(from, to)| Queue::cost(usize::try_from(to - from).unwrap_or(0))).sum();
        let (segments, held) = self.queue.as_ref().map_or((0, 0), |queue| (queue.segments(), queue.bytes()));
        let most = context.limits.queue_bytes.min(context.buffers.share_out_of_order());
        if segments.saturating_add(holes.len()) > context.limits.queue_segments || held.saturating_add(cost) > most {
            self.report(context, StreamAnomaly::RecordLimit, start, out);
            return Err(DropReason::OutOfOrderLimit);
        }
        if !context.buffers.reserve(cost) {
            self.report(context, StreamAnomaly::RecordLimit, start, out);
            return Err(DropReason::RecordLimit);
        }
        let queue = self.queue.get_or_insert_default();
        let source = recorded.payload.as_deref().unwrap_or(bytes);
        for (from, to) in holes {
            let begin = usize::try_from(from - start).unwrap_or(usize::MAX);
            let stop = usize::try_from(to - start).unwrap_or(usize::MAX);
            let bytes = source.get(begin..stop).unwrap_or_default();
            queue.insert(Payload { bytes, missing: 0, fin: false }, from, Reassembly::First);
        }
        self.statistics.out_of_order = self.statistics.out_of_order.saturating_add(1);
        self.leave(DropReason::Withheld)
    }

    /// Whether what lies behind a hole may leave.
    fn leave(&self, reason: DropReason) -> Result<(), DropReason> {
        if self.withholds { Err(reason) } else { Ok(()) }
    }

    /// Records and delivers what comes next.
    fn let_through<'a>(
        &mut self,
        context: &mut Context<'_>,
        bytes: Cow<'a, [u8]>,
        out: &mut StreamEvents<'a>,
    ) -> Result<(), DropReason> {
        let most = context.limits.record_bytes.min(context.buffers.share());
        if !context.buffers.try_keep(&mut self.kept, &bytes, most) {
            self.report(context, StreamAnomaly::RecordLimit, self.offset, out);
            return Err(DropReason::RecordLimit);
        }
        self.pass_on(context, bytes, out);
        Ok(())
    }

    /// Delivers what comes next, which the record has.
    fn pass_on<'a>(&mut self, context: &Context<'_>, bytes: Cow<'a, [u8]>, out: &mut StreamEvents<'a>) {
        let offset = self.offset;
        self.statistics.delivered = self.statistics.delivered.saturating_add(bytes.len() as u64);
        self.next += bytes.len() as u32;
        self.offset = offset.saturating_add(bytes.len() as u64);
        let kind = StreamEventKind::Data { direction: self.direction, offset, bytes };
        out.push(StreamEvent { flow: context.flow, kind });
    }

    /// Delivers what waited for what has just come.
    fn absorb(&mut self, context: &mut Context<'_>, out: &mut StreamEvents<'_>) {
        while let Some(held) = self.queue.as_mut().and_then(|queue| queue.pop_until(self.offset)) {
            let cost = Queue::cost(held.bytes.len());
            let known = usize::try_from(self.offset.saturating_sub(held.start)).unwrap_or(usize::MAX);
            let mut bytes = held.bytes;
            bytes.drain(..known.min(bytes.len()));
            context.buffers.release(cost);
            if bytes.is_empty() {
                continue;
            }
            // It has left already, so that it has to be delivered even if it cannot be kept; what is not kept is not let
            // through a second time.
            if !context.buffers.try_keep(&mut self.kept, &bytes, usize::MAX) {
                context.buffers.hand_back(&mut self.kept);
                self.report(context, StreamAnomaly::RecordLimit, self.offset, out);
            }
            self.pass_on(context, Cow::Owned(bytes), out);
        }
        if self.queue.as_ref().is_some_and(|queue| queue.is_empty()) {
            self.queue = None;
        }
    }

    /// The payload as the record has it, if that differs; tells where.
    fn overlaid(
        &mut self,
        context: &Context<'_>,
        position: i64,
        bytes: &[u8],
        out: &mut StreamEvents<'_>,
    ) -> Option<Vec<u8>> {
        let start = u64::try_from(position).unwrap_or(0);
        let skip = usize::try_from(start.wrapping_sub(position as u64)).unwrap_or(usize::MAX);
        let within = bytes.get(skip..).filter(|within| !within.is_empty())?;
        let kept_start = self.offset.saturating_sub(self.kept.len() as u64);
        let (first, second) = self.kept.as_slices();
        let second_start = kept_start.saturating_add(first.len() as u64);
        let mut differs: Option<u64> = None;
        let mut copy: Option<Vec<u8>> = None;
        let mut lay = |at: u64, record: &[u8]| {
            if let Some(first) = crate::queue::difference(at, record, start, within) {
                differs = Some(differs.map_or(first, |earlier| earlier.min(first)));
                let copy = copy.get_or_insert_with(|| bytes.to_vec());
                overlay(copy.get_mut(skip..).unwrap_or_default(), start, record, at);
            }
        };
        lay(kept_start, first);
        lay(second_start, second);
        if let Some(queue) = &self.queue {
            queue.visit(start, start.saturating_add(within.len() as u64), &mut lay);
        }
        if let Some(at) = differs {
            self.report(context, StreamAnomaly::OverlapDiff, at, out);
        }
        copy
    }

    /// Whether a segment with so many octets lies beyond what its receiver has ever allowed. If `strictly`, that holds for
    /// what comes next, too, but for the one octet of a probe: else anybody could fill the record with what no receiver
    /// takes.
    pub(crate) fn is_beyond_window(&self, start: u64, length: u64, strictly: bool) -> bool {
        let next = self.offset.saturating_add(u64::from(self.finished));
        if start > next {
            return start > self.edge || (start == self.edge && length > 0);
        }
        let is_probe = self.offset == self.edge && start.saturating_add(length) == self.offset.saturating_add(1);
        strictly
            && self.offset >= self.edge
            && start.saturating_add(length) > self.offset
            && !self.finished
            && !is_probe
    }

    /// Whether a range has octets that were let through, are not acknowledged and are not kept.
    fn is_unrecorded(&self, position: i64, end: i64) -> bool {
        let kept_start = self.offset.saturating_sub(self.kept.len() as u64);
        let (from, to) = (i64::try_from(self.acknowledged), i64::try_from(kept_start));
        let (from, to) = (from.unwrap_or(i64::MAX), to.unwrap_or(i64::MAX));
        from < to && position < to && end > from
    }

    /// Goes on behind octets that its receiver has and that were never seen: they went past while nobody looked.
    pub(super) fn resume_at(&mut self, context: &mut Context<'_>, target: u64, out: &mut StreamEvents<'_>) {
        let mut stop = self.held_start().map_or(target, |start| start.min(target));
        while self.offset < target && !self.finished {
            self.skip(context, stop, GapReason::Lost, out);
            self.absorb(context, out);
            stop = self.held_start().map_or(target, |start| start.min(target));
        }
    }

    /// Forgets what waits behind holes, which no receiver has read, at the end of a flow.
    pub(crate) fn forget(&mut self, context: &mut Context<'_>) {
        if let Some(queue) = self.queue.take() {
            context.buffers.release(queue.bytes());
        }
        context.buffers.hand_back(&mut self.kept);
    }
}

/// Writes what a record has over a payload, where they meet.
fn overlay(payload: &mut [u8], start: u64, record: &[u8], record_start: u64) {
    let from = start.max(record_start);
    let offset = |base: u64| usize::try_from(from - base).unwrap_or(usize::MAX);
    let (to, source) = (payload.get_mut(offset(start)..), record.get(offset(record_start)..));
    if let (Some(to), Some(source)) = (to, source) {
        to.iter_mut().zip(source).for_each(|(octet, recorded)| *octet = *recorded);
    }
}
