//! Two hosts that talk, and a gateway between them that edits what they say and mistreats their packets.
//!
//! ```text
//! edited_line gateway QUEUE SEED PER-MILLE     every flow of the queue, so many packets of a thousand lost
//! edited_line server ADDRESS SEED LENGTH FILE  one connection; what was read goes to the file
//! edited_line client ADDRESS SEED LENGTH FILE
//! ```
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::iter::Peekable;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};
use portcullis_capture::Injector;
use portcullis_capture::queue::{self, Disposition, QueueSettings, Received};
use portcullis_lang::Direction;
use portcullis_stream::edit::{EditSettings, EditStatistics, Hello};
use portcullis_stream::{
    DropReason, Editor, Envelope, FlowId, FlowTable, Limits, NormaliserSettings, OwnPacket, StreamEventKind,
    StreamEvents, Treatment,
};
use portcullis_tests::edits::{Chance, Change, changes, said};
use portcullis_wire::{LinkType, Network, TcpFlags, Timestamp, Transport, decode};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["gateway", queue, seed, lost] => Gateway::new(seed.parse()?, lost.parse()?)?.run(queue.parse()?),
        ["server", address, seed, length, file] => {
            let (stream, _) = TcpListener::bind(address.parse::<SocketAddr>()?)?.accept()?;
            talk(stream, &said(seed.parse()?, Direction::Down, length.parse()?), file)
        }
        ["client", address, seed, length, file] => {
            let stream = TcpStream::connect(address.parse::<SocketAddr>()?)?;
            talk(stream, &said(seed.parse()?, Direction::Up, length.parse()?), file)
        }
        _ => bail!("edited_line gateway QUEUE SEED PER-MILLE | server|client ADDRESS SEED LENGTH FILE"),
    }
}

/// Says everything and closes, and reads to the end at the same time.
fn talk(mut stream: TcpStream, octets: &[u8], file: &str) -> Result<()> {
    let mut writing = stream.try_clone()?;
    let mut read = Vec::new();
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let mut chance = Chance::new(octets.len() as u64);
            let mut rest = octets;
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(1 + chance.below(8_000) as usize));
                writing.write_all(now)?;
                rest = later;
            }
            writing.shutdown(Shutdown::Write)
        });
        let outcome = stream.read_to_end(&mut read);
        writer.join().map_err(|_| anyhow!("the writer has failed"))?.context("writing")?;
        outcome.context("reading")
    })?;
    Ok(std::fs::write(file, read)?)
}

struct Flow {
    client: Hello,
    editor: Option<Editor>,
    changes: [Peekable<Box<dyn Iterator<Item = Change>>>; 2],
    over: bool,
}

struct Gateway {
    seed: u64,
    lost: u64,
    chance: Chance,
    table: FlowTable,
    flows: HashMap<FlowId, Flow>,
    injector: Injector,
    /// What is on its way: to the gateway or from it.
    late: BTreeMap<(Instant, u64), (bool, Vec<u8>)>,
    count: u64,
    unsent: u64,
}

impl Gateway {
    fn new(seed: u64, lost: u64) -> Result<Gateway> {
        let limits = Limits { compare_bytes: 4 << 20, ..Limits::default() };
        Ok(Gateway {
            seed,
            lost,
            chance: Chance::new(seed ^ 0xabcd),
            table: FlowTable::new(limits, None).with_normaliser(NormaliserSettings::default()),
            flows: HashMap::new(),
            injector: Injector::open(1)?,
            late: BTreeMap::new(),
            count: 0,
            unsent: 0,
        })
    }

    fn run(mut self, number: u16) -> Result<()> {
        let mut queue = queue::open(&QueueSettings::new(number))?;
        println!("ready");
        loop {
            let next = self.late.keys().next().map(|(time, _)| *time);
            let deadline = Instant::now() + Duration::from_millis(5);
            let received = queue.receive(Some(next.map_or(deadline, |next| next.min(deadline))))?;
            let packet = match received {
                Received::Packet(packet) => Some((packet.id, packet.data.to_vec())),
                Received::Deadline | Received::Woken => None,
            };
            if let Some((id, octets)) = packet {
                queue.verdict(id, Disposition::Drop)?;
                self.mistreat(true, octets);
            }
            let now = Instant::now();
            while let Some(entry) = self.late.first_entry().filter(|entry| entry.key().0 <= now) {
                let (arrives, octets) = entry.remove();
                if arrives {
                    self.take(&octets)?;
                } else if self.injector.send(&octets).is_err() {
                    self.unsent += 1;
                }
            }
            self.tick();
        }
    }

