//! Octets to records and streams.

use std::mem;

use memchr::memchr;
use portcullis_lang::{Direction, EventKind, Value};

use super::advance::{Replay, flow_formula};
use super::side::{InRecord, InStream};
use super::{Context, Details, Dialogue, Resolved, Status};
use crate::flowing::canonise::{Canoniser, Change, together};
use crate::flowing::{Flowing, Piece};
use crate::limits::MAX_SPARE_OCTETS;
use crate::model::{Expect, Expected, Newline, Rule, RuleKind, Source, StreamId, Trigger};
use crate::program::{Outcome, ParseError, Program, Run};
use crate::record::Record;

impl Dialogue {
    pub(super) fn take(&mut self, context: &mut Context<'_>, direction: Direction, octets: &[u8]) {
        let side = self.side_mut(direction);
        side.seen = side.seen.saturating_add(octets.len() as u64);
        if side.held.is_empty() {
            let used = self.consume(context, direction, octets, true);
            let rest = octets.get(used..).unwrap_or_default();
            if self.status == Status::Talking {
                self.side_mut(direction).held.extend_from_slice(rest);
            }
        } else {
            side.held.extend_from_slice(octets);
        }
        self.go_on_from(context, direction.other(), Some(direction));
    }

    /// Lets both sides go on with what they hold, for as long as anything comes of it.
    pub(super) fn go_on(&mut self, context: &mut Context<'_>) {
        self.go_on_from(context, Direction::Up, None);
    }

    /// The octets of the side that has just spoken are younger than what the other one holds: between its records the other
    /// goes as far as it can, as if each record had come by itself.
    fn go_on_from(&mut self, context: &mut Context<'_>, first: Direction, spoke: Option<Direction>) {
        let mut idle = 0;
        let mut direction = first;
        while idle < 2 && self.status == Status::Talking {
            let mut held = mem::take(&mut self.side_mut(direction).held);
            let yields = spoke == Some(direction);
            let searched = self.side(direction).search.is_some();
            let used = if held.is_empty() { 0 } else { self.consume(context, direction, &held, yields) };
            if self.status == Status::Talking {
                held.drain(..used.min(held.len()));
                if held.is_empty() && held.capacity() > MAX_SPARE_OCTETS {
                    held = Vec::new();
                }
                self.side_mut(direction).held = held;
            }
            // A record that was found is taken in the next round, after what the other side holds.
            let found = searched && self.side(direction).search.is_none();
            idle = if used > 0 || found { 0 } else { idle + 1 };
            direction = direction.other();
        }
    }

    /// Parses as much as can be parsed now and gives how many octets that were. It pauses when an event lets the other
    /// side go on with what it holds: what that says comes first.
    fn consume(&mut self, context: &mut Context<'_>, direction: Direction, octets: &[u8], yields: bool) -> usize {
        let mut at = 0;
        let mut advanced = false;
        loop {
            let state = self.core.state;
            let rest = octets.get(at..).unwrap_or_default();
            if self.status != Status::Talking {
                self.after_end(context, direction, rest.len());
                return octets.len();
            }
            self.side_mut(direction).stalled = false;
            let used = if self.side(direction).skipping {
                self.skip_line(context.program, direction, rest)
            } else if self.side(direction).stream.is_some() {
                self.flow_on(context, direction, rest)
            } else {
                match self.expectation(context.program, direction, rest, !self.side(direction).ended) {
                    Resolved::Stream(id) if advanced || !rest.is_empty() => {
                        self.side_mut(direction).search = None;
                        self.begin_stream(context, direction, id);
                        advanced = true;
                        continue;
                    }
                    _ if rest.is_empty() => None,
                    _ if self.side(direction).search.is_some() => self.search(context, direction, rest),
                    Resolved::Stream(_) | Resolved::Undecided => None,
                    Resolved::Nothing if self.side(direction).cursor.is_some() => {
                        match self.hold_back(context, direction, rest.len()) {
                            true => continue,
                            false => None,
                        }
                    }
                    Resolved::Nothing => {
                        self.out_of_turn(context, direction, rest.len());
                        Some(rest.len())
                    }
                    Resolved::Waits(max) => match self.wait(context, direction, rest.len(), max) {
                        true => continue,
                        false => None,
                    },
                    Resolved::Record(expected, then) => self.record(context, direction, expected, then, rest),
                }
            };
            let Some(used) = used else { return at };
            advanced = true;
            at += used;
            if yields && at < octets.len() && self.other_goes_first(context, direction, self.core.state != state) {
                return at;
            }
        }
    }

