//! Rules: one builder for each record, line, value and element of a list.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use portcullis_lang::typing::{Absence, Checker, Facts, Found, Subject, Typed};
use portcullis_lang::{
    Code, Diagnostic, Expression, FieldInfo, Formula, Layout, Name, Place, Presence, Scope, Span, Type,
};

use crate::limits::{MAX_ELEMENT_DEPTH, MAX_ITEMS, MAX_LINE_OCTETS, MAX_RECORD_OCTETS, MAX_RECORD_SLOTS, MAX_RULES};
use crate::model::{Rule, RuleId, RuleKind};
use crate::syntax::tree::{self, DefinitionKind, ElementKind, FieldLabel, MaximumOf};

use super::names::{Block, Entry, Spelling, Summary, View};
use super::{Lowering, RuleSlot};

impl<'a> Lowering<'a> {
    /// Lowers every record, line and value, and every group that nothing names (to have it checked).
    pub(super) fn rules(&mut self) {
        let file = self.file;
        let mut named = HashSet::new();
        for item in &file.items {
            if let tree::ItemKind::Definition(definition) = &item.kind {
                named_in(&definition.fields, &mut named);
            }
        }
        for state in self.machine_tree.iter().flat_map(|machine| &machine.states) {
            let expected = state.expectations.iter().flat_map(|one| super::flow::expected_in(&one.grammar));
            named.extend(expected.filter_map(|one| one.record.single()).map(|name| name.text.as_str()));
        }
        for item in &file.items {
            let tree::ItemKind::Definition(definition) = &item.kind else { continue };
            let known = self.definitions.get(definition.name.text.as_str());
            if !known.is_some_and(|known| std::ptr::eq(*known, definition)) {
                continue;
            }
            let alone = definition.kind == DefinitionKind::Group && !named.contains(definition.name.text.as_str());
            if alone {
                self.diagnostics.push(
                    Diagnostic::warning(Code::C21, format!("the group `{}` is never used", definition.name))
                        .primary(definition.name.span, "no record names it"),
                );
            }
            if alone || definition.kind != DefinitionKind::Group {
                self.rule_of(definition);
            }
        }
        self.bound_jumps();
    }

    /// The rule of a definition, lowered if it was not yet.
    pub(super) fn rule_of(&mut self, definition: &'a tree::Definition) -> Option<RuleId> {
        if let Some(id) = self.rule_ids.get(definition.name.text.as_str()) {
            return Some(*id);
        }
        let id = self.reserve(&definition.name.text, definition.name.span)?;
        self.rule_ids.insert(&definition.name.text, id);
        let kind = match definition.kind {
            DefinitionKind::Line => RuleKind::Line,
            DefinitionKind::Record => RuleKind::Record,
            DefinitionKind::Group => RuleKind::Group,
            DefinitionKind::Value => RuleKind::Value,
        };
        let (max, depth) = self.maxima(definition);
        if let Some(folded) = definition.folded {
            self.not_supported(folded.0, "a folded line");
        }
        let mut builder = RuleBuilder::new(self, &definition.name.text, max);
        builder.inlined.push((&definition.name.text, definition.name.span));
        // A record or line ends with its window: nothing follows. An element or value is followed by what is around it.
        let follows = matches!(kind, RuleKind::Group | RuleKind::Value);
        builder.windows = usize::from(kind == RuleKind::Line);
        let items = builder.fields(&definition.fields, follows);
        builder.end_on_octet(definition.name.span);
        builder.open_block(String::new(), &[], false);
        let result = match (&definition.result, kind) {
            (Some(result), RuleKind::Value) => builder.value(result, Absence::Parts),
            (Some(result), _) => {
                builder.low.type_error(result.span, "only a `value` has a result", "this is none");
                None
            }
            (None, RuleKind::Value) => {
                let span = definition.name.span;
                builder.low.diagnostics.push(
                    Diagnostic::error(Code::C11, format!("the value `{}` has no result", definition.name))
                        .primary(span, "made of its fields by an expression")
                        .help("write `= EXPRESSION` behind its closing brace"),
                );
                None
            }
            (None, _) => None,
        };
        let result_kind = result.as_ref().map(|typed| match typed.kind {
            Type::Text { max: u32::MAX } => Type::Text { max: if max == 0 { u32::MAX } else { max } },
            ref kind => kind.clone(),
        });
        if let (Some(Type::Group | Type::List(_)), Some(expression)) = (&result_kind, &definition.result) {
            builder.low.type_error(expression.span, "a value is one text or number", "this has fields of its own");
        }
        let (width, entries, facts) = (builder.next_slot, builder.entries, builder.facts);
        let (never_empty, kind_of_record) = (builder.never_empty, builder.kind_of_record);
        let span = definition.name.span;
        let result_formula = result.map(|typed| typed.formula);
        let name = definition.name.text.clone();
        self.finish(
            id,
            Rule { name: name.clone(), kind, max, layout: Arc::default(), items, result: result_formula, depth, span },
            Summary { layout: Arc::default(), entries, facts, never_empty, kind_of_record, result: result_kind },
            width,
        );
        Some(id)
    }

