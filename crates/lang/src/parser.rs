//! What hand-written parsers of both languages stand on: a cursor over tokens that reports what it does not understand.
//!
//! A function that finds an error reports it at once and returns [`Reported`]; callers hand that up with `?` to whoever can go on
//! behind the damage. So every independent error is reported, and none of its consequences.

use std::collections::VecDeque;

use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::expression::{Name, Path, Text};
use crate::limits::{MAX_NESTING, MAX_SOURCE_BYTES};
use crate::source::{SourceId, Span};
use crate::token::{self, Fault, Symbol, Token, TokenKind};

/// An error was found and has been reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported;

/// What was parsed, or the fact that an error has been reported.
pub type Parsed<T> = Result<T, Reported>;

/// A comment, from `#` to the end of its line.
#[derive(Clone, Debug)]
pub struct Comment {
    /// The comment with its `#`, without blanks at its end.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// Comments are equal if their texts are, wherever they were written.
impl PartialEq for Comment {
    fn eq(&self, other: &Comment) -> bool {
        self.text == other.text
    }
}

impl Eq for Comment {}

/// What a parser leaves behind when it has come to the end.
#[derive(Clone, Debug)]
pub struct Leftovers {
    /// What was wrong.
    pub diagnostics: Diagnostics,
    /// The comments, in order.
    pub comments: Vec<Comment>,
    /// The tokens that were read, in order, without [`TokenKind::End`].
    pub tokens: Vec<Token>,
    /// Where entries of blocks begin, by offset, in order.
    pub entries: Vec<(u32, Separation)>,
}

/// How entries of a block are set apart in canonical layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Separation {
    /// Each on a line of its own, unless the whole block is on one.
    Line,
    /// Several may share a line, as they were written: members of enumerations.
    Loose,
}

/// A cursor over the tokens of one source text.
///
/// ```
/// # use portcullis_lang::{Parser, Sources, Symbol};
/// # let mut sources = Sources::new();
/// # let source = sources.add("a.policy", "list banned = [\".exe\"]");
/// let mut parser = Parser::new(source, sources.text(source));
/// assert!(parser.eat_word("list").is_some());
/// let name = parser.name("the name of the list").unwrap();
/// parser.expect(Symbol::Equal, "after the name of a list").unwrap();
/// let entries = parser.expression().unwrap();
/// assert_eq!(name.text, "banned");
/// assert!(parser.finish().diagnostics.is_empty());
/// ```
pub struct Parser<'t> {
    source: SourceId,
    text: &'t str,
    /// Tokens that were looked at and not read; their faults are reported when they are.
    ahead: VecDeque<Token>,
    /// Where the next token is looked for.
    offset: u32,
    /// The last token that was read.
    previous: Span,
    tokens: Vec<Token>,
    comments: Vec<Comment>,
    entries: Vec<(u32, Separation)>,
    diagnostics: Diagnostics,
    depth: usize,
}

impl<'t> Parser<'t> {
    /// Begins at the start of a text. One larger than [`MAX_SOURCE_BYTES`] is refused with S5 and read as empty.
    pub fn new(source: SourceId, text: &'t str) -> Parser<'t> {
        let mut parser = Parser::within(source, text, 0);
        if text.len() > MAX_SOURCE_BYTES {
            parser.text = "";
            let title = format!("this file has {} bytes, {MAX_SOURCE_BYTES} are the most that is read", text.len());
            parser.report(
                Diagnostic::error(Code::S5, title)
                    .primary(Span::new(source, 0, 0), "")
                    .help("take it apart into several files"),
            );
        }
        parser
    }

    /// Begins at `offset` of a text, for a piece of a larger one: cut `text` off where the piece ends.
    pub(crate) fn within(source: SourceId, text: &'t str, offset: u32) -> Parser<'t> {
        Parser {
            source,
            text,
            ahead: VecDeque::new(),
            offset,
            previous: Span::new(source, offset, offset),
            tokens: Vec::new(),
            comments: Vec::new(),
            entries: Vec::new(),
            diagnostics: Diagnostics::new(),
            depth: 0,
        }
    }

    /// Ends and hands over what was found on the way. Comments behind the last token count too.
    pub fn finish(mut self) -> Leftovers {
        let end = self.peek();
        self.keep_comments(end.span.start);
        Leftovers { diagnostics: self.diagnostics, comments: self.comments, tokens: self.tokens, entries: self.entries }
    }

    /// The source that is read.
    pub fn source(&self) -> SourceId {
        self.source
    }

    /// The text that a span covers.
    pub fn slice(&self, span: Span) -> &'t str {
        span.of(self.text)
    }

    /// The text of the source.
    pub(crate) fn source_text(&self) -> &'t str {
        self.text
    }

