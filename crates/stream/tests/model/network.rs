//! A client, a server, and between them a network that loses, doubles and reorders, with an editing gateway in its middle.

use std::collections::{BTreeMap, HashMap};

use portcullis_lang::Direction;
use portcullis_stream::edit::{EditSettings, EditStatistics, Hello};
use portcullis_stream::{
    DropReason, Editor, Envelope, FlowKey, FlowTable, Limits, Normalised, NormaliserSettings, OwnPacket, Parting,
    Standing, StreamEventKind, StreamEvents, Treatment,
};
use portcullis_wire::{LinkType, Network as Layer, TcpFlags, Timestamp, Transport, decode};

use super::Random;
use super::endpoint::{Endpoint, Host};

const START: i64 = 1_700_000_000_000;

/// An edit that is to be made: offset, octets removed, octets put in.
#[derive(Clone, Debug)]
pub struct Change {
    pub offset: u64,
    pub removed: u64,
    pub inserted: Vec<u8>,
}

/// What edits make of octets; they are in order and do not touch each other.
pub fn edited(original: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut result = Vec::new();
    let mut at = 0;
    for change in changes {
        result.extend_from_slice(&original[at..change.offset as usize]);
        result.extend_from_slice(&change.inserted);
        at = (change.offset + change.removed) as usize;
    }
    result.extend_from_slice(&original[at..]);
    result
}

/// Random edits of so many octets.
pub fn random_changes(random: &mut Random, length: u64, count: u64) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut at = 0;
    for index in 0..count {
        let gap = 2 * length / (count + 1);
        let offset = (at + random.below(gap + 1)).min(length);
        let removed = match random.below(3) {
            0 => 0,
            _ => {
                let most = random.one_of(&[4, 41, 901, 4_001]);
                random.below(most).min(length - offset)
            }
        };
        let most = if removed > 0 && random.happens(400) { 0 } else { random.one_of(&[3, 60, 1_500, 5_000]) };
        let count = random.below(most + 1) as usize;
        let inserted = random.octets(count);
        // Two at one place would come in the order in which they are made.
        if index > 0 && offset == at {
            continue;
        }
        at = offset + removed;
        changes.push(Change { offset, removed, inserted });
    }
    changes
}

/// What the network does, in packets of a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    pub lost: u64,
    pub doubled: u64,
    pub late: u64,
}

/// What the gateway does to what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Everything leaves as soon as its edits are known.
    AtOnce,
    /// Now and then octets are kept back for so many milliseconds.
    Sometimes(u64),
    /// Whole lines leave, their beginnings do not.
    Lines,
}

/// How a connection is ended by the gateway.
#[derive(Clone, Debug)]
pub struct End {
    /// When so many octets of the client have come.
    pub at: u64,
    /// What the client is told; nothing for a reset.
    pub reply: Option<Vec<u8>>,
    /// Whether packets pass without an editor.
    pub plain: bool,
}

pub struct Gateway {
    pub end: Option<End>,
    pub parting: Option<Parting>,
    key: Option<FlowKey>,
    pub table: FlowTable,
    pub editor: Option<Editor>,
    settings: EditSettings,
    hello: Option<Hello>,
    changes: [Vec<Change>; 2],
    /// What came of each direction.
    seen: [Vec<u8>; 2],
    judgement: Judgement,
    kept_until: [u64; 2],
    random: Random,
    pub dropped: HashMap<DropReason, u32>,
    /// The first octet that left for each offset, for each direction.
    left: [BTreeMap<u32, u8>; 2],
    pub mtu: usize,
    pub packets: u64,
}

impl Gateway {
    fn new(settings: EditSettings, changes: [Vec<Change>; 2], judgement: Judgement, random: Random) -> Gateway {
        let limits = Limits { compare_bytes: 1 << 20, ..Limits::default() };
        Gateway {
            end: None,
            parting: None,
            key: None,
            table: FlowTable::new(limits, Some(7)).with_normaliser(NormaliserSettings::default()),
            editor: None,
            mtu: usize::from(settings.mtu),
            settings,
            hello: None,
            changes,
            seen: Default::default(),
            judgement,
            kept_until: [0; 2],
            random,
            dropped: HashMap::new(),
            left: Default::default(),
            packets: 0,
        }
    }

