//! Fields, in the order of the wire.

use portcullis_lang::typing::{Absence, Facts, Typed};
use portcullis_lang::{
    CaseValue, Code, Comparison, Diagnostic, Formula, Name, Path, Place, Presence, Scope, Span, Type,
};

use crate::limits::MAX_GROUP_DEPTH;
use crate::model::{Item, RuleId, Template, TemplatePart, Weight};
use crate::syntax::tree::{
    self, Check, CheckKind, DefinitionKind, Element, ElementKind, FieldLabel, MaximumOf, Modifiers, TypeKind,
};

use super::first;
use super::names::Spelling;
use super::relations::Relations;
use super::rules::RuleBuilder;

/// The name under which the value of a field goes.
#[derive(Clone, Copy)]
pub(super) enum Label<'t> {
    /// Its own.
    Name(&'t Name),
    /// None.
    None,
}

/// What reading an element has left behind, for the tests that follow it.
pub(super) struct Left {
    /// The slot of its value, if it has one.
    pub(super) slot: Option<u16>,
    pub(super) kind: Type,
}

pub(super) const NOTHING: Left = Left { slot: None, kind: Type::Group };

impl<'a> RuleBuilder<'_, 'a> {
    /// Lowers the fields of a block. `follows`: something may come behind them in the same window.
    pub(super) fn fields(&mut self, fields: &'a [tree::Field], follows: bool) -> Vec<Item> {
        let prefix = self.blocks.last().map(|block| block.prefix.clone()).unwrap_or_default();
        self.block(fields, prefix, false, follows)
    }

    pub(super) fn block(
        &mut self,
        fields: &'a [tree::Field],
        prefix: String,
        closed: bool,
        follows: bool,
    ) -> Vec<Item> {
        self.open_block(prefix, fields, closed);
        let mut relations = Relations::of(self, fields);
        let mut items = Vec::new();
        self.range(fields, 0, fields.len(), follows, &mut relations, &mut items);
        relations.finish(self);
        self.close_block();
        items
    }

    /// Lowers some of the fields of a block; those that are measured go into a window.
    fn range(
        &mut self,
        fields: &'a [tree::Field],
        from: usize,
        to: usize,
        follows: bool,
        relations: &mut Relations<'a>,
        items: &mut Vec<Item>,
    ) {
        let mut at = from;
        while let Some(field) = fields.get(at).filter(|_| at < to) {
            if let Some(window) = relations.open(at, to) {
                let size = relations.size(self, fields, window);
                let mut inside = Vec::new();
                self.windows += 1;
                self.range(fields, at, window.last + 1, false, relations, &mut inside);
                self.windows -= 1;
                self.end_on_octet(field.span);
                if let Some(size) = size {
                    items.push(Item::Window { size, items: inside, span: window.span });
                }
                at = window.last + 1;
                continue;
            }
            let behind = fields.get(at + 1..to).unwrap_or_default();
            let followed = follows || behind.iter().any(|field| may_read(&field.element.kind));
            let counted = relations.count_of(at);
            let left = self.field(field, followed, counted, items);
            relations.read(at, left.slot, &left.kind);
            at += 1;
        }
    }

    fn field(
        &mut self,
        field: &'a tree::Field,
        follows: bool,
        counted: Option<(Formula, Span)>,
        items: &mut Vec<Item>,
    ) -> Left {
        let label = match &field.label {
            Some(FieldLabel::Name(name)) => Label::Name(name),
            _ => Label::None,
        };
        self.element(&field.element, label, follows, counted, items)
    }

    /// Lowers an element with all that is said about it.
    pub(super) fn element(
        &mut self,
        element: &'a Element,
        label: Label<'a>,
        follows: bool,
        counted: Option<(Formula, Span)>,
        items: &mut Vec<Item>,
    ) -> Left {
        self.low.nesting = self.low.nesting.saturating_add(1);
        let left = match self.count(element.span) {
            true => self.counted_element(element, label, follows, counted, items),
            false => NOTHING,
        };
        self.low.nesting = self.low.nesting.saturating_sub(1);
        left
    }

    fn counted_element(
        &mut self,
        element: &'a Element,
        label: Label<'a>,
        follows: bool,
        counted: Option<(Formula, Span)>,
        items: &mut Vec<Item>,
    ) -> Left {
        let modifiers = &element.modifiers;
        if let Some(stage) = element.pipes.first() {
            self.low.not_supported(stage.span, "a pipe inside a record");
        }
        if let Some(within) = &modifiers.within {
            self.low.not_supported(within.span, "`within lines`");
        }
        if let Some((_, span)) = &counted
            && !matches!(element.kind, ElementKind::Many(_))
        {
            self.low.without_effect(
                *span,
                "only a repetition can be counted",
                "this counts something that is there once",
            );
        }
        match &modifiers.when {
            Some(test) => {
                let before = self.facts.clone();
                let formula = self.condition(test, None);
                let slot = self.hidden(element.span);
                let presence = formula.as_ref().and_then(|formula| self.case_of(formula));
                let presence = presence.unwrap_or_else(|| Presence::Part { slot, path: part_path(label, self) });
                self.presence.push(presence);
                self.facts.learn_present(in_record(slot));
                let bits = self.bits;
                let mut inside = Vec::new();
                let left = self.bare(element, label, follows, counted, &mut inside);
                self.checks(&modifiers.checks, &left, label, element.span, &mut inside);
                if bits != self.bits {
                    self.end_on_octet(element.span);
                }
                self.presence.pop();
                self.facts = before;
                if let Some(test) = formula {
                    items.push(Item::When { slot, test, items: inside });
                }
                left
            }
            None => {
                let left = self.bare(element, label, follows, counted, items);
                self.checks(&modifiers.checks, &left, label, element.span, items);
                left
            }
        }
    }

    /// What a `when` says about one field, so that whoever tests that field need not ask for the part as well.
    fn case_of(&self, test: &Formula) -> Option<Presence> {
        let (value, values, negated) = match test {
            Formula::In { value, set, .. } => (value, set.clone(), false),
            Formula::Compare { operator, left, right, .. } => {
                let range = |low: i64, high: i64| vec![CaseValue::Range(low, high)];
                let (values, negated) = match (operator, right.as_ref()) {
                    (Comparison::Equal, Formula::Number(number)) => (range(*number, *number), false),
                    (Comparison::NotEqual, Formula::Number(number)) => (range(*number, *number), true),
                    (Comparison::Greater, Formula::Number(number)) => (range(number.checked_add(1)?, i64::MAX), false),
                    (Comparison::GreaterOrEqual, Formula::Number(number)) => (range(*number, i64::MAX), false),
                    (Comparison::Less, Formula::Number(number)) => (range(i64::MIN, number.checked_sub(1)?), false),
                    (Comparison::LessOrEqual, Formula::Number(number)) => (range(i64::MIN, *number), false),
                    (Comparison::Equal, Formula::Bytes(word)) => (vec![CaseValue::Text(word.clone())], false),
                    (Comparison::NotEqual, Formula::Bytes(word)) => (vec![CaseValue::Text(word.clone())], true),
                    _ => return None,
                };
                (left, values, negated)
            }
            _ => return None,
        };
        let Formula::Place(Place { scope: Scope::Record, slot }) = value.as_ref() else { return None };
        let path = self.entry(*slot)?.info.path.clone();
        Some(Presence::Case { slot: *slot, path, values, negated })
    }

    /// `must` and `should` behind what they are about.
    fn checks(&mut self, checks: &'a [Check], left: &Left, label: Label<'a>, span: Span, items: &mut Vec<Item>) {
        for check in checks {
            let about = left.slot.map(|slot| self.subject(slot, left.kind.clone(), span));
            if about.is_none() && !uses_names(&check.test) {
                self.low.without_effect(check.span, "this says nothing", "what stands before it has no value");
                continue;
            }
            self.one_check(check, about, label, items);
            if let (CheckKind::Must, Some(slot)) = (&check.kind, left.slot) {
                self.narrow(slot);
            }
        }
    }

    fn one_check(&mut self, check: &'a Check, about: Option<Typed>, label: Label<'a>, items: &mut Vec<Item>) {
        let must = check.kind == CheckKind::Must;
        let before = (!must).then(|| self.facts.clone());
        let test = self.condition(&check.test, about);
        if let Some(before) = before {
            self.facts = before;
        }
        let weight = match &check.kind {
            CheckKind::Must => Weight::Must,
            CheckKind::Should(Some(name)) => Weight::Should(self.low.anomaly(&name.text, name.span)),
            CheckKind::Should(None) => match label {
                Label::Name(name) => Weight::Should(self.low.anomaly(&format!("odd_{}", name.text), name.span)),
                Label::None => {
                    self.low.diagnostics.push(
                        Diagnostic::error(Code::C1, "this anomaly has no name")
                            .primary(check.span, "it is about no field that has a name either")
                            .help("write `should ... as NAME`"),
                    );
                    return;
                }
            },
        };
        if let Some(test) = test {
            items.push(Item::Check { weight, test, span: check.span });
        }
    }

    /// What a `must` has left of a number's range is its type for those who read the record.
    fn narrow(&mut self, slot: u16) {
        for entry in self.entries.iter_mut().filter(|entry| entry.info.slot == slot) {
            if let Type::Number { min, max } = &mut entry.info.kind {
                (*min, *max) = self.facts.range(in_record(slot), (*min, *max));
            }
        }
    }

    fn bare(
        &mut self,
        element: &'a Element,
        label: Label<'a>,
        follows: bool,
        counted: Option<(Formula, Span)>,
        items: &mut Vec<Item>,
    ) -> Left {
        let (span, modifiers) = (element.span, &element.modifiers);
        match &element.kind {
            ElementKind::Type(kind) => match &kind.kind {
                TypeKind::Named(path) => self.named(path, label, modifiers, follows, span, items),
                _ => self.typed(kind, label, modifiers, span, items),
            },
            ElementKind::Alternatives(types) => self.alternatives(types, label, modifiers, span, items),
            ElementKind::Let(name, expression) => {
                if let Some(typed) = self.value(expression, Absence::Parts) {
                    self.let_field(name, typed, span, items);
                } else {
                    // What is computed from it is not unknown, only not known to be anything.
                    self.declare(name, Type::Number { min: i64::MIN, max: i64::MAX }, Spelling::Any);
                }
                NOTHING
            }
            ElementKind::Check(check) => {
                self.one_check(check, None, label, items);
                NOTHING
            }
            ElementKind::Error(text) => {
                let text = Template { parts: vec![TemplatePart::Text(text.lossy())] };
                items.push(Item::Fail { text, span });
                self.diverges = true;
                NOTHING
            }
            ElementKind::Nothing => NOTHING,
            ElementKind::Block(fields) => {
                self.no_modifiers(modifiers, "a block of fields", false);
                self.grouped(fields, label, follows, span, items)
            }
            ElementKind::Line { maxima, fields } => {
                self.no_modifiers(modifiers, "a line", false);
                let max = self.line_max(maxima);
                self.windows += 1;
                self.end_on_octet(span);
                let mut inside = Vec::new();
                let left = self.grouped(fields, label, false, span, &mut inside);
                self.windows -= 1;
                items.push(Item::Line { max, items: inside, span });
                left
            }
            ElementKind::Optional(inner) => self.optional(inner, modifiers, label, follows, span, items),
            ElementKind::Choose(choose) => {
                self.no_modifiers(modifiers, "a choice", true);
                self.choose(choose, label, follows, span, items)
            }
            ElementKind::Many(many) => self.many(many, modifiers, label, follows, counted, span, items),
            ElementKind::Within { size, fields } => {
                self.no_modifiers(modifiers, "a window", false);
                self.end_on_octet(span);
                let facts = self.facts.clone();
                let size = self.check(None, None, |checker| checker.size(size, &facts));
                self.windows += 1;
                let mut inside = Vec::new();
                let left = self.grouped(fields, label, false, span, &mut inside);
                self.windows -= 1;
                self.end_on_octet(span);
                if let Some(size) = size {
                    items.push(Item::Window { size: size.formula, items: inside, span });
                }
                left
            }
            ElementKind::Table { .. } => {
                self.low.not_supported(span, "a table");
                NOTHING
            }
            ElementKind::Follow { target, offset, backwards } => {
                self.no_modifiers(modifiers, "a jump", true);
                self.follow(target, offset, backwards.is_some(), label, span, items)
            }
        }
    }

    fn let_field(&mut self, name: &Name, typed: Typed, span: Span, items: &mut Vec<Item>) {
        if matches!(typed.kind, Type::Group | Type::List(_)) {
            let label = typed.kind.describe();
            self.low.type_error(span, "a computed field is one value", label);
        }
        let kind = match typed.kind {
            Type::Text { max: u32::MAX } if self.max > 0 => Type::Text { max: self.max },
            kind => kind,
        };
        let spelling = match typed.found {
            Some(found) => self.entry(found.place.slot).map_or(Spelling::Any, |entry| entry.spelling.clone()),
            None => Spelling::Any,
        };
        let slot = self.declare(name, kind, spelling);
        if typed.optional || typed.fallible {
            let path = match typed.optional {
                true => self.entry(slot).map(|entry| entry.info.path.clone()).unwrap_or_default(),
                false => String::new(),
            };
            if let Some(entry) = self.entries.last_mut() {
                entry.info.presence.push(Presence::Part { slot, path });
            }
        }
        items.push(Item::Let { slot, value: typed.formula, span });
    }

    /// A block with or without a name: its fields, or, where it has but one value without a name, that value.
    pub(super) fn grouped(
        &mut self,
        fields: &'a [tree::Field],
        label: Label<'a>,
        follows: bool,
        span: Span,
        items: &mut Vec<Item>,
    ) -> Left {
        let Label::Name(name) = label else {
            items.extend(self.fields(fields, follows));
            return NOTHING;
        };
        if let Some(only) = only_value(fields) {
            let prefix = self.blocks.last().map(|block| block.prefix.clone()).unwrap_or_default();
            self.open_block(prefix, fields, false);
            let mut left = NOTHING;
            for (index, field) in fields.iter().enumerate() {
                let behind = fields.get(index + 1..).unwrap_or_default();
                let followed = follows || behind.iter().any(|field| may_read(&field.element.kind));
                let own = if index == only { label } else { Label::None };
                let one = self.element(&field.element, own, followed, None, items);
                if index == only {
                    left = one;
                }
            }
            self.close_block();
            return left;
        }
        let slot = self.declare(name, Type::Group, Spelling::Any);
        items.push(Item::Let { slot, value: Formula::Boolean(true), span });
        let prefix = self.prefix_of(name);
        let inside = self.block(fields, prefix, false, follows);
        items.extend(inside);
        Left { slot: Some(slot), kind: Type::Group }
    }

    fn prefix_of(&self, name: &Name) -> String {
        let prefix = self.blocks.last().map(|block| block.prefix.as_str()).unwrap_or_default();
        format!("{prefix}{}.", name.text)
    }

    /// `name: path`, where `path` is a group, line, record, value or enumeration.
    fn named(
        &mut self,
        path: &'a Path,
        label: Label<'a>,
        modifiers: &'a Modifiers,
        follows: bool,
        span: Span,
        items: &mut Vec<Item>,
    ) -> Left {
        let Some(name) = path.single() else {
            self.low.not_supported(path.span, "a record of another protocol");
            return NOTHING;
        };
        if let Some(declared) = self.low.enumerations.get(name.text.as_str()).cloned() {
            return self.enumerated(&declared, label, modifiers, span, items);
        }
        let Some(definition) = self.low.definitions.get(name.text.as_str()).copied() else {
            if self.low.stream_names.contains_key(name.text.as_str()) {
                self.low.not_supported(path.span, "a stream inside a record");
                return NOTHING;
            }
            let mut known = self.low.definition_names();
            known.extend(BUILT_IN);
            self.low.unknown(path.span, "type", &name.text, known);
            if let Label::Name(label) = label {
                self.declare(label, Type::Number { min: i64::MIN, max: i64::MAX }, Spelling::Any);
            }
            return NOTHING;
        };
        if definition.kind == DefinitionKind::Value {
            self.no_modifiers(modifiers, "a value", true);
            self.end_on_octet(span);
            let Some(rule) = self.low.rule_of(definition) else { return NOTHING };
            let kind = self.result_of(rule, definition);
            let slot = self.place(label, kind.clone(), Spelling::Any, span);
            items.push(Item::Value { slot, rule, span });
            return Left { slot: Some(slot), kind };
        }
        self.no_modifiers(modifiers, "a group of fields", true);
        if let Some(at) = self.inlined.iter().position(|(inside, _)| *inside == definition.name.text.as_str()) {
            let first = self.inlined.get(at).map_or(definition.name.span, |inside| inside.1);
            self.low.diagnostics.push(
                Diagnostic::error(Code::C8, format!("`{}` contains itself", definition.name))
                    .primary(path.span, "and so it would never end")
                    .secondary(first, "part of this")
                    .help("put a `many` between them, with `max depth N` where it is defined"),
            );
            return NOTHING;
        }
        if self.inlined.len() >= MAX_GROUP_DEPTH {
            self.low.too_large(path.span, "groups within groups", MAX_GROUP_DEPTH);
            return NOTHING;
        }
        self.inlined.push((&definition.name.text, path.span));
        let mut inside = Vec::new();
        let line = definition.kind == DefinitionKind::Line;
        let (prefix, left) = match label {
            Label::Name(label) => {
                let slot = self.declare(label, Type::Group, Spelling::Any);
                items.push(Item::Let { slot, value: Formula::Boolean(true), span });
                (self.prefix_of(label), Left { slot: Some(slot), kind: Type::Group })
            }
            Label::None => (self.blocks.last().map(|block| block.prefix.clone()).unwrap_or_default(), NOTHING),
        };
        if line {
            self.end_on_octet(span);
            self.windows += 1;
        }
        inside.extend(self.block(&definition.fields, prefix, true, follows && !line));
        if line {
            self.windows -= 1;
            let max = self.line_max(&definition.maxima);
            items.push(Item::Line { max, items: inside, span });
        } else {
            items.extend(inside);
        }
        self.inlined.pop();
        left
    }

    pub(super) fn result_of(&self, rule: RuleId, definition: &tree::Definition) -> Type {
        let summary = self.low.summary(rule);
        match summary.and_then(|summary| summary.result.clone()) {
            Some(kind) => kind,
            // A value within itself: taken for text, as all values are that can contain themselves.
            None => {
                let most = definition.maxima.iter().find_map(|maximum| match (&maximum.of, &maximum.amount.kind) {
                    (MaximumOf::Size, portcullis_lang::ExpressionKind::Number(number)) => u32::try_from(*number).ok(),
                    _ => None,
                });
                Type::Text { max: most.unwrap_or(u32::MAX) }
            }
        }
    }

    /// The slot of a value: named, or only there for the tests behind it.
    pub(super) fn place(&mut self, label: Label<'a>, kind: Type, spelling: Spelling, span: Span) -> u16 {
        match label {
            Label::Name(name) => self.declare(name, kind, spelling),
            Label::None => self.hidden(span),
        }
    }

    fn optional(
        &mut self,
        inner: &'a Element,
        modifiers: &'a Modifiers,
        label: Label<'a>,
        follows: bool,
        span: Span,
        items: &mut Vec<Item>,
    ) -> Left {
        let before = self.facts.clone();
        let bits = self.bits;
        let mut inside = Vec::new();
        let (slot, left) = match (&label, presence_only(inner)) {
            // What can only be there or not: its value is whether it was there.
            (Label::Name(name), true) => {
                self.no_modifiers(modifiers, "a part that has no value", true);
                let slot = self.declare(name, Type::Boolean, Spelling::Any);
                self.element(inner, Label::None, follows, None, &mut inside);
                (slot, Left { slot: Some(slot), kind: Type::Boolean })
            }
            _ => {
                let slot = self.hidden(span);
                let path = part_path(label, self);
                self.presence.push(Presence::Part { slot, path });
                self.facts.learn_present(in_record(slot));
                // `optional TYPE max 16`: what is said is said of the type.
                let left = match (&inner.kind, has_type_modifiers(modifiers)) {
                    (ElementKind::Type(kind), _) if !matches!(kind.kind, TypeKind::Named(_)) => {
                        self.typed(kind, label, modifiers, span, &mut inside)
                    }
                    (ElementKind::Type(kind), _) => match &kind.kind {
                        TypeKind::Named(path) => self.named(path, label, modifiers, follows, span, &mut inside),
                        _ => NOTHING,
                    },
                    (ElementKind::Alternatives(types), _) => {
                        self.alternatives(types, label, modifiers, span, &mut inside)
                    }
                    (ElementKind::Many(many), _) => self.many(many, modifiers, label, follows, None, span, &mut inside),
                    _ => {
                        self.no_modifiers(modifiers, "this part", true);
                        self.element(inner, label, follows, None, &mut inside)
                    }
                };
                self.presence.pop();
                (slot, left)
            }
        };
        if self.bits != bits {
            self.end_on_octet(span);
        }
        self.facts = before;
        self.diverges = false;
        let first = first::of_items(&inside, self.low);
        items.push(Item::Optional { slot, first, items: inside });
        left
    }

    pub(super) fn line_max(&mut self, maxima: &'a [tree::Maximum]) -> u32 {
        let mut max = 0;
        for maximum in maxima {
            match maximum.of {
                MaximumOf::Size => {
                    let most = u64::from(crate::limits::MAX_LINE_OCTETS);
                    max = self.low.constant(&maximum.amount, most).and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
                }
                _ => self.low.without_effect(maximum.span.0, "a line is bounded in octets", "write `max N`"),
            }
        }
        // Where the record around it is bounded, so is the line.
        if max == 0 { self.max } else { max }
    }
}

