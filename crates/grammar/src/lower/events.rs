//! The events that a grammar exports.

use std::sync::Arc;

use portcullis_lang::scheme::AnomalyInfo;
use portcullis_lang::{AnomalyId, Code, Diagnostic, EventId, EventKind, EventType, Layout, Name, Span, StateId};

use crate::limits::MAX_NAMES;
use crate::model::{RuleId, StreamEvents};
use crate::syntax::tree::DefinitionKind;

use super::Lowering;
use super::flow::{ChannelEntry, expected_in};

/// Names of events that every machine has, and what they are.
pub(super) const MACHINE_EVENTS: [(&str, EventKind); 9] = [
    ("parse_error", EventKind::ParseError),
    ("missing_grammar", EventKind::MissingGrammar),
    ("gap", EventKind::Gap),
    ("overrun", EventKind::Overrun),
    ("timeout", EventKind::Timeout),
    ("enter", EventKind::Enter),
    ("leave", EventKind::Leave),
    ("fail", EventKind::Fail),
    ("finish", EventKind::Finish),
];

/// The table of events while it grows.
#[derive(Default)]
pub(super) struct Events {
    all: Vec<EventType>,
    /// The record of each event that has one.
    rules: Vec<Option<RuleId>>,
    spans: Vec<Span>,
}

impl<'a> Lowering<'a> {
    /// Gives numbers to the records and streams of the states, and to the channels.
    pub(super) fn events(&mut self, channels: &[ChannelEntry]) -> Events {
        let mut events = Events::default();
        match self.machine_tree {
            Some(machine) => {
                for expectation in machine.states.iter().flat_map(|state| &state.expectations) {
                    for expected in expected_in(&expectation.grammar) {
                        let Some(record) = expected.record.single() else {
                            self.not_supported(expected.record.span, "a record of another protocol");
                            continue;
                        };
                        self.expected_event(&mut events, record, expected.event.as_ref());
                    }
                }
            }
            None => {
                // Without a machine every record is an event of its own.
                let mut records: Vec<&Name> = Vec::new();
                for definition in self.definitions.values() {
                    if matches!(definition.kind, DefinitionKind::Line | DefinitionKind::Record) {
                        records.push(&definition.name);
                    }
                }
                records.sort_by_key(|name| name.span);
                for record in records {
                    self.expected_event(&mut events, record, None);
                }
            }
        }
        for channel in channels {
            self.stream_events(&mut events, &channel.model.name, channel.model.span);
        }
        events
    }

    fn expected_event(&mut self, events: &mut Events, record: &Name, event: Option<&Name>) {
        if record.text == "nothing" {
            return;
        }
        let name = event.unwrap_or(record);
        if let Some(definition) = self.definitions.get(record.text.as_str()).copied() {
            if !matches!(definition.kind, DefinitionKind::Line | DefinitionKind::Record) {
                let kind = definition.kind.as_str();
                self.diagnostics.push(
                    Diagnostic::error(Code::C11, format!("a {kind} is no message"))
                        .primary(record.span, "a line, record or stream is needed here")
                        .secondary(definition.name.span, format!("defined as a {kind}"))
                        .help(format!("define it as `record {record} max N`")),
                );
                return;
            }
            let Some(rule) = self.rule_of(definition) else { return };
            let layout = self.summary(rule).map(|summary| summary.layout.clone()).unwrap_or_default();
            match events.find(&name.text) {
                Some(id) if events.rule(id) == Some(rule) => {}
                Some(id) => self.two_of_a_name(name, events.span(id)),
                None => {
                    self.add_event(events, &name.text, EventKind::Record, layout, Some(rule), name.span);
                }
            }
        } else if self.stream_names.contains_key(record.text.as_str()) {
            if let Some(event) = event {
                self.not_supported(event.span, "another name for the events of a stream");
            }
            if events.find(&record.text).is_none() {
                self.stream_events(events, &record.text, record.span);
            }
        } else {
            let known = self.definition_names();
            self.unknown(record.span, "record or stream", &record.text, known);
        }
    }

    fn stream_events(&mut self, events: &mut Events, name: &str, span: Span) {
        if let Some(id) = events.find(name) {
            let name = Name { text: name.into(), span };
            self.two_of_a_name(&name, events.span(id));
            return;
        }
        let kinds = [
            (format!("{name}.start"), EventKind::StreamStart),
            (format!("{name}.chunk"), EventKind::StreamChunk),
            (name.to_owned(), EventKind::StreamEnd),
        ];
        for (name, kind) in kinds {
            self.add_event(events, &name, kind, Arc::default(), None, span);
        }
    }

