//! States and what each side may say in them.

use portcullis_lang::typing::{
    Absence, Checker, Domain, Facts, Found, Names, Resolution, dotted, found, resolve_event,
};
use portcullis_lang::{
    Code, Diagnostic, EventId, EventKind, ExpressionKind, FieldInfo, Layout, Member, Name, Place, Scope, Span, StateId,
    Type, suggest,
};

use crate::limits::{MAX_NAMES, MAX_RECORD_OCTETS};
use crate::model::{Expect, Expected, Machine, Matching, State, Target};
use crate::syntax::tree::{self, ExpectedGrammar, ExpectedRecord, MatchBy, MaximumOf, Pattern, PatternKind};

use super::Lowering;
use super::choices::first_of;
use super::events::Events;
use super::flow::{ChannelEntry, Flow};
use super::names::Summary;

/// What is known of each event where it occurs in a state.
pub(super) type Known = Vec<(EventId, Facts)>;

impl<'a> Lowering<'a> {
    /// Lowers the machine; one without states if the grammar has none.
    pub(super) fn machine(&mut self, flow: &Flow, channels: &[ChannelEntry], events: &mut Events) -> Machine {
        let Some(tree) = self.machine_tree else { return Machine::default() };
        let names = self.state_names(tree);
        let mut machine = Machine::default();
        for (index, state) in self.states_of(tree).into_iter().enumerate() {
            let id = StateId(u16::try_from(index).unwrap_or(u16::MAX));
            let lowered = self.state(id, state, tree, flow, channels, events, &names);
            machine.states.push(lowered);
        }
        for name in ["fail", "finish"] {
            let declared = tree.states.iter().find(|state| state.name.text == name);
            let span = declared.map_or_else(|| self.machine_span(), |state| state.name.span);
            let mut last = State {
                name: name.into(),
                expects: [Expect::Nothing, Expect::Nothing],
                rules: Vec::new(),
                timeout: None,
                resync: Vec::new(),
                span,
            };
            if let Some(state) = declared {
                if let Some(expectation) = state.expectations.first() {
                    self.without_effect(
                        expectation.span,
                        format!("nothing is read any more in `{name}`"),
                        "the flow is not analysed further",
                    );
                }
                last.rules = self.last_rules(state, flow, channels, events, &names);
            }
            machine.states.push(last);
        }
        machine.start = match &tree.start {
            Some(start) => self.state_id(start, &names),
            None => {
                let span = self.machine_span();
                self.diagnostics.push(
                    Diagnostic::error(Code::C3, "the machine has no beginning")
                        .primary(span, "which state is the first?")
                        .help(format!("write `start {}`", names.first().map_or("STATE", String::as_str))),
                );
                None
            }
        };
        for join in &tree.joins {
            let Some(state) = self.state_id(&join.state, &names) else { continue };
            for record in &join.records {
                let name = record.to_string();
                match events.find(&name).filter(|id| events.event(*id).is_some_and(|e| e.kind == EventKind::Record)) {
                    Some(event) => machine.join.push((state, event)),
                    None => self.unknown(record.span, "record", &name, events.names()),
                }
            }
        }
        for anomaly in self.anomalies.clone() {
            if events.find(&anomaly.name).is_some() {
                let span = self.machine_span();
                self.diagnostics.push(
                    Diagnostic::error(Code::S7, format!("`{}` is an anomaly and a record", anomaly.name))
                        .primary(span, "both would be events of this name")
                        .help("give one of them another name"),
                );
            }
        }
        machine
    }

    fn machine_span(&self) -> Span {
        let item = self.file.items.iter().find(|item| matches!(item.kind, tree::ItemKind::Machine(_)));
        let span = item.map_or(Span::new(self.file.source, 0, 0), |item| item.span);
        Span { end: span.end.min(span.start.saturating_add(7)), ..span }
    }

