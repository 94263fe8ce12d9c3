//! What becomes of each segment of a connection.

use portcullis_lang::Direction;
use portcullis_wire::{TcpFlags, TcpSegment};

use crate::anomaly::StreamAnomaly;
use crate::connection::{Connection, is_invalid, is_syn};
use crate::event::{StreamEvent, StreamEventKind, StreamEvents};
use crate::half::Context;
use crate::opening::{Greeting, Opening, ResetVerdict};

use super::options::{Agreed, Options, judge};
use super::reasons::{Change, DropReason};
use super::rewrite::Rewrite;

impl Rewrite {
    fn change(&mut self, change: Change) {
        self.changes.insert(change);
    }
}

impl Connection {
    /// Says what is to be done to a segment, and delivers what it brings.
    ///
    /// `resumes` says that packets may have gone past while nobody looked, so that what is acknowledged and was not seen
    /// is missing, and not made up.
    pub(crate) fn normalise<'a>(
        &mut self,
        context: &mut Context<'_>,
        direction: Direction,
        segment: &TcpSegment<'a>,
        resumes: bool,
        out: &mut StreamEvents<'a>,
    ) -> Result<Rewrite, DropReason> {
        let flags = segment.flags;
        let mut rewrite = Rewrite::default();
        if is_invalid(flags) {
            self.report(context, direction, StreamAnomaly::InvalidFlags, segment, out);
            return Err(DropReason::InvalidFlags);
        }
        clean_header(segment, agreed(&self.opening), &mut rewrite)?;
        if flags.contains(TcpFlags::SYN) {
            self.normalise_syn(context, direction, segment, out)?;
            clean_syn(segment, &mut rewrite);
            return Ok(rewrite);
        }
        if flags.contains(TcpFlags::RST) {
            self.normalise_reset(context, direction, segment, out)?;
            clean_reset(segment, &mut rewrite);
            return Ok(rewrite);
        }
        if !flags.contains(TcpFlags::ACK) {
            self.report(context, direction, StreamAnomaly::MissingAckFlag, segment, out);
            return Err(DropReason::MissingAck);
        }
        self.normalise_data(context, direction, segment, resumes, &mut rewrite, out)?;
        Ok(rewrite)
    }

    fn normalise_reset(
        &mut self,
        context: &Context<'_>,
        direction: Direction,
        segment: &TcpSegment<'_>,
        out: &mut StreamEvents<'_>,
    ) -> Result<(), DropReason> {
        let kind = match self.judge_reset(direction, segment) {
            ResetVerdict::Exact => {
                self.set_reset(context, direction, out);
                return Ok(());
            }
            ResetVerdict::Inexact => StreamAnomaly::ResetInexact,
            ResetVerdict::OutOfWindow => StreamAnomaly::ResetOutOfWindow,
        };
        // A receiver that lacks what was let through expects less than what comes next here. It decides; nothing is
        // believed of it.
        let half = self.half(direction);
        let expected = i64::try_from(half.acknowledged).unwrap_or(i64::MAX)..=i64::try_from(half.offset).unwrap_or(0);
        if answers_another(&self.opening, direction)
            || (half.synchronised && expected.contains(&half.position(segment.sequence)))
        {
            return Ok(());
        }
        self.report(context, direction, kind, segment, out);
        Err(DropReason::ResetInexact)
    }

    fn normalise_syn(
        &mut self,
        context: &Context<'_>,
        direction: Direction,
        segment: &TcpSegment<'_>,
        out: &mut StreamEvents<'_>,
    ) -> Result<(), DropReason> {
        let half = self.half(direction);
        let first = half.next - half.offset as u32;
        if half.synchronised && !half.is_fresh() && first != segment.sequence + 1 {
            // Its octets are counted from another number already.
            let is_answer = !is_syn(segment.flags);
            let kind = if is_answer { StreamAnomaly::SynAckChanged } else { StreamAnomaly::SynInEstablished };
            self.report(context, direction, kind, segment, out);
            return Err(if is_answer { DropReason::SynChanged } else { DropReason::SynInConnection });
        }
        let greeted = greet(&mut self.opening, direction, segment);
        if let Some(kind) = greeted.anomaly {
            self.report(context, direction, kind, segment, out);
        }
        match greeted.reason {
            Some(reason) => Err(reason),
            None => {
                if !segment.payload.is_empty() {
                    self.report(context, direction, StreamAnomaly::SynData, segment, out);
                }
                self.synchronise();
                Ok(())
            }
        }
    }

    fn normalise_data<'a>(
        &mut self,
        context: &mut Context<'_>,
        direction: Direction,
        segment: &TcpSegment<'a>,
        resumes: bool,
        rewrite: &mut Rewrite,
        out: &mut StreamEvents<'a>,
    ) -> Result<(), DropReason> {
        let fin = segment.flags.contains(TcpFlags::FIN);
        let length = segment.payload.len() as u64;
        if !self.half(direction).synchronised {
            // Where packets went past unseen, so may its SYN have.
            if self.opening.any_syn_seen() && !resumes {
                let treated = before_syn(segment);
                if treated.is_err() {
                    self.report(context, direction, StreamAnomaly::SplitHandshake, segment, out);
                }
                return treated;
            }
            self.opening.synchronise(direction, segment.sequence);
            self.half_mut(direction).synchronise(segment.sequence);
        }
        let begins = self.opening.syn_seen(direction);
        if !begins && (length > 0 || fin) {
            // Of a connection joined in the middle, what comes first need not be what its receiver reads first.
            let half = self.half_mut(direction);
            if half.position(segment.sequence) < 0 && half.is_fresh() {
                half.synchronise(segment.sequence);
            }
        }
        // Both sides pass here, so that one that is silent is not absent.
        let windows = self.opening.shift(direction).is_some();
        let timestamp = if self.opening.timestamps() { segment.options.timestamps() } else { None };
        let acknowledged = self.half(direction.other()).position(segment.acknowledgement);
        let acknowledges_more =
            acknowledged > i64::try_from(self.half(direction.other()).acknowledged).unwrap_or(i64::MAX);
        let half = self.half_mut(direction);
        let position = half.position(segment.sequence);
        let start = u64::try_from(position).unwrap_or(0);
        let end = start.saturating_add(length);
        if timestamp.is_some_and(|timestamp| half.is_outdated(timestamp.value, context.now)) {
            // Acknowledgements overtake each other on the way; one that brings nothing is no loss and no harm.
            if length == 0 && !fin && !acknowledges_more {
                return Ok(());
            }
            self.report(context, direction, StreamAnomaly::TimestampOld, segment, out);
            return Err(DropReason::TimestampOld);
        }
        // A keep-alive before any data stands at the number of the SYN.
        let before = begins && position < -1 && (length > 0 || fin);
        // What the receiver has allowed may have gone past unseen, and it says so again only when it gets something.
        if before || (windows && !resumes && half.is_beyond_window(start, length, true)) {
            self.report(context, direction, StreamAnomaly::OutOfWindow, segment, out);
            return Err(DropReason::OutOfWindow);
        }
        if direction == Direction::Up && !self.is_answerable(segment.sequence, length + u64::from(fin)) {
            self.report(context, direction, StreamAnomaly::OutOfWindow, segment, out);
            return Err(DropReason::OutOfWindow);
        }
        if direction == Direction::Up
            && !self.is_established()
            && timestamp.is_some_and(|timestamp| !self.opening.is_echo(timestamp.echo))
        {
            self.report(context, direction, StreamAnomaly::TimestampEcho, segment, out);
            return Err(DropReason::TimestampEcho);
        }
        let half = self.half_mut(direction);
        let is_old = position.saturating_add_unsigned(length) < i64::try_from(half.acknowledged).unwrap_or(i64::MAX);
        if !windows || !is_old {
            self.normalise_acknowledgement(context, direction, segment, resumes, out)?;
        }
        if let Some(timestamp) = timestamp {
            self.half_mut(direction).remember(timestamp.value, start, end, context.now);
        }
        if segment.flags.contains(TcpFlags::URG) {
            self.report_urgent(context, direction, segment, out);
        }
        self.establish(context, direction, out);
        if length == 0 && !fin {
            return Ok(());
        }
        if self.is_reset() && length > 0 {
            self.half_mut(direction).report(context, StreamAnomaly::DataAfterReset, start, out);
        }
        let recorded = self.half_mut(direction).record(context, position, segment.payload, fin, out)?;
        if recorded.without_fin {
            rewrite.without |= TcpFlags::FIN;
            rewrite.change(Change::Fin);
        }
        rewrite.payload = recorded.payload;
        recorded.changes.iter().for_each(|change| rewrite.change(change));
        Ok(())
    }

    /// Takes the acknowledgement and the window of a segment.
    fn normalise_acknowledgement(
        &mut self,
        context: &mut Context<'_>,
        direction: Direction,
        segment: &TcpSegment<'_>,
        resumes: bool,
        out: &mut StreamEvents<'_>,
    ) -> Result<(), DropReason> {
        let other = direction.other();
        let acknowledgement = segment.acknowledgement;
        if !self.half(other).synchronised {
            self.opening.synchronise(other, acknowledgement);
            self.synchronise();
        }
        let windows = self.opening.shift(other).is_some();
        let shift = self.opening.shift(direction);
        let half = self.half_mut(other);
        // What one side sends may take another way, and then never comes by (T32).
        let resumes = resumes || half.statistics.packets == 0;
        let position = half.position(acknowledgement);
        // No older than what was acknowledged at all, since Linux 6.7.
        let tolerated = u64::from(half.largest_window).min(half.acknowledged);
        let too_old = position < i64::try_from(half.acknowledged - tolerated).unwrap_or(i64::MAX);
        if windows && too_old {
            self.report(context, direction, StreamAnomaly::AckTooOld, segment, out);
            return Err(DropReason::AckTooOld);
        }
        let Ok(offset) = u64::try_from(position) else {
            return Ok(());
        };
        self.opening.confirm(other);
        let half = self.half_mut(other);
        let let_through = half.held_end().saturating_add(u64::from(half.finished));
        if offset > let_through {
            if !resumes {
                self.report(context, direction, StreamAnomaly::AckUnsent, segment, out);
                return Err(DropReason::AckUnsent);
            }
            half.resume_at(context, offset, out);
        }
        // What waits behind a hole is not read, whoever acknowledges it: only its sender can close the hole.
        let half = self.half_mut(other);
        if offset > half.offset.saturating_add(u64::from(half.finished)) {
            if !resumes {
                self.report(context, direction, StreamAnomaly::AckUnsent, segment, out);
                return Err(DropReason::AckUnsent);
            }
            half.resume_at(context, offset, out);
        }
        let half = self.half_mut(other);
        half.acknowledge(context, offset.min(half.offset));
        if let Some(shift) = shift {
            let window = u32::from(segment.window) << shift;
            half.largest_window = half.largest_window.max(window);
            half.edge = half.edge.max(offset.saturating_add(u64::from(window)));
        }
        Ok(())
    }
}

