//! The events that rules are on: found by name, or refused with what was probably meant.

use std::sync::Arc;

use portcullis_lang::{
    Code, Diagnostic, Diagnostics, EventId, EventKind, EventType, Name, Path, ProtocolScheme, StateId, suggest,
};

use crate::plan::ProtocolId;

/// The first names of events that are not of a protocol with a grammar.
const LAYERS: [&str; 6] = ["packet", "flow", "ip", "tcp", "udp", "icmp"];

/// A protocol that a policy is for.
#[derive(Clone, Copy)]
pub(crate) struct Protocol<'a> {
    pub(crate) id: ProtocolId,
    pub(crate) scheme: &'a ProtocolScheme,
}

/// The protocol of this name.
pub(crate) fn protocol<'a>(
    name: &Name,
    schemes: &'a [Arc<ProtocolScheme>],
    diagnostics: &mut Diagnostics,
) -> Option<Protocol<'a>> {
    let found = (0..).map(ProtocolId).zip(schemes).find(|(_, scheme)| scheme.name == name.text);
    if found.is_none() {
        let names: Vec<&str> = schemes.iter().map(|scheme| scheme.name.as_str()).collect();
        let mut diagnostic = Diagnostic::error(Code::C1, format!("unknown protocol `{name}`"))
            .primary(name.span, "no grammar of this name is loaded")
            .suggest(suggest(&name.text, names.iter().copied()));
        if !names.is_empty() {
            diagnostic = diagnostic.help(format!("the protocols that are loaded: {}", names.join(", ")));
        }
        diagnostics.push(diagnostic);
    }
    found.map(|(id, scheme)| Protocol { id, scheme })
}

/// The event of a path such as `smtp.command`, for a policy of a protocol.
pub(crate) fn event<'a>(
    path: &Path,
    protocol: Protocol<'a>,
    schemes: &[Arc<ProtocolScheme>],
    diagnostics: &mut Diagnostics,
) -> Option<(EventId, &'a EventType)> {
    let scheme = protocol.scheme;
    let (first, rest) = path.names.split_first()?;
    if first.text != scheme.name {
        diagnostics.push(other_protocol(path, first, scheme, schemes));
        return None;
    }
    let name = rest.iter().map(|name| name.text.as_str()).collect::<Vec<_>>().join(".");
    let found = scheme.event(&name);
    if found.is_none() {
        diagnostics.push(unknown_event(path, &name, scheme));
    }
    found
}

fn other_protocol(path: &Path, first: &Name, scheme: &ProtocolScheme, schemes: &[Arc<ProtocolScheme>]) -> Diagnostic {
    let own = &scheme.name;
    if LAYERS.contains(&first.text.as_str()) {
        return Diagnostic::error(Code::S6, format!("the event `{path}` is not supported yet"))
            .primary(path.span, "rules of this version are on events of protocols")
            .help(format!("for example `on {own}.{}`", example_event(scheme)));
    }
    let known = schemes.iter().find(|known| known.name == first.text);
    if let Some(other) = known {
        return Diagnostic::error(
            Code::C17,
            format!("this policy is for {own}, and `{path}` is an event of {other}", other = other.name),
        )
        .primary(path.span, "")
        .help(format!("write the rule in a policy of its own: `policy NAME for {} {{ ... }}`", other.name));
    }
    if scheme.event(&path.to_string()).is_some() {
        return Diagnostic::error(Code::C17, format!("the event `{path}` needs the name of its protocol"))
            .primary(path.span, "")
            .help(format!("write `on {own}.{path}`"));
    }
    let names = schemes.iter().map(|scheme| scheme.name.as_str());
    Diagnostic::error(Code::C17, format!("there is no event `{path}`"))
        .primary(path.span, format!("`{first}` is no protocol that is loaded"))
        .suggest(suggest(&first.text, names))
        .help(format!("events of this policy begin with `{own}.`"))
}

