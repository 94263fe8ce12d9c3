//! Captures of flows that a rule has alerted about or stopped: what came, packet by packet, with what was found as comments.
//!
//! A worker keeps the packets of each flow from its beginning, up to a bound; they are written when something is found, and
//! forgotten when the flow ends without. One thread writes, so that no packet waits for a disk.

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

/// Files between workers and the writer.
const FILES: usize = 256;

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
    /// What was found, with the number of the packet it was found in.
    comments: Vec<(usize, String)>,
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
    octets: usize,
}

/// The packets of a flow that are to be written.
#[derive(Debug)]
struct Evidence {
    name: String,
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
            self.octets = self.octets.saturating_sub(entry.as_ref().map_or(0, |old| old.octets));
            let packets = FlowPackets { flow, packets: Vec::new(), octets: 0, left_out: 0, comments: Vec::new() };
            *entry = Some(Box::new(packets));
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
            self.forget(oldest);
        }
    }

    /// Says what was found in the packet of a flow that was kept last.
    pub(crate) fn found(&mut self, flow: FlowId, comment: String) {
        if let Some(packets) = self.of(flow) {
            let last = packets.packets.len().saturating_sub(1);
            packets.comments.push((last, comment));
        }
    }

    /// The flow has ended: what was found in it is written.
    pub(crate) fn ended(&mut self, flow: FlowId, name: &str) {
        let Some(packets) = self.take(flow) else { return };
        if packets.comments.is_empty() {
            return;
        }
        if self.sender.try_send(Evidence { name: name.to_owned(), packets }).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn of(&mut self, flow: FlowId) -> Option<&mut FlowPackets> {
        self.flows.get_mut(flow.slot())?.as_deref_mut().filter(|packets| packets.flow == flow)
    }

    fn take(&mut self, flow: FlowId) -> Option<Box<FlowPackets>> {
        self.of(flow)?;
        let packets = self.flows.get_mut(flow.slot())?.take()?;
        self.octets = self.octets.saturating_sub(packets.octets);
        while self.order.front().is_some_and(|front| {
            self.flows.get(front.slot()).is_none_or(|entry| entry.as_ref().is_none_or(|kept| kept.flow != *front))
        }) {
            self.order.pop_front();
        }
        Some(packets)
    }

    /// Gives up the packets of a flow, unless something was found in it.
    fn forget(&mut self, flow: FlowId) {
        if self.of(flow).is_some_and(|packets| packets.comments.is_empty()) {
            self.take(flow);
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
        Some(Keeper { sender, lost, flows: Vec::new(), order: VecDeque::new(), octets: 0 })
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
    // Whoever looks into the folder sees whole captures only.
    let path = folder.join(format!("{}.pcapng", evidence.name));
    let part = folder.join(format!("{}.part", evidence.name));
    let mut writer = CaptureWriter::<BufWriter<File>>::create(&part)?;
    let FlowPackets { packets, comments, left_out, .. } = evidence.packets.as_ref();
    for (index, kept) in packets.iter().enumerate() {
        let mut told: Vec<&str> =
            comments.iter().filter(|(at, _)| *at == index).map(|(_, text)| text.as_str()).collect();
        let more = format!("{left_out} later packets of the flow are not here");
        if *left_out > 0 && index + 1 == packets.len() {
            told.push(&more);
        }
        let comment = told.join("\n");
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
                keeper.found(flow, "alert 1001: banned".to_owned());
            }
        }
        let ends: Vec<(FlowId, u16)> = [1000, 2000].map(|port| (segment(&mut table, port, b"x").0, port)).to_vec();
        for (flow, port) in ends {
            keeper.ended(flow, &port.to_string());
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
        keeper.found(flow, "something".to_owned());
        keeper.ended(flow, "flow");
        drop(keeper);
        writer.finish();
        assert_eq!(writer.lost.load(Ordering::Relaxed), 1, "the quota is 10 octets");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
