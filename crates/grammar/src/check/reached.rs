//! C2: a rule of the machine that never applies, because earlier ones take all that it waits for.

use std::collections::HashMap;

use portcullis_lang::{Code, Diagnostic, Diagnostics, EventId, Formula, Place, Scope, Span};

use crate::limits::MAX_COMPARISONS;
use crate::model::{Item, Protocol, State, Transition, Trigger};
use crate::show::{self, Names};

use super::guards::Facts;
use super::walk;

/// Why a rule does not apply in a state.
enum Never<'a> {
    /// Its guard cannot hold.
    Contradiction,
    /// These rules before it take everything.
    Taken(Vec<&'a Transition>, Trigger),
    /// The state does not expect the record.
    Unexpected(EventId),
}

pub(super) fn check(protocol: &Protocol, diagnostics: &mut Diagnostics) {
    let states = &protocol.machine.states;
    let expected: Vec<Vec<EventId>> = states.iter().map(|state| walk::events(protocol, state)).collect();
    // A rule of `any state` stands in many states, and may be overruled in all but one.
    let mut places: Vec<Vec<(usize, usize)>> = Vec::new();
    let mut known: HashMap<Span, usize> = HashMap::new();
    for (at, state) in states.iter().enumerate() {
        for (nth, rule) in state.rules.iter().enumerate() {
            let index = *known.entry(rule.span).or_insert(places.len());
            match places.get_mut(index) {
                Some(place) => place.push((at, nth)),
                None => places.push(vec![(at, nth)]),
            }
        }
    }
    let mut budget = MAX_COMPARISONS;
    for rule in places {
        let mut first = None;
        let applies = rule.into_iter().any(|(at, nth)| {
            let (Some(state), Some(expected)) = (states.get(at), expected.get(at)) else { return true };
            let Some(rule) = state.rules.get(nth) else { return true };
            match never(protocol, state, expected, nth, rule, &mut budget) {
                Some(reason) => {
                    first.get_or_insert((state, rule, reason));
                    false
                }
                None => true,
            }
        });
        if let Some((state, rule, reason)) = first.filter(|_| !applies) {
            diagnostics.push(message(protocol, state, rule, reason));
        }
    }
}

/// Why the rule at a place of a state never applies, if it does not.
fn never<'a>(
    protocol: &'a Protocol,
    state: &'a State,
    expected: &[EventId],
    at: usize,
    rule: &Transition,
    budget: &mut usize,
) -> Option<Never<'a>> {
    let mut reason = None;
    for trigger in &rule.triggers {
        if let Trigger::Event(event) = trigger
            && !expected.contains(event)
        {
            reason.get_or_insert(Never::Unexpected(*event));
            continue;
        }
        let mut facts = facts(protocol, trigger);
        if let Some(guard) = &rule.when {
            facts.add(guard, true);
        }
        if !facts.possible() {
            reason = Some(Never::Contradiction);
            continue;
        }
        let mut takers = Vec::new();
        for earlier in state.rules.iter().take(at).filter(|earlier| earlier.triggers.contains(trigger)) {
            *budget = budget.checked_sub(1)?;
            match &earlier.when {
                Some(guard) => facts.add(guard, false),
                None => facts.add(&Formula::Boolean(false), true),
            }
            takers.push(earlier);
            if !facts.possible() {
                break;
            }
        }
        if facts.possible() {
            return None;
        }
        reason = Some(Never::Taken(needed(protocol, trigger, rule, &takers), *trigger));
    }
    reason
}

/// Those of the earlier rules that it takes to leave nothing; one alone, if there is such a one.
fn needed<'a>(
    protocol: &Protocol,
    trigger: &Trigger,
    rule: &Transition,
    takers: &[&'a Transition],
) -> Vec<&'a Transition> {
    for taker in takers {
        let mut alone = facts(protocol, trigger);
        if let Some(guard) = &rule.when {
            alone.add(guard, true);
        }
        match &taker.when {
            Some(guard) => alone.add(guard, false),
            None => return vec![taker],
        }
        if !alone.possible() {
            return vec![taker];
        }
    }
    takers.to_vec()
}

