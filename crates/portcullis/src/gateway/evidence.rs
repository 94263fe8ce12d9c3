//! Captures of flows that a rule has alerted about or stopped: what came, packet by packet, with what was found as comments.
//!
//! A worker keeps the packets of each flow from its beginning, up to a bound; those of a flow in which something was found are
//! written when it ends, or earlier if there is no more room, and the others are forgotten. One thread writes, so that no
//! packet waits for a disk.

use std::collections::VecDeque;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use portcullis_capture::{CaptureWriter, Packet};
use portcullis_stream::FlowId;
use portcullis_wire::{LinkType, Timestamp};

/// Most octets of packets that are kept of a flow in which nothing was found yet: a mail of usual size with its envelope.
const FLOW_OCTETS: usize = 1 << 20;

/// Most octets of packets that a worker keeps.
const ALL_OCTETS: usize = 64 << 20;

/// What a kept packet costs beside its octets.
const OVERHEAD: usize = 64;

/// Files between workers and the writer, each of at most [`FLOW_OCTETS`].
const FILES: usize = 32;

/// Most findings that are kept of a flow.
const FINDINGS: usize = 100;

/// Most octets of a packet's comment: an option of pcapng has at most 65,535.
const COMMENT: usize = 16 << 10;

/// Most files of one flow.
const PARTS: usize = 1000;

/// Flows that have ended and still stand in the order of flows, beside as many as there are others.
const ENDED: usize = 1024;

/// A packet that is kept.
#[derive(Debug)]
struct Kept {
    time: Timestamp,
    octets: Box<[u8]>,
}

/// The packets of one flow.
#[derive(Debug)]
struct FlowPackets {
    flow: FlowId,
    packets: Vec<Kept>,
    octets: usize,
    /// Packets that did not fit.
    left_out: u64,
    /// The flow's name, when something was found.
    name: Option<u64>,
    /// What was found, with the number of the packet it was found in.
    comments: Vec<(usize, String)>,
    /// Findings that did not fit.
    comments_left_out: u64,
}

/// Keeps packets of one worker's flows.
#[derive(Debug)]
pub(crate) struct Keeper {
    sender: SyncSender<Evidence>,
    lost: Arc<AtomicU64>,
    /// By slot of the flow table.
    flows: Vec<Option<Box<FlowPackets>>>,
    /// In the order in which flows began, to give up the oldest.
    order: VecDeque<FlowId>,
    /// Flows whose packets are kept.
    kept: usize,
    octets: usize,
}

/// The packets of a flow that are to be written.
#[derive(Debug)]
struct Evidence {
    name: u64,
    packets: Box<FlowPackets>,
}

impl Keeper {
    /// Keeps a packet of a flow.
    pub(crate) fn packet(&mut self, flow: FlowId, time: Timestamp, octets: &[u8]) {
        let slot = flow.slot();
        if self.flows.len() <= slot {
            self.flows.resize_with(slot.saturating_add(1), || None);
        }
        let Some(entry) = self.flows.get_mut(slot) else { return };
        if entry.as_ref().is_none_or(|packets| packets.flow != flow) {
            let packets = FlowPackets {
                flow,
                packets: Vec::new(),
                octets: 0,
                left_out: 0,
                name: None,
                comments: Vec::new(),
                comments_left_out: 0,
            };
            match entry.replace(Box::new(packets)) {
                Some(old) => self.octets = self.octets.saturating_sub(old.octets),
                None => self.kept = self.kept.saturating_add(1),
            }
            self.order.push_back(flow);
        }
        let Some(packets) = entry else { return };
        let cost = octets.len().saturating_add(OVERHEAD);
        if packets.octets.saturating_add(cost) > FLOW_OCTETS {
            packets.left_out = packets.left_out.saturating_add(1);
            return;
        }
        packets.octets = packets.octets.saturating_add(cost);
        self.octets = self.octets.saturating_add(cost);
        packets.packets.push(Kept { time, octets: octets.into() });
        while self.octets > ALL_OCTETS {
            let Some(oldest) = self.order.pop_front() else { break };
            self.ended(oldest);
        }
        self.forget_ended();
    }

