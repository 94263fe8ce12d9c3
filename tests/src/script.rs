//! Conversations of captures as scripts, and what a grammar makes of them however they are cut.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use portcullis_capture::CaptureSet;
use portcullis_grammar::{Dialogue, Event, EventSink, Program, Record, Scratch};
use portcullis_lang::{Direction, EventKind, Layout, Type, Value};
use portcullis_stream::{Envelope, FlowId, FlowKey, FlowTable, Limits, Protocol, StreamEventKind, StreamEvents};
use portcullis_wire::{Network, Timestamp, Transport, decode};

/// What one side of a flow did, in the order of the capture.
#[derive(Clone, Debug)]
pub enum Step {
    /// Octets of a stream.
    Octets(Direction, Vec<u8>),
    /// A datagram.
    Datagram(Direction, Vec<u8>),
    /// So many octets are missing.
    Gap(Direction, u64),
    /// The direction has ended.
    End(Direction),
}

/// One flow of a capture.
#[derive(Clone, Debug)]
pub struct Script {
    /// Who talks to whom.
    pub key: FlowKey,
    /// Whether it was there before the capture.
    pub midstream: bool,
    /// What happened.
    pub steps: Vec<Step>,
}

/// The flows of a capture file, in the order in which they began. Empty if the file cannot be read.
pub fn scripts(path: &Path, ports: &[u16]) -> Vec<Script> {
    let mut table = FlowTable::new(Limits::default(), Some(1)).with_services(ports.iter().copied().collect());
    let mut scripts: Vec<Script> = Vec::new();
    let mut by_id: BTreeMap<(usize, u32), usize> = BTreeMap::new();
    let Ok(mut capture) = CaptureSet::open(&[path]) else { return scripts };
    let mut take = |events: StreamEvents<'_>| {
        for event in events {
            let id = key_of(event.flow);
            let mut push = |step: Step| {
                if let Some(script) = by_id.get(&id).and_then(|index| scripts.get_mut(*index)) {
                    script.steps.push(step);
                }
            };
            match event.kind {
                StreamEventKind::Started { key, midstream, .. } => {
                    by_id.insert(id, scripts.len());
                    scripts.push(Script { key, midstream, steps: Vec::new() });
                }
                StreamEventKind::Data { direction, bytes, .. } => push(Step::Octets(direction, bytes.into_owned())),
                StreamEventKind::Datagram { direction, bytes, .. } => push(Step::Datagram(direction, bytes.to_vec())),
                StreamEventKind::Gap { direction, length, .. } => push(Step::Gap(direction, length)),
                StreamEventKind::Finished { direction } => push(Step::End(direction)),
                _ => {}
            }
        }
    };
    while let Ok(Some(packet)) = capture.next() {
        let decoded = decode(packet.link, packet.data);
        let Network::Ip(ip) = decoded.network else { continue };
        let envelope = Envelope::new(packet.timestamp, decoded.vlans.outer(), &ip);
        let mut events = StreamEvents::new();
        match ip.transport() {
            Transport::Tcp(segment) => {
                table.tcp(&envelope, &segment, &mut events);
            }
            Transport::Udp(datagram) => {
                table.udp(&envelope, &datagram, &mut events);
            }
            _ => {}
        }
        take(events);
    }
    let mut events = StreamEvents::new();
    table.finish(&mut events);
    take(events);
    scripts
}

fn key_of(id: FlowId) -> (usize, u32) {
    (id.slot(), id.generation())
}

/// How octets of a step are cut: positions within it, ascending.
pub type Cuts<'a> = &'a dyn Fn(usize, &[u8]) -> Vec<usize>;

