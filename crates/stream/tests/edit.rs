//! Connections that are edited on their way: what each side reads is what a model of the edits says, whatever the network
//! does to the packets.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod model;

use model::Random;
use model::endpoint::Host;
use model::network::{Change, Judgement, Network, Weather, edited, random_changes};
use portcullis_lang::Direction;
use portcullis_stream::Editor;
use portcullis_stream::edit::{EditError, EditLimits, EditSettings, EditStatistics, Hello};
use portcullis_wire::{SequenceNumber, Timestamp};
use proptest::prelude::*;

/// The connections of the test that counts its edits.
const SEEDS: std::ops::Range<u64> = 0..150;

/// How a connection is made up, all of it from a seed.
#[derive(Clone, Debug)]
struct Case {
    hosts: [Host; 2],
    weather: Weather,
    settings: EditSettings,
    lengths: [u64; 2],
    edits: [u64; 2],
    judgement: Judgement,
    /// How often, in a thousand, a side writes and reads, and how much.
    writes: [(u64, u64); 2],
    reads: [(u64, u64); 2],
}

impl Case {
    fn of(seed: u64) -> Case {
        let mut random = Random::new(seed);
        let version_6 = random.happens(300);
        let (client, server) =
            if version_6 { ("[2001:db8::1]:40000", "[2001:db8::2]:25") } else { ("192.0.2.1:40000", "192.0.2.2:25") };
        let mut host = |address: &str| Host {
            address: address.parse().unwrap(),
            // Half of them wrap around.
            iss: if random.happens(500) { u32::MAX - random.below(30_000) as u32 } else { random.next() as u32 },
            mss: random.one_of(&[536, 1_000, 1_400, 1_440, 9_000]),
            scale: random.below(5) as u8,
            buffer: random.one_of(&[1_500, 4_000, 16_000, 70_000]),
            sack: random.happens(700),
            timestamps: random.happens(700),
            nagle: random.happens(500),
        };
        let hosts = [host(client), host(server)];
        let mut rate = || {
            let most = random.one_of(&[30, 400, 5_000]);
            (10 + random.below(500), 1 + random.below(most))
        };
        let (writes, reads) = ([rate(), rate()], [rate(), rate()]);
        let most = [0, 2_000, 20_000, 60_000];
        Case {
            hosts,
            weather: Weather {
                lost: random.one_of(&[0, 10, 50, 150]),
                doubled: random.one_of(&[0, 20, 100]),
                late: random.one_of(&[0, 50, 300]),
            },
            settings: EditSettings { mtu: random.one_of(&[576, 1_280, 1_500]), ..EditSettings::default() },
            lengths: [
                {
                    let most = random.one_of(&most);
                    random.below(most + 1)
                },
                {
                    let most = random.one_of(&most);
                    random.below(most + 1)
                },
            ],
            edits: [random.below(20), random.below(20)],
            judgement: if random.happens(500) { Judgement::AtOnce } else { Judgement::Sometimes(400) },
            writes,
            reads,
        }
    }
}