    /// Says what was found in the packet of a flow that was kept last.
    pub(crate) fn found(&mut self, flow: FlowId, name: u64, comment: String) {
        let Some(packets) = self.of(flow) else { return };
        packets.name = Some(name);
        if packets.comments.len() >= FINDINGS {
            packets.comments_left_out = packets.comments_left_out.saturating_add(1);
            return;
        }
        let last = packets.packets.len().saturating_sub(1);
        packets.comments.push((last, comment));
    }

    /// Writes what is kept of a flow if something was found in it, and keeps it no longer.
    pub(crate) fn ended(&mut self, flow: FlowId) {
        let Some(packets) = self.take(flow) else { return };
        let Some(name) = packets.name else { return };
        if self.sender.try_send(Evidence { name, packets }).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn of(&mut self, flow: FlowId) -> Option<&mut FlowPackets> {
        self.flows.get_mut(flow.slot())?.as_deref_mut().filter(|packets| packets.flow == flow)
    }

    fn take(&mut self, flow: FlowId) -> Option<Box<FlowPackets>> {
        self.of(flow)?;
        let packets = self.flows.get_mut(flow.slot())?.take()?;
        self.kept = self.kept.saturating_sub(1);
        self.octets = self.octets.saturating_sub(packets.octets);
        Some(packets)
    }

    /// Takes flows that have ended out of the order of flows: behind one that lives long they would pile up.
    fn forget_ended(&mut self) {
        if self.order.len() > self.kept.saturating_mul(2).saturating_add(ENDED) {
            let flows = &self.flows;
            let is_kept = |flow: &FlowId| flows.get(flow.slot()).and_then(Option::as_ref);
            self.order.retain(|flow| is_kept(flow).is_some_and(|packets| packets.flow == *flow));
        }
    }
}

/// The thread that writes.
pub(crate) struct EvidenceWriter {
    sender: Option<SyncSender<Evidence>>,
    thread: Option<JoinHandle<()>>,
    lost: Arc<AtomicU64>,
}

impl EvidenceWriter {
    /// Writes into a folder that is there, in which captures may take so many octets all together.
    pub(crate) fn start(folder: &Path, quota: u64) -> std::io::Result<EvidenceWriter> {
        let (sender, receiver) = sync_channel(FILES);
        let lost = Arc::new(AtomicU64::new(0));
        let (folder, counter) = (folder.to_owned(), Arc::clone(&lost));
        let thread = std::thread::Builder::new()
            .name("evidence".to_owned())
            .spawn(move || write(&folder, quota, &receiver, &counter))?;
        Ok(EvidenceWriter { sender: Some(sender), thread: Some(thread), lost })
    }

    /// What keeps the packets of a worker.
    pub(crate) fn keeper(&self) -> Option<Keeper> {
        let sender = self.sender.clone()?;
        let lost = Arc::clone(&self.lost);
        Some(Keeper { sender, lost, flows: Vec::new(), order: VecDeque::new(), kept: 0, octets: 0 })
    }

    /// Counts captures that were not written: the quota was met, or the disk too slow.
    pub(crate) fn losses(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.lost)
    }