    /// Whether the other side may now read what it holds: it has waited, or the machine has moved and its octets may mean
    /// something else.
    fn other_goes_first(&self, context: &Context<'_>, direction: Direction, moved: bool) -> bool {
        let other = self.side(direction.other());
        let waited = || other.stalled && !self.core_waits(context.program, direction.other());
        !other.held.is_empty() && (moved || waited())
    }

    /// Whether a side that has to wait can go on after all.
    fn wait(&mut self, context: &mut Context<'_>, direction: Direction, octets: usize, max: u32) -> bool {
        if self.look_through(context.program, direction) {
            return true;
        }
        let lost = self.lost_in(direction.other()) || self.is_behind(direction.other());
        if lost && self.assume(context, direction) {
            return true;
        }
        self.side_mut(direction).stalled = true;
        if octets.saturating_add(self.ahead_octets()) > max as usize {
            let reason = format!("more than {max} octets wait for an answer");
            self.overrun(context, direction, "", &reason);
        }
        false
    }

    /// What comes next ends the conversation, but the machine is not there yet: it waits. Gives whether the machine has
    /// come nearer.
    fn hold_back(&mut self, context: &mut Context<'_>, direction: Direction, octets: usize) -> bool {
        match context.program.expect(self.core.state, direction) {
            Some(Expect::Waits { max }) => self.wait(context, direction, octets, *max),
            _ => false,
        }
    }

    /// A bound was met that leaves the conversation without a way on, unless a rule knows one.
    fn overrun(&mut self, context: &mut Context<'_>, direction: Direction, name: &str, reason: &str) {
        let details = Details { offset: self.side(direction).offset, name, reason, ..Details::default() };
        self.emit_kind(context, direction, EventKind::Overrun, details);
        if !self.apply_trigger(context, direction, Trigger::Overrun, &details) {
            self.stop(context, direction, Status::Failed, reason);
        }
    }

    /// Passes over the rest of a line; what ends it is what ends other lines.
    fn skip_line(&mut self, program: &Program, direction: Direction, rest: &[u8]) -> Option<usize> {
        let length = match find_line(&program.protocol.newline, rest, 0) {
            Some((_, length, _)) => {
                self.side_mut(direction).skipping = false;
                length
            }
            // The other half of this newline may come with the next octets.
            None if rest.last() == Some(&b'\r') => rest.len().saturating_sub(1),
            None => rest.len(),
        };
        if length == 0 {
            return None;
        }
        let side = self.side_mut(direction);
        side.offset = side.offset.saturating_add(length as u64);
        Some(length)
    }

    fn record(
        &mut self,
        context: &mut Context<'_>,
        direction: Direction,
        expected: &Expected,
        then: Option<&Expect>,
        rest: &[u8],
    ) -> Option<usize> {
        let program = context.program;
        let rule = program.protocol.rules.get(usize::from(expected.rule.0))?;
        if let Some(width) = program.framed() {
            return self.framed(context, direction, expected, rule, width, rest);
        }
        match rule.kind {
            RuleKind::Line => self.line(context, direction, expected, then, rule, rest),
            _ => self.open_record(context, direction, expected, then, rule, rest),
        }
    }

