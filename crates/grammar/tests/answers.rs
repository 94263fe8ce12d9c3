//! What policies can do to a conversation by its grammar: say no, change records; and what of it is not complete yet.

#![allow(clippy::expect_used)]

use std::sync::Arc;

use portcullis_grammar::{Dialogue, Event, Program, Scratch};
use portcullis_lang::scheme::{Canonical, ListMark, ProtocolScheme};
use portcullis_lang::{Code, Direction, Host, Place, Scope, Sources};

fn load(name: &str, text: &str) -> Result<Program, Vec<Code>> {
    let mut sources = Sources::new();
    match portcullis_grammar::load(&mut sources, name, text) {
        Ok((protocol, _)) => Ok(Program::compile(Arc::new(protocol))),
        Err(diagnostics) => Err(diagnostics.sorted().iter().map(|diagnostic| diagnostic.code).collect()),
    }
}

fn smtp() -> Program {
    load("smtp.grammar", include_str!("../../../grammars/smtp.grammar")).expect("a shipped grammar")
}

fn id(scheme: &ProtocolScheme, name: &str) -> usize {
    usize::from(scheme.event(name).expect("an event").0.0)
}

#[test]
fn smtp_refuses_until_tls_begins() {
    let program = smtp();
    let scheme = &program.protocol().scheme;
    let refusal = scheme.refusal.as_ref().expect("SMTP refuses");
    assert_eq!((refusal.record.as_str(), refusal.least, refusal.most), ("reply", 400, 599));
    let states: Vec<&str> = refusal.not_in.iter().map(|state| scheme.states[usize::from(state.0)].as_str()).collect();
    assert_eq!(states, ["secured", "unsecured"]);
    let events: Vec<&str> =
        refusal.not_on.iter().map(|event| scheme.events[usize::from(event.0)].name.as_str()).collect();
    assert_eq!(events, ["tls_record", "clear_after_starttls", "reply_after_starttls"]);
}

#[test]
fn what_can_be_changed_is_octets_and_lists_that_go_on_by_a_mark() {
    let program = smtp();
    let scheme = &program.protocol().scheme;
    let reply = &scheme.writable[id(scheme, "reply")];
    let layout = &scheme.events[id(scheme, "reply")].layout;
    let lines = layout.field("lines").expect("its lines");
    let portcullis_lang::Type::List(line) = &lines.kind else { panic!("a list") };
    let digits = line.field("digits").expect("its digits").slot;
    assert_eq!(reply.lists.len(), 1);
    assert_eq!(reply.lists[0].slot, lines.slot);
    assert_eq!(reply.lists[0].mark, Some(ListMark { behind: digits, octet: b'-' }));
    let command = &scheme.writable[id(scheme, "command")];
    let slot = |path: &str| scheme.events[id(scheme, "command")].layout.field(path).expect("a field").slot;
    assert!(command.slots.contains(&slot("domain")) && command.slots.contains(&slot("sender.address")));
    assert!(!command.slots.contains(&slot("sender.domain")) && !command.slots.contains(&slot("size")));
}

/// The anomalies that have a canonical form.
fn fixable(program: &Program) -> Vec<&str> {
    let scheme = &program.protocol().scheme;
    let forms = scheme.anomalies.iter().zip(&scheme.canonical);
    forms.filter(|(_, forms)| !forms.is_empty()).map(|(anomaly, _)| anomaly.name.as_str()).collect()
}

#[test]
fn what_smtp_tolerates_has_a_canonical_form_where_nothing_is_guessed() {
    let program = smtp();
    assert_eq!(fixable(&program), ["bare_lf", "bare_cr", "leading_blanks", "trailing_text", "odd_separator"]);
    let scheme = &program.protocol().scheme;
    let of = |name: &str| scheme.anomalies.iter().position(|anomaly| anomaly.name == name).expect("an anomaly");
    assert_eq!(scheme.canonical[of("bare_cr")], [Canonical::Newline { octet: b'\r', hidden: Some(b'.') }]);
    // `lead` of MAIL and RCPT becomes one blank, `gap` and `pad` none.
    let blanks = scheme.canonical[of("odd_separator")].iter().map(|form| match form {
        Canonical::Blanks { record, count, .. } => (record.as_str(), *count),
        Canonical::Newline { .. } => panic!("blanks"),
    });
    let mut blanks: Vec<_> = blanks.collect();
    blanks.sort_unstable();
    blanks.dedup();
    assert_eq!(blanks, [("command", 0), ("command", 1)]);
}