/// Lets a connection go from its beginning to its end; fails when a side reads something else than it should, or when it
/// takes too long. Gives the number of edits.
fn run(seed: u64) -> (usize, EditStatistics) {
    let case = Case::of(seed);
    let mut random = Random::new(seed ^ 0x5555);
    let said = case.lengths.map(|length| random.octets(length as usize));
    let changes = [0, 1].map(|index| random_changes(&mut random, case.lengths[index], case.edits[index]));
    let expected = [0, 1].map(|index: usize| edited(&said[index], &changes[index]));
    let edits = changes.iter().map(Vec::len).sum();
    let mut network =
        Network::new(random.next(), case.hosts.clone(), case.weather, case.settings.clone(), changes, case.judgement);
    let mut written = [0; 2];
    let mut closed = [false; 2];
    loop {
        for direction in Direction::BOTH {
            let index = direction.index();
            let (often, count) = case.writes[index];
            // Nobody writes so slowly that the time is not enough.
            let count = count.max(case.lengths[index] / 1_000);
            if !closed[index] && random.happens(often) {
                let end = (written[index] + 1 + random.below(count) as usize).min(said[index].len());
                let side = if index == 0 { &mut network.client } else { &mut network.server };
                side.write(&said[index][written[index]..end]);
                written[index] = end;
                if end == said[index].len() {
                    side.close();
                    closed[index] = true;
                }
            }
            let (often, count) = case.reads[index];
            if random.happens(often) {
                network.consume(direction, 1 + random.below(count * 4));
            }
        }
        network.step();
        for (index, side) in [&network.server, &network.client].into_iter().enumerate() {
            let read = &side.received;
            assert!(
                read.len() <= expected[index].len() && *read == expected[index][..read.len()],
                "seed {seed}: direction {index} after {} octets",
                read.len()
            );
            assert!(!side.was_reset, "seed {seed}: reset");
        }
        if network.client.is_done() && network.server.is_done() {
            break;
        }
        assert!(
            network.now < 1_200_000,
            "seed {seed}: not done after 20 minutes: {case:#?}\n{:?}\nclient {}\nserver {}\neditor {:?}",
            network.gateway.dropped,
            network.client.state(),
            network.server.state(),
            network.gateway.editor.as_ref().map(|editor| (editor.standing(), editor.deadline(), editor.statistics())),
        );
    }
    let editor = network.gateway.editor.as_ref().expect("an editor");
    assert_eq!(network.server.received, expected[0], "seed {seed}");
    assert_eq!(network.client.received, expected[1], "seed {seed}");
    assert!(editor.given_up().is_none());
    for direction in Direction::BOTH {
        assert_eq!(editor.held(direction), 0, "seed {seed}");
    }
    (edits, network.statistics())
}

fn host(address: &str, iss: u32) -> Host {
    Host {
        address: address.parse().unwrap(),
        iss,
        mss: 1_460,
        scale: 7,
        buffer: 70_000,
        sack: true,
        timestamps: true,
        nagle: true,
    }
}

fn hosts() -> [Host; 2] {
    [host("192.0.2.1:40000", 1_000), host("192.0.2.2:25", u32::MAX - 100)]
}

fn network(changes: [Vec<Change>; 2], judgement: Judgement) -> Network {
    Network::new(1, hosts(), Weather::default(), EditSettings::default(), changes, judgement)
}

fn insert(offset: u64, text: &str) -> Change {
    Change { offset, removed: 0, inserted: text.into() }
}

fn steps(network: &mut Network, count: u32) {
    for _ in 0..count {
        network.step();
        network.consume(Direction::Up, u64::MAX);
        network.consume(Direction::Down, u64::MAX);
    }
}

#[test]
fn what_nobody_edits_passes_packet_by_packet() {
    let mut network = network([Vec::new(), Vec::new()], Judgement::AtOnce);
    let said = Random::new(5).octets(100_000);
    network.client.write(&said);
    network.server.write(&said[..3_000]);
    steps(&mut network, 500);
    network.client.close();
    network.server.close();
    steps(&mut network, 100);
    assert!(network.client.is_done() && network.server.is_done());
    assert_eq!(network.server.received, said);
    assert_eq!(network.client.received, said[..3_000]);
    let statistics = network.statistics();
    assert_eq!(statistics.packets, statistics.made);
    assert_eq!(
        statistics,
        EditStatistics { packets: statistics.packets, made: statistics.made, ..EditStatistics::default() }
    );
    assert!(network.gateway.editor.as_ref().unwrap().is_over());
    assert_eq!(network.gateway.dropped.len(), 0);
}

