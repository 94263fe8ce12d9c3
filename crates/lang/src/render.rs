//! Diagnostics for people and for machines.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::source::{SourceId, Sources, Span};

/// Prints one diagnostic with the lines it is about, ending in a line feed.
///
/// `colour` adds ANSI escapes; ask the terminal whether it wants them.
pub fn render(diagnostic: &Diagnostic, sources: &Sources, colour: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut main = Group::with_title(level.primary_title(&diagnostic.title).id(diagnostic.code.as_str()));
    for source in sources_of(diagnostic) {
        let text = sources.text(source);
        let mut snippet = Snippet::source(text).path(sources.name(source));
        for label in diagnostic.labels.iter().filter(|label| label.span.source == source) {
            let kind = if label.primary { AnnotationKind::Primary } else { AnnotationKind::Context };
            let annotation = kind.span(visible(label.span, text));
            snippet = snippet.annotation(match label.text.as_str() {
                "" => annotation,
                words => annotation.label(words),
            });
        }
        main = main.element(snippet);
    }
    for note in &diagnostic.notes {
        main = main.element(Level::NOTE.message(note));
    }
    for help in &diagnostic.help {
        main = main.element(Level::HELP.message(help));
    }
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let mut printed = renderer.render(&[main]);
    printed.push('\n');
    printed
}

/// Prints all diagnostics, sorted by place, with an empty line between them, and says how many were left out.
pub fn render_all(diagnostics: &Diagnostics, sources: &Sources, colour: bool) -> String {
    let mut printed: Vec<String> =
        diagnostics.sorted().into_iter().map(|diagnostic| render(diagnostic, sources, colour)).collect();
    if diagnostics.omitted() > 0 {
        printed.push(format!("... and {} more\n", diagnostics.omitted()));
    }
    printed.join("\n")
}

/// One diagnostic as a line of JSON, without a line feed at its end.
///
/// Places are given in bytes and as line and column, both from 1 and the column in characters.
pub fn render_json(diagnostic: &Diagnostic, sources: &Sources) -> String {
    let place = |span: Span, text: &'_ str, primary: bool| {
        let start = sources.place(span.source, span.start);
        let end = sources.place(span.source, span.end);
        JsonLabel {
            file: sources.name(span.source).to_owned(),
            start: span.start,
            end: span.end,
            line: start.line,
            column: start.column,
            end_line: end.line,
            end_column: end.column,
            text: text.to_owned(),
            primary,
        }
    };
    let json = JsonDiagnostic {
        severity: diagnostic.severity,
        code: diagnostic.code,
        title: &diagnostic.title,
        labels: diagnostic.labels.iter().map(|label| place(label.span, &label.text, label.primary)).collect(),
        notes: &diagnostic.notes,
        help: &diagnostic.help,
    };
    // Only strings and numbers: there is nothing in it that JSON could not say.
    serde_json::to_string(&json).unwrap_or_default()
}

#[derive(Serialize)]
struct JsonDiagnostic<'a> {
    severity: Severity,
    code: Code,
    title: &'a str,
    labels: Vec<JsonLabel>,
    notes: &'a [String],
    help: &'a [String],
}

#[derive(Serialize)]
struct JsonLabel {
    file: String,
    start: u32,
    end: u32,
    line: u32,
    column: u32,
    end_line: u32,
    end_column: u32,
    text: String,
    primary: bool,
}

// The source of the place that is wrong comes first.
fn sources_of(diagnostic: &Diagnostic) -> Vec<SourceId> {
    let mut found: Vec<SourceId> = diagnostic.span().map(|span| span.source).into_iter().collect();
    for label in &diagnostic.labels {
        if !found.contains(&label.span.source) {
            found.push(label.span.source);
        }
    }
    found
}

// A span as the renderer can show it: within the text, on character boundaries. Many lines are shown by the first of them.
fn visible(span: Span, text: &str) -> std::ops::Range<usize> {
    let boundary = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = boundary(span.start as usize);
    let mut end = boundary(span.end as usize).max(start);
    if let Some(line) = text.get(start..end).and_then(|covered| covered.find('\n')) {
        end = start + text.get(start..start + line).map_or(0, |first| first.trim_end().len());
    }
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> (Diagnostic, Sources) {
        let mut sources = Sources::new();
        let source = sources.add("smtp.grammar", "record reply {\n    lines: many reply_line\n}\n");
        let diagnostic = Diagnostic::error(Code::C7, "a record must have a size limit, `reply` has none")
            .primary(Span::new(source, 0, 12), "held in memory until it is complete")
            .secondary(Span::new(source, 26, 41), "nothing stops a server from sending lines for ever")
            .note("a server decides how much memory this takes.")
            .help("write `record reply max 64 KB {`");
        (diagnostic, sources)
    }

    #[test]
    fn for_people() {
        let (diagnostic, sources) = example();
        insta::assert_snapshot!(render(&diagnostic, &sources, false));
        assert!(render(&diagnostic, &sources, true).contains("\u{1b}["));
    }

    #[test]
    fn for_machines() {
        let (diagnostic, sources) = example();
        insta::assert_snapshot!(render_json(&diagnostic, &sources));
    }

    #[test]
    fn places_outside_of_the_text_are_shown_at_its_end() {
        let mut sources = Sources::new();
        let source = sources.add("a", "äöü");
        let wild = Diagnostic::error(Code::S1, "x").primary(Span::new(source, 1, 99), "y");
        assert!(render(&wild, &sources, false).contains("äöü"));
        let foreign = Diagnostic::error(Code::S1, "x").primary(Span::new(SourceId(9), 1, 99), "y");
        assert!(render(&foreign, &sources, false).contains("S1"));
        let nowhere = Diagnostic::error(Code::S1, "x");
        assert!(render(&nowhere, &sources, false).contains("error[S1]: x"));
        assert!(render_json(&wild, &sources).contains("\"line\":1"));
    }
}
