//! `choose`: variants of a record.

use portcullis_lang::typing::{Absence, Domain, Facts, Subject};
use portcullis_lang::{
    CaseValue, Code, Diagnostic, Expression, ExpressionKind, Formula, Member, Place, Presence, Scope, Span, Type,
};

use crate::model::{Arm, ClassSet, First, FirstArm, Item, Literal, Next, Prefix};
use crate::syntax::tree::{self, Branch, Choose, Pattern, PatternKind};

use super::Lowering;
use super::fields::{Label, Left, NOTHING, has_value, in_record};
use super::names::{Entry, Spelling};
use super::rules::RuleBuilder;
use super::types;

/// What a branch has come to.
struct Lowered {
    items: Vec<Item>,
    /// The fields that it has declared, taken out of the record's.
    entries: Vec<Entry>,
    facts: Facts,
    diverges: bool,
    /// The values that lead to it; none for `else`.
    values: Option<Vec<CaseValue>>,
    bits: u8,
    left: Left,
    span: Span,
}

impl<'a> RuleBuilder<'_, 'a> {
    pub(super) fn choose(
        &mut self,
        choose: &'a Choose,
        label: Label<'a>,
        follows: bool,
        span: Span,
        items: &mut Vec<Item>,
    ) -> Left {
        let inner = self.group_of_choice(choose, label, span, items);
        match &choose.subject {
            Some(subject) => self.by_value(subject, &choose.branches, inner, follows, span, items),
            None => self.by_first(&choose.branches, inner, follows, span, items),
        }
    }

    /// A named choice whose branches have names of their own is a mark that it was there; otherwise its name is that of
    /// the one value that each branch has.
    fn group_of_choice(
        &mut self,
        choose: &'a Choose,
        label: Label<'a>,
        span: Span,
        items: &mut Vec<Item>,
    ) -> Label<'a> {
        let Label::Name(name) = label else { return label };
        let own = |branch: &Branch| branch.field.label.is_none() && has_value(&branch.field.element);
        if choose.branches.iter().any(own) {
            return label;
        }
        let slot = self.declare(name, Type::Group, Spelling::Any);
        items.push(Item::Let { slot, value: Formula::Boolean(true), span });
        Label::None
    }

    fn by_value(
        &mut self,
        subject: &'a Expression,
        branches: &'a [Branch],
        label: Label<'a>,
        follows: bool,
        span: Span,
        items: &mut Vec<Item>,
    ) -> Left {
        let Some(mut typed) = self.value(subject, Absence::Refused) else { return NOTHING };
        let (slot, path) = match (typed.subject, &typed.found) {
            (Some(Subject::Place(Place { scope: Scope::Record, slot })), _) => {
                let path = self.entry(slot).map(|entry| entry.info.path.clone()).unwrap_or_default();
                self.kind_of_record = Some(path.clone());
                (slot, path)
            }
            _ => {
                // What is computed gets a place, so that its value can be remembered.
                let slot = self.hidden(subject.span);
                items.push(Item::Let { slot, value: typed.formula.clone(), span: subject.span });
                typed.formula = Formula::Place(Place { scope: Scope::Record, slot });
                typed.subject = Some(in_record(slot));
                (slot, "the value that is chosen by".into())
            }
        };
        if !matches!(
            typed.kind,
            Type::Number { .. } | Type::Enumeration(_) | Type::Text { .. } | Type::Keyword { .. } | Type::Boolean
        ) {
            let label = typed.kind.describe();
            self.low.type_error(subject.span, "a number or text is needed to choose by", label);
            return NOTHING;
        }
        let mut taken: Vec<CaseValue> = Vec::new();
        let mut all: Vec<Option<Vec<CaseValue>>> = Vec::new();
        for branch in branches {
            let values = self.values_of(&typed, subject.span, branch);
            taken.extend(values.iter().flatten().cloned());
            all.push(values);
        }
        let fold = matches!(typed.kind, Type::Keyword { .. }) && self.low.fold;
        let mut lowered = Vec::new();
        let siblings = self.siblings.len();
        for (branch, values) in branches.iter().zip(all) {
            let otherwise = is_else(branch);
            if values.is_none() && !otherwise {
                continue;
            }
            let cases = values.clone().unwrap_or_else(|| taken.clone());
            let presence = Presence::Case { slot, path: path.clone(), values: cases.clone(), negated: otherwise };
            let mut facts = self.facts.clone();
            if let Some(domain) = Domain::of_cases(&cases) {
                facts.learn_domain(in_record(slot), &if otherwise { domain.complement() } else { domain });
            }
            lowered.push(self.branch(branch, label, follows, presence, facts, values));
        }
        self.siblings.truncate(siblings);
        let left = self.join(&lowered, Some((slot, &path, &taken)));
        let mut otherwise = None;
        let mut arms = Vec::new();
        for branch in lowered {
            match branch.values {
                Some(values) => arms.push(Arm { values, items: branch.items, span: branch.span }),
                None => otherwise = Some(branch.items),
            }
        }
        items.push(Item::Switch { on: typed.formula, fold, arms, otherwise, span });
        left
    }

    fn values_of(
        &mut self,
        typed: &portcullis_lang::typing::Typed,
        place: Span,
        branch: &'a Branch,
    ) -> Option<Vec<CaseValue>> {
        if is_else(branch) {
            return None;
        }
        let mut members = Vec::new();
        for pattern in &branch.patterns {
            match &pattern.kind {
                PatternKind::Value(Expression { kind: ExpressionKind::Text(text), .. })
                    if text.bytes.ends_with(b"*") =>
                {
                    self.low.not_supported(pattern.span, "a pattern with `*` in a choice by value");
                    return None;
                }
                PatternKind::Value(value) => members.push(Member::Value(value.clone())),
                PatternKind::Range(low, high) => members.push(Member::Range(low.clone(), high.clone())),
                PatternKind::Class(_) => {
                    self.low.type_error(
                        pattern.span,
                        "a value is needed here",
                        "only first octets are compared with sets",
                    );
                    return None;
                }
                PatternKind::Else => self.else_among_others(pattern.span),
            }
        }
        self.check(None, None, |checker| checker.cases(typed, place, &members))
    }

    fn else_among_others(&mut self, span: Span) {
        self.low.without_effect(span, "`else` stands alone", "it takes everything, so the others do nothing");
    }

    fn by_first(
        &mut self,
        branches: &'a [Branch],
        label: Label<'a>,
        follows: bool,
        span: Span,
        items: &mut Vec<Item>,
    ) -> Left {
        self.end_on_octet(span);
        let mut lowered = Vec::new();
        let mut heads: Vec<Option<(First, u16)>> = Vec::new();
        let siblings = self.siblings.len();
        for branch in branches {
            let otherwise = is_else(branch);
            let first = match otherwise {
                true => None,
                false => match first_of(self.low, &branch.patterns) {
                    Some(first) => Some(first),
                    None => continue,
                },
            };
            let slot = self.hidden(branch.span);
            let presence = Presence::Part { slot, path: String::new() };
            let mut facts = self.facts.clone();
            facts.learn_present(in_record(slot));
            let values = (!otherwise).then(Vec::new);
            let mut one = self.branch(branch, label, follows, presence, facts, values);
            if otherwise {
                // The model has no slot for an `else`; what stands in it says itself that it is there.
                let mark = Item::Let { slot, value: Formula::Boolean(true), span: branch.span };
                one.items.insert(0, mark);
            }
            heads.push(first.map(|first| (first, slot)));
            lowered.push(one);
        }
        self.siblings.truncate(siblings);
        let left = self.join(&lowered, None);
        let mut otherwise = None;
        let mut arms = Vec::new();
        for (branch, head) in lowered.into_iter().zip(heads) {
            match head {
                Some((first, slot)) => arms.push(FirstArm { first, slot, items: branch.items, span: branch.span }),
                None => otherwise = Some(branch.items),
            }
        }
        items.push(Item::Choose { arms, otherwise, span });
        left
    }

    fn branch(
        &mut self,
        branch: &'a Branch,
        label: Label<'a>,
        follows: bool,
        presence: Presence,
        facts: Facts,
        values: Option<Vec<CaseValue>>,
    ) -> Lowered {
        let before = std::mem::replace(&mut self.facts, facts);
        let bits = self.bits;
        let outer_diverges = std::mem::replace(&mut self.diverges, false);
        self.presence.push(presence);
        let declared = self.entries.len();
        let mut items = Vec::new();
        let own = match &branch.field.label {
            Some(tree::FieldLabel::Name(name)) => Label::Name(name),
            Some(tree::FieldLabel::Ignored(_)) => Label::None,
            None if has_value(&branch.field.element) => label,
            None => Label::None,
        };
        let left = match (&branch.field.element.kind, &branch.field.label) {
            // Names in a block without a name of its own belong to what is around it.
            (tree::ElementKind::Block(fields), None) if matches!(own, Label::None) => {
                let inside = self.fields(fields, follows);
                items.extend(inside);
                NOTHING
            }
            _ => self.element(&branch.field.element, own, follows, None, &mut items),
        };
        self.presence.pop();
        let entries: Vec<Entry> = self.entries.drain(declared..).collect();
        self.siblings.extend(entries.iter().cloned());
        Lowered {
            items,
            entries,
            facts: std::mem::replace(&mut self.facts, before),
            diverges: std::mem::replace(&mut self.diverges, outer_diverges),
            values,
            bits: std::mem::replace(&mut self.bits, bits),
            left,
            span: branch.span,
        }
    }

    /// Puts the branches together: one field for each name that several of them have, and what is known behind them.
    fn join(&mut self, branches: &[Lowered], by_value: Option<(u16, &str, &[CaseValue])>) -> Left {
        let going_on: Vec<&Lowered> = branches.iter().filter(|branch| !branch.diverges).collect();
        let Some(first) = going_on.first() else {
            self.diverges = true;
            return NOTHING;
        };
        let bits = first.bits;
        if let Some(other) = going_on.iter().find(|branch| branch.bits != bits) {
            self.low.diagnostics.push(
                Diagnostic::error(Code::C11, "the branches of this choice end at different bits of an octet")
                    .primary(other.span, format!("ends {} bits into an octet", other.bits))
                    .secondary(first.span, format!("ends {bits} bits into an octet")),
            );
        }
        self.bits = bits;
        let mut facts: Option<Facts> = None;
        for branch in &going_on {
            facts = Some(match facts {
                Some(facts) => facts.either(&branch.facts),
                None => branch.facts.clone(),
            });
        }
        self.facts = facts.unwrap_or_default();
        // One value of each branch under the name of the choice.
        let same = going_on.iter().all(|branch| branch.left.slot == first.left.slot);
        let left = match (same, first.left.slot) {
            (true, Some(slot)) => Left { slot: Some(slot), kind: first.left.kind.clone() },
            _ => NOTHING,
        };
        let depth = self.presence.len();
        let count = going_on.len();
        let mut names: Vec<String> = Vec::new();
        for entry in branches.iter().flat_map(|branch| &branch.entries) {
            if !names.contains(&entry.info.path) {
                names.push(entry.info.path.clone());
            }
        }
        let mut merged = Vec::new();
        for name in names {
            let having: Vec<(usize, &Entry)> = branches
                .iter()
                .enumerate()
                .flat_map(|(index, branch)| branch.entries.iter().map(move |entry| (index, entry)))
                .filter(|(_, entry)| entry.info.path == name)
                .collect();
            let mut places: Vec<usize> = having.iter().map(|(index, _)| *index).collect();
            places.dedup();
            // Several of one branch are variants of a choice within it.
            let one_each = places.len() == having.len();
            let kind = having
                .iter()
                .skip(1)
                .try_fold(having.first().map(|(_, entry)| entry.info.kind.clone()), |kind, (_, entry)| {
                    Some(kind.and_then(|kind| common(&kind, &entry.info.kind)))
                });
            let (Some(Some(kind)), true) = (kind, one_each) else {
                merged.extend(having.into_iter().map(|(_, entry)| entry.clone()));
                continue;
            };
            let Some((_, model)) = having.first() else { continue };
            let plain = having.iter().all(|(_, entry)| entry.info.presence.len() == depth + 1);
            // What no branch takes is a parse error, so a field of every branch is always there.
            let everywhere = places.len() == count
                && places.iter().all(|place| branches.get(*place).is_some_and(|branch| !branch.diverges));
            let mut presence: Vec<Presence> = model.info.presence.get(..depth).unwrap_or_default().to_vec();
            match by_value {
                _ if plain && everywhere => {}
                Some((slot, path, taken)) if plain => {
                    let values: Vec<&Vec<CaseValue>> = places
                        .iter()
                        .filter_map(|place| branches.get(*place).and_then(|branch| branch.values.as_ref()))
                        .collect();
                    let listed: Vec<CaseValue> = values.iter().flat_map(|values| values.iter().cloned()).collect();
                    let negated = values.len() < places.len();
                    let values = match negated {
                        true => taken.iter().filter(|value| !listed.contains(value)).cloned().collect(),
                        false => listed,
                    };
                    presence.push(Presence::Case { slot, path: path.into(), values, negated });
                }
                _ if having.len() == 1 => presence = model.info.presence.clone(),
                _ => presence.push(Presence::Part { slot: model.info.slot, path: name.clone() }),
            }
            let spelling = match having.iter().all(|(_, entry)| entry.spelling == model.spelling) {
                true => model.spelling.clone(),
                false => Spelling::Any,
            };
            let mut entry = (*model).clone();
            entry.info.kind = kind;
            entry.info.presence = presence;
            entry.spelling = spelling;
            merged.push(entry);
        }
        self.entries.extend(merged);
        left
    }
}

