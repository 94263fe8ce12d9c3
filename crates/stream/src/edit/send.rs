//! Making packets, and what time brings about.

use std::time::Duration;

use portcullis_lang::Direction;
use portcullis_wire::{SequenceNumber, TcpFlags, TcpTimestamps, Timestamp};

use super::Editor;
use super::course::Retry;
use super::packet::Blocks;
use crate::own::{self, ACK, OwnPacket, Route, Segment};

/// The longest time between two repetitions (RFC 6298, section 2.5).
const LONGEST: Duration = Duration::from_secs(60);

/// After how many equal acknowledgements something counts as lost (RFC 5681, section 3.2).
const DUPLICATES: u32 = 3;

/// How packets are made in the name of a side.
#[derive(Clone, Debug)]
pub(super) struct Voice {
    pub(super) route: Route,
    pub(super) timestamps: Option<TcpTimestamps>,
    /// What that side has got out of order.
    pub(super) sack: Blocks,
    /// The flags of its packet that tell of congestion.
    pub(super) echo: TcpFlags,
}

impl Editor {
    /// Does what time asks for: acknowledges what is kept back, and repeats what nobody else would; see
    /// [`Editor::deadline`].
    pub fn tick(&mut self, now: Timestamp, out: &mut Vec<OwnPacket>) {
        if self.reset || self.given_up.is_some() {
            return;
        }
        for course in &mut self.courses {
            let early = self.settings.acknowledge_after;
            if course.untold_since.is_some_and(|since| now >= since.saturating_add(early)) {
                // From now on nobody else repeats it.
                course.told = course.told.max(course.received);
                course.untold_since = None;
                self.statistics.acknowledged_early += 1;
            }
        }
        self.advance();
        for direction in Direction::BOTH {
            let course = &self.courses[direction.index()];
            if let Some(retry) = course.retry.filter(|retry| retry.due <= now) {
                self.retry(direction, retry, now, out);
            }
        }
        self.settle(now, out);
    }

    /// Takes over what may leave, and finds out up to where senders may go on.
    pub(super) fn advance(&mut self) {
        let limits = &self.settings.limits;
        for course in &mut self.courses {
            course.advance(limits);
            course.edge = course.promise(course.acknowledged, course.window_edge, limits);
        }
    }

    /// Sends what can be sent now, acknowledges what is done, and sets the timers.
    pub(super) fn settle(&mut self, now: Timestamp, out: &mut Vec<OwnPacket>) {
        self.advance();
        for direction in Direction::BOTH {
            if let Some(voice) = self.own_voice(direction) {
                self.send_new(direction, &voice, out);
            }
        }
        for direction in Direction::BOTH {
            let course = &self.courses[direction.other().index()];
            let said = self.sides[direction.index()].said;
            let last = said.map_or(0, |(acknowledgement, _)| course.offset_near(course.told, acknowledgement));
            // Before the first packet in its name, the SYN-ACK and the ACK behind it have acknowledged what there was.
            let news = match said {
                Some(_) => i64::try_from(course.told).is_ok_and(|told| told > last),
                None => course.told > course.first(),
            };
            if news {
                self.acknowledge(direction, out);
            }
        }
        let repeat_after = self.settings.repeat_after;
        for course in &mut self.courses {
            if course.held() > 0 && course.told < course.received {
                course.untold_since.get_or_insert(now);
            } else {
                course.untold_since = None;
            }
            if course.is_orphaned() {
                let due = now.saturating_add(repeat_after);
                course.retry.get_or_insert(Retry { due, interval: repeat_after, tries: 0 });
            } else {
                course.retry = None;
            }
        }
    }

