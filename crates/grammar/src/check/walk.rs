//! Ways through the model that several checks take.

use portcullis_lang::{EventId, Formula, Place, Scope, Span};

use crate::model::{
    Action, End, Expect, Expected, Item, Protocol, Shape, Source, State, Stream, StreamId, Target, Template,
    TemplatePart,
};

/// The parts of an item that are items themselves, each way through it by itself.
pub(super) fn parts(item: &Item) -> Vec<&[Item]> {
    match item {
        Item::Optional { items, .. }
        | Item::When { items, .. }
        | Item::Window { items, .. }
        | Item::Line { items, .. } => vec![items],
        Item::Switch { arms, otherwise, .. } => {
            arms.iter().map(|arm| arm.items.as_slice()).chain(otherwise.as_deref()).collect()
        }
        Item::Choose { arms, otherwise, .. } => {
            arms.iter().map(|arm| arm.items.as_slice()).chain(otherwise.as_deref()).collect()
        }
        Item::Literal(_)
        | Item::Field(_)
        | Item::Let { .. }
        | Item::Check { .. }
        | Item::Many(_)
        | Item::Value { .. }
        | Item::Follow { .. }
        | Item::Fail { .. } => Vec::new(),
    }
}

/// Visits all items, those within others too, in wire order.
pub(super) fn each_item<'a>(items: &'a [Item], visit: &mut dyn FnMut(&'a Item)) {
    for item in items {
        visit(item);
        for part in parts(item) {
            each_item(part, visit);
        }
    }
}

/// Where an item stands, as far as the model says.
pub(super) fn span(item: &Item) -> Option<Span> {
    match item {
        Item::Field(field) => Some(field.span),
        Item::Many(many) => Some(many.span),
        Item::Let { span, .. }
        | Item::Check { span, .. }
        | Item::Switch { span, .. }
        | Item::Choose { span, .. }
        | Item::Window { span, .. }
        | Item::Line { span, .. }
        | Item::Value { span, .. }
        | Item::Follow { span, .. }
        | Item::Fail { span, .. } => Some(*span),
        Item::Optional { items, .. } | Item::When { items, .. } => span_of(items),
        Item::Literal(_) => None,
    }
}

/// Where the first of some items stands that says so.
pub(super) fn span_of(items: &[Item]) -> Option<Span> {
    items.iter().find_map(span)
}

/// The formulas of an item itself, without those of its parts.
pub(super) fn formulas(item: &Item) -> Vec<&Formula> {
    match item {
        Item::Let { value, .. } => vec![value],
        Item::Check { test, .. } | Item::When { test, .. } => vec![test],
        Item::Switch { on, .. } => vec![on],
        Item::Window { size, .. } => vec![size],
        Item::Follow { offset, .. } => vec![offset],
        Item::Field(field) => match &field.shape {
            Shape::Bytes(size) => vec![size],
            _ => Vec::new(),
        },
        Item::Many(many) => match &many.end {
            End::Count(formula) | End::Until(formula) | End::While(formula) => vec![formula],
            _ => Vec::new(),
        },
        Item::Fail { text, .. } => template_values(text),
        Item::Literal(_) | Item::Optional { .. } | Item::Choose { .. } | Item::Line { .. } | Item::Value { .. } => {
            Vec::new()
        }
    }
}

/// The formulas in a template.
pub(super) fn template_values(template: &Template) -> Vec<&Formula> {
    template
        .parts
        .iter()
        .filter_map(|part| match part {
            TemplatePart::Value(formula) => Some(formula),
            TemplatePart::Text(_) => None,
        })
        .collect()
}

/// What a formula reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// A place.
    Place(Place),
    /// A slot of the elements of the list in a place.
    Element(Place, u16),
}

/// Visits everything that a formula reads.
pub(super) fn each_read(formula: &Formula, visit: &mut dyn FnMut(Read)) {
    match formula {
        Formula::Number(_) | Formula::Bytes(_) | Formula::Boolean(_) | Formula::Address(_) => {}
        Formula::Place(place) | Formula::Count(place) => visit(Read::Place(*place)),
        Formula::Not(part)
        | Formula::IsEmpty(part)
        | Formula::Length(part)
        | Formula::Trimmed(part)
        | Formula::Lowercase(part)
        | Formula::Uppercase(part)
        | Formula::Decimal(part) => each_read(part, visit),
        Formula::And(parts) | Formula::Or(parts) | Formula::Concatenate(parts) => {
            parts.iter().for_each(|part| each_read(part, visit));
        }
        Formula::Compare { left, right, .. } | Formula::Arithmetic { left, right, .. } => {
            each_read(left, visit);
            each_read(right, visit);
        }
        Formula::In { value, .. } | Formula::InList { value, .. } | Formula::InNetworks { value, .. } => {
            each_read(value, visit);
        }
        Formula::Finds { text, .. } | Formula::Matches { text, .. } | Formula::Split { text, .. } => {
            each_read(text, visit);
        }
        Formula::Every { list, test } | Formula::Any { list, test } => {
            visit(Read::Place(*list));
            each_read(test, &mut |read| match read {
                Read::Place(place) if place.scope == Scope::Element => visit(Read::Element(*list, place.slot)),
                read => visit(read),
            });
        }
        Formula::Edge { list, slot, .. } | Formula::Join { list, slot, .. } => {
            visit(Read::Place(*list));
            visit(Read::Element(*list, *slot));
        }
    }
}

