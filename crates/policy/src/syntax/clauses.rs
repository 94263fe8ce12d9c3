//! Rules and their clauses.

use portcullis_lang::{
    Code, Diagnostic, ExpressionKind, Name, Parsed, Parser, Reported, Span, Symbol, Text, TokenKind, is_keyword,
    suggest,
};

use super::tree::{
    AlertClause, BlockClause, EditClause, EditKind, HoldClause, InsertSpot, RuleItem, Threshold, Trigger, VerdictClause,
};
use crate::Severity;
use crate::limits::{
    MAX_ABOUT, MAX_BLOCK_TIME, MAX_EDITS, MAX_HOLD, MAX_THRESHOLD, MAX_THRESHOLD_WINDOW, MAX_TRIGGERS,
};

/// The words that begin a clause, those that are refused included.
const CLAUSES: [&str; 24] = [
    "on", "when", "after", "alert", "log", "pass", "drop", "mode", "about", "refuse", "reset", "edit", "hold",
    "bypass", "block", "extract", "capture", "set", "count", "tag", "fix", "insert", "delete", "replace",
];

/// The clauses that are refused, and what can be written instead.
const REFUSED: [(&str, &str); 5] = [
    ("extract", "an alert can show fields of the event: `alert low \"text {field}\"`"),
    ("capture", "an alert tells the flow, and the packets are in the capture that was read"),
    (
        "set",
        "only grammars keep something for a flow: `flow { name: u8 = 0 }`; `edit set FIELD = ...` changes a record",
    ),
    ("count", "`after N per KEY in TIME` counts"),
    ("tag", "`log \"text\"` makes a note"),
];

/// Parses `rule NAME id N { ... }`.
pub(super) fn rule(parser: &mut Parser<'_>) -> Parsed<RuleItem> {
    let start = parser.advance().span;
    let name = parser.name("the name of the rule")?;
    let id = match parser.eat_word("id") {
        Some(_) => Some(id(parser, "a number after `id`, which alerts of this rule carry")?),
        None => None,
    };
    let mut rule = RuleItem {
        name,
        id,
        triggers: Vec::new(),
        when: None,
        after: None,
        alert: None,
        logs: Vec::new(),
        verdict: None,
        refusal: None,
        block: None,
        hold: None,
        edits: Vec::new(),
        observe: None,
        about: Vec::new(),
        refused: false,
        span: parser.since(start),
    };
    parser.expect(Symbol::BraceOpen, "before the clauses of a rule")?;
    while parser.eat(Symbol::BraceClose).is_none() {
        if parser.at_end() || (parser.at_line_start() && parser.at_word("rule")) {
            return Err(parser.report(
                Diagnostic::error(Code::S2, format!("rule `{}` has no end", rule.name))
                    .primary(rule.span, "its `{` is not closed")
                    .help("close it with `}`"),
            ));
        }
        let begin = parser.peek().span;
        if clause(parser, &mut rule).is_err() {
            rule.refused = true;
            if parser.peek().span == begin {
                parser.advance();
            }
            parser.recover(|p| {
                p.at_line_start() && p.word().is_some_and(|word| word == "rule" || CLAUSES.contains(&word))
            });
        }
    }
    Ok(rule)
}

/// The words that are edits, which somebody may write without `edit`.
const EDITS: [&str; 4] = ["fix", "insert", "delete", "replace"];

/// Parses the number of a rule.
pub(super) fn id(parser: &mut Parser<'_>, what: &str) -> Parsed<(u32, Span)> {
    let place = parser.peek();
    if place.kind != TokenKind::Number {
        return Err(parser.unexpected(what));
    }
    let value = parser.operand()?;
    let number = match value.kind {
        ExpressionKind::Number(number) => u32::try_from(number).ok().filter(|number| *number > 0),
        _ => None,
    };
    match number {
        Some(number) => Ok((number, value.span)),
        None => Err(parser.report(
            Diagnostic::error(Code::S3, "this is no number for a rule")
                .primary(value.span, "")
                .help("the numbers of rules are whole and between 1 and 4,294,967,295"),
        )),
    }
}

