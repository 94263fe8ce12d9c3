//! What a protocol gives to policies, as a reference that people read: events, their fields, types and variants.
//!
//! It is made from the scheme alone, so that what it lists is what the type checker of policies knows.

use std::fmt::Write as _;

use portcullis_lang::scheme::event_slots;
use portcullis_lang::{EventKind, EventType, FieldInfo, Layout, Presence, ProtocolScheme, StateId, Type};

use crate::show;

/// More states than this are only counted.
const SHOWN_STATES: usize = 6;
/// More names of an enumeration than this are only counted.
const SHOWN_NAMES: usize = 8;
/// Lists within lists that are shown.
const MAX_DEPTH: usize = 6;

/// Writes the reference of a protocol.
///
/// Records come first, then streams, what the flow keeps, anomalies, and the events that every machine has.
pub fn describe(scheme: &ProtocolScheme) -> String {
    let mut text = format!("protocol {}\n", scheme.name);
    for event in scheme.events.iter().filter(|event| event.kind == EventKind::Record) {
        let _ = write!(text, "\nrecord {}.{}{}\n", scheme.name, event.name, states(scheme, &event.states));
        fields(&mut text, &event.layout, 1);
    }
    for event in scheme.events.iter().filter(|event| event.kind == EventKind::StreamEnd) {
        let _ = write!(text, "\nstream {}.{}{}\n", scheme.name, event.name, states(scheme, &event.states));
        line(&mut text, 1, &format!("{}.start", event.name), "its beginning", "");
        line(&mut text, 1, &format!("{}.chunk", event.name), "a piece of it, in `data`", "");
        line(&mut text, 1, &event.name, "its end, with `size` and `complete`", "");
    }
    if !scheme.flow.fields.is_empty() {
        let _ = write!(text, "\nflow\n");
        fields(&mut text, &scheme.flow, 1);
    }
    if !scheme.anomalies.is_empty() {
        let _ = write!(text, "\nanomalies\n");
        for anomaly in &scheme.anomalies {
            line(&mut text, 1, &format!("{}.{}", scheme.name, anomaly.name), &anomaly.text, "");
        }
    }
    let machine: Vec<&EventType> = scheme.events.iter().filter(|event| of_machine(event.kind)).collect();
    if !machine.is_empty() {
        let _ = write!(text, "\nmachine\n");
        for event in machine {
            line(&mut text, 1, &format!("{}.{}", scheme.name, event.name), meaning(event.kind), "");
        }
        let _ = writeln!(text, "  states: {}", scheme.states.join(", "));
        let _ = writeln!(text, "  every event also has: {}", event_slots::NAMES.join(", "));
    }
    text
}

fn of_machine(kind: EventKind) -> bool {
    !matches!(
        kind,
        EventKind::Record
            | EventKind::StreamStart
            | EventKind::StreamChunk
            | EventKind::StreamEnd
            | EventKind::Anomaly(_)
    )
}

fn meaning(kind: EventKind) -> &'static str {
    match kind {
        EventKind::ParseError => "a record did not parse; see `record` and `reason`",
        EventKind::MissingGrammar => "a side spoke out of turn; see `side`",
        EventKind::Gap => "octets are missing; see `size`",
        EventKind::Overrun => "a bound was met; see `reason`",
        EventKind::Timeout => "nothing came for as long as the state allows",
        EventKind::Enter => "a state is entered; see `state`",
        EventKind::Leave => "a state is left; see `state`",
        EventKind::Fail => "the conversation is not understood from here; see `reason`",
        EventKind::Finish => "the conversation is over",
        EventKind::Record => "a record is complete",
        EventKind::StreamStart => "a stream begins",
        EventKind::StreamChunk => "a piece of a stream",
        EventKind::StreamEnd => "a stream has ended",
        EventKind::Anomaly(_) => "a broken `should`",
    }
}

/// In which states an event can occur.
fn states(scheme: &ProtocolScheme, states: &[StateId]) -> String {
    let names: Vec<&str> =
        states.iter().filter_map(|id| scheme.states.get(usize::from(id.0))).map(String::as_str).collect();
    match names.len() {
        0 => String::new(),
        many if many > SHOWN_STATES => format!("    in {many} states"),
        _ => format!("    in {}", names.join(", ")),
    }
}

fn fields(text: &mut String, layout: &Layout, depth: usize) {
    for field in &layout.fields {
        line(text, depth, &field.path, &type_text(&field.kind), &presence(layout, field));
        if let Type::List(element) = &field.kind
            && depth < MAX_DEPTH
        {
            fields(text, element, depth.saturating_add(1));
        }
    }
}

