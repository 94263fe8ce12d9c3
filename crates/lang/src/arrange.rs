//! The canonical layout of source texts: what `fmt` prints.
//!
//! Tokens and comments stay as they are; only what is between them changes. A block that was written on one line stays on one;
//! every entry of another block gets a line of its own. Line breaks inside an entry are kept, blank lines too, up to one (two
//! between sections). What neighbouring lines have in common is aligned as the language says ([`Alignment`]).

use std::collections::HashMap;

use crate::parser::{Leftovers, Separation};
use crate::token::{Symbol, TokenKind};

/// Where a line is aligned with its neighbours, if they are of the same kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alignment {
    /// Lines of one kind are aligned with each other.
    pub kind: u8,
    /// The number of the token that is moved to the right; behind the last one, the line only keeps its neighbours together.
    pub at: usize,
    /// How wide what stands before is made at least, in characters.
    pub least: usize,
}

const INDENT: usize = 4;
/// Lines that are longer before their mark do not push their neighbours to the right.
const WIDEST: usize = 80;
/// The same for comments.
const WIDEST_COMMENTED: usize = 110;

/// Lays out a text that was read without errors. `align` is asked for each line that is one entry, token by token.
///
/// Applying it twice gives what applying it once does.
pub fn arrange(text: &str, read: &Leftovers, align: impl Fn(&[&str]) -> Option<Alignment>) -> String {
    let atoms = atoms(text, read);
    let mut lines = lines(&atoms);
    align_entries(&mut lines, &align);
    align_comments(&mut lines);
    let mut printed = String::new();
    for line in &lines {
        line.print(&mut printed);
    }
    printed
}

/// A token or a comment.
struct Atom<'t> {
    text: &'t str,
    /// None for a comment.
    kind: Option<TokenKind>,
    /// How many lines end between the atom before and this one.
    newlines: usize,
    /// Whether nothing at all is between them.
    adjacent: bool,
    /// Whether an entry of a block begins here.
    entry: Option<Separation>,
    /// Whether it opens or closes a block of several lines.
    tall: bool,
}

impl Atom<'_> {
    fn is(&self, symbol: Symbol) -> bool {
        self.kind == Some(TokenKind::Symbol(symbol))
    }

    fn is_comment(&self) -> bool {
        self.kind.is_none()
    }
}

fn atoms<'t>(text: &'t str, read: &Leftovers) -> Vec<Atom<'t>> {
    let entries: HashMap<u32, Separation> = read.entries.iter().copied().collect();
    let tokens = read.tokens.iter().map(|token| (token.span, Some(token.kind)));
    let comments = read.comments.iter().map(|comment| (comment.span, None));
    let mut all: Vec<_> = tokens.chain(comments).collect();
    all.sort_by_key(|(span, _)| span.start);
    let mut atoms: Vec<Atom<'t>> = Vec::with_capacity(all.len());
    let mut end = 0;
    for (span, kind) in all {
        let between = text.get(end..span.start as usize).unwrap_or("");
        atoms.push(Atom {
            text: span.of(text),
            kind,
            newlines: between.matches('\n').count(),
            adjacent: between.is_empty(),
            entry: kind.and_then(|_| entries.get(&span.start).copied()),
            tall: false,
        });
        end = span.end as usize;
    }
    mark_tall(&mut atoms);
    atoms
}

// A block is tall if there is a line break in it and anything else.
fn mark_tall(atoms: &mut [Atom<'_>]) {
    let mut open: Vec<(usize, bool)> = Vec::new();
    for index in 0..atoms.len() {
        let Some(atom) = atoms.get(index) else { break };
        let closes = atom.is(Symbol::BraceClose);
        if atom.newlines > 0
            && let Some((_, tall)) = open.last_mut()
        {
            *tall = true;
        }
        if atom.is(Symbol::BraceOpen) {
            open.push((index, false));
        } else if closes && let Some((start, broken)) = open.pop() {
            let tall = broken && index > start + 1;
            for at in [start, index] {
                if let Some(atom) = atoms.get_mut(at) {
                    atom.tall = tall;
                }
            }
            // What holds a tall block is tall.
            if tall && let Some((_, outer)) = open.last_mut() {
                *outer = true;
            }
        }
    }
}

struct Line<'t> {
    indent: usize,
    /// Empty lines before it.
    blank: usize,
    /// Tokens, each with the blanks before it.
    pieces: Vec<(usize, &'t str)>,
    comment: Option<&'t str>,
    /// Blanks before the comment.
    comment_gap: usize,
    /// Whether an entry begins here.
    begins_entry: bool,
    /// Whether the next line goes on with it.
    continues: bool,
}

impl Line<'_> {
    fn width(&self) -> usize {
        self.indent + self.width_before(self.pieces.len())
    }

    fn width_before(&self, piece: usize) -> usize {
        self.pieces.iter().take(piece).map(|(gap, text)| gap + text.chars().count()).sum()
    }

    fn print(&self, printed: &mut String) {
        let blanks = |count: usize| " ".repeat(count);
        printed.push_str(&"\n".repeat(self.blank));
        printed.push_str(&blanks(self.indent));
        for (gap, text) in &self.pieces {
            printed.push_str(&blanks(*gap));
            printed.push_str(text);
        }
        if let Some(comment) = self.comment {
            printed.push_str(&blanks(self.comment_gap));
            printed.push_str(comment);
        }
        printed.push('\n');
    }
}

