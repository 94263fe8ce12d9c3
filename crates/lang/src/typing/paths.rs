//! Names and paths.

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::expression::{Expression, ExpressionKind, Name};
use crate::formula::{Formula, Place, Scope};
use crate::limits::MAX_DIAGNOSTICS;
use crate::scheme::{CaseValue, Layout, Presence, RAW_SLOT, Type};
use crate::source::Span;
use crate::suggest::suggest;

use super::checker::{Absence, Checker, Typed, constant};
use super::domain::join_or;
use super::facts::{Facts, Subject};
use super::names::{Found, NamedSet, Resolution, dotted};

/// An element of a list, or a field of it, for a test of each.
pub(super) struct Element {
    pub(super) list: Place,
    pub(super) slot: u16,
    pub(super) subject: Typed,
}

/// How a path was understood: `names[..known]` have a meaning, the rest is behind it.
struct Resolved {
    known: usize,
    found: Vec<Found>,
}

impl Checker<'_> {
    /// A field.
    pub(super) fn field(&mut self, path: &[Name], span: Span, facts: &Facts, absence: Absence) -> Option<Typed> {
        let resolved = self.resolve(path, span)?;
        let (known, beyond) = path.split_at(resolved.known.min(path.len()));
        if beyond.is_empty() {
            let subject = |found: &Found| Subject::Place(found.place);
            let formula = |found: &Found| Formula::Place(found.place);
            return self.choose_variant(resolved.found, subject, formula, path, span, facts, absence);
        }
        let found = resolved.found.first().cloned()?;
        let Type::List(layout) = &found.kind else { return self.unknown(beyond.first()?, known) };
        match (beyond.first()?.text.as_str(), beyond.get(1..).unwrap_or_default()) {
            (edge @ ("first" | "last"), fields) => {
                self.require(&found, Subject::Place(found.place), known, span, facts, absence)?;
                let list = found.place;
                if list.scope == Scope::Element {
                    return self.not_supported(span, "a list within a list");
                }
                let last = edge == "last";
                let elements = in_element(layout, fields);
                if elements.is_empty() {
                    return match fields.first() {
                        Some(name) => self.unknown_in(name, layout, &dotted(known)),
                        None => self.type_error(span, "an element is no value", "name one of its fields"),
                    };
                }
                let subject = |found: &Found| Subject::Edge { list, slot: found.place.slot, last };
                let formula = |found: &Found| Formula::Edge { list, slot: found.place.slot, last };
                let mut typed = self.choose_variant(elements, subject, formula, path, span, facts, absence)?;
                typed.optional |= !self.names.never_empty(list);
                Some(typed)
            }
            _ => {
                let list = dotted(known);
                let rest = dotted(beyond);
                self.diagnostics.push(
                    Diagnostic::error(Code::C11, format!("`{list}` is a list"))
                        .primary(span, "of which of its elements?")
                        .help(format!(
                            "`any {list}.{rest} == ...`, `every {list}.{rest} == ...`, `{list}.first.{rest}` or `{list}.last.{rest}`"
                        )),
                );
                None
            }
        }
    }

    /// The elements of `LIST` or `LIST.FIELD`, for a test of each.
    pub(super) fn element(&mut self, path: &Expression, may_be_absent: bool) -> Option<Element> {
        let Some(names) = path_of(path) else {
            return self.type_error(path.span, "this is no list", "a list's name is needed here");
        };
        let resolved = self.resolve(&names, path.span)?;
        let (known, fields) = names.split_at(resolved.known.min(names.len()));
        let list = resolved.found.first().cloned()?;
        let Type::List(layout) = &list.kind else {
            let name = dotted(known);
            let label = list.kind.describe();
            return self.type_error(path.span, format!("`{name}` is no list"), label);
        };
        if list.place.scope == Scope::Element {
            return self.not_supported(path.span, "a list within a list");
        }
        let elements = in_element(layout, fields);
        let Some(first) = elements.first().cloned() else {
            return match fields.first() {
                Some(name) => self.unknown_in(name, layout, &dotted(known)),
                None => {
                    let list = dotted(known);
                    self.diagnostics.push(
                        Diagnostic::error(Code::C11, "the elements of this list are no values")
                            .primary(path.span, "name one of their fields")
                            .help(format!("they have: {}", join_or(&super::names::candidates_in(layout, &[]))))
                            .note(format!("each element of `{list}` is made of several fields")),
                    );
                    None
                }
            };
        };
        let kind = elements.iter().skip(1).try_fold(first.kind.clone(), |kind, next| join(&kind, &next.kind));
        let Some(kind) = kind else {
            return self.type_error(path.span, "this field has several types", "not the same in every variant");
        };
        if !may_be_absent
            && elements.iter().all(|found| found.presence.iter().any(|presence| !found.may_fail(presence)))
        {
            let name = dotted(&names);
            self.diagnostics.push(
                Diagnostic::error(Code::C10, format!("`{name}` may be absent here"))
                    .primary(path.span, absence_reason(&first.presence))
                    .help(format!("not every element has it; write `any {name} ...` or `not any {name} ...`")),
            );
            return None;
        }
        let subject = Typed { formula: Formula::Place(first.place), kind, optional: may_be_absent, ..constant() };
        Some(Element { list: list.place, slot: first.place.slot, subject })
    }

    /// A list.
    pub(super) fn list(&mut self, expression: &Expression) -> Option<Found> {
        let Some(names) = path_of(expression) else {
            return self.type_error(expression.span, "this is no list", "a list's name is needed here");
        };
        let resolved = self.resolve(&names, expression.span)?;
        let found = resolved.found.first().cloned()?;
        match names.get(resolved.known) {
            Some(name) => self.unknown(name, names.get(..resolved.known).unwrap_or_default()),
            None if matches!(found.kind, Type::List(_)) => Some(found),
            None => {
                let label = found.kind.describe();
                self.type_error(expression.span, format!("`{}` is no list", dotted(&names)), label)
            }
        }
    }

    /// A list or network of the policy, if that is what the expression names; nothing, and no message, otherwise.
    pub(super) fn named_set(&self, expression: &Expression) -> Option<NamedSet> {
        match self.names.resolve(&path_of(expression)?) {
            Resolution::Named(set) => Some(set),
            _ => None,
        }
    }

    fn resolve(&mut self, path: &[Name], span: Span) -> Option<Resolved> {
        for known in (1..=path.len()).rev() {
            let prefix = path.get(..known).unwrap_or_default();
            match self.names.resolve(prefix) {
                Resolution::Field(found) => return Some(Resolved { known, found }),
                Resolution::Named(set) => {
                    let (kind, help) = match set {
                        NamedSet::Texts(_) => ("a list of texts", "ask whether something is in it: `... in NAME`"),
                        NamedSet::Networks(_) => ("networks", "ask whether an address is in them: `... in NAME`"),
                    };
                    self.diagnostics.push(
                        Diagnostic::error(Code::C11, format!("`{}` is no value", dotted(prefix)))
                            .primary(span, kind)
                            .help(help),
                    );
                    return None;
                }
                Resolution::NotYet { declared } => {
                    let mut diagnostic =
                        Diagnostic::error(Code::C10, format!("`{}` is not parsed yet here", dotted(prefix)))
                            .primary(span, "needed here ...");
                    if let Some(declared) = declared {
                        diagnostic = diagnostic.secondary(declared, "... and read only here");
                    }
                    self.diagnostics.push(diagnostic.help("move it behind the field that it needs"));
                    return None;
                }
                Resolution::NotSupported(what) => return self.not_supported(span, &what),
                Resolution::Unknown => {}
            }
        }
        if self.diagnostics.len() >= MAX_DIAGNOSTICS {
            // It is only counted: looking for its neighbours would be in vain.
            return self.push_unknown(path.last()?, "", &[]);
        }
        // The longest prefix of names that lead somewhere tells which name is wrong.
        let mut valid = 0;
        while let Some(name) = path.get(valid) {
            let candidates = self.names.candidates(path.get(..valid).unwrap_or_default());
            if !candidates.contains(&name.text) {
                break;
            }
            valid += 1;
        }
        let valid = valid.min(path.len().saturating_sub(1));
        let prefix = path.get(..valid).unwrap_or_default();
        match path.get(valid) {
            Some(name) => self.unknown(name, prefix),
            None => None,
        }
    }

    pub(super) fn unknown<T>(&mut self, name: &Name, prefix: &[Name]) -> Option<T> {
        let candidates = self.names.candidates(prefix);
        self.push_unknown(name, &dotted(prefix), &candidates)
    }

    fn unknown_in<T>(&mut self, name: &Name, layout: &Layout, list: &str) -> Option<T> {
        let candidates = super::names::candidates_in(layout, &[]);
        self.push_unknown(name, list, &candidates)
    }

    fn push_unknown<T>(&mut self, name: &Name, owner: &str, candidates: &[String]) -> Option<T> {
        let title = match owner {
            "" => format!("unknown name `{name}`"),
            owner => format!("`{owner}` has no field `{name}`"),
        };
        let mut diagnostic = Diagnostic::error(Code::C1, title).primary(name.span, "");
        match suggest(&name.text, candidates.iter().map(String::as_str)) {
            Some(near) => diagnostic = diagnostic.help(format!("did you mean `{near}`?")),
            None if !candidates.is_empty() => {
                diagnostic = diagnostic.help(format!("the names that are known here: {}", list_of(candidates)));
            }
            None => {}
        }
        self.diagnostics.push(diagnostic);
        None
    }

    // Of the variants that have a field under this name: those that are possible here, as one value.
    #[allow(clippy::too_many_arguments)]
    fn choose_variant(
        &mut self,
        mut variants: Vec<Found>,
        subject_of: impl Fn(&Found) -> Subject,
        formula_of: impl Fn(&Found) -> Formula,
        path: &[Name],
        span: Span,
        facts: &Facts,
        absence: Absence,
    ) -> Option<Typed> {
        if variants.len() > 1 {
            let possible =
                |found: &Found| !found.presence.iter().any(|presence| facts.excludes(subject_of(found), presence));
            if variants.iter().any(possible) {
                variants.retain(possible);
            }
        }
        let first = variants.first().cloned()?;
        let subject = subject_of(&first);
        let single = variants.len() == 1;
        if single {
            self.require(&first, subject, path, span, facts, absence)?;
        } else if absence == Absence::Refused {
            let given = |found: &Found, presence: &Presence| {
                found.may_fail(presence) || facts.implies(subject_of(found), presence)
            };
            let sure = variants.iter().any(|found| found.presence.iter().all(|presence| given(found, presence)));
            if !sure && !facts.is_present(subject) {
                self.require(&first, subject, path, span, facts, absence)?;
            }
        }
        let same_slot = variants.iter().all(|found| found.place == first.place);
        let kind = variants.iter().skip(1).try_fold(first.kind.clone(), |kind, next| join(&kind, &next.kind));
        let Some(kind) = kind.filter(|_| same_slot) else {
            let name = dotted(path);
            self.diagnostics.push(
                Diagnostic::error(Code::C11, format!("`{name}` is not the same in every variant"))
                    .primary(
                        span,
                        format!("{} in one, {} in another", first.kind.describe(), variants.last()?.kind.describe()),
                    )
                    .help("test first which variant it is"),
            );
            return None;
        };
        let kind = narrowed(kind, subject, facts);
        let present = facts.is_present(subject);
        let given = |found: &Found, presence: &Presence| found.may_fail(presence) || facts.implies(subject, presence);
        let sure = present || variants.iter().any(|found| found.presence.iter().all(|p| given(found, p)));
        let fallible = !present && variants.iter().any(|found| found.presence.iter().any(|p| found.may_fail(p)));
        Some(Typed {
            formula: formula_of(&first),
            kind,
            optional: !sure,
            fallible,
            subject: (first.place.slot != RAW_SLOT).then_some(subject),
            found: single.then_some(first),
        })
    }

    // C10.
    fn require(
        &mut self,
        found: &Found,
        subject: Subject,
        path: &[Name],
        span: Span,
        facts: &Facts,
        absence: Absence,
    ) -> Option<()> {
        if absence == Absence::Allowed || facts.is_present(subject) {
            return Some(());
        }
        let missing = found.presence.iter().find(|presence| {
            let part = matches!(presence, Presence::Part { .. });
            let excused = found.may_fail(presence) || (part && absence == Absence::Parts);
            !excused && !facts.implies(subject, presence)
        });
        let Some(missing) = missing else { return Some(()) };
        let name = dotted(path);
        let mut diagnostic = Diagnostic::error(Code::C10, format!("`{name}` may be absent here"))
            .primary(span, absence_reason(std::slice::from_ref(missing)));
        if let Some(declared) = found.declared {
            diagnostic = diagnostic.secondary(declared, "read only in one variant");
        }
        let diagnostic = match missing {
            Presence::Case { path, values, negated, .. } => {
                let test = case_test(path, values, *negated);
                let word = path.rsplit('.').next().unwrap_or(path);
                diagnostic.help(format!("test the {word} first: `{test} and ...`"))
            }
            Presence::Part { path: part, .. } => diagnostic.help(format!(
                "test first whether it is there: `{} and ...`",
                if part.is_empty() { &name } else { part }
            )),
        };
        self.diagnostics.push(diagnostic);
        None
    }
}