    /// A record behind its length.
    fn framed(
        &mut self,
        context: &mut Context<'_>,
        direction: Direction,
        expected: &Expected,
        rule: &Rule,
        width: u8,
        rest: &[u8],
    ) -> Option<usize> {
        let width = usize::from(width);
        let length = rest.get(..width)?.iter().fold(0usize, |length, octet| (length << 8) | usize::from(*octet));
        if length > rule.max as usize {
            let reason = format!("a record of {length} octets is announced, more than {}", rule.max);
            self.overrun(context, direction, &rule.name, &reason);
            return Some(rest.len());
        }
        let octets = rest.get(width..width.checked_add(length)?)?;
        let side = self.side_mut(direction);
        side.offset = side.offset.saturating_add(width as u64);
        self.whole_record(context, direction, expected, octets);
        Some(width + length)
    }

    /// A record whose octets are all there.
    fn whole_record(&mut self, context: &mut Context<'_>, direction: Direction, expected: &Expected, octets: &[u8]) {
        let mut run = mem::take(&mut context.scratch.run);
        run.start_closed(context.program, expected.rule, octets.len());
        let outcome = run.run(context.program, octets, true, &self.position(direction).flow);
        match outcome {
            Outcome::Complete(_) => {
                let replay = Replay { rule: expected.rule, octets, closed: Some(octets.len()) };
                self.accept(context, direction, expected, None, &run, replay);
            }
            Outcome::Need => {
                let error = ParseError { at: 0, text: "the record is cut off".into() };
                self.refuse(context, direction, expected, octets.len(), &error);
            }
            Outcome::Failed(error) => self.refuse(context, direction, expected, octets.len(), &error),
        }
        let side = self.side_mut(direction);
        side.offset = side.offset.saturating_add(octets.len() as u64);
        context.scratch.run = run;
    }

    pub(super) fn take_datagram(&mut self, context: &mut Context<'_>, direction: Direction, octets: &[u8]) {
        if self.status != Status::Talking {
            return self.after_end(context, direction, octets.len());
        }
        match self.expectation(context.program, direction, octets, false) {
            Resolved::Record(expected, _) => {
                let rule = context.program.protocol.rules.get(usize::from(expected.rule.0));
                if let Some(rule) = rule.filter(|rule| octets.len() > rule.max as usize) {
                    let reason = format!("a datagram of {} octets, more than {}", octets.len(), rule.max);
                    return self.overrun(context, direction, &rule.name, &reason);
                }
                self.whole_record(context, direction, expected, octets);
            }
            _ => self.out_of_turn(context, direction, octets.len()),
        }
    }

    fn line(
        &mut self,
        context: &mut Context<'_>,
        direction: Direction,
        expected: &Expected,
        then: Option<&Expect>,
        rule: &Rule,
        rest: &[u8],
    ) -> Option<usize> {
        let newline = context.program.protocol.newline;
        let max = rule.max as usize;
        let scanned = self.side(direction).scanned;
        let (content, length, crlf) = match find_line(&newline, rest, scanned) {
            Some(found) => found,
            // With one octet more than a line may have its content is known: half a newline is no content.
            None if rest.len() > max => {
                self.side_mut(direction).skipping = true;
                let half = usize::from(rest.last() == Some(&b'\r'));
                (max, rest.len().saturating_sub(half), true)
            }
            None => {
                self.side_mut(direction).scanned = rest.len();
                return None;
            }
        };
        self.side_mut(direction).scanned = 0;
        let over = length > max || self.side(direction).skipping;
        let content = content.min(max);
        if over {
            let reason = format!("a line of more than {max} octets; the rest of it is not read");
            let details = Details {
                offset: self.side(direction).offset,
                name: &rule.name,
                reason: &reason,
                ..Details::default()
            };
            self.emit_kind(context, direction, EventKind::Overrun, details);
            self.apply_trigger(context, direction, Trigger::Overrun, &details);
            if self.status != Status::Talking {
                return Some(length);
            }
        }
        let octets = rest.get(..length.min(max.max(content))).unwrap_or_default();
        let mut run = mem::take(&mut context.scratch.run);
        run.start_closed(context.program, expected.rule, content);
        run.note_line(&newline, octets.get(..content).unwrap_or_default(), crlf || over, 0);
        let outcome = run.run(context.program, octets, true, &self.position(direction).flow);
        match outcome {
            Outcome::Complete(_) => {
                let replay = Replay { rule: expected.rule, octets, closed: Some(content) };
                self.accept(context, direction, expected, then, &run, replay);
            }
            Outcome::Need => {}
            Outcome::Failed(_) if self.side(direction).cursor.is_some() && !over => {
                context.scratch.run = run;
                return self.hold_back(context, direction, rest.len()).then_some(0);
            }
            Outcome::Failed(error) => self.refuse(context, direction, expected, length, &error),
        }
        let side = self.side_mut(direction);
        side.offset = side.offset.saturating_add(length as u64);
        context.scratch.run = run;
        Some(length)
    }

