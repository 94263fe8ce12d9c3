//! The machine: states, expectations, rules, actions.

use portcullis_lang::{Code, Diagnostic, Direction, Parsed, Parser, Symbol, TokenKind};

use super::super::tree::{
    Action, ActionKind, AnyState, Expectation, ExpectedBranch, ExpectedGrammar, ExpectedRecord, ItemKind, Join,
    Machine, MatchBy, Matching, Rule, RuleEvent, SpanOf, State, Target, TargetKind,
};
use super::{block, choice, comma_separated, duplicate, duplicate_names, field, item, types, unknown_word};

// An entry of `machine { ... }`, before they are sorted.
enum Entry {
    Start(portcullis_lang::Name),
    Join(Vec<Join>),
    State(State),
    AnyState(AnyState),
}

pub(super) fn machine(p: &mut Parser<'_>) -> Parsed<ItemKind> {
    p.advance();
    let begins = |p: &mut Parser<'_>| matches!(p.word(), Some("state" | "any" | "start" | "join"));
    let (entries, _) = block(p, "`machine`", begins, entry)?;
    let mut machine = Machine { start: None, joins: Vec::new(), states: Vec::new(), any_state: None };
    for entry in entries {
        match entry {
            Entry::Start(state) => match &machine.start {
                Some(first) => duplicate(p, "`start`", first.span, state.span, "a machine starts in one state"),
                None => machine.start = Some(state),
            },
            Entry::Join(joins) => machine.joins.extend(joins),
            Entry::State(state) => machine.states.push(state),
            Entry::AnyState(any) => match &mut machine.any_state {
                Some(first) => {
                    duplicate(p, "`any state`", first.span, any.span, "put their rules together");
                    first.rules.extend(any.rules);
                }
                none => *none = Some(any),
            },
        }
    }
    duplicate_names(p, machine.states.iter().map(|state| &state.name), "the state", "put both parts together");
    Ok(ItemKind::Machine(machine))
}

fn entry(p: &mut Parser<'_>) -> Parsed<Entry> {
    match p.word() {
        Some("start") => {
            p.advance();
            p.name("the state in which a flow begins").map(Entry::Start)
        }
        Some("join") => joins(p).map(Entry::Join),
        Some("state") => state(p).map(Entry::State),
        Some("any") => {
            let start = p.advance().span;
            p.expect_word("state", "after `any`")?;
            let (parts, _) = block(p, "`any state`", part_begins, part)?;
            let mut rules = Vec::new();
            for part in parts {
                match part {
                    Part::Rule(rule) => rules.push(rule),
                    Part::Expectation(expectation) => {
                        p.report(
                            Diagnostic::error(Code::S1, "`any state` holds rules only")
                                .primary(expectation.span, "what a side may say depends on the state")
                                .help("write it in each state in which it is expected"),
                        );
                    }
                }
            }
            Ok(Entry::AnyState(AnyState { rules, span: p.since(start) }))
        }
        _ => Err(unknown_word(p, "part of a machine", &["start", "join", "state", "any state"])),
    }
}

// join command on command, response on reply: a comma before a name and `on` goes on with the next state.
fn joins(p: &mut Parser<'_>) -> Parsed<Vec<Join>> {
    p.advance();
    let mut joins = Vec::new();
    loop {
        let state = p.name("the state that may be entered in the middle of a flow")?;
        p.expect_word("on", "and the record that opens the state")?;
        let mut records = vec![p.path("the record that opens it")?];
        let mut next = false;
        while p.eat(Symbol::Comma).is_some() {
            next = p.peek().kind == TokenKind::Word && {
                let second = p.second();
                p.slice(second.span) == "on"
            };
            if next {
                break;
            }
            records.push(p.path("the record that opens it")?);
        }
        let last = p.previous();
        let end = records.last().map_or(last, |record| record.span);
        let span = SpanOf(state.span.to(end));
        joins.push(Join { state, records, span });
        if !next {
            return Ok(joins);
        }
    }
}

enum Part {
    Expectation(Expectation),
    Rule(Rule),
}

fn part_begins(p: &mut Parser<'_>) -> bool {
    matches!(p.word(), Some("up" | "down" | "on"))
}

