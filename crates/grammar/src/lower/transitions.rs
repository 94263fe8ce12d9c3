//! Rules of the machine: `on EVENT when TEST { ACTIONS } -> TARGET`.

use std::sync::Arc;

use portcullis_lang::typing::{Absence, Checker, Facts, Piece, Subject};
use portcullis_lang::{Arithmetic, Code, Diagnostic, EventId, EventKind, Formula, Name, Place, StateId, Type, suggest};

use crate::model::{Action, State, Target, Template, TemplatePart, Transition, Trigger};
use crate::syntax::tree::{self, ActionKind, CheckKind, TargetKind};

use super::Lowering;
use super::events::Events;
use super::flow::{ChannelEntry, Flow, channel};
use super::machine::{Known, MachineView};
use super::names::Summary;

/// What the rules of a state see.
pub(super) struct Scope<'s> {
    pub(super) flow: &'s Flow,
    pub(super) channels: &'s [ChannelEntry],
    pub(super) events: &'s Events,
    pub(super) names: &'s [String],
    /// The records and streams that the state expects, and what is known where they are read.
    pub(super) known: &'s Known,
    pub(super) questions: &'s [String],
}

/// What every event of a machine tells.
const ALWAYS: [&str; 4] = ["state", "offset", "up.waiting", "down.waiting"];
/// What events of something that was read tell beside it.
const OF_DATA: [&str; 7] = ["state", "offset", "up.waiting", "down.waiting", "size", "side", "record"];
/// What the end of a stream tells.
const OF_STREAM: [&str; 8] = ["state", "offset", "up.waiting", "down.waiting", "size", "side", "record", "complete"];
/// What events of something that went wrong tell; `error` is another name for `reason`.
const OF_FAULT: [&str; 9] =
    ["state", "offset", "up.waiting", "down.waiting", "size", "side", "record", "reason", "error"];

impl<'a> Lowering<'a> {
    /// Lowers a rule into a state. `own`: it is the state's own, so its events have to be those of the state.
    pub(super) fn rule(&mut self, rule: &'a tree::Rule, scope: &Scope<'_>, own: bool, state: &mut State) {
        let mut triggers: Vec<Trigger> = Vec::new();
        for event in &rule.events {
            let name = event.name.to_string();
            if name == "timeout" {
                self.timeout(rule, event, scope, state);
                continue;
            }
            if let Some(duration) = &event.duration {
                self.without_effect(duration.span, "only a timeout has a time", "this event comes when it comes");
            }
            if let Some(trigger) = self.trigger(&event.name, scope, own, &state.name) {
                triggers.push(trigger);
            }
        }
        if !rule.resync.is_empty() {
            self.resync(rule, &triggers, scope, own, state);
        }
        let nothing_else = rule.when.is_none() && rule.actions.is_empty() && rule.target.is_none();
        if triggers.is_empty() || (nothing_else && !rule.resync.is_empty()) {
            return;
        }
        if nothing_else {
            self.diagnostics.push(
                Diagnostic::warning(Code::C21, "this rule does nothing")
                    .primary(rule.span, "no action, and the state stays")
                    .note("An event without a rule keeps the state anyway. Only a rule with a guard behind it is kept from applying."),
            );
        }
        // Guards and texts read the slots of one record: each event has a rule of its own.
        let plain = rule.when.is_none()
            && rule.actions.iter().all(|action| {
                matches!(action.kind, ActionKind::Anomaly(_) | ActionKind::Close(_) | ActionKind::Abort(_))
            })
            && !matches!(rule.target.as_ref().map(|target| &target.kind), Some(TargetKind::Fail(Some(_))));
        let groups: Vec<Vec<Trigger>> =
            if plain { vec![triggers] } else { triggers.into_iter().map(|trigger| vec![trigger]).collect() };
        for group in groups {
            if let Some(transition) = self.transition(rule, group, scope) {
                state.rules.push(transition);
            }
        }
    }

