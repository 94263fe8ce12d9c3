//! What policies can do to a conversation beside stopping it: say no to the client, and change records.

use portcullis_lang::scheme::{ListMark, Refusal, Writable, WritableList};
use portcullis_lang::{AnomalyId, Code, Diagnostic, EventId, EventKind, Formula, Scope, StateId};

use crate::model::{
    Action, Conversion, End, Field, Item, Machine, Rule, RuleId, RuleKind, Shape, Stream, Target, Trigger,
};

use super::Lowering;
use super::events::Events;

impl Lowering<'_> {
    /// What `refuse with RECORD LEAST..MOST` says.
    pub(super) fn refusal(&mut self, events: &Events, machine: &Machine) -> Option<Refusal> {
        let item = self.refuse?;
        let found = events.find(&item.record.text).filter(|id| events.kind(*id) == Some(EventKind::Record));
        if found.is_none() {
            let known: Vec<String> = events.records().map(str::to_owned).collect();
            self.unknown(item.record.span, "record", &item.record.text, known.iter().map(String::as_str));
        }
        let least = self.constant(&item.least, 999)?;
        let most = self.constant(&item.most, 999)?;
        if least < 100 || least > most {
            self.diagnostics.push(
                Diagnostic::error(Code::C11, "these are no codes of a refusal")
                    .primary(item.least.span.to(item.most.span), "three digits each, and the smaller one first")
                    .help("for example `400..599`"),
            );
            return None;
        }
        found?;
        let (not_in, not_on) = taken_over(machine, events);
        let code = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
        Some(Refusal { record: item.record.text.clone(), least: code(least), most: code(most), not_in, not_on })
    }

    /// What can be changed of the record of each event.
    pub(super) fn writable(&self, events: &Events, streams: &[Stream]) -> Vec<Writable> {
        let of = |id: EventId| {
            let mut writable = Writable { stream: self.line_stream(id, streams), ..Writable::default() };
            if let Some(rule) = events.rule(id).and_then(|rule| self.lowered(rule)) {
                writable.line = rule.kind == RuleKind::Line;
                self.collect(&rule.items, &mut writable);
            }
            writable.slots.sort_unstable();
            writable.slots.dedup();
            writable
        };
        events.ids().map(of).collect()
    }

    fn collect(&self, items: &[Item], writable: &mut Writable) {
        for item in items {
            match item {
                Item::Field(field) => writable.slots.extend(octets_slot(field)),
                Item::Optional { items, .. }
                | Item::When { items, .. }
                | Item::Window { items, .. }
                | Item::Line { items, .. } => self.collect(items, writable),
                Item::Switch { arms, otherwise, .. } => {
                    arms.iter().for_each(|arm| self.collect(&arm.items, writable));
                    otherwise.iter().for_each(|items| self.collect(items, writable));
                }
                Item::Choose { arms, otherwise, .. } => {
                    arms.iter().for_each(|arm| self.collect(&arm.items, writable));
                    otherwise.iter().for_each(|items| self.collect(items, writable));
                }
                Item::Many(many) => {
                    let mark = match &many.end {
                        End::Window => None,
                        End::While(Formula::Place(place)) if place.scope == Scope::Element => {
                            let element = self.lowered(many.element);
                            match element.and_then(|rule| mark_in(&rule.items, place.slot)) {
                                Some(mark) => Some(mark),
                                None => continue,
                            }
                        }
                        // The number of elements, or what stands behind them, would have to change too.
                        _ => continue,
                    };
                    writable.lists.push(WritableList { slot: many.slot, mark, newline: self.newline_of(many.element) });
                }
                _ => {}
            }
        }
    }

    /// What ends an element that is a line; nothing if it is none.
    fn newline_of(&self, element: RuleId) -> &'static [u8] {
        match self.lowered(element) {
            Some(rule) if is_line(rule) && self.newline.crlf => b"\r\n",
            Some(rule) if is_line(rule) => b"\n",
            _ => b"",
        }
    }

    pub(super) fn lowered(&self, id: RuleId) -> Option<&Rule> {
        self.rules.get(usize::from(id.0)).and_then(|slot| slot.rule.as_ref())
    }
}

/// The slot of a field that is octets as they stand on the wire, whose number nothing else says.
fn octets_slot(field: &Field) -> Option<u16> {
    let as_it_is = field.convert == Conversion::None;
    let delimited =
        matches!(field.shape, Shape::Rest | Shape::Class { .. } | Shape::Until { .. } | Shape::OneOf { .. });
    field.slot.filter(|_| as_it_is && delimited)
}

fn is_line(rule: &Rule) -> bool {
    rule.kind == RuleKind::Line || matches!(rule.items.as_slice(), [Item::Line { .. }])
}

/// The mark in an element that says that another one follows: an optional octet right behind a field and before blanks.
fn mark_in(items: &[Item], slot: u16) -> Option<ListMark> {
    let items: Vec<&Item> =
        items.iter().filter(|item| !matches!(item, Item::Let { .. } | Item::Check { .. })).collect();
    // The items of an element that is a line lie inside of it.
    if let [Item::Line { items, .. }] = items.as_slice() {
        return mark_in(items, slot);
    }
    items.windows(3).find_map(|three| match three {
        [
            Item::Field(Field { slot: Some(behind), .. }),
            Item::Optional { slot: mark, items, .. },
            Item::Field(Field { shape: Shape::Blanks, .. }),
        ] if *mark == slot => match items.as_slice() {
            [Item::Literal(literal)] => match literal.bytes.as_ref() {
                [octet] => Some(ListMark { behind: *behind, octet: *octet }),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    })
}

/// The states in which another protocol may have taken over, and the events by which it does or that tell of it.
fn taken_over(machine: &Machine, events: &Events) -> (Vec<StateId>, Vec<EventId>) {
    let (mut states, mut on): (Vec<StateId>, Vec<EventId>) = (Vec::new(), Vec::new());
    for (id, state) in (0..).map(StateId).zip(&machine.states) {
        for transition in &state.rules {
            if !matches!(transition.target, Target::Finish(Some(_))) {
                continue;
            }
            if !states.contains(&id) {
                states.push(id);
            }
            on.extend(transition.triggers.iter().filter_map(|trigger| match trigger {
                Trigger::Event(event) => Some(*event),
                _ => None,
            }));
        }
    }
    let anomalies = |taken: bool| -> Vec<AnomalyId> {
        let states = (0..).map(StateId).zip(&machine.states).filter(|(id, _)| states.contains(id) == taken);
        let actions = states.flat_map(|(_, state)| &state.rules).flat_map(|rule| &rule.actions);
        let named = actions.filter_map(|action| match action {
            Action::Anomaly(anomaly) | Action::Should { anomaly, .. } => Some(*anomaly),
            _ => None,
        });
        named.collect()
    };
    let elsewhere = anomalies(false);
    let only_there = anomalies(true).into_iter().filter(|anomaly| !elsewhere.contains(anomaly));
    on.extend(only_there.map(|anomaly| events.anomaly_event(anomaly)));
    on.sort_unstable();
    on.dedup();
    (states, on)
}
