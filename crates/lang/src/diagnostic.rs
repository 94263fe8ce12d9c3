//! What is wrong with a source text, as data: printing is another matter.

use serde::Serialize;

use crate::codes::Code;
use crate::limits::MAX_DIAGNOSTICS;
use crate::source::Span;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, and something in it is probably not meant.
    Warning,
}

/// A place in the source and what is to be said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// A few words under the caret; may be empty.
    pub text: String,
    /// Whether this is the place that is wrong, not one that explains why.
    pub primary: bool,
}

/// One message about a grammar or a policy.
///
/// The title says what is wrong in words of the protocol, labels show where, notes say why it matters, help names a way out.
/// Never names a Rust type or a production of the parser.
///
/// ```
/// # use portcullis_lang::{Code, Diagnostic, Sources, Span};
/// # let mut sources = Sources::new();
/// # let source = sources.add("a.grammar", "record reply {");
/// let span = Span::new(source, 0, 12);
/// let diagnostic = Diagnostic::error(Code::C7, "a record must have a size limit, `reply` has none")
///     .primary(span, "held in memory until it is complete")
///     .help("write `record reply max 64 KB {`");
/// assert_eq!(diagnostic.code.as_str(), "C7");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The stable code.
    pub code: Code,
    /// Error or warning.
    pub severity: Severity,
    /// One sentence that says what is wrong.
    pub title: String,
    /// Where, the first primary one is the place of the diagnostic.
    pub labels: Vec<Label>,
    /// Why it matters; inputs that show it.
    pub notes: Vec<String>,
    /// Ways out.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// Begins an error.
    pub fn error(code: Code, title: impl Into<String>) -> Diagnostic {
        Diagnostic::new(code, Severity::Error, title.into())
    }

    /// Begins a warning.
    pub fn warning(code: Code, title: impl Into<String>) -> Diagnostic {
        Diagnostic::new(code, Severity::Warning, title.into())
    }

    fn new(code: Code, severity: Severity, title: String) -> Diagnostic {
        Diagnostic { code, severity, title, labels: Vec::new(), notes: Vec::new(), help: Vec::new() }
    }

    /// Marks the place that is wrong.
    #[must_use]
    pub fn primary(mut self, span: Span, text: impl Into<String>) -> Diagnostic {
        self.labels.push(Label { span, text: text.into(), primary: true });
        self
    }

    /// Marks another place that explains it.
    #[must_use]
    pub fn secondary(mut self, span: Span, text: impl Into<String>) -> Diagnostic {
        self.labels.push(Label { span, text: text.into(), primary: false });
        self
    }

    /// Adds why it matters, or an input that shows it.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Diagnostic {
        self.notes.push(text.into());
        self
    }

    /// Adds a way out.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Diagnostic {
        self.help.push(text.into());
        self
    }

    /// Adds "did you mean `x`?" if there is something to suggest.
    #[must_use]
    pub fn suggest(self, suggestion: Option<&str>) -> Diagnostic {
        match suggestion {
            Some(word) => self.help(format!("did you mean `{word}`?")),
            None => self,
        }
    }

    /// The place it is about: the first primary label, or else the first label.
    pub fn span(&self) -> Option<Span> {
        let label = self.labels.iter().find(|label| label.primary).or_else(|| self.labels.first());
        label.map(|label| label.span)
    }
}

/// Collects diagnostics, up to [`MAX_DIAGNOSTICS`]; those beyond are only counted.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    kept: Vec<Diagnostic>,
    errors: usize,
    omitted: usize,
}

impl Diagnostics {
    /// Makes an empty collection.
    pub fn new() -> Diagnostics {
        Diagnostics::default()
    }

    /// Adds one. A second one of the same code at the same place is a consequence of the first and is left out.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let place = (diagnostic.code, diagnostic.span());
        if self.kept.iter().any(|kept| (kept.code, kept.span()) == place) {
            return;
        }
        if diagnostic.severity == Severity::Error {
            self.errors += 1;
        }
        if self.kept.len() >= MAX_DIAGNOSTICS {
            self.omitted += 1;
            return;
        }
        self.kept.push(diagnostic);
    }

    /// Adds all of another collection.
    pub fn extend(&mut self, other: Diagnostics) {
        self.omitted += other.omitted;
        let kept_errors = other.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
        self.errors += other.errors.saturating_sub(kept_errors);
        for diagnostic in other.kept {
            self.push(diagnostic);
        }
    }

    /// Whether there is an error among them, kept or not.
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// How many errors there are, kept or not.
    pub fn error_count(&self) -> usize {
        self.errors
    }

    /// How many were left out because there were too many.
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// Whether nothing was said at all.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Those kept, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.kept.iter()
    }

    /// Those kept, sorted by place; at one place errors come before warnings.
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut sorted: Vec<&Diagnostic> = self.kept.iter().collect();
        sorted.sort_by_key(|diagnostic| (diagnostic.span(), diagnostic.severity, diagnostic.code));
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SourceId;

    fn at(start: u32) -> Span {
        Span::new(SourceId(0), start, start + 1)
    }

    #[test]
    fn sorted_by_place_and_without_repetition() {
        let mut all = Diagnostics::new();
        all.push(Diagnostic::warning(Code::C12, "late").primary(at(9), ""));
        all.push(Diagnostic::error(Code::S1, "early").primary(at(2), ""));
        all.push(Diagnostic::error(Code::S1, "again").primary(at(2), ""));
        let titles: Vec<&str> = all.sorted().iter().map(|one| one.title.as_str()).collect();
        assert_eq!(titles, ["early", "late"]);
        assert_eq!((all.error_count(), all.len()), (1, 2));
    }

    #[test]
    fn bounded() {
        let mut all = Diagnostics::new();
        for start in 0..250 {
            all.push(Diagnostic::error(Code::S1, "x").primary(at(start), ""));
        }
        assert_eq!(all.len(), MAX_DIAGNOSTICS);
        assert_eq!(all.error_count(), 250);
        assert_eq!(all.omitted(), 150);
        let mut both = Diagnostics::new();
        both.extend(all);
        assert_eq!((both.len(), both.error_count(), both.omitted()), (MAX_DIAGNOSTICS, 250, 150));
    }
}
