//! Events to transitions, and the records that were parsed ahead of the machine.

use std::mem;

use portcullis_lang::{AnomalyId, Direction, EventId, EventKind, Formula, Host, Place, Scope, StateId, Value};

use super::{Context, Details, Dialogue, Position, Resolved, Status, resolve, target_state};
use crate::event::Event;
use crate::flow_values::FlowValues;
use crate::limits::MAX_AHEAD;
use crate::model::{Action, Expected, RuleId, State, Target, Transition, Trigger};
use crate::program::{Outcome, Program};
use crate::record::Record;
use crate::template::render;

/// The octets of a record and how they are parsed again.
#[derive(Clone, Copy)]
pub(super) struct Replay<'a> {
    pub(super) rule: RuleId,
    pub(super) octets: &'a [u8],
    /// Octets of the record's window, if it was closed.
    pub(super) closed: Option<usize>,
}

/// A record, or the end of a stream, that was parsed before the machine came to it.
#[derive(Debug)]
pub(super) struct Ahead {
    event: EventId,
    rule: Option<RuleId>,
    closed: Option<usize>,
    pub(super) octets: Box<[u8]>,
    /// Octets on the wire.
    pub(super) size: u64,
    offset: u64,
}

impl Dialogue {
    /// A record is complete or a stream has ended: the machine, or this side's cursor, takes its way.
    pub(super) fn apply(
        &mut self,
        context: &mut Context<'_>,
        direction: Direction,
        event: EventId,
        details: &Details<'_>,
        replay: Option<Replay<'_>>,
    ) {
        let program = context.program;
        if self.side(direction).cursor.is_some() {
            self.keep(program, direction, event, details.record.as_ref());
            let target = self.run_rule(context, direction, Trigger::Event(event), details);
            match target {
                Some(Target::State(state)) => {
                    if let Some(cursor) = &mut self.side_mut(direction).cursor {
                        cursor.state = *state;
                    }
                }
                // The machine ends when it comes there: the answers to what stands before are still to come.
                Some(Target::Fail(_) | Target::Finish(_)) => {
                    let end = program.finish_state();
                    if let Some(cursor) = &mut self.side_mut(direction).cursor {
                        cursor.state = end;
                    }
                }
                Some(Target::Stay) | None => {}
            }
            self.ahead.push_back(Ahead {
                event,
                rule: replay.map(|replay| replay.rule),
                closed: replay.and_then(|replay| replay.closed),
                octets: replay.map(|replay| replay.octets.into()).unwrap_or_default(),
                size: details.size,
                offset: details.offset,
            });
            return;
        }
        self.rejoin(context, direction, event);
        // Whoever speaks where the machine does not wait has all answers to what it said before; while the other side is
        // searched, the next answer may still be passed over.
        if self.side(direction.other()).search.is_none() {
            self.set_behind(direction.other(), false);
        }
        self.keep(program, direction, event, details.record.as_ref());
        if let Some(target) = self.run_rule(context, direction, Trigger::Event(event), details) {
            self.go(context, direction, target, details);
        }
        if details.record.is_some() {
            self.found_again(direction);
        }
        self.catch_up(context);
    }

    /// Applies a trigger that is no record; gives whether there was a rule for it.
    pub(super) fn apply_trigger(
        &mut self,
        context: &mut Context<'_>,
        direction: Direction,
        trigger: Trigger,
        details: &Details<'_>,
    ) -> bool {
        let Some(target) = self.run_rule(context, direction, trigger, details) else { return false };
        self.go(context, direction, target, details);
        self.catch_up(context);
        true
    }

    fn keep(&mut self, program: &Program, direction: Direction, event: EventId, record: Option<&Record<'_>>) {
        let Some(record) = record else { return };
        let position = match &mut self.side_mut(direction).cursor {
            Some(cursor) => cursor.as_mut(),
            None => &mut self.core,
        };
        position.flow.keep(&program.protocol, event, record);
    }