/// What becomes of a SYN or SYN-ACK.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Greeted {
    pub(super) anomaly: Option<StreamAnomaly>,
    pub(super) reason: Option<DropReason>,
}

/// Takes a SYN or SYN-ACK if it is the first of its kind or says the same as that.
pub(super) fn greet(opening: &mut Opening, direction: Direction, segment: &TcpSegment<'_>) -> Greeted {
    let refused = |anomaly, reason| Greeted { anomaly: Some(anomaly), reason: Some(reason) };
    let syn = is_syn(segment.flags);
    if syn && direction == Direction::Down && opening.any_syn_seen() {
        return match opening.syn_seen(Direction::Down) {
            true => refused(StreamAnomaly::SynInEstablished, DropReason::SynInConnection),
            false => refused(StreamAnomaly::SplitHandshake, DropReason::SynFromServer),
        };
    }
    if !syn && direction == Direction::Up {
        // The client's half of a simultaneous open, whose other half was not let through.
        return refused(StreamAnomaly::SynAckWrongAck, DropReason::SynFromServer);
    }
    // Tried on a copy: what is not let through must leave no trace.
    let mut tried = *opening;
    let greeting = if syn { tried.syn(direction, segment) } else { tried.syn_ack(direction, segment, 0) };
    match greeting {
        Greeting::Accepted => {
            *opening = tried;
            Greeted::default()
        }
        Greeting::Repeated if opening.greeted_alike(direction, segment) => {
            *opening = tried;
            Greeted::default()
        }
        Greeting::Repeated if syn && opening.is_unanswered() && opening.greeted_less(direction, segment) => {
            *opening = tried;
            Greeted::default()
        }
        Greeting::Repeated => match syn {
            true => refused(StreamAnomaly::SynChanged, DropReason::SynChanged),
            false => refused(StreamAnomaly::SynAckChanged, DropReason::SynChanged),
        },
        Greeting::Flagged(kind) => refused(kind, DropReason::SynChanged),
        Greeting::Ignored(StreamAnomaly::SynAckWrongAck) => {
            refused(StreamAnomaly::SynAckWrongAck, DropReason::SynAckWrongAck)
        }
        Greeting::Ignored(kind) => refused(kind, DropReason::SynInConnection),
    }
}

