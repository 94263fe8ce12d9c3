//! One TCP connection: which segments its two receivers accept, and what that does.
//!
//! The judgement is that of a Linux receiver (RFC 9293 with RFC 5961) as far as a passive reader
//! can know it. Where the capture may be to blame for what looks wrong (lost or reordered packets,
//! one side not captured), the segment is given the benefit of the doubt.

use portcullis_lang::Direction;
use portcullis_wire::{SequenceNumber, TcpFlags, TcpSegment, Timestamp};

use crate::anomaly::{AnomalySet, StreamAnomaly};
use crate::event::{EndReason, StreamEvent, StreamEventKind, StreamEvents};
use crate::flow::{DirectionStatistics, FlowState};
use crate::half::{Context, Half, Payload};
use crate::limits::Limits;
use crate::normalise::SideNumbers;
use crate::opening::{Greeting, Opening, ResetVerdict};
use crate::slot::Class;

/// How far from the next byte a reset or an acknowledgement may lie where no window is known.
const BLIND_WINDOW: u64 = 1 << 20;

/// After how many packets of one side alone the other counts as not captured: no receiver is that silent.
const ABSENT_AFTER: u32 = 64;

/// A connection beyond its SYN.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) opening: Opening,
    up: Half,
    down: Half,
    /// Data on the SYN, until the SYN-ACK says whether it counts.
    syn_data: Option<Box<[u8]>>,
    /// The first sequence number of a SYN that was ignored: a SYN-ACK that acknowledges it shows
    /// that another connection has begun.
    pub(crate) reopened: Option<(Direction, SequenceNumber)>,
    /// When the table's timer for the flow fires.
    pub(crate) timer: Timestamp,
    /// The class of flows that the table counts it among.
    pub(crate) listed: Class,
    packets: u32,
    /// How many packets of one direction came since the last of the other.
    run: u32,
    run_direction: Direction,
    established: bool,
    midstream: bool,
    reset: bool,
}

// The documentation of the table's memory names this number.
const _: () = assert!(size_of::<Connection>() <= 544);

/// Whether a combination of flags is one that no host sends (T13).
pub(crate) fn is_invalid(flags: TcpFlags) -> bool {
    let syn = flags.contains(TcpFlags::SYN);
    let fin = flags.contains(TcpFlags::FIN);
    let rst = flags.contains(TcpFlags::RST);
    let ack = flags.contains(TcpFlags::ACK);
    (syn && (fin || rst)) || (fin && rst) || (fin && !ack) || flags.is_empty()
}

/// Whether a segment has SYN and not ACK.
pub(crate) fn is_syn(flags: TcpFlags) -> bool {
    flags.contains(TcpFlags::SYN) && !flags.contains(TcpFlags::ACK)
}

/// Whether a segment has SYN and ACK.
pub(crate) fn is_syn_ack(flags: TcpFlags) -> bool {
    flags.contains(TcpFlags::SYN | TcpFlags::ACK)
}

/// What an acknowledgement means for the segment that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Acknowledgement {
    /// Nothing.
    Fine,
    /// The receiver ignores the segment.
    Refused,
    /// The receiver ignores the segment, unless it has sent what the capture has not seen, or has not looked.
    Doubtful(StreamAnomaly),
}

impl Connection {
    /// Creates the state of a connection from that of its handshake.
    pub(crate) fn new(opening: &Opening, midstream: bool, timer: Timestamp) -> Connection {
        let mut connection = Connection {
            opening: *opening,
            up: Half::new(Direction::Up),
            down: Half::new(Direction::Down),
            syn_data: None,
            reopened: None,
            timer,
            listed: Class::Embryonic,
            packets: 0,
            run: 0,
            run_direction: Direction::Up,
            established: false,
            midstream,
            reset: opening.is_reset(),
        };
        for direction in Direction::BOTH {
            let half = connection.half_mut(direction);
            half.statistics.packets = opening.packets(direction);
            half.statistics.bytes = opening.bytes(direction);
            half.statistics.flags = opening.flags[direction.index()];
        }
        let packets = connection.up.statistics.packets + connection.down.statistics.packets;
        connection.packets = packets as u32;
        connection.up.anomalies = opening.anomalies;
        for direction in Direction::BOTH {
            if let Some(timestamp) = opening.first_timestamp(direction) {
                connection.half_mut(direction).set_recent(timestamp, timer);
            }
        }
        connection.synchronise();
        connection
    }

