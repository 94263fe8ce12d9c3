//! What was lost: gaps, the middle of flows, answers that never came, ends in the middle.

use std::mem;

use portcullis_lang::{Direction, EventId, EventKind, StateId};

use super::consume::find_line;
use super::side::Search;
use super::{Context, Details, Dialogue, Resolved, Status, resolve};
use crate::flowing::Flowing;
use crate::limits::{MAX_RESYNCS, RESYNC_OCTETS};
use crate::model::{Expect, Expected, Item, RuleKind, Trigger};
use crate::program::{Outcome, Program, Run};
use crate::record::Record;

impl Dialogue {
    /// Begins in the middle: either side may be anywhere.
    pub(super) fn join_midstream(&mut self, program: &Program) {
        if program.framed().is_some() {
            // Octets behind a length cannot be told from others; without the beginning nothing can be done.
            self.status = Status::Finished;
            return;
        }
        self.lost = [true; 2];
        for kept in &program.protocol.kept {
            self.core.flow.forget(kept);
        }
        for side in &mut self.sides {
            side.search = Some(Search { fresh: true, octets: 0 });
        }
    }

    pub(super) fn lost_in(&self, direction: Direction) -> bool {
        self.lost.get(direction.index()).copied().unwrap_or(false)
    }

    fn set_lost(&mut self, direction: Direction, value: bool) {
        if let Some(lost) = self.lost.get_mut(direction.index()) {
            *lost = value;
        }
    }

    /// Whether the machine may wait for an answer of this direction that was lost, though others have come since: a side
    /// that waits for nothing but that goes on.
    pub(super) fn is_behind(&self, direction: Direction) -> bool {
        self.behind.get(direction.index()).copied().unwrap_or(false)
    }

    pub(super) fn set_behind(&mut self, direction: Direction, value: bool) {
        if let Some(behind) = self.behind.get_mut(direction.index()) {
            *behind = value;
        }
    }

    /// A record of this direction was taken by the machine: it is known again where this side is.
    pub(super) fn found_again(&mut self, direction: Direction) {
        if self.side(direction).search.is_none() {
            self.set_lost(direction, false);
        }
    }

    pub(super) fn take_gap(&mut self, context: &mut Context<'_>, direction: Direction, length: u64) {
        let offset = self.side(direction).offset.saturating_add(self.side(direction).held.len() as u64);
        let talking = self.status == Status::Talking;
        let side = self.side_mut(direction);
        side.seen = side.seen.saturating_add(length);
        if !talking {
            side.offset = side.offset.saturating_add(length);
            return;
        }
        let details = Details { offset, size: length, ..Details::default() };
        self.emit_kind(context, direction, EventKind::Gap, details);
        let mut left = length;
        if self.side(direction).stream.is_none() && self.side(direction).held.is_empty() {
            // The stream that is expected has lost its beginning.
            if let Resolved::Stream(id) = self.expectation(context.program, direction, &[], true) {
                self.begin_stream(context, direction, id);
            }
        }
        if let Some(stream) = &mut self.side_mut(direction).stream {
            let (lost, complete) = stream.flowing.gap(left);
            stream.size = stream.size.saturating_add(lost);
            left -= lost.min(left);
            let side = self.side_mut(direction);
            side.offset = side.offset.saturating_add(lost);
            let offset = side.offset;
            if let Some((from, canoniser)) = side.stream.as_mut().and_then(|stream| stream.canoniser.as_deref_mut()) {
                *from = offset;
                canoniser.gap();
            }
            if complete {
                self.end_stream(context, direction, true);
            }
        }
        if left > 0 && self.status == Status::Talking {
            self.lose_record(context, direction, left);
        }
        self.go_on(context);
    }

    /// Octets between records, or of records, are missing.
    fn lose_record(&mut self, context: &mut Context<'_>, direction: Direction, length: u64) {
        let program = context.program;
        // What was parsed ahead stands before the gap: its answers are taken for given.
        while self.side(direction).cursor.is_some() && !self.ahead.is_empty() {
            if !self.assume(context, direction) {
                self.ahead.clear();
            }
        }
        let side = self.side_mut(direction);
        side.cursor = None;
        side.forget_record();
        side.skipping = false;
        let held = mem::take(&mut side.held).len() as u64;
        side.offset = side.offset.saturating_add(length).saturating_add(held);
        side.searches = side.searches.saturating_add(1);
        side.search = Some(Search { fresh: false, octets: 0 });
        let searches = side.searches;
        self.set_lost(direction, true);
        self.set_behind(direction, true);
        for kept in &program.protocol.kept {
            if program.comes_from(kept.event, direction) {
                self.core.flow.forget(kept);
            }
        }
        let details = Details { size: length, ..Details::default() };
        self.apply_trigger(context, direction, Trigger::Gap, &details);
        if self.status == Status::Talking && (searches > MAX_RESYNCS || program.framed().is_some()) {
            self.stop(context, direction, Status::Failed, "the records behind a gap cannot be found");
        }
    }

