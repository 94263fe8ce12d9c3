//! Fields: what stands between the braces of records, lines, groups, values and streams.

use portcullis_lang::{Code, Diagnostic, Name, Parsed, Parser, Span, Symbol, TokenKind};

use super::super::tree::{
    Check, CheckKind, Choose, Element, ElementKind, Field, FieldLabel, Many, Modifiers, RepetitionEnd, SpanOf, TypeKind,
};
use super::element::modifiers;
use super::{block, choice, comma_separated, duplicate_names, item, types};

/// Words that begin an element or continue one, and so are no operand of the type before them.
pub(super) const FIELD_WORDS: &[&str] = &[
    "as", "blanks", "checksum", "choose", "counts", "end", "error", "escaped", "follow", "ignoring", "let", "line",
    "little", "many", "max", "measures", "must", "newline", "nothing", "optional", "quoted", "rest", "should", "table",
    "trimmed", "unfolded", "until", "when", "while", "within",
];

/// Reads `{ FIELD FIELD ... }`.
pub(super) fn fields(p: &mut Parser<'_>, of: &str) -> Parsed<(Vec<Field>, Span)> {
    let (fields, span) = block(p, of, begins, field)?;
    let names = fields.iter().filter_map(|field| match (&field.label, &field.element.kind) {
        (Some(FieldLabel::Name(name)), _) | (None, ElementKind::Let(name, _)) => Some(name),
        _ => None,
    });
    duplicate_names(p, names, "the field", "fields of one block have different names; `_:` reads without naming");
    Ok((fields, span))
}

// Where fields are taken up again after an error: a label, a literal, a word that begins an element.
fn begins(p: &mut Parser<'_>) -> bool {
    match p.peek().kind {
        TokenKind::Word => {
            let word = p.word().unwrap_or("");
            let labelled = p.second().kind == TokenKind::Symbol(Symbol::Colon);
            labelled || matches!(word, "choose" | "let" | "many" | "must" | "optional" | "rest" | "should" | "within")
        }
        TokenKind::Text | TokenKind::Raw => true,
        _ => false,
    }
}

/// Reads `name: ELEMENT`, `_: ELEMENT` or `ELEMENT`.
pub(super) fn field(p: &mut Parser<'_>) -> Parsed<Field> {
    let start = p.peek().span;
    let labelled = p.word().is_some() && p.second().kind == TokenKind::Symbol(Symbol::Colon);
    let label = if labelled {
        let name = p.name("the name of a field")?;
        p.advance();
        Some(match name.text.as_str() {
            "_" => FieldLabel::Ignored(SpanOf(name.span)),
            _ => FieldLabel::Name(name),
        })
    } else {
        None
    };
    if p.word().is_some() && p.second().kind == TokenKind::Symbol(Symbol::Equal) {
        let name = p.name("a field")?;
        let diagnostic = p
            .unexpected_here(&format!("`:` behind `{name}`"))
            .help(format!("what is read is written `{name}: TYPE`, what is computed `let {name} = EXPRESSION`"));
        return Err(p.report_at_token(diagnostic));
    }
    if let Some(FieldLabel::Name(name)) = &label {
        type_of(p, name)?;
    }
    let element = element(p)?;
    if label.is_none() {
        forgotten_colon(p, &element)?;
    }
    Ok(Field { label, element, span: p.since(start) })
}

// What stands behind `name:` has to read something.
fn type_of(p: &mut Parser<'_>, name: &Name) -> Parsed<()> {
    let next = p.peek();
    let labelled = p.second().kind == TokenKind::Symbol(Symbol::Colon);
    let reads_nothing = matches!(p.word(), Some("must" | "should")) || p.at(Symbol::BraceClose);
    let next_field = next.kind == TokenKind::Word && labelled;
    if !reads_nothing && !next_field {
        return Ok(());
    }
    Err(p.report(
        Diagnostic::error(Code::S1, format!("`{name}` has no type"))
            .primary(name.span, "")
            .secondary(next.span, "this is not one")
            .help(format!("for example `{name}: u16`, `{name}: until \" \"`, `{name}: choose ...`")),
    ))
}

