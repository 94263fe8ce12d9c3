//! `edit ...`: changes of the record that an event carries.

use std::ops::Range;

use portcullis_lang::scheme::{ListMark, Writable};
use portcullis_lang::typing::{
    Absence, Checker, Facts, NamedSet, Names, Resolution, candidates_in, dotted, resolve_in,
};
use portcullis_lang::{
    Code, Diagnostic, Diagnostics, EventId, EventKind, ExpressionKind, Formula, Host, Layout, Name, Path, Place, Scope,
    Span, Text, Type, Value,
};
use smallvec::SmallVec;

use crate::decision::Splice;
use crate::fields;
use crate::limits::MAX_EDIT_BYTES;
use crate::names::{NamedSets, RuleNames};
use crate::syntax::{EditClause, EditKind};

/// An edit, checked.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    /// `set FIELD = VALUE`
    Set { field: Place, value: Formula },
    /// `delete LIST where TEST`
    Delete {
        list: Place,
        mark: Option<ListMark>,
        /// Of an element.
        test: Formula,
        /// [`Edit::Delete::test`] as a formula that reads the list, for those who ask what is read.
        reads: Formula,
    },
    /// `replace /re/ with "..." in FIELD`
    Replace { field: Place, reads: Formula, pattern: Box<regex::bytes::Regex>, with: Box<[u8]> },
}

impl Edit {
    /// What it reads.
    pub(crate) fn formula(&self) -> Option<&Formula> {
        match self {
            Edit::Set { value, .. } => Some(value),
            Edit::Delete { reads, .. } | Edit::Replace { reads, .. } => Some(reads),
        }
    }
}

/// Checks an edit on an event.
pub(crate) fn compile(
    clause: &EditClause,
    event: EventId,
    names: &RuleNames<'_>,
    facts: &Facts,
    diagnostics: &mut Diagnostics,
) -> Option<Edit> {
    let own = format!("{}.{}", names.scheme.name, names.event.name);
    if names.event.kind != EventKind::Record {
        diagnostics.push(
            Diagnostic::error(Code::C17, format!("there is nothing to edit in `{own}`"))
                .primary(clause.span, "what the event tells of has left, or has no octets of its own")
                .help("edits change the record of the event at hand: put the rule on that record"),
        );
        return None;
    }
    let none = Writable::default();
    let writable = names.scheme.writable.get(usize::from(event.0)).unwrap_or(&none);
    match &clause.kind {
        EditKind::Set(path, value) => {
            let field = field(path, names, facts, writable, diagnostics)?;
            if !fields::are_of_event(value, names, diagnostics) {
                return None;
            }
            let typed = Checker::new(names, diagnostics).value(value, facts, Absence::Parts)?;
            if !matches!(typed.kind, Type::Text { .. } | Type::Keyword { .. }) {
                diagnostics.push(
                    Diagnostic::error(Code::C11, "a field is set to a text")
                        .primary(value.span, typed.kind.describe())
                        .help("in quotes, or another field: `edit set domain = \"gateway.example\"`"),
                );
                return None;
            }
            if let ExpressionKind::Text(text) = &value.kind {
                one_line(text, diagnostics)?;
            }
            Some(Edit::Set { field, value: typed.formula })
        }
        EditKind::Replace { pattern, with, field: path } => {
            let field = field(path, names, facts, writable, diagnostics)?;
            one_line(with, diagnostics)?;
            let ExpressionKind::Regex(text) = &pattern.kind else { return None };
            let expression = regex(text, pattern.span, diagnostics)?;
            let with = with.bytes.clone().into();
            Some(Edit::Replace { field, reads: Formula::Place(field), pattern: Box::new(expression), with })
        }
        EditKind::Delete(path, test) => {
            let Some((list, layout)) = list_of(path, names) else {
                diagnostics.push(
                    Diagnostic::error(Code::C1, format!("`{path}` is no list of `{own}`"))
                        .primary(path.span, "")
                        .suggest(portcullis_lang::suggest(&path.to_string(), lists(names).iter().map(String::as_str))),
                );
                return None;
            };
            let Some(known) = writable.lists.iter().find(|known| known.slot == list.slot) else {
                diagnostics.push(
                    Diagnostic::error(Code::C17, format!("elements of `{path}` cannot be left out"))
                        .primary(path.span, "the record says elsewhere how many there are, or what follows them")
                        .help("`refuse`, `reset` and `drop` keep the whole flow out"),
                );
                return None;
            };
            let of_element = ElementNames { layout: &layout, names, sets: names.sets };
            let formula = Checker::new(&of_element, diagnostics).condition(test, &mut Facts::new())?;
            let reads = Formula::Any { list, test: Box::new(formula.clone()) };
            Some(Edit::Delete { list, mark: known.mark, test: formula, reads })
        }
    }
}

