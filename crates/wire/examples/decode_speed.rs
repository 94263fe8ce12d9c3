//! Prints what decoding costs: nanoseconds a packet from Ethernet to TCP, and gigabytes a second of checksums.

use std::hint::black_box;
use std::time::Instant;

use portcullis_wire::{
    Defragmenter, FragmentLimits, LinkType, Network, SequenceNumber, TcpPacket, Timestamp, Transport, decode,
};

const ROUNDS: u32 = 20_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for (name, client, server) in
        [("IPv4", "192.0.2.1:40000", "192.0.2.25:25"), ("IPv6", "[2001:db8::1]:40000", "[2001:db8::25]:25")]
    {
        let payload = [b'x'; 1_400];
        let mut segment =
            TcpPacket::data(client.parse()?, server.parse()?, SequenceNumber(1), SequenceNumber(1), 500, &payload);
        segment.options = &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
        let packet = segment.build()?;
        let mut frame = vec![0; 12];
        frame.extend(if name == "IPv4" { [0x08, 0x00] } else { [0x86, 0xdd] });
        frame.extend(&packet);

        measure(&format!("{name}: Ethernet to TCP"), ROUNDS, || length_of(black_box(&frame)));
        measure(&format!("{name}: the same and TCP options"), ROUNDS, || options_of(black_box(&frame)));
        let nanos = measure(&format!("{name}: the same and checksums"), ROUNDS / 10, || verify(black_box(&frame)));
        println!("  = {:.1} GB/s", frame.len() as f64 / nanos);
    }
    measure("a datagram of IPv4 in two fragments", ROUNDS / 20, fragments(&[0; 1_400])?);
    Ok(())
}

/// The best of many short runs, which leaves out what else the machine does.
fn measure<T>(name: &str, rounds: u32, mut work: impl FnMut() -> T) -> f64 {
    const RUNS: u32 = 100;
    let nanos = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..rounds / RUNS {
                black_box(work());
            }
            start.elapsed().as_nanos() as f64 / f64::from(rounds / RUNS)
        })
        .fold(f64::INFINITY, f64::min);
    println!("{name}: {nanos:.1} ns");
    nanos
}

fn length_of(frame: &[u8]) -> usize {
    match &decode(LinkType::Ethernet, frame).network {
        Network::Ip(packet) => match packet.transport() {
            Transport::Tcp(segment) => segment.payload.len(),
            _ => 0,
        },
        _ => 0,
    }
}

fn options_of(frame: &[u8]) -> u32 {
    match &decode(LinkType::Ethernet, frame).network {
        Network::Ip(packet) => match packet.transport() {
            Transport::Tcp(segment) => segment.options.timestamps().map_or(0, |timestamps| timestamps.value),
            _ => 0,
        },
        _ => 0,
    }
}

fn verify(frame: &[u8]) -> bool {
    match &decode(LinkType::Ethernet, frame).network {
        Network::Ip(packet) => packet.verify_header().is_acceptable() && packet.verify_transport().is_acceptable(),
        _ => false,
    }
}

fn fragments(payload: &[u8]) -> Result<impl FnMut() -> bool, Box<dyn std::error::Error>> {
    let packet = TcpPacket::data(
        "192.0.2.1:40000".parse()?,
        "192.0.2.25:25".parse()?,
        SequenceNumber(1),
        SequenceNumber(1),
        500,
        payload,
    );
    let packet = packet.build()?;
    let (header, payload) = packet.split_at(20);
    let (head, tail) = payload.split_at(800);
    let fragment = |field: [u8; 2], payload: &[u8]| {
        let mut fragment = header.to_vec();
        fragment[2..4].copy_from_slice(&(20 + payload.len() as u16).to_be_bytes());
        fragment[6..8].copy_from_slice(&field);
        fragment.extend(payload);
        fragment
    };
    let parts = [fragment([0x20, 0], head), fragment([0, 100], tail)];
    let mut defragmenter = Defragmenter::new(FragmentLimits::default(), None);
    let mut abandoned = Vec::new();
    Ok(move || {
        for part in &parts {
            if let Network::Ip(packet) = decode(LinkType::RawIp, part).network {
                black_box(defragmenter.insert(Timestamp(0), 0, &packet, &mut abandoned));
            }
        }
        defragmenter.is_empty()
    })
}