    /// The answer that a side waits for was lost: takes the first way on that its rules leave open. Gives whether there
    /// was one.
    pub(super) fn assume(&mut self, context: &mut Context<'_>, waiting: Direction) -> bool {
        let program = context.program;
        if !self.core_waits(program, waiting) {
            return false;
        }
        let way = self.ways_on(program, &self.core, waiting).find(|state| {
            let expect = resolve(program.expect(*state, waiting), &self.core.flow, &[], true);
            self.accepts(context, &expect, waiting)
        });
        let Some(state) = way else { return false };
        let target = crate::model::Target::State(state);
        self.go(context, waiting, &target, &Details::default());
        self.catch_up(context);
        true
    }

    /// Whether what a side holds can be what is expected.
    fn accepts(&self, context: &Context<'_>, expect: &Resolved<'_>, direction: Direction) -> bool {
        match expect {
            Resolved::Nothing | Resolved::Waits(_) => false,
            Resolved::Stream(_) | Resolved::Undecided => true,
            Resolved::Record(expected, _) => {
                let held = &self.side(direction).held;
                if !self.ahead.is_empty() || held.is_empty() {
                    return true;
                }
                let mut run = Run::default();
                match self.trial(context.program, &mut run, expected, held) {
                    Trial::Accepted(_) | Trial::Open => true,
                    Trial::Refused => false,
                }
            }
        }
    }

    /// A record comes where its direction's questions may have been lost: the states that may be entered blind say
    /// where the machine must be.
    pub(super) fn rejoin(&mut self, context: &mut Context<'_>, direction: Direction, event: EventId) {
        let program = context.program;
        let join = program.protocol.machine.join.iter().find(|join| join.1 == event);
        let Some((state, _)) = join else { return };
        if self.lost_in(direction.other()) && *state != self.core.state && !self.core_waits(program, direction.other())
        {
            let target = crate::model::Target::State(*state);
            self.go(context, direction, &target, &Details::default());
        }
    }

    /// Looks for a record; gives how many octets are done with.
    pub(super) fn search(&mut self, context: &mut Context<'_>, direction: Direction, rest: &[u8]) -> Option<usize> {
        let program = context.program;
        let search = self.side(direction).search?;
        let newline = program.protocol.newline;
        if !search.fresh {
            let length = find_line(&newline, rest, 0).map_or(rest.len(), |line| line.1);
            let fresh = find_line(&newline, rest, 0).is_some();
            self.searched(context, direction, length, fresh);
            return Some(length);
        }
        let events = self.sought(program, direction);
        let mut run = mem::take(&mut context.scratch.run);
        let mut open = false;
        let mut accepted = None;
        for expected in &events {
            match self.trial(program, &mut run, expected, rest) {
                Trial::Accepted(length) => {
                    accepted = Some((*expected, length));
                    break;
                }
                // Only more octets can tell; a later kind of record must not be taken for it until then.
                Trial::Open => {
                    open = true;
                    break;
                }
                Trial::Refused => {}
            }
        }
        context.scratch.run = run;
        match accepted {
            Some((expected, _)) => {
                self.side_mut(direction).search = None;
                self.enter_found(context, direction, expected.event);
                self.set_lost(direction, false);
                Some(0)
            }
            None if open && !self.side(direction).ended => None,
            None => {
                let line = find_line(&newline, rest, 0);
                let length = line.map_or(rest.len(), |line| line.1);
                self.searched(context, direction, length, line.is_some());
                Some(length)
            }
        }
    }

    /// The record that was found tells where the machine is.
    fn enter_found(&mut self, context: &mut Context<'_>, direction: Direction, event: EventId) {
        let program = context.program;
        let expects_it = match self.expectation(program, direction, &[], true) {
            Resolved::Record(expected, _) => expected.event == event,
            Resolved::Waits(_) | Resolved::Undecided => true,
            _ => false,
        };
        let join = program.protocol.machine.join.iter().find(|join| join.1 == event);
        if let (Some((state, _)), false) = (join, expects_it && self.side(direction).searches > 0) {
            let target = crate::model::Target::State(*state);
            self.go(context, direction, &target, &Details::default());
            self.catch_up(context);
        }
    }

