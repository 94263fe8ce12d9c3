//! Tests of lowering: the shipped grammars, a source for each message, and the pages of the codes.

use std::fmt::Write as _;

use portcullis_lang::{Code, Presence, Sources, Type, render_all};

use crate::load;
use crate::model::{Expect, Item, Protocol, Shape, Target};

mod damage;
mod messages;

fn shipped(name: &str) -> (Protocol, String) {
    let path = format!("{}/../../grammars/{name}.grammar", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let mut sources = Sources::new();
    match load(&mut sources, &format!("{name}.grammar"), &text) {
        Ok((protocol, warnings)) => {
            let errors = warnings.iter().filter(|one| one.severity == portcullis_lang::Severity::Error).count();
            assert_eq!(errors, 0);
            (protocol, render_all(&warnings, &sources, false))
        }
        Err(diagnostics) => panic!("{}", render_all(&diagnostics, &sources, false)),
    }
}

/// A grammar of its own; the head is put before it.
fn own(text: &str) -> Protocol {
    let mut sources = Sources::new();
    match load(&mut sources, "own.grammar", &format!("protocol own over tcp port 1\n{text}")) {
        Ok((protocol, _)) => protocol,
        Err(diagnostics) => panic!("{}", render_all(&diagnostics, &sources, false)),
    }
}

/// The scheme as lines: events with their states, fields with their types and what has to hold for them.
fn scheme(protocol: &Protocol) -> String {
    let mut text = String::new();
    let scheme = &protocol.scheme;
    for event in &scheme.events {
        let states: Vec<&str> =
            event.states.iter().filter_map(|id| scheme.states.get(usize::from(id.0)).map(String::as_str)).collect();
        let _ = writeln!(text, "event {} {:?} in [{}]", event.name, event.kind, states.join(" "));
        fields(&mut text, &event.layout, 1);
    }
    let _ = writeln!(text, "states {}", scheme.states.join(" "));
    let _ = writeln!(text, "flow");
    fields(&mut text, &scheme.flow, 1);
    text
}

fn fields(text: &mut String, layout: &portcullis_lang::Layout, depth: usize) {
    for field in &layout.fields {
        let kind = match &field.kind {
            Type::Number { min, max } => format!("number {min}..{max}"),
            Type::Text { max } => format!("text {max}"),
            Type::Keyword { max } => format!("keyword {max}"),
            Type::Enumeration(enumeration) => format!("enum {}", enumeration.name),
            Type::List(layout) => format!("list of {}", layout.name),
            other => format!("{other:?}").to_lowercase(),
        };
        let when: Vec<String> = field.presence.iter().map(presence).collect();
        let path = if field.path.is_empty() { "(element)" } else { &field.path };
        let _ = writeln!(text, "{}{path} [{}] {kind} {}", "    ".repeat(depth), field.slot, when.join(" and "));
        if let Type::List(layout) = &field.kind {
            fields(text, layout, depth + 1);
        }
    }
}

fn presence(presence: &Presence) -> String {
    match presence {
        Presence::Case { path, values, negated, .. } => {
            let values: Vec<String> = values
                .iter()
                .map(|value| match value {
                    portcullis_lang::CaseValue::Range(low, high) if low == high => low.to_string(),
                    portcullis_lang::CaseValue::Range(low, high) => format!("{low}..{high}"),
                    portcullis_lang::CaseValue::Text(text) => text.escape_ascii().to_string(),
                })
                .collect();
            format!("{path} {} ({})", if *negated { "not in" } else { "in" }, values.join(", "))
        }
        Presence::Part { slot, path } => format!("part {path}[{slot}]"),
    }
}

#[test]
fn smtp_scheme() {
    let (protocol, _) = shipped("smtp");
    insta::assert_snapshot!(scheme(&protocol));
}

#[test]
fn dns_scheme() {
    let (protocol, warnings) = shipped("dns");
    assert_eq!(warnings, "");
    insta::assert_snapshot!(scheme(&protocol));
}

#[test]
fn smtp_machine_is_what_its_grammar_says() {
    let (protocol, _) = shipped("smtp");
    let machine = &protocol.machine;
    let named: Vec<&str> = machine.states.iter().map(|state| state.name.as_str()).collect();
    assert_eq!(named.last_chunk::<2>(), Some(&["fail", "finish"]));
    let response = machine.states.iter().find(|state| state.name == "response").unwrap();
    assert!(matches!(response.expects[0], Expect::Waits { max: 65_536 }));
    assert_eq!(response.timeout.as_ref().map(|timeout| timeout.0), Some(15 * 60 * 1_000_000_000));
    let resync: Vec<&str> =
        response.resync.iter().map(|id| protocol.scheme.events[usize::from(id.0)].name.as_str()).collect();
    assert_eq!(resync, ["reply", "command"]);
    // The rules of `any state` come after its own and lead to `fail` with a reason.
    assert!(matches!(response.rules.last().unwrap().target, Target::Fail(_)));
    let fail = machine.states.iter().find(|state| state.name == "fail").unwrap();
    assert!(fail.rules.is_empty() && fail.timeout.is_none());
    let secured = machine.states.iter().find(|state| state.name == "secured").unwrap();
    assert!(matches!(&secured.expects[0], Expect::First { arms, .. } if arms.len() == 1));
    assert_eq!(machine.join.len(), 2);
}

#[test]
fn a_domain_jumps_back_a_bounded_number_of_times() {
    let (protocol, _) = shipped("dns");
    for name in ["domain", "label"] {
        let rule = protocol.rules.iter().find(|rule| rule.name == name).unwrap();
        assert_eq!(rule.depth, crate::limits::FOLLOW_DEPTH, "{name}");
    }
    let rr = protocol.rules.iter().find(|rule| rule.name == "rr").unwrap();
    assert_eq!(rr.depth, 0);
}

#[test]
fn branches_share_the_slot_of_a_name() {
    let protocol = own("record r max 512 {
        kind: u8
        choose kind {
            1    => { size: u8   text: bytes 4 }
            2    => { text: bytes 9 }
            else => { other: u8   text: bytes 2 }
        }
    }");
    let layout = &protocol.rules[0].layout;
    let text: Vec<_> = layout.fields.iter().filter(|field| field.path == "text").collect();
    assert_eq!(text.len(), 1);
    assert_eq!(text[0].kind, Type::Text { max: 9 });
    // Every branch has it, so it is always there.
    assert!(text[0].presence.is_empty());
    assert!(matches!(layout.field("other").unwrap().presence.as_slice(), [Presence::Case { negated: true, .. }]));
}

#[test]
fn a_must_is_the_type_of_those_who_read() {
    let protocol = own("line reply max 99 { code: digit x 3 as number must be in 200..599   rest }");
    assert_eq!(protocol.rules[0].layout.field("code").unwrap().kind, Type::Number { min: 200, max: 599 });
}

#[test]
fn a_measure_that_counts_itself_is_less_what_is_read() {
    let protocol =
        own("record r max 512 { type: u8  size: u8 measures type, size, value must be >= 2  value: bytes  after: u8 }");
    let items = &protocol.rules[0].items;
    let window = items.iter().find_map(|item| match item {
        Item::Window { size, items, .. } => Some((format!("{size:?}"), items.len())),
        _ => None,
    });
    let (size, inside) = window.unwrap();
    assert!(size.contains("Subtract") && size.contains("Number(2)"), "{size}");
    assert_eq!(inside, 1);
    assert!(matches!(items.last(), Some(Item::Field(field)) if field.name == "after"));
}

#[test]
fn elements_that_are_one_value_have_a_field_without_a_name() {
    let protocol = own("record r max 512 { n: u8 counts suites   suites: many u16   must any suites == 7 }");
    let Type::List(layout) = &protocol.rules[0].layout.field("suites").unwrap().kind else { panic!("no list") };
    assert_eq!(layout.fields[0].path, "");
    assert_eq!(layout.fields[0].kind, Type::Number { min: 0, max: 65_535 });
}

#[test]
fn a_sentence_in_a_line_is_a_window() {
    let protocol = own("line first max 40 { a: word }  record both max 99 { first   second: line max 30 { b: word } }");
    let both = protocol.rules.iter().find(|rule| rule.name == "both").unwrap();
    let lines: Vec<u32> = both
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Line { max, .. } => Some(*max),
            _ => None,
        })
        .collect();
    assert_eq!(lines, [40, 30]);
    assert!(both.layout.field("a").is_some() && both.layout.field("second.b").is_some());
}

