//! Lines up to a line of its own (`lines until "."`), with the octet that hides such lines removed.
//!
//! The end is strict: only the canonical newline begins and ends the last line (RFC 5321 4.1.1.4). What other readers
//! could take for the end is reported. Clean text, which is nearly all there is, is passed over with two vector
//! searches; text with odd newlines is looked at octet by octet.

use memchr::{memchr, memmem, memrchr};
use portcullis_lang::AnomalyId;

use super::Piece;
use super::octets::is_clean;
use crate::limits::MAX_LOOKALIKES;
use crate::model::Newline;

/// What the lines of a stream look like.
pub(super) struct Form<'a> {
    pub(super) text: &'a [u8],
    pub(super) remove: Option<u8>,
    pub(super) lookalikes: Option<AnomalyId>,
    pub(super) long: Option<(u32, AnomalyId)>,
    pub(super) newline: &'a Newline,
}

/// `lines until "."` in progress.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    /// The octet before the next one; a LF at the very beginning.
    last: u8,
    /// How many octets of the last line (its text and newline) were seen since a line began; nothing in the middle of a
    /// line. They are not handed on before it is sure that they are content.
    matched: Option<u8>,
    /// What the octets before the next one could be to other readers.
    look: Look,
    /// Octets since the line began.
    length: u64,
    reported: Reported,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Text.
    Text,
    /// A line break of some kind; canonical if it was the newline of the grammar.
    Break { canonical: bool },
    /// The text of the last line behind a break, `matched` octets of it.
    Mark { canonical: bool, matched: u8 },
    /// The same, and a CR.
    MarkCr { canonical: bool },
}

#[derive(Clone, Copy, Debug, Default)]
struct Reported {
    bare_lf: bool,
    bare_cr: bool,
    nul: bool,
    long: bool,
    lookalikes: u32,
}

impl Lines {
    pub(super) fn new(newline: &Newline) -> Lines {
        Lines {
            last: if newline.crlf { b'\n' } else { 0 },
            matched: Some(0),
            look: Look::Break { canonical: true },
            length: 0,
            reported: Reported::default(),
        }
    }

    /// Octets of what may be the last line.
    pub(super) fn undecided(&self) -> u64 {
        self.matched.map_or(0, u64::from)
    }

    /// Octets are missing: whether a line begins behind them cannot be known.
    pub(super) fn gap(&mut self) {
        self.last = b' ';
        self.matched = None;
        self.look = Look::Text;
        self.length = 0;
    }

    pub(super) fn feed<'a>(
        &mut self,
        form: &Form<'a>,
        input: &'a [u8],
        out: &mut dyn FnMut(Piece<'a>),
    ) -> (usize, bool) {
        let clean = form.newline.crlf && is_clean(self.last, input);
        // The beginning of content that has not been handed on.
        let mut start = 0;
        let mut at = 0;
        loop {
            if clean && self.matched.is_none() && self.look == Look::Text {
                // In the middle of a line: to the next line that begins with what matters.
                let rest = input.get(at..).unwrap_or_default();
                let skip = self.skip(form, rest);
                self.measure(form, at, rest.get(..skip).unwrap_or_default(), out);
                at += skip;
            }
            let Some(octet) = input.get(at).copied() else { break };
            self.inspect(form, octet, at, out);
            if self.step(form, octet, input, at, &mut start, out) {
                return (at + 1, true);
            }
            at += 1;
        }
        let content = input.get(start..at).unwrap_or_default();
        if self.matched.is_none_or(|matched| matched == 0) && !content.is_empty() {
            out(Piece::Content(content));
        }
        (input.len(), false)
    }

    /// How many octets of clean text in the middle of a line can be passed over.
    fn skip(&mut self, form: &Form<'_>, rest: &[u8]) -> usize {
        let first = form.text.first().copied().unwrap_or(b'\n');
        let skip = match (self.last, rest) {
            (b'\r', [b'\n', ..]) => return 0,
            _ => {
                let finder = [b'\r', b'\n', first];
                let other = form.remove.filter(|octet| *octet != first).map(|octet| [b'\r', b'\n', octet]);
                let found = memmem::find(rest, &finder);
                let found = match other.and_then(|finder| memmem::find(rest, &finder)) {
                    Some(second) => Some(found.map_or(second, |first| first.min(second))),
                    None => found,
                };
                match found {
                    // Up to the LF, which `step` takes as the beginning of a line.
                    Some(found) => found + 1,
                    // A newline at the very end may begin a line that matters.
                    None if rest.ends_with(b"\r\n") => rest.len() - 1,
                    None => rest.len(),
                }
            }
        };
        if let Some(last) = skip.checked_sub(1).and_then(|last| rest.get(last)) {
            self.last = *last;
            self.look = Look::Text;
            if *last == b'\r' {
                self.look = Look::Break { canonical: false };
            }
        }
        skip
    }