    fn searched(&mut self, context: &mut Context<'_>, direction: Direction, length: usize, fresh: bool) {
        let side = self.side_mut(direction);
        side.offset = side.offset.saturating_add(length as u64);
        let Some(search) = &mut side.search else { return };
        search.fresh = fresh;
        search.octets = search.octets.saturating_add(length as u64);
        if search.octets > RESYNC_OCTETS.max(side.seen / 4) {
            self.stop(
                context,
                direction,
                Status::Failed,
                "no record was found behind a gap, or in the middle of the flow",
            );
        }
    }

    /// The records that a direction is searched for: those of `resync`, of `join`, and what it is expected to say.
    fn sought<'p>(&self, program: &'p Program, direction: Direction) -> Vec<&'p Expected> {
        let state = program.protocol.machine.states.get(usize::from(self.core.state.0));
        let resync = state.map(|state| state.resync.as_slice()).unwrap_or_default();
        let joins = program.protocol.machine.join.iter().map(|join| join.1);
        let mut sought: Vec<&Expected> = Vec::new();
        for event in resync.iter().copied().chain(joins) {
            if let Some(expected) = program.expected_record(event, direction)
                && !sought.iter().any(|other| other.event == expected.event)
            {
                sought.push(expected);
            }
        }
        sought
    }

    /// Whether octets are surely a record: it parses, nothing about it is odd, and where it begins with a choice by
    /// keyword it is one of the keywords.
    fn trial(&self, program: &Program, run: &mut Run, expected: &Expected, octets: &[u8]) -> Trial {
        let Some(rule) = program.protocol.rules.get(usize::from(expected.rule.0)) else { return Trial::Refused };
        let flow = &self.core.flow;
        let (record_octets, outcome) = if rule.kind == RuleKind::Line {
            let newline = program.protocol.newline;
            let Some((content, length, crlf)) = find_line(&newline, octets, 0) else {
                return if octets.len() < rule.max as usize { Trial::Open } else { Trial::Refused };
            };
            if length > rule.max as usize {
                return Trial::Refused;
            }
            let line = octets.get(..length).unwrap_or_default();
            run.start_closed(program, expected.rule, content);
            run.note_line(&newline, line.get(..content).unwrap_or_default(), crlf, 0);
            (line, run.run(program, line, true, flow))
        } else {
            run.start(program, expected.rule);
            (octets, run.run(program, octets, false, flow))
        };
        match outcome {
            Outcome::Complete(0) | Outcome::Failed(_) => Trial::Refused,
            Outcome::Complete(length) if run.anomalies.is_empty() => {
                let record = Record { octets: record_octets, slots: &run.slots };
                if is_anchored(&rule.items, &record) { Trial::Accepted(length) } else { Trial::Refused }
            }
            Outcome::Complete(_) => Trial::Refused,
            Outcome::Need if octets.len() <= rule.max as usize => Trial::Open,
            Outcome::Need => Trial::Refused,
        }
    }

    /// A side speaks where its grammar says nothing. How many octets that are depends on how they are cut, so it is not told,
    /// and of several pieces only the first is reported.
    pub(super) fn out_of_turn(&mut self, context: &mut Context<'_>, direction: Direction, length: usize) {
        let side = self.side_mut(direction);
        let details = Details { offset: side.offset, ..Details::default() };
        side.offset = side.offset.saturating_add(length as u64);
        if mem::replace(&mut side.out_of_turn, true) {
            return;
        }
        self.emit_kind(context, direction, EventKind::MissingGrammar, details);
        self.apply_trigger(context, direction, Trigger::MissingGrammar, &details);
    }

    /// Octets after the machine's end are reported once a side, unless another protocol was to take over.
    pub(super) fn after_end(&mut self, context: &mut Context<'_>, direction: Direction, length: usize) {
        let report = self.status == Status::Finished && !self.handed_over && length > 0;
        let side = self.side_mut(direction);
        let reason = "after the end of the conversation";
        let details = Details { offset: side.offset, reason, ..Details::default() };
        side.offset = side.offset.saturating_add(length as u64);
        if report && !mem::replace(&mut side.spoke_after_end, true) {
            self.emit_kind(context, direction, EventKind::MissingGrammar, details);
        }
    }

    pub(super) fn take_end(&mut self, context: &mut Context<'_>, direction: Direction) {
        if mem::replace(&mut self.side_mut(direction).ended, true) || self.status != Status::Talking {
            return;
        }
        let to_end =
            self.side(direction).stream.as_ref().is_some_and(|stream| matches!(stream.flowing, Flowing::ToEnd));
        if to_end {
            self.end_stream(context, direction, true);
        }
        self.go_on(context);
        // What is left was begun and never ended, or waits for an answer that did not come.
        let talking = self.status == Status::Talking;
        let side = self.side_mut(direction);
        if talking && !side.held.is_empty() && !side.stalled && side.search.is_none() {
            let details = Details {
                offset: side.offset,
                size: side.held.len() as u64,
                reason: "the connection ended in the middle of a record",
                ..Details::default()
            };
            side.offset = side.offset.saturating_add(details.size);
            side.held = Vec::new();
            side.forget_record();
            self.emit_kind(context, direction, EventKind::ParseError, details);
        }
    }
}

