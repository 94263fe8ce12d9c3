//! Reads classic capture files and gives their packets to a table.

use std::path::{Path, PathBuf};

use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{LegacyPcapReader, PcapBlockOwned, PcapError};
use portcullis_stream::{Envelope, FlowTable, StreamEvents};
use portcullis_wire::{ChecksumState, LinkType, Network, Timestamp, Transport, decode};

/// The folder with captures that are not part of the product, if it is there.
pub fn shared(folder: &str) -> Option<PathBuf> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = checkout.join("../shared").join(folder);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: ../shared/{folder} is not there");
    None
}

/// Gives each packet of a capture to the table and its events to the listener, the end included.
/// Packets whose TCP or UDP checksum is wrong are left out, as their receivers would.
///
/// Returns the number of packets, or `None` if the file is no classic capture of a known link.
pub fn replay(
    path: &Path,
    table: &mut FlowTable,
    mut listen: impl FnMut(&FlowTable, StreamEvents<'_>),
) -> Option<usize> {
    let bytes = std::fs::read(path).expect("the file was listed");
    let mut reader = LegacyPcapReader::new(1 << 20, bytes.as_slice()).ok()?;
    let mut link = None;
    let mut nanoseconds = false;
    let mut packets = 0;
    loop {
        match reader.next() {
            Ok((length, block)) => {
                match block {
                    PcapBlockOwned::LegacyHeader(header) => {
                        link = LinkType::from_dlt(header.network.0 as u16);
                        nanoseconds = header.is_nanosecond_precision();
                    }
                    PcapBlockOwned::Legacy(packet) => {
                        packets += 1;
                        let fraction = i64::from(packet.ts_usec);
                        let fraction = if nanoseconds { fraction } else { fraction * 1000 };
                        let time = Timestamp(i64::from(packet.ts_sec) * 1_000_000_000 + fraction);
                        let mut events = StreamEvents::new();
                        give(link?, time, packet.data, table, &mut events);
                        listen(table, events);
                    }
                    PcapBlockOwned::NG(_) => return None,
                }
                reader.consume(length);
            }
            Err(PcapError::Incomplete(_)) => {
                if reader.refill().is_err() || reader.reader_exhausted() {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    let mut events = StreamEvents::new();
    table.finish(&mut events);
    listen(table, events);
    Some(packets)
}

fn give<'a>(link: LinkType, time: Timestamp, data: &'a [u8], table: &mut FlowTable, events: &mut StreamEvents<'a>) {
    let decoded = decode(link, data);
    let Network::Ip(packet) = decoded.network else {
        return;
    };
    if packet.verify_transport() == ChecksumState::Wrong {
        return;
    }
    let vlan = decoded.vlans.outer();
    let envelope = Envelope::new(time, vlan, &packet);
    match packet.transport() {
        Transport::Tcp(segment) => {
            table.tcp(&envelope, &segment, events);
        }
        Transport::Udp(datagram) => {
            table.udp(&envelope, &datagram, events);
        }
        _ => {}
    }
}
