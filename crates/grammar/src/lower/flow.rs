//! What a flow keeps: fields of the last record of a kind, numbers of its own, channels.

use portcullis_lang::typing::Facts;
use portcullis_lang::{Code, Diagnostic, ExpressionKind, FieldInfo, Layout, Name, Presence, Span, Type, suggest};

use crate::model::{Channel, ChannelId, Kept, RuleId, StreamEvents};
use crate::syntax::tree::{self, DefinitionKind, FlowEntryKind};

use super::Lowering;
use super::events::Events;
use super::names::{Entry, Spelling};

/// The flow of a grammar.
#[derive(Default)]
pub(super) struct Flow {
    pub(super) layout: Layout,
    pub(super) entries: Vec<Entry>,
    pub(super) variables: Vec<(u16, i64)>,
    kept: Vec<KeptEntry>,
}

struct KeptEntry {
    name: Name,
    record: Name,
    slot: u16,
    fields: Vec<(u16, u16)>,
}

/// A channel and those who write to it.
pub(super) struct ChannelEntry {
    pub(super) model: Channel,
}

impl<'a> Lowering<'a> {
    /// The layout of what the flow keeps.
    pub(super) fn flow(&mut self) -> Flow {
        let mut flow = Flow { layout: Layout { name: "flow".into(), ..Layout::default() }, ..Flow::default() };
        let mut seen: Vec<&Name> = Vec::new();
        for entry in self.flow_entries.clone() {
            if let Some(first) = seen.iter().find(|name| name.text == entry.name.text) {
                let diagnostic = Diagnostic::error(Code::S7, format!("the flow has two `{}`", entry.name));
                self.diagnostics
                    .push(diagnostic.primary(entry.name.span, "again here").secondary(first.span, "first here"));
                continue;
            }
            seen.push(&entry.name);
            match &entry.kind {
                FlowEntryKind::Last { record, keeping } => self.last(&mut flow, &entry.name, record, keeping),
                FlowEntryKind::Variable { kind, initial } => {
                    self.variable(&mut flow, &entry.name, kind, initial.as_ref());
                }
                FlowEntryKind::Channel { .. } => {}
            }
        }
        flow.layout.fields = flow.entries.iter().map(|entry| entry.info.clone()).collect();
        flow
    }

    fn last(
        &mut self,
        flow: &mut Flow,
        name: &'a Name,
        record: &'a portcullis_lang::Path,
        keeping: &'a [portcullis_lang::Path],
    ) {
        let Some(single) = record.single() else {
            self.not_supported(record.span, "a record of another protocol");
            return;
        };
        let Some(rule) = self.rule_of_event(single) else { return };
        let Some(summary) = self.summary(rule).cloned() else { return };
        let slot = flow.add(name.text.clone(), name.span, Type::Group, Vec::new(), Spelling::Any);
        let mut pairs: Vec<(u16, u16)> = Vec::new();
        for path in keeping {
            let dotted = path.to_string();
            let same: Vec<&Entry> = summary.entries.iter().filter(|entry| entry.info.path == dotted).collect();
            let Some(first) = same.first() else {
                let known: Vec<&str> = summary.entries.iter().map(|entry| entry.info.path.as_str()).collect();
                let near = suggest(&dotted, known.iter().copied());
                self.diagnostics.push(
                    Diagnostic::error(Code::C1, format!("`{single}` has no field `{dotted}`"))
                        .primary(path.span, "")
                        .suggest(near),
                );
                continue;
            };
            if matches!(first.info.kind, Type::Group | Type::List(_)) {
                let label = first.info.kind.describe();
                self.type_error(path.span, "a flow keeps single values", label);
                continue;
            }
            if same.iter().any(|entry| entry.info.kind != first.info.kind || entry.info.slot != first.info.slot) {
                self.type_error(
                    path.span,
                    format!("`{dotted}` is not the same in every variant"),
                    "one of them cannot be told from the other",
                );
                continue;
            }
            let full = format!("{}.{dotted}", name.text);
            if flow.entries.iter().any(|entry| entry.info.path == full) {
                self.without_effect(path.span, format!("`{dotted}` is kept twice"), "once is enough");
                continue;
            }
            let presence = first.info.presence.clone();
            let kept = flow.add(full, path.span, first.info.kind.clone(), presence, first.spelling.clone());
            pairs.push((first.info.slot, kept));
        }
        // What a field's presence depends on is kept as well, or else only the field itself can be asked.
        for entry in flow.entries.iter_mut().filter(|entry| pairs.iter().any(|pair| pair.1 == entry.info.slot)) {
            let own = entry.info.slot;
            let path = entry.info.path.clone();
            let mut presence: Vec<Presence> = Vec::new();
            for condition in &entry.info.presence {
                let moved = |slot: u16| pairs.iter().find(|pair| pair.0 == slot).map(|pair| pair.1);
                let condition = match condition {
                    Presence::Case { slot, path: of, values, negated } => moved(*slot).map(|slot| Presence::Case {
                        slot,
                        path: format!("{}.{of}", name.text),
                        values: values.clone(),
                        negated: *negated,
                    }),
                    Presence::Part { slot, path: of } if moved(*slot) == Some(own) && of.is_empty() => {
                        Some(Presence::Part { slot: own, path: String::new() })
                    }
                    Presence::Part { slot, .. } => moved(*slot).map(|slot| Presence::Part { slot, path: path.clone() }),
                };
                let condition = condition.unwrap_or(Presence::Part { slot: own, path: path.clone() });
                if !presence.contains(&condition) {
                    presence.push(condition);
                }
            }
            entry.info.presence = presence;
        }
        flow.kept.push(KeptEntry { name: name.clone(), record: single.clone(), slot, fields: pairs });
    }