/// A slot of the record, as something that is known about.
pub(super) fn in_record(slot: u16) -> portcullis_lang::typing::Subject {
    portcullis_lang::typing::Subject::Place(Place { scope: Scope::Record, slot })
}

fn part_path(label: Label<'_>, builder: &RuleBuilder<'_, '_>) -> String {
    match label {
        Label::Name(name) => {
            let prefix = builder.blocks.last().map(|block| block.prefix.as_str()).unwrap_or_default();
            format!("{prefix}{}", name.text)
        }
        Label::None => String::new(),
    }
}

fn uses_names(test: &portcullis_lang::Expression) -> bool {
    use portcullis_lang::ExpressionKind;
    match &test.kind {
        ExpressionKind::Subject => false,
        ExpressionKind::Binary(_, left, right) => uses_names(left) && uses_names(right),
        ExpressionKind::Unary(_, inner)
        | ExpressionKind::In(inner, _)
        | ExpressionKind::IsEmpty(inner)
        | ExpressionKind::Is(inner, _)
        | ExpressionKind::Matches(inner, _)
        | ExpressionKind::TextTest { value: inner, .. } => uses_names(inner),
        _ => true,
    }
}

/// Whether an element reads octets, or may.
fn may_read(kind: &ElementKind) -> bool {
    !matches!(kind, ElementKind::Let(..) | ElementKind::Check(_) | ElementKind::Error(_) | ElementKind::Nothing)
}