/// What both sides have agreed on. Where a SYN was not seen, it may be anything.
fn agreed(opening: &Opening) -> Agreed {
    let unknown = Direction::BOTH.into_iter().any(|direction| !opening.syn_seen(direction));
    Agreed { timestamps: unknown || opening.timestamps(), sack: unknown || opening.sack() }
}

/// Whether a reset may answer what the server says about a connection before this one (RFC 9293 section 3.5.1).
fn answers_another(opening: &Opening, direction: Direction) -> bool {
    direction == Direction::Up && opening.is_unanswered()
}

/// What becomes of a segment of a side whose SYN has not come: an acknowledgement alone may be that of a connection before
/// this one, to which its receiver answers with a reset; anything else would be counted from a number that nobody agreed on.
fn before_syn(segment: &TcpSegment<'_>) -> Result<(), DropReason> {
    let bare = segment.payload.is_empty() && !segment.flags.contains(TcpFlags::FIN);
    if bare { Ok(()) } else { Err(DropReason::BeforeSyn) }
}

/// Cleans what is the same for all segments: options, reserved bits, the urgent pointer.
pub(super) fn clean_header(segment: &TcpSegment<'_>, agreed: Agreed, rewrite: &mut Rewrite) -> Result<(), DropReason> {
    match judge(segment, segment.flags.contains(TcpFlags::SYN), agreed) {
        Options::Fine => {}
        Options::Instead(options) => {
            rewrite.options = Some(options);
            rewrite.change(Change::Options);
        }
        Options::Signature => return Err(DropReason::Signature),
    }
    if segment.reserved != 0 {
        rewrite.change(Change::Reserved);
    }
    // Also without data: the pointer would take an octet out of what comes later.
    if segment.flags.contains(TcpFlags::URG) || segment.urgent != 0 {
        rewrite.without |= TcpFlags::URG;
        rewrite.change(Change::Urgent);
    }
    Ok(())
}

