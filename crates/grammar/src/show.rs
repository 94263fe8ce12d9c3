//! Formulas and octets as people write them: for messages, graphs and references.

use std::fmt::Write as _;

use portcullis_lang::scheme::{connection_slots, event_slots};
use portcullis_lang::{Arithmetic, CaseValue, Comparison, EventId, Formula, Layout, Place, Position, Scope, Type};

use crate::model::{Protocol, RAW_SLOT};

/// Names the places of a formula: whose record, whose element, whose flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names<'a> {
    /// What the flow keeps.
    pub(crate) flow: Option<&'a Layout>,
    /// The record at hand.
    pub(crate) record: Option<&'a Layout>,
    /// The element at hand.
    pub(crate) element: Option<&'a Layout>,
}

impl<'a> Names<'a> {
    /// Names for a formula within a rule.
    pub(crate) fn of_layout(protocol: &'a Protocol, record: &'a Layout) -> Names<'a> {
        Names { flow: Some(&protocol.scheme.flow), record: Some(record), element: None }
    }

    /// Names for a formula of the machine that is about an event.
    pub(crate) fn of_event(protocol: &'a Protocol, event: Option<EventId>) -> Names<'a> {
        let record = event.and_then(|event| protocol.scheme.events.get(usize::from(event.0)));
        Names { flow: Some(&protocol.scheme.flow), record: record.map(|event| event.layout.as_ref()), element: None }
    }

    /// The layout that a scope reads.
    fn layout(&self, scope: Scope) -> Option<&'a Layout> {
        match scope {
            Scope::Record => self.record,
            Scope::Element => self.element,
            Scope::Flow => self.flow,
            Scope::Event | Scope::Connection => None,
        }
    }

    /// The type of what lies in a place, if it is known.
    pub(crate) fn kind(&self, place: Place) -> Option<&'a Type> {
        let layout = self.layout(place.scope)?;
        layout.fields.iter().find(|field| field.slot == place.slot).map(|field| &field.kind)
    }

    /// The name of a place.
    pub(crate) fn place(&self, place: Place) -> String {
        let named = |names: &[&str]| names.get(usize::from(place.slot)).map(|name| (*name).to_owned());
        let name = match place.scope {
            Scope::Event => named(&event_slots::NAMES),
            Scope::Connection => named(&connection_slots::NAMES),
            _ if place.slot == RAW_SLOT => Some("raw".to_owned()),
            scope => self
                .layout(scope)
                .and_then(|layout| layout.fields.iter().find(|field| field.slot == place.slot))
                .map(|field| field.path.clone()),
        };
        name.unwrap_or_else(|| "a part".to_owned())
    }

    /// The names within the elements of a list.
    fn within(&self, list: Place) -> Names<'a> {
        let element = match self.kind(list) {
            Some(Type::List(layout)) => Some(layout.as_ref()),
            _ => None,
        };
        Names { element, ..*self }
    }

    /// The name of a slot of the elements of a list.
    fn element(&self, list: Place, slot: u16) -> String {
        self.within(list).place(Place { scope: Scope::Element, slot })
    }
}

/// Octets as a quoted text with escapes, cut after 40 of them.
pub(crate) fn quoted(octets: &[u8]) -> String {
    const SHOWN: usize = 40;
    let mut text = String::from("\"");
    for octet in octets.iter().take(SHOWN) {
        match octet {
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            0x20..=0x7e => text.push(char::from(*octet)),
            _ => {
                let _ = write!(text, "\\x{octet:02x}");
            }
        }
    }
    text.push('"');
    if octets.len() > SHOWN {
        text.push_str(" ...");
    }
    text
}

/// A number of octets: `64 KB`, `998 octets`.
pub(crate) fn octets(number: u64) -> String {
    const KB: u64 = 1024;
    const MB: u64 = 1024 * 1024;
    match number {
        1 => "1 octet".to_owned(),
        _ if number >= MB && number.is_multiple_of(MB) => format!("{} MB", number / MB),
        _ if number >= KB && number.is_multiple_of(KB) => format!("{} KB", number / KB),
        _ => format!("{number} octets"),
    }
}

/// A number of nanoseconds: `5 min`, `30 s`, `250 ms`.
pub(crate) fn duration(nanoseconds: i64) -> String {
    const MILLISECOND: i64 = 1_000_000;
    const SECOND: i64 = 1_000 * MILLISECOND;
    const MINUTE: i64 = 60 * SECOND;
    match nanoseconds {
        _ if nanoseconds >= MINUTE && nanoseconds % MINUTE == 0 => format!("{} min", nanoseconds / MINUTE),
        _ if nanoseconds >= SECOND && nanoseconds % SECOND == 0 => format!("{} s", nanoseconds / SECOND),
        _ if nanoseconds % MILLISECOND == 0 => format!("{} ms", nanoseconds / MILLISECOND),
        _ => format!("{nanoseconds} ns"),
    }
}

