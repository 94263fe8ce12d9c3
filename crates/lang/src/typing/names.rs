//! What names mean: the part of typing that grammars and policies do in their own ways.

use std::net::IpAddr;
use std::sync::Arc;

use crate::expression::Name;
use crate::formula::{Formula, Place, Scope};
use crate::scheme::{FieldInfo, Layout, Presence, RAW_SLOT, Type, event_slots};
use crate::source::Span;
use crate::text_set::TextSet;

/// Gives names their meaning where an expression stands.
pub trait Names {
    /// What a dotted path means. Asked with the whole path first, then without its last names, until something is known:
    /// the host need not know of `lines.last.code`, only of `lines`.
    fn resolve(&self, path: &[Name]) -> Resolution;

    /// The names that could stand behind `path` (empty: at the beginning), for "did you mean" and lists in messages.
    fn candidates(&self, path: &[Name]) -> Vec<String>;

    /// What a keyword is compared with in any case, if the grammar says so.
    fn keywords_ignore_case(&self) -> bool;

    /// Whether a text can be in a field at all, as far as its octets go; lengths are checked already.
    fn can_be(&self, place: Place, text: &[u8]) -> bool {
        let _ = (place, text);
        true
    }

    /// The names that stand for texts where this field is compared with them: the states with `state`. Empty for all
    /// other fields. That `side` is `client` or `server` is known without being asked.
    fn constants(&self, place: Place) -> Vec<String> {
        let _ = place;
        Vec::new()
    }

    /// Whether a list has at least one element, so that `LIST.last` is always there.
    fn never_empty(&self, list: Place) -> bool {
        let _ = list;
        false
    }
}

/// What a path means.
#[derive(Clone, Debug)]
pub enum Resolution {
    /// A field; one entry for each variant of the record that has it under this name. Never empty.
    Field(Vec<Found>),
    /// A list or network of a policy.
    Named(NamedSet),
    /// A field that is read later on the wire.
    NotYet {
        /// Where it stands.
        declared: Option<Span>,
    },
    /// Something that the language has and this version does not do.
    NotSupported(String),
    /// Nothing.
    Unknown,
}

/// A field that a name means.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where it lives.
    pub place: Place,
    /// Its type.
    pub kind: Type,
    /// What has to hold for it to be there; slots are of the same scope as `place`.
    pub presence: Vec<Presence>,
    /// Where it stands in its file, if the host knows.
    pub declared: Option<Span>,
}

impl Found {
    /// Whether a condition of presence is that the field's text was a number: where it was not, tests of it fail, and
    /// nobody has to ask first.
    pub fn may_fail(&self, presence: &Presence) -> bool {
        matches!(presence, Presence::Part { slot, path } if *slot == self.place.slot && path.is_empty())
    }
}

/// A set that a policy gives a name to.
#[derive(Clone, Debug)]
pub enum NamedSet {
    /// `list banned = [...]`
    Texts(Arc<TextSet>),
    /// `network inside = [...]`
    Networks(Vec<(IpAddr, u8)>),
}

impl NamedSet {
    pub(super) fn contains(&self, value: Formula) -> Formula {
        let value = Box::new(value);
        match self {
            NamedSet::Texts(entries) => Formula::InList { value, entries: entries.clone() },
            NamedSet::Networks(networks) => Formula::InNetworks { value, networks: networks.clone() },
        }
    }
}

/// Looks a path up among the fields of a layout; `raw` is the record itself, unless a field has that name.
///
/// Resolution is by the whole path: that of `lines` in `lines.last.code` is asked for by the checker.
pub fn resolve_in(layout: &Layout, scope: Scope, path: &[Name]) -> Resolution {
    let dotted = dotted(path);
    let found: Vec<Found> =
        layout.fields.iter().filter(|field| field.path == dotted).map(|f| found(f, scope)).collect();
    if !found.is_empty() {
        return Resolution::Field(found);
    }
    if dotted == "raw" && scope == Scope::Record {
        return Resolution::Field(vec![Found {
            place: Place { scope, slot: RAW_SLOT },
            kind: Type::Text { max: u32::MAX },
            presence: Vec::new(),
            declared: None,
        }]);
    }
    Resolution::Unknown
}

/// Most names that are looked at for "did you mean".
const MAX_CANDIDATES: usize = 256;

/// The names of a layout's fields behind a path, each once; the first 256 of them.
pub fn candidates_in(layout: &Layout, path: &[Name]) -> Vec<String> {
    let mut prefix = dotted(path);
    if !prefix.is_empty() {
        prefix.push('.');
    }
    let mut names: Vec<String> = Vec::new();
    for field in &layout.fields {
        if names.len() >= MAX_CANDIDATES {
            break;
        }
        let name = field.path.strip_prefix(&prefix).and_then(|rest| rest.split('.').next()).unwrap_or_default();
        if !name.is_empty() && !names.iter().any(|known| known == name) {
            names.push(name.into());
        }
    }
    names
}

/// What an event tells beside its record, by its path (`up.waiting`); `error` is another name for `reason`.
pub fn resolve_event(path: &[Name]) -> Resolution {
    let dotted = dotted(path);
    let name = if dotted == "error" { "reason" } else { dotted.as_str() };
    let slot = event_slots::NAMES.iter().position(|known| *known == name);
    let Some(slot) = slot.and_then(|slot| u16::try_from(slot).ok()) else { return Resolution::Unknown };
    let kind = match slot {
        event_slots::OFFSET
        | event_slots::SIZE
        | event_slots::UP_WAITING
        | event_slots::DOWN_WAITING
        | event_slots::POSITION => Type::Number { min: 0, max: i64::MAX },
        event_slots::COMPLETE => Type::Boolean,
        // Names of states and records are words; they are compared as they stand.
        _ => Type::Text { max: u32::MAX },
    };
    let place = Place { scope: Scope::Event, slot };
    Resolution::Field(vec![Found { place, kind, presence: Vec::new(), declared: None }])
}

/// A field of a layout as what a name means.
pub fn found(field: &FieldInfo, scope: Scope) -> Found {
    Found {
        place: Place { scope, slot: field.slot },
        kind: field.kind.clone(),
        presence: field.presence.clone(),
        declared: None,
    }
}

/// Names with dots between them.
pub fn dotted(path: &[Name]) -> String {
    path.iter().map(|name| name.text.as_str()).collect::<Vec<_>>().join(".")
}