    /// Writes what is left. All keepers must be gone.
    pub(crate) fn finish(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write(folder: &Path, quota: u64, receiver: &Receiver<Evidence>, lost: &AtomicU64) {
    let mut used = size_of_captures(folder);
    let mut told = false;
    while let Ok(evidence) = receiver.recv() {
        let size = evidence.packets.octets as u64;
        let result = match used.saturating_add(size) > quota {
            true => Err(anyhow::anyhow!(
                "the quota of {quota} octets is met; remove old captures or raise --evidence-quota"
            )),
            false => write_file(folder, &evidence),
        };
        match result {
            Ok(path) => {
                used = used.saturating_add(std::fs::metadata(&path).map_or(size, |data| data.len()));
                told = false;
                tracing::info!("evidence: {}", path.display());
            }
            Err(error) => {
                lost.fetch_add(1, Ordering::Relaxed);
                if !told {
                    told = true;
                    tracing::error!("evidence was not written: {error}");
                }
            }
        }
    }
}

/// Octets of the captures that are there from before.
fn size_of_captures(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let captures = entries.flatten().filter(|entry| entry.path().extension().is_some_and(|ending| ending == "pcapng"));
    captures.filter_map(|entry| entry.metadata().ok()).map(|data| data.len()).sum()
}

fn write_file(folder: &Path, evidence: &Evidence) -> anyhow::Result<PathBuf> {
    // What comes later of a flow that lives on has a file of its own.
    let names = (1..).map(|part| match part {
        1 => evidence.name.to_string(),
        part => format!("{}-{part}", evidence.name),
    });
    let free = |name: &String| !folder.join(format!("{name}.pcapng")).exists();
    let name =
        names.take(PARTS).find(free).ok_or_else(|| anyhow::anyhow!("flow {} has {PARTS} files", evidence.name))?;
    // Whoever looks into the folder sees whole captures only.
    let path = folder.join(format!("{name}.pcapng"));
    let part = folder.join(format!("{name}.part"));
    let mut writer = CaptureWriter::<BufWriter<File>>::create(&part)?;
    let FlowPackets { packets, comments, left_out, comments_left_out, .. } = evidence.packets.as_ref();
    for (index, kept) in packets.iter().enumerate() {
        let mut told: Vec<&str> =
            comments.iter().filter(|(at, _)| *at == index).map(|(_, text)| text.as_str()).collect();
        let more = format!("{left_out} later packets of the flow and {comments_left_out} findings are not here");
        if (*left_out > 0 || *comments_left_out > 0) && index + 1 == packets.len() {
            told.insert(0, &more);
        }
        let mut comment = told.join("\n");
        comment.truncate(comment.floor_char_boundary(COMMENT));
        let packet = Packet::new(kept.time, LinkType::RawIp, &kept.octets);
        writer.write(&packet, Some(comment.as_str()).filter(|comment| !comment.is_empty()))?;
    }
    writer.finish()?;
    std::fs::rename(&part, &path)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use portcullis_capture::CaptureSet;
    use portcullis_stream::{Envelope, FlowTable, Limits, StreamEvents};
    use portcullis_wire::{Network, TcpFlags, TcpPacket, Transport, decode};

    use super::*;

    /// A segment of a client, and the flow that it belongs to.
    fn segment(table: &mut FlowTable, port: u16, payload: &[u8]) -> (FlowId, Vec<u8>) {
        let packet = TcpPacket {
            source: ([192, 0, 2, 1], port).into(),
            destination: ([192, 0, 2, 2], 25).into(),
            sequence: portcullis_wire::SequenceNumber(7),
            acknowledgement: portcullis_wire::SequenceNumber(9),
            flags: TcpFlags::ACK,
            window: 100,
            options: &[],
            payload,
        };
        let octets = packet.build().unwrap();
        let Network::Ip(ip) = decode(LinkType::RawIp, &octets).network else { panic!("IP") };
        let Transport::Tcp(view) = ip.transport() else { panic!("TCP") };
        let mut events = StreamEvents::new();
        let flow = table.tcp(&Envelope::new(Timestamp(1), 0, &ip), &view, &mut events).unwrap();
        (flow, octets.clone())
    }

    #[test]
    fn what_was_found_is_written_with_all_that_led_to_it_and_the_rest_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EvidenceWriter::start(folder.path(), 1 << 20).unwrap();
        let mut keeper = writer.keeper().unwrap();
        let mut table = FlowTable::new(Limits::default(), None);
        for (port, text) in [(1000, "EHLO a\r\n"), (2000, "EHLO b\r\n"), (1000, "MAIL FROM:<x>\r\n")] {
            let (flow, octets) = segment(&mut table, port, text.as_bytes());
            keeper.packet(flow, Timestamp::from_seconds(i64::from(port)), &octets);
            if text.starts_with("MAIL") {
                keeper.found(flow, 1000, "alert 1001: banned".to_owned());
            }
        }
        for port in [1000, 2000] {
            keeper.ended(segment(&mut table, port, b"x").0);
        }
        assert_eq!(keeper.octets, 0, "nothing is kept of flows that have ended");
        drop(keeper);
        writer.finish();
        assert_eq!(writer.lost.load(Ordering::Relaxed), 0);
        let path = folder.path().join("1000.pcapng");
        let mut capture = CaptureSet::open(&[&path]).unwrap();
        let mut comments = Vec::new();
        while let Some(packet) = capture.next().unwrap() {
            comments.push(packet.comments.map(|text| text.into_owned()).collect::<Vec<_>>().join(";"));
        }
        assert_eq!(comments, ["", "alert 1001: banned"]);
        assert!(!folder.path().join("2000.pcapng").exists());
    }

    #[test]
    fn the_quota_and_the_bound_of_a_flow_hold() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EvidenceWriter::start(folder.path(), 10).unwrap();
        let mut keeper = writer.keeper().unwrap();
        let mut table = FlowTable::new(Limits::default(), None);
        let (flow, octets) = segment(&mut table, 1000, &[b'x'; 60_000]);
        for _ in 0..100 {
            keeper.packet(flow, Timestamp(0), &octets);
        }
        assert!(keeper.octets <= FLOW_OCTETS);
        keeper.found(flow, 1, "something".to_owned());
        keeper.ended(flow);
        drop(keeper);
        writer.finish();
        assert_eq!(writer.lost.load(Ordering::Relaxed), 1, "the quota is 10 octets");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
    #[test]
    fn many_flows_keep_no_more_than_their_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EvidenceWriter::start(folder.path(), 1 << 30).unwrap();
        let mut keeper = writer.keeper().unwrap();
        let mut table = FlowTable::new(Limits::default(), None);
        // One that lives on, before many that end.
        let (long, octets) = segment(&mut table, 1, b"EHLO a\r\n");
        keeper.packet(long, Timestamp(0), &octets);
        for port in 2..20_000 {
            let (flow, octets) = segment(&mut table, port, b"x");
            keeper.packet(flow, Timestamp(0), &octets);
            keeper.ended(flow);
        }
        assert!(keeper.order.len() <= 2 + ENDED, "{}", keeper.order.len());
        // Findings without end, and as many flows with findings as there is no room for.
        for number in 0..10_000 {
            keeper.found(long, 7, format!("{number} {}", "y".repeat(500)));
        }
        assert_eq!(keeper.of(long).unwrap().comments.len(), FINDINGS);
        for port in 20_000..20_080 {
            let (flow, octets) = segment(&mut table, port, &[b'x'; 60_000]);
            for _ in 0..20 {
                keeper.packet(flow, Timestamp(0), &octets);
                keeper.found(flow, u64::from(port), "something".to_owned());
            }
            assert!(keeper.octets <= ALL_OCTETS);
        }
        // The oldest was written, and what comes later goes into another file.
        keeper.packet(long, Timestamp(1), &octets);
        keeper.found(long, 7, "again".to_owned());
        keeper.ended(long);
        drop(keeper);
        writer.finish();
        let first = std::fs::read(folder.path().join("7.pcapng")).unwrap();
        assert!(first.len() < COMMENT + 1000, "{}", first.len());
        assert!(folder.path().join("7-2.pcapng").exists());
    }
}