    /// Takes note of the length of lines in clean text that is passed over; `at` is where it begins in what was fed.
    fn measure<'a>(&mut self, form: &Form<'_>, at: usize, passed: &[u8], out: &mut dyn FnMut(Piece<'a>)) {
        let Some((most, anomaly)) = form.long else {
            return;
        };
        // The newline's CR is the octet after the last one that counts.
        let most = u64::from(most).saturating_add(1);
        let mut rest = passed;
        let mut begin = at;
        while self.length.saturating_add(rest.len() as u64) > most {
            let window = usize::try_from(most.saturating_add(1).saturating_sub(self.length)).unwrap_or(usize::MAX);
            let mut found = memrchr(b'\n', rest.get(..window.min(rest.len())).unwrap_or_default());
            if found.is_none() {
                self.report_long(form, anomaly, begin, self.length, out);
                found = memchr(b'\n', rest);
            }
            let Some(found) = found else { break };
            self.length = 0;
            begin += found + 1;
            rest = rest.get(found + 1..).unwrap_or_default();
        }
        match memrchr(b'\n', rest) {
            Some(found) => self.length = (rest.len() - found - 1) as u64,
            None => self.length = self.length.saturating_add(rest.len() as u64),
        }
        // The octet over the bound is no CR, so that it is not the newline's.
        if self.length >= most && passed.last().is_some_and(|last| *last != b'\r') {
            self.report_long(form, anomaly, at.saturating_add(passed.len()), self.length, out);
        }
    }

    /// Reports a long line of which `length` octets lie before `at`, at the first octet over the bound.
    fn report_long<'a>(
        &mut self,
        form: &Form<'_>,
        anomaly: AnomalyId,
        at: usize,
        length: u64,
        out: &mut dyn FnMut(Piece<'a>),
    ) {
        if !self.reported.long {
            self.reported.long = true;
            let most = form.long.map_or(0, |(most, _)| i64::from(most));
            let begin = position(at).saturating_sub(i64::try_from(length).unwrap_or(i64::MAX));
            out(Piece::Anomaly(anomaly, begin.saturating_add(most)));
        }
    }

    /// One octet on the way to the end. `start`: the beginning of content that has not been handed on. Gives whether
    /// this octet ends the stream.
    fn step<'a>(
        &mut self,
        form: &Form<'a>,
        octet: u8,
        input: &'a [u8],
        at: usize,
        start: &mut usize,
        out: &mut dyn FnMut(Piece<'a>),
    ) -> bool {
        let crlf = form.newline.crlf;
        let line_begins = octet == b'\n' && (!crlf || self.last == b'\r');
        self.last = octet;
        if let Some(matched) = self.matched {
            let matched = usize::from(matched);
            let length = form.text.len();
            let wanted = match matched.checked_sub(length) {
                None => form.text.get(matched).copied(),
                Some(0) if crlf => Some(b'\r'),
                Some(_) => Some(b'\n'),
            };
            if wanted == Some(octet) {
                if matched >= length && octet == b'\n' {
                    // All that was held is the last line, and no content.
                    return true;
                }
                if matched == 0 {
                    self.hand_on(input, *start, at, out);
                }
                self.matched = u8::try_from(matched + 1).ok();
                *start = at + 1;
                self.length = self.length.saturating_add(1);
                return false;
            }
            // It was content after all, but for the octet that hides such lines.
            if matched > 0 {
                let hidden = usize::from(form.remove.is_some() && form.remove == form.text.first().copied());
                let text = form.text.get(hidden..matched.min(length)).unwrap_or_default();
                if !text.is_empty() {
                    out(Piece::Content(text));
                }
                if matched > length {
                    out(Piece::Content(b"\r"));
                }
                *start = at;
            } else if form.remove == Some(octet) {
                self.hand_on(input, *start, at, out);
                *start = at + 1;
            }
            self.matched = None;
        }
        if line_begins {
            self.matched = Some(0);
            self.length = 0;
        } else {
            self.length = self.length.saturating_add(1);
            if let Some((most, anomaly)) = form.long
                && self.length > u64::from(most) + u64::from(crlf && octet == b'\r')
            {
                self.report_long(form, anomaly, at + 1, self.length, out);
            }
        }
        false
    }

