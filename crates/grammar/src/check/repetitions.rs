//! C5: a repetition whose end cannot be told from what follows.
//!
//! Three kinds: the elements begin as what follows does; a repetition takes everything to the end of its window and
//! something is to come behind it; a run of octets of a class takes everything that the next field could begin with.

use std::cell::RefCell;
use std::collections::HashMap;

use portcullis_lang::{Code, Diagnostic, Diagnostics};

use crate::model::{ClassSet, End, Field, Item, Many, Protocol, Rule, RuleId, RuleKind, Shape};
use crate::show;

use super::heads::{self, After, Head, Heads, Tail};
use super::sizes::Sizes;
use super::walk;

/// Rules around rules that are looked into.
const MAX_RULES: usize = 6;

pub(super) fn check(protocol: &Protocol, diagnostics: &mut Diagnostics) {
    let known = Known { heads: Heads::new(protocol), sizes: Sizes::new(protocol), behind: RefCell::default() };
    for (at, rule) in protocol.rules.iter().enumerate() {
        let Ok(id) = u16::try_from(at) else { continue };
        let whole = Context { known: &known, rule, id: RuleId(id), in_window: false };
        of_items(&whole, &rule.items, None, diagnostics);
    }
}

/// What is known of all rules.
struct Known<'a> {
    heads: Heads<'a>,
    sizes: Sizes,
    /// What can come behind a rule.
    behind: RefCell<HashMap<RuleId, Vec<Head>>>,
}

/// Where items stand.
#[derive(Clone, Copy)]
struct Context<'a> {
    known: &'a Known<'a>,
    rule: &'a Rule,
    id: RuleId,
    /// Whether a window of the rule ends where the items do.
    in_window: bool,
}

fn of_items(context: &Context<'_>, items: &[Item], outer: Option<&After<'_>>, diagnostics: &mut Diagnostics) {
    for (at, item) in items.iter().enumerate() {
        let behind = items.get(at.saturating_add(1)..).unwrap_or_default();
        let after = After { items: behind, outer };
        match item {
            Item::Many(many) => of_many(context, many, &after, diagnostics),
            Item::Field(field) => of_field(context, field, behind, diagnostics),
            _ => {}
        }
        let window = matches!(item, Item::Window { .. } | Item::Line { .. });
        let inner = Context { in_window: context.in_window || window, ..*context };
        for part in walk::parts(item) {
            of_items(&inner, part, if window { None } else { Some(&after) }, diagnostics);
        }
    }
}

/// What can come behind items: what stands there, and where that may be nothing, what is around the rule.
fn follow(context: &Context<'_>, after: &After<'_>) -> Vec<Head> {
    let heads = context.known.heads.of_all(&[], Some(after));
    if !heads.iter().any(|head| head.tail == Tail::Through) {
        return heads;
    }
    let around = if context.in_window { end() } else { behind_rule(context.known, context.id, 0) };
    heads::followed(heads, &around)
}

fn end() -> Vec<Head> {
    vec![Head { octets: Vec::new(), tail: Tail::End }]
}

/// What can come behind a rule, wherever it is used.
fn behind_rule(known: &Known<'_>, rule: RuleId, nested: usize) -> Vec<Head> {
    let protocol = known.heads.protocol;
    if protocol.rules.get(usize::from(rule.0)).is_some_and(|rule| rule.kind == RuleKind::Line) {
        return end();
    }
    if let Some(known) = known.behind.borrow().get(&rule) {
        return known.clone();
    }
    if nested >= MAX_RULES {
        return Vec::new();
    }
    // Behind a rule that ends with itself stands what stands behind it elsewhere.
    known.behind.borrow_mut().insert(rule, Vec::new());
    let mut heads = Vec::new();
    for (at, user) in protocol.rules.iter().enumerate() {
        let Ok(id) = u16::try_from(at) else { continue };
        let context = Context { known, rule: user, id: RuleId(id), in_window: false };
        uses(&context, &user.items, None, rule, nested, &mut heads);
    }
    let heads = if heads.is_empty() { end() } else { heads };
    known.behind.borrow_mut().insert(rule, heads.clone());
    heads
}

fn uses(
    context: &Context<'_>,
    items: &[Item],
    outer: Option<&After<'_>>,
    rule: RuleId,
    nested: usize,
    heads: &mut Vec<Head>,
) {
    for (at, item) in items.iter().enumerate() {
        let after = After { items: items.get(at.saturating_add(1)..).unwrap_or_default(), outer };
        let used = match item {
            Item::Value { rule: used, .. } => *used == rule,
            Item::Many(many) if many.element == rule => {
                heads.extend(context.known.heads.of_rule(rule));
                true
            }
            _ => false,
        };
        if used {
            let behind = context.known.heads.of_all(&[], Some(&after));
            let around = if context.in_window {
                end()
            } else {
                behind_rule(context.known, context.id, nested.saturating_add(1))
            };
            heads.extend(heads::followed(behind, &around));
        }
        let window = matches!(item, Item::Window { .. } | Item::Line { .. });
        let inner = Context { in_window: context.in_window || window, ..*context };
        for part in walk::parts(item) {
            uses(&inner, part, if window { None } else { Some(&after) }, rule, nested, heads);
        }
    }
}