    /// How deep the parser is nested.
    pub(crate) fn depth_mut(&mut self) -> &mut usize {
        &mut self.depth
    }

    /// The next token.
    pub fn peek(&mut self) -> Token {
        self.peek_at(0)
    }

    /// The token behind the next one.
    pub fn second(&mut self) -> Token {
        self.peek_at(1)
    }

    /// The token `distance` behind the next one.
    pub fn peek_at(&mut self, distance: usize) -> Token {
        while self.ahead.len() <= distance {
            let from = self.ahead.back().map_or(self.offset, |token| token.span.end);
            self.ahead.push_back(token::lex(self.source, self.text, from));
        }
        match self.ahead.get(distance) {
            Some(&token) => token,
            None => Token { kind: TokenKind::End, span: self.previous.after() },
        }
    }

    /// Reads the next token, whatever it is. At the end it stays there.
    pub fn advance(&mut self) -> Token {
        let token = self.peek();
        self.ahead.pop_front();
        self.read(token);
        token
    }

    /// Reads `[...]` as a set of bytes, its brackets included; the next token has to be `[`.
    pub fn class(&mut self) -> Parsed<Span> {
        let open = self.peek();
        if open.kind != TokenKind::Symbol(Symbol::BracketOpen) {
            return Err(self.unexpected("a set of bytes such as `[A-Z]`"));
        }
        self.ahead.clear();
        let class = token::lex_class(self.source, self.text, open.span.start);
        self.read(class);
        if class.kind == TokenKind::Class { Ok(class.span) } else { Err(Reported) }
    }

    fn read(&mut self, token: Token) {
        self.keep_comments(token.span.start);
        self.offset = token.span.end;
        if token.kind == TokenKind::End {
            return;
        }
        self.previous = token.span;
        self.tokens.push(token);
        if let TokenKind::Bad(fault) = token.kind {
            let diagnostic = explain(fault, token.span, token.span.of(self.text));
            self.report(diagnostic);
        }
    }

    fn keep_comments(&mut self, until: u32) {
        for span in token::comments_between(self.source, self.text, self.offset, until) {
            self.comments.push(Comment { text: span.of(self.text).to_owned(), span });
        }
        // So that no comment is kept twice when the end is looked at again.
        self.offset = self.offset.max(until);
    }

    /// Notes that an entry of a block, or a section, begins with the next token: for [`crate::arrange`].
    pub fn begin_entry(&mut self, separation: Separation) {
        let start = self.peek().span.start;
        self.entries.push((start, separation));
    }

    /// The last token that was read.
    pub fn previous(&self) -> Span {
        self.previous
    }

    /// From `start` to the last token that was read.
    pub fn since(&self, start: Span) -> Span {
        if self.previous.end < start.end { start } else { start.to(self.previous) }
    }

    /// Whether the next token is this sign.
    pub fn at(&mut self, symbol: Symbol) -> bool {
        self.peek().kind == TokenKind::Symbol(symbol)
    }

    /// Whether the next token is this word.
    pub fn at_word(&mut self, word: &str) -> bool {
        let token = self.peek();
        token.kind == TokenKind::Word && self.slice(token.span) == word
    }

    /// Whether the next two tokens are these words.
    pub fn at_words(&mut self, first: &str, second: &str) -> bool {
        let next = self.second();
        self.at_word(first) && next.kind == TokenKind::Word && self.slice(next.span) == second
    }

    /// Whether the next token is this word and not the label of a field, `word:`.
    pub fn at_clause(&mut self, word: &str) -> bool {
        self.at_word(word) && self.second().kind != TokenKind::Symbol(Symbol::Colon)
    }

    /// Whether the source ends here.
    pub fn at_end(&mut self) -> bool {
        self.peek().kind == TokenKind::End
    }