/// The field of a block that is its value: the only one that has one, where none has a name.
fn only_value(fields: &[tree::Field]) -> Option<usize> {
    let named = |field: &tree::Field| field.label.is_some() || matches!(field.element.kind, ElementKind::Let(..));
    if fields.iter().any(named) {
        return None;
    }
    let mut valued = fields.iter().enumerate().filter(|(_, field)| has_value(&field.element));
    match (valued.next(), valued.next()) {
        (Some((index, _)), None) => Some(index),
        _ => None,
    }
}

pub(super) fn has_value(element: &Element) -> bool {
    match &element.kind {
        ElementKind::Type(kind) => !matches!(
            kind.kind,
            TypeKind::Literal(_) | TypeKind::Keyword(_) | TypeKind::Blanks | TypeKind::Newline | TypeKind::End
        ),
        ElementKind::Alternatives(_)
        | ElementKind::Many(_)
        | ElementKind::Follow { .. }
        | ElementKind::Table { .. } => true,
        ElementKind::Optional(inner) => has_value(inner),
        ElementKind::Block(fields) | ElementKind::Line { fields, .. } | ElementKind::Within { fields, .. } => {
            only_value(fields).is_some()
        }
        _ => false,
    }
}

/// Whether an optional part has no value but that it is there.
fn presence_only(element: &Element) -> bool {
    match &element.kind {
        ElementKind::Type(kind) => matches!(
            kind.kind,
            TypeKind::Literal(_) | TypeKind::Keyword(_) | TypeKind::Newline | TypeKind::Blanks | TypeKind::End
        ),
        ElementKind::Block(fields) => fields.iter().all(|field| field.label.is_none() && presence_only(&field.element)),
        _ => false,
    }
}

fn has_type_modifiers(modifiers: &Modifiers) -> bool {
    !modifiers.maxima.is_empty() || modifiers.conversion.is_some()
}

/// Facts of a builder, for those who only want to look.
pub(super) fn facts_of<'f>(builder: &'f RuleBuilder<'_, '_>) -> &'f Facts {
    &builder.facts
}

/// Names of types that are no definitions, for suggestions.
pub(super) const BUILT_IN: [&str; 24] = [
    "u8", "u16", "u24", "u32", "u64", "bit", "ipv4", "ipv6", "bytes", "rest", "text", "word", "token", "atom", "digit",
    "decimal", "hex", "blanks", "newline", "end", "line", "until", "upto", "i32",
];