/// The path that an expression is, if it is one.
pub(super) fn path_of(expression: &Expression) -> Option<Vec<Name>> {
    let mut names = Vec::new();
    let mut at = expression;
    loop {
        match &at.kind {
            ExpressionKind::Name(name) => {
                names.push(name.clone());
                names.reverse();
                return Some(names);
            }
            ExpressionKind::Field(inner, name) => {
                names.push(name.clone());
                at = inner;
            }
            _ => return None,
        }
    }
}

/// What two variants of a field have in common.
fn join(left: &Type, right: &Type) -> Option<Type> {
    Some(match (left, right) {
        (left, right) if left == right => left.clone(),
        (Type::Number { min: a, max: b }, Type::Number { min: c, max: d }) => {
            Type::Number { min: *a.min(c), max: *b.max(d) }
        }
        (Type::Enumeration(_), Type::Number { .. }) | (Type::Number { .. }, Type::Enumeration(_)) => {
            Type::Number { min: 0, max: i64::MAX }
        }
        (Type::Text { max: a } | Type::Keyword { max: a }, Type::Text { max: b })
        | (Type::Text { max: a }, Type::Keyword { max: b }) => Type::Text { max: *a.max(b) },
        (Type::Keyword { max: a }, Type::Keyword { max: b }) => Type::Keyword { max: *a.max(b) },
        _ => return None,
    })
}