    /// A record that ends where its own fields say.
    fn open_record(
        &mut self,
        context: &mut Context<'_>,
        direction: Direction,
        expected: &Expected,
        then: Option<&Expect>,
        rule: &Rule,
        rest: &[u8],
    ) -> Option<usize> {
        let begun = self.side_mut(direction).record.take().filter(|begun| begun.rule == expected.rule);
        let mut run = match begun {
            Some(begun) => begun.run,
            None => {
                let mut run = mem::take(&mut context.scratch.run);
                run.start(context.program, expected.rule);
                run
            }
        };
        let ended = self.side(direction).ended;
        let outcome = run.run(context.program, rest, ended, &self.position(direction).flow);
        let used = match outcome {
            Outcome::Need if rest.len() <= rule.max as usize => {
                self.side_mut(direction).record = Some(Box::new(InRecord { run, rule: expected.rule }));
                return None;
            }
            Outcome::Complete(length) if length > 0 && length <= rule.max => {
                let octets = rest.get(..length as usize).unwrap_or_default();
                let replay = Replay { rule: expected.rule, octets, closed: None };
                self.accept(context, direction, expected, then, &run, replay);
                let side = self.side_mut(direction);
                side.offset = side.offset.saturating_add(u64::from(length));
                length as usize
            }
            Outcome::Need | Outcome::Complete(1..) => {
                let reason = format!("a record of more than {} octets", rule.max);
                self.overrun(context, direction, &rule.name, &reason);
                rest.len()
            }
            Outcome::Complete(0) => {
                let error = ParseError { at: 0, text: "a record of no octets".into() };
                self.refuse_for_good(context, direction, expected, &error);
                rest.len()
            }
            Outcome::Failed(_) if self.side(direction).cursor.is_some() => {
                context.scratch.run = run;
                return self.hold_back(context, direction, rest.len()).then_some(0);
            }
            Outcome::Failed(error) => {
                self.refuse_for_good(context, direction, expected, &error);
                rest.len()
            }
        };
        context.scratch.run = run;
        Some(used)
    }

    /// A record did not parse.
    fn refuse(
        &mut self,
        context: &mut Context<'_>,
        direction: Direction,
        expected: &Expected,
        size: usize,
        error: &ParseError,
    ) {
        let program = context.program;
        let name = program.protocol.rules.get(usize::from(expected.rule.0)).map_or("", |rule| rule.name.as_str());
        let offset = self.side(direction).offset.saturating_add(u64::from(error.at));
        let details = Details { offset, size: size as u64, name, reason: &error.text, ..Details::default() };
        self.emit_kind(context, direction, EventKind::ParseError, details);
        self.apply_trigger(context, direction, Trigger::ParseError, &details);
    }

