//! What may follow an element: maxima, conversions, relations, checks, conditions.

use portcullis_lang::{Code, Diagnostic, Parsed, Parser, Span, Symbol, TokenKind};

use super::super::tree::{Conversion, ElementKind, Modifiers, Relation, RelationKind, RepetitionEnd, SpanOf};
use super::{duplicate, field, types};

/// Reads modifiers as long as there are any; `until` and `while` go to the repetition that they follow.
pub(super) fn modifiers(p: &mut Parser<'_>, kind: &mut ElementKind) -> Parsed<Modifiers> {
    let mut found = Modifiers::default();
    // Where each modifier that may be there once was first read.
    let mut seen: Vec<(&'static str, Span)> = Vec::new();
    loop {
        let start = p.peek().span;
        let Some(word) = next_modifier(p, kind) else { return Ok(found) };
        match word {
            "max" => found.maxima.push(types::maximum(p)?),
            "x" => {
                p.advance();
                found.times = Some(p.operand()?);
            }
            "little" => found.little = Some(SpanOf(p.advance().span)),
            "trimmed" => found.trimmed = Some(SpanOf(p.advance().span)),
            "unfolded" => found.unfolded = Some(SpanOf(p.advance().span)),
            "ignoring" => {
                p.advance();
                p.expect_word("case", "after `ignoring`")?;
                let span = SpanOf(p.since(start));
                match kind {
                    ElementKind::Table { ignoring_case, .. } => *ignoring_case = true,
                    _ => found.ignoring_case = Some(span),
                }
            }
            "quoted" => {
                p.advance();
                p.expect_word("by", "after `quoted`")?;
                found.quoted_by = Some(p.text("the sign that opens and closes a quotation")?);
            }
            "escaped" => {
                p.advance();
                p.expect_word("by", "after `escaped`")?;
                found.escaped_by = Some(p.text("the sign behind which a delimiter is none")?);
            }
            "as" => {
                p.advance();
                let name = p.name("the name of a conversion or event after `as`")?;
                let default = match p.eat_clause("default") {
                    Some(_) => Some(p.operand()?),
                    None => None,
                };
                found.conversion = Some(Conversion { name, default });
            }
            "measures" | "counts" | "checksum" => {
                let relation = relation(p)?;
                found.relations.push(Relation { kind: relation, span: p.since(start) });
            }
            "must" | "should" => found.checks.push(field::check(p)?),
            "when" => {
                p.advance();
                found.when = Some(p.test()?);
            }
            "within" => {
                p.advance();
                found.within = Some(Box::new(types::single(p)?));
            }
            _ => ending(p, kind)?,
        }
        if !matches!(word, "must" | "should" | "max" | "measures" | "counts" | "checksum") {
            match seen.iter().find(|(before, _)| *before == word) {
                Some(&(_, first)) => duplicate(p, &format!("`{word}`"), first, start, "say it once"),
                None => seen.push((word, start)),
            }
        }
    }
}

// The word of a modifier, if one is next. Some of these words begin an element of their own as well: what follows tells.
fn next_modifier(p: &mut Parser<'_>, kind: &ElementKind) -> Option<&'static str> {
    const PLAIN: &[&str] = &[
        "as", "checksum", "counts", "escaped", "little", "max", "measures", "quoted", "trimmed", "unfolded", "when",
        "while",
    ];
    let word = p.word()?;
    let second = p.second();
    if matches!(second.kind, TokenKind::Symbol(Symbol::Colon | Symbol::FatArrow)) {
        return None;
    }
    match word {
        "must" | "should" => {
            // Without a subject of its own it is about what was just read; otherwise it stands alone.
            let about = match second.kind {
                TokenKind::Word => {
                    let third = p.peek_at(2);
                    let subjectless = ["be", "in", "contains", "starts", "ends", "matches", "is", "has"];
                    let words = p.slice(second.span);
                    subjectless.contains(&words) || words == "not" && matches!(p.slice(third.span), "be" | "in")
                }
                TokenKind::Symbol(symbol) => matches!(
                    symbol,
                    Symbol::EqualEqual
                        | Symbol::NotEqual
                        | Symbol::Less
                        | Symbol::LessEqual
                        | Symbol::Greater
                        | Symbol::GreaterEqual
                ),
                _ => false,
            };
            let word = if word == "must" { "must" } else { "should" };
            about.then_some(word)
        }
        "within" => (p.slice(second.span) == "lines").then_some("within"),
        "ignoring" => (p.slice(second.span) == "case").then_some("ignoring"),
        "x" => {
            let counted = matches!(second.kind, TokenKind::Number | TokenKind::Symbol(Symbol::ParenOpen));
            let begins_next = matches!(p.peek_at(2).kind, TokenKind::Symbol(Symbol::Colon | Symbol::FatArrow));
            let by_name =
                second.kind == TokenKind::Word && !begins_next && !field::FIELD_WORDS.contains(&p.slice(second.span));
            (counted || by_name).then_some("x")
        }
        // Behind something else than a repetition it is a field without a name.
        "until" => repetition_end(kind).is_some_and(|end| *end == RepetitionEnd::Window).then_some("until"),
        _ => PLAIN.iter().copied().find(|plain| *plain == word),
    }
}

fn relation(p: &mut Parser<'_>) -> Parsed<RelationKind> {
    let word = p.advance();
    Ok(match p.slice(word.span) {
        "measures" => RelationKind::Measures(field::field_ranges(p)?),
        "counts" => RelationKind::Counts(p.name("the repetition that is counted")?),
        _ => {
            let algorithm = p.name("the name of the checksum, such as `crc16`")?;
            p.expect_word("of", "and the fields that a checksum covers")?;
            RelationKind::Checksum { algorithm, of: field::field_ranges(p)? }
        }
    })
}

// `until ...` or `while ...`
fn ending(p: &mut Parser<'_>, kind: &mut ElementKind) -> Parsed<()> {
    let word = p.peek();
    let name = p.slice(word.span).to_owned();
    let end = match kind {
        ElementKind::Many(many) => &mut many.end,
        ElementKind::Table { end, .. } => end,
        _ => {
            return Err(p.report(
                Diagnostic::error(Code::S1, format!("`{name}` says how a repetition ends, and this is none"))
                    .primary(word.span, "")
                    .help("repetitions begin with `many` or `table of`; what is there only sometimes is written `when TEST`"),
            ));
        }
    };
    p.advance();
    *end = if name == "until" && types::at_delimiter(p) {
        RepetitionEnd::Delimiter(types::delimiter(p)?)
    } else {
        // Without a subject, it is about the element that was just read.
        let test = if p.at_subject_test() { p.subject_test()? } else { p.test()? };
        if name == "until" { RepetitionEnd::Until(test) } else { RepetitionEnd::While(test) }
    };
    Ok(())
}

fn repetition_end(kind: &ElementKind) -> Option<&RepetitionEnd> {
    match kind {
        ElementKind::Many(many) => Some(&many.end),
        ElementKind::Table { end, .. } => Some(end),
        _ => None,
    }
}
