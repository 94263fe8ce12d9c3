//! From the tree of a grammar file to the checked model: names get a meaning, fields a slot, tests a type.
//!
//! Declarations are collected first, so that their order in the file does not matter. Then rules are lowered on demand
//! (a list needs the layout of its elements), the flow's layout follows from them, then streams and the machine, and at
//! last the scheme is put together. Everything that is wrong is reported; a model comes out only if nothing is.

mod answers;
mod canonical;
mod choices;
mod declarations;
mod depth;
mod events;
mod examples;
mod fields;
mod first;
mod flow;
mod follows;
mod lists;
mod machine;
mod names;
mod relations;
mod rules;
mod streams;
mod transitions;
mod types;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use portcullis_lang::scheme::{AnomalyInfo, Enumeration, ProtocolScheme};
use portcullis_lang::{
    AnomalyId, Code, Diagnostic, Diagnostics, Expression, ExpressionKind, MAX_DIAGNOSTICS, Name, Span, suggest,
};

use crate::limits::MAX_NAMES;
use crate::model::{Newline, Protocol, Rule, RuleId, Transport};
use crate::syntax::tree::{self, ItemKind};

use self::names::Summary;

/// Lowers a file. Returns nothing if it has said what is wrong.
pub(crate) fn lower(file: &tree::File, diagnostics: &mut Diagnostics) -> Option<Protocol> {
    let mut lowering = Lowering::declare(file, diagnostics);
    lowering.rules();
    let flow = lowering.flow();
    let mut channels = lowering.channels(&flow);
    let mut events = lowering.events(&channels);
    for channel in &mut channels {
        if let Some(named) = events.of_stream(&channel.model.name) {
            channel.model.events = named;
        }
    }
    let kept = lowering.kept(&flow, &events);
    let streams = lowering.streams(&flow, &channels, &events);
    let machine = lowering.machine(&flow, &channels, &mut events);
    let examples = lowering.examples(&events);
    let refusal = lowering.refusal(&events, &machine);
    let writable = lowering.writable(&events, &streams);
    let canonical = lowering.canonical(&events, &streams);
    let follows = follows::follows(&machine, &streams, channels.iter().map(|channel| &channel.model), &events);
    if lowering.diagnostics.has_errors() {
        return None;
    }
    let name = lowering.name.clone();
    let states = machine.states.iter().map(|state| state.name.clone()).collect();
    let anomalies = lowering.anomalies;
    let scheme = ProtocolScheme {
        name: name.clone(),
        events: events.finish(&anomalies),
        states,
        anomalies: anomalies.clone(),
        flow: flow.layout.clone(),
        keywords_ignore_case: lowering.fold,
        refusal,
        writable,
        canonical,
        follows,
    };
    Some(Protocol {
        name,
        transports: lowering.transports,
        newline: lowering.newline,
        anomalies,
        rules: lowering.rules.into_iter().map(|slot| slot.rule).collect::<Option<Vec<Rule>>>()?,
        streams,
        channels: channels.into_iter().map(|channel| channel.model).collect(),
        kept,
        variables: flow.variables,
        machine,
        scheme: Arc::new(scheme),
        examples,
    })
}

/// A declared enumeration.
#[derive(Clone)]
pub(super) struct Declared {
    pub(super) enumeration: Arc<Enumeration>,
    pub(super) bits: u8,
}

/// A rule, or the place that is kept for it while it is lowered.
struct RuleSlot {
    name: String,
    rule: Option<Rule>,
    summary: Arc<Summary>,
}

/// What lowering knows of the file.
pub(super) struct Lowering<'a> {
    pub(super) diagnostics: &'a mut Diagnostics,
    pub(super) file: &'a tree::File,
    pub(super) name: String,
    pub(super) transports: Vec<Transport>,
    pub(super) newline: Newline,
    /// Whether keywords and literals match in any case.
    pub(super) fold: bool,
    pub(super) uses: Vec<Name>,
    pub(super) definitions: HashMap<&'a str, &'a tree::Definition>,
    pub(super) enumerations: HashMap<&'a str, Declared>,
    pub(super) stream_names: HashMap<&'a str, &'a tree::Stream>,
    pub(super) flow_entries: Vec<&'a tree::FlowEntry>,
    pub(super) machine_tree: Option<&'a tree::Machine>,
    pub(super) refuse: Option<&'a tree::RefuseItem>,
    pub(super) anomalies: Vec<AnomalyInfo>,
    rules: Vec<RuleSlot>,
    /// Definitions that have become rules, or are about to.
    pub(super) rule_ids: HashMap<&'a str, RuleId>,
    /// How many items all rules have, to bound what groups within groups within groups can grow to.
    pub(super) item_count: usize,
    /// How deep elements nest, definitions counted wherever they are named.
    pub(super) nesting: usize,
}