/// What is known of the values that a guard reads.
fn facts<'a>(protocol: &'a Protocol, trigger: &Trigger) -> Facts<'a> {
    let event = match trigger {
        Trigger::Event(event) => Some(*event),
        _ => None,
    };
    let facts = Facts::new(Names::of_event(protocol, event));
    match event {
        Some(event) => facts.present(surely(protocol, event)),
        None => facts,
    }
}

/// The fields that every record of an event has.
fn surely(protocol: &Protocol, event: EventId) -> Vec<Place> {
    let mut places = Vec::new();
    for state in &protocol.machine.states {
        for expect in &state.expects {
            walk::each_said(expect, &mut |said| {
                if let walk::Said::Record(expected) = said {
                    if expected.event != event || !places.is_empty() {
                        return;
                    }
                    let items = protocol.rules.get(usize::from(expected.rule.0)).map(|rule| rule.items.as_slice());
                    places.extend(items.unwrap_or_default().iter().filter_map(|item| match item {
                        Item::Field(field) => field.slot.map(|slot| Place { scope: Scope::Record, slot }),
                        _ => None,
                    }));
                }
            });
        }
    }
    places
}

fn message(protocol: &Protocol, state: &State, rule: &Transition, reason: Never<'_>) -> Diagnostic {
    let diagnostic = Diagnostic::error(Code::C2, "this rule never applies");
    match reason {
        Never::Contradiction => {
            let event = rule.triggers.iter().find_map(|trigger| match trigger {
                Trigger::Event(event) => Some(*event),
                _ => None,
            });
            let names = Names::of_event(protocol, event);
            let guard = rule.when.as_ref().map(|guard| show::formula(guard, &names)).unwrap_or_default();
            diagnostic
                .primary(rule.span, format!("`{guard}` cannot be true"))
                .note("No value of its fields satisfies the whole guard: its parts exclude each other, or a field never has such a value.")
                .help("say `or` where one of several is meant, or write one rule for each of them")
        }
        Never::Taken(takers, trigger) => {
            let what = trigger_name(protocol, &trigger);
            let mut diagnostic = diagnostic.primary(rule.span, "");
            let alone = takers.len() == 1;
            for taker in &takers {
                let text = match (&taker.when, alone) {
                    (None, _) => format!("takes every {what}"),
                    (Some(_), true) => "takes all that this rule could take".to_owned(),
                    (Some(guard), false) => {
                        format!("takes {what} when {}", show::formula(guard, &names_of(protocol, &trigger)))
                    }
                };
                diagnostic = diagnostic.secondary(taker.span, text);
            }
            let help = if alone && takers.iter().all(|taker| taker.when.is_none()) && rule.when.is_some() {
                "rules are read from top to bottom, the first that fits is taken: put the guarded one first"
            } else {
                "rules are read from top to bottom, the first that fits is taken: put the more special one first, or leave this one out"
            };
            let inside = state.span.start <= rule.span.start;
            let note = if inside {
                format!("In state `{}` nothing is left for it.", state.name)
            } else {
                "In no state anything is left for it.".to_owned()
            };
            diagnostic.note(note).help(help)
        }
        Never::Unexpected(event) => {
            let name = walk::event_name(protocol, event);
            diagnostic
                .primary(rule.span, format!("waits for `{name}`"))
                .secondary(state.span, format!("no side says `{name}` in this state"))
                .help(format!("add `up {name}` or `down {name}` to the state, or leave the rule out"))
        }
    }
}

fn names_of<'a>(protocol: &'a Protocol, trigger: &Trigger) -> Names<'a> {
    Names::of_event(
        protocol,
        match trigger {
            Trigger::Event(event) => Some(*event),
            _ => None,
        },
    )
}

/// What a rule waits for, as it is written.
pub(crate) fn trigger_name<'a>(protocol: &'a Protocol, trigger: &Trigger) -> &'a str {
    match trigger {
        Trigger::Event(event) => walk::event_name(protocol, *event),
        Trigger::ParseError => "parse_error",
        Trigger::MissingGrammar => "missing_grammar",
        Trigger::Gap => "gap",
        Trigger::Overrun => "overrun",
        Trigger::Enter => "enter",
        Trigger::Leave => "leave",
    }
}