    /// The rules of `fail` and `finish`: only what happens when they are entered.
    pub(super) fn last_rules(
        &mut self,
        state: &'a tree::State,
        flow: &Flow,
        channels: &[ChannelEntry],
        events: &Events,
        names: &[String],
    ) -> Vec<Transition> {
        let known = Known::new();
        let scope = Scope { flow, channels, events, names, known: &known, questions: &[] };
        let mut rules = Vec::new();
        for rule in &state.rules {
            let enters = rule.events.iter().all(|event| event.name.to_string() == "enter");
            if !enters || rule.target.is_some() || !rule.resync.is_empty() {
                self.without_effect(
                    rule.span,
                    format!("nothing happens any more in `{}`", state.name),
                    "only `on enter { ... }`, without a target, can stand here",
                );
                continue;
            }
            rules.extend(self.transition(rule, vec![Trigger::Enter], &scope));
        }
        rules
    }

    fn trigger(
        &mut self,
        path: &'a portcullis_lang::Path,
        scope: &Scope<'_>,
        own: bool,
        state: &str,
    ) -> Option<Trigger> {
        let name = path.to_string();
        let special = match name.as_str() {
            "parse_error" => Some(Trigger::ParseError),
            "missing_grammar" => Some(Trigger::MissingGrammar),
            "gap" => Some(Trigger::Gap),
            "overrun" => Some(Trigger::Overrun),
            "enter" => Some(Trigger::Enter),
            "leave" => Some(Trigger::Leave),
            _ => None,
        };
        if special.is_some() {
            return special;
        }
        if matches!(name.as_str(), "fail" | "finish") {
            self.without_effect(path.span, format!("nothing follows `{name}`"), "the machine has ended by then");
            return None;
        }
        if let Some(event) = scope.events.find(&name) {
            let kind = scope.events.event(event).map(|event| event.kind);
            if scope.known.iter().any(|(known, _)| *known == event) {
                return Some(Trigger::Event(event));
            }
            if matches!(kind, Some(EventKind::StreamStart | EventKind::StreamChunk))
                || scope.channels.iter().any(|channel| channel.model.name == name)
            {
                self.not_supported(path.span, "a rule of the machine for anything but the end of a stream");
                return None;
            }
            if !own {
                // `any state`: applies where the record is expected.
                return None;
            }
        }
        let expected: Vec<&str> = scope
            .known
            .iter()
            .filter_map(|(event, _)| scope.events.event(*event).map(|event| event.name.as_str()))
            .collect();
        if own || scope.events.find(&name).is_none() {
            let near = suggest(
                &name,
                expected.iter().copied().chain([
                    "parse_error",
                    "missing_grammar",
                    "gap",
                    "overrun",
                    "timeout",
                    "enter",
                    "leave",
                ]),
            );
            // "error" is too far from "parse_error" for the eye of the machine.
            let near = if name == "error" { Some("parse_error") } else { near };
            let title = match own {
                true => format!("state `{state}` knows no event `{name}`"),
                false => format!("no state knows an event `{name}`"),
            };
            let mut records = expected.join(", ");
            if records.is_empty() {
                records = "nothing".into();
            }
            self.diagnostics.push(
                Diagnostic::error(Code::C1, title)
                    .primary(path.span, "")
                    .suggest(near)
                    .help(format!(
                        "the events of a state are: parse_error, missing_grammar, gap, overrun, timeout, enter, leave, and what it expects: {records}"
                    )),
            );
        }
        None
    }

    fn timeout(&mut self, rule: &'a tree::Rule, event: &'a tree::RuleEvent, scope: &Scope<'_>, state: &mut State) {
        let Some(duration) = &event.duration else {
            self.diagnostics.push(
                Diagnostic::error(Code::C11, "how long is this timeout?")
                    .primary(event.name.span, "needs a time")
                    .help("write `on timeout 5 min -> finish`"),
            );
            return;
        };
        let Some(nanoseconds) = self.duration(duration) else { return };
        if let Some(test) = &rule.when {
            self.not_supported(test.span, "a guard of a timeout");
        }
        if let Some(action) = rule.actions.first() {
            self.not_supported(action.span, "an action of a timeout");
        }
        if nanoseconds == 0 {
            self.without_effect(duration.span, "a timeout of nothing", "it would be over before it began");
        }
        let Some(target) = self.target(
            rule,
            &MachineView { record: None, flow: scope.flow, event: Some(&ALWAYS), fold: self.fold, questions: &[] },
            &Facts::new(),
            scope,
        ) else {
            return;
        };
        if matches!(target, Target::Stay) {
            self.without_effect(rule.span, "this timeout does nothing", "say where it leads: `-> finish`");
            return;
        }
        // The state's own timeout comes first; that of `any state` is for states without one.
        if state.timeout.is_none() {
            state.timeout = Some((nanoseconds, target));
        }
    }

