//! What names mean inside a rule.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use portcullis_lang::typing::{Facts, Found, Names, Resolution, candidates_in, dotted, found};
use portcullis_lang::{FieldInfo, Layout, Name, Place, Scope, Span, Type};

use crate::model::{ClassSet, RAW_SLOT};

/// Which octets a field can have.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Spelling {
    /// Any.
    Any,
    /// Octets of this class.
    Class(ClassSet),
    /// One of these texts; letters in any case if true.
    Texts(Vec<Box<[u8]>>, bool),
}

impl Spelling {
    pub(super) fn can_be(&self, text: &[u8]) -> bool {
        match self {
            Spelling::Any => true,
            Spelling::Class(set) => text.iter().all(|octet| set.contains(*octet)),
            Spelling::Texts(texts, fold) => texts.iter().any(|known| match fold {
                true => known.eq_ignore_ascii_case(text),
                false => known.as_ref() == text,
            }),
        }
    }
}

/// A field that a rule has declared.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) info: FieldInfo,
    pub(super) span: Span,
    pub(super) spelling: Spelling,
}

/// What is known of a rule beside its layout, for those who read its records.
#[derive(Clone, Debug, Default)]
pub(super) struct Summary {
    pub(super) layout: Arc<Layout>,
    pub(super) entries: Vec<Entry>,
    /// What holds for every record that was parsed.
    pub(super) facts: Facts,
    /// Slots of lists that have at least one element.
    pub(super) never_empty: HashSet<u16>,
    /// The path of the field that its first choice by value is about, or of its first keyword or number.
    pub(super) kind_of_record: Option<String>,
    /// The type of a value's result; none while it is not known.
    pub(super) result: Option<Type>,
}

impl Summary {
    pub(super) fn found(&self, scope: Scope, path: &[Name]) -> Vec<Found> {
        let dotted = dotted(path);
        let same = self.entries.iter().filter(|entry| entry.info.path == dotted);
        same.map(|entry| Found { declared: Some(entry.span), ..found(&entry.info, scope) }).collect()
    }

    pub(super) fn can_be(&self, slot: u16, text: &[u8]) -> bool {
        let mut same = self.entries.iter().filter(|entry| entry.info.slot == slot).peekable();
        same.peek().is_none() || same.any(|entry| entry.spelling.can_be(text))
    }
}

/// A block of fields: the names in it are seen before those around it.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    /// What stands before its fields' names, `sender.` or nothing.
    pub(super) prefix: String,
    /// The names that it will have in the end.
    pub(super) names: HashMap<String, Span>,
    /// Whether names around it cannot be seen: the body of a group that was defined elsewhere.
    pub(super) closed: bool,
    /// How many fields, and how many of other branches, there were before it; a closed one does not see them.
    pub(super) before: (usize, usize),
}

/// The names that can be seen at a place in a rule.
pub(super) struct View<'v> {
    pub(super) entries: &'v [Entry],
    /// Fields of other branches, which cannot be there.
    pub(super) siblings: &'v [Entry],
    pub(super) blocks: &'v [Block],
    pub(super) never_empty: &'v HashSet<u16>,
    pub(super) fold: bool,
    /// The element of the list that a test is about.
    pub(super) element: Option<&'v Summary>,
    /// Names of the flow, to say that a record does not see them.
    pub(super) flow: &'v [String],
}

impl View<'_> {
    /// The fields that a block sees: of this branch, and of others.
    fn seen_from(&self, block: &Block) -> [&[Entry]; 2] {
        let (entries, siblings) = if block.closed { block.before } else { (0, 0) };
        // Fields of branches that have ended are no longer among the entries.
        let entries = self.entries.get(entries.min(self.entries.len())..).unwrap_or_default();
        [entries, self.siblings.get(siblings.min(self.siblings.len())..).unwrap_or_default()]
    }
}

impl Names for View<'_> {
    fn resolve(&self, path: &[Name]) -> Resolution {
        if let Some(element) = self.element {
            let found = element.found(Scope::Element, path);
            if !found.is_empty() {
                return Resolution::Field(found);
            }
        }
        let dotted = dotted(path);
        for block in self.blocks.iter().rev() {
            let full = format!("{}{dotted}", block.prefix);
            for entries in self.seen_from(block) {
                let same = entries.iter().filter(|entry| entry.info.path == full);
                let found: Vec<Found> = same
                    .map(|entry| Found { declared: Some(entry.span), ..found(&entry.info, Scope::Record) })
                    .collect();
                if !found.is_empty() {
                    return Resolution::Field(found);
                }
            }
            if let Some(span) = block.names.get(&dotted) {
                return Resolution::NotYet { declared: Some(*span) };
            }
            if block.closed {
                break;
            }
        }
        if dotted == "raw" && self.element.is_none() {
            return Resolution::Field(vec![Found {
                place: Place { scope: Scope::Record, slot: RAW_SLOT },
                kind: Type::Text { max: u32::MAX },
                presence: Vec::new(),
                declared: None,
            }]);
        }
        if path.len() == 1 && self.flow.contains(&dotted) {
            return Resolution::NotSupported(format!("`{dotted}`, which the flow keeps, inside a record"));
        }
        Resolution::Unknown
    }

    fn candidates(&self, path: &[Name]) -> Vec<String> {
        let mut names = self.element.map(|element| candidates_in(&element.layout, path)).unwrap_or_default();
        for block in self.blocks.iter().rev() {
            let [fields, _] = self.seen_from(block);
            let fields = fields.iter().filter_map(|entry| {
                let path = entry.info.path.strip_prefix(&block.prefix)?;
                Some(FieldInfo { path: path.into(), ..entry.info.clone() })
            });
            let inner = Layout { name: String::new(), fields: fields.collect(), width: 0 };
            for name in candidates_in(&inner, path) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            if block.closed {
                break;
            }
        }
        names
    }

    fn keywords_ignore_case(&self) -> bool {
        self.fold
    }

    fn can_be(&self, place: Place, text: &[u8]) -> bool {
        match (place.scope, self.element) {
            (Scope::Element, Some(element)) => element.can_be(place.slot, text),
            (Scope::Record, _) => {
                let mut same = self.entries.iter().filter(|entry| entry.info.slot == place.slot).peekable();
                same.peek().is_none() || same.any(|entry| entry.spelling.can_be(text))
            }
            _ => true,
        }
    }

    fn never_empty(&self, list: Place) -> bool {
        list.scope == Scope::Record && self.never_empty.contains(&list.slot)
    }
}
