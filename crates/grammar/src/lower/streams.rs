//! Streams: where they end and who takes their octets.

use std::collections::HashMap;

use portcullis_lang::typing::{Checker, Facts};
use portcullis_lang::{Code, Diagnostic, Span, suggest};

use crate::model::{Source, Stream, StreamId};
use crate::syntax::tree::{self, DelimiterKind, ElementKind, ItemKind, MaximumOf, StageKind, TypeKind};

use super::Lowering;
use super::events::Events;
use super::flow::{ChannelEntry, Flow, channel};
use super::machine::MachineView;

impl<'a> Lowering<'a> {
    /// Lowers the streams that a state names; others are said to have no effect.
    pub(super) fn streams(&mut self, flow: &Flow, channels: &[ChannelEntry], events: &Events) -> Vec<Stream> {
        let uses = self.stream_uses(flow);
        let mut streams = Vec::new();
        for stream in self.used_streams() {
            let facts = uses.get(stream.name.text.as_str()).cloned().unwrap_or_default();
            let lowered = self.stream(stream, &facts, flow, channels, events);
            streams.extend(lowered);
        }
        streams
    }

    /// The streams that states name, in the order of the file.
    fn used_streams(&mut self) -> Vec<&'a tree::Stream> {
        let named: Vec<&str> = self
            .machine_tree
            .iter()
            .flat_map(|machine| &machine.states)
            .flat_map(|state| &state.expectations)
            .flat_map(|expectation| super::flow::expected_in(&expectation.grammar))
            .filter_map(|expected| expected.record.single().map(|name| name.text.as_str()))
            .collect();
        let file = self.file;
        let mut used = Vec::new();
        for item in &file.items {
            let ItemKind::Stream(stream) = &item.kind else { continue };
            if named.contains(&stream.name.text.as_str()) {
                used.push(stream);
            } else {
                self.diagnostics.push(
                    Diagnostic::warning(Code::C21, format!("the stream `{}` is never used", stream.name))
                        .primary(stream.name.span, "no state expects it"),
                );
            }
        }
        used
    }

    /// The number of a stream.
    pub(super) fn stream_id(&mut self, name: &str) -> Option<StreamId> {
        let index = self.used_streams().iter().position(|stream| stream.name.text == name)?;
        u16::try_from(index).ok().map(StreamId)
    }

    fn stream(
        &mut self,
        tree: &'a tree::Stream,
        facts: &Facts,
        flow: &Flow,
        channels: &[ChannelEntry],
        events: &Events,
    ) -> Option<Stream> {
        let span = tree.name.span;
        for maximum in &tree.maxima {
            match maximum.of {
                MaximumOf::Depth => self.not_supported(maximum.span.0, "a stream within itself"),
                _ => self.without_effect(
                    maximum.span.0,
                    "a stream has no size limit",
                    "it flows through and is never held",
                ),
            }
        }
        let [field] = tree.fields.as_slice() else {
            match tree.fields.get(1) {
                Some(second) => self.not_supported(second.span, "a stream of several parts"),
                None => self.without_effect(span, "an empty stream", "it has to say where it ends"),
            }
            return None;
        };
        let element = &field.element;
        if let Some(label) = &field.label {
            let at = match label {
                tree::FieldLabel::Name(name) => name.span,
                tree::FieldLabel::Ignored(span) => span.0,
            };
            self.not_supported(at, "a named field in a stream");
        }
        let ElementKind::Type(kind) = &element.kind else {
            self.not_supported(element.span, "a stream of anything but octets");
            return None;
        };
        self.stream_modifiers(&element.modifiers);
        let source = self.source(kind, facts, flow)?;
        let mut remove_leading = None;
        let mut target = None;
        for (index, stage) in element.pipes.iter().enumerate() {
            match &stage.kind {
                StageKind::RemoveLeading(text) => match text.bytes.as_slice() {
                    [octet] if matches!(source, Source::Lines { .. }) && remove_leading.is_none() && index == 0 => {
                        remove_leading = Some(*octet);
                    }
                    [_] => self.without_effect(
                        stage.span,
                        "nothing is removed here",
                        "it stands directly behind `lines until`, and once",
                    ),
                    _ => self.not_supported(text.span, "removing more than one octet"),
                },
                StageKind::Named(path) => match path.single() {
                    Some(name) if channel(channels, &name.text).is_some() && index + 1 == element.pipes.len() => {
                        target = channel(channels, &name.text);
                    }
                    Some(name) if LIBRARY.contains(&name.text.as_str()) => {
                        self.not_supported(name.span, &format!("the pipe `{name}`"));
                    }
                    Some(name) if channel(channels, &name.text).is_some() => {
                        self.without_effect(name.span, "a channel is the end of a pipe", "nothing comes out of it");
                    }
                    _ => {
                        let known: Vec<&str> = channels.iter().map(|channel| channel.model.name.as_str()).collect();
                        let near = suggest(&path.to_string(), known.iter().copied());
                        self.diagnostics.push(
                            Diagnostic::error(Code::C1, format!("there is no channel `{path}`"))
                                .primary(path.span, "")
                                .suggest(near)
                                .help(format!("declare it: `flow {{ {path}: channel }}`")),
                        );
                    }
                },
                StageKind::Nothing => {
                    self.without_effect(stage.span, "`nothing` changes nothing", "leave it away");
                }
                StageKind::Xor(_) | StageKind::Choose { .. } => self.not_supported(stage.span, "this pipe"),
            }
        }
        let events = events.of_stream(&tree.name.text)?;
        Some(Stream { name: tree.name.text.clone(), source, remove_leading, channel: target, events, span })
    }

    fn stream_modifiers(&mut self, modifiers: &'a tree::Modifiers) {
        let mut spans: Vec<Span> = modifiers.maxima.iter().map(|maximum| maximum.span.0).collect();
        spans.extend(modifiers.trimmed.map(|word| word.0));
        spans.extend(modifiers.little.map(|word| word.0));
        spans.extend(modifiers.unfolded.map(|word| word.0));
        spans.extend(modifiers.ignoring_case.map(|word| word.0));
        spans.extend(modifiers.times.as_ref().map(|times| times.span));
        spans.extend(modifiers.quoted_by.as_ref().map(|text| text.span));
        spans.extend(modifiers.escaped_by.as_ref().map(|text| text.span));
        spans.extend(modifiers.conversion.as_ref().map(|conversion| conversion.name.span));
        spans.extend(modifiers.relations.iter().map(|relation| relation.span));
        spans.extend(modifiers.checks.iter().map(|check| check.span));
        for span in spans {
            self.without_effect(
                span,
                "this has no effect",
                "the octets of a stream are not held, so nothing can be said of them",
            );
        }
        if let Some(test) = &modifiers.when {
            self.not_supported(test.span, "a stream with a condition");
        }
        if let Some(within) = &modifiers.within {
            self.not_supported(within.span, "`within lines`");
        }
    }

    fn source(&mut self, kind: &'a tree::Type, facts: &Facts, flow: &Flow) -> Option<Source> {
        match &kind.kind {
            TypeKind::Bytes(size) => {
                let view = MachineView { record: None, flow, event: None, fold: self.fold, questions: &[] };
                let size = Checker::new(&view, self.diagnostics).size(size, facts)?;
                Some(Source::Bytes(size.formula))
            }
            TypeKind::BytesToEnd => Some(Source::ToEnd),
            TypeKind::Rest => {
                self.diagnostics.push(
                    Diagnostic::error(Code::C11, "a stream has no rest")
                        .primary(kind.span, "it is in no window")
                        .help("write `bytes to end` for all that comes until the connection ends"),
                );
                None
            }
            TypeKind::Lines(lines) => {
                let Some(until) = &lines.until else {
                    self.not_supported(kind.span, "`lines to end`");
                    return None;
                };
                let [DelimiterKind::Literal(text)] = until.alternatives.as_slice() else {
                    self.not_supported(until.span, "lines that end like this");
                    return None;
                };
                if text.bytes.iter().any(|octet| matches!(octet, b'\r' | b'\n')) {
                    self.type_error(text.span, "a line has no line break in it", "this is compared with whole lines");
                    return None;
                }
                let lookalikes = lines.lookalikes.as_ref().map(|name| self.anomaly(&name.text, name.span));
                let long = match &lines.long_lines {
                    Some((over, name)) => {
                        let most = self.constant(over, u64::from(u32::MAX - 1)).and_then(|n| u32::try_from(n).ok())?;
                        Some((most, self.anomaly(&name.text, name.span)))
                    }
                    None => None,
                };
                Some(Source::Lines { text: text.bytes.clone().into(), lookalikes, long })
            }
            TypeKind::Until(delimiter) => match delimiter.alternatives.as_slice() {
                [DelimiterKind::Literal(text)] if !text.bytes.is_empty() => {
                    Some(Source::Literal(text.bytes.clone().into()))
                }
                _ => {
                    self.not_supported(delimiter.span, "a stream that ends like this");
                    None
                }
            },
            TypeKind::BytesMeasured => {
                self.type_error(kind.span, "nothing says where this stream ends", "write `bytes N` or `bytes to end`");
                None
            }
            _ => {
                self.not_supported(kind.span, "this source of a stream");
                None
            }
        }
    }

    /// What is known of the flow where each stream is expected.
    fn stream_uses(&mut self, flow: &Flow) -> HashMap<String, Facts> {
        let mut uses: HashMap<String, Option<Facts>> = HashMap::new();
        let Some(machine) = self.machine_tree else { return HashMap::new() };
        for expectation in machine.states.iter().flat_map(|state| &state.expectations) {
            for (name, facts) in self.known_where(&expectation.grammar, flow) {
                super::flow::either(uses.entry(name).or_default(), &facts);
            }
        }
        uses.into_iter().filter_map(|(name, facts)| Some((name, facts?))).collect()
    }
}

/// Pipes of the language that are not there yet.
const LIBRARY: [&str; 9] =
    ["base64", "br", "deflate", "gzip", "quoted_printable", "unfold", "utf8", "uudecode", "unchunk"];