/// What a grammar makes of a script whose steps are cut, one line an event. Chunks of a stream are joined.
pub fn events(program: &Program, script: &Script, cuts: Cuts<'_>) -> Vec<String> {
    let mut lines = Lines::default();
    let mut scratch = Scratch::default();
    let midstream = script.midstream && script.key.protocol == Protocol::Tcp;
    let mut dialogue = Dialogue::new(program, midstream, 0);
    for (index, step) in script.steps.iter().enumerate() {
        match step {
            Step::Octets(direction, octets) => {
                let mut from = 0;
                for cut in cuts(index, octets).into_iter().chain([octets.len()]) {
                    let cut = cut.clamp(from, octets.len());
                    if let Some(piece) = octets.get(from..cut).filter(|piece| !piece.is_empty()) {
                        dialogue.octets(program, &mut scratch, *direction, piece, 0, &mut lines);
                    }
                    from = cut;
                }
            }
            Step::Datagram(direction, octets) => {
                dialogue.datagram(program, &mut scratch, *direction, octets, 0, &mut lines);
            }
            Step::Gap(direction, length) => dialogue.gap(program, &mut scratch, *direction, *length, &mut lines),
            Step::End(direction) => dialogue.end(program, &mut scratch, *direction, &mut lines),
        }
    }
    dialogue.close(program, &mut scratch, &mut lines);
    lines.lines
}

/// No cut at all.
pub fn whole(_: usize, _: &[u8]) -> Vec<usize> {
    Vec::new()
}

/// One octet a piece.
pub fn single(_: usize, octets: &[u8]) -> Vec<usize> {
    (1..octets.len()).collect()
}

/// A sink that writes events down, so that they can be compared.
#[derive(Default)]
pub struct Lines {
    /// One line an event.
    pub lines: Vec<String>,
    /// Content of streams that have not ended, by name of their events and direction.
    content: BTreeMap<(String, Direction), Vec<u8>>,
}

impl EventSink for Lines {
    fn event(&mut self, event: &Event<'_>) {
        let name = event.event_name();
        let stem = name.trim_end_matches(".chunk").trim_end_matches(".start").to_owned();
        let mut line = format!("{} {name} state={} size={}", event.direction, event.state_name(), event.size);
        match event.kind {
            EventKind::StreamChunk => {
                self.content.entry((stem, event.direction)).or_default().extend_from_slice(event.data);
                return;
            }
            EventKind::StreamEnd => {
                let content = self.content.remove(&(stem, event.direction)).unwrap_or_default();
                let sum = content.iter().fold(0u64, |sum, octet| sum.wrapping_mul(31).wrapping_add(u64::from(*octet)));
                let _ = write!(line, " complete={} octets={} sum={sum:x}", event.complete, content.len());
            }
            _ => {
                let _ = write!(line, " at={} {}", event.offset, event.reason);
            }
        }
        if let (Some(record), EventKind::Record) = (&event.record, event.kind)
            && let Some(kind) = event.scheme().events.get(usize::from(event.id.0))
        {
            fields(&mut line, &kind.layout, record, None);
        }
        self.lines.push(line);
    }
}

/// Writes the fields of a record, or of the element of a list whose slots begin at `base`.
fn fields(line: &mut String, layout: &Layout, record: &Record<'_>, base: Option<u32>) {
    for field in &layout.fields {
        let value = record.value_at(base.unwrap_or(0), field.slot);
        if let Type::List(element) = &field.kind {
            let count = record.count_at(base.unwrap_or(0), field.slot);
            let _ = write!(line, " {}={count}[", field.path);
            for index in 0..count {
                if let Some(base) = record.element_base_at(base.unwrap_or(0), field.slot, index) {
                    fields(line, element, record, Some(base));
                    line.push(';');
                }
            }
            line.push(']');
            continue;
        }
        let _ = match value {
            Value::Absent | Value::Unknown => continue,
            Value::Boolean(value) => write!(line, " {}={value}", field.path),
            Value::Number(number) => write!(line, " {}={number}", field.path),
            Value::Bytes(bytes) => write!(line, " {}={}", field.path, bytes.escape_ascii()),
            Value::Address(address) => write!(line, " {}={address}", field.path),
        };
    }
}

/// A time for tests.
pub const START: Timestamp = Timestamp(0);