    fn variable(&mut self, flow: &mut Flow, name: &Name, kind: &Name, initial: Option<&portcullis_lang::Expression>) {
        let bits = kind
            .text
            .strip_prefix('u')
            .and_then(|bits| bits.parse::<u32>().ok())
            .filter(|bits| (1..=63).contains(bits));
        let bits = match (kind.text.as_str(), bits) {
            ("bit", _) => 1,
            (_, Some(bits)) => bits,
            _ => {
                self.unknown(kind.span, "type of number", &kind.text, ["u8", "u16", "u32", "bit"]);
                return;
            }
        };
        let max = 1i64.checked_shl(bits).filter(|top| *top > 0).map_or(i64::MAX, |top| top - 1);
        let first = match initial {
            Some(initial) => match &initial.kind {
                ExpressionKind::Boolean(value) => i64::from(*value),
                _ => match self.constant(initial, u64::try_from(max).unwrap_or(u64::MAX)) {
                    Some(value) => i64::try_from(value).unwrap_or(max),
                    None => return,
                },
            },
            None => 0,
        };
        let slot = flow.add(name.text.clone(), name.span, Type::Number { min: 0, max }, Vec::new(), Spelling::Any);
        flow.variables.push((slot, first));
    }

    /// The channels, whose events come later.
    pub(super) fn channels(&mut self, _flow: &Flow) -> Vec<ChannelEntry> {
        let mut channels = Vec::new();
        for entry in self.flow_entries.clone() {
            let FlowEntryKind::Channel { target, per_direction } = &entry.kind else { continue };
            if *per_direction {
                self.not_supported(entry.span.0, "a channel for each direction");
            }
            if let Some(target) = target
                && let Some(protocol) = target.names.first()
                && !self.uses.iter().any(|name| name.text == protocol.text)
            {
                let known: Vec<String> = self.uses.iter().map(|name| name.text.clone()).collect();
                let diagnostic = Diagnostic::error(Code::C1, format!("the protocol `{protocol}` is not used here"))
                    .primary(protocol.span, "")
                    .suggest(suggest(&protocol.text, known.iter().map(String::as_str)))
                    .help(format!("write `use {protocol}` behind the first line"));
                self.diagnostics.push(diagnostic);
            }
            if channels.iter().any(|channel: &ChannelEntry| channel.model.name == entry.name.text) {
                continue;
            }
            let none = portcullis_lang::EventId(u16::MAX);
            let events = StreamEvents { start: none, chunk: none, end: none };
            channels
                .push(ChannelEntry { model: Channel { name: entry.name.text.clone(), events, span: entry.name.span } });
        }
        channels
    }

    /// Which records are kept, once their events have numbers.
    pub(super) fn kept(&mut self, flow: &Flow, events: &Events) -> Vec<Kept> {
        let mut all = Vec::new();
        for kept in &flow.kept {
            let Some(event) = events.find(&kept.record.text) else {
                self.unknown(kept.record.span, "event", &kept.record.text, events.names());
                continue;
            };
            let fields = kept.fields.clone();
            all.push(Kept { name: kept.name.text.clone(), event, slot: kept.slot, fields });
        }
        all
    }

    /// The record behind the name of an event: its own name, or the one that a state gives it.
    pub(super) fn rule_of_event(&mut self, name: &Name) -> Option<RuleId> {
        let mut target = name.text.as_str();
        for state in self.machine_tree.iter().flat_map(|machine| &machine.states) {
            for expected in state.expectations.iter().flat_map(|one| expected_in(&one.grammar)) {
                if expected.event.as_ref().is_some_and(|event| event.text == name.text)
                    && let Some(record) = expected.record.single()
                {
                    target = record.text.as_str();
                }
            }
        }
        let definition = self.definitions.get(target).copied();
        match definition.filter(|one| matches!(one.kind, DefinitionKind::Line | DefinitionKind::Record)) {
            Some(definition) => self.rule_of(definition),
            None => {
                let mut known: Vec<&str> = self.definitions.keys().copied().collect();
                known.sort_unstable();
                self.unknown(name.span, "record", &name.text, known);
                None
            }
        }
    }
}

impl Flow {
    fn add(&mut self, path: String, span: Span, kind: Type, presence: Vec<Presence>, spelling: Spelling) -> u16 {
        let slot = self.layout.width;
        self.layout.width = slot.saturating_add(1);
        self.entries.push(Entry { info: FieldInfo { path, slot, kind, presence }, span, spelling });
        slot
    }

    /// A number of the flow.
    pub(super) fn variable(&self, name: &str) -> Option<&Entry> {
        let entry = self.entries.iter().find(|entry| entry.info.path == name)?;
        self.variables.iter().any(|variable| variable.0 == entry.info.slot).then_some(entry)
    }
}

/// The channel of a name.
pub(super) fn channel(channels: &[ChannelEntry], name: &str) -> Option<ChannelId> {
    let index = channels.iter().position(|channel| channel.model.name == name)?;
    u16::try_from(index).ok().map(ChannelId)
}

/// The records and streams that a side is expected to send, whatever they depend on.
pub(super) fn expected_in(grammar: &tree::ExpectedGrammar) -> Vec<&tree::ExpectedRecord> {
    match grammar {
        tree::ExpectedGrammar::Waits { .. } => Vec::new(),
        tree::ExpectedGrammar::Sequence(sequence) => sequence.iter().collect(),
        tree::ExpectedGrammar::Choose { branches, .. } => {
            branches.iter().flat_map(|branch| branch.sequence.iter()).collect()
        }
    }
}

/// What is known where one of several ways has led.
pub(super) fn either(known: &mut Option<Facts>, other: &Facts) {
    *known = Some(match known.take() {
        Some(facts) => facts.either(other),
        None => other.clone(),
    });
}
