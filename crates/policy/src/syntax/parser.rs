//! The top level of a policy file: what is used, lists, networks, policies and tests.

use portcullis_lang::{
    Code, Diagnostic, Diagnostics, Expression, ExpressionKind, Parsed, Parser, SourceId, Symbol, TokenKind,
};

use super::tests_of_policies::test_item;
use super::tree::{Item, ListItem, ListSource, NetworkEntry, NetworkItem, PolicyFile, PolicyItem};
use super::{RuleItem, clauses};
use crate::limits::{MAX_LIST_ENTRIES, MAX_NETWORKS, MAX_RULES};

/// The words that begin a declaration.
const DECLARATIONS: [&str; 5] = ["use", "list", "network", "policy", "test"];

/// What policies can be for once they judge packets, and cannot be for now.
const LAYERS: [&str; 6] = ["ip", "tcp", "udp", "icmp", "flow", "packet"];

/// Parses a policy file.
///
/// All independent errors are reported; the tree has what could be understood.
///
/// ```
/// # use portcullis_lang::{Diagnostics, Sources};
/// # let mut sources = Sources::new();
/// let source = sources.add("a.policy", "policy p for smtp { rule r id 1 { on smtp.command drop } }");
/// let mut diagnostics = Diagnostics::new();
/// let file = portcullis_policy::syntax::parse(source, sources.text(source), &mut diagnostics);
/// assert!(diagnostics.is_empty());
/// assert_eq!(file.items.len(), 1);
/// ```
pub fn parse(source: SourceId, text: &str, diagnostics: &mut Diagnostics) -> PolicyFile {
    let mut parser = Parser::new(source, text);
    let mut file = PolicyFile::default();
    let mut rules = 0;
    while !parser.at_end() {
        match item(&mut parser, &mut rules) {
            Ok(Some(item)) => file.items.push(item),
            Ok(None) => {}
            Err(_) => loop {
                parser.recover(|p| p.at_line_start() && p.word().is_some_and(|word| DECLARATIONS.contains(&word)));
                // A brace too many closes nothing.
                if parser.eat(Symbol::BraceClose).is_none() {
                    break;
                }
            },
        }
    }
    diagnostics.extend(parser.finish().diagnostics);
    file
}

fn item(parser: &mut Parser<'_>, rules: &mut usize) -> Parsed<Option<Item>> {
    match parser.word() {
        Some("use") => {
            parser.advance();
            let mut names = vec![parser.name("the name of a protocol after `use`")?];
            while parser.eat(Symbol::Comma).is_some() {
                names.push(parser.name("the name of a protocol after the comma")?);
            }
            Ok(Some(Item::Use(names)))
        }
        Some("list") => list(parser).map(|list| Some(Item::List(list))),
        Some("network") => network(parser).map(|network| Some(Item::Network(network))),
        Some("policy") => policy(parser, rules).map(|policy| policy.map(Item::Policy)),
        Some("test") => test_item(parser).map(|test| Some(Item::Test(test))),
        Some("table") => {
            let place = parser.advance().span;
            Err(parser.report(
                Diagnostic::error(Code::S6, "`table` is not supported yet")
                    .primary(place, "policies of this version share no tables between flows")
                    .help("`after N per KEY in TIME` counts without one"),
            ))
        }
        Some("rule") => {
            let diagnostic = parser
                .unexpected_here("a declaration")
                .help("rules stand inside of `policy NAME for PROTOCOL { ... }`");
            parser.report_at_token(diagnostic);
            parser.advance();
            Err(portcullis_lang::Reported)
        }
        word => {
            let word = word.map(str::to_owned);
            let diagnostic = parser
                .unexpected_here("a declaration")
                .suggest(word.and_then(|word| portcullis_lang::suggest(&word, DECLARATIONS)))
                .help("a policy file has `use`, `list`, `network`, `policy` and `test`");
            parser.report_at_token(diagnostic);
            parser.advance();
            Err(portcullis_lang::Reported)
        }
    }
}

fn list(parser: &mut Parser<'_>) -> Parsed<ListItem> {
    let start = parser.advance().span;
    let name = parser.name("the name of the list")?;
    let source = if parser.eat_word("from").is_some() {
        ListSource::File(parser.text("the path of a file in quotes after `from`")?)
    } else if parser.eat(Symbol::Equal).is_some() {
        let open = parser.expect(Symbol::BracketOpen, "before the entries of a list")?;
        let mut entries = Vec::new();
        while parser.eat(Symbol::BracketClose).is_none() {
            if entries.len() >= MAX_LIST_ENTRIES {
                return Err(parser.report(
                    Diagnostic::error(Code::S5, format!("this list has more than {MAX_LIST_ENTRIES} entries"))
                        .primary(parser.previous(), "up to here it is long enough")
                        .secondary(open, "the list begins here"),
                ));
            }
            entries.push(parser.text("an entry of the list in quotes")?);
            if parser.eat(Symbol::Comma).is_none() {
                parser.expect(Symbol::BracketClose, "or `,` after an entry of a list")?;
                break;
            }
        }
        ListSource::Entries(entries)
    } else {
        let diagnostic = parser
            .unexpected_here("`from \"FILE\"` or `= [...]` after the name of a list")
            .help(format!("`list {name} from \"lists/{name}.txt\"`, or `list {name} = [\"one\", \"two\"]`"));
        return Err(parser.report_at_token(diagnostic));
    };
    Ok(ListItem { name, source, span: parser.since(start) })
}

