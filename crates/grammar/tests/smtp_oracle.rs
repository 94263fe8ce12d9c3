//! Conversations of SMTP as the machine tells them and as the oracle does, which waits for every answer.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use portcullis_grammar::oracle;
use portcullis_lang::{Direction, EventKind};
use proptest::prelude::*;
use support::conversations::{conversation, whole};
use support::{Pieces, Told, converse, smtp};

/// An event in words that both can say. Only an answer says what it belongs to: what a side says ahead of its time is
/// told with what the flow keeps at that time.
fn words(told: &Told) -> String {
    let about = if told.direction == Direction::Down && told.kind == EventKind::Record { &told.flow } else { "" };
    // Reasons are told by one of them only.
    let details = match told.kind {
        EventKind::Record | EventKind::StreamEnd => told.details.as_str(),
        _ => "",
    };
    // A channel has no place of its own.
    let offset = if told.name == "mail" { 0 } else { told.offset };
    format!("{} at {offset} {details} {about} {}", told.name, told.complete)
}

fn by_oracle(pieces: &[(Direction, &[u8])]) -> Vec<Told> {
    let protocol = smtp().protocol();
    oracle::converse(protocol, pieces)
        .iter()
        .map(|heard| {
            let event = &protocol.scheme.events[usize::from(heard.id.0)];
            let mut details = String::new();
            if let (EventKind::Record, Some(fields)) = (heard.kind, &heard.fields) {
                for field in &event.layout.fields {
                    let leaf = fields.get(usize::from(field.slot)).cloned().unwrap_or_default();
                    support::show(&mut details, &field.path, &leaf.value());
                }
            }
            details.push_str(&heard.content.escape_ascii().to_string());
            let mut flow = String::new();
            for field in &protocol.scheme.flow.fields {
                support::show(&mut flow, &field.path, &heard.flow[usize::from(field.slot)].value());
            }
            Told {
                direction: heard.direction,
                kind: heard.kind,
                name: event.name.clone(),
                offset: heard.offset,
                size: 0,
                details,
                flow,
                state: protocol.scheme.states[usize::from(heard.state.0)].clone(),
                complete: heard.complete,
            }
        })
        .collect()
}

/// What one direction says, and the way of the machine.
fn parts(told: &[Told]) -> [Vec<String>; 4] {
    let machine =
        |kind: EventKind| matches!(kind, EventKind::Enter | EventKind::Leave | EventKind::Fail | EventKind::Finish);
    let says = |direction: Direction| {
        let said = told.iter().filter(|told| told.direction == direction && !machine(told.kind));
        said.filter(|told| !matches!(told.kind, EventKind::Anomaly(_))).map(words).collect()
    };
    let mut anomalies: Vec<String> = told
        .iter()
        .filter(|told| matches!(told.kind, EventKind::Anomaly(_)))
        .map(|told| format!("{} at {} {}", told.name, told.offset, told.direction))
        .collect();
    anomalies.sort_unstable();
    let way =
        told.iter().filter(|told| machine(told.kind)).map(|told| format!("{} {}", told.name, told.state)).collect();
    [says(Direction::Up), says(Direction::Down), anomalies, way]
}

fn agree(pieces: &Pieces) {
    let told = converse(smtp(), &whole(pieces));
    let heard = by_oracle(&whole(pieces));
    // An answer in the middle of a group that ends a mail (421, 221, no code at all): of that mail the machine, ahead of
    // the answer, has told what comes behind it too.
    let is_ended_by_answer =
        |heard: &Told| heard.name == "mail" && heard.direction == Direction::Down && !heard.complete;
    if heard.iter().any(is_ended_by_answer) {
        return;
    }
    for (told, heard) in parts(&told).into_iter().zip(parts(&heard)) {
        if told != heard {
            let place = told.iter().zip(&heard).take_while(|(one, two)| one == two).count();
            let shown: Vec<String> =
                pieces.iter().map(|(direction, octets)| format!("{direction} {}", octets.escape_ascii())).collect();
            panic!("{shown:#?}\ntold:  {:#?}\noracle: {:#?}", told.get(place..), heard.get(place..));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_machine_tells_what_the_oracle_does(mut pieces in conversation()) {
        // What is never answered is told by the machine, which looks through, and not by the oracle, which waits.
        pieces.extend((0..16).map(|_| (Direction::Down, b"250 ok\r\n".to_vec())));
        agree(&pieces);
    }
}
