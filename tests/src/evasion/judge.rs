//! What the flow table makes of what was on the wire.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use portcullis_lang::Direction;
use portcullis_stream::{
    Envelope, FlowId, FlowTable, GapReason, Limits, Midstream, NormaliserSettings, StreamAnomaly, StreamEventKind,
    StreamEvents, Treatment,
};
use portcullis_wire::{
    ChecksumState, Defragmenter, FragmentLimits, FragmentOutcome, IpPacket, LinkType, Network, TcpSegment, Timestamp,
    Transport, decode,
};

use super::player::{Gate, Packet};

/// What the table said about a connection, as far as a receiver reads: up to the first gap and the reset.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The bytes of the client.
    pub bytes: Vec<u8>,
    /// The client has closed.
    pub finished: bool,
    /// The direction of the first reset.
    pub reset: Option<Direction>,
    /// A hole was given up though nothing was lost.
    pub skipped: bool,
    /// Where the table said `urgent_data`.
    pub urgent: BTreeSet<u64>,
    /// What was odd.
    pub anomalies: Vec<StreamAnomaly>,
    /// Bytes that were let through and are others than those reported, for places that the receiver has not acknowledged: what
    /// lies before, it does not look at.
    pub contradictions: usize,
    flow: Option<FlowId>,
    silent: bool,
    forwarded: Vec<(u64, Vec<u8>)>,
}

/// Whether a hole was given up before the input had ended.
fn is_skip(reason: GapReason) -> bool {
    reason != GapReason::End
}

/// A table between the client and the wire, or behind a capture of it.
pub struct Judge {
    table: FlowTable,
    fragments: Defragmenter,
    now: Timestamp,
    reports: Vec<Report>,
    /// What happened, for people.
    pub log: String,
}

impl Judge {
    /// A table that reads. It joins no connection in the middle: it has seen all of them from the beginning.
    pub fn reading() -> Judge {
        Judge::of(FlowTable::new(Limits::default(), Some(1)).with_midstream(false))
    }

    /// A table that normalises.
    pub fn normalising() -> Judge {
        Judge::of(
            FlowTable::new(Limits::default(), Some(1))
                .with_normaliser(NormaliserSettings { midstream: Midstream::Drop, ..NormaliserSettings::default() }),
        )
    }

    fn of(table: FlowTable) -> Judge {
        let fragments = Defragmenter::new(FragmentLimits::default(), Some(1));
        let now = Timestamp::from_seconds(1_700_000_000);
        Judge { table, fragments, now, reports: Vec::new(), log: String::new() }
    }

    /// What it says about packets that were on the wire.
    pub fn read(mut self, wire: &[Packet]) -> (Vec<Report>, String) {
        for packet in wire {
            self.take(&packet.octets, packet.up);
        }
        self.finish()
    }

    /// What it has said, by connection.
    pub fn finish(mut self) -> (Vec<Report>, String) {
        let mut events = StreamEvents::new();
        self.table.finish(&mut events);
        self.note(events);
        for report in &mut self.reports {
            for (start, bytes) in &report.forwarded {
                let known = report.bytes.get(usize::try_from(*start).unwrap_or(usize::MAX)..).unwrap_or_default();
                report.contradictions += known.iter().zip(bytes).filter(|(known, sent)| known != sent).count();
            }
        }
        (self.reports, self.log)
    }

    fn tick(&mut self) {
        self.now = self.now.saturating_add(Duration::from_micros(50));
    }

    fn take(&mut self, octets: &[u8], up: bool) {
        self.tick();
        let decoded = decode(LinkType::RawIp, octets);
        let Network::Ip(ip) = decoded.network else { return };
        if up && ip.fragment.is_some() {
            let outcome = self.fragments.insert(self.now, 0, &ip, &mut Vec::new()).outcome;
            if let FragmentOutcome::Complete(made) = outcome
                && let Network::Ip(ip) = made.decode().network
            {
                self.take_whole(&ip, up);
            }
            return;
        }
        self.take_whole(&ip, up);
    }

    fn take_whole(&mut self, ip: &IpPacket<'_>, up: bool) {
        // What the server sends has no checksums yet: its interface would make them.
        if up && matches!(ip.verify_transport(), ChecksumState::Wrong) {
            return;
        }
        let Transport::Tcp(segment) = ip.transport() else { return };
        let envelope = Envelope::new(self.now, 0, ip);
        let mut events = StreamEvents::new();
        self.describe(&segment, up);
        self.table.tcp(&envelope, &segment, &mut events);
        self.note(events);
    }

