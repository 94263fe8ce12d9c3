//! Conversations in lock-step.
//!
//! Each side's octets lie in a buffer from the first to the last. As long as one of the sides can go on, the one whose
//! next octet came first does, by one record or stream; a side that waits does nothing. A record is read anew from its
//! first octet each time. Nothing is looked through, so that what a side says ahead of its time is told later than the
//! product tells it: what can be compared is what each direction says, and the way of the machine.
//!
//! Left out are time, gaps, and beginnings in the middle: a test of those says itself what has to come.

use std::collections::VecDeque;

use portcullis_lang::{AnomalyId, Direction, EventId, EventKind, Formula, StateId, Value, is_in};

use super::record::{Extent, Parsed, Reading, odd_octets, read};
use super::stage::{Scene, Stage, begins, matching_of};
use super::stream::flow;
use super::value::{Fields, Leaf, View, flow_fields, put};
use crate::limits::MAX_KEPT_TEXT;
use crate::model::{
    Action, ChannelId, Expect, Expected, Protocol, RuleKind, Source, State, StreamId, Target, Transition, Trigger,
};

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Which.
    pub id: EventId,
    /// What it tells.
    pub kind: EventKind,
    /// The direction it happened in.
    pub direction: Direction,
    /// Octets of the direction before it.
    pub offset: u64,
    /// The slots of a record.
    pub fields: Option<Fields>,
    /// What a stream carried, at its end.
    pub content: Vec<u8>,
    /// Whether a stream came to its own end.
    pub complete: bool,
    /// The state of the machine.
    pub state: StateId,
    /// What the flow keeps.
    pub flow: Fields,
}

/// What is heard of a conversation from its beginning to its end: pieces of either direction, in the order in which they
/// came. Both directions end after them.
pub fn converse(protocol: &Protocol, pieces: &[(Direction, &[u8])]) -> Vec<Heard> {
    let Some(start) = protocol.machine.start else { return Vec::new() };
    let mut talk = Lockstep {
        protocol,
        state: start,
        flow: flow_fields(protocol),
        ears: Default::default(),
        channels: vec![None; protocol.channels.len()],
        questions: VecDeque::new(),
        over: None,
        heard: Vec::new(),
    };
    for (clock, (direction, octets)) in pieces.iter().enumerate() {
        let ear = talk.ear_mut(*direction);
        ear.octets.extend_from_slice(octets);
        ear.came.extend(octets.iter().map(|_| clock));
        talk.go_on();
    }
    for direction in Direction::BOTH {
        talk.end(direction);
    }
    if talk.over.is_none() {
        talk.stop(Direction::Up, Over::Finished);
    }
    talk.heard
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Failed,
    Finished,
    Replaced,
}

/// One direction.
#[derive(Default)]
struct Ear {
    octets: Vec<u8>,
    /// When each octet came.
    came: Vec<usize>,
    /// How many of them are done with.
    at: usize,
    stream: Option<InStream>,
    /// The rest of a line that is too long is passed over.
    skipping: bool,
    ended: bool,
    out_of_turn: bool,
    overrun: bool,
    after_end: bool,
}

#[derive(Clone)]
struct InStream {
    id: StreamId,
    begin: usize,
    size: u64,
    /// Its deviations that were told.
    told: Vec<(AnomalyId, usize)>,
}

pub(super) struct Lockstep<'p> {
    pub(super) protocol: &'p Protocol,
    pub(super) state: StateId,
    pub(super) flow: Fields,
    ears: [Ear; 2],
    /// What open channels carry.
    channels: Vec<Option<Vec<u8>>>,
    questions: VecDeque<(EventId, Leaf)>,
    over: Option<Over>,
    heard: Vec<Heard>,
}

impl<'p> Lockstep<'p> {
    fn ear(&self, direction: Direction) -> &Ear {
        &self.ears[direction.index()]
    }

    fn ear_mut(&mut self, direction: Direction) -> &mut Ear {
        &mut self.ears[direction.index()]
    }

    pub(super) fn rest(&self, direction: Direction) -> &[u8] {
        let ear = self.ear(direction);
        &ear.octets[ear.at..]
    }