/// A value of a branch or set; `kind` gives numbers their names.
pub(crate) fn case(value: &CaseValue, kind: Option<&Type>) -> String {
    match value {
        CaseValue::Range(low, high) if low == high => number(*low, kind),
        CaseValue::Range(low, high) => format!("{low}..{high}"),
        CaseValue::Text(text) => word(text, kind),
    }
}

/// A number, by its name if it has one.
pub(crate) fn number(value: i64, kind: Option<&Type>) -> String {
    match kind {
        Some(Type::Enumeration(names)) => names.name_of(value).map_or_else(|| value.to_string(), str::to_owned),
        _ => value.to_string(),
    }
}

/// A text, as a bare word if it is a keyword.
fn word(text: &[u8], kind: Option<&Type>) -> String {
    let bare = text.first().is_some_and(u8::is_ascii_uppercase)
        && text.iter().all(|octet| octet.is_ascii_uppercase() || octet.is_ascii_digit() || *octet == b'_');
    match kind {
        Some(Type::Keyword { .. }) if bare => String::from_utf8_lossy(text).into_owned(),
        _ => quoted(text),
    }
}

/// How tightly a formula binds; see the table of [`portcullis_lang::Expression`].
fn strength(formula: &Formula) -> u8 {
    match formula {
        Formula::Or(_) => 1,
        Formula::And(_) => 2,
        Formula::Not(_) => 3,
        Formula::Compare { .. }
        | Formula::In { .. }
        | Formula::InList { .. }
        | Formula::InNetworks { .. }
        | Formula::Finds { .. }
        | Formula::Matches { .. }
        | Formula::IsEmpty(_)
        | Formula::Every { .. }
        | Formula::Any { .. } => 4,
        Formula::Arithmetic { operator: Arithmetic::And, .. } => 5,
        Formula::Arithmetic { operator: Arithmetic::ShiftLeft | Arithmetic::ShiftRight, .. } => 6,
        Formula::Arithmetic { operator: Arithmetic::Add | Arithmetic::Subtract, .. } | Formula::Concatenate(_) => 7,
        Formula::Arithmetic { operator: Arithmetic::Multiply, .. } => 8,
        Formula::Trimmed(_) | Formula::Split { .. } | Formula::Decimal(_) => 10,
        Formula::Lowercase(_)
        | Formula::Uppercase(_)
        | Formula::Length(_)
        | Formula::Count(_)
        | Formula::Join { .. } => 11,
        _ => 12,
    }
}

/// The formula as it would be written.
pub(crate) fn formula(it: &Formula, names: &Names<'_>) -> String {
    let inner = |part: &Formula, least: u8| {
        let text = formula(part, names);
        if strength(part) < least { format!("({text})") } else { text }
    };
    let kind_of = |part: &Formula| match part {
        Formula::Place(place) => names.kind(*place),
        _ => None,
    };
    let constant = |part: &Formula, other: &Formula| match part {
        Formula::Number(value) => number(*value, kind_of(other)),
        Formula::Bytes(text) => word(text, kind_of(other)),
        part => inner(part, 5),
    };
    let joined = |parts: &[Formula], least: u8, between: &str| {
        parts.iter().map(|part| inner(part, least)).collect::<Vec<_>>().join(between)
    };
    let needles = |needles: &[Box<[u8]>]| match needles {
        [one] => quoted(one),
        several => format!("any [{}]", several.iter().map(|one| quoted(one)).collect::<Vec<_>>().join(", ")),
    };
    match it {
        Formula::Number(value) => value.to_string(),
        Formula::Bytes(text) => quoted(text),
        Formula::Boolean(value) => value.to_string(),
        Formula::Address(address) => address.to_string(),
        Formula::Place(place) => names.place(*place),
        Formula::Not(part) => match part.as_ref() {
            Formula::In { value, set, .. } => format!("{} not in {}", inner(value, 5), cases(set, kind_of(value))),
            part => format!("not {}", inner(part, 3)),
        },
        Formula::And(parts) => joined(parts, 2, " and "),
        Formula::Or(parts) => joined(parts, 1, " or "),
        Formula::Compare { operator, left, right, .. } => {
            format!("{} {} {}", constant(left, right), comparison(*operator), constant(right, left))
        }
        // The bound of a number of the flow is not written: its type has it.
        Formula::Arithmetic { operator: Arithmetic::Least, left, .. } => formula(left, names),
        Formula::Arithmetic { operator, left, right } => {
            let least = strength(it);
            format!("{} {} {}", inner(left, least), arithmetic(*operator), inner(right, least.saturating_add(1)))
        }
        Formula::In { value, set, .. } => format!("{} in {}", inner(value, 5), cases(set, kind_of(value))),
        Formula::InList { value, .. } => format!("{} in a list", inner(value, 5)),
        Formula::InNetworks { value, networks } => {
            let networks: Vec<String> = networks.iter().map(|(address, bits)| format!("{address}/{bits}")).collect();
            format!("{} in ({})", inner(value, 5), networks.join(", "))
        }
        Formula::Finds { position, text, needles: list, .. } => {
            format!("{} {} {}", inner(text, 5), where_found(*position), needles(list.texts()))
        }
        Formula::Matches { text, expression } => format!("{} matches /{}/", inner(text, 5), expression.as_str()),
        Formula::IsEmpty(part) => format!("{} is empty", inner(part, 5)),
        Formula::Length(part) => format!("length of {}", inner(part, 11)),
        Formula::Trimmed(part) => format!("{} trimmed", inner(part, 10)),
        Formula::Lowercase(part) => format!("lowercase {}", inner(part, 11)),
        Formula::Uppercase(part) => format!("uppercase {}", inner(part, 11)),
        Formula::Split { text, needle, last, after } => {
            let (side, which) = (if *after { "after" } else { "before" }, if *last { "last" } else { "first" });
            format!("{} {side} {which} {}", inner(text, 10), quoted(needle))
        }
        Formula::Decimal(part) => format!("{} as decimal", inner(part, 10)),
        Formula::Concatenate(parts) => joined(parts, 7, " + "),
        Formula::Count(list) => format!("count of {}", names.place(*list)),
        Formula::Every { list, test } => format!("every {}", of_elements(test, *list, names)),
        Formula::Any { list, test } => format!("any {}", of_elements(test, *list, names)),
        Formula::Edge { list, slot, last } => {
            let edge = if *last { "last" } else { "first" };
            format!("{}.{edge}.{}", names.place(*list), names.element(*list, *slot))
        }
        Formula::Join { list, slot, separator } => {
            format!("join {}.{} with {}", names.place(*list), names.element(*list, *slot), quoted(separator))
        }
    }
}