    fn describe(&mut self, segment: &TcpSegment<'_>, up: bool) {
        let arrow = if up { ">" } else { "<" };
        let _ = writeln!(
            self.log,
            "{arrow} seq {} ack {} flags {:#04x} window {} {:?} {:?}",
            segment.sequence.0,
            segment.acknowledgement.0,
            segment.flags.0,
            segment.window,
            segment.options.timestamps(),
            String::from_utf8_lossy(segment.payload)
        );
    }

    fn note(&mut self, events: StreamEvents<'_>) {
        for event in events {
            if let StreamEventKind::Started { .. } = event.kind {
                self.reports.push(Report { flow: Some(event.flow), ..Report::default() });
            }
            if !matches!(event.kind, StreamEventKind::Started { .. } | StreamEventKind::Ended { .. }) {
                let _ = writeln!(self.log, "    {:?}", event.kind);
            }
            let Some(report) = self.reports.iter_mut().rev().find(|report| report.flow == Some(event.flow)) else {
                continue;
            };
            match event.kind {
                StreamEventKind::Data { direction: Direction::Up, bytes, .. } if !report.silent => {
                    report.bytes.extend_from_slice(&bytes);
                }
                StreamEventKind::Gap { direction: Direction::Up, reason, .. } => {
                    report.skipped |= is_skip(reason) && !report.silent;
                    report.silent = true;
                }
                StreamEventKind::Finished { direction: Direction::Up } if !report.silent => report.finished = true,
                StreamEventKind::Reset { direction } => {
                    report.reset.get_or_insert(direction);
                    report.silent = true;
                }
                StreamEventKind::Anomaly { direction, kind, offset } => {
                    report.anomalies.push(kind);
                    if kind == StreamAnomaly::UrgentData && direction == Direction::Up {
                        report.urgent.insert(offset);
                    }
                }
                _ => {}
            }
        }
    }

    /// Gives a segment to the normaliser; what leaves.
    fn normalise(&mut self, ip: &IpPacket<'_>, whole: &[u8], up: bool) -> Option<Vec<u8>> {
        if up && matches!(ip.verify_transport(), ChecksumState::Wrong) {
            return None;
        }
        let Transport::Tcp(segment) = ip.transport() else { return None };
        let envelope = Envelope::new(self.now, 0, ip);
        let mut events = StreamEvents::new();
        self.describe(&segment, up);
        let normalised = self.table.normalise(&envelope, ip, &segment, &mut events);
        let _ = writeln!(self.log, "    {:?}", normalised.treatment);
        self.note(events);
        let octets = match &normalised.treatment {
            Treatment::Forward => whole.to_vec(),
            Treatment::Change(rewrite) => rewrite.apply(ip, &segment),
            Treatment::Drop(_) => return None,
        };
        if up
            && let Some(report) = self.reports.iter_mut().rev().find(|report| report.flow == normalised.flow)
            && let Network::Ip(ip) = decode(LinkType::RawIp, &octets).network
            && let Transport::Tcp(sent) = ip.transport()
            && !sent.payload.is_empty()
            && !report.silent
            && let Some([client, _]) = normalised.flow.and_then(|flow| self.table.numbers(flow))
        {
            let acknowledged = client.next + (client.acknowledged.wrapping_sub(client.offset) as u32);
            let ahead = sent.sequence.distance_from(acknowledged);
            let behind = usize::try_from(-i64::from(ahead)).unwrap_or(0);
            let start = client.acknowledged.saturating_add(u64::try_from(ahead).unwrap_or(0));
            if let Some(bytes) = sent.payload.get(behind..) {
                report.forwarded.push((start, bytes.to_vec()));
            }
        }
        Some(octets)
    }
}

impl Gate for Judge {
    fn up(&mut self, octets: &[u8]) -> Vec<Vec<u8>> {
        self.tick();
        let Network::Ip(ip) = decode(LinkType::RawIp, octets).network else { return Vec::new() };
        if ip.fragment.is_some() {
            // As the connection tracking of the kernel does before a gateway sees it.
            let outcome = self.fragments.insert(self.now, 0, &ip, &mut Vec::new()).outcome;
            let FragmentOutcome::Complete(made) = outcome else { return Vec::new() };
            let Network::Ip(ip) = made.decode().network else { return Vec::new() };
            return self.normalise(&ip, &made.bytes, true).into_iter().collect();
        }
        self.normalise(&ip, octets, true).into_iter().collect()
    }

    fn down(&mut self, octets: &[u8]) -> bool {
        self.tick();
        let Network::Ip(ip) = decode(LinkType::RawIp, octets).network else { return false };
        self.normalise(&ip, octets, false).is_some()
    }
}
