//! How much an event costs by the number of rules, and what closures would bring.
//!
//! `cargo run --release -p portcullis-policy --example rules_speed`
//!
//! All rules are `verb == MAIL and sender.domain == "..."`, and the event is a MAIL of a domain that one rule (or none) is
//! about. Three ways: the plan of a policy set, which merges the tests; the same tests one after the other as formulas; and
//! as closures, each reading its field and comparing, which is the least that any form of a single test could do.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use portcullis_lang::scheme::{EventKind, EventType, FieldInfo, Layout, ProtocolScheme, Type};
use portcullis_lang::{Comparison, EventId, Formula, Host, Place, Scope, Sources, Value, render_all};
use portcullis_policy::{Memory, Occurrence, PolicySet, no_files};

/// A record whose slots are the verb and the domain of the sender.
struct Mail {
    slots: [&'static [u8]; 2],
}

impl Host for Mail {
    fn read(&self, place: Place) -> Value<'_> {
        self.slots.get(usize::from(place.slot)).map_or(Value::Absent, |slot| Value::bytes(slot))
    }

    fn count(&self, _: Place) -> u32 {
        0
    }

    fn element(&self, _: Place, _: u32, _: u16) -> Value<'_> {
        Value::Absent
    }
}

fn scheme() -> Arc<ProtocolScheme> {
    let field = |path: &str, slot, kind| FieldInfo { path: path.into(), slot, kind, presence: vec![] };
    let fields = vec![field("verb", 0, Type::Keyword { max: 16 }), field("sender.domain", 1, Type::Text { max: 255 })];
    let layout = Arc::new(Layout { name: "command".into(), fields, width: 2 });
    let event = EventType { name: "command".into(), kind: EventKind::Record, layout, states: vec![] };
    Arc::new(ProtocolScheme {
        name: "smtp".into(),
        events: vec![event],
        states: vec![],
        anomalies: vec![],
        flow: Layout::default(),
        keywords_ignore_case: true,
        refusal: None,
        writable: Vec::new(),
        canonical: Vec::new(),
        follows: Vec::new(),
    })
}

fn domain(number: usize) -> String {
    format!("domain-{number}.example")
}

fn policy(rules: usize) -> PolicySet {
    let mut text = String::from("policy p for smtp {\n");
    for number in 0..rules {
        let domain = domain(number);
        let id = number + 1;
        text += &format!(
            "rule r{number} id {id} {{ on smtp.command when verb == MAIL and sender.domain == \"{domain}\"  pass }}\n"
        );
    }
    text.push('}');
    let mut sources = Sources::new();
    let file = sources.add("speed.policy", text);
    let begin = Instant::now();
    match PolicySet::compile(&sources, &[file], &[scheme()], &mut no_files) {
        Ok(compiled) => {
            println!("{rules:>6} rules load in {:.1} ms", begin.elapsed().as_secs_f64() * 1e3);
            compiled.policies
        }
        Err(diagnostics) => {
            eprintln!("{}", render_all(&diagnostics, &sources, false));
            std::process::exit(1)
        }
    }
}

fn formulas(rules: usize) -> Vec<Formula> {
    let equal = |slot, text: &str, fold| Formula::Compare {
        operator: Comparison::Equal,
        left: Box::new(Formula::Place(Place { scope: Scope::Record, slot })),
        right: Box::new(Formula::Bytes(text.as_bytes().into())),
        fold,
    };
    (0..rules).map(|number| Formula::And(vec![equal(0, "MAIL", true), equal(1, &domain(number), false)])).collect()
}

type Test = Box<dyn Fn(&dyn Host) -> bool>;

fn closures(rules: usize) -> Vec<Test> {
    let equal = |slot, text: String, fold: bool| -> Test {
        let place = Place { scope: Scope::Record, slot };
        Box::new(move |host: &dyn Host| match host.read(place) {
            Value::Bytes(bytes) if fold => bytes.eq_ignore_ascii_case(text.as_bytes()),
            Value::Bytes(bytes) => bytes.as_ref() == text.as_bytes(),
            _ => false,
        })
    };
    let both = |number| -> Test {
        let (verb, domain) = (equal(0, "MAIL".into(), true), equal(1, domain(number), false));
        Box::new(move |host: &dyn Host| verb(host) && domain(host))
    };
    (0..rules).map(both).collect()
}

/// Nanoseconds a call takes, the best of five rounds.
fn time(mut call: impl FnMut()) -> f64 {
    let mut calls: u32 = 1;
    loop {
        let begin = Instant::now();
        (0..calls).for_each(|_| call());
        if begin.elapsed().as_millis() > 20 {
            break;
        }
        calls = calls.saturating_mul(2);
    }
    let round = |_| {
        let begin = Instant::now();
        (0..calls).for_each(|_| call());
        begin.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
    };
    (0..5).map(round).fold(f64::INFINITY, f64::min)
}

fn main() {
    let host = Mail { slots: [b"MAIL", b"domain-5.exampla"] };
    println!("nanoseconds for an event that no rule is about");
    for rules in [1, 3, 10, 100, 1_000, 10_000] {
        let policies = policy(rules);
        let Some(protocol) = policies.protocol("smtp") else { return };
        let applicable = policies.applicable(protocol, &host);
        let occurrence = Occurrence { protocol, event: EventId(0), time: 0 };
        let (mut memory, mut decisions) = (Memory::new(), Vec::new());
        let merged = time(|| policies.judge(occurrence, black_box(&host), &applicable, &mut memory, &mut decisions));
        let formulas = formulas(rules);
        let walked = time(|| {
            black_box(formulas.iter().filter(|formula| formula.test(black_box(&host)).holds()).count());
        });
        let closures = closures(rules);
        let called = time(|| {
            black_box(closures.iter().filter(|test| test(black_box(&host))).count());
        });
        println!("{rules:>6} rules: policy set {merged:>9.1}   formulas {walked:>9.1}   closures {called:>9.1}");
    }
}
