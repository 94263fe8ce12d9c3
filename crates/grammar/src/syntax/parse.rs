//! The parser of grammar files: a function for each construct, two tokens of look-ahead, no layout rule.
//!
//! What is wrong is left out of the tree. Inside a block parsing goes on at the next line that begins something, after a section at
//! the next line that begins a section.

use portcullis_lang::{
    Code, Diagnostic, Diagnostics, Leftovers, Name, Parsed, Parser, Reported, Separation, SourceId, Span, Symbol,
    TokenKind, suggest,
};

use super::tree::{File, Item, ItemKind};

mod choice;
mod element;
mod example;
mod field;
mod item;
mod machine;
mod types;

/// Reads a grammar file. The tree holds what could be understood; use it for more than messages only if there are no errors.
pub fn parse(source: SourceId, text: &str) -> (File, Diagnostics) {
    let (file, leftovers) = parse_all(source, text);
    (file, leftovers.diagnostics)
}

/// The same, with tokens and comments.
pub(super) fn parse_all(source: SourceId, text: &str) -> (File, Leftovers) {
    let mut p = Parser::new(source, text);
    let mut items: Vec<Item> = Vec::new();
    while !p.at_end() {
        let start = p.previous();
        p.begin_entry(Separation::Line);
        match item::item(&mut p) {
            Ok(item) => items.push(item),
            Err(Reported) => {
                if p.previous() == start {
                    p.advance();
                }
                while !p.at_end() && !at_section(&mut p) {
                    p.advance();
                }
            }
        }
    }
    report_duplicates(&mut p, &items);
    let mut leftovers = p.finish();
    let file = File { source, items, comments: std::mem::take(&mut leftovers.comments) };
    (file, leftovers)
}

/// The words that begin a section.
pub(super) const SECTIONS: &[&str] = &[
    "anomaly", "enum", "example", "flow", "group", "keywords", "line", "machine", "newline", "pipe", "protocol",
    "record", "refuse", "stream", "use", "value",
];

// Whether a section begins here, as seen by someone who is lost: at the start of a line and with what has to follow its word.
fn at_section(p: &mut Parser<'_>) -> bool {
    if !p.at_line_start() {
        return false;
    }
    let Some(word) = p.word() else { return false };
    let second = p.second().kind;
    match word {
        "enum" | "group" | "keywords" | "pipe" | "protocol" | "record" | "refuse" | "stream" => {
            second == TokenKind::Word
        }
        "flow" | "machine" => second == TokenKind::Symbol(Symbol::BraceOpen),
        "example" => matches!(second, TokenKind::Text | TokenKind::Raw),
        "line" | "value" => {
            let third = p.peek_at(2);
            let goes_on =
                third.kind == TokenKind::Symbol(Symbol::BraceOpen) || matches!(p.slice(third.span), "max" | "folded");
            second == TokenKind::Word && goes_on && !p.at_words("line", "max")
        }
        _ => false,
    }
}

