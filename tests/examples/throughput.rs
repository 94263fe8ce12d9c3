//! Prints how fast the engine takes a capture, without reports: `cargo run --release --example throughput FILE`.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use portcullis_capture::CaptureSet;
use portcullis_engine::{Engine, Flow, Judgement, Output, PacketInfo, Settings};
use portcullis_grammar::Event;
use portcullis_lang::{Direction, EventId};
use portcullis_policy::PolicySet;
use portcullis_stream::{EndReason, FlowSummary, GapReason, StreamAnomaly};
use portcullis_tests::grammars::shipped;
use portcullis_wire::WireAnomaly;

#[derive(Default)]
struct Counts {
    events: u64,
    gaps: u64,
    anomalies: u64,
}

impl Output for Counts {
    fn event(&mut self, _: &Flow, _: &PacketInfo<'_>, _: &Event<'_>) {
        self.events += 1;
    }

    fn wants(&self, _: &Flow, event: EventId) -> bool {
        event.0 < 6
    }

    fn judgement(&mut self, _: &Flow, _: &PacketInfo<'_>, _: &Event<'_>, _: &Judgement<'_>) {}

    fn flow_ended(&mut self, _: &Flow, _: &FlowSummary, _: EndReason, _: &PacketInfo<'_>) {}

    fn stream_anomaly(&mut self, _: &Flow, _: &PacketInfo<'_>, _: Direction, _: StreamAnomaly, _: u64) {
        self.anomalies += 1;
    }

    fn gap(&mut self, _: &Flow, _: &PacketInfo<'_>, _: Direction, _: u64, _: u64, _: GapReason) {
        self.gaps += 1;
    }

    fn wire_anomaly(&mut self, _: &PacketInfo<'_>, _: WireAnomaly) {
        self.anomalies += 1;
    }

    fn wrong_checksum(&mut self, _: &PacketInfo<'_>) {}
}

fn main() {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: throughput FILE");
        return;
    };
    let shipped = shipped();
    for _ in 0..3 {
        let start = Instant::now();
        let mut counts = Counts::default();
        let mut engine =
            Engine::new(Arc::clone(&shipped.grammars), Arc::new(PolicySet::default()), Settings::default());
        let Ok(mut capture) = CaptureSet::open(&[Path::new(&path)]) else {
            eprintln!("{path} cannot be read");
            return;
        };
        while let Ok(Some(packet)) = capture.next() {
            engine.packet(
                packet.number,
                packet.timestamp,
                packet.link,
                packet.data,
                packet.original_length,
                &mut counts,
            );
        }
        engine.finish(&mut counts);
        let seconds = start.elapsed().as_secs_f64();
        let statistics = engine.statistics();
        println!(
            "{:.0} MB/s, {} packets, {} events, {} gaps, {} anomalies, {} octets inspected",
            statistics.octets as f64 / 1e6 / seconds,
            statistics.packets,
            counts.events,
            counts.gaps,
            counts.anomalies,
            statistics.inspected_octets
        );
    }
}