fn state(p: &mut Parser<'_>) -> Parsed<State> {
    let start = p.advance().span;
    let name = p.name("the name of the state")?;
    let (parts, _) = block(p, &format!("state `{name}`"), part_begins, part)?;
    let mut state = State { name, expectations: Vec::new(), rules: Vec::new(), span: p.since(start) };
    for part in parts {
        match part {
            Part::Expectation(expectation) => state.expectations.push(expectation),
            Part::Rule(rule) => state.rules.push(rule),
        }
    }
    for direction in Direction::BOTH {
        let mut spans = state.expectations.iter().filter(|one| one.direction == direction).map(|one| one.span);
        let Some(first) = spans.next() else { continue };
        for again in spans {
            let help = "what one side may say is one grammar; if there are several, `choose` says which";
            duplicate(p, &format!("`{direction}`"), first, again, help);
        }
    }
    Ok(state)
}

fn part(p: &mut Parser<'_>) -> Parsed<Part> {
    match p.word() {
        Some("up") => expectation(p, Direction::Up).map(Part::Expectation),
        Some("down") => expectation(p, Direction::Down).map(Part::Expectation),
        Some("on") => rule(p).map(Part::Rule),
        _ => Err(unknown_word(p, "part of a state", &["up", "down", "on"])),
    }
}

fn expectation(p: &mut Parser<'_>, direction: Direction) -> Parsed<Expectation> {
    let start = p.advance().span;
    let grammar = match p.word() {
        Some("waits") => {
            p.advance();
            let max = if p.at_word("max") { Some(types::maximum(p)?) } else { None };
            ExpectedGrammar::Waits { max }
        }
        Some("choose") => {
            p.advance();
            let subject = if p.at(Symbol::BraceOpen) { None } else { Some(p.sum()?) };
            let (branches, _) = block(p, "this choice", choice::begins, |p| {
                let start = p.peek().span;
                let patterns = choice::patterns(p)?;
                let sequence = sequence(p)?;
                Ok(ExpectedBranch { patterns, sequence, span: p.since(start) })
            })?;
            ExpectedGrammar::Choose { subject, branches }
        }
        _ => ExpectedGrammar::Sequence(sequence(p)?),
    };
    let matching = if p.at_word("matches") { Some(matching(p)?) } else { None };
    Ok(Expectation { direction, grammar, matching, span: p.since(start) })
}

// request then request_body
fn sequence(p: &mut Parser<'_>) -> Parsed<Vec<ExpectedRecord>> {
    let mut sequence = Vec::new();
    loop {
        if ["up", "down", "on"].into_iter().any(|word| p.at_word(word)) {
            return Err(p.unexpected("a record or a stream"));
        }
        let record = p.path("a record or a stream")?;
        let event = match p.eat_word("as") {
            Some(_) => Some(p.name("the name of the event")?),
            None => None,
        };
        sequence.push(ExpectedRecord { record, event });
        if p.eat_word("then").is_none() {
            return Ok(sequence);
        }
    }
}

// matches request in order, except status in 100..199 max 100
fn matching(p: &mut Parser<'_>) -> Parsed<Matching> {
    let start = p.advance().span;
    let question = p.path("the question that is answered")?;
    let by = if p.eat_words("in", "order").is_some() {
        MatchBy::Order
    } else if p.eat_word("by").is_some() {
        MatchBy::Field(p.path("the field that both have")?)
    } else {
        return Err(p.unexpected("`in order` or `by FIELD` after the question"));
    };
    let mut found = Matching { question, by, except: None, max: None, lifetime: None, span: SpanOf(start) };
    loop {
        if p.at(Symbol::Comma) || p.at_word("except") {
            p.eat(Symbol::Comma);
            p.expect_word("except", "after the comma")?;
            found.except = Some(p.test()?);
        } else if p.at_word("max") {
            found.max = Some(types::maximum(p)?);
        } else if p.eat_word("for").is_some() {
            found.lifetime = Some(p.operand()?);
        } else {
            found.span = SpanOf(p.since(start));
            return Ok(found);
        }
    }
}