    fn machine_state(&self) -> Option<&'p State> {
        self.protocol.machine.states.get(usize::from(self.state.0))
    }

    fn go_on(&mut self) {
        loop {
            let next = |direction: &Direction| {
                let ear = self.ear(*direction);
                ear.came.get(ear.at).copied().unwrap_or(usize::MAX)
            };
            let mut order = Direction::BOTH;
            order.sort_by_key(next);
            // A stream that needs no octets does not wait for any.
            order.sort_by_key(|direction| !self.is_due_nothing(*direction));
            if !order.into_iter().any(|direction| self.step(direction)) {
                return;
            }
        }
    }

    fn is_due_nothing(&self, direction: Direction) -> bool {
        let expect = self.machine_state().map(|state| &state.expects[direction.index()]);
        if self.over.is_some() || self.ear(direction).stream.is_some() {
            return false;
        }
        let Some(Expect::Stream(id)) = self.resolve(expect, direction) else { return false };
        match self.protocol.streams.get(usize::from(id.0)).map(|stream| &stream.source) {
            Some(Source::Bytes(size)) => size.value(&self.flow_view()) == Value::Number(0),
            _ => false,
        }
    }

    /// Lets a side go on by one step; gives whether it did.
    fn step(&mut self, direction: Direction) -> bool {
        let left = self.rest(direction).len();
        match self.over {
            Some(Over::Finished) => {
                self.ear_mut(direction).at += left;
                let first = left > 0 && !std::mem::replace(&mut self.ear_mut(direction).after_end, true);
                if first {
                    self.tell_kind(direction, EventKind::MissingGrammar, &Scene::default());
                }
                return false;
            }
            Some(_) => return false,
            None => {}
        }
        if self.ear(direction).skipping {
            return self.skip(direction);
        }
        if self.ear(direction).stream.is_some() {
            return self.stream(direction);
        }
        let expect = self.machine_state().map(|state| &state.expects[direction.index()]);
        match self.resolve(expect, direction) {
            None | Some(Expect::Choose { .. } | Expect::First { .. }) => false,
            Some(Expect::Nothing) => self.out_of_turn(direction, left),
            Some(Expect::Waits { max }) => {
                if left > *max as usize && !std::mem::replace(&mut self.ear_mut(direction).overrun, true) {
                    self.overrun(direction);
                    return true;
                }
                false
            }
            Some(Expect::Stream(stream)) => self.begin_stream(direction, *stream, left > 0),
            Some(Expect::Record(expected)) => self.record(direction, expected, None),
            Some(Expect::Then(expected, then)) => self.record(direction, expected, Some(then)),
        }
    }

    fn resolve(&self, expect: Option<&'p Expect>, direction: Direction) -> Option<&'p Expect> {
        match expect? {
            Expect::Choose { on, fold, arms, otherwise } => {
                let value = Leaf::of(&on.value(&self.flow_view()));
                let chosen = arms.iter().find(|(values, _)| is_in(&value.value(), values, *fold));
                self.resolve(Some(chosen.map_or(otherwise, |arm| &arm.1)), direction)
            }
            Expect::First { arms, otherwise } => {
                for (first, expect) in arms {
                    match begins(first, self.rest(direction), !self.ear(direction).ended) {
                        Some(true) => return self.resolve(Some(expect), direction),
                        Some(false) => {}
                        None => return None,
                    }
                }
                self.resolve(Some(otherwise), direction)
            }
            other => Some(other),
        }
    }

    fn flow_view(&self) -> View<'_> {
        View { record: None, element: None, flow: &self.flow, raw: &[] }
    }

    fn out_of_turn(&mut self, direction: Direction, left: usize) -> bool {
        if left == 0 {
            return false;
        }
        let scene = Scene { offset: self.ear(direction).at as u64, ..Scene::default() };
        self.ear_mut(direction).at += left;
        if !std::mem::replace(&mut self.ear_mut(direction).out_of_turn, true) {
            self.tell_kind(direction, EventKind::MissingGrammar, &scene);
            self.trigger(direction, Trigger::MissingGrammar, &scene);
        }
        true
    }

    fn overrun(&mut self, direction: Direction) {
        let scene = Scene { offset: self.ear(direction).at as u64, ..Scene::default() };
        self.tell_kind(direction, EventKind::Overrun, &scene);
        if !self.trigger(direction, Trigger::Overrun, &scene) {
            self.stop(direction, Over::Failed);
        }
    }

    fn skip(&mut self, direction: Direction) -> bool {
        match self.next_line(direction) {
            Some((_, length, _)) => {
                let ear = self.ear_mut(direction);
                ear.at += length;
                ear.skipping = false;
                true
            }
            None => false,
        }
    }

    /// Octets of the next line without and with its newline, and whether that is CR LF.
    fn next_line(&self, direction: Direction) -> Option<(usize, usize, bool)> {
        let newline = self.protocol.newline;
        let rest = self.rest(direction);
        (0..rest.len()).filter(|at| rest[*at] == b'\n').find_map(|at| {
            let crlf = at > 0 && rest[at - 1] == b'\r';
            match (crlf && newline.crlf, newline.lf) {
                (true, _) => Some((at - 1, at + 1, true)),
                (false, true) => Some((at, at + 1, false)),
                (false, false) => None,
            }
        })
    }

    fn record(&mut self, direction: Direction, expected: &'p Expected, then: Option<&'p Expect>) -> bool {
        let Some(rule) = self.protocol.rules.get(usize::from(expected.rule.0)) else { return false };
        let rest = self.rest(direction).to_vec();
        if rest.is_empty() {
            return false;
        }
        let max = rule.max as usize;
        let at = self.ear(direction).at;
        let mut scene = Scene { offset: at as u64, name: rule.name.clone(), ..Scene::default() };
        if rule.kind == RuleKind::Line {
            let (content, length, crlf) = match self.next_line(direction) {
                Some(line) => line,
                None if rest.len() > max => (max, rest.len(), true),
                None => return false,
            };
            let over = length > max;
            if over {
                self.tell_kind(direction, EventKind::Overrun, &scene);
                self.trigger(direction, Trigger::Overrun, &scene);
                if self.over.is_some() {
                    return true;
                }
            }
            let content = content.min(max);
            let cut = length == rest.len() && !rest.ends_with(b"\n");
            let odd = odd_octets(&self.protocol.newline, &rest[..content], crlf || over, 0);
            match read(self.protocol, expected.rule, &rest, Extent::Exactly(content), &self.flow) {
                Reading::Complete(mut parsed) => {
                    parsed.anomalies.splice(0..0, odd);
                    scene.raw = rest[..content].to_vec();
                    scene.size = length.min(max.max(content)) as u64;
                    self.accept(direction, expected, then, parsed, scene, length);
                }
                Reading::More => return false,
                Reading::Wrong(text) => {
                    scene.reason = text;
                    self.tell_kind(direction, EventKind::ParseError, &scene);
                    self.ear_mut(direction).at += length;
                    self.trigger(direction, Trigger::ParseError, &scene);
                }
            }
            self.ear_mut(direction).skipping = cut;
            return true;
        }
        let extent = if self.ear(direction).ended { Extent::Ended } else { Extent::Open };
        let wrong = match read(self.protocol, expected.rule, &rest, extent, &self.flow) {
            Reading::More if rest.len() <= max => return false,
            Reading::Complete(parsed) if (1..=max).contains(&parsed.length) => {
                let length = parsed.length;
                scene.raw = rest[..length].to_vec();
                scene.size = length as u64;
                self.accept(direction, expected, then, parsed, scene, length);
                return true;
            }
            Reading::Complete(parsed) if parsed.length == 0 => "a record of no octets".into(),
            Reading::More | Reading::Complete(_) => {
                self.overrun(direction);
                let ear = self.ear_mut(direction);
                ear.at = ear.octets.len();
                return true;
            }
            Reading::Wrong(text) => text,
        };
        scene.reason = wrong;
        self.tell_kind(direction, EventKind::ParseError, &scene);
        self.trigger(direction, Trigger::ParseError, &scene);
        self.stop(direction, Over::Failed);
        true
    }

    fn accept(
        &mut self,
        direction: Direction,
        expected: &'p Expected,
        then: Option<&'p Expect>,
        parsed: Parsed,
        mut scene: Scene,
        length: usize,
    ) {
        scene.fields = Some(parsed.fields);
        self.tell(direction, expected.event, &scene, &[]);
        for (anomaly, at) in parsed.anomalies.into_iter().take(crate::limits::MAX_RECORD_ANOMALIES) {
            let scene = Scene { offset: scene.offset + at as u64, ..scene.clone() };
            self.tell_kind(direction, EventKind::Anomaly(anomaly), &scene);
        }
        self.pair(direction, expected, &scene);
        self.keep(expected.event, &scene);
        let before = self.state;
        self.ear_mut(direction).at += length;
        self.trigger(direction, Trigger::Event(expected.event), &scene);
        if let (Some(Expect::Stream(stream)), None) = (then, self.over)
            && self.state == before
        {
            self.begin_stream(direction, *stream, true);
        }
    }

    fn pair(&mut self, direction: Direction, expected: &Expected, scene: &Scene) {
        let protocol = self.protocol;
        let key = |slot: Option<u16>| match (slot, &scene.fields) {
            (Some(slot), Some(fields)) => fields.get(usize::from(slot)).cloned().unwrap_or_default(),
            _ => Leaf::Absent,
        };
        let answers = protocol.machine.states.iter().flat_map(|state| &state.expects);
        if let Some(matching) = answers.filter_map(|expect| matching_of(expect, expected.event)).next() {
            while self.questions.len() >= matching.max.max(1) as usize {
                self.questions.pop_front();
            }
            self.questions.push_back((expected.event, key(matching.key.map(|key| key.0))));
        }
        if let Some(matching) = &expected.matches {
            let set = |test: &Formula| test.test(&Stage { talk: self, direction, scene }).holds();
            if matching.except.as_ref().is_some_and(set) {
                return;
            }
            let wanted = key(matching.key.map(|key| key.1));
            let fits = |(event, key): &(EventId, Leaf)| {
                *event == matching.question && (matching.key.is_none() || *key == wanted)
            };
            match self.questions.iter().position(fits) {
                Some(index) => drop(self.questions.remove(index)),
                None => self.tell_kind(direction, EventKind::Anomaly(matching.unmatched), scene),
            }
        }
    }

    fn keep(&mut self, event: EventId, scene: &Scene) {
        let Some(fields) = &scene.fields else { return };
        for kept in self.protocol.kept.iter().filter(|kept| kept.event == event) {
            put(&mut self.flow, kept.slot, Leaf::Boolean(true));
            for (from, to) in &kept.fields {
                let leaf = match fields.get(usize::from(*from)).cloned().unwrap_or_default() {
                    Leaf::Text(text) => Leaf::Text(text.into_iter().take(MAX_KEPT_TEXT).collect()),
                    Leaf::Address(_) => Leaf::Absent,
                    Leaf::List(_) => Leaf::Boolean(true),
                    other => other,
                };
                put(&mut self.flow, *to, leaf);
            }
        }
    }

    /// Begins a stream, if it has octets or needs none.
    fn begin_stream(&mut self, direction: Direction, id: StreamId, has_octets: bool) -> bool {
        let Some(stream) = self.protocol.streams.get(usize::from(id.0)) else { return false };
        let size = match &stream.source {
            Source::Bytes(size) => match size.value(&self.flow_view()) {
                Value::Number(size) => u64::try_from(size).ok(),
                _ => None,
            },
            _ => Some(1),
        };
        let begin = self.ear(direction).at;
        let scene = Scene { offset: begin as u64, name: stream.name.clone(), ..Scene::default() };
        let Some(size) = size else {
            self.tell_kind(direction, EventKind::ParseError, &scene);
            self.trigger(direction, Trigger::ParseError, &scene);
            self.stop(direction, Over::Failed);
            return true;
        };
        if !has_octets && size > 0 {
            return false;
        }
        self.tell(direction, stream.events.start, &scene, &[]);
        if let Some(channel) = stream.channel {
            self.feed(direction, channel, begin as u64, &[]);
        }
        self.ear_mut(direction).stream = Some(InStream { id, begin, size, told: Vec::new() });
        self.stream(direction);
        true
    }

    /// Goes on with a stream; gives whether it has ended.
    fn stream(&mut self, direction: Direction) -> bool {
        let Some(in_stream) = self.ear(direction).stream.clone() else { return false };
        let Some(stream) = self.protocol.streams.get(usize::from(in_stream.id.0)) else { return false };
        let octets = &self.ear(direction).octets[in_stream.begin..];
        let mut flowed = flow(stream, &self.protocol.newline, in_stream.size, octets);
        flowed.complete |= matches!(stream.source, Source::ToEnd) && self.ear(direction).ended;
        self.ear_mut(direction).at = in_stream.begin + flowed.used;
        for (anomaly, at) in flowed.anomalies.iter().filter(|found| !in_stream.told.contains(found)) {
            let offset = (in_stream.begin + at) as u64;
            let scene = Scene { offset, name: stream.name.clone(), ..Scene::default() };
            self.tell_kind(direction, EventKind::Anomaly(*anomaly), &scene);
        }
        if let Some(in_stream) = &mut self.ear_mut(direction).stream {
            in_stream.told = flowed.anomalies;
        }
        if flowed.complete {
            self.end_stream(direction, &flowed.content, true);
        }
        flowed.complete
    }

    fn end_stream(&mut self, direction: Direction, content: &[u8], complete: bool) {
        let Some(in_stream) = self.ear_mut(direction).stream.take() else { return };
        let Some(stream) = self.protocol.streams.get(usize::from(in_stream.id.0)) else { return };
        let scene = Scene {
            offset: in_stream.begin as u64,
            size: content.len() as u64,
            name: stream.name.clone(),
            complete,
            ..Scene::default()
        };
        if let Some(channel) = stream.channel {
            self.feed(direction, channel, scene.offset, content);
        }
        self.tell(direction, stream.events.end, &scene, content);
        if complete {
            self.trigger(direction, Trigger::Event(stream.events.end), &scene);
        }
    }

    fn feed(&mut self, direction: Direction, id: ChannelId, offset: u64, content: &[u8]) {
        let Some(events) = self.protocol.channels.get(usize::from(id.0)).map(|channel| channel.events) else { return };
        let Some(channel) = self.channels.get_mut(usize::from(id.0)) else { return };
        let opens = channel.is_none();
        channel.get_or_insert_default().extend_from_slice(content);
        if opens {
            self.tell(direction, events.start, &Scene { offset, ..Scene::default() }, &[]);
        }
    }

    fn end_channel(&mut self, direction: Direction, id: ChannelId, complete: bool) {
        let Some(events) = self.protocol.channels.get(usize::from(id.0)).map(|channel| channel.events) else { return };
        let offset = self.ear(direction).at as u64;
        if complete {
            self.feed(direction, id, offset, &[]);
        }
        if let Some(content) = self.channels.get_mut(usize::from(id.0)).and_then(Option::take) {
            self.tell(direction, events.end, &Scene { offset, complete, ..Scene::default() }, &content);
        }
    }

    /// The machine takes its way; gives whether there was a rule.
    fn trigger(&mut self, direction: Direction, trigger: Trigger, scene: &Scene) -> bool {
        match self.run_rule(direction, trigger, scene) {
            Some(target) => {
                self.go(direction, target, scene);
                true
            }
            None => false,
        }
    }

    fn run_rule(&mut self, direction: Direction, trigger: Trigger, scene: &Scene) -> Option<&'p Target> {
        let fits = |rule: &&Transition| {
            let stage = Stage { talk: self, direction, scene };
            rule.triggers.contains(&trigger) && rule.when.as_ref().is_none_or(|when| when.test(&stage).possible())
        };
        let rule = self.machine_state()?.rules.iter().find(fits)?;
        for action in &rule.actions {
            match action {
                Action::Anomaly(anomaly) => self.anomaly(direction, *anomaly, scene),
                Action::Should { test, anomaly } => {
                    if !test.test(&Stage { talk: self, direction, scene }).possible() {
                        self.anomaly(direction, *anomaly, scene);
                    }
                }
                Action::Close(channel) => self.end_channel(direction, *channel, true),
                Action::Abort(channel) => self.end_channel(direction, *channel, false),
                Action::Set { slot, value } => {
                    let value = value.value(&Stage { talk: self, direction, scene }).as_number();
                    if let Some(number) = value {
                        put(&mut self.flow, *slot, Leaf::Number(number));
                    }
                }
            }
        }
        Some(&rule.target)
    }

    fn anomaly(&mut self, direction: Direction, anomaly: AnomalyId, scene: &Scene) {
        self.tell_kind(direction, EventKind::Anomaly(anomaly), scene);
    }

    fn go(&mut self, direction: Direction, target: &'p Target, scene: &Scene) {
        match target {
            Target::Stay => {}
            Target::Fail(_) => self.stop(direction, Over::Failed),
            Target::Finish(None) => self.stop(direction, Over::Finished),
            Target::Finish(Some(_)) => self.stop(direction, Over::Replaced),
            Target::State(state) if *state == self.state => {}
            Target::State(state) => {
                let bare = Scene { fields: None, name: String::new(), ..scene.clone() };
                self.tell_kind(direction, EventKind::Leave, &bare);
                self.run_rule(direction, Trigger::Leave, scene);
                self.state = *state;
                self.ears.iter_mut().for_each(|ear| {
                    ear.out_of_turn = false;
                    ear.overrun = false;
                });
                self.tell_kind(direction, EventKind::Enter, &bare);
                match self.run_rule(direction, Trigger::Enter, scene) {
                    Some(Target::Stay) | None => {}
                    Some(target) => self.go(direction, target, scene),
                }
            }
        }
    }

    fn stop(&mut self, direction: Direction, over: Over) {
        if self.over.is_some() {
            return;
        }
        for direction in Direction::BOTH {
            if let Some(in_stream) = self.ear(direction).stream.clone()
                && let Some(stream) = self.protocol.streams.get(usize::from(in_stream.id.0))
            {
                let octets = &self.ear(direction).octets[in_stream.begin..];
                let content = flow(stream, &self.protocol.newline, in_stream.size, octets).content;
                self.end_stream(direction, &content, false);
            }
        }
        for index in 0..self.channels.len() {
            self.end_channel(direction, ChannelId(u16::try_from(index).unwrap_or(0)), false);
        }
        let (kind, from_end) = if over == Over::Failed { (EventKind::Fail, 2) } else { (EventKind::Finish, 1) };
        let offset = self.ear(direction).at as u64;
        self.tell_kind(direction, kind, &Scene { offset, ..Scene::default() });
        self.over = Some(over);
        let states = self.protocol.machine.states.len();
        self.state = StateId(u16::try_from(states.saturating_sub(from_end)).unwrap_or(0));
    }

    fn end(&mut self, direction: Direction) {
        self.ear_mut(direction).ended = true;
        self.go_on();
        let ear = self.ear(direction);
        let waits = matches!(
            self.resolve(self.machine_state().map(|state| &state.expects[direction.index()]), direction),
            Some(Expect::Waits { .. })
        );
        if self.over.is_none() && ear.at < ear.octets.len() && ear.stream.is_none() && !waits {
            let scene = Scene { offset: ear.at as u64, ..Scene::default() };
            let ear = self.ear_mut(direction);
            ear.at = ear.octets.len();
            self.tell_kind(direction, EventKind::ParseError, &scene);
        }
    }

    fn tell_kind(&mut self, direction: Direction, kind: EventKind, scene: &Scene) {
        let events = &self.protocol.scheme.events;
        let index = events.iter().position(|event| event.kind == kind);
        if let Some(index) = index.and_then(|index| u16::try_from(index).ok()) {
            self.tell(direction, EventId(index), scene, &[]);
        }
    }

    fn tell(&mut self, direction: Direction, id: EventId, scene: &Scene, content: &[u8]) {
        let Some(event) = self.protocol.scheme.events.get(usize::from(id.0)) else { return };
        self.heard.push(Heard {
            id,
            kind: event.kind,
            direction,
            offset: scene.offset,
            fields: scene.fields.clone(),
            content: content.to_vec(),
            complete: scene.complete,
            state: self.state,
            flow: self.flow.clone(),
        });
    }
}