    /// Repeats the first octets that are not acknowledged, or asks for the window.
    fn retry(&mut self, direction: Direction, retry: Retry, now: Timestamp, out: &mut Vec<OwnPacket>) {
        if retry.tries >= self.settings.repeats {
            self.given_up = Some(direction);
            return;
        }
        let Some(voice) = self.own_voice(direction) else {
            return;
        };
        let interval = retry.interval.saturating_mul(2).min(LONGEST.max(self.settings.repeat_after));
        let due = now.saturating_add(interval);
        let course = &mut self.courses[direction.index()];
        course.retry = Some(Retry { due, interval, tries: retry.tries.saturating_add(1) });
        if course.acknowledged < course.sent {
            self.repeat_first(direction, &voice, out);
        } else if !self.send_new(direction, &voice, out) {
            self.statistics.probes += 1;
            let course = &self.courses[direction.index()];
            let at = course.number(course.acknowledged) - 1;
            self.say(direction, at, &voice, out);
        }
    }

    fn repeat_first(&mut self, direction: Direction, voice: &Voice, out: &mut Vec<OwnPacket>) {
        let most = self.most(direction, voice) as u64;
        let course = &mut self.courses[direction.index()];
        let start = course.acknowledged;
        let end = start.saturating_add(most).min(course.sent);
        course.recovery = Some(course.sent);
        self.statistics.repeated_alone += 1;
        self.emit(direction, start, end, voice, out);
    }

    /// Repeats what a receiver misses, by what it has acknowledged now and before, if the sender has no cause to do so.
    pub(super) fn repeat_what_is_missing(&mut self, direction: Direction, before: u64, out: &mut Vec<OwnPacket>) {
        let course = &mut self.courses[direction.index()];
        let next_hole = course.acknowledged > before && course.recovery.is_some_and(|end| course.acknowledged < end);
        if course.recovery.is_some_and(|end| course.acknowledged >= end) {
            course.recovery = None;
        }
        if next_hole || (course.duplicates == DUPLICATES && course.recovery.is_none()) {
            self.repeat_orphans(direction, out);
        }
    }

    /// Repeats the first octets that are not acknowledged if nobody else would.
    pub(super) fn repeat_orphans(&mut self, direction: Direction, out: &mut Vec<OwnPacket>) {
        let course = &self.courses[direction.index()];
        if course.is_orphaned()
            && course.acknowledged < course.sent
            && let Some(voice) = self.own_voice(direction)
        {
            self.repeat_first(direction, &voice, out);
        }
    }

    /// How packets are made that no packet of their side brings about.
    fn own_voice(&self, direction: Direction) -> Option<Voice> {
        let (side, other) = (&self.sides[direction.index()], &self.sides[direction.other().index()]);
        let route = side.route.or_else(|| other.route.map(Route::back))?;
        let timestamps = side.clock.map(|value| TcpTimestamps { value, echo: other.clock.unwrap_or(0) });
        let sack = self.blocks_beyond(direction.other());
        Some(Voice { route: route.without_ecn(), timestamps, sack, echo: TcpFlags::EMPTY })
    }

    /// How many octets of payload a packet has at most.
    fn most(&self, direction: Direction, voice: &Voice) -> usize {
        let options = own::options(voice.timestamps, &voice.sack).len();
        let room = voice.route.room(self.settings.mtu).min(self.sides[direction.other().index()].mss);
        room.saturating_sub(options).max(1)
    }

    /// Sends octets that were never sent, as far as the receiver takes them; whether there were any.
    pub(super) fn send_new(&mut self, direction: Direction, voice: &Voice, out: &mut Vec<OwnPacket>) -> bool {
        let most = self.most(direction, voice) as u64;
        let course = &self.courses[direction.index()];
        let (produced, sent) = (course.produced(), course.sent);
        let allowed = produced.min(course.window_edge);
        let mut end = sent.max(allowed);
        if end < produced {
            // A closing window is used in whole segments (RFC 9293, section 3.8.6.2.1).
            let small = end.saturating_sub(sent) % most;
            let is_only = small == end.saturating_sub(sent) && sent == course.acknowledged;
            if !is_only {
                end = end.saturating_sub(small);
            }
        } else if course.ends() {
            end = course.result_end();
        }
        if end <= sent {
            return false;
        }
        self.emit(direction, sent, end, voice, out);
        true
    }

