//! Every capture of the corpus beside the checkout, compared with what libpcap reads. Skipped where there is none.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod support;

use std::path::{Path, PathBuf};

use portcullis_capture::{CaptureError, CaptureFile};
use support::*;

fn captures(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            captures(&path, found);
        } else if path.extension().is_some_and(|e| e == "pcap" || e == "pcapng" || e == "cap") {
            found.push(path);
        }
    }
}

/// Packets as libpcap gives them, and its error at the end.
type FromLibpcap = (Vec<(i64, u32, Vec<u8>)>, Option<String>);

/// What libpcap reads: time, original length and data of each packet, and its error at the end.
fn libpcap(path: &Path) -> Result<FromLibpcap, String> {
    let mut capture =
        pcap::Capture::from_file_with_precision(path, pcap::Precision::Nano).map_err(|e| e.to_string())?;
    let mut packets = Vec::new();
    loop {
        match capture.next_packet() {
            Ok(packet) => packets.push((
                // With nanoseconds, tv_usec holds them.
                packet.header.ts.tv_sec * 1_000_000_000 + packet.header.ts.tv_usec,
                packet.header.len,
                packet.data.to_vec(),
            )),
            Err(pcap::Error::NoMorePackets) => return Ok((packets, None)),
            Err(error) => return Ok((packets, Some(error.to_string()))),
        }
    }
}

#[test]
fn packets_are_those_of_libpcap() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let mut paths = Vec::new();
    captures(&shared.join("corpus"), &mut paths);
    captures(&shared.join("lab"), &mut paths);
    if paths.is_empty() {
        println!("skipped: there is no corpus beside the checkout");
        return;
    }
    paths.sort();
    let (mut total, mut refused, mut broken) = (0, Vec::new(), Vec::new());
    for path in &paths {
        let expected = libpcap(path);
        let mut file = match CaptureFile::open(path) {
            Ok(file) => file,
            Err(error @ CaptureError::UnknownLinkType { .. }) => {
                refused.push(error.to_string());
                continue;
            }
            Err(error) => {
                assert!(expected.is_err(), "libpcap opens what we do not: {error}");
                refused.push(error.to_string());
                continue;
            }
        };
        let (packets, errors) = drain(&mut file);
        let (expected, expected_error) = expected.unwrap_or_else(|error| panic!("{path:?}: {error}"));
        assert_eq!(packets.len(), expected.len(), "{path:?}: {errors:?} {expected_error:?}");
        assert_eq!(errors.is_empty(), expected_error.is_none(), "{path:?}: {errors:?} {expected_error:?}");
        for (packet, (time, length, data)) in packets.iter().zip(&expected) {
            assert_eq!((packet.nanoseconds, packet.original_length), (*time, *length), "{path:?} {}", packet.number);
            assert!(packet.data == *data, "{path:?}: packet {} differs", packet.number);
        }
        total += packets.len();
        broken.extend(errors.iter().map(ToString::to_string));

        let bytes = std::fs::read(path).unwrap();
        for compressed in [gzip(&bytes), zstd(&bytes)] {
            let (again, errors_again) = read_damaged(&compressed);
            assert!(again == packets, "{path:?}: compression changes packets");
            assert_eq!(errors_again.len(), errors.len(), "{path:?}");
        }
    }
    for message in refused.iter().chain(&broken) {
        println!("{message}");
    }
    println!("{} files, {total} packets, {} refused, {} broken", paths.len(), refused.len(), broken.len());
    assert!(total > 0);
}