fn rule(p: &mut Parser<'_>) -> Parsed<Rule> {
    let start = p.advance().span;
    let events = comma_separated(p, |p| {
        let name = p.path("an event")?;
        let timed = name.single().is_some_and(|name| name.text == "timeout");
        let duration = if timed && p.peek().kind == TokenKind::Number { Some(p.operand()?) } else { None };
        Ok(RuleEvent { name, duration })
    })?;
    let mut rule = Rule { events, when: None, actions: Vec::new(), resync: Vec::new(), target: None, span: start };
    if p.eat_word("when").is_some() {
        rule.when = Some(p.test()?);
    }
    if p.at_words("resync", "at") {
        p.advance();
        p.advance();
        rule.resync = comma_separated(p, |p| p.path("the record at which to take up again"))?;
    }
    if p.at(Symbol::BraceOpen) {
        let begins = |p: &mut Parser<'_>| p.word().is_some();
        rule.actions = block(p, "this rule", begins, action)?.0;
    }
    if p.eat(Symbol::Arrow).is_some() {
        rule.target = Some(target(p)?);
    } else if p.at(Symbol::FatArrow) {
        let diagnostic = p.unexpected_here("`->` before a state").help("`=>` leads to a branch, `->` to a state");
        return Err(p.report_at_token(diagnostic));
    }
    rule.span = p.since(start);
    Ok(rule)
}

fn target(p: &mut Parser<'_>) -> Parsed<Target> {
    let start = p.peek().span;
    let kind = match p.word() {
        Some("fail") => {
            p.advance();
            let quoted = matches!(p.peek().kind, TokenKind::Text | TokenKind::Raw);
            TargetKind::Fail(if quoted { Some(p.template("why")?) } else { None })
        }
        Some("finish") => {
            p.advance();
            let comma = p.at(Symbol::Comma);
            let then = if comma || p.at_word("then") {
                p.eat(Symbol::Comma);
                p.expect_word("then", "and a protocol after the comma")?;
                Some(p.operand()?)
            } else {
                None
            };
            TargetKind::Finish { then }
        }
        _ => TargetKind::State(p.name("a state, `fail \"why\"` or `finish` after `->`")?),
    };
    Ok(Target { kind, span: p.since(start) })
}

const ACTIONS: &[&str] = &["abort", "anomaly", "close", "expect", "must", "should"];

fn action(p: &mut Parser<'_>) -> Parsed<Action> {
    let start = p.peek().span;
    let assigns = p.word().is_some() && p.second().kind == TokenKind::Symbol(Symbol::Equal);
    let kind = match p.word() {
        Some(_) if assigns => {
            let name = p.name("a variable of the flow")?;
            p.advance();
            ActionKind::Set(name, p.expression()?)
        }
        Some("anomaly") => {
            p.advance();
            ActionKind::Anomaly(p.name("the name of the anomaly")?)
        }
        Some("close") => {
            p.advance();
            ActionKind::Close(p.path("the channel that has come to its end")?)
        }
        Some("abort") => {
            p.advance();
            ActionKind::Abort(p.path("the channel that is given up")?)
        }
        Some("must" | "should") => ActionKind::Check(field::check(p)?),
        Some("expect") => expect(p)?,
        Some(word @ ("alert" | "drop" | "reject" | "refuse" | "reset" | "log" | "pass")) => {
            return Err(p.report(
                Diagnostic::error(Code::S4, format!("a grammar cannot `{word}`"))
                    .primary(start, "")
                    .note("a grammar says what the protocol is; what is done about it is said by a policy.")
                    .help("raise an event here, `anomaly NAME` or `-> fail \"why\"`, and judge it in a policy"),
            ));
        }
        _ => return Err(unknown_word(p, "action of a rule", ACTIONS)),
    };
    Ok(Action { kind, span: p.since(start) })
}

// expect tcp to address:port as ftp_data for 60 s
fn expect(p: &mut Parser<'_>) -> Parsed<ActionKind> {
    p.advance();
    let transport = item::transport_kind(p)?;
    p.expect_word("to", "and an address after the transport")?;
    let mut address = p.operand()?;
    let port = match p.eat(Symbol::Colon) {
        Some(_) => Some(p.operand()?),
        None => None,
    };
    p.expect_word("as", "and the protocol that is expected there")?;
    let mut protocol = p.path("the protocol that is expected there")?;
    // Of two `as`, the first converts: `to lines.last.text as host_port as ftp_data`.
    if p.eat_word("as").is_some() {
        if let Some(conversion) = protocol.single().cloned() {
            let span = address.span.to(conversion.span);
            let value = Box::new(address);
            let kind = portcullis_lang::ExpressionKind::As { value, conversion, default: None };
            address = portcullis_lang::Expression { kind, span };
        }
        protocol = p.path("the protocol that is expected there")?;
    }
    let lifetime = match p.eat_word("for") {
        Some(_) => Some(p.operand()?),
        None => None,
    };
    Ok(ActionKind::Expect { transport, address, port, protocol, lifetime })
}
