//! Prints what was said on each TCP connection of a capture file, and what was odd about it.
//!
//! ```text
//! cargo run -p portcullis-stream --example streams -- FILE.pcap [--bytes] [--no-checksums]
//! ```
//!
//! With `--bytes`, each delivered piece is printed in hexadecimal, one line per piece. With
//! `--no-checksums`, segments with a wrong checksum are not left out: captures of sending hosts
//! and made ones have them.

use std::error::Error;

use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{LegacyPcapReader, PcapBlockOwned, PcapError};
use portcullis_stream::{Envelope, FlowTable, Limits, StreamEventKind, StreamEvents};
use portcullis_wire::{LinkType, Network, Timestamp, Transport, decode};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments.first().ok_or("usage: streams FILE.pcap [--bytes] [--no-checksums]")?;
    let with_bytes = arguments.iter().any(|option| option == "--bytes");
    let verify = !arguments.iter().any(|option| option == "--no-checksums");
    let file = std::fs::File::open(path)?;
    let mut reader = LegacyPcapReader::new(1 << 20, file).map_err(|error| error.to_string())?;
    let mut table = FlowTable::new(Limits::default(), None);
    let mut link = None;
    loop {
        match reader.next() {
            Ok((length, block)) => {
                match block {
                    PcapBlockOwned::LegacyHeader(header) => {
                        link = u16::try_from(header.network.0).ok().and_then(LinkType::from_dlt);
                    }
                    PcapBlockOwned::Legacy(packet) => {
                        let link = link.ok_or("the link type is not known")?;
                        let microseconds = i64::from(packet.ts_sec) * 1_000_000 + i64::from(packet.ts_usec);
                        let time = Timestamp::from_micros(microseconds);
                        let mut events = StreamEvents::new();
                        give(link, time, packet.data, verify, &mut table, &mut events);
                        print(&events, with_bytes);
                    }
                    PcapBlockOwned::NG(_) => {}
                }
                reader.consume(length);
            }
            Err(PcapError::Incomplete(_)) => {
                reader.refill().map_err(|error| error.to_string())?;
            }
            Err(PcapError::Eof) => break,
            Err(error) => return Err(error.to_string().into()),
        }
    }
    let mut events = StreamEvents::new();
    table.finish(&mut events);
    print(&events, with_bytes);
    Ok(())
}

fn give<'a>(
    link: LinkType,
    time: Timestamp,
    data: &'a [u8],
    verify: bool,
    table: &mut FlowTable,
    events: &mut StreamEvents<'a>,
) {
    let decoded = decode(link, data);
    if let Network::Ip(packet) = decoded.network
        && (!verify || packet.verify_transport().is_acceptable())
        && let Transport::Tcp(segment) = packet.transport()
    {
        let envelope = Envelope::new(time, decoded.vlans.outer(), &packet);
        table.tcp(&envelope, &segment, events);
    }
}

fn print(events: &StreamEvents<'_>, with_bytes: bool) {
    for event in events {
        match &event.kind {
            StreamEventKind::Started { key, .. } => println!("{} {key}", event.flow),
            StreamEventKind::Data { direction, offset, bytes } if with_bytes => {
                print!("{} {direction} {offset} ", event.flow);
                bytes.iter().for_each(|byte| print!("{byte:02x}"));
                println!();
            }
            StreamEventKind::Data { .. } => {}
            StreamEventKind::Gap { direction, offset, length, reason } => {
                println!("{} {direction} gap of {length} at {offset}: {reason}", event.flow)
            }
            StreamEventKind::Anomaly { direction, kind, offset } => {
                println!("{} {direction} {kind} at {offset}", event.flow)
            }
            StreamEventKind::Ended { reason, summary } => {
                let [up, down] = summary.statistics.directions;
                println!("{} ended: {reason}, {} bytes up, {} bytes down", event.flow, up.delivered, down.delivered);
            }
            _ => {}
        }
    }
}
