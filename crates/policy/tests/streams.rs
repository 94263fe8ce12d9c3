//! `contains` and `matches` on streams: the same judgements for every cut, against an oracle that has all of the stream.
#![expect(clippy::unwrap_used, reason = "a broken assumption is to end the test")]

mod support;

use portcullis_lang::scheme::event_slots;
use portcullis_lang::{EventId, Host, Place, Scope, Value};
use portcullis_policy::{Decision, Memory, Occurrence, PolicySet, Scans};
use proptest::prelude::*;
use support::{describe, policies};

/// An event of a stream from 192.0.2.1.
struct OfStream<'a> {
    data: &'a [u8],
    offset: i64,
    size: i64,
    complete: bool,
}

impl Host for OfStream<'_> {
    fn read(&self, place: Place) -> Value<'_> {
        match (place.scope, place.slot) {
            (Scope::Event, event_slots::DATA) => Value::bytes(self.data),
            (Scope::Event, event_slots::OFFSET) => Value::Number(self.offset),
            (Scope::Event, event_slots::SIZE) => Value::Number(self.size),
            (Scope::Event, event_slots::COMPLETE) => Value::Boolean(self.complete),
            (Scope::Connection, 0) => Value::Address([192, 0, 2, 1].into()),
            _ => Value::Absent,
        }
    }

    fn count(&self, _: Place) -> u32 {
        0
    }

    fn element(&self, _: Place, _: u32, _: u16) -> Value<'_> {
        Value::Absent
    }
}

/// What the rules decide about a stream that comes in these chunks, and how many decisions came before its end.
fn judge(policies: &PolicySet, chunks: &[&[u8]], complete: bool) -> (Vec<Decision>, usize) {
    let protocol = policies.protocol("smtp").unwrap();
    let scheme = support::smtp();
    let event = |name: &str| scheme.event(name).unwrap().0;
    let (mut memory, mut scans, mut decisions) = (Memory::new(), Scans::default(), Vec::new());
    let of = |data, size: usize| OfStream { data, offset: 100, size: i64::try_from(size).unwrap(), complete };
    let applicable = policies.applicable(protocol, &of(b"", 0));
    let mut say = |event: EventId, host: &OfStream<'_>, decisions: &mut Vec<Decision>| {
        let occurrence = Occurrence { protocol, event, time: 0 };
        if policies.scans(protocol, event) {
            policies.scan(occurrence, host, &applicable, &mut memory, &mut scans, decisions);
        }
        policies.judge_stream(occurrence, host, &applicable, &mut memory, &mut scans, decisions);
    };
    say(event("content.start"), &of(b"", 0), &mut decisions);
    for chunk in chunks {
        say(event("content.chunk"), &of(chunk, chunk.len()), &mut decisions);
    }
    let before = decisions.len();
    let size = chunks.iter().map(|chunk| chunk.len()).sum();
    say(event("content"), &of(b"", size), &mut decisions);
    assert_eq!(scans.memory(), 0, "nothing is kept behind the end");
    (decisions, before)
}

fn acted(policies: &PolicySet, chunks: &[&[u8]]) -> Vec<String> {
    describe(&judge(policies, chunks, true).0)
}

#[test]
fn a_text_is_found_across_chunks_and_once() {
    let policies = policies(
        r#"list words = ["PayPal", "bitcoin"]
        policy p for smtp {
            rule marker  id 1 { on smtp.content when contains "NIGHTFALL"            log "at {position} of the stream at {offset}" }
            rule card    id 2 { on smtp.content when matches /\b4[0-9]{3}([ -]?[0-9]{4}){3}\b/   alert high "card at {position}" }
            rule words   id 3 { on smtp.content when contains any words              log "word" }
            rule all     id 4 { on smtp.content when contains all words              log "all" }
            rule absent  id 5 { on smtp.content when not contains "unsubscribe"      log "{size}" }
            rule begins  id 6 { on smtp.content when matches /^Subject: x/           log "begin" }
            rule ends    id 7 { on smtp.content when matches /[.]$/                  log "end" }
            rule both    id 8 { on smtp.content when contains "a" and matches /b{3}/ log "{position}" }
        }"#,
    );
    let text: &[u8] = b"Subject: x\r\nNIGHTFALL NIGHTFALL 4111-1111 1111 1111 paypal aBITCOIN bbbb.";
    let whole = acted(&policies, &[text]);
    assert_eq!(
        whole,
        [
            "6 log \"begin\"",
            "1 log \"at 21 of the stream at 100\"",
            "2 alert high \"card at 51\"",
            "3 log \"word\"",
            "4 log \"all\"",
            "8 log \"71\"",
            "5 log \"73\"",
            "7 log \"end\"",
        ]
    );
    let octets: Vec<&[u8]> = text.chunks(1).collect();
    assert_eq!(acted(&policies, &octets), whole);
    for cut in 0..=text.len() {
        let (one, two) = text.split_at(cut);
        assert_eq!(acted(&policies, &[one, b"", two]), whole, "cut at {cut}");
    }
}

