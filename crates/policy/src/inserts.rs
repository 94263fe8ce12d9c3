//! `edit insert`: text beside a field, an element, a line or the lines of a stream.

use portcullis_lang::scheme::{LineStream, ListMark, RAW_SLOT, event_slots};
use portcullis_lang::typing::{Checker, Facts};
use portcullis_lang::{
    Code, Diagnostic, Diagnostics, EventKind, Expression, Formula, Host, Path, Place, Scope, Template, TemplatePart,
};

use crate::decision::{Splice, StreamChange};
use crate::edits::{Changes, Edited, ElementNames, TOO_LONG, WITH_LINE_END, breaks_lines, list_of, lists};
use crate::limits::MAX_EDIT_BYTES;
use crate::names::RuleNames;
use crate::rules::value;
use crate::syntax::InsertSpot;
use crate::text::AlertPart;

/// `edit insert`, checked.
#[derive(Clone, Debug)]
pub(crate) struct Insert {
    parts: Vec<Part>,
    pub(crate) spot: Spot,
}

#[derive(Clone, Debug)]
enum Part {
    Octets(Box<[u8]>),
    Value(AlertPart),
}

/// Where a text is put in.
#[derive(Clone, Debug)]
pub(crate) enum Spot {
    /// At a field, as a part of it.
    Field { field: Place, before: bool },
    /// At an element: before the first or after the last for which the test holds, if there is one.
    Element {
        list: Place,
        mark: Option<ListMark>,
        newline: &'static [u8],
        test: Option<Formula>,
        before: bool,
        /// The test as a formula that reads the list, for those who ask what is read.
        reads: Formula,
    },
    /// At the start or the end of a line.
    Line { before: bool },
    /// At the start or the end of a stream of lines.
    Stream { form: LineStream, before: bool },
}

impl Insert {
    /// What it reads.
    pub(crate) fn formulas(&self) -> impl Iterator<Item = &Formula> {
        let values = self.parts.iter().filter_map(|part| match part {
            Part::Value(AlertPart::Value { formula, .. }) => Some(formula),
            _ => None,
        });
        let spot = match &self.spot {
            Spot::Element { reads, .. } => Some(reads),
            _ => None,
        };
        values.chain(spot)
    }

    /// The text for an event.
    ///
    /// # Errors
    ///
    /// Why it cannot be put in: a value has what ends a line, or it is too long.
    fn text(&self, host: &dyn Host) -> Result<Vec<u8>, &'static str> {
        let mut text = Vec::new();
        for part in &self.parts {
            match part {
                Part::Octets(octets) => text.extend_from_slice(octets),
                Part::Value(part) => {
                    let octets = part.octets(host);
                    if breaks_lines(&octets) {
                        return Err(WITH_LINE_END);
                    }
                    text.extend_from_slice(&octets);
                }
            }
            if text.len() > MAX_EDIT_BYTES {
                return Err(TOO_LONG);
            }
        }
        Ok(text)
    }
}

/// Checks an insertion.
pub(crate) fn compile(
    text: &Template,
    spot: &InsertSpot,
    names: &RuleNames<'_>,
    facts: &Facts,
    writable: &portcullis_lang::scheme::Writable,
    diagnostics: &mut Diagnostics,
) -> Option<Insert> {
    let spot = match spot {
        InsertSpot::Edge { before, span } => match names.event.kind {
            EventKind::StreamStart | EventKind::StreamEnd => {
                let before = *before;
                let form = stream(names, writable, before, *span, diagnostics)?;
                Spot::Stream { form, before }
            }
            _ if writable.line => Spot::Line { before: *before },
            _ => {
                let title = format!("`{}.{}` is no line", names.scheme.name, names.event.name);
                let mut diagnostic = Diagnostic::error(Code::C17, title)
                    .primary(*span, "text is put in at the start or the end of a line, or of a stream of lines");
                let known = lists(names);
                if let Some(list) = known.iter().find(|_| !writable.lists.is_empty()) {
                    diagnostic =
                        diagnostic.help(format!("`before {list}` and `after {list}` put in an element of the list"));
                }
                diagnostics.push(diagnostic);
                return None;
            }
        },
        InsertSpot::Beside { before, path, test } => {
            beside(*before, path, test.as_ref(), names, facts, writable, diagnostics)?
        }
    };
    let mut parts = Vec::new();
    for part in &text.parts {
        parts.push(match part {
            TemplatePart::Text(octets) => Part::Octets(octets.clone().into()),
            TemplatePart::Value(expression) => Part::Value(value(expression, names, facts, diagnostics)?),
        });
    }
    let insert = Insert { parts, spot };
    insert.is_sound(text, diagnostics)?;
    Some(insert)
}