    /// A rule without a name of its own: the element of a list.
    pub(super) fn reserve(&mut self, name: &str, span: Span) -> Option<RuleId> {
        if self.rules.len() >= MAX_RULES {
            self.too_large(span, "records, groups and lists", MAX_RULES);
            return None;
        }
        let id = RuleId(u16::try_from(self.rules.len()).ok()?);
        self.rules.push(RuleSlot { name: name.into(), rule: None, summary: Arc::default() });
        Some(id)
    }

    /// Puts a rule into the place that was kept for it.
    pub(super) fn finish(&mut self, id: RuleId, mut rule: Rule, mut summary: Summary, width: u32) {
        let fields: Vec<FieldInfo> = summary.entries.iter().map(|entry| entry.info.clone()).collect();
        let layout = Layout { name: rule.name.clone(), fields, width: u16::try_from(width).unwrap_or(u16::MAX) };
        rule.layout = Arc::new(layout);
        summary.layout = rule.layout.clone();
        if let Some(slot) = self.rules.get_mut(usize::from(id.0)) {
            slot.rule = Some(rule);
            slot.summary = Arc::new(summary);
        }
    }

    pub(super) fn summary(&self, id: RuleId) -> Option<&Arc<Summary>> {
        self.rules.get(usize::from(id.0)).map(|slot| &slot.summary)
    }

    /// The octets (0: none given) and the depth (0: none given) of a definition's maxima.
    fn maxima(&mut self, definition: &tree::Definition) -> (u32, u8) {
        let (mut octets, mut depth) = (0, 0);
        let most = if definition.kind == DefinitionKind::Line { MAX_LINE_OCTETS } else { MAX_RECORD_OCTETS };
        for maximum in &definition.maxima {
            match maximum.of {
                MaximumOf::Size => {
                    let found = self.constant(&maximum.amount, u64::from(most)).and_then(|n| u32::try_from(n).ok());
                    if found == Some(0) {
                        self.without_effect(maximum.amount.span, "nothing fits into 0 octets", "at least 1");
                    }
                    octets = found.unwrap_or(most);
                }
                MaximumOf::Depth => {
                    depth = self.constant(&maximum.amount, 127).and_then(|n| u8::try_from(n).ok()).unwrap_or(1);
                }
                MaximumOf::Elements | MaximumOf::Digits => {
                    let kind = definition.kind.as_str();
                    self.without_effect(
                        maximum.span.0,
                        format!("a {kind} is bounded in octets"),
                        "this bounds a list or number",
                    );
                }
            }
        }
        (octets, depth)
    }
}

/// Builds one rule.
pub(super) struct RuleBuilder<'b, 'a> {
    pub(super) low: &'b mut Lowering<'a>,
    pub(super) name: String,
    /// Most octets; 0 if none are given.
    pub(super) max: u32,
    pub(super) next_slot: u32,
    pub(super) entries: Vec<Entry>,
    pub(super) blocks: Vec<Block>,
    pub(super) presence: Vec<Presence>,
    pub(super) facts: Facts,
    pub(super) never_empty: HashSet<u16>,
    /// The fields of branches before this one: their names may be used again, for the same slots.
    pub(super) siblings: Vec<Entry>,
    pub(super) inlined: Vec<(&'a str, Span)>,
    pub(super) kind_of_record: Option<String>,
    /// Whether the part that is being lowered always ends in an error.
    pub(super) diverges: bool,
    /// Within how many windows of known extent this is: a line, `within`, what is measured.
    pub(super) windows: usize,
    /// Bits of an unfinished octet.
    pub(super) bits: u8,
    pub(super) flow: Vec<String>,
    /// Whether a value without a name is read by someone: the only value of a list's elements.
    pub(super) keeps_value: bool,
}

impl<'b, 'a> RuleBuilder<'b, 'a> {
    pub(super) fn new(low: &'b mut Lowering<'a>, name: &str, max: u32) -> RuleBuilder<'b, 'a> {
        let flow = low.flow_entries.iter().map(|entry| entry.name.text.clone()).collect();
        RuleBuilder {
            low,
            name: name.into(),
            max,
            next_slot: 0,
            entries: Vec::new(),
            blocks: Vec::new(),
            presence: Vec::new(),
            facts: Facts::new(),
            never_empty: HashSet::new(),
            siblings: Vec::new(),
            inlined: Vec::new(),
            kind_of_record: None,
            diverges: false,
            windows: 0,
            bits: 0,
            flow,
            keeps_value: false,
        }
    }