/// A text that is put into a record must not end its line.
fn one_line(text: &Text, diagnostics: &mut Diagnostics) -> Option<()> {
    if breaks_lines(&text.bytes) || text.bytes.len() > MAX_EDIT_BYTES {
        diagnostics.push(
            Diagnostic::error(Code::C11, "this cannot be put into a field")
                .primary(text.span, format!("it has a CR, LF or NUL, or more than {MAX_EDIT_BYTES} octets"))
                .help("fields are parts of one line"),
        );
        return None;
    }
    Some(())
}

fn breaks_lines(octets: &[u8]) -> bool {
    octets.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0))
}

fn regex(text: &str, span: Span, diagnostics: &mut Diagnostics) -> Option<regex::bytes::Regex> {
    match regex::bytes::RegexBuilder::new(text).unicode(false).size_limit(1 << 20).build() {
        Ok(regex) => Some(regex),
        Err(error) => {
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or_default();
            diagnostics.push(Diagnostic::error(Code::S3, "this is no regular expression").primary(span, reason));
            None
        }
    }
}

/// A field that can be changed.
fn field(
    path: &Path,
    names: &RuleNames<'_>,
    facts: &Facts,
    writable: &Writable,
    diagnostics: &mut Diagnostics,
) -> Option<Place> {
    let mut names_of_path = path.names.iter();
    let first = names_of_path.next()?;
    let start = portcullis_lang::Expression { kind: ExpressionKind::Name(first.clone()), span: first.span };
    let expression = names_of_path.fold(start, |inner, name| {
        let span = inner.span.to(name.span);
        portcullis_lang::Expression { kind: ExpressionKind::Field(Box::new(inner), name.clone()), span }
    });
    if !fields::are_of_event(&expression, names, diagnostics) {
        return None;
    }
    let typed = Checker::new(names, diagnostics).value(&expression, facts, Absence::Parts)?;
    match typed.formula {
        Formula::Place(place) if place.scope == Scope::Record && writable.slots.contains(&place.slot) => Some(place),
        Formula::Place(place) if place.scope == Scope::Flow => {
            diagnostics.push(
                Diagnostic::error(Code::C17, format!("`{path}` has left already"))
                    .primary(path.span, "the flow keeps it of an earlier record")
                    .help("put the rule on the event of that record"),
            );
            None
        }
        _ => {
            diagnostics.push(
                Diagnostic::error(Code::C17, format!("`{path}` cannot be changed"))
                    .primary(path.span, "it is computed, a number or a group, or other fields say how long it is")
                    .help("fields that are octets of the record as they stand can be"),
            );
            None
        }
    }
}

fn list_of(path: &Path, names: &RuleNames<'_>) -> Option<(Place, std::sync::Arc<Layout>)> {
    match resolve_in(&names.event.layout, Scope::Record, &path.names) {
        Resolution::Field(found) => found.into_iter().find_map(|found| match found.kind {
            Type::List(layout) => Some((found.place, layout)),
            _ => None,
        }),
        _ => None,
    }
}

fn lists(names: &RuleNames<'_>) -> Vec<String> {
    let fields = names.event.layout.fields.iter();
    fields.filter(|field| matches!(field.kind, Type::List(_))).map(|field| field.path.clone()).collect()
}

/// The names in the test of an element: its fields, then those of the rule.
struct ElementNames<'a> {
    layout: &'a Layout,
    names: &'a RuleNames<'a>,
    sets: &'a NamedSets,
}

impl Names for ElementNames<'_> {
    fn resolve(&self, path: &[Name]) -> Resolution {
        let own = resolve_in(self.layout, Scope::Element, path);
        if !matches!(own, Resolution::Unknown) {
            return own;
        }
        let named: Option<NamedSet> =
            path.first().filter(|_| path.len() == 1).and_then(|n| self.sets.get(&n.text)).cloned();
        match named {
            Some(set) => Resolution::Named(set),
            None if dotted(path) == "raw" => Resolution::Unknown,
            None => self.names.resolve(path),
        }
    }

    fn candidates(&self, path: &[Name]) -> Vec<String> {
        let mut names = candidates_in(self.layout, path);
        names.extend(self.names.candidates(path));
        names
    }

    fn keywords_ignore_case(&self) -> bool {
        self.names.keywords_ignore_case()
    }
}