    /// A record did not parse, and nobody knows where the next one begins, nor what size this one has.
    fn refuse_for_good(
        &mut self,
        context: &mut Context<'_>,
        direction: Direction,
        expected: &Expected,
        error: &ParseError,
    ) {
        self.refuse(context, direction, expected, 0, error);
        self.stop(context, direction, Status::Failed, &error.text);
    }

    /// A record is complete.
    pub(super) fn accept(
        &mut self,
        context: &mut Context<'_>,
        direction: Direction,
        expected: &Expected,
        then: Option<&Expect>,
        run: &Run,
        replay: Replay<'_>,
    ) {
        let record = Record { octets: replay.octets, slots: &run.slots };
        let offset = self.side(direction).offset;
        let program = context.program;
        let name = program.protocol.rules.get(usize::from(expected.rule.0)).map_or("", |rule| rule.name.as_str());
        let details =
            Details { offset, size: replay.octets.len() as u64, record: Some(record), name, ..Details::default() };
        self.emit(context, direction, expected.event, &details);
        for (anomaly, at) in &run.anomalies {
            let details = Details { offset: offset.saturating_add(u64::from(*at)), begin: Some(offset), ..details };
            self.emit_kind(context, direction, EventKind::Anomaly(*anomaly), details);
        }
        self.pair(context, direction, expected, &details);
        let before = self.position(direction).state;
        self.apply(context, direction, expected.event, &details, Some(replay));
        if let Some(Expect::Stream(stream)) = then
            && self.status == Status::Talking
            && self.position(direction).state == before
        {
            self.begin_stream(context, direction, *stream);
        }
    }

    pub(super) fn begin_stream(&mut self, context: &mut Context<'_>, direction: Direction, id: StreamId) {
        let program = context.program;
        let Some(stream) = program.protocol.streams.get(usize::from(id.0)) else { return };
        let size = match &stream.source {
            Source::Bytes(formula) => match flow_formula(formula, &self.position(direction).flow) {
                Value::Number(number) => u64::try_from(number).ok(),
                _ => None,
            },
            _ => Some(0),
        };
        let offset = self.side(direction).offset;
        let Some(size) = size else {
            let reason = "the size of the stream is not known";
            let details = Details { offset, name: &stream.name, reason, ..Details::default() };
            self.emit_kind(context, direction, EventKind::ParseError, details);
            self.apply_trigger(context, direction, Trigger::ParseError, &details);
            return self.stop(context, direction, Status::Failed, reason);
        };
        let details = Details { offset, name: &stream.name, ..Details::default() };
        self.emit(context, direction, stream.events.start, &details);
        if let Some(channel) = stream.channel {
            self.feed_channel(context, direction, channel, offset, &[]);
        }
        let flowing = Flowing::new(stream, &program.protocol.newline, size);
        let complete = flowing.is_complete();
        let in_stream =
            InStream { id, flowing, begin: offset, size: 0, content: 0, end: stream.events.end, canoniser: None };
        self.side_mut(direction).stream = Some(Box::new(in_stream));
        if complete {
            self.end_stream(context, direction, true);
        }
    }