    fn two_of_a_name(&mut self, name: &Name, first: Span) {
        self.diagnostics.push(
            Diagnostic::error(Code::S7, format!("two events have the name `{name}`"))
                .primary(name.span, "again here")
                .secondary(first, "first here")
                .help("give one of them another name: `RECORD as NAME`"),
        );
    }

    fn add_event(
        &mut self,
        events: &mut Events,
        name: &str,
        kind: EventKind,
        layout: Arc<Layout>,
        rule: Option<RuleId>,
        span: Span,
    ) {
        if events.all.len() >= MAX_NAMES {
            self.too_large(span, "events", MAX_NAMES);
            return;
        }
        if MACHINE_EVENTS.iter().any(|known| known.0 == name) {
            self.diagnostics.push(
                Diagnostic::error(Code::S7, format!("`{name}` is an event of every machine"))
                    .primary(span, "give this one another name"),
            );
            return;
        }
        events.all.push(EventType { name: name.into(), kind, layout, states: Vec::new() });
        events.rules.push(rule);
        events.spans.push(span);
    }
}

impl Events {
    pub(super) fn find(&self, name: &str) -> Option<EventId> {
        let index = self.all.iter().position(|event| event.name == name)?;
        u16::try_from(index).ok().map(EventId)
    }

    pub(super) fn event(&self, id: EventId) -> Option<&EventType> {
        self.all.get(usize::from(id.0))
    }

    pub(super) fn rule(&self, id: EventId) -> Option<RuleId> {
        self.rules.get(usize::from(id.0)).copied().flatten()
    }

    /// What an event tells.
    pub(super) fn kind(&self, id: EventId) -> Option<EventKind> {
        self.event(id).map(|event| event.kind)
    }

    /// The numbers of all records and streams.
    pub(super) fn ids(&self) -> impl Iterator<Item = EventId> + use<> {
        let count = u16::try_from(self.all.len()).unwrap_or(u16::MAX);
        (0..count).map(EventId)
    }

    /// The names of the records.
    pub(super) fn records(&self) -> impl Iterator<Item = &str> {
        self.all.iter().filter(|event| event.kind == EventKind::Record).map(|event| event.name.as_str())
    }

    fn span(&self, id: EventId) -> Span {
        self.spans.get(usize::from(id.0)).copied().unwrap_or(Span::new(portcullis_lang::SourceId(0), 0, 0))
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.all.iter().map(|event| event.name.as_str()).collect()
    }

    /// The events of a stream or channel.
    pub(super) fn of_stream(&self, name: &str) -> Option<StreamEvents> {
        Some(StreamEvents {
            start: self.find(&format!("{name}.start"))?,
            chunk: self.find(&format!("{name}.chunk"))?,
            end: self.find(name)?,
        })
    }

    /// An event can occur in a state.
    pub(super) fn occurs(&mut self, id: EventId, state: StateId) {
        if let Some(event) = self.all.get_mut(usize::from(id.0))
            && !event.states.contains(&state)
        {
            event.states.push(state);
        }
    }

    /// The whole table: anomalies and the events of every machine at its end.
    pub(super) fn finish(self, anomalies: &[AnomalyInfo]) -> Vec<EventType> {
        let mut all = self.all;
        let bare = |name: &str, kind: EventKind| EventType {
            name: name.into(),
            kind,
            layout: Arc::default(),
            states: Vec::new(),
        };
        for (index, anomaly) in anomalies.iter().enumerate() {
            let id = AnomalyId(u16::try_from(index).unwrap_or(u16::MAX));
            all.push(bare(&anomaly.name, EventKind::Anomaly(id)));
        }
        all.extend(MACHINE_EVENTS.iter().map(|(name, kind)| bare(name, *kind)));
        all
    }

    /// The number that an anomaly's event will have.
    pub(super) fn anomaly_event(&self, anomaly: AnomalyId) -> EventId {
        EventId(u16::try_from(self.all.len()).unwrap_or(u16::MAX).saturating_add(anomaly.0))
    }

    /// The number that an event of every machine will have, where there are so many anomalies.
    pub(super) fn machine_event(&self, index: usize, anomalies: usize) -> EventId {
        let number = self.all.len().saturating_add(anomalies).saturating_add(index);
        EventId(u16::try_from(number).unwrap_or(u16::MAX))
    }
}
