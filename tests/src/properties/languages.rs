//! Texts in both languages: what is wrong is said, with its place; what is right can be used.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use portcullis_grammar::{CostCard, Program, describe, graph, syntax};
use portcullis_lang::{
    Diagnostics, Direction, EventId, Host, Parser, Place, ProtocolScheme, Sources, Value, render_all, render_json,
};
use portcullis_policy::{Action, ListRequest, Memory, Occurrence, PolicySet};

use super::conversations::{Turn, converse};

/// A grammar without errors of syntax is laid out once and for all, without changing what it says; any other text gives
/// messages with places.
pub fn layout(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let mut sources = Sources::new();
    let source = sources.add("any.grammar", text.clone());
    let (tree, diagnostics) = syntax::parse(source, &text);
    judge_messages(&diagnostics, &sources);
    let Ok(once) = syntax::format(source, &text) else {
        assert!(diagnostics.has_errors(), "a text without errors is not laid out");
        return;
    };
    assert!(!diagnostics.has_errors(), "a text with errors is laid out");
    let (again, _) = syntax::parse(source, &once);
    assert!(tree == again, "the layout changed what the grammar says:\n{once}");
    let twice = syntax::format(source, &once).expect("what we laid out has no errors");
    assert_eq!(once, twice, "laying out twice gives something else");
}

/// An expression says the same in brackets, and in a policy it is refused or can be judged.
pub fn expressions(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let mut sources = Sources::new();
    let source = sources.add("any.policy", text.clone());
    let mut parser = Parser::new(source, &text);
    let parsed = parser.expression();
    let is_all = parser.at_end();
    let leftovers = parser.finish();
    judge_messages(&leftovers.diagnostics, &sources);
    assert_eq!(parsed.is_err(), leftovers.diagnostics.has_errors() && parsed.is_err());
    if let (Ok(tree), true, false) = (&parsed, is_all, leftovers.diagnostics.has_errors()) {
        let bracketed = format!("({text}\n)");
        let source = sources.add("bracketed.policy", bracketed.clone());
        let mut parser = Parser::new(source, &bracketed);
        let again = parser.expression();
        let said = parser.finish().diagnostics;
        // The brackets may be one level too much.
        if !said.has_errors() {
            assert!(again.as_ref() == Ok(tree), "{text:?} says something else in brackets");
        }
    }
    policies(format!("policy p for smtp {{ rule r id 1 {{ on smtp.command when {text}\n log \"x\" }} }}").as_bytes());
}

/// A policy is refused with messages that have places, the same each time, or it can be judged: then what it says has no
/// control characters.
pub fn policies(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let mut sources = Sources::new();
    let file = sources.add("any.policy", text);
    let schemes = schemes();
    let mut lists = |_: &ListRequest<'_>| Ok(b"banned.example\n".to_vec());
    let compiled = PolicySet::compile(&sources, &[file], schemes, &mut lists);
    let again = PolicySet::compile(&sources, &[file], schemes, &mut lists);
    let printed = |compiled: &Result<_, Diagnostics>| match compiled {
        Ok(_) => String::new(),
        Err(diagnostics) => render_all(diagnostics, &sources, false),
    };
    assert_eq!(printed(&compiled.as_ref().map(drop).map_err(Clone::clone)), printed(&again.map(drop)));
    let policies = match compiled {
        Ok(compiled) => {
            judge_messages(&compiled.warnings, &sources);
            assert!(!compiled.warnings.has_errors());
            compiled.policies
        }
        Err(diagnostics) => {
            assert!(diagnostics.has_errors(), "refused without a reason");
            judge_messages(&diagnostics, &sources);
            return;
        }
    };
    policies.demand();
    let mut memory = Memory::new();
    let mut decisions = Vec::new();
    for scheme in schemes {
        let protocol = policies.protocol(&scheme.name).expect("its scheme was given");
        for host in [Values::Full, Values::Empty, Values::Unknown] {
            let applicable = policies.applicable(protocol, &host);
            for (event, _) in (0..).map(EventId).zip(&scheme.events) {
                policies.judge(
                    Occurrence { protocol, event, time: 0 },
                    &host,
                    &applicable,
                    &mut memory,
                    &mut decisions,
                );
            }
        }
    }
    for decision in decisions {
        if let Action::Alert { text, .. } | Action::Log { text } = decision.action {
            assert!(!text.chars().any(char::is_control), "control characters in {text:?}");
        }
    }
}

