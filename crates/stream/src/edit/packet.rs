//! The way of a packet through an editor.

use portcullis_lang::Direction;
use portcullis_wire::{IpPacket, SequenceNumber, TcpFlags, TcpSegment, Timestamp};
use smallvec::SmallVec;

use super::Editor;
use super::send::Voice;
use crate::own::{ACK, OwnPacket, Route};

/// The flags of a segment that tell of congestion (RFC 3168).
const ECHO: TcpFlags = TcpFlags::ECE.union(TcpFlags::CWR);

/// Blocks of selective acknowledgements.
pub(super) type Blocks = SmallVec<[(SequenceNumber, SequenceNumber); 4]>;

impl Editor {
    /// A segment as it has to be given to the [`FlowTable`](crate::FlowTable), which knows the octets before they are edited:
    /// with acknowledgement and window translated into the numbers of the side that it goes to.
    ///
    /// [`Editor::packet`] is to be given the segment as it came.
    pub fn restore<'a>(&self, direction: Direction, segment: &TcpSegment<'a>) -> TcpSegment<'a> {
        let mut restored = *segment;
        if segment.flags.contains(TcpFlags::SYN) || !segment.flags.contains(ACK) {
            return restored;
        }
        let course = &self.courses[direction.other().index()];
        let position = course.offset_near(course.acknowledged, segment.acknowledgement);
        let sent = i64::try_from(course.sent).unwrap_or(i64::MAX);
        let acknowledged = i64::try_from(course.acknowledged).unwrap_or(i64::MAX);
        // Numbers are 32 bits wide: the cuts below are what is meant.
        if position > sent {
            restored.acknowledgement = course.number(course.received_end()) + position.saturating_sub(sent) as u32;
        } else if position < acknowledged {
            restored.acknowledgement = course.number(course.told) - acknowledged.saturating_sub(position) as u32;
        } else {
            let position = u64::try_from(position).unwrap_or(0);
            let scale = self.sides[direction.index()].scale;
            let window_edge = position.saturating_add(u64::from(segment.window) << scale).max(course.window_edge);
            let told = course.told_after(position);
            let edge = course.promise(position, window_edge, &self.settings.limits);
            restored.acknowledgement = course.number(told);
            restored.window = u16::try_from(edge.saturating_sub(told) >> scale).unwrap_or(u16::MAX);
        }
        restored
    }

    /// Takes a packet of one side, as it came, and appends the packets that leave instead of it: to the other side, and
    /// answers to its sender.
    ///
    /// What its payload brought was given to [`Editor::push`] before, and its FIN to [`Editor::finish`], if they were next; its
    /// checksum is right and its receiver accepts it, as [`FlowTable::normalise`](crate::FlowTable::normalise) finds out.
    pub fn packet(
        &mut self,
        direction: Direction,
        ip: &IpPacket<'_>,
        segment: &TcpSegment<'_>,
        now: Timestamp,
        out: &mut Vec<OwnPacket>,
    ) {
        self.statistics.packets += 1;
        self.learn(direction, ip, segment);
        let fresh = self.courses[direction.index()].fresh.take();
        let acknowledged = self.courses[direction.other().index()].acknowledged;
        if segment.flags.contains(TcpFlags::SYN) {
            // It comes before all numbers that change.
            out.push(OwnPacket::copy(direction, ip));
            self.statistics.made += 1;
            return;
        }
        if segment.flags.contains(TcpFlags::RST) {
            self.pass_reset(direction, segment, out);
            return;
        }
        if !segment.flags.contains(ACK) || !self.take_acknowledgement(direction, segment) {
            self.statistics.left_out += 1;
            self.settle(now, out);
            return;
        }
        let mut voice = Voice {
            route: Route::of(ip, segment),
            timestamps: segment.options.timestamps(),
            sack: self.translated_blocks(direction, segment),
            echo: TcpFlags(segment.flags.0 & ECHO.0),
        };
        voice.sack.extend(self.blocks_beyond(direction.other()));
        self.advance();
        let length = u64::from(segment.sequence_length());
        let course = &self.courses[direction.index()];
        let start = course.offset_near(course.received, segment.sequence);
        let end = start.saturating_add_unsigned(length);
        let fresh = fresh.unwrap_or(course.received_end());
        let from = u64::try_from(start).unwrap_or(0);
        let to = u64::try_from(end).unwrap_or(0);
        let told = i64::try_from(course.told).unwrap_or(i64::MAX);
        let is_beyond = length > 0 && from > course.received_end();
        let is_repeated = length > 0 && !is_beyond && from < fresh;
        // Keep-alives and probes of a closed window begin before what was acknowledged (RFC 9293, section 3.8.4).
        let is_probe = length <= 1
            && start.saturating_add(1) == told
            && from < course.received_end()
            && !segment.flags.contains(TcpFlags::FIN);
        let made = out.len();
        if is_repeated && !is_probe {
            let (first, last) = course.repeated(from, to.min(fresh));
            if first < last {
                self.statistics.repeated += 1;
                self.emit(direction, first, last, &voice, out);
            }
        }
        self.send_new(direction, &voice, out);
        if out.len() == made {
            self.pass_acknowledgement(direction, length, is_probe, &voice, out);
        }
        if is_beyond {
            // Whether an end behind a hole is kept is not known here; its sender repeats it.
            let payload = from.saturating_add(segment.payload.len() as u64);
            self.courses[direction.index()].note_beyond(from, payload);
        }
        let known = is_repeated && !is_probe && end <= told;
        if is_beyond || known {
            // As the receiver does it, at once (RFC 5681, section 4.2; RFC 9293, section 3.10.7.4).
            self.acknowledge(direction.other(), out);
        }
        self.repeat_what_is_missing(direction.other(), acknowledged, out);
        if is_repeated && i64::try_from(from).is_ok_and(|from| from <= told) {
            self.repeat_orphans(direction, out);
        }
        self.settle(now, out);
    }

    /// Notes from where the packets of a side come and what its clock says.
    fn learn(&mut self, direction: Direction, ip: &IpPacket<'_>, segment: &TcpSegment<'_>) {
        let side = &mut self.sides[direction.index()];
        side.route = Some(Route::of(ip, segment));
        if let (Some(clock), Some(timestamps)) = (side.clock, segment.options.timestamps())
            && (timestamps.value.wrapping_sub(clock) as i32) > 0
        {
            side.clock = Some(timestamps.value);
        }
    }

    /// Takes what a segment acknowledges; `false` if that was never sent.
    fn take_acknowledgement(&mut self, direction: Direction, segment: &TcpSegment<'_>) -> bool {
        let scale = self.sides[direction.index()].scale;
        let course = &mut self.courses[direction.other().index()];
        let Ok(position) = u64::try_from(course.offset_near(course.acknowledged, segment.acknowledgement)) else {
            return true;
        };
        if position > course.sent {
            return false;
        }
        if position < course.acknowledged {
            return true;
        }
        let window_edge = position.saturating_add(u64::from(segment.window) << scale);
        if position > course.acknowledged {
            course.acknowledge(position);
            course.retry = None;
        } else if segment.sequence_length() == 0
            && window_edge == course.window_edge
            && course.sent > course.acknowledged
        {
            course.duplicates = course.duplicates.saturating_add(1);
        }
        if course.sent == course.acknowledged
            && let Some(retry) = &mut course.retry
        {
            // The window is closed, and its owner is there.
            retry.tries = 0;
        }
        course.window_edge = course.window_edge.max(window_edge);
        true
    }

    /// The blocks of a selective acknowledgement in the numbers of the side that it goes to, without those that cover no
    /// whole octet there.
    fn translated_blocks(&self, direction: Direction, segment: &TcpSegment<'_>) -> Blocks {
        let mut blocks = Blocks::new();
        if !self.sack {
            return blocks;
        }
        let course = &self.courses[direction.other().index()];
        for (start, end) in segment.options.sack().as_slice() {
            let start = u64::try_from(course.offset_near(course.acknowledged, *start)).unwrap_or(0);
            let end = u64::try_from(course.offset_near(course.acknowledged, *end)).unwrap_or(0);
            if start >= end || start < course.acknowledged || end > course.sent {
                continue;
            }
            if let Some((first, last)) = course.selected(start, end) {
                blocks.push((course.number(first), course.number(last)));
            }
        }
        blocks
    }

    /// What has come of a direction behind a hole.
    pub(super) fn blocks_beyond(&self, direction: Direction) -> Blocks {
        let course = &self.courses[direction.index()];
        if !self.sack {
            return Blocks::new();
        }
        course.beyond.iter().map(|(start, end)| (course.number(*start), course.number(*end))).collect()
    }

    /// Passes on what a packet says besides octets, if it brought none that can leave.
    fn pass_acknowledgement(
        &mut self,
        direction: Direction,
        length: u64,
        is_probe: bool,
        voice: &Voice,
        out: &mut Vec<OwnPacket>,
    ) {
        let course = &self.courses[direction.index()];
        let is_stuck = course.sent == course.acknowledged && course.sent < course.result_end();
        if is_probe || (length > 0 && is_stuck) {
            self.statistics.probes += 1;
            let at = course.number(course.acknowledged) - 1;
            self.say(direction, at, voice, out);
        } else if length == 0
            || !voice.sack.is_empty()
            || self.sides[direction.index()].said != Some(self.news(direction))
        {
            // More of the same would be taken for the sign of a loss.
            let at = course.number(course.sent);
            self.say(direction, at, voice, out);
        }
    }

    /// Passes on a reset with the number that its receiver expects.
    fn pass_reset(&mut self, direction: Direction, segment: &TcpSegment<'_>, out: &mut Vec<OwnPacket>) {
        let course = &self.courses[direction.index()];
        let position = course.offset_near(course.received, segment.sequence);
        let is_next = u64::try_from(position).is_ok_and(|position| position >= course.received);
        let at = if is_next { course.sent } else { course.acknowledged };
        let at = course.number(at);
        self.reset = true;
        self.say_reset(direction, at, segment.flags.contains(ACK), out);
    }
}