    fn states_of(&self, tree: &'a tree::Machine) -> Vec<&'a tree::State> {
        let mut seen: Vec<&str> = vec!["fail", "finish"];
        tree.states
            .iter()
            .filter(|state| {
                let new = !seen.contains(&state.name.text.as_str());
                seen.push(&state.name.text);
                new
            })
            .collect()
    }

    fn state_names(&mut self, tree: &'a tree::Machine) -> Vec<String> {
        let mut names: Vec<&Name> = Vec::new();
        for state in &tree.states {
            if let Some(first) = names.iter().find(|name| name.text == state.name.text) {
                self.diagnostics.push(
                    Diagnostic::error(Code::S7, format!("there are two states `{}`", state.name))
                        .primary(state.name.span, "again here")
                        .secondary(first.span, "first here"),
                );
            } else {
                names.push(&state.name);
            }
        }
        if let Some(name) = names.get(MAX_NAMES) {
            self.too_large(name.span, "states", MAX_NAMES);
        }
        let own = names.iter().map(|name| name.text.clone()).filter(|name| name != "fail" && name != "finish");
        let mut all: Vec<String> = own.take(MAX_NAMES).collect();
        all.extend(["fail".into(), "finish".into()]);
        all
    }

    pub(super) fn state_id(&mut self, name: &Name, names: &[String]) -> Option<StateId> {
        match names.iter().position(|known| *known == name.text) {
            Some(index) => u16::try_from(index).ok().map(StateId),
            None => {
                self.unknown(name.span, "state", &name.text, names.iter().map(String::as_str));
                None
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn state(
        &mut self,
        id: StateId,
        state: &'a tree::State,
        machine: &'a tree::Machine,
        flow: &Flow,
        channels: &[ChannelEntry],
        events: &mut Events,
        names: &[String],
    ) -> State {
        let mut expects = [Expect::Nothing, Expect::Nothing];
        let mut spans: [Option<Span>; 2] = [None, None];
        let mut known = Known::new();
        let mut questions = Vec::new();
        for expectation in &state.expectations {
            let index = expectation.direction.index();
            let (Some(expect), Some(span)) = (expects.get_mut(index), spans.get_mut(index)) else { continue };
            if let Some(first) = span {
                self.diagnostics.push(
                    Diagnostic::error(Code::S7, format!("`{}` stands here twice", expectation.direction))
                        .primary(expectation.span, "again here")
                        .secondary(*first, "first here")
                        .help("write `choose EXPR { ... }` if it depends on something"),
                );
                continue;
            }
            *span = Some(expectation.span);
            *expect = self.expect(expectation, flow, events, &mut known);
            questions.extend(expectation.matching.as_ref().map(|matching| matching.question.to_string()));
        }
        for (event, _) in &known {
            events.occurs(*event, id);
        }
        // What a stream of this state writes to a channel occurs here, too.
        for (event, _) in known.clone() {
            if let Some(stream) = events.event(event).map(|event| event.name.clone())
                && let Some(tree) = self.stream_names.get(stream.as_str()).copied()
            {
                for name in channels.iter().map(|channel| channel.model.name.clone()) {
                    if feeds(tree, &name)
                        && let Some(of) = events.of_stream(&name)
                    {
                        [of.start, of.chunk, of.end].into_iter().for_each(|event| events.occurs(event, id));
                    }
                }
                if let Some(of) = events.of_stream(&stream) {
                    [of.start, of.chunk].into_iter().for_each(|event| events.occurs(event, id));
                }
            }
        }
        let scope = super::transitions::Scope { flow, channels, events, names, known: &known, questions: &questions };
        let mut lowered = State {
            name: state.name.text.clone(),
            expects,
            rules: Vec::new(),
            timeout: None,
            resync: Vec::new(),
            span: state.name.span,
        };
        for rule in &state.rules {
            self.rule(rule, &scope, true, &mut lowered);
        }
        for rule in machine.any_state.iter().flat_map(|any| &any.rules) {
            self.rule(rule, &scope, false, &mut lowered);
        }
        lowered
    }

    fn expect(
        &mut self,
        expectation: &'a tree::Expectation,
        flow: &Flow,
        events: &Events,
        known: &mut Known,
    ) -> Expect {
        let matching = expectation.matching.as_ref();
        match &expectation.grammar {
            ExpectedGrammar::Waits { max } => {
                if let Some(matching) = matching {
                    self.without_effect(matching.span.0, "waiting answers nothing", "`matches` belongs to a record");
                }
                let most = max.as_ref().and_then(|max| {
                    if max.of != MaximumOf::Size {
                        self.without_effect(max.span.0, "what waits is counted in octets", "write `max 64 KB`");
                    }
                    self.constant(&max.amount, u64::from(MAX_RECORD_OCTETS)).and_then(|n| u32::try_from(n).ok())
                });
                Expect::Waits { max: most.unwrap_or(0) }
            }
            ExpectedGrammar::Sequence(sequence) => {
                self.sequence(sequence, matching, flow, events, &Facts::new(), known)
            }
            ExpectedGrammar::Choose { subject, branches } => {
                let mut arms = Vec::new();
                let mut firsts = Vec::new();
                let mut otherwise = Expect::Nothing;
                let ways = self.ways(subject.as_ref(), branches, flow);
                let mut fold = false;
                let mut on = None;
                for way in ways {
                    let expect = self.sequence(&way.branch.sequence, matching, flow, events, &way.facts, known);
                    match way.leads {
                        Leads::Values(typed, values) => {
                            fold = matches!(typed.kind, Type::Keyword { .. }) && self.fold;
                            on = Some(typed.formula.clone());
                            arms.push((values, expect));
                        }
                        Leads::First(first) => firsts.push((first, expect)),
                        Leads::Else => otherwise = expect,
                    }
                }
                match on {
                    Some(on) => Expect::Choose { on, fold, arms, otherwise: Box::new(otherwise) },
                    None if subject.is_none() => Expect::First { arms: firsts, otherwise: Box::new(otherwise) },
                    None => otherwise,
                }
            }
        }
    }

    /// What is known of the flow where each record or stream of an expectation is read.
    pub(super) fn known_where(&mut self, grammar: &'a ExpectedGrammar, flow: &Flow) -> Vec<(String, Facts)> {
        let name = |expected: &ExpectedRecord| expected.record.to_string();
        match grammar {
            ExpectedGrammar::Waits { .. } => Vec::new(),
            ExpectedGrammar::Sequence(sequence) => {
                sequence.iter().map(|expected| (name(expected), Facts::new())).collect()
            }
            ExpectedGrammar::Choose { subject, branches } => {
                let ways = self.ways(subject.as_ref(), branches, flow);
                ways.iter()
                    .flat_map(|way| way.branch.sequence.iter().map(|expected| (name(expected), way.facts.clone())))
                    .collect()
            }
        }
    }

    fn ways(
        &mut self,
        subject: Option<&'a portcullis_lang::Expression>,
        branches: &'a [tree::ExpectedBranch],
        flow: &Flow,
    ) -> Vec<Way<'a>> {
        let mut ways = Vec::new();
        let is_else = |patterns: &[Pattern]| matches!(patterns, [Pattern { kind: PatternKind::Else, .. }]);
        let Some(subject) = subject else {
            for branch in branches {
                let leads = match is_else(&branch.patterns) {
                    true => Some(Leads::Else),
                    false => first_of(self, &branch.patterns).map(Leads::First),
                };
                if let Some(leads) = leads {
                    ways.push(Way { branch, leads, facts: Facts::new() });
                }
            }
            return ways;
        };
        let view = MachineView { record: None, flow, event: None, fold: self.fold, questions: &[] };
        let typed = Checker::new(&view, self.diagnostics).value(subject, &Facts::new(), Absence::Refused);
        let Some(typed) = typed else { return ways };
        let mut taken = Vec::new();
        for branch in branches {
            let mut facts = Facts::new();
            if is_else(&branch.patterns) {
                if let (Some(subject), Some(domain)) = (typed.subject, Domain::of_cases(&taken)) {
                    facts.learn_domain(subject, &domain.complement());
                }
                ways.push(Way { branch, leads: Leads::Else, facts });
                continue;
            }
            let mut members = Vec::new();
            for pattern in &branch.patterns {
                match &pattern.kind {
                    PatternKind::Value(value) => members.push(Member::Value(value.clone())),
                    PatternKind::Range(low, high) => members.push(Member::Range(low.clone(), high.clone())),
                    PatternKind::Class(_) => {
                        self.type_error(
                            pattern.span,
                            "a value is needed here",
                            "only first octets are compared with sets",
                        );
                    }
                    PatternKind::Else => {
                        self.without_effect(pattern.span, "`else` stands alone", "it takes everything");
                    }
                }
            }
            let cases = Checker::new(&view, self.diagnostics).cases(&typed, subject.span, &members);
            let Some(values) = cases else { continue };
            if let (Some(subject), Some(domain)) = (typed.subject, Domain::of_cases(&values)) {
                facts.learn_domain(subject, &domain);
                match &typed.found {
                    Some(found) => facts.learn_found(subject, found),
                    None => facts.learn_present(subject),
                }
            }
            taken.extend(values.iter().cloned());
            ways.push(Way { branch, leads: Leads::Values(typed.clone(), values), facts });
        }
        ways
    }

    fn sequence(
        &mut self,
        sequence: &'a [ExpectedRecord],
        matching: Option<&'a tree::Matching>,
        flow: &Flow,
        events: &Events,
        facts: &Facts,
        known: &mut Known,
    ) -> Expect {
        let [expected, behind @ ..] = sequence else { return Expect::Nothing };
        let Some(record) = expected.record.single() else { return Expect::Nothing };
        if record.text == "nothing" {
            if let Some(next) = behind.first() {
                self.without_effect(next.record.span, "nothing comes behind `nothing`", "it is no record");
            }
            return Expect::Nothing;
        }
        let name = expected.event.as_ref().unwrap_or(record);
        if let Some(definition) = self.definitions.get(record.text.as_str()).copied() {
            // What is no record has been said already.
            let Some(event) = events.find(&name.text) else { return Expect::Nothing };
            let Some(rule) =
                events.rule(event).filter(|rule| self.rule_ids.get(definition.name.text.as_str()) == Some(rule))
            else {
                return Expect::Nothing;
            };
            learn(known, event, facts);
            let matches = matching.and_then(|matching| self.matching(matching, event, flow, events));
            let expected = Expected { rule, event, matches };
            return match behind {
                [] => Expect::Record(expected),
                _ => {
                    let then = self.sequence(behind, None, flow, events, &Facts::new(), known);
                    Expect::Then(expected, Box::new(then))
                }
            };
        }
        if let Some(next) = behind.first() {
            self.not_supported(next.record.span, "anything behind a stream");
        }
        if let Some(matching) = matching {
            self.without_effect(matching.span.0, "a stream answers nothing", "`matches` belongs to a record");
        }
        match (self.stream_id(&record.text), events.find(&record.text)) {
            (Some(stream), Some(event)) => {
                learn(known, event, facts);
                Expect::Stream(stream)
            }
            _ => Expect::Nothing,
        }
    }

    fn matching(
        &mut self,
        tree: &'a tree::Matching,
        answer: EventId,
        flow: &Flow,
        events: &Events,
    ) -> Option<Matching> {
        let question = tree.question.to_string();
        let Some(event) = events.find(&question).filter(|event| events.rule(*event).is_some()) else {
            self.unknown(tree.question.span, "record", &question, events.names());
            return None;
        };
        let summary_of = |low: &Lowering<'a>, event| {
            events.rule(event).and_then(|rule| low.summary(rule).cloned()).unwrap_or_default()
        };
        let (asked, answered) = (summary_of(self, event), summary_of(self, answer));
        let key = match &tree.by {
            MatchBy::Order => None,
            MatchBy::Field(path) => {
                let in_both = (self.key(&asked, path, &question), self.key(&answered, path, "the answer"));
                let (Some(left), Some(right)) = in_both else { return None };
                let number = |kind: &Type| matches!(kind, Type::Number { .. } | Type::Enumeration(_));
                let text = |kind: &Type| matches!(kind, Type::Text { .. } | Type::Keyword { .. });
                let both = |test: fn(&Type) -> bool| test(&left.kind) && test(&right.kind);
                if !(both(number) || both(text)) {
                    let label =
                        format!("{} in the question, {} in the answer", left.kind.describe(), right.kind.describe());
                    self.type_error(path.span, "questions and answers cannot be paired by this", label);
                    return None;
                }
                Some((left.slot, right.slot))
            }
        };
        let except = match &tree.except {
            Some(test) => {
                let facts = answered.facts.clone();
                let view = MachineView { record: Some(&answered), flow, event: None, fold: self.fold, questions: &[] };
                Some(Checker::new(&view, self.diagnostics).condition(test, &mut facts.clone())?)
            }
            None => None,
        };
        let max = match &tree.max {
            Some(max) => self.constant(&max.amount, 1 << 20).and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
            None => 0,
        };
        let patience = match &tree.lifetime {
            Some(lifetime) => self.duration(lifetime).unwrap_or(0),
            None => 0,
        };
        let unmatched = self.anomaly("unmatched", tree.span.0);
        Some(Matching { question: event, key, except, max, patience, unmatched })
    }

    fn key(&mut self, summary: &Summary, path: &portcullis_lang::Path, owner: &str) -> Option<FieldInfo> {
        let dotted = path.to_string();
        let field = summary.layout.field(&dotted).cloned();
        match &field {
            None => {
                let known: Vec<&str> = summary.layout.fields.iter().map(|field| field.path.as_str()).collect();
                let near = suggest(&dotted, known.iter().copied());
                self.diagnostics.push(
                    Diagnostic::error(Code::C1, format!("`{owner}` has no field `{dotted}`"))
                        .primary(path.span, "")
                        .suggest(near),
                );
            }
            Some(field) if !field.presence.is_empty() => {
                self.diagnostics.push(
                    Diagnostic::error(Code::C10, format!("`{dotted}` may be absent here"))
                        .primary(path.span, "not every record has it, so not every one can be paired"),
                );
                return None;
            }
            Some(_) => {}
        }
        field
    }
}

struct Way<'a> {
    branch: &'a tree::ExpectedBranch,
    leads: Leads,
    facts: Facts,
}

enum Leads {
    Values(portcullis_lang::typing::Typed, Vec<portcullis_lang::CaseValue>),
    First(crate::model::First),
    Else,
}

fn learn(known: &mut Known, event: EventId, facts: &Facts) {
    match known.iter_mut().find(|(other, _)| *other == event) {
        Some((_, before)) => *before = before.either(facts),
        None => known.push((event, facts.clone())),
    }
}

/// Whether a stream's octets go to a channel.
fn feeds(stream: &tree::Stream, channel: &str) -> bool {
    stream.fields.iter().flat_map(|field| &field.element.pipes).any(|stage| match &stage.kind {
        tree::StageKind::Named(path) => path.single().is_some_and(|name| name.text == channel),
        _ => false,
    })
}

/// The names of a guard: the fields of the record, what the flow keeps, what the event tells.
pub(super) struct MachineView<'v> {
    pub(super) record: Option<&'v Summary>,
    pub(super) flow: &'v Flow,
    /// The paths of [`event_slots`](portcullis_lang::scheme::event_slots) that the event has; none outside of rules.
    pub(super) event: Option<&'v [&'v str]>,
    pub(super) fold: bool,
    /// Names of the questions that records of this state answer.
    pub(super) questions: &'v [String],
}