/// Parses `mode observe`.
pub(super) fn mode(parser: &mut Parser<'_>) -> Parsed<Span> {
    let start = parser.advance().span;
    if parser.eat_word("observe").is_none() {
        let diagnostic = parser
            .unexpected_here("`observe` after `mode`")
            .help("`mode observe` records the verdicts of rules without carrying them out; without it they are");
        return Err(parser.report_at_token(diagnostic));
    }
    Ok(parser.since(start))
}

/// Reports S7 if there is a clause of this kind already.
pub(super) fn once(parser: &mut Parser<'_>, clause: &str, before: Option<Span>, place: Span) -> Parsed<()> {
    match before {
        None => Ok(()),
        Some(first) => Err(parser.report(
            Diagnostic::error(Code::S7, format!("`{clause}` is written twice"))
                .primary(place, "a second time here")
                .secondary(first, "the first time here"),
        )),
    }
}

fn clause(parser: &mut Parser<'_>, rule: &mut RuleItem) -> Parsed<()> {
    let start = parser.peek().span;
    let word = parser.word().map(str::to_owned);
    match word.as_deref() {
        Some("on") => {
            let before = rule.triggers.first().map(|trigger| trigger.event.span);
            if let Some(hold) = &rule.hold {
                let first = hold.span;
                return Err(parser.report(
                    Diagnostic::error(Code::S7, "a rule that holds has no other event")
                        .primary(start, "")
                        .secondary(first, "it holds here")
                        .help("judge in rules of their own"),
                ));
            }
            once(parser, "on", before, start)?;
            parser.advance();
            triggers(parser, rule)
        }
        Some("hold") => {
            let before = rule.triggers.first().map(|trigger| trigger.event.span);
            if let Some(first) = before.filter(|_| rule.hold.is_none()) {
                return Err(parser.report(
                    Diagnostic::error(Code::S7, "a rule that holds has no other event")
                        .primary(start, "")
                        .secondary(first, "on this one already")
                        .help("`hold EVENT when TEST until EVENT max SIZE` stands where `on` would; judge in rules of their own"),
                ));
            }
            once(parser, "hold", before, start)?;
            parser.advance();
            hold(parser, rule, start)
        }
        Some("when") => {
            let before = rule.when.as_ref().map(|when| when.span);
            if let Some(first) = before {
                return Err(parser.report(
                    Diagnostic::error(Code::S7, "`when` is written twice")
                        .primary(start, "a second time here")
                        .secondary(first, "the first test")
                        .help("join the tests with `and`: `when A and B`"),
                ));
            }
            parser.advance();
            rule.when = Some(parser.expression()?);
            Ok(())
        }
        Some("after") => {
            once(parser, "after", rule.after.as_ref().map(|after| after.span), start)?;
            parser.advance();
            rule.after = Some(threshold(parser, start)?);
            Ok(())
        }
        Some("alert") => {
            once(parser, "alert", rule.alert.as_ref().map(|alert| alert.span), start)?;
            parser.advance();
            rule.alert = Some(alert(parser, start)?);
            Ok(())
        }
        Some("log") => {
            parser.advance();
            rule.logs.push(parser.template("a text in quotes after `log`")?);
            Ok(())
        }
        Some(word @ ("pass" | "drop" | "reset" | "refuse" | "bypass")) => {
            if let Some((_, first)) = rule.verdict {
                return Err(parser.report(
                    Diagnostic::error(Code::S7, "a rule has one verdict, this one has two")
                        .primary(start, "")
                        .secondary(first, "the first one"),
                ));
            }
            let verdict = match word {
                "pass" => VerdictClause::Pass,
                "drop" => VerdictClause::Drop,
                "reset" => VerdictClause::Reset,
                "refuse" => VerdictClause::Refuse,
                _ => VerdictClause::Bypass,
            };
            let place = parser.advance().span;
            if verdict == VerdictClause::Refuse {
                rule.refusal = Some(parser.text("what the client is told, in quotes, after `refuse`")?);
            }
            rule.verdict = Some((verdict, place));
            Ok(())
        }
        Some("block") => {
            once(parser, "block", rule.block.as_ref().map(|block| block.span), start)?;
            parser.advance();
            let key = parser.path("`client.address` or `server.address` after `block`")?;
            parser.expect_word("for", "after what is blocked")?;
            let time = stretch(parser, MAX_BLOCK_TIME)?;
            rule.block = Some(BlockClause { key, time, span: parser.since(start) });
            Ok(())
        }
        Some("edit") => {
            parser.advance();
            let kind = edit(parser)?;
            if rule.edits.len() >= MAX_EDITS {
                let title = format!("a rule can have {MAX_EDITS} edits, this one has more");
                return Err(parser.report(Diagnostic::error(Code::S5, title).primary(start, "one too many")));
            }
            rule.edits.push(EditClause { kind, span: parser.since(start) });
            Ok(())
        }
        Some("mode") => {
            let span = mode(parser)?;
            once(parser, "mode observe", rule.observe, span)?;
            rule.observe = Some(span);
            Ok(())
        }
        Some("about") => {
            parser.advance();
            about(parser, rule)
        }
        word => Err(unknown_clause(parser, word)),
    }
}