    /// Loses, doubles and delays.
    fn mistreat(&mut self, arrives: bool, octets: Vec<u8>) {
        if self.chance.below(1_000) < self.lost {
            return;
        }
        let copies = if self.chance.below(1_000) < self.lost { 2 } else { 1 };
        for _ in 0..copies {
            let late = if self.chance.below(1_000) < 5 * self.lost { self.chance.below(8_000) } else { 0 };
            self.count += 1;
            let time = Instant::now() + Duration::from_micros(late);
            self.late.insert((time, self.count), (arrives, octets.clone()));
        }
    }

    fn leave(&mut self, packets: Vec<OwnPacket>) {
        packets.into_iter().for_each(|packet| self.mistreat(false, packet.octets));
    }

    fn take(&mut self, octets: &[u8]) -> Result<()> {
        let Network::Ip(ip) = decode(LinkType::RawIp, octets).network else { bail!("no IP packet") };
        let Transport::Tcp(segment) = ip.transport() else { bail!("no TCP segment") };
        let now = now();
        let envelope = Envelope::new(now, 0, &ip);
        let is_syn = segment.flags.contains(TcpFlags::SYN);
        let from_client = segment.destination_port == 25;
        let direction = if from_client { Direction::Up } else { Direction::Down };
        let known = self.table.find_flow(
            portcullis_stream::Protocol::Tcp,
            &envelope,
            segment.source_port,
            segment.destination_port,
        );
        let editor = known.and_then(|(flow, _)| self.flows.get(&flow)).and_then(|flow| flow.editor.as_ref());
        let restored = editor.map_or(segment, |editor| editor.restore(direction, &segment));
        let mut events = StreamEvents::new();
        let normalised = self.table.normalise(&envelope, &ip, &restored, &mut events);
        let Some(id) = normalised.flow else { return Ok(()) };
        if is_syn {
            if let Treatment::Drop(_) = normalised.treatment {
                return Ok(());
            }
            let hello = Hello::of(&segment).context("a SYN")?;
            if from_client {
                let endless =
                    |direction| (Box::new(changes(self.seed, direction)) as Box<dyn Iterator<Item = _>>).peekable();
                let changes = Direction::BOTH.map(endless);
                self.flows.entry(id).or_insert(Flow { client: hello, editor: None, changes, over: false });
            } else if let Some(flow) = self.flows.get_mut(&id).filter(|flow| flow.editor.is_none()) {
                flow.editor = Some(Editor::new(flow.client, hello, EditSettings::default()));
                self.table.withhold_out_of_order(id);
            }
            self.leave(vec![OwnPacket::copy(direction, &ip)]);
            return Ok(());
        }
        let Some(flow) = self.flows.get_mut(&id) else { return Ok(()) };
        let Some(editor) = &mut flow.editor else { return Ok(()) };
        for event in events {
            match event.kind {
                StreamEventKind::Data { direction, bytes, .. } => editor.push(direction, &bytes)?,
                StreamEventKind::Finished { direction } => {
                    editor.finish(direction);
                    flow.changes[direction.index()] =
                        (Box::new(std::iter::empty()) as Box<dyn Iterator<Item = _>>).peekable();
                    editor.release(direction, u64::MAX);
                }
                _ => {}
            }
            for direction in Direction::BOTH {
                let received = editor.received(direction);
                let changes = &mut flow.changes[direction.index()];
                while let Some(change) = changes.next_if(|change| change.end() <= received) {
                    editor.edit(direction, change.offset, change.removed, &change.inserted)?;
                }
                if let Some(next) = changes.peek() {
                    editor.release(direction, next.offset.min(received));
                }
            }
        }
        let mut out = Vec::new();
        if !matches!(normalised.treatment, Treatment::Drop(reason) if reason != DropReason::Withheld) {
            editor.packet(direction, &ip, &segment, now, &mut out);
        }
        Direction::BOTH.into_iter().for_each(|direction| self.table.allow(id, direction, editor.edge(direction)));
        self.leave(out);
        Ok(())
    }

    fn tick(&mut self) {
        let now = now();
        let mut out = Vec::new();
        for flow in self.flows.values_mut() {
            let Some(editor) = &mut flow.editor else { continue };
            if editor.deadline().is_some_and(|deadline| deadline <= now) {
                editor.tick(now, &mut out);
            }
            if editor.is_over() && !flow.over {
                flow.over = true;
                let EditStatistics { edits, packets, made, repeated, repeated_alone, .. } = editor.statistics();
                println!("{edits} edits, {packets} packets came, {made} left, {repeated} + {repeated_alone} repeated");
                println!("{} could not be sent", self.unsent);
            }
        }
        let mut events = StreamEvents::new();
        self.table.advance(now, &mut events);
        self.leave(out);
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(0))
}