#[test]
fn what_has_no_name_takes_no_slot() {
    let protocol = own("line l max 99 { a: word  blanks  _: word  rest should be empty as trailing }");
    // Two: `a`, and the rest, of which something is said.
    assert_eq!(protocol.rules[0].layout.width, 2);
    let shapes: Vec<bool> = protocol.rules[0]
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Field(field) if !matches!(field.shape, Shape::Rest) => Some(field.slot.is_some()),
            _ => None,
        })
        .collect();
    assert_eq!(shapes, [true, false, false]);
}

#[test]
fn a_counter_stops_and_never_falls_below_nothing() {
    let protocol = own("line a max 9 { x: rest }
        flow { count: u8 = 0 }
        machine { start s  state s { up a  on a when count > 3 { count = count - 1 }  on a { count = count + 1 }  on timeout 5 s -> finish } }");
    let text = format!("{:?}", protocol.machine.states[0].rules[1].actions);
    assert!(text.contains("Least") && text.contains("255"), "{text}");
}

/// The code blocks under a heading of a page.
fn blocks<'p>(page: &'p str, heading: &str) -> Vec<&'p str> {
    let section = page.split("\n## ").find_map(|section| section.strip_prefix(heading)).unwrap_or("");
    section.split("```grammar\n").skip(1).filter_map(|block| block.split("```").next()).collect()
}

#[test]
fn pages_show_what_they_are_about() {
    const PAGES: &[(Code, &str)] = &[
        (Code::C1, include_str!("../../../../docs/codes/C1.md")),
        (Code::C9, include_str!("../../../../docs/codes/C9.md")),
        (Code::C10, include_str!("../../../../docs/codes/C10.md")),
        (Code::C11, include_str!("../../../../docs/codes/C11.md")),
        (Code::C13, include_str!("../../../../docs/codes/C13.md")),
        (Code::C21, include_str!("../../../../docs/codes/C21.md")),
        (Code::S6, include_str!("../../../../docs/codes/S6.md")),
    ];
    for (code, page) in PAGES {
        assert!(page.starts_with(&format!("# {code}: ")), "{code}");
        let (bad, good) = (blocks(page, "Example"), blocks(page, "Instead"));
        assert!(!bad.is_empty() && !good.is_empty(), "{code}");
        for text in bad {
            let (codes, message) = messages::said(text);
            assert_eq!(codes, [*code], "{message}");
            insta::assert_snapshot!(format!("page_{code}"), message);
        }
        for text in good {
            let (codes, message) = messages::said(text);
            assert!(codes.is_empty(), "{message}");
        }
    }
}