/// The test of elements, `lines.code == code`.
fn of_elements(test: &Formula, list: Place, names: &Names<'_>) -> String {
    format!("{}.{}", names.place(list), formula(test, &names.within(list)))
}

fn cases(set: &[CaseValue], kind: Option<&Type>) -> String {
    match set {
        [CaseValue::Range(low, high)] if low != high => format!("{low}..{high}"),
        set => format!("({})", set.iter().map(|value| case(value, kind)).collect::<Vec<_>>().join(", ")),
    }
}

fn comparison(operator: Comparison) -> &'static str {
    match operator {
        Comparison::Equal => "==",
        Comparison::NotEqual => "!=",
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => ">=",
    }
}

fn arithmetic(operator: Arithmetic) -> &'static str {
    match operator {
        Arithmetic::Add => "+",
        Arithmetic::Subtract => "-",
        Arithmetic::Multiply => "*",
        Arithmetic::And => "&",
        Arithmetic::ShiftLeft => "<<",
        Arithmetic::ShiftRight => ">>",
        Arithmetic::Least => "but at most",
    }
}

fn where_found(position: Position) -> &'static str {
    match position {
        Position::Anywhere => "contains",
        Position::Start => "starts with",
        Position::End => "ends with",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_lang::FieldInfo;

    fn layout() -> Layout {
        let field = |path: &str, slot, kind| FieldInfo { path: path.into(), slot, kind, presence: Vec::new() };
        Layout {
            name: "command".into(),
            fields: vec![
                field("verb", 0, Type::Keyword { max: 16 }),
                field("size", 1, Type::Number { min: 0, max: 100 }),
            ],
            width: 2,
        }
    }

    fn place(slot: u16) -> Formula {
        Formula::Place(Place { scope: Scope::Record, slot })
    }

    #[test]
    fn formulas_read_as_they_are_written() {
        let layout = layout();
        let names = Names { flow: None, record: Some(&layout), element: None };
        let is_mail = Formula::Compare {
            operator: Comparison::Equal,
            left: Box::new(place(0)),
            right: Box::new(Formula::Bytes((*b"MAIL").into())),
            fold: true,
        };
        let small = Formula::In { value: Box::new(place(1)), set: vec![CaseValue::Range(1, 5)], fold: false };
        let either = Formula::Or(vec![is_mail.clone(), small.clone()]);
        let both = Formula::And(vec![either, Formula::Not(Box::new(small))]);
        assert_eq!(formula(&is_mail, &names), "verb == MAIL");
        assert_eq!(formula(&both, &names), "(verb == MAIL or size in 1..5) and size not in 1..5");
    }

    #[test]
    fn octets_and_times_are_round() {
        assert_eq!(quoted(b"a\r\n\"\x00"), "\"a\\r\\n\\\"\\x00\"");
        assert_eq!((octets(65_536), octets(998), octets(1)), ("64 KB".into(), "998 octets".into(), "1 octet".into()));
        assert_eq!((duration(300_000_000_000), duration(1_500_000_000)), ("5 min".into(), "1500 ms".into()));
    }
}
