//! Newlines of a stream of lines brought to their canonical form.
//!
//! What the stream holds and where it ends was judged in one way: only CR LF begins a line, and a CR or LF alone is content.
//! So a newline that is put right must neither end the stream nor lose an octet: a line that begins behind it with the
//! octet that hides lines gets one more, and where that octet was hidden already and nothing but a newline follows, it is
//! taken out, as the judged reading has taken it out. The lines of the result, read again, are the octets that were
//! judged, with CR LF in the place of each newline that was put right.

const CR: u8 = b'\r';
const LF: u8 = b'\n';

/// A change of a stream: octets that others take the place of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// Octets of the direction before it.
    pub(crate) offset: u64,
    /// How many octets go.
    pub(crate) removed: u32,
    /// What comes in their place.
    pub(crate) inserted: Vec<u8>,
}

/// Where in its line an octet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// At the beginning of a line that was one before.
    Begin,
    /// At the beginning of a line that is one since a newline was put right.
    NewBegin,
    /// Behind the octet that hides lines, with which the line begins, and maybe a CR.
    Hidden(u64),
    /// Anywhere else.
    Text,
}

/// Puts the newlines of one stream right, from some place of it on.
#[derive(Clone, Debug)]
pub(crate) struct Canoniser {
    hidden: Option<u8>,
    last: u8,
    at: At,
    /// From where on a LF alone, and a CR alone, are put right.
    from: [Option<u64>; 2],
}

impl Canoniser {
    /// One that begins before an octet alone (a LF, a CR). `hides`: whether right before it an octet stands that the line
    /// begins with and that is no content, as it hides the line.
    pub(crate) fn new(hidden: Option<u8>, offset: u64, hides: bool) -> Canoniser {
        let at = match offset.checked_sub(1) {
            Some(before) if hides => At::Hidden(before),
            _ => At::Text,
        };
        Canoniser { hidden, last: 0, at, from: [None; 2] }
    }

    /// Puts this octet right where it stands alone, from an offset on.
    pub(crate) fn put_right(&mut self, octet: u8, offset: u64) {
        if let Some(from) = self.from.get_mut(usize::from(octet == CR)) {
            from.get_or_insert(offset);
        }
    }

    /// Octets are missing: what is before the next one is not known.
    pub(crate) fn gap(&mut self) {
        self.last = 0;
        self.at = At::Text;
    }

    fn rights(&self, octet: u8, offset: u64) -> bool {
        self.from.get(usize::from(octet == CR)).copied().flatten().is_some_and(|from| from <= offset)
    }

    /// Takes the next octet of the stream.
    pub(crate) fn octet(&mut self, octet: u8, offset: u64, out: &mut Vec<Change>) {
        let mut put = |offset: u64, removed: u32, inserted: &[u8]| {
            out.push(Change { offset, removed, inserted: inserted.to_vec() });
        };
        let mut before: Vec<u8> = Vec::new();
        if self.last == CR && octet != LF {
            // The CR before this octet stands alone.
            if self.rights(CR, offset.saturating_sub(1)) {
                if let At::Hidden(hidden) = self.at {
                    put(hidden, 1, b"");
                }
                before.push(LF);
                self.at = At::NewBegin;
            } else {
                self.at = At::Text;
            }
        }
        match octet {
            LF if self.last == CR => self.at = At::Begin,
            LF if self.rights(LF, offset) => {
                if let At::Hidden(hidden) = self.at {
                    put(hidden, 1, b"");
                }
                before.push(CR);
                self.at = At::NewBegin;
            }
            LF => self.at = At::Text,
            CR if matches!(self.at, At::Hidden(_)) => {}
            CR => self.at = At::Text,
            octet if self.hidden == Some(octet) => {
                if self.at == At::NewBegin {
                    before.push(octet);
                }
                self.at = if self.at == At::Begin { At::Hidden(offset) } else { At::Text };
            }
            _ => self.at = At::Text,
        }
        if !before.is_empty() {
            put(offset, 0, &before);
        }
        self.last = octet;
    }
}

/// Octets that one change covers at most where several are made one.
const TOGETHER: u64 = 1024;