fn narrowed(kind: Type, subject: Subject, facts: &Facts) -> Type {
    match kind {
        Type::Number { min, max } => {
            let (min, max) = facts.range(subject, (min, max));
            Type::Number { min, max }
        }
        kind => kind,
    }
}

fn in_element(layout: &Layout, fields: &[Name]) -> Vec<Found> {
    let dotted = dotted(fields);
    let same = layout.fields.iter().filter(|field| field.path == dotted);
    same.map(|field| super::names::found(field, Scope::Element)).collect()
}

/// `exists only when kind == 0`.
fn absence_reason(presence: &[Presence]) -> String {
    match presence.first() {
        Some(Presence::Case { path, values, negated, .. }) => {
            format!("exists only when {}", case_test(path, values, *negated))
        }
        _ => "an optional part, which is not always there".into(),
    }
}

/// `kind == 0`, `verb in (MAIL, RCPT)`, `not (verb in (MAIL, RCPT))`.
pub(super) fn case_test(path: &str, values: &[CaseValue], negated: bool) -> String {
    let shown: Vec<String> = values.iter().take(6).map(describe_case).collect();
    let more = if values.len() > shown.len() { ", ..." } else { "" };
    match (shown.as_slice(), negated) {
        ([only], false) if !only.contains("..") => format!("{path} == {only}"),
        ([only], true) if !only.contains("..") => format!("{path} != {only}"),
        (_, false) => format!("{path} in ({}{more})", shown.join(", ")),
        (_, true) => format!("not {path} in ({}{more})", shown.join(", ")),
    }
}

fn describe_case(case: &CaseValue) -> String {
    match case {
        CaseValue::Range(low, high) if low == high => low.to_string(),
        CaseValue::Range(low, high) => format!("{low}..{high}"),
        CaseValue::Text(text) => {
            let word = String::from_utf8_lossy(text);
            let keyword = word.chars().next().is_some_and(|first| first.is_ascii_uppercase())
                && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
            if keyword { word.into_owned() } else { format!("\"{}\"", text.escape_ascii()) }
        }
    }
}

fn list_of(candidates: &[String]) -> String {
    const SHOWN: usize = 24;
    let more = if candidates.len() > SHOWN { ", ..." } else { "" };
    format!("{}{more}", candidates.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", "))
}
