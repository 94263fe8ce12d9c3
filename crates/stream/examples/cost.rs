//! Prints what the table costs: nanoseconds of processor time per packet, bytes per flow.
//!
//! It reads both from `/proc`, so that it needs Linux.
//!
//! ```text
//! cargo run --release -p portcullis-stream --example cost
//! ```

use std::hint::black_box;

use portcullis_stream::{Envelope, FlowTable, Limits, StreamEventKind, StreamEvents};
use portcullis_wire::{SequenceNumber, TcpFlags, TcpOptions, TcpSegment, Timestamp};

fn main() {
    // First, while nothing else has left free memory behind.
    half_open();
    println!("segments of 1460 bytes in order, acknowledged every second one:");
    for flows in [1, 64, 10_000, 200_000] {
        let rounds = (1_000_000 / flows).clamp(12, 1_000_000);
        for (name, compare_bytes) in [("compared", 64 << 10), ("not compared", 0)] {
            let limits = Limits { compare_bytes, ..Limits::default() };
            let best = (0..5)
                .map(|_| transfer(limits.clone(), flows, rounds))
                .map(|(seconds, packets)| 1e9 * seconds / packets as f64)
                .fold(f64::INFINITY, f64::min);
            println!("  {flows:>7} flows, {name:<12} {best:6.1} ns per packet");
        }
    }
}

/// Opens flows and sends segments on each in turn; returns the time for the segments alone.
fn transfer(limits: Limits, flows: u32, rounds: u32) -> (f64, u64) {
    let mut table = FlowTable::new(limits, None);
    let payload = [b'x'; 1460];
    for flow in 0..flows {
        for (up, flags) in [(true, TcpFlags::SYN), (false, TcpFlags::SYN | TcpFlags::ACK), (true, TcpFlags::ACK)] {
            let sequence = u32::from(flags == TcpFlags::ACK);
            send(&mut table, flow, 0, up, flags, (sequence, 1), &[]);
        }
    }
    let start = processor_time();
    let mut packets = 0;
    for round in 0..rounds {
        let sequence = 1_u32.wrapping_add(round.wrapping_mul(1460));
        for flow in 0..flows {
            let delivered = send(&mut table, flow, round, true, TcpFlags::ACK, (sequence, 1), &payload);
            assert_eq!(delivered, 1460, "round {round}");
            packets += 1;
            if round % 2 == 1 {
                let acknowledgement = sequence.wrapping_add(1460);
                send(&mut table, flow, round, false, TcpFlags::ACK, (1, acknowledgement), &[]);
                packets += 1;
            }
        }
    }
    (processor_time() - start, packets)
}

/// A million SYNs, each answered.
fn half_open() {
    let before = resident();
    let mut table = FlowTable::new(Limits::default(), None);
    let start = processor_time();
    for flow in 0..1_000_000 {
        send(&mut table, flow, 0, true, TcpFlags::SYN, (0, 0), &[]);
        send(&mut table, flow, 0, false, TcpFlags::SYN | TcpFlags::ACK, (0, 1), &[]);
    }
    let seconds = processor_time() - start;
    println!("{} half-open flows:", table.len());
    println!("  {:6.1} ns per packet", 1e9 * seconds / 2e6);
    println!("  {:6.1} bytes per flow resident", (resident() - before) as f64 / 1e6);
}

fn send(
    table: &mut FlowTable,
    flow: u32,
    round: u32,
    up: bool,
    flags: TcpFlags,
    numbers: (u32, u32),
    payload: &[u8],
) -> usize {
    let client = ([10, 1, (flow >> 8) as u8, flow as u8], 1024 + (flow >> 16) as u16);
    let server = ([192, 0, 2, 2], 25);
    let (source, destination) = if up { (client, server) } else { (server, client) };
    let segment = TcpSegment {
        source_port: source.1,
        destination_port: destination.1,
        sequence: SequenceNumber(numbers.0),
        acknowledgement: SequenceNumber(numbers.1),
        flags,
        reserved: 0,
        window: 65_535,
        checksum: 0,
        urgent: 0,
        options: TcpOptions::new(&[]),
        header: &[],
        payload,
    };
    let envelope = Envelope {
        time: Timestamp::from_micros(1_700_000_000_000_000 + i64::from(round)),
        vlan: 0,
        source: source.0.into(),
        destination: destination.0.into(),
        length: 40 + payload.len() as u32,
        missing: 0,
        ttl: 64,
    };
    let mut events = StreamEvents::new();
    table.tcp(black_box(&envelope), black_box(&segment), &mut events);
    events
        .iter()
        .map(|event| match &event.kind {
            StreamEventKind::Data { bytes, .. } => bytes.len(),
            _ => 0,
        })
        .sum()
}

/// The processor time that this thread has used, in seconds, 0 where the system does not say.
fn processor_time() -> f64 {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = statistics.split_whitespace().next().and_then(|number| number.parse::<f64>().ok());
    1e-9 * first.unwrap_or(0.0)
}

/// The resident memory of this process in bytes, 0 where the system does not say.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    let kilobytes = line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok());
    1024 * kilobytes.unwrap_or(0)
}
