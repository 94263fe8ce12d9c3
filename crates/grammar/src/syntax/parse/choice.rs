//! Choices and pipes: what they have in common is branches with patterns.

use portcullis_lang::{Parsed, Parser, Symbol, TokenKind};

use super::super::tree::{Branch, Pattern, PatternKind, Stage, StageBranch, StageKind};
use super::{block, comma_separated, field, types};

/// Whether a branch may begin here, for going on after an error.
pub(super) fn begins(p: &mut Parser<'_>) -> bool {
    let second = p.second().kind;
    matches!(second, TokenKind::Symbol(Symbol::FatArrow | Symbol::Comma | Symbol::DotDot)) || p.at(Symbol::BracketOpen)
}

/// Reads `a, b => FIELD`.
pub(super) fn branch(p: &mut Parser<'_>) -> Parsed<Branch> {
    let start = p.peek().span;
    let patterns = patterns(p)?;
    let field = p.nested(field::field)?;
    Ok(Branch { patterns, field, span: p.since(start) })
}

/// Reads `a, b =>`.
pub(super) fn patterns(p: &mut Parser<'_>) -> Parsed<Vec<Pattern>> {
    let patterns = comma_separated(p, pattern)?;
    if p.eat(Symbol::FatArrow).is_some() {
        return Ok(patterns);
    }
    let mut diagnostic = p.unexpected_here("`=>` between what is compared and what is read then");
    if p.at(Symbol::Arrow) {
        diagnostic = diagnostic.help("`->` leads to a state, `=>` to a branch");
    }
    Err(p.report_at_token(diagnostic))
}

fn pattern(p: &mut Parser<'_>) -> Parsed<Pattern> {
    let start = p.peek().span;
    let behind = p.second().kind;
    let is_else = p.at_word("else") && matches!(behind, TokenKind::Symbol(Symbol::FatArrow | Symbol::Comma));
    let kind = if is_else {
        p.advance();
        PatternKind::Else
    } else if p.at(Symbol::BracketOpen) {
        PatternKind::Class(types::class(p)?)
    } else {
        let from = p.test()?;
        match p.eat(Symbol::DotDot) {
            Some(_) => PatternKind::Range(from, p.sum()?),
            None => PatternKind::Value(from),
        }
    };
    Ok(Pattern { kind, span: p.since(start) })
}

/// Reads `STAGE | STAGE | ...`.
pub(super) fn stages(p: &mut Parser<'_>) -> Parsed<Vec<Stage>> {
    let mut stages = vec![stage(p)?];
    while p.eat(Symbol::Bar).is_some() {
        stages.push(stage(p)?);
    }
    Ok(stages)
}

fn stage(p: &mut Parser<'_>) -> Parsed<Stage> {
    let start = p.peek().span;
    let second = p.second();
    let kind = match p.word() {
        Some("remove") if p.slice(second.span) == "leading" => {
            p.advance();
            p.advance();
            StageKind::RemoveLeading(p.text("what is removed from the start of each line, in quotes")?)
        }
        Some("nothing") => {
            p.advance();
            StageKind::Nothing
        }
        Some("xor") if second.kind != TokenKind::Symbol(Symbol::Bar) => {
            p.advance();
            StageKind::Xor(p.operand()?)
        }
        Some("choose") => {
            p.advance();
            let subject = if p.at(Symbol::BraceOpen) { None } else { Some(p.sum()?) };
            let (branches, _) = block(p, "this choice", begins, |p| {
                let start = p.peek().span;
                let patterns = patterns(p)?;
                let stages = p.nested(stages)?;
                Ok(StageBranch { patterns, stages, span: p.since(start) })
            })?;
            StageKind::Choose { subject, branches }
        }
        Some(_) => StageKind::Named(p.path("a pipe or a target")?),
        None => {
            let diagnostic = p
                .unexpected_here("a pipe or a target after `|`")
                .help("for example `| remove leading \".\"`, `| base64`, or the name of a channel or event stream")
                .help("alternatives are written with `or` or `choose`, not with `|`");
            return Err(p.report_at_token(diagnostic));
        }
    };
    Ok(Stage { kind, span: p.since(start) })
}