fn network(parser: &mut Parser<'_>) -> Parsed<NetworkItem> {
    let start = parser.advance().span;
    let name = parser.name("the name of the networks")?;
    parser.expect(Symbol::Equal, "after the name of the networks")?;
    let open = parser.expect(Symbol::BracketOpen, "before the networks")?;
    let mut networks = Vec::new();
    while parser.eat(Symbol::BracketClose).is_none() {
        if networks.len() >= MAX_NETWORKS {
            return Err(parser.report(
                Diagnostic::error(Code::S5, format!("there are more than {MAX_NETWORKS} networks under this name"))
                    .primary(parser.previous(), "up to here there are enough")
                    .secondary(open, "they begin here"),
            ));
        }
        networks.push(network_entry(parser)?);
        if parser.eat(Symbol::Comma).is_none() {
            parser.expect(Symbol::BracketClose, "or `,` after a network")?;
            break;
        }
    }
    Ok(NetworkItem { name, networks, span: parser.since(start) })
}

fn network_entry(parser: &mut Parser<'_>) -> Parsed<NetworkEntry> {
    if parser.peek().kind != TokenKind::Address {
        let diagnostic =
            parser.unexpected_here("a network or an address").help("networks are written 10.0.0.0/8 and fd00::/8");
        return Err(parser.report_at_token(diagnostic));
    }
    let Expression { kind, span } = parser.operand()?;
    match kind {
        ExpressionKind::Network(address, prefix) => Ok(NetworkEntry { address, prefix, span }),
        ExpressionKind::Address(address) => {
            Ok(NetworkEntry { address, prefix: if address.is_ipv4() { 32 } else { 128 }, span })
        }
        _ => Err(parser.unexpected("a network or an address")),
    }
}

/// Nothing if the whole policy is of a kind that is refused.
fn policy(parser: &mut Parser<'_>, rules: &mut usize) -> Parsed<Option<PolicyItem>> {
    let start = parser.advance().span;
    let name = parser.name("the name of the policy")?;
    if parser.at(Symbol::BraceOpen) {
        let diagnostic = parser
            .unexpected_here("`for PROTOCOL` after the name of a policy")
            .help(format!("`policy {name} for smtp {{`"));
        return Err(parser.report_at_token(diagnostic));
    }
    parser.expect_word("for", "after the name of a policy")?;
    let protocol = parser.name("the name of a protocol after `for`")?;
    let refused = LAYERS.contains(&protocol.text.as_str());
    if refused {
        parser.report(
            Diagnostic::error(Code::S6, format!("policies for `{protocol}` are not supported yet"))
                .primary(protocol.span, "policies of this version judge the events of protocols")
                .help("`policy NAME for smtp when client.address in NETWORK { ... }` looks at addresses and ports too"),
        );
    }
    let when = if parser.eat_word("when").is_some() { Some(parser.expression()?) } else { None };
    let span = parser.since(start);
    parser.expect(Symbol::BraceOpen, "before the rules of a policy")?;
    let mut policy = PolicyItem { name, protocol, when, observe: None, rules: Vec::new(), span };
    if refused {
        parser.recover(|_| false);
    }
    while parser.eat(Symbol::BraceClose).is_none() {
        if parser.at_end() {
            return Err(parser.report(
                Diagnostic::error(Code::S2, format!("policy `{}` has no end", policy.name))
                    .primary(policy.span, "its `{` is not closed")
                    .help("close it with `}`"),
            ));
        }
        let begin = parser.peek().span;
        if part_of_policy(parser, &mut policy, rules).is_err() {
            if parser.peek().span == begin {
                parser.advance();
            }
            // Rules follow rules; whatever else is damaged is skipped up to the next.
            parser.recover(|p| p.at_line_start() && p.word().is_some_and(begins_part));
            if parser.at_line_start() && parser.word().is_some_and(|word| DECLARATIONS.contains(&word)) {
                return Ok(Some(policy));
            }
        }
    }
    Ok((!refused).then_some(policy))
}

fn begins_part(word: &str) -> bool {
    word == "rule" || DECLARATIONS.contains(&word)
}

fn part_of_policy(parser: &mut Parser<'_>, policy: &mut PolicyItem, rules: &mut usize) -> Parsed<()> {
    match parser.word() {
        Some("rule") => {
            *rules = rules.saturating_add(1);
            if *rules > MAX_RULES {
                let place = parser.advance().span;
                let title = format!("there are more than {MAX_RULES} rules");
                return Err(parser.report(Diagnostic::error(Code::S5, title).primary(place, "one too many")));
            }
            let rule: RuleItem = clauses::rule(parser)?;
            policy.rules.push(rule);
            Ok(())
        }
        Some("mode") => {
            let span = clauses::mode(parser)?;
            clauses::once(parser, "mode observe", policy.observe, span)?;
            policy.observe = Some(span);
            Ok(())
        }
        Some("default") => {
            let place = parser.advance().span;
            Err(parser.report(
                Diagnostic::error(Code::S6, "`default` is not supported yet")
                    .primary(place, "what no rule passes or drops is passed")
                    .help("a last rule without `when` can `drop` what those before it did not `pass`"),
            ))
        }
        word => {
            let word = word.map(str::to_owned);
            let diagnostic = parser
                .unexpected_here("a rule")
                .suggest(word.and_then(|word| portcullis_lang::suggest(&word, ["rule", "mode"])))
                .help("a policy has rules, `rule NAME id N { ... }`, and perhaps `mode observe`");
            parser.report_at_token(diagnostic);
            parser.advance();
            Err(portcullis_lang::Reported)
        }
    }
}
