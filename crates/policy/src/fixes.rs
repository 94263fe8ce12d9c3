//! `edit fix`: what a grammar tolerates, in its canonical form.

use portcullis_lang::scheme::{Canonical, RAW_SLOT, event_slots};
use portcullis_lang::{Code, Diagnostic, Diagnostics, EventKind, Formula, Host, Place, Scope, Span};

use crate::decision::{Splice, StreamChange};
use crate::edits::Edited;
use crate::names::RuleNames;

/// Why a newline in a record is left as it is.
const IN_RECORD: &str = "a CR within a line has no canonical form";

/// Why nothing came of a fix.
const NO_FORM: &str = "what deviates here has no canonical form";

/// `edit fix`, checked: the forms of the anomaly.
#[derive(Clone, Debug)]
pub(crate) struct Fix {
    forms: Vec<Canonical>,
    reads: Vec<Formula>,
}

/// Checks a fix on an event.
pub(crate) fn compile(span: Span, names: &RuleNames<'_>, diagnostics: &mut Diagnostics) -> Option<Fix> {
    let own = format!("{}.{}", names.scheme.name, names.event.name);
    let fixable = || {
        let forms = names.scheme.anomalies.iter().zip(&names.scheme.canonical);
        let with_form = forms.filter(|(_, forms)| !forms.is_empty());
        with_form.map(|(anomaly, _)| format!("`{}.{}`", names.scheme.name, anomaly.name)).collect::<Vec<_>>().join(", ")
    };
    let EventKind::Anomaly(anomaly) = names.event.kind else {
        diagnostics.push(
            Diagnostic::error(Code::C17, format!("`{own}` is no anomaly"))
                .primary(span, "`edit fix` brings what deviates to its canonical form")
                .help(match fixable() {
                    none if none.is_empty() => "the protocol has no anomaly with a canonical form".to_owned(),
                    known => format!("put the rule on one of these: {known}"),
                }),
        );
        return None;
    };
    let forms = names.scheme.canonical.get(usize::from(anomaly.0)).cloned().unwrap_or_default();
    if forms.is_empty() {
        diagnostics.push(
            Diagnostic::error(Code::C23, format!("`{own}` has no canonical form"))
                .primary(span, "the grammar does not say what should stand there instead")
                .help(match fixable() {
                    none if none.is_empty() => "`refuse`, `reset` and `drop` keep it out".to_owned(),
                    known => format!("`refuse`, `reset` and `drop` keep it out; a canonical form have {known}"),
                }),
        );
        return None;
    }
    let mut reads = vec![Formula::Place(Place { scope: Scope::Event, slot: event_slots::RECORD })];
    reads.extend(forms.iter().filter_map(|form| match form {
        Canonical::Blanks { slot, .. } => Some(Formula::Place(Place { scope: Scope::Record, slot: *slot })),
        Canonical::Newline { .. } => None,
    }));
    Some(Fix { forms, reads })
}

impl Fix {
    /// What it reads.
    pub(crate) fn formulas(&self) -> &[Formula] {
        &self.reads
    }

    /// Carries it out for an anomaly.
    pub(crate) fn fix(&self, host: &dyn Host) -> Edited {
        let mut splices = Vec::new();
        let record = host.read(Place { scope: Scope::Event, slot: event_slots::RECORD });
        let raw = host.read(Place { scope: Scope::Record, slot: RAW_SLOT });
        let raw = raw.as_bytes();
        for form in &self.forms {
            match (form, host.place_in_record()) {
                (Canonical::Newline { .. }, None) => return Edited::Stream(StreamChange::Newlines),
                (Canonical::Newline { octet: b'\n', .. }, Some(at)) => {
                    // In its place and not before it: what two rules put right is put right once.
                    splices.push(Splice { offset: at, removed: 1, inserted: Box::new(*b"\r\n"), beside: false });
                }
                (Canonical::Newline { .. }, Some(_)) => return Edited::Refused(IN_RECORD),
                (Canonical::Blanks { record: of, slot, count }, Some(_)) => {
                    if record.as_bytes() != Some(of.as_bytes()) {
                        continue;
                    }
                    let Some(octets) = host.octets(Place { scope: Scope::Record, slot: *slot }) else { continue };
                    let raw = raw.unwrap_or_default();
                    let blank = |at: u32| raw.get(at as usize).is_some_and(|octet| matches!(octet, b' ' | b'\t'));
                    let (mut start, mut end) = (octets.start, octets.end);
                    if *count == 0 && start < end {
                        // Nothing is left of what stands around it, where it reaches to the end of the record.
                        let mut rest = end;
                        while blank(rest) {
                            rest = rest.saturating_add(1);
                        }
                        if rest as usize == raw.len() {
                            end = rest;
                            while start > 0 && blank(start.saturating_sub(1)) {
                                start = start.saturating_sub(1);
                            }
                        }
                    }
                    let wanted = vec![b' '; *count as usize];
                    let now = raw.get(start as usize..end as usize).unwrap_or_default();
                    if now != wanted.as_slice() {
                        let removed = end.saturating_sub(start);
                        splices.push(Splice { offset: start, removed, inserted: wanted.into(), beside: false });
                    }
                }
                (Canonical::Blanks { .. }, None) => {}
            }
        }
        if splices.is_empty() { Edited::Refused(NO_FORM) } else { Edited::Record(splices) }
    }
}