// `verb word max 16` is a reference to a group `verb` and then a word without a name: nobody means that.
fn forgotten_colon(p: &mut Parser<'_>, element: &Element) -> Parsed<()> {
    let ElementKind::Type(named) = &element.kind else { return Ok(()) };
    let TypeKind::Named(path) = &named.kind else { return Ok(()) };
    let Some(name) = path.single() else { return Ok(()) };
    let next = p.peek();
    let same_line = next.kind == TokenKind::Word && !p.at_line_start();
    let value = types::is_value_type(p.slice(next.span)) && p.second().kind != TokenKind::Symbol(Symbol::Colon);
    if same_line && value && p.second().kind != TokenKind::Symbol(Symbol::FatArrow) {
        let kind = p.slice(next.span).to_owned();
        return Err(p.report(
            Diagnostic::error(Code::S1, format!("`:` is missing between `{name}` and its type"))
                .primary(name.span.after(), "")
                .help(format!("write `{name}: {kind}`")),
        ));
    }
    Ok(())
}

/// Reads an element with all that is said about it.
pub(super) fn element(p: &mut Parser<'_>) -> Parsed<Element> {
    let start = p.peek().span;
    let mut kind = element_kind(p)?;
    let reads = !matches!(kind, ElementKind::Let(..) | ElementKind::Check(_) | ElementKind::Error(_));
    let found = if reads { modifiers(p, &mut kind)? } else { Modifiers::default() };
    let pipes = if reads && p.eat(Symbol::Bar).is_some() { choice::stages(p)? } else { Vec::new() };
    Ok(Element { kind, modifiers: found, pipes, span: p.since(start) })
}

// The same without anything behind it, for what stands behind `many` and `optional`.
fn bare(p: &mut Parser<'_>) -> Parsed<Box<Element>> {
    p.nested(|p| {
        let start = p.peek().span;
        let kind = element_kind(p)?;
        if let ElementKind::Let(..) | ElementKind::Check(_) | ElementKind::Error(_) = kind {
            return Err(p.report(
                Diagnostic::error(Code::S1, "this cannot be repeated or optional, because it reads nothing")
                    .primary(p.since(start), "")
                    .help("put braces around it together with what is read"),
            ));
        }
        let span = p.since(start);
        Ok(Box::new(Element { kind, modifiers: Modifiers::default(), pipes: Vec::new(), span }))
    })
}

fn element_kind(p: &mut Parser<'_>) -> Parsed<ElementKind> {
    let second = p.second().kind;
    let is_label = second == TokenKind::Symbol(Symbol::Colon);
    match p.word() {
        Some("let") if second == TokenKind::Word => {
            p.advance();
            let name = p.name("the name of a computed field")?;
            if !p.at(Symbol::Equal) {
                let diagnostic = p
                    .unexpected_here("`=` before what is computed")
                    .help(format!("what is read is written `{name}: TYPE`, without `let`"));
                return Err(p.report_at_token(diagnostic));
            }
            p.advance();
            Ok(ElementKind::Let(name, p.expression()?))
        }
        Some("must" | "should") if !is_label => Ok(ElementKind::Check(check(p)?)),
        Some("optional") if !is_label => {
            p.advance();
            Ok(ElementKind::Optional(bare(p)?))
        }
        Some("choose") if !is_label => choose(p),
        Some("many") if !is_label => {
            p.advance();
            let element = bare(p)?;
            Ok(ElementKind::Many(Many { element, end: RepetitionEnd::Window }))
        }
        Some("within") if !is_label => {
            p.advance();
            let size = p.sum()?;
            let (fields, _) = fields(p, "`within`")?;
            Ok(ElementKind::Within { size, fields })
        }
        Some("table") if p.at_words("table", "of") => table(p),
        Some("follow") if second == TokenKind::Word => follow(p),
        Some("error") if matches!(second, TokenKind::Text | TokenKind::Raw) => {
            p.advance();
            Ok(ElementKind::Error(p.text("why")?))
        }
        Some("nothing") if !is_label => {
            p.advance();
            Ok(ElementKind::Nothing)
        }
        Some("line") if second == TokenKind::Symbol(Symbol::BraceOpen) || inline_line(p) => {
            p.advance();
            let mut maxima = Vec::new();
            while p.at_word("max") {
                maxima.push(types::maximum(p)?);
            }
            let (fields, _) = fields(p, "`line`")?;
            Ok(ElementKind::Line { maxima, fields })
        }
        _ if p.at(Symbol::BraceOpen) => Ok(ElementKind::Block(fields(p, "this block")?.0)),
        _ => types::alternatives(p),
    }
}