fn stream(
    names: &RuleNames<'_>,
    writable: &portcullis_lang::scheme::Writable,
    before: bool,
    span: portcullis_lang::Span,
    diagnostics: &mut Diagnostics,
) -> Option<LineStream> {
    let own = format!("{}.{}", names.scheme.name, names.event.name);
    let stream = own.strip_suffix(".start").unwrap_or(&own);
    let Some(form) = writable.stream else {
        diagnostics.push(
            Diagnostic::error(Code::C17, format!("nothing can be put into `{stream}`"))
                .primary(span, "its size was announced, it is no text of lines, or it is made of other streams")
                .help("text can be put into a stream of lines whose grammar says what hides its last line"),
        );
        return None;
    };
    let wanted = if before { EventKind::StreamStart } else { EventKind::StreamEnd };
    if names.event.kind != wanted {
        let (why, instead) = match before {
            true => ("the start of the stream has left when its end is judged", format!("{stream}.start")),
            false => ("the end of the stream has not come yet", stream.to_owned()),
        };
        diagnostics.push(
            Diagnostic::error(Code::C17, "nothing can be put in here on this event")
                .primary(span, why)
                .help(format!("put the rule on `{instead}`")),
        );
        return None;
    }
    Some(form)
}

fn beside(
    before: bool,
    path: &Path,
    test: Option<&Expression>,
    names: &RuleNames<'_>,
    facts: &Facts,
    writable: &portcullis_lang::scheme::Writable,
    diagnostics: &mut Diagnostics,
) -> Option<Spot> {
    let Some((list, layout)) = list_of(path, names) else {
        if let Some(test) = test {
            let own = format!("{}.{}", names.scheme.name, names.event.name);
            diagnostics.push(
                Diagnostic::error(Code::C1, format!("`{path}` is no list of `{own}`"))
                    .primary(path.span, "")
                    .secondary(test.span, "`where` chooses among the elements of a list")
                    .suggest(portcullis_lang::suggest(&path.to_string(), lists(names).iter().map(String::as_str))),
            );
            return None;
        }
        let field = crate::edits::field(path, names, facts, writable, diagnostics)?;
        return Some(Spot::Field { field, before });
    };
    let Some(known) = writable.lists.iter().find(|known| known.slot == list.slot) else {
        let mut diagnostic = Diagnostic::error(Code::C17, format!("no element can be put into `{path}`"))
            .primary(path.span, "the record says elsewhere how many there are, or what follows them");
        if writable.line {
            diagnostic = diagnostic.help("`at end` puts text before the end of the line");
        }
        diagnostics.push(diagnostic);
        return None;
    };
    let test = match test {
        None => None,
        Some(test) => {
            let of_element = ElementNames { layout: &layout, names, sets: names.sets };
            Some(Checker::new(&of_element, diagnostics).condition(test, &mut Facts::new())?)
        }
    };
    let any = Formula::Boolean(true);
    let reads = Formula::Any { list, test: Box::new(test.clone().unwrap_or(any)) };
    Some(Spot::Element { list, mark: known.mark, newline: known.newline, test, before, reads })
}

impl Insert {
    /// Whether what is known of the text breaks what it is put into.
    fn is_sound(&self, text: &Template, diagnostics: &mut Diagnostics) -> Option<()> {
        let octets = |part: &Part| match part {
            Part::Octets(octets) => octets.to_vec(),
            // A value has no part of a newline.
            Part::Value(_) => b" ".to_vec(),
        };
        let constant: Vec<u8> = self.parts.iter().flat_map(octets).collect();
        let (broken, help) = match &self.spot {
            Spot::Stream { form, .. } => (!is_lines(&constant, form), "lines of a stream end in \\r\\n"),
            Spot::Element { newline, .. } if !newline.is_empty() => {
                (breaks_lines(&constant), "an element that is a line gets its newline by itself")
            }
            _ => (breaks_lines(&constant), "fields are parts of one line"),
        };
        if broken || constant.len() > MAX_EDIT_BYTES || constant.is_empty() {
            let title =
                if constant.is_empty() { "there is nothing to put in" } else { "this text cannot be put in here" };
            let label = match constant.is_empty() {
                true => String::new(),
                false if broken && matches!(self.spot, Spot::Stream { .. }) => {
                    "it has a CR or LF alone, or a NUL".to_owned()
                }
                false => format!("it has a CR, LF or NUL, or more than {MAX_EDIT_BYTES} octets"),
            };
            diagnostics.push(Diagnostic::error(Code::C11, title).primary(text.span, label).help(help));
            return None;
        }
        Some(())
    }
}

