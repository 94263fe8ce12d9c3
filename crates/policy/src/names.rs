//! What names mean in a policy: fields of the event, of the flow and of the connection, lists and networks.

use std::collections::BTreeMap;

use portcullis_lang::scheme::{connection_slots, event_slots};
use portcullis_lang::typing::{Found, NamedSet, Names, Resolution, candidates_in, dotted, resolve_event, resolve_in};
use portcullis_lang::{EventKind, EventType, Name, Place, ProtocolScheme, Scope, Type};

/// Lists and networks of one file, by name.
pub(crate) type NamedSets = BTreeMap<String, NamedSet>;

/// The names in a rule, on one of its events.
pub(crate) struct RuleNames<'a> {
    pub(crate) scheme: &'a ProtocolScheme,
    pub(crate) event: &'a EventType,
    pub(crate) sets: &'a NamedSets,
}

impl Names for RuleNames<'_> {
    fn resolve(&self, path: &[Name]) -> Resolution {
        let record = resolve_in(&self.event.layout, Scope::Record, path);
        if !matches!(record, Resolution::Unknown) && (self.has_record() || dotted(path) != "raw") {
            return record;
        }
        let flow = resolve_in(&self.scheme.flow, Scope::Flow, path);
        if !matches!(flow, Resolution::Unknown) {
            return flow;
        }
        if self.tells(&dotted(path)) {
            return resolve_event(path);
        }
        resolve_connection(self.sets, path)
    }

    fn candidates(&self, path: &[Name]) -> Vec<String> {
        let mut names = candidates_in(&self.event.layout, path);
        names.extend(candidates_in(&self.scheme.flow, path));
        let facts = event_slots::NAMES.into_iter().filter(|name| self.tells(name));
        names.extend(behind(facts, path));
        names.extend(connection_candidates(self.sets, path));
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    }

    fn keywords_ignore_case(&self) -> bool {
        self.scheme.keywords_ignore_case
    }

    fn constants(&self, place: Place) -> Vec<String> {
        if place.scope != Scope::Event {
            return Vec::new();
        }
        match place.slot {
            event_slots::STATE => self.scheme.states.clone(),
            event_slots::SIDE => vec!["client".into(), "server".into()],
            event_slots::RECORD => {
                let carries = |kind| matches!(kind, EventKind::Record | EventKind::StreamEnd);
                let events = self.scheme.events.iter().filter(|event| carries(event.kind));
                events.map(|event| event.name.clone()).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl RuleNames<'_> {
    fn has_record(&self) -> bool {
        self.event.kind == EventKind::Record
    }

    /// Whether the event tells this beside its record. What is never there is no name: nobody waits for it in vain.
    fn tells(&self, name: &str) -> bool {
        use EventKind as K;
        let kind = self.event.kind;
        match name {
            "state" | "side" | "offset" | "up.waiting" | "down.waiting" => true,
            "reason" | "error" => matches!(kind, K::Fail | K::ParseError | K::Anomaly(_) | K::Overrun | K::Finish),
            "size" => !matches!(kind, K::Enter | K::Leave | K::Timeout | K::Fail | K::Finish | K::StreamStart),
            "record" => matches!(kind, K::Anomaly(_) | K::ParseError | K::Gap | K::Overrun | K::Fail),
            "complete" => kind == K::StreamEnd,
            "data" => kind == K::StreamChunk,
            "position" => kind == K::StreamEnd,
            _ => false,
        }
    }
}

/// The names in the `when` of a policy: what is known as soon as there is a connection.
pub(crate) struct ConnectionNames<'a> {
    pub(crate) sets: &'a NamedSets,
}

impl Names for ConnectionNames<'_> {
    fn resolve(&self, path: &[Name]) -> Resolution {
        resolve_connection(self.sets, path)
    }

    fn candidates(&self, path: &[Name]) -> Vec<String> {
        connection_candidates(self.sets, path)
    }

    fn keywords_ignore_case(&self) -> bool {
        false
    }
}

fn resolve_connection(sets: &NamedSets, path: &[Name]) -> Resolution {
    let name = dotted(path);
    // A side stands for its address: `server in inside`.
    let full = match name.as_str() {
        "client" => "client.address",
        "server" => "server.address",
        other => other,
    };
    let slot = connection_slots::NAMES.iter().position(|known| *known == full);
    if let Some(slot) = slot.and_then(|slot| u16::try_from(slot).ok()) {
        let kind = match slot {
            connection_slots::CLIENT_ADDRESS | connection_slots::SERVER_ADDRESS => Type::Address,
            connection_slots::CLIENT_PORT | connection_slots::SERVER_PORT => Type::Number { min: 0, max: 65_535 },
            connection_slots::MIDSTREAM => Type::Boolean,
            _ => Type::Text { max: 64 },
        };
        let place = Place { scope: Scope::Connection, slot };
        return Resolution::Field(vec![Found { place, kind, presence: Vec::new(), declared: None }]);
    }
    match path {
        [name] => sets.get(&name.text).cloned().map_or(Resolution::Unknown, Resolution::Named),
        _ => Resolution::Unknown,
    }
}

fn connection_candidates(sets: &NamedSets, path: &[Name]) -> Vec<String> {
    let mut names = behind(connection_slots::NAMES.into_iter(), path);
    if path.is_empty() {
        names.extend(sets.keys().cloned());
    }
    names
}

/// The names that stand behind `path` in dotted names.
fn behind<'a>(names: impl Iterator<Item = &'a str>, path: &[Name]) -> Vec<String> {
    let mut prefix = dotted(path);
    if !prefix.is_empty() {
        prefix.push('.');
    }
    let mut found: Vec<String> = Vec::new();
    for name in names.filter_map(|name| name.strip_prefix(&prefix)?.split('.').next()) {
        if !found.iter().any(|known| known == name) {
            found.push(name.into());
        }
    }
    found
}