    /// Finds the rule for a trigger at the direction's position and does what it says; gives its target.
    ///
    /// Ahead of the machine it is not known what the rule will be, only which grammar follows: what it reports is left
    /// to [`Dialogue::replay`]. Channels are closed at once, because what comes next would be taken for a part of them.
    fn run_rule<'p>(
        &mut self,
        context: &mut Context<'p>,
        direction: Direction,
        trigger: Trigger,
        details: &Details<'_>,
    ) -> Option<&'p Target> {
        let transition = self.select(context.program, self.position(direction), direction, trigger, details)?;
        let is_ahead = self.side(direction).cursor.is_some() && matches!(trigger, Trigger::Event(_));
        for action in &transition.actions {
            match action {
                Action::Anomaly(_) | Action::Should { .. } if is_ahead => {}
                action => self.act(context, direction, action, details),
            }
        }
        Some(&transition.target)
    }

    /// The first rule of a state for a trigger whose guard does not fail. What was lost counts as fitting: it is the
    /// rule that a complete capture could have taken.
    fn select<'p>(
        &self,
        program: &'p Program,
        position: &Position,
        direction: Direction,
        trigger: Trigger,
        details: &Details<'_>,
    ) -> Option<&'p Transition> {
        let state = program.protocol.machine.states.get(usize::from(position.state.0))?;
        let mut rules = state.rules.iter().filter(|rule| rule.triggers.contains(&trigger)).peekable();
        rules.peek()?;
        let event = self.host(program, position, direction, details);
        rules.find(|rule| rule.when.as_ref().is_none_or(|when| when.test(&event).possible()))
    }

    /// What guards, actions and texts of the machine see; with an id and a kind of its own, an event.
    pub(super) fn host<'a>(
        &self,
        program: &'a Program,
        position: &'a Position,
        direction: Direction,
        details: &Details<'a>,
    ) -> Event<'a> {
        Event {
            id: EventId(u16::MAX),
            kind: EventKind::Record,
            direction,
            offset: details.offset,
            begin: details.begin.unwrap_or(details.offset),
            end: details.end,
            size: details.size,
            record: details.record,
            data: details.data,
            name: details.name,
            reason: details.reason,
            complete: details.complete,
            state: position.state,
            waiting: self.waiting(),
            scheme: &program.protocol.scheme,
            flow: &position.flow,
        }
    }

    fn act(&mut self, context: &mut Context<'_>, direction: Direction, action: &Action, details: &Details<'_>) {
        let program = context.program;
        match action {
            Action::Anomaly(anomaly) => self.anomaly(context, direction, *anomaly, details),
            Action::Should { test, anomaly } => {
                let holds = test.test(&self.host(program, self.position(direction), direction, details)).possible();
                if !holds {
                    self.anomaly(context, direction, *anomaly, details);
                }
            }
            Action::Close(channel) | Action::Abort(channel) => {
                let opened_ahead =
                    self.channels.get(usize::from(channel.0)).is_some_and(|channel| channel.ahead.is_some());
                if self.side(direction).cursor.is_some() || !opened_ahead {
                    self.end_channel(context, direction, *channel, matches!(action, Action::Close(_)));
                }
            }
            Action::Set { slot, value } => {
                let value = value.value(&self.host(program, self.position(direction), direction, details)).as_number();
                if let Some(number) = value {
                    match &mut self.side_mut(direction).cursor {
                        Some(cursor) => cursor.flow.set_number(*slot, number),
                        None => self.core.flow.set_number(*slot, number),
                    }
                }
            }
        }
    }

    fn anomaly(&mut self, context: &mut Context<'_>, direction: Direction, anomaly: AnomalyId, details: &Details<'_>) {
        self.emit_kind(context, direction, EventKind::Anomaly(anomaly), *details);
    }

    /// Takes the machine to a target.
    pub(super) fn go(
        &mut self,
        context: &mut Context<'_>,
        direction: Direction,
        target: &Target,
        details: &Details<'_>,
    ) {
        match target {
            Target::Stay => {}
            Target::State(state) => self.enter(context, direction, *state, details),
            Target::Fail(template) => {
                let reason =
                    render(template, &self.host(context.program, self.position(direction), direction, details));
                self.stop(context, direction, Status::Failed, &reason);
            }
            Target::Finish(then) => {
                self.handed_over = then.is_some();
                self.stop(context, direction, Status::Finished, then.as_deref().unwrap_or(""));
            }
        }
    }

    fn enter(&mut self, context: &mut Context<'_>, direction: Direction, state: StateId, details: &Details<'_>) {
        if state == self.core.state {
            return;
        }
        // Entering may lead on at once; a grammar that goes in a circle this way is stopped by this bound.
        const MOST: usize = 8;
        let mut next = Some(state);
        for _ in 0..MOST {
            let Some(state) = next.take() else { return };
            self.machine_event(context, direction, EventKind::Leave, details);
            self.act_on(context, direction, Trigger::Leave, details);
            self.core.state = state;
            self.sides.iter_mut().for_each(|side| side.out_of_turn = false);
            self.machine_event(context, direction, EventKind::Enter, details);
            match self.act_on(context, direction, Trigger::Enter, details) {
                Some(Target::State(on)) if *on != state => next = Some(*on),
                Some(target @ (Target::Fail(_) | Target::Finish(_))) => {
                    return self.go(context, direction, target, details);
                }
                _ => {}
            }
        }
    }

    /// Does what the machine's own rules say about a trigger; gives the target.
    fn act_on<'p>(
        &mut self,
        context: &mut Context<'p>,
        direction: Direction,
        trigger: Trigger,
        details: &Details<'_>,
    ) -> Option<&'p Target> {
        let transition = self.select(context.program, &self.core, direction, trigger, details)?;
        for action in &transition.actions {
            self.act(context, direction, action, details);
        }
        Some(&transition.target)
    }

    /// An event of the machine itself: its state is the machine's, also for a side that is ahead.
    fn machine_event(&self, context: &mut Context<'_>, direction: Direction, kind: EventKind, details: &Details<'_>) {
        let Some(id) = context.program.event_of(kind) else { return };
        if context.sink.wants(id) {
            let details = Details { record: None, name: "", ..*details };
            let event = Event { id, kind, ..self.host(context.program, &self.core, direction, &details) };
            context.sink.event(&event);
        }
    }

    /// Pairs a question with its answer.
    pub(super) fn pair(
        &mut self,
        context: &mut Context<'_>,
        direction: Direction,
        expected: &Expected,
        details: &Details<'_>,
    ) {
        let program = context.program;
        let value = |slot: Option<u16>| match (slot, &details.record) {
            (Some(slot), Some(record)) => record.value(slot),
            _ => Value::Absent,
        };
        for matching in program.matchings().filter(|matching| matching.question == expected.event) {
            self.questions.ask(matching, &value(matching.key.map(|key| key.0)), self.last_seen);
        }
        if let Some(matching) = &expected.matches {
            let host = self.host(program, self.position(direction), direction, details);
            let counts = matching.except.as_ref().is_none_or(|except| !except.test(&host).holds());
            if counts && !self.questions.answer(matching, &value(matching.key.map(|key| key.1)), self.last_seen) {
                self.anomaly(context, direction, matching.unmatched, details);
            }
        }
    }

    /// Applies what was parsed ahead, as far as the answers to it have come.
    pub(super) fn catch_up(&mut self, context: &mut Context<'_>) {
        for direction in Direction::BOTH {
            while self.status == Status::Talking
                && self.side(direction).cursor.is_some()
                && !self.core_waits(context.program, direction)
            {
                match self.ahead.pop_front() {
                    Some(ahead) => self.replay(context, direction, &ahead),
                    // The machine has come to where this side is.
                    None => {
                        self.side_mut(direction).cursor = None;
                        self.channels.iter_mut().for_each(|channel| channel.ahead = None);
                    }
                }
            }
        }
    }

    /// The machine comes to a record that was parsed ahead. Its event was raised, its own anomalies reported and its
    /// channels closed when it was parsed; what is left is its way through the machine, and what the rule reports.
    fn replay(&mut self, context: &mut Context<'_>, direction: Direction, ahead: &Ahead) {
        let program = context.program;
        let mut run = mem::take(&mut context.scratch.replay);
        let mut record = None;
        if let Some(rule) = ahead.rule {
            match ahead.closed {
                Some(content) => run.start_closed(program, rule, content),
                None => run.start(program, rule),
            }
            if let Outcome::Complete(_) = run.run(program, &ahead.octets, true, &self.core.flow) {
                record = Some(Record { octets: &ahead.octets, slots: &run.slots });
            }
        }
        let details = Details { offset: ahead.offset, size: ahead.size, record, ..Details::default() };
        if let Some(record) = &record {
            self.core.flow.keep(&program.protocol, ahead.event, record);
        }
        let trigger = Trigger::Event(ahead.event);
        let streams = program.protocol.streams.iter().filter(|stream| stream.events.end == ahead.event);
        for channel in streams.filter_map(|stream| stream.channel) {
            let end = ahead.offset.saturating_add(ahead.size);
            if let Some(channel) = self.channels.get_mut(usize::from(channel.0)) {
                channel.ahead = channel.ahead.filter(|opened| *opened > end);
            }
        }
        if let Some(transition) = self.select(program, &self.core, direction, trigger, &details) {
            for action in &transition.actions {
                let host = self.host(program, &self.core, direction, &details);
                match action {
                    Action::Anomaly(anomaly) => self.report(context, *anomaly, &host),
                    Action::Should { test, anomaly } if !test.test(&host).possible() => {
                        self.report(context, *anomaly, &host);
                    }
                    Action::Set { slot, value } => {
                        if let Some(number) = value.value(&host).as_number() {
                            self.core.flow.set_number(*slot, number);
                        }
                    }
                    Action::Should { .. } | Action::Close(_) | Action::Abort(_) => {}
                }
            }
            self.go(context, direction, &transition.target, &details);
        }
        context.scratch.replay = run;
    }

    /// Reports an anomaly where the machine is, not where a side is ahead of it.
    fn report(&self, context: &mut Context<'_>, anomaly: AnomalyId, host: &Event<'_>) {
        let kind = EventKind::Anomaly(anomaly);
        let Some(id) = context.program.event_of(kind) else { return };
        if context.sink.wants(id) {
            context.sink.event(&Event { id, kind, ..*host });
        }
    }

    /// Octets of the records that were parsed ahead.
    pub(super) fn ahead_octets(&self) -> usize {
        self.ahead.iter().map(|ahead| ahead.octets.len()).sum()
    }

    /// Lets a side that has to wait go on, if all answers that can still come lead to the same grammar for it.
    pub(super) fn look_through(&mut self, program: &Program, direction: Direction) -> bool {
        if self.side(direction.other()).cursor.is_some() || self.ahead.len() >= MAX_AHEAD {
            return false;
        }
        let position = self.position(direction);
        if let Some(crate::model::Expect::Waits { max }) = program.expect(position.state, direction)
            && self.ahead_octets() > *max as usize
        {
            return false;
        }
        let mut first: Option<(StateId, Resolved<'_>)> = None;
        for state in self.ways_on(program, position, direction) {
            let expect = resolve(program.expect(state, direction), &position.flow, &[], true);
            match &first {
                None => first = Some((state, expect)),
                Some((_, other)) if other.same(&expect) => {}
                Some(_) => return false,
            }
        }
        let Some((state, expect)) = first else { return false };
        if !expect.same(&expect) {
            return false;
        }
        let side = self.side_mut(direction);
        match &mut side.cursor {
            Some(cursor) => cursor.state = state,
            None => {
                let flow = self.core.flow.clone();
                self.side_mut(direction).cursor = Some(Box::new(Position { state, flow }));
            }
        }
        true
    }

    /// The states that the other side's next record can lead to from a position, in the order of the rules.
    pub(super) fn ways_on<'p>(
        &self,
        program: &'p Program,
        position: &Position,
        waiting: Direction,
    ) -> impl Iterator<Item = StateId> + use<'p> {
        let state: Option<&'p State> = program.protocol.machine.states.get(usize::from(position.state.0));
        let mut ways = Vec::new();
        let host = NotYet { flow: &position.flow };
        for rule in state.map(|state| state.rules.as_slice()).unwrap_or_default() {
            let answers = |trigger: &Trigger| match trigger {
                Trigger::Event(event) => program.comes_from(*event, waiting.other()),
                _ => false,
            };
            if !rule.triggers.iter().any(answers) {
                continue;
            }
            let truth = rule.when.as_ref().map_or(portcullis_lang::Truth::True, |when| when.test(&host));
            if truth.possible()
                && let Some(state) = target_state(&rule.target)
            {
                ways.push(state);
            }
            // A rule that surely applies to the only kind of answer leaves nothing for those after it.
            if truth.holds() && rule.triggers.len() == 1 && rule.when.is_none() {
                break;
            }
        }
        ways.into_iter()
    }
}

/// A formula that reads nothing but the flow.
pub(super) fn flow_formula<'a>(formula: &'a Formula, flow: &'a FlowValues) -> Value<'a> {
    match formula {
        Formula::Place(Place { scope: Scope::Flow, slot }) => flow.read(*slot),
        Formula::Number(number) => Value::Number(*number),
        formula => match formula.value(&NotYet { flow }) {
            Value::Bytes(bytes) => Value::Bytes(bytes.into_owned().into()),
            Value::Unknown => Value::Unknown,
            Value::Absent => Value::Absent,
            Value::Boolean(value) => Value::Boolean(value),
            Value::Number(number) => Value::Number(number),
            Value::Address(address) => Value::Address(address),
        },
    }
}

/// A host in which the record has not come yet.
struct NotYet<'a> {
    flow: &'a FlowValues,
}

impl Host for NotYet<'_> {
    fn read(&self, place: Place) -> Value<'_> {
        match place.scope {
            Scope::Flow => self.flow.read(place.slot),
            _ => Value::Unknown,
        }
    }

    fn count(&self, _list: Place) -> u32 {
        0
    }

    fn element(&self, _list: Place, _index: u32, _slot: u16) -> Value<'_> {
        Value::Unknown
    }
}
