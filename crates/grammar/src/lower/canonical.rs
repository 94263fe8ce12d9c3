//! How deviations are put right: what a grammar says beside what it tolerates.
//!
//! A newline that is tolerated becomes the one that is canonical. Blanks that should be so many become so many, and what is
//! left over where nothing should be is taken out. What a deviation means is never guessed: an address that stands
//! without brackets has no canonical form, because taking it out is what its `should ... is empty` says.

use std::collections::HashMap;

use portcullis_lang::scheme::{Canonical, LineStream};
use portcullis_lang::{AnomalyId, Comparison, EventId, Formula, Scope};

use crate::model::{Conversion, Item, Newline, Shape, Source, Stream, Weight};

use super::Lowering;
use super::events::Events;

/// What is known of a field that may be put right.
#[derive(Clone, Copy)]
enum Kind {
    Blanks,
    /// What is left over to the end of the record.
    LeftOver,
}

impl Lowering<'_> {
    /// How each anomaly is put right.
    pub(super) fn canonical(&self, events: &Events, streams: &[Stream]) -> Vec<Vec<Canonical>> {
        let mut canonical: Vec<Vec<Canonical>> = vec![Vec::new(); self.anomalies.len()];
        let mut put = |anomaly: AnomalyId, form: Canonical| {
            if let Some(forms) = canonical.get_mut(usize::from(anomaly.0))
                && !forms.contains(&form)
            {
                forms.push(form);
            }
        };
        if let Some(hidden) = hidden_in_all(&self.newline, streams) {
            for (octet, anomaly) in [(b'\n', self.newline.bare_lf), (b'\r', self.newline.bare_cr)] {
                if let Some(anomaly) = anomaly {
                    put(anomaly, Canonical::Newline { octet, hidden });
                }
            }
        }
        for rule in events.ids().filter_map(|id| self.lowered(events.rule(id)?)) {
            let mut found = Found::default();
            found.collect(&rule.items);
            for (anomaly, test) in &found.checks {
                let Some(wanted) = found.wanted(test) else { continue };
                for (slot, count) in wanted {
                    put(*anomaly, Canonical::Blanks { record: rule.name.clone(), slot, count });
                }
            }
        }
        canonical
    }

    /// How text is put in at the start or the end of a stream.
    pub(super) fn line_stream(&self, event: EventId, streams: &[Stream]) -> Option<LineStream> {
        let stream = streams.iter().find(|stream| stream.events.start == event || stream.events.end == event)?;
        let hidden = hidden_in(stream)?;
        Some(LineStream { hidden, crlf: self.newline.crlf })
    }
}

/// The octet that hides lines which look like the last one; nothing if the stream has no such lines, or does not hide them
/// so that one octet more hides every one.
fn hidden_in(stream: &Stream) -> Option<u8> {
    match &stream.source {
        Source::Lines { text, .. } => match text.as_ref() {
            [octet] => stream.remove_leading.filter(|hidden| hidden == octet),
            _ => None,
        },
        _ => None,
    }
}

/// What hides lines in the streams of a protocol, where all agree about it, so that a newline more cannot end one of them.
fn hidden_in_all(newline: &Newline, streams: &[Stream]) -> Option<Option<u8>> {
    if !newline.crlf {
        return None;
    }
    let mut of_lines = streams.iter().filter(|stream| matches!(stream.source, Source::Lines { .. })).map(hidden_in);
    match of_lines.next() {
        None => Some(None),
        Some(first) => first.filter(|first| of_lines.all(|other| other == Some(*first))).map(Some),
    }
}

/// The fields of a record, and what should hold of them.
#[derive(Default)]
struct Found<'a> {
    kinds: HashMap<u16, Kind>,
    checks: Vec<(AnomalyId, &'a Formula)>,
}

impl<'a> Found<'a> {
    fn collect(&mut self, items: &'a [Item]) {
        for item in items {
            match item {
                Item::Field(field) => {
                    let kind = match (&field.shape, field.convert) {
                        (Shape::Blanks, Conversion::None) => Some(Kind::Blanks),
                        (Shape::Rest, Conversion::None | Conversion::Trimmed) => Some(Kind::LeftOver),
                        _ => None,
                    };
                    if let (Some(slot), Some(kind)) = (field.slot, kind) {
                        self.kinds.insert(slot, kind);
                    }
                }
                Item::Check { weight: Weight::Should(anomaly), test, .. } => self.checks.push((*anomaly, test)),
                Item::Optional { items, .. } | Item::When { items, .. } | Item::Line { items, .. } => {
                    self.collect(items);
                }
                Item::Switch { arms, otherwise, .. } => {
                    arms.iter().for_each(|arm| self.collect(&arm.items));
                    otherwise.iter().for_each(|items| self.collect(items));
                }
                Item::Choose { arms, otherwise, .. } => {
                    arms.iter().for_each(|arm| self.collect(&arm.items));
                    otherwise.iter().for_each(|items| self.collect(items));
                }
                // The size of a window would have to change, and the fields of elements are not those of the record.
                _ => {}
            }
        }
    }

    /// Which fields have to become how many blanks for a test to hold; nothing if that does not follow from it.
    fn wanted(&self, test: &Formula) -> Option<Vec<(u16, u32)>> {
        match test {
            Formula::And(parts) => {
                let parts: Option<Vec<_>> = parts.iter().map(|part| self.wanted(part)).collect();
                Some(parts?.into_iter().flatten().collect())
            }
            Formula::IsEmpty(inner) => {
                let slot = place_of(inner)?;
                self.kinds.contains_key(&slot).then(|| vec![(slot, 0)])
            }
            Formula::Compare { operator: Comparison::Equal, left, right, .. } => {
                let (Formula::Length(inner), Formula::Number(count)) = (left.as_ref(), right.as_ref()) else {
                    return None;
                };
                let slot = place_of(inner)?;
                let count = u32::try_from(*count).ok().filter(|count| *count <= MAX_BLANKS)?;
                matches!(self.kinds.get(&slot)?, Kind::Blanks).then(|| vec![(slot, count)])
            }
            _ => None,
        }
    }
}

/// Most blanks that a field is put right with.
const MAX_BLANKS: u32 = 256;

fn place_of(formula: &Formula) -> Option<u16> {
    match formula {
        Formula::Place(place) if place.scope == Scope::Record => Some(place.slot),
        _ => None,
    }
}