fn unknown_clause(parser: &mut Parser<'_>, word: Option<&str>) -> Reported {
    if let Some((word, instead)) = REFUSED.iter().find(|(refused, _)| Some(*refused) == word) {
        let place = parser.advance().span;
        return parser.report(
            Diagnostic::error(Code::S6, format!("`{word}` is not supported yet"))
                .primary(place, "part of the language, and not of this version")
                .help(*instead),
        );
    }
    if let Some(word) = word.filter(|word| EDITS.contains(word)) {
        let diagnostic =
            parser.unexpected_here("a clause of the rule, or `}`").help(format!("write `edit {word} ...`"));
        let reported = parser.report_at_token(diagnostic);
        parser.advance();
        return reported;
    }
    let known = CLAUSES
        .into_iter()
        .filter(|clause| !EDITS.contains(clause))
        .filter(|clause| !REFUSED.iter().any(|(refused, _)| refused == clause));
    let diagnostic = parser
        .unexpected_here("a clause of the rule, or `}`")
        .suggest(word.and_then(|word| suggest(word, known)))
        .help("the clauses are `on` or `hold`, `when`, `after`, `alert`, `log`, `mode observe` and `about`, `edit` and `block`, and one of `pass`, `drop`, `reset`, `refuse` and `bypass`");
    let reported = parser.report_at_token(diagnostic);
    parser.advance();
    reported
}

/// Parses what stands behind `hold`: EVENT [when TEST] until EVENT max SIZE.
fn hold(parser: &mut Parser<'_>, rule: &mut RuleItem, start: Span) -> Parsed<()> {
    const SHAPE: &str = "for example `hold smtp.mail until smtp.mail max 256 KB`";
    let event = parser.path("the name of the event from which on octets are held")?;
    let when = match parser.eat_word("when") {
        Some(_) => Some(parser.expression()?),
        None => None,
    };
    parser.expect_word("until", "before the event that ends the hold")?;
    let until = parser.path("the name of the event that ends the hold")?;
    if !parser.at_word("max") {
        let diagnostic = parser.unexpected_here("`max` and a size: what is held has a bound").help(SHAPE);
        return Err(parser.report_at_token(diagnostic));
    }
    parser.advance();
    let size = parser.operand()?;
    let most = i64::from(MAX_HOLD);
    let max = match size.kind {
        ExpressionKind::Number(number) => u32::try_from(number).ok().filter(|max| (1..=MAX_HOLD).contains(max)),
        _ => None,
    };
    let Some(max) = max else {
        return Err(parser.report(
            Diagnostic::error(Code::S3, "this is no size of a hold")
                .primary(size.span, format!("expected 1 to {most} octets"))
                .note("a gate acknowledges what it holds, so that its sender goes on, and sends it at once when it is judged")
                .help(SHAPE),
        ));
    };
    rule.hold = Some(HoldClause { until, max, span: parser.since(start) });
    rule.triggers.push(Trigger { event, when });
    Ok(())
}