    /// Whether the beginning of the connection was not seen.
    pub(crate) fn is_midstream(&self) -> bool {
        self.midstream
    }

    /// How far the connection has come.
    pub(crate) fn state(&self) -> FlowState {
        if self.reset {
            return FlowState::Reset;
        }
        match (self.up.finished, self.down.finished) {
            (true, true) => FlowState::Closed,
            (true, false) | (false, true) => FlowState::Closing,
            (false, false) if self.established => FlowState::Established,
            (false, false) => FlowState::New,
        }
    }

    /// The class of flows that the connection belongs to.
    pub(crate) fn class(&self) -> Class {
        Class::of(self.state())
    }

    /// Whether there is something that time may decide.
    pub(crate) fn is_waiting(&self) -> bool {
        self.up.is_waiting() || self.down.is_waiting()
    }

    /// Why the connection ends if nothing more is heard of it, where it has an end of its own.
    pub(crate) fn natural_end(&self) -> Option<EndReason> {
        match self.state() {
            FlowState::Reset => Some(EndReason::Reset),
            FlowState::Closed => Some(EndReason::Fin),
            _ => None,
        }
    }

    /// Whether a SYN or SYN-ACK begins another connection between the same ports (T26).
    pub(crate) fn is_replaced_by(&self, direction: Direction, segment: &TcpSegment<'_>) -> bool {
        let is_new = self.opening.next(direction) != Some(segment.sequence + 1);
        let over = matches!(self.state(), FlowState::Reset | FlowState::Closed);
        if is_syn(segment.flags) {
            return over && is_new;
        }
        let answers_new = self.reopened == Some((direction.other(), segment.acknowledgement));
        is_syn_ack(segment.flags) && is_new && (over || answers_new)
    }

    /// Whether a segment shows that a gateway has to begin anew with a connection.
    ///
    /// A SYN that follows its end does: its receiver has forgotten it. So does one with another number if the first was
    /// never answered, and, where the connection was joined in the middle, data before the point at which it was joined,
    /// unless its receiver has confirmed that it was past it: otherwise one segment far ahead would make all the others old.
    pub(crate) fn begins_anew(&self, direction: Direction, segment: &TcpSegment<'_>) -> bool {
        let half = self.half(direction);
        if is_syn(segment.flags) {
            let over = matches!(self.state(), FlowState::Reset | FlowState::Closed);
            let untouched = self.up.is_fresh() && self.down.is_fresh();
            return !is_invalid(segment.flags) && (over || (untouched && self.opening.is_renewed(direction, segment)));
        }
        let brings = !segment.payload.is_empty() || segment.flags.contains(TcpFlags::FIN);
        brings
            && segment.flags.contains(TcpFlags::ACK)
            && !segment.flags.intersects(TcpFlags::SYN | TcpFlags::RST)
            && !self.opening.is_confirmed(direction)
            && half.synchronised
            && !half.is_fresh()
            && half.position(segment.sequence) < 0
    }

    /// What was counted, up first.
    pub(crate) fn statistics(&self) -> [DirectionStatistics; 2] {
        [self.up.statistics, self.down.statistics]
    }

    /// The kinds of anomalies that were seen.
    pub(crate) fn anomalies(&self) -> AnomalySet {
        self.up.anomalies.union(self.down.anomalies)
    }

