//! What floods cost a gate, with everything that it keeps beside the engine: the peak of memory lies within what the bounds add up
//! to, it is told that they were met, and every packet is counted.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use portcullis_engine::{Bound, Fate, Footprint, GateAction, GateSettings, Mode, Settings};
use portcullis_lang::Direction::{Down, Up};
use portcullis_tests::floods::{FLOOD, measure, memory, tell};
use portcullis_tests::passage::{Connection, Passage};
use portcullis_tests::project;

/// Octets that the beginnings of connections take that may be edited: 65,536 of them, in a map that is half empty at worst.
const BEGINNINGS: u64 = 65_536 * 256;

/// A flood, with what is set for it.
struct Case {
    name: &'static str,
    /// The octets that it may take.
    bound: fn(Footprint) -> u64,
    edits: bool,
    limits: &'static [(&'static str, &'static str)],
    make: fn(&mut Passage),
}

const FLOODS: [Case; 4] = [
    Case {
        name: "half-open flows",
        bound: |footprint| footprint.table + BEGINNINGS,
        edits: true,
        limits: &[("flows", "100000"), ("stream-memory", "64KiB"), ("conversation-memory", "64KiB")],
        make: |passage| {
            for client in 0..150_000 {
                let [syn, ..] = Connection::new(client).handshake();
                assert_eq!(passage.put(&syn), Fate::Accept);
            }
            assert_eq!((passage.gate.engine().flows(), passage.told.evicted), (100_000, 50_000));
            assert_eq!(passage.gate.engine_statistics().met(Bound::Flows), 50_000);
        },
    },
    Case {
        name: "segments out of order",
        bound: |footprint| footprint.total(),
        edits: false,
        limits: &[("flows", "100000"), ("stream-memory", "24MiB"), ("conversation-memory", "64KiB")],
        make: |passage| {
            let mut dropped = 0;
            for client in 0..100_000 {
                let mut connection = Connection::new(client);
                passage.open(&mut connection);
                let fate = passage.put(&connection.ahead(Up, 100, &[b'x'; 256]));
                dropped += u64::from(fate == Fate::Drop);
            }
            assert!(dropped > 1_000, "not all of them can be held: {dropped}");
            assert_eq!(passage.gate.engine_statistics().met(Bound::QueueBytes), dropped);
            assert!(passage.gate.engine().memory() <= 25 << 20, "{}", passage.gate.engine().memory());
        },
    },
    Case {
        name: "mail before its answer",
        bound: |footprint| footprint.total(),
        edits: false,
        limits: &[("flows", "20000"), ("stream-memory", "256MiB"), ("conversation-memory", "64MiB")],
        make: |passage| {
            for client in 0..20_000 {
                let mut connection = Connection::new(client);
                passage.greet(&mut connection);
                passage.say(&mut connection, Up, b"MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n");
                passage.say(&mut connection, Up, &[b'x'; 4_000]);
                passage.sent.clear();
            }
            let met = passage.told.limits.iter().filter(|bound| **bound == Bound::ConversationMemory).count();
            let memory = passage.gate.engine().memory();
            assert!(met > 1_000, "not all of it can be held: {met}, {memory} {:?}", passage.gate.statistics());
        },
    },
    Case {
        name: "edited connections whose receivers acknowledge nothing",
        bound: |footprint| footprint.total() + BEGINNINGS,
        edits: true,
        limits: &[("flows", "20000"), ("stream-memory", "256MiB"), ("conversation-memory", "64MiB")],
        make: |passage| {
            for client in 0..20_000 {
                let mut connection = Connection::new(client);
                passage.open(&mut connection);
                passage.say(&mut connection, Down, format!("220 {}\r\n", "x".repeat(400)).as_bytes());
                for _ in 0..8 {
                    passage.put(&connection.say(Down, format!("250-{}\r\n", "x".repeat(1_000)).as_bytes()));
                }
                passage.sent.clear();
            }
            let resets = passage.told.actions.iter().filter(|action| **action == GateAction::EditMemory).count();
            let memory = passage.gate.engine().memory();
            assert!(
                resets > 0,
                "not all of it can be kept: {memory} {:?} {}",
                passage.gate.statistics(),
                passage.told.limits.len()
            );
            assert!(passage.gate.engine_statistics().met(Bound::ConversationMemory) > 0);
        },
    },
];

fn case(name: &str) -> &'static Case {
    FLOODS.iter().find(|case| case.name == name).unwrap()
}

fn settings(case: &Case) -> Settings {
    let mut settings = Settings::default();
    let small = [("fragment-bytes", "64KiB"), ("doubtful-bytes", "0"), ("blocks", "1")];
    for (name, value) in case.limits.iter().chain(&small) {
        Bound::parse(name).unwrap().set(&mut settings, value).unwrap();
    }
    settings
}

/// Not a test of its own, but the process that a flood runs in.
#[test]
fn a_flood() {
    let Ok(name) = std::env::var(FLOOD) else { return };
    let case = case(&name);
    let policy = match case.edits {
        true => std::fs::read_to_string(project().join("policies/smtp-no-chunking.policy")).unwrap(),
        false => "use smtp\npolicy none for smtp { }\n".to_owned(),
    };
    let gate = || GateSettings { mode: Mode::Enforce, ..GateSettings::default() };
    // What is the same for all: grammars, and the first pages of everything.
    let mut warm = Passage::with(&policy, settings(case), gate());
    warm.greet(&mut Connection::new(1));
    drop(warm);
    let mut passage = Passage::with(&policy, settings(case), gate());
    let before = memory("self", "VmRSS").unwrap();
    (case.make)(&mut passage);
    tell(before);
    assert!(passage.gate.statistics().reconcile(), "{:?}", passage.gate.statistics());
    passage.finish();
    assert_eq!((passage.gate.engine().flows(), passage.gate.engine().memory()), (0, 0));
}

fn flood(name: &str) {
    let case = case(name);
    measure(name, (case.bound)(Footprint::of(&settings(case))));
}

#[test]
fn half_open_flows_that_may_be_edited() {
    flood("half-open flows");
}

#[test]
fn a_hundred_thousand_segments_out_of_order() {
    flood("segments out of order");
}

#[test]
fn mail_that_does_not_wait_for_its_answer() {
    flood("mail before its answer");
}

#[test]
fn edited_connections_whose_receivers_acknowledge_nothing() {
    flood("edited connections whose receivers acknowledge nothing");
}