    fn resync(&mut self, rule: &'a tree::Rule, triggers: &[Trigger], scope: &Scope<'_>, own: bool, state: &mut State) {
        if triggers != [Trigger::Gap] {
            let span = rule.resync.first().map_or(rule.span, |path| path.span);
            self.without_effect(span, "only a gap is followed by `resync`", "write `on gap resync at RECORD`");
            return;
        }
        if !own && !state.resync.is_empty() {
            return;
        }
        for path in &rule.resync {
            let name = path.to_string();
            let record = scope.events.find(&name).filter(|event| scope.events.rule(*event).is_some());
            match record {
                Some(event) if !state.resync.contains(&event) => state.resync.push(event),
                Some(_) => {}
                None => self.unknown(path.span, "record", &name, scope.events.names()),
            }
        }
    }

    fn transition(&mut self, rule: &'a tree::Rule, triggers: Vec<Trigger>, scope: &Scope<'_>) -> Option<Transition> {
        let mut facts = Facts::new();
        let mut record: Option<Arc<Summary>> = None;
        let mut told: &[&str] = &ALWAYS;
        if let [only] = triggers.as_slice() {
            match only {
                Trigger::Event(event) => {
                    told = &OF_STREAM;
                    if let Some(rule) = scope.events.rule(*event) {
                        record = self.summary(rule).cloned();
                        told = &OF_DATA;
                    }
                    facts = self.known_of(*event, scope);
                    if let Some(record) = &record {
                        facts = facts.both(&record.facts);
                    }
                }
                Trigger::ParseError | Trigger::MissingGrammar | Trigger::Gap | Trigger::Overrun => told = &OF_FAULT,
                Trigger::Enter | Trigger::Leave => {}
            }
        }
        let view = MachineView {
            record: record.as_deref(),
            flow: scope.flow,
            event: Some(told),
            fold: self.fold,
            questions: scope.questions,
        };
        let mut failed = false;
        let when = match &rule.when {
            Some(test) => {
                let formula = Checker::new(&view, self.diagnostics).condition(test, &mut facts);
                failed |= formula.is_none();
                formula
            }
            None => None,
        };
        let mut actions = Vec::new();
        for action in &rule.actions {
            match self.action(action, &view, &mut facts, scope) {
                Some(action) => actions.push(action),
                None => failed = true,
            }
        }
        let target = self.target(rule, &view, &facts, scope)?;
        (!failed).then_some(Transition { triggers, when, actions, target, span: rule.span })
    }

    fn known_of(&self, event: EventId, scope: &Scope<'_>) -> Facts {
        scope.known.iter().find(|(known, _)| *known == event).map(|(_, facts)| facts.clone()).unwrap_or_default()
    }

    fn action(
        &mut self,
        action: &'a tree::Action,
        view: &MachineView<'_>,
        facts: &mut Facts,
        scope: &Scope<'_>,
    ) -> Option<Action> {
        match &action.kind {
            ActionKind::Anomaly(name) => Some(Action::Anomaly(self.anomaly(&name.text, name.span))),
            ActionKind::Close(path) => self.channel_named(path, scope).map(Action::Close),
            ActionKind::Abort(path) => self.channel_named(path, scope).map(Action::Abort),
            ActionKind::Check(check) => {
                let test = Checker::new(view, self.diagnostics).condition(&check.test, &mut facts.clone());
                match &check.kind {
                    CheckKind::Should(Some(name)) => {
                        Some(Action::Should { test: test?, anomaly: self.anomaly(&name.text, name.span) })
                    }
                    CheckKind::Should(None) => {
                        self.diagnostics.push(
                            Diagnostic::error(Code::C1, "this anomaly has no name")
                                .primary(check.span, "")
                                .help("write `should ... as NAME`"),
                        );
                        None
                    }
                    CheckKind::Must => {
                        self.diagnostics.push(
                            Diagnostic::error(Code::S6, "`must` in a rule is not supported yet")
                                .primary(check.span, "here the record has been read already")
                                .help("write a rule before this one: `on ... when not (...) -> fail \"why\"`"),
                        );
                        None
                    }
                }
            }
            ActionKind::Expect { .. } => {
                self.not_supported(action.span, "expecting another connection");
                None
            }
            ActionKind::Set(name, value) => self.set(name, value, view, facts, scope),
        }
    }

