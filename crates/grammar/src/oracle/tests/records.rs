//! Records: programs and oracle come to the same, however the octets are cut.

use std::sync::Arc;

use portcullis_lang::Value;
use proptest::prelude::*;

use super::choices::Choices;
use super::{inputs, models};
use crate::flow_values::FlowValues;
use crate::limits::MAX_RECORD_ANOMALIES;
use crate::model::{Protocol, RuleId};
use crate::oracle::{Extent, Fields, Leaf, Parsed, Reading, flow_fields, read};
use crate::program::{Outcome, Program, Run};
use crate::record::{Record, Slot};

const TOP: RuleId = RuleId(0);

/// What a run that has come to its end says, in the words of the oracle; the texts of errors are not compared.
fn reading(run: &Run, outcome: &Outcome, octets: &[u8], model: &Reading) -> Reading {
    match outcome {
        Outcome::Need => Reading::More,
        Outcome::Failed(error) => match model {
            Reading::Wrong(text) => Reading::Wrong(text.clone()),
            _ => Reading::Wrong(format!("{} at {}", error.text, error.at)),
        },
        Outcome::Complete(length) => {
            let width = match model {
                Reading::Complete(parsed) => parsed.fields.as_slice(),
                _ => &[],
            };
            let record = Record { octets, slots: &run.slots };
            Reading::Complete(Parsed {
                fields: fields(&record, 0, width),
                length: *length as usize,
                anomalies: run.anomalies.iter().map(|(anomaly, at)| (*anomaly, *at as usize)).collect(),
            })
        }
    }
}

/// The slots of a record or element, as many as the oracle has.
fn fields(record: &Record<'_>, base: u32, like: &[Leaf]) -> Fields {
    let leaf = |(slot, like): (u16, &Leaf)| {
        let place = base as usize + usize::from(slot);
        if !matches!(record.slots.slots.get(place), Some(Slot::List { .. })) {
            return match record.value_at(base, slot) {
                Value::Unknown => Leaf::Unknown,
                value => Leaf::of(&value),
            };
        }
        let likes: &[Fields] = match like {
            Leaf::List(elements) => elements,
            _ => &[],
        };
        let element = |index: u32| {
            let like = likes.get(index as usize).map(Vec::as_slice).unwrap_or_default();
            let base = record.element_base_at(base, slot, index).expect("an element that is counted is there");
            fields(record, base, like)
        };
        Leaf::List((0..record.count_at(base, slot)).map(element).collect())
    };
    (0..).zip(like).map(leaf).collect()
}

fn bounded(mut reading: Reading) -> Reading {
    if let Reading::Complete(parsed) = &mut reading {
        parsed.anomalies.truncate(MAX_RECORD_ANOMALIES);
    }
    reading
}

/// Fails unless programs and oracle agree about these octets, whole and cut at these places.
pub(super) fn agree(protocol: &Arc<Protocol>, octets: &[u8], cuts: &[Vec<usize>]) {
    let program = Program::compile(Arc::clone(protocol));
    let flow = FlowValues::new(protocol);
    let naive_flow = flow_fields(protocol);
    let mut run = Run::default();
    let rules: Vec<_> = protocol.rules.iter().map(|rule| (&rule.items, &rule.result)).collect();
    let grammar = format!("{rules:?}").replace(&format!(", span: {:?}", models::SPAN), "");
    let shown = format!("{} by {:?} {grammar}", octets.escape_ascii(), protocol.newline);

    let whole = bounded(read(protocol, TOP, octets, Extent::Exactly(octets.len()), &naive_flow));
    run.start_closed(&program, TOP, octets.len());
    let outcome = run.run(&program, octets, true, &flow);
    assert_eq!(reading(&run, &outcome, octets, &whole), whole, "all of \"{shown}\"");

    let open = bounded(read(protocol, TOP, octets, Extent::Open, &naive_flow));
    let ended = match &open {
        Reading::More => bounded(read(protocol, TOP, octets, Extent::Ended, &naive_flow)),
        settled => settled.clone(),
    };
    for cuts in cuts {
        run.start(&program, TOP);
        let mut outcome = Outcome::Need;
        let mut seen = 0;
        for cut in cuts.iter().copied().chain([octets.len()]) {
            seen = cut;
            let prefix = &octets[..cut];
            outcome = run.run(&program, prefix, false, &flow);
            let naive = bounded(read(protocol, TOP, prefix, Extent::Open, &naive_flow));
            match (&outcome, &naive) {
                // What is wrong may be seen sooner by one than by the other; both have to see it at last.
                (Outcome::Need, Reading::Wrong(_) | Reading::More) | (Outcome::Failed(_), Reading::More) => {}
                _ => assert_eq!(
                    reading(&run, &outcome, prefix, &naive),
                    naive,
                    "the first {cut} octets of \"{shown}\" cut at {cuts:?}"
                ),
            }
            if !matches!(outcome, Outcome::Need) {
                break;
            }
        }
        if matches!(outcome, Outcome::Need) {
            outcome = run.run(&program, octets, true, &flow);
        }
        let octets = &octets[..seen];
        assert_eq!(reading(&run, &outcome, octets, &ended), ended, "\"{shown}\" cut at {cuts:?}");
    }
}

/// No cut, every cut in two, one octet at a time, and these.
pub(super) fn all_cuts(length: usize, random: &[u16]) -> Vec<Vec<usize>> {
    let mut cuts: Vec<Vec<usize>> = (0..length).map(|cut| vec![cut]).collect();
    cuts.push((0..length).collect());
    let mut random: Vec<usize> = random.iter().map(|cut| usize::from(*cut) % (length + 1)).collect();
    random.sort_unstable();
    cuts.push(random);
    cuts.push(Vec::new());
    cuts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn programs_and_oracle_agree(
        model in prop::collection::vec(any::<u8>(), 0..80),
        input in prop::collection::vec(any::<u8>(), 0..60),
        spoiled in prop::collection::vec(any::<u8>(), 0..9),
        cuts in prop::collection::vec(any::<u16>(), 0..5),
    ) {
        let protocol = models::make(&mut Choices::new(&model));
        let mut octets = inputs::walk(&protocol, &mut Choices::new(&input));
        inputs::spoil(&mut octets, &mut Choices::new(&spoiled));
        agree(&protocol, &octets, &all_cuts(octets.len(), &cuts));
    }
}

/// How many grammars are tried; `PROPTEST_CASES` says otherwise.
pub(super) fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1500)
}
