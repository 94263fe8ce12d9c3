//! The sections of a grammar file.

use portcullis_lang::{Code, Diagnostic, Name, Parsed, Parser, Span, Symbol, TokenKind};

use super::super::tree::{
    AnomalyDeclaration, AnomalySeverity, Definition, DefinitionKind, Enumeration, EnumerationMember, FlowEntry,
    FlowEntryKind, Item, ItemKind, LineEnding, LineEndingKind, PipeDefinition, Protocol, RefuseItem, SpanOf, Stream,
    Transport, TransportKind,
};
use super::{SECTIONS, choice, types};
use super::{block, comma_separated, duplicate_names, example, field, loose_block, machine, unknown_word};

pub(super) fn item(p: &mut Parser<'_>) -> Parsed<Item> {
    let start = p.peek().span;
    if p.at(Symbol::BraceClose) {
        return Err(
            p.report(Diagnostic::error(Code::S1, "this `}` closes nothing").primary(start, "no block is open here"))
        );
    }
    let kind = match p.word() {
        Some("protocol") => protocol(p)?,
        Some("use") => {
            p.advance();
            ItemKind::Use(comma_separated(p, |p| p.name("the name of a protocol"))?)
        }
        Some("keywords") => {
            p.advance();
            let ignore = p.at_word("ignore");
            if !ignore && !p.at_word("match") {
                return Err(p.unexpected("`ignore case` or `match case` after `keywords`"));
            }
            p.advance();
            p.expect_word("case", "after `keywords ignore`")?;
            ItemKind::KeywordsIgnoreCase(ignore)
        }
        Some("refuse") => refuse(p)?,
        Some("newline") => newline(p)?,
        Some("anomaly") => anomaly(p)?,
        Some("enum") => enumeration(p)?,
        Some("group") => definition(p, DefinitionKind::Group)?,
        Some("line") => definition(p, DefinitionKind::Line)?,
        Some("record") => definition(p, DefinitionKind::Record)?,
        Some("value") => definition(p, DefinitionKind::Value)?,
        Some("stream") => stream(p)?,
        Some("pipe") => pipe(p)?,
        Some("flow") => flow(p)?,
        Some("machine") => machine::machine(p)?,
        Some("example") => example::example(p)?,
        _ => return Err(unknown_word(p, "section of a grammar", SECTIONS)),
    };
    Ok(Item { kind, span: p.since(start) })
}

fn refuse(p: &mut Parser<'_>) -> Parsed<ItemKind> {
    p.advance();
    p.expect_word("with", "after `refuse`")?;
    let record = p.name("the record with which the server says no")?;
    let least = p.operand()?;
    p.expect(Symbol::DotDot, "between the least and the greatest code, as in `400..599`")?;
    let most = p.operand()?;
    Ok(ItemKind::Refuse(RefuseItem { record, least, most }))
}

fn protocol(p: &mut Parser<'_>) -> Parsed<ItemKind> {
    p.advance();
    let name = p.name("the name of the protocol")?;
    let mut transports = Vec::new();
    if p.eat_word("over").is_some() {
        loop {
            transports.push(transport(p)?);
            if p.eat(Symbol::Comma).is_none() {
                break;
            }
        }
    }
    Ok(ItemKind::Protocol(Protocol { name, transports }))
}

pub(super) fn transport_kind(p: &mut Parser<'_>) -> Parsed<TransportKind> {
    if p.eat_word("tcp").is_some() {
        Ok(TransportKind::Tcp)
    } else if p.eat_word("udp").is_some() {
        Ok(TransportKind::Udp)
    } else {
        Err(p.unexpected("`tcp` or `udp`"))
    }
}

// tcp port 25, 587 framed by u16: a comma before a number goes on with the ports, one before a word with the next transport.
fn transport(p: &mut Parser<'_>) -> Parsed<Transport> {
    let kind = transport_kind(p)?;
    p.expect_word("port", "before its number")?;
    let mut ports = vec![port(p)?];
    while p.at(Symbol::Comma) && p.second().kind == TokenKind::Number {
        p.advance();
        ports.push(port(p)?);
    }
    let framed_by = match p.eat_words("framed", "by") {
        Some(_) => Some(p.name("the type of the length, such as `u16`")?),
        None => None,
    };
    Ok(Transport { kind, ports, framed_by })
}

