//! Tests of typing on expressions as they are written, over one record of a few variants.

use std::sync::Arc;

use crate::formula::Scope;
use crate::scheme::{CaseValue, Enumeration, FieldInfo, Layout, Presence, Type};
use crate::source::Sources;
use crate::text_set::TextSet;
use crate::{Code, Diagnostics, Name, Parser, render_all};

use super::*;

struct Command(Layout);

impl Names for Command {
    fn resolve(&self, path: &[Name]) -> Resolution {
        match dotted(path).as_str() {
            "banned" => {
                let texts = TextSet::from_iter([b"a.example".as_slice(), b".b.example".as_slice()]);
                Resolution::Named(NamedSet::Texts(Arc::new(texts)))
            }
            "inside" => Resolution::Named(NamedSet::Networks(vec![([10, 0, 0, 0].into(), 8)])),
            _ => match resolve_in(&self.0, Scope::Record, path) {
                Resolution::Unknown => resolve_event(path),
                known => known,
            },
        }
    }

    fn candidates(&self, path: &[Name]) -> Vec<String> {
        candidates_in(&self.0, path)
    }

    fn keywords_ignore_case(&self) -> bool {
        true
    }

    fn constants(&self, place: crate::Place) -> Vec<String> {
        match place {
            crate::Place { scope: Scope::Event, slot: crate::scheme::event_slots::STATE } => vec!["talk".into()],
            _ => Vec::new(),
        }
    }
}

/// verb, size (BDAT only), sender.domain (MAIL only), note (optional), kind (enum), peer (address), lines (of code, text)
fn command() -> Command {
    let case = |word: &str| {
        vec![Presence::Case {
            slot: 0,
            path: "verb".into(),
            values: vec![CaseValue::Text(word.as_bytes().into())],
            negated: false,
        }]
    };
    let field = |path: &str, slot: u16, kind: Type, presence: Vec<Presence>| FieldInfo {
        path: path.into(),
        slot,
        kind,
        presence,
    };
    let text = Type::Text { max: 20 };
    let kinds = Enumeration { name: "kind".into(), members: vec![("ONE".into(), 1), ("TWO".into(), 2)] };
    let line = Layout {
        name: "line".into(),
        fields: vec![
            field("code", 0, Type::Number { min: 0, max: 999 }, vec![]),
            field("text", 1, text.clone(), vec![Presence::Part { slot: 2, path: "text".into() }]),
        ],
        width: 3,
    };
    let fields = vec![
        field("verb", 0, Type::Keyword { max: 8 }, vec![]),
        field("size", 1, Type::Number { min: 0, max: 1000 }, case("BDAT")),
        field("sender", 2, Type::Group, case("MAIL")),
        field("sender.domain", 3, text.clone(), case("MAIL")),
        field("note", 4, text.clone(), vec![Presence::Part { slot: 5, path: "note".into() }]),
        field("kind", 6, Type::Enumeration(Arc::new(kinds)), vec![]),
        field("peer", 7, Type::Address, vec![]),
        field("lines", 8, Type::List(Arc::new(line)), vec![]),
        // Two variants of one name with different types.
        field("value", 9, Type::Number { min: 0, max: 9 }, case("BDAT")),
        field("value", 9, text, case("MAIL")),
    ];
    Command(Layout { name: "command".into(), fields, width: 10 })
}

/// The codes that a condition raises, and its formula.
fn checked(text: &str) -> (Vec<Code>, String) {
    let mut sources = Sources::new();
    let source = sources.add("test", text);
    let mut parser = Parser::new(source, text);
    let expression = parser.test().unwrap_or_else(|_| panic!("{text} is no test"));
    let names = command();
    let mut diagnostics = Diagnostics::new();
    let formula = Checker::new(&names, &mut diagnostics).condition(&expression, &mut Facts::new());
    assert_eq!(formula.is_none(), diagnostics.has_errors(), "{}", render_all(&diagnostics, &sources, false));
    let codes = diagnostics.sorted().iter().map(|one| one.code).collect();
    (codes, formula.map(|formula| format!("{formula:?}")).unwrap_or_default())
}

#[track_caller]
fn right(text: &str) -> String {
    let (codes, formula) = checked(text);
    assert!(codes.is_empty(), "{text}: {codes:?}");
    formula
}