#[test]
fn a_rule_acts_where_the_match_ends_and_stops_the_reading() {
    let policies = policies(
        r#"policy p for smtp {
            rule evil id 1 { on smtp.content when contains "evil"  drop }
            rule late id 2 { on smtp.content                       log "never" }
        }"#,
    );
    let (decisions, before) = judge(&policies, &[b"e", b"vi ev", b"il", b"more"], true);
    assert_eq!((describe(&decisions), before), (vec!["1 drop".to_owned()], 1));
    let (decisions, before) = judge(&policies, &[b"good"], true);
    assert_eq!((describe(&decisions), before), (vec!["2 log \"never\"".to_owned()], 0));
}

#[test]
fn a_pass_before_it_makes_a_rule_wait() {
    let policies = policies(
        r#"policy p for smtp {
            rule signed id 1 { on smtp.content when contains "signed"  pass }
            rule evil   id 2 { on smtp.content when contains "evil"    drop }
        }"#,
    );
    assert_eq!(acted(&policies, &[b"evil but ", b"signed"]), ["1 pass"]);
    assert_eq!(acted(&policies, &[b"evil", b" and not"]), ["2 drop"]);
}

#[test]
fn of_what_was_lost_nothing_is_said() {
    let policies = policies(
        r#"policy p for smtp {
            rule without id 1 { on smtp.content when not contains "x"   log "without" }
            rule has     id 2 { on smtp.content when contains "y"       log "has" }
        }"#,
    );
    assert_eq!(describe(&judge(&policies, &[b"abc"], true).0), ["1 log \"without\""]);
    assert_eq!(describe(&judge(&policies, &[b"abc"], false).0), Vec::<String>::new());
    assert_eq!(describe(&judge(&policies, &[b"aby"], false).0), ["2 log \"has\""]);
}

#[test]
fn a_flow_that_no_such_rule_applies_to_is_not_looked_through() {
    let policies = policies(
        r#"policy p for smtp when client in 203.0.113.0/24 { rule a id 1 { on smtp.content when contains "x" log "x" } }
           policy q for smtp { rule b id 2 { on smtp.content log "{size}" } }"#,
    );
    assert_eq!(acted(&policies, &[b"xxx"]), ["2 log \"3\""]);
    let costs = policies.stream_costs();
    assert_eq!((costs.len(), costs[0].stream.as_str(), costs[0].texts, costs[0].steps), (1, "smtp.content", 1, 1));
    assert!(costs[0].per_flow < 512, "{costs:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// For every cut, the same decisions in the same order; and a rule acts if its test holds for the whole stream.
    #[test]
    fn segmentation_changes_nothing(
        text in "[abAB.\r\n]{0,60}",
        cuts in proptest::collection::vec(0usize..61, 0..8),
        words in proptest::collection::vec("[abAB]{1,4}", 1..4),
        expression in prop_oneof![
            Just("a+b"), Just("(?i)ab{2}a"), Just("^a.*b$"), Just("(?m)^a"), Just("b$"), Just("a.{3}b"), Just(r"\bab\b"),
            Just("x*"), Just("(aa|bb)+A"),
        ],
    ) {
        let list = words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        let first = &words[0];
        let source = format!(
            "list words = [{list}]
            policy p for smtp {{
                rule a id 1 {{ on smtp.content when contains \"{first}\"                     log \"{{position}}\" }}
                rule b id 2 {{ on smtp.content when contains any words                       log \"{{position}}\" }}
                rule c id 3 {{ on smtp.content when matches /{expression}/                   log \"{{position}}\" }}
                rule d id 4 {{ on smtp.content when contains \"{first}\" and not matches /{expression}/  log \"{{position}}\" }}
                rule e id 5 {{ on smtp.content when contains \"{first}\" and matches /{expression}/      log \"{{position}}\" }}
            }}"
        );
        let policies = policies(&source);
        let octets = text.as_bytes();
        let whole = acted(&policies, &[octets]);
        let mut places: Vec<usize> = cuts.iter().map(|cut| *cut.min(&octets.len())).collect();
        places.sort_unstable();
        let mut chunks = Vec::new();
        let mut at = 0;
        for place in places {
            chunks.push(&octets[at..place]);
            at = place;
        }
        chunks.push(&octets[at..]);
        prop_assert_eq!(&acted(&policies, &chunks), &whole);
        let regex = regex::bytes::RegexBuilder::new(expression).unicode(false).build().unwrap();
        let lower = text.to_ascii_lowercase();
        let (one, fits) = (text.contains(first.as_str()), regex.is_match(octets));
        let any = words.iter().any(|word| lower.contains(&word.to_ascii_lowercase()));
        let expected: Vec<u32> = [(1, one), (2, any), (3, fits), (4, one && !fits), (5, one && fits)]
            .into_iter()
            .filter_map(|(id, acts)| acts.then_some(id))
            .collect();
        let mut found: Vec<u32> = whole.iter().map(|line| line[..1].parse().unwrap()).collect();
        found.sort_unstable();
        prop_assert_eq!(found, expected);
        // The first text ends where it first ends.
        if let Some(begin) = text.find(first.as_str()) {
            let line = format!("1 log \"{}\"", begin + first.len());
            prop_assert!(whole.contains(&line), "{} is not among {:?}", line, whole);
        }
    }
}
