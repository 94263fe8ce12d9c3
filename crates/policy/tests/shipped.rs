//! The shipped policies, on the shipped grammars: they load without a word, their `test` blocks hold on real octets, and
//! each rule acts where it should.

#![allow(clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis_grammar::{Dialogue, Event, Program, Scratch};
use portcullis_lang::scheme::connection_slots;
use portcullis_lang::{Direction, Host, Place, ProtocolScheme, Scope, Sources, Value, render_all};
use portcullis_policy::{
    Action, Decision, Expected, ListRequest, Memory, Occurrence, PolicySet, PolicyTest, PolicyTestStep, Splice,
};

const GRAMMARS: [&str; 2] = ["smtp", "dns"];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)
}

fn programs() -> Vec<Arc<Program>> {
    let load = |name: &&str| {
        let path = folder("grammars").join(format!("{name}.grammar"));
        let text = fs::read_to_string(path).expect("a shipped grammar");
        let mut sources = Sources::new();
        match portcullis_grammar::load(&mut sources, name, &text) {
            Ok((protocol, _)) => Arc::new(Program::compile(Arc::new(protocol))),
            Err(diagnostics) => panic!("{}", render_all(&diagnostics, &sources, false)),
        }
    };
    GRAMMARS.iter().map(load).collect()
}

fn read_list(request: &ListRequest<'_>) -> Result<Vec<u8>, String> {
    fs::read(folder("policies").join(request.path)).map_err(|error| error.to_string())
}

/// Compiles policies by the names of their files, or the text of one; there must be nothing to say about them.
fn compile(programs: &[Arc<Program>], files: &[&str]) -> PolicySet {
    let schemes: Vec<Arc<ProtocolScheme>> =
        programs.iter().map(|program| Arc::clone(&program.protocol().scheme)).collect();
    let mut sources = Sources::new();
    let add = |file: &&str| {
        let text = match file.ends_with(".policy") {
            true => fs::read_to_string(folder("policies").join(file)).expect("a shipped policy"),
            false => (*file).to_owned(),
        };
        sources.add(*file, text)
    };
    let files: Vec<_> = files.iter().map(add).collect();
    let (compiled, diagnostics) = match PolicySet::compile(&sources, &files, &schemes, &mut read_list) {
        Ok(compiled) => (Some(compiled.policies), compiled.warnings),
        Err(diagnostics) => (None, diagnostics),
    };
    assert!(diagnostics.is_empty(), "{}", render_all(&diagnostics, &sources, false));
    compiled.expect("policies without errors")
}

/// An event of a flow from 192.0.2.1 to 198.51.100.25.
struct OfFlow<'a, 'e>(&'a Event<'e>);

impl Host for OfFlow<'_, '_> {
    fn read(&self, place: Place) -> Value<'_> {
        match (place.scope, place.slot) {
            (Scope::Connection, connection_slots::CLIENT_ADDRESS) => Value::Address([192, 0, 2, 1].into()),
            (Scope::Connection, connection_slots::SERVER_ADDRESS) => Value::Address([198, 51, 100, 25].into()),
            (Scope::Connection, _) => Value::Absent,
            _ => self.0.read(place),
        }
    }

    fn count(&self, list: Place) -> u32 {
        self.0.count(list)
    }

    fn octets(&self, place: Place) -> Option<std::ops::Range<u32>> {
        self.0.octets(place)
    }

    fn octets_of_element(&self, list: Place, index: u32, slot: Option<u16>) -> Option<std::ops::Range<u32>> {
        self.0.octets_of_element(list, index, slot)
    }

    fn element(&self, list: Place, index: u32, slot: u16) -> Value<'_> {
        self.0.element(list, index, slot)
    }
}

/// A conversation that policies judge as it goes on.
struct Talk<'p> {
    program: &'p Program,
    policies: &'p PolicySet,
    dialogue: Dialogue,
    scratch: Scratch,
    memory: Memory,
    decisions: Vec<Decision>,
    /// Records as they became by edits.
    edited: Vec<Vec<u8>>,
}

