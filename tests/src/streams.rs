//! The octets of streams: as our engine puts them together, and as tshark does.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use portcullis_capture::CaptureSet;
use portcullis_engine::{Engine, Flow, Judgement, Output, PacketInfo, Settings};
use portcullis_grammar::Event;
use portcullis_lang::{Direction, EventId};
use portcullis_policy::PolicySet;
use portcullis_stream::{EndReason, FlowId, FlowSummary, GapReason, Protocol, StreamAnomaly};
use portcullis_wire::WireAnomaly;

use crate::grammars::Shipped;

/// How tshark writes what is missing, between these; it sends the end of its C string along.
const MISSING: [&str; 2] = ["[", " bytes missing in capture file]\0"];

/// Streams that tshark is asked for in one run; a capture with more is not for this.
const MOST_STREAMS: usize = 64;

/// What both sides of a connection said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// The two ends, the client first as far as it is known.
    pub ends: [SocketAddr; 2],
    /// What each of them said; what is missing is `[N bytes missing in capture file]`.
    pub said: [Vec<u8>; 2],
    /// What was odd about its segments, by name, in order; ours only.
    pub anomalies: Vec<&'static str>,
    /// The reason why it ended; ours only.
    pub ended: &'static str,
}

impl Conversation {
    /// The same with the lower end first, so that two can be compared that take different sides for the client.
    pub fn sorted(mut self) -> Conversation {
        if self.ends[1] < self.ends[0] {
            self.ends.reverse();
            self.said.reverse();
        }
        self
    }
}

/// The TCP streams of a capture, in the order of their beginnings, as our engine puts them together.
pub fn ours(shipped: &Shipped, path: &Path) -> Vec<Conversation> {
    let mut engine = Engine::new(Arc::clone(&shipped.grammars), Arc::new(PolicySet::default()), Settings::default());
    let mut streams = Streams::default();
    if let Ok(mut capture) = CaptureSet::open(&[path]) {
        while let Ok(Some(packet)) = capture.next() {
            engine.packet(
                packet.number,
                packet.timestamp,
                packet.link,
                packet.data,
                packet.original_length,
                &mut streams,
            );
        }
    }
    engine.finish(&mut streams);
    streams.conversations
}

/// An output that keeps what both sides of each connection say.
#[derive(Debug, Default)]
pub struct Streams {
    conversations: Vec<Conversation>,
    by_flow: HashMap<FlowId, usize>,
    /// Octets that are missing and were not written yet, by conversation and direction: holes that touch are one.
    missing: HashMap<(usize, Direction), u64>,
}

impl Streams {
    /// The connections so far, in the order of their beginnings.
    pub fn conversations(&self) -> &[Conversation] {
        &self.conversations
    }

    /// Writes what is missing before more is said.
    fn fill(&mut self, flow: &Flow, direction: Direction) {
        let Some(index) = self.by_flow.get(&flow.id).copied() else { return };
        if let (Some(length), Some(conversation)) =
            (self.missing.remove(&(index, direction)), self.conversations.get_mut(index))
        {
            let text = format!("{}{length}{}", MISSING[0], MISSING[1]);
            conversation.said[direction.index()].extend_from_slice(text.as_bytes());
        }
    }

    fn of(&mut self, flow: &Flow) -> Option<&mut Conversation> {
        self.conversations.get_mut(*self.by_flow.get(&flow.id)?)
    }
}

impl Output for Streams {
    fn event(&mut self, _: &Flow, _: &PacketInfo<'_>, _: &Event<'_>) {}

    fn wants(&self, _: &Flow, _: EventId) -> bool {
        false
    }