#[test]
fn a_sender_that_waits_for_an_acknowledgement_goes_on() {
    // Nagle's algorithm: the rest of the line is not sent before its beginning is acknowledged, and the gateway lets
    // nothing go but whole lines.
    let mut network = network([vec![insert(21, "X-Seen: yes\r\n")], Vec::new()], Judgement::Lines);
    network.client.write(b"MAIL FROM:");
    steps(&mut network, 10);
    network.client.write(b"<a@b.org>\r\n");
    steps(&mut network, 60);
    assert_eq!(network.server.received, b"", "half a line waits");
    steps(&mut network, 100);
    assert_eq!(network.server.received, b"MAIL FROM:<a@b.org>\r\nX-Seen: yes\r\n");
    assert_eq!(network.client.timeouts, 0);
    let statistics = network.statistics();
    assert_eq!(statistics.acknowledged_early, 1);
}

#[test]
fn what_was_acknowledged_early_is_repeated_by_the_gateway() {
    let mut network = network([vec![insert(19, "!")], Vec::new()], Judgement::Lines);
    network.client.write(b"MAIL FROM:<a@b.org>");
    steps(&mut network, 300);
    assert_eq!((network.server.received.as_slice(), network.client.timeouts), (&b""[..], 0));
    // The packet with the whole line is lost again and again; the client has nothing left to repeat but the last octets.
    network.client.write(b"\r\n");
    network.deliver_to_gateway_only(true);
    steps(&mut network, 5_000);
    assert_eq!(network.server.received, b"");
    network.deliver_to_gateway_only(false);
    steps(&mut network, 20_000);
    assert_eq!(network.server.received, b"MAIL FROM:<a@b.org>!\r\n");
    assert!(network.statistics().repeated_alone > 0);
    let editor = network.gateway.editor.as_ref().unwrap();
    assert_eq!((editor.recorded(Direction::Up), editor.given_up()), (0, None));
}

#[test]
fn a_receiver_that_is_gone_is_given_up() {
    let mut network = network([vec![insert(6, "250 more\r\n")], Vec::new()], Judgement::AtOnce);
    network.deliver_to_gateway_only(true);
    network.client.write(b"HELO\r\n");
    // One octet is not acknowledged before what was put in behind it: the client repeats, for ever here.
    steps(&mut network, 400_000);
    let editor = network.gateway.editor.as_ref().unwrap();
    assert_eq!(editor.given_up(), None, "this is the client's to find out");
    let mut alone = self::network([vec![insert(6, "250 more\r\n")], Vec::new()], Judgement::Lines);
    alone.client.write(b"HELO\r");
    steps(&mut alone, 300);
    alone.deliver_to_gateway_only(true);
    alone.gateway.open();
    steps(&mut alone, 400_000);
    let editor = alone.gateway.editor.as_ref().unwrap();
    assert_eq!(editor.given_up(), Some(Direction::Up));
    assert_eq!(editor.deadline(), None);
    assert_eq!(alone.statistics().repeated_alone, 8);
}

#[test]
fn deletions_are_acknowledged_and_what_is_put_in_at_the_end_arrives() {
    let delete = Change { offset: 0, removed: 6, inserted: Vec::new() };
    let mut network = network([vec![delete], vec![insert(0, "220 hello\r\n")]], Judgement::AtOnce);
    network.client.write(b"NOOP\r\n");
    steps(&mut network, 30);
    assert_eq!(network.client.timeouts, 0, "it was acknowledged");
    assert_eq!(network.client.received, b"220 hello\r\n", "though the server has said nothing");
    assert_eq!(network.server.received, b"");
    network.client.close();
    network.server.close();
    steps(&mut network, 100);
    assert!(network.client.is_done() && network.server.is_done());
}

#[test]
fn a_closed_window_holds_back_what_was_put_in() {
    let mut hosts = hosts();
    hosts[1].buffer = 2_000;
    let long = "x".repeat(9_000);
    let mut network = Network::new(
        1,
        hosts,
        Weather::default(),
        EditSettings::default(),
        [vec![insert(1_000, &long)], Vec::new()],
        Judgement::AtOnce,
    );
    network.client.write(&[b'a'; 1_500]);
    network.client.close();
    network.server.close();
    for _ in 0..30_000 {
        network.step();
    }
    assert_eq!(network.server.received.len(), 2_000, "no more than there is room for");
    steps(&mut network, 10_000);
    assert_eq!(network.server.received.len(), 10_500);
    assert!(network.client.is_done() && network.server.is_done());
}