impl Names for MachineView<'_> {
    fn resolve(&self, path: &[Name]) -> Resolution {
        if let Some(record) = self.record {
            let fields = record.found(Scope::Record, path);
            if !fields.is_empty() {
                return Resolution::Field(fields);
            }
        }
        let dotted = dotted(path);
        let kept: Vec<Found> = self
            .flow
            .entries
            .iter()
            .filter(|entry| entry.info.path == dotted)
            .map(|entry| Found { declared: Some(entry.span), ..found(&entry.info, Scope::Flow) })
            .collect();
        if !kept.is_empty() {
            return Resolution::Field(kept);
        }
        if self.event.is_some_and(|known| known.contains(&dotted.as_str())) {
            return resolve_event(path);
        }
        if dotted == "raw" && self.record.is_some() {
            return portcullis_lang::typing::resolve_in(&Layout::default(), Scope::Record, path);
        }
        if path.len() == 1 && self.questions.contains(&dotted) {
            return Resolution::NotSupported(format!("reading the `{dotted}` that was answered"));
        }
        Resolution::Unknown
    }

    fn candidates(&self, path: &[Name]) -> Vec<String> {
        let mut names =
            self.record.map(|record| portcullis_lang::typing::candidates_in(&record.layout, path)).unwrap_or_default();
        names.extend(portcullis_lang::typing::candidates_in(&self.flow.layout, path));
        if path.is_empty() {
            names.extend(self.event.unwrap_or_default().iter().map(|name| (*name).to_owned()));
        }
        names
    }

    fn keywords_ignore_case(&self) -> bool {
        self.fold
    }

    fn can_be(&self, place: Place, text: &[u8]) -> bool {
        match (place.scope, self.record) {
            (Scope::Record, Some(record)) => record.can_be(place.slot, text),
            (Scope::Flow, _) => {
                let mut same = self.flow.entries.iter().filter(|entry| entry.info.slot == place.slot).peekable();
                same.peek().is_none() || same.any(|entry| entry.spelling.can_be(text))
            }
            _ => true,
        }
    }

    fn never_empty(&self, list: Place) -> bool {
        list.scope == Scope::Record && self.record.is_some_and(|record| record.never_empty.contains(&list.slot))
    }
}

impl<'a> Lowering<'a> {
    /// `finish, then PROTOCOL`
    pub(super) fn then_protocol(&mut self, then: &'a portcullis_lang::Expression) -> Option<Target> {
        match &then.kind {
            ExpressionKind::Name(name) => {
                let known: Vec<String> = self.uses.iter().map(|name| name.text.clone()).collect();
                if !known.is_empty() && !known.contains(&name.text) {
                    let near = suggest(&name.text, known.iter().map(String::as_str));
                    self.diagnostics.push(
                        Diagnostic::error(Code::C1, format!("the protocol `{name}` is not used here"))
                            .primary(name.span, "")
                            .suggest(near)
                            .help(format!("write `use {name}` behind the first line")),
                    );
                }
                Some(Target::Finish(Some(name.text.clone())))
            }
            _ => {
                self.not_supported(then.span, "a protocol that a record names");
                None
            }
        }
    }
}