    fn flow_on(&mut self, context: &mut Context<'_>, direction: Direction, rest: &[u8]) -> Option<usize> {
        if rest.is_empty() {
            return None;
        }
        let program = context.program;
        let mut in_stream = self.side_mut(direction).stream.take()?;
        let stream = program.protocol.streams.get(usize::from(in_stream.id.0))?;
        let base = self.side(direction).offset;
        let mut content = 0u64;
        let mut alone = None;
        let mut rights: Vec<(u8, u64, bool)> = Vec::new();
        let (used, complete) =
            in_stream.flowing.feed(stream, &program.protocol.newline, rest, &mut |piece| match piece {
                Piece::Content(data) => {
                    let details = Details {
                        offset: base,
                        size: data.len() as u64,
                        data,
                        name: &stream.name,
                        ..Details::default()
                    };
                    content = content.saturating_add(details.size);
                    self.emit(context, direction, stream.events.chunk, &details);
                    // The beginning of the stream has opened it. Closed since, by what the other side said, it takes no more.
                    if let Some(channel) = stream.channel.filter(|channel| self.is_open(*channel)) {
                        self.feed_channel(context, direction, channel, base, data);
                    }
                }
                Piece::Anomaly(anomaly, at) => {
                    let offset = base.checked_add_signed(at).unwrap_or(0);
                    let details = Details { offset, name: &stream.name, ..Details::default() };
                    self.emit_kind(context, direction, EventKind::Anomaly(anomaly), details);
                    if context.sink.puts_right() {
                        rights.extend(alone.take());
                    }
                }
                Piece::Alone { octet, at, hides } => {
                    alone = Some((octet, base.checked_add_signed(at).unwrap_or(0), hides));
                }
            });
        for (octet, offset, hides) in rights {
            let canoniser = in_stream.canoniser.get_or_insert_with(|| {
                let mut canoniser = Canoniser::new(stream.remove_leading, offset, hides);
                if offset < base {
                    canoniser.octet(octet, offset, &mut Vec::new());
                }
                Box::new((offset.max(base), canoniser))
            });
            canoniser.1.put_right(octet, offset);
        }
        if let Some((from, canoniser)) = in_stream.canoniser.as_deref_mut() {
            let skip = usize::try_from(from.saturating_sub(base)).unwrap_or(usize::MAX);
            let octets = rest.get(..used).unwrap_or_default();
            let mut changes = Vec::new();
            for (offset, octet) in (*from..).zip(octets.get(skip..).unwrap_or_default()) {
                canoniser.octet(*octet, offset, &mut changes);
            }
            *from = base.saturating_add(used as u64);
            for Change { offset, removed, inserted } in together(changes, base, octets) {
                context.sink.change(direction, offset, removed, inserted);
            }
        }
        in_stream.size = in_stream.size.saturating_add(used as u64);
        in_stream.content = in_stream.content.saturating_add(content);
        let side = self.side_mut(direction);
        side.offset = side.offset.saturating_add(used as u64);
        side.stream = Some(in_stream);
        if complete {
            self.end_stream(context, direction, true);
        }
        Some(used)
    }

    /// The stream of a direction has ended; `complete`: by itself.
    pub(super) fn end_stream(&mut self, context: &mut Context<'_>, direction: Direction, complete: bool) {
        let Some(in_stream) = self.side_mut(direction).stream.take() else { return };
        let program = context.program;
        let stream = program.protocol.streams.get(usize::from(in_stream.id.0));
        let name = stream.map_or("", |stream| stream.name.as_str());
        let details = Details {
            offset: in_stream.begin,
            size: in_stream.content,
            end: self.side(direction).offset,
            name,
            complete,
            ..Details::default()
        };
        self.emit(context, direction, in_stream.end, &details);
        if complete {
            self.apply(context, direction, in_stream.end, &Details { size: in_stream.size, ..details }, None);
        }
    }

    /// The stream of a direction goes no further.
    pub(super) fn abandon_stream(&mut self, context: &mut Context<'_>, direction: Direction) {
        self.end_stream(context, direction, false);
    }
}

/// The next line: octets without its newline, octets with it, and whether that was CR LF. Nothing before `scanned` is
/// looked at again.
pub(super) fn find_line(newline: &Newline, octets: &[u8], scanned: usize) -> Option<(usize, usize, bool)> {
    let mut from = scanned.min(octets.len());
    loop {
        let at = from + memchr(b'\n', octets.get(from..)?)?;
        let crlf = at.checked_sub(1).and_then(|before| octets.get(before)) == Some(&b'\r');
        if crlf && newline.crlf {
            return Some((at - 1, at + 1, true));
        }
        if newline.lf {
            return Some((at, at + 1, false));
        }
        from = at + 1;
    }
}