impl<'a> Lowering<'a> {
    /// The number of an anomaly; it becomes known by being named.
    pub(super) fn anomaly(&mut self, name: &str, span: Span) -> AnomalyId {
        if let Some(index) = self.anomalies.iter().position(|anomaly| anomaly.name == name) {
            return AnomalyId(u16::try_from(index).unwrap_or(u16::MAX));
        }
        let index = self.anomalies.len();
        if index >= MAX_NAMES {
            self.too_large(span, "anomalies", MAX_NAMES);
            return AnomalyId(0);
        }
        self.anomalies.push(AnomalyInfo { name: name.into(), text: String::new() });
        AnomalyId(u16::try_from(index).unwrap_or(u16::MAX))
    }

    pub(super) fn not_supported(&mut self, span: Span, what: &str) {
        self.diagnostics.push(
            Diagnostic::error(Code::S6, format!("{what} is not supported yet"))
                .primary(span, "part of the language, and not of this version"),
        );
    }

    pub(super) fn too_large(&mut self, span: Span, what: &str, most: usize) {
        self.diagnostics.push(
            Diagnostic::error(Code::S5, format!("too many {what}"))
                .primary(span, format!("there can be {most} of them")),
        );
    }

    pub(super) fn without_effect(&mut self, span: Span, title: impl Into<String>, label: impl Into<String>) {
        self.diagnostics.push(Diagnostic::error(Code::C21, title).primary(span, label));
    }

    pub(super) fn type_error(&mut self, span: Span, title: impl Into<String>, label: impl Into<String>) {
        self.diagnostics.push(Diagnostic::error(Code::C11, title).primary(span, label));
    }

    /// C1 with the nearest of the names that are known.
    pub(super) fn unknown<'n>(&mut self, span: Span, what: &str, name: &str, known: impl IntoIterator<Item = &'n str>) {
        let known: Vec<&str> = known.into_iter().collect();
        let diagnostic = Diagnostic::error(Code::C1, format!("unknown {what} `{name}`")).primary(span, "");
        if self.diagnostics.len() >= MAX_DIAGNOSTICS {
            // It is only counted: looking for its neighbours would be in vain.
            self.diagnostics.push(diagnostic);
            return;
        }
        let near = suggest(name, known.iter().copied());
        self.diagnostics.push(match near {
            Some(_) => diagnostic.suggest(near),
            None if known.is_empty() => diagnostic,
            None => {
                let more = if known.len() > 24 { ", ..." } else { "" };
                let names = known.iter().take(24).copied().collect::<Vec<_>>().join(", ");
                diagnostic.help(format!("known here: {names}{more}"))
            }
        });
    }

    /// A constant number, such as a maximum.
    pub(super) fn constant(&mut self, expression: &Expression, most: u64) -> Option<u64> {
        match expression.kind {
            ExpressionKind::Number(number) if number <= most => Some(number),
            ExpressionKind::Number(_) => {
                self.diagnostics.push(
                    Diagnostic::error(Code::S5, "this number is too large")
                        .primary(expression.span, format!("at most {most}")),
                );
                None
            }
            _ => {
                self.type_error(
                    expression.span,
                    "a number is needed here",
                    "it has to be known when the grammar is loaded",
                );
                None
            }
        }
    }

    /// A constant time in nanoseconds.
    pub(super) fn duration(&mut self, expression: &Expression) -> Option<i64> {
        match expression.kind {
            ExpressionKind::Duration(nanoseconds) => Some(i64::try_from(nanoseconds).unwrap_or(i64::MAX)),
            _ => {
                self.diagnostics.push(
                    Diagnostic::error(Code::C11, "a time is needed here")
                        .primary(expression.span, "a number without a unit")
                        .help("write it with a unit: `30 s`, `5 min`"),
                );
                None
            }
        }
    }

    /// All names of definitions, for suggestions.
    pub(super) fn definition_names(&self) -> Vec<&'a str> {
        let mut names: Vec<&str> = self.definitions.keys().copied().collect();
        names.extend(self.enumerations.keys().copied());
        names.extend(self.stream_names.keys().copied());
        names.sort_unstable();
        names
    }

    fn examples_in(&self) -> Vec<(&'a tree::Example, Span)> {
        let item = |item: &'a tree::Item| match &item.kind {
            ItemKind::Example(example) => Some((example, item.span)),
            _ => None,
        };
        self.file.items.iter().filter_map(item).collect()
    }
}