/// `  name    meaning    condition`
fn line(text: &mut String, depth: usize, name: &str, meaning: &str, condition: &str) {
    let indent = depth.saturating_mul(2);
    let width = 26_usize.saturating_sub(indent);
    let written = format!("{:indent$}{name:width$}  {meaning:30}  {condition}", "");
    let _ = writeln!(text, "{}", written.trim_end());
}

fn type_text(kind: &Type) -> String {
    match kind {
        Type::Number { min, max } => {
            let bits = (1..=62_u32).find(|bits| *min == 0 && *max == (1_i64 << bits) - 1);
            match bits {
                Some(bits) => format!("number of {bits} bits"),
                None if *max == i64::MAX => "number".to_owned(),
                None => format!("number, {min} to {max}"),
            }
        }
        Type::Text { max } => at_most("text", *max),
        Type::Keyword { max } => at_most("keyword", *max),
        Type::Enumeration(names) => {
            let shown: Vec<&str> = names.members.iter().take(SHOWN_NAMES).map(|member| member.0.as_str()).collect();
            let more = names.members.len().saturating_sub(SHOWN_NAMES);
            let more = if more > 0 { format!(", {more} more") } else { String::new() };
            format!("{} ({}{more})", names.name, shown.join(", "))
        }
        Type::Boolean => "truth value".to_owned(),
        Type::Address => "address".to_owned(),
        Type::Group => "group".to_owned(),
        Type::List(_) => "list of".to_owned(),
    }
}

fn at_most(what: &str, max: u32) -> String {
    if max == u32::MAX { what.to_owned() } else { format!("{what}, at most {max}") }
}

/// When a field exists.
fn presence(layout: &Layout, field: &FieldInfo) -> String {
    let conditions: Vec<String> = field
        .presence
        .iter()
        .filter_map(|condition| match condition {
            Presence::Case { slot, path, values, negated } => {
                let kind = layout.fields.iter().find(|field| field.slot == *slot).map(|field| &field.kind);
                let values: Vec<String> = values.iter().map(|value| show::case(value, kind)).collect();
                Some(format!("{path} {}in ({})", if *negated { "not " } else { "" }, values.join(", ")))
            }
            // An optional part is its own condition: it says what it is.
            Presence::Part { slot, .. } if *slot == field.slot => None,
            Presence::Part { path, .. } => Some(path.clone()),
        })
        .collect();
    if conditions.is_empty() { String::new() } else { format!("if {}", conditions.join(" and ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_lang::CaseValue;
    use portcullis_lang::scheme::AnomalyInfo;
    use std::sync::Arc;

    #[test]
    fn a_protocol_is_a_page() {
        let field = |path: &str, slot, kind, presence| FieldInfo { path: path.into(), slot, kind, presence };
        let values = vec![CaseValue::Text((*b"MAIL").into())];
        let mail = Presence::Case { slot: 0, path: "verb".into(), values, negated: false };
        let option = Layout {
            name: "option".into(),
            fields: vec![field("name", 0, Type::Text { max: 40 }, Vec::new())],
            width: 1,
        };
        let command = Layout {
            name: "command".into(),
            fields: vec![
                field("verb", 0, Type::Keyword { max: 16 }, Vec::new()),
                field("size", 1, Type::Number { min: 0, max: 65535 }, vec![mail.clone()]),
                field("options", 2, Type::List(Arc::new(option)), vec![mail]),
            ],
            width: 3,
        };
        let event = |name: &str, kind, layout: Layout, states| EventType {
            name: name.into(),
            kind,
            layout: Arc::new(layout),
            states,
        };
        let scheme = ProtocolScheme {
            keywords_ignore_case: true,
            refusal: None,
            writable: Vec::new(),
            canonical: Vec::new(),
            follows: Vec::new(),
            name: "smtp".into(),
            events: vec![
                event("command", EventKind::Record, command, vec![StateId(0)]),
                event("content", EventKind::StreamEnd, Layout::default(), Vec::new()),
                event("fail", EventKind::Fail, Layout::default(), Vec::new()),
            ],
            states: vec!["idle".into(), "fail".into(), "finish".into()],
            anomalies: vec![AnomalyInfo { name: "bare_lf".into(), text: "a line feed alone".into() }],
            flow: Layout::default(),
        };
        insta::assert_snapshot!(describe(&scheme));
    }
}