/// What rules have changed of a record so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    fields: SmallVec<[(Place, Box<[u8]>); 1]>,
    /// Elements that are gone, by their lists and original numbers.
    gone: SmallVec<[(Place, u32); 4]>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.gone.is_empty()
    }

    /// The event as it is with the changes.
    pub(crate) fn on<'a>(&'a self, host: &'a dyn Host) -> Changed<'a> {
        Changed { host, changes: self }
    }

    /// Carries out an edit; what has to be done to the record for it. Nothing if the field is not there, or if what it
    /// would become is no part of one line.
    pub(crate) fn edit(&mut self, edit: &Edit, host: &dyn Host) -> Vec<Splice> {
        match edit {
            Edit::Set { field, value } => {
                let octets = match value.value(&self.on(host)) {
                    Value::Bytes(octets) => octets.into_owned(),
                    _ => return Vec::new(),
                };
                self.put(*field, octets, host)
            }
            Edit::Replace { field, pattern, with, .. } => {
                let octets = match self.on(host).read(*field) {
                    Value::Bytes(octets) if pattern.is_match(&octets) => {
                        pattern.replace_all(&octets, regex::bytes::NoExpand(with)).into_owned()
                    }
                    _ => return Vec::new(),
                };
                self.put(*field, octets, host)
            }
            Edit::Delete { list, mark, test, .. } => self.delete(*list, *mark, test, host),
        }
    }

    fn put(&mut self, field: Place, octets: Vec<u8>, host: &dyn Host) -> Vec<Splice> {
        let Some(Range { start, end }) = host.octets(field) else { return Vec::new() };
        if breaks_lines(&octets) || octets.len() > MAX_EDIT_BYTES {
            return Vec::new();
        }
        let octets: Box<[u8]> = octets.into();
        let same = matches!(self.on(host).read(field), Value::Bytes(now) if now.as_ref() == octets.as_ref());
        if same {
            return Vec::new();
        }
        self.fields.retain(|(place, _)| *place != field);
        self.fields.push((field, octets.clone()));
        vec![Splice { offset: start, removed: end.saturating_sub(start), inserted: octets }]
    }

    /// Deletes elements, and makes the last that is left the last. One always stays: a reply has at least one line.
    fn delete(&mut self, list: Place, mark: Option<ListMark>, test: &Formula, host: &dyn Host) -> Vec<Splice> {
        let count = host.count(list);
        let mut left: Vec<u32> = (0..count).filter(|index| !self.gone.contains(&(list, *index))).collect();
        let holds = |index: &u32| {
            let changed = self.on(host);
            test.test(&OfElement { host: &changed, original: host, list, index: *index }).holds()
        };
        let going: Vec<u32> = left.iter().copied().filter(holds).collect();
        if going.is_empty() || going.len() == left.len() {
            return Vec::new();
        }
        let mut splices = Vec::new();
        for index in &going {
            let Some(Range { start, end }) = host.octets_of_element(list, *index, None) else { return Vec::new() };
            splices.push(Splice { offset: start, removed: end.saturating_sub(start), inserted: Box::default() });
        }
        let was_last = left.last().copied();
        left.retain(|index| !going.contains(index));
        if let (Some(mark), Some(last)) = (mark, left.last().copied().filter(|last| Some(*last) != was_last)) {
            // `250-SIZE` becomes `250 SIZE`.
            let Some(behind) = host.octets_of_element(list, last, Some(mark.behind)) else { return Vec::new() };
            splices.push(Splice { offset: behind.end, removed: 1, inserted: Box::new([b' ']) });
        }
        self.gone.extend(going.into_iter().map(|index| (list, index)));
        splices
    }
}

/// An event with changes of its record.
pub(crate) struct Changed<'a> {
    host: &'a dyn Host,
    changes: &'a Changes,
}

impl Changed<'_> {
    /// The original number of an element.
    fn original(&self, list: Place, index: u32) -> u32 {
        if self.changes.gone.iter().all(|(of, _)| *of != list) {
            return index;
        }
        let left = (0..self.host.count(list)).filter(|index| !self.changes.gone.contains(&(list, *index)));
        left.into_iter().nth(index as usize).unwrap_or(u32::MAX)
    }
}

impl Host for Changed<'_> {
    fn read(&self, place: Place) -> Value<'_> {
        match self.changes.fields.iter().find(|(field, _)| *field == place) {
            Some((_, octets)) => Value::bytes(octets),
            None => self.host.read(place),
        }
    }

    fn count(&self, list: Place) -> u32 {
        let gone = self.changes.gone.iter().filter(|(of, _)| *of == list).count();
        self.host.count(list).saturating_sub(u32::try_from(gone).unwrap_or(u32::MAX))
    }

    fn element(&self, list: Place, index: u32, slot: u16) -> Value<'_> {
        self.host.element(list, self.original(list, index), slot)
    }
}

/// A host in which [`Scope::Element`] is one element of a list, by its original number.
struct OfElement<'a> {
    host: &'a dyn Host,
    original: &'a dyn Host,
    list: Place,
    index: u32,
}

impl Host for OfElement<'_> {
    fn read(&self, place: Place) -> Value<'_> {
        match place.scope {
            Scope::Element => self.original.element(self.list, self.index, place.slot),
            _ => self.host.read(place),
        }
    }

    fn count(&self, list: Place) -> u32 {
        self.host.count(list)
    }

    fn element(&self, list: Place, index: u32, slot: u16) -> Value<'_> {
        self.host.element(list, index, slot)
    }
}