    /// Sends a range of the result, in segments as long as they may be.
    pub(super) fn emit(&mut self, direction: Direction, start: u64, end: u64, voice: &Voice, out: &mut Vec<OwnPacket>) {
        let most = self.most(direction, voice);
        let (acknowledgement, window) = self.news(direction);
        let course = &mut self.courses[direction.index()];
        let options = own::options(voice.timestamps, &voice.sack);
        let produced = course.produced();
        let mut at = start;
        let mut echo = voice.echo;
        let mut payload = Vec::with_capacity(most);
        while at < end {
            let length = usize::try_from(produced.min(end).saturating_sub(at)).unwrap_or(usize::MAX).min(most);
            payload.clear();
            payload.extend(course.octets(at, length));
            let next = at.saturating_add(payload.len() as u64);
            let mut flags = ACK | echo;
            if next == produced || next == end {
                flags |= TcpFlags::PSH;
            }
            let fin = next == produced && end > produced;
            if fin {
                flags |= TcpFlags::FIN;
            }
            let segment = Segment {
                sequence: course.number(at),
                acknowledgement,
                flags,
                window,
                options: &options,
                payload: &payload,
            };
            if let Some(octets) = voice.route.packet(&segment) {
                out.push(OwnPacket { direction, octets });
                self.statistics.made += 1;
            }
            // A reduced window of congestion is told once (RFC 3168, section 6.1.2).
            echo = echo.without(TcpFlags::CWR);
            let reached = next.saturating_add(u64::from(fin));
            if reached == at {
                break;
            }
            at = reached;
        }
        course.sent = course.sent.max(at);
        self.sides[direction.index()].said = Some((acknowledgement, window));
    }

    /// What a packet in a direction acknowledges, and the window that it gives.
    pub(super) fn news(&self, direction: Direction) -> (SequenceNumber, u16) {
        let course = &self.courses[direction.other().index()];
        let window = course.edge.saturating_sub(course.told) >> self.sides[direction.index()].scale;
        (course.number(course.told), u16::try_from(window).unwrap_or(u16::MAX))
    }

    /// Acknowledges in the name of the side that sends in a direction.
    pub(super) fn acknowledge(&mut self, direction: Direction, out: &mut Vec<OwnPacket>) {
        if let Some(voice) = self.own_voice(direction) {
            self.statistics.acknowledgements += 1;
            let course = &self.courses[direction.index()];
            let at = course.number(course.sent);
            self.say(direction, at, &voice, out);
        }
    }

    /// Sends a segment without octets.
    pub(super) fn say(
        &mut self,
        direction: Direction,
        sequence: SequenceNumber,
        voice: &Voice,
        out: &mut Vec<OwnPacket>,
    ) {
        let (acknowledgement, window) = self.news(direction);
        let options = own::options(voice.timestamps, &voice.sack);
        let flags = ACK | TcpFlags(voice.echo.0 & TcpFlags::ECE.0);
        let segment = Segment { sequence, acknowledgement, flags, window, options: &options, payload: &[] };
        if let Some(octets) = voice.route.without_ecn().packet(&segment) {
            out.push(OwnPacket { direction, octets });
            self.statistics.made += 1;
        }
        self.sides[direction.index()].said = Some((acknowledgement, window));
    }

    /// Sends a reset.
    pub(super) fn say_reset(
        &mut self,
        direction: Direction,
        sequence: SequenceNumber,
        acknowledges: bool,
        out: &mut Vec<OwnPacket>,
    ) {
        let Some(voice) = self.own_voice(direction) else {
            return;
        };
        let (acknowledgement, _) = self.news(direction);
        let (flags, acknowledgement) =
            if acknowledges { (TcpFlags::RST | ACK, acknowledgement) } else { (TcpFlags::RST, SequenceNumber(0)) };
        let segment = Segment { sequence, acknowledgement, flags, window: 0, options: &[], payload: &[] };
        if let Some(octets) = voice.route.packet(&segment) {
            out.push(OwnPacket { direction, octets });
            self.statistics.made += 1;
        }
    }
}