fn triggers(parser: &mut Parser<'_>, rule: &mut RuleItem) -> Parsed<()> {
    loop {
        let event = parser.path("the name of an event such as `smtp.command`")?;
        let when = if parser.at_word("when") && !parser.at_line_start() {
            parser.advance();
            Some(parser.expression()?)
        } else {
            None
        };
        if rule.triggers.len() >= MAX_TRIGGERS {
            let title = format!("a rule can be on {MAX_TRIGGERS} events, this one is on more");
            return Err(parser.report(Diagnostic::error(Code::S5, title).primary(event.span, "one too many")));
        }
        rule.triggers.push(Trigger { event, when });
        if parser.eat(Symbol::Comma).is_none() {
            return Ok(());
        }
    }
}

fn alert(parser: &mut Parser<'_>, start: Span) -> Parsed<AlertClause> {
    let names = Severity::ALL.map(Severity::as_str);
    let word = parser.word().map(str::to_owned);
    let Some(severity) = word.as_deref().and_then(Severity::parse) else {
        let diagnostic = parser
            .unexpected_here("a severity after `alert`")
            .suggest(word.and_then(|word| suggest(&word, names)))
            .help("the severities are low, medium, high and critical");
        return Err(parser.report_at_token(diagnostic));
    };
    parser.advance();
    let text = parser.template("a text in quotes after the severity")?;
    let mut alert = AlertClause { severity, text, at_most: None, span: start };
    if let Some(place) = parser.eat_words("at", "most") {
        alert.at_most = Some(threshold(parser, place)?);
    }
    for word in ["confidence", "method"] {
        if parser.at_word(word) {
            let place = parser.advance().span;
            return Err(parser.report(
                Diagnostic::error(Code::S6, format!("`{word}` is not supported yet"))
                    .primary(place, "")
                    .help(format!("`about {word} \"...\"` puts it with the alert")),
            ));
        }
    }
    Ok(alert)
}

/// Parses `N per KEY in TIME`.
fn threshold(parser: &mut Parser<'_>, start: Span) -> Parsed<Threshold> {
    const SHAPE: &str = "for example `5 per client.address in 10 min`";
    let count = parser.operand()?;
    let number = match count.kind {
        ExpressionKind::Number(number) => u32::try_from(number).ok().filter(|n| (1..=MAX_THRESHOLD).contains(n)),
        _ => None,
    };
    let Some(number) = number else {
        return Err(parser.report(
            Diagnostic::error(Code::S3, "this is no number of times")
                .primary(count.span, format!("expected a whole number from 1 to {MAX_THRESHOLD}"))
                .help(SHAPE),
        ));
    };
    parser.expect_word("per", "after the number of times")?;
    let key = parser.operand()?;
    parser.expect_word("in", "after what is counted by")?;
    let window = stretch(parser, MAX_THRESHOLD_WINDOW)?;
    Ok(Threshold { count: number, key, window, span: parser.since(start) })
}

/// Reads a stretch of time, in nanoseconds.
fn stretch(parser: &mut Parser<'_>, most: u64) -> Parsed<u64> {
    let time = parser.operand()?;
    match time.kind {
        ExpressionKind::Duration(nanoseconds) if (1..=most).contains(&nanoseconds) => Ok(nanoseconds),
        _ => Err(parser.report(
            Diagnostic::error(Code::S3, "this is no stretch of time")
                .primary(time.span, "expected one of at most 7 days")
                .help("stretches of time are written 30 s, 10 min, 1 h, 7 d"),
        )),
    }
}