    fn set(
        &mut self,
        name: &'a Name,
        value: &'a portcullis_lang::Expression,
        view: &MachineView<'_>,
        facts: &mut Facts,
        scope: &Scope<'_>,
    ) -> Option<Action> {
        let Some(entry) = scope.flow.variable(&name.text) else {
            let variables = scope.flow.entries.iter().filter(|entry| scope.flow.variable(&entry.info.path).is_some());
            let known: Vec<&str> = variables.map(|entry| entry.info.path.as_str()).collect();
            self.unknown(name.span, "number of the flow", &name.text, known);
            return None;
        };
        let Type::Number { max: most, .. } = entry.info.kind else { return None };
        let typed = Checker::new(view, self.diagnostics).value(value, facts, Absence::Refused)?;
        let (min, max) = match typed.kind {
            Type::Number { min, max } => (min, max),
            Type::Boolean => (0, 1),
            Type::Enumeration(_) => (0, i64::MAX),
            ref other => {
                let label = other.describe();
                self.type_error(value.span, format!("`{name}` is a number"), label);
                return None;
            }
        };
        let value_formula = match typed.formula {
            Formula::Boolean(value) => Formula::Number(i64::from(value)),
            formula if matches!(typed.kind, Type::Boolean) => {
                let _ = formula;
                self.not_supported(value.span, "keeping the outcome of a test");
                return None;
            }
            formula => formula,
        };
        if min < 0 {
            self.diagnostics.push(
                Diagnostic::error(Code::C9, format!("`{name}` can become negative"))
                    .primary(value.span, format!("{min} at the least"))
                    .secondary(entry.span, format!("0 to {most}"))
                    .help(format!("guard the rule: `when {name} > 0`")),
            );
            return None;
        }
        if min > most {
            self.diagnostics.push(
                Diagnostic::error(Code::C9, format!("`{name}` cannot hold this"))
                    .primary(value.span, format!("{min} at the least"))
                    .secondary(entry.span, format!("0 to {most}")),
            );
            return None;
        }
        // A counter stops at its greatest value.
        let value = match max > most {
            true => Formula::Arithmetic {
                operator: Arithmetic::Least,
                left: Box::new(value_formula),
                right: Box::new(Formula::Number(most)),
            },
            false => value_formula,
        };
        facts.forget(Subject::Place(Place { scope: portcullis_lang::Scope::Flow, slot: entry.info.slot }));
        Some(Action::Set { slot: entry.info.slot, value })
    }

    fn channel_named(&mut self, path: &'a portcullis_lang::Path, scope: &Scope<'_>) -> Option<crate::model::ChannelId> {
        let name = path.to_string();
        let found = channel(scope.channels, &name);
        if found.is_none() {
            let known: Vec<&str> = scope.channels.iter().map(|channel| channel.model.name.as_str()).collect();
            self.unknown(path.span, "channel", &name, known);
        }
        found
    }

    fn target(
        &mut self,
        rule: &'a tree::Rule,
        view: &MachineView<'_>,
        facts: &Facts,
        scope: &Scope<'_>,
    ) -> Option<Target> {
        let Some(target) = &rule.target else { return Some(Target::Stay) };
        match &target.kind {
            TargetKind::State(name) => {
                let id: StateId = self.state_id(name, scope.names)?;
                let last = scope.names.len().saturating_sub(2);
                Some(match usize::from(id.0) {
                    index if index == last => Target::Fail(Template::default()),
                    index if index == last + 1 => Target::Finish(None),
                    _ => Target::State(id),
                })
            }
            TargetKind::Fail(None) => Some(Target::Fail(Template::default())),
            TargetKind::Fail(Some(reason)) => {
                let pieces = Checker::new(view, self.diagnostics).template(reason, facts)?;
                Some(Target::Fail(template(pieces)))
            }
            TargetKind::Finish { then: None } => Some(Target::Finish(None)),
            TargetKind::Finish { then: Some(then) } => self.then_protocol(then),
        }
    }
}

/// The pieces of a text as the model has them.
fn template(pieces: Vec<Piece>) -> Template {
    let parts = pieces.into_iter().map(|piece| match piece {
        Piece::Text(text) => TemplatePart::Text(String::from_utf8_lossy(&text).into_owned()),
        Piece::Value(formula) => TemplatePart::Value(formula),
    });
    Template { parts: parts.collect() }
}