/// The slots that an item fills by itself, without its parts.
pub(super) fn fills(item: &Item) -> Vec<u16> {
    match item {
        Item::Field(field) => field.slot.into_iter().collect(),
        Item::Many(many) => vec![many.slot],
        Item::Let { slot, .. }
        | Item::Optional { slot, .. }
        | Item::When { slot, .. }
        | Item::Value { slot, .. }
        | Item::Follow { slot, .. } => vec![*slot],
        Item::Choose { arms, .. } => arms.iter().map(|arm| arm.slot).collect(),
        _ => Vec::new(),
    }
}

/// One thing that a side may say.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Said<'a> {
    /// A record.
    Record(&'a Expected),
    /// A stream.
    Stream(StreamId),
}

/// Visits everything that a side may say in a state.
pub(crate) fn each_said<'a>(expect: &'a Expect, visit: &mut dyn FnMut(Said<'a>)) {
    match expect {
        Expect::Nothing | Expect::Waits { .. } => {}
        Expect::Record(expected) => visit(Said::Record(expected)),
        Expect::Stream(stream) => visit(Said::Stream(*stream)),
        Expect::Then(expected, then) => {
            visit(Said::Record(expected));
            each_said(then, visit);
        }
        Expect::Choose { arms, otherwise, .. } => {
            arms.iter().for_each(|(_, expect)| each_said(expect, visit));
            each_said(otherwise, visit);
        }
        Expect::First { arms, otherwise } => {
            arms.iter().for_each(|(_, expect)| each_said(expect, visit));
            each_said(otherwise, visit);
        }
    }
}

/// Whether a side may say anything in a state (waiting is not saying).
pub(super) fn may_speak(expect: &Expect) -> bool {
    let mut any = false;
    each_said(expect, &mut |_| any = true);
    any
}

/// The stream of a number.
pub(crate) fn stream(protocol: &Protocol, id: StreamId) -> Option<&Stream> {
    protocol.streams.get(usize::from(id.0))
}

/// The events that the rules of a state can be about: records and ends of streams, and of the channels that they feed.
pub(super) fn events(protocol: &Protocol, state: &State) -> Vec<EventId> {
    let mut events = Vec::new();
    for expect in &state.expects {
        each_said(expect, &mut |said| match said {
            Said::Record(expected) => events.push(expected.event),
            Said::Stream(id) => {
                let Some(stream) = stream(protocol, id) else { return };
                let channel = stream.channel.and_then(|id| protocol.channels.get(usize::from(id.0)));
                for fed in std::iter::once(stream.events).chain(channel.map(|channel| channel.events)) {
                    events.extend([fed.start, fed.chunk, fed.end]);
                }
            }
        });
    }
    // A channel is closed by a rule, perhaps long after the state that fed it.
    for rule in &state.rules {
        for action in &rule.actions {
            if let Action::Close(id) | Action::Abort(id) = action {
                let channel = protocol.channels.get(usize::from(id.0));
                events.extend(channel.map(|channel| channel.events.end));
            }
        }
    }
    events
}

/// The name of an event.
pub(crate) fn event_name(protocol: &Protocol, event: EventId) -> &str {
    protocol.scheme.events.get(usize::from(event.0)).map_or("an event", |event| event.name.as_str())
}

/// The formulas of a stream's source.
pub(super) fn source_formula(stream: &Stream) -> Option<&Formula> {
    match &stream.source {
        Source::Bytes(size) => Some(size),
        _ => None,
    }
}

/// Whether a rule of the machine leaves the state.
pub(super) fn leaves(target: &Target, state: usize) -> bool {
    match target {
        Target::Stay => false,
        Target::State(id) => usize::from(id.0) != state,
        Target::Fail(_) | Target::Finish(_) => true,
    }
}

/// Whether a state is one of the two that every machine ends in.
pub(super) fn is_last(protocol: &Protocol, state: usize) -> bool {
    state.saturating_add(2) >= protocol.machine.states.len()
}
