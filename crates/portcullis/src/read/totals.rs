//! The counters of the `stats` record, from what the engine counts and from flows as they end.

use portcullis_engine::{Bound, Flow, Statistics as EngineStatistics};
use portcullis_report::Statistics;
use portcullis_stream::{EndReason, FlowState, FlowSummary, Protocol};

/// Counts what the engine does not: what is known when a flow ends, and records.
#[derive(Clone, Default)]
pub(super) struct Totals {
    counted: Statistics,
}

impl Totals {
    pub(super) fn anomaly(&mut self) {
        let counter = &mut self.counted.detect.anomaly;
        *counter = counter.saturating_add(1);
    }

    pub(super) fn transaction(&mut self, protocol: &str) {
        self.counted.app_layer.count_transaction(protocol);
    }

    /// A record that did not parse, or a conversation that nobody understands any more.
    pub(super) fn error(&mut self, protocol: &str) {
        self.counted.app_layer.count_error(protocol);
    }

    pub(super) fn cut_packet(&mut self) {
        let counter = &mut self.counted.decoder.cut;
        *counter = counter.saturating_add(1);
    }

    pub(super) fn flow(&mut self, flow: &Flow, summary: &FlowSummary, reason: EndReason) {
        let add = |counter: &mut u64, number: u64| *counter = counter.saturating_add(number);
        let Statistics { flow: flows, tcp, app_layer, ips, .. } = &mut self.counted;
        match flow.key.protocol {
            Protocol::Tcp => {
                add(&mut flows.tcp, 1);
                add(if flow.midstream { &mut tcp.midstream_pickups } else { &mut tcp.sessions }, 1);
            }
            Protocol::Udp => add(&mut flows.udp, 1),
        }
        add(&mut flows.evicted, u64::from(reason == EndReason::Evicted));
        add(&mut tcp.rst, u64::from(summary.statistics.state == FlowState::Reset));
        for direction in &summary.statistics.directions {
            add(&mut tcp.repeated, u64::from(direction.repeated));
            add(&mut tcp.out_of_order, u64::from(direction.out_of_order));
        }
        if !flow.protocol_name.is_empty() {
            app_layer.count_flow(flow.protocol_name);
        }
        add(if flow.verdict.stops() { &mut ips.blocked } else { &mut ips.accepted }, 1);
    }

    /// All counters, with those of the engine.
    pub(super) fn with(self, engine: &EngineStatistics) -> Statistics {
        let mut all = self.counted;
        let decoder = &mut all.decoder;
        decoder.pkts = engine.packets;
        decoder.bytes = engine.octets;
        decoder.invalid = engine.malformed;
        decoder.ipv4 = engine.ipv4;
        decoder.ipv6 = engine.ipv6;
        decoder.tcp = engine.tcp;
        decoder.udp = engine.udp;
        decoder.icmpv4 = engine.icmp;
        decoder.icmpv6 = engine.icmp_v6;
        decoder.vlan = engine.vlan;
        decoder.checksum_wrong = engine.wrong_checksum;
        decoder.checksum_unverified = engine.unverified_checksum;
        all.defrag.fragments = engine.fragments;
        all.defrag.reassembled = engine.reassembled;
        all.defrag.abandoned = engine.abandoned;
        all.flow.total = engine.flows;
        all.tcp.reassembly_gap = engine.gaps;
        all.tcp.reassembly_gap_bytes = engine.gap_octets;
        all.tcp.strays = engine.strays;
        all.detect.alert = engine.alerts;
        let met = Bound::ALL.iter().map(|bound| (bound.name(), engine.met(*bound)));
        all.limits = met.filter(|(_, times)| *times > 0).collect();
        all
    }
}