/// An open block: where its line begins, and whether it has lines of its own.
struct Block {
    outer: usize,
    tall: bool,
}

fn lines<'t>(atoms: &[Atom<'t>]) -> Vec<Line<'t>> {
    let mut lines: Vec<Line<'t>> = Vec::new();
    let mut blocks: Vec<Block> = Vec::new();
    let mut before: Option<&Atom<'t>> = None;
    // The first word of the entry that is being read.
    let mut head = "";
    for (index, atom) in atoms.iter().enumerate() {
        let closed = if atom.is(Symbol::BraceClose) { blocks.pop() } else { None };
        let inside = blocks.iter().rev().find(|block| block.tall);
        let content = inside.map_or(0, |block| block.outer + INDENT);
        let tall_here = blocks.last().is_none_or(|block| block.tall);
        let entry = if atom.is_comment() { None } else { atom.entry };
        if entry.is_some() {
            head = atom.text;
        }
        let breaks = match before {
            None => true,
            Some(before) => {
                before.is_comment()
                    || atom.newlines > 0 && !atom.is(Symbol::BraceClose)
                    || atom.is(Symbol::BraceClose) && atom.tall
                    || !atom.is_comment() && before.is(Symbol::BraceOpen) && before.tall
                    || entry == Some(Separation::Line) && tall_here
            }
        };
        let line_indent = match (&closed, entry) {
            (Some(block), _) if block.tall => block.outer,
            (None, Some(_)) => content,
            (None, None) if atom.is_comment() => content,
            _ => content + INDENT,
        };
        if breaks {
            let first_of_block = before.is_some_and(|before| before.is(Symbol::BraceOpen));
            let own = entry.is_some() || atom.is_comment();
            let most = if content == 0 { 2 } else { 1 };
            let blank = if before.is_none() || first_of_block || closed.is_some() || !own {
                0
            } else {
                atom.newlines.saturating_sub(1).min(most)
            };
            if let Some(last) = lines.last_mut() {
                last.continues = !own && closed.is_none() || before.is_some_and(|before| before.tall);
            }
            lines.push(Line {
                indent: line_indent,
                blank,
                pieces: Vec::new(),
                comment: None,
                comment_gap: 0,
                begins_entry: entry.is_some(),
                continues: false,
            });
        }
        let Some(line) = lines.last_mut() else { continue };
        if atom.is_comment() {
            line.comment = Some(atom.text);
            line.comment_gap = if line.pieces.is_empty() { 0 } else { 2 };
        } else {
            let gap = match before {
                Some(before) if !breaks => {
                    let two_before = index.checked_sub(2).and_then(|at| atoms.get(at));
                    gap(two_before, before, atom, head)
                }
                _ => 0,
            };
            line.pieces.push((gap, atom.text));
        }
        if atom.is(Symbol::BraceOpen) {
            blocks.push(Block { outer: line.indent, tall: atom.tall });
        }
        before = Some(atom);
    }
    lines
}

// Blanks between two tokens of a line.
fn gap(two_before: Option<&Atom<'_>>, before: &Atom<'_>, atom: &Atom<'_>, head: &str) -> usize {
    use Symbol::{BracketClose, BracketOpen, Colon, Comma, Dot, DotDot, Minus, ParenClose, ParenOpen};
    let as_written = usize::from(!atom.adjacent);
    let one_of = |atom: &Atom<'_>, symbols: &[Symbol]| symbols.iter().any(|&symbol| atom.is(symbol));
    if atom.entry.is_some() && !one_of(before, &[Symbol::BraceOpen, Comma]) {
        return 2;
    }
    // An address and a colon behind it would be another address without the blank.
    if before.kind == Some(TokenKind::Address) && (atom.is(Colon) || atom.is(Dot)) {
        return as_written;
    }
    if before.is(Colon) && head == "expect" {
        return as_written;
    }
    if one_of(atom, &[Colon, Comma, Dot, DotDot, ParenClose, BracketClose])
        || one_of(before, &[Dot, DotDot, ParenOpen, BracketOpen])
    {
        return 0;
    }
    // `t["key"]` and `in ["a"]` look the same from here.
    if atom.is(BracketOpen) {
        return as_written;
    }
    if before.is(Minus) && two_before.is_none_or(|two_before| !ends_operand(two_before)) {
        return 0;
    }
    1
}