    /// What came of a direction before the connection was ended.
    pub fn seen(&self, direction: Direction) -> &[u8] {
        &self.seen[direction.index()]
    }

    /// From now on everything leaves at once.
    pub fn open(&mut self) {
        self.judgement = Judgement::AtOnce;
    }

    fn time(now: u64) -> Timestamp {
        Timestamp::from_millis(START + now as i64)
    }

    fn release(&mut self, now: u64) {
        let Some(editor) = &mut self.editor else { return };
        for direction in Direction::BOTH {
            let index = direction.index();
            let received = editor.received(direction);
            let (known, later): (Vec<Change>, Vec<Change>) =
                self.changes[index].drain(..).partition(|change| change.offset + change.removed <= received);
            self.changes[index] = later;
            let mut known = known;
            while !known.is_empty() {
                let change = known.swap_remove(self.random.below(known.len() as u64) as usize);
                editor.edit(direction, change.offset, change.removed, &change.inserted).expect("an edit");
            }
            let mut limit = self.changes[index].first().map_or(u64::MAX, |change| change.offset);
            // An edit right at the end may still be to come.
            limit = limit.min(received);
            match self.judgement {
                Judgement::AtOnce => {}
                Judgement::Sometimes(time) => {
                    if now < self.kept_until[index] {
                        continue;
                    }
                    if self.random.happens(100) {
                        self.kept_until[index] = now + self.random.below(time);
                        let held = limit.saturating_sub(editor.released(direction));
                        limit -= self.random.below(held + 1);
                    }
                }
                Judgement::Lines => {
                    let line = self.seen[index].iter().rposition(|octet| *octet == b'\n');
                    limit = limit.min(line.map_or(0, |at| at as u64 + 1));
                }
            }
            editor.release(direction, limit);
        }
    }

    /// Takes a packet and gives those that leave.
    fn take(&mut self, now: u64, octets: &[u8]) -> Vec<OwnPacket> {
        let Layer::Ip(ip) = decode(LinkType::RawIp, octets).network else { panic!("an IP packet") };
        let Transport::Tcp(segment) = ip.transport() else { panic!("a TCP segment") };
        let from_client = segment.destination_port == 25;
        let direction = if from_client { Direction::Up } else { Direction::Down };
        let time = Gateway::time(now);
        if let Some(parting) = &mut self.parting {
            let mut send = Vec::new();
            parting.packet(direction, &segment, time, &mut send);
            return directed(send);
        }
        let envelope = Envelope::new(time, 0, &ip);
        let plain = self.end.as_ref().is_some_and(|end| end.plain);
        let restored = match &self.editor {
            Some(editor) if !plain => editor.restore(direction, &segment),
            _ => segment,
        };
        let mut events = StreamEvents::new();
        let normalised = self.table.normalise(&envelope, &ip, &restored, &mut events);
        let mut out = Vec::new();
        if segment.flags.contains(TcpFlags::SYN) {
            let hello = Hello::of(&segment).expect("a SYN");
            if from_client {
                self.hello = Some(hello);
            } else {
                let client = self.hello.expect("it came first");
                self.editor = Some(Editor::new(client, hello, self.settings.clone()));
                if !plain {
                    self.table.withhold_out_of_order(normalised.flow.expect("a flow"));
                }
                self.key = self.table.flow(normalised.flow.expect("a flow")).map(|flow| flow.key);
            }
            return vec![OwnPacket { direction, octets: octets.to_vec() }];
        }
        let editor = self.editor.as_mut().expect("the handshake is over");
        for event in events {
            match event.kind {
                StreamEventKind::Data { direction, offset, bytes } => {
                    assert_eq!(offset, editor.received(direction));
                    editor.push(direction, &bytes).expect("it was allowed");
                    self.seen[direction.index()].extend_from_slice(&bytes);
                }
                StreamEventKind::Finished { direction } => editor.finish(direction),
                StreamEventKind::Gap { .. } => panic!("nothing is given up"),
                _ => {}
            }
        }
        let came = self.editor.as_ref().map_or(0, |editor| editor.received(Direction::Up));
        if let Some(end) = self.end.clone().filter(|end| came >= end.at) {
            return self.part(&end, &normalised, time);
        }
        if plain {
            return match &normalised.treatment {
                Treatment::Forward => vec![OwnPacket { direction, octets: octets.to_vec() }],
                Treatment::Change(rewrite) => {
                    vec![OwnPacket { direction, octets: rewrite.apply(&ip, &segment) }]
                }
                Treatment::Drop(_) => Vec::new(),
            };
        }
        self.release(now);
        if let Treatment::Drop(reason) = normalised.treatment {
            *self.dropped.entry(reason).or_default() += 1;
            if reason != DropReason::Withheld {
                return out;
            }
        }
        let editor = self.editor.as_mut().expect("the handshake is over");
        editor.packet(direction, &ip, &segment, time, &mut out);
        if let Some(flow) = normalised.flow {
            Direction::BOTH.into_iter().for_each(|direction| self.table.allow(flow, direction, editor.edge(direction)));
        }
        self.check(&out);
        out
    }