    /// When there is something to decide without a packet, apart from the end of the flow.
    pub(crate) fn deadline(&self, limits: &Limits) -> Option<Timestamp> {
        let (no_client, no_server) = (self.is_absent(Direction::Up), self.is_absent(Direction::Down));
        let up = self.up.deadline(limits, no_client, no_server);
        let down = self.down.deadline(limits, no_server, no_client);
        up.into_iter().chain(down).min()
    }

    /// Counts a packet by its bytes on the wire.
    pub(crate) fn count(&mut self, direction: Direction, flags: TcpFlags, bytes: u32) {
        self.packets = self.packets.wrapping_add(1);
        if self.run_direction == direction {
            self.run = self.run.saturating_add(1);
        } else {
            self.run_direction = direction;
            self.run = 1;
        }
        let statistics = &mut self.half_mut(direction).statistics;
        statistics.packets += 1;
        statistics.bytes = statistics.bytes.saturating_add(u64::from(bytes));
        statistics.flags |= flags;
    }

    /// Looks at the time to live of a segment.
    pub(crate) fn note_ttl(
        &mut self,
        context: &Context<'_>,
        direction: Direction,
        ttl: u8,
        segment: &TcpSegment<'_>,
        out: &mut StreamEvents<'_>,
    ) {
        let counts = !segment.payload.is_empty() || segment.flags.intersects(TcpFlags::FIN | TcpFlags::RST);
        let half = self.half_mut(direction);
        let offset = if half.synchronised { half.offset_of(segment.sequence) } else { 0 };
        half.note_ttl(context, ttl, counts, offset, out);
    }