    fn hand_on<'a>(&self, input: &'a [u8], start: usize, end: usize, out: &mut dyn FnMut(Piece<'a>)) {
        let content = input.get(start..end).unwrap_or_default();
        if !content.is_empty() {
            out(Piece::Content(content));
        }
    }

    /// Reports what an octet means to other readers; called before [`Lines::step`].
    fn inspect<'a>(&mut self, form: &Form<'_>, octet: u8, at: usize, out: &mut dyn FnMut(Piece<'a>)) {
        let crlf = form.newline.crlf;
        if crlf {
            let bare = [
                (octet == b'\n' && self.last != b'\r', &mut self.reported.bare_lf, form.newline.bare_lf, at),
                (self.last == b'\r' && octet != b'\n', &mut self.reported.bare_cr, form.newline.bare_cr, at),
                (octet == 0, &mut self.reported.nul, form.newline.nul, at),
            ];
            for (index, (found, reported, anomaly, at)) in bare.into_iter().enumerate() {
                if let (true, false, Some(anomaly)) = (found, *reported, anomaly) {
                    *reported = true;
                    // The CR is the octet before.
                    let at = position(at) - i64::from(index == 1);
                    if index < 2 {
                        let octet = if index == 1 { b'\r' } else { b'\n' };
                        let length = u8::try_from(form.text.len()).unwrap_or(u8::MAX);
                        let behind = length.saturating_add(u8::from(index == 1));
                        let hides = form.remove.is_some() && self.matched == Some(behind);
                        out(Piece::Alone { octet, at, hides });
                    }
                    out(Piece::Anomaly(anomaly, at));
                }
            }
        }
        self.look = self.look_at(form, octet, at, out);
    }

    fn look_at<'a>(&mut self, form: &Form<'_>, octet: u8, at: usize, out: &mut dyn FnMut(Piece<'a>)) -> Look {
        let is_break = octet == b'\r' || octet == b'\n';
        let mark = |matched: u8| form.text.get(usize::from(matched)) == Some(&octet);
        let whole = |matched: u8| usize::from(matched) == form.text.len();
        let crlf = form.newline.crlf;
        let canonical_break = Look::Break { canonical: octet == b'\n' && (!crlf || self.last == b'\r') };
        match self.look {
            Look::Text if is_break => canonical_break,
            Look::Text => Look::Text,
            Look::Break { .. } if is_break => canonical_break,
            Look::Break { .. } if octet == 0 => Look::Break { canonical: false },
            Look::Break { canonical } if mark(0) => Look::Mark { canonical, matched: 1 },
            Look::Mark { canonical, matched } if mark(matched) => Look::Mark { canonical, matched: matched + 1 },
            Look::Mark { matched, .. } if octet == 0 && whole(matched) => Look::Mark { canonical: false, matched },
            Look::Mark { canonical, matched } if octet == b'\r' && whole(matched) => Look::MarkCr { canonical },
            Look::Mark { canonical: true, matched } if octet == b'\n' && whole(matched) && !crlf => Look::Text,
            Look::Mark { matched, .. } if octet == b'\n' && whole(matched) => {
                self.report_lookalike(form, at, out);
                canonical_break
            }
            Look::MarkCr { canonical: true } if octet == b'\n' && crlf => Look::Text,
            Look::MarkCr { .. } => {
                self.report_lookalike(form, at, out);
                if is_break {
                    canonical_break
                } else if octet == 0 {
                    Look::Break { canonical: false }
                } else if mark(0) {
                    Look::Mark { canonical: false, matched: 1 }
                } else {
                    Look::Text
                }
            }
            Look::Break { .. } | Look::Mark { .. } if is_break => canonical_break,
            Look::Break { .. } | Look::Mark { .. } => Look::Text,
        }
    }

    fn report_lookalike<'a>(&mut self, form: &Form<'_>, at: usize, out: &mut dyn FnMut(Piece<'a>)) {
        if let Some(anomaly) = form.lookalikes
            && self.reported.lookalikes < MAX_LOOKALIKES
        {
            self.reported.lookalikes += 1;
            out(Piece::Anomaly(anomaly, position(at)));
        }
    }
}

fn position(at: usize) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}
