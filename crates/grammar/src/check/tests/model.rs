//! Models made by hand. The lowering refuses some of them before a check sees them; the checks do not rely on it.

use std::sync::Arc;

use portcullis_lang::{
    CaseValue, Code, Comparison, Diagnostics, EventId, EventKind, EventType, FieldInfo, Formula, Layout, Place,
    ProtocolScheme, Scope, SourceId, Sources, Span, StateId, Type, render_all,
};

use crate::check::check;
use crate::model::*;

/// A text that stands for the grammar: a model's spans are words of it.
struct Text {
    sources: Sources,
    id: SourceId,
}

impl Text {
    fn new(text: &str) -> Text {
        let mut sources = Sources::new();
        let id = sources.add("hand.grammar", text);
        Text { sources, id }
    }

    /// Where a part of it stands for the first time.
    fn at(&self, part: &str) -> Span {
        let start = self.sources.text(self.id).find(part).expect("a part of the text");
        Span::new(self.id, u32::try_from(start).unwrap(), u32::try_from(start + part.len()).unwrap())
    }

    fn messages(&self, protocol: &Protocol) -> String {
        let mut diagnostics = Diagnostics::new();
        check(protocol, &mut diagnostics);
        render_all(&diagnostics, &self.sources, false)
    }
}

fn codes(protocol: &Protocol) -> Vec<Code> {
    let mut diagnostics = Diagnostics::new();
    check(protocol, &mut diagnostics);
    diagnostics.sorted().iter().map(|one| one.code).collect()
}

fn place(slot: u16) -> Formula {
    Formula::Place(Place { scope: Scope::Record, slot })
}

fn number(name: &str, slot: u16, span: Span) -> Item {
    let shape = Shape::Number { octets: 1, little: false, signed: false };
    Item::Field(Field { slot: Some(slot), name: name.into(), shape, convert: Conversion::None, span })
}

fn rest(name: &str, slot: u16, span: Span) -> Item {
    Item::Field(Field { slot: Some(slot), name: name.into(), shape: Shape::Rest, convert: Conversion::None, span })
}

fn layout(names: &[(&str, Type)]) -> Arc<Layout> {
    let field = |(slot, (path, kind)): (usize, &(&str, Type))| FieldInfo {
        path: (*path).into(),
        slot: u16::try_from(slot).unwrap(),
        kind: kind.clone(),
        presence: Vec::new(),
    };
    let width = u16::try_from(names.len()).unwrap();
    Arc::new(Layout { name: "it".into(), fields: names.iter().enumerate().map(field).collect(), width })
}

const OCTET: Type = Type::Number { min: 0, max: 255 };
const TEXT: Type = Type::Text { max: 100 };

fn rule(name: &str, kind: RuleKind, max: u32, layout: &Arc<Layout>, items: Vec<Item>, span: Span) -> Rule {
    Rule { name: name.into(), kind, max, layout: layout.clone(), items, result: None, depth: 0, span }
}

/// A protocol of these rules and states; each rule is a record event.
fn protocol(rules: Vec<Rule>, mut states: Vec<State>, span: Span) -> Protocol {
    let events = rules.iter().map(|rule| EventType {
        name: rule.name.clone(),
        kind: EventKind::Record,
        layout: rule.layout.clone(),
        states: Vec::new(),
    });
    let scheme = ProtocolScheme {
        name: "hand".into(),
        events: events.collect(),
        states: Vec::new(),
        anomalies: Vec::new(),
        flow: Layout::default(),
        keywords_ignore_case: false,
        refusal: None,
        writable: Vec::new(),
        canonical: Vec::new(),
        follows: Vec::new(),
    };
    let start = (!states.is_empty()).then_some(StateId(0));
    states.extend(["fail", "finish"].map(|name| state(name, [Expect::Nothing, Expect::Nothing], Vec::new(), span)));
    Protocol {
        name: "hand".into(),
        transports: Vec::new(),
        newline: Newline { crlf: true, ..Newline::default() },
        anomalies: Vec::new(),
        rules,
        streams: Vec::new(),
        channels: Vec::new(),
        kept: Vec::new(),
        variables: Vec::new(),
        machine: Machine { start, states, join: Vec::new() },
        scheme: Arc::new(scheme),
        examples: Vec::new(),
    }
}