enum Trial {
    /// A record of so many octets.
    Accepted(u32),
    /// It may be one; more octets will tell.
    Open,
    Refused,
}

/// Whether a record that begins with a choice by keyword took one of its branches, not the `else`.
fn is_anchored(items: &[Item], record: &Record<'_>) -> bool {
    for item in items {
        if let Item::Switch { on, fold, arms, .. } = item {
            let host = RecordHost(*record);
            let value = on.value(&host);
            return arms.iter().any(|arm| portcullis_lang::is_in(&value, &arm.values, *fold));
        }
    }
    true
}

struct RecordHost<'a>(Record<'a>);

impl portcullis_lang::Host for RecordHost<'_> {
    fn read(&self, place: portcullis_lang::Place) -> portcullis_lang::Value<'_> {
        match place.scope {
            portcullis_lang::Scope::Record => self.0.value(place.slot),
            _ => portcullis_lang::Value::Absent,
        }
    }

    fn count(&self, list: portcullis_lang::Place) -> u32 {
        self.0.count(list.slot)
    }

    fn element(&self, list: portcullis_lang::Place, index: u32, slot: u16) -> portcullis_lang::Value<'_> {
        self.0.element(list.slot, index, slot)
    }
}

impl Program {
    /// Whether the first octets of a direction are surely this protocol's: its first record there parses without
    /// anything odd, or begins so if it is not complete.
    pub fn recognises(&self, direction: Direction, octets: &[u8]) -> bool {
        if self.protocol.machine.join.is_empty() {
            return false;
        }
        let dialogue = Dialogue::new(self, true, 0);
        let mut run = Run::default();
        let sought = dialogue.sought(self, direction);
        sought.iter().any(|expected| matches!(dialogue.trial(self, &mut run, expected, octets), Trial::Accepted(_)))
    }

    /// Octets of the length before each record over TCP, if there is one.
    pub(super) fn framed(&self) -> Option<u8> {
        self.protocol.transports.iter().find(|transport| !transport.datagrams).and_then(|transport| transport.framed)
    }

    /// Whether a direction says this record or stream in any state.
    pub(super) fn comes_from(&self, event: EventId, direction: Direction) -> bool {
        self.directions.get(usize::from(event.0)).is_some_and(|by| by.get(direction.index()).copied().unwrap_or(false))
    }

    /// How a record of this event is expected of a direction.
    fn expected_record(&self, event: EventId, direction: Direction) -> Option<&Expected> {
        let states = 0..u16::try_from(self.protocol.machine.states.len()).unwrap_or(u16::MAX);
        states.into_iter().find_map(|state| expected_in(self.expect(StateId(state), direction)?, event))
    }
}

fn expected_in(expect: &Expect, event: EventId) -> Option<&Expected> {
    match expect {
        Expect::Record(expected) => (expected.event == event).then_some(expected),
        Expect::Then(expected, then) => {
            if expected.event == event {
                Some(expected)
            } else {
                expected_in(then, event)
            }
        }
        Expect::Choose { arms, otherwise, .. } => {
            arms.iter().find_map(|arm| expected_in(&arm.1, event)).or_else(|| expected_in(otherwise, event))
        }
        Expect::First { arms, otherwise } => {
            arms.iter().find_map(|arm| expected_in(&arm.1, event)).or_else(|| expected_in(otherwise, event))
        }
        Expect::Nothing | Expect::Waits { .. } | Expect::Stream(_) => None,
    }
}
