//! Source texts and places in them.

/// Names one source text of a [`Sources`] collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub u32);

/// A stretch of one source text: bytes `start..end`, half open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The text that this is a part of.
    pub source: SourceId,
    /// Offset of the first byte.
    pub start: u32,
    /// Offset behind the last byte.
    pub end: u32,
}

impl Span {
    /// Makes a span of `start..end`; an end before the start is taken as the start.
    pub fn new(source: SourceId, start: u32, end: u32) -> Span {
        Span { source, start, end: end.max(start) }
    }

    /// The shortest span that covers this one and `other`, which has to be of the same source.
    pub fn to(self, other: Span) -> Span {
        Span { source: self.source, start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// The empty span at the end of this one, for "something is missing here".
    pub fn after(self) -> Span {
        Span { start: self.end, ..self }
    }

    /// Length in bytes.
    pub fn len(self) -> u32 {
        self.end.saturating_sub(self.start)
    }

    /// Whether it covers no byte.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The same as a range of indices.
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The part of `text` that this span covers, or "" if it does not lie within it on character boundaries.
    pub fn of(self, text: &str) -> &str {
        text.get(self.range()).unwrap_or("")
    }
}

/// A place as people count it: both from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineColumn {
    /// Number of the line, from 1.
    pub line: u32,
    /// Number of the character in its line, from 1.
    pub column: u32,
}

/// One source text and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The name that messages show, usually a path as the user wrote it.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// The source texts of one run, so that a [`Span`] can be shown.
///
/// Reads no files: whoever does hands the texts over.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    sources: Vec<Source>,
}

impl Sources {
    /// Makes an empty collection.
    pub fn new() -> Sources {
        Sources::default()
    }

    /// Adds a text under the name that messages are to show.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> SourceId {
        let id = SourceId(u32::try_from(self.sources.len()).unwrap_or(u32::MAX));
        self.sources.push(Source { name: name.into(), text: text.into() });
        id
    }

    /// The source of this id, if it belongs to this collection.
    pub fn source(&self, id: SourceId) -> Option<&Source> {
        self.sources.get(id.0 as usize)
    }

    /// The name of a source, or "?" if it is not of this collection.
    pub fn name(&self, id: SourceId) -> &str {
        self.source(id).map_or("?", |source| &source.name)
    }

    /// The text of a source, or "" if it is not of this collection.
    pub fn text(&self, id: SourceId) -> &str {
        self.source(id).map_or("", |source| &source.text)
    }

    /// The text that a span covers, or "".
    pub fn slice(&self, span: Span) -> &str {
        span.of(self.text(span.source))
    }

    /// Line and column of an offset; an offset behind the end counts as the end.
    pub fn place(&self, id: SourceId, offset: u32) -> LineColumn {
        let text = self.text(id).as_bytes();
        let before = text.get(..offset as usize).unwrap_or(text);
        let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let count = |bytes: &[u8], wanted: fn(&u8) -> bool| {
            u32::try_from(bytes.iter().filter(|byte| wanted(byte)).count()).unwrap_or(u32::MAX)
        };
        // Every byte but the continuation bytes of UTF-8 begins a character.
        let characters = count(before.get(line_start..).unwrap_or(&[]), |byte| byte & 0xC0 != 0x80);
        LineColumn {
            line: count(before, |&byte| byte == b'\n').saturating_add(1),
            column: characters.saturating_add(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_characters_from_one() {
        let mut sources = Sources::new();
        let id = sources.add("a.grammar", "äb\ncd\n");
        assert_eq!(sources.place(id, 0), LineColumn { line: 1, column: 1 });
        assert_eq!(sources.place(id, 2), LineColumn { line: 1, column: 2 });
        assert_eq!(sources.place(id, 4), LineColumn { line: 2, column: 1 });
        assert_eq!(sources.place(id, 99), LineColumn { line: 3, column: 1 });
        assert_eq!(sources.name(SourceId(7)), "?");
    }

    #[test]
    fn spans_join_and_slice() {
        let mut sources = Sources::new();
        let id = sources.add("a", "one two");
        let one = Span::new(id, 0, 3);
        let two = Span::new(id, 4, 7);
        assert_eq!(sources.slice(one.to(two)), "one two");
        assert_eq!(sources.slice(two.after()), "");
        assert_eq!(sources.slice(Span::new(id, 5, 99)), "");
    }
}
