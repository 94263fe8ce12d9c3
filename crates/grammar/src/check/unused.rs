//! C12: a length or a count that nothing uses.

use portcullis_lang::{Code, Diagnostic, Diagnostics, Formula, Place, Scope, Span};

use crate::model::{Action, End, Expect, Field, Item, Protocol, Rule, RuleId, Shape, Trigger};

use super::walk::{self, Read, Said};

/// What a number seems to say, by its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Looks {
    Count,
    Length,
}

pub(super) fn check(protocol: &Protocol, diagnostics: &mut Diagnostics) {
    for (at, rule) in protocol.rules.iter().enumerate() {
        let Ok(id) = u16::try_from(at) else { continue };
        let mut candidates: Vec<(&Field, Looks)> = Vec::new();
        walk::each_item(&rule.items, &mut |item| {
            if let Item::Field(field) = item {
                let number = matches!(
                    field.shape,
                    Shape::Number { .. } | Shape::Bits(_) | Shape::Decimal { .. } | Shape::Hex { .. }
                );
                if let (true, Some(looks)) = (number, looks(&field.name)) {
                    candidates.push((field, looks));
                }
            }
        });
        if candidates.is_empty() {
            continue;
        }
        let used = used_slots(protocol, RuleId(id), rule);
        for (field, looks) in candidates {
            let Some(slot) = field.slot else { continue };
            if used.contains(&slot) {
                continue;
            }
            if let Some(target) = target(rule, field, looks) {
                diagnostics.push(message(field, looks, &target));
            }
        }
    }
}

/// What a name looks like: `qdcount`, `body_length`, `size`.
fn looks(name: &str) -> Option<Looks> {
    let last = name.rsplit(['.', '_']).next().unwrap_or(name).to_ascii_lowercase();
    match last.as_str() {
        "count" | "cnt" => Some(Looks::Count),
        "length" | "len" | "size" => Some(Looks::Length),
        // `qdcount`, `rdlength`, but not `discount` nor `wavelength`.
        other if other.len() <= "xxcount".len() && other.ends_with("count") && other != "account" => Some(Looks::Count),
        other if other.len() <= "xxlength".len() && other.ends_with("length") => Some(Looks::Length),
        _ => None,
    }
}

/// The slots of a rule that anything reads: its own formulas, those of the lists that it is the element of, and the machine.
fn used_slots(protocol: &Protocol, id: RuleId, rule: &Rule) -> Vec<u16> {
    let mut used = Vec::new();
    let mut own = |formula: &Formula| {
        walk::each_read(formula, &mut |read| {
            if let Read::Place(Place { scope: Scope::Record, slot }) = read {
                used.push(slot);
            }
        });
    };
    walk::each_item(&rule.items, &mut |item| {
        if !matches!(item, Item::Many(_)) {
            walk::formulas(item).into_iter().for_each(&mut own);
        }
        if let Item::Many(many) = item
            && let End::Count(count) = &many.end
        {
            own(count);
        }
    });
    rule.result.iter().for_each(&mut own);
    for user in &protocol.rules {
        of_elements(user, id, &mut used);
    }
    of_machine(protocol, id, &mut used);
    used
}

/// What a rule with a list reads of its elements.
fn of_elements(user: &Rule, id: RuleId, used: &mut Vec<u16>) {
    let mut lists = Vec::new();
    walk::each_item(&user.items, &mut |item| match item {
        Item::Many(many) if many.element == id => {
            lists.push(many.slot);
            if let End::Until(test) | End::While(test) = &many.end {
                walk::each_read(test, &mut |read| {
                    if let Read::Place(Place { scope: Scope::Element, slot }) = read {
                        used.push(slot);
                    }
                });
            }
        }
        _ => {}
    });
    if lists.is_empty() {
        return;
    }
    let mut of_formula = |formula: &Formula| {
        walk::each_read(formula, &mut |read| {
            if let Read::Element(list, slot) = read
                && lists.contains(&list.slot)
            {
                used.push(slot);
            }
        });
    };
    walk::each_item(&user.items, &mut |item| walk::formulas(item).into_iter().for_each(&mut of_formula));
    user.result.iter().for_each(&mut of_formula);
}

