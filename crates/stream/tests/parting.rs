//! Connections that a gateway refuses or resets: what both hosts see of it.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod model;

use model::Random;
use model::endpoint::Host;
use model::network::{Change, End, Judgement, Network, Weather};
use portcullis_lang::Direction;
use portcullis_stream::edit::EditSettings;

const REPLY: &[u8] = b"550 5.7.1 we do not want this\r\n";

fn host(address: &str, iss: u32, random: &mut Random) -> Host {
    Host {
        address: address.parse().unwrap(),
        iss,
        mss: random.one_of(&[536, 1_460]),
        scale: random.one_of(&[0, 7]),
        buffer: random.one_of(&[4_000, 70_000]),
        sack: random.happens(500),
        timestamps: random.happens(500),
        nagle: random.happens(500),
    }
}

/// A connection in which the client writes a long mail, which the gateway ends in its middle.
fn network(seed: u64, weather: Weather, reply: Option<&[u8]>, plain: bool) -> Network {
    let mut random = Random::new(seed);
    let client = host("192.0.2.1:40000", u32::MAX - random.below(40_000) as u32, &mut random);
    let server = host("192.0.2.2:25", u32::MAX - random.below(40) as u32, &mut random);
    let greeting = Change { offset: 4, removed: 3, inserted: b"somebody".to_vec() };
    let marks = Change { offset: 100, removed: 0, inserted: vec![b'+'; 900] };
    let changes = if plain { [Vec::new(), Vec::new()] } else { [vec![marks], vec![greeting]] };
    let end = End { at: 20_000, reply: reply.map(<[u8]>::to_vec), plain };
    Network::new(seed, [client, server], weather, EditSettings::default(), changes, Judgement::AtOnce).end(end)
}

/// Both sides talk until the client has written its mail and closed, or was reset.
fn talk(network: &mut Network, seed: u64) {
    network.server.write(b"220 abc ready\r\n");
    let mail = Random::new(seed).octets(60_000);
    let mut written = 0;
    for _ in 0..60_000 {
        network.step();
        network.consume(Direction::Up, u64::MAX);
        network.consume(Direction::Down, u64::MAX);
        if network.client.was_reset || network.client.is_done() {
            break;
        }
        if written < mail.len() {
            let end = mail.len().min(written + 700);
            network.client.write(&mail[written..end]);
            written = end;
            if written == mail.len() {
                // It has written all of its mail before it reads a word, as Postfix does.
                network.client.close();
            }
        }
    }
}

#[test]
fn a_client_that_is_refused_reads_the_reply_and_the_end_and_the_server_a_reset() {
    let mut weathers = vec![Weather::default()];
    weathers.push(Weather { lost: 30, doubled: 30, late: 100 });
    weathers.push(Weather { lost: 120, doubled: 0, late: 300 });
    let mut unheard = 0;
    for (weather, plain) in weathers.into_iter().flat_map(|weather| [(weather, true), (weather, false)]) {
        for seed in 0..40 {
            let mut network = network(seed, weather, Some(REPLY), plain);
            talk(&mut network, seed);
            // A greeting that was lost before it came to the gateway is repeated by nobody, and its place is the reply's.
            let greeting: &[u8] = match network.gateway.seen(Direction::Down) {
                b"" => b"",
                _ if plain => b"220 abc ready\r\n",
                _ => b"220 somebody ready\r\n",
            };
            unheard += u32::from(greeting.is_empty());
            let read = String::from_utf8_lossy(&network.client.received).into_owned();
            let expected = [greeting, REPLY].concat();
            let state = format!("seed {seed} plain {plain} {weather:?}: {}", network.client.state());
            assert!(!network.client.was_reset, "{state}");
            assert_eq!(read.as_bytes(), expected, "{state}");
            assert!(network.client.is_done(), "{state}");
            // A reset that was lost is sent again.
            for _ in 0..3_000 {
                network.step();
            }
            assert!(network.server.was_reset, "{state}");
            let begun = 20_000 + if plain { 0 } else { 900 };
            assert!(network.server.received.len() < begun, "the packet that brought it about did not leave");
        }
    }
    assert!(unheard < 20, "{unheard} greetings were lost");
}

#[test]
fn a_reset_reaches_both() {
    for plain in [true, false] {
        for seed in 0..40 {
            let weather = Weather { lost: 60, doubled: 30, late: 100 };
            let mut network = network(seed, weather, None, plain);
            talk(&mut network, seed);
            // A host that has said nothing since hears of it when it does.
            network.server.write(b"421 are you there?\r\n");
            for _ in 0..20_000 {
                network.step();
            }
            assert!(network.client.was_reset, "seed {seed} plain {plain}: {}", network.client.state());
            assert!(network.server.was_reset, "seed {seed} plain {plain}: {}", network.server.state());
        }
    }
}

#[test]
fn a_reset_in_fair_weather_needs_one_packet_to_each() {
    for plain in [true, false] {
        for seed in 0..40 {
            let mut network = network(seed, Weather::default(), None, plain);
            network.server.write(b"220 abc ready\r\n");
            network.client.write(&[b'a'; 30_000]);
            while network.gateway.parting.is_none() {
                network.step();
                network.consume(Direction::Up, u64::MAX);
                assert!(network.now < 10_000);
            }
            for _ in 0..3 {
                network.step();
            }
            assert!(network.client.was_reset && network.server.was_reset, "seed {seed} plain {plain}");
        }
    }
}
