//! Fields that a rule reads and its event does not have, but another does (C17).

use portcullis_lang::typing::{Names, Resolution, dotted};
use portcullis_lang::{Code, Diagnostic, Diagnostics, EventType, Expression, ExpressionKind, Member, Name, Set, Span};

use crate::names::RuleNames;

/// Whether every field of an expression is one of the event, or unknown to all events; reports those of other events.
///
/// Unknown names are left to the checker of expressions, which knows more about them.
pub(crate) fn are_of_event(expression: &Expression, names: &RuleNames<'_>, diagnostics: &mut Diagnostics) -> bool {
    let mut all = true;
    for path in paths(expression) {
        let known = (1..=path.len()).any(|length| {
            let prefix = path.get(..length).unwrap_or_default();
            !matches!(names.resolve(prefix), Resolution::Unknown)
        });
        if known {
            continue;
        }
        let others: Vec<&EventType> = names.scheme.events.iter().filter(|event| has(event, &path)).collect();
        if let (Some(first), Some(last), false) = (path.first(), path.last(), others.is_empty()) {
            let span = first.span.to(last.span);
            diagnostics.push(of_other_event(&dotted(&path), &others, names).primary(span, ""));
            all = false;
        }
    }
    all
}

fn has(event: &EventType, path: &[Name]) -> bool {
    (1..=path.len()).any(|length| {
        let prefix = dotted(path.get(..length).unwrap_or_default());
        event
            .layout
            .field(&prefix)
            .is_some_and(|field| length == path.len() || matches!(field.kind, portcullis_lang::Type::List(_)))
    })
}

fn of_other_event(field: &str, others: &[&EventType], names: &RuleNames<'_>) -> Diagnostic {
    let protocol = &names.scheme.name;
    let own = &names.event.name;
    let shown: Vec<String> = others.iter().take(4).map(|event| format!("`{protocol}.{}`", event.name)).collect();
    let more = if others.len() > shown.len() { " and others" } else { "" };
    let mut diagnostic = Diagnostic::error(Code::C17, format!("`{protocol}.{own}` has no `{field}`"))
        .note(format!("it is a field of {}{more}", shown.join(", ")));
    let kept: Vec<&str> = names.scheme.flow.fields.iter().map(|field| field.path.as_str()).collect();
    let same = |path: &&&str| path.rsplit('.').next() == Some(field);
    if let Some(kept) = kept.iter().find(same) {
        diagnostic = diagnostic.help(format!("the flow keeps that of an earlier event: `{kept}`"));
    } else if let Some(first) = others.first() {
        diagnostic = diagnostic.help(format!("put the rule on `{protocol}.{}`", first.name));
    }
    diagnostic
}

/// All dotted names of an expression.
fn paths(expression: &Expression) -> Vec<Vec<Name>> {
    let mut found = Vec::new();
    collect(expression, &mut found);
    found
}

fn collect(expression: &Expression, found: &mut Vec<Vec<Name>>) {
    match &expression.kind {
        ExpressionKind::Name(name) => found.push(vec![name.clone()]),
        ExpressionKind::Field(inner, name) => {
            let before = found.len();
            collect(inner, found);
            // `a.b` of `a`; behind anything else the name is not the end of a path.
            let of_path = found.len() == before.saturating_add(1) && is_path(inner);
            if let Some(path) = found.last_mut().filter(|_| of_path) {
                path.push(name.clone());
            }
        }
        ExpressionKind::Index(left, right)
        | ExpressionKind::Binary(_, left, right)
        | ExpressionKind::Matches(left, right)
        | ExpressionKind::Has(left, right)
        | ExpressionKind::HasSeveral(left, right)
        | ExpressionKind::Before(left, _, right)
        | ExpressionKind::After(left, _, right)
        | ExpressionKind::Join(left, right) => {
            collect(left, found);
            collect(right, found);
        }
        ExpressionKind::List(entries) => entries.iter().for_each(|entry| collect(entry, found)),
        ExpressionKind::Unary(_, inner) | ExpressionKind::Is(inner, _) | ExpressionKind::IsEmpty(inner) => {
            collect(inner, found);
        }
        ExpressionKind::In(value, set) => {
            collect(value, found);
            match set {
                // The names of states, members of enumerations and lists that may stand here are no fields.
                Set::Members(members) => members.iter().for_each(|member| match member {
                    Member::Value(value) if !matches!(value.kind, ExpressionKind::Name(_)) => collect(value, found),
                    Member::Value(_) | Member::Range(..) => {}
                }),
                Set::Of(_) => {}
            }
        }
        ExpressionKind::TextTest { value, .. } => collect(value, found),
        ExpressionKind::Quantified { path, test, .. } => {
            collect(path, found);
            collect(test, found);
        }
        ExpressionKind::As { value, default, .. } => {
            collect(value, found);
            if let Some(default) = default {
                collect(default, found);
            }
        }
        ExpressionKind::Number(_)
        | ExpressionKind::Duration(_)
        | ExpressionKind::Text(_)
        | ExpressionKind::Regex(_)
        | ExpressionKind::Address(_)
        | ExpressionKind::Network(..)
        | ExpressionKind::Boolean(_)
        | ExpressionKind::Keyword(_)
        | ExpressionKind::Subject => {}
    }
}

fn is_path(expression: &Expression) -> bool {
    match &expression.kind {
        ExpressionKind::Name(_) => true,
        ExpressionKind::Field(inner, _) => is_path(inner),
        _ => false,
    }
}

/// The regular expressions that an expression looks for in a stream, and where they stand.
pub(crate) fn expressions_of_stream(expression: &Expression) -> Vec<(String, Span)> {
    let mut found = Vec::new();
    let mut todo = vec![expression];
    while let Some(expression) = todo.pop() {
        match &expression.kind {
            ExpressionKind::Matches(value, pattern) => {
                if let (ExpressionKind::Subject, ExpressionKind::Regex(text)) = (&value.kind, &pattern.kind) {
                    found.push((text.clone(), pattern.span));
                }
            }
            ExpressionKind::Binary(_, left, right) => todo.extend([left.as_ref(), right.as_ref()]),
            ExpressionKind::Unary(_, inner) => todo.push(inner),
            _ => {}
        }
    }
    found
}