    /// Takes a segment.
    pub(crate) fn receive<'a>(
        &mut self,
        context: &mut Context<'_>,
        direction: Direction,
        segment: &TcpSegment<'a>,
        missing: u32,
        out: &mut StreamEvents<'a>,
    ) {
        let flags = segment.flags;
        if is_invalid(flags) {
            self.report(context, direction, StreamAnomaly::InvalidFlags, segment, out);
            // Linux obeys a reset whatever comes with it.
            if flags.contains(TcpFlags::RST) && !self.opening.is_signed_unexpectedly(segment) {
                self.receive_reset(context, direction, segment, out);
            }
        } else if flags.contains(TcpFlags::SYN) {
            self.receive_syn(context, direction, segment, out);
        } else if self.opening.is_signed_unexpectedly(segment) {
            self.receive_signed(context, direction, segment, missing, out);
        } else if flags.contains(TcpFlags::RST) {
            self.receive_reset(context, direction, segment, out);
        } else if !flags.contains(TcpFlags::ACK) {
            let kind = StreamAnomaly::MissingAckFlag;
            self.report(context, direction, kind, segment, out);
        } else {
            self.receive_segment(context, direction, segment, missing, out);
        }
        self.settle(context, out);
    }

    /// Decides what is not waited for any more.
    pub(crate) fn settle(&mut self, context: &mut Context<'_>, out: &mut StreamEvents<'_>) {
        for direction in Direction::BOTH {
            let half = self.half(direction);
            if !half.is_waiting() && half.acknowledged <= half.offset {
                continue;
            }
            if direction == Direction::Up && self.up.offset == 0 {
                self.accept_syn_data(context, out);
            }
            self.half_mut(direction).settle_doubts(context, out);
            let absent = self.is_absent(direction);
            let one_sided = self.is_absent(direction.other());
            let packets = self.packets;
            self.half_mut(direction).settle(context, packets, absent, one_sided, out);
        }
    }

    /// Delivers everything that is held, at the end of the flow, and gives the memory back.
    pub(crate) fn flush(&mut self, context: &mut Context<'_>, out: &mut StreamEvents<'_>) {
        if self.up.is_waiting() {
            self.accept_syn_data(context, out);
        }
        self.drop_syn_data(context);
        self.up.flush(context, out);
        self.down.flush(context, out);
    }

    /// Whether a segment of the client lies in the window, as far as a server asks that of what completes a handshake; always
    /// true behind the handshake.
    pub(crate) fn is_answerable(&self, sequence: SequenceNumber, length: u64) -> bool {
        if self.established || self.midstream || !self.opening.syn_seen(Direction::Up) {
            return true;
        }
        let position = self.up.position(sequence);
        let offset = i64::try_from(self.up.offset).unwrap_or(i64::MAX);
        position >= offset || position.saturating_add_unsigned(length) > offset
    }

    /// Whether the handshake is complete, or was never seen.
    pub(crate) fn is_established(&self) -> bool {
        self.established || self.midstream
    }

    /// Sets a segment aside that carries a signature which nobody has asked for.
    fn receive_signed(
        &mut self,
        context: &mut Context<'_>,
        direction: Direction,
        segment: &TcpSegment<'_>,
        missing: u32,
        out: &mut StreamEvents<'_>,
    ) {
        let kind = StreamAnomaly::UnexpectedSignature;
        let carries = segment.flags.contains(TcpFlags::ACK) && !segment.flags.contains(TcpFlags::RST);
        let half = self.half_mut(direction);
        if !carries || !half.synchronised {
            self.report(context, direction, kind, segment, out);
            return;
        }
        let payload = Payload { bytes: segment.payload, missing, fin: segment.flags.contains(TcpFlags::FIN) };
        let start = half.offset_of(segment.sequence);
        let aside = half.doubt(context, kind, start, payload, out);
        if !aside {
            // There were too many of them for a lie; without an acknowledgement this one cannot be judged either.
            half.report(context, kind, start, out);
        }
    }

    fn receive_segment<'a>(
        &mut self,
        context: &mut Context<'_>,
        direction: Direction,
        segment: &TcpSegment<'a>,
        missing: u32,
        out: &mut StreamEvents<'a>,
    ) {
        let payload = Payload { bytes: segment.payload, missing, fin: segment.flags.contains(TcpFlags::FIN) };
        let length = payload.length();
        if !self.half(direction).synchronised {
            self.opening.synchronise(direction, segment.sequence);
            self.half_mut(direction).synchronise(segment.sequence);
        }
        let windows = self.windows_are_known(direction);
        let timestamp = if self.opening.timestamps() { segment.options.timestamps() } else { None };
        let half = self.half_mut(direction);
        let position = half.position(segment.sequence);
        let start = u64::try_from(position).unwrap_or(0);
        if timestamp.is_some_and(|timestamp| half.is_outdated(timestamp.value, context.now)) {
            self.report(context, direction, StreamAnomaly::TimestampOld, segment, out);
            return;
        }
        // Beyond the window: if the next byte itself is beyond it, we have missed its updates.
        let occupied = length.saturating_add(u64::from(payload.fin));
        if windows && half.offset <= half.edge && half.is_beyond_window(start, occupied, false) {
            half.beyond = half.beyond.max(start.saturating_add(length));
            self.report(context, direction, StreamAnomaly::OutOfWindow, segment, out);
            return;
        }
        half.shown = half.shown.max(start.saturating_add(length));
        if let Some(timestamp) = timestamp {
            let end = start.saturating_add(length).saturating_add(u64::from(payload.fin));
            half.remember(timestamp.value, start, end, context.now);
        }
        if direction == Direction::Up && !self.is_answerable(segment.sequence, length + u64::from(payload.fin)) {
            self.report(context, direction, StreamAnomaly::OutOfWindow, segment, out);
            return;
        }
        // Until the handshake is complete, Linux (since 6.15) takes no other echo than that of the SYN-ACK.
        if direction == Direction::Up
            && !self.established
            && !self.midstream
            && timestamp.is_some_and(|timestamp| !self.opening.is_echo(timestamp.echo))
        {
            let kind = StreamAnomaly::TimestampEcho;
            if self.half_mut(direction).doubt(context, kind, start, payload, out) {
                return;
            }
        }
        let half = self.half_mut(direction);
        // What ends before the last acknowledgement is too old to acknowledge anything itself.
        // It cannot have acknowledged more than was sent.
        let acknowledged = half.acknowledged.min(half.offset);
        let end = position.saturating_add_unsigned(length).saturating_add_unsigned(u64::from(payload.fin));
        let is_old = end < i64::try_from(acknowledged).unwrap_or(i64::MAX);
        let acknowledges = !windows || !is_old;
        if acknowledges {
            match self.acknowledge(context, direction, segment, out) {
                Acknowledgement::Fine => {}
                Acknowledgement::Refused => return,
                Acknowledgement::Doubtful(kind) => {
                    if self.half_mut(direction).doubt(context, kind, start, payload, out) {
                        return;
                    }
                }
            }
        }
        if segment.flags.contains(TcpFlags::URG) {
            self.report_urgent(context, direction, segment, out);
        }
        self.establish(context, direction, out);
        let reset = self.reset;
        let compare = self.half(direction.other()).statistics.packets > 0;
        let half = self.half_mut(direction);
        if length == 0 && !payload.fin {
            // The sender says what it sends next: what it has not sent was not acknowledged.
            if start == half.offset && position >= 0 && half.retract_acknowledgement() {
                let offset = half.offset;
                half.report(context, StreamAnomaly::AckUnsent, offset, out);
            }
            return;
        }
        if reset && length > 0 {
            half.report(context, StreamAnomaly::DataAfterReset, start, out);
        }
        half.receive(context, segment.sequence, payload, compare, out);
    }

    /// Takes the acknowledgement and the window of a segment; returns whether its receiver would
    /// go on with the segment.
    ///
    /// A segment that acknowledges what its receiver has not sent is ignored by it. But it may be the capture that has not seen
    /// what was sent.
    fn acknowledge(
        &mut self,
        context: &mut Context<'_>,
        direction: Direction,
        segment: &TcpSegment<'_>,
        out: &mut StreamEvents<'_>,
    ) -> Acknowledgement {
        let other = direction.other();
        let acknowledgement = segment.acknowledgement;
        if !self.established {
            self.opening.pick(other, acknowledgement);
            self.opening.synchronise(other, acknowledgement);
            self.synchronise();
        }
        let windows = self.windows_are_known(other);
        let shift = self.opening.shift(direction);
        let half = self.half_mut(other);
        let position = half.position(acknowledgement);
        let farthest = half.edge.max(half.held_end()).max(half.beyond);
        // No older than what was acknowledged at all, since Linux 6.7.
        let tolerated = u64::from(half.largest_window).min(half.acknowledged);
        let too_old = position < i64::try_from(half.acknowledged - tolerated).unwrap_or(i64::MAX);
        let unsent = u64::try_from(position).unwrap_or(0) > farthest.saturating_add(1);
        if windows && too_old {
            return Acknowledgement::Doubtful(StreamAnomaly::AckTooOld);
        }
        if windows && unsent {
            self.report(context, direction, StreamAnomaly::AckUnsent, segment, out);
            return Acknowledgement::Refused;
        }
        let Ok(offset) = u64::try_from(position) else {
            return Acknowledgement::Fine;
        };
        let is_doubtful = windows && offset > half.seen_end();
        half.acknowledge(context, offset);
        if let Some(shift) = shift {
            let window = u32::from(segment.window) << shift;
            half.largest_window = half.largest_window.max(window);
            half.edge = half.edge.max(offset.saturating_add(u64::from(window)));
        }
        half.settle_doubts(context, out);
        match is_doubtful && (!segment.payload.is_empty() || segment.flags.contains(TcpFlags::FIN)) {
            true => Acknowledgement::Doubtful(StreamAnomaly::AckUnsent),
            false => Acknowledgement::Fine,
        }
    }

    fn receive_syn<'a>(
        &mut self,
        context: &mut Context<'_>,
        direction: Direction,
        segment: &TcpSegment<'a>,
        out: &mut StreamEvents<'a>,
    ) {
        let greeting = if is_syn(segment.flags) {
            self.opening.syn(direction, segment)
        } else {
            let held = self.syn_data.as_ref().map_or(0, |data| data.len());
            let held = match direction {
                Direction::Up => 0,
                Direction::Down => u32::try_from(held).unwrap_or(u32::MAX),
            };
            self.opening.syn_ack(direction, segment, held)
        };
        match greeting {
            Greeting::Repeated => return,
            Greeting::Accepted => {}
            Greeting::Flagged(kind) => self.report(context, direction, kind, segment, out),
            Greeting::Ignored(kind) => {
                if is_syn(segment.flags) {
                    self.reopened = Some((direction, segment.sequence + 1));
                }
                self.report(context, direction, kind, segment, out);
                self.receive_embryonic_syn(context, direction, segment, out);
                return;
            }
        }
        self.synchronise();
        if is_syn_ack(segment.flags) && direction == Direction::Down {
            self.answer_syn_data(context, segment, out);
        }
        if !segment.payload.is_empty() {
            self.receive_syn_data(context, direction, segment, out);
        }
    }

    /// A server that waits for the end of a handshake gives it up when a SYN comes that lies in its window.
    fn receive_embryonic_syn(
        &mut self,
        context: &Context<'_>,
        direction: Direction,
        segment: &TcpSegment<'_>,
        out: &mut StreamEvents<'_>,
    ) {
        let answered = self.opening.syn_seen(Direction::Up) && self.opening.syn_seen(Direction::Down);
        let position = self.up.position(segment.sequence);
        let end = position.saturating_add_unsigned(segment.sequence_length().into());
        let window = i64::from(self.opening.first_window(Direction::Up));
        let answers = !segment.flags.contains(TcpFlags::ACK)
            || self.opening.next(Direction::Down) == Some(segment.acknowledgement);
        let inside = position == 0 || (end > 0 && position < window);
        if answered
            && direction == Direction::Up
            && !self.established
            && !self.midstream
            && !self.reset
            && answers
            && inside
        {
            self.reset = true;
            out.push(StreamEvent { flow: context.flow, kind: StreamEventKind::Reset { direction } });
        }
    }

    /// Holds the data on a SYN until it is known whether the server takes it (T12).
    fn receive_syn_data(
        &mut self,
        context: &mut Context<'_>,
        direction: Direction,
        segment: &TcpSegment<'_>,
        out: &mut StreamEvents<'_>,
    ) {
        let cookie = segment.options.values().fast_open_cookie.unwrap_or(0);
        if cookie == 0 {
            self.report(context, direction, StreamAnomaly::SynData, segment, out);
        }
        if direction == Direction::Down || is_syn_ack(segment.flags) {
            return;
        }
        let length = segment.payload.len().min(context.limits.syn_bytes);
        self.drop_syn_data(context);
        if let Some(bytes) = segment.payload.get(..length)
            && context.buffers.reserve(length)
        {
            self.syn_data = Some(bytes.into());
        }
    }

    /// Delivers the data on the SYN as far as the SYN-ACK acknowledges it.
    fn answer_syn_data(&mut self, context: &mut Context<'_>, segment: &TcpSegment<'_>, out: &mut StreamEvents<'_>) {
        let taken = self.up.offset_of(segment.acknowledgement);
        if taken > 0 && self.up.offset == 0 && !self.up.finished {
            self.up.acknowledge(context, taken);
            self.accept_syn_data(context, out);
        }
        self.drop_syn_data(context);
    }

    /// Delivers the data on the SYN, because its bytes are missing otherwise.
    fn accept_syn_data(&mut self, context: &mut Context<'_>, out: &mut StreamEvents<'_>) {
        let Some(data) = &self.syn_data else {
            return;
        };
        // Either it was acknowledged, or the client itself goes on after it.
        let held = self.up.held_start().unwrap_or(0);
        let taken = self.up.acknowledged.max(held);
        let taken = usize::try_from(taken).unwrap_or(usize::MAX).min(data.len());
        if self.up.offset != 0 || self.up.finished || taken == 0 {
            return;
        }
        if let Some(bytes) = data.get(..taken) {
            let bytes = bytes.to_vec();
            self.up.deliver_owned(context, bytes, out);
        }
        self.drop_syn_data(context);
    }

    fn drop_syn_data(&mut self, context: &mut Context<'_>) {
        if let Some(data) = self.syn_data.take() {
            context.buffers.release(data.len());
        }
    }

    fn receive_reset(
        &mut self,
        context: &mut Context<'_>,
        direction: Direction,
        segment: &TcpSegment<'_>,
        out: &mut StreamEvents<'_>,
    ) {
        match self.judge_reset(direction, segment) {
            ResetVerdict::Exact => self.set_reset(context, direction, out),
            ResetVerdict::Inexact => {
                self.report(context, direction, StreamAnomaly::ResetInexact, segment, out);
            }
            ResetVerdict::OutOfWindow => {
                let kind = StreamAnomaly::ResetOutOfWindow;
                self.report(context, direction, kind, segment, out);
            }
        }
    }

    /// Notes that a side has reset the connection.
    pub(crate) fn set_reset(&mut self, context: &Context<'_>, direction: Direction, out: &mut StreamEvents<'_>) {
        if !std::mem::replace(&mut self.reset, true) {
            out.push(StreamEvent { flow: context.flow, kind: StreamEventKind::Reset { direction } });
        }
    }

    /// Notes that a gateway has reset the connection.
    pub(crate) fn mark_reset(&mut self) {
        self.reset = true;
    }

    /// Whether a side has reset the connection.
    pub(crate) fn is_reset(&self) -> bool {
        self.reset
    }

    /// Where a sequence number lies in the stream of a direction, 0 before its beginning.
    pub(crate) fn offset_of(&self, direction: Direction, sequence: SequenceNumber) -> u64 {
        self.half(direction).offset_of(sequence)
    }

    /// Keeps segments out of order back from now on.
    pub(crate) fn withhold(&mut self) {
        Direction::BOTH.into_iter().for_each(|direction| self.half_mut(direction).withholds = true);
    }

    /// Forgets what waits behind holes, and gives the memory back.
    pub(crate) fn forget(&mut self, context: &mut Context<'_>) {
        self.drop_syn_data(context);
        Direction::BOTH.into_iter().for_each(|direction| self.half_mut(direction).forget(context));
    }

    /// Notes that a sender was told it may send up to an offset, though its receiver has not said so.
    pub(crate) fn allow(&mut self, direction: Direction, edge: u64) {
        let half = self.half_mut(direction);
        half.edge = half.edge.max(edge);
    }

    /// What was delivered of a direction and is not acknowledged, as far as it is kept.
    pub(crate) fn unacknowledged(&self, direction: Direction) -> Vec<u8> {
        let half = self.half(direction);
        let most = usize::try_from(half.offset.saturating_sub(half.acknowledged)).unwrap_or(usize::MAX);
        let skip = half.kept.len().saturating_sub(most);
        half.kept.iter().skip(skip).copied().collect()
    }

    /// The numbers of both sides, up first.
    pub(crate) fn numbers(&self) -> [SideNumbers; 2] {
        Direction::BOTH.map(|direction| {
            let half = self.half(direction);
            SideNumbers {
                next: half.next,
                offset: half.offset,
                acknowledged: half.acknowledged,
                edge: half.edge,
                finished: half.finished,
                clock: half.recent.map(|(clock, _)| clock),
            }
        })
    }

    /// Judges a reset by what its receiver expects next (RFC 5961 section 3.2).
    ///
    /// Like Linux, the end of what the receiver holds and, after a FIN, the number of the FIN
    /// itself are taken as exact, too.
    pub(crate) fn judge_reset(&self, direction: Direction, segment: &TcpSegment<'_>) -> ResetVerdict {
        let half = self.half(direction);
        let other = self.half(direction.other());
        if !half.synchronised || (!self.established && half.statistics.delivered == 0) {
            let verdict = self.opening.reset(direction, segment);
            let syn_data = self.syn_data.as_ref().map_or(0, |data| data.len());
            let refuses_syn_data = direction == Direction::Down
                && !self.opening.syn_seen(direction)
                && segment.flags.contains(TcpFlags::ACK)
                && u64::try_from(other.position(segment.acknowledgement))
                    .is_ok_and(|position| position <= syn_data as u64);
            return if refuses_syn_data { ResetVerdict::Exact } else { verdict };
        }
        let Ok(position) = u64::try_from(half.position(segment.sequence)) else {
            return ResetVerdict::OutOfWindow;
        };
        let fin = half.offset.saturating_add(1);
        if position == half.offset
            || (half.finished && position == fin)
            || (half.acknowledged > half.offset && position == half.acknowledged)
            || (self.opening.sack() && position == half.held_end())
        {
            return ResetVerdict::Exact;
        }
        let edge = if self.windows_are_known(direction) { half.edge } else { half.offset.saturating_add(BLIND_WINDOW) };
        if position > half.offset && position < edge { ResetVerdict::Inexact } else { ResetVerdict::OutOfWindow }
    }

    /// Notes the end of the handshake: the client has answered, or is not captured.
    pub(crate) fn establish(&mut self, context: &Context<'_>, direction: Direction, out: &mut StreamEvents<'_>) {
        if self.established {
            return;
        }
        // A server that goes on has had its answer.
        let goes_on = self.down.offset > 0 || self.up.acknowledged > 0;
        if !self.midstream && direction == Direction::Down && self.up.statistics.packets > 0 && !goes_on {
            return;
        }
        self.established = true;
        if !self.midstream {
            out.push(StreamEvent { flow: context.flow, kind: StreamEventKind::Established });
        }
    }

    pub(crate) fn report_urgent(
        &mut self,
        context: &Context<'_>,
        direction: Direction,
        segment: &TcpSegment<'_>,
        out: &mut StreamEvents<'_>,
    ) {
        // The pointer is that of the octet after the urgent one, as all systems read it.
        let before = u32::from(segment.urgent).saturating_sub(1);
        let half = self.half_mut(direction);
        let offset = half.offset_of(segment.sequence + before);
        half.report(context, StreamAnomaly::UrgentData, offset, out);
    }

    /// Reports an anomaly at the first byte of a segment.
    pub(crate) fn report(
        &mut self,
        context: &Context<'_>,
        direction: Direction,
        kind: StreamAnomaly,
        segment: &TcpSegment<'_>,
        out: &mut StreamEvents<'_>,
    ) {
        let half = self.half_mut(direction);
        let offset = if half.synchronised { half.offset_of(segment.sequence) } else { 0 };
        half.report(context, kind, offset, out);
    }

    /// Tells both directions what the handshake has found out.
    pub(crate) fn synchronise(&mut self) {
        let known = self.opening.shift(Direction::Up).is_some();
        for direction in Direction::BOTH {
            let next = self.opening.next(direction);
            let window = u32::from(self.opening.first_window(direction));
            let half = self.half_mut(direction);
            if let Some(next) = next {
                half.synchronise(next);
            }
            if known && half.largest_window == 0 {
                half.largest_window = window;
                half.edge = u64::from(window);
            }
        }
    }

    /// Whether the window of the receiver of a direction can be relied on: both SYNs were seen, and the receiver is being
    /// captured.
    pub(crate) fn windows_are_known(&self, direction: Direction) -> bool {
        self.opening.shift(direction).is_some() && !self.is_absent(direction.other())
    }

    /// Whether the sender of a direction was never captured, or is not captured any more.
    fn is_absent(&self, direction: Direction) -> bool {
        let silent = self.run_direction != direction && self.run >= ABSENT_AFTER;
        silent || self.half(direction).statistics.packets == 0
    }

    pub(crate) fn half(&self, direction: Direction) -> &Half {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    pub(crate) fn half_mut(&mut self, direction: Direction) -> &mut Half {
        match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        }
    }
}