#[track_caller]
fn wrong(text: &str, code: Code) {
    let (codes, _) = checked(text);
    assert_eq!(codes, [code], "{text}");
}

#[test]
fn what_a_test_teaches() {
    right("verb == BDAT and size > 5");
    right("verb in (BDAT) and size > 5");
    right("verb != BDAT or size > 5");
    right("not (verb == BDAT and size <= 5)");
    right("note and note == \"x\"");
    right("not (note is empty) and note == \"x\"");
    right("verb == MAIL and value == \"x\" or verb == BDAT and value == 3");
    wrong("size > 5", Code::C10);
    wrong("verb == MAIL and size > 5", Code::C10);
    wrong("verb == BDAT or size > 5", Code::C10);
    wrong("note == \"x\"", Code::C10);
    wrong("sender.domain in banned", Code::C10);
    wrong("verb in (BDAT, MAIL) and value == 3", Code::C10);
}

#[test]
fn keywords_and_members() {
    wrong("verb == dtaa", Code::C1);
    assert!(right("verb == DATA").contains("fold: true"));
    right("verb in (DATA, \"X-ANON\")");
    right("kind == ONE");
    right("kind == 7");
    wrong("kind == TOW", Code::C1);
    wrong("verb == STARTTLSX", Code::C13);
    wrong("verb == 3", Code::C11);
    wrong("kind == \"ONE\"", Code::C11);
}

#[test]
fn lists_and_their_elements() {
    right("every lines.code == lines.last.code");
    right("any lines.code == 250");
    right("any lines.text contains \"x\"");
    right("count of lines > 1");
    right("lines.first.code == 1");
    wrong("every lines.text == \"x\"", Code::C10);
    wrong("lines.last.text == \"x\"", Code::C10);
    wrong("lines.code == 1", Code::C11);
    wrong("lines.last.cdoe == 1", Code::C1);
    wrong("any verb == 1", Code::C11);
    wrong("lines == 1", Code::C11);
}

#[test]
fn sets_of_a_policy() {
    right("verb == MAIL and sender.domain in banned");
    right("peer in inside");
    right("peer in (10.0.0.0/8, 192.0.2.1)");
    right("verb == MAIL and sender.domain ends with any banned");
    wrong("peer in banned", Code::C11);
    wrong("verb in inside", Code::C11);
    wrong("peer in bannd", Code::C1);
    wrong("banned", Code::C11);
}

#[test]
fn decided_before_anything_is_read() {
    wrong("verb == BDAT and size > 2000", Code::C21);
    wrong("verb == DATA and verb == MAIL", Code::C21);
    wrong("verb == BDAT and size > 5 and size < 5", Code::C21);
    wrong("3 == 3", Code::C21);
    wrong("verb == verb", Code::C21);
    wrong("verb contains \"\"", Code::C21);
    wrong("count of lines >= 0", Code::C21);
    // A list may be empty, and then nothing is at most 999.
    right("lines.last.code <= 999");
}

#[test]
fn names_of_the_machine() {
    right("state == talk");
    right("side == client and up.waiting == 0");
    wrong("state == tlak", Code::C1);
    wrong("side == middle", Code::C1);
}

#[test]
fn texts() {
    right("verb matches /^X-/");
    right("verb is \"X-*\"");
    right("length of verb > 3");
    right("lowercase verb == \"data\"");
    right("(verb before first \"-\") == \"X\"");
    right("(verb as decimal) == 3");
    wrong("verb matches /(/", Code::S3);
    wrong("length of lines > 3", Code::C11);
    wrong("verb < \"x\"", Code::C11);
    wrong("verb", Code::C11);
    wrong("lines has \"x\"", Code::S6);
}

#[test]
fn numbers() {
    right("verb == BDAT and size * 4 + 1 > 2 << 3");
    wrong("up.waiting + 1 > 5", Code::C9);
    wrong("verb == BDAT and 1 << size > 3", Code::C9);
    wrong("verb == BDAT and size + verb > 3", Code::C11);
}

/// Found by the fuzzer: a list is neither a condition nor a value, and each was handed to the other for ever.
#[test]
fn lists_of_values_alone() {
    wrong("[\"a\"]", Code::C11);
    wrong("verb == [\"a\"]", Code::C11);
    wrong("length of [\"a\"] > 1", Code::C11);
}
