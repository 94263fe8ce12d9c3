//! The way of a packet through the engine when it can still be stopped.

use portcullis_stream::{DropReason, Envelope, FlowId, FlowTable, Normalised, StreamEvents, Treatment};
use portcullis_wire::{
    ChecksumState, IpPacket, LinkType, Network, TcpFlags, TcpSegment, Timestamp, Transport, WireAnomaly, decode,
};

use super::GateSettings;
use crate::bounds::Bound;
use crate::engine::{Engine, report_wire};
use crate::flow::Flow;
use crate::output::{Output, PacketInfo};

/// How many portions of events that time brings about are taken at once.
const PORTIONS: usize = 64;

/// A packet that waits for its fate.
#[derive(Clone, Copy, Debug)]
pub struct Arriving<'a> {
    /// Its number, from 1.
    pub number: u64,
    /// When it came.
    pub time: Timestamp,
    /// Its octets from the IP header on.
    pub octets: &'a [u8],
    /// Its octets in the kernel; more than there are if it was cut.
    pub original_length: usize,
    /// Whether the checksum of its transport is in place. It is not where the network card will compute it, nor in packets
    /// that the kernel has put together from several.
    pub checksum_ready: bool,
    /// Whether it stands for several segments of the wire.
    pub offloaded: bool,
}

impl Arriving<'_> {
    /// Whether there is more of it than can be inspected.
    pub fn is_cut(&self) -> bool {
        self.original_length > self.octets.len()
    }
}

/// What the engine found a packet to be.
pub(super) enum Passage<'a> {
    /// A segment of a flow.
    Segment { flow: FlowId, ip: IpPacket<'a>, segment: TcpSegment<'a>, normalised: Normalised },
    /// A segment of no flow.
    Stray { ip: IpPacket<'a>, segment: TcpSegment<'a>, treatment: Treatment },
    /// A datagram of a flow.
    Datagram { flow: Option<FlowId> },
    /// Something that no grammar reads: ICMP, and what is above IP beside TCP and UDP.
    Other,
    /// Part of a datagram: the kernel was to put it together.
    Fragment,
    /// It chooses its way itself.
    SourceRoute,
    /// Nothing that a receiver would take, or headers that cannot be followed.
    Malformed,
    /// Its checksum is wrong.
    WrongChecksum,
}

impl Engine {
    /// Makes the engine that of a gate.
    pub(super) fn in_the_way(mut self, settings: &GateSettings) -> Engine {
        self.table = self.table.with_normaliser(settings.normaliser);
        self.carries_edits = true;
        self.edit_mtu = settings.mtu;
        self.serialised.clone_from(&settings.serialise);
        self
    }

    pub(super) fn table(&self) -> &FlowTable {
        &self.table
    }

    pub(super) fn table_mut(&mut self) -> &mut FlowTable {
        &mut self.table
    }

    /// A flow that has not ended.
    pub fn flow(&self, id: FlowId) -> Option<&Flow> {
        self.flows.get(id.slot())?.as_ref().map(|tracked| &tracked.flow).filter(|flow| flow.id == id)
    }

    /// Flows that have not ended, in the order of their places in the table.
    pub fn live_flows(&self) -> impl Iterator<Item = &Flow> {
        self.flows.iter().flatten().map(|tracked| &tracked.flow)
    }

    pub(super) fn set_observe(&mut self, observe: bool) {
        self.settings.observe = observe;
    }

    /// Moves the time on without a packet. Where more flows end than some ten thousand, the others end with later calls.
    pub fn advance(&mut self, now: Timestamp, output: &mut dyn Output) {
        let packet = PacketInfo { number: 0, time: now, vlans: &[], link: LinkType::RawIp, data: &[] };
        // After a flood a million flows may end at once; packets are not to wait for all of them.
        for _ in 0..PORTIONS {
            let mut events = StreamEvents::new();
            let more = self.table.advance_some(now, &mut events);
            self.take_events(events, &packet, output);
            if !more {
                break;
            }
        }
    }