    /// Ends the connection; the packet that brings it about does not leave.
    fn part(&mut self, end: &End, cause: &Normalised, time: Timestamp) -> Vec<OwnPacket> {
        let key = self.key.expect("the handshake is over");
        let standing = if end.plain {
            let numbers = self.table.numbers(cause.flow.expect("a flow")).expect("numbers");
            let mut expected = numbers.map(|side| side.next);
            let held = numbers[cause.direction.index()].offset - cause.before;
            expected[cause.direction.index()] = expected[cause.direction.index()] - held as u32;
            let mut said = self.table.unacknowledged(cause.flow.expect("a flow"), Direction::Down);
            if cause.direction == Direction::Down {
                said.truncate(said.len() - held as usize);
            }
            Standing {
                came: numbers.map(|side| side.next),
                expected,
                clocks: numbers.map(|side| side.clock),
                unacknowledged: said,
            }
        } else {
            self.editor.as_ref().expect("an editor").standing()
        };
        let mut send = Vec::new();
        self.parting = Some(match &end.reply {
            Some(reply) => Parting::refuse(&key, &standing, reply, self.settings.mtu, time, &mut send),
            None => Parting::reset(&key, &standing, time, &mut send),
        });
        directed(send)
    }

    fn tick(&mut self, now: u64) -> Vec<OwnPacket> {
        if let Some(parting) = &mut self.parting {
            let mut send = Vec::new();
            parting.tick(Gateway::time(now), &mut send);
            return directed(send);
        }
        let mut out = Vec::new();
        if self.end.as_ref().is_some_and(|end| end.plain) {
            return out;
        }
        let before: Vec<u64> =
            self.editor.iter().flat_map(|editor| Direction::BOTH.map(|direction| editor.released(direction))).collect();
        self.release(now);
        let Some(editor) = &mut self.editor else { return out };
        let waits = Direction::BOTH.iter().any(|direction| editor.held(*direction) > 0) && before.len() == 2;
        if waits || editor.deadline().is_some_and(|deadline| deadline <= Gateway::time(now)) {
            editor.tick(Gateway::time(now), &mut out);
        }
        self.check(&out);
        out
    }

    /// No packet is too long, and an octet that leaves again is the same.
    fn check(&mut self, out: &[OwnPacket]) {
        for packet in out {
            self.packets += 1;
            assert!(packet.octets.len() <= self.mtu, "{} octets", packet.octets.len());
            let Layer::Ip(ip) = decode(LinkType::RawIp, &packet.octets).network else { panic!("an IP packet") };
            let Transport::Tcp(segment) = ip.transport() else { panic!("a TCP segment") };
            let left = &mut self.left[packet.direction.index()];
            for (index, octet) in segment.payload.iter().enumerate() {
                let number = segment.sequence.0.wrapping_add(index as u32);
                assert_eq!(*left.entry(number).or_insert(*octet), *octet, "another octet at {number}");
            }
        }
    }
}