    /// The next word, if it is one.
    pub fn word(&mut self) -> Option<&'t str> {
        let token = self.peek();
        (token.kind == TokenKind::Word).then(|| self.slice(token.span))
    }

    /// Whether the next token is the first of its line.
    pub fn at_line_start(&mut self) -> bool {
        let start = self.peek().span.start as usize;
        let before = self.text.get(..start).unwrap_or("").trim_end_matches([' ', '\t', '\r']);
        before.is_empty() || before.ends_with('\n')
    }

    /// Reads this sign if it is next.
    pub fn eat(&mut self, symbol: Symbol) -> Option<Span> {
        self.at(symbol).then(|| self.advance().span)
    }

    /// Reads this word if it is next.
    pub fn eat_word(&mut self, word: &str) -> Option<Span> {
        self.at_word(word).then(|| self.advance().span)
    }

    /// Reads this word if it is next and is not the label of a field.
    pub fn eat_clause(&mut self, word: &str) -> Option<Span> {
        self.at_clause(word).then(|| self.advance().span)
    }

    /// Reads these two words if they are next.
    pub fn eat_words(&mut self, first: &str, second: &str) -> Option<Span> {
        if !self.at_words(first, second) {
            return None;
        }
        let start = self.advance().span;
        Some(start.to(self.advance().span))
    }

    /// Reads this sign; `place` completes "expected `x`", such as "after the name of a list".
    pub fn expect(&mut self, symbol: Symbol, place: &str) -> Parsed<Span> {
        match self.eat(symbol) {
            Some(span) => Ok(span),
            None => Err(self.unexpected(&format!("`{}` {place}", symbol.as_str()))),
        }
    }

    /// Reads this word; `place` completes "expected `x`".
    pub fn expect_word(&mut self, word: &str, place: &str) -> Parsed<Span> {
        match self.eat_word(word) {
            Some(span) => Ok(span),
            None => Err(self.unexpected(&format!("`{word}` {place}"))),
        }
    }

    /// Reads a word as a name; `what` says what it names.
    pub fn name(&mut self, what: &str) -> Parsed<Name> {
        let token = self.peek();
        if token.kind != TokenKind::Word {
            return Err(self.unexpected(what));
        }
        self.advance();
        Ok(Name { text: self.slice(token.span).to_owned(), span: token.span })
    }

    /// Reads names joined by dots.
    pub fn path(&mut self, what: &str) -> Parsed<Path> {
        let first = self.name(what)?;
        let mut span = first.span;
        let mut names = vec![first];
        while self.eat(Symbol::Dot).is_some() {
            let name = self.name("a name after the dot")?;
            span = span.to(name.span);
            names.push(name);
        }
        Ok(Path { names, span })
    }

    /// Reads `"text"` or `'raw'`.
    pub fn text(&mut self, what: &str) -> Parsed<Text> {
        let token = self.peek();
        if !matches!(token.kind, TokenKind::Text | TokenKind::Raw) {
            return Err(self.unexpected(what));
        }
        self.advance();
        self.text_of(token)
    }

    /// The bytes of a token that is a text; wrong escapes are reported.
    pub(crate) fn text_of(&mut self, token: Token) -> Parsed<Text> {
        let raw = self.slice(token.span);
        let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or("");
        let mut bytes = Vec::with_capacity(inner.len());
        if token.kind == TokenKind::Raw {
            bytes.extend_from_slice(inner.as_bytes());
        } else {
            self.unescape(inner, token.span.start + 1, &mut bytes)?;
        }
        Ok(Text { bytes, span: token.span })
    }

    /// Resolves the escapes of `inner`, which stands at `offset`.
    pub(crate) fn unescape(&mut self, inner: &str, offset: u32, bytes: &mut Vec<u8>) -> Parsed<()> {
        let mut rest = inner;
        while let Some(at) = rest.find('\\') {
            let (before, escape) = rest.split_at(at);
            bytes.extend_from_slice(before.as_bytes());
            let length = match escape.as_bytes() {
                [_, b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    let digits = escape.get(2..4).unwrap_or("0");
                    bytes.push(u8::from_str_radix(digits, 16).unwrap_or(0));
                    4
                }
                [_, letter, ..] if escape_value(*letter).is_some() => {
                    bytes.extend(escape_value(*letter));
                    2
                }
                _ => {
                    let start = offset + u32::try_from(inner.len() - escape.len()).unwrap_or(0);
                    let length = escape.chars().take(2).map(char::len_utf8).sum::<usize>();
                    let end = start + u32::try_from(length).unwrap_or(1);
                    let span = Span::new(self.source, start, end);
                    let shown = escape.get(..length).unwrap_or("\\");
                    return Err(self.report(
                        Diagnostic::error(Code::S3, format!("`{shown}` is no escape"))
                            .primary(span, "in this text")
                            .help("the escapes are \\r \\n \\t \\0 \\\\ \\\" \\' and \\x41 with two hexadecimal digits")
                            .help("a text between single quotes has no escapes: '\\'"),
                    ));
                }
            };
            rest = escape.get(length..).unwrap_or("");
        }
        bytes.extend_from_slice(rest.as_bytes());
        Ok(())
    }

    /// Reports that something else was expected here: `expected` completes "expected ...".
    ///
    /// Says nothing where the tokenizer has already complained.
    pub fn unexpected(&mut self, expected: &str) -> Reported {
        let diagnostic = self.unexpected_here(expected);
        self.report_at_token(diagnostic)
    }

    /// The diagnostic of [`Parser::unexpected`], to be completed and given to [`Parser::report_at_token`].
    pub fn unexpected_here(&mut self, expected: &str) -> Diagnostic {
        let token = self.peek();
        let found = self.describe(token);
        let place = if token.kind == TokenKind::End { self.previous.after() } else { token.span };
        Diagnostic::error(Code::S1, format!("expected {expected}, found {found}")).primary(place, "")
    }

    /// Reports something about the next token, unless it is no token at all: then that is what is reported.
    pub fn report_at_token(&mut self, diagnostic: Diagnostic) -> Reported {
        if let TokenKind::Bad(_) = self.peek().kind {
            self.advance();
            return Reported;
        }
        self.report(diagnostic)
    }

    /// Reports a diagnostic.
    pub fn report(&mut self, diagnostic: Diagnostic) -> Reported {
        self.diagnostics.push(diagnostic);
        Reported
    }

    /// Whether an error has been reported.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.has_errors()
    }

    /// Takes over what another parser reported about a piece of this text.
    pub(crate) fn adopt(&mut self, diagnostics: Diagnostics) {
        self.diagnostics.extend(diagnostics);
    }

    /// Words for a token in a message.
    pub fn describe(&self, token: Token) -> String {
        let text = self.slice(token.span);
        match token.kind {
            TokenKind::End => "the end of the file".to_owned(),
            TokenKind::Text | TokenKind::Raw => format!("the text {text}"),
            TokenKind::Number => format!("the number {text}"),
            TokenKind::Address => format!("the address {text}"),
            _ => format!("`{text}`"),
        }
    }

    /// Runs `parse` one level deeper; past [`MAX_NESTING`] levels it reports S5 instead.
    pub fn nested<T>(&mut self, parse: impl FnOnce(&mut Parser<'t>) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= MAX_NESTING {
            let place = self.peek().span;
            return Err(self.report(
                Diagnostic::error(Code::S5, format!("this is nested more than {MAX_NESTING} levels deep"))
                    .primary(place, "this level is one too many")
                    .help("give the inner part a name of its own"),
            ));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// Goes on behind an error: skips what is in brackets, up to a token for which `stop` says so, a closing brace of the block
    /// that is open here, or the end. Nothing of that is read.
    ///
    /// Reads at least one token if `stop` refuses the first, so that a loop around it ends.
    pub fn recover(&mut self, mut stop: impl FnMut(&mut Parser<'t>) -> bool) {
        let mut open = 0_usize;
        loop {
            let token = self.peek();
            match token.kind {
                TokenKind::End => return,
                TokenKind::Symbol(Symbol::BraceClose) if open == 0 => return,
                _ if open == 0 && stop(self) => return,
                TokenKind::Symbol(Symbol::BraceOpen) => open += 1,
                TokenKind::Symbol(Symbol::BraceClose) => open = open.saturating_sub(1),
                _ => {}
            }
            // Faults in what is skipped are errors of their own; `read` reports them.
            self.advance();
        }
    }
}

fn escape_value(letter: u8) -> Option<u8> {
    match letter {
        b'r' => Some(b'\r'),
        b'n' => Some(b'\n'),
        b't' => Some(b'\t'),
        b'0' => Some(0),
        b'\\' | b'"' | b'\'' => Some(letter),
        _ => None,
    }
}

fn explain(fault: Fault, span: Span, text: &str) -> Diagnostic {
    match fault {
        Fault::UnterminatedText => {
            let quote = text.get(..1).unwrap_or("\"");
            Diagnostic::error(Code::S2, "this text has no end")
                .primary(span, format!("no {quote} up to the end of the line"))
                .help(format!("close it with {quote}; a line break inside a text is written \\r\\n"))
        }
        Fault::UnterminatedRegex => Diagnostic::error(Code::S2, "this regular expression has no end")
            .primary(span, "no / up to the end of the line")
            .help("close it with /; a slash inside is written \\/"),
        Fault::UnterminatedClass => Diagnostic::error(Code::S2, "this set of bytes has no end")
            .primary(span, "no ] up to the end of the line")
            .help("close it with ]; that bracket inside is written \\]"),
        Fault::BadNumber => Diagnostic::error(Code::S3, format!("`{text}` is not a number"))
            .primary(span, "")
            .help("numbers are written 25, 0x19, 0b11001, 1_000_000, 64 KB, 30 s, and are below 2^64"),
        Fault::BadAddress => Diagnostic::error(Code::S3, format!("`{text}` is not an address"))
            .primary(span, "each of the four numbers is at most 255, the prefix at most 32 (128 with IPv6)"),
        Fault::UnknownCharacter if text == ";" => Diagnostic::error(Code::S1, "`;` means nothing here")
            .primary(span, "")
            .help("nothing stands between fields, rules and clauses: leave it out"),
        Fault::UnknownCharacter => Diagnostic::error(Code::S1, format!("`{text}` means nothing here"))
            .primary(span, "")
            .help("other characters than ASCII signs and letters stand in texts and comments only"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parser(text: &str) -> Parser<'_> {
        Parser::new(SourceId(0), text)
    }

    #[test]
    fn texts_are_unescaped() {
        let mut p = parser(r#""a\r\n\x41\\\"" 'b\'"#);
        assert_eq!(p.text("a text").unwrap().bytes, b"a\r\nA\\\"");
        assert_eq!(p.text("a text").unwrap().bytes, b"b\\");
        assert!(parser(r#""\q""#).text("a text").is_err());
        assert!(parser(r#""\x4""#).text("a text").is_err());
        assert!(parser("\"\\é\"").text("a text").is_err());
    }

    #[test]
    fn comments_are_kept_once() {
        let mut p = parser("# one\na # two\nb # three");
        p.peek_at(5);
        while !p.at_end() {
            p.advance();
        }
        p.advance();
        let texts: Vec<String> = p.finish().comments.into_iter().map(|comment| comment.text).collect();
        assert_eq!(texts, ["# one", "# two", "# three"]);
    }

    #[test]
    fn classes_are_read_where_they_are_asked_for() {
        let mut p = parser("[\"#a\\]] x");
        p.peek_at(3);
        let span = p.class().unwrap();
        assert_eq!(p.slice(span), "[\"#a\\]]");
        assert_eq!(p.word(), Some("x"));
        assert!(p.finish().diagnostics.is_empty());
    }

    #[test]
    fn recovery_skips_blocks_and_stops_before_the_closing_brace() {
        let mut p = parser("a { b } c } d");
        p.recover(|p| p.at_word("d"));
        assert!(p.at(Symbol::BraceClose));
        let mut p = parser("a { b } c } d");
        p.recover(|p| p.at_word("c"));
        assert!(p.at_word("c"));
    }

    #[test]
    fn a_fault_is_reported_once_and_not_again_as_unexpected() {
        let mut p = parser("\"abc");
        assert!(p.name("a name").is_err());
        assert_eq!(p.finish().diagnostics.len(), 1);
    }

    #[test]
    fn nesting_is_bounded() {
        fn deeper(p: &mut Parser<'_>) -> Parsed<()> {
            p.nested(deeper)
        }
        let mut p = parser("x");
        assert!(deeper(&mut p).is_err());
        assert_eq!(p.finish().diagnostics.iter().next().map(|d| d.code), Some(Code::S5));
    }

    #[test]
    fn large_sources_are_refused() {
        let text = " ".repeat(MAX_SOURCE_BYTES + 1);
        let mut p = parser(&text);
        assert!(p.at_end());
        assert_eq!(p.finish().diagnostics.error_count(), 1);
    }
}
