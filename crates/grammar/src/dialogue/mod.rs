//! A conversation in progress: both directions of one flow through the states of its machine.
//!
//! The machine is in one state for both sides. A side that may run ahead (`waits`) is *looked through*: where every
//! answer that can still come leads to the same grammar for it, its records are parsed as they arrive, under a cursor of
//! their own, and are applied to the machine in lock-step when the answers come. Where answers lead to different
//! grammars (after DATA, AUTH, STARTTLS), its octets wait.
//!
//! | file | is |
//! |---|---|
//! | `side` | what one direction holds |
//! | `consume` | octets to records and streams |
//! | `advance` | events to transitions, and the records parsed ahead |
//! | `lost` | gaps, the middle of flows, answers that never came |
//! | `pace` | how far a side is ahead of the answers to what it said |

mod advance;
mod consume;
mod lost;
mod matching;
mod pace;
mod side;

use std::collections::VecDeque;

use portcullis_lang::{Direction, EventId, EventKind, StateId, Truth};

use crate::event::{Event, EventSink};
use crate::flow_values::FlowValues;
use crate::model::{ChannelId, Expect, State, StreamEvents, Target};
use crate::program::{Program, Run};
use crate::record::Record;
use advance::Ahead;
use matching::Questions;
use side::Side;

/// Memory that conversations use while they are given octets; one for all flows of a worker.
#[derive(Debug, Default)]
pub struct Scratch {
    run: Run,
    replay: Run,
}

/// One flow's conversation. It is a plain value: the caller keeps it with the flow and gives it what arrives.
#[derive(Debug)]
pub struct Dialogue {
    core: Position,
    sides: [Side; 2],
    /// Records and ends of streams parsed ahead of the machine, of the side that has a cursor.
    ahead: VecDeque<Ahead>,
    status: Status,
    questions: Questions,
    channels: Box<[Channel]>,
    /// Whether octets of a direction were lost, so that an answer (or question) in it may never come.
    lost: [bool; 2],
    /// By direction: whether answers may be among what was lost that the machine still waits for, so that it takes each
    /// answer for that to an earlier question.
    behind: [bool; 2],
    /// Time of the last packet, nanoseconds since the epoch.
    last_seen: i64,
    /// Whether another protocol was to take over at the end.
    handed_over: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Position {
    state: StateId,
    flow: FlowValues,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Talking,
    Failed,
    Finished,
}

#[derive(Clone, Copy, Debug, Default)]
struct Channel {
    open: bool,
    /// Octets of the direction before the place where it was opened by a side that is ahead of the machine, which cannot
    /// end it before it comes there.
    ahead: Option<u64>,
    size: u64,
}

/// What a call works with beside the conversation itself.
struct Context<'c> {
    program: &'c Program,
    scratch: &'c mut Scratch,
    sink: &'c mut dyn EventSink,
}

/// What an event carries beside its id; see [`Event`].
#[derive(Clone, Copy, Default)]
struct Details<'a> {
    offset: u64,
    /// Octets of the direction before the record, where that is not `offset`.
    begin: Option<u64>,
    /// Of the end of a stream: octets of the direction up to it.
    end: u64,
    size: u64,
    record: Option<Record<'a>>,
    data: &'a [u8],
    name: &'a str,
    reason: &'a str,
    complete: bool,
}

impl Dialogue {
    /// The conversation of a flow that begins now, at `now` nanoseconds since the epoch; or, if `midstream`, of one that
    /// was there before: then the states of `join` are the ones it may be in.
    pub fn new(program: &Program, midstream: bool, now: i64) -> Dialogue {
        let protocol = program.protocol();
        let mut dialogue = Dialogue {
            core: Position { state: protocol.machine.start.unwrap_or(StateId(0)), flow: FlowValues::new(protocol) },
            sides: [Side::default(), Side::default()],
            ahead: VecDeque::new(),
            status: if protocol.machine.start.is_some() { Status::Talking } else { Status::Finished },
            questions: Questions::default(),
            channels: vec![Channel::default(); protocol.channels.len()].into(),
            lost: [false; 2],
            behind: [false; 2],
            last_seen: now,
            handed_over: false,
        };
        if midstream {
            dialogue.join_midstream(program);
        }
        dialogue
    }

    /// Takes octets of a direction, in order. `now`: nanoseconds since the epoch.
    pub fn octets(
        &mut self,
        program: &Program,
        scratch: &mut Scratch,
        direction: Direction,
        octets: &[u8],
        now: i64,
        sink: &mut dyn EventSink,
    ) {
        self.last_seen = now;
        let mut context = Context { program, scratch, sink };
        self.take(&mut context, direction, octets);
    }