/// What the machine reads of the records of a rule, and what the flow keeps of them.
fn of_machine(protocol: &Protocol, id: RuleId, used: &mut Vec<u16>) {
    let mut events = Vec::new();
    for state in &protocol.machine.states {
        for expect in &state.expects {
            walk::each_said(expect, &mut |said| {
                if let Said::Record(expected) = said {
                    if expected.rule == id {
                        events.push(expected.event);
                    }
                    if let Some((question, answer)) = expected.matches.as_ref().and_then(|matching| matching.key) {
                        used.extend([question, answer]);
                    }
                }
            });
        }
    }
    for kept in protocol.kept.iter().filter(|kept| events.contains(&kept.event)) {
        used.extend(kept.fields.iter().map(|(slot, _)| *slot));
    }
    let mut read = |formula: &Formula| {
        walk::each_read(formula, &mut |read| {
            if let Read::Place(Place { scope: Scope::Record, slot }) = read {
                used.push(slot);
            }
        });
    };
    for state in &protocol.machine.states {
        for expect in &state.expects {
            announced(expect, &mut read);
        }
        for rule in &state.rules {
            if !rule.triggers.iter().any(|trigger| matches!(trigger, Trigger::Event(event) if events.contains(event))) {
                continue;
            }
            rule.when.iter().for_each(&mut read);
            for action in &rule.actions {
                match action {
                    Action::Should { test, .. } => read(test),
                    Action::Set { value, .. } => read(value),
                    Action::Anomaly(_) | Action::Close(_) | Action::Abort(_) => {}
                }
            }
        }
    }
    // A stream behind a record (`up request then body`) reads the record's fields.
    protocol.streams.iter().filter_map(walk::source_formula).for_each(&mut read);
}

/// The formulas by which what a side says is chosen.
fn announced(expect: &Expect, read: &mut dyn FnMut(&Formula)) {
    match expect {
        Expect::Then(_, then) => announced(then, read),
        Expect::Choose { on, arms, otherwise, .. } => {
            read(on);
            arms.iter().for_each(|(_, expect)| announced(expect, read));
            announced(otherwise, read);
        }
        Expect::First { arms, otherwise } => {
            arms.iter().for_each(|(_, expect)| announced(expect, read));
            announced(otherwise, read);
        }
        Expect::Nothing | Expect::Waits { .. } | Expect::Record(_) | Expect::Stream(_) => {}
    }
}

/// Something behind the number that it could be about.
struct Target {
    name: String,
    span: Span,
    list: bool,
}

fn target(rule: &Rule, field: &Field, looks: Looks) -> Option<Target> {
    let mut behind = false;
    let mut targets = Vec::new();
    walk::each_item(&rule.items, &mut |item| match item {
        Item::Field(other) if other.span == field.span => behind = true,
        Item::Field(other)
            if behind
                && looks == Looks::Length
                && matches!(other.shape, Shape::Rest | Shape::Bytes(Formula::Number(_)) | Shape::Until { .. })
                && other.slot.is_some() =>
        {
            targets.push(Target { name: other.name.clone(), span: other.span, list: false });
        }
        Item::Many(many) if behind && !matches!(many.end, End::Count(_)) => {
            targets.push(Target { name: many.name.clone(), span: many.span, list: true });
        }
        _ => {}
    });
    // `qdcount` is more likely about `questions` than about what comes first.
    let letter = field.name.rsplit('.').next().and_then(|name| name.chars().next());
    let same = targets.iter().position(|target| target.name.chars().next() == letter);
    let best = same.unwrap_or(0);
    (best < targets.len()).then(|| targets.swap_remove(best))
}

fn message(field: &Field, looks: Looks, target: &Target) -> Diagnostic {
    let what = if looks == Looks::Count { "a count" } else { "a length" };
    let (relation, ends) = match (looks, target.list) {
        (Looks::Count, _) => ("counts", "repeated whatever it says"),
        (Looks::Length, _) => ("measures", "as long as it is, whatever that says"),
    };
    Diagnostic::warning(Code::C12, format!("`{}` is read and never used", field.name))
        .primary(field.span, format!("looks like {what}"))
        .secondary(target.span, format!("`{}` is {ends}", target.name))
        .note("Who believes the number reads the message differently from who does not: that difference is what an attacker looks for.")
        .help(format!("write `{}: {} {relation} {}`", field.name, type_of(&field.shape), target.name))
        .help(format!("or, if it is about something else, use it: `{} must be ...`; or do not keep it: `_: ...`", field.name))
}

/// A number as it is written.
fn type_of(shape: &Shape) -> String {
    match shape {
        Shape::Number { octets, signed, .. } => {
            format!("{}{}", if *signed { "i" } else { "u" }, u32::from(*octets).saturating_mul(8))
        }
        Shape::Bits(1) => "bit".to_owned(),
        Shape::Bits(bits) => format!("u{bits}"),
        Shape::Hex { .. } => "hex".to_owned(),
        _ => "decimal".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_like_numbers_of_something() {
        assert!(looks("qdcount") == Some(Looks::Count) && looks("header.length") == Some(Looks::Length));
        assert!(looks("body_size") == Some(Looks::Length) && looks("rdlength") == Some(Looks::Length));
        assert!(looks("discount").is_none() && looks("account").is_none() && looks("wavelength").is_none());
        assert!(looks("window").is_none());
    }
}
