//! The head of a file and what it declares: transports, line ends, anomalies, enumerations, definitions.

use std::collections::HashMap;
use std::sync::Arc;

use portcullis_lang::scheme::{AnomalyInfo, Enumeration};
use portcullis_lang::{Code, Diagnostic, Diagnostics, Name, Span};

use crate::model::{Newline, Transport};
use crate::syntax::tree::{self, ItemKind, LineEndingKind, TransportKind};

use super::{Declared, Lowering};

impl<'a> Lowering<'a> {
    /// Collects what the file declares.
    pub(super) fn declare(file: &'a tree::File, diagnostics: &'a mut Diagnostics) -> Lowering<'a> {
        let mut lowering = Lowering {
            diagnostics,
            file,
            name: String::new(),
            transports: Vec::new(),
            newline: Newline { crlf: true, ..Newline::default() },
            fold: false,
            uses: Vec::new(),
            definitions: HashMap::new(),
            enumerations: HashMap::new(),
            stream_names: HashMap::new(),
            flow_entries: Vec::new(),
            machine_tree: None,
            refuse: None,
            anomalies: Vec::new(),
            rules: Vec::new(),
            rule_ids: HashMap::new(),
            item_count: 0,
            nesting: 0,
        };
        // Anomalies first: declaring one gives it its text, naming one elsewhere only its number.
        let mut declared: HashMap<&str, Span> = HashMap::new();
        for item in &file.items {
            if let ItemKind::Anomaly(anomaly) = &item.kind {
                lowering.declare_anomaly(anomaly, &mut declared);
            }
        }
        let mut seen: HashMap<&str, Span> = HashMap::new();
        let mut once: HashMap<&str, Span> = HashMap::new();
        for item in &file.items {
            let clause = match &item.kind {
                ItemKind::Protocol(_) => Some("protocol"),
                ItemKind::KeywordsIgnoreCase(_) => Some("keywords"),
                ItemKind::Refuse(_) => Some("refuse"),
                ItemKind::Newline(_) => Some("newline"),
                ItemKind::Flow(_) => Some("flow"),
                ItemKind::Machine(_) => Some("machine"),
                _ => None,
            };
            if let Some(clause) = clause
                && let Some(first) = once.insert(clause, item.span)
            {
                lowering.twice(clause, item.span, first);
                continue;
            }
            lowering.declare_item(item, &mut seen);
        }
        if !once.contains_key("protocol") {
            let span = file.items.first().map_or(Span::new(file.source, 0, 0), |item| item.span);
            lowering.diagnostics.push(
                Diagnostic::error(Code::S1, "the grammar has no name")
                    .primary(span, "the first line has to say what this is")
                    .help("write `protocol NAME over tcp port N` before everything else"),
            );
        }
        lowering
    }

    fn declare_item(&mut self, item: &'a tree::Item, seen: &mut HashMap<&'a str, Span>) {
        match &item.kind {
            ItemKind::Protocol(protocol) => {
                self.name = protocol.name.text.clone();
                self.transports = protocol.transports.iter().map(|transport| self.transport(transport)).collect();
            }
            ItemKind::Use(names) => self.uses.extend(names.iter().cloned()),
            ItemKind::KeywordsIgnoreCase(ignore) => self.fold = *ignore,
            ItemKind::Refuse(refuse) => self.refuse = Some(refuse),
            ItemKind::Newline(endings) => self.newline = self.line_ends(endings),
            ItemKind::Anomaly(_) | ItemKind::Example(_) => {}
            ItemKind::Enumeration(enumeration) => {
                if self.is_new(&enumeration.name, seen) {
                    self.enumeration(enumeration);
                }
            }
            ItemKind::Definition(definition) => {
                if self.is_new(&definition.name, seen) {
                    self.definitions.insert(&definition.name.text, definition);
                }
            }
            ItemKind::Stream(stream) => {
                if self.is_new(&stream.name, seen) {
                    self.stream_names.insert(&stream.name.text, stream);
                }
            }
            ItemKind::Pipe(pipe) => self.not_supported(pipe.name.span, "a `pipe`"),
            ItemKind::Flow(entries) => self.flow_entries = entries.iter().collect(),
            ItemKind::Machine(machine) => self.machine_tree = Some(machine),
        }
    }

    fn declare_anomaly(&mut self, anomaly: &'a tree::AnomalyDeclaration, declared: &mut HashMap<&'a str, Span>) {
        if let Some(first) = declared.insert(&anomaly.name.text, anomaly.name.span) {
            self.diagnostics.push(
                Diagnostic::error(Code::S7, format!("the anomaly `{}` is declared twice", anomaly.name))
                    .primary(anomaly.name.span, "again here")
                    .secondary(first, "first here"),
            );
            return;
        }
        if anomaly.severity.is_some() {
            self.diagnostics.push(
                Diagnostic::error(Code::S6, "the severity of an anomaly is not supported yet")
                    .primary(anomaly.name.span, "a grammar describes; how bad it is, a policy says")
                    .help("leave the severity away; `alert high` in a rule of the policy gives one"),
            );
        }
        let text = String::from_utf8_lossy(&anomaly.text.bytes).into_owned();
        self.anomalies.push(AnomalyInfo { name: anomaly.name.text.clone(), text });
    }

    fn is_new(&mut self, name: &'a Name, seen: &mut HashMap<&'a str, Span>) -> bool {
        match seen.insert(&name.text, name.span) {
            Some(first) => {
                self.diagnostics.push(
                    Diagnostic::error(Code::S7, format!("`{name}` is defined twice"))
                        .primary(name.span, "again here")
                        .secondary(first, "first here"),
                );
                false
            }
            None => true,
        }
    }

    fn twice(&mut self, clause: &str, span: Span, first: Span) {
        self.diagnostics.push(
            Diagnostic::error(Code::S7, format!("`{clause}` stands here twice"))
                .primary(span, "again here")
                .secondary(first, "first here"),
        );
    }

    fn transport(&mut self, transport: &tree::Transport) -> Transport {
        let datagrams = transport.kind == TransportKind::Udp;
        let framed = transport.framed_by.as_ref().and_then(|name| {
            if datagrams {
                self.without_effect(name.span, "datagrams need no frame", "each datagram is one message already");
                return None;
            }
            let octets = match name.text.as_str() {
                "u8" => Some(1),
                "u16" => Some(2),
                "u24" => Some(3),
                "u32" => Some(4),
                _ => None,
            };
            if octets.is_none() {
                self.unknown(name.span, "frame", &name.text, ["u8", "u16", "u24", "u32"]);
            }
            octets
        });
        let mut ports: Vec<u16> = Vec::new();
        for (port, span) in &transport.ports {
            if ports.contains(port) {
                self.diagnostics.push(
                    Diagnostic::error(Code::S7, format!("port {port} stands here twice")).primary(span.0, "again here"),
                );
            } else {
                ports.push(*port);
            }
        }
        Transport { datagrams, ports, framed }
    }

    fn line_ends(&mut self, endings: &[tree::LineEnding]) -> Newline {
        let mut newline = Newline::default();
        for (index, ending) in endings.iter().enumerate() {
            let span = ending.span.0;
            let anomaly = ending.anomaly.as_ref().map(|name| self.anomaly(&name.text, name.span));
            if index == 0 && anomaly.is_some() {
                self.without_effect(span, "the first line end is the right one", "it is no anomaly");
            }
            match ending.kind {
                LineEndingKind::CrLf => {
                    newline.crlf = true;
                    if index > 0 {
                        self.not_supported(span, "CRLF as a line end that is not the right one");
                    }
                }
                LineEndingKind::Lf => {
                    newline.lf = true;
                    newline.lf_span = Some(span);
                    newline.bare_lf = anomaly;
                }
                LineEndingKind::Cr if index == 0 || anomaly.is_none() => {
                    self.not_supported(span, "CR alone as the end of a line");
                }
                LineEndingKind::Cr => newline.bare_cr = anomaly,
                LineEndingKind::Nul if anomaly.is_none() => {
                    self.without_effect(
                        span,
                        "an octet 0 ends no line",
                        "write `NUL as anomaly NAME` to have it reported",
                    );
                }
                LineEndingKind::Nul => newline.nul = anomaly,
            }
        }
        newline
    }

    fn enumeration(&mut self, tree: &'a tree::Enumeration) {
        let Some(bits) = tree.representation.text.strip_prefix('u').and_then(|bits| bits.parse::<u8>().ok()) else {
            self.unknown(tree.representation.span, "type of number", &tree.representation.text, ["u8", "u16", "u32"]);
            return;
        };
        if bits == 0 || bits > 63 {
            self.type_error(tree.representation.span, "an enumeration has 1 to 63 bits", "not so many");
            return;
        }
        let most = 1u64.checked_shl(u32::from(bits)).unwrap_or(u64::MAX).saturating_sub(1);
        let mut members: Vec<(String, i64)> = Vec::new();
        for member in &tree.members {
            if members.iter().any(|known| known.0 == member.name.text) {
                self.diagnostics.push(
                    Diagnostic::error(Code::S7, format!("`{}` stands here twice", member.name))
                        .primary(member.name.span, "again here"),
                );
            } else if member.value > most {
                self.diagnostics.push(
                    Diagnostic::error(Code::C13, format!("`{}` can never be read", member.name))
                        .primary(member.name.span, format!("{} does not fit into {bits} bits", member.value))
                        .secondary(tree.representation.span, format!("0 to {most}")),
                );
            } else {
                members.push((member.name.text.clone(), i64::try_from(member.value).unwrap_or(i64::MAX)));
            }
        }
        let enumeration = Arc::new(Enumeration { name: tree.name.text.clone(), members });
        self.enumerations.insert(&tree.name.text, Declared { enumeration, bits });
    }
}