    /// Takes a datagram, which is one record.
    pub fn datagram(
        &mut self,
        program: &Program,
        scratch: &mut Scratch,
        direction: Direction,
        octets: &[u8],
        now: i64,
        sink: &mut dyn EventSink,
    ) {
        self.last_seen = now;
        let mut context = Context { program, scratch, sink };
        self.take_datagram(&mut context, direction, octets);
    }

    /// Takes note that so many octets of a direction are missing.
    pub fn gap(
        &mut self,
        program: &Program,
        scratch: &mut Scratch,
        direction: Direction,
        octets: u64,
        sink: &mut dyn EventSink,
    ) {
        let mut context = Context { program, scratch, sink };
        self.take_gap(&mut context, direction, octets);
    }

    /// Takes note that a direction has ended: what was to go on to the end is complete.
    pub fn end(&mut self, program: &Program, scratch: &mut Scratch, direction: Direction, sink: &mut dyn EventSink) {
        let mut context = Context { program, scratch, sink };
        self.take_end(&mut context, direction);
    }

    /// Takes note that the flow is over: streams that were not complete end incomplete.
    pub fn close(&mut self, program: &Program, scratch: &mut Scratch, sink: &mut dyn EventSink) {
        let mut context = Context { program, scratch, sink };
        for direction in Direction::BOTH {
            self.take_end(&mut context, direction);
        }
        // Answers that never came are taken for given, so that what was asked is judged where it belongs.
        while self.status == Status::Talking && !self.ahead.is_empty() {
            let waiting = Direction::BOTH.into_iter().find(|direction| self.side(*direction).cursor.is_some());
            if !waiting.is_some_and(|waiting| self.assume(&mut context, waiting)) {
                break;
            }
        }
        if self.status == Status::Talking {
            self.stop(&mut context, Direction::Up, Status::Finished, "");
        }
    }

    /// Lets time pass without a packet, to `now` nanoseconds since the epoch.
    pub fn tick(&mut self, program: &Program, scratch: &mut Scratch, now: i64, sink: &mut dyn EventSink) {
        let Some((patience, target)) = self.state(program).and_then(|state| state.timeout.as_ref()) else { return };
        if self.status != Status::Talking || now.saturating_sub(self.last_seen) < *patience {
            return;
        }
        self.last_seen = now;
        let mut context = Context { program, scratch, sink };
        self.emit_kind(&mut context, Direction::Up, EventKind::Timeout, Details::default());
        self.go(&mut context, Direction::Up, target, &Details::default());
        self.go_on(&mut context);
    }

    /// The machine's state.
    pub fn state_id(&self) -> StateId {
        self.core.state
    }

    /// Whether the machine has come to `fail` or `finish`: nothing more is parsed.
    pub fn is_over(&self) -> bool {
        self.status != Status::Talking
    }

    /// Whether nothing is in its middle that events have told the beginning of: no stream, and no channel of several.
    pub fn is_between_streams(&self) -> bool {
        self.sides.iter().all(|side| side.stream.is_none()) && self.channels.iter().all(|channel| !channel.open)
    }

    /// Octets of a side that nobody can judge yet, because an answer of the other side decides what they are: the last ones
    /// that it was given.
    pub fn stalled(&self, direction: Direction) -> u64 {
        let side = self.side(direction);
        if self.status == Status::Talking && side.stalled { side.held.len() as u64 } else { 0 }
    }

    /// Octets of a side that are the beginning of a record which is not complete, or of what may be the last line of a stream:
    /// what has come of it cannot be judged yet.
    pub fn partial(&self, direction: Direction) -> u64 {
        let side = self.side(direction);
        if self.status != Status::Talking || side.stalled {
            return 0;
        }
        let undecided = side.stream.as_ref().map_or(0, |stream| stream.flowing.undecided());
        undecided.saturating_add(side.held.len() as u64)
    }

    /// Octets held for this flow at the moment.
    pub fn held(&self) -> usize {
        self.sides.iter().map(|side| side.held.len()).sum::<usize>() + self.ahead_octets()
    }

    /// Octets of memory that it takes beside itself: what is held with the room that is reserved for it, records that were
    /// parsed ahead, values, channels and questions.
    pub fn memory(&self) -> usize {
        let sides = self.sides.iter().map(|side| {
            let boxes = side.record.as_ref().map_or(0, |record| record.memory())
                + side.stream.as_ref().map_or(0, |stream| size_of_val(&**stream))
                + side.cursor.as_ref().map_or(0, |cursor| size_of_val(&**cursor) + cursor.flow.memory());
            side.held.capacity() + boxes
        });
        sides.sum::<usize>()
            + self.ahead_octets()
            + self.ahead.capacity() * size_of::<Ahead>()
            + size_of_val(&*self.channels)
            + self.core.flow.memory()
            + self.questions.memory()
    }