#[test]
fn a_reset_arrives_with_the_number_that_is_expected() {
    for (written, changes) in [(0, vec![]), (100, vec![insert(50, "0123456789")])] {
        let mut network = network([changes, Vec::new()], Judgement::AtOnce);
        network.client.write(&vec![b'a'; written]);
        steps(&mut network, 50);
        network.client.abort();
        steps(&mut network, 50);
        assert!(network.server.was_reset);
        assert!(network.gateway.editor.as_ref().unwrap().is_over());
    }
}

#[test]
fn bounds_and_mistakes_are_named() {
    let hello = |next| Hello {
        next: SequenceNumber(next),
        window: 65_535,
        window_scale: Some(7),
        mss: Some(1_460),
        sack: true,
        clock: None,
    };
    let limits = EditLimits { held: 0, record: 0, inserted: 10, edits: 3 };
    let mut editor = Editor::new(hello(1), hello(2), EditSettings { limits, ..EditSettings::default() });
    let up = Direction::Up;
    assert_eq!(editor.push(up, &vec![0; (128 << 10) + 1]), Err(EditError::HeldLimit));
    assert_eq!(editor.push(up, b"0123456789"), Ok(()));
    assert_eq!(editor.edit(up, 8, 3, b""), Err(EditError::NotReceived));
    assert_eq!(editor.edit(up, 4, 3, b"12345"), Ok(()));
    assert_eq!(editor.edit(up, 6, 2, b""), Err(EditError::Overlap));
    assert_eq!(editor.edit(up, 5, 0, b"x"), Err(EditError::Overlap));
    assert_eq!(editor.edit(up, 3, 2, b"x"), Err(EditError::Overlap));
    assert_eq!(editor.edit(up, 4, 0, b"123456"), Err(EditError::InsertedLimit));
    assert_eq!(editor.edit(up, 4, 0, b"1"), Ok(()));
    assert_eq!(editor.edit(up, 7, 0, b"1"), Ok(()));
    assert_eq!(editor.edit(up, 9, 0, b"1"), Err(EditError::EditLimit));
    editor.release(up, 2);
    let mut out = Vec::new();
    editor.tick(Timestamp(0), &mut out);
    assert!(out.is_empty(), "nobody has sent a packet that could be answered");
    assert_eq!(editor.edit(up, 1, 0, b"1"), Err(EditError::Released));
    assert_eq!((editor.received(up), editor.released(up), editor.held(up), editor.recorded(up)), (10, 2, 8, 2));
    editor.finish(up);
    assert_eq!(editor.push(up, b"x"), Err(EditError::Finished));
}

#[test]
fn a_thousand_edits_in_bad_weather_read_as_the_model_says() {
    let mut edits = 0;
    let mut totals = EditStatistics::default();
    for seed in SEEDS {
        let (made, statistics) = run(seed);
        edits += made;
        totals.edits += statistics.edits;
        totals.repeated += statistics.repeated;
        totals.repeated_alone += statistics.repeated_alone;
        totals.acknowledgements += statistics.acknowledgements;
        totals.acknowledged_early += statistics.acknowledged_early;
        totals.probes += statistics.probes;
    }
    println!("{edits} edits, {totals:?}");
    assert!(edits >= 1_000, "{edits} edits");
    assert_eq!(totals.edits as usize, edits);
    // Each way out was needed.
    assert!(totals.repeated > 100 && totals.repeated_alone > 0 && totals.acknowledged_early > 0 && totals.probes > 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 0, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_edits_in_any_weather_read_as_the_model_says(seed: u64) {
        run(seed);
    }
}