fn port(p: &mut Parser<'_>) -> Parsed<(u16, SpanOf)> {
    let token = p.peek();
    if token.kind != TokenKind::Number {
        return Err(p.unexpected("the number of a port"));
    }
    p.advance();
    match p.slice(token.span).parse::<u16>() {
        Ok(number) if number > 0 => Ok((number, SpanOf(token.span))),
        _ => Err(p.report(
            Diagnostic::error(Code::S3, format!("{} is no port", p.slice(token.span)))
                .primary(token.span, "")
                .help("ports go from 1 to 65535"),
        )),
    }
}

// CRLF, and LF as anomaly bare_lf
fn newline(p: &mut Parser<'_>) -> Parsed<ItemKind> {
    p.advance();
    let mut endings = Vec::new();
    loop {
        let start = p.peek().span;
        let kind = match p.word() {
            Some("CRLF") => LineEndingKind::CrLf,
            Some("LF") => LineEndingKind::Lf,
            Some("CR") => LineEndingKind::Cr,
            Some("NUL") => LineEndingKind::Nul,
            _ => return Err(p.unexpected("`CRLF`, `LF`, `CR` or `NUL`")),
        };
        p.advance();
        let anomaly = match p.eat_word("as") {
            Some(_) => Some(anomaly_name(p)?),
            None => None,
        };
        endings.push(LineEnding { kind, anomaly, span: SpanOf(p.since(start)) });
        let comma = p.eat(Symbol::Comma).is_some();
        let word = p.eat_word("and").is_some() || p.eat_word("or").is_some();
        if !comma && !word {
            return Ok(ItemKind::Newline(endings));
        }
    }
}

/// `[anomaly] NAME`, behind an `as`.
pub(super) fn anomaly_name(p: &mut Parser<'_>) -> Parsed<Name> {
    p.eat_word("anomaly");
    p.name("the name of the anomaly")
}

fn anomaly(p: &mut Parser<'_>) -> Parsed<ItemKind> {
    p.advance();
    let name = p.name("the name of the anomaly")?;
    let severity = match p.eat_word("severity") {
        Some(_) => {
            let severity = match p.word() {
                Some("low") => AnomalySeverity::Low,
                Some("medium") => AnomalySeverity::Medium,
                Some("high") => AnomalySeverity::High,
                Some("critical") => AnomalySeverity::Critical,
                _ => return Err(unknown_word(p, "severity", &["low", "medium", "high", "critical"])),
            };
            p.advance();
            Some(severity)
        }
        None => None,
    };
    let text = p.text("one sentence about the anomaly, in quotes")?;
    Ok(ItemKind::Anomaly(AnomalyDeclaration { name, severity, text }))
}

fn enumeration(p: &mut Parser<'_>) -> Parsed<ItemKind> {
    p.advance();
    let name = p.name("the name of the enumeration")?;
    let representation = p.name("the type of its numbers, such as `u8`")?;
    let begins = |p: &mut Parser<'_>| p.word().is_some();
    let (members, _) = loose_block(p, &format!("`{name}`"), begins, |p| {
        let name = p.name("the name of a number")?;
        p.expect(Symbol::Equal, "between a name and its number")?;
        let token = p.peek();
        let value = match p.operand()?.kind {
            portcullis_lang::ExpressionKind::Number(value) => value,
            _ => {
                let found = p.describe(token);
                let title = format!("expected the number of `{name}`, found {found}");
                return Err(p.report(Diagnostic::error(Code::S1, title).primary(token.span, "")));
            }
        };
        Ok(EnumerationMember { name, value })
    })?;
    let names = members.iter().map(|member| &member.name);
    duplicate_names(p, names, "the name", "a name stands for one number");
    Ok(ItemKind::Enumeration(Enumeration { name, representation, members }))
}

