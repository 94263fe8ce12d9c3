//! What is known at a place in a file: which fields are there, and what they can be.

use crate::formula::{Place, Scope};
use crate::scheme::Presence;

use super::domain::Domain;
use super::names::Found;

/// What something is known about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A field.
    Place(Place),
    /// A field of the first or last element of a list.
    Edge {
        /// The list.
        list: Place,
        /// The slot of the element.
        slot: u16,
        /// Whether it is the last.
        last: bool,
    },
}

/// What is known: the tests that hold wherever an expression is read.
///
/// `A and B` reads B knowing A, `A or B` reads B knowing that A does not hold. A `must` is known behind it, a guard in what
/// it guards.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    entries: Vec<(Subject, Entry)>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Entry {
    present: bool,
    domain: Option<Domain>,
}

impl Facts {
    /// Nothing is known.
    pub fn new() -> Facts {
        Facts::default()
    }

    /// The subject is there.
    pub fn learn_present(&mut self, subject: Subject) {
        self.entry(subject).present = true;
    }

    /// The subject, if it is there, is one of these.
    pub fn learn_domain(&mut self, subject: Subject, domain: &Domain) {
        let entry = self.entry(subject);
        entry.domain = Some(match &entry.domain {
            Some(known) => known.intersection(domain),
            None => domain.clone(),
        });
    }

    /// The field is there, and so everything holds without which it would not be.
    pub fn learn_found(&mut self, subject: Subject, found: &Found) {
        self.learn_present(subject);
        for presence in &found.presence {
            self.learn_presence(presence, |slot| sibling(subject, slot));
        }
    }

    /// A condition of presence holds.
    pub fn learn_presence(&mut self, presence: &Presence, subject_of: impl Fn(u16) -> Subject) {
        match presence {
            Presence::Case { slot, values, negated, .. } => {
                if let Some(domain) = Domain::of_cases(values) {
                    let domain = if *negated { domain.complement() } else { domain };
                    self.learn_domain(subject_of(*slot), &domain);
                }
            }
            Presence::Part { slot, .. } => self.learn_present(subject_of(*slot)),
        }
    }

    /// Whether the subject is known to be there.
    pub fn is_present(&self, subject: Subject) -> bool {
        self.find(subject).is_some_and(|entry| entry.present)
    }

    /// What the subject is known to be, if anything is.
    pub fn domain(&self, subject: Subject) -> Option<&Domain> {
        self.find(subject).and_then(|entry| entry.domain.as_ref())
    }

    /// What is left of a number's range by what is known; the range itself if nothing would be left.
    pub fn range(&self, subject: Subject, (min, max): (i64, i64)) -> (i64, i64) {
        let left = self.domain(subject).and_then(|known| Domain::range(min, max).intersection(known).bounds());
        left.unwrap_or((min, max))
    }

    /// Whether a condition of presence of a field is known to hold; `subject` is the field.
    pub fn implies(&self, subject: Subject, presence: &Presence) -> bool {
        match presence {
            Presence::Part { slot, .. } => self.is_present(sibling(subject, *slot)),
            Presence::Case { slot, values, negated, .. } => {
                let Some(known) = self.domain(sibling(subject, *slot)) else { return false };
                let Some(cases) = Domain::of_cases(values) else { return false };
                known.is_within(&if *negated { cases.complement() } else { cases })
            }
        }
    }

    /// Whether a condition of presence of a field is known not to hold.
    pub fn excludes(&self, subject: Subject, presence: &Presence) -> bool {
        let Presence::Case { slot, values, negated, .. } = presence else { return false };
        let Some(known) = self.domain(sibling(subject, *slot)) else { return false };
        let Some(cases) = Domain::of_cases(values) else { return false };
        known.intersection(&if *negated { cases.complement() } else { cases }).is_empty()
    }

    /// What is known if one or the other holds.
    pub fn either(&self, other: &Facts) -> Facts {
        let mut both = Facts::new();
        for (subject, entry) in &self.entries {
            let Some(other) = other.find(*subject) else { continue };
            let domain = match (&entry.domain, &other.domain) {
                (Some(left), Some(right)) => left.union(right),
                _ => None,
            };
            both.entries.push((*subject, Entry { present: entry.present && other.present, domain }));
        }
        both
    }

    /// What is known if both hold.
    pub fn both(&self, other: &Facts) -> Facts {
        let mut all = self.clone();
        for (subject, entry) in &other.entries {
            if entry.present {
                all.learn_present(*subject);
            }
            if let Some(domain) = &entry.domain {
                all.learn_domain(*subject, domain);
            }
        }
        all
    }

    /// The same, of the same fields seen from elsewhere: those of a record's own slots, as slots of `scope`.
    pub fn seen_from(&self, scope: Scope) -> Facts {
        let move_place = |place: Place| Place { scope, slot: place.slot };
        let entries = self.entries.iter().filter_map(|(subject, entry)| {
            let subject = match subject {
                Subject::Place(place) if place.scope == Scope::Record => Subject::Place(move_place(*place)),
                Subject::Edge { list, slot, last } if list.scope == Scope::Record => {
                    Subject::Edge { list: move_place(*list), slot: *slot, last: *last }
                }
                _ => return None,
            };
            Some((subject, entry.clone()))
        });
        Facts { entries: entries.collect() }
    }

    /// Forgets what is known of a subject, which has changed.
    pub fn forget(&mut self, subject: Subject) {
        self.entries.retain(|(known, _)| *known != subject);
    }

    fn find(&self, subject: Subject) -> Option<&Entry> {
        self.entries.iter().find(|(known, _)| *known == subject).map(|(_, entry)| entry)
    }

    fn entry(&mut self, subject: Subject) -> &mut Entry {
        let index = match self.entries.iter().position(|(known, _)| *known == subject) {
            Some(index) => index,
            None => {
                self.entries.push((subject, Entry::default()));
                self.entries.len() - 1
            }
        };
        &mut self.entries[index].1
    }
}

/// Another slot of the record or element that the subject belongs to.
pub(super) fn sibling(subject: Subject, slot: u16) -> Subject {
    match subject {
        Subject::Place(place) => Subject::Place(Place { scope: place.scope, slot }),
        Subject::Edge { list, last, .. } => Subject::Edge { list, slot, last },
    }
}