    fn state<'p>(&self, program: &'p Program) -> Option<&'p State> {
        program.protocol.machine.states.get(usize::from(self.core.state.0))
    }

    /// Where the machine is for a direction: at its cursor, or where it is for both.
    fn position(&self, direction: Direction) -> &Position {
        self.side(direction).cursor.as_deref().unwrap_or(&self.core)
    }

    fn side(&self, direction: Direction) -> &Side {
        let [up, down] = &self.sides;
        match direction {
            Direction::Up => up,
            Direction::Down => down,
        }
    }

    fn side_mut(&mut self, direction: Direction) -> &mut Side {
        let [up, down] = &mut self.sides;
        match direction {
            Direction::Up => up,
            Direction::Down => down,
        }
    }

    /// Octets that each side has sent beyond what the machine has taken.
    fn waiting(&self) -> [u64; 2] {
        let mut waiting = [0; 2];
        for direction in Direction::BOTH {
            let side = self.side(direction);
            let ahead: u64 = match side.cursor {
                Some(_) => self.ahead.iter().map(|ahead| ahead.size).sum(),
                None => 0,
            };
            let flowing = match (&side.cursor, &side.stream) {
                (Some(_), Some(stream)) => stream.size,
                _ => 0,
            };
            if let Some(entry) = waiting.get_mut(direction.index()) {
                *entry = ahead.saturating_add(flowing).saturating_add(side.held.len() as u64);
            }
        }
        waiting
    }

    fn emit(&self, context: &mut Context<'_>, direction: Direction, id: EventId, details: &Details<'_>) {
        if !context.sink.wants(id) {
            return;
        }
        let kind = context.program.protocol.scheme.events.get(usize::from(id.0)).map(|event| event.kind);
        if let Some(kind) = kind {
            let host = self.host(context.program, self.position(direction), direction, details);
            let event = Event { id, kind, ..host };
            context.sink.event(&event);
        }
    }

    /// Emits the protocol's only event of a kind: a machine's event, or a named anomaly.
    fn emit_kind(&self, context: &mut Context<'_>, direction: Direction, kind: EventKind, details: Details<'_>) {
        if let Some(id) = context.program.event_of(kind) {
            self.emit(context, direction, id, &details);
        }
    }

    /// What a direction is expected to say at its position; a choice is resolved.
    fn expectation<'p>(&self, program: &'p Program, direction: Direction, octets: &[u8], open: bool) -> Resolved<'p> {
        let position = self.position(direction);
        let expect = program.expect(position.state, direction);
        resolve(expect, &position.flow, octets, open)
    }

    /// Whether the machine itself, not the cursor, makes a direction wait.
    fn core_waits(&self, program: &Program, direction: Direction) -> bool {
        matches!(program.expect(self.core.state, direction), Some(Expect::Waits { .. }))
    }

    /// Ends the conversation.
    fn stop(&mut self, context: &mut Context<'_>, direction: Direction, status: Status, reason: &str) {
        if self.status != Status::Talking {
            return;
        }
        for direction in Direction::BOTH {
            self.abandon_stream(context, direction);
        }
        for index in 0..self.channels.len() {
            if let Ok(index) = u16::try_from(index) {
                self.end_channel(context, direction, ChannelId(index), false);
            }
        }
        let (kind, target) = match status {
            Status::Failed => (EventKind::Fail, context.program.fail_state()),
            _ => (EventKind::Finish, context.program.finish_state()),
        };
        let offset = self.side(direction).offset;
        self.emit_kind(context, direction, kind, Details { reason, offset, ..Details::default() });
        self.status = status;
        self.core.state = target;
        self.ahead = VecDeque::new();
        for side in &mut self.sides {
            side.forget_record();
            side.cursor = None;
            side.stream = None;
            side.held = Vec::new();
        }
    }

    fn channel_events(context: &Context<'_>, channel: ChannelId) -> Option<StreamEvents> {
        context.program.protocol.channels.get(usize::from(channel.0)).map(|channel| channel.events)
    }

    fn feed_channel(
        &mut self,
        context: &mut Context<'_>,
        direction: Direction,
        id: ChannelId,
        offset: u64,
        data: &[u8],
    ) {
        let Some(events) = Self::channel_events(context, id) else { return };
        let is_ahead = self.side(direction).cursor.is_some();
        let Some(channel) = self.channels.get_mut(usize::from(id.0)) else { return };
        let opens = !channel.open;
        channel.open = true;
        if opens && is_ahead {
            channel.ahead = Some(offset);
        }
        channel.size = channel.size.saturating_add(data.len() as u64);
        if opens {
            self.emit(context, direction, events.start, &Details { offset, ..Details::default() });
        }
        if !data.is_empty() {
            let details = Details { offset, size: data.len() as u64, data, ..Details::default() };
            self.emit(context, direction, events.chunk, &details);
        }
    }

    fn is_open(&self, id: ChannelId) -> bool {
        self.channels.get(usize::from(id.0)).is_some_and(|channel| channel.open)
    }

    fn end_channel(&mut self, context: &mut Context<'_>, direction: Direction, id: ChannelId, complete: bool) {
        let Some(events) = Self::channel_events(context, id) else { return };
        let offset = self.side(direction).offset;
        if complete {
            // A message of no octets is a message too.
            self.feed_channel(context, direction, id, offset, &[]);
        }
        let Some(channel) = self.channels.get_mut(usize::from(id.0)) else { return };
        let ended = std::mem::take(channel);
        if ended.open {
            let details = Details { offset, size: ended.size, complete, ..Details::default() };
            self.emit(context, direction, events.end, &details);
        }
    }
}