/// Reads `{ ... }`, one `entry` after the other. An error in one is reported, and the next ones are read.
///
/// `of` completes "this `{` of ...", and `begins` says whether an entry can begin at the next token.
fn block<'t, T>(
    p: &mut Parser<'t>,
    of: &str,
    begins: impl Fn(&mut Parser<'t>) -> bool,
    entry: impl FnMut(&mut Parser<'t>) -> Parsed<T>,
) -> Parsed<(Vec<T>, Span)> {
    separated_block(p, of, Separation::Line, begins, entry)
}

/// The same, for entries of which several may share a line when they are formatted.
fn loose_block<'t, T>(
    p: &mut Parser<'t>,
    of: &str,
    begins: impl Fn(&mut Parser<'t>) -> bool,
    entry: impl FnMut(&mut Parser<'t>) -> Parsed<T>,
) -> Parsed<(Vec<T>, Span)> {
    separated_block(p, of, Separation::Loose, begins, entry)
}

fn separated_block<'t, T>(
    p: &mut Parser<'t>,
    of: &str,
    separation: Separation,
    begins: impl Fn(&mut Parser<'t>) -> bool,
    mut entry: impl FnMut(&mut Parser<'t>) -> Parsed<T>,
) -> Parsed<(Vec<T>, Span)> {
    p.nested(|p| {
        let open = p.expect(Symbol::BraceOpen, &format!("before what belongs to {of}"))?;
        let mut entries = Vec::new();
        loop {
            if p.eat(Symbol::BraceClose).is_some() {
                return Ok((entries, p.since(open)));
            }
            if p.at_end() || at_section(p) {
                let end = p.previous().after();
                return Err(p.report(
                    Diagnostic::error(Code::S2, format!("the braces of {of} are never closed"))
                        .primary(open, "opened here")
                        .secondary(end, "`}` expected here at the latest"),
                ));
            }
            let start = p.previous();
            p.begin_entry(separation);
            match entry(p) {
                Ok(entry) => entries.push(entry),
                Err(Reported) => {
                    if p.previous() == start && !p.at(Symbol::BraceClose) {
                        p.advance();
                    }
                    p.recover(|p| at_section(p) || p.at_line_start() && begins(p));
                }
            }
        }
    })
}

/// Reads `entry, entry, ...`: at least one.
fn comma_separated<'t, T>(p: &mut Parser<'t>, mut entry: impl FnMut(&mut Parser<'t>) -> Parsed<T>) -> Parsed<Vec<T>> {
    let mut entries = vec![entry(p)?];
    while p.eat(Symbol::Comma).is_some() {
        entries.push(entry(p)?);
    }
    Ok(entries)
}

/// Reports S4 for the next word: `title` without the word, `known` for "did you mean".
fn unknown_word(p: &mut Parser<'_>, what: &str, known: &[&str]) -> Reported {
    let Some(word) = p.word() else {
        let expected = format!("{what}: {}", list(known));
        return p.unexpected(&expected);
    };
    let span = p.peek().span;
    let mut diagnostic = Diagnostic::error(Code::S4, format!("`{word}` is no {what}")).primary(span, "");
    diagnostic = match suggest(word, known.iter().copied()) {
        Some(near) => diagnostic.suggest(Some(near)),
        None => diagnostic.help(format!("there are {}", list(known))),
    };
    p.report(diagnostic)
}

fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// Reports S7: `what` completes "... twice".
fn duplicate(p: &mut Parser<'_>, what: &str, first: Span, second: Span, help: &str) {
    p.report(
        Diagnostic::error(Code::S7, format!("{what} twice"))
            .primary(second, "again here")
            .secondary(first, "first here")
            .help(help),
    );
}

/// Reports every name that was there before.
fn duplicate_names<'a>(p: &mut Parser<'_>, names: impl IntoIterator<Item = &'a Name>, what: &str, help: &str) {
    let mut seen: std::collections::HashMap<&str, Span> = std::collections::HashMap::new();
    for name in names {
        match seen.get(name.text.as_str()) {
            Some(&first) => duplicate(p, &format!("{what} `{name}`"), first, name.span, help),
            None => {
                seen.insert(&name.text, name.span);
            }
        }
    }
}

type Is = fn(&ItemKind) -> bool;

fn report_duplicates(p: &mut Parser<'_>, items: &[Item]) {
    let names = items.iter().filter_map(|item| match &item.kind {
        ItemKind::Enumeration(enumeration) => Some(&enumeration.name),
        ItemKind::Definition(definition) => Some(&definition.name),
        ItemKind::Stream(stream) => Some(&stream.name),
        ItemKind::Pipe(pipe) => Some(&pipe.name),
        _ => None,
    });
    duplicate_names(p, names, "the name", "a name stands for one definition in a file; rename one of them");
    let anomalies = items.iter().filter_map(|item| match &item.kind {
        ItemKind::Anomaly(anomaly) => Some(&anomaly.name),
        _ => None,
    });
    duplicate_names(p, anomalies, "the anomaly", "describe it once");
    let once: [(&str, Is); 6] = [
        ("`refuse`", |kind| matches!(kind, ItemKind::Refuse(_))),
        ("`protocol`", |kind| matches!(kind, ItemKind::Protocol(_))),
        ("`keywords`", |kind| matches!(kind, ItemKind::KeywordsIgnoreCase(_))),
        ("`newline`", |kind| matches!(kind, ItemKind::Newline(_))),
        ("`flow`", |kind| matches!(kind, ItemKind::Flow(_))),
        ("`machine`", |kind| matches!(kind, ItemKind::Machine(_))),
    ];
    for (what, is) in once {
        let mut spans = items.iter().filter(|item| is(&item.kind)).map(|item| item.span);
        let Some(first) = spans.next() else { continue };
        for again in spans {
            duplicate(p, what, first, again, "a grammar has one; put them together");
        }
    }
}