pub(super) fn is_else(branch: &Branch) -> bool {
    matches!(branch.patterns.as_slice(), [Pattern { kind: PatternKind::Else, .. }])
}

/// The prefixes of patterns that are compared with the first octets.
pub(super) fn first_of(low: &mut Lowering<'_>, patterns: &[Pattern]) -> Option<First> {
    let mut prefixes = Vec::new();
    let of_class =
        |set: ClassSet| Prefix { literal: Literal { bytes: Box::default(), fold: false }, next: Next::Class(set) };
    for pattern in patterns {
        let fold = low.fold;
        let literal = |bytes: &[u8]| {
            let fold = fold && bytes.iter().any(u8::is_ascii_alphabetic);
            Prefix { literal: Literal { bytes: bytes.into(), fold }, next: Next::Any }
        };
        let prefix = match &pattern.kind {
            PatternKind::Value(Expression { kind: ExpressionKind::Text(text), .. }) => {
                // A prefix is a prefix, with a star behind it or without.
                let bytes = text.bytes.strip_suffix(b"*").unwrap_or(&text.bytes);
                if bytes.is_empty() {
                    low.without_effect(pattern.span, "everything begins with an empty text", "write `else`");
                    return None;
                }
                literal(bytes)
            }
            PatternKind::Value(Expression { kind: ExpressionKind::Keyword(name), .. }) => literal(name.text.as_bytes()),
            PatternKind::Value(Expression { kind: ExpressionKind::Name(name), .. }) => match name.text.as_str() {
                "digit" | "decimal" => of_class(types::digits()),
                "word" => of_class(types::letters()),
                "token" => of_class(types::token()),
                "atom" => of_class(types::atom()),
                "hex" => of_class(types::digits().union(&ClassSet::of((b'A'..=b'F').chain(b'a'..=b'f')))),
                "newline" => of_class(ClassSet::of(*b"\r\n")),
                "end" => Prefix { literal: Literal { bytes: Box::default(), fold: false }, next: Next::End },
                _ => {
                    low.not_supported(pattern.span, "a choice by tests inside a record");
                    return None;
                }
            },
            PatternKind::Class(class) => of_class(types::class_of(class)),
            PatternKind::Value(_) | PatternKind::Range(..) => {
                low.not_supported(pattern.span, "a choice by tests inside a record");
                return None;
            }
            PatternKind::Else => {
                low.without_effect(
                    pattern.span,
                    "`else` stands alone",
                    "it takes everything, so the others do nothing",
                );
                return None;
            }
        };
        prefixes.push(prefix);
    }
    Some(First { prefixes })
}

/// The type of a field that several branches have under one name, if there is one.
fn common(left: &Type, right: &Type) -> Option<Type> {
    Some(match (left, right) {
        (left, right) if left == right => left.clone(),
        (Type::Number { min: a, max: b }, Type::Number { min: c, max: d }) => {
            Type::Number { min: *a.min(c), max: *b.max(d) }
        }
        (Type::Text { max: a } | Type::Keyword { max: a }, Type::Text { max: b })
        | (Type::Text { max: a }, Type::Keyword { max: b }) => Type::Text { max: *a.max(b) },
        (Type::Keyword { max: a }, Type::Keyword { max: b }) => Type::Keyword { max: *a.max(b) },
        _ => return None,
    })
}
