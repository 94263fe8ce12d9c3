//! Lists, and values that are read where a jump leads.

use std::sync::Arc;

use portcullis_lang::{Code, Diagnostic, Formula, Path, Scope, Span, Type};

use crate::model::{End, Item, Literal, Many, Rule, RuleId, RuleKind};
use crate::syntax::tree::{self, DefinitionKind, Element, ElementKind, MaximumOf, Modifiers, RepetitionEnd, TypeKind};

use super::fields::{Label, Left, NOTHING};
use super::first;
use super::names::{Spelling, Summary};
use super::rules::RuleBuilder;

impl<'a> RuleBuilder<'_, 'a> {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn many(
        &mut self,
        many: &'a tree::Many,
        modifiers: &'a Modifiers,
        label: Label<'a>,
        follows: bool,
        counted: Option<(Formula, Span)>,
        span: Span,
        items: &mut Vec<Item>,
    ) -> Left {
        self.no_modifiers(modifiers, "a repetition", false);
        self.end_on_octet(span);
        let mut max = if self.max > 0 { self.max } else { u32::MAX };
        for maximum in &modifiers.maxima {
            match maximum.of {
                MaximumOf::Size | MaximumOf::Elements => {
                    let most = u64::from(u32::MAX - 1);
                    max = self.low.constant(&maximum.amount, most).and_then(|n| u32::try_from(n).ok()).unwrap_or(max);
                    if max == 0 {
                        self.low.without_effect(maximum.span.0, "a repetition of nothing", "at least 1");
                    }
                }
                MaximumOf::Depth | MaximumOf::Digits => {
                    self.low.without_effect(maximum.span.0, "a repetition has a number of elements", "write `max N`");
                }
            }
        }
        let Some(element) = self.element_rule(&many.element, label) else { return NOTHING };
        let summary = self.low.summary(element).cloned().unwrap_or_default();
        if let (Some((_, counts)), false) = (&counted, many.end == RepetitionEnd::Window) {
            self.low.diagnostics.push(
                Diagnostic::error(Code::C21, "this repetition has two ends")
                    .primary(span, "it says itself when it ends ...")
                    .secondary(*counts, "... and its elements are counted")
                    .help("leave one of them away"),
            );
        }
        let mut never_empty = false;
        let end = match (&many.end, counted) {
            (RepetitionEnd::Window, Some((count, _))) => Some(End::Count(count)),
            (RepetitionEnd::Window, None) if !follows => Some(End::Window),
            (RepetitionEnd::Window, None) => Some(End::First(first::of_rule(element, self.low))),
            (RepetitionEnd::Until(test) | RepetitionEnd::While(test), _) => {
                never_empty = true;
                let facts = self.facts.both(&summary.facts.seen_from(Scope::Element));
                let test = self.check(Some(&summary), None, |checker| checker.condition(test, &mut facts.clone()));
                match many.end {
                    RepetitionEnd::Until(_) => test.map(End::Until),
                    _ => test.map(End::While),
                }
            }
            (RepetitionEnd::Delimiter(delimiter), _) => match delimiter.alternatives.as_slice() {
                [tree::DelimiterKind::Literal(text)] if !text.bytes.is_empty() => {
                    Some(End::UntilLiteral(Literal { bytes: text.bytes.clone().into(), fold: self.low.fold }))
                }
                [tree::DelimiterKind::EmptyLine] => Some(End::UntilEmptyLine),
                _ => {
                    self.low.not_supported(delimiter.span, "a repetition that ends like this");
                    None
                }
            },
        };
        let kind = Type::List(summary.layout.clone());
        let slot = self.place(label, kind.clone(), Spelling::Any, span);
        if never_empty {
            self.never_empty.insert(slot);
        }
        let name = match label {
            Label::Name(name) => name.text.clone(),
            Label::None => self.low.rules.get(usize::from(element.0)).map(|rule| rule.name.clone()).unwrap_or_default(),
        };
        if let Some(end) = end {
            items.push(Item::Many(Many { slot, name, element, end, max, span }));
        }
        Left { slot: Some(slot), kind }
    }

    /// The rule of an element: a definition, or one made for what stands behind `many`.
    fn element_rule(&mut self, element: &'a Element, label: Label<'a>) -> Option<RuleId> {
        if let ElementKind::Type(kind) = &element.kind
            && let TypeKind::Named(path) = &kind.kind
            && let Some(name) = path.single()
            && let Some(definition) = self.low.definitions.get(name.text.as_str()).copied()
            && definition.kind != DefinitionKind::Value
        {
            return self.low.rule_of(definition);
        }
        let name = match label {
            Label::Name(name) => format!("{}.{}", self.name, name.text),
            Label::None => format!("{}.element", self.name),
        };
        let id = self.low.reserve(&name, element.span)?;
        let (kind, max) = match &element.kind {
            ElementKind::Line { maxima, .. } => (RuleKind::Line, self.line_max(maxima)),
            _ => (RuleKind::Group, 0),
        };
        let mut builder = RuleBuilder::new(self.low, &name, max);
        builder.inlined.clone_from(&self.inlined);
        let mut items = Vec::new();
        match &element.kind {
            ElementKind::Block(fields) => items = builder.fields(fields, true),
            ElementKind::Line { fields, .. } => {
                builder.windows = 1;
                items = builder.fields(fields, false);
            }
            _ => {
                // The element is one value: its field has no name, so that `any LIST == 1` finds it.
                builder.open_block(String::new(), &[], false);
                builder.keeps_value = true;
                let left = builder.element(element, Label::None, true, None, &mut items);
                if let Some(slot) = left.slot
                    && !builder.entries.iter().any(|entry| entry.info.path.is_empty())
                {
                    let info = portcullis_lang::FieldInfo {
                        path: String::new(),
                        slot,
                        kind: left.kind.clone(),
                        presence: Vec::new(),
                    };
                    builder.entries.push(super::names::Entry { info, span: element.span, spelling: Spelling::Any });
                }
            }
        }
        builder.end_on_octet(element.span);
        let (width, entries, facts) = (builder.next_slot, builder.entries, builder.facts);
        let (never_empty, kind_of_record) = (builder.never_empty, builder.kind_of_record);
        let rule = Rule { name, kind, max, layout: Arc::default(), items, result: None, depth: 0, span: element.span };
        let summary = Summary { entries, facts, never_empty, kind_of_record, ..Summary::default() };
        self.low.finish(id, rule, summary, width);
        Some(id)
    }

    pub(super) fn follow(
        &mut self,
        target: &'a Path,
        offset: &'a portcullis_lang::Expression,
        backwards: bool,
        label: Label<'a>,
        span: Span,
        items: &mut Vec<Item>,
    ) -> Left {
        let definition = target.single().and_then(|name| self.low.definitions.get(name.text.as_str()).copied());
        let Some(definition) = definition.filter(|definition| definition.kind == DefinitionKind::Value) else {
            let values: Vec<&str> = {
                let mut names: Vec<&str> = self
                    .low
                    .definitions
                    .values()
                    .filter(|definition| definition.kind == DefinitionKind::Value)
                    .map(|definition| definition.name.text.as_str())
                    .collect();
                names.sort_unstable();
                names
            };
            self.low.unknown(target.span, "value", &target.to_string(), values);
            return NOTHING;
        };
        if !backwards {
            self.low.diagnostics.push(
                Diagnostic::error(Code::C8, "this jump could go round for ever")
                    .primary(span, format!("a `{}` can point to itself", definition.name))
                    .help(format!(
                        "`follow {} at ..., backwards` accepts only positions before this one, so that every jump is shorter than the last",
                        definition.name
                    )),
            );
            return NOTHING;
        }
        self.end_on_octet(span);
        let Some(rule) = self.low.rule_of(definition) else { return NOTHING };
        let facts = self.facts.clone();
        let offset = self.check(None, None, |checker| checker.size(offset, &facts));
        let kind = self.result_of(rule, definition);
        let slot = self.place(label, kind.clone(), Spelling::Any, span);
        if let Some(offset) = offset {
            items.push(Item::Follow { slot, rule, offset: offset.formula, span });
        }
        Left { slot: Some(slot), kind }
    }
}