    fn judgement(&mut self, _: &Flow, _: &PacketInfo<'_>, _: &Event<'_>, _: &Judgement<'_>) {}

    fn flow_started(&mut self, flow: &Flow, _: &PacketInfo<'_>) {
        if flow.key.protocol == Protocol::Tcp {
            self.by_flow.insert(flow.id, self.conversations.len());
            let ends = [flow.key.client, flow.key.server];
            self.conversations.push(Conversation { ends, said: Default::default(), anomalies: vec![], ended: "" });
        }
    }

    fn flow_ended(&mut self, flow: &Flow, _: &FlowSummary, reason: EndReason, _: &PacketInfo<'_>) {
        for direction in Direction::BOTH {
            self.fill(flow, direction);
        }
        if let Some(conversation) = self.of(flow) {
            conversation.ended = reason.name();
        }
    }

    fn stream_octets(&mut self, flow: &Flow, _: &PacketInfo<'_>, direction: Direction, _: u64, octets: &[u8]) {
        self.fill(flow, direction);
        if let Some(conversation) = self.of(flow) {
            conversation.said[direction.index()].extend_from_slice(octets);
        }
    }

    fn stream_anomaly(&mut self, flow: &Flow, _: &PacketInfo<'_>, _: Direction, anomaly: StreamAnomaly, _: u64) {
        if let Some(conversation) = self.of(flow) {
            conversation.anomalies.push(anomaly.name());
        }
    }

    fn gap(&mut self, flow: &Flow, _: &PacketInfo<'_>, direction: Direction, _: u64, length: u64, _: GapReason) {
        if let Some(index) = self.by_flow.get(&flow.id) {
            *self.missing.entry((*index, direction)).or_default() += length;
        }
    }

    fn wire_anomaly(&mut self, _: &PacketInfo<'_>, _: WireAnomaly) {}

    fn wrong_checksum(&mut self, _: &PacketInfo<'_>) {}
}

/// Whether there is a tshark; prints that it is missing if not.
pub fn tshark_is_here() -> bool {
    let run = Command::new("tshark").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = run.is_ok_and(|status| status.success());
    if !found {
        println!("skipped: there is no tshark (apt-get install tshark)");
    }
    found
}

/// The TCP streams of a capture, in the order of their numbers, as tshark's `follow` puts them together.
///
/// # Errors
///
/// If tshark cannot be run, or writes what it never wrote before, or the capture has too many streams.
pub fn tsharks(path: &Path) -> Result<Vec<Conversation>> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(path).arg("-q");
    for number in 0..MOST_STREAMS {
        command.args(["-z", &format!("follow,tcp,raw,{number}")]);
    }
    let output = command.output().context("tshark does not start")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut streams: HashMap<usize, Conversation> = HashMap::new();
    for block in text.split("Follow: tcp,raw\n").skip(1) {
        let Some((number, conversation)) = block_of(block).with_context(|| format!("{}: {block}", path.display()))?
        else {
            continue;
        };
        streams.insert(number, conversation);
    }
    if streams.len() >= MOST_STREAMS {
        bail!("{} has {MOST_STREAMS} streams or more", path.display());
    }
    let mut numbers: Vec<usize> = streams.keys().copied().collect();
    numbers.sort_unstable();
    Ok(numbers.iter().filter_map(|number| streams.remove(number)).collect())
}

/// Reads what tshark writes of one stream; nothing if there is no such stream.
fn block_of(block: &str) -> Result<Option<(usize, Conversation)>> {
    let mut lines = block.lines();
    let number = lines.next().and_then(|line| line.strip_prefix("Filter: tcp.stream eq ")).context("no number")?;
    let mut ends = Vec::new();
    for name in ["Node 0: ", "Node 1: "] {
        let end = lines.next().and_then(|line| line.strip_prefix(name)).context("no end")?;
        let (address, port) = end.rsplit_once(':').context("no port")?;
        let Ok(address) = address.trim_matches(['[', ']']).parse() else { return Ok(None) };
        ends.push(SocketAddr::new(address, port.parse()?));
    }
    let mut said: [Vec<u8>; 2] = Default::default();
    for line in lines.take_while(|line| !line.starts_with('=')) {
        let side = usize::from(line.starts_with('\t'));
        said[side].extend(octets_of(line.trim()).context("no octets")?);
    }
    let ends = [ends[0], ends[1]];
    Ok(Some((number.parse()?, Conversation { ends, said, anomalies: vec![], ended: "" })))
}

fn octets_of(text: &str) -> Option<Vec<u8>> {
    let places = (0..text.len()).step_by(2);
    places.map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

/// The first place where two differ, for people.
pub fn difference(ours: &[u8], theirs: &[u8]) -> String {
    let at = ours.iter().zip(theirs).take_while(|(one, other)| one == other).count();
    let show = |octets: &[u8]| octets.get(at..).unwrap_or_default().iter().take(40).copied().collect::<Vec<u8>>();
    let mut text = format!("{} octets and {}, the same up to {at}, then ", ours.len(), theirs.len());
    let _ = write!(text, "\"{}\" and \"{}\"", show(ours).escape_ascii(), show(theirs).escape_ascii());
    text
}