fn example_event(scheme: &ProtocolScheme) -> &str {
    let record = scheme.events.iter().find(|event| event.kind == EventKind::Record);
    record.or(scheme.events.first()).map_or("fail", |event| &event.name)
}

/// `no state of smtp raises mail_data`, and what was probably meant.
fn unknown_event(path: &Path, name: &str, scheme: &ProtocolScheme) -> Diagnostic {
    let own = &scheme.name;
    if name.is_empty() {
        return Diagnostic::error(Code::C17, format!("`{path}` is a protocol, not an event"))
            .primary(path.span, "")
            .help(format!("name one of its events, for example `{own}.{}`", example_event(scheme)));
    }
    let span = path.names.get(1).zip(path.names.last()).map_or(path.span, |(from, to)| from.span.to(to.span));
    let meant = meant(name, scheme);
    let label = match meant {
        Some(event) => format!("did you mean `{}`{}?", event.name, raised_in(event, scheme)),
        None => String::new(),
    };
    let mut diagnostic =
        Diagnostic::error(Code::C17, format!("no state of {own} raises `{name}`")).primary(span, label);
    if meant.is_none() {
        let records: Vec<&str> = names_of(scheme, |kind| !matches!(kind, EventKind::Anomaly(_)));
        let anomalies: Vec<&str> = names_of(scheme, |kind| matches!(kind, EventKind::Anomaly(_)));
        diagnostic = diagnostic.help(format!("the events of {own}: {}", listed(&records)));
        if !anomalies.is_empty() {
            diagnostic = diagnostic.help(format!("its anomalies: {}", listed(&anomalies)));
        }
    }
    diagnostic
}

fn names_of(scheme: &ProtocolScheme, wanted: impl Fn(EventKind) -> bool) -> Vec<&str> {
    scheme.events.iter().filter(|event| wanted(event.kind)).map(|event| event.name.as_str()).collect()
}

fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 24;
    let more = if names.len() > SHOWN { ", ..." } else { "" };
    format!("{}{more}", names.get(..SHOWN).unwrap_or(names).join(", "))
}

/// The event whose name is spelled nearly so; or else the stream or record of a state that has a word in common with it.
fn meant<'a>(name: &str, scheme: &'a ProtocolScheme) -> Option<&'a EventType> {
    if let Some(near) = suggest(name, scheme.events.iter().map(|event| event.name.as_str())) {
        return scheme.events.iter().find(|event| event.name == near);
    }
    let words: Vec<&str> = name.split(['_', '.']).filter(|word| word.len() > 2).collect();
    let shares = |text: &str| text.split(['_', '.']).any(|word| words.contains(&word));
    let in_state = |event: &EventType| event.states.iter().any(|state| state_name(*state, scheme).is_some_and(shares));
    // A stream that only one state has says more than a record that many have.
    let rank = |event: &EventType| (event.kind != EventKind::StreamEnd, event.states.len());
    let carrying = scheme.events.iter().filter(|event| matches!(event.kind, EventKind::StreamEnd | EventKind::Record));
    carrying
        .filter(|event| in_state(event) && event.states.len() <= 3)
        .min_by_key(|event| rank(event))
        .or_else(|| scheme.events.iter().find(|event| shares(&event.name)))
}

fn state_name(state: StateId, scheme: &ProtocolScheme) -> Option<&str> {
    scheme.states.get(usize::from(state.0)).map(String::as_str)
}

fn raised_in(event: &EventType, scheme: &ProtocolScheme) -> String {
    let states: Vec<&str> = event.states.iter().filter_map(|state| state_name(*state, scheme)).collect();
    match states.as_slice() {
        [] => String::new(),
        [only] => format!(", raised in {only}"),
        [first, second] => format!(", raised in {first} and {second}"),
        [first, ..] => format!(", raised in {first} and {} other states", states.len().saturating_sub(1)),
    }
}
