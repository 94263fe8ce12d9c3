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

use crate::decision::{Splice, StreamChange};
use crate::elements::Put;
use crate::fields;
use crate::fixes::{self, Fix};
use crate::inserts::{self, Insert};
use crate::limits::MAX_EDIT_BYTES;
use crate::names::{NamedSets, RuleNames};
use crate::syntax::{EditClause, EditKind, InsertSpot};

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
    /// `insert "..." after LIST where TEST`
    Insert(Box<Insert>),
    /// `fix`
    Fix(Box<Fix>),
}

/// What an edit has come to.
#[derive(Clone, Debug)]
pub(crate) enum Edited {
    /// There is nothing to change.
    Nothing,
    /// The record changes.
    Record(Vec<Splice>),
    /// The stream that the event is of changes.
    Stream(StreamChange),
    /// What would come in does not fit what it would come into, and why.
    Refused(&'static str),
}

/// Why a text is not put in.
pub(crate) const WITH_LINE_END: &str = "a value has a CR, LF or NUL";

/// Why a text is not put in.
pub(crate) const TOO_LONG: &str = "the text is too long";

impl Edit {
    /// What it reads.
    pub(crate) fn formulas(&self) -> Vec<&Formula> {
        match self {
            Edit::Set { value, .. } => vec![value],
            Edit::Delete { reads, .. } | Edit::Replace { reads, .. } => vec![reads],
            Edit::Insert(insert) => insert.formulas().collect(),
            Edit::Fix(fix) => fix.formulas().iter().collect(),
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
    if let EditKind::Fix = clause.kind {
        return fixes::compile(clause.span, names, diagnostics).map(|fix| Edit::Fix(Box::new(fix)));
    }
    let of_stream = matches!(names.event.kind, EventKind::StreamStart | EventKind::StreamEnd);
    let at_edge = matches!(clause.kind, EditKind::Insert { spot: InsertSpot::Edge { .. }, .. });
    if names.event.kind != EventKind::Record && !(of_stream && at_edge) {
        diagnostics.push(
            Diagnostic::error(Code::C17, format!("there is nothing to edit in `{own}`"))
                .primary(clause.span, "what the event tells of has left, or has no octets of its own")
                .help("edits change the record of the event at hand: put the rule on that record; `edit insert` puts lines at the start and end of a stream, `edit fix` is for anomalies"),
        );
        return None;
    }
    let none = Writable::default();
    let writable = names.scheme.writable.get(usize::from(event.0)).unwrap_or(&none);
    match &clause.kind {
        EditKind::Insert { text, spot } => {
            let insert = inserts::compile(text, spot, names, facts, writable, diagnostics)?;
            Some(Edit::Insert(Box::new(insert)))
        }
        EditKind::Fix => None,
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

pub(crate) fn breaks_lines(octets: &[u8]) -> bool {
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
pub(crate) fn field(
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

pub(crate) fn list_of(path: &Path, names: &RuleNames<'_>) -> Option<(Place, std::sync::Arc<Layout>)> {
    match resolve_in(&names.event.layout, Scope::Record, &path.names) {
        Resolution::Field(found) => found.into_iter().find_map(|found| match found.kind {
            Type::List(layout) => Some((found.place, layout)),
            _ => None,
        }),
        _ => None,
    }
}

pub(crate) fn lists(names: &RuleNames<'_>) -> Vec<String> {
    let fields = names.event.layout.fields.iter();
    fields.filter(|field| matches!(field.kind, Type::List(_))).map(|field| field.path.clone()).collect()
}

/// The names in the test of an element: its fields, then those of the rule.
pub(crate) struct ElementNames<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) names: &'a RuleNames<'a>,
    pub(crate) sets: &'a NamedSets,
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
    pub(crate) gone: SmallVec<[(Place, u32); 4]>,
    /// Elements that were put in.
    pub(crate) puts: Vec<Put>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.gone.is_empty() && self.puts.is_empty()
    }

    /// The event as it is with the changes.
    pub(crate) fn on<'a>(&'a self, host: &'a dyn Host) -> Changed<'a> {
        Changed { host, changes: self }
    }

    /// Carries out an edit; what has to be done for it. Nothing if the field is not there; it is refused if what the field
    /// would become is no part of one line.
    pub(crate) fn edit(&mut self, edit: &Edit, host: &dyn Host) -> Edited {
        match edit {
            Edit::Set { field, value } => {
                let octets = match value.value(&self.on(host)) {
                    Value::Bytes(octets) => octets.into_owned(),
                    _ => return Edited::Nothing,
                };
                self.put(*field, octets, host)
            }
            Edit::Replace { field, pattern, with, .. } => {
                let octets = match self.on(host).read(*field) {
                    Value::Bytes(octets) if pattern.is_match(&octets) => {
                        pattern.replace_all(&octets, regex::bytes::NoExpand(with)).into_owned()
                    }
                    _ => return Edited::Nothing,
                };
                self.put(*field, octets, host)
            }
            Edit::Delete { list, mark, test, .. } => {
                self.delete(*list, *mark, test, host).map_or(Edited::Nothing, Edited::Record)
            }
            Edit::Insert(insert) => self.insert(insert, host),
            Edit::Fix(fix) => fix.fix(host),
        }
    }

    pub(crate) fn put(&mut self, field: Place, octets: Vec<u8>, host: &dyn Host) -> Edited {
        let Some(Range { start, end }) = host.octets(field) else { return Edited::Nothing };
        let octets: Box<[u8]> = octets.into();
        let same = matches!(self.on(host).read(field), Value::Bytes(now) if now.as_ref() == octets.as_ref());
        if same {
            return Edited::Nothing;
        }
        if octets.len() > MAX_EDIT_BYTES {
            return Edited::Refused(TOO_LONG);
        }
        if breaks_lines(&octets) {
            return Edited::Refused(WITH_LINE_END);
        }
        self.fields.retain(|(place, _)| *place != field);
        self.fields.push((field, octets.clone()));
        let removed = end.saturating_sub(start);
        Edited::Record(vec![Splice { offset: start, removed, inserted: octets, beside: false }])
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
pub(crate) struct OfElement<'a> {
    pub(crate) host: &'a dyn Host,
    pub(crate) original: &'a dyn Host,
    pub(crate) list: Place,
    pub(crate) index: u32,
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