    /// A slot without a name.
    pub(super) fn hidden(&mut self, span: Span) -> u16 {
        let slot = self.next_slot;
        if slot >= u32::from(MAX_RECORD_SLOTS) {
            self.low.too_large(span, "fields in one record", usize::from(MAX_RECORD_SLOTS));
            // Nothing more is to be learned from the rest.
            self.low.item_count = usize::MAX;
            return 0;
        }
        self.next_slot = slot.saturating_add(1);
        u16::try_from(slot).unwrap_or(0)
    }

    /// Declares a field at the innermost block; branches of one choice share the slot of a name.
    pub(super) fn declare(&mut self, name: &Name, kind: Type, spelling: Spelling) -> u16 {
        let prefix = self.blocks.last().map(|block| block.prefix.clone()).unwrap_or_default();
        let path = format!("{prefix}{}", name.text);
        self.declare_path(path, name.span, kind, spelling)
    }

    pub(super) fn declare_path(&mut self, path: String, span: Span, kind: Type, spelling: Spelling) -> u16 {
        if let Some(entry) = self.entries.iter().find(|entry| entry.info.path == path) {
            self.low.diagnostics.push(
                Diagnostic::error(Code::S7, format!("`{path}` stands here twice"))
                    .primary(span, "again here")
                    .secondary(entry.span, "first here")
                    .help("give one of them another name; branches of one choice may have fields of the same name"),
            );
            return entry.info.slot;
        }
        let slot = match self.siblings.iter().find(|entry| entry.info.path == path) {
            Some(entry) => entry.info.slot,
            None => self.hidden(span),
        };
        if self.kind_of_record.is_none()
            && matches!(kind, Type::Keyword { .. } | Type::Number { .. } | Type::Enumeration(_))
        {
            self.kind_of_record = Some(path.clone());
        }
        let info = FieldInfo { path, slot, kind, presence: self.presence.clone() };
        self.entries.push(Entry { info, span, spelling });
        slot
    }