#[test]
fn a_newline_has_no_canonical_form_where_it_could_end_a_stream() {
    let grammar = |stream: &str| {
        let text = format!(
            "protocol p over tcp port 9\nnewline CRLF, and LF as anomaly lf, and CR as anomaly cr\nanomaly lf \"a LF\"\n\
             anomaly cr \"a CR\"\nanomaly end \"an end\"\nline go max 99 {{ text: rest }}\nstream body {{ {stream} }}\n\
             machine {{ start talk  state talk {{ up body  on body -> finish  on timeout 5 min -> finish }} }}\n"
        );
        load("p.grammar", &text).expect("a grammar")
    };
    let ends = "lines until \".\" and lookalikes as anomaly end";
    assert_eq!(fixable(&grammar(&format!("{ends} | remove leading \".\""))), ["lf", "cr"]);
    for open in [ends.to_owned(), format!("{ends} | remove leading \"-\""), ends.replace("\".\"", "\"..\"")] {
        assert_eq!(fixable(&grammar(&open)), [""; 0], "{open}");
    }
}

#[test]
fn the_octets_of_fields_and_elements_are_known() {
    let program = smtp();
    let scheme = Arc::clone(&program.protocol().scheme);
    let layout = Arc::clone(&scheme.events[id(&scheme, "reply")].layout);
    let lines = Place { scope: Scope::Record, slot: layout.field("lines").expect("a list").slot };
    let mut found = Vec::new();
    let mut dialogue = Dialogue::new(&program, false, 0);
    let mut sink = |event: &Event<'_>| {
        if event.event_name() == "reply" {
            let count = event.count(lines);
            found.push((event.offset, (0..count).map(|n| event.octets_of_element(lines, n, None)).collect::<Vec<_>>()));
        }
    };
    let mut scratch = Scratch::default();
    let mut say = |direction, octets: &[u8]| dialogue.octets(&program, &mut scratch, direction, octets, 0, &mut sink);
    say(Direction::Down, b"220 mx\r\n");
    say(Direction::Up, b"EHLO a\r\n");
    // Cut anywhere, the places are the same.
    say(Direction::Down, b"250-mx\r\n250-SI");
    say(Direction::Down, b"ZE\r\n250 HELP\r\n");
    assert_eq!(found, [(0, vec![Some(0..8)]), (8, vec![Some(0..8), Some(8..18), Some(18..28)])]);
}

#[test]
fn what_is_not_complete_and_what_waits_are_told_apart() {
    let program = smtp();
    let mut dialogue = Dialogue::new(&program, false, 0);
    let mut scratch = Scratch::default();
    let mut sink = |_: &Event<'_>| {};
    let mut say = |dialogue: &mut Dialogue, direction, octets: &[u8]| {
        dialogue.octets(&program, &mut scratch, direction, octets, 0, &mut sink);
        Direction::BOTH.map(|direction| (dialogue.partial(direction), dialogue.stalled(direction)))
    };
    use Direction::{Down, Up};
    assert_eq!(say(&mut dialogue, Down, b"220 mx\r"), [(0, 0), (7, 0)]);
    assert_eq!(say(&mut dialogue, Down, b"\n"), [(0, 0), (0, 0)]);
    assert_eq!(say(&mut dialogue, Up, b"EHL"), [(3, 0), (0, 0)]);
    say(&mut dialogue, Up, b"O a\r\n");
    assert_eq!(say(&mut dialogue, Down, b"250-mx\r\n250 "), [(0, 0), (12, 0)]);
    say(&mut dialogue, Down, b"x\r\n");
    say(&mut dialogue, Up, b"MAIL FROM:<x@y>\r\nRCPT TO:<u@v>\r\n");
    say(&mut dialogue, Down, b"250 ok\r\n250 ok\r\n");
    // Whether this is mail or commands the answer tells.
    assert_eq!(say(&mut dialogue, Up, b"DATA\r\nhi\r\n"), [(0, 4), (0, 0)]);
    assert_eq!(say(&mut dialogue, Down, b"354 go\r\n"), [(0, 0), (0, 0)]);
}

#[test]
fn refusals_that_a_grammar_cannot_have() {
    let toy = |refuse: &str| {
        load(
            "toy.grammar",
            &format!(
                "protocol toy over tcp port 7\n{refuse}\nline message max 512 {{ text: rest }}
machine {{ start talk  state talk {{ up message  down message  on message -> talk  on timeout 5 min -> finish }} }}\n"
            ),
        )
        .err()
        .unwrap_or_default()
    };
    assert_eq!(toy("refuse with message 400..599"), []);
    assert_eq!(toy("refuse with mesage 400..599"), [Code::C1]);
    assert_eq!(toy("refuse with message 599..400"), [Code::C11]);
    assert_eq!(toy("refuse with message 4..5"), [Code::C11]);
    assert_eq!(toy("refuse with message 400..1000"), [Code::S5]);
    assert_eq!(toy("refuse message 400..599"), [Code::S1]);
    assert_eq!(toy("refuse with message 400..499\nrefuse with message 500..599").first(), Some(&Code::S7));
}