/// Takes away what a SYN must not carry.
pub(super) fn clean_syn(segment: &TcpSegment<'_>, rewrite: &mut Rewrite) {
    if !segment.payload.is_empty() {
        rewrite.payload = Some(Vec::new());
        rewrite.change(Change::SynData);
    }
}

/// Takes away the text that a reset may carry (RFC 1122 section 4.2.2.12): it is not part of the stream, so nobody has judged it.
fn clean_reset(segment: &TcpSegment<'_>, rewrite: &mut Rewrite) {
    if !segment.payload.is_empty() {
        rewrite.payload = Some(Vec::new());
        rewrite.change(Change::ResetData);
    }
}

/// What a segment of a flow that has only the state of a handshake comes to.
pub(super) enum Opened {
    /// All there was to do.
    Done(Result<Rewrite, DropReason>),
    /// A side refused the connection.
    Refused(Rewrite),
    /// The flow needs the state of a connection, which then takes the segment.
    Beyond,
}

/// Takes a segment of a handshake.
pub(super) fn normalise_opening(
    opening: &mut Opening,
    context: &Context<'_>,
    direction: Direction,
    segment: &TcpSegment<'_>,
    resumes: bool,
    out: &mut StreamEvents<'_>,
) -> Opened {
    let flags = segment.flags;
    let mut tell = |opening: &mut Opening, kind| {
        opening.anomalies.insert(kind);
        let kind = StreamEventKind::Anomaly { direction, kind, offset: 0 };
        out.push(StreamEvent { flow: context.flow, kind });
    };
    if opening.is_full() {
        return Opened::Beyond;
    }
    let mut rewrite = Rewrite::default();
    if is_invalid(flags) {
        tell(opening, StreamAnomaly::InvalidFlags);
        return Opened::Done(Err(DropReason::InvalidFlags));
    }
    if let Err(reason) = clean_header(segment, agreed(opening), &mut rewrite) {
        return Opened::Done(Err(reason));
    }
    if flags.contains(TcpFlags::SYN) {
        let greeted = greet(opening, direction, segment);
        if let Some(kind) = greeted.anomaly {
            tell(opening, kind);
        }
        if let Some(reason) = greeted.reason {
            return Opened::Done(Err(reason));
        }
        if !segment.payload.is_empty() {
            tell(opening, StreamAnomaly::SynData);
        }
        clean_syn(segment, &mut rewrite);
        return Opened::Done(Ok(rewrite));
    }
    if flags.contains(TcpFlags::RST) && opening.any_syn_seen() {
        clean_reset(segment, &mut rewrite);
        return match opening.reset(direction, segment) {
            ResetVerdict::Exact if opening.is_reset() => Opened::Done(Ok(rewrite)),
            ResetVerdict::Exact => {
                opening.set_reset();
                let kind = StreamEventKind::Reset { direction };
                out.push(StreamEvent { flow: context.flow, kind });
                Opened::Refused(rewrite)
            }
            ResetVerdict::Inexact | ResetVerdict::OutOfWindow if answers_another(opening, direction) => {
                Opened::Done(Ok(rewrite))
            }
            ResetVerdict::Inexact | ResetVerdict::OutOfWindow => {
                tell(opening, StreamAnomaly::ResetOutOfWindow);
                Opened::Done(Err(DropReason::ResetInexact))
            }
        };
    }
    // Nothing is kept for acknowledgements alone, which anybody can send (T36).
    if opening.is_joined_at(direction, segment) {
        return Opened::Done(Ok(rewrite));
    }
    if opening.any_syn_seen() && !resumes && opening.next(direction).is_none() && flags.contains(TcpFlags::ACK) {
        let treated = before_syn(segment);
        if treated.is_err() {
            tell(opening, StreamAnomaly::SplitHandshake);
        }
        return Opened::Done(treated.map(|()| rewrite));
    }
    Opened::Beyond
}