fn definition(p: &mut Parser<'_>, kind: DefinitionKind) -> Parsed<ItemKind> {
    p.advance();
    let name = p.name(&format!("the name of the {}", kind.as_str()))?;
    let mut maxima = Vec::new();
    let mut folded = None;
    loop {
        if p.at_word("max") {
            maxima.push(types::maximum(p)?);
            p.eat(Symbol::Comma);
        } else if let Some(span) = p.eat_word("folded") {
            folded = Some(SpanOf(span));
        } else {
            break;
        }
    }
    let (fields, _) = field::fields(p, &format!("`{name}`"))?;
    let result = match p.eat(Symbol::Equal) {
        Some(equal) if kind != DefinitionKind::Value => {
            return Err(p.report(
                Diagnostic::error(Code::S1, format!("a {} has no result", kind.as_str()))
                    .primary(equal, "")
                    .help("`value NAME { ... } = EXPRESSION` makes one value of several fields"),
            ));
        }
        Some(_) => Some(p.expression()?),
        None => None,
    };
    Ok(ItemKind::Definition(Definition { kind, name, maxima, folded, fields, result }))
}

fn stream(p: &mut Parser<'_>) -> Parsed<ItemKind> {
    p.advance();
    let name = p.name("the name of the stream")?;
    let mut maxima = Vec::new();
    while p.at_word("max") {
        maxima.push(types::maximum(p)?);
        p.eat(Symbol::Comma);
    }
    let (fields, _) = field::fields(p, &format!("`{name}`"))?;
    Ok(ItemKind::Stream(Stream { name, maxima, fields }))
}

fn pipe(p: &mut Parser<'_>) -> Parsed<ItemKind> {
    p.advance();
    let name = p.name("the name of the pipe")?;
    let open = p.expect(Symbol::BraceOpen, "before the stages of a pipe")?;
    p.begin_entry(portcullis_lang::Separation::Line);
    p.eat(Symbol::Bar);
    let stages = choice::stages(p)?;
    close(p, open, &format!("`{name}`"))?;
    Ok(ItemKind::Pipe(PipeDefinition { name, stages }))
}

/// The `}` of something that holds one thing.
fn close(p: &mut Parser<'_>, open: Span, of: &str) -> Parsed<Span> {
    if let Some(span) = p.eat(Symbol::BraceClose) {
        return Ok(span);
    }
    let diagnostic = p.unexpected_here(&format!("`}}` at the end of {of}")).secondary(open, "opened here");
    Err(p.report_at_token(diagnostic))
}

fn flow(p: &mut Parser<'_>) -> Parsed<ItemKind> {
    p.advance();
    let begins = |p: &mut Parser<'_>| p.second().kind == TokenKind::Symbol(Symbol::Colon);
    let (entries, _) = block(p, "`flow`", begins, flow_entry)?;
    duplicate_names(p, entries.iter().map(|entry| &entry.name), "the name", "each thing a flow keeps has its own name");
    Ok(ItemKind::Flow(entries))
}

fn flow_entry(p: &mut Parser<'_>) -> Parsed<FlowEntry> {
    let start = p.peek().span;
    let name = p.name("the name of something that the flow keeps")?;
    p.expect(Symbol::Colon, "behind the name")?;
    let kind = if p.eat_word("last").is_some() {
        let record = p.path("the record of which the last is kept")?;
        let keeping = match p.eat_clause("keeping") {
            Some(_) => comma_separated(p, |p| p.path("a field that is kept"))?,
            None => Vec::new(),
        };
        FlowEntryKind::Last { record, keeping }
    } else if p.eat_word("channel").is_some() {
        let target = match p.eat_clause("to") {
            Some(_) => Some(p.path("who reads the channel, such as `mime.message`")?),
            None => None,
        };
        let per_direction = p.at(Symbol::Comma);
        if per_direction {
            p.advance();
            for word in ["one", "per", "direction"] {
                p.expect_word(word, "of `one per direction`")?;
            }
        }
        FlowEntryKind::Channel { target, per_direction }
    } else {
        let kind = p.name("`last RECORD keeping ...`, `channel` or an integer type")?;
        let initial = match p.eat(Symbol::Equal) {
            Some(_) => Some(p.expression()?),
            None => None,
        };
        FlowEntryKind::Variable { kind, initial }
    };
    Ok(FlowEntry { name, kind, span: SpanOf(p.since(start)) })
}