/// Whether text has only whole newlines.
fn is_lines(text: &[u8], form: &LineStream) -> bool {
    let mut last = 0;
    for octet in text {
        let whole = match octet {
            0 => false,
            b'\n' => last == b'\r' || !form.crlf,
            _ => last != b'\r',
        };
        if !whole {
            return false;
        }
        last = *octet;
    }
    last != b'\r'
}

/// Text as lines of a stream: it ends with a newline, and no line of it is the last.
fn lines(text: &[u8], form: &LineStream) -> Vec<u8> {
    let mut lines = Vec::with_capacity(text.len().saturating_add(8));
    let mut begins = true;
    for octet in text {
        if begins && *octet == form.hidden {
            lines.push(form.hidden);
        }
        lines.push(*octet);
        begins = *octet == b'\n';
    }
    if !begins {
        lines.extend_from_slice(form.newline());
    }
    lines
}

impl Changes {
    /// Carries out an insertion.
    pub(crate) fn insert(&mut self, insert: &Insert, host: &dyn Host) -> Edited {
        let text = match insert.text(&self.on(host)) {
            Ok(text) => text,
            Err(why) => return Edited::Refused(why),
        };
        match &insert.spot {
            Spot::Field { field, before } => {
                let now = match self.on(host).read(*field) {
                    portcullis_lang::Value::Bytes(octets) => octets.into_owned(),
                    _ => return Edited::Nothing,
                };
                let grown = if *before { [text, now].concat() } else { [now, text].concat() };
                self.put(*field, grown, host)
            }
            Spot::Line { before } => {
                let raw = host.read(Place { scope: Scope::Record, slot: RAW_SLOT });
                let Some(length) = raw.as_bytes().and_then(|raw| u32::try_from(raw.len()).ok()) else {
                    return Edited::Nothing;
                };
                Edited::Record(vec![Splice::beside(if *before { 0 } else { length }, text)])
            }
            Spot::Stream { form, before: true } => Edited::Stream(StreamChange::Start(lines(&text, form).into())),
            Spot::Stream { form, before: false } => {
                let complete = host.read(Place { scope: Scope::Event, slot: event_slots::COMPLETE });
                if complete != portcullis_lang::Value::Boolean(true) {
                    return Edited::Nothing;
                }
                Edited::Stream(StreamChange::End { octets: lines(&text, form).into(), last_line: form.last_line() })
            }
            Spot::Element { list, mark, newline, test, before, .. } => {
                let (list, at) = ((*list, *mark, *newline), (test.as_ref(), *before));
                self.put_element(list, at, &text, host).map_or(Edited::Nothing, Edited::Record)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: LineStream = LineStream { hidden: b'.', crlf: true };

    #[test]
    fn no_line_of_what_is_put_in_is_the_last() {
        assert_eq!(lines(b"X: y", &FORM), b"X: y\r\n");
        assert_eq!(lines(b".\r\n..a\r\n.", &FORM), b"..\r\n...a\r\n..\r\n");
        assert_eq!(lines(b"a.\r\n", &FORM), b"a.\r\n");
        assert_eq!(lines(b".", &LineStream { hidden: b'.', crlf: false }), b"..\n");
    }

    #[test]
    fn text_has_whole_newlines() {
        for whole in [&b"a\r\nb"[..], b"", b"\r\n\r\n"] {
            assert!(is_lines(whole, &FORM), "{whole:?}");
        }
        for broken in [&b"a\nb"[..], b"a\rb", b"a\r", b"\n", b"\r\r\n", b"\0"] {
            assert!(!is_lines(broken, &FORM), "{broken:?}");
        }
    }
}