impl<'p> Talk<'p> {
    fn new(program: &'p Program, policies: &'p PolicySet) -> Talk<'p> {
        Talk {
            program,
            policies,
            dialogue: Dialogue::new(program, false, 0),
            scratch: Scratch::default(),
            memory: Memory::new(),
            decisions: Vec::new(),
            edited: Vec::new(),
        }
    }

    fn say(&mut self, direction: Direction, octets: &[u8]) {
        let Talk { program, policies, dialogue, scratch, memory, decisions, edited } = self;
        let protocol = policies.protocol(&program.protocol().name).expect("a protocol of the set");
        let mut judge = |event: &Event<'_>| {
            let host = OfFlow(event);
            let applicable = policies.applicable(protocol, &host);
            let occurrence = Occurrence { protocol, event: event.id, time: 0 };
            let before = decisions.len();
            policies.judge(occurrence, &host, &applicable, memory, decisions);
            for decision in decisions.get(before..).unwrap_or_default() {
                if let (Action::Edit(splices), Some(record)) = (&decision.action, &event.record) {
                    edited.push(Splice::apply(splices, record.octets));
                }
            }
        };
        let datagrams = program.protocol().transports.first().is_some_and(|transport| transport.datagrams);
        if datagrams {
            dialogue.datagram(program, scratch, direction, octets, 0, &mut judge);
        } else {
            dialogue.octets(program, scratch, direction, octets, 0, &mut judge);
        }
    }
}

/// Runs a `test` block; what it expected and did not get.
fn run(test: &PolicyTest, programs: &[Arc<Program>], policies: &PolicySet) -> Vec<String> {
    let mut talk = Talk::new(&programs[0], policies);
    let mut failures = Vec::new();
    let mut fresh = true;
    let (mut begin, mut end) = (0, 0);
    for step in &test.steps {
        match step {
            PolicyTestStep::Send(direction, octets) => {
                if fresh {
                    begin = end;
                    fresh = false;
                }
                talk.say(*direction, octets);
                end = talk.decisions.len();
            }
            PolicyTestStep::Expect(expected, _) => {
                fresh = true;
                let under_test =
                    |decision: &&Decision| test.policies.is_empty() || test.policies.contains(&decision.rule.policy);
                let since: Vec<&Decision> = talk.decisions[begin..].iter().filter(under_test).collect();
                let alerts = |wanted: Option<portcullis_policy::RuleId>| {
                    let alert = |d: &&&Decision| matches!(d.action, Action::Alert { .. });
                    since.iter().filter(alert).any(|decision| wanted.is_none_or(|id| decision.rule.id == id))
                };
                let holds = match expected {
                    Expected::Alert(id) => alerts(Some(*id)),
                    Expected::NoAlert(id) => !alerts(*id),
                    Expected::Pass => since.iter().any(|decision| decision.action == Action::Pass),
                    Expected::Refuse(begin) => since.iter().any(|decision| match &decision.action {
                        Action::Refuse { text } => text.as_bytes().starts_with(begin),
                        _ => false,
                    }),
                    Expected::Edit(None) => since.iter().any(|decision| matches!(decision.action, Action::Edit(_))),
                    Expected::Edit(Some(record)) => talk.edited.iter().any(|edited| **edited == **record),
                    Expected::Block => since.iter().any(|decision| matches!(decision.action, Action::Block { .. })),
                    Expected::Reset => since.iter().any(|decision| decision.action == Action::Reset),
                    Expected::Bypass => since.iter().any(|decision| decision.action == Action::Bypass),
                    Expected::Drop => since.iter().any(|decision| decision.action == Action::Drop),
                };
                if !holds {
                    failures.push(format!("\"{}\" expects {expected:?}, there is {since:?}", test.name));
                }
            }
        }
    }
    failures
}

#[test]
fn they_load_without_a_word_and_their_tests_hold() {
    let programs = programs();
    let mut count = 0;
    for file in ["smtp.policy", "smtp-strict.policy", "smtp-no-chunking.policy", "dns.policy"] {
        let policies = compile(&programs, &[file]);
        for test in policies.tests() {
            assert_eq!(run(test, &programs, &policies), Vec::<String>::new());
            count += 1;
        }
    }
    assert!(count >= 6);
    // Its tests are about streams, which `portcullis test` runs.
    assert_eq!(compile(&programs, &["smtp-tidy.policy"]).tests().len(), 3);
    let together = compile(&programs, &["smtp-strict.policy", "smtp.policy", "dns.policy"]);
    assert!(together.rules().len() > 35);
}

/// What the sides say, in order.
type Steps<'a> = Vec<(Direction, &'a [u8])>;

/// The alerts and notes on a session of SMTP: what the client says after EHLO, with the server's answers between.
fn session(policies: &PolicySet, programs: &[Arc<Program>], steps: &[(Direction, &[u8])]) -> Vec<u32> {
    let mut talk = Talk::new(&programs[0], policies);
    talk.say(Direction::Down, b"220 mx.example ESMTP\r\n");
    talk.say(Direction::Up, b"EHLO client.example\r\n");
    talk.say(Direction::Down, b"250-mx.example\r\n250 PIPELINING\r\n");
    for (direction, octets) in steps {
        talk.say(*direction, octets);
    }
    let mut rules: Vec<u32> = talk.decisions.iter().map(|decision| decision.rule.id.0).collect();
    rules.dedup();
    rules
}