/// Packets with the direction that their ports tell.
fn directed(packets: Vec<Vec<u8>>) -> Vec<OwnPacket> {
    let direction = |octets: &[u8]| {
        let Layer::Ip(ip) = decode(LinkType::RawIp, octets).network else { panic!("an IP packet") };
        if ip.ports().expect("ports").1 == 25 { Direction::Up } else { Direction::Down }
    };
    packets.into_iter().map(|octets| OwnPacket { direction: direction(&octets), octets }).collect()
}

/// Where a packet goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Gateway,
    Client,
    Server,
}

/// A client, a server, and what is between them.
pub struct Network {
    pub client: Endpoint,
    pub server: Endpoint,
    pub gateway: Gateway,
    weather: Weather,
    random: Random,
    on_the_way: BTreeMap<(u64, u64), (Place, Vec<u8>)>,
    count: u64,
    server_is_gone: bool,
    pub now: u64,
}

impl Network {
    pub fn new(
        seed: u64,
        hosts: [Host; 2],
        weather: Weather,
        settings: EditSettings,
        changes: [Vec<Change>; 2],
        judgement: Judgement,
    ) -> Network {
        let [client, server] = hosts;
        let mut random = Random::new(seed);
        let addresses = (client.address, server.address);
        let gateway = Gateway::new(settings, changes, judgement, Random::new(random.next()));
        let mut network = Network {
            client: Endpoint::new(client, addresses.1),
            server: Endpoint::new(server, addresses.0),
            gateway,
            weather: Weather::default(),
            random,
            on_the_way: BTreeMap::new(),
            count: 0,
            server_is_gone: false,
            now: 0,
        };
        // The handshake, in good weather.
        let syn = network.client.greet();
        network.send(Place::Gateway, syn);
        for _ in 0..20 {
            network.step();
        }
        assert!(network.gateway.editor.is_some());
        network.weather = weather;
        network
    }

    /// Has the gateway end the connection.
    pub fn end(mut self, end: End) -> Network {
        self.gateway.end = Some(end);
        self
    }

    pub fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// Whether what the gateway sends to the server is lost, and nothing else.
    pub fn deliver_to_gateway_only(&mut self, only: bool) {
        self.server_is_gone = only;
    }

    fn send(&mut self, place: Place, octets: Vec<u8>) {
        if self.server_is_gone && place == Place::Server {
            return;
        }
        if self.random.happens(self.weather.lost) {
            return;
        }
        let copies = 1 + u64::from(self.random.happens(self.weather.doubled));
        for _ in 0..copies {
            let late = if self.random.happens(self.weather.late) { self.random.below(12) } else { 0 };
            self.count += 1;
            self.on_the_way.insert((self.now + 2 + late, self.count), (place, octets.clone()));
        }
    }

    fn leave(&mut self, packets: Vec<OwnPacket>) {
        for packet in packets {
            let place = if packet.direction == Direction::Up { Place::Server } else { Place::Client };
            self.send(place, packet.octets);
        }
    }

    /// A millisecond goes by.
    pub fn step(&mut self) {
        self.now += 1;
        let now = self.now;
        while let Some(entry) = self.on_the_way.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let (place, octets) = entry.remove();
            let mut out = Vec::new();
            match place {
                Place::Gateway => {
                    let left = self.gateway.take(now, &octets);
                    self.leave(left);
                }
                Place::Client => self.client.take(now, &octets, &mut out),
                Place::Server => self.server.take(now, &octets, &mut out),
            }
            out.into_iter().for_each(|octets| self.send(Place::Gateway, octets));
        }
        let mut out = Vec::new();
        self.client.poll(now, &mut out);
        self.server.poll(now, &mut out);
        out.into_iter().for_each(|octets| self.send(Place::Gateway, octets));
        let left = self.gateway.tick(now);
        self.leave(left);
    }

    /// Lets a side read.
    pub fn consume(&mut self, direction: Direction, count: u64) {
        let mut out = Vec::new();
        match direction {
            Direction::Up => self.server.consume(count, &mut out),
            Direction::Down => self.client.consume(count, &mut out),
        }
        out.into_iter().for_each(|octets| self.send(Place::Gateway, octets));
    }

    pub fn statistics(&self) -> EditStatistics {
        self.gateway.editor.as_ref().expect("an editor").statistics()
    }
}