/// Makes one change of several that lie near each other in octets that begin at an offset, so that text with many odd
/// newlines is not as many changes.
pub(crate) fn together(changes: Vec<Change>, begin: u64, octets: &[u8]) -> Vec<Change> {
    let mut made: Vec<Change> = Vec::new();
    for change in changes {
        let end = |change: &Change| change.offset.saturating_add(u64::from(change.removed));
        let near = |last: &&mut Change| last.offset >= begin && end(&change).saturating_sub(last.offset) <= TOGETHER;
        let joined = made.last_mut().filter(near).and_then(|last| {
            let from = usize::try_from(end(last).checked_sub(begin)?).ok()?;
            let to = usize::try_from(change.offset.checked_sub(begin)?).ok()?;
            let removed = u32::try_from(end(&change).checked_sub(last.offset)?).ok()?;
            last.inserted.extend_from_slice(octets.get(from..to)?);
            last.inserted.extend_from_slice(&change.inserted);
            last.removed = removed;
            Some(())
        });
        if joined.is_none() {
            made.push(change);
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of octets that begin a line and whose first LF or CR stands alone.
    fn right(text: &[u8], octets: &[u8]) -> Vec<u8> {
        let mut canoniser = Canoniser { hidden: Some(b'.'), last: LF, at: At::Begin, from: [None; 2] };
        octets.iter().for_each(|octet| canoniser.put_right(*octet, 0));
        let mut changes = Vec::new();
        (0..).zip(text).for_each(|(offset, octet)| canoniser.octet(*octet, offset, &mut changes));
        let apply = |mut changes: Vec<Change>| {
            changes.sort_by_key(|change| (change.offset, change.removed > 0));
            let (mut result, mut at) = (Vec::new(), 0);
            for change in changes {
                result.extend_from_slice(&text[at..change.offset as usize]);
                result.extend_from_slice(&change.inserted);
                at = change.offset as usize + change.removed as usize;
            }
            result.extend_from_slice(&text[at..]);
            result
        };
        let one_by_one = apply(changes.clone());
        changes.sort_by_key(|change| change.offset);
        assert_eq!(apply(together(changes, 0, text)), one_by_one);
        one_by_one
    }

    fn both(text: &str) -> String {
        String::from_utf8(right(text.as_bytes(), b"\r\n")).unwrap()
    }

    #[test]
    fn smuggled_ends_become_lines() {
        assert_eq!(both("a\n.\nb\r\n"), "a\r\n..\r\nb\r\n");
        assert_eq!(both("a\n.\r\nb\r\n"), "a\r\n..\r\nb\r\n");
        assert_eq!(both("a\r\n.\nb\r\n"), "a\r\n\r\nb\r\n", "the octet was no content");
        assert_eq!(both("a\r.\rb\r\n"), "a\r\n..\r\nb\r\n");
        assert_eq!(both("a\r\n.\rb\r\n"), "a\r\n\r\nb\r\n");
        assert_eq!(both(".\rb\r\n"), "\r\nb\r\n");
        assert_eq!(both("a\r.\r\nb\r\n"), "a\r\n..\r\nb\r\n");
        assert_eq!(both("a\n.\rb\n"), "a\r\n..\r\nb\r\n");
        assert_eq!(both("a\r\r\n\n\r\n"), "a\r\n\r\n\r\n\r\n");
        assert_eq!(both("a\n..\n.b\n"), "a\r\n...\r\n..b\r\n");
        assert_eq!(both("a\r\n..\n"), "a\r\n..\r\n");
    }

    #[test]
    fn nothing_is_made_of_what_is_not_known() {
        let mut canoniser = Canoniser::new(Some(b'.'), 7, true);
        canoniser.put_right(b'\n', 7);
        canoniser.gap();
        let mut changes = Vec::new();
        canoniser.octet(b'\n', 20, &mut changes);
        canoniser.octet(b'.', 21, &mut changes);
        let insert = |offset, octet: &[u8]| Change { offset, removed: 0, inserted: octet.to_vec() };
        assert_eq!(changes, [insert(20, b"\r"), insert(21, b".")], "the octet before the gap is not taken out");
    }

    #[test]
    fn what_nobody_asks_for_stays() {
        assert_eq!(right(b"a\n.\n\r.\rb\r\n", b"\n"), b"a\r\n..\r\n\r.\rb\r\n");
        assert_eq!(right(b"a\n.\n\r.\rb\r\n", b"\r"), b"a\n.\n\r\n..\r\nb\r\n");
        assert_eq!(right(b".\n.\n", b"\r"), b".\n.\n");
    }
}