// `line max 512 {` is a line of its own, `line max 512` a text up to the end of the line.
fn inline_line(p: &mut Parser<'_>) -> bool {
    if !p.at_words("line", "max") {
        return false;
    }
    (3..6).any(|distance| {
        let token = p.peek_at(distance);
        token.kind == TokenKind::Symbol(Symbol::BraceOpen)
            && (3..distance).all(|before| {
                let word = p.peek_at(before);
                matches!(p.slice(word.span), "KB" | "MB" | "bytes")
            })
    })
}

fn choose(p: &mut Parser<'_>) -> Parsed<ElementKind> {
    p.advance();
    let subject = if p.at(Symbol::BraceOpen) { None } else { Some(p.sum()?) };
    let (branches, _) = block(p, "this choice", choice::begins, choice::branch)?;
    Ok(ElementKind::Choose(Choose { subject, branches }))
}

// table of header by name ignoring case until empty line
fn table(p: &mut Parser<'_>) -> Parsed<ElementKind> {
    p.advance();
    p.advance();
    let entry = p.path("what the table consists of")?;
    p.expect_word("by", "and the field that is the key of a table")?;
    let key = p.name("the field that is the key of the table")?;
    let ignoring_case = p.eat_words("ignoring", "case").is_some();
    Ok(ElementKind::Table { entry, key, ignoring_case, end: RepetitionEnd::Window })
}

// follow domain at offset, backwards
fn follow(p: &mut Parser<'_>) -> Parsed<ElementKind> {
    p.advance();
    let target = p.path("what is read there")?;
    p.expect_word("at", "and the offset of what is followed")?;
    let offset = p.sum()?;
    let backwards = if p.at(Symbol::Comma) {
        p.advance();
        Some(SpanOf(p.expect_word("backwards", "after the comma")?))
    } else {
        None
    };
    Ok(ElementKind::Follow { target, offset, backwards })
}

/// Reads `must TEST` or `should TEST as NAME`; behind an element the test may leave out its subject.
pub(super) fn check(p: &mut Parser<'_>) -> Parsed<Check> {
    let word = p.advance();
    let must = p.slice(word.span) == "must";
    if p.word().is_some() && p.second().kind == TokenKind::Symbol(Symbol::Colon) {
        let expected = format!("a test after `{}`", p.slice(word.span));
        let diagnostic =
            p.unexpected_here(&expected).help("for example `must be >= 20` or `should code in 200..599 as odd_code`");
        return Err(p.report_at_token(diagnostic));
    }
    let test = if p.at_subject_test() { p.subject_test()? } else { p.test()? };
    let kind = match p.eat_clause("as") {
        Some(span) if must => {
            return Err(p.report(
                Diagnostic::error(Code::S1, "a `must` has no name for an anomaly")
                    .primary(span, "")
                    .secondary(word.span, "if this is broken, the message cannot be parsed")
                    .help("`should ... as NAME` reports an anomaly and goes on")
                    .help("a conversion inside a test stands in brackets: `must (size as decimal) < 10`"),
            ));
        }
        Some(_) => CheckKind::Should(Some(item::anomaly_name(p)?)),
        None if must => CheckKind::Must,
        None => CheckKind::Should(None),
    };
    Ok(Check { kind, test, span: p.since(word.span) })
}

/// Names of fields: `a, b..c`.
pub(super) fn field_ranges(p: &mut Parser<'_>) -> Parsed<Vec<super::super::tree::FieldRange>> {
    comma_separated(p, |p| {
        let from = field_name(p)?;
        let to = match p.eat(Symbol::DotDot) {
            Some(_) => Some(field_name(p)?),
            None => None,
        };
        Ok(super::super::tree::FieldRange { from, to })
    })
}

fn field_name(p: &mut Parser<'_>) -> Parsed<Name> {
    p.name("the name of a field")
}