    /// Takes a packet that can still be stopped. Whatever leads to a verdict has happened when this returns.
    pub(super) fn pass<'a>(&mut self, arriving: &Arriving<'a>, output: &mut dyn Output) -> Passage<'a> {
        let Arriving { number, time, octets, original_length, checksum_ready, .. } = *arriving;
        let statistics = &mut self.work.statistics;
        statistics.packets += 1;
        statistics.octets += octets.len() as u64;
        statistics.cut_octets += original_length.saturating_sub(octets.len()) as u64;
        let decoded = decode(LinkType::RawIp, octets);
        let packet = PacketInfo { number, time, vlans: &[], link: LinkType::RawIp, data: octets };
        report_wire(output, &packet, decoded.anomalies);
        let Network::Ip(ip) = decoded.network else {
            self.work.statistics.other += 1;
            return Passage::Malformed;
        };
        match ip.source.is_ipv4() {
            true => self.work.statistics.ipv4 += 1,
            false => self.work.statistics.ipv6 += 1,
        }
        if decoded.anomalies.contains(WireAnomaly::IpSourceRoute) {
            return Passage::SourceRoute;
        }
        if ip.missing > 0 {
            // The length in its header is a lie: the copy was whole.
            self.work.statistics.malformed += 1;
            return Passage::Malformed;
        }
        let envelope = Envelope::new(time, 0, &ip);
        match ip.transport() {
            Transport::Tcp(segment) => {
                self.work.statistics.tcp += 1;
                report_wire(output, &packet, segment.anomalies());
                if checksum_ready && !right(&ip) {
                    self.wrong_checksum(&packet, output);
                    return Passage::WrongChecksum;
                }
                let mut events = StreamEvents::new();
                let restored = self.restored(&envelope, &segment);
                let seen = restored.as_ref().unwrap_or(&segment);
                let normalised = self.table.normalise(&envelope, &ip, seen, &mut events);
                match normalised.treatment {
                    Treatment::Drop(DropReason::OutOfOrderLimit) => self.work.statistics.count(Bound::QueueBytes),
                    Treatment::Drop(DropReason::RecordLimit) => self.work.statistics.count(Bound::RecordBytes),
                    _ => {}
                }
                if segment.flags.contains(TcpFlags::SYN) {
                    self.note_beginning(&normalised, &segment);
                }
                // An acknowledgement mostly brings nothing.
                if !events.is_empty() {
                    self.take_events(events, &packet, output);
                }
                match normalised.flow {
                    Some(flow) => Passage::Segment { flow, ip, segment, normalised },
                    None => {
                        self.work.statistics.strays += 1;
                        Passage::Stray { ip, segment, treatment: normalised.treatment }
                    }
                }
            }
            Transport::Udp(datagram) => {
                self.work.statistics.udp += 1;
                if checksum_ready && !right(&ip) {
                    self.wrong_checksum(&packet, output);
                    return Passage::WrongChecksum;
                }
                let mut events = StreamEvents::new();
                let flow = self.table.udp(&envelope, &datagram, &mut events);
                self.take_events(events, &packet, output);
                Passage::Datagram { flow }
            }
            Transport::Icmp(_) | Transport::Other(_) => {
                self.work.statistics.other += 1;
                Passage::Other
            }
            Transport::Fragment => {
                self.work.statistics.fragments += 1;
                Passage::Fragment
            }
            Transport::Malformed(anomaly) => {
                self.work.statistics.malformed += 1;
                output.wire_anomaly(&packet, anomaly);
                Passage::Malformed
            }
        }
    }
}

/// Whether the checksums of a packet are right, where the kernel says that they are in place: what looks as if the network
/// card were still to compute it is then wrong, too.
fn right(ip: &IpPacket<'_>) -> bool {
    let is_right = |state: ChecksumState| state.is_acceptable() && state != ChecksumState::Partial;
    is_right(ip.verify_header()) && is_right(ip.verify_transport())
}
