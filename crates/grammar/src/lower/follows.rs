//! What a side can still say when the other says nothing: without it nobody knows which holds come to an end.

use portcullis_lang::{Direction, EventId, EventKind};

use super::events::Events;
use crate::model::{Action, Channel, Expect, Machine, State, Stream, StreamEvents, Target, Transition, Trigger};

/// The machine, and what its streams and channels raise.
struct Walk<'a> {
    machine: &'a Machine,
    streams: &'a [Stream],
    channels: Vec<&'a Channel>,
}

/// By event: the events of the same side that can come behind it before the other side has to speak, and without a record
/// of the other side.
pub(super) fn follows<'a>(
    machine: &'a Machine,
    streams: &'a [Stream],
    channels: impl Iterator<Item = &'a Channel>,
    events: &Events,
) -> Vec<Vec<EventId>> {
    let walk = Walk { machine, streams, channels: channels.collect() };
    events.ids().map(|event| walk.behind(event, events.kind(event))).collect()
}

impl Walk<'_> {
    fn behind(&self, event: EventId, kind: Option<EventKind>) -> Vec<EventId> {
        let mut found = Vec::new();
        for direction in Direction::BOTH {
            let mut reached = vec![false; self.machine.states.len()];
            let states = self.machine.states.iter().enumerate();
            for (number, state) in states.filter(|(_, state)| self.says(state, direction).contains(&event)) {
                match kind {
                    // Within a stream the machine stays where it is.
                    Some(EventKind::StreamStart | EventKind::StreamChunk) => {
                        self.go_on(number, direction, &mut reached, &mut found);
                    }
                    _ => {
                        let taken = state.rules.iter().filter(|rule| self.is_after(rule, event));
                        for rule in taken {
                            found.extend(self.ended_by(rule));
                            self.follow(number, rule, direction, &mut reached, &mut found);
                        }
                    }
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether a rule is taken by an event: its own, or that of a channel that it closes.
    fn is_after(&self, rule: &Transition, event: EventId) -> bool {
        rule.triggers.contains(&Trigger::Event(event)) || self.ended_by(rule).any(|end| end == event)
    }

    /// The ends of channels that a rule closes.
    fn ended_by(&self, rule: &Transition) -> impl Iterator<Item = EventId> {
        rule.actions.iter().filter_map(|action| match action {
            Action::Close(channel) | Action::Abort(channel) => {
                self.channels.get(usize::from(channel.0)).map(|channel| channel.events.end)
            }
            _ => None,
        })
    }

    fn follow(
        &self,
        from: usize,
        rule: &Transition,
        direction: Direction,
        reached: &mut [bool],
        found: &mut Vec<EventId>,
    ) {
        match &rule.target {
            Target::Stay => self.go_on(from, direction, reached, found),
            Target::State(state) => self.go_on(usize::from(state.0), direction, reached, found),
            Target::Fail(_) | Target::Finish(_) => {}
        }
    }

    /// What a direction can say in a state, and in those to which that leads.
    fn go_on(&self, number: usize, direction: Direction, reached: &mut [bool], found: &mut Vec<EventId>) {
        let Some(state) = self.machine.states.get(number) else { return };
        match reached.get_mut(number) {
            Some(seen) if !*seen => *seen = true,
            _ => return,
        }
        let says = self.says(state, direction);
        for rule in &state.rules {
            let leads = rule.triggers.iter().any(|trigger| match trigger {
                Trigger::Event(event) => says.contains(event),
                Trigger::Enter => true,
                _ => false,
            });
            if leads {
                found.extend(self.ended_by(rule));
                self.follow(number, rule, direction, reached, found);
            }
        }
        found.extend(says);
    }

    /// The records and streams that a direction can say in a state.
    fn says(&self, state: &State, direction: Direction) -> Vec<EventId> {
        let mut said = Vec::new();
        if let Some(expect) = state.expects.get(direction.index()) {
            self.said(expect, &mut said);
        }
        let closes: Vec<EventId> = state
            .rules
            .iter()
            .filter(|rule| rule.triggers.iter().any(|one| matches!(one, Trigger::Event(event) if said.contains(event))))
            .flat_map(|rule| self.ended_by(rule))
            .collect();
        said.extend(closes);
        said
    }

    fn said(&self, expect: &Expect, said: &mut Vec<EventId>) {
        let of_stream = |events: &StreamEvents| [events.start, events.chunk, events.end];
        match expect {
            Expect::Nothing | Expect::Waits { .. } => {}
            Expect::Record(expected) => said.push(expected.event),
            Expect::Stream(stream) => {
                let Some(stream) = self.streams.get(usize::from(stream.0)) else { return };
                said.extend(of_stream(&stream.events));
                let channel = stream.channel.and_then(|channel| self.channels.get(usize::from(channel.0)));
                said.extend(channel.map(|channel| [channel.events.start, channel.events.chunk]).into_iter().flatten());
            }
            Expect::Then(expected, then) => {
                said.push(expected.event);
                self.said(then, said);
            }
            Expect::Choose { arms, otherwise, .. } => {
                arms.iter().for_each(|(_, expect)| self.said(expect, said));
                self.said(otherwise, said);
            }
            Expect::First { arms, otherwise } => {
                arms.iter().for_each(|(_, expect)| self.said(expect, said));
                self.said(otherwise, said);
            }
        }
    }
}