    pub(super) fn entry(&self, slot: u16) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.info.slot == slot)
    }

    /// What a test behind a field is about.
    pub(super) fn subject(&self, slot: u16, kind: Type, span: Span) -> Typed {
        let place = Place { scope: Scope::Record, slot };
        let presence = self.entry(slot).map(|entry| entry.info.presence.clone()).unwrap_or_default();
        Typed {
            formula: Formula::Place(place),
            kind: kind.clone(),
            optional: false,
            fallible: false,
            subject: Some(Subject::Place(place)),
            found: Some(Found { place, kind, presence, declared: Some(span) }),
        }
    }

    /// Runs a checker over the names that can be seen here.
    pub(super) fn check<T>(
        &mut self,
        element: Option<&Summary>,
        about: Option<Typed>,
        run: impl FnOnce(&mut Checker<'_>) -> T,
    ) -> T {
        let view = View {
            entries: &self.entries,
            siblings: &self.siblings,
            blocks: &self.blocks,
            never_empty: &self.never_empty,
            fold: self.low.fold,
            element,
            flow: &self.flow,
        };
        let mut checker = Checker::new(&view, self.low.diagnostics);
        if let Some(about) = about {
            checker = checker.about(about);
        }
        run(&mut checker)
    }

    pub(super) fn value(&mut self, expression: &Expression, absence: Absence) -> Option<Typed> {
        let facts = self.facts.clone();
        self.check(None, None, |checker| checker.value(expression, &facts, absence))
    }

    /// A condition; afterwards it is known to hold.
    pub(super) fn condition(&mut self, expression: &Expression, about: Option<Typed>) -> Option<Formula> {
        let mut facts = self.facts.clone();
        let formula = self.check(None, about, |checker| checker.condition(expression, &mut facts));
        self.facts = facts;
        formula
    }

    /// Counts an element against the bounds of the whole grammar; false if it was one too many.
    pub(super) fn count(&mut self, span: Span) -> bool {
        self.low.item_count = self.low.item_count.saturating_add(1);
        if self.low.item_count > MAX_ITEMS {
            if self.low.item_count == MAX_ITEMS + 1 {
                self.low.too_large(span, "fields in all records together", MAX_ITEMS);
            }
            return false;
        }
        if self.low.nesting > MAX_ELEMENT_DEPTH {
            self.low.too_large(span, "groups and lists within each other", MAX_ELEMENT_DEPTH);
            return false;
        }
        true
    }

    /// C11: fields of whole octets begin where an octet begins.
    pub(super) fn end_on_octet(&mut self, span: Span) {
        if self.bits != 0 {
            let missing = 8 - self.bits;
            self.low.diagnostics.push(
                Diagnostic::error(Code::C11, "the bits before this do not fill an octet")
                    .primary(span, format!("begins {} bits into an octet", self.bits))
                    .help(format!("read the other {missing} bits before it, for example `_: u{missing}`")),
            );
            self.bits = 0;
        }
    }

    /// Makes the list of names of a block, so that one that is read later is not called unknown.
    pub(super) fn open_block(&mut self, prefix: String, fields: &[tree::Field], closed: bool) {
        let mut names = HashMap::new();
        labels(fields, &mut names);
        let before = (self.entries.len(), self.siblings.len());
        self.blocks.push(Block { prefix, names, closed, before });
    }

    pub(super) fn close_block(&mut self) {
        self.blocks.pop();
    }
}

fn labels(fields: &[tree::Field], names: &mut HashMap<String, Span>) {
    for field in fields {
        match (&field.label, &field.element.kind) {
            (Some(FieldLabel::Name(name)), _) | (None, ElementKind::Let(name, _)) => {
                names.entry(name.text.clone()).or_insert(name.span);
            }
            (None, kind) => unlabelled(kind, names),
            _ => {}
        }
    }
}

fn unlabelled(kind: &ElementKind, names: &mut HashMap<String, Span>) {
    match kind {
        ElementKind::Block(fields) | ElementKind::Line { fields, .. } | ElementKind::Within { fields, .. } => {
            labels(fields, names);
        }
        ElementKind::Optional(inner) => unlabelled(&inner.kind, names),
        ElementKind::Choose(choose) => {
            for branch in &choose.branches {
                labels(std::slice::from_ref(&branch.field), names);
            }
        }
        _ => {}
    }
}

/// The names of definitions that fields refer to.
fn named_in<'t>(fields: &'t [tree::Field], named: &mut HashSet<&'t str>) {
    fields.iter().for_each(|field| named_in_element(&field.element, named));
}

fn named_in_element<'t>(element: &'t tree::Element, named: &mut HashSet<&'t str>) {
    let mut path = |path: &'t portcullis_lang::Path| {
        if let Some(name) = path.single() {
            named.insert(&name.text);
        }
    };
    match &element.kind {
        ElementKind::Type(kind) => {
            if let tree::TypeKind::Named(target) = &kind.kind {
                path(target);
            }
        }
        ElementKind::Alternatives(types) => {
            for kind in types {
                if let tree::TypeKind::Named(target) = &kind.kind {
                    path(target);
                }
            }
        }
        ElementKind::Table { entry, .. } => path(entry),
        ElementKind::Follow { target, .. } => path(target),
        ElementKind::Block(fields) | ElementKind::Line { fields, .. } | ElementKind::Within { fields, .. } => {
            named_in(fields, named);
        }
        ElementKind::Optional(inner) => named_in_element(inner, named),
        ElementKind::Many(many) => named_in_element(&many.element, named),
        ElementKind::Choose(choose) => {
            choose.branches.iter().for_each(|branch| named_in_element(&branch.field.element, named));
        }
        ElementKind::Error(_) | ElementKind::Nothing | ElementKind::Let(..) | ElementKind::Check(_) => {}
    }
}