fn state(name: &str, expects: [Expect; 2], rules: Vec<Transition>, span: Span) -> State {
    State { name: name.into(), expects, rules, timeout: None, resync: Vec::new(), span }
}

fn record(rule: u16) -> Expected {
    Expected { rule: RuleId(rule), event: EventId(rule), matches: None }
}

fn on(event: u16, when: Option<Formula>, target: Target, span: Span) -> Transition {
    let triggers = vec![Trigger::Event(EventId(event))];
    Transition { triggers, when, actions: Vec::new(), target, span }
}

#[test]
fn a_length_behind_what_it_measures() {
    let text = Text::new("record message max 100 { body: bytes size   size: u8 }");
    let layout = layout(&[("body", TEXT), ("size", OCTET)]);
    let body = Field {
        slot: Some(0),
        name: "body".into(),
        shape: Shape::Bytes(place(1)),
        convert: Conversion::None,
        span: text.at("body: bytes size"),
    };
    let items = vec![Item::Field(body), number("size", 1, text.at("size: u8"))];
    let message = rule("message", RuleKind::Record, 100, &layout, items, text.at("message"));
    insta::assert_snapshot!(text.messages(&protocol(vec![message], Vec::new(), text.at("record"))));
}

#[test]
fn a_length_within_what_it_measures() {
    let text = Text::new("record message max 100 { within size { size: u8  body: rest } }");
    let layout = layout(&[("size", OCTET), ("body", TEXT)]);
    let inside = vec![number("size", 0, text.at("size: u8")), rest("body", 1, text.at("body: rest"))];
    let items = vec![Item::Window { size: place(0), items: inside, span: text.at("within size") }];
    let message = rule("message", RuleKind::Record, 100, &layout, items, text.at("message"));
    insta::assert_snapshot!(text.messages(&protocol(vec![message], Vec::new(), text.at("record"))));
}

#[test]
fn a_window_that_is_never_filled() {
    let text = Text::new("record message max 100 { within 8 { a: u8 } }");
    let layout = layout(&[("a", OCTET)]);
    let window = |size| {
        let items = vec![number("a", 0, text.at("a: u8"))];
        let items = vec![Item::Window { size: Formula::Number(size), items, span: text.at("within 8") }];
        protocol(
            vec![rule("message", RuleKind::Record, 100, &layout, items, text.at("message"))],
            vec![],
            text.at("record"),
        )
    };
    insta::assert_snapshot!(text.messages(&window(8)));
    assert_eq!(codes(&window(1)), []);
}

#[test]
fn questions_without_a_bound() {
    let text = Text::new("state exchange { up message as query   down message as answer matches query by id }");
    let layout = layout(&[("id", OCTET)]);
    let rules = |span| {
        let it = |name| rule(name, RuleKind::Record, 100, &layout, vec![number("id", 0, span)], span);
        vec![it("query"), it("answer")]
    };
    let with = |max| {
        let matches = Matching {
            question: EventId(0),
            key: Some((0, 0)),
            except: None,
            max,
            patience: 0,
            unmatched: portcullis_lang::AnomalyId(0),
        };
        let answer = Expected { rule: RuleId(1), event: EventId(1), matches: Some(matches) };
        let expects = [Expect::Record(record(0)), Expect::Record(answer)];
        protocol(
            rules(text.at("message")),
            vec![state("exchange", expects, vec![], text.at("exchange"))],
            text.at("state"),
        )
    };
    insta::assert_snapshot!(text.messages(&with(0)));
    assert_eq!(codes(&with(256)), []);
}

#[test]
fn what_begins_with_itself_never_ends() {
    let text = Text::new("value item max 100 { inner: item   \".\" }");
    let layout = layout(&[("inner", TEXT)]);
    let inner = Item::Value { slot: 0, rule: RuleId(0), span: text.at("inner: item") };
    let dot = Item::Literal(Literal { bytes: (*b".").into(), fold: false });
    let with = |items| {
        let item = Rule { depth: 16, ..rule("item", RuleKind::Value, 100, &layout, items, text.at("item")) };
        protocol(vec![item], vec![], text.at("value"))
    };
    insta::assert_snapshot!(text.messages(&with(vec![inner.clone(), dot.clone()])));
    assert_eq!(codes(&with(vec![dot, inner])), []);
}