/// Parses what stands behind `edit`.
fn edit(parser: &mut Parser<'_>) -> Parsed<EditKind> {
    match parser.word() {
        Some("set") => {
            parser.advance();
            let field = parser.path("the field that is set")?;
            parser.expect(Symbol::Equal, "after the field")?;
            Ok(EditKind::Set(field, parser.expression()?))
        }
        Some("delete") => {
            parser.advance();
            let list = parser.path("the list whose elements are deleted")?;
            parser.expect_word("where", "after the list")?;
            Ok(EditKind::Delete(list, parser.expression()?))
        }
        Some("replace") => {
            parser.advance();
            if parser.peek().kind != TokenKind::Regex {
                return Err(parser.unexpected("a regular expression such as /[a-z]+/ after `replace`"));
            }
            let pattern = parser.operand()?;
            parser.expect_word("with", "after what is replaced")?;
            let with = parser.text("what comes in its place, in quotes, after `with`")?;
            parser.expect_word("in", "before the field")?;
            Ok(EditKind::Replace { pattern, with, field: parser.path("the field after `in`")? })
        }
        Some("insert") => {
            parser.advance();
            let text = parser.template("the text that is put in, in quotes, after `insert`")?;
            Ok(EditKind::Insert { text, spot: spot(parser)? })
        }
        Some("fix") => {
            parser.advance();
            Ok(EditKind::Fix)
        }
        _ => {
            let diagnostic = parser.unexpected_here("what is to be done after `edit`").help(
                "`edit set FIELD = ...`, `edit delete LIST where TEST`, `edit replace /re/ with \"...\" in FIELD`, `edit insert \"...\" before FIELD`, and on an anomaly `edit fix`",
            );
            Err(parser.report_at_token(diagnostic))
        }
    }
}

/// Parses where a text is put in.
fn spot(parser: &mut Parser<'_>) -> Parsed<InsertSpot> {
    if let Some(span) = parser.eat_words("at", "start") {
        return Ok(InsertSpot::Edge { before: true, span });
    }
    if let Some(span) = parser.eat_words("at", "end") {
        return Ok(InsertSpot::Edge { before: false, span });
    }
    let before = match parser.word() {
        Some("before") => true,
        Some("after") => false,
        _ => {
            let diagnostic = parser
                .unexpected_here("where the text is put in")
                .help("`before FIELD`, `after FIELD`, `after LIST where TEST`, `at start`, `at end`");
            return Err(parser.report_at_token(diagnostic));
        }
    };
    parser.advance();
    let path = parser.path("a field or a list")?;
    let test = match parser.eat_word("where") {
        Some(_) => Some(parser.expression()?),
        None => None,
    };
    Ok(InsertSpot::Beside { before, path, test })
}

/// Parses `about attack T1566 url "..."`.
fn about(parser: &mut Parser<'_>, rule: &mut RuleItem) -> Parsed<()> {
    loop {
        let key = parser.name("what it is about, such as `attack` or `url`")?;
        if rule.about.len() >= MAX_ABOUT {
            let title = format!("a rule can have {MAX_ABOUT} things to say about it, this one has more");
            return Err(parser.report(Diagnostic::error(Code::S5, title).primary(key.span, "one too many")));
        }
        let value = about_value(parser, &key)?;
        if let Some((first, _)) = rule.about.iter().find(|(known, text)| *known == key && *text == value) {
            let first = first.span;
            return Err(parser.report(
                Diagnostic::error(Code::S7, format!("this `{key}` is written twice"))
                    .primary(key.span, "")
                    .secondary(first, "the first time here"),
            ));
        }
        rule.about.push((key, value));
        parser.eat(Symbol::Comma);
        let more = parser.word().is_some_and(|word| !CLAUSES.contains(&word));
        let next = parser.second();
        let value_follows = match next.kind {
            TokenKind::Text | TokenKind::Raw => true,
            TokenKind::Word => is_keyword(parser.slice(next.span)),
            _ => false,
        };
        if !more || !value_follows {
            return Ok(());
        }
    }
}

fn about_value(parser: &mut Parser<'_>, key: &Name) -> Parsed<Text> {
    let token = parser.peek();
    if token.kind != TokenKind::Word {
        let example = if key.text == "attack" { "T1566".to_owned() } else { format!("{key} \"...\"") };
        return parser.text(&format!("a text in quotes or an upper-case word after `{key}`, such as {example}"));
    }
    if !is_keyword(parser.slice(token.span)) {
        let diagnostic = parser
            .unexpected_here(&format!("a value after `{key}`"))
            .help(format!("in quotes, or an upper-case word: `about {key} \"...\"`, `about attack T1566`"));
        return Err(parser.report_at_token(diagnostic));
    }
    parser.advance();
    let mut span = token.span;
    // T1566.001: a technique and its part.
    if parser.at(Symbol::Dot) {
        parser.advance();
        let part = parser.advance();
        span = span.to(part.span);
    }
    Ok(Text { bytes: parser.slice(span).as_bytes().to_vec(), span })
}