#[test]
fn each_rule_acts_where_it_should() {
    use Direction::{Down, Up};
    let programs = programs();
    let policies = compile(&programs, &["smtp.policy"]);
    let long = [b"EHLO ".to_vec(), vec![b'a'; 3_000], b"\r\n".to_vec()].concat();
    let guesses: Steps<'_> = [(Up, &b"AUTH PLAIN AGEAYg==\r\n"[..]), (Down, &b"535 no\r\n"[..])].repeat(7);
    let mail: [(Direction, &[u8]); 4] = [
        (Up, b"MAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\n"),
        (Down, b"250 ok\r\n250 ok\r\n"),
        (Up, b"DATA\r\n"),
        (Down, b"354 go\r\n"),
    ];
    let with = |rest: &[(Direction, &'static [u8])]| [mail.to_vec(), rest.to_vec()].concat();
    let cases: Vec<(Steps<'_>, &[u32])> = vec![
        (
            with(&[(Up, b"hello\r\n..dot\r\n.\r\n"), (Down, b"250 ok\r\n"), (Up, b"QUIT\r\n"), (Down, b"221 bye\r\n")]),
            &[],
        ),
        (vec![(Up, b"MAIL FROM:<x@BANNED.example>\r\n")], &[1001]),
        (vec![(Up, b"MAIL FROM:<\"a b\"@mx.banned.example> SIZE=10\r\n")], &[1001]),
        (vec![(Up, b"HELO banned.example\r\n")], &[1002]),
        (vec![(Up, b"RCPT TO:<x@banned.example>\r\n")], &[1003]),
        (with(&[(Up, b"hi\n.\r\nmore\r\n.\r\n")]), &[1011, 1010]),
        (with(&[(Up, b"hi\r\n.\rmore\r\n.\r\n")]), &[1011, 1010]),
        (with(&[(Up, b"hi\rmore\r\n.\r\n")]), &[1011]),
        (with(&[(Up, b"a\0b\r\n.\r\n")]), &[1012]),
        (vec![(Up, b"NOOP\n")], &[1013]),
        (vec![(Up, b"STARTTLS\r\nNOOP\r\n"), (Down, b"220 go\r\n")], &[1020, 1022]),
        (vec![(Up, b"STARTTLS\r\n"), (Down, b"220 go\r\n250 more\r\n")], &[1021]),
        (vec![(Up, b"MAIL FROM:<${run{x}}@a.example>\r\n")], &[1030]),
        (vec![(Up, b"RCPT TO:<`id`@a.example>\r\n")], &[1031]),
        (vec![(Up, b"EHLO $(id)\r\n")], &[1032]),
        (vec![(Up, b"MAIL FROM:<;sleep 66;>\r\n")], &[1033]),
        (vec![(Up, b"RCPT TO:<\"|cmd\"@a.example>\r\n")], &[1034]),
        (vec![(Up, b"EHLO a;b\r\n")], &[1035]),
        (vec![(Up, b"MAIL FROM:<> AUTH=a+0Ab\r\n")], &[1036]),
        (vec![(Up, &long)], &[1041, 1040]),
        (vec![(Up, b"RCPT TO:<a%b.example@c.example>\r\n")], &[1050]),
        (vec![(Up, b"RCPT TO:<@a.example:b@c.example>\r\n")], &[1050]),
        (vec![(Up, b"RCPT TO:<\"a@b.example\"@c.example>\r\n")], &[1050]),
        (vec![(Up, b"wiz\r\n")], &[1060]),
        (vec![(Up, b"X-LINK2STATE FIRST CHUNK={\r\n")], &[1061]),
        (vec![(Up, b"VRFY root\r\n")], &[1062]),
        (vec![(Up, b"GET / HTTP/1.1\r\n")], &[1063]),
        (vec![(Up, b"BDAT 4294967301 LAST\r\n")], &[1070]),
        (vec![(Up, b"NOOP\r\n"), (Down, b"250-a\r\n251 b\r\n")], &[1082]),
        (guesses, &[1090]),
    ];
    let mut wrong = Vec::new();
    for (steps, expected) in cases {
        let found = session(&policies, &programs, &steps);
        let shown: Vec<String> = steps.iter().map(|step| step.1.escape_ascii().to_string()).collect();
        if found != expected {
            wrong.push(format!("{found:?}, not {expected:?}: {shown:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