#[test]
fn rules_that_together_take_everything() {
    let text = Text::new("state a { up it   on it when code < 100   on it when code >= 100   on it -> finish }");
    let layout = layout(&[("code", OCTET)]);
    let code = |operator, value| {
        let right = Box::new(Formula::Number(value));
        Some(Formula::Compare { operator, left: Box::new(place(0)), right, fold: false })
    };
    let with = |value| {
        let rules = vec![
            on(0, code(Comparison::Less, 100), Target::Stay, text.at("on it when code < 100")),
            on(0, code(Comparison::GreaterOrEqual, value), Target::Stay, text.at("on it when code >= 100")),
            on(0, None, Target::Finish(None), text.at("on it -> finish")),
        ];
        let it = rule("it", RuleKind::Record, 100, &layout, vec![number("code", 0, text.at("it"))], text.at("it"));
        let a = state("a", [Expect::Record(record(0)), Expect::Nothing], rules, text.at("a"));
        protocol(vec![it], vec![a], text.at("state"))
    };
    insta::assert_snapshot!(text.messages(&with(100)));
    assert_eq!(codes(&with(101)), []);
}

#[test]
fn a_guard_that_contradicts_itself() {
    let text = Text::new("state a { up it   on it when code < 100 and code >= 100 -> finish }");
    let layout = layout(&[("code", OCTET)]);
    let code = |operator, value| {
        let right = Box::new(Formula::Number(value));
        Formula::Compare { operator, left: Box::new(place(0)), right, fold: false }
    };
    let with = |value| {
        let both = Formula::And(vec![code(Comparison::Less, 100), code(Comparison::GreaterOrEqual, value)]);
        let span = text.at("on it when code < 100 and code >= 100 -> finish");
        let it = rule("it", RuleKind::Record, 100, &layout, vec![number("code", 0, text.at("it"))], text.at("it"));
        let rules = vec![on(0, Some(both), Target::Finish(None), span)];
        let a = state("a", [Expect::Record(record(0)), Expect::Nothing], rules, text.at("a"));
        protocol(vec![it], vec![a], text.at("state"))
    };
    insta::assert_snapshot!(text.messages(&with(100)));
    assert_eq!(codes(&with(99)), []);
}

#[test]
fn what_waits_without_a_maximum() {
    let text = Text::new("state a { up waits   down it }");
    let layout = layout(&[("code", OCTET)]);
    let with = |max| {
        let it = rule("it", RuleKind::Record, 100, &layout, vec![number("code", 0, text.at("it"))], text.at("it"));
        let a = state("a", [Expect::Waits { max }, Expect::Record(record(0))], vec![], text.at("a"));
        protocol(vec![it], vec![a], text.at("state"))
    };
    insta::assert_snapshot!(text.messages(&with(0)));
    assert_eq!(codes(&with(1000)), []);
}

#[test]
fn bits_are_covered_by_all_their_values() {
    let text = Text::new("record label max 64 { kind: u2   choose kind { 0..2 => }   it: rest }");
    let layout = layout(&[("kind", Type::Number { min: 0, max: 3 }), ("it", TEXT)]);
    let with = |high| {
        let kind = Field {
            slot: Some(0),
            name: "kind".into(),
            shape: Shape::Bits(2),
            convert: Conversion::None,
            span: text.at("kind: u2"),
        };
        let arm = Arm { values: vec![CaseValue::Range(0, high)], items: vec![], span: text.at("0..2 =>") };
        let choice =
            Item::Switch { on: place(0), fold: false, arms: vec![arm], otherwise: None, span: text.at("choose kind") };
        let items = vec![Item::Field(kind), choice, rest("it", 1, text.at("it: rest"))];
        protocol(vec![rule("label", RuleKind::Record, 64, &layout, items, text.at("label"))], vec![], text.at("record"))
    };
    insta::assert_snapshot!(text.messages(&with(2)));
    assert_eq!(codes(&with(3)), []);
}