/// An expectation without choices.
#[derive(Clone, Copy, Debug)]
enum Resolved<'p> {
    Nothing,
    Waits(u32),
    Record(&'p crate::model::Expected, Option<&'p Expect>),
    Stream(crate::model::StreamId),
    /// More octets have to come before it can be told.
    Undecided,
}

impl Resolved<'_> {
    /// Whether both are the same grammar, so that octets can be parsed before it is known which of them it is.
    fn same(&self, other: &Resolved<'_>) -> bool {
        match (self, other) {
            (Resolved::Record(one, None), Resolved::Record(two, None)) => {
                one.rule == two.rule && one.event == two.event
            }
            (Resolved::Stream(one), Resolved::Stream(two)) => one == two,
            _ => false,
        }
    }
}

fn resolve<'p>(expect: Option<&'p Expect>, flow: &FlowValues, octets: &[u8], open: bool) -> Resolved<'p> {
    match expect {
        None | Some(Expect::Nothing) => Resolved::Nothing,
        Some(Expect::Waits { max }) => Resolved::Waits(*max),
        Some(Expect::Record(expected)) => Resolved::Record(expected, None),
        Some(Expect::Then(expected, then)) => Resolved::Record(expected, Some(then)),
        Some(Expect::Stream(stream)) => Resolved::Stream(*stream),
        Some(Expect::Choose { on, fold, arms, otherwise }) => {
            let value = advance::flow_formula(on, flow);
            let mut chosen = None;
            for (values, expect) in arms {
                let fits = match &value {
                    portcullis_lang::Value::Unknown => Truth::Unknown,
                    value => portcullis_lang::is_in(value, values, *fold).into(),
                };
                if fits.holds() {
                    chosen = Some(expect);
                    break;
                }
            }
            resolve(Some(chosen.unwrap_or(otherwise)), flow, octets, open)
        }
        Some(Expect::First { arms, otherwise }) => {
            for (first, expect) in arms {
                match crate::program::decide(first, octets, open) {
                    Some(true) => return resolve(Some(expect), flow, octets, open),
                    Some(false) => {}
                    None => return Resolved::Undecided,
                }
            }
            resolve(Some(otherwise), flow, octets, open)
        }
    }
}

impl Program {
    fn expect(&self, state: StateId, direction: Direction) -> Option<&Expect> {
        let state = self.protocol.machine.states.get(usize::from(state.0))?;
        state.expects.get(direction.index())
    }

    fn event_of(&self, kind: EventKind) -> Option<EventId> {
        match kind {
            EventKind::Anomaly(anomaly) => self.anomaly_events.get(usize::from(anomaly.0)).copied().flatten(),
            kind => self.kind_events.iter().find(|entry| entry.0 == kind).map(|entry| entry.1),
        }
    }

    fn fail_state(&self) -> StateId {
        self.state_from_end(2)
    }

    fn finish_state(&self) -> StateId {
        self.state_from_end(1)
    }

    /// The last two states are `fail` and `finish`.
    fn state_from_end(&self, from_end: usize) -> StateId {
        let index = self.protocol.machine.states.len().saturating_sub(from_end);
        StateId(u16::try_from(index).unwrap_or(0))
    }
}

/// A target's state, if it leads to one.
fn target_state(target: &Target) -> Option<StateId> {
    match target {
        Target::State(state) => Some(*state),
        _ => None,
    }
}