/// A grammar is refused with messages that have places, the same each time, or it runs: over its own examples and its own
/// text, however they are cut, with the same events, within its bounds, and to an end.
pub fn grammars(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let mut sources = Sources::new();
    let loaded = portcullis_grammar::load(&mut sources, "any.grammar", &text);
    let mut other_sources = Sources::new();
    let again = portcullis_grammar::load(&mut other_sources, "any.grammar", &text);
    let protocol = match (loaded, again) {
        (Ok((protocol, warnings)), Ok(_)) => {
            judge_messages(&warnings, &sources);
            assert!(!warnings.has_errors());
            Arc::new(protocol)
        }
        (Err(diagnostics), Err(again)) => {
            assert!(diagnostics.has_errors(), "refused without a reason");
            judge_messages(&diagnostics, &sources);
            assert_eq!(render_all(&diagnostics, &sources, false), render_all(&again, &other_sources, false));
            return;
        }
        _ => panic!("loaded once and refused once"),
    };
    let _ = (describe(&protocol.scheme), graph::dot(&protocol), graph::mermaid(&protocol));
    let _ = CostCard::of(&protocol).to_string();
    let program = Program::compile(Arc::clone(&protocol));
    for example in &protocol.examples {
        let turns: Vec<Turn> =
            example.lines.iter().map(|(direction, octets)| Turn::Octets(*direction, octets.to_vec())).collect();
        converse(&program, &turns, false, 1);
        let turns: Vec<Turn> =
            example.lines.iter().map(|(direction, octets)| Turn::Datagram(*direction, octets.to_vec())).collect();
        converse(&program, &turns, true, 2);
    }
    let lines: Vec<&[u8]> = octets.split_inclusive(|octet| *octet == b'\n').collect();
    let mut turns = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let direction = if number % 3 == 1 { Direction::Down } else { Direction::Up };
        turns.push(match number % 11 {
            10 => Turn::Gap(direction, line.len() as u64),
            _ => Turn::Octets(direction, line.to_vec()),
        });
    }
    converse(&program, &turns, false, 3);
    turns.push(Turn::End(Direction::Up));
    converse(&program, &turns, true, 4);
}

/// Messages have places and can be printed in every way.
fn judge_messages(diagnostics: &Diagnostics, sources: &Sources) {
    for diagnostic in diagnostics.iter() {
        assert!(diagnostic.span().is_some(), "a message without a place: {}", diagnostic.title);
        render_json(diagnostic, sources);
    }
    render_all(diagnostics, sources, true);
}

fn schemes() -> &'static [Arc<ProtocolScheme>] {
    static SCHEMES: OnceLock<Vec<Arc<ProtocolScheme>>> = OnceLock::new();
    SCHEMES.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../grammars");
        let program = |name: &str| crate::grammars::program(&folder.join(format!("{name}.grammar")));
        ["smtp", "dns"].map(|name| Arc::clone(&program(name).protocol().scheme)).into()
    })
}

/// What a policy finds when it looks for values.
enum Values {
    Full,
    Empty,
    Unknown,
}

impl Host for Values {
    fn read(&self, place: Place) -> Value<'_> {
        match (self, place.slot % 3) {
            (Values::Full, 0) => Value::bytes(b"MAIL FROM:<a\x00b@banned.example>\r\n\xff"),
            (Values::Full, 1) => Value::Number(i64::MAX),
            (Values::Full, _) => Value::Address([192, 0, 2, 1].into()),
            (Values::Empty, _) => Value::Absent,
            (Values::Unknown, _) => Value::Unknown,
        }
    }

    fn count(&self, _: Place) -> u32 {
        if matches!(self, Values::Full) { 3 } else { 0 }
    }

    fn element(&self, list: Place, _: u32, slot: u16) -> Value<'_> {
        self.read(Place { slot, ..list })
    }
}