fn of_many(context: &Context<'_>, many: &Many, after: &After<'_>, diagnostics: &mut Diagnostics) {
    match &many.end {
        End::First(first) => {
            let elements = heads::of_first(first);
            let follows = follow(context, after);
            let Some(decided) = heads::witness(&elements, &follows) else { return };
            // A longer input that both could go on with shows more than the octets that decide.
            let whole = heads::narrowed(&context.known.heads.of_rule(many.element), &elements);
            let longer = heads::witness(&whole, &follows).filter(|longer| longer.0.len() > decided.0.len());
            let (octets, ends) = longer.unwrap_or(decided);
            let both = match (octets.is_empty(), ends) {
                (true, true) => "both accept the end of what there is".to_owned(),
                (true, false) => "both accept anything".to_owned(),
                _ => format!("both match  {}", show::quoted(&octets)),
            };
            let next = next_place(after);
            let mut diagnostic = Diagnostic::error(Code::C5, format!("the end of `{}` cannot be seen", many.name))
                .primary(many.span, "an element begins like this ...");
            if let Some(span) = next {
                diagnostic = diagnostic.secondary(span, "... and so does what follows");
            }
            diagnostics.push(
                diagnostic
                    .note(both)
                    .note("The repetition goes on as long as the first octets are those of an element, and never goes back.")
                    .help(format!(
                        "say how it ends, e.g. `{}: many ... until empty line`, or let a number count it: `n: u16 counts {}`",
                        many.name, many.name
                    )),
            );
        }
        End::Window => {
            let empty = context.known.sizes.empty(after.items, &context.rule.layout);
            if empty.at_end {
                return;
            }
            let mut diagnostic =
                Diagnostic::error(Code::C5, format!("`{}` leaves nothing for what follows", many.name))
                    .primary(many.span, "goes on to the end of the window");
            if let Some(span) = next_place(after) {
                diagnostic = diagnostic.secondary(span, "is behind the end, and can never be read");
            }
            diagnostics.push(diagnostic.help(format!(
                "say how `{}` ends, e.g. `until empty line` or `n: u16 counts {}`",
                many.name, many.name
            )));
        }
        End::Count(_) | End::Until(_) | End::While(_) | End::UntilLiteral(_) | End::UntilEmptyLine => {}
    }
}

/// Where the next thing stands that is read.
fn next_place(after: &After<'_>) -> Option<portcullis_lang::Span> {
    let mut next = Some(after);
    while let Some(after) = next {
        let read = |item: &&Item| !matches!(item, Item::Check { .. } | Item::Let { .. });
        if let Some(span) = after.items.iter().filter(read).find_map(walk::span) {
            return Some(span);
        }
        next = after.outer;
    }
    None
}

/// A run of octets is as long as it can be: what the next field begins with must not all be taken by it.
fn of_field(context: &Context<'_>, field: &Field, behind: &[Item], diagnostics: &mut Diagnostics) {
    let set = match &field.shape {
        Shape::Class { set, min, max } if min != max => *set,
        Shape::Decimal { .. } => heads::digits(),
        Shape::Hex { .. } => heads::hex_digits(),
        Shape::Blanks => ClassSet::of(*b" \t"),
        _ => return,
    };
    // Only what has to come next is sure to be missed.
    let Some(next) = behind.iter().find(|item| !matches!(item, Item::Check { .. } | Item::Let { .. })) else { return };
    let next_heads = context.known.heads.of_items(std::slice::from_ref(next));
    let taken =
        |head: &Head| head.octets.first().is_some_and(|first| first.intersection(&heads::complement(&set)).is_empty());
    if next_heads.is_empty() || !next_heads.iter().all(taken) {
        return;
    }
    let Some(octet) = next_heads.iter().find_map(|head| heads::likely(head.octets.first()?)) else { return };
    let name = if field.name.is_empty() { "this field" } else { field.name.as_str() };
    let mut diagnostic = Diagnostic::error(Code::C5, format!("the end of `{name}` cannot be told from what follows"))
        .primary(field.span, format!("takes every {} there is ...", show::quoted(&[octet])));
    if let Some(span) = walk::span(next) {
        diagnostic = diagnostic.secondary(span, "... so that this can never begin");
    }
    diagnostics.push(
        diagnostic
            .note("A run of octets of a class is as long as it can be, and nothing of it is given back.")
            .help(format!("say how long it is (e.g. `{name}: digit x 2`), what ends it (`until \" \"`), or put a separator between the two")),
    );
}
