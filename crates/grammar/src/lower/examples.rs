//! The dialogues that a grammar carries along.

use portcullis_lang::typing::{Checker, Names, Resolution, resolve_event};
use portcullis_lang::{Code, Diagnostic, EventKind, Expression, ExpressionKind, Formula, Name, Place, Type};

use crate::model::{Example, ExampleEvent};
use crate::syntax::tree::{self, ExampleStep, TransportKind};

use super::Lowering;
use super::events::{Events, MACHINE_EVENTS};
use super::flow::Flow;
use super::machine::MachineView;
use super::names::Summary;

impl<'a> Lowering<'a> {
    pub(super) fn examples(&mut self, events: &Events) -> Vec<Example> {
        let mut examples: Vec<Example> = Vec::new();
        for (tree, span) in self.examples_in() {
            let mut lines: Vec<(portcullis_lang::Direction, Box<[u8]>)> = Vec::new();
            let mut gives = Vec::new();
            for step in &tree.steps {
                match step {
                    ExampleStep::Send { direction, bytes } => lines.push((*direction, bytes.bytes.clone().into())),
                    ExampleStep::Gives { events: expected, .. } => {
                        for event in expected {
                            gives.extend(self.given(event, events));
                        }
                    }
                }
            }
            let datagrams = match tree.over {
                Some(kind) => {
                    let datagrams = kind == TransportKind::Udp;
                    if !self.transports.iter().any(|transport| transport.datagrams == datagrams) {
                        let name = if datagrams { "udp" } else { "tcp" };
                        self.diagnostics.push(
                            Diagnostic::error(Code::C1, format!("this protocol does not run over {name}"))
                                .primary(tree.title.span, format!("says `over {name}`")),
                        );
                    }
                    datagrams
                }
                None => self.transports.first().is_some_and(|transport| transport.datagrams),
            };
            let name = tree.title.lossy();
            if let Some(first) = examples.iter().find(|example| example.name == name) {
                self.diagnostics.push(
                    Diagnostic::error(Code::S7, "two examples have the same title")
                        .primary(tree.title.span, "again here")
                        .secondary(first.span, "first here"),
                );
            }
            let _ = span;
            examples.push(Example { name, datagrams, lines, gives, span: tree.title.span });
        }
        examples
    }

    fn given(&mut self, tree: &'a tree::ExpectedEvent, events: &Events) -> Option<ExampleEvent> {
        let name = tree.name.to_string();
        let span = tree.span.0;
        let flow = Flow::default();
        let (event, summary, kind) = match events.find(&name) {
            Some(event) => {
                let summary = events.rule(event).and_then(|rule| self.summary(rule).cloned());
                (event, summary, events.event(event).map(|event| event.kind))
            }
            None => {
                if let Some(anomaly) = self.anomalies.iter().position(|anomaly| anomaly.name == name) {
                    let id = portcullis_lang::AnomalyId(u16::try_from(anomaly).unwrap_or(u16::MAX));
                    (events.anomaly_event(id), None, None)
                } else if let Some(index) = MACHINE_EVENTS.iter().position(|known| known.0 == name) {
                    (events.machine_event(index, self.anomalies.len()), None, None)
                } else {
                    let anomalies: Vec<String> = self.anomalies.iter().map(|anomaly| anomaly.name.clone()).collect();
                    let mut known: Vec<&str> = events.names();
                    known.extend(anomalies.iter().map(String::as_str));
                    known.extend(MACHINE_EVENTS.iter().map(|event| event.0));
                    self.unknown(tree.name.span, "event", &name, known);
                    return None;
                }
            }
        };
        let mut facts = summary.as_ref().map(|summary| summary.facts.clone()).unwrap_or_default();
        let inner = MachineView {
            record: summary.as_deref(),
            flow: &flow,
            event: Some(&["state", "reason", "error", "size", "side", "record", "complete", "data"]),
            fold: self.fold,
            questions: &[],
        };
        let view = ExampleView { inner, content: matches!(kind, Some(EventKind::StreamEnd | EventKind::StreamChunk)) };
        let mut tests = Vec::new();
        if let Some(value) = &tree.value {
            let test = self.value_test(value, summary.as_deref(), &name)?;
            tests.push(Checker::new(&view, self.diagnostics).condition(&test, &mut facts)?);
        }
        let mut failed = false;
        for test in &tree.tests {
            match Checker::new(&view, self.diagnostics).condition(test, &mut facts) {
                Some(test) => tests.push(test),
                None => failed = true,
            }
        }
        if failed {
            return None;
        }
        let test = match tests.len() {
            0 => None,
            1 => tests.pop(),
            _ => Some(Formula::And(tests)),
        };
        Some(ExampleEvent { event, test, span })
    }

    /// `command EHLO`: the field that tells a record's variants apart, or the first that such a value can be in.
    fn value_test(&mut self, value: &Expression, summary: Option<&Summary>, name: &str) -> Option<Expression> {
        let fields = summary.map(|summary| summary.layout.fields.as_slice()).unwrap_or_default();
        let fits = |kind: &Type| match value.kind {
            ExpressionKind::Keyword(_) => matches!(kind, Type::Keyword { .. } | Type::Enumeration(_)),
            ExpressionKind::Number(_) => matches!(kind, Type::Number { .. } | Type::Enumeration(_)),
            ExpressionKind::Text(_) => matches!(kind, Type::Text { .. } | Type::Keyword { .. }),
            _ => false,
        };
        let apart = summary.and_then(|summary| summary.kind_of_record.clone());
        let field = fields
            .iter()
            .find(|field| apart.as_deref() == Some(field.path.as_str()) && fits(&field.kind))
            .or_else(|| fields.iter().find(|field| fits(&field.kind)));
        let Some(field) = field else {
            self.type_error(
                value.span,
                format!("`{name}` has no field for this value"),
                "write `{ FIELD == ... }` behind it",
            );
            return None;
        };
        let span = value.span;
        let mut names = field.path.split('.').map(|text| Name { text: text.into(), span });
        let mut path = Expression { kind: ExpressionKind::Name(names.next()?), span };
        for name in names {
            path = Expression { kind: ExpressionKind::Field(Box::new(path), name), span };
        }
        let operator = portcullis_lang::BinaryOperator::Equal;
        Some(Expression { kind: ExpressionKind::Binary(operator, Box::new(path), Box::new(value.clone())), span })
    }
}

/// The names of a test in an example: those of the record, and `body`, which is all that a stream had.
struct ExampleView<'v> {
    inner: MachineView<'v>,
    content: bool,
}

impl Names for ExampleView<'_> {
    fn resolve(&self, path: &[Name]) -> Resolution {
        match (path, self.content) {
            ([name], true) if name.text == "body" => resolve_event(&[Name { text: "data".into(), span: name.span }]),
            _ => self.inner.resolve(path),
        }
    }

    fn candidates(&self, path: &[Name]) -> Vec<String> {
        let mut names = self.inner.candidates(path);
        if self.content && path.is_empty() {
            names.push("body".into());
        }
        names
    }

    fn keywords_ignore_case(&self) -> bool {
        self.inner.keywords_ignore_case()
    }

    fn can_be(&self, place: Place, text: &[u8]) -> bool {
        self.inner.can_be(place, text)
    }
}