// Whether a `-` behind this is between two operands.
fn ends_operand(atom: &Atom<'_>) -> bool {
    const OPERATORS: &[&str] = &[
        "after",
        "all",
        "and",
        "any",
        "as",
        "be",
        "before",
        "contains",
        "default",
        "every",
        "first",
        "has",
        "in",
        "last",
        "lowercase",
        "must",
        "not",
        "of",
        "or",
        "over",
        "several",
        "should",
        "until",
        "uppercase",
        "when",
        "while",
        "with",
        "within",
        "x",
    ];
    match atom.kind {
        Some(TokenKind::Symbol(symbol)) => matches!(symbol, Symbol::ParenClose | Symbol::BracketClose),
        Some(TokenKind::Word) => !OPERATORS.contains(&atom.text),
        _ => true,
    }
}

fn align_entries(lines: &mut [Line<'_>], align: &impl Fn(&[&str]) -> Option<Alignment>) {
    let marks: Vec<Option<Alignment>> = lines
        .iter()
        .map(|line| {
            if !line.begins_entry || line.continues {
                return None;
            }
            let texts: Vec<&str> = line.pieces.iter().map(|&(_, text)| text).collect();
            align(&texts).filter(|mark| mark.at > 0 && mark.at <= texts.len())
        })
        .collect();
    let mut start = 0;
    while start < lines.len() {
        let Some((first, kind)) = lines.get(start).zip(marks.get(start).copied().flatten().map(|mark| mark.kind))
        else {
            start += 1;
            continue;
        };
        let indent = first.indent;
        let goes_on = |at: usize| {
            let same = marks.get(at).copied().flatten().is_some_and(|mark| mark.kind == kind);
            same && lines.get(at).is_some_and(|line| line.indent == indent && line.blank == 0)
        };
        let mut end = start + 1;
        while goes_on(end) {
            end += 1;
        }
        let widths = lines.iter().zip(&marks).take(end).skip(start).filter_map(|(line, mark)| {
            let mark = mark.as_ref().filter(|mark| mark.at < line.pieces.len())?;
            Some(line.width_before(mark.at).max(mark.least))
        });
        let target = widths.filter(|&width| width <= WIDEST).max().unwrap_or(0);
        for (line, mark) in lines.iter_mut().zip(&marks).take(end).skip(start) {
            let Some(mark) = mark else { continue };
            let missing = target.saturating_sub(line.width_before(mark.at));
            if let Some((gap, _)) = line.pieces.get_mut(mark.at) {
                *gap += missing;
            }
        }
        start = end;
    }
}

fn align_comments(lines: &mut [Line<'_>]) {
    let commented = |line: &Line<'_>| line.comment.is_some() && !line.pieces.is_empty();
    let mut start = 0;
    while start < lines.len() {
        if !lines.get(start).is_some_and(commented) {
            start += 1;
            continue;
        }
        let mut end = start + 1;
        while lines.get(end).is_some_and(|line| commented(line) && line.blank == 0) {
            end += 1;
        }
        let widths = lines.iter().take(end).skip(start).map(Line::width);
        let target = widths.filter(|&width| width <= WIDEST_COMMENTED).max().unwrap_or(0);
        for line in lines.iter_mut().take(end).skip(start) {
            line.comment_gap = target.saturating_sub(line.width()) + 2;
        }
        start = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::Parser;
    use crate::source::SourceId;

    // A language of entries that begin with a word and `:`, in any braces.
    fn arranged(text: &str) -> String {
        let mut parser = Parser::new(SourceId(0), text);
        while !parser.at_end() {
            if parser.word().is_some() && parser.second().kind == TokenKind::Symbol(Symbol::Colon) {
                parser.begin_entry(Separation::Line);
            }
            parser.advance();
        }
        arrange(text, &parser.finish(), |tokens| {
            (tokens.get(1) == Some(&":")).then_some(Alignment { kind: 0, at: 2, least: 0 })
        })
    }

    #[test]
    fn entries_get_lines_and_columns() {
        let text = "a:{b:1 # one\n  long : -2+x [ 3 ]  # two\n\n\n\n c:{ d:1   e:2}\n}";
        let wanted = "a: {\n    b:    1             # one\n    long: -2 + x [3]    # two\n\n    c: { d: 1  e: 2 }\n}\n";
        let once = arranged(text);
        assert_eq!(once, wanted.replace("1             #", "1           #").replace("[3]    #", "[3]  #"));
        assert_eq!(arranged(&once), once);
    }

    #[test]
    fn breaks_inside_an_entry_are_kept() {
        let once = arranged("a: x +\ny\n# own\nb: 1");
        assert_eq!(once, "a: x +\n    y\n# own\nb: 1\n");
        assert_eq!(arranged(&once), once);
    }

    #[test]
    fn empty_blocks_are_flat() {
        assert_eq!(arranged("a: {\n\n}"), "a: { }\n");
        assert_eq!(arranged("a: {\n# c\n}"), "a: {\n    # c\n}\n");
        assert_eq!(arranged(""), "");
        assert_eq!(arranged("# only"), "# only\n");
    }
}
